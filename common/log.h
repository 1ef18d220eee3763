// log: the one way to write a log line. Lines go to stderr, whole ones, text or JSON:
//
//   2026-01-31T12:00:00.123Z warn gateway-1a2b3c4d: req_0123… failed while searching: …
//   {"ts":"2026-01-31T12:00:00.123Z","level":"warn","process":"gateway-1a2b3c4d","id":"req_0123…",
//    "message":"failed while searching: …"}
//
// A line is valid UTF-8, has no control characters and at most 4,096 bytes (PIPE_BUF: processes
// that share a pipe do not mix theirs). Where stderr is systemd's journal, a line begins with its
// priority, <4>, which the journal takes off; a text line has it in place of time and level. May be
// called from any thread. A reader of stderr that is slow does not block the process: lines are
// then lost, and counted.
#ifndef RL_LOG_H
#define RL_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum rl_log_level {
    RL_LOG_ERROR, // something was lost or cannot start; a person should look
    RL_LOG_WARN,  // a peer, a file or a client was wrong; handled
    RL_LOG_INFO,  // starts, stops, members that come and go
    RL_LOG_DEBUG, // state changes of single requests
} rl_log_level_t;

// Sets the name in front of each line and the format; the level is "error", "warn", "info" or
// "debug" (anything else counts as "info"). Not needed for logging to work. Ends what
// rl_log_toggle_debug began.
void rl_log_setup(const char *program, const char *level, bool json);

// From now on the level is debug; called again, it is as set up. Returns whether it is debug now.
bool rl_log_toggle_debug(void);

bool rl_log_enabled(rl_log_level_t level);
// "error", "warn", "info", "debug": the level in force.
const char *rl_log_level_name(void);

// With a limit, each place in the code writes at most 20 errors and warnings in 10 s; the others
// are counted, and a line says how many there were. At debug everything is written. Off at first:
// it is for processes that run for long.
void rl_log_limit(bool on);
// Writes the lines about lines that were held back, those whose 10 s are over, or all. To be called
// now and then; does nothing, and quickly, where there are none.
void rl_log_report_held(bool all);

// What one place in the code has written of late.
typedef struct rl_log_site {
    uint64_t since_us;
    unsigned written, held;
    rl_log_level_t level;
    struct rl_log_site *next; // of those that hold lines back
    char first[200];          // message held back
} rl_log_site_t;

// Writes one line; control characters in the message are shown as \xNN, so that bytes of a peer
// cannot forge lines. `request` is the request id that the line belongs to, or NULL. Arguments are
// not evaluated unless the level is on.
#define rl_log(log_level, request, ...)                                                            \
    do {                                                                                           \
        static rl_log_site_t rl_log_site_here;                                                     \
        if (rl_log_enabled(log_level))                                                             \
            rl_log_at(&rl_log_site_here, log_level, request, __VA_ARGS__);                         \
    } while (0)

#define rl_error(...) rl_log(RL_LOG_ERROR, NULL, __VA_ARGS__)
#define rl_warn(...) rl_log(RL_LOG_WARN, NULL, __VA_ARGS__)
#define rl_info(...) rl_log(RL_LOG_INFO, NULL, __VA_ARGS__)

void rl_log_at(rl_log_site_t *site, rl_log_level_t level, const char *request, const char *format,
               ...) __attribute__((format(printf, 4, 5)));

// A line that somebody asked for: written whatever the level. `data` is a JSON object of at most
// RL_LOG_DATA bytes, in valid UTF-8: a JSON line has it as its "data", a text line after its
// message.
enum {
    RL_LOG_DATA = 3072,
};
void rl_log_data(const char *request, const char *message, const char *data);

#endif
