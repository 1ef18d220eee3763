// profile_report: tables.
#include "profile_report.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *format_duration(double ms, char out[32])
{
    if (fabs(ms) >= 999.5)
        snprintf(out, 32, "%.2f s", ms / 1000);
    else if (fabs(ms) >= 99.95)
        snprintf(out, 32, "%.0f ms", ms);
    else if (fabs(ms) >= 0.995)
        snprintf(out, 32, "%.1f ms", ms);
    else
        snprintf(out, 32, "%.2f ms", ms);
    return out;
}

static const char *rate_of(double rate, char out[32])
{
    if (rate <= 0)
        snprintf(out, 32, "–");
    else
        snprintf(out, 32, rate < 100 ? "%.1f /s" : "%.0f /s", rate);
    return out;
}

// Right-aligned in `columns` of a terminal: bytes of a character after the first take none.
static void print_cell(FILE *out, int columns, const char *text)
{
    int wide = 0;
    for (const char *at = text; *at; at++)
        wide += ((unsigned char)*at & 0xc0) != 0x80;
    fprintf(out, "%*s%s", columns > wide ? columns - wide : 0, "", text);
}

static void text_head(FILE *out, const profile_t *self)
{
    const shares_t *shares = self->shares;
    char a[32], b[32], c[32];
    double lasted = recording_lasted_ms(self->recording);
    fprintf(out, "%zu answers", recording_size(self->recording));
    if (lasted > 0)
        fprintf(out, " in %s, %s", format_duration(lasted, a),
                rate_of(recording_rate(self->recording), b));
    if (recording_size(self->recording) < self->read)
        fprintf(out, " (the busiest %g s of %zu)", self->window_s, self->read);
    fprintf(out, "; first token p50 %s, p99 %s, mean %s", format_duration(shares->p50_ms, a),
            format_duration(shares->p99_ms, b), format_duration(shares->mean_ms, c));
    if (shares->answers < recording_size(self->recording))
        fprintf(out, "; %zu without one", recording_size(self->recording) - shares->answers);
    fputc('\n', out);
    if (recording_dropped(self->recording))
        fprintf(out, "%zu older answers were left out: %d are the most\n",
                recording_dropped(self->recording), RECORDING_MAX_ANSWERS);
    if (recording_foreign(self->recording))
        fprintf(out, "%zu JSON values were no timelines\n", recording_foreign(self->recording));
}

static void text_shares(FILE *out, const profile_t *self)
{
    const shares_t *shares = self->shares;
    const names_t *names = recording_names(self->recording);
    char a[32], b[32], c[32], text[64];
    if (shares->size == 0) {
        fputs("\nNo answer says what its first token waited for (critical_path): they come from "
              "an older gateway\n",
              out);
        return;
    }
    fputs("\nWhat the first token waited for   about p50          at p99          p99 without it\n",
          out);
    for (size_t at = 0; at < shares->size; at++) {
        const share_t *row = &shares->rows[at];
        if (row->p50_ms < 0.005 && row->p99_ms < 0.005)
            continue;
        fprintf(out, "  %-24s", names_text(names, row->stage));
        print_cell(out, 14, format_duration(row->p50_ms, a));
        snprintf(text, sizeof text, "%.0f %%", 100 * row->p50_ms / fmax(shares->p50_ms, 1e-9));
        print_cell(out, 6, text);
        print_cell(out, 11, format_duration(row->p99_ms, b));
        double slow = row->without_99_ms, all = 0;
        for (size_t n = 0; n < shares->size; n++)
            all += shares->rows[n].p99_ms;
        snprintf(text, sizeof text, "%.0f %%", 100 * row->p99_ms / fmax(all, 1e-9));
        print_cell(out, 6, text);
        print_cell(out, 14, format_duration(slow, c));
        if (row->source != (uint32_t)RECORDING_NONE)
            fprintf(out, "  %.0f %% of it %s", 100 * row->source_part,
                    names_text(names, row->source));
        fputc('\n', out);
    }
}

