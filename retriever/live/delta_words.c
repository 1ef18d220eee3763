// delta_words: an index of the words of passages added, and BM25 in it.
#include "delta_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "mem.h"
#include "text_index.h"

enum {
    FIRST_WORDS = 10, // bits of slots
};

// ---- a passage's terms --------------------------------------------------------------------------

typedef struct entry_terms {
    delta_entry_t *entry;
    size_t room;
} entry_terms_t;

static void take_term(void *arg, const char *term, unsigned times)
{
    entry_terms_t *taking = arg;
    delta_entry_t *entry = taking->entry;
    if (entry->terms_size == taking->room) {
        taking->room = taking->room ? 2 * taking->room : 64;
        entry->terms = rl_realloc(entry->terms, taking->room, sizeof *entry->terms);
        entry->words = rl_realloc(entry->words, taking->room, sizeof(char *));
    }
    entry->words[entry->terms_size] = rl_strdup(term);
    entry->terms[entry->terms_size++] = (delta_term_t){0, times};
    entry->length += times;
}

void delta_take_words(delta_t *self, delta_entry_t *entry)
{
    const rl_passage_t *passage = &entry->passage;
    const char *const texts[] = {passage->title, passage->heading, passage->text};
    entry_terms_t taking = {.entry = entry};
    analyzer_each(self->analyzers[self->kinds.threads], texts, 3, take_term, &taking);
}

// ---- the index ----------------------------------------------------------------------------------

// Where the term's number stands, or would.
static uint32_t *slot_of(const delta_t *self, const char *term, uint64_t hash)
{
    size_t mask = ((size_t)1 << self->words_bits) - 1, at = hash & mask;
    for (; self->words_slots[at]; at = (at + 1) & mask) {
        const delta_word_t *word = &self->words[self->words_slots[at] - 1];
        if (word->hash == hash && strcmp(word->term, term) == 0)
            break;
    }
    return &self->words_slots[at];
}

static void grow_slots(delta_t *self)
{
    self->words_bits = self->words_slots ? self->words_bits + 1 : FIRST_WORDS;
    free(self->words_slots);
    self->words_slots = rl_alloc_array((size_t)1 << self->words_bits, sizeof *self->words_slots);
    for (uint32_t at = 0; at < self->words_size; at++)
        *slot_of(self, self->words[at].term, self->words[at].hash) = at + 1;
}

static void grow_words(delta_t *self)
{
    if (!self->words_slots || 2 * (size_t)self->words_size >= (size_t)1 << self->words_bits)
        grow_slots(self);
    if (self->words_size < self->words_room)
        return;
    self->words_room = self->words_room ? 2 * self->words_room : 1024;
    self->words = rl_realloc(self->words, self->words_room, sizeof *self->words);
}

static void add_posting(delta_word_t *word, uint32_t slot, uint32_t times)
{
    if (word->size == word->room) {
        word->room = word->room ? 2 * word->room : 2;
        word->postings = rl_realloc(word->postings, word->room, sizeof *word->postings);
    }
    word->postings[word->size++] = (delta_posting_t){slot, times};
    word->live++;
}

void delta_add_words(delta_t *self, uint32_t slot)
{
    delta_entry_t *entry = self->entries[slot];
    for (uint32_t at = 0; at < entry->terms_size; at++) {
        char *term = entry->words[at];
        uint64_t hash = rl_hash64(term, strlen(term));
        grow_words(self);
        uint32_t *place = slot_of(self, term, hash);
        if (!*place) {
            self->words[self->words_size] = (delta_word_t){.term = term, .hash = hash};
            *place = ++self->words_size;
        } else {
            free(term);
        }
        entry->words[at] = NULL;
        entry->terms[at].term = *place - 1;
        add_posting(&self->words[*place - 1], slot, entry->terms[at].times);
    }
    free(entry->words);
    entry->words = NULL;
    self->length += entry->length;
}

void delta_drop_words(delta_t *self, const delta_entry_t *entry)
{
    if (!self->kinds.words)
        return;
    for (uint32_t at = 0; at < entry->terms_size; at++)
        self->words[entry->terms[at].term].live--;
    self->length -= entry->length;
}

