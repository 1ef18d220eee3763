// question_params: the fields of a question that go through to the LLM, with OpenAI's names and
// ranges (https://platform.openai.com/docs/api-reference/chat/create).
#include "question_private.h"

#include <string.h>

enum {
    MAX_STOPS = 4,
    MAX_STOP_BYTES = 256,
    MAX_USER_BYTES = 512,
    MAX_BIASES = 1024,
    MAX_ANSWER_TOKENS = 1000000,
};

// The field as it came becomes a field of the LLM's request.
static bool pass_on(question_parser_t *self, const char *param, const json_t *value)
{
    json_object_set_new(self->params, param, json_deep_copy(value));
    return true;
}

static bool number_between(question_parser_t *self, const char *param, const json_t *value,
                           double min, double max)
{
    double number;
    return question_number(self, param, value, min, max, &number) && pass_on(self, param, value);
}

bool question_temperature(question_parser_t *self, const char *param, const json_t *value)
{
    return number_between(self, param, value, 0, 2);
}

bool question_top_p(question_parser_t *self, const char *param, const json_t *value)
{
    return number_between(self, param, value, 0, 1);
}

bool question_penalty(question_parser_t *self, const char *param, const json_t *value)
{
    return number_between(self, param, value, -2, 2);
}

bool question_seed(question_parser_t *self, const char *param, const json_t *value)
{
    json_int_t seed;
    if (!question_integer(self, param, value, INT64_MIN, INT64_MAX, &seed))
        return false;
    json_object_set_new(self->params, param, json_integer(seed));
    return true;
}

bool question_stop(question_parser_t *self, const char *param, const json_t *value)
{
    const char *text;
    if (json_is_string(value))
        return question_string(self, param, value, MAX_STOP_BYTES, &text) &&
               pass_on(self, param, value);
    size_t size = json_array_size(value);
    if (size < 1 || size > MAX_STOPS)
        return question_wrong(self, param, "\"%s\" must be a string or a list of 1 to %d strings.",
                              param, MAX_STOPS);
    for (size_t at = 0; at < size; at++)
        if (!question_string(self, param, json_array_get(value, at), MAX_STOP_BYTES, &text))
            return false;
    return pass_on(self, param, value);
}

bool question_logit_bias(question_parser_t *self, const char *param, const json_t *value)
{
    const char *token;
    json_t *bias;
    double number;
    if (!json_is_object(value) || json_object_size(value) > MAX_BIASES)
        return question_wrong(self, param, "\"%s\" must be an object of at most %d numbers.", param,
                              MAX_BIASES);
    json_object_foreach((json_t *)value, token, bias)
    {
        if (!question_number(self, param, bias, -100, 100, &number))
            return false;
    }
    return pass_on(self, param, value);
}

bool question_user(question_parser_t *self, const char *param, const json_t *value)
{
    const char *text;
    return question_string(self, param, value, MAX_USER_BYTES, &text) &&
           pass_on(self, param, value);
}

bool question_response_format(question_parser_t *self, const char *param, const json_t *value)
{
    const char *type = json_string_value(json_object_get(value, "type"));
    bool schema = type && strcmp(type, "json_schema") == 0;
    if (!type || (!schema && strcmp(type, "text") != 0 && strcmp(type, "json_object") != 0))
        return question_wrong(self, param,
                              "\"%s\" must be an object with a \"type\" of text, json_object or "
                              "json_schema.",
                              param);
    if (schema && !json_is_object(json_object_get(value, "json_schema")))
        return question_wrong(self, param, "\"%s\" of type json_schema needs \"json_schema\".",
                              param);
    return pass_on(self, param, value);
}

// max_tokens and its newer name, max_completion_tokens.
bool question_max_tokens(question_parser_t *self, const char *param, const json_t *value)
{
    json_int_t tokens;
    if (!question_integer(self, param, value, 1, MAX_ANSWER_TOKENS, &tokens))
        return false;
    if (self->question->max_tokens && self->question->max_tokens != tokens)
        return question_wrong(
            self, param, "\"max_tokens\" and \"max_completion_tokens\" contradict each other.");
    self->question->max_tokens = (unsigned)tokens;
    return true;
}
