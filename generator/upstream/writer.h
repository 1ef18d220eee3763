// writer: what writes answers, as one short text: the server that is asked first, its model, and
// every setting that its answers depend on. Gateways that keep answers (cache.answers_mb) give one
// back only while a generator would ask the same again.
#ifndef GEN_WRITER_H
#define GEN_WRITER_H

#include "upstreams.h"

enum {
    GEN_WRITER = 17, // bytes of it, with its NUL
};

// A hash of what was configured: where the server is, sampling fields, template, limits. To be made
// when the rest of `upstream` is set; `settings` is NULL for the extractive one.
uint64_t gen_writer_settings(const gen_upstream_t *upstream, const upstream_settings_t *settings);

// Of this one, if it is the first in the order and its model is known; "" otherwise: an answer of
// one that stands in for another is not what the next question should get.
void gen_writer(const gen_upstreams_t *self, const gen_upstream_t *upstream, char out[GEN_WRITER]);

#endif
