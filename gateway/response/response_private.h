// response_private: what the forms share; for them alone. Everything here adds JSON to a buffer:
// answers are written straight from their structs, and no token is made into a JSON object first.
#ifndef RESPONSE_PRIVATE_H
#define RESPONSE_PRIVATE_H

#include "json_write.h"
#include "response.h"

extern const response_form_t response_ask_ops; // response_ask.c
extern const response_form_t response_draft_ops;
extern const response_form_t response_json_ops;         // response_json.c
extern const response_form_t response_openai_ops;       // response_openai.c: chunks
extern const response_form_t response_openai_whole_ops; // response_openai.c: one JSON

// Members of an object (json_write.h has the plain ones).
void response_add_passages(rl_buf_t *out, const char *name, const answer_t *answer);
void response_add_coverage(rl_buf_t *out, const answer_t *answer);
// The sources that are still awaited, as "awaited".
void response_add_awaited(rl_buf_t *out, const answer_t *answer);
// Its members, without braces.
void response_add_preview(rl_buf_t *out, const answer_preview_t *preview);
void response_add_citations(rl_buf_t *out, const answer_t *answer);
void response_add_usage(rl_buf_t *out, const answer_t *answer);
// How the answer ended and what wrote it: finish_reason, model, upstream, usage.
void response_add_outcome(rl_buf_t *out, const answer_t *answer);
void response_add_timings(rl_buf_t *out, const answer_t *answer);

// Whether a piece of the stream has been sent.
bool response_begun(const response_t *self);
// Ends the stream.
void response_end(response_t *self);
// Sends what is in self->out as a piece of the stream, which begins with it.
void response_send(response_t *self);
// Sends what is in self->out as the whole response.
void response_reply(response_t *self, const answer_t *answer);
// Answers with the error as JSON, with its status.
void response_reply_error(response_t *self, const answer_t *answer, const answer_error_t *error);

// Looks through text on its way for citations that the model wrote.
void citation_marks_feed(citation_marks_t *self, const char *text, size_t size);
// What to put in for the sentence that just ended: " [2]" or "[2] ", "" if the text has it already.
const char *citation_marks_cite(citation_marks_t *self, uint64_t passage, char *room,
                                size_t room_size);

// For forms that send everything at the end.
void response_no_status(response_t *self, const char *state, const char *message,
                        const json_t *detail);
void response_no_sources(response_t *self, const answer_t *answer);
void response_no_token(response_t *self, const char *text, size_t size);
void response_no_cite(response_t *self, const answer_citation_t *citation);

#endif
