// prompt: the messages that the LLM is asked with, made from a template, the passages, the
// conversation and the question, within the model's context.
//
// A template is a text file of sections:
//
//     [passage]    form of one passage: {n} {title} {heading} {where} {source} {text};
//                  {where} is title and heading, as far as there are any
//     [system]     text of the system message
//     [turns]      earlier turns go here, as messages (nothing else in this section)
//     [user]       text of a user message: {passages} {question} {turns}
//
// Sections become messages in their order. {turns} is the conversation as text ("User: …"), with
// "Earlier in this conversation:" before it, for models that are used to one question only. Lines
// that start with # before the first section are comments. System turns of the client are put
// before a system text that has {passages}, behind one that has none, or make a system message of
// their own.
#ifndef PROMPT_H
#define PROMPT_H

#include <stddef.h>

#include "buf.h"
#include "proto.h"

typedef struct prompt_template prompt_template_t;

typedef struct prompt {
    rl_buf_t messages;       // JSON array
    size_t passages_used;    // of the first so many (all, unless some were trimmed)
    size_t passages_dropped; // behind them, for want of room
    size_t turns_used, turns_dropped;
    bool shortened; // the first passage alone was too long and ends at an earlier sentence
    size_t tokens;  // of all of it, estimated
    // cut so that it is read in time (prompt_trim.h)
    size_t repeated;       // passages left out since a better one says the same
    size_t cut;            // passages cut or left out beside those
    size_t left_out;       // of passages_used, those of which nothing is in it
    size_t tokens_trimmed; // of all that, estimated
} prompt_t;

// Reads a template file; "" is the built-in one. NULL with what is wrong, file and line, in `why`.
prompt_template_t *prompt_template_new(const char *file, char *why, size_t why_size);
void prompt_template_destroy(prompt_template_t **self_p);

// Builds the messages so that they take at most `budget` tokens, by the estimate below: the last
// passages are dropped first, earlier turns are kept newest first in a third of what the question
// leaves, and in what the passages leave. `quick` != 0: passages are cut so that it has at most so
// many tokens, as far as cutting them can do that. Passages keep their numbers. The form is stable
// byte by byte, what changes least comes first as far as the template says so. Returns 0; -1 when
// the question alone is too long (then tokens says how long) or the prompt is too large (then
// tokens is 0). Free with prompt_free in any case.
int prompt_build(const prompt_template_t *self, const rl_generate_t *generate, size_t budget,
                 size_t quick, prompt_t *out);
void prompt_free(prompt_t *prompt);

// How many tokens a text takes at most, as a rule: letters and spaces 1 for 3.5 bytes (English in
// common vocabularies: 4 to 4.5), digits and signs 1 each, other scripts 2 for 3 bytes.
size_t prompt_tokens(const char *text, size_t size);

#endif
