// face_private: what the faces share; for them alone. Everything here adds JSON to a buffer:
// answers are written straight from their structs, and no token is made into a JSON object first.
#ifndef FACE_PRIVATE_H
#define FACE_PRIVATE_H

#include "face.h"

extern const face_ops_t face_ask_ops; // face_ask.c
extern const face_ops_t face_draft_ops;
extern const face_ops_t face_json_ops;         // face_json.c
extern const face_ops_t face_openai_ops;       // face_openai.c: chunks
extern const face_ops_t face_openai_whole_ops; // face_openai.c: one JSON

// Each adds `"name":value` without a comma, for members of an object.
void face_add_string(rl_buf_t *out, const char *name, const char *text);
void face_add_passages(rl_buf_t *out, const char *name, const answer_t *answer);
void face_add_coverage(rl_buf_t *out, const answer_t *answer);
// The sources that are still awaited, as "awaited".
void face_add_awaited(rl_buf_t *out, const answer_t *answer);
// Its members, without braces.
void face_add_quick(rl_buf_t *out, const answer_quick_t *quick);
void face_add_citations(rl_buf_t *out, const answer_t *answer);
void face_add_usage(rl_buf_t *out, const answer_t *answer);
// How the answer ended and what wrote it: finish_reason, model, upstream, usage.
void face_add_outcome(rl_buf_t *out, const answer_t *answer);
void face_add_timings(rl_buf_t *out, const answer_t *answer);
// A value alone; NULL is null.
void face_add_value(rl_buf_t *out, const json_t *value);
void face_add_unsigned(rl_buf_t *out, uint64_t number);

// Whether a piece of the stream has been sent.
bool face_begun(const face_t *self);
// Ends the stream.
void face_end(face_t *self);
// Sends what is in self->out as a piece of the stream, which begins with it.
void face_send(face_t *self);
// Sends what is in self->out as the whole response.
void face_reply(face_t *self, const answer_t *answer);
// Answers with the error as JSON, with its status.
void face_reply_error(face_t *self, const answer_t *answer, const answer_error_t *error);

// Looks through text on its way for citations that the model wrote.
void face_marks_feed(face_marks_t *self, const char *text, size_t size);
// What to put in for the sentence that just ended: " [2]" or "[2] ", "" if the text has it already.
const char *face_marks_cite(face_marks_t *self, uint64_t passage, char *room, size_t room_size);

// For faces that say everything at the end.
void face_no_status(face_t *self, const char *state, const char *message, const json_t *detail);
void face_no_sources(face_t *self, const answer_t *answer);
void face_no_token(face_t *self, const char *text, size_t size);
void face_no_cite(face_t *self, const answer_citation_t *citation);

#endif
