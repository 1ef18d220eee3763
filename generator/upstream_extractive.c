// upstream_extractive: answers without a model: the sentences of the passages that match the
// question best, cited. Best means: the sum, over the question's terms that the sentence has, of
// how rare they are among all sentences (ln (1 + N / df)), less for very long sentences and a
// little for lower passages.
#include "upstream.h"

#include <event2/event_struct.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gen_terms.h"

enum {
    SENTENCES_MAX = 2048, // looked at
    QUESTION_TERMS = 64,
    ANSWER_SENTENCES = 3,
    SHORTEST = 12, // bytes: less is a heading or a list's number
    LONG_TERMS = 30,
};

static const char nothing_found[] = "The passages hold nothing that matches the question's words.";

typedef struct sentence {
    const char *text;
    size_t size;
    size_t passage, at; // at: its place among all
    uint64_t has;       // bits: which of the question's terms
    size_t terms;
    double score; // 0..1 against the best that the question could reach
} sentence_t;

typedef struct extractive {
    upstream_t base;
    struct event_base *loop;
} extractive_t;

typedef struct extractive_call {
    upstream_events_t events;
    void *arg;
    struct event next;
    char *texts[ANSWER_SENTENCES]; // what is said, in this order
    size_t passages[ANSWER_SENTENCES];
    double scores[ANSWER_SENTENCES];
    size_t size, said;
    bool paused, busy, over;
} extractive_call_t;

// ---- choosing ---------------------------------------------------------------------------

static size_t question_terms(const char *question, uint32_t *terms)
{
    gen_terms_t each = gen_terms(question, strlen(question));
    size_t size = 0;
    uint32_t hash;
    while (size < QUESTION_TERMS && gen_terms_next(&each, &hash)) {
        size_t at = 0;
        while (at < size && terms[at] != hash)
            at++;
        if (at == size)
            terms[size++] = hash;
    }
    return size;
}

static void match(sentence_t *sentence, const uint32_t *terms, size_t size)
{
    gen_terms_t each = gen_terms(sentence->text, sentence->size);
    uint32_t hash;
    while (gen_terms_next(&each, &hash)) {
        sentence->terms++;
        for (size_t at = 0; at < size; at++)
            if (terms[at] == hash)
                sentence->has |= 1ull << at;
    }
}

static size_t split(const rl_generate_t *generate, size_t passages, const uint32_t *terms,
                    size_t terms_size, sentence_t *out)
{
    size_t size = 0;
    for (size_t at = 0; at < passages; at++) {
        const char *text = generate->passages[at].text, *end = text + strlen(text);
        while (text < end && size < SENTENCES_MAX) {
            size_t length = gen_sentence(text, (size_t)(end - text));
            const char *next = text + (length ? length : 1);
            while (text < next && strchr(" \t\r\n", *text))
                text++;
            if (next - text >= SHORTEST) {
                out[size] = (sentence_t){
                    .text = text, .size = (size_t)(next - text), .passage = at, .at = size};
                match(&out[size], terms, terms_size);
                size++;
            }
            text = next;
        }
    }
    return size;
}

static void score(sentence_t *sentences, size_t size, size_t terms)
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
static double rank(const sentence_t *sentence)
{
    return sentence->score / (1 + 0.05 * (double)sentence->passage);
}

static bool said_already(const sentence_t *sentence, sentence_t *const *chosen, size_t size)
{
    for (size_t at = 0; at < size; at++)
        if (chosen[at] == sentence ||
            (chosen[at]->size == sentence->size &&
             memcmp(chosen[at]->text, sentence->text, sentence->size) == 0))
            return true;
    return false;
}

// The best sentences, the very best first, then in the passages' order.
static size_t choose(sentence_t *sentences, size_t size, sentence_t **chosen)
{
    size_t chosen_size = 0;
    while (chosen_size < ANSWER_SENTENCES) {
        sentence_t *best = NULL;
        for (size_t at = 0; at < size; at++)
            if (sentences[at].score > 0 && !said_already(&sentences[at], chosen, chosen_size) &&
                (!best || rank(&sentences[at]) > rank(best)))
                best = &sentences[at];
        // what says much less than the first one only dilutes it
        if (!best || (chosen_size > 0 && rank(best) < 0.6 * rank(chosen[0])))
            break;
        chosen[chosen_size++] = best;
    }
    if (chosen_size == 3 && chosen[1]->at > chosen[2]->at) {
        sentence_t *later = chosen[1];
        chosen[1] = chosen[2];
        chosen[2] = later;
    }
    return chosen_size;
}

