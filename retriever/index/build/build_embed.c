// build_embed: has the embedding server embed the passages that are not in the cache.

#include "build_stages.h"

#include "clock.h"
#include "document_cut.h"
#include "fail.h"
#include "log.h"

enum {
    NOTE_US = 200 * 1000, // between two notes
};

static int next_to_embed(void *arg, vector_key_t *key, rl_buf_t *text)
{
    build_t *self = arg;
    spooled_t item;
    int rc;
    while ((rc = spool_next(self->spool, &item, self->why, BUILD_WHY)) > 0) {
        if (!vector_cache_take(self->cache, &item.key))
            continue; // there, or the same text as one before it
        *key = item.key;
        if (document_embedded(&self->plan->rules, &item.passage, text) == 0)
            return 1;
        return rl_fail(self->why, BUILD_WHY, "%s: a passage is too long to be embedded",
                       item.passage.doc);
    }
    return rc;
}

static int on_vector(void *arg, const vector_key_t *key, const float *vector, size_t dimension)
{
    build_t *self = arg;
    size_t others = vector_cache_dimension(self->cache);
    if (others && others != dimension)
        return rl_fail(self->why, BUILD_WHY,
                       "the embedding server's vectors have %zu numbers, those embedded before "
                       "with \"%s\" have %zu: another model under the same name? Then remove %s/%s",
                       dimension, self->plan->embedding.model, others, self->plan->out,
                       build_cache_name);
    if (vector_cache_put(self->cache, key, vector, dimension, self->why, BUILD_WHY) != 0)
        return -1;
    progress_at(self->progress, self->refused + ++self->embedded_now);
    return 0;
}

static void on_refused(void *arg, const vector_key_t *key, const char *why)
{
    build_t *self = arg;
    vector_cache_refuse(self->cache, key, why);
    progress_at(self->progress, ++self->refused + self->embedded_now);
}

// Several requests may report the same trouble at the same time: one of the notes is logged.
static void on_note(void *arg, const char *what)
{
    build_t *self = arg;
    if (rl_now_us() - self->noted < NOTE_US)
        return;
    self->noted = rl_now_us();
    progress_clear(self->progress);
    rl_warn("%s", what);
}

static void on_embedded(void *arg, const char *why)
{
    build_t *self = arg;
    self->cut = bulk_embed_cut(self->bulk);
    vector_cache_sync(self->cache);
    if (why) {
        build_fail(self, self->why[0] ? self->why : why); // its own reason says more
        return;
    }
    bulk_embed_destroy(&self->bulk);
    progress_end(self->progress);
    if (self->cut > 0)
        rl_warn("%llu passages have more tokens than the model reads, of these only the beginning "
                "is embedded: set embed.max_tokens to what it reads",
                (unsigned long long)self->cut);
    if (spool_rewind(self->spool, self->why, BUILD_WHY) != 0) {
        build_fail(self, self->why);
        return;
    }
    progress_begin(self->progress, "writing", "passages", self->passages);
    build_set_state(self, BUILD_WRITING);
}

void build_embed(build_t *self)
{
    bulk_calls_t calls = {.next = next_to_embed,
                          .vector = on_vector,
                          .refused = on_refused,
                          .note = on_note,
                          .done = on_embedded,
                          .arg = self};
    progress_begin(self->progress, "embedding", "passages", self->to_embed);
    self->bulk = bulk_embed_new(rl_proc_base(self->proc), &self->plan->embedding, &calls);
}
