// json_write: JSON into a buffer.
#include "json_write.h"

#include <string.h>

// A string ends with a quotation mark, so that these bytes at the end are the structure's. Before a
// document there may be white space, or another format's words that end with it.
static bool is_first(const rl_buf_t *out)
{
    return out->size == 0 || strchr("{[:, \n", out->data[out->size - 1]);
}

void rl_json_name(rl_buf_t *out, const char *name)
{
    if (!is_first(out))
        rl_buf_add(out, ",", 1);
    if (!name)
        return;
    rl_buf_add(out, "\"", 1);
    rl_buf_adds(out, name);
    rl_buf_add(out, "\":", 2);
}

void rl_json_open(rl_buf_t *out, const char *name, char bracket)
{
    rl_json_name(out, name);
    rl_buf_add(out, &bracket, 1);
}

void rl_json_close(rl_buf_t *out, char bracket)
{
    rl_buf_add(out, &bracket, 1);
}

void rl_json_bytes(rl_buf_t *out, const char *name, const char *text, size_t size)
{
    rl_json_name(out, name);
    rl_buf_add_json(out, text ? text : "", size);
}

void rl_json_text(rl_buf_t *out, const char *name, const char *text)
{
    rl_json_bytes(out, name, text, text ? strlen(text) : 0);
}

void rl_json_count(rl_buf_t *out, const char *name, uint64_t count)
{
    rl_json_name(out, name);
    rl_json_add_count(out, count);
}

void rl_json_flag(rl_buf_t *out, const char *name, bool flag)
{
    rl_json_name(out, name);
    rl_buf_adds(out, flag ? "true" : "false");
}

void rl_json_ms(rl_buf_t *out, const char *name, uint64_t us)
{
    rl_json_name(out, name);
    rl_json_add_ms(out, us);
}

static int add_bytes(const char *data, size_t size, void *out)
{
    return rl_buf_add(out, data, size);
}

void rl_json_value(rl_buf_t *out, const char *name, const json_t *value)
{
    rl_json_name(out, name);
    if (!value || json_dump_callback(value, add_bytes, out,
                                     JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15)) != 0)
        rl_buf_adds(out, "null");
}

void rl_json_add_count(rl_buf_t *out, uint64_t count)
{
    char digits[20];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + count % 10);
    while (count /= 10);
    rl_buf_add(out, digits + at, sizeof digits - at);
}

void rl_json_add_ms(rl_buf_t *out, uint64_t us)
{
    unsigned rest = (unsigned)(us % 1000);
    char decimals[] = {'.', (char)('0' + rest / 100), (char)('0' + rest / 10 % 10),
                       (char)('0' + rest % 10)};
    rl_json_add_count(out, us / 1000);
    rl_buf_add(out, decimals, sizeof decimals);
}
