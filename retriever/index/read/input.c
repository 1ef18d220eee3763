// input: reads files through zlib, which passes plain ones on as they are.

#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <iconv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "fail.h"
#include "mem.h"
#include "utf8.h"

enum {
    HEAD = 8 << 10,
    CHUNK = 64 << 10
};

struct input {
    gzFile file;
    char chunk[CHUNK];
    size_t at, size; // unread part of the chunk
    bool ended;
    report_reason_t failure;
};

int input_open(const char *path, char *why, size_t why_size)
{
    // without waiting: what looked like a file may have become a pipe
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    bool there = fd >= 0 && fstat(fd, &st) == 0;
    if (!there || !S_ISREG(st.st_mode)) {
        rl_fail(why, why_size, "%s", there ? "is no regular file" : strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

input_t *input_new(const char *path, char *why, size_t why_size)
{
    int fd = input_open(path, why, why_size);
    return fd >= 0 ? input_take(fd) : NULL;
}

input_t *input_take(int fd)
{
    input_t *self = rl_new(*self);
    self->file = rl_must(gzdopen(fd, "rb"));
    gzbuffer(self->file, CHUNK);
    return self;
}

void input_destroy(input_t **self_p)
{
    if (!*self_p)
        return;
    gzclose((*self_p)->file);
    free(*self_p);
    *self_p = NULL;
}

// Reads on when the chunk is used up. Returns 1 if there are bytes, 0 at the end, -1 on failure.
static int fill_chunk(input_t *self, char *why, size_t why_size)
{
    if (self->at < self->size)
        return 1;
    if (self->ended)
        return 0;
    int got = gzread(self->file, self->chunk, CHUNK);
    int code = Z_OK;
    const char *words = gzerror(self->file, &code);
    self->at = 0;
    self->size = got > 0 ? (size_t)got : 0;
    if (got > 0)
        return 1;
    self->ended = true;
    if (got == 0 && (code == Z_OK || code == Z_STREAM_END))
        return 0;
    self->failure = code == Z_ERRNO ? REPORT_UNREADABLE : REPORT_DAMAGED;
    if (code == Z_ERRNO)
        return rl_fail(why, why_size, "%s", strerror(errno));
    return rl_fail(why, why_size, "damaged gzip data (%s)",
                   code == Z_BUF_ERROR ? "it ends too early" : words);
}

const char *input_head(input_t *self, size_t *size_p)
{
    char why[64];
    if (fill_chunk(self, why, sizeof why) < 0)
        self->ended = false; // zlib keeps the error: who reads on meets it again
    size_t left = self->size - self->at;
    *size_p = left < HEAD ? left : HEAD;
    return self->chunk + self->at;
}

int input_all(input_t *self, rl_buf_t *out, char *why, size_t why_size)
{
    int rc;
    rl_buf_clear(out);
    while ((rc = fill_chunk(self, why, why_size)) > 0) {
        self->failure = REPORT_TOO_LARGE;
        if (rl_buf_add(out, self->chunk + self->at, self->size - self->at) != 0)
            return rl_fail(why, why_size, "larger than %d MiB: split it", INPUT_MAX_FILE >> 20);
        self->at = self->size;
    }
    return rc;
}

int input_line(input_t *self, rl_buf_t *out, char *why, size_t why_size)
{
    bool some = false, too_long = false;
    int rc;
    rl_buf_clear(out);
    while ((rc = fill_chunk(self, why, why_size)) > 0) {
        some = true;
        char *from = self->chunk + self->at;
        size_t left = self->size - self->at;
        char *newline = memchr(from, '\n', left);
        size_t size = newline ? (size_t)(newline - from) : left;
        too_long = too_long || rl_buf_add(out, from, size) != 0;
        self->at += size + (newline != NULL);
        if (newline)
            break;
    }
    if (rc < 0)
        return -1;
    self->failure = REPORT_TOO_LARGE;
    if (too_long)
        return rl_fail(why, why_size, "a line of more than %d MiB", INPUT_MAX_LINE >> 20);
    return some;
}

report_reason_t input_failure(const input_t *self)
{
    return self->failure;
}

uint64_t input_read(const input_t *self)
{
    z_off_t at = gzoffset(self->file);
    return at > 0 ? (uint64_t)at : 0;
}

// ---- text ---------------------------------------------------------------------------------------

static bool has_utf16_mark(const char *data, size_t size)
{
    return size >= 2 && (memcmp(data, "\xff\xfe", 2) == 0 || memcmp(data, "\xfe\xff", 2) == 0);
}

bool input_binary(const char *head, size_t size)
{
    if (has_utf16_mark(head, size))
        return false;
    size_t controls = 0;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)head[i];
        controls +=
            c < ' ' && c != '\n' && c != '\t' && c != '\r' && c != '\f' && c != 0x1b && c != '\b';
    }
    return controls > size / 100 + 2;
}

bool input_utf16(const char *head, size_t size)
{
    size_t zeros[2] = {0, 0};
    for (size_t at = 0; at < size; at++)
        zeros[at % 2] += head[at] == '\0';
    return size >= 4 && (zeros[0] == 0) != (zeros[1] == 0) && zeros[0] + zeros[1] >= size / 4;
}

// Converts by iconv; what cannot be converted becomes U+FFFD, and *replaced_p counts it. NULL if
// the charset is unknown.
static char *convert_charset(const char *charset, const char *data, size_t size, size_t *out_size,
                             size_t *replaced_p)
{
    iconv_t cd = iconv_open("UTF-8", charset);
    if (cd == (iconv_t)-1)
        return NULL;
    size_t room = size * 3 + 16; // at most 3 bytes for each byte of an 8 or 16 bit charset
    char *out = malloc(room + 1), *to = out, *from = (char *)data;
    size_t left = room, rest = size;
    while (out && rest > 0 && iconv(cd, &from, &rest, &to, &left) == (size_t)-1) {
        if (errno == E2BIG || left < 3 || rest == 0)
            break;
        memcpy(to, "\xef\xbf\xbd", 3);
        to += 3;
        left -= 3;
        from++;
        rest--;
        ++*replaced_p;
    }
    iconv_close(cd);
    *replaced_p += rest; // left over
    if (out)
        *out_size = (size_t)(to - out);
    return out;
}

// The charset that the first lines name ("charset=iso-8859-1", "-*- coding: latin-1 -*-"), or "".
static void named_charset(const char *data, size_t size, char *out, size_t room)
{
    static const char *const marks[] = {"charset=", "coding:", "coding="};
    size_t head = size < 1024 ? size : 1024;
    out[0] = '\0';
    for (size_t m = 0; m < sizeof marks / sizeof *marks; m++) {
        size_t length = strlen(marks[m]);
        for (size_t i = 0; i + length < head; i++) {
            if (strncasecmp(data + i, marks[m], length) != 0)
                continue;
            size_t at = i + length, used = 0;
            while (at < head && strchr(" \"'", data[at]) && data[at])
                at++;
            while (at < head && used + 1 < room && data[at] > ' ' && !strchr("\"'>;/", data[at]))
                out[used++] = data[at++];
            out[used] = '\0';
            return;
        }
    }
}

// Bytes that are not UTF-8, and zeros.
static size_t count_invalid(const char *text, size_t size)
{
    size_t count = 0, used;
    for (size_t at = 0; at < size; at += used) {
        bool invalid = rl_utf8_next(text + at, size - at, &used) == 0xfffd && used == 1;
        count += invalid || text[at] == '\0';
    }
    return count;
}

// Line ends to \n, in place; form feeds become line ends too.
static size_t unify_line_ends(char *text, size_t size)
{
    size_t at = 0;
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\r') {
            if (i + 1 < size && text[i + 1] == '\n')
                continue;
            text[at++] = '\n';
        } else {
            text[at++] = text[i] == '\f' ? '\n' : text[i];
        }
    }
    text[at] = '\0';
    return at;
}

char *input_text(const char *data, size_t size, size_t *out_size, size_t *repaired_p)
{
    char *text = NULL;
    *repaired_p = 0;
    if (has_utf16_mark(data, size)) {
        text = convert_charset("UTF-16", data, size, &size, repaired_p);
    } else if (!rl_utf8_valid(data, size)) {
        char charset[40];
        named_charset(data, size, charset, sizeof charset);
        if (charset[0] && strncasecmp(charset, "utf", 3) != 0)
            text = convert_charset(charset, data, size, &size, repaired_p);
    }
    const char *from = text ? text : data;
    if (size >= 3 && memcmp(from, "\xef\xbb\xbf", 3) == 0) {
        from += 3;
        size -= 3;
    }
    char *out;
    if (rl_utf8_valid(from, size)) {
        out = malloc(size + 1);
        if (out)
            memcpy(out, from, size);
    } else {
        *repaired_p += count_invalid(from, size);
        out = rl_utf8_repair(from, size, &size);
    }
    free(text);
    if (out)
        *out_size = unify_line_ends(out, size);
    return out;
}
