// writer: what writes answers, as one short text.
#include "writer.h"

#include <stdio.h>
#include <string.h>

#include "template.h"
#include "hash.h"

enum {
    MAX_TEXT = 4 << 20, // of what is hashed; a template is the largest part
};

// Lengths tell where one part ends.
static void add(rl_buf_t *text, const char *part)
{
    rl_buf_addf(text, "%zu:", strlen(part));
    rl_buf_adds(text, part);
}

uint64_t gen_writer_settings(const gen_upstream_t *upstream, const upstream_settings_t *settings)
{
    rl_buf_t text = rl_buf_make(MAX_TEXT);
    add(&text, RAGLINE_VERSION); // the form of a prompt may change with it
    add(&text, upstream->backend->type->name);
    rl_buf_addf(&text, "%zu,%zu,%llu,", upstream->context_tokens, upstream->max_tokens,
                (unsigned long long)upstream->target_us);
    if (settings) {
        add(&text, settings->url);
        add(&text, settings->params);
    }
    if (upstream->template)
        add(&text, upstream->template->source);
    uint64_t hash = rl_hash64(text.data, text.size);
    rl_buf_free(&text);
    return hash;
}

void gen_writer(const gen_upstreams_t *self, const gen_upstream_t *upstream, char out[GEN_WRITER])
{
    const char *model = upstream->backend->type->model(upstream->backend);
    *out = '\0';
    if (gen_upstreams_place(self, upstream) == 0 && *model)
        snprintf(out, GEN_WRITER, "%016llx",
                 (unsigned long long)(upstream->settings ^ rl_hash64(model, strlen(model))));
}
