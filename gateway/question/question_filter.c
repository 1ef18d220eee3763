// question_filter: a question's condition on metadata.
#include "question_private.h"

#include <stdlib.h>

#include "filter.h"
#include "mem.h"

bool question_filter(question_parser_t *self, const char *param, const json_t *value)
{
    rl_filter_error_t trouble;
    rl_filter_t *filter = rl_filter_read(value, param, &trouble);
    if (!filter)
        return question_refuse(self, 400, trouble.unknown ? "unknown_parameter" : "invalid_value",
                               trouble.param, "%s", trouble.message);
    free(self->question->filter);
    self->question->filter = rl_must(rl_filter_text(filter));
    rl_filter_destroy(&filter);
    return true;
}
