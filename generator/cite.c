// cite: finds the passages that support a sentence of the answer.
#include "cite.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "mem.h"
#include "sentence.h"
#include "text_terms.h"

enum {
    SENTENCE_MAX = 4096,  // bytes of a sentence that are looked at
    SENTENCE_TERMS = 96,  // different terms of a sentence that are looked at
    PASSAGES_MAX = 64,    // passages that can be cited
    PASSAGE_TERMS = 4096, // terms of a passage that are looked at
    MARK_MAX = 16,        // bytes of "[12, 13]"
};

// A sentence is supported from here on; found by hand on answers of small models: below it are
// sentences that only share the subject with the passage.
static const double threshold = 0.5;
static const double pairs_share = 0.25;

typedef enum cite_state {
    IN_SENTENCE,
    AT_STOP, // after . ! ?: white space ends the sentence
    IN_GAP,  // the sentence is over; a number in brackets may still belong to it
    IN_MARK, // such a number
} cite_state_t;

struct cite {
    uint32_t *terms;             // of all passages, in a row
    uint32_t ends[PASSAGES_MAX]; // where each passage's end
    size_t passages;
    rl_buf_t sentence;
    cite_state_t state;
    char mark[MARK_MAX]; // what came since [
    size_t mark_size;
    unsigned marked[CITE_MAX]; // numbers written after the sentence
    size_t marked_size;
};

// The different terms of a sentence, and its pairs of neighbours.
typedef struct words {
    uint32_t terms[SENTENCE_TERMS];
    double weights[SENTENCE_TERMS];
    size_t size;
    uint32_t pairs[SENTENCE_TERMS][2];
    size_t pairs_size;
} words_t;

cite_t *cite_new(void)
{
    cite_t *self = rl_new(*self);
    self->sentence = rl_buf_make(SENTENCE_MAX);
    return self;
}

void cite_destroy(cite_t **self_p)
{
    cite_t *self = *self_p;
    if (!self)
        return;
    rl_buf_free(&self->sentence);
    free(self->terms);
    free(self);
    *self_p = NULL;
}

void cite_learn(cite_t *self, const rl_passage_t *passages, size_t size)
{
    rl_buf_t terms = rl_buf_make((size_t)PASSAGES_MAX * PASSAGE_TERMS * sizeof(uint32_t));
    size = size < PASSAGES_MAX ? size : PASSAGES_MAX;
    for (size_t at = 0; at < size; at++) {
        const char *parts[] = {passages[at].title, passages[at].heading, passages[at].text};
        size_t taken = 0;
        for (size_t part = 0; part < 3; part++) {
            rl_text_terms_t each = rl_text_terms(parts[part], strlen(parts[part]));
            uint32_t hash;
            while (taken < PASSAGE_TERMS && rl_text_terms_next(&each, &hash)) {
                rl_buf_add(&terms, &hash, sizeof hash);
                taken++;
            }
        }
        self->ends[at] = (uint32_t)(terms.size / sizeof(uint32_t));
    }
    self->passages = terms.full ? 0 : size;
    free(self->terms);
    // exactly as large as needed: this stays for as long as the answer is written
    self->terms = rl_must(malloc(terms.size + 1));
    if (terms.size > 0)
        memcpy(self->terms, terms.data, terms.size);
    rl_buf_free(&terms);
}

// ---- how well a passage supports a sentence ---------------------------------------------

static size_t find_term(const words_t *words, uint32_t hash)
{
    size_t at = 0;
    while (at < words->size && words->terms[at] != hash)
        at++;
    return at;
}

static void read_words(words_t *words, const char *text, size_t size)
{
    rl_text_terms_t each = rl_text_terms(text, size);
    uint32_t hash, before = 0;
    bool first = true;
    words->size = words->pairs_size = 0;
    while (words->size < SENTENCE_TERMS && rl_text_terms_next(&each, &hash)) {
        if (find_term(words, hash) == words->size)
            words->terms[words->size++] = hash;
        if (!first && words->pairs_size < SENTENCE_TERMS) {
            words->pairs[words->pairs_size][0] = before;
            words->pairs[words->pairs_size++][1] = hash;
        }
        before = hash;
        first = false;
    }
}

