// log: the one way to write a log line. Lines go to stderr, one per call, text or JSON.
#ifndef RL_LOG_H
#define RL_LOG_H

#include <stdbool.h>

typedef enum rl_log_level {
    RL_LOG_ERROR, // something was lost or cannot start; a person should look
    RL_LOG_WARN,  // a peer, a file or a client was wrong; handled
    RL_LOG_INFO,  // starts, stops, members that come and go
    RL_LOG_DEBUG, // state changes of single requests
} rl_log_level_t;

// Sets the name in front of each line and the format; the level is "error", "warn", "info" or
// "debug" (anything else counts as "info"). Not needed for logging to work.
void rl_log_setup(const char *program, const char *level, bool json);

bool rl_log_enabled(rl_log_level_t level);

// Writes one line; control characters in the message are shown as \xNN, so that bytes of a peer
// cannot forge lines. `request` is the request id that the line belongs to, or NULL.
void rl_log(rl_log_level_t level, const char *request, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define rl_error(...) rl_log(RL_LOG_ERROR, NULL, __VA_ARGS__)
#define rl_warn(...) rl_log(RL_LOG_WARN, NULL, __VA_ARGS__)
#define rl_info(...) rl_log(RL_LOG_INFO, NULL, __VA_ARGS__)
// The arguments of a debug line are not evaluated unless debug is on.
#define rl_debug(...)                                                                              \
    do {                                                                                           \
        if (rl_log_enabled(RL_LOG_DEBUG))                                                          \
            rl_log(RL_LOG_DEBUG, NULL, __VA_ARGS__);                                               \
    } while (0)

#endif
