// wild: answers of LLM servers, drawn at random.
#include "wild.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "text.h"

typedef enum end {
    DONE,      // finish_reason and [DONE]
    NO_DONE,   // finish_reason, and the body's end
    NO_REASON, // [DONE] alone
    NOTHING,   // neither
} end_t;

// How the words come.
typedef enum form {
    PLAIN,
    PARTS,
    THOUGHT, // thoughts before them
    REFUSAL,
} form_t;

// `part`: of the tokens, in percent; with a part that is not 100 the reason says so, or it is an
// error.
typedef struct kind {
    unsigned weight;
    form_t form;
    unsigned part;
    const char *each;   // finish_reason of every chunk, as JSON
    const char *reason; // of the last one
    end_t end;
    bool closes, hangs;
    const char *more; // data of one more event before the end
} kind_t;

#define NULLED "null"
static const kind_t kinds[] = {
    {300, PLAIN, 100, NULLED, "stop", DONE, false, false, NULL},
    {60, PLAIN, 100, NULLED, "stop", NO_DONE, false, false, NULL},
    {30, PLAIN, 100, NULLED, "stop", NO_REASON, false, false, NULL},
    {30, PLAIN, 100, NULLED, "stop", NO_DONE, true, false, NULL},
    {40, PLAIN, 100, NULLED, "end_turn", DONE, false, false, NULL},
    {20, PLAIN, 100, NULLED,
     "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"
     "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9",
     DONE, false, false, NULL},
    {40, PLAIN, 100, "\"null\"", "stop", DONE, false, false, NULL},
    {40, PLAIN, 50, "\"null\"", NULL, NOTHING, true, false, NULL},
    {20, PLAIN, 50, "\"None\"", NULL, NOTHING, false, false, NULL},
    {30, PLAIN, 100, "\"stop\"", "stop", DONE, false, false, NULL},
    {20, PLAIN, 50, "\"stop\"", NULL, NOTHING, true, false, NULL},
    {60, PARTS, 100, NULLED, "stop", DONE, false, false, NULL},
    {20, PARTS, 50, NULLED, NULL, NOTHING, false, false, NULL},
    {60, THOUGHT, 100, NULLED, "stop", DONE, false, false, NULL},
    {20, THOUGHT, 0, NULLED, "length", DONE, false, false, NULL},
    {20, THOUGHT, 0, NULLED, "stop", DONE, false, false, NULL},
    {20, REFUSAL, 0, NULLED, "stop", DONE, false, false, NULL},
    {20, PLAIN, 0, NULLED, "content_filter", DONE, false, false, NULL},
    {20, PLAIN, 50, NULLED, "SAFETY", DONE, false, false, NULL},
    {20, PLAIN, 50, NULLED, "max_tokens", DONE, false, false, NULL},
    {20, PLAIN, 0, NULLED, "stop", DONE, false, false, NULL},
    {20, PLAIN, 0, NULLED, "stop", NO_REASON, false, false, NULL},
    {20, PLAIN, 50, NULLED, "error", DONE, false, false, NULL},
    {20, PLAIN, 0, NULLED, "abort", DONE, false, false, NULL},
    {20, PLAIN, 50, NULLED, "stop", DONE, false, false,
     "{\"id\":\"x\",\"choices\":[],\"error\":{\"code\":502,\"message\":\"overloaded\"}}"},
    {20, PLAIN, 0, NULLED, "stop", DONE, false, false,
     "[{\"error\":{\"code\":503,\"message\":\"overloaded\"}}]"},
    {10, PLAIN, 50, NULLED, "stop", DONE, false, false, "{nonsense"},
    {1, PLAIN, 50, NULLED, NULL, NOTHING, false, true, NULL},
    {1, PLAIN, 0, NULLED, NULL, NOTHING, false, true, NULL},
};

static const struct {
    int status;
    const char *type, *more, *body;
} errors[] = {
    {500, "application/json", "", "{\"error\":{\"message\":\"CUDA out of memory\"}}"},
    {503, "text/html", "", "<html>Service Unavailable</html>"},
    {429, "application/json", "Retry-After: 0\r\n", "{\"error\":{\"message\":\"slow down\"}}"},
    {408, "text/plain", "", "too slow"},
    {400, "application/json", "",
     "[{\"error\":{\"code\":400,\"message\":\"turns must alternate\"}}]"},
    {401, "application/json", "", "{\"error\":\"which key?\"}"},
    {404, "text/caf\xe9", "", "caf\xe9"},
    {200, "text/html", "", "<html>It works!</html>"},
    {200, "application/json", "", "{\"hello\":\"world\"}"},
    {200, "application/json", "", ""},
};

unsigned wild_below(uint64_t *state, unsigned below) // splitmix64 (Steele, Lea and Flood, 2014)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (unsigned)((z ^ (z >> 31)) % below);
}

