// recording: the answers, the newest of them if there are too many.
#include "recording_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

struct recording {
    names_t *names;
    answer_record_t **answers; // a ring while it is filled
    size_t first, size, pieces, foreign, dropped;
};

recording_t *recording_new(void)
{
    recording_t *self = rl_new(*self);
    self->names = names_new();
    self->answers = rl_alloc_array(RECORDING_MAX_ANSWERS, sizeof(answer_record_t *));
    return self;
}

static answer_record_t **find_place(const recording_t *self, size_t at)
{
    return &self->answers[(self->first + at) % RECORDING_MAX_ANSWERS];
}

void recording_destroy(recording_t **self_p)
{
    recording_t *self = *self_p;
    if (!self)
        return;
    for (size_t at = 0; at < self->size; at++)
        free(*find_place(self, at));
    free(self->answers);
    names_destroy(&self->names);
    free(self);
    *self_p = NULL;
}

static size_t pieces_of(const answer_record_t *answer)
{
    return (size_t)answer->seeks_size + answer->charges_size;
}

static void drop_first(recording_t *self)
{
    answer_record_t **first = find_place(self, 0);
    self->pieces -= pieces_of(*first);
    free(*first);
    *first = NULL;
    self->first = (self->first + 1) % RECORDING_MAX_ANSWERS;
    self->size--;
    self->dropped++;
}

static void keep_answer(recording_t *self, answer_record_t *answer)
{
    self->pieces += pieces_of(answer);
    if (self->size == RECORDING_MAX_ANSWERS)
        drop_first(self);
    *find_place(self, self->size++) = answer;
    while (self->pieces > RECORDING_MAX_PIECES && self->size > 1)
        drop_first(self);
}

static void take_one(recording_t *self, const json_t *value)
{
    answer_record_t *answer = recording_read(self->names, value);
    if (answer)
        keep_answer(self, answer);
    else
        self->foreign++;
}

void recording_take(recording_t *self, const json_t *value)
{
    const json_t *list = json_is_array(value) ? value : json_object_get(value, "traces"), *item;
    size_t at;
    if (!json_is_array(list)) {
        take_one(self, value);
        return;
    }
    json_array_foreach(list, at, item) take_one(self, item);
}

size_t recording_size(const recording_t *self)
{
    return self->size;
}

const answer_record_t *recording_at(const recording_t *self, size_t at)
{
    return *find_place(self, at);
}

names_t *recording_names(const recording_t *self)
{
    return self->names;
}

size_t recording_foreign(const recording_t *self)
{
    return self->foreign;
}

size_t recording_dropped(const recording_t *self)
{
    return self->dropped;
}

// ---- the busiest stretch ------------------------------------------------------------------------

static int by_arrival(const void *one, const void *other)
{
    double a = (*(answer_record_t *const *)one)->at_ms;
    double b = (*(answer_record_t *const *)other)->at_ms;
    return a < b ? -1 : a > b;
}

static bool arrivals_known(const recording_t *self)
{
    for (size_t at = 0; at < self->size; at++)
        if (isnan(recording_at(self, at)->at_ms))
            return false;
    return self->size > 0;
}

// Turns the ring so that its first answer stands first.
static void sort_answers(recording_t *self)
{
    answer_record_t **straight = rl_alloc_array(RECORDING_MAX_ANSWERS, sizeof(answer_record_t *));
    for (size_t at = 0; at < self->size; at++)
        straight[at] = *find_place(self, at);
    free(self->answers);
    self->answers = straight;
    self->first = 0;
}

// Keeps [from, from + size).
static void cut_answers(recording_t *self, size_t from, size_t size)
{
    for (size_t at = 0; at < self->size; at++)
        if (at < from || at >= from + size)
            free(self->answers[at]);
    memmove(self->answers, self->answers + from, size * sizeof(answer_record_t *));
    self->size = size;
}

void recording_busiest(recording_t *self, double window_s)
{
    size_t best = 0, most = 0, from = 0;
    if (!arrivals_known(self))
        return;
    sort_answers(self);
    qsort(self->answers, self->size, sizeof(answer_record_t *), by_arrival);
    for (size_t at = 0; at < self->size; at++) {
        while (self->answers[at]->at_ms - self->answers[from]->at_ms > window_s * 1000)
            from++;
        if (at - from + 1 > most) {
            most = at - from + 1;
            best = from;
        }
    }
    cut_answers(self, best, most);
}

double recording_lasted_ms(const recording_t *self)
{
    if (self->size < 2 || !arrivals_known(self))
        return 0;
    return recording_at(self, self->size - 1)->at_ms - recording_at(self, 0)->at_ms;
}

double recording_rate(const recording_t *self)
{
    double lasted = recording_lasted_ms(self);
    return lasted > 0 ? 1000 * (double)(self->size - 1) / lasted : 0;
}

uint32_t recording_process(const recording_t *self, uint32_t worker)
{
    const char *id = names_text(self->names, worker);
    return names_number(self->names, id, strcspn(id, "/"));
}
