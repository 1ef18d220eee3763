// progress: the progress line.

#include "progress.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "clock.h"
#include "mem.h"

enum {
    BAR_US = 100 * 1000,
    LINE_US = 5 * 1000 * 1000,
    BAR = 24,
    WIDTH = 200
};

struct progress {
    bool terminal;
    bool active, shown; // a stage is under way; a bar stands on the terminal
    char stage[24], unit[24];
    uint64_t total, done, began, last;
};

progress_t *progress_new(void)
{
    progress_t *self = rl_new(*self);
    const char *term = getenv("TERM");
    self->terminal = isatty(STDERR_FILENO) && !(term && strcmp(term, "dumb") == 0);
    return self;
}

void progress_destroy(progress_t **self_p)
{
    if (*self_p)
        progress_clear(*self_p);
    free(*self_p);
    *self_p = NULL;
}

void progress_duration(double seconds, char *out, unsigned size)
{
    unsigned long s = seconds < 1e9 ? (unsigned long)(seconds + 0.5) : 999999999;
    if (s >= 3600)
        snprintf(out, size, "%lu h %lu min", s / 3600, s / 60 % 60);
    else if (s >= 60)
        snprintf(out, size, "%lu min %lu s", s / 60, s % 60);
    else
        snprintf(out, size, "%lu s", s);
}

const char *progress_number(uint64_t number, char *out)
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);
    char *at = out;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            *at++ = ',';
        *at++ = digits[i];
    }
    *at = '\0';
    return out;
}

static void format_amounts(const progress_t *self, char *out, size_t size)
{
    char done[32], total[32];
    if (strcmp(self->unit, "bytes") == 0) {
        snprintf(out, size, "%.1f of %.1f MiB", (double)self->done / (1 << 20),
                 (double)self->total / (1 << 20));
        return;
    }
    snprintf(out, size, "%s of %s %s", progress_number(self->done, done),
             progress_number(self->total, total), self->unit);
}

static void show_line(progress_t *self, bool final)
{
    char line[WIDTH * 2], what[96], left[40] = "", rate[40] = "", bar[BAR + 1];
    double seconds = (double)(rl_now_us() - self->began) / 1e6;
    double share = self->total > 0 ? (double)self->done / (double)self->total : 0;
    double speed = seconds > 0.2 ? (double)self->done / seconds : 0;
    share = share > 1 ? 1 : share;
    format_amounts(self, what, sizeof what);
    if (speed > 0 && strcmp(self->unit, "bytes") == 0)
        snprintf(rate, sizeof rate, "  %.1f MiB/s", speed / (1 << 20));
    else if (speed > 0)
        snprintf(rate, sizeof rate, speed < 10 ? "  %.1f/s" : "  %.0f/s", speed);
    if (final) {
        strcpy(left, "  in ");
        progress_duration(seconds, left + 5, sizeof left - 5);
    } else if (speed > 0 && self->total > self->done && self->done * 200 >= self->total) {
        strcpy(left, "  ");
        progress_duration((double)(self->total - self->done) / speed, left + 2, 24);
        strcat(left, " left");
    }
    int filled = (int)(share * BAR);
    for (int i = 0; i < BAR; i++)
        bar[i] = i < filled ? '#' : '.';
    bar[BAR] = '\0';
    if (!self->terminal) {
        fprintf(stderr, "%-10s %s  %.0f%%%s%s\n", self->stage, what, share * 100, rate, left);
        return;
    }
    int length = snprintf(line, sizeof line, "%-10s [%s] %3.0f%%  %s%s%s", self->stage, bar,
                          share * 100, what, rate, left);
    struct winsize window;
    int width = ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 20
                    ? window.ws_col - 1
                    : 79;
    if (length > width)
        line[width] = '\0'; // a line that wraps could not be written over
    fprintf(stderr, "\r%s\033[K%s", line, final ? "\n" : "");
    fflush(stderr);
    self->shown = !final;
}

void progress_begin(progress_t *self, const char *stage, const char *unit, uint64_t total)
{
    progress_end(self);
    snprintf(self->stage, sizeof self->stage, "%s", stage);
    snprintf(self->unit, sizeof self->unit, "%s", unit);
    self->total = total;
    self->done = 0;
    self->began = self->last = rl_now_us();
    self->active = true;
    if (self->terminal)
        show_line(self, false);
}

void progress_at(progress_t *self, uint64_t done)
{
    self->done = done;
    uint64_t now = rl_now_us();
    if (self->active && now - self->last >= (self->terminal ? BAR_US : LINE_US)) {
        self->last = now;
        show_line(self, false);
    }
}

void progress_total(progress_t *self, uint64_t total)
{
    self->total = total;
}

void progress_end(progress_t *self)
{
    if (self->active)
        show_line(self, true);
    self->active = false;
}

void progress_drop(progress_t *self)
{
    progress_clear(self);
    self->active = false;
}

void progress_clear(progress_t *self)
{
    if (self->shown)
        fputs("\r\033[K", stderr);
    self->shown = false;
}
