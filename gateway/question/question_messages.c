// question_messages: the turns of a conversation, in OpenAI's form.
#include "question_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "mem.h"

enum {
    MAX_QUESTION_BYTES = 32 * 1024,
    MAX_TURN_BYTES = 1 << 20, // a body's own bound is smaller
    PARAM_SIZE = 64,
};

bool question_text(question_parser_t *self, const char *param, const char *text, size_t size)
{
    if (strspn(text, " \t\r\n\v\f") == size)
        return question_wrong(self, param, "The question (\"%s\") must not be empty.", param);
    if (size > MAX_QUESTION_BYTES)
        return question_wrong(self, param,
                              "The question (\"%s\") has %zu bytes; at most %d are taken.", param,
                              size, MAX_QUESTION_BYTES);
    free(self->question->text);
    self->question->text = rl_strdup(text);
    return true;
}

// One part of a message's content: {"type": "text", "text": "…"}.
static bool read_part(question_parser_t *self, const char *param, const json_t *part,
                      rl_buf_t *text)
{
    const char *type = json_string_value(json_object_get(part, "type"));
    const json_t *value = json_object_get(part, "text");
    if (!type)
        return question_wrong(self, param, "\"%s\" must be an object with a \"type\".", param);
    if (strcmp(type, "text") != 0)
        return question_wrong(
            self, param, "\"%s\" is of type \"%.40s\"; only text is understood here.", param, type);
    if (!json_is_string(value) || json_object_size(part) != 2)
        return question_wrong(self, param, "\"%s\" must have a \"text\", and nothing else.", param);
    rl_buf_add(text, json_string_value(value), json_string_length(value));
    return true;
}

static bool read_content(question_parser_t *self, const char *param, const json_t *value,
                         rl_buf_t *text)
{
    if (json_is_string(value)) {
        rl_buf_add(text, json_string_value(value), json_string_length(value));
        return true;
    }
    if (!json_is_array(value))
        return question_wrong(self, param, "\"%s\" must be a string or a list of text parts.",
                              param);
    for (size_t at = 0; at < json_array_size(value); at++) {
        char part[PARAM_SIZE + 64];
        snprintf(part, sizeof part, "%s[%zu]", param, at);
        if (!read_part(self, part, json_array_get(value, at), text))
            return false;
    }
    return true;
}

// The role as the generators know it, NULL if it is none.
static const char *read_role(question_parser_t *self, const char *param, const json_t *value)
{
    static const struct {
        const char *name, *role;
    } roles[] = {
        {"user", "user"},
        {"assistant", "assistant"},
        {"system", "system"},
        {"developer", "system"}, // OpenAI's newer name for it
    };
    const char *name = json_string_value(value);
    for (size_t at = 0; name && at < sizeof roles / sizeof *roles; at++)
        if (strcmp(roles[at].name, name) == 0)
            return roles[at].role;
    question_wrong(self, param, "\"%s\" must be user, assistant, system or developer.", param);
    return NULL;
}

// Whatever else a message holds must say nothing. An assistant's message may be one of our own
// answers, sent back as it came.
static bool check_rest(question_parser_t *self, const char *param, const json_t *message,
                       const char *role)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)message, key, value)
    {
        bool ours = strcmp(role, "assistant") == 0 &&
                    (strcmp(key, "citations") == 0 || strcmp(key, "annotations") == 0);
        if (strcmp(key, "role") == 0 || strcmp(key, "content") == 0 || json_is_null(value) || ours)
            continue;
        char name[PARAM_SIZE + 128];
        snprintf(name, sizeof name, "%s.%.100s", param, key);
        return question_refuse(self, 400, "unknown_parameter", name, "\"%s\" is not supported.",
                               name);
    }
    return true;
}

// One message; its content in `text`.
static const char *read_message(question_parser_t *self, size_t at, const json_t *message,
                                rl_buf_t *text)
{
    char param[PARAM_SIZE], part[PARAM_SIZE + 16];
    snprintf(param, sizeof param, "messages[%zu]", at);
    if (!json_is_object(message)) {
        question_wrong(self, param, "\"%s\" must be an object.", param);
        return NULL;
    }
    snprintf(part, sizeof part, "%s.role", param);
    const char *role = read_role(self, part, json_object_get(message, "role"));
    snprintf(part, sizeof part, "%s.content", param);
    if (!role || !read_content(self, part, json_object_get(message, "content"), text) ||
        !check_rest(self, param, message, role))
        return NULL;
    return role;
}

static bool read_turn(question_parser_t *self, size_t at, const json_t *message, bool last)
{
    question_t *question = self->question;
    rl_buf_t text = rl_buf_make(MAX_TURN_BYTES);
    const char *role = read_message(self, at, message, &text);
    bool good = role != NULL;
    size_t size = text.size;
    char *content = rl_buf_take(&text);
    if (good && last && strcmp(role, "user") != 0) {
        good = question_wrong(self, "messages", "The last of \"messages\" must be the user's.");
    } else if (good && last) {
        char param[PARAM_SIZE];
        snprintf(param, sizeof param, "messages[%zu].content", at);
        good = question_text(self, param, content ? content : "", size);
    } else if (good) {
        question->turns[question->turns_size++] = (rl_turn_t){role, content};
        return true;
    }
    free(content);
    return good;
}

bool question_messages(question_parser_t *self, const char *param, const json_t *value)
{
    question_t *question = self->question;
    bool chat = question->form == FORM_CHAT;
    size_t size = json_array_size(value);
    if (!json_is_array(value) || (chat && size == 0) || size > RL_MAX_TURNS)
        return question_wrong(self, param, "\"%s\" must be a list of %d to %d messages.", param,
                              chat ? 1 : 0, RL_MAX_TURNS);
    question->turns = rl_alloc_array(size, sizeof *question->turns);
    for (size_t at = 0; at < size; at++)
        if (!read_turn(self, at, json_array_get(value, at), chat && at + 1 == size))
            return false;
    return true;
}
