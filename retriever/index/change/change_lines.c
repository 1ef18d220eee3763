// change_lines: changes from standard input, a JSON object a line:
//
//   {"id": "a", "title": …, "text": …, "vector": […], …}   as in the files that ragline-index reads
//   {"delete": "a"}   {"delete_source": "notes/a.md"}
//
// Each is answered by a line on standard output, in order, when it is in force and on disk:
// {"line": 1, "id": "a", "change": 17}, or {"line": 1, "error": "…"}. Lines that have come by the
// time of a turn are committed together.
#include "change_run.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fail.h"
#include "format.h"
#include "input.h"
#include "log.h"
#include "mem.h"

enum {
    READ_BYTES = 256 << 10, // at a time
};

struct change_lines {
    struct event *input; // NULL: a file, which always has something
    rl_buf_t buf;
    uint64_t line;
    bool ended, skipping; // the input; the rest of a line that is too long
};

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
        change_batch_wrong(self->batch, "what is deleted is named by a string", self->lines->line);
    else if (is)
        change_batch_delete(self->batch, id ? CHANGE_DELETE : CHANGE_DELETE_SOURCE,
                            json_is_string(name) ? json_string_value(name) : number,
                            self->lines->line);
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
    int rc = text ? 0 : -1;
    if (text && repaired > 0)
        rc = rl_fail(why, sizeof why, "%zu bytes are not UTF-8", repaired);
    if (rc == 0)
        rc = format_jsonl.read(text, text_size, &doc, why, sizeof why);
    free(text);
    if (rc != 0)
        change_batch_wrong(self->batch, why, self->lines->line);
    else if (doc.failed)
        change_batch_wrong(self->batch, "too large, or out of memory", self->lines->line);
    else if (!doc.id)
        change_batch_wrong(self->batch,
                           "\"id\" is missing: without one it could not be replaced or deleted",
                           self->lines->line);
    else
        change_batch_put(self->batch, &doc, self->lines->line);
    document_free(&doc);
}

static void take_line(change_run_t *self, const char *line, size_t size)
{
    self->lines->line++;
    if (!corpus_is_blank(line, size) && !take_delete(self, line, size))
        take_document(self, line, size);
}

// Lines that are whole, till the batch is full.
static void take_whole_lines(change_run_t *self)
{
    change_lines_t *lines = self->lines;
    size_t at = 0;
    const char *end;
    while (!change_batch_full(self->batch) && at < lines->buf.size &&
           (end = memchr(lines->buf.data + at, '\n', lines->buf.size - at))) {
        const char *line = lines->buf.data + at;
        if (lines->skipping)
            lines->skipping = false;
        else
            take_line(self, line, (size_t)(end - line));
        at += (size_t)(end - line) + 1;
    }
    rl_buf_drop(&lines->buf, at);
}

static void take_lines(change_run_t *self)
{
    change_lines_t *lines = self->lines;
    take_whole_lines(self);
    if (lines->buf.size == 0 || change_batch_full(self->batch) ||
        memchr(lines->buf.data, '\n', lines->buf.size))
        return;
    if (lines->buf.size >= INPUT_MAX_LINE) {
        lines->line += !lines->skipping;
        if (!lines->skipping)
            change_batch_wrong(self->batch, "a line of more than 16 MiB", lines->line);
        lines->skipping = true;
        rl_buf_clear(&lines->buf);
    }
    if (lines->ended) {
        if (!lines->skipping) // the last one, without its end
            take_line(self, lines->buf.data, lines->buf.size);
        rl_buf_clear(&lines->buf);
    }
}

// Reads what is there. Returns false when nothing is, for now.
static bool read_more(change_lines_t *self)
{
    static char block[READ_BYTES];
    ssize_t got = read(STDIN_FILENO, block, sizeof block);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    self->ended = got <= 0;
    // lines that are whole have been taken, the rest has its bound: there is room
    if (got > 0 && rl_buf_add(&self->buf, block, (size_t)got) != 0)
        rl_out_of_memory();
    return true;
}

static void on_input(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    change_run_schedule(arg);
}

// A pipe or terminal has an event for what has come; from a file there is always something to read.
static int open_input(change_run_t *self)
{
    change_lines_t *lines = self->lines = rl_new(*lines);
    struct stat st;
    lines->buf = rl_buf_make(INPUT_MAX_LINE + 2 * READ_BYTES);
    if (fstat(STDIN_FILENO, &st) != 0 || S_ISREG(st.st_mode))
        return 0;
    int flags = fcntl(STDIN_FILENO, F_GETFL);
    if (flags < 0 || fcntl(STDIN_FILENO, F_SETFL, flags | O_NONBLOCK) != 0)
        return -1;
    lines->input =
        rl_must(event_new(rl_proc_base(self->proc), STDIN_FILENO, EV_READ, on_input, self));
    return 0;
}

void change_lines_close(change_run_t *self)
{
    change_lines_t *lines = self->lines;
    if (!lines)
        return;
    if (lines->input)
        event_free(lines->input);
    rl_buf_free(&lines->buf);
    free(lines);
    self->lines = NULL;
}

static void read_lines(change_run_t *self)
{
    if (!self->lines && open_input(self) != 0) {
        change_run_fail(self, "standard input cannot be read");
        return;
    }
    change_lines_t *lines = self->lines;
    bool more = true;
    while (more) {
        take_lines(self);
        more =
            !change_batch_full(self->batch) && !lines->ended && !self->stopping && read_more(lines);
    }
    if (change_batch_size(self->batch) > 0)
        change_run_commit(self);
    else if ((lines->ended && lines->buf.size == 0) || self->stopping)
        change_run_end(self, change_run_status(self));
    else if (lines->input)
        event_add(lines->input, NULL);
    else
        change_run_schedule(self);
}

static void print_answer(const change_item_t *item, const char *why)
{
    const char *wrong_with = item->why ? item->why : why;
    json_t *line = rl_must(json_pack("{s:I}", "line", (json_int_t)item->tag));
    if (wrong_with) {
        json_object_set_new(line, "error", json_string(wrong_with));
    } else {
        json_object_set_new(line, item->kind == CHANGE_DELETE_SOURCE ? "source" : "id",
                            json_string(item->name));
        json_object_set_new(line, "change", json_integer((json_int_t)item->number));
    }
    char *text = rl_must(json_dumps(line, JSON_COMPACT));
    puts(text);
    free(text);
    json_decref(line);
}

static void on_answered(change_run_t *self, const char *why)
{
    for (size_t at = 0; at < change_batch_size(self->batch); at++)
        print_answer(change_batch_at(self->batch, at), why);
    if (fflush(stdout) != 0 || ferror(stdout))
        change_run_fail(self, "the answers cannot be written: nobody reads them");
}

const change_mode_t change_lines_mode = {"changes", false, read_lines, on_answered};
