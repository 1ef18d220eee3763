// delta_filter: which of the passages added fulfil a filter. They never change, so the result of a
// filter is cached, and it is applied only to passages added since.
#include "delta_private.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "fields.h"
#include "mem.h"

// ---- values -------------------------------------------------------------------------------------

static int take_value(void *arg, const char *field, const json_t *json)
{
    delta_entry_t *entry = arg;
    entry->values = rl_realloc(entry->values, entry->values_size + 1, sizeof *entry->values);
    delta_value_t *value = &entry->values[entry->values_size++];
    *value = (delta_value_t){.field = rl_strdup(field), .type = RL_FILTER_TYPES};
    size_t size = json_string_length(json);
    const char *text = json_string_value(json);
    if (json_is_boolean(json)) {
        value->type = RL_FILTER_BOOLEAN;
        value->number = json_is_true(json);
    } else if (json_is_number(json)) {
        value->type = RL_FILTER_NUMBER;
        value->number = json_number_value(json);
    } else if (text && size <= RL_FILTER_MAX_STRING && strlen(text) == size) {
        value->type = RL_FILTER_STRING;
        value->string = rl_strdup(text);
        value->size = size;
    }
    return 0;
}

void delta_take_values(delta_entry_t *entry)
{
    fields_each(&entry->passage, take_value, entry);
}

void delta_free_values(delta_entry_t *entry)
{
    for (size_t at = 0; at < entry->values_size; at++) {
        free(entry->values[at].field);
        free(entry->values[at].string);
    }
    free(entry->values);
}

// ---- conditions ---------------------------------------------------------------------------------

// Below, equal to or above 0, as the value stands to the filter's.
static int compare_values(const delta_value_t *value, const rl_filter_value_t *other)
{
    if (value->type != RL_FILTER_STRING)
        return (value->number > other->number) - (value->number < other->number);
    size_t both = value->size < other->size ? value->size : other->size;
    int order = memcmp(value->string, other->string, both);
    return order ? order : (value->size > other->size) - (value->size < other->size);
}

static bool is_in(const rl_filter_t *filter, const delta_value_t *value)
{
    for (size_t at = 0; at < filter->values_size; at++)
        if (value->type == (unsigned)filter->values[at].type &&
            compare_values(value, &filter->values[at]) == 0)
            return true;
    return false;
}

static bool is_within(const rl_filter_t *filter, const delta_value_t *value)
{
    const rl_filter_value_t *low = &filter->values[0], *high = &filter->values[1];
    if (value->type != (unsigned)(filter->low ? low->type : high->type))
        return false;
    int above = filter->low ? compare_values(value, low) : 1;
    int below = filter->high ? compare_values(value, high) : -1;
    return (above > 0 || (above == 0 && !filter->low_open)) &&
           (below < 0 || (below == 0 && !filter->high_open));
}

static bool value_fulfils(const rl_filter_t *filter, const delta_value_t *value)
{
    switch (filter->op) {
    case RL_FILTER_IN:
        return is_in(filter, value);
    case RL_FILTER_RANGE:
        return is_within(filter, value);
    case RL_FILTER_PREFIX:
        return value->type == RL_FILTER_STRING && value->size >= filter->values[0].size &&
               memcmp(value->string, filter->values[0].string, filter->values[0].size) == 0;
    default:
        return true; // EXISTS
    }
}

static bool entry_fulfils(const rl_filter_t *filter, const delta_entry_t *entry)
{
    switch (filter->op) {
    case RL_FILTER_NOT:
        return !entry_fulfils(filter->parts[0], entry);
    case RL_FILTER_AND:
    case RL_FILTER_OR:
        for (size_t at = 0; at < filter->parts_size; at++)
            if (entry_fulfils(filter->parts[at], entry) == (filter->op == RL_FILTER_OR))
                return filter->op == RL_FILTER_OR;
        return filter->op == RL_FILTER_AND;
    default:
        for (size_t at = 0; at < entry->values_size; at++)
            if (strcmp(entry->values[at].field, filter->field) == 0 &&
                value_fulfils(filter, &entry->values[at]))
                return true;
        return false;
    }
}

// ---- cached results -----------------------------------------------------------------------------

static void clear_memo(delta_memo_t *memo)
{
    free(memo->text);
    free(memo->bits);
    rl_filter_destroy(&memo->filter);
    *memo = (delta_memo_t){0};
}

void delta_free_memos(delta_t *self)
{
    for (size_t at = 0; at < DELTA_FILTERS; at++)
        clear_memo(&self->memos[at]);
}

// The filter's memo; if it has none, the one that is free or was not used for longest becomes it.
static delta_memo_t *memo_of(delta_t *self, const char *filter)
{
    delta_memo_t *oldest = &self->memos[0];
    for (size_t at = 0; at < DELTA_FILTERS; at++) {
        delta_memo_t *memo = &self->memos[at];
        if (memo->text && strcmp(memo->text, filter) == 0)
            return memo;
        if (memo->used < oldest->used)
            oldest = memo;
    }
    rl_filter_error_t trouble;
    clear_memo(oldest);
    oldest->text = rl_strdup(filter);
    oldest->filter = rl_filter_parse(filter, strlen(filter), &trouble);
    return oldest;
}

static void apply_to_new(const delta_t *self, delta_memo_t *memo)
{
    if (memo->room < self->size) {
        uint32_t room = (self->size + DELTA_BLOCK - 1) / DELTA_BLOCK * DELTA_BLOCK;
        memo->bits = rl_realloc(memo->bits, room / 64, sizeof *memo->bits);
        memset(memo->bits + memo->room / 64, 0, (room - memo->room) / 8);
        memo->room = room;
    }
    for (; memo->size < self->size; memo->size++)
        if (memo->filter && entry_fulfils(memo->filter, self->entries[memo->size]))
            memo->bits[memo->size / 64] |= UINT64_C(1) << memo->size % 64;
}

uint64_t *delta_select(delta_t *self, const char *filter)
{
    pthread_mutex_lock(&self->memo_mutex);
    delta_memo_t *memo = memo_of(self, filter);
    apply_to_new(self, memo);
    memo->used = ++self->memo_uses;
    uint64_t *bits = rl_alloc_array(memo->room / 64 + 1, sizeof *bits);
    if (memo->room > 0)
        memcpy(bits, memo->bits, memo->room / 8);
    pthread_mutex_unlock(&self->memo_mutex);
    return bits;
}
