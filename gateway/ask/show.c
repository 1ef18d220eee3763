// show: the events of one answer on the terminal or the pipe.
#include "show.h"

#include <stdlib.h>
#include <string.h>

#include "bars.h"
#include "early.h"
#include "mem.h"
#include "sanitize.h"
#include "trouble.h"
#include "words.h"

enum {
    MAX_TEXT = 1 << 20,     // bytes of an answer kept for the conversation
    MAX_LINE = 1 << 16,     // bytes of one line of ours
    MAX_PASSAGE = 1 << 20,  // bytes of a passage's text
    MAX_SHOWN_MISSING = 20, // sources named one by one
    LABEL_COLUMNS = 400,    // of a title or source
};

struct show {
    style_t out, err;
    bool quiet;
    words_t *words;
    early_t *early; // NULL: no terminal, or quiet
    bool status_shown;
    char *last_status;
    bool coverage_shown;
    bool kept; // the answer was given before
    show_outcome_t outcome;
};

show_t *show_new(const style_t *out, const style_t *err, bool quiet)
{
    show_t *self = rl_new(*self);
    self->out = *out;
    self->err = *err;
    self->quiet = quiet;
    self->words = words_new(stdout, out, MAX_TEXT);
    if (err->terminal && !quiet)
        self->early = early_new(stderr, err);
    return self;
}

void show_destroy(show_t **self_p)
{
    show_t *self = *self_p;
    if (!self)
        return;
    words_destroy(&self->words);
    early_destroy(&self->early);
    free(self->last_status);
    free(self);
    *self_p = NULL;
}

