// build: runs the stages from the loop, and ends them.

#include "build_stages.h"

#include "clock.h"
#include "load.h"
#include "log.h"

#include <stdlib.h>

const char build_cache_name[] = "embeddings.cache";

void build_set_state(build_t *self, build_state_t state)
{
    self->state = state;
    if (state != BUILD_ENDED && state != BUILD_EMBEDDING && state != BUILD_LOADING)
        event_active(self->turn, EV_TIMEOUT, 1);
}

// ---- ends ---------------------------------------------------------------------------------------

void build_end(build_t *self, int status)
{
    if (self->state == BUILD_ENDED)
        return;
    build_set_state(self, BUILD_ENDED);
    progress_clear(self->meter);
    rl_proc_end(self->proc, status);
}

// No index this time: why, and what becomes of what was done.
void build_fail(build_t *self, const char *why)
{
    if (self->state == BUILD_ENDED)
        return;
    progress_clear(self->meter);
    rl_error("%s", why); // first: the words may belong to what is given up next
    bulk_embed_destroy(&self->bulk);
    store_abandon(&self->store);
    if (self->plan->engine) {
        rl_error("the load has not been finished; run again, it ends as if nothing had happened");
        build_end(self, BUILD_FAILED);
        return;
    }
    char name[STORE_NAME], ignored[256];
    bool old = store_current(self->plan->out, name, ignored, sizeof ignored) == 0;
    rl_error("no index was built%s%s%s%s", old ? "; " : "", old ? name : "",
             old ? " stays in force" : "",
             self->embedded_now > 0 ? "; what was embedded is kept for the next run" : "");
    build_end(self, BUILD_FAILED);
}

static void on_stop(void *arg)
{
    build_t *self = arg;
    if (self->state == BUILD_ENDED)
        return;
    bulk_embed_destroy(&self->bulk);
    if (self->cache)
        vector_cache_sync(self->cache);
    store_abandon(&self->store);
    progress_clear(self->meter);
    rl_warn("interrupted: %s; %s",
            self->load ? "the load is not finished" : "the index is as it was before",
            self->embedded_now > 0 ? "the next run goes on from what was embedded"
                                   : "nothing is lost, the next run begins again");
    build_end(self, BUILD_INTERRUPTED);
}

// ---- the build ----------------------------------------------------------------------------------

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    build_t *self = arg;
    (void)fd, (void)what;
    switch (self->state) {
    case BUILD_LISTING:
        build_list(self);
        break;
    case BUILD_READING:
        build_read(self);
        if (self->state == BUILD_EMBEDDING)
            build_embed(self);
        break;
    case BUILD_WRITING:
        if (self->plan->engine)
            build_load(self);
        else
            build_write(self);
        break;
    case BUILD_FINISHING:
        build_finish(self);
        break;
    case BUILD_EMBEDDING: // go by the replies of the server, of the engine
    case BUILD_LOADING:
    case BUILD_ENDED:
        break;
    }
}

build_t *build_new(rl_proc_t *proc, const plan_t *plan)
{
    build_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->proc = proc;
    self->plan = plan;
    self->began = rl_now_us();
    self->embedded = rl_buf_make(BULK_MAX_TEXT);
    self->meter = progress_new();
    self->turn = event_new(rl_proc_base(proc), -1, 0, on_turn, self);
    if (!self->meter || !self->turn) {
        build_destroy(&self);
        return NULL;
    }
    rl_proc_on_stop(proc, on_stop, self);
    build_set_state(self, BUILD_LISTING);
    return self;
}

void build_destroy(build_t **self_p)
{
    build_t *self = *self_p;
    if (!self)
        return;
    bulk_embed_destroy(&self->bulk);
    load_destroy(&self->load);
    store_abandon(&self->store);
    vector_cache_destroy(&self->cache);
    spool_destroy(&self->spool);
    corpus_destroy(&self->corpus);
    listing_destroy(&self->listing);
    progress_destroy(&self->meter);
    rl_buf_free(&self->embedded);
    if (self->turn)
        event_free(self->turn);
    free(self);
    *self_p = NULL;
}
