// reader: opens nothing by itself; has each file that it is given read by its format.

#include "reader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "child.h"
#include "corpus.h"
#include "fail.h"
#include "format.h"
#include "input.h"
#include "reader_frame.h"
#include "sandbox.h"

enum {
    MANY_LINES = 4096,
    MAX_BLANKS = 1000000, // empty lines in a row
    MOST_REPAIRED = 20    // a text with more than one of so many bytes not UTF-8 is left out
};

typedef struct reader {
    int jobs, frames;
    bool sandboxed;
    input_t *input;
    const format_t *format;
    rl_buf_t buf, body;
} reader_t;

static void send_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t put = send(fd, data, size, MSG_NOSIGNAL);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            _exit(0); // the parent is gone
        data += put;
        size -= (size_t)put;
    }
}

static void send_frame(reader_t *self, reader_outcome_t outcome, report_reason_t reason,
                       uint64_t line)
{
    char out[64 << 10];
    reader_frame_t frame = {.outcome = outcome,
                            .reason = reason,
                            .format = self->format ? (uint32_t)format_index(self->format)
                                                   : READER_NO_FORMAT,
                            .sandboxed = self->sandboxed,
                            .line = line,
                            .read = self->input ? input_read(self->input) : 0,
                            .size = self->body.size};
    size_t first = self->body.size < sizeof out - sizeof frame ? self->body.size : 0;
    memcpy(out, &frame, sizeof frame);
    if (first > 0)
        memcpy(out + sizeof frame, self->body.data, first);
    send_all(self->frames, out, sizeof frame + first);
    if (first < self->body.size)
        send_all(self->frames, self->body.data + first, self->body.size - first);
    rl_buf_clear(&self->body);
}

static void send_failure(reader_t *self, report_reason_t reason, uint64_t line, const char *why)
{
    rl_buf_clear(&self->body);
    rl_buf_adds(&self->body, why);
    send_frame(self, READER_FAILURE, reason, line);
}

// Whether the text in the buffer, `repaired` bytes of which are not UTF-8, is to be read at all.
static bool check_encoding(reader_t *self, size_t repaired, uint64_t line)
{
    char what[160];
    if (repaired == 0 || repaired <= self->buf.size / MOST_REPAIRED)
        return true;
    if (input_binary(self->buf.data, self->buf.size)) {
        send_failure(self, REPORT_FORMAT, line, "no text");
        return false;
    }
    snprintf(what, sizeof what, "%zu of %zu bytes are not UTF-8: convert it, or name its charset",
             repaired, self->buf.size);
    send_failure(self, REPORT_ENCODING, line, what);
    return false;
}

static void send_document(reader_t *self, const document_t *doc, uint64_t line)
{
    if (doc->failed || reader_frame_encode(doc, &self->body) != 0)
        send_failure(self, REPORT_TOO_LARGE, line, "more is made of it than index.read_output_mb");
    else
        send_frame(self, READER_DOCUMENT, 0, line);
}

// Has what is in the buffer read as one document.
static void read_document(reader_t *self, uint64_t line)
{
    char why[256] = "out of memory";
    size_t size = 0, repaired = 0;
    document_t doc;
    char *text = input_text(self->buf.data ? self->buf.data : "", self->buf.size, &size, &repaired);
    if (text && !check_encoding(self, repaired, line)) {
        free(text);
        return;
    }
    document_init(&doc);
    int rc = text ? self->format->read(text, size, &doc, why, sizeof why) : -1;
    free(text);
    doc.repaired = repaired;
    if (rc != 0)
        send_failure(self,
                     !text             ? REPORT_MEMORY
                     : doc.wrong_field ? REPORT_FIELD
                                       : REPORT_DAMAGED,
                     line, why);
    else if (doc.blocks_size == 0 && !doc.failed)
        send_frame(self, READER_EMPTY, 0, line);
    else
        send_document(self, &doc, line);
    document_free(&doc);
}

// Says that so many empty lines came before this one, which it returns.
static uint64_t note_blanks(reader_t *self, uint64_t line, unsigned blanks)
{
    if (blanks > 0)
        send_frame(self, READER_BLANK, 0, line - 1);
    return line;
}

static void read_lines(reader_t *self, uint64_t after)
{
    char why[256];
    unsigned blanks = 0;
    send_frame(self, READER_BEGIN, 0, 0);
    for (uint64_t line = 1;; line++) {
        int rc = input_line(self->input, &self->buf, why, sizeof why);
        if (rc == 0)
            break;
        if (line <= after) {
            if (line % MANY_LINES == 0)
                send_frame(self, READER_BEGIN, 0, 0); // still at work
            continue;
        }
        if (rc > 0 && corpus_is_blank(self->buf.data, self->buf.size)) {
            if (++blanks < MAX_BLANKS)
                continue;
            send_failure(self, REPORT_DAMAGED, note_blanks(self, line, blanks - 1),
                         "a million empty lines: the rest is left out");
            break;
        }
        note_blanks(self, line, blanks);
        blanks = 0;
        if (rc < 0)
            send_failure(self, input_failure(self->input), line, why);
        else
            read_document(self, line);
    }
    send_frame(self, READER_END, 0, 0);
}

static void read_file(reader_t *self, int fd, const reader_job_t *job)
{
    char why[256];
    size_t size;
    report_reason_t reason;
    const char *what;
    self->input = input_take(fd);
    const char *head = input_head(self->input, &size);
    self->format = format_for(job->path, head, size, &reason, &what);
    if (!self->format)
        send_failure(self, reason, 0, what);
    else if (self->format->lines)
        read_lines(self, job->after);
    else if (input_all(self->input, &self->buf, why, sizeof why) != 0)
        send_failure(self, input_failure(self->input), 0, why);
    else
        read_document(self, 0);
    input_destroy(&self->input);
    self->format = NULL;
}

// Waits for a job. Returns the file's descriptor, -1 when the parent has closed the socket.
static int take_job(int jobs, reader_job_t *job)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec piece = {.iov_base = job, .iov_len = sizeof *job};
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    ssize_t got;
    int fd = -1;
    do
        got = recvmsg(jobs, &message, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    struct cmsghdr *head = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (head && head->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(head), sizeof fd);
    return fd;
}

void reader_main(int jobs, int frames, const reader_limits_t *limits)
{
    static reader_job_t job;
    reader_t self = {.jobs = jobs,
                     .frames = frames,
                     .buf = rl_buf_make(INPUT_MAX_FILE),
                     .body = rl_buf_make(limits->output)};
    int fd;
    child_prepare();
    self.sandboxed = sandbox_enter(limits->memory);
    while ((fd = take_job(jobs, &job)) >= 0)
        read_file(&self, fd, &job);
    _exit(0);
}
