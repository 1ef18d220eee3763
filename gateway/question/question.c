// question: what a client asked, from JSON, field by field.
#include "question_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

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
    size_t offset; // of the member of question_t that read_flag, read_count, read_ms fill
    long max;      // of read_count
} field_t;

// ---- one flag or number -------------------------------------------------------------------------

static void *member_of(const question_parser_t *self)
{
    return (char *)self->question + self->field->offset;
}

static bool read_flag(question_parser_t *self, const char *param, const json_t *value)
{
    return question_boolean(self, param, value, member_of(self));
}

static bool read_count(question_parser_t *self, const char *param, const json_t *value)
{
    json_int_t count;
    if (!question_integer(self, param, value, 1, self->field->max, &count))
        return false;
    *(unsigned *)member_of(self) = (unsigned)count;
    return true;
}

static bool read_ms(question_parser_t *self, const char *param, const json_t *value)
{
    json_int_t ms;
    if (!question_integer(self, param, value, 1, MAX_MS, &ms))
        return false;
    *(long *)member_of(self) = (long)ms;
    return true;
}

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
    question->collections[question->collections_size++] = rl_strdup(name);
    return true;
}

static bool note_collections(question_parser_t *self, const char *param)
{
    if (*self->collections)
        return question_wrong(self, param, "Only one of \"%s\" and \"%s\" may be given.",
                              self->collections, param);
    snprintf(self->collections, sizeof self->collections, "%s", param);
    return true;
}

static bool read_collection(question_parser_t *self, const char *param, const json_t *value)
{
    return note_collections(self, param) && add_collection(self, param, value);
}

static bool read_collections(question_parser_t *self, const char *param, const json_t *value)
{
    size_t size = json_array_size(value);
    if (!note_collections(self, param))
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
    question->model = rl_strdup(model);
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
    self->question->draft = rl_strdup(session);
    return true;
}

// ---- how to retrieve ----------------------------------------------------------------------------

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

static bool read_require(question_parser_t *self, const char *param, const json_t *value)
{
    const char *word = json_string_value(value);
    self->question->require_all = word && strcmp(word, "all") == 0;
    return (word && (self->question->require_all || strcmp(word, "any") == 0)) ||
           question_wrong(self, param, "\"%s\" must be \"all\" or \"any\".", param);
}

// ---- how to answer ------------------------------------------------------------------------------

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

static bool read_preview(question_parser_t *self, const char *param, const json_t *value)
{
    self->question->preview_given = true;
    return question_boolean(self, param, value, &self->question->preview);
}

// ---- what OpenAI's API has and this one has not -------------------------------------------------

static bool refuse_unsupported(question_parser_t *self, const char *param, const json_t *value)
{
    (void)value;
    return question_refuse(self, 400, "unsupported_parameter", param,
                           "\"%s\" is not supported: ragline answers a question from passages.",
                           param);
}

static bool accept_only_one(question_parser_t *self, const char *param, const json_t *value)
{
    return (json_is_integer(value) && json_integer_value(value) == 1) ||
           question_refuse(self, 400, "unsupported_value", param,
                           "\"%s\" must be 1: there is one answer to a question.", param);
}

static bool accept_only_false(question_parser_t *self, const char *param, const json_t *value)
{
    return json_is_false(value) || refuse_unsupported(self, param, value);
}

// ---- all fields ---------------------------------------------------------------------------------

static bool read_ragline(question_parser_t *self, const char *param, const json_t *value);

enum {
    RETRIEVAL = ASK | SEARCH | DRAFT | RAGLINE,
    SAMPLING = ASK | CHAT
};

#define AT(member) offsetof(question_t, member), 0
#define UP_TO(member, max) offsetof(question_t, member), max
#define OWN 0, 0 // what its reader fills in itself

