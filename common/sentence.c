// sentence: where sentences end.
#include "sentence.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "utf8.h"

enum {
    LONGEST_CODE = 200, // bytes of inline code
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

// What stands before a dot that ends no sentence.
static bool is_abbreviation(const char *word, size_t size)
{
    static const char *const known[] = {
        "e.g", "i.e",  "cf",   "vs",  "viz",  "mr",   "mrs", "ms",   "dr",     "prof",  "st",
        "no",  "fig",  "figs", "eq",  "eqs",  "sec",  "ch",  "vol",  "pp",     "p",     "ed",
        "eds", "al",   "inc",  "ltd", "co",   "corp", "jr",  "sr",   "approx", "resp",  "dept",
        "est", "ca",   "jan",  "feb", "mar",  "apr",  "jun", "jul",  "aug",    "sep",   "sept",
        "oct", "nov",  "dec",  "gen", "col",  "lt",   "sgt", "capt", "rev",    "hon",   "u.s",
        "u.k", "z.b",  "d.h",  "bzw", "bspw", "u.a",  "ggf", "evtl", "vgl",    "nr",    "abs",
        "str", "p.ex", "min",  "max", "ref",  "refs", "art", "ver",  "w.r.t",  "a.k.a",
    };
    for (size_t at = 0; at < sizeof known / sizeof *known; at++)
        if (strlen(known[at]) == size && strncasecmp(known[at], word, size) == 0)
            return true;
    return false;
}

// Whether the dot at `at` ends a sentence, judged by what stands on both sides of it.
static bool dot_ends(const char *text, size_t size, size_t from, size_t at, size_t next)
{
    size_t word = at;
    while (word > from && !is_blank(text[word - 1]) && !strchr("([{\"'", text[word - 1]))
        word--;
    size_t length = at - word;
    if (length == 1 && (text[word] | 32) >= 'a' && (text[word] | 32) <= 'z')
        return false; // an initial
    if (is_abbreviation(text + word, length))
        return false;
    bool number = length > 0 && length <= 3;
    for (size_t digit = word; digit < at; digit++)
        number = number && text[digit] >= '0' && text[digit] <= '9';
    if (number && word == from)
        return false; // "1." in front of a list's item
    while (next < size && is_blank(text[next]))
        next++;
    // what goes on with a small letter is the same sentence: a dot of a name or a rare abbreviation
    return next >= size || !(text[next] >= 'a' && text[next] <= 'z');
}

// Whether a blank line or a list item begins at this place (just behind a line end).
static bool block_begins(const char *text, size_t size, size_t at)
{
    while (at < size && (text[at] == ' ' || text[at] == '\t' || text[at] == '\r'))
        at++;
    if (at < size && text[at] == '\n')
        return true;
    if (at + 1 < size && strchr("-*+", text[at]) && text[at + 1] == ' ')
        return true;
    if (at + 3 < size && memcmp(text + at, "\xe2\x80\xa2", 3) == 0)
        return true;
    size_t digits = at;
    while (digits < size && text[digits] >= '0' && text[digits] <= '9')
        digits++;
    return digits > at && digits - at <= 3 && digits + 1 < size &&
           (text[digits] == '.' || text[digits] == ')') && text[digits + 1] == ' ';
}

// Behind quotes and brackets that close, and further ends ("?!", "...").
static size_t skip_closers(const char *text, size_t size, size_t at)
{
    while (at < size) {
        size_t used;
        uint32_t c = rl_utf8_next(text + at, size - at, &used);
        bool closes = c == ')' || c == ']' || c == '}' || c == '"' || c == '\'' || c == '.' ||
                      c == '!' || c == '?' || c == '*' || c == '_' || c == 0x2019 || c == 0x201d ||
                      c == 0xbb || c == 0x300d || c == 0x300f || c == 0x3011 || c == 0xff09 ||
                      c == 0x300b || c == 0x2026 || c == 0xff01 || c == 0xff1f || c == 0x3002;
        if (!closes)
            break;
        at += used;
    }
    return at;
}

// The end of inline code that begins at `at`, or `at` + 1 if nothing closes it soon.
static size_t skip_code(const char *text, size_t size, size_t at)
{
    size_t end = size - at > LONGEST_CODE ? at + LONGEST_CODE : size;
    const char *close = memchr(text + at + 1, '`', end - at - 1);
    return close ? (size_t)(close - text) + 1 : at + 1;
}

// Han, Kana; Devanagari, Arabic, Urdu, Ethiopic, Burmese.
static bool is_full_stop(uint32_t c)
{
    return c == 0x3002 || c == 0xff01 || c == 0xff1f || c == 0xff61 || c == 0x0964 || c == 0x0965 ||
           c == 0x061f || c == 0x06d4 || c == 0x1362 || c == 0x104b;
}

bool rl_sentence_has_full_stop(const char *text, size_t size)
{
    size_t back = 1, used;
    while (back < size && back < 4 && ((unsigned char)text[size - back] & 0xc0) == 0x80)
        back++;
    return size > 1 && back > 1 && is_full_stop(rl_utf8_next(text + size - back, back, &used));
}

size_t rl_sentence_end(const char *text, size_t size, size_t from)
{
    while (from < size && is_blank(text[from]))
        from++;
    for (size_t at = from, used; at < size; at += used) {
        used = 1;
        if ((unsigned char)text[at] < 0x80 && !strchr("`\n.!?", text[at]))
            continue; // most of all text
        uint32_t c = rl_utf8_next(text + at, size - at, &used);
        if (c == '`') {
            used = skip_code(text, size, at) - at;
        } else if (c == '\n') {
            if (block_begins(text, size, at + 1))
                return at > from && text[at - 1] == '\r' ? at - 1 : at;
        } else if (is_full_stop(c)) {
            return skip_closers(text, size, at + used);
        } else if (c == '.' || c == '!' || c == '?' || c == 0x2026) {
            size_t end = skip_closers(text, size, at + used);
            // not "7.88.1", "file.txt"
            bool apart = end == size || is_blank(text[end]);
            if (apart && (c != '.' || dot_ends(text, size, from, at, end)))
                return end;
            used = apart ? end - at : used;
        }
    }
    return size;
}
