// build_embed: what is not in the cache yet, by the embedding server.

#include "build_stages.h"

#include "clock.h"
#include "log.h"

#include <stdio.h>
#include <string.h>

enum {
    NOTE_US = 200 * 1000 // at most a note in this time
};

static int next_to_embed(void *arg, rl_vector_key_t *key, rl_buf_t *text)
{
    rl_build_t *self = arg;
    rl_spooled_t item;
    int rc;
    while ((rc = rl_spool_next(self->spool, &item, self->why, RL_BUILD_WHY)) > 0) {
        if (!rl_vector_cache_take(self->cache, &item.key))
            continue; // there, or the same text as one before it
        *key = item.key;
        const rl_passage_t *passage = &item.passage;
        if (rl_chunk_embedded(&self->plan->rules, passage->title, passage->heading, passage->text,
                              strlen(passage->text), text) == 0)
            return 1;
        snprintf(self->why, RL_BUILD_WHY, "out of memory");
        return -1;
    }
    return rc;
}

static int on_vector(void *arg, const rl_vector_key_t *key, const float *vector, size_t dimension)
{
    rl_build_t *self = arg;
    size_t others = rl_vector_cache_dimension(self->cache);
    if (others && others != dimension) {
        snprintf(self->why, RL_BUILD_WHY,
                 "the embedding server's vectors have %zu numbers, those embedded before with "
                 "\"%s\" have %zu: another model under the same name? Then remove %s/%s",
                 dimension, self->plan->model, others, self->plan->out, rl_build_cache_name);
        return -1;
    }
    if (rl_vector_cache_put(self->cache, key, vector, dimension, self->why, RL_BUILD_WHY) != 0)
        return -1;
    rl_meter_at(self->meter, ++self->embedded_now);
    return 0;
}

static void on_note(void *arg, const char *what)
{
    rl_build_t *self = arg;
    if (rl_now_us() - self->noted < NOTE_US)
        return; // every request under way would say the same
    self->noted = rl_now_us();
    rl_meter_clear(self->meter);
    rl_warn("%s", what);
}

static void on_embedded(void *arg, const char *why)
{
    rl_build_t *self = arg;
    self->cut = rl_bulk_embed_cut(self->bulk);
    rl_vector_cache_sync(self->cache);
    if (why) {
        rl_build_fail(self,
                      self->why[0] ? self->why : why); // its words live as long as the transfer
        return;
    }
    rl_bulk_embed_destroy(&self->bulk);
    rl_meter_end(self->meter);
    if (self->cut > 0)
        rl_warn("%llu passages have more tokens than the model reads, of these only the beginning "
                "is embedded: set embed.max_tokens to what it reads",
                (unsigned long long)self->cut);
    if (rl_spool_rewind(self->spool, self->why, RL_BUILD_WHY) != 0) {
        rl_build_fail(self, self->why);
        return;
    }
    rl_meter_begin(self->meter, "writing", "passages", self->passages);
    rl_build_set_state(self, RL_BUILD_WRITING);
}

void rl_build_embed(rl_build_t *self)
{
    const rl_plan_t *plan = self->plan;
    rl_bulk_settings_t settings = {.url = plan->url,
                                   .model = plan->model,
                                   .key = plan->key,
                                   .batch = plan->batch,
                                   .requests = plan->requests,
                                   .retries = plan->retries,
                                   .timeout_ms = plan->timeout_ms};
    rl_bulk_calls_t calls = {.next = next_to_embed,
                             .vector = on_vector,
                             .note = on_note,
                             .done = on_embedded,
                             .arg = self};
    rl_meter_begin(self->meter, "embedding", "passages", self->to_embed);
    self->bulk = rl_bulk_embed_new(rl_proc_base(self->proc), &settings, &calls);
    if (!self->bulk)
        rl_build_fail(self, "out of memory");
}
