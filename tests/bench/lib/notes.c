// notes: written as they end, closed by the end of the program.
#include "notes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "clock.h"

static FILE *file;

void notes_open(const char *path)
{
    file = fopen(path, "w");
    if (!file) {
        perror(path);
        exit(2);
    }
}

void note_drop(note_t *self)
{
    free(self->timings);
    *self = (note_t){0};
}

void note_start(note_t *self, uint64_t now_us)
{
    note_drop(self);
    self->sent_us = now_us;
}

void note_timings(note_t *self, const char *data, uint64_t now_us)
{
    if (!file)
        return;
    self->timings_us = now_us;
    free(self->timings);
    self->timings = strndup(data, strcspn(data, "\n"));
}

static double ms(const note_t *self, uint64_t us)
{
    return (double)(us - self->sent_us) / 1000;
}

static void add(const note_t *self, const char *name, uint64_t us)
{
    if (us > 0)
        fprintf(file, ",\"%s\":%.3f", name, ms(self, us));
}

void note_end(note_t *self, uint64_t now_us)
{
    struct timeval now;
    if (!file || !self->timings || !self->status_us)
        return;
    gettimeofday(&now, NULL);
    double unix_ms = 1000.0 * (double)now.tv_sec + (double)now.tv_usec / 1000 -
                     (double)(rl_now_us() - self->sent_us) / 1000;
    fprintf(file, "{\"unix_ms\":%.3f,\"client\":{\"status_ms\":%.3f", unix_ms,
            ms(self, self->status_us));
    add(self, "sources_ms", self->sources_us);
    add(self, "first_token_ms", self->first_token_us);
    add(self, "timings_ms", self->timings_us);
    add(self, "total_ms", now_us);
    fprintf(file, "},\"timings\":%s}\n", self->timings);
    note_drop(self);
}
