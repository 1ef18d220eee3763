// drafts: sessions of questions that are being typed, forgotten after a while.
#include "drafts.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "mem.h"

enum {
    MOST_BYTES = 64 << 20, // of all sessions, with the passages that wait for their question
    SESSION_BYTES = 4096,  // what one counts at least, so that there are at most 16,384
};
static const uint64_t AGE_US = 300000000; // a session without a draft for so long ends

typedef struct session {
    drafts_t *drafts;
    struct request *request; // at work for it, NULL if none is
    char *text;              // folded; NULL: nothing found yet
    char rest[LRU_KEY];
    passage_set_t *passage_set;
    char prefilled_by[64]; // generator that prefills or has prefilled the passages, "" if none
} session_t;

struct drafts {
    lru_t *sessions;
    size_t running;
    drafts_counts_t counts;
};

static void forget_found(session_t *self)
{
    if (self->passage_set)
        self->drafts->counts.wasted++;
    passage_set_unref(&self->passage_set);
    free(self->text);
    self->text = NULL;
    *self->prefilled_by = '\0';
}

static void free_session(void *value)
{
    session_t *session = value;
    forget_found(session);
    free(session);
}

drafts_t *drafts_new(void)
{
    drafts_t *self = rl_new(*self);
    self->sessions = lru_new(MOST_BYTES, AGE_US, free_session);
    return self;
}

void drafts_destroy(drafts_t **self_p)
{
    if (!*self_p)
        return;
    lru_destroy(&(*self_p)->sessions);
    free(*self_p);
    *self_p = NULL;
}

static void make_key(const keys_caller_t *caller, const char *session, char out[LRU_KEY])
{
    const char *const parts[] = {keys_name(caller), keys_rights(caller), session};
    lru_key(out, parts, 3);
}

static session_t *find_session(drafts_t *self, const keys_caller_t *caller, const char *session)
{
    char key[LRU_KEY];
    make_key(caller, session, key);
    return lru_find(self->sessions, key, rl_now_us());
}

// Renews the session's age and counts what it holds now. It may be gone afterwards.
static void renew_session(drafts_t *self, const keys_caller_t *caller, const char *name,
                          const session_t *session)
{
    char key[LRU_KEY];
    size_t cost = SESSION_BYTES +
                  (session->passage_set ? passage_set_cost(session->passage_set) : 0) +
                  (session->text ? strlen(session->text) : 0);
    make_key(caller, name, key);
    lru_renew(self->sessions, key, cost, rl_now_us());
}

// Bytes at `at` that only part words: white space, and the marks that end a word or a sentence, as
// in "primed, or not?". Any other mark is part of a term: "C++" is not "C", "-o" not "o".
static size_t between_words(const char *at)
{
    size_t marks = isspace((unsigned char)*at) ? 0 : strspn(at, ".,;:!?");
    size_t space = strspn(at + marks, " \t\r\n\v\f");
    return space > 0 || !at[marks] ? marks + space : 0;
}

// Without capital letters (ASCII), and with one space between words; malloc'd.
static char *fold_text(const char *text)
{
    char *out = rl_alloc(strlen(text) + 1), *to = out;
    for (const char *at = text; *at;) {
        size_t between = between_words(at);
        if (between > 0) {
            if (to > out && to[-1] != ' ')
                *to++ = ' ';
            at += between;
            continue;
        }
        do { // the marks of a term are copied together
            unsigned char c = (unsigned char)*at++;
            *to++ = (char)(c < 128 ? tolower(c) : c);
        } while (*at && strchr(".,;:!?", at[-1]) && strchr(".,;:!?", *at));
    }
    if (to > out && to[-1] == ' ')
        to--;
    *to = '\0';
    return out;
}

struct request *drafts_begin(drafts_t *self, const keys_caller_t *caller, const char *name,
                             struct request *request)
{
    session_t *session = find_session(self, caller, name);
    if (!session) {
        char key[LRU_KEY];
        session = rl_new(*session);
        session->drafts = self;
        make_key(caller, name, key);
        lru_put(self->sessions, key, session, SESSION_BYTES, rl_now_us());
    }
    struct request *earlier = session->request;
    session->request = request;
    renew_session(self, caller, name, session);
    self->running++;
    self->counts.taken++;
    return earlier;
}

void drafts_end(drafts_t *self, const keys_caller_t *caller, const char *name,
                const struct request *request)
{
    session_t *session = find_session(self, caller, name);
    self->running--;
    if (session && session->request == request)
        session->request = NULL;
}

static bool same_passages(const passage_set_t *a, const passage_set_t *b)
{
    if (!a || a->passages_size != b->passages_size)
        return false;
    for (size_t at = 0; at < a->passages_size; at++)
        if (strcmp(a->passages[at].passage->text, b->passages[at].passage->text) != 0)
            return false;
    return true;
}

bool drafts_found(drafts_t *self, const keys_caller_t *caller, const char *name, const char *text,
                  const char *rest, passage_set_t *set)
{
    session_t *session = find_session(self, caller, name);
    if (!session)
        return false;
    bool settled = same_passages(session->passage_set, set);
    forget_found(session);
    session->passage_set = passage_set_ref(set);
    session->text = fold_text(text);
    snprintf(session->rest, sizeof session->rest, "%s", rest);
    renew_session(self, caller, name, session);
    return settled;
}

passage_set_t *drafts_take(drafts_t *self, const keys_caller_t *caller, const char *name,
                           const char *text, const char *rest, char *prefilled_by,
                           size_t prefilled_by_size)
{
    session_t *session = find_session(self, caller, name);
    passage_set_t *set = NULL;
    char key[LRU_KEY];
    if (session && session->passage_set && strcmp(session->rest, rest) == 0) {
        char *folded = fold_text(text);
        if (strcmp(session->text, folded) == 0) {
            set = session->passage_set;
            session->passage_set = NULL;
            snprintf(prefilled_by, prefilled_by_size, "%s", session->prefilled_by);
        }
        free(folded);
    }
    *(set ? &self->counts.used : &self->counts.missed) += 1;
    make_key(caller, name, key);
    if (session && !session->request)
        lru_drop(self->sessions, key);
    return set;
}

void drafts_prefilled_by(drafts_t *self, const keys_caller_t *caller, const char *name,
                         const char *generator)
{
    session_t *session = find_session(self, caller, name);
    if (session)
        snprintf(session->prefilled_by, sizeof session->prefilled_by, "%s", generator);
}

void drafts_refused(drafts_t *self)
{
    self->counts.refused++;
}

size_t drafts_running(const drafts_t *self)
{
    return self->running;
}

const drafts_counts_t *drafts_counts(const drafts_t *self)
{
    return &self->counts;
}