void delta_free_words(delta_t *self)
{
    for (uint32_t at = 0; at < self->words_size; at++) {
        free(self->words[at].term);
        free(self->words[at].postings);
    }
    free(self->words);
    free(self->words_slots);
}

// ---- BM25 ---------------------------------------------------------------------------------------

// A question's terms.
typedef struct query_terms {
    char **terms;
    unsigned *times;
    uint64_t *passages; // of the generation that have them
    size_t size, room;
} query_terms_t;

static void take_query_term(void *arg, const char *term, unsigned times)
{
    query_terms_t *self = arg;
    if (self->size == self->room) {
        self->room = self->room ? 2 * self->room : 32;
        self->terms = rl_realloc(self->terms, self->room, sizeof(char *));
        self->times = rl_realloc(self->times, self->room, sizeof *self->times);
    }
    self->terms[self->size] = rl_strdup(term);
    self->times[self->size++] = times;
}

static void free_query_terms(query_terms_t *self)
{
    for (size_t at = 0; at < self->size; at++)
        free(self->terms[at]);
    free(self->terms);
    free(self->times);
    free(self->passages);
}

// Adds a term's share to the scores of passages that have it.
static void score_term(const delta_t *self, const delta_word_t *word, double weight, double average,
                       double *scores)
{
    for (uint32_t at = 0; at < word->size; at++) {
        const delta_posting_t *posting = &word->postings[at];
        const delta_entry_t *entry = self->entries[posting->slot];
        if (entry->live)
            scores[posting->slot] +=
                weight * text_term_share(posting->times, entry->length / average);
    }
}

// The scores of all passages added, and the highest that is possible.
static void score_all(delta_t *self, const query_terms_t *asking, const delta_base_t *base,
                      double *scores, double *bound)
{
    double length = 0;
    base->count_terms(base->arg, (const char *const *)asking->terms, asking->size, asking->passages,
                      &length);
    double all = (double)(base->count + self->live);
    double average = (length * (double)base->count + (double)self->length) / (all > 0 ? all : 1);
    *bound = 0;
    for (size_t at = 0; at < asking->size; at++) {
        const char *term = asking->terms[at];
        uint32_t number =
            self->words_slots ? *slot_of(self, term, rl_hash64(term, strlen(term))) : 0;
        const delta_word_t *word = number > 0 ? &self->words[number - 1] : NULL;
        double weight = text_term_weight(
            all, (double)(asking->passages[at] + (word ? word->live : 0)), asking->times[at]);
        *bound += weight * text_term_most();
        if (word)
            score_term(self, word, weight, average > 0 ? average : 1, scores);
    }
}

static bool is_better(const delta_found_t *one, const delta_found_t *other)
{
    return one->score > other->score || (one->score == other->score && one->id < other->id);
}

// Keeps the k best, best first.
static size_t insert_best(delta_found_t *found, size_t size, size_t k, delta_found_t item)
{
    if (size == k && !is_better(&item, &found[size - 1]))
        return size;
    size_t at = size < k ? size++ : size - 1;
    for (; at > 0 && is_better(&item, &found[at - 1]); at--)
        found[at] = found[at - 1];
    found[at] = item;
    return size;
}

size_t delta_match(delta_t *self, size_t thread, const char *text, size_t k, const char *filter,
                   const delta_base_t *base, delta_found_t *found, double *bound)
{
    query_terms_t asking = {0};
    *bound = 0;
    if (!self->kinds.words || self->live == 0)
        return 0;
    analyzer_each(self->analyzers[thread], &text, 1, take_query_term, &asking);
    asking.passages = rl_alloc_array(asking.size + 1, sizeof *asking.passages);
    double *scores = rl_alloc_array((size_t)self->size + 1, sizeof *scores);
    uint64_t *bits = filter ? delta_select(self, filter) : NULL;
    score_all(self, &asking, base, scores, bound);
    size_t size = 0;
    for (uint32_t slot = 0; slot < self->size; slot++)
        if (scores[slot] > 0 && (!bits || bits[slot / 64] >> slot % 64 & 1))
            size =
                insert_best(found, size, k, (delta_found_t){self->count + slot + 1, scores[slot]});
    free(bits);
    free(scores);
    free_query_terms(&asking);
    return size;
}
