// otlp_json: spans in OTLP's JSON form.
#include "otlp_json.h"

#include <stdlib.h>
#include <string.h>

#include "json_write.h"
#include "trace_context.h"
#include "utf8.h"

enum {
    STATUS_ERROR = 2, // Status.StatusCode
    // Span.flags, above the W3C's: whether the parent is another process's, and that this is known
    FLAG_HAS_REMOTE = 0x100,
    FLAG_REMOTE = 0x200,
};

#define ADD(out, literal) rl_buf_add(out, literal, sizeof literal - 1)

// A collector refuses a whole batch for one byte that is not UTF-8.
static void add_json(rl_buf_t *out, const char *value)
{
    size_t size = strlen(value);
    if (rl_utf8_valid(value, size)) {
        rl_buf_add_json(out, value, size);
        return;
    }
    char *good = rl_utf8_repair(value, size, &size);
    rl_buf_add_json(out, good ? good : "", good ? size : 0);
    free(good);
}

// Nanoseconds, as text.
static void add_time(rl_buf_t *out, uint64_t unix_us)
{
    ADD(out, "\"");
    rl_json_add_count(out, unix_us);
    ADD(out, "000\"");
}

// ---- spans --------------------------------------------------------------------------------------

static void add_name(rl_buf_t *out, const char *name, const char *of)
{
    if (!of || !*of) {
        add_json(out, name);
        return;
    }
    rl_buf_t both = rl_buf_make(strlen(name) + strlen(of) + 2);
    rl_buf_adds(&both, name);
    ADD(&both, " ");
    rl_buf_adds(&both, of);
    add_json(out, both.data ? both.data : name);
    rl_buf_free(&both);
}

void otlp_begin(otlp_writer_t *self, const otlp_span_t *span)
{
    rl_buf_t *out = self->out;
    if (self->spans++ > 0)
        ADD(out, ",");
    ADD(out, "{\"traceId\":\"");
    rl_buf_adds(out, span->trace_id);
    ADD(out, "\",\"spanId\":\"");
    rl_buf_adds(out, span->id);
    if (*span->parent) {
        ADD(out, "\",\"parentSpanId\":\"");
        rl_buf_adds(out, span->parent);
    }
    if (*span->state) {
        ADD(out, "\",\"traceState\":");
        add_json(out, span->state);
        ADD(out, ",\"flags\":");
    } else {
        ADD(out, "\",\"flags\":");
    }
    rl_json_add_count(out, TRACE_SAMPLED | FLAG_HAS_REMOTE | (span->remote ? FLAG_REMOTE : 0u));
    ADD(out, ",\"kind\":");
    rl_json_add_count(out, (uint64_t)span->kind);
    ADD(out, ",\"name\":");
    add_name(out, span->name, span->of);
    ADD(out, ",\"startTimeUnixNano\":");
    add_time(out, span->start_us);
    ADD(out, ",\"endTimeUnixNano\":");
    add_time(out, span->end_us);
    ADD(out, ",\"attributes\":[");
    self->some = self->events = false;
}

void otlp_event(otlp_writer_t *self, const char *name, uint64_t unix_us)
{
    if (self->events)
        ADD(self->out, ",{\"timeUnixNano\":");
    else
        ADD(self->out, "],\"events\":[{\"timeUnixNano\":");
    add_time(self->out, unix_us);
    ADD(self->out, ",\"name\":\"");
    rl_buf_adds(self->out, name);
    ADD(self->out, "\"}");
    self->events = true;
}

void otlp_end(otlp_writer_t *self, const char *error, const char *words)
{
    ADD(self->out, "]");
    if (error) {
        ADD(self->out, ",\"status\":{\"code\":");
        rl_json_add_count(self->out, STATUS_ERROR);
        ADD(self->out, ",\"message\":");
        add_json(self->out, words);
        ADD(self->out, "}");
    }
    ADD(self->out, "}");
}

// ---- attributes ---------------------------------------------------------------------------------

static void begin_attribute(otlp_writer_t *self, const char *name)
{
    if (self->some)
        ADD(self->out, ",{\"key\":\"");
    else
        ADD(self->out, "{\"key\":\"");
    rl_buf_adds(self->out, name);
    self->some = true;
}

void otlp_text(otlp_writer_t *self, const char *name, const char *value)
{
    if (!value || !*value)
        return;
    begin_attribute(self, name);
    ADD(self->out, "\",\"value\":{\"stringValue\":");
    add_json(self->out, value);
    ADD(self->out, "}}");
}

void otlp_list(otlp_writer_t *self, const char *name, const char *value)
{
    if (!value || !*value)
        return;
    begin_attribute(self, name);
    ADD(self->out, "\",\"value\":{\"arrayValue\":{\"values\":[{\"stringValue\":");
    add_json(self->out, value);
    ADD(self->out, "}]}}}");
}

void otlp_number(otlp_writer_t *self, const char *name, uint64_t value)
{
    begin_attribute(self, name);
    ADD(self->out, "\",\"value\":{\"intValue\":\"");
    rl_json_add_count(self->out, value);
    ADD(self->out, "\"}}");
}

void otlp_seconds(otlp_writer_t *self, const char *name, uint64_t us)
{
    char fraction[7] = "000000";
    uint64_t rest = us % 1000000;
    for (int at = 5; at >= 0; at--, rest /= 10)
        fraction[at] = (char)('0' + rest % 10);
    begin_attribute(self, name);
    ADD(self->out, "\",\"value\":{\"doubleValue\":");
    rl_json_add_count(self->out, us / 1000000);
    ADD(self->out, ".");
    rl_buf_add(self->out, fraction, 6);
    ADD(self->out, "}}");
}

void otlp_true(otlp_writer_t *self, const char *name)
{
    begin_attribute(self, name);
    ADD(self->out, "\",\"value\":{\"boolValue\":true}}");
}

void otlp_write_text(rl_buf_t *out, const char *name, const char *value)
{
    ADD(out, "{\"key\":");
    add_json(out, name);
    ADD(out, ",\"value\":{\"stringValue\":");
    add_json(out, value);
    ADD(out, "}}");
}
