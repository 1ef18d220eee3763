// cites: whether a sentence names the passage it rests on by itself.
#include "cites.h"

#include <string.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static size_t last_sentence(const char *text, size_t size)
{
    for (size_t at = size; at-- > 1;)
        if (is_space(text[at]) && at + 1 < size && !is_space(text[at + 1]) &&
            strchr(".!?:", text[at - 1]))
            return at + 1;
    return 0;
}

// The numbers of a bracket that begins at text[at] == '['; whether n is among them.
static bool bracket_has(const char *text, size_t size, size_t at, unsigned n)
{
    unsigned number = 0;
    bool found = false, digits = false;
    for (at++; at < size; at++) {
        char c = text[at];
        if (c >= '0' && c <= '9' && number < 100000) {
            number = number * 10 + (unsigned)(c - '0');
            digits = true;
        } else if (c == ',' || c == ';' || c == ']') {
            found = found || (digits && number == n);
            number = 0;
            digits = false;
            if (c == ']')
                return found;
        } else if (c != ' ') {
            return false;
        }
    }
    return false;
}

bool cites_itself(const char *text, size_t size, unsigned n)
{
    while (size > 0 && is_space(text[size - 1]))
        size--;
    for (size_t at = last_sentence(text, size); at < size; at++)
        if (text[at] == '[' && bracket_has(text, size, at, n))
            return true;
    return false;
}
