// log: lines to stderr, whole ones: each is written by one call to write(2).
#include "log.h"

#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "clock.h"
#include "utf8.h"

enum {
    MESSAGE_BYTES = 3072,
    REQUEST_BYTES = 128,
    SITE_LINES = 20,      // of one place in the code,
    SITE_US = 10000000,   // in this time
    PATIENCE_US = 100000, // for a reader of stderr that is behind: a store of time
    PATIENCE_BACK = 100,  // that fills up again by 1 s in 100 s
};

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static const char *const priorities[] = {"<3>", "<4>", "<6>", "<7>"}; // sd-daemon(3)

static atomic_int log_level = RL_LOG_INFO;
static atomic_bool log_json, log_limited;
static atomic_bool owing; // at least one place holds lines back

// All below is guarded by the mutex.
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char program_name[48] = "ragline";
static rl_log_level_t configured_level = RL_LOG_INFO;
static bool journal; // stderr is systemd's journal
static rl_log_site_t *holding;
static uint64_t lost;
static uint64_t patience_us = PATIENCE_US, patience_at_us;

// ---- settings ---------------------------------------------------------------------------------

// systemd says which file its journal is: JOURNAL_STREAM=DEVICE:INODE (systemd.exec(5)).
static bool is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    char is[64];
    struct stat file;
    if (!stream || fstat(STDERR_FILENO, &file) != 0)
        return false;
    snprintf(is, sizeof is, "%llu:%llu", (unsigned long long)file.st_dev,
             (unsigned long long)file.st_ino);
    return strcmp(stream, is) == 0;
}

void rl_log_setup(const char *program, const char *level, bool json)
{
    pthread_mutex_lock(&mutex);
    snprintf(program_name, sizeof program_name, "%s", program);
    configured_level = RL_LOG_INFO;
    for (size_t at = 0; at < sizeof level_names / sizeof *level_names; at++)
        if (strcmp(level, level_names[at]) == 0)
            configured_level = (rl_log_level_t)at;
    journal = is_journal();
    log_level = (int)configured_level;
    log_json = json;
    pthread_mutex_unlock(&mutex);
}

bool rl_log_toggle_debug(void)
{
    pthread_mutex_lock(&mutex);
    log_level = log_level == RL_LOG_DEBUG ? (int)configured_level : RL_LOG_DEBUG;
    bool debug = log_level == RL_LOG_DEBUG;
    pthread_mutex_unlock(&mutex);
    return debug;
}

bool rl_log_enabled(rl_log_level_t level)
{
    return (int)level <= atomic_load_explicit(&log_level, memory_order_relaxed);
}

const char *rl_log_level_name(void)
{
    return level_names[log_level];
}

void rl_log_limit(bool on)
{
    log_limited = on;
}

static const char more[] = "…"; // at the end of what was cut

// ---- text -------------------------------------------------------------------------------------

// The bytes of the character at `text` if it may be shown as it is: valid UTF-8, no control
// character (C0, DEL, C1); else 0.
static size_t harmless_size(const char *text)
{
    unsigned char c = (unsigned char)*text;
    if (c < 0x80)
        return c >= 0x20 && c != 0x7f;
    size_t size = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    if (strnlen(text, size) < size || !rl_utf8_valid(text, size))
        return 0;
    return c == 0xc2 && (unsigned char)text[1] < 0xa0 ? 0 : size;
}

// Everything else is shown as \xNN: bytes from outside must not move the cursor or forge lines.
static void make_harmless(const char *text, char *out, size_t room)
{
    size_t used = 0, keep = 4 + sizeof more;
    while (*text && used + keep < room) {
        size_t size = harmless_size(text);
        if (size > 0) {
            memcpy(out + used, text, size);
            used += size;
            text += size;
        } else {
            used += (size_t)snprintf(out + used, room - used, "\\x%02x", (unsigned char)*text++);
        }
    }
    snprintf(out + used, room - used, "%s", *text ? more : "");
}

// Formats into `out`; what is cut is cut between two characters.
static void format_message(char *out, size_t room, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));

static void format_message(char *out, size_t room, const char *format, va_list args)
{
    int size = vsnprintf(out, room, format, args);
    if (size < 0)
        snprintf(out, room, "(a message that cannot be formatted: %s)", format);
    else if ((size_t)size >= room)
        memcpy(out + rl_utf8_whole(out, room - sizeof more), more, sizeof more);
}

static void write_time(char when[40])
{
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t size = strftime(when, 32, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(when + size, 40 - size, ".%03ldZ", now.tv_nsec / 1000000);
}

// ---- out: the mutex is held here ----------------------------------------------------------------

// Whether a line can be written without waiting for the reader of stderr; a reader that is behind
// for a moment is waited for, as long as the store of patience allows.
static bool can_write(void)
{
    struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&out, 1, 0) != 0)
        return true; // also where it is closed: write(2) says so at once
    uint64_t start = rl_now_us();
    patience_us += (start - patience_at_us) / PATIENCE_BACK;
    if (patience_us > PATIENCE_US)
        patience_us = PATIENCE_US;
    bool ready = poll(&out, 1, (int)(patience_us / 1000)) != 0;
    patience_at_us = rl_now_us();
    uint64_t waited = patience_at_us - start;
    patience_us -= waited < patience_us ? waited : patience_us;
    return ready;
}

