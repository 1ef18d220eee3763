// metrics_text: Prometheus's text format, and OpenMetrics.
#include "metrics_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

metrics_text_t metrics_text_make(const char *accept)
{
    return (metrics_text_t){.out = rl_buf_make(METRICS_TEXT_MAX_BYTES),
                            .open = accept && strstr(accept, "application/openmetrics-text")};
}

void metrics_text_free(metrics_text_t *self)
{
    rl_buf_free(&self->out);
}

const char *metrics_text_type(const metrics_text_t *self)
{
    return self->open ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                      : "text/plain; version=0.0.4; charset=utf-8";
}

void metrics_text_end(metrics_text_t *self)
{
    if (self->open)
        rl_buf_adds(&self->out, "# EOF\n");
}

void metrics_text_family(metrics_text_t *self, const char *name, const char *type, const char *help)
{
    static const char total[] = "_total";
    size_t size = strlen(name), tail = sizeof total - 1;
    // OpenMetrics names the family, the text format its samples
    if (self->open && size > tail && strcmp(name + size - tail, total) == 0)
        size -= tail;
    rl_buf_addf(&self->out, "# HELP %.*s %s\n# TYPE %.*s %s\n", (int)size, name, help, (int)size,
                name, type);
}

void metrics_text_value(metrics_text_t *self, const char *name, const char *labels, double value)
{
    rl_buf_addf(&self->out, *labels ? "%s{%s} %.15g\n" : "%s%s %.15g\n", name, labels, value);
}

void metrics_text_sample(metrics_text_t *self, const char *name, double value, ...)
{
    char labels[METRICS_TEXT_MAX_LABELS] = "";
    va_list args;
    va_start(args, value);
    for (const char *label; (label = va_arg(args, const char *));) {
        const char *text = va_arg(args, const char *);
        if (text)
            metrics_text_label(labels, label, text);
    }
    va_end(args);
    metrics_text_value(self, name, labels, value);
}

void metrics_text_one(metrics_text_t *self, const char *name, const char *type, const char *help,
                      double value)
{
    metrics_text_family(self, name, type, help);
    metrics_text_value(self, name, "", value);
}

void metrics_text_label(char *labels, const char *name, const char *value)
{
    size_t start = strlen(labels), max = METRICS_TEXT_MAX_LABELS, at = start;
    int head = snprintf(labels + at, max - at, "%s%s=\"", start > 0 ? "," : "", name);
    at += (size_t)head;
    for (; *value && at + 4 < max; value++) {
        if (*value == '\\' || *value == '"' || *value == '\n')
            labels[at++] = '\\';
        labels[at++] = *value == '\n' ? 'n' : *value;
    }
    if (*value || at + 2 > max) {
        labels[start] = 0;
        return;
    }
    labels[at++] = '"';
    labels[at] = 0;
}