static const char *string_of(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

static void clear_status(show_t *self)
{
    if (self->status_shown)
        fputs("\r\033[K", stderr);
    self->status_shown = false;
}

// Erases what stood there until now.
static void clear_early(show_t *self)
{
    clear_status(self);
    if (self->early)
        early_clear(self->early);
}

void show_status(show_t *self, const char *message)
{
    if (self->quiet || (self->last_status && strcmp(self->last_status, message) == 0))
        return;
    free(self->last_status);
    self->last_status = rl_strdup(message);
    rl_buf_t line = rl_buf_make(MAX_LINE);
    rl_sanitize_line(&line, message, self->err.terminal ? (size_t)self->err.columns - 1 : 0);
    clear_status(self);
    fprintf(stderr, "%s%s%s", style_on(&self->err, STYLE_DIM), line.data ? line.data : "",
            style_on(&self->err, STYLE_OFF));
    if (self->err.terminal)
        self->status_shown = true;
    else
        fputc('\n', stderr);
    fflush(stderr);
    rl_buf_free(&line);
}

// ---------------------------------------------------------------------------------- passages

static void add_title(rl_buf_t *line, const json_t *passage)
{
    const char *title = string_of(passage, "title"), *heading = string_of(passage, "heading");
    rl_sanitize_line(line, *title ? title : string_of(passage, "doc"), LABEL_COLUMNS);
    if (*heading) {
        rl_buf_adds(line, " > ");
        rl_sanitize_line(line, heading, LABEL_COLUMNS);
    }
}

// A path by its last two parts, which tell files apart; an address as it is.
static const char *path_end(const char *source)
{
    const char *last = strrchr(source, '/');
    if (!last || strstr(source, "://"))
        return source;
    while (last > source && last[-1] != '/')
        last--;
    return last;
}

// "   1. Title > Heading (folder/file)", no wider than the terminal.
static rl_buf_t passage_line(const show_t *self, const json_t *passage)
{
    rl_buf_t line = rl_buf_make(MAX_LINE), what = rl_buf_make(MAX_LINE);
    add_title(&what, passage);
    if (*string_of(passage, "source")) {
        rl_buf_adds(&what, " (");
        rl_sanitize_line(&what, path_end(string_of(passage, "source")), LABEL_COLUMNS);
        rl_buf_adds(&what, ")");
    }
    rl_buf_addf(&line, "%4" JSON_INTEGER_FORMAT ". ",
                json_integer_value(json_object_get(passage, "n")));
    rl_sanitize_line(&line, what.data ? what.data : "",
                     self->err.terminal ? (size_t)self->err.columns - 7 : 0);
    rl_buf_free(&what);
    return line;
}

static void list_passage(const show_t *self, const json_t *passage)
{
    rl_buf_t line = passage_line(self, passage);
    fprintf(stderr, "%s%s%s\n", style_on(&self->err, STYLE_DIM), line.data ? line.data : "",
            style_on(&self->err, STYLE_OFF));
    rl_buf_free(&line);
}

// What was missing, plainly: it is said even when quiet, since the answer could look whole.
static void show_coverage(show_t *self, const json_t *coverage)
{
    json_int_t answered = json_integer_value(json_object_get(coverage, "answered"));
    json_int_t of = json_integer_value(json_object_get(coverage, "of"));
    const json_t *missing = json_object_get(coverage, "missing"), *item;
    size_t at;
    if (!json_is_object(coverage) || (answered >= of && json_array_size(missing) == 0))
        return;
    self->outcome.incomplete = true;
    if (self->coverage_shown)
        return;
    self->coverage_shown = true;
    rl_buf_t line = rl_buf_make(MAX_LINE);
    json_array_foreach(missing, at, item)
    {
        if (at == MAX_SHOWN_MISSING) {
            rl_buf_addf(&line, " and %zu more", json_array_size(missing) - at);
            break;
        }
        rl_buf_adds(&line, at ? ", " : " Missing: ");
        rl_sanitize_line(&line, string_of(item, "source"), LABEL_COLUMNS);
        if (*string_of(item, "reason")) {
            rl_buf_adds(&line, " (");
            rl_sanitize_line(&line, string_of(item, "reason"), LABEL_COLUMNS);
            rl_buf_adds(&line, ")");
        }
    }
    clear_status(self);
    fprintf(stderr,
            "%sOnly %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT " sources answered.%s%s\n",
            style_on(&self->err, STYLE_WARN), answered, of, line.data ? line.data : "",
            style_on(&self->err, STYLE_OFF));
    rl_buf_free(&line);
}

// Passages that are not final stand where the final ones will. In a pipe nothing can be taken back:
// there it is said how many there are.
static void show_found(show_t *self, const json_t *data)
{
    const json_t *passages = json_object_get(data, "passages"), *passage;
    size_t at;
    if (!self->early) {
        show_status(self, string_of(data, "message"));
        return;
    }
    clear_early(self);
    rl_buf_t head = rl_buf_make(MAX_LINE);
    rl_sanitize_line(&head, string_of(data, "message"), (size_t)self->err.columns - 1);
    early_line(self->early, head.data ? head.data : "");
    rl_buf_free(&head);
    json_array_foreach(passages, at, passage)
    {
        rl_buf_t line = passage_line(self, passage);
        early_line(self->early, line.data ? line.data : "");
        rl_buf_free(&line);
    }
    fflush(stderr);
}

// What one passage says, until the model does. Never on stdout: it is no part of the answer.
static void show_quick(show_t *self, const json_t *data)
{
    char head[80];
    json_int_t passage = json_integer_value(json_object_get(data, "passage"));
    if (self->quiet || passage < 1 || *words_text(self->words))
        return;
    clear_early(self);
    snprintf(head, sizeof head,
             "Quoted from passage %" JSON_INTEGER_FORMAT ", not the model's words:", passage);
    if (self->early) {
        early_line(self->early, head);
        early_text(self->early, string_of(data, "text"));
    } else {
        rl_buf_t line = rl_buf_make(MAX_LINE);
        rl_sanitize_line(&line, string_of(data, "text"), 0);
        fprintf(stderr, "%s %s\n", head, line.data ? line.data : "");
        rl_buf_free(&line);
    }
    fflush(stderr);
}

static void show_sources(show_t *self, const json_t *data)
{
    const json_t *passages = json_object_get(data, "passages"), *passage;
    size_t at;
    clear_early(self);
    if (!self->quiet) {
        rl_buf_t line = rl_buf_make(MAX_LINE);
        rl_sanitize_line(&line, string_of(data, "message"), 0);
        fprintf(stderr, "%s\n", line.data ? line.data : "Passages");
        rl_buf_free(&line);
        json_array_foreach(passages, at, passage) list_passage(self, passage);
    }
    show_coverage(self, json_object_get(data, "coverage"));
    if (!self->quiet)
        fputc('\n', stderr);
    fflush(stderr);
}

static void write_text(const show_t *self, const char *text)
{
    words_t *words = words_new(stdout, &self->out, MAX_PASSAGE);
    if (!words)
        return;
    words_add(words, text, strlen(text));
    words_end(words);
    words_destroy(&words);
}

void show_passages(show_t *self, const json_t *answer)
{
    const json_t *passages = json_object_get(answer, "passages"), *passage, *kind;
    size_t at, each;
    clear_status(self);
    json_array_foreach(passages, at, passage)
    {
        rl_buf_t line = rl_buf_make(MAX_LINE);
        add_title(&line, passage);
        printf("%s%s%zu. %s%s\n", at ? "\n" : "", style_on(&self->out, STYLE_BOLD), at + 1,
               line.data ? line.data : "", style_on(&self->out, STYLE_OFF));
        rl_buf_clear(&line);
        rl_sanitize_line(&line, string_of(passage, "source"), LABEL_COLUMNS);
        rl_buf_addf(&line, "%sscore %.4g", line.size ? ", " : "",
                    json_number_value(json_object_get(passage, "score")));
        json_array_foreach(json_object_get(passage, "kinds"), each, kind)
        {
            rl_buf_adds(&line, each ? " + " : ", ");
            rl_sanitize_line(&line, json_string_value(kind) ? json_string_value(kind) : "",
                             LABEL_COLUMNS);
        }
        printf("%s%s%s\n", style_on(&self->out, STYLE_DIM), line.data,
               style_on(&self->out, STYLE_OFF));
        rl_buf_free(&line);
        write_text(self, string_of(passage, "text"));
    }
    fflush(stdout);
    show_coverage(self, json_object_get(answer, "coverage"));
}

// ------------------------------------------------------------------------------------ events

static void on_status(show_t *self, const json_t *data)
{
    show_status(self, string_of(data, "message"));
    // what changes how the answer is made stays on the screen
    const char *state = string_of(data, "state");
    if (self->status_shown &&
        (strcmp(state, "fallback") == 0 || strcmp(state, "embedding_failed") == 0)) {
        fputc('\n', stderr);
        self->status_shown = false;
    }
}

static void on_token(show_t *self, const json_t *data)
{
    const json_t *text = json_object_get(data, "text"), *cite = json_object_get(data, "cite");
    clear_status(self);
    if (self->early && json_string_length(text) > 0)
        early_clear(self->early);
    fflush(stderr);
    if (json_is_string(text))
        words_add(self->words, json_string_value(text), json_string_length(text));
    if (json_is_integer(cite) && json_integer_value(cite) > 0 && json_integer_value(cite) < 10000)
        words_cite(self->words, (unsigned)json_integer_value(cite));
}

static void on_done(show_t *self, const json_t *data)
{
    const json_t *usage = json_object_get(data, "usage");
    const char *finish = string_of(data, "finish_reason");
    show_end(self);
    self->outcome.done = true;
    show_coverage(self, json_object_get(data, "coverage"));
    const char *cut = strcmp(finish, "length") == 0
                          ? "The answer stops here because it reached its length limit."
                      : strcmp(finish, "content_filter") == 0
                          ? "The model's server withheld a part of this answer."
                          : NULL;
    if (cut)
        fprintf(stderr, "%s%s%s\n", style_on(&self->err, STYLE_WARN), cut,
                style_on(&self->err, STYLE_OFF));
    if (self->quiet)
        return;
    rl_buf_t line = rl_buf_make(MAX_LINE);
    if (self->kept)
        rl_buf_adds(&line, "answered before; ");
    if (strcmp(string_of(data, "upstream"), "extractive") == 0)
        rl_buf_adds(&line, "sentences of the passages; no language model was used");
    else
        rl_sanitize_line(&line, string_of(data, "model"), LABEL_COLUMNS);
    json_int_t tokens = json_integer_value(json_object_get(usage, "completion_tokens"));
    if (tokens > 0)
        rl_buf_addf(&line, ", %" JSON_INTEGER_FORMAT " tokens", tokens);
    fprintf(stderr, "%s%s%s\n", style_on(&self->err, STYLE_DIM), line.data ? line.data : "",
            style_on(&self->err, STYLE_OFF));
    rl_buf_free(&line);
}

static void on_timings(show_t *self, const json_t *data)
{
    show_end(self);
    self->kept = strcmp(string_of(data, "answer"), "cache") == 0;
    if (self->quiet)
        return;
    fputc('\n', stderr);
    bars_write(stderr, &self->err, data);
    fflush(stderr);
}

static void on_error(show_t *self, const json_t *data)
{
    rl_buf_t text = rl_buf_make(MAX_LINE);
    show_end(self);
    self->outcome.failed = true;
    trouble_of_event(&text, data);
    show_problem(self, text.data ? text.data : "");
    rl_buf_free(&text);
}

void show_event(show_t *self, const char *name, const json_t *data)
{
    static const struct {
        const char *name;
        void (*fn)(show_t *, const json_t *);
    } events[] = {
        {"status", on_status}, {"sources", show_sources},    {"token", on_token},
        {"found", show_found}, {"quick_answer", show_quick}, {"timings", on_timings},
        {"done", on_done},     {"error", on_error},
    };
    for (size_t at = 0; at < sizeof events / sizeof *events; at++)
        if (strcmp(events[at].name, name) == 0)
            events[at].fn(self, data);
}

void show_end(show_t *self)
{
    clear_status(self);
    if (self->early)
        early_keep(self->early);
    words_end(self->words);
    fflush(stdout); // the last words stand before what is said about them, on a pipe too
    fflush(stderr);
}

void show_problem(show_t *self, const char *text)
{
    clear_status(self);
    fprintf(stderr, "%sragline-ask: %s%s\n", style_on(&self->err, STYLE_BAD), text,
            style_on(&self->err, STYLE_OFF));
    fflush(stderr);
}

show_outcome_t show_outcome(const show_t *self)
{
    show_outcome_t outcome = self->outcome;
    outcome.text = words_text(self->words);
    return outcome;
}