static const field_t fields[] = {
    {"question", ASK | SEARCH | DRAFT, false, read_question, OWN},
    {"messages", ASK | CHAT | DRAFT, false, question_messages, OWN},
    {"model", ASK | CHAT, false, read_model, OWN},
    {"stream", ASK | CHAT, true, read_flag, AT(stream)},
    {"stream_options", CHAT, true, read_stream_options, OWN},
    {"ragline", CHAT, true, read_ragline, OWN},
    {"collection", RETRIEVAL, false, read_collection, OWN},
    {"collections", RETRIEVAL, false, read_collections, OWN},
    {"k", RETRIEVAL, false, read_count, UP_TO(k, QUESTION_MAX_K)},
    {"nprobe", RETRIEVAL, false, read_count, UP_TO(nprobe, MAX_EFFORT)},
    {"ef_search", RETRIEVAL, false, read_count, UP_TO(ef_search, MAX_EFFORT)},
    {"filter", RETRIEVAL, true, question_filter, OWN},
    {"kinds", RETRIEVAL, false, read_kinds, OWN},
    {"weights", RETRIEVAL, false, read_weights, OWN},
    {"timeout_ms", RETRIEVAL, false, read_ms, AT(timeout_ms)},
    {"soft_ms", RETRIEVAL, false, read_ms, AT(soft_ms)},
    {"hard_ms", RETRIEVAL, false, read_ms, AT(hard_ms)},
    {"quorum", RETRIEVAL, false, read_count, UP_TO(quorum, MAX_QUORUM)},
    {"draft", ASK | DRAFT | RAGLINE, false, read_draft, OWN},
    {"require", ASK | SEARCH | RAGLINE, false, read_require, OWN},
    {"target_first_token_ms", ASK | RAGLINE, false, read_ms, AT(target_first_token_ms)},
    {"continuation", ASK | RAGLINE, false, read_flag, AT(continuation)},
    {"fresh", ASK | RAGLINE, false, read_flag, AT(fresh)},
    {"quick_answer", ASK | RAGLINE, false, read_preview, OWN},
    {"resumable", ASK, false, read_flag, AT(resumable)},
    {"timings", RAGLINE, false, read_flag, AT(want_timings)},
    {"progress", RAGLINE, false, read_flag, AT(want_progress)},
    {"inline_citations", RAGLINE, false, read_flag, AT(inline_citations)},
    {"max_tokens", SAMPLING, true, question_max_tokens, OWN},
    {"max_completion_tokens", CHAT, true, question_max_tokens, OWN},
    {"temperature", SAMPLING, true, question_temperature, OWN},
    {"top_p", SAMPLING, true, question_top_p, OWN},
    {"stop", SAMPLING, true, question_stop, OWN},
    {"seed", SAMPLING, true, question_seed, OWN},
    {"response_format", SAMPLING, true, question_response_format, OWN},
    {"presence_penalty", SAMPLING, true, question_penalty, OWN},
    {"frequency_penalty", SAMPLING, true, question_penalty, OWN},
    {"logit_bias", CHAT, true, question_logit_bias, OWN},
    {"user", CHAT, true, question_user, OWN},
    {"n", CHAT, true, accept_only_one, OWN},
    {"logprobs", CHAT, true, accept_only_false, OWN},
    {"store", CHAT, true, accept_only_false, OWN},
    {"tools", CHAT, true, refuse_unsupported, OWN},
    {"tool_choice", CHAT, true, refuse_unsupported, OWN},
    {"parallel_tool_calls", CHAT, true, refuse_unsupported, OWN},
    {"functions", CHAT, true, refuse_unsupported, OWN},
    {"function_call", CHAT, true, refuse_unsupported, OWN},
    {"top_logprobs", CHAT, true, refuse_unsupported, OWN},
    {"audio", CHAT, true, refuse_unsupported, OWN},
    {"modalities", CHAT, true, refuse_unsupported, OWN},
    {"prediction", CHAT, true, refuse_unsupported, OWN},
    {"reasoning_effort", CHAT, true, refuse_unsupported, OWN},
    {"web_search_options", CHAT, true, refuse_unsupported, OWN},
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
        if ((fields[at].places & place) && fields[at].read != refuse_unsupported)
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
        self->field = field;
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

// ---- a question ---------------------------------------------------------------------------------

// Rules on several fields.
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
    question_t *self = rl_new(*self);
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
    rl_must(parser.params);
    if (read_fields(&parser, body, 1u << form) && check_whole(&parser)) {
        question->params = rl_must(json_dumps(parser.params, JSON_COMPACT));
        if (!question->model)
            question->model = rl_strdup("ragline");
    } else {
        question_destroy(&question);
    }
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
