// openai_chunk: reads what an OpenAI-compatible chat server sends.
#include "openai_chunk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_scan.h"
#include "utf8.h"

// ---- JSON that is not quite valid -------------------------------------------------------
//
// A token can end within a character, and some servers put its bytes into the JSON string as they
// are. The parser wants UTF-8, so such a byte b (80..FF) travels as U+10FF00 + b, private use at
// the end of the last plane (F4 8F BE 80 … F4 8F BF BF), and is put back afterwards. An unpaired
// surrogate escape (\ud83d, the same cut made in UTF-16) cannot be put back and becomes U+FFFD.

static void put_wrapped(char *out, unsigned char byte)
{
    out[0] = '\xf4';
    out[1] = '\x8f';
    out[2] = (char)(byte < 0xc0 ? 0xbe : 0xbf);
    out[3] = (char)(0x80 | (byte & 0x3f));
}

// Length of the valid character at `at`, 0 if there is none.
static size_t valid_character(const char *at, const char *end)
{
    for (size_t size = 1; size <= 4 && size <= (size_t)(end - at); size++)
        if (rl_utf8_valid(at, size))
            return size;
    return 0;
}

static bool is_surrogate(const char *at, const char *end, char low, char high)
{
    if (end - at < 6 || at[0] != '\\' || at[1] != 'u' || (at[2] | 0x20) != 'd')
        return false;
    char third = (char)(at[3] | 0x20);
    return third >= low && third <= high;
}

// A copy that the parser takes if it takes it at all.
static char *wrap_invalid(const char *data, size_t size, size_t *out_size)
{
    char *out = malloc(size * 4 + 1);
    const char *at = data, *end = data + size;
    size_t used = 0;
    if (!out)
        return NULL;
    while (at < end) {
        size_t length = valid_character(at, end);
        if (length == 0) {
            put_wrapped(out + used, (unsigned char)*at);
            used += 4;
            at++;
        } else if (*at == '\\' && end - at > 1 && at[1] != 'u') {
            memcpy(out + used, at, 2); // so that \\ud83d is not taken for an escape
            used += 2;
            at += 2;
        } else if (is_surrogate(at, end, '8', 'b') && is_surrogate(at + 6, end, 'c', 'f')) {
            memcpy(out + used, at, 12);
            used += 12;
            at += 12;
        } else if (is_surrogate(at, end, '8', 'f')) {
            memcpy(out + used, "\\ufffd", 6);
            used += 6;
            at += 6;
        } else {
            memcpy(out + used, at, length);
            used += length;
            at += length;
        }
    }
    *out_size = used;
    return out;
}

// Puts wrapped bytes back. The result is no longer than the text.
static char *unwrap_invalid(const char *text, size_t size, size_t *out_size)
{
    char *out = malloc(size + 1);
    size_t used = 0;
    if (!out)
        return NULL;
    for (size_t at = 0; at < size; at++) {
        const unsigned char *p = (const unsigned char *)text + at;
        if (size - at >= 4 && p[0] == 0xf4 && p[1] == 0x8f && p[2] >= 0xbe) {
            out[used++] = (char)((p[2] == 0xbe ? 0x80 : 0xc0) | (p[3] & 0x3f));
            at += 3;
        } else {
            out[used++] = text[at];
        }
    }
    out[used] = '\0';
    *out_size = used;
    return out;
}

static json_t *parse_lenient(const char *data, size_t size, bool *wrapped)
{
    json_error_t error;
    json_t *root = json_loadb(data, size, JSON_ALLOW_NUL, &error);
    if (root)
        return root;
    size_t copy_size = 0;
    char *copy = wrap_invalid(data, size, &copy_size);
    if (copy && (copy_size != size || memcmp(copy, data, size) != 0)) {
        root = json_loadb(copy, copy_size, JSON_ALLOW_NUL, &error);
        *wrapped = root != NULL;
    }
    free(copy);
    return root;
}

// ---- what is in it ----------------------------------------------------------------------

static uint64_t count_in(const json_t *object, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(object, key));
    return value > 0 ? (uint64_t)value : 0;
}