// Which of the sentence's terms and pairs the passage has.
static void match_passage(const cite_t *self, size_t passage, const words_t *words, bool *has,
                          bool *has_pair)
{
    memset(has, 0, words->size);
    memset(has_pair, 0, words->pairs_size);
    // a byte per last 8 bits of a hash keeps most of the passage's terms away from the search
    bool may[256] = {false};
    for (size_t at = 0; at < words->size; at++)
        may[words->terms[at] & 255u] = true;
    uint32_t before = 0;
    bool before_known = false;
    for (size_t at = passage ? self->ends[passage - 1] : 0; at < self->ends[passage]; at++) {
        uint32_t hash = self->terms[at];
        size_t found = may[hash & 255u] ? find_term(words, hash) : words->size;
        bool known = found < words->size;
        if (known)
            has[found] = true;
        for (size_t pair = 0; known && before_known && pair < words->pairs_size; pair++)
            if (words->pairs[pair][0] == before && words->pairs[pair][1] == hash)
                has_pair[pair] = true;
        before = hash;
        before_known = known;
    }
}

static double score_of(const words_t *words, const bool *has, const bool *has_pair, size_t *matched)
{
    double all = 0, got = 0;
    size_t pairs = 0;
    *matched = 0;
    for (size_t at = 0; at < words->size; at++) {
        all += words->weights[at];
        if (has[at]) {
            got += words->weights[at];
            (*matched)++;
        }
    }
    for (size_t at = 0; at < words->pairs_size; at++)
        pairs += has_pair[at];
    double share = all > 0 ? got / all : 0;
    if (words->pairs_size == 0)
        return share;
    return (1 - pairs_share) * share + pairs_share * (double)pairs / (double)words->pairs_size;
}

// The scores of all passages for this sentence, and how many of its terms each has.
static void score_all(const cite_t *self, words_t *words, double *scores, size_t *matched)
{
    bool has[PASSAGES_MAX][SENTENCE_TERMS], has_pair[PASSAGES_MAX][SENTENCE_TERMS];
    for (size_t passage = 0; passage < self->passages; passage++)
        match_passage(self, passage, words, has[passage], has_pair[passage]);
    for (size_t at = 0; at < words->size; at++) {
        size_t df = 0;
        for (size_t passage = 0; passage < self->passages; passage++)
            df += has[passage][at];
        words->weights[at] = 1 + log(((double)self->passages + 1) / ((double)df + 1));
    }
    for (size_t passage = 0; passage < self->passages; passage++)
        scores[passage] = score_of(words, has[passage], has_pair[passage], &matched[passage]);
}

double cite_score(const cite_t *self, size_t passage, const char *text, size_t size)
{
    words_t words;
    double scores[PASSAGES_MAX];
    size_t matched[PASSAGES_MAX];
    if (passage >= self->passages)
        return 0;
    read_words(&words, text, size);
    score_all(self, &words, scores, matched);
    return scores[passage];
}

// ---- what a sentence gets ---------------------------------------------------------------

static void note_mark(cite_t *self, const char *text, size_t size)
{
    unsigned number = 0;
    for (size_t at = 0; at <= size; at++) {
        if (at < size && isdigit((unsigned char)text[at])) {
            number = number * 10 + (unsigned)(text[at] - '0');
            continue;
        }
        bool known = false;
        for (size_t each = 0; each < self->marked_size; each++)
            known = known || self->marked[each] == number;
        if (number >= 1 && number <= self->passages && !known && self->marked_size < CITE_MAX)
            self->marked[self->marked_size++] = number;
        number = 0;
    }
}

// Numbers in brackets within the sentence, "[2]", "[1, 3]"; they are blanked, since they are no
// words of it.
static void note_marks_inside(cite_t *self)
{
    char *text = self->sentence.data;
    for (size_t at = 0; at < self->sentence.size; at++) {
        if (text[at] != '[')
            continue;
        size_t size = 0;
        while (at + 1 + size < self->sentence.size && size < MARK_MAX &&
               strchr("0123456789, ", text[at + 1 + size]))
            size++;
        if (size > 0 && at + 1 + size < self->sentence.size && text[at + 1 + size] == ']') {
            note_mark(self, text + at + 1, size);
            memset(text + at, ' ', size + 2);
        }
    }
}

// The sentence is over: what supports it. Returns how many, and starts the next one.
static size_t finish_sentence(cite_t *self, cite_found_t *found)
{
    size_t size = 0;
    if (self->sentence.size > 0 && self->passages > 0) {
        double scores[PASSAGES_MAX];
        size_t matched[PASSAGES_MAX];
        words_t words;
        note_marks_inside(self);
        read_words(&words, self->sentence.data, self->sentence.size);
        score_all(self, &words, scores, matched);
        for (; size < self->marked_size; size++)
            found[size] = (cite_found_t){self->marked[size], scores[self->marked[size] - 1]};
        size_t best = 0;
        for (size_t passage = 1; passage < self->passages; passage++)
            if (scores[passage] > scores[best])
                best = passage;
        // one word alone proves nothing, unless the passages differ in it
        bool enough = matched[best] > 1 || (matched[best] == 1 && words.size == 1 &&
                                            (words.weights[0] > 1.4 || self->passages == 1));
        if (size == 0 && enough && scores[best] >= threshold)
            found[size++] = (cite_found_t){(unsigned)best + 1, scores[best]};
    }
    rl_buf_clear(&self->sentence);
    self->marked_size = 0;
    self->mark_size = 0;
    self->state = IN_SENTENCE;
    return size;
}

