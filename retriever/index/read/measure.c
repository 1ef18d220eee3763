// measure: words, tokens and sentence ends.

#include "measure.h"

#include "utf8.h"

#include <string.h>
#include <strings.h>

typedef enum char_class {
    C_SPACE,
    C_LETTER, // ASCII
    C_DIGIT,  // ASCII
    C_ALPHA,  // letters and marks of other scripts with blanks between words
    C_DENSE,  // Han, Kana: no blanks, about two characters a word
    C_LONG,   // Thai, Lao, Khmer, Burmese: no blanks, about four characters a word
    C_PUNCT,
} char_class_t;

uint32_t measure_code_point(const char *text, size_t size, size_t *at_p)
{
    const unsigned char *s = (const unsigned char *)text + *at_p;
    size_t left = size - *at_p;
    uint32_t c = s[0];
    size_t length = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    if (length > left)
        length = left; // not valid UTF-8: still never past the end
    if (length == 2)
        c = (c & 0x1f) << 6 | (s[1] & 0x3f);
    else if (length == 3)
        c = (c & 0x0f) << 12 | (uint32_t)(s[1] & 0x3f) << 6 | (s[2] & 0x3f);
    else if (length == 4)
        c = (c & 0x07) << 18 | (uint32_t)(s[1] & 0x3f) << 12 | (uint32_t)(s[2] & 0x3f) << 6 |
            (s[3] & 0x3f);
    *at_p += length;
    return c;
}

// Blocks of the Unicode standard; ranges not named here hold letters of scripts with blanks.
static char_class_t class_of(uint32_t c)
{
    if (c < 0x80) {
        if (c <= ' ' || c == 0x7f)
            return C_SPACE;
        if ((c | 32) >= 'a' && (c | 32) <= 'z')
            return C_LETTER;
        return c >= '0' && c <= '9' ? C_DIGIT : C_PUNCT;
    }
    if (c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200b) || c == 0x2028 ||
        c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000 || c == 0xfeff)
        return C_SPACE;
    if (c < 0xc0 && c != 0xaa && c != 0xb5 && c != 0xba)
        return C_PUNCT;
    if ((c >= 0x0e00 && c < 0x0f00) || (c >= 0x1000 && c < 0x10a0) || (c >= 0x1780 && c < 0x1800))
        return C_LONG;
    if ((c >= 0x2010 && c < 0x2070) || (c >= 0x20a0 && c < 0x2100) || (c >= 0x2190 && c < 0x2c00))
        return C_PUNCT;
    if (c >= 0x2e00 && c < 0x2e80)
        return C_PUNCT;
    if ((c >= 0x3001 && c <= 0x3004) || (c >= 0x3008 && c <= 0x3020) || c == 0x30fb)
        return C_PUNCT;
    if ((c >= 0xfe30 && c < 0xfe70) || (c >= 0xff01 && c <= 0xff0f) ||
        (c >= 0xff1a && c <= 0xff20) || (c >= 0xff5b && c <= 0xff65))
        return C_PUNCT;
    if ((c >= 0x2e80 && c < 0x3130) || (c >= 0x31a0 && c < 0xa4d0) || (c >= 0xf900 && c < 0xfb00) ||
        (c >= 0xff66 && c < 0xffa0) || (c >= 0x20000 && c < 0x40000))
        return C_DENSE;
    if (c >= 0x1f000 && c < 0x1fb00)
        return C_PUNCT;
    return C_ALPHA;
}

size_t measure_words(const char *text, size_t size)
{
    size_t words = 0, dense = 0, lengthy = 0;
    bool within = false;
    for (size_t at = 0; at < size;) {
        char_class_t class = class_of(measure_code_point(text, size, &at));
        dense += class == C_DENSE;
        lengthy += class == C_LONG;
        bool letter = class == C_LETTER || class == C_DIGIT || class == C_ALPHA;
        if (letter && !within)
            words++;
        // "don't", "zmq_send", "7.88.1" are one word: only a blank or another script ends it
        within = letter || (within && class == C_PUNCT);
    }
    return words + (dense + 1) / 2 + (lengthy + 3) / 4;
}

