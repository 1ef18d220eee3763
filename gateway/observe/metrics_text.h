// metrics_text: writes metrics in Prometheus's text format 0.0.4 or, for clients that ask for it,
// in OpenMetrics 1.0, which differ in how a counter's family is named, in exemplars and in the end.
// https://prometheus.io/docs/instrumenting/exposition_formats/
// https://prometheus.io/docs/specs/om/open_metrics_spec/
#ifndef METRICS_TEXT_H
#define METRICS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"

enum {
    METRICS_TEXT_MAX_BYTES = 8 << 20,
    METRICS_TEXT_MAX_LABELS = 1024, // bytes of a sample's labels
};

typedef struct metrics_text {
    rl_buf_t out; // out.full: it is not to be sent
    bool open;    // OpenMetrics
} metrics_text_t;

// By the Accept header, NULL if there is none.
metrics_text_t metrics_text_make(const char *accept);
void metrics_text_free(metrics_text_t *self);
const char *metrics_text_type(const metrics_text_t *self); // of the content
void metrics_text_end(metrics_text_t *self);

// Begins a family; its samples follow at once. `type` is "counter" (the name ends in _total),
// "gauge" or "histogram".
void metrics_text_family(metrics_text_t *self, const char *name, const char *type,
                         const char *help);
// A sample; `labels` is "" or what metrics_text_label made.
void metrics_text_value(metrics_text_t *self, const char *name, const char *labels, double value);
// A sample with these labels: names and values in turn, up to a NULL name; one with a NULL value is
// left out.
void metrics_text_sample(metrics_text_t *self, const char *name, double value, ...)
    __attribute__((sentinel));
// A family of one sample without labels.
void metrics_text_one(metrics_text_t *self, const char *name, const char *type, const char *help,
                      double value);
// Appends name="value" to `labels` (METRICS_TEXT_MAX_LABELS bytes, a string), behind a comma where
// it is not the first; the value is escaped. One that does not fit is left out.
void metrics_text_label(char *labels, const char *name, const char *value);

#endif
