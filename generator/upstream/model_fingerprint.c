// model_fingerprint: what writes answers, as one short text.
#include "model_fingerprint.h"

#include <stdio.h>
#include <string.h>

#include "hash.h"
#include "template.h"

enum {
    MAX_TEXT = 4 << 20, // of what is hashed; a template is the largest part
};

// Lengths tell where one part ends.
static void add_part(rl_buf_t *text, const char *part)
{
    rl_buf_addf(text, "%zu:", strlen(part));
    rl_buf_adds(text, part);
}

uint64_t model_fingerprint_of_settings(const upstream_t *upstream,
                                       const backend_settings_t *settings)
{
    rl_buf_t text = rl_buf_make(MAX_TEXT);
    add_part(&text, RAGLINE_VERSION); // the form of a prompt may change with it
    add_part(&text, upstream->backend->type->name);
    rl_buf_addf(&text, "%zu,%zu,%llu,", upstream->context_tokens, upstream->max_tokens,
                (unsigned long long)upstream->target_us);
    if (settings) {
        add_part(&text, settings->url);
        add_part(&text, settings->params);
    }
    if (upstream->template)
        add_part(&text, upstream->template->source);
    uint64_t hash = rl_hash64(text.data, text.size);
    rl_buf_free(&text);
    return hash;
}

void model_fingerprint(const upstreams_t *self, const upstream_t *upstream,
                       char out[MODEL_FINGERPRINT])
{
    const char *model = upstream->backend->type->model(upstream->backend);
    *out = '\0';
    if (upstreams_index_of(self, upstream) == 0 && *model)
        snprintf(out, MODEL_FINGERPRINT, "%016llx",
                 (unsigned long long)(upstream->settings ^ rl_hash64(model, strlen(model))));
}
