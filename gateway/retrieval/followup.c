// followup: making a follow-up question stand on its own.
#include "followup.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "log.h"
#include "mem.h"
#include "utf8.h"

enum {
    SHORT_WORDS = 3,      // content words below which a question hardly stands on its own
    SHORT_CHARACTERS = 6, // the same where words are not separated by spaces
    LOOK_BACK = 3,        // user turns looked at
    REWRITE_MS = 4000,
    REWRITE_TOKENS = 80,
    REWRITE_BYTES = 4096, // what is longer is no question
};

// Words that point back to something said before, in English and German; for other languages there
// is gateway.rewrite = llm.
static const char *const pointers[] = {
    "it",     "its",    "that",      "this",    "these", "those", "they", "them",
    "their",  "he",     "she",       "him",     "her",   "one",   "ones", "same",
    "former", "latter", "otherwise", "instead", "also",  "er",    "sie",  "es",
    "das",    "dies",   "diese",     "dieser",  "ihn",   "damit", "dazu", "auch"};

// Words at the start that continue what was said.
static const char *const openers[] = {"and", "or", "but", "so", "then", "und", "oder", "aber"};

// Words that carry no content of their own, so that they do not count towards a question's length.
static const char *const fillers[] = {
    "a",     "an",    "the",    "is",    "are",    "was",  "do",    "does",  "did", "can",
    "could", "what",  "how",    "why",   "who",    "when", "where", "which", "for", "of",
    "in",    "on",    "to",     "with",  "about",  "and",  "or",    "but",   "i",   "you",
    "we",    "my",    "me",     "there", "please", "if",   "be",    "by",    "at",  "as",
    "from",  "would", "should", "will",  "use",    "used"};

static bool is_in(const char *const *words, size_t size, const char *word, size_t length)
{
    for (size_t at = 0; at < size; at++)
        if (strlen(words[at]) == length && strncasecmp(words[at], word, length) == 0)
            return true;
    return false;
}
#define IS_IN(words, word, length) is_in(words, sizeof words / sizeof *words, word, length)

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '\'' || (unsigned char)c >= 0x80;
}

// Whether a question points back or is too short to stand alone.
static bool points_back(const char *text)
{
    size_t words = 0, content = 0;
    bool spaceless = false;
    for (const char *p = text; *p;) {
        if (!is_word(*p)) {
            p++;
            continue;
        }
        size_t length = 0;
        while (is_word(p[length]))
            length++;
        if (IS_IN(pointers, p, length) || (words == 0 && IS_IN(openers, p, length)))
            return true;
        spaceless |= (unsigned char)*p >= 0xe3; // CJK: U+3000 and above
        content += !IS_IN(fillers, p, length);
        words++;
        p += length;
    }
    if (spaceless)
        return rl_utf8_length(text, strlen(text)) < SHORT_CHARACTERS;
    return content < SHORT_WORDS;
}

bool followup_is(const question_t *question)
{
    for (size_t at = 0; at < question->turns_size; at++)
        if (strcmp(question->turns[at].role, "user") == 0)
            return points_back(question->text);
    return false;
}

char *followup_text(const question_t *question)
{
    char *out = NULL;
    if (!followup_is(question))
        return rl_strdup(question->text);
    // Back to the last user turn that stands on its own, so that "and for PULL?" "and its default?"
    // both keep the first question's subject.
    rl_buf_t text = rl_buf_make(64 << 10);
    size_t first = question->turns_size, seen = 0;
    for (size_t at = question->turns_size; at-- > 0 && seen < LOOK_BACK;) {
        if (strcmp(question->turns[at].role, "user") != 0)
            continue;
        first = at;
        seen++;
        if (!points_back(question->turns[at].content))
            break;
    }
    for (size_t at = first; at < question->turns_size; at++)
        if (strcmp(question->turns[at].role, "user") == 0)
            rl_buf_addf(&text, "%s\n", question->turns[at].content);
    rl_buf_adds(&text, question->text);
    out = text.full ? rl_strdup(question->text) : rl_buf_take(&text);
    rl_buf_free(&text);
    return out;
}

// ---- by the LLM ---------------------------------------------------------------------------------

struct rewrite {
    rl_fetch_t *fetch;
    void (*done)(void *arg, const char *text);
    void *arg;
    char request[40];
};

