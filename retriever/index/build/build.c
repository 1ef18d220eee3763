// build: runs the stages from the loop.
#include "build.h"

#include <stdlib.h>

#include "build_stages.h"
#include "clock.h"
#include "load.h"
#include "log.h"
#include "mem.h"

static void on_stop(void *arg)
{
    build_t *self = arg;
    if (self->state == BUILD_ENDED)
        return;
    bulk_embed_destroy(&self->bulk);
    if (self->cache)
        vector_cache_sync(self->cache);
    generation_writer_abandon(&self->writer);
    progress_clear(self->progress);
    rl_warn("interrupted: %s; %s",
            self->load ? "the load is not finished" : "the index is as it was before",
            self->embedded_now > 0 ? "the next run goes on from what was embedded"
                                   : "nothing is lost, the next run begins again");
    build_end(self, BUILD_INTERRUPTED);
}

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
    case BUILD_EMBEDDING: // these go on by the replies of the server, of the engine
    case BUILD_LOADING:
    case BUILD_ENDED:
        break;
    }
}

static void clear_progress(void *arg)
{
    progress_clear(arg);
}

build_t *build_new(rl_proc_t *proc, const plan_t *plan, report_t *report)
{
    build_t *self = rl_new(*self);
    self->proc = proc;
    self->plan = plan;
    self->began = rl_now_us();
    self->text = rl_buf_make(BULK_MAX_TEXT);
    self->progress = progress_new();
    self->report = report;
    report_on_terminal(report, clear_progress, self->progress);
    self->turn = rl_must(event_new(rl_proc_base(proc), -1, 0, on_turn, self));
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
    generation_writer_abandon(&self->writer);
    vector_cache_destroy(&self->cache);
    spool_destroy(&self->spool);
    corpus_destroy(&self->corpus);
    listing_destroy(&self->listing);
    roots_unref(&self->roots);
    report_on_terminal(self->report, NULL, NULL);
    progress_destroy(&self->progress);
    rl_buf_free(&self->text);
    free(self->zeros);
    event_free(self->turn);
    free(self);
    *self_p = NULL;
}
