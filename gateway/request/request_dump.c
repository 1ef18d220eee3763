// request_dump: what each request at work is at, and whom it waits for.
#include <stdio.h>

#include "clock.h"
#include "request_private.h"

enum {
    NAMED = 4, // sources that are waited for, by name
};

static const char *const search_states[] = {[SEARCH_EMBEDDING] = "the embedding server",
                                            [SEARCH_WAITING] = "room",
                                            [SEARCH_ASKED] = "an answer",
                                            [SEARCH_ANSWERED] = "",
                                            [SEARCH_MISSING] = ""};

// "docs/0/dense: an answer of retriever-1a2b3c4d/docs/0/dense", the first few.
static void dump_searches(const request_t *self, rl_dump_t *dump)
{
    static const char *const names[NAMED] = {"waits_for", "waits_for_2", "waits_for_3",
                                             "waits_for_4"};
    size_t named = 0;
    if (self->share.leader) {
        rl_dump_text(dump, names[0], self->share.leader->id); // which searches for the same
        return;
    }
    for (size_t at = 0; at < self->searches_size && named < NAMED; at++) {
        const search_t *search = &self->searches[at];
        char text[400];
        if (search->state == SEARCH_ANSWERED || search->state == SEARCH_MISSING)
            continue;
        snprintf(text, sizeof text, "%s/%llu/%s: %s%s%s%s", search->source.collection,
                 (unsigned long long)search->source.shard, kind_names[search->source.kind],
                 search_states[search->state], search->task ? " of " : "",
                 search->task ? search->task->worker->id : "",
                 search->hedge ? ", and of a hedge" : "");
        rl_dump_text(dump, names[named++], text);
    }
}

static void dump_generation(const request_t *self, rl_dump_t *dump)
{
    if (self->generation) {
        rl_dump_number(dump, "task", self->generation->id);
        rl_dump_text(dump, "generator", self->generation->worker->id);
    }
    rl_dump_number(dump, "generators_asked", self->generator_tries);
    rl_dump_number(dump, "tokens", self->tokens);
    rl_dump_number(dump, "seq", self->seq);
    rl_dump_number(dump, "granted", self->granted);
    rl_dump_number(dump, "client_backlog_bytes", response_backlog(self->face));
    rl_dump_flag(dump, "paused_for_client", self->paused);
}

static bool dump_one(const request_t *self, uint64_t now, rl_dump_t *dump)
{
    const timeline_t *timeline = self->timeline;
    uint64_t age = now - self->received_us, entered = 0;
    if (!rl_dump_item(dump, self->id))
        return false;
    if (timeline->steps_size > 0)
        entered = timeline->steps[timeline->steps_size - 1].start_us;
    rl_dump_text(dump, "form", timeline->form);
    rl_dump_text(dump, "collection", timeline->collection);
    rl_dump_text(dump, "state", request_state_names[self->state]);
    rl_dump_ms(dump, "for_ms", age);
    rl_dump_ms(dump, "in_state_ms", age > entered ? age - entered : 0);
    rl_dump_number(dump, "left_ms", request_time_left_ms(self));
    rl_dump_number(dump, "sources", self->searches ? self->searches_size : self->answer.of);
    rl_dump_number(dump, "sources_pending", self->pending);
    if (self->state <= REQUEST_SEARCHING)
        dump_searches(self, dump);
    else
        dump_generation(self, dump);
    rl_dump_end(dump);
    return true;
}

void request_dump(const pipeline_t *pipeline, rl_dump_t *out)
{
    uint64_t now = rl_now_us();
    const request_t *self;
    rl_dump_list(out, "requests", pipeline->in_flight);
    TAILQ_FOREACH(self, &pipeline->requests, all)
    {
        if (!dump_one(self, now, out))
            break;
    }
    rl_dump_list_end(out);
}
