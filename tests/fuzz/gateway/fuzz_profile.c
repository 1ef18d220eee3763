// A recording of timelines: whatever is in it, it is refused or profiled, and read the same however
// its bytes are cut.
#include "profile_report.h"
#include "read.h"
#include "scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void take(void *arg, const json_t *value)
{
    recording_take(arg, value);
}

// Returns whether the reading said that all is well.
static bool read_all(recording_t *recording, const uint8_t *data, size_t size, size_t step)
{
    reading_t *reading = reading_new(take, recording);
    int status = 0;
    for (size_t at = 0; at < size && status == 0; at += step)
        status =
            reading_feed(reading, (const char *)data + at, size - at < step ? size - at : step);
    bool well = reading_end(reading) == 0;
    if (well != (*reading_error(reading) == '\0'))
        abort();
    reading_destroy(&reading);
    return well;
}

static void profile(recording_t *recording)
{
    static shares_t shares;
    static whatifs_t whatifs;
    whatif_settings_t asked = {
        .retrievers = {1, 2}, .generators = {1, 2}, .gateways = {1, 2}, .rate = 5, .seed = 1};
    recording_busiest(recording, 3600);
    shares_of(recording, &shares);
    model_t *model = model_new(recording, &(model_settings_t){.embed_slots = 1, .llm_slots = 2});
    // the whole of whatif_all simulates tens of thousands of questions: one run says as much here
    sim_load_t load = {.rate = asked.rate, .least = 50, .seed = 1};
    whatifs.size = 1;
    whatifs.rows[0].possible = sim_run(model, &load, &whatifs.rows[0].sim);
    model_t *more = model_copy(model);
    model_multiply_retrievers(more, asked.retrievers.times);
    model_add_retrievers(more, asked.retrievers.add);
    model_multiply_generators(more, asked.generators.times);
    model_add_generators(more, asked.generators.add);
    sim_run(more, &(sim_load_t){.least = 50, .seed = 2}, &whatifs.rows[0].sim);
    model_destroy(&more);
    FILE *out = fopen("/dev/null", "w");
    const profile_t told = {.from = "-",
                            .recording = recording,
                            .model = model,
                            .shares = &shares,
                            .whatifs = &whatifs,
                            .window_s = 3600,
                            .read = recording_size(recording)};
    if (!out)
        abort();
    profile_text(out, &told);
    profile_json(out, &told);
    fclose(out);
    model_destroy(&model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    recording_t *whole = recording_new(), *cut = recording_new();
    bool well = read_all(whole, data, size, size + 1);
    if (read_all(cut, data, size, 3) != well || recording_size(cut) != recording_size(whole) ||
        recording_foreign(cut) != recording_foreign(whole))
        abort();
    if (well)
        profile(whole);
    recording_destroy(&whole);
    recording_destroy(&cut);
    return 0;
}
