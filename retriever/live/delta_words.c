// delta_words: an index of the words of passages added, and BM25 in it.
#include "delta_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "text_index.h"

enum {
    FIRST_WORDS = 10, // bits of slots
};

// ---- a passage's terms
// ----------------------------------------------------------------------------

typedef struct taking {
    delta_entry_t *entry;
    size_t room;
    bool failed;
} taking_t;

static void take_term(void *arg, const char *term, unsigned times)
{
    taking_t *taking = arg;
    delta_entry_t *entry = taking->entry;
    if (entry->terms_size == taking->room) {
        size_t room = taking->room ? 2 * taking->room : 64;
        delta_term_t *terms = realloc(entry->terms, room * sizeof *terms);
        if (terms)
            entry->terms = terms;
        char **words = realloc(entry->words, room * sizeof(char *));
        if (words)
            entry->words = words;
        if (terms && words)
            taking->room = room;
        else
            taking->failed = true;
    }
    char *word = taking->failed ? NULL : strdup(term);
    taking->failed |= !word;
    if (taking->failed)
        return;
    entry->words[entry->terms_size] = word;
    entry->terms[entry->terms_size++] = (delta_term_t){0, times};
    entry->length += times;
}

int delta_take_words(delta_t *self, delta_entry_t *entry)
{
    const rl_passage_t *passage = &entry->passage;
    const char *const texts[] = {passage->title, passage->heading, passage->text};
    taking_t taking = {.entry = entry};
    int rc = analyzer_each(self->terms[self->kinds.threads], texts, 3, take_term, &taking);
    return rc == 0 && !taking.failed ? 0 : -1;
}

// ---- the index
// ------------------------------------------------------------------------------------

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

static int grow_slots(delta_t *self)
{
    unsigned bits = self->words_slots ? self->words_bits + 1 : FIRST_WORDS;
    uint32_t *slots = calloc((size_t)1 << bits, sizeof *slots);
    if (!slots)
        return -1;
    free(self->words_slots);
    self->words_slots = slots;
    self->words_bits = bits;
    for (uint32_t at = 0; at < self->words_size; at++)
        *slot_of(self, self->words[at].term, self->words[at].hash) = at + 1;
    return 0;
}

static int grow_words(delta_t *self)
{
    if ((!self->words_slots || 2 * (size_t)self->words_size >= (size_t)1 << self->words_bits) &&
        grow_slots(self) != 0)
        return -1;
    if (self->words_size < self->words_room)
        return 0;
    uint32_t room = self->words_room ? 2 * self->words_room : 1024;
    delta_word_t *words = realloc(self->words, room * sizeof *words);
    if (!words)
        return -1;
    self->words = words;
    self->words_room = room;
    return 0;
}

static int add_posting(delta_word_t *word, uint32_t slot, uint32_t times)
{
    if (word->size == word->room) {
        uint32_t room = word->room ? 2 * word->room : 2;
        delta_posting_t *postings = realloc(word->postings, room * sizeof *postings);
        if (!postings)
            return -1;
        word->postings = postings;
        word->room = room;
    }
    word->postings[word->size++] = (delta_posting_t){slot, times};
    word->live++;
    return 0;
}

int delta_add_words(delta_t *self, uint32_t slot)
{
    delta_entry_t *entry = self->entries[slot];
    for (uint32_t at = 0; at < entry->terms_size; at++) {
        char *term = entry->words[at];
        uint64_t hash = rl_hash64(term, strlen(term));
        if (grow_words(self) != 0)
            return -1;
        uint32_t *place = slot_of(self, term, hash);
        if (!*place) {
            self->words[self->words_size] = (delta_word_t){.term = term, .hash = hash};
            *place = ++self->words_size;
            self->bytes += sizeof(delta_word_t) + strlen(term) + 1;
        } else {
            free(term);
        }
        entry->words[at] = NULL;
        entry->terms[at].term = *place - 1;
        if (add_posting(&self->words[*place - 1], slot, entry->terms[at].times) != 0)
            return -1;
    }
    free(entry->words);
    entry->words = NULL;
    self->length += entry->length;
    return 0;
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

// ---- BM25
// -----------------------------------------------------------------------------------------

// A question's terms.
typedef struct asking {
    char **terms;
    unsigned *times;
    uint64_t *passages; // of the generation that have them
    size_t size, room;
    bool failed;
} asking_t;

static void take_asked(void *arg, const char *term, unsigned times)
{
    asking_t *asking = arg;
    if (asking->size == asking->room) {
        size_t room = asking->room ? 2 * asking->room : 32;
        char **terms = realloc(asking->terms, room * sizeof(char *));
        if (terms)
            asking->terms = terms;
        unsigned *counts = realloc(asking->times, room * sizeof *counts);
        if (counts)
            asking->times = counts;
        if (terms && counts)
            asking->room = room;
        else
            asking->failed = true;
    }
    char *copy = asking->failed ? NULL : strdup(term);
    asking->failed |= !copy;
    if (asking->failed)
        return;
    asking->terms[asking->size] = copy;
    asking->times[asking->size++] = times;
}

static void free_asking(asking_t *self)
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

// The scores of all passages added, and the highest that is possible. 0, or -1: out of memory.
static int score_all(delta_t *self, const asking_t *asking, const delta_base_t *base,
                     double *scores, double *bound)
{
    double length = 0;
    base->look(base->arg, (const char *const *)asking->terms, asking->size, asking->passages,
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
    return 0;
}

static bool is_better(const delta_found_t *one, const delta_found_t *other)
{
    return one->score > other->score || (one->score == other->score && one->id < other->id);
}

// Keeps the k best, best first.
static size_t offer(delta_found_t *found, size_t size, size_t k, delta_found_t item)
{
    if (size == k && !is_better(&item, &found[size - 1]))
        return size;
    size_t at = size < k ? size++ : size - 1;
    for (; at > 0 && is_better(&item, &found[at - 1]); at--)
        found[at] = found[at - 1];
    found[at] = item;
    return size;
}

long delta_match(delta_t *self, size_t thread, const char *text, size_t k, const char *filter,
                 const delta_base_t *base, delta_found_t *found, double *bound)
{
    asking_t asking = {0};
    uint64_t *bits = NULL;
    *bound = 0;
    if (self->failed)
        return -1;
    if (!self->kinds.words || self->live == 0)
        return 0;
    int rc = analyzer_each(self->terms[thread], &text, 1, take_asked, &asking);
    asking.passages = calloc(asking.size + 1, sizeof *asking.passages);
    double *scores = calloc((size_t)self->size + 1, sizeof *scores);
    if (rc != 0 || asking.failed || !asking.passages || !scores)
        rc = -1;
    if (rc == 0 && filter)
        rc = delta_select(self, filter, &bits);
    if (rc == 0)
        rc = score_all(self, &asking, base, scores, bound);
    size_t size = 0;
    for (uint32_t slot = 0; rc == 0 && slot < self->size; slot++)
        if (scores[slot] > 0 && (!bits || bits[slot / 64] >> slot % 64 & 1))
            size = offer(found, size, k, (delta_found_t){self->count + slot + 1, scores[slot]});
    free(bits);
    free(scores);
    free_asking(&asking);
    return rc == 0 ? (long)size : -1;
}
