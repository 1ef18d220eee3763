// model_fingerprint: what writes answers, as one short text: the server that is asked first, its
// model, and every setting that its answers depend on. Gateways that keep answers
// (cache.answers_mb) give one back only while a generator would ask the same again.
#ifndef MODEL_FINGERPRINT_H
#define MODEL_FINGERPRINT_H

#include "upstreams.h"

enum {
    MODEL_FINGERPRINT = 17, // bytes of it, with its NUL
};

// A hash of what was configured: where the server is, sampling fields, template, limits. To be made
// when the rest of `upstream` is set; `settings` is NULL for the extractive one.
uint64_t model_fingerprint_of_settings(const upstream_t *upstream,
                                       const backend_settings_t *settings);

// Of this one, if it is the first in the order and its model is known; "" otherwise: an answer of
// one that stands in for another is not what the next question should get.
void model_fingerprint(const upstreams_t *self, const upstream_t *upstream,
                       char out[MODEL_FINGERPRINT]);

#endif