static void read_usage(openai_chunk_t *chunk, const json_t *usage)
{
    if (!json_is_object(usage))
        return;
    chunk->counted = true;
    chunk->prompt_tokens = count_in(usage, "prompt_tokens");
    chunk->completion_tokens = count_in(usage, "completion_tokens");
    const json_t *cached =
        json_object_get(json_object_get(usage, "prompt_tokens_details"), "cached_tokens");
    if (json_is_integer(cached))
        chunk->cached_tokens = json_integer_value(cached);
}

// llama-server's own: https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md
static void read_timings(openai_chunk_t *chunk, const json_t *timings)
{
    const json_t *cached = json_object_get(timings, "cache_n");
    const json_t *prefill = json_object_get(timings, "prompt_ms");
    if (json_is_integer(cached))
        chunk->cached_tokens = json_integer_value(cached);
    const json_t *read = json_object_get(timings, "prompt_n");
    if (json_is_number(prefill))
        chunk->prefill_ms = json_number_value(prefill);
    if (json_is_integer(read))
        chunk->read_tokens = json_integer_value(read);
}

// The same server's, where return_progress was asked for. What it had cached was not read.
static void read_progress(openai_chunk_t *chunk, const json_t *progress)
{
    json_int_t total = json_integer_value(json_object_get(progress, "total"));
    json_int_t cached = json_integer_value(json_object_get(progress, "cache"));
    json_int_t done = json_integer_value(json_object_get(progress, "processed"));
    if (json_is_object(progress) && cached >= 0 && total > cached && done >= cached &&
        done <= total)
        chunk->reading = (int)((double)(done - cached) * 100 / (double)(total - cached));
}

static void read_error(openai_chunk_t *chunk, const json_t *error)
{
    if (json_is_string(error)) {
        chunk->error = json_string_value(error);
        return;
    }
    if (!json_is_object(error))
        return;
    const char *message = json_string_value(json_object_get(error, "message"));
    chunk->error = message ? message : "an error without a message";
    chunk->error_code = (long)json_integer_value(json_object_get(error, "code"));
}

static void read_choice(openai_chunk_t *chunk, const json_t *choice, bool wrapped)
{
    const json_t *delta = json_object_get(choice, "delta");
    if (!json_is_object(delta))
        delta = json_object_get(choice, "message"); // a whole answer
    const json_t *content = json_object_get(delta, "content");
    const json_t *thought = json_object_get(delta, "reasoning_content");
    if (!thought)
        thought = json_object_get(delta, "reasoning");
    chunk->reasoning = json_string_length(thought) > 0;
    chunk->finish = json_string_value(json_object_get(choice, "finish_reason"));
    if (!json_is_string(content))
        return;
    chunk->text = json_string_value(content);
    chunk->text_size = json_string_length(content);
    if (wrapped) {
        chunk->raw = unwrap_invalid(chunk->text, chunk->text_size, &chunk->text_size);
        chunk->text = chunk->raw;
    }
}

// ---- the common chunk -------------------------------------------------------------------
//
// All but the last of a stream say a few words and nothing else. These are read without building a
// tree of JSON, which took half of a generator's time. Whatever is less common or doubtful is left
// to the tree.

static bool is_named(const char *name, size_t size, const char *what)
{
    return size == strlen(what) && memcmp(name, what, size) == 0;
}

// {"content":"words"} and {"role":…,"content":…}. Returns whether it is that plain.
static bool scan_delta(openai_chunk_t *chunk, rl_scan_t *scan)
{
    const char *name, *text;
    size_t size, text_size;
    if (rl_scan_peek(scan) != '{')
        return false;
    rl_scan_enter_object(scan);
    while (rl_scan_member(scan, &name, &size)) {
        if (is_named(name, size, "role") || rl_scan_peek(scan) == 'n') {
            rl_scan_skip(scan);
        } else if (is_named(name, size, "content") && !chunk->raw && rl_scan_peek(scan) == '"' &&
                   rl_scan_string(scan, &text, &text_size)) {
            chunk->raw = malloc(text_size + 1);
            long length = chunk->raw ? rl_scan_unescape(text, text_size, chunk->raw) : -1;
            if (length < 0 || !rl_utf8_valid(chunk->raw, (size_t)length))
                return false;
            chunk->text = chunk->raw;
            chunk->text_size = (size_t)length;
        } else {
            return false;
        }
    }
    return true;
}

