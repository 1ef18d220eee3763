// proc: the skeleton of a ragline process.
#include "proc.h"

#include <curl/curl.h>
#include <czmq.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "hex.h"
#include "log.h"
#include "mem.h"

enum {
    SOCKETS_MAX = 16384, // ZeroMQ sockets of a process; more than the gateway has workers
    SIGNALS = 5,
    DUMPERS = 8,
    LASTING = RL_GATEWAY | RL_RETRIEVER | RL_GENERATOR, // programs that run till they are stopped
};

typedef struct hook {
    rl_proc_fn *fn;
    void *arg;
} hook_t;

typedef struct hooks {
    hook_t *items; // one that was taken away has no fn until the turn is over
    size_t size;
} hooks_t;

struct rl_proc {
    struct event_base *base;
    rl_conf_t *conf;
    rl_curve_t *curve;
    struct event *signals[SIGNALS];
    struct event *again;
    hook_t stop, reload;
    struct {
        rl_dump_fn *fn;
        void *arg;
    } dumpers[DUMPERS];
    size_t dumpers_size;
    rl_dump_file_t *dump_file;
    uint64_t started_us, turns;
    unsigned program;
    hooks_t look, end;
    uint64_t pace_us, turn_us; // see rl_proc_pace; when the last turn began
    bool stopping, ended;
    int exit_status;
    char name[32];
    char id[48];
};

static void on_stop_signal(evutil_socket_t signal_number, short what, void *arg)
{
    rl_proc_t *self = arg;
    (void)what;
    rl_info("%s: %s", strsignal((int)signal_number),
            self->stopping || !self->stop.fn ? "ending now" : "finishing what is at work");
    if (self->stopping || !self->stop.fn) {
        rl_proc_end(self, self->stopping ? 128 + (int)signal_number : 0);
        return;
    }
    self->stopping = true;
    self->stop.fn(self->stop.arg);
}

static void setup_log(const rl_proc_t *self)
{
    rl_log_setup(self->id, rl_conf_str(self->conf, "log.level"),
                 strcmp(rl_conf_str(self->conf, "log.format"), "json") == 0);
}

static void on_reload_signal(evutil_socket_t signal_number, short what, void *arg)
{
    rl_proc_t *self = arg;
    (void)signal_number;
    (void)what;
    rl_conf_t *conf = rl_conf_reread(self->conf);
    if (!conf) {
        rl_error("the configuration does not hold: the old one stays in force");
        return;
    }
    rl_conf_destroy(&self->conf);
    self->conf = conf;
    setup_log(self);
    rl_info("configuration read again");
    if (self->curve)
        rl_curve_reload(self->curve, self->conf);
    if (self->reload.fn)
        self->reload.fn(self->reload.arg);
}

// ---- dumps ------------------------------------------------------------------------------------

static uint64_t us_of(struct timeval time)
{
    return (uint64_t)time.tv_sec * 1000000u + (uint64_t)time.tv_usec;
}

void rl_proc_memory(size_t *space, size_t *resident)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned long pages[2] = {0, 0};
    FILE *file = fopen("/proc/self/statm", "re"); // the kernel's: no disk is waited for
    if (file && fscanf(file, "%lu %lu", &pages[0], &pages[1]) != 2)
        pages[0] = pages[1] = 0;
    if (file)
        fclose(file);
    *space = pages[0] * page;
    *resident = pages[1] * page;
}

static void dump_process(const rl_proc_t *self, rl_dump_t *dump)
{
    struct rusage used = {0};
    size_t space, resident;
    char when[40];
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
    getrusage(RUSAGE_SELF, &used);
    rl_proc_memory(&space, &resident);
    rl_dump_begin(dump, "process");
    rl_dump_text(dump, "id", self->id);
    rl_dump_text(dump, "program", self->name);
    rl_dump_text(dump, "version", RAGLINE_VERSION);
    rl_dump_text(dump, "time", when);
    rl_dump_number(dump, "pid", (uint64_t)getpid());
    rl_dump_ms(dump, "up_ms", rl_now_us() - self->started_us);
    rl_dump_ms(dump, "cpu_user_ms", us_of(used.ru_utime));
    rl_dump_ms(dump, "cpu_system_ms", us_of(used.ru_stime));
    rl_dump_number(dump, "memory_kb", resident / 1024);
    rl_dump_number(dump, "memory_most_kb", (uint64_t)used.ru_maxrss);
    rl_dump_number(dump, "turns", self->turns);
    rl_dump_flag(dump, "stopping", self->stopping);
    rl_dump_text(dump, "log_level", rl_log_level_name());
    rl_dump_end(dump);
}

static void dump_all(rl_proc_t *self, rl_dump_t *dump)
{
    dump_process(self, dump);
    for (size_t at = 0; at < self->dumpers_size; at++)
        self->dumpers[at].fn(self->dumpers[at].arg, dump);
}

char *rl_proc_dump(rl_proc_t *self, size_t *size)
{
    rl_dump_t *dump = rl_dump_new(false);
    dump_all(self, dump);
    return rl_dump_finish(&dump, size);
}

