// trace_chrome: timelines as complete events ("ph":"X") in the Trace Event Format.
#include "trace_chrome.h"

#include <stdlib.h>
#include <string.h>

#include "json_write.h"
#include "mem.h"

// Tracks of a process, in the order in which they are shown: answers, states, stages.
enum {
    TRACK_ANSWER,
    TRACK_STATES,
    TRACK_SEARCH = TRACK_STATES + REQUEST_STATES, // whole searches
    TRACK_STAGES,
    TRACKS = TRACK_STAGES + STAGES,
};

typedef struct event {
    uint64_t start_us, end_us; // by the monotonic clock
    const timeline_t *timeline;
    const span_t *span; // NULL: the gateway's own
    unsigned process, track, lane;
} event_t;

typedef struct chrome {
    const char **processes; // names; 0 is the gateway
    size_t processes_size, processes_room;
    event_t *events;
    size_t size, room;
} chrome_t;

static void *grow_array(void *array, size_t size, size_t *room, size_t unit)
{
    if (size < *room)
        return array;
    *room = *room ? *room * 2 : 64;
    return rl_realloc(array, *room, unit);
}

static unsigned process_of(chrome_t *self, const char *name)
{
    if (!*name)
        return 0;
    for (size_t at = 1; at < self->processes_size; at++)
        if (strcmp(self->processes[at], name) == 0)
            return (unsigned)at;
    self->processes = grow_array(self->processes, self->processes_size, &self->processes_room,
                                 sizeof *self->processes);
    self->processes[self->processes_size] = name;
    return (unsigned)self->processes_size++;
}

// ---- collecting ---------------------------------------------------------------------------------

static void add_event(chrome_t *self, const timeline_t *timeline, const span_t *span,
                      unsigned track, uint64_t start_us, uint64_t took_us)
{
    self->events = grow_array(self->events, self->size, &self->room, sizeof *self->events);
    self->events[self->size++] = (event_t){.start_us = timeline->received_us + start_us,
                                           .end_us = timeline->received_us + start_us + took_us,
                                           .timeline = timeline,
                                           .span = span,
                                           .process = span ? process_of(self, span->worker) : 0,
                                           .track = track};
}

static void add_span(chrome_t *self, const timeline_t *timeline, const span_t *span)
{
    if (!span->collection) {
        add_event(self, timeline, span, TRACK_STAGES + (unsigned)span->stage, span->start_us,
                  span->took_us);
        return;
    }
    add_event(self, timeline, span, TRACK_SEARCH, span->start_us, span->took_us);
    if (span->missing)
        return;
    add_event(self, timeline, span, TRACK_STAGES + STAGE_SEARCH_QUEUE, span->start_us,
              span->queue_us);
    add_event(self, timeline, span, TRACK_STAGES + STAGE_SEARCH_WORK,
              span->start_us + span->queue_us, span->work_us);
}

static void add_timeline(chrome_t *self, const timeline_t *timeline)
{
    add_event(self, timeline, NULL, TRACK_ANSWER, 0, timeline->end_us);
    for (size_t at = 0; at < timeline->steps_size; at++) {
        const timeline_step_t *step = &timeline->steps[at];
        uint64_t end =
            at + 1 < timeline->steps_size ? timeline->steps[at + 1].start_us : timeline->end_us;
        if (step->state < REQUEST_DONE)
            add_event(self, timeline, NULL, TRACK_STATES + (unsigned)step->state, step->start_us,
                      end > step->start_us ? end - step->start_us : 0);
    }
    for (size_t at = 0; at < timeline->spans_size; at++)
        add_span(self, timeline, &timeline->spans[at]);
}

// ---- lanes --------------------------------------------------------------------------------------

