// question: what a client asked, from JSON, field by field.
#include "question_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_NAME_BYTES = 128, // of a collection
    MAX_SESSION_BYTES = 64,
    MAX_MS = 86400000,
    MAX_QUORUM = 1000,
    MAX_WEIGHT = 1000,
    MAX_EFFORT = 65536,
};

// Where a field may stand.
enum {
    ASK = 1 << FORM_ASK,
    SEARCH = 1 << FORM_SEARCH,
    CHAT = 1 << FORM_CHAT,
    DRAFT = 1 << FORM_DRAFT,
    RAGLINE = 1 << 4, // in the "ragline" object of FORM_CHAT
};

typedef struct field {
    const char *name;
    unsigned places;
    bool null; // null says as much as leaving it out, as in OpenAI's API
    bool (*read)(question_parser_t *self, const char *param, const json_t *value);
} field_t;

// ---- what to ask and where ----------------------------------------------------------------------

static bool read_question(question_parser_t *self, const char *param, const json_t *value)
{
    if (!json_is_string(value))
        return question_wrong(self, param, "\"%s\" must be a string: the question.", param);
    return question_text(self, param, json_string_value(value), json_string_length(value));
}

// A key that may not read a collection is told so whether or not there is one of that name, so that
// the answer gives nothing away.
static bool add_collection(question_parser_t *self, const char *param, const json_t *value)
{
    question_t *question = self->question;
    const char *name;
    if (!question_string(self, param, value, MAX_NAME_BYTES, &name))
        return false;
    if (!keys_may_read(http_caller(*self->req_p), name))
        return question_refuse(self, 403, "collection_forbidden", param,
                               "This API key may not read the collection \"%s\".", name);
    for (size_t at = 0; at < question->collections_size; at++)
        if (strcmp(question->collections[at], name) == 0)
            return question_wrong(self, param, "\"%s\" names the collection \"%s\" a second time.",
                                  param, name);
    char *copy = strdup(name);
    if (!copy)
        return question_refuse(self, 503, "out_of_memory", NULL, "Out of memory.");
    question->collections[question->collections_size++] = copy;
    return true;
}

static bool one_source(question_parser_t *self, const char *param)
{
    if (*self->collections)
        return question_wrong(self, param, "Only one of \"%s\" and \"%s\" may be given.",
                              self->collections, param);
    snprintf(self->collections, sizeof self->collections, "%s", param);
    return true;
}

static bool read_collection(question_parser_t *self, const char *param, const json_t *value)
{
    return one_source(self, param) && add_collection(self, param, value);
}

static bool read_collections(question_parser_t *self, const char *param, const json_t *value)
{
    size_t size = json_array_size(value);
    if (!one_source(self, param))
        return false;
    if (size < 1 || size > QUESTION_MAX_COLLECTIONS)
        return question_wrong(self, param, "\"%s\" must be a list of 1 to %d names.", param,
                              QUESTION_MAX_COLLECTIONS);
    for (size_t at = 0; at < size; at++) {
        char name[64];
        snprintf(name, sizeof name, "%s[%zu]", param, at);
        if (!add_collection(self, name, json_array_get(value, at)))
            return false;
    }
    return true;
}

// "ragline" stands for the default collections, "ragline/NAME" for one.
static bool read_model(question_parser_t *self, const char *param, const json_t *value)
{
    question_t *question = self->question;
    const char *model;
    if (!question_string(self, param, value, MAX_NAME_BYTES, &model))
        return false;
    free(question->model);
    question->model = strdup(model);
    if (!question->model)
        return question_refuse(self, 503, "out_of_memory", NULL, "Out of memory.");
    if (strcmp(model, "ragline") == 0)
        return true;
    const char *name = strncmp(model, "ragline/", 8) == 0 ? model + 8 : "";
    if (!*name || !keys_may_read(http_caller(*self->req_p), name))
        return question_refuse(self, 404, "model_not_found", param,
                               "The model \"%s\" does not exist or this API key has no access to "
                               "it; GET /v1/models lists what there is.",
                               model);
    json_t *collection = json_string(name);
    bool good = read_collection(self, param, collection);
    json_decref(collection);
    return good;
}

static bool read_draft(question_parser_t *self, const char *param, const json_t *value)
{
    const char *session;
    if (!question_string(self, param, value, MAX_SESSION_BYTES, &session))
        return false;
    self->question->draft = strdup(session);
    return self->question->draft ||
           question_refuse(self, 503, "out_of_memory", NULL, "Out of memory.");
}

// ---- how to retrieve ----------------------------------------------------------------------------

static bool read_k(question_parser_t *self, const char *param, const json_t *value)
{
    json_int_t k;
    if (!question_integer(self, param, value, 1, QUESTION_MAX_K, &k))
        return false;
    self->question->k = (unsigned)k;
    return true;
}

