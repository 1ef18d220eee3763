// text_length: words and tokens, by classes of characters.

#include "text_length.h"

#include <string.h>

#include "utf8.h"

typedef enum char_class {
    C_SPACE,
    C_LETTER, // ASCII
    C_DIGIT,  // ASCII
    C_ALPHA,  // letters and marks of other scripts with blanks between words
    C_DENSE,  // Han, Kana: no blanks, about two characters a word
    C_LONG,   // Thai, Lao, Khmer, Burmese: no blanks, about four characters a word
    C_PUNCT,
} char_class_t;

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

// The class of the character at *at_p, which moves on behind it.
static char_class_t next_class(const char *text, size_t size, size_t *at_p)
{
    size_t used;
    uint32_t c = rl_utf8_next(text + *at_p, size - *at_p, &used);
    *at_p += used;
    return class_of(c);
}

size_t text_length_words(const char *text, size_t size)
{
    size_t words = 0, dense = 0, lengthy = 0;
    bool within = false;
    for (size_t at = 0; at < size;) {
        char_class_t class = next_class(text, size, &at);
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

size_t text_length_tokens(const char *text, size_t size)
{
    size_t tokens = 0, run = 0;
    char_class_t last = C_SPACE;
    for (size_t at = 0; at < size;) {
        char_class_t class = next_class(text, size, &at);
        if (class != last) {
            tokens += run_tokens(last, run);
            run = 0;
        }
        last = class;
        run++;
    }
    return tokens + run_tokens(last, run);
}

size_t text_length_fit(const char *text, size_t size, size_t max_tokens)
{
    size_t tokens = 0, run = 0, fits = 0, blank = 0;
    char_class_t last = C_SPACE;
    for (size_t at = 0; at < size;) {
        size_t before = at;
        char_class_t class = next_class(text, size, &at);
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