static const kind_t *draw_kind(uint64_t *state)
{
    unsigned all = 0, at = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        all += kinds[i].weight;
    for (unsigned left = wild_below(state, all); left >= kinds[at].weight; at++)
        left -= kinds[at].weight;
    return &kinds[at];
}

static void put_event(FILE *out, uint64_t *state, const char *data)
{
    static const char *const ends[] = {"\n", "\n", "\r\n"};
    const char *end = ends[wild_below(state, 3)];
    if (wild_below(state, 20) == 0)
        fprintf(out, ": keep-alive%s%s", end, end);
    fprintf(out, "data:%s%s%s%s", wild_below(state, 2) ? " " : "", data, end, end);
}

static void put_delta(FILE *out, uint64_t *state, const char *delta, const char *reason)
{
    char data[1024];
    snprintf(data, sizeof data,
             "{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"wild\","
             "\"choices\":[{\"index\":0,\"delta\":%s,\"finish_reason\":%s}]}",
             delta, reason);
    put_event(out, state, data);
}

static void put_words(FILE *out, uint64_t *state, const kind_t *kind, unsigned tokens)
{
    char word[64], delta[256];
    if (kind->form == THOUGHT)
        put_delta(out, state, "{\"content\":null,\"reasoning_content\":\"Hm.\"}", "null");
    if (kind->form == REFUSAL)
        put_delta(out, state, "{\"content\":null,\"refusal\":\"I cannot help with that.\"}",
                  "null");
    for (unsigned n = 1; n <= tokens * kind->part / 100; n++) {
        text_token(word, n, rl_now_us());
        snprintf(delta, sizeof delta,
                 kind->form == PARTS ? "{\"content\":[{\"type\":\"text\",\"text\":\"%s\"}]}"
                                     : "{\"content\":\"%s\"}",
                 word);
        put_delta(out, state, delta, kind->each);
    }
}

static void put_stream(FILE *out, uint64_t *state, const kind_t *kind, unsigned tokens)
{
    char reason[64];
    put_delta(out, state, "{\"role\":\"assistant\",\"content\":\"\"}", kind->each);
    put_words(out, state, kind, tokens);
    if (kind->more)
        put_event(out, state, kind->more);
    if (kind->end == DONE || kind->end == NO_DONE) {
        snprintf(reason, sizeof reason, "\"%s\"", kind->reason);
        put_delta(out, state, "{}", reason);
    }
    if (kind->end == DONE || kind->end == NO_REASON)
        put_event(out, state, "[DONE]");
}

static void draw_stream(FILE *out, uint64_t *state, unsigned tokens, wild_answer_t *answer)
{
    const kind_t *kind = draw_kind(state);
    char *body = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&body, &size);
    if (!to)
        abort();
    put_stream(to, state, kind, tokens);
    fclose(to);
    answer->closes = kind->closes;
    answer->hangs = kind->hangs;
    fputs("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n", out);
    if (kind->closes && wild_below(state, 2)) { // the body ends with the connection
        fputs("Connection: close\r\n\r\n", out);
        fwrite(body, 1, size, out);
    } else {
        fputs("Transfer-Encoding: chunked\r\n\r\n", out);
        for (size_t at = 0, part; at < size; at += part) {
            part = 1 + wild_below(state, wild_below(state, 4) ? 400 : 5);
            part = part < size - at ? part : size - at;
            fprintf(out, "%zx\r\n", part);
            fwrite(body + at, 1, part, out);
            fputs("\r\n", out);
        }
        if (!kind->closes && !kind->hangs)
            fputs("0\r\n\r\n", out);
    }
    free(body);
}

static void draw_error(FILE *out, uint64_t *state)
{
    size_t at = wild_below(state, sizeof errors / sizeof *errors);
    fprintf(out, "HTTP/1.1 %d No\r\nContent-Type: %s\r\n%sContent-Length: %zu\r\n\r\n%s",
            errors[at].status, errors[at].type, errors[at].more, strlen(errors[at].body),
            errors[at].body);
}

void wild_draw(uint64_t *state, unsigned tokens, wild_answer_t *answer)
{
    *answer = (wild_answer_t){0};
    FILE *out = open_memstream(&answer->bytes, &answer->size);
    if (!out)
        abort();
    if (wild_below(state, 12) == 0)
        draw_error(out, state);
    else
        draw_stream(out, state, tokens, answer);
    fclose(out);
    if (wild_below(state, 15) == 0) { // cut at any byte, the first one too
        answer->size = wild_below(state, (unsigned)answer->size + 1);
        answer->closes = true;
        answer->hangs = false;
        answer->resets = wild_below(state, 4) == 0;
    }
}
