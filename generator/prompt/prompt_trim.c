// prompt_trim: passages are cut so that they are read in time.
#include "prompt_trim.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "prompt.h"
#include "sentence.h"
#include "text_terms.h"

enum {
    MARKS = 6,           // tokens of the marks where sentences are missing
    SHORTEST = 32,       // tokens of a passage: less is of no use
    QUESTION_TERMS = 64, // looked at
    SENTENCES = 512,     // of a passage, looked at
    PAIRS = 1 << 12,     // of a passage, looked at
    REPEATED_SHARE = 80, // percent of a passage's pairs of terms that a better one has too
    LEAST_PAIRS = 4,     // of a passage: fewer prove nothing
};

// ---- what repeats -----------------------------------------------------------------------

typedef struct pairs {
    uint64_t *hashes; // of neighbouring terms, sorted, each once
    size_t size;
} pairs_t;

static int compare_hashes(const void *a, const void *b)
{
    uint64_t one = *(const uint64_t *)a, two = *(const uint64_t *)b;
    return one < two ? -1 : one > two;
}

static pairs_t pairs_of(const char *text)
{
    pairs_t pairs = {.hashes = rl_must(malloc(PAIRS * sizeof *pairs.hashes))};
    rl_text_terms_t terms = rl_text_terms(text, strlen(text));
    uint32_t before, term;
    size_t size = 0, kept = 0;
    if (!rl_text_terms_next(&terms, &before))
        return pairs;
    while (size < PAIRS && rl_text_terms_next(&terms, &term)) {
        pairs.hashes[size++] = (uint64_t)before << 32 | term;
        before = term;
    }
    qsort(pairs.hashes, size, sizeof *pairs.hashes, compare_hashes);
    for (size_t at = 0; at < size; at++)
        if (at == 0 || pairs.hashes[at] != pairs.hashes[at - 1])
            pairs.hashes[kept++] = pairs.hashes[at];
    pairs.size = kept;
    return pairs;
}

static bool repeats_better(const pairs_t *self, const pairs_t *better)
{
    size_t common = 0, other = 0;
    for (size_t at = 0; at < self->size; at++) {
        while (other < better->size && better->hashes[other] < self->hashes[at])
            other++;
        common += other < better->size && better->hashes[other] == self->hashes[at];
    }
    return self->size >= LEAST_PAIRS && common * 100 >= self->size * REPEATED_SHARE;
}

static void leave_out_repeated(const rl_generate_t *generate, prompt_cut_t *cuts)
{
    size_t size = generate->passages_size;
    pairs_t *pairs = rl_alloc_array(size, sizeof *pairs);
    for (size_t at = 0; at < size; at++) {
        pairs[at] = pairs_of(generate->passages[at].text);
        for (size_t better = 0; better < at && !cuts[at].left_out; better++)
            cuts[at].left_out = cuts[at].repeats =
                !cuts[better].left_out && repeats_better(&pairs[at], &pairs[better]);
    }
    for (size_t at = 0; at < size; at++)
        free(pairs[at].hashes);
    free(pairs);
}

// ---- what matches -----------------------------------------------------------------------

typedef struct question_terms {
    uint32_t hashes[QUESTION_TERMS];
    size_t size;
} question_terms_t;

static question_terms_t terms_of(const char *question)
{
    question_terms_t terms = {.size = 0};
    rl_text_terms_t each = rl_text_terms(question, strlen(question));
    while (terms.size < QUESTION_TERMS && rl_text_terms_next(&each, &terms.hashes[terms.size]))
        terms.size++;
    return terms;
}

static unsigned count_matches(const question_terms_t *question, const char *text, size_t size)
{
    uint64_t has = 0;
    unsigned count = 0;
    uint32_t term;
    rl_text_terms_t each = rl_text_terms(text, size);
    while (rl_text_terms_next(&each, &term))
        for (size_t at = 0; at < question->size; at++)
            if (question->hashes[at] == term)
                has |= 1ull << at;
    for (; has; has &= has - 1)
        count++;
    return count;
}

typedef struct sentence {
    size_t from, to, tokens;
} sentence_t;