// ---- where sentences end ----------------------------------------------------------------

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static bool is_stop(char c)
{
    return c == '.' || c == '!' || c == '?';
}

static bool has_content(const cite_t *self)
{
    for (size_t at = 0; at < self->sentence.size; at++)
        if (isalnum((unsigned char)self->sentence.data[at]) ||
            (unsigned char)self->sentence.data[at] >= 0x80)
            return true;
    return false;
}

// Whether what stands before the white space is a sentence, or only looks like its end.
static bool is_over(const cite_t *self)
{
    if (!has_content(self))
        return false;
    // with a word behind it, only a real sentence ends before the end
    char tail[80];
    size_t size = self->sentence.size < sizeof tail - 2 ? self->sentence.size : sizeof tail - 2;
    memcpy(tail, self->sentence.data + self->sentence.size - size, size);
    memcpy(tail + size, " X", 2);
    size_t at = 0;
    while (at < size)
        at = rl_sentence_end(tail, size + 2, at);
    return at == size;
}

static void add_byte(cite_t *self, char c)
{
    // the start of a sentence that is too long is what is compared
    if (self->sentence.size < SENTENCE_MAX)
        rl_buf_add(&self->sentence, &c, 1);
}

// One byte in a gap or in a number behind the sentence. Returns false when it belongs to the next
// sentence.
static bool take_between(cite_t *self, char c)
{
    if (self->state == IN_GAP) {
        if (c == '[') {
            self->state = IN_MARK;
            self->mark_size = 0;
            return true;
        }
        return is_space(c);
    }
    if (c == ']' && self->mark_size > 0) {
        note_mark(self, self->mark, self->mark_size);
        self->state = IN_GAP;
        self->mark_size = 0;
        return true;
    }
    if (self->mark_size == MARK_MAX || !c || !strchr("0123456789, ", c))
        return false;
    self->mark[self->mark_size++] = c;
    return true;
}

// One byte of a sentence.
static void take_within(cite_t *self, char c)
{
    if (self->state == AT_STOP && c == '[') {
        self->state = IN_MARK;
        self->mark_size = 0;
    } else if (self->state == AT_STOP && is_space(c) && is_over(self)) {
        self->state = IN_GAP;
    } else if (c == '\n' && has_content(self)) {
        self->state = IN_GAP;
    } else {
        bool closing = c == '"' || c == '\'' || c == ')' || c == '*' || c == '`' || c == '_';
        add_byte(self, c);
        if (is_stop(c))
            self->state = AT_STOP;
        else if (self->state == AT_STOP && !closing)
            self->state = IN_SENTENCE;
        if (rl_sentence_has_full_stop(self->sentence.data, self->sentence.size))
            self->state = IN_GAP;
    }
}

size_t cite_take(cite_t *self, const char *text, size_t size, cite_found_t *found,
                 size_t *found_size)
{
    size_t over = 0; // where the sentence ended in this piece; 0 if it was before
    *found_size = 0;
    for (size_t at = 0; at < size; at++) {
        bool between = self->state == IN_GAP || self->state == IN_MARK;
        if (between && !take_between(self, text[at])) {
            char mark[MARK_MAX + 1] = "[";
            size_t mark_size = self->state == IN_MARK ? 1 + self->mark_size : 0;
            memcpy(mark + 1, self->mark, self->mark_size);
            *found_size = finish_sentence(self, found);
            // It was no number: the next sentence starts with it, less what is given again.
            size_t again = *found_size == 0 ? 0 : at - over < mark_size ? at - over : mark_size;
            for (size_t each = 0; each < mark_size - again; each++)
                add_byte(self, mark[each]);
            if (*found_size > 0)
                return over;
            between = false;
        }
        if (between) {
            if (self->state == IN_GAP && text[at] == ']')
                over = at + 1;
            continue;
        }
        take_within(self, text[at]);
        if (self->state == IN_GAP)
            over = is_space(text[at]) ? at : at + 1;
        else if (self->state == IN_MARK)
            over = at;
    }
    return size;
}

size_t cite_end(cite_t *self, cite_found_t *found)
{
    if (!has_content(self))
        return 0;
    return finish_sentence(self, found);
}
