// search_answers: what retrievers send, what is asked again, and when enough has come.
#include "search.h"

#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "mem.h"
#include "probes.h"
#include "search_private.h"

enum {
    BUSY_AGAIN_US = 20000, // all of them are busy: asked again after this, until the deadline
};

// The task is over; if its worker was full until now, searches that wait for room are asked when
// the turn ends.
static void end_search_task(request_t *self, task_t **task)
{
    pipeline_t *pipeline = self->pipeline;
    if ((*task)->worker->outstanding >= pipeline->settings.max_outstanding) {
        pipeline->room = true;
        rl_proc_request_turn(pipeline->proc);
    }
    tasks_end(pipeline->tasks, task);
}

static void cancel_task(request_t *self, task_t **task)
{
    if (!*task)
        return;
    rl_msg_t msg = {.type = RL_CANCEL,
                    .cancel = {.task = (*task)->id, .route = (*task)->worker->route}};
    rl_wire_send((*task)->worker->push, &msg);
    latency_at_least(&(*task)->worker->latency, rl_now_us() - (*task)->sent_us);
    end_search_task(self, task);
}

void search_cancel_tasks(request_t *self, lookup_t *lookup)
{
    cancel_task(self, &lookup->task);
    cancel_task(self, &lookup->hedge);
}

// ---- events -------------------------------------------------------------------------------------

static void note_effort(request_t *self, lookup_t *lookup, const rl_hits_t *hits)
{
    snprintf(lookup->effort_kind, sizeof lookup->effort_kind, "%s", hits->effort_kind);
    lookup->effort = hits->effort;
    lookup->effort_wanted = hits->effort_wanted;
    if (lookup->effort >= lookup->effort_wanted)
        return;
    self->search->lowered = true;
    metrics_count(self->pipeline->metrics, COUNT_EFFORT_LOWERED, 1);
}

static void end_own_task(request_t *self, lookup_t *lookup, const task_t *task)
{
    end_search_task(self, task->kind == TASK_HEDGE ? &lookup->hedge : &lookup->task);
}

void search_take_hits(task_t *task, rl_msg_t *msg)
{
    request_t *self = task->request;
    lookup_t *lookup = &self->search->lookups[task->source];
    uint64_t now = rl_now_us();
    latency_add(&task->worker->latency, now - task->sent_us);
    RL_PROBE_SEARCH_ANSWERED(self->id, task->id, task->worker->id, now - task->sent_us,
                             msg->hits.hits_size);
    if (task->kind == TASK_HEDGE) {
        metrics_count(self->pipeline->metrics, COUNT_HEDGES_WON, 1);
        lookup->hedge_won = true;
        lookup->sent_us = task->sent_us; // the span is that of the task that answered
        search_set_text(&lookup->worker, task->worker->id);
    }
    end_own_task(self, lookup, task);
    search_cancel_tasks(self, lookup); // the loser
    lookup->hits = rl_must(rl_msg_move(msg));
    lookup->state = LOOKUP_ANSWERED;
    lookup->done_us = now;
    lookup->queue_us = lookup->hits->hits.queue_us;
    lookup->work_us = lookup->hits->hits.work_us;
    note_effort(self, lookup, &lookup->hits->hits);
    if (lookup->hits->hits.left_out)
        request_note_left_out(self, lookup->hits->hits.left_out,
                              "Some passages are left out: they are too long for one message of a "
                              "retriever; ask for fewer (k).");
    self->search->pending--;
}

void search_take_failure(task_t *task, const rl_failed_t *failed)
{
    request_t *self = task->request;
    lookup_t *lookup = &self->search->lookups[task->source];
    const worker_t *worker = task->worker;
    metrics_count_failure(self->pipeline->metrics,
                          lookup->source.kind == KIND_DENSE ? FAILURE_DENSE : FAILURE_LEXICAL,
                          failed->code);
    RL_PROBE_SEARCH_FAILED(self->id, task->id, worker->id, rl_now_us() - task->sent_us,
                           failed->code);
    end_own_task(self, lookup, task);
    if (lookup->task || lookup->hedge)
        return; // the other replica is still at it
    char reason[sizeof self->missing->reason];
    snprintf(reason, sizeof reason, "%s: %s", failed->code, failed->message);
    search_set_text(&lookup->reason, reason);
    lookup->failed_by = worker;
    lookup->retry = failed->retry;
    lookup->busy = strcmp(failed->code, "busy") == 0;
    lookup->state = LOOKUP_FAILED;
    self->search->failed++;
}

bool search_take_room(request_t *self)
{
    search_t *search = self->search;
    for (size_t at = 0; search && at < search->size; at++)
        if (search->lookups[at].state == LOOKUP_WAITING)
            search->room = true;
    return search && search->room;
}

static void on_look(void *arg)
{
    request_t *self = arg;
    self->search->looked = true;
    request_wake(self);
}

// ---- asking again -------------------------------------------------------------------------------