static bool read_effort(question_parser_t *self, const char *param, const json_t *value,
                        unsigned *out)
{
    json_int_t effort;
    if (!question_integer(self, param, value, 1, MAX_EFFORT, &effort))
        return false;
    *out = (unsigned)effort;
    return true;
}

static bool read_nprobe(question_parser_t *self, const char *param, const json_t *value)
{
    return read_effort(self, param, value, &self->question->nprobe);
}

static bool read_ef_search(question_parser_t *self, const char *param, const json_t *value)
{
    return read_effort(self, param, value, &self->question->ef_search);
}

static bool read_kinds(question_parser_t *self, const char *param, const json_t *value)
{
    size_t size = json_array_size(value);
    memset(self->question->kinds, 0, sizeof self->question->kinds);
    bool good = size > 0;
    for (size_t at = 0; good && at < size; at++) {
        int kind = kind_from_name(json_string_value(json_array_get(value, at)));
        good = kind >= 0 && !self->question->kinds[kind];
        if (good)
            self->question->kinds[kind] = true;
    }
    return good ||
           question_wrong(self, param, "\"%s\" must be a list of \"dense\", \"lexical\" or both.",
                          param);
}

static bool read_weights(question_parser_t *self, const char *param, const json_t *value)
{
    const char *name;
    json_t *weight;
    if (!json_is_object(value))
        return question_wrong(self, param,
                              "\"%s\" must be an object such as {\"dense\": 1, \"lexical\": 0.5}.",
                              param);
    json_object_foreach((json_t *)value, name, weight)
    {
        char part[96];
        int kind = kind_from_name(name);
        snprintf(part, sizeof part, "%s.%.40s", param, name);
        if (kind < 0)
            return question_wrong(
                self, part, "\"%s\" is no kind of retrieval: there are dense and lexical.", part);
        if (!question_number(self, part, weight, 0, MAX_WEIGHT, &self->question->weights[kind]))
            return false;
    }
    return true;
}

static bool read_ms(question_parser_t *self, const char *param, const json_t *value, long *out)
{
    json_int_t ms;
    if (!question_integer(self, param, value, 1, MAX_MS, &ms))
        return false;
    *out = (long)ms;
    return true;
}

static bool read_timeout(question_parser_t *self, const char *param, const json_t *value)
{
    return read_ms(self, param, value, &self->question->timeout_ms);
}

static bool read_soft(question_parser_t *self, const char *param, const json_t *value)
{
    return read_ms(self, param, value, &self->question->soft_ms);
}

static bool read_hard(question_parser_t *self, const char *param, const json_t *value)
{
    return read_ms(self, param, value, &self->question->hard_ms);
}

static bool read_target(question_parser_t *self, const char *param, const json_t *value)
{
    return read_ms(self, param, value, &self->question->target_first_token_ms);
}

static bool read_quorum(question_parser_t *self, const char *param, const json_t *value)
{
    json_int_t quorum;
    if (!question_integer(self, param, value, 1, MAX_QUORUM, &quorum))
        return false;
    self->question->quorum = (unsigned)quorum;
    return true;
}

static bool read_require(question_parser_t *self, const char *param, const json_t *value)
{
    const char *word = json_string_value(value);
    self->question->require_all = word && strcmp(word, "all") == 0;
    return (word && (self->question->require_all || strcmp(word, "any") == 0)) ||
           question_wrong(self, param, "\"%s\" must be \"all\" or \"any\".", param);
}

// ---- how to answer ------------------------------------------------------------------------------

static bool read_stream(question_parser_t *self, const char *param, const json_t *value)
{
    return question_boolean(self, param, value, &self->question->stream);
}

static bool read_stream_options(question_parser_t *self, const char *param, const json_t *value)
{
    const char *name;
    json_t *option;
    if (!json_is_object(value))
        return question_wrong(self, param, "\"%s\" must be an object.", param);
    json_object_foreach((json_t *)value, name, option)
    {
        char part[96];
        snprintf(part, sizeof part, "%s.%.40s", param, name);
        if (strcmp(name, "include_usage") != 0)
            return question_refuse(self, 400, "unknown_parameter", part,
                                   "\"%s\" is not supported; \"include_usage\" is.", part);
        if (!json_is_null(option) &&
            !question_boolean(self, part, option, &self->question->want_usage))
            return false;
    }
    return true;
}

static bool read_resumable(question_parser_t *self, const char *param, const json_t *value)
{
    return question_boolean(self, param, value, &self->question->resumable);
}

static bool read_fresh(question_parser_t *self, const char *param, const json_t *value)
{
    return question_boolean(self, param, value, &self->question->fresh);
}

