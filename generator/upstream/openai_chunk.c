// openai_chunk: reads what an OpenAI-compatible chat server sends.
#include "openai_chunk.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "utf8.h"

enum {
    CONTENT_MAX = 1 << 20, // bytes of a content that is a list of parts
    PARTS_MAX = 1000,      // of such a list: finding one takes as long as there are before it
};

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

static rl_json_doc_t *parse_lenient(const char *data, size_t size, bool *wrapped, const char **why)
{
    rl_json_doc_t *doc = rl_json_parse(data, size, why);
    if (doc)
        return doc;
    size_t copy_size = 0;
    char *copy = wrap_invalid(data, size, &copy_size);
    if (copy && (copy_size != size || memcmp(copy, data, size) != 0))
        doc = rl_json_parse(copy, copy_size, why);
    *wrapped = doc != NULL;
    free(copy);
    return doc;
}

// ---- what is in it ----------------------------------------------------------------------

// The member, if it is a whole number; else what was there before.
static void read_count(rl_json_t object, const char *key, int64_t *out)
{
    rl_json_integer(rl_json_get(object, key), out);
}

static void read_usage(openai_chunk_t *chunk, rl_json_t usage)
{
    int64_t prompt = 0, completion = 0;
    if (!rl_json_is_object(usage))
        return;
    read_count(usage, "prompt_tokens", &prompt);
    read_count(usage, "completion_tokens", &completion);
    read_count(rl_json_get(usage, "prompt_tokens_details"), "cached_tokens", &chunk->cached_tokens);
    chunk->counted = true;
    chunk->prompt_tokens = prompt > 0 ? (uint64_t)prompt : 0;
    chunk->completion_tokens = completion > 0 ? (uint64_t)completion : 0;
}

// llama-server's own: https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md
static void read_timings(openai_chunk_t *chunk, rl_json_t timings)
{
    read_count(timings, "cache_n", &chunk->cached_tokens);
    read_count(timings, "prompt_n", &chunk->read_tokens);
    rl_json_number(rl_json_get(timings, "prompt_ms"), &chunk->prefill_ms);
}

// The same server's, where return_progress was asked for. What it had cached was not read.
static void read_progress(openai_chunk_t *chunk, rl_json_t progress)
{
    int64_t total = 0, cached = 0, done = 0;
    if (!rl_json_is_object(progress))
        return;
    read_count(progress, "total", &total);
    read_count(progress, "cache", &cached);
    read_count(progress, "processed", &done);
    if (cached >= 0 && total > cached && done >= cached && done <= total)
        chunk->reading = (int)((double)(done - cached) * 100 / (double)(total - cached));
}

static void read_error(openai_chunk_t *chunk, rl_json_t error)
{
    int64_t code = 0;
    chunk->error = rl_json_string(error, NULL);
    if (!rl_json_is_object(error))
        return;
    const char *message = rl_json_string(rl_json_get(error, "message"), NULL);
    read_count(error, "code", &code);
    chunk->error = message ? message : "an error without a message";
    chunk->error_code = (long)code;
}

static bool has_text(rl_json_t value)
{
    size_t size = 0;
    return rl_json_string(value, &size) && size > 0;
}

// Thoughts are a text, or a list of parts, under a name that differs.
static bool has_thoughts(rl_json_t holder)
{
    static const char *const names[] = {"reasoning_content", "reasoning", "thinking",
                                        "reasoning_details"};
    for (size_t at = 0; at < sizeof names / sizeof *names; at++) {
        rl_json_t value = rl_json_get(holder, names[at]);
        if (has_text(value) || rl_json_size(value) > 0)
            return true;
    }
    return false;
}

static void read_refusal(openai_chunk_t *chunk, rl_json_t holder)
{
    rl_json_t refusal = rl_json_get(holder, "refusal");
    if (!chunk->refusal && has_text(refusal))
        chunk->refusal = rl_json_string(refusal, &chunk->refusal_size);
}