static size_t split_sentences(const char *text, sentence_t *sentences)
{
    size_t size = strlen(text), at = 0, count = 0;
    while (at < size && count < SENTENCES) {
        size_t next = count + 1 < SENTENCES ? rl_sentence_end(text, size, at) : size;
        sentences[count++] = (sentence_t){at, next, prompt_tokens(text + at, next - at)};
        at = next;
    }
    return count;
}

// The sentence that has most of the question's words, the first of them, and what is around it as
// far as it fits: one behind it, one before it, in turn.
static void cut_to_match(const char *text, const question_terms_t *question, size_t tokens,
                         prompt_cut_t *cut)
{
    sentence_t sentences[SENTENCES];
    size_t size = split_sentences(text, sentences), best = 0;
    unsigned most = 0;
    for (size_t at = 0; at < size; at++) {
        unsigned found = count_matches(question, text + sentences[at].from,
                                       sentences[at].to - sentences[at].from);
        if (found > most) {
            most = found;
            best = at;
        }
    }
    if (size == 0)
        return;
    size_t first = best, last = best, used = sentences[best].tokens;
    bool grew = true;
    while (grew) {
        grew = false;
        if (last + 1 < size && used + sentences[last + 1].tokens <= tokens) {
            used += sentences[++last].tokens;
            grew = true;
        }
        if (first > 0 && used + sentences[first - 1].tokens <= tokens) {
            used += sentences[--first].tokens;
            grew = true;
        }
    }
    cut->from = sentences[first].from;
    cut->size = sentences[last].to - cut->from;
    while (cut->size > 0 && strchr(" \t\r\n", text[cut->from])) {
        cut->from++;
        cut->size--;
    }
    while (cut->size > 0 && strchr(" \t\r\n", text[cut->from + cut->size - 1]))
        cut->size--;
    cut->tokens = prompt_tokens(text + cut->from, cut->size) + MARKS;
}

// ---- all of them ------------------------------------------------------------------------

static size_t sum_tokens(const prompt_cut_t *cuts, size_t size, size_t *around, size_t *kept)
{
    size_t texts = 0;
    *around = *kept = 0;
    for (size_t at = 0; at < size; at++) {
        if (cuts[at].left_out)
            continue;
        texts += cuts[at].tokens;
        *around += cuts[at].around;
        (*kept)++;
    }
    return texts;
}

static void cut_all(const rl_generate_t *generate, size_t tokens, prompt_cut_t *cuts)
{
    size_t size = generate->passages_size, around, kept;
    question_terms_t question = terms_of(generate->question);
    size_t texts = sum_tokens(cuts, size, &around, &kept);
    for (size_t at = size; at-- > 1 && kept * SHORTEST + around > tokens;) {
        cuts[at].left_out = true;
        texts = sum_tokens(cuts, size, &around, &kept);
    }
    double share = tokens > around && texts > 0 ? (double)(tokens - around) / (double)texts : 0;
    for (size_t at = 0; at < size; at++) {
        size_t most = (size_t)((double)cuts[at].tokens * share);
        if (!cuts[at].left_out && cuts[at].tokens > most)
            cut_to_match(generate->passages[at].text, &question, most > SHORTEST ? most : SHORTEST,
                         &cuts[at]);
    }
    // sentences are not cut, so that it may still be too much
    for (size_t at = size; at-- > 1 && sum_tokens(cuts, size, &around, &kept) + around > tokens;)
        cuts[at].left_out = true;
}

size_t prompt_trim(const rl_generate_t *generate, size_t tokens, prompt_cut_t *cuts)
{
    size_t size = generate->passages_size, around, kept;
    for (size_t at = 0; at < size; at++) {
        const char *text = generate->passages[at].text;
        size_t length = strlen(text);
        cuts[at].from = 0;
        cuts[at].size = length;
        cuts[at].tokens = prompt_tokens(text, length);
        cuts[at].left_out = cuts[at].repeats = false;
    }
    size_t before = sum_tokens(cuts, size, &around, &kept) + around;
    if (before <= tokens)
        return 0;
    leave_out_repeated(generate, cuts);
    if (sum_tokens(cuts, size, &around, &kept) + around > tokens)
        cut_all(generate, tokens, cuts);
    size_t after = sum_tokens(cuts, size, &around, &kept) + around;
    return before > after ? before - after : 0;
}
