// ragline-top: what one or several gateways do right now, on a terminal, as lines, or as JSON.
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "mem.h"
#include "proc.h"
#include "top_page.h"
#include "top_screen.h"
#include "top_text.h"
#include "top_watch.h"

enum {
    MAX_PAGE = 8 << 20,
    WIDE = 120, // columns where there is no terminal
    // exit status
    ALL_WELL = 0,
    WRONG_USE = 2,
    UNREACHED = 3,
    SOME_AWAY = 4,
};

static const char usage[] =
    "ragline-top [options] [URL...]\n"
    "\n"
    "Shows what gateways do right now: questions in flight by state, rates, how long each stage takes\n"
    "(p50, p90, p99 of the last 10 s and 60 s), workers with load and latency. Several gateways are\n"
    "added up. On a terminal h lists the keys; into a pipe, or with --plain, it writes a line a\n"
    "second; --once writes the page, or with --json the snapshot, and ends. NO_COLOR turns colours\n"
    "off.\n"
    "\n"
    "  ragline-top\n"
    "  ragline-top --top-sort load http://gateway-1:8080 http://gateway-2:8080\n"
    "  ragline-top --once\n"
    "  ragline-top --json | jq --unbuffered '.windows[\"10\"].times.first_token.p99_ms'\n"
    "\n"
    "Exit status: 0 all is well, 2 wrong use, 3 no gateway can be reached or all refuse, 4 with\n"
    "--once: some of them do not answer.\n";

typedef enum how {
    MODE_ONCE,
    MODE_LINES,
    MODE_SCREEN,
} how_t;

typedef struct top {
    rl_proc_t *proc;
    top_watch_t *watch;
    top_screen_t *screen;
    struct event *second;
    top_view_t view;
    how_t mode;
    bool json;
    bool news; // something came since the last line
} top_t;

static void end_program(void *arg)
{
    top_t *self = arg;
    bool reached = self->watch && top_watch_reached(self->watch);
    rl_proc_end(self->proc, reached || self->mode == MODE_SCREEN ? ALL_WELL : UNREACHED);
}

// --------------------------------------------------------------------------------------- writing

static void write_json(json_t *sum)
{
    char *text = json_dumps(sum, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15));
    if (!text)
        rl_out_of_memory();
    puts(text);
    free(text);
}

static void write_line(json_t *sum)
{
    char clock[32];
    time_t now = time(NULL);
    struct tm utc;
    rl_buf_t line = rl_buf_make(MAX_PAGE);
    gmtime_r(&now, &utc);
    strftime(clock, sizeof clock, "%Y-%m-%dT%H:%M:%SZ", &utc);
    top_line(sum, clock, &line);
    fwrite(line.data, 1, line.size, stdout);
    rl_buf_free(&line);
}

static void write_page(const top_t *self, json_t *sum)
{
    rl_buf_t page = rl_buf_make(MAX_PAGE), plain = rl_buf_make(MAX_PAGE);
    top_page(sum, &self->view, &page);
    top_strip(&plain, page.data, page.size);
    fwrite(plain.data, 1, plain.size, stdout);
    rl_buf_free(&page);
    rl_buf_free(&plain);
}

static void write_sum(top_t *self)
{
    json_t *sum = top_watch_sum(self->watch);
    if (self->json)
        write_json(sum);
    else if (self->mode == MODE_ONCE)
        write_page(self, sum);
    else
        write_line(sum);
    json_decref(sum);
    fflush(stdout);
    if (ferror(stdout)) // nobody reads on
        end_program(self);
}

// ------------------------------------------------------------------------------------ what comes

static void write_once(top_t *self)
{
    size_t there = top_watch_there(self->watch);
    if (!top_watch_settled(self->watch))
        return;
    top_watch_complain(self->watch);
    if (there > 0)
        write_sum(self);
    rl_proc_end(self->proc, there == 0                            ? UNREACHED
                            : there < top_watch_size(self->watch) ? SOME_AWAY
                                                                  : ALL_WELL);
}

