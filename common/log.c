// log: lines to stderr, whole ones: each is written by one call to write(2).
#include "log.h"

#include "buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    LINE_MAX_BYTES = 4096
};

static const char *const level_names[] = {"error", "warn", "info", "debug"};

static char program_name[48] = "ragline";
static rl_log_level_t log_level = RL_LOG_INFO;
static bool log_json = false;

void rl_log_setup(const char *program, const char *level, bool json)
{
    snprintf(program_name, sizeof program_name, "%s", program);
    log_level = RL_LOG_INFO;
    for (size_t at = 0; at < sizeof level_names / sizeof *level_names; at++)
        if (strcmp(level, level_names[at]) == 0)
            log_level = (rl_log_level_t)at;
    log_json = json;
}

bool rl_log_enabled(rl_log_level_t level)
{
    return level <= log_level;
}

// Shows control characters as \xNN: bytes from outside must not move the cursor or forge lines.
static void make_harmless(const char *text, char *out, size_t room)
{
    size_t used = 0;
    for (; *text && used + 5 < room; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20 || c == 0x7f)
            used += (size_t)snprintf(out + used, room - used, "\\x%02x", c);
        else
            out[used++] = *text;
    }
    out[used] = '\0';
}

static void write_text(rl_log_level_t level, const char *when, const char *request,
                       const char *message)
{
    char line[LINE_MAX_BYTES * 2];
    int size = snprintf(line, sizeof line - 1, "%s %s %s: %s%s%s", when, level_names[level],
                        program_name, request ? request : "", request ? " " : "", message);
    if (size > (int)sizeof line - 2)
        size = (int)sizeof line - 2;
    line[size++] = '\n';
    ssize_t done = write(STDERR_FILENO, line, (size_t)size);
    (void)done; // nowhere left to complain to
}

static void write_json(rl_log_level_t level, const char *when, const char *request,
                       const char *message)
{
    rl_buf_t out = rl_buf_make(LINE_MAX_BYTES * 8);
    rl_buf_addf(&out, "{\"time\":\"%s\",\"level\":\"%s\",\"program\":\"%s\"", when,
                level_names[level], program_name);
    if (request) {
        rl_buf_adds(&out, ",\"request\":");
        rl_buf_add_json(&out, request, strlen(request));
    }
    rl_buf_adds(&out, ",\"message\":");
    rl_buf_add_json(&out, message, strlen(message));
    rl_buf_adds(&out, "}\n");
    if (!out.full) {
        ssize_t done = write(STDERR_FILENO, out.data, out.size);
        (void)done;
    }
    rl_buf_free(&out);
}

void rl_log(rl_log_level_t level, const char *request, const char *format, ...)
{
    if (!rl_log_enabled(level))
        return;
    char raw[LINE_MAX_BYTES], message[LINE_MAX_BYTES + 8], when[40];
    va_list args;
    va_start(args, format);
    vsnprintf(raw, sizeof raw, format, args);
    va_end(args);
    make_harmless(raw, message, sizeof message);

    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t size = strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(when + size, sizeof when - size, ".%03ldZ", now.tv_nsec / 1000000);
    if (log_json)
        write_json(level, when, request, message);
    else
        write_text(level, when, request, message);
}
