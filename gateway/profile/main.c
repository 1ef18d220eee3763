// ragline-profile: from recorded timelines to a decision: which stage the first token waits for,
// which saturates first, and what one more of something would change.
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "fetch.h"
#include "gateway_cpu.h"
#include "log.h"
#include "proc.h"
#include "profile_report.h"
#include "read.h"

enum {
    ENDED_WELL = 0,
    NO_PROFILE = 1, // what was read gives none
    WRONG_USE = 2,
    UNREACHED = 3,
    MIN_ANSWERS = 20, // fewer have no 99th percentile worth the name
    READ_BYTES = 65536,
    FETCH_MS = 60000,
    METRICS_MAX = 16 << 20,
};

static const char usage[] =
    "ragline-profile [options] FILE|URL\n"
    "\n"
    "Reads recorded timelines and says which stage the first token waits for, about the median and at\n"
    "p99, how busy each station is and which saturates first, and, by simulation, what one more\n"
    "retriever, generator or gateway would change. FILE holds what GET /v1/traces answered, or timings\n"
    "objects one after the other, or events saved by a client; - is standard input. URL is a gateway.\n"
    "\n"
    "  ragline-profile http://127.0.0.1:8080\n"
    "  ragline-profile --profile-retrievers x2 --profile-rate 40 traces.json\n"
    "  ragline-profile --json traces.json | jq .stations\n"
    "\n"
    "Exit status: 0 done, 1 what was read gives no profile, 2 wrong use, 3 the gateway cannot be\n"
    "reached or refuses.\n";

typedef struct work {
    rl_proc_t *proc;
    const char *from;
    recording_t *recording;
    reading_t *reading;
    rl_fetcher_t *fetcher;
    double gateway_ms; // CPU for a question, as a gateway's metrics say; 0: not known
} work_t;

static void on_value(void *arg, const json_t *value)
{
    recording_take(arg, value);
}

static int complain_about(const char *from, const char *why, int status)
{
    fprintf(stderr, "ragline-profile: %s: %s\n", from, why);
    return status;
}

// ---- reading ------------------------------------------------------------------------------------

static int read_file(work_t *self)
{
    bool standard = strcmp(self->from, "-") == 0;
    FILE *in = standard ? stdin : fopen(self->from, "rb");
    char data[READ_BYTES];
    size_t got;
    if (!in)
        return complain_about(self->from, strerror(errno), NO_PROFILE);
    while ((got = fread(data, 1, sizeof data, in)) > 0 &&
           reading_feed(self->reading, data, got) == 0)
        ;
    int fault = ferror(in) ? errno : 0;
    if (!standard)
        fclose(in);
    if (fault)
        return complain_about(self->from, strerror(fault), NO_PROFILE);
    if (reading_end(self->reading) != 0)
        return complain_about(self->from, reading_error(self->reading), NO_PROFILE);
    return ENDED_WELL;
}

static bool on_data(void *arg, const char *data, size_t size)
{
    work_t *self = arg;
    reading_feed(self->reading, data, size); // what is wrong is said at the end
    return true;
}

static void on_metrics(void *arg, const rl_fetch_result_t *result)
{
    work_t *self = arg;
    if (result->ok && result->status == 200)
        self->gateway_ms = gateway_cpu_ms(result->body);
    rl_proc_end(self->proc, ENDED_WELL); // it goes without them as well
}

static bool fetch_traces(work_t *self, const char *path, bool (*data)(void *, const char *, size_t),
                         void (*done)(void *, const rl_fetch_result_t *));

static void on_traces(void *arg, const rl_fetch_result_t *result)
{
    work_t *self = arg;
    char why[300];
    int status = ENDED_WELL;
    if (!result->ok)
        status = complain_about(self->from, result->error, UNREACHED);
    else if (result->status != 200) {
        snprintf(why, sizeof why, "HTTP %ld%s", result->status,
                 result->status == 404   ? ": it keeps no traces (gateway.traces) or is no gateway"
                 : result->status == 401 ? ": it wants an API key (profile.key)"
                 : result->status == 403 ? ": this API key may not see traces"
                                         : "");
        status = complain_about(self->from, why, UNREACHED);
    } else if (reading_end(self->reading) != 0) {
        status = complain_about(self->from, reading_error(self->reading), NO_PROFILE);
    }
    if (status != ENDED_WELL || !fetch_traces(self, "/metrics", NULL, on_metrics))
        rl_proc_end(self->proc, status);
}

static void on_stop(void *arg)
{
    work_t *self = arg;
    rl_proc_end(self->proc, 130);
}

// The address of something of the gateway; NULL where the URL names something itself ("/v1/…").
static char *make_url(const char *from, const char *path)
{
    rl_buf_t url = rl_buf_make(4096);
    size_t size = strlen(from);
    if (strstr(from, "/v1/"))
        return NULL;
    while (size > 0 && from[size - 1] == '/')
        size--;
    if (size >= 3 && memcmp(from + size - 3, "/v1", 3) == 0)
        size -= 3;
    rl_buf_add(&url, from, size);
    rl_buf_adds(&url, path);
    return rl_buf_take(&url);
}

static bool fetch_traces(work_t *self, const char *path, bool (*data)(void *, const char *, size_t),
                         void (*done)(void *, const rl_fetch_result_t *))
{
    char *url = make_url(self->from, path);
    rl_fetch_request_t request = {.url = url ? url : self->from,
                                  .bearer = rl_conf_secret(rl_proc_conf(self->proc), "profile.key"),
                                  .timeout_ms = FETCH_MS,
                                  .max_body = METRICS_MAX,
                                  .on_data = data,
                                  .on_done = done,
                                  .arg = self};
    bool started = (url || done == on_traces) && rl_fetch_start(self->fetcher, &request);
    free(url);
    return started;
}

