// ragline-ask: asks a gateway from the terminal or a script: status, passages, the words as they
// come, citations, the timeline.
#include <jansson.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "drafting.h"
#include "editor.h"
#include "log.h"
#include "mem.h"
#include "proc.h"
#include "style.h"
#include "talk.h"
#include "utf8.h"

enum {
    MAX_QUESTION = 200000, // bytes; a gateway takes fewer, and says how many
    READ_BYTES = 4096,
};

static const char usage[] =
    "ragline-ask [options] QUESTION...\n"
    "\n"
    "Asks a ragline gateway and shows the status, the passages and the words as they come, then where\n"
    "the time went. Without a question it reads one from standard input; on a terminal it takes\n"
    "questions and follow-ups until Ctrl-D, and an empty line stops an answer that is being written;\n"
    "passages are looked for while a question is typed (--no-drafts: they are not).\n"
    "The answer alone goes to standard output, everything else to standard error. Ctrl-C stops the\n"
    "answer and the work behind it. NO_COLOR turns colours off.\n"
    "\n"
    "  ragline-ask What does ZMQ_SNDHWM limit?\n"
    "  ragline-ask --quiet --ask-collections docs < question.txt > answer.txt\n"
    "  ragline-ask --search --json high water mark | jq '.passages[].title'\n"
    "  ragline-ask --ask-filter '{\"field\": \"kind\", \"eq\": \"man\"}' What is a socket?\n"
    "  ragline-ask --workers\n"
    "\n"
    "Exit status: 0 answered, 1 no answer (an error on the way, or nothing found), 2 wrong use,\n"
    "3 the gateway cannot be reached or refuses, 4 answered without some of the sources,\n"
    "130 stopped by Ctrl-C.\n";

typedef struct ask {
    rl_proc_t *proc;
    talk_t *talk;
    struct event *input;  // standard input, where questions come from there
    rl_buf_t read;        // of it, not yet used
    editor_t *editor;     // NULL: lines come as the terminal has them
    drafting_t *drafting; // NULL: nothing is sent before Enter
    bool interactive;
    bool input_ended;
    int last_status;
    style_t err;
} ask_t;

static void take_lines(ask_t *self);

static void on_stop(void *arg)
{
    ask_t *self = arg;
    talk_stop(self->talk);
    if (self->editor && editor_active(self->editor))
        editor_pause(self->editor);
    else if (self->interactive)
        fputc('\n', stderr);
    rl_proc_end(self->proc, TALK_STOPPED);
}

// The next question may be typed.
static void show_prompt(ask_t *self)
{
    if (self->editor) {
        editor_begin(self->editor);
        return;
    }
    fprintf(stderr, "%s> %s", style_on(&self->err, STYLE_BOLD), style_on(&self->err, STYLE_OFF));
    fflush(stderr);
}

static void on_answered(void *arg, int status)
{
    ask_t *self = arg;
    self->last_status = status;
    if (!self->interactive) {
        rl_proc_end(self->proc, status);
        return;
    }
    fputc('\n', stderr);
    show_prompt(self);
    take_lines(self);
}

// What a question must be before it is worth sending; says what it is not.
static bool is_askable(const char *question, size_t size)
{
    const char *wrong = NULL;
    if (strspn(question, " \t\r\n") == size)
        wrong = "the question is empty";
    else if (size > MAX_QUESTION)
        wrong = "the question is too long";
    else if (!rl_utf8_valid(question, size))
        wrong = "the question is not valid UTF-8";
    if (wrong)
        fprintf(stderr, "ragline-ask: %s\n", wrong);
    return wrong == NULL;
}

static void start_question(ask_t *self, const char *question)
{
    const char *draft = self->drafting ? drafting_take(self->drafting, question) : NULL;
    talk_start(self->talk, question, draft, on_answered, self);
}

// One line of the terminal: a question, or, while an answer is being written, the wish to stop it.
static void take_line(ask_t *self, char *line, size_t size)
{
    if (talk_busy(self->talk)) {
        talk_stop(self->talk);
        fputs("Stopped.\n\n", stderr);
    }
    if (strspn(line, " \t\r") == size || !is_askable(line, size))
        show_prompt(self);
    else
        start_question(self, line);
}

static void take_lines(ask_t *self)
{
    char *end;
    while (self->read.size > 0 && (end = memchr(self->read.data, '\n', self->read.size))) {
        *end = '\0';
        size_t size = (size_t)(end - self->read.data);
        char *line = rl_strdup(self->read.data);
        rl_buf_drop(&self->read, size + 1);
        take_line(self, line, strlen(line));
        free(line);
    }
    if (self->input_ended && !talk_busy(self->talk)) {
        fputc('\n', stderr);
        rl_proc_end(self->proc, self->last_status);
    }
}

static void end_of_input(ask_t *self)
{
    self->input_ended = true;
    if (self->interactive) {
        take_lines(self);
        return;
    }
    size_t size = self->read.size;
    const char *question = self->read.data ? self->read.data : "";
    if (self->read.full || strlen(question) != size || !is_askable(question, size)) {
        if (self->read.full)
            fputs("ragline-ask: the question is too long\n", stderr);
        else if (strlen(question) != size)
            fputs("ragline-ask: the question holds a NUL byte\n", stderr);
        rl_proc_end(self->proc, TALK_WRONG_USE);
        return;
    }
    start_question(self, question);
}

// Reads what is there; false at the end.
static bool read_some(ask_t *self)
{
    char bytes[READ_BYTES];
    ssize_t got = read(STDIN_FILENO, bytes, sizeof bytes);
    if (got > 0 && self->editor && editor_active(self->editor))
        editor_take(self->editor, bytes, (size_t)got);
    else if (got > 0)
        rl_buf_add(&self->read, bytes, (size_t)got);
    return got > 0 && !self->read.full;
}