static void text_stations(FILE *out, const profile_t *self)
{
    station_t station, first;
    char name[80], a[32], b[32], text[64];
    bool any = whatif_first(self->model, &first);
    fputs(
        "\nHow busy                                    at a time  a question    busy  saturates at\n",
        out);
    for (size_t at = 0; model_station(self->model, at, &station); at++) {
        if (station.processes == 0)
            continue;
        model_station_name(self->model, &station, name, sizeof name);
        fprintf(out, "  %-38s", name);
        unsigned most = station.kind == STATION_EMBED ? self->model->embed_most
                        : station.kind == STATION_LLM ? self->model->llm_most
                                                      : 0;
        if (station.servers < MODEL_ENDLESS)
            snprintf(text, sizeof text, "%s%.0f", station.known ? "" : "≥ ", station.servers);
        else if (most > 0)
            snprintf(text, sizeof text, "≥ %u", most);
        else
            snprintf(text, sizeof text, "?");
        if (station.kind == STATION_GATEWAY)
            snprintf(text, sizeof text, "%.0f", station.servers);
        print_cell(out, 13, text);
        snprintf(text, sizeof text, "%s%s",
                 station.kind == STATION_GATEWAY && !station.known ? "≤ " : "",
                 format_duration(station.demand_ms, a));
        print_cell(out, 12, text);
        snprintf(text, sizeof text, station.busy >= 0 ? "%.0f %%" : "–", 100 * station.busy);
        print_cell(out, 8, text);
        snprintf(text, sizeof text, "%s%s", station.saturates > 0 && !station.known ? "≥ " : "",
                 rate_of(station.saturates, b));
        print_cell(out, 14, text);
        if (any && station.kind == first.kind && station.number == first.number)
            fputs("  ◀ the first", out);
        fputc('\n', out);
    }
}

static void text_whatifs(FILE *out, const profile_t *self)
{
    const whatifs_t *whatifs = self->whatifs;
    char a[32], b[32], c[32];
    bool any = false;
    for (size_t at = 0; at < whatifs->size; at++)
        any |= whatifs->rows[at].possible;
    if (!any) {
        fputs("\nNot simulated: when the questions came is not recorded; --profile-rate X says how "
              "many a second\n",
              out);
        return;
    }
    fputs("\nWhat would change (simulated)                  p50         p99  saturates at\n", out);
    if (whatifs->compared) {
        fprintf(out, "  %-36s", "measured");
        print_cell(out, 13, format_duration(self->shares->p50_ms, a));
        print_cell(out, 12, format_duration(self->shares->p99_ms, b));
        fputc('\n', out);
    }
    for (size_t at = 0; at < whatifs->size; at++) {
        const whatif_t *row = &whatifs->rows[at];
        if (!row->possible)
            continue;
        fprintf(out, "  %-36s", row->name);
        print_cell(out, 13, format_duration(row->sim.p50_ms, a));
        print_cell(out, 12, format_duration(row->sim.p99_ms, b));
        print_cell(out, 14, rate_of(row->saturates, c));
        if (at == 0 && whatifs->compared)
            fprintf(out, "  error %.1f %%, %.1f %%", 100 * fabs(whatifs->error_p50),
                    100 * fabs(whatifs->error_p99));
        else if (row->over)
            fputs("  more than that come: the queue grows", out);
        else if (at > 0 && strcmp(row->first, whatifs->rows[0].first) != 0)
            fprintf(out, "  then %s", row->first);
        fputc('\n', out);
    }
}

void profile_text(FILE *out, const profile_t *self)
{
    text_head(out, self);
    text_shares(out, self);
    text_stations(out, self);
    text_whatifs(out, self);
}

// ---- JSON ---------------------------------------------------------------------------------------

static void set_number(json_t *object, const char *key, double value)
{
    // six digits after the point: no reader needs more, and the text is the same everywhere
    json_object_set_new(object, key, json_real(round(value * 1e6) / 1e6));
}

