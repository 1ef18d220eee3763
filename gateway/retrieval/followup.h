// followup: a question that refers to earlier turns is made to stand on its own, for retrieval
// only; the model sees the conversation as it is.
#ifndef FOLLOWUP_H
#define FOLLOWUP_H

#include "conf.h"
#include "fetch.h"
#include "question.h"
#include "trace_context.h"

// Whether the question seems to refer to earlier turns: there are some, and it is short or uses
// words that point back (it, that, they, "and for …").
bool followup_is(const question_t *question);

// The text to retrieve with, malloc'd: the question, or, for a follow-up, the user's last
// standalone question and it.
char *followup_text(const question_t *question);

typedef struct rewrite rewrite_t;

// gateway.rewrite = llm: asks the LLM server for a standalone question. `done` gets it, or NULL if
// there was none in time (the log says why, with the request's `id`); it is called once, later,
// unless cancelled first. NULL if the call could not start.
rewrite_t *followup_rewrite(const rl_conf_t *conf, rl_fetcher_t *fetcher, const char *id,
                            const question_t *question, const trace_headers_t *trace,
                            void (*done)(void *arg, const char *text), void *arg);
void followup_cancel(rewrite_t **rewrite_p);

#endif
