// search_report: what the timeline keeps of the searches, and what a dump says of them.
#include "search.h"

#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "search_private.h"

static void note_lookup(timeline_t *timeline, const lookup_t *lookup)
{
    uint64_t done = lookup->done_us ? lookup->done_us : rl_now_us();
    span_t *span =
        timeline_add(timeline, STAGE_SEARCH_WORK, lookup->sent_us ? lookup->sent_us : done, done);
    if (!span)
        return;
    span->worker = timeline_text(timeline, lookup->worker);
    span->collection = timeline_text(timeline, lookup->source.collection);
    span->shard = lookup->source.shard;
    span->kind = lookup->source.kind;
    span->queue_us = lookup->queue_us;
    span->work_us = lookup->work_us;
    if (lookup->sent_us > lookup->asked_us)
        span->dispatch = lookup->sent_us - lookup->asked_us;
    span->effort_kind = timeline_text(timeline, lookup->effort_kind);
    span->effort = lookup->effort;
    span->effort_wanted = lookup->effort_wanted;
    span->tries = lookup->tries;
    span->hedged = lookup->hedged;
    span->hedge_won = lookup->hedge_won;
    if (lookup->state != LOOKUP_ANSWERED)
        span->missing = timeline_text(timeline, lookup->reason ? lookup->reason : "not awaited");
    timeline->of++;
    timeline->answered += lookup->state == LOOKUP_ANSWERED;
}

void search_discard(request_t *self)
{
    search_t *search = self->search;
    if (!search)
        return;
    embed_cancel(&search->embed);
    request_set_timer(self, &search->look, -1, NULL, NULL);
    for (size_t at = 0; at < search->size; at++) {
        lookup_t *lookup = &search->lookups[at];
        search_cancel_tasks(self, lookup);
        rl_msg_free(&lookup->hits);
        free(lookup->worker);
        free(lookup->reason);
    }
    free(search->lookups);
    free(search->vector);
    free(search);
    self->search = NULL;
}

void search_end(request_t *self)
{
    for (size_t at = 0; self->search && at < self->search->size; at++)
        note_lookup(self->timeline, &self->search->lookups[at]);
    search_discard(self);
}

// "docs/0/dense: an answer of retriever-1a2b3c4d/docs/0/dense", the first few.
void search_dump(const request_t *self, rl_dump_t *dump)
{
    static const char *const states[] = {[LOOKUP_EMBEDDING] = "the embedding server",
                                         [LOOKUP_WAITING] = "room",
                                         [LOOKUP_ASKED] = "an answer",
                                         [LOOKUP_FAILED] = "another try"};
    static const char *const names[] = {"waits_for", "waits_for_2", "waits_for_3", "waits_for_4"};
    const search_t *search = self->search;
    size_t named = 0;
    for (size_t at = 0; search && at < search->size && named < sizeof names / sizeof *names; at++) {
        const lookup_t *lookup = &search->lookups[at];
        char text[400];
        if (lookup->state == LOOKUP_ANSWERED || lookup->state == LOOKUP_MISSING)
            continue;
        snprintf(text, sizeof text, "%s/%llu/%s: %s%s%s%s", lookup->source.collection,
                 (unsigned long long)lookup->source.shard, kind_names[lookup->source.kind],
                 states[lookup->state], lookup->task ? " of " : "",
                 lookup->task ? lookup->task->worker->id : "",
                 lookup->hedge ? ", and of a hedge" : "");
        rl_dump_text(dump, names[named++], text);
    }
}
