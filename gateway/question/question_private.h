// question_private: what the files that parse questions share; for them alone.
#ifndef QUESTION_PRIVATE_H
#define QUESTION_PRIVATE_H

#include "question.h"

// A question while it is read. A function that reads a part returns false after having answered the
// request with what is wrong.
typedef struct question_parser {
    http_req_t **req_p;
    question_t *question;
    const struct field *field; // at hand
    json_t *params;            // becomes question->params
    char collections[64];      // the field that named the collections, "" if none did yet
} question_parser_t;

// Answers 400 (or another status) and names the field. Always false.
bool question_refuse(question_parser_t *self, int status, const char *code, const char *param,
                     const char *format, ...) __attribute__((format(printf, 5, 6)));
#define question_wrong(self, param, ...)                                                           \
    question_refuse(self, 400, "invalid_value", param, __VA_ARGS__)

// Values of one type and range.
bool question_integer(question_parser_t *self, const char *param, const json_t *value,
                      json_int_t min, json_int_t max, json_int_t *out);
bool question_number(question_parser_t *self, const char *param, const json_t *value, double min,
                     double max, double *out);
bool question_boolean(question_parser_t *self, const char *param, const json_t *value, bool *out);
// Not empty, at most `max` bytes; borrowed.
bool question_string(question_parser_t *self, const char *param, const json_t *value, size_t max,
                     const char **out);

// question_messages.c: "messages": earlier turns; of FORM_CHAT the last one is the question.
bool question_messages(question_parser_t *self, const char *param, const json_t *value);
// Takes over what is asked, if it is not empty and not too long.
bool question_text(question_parser_t *self, const char *param, const char *text, size_t size);

// question_filter.c: the condition on metadata.
bool question_filter(question_parser_t *self, const char *param, const json_t *value);

// question_params.c: fields that go through to the LLM.
bool question_temperature(question_parser_t *self, const char *param, const json_t *value);
bool question_top_p(question_parser_t *self, const char *param, const json_t *value);
bool question_penalty(question_parser_t *self, const char *param, const json_t *value);
bool question_seed(question_parser_t *self, const char *param, const json_t *value);
bool question_stop(question_parser_t *self, const char *param, const json_t *value);
bool question_logit_bias(question_parser_t *self, const char *param, const json_t *value);
bool question_user(question_parser_t *self, const char *param, const json_t *value);
bool question_response_format(question_parser_t *self, const char *param, const json_t *value);
bool question_max_tokens(question_parser_t *self, const char *param, const json_t *value);

#endif