// Tokens of one run of characters of a class. Measured on English prose and manual pages with the
// tokenizer of all-MiniLM-L6-v2 (bert-base-uncased): words of up to 7 letters are mostly one
// token, longer ones and names get one for every 3 to 4 letters more.
static size_t run_tokens(char_class_t class, size_t length)
{
    switch (class) {
    case C_SPACE:
        return 0;
    case C_LETTER:
        return length <= 7 ? 1 : 1 + (length - 7 + 2) / 3;
    case C_DIGIT:
        return (length + 1) / 2;
    case C_ALPHA:
    case C_LONG:
        return (length + 1) / 2;
    case C_DENSE:
    case C_PUNCT:
        return length;
    }
    return length;
}

size_t measure_tokens(const char *text, size_t size)
{
    size_t tokens = 0, run = 0;
    char_class_t last = C_SPACE;
    for (size_t at = 0; at < size;) {
        char_class_t class = class_of(measure_code_point(text, size, &at));
        if (class != last) {
            tokens += run_tokens(last, run);
            run = 0;
        }
        last = class;
        run++;
    }
    return tokens + run_tokens(last, run);
}

size_t measure_tokens_fit(const char *text, size_t size, size_t max_tokens)
{
    size_t tokens = 0, run = 0, fits = 0, blank = 0;
    char_class_t last = C_SPACE;
    for (size_t at = 0; at < size;) {
        size_t before = at;
        char_class_t class = class_of(measure_code_point(text, size, &at));
        if (class != last) {
            tokens += run_tokens(last, run);
            run = 0;
        }
        last = class;
        run++;
        if (tokens + run_tokens(last, run) > max_tokens && before > 0) {
            return blank > fits / 2 ? blank : fits;
        }
        if (class == C_SPACE && before > 0)
            blank = before;
        fits = at;
    }
    return size;
}

// ---- sentences ----------------------------------------------------------------------------------

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n';
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
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i]) == size && strncasecmp(known[i], word, size) == 0)
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
    for (size_t i = word; i < at; i++)
        number = number && text[i] >= '0' && text[i] <= '9';
    if (number && word == from)
        return false; // "1." in front of a list's item
    while (next < size && is_blank(text[next]))
        next++;
    // what goes on with a small letter is the same sentence: a dot of a name or a rare abbreviation
    return next >= size || !(text[next] >= 'a' && text[next] <= 'z');
}

// Whether a list item begins at this place (just behind a line end).
static bool item_begins(const char *text, size_t size, size_t at)
{
    while (at < size && (text[at] == ' ' || text[at] == '\t'))
        at++;
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
        size_t next = at;
        uint32_t c = measure_code_point(text, size, &next);
        bool closes = c == ')' || c == ']' || c == '}' || c == '"' || c == '\'' || c == '.' ||
                      c == '!' || c == '?' || c == '*' || c == '_' || c == 0x2019 || c == 0x201d ||
                      c == 0xbb || c == 0x300d || c == 0x300f || c == 0x3011 || c == 0xff09 ||
                      c == 0x300b || c == 0x2026 || c == 0xff01 || c == 0xff1f || c == 0x3002;
        if (!closes)
            break;
        at = next;
    }
    return at;
}

// The end of inline code that begins at `at`, or `at` + 1 if nothing closes it soon.
static size_t skip_code(const char *text, size_t size, size_t at)
{
    enum {
        LONGEST = 200
    };
    size_t end = size - at > LONGEST ? at + LONGEST : size;
    const char *close = memchr(text + at + 1, '`', end - at - 1);
    return close ? (size_t)(close - text) + 1 : at + 1;
}

size_t measure_sentence_end(const char *text, size_t size, size_t from)
{
    size_t at = from;
    while (at < size) {
        size_t here = at;
        uint32_t c = measure_code_point(text, size, &at);
        if (c == '`') {
            at = skip_code(text, size, here);
            continue;
        }
        if (c == '\n' && here > from && item_begins(text, size, at))
            return here;
        // full stops of scripts that need no blank behind them: Han, Kana; Devanagari, Arabic, Urdu
        if (c == 0x3002 || c == 0xff01 || c == 0xff1f || c == 0xff61 || c == 0x0964 ||
            c == 0x0965 || c == 0x061f || c == 0x06d4 || c == 0x1362 || c == 0x104b)
            return skip_closers(text, size, at);
        if (c != '.' && c != '!' && c != '?' && c != 0x2026)
            continue;
        size_t end = skip_closers(text, size, at);
        if (end < size && !is_blank(text[end]))
            continue; // "7.88.1", "file.txt"
        if (c != '.' || dot_ends(text, size, from, here, end))
            return end;
        at = end;
    }
    return size;
}
