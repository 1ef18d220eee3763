// build_stages: the state of a build, its ends, and what several stages need.
#include "build_stages.h"

#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "fail.h"
#include "log.h"
#include "mem.h"

const char build_cache_name[] = "embeddings.cache";

void build_set_state(build_t *self, build_state_t state)
{
    self->state = state;
    if (state != BUILD_ENDED && state != BUILD_EMBEDDING && state != BUILD_LOADING)
        event_active(self->turn, EV_TIMEOUT, 1);
}

// ---- ends ---------------------------------------------------------------------------------------

void build_end(build_t *self, int status)
{
    if (self->state == BUILD_ENDED)
        return;
    build_set_state(self, BUILD_ENDED);
    progress_clear(self->progress);
    rl_proc_end(self->proc, status);
}

// Says what is not in the index. False if the report could not be written.
static bool finish_report(build_t *self)
{
    char why[BUILD_WHY];
    if (report_finish(self->report, why, sizeof why) == 0)
        return true;
    rl_error("%s", why);
    return false;
}

void build_fail(build_t *self, const char *why)
{
    if (self->state == BUILD_ENDED)
        return;
    finish_report(self);
    progress_clear(self->progress);
    rl_error("%s", why); // first: `why` may belong to what is given up next
    bulk_embed_destroy(&self->bulk);
    generation_writer_abandon(&self->writer);
    if (self->plan->engine) {
        rl_error("the load has not been finished; run again, it ends as if nothing had happened");
        build_end(self, BUILD_FAILED);
        return;
    }
    char name[STORE_NAME], ignored[256];
    bool old = store_current(self->plan->out, name, ignored, sizeof ignored) == 0;
    rl_error("no index was built%s%s%s%s", old ? "; " : "", old ? name : "",
             old ? " stays in force" : "",
             self->embedded_now > 0 ? "; what was embedded is kept for the next run" : "");
    build_end(self, BUILD_FAILED);
}

void build_succeed(build_t *self)
{
    bool whole = finish_report(self) && report_faults(self->report) == 0;
    build_end(self, whole ? BUILD_WHOLE : BUILD_PARTS);
}

// ---- what stages share --------------------------------------------------------------------------

// Zeros, whose inner product with each question is 0: the retriever takes such a passage for none
// that was found.
static int give_zeros(build_t *self, const spooled_t *item, const char *refusal,
                      const float **vector, size_t *dimension)
{
    *dimension = vector_cache_dimension(self->cache);
    if (*dimension == 0)
        return rl_fail(self->why, BUILD_WHY,
                       "the embedding server gives no vector for any text: of %s it %s",
                       item->passage.doc, refusal);
    if (!self->zeros)
        self->zeros = rl_alloc_array(*dimension, sizeof *self->zeros);
    *vector = self->zeros;
    return 0;
}

int build_vector(build_t *self, const spooled_t *item, const float **vector, size_t *dimension,
                 const char **refusal)
{
    *refusal = NULL;
    *vector = self->mode == BUILD_LEXICAL ? NULL : item->vector;
    *dimension = self->mode == BUILD_LEXICAL ? 0 : item->vector_size;
    if (self->mode != BUILD_EMBEDDED)
        return 0;
    *refusal = vector_cache_refusal(self->cache, &item->key);
    if (*refusal)
        return give_zeros(self, item, *refusal, vector, dimension);
    *vector = vector_cache_get(self->cache, &item->key, dimension, self->why, BUILD_WHY);
    return *vector ? 0 : -1;
}

void build_name_vectorless(build_t *self, const spooled_t *item, const char *refusal)
{
    char *detail =
        rl_format("a passage is found by its words only: the embedding server %s", refusal);
    report_add(self->report, REPORT_EMBEDDING, REPORT_IN_PART, item->passage.doc, 0, detail);
    free(detail);
}

int build_turn_spool(build_t *self, int (*fn)(build_t *self, const spooled_t *item))
{
    uint64_t until = rl_now_us() + BUILD_TURN_US;
    int rc;
    do {
        spooled_t item;
        rc = spool_next(self->spool, &item, self->why, BUILD_WHY);
        if (rc > 0 && fn(self, &item) != 0)
            rc = -1;
    } while (rc > 0 && rl_now_us() < until);
    if (rc < 0)
        build_fail(self, self->why);
    return rc;
}

void build_prune_cache(build_t *self)
{
    if (self->cache && vector_cache_prune(self->cache, self->why, BUILD_WHY) != 0)
        rl_warn("%s (the cache keeps what is no longer needed)", self->why);
}

void build_print_kind(const build_t *self)
{
    if (self->mode == BUILD_LEXICAL)
        printf(", lexical only\n");
    else
        printf(", %zu dimensions (%s)\n", self->dimension, self->plan->embedding.model);
}

void build_print_duration(const build_t *self)
{
    char took[40];
    progress_duration((double)(rl_now_us() - self->began) / 1e6, took, sizeof took);
    printf("done in %s\n", took);
    fflush(stdout);
}