// Its lines joined, a space in front of all but the first, a full stop at the end.
static char *wording(const sentence_t *sentence, bool first)
{
    char *out = malloc(sentence->size + 3);
    size_t used = 0;
    if (!out)
        return NULL;
    if (!first)
        out[used++] = ' ';
    for (size_t at = 0; at < sentence->size; at++) {
        char c = sentence->text[at];
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

static int choose_answer(extractive_call_t *call, const upstream_ask_t *ask)
{
    const rl_generate_t *generate = ask->generate;
    uint32_t terms[QUESTION_TERMS];
    sentence_t *chosen[ANSWER_SENTENCES];
    sentence_t *sentences = malloc(SENTENCES_MAX * sizeof *sentences);
    if (!sentences)
        return -1;
    size_t terms_size = question_terms(generate->question, terms);
    size_t size = split(generate, generate->passages_size, terms, terms_size, sentences);
    score(sentences, size, terms_size);
    size_t chosen_size = choose(sentences, size, chosen);
    size_t tokens = 0;
    for (size_t at = 0; at < chosen_size; at++) {
        tokens += prompt_tokens(chosen[at]->text, chosen[at]->size);
        if (at > 0 && tokens > ask->max_tokens)
            break;
        call->texts[at] = wording(chosen[at], at == 0);
        call->passages[at] = chosen[at]->passage + 1;
        call->scores[at] = chosen[at]->score;
        call->size++;
    }
    free(sentences);
    if (call->size == 0) {
        call->texts[0] = strdup(nothing_found);
        call->size = 1;
    }
    for (size_t at = 0; at < call->size; at++)
        if (!call->texts[at])
            return -1;
    return 0;
}

// ---- saying it, a sentence a turn -------------------------------------------------------

static void extractive_free(extractive_call_t *call)
{
    event_del(&call->next);
    for (size_t at = 0; at < ANSWER_SENTENCES; at++)
        free(call->texts[at]);
    free(call);
}

static void finish(extractive_call_t *call)
{
    static const upstream_times_t none = {0};
    upstream_end_t end = {.finish = "stop",
                          .model = "extractive",
                          .cached_tokens = -1,
                          .read_tokens = -1,
                          .prefill_ms = -1};
    call->events.done(call->arg, &end, &none);
    extractive_free(call);
}

static void say_next(evutil_socket_t fd, short what, void *arg)
{
    extractive_call_t *call = arg;
    (void)fd;
    (void)what;
    if (call->said == call->size) {
        finish(call);
        return;
    }
    size_t at = call->said++;
    call->busy = true;
    call->paused = !call->events.text(call->arg, call->texts[at], strlen(call->texts[at]));
    if (!call->over && call->passages[at] > 0)
        call->events.cite(call->arg, (unsigned)call->passages[at], call->scores[at]);
    call->busy = false;
    if (call->over)
        extractive_free(call);
    else if (!call->paused)
        event_active(&call->next, EV_TIMEOUT, 1);
}

static upstream_call_t *extractive_start(upstream_t *base, const upstream_ask_t *ask,
                                         const upstream_events_t *events, void *arg)
{
    extractive_t *self = (extractive_t *)base;
    extractive_call_t *call = calloc(1, sizeof *call);
    if (!call)
        return NULL;
    call->events = *events;
    call->arg = arg;
    evtimer_assign(&call->next, self->loop, say_next, call);
    if (choose_answer(call, ask) != 0) {
        extractive_free(call);
        return NULL;
    }
    event_active(&call->next, EV_TIMEOUT, 1);
    return (upstream_call_t *)call;
}

static void extractive_resume(upstream_call_t *base)
{
    extractive_call_t *call = (extractive_call_t *)base;
    if (!call->paused)
        return;
    call->paused = false;
    event_active(&call->next, EV_TIMEOUT, 1);
}

static void extractive_cancel(upstream_call_t **base_p)
{
    extractive_call_t *call = (extractive_call_t *)*base_p;
    *base_p = NULL;
    if (!call)
        return;
    call->over = true;
    if (!call->busy)
        extractive_free(call);
}

// ---- the backend ------------------------------------------------------------------------

static bool extractive_check(const upstream_settings_t *settings, char *why, size_t why_size)
{
    (void)settings; // nothing to set
    (void)why;
    (void)why_size;
    return true;
}

static bool extractive_configure(upstream_t *base, const upstream_settings_t *settings)
{
    (void)base;
    (void)settings;
    return false;
}

static const char *extractive_model(const upstream_t *base)
{
    (void)base;
    return "extractive";
}

static void extractive_destroy(upstream_t **base_p)
{
    free(*base_p);
    *base_p = NULL;
}

static const upstream_type_t extractive_type = {
    .name = "extractive",
    .check = extractive_check,
    .configure = extractive_configure,
    .model = extractive_model,
    .start = extractive_start,
    .resume = extractive_resume,
    .cancel = extractive_cancel,
    .destroy = extractive_destroy,
};

upstream_t *upstream_extractive_new(struct event_base *base)
{
    extractive_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->base.type = &extractive_type;
    self->loop = base;
    return &self->base;
}
