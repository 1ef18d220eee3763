// question_values: single values of a question: their types and ranges, and how they are refused.
#include "question_private.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

bool question_refuse(question_parser_t *self, int status, const char *code, const char *param,
                     const char *format, ...)
{
    va_list args;
    va_start(args, format);
    http_reply_error_v(self->req_p, status, code, param, 0, format, args);
    va_end(args);
    return false;
}

// ---- values -------------------------------------------------------------------------------------

bool question_integer(question_parser_t *self, const char *param, const json_t *value,
                      json_int_t min, json_int_t max, json_int_t *out)
{
    double number = json_number_value(value);
    bool whole = json_is_integer(value) ||
                 (json_is_real(value) && number == floor(number) && fabs(number) < 9e15);
    *out = json_is_integer(value) ? json_integer_value(value) : (json_int_t)(whole ? number : 0);
    if (whole && *out >= min && *out <= max)
        return true;
    if (min == INT64_MIN)
        return question_wrong(self, param, "\"%s\" must be an integer of 64 bits.", param);
    return question_wrong(self, param,
                          "\"%s\" must be an integer from %" JSON_INTEGER_FORMAT
                          " to %" JSON_INTEGER_FORMAT ".",
                          param, min, max);
}

bool question_number(question_parser_t *self, const char *param, const json_t *value, double min,
                     double max, double *out)
{
    *out = json_number_value(value);
    if (json_is_number(value) && *out >= min && *out <= max)
        return true;
    return question_wrong(self, param, "\"%s\" must be a number from %g to %g.", param, min, max);
}

bool question_boolean(question_parser_t *self, const char *param, const json_t *value, bool *out)
{
    *out = json_is_true(value);
    return json_is_boolean(value) ||
           question_wrong(self, param, "\"%s\" must be true or false.", param);
}

bool question_string(question_parser_t *self, const char *param, const json_t *value, size_t max,
                     const char **out)
{
    *out = json_string_value(value);
    size_t size = json_string_length(value);
    return (*out && size > 0 && size <= max) ||
           question_wrong(self, param, "\"%s\" must be a string of 1 to %zu bytes.", param, max);
}