// Whether no other worker is left to be asked at once.
static bool is_last_choice(const request_t *self, const lookup_t *lookup)
{
    return lookup->tries >= SEARCH_MAX_TRIES ||
           !registry_pick(self->pipeline->registry, &lookup->source, lookup->failed_by, SIZE_MAX);
}

static void count_retry(request_t *self)
{
    metrics_count(self->pipeline->metrics, COUNT_RETRIES, 1);
    self->timeline->retries++;
}

static void retry_failed(request_t *self, lookup_t *lookup)
{
    bool last = is_last_choice(self, lookup);
    if (lookup->busy && last) {
        lookup->state = LOOKUP_WAITING;
        lookup->again_us = rl_now_us() + BUSY_AGAIN_US;
    } else if (lookup->retry && !last) {
        count_retry(self);
        search_ask(self, lookup, lookup->failed_by);
    } else {
        char *reason = lookup->reason;
        lookup->reason = NULL;
        search_miss(self, lookup, "%s", reason);
        free(reason);
    }
    lookup->failed_by = NULL;
}

static void retry_waiting(request_t *self, lookup_t *lookup, uint64_t now)
{
    bool due = self->search->looked && lookup->again_us && lookup->again_us <= now;
    if (!due && !self->search->room)
        return;
    if (due) {
        lookup->again_us = 0;
        count_retry(self);
    }
    search_ask(self, lookup, NULL);
}

void search_ask_again(request_t *self)
{
    search_t *search = self->search;
    if (!search->failed && !search->room && !search->looked)
        return;
    uint64_t now = rl_now_us();
    for (size_t at = 0; at < search->size; at++) {
        lookup_t *lookup = &search->lookups[at];
        if (lookup->state == LOOKUP_FAILED)
            retry_failed(self, lookup);
        else if (lookup->state == LOOKUP_WAITING)
            retry_waiting(self, lookup, now);
    }
    search->failed = 0;
    search->room = search->looked = false;
    search->moved = true;
}

bool search_has_moved(request_t *self, unsigned *sent)
{
    search_t *search = self->search;
    bool moved = search->moved;
    *sent = search->sent;
    search->sent = 0;
    search->moved = false;
    return moved;
}

void search_look_in(request_t *self, uint64_t us)
{
    search_t *search = self->search;
    uint64_t now = rl_now_us();
    for (size_t at = 0; at < search->size; at++) {
        const lookup_t *lookup = &search->lookups[at];
        if (lookup->state != LOOKUP_WAITING || !lookup->again_us)
            continue;
        uint64_t wait = lookup->again_us > now ? lookup->again_us - now : 0;
        wait = wait > SEARCH_MIN_LOOK_US ? wait : SEARCH_MIN_LOOK_US;
        us = !us || wait < us ? wait : us;
    }
    if (us)
        request_set_timer(self, &search->look, (int64_t)us, on_look, self);
}

// ---- when it is over ----------------------------------------------------------------------------

// The late are not waited for; what they send is a stray.
static void give_up_late(request_t *self)
{
    search_t *search = self->search;
    search_give_up_embedding(self);
    for (size_t at = 0; at < search->size; at++) {
        lookup_t *lookup = &search->lookups[at];
        if (lookup->state == LOOKUP_ANSWERED || lookup->state == LOOKUP_MISSING)
            continue;
        search_cancel_tasks(self, lookup);
        if (search->hard_over)
            search_miss(self, lookup, "no answer within %ld ms", search->hard_ms);
        else
            search_miss(self, lookup, "late: the soft deadline was over");
    }
}

// Sources that answered from another index generation than the newest are asked once more: by now
// their workers should have taken it up. Returns whether any was.
static bool ask_stale(request_t *self)
{
    bool any = false;
    for (size_t at = 0; at < self->search->size; at++) {
        lookup_t *lookup = &self->search->lookups[at];
        if (lookup->state != LOOKUP_ANSWERED || lookup->tries >= SEARCH_MAX_TRIES ||
            !search_is_stale(self, lookup))
            continue;
        // another replica may have taken it up sooner
        registry_t *registry = self->pipeline->registry;
        const worker_t *stale = registry_find(registry, lookup->hits->hits.worker);
        bool other = registry_pick(registry, &lookup->source, stale, SIZE_MAX);
        rl_msg_free(&lookup->hits);
        self->search->pending++;
        lookup->state = LOOKUP_WAITING;
        search_ask(self, lookup, other ? stale : NULL);
        any |= lookup->state != LOOKUP_MISSING;
    }
    return any;
}

bool search_is_over(request_t *self)
{
    search_t *search = self->search;
    if (search->hard_over)
        give_up_late(self);
    bool enough = search->soft_over && !self->question->require_all &&
                  search_answered(self) >= search->quorum;
    if (search->pending > 0 && !enough)
        return false;
    if (!search->soft_over && ask_stale(self))
        return false;
    give_up_late(self);
    return true;
}