static bool read_preview(question_parser_t *self, const char *param, const json_t *value)
{
    self->question->preview_given = true;
    return question_boolean(self, param, value, &self->question->preview);
}

static bool read_continuation(question_parser_t *self, const char *param, const json_t *value)
{
    return question_boolean(self, param, value, &self->question->continuation);
}

static bool read_want_timings(question_parser_t *self, const char *param, const json_t *value)
{
    return question_boolean(self, param, value, &self->question->want_timings);
}

static bool read_want_progress(question_parser_t *self, const char *param, const json_t *value)
{
    return question_boolean(self, param, value, &self->question->want_progress);
}

static bool read_inline(question_parser_t *self, const char *param, const json_t *value)
{
    return question_boolean(self, param, value, &self->question->inline_citations);
}

// ---- what OpenAI's API has and this one has not -------------------------------------------------

static bool unsupported(question_parser_t *self, const char *param, const json_t *value)
{
    (void)value;
    return question_refuse(self, 400, "unsupported_parameter", param,
                           "\"%s\" is not supported: ragline answers a question from passages.",
                           param);
}

static bool only_one(question_parser_t *self, const char *param, const json_t *value)
{
    return (json_is_integer(value) && json_integer_value(value) == 1) ||
           question_refuse(self, 400, "unsupported_value", param,
                           "\"%s\" must be 1: there is one answer to a question.", param);
}

static bool only_false(question_parser_t *self, const char *param, const json_t *value)
{
    return json_is_false(value) || unsupported(self, param, value);
}

// ---- the table ----------------------------------------------------------------------------------

static bool read_ragline(question_parser_t *self, const char *param, const json_t *value);

enum {
    RETRIEVAL = ASK | SEARCH | DRAFT | RAGLINE,
    SAMPLING = ASK | CHAT
};

static const field_t fields[] = {
    {"question", ASK | SEARCH | DRAFT, false, read_question},
    {"messages", ASK | CHAT | DRAFT, false, question_messages},
    {"model", ASK | CHAT, false, read_model},
    {"stream", ASK | CHAT, true, read_stream},
    {"stream_options", CHAT, true, read_stream_options},
    {"ragline", CHAT, true, read_ragline},
    {"collection", RETRIEVAL, false, read_collection},
    {"collections", RETRIEVAL, false, read_collections},
    {"k", RETRIEVAL, false, read_k},
    {"nprobe", RETRIEVAL, false, read_nprobe},
    {"ef_search", RETRIEVAL, false, read_ef_search},
    {"filter", RETRIEVAL, true, question_filter},
    {"kinds", RETRIEVAL, false, read_kinds},
    {"weights", RETRIEVAL, false, read_weights},
    {"timeout_ms", RETRIEVAL, false, read_timeout},
    {"soft_ms", RETRIEVAL, false, read_soft},
    {"hard_ms", RETRIEVAL, false, read_hard},
    {"quorum", RETRIEVAL, false, read_quorum},
    {"draft", ASK | DRAFT | RAGLINE, false, read_draft},
    {"require", ASK | SEARCH | RAGLINE, false, read_require},
    {"target_first_token_ms", ASK | RAGLINE, false, read_target},
    {"continuation", ASK | RAGLINE, false, read_continuation},
    {"fresh", ASK | RAGLINE, false, read_fresh},
    {"quick_answer", ASK | RAGLINE, false, read_preview},
    {"resumable", ASK, false, read_resumable},
    {"timings", RAGLINE, false, read_want_timings},
    {"progress", RAGLINE, false, read_want_progress},
    {"inline_citations", RAGLINE, false, read_inline},
    {"max_tokens", SAMPLING, true, question_max_tokens},
    {"max_completion_tokens", CHAT, true, question_max_tokens},
    {"temperature", SAMPLING, true, question_temperature},
    {"top_p", SAMPLING, true, question_top_p},
    {"stop", SAMPLING, true, question_stop},
    {"seed", SAMPLING, true, question_seed},
    {"response_format", SAMPLING, true, question_response_format},
    {"presence_penalty", SAMPLING, true, question_penalty},
    {"frequency_penalty", SAMPLING, true, question_penalty},
    {"logit_bias", CHAT, true, question_logit_bias},
    {"user", CHAT, true, question_user},
    {"n", CHAT, true, only_one},
    {"logprobs", CHAT, true, only_false},
    {"store", CHAT, true, only_false},
    {"tools", CHAT, true, unsupported},
    {"tool_choice", CHAT, true, unsupported},
    {"parallel_tool_calls", CHAT, true, unsupported},
    {"functions", CHAT, true, unsupported},
    {"function_call", CHAT, true, unsupported},
    {"top_logprobs", CHAT, true, unsupported},
    {"audio", CHAT, true, unsupported},
    {"modalities", CHAT, true, unsupported},
    {"prediction", CHAT, true, unsupported},
    {"reasoning_effort", CHAT, true, unsupported},
    {"web_search_options", CHAT, true, unsupported},
};

