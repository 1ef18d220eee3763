// trace_context: W3C Trace Context: ids read, derived and written.
#include "trace_context.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- reading ------------------------------------------------------------------------------------

static bool is_hex(const char *text, size_t size)
{
    return strspn(text, "0123456789abcdef") >= size;
}

static bool is_zero(const char *text, size_t size)
{
    return strspn(text, "0") >= size;
}

static unsigned hex_byte(const char *text)
{
    return (unsigned)strtoul((char[]){text[0], text[1], '\0'}, NULL, 16);
}

bool trace_context_read(const char *header, char trace_id[33], char parent_id[17], unsigned *flags)
{
    enum {
        VERSION = 2,
        TRACE_AT = 3,
        PARENT_AT = 36,
        FLAGS_AT = 53,
        SIZE = 55
    };
    size_t size = header ? strlen(header) : 0;
    if (size < SIZE || !is_hex(header, 2) || memcmp(header, "ff", 2) == 0)
        return false;
    // a later version may add to this form, behind one more dash
    bool first = memcmp(header, "00", 2) == 0;
    if (first ? size != SIZE : size > SIZE && header[SIZE] != '-')
        return false;
    const char *trace = header + TRACE_AT, *parent = header + PARENT_AT, *bits = header + FLAGS_AT;
    if (header[VERSION] != '-' || trace[32] != '-' || parent[16] != '-' || !is_hex(trace, 32) ||
        !is_hex(parent, 16) || !is_hex(bits, 2) || is_zero(trace, 32) || is_zero(parent, 16))
        return false;
    snprintf(trace_id, 33, "%.32s", trace);
    snprintf(parent_id, 17, "%.16s", parent);
    *flags = hex_byte(bits) & (TRACE_SAMPLED | TRACE_RANDOM);
    return true;
}

bool trace_context_state_ok(const char *header)
{
    size_t size = header ? strlen(header) : 0;
    if (size == 0 || size > TRACESTATE_MAX)
        return false;
    for (size_t at = 0; at < size; at++)
        if ((header[at] < ' ' && header[at] != '\t') || header[at] > '~')
            return false;
    return true;
}

// ---- ids ----------------------------------------------------------------------------------------

// The finaliser of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators,
// 2014): a bijection of 64 bits that spreads every one of them.
static uint64_t mix_bits(uint64_t value)
{
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

void trace_span_id(const char *answer, trace_span_t span, unsigned nth, char out[17])
{
    uint64_t seed = strtoull(answer, NULL, 16);
    // one bijection of the number for each answer: the ids of one answer all differ
    uint64_t id = mix_bits(seed ^ mix_bits(((uint64_t)span + 1) << 32 | nth));
    if (id == 0 || id == seed) // not valid, or the answer's own
        id = ~seed;
    snprintf(out, 17, "%016llx", (unsigned long long)id);
}

bool trace_in_ratio(const char *trace_id, double ratio)
{
    const uint64_t all = UINT64_C(1) << 56;
    size_t size = strlen(trace_id);
    if (ratio >= 1)
        return true;
    if (ratio <= 0 || size < 14)
        return false;
    // OpenTelemetry, "TraceState: probability sampling": kept where randomness >= threshold
    uint64_t randomness = strtoull(trace_id + size - 14, NULL, 16);
    return randomness >= all - (uint64_t)(ratio * (double)all);
}