static int by_number(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int by_track(const void *a_p, const void *b_p)
{
    const event_t *a = a_p, *b = b_p;
    if (a->process != b->process)
        return by_number(a->process, b->process);
    if (a->track != b->track)
        return by_number(a->track, b->track);
    if (a->start_us != b->start_us)
        return by_number(a->start_us, b->start_us);
    return by_number(a->end_us, b->end_us);
}

static bool same_track(const event_t *a, const event_t *b)
{
    return a->process == b->process && a->track == b->track;
}

// Events on one track may not overlap: each takes the first lane that is free.
static void choose_lanes(chrome_t *self)
{
    uint64_t *ends = NULL; // of each lane of the track at hand
    size_t lanes = 0, room = 0;
    if (self->size > 0)
        qsort(self->events, self->size, sizeof *self->events, by_track);
    for (size_t at = 0; at < self->size; at++) {
        event_t *event = &self->events[at];
        if (at > 0 && !same_track(event, event - 1))
            lanes = 0;
        size_t lane = 0;
        while (lane < lanes && ends[lane] > event->start_us)
            lane++;
        if (lane == lanes) {
            ends = grow_array(ends, lanes, &room, sizeof *ends);
            lanes++;
        }
        ends[lane] = event->end_us;
        event->lane = (unsigned)lane;
    }
    free(ends);
}

// ---- writing ------------------------------------------------------------------------------------

static const char *track_name(unsigned track)
{
    if (track == TRACK_ANSWER)
        return "answer";
    if (track == TRACK_SEARCH)
        return "search";
    return track < TRACK_SEARCH ? request_state_names[track - TRACK_STATES]
                                : stage_names[track - TRACK_STAGES];
}

// Threads are numbered by track and lane, so that they are in the order of both.
static unsigned long long thread_of(const event_t *event)
{
    return (unsigned long long)event->track * 1000000 + event->lane + 1;
}

// {"ph":"M"}: what a process or a track is called, and its place.
static void name_process(const chrome_t *self, unsigned process, const char *gateway, rl_buf_t *out)
{
    rl_buf_addf(out, "{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":%u,\"tid\":0,\"args\":{",
                process + 1);
    rl_json_text(out, "name", process ? self->processes[process] : gateway);
    rl_buf_addf(out,
                "}},\n{\"ph\":\"M\",\"name\":\"process_sort_index\",\"pid\":%u,\"tid\":0,"
                "\"args\":{\"sort_index\":%u}}",
                process + 1, process);
}

static void name_thread(const event_t *event, rl_buf_t *out)
{
    rl_buf_addf(out,
                ",\n{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":%u,\"tid\":%llu,"
                "\"args\":{\"name\":\"%s\"}}",
                event->process + 1, thread_of(event), track_name(event->track));
    rl_buf_addf(out,
                ",\n{\"ph\":\"M\",\"name\":\"thread_sort_index\",\"pid\":%u,\"tid\":%llu,"
                "\"args\":{\"sort_index\":%llu}}",
                event->process + 1, thread_of(event), thread_of(event));
}

static void write_args(const event_t *event, rl_buf_t *out)
{
    const timeline_t *timeline = event->timeline;
    const span_t *span = event->span;
    rl_json_open(out, "args", '{');
    rl_json_text(out, "answer", timeline->id);
    if (event->track == TRACK_ANSWER) {
        rl_json_text(out, "trace_id", timeline->trace_id);
        rl_json_text(out, "collection", timeline->collection);
        rl_json_text(out, "outcome", request_state_names[timeline->outcome]);
        if (*timeline->error)
            rl_json_text(out, "error", timeline->error);
        rl_json_count(out, "tokens", timeline->tokens);
        rl_json_count(out, "first_token_us", timeline->first_token_us);
    }
    if (span && span->detail)
        rl_json_text(out, "how", span->detail);
    if (span && span->collection) {
        rl_json_text(out, "collection", span->collection);
        rl_json_count(out, "shard", span->shard);
        rl_json_text(out, "kind", kind_names[span->kind]);
        if (span->missing)
            rl_json_text(out, "missing", span->missing);
    }
    rl_buf_adds(out, "}");
}

static void write_event(const event_t *event, rl_buf_t *out)
{
    const char *name = event->track == TRACK_ANSWER   ? event->timeline->form
                       : event->track == TRACK_SEARCH ? kind_names[event->span->kind]
                                                      : track_name(event->track);
    rl_buf_addf(out,
                ",\n{\"ph\":\"X\",\"cat\":\"ragline\",\"name\":\"%s\",\"pid\":%u,\"tid\":%llu,"
                "\"ts\":%llu,\"dur\":%llu",
                name, event->process + 1, thread_of(event), (unsigned long long)event->start_us,
                (unsigned long long)(event->end_us - event->start_us));
    write_args(event, out);
    rl_buf_adds(out, "}");
}

void trace_chrome_write(const timeline_t *const *timelines, size_t size, const char *gateway,
                        rl_buf_t *out)
{
    chrome_t self = {.processes_size = 1};
    self.processes = grow_array(NULL, 0, &self.processes_room, sizeof *self.processes);
    for (size_t at = 0; at < size; at++)
        add_timeline(&self, timelines[at]);
    choose_lanes(&self);
    rl_buf_addf(out, "{\"displayTimeUnit\":\"ms\",\"otherData\":{\"unix_us_at_0\":\"%lld\"},",
                size ? (long long)timelines[0]->wall_us - (long long)timelines[0]->received_us : 0);
    rl_buf_adds(out, "\"traceEvents\":[\n");
    for (unsigned process = 0; process < self.processes_size; process++) {
        rl_buf_adds(out, process ? ",\n" : "");
        name_process(&self, process, gateway, out);
    }
    unsigned named = 0; // lanes of the track at hand
    for (size_t at = 0; at < self.size && !out->full; at++) {
        const event_t *event = &self.events[at];
        if (at > 0 && !same_track(event, event - 1))
            named = 0;
        if (event->lane == named) {
            name_thread(event, out);
            named++;
        }
        write_event(event, out);
    }
    rl_buf_adds(out, "\n]}\n");
    free(self.events);
    free(self.processes);
}
