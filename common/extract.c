// extract: the sentences of passages that match a question best.
#include "extract.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "mem.h"
#include "sentence.h"
#include "text_terms.h"
#include "utf8.h"

enum {
    SENTENCES_MAX = 2048, // looked at
    QUESTION_TERMS = 64,
    CHOSEN_MAX = 16,
    SHORTEST = 12, // bytes: less is a heading or a list's number
    LONG_TERMS = 30,
    QUOTE_PASSAGES = 5,     // that a quotation may come from
    QUOTE_LOOKED_AT = 8192, // bytes of each
    QUOTE_BYTES = 400,      // sentences are added up to this size
    QUOTE_SHORT = 120,      // to less than this also such as have nothing of the question
    QUOTE_MAX = 600,        // of one sentence
};

// Less than this and the sentence is more often about something else. Of 1,500 questions of SQuAD
// 1.1 (its development set; the five best paragraphs by BM25) the quotation held the answer for 34
// % at scores of .2 to .3, for 49 % at .3 to .4, for 60 % at .4 to .5, and for 92 % from .7 on.
static const double quote_least = 0.35;

typedef struct sentence {
    const char *text;
    size_t size;
    size_t passage, at; // at: its place among all
    uint64_t has;       // bits: which of the question's terms
    size_t terms;
    double score; // 0..1 against the best that the question could reach
} sentence_t;

static size_t question_terms(const char *question, uint32_t *terms)
{
    rl_text_terms_t each = rl_text_terms(question, strlen(question));
    size_t size = 0;
    uint32_t hash;
    while (size < QUESTION_TERMS && rl_text_terms_next(&each, &hash)) {
        size_t at = 0;
        while (at < size && terms[at] != hash)
            at++;
        if (at == size)
            terms[size++] = hash;
    }
    return size;
}

static void match_terms(sentence_t *sentence, const uint32_t *terms, size_t size)
{
    rl_text_terms_t each = rl_text_terms(sentence->text, sentence->size);
    uint32_t hash;
    while (rl_text_terms_next(&each, &hash)) {
        sentence->terms++;
        for (size_t at = 0; at < size; at++)
            if (terms[at] == hash)
                sentence->has |= 1ull << at;
    }
}

// The sentences of the first `passages_size` passages, of each at most the first `bytes`.
static size_t split_sentences(const rl_passage_t *passages, size_t passages_size, size_t bytes,
                              const uint32_t *terms, size_t terms_size, sentence_t *out)
{
    size_t size = 0;
    for (size_t at = 0; at < passages_size; at++) {
        const char *text = passages[at].text;
        size_t text_size = strnlen(text, bytes);
        const char *end = text + (text_size < bytes ? text_size : rl_utf8_whole(text, bytes));
        while (text < end && size < SENTENCES_MAX) {
            const char *next = text + rl_sentence_end(text, (size_t)(end - text), 0);
            while (text < next && strchr(" \t\r\n", *text))
                text++;
            if (next - text >= SHORTEST) {
                out[size] = (sentence_t){
                    .text = text, .size = (size_t)(next - text), .passage = at, .at = size};
                match_terms(&out[size], terms, terms_size);
                size++;
            }
            text = next;
        }
    }
    return size;
}

static void score_sentences(sentence_t *sentences, size_t size, size_t terms)
{
    double weights[QUESTION_TERMS] = {0}, all = 0;
    for (size_t term = 0; term < terms; term++) {
        size_t df = 0;
        for (size_t at = 0; at < size; at++)
            df += sentences[at].has >> term & 1;
        weights[term] = log(1 + (double)size / (double)(df ? df : 1));
        all += weights[term];
    }
    for (size_t at = 0; at < size; at++) {
        double sum = 0;
        for (size_t term = 0; term < terms; term++)
            sum += sentences[at].has >> term & 1 ? weights[term] : 0;
        double excess = sentences[at].terms > LONG_TERMS
                            ? (double)(sentences[at].terms - LONG_TERMS) / LONG_TERMS
                            : 0;
        sentences[at].score = all > 0 ? sum / all / (1 + 0.5 * excess) : 0;
    }
}

// What counts for the order: retrieval has judged the passages, too.
static double rank_of(const sentence_t *sentence)
{
    return sentence->score / (1 + 0.05 * (double)sentence->passage);
}

static bool said_already(const sentence_t *sentence, const sentence_t *const *chosen, size_t size)
{
    for (size_t at = 0; at < size; at++)
        if (chosen[at] == sentence ||
            (chosen[at]->size == sentence->size &&
             memcmp(chosen[at]->text, sentence->text, sentence->size) == 0))
            return true;
    return false;
}

static const sentence_t *best_of(const sentence_t *sentences, size_t size,
                                 const sentence_t *const *but, size_t but_size)
{
    const sentence_t *best = NULL;
    for (size_t at = 0; at < size; at++)
        if (sentences[at].score > 0 && !said_already(&sentences[at], but, but_size) &&
            (!best || rank_of(&sentences[at]) > rank_of(best)))
            best = &sentences[at];
    return best;
}