// ---- typing, key by key
// ---------------------------------------------------------------------------

static void on_changed(void *arg, const char *text)
{
    ask_t *self = arg;
    if (self->drafting)
        drafting_typed(self->drafting, text);
}

static void on_line(void *arg, const char *text)
{
    ask_t *self = arg;
    if (is_askable(text, strlen(text)))
        start_question(self, text);
    else
        show_prompt(self);
}

static void on_end(void *arg)
{
    ask_t *self = arg;
    self->input_ended = true;
    rl_proc_end(self->proc, self->last_status);
}

static void start_editor(ask_t *self, const rl_conf_t *conf)
{
    const editor_events_t events = {on_changed, on_line, on_end, self};
    self->editor = editor_new(rl_proc_base(self->proc), &self->err, MAX_QUESTION, &events);
    if (self->editor && !rl_conf_has_flag(conf, "no-drafts") && !rl_conf_has_flag(conf, "search"))
        self->drafting = drafting_new(rl_proc_base(self->proc), self->talk);
}

static void on_input(evutil_socket_t fd, short what, void *arg)
{
    ask_t *self = arg;
    (void)fd;
    (void)what;
    if (!read_some(self)) {
        event_del(self->input);
        end_of_input(self);
    } else if (self->interactive) {
        take_lines(self);
    }
}

// Questions from standard input. Files and devices other than a terminal cannot be watched by epoll
// and never make one wait: they are read at once.
static void start_input(ask_t *self)
{
    struct stat info;
    bool file = fstat(STDIN_FILENO, &info) != 0 || S_ISREG(info.st_mode) ||
                (S_ISCHR(info.st_mode) && !isatty(STDIN_FILENO));
    self->read = rl_buf_make(MAX_QUESTION + 1);
    if (file) {
        while (read_some(self))
            ;
        end_of_input(self);
        return;
    }
    self->interactive = isatty(STDIN_FILENO);
    self->input =
        event_new(rl_proc_base(self->proc), STDIN_FILENO, EV_READ | EV_PERSIST, on_input, self);
    if (!self->input || event_add(self->input, NULL) != 0)
        rl_out_of_memory();
    if (self->interactive) {
        fputs("Ask a question; Ctrl-D ends.\n", stderr);
        start_editor(self, rl_proc_conf(self->proc));
        show_prompt(self);
    }
}

static void start_arguments(ask_t *self, const rl_conf_t *conf)
{
    rl_buf_t question = rl_buf_make(MAX_QUESTION + 1);
    for (size_t at = 0; at < rl_conf_args(conf); at++)
        rl_buf_addf(&question, "%s%s", at ? " " : "", rl_conf_arg(conf, at));
    if (question.full) {
        fputs("ragline-ask: the question is too long\n", stderr);
        rl_proc_end(self->proc, TALK_WRONG_USE);
    } else if (!is_askable(question.data ? question.data : "", question.size)) {
        rl_proc_end(self->proc, TALK_WRONG_USE);
    } else {
        start_question(self, question.data);
    }
    rl_buf_free(&question);
}

// Whether the filter can be sent; what it must be, the gateway says.
static bool is_json(const char *filter)
{
    json_error_t error;
    json_t *json = *filter ? json_loads(filter, JSON_REJECT_DUPLICATES, &error) : NULL;
    bool good = json || !*filter;
    if (!good)
        fprintf(stderr,
                "ragline-ask: ask.filter is no JSON object such as {\"field\": \"year\", \"gte\": "
                "2020}: %s (column %d)\n",
                error.text, error.column);
    json_decref(json);
    return good;
}

static int run_program(ask_t *self)
{
    const rl_conf_t *conf = rl_proc_conf(self->proc);
    bool workers = rl_conf_has_flag(conf, "workers"), search = rl_conf_has_flag(conf, "search");
    if (workers && (search || rl_conf_args(conf) > 0)) {
        fputs("ragline-ask: --workers stands alone\n", stderr);
        return TALK_WRONG_USE;
    }
    if (!is_json(rl_conf_str(conf, "ask.filter")))
        return TALK_WRONG_USE;
    talk_form_t form = workers ? TALK_WORKERS : search ? TALK_SEARCH : TALK_STREAM;
    self->err = style_of(stderr);
    self->talk = talk_new(rl_proc_base(self->proc), conf, form, rl_conf_has_flag(conf, "json"),
                          rl_conf_has_flag(conf, "quiet"));
    if (!self->talk)
        return TALK_WRONG_USE;
    rl_proc_on_stop(self->proc, on_stop, self);
    if (workers)
        start_question(self, NULL);
    else if (rl_conf_args(conf) > 0)
        start_arguments(self, conf);
    else
        start_input(self);
    return rl_proc_run(self->proc);
}

int main(int argc, char **argv)
{
    int status;
    setlocale(LC_CTYPE, "");
    ask_t self = {.proc = rl_proc_new(RL_ASK, "ask", usage, argc, argv, &status)};
    if (!self.proc)
        return status;
    // the person sent the signal: there is nothing to report
    const rl_conf_t *conf = rl_proc_conf(self.proc);
    if (!rl_conf_given(conf, "log.level"))
        rl_log_setup("ragline-ask", "warn", strcmp(rl_conf_str(conf, "log.format"), "json") == 0);
    status = run_program(&self);
    editor_destroy(&self.editor);
    drafting_destroy(&self.drafting);
    talk_destroy(&self.talk);
    if (self.input)
        event_free(self.input);
    rl_buf_free(&self.read);
    rl_proc_destroy(&self.proc);
    return status;
}
