// json: JSON from outside, parsed by simdjson.
#include "json.h"

#include <cmath>
#include <cstring>
#include <memory>
#include <new>
#include <simdjson.h>
#include <type_traits>

using simdjson::dom::element;

static_assert(sizeof(element) == sizeof(rl_json_t) && std::is_trivially_copyable<element>::value,
              "a value travels through C as it is");

struct rl_json_doc {
    simdjson::dom::parser parser;
    element root;
};

static constexpr size_t keep_bytes = 1 << 20; // of text: a parser of more is not kept

// The parser of the last document, for the next one of this thread.
static thread_local std::unique_ptr<rl_json_doc> spare;

static rl_json_t to_value(element value)
{
    rl_json_t out;
    memcpy(&out, &value, sizeof out);
    return out;
}

static bool to_element(rl_json_t value, element &out)
{
    memcpy(static_cast<void *>(&out), &value, sizeof out);
    return value.document != nullptr;
}

template <typename T> static bool take(rl_json_t value, T &out)
{
    element from;
    return to_element(value, from) && from.get(out) == simdjson::SUCCESS;
}

rl_json_doc_t *rl_json_parse(const char *text, size_t size, const char **why)
{
    rl_json_doc_t *doc = spare ? spare.release() : new (std::nothrow) rl_json_doc;
    if (!doc) {
        *why = "out of memory";
        return nullptr;
    }
    auto error = doc->parser.parse(text, size, true).get(doc->root);
    if (error == simdjson::SUCCESS)
        return doc;
    *why = simdjson::error_message(error);
    rl_json_free(&doc);
    return nullptr;
}

void rl_json_free(rl_json_doc_t **doc_p)
{
    std::unique_ptr<rl_json_doc> doc(*doc_p);
    *doc_p = nullptr;
    if (doc && doc->parser.capacity() <= keep_bytes)
        spare = std::move(doc);
}

rl_json_t rl_json_root(const rl_json_doc_t *doc)
{
    return doc ? to_value(doc->root) : rl_json_t{};
}

bool rl_json_is_object(rl_json_t value)
{
    element it;
    return to_element(value, it) && it.is_object();
}

bool rl_json_is_array(rl_json_t value)
{
    element it;
    return to_element(value, it) && it.is_array();
}

bool rl_json_is_null(rl_json_t value)
{
    element it;
    return to_element(value, it) && it.is_null();
}

rl_json_t rl_json_get(rl_json_t object, const char *key)
{
    simdjson::dom::object members;
    element found;
    return take(object, members) && members.at_key(key).get(found) == simdjson::SUCCESS
               ? to_value(found)
               : rl_json_t{};
}

rl_json_t rl_json_at(rl_json_t array, size_t at)
{
    simdjson::dom::array items;
    element found;
    return take(array, items) && items.at(at).get(found) == simdjson::SUCCESS ? to_value(found)
                                                                              : rl_json_t{};
}

size_t rl_json_size(rl_json_t array)
{
    simdjson::dom::array items;
    size_t size = 0;
    if (take(array, items)) // its own size() stops counting at 2^24 - 1
        for (auto item : items)
            size += (static_cast<void>(item), 1);
    return size;
}

const char *rl_json_string(rl_json_t value, size_t *size)
{
    std::string_view text;
    if (!take(value, text))
        return nullptr;
    if (size)
        *size = text.size();
    return text.data();
}

bool rl_json_integer(rl_json_t value, int64_t *out)
{
    return take(value, *out);
}

bool rl_json_number(rl_json_t value, double *out)
{
    return take(value, *out);
}

bool rl_json_floats(rl_json_t array, float *out, size_t size)
{
    simdjson::dom::array items;
    size_t at = 0;
    if (!take(array, items))
        return false;
    for (auto item : items) {
        double number;
        if (at == size || item.get(number) != simdjson::SUCCESS ||
            !std::isfinite(static_cast<float>(number)))
            return false;
        out[at++] = static_cast<float>(number);
    }
    return at == size;
}