static void on_changed(void *arg)
{
    top_t *self = arg;
    self->news = true;
    if (self->mode == MODE_ONCE)
        write_once(self);
    else if (self->mode == MODE_SCREEN)
        top_screen_show(self->screen, top_watch_sum(self->watch));
}

static void on_second(evutil_socket_t fd, short what, void *arg)
{
    top_t *self = arg;
    (void)fd;
    (void)what;
    if (self->mode == MODE_SCREEN) { // the clock, and those that are away
        top_screen_show(self->screen, top_watch_sum(self->watch));
        return;
    }
    top_watch_complain(self->watch);
    if (!top_watch_reached(self->watch)) {
        if (top_watch_settled(self->watch))
            end_program(self);
    } else if (self->news) {
        self->news = false;
        write_sum(self);
    }
}

// ---------------------------------------------------------------------------------------- start

static int index_of(const char *const *names, int size, const char *name)
{
    for (int at = 0; at < size; at++)
        if (strcmp(names[at], name) == 0)
            return at;
    return 0; // the options' table lets none other pass
}

static int columns_of_output(void)
{
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : WIDE;
}

static void read_view(top_t *self, const rl_conf_t *conf)
{
    self->json = rl_conf_has_flag(conf, "json");
    self->view = (top_view_t){
        .sort = (top_sort_t)index_of(top_sort_names, TOP_SORTS, rl_conf_str(conf, "top.sort")),
        .stages = (top_stages_t)index_of(top_stages_names, TOP_STAGE_ORDERS,
                                         rl_conf_str(conf, "top.stages")),
        .filter = rl_conf_str(conf, "top.filter"),
        .columns = columns_of_output(),
    };
    const char *term = getenv("TERM");
    bool terminal =
        isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && term && *term && strcmp(term, "dumb") != 0;
    self->mode = rl_conf_has_flag(conf, "once")                               ? MODE_ONCE
                 : self->json || rl_conf_has_flag(conf, "plain") || !terminal ? MODE_LINES
                                                                              : MODE_SCREEN;
}

static int run_program(top_t *self)
{
    const rl_conf_t *conf = rl_proc_conf(self->proc);
    struct event_base *base = rl_proc_base(self->proc);
    struct timeval second = {1, 0};
    read_view(self, conf);
    self->watch = top_watch_new(base, conf, self->mode == MODE_ONCE, on_changed, self);
    if (!self->watch)
        return WRONG_USE;
    if (self->mode == MODE_SCREEN) {
        self->screen = top_screen_new(base, &self->view, end_program, self);
        if (!self->screen) {
            fprintf(stderr,
                    "ragline-top: the terminal \"%s\" (TERM) is not known here; lines then\n",
                    getenv("TERM"));
            self->mode = MODE_LINES;
        }
    }
    rl_proc_on_stop(self->proc, end_program, self);
    self->second = event_new(base, -1, EV_PERSIST, on_second, self);
    if (!self->second || event_add(self->second, &second) != 0)
        rl_out_of_memory();
    return rl_proc_run(self->proc);
}

int main(int argc, char **argv)
{
    int status;
    setlocale(LC_CTYPE, "");
    top_t self = {.proc = rl_proc_new(RL_TOP, "top", usage, argc, argv, &status)};
    if (!self.proc)
        return status;
    // the person sent the signal: there is nothing to report
    const rl_conf_t *conf = rl_proc_conf(self.proc);
    if (!rl_conf_given(conf, "log.level"))
        rl_log_setup("ragline-top", "warn", strcmp(rl_conf_str(conf, "log.format"), "json") == 0);
    status = run_program(&self);
    if (self.second)
        event_free(self.second);
    top_screen_destroy(&self.screen);
    top_watch_destroy(&self.watch);
    rl_proc_destroy(&self.proc);
    return status;
}
