#include "rewriting.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "followup.h"
#include "mem.h"
#include "request_private.h"

struct rewriting {
    rewrite_t *call; // NULL once it is over
};

// White space makes no difference to what is found.
static void squeeze_spaces(char *text)
{
    char *to = text;
    for (const char *at = text; *at; at++)
        if (!strchr(" \t\r\n", *at))
            *to++ = *at;
        else if (to > text && to[-1] != ' ')
            *to++ = ' ';
    if (to > text && to[-1] == ' ')
        to--;
    *to = '\0';
}

void rewriting_take_text(request_t *self)
{
    self->search_text = followup_text(self->question);
    squeeze_spaces(self->search_text);
    self->retrieval_us = self->received_us;
}

bool rewriting_is_wanted(const request_t *self)
{
    return self->pipeline->settings.rewrite && self->question->form != FORM_DRAFT &&
           followup_is(self->question);
}

static void on_rewritten(void *arg, const char *text)
{
    request_t *self = arg;
    self->rewriting->call = NULL;
    if (text) {
        free(self->search_text);
        self->search_text = rl_strdup(text);
    }
    self->retrieval_us = rl_now_us(); // the LLM's time is not the retrievers'
    request_wake(self);
}

bool rewriting_is_over(request_t *self)
{
    if (self->rewriting)
        return !self->rewriting->call;
    pipeline_t *pipeline = self->pipeline;
    self->rewriting = rl_new(*self->rewriting);
    request_status(self, "rewriting", "Putting the question in context…", NULL);
    trace_headers_t trace = otlp_headers(pipeline->otlp, self->timeline, TRACE_REWRITE, 0);
    self->rewriting->call = followup_rewrite(rl_proc_conf(pipeline->proc), pipeline->fetcher,
                                             self->id, self->question, &trace, on_rewritten, self);
    return !self->rewriting->call;
}

void rewriting_end(request_t *self)
{
    if (!self->rewriting)
        return;
    followup_cancel(&self->rewriting->call);
    free(self->rewriting);
    self->rewriting = NULL;
}