// A part's words are in "text"; a part of thoughts has that too, so its type decides.
static void read_part(openai_chunk_t *chunk, rl_json_t part, rl_buf_t *text)
{
    size_t size = 0;
    const char *type = rl_json_string(rl_json_get(part, "type"), NULL);
    const char *words =
        rl_json_string(rl_json_is_object(part) ? rl_json_get(part, "text") : part, &size);
    if (has_thoughts(part) || (type && (strstr(type, "thinking") || strstr(type, "reasoning")))) {
        chunk->reasoning = true;
        return;
    }
    read_refusal(chunk, part);
    if (words)
        rl_buf_add(text, words, size);
}

// The content is a text, or a list of parts.
static void read_content(openai_chunk_t *chunk, rl_json_t content)
{
    if (!rl_json_is_array(content)) {
        chunk->text = rl_json_string(content, &chunk->text_size);
        return;
    }
    rl_buf_t text = rl_buf_make(CONTENT_MAX);
    size_t size = rl_json_size(content);
    if (size > PARTS_MAX && !chunk->error)
        chunk->error = "a content of too many parts";
    for (size_t at = 0; at < size && size <= PARTS_MAX; at++)
        read_part(chunk, rl_json_at(content, at), &text);
    chunk->text_size = text.size;
    chunk->text = chunk->raw = rl_buf_take(&text);
}

static void read_choice(openai_chunk_t *chunk, rl_json_t choice, bool wrapped)
{
    rl_json_t delta = rl_json_get(choice, "delta");
    if (!rl_json_is_object(delta))
        delta = rl_json_get(choice, "message"); // a whole answer
    if (!chunk->error)
        read_error(chunk, rl_json_get(choice, "error"));
    chunk->reasoning = has_thoughts(delta);
    chunk->tool_call = rl_json_size(rl_json_get(delta, "tool_calls")) > 0 ||
                       rl_json_is_object(rl_json_get(delta, "function_call"));
    chunk->finish = rl_json_string(rl_json_get(choice, "finish_reason"), NULL);
    read_refusal(chunk, delta);
    read_content(chunk, rl_json_get(delta, "content"));
    if (chunk->text && wrapped) {
        char *parts = chunk->raw;
        chunk->raw = unwrap_invalid(chunk->text, chunk->text_size, &chunk->text_size);
        chunk->text = chunk->raw;
        free(parts);
    }
}

int openai_chunk_read(openai_chunk_t *chunk, const char *data, size_t size, const char **why)
{
    bool wrapped = false;
    const char *problem;
    *chunk =
        (openai_chunk_t){.cached_tokens = -1, .read_tokens = -1, .prefill_ms = -1, .reading = -1};
    chunk->doc = parse_lenient(data, size, &wrapped, &problem);
    rl_json_t root = rl_json_root(chunk->doc);
    if (rl_json_is_array(root))
        root = rl_json_at(root, 0); // Gemini's errors come so
    if (!rl_json_is_object(root)) {
        *why = chunk->doc ? "JSON that is no object" : "malformed JSON";
        return -1;
    }
    read_error(chunk, rl_json_get(root, "error"));
    read_usage(chunk, rl_json_get(root, "usage"));
    read_timings(chunk, rl_json_get(root, "timings"));
    read_progress(chunk, rl_json_get(root, "prompt_progress"));
    chunk->model = rl_json_string(rl_json_get(root, "model"), NULL);
    rl_json_t choices = rl_json_get(root, "choices");
    // n is always 1; a chunk with the usage has no choice
    read_choice(chunk, rl_json_at(choices, 0), wrapped);
    if (!chunk->error && !rl_json_is_array(choices) && !rl_json_is_null(choices) &&
        !chunk->counted) {
        *why = "JSON that is no chat completion";
        return -1;
    }
    return 0;
}

void openai_chunk_free(openai_chunk_t *chunk)
{
    rl_json_free(&chunk->doc);
    free(chunk->raw);
    chunk->raw = NULL;
}
