// effort: what searches cost by effort. A search takes a fixed time and a part for each unit of
// effort; of the part a smoothed mean and a smoothed deviation are kept, as TCP keeps them of round
// trips (RFC 6298), so that what is foretold is seldom exceeded.
#include "effort.h"

#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "mem.h"

const char *const effort_names[EFFORT_KINDS] = {"", "nprobe", "ef_search"};

static const double MEAN_GAIN = 1.0 / 8, DEVIATION_GAIN = 1.0 / 4, DEVIATIONS = 4; // RFC 6298

struct effort_cost {
    pthread_mutex_t mutex;     // of what follows
    double fixed;              // µs of a search of effort 1, the fastest that was seen; < 0: none
    double each, off;          // µs for each unit above the first: mean, mean deviation
    unsigned long long counts; // searches that `each` is of
};

effort_cost_t *effort_cost_new(void)
{
    effort_cost_t *self = rl_new(*self);
    pthread_mutex_init(&self->mutex, NULL);
    self->fixed = -1;
    return self;
}

void effort_cost_destroy(effort_cost_t **self_p)
{
    effort_cost_t *self = *self_p;
    if (!self)
        return;
    pthread_mutex_destroy(&self->mutex);
    free(self);
    *self_p = NULL;
}

void effort_cost_note(effort_cost_t *self, size_t effort, uint64_t took_us)
{
    pthread_mutex_lock(&self->mutex);
    if (effort <= 1) {
        if (self->fixed < 0 || (double)took_us < self->fixed)
            self->fixed = (double)took_us;
    } else {
        double fixed = self->fixed < 0 ? 0 : self->fixed;
        double each = fmax(0, (double)took_us - fixed) / (double)(effort - 1);
        if (self->counts++ == 0) {
            self->each = each;
            self->off = each / 2;
        } else {
            self->off += DEVIATION_GAIN * (fabs(each - self->each) - self->off);
            self->each += MEAN_GAIN * (each - self->each);
        }
    }
    pthread_mutex_unlock(&self->mutex);
}

// What one more unit of effort costs at most, about; the mutex is held.
static double cost_of_unit(const effort_cost_t *self)
{
    return self->each + DEVIATIONS * self->off;
}

uint64_t effort_cost_of(effort_cost_t *self, size_t effort)
{
    pthread_mutex_lock(&self->mutex);
    double fixed = self->fixed < 0 ? 0 : self->fixed;
    double cost = fixed + (effort > 1 ? (double)(effort - 1) * cost_of_unit(self) : 0);
    pthread_mutex_unlock(&self->mutex);
    return (uint64_t)cost;
}

size_t effort_cost_fit(effort_cost_t *self, size_t wanted, size_t least, uint64_t left_us)
{
    pthread_mutex_lock(&self->mutex);
    double fixed = self->fixed < 0 ? 0 : self->fixed, each = cost_of_unit(self);
    double room = (double)left_us - fixed;
    bool fits = each * (double)(wanted - (wanted > 0)) <= room;
    double most = each > 0 && room > 0 ? 1 + room / each : 1;
    pthread_mutex_unlock(&self->mutex);
    if (fits || least >= wanted)
        return wanted;
    return most < (double)least ? least : most < (double)wanted ? (size_t)most : wanted;
}