static int read_url(work_t *self)
{
    self->fetcher = rl_fetcher_new(rl_proc_base(self->proc), 1);
    rl_proc_on_stop(self->proc, on_stop, self);
    // 10,000 are the most that it gives
    if (!self->fetcher || !fetch_traces(self, "/v1/traces?limit=10000", on_data, on_traces))
        return complain_about(self->from, "is no http(s) URL", WRONG_USE);
    return rl_proc_run(self->proc);
}

// ---- the profile --------------------------------------------------------------------------------

static bool read_settings(const rl_conf_t *conf, model_settings_t *model, whatif_settings_t *whatif)
{
    static const char *const names[] = {"profile.retrievers", "profile.generators",
                                        "profile.gateways"};
    more_t *more[] = {&whatif->retrievers, &whatif->generators, &whatif->gateways};
    for (size_t at = 0; at < sizeof names / sizeof *names; at++)
        if (!more_read(rl_conf_str(conf, names[at]), more[at])) {
            fprintf(stderr,
                    "ragline-profile: %s is %s: it may be +N (so many more) or xN (so many "
                    "times as many)\n",
                    names[at], rl_conf_str(conf, names[at]));
            return false;
        }
    *model = (model_settings_t){.threads = (unsigned)rl_conf_int(conf, "profile.threads"),
                                .slots = (unsigned)rl_conf_int(conf, "profile.slots"),
                                .embed_slots = (unsigned)rl_conf_int(conf, "profile.embed_slots"),
                                .llm_slots = (unsigned)rl_conf_int(conf, "profile.llm_slots"),
                                .gateways = 1,
                                .gateway_ms = rl_conf_num(conf, "profile.gateway_ms")};
    whatif->rate = rl_conf_num(conf, "profile.rate");
    whatif->poisson = rl_conf_bool(conf, "profile.poisson");
    whatif->seed = (uint64_t)rl_conf_int(conf, "profile.seed");
    return true;
}

static int has_enough(const work_t *self)
{
    char why[300];
    size_t answers = recording_size(self->recording);
    if (answers >= MIN_ANSWERS)
        return ENDED_WELL;
    if (answers == 0 && recording_foreign(self->recording) > 0)
        snprintf(why, sizeof why,
                 "none of its %zu JSON values is a timeline: they have total_ms and states",
                 recording_foreign(self->recording));
    else
        snprintf(why, sizeof why, "%zu answer%s: a profile wants %d at least", answers,
                 answers == 1 ? "" : "s", MIN_ANSWERS);
    return complain_about(self->from, why, NO_PROFILE);
}

static int make_profile(const work_t *self, const model_settings_t *settings,
                        const whatif_settings_t *asked)
{
    const rl_conf_t *conf = rl_proc_conf(self->proc);
    static shares_t shares;
    static whatifs_t whatifs;
    profile_t profile = {.from = self->from,
                         .recording = self->recording,
                         .shares = &shares,
                         .whatifs = &whatifs,
                         .window_s = rl_conf_num(conf, "profile.window_s"),
                         .read = recording_size(self->recording)};
    int status = has_enough(self);
    if (status != ENDED_WELL)
        return status;
    recording_busiest(self->recording, profile.window_s);
    shares_of(self->recording, &shares);
    if (shares.answers < MIN_ANSWERS)
        return complain_about(self->from, "too few of its answers have a first token", NO_PROFILE);
    model_t *model = model_new(self->recording, settings);
    profile.model = model;
    whatif_all(model, &shares, asked, &whatifs);
    if (rl_conf_has_flag(conf, "json"))
        profile_json(stdout, &profile);
    else
        profile_text(stdout, &profile);
    model_destroy(&model);
    return fflush(stdout) == 0 ? ENDED_WELL : complain_about("standard output", strerror(errno), 1);
}

static int run_program(work_t *self)
{
    const rl_conf_t *conf = rl_proc_conf(self->proc);
    model_settings_t settings;
    whatif_settings_t asked;
    if (!read_settings(conf, &settings, &asked))
        return WRONG_USE;
    if (rl_conf_args(conf) != 1) {
        fputs("ragline-profile: one FILE or URL is wanted (--help says more)\n", stderr);
        return WRONG_USE;
    }
    self->from = rl_conf_arg(conf, 0);
    self->recording = recording_new();
    self->reading = reading_new(on_value, self->recording);
    bool url = strncmp(self->from, "http://", 7) == 0 || strncmp(self->from, "https://", 8) == 0;
    int status = url ? read_url(self) : read_file(self);
    settings.gateway_most_ms = self->gateway_ms;
    return status == ENDED_WELL ? make_profile(self, &settings, &asked) : status;
}

int main(int argc, char **argv)
{
    int status;
    setlocale(LC_CTYPE, "");
    work_t self = {.proc = rl_proc_new(RL_PROFILE, "profile", usage, argc, argv, &status)};
    if (!self.proc)
        return status;
    const rl_conf_t *conf = rl_proc_conf(self.proc);
    if (!rl_conf_given(conf, "log.level"))
        rl_log_setup("ragline-profile", "warn",
                     strcmp(rl_conf_str(conf, "log.format"), "json") == 0);
    status = run_program(&self);
    reading_destroy(&self.reading);
    recording_destroy(&self.recording);
    rl_fetcher_destroy(&self.fetcher);
    rl_proc_destroy(&self.proc);
    return status;
}