enum {
    FIELDS = sizeof fields / sizeof *fields
};

static const field_t *find_field(const char *name, unsigned place)
{
    for (size_t at = 0; at < FIELDS; at++)
        if ((fields[at].places & place) && strcmp(fields[at].name, name) == 0)
            return &fields[at];
    return NULL;
}

static bool refuse_unknown(question_parser_t *self, const char *name, unsigned place)
{
    char known[512] = "", param[160];
    size_t used = 0;
    for (size_t at = 0; at < FIELDS && used < sizeof known; at++)
        if ((fields[at].places & place) && fields[at].read != unsupported)
            used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "",
                                     fields[at].name);
    snprintf(param, sizeof param, "%s%.120s", place == RAGLINE ? "ragline." : "", name);
    return question_refuse(self, 400, "unknown_parameter", param,
                           "Unknown field \"%s\". There are: %s.", param, known);
}

static bool read_fields(question_parser_t *self, const json_t *object, unsigned place)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value)
    {
        const field_t *field = find_field(name, place);
        if (!field)
            return refuse_unknown(self, name, place);
        if (field->null && json_is_null(value))
            continue;
        char param[64];
        snprintf(param, sizeof param, "%s%s", place == RAGLINE ? "ragline." : "", field->name);
        if (!field->read(self, param, value))
            return false;
    }
    return true;
}

static bool read_ragline(question_parser_t *self, const char *param, const json_t *value)
{
    if (!json_is_object(value))
        return question_wrong(self, param, "\"%s\" must be an object.", param);
    return read_fields(self, value, RAGLINE);
}

// ---- the whole ----------------------------------------------------------------------------------

// What no field can say alone.
static bool check_whole(question_parser_t *self)
{
    question_t *question = self->question;
    bool chat = question->form == FORM_CHAT;
    if (!question->text)
        return question_refuse(self, 400, "missing_required_parameter",
                               chat ? "messages" : "question", "\"%s\" is missing.",
                               chat ? "messages" : "question");
    if (question->form == FORM_DRAFT && !question->draft)
        return question_refuse(self, 400, "missing_required_parameter", "draft",
                               "\"draft\" is missing: a name for what is being typed, the same in "
                               "each of its drafts and in the question.");
    if (question->soft_ms && question->hard_ms && question->soft_ms > question->hard_ms)
        return question_wrong(self, chat ? "ragline.soft_ms" : "soft_ms",
                              "\"soft_ms\" must not be more than \"hard_ms\".");
    bool counts = false;
    for (int kind = 0; kind < KINDS; kind++)
        counts = counts || (question->kinds[kind] && question->weights[kind] != 0);
    if (!counts)
        return question_wrong(self, chat ? "ragline.weights" : "weights",
                              "\"weights\" leaves no kind of retrieval with a weight above 0.");
    return true;
}

static question_t *question_new(question_form_t form)
{
    question_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->form = form;
    self->stream = form == FORM_ASK;
    for (int kind = 0; kind < KINDS; kind++) {
        self->kinds[kind] = true;
        self->weights[kind] = -1;
    }
    return self;
}

question_t *question_read(http_req_t **req_p, question_form_t form)
{
    json_t *body = http_json(req_p);
    if (!body)
        return NULL;
    question_parser_t parser = {
        .req_p = req_p, .question = question_new(form), .params = json_object()};
    question_t *question = parser.question;
    bool good =
        question && parser.params && read_fields(&parser, body, 1u << form) && check_whole(&parser);
    if (good) {
        question->params = json_dumps(parser.params, JSON_COMPACT);
        if (!question->model)
            question->model = strdup("ragline");
        good = question->params && question->model;
    }
    if (!good && *req_p)
        question_refuse(&parser, 503, "out_of_memory", NULL, "Out of memory.");
    if (!good)
        question_destroy(&question);
    json_decref(parser.params);
    json_decref(body);
    return question;
}

void question_destroy(question_t **self_p)
{
    question_t *self = *self_p;
    if (!self)
        return;
    for (size_t at = 0; at < self->turns_size; at++)
        free((char *)self->turns[at].content);
    for (size_t at = 0; at < self->collections_size; at++)
        free(self->collections[at]);
    free(self->turns);
    free(self->text);
    free(self->filter);
    free(self->draft);
    free(self->params);
    free(self->model);
    free(self);
    *self_p = NULL;
}