static int by_place(const void *a, const void *b)
{
    const sentence_t *x = *(const sentence_t *const *)a, *y = *(const sentence_t *const *)b;
    return x->at < y->at ? -1 : x->at > y->at;
}

// The best sentences, the very best first, then in the passages' order.
static size_t choose_sentences(const sentence_t *sentences, size_t size, const sentence_t **chosen,
                               size_t max)
{
    size_t chosen_size = 0;
    while (chosen_size < max) {
        const sentence_t *best = best_of(sentences, size, chosen, chosen_size);
        // sentences that score much less only dilute the answer
        if (!best || (chosen_size > 0 && rank_of(best) < 0.6 * rank_of(chosen[0])))
            break;
        chosen[chosen_size++] = best;
    }
    if (chosen_size > 2)
        qsort(chosen + 1, chosen_size - 1, sizeof *chosen, by_place);
    return chosen_size;
}

static sentence_t *find_sentences(const char *question, const rl_passage_t *passages,
                                  size_t passages_size, size_t bytes, size_t *size)
{
    uint32_t terms[QUESTION_TERMS];
    sentence_t *sentences = rl_alloc_array(SENTENCES_MAX, sizeof *sentences);
    size_t terms_size = question_terms(question, terms);
    *size = split_sentences(passages, passages_size, bytes, terms, terms_size, sentences);
    score_sentences(sentences, *size, terms_size);
    return sentences;
}

size_t rl_extract(const char *question, const rl_passage_t *passages, size_t passages_size,
                  rl_extracted_t *out, size_t max)
{
    const sentence_t *chosen[CHOSEN_MAX];
    size_t size;
    sentence_t *sentences = find_sentences(question, passages, passages_size, SIZE_MAX, &size);
    size = choose_sentences(sentences, size, chosen, max < CHOSEN_MAX ? max : CHOSEN_MAX);
    for (size_t at = 0; at < size; at++)
        out[at] = (rl_extracted_t){.text = chosen[at]->text,
                                   .size = chosen[at]->size,
                                   .passage = chosen[at]->passage,
                                   .score = chosen[at]->score};
    free(sentences);
    return size;
}

char *rl_extract_wording(const char *text, size_t size, bool first)
{
    char *out = rl_alloc(size + 3);
    size_t used = 0;
    if (!first)
        out[used++] = ' ';
    for (size_t at = 0; at < size; at++) {
        char c = text[at];
        bool space = c == '\n' || c == '\r' || c == '\t' || c == ' ';
        if (!space)
            out[used++] = c;
        else if (used > 0 && out[used - 1] != ' ')
            out[used++] = ' ';
    }
    while (used > 0 && out[used - 1] == ' ')
        used--;
    if (used > 0 && !strchr(".!?:\"')`", out[used - 1]) && (out[used - 1] & 0x80) == 0)
        out[used++] = '.';
    out[used] = '\0';
    return out;
}

// ---- a quotation ----------------------------------------------------------------------------

// Whether a sentence beside the quotation may be added to it.
static bool belongs_to_quote(const sentence_t *sentence, const sentence_t *best, size_t size)
{
    return sentence->passage == best->passage && size + sentence->size <= QUOTE_BYTES &&
           (sentence->has || size < QUOTE_SHORT);
}

// What stands in the passage from `first` to `last`; of a sentence without an end its beginning.
static char *make_quote(const sentence_t *first, const sentence_t *last)
{
    size_t size = (size_t)(last->text + last->size - first->text);
    if (size <= QUOTE_MAX)
        return rl_extract_wording(first->text, size, true);
    size_t cut = rl_utf8_whole(first->text, QUOTE_MAX);
    while (cut > QUOTE_MAX / 2 && !strchr(" \t\r\n", first->text[cut]))
        cut--; // between words, where there are words
    cut = rl_utf8_whole(first->text, cut);
    char *words = rl_extract_wording(first->text, cut, true);
    size_t end = strlen(words);
    rl_buf_t text = rl_buf_make(QUOTE_MAX + 16);
    rl_buf_add(&text, words, end > 0 && words[end - 1] == '.' ? end - 1 : end);
    rl_buf_adds(&text, "…");
    free(words);
    return rl_buf_take(&text);
}

char *rl_extract_quote(const char *question, const rl_passage_t *passages, size_t passages_size,
                       size_t *passage, double *score)
{
    size_t size, most = passages_size < QUOTE_PASSAGES ? passages_size : QUOTE_PASSAGES;
    sentence_t *sentences = find_sentences(question, passages, most, QUOTE_LOOKED_AT, &size);
    const sentence_t *best = best_of(sentences, size, NULL, 0);
    char *text = NULL;
    if (best && best->score >= quote_least) {
        const sentence_t *first = best, *last = best, *end = sentences + size;
        size_t bytes = best->size;
        if (last + 1 < end && belongs_to_quote(last + 1, best, bytes))
            bytes += (++last)->size;
        if (first > sentences && belongs_to_quote(first - 1, best, bytes))
            first--;
        *passage = best->passage;
        *score = best->score;
        text = make_quote(first, last);
    }
    free(sentences);
    return text;
}
