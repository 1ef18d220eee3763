// build: runs the stages from the loop, and ends them.

#include "build_stages.h"

#include "clock.h"
#include "load.h"
#include "log.h"

#include <stdlib.h>

const char rl_build_cache_name[] = "embeddings.cache";

void rl_build_set_state(rl_build_t *self, rl_build_state_t state)
{
    self->state = state;
    if (state != RL_BUILD_ENDED && state != RL_BUILD_EMBEDDING && state != RL_BUILD_LOADING)
        event_active(self->turn, EV_TIMEOUT, 1);
}

// ---- ends ---------------------------------------------------------------------------------------

void rl_build_end(rl_build_t *self, int status)
{
    if (self->state == RL_BUILD_ENDED)
        return;
    rl_build_set_state(self, RL_BUILD_ENDED);
    rl_meter_clear(self->meter);
    rl_proc_end(self->proc, status);
}

// No index this time: why, and what becomes of what was done.
void rl_build_fail(rl_build_t *self, const char *why)
{
    if (self->state == RL_BUILD_ENDED)
        return;
    rl_meter_clear(self->meter);
    rl_error("%s", why); // first: the words may belong to what is given up next
    rl_bulk_embed_destroy(&self->bulk);
    rl_store_abandon(&self->store);
    if (self->plan->engine) {
        rl_error("the load has not been finished; run again, it ends as if nothing had happened");
        rl_build_end(self, RL_BUILD_FAILED);
        return;
    }
    char name[RL_STORE_NAME], ignored[256];
    bool old = rl_store_current(self->plan->out, name, ignored, sizeof ignored) == 0;
    rl_error("no index was built%s%s%s%s", old ? "; " : "", old ? name : "",
             old ? " stays in force" : "",
             self->embedded_now > 0 ? "; what was embedded is kept for the next run" : "");
    rl_build_end(self, RL_BUILD_FAILED);
}

static void on_stop(void *arg)
{
    rl_build_t *self = arg;
    if (self->state == RL_BUILD_ENDED)
        return;
    rl_bulk_embed_destroy(&self->bulk);
    if (self->cache)
        rl_vector_cache_sync(self->cache);
    rl_store_abandon(&self->store);
    rl_meter_clear(self->meter);
    rl_warn("interrupted: %s; %s",
            self->load ? "the load is not finished" : "the index is as it was before",
            self->embedded_now > 0 ? "the next run goes on from what was embedded"
                                   : "nothing is lost, the next run begins again");
    rl_build_end(self, RL_BUILD_INTERRUPTED);
}

// ---- the build ----------------------------------------------------------------------------------

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    rl_build_t *self = arg;
    (void)fd, (void)what;
    switch (self->state) {
    case RL_BUILD_LISTING:
        rl_build_list(self);
        break;
    case RL_BUILD_READING:
        rl_build_read(self);
        if (self->state == RL_BUILD_EMBEDDING)
            rl_build_embed(self);
        break;
    case RL_BUILD_WRITING:
        if (self->plan->engine)
            rl_build_load(self);
        else
            rl_build_write(self);
        break;
    case RL_BUILD_FINISHING:
        rl_build_finish(self);
        break;
    case RL_BUILD_EMBEDDING: // go by the replies of the server, of the engine
    case RL_BUILD_LOADING:
    case RL_BUILD_ENDED:
        break;
    }
}

rl_build_t *rl_build_new(rl_proc_t *proc, const rl_plan_t *plan)
{
    rl_build_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->proc = proc;
    self->plan = plan;
    self->began = rl_now_us();
    self->embedded = rl_buf_make(RL_BULK_MAX_TEXT);
    self->meter = rl_meter_new();
    self->turn = event_new(rl_proc_base(proc), -1, 0, on_turn, self);
    if (!self->meter || !self->turn) {
        rl_build_destroy(&self);
        return NULL;
    }
    rl_proc_on_stop(proc, on_stop, self);
    rl_build_set_state(self, RL_BUILD_LISTING);
    return self;
}

void rl_build_destroy(rl_build_t **self_p)
{
    rl_build_t *self = *self_p;
    if (!self)
        return;
    rl_bulk_embed_destroy(&self->bulk);
    rl_load_destroy(&self->load);
    rl_store_abandon(&self->store);
    rl_vector_cache_destroy(&self->cache);
    rl_spool_destroy(&self->spool);
    rl_corpus_destroy(&self->corpus);
    rl_listing_destroy(&self->listing);
    rl_meter_destroy(&self->meter);
    rl_buf_free(&self->embedded);
    if (self->turn)
        event_free(self->turn);
    free(self);
    *self_p = NULL;
}