// The question in what the LLM said, malloc'd: its first line, without the quotation marks that
// some models put around it. NULL if there is none.
static char *standalone_question(const char *text)
{
    text += strspn(text, " \t\r\n\"");
    size_t size = strcspn(text, "\r\n");
    while (size > 0 && strchr(" \t\"", text[size - 1]))
        size--;
    return size > 0 && size <= REWRITE_BYTES ? rl_strndup(text, size) : NULL;
}

static void on_rewritten(void *arg, const rl_fetch_result_t *result)
{
    rewrite_t *rewrite = arg;
    json_t *root = result->ok && result->status == 200
                       ? json_loadb(result->body, result->body_size, 0, NULL)
                       : NULL;
    json_t *choice = json_array_get(json_object_get(root, "choices"), 0);
    const char *text =
        json_string_value(json_object_get(json_object_get(choice, "message"), "content"));
    const char *finish = json_string_value(json_object_get(choice, "finish_reason"));
    // half a question asks something else
    bool whole = !finish || strcasecmp(finish, "stop") == 0 ||
                 (text && strchr(text + strspn(text, " \t\r\n\""), '\n'));
    char *line = text && whole ? standalone_question(text) : NULL;
    if (!line && !result->ok)
        rl_log(RL_LOG_WARN, rewrite->request,
               "the LLM did not rewrite a follow-up question (%s): the conversation's words are "
               "used",
               result->error);
    else if (!line)
        rl_log(RL_LOG_WARN, rewrite->request,
               "the LLM did not rewrite a follow-up question (status %ld, no question in its "
               "answer): the conversation's words are used",
               result->status);
    rewrite->done(rewrite->arg, line);
    free(line);
    json_decref(root);
    free(rewrite);
}

static json_t *message_json(const char *role, const char *content)
{
    return json_pack("{s:s, s:s}", "role", role, "content", content);
}

static char *rewrite_body(const rl_conf_t *conf, const question_t *question)
{
    json_t *messages = json_array();
    json_array_append_new(
        messages,
        message_json("system", "Rewrite the user's last question so that it can be understood "
                               "without the conversation. Answer with the question only."));
    size_t from = question->turns_size > 6 ? question->turns_size - 6 : 0;
    rl_buf_t text = rl_buf_make(256 << 10);
    for (size_t at = from; at < question->turns_size; at++)
        rl_buf_addf(&text, "%s: %s\n", question->turns[at].role, question->turns[at].content);
    rl_buf_addf(&text, "\nLast question: %s\nStandalone question:", question->text);
    json_array_append_new(messages, message_json("user", text.full ? question->text : text.data));
    rl_buf_free(&text);
    json_t *body = json_pack("{s:o, s:i, s:i}", "messages", messages, "max_tokens", REWRITE_TOKENS,
                             "temperature", 0);
    const char *model = rl_conf_str(conf, "llm.model");
    if (*model)
        json_object_set_new(body, "model", json_string(model));
    char *out = rl_must(json_dumps(body, JSON_COMPACT));
    json_decref(body);
    return out;
}

rewrite_t *followup_rewrite(const rl_conf_t *conf, rl_fetcher_t *fetcher, const char *id,
                            const question_t *question, const trace_headers_t *trace,
                            void (*done)(void *arg, const char *text), void *arg)
{
    const char *base = rl_conf_str(conf, "llm.url");
    char url[2048], *body = rewrite_body(conf, question);
    rewrite_t *rewrite = rl_new(*rewrite);
    *rewrite = (rewrite_t){.done = done, .arg = arg};
    snprintf(rewrite->request, sizeof rewrite->request, "%s", id);
    size_t size = strlen(base);
    snprintf(url, sizeof url, "%.*s/chat/completions",
             (int)(size > 0 && base[size - 1] == '/' ? size - 1 : size), base);
    rl_fetch_request_t request = {.url = url,
                                  .bearer = rl_conf_secret(conf, "llm.key"),
                                  .traceparent = trace->parent,
                                  .tracestate = trace->state,
                                  .body = body,
                                  .body_size = strlen(body),
                                  .timeout_ms = REWRITE_MS,
                                  .on_done = on_rewritten,
                                  .arg = rewrite};
    rewrite->fetch = *base ? rl_fetch_start(fetcher, &request) : NULL;
    free(body);
    if (!rewrite->fetch) {
        free(rewrite);
        return NULL;
    }
    return rewrite;
}

void followup_cancel(rewrite_t **rewrite_p)
{
    if (!*rewrite_p)
        return;
    rl_fetch_cancel(&(*rewrite_p)->fetch);
    free(*rewrite_p);
    *rewrite_p = NULL;
}
