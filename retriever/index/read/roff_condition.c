// roff_condition: the conditions of .if and .ie.

#include "roff.h"

#include <string.h>

enum {
    MAX_COMPARED = 1 << 16
};

static size_t skip_blanks(const char *text, size_t size, size_t at)
{
    while (at < size && (text[at] == ' ' || text[at] == '\t'))
        at++;
    return at;
}

// 'a'b' from its first quote on: whether both are the same text. *at_p moves behind it.
static bool same(const roff_t *self, const char *text, size_t size, size_t *at_p)
{
    const char *one = text + *at_p + 1, *end = text + size;
    char quote = one[-1];
    const char *middle = memchr(one, quote, (size_t)(end - one));
    const char *last = middle ? memchr(middle + 1, quote, (size_t)(end - middle) - 1) : NULL;
    *at_p = last ? (size_t)(last - text) + 1 : size;
    if (!last)
        return false;
    rl_buf_t a = rl_buf_make(MAX_COMPARED), b = rl_buf_make(MAX_COMPARED);
    roff_text(self, one, (size_t)(middle - one), &a);
    roff_text(self, middle + 1, (size_t)(last - middle) - 1, &b);
    bool holds = a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
    rl_buf_free(&a);
    rl_buf_free(&b);
    return holds;
}

// Any other condition: a letter or a numeric expression. *at_p moves behind it.
static bool expression(const char *text, size_t size, size_t *at_p)
{
    size_t from = *at_p, at = from;
    int parens = 0;
    while (at < size && (parens > 0 || (text[at] != ' ' && text[at] != '\t'))) {
        if (at + 1 < size && text[at] == '\\' && text[at + 1] == '{')
            break;
        // "\n(xx" names a register and opens nothing
        parens += (text[at] == '(' && (at == from || text[at - 1] != 'n')) - (text[at] == ')');
        at++;
    }
    size_t length = at - from;
    char first = length > 0 ? text[from] : ' ';
    if (length == 1 && (first == 'd' || first == 'r')) { // "is this defined?": the name follows
        at = skip_blanks(text, size, at);
        while (at < size && text[at] != ' ')
            at++;
    }
    *at_p = at;
    if (length >= 5 && memcmp(text + from, "\\n(.g", 5) == 0)
        return true; // "is this groff?"
    return first == 'n' || (first >= '1' && first <= '9');
}

bool roff_condition(const roff_t *self, const char *text, size_t size, size_t *rest_p)
{
    size_t at = skip_blanks(text, size, 0);
    bool negated = at < size && text[at] == '!';
    at += negated;
    bool quoted = at < size && (text[at] == '\'' || text[at] == '"');
    bool holds = quoted ? same(self, text, size, &at) : expression(text, size, &at);
    *rest_p = skip_blanks(text, size, at);
    return holds != negated;
}