static bool scan_choice(openai_chunk_t *chunk, rl_scan_t *scan)
{
    const char *name;
    size_t size;
    if (rl_scan_peek(scan) != '{')
        return false;
    rl_scan_enter_object(scan);
    while (rl_scan_member(scan, &name, &size)) {
        if (is_named(name, size, "delta")) {
            if (!scan_delta(chunk, scan))
                return false;
        } else if (!is_named(name, size, "index") && rl_scan_peek(scan) != 'n') {
            return false; // finish_reason, logprobs… that are not null
        } else {
            rl_scan_skip(scan);
        }
    }
    return true;
}

static bool scan_choices(openai_chunk_t *chunk, rl_scan_t *scan)
{
    if (rl_scan_peek(scan) != '[')
        return false;
    rl_scan_enter_array(scan);
    return rl_scan_item(scan) && scan_choice(chunk, scan) && !rl_scan_item(scan);
}

// Returns whether it was a common chunk and is read. The model's name is left to the chunks that
// are not: the first and the last.
static bool scan_common(openai_chunk_t *chunk, const char *data, size_t size)
{
    rl_scan_t scan = rl_scan_make(data, size);
    const char *name;
    size_t name_size;
    rl_scan_enter_object(&scan);
    while (rl_scan_member(&scan, &name, &name_size)) {
        if (is_named(name, name_size, "choices")) {
            if (chunk->text || !scan_choices(chunk, &scan))
                return false;
        } else if ((is_named(name, name_size, "error") || is_named(name, name_size, "usage") ||
                    is_named(name, name_size, "timings") ||
                    is_named(name, name_size, "prompt_progress")) &&
                   rl_scan_peek(&scan) != 'n') {
            return false;
        } else {
            rl_scan_skip(&scan);
        }
    }
    return rl_scan_ends(&scan) && chunk->text && chunk->text_size > 0;
}

int openai_chunk_read(openai_chunk_t *chunk, const char *data, size_t size, const char **why)
{
    bool wrapped = false;
    *chunk =
        (openai_chunk_t){.cached_tokens = -1, .read_tokens = -1, .prefill_ms = -1, .reading = -1};
    if (scan_common(chunk, data, size))
        return 0;
    free(chunk->raw);
    *chunk =
        (openai_chunk_t){.cached_tokens = -1, .read_tokens = -1, .prefill_ms = -1, .reading = -1};
    chunk->root = parse_lenient(data, size, &wrapped);
    if (!json_is_object(chunk->root)) {
        *why = chunk->root ? "JSON that is no object" : "malformed JSON";
        return -1;
    }
    read_error(chunk, json_object_get(chunk->root, "error"));
    read_usage(chunk, json_object_get(chunk->root, "usage"));
    read_timings(chunk, json_object_get(chunk->root, "timings"));
    read_progress(chunk, json_object_get(chunk->root, "prompt_progress"));
    chunk->model = json_string_value(json_object_get(chunk->root, "model"));
    const json_t *choices = json_object_get(chunk->root, "choices");
    // n is always 1; a chunk with the usage has no choice
    read_choice(chunk, json_array_get(choices, 0), wrapped);
    if (!chunk->error && !json_is_array(choices) && !json_is_null(choices) && !chunk->counted) {
        *why = "JSON that is no chat completion";
        return -1;
    }
    return 0;
}

void openai_chunk_free(openai_chunk_t *chunk)
{
    json_decref(chunk->root);
    free(chunk->raw);
    chunk->root = NULL;
    chunk->raw = NULL;
}

void openai_error_text(const char *body, size_t size, char *out, size_t out_size)
{
    json_error_t error;
    json_t *root = json_loadb(body, size, 0, &error);
    openai_chunk_t chunk = {0};
    read_error(&chunk, json_object_get(root, "error"));
    const char *message = chunk.error;
    if (!message)
        message = json_string_value(json_object_get(root, "message"));
    if (!message)
        message = json_string_value(json_object_get(root, "detail"));
    size_t whole = 0, from = message ? strlen(message) : size;
    if (!message)
        message = body;
    if (from > out_size / 4)
        from = rl_utf8_whole(message, out_size / 4); // repaired, it is at most 3 times as long
    char *text = rl_utf8_repair(message, from, &whole);
    snprintf(out, out_size, "%s", text ? text : "");
    for (char *at = out; *at; at++)
        if ((unsigned char)*at < ' ')
            *at = ' ';
    free(text);
    json_decref(root);
}