// The signal was caught by libevent, which calls this from the loop.
static void on_dump_signal(evutil_socket_t signal_number, short what, void *arg)
{
    rl_proc_t *self = arg;
    const char *folder = rl_conf_str(self->conf, "log.dump_dir");
    size_t size;
    (void)signal_number;
    (void)what;
    if (*folder) {
        char *document = rl_proc_dump(self, &size);
        if (document && rl_dump_file_write(self->dump_file, folder, self->id, document, size) != 0)
            rl_warn("log.dump_dir: the dump before this one is still being written to %s", folder);
        return;
    }
    rl_dump_t *dump = rl_dump_new(true);
    dump_all(self, dump);
    rl_dump_finish(&dump, &size);
}

static void on_debug_signal(evutil_socket_t signal_number, short what, void *arg)
{
    (void)signal_number;
    (void)what;
    (void)arg;
    bool debug = rl_log_toggle_debug();
    char data[64];
    snprintf(data, sizeof data, "{\"level\":\"%s\"}", rl_log_level_name());
    rl_log_data(NULL,
                debug ? "the log is at debug until SIGUSR2 or SIGHUP" : "the log is as configured",
                data);
}

void rl_proc_on_dump(rl_proc_t *self, rl_dump_fn *fn, void *arg)
{
    if (self->dumpers_size == DUMPERS)
        abort();
    self->dumpers[self->dumpers_size].fn = fn;
    self->dumpers[self->dumpers_size++].arg = arg;
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg; // coming round is all it is for
}

// As many open files as the system allows: every client, worker and transfer is one.
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void add_signal(rl_proc_t *self, size_t at, int signal_number, event_callback_fn fn)
{
    self->signals[at] = rl_must(evsignal_new(self->base, signal_number, fn, self));
    if (event_add(self->signals[at], NULL) != 0)
        rl_out_of_memory();
}

