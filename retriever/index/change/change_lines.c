// change_lines: changes from standard input, a JSON object a line:
//
//   {"id": "a", "title": …, "text": …, "vector": […], …}   as in the files that ragline-index reads
//   {"delete": "a"}   {"delete_source": "notes/a.md"}
//
// Each is answered by a line on standard output, in order, when it is in force and on disk:
// {"line": 1, "id": "a", "change": 17}, or {"line": 1, "error": "…"}. What is there at a time is
// committed together.
#include "change_private.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "input.h"
#include "log.h"
#include "format.h"

enum {
    READ = 256 << 10, // bytes at a time
};

static void wrong(change_run_t *self, const char *why)
{
    if (!change_batch_wrong(self->batch, why, self->line))
        abort();
}

// {"delete": …} and {"delete_source": …}; whether it is one.
static bool take_delete(change_run_t *self, const char *line, size_t size)
{
    json_t *root = memmem(line, size, "\"delete", 7) ? json_loadb(line, size, 0, NULL) : NULL;
    const json_t *id = json_object_get(root, "delete"),
                 *of = json_object_get(root, "delete_source");
    const json_t *name = id ? id : of;
    bool is = json_object_size(root) == 1 && name;
    char number[32];
    if (is && json_is_integer(name))
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(name));
    if (is && !json_is_string(name) && !json_is_integer(name))
        wrong(self, "what is deleted is named by a string");
    else if (is && !change_batch_delete(self->batch, id ? CHANGE_DELETE : CHANGE_DELETE_SOURCE,
                                        json_is_string(name) ? json_string_value(name) : number,
                                        self->line))
        abort();
    json_decref(root);
    return is;
}

static void take_document(change_run_t *self, const char *line, size_t size)
{
    char why[256] = "out of memory";
    size_t text_size = 0, repaired = 0;
    document_t doc;
    document_init(&doc);
    char *text = input_text(line, size, &text_size, &repaired);
    int rc = text ? format_jsonl.read(text, text_size, &doc, why, sizeof why) : -1;
    free(text);
    if (rc != 0)
        wrong(self, why);
    else if (doc.failed)
        wrong(self, "too large, or out of memory");
    else if (!doc.id)
        wrong(self, "\"id\" is missing: without one it could not be replaced or deleted");
    else if (!change_batch_put(self->batch, &doc, self->line))
        abort();
    document_free(&doc);
}

static void take_line(change_run_t *self, const char *line, size_t size)
{
    self->line++;
    size_t blank = 0;
    while (blank < size && (line[blank] == ' ' || line[blank] == '\t' || line[blank] == '\r'))
        blank++;
    if (blank < size && !take_delete(self, line, size))
        take_document(self, line, size);
}

// Lines that are whole, till the batch is full.
static void take_lines(change_run_t *self)
{
    size_t at = 0;
    const char *end;
    while (!change_batch_full(self->batch) && at < self->lines.size &&
           (end = memchr(self->lines.data + at, '\n', self->lines.size - at))) {
        const char *line = self->lines.data + at;
        if (self->skipping)
            self->skipping = false;
        else
            take_line(self, line, (size_t)(end - line));
        at += (size_t)(end - line) + 1;
    }
    rl_buf_drop(&self->lines, at);
    if (self->lines.size >= INPUT_MAX_LINE && !memchr(self->lines.data, '\n', self->lines.size)) {
        if (!self->skipping) {
            self->line++;
            wrong(self, "a line of more than 16 MiB");
        }
        self->skipping = true;
        rl_buf_clear(&self->lines);
    }
    if (!self->input_ended || self->lines.size == 0 || change_batch_full(self->batch) ||
        memchr(self->lines.data, '\n', self->lines.size))
        return;
    if (!self->skipping)
        take_line(self, self->lines.data, self->lines.size); // the last one without its end
    rl_buf_clear(&self->lines);
}

// Reads what is there. Returns false when nothing is, for now.
static bool read_more(change_run_t *self)
{
    static char block[READ];
    ssize_t got = read(STDIN_FILENO, block, sizeof block);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    self->input_ended = got <= 0;
    if (got > 0 && rl_buf_add(&self->lines, block, (size_t)got) != 0)
        abort(); // lines that are whole have been taken, the rest has its bound
    return true;
}

static void on_input(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    change_again(arg);
}

// Pipes and terminals tell when something has come; a file always has.
static int open_input(change_run_t *self)
{
    struct stat st;
    self->lines = rl_buf_make(INPUT_MAX_LINE + 2 * READ);
    if (fstat(STDIN_FILENO, &st) != 0 || S_ISREG(st.st_mode))
        return 0;
    int flags = fcntl(STDIN_FILENO, F_GETFL);
    if (flags < 0 || fcntl(STDIN_FILENO, F_SETFL, flags | O_NONBLOCK) != 0)
        return -1;
    self->input = event_new(rl_proc_base(self->proc), STDIN_FILENO, EV_READ, on_input, self);
    return self->input ? 0 : -1;
}

void change_lines_close(change_run_t *self)
{
    if (self->input)
        event_free(self->input);
    rl_buf_free(&self->lines);
}

static void turn(change_run_t *self)
{
    if (self->lines.max == 0 && open_input(self) != 0) {
        change_fail(self, "standard input cannot be read");
        return;
    }
    bool more = true;
    do {
        take_lines(self);
        if (!change_batch_full(self->batch) && !self->input_ended && !self->stopping)
            more = read_more(self);
        else
            more = false;
    } while (more);
    if (change_batch_size(self->batch) > 0)
        change_commit(self);
    else if ((self->input_ended && self->lines.size == 0) || self->stopping)
        change_end(self, change_status(self));
    else if (self->input)
        event_add(self->input, NULL);
    else
        change_again(self);
}

static void answer(const change_item_t *item, const char *why)
{
    const char *wrong_with = item->why ? item->why : why;
    json_t *line = json_pack("{s:I}", "line", (json_int_t)item->tag);
    if (wrong_with) {
        json_object_set_new(line, "error", json_string(wrong_with));
    } else {
        json_object_set_new(line, item->kind == CHANGE_DELETE_SOURCE ? "source" : "id",
                            json_string(item->name));
        json_object_set_new(line, "change", json_integer((json_int_t)item->number));
    }
    char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
    if (!text || puts(text) == EOF)
        abort();
    free(text);
    json_decref(line);
}

static void answered(change_run_t *self, const char *why)
{
    for (size_t at = 0; at < change_batch_size(self->batch); at++)
        answer(change_batch_at(self->batch, at), why);
    if (fflush(stdout) != 0)
        change_fail(self, "the answers cannot be written: nobody reads them");
}

const change_mode_t change_lines = {"changes", false, turn, answered};