static json_t *stages_json(const profile_t *self)
{
    const names_t *names = recording_names(self->recording);
    json_t *list = json_array();
    for (size_t at = 0; at < self->shares->size; at++) {
        const share_t *row = &self->shares->rows[at];
        json_t *out = json_object();
        json_object_set_new(out, "stage", json_string(names_text(names, row->stage)));
        if (row->source != (uint32_t)RECORDING_NONE) {
            json_object_set_new(out, "source", json_string(names_text(names, row->source)));
            set_number(out, "source_share", row->source_part);
        }
        json_object_set_new(out, "on_path", json_integer((json_int_t)row->on_path));
        set_number(out, "p50_ms", row->p50_ms);
        set_number(out, "p99_ms", row->p99_ms);
        set_number(out, "without_p50_ms", row->without_50_ms);
        set_number(out, "without_p99_ms", row->without_99_ms);
        set_number(out, "own_p50_ms", row->own_p50_ms);
        set_number(out, "own_p99_ms", row->own_p99_ms);
        json_array_append_new(list, out);
    }
    return list;
}

static json_t *stations_json(const profile_t *self)
{
    json_t *list = json_array();
    station_t station;
    char name[WHATIF_NAME];
    for (size_t at = 0; model_station(self->model, at, &station); at++) {
        if (station.processes == 0)
            continue;
        json_t *out = json_object();
        model_station_name(self->model, &station, name, sizeof name);
        json_object_set_new(out, "station", json_string(name));
        json_object_set_new(out, "processes", json_integer((json_int_t)station.processes));
        if (station.servers < MODEL_ENDLESS)
            set_number(out, "servers", station.servers);
        json_object_set_new(out, "servers_measured", json_boolean(station.known));
        set_number(out, "demand_ms", station.demand_ms);
        if (station.saturates > 0)
            set_number(out, "saturates_per_s", station.saturates);
        if (station.busy >= 0)
            set_number(out, "busy", station.busy);
        json_array_append_new(list, out);
    }
    return list;
}

static json_t *whatifs_json(const profile_t *self)
{
    json_t *list = json_array();
    for (size_t at = 0; at < self->whatifs->size; at++) {
        const whatif_t *row = &self->whatifs->rows[at];
        if (!row->possible)
            continue;
        json_t *out = json_object();
        json_object_set_new(out, "what", json_string(row->name));
        set_number(out, "rate_per_s", row->sim.rate);
        set_number(out, "p50_ms", row->sim.p50_ms);
        set_number(out, "p90_ms", row->sim.p90_ms);
        set_number(out, "p99_ms", row->sim.p99_ms);
        set_number(out, "mean_ms", row->sim.mean_ms);
        set_number(out, "search_wait_ms", row->sim.search_wait_ms);
        set_number(out, "slot_wait_ms", row->sim.slot_wait_ms);
        if (row->saturates > 0) {
            set_number(out, "saturates_per_s", row->saturates);
            json_object_set_new(out, "saturates_first", json_string(row->first));
        }
        json_array_append_new(list, out);
    }
    return list;
}

void profile_json(FILE *out, const profile_t *self)
{
    json_t *all = json_object(), *first = json_object();
    json_object_set_new(all, "from", json_string(self->from));
    json_object_set_new(all, "answers", json_integer((json_int_t)recording_size(self->recording)));
    json_object_set_new(all, "with_first_token", json_integer((json_int_t)self->shares->answers));
    if (recording_rate(self->recording) > 0) {
        set_number(all, "seconds", recording_lasted_ms(self->recording) / 1000);
        set_number(all, "rate_per_s", recording_rate(self->recording));
    }
    set_number(first, "p50_ms", self->shares->p50_ms);
    set_number(first, "p99_ms", self->shares->p99_ms);
    set_number(first, "mean_ms", self->shares->mean_ms);
    json_object_set_new(all, "first_token", first);
    json_object_set_new(all, "stages", stages_json(self));
    json_object_set_new(all, "stations", stations_json(self));
    json_object_set_new(all, "simulated", whatifs_json(self));
    if (self->whatifs->compared) {
        json_t *error = json_object();
        set_number(error, "p50", self->whatifs->error_p50);
        set_number(error, "p99", self->whatifs->error_p99);
        json_object_set_new(all, "error", error);
    }
    json_dumpf(all, out, JSON_INDENT(1));
    fputc('\n', out);
    json_decref(all);
}