static bool make_loop(rl_proc_t *self)
{
    struct event_config *config = rl_must(event_config_new());
    // Several writes to one socket in a turn change epoll once; timers under 5 ms are meant.
    event_config_set_flag(config,
                          EVENT_BASE_FLAG_PRECISE_TIMER | EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
    self->base = event_base_new_with_config(config);
    event_config_free(config);
    if (!self->base)
        return false;
    self->again = rl_must(event_new(self->base, -1, 0, on_again, NULL));
    add_signal(self, 0, SIGTERM, on_stop_signal);
    add_signal(self, 1, SIGINT, on_stop_signal);
    add_signal(self, 2, SIGHUP, on_reload_signal);
    if (self->program & LASTING) {
        add_signal(self, 3, SIGUSR1, on_dump_signal);
        add_signal(self, 4, SIGUSR2, on_debug_signal);
    }
    return true;
}

// czmq's, with room for more sockets than its usual 1,024: the gateway has one for each worker.
void *rl_proc_context(void)
{
    static bool made;
    if (!made)
        zsys_set_max_sockets(SOCKETS_MAX);
    made = true;
    return zsys_init();
}

static void on_curve_turn(void *arg)
{
    rl_curve_turn(arg);
}

static bool start_curve(rl_proc_t *self)
{
    char why[512];
    if (!self->curve)
        return true;
    if (rl_curve_start(self->curve, self->base, rl_proc_context(), why, sizeof why) != 0) {
        rl_error("CURVE: %s", why);
        return false;
    }
    rl_proc_on_turn(self, on_curve_turn, self->curve);
    return true;
}

// Flags that are answered and done with; false when none was given.
static bool answer_flags(const rl_proc_t *self, unsigned program, const char *usage)
{
    if (rl_conf_has_flag(self->conf, "help"))
        rl_conf_help(program, usage, stdout);
    else if (rl_conf_has_flag(self->conf, "version"))
        printf("ragline-%s %s\n", self->name, RAGLINE_VERSION);
    else if (rl_conf_has_flag(self->conf, "sample-config"))
        rl_conf_sample(stdout);
    else
        return false;
    return true;
}

rl_proc_t *rl_proc_new(unsigned program, const char *name, const char *usage, int argc, char **argv,
                       int *exit_status)
{
    *exit_status = 2;
    rl_proc_t *self = rl_new(*self);
    self->program = program;
    self->started_us = rl_now_us();
    if (program & LASTING) { // a signal that comes before the handlers are set must not end it
        signal(SIGUSR1, SIG_IGN);
        signal(SIGUSR2, SIG_IGN);
    }
    snprintf(self->name, sizeof self->name, "%s", name);
    char random[2 * 4 + 1];
    rl_random_hex(random, 4);
    snprintf(self->id, sizeof self->id, "%s-%s", name, random);
    self->conf = rl_conf_new(program, argc, argv);
    if (!self->conf) {
        rl_proc_destroy(&self);
        return NULL;
    }
    char why[1024];
    bool done = answer_flags(self, program, usage);
    if (!done && rl_curve_new(&self->curve, program, self->conf, why, sizeof why) != 0) {
        fprintf(stderr, "%s\n", why);
        rl_proc_destroy(&self);
        return NULL;
    }
    if (!done && rl_conf_has_flag(self->conf, "check-config")) {
        puts("the configuration holds");
        done = true;
    }
    if (done) {
        *exit_status = 0;
        rl_proc_destroy(&self);
        return NULL;
    }
    signal(SIGPIPE, SIG_IGN);
    setenv("ZSYS_SIGHANDLER", "false", 1); // czmq: signals are the loop's
    raise_file_limit();
    setup_log(self);
    rl_log_limit((program & LASTING) != 0);
    self->dump_file = rl_dump_file_new();
    curl_global_init(CURL_GLOBAL_DEFAULT);
    bool loop = make_loop(self);
    if (!loop)
        rl_error("cannot make an event loop");
    if (!loop || !start_curve(self)) {
        *exit_status = 1;
        rl_proc_destroy(&self);
    }
    return self;
}

void rl_proc_destroy(rl_proc_t **self_p)
{
    rl_proc_t *self = *self_p;
    if (!self)
        return;
    rl_dump_file_destroy(&self->dump_file);
    rl_log_report_held(true);
    for (size_t at = 0; at < SIGNALS; at++)
        if (self->signals[at])
            event_free(self->signals[at]);
    // One that comes while the process ends must not end it as if it had failed.
    signal(SIGHUP, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    signal(SIGUSR2, SIG_IGN);
    if (self->again)
        event_free(self->again);
    rl_curve_destroy(&self->curve);
    if (self->base)
        event_base_free(self->base);
    rl_conf_destroy(&self->conf);
    free(self->look.items);
    free(self->end.items);
    free(self);
    *self_p = NULL;
}

struct event_base *rl_proc_base(rl_proc_t *self)
{
    return self->base;
}

const rl_conf_t *rl_proc_conf(const rl_proc_t *self)
{
    return self->conf;
}

rl_curve_t *rl_proc_curve(const rl_proc_t *self)
{
    return self->curve;
}

const char *rl_proc_id(const rl_proc_t *self)
{
    return self->id;
}

void rl_proc_on_stop(rl_proc_t *self, rl_proc_fn *fn, void *arg)
{
    self->stop = (hook_t){fn, arg};
}

void rl_proc_on_reload(rl_proc_t *self, rl_proc_fn *fn, void *arg)
{
    self->reload = (hook_t){fn, arg};
}

static void add_hook(hooks_t *hooks, rl_proc_fn *fn, void *arg)
{
    hooks->items = rl_realloc(hooks->items, hooks->size + 1, sizeof *hooks->items);
    hooks->items[hooks->size++] = (hook_t){fn, arg};
}

static void drop_hook(hooks_t *hooks, rl_proc_fn *fn, void *arg)
{
    for (size_t at = 0; at < hooks->size; at++)
        if (hooks->items[at].fn == fn && hooks->items[at].arg == arg)
            hooks->items[at].fn = NULL;
}

static void run_hooks(hooks_t *hooks)
{
    size_t kept = 0;
    for (size_t at = 0; at < hooks->size; at++)
        if (hooks->items[at].fn)
            hooks->items[at].fn(hooks->items[at].arg);
    for (size_t at = 0; at < hooks->size; at++)
        if (hooks->items[at].fn)
            hooks->items[kept++] = hooks->items[at];
    hooks->size = kept;
}

void rl_proc_on_turn(rl_proc_t *self, rl_proc_fn *fn, void *arg)
{
    add_hook(&self->look, fn, arg);
}

void rl_proc_on_turn_end(rl_proc_t *self, rl_proc_fn *fn, void *arg)
{
    add_hook(&self->end, fn, arg);
}

void rl_proc_remove_hook(rl_proc_t *self, rl_proc_fn *fn, void *arg)
{
    drop_hook(&self->look, fn, arg);
    drop_hook(&self->end, fn, arg);
}

void rl_proc_request_turn(rl_proc_t *self)
{
    event_active(self->again, EV_TIMEOUT, 1);
}

void rl_proc_pace(rl_proc_t *self, unsigned us)
{
    self->pace_us = us;
}

static void keep_pace(rl_proc_t *self)
{
    if (!self->pace_us)
        return;
    uint64_t now = rl_now_us(), due = self->turn_us + self->pace_us;
    if (now < due) {
        struct timespec wait = {0, (long)(due - now) * 1000};
        nanosleep(&wait, NULL); // a signal may cut it short
        now = rl_now_us();
    }
    self->turn_us = now;
}

int rl_proc_run(rl_proc_t *self)
{
    while (!self->ended) {
        keep_pace(self);
        if (event_base_loop(self->base, EVLOOP_ONCE) < 0) {
            rl_error("the event loop failed");
            return 1;
        }
        run_hooks(&self->look);
        run_hooks(&self->end);
        rl_log_report_held(false);
        self->turns++;
    }
    self->ended = false; // it may be run again
    return self->exit_status;
}

void rl_proc_end(rl_proc_t *self, int exit_status)
{
    self->ended = true;
    self->exit_status = exit_status;
    rl_proc_request_turn(self);
}
