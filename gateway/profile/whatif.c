// whatif: a changed copy of the model for each question that is asked of it.
#include "whatif.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LEAST = 40000, // questions simulated: the 99th percentile then rests on four hundred
    MOST_MORE = 1000,
};

bool more_read(const char *text, more_t *out)
{
    *out = (more_t){.add = 0, .times = 1};
    if (!*text)
        return true;
    bool add = *text == '+';
    size_t sign = add || *text == 'x' ? 1 : strncmp(text, "×", strlen("×")) == 0 ? strlen("×") : 0;
    char *end;
    unsigned long count = strtoul(text + sign, &end, 10);
    if (sign == 0 || text[sign] < '0' || text[sign] > '9' || *end || count < 1 || count > MOST_MORE)
        return false;
    if (add)
        out->add = (unsigned)count;
    else
        out->times = (unsigned)count;
    return true;
}

bool whatif_first(const model_t *model, station_t *out)
{
    station_t station;
    bool any = false;
    for (size_t at = 0; model_station(model, at, &station); at++) {
        // what the timelines show of a gateway is more than its work: it is named where measured
        if (station.saturates <= 0 || (station.kind == STATION_GATEWAY && !station.known))
            continue;
        if (!any || station.saturates < out->saturates)
            *out = station;
        any = true;
    }
    return any;
}

static whatif_t *add_row(whatifs_t *self, const model_t *model, const whatif_settings_t *settings,
                         double rate, const char *name)
{
    whatif_t *row = &self->rows[self->size++];
    sim_load_t load = {
        .rate = rate, .poisson = settings->poisson, .least = LEAST, .seed = settings->seed};
    station_t first;
    *row = (whatif_t){.possible = false};
    snprintf(row->name, sizeof row->name, "%s", name);
    row->possible = sim_run(model, &load, &row->sim);
    if (whatif_first(model, &first)) {
        row->saturates = first.saturates;
        model_station_name(model, &first, row->first, sizeof row->first);
        row->over = row->sim.rate > row->saturates;
    }
    return row;
}

static void apply_change(model_t *model, const whatif_settings_t *settings)
{
    model_multiply_retrievers(model, settings->retrievers.times);
    model_add_retrievers(model, settings->retrievers.add);
    model_multiply_generators(model, settings->generators.times);
    model_add_generators(model, settings->generators.add);
    model->gateways = model->gateways * settings->gateways.times + settings->gateways.add;
}

static void name_more(char *out, size_t size, const char *what, more_t more)
{
    size_t used = strlen(out);
    if (more.times > 1 && used < size)
        snprintf(out + used, size - used, "%s%u times the %ss", used ? ", " : "", more.times, what);
    used = strlen(out);
    if (more.add > 0 && used < size)
        snprintf(out + used, size - used, "%s%u more %s%s", used ? ", " : "", more.add, what,
                 more.add > 1 ? "s" : "");
}

static void add_asked(whatifs_t *self, const model_t *model, const whatif_settings_t *settings)
{
    char name[WHATIF_NAME] = "";
    name_more(name, sizeof name, "retriever", settings->retrievers);
    name_more(name, sizeof name, "generator", settings->generators);
    name_more(name, sizeof name, "gateway", settings->gateways);
    if (settings->rate > 0) {
        size_t used = strlen(name);
        snprintf(name + used, sizeof name - used, "%s%g questions a second", used ? ", " : "",
                 settings->rate);
    }
    if (!*name)
        return;
    model_t *changed = model_copy(model);
    apply_change(changed, settings);
    add_row(self, changed, settings, settings->rate, name);
    model_destroy(&changed);
}

static void add_usual(whatifs_t *self, const model_t *model, const whatif_settings_t *settings,
                      const char *name, more_t retrievers, more_t generators, more_t gateways)
{
    whatif_settings_t usual = *settings;
    usual.retrievers = retrievers;
    usual.generators = generators;
    usual.gateways = gateways;
    char whole[WHATIF_NAME];
    if (settings->rate > 0)
        snprintf(whole, sizeof whole, "%s, %g a second", name, settings->rate);
    else
        snprintf(whole, sizeof whole, "%s", name);
    model_t *changed = model_copy(model);
    apply_change(changed, &usual);
    add_row(self, changed, settings, settings->rate, whole);
    model_destroy(&changed);
}

void whatif_all(const model_t *model, const shares_t *measured, const whatif_settings_t *settings,
                whatifs_t *out)
{
    static const more_t none = {0, 1}, one = {1, 1}, twice = {0, 2};
    memset(out, 0, sizeof *out);
    whatif_t *row = add_row(out, model, settings, 0, "as it was recorded");
    if (row->possible && measured->p50_ms > 0 && measured->p99_ms > 0) {
        out->compared = true;
        out->error_p50 = row->sim.p50_ms / measured->p50_ms - 1;
        out->error_p99 = row->sim.p99_ms / measured->p99_ms - 1;
    }
    if (model->retrievers_size > 0) {
        add_usual(out, model, settings, "one more retriever", one, none, none);
        add_usual(out, model, settings, "twice the retrievers", twice, none, none);
    }
    if (model->generators_size > 0)
        add_usual(out, model, settings, "one more generator", none, one, none);
    add_usual(out, model, settings, "one more gateway", none, none, one);
    add_asked(out, model, settings);
}