static void write_out(const char *line, size_t size)
{
    ssize_t done = write(STDERR_FILENO, line, size);
    (void)done; // there is no other place to report an error to
}

static bool add_json_line(rl_buf_t *out, rl_log_level_t level, const char *request,
                          const char *message, const char *data)
{
    char when[40];
    write_time(when);
    if (journal) // which takes it off
        rl_buf_adds(out, priorities[level]);
    rl_buf_addf(out, "{\"ts\":\"%s\",\"level\":\"%s\",\"process\":", when, level_names[level]);
    rl_buf_add_json(out, program_name, strlen(program_name));
    if (request) {
        rl_buf_adds(out, ",\"id\":");
        rl_buf_add_json(out, request, strlen(request));
    }
    rl_buf_adds(out, ",\"message\":");
    rl_buf_add_json(out, message, strlen(message));
    if (data)
        rl_buf_addf(out, ",\"data\":%s", data);
    rl_buf_adds(out, "}\n");
    return !out->full;
}

static bool add_text_line(rl_buf_t *out, rl_log_level_t level, const char *request,
                          const char *message, const char *data)
{
    char when[40];
    write_time(when);
    if (journal) // it stamps the time itself
        rl_buf_adds(out, priorities[level]);
    else
        rl_buf_addf(out, "%s %s ", when, level_names[level]);
    rl_buf_addf(out, "%s: %s%s%s", program_name, request ? request : "", request ? " " : "",
                message);
    if (data)
        rl_buf_addf(out, " %s", data);
    rl_buf_adds(out, "\n");
    return !out->full;
}

// `message` (which is cut here) and `request` are harmless. A line that is too long (escapes take
// room) loses the end of its message, at last its data.
static void write_line(rl_log_level_t level, const char *request, char *message, const char *data)
{
    rl_buf_t out = rl_buf_make(PIPE_BUF);
    size_t size = strlen(message);
    bool json = log_json;
    while (!(json ? add_json_line : add_text_line)(&out, level, request, message, data) &&
           (size > 0 || data)) {
        if (size == 0)
            data = NULL;
        size = rl_utf8_whole(message, size / 2);
        message[size] = '\0';
        rl_buf_clear(&out);
        out.full = false;
    }
    if (!out.full && out.data)
        write_out(out.data, out.size);
    rl_buf_free(&out);
}

static void put_line(rl_log_level_t level, const char *request, const char *message,
                     const char *data)
{
    char clean[MESSAGE_BYTES], id[REQUEST_BYTES];
    if (!can_write()) {
        lost++;
        return;
    }
    if (lost > 0) {
        snprintf(clean, sizeof clean,
                 "%llu lines of this log were lost: whoever reads stderr was behind",
                 (unsigned long long)lost);
        lost = 0;
        write_line(RL_LOG_WARN, NULL, clean, NULL);
    }
    make_harmless(message, clean, sizeof clean);
    if (request)
        make_harmless(request, id, sizeof id);
    write_line(level, request ? id : NULL, clean, data);
}

// ---- the limit: the mutex is held here
// ------------------------------------------------------------

static void report_site(rl_log_site_t *site)
{
    char message[sizeof site->first + 80];
    snprintf(message, sizeof message, "%u more like this one within %d s: %s", site->held,
             SITE_US / 1000000, site->first);
    put_line(site->level, NULL, message, NULL);
    site->held = 0;
}

void rl_log_report_held(bool all)
{
    if (!atomic_load_explicit(&owing, memory_order_relaxed))
        return;
    uint64_t now = rl_now_us();
    pthread_mutex_lock(&mutex);
    for (rl_log_site_t **at = &holding; *at;) {
        rl_log_site_t *site = *at;
        if (!all && now - site->since_us < SITE_US) {
            at = &site->next;
            continue;
        }
        *at = site->next;
        report_site(site);
    }
    owing = holding != NULL;
    pthread_mutex_unlock(&mutex);
}

// Counts the line; whether it is one too many.
static bool is_held_back(rl_log_site_t *site, rl_log_level_t level, const char *message)
{
    if (!log_limited || level > RL_LOG_WARN || rl_log_enabled(RL_LOG_DEBUG))
        return false;
    uint64_t now = rl_now_us();
    if (site->held == 0 && now - site->since_us >= SITE_US) {
        site->since_us = now;
        site->written = 0;
    }
    if (site->written < SITE_LINES) {
        site->written++;
        return false;
    }
    if (site->held++ == 0) {
        size_t size = strlen(message);
        size = size < sizeof site->first ? size : rl_utf8_whole(message, sizeof site->first - 1);
        memcpy(site->first, message, size);
        site->first[size] = '\0';
        site->level = level;
        site->next = holding;
        holding = site;
        owing = true;
    }
    return true;
}

// ---- lines ------------------------------------------------------------------------------------

void rl_log_at(rl_log_site_t *site, rl_log_level_t level, const char *request, const char *format,
               ...)
{
    char message[MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    format_message(message, sizeof message, format, args);
    va_end(args);
    pthread_mutex_lock(&mutex);
    if (!is_held_back(site, level, message))
        put_line(level, request, message, NULL);
    pthread_mutex_unlock(&mutex);
}

void rl_log_data(const char *request, const char *message, const char *data)
{
    pthread_mutex_lock(&mutex);
    put_line(RL_LOG_INFO, request, message, data);
    pthread_mutex_unlock(&mutex);
}
