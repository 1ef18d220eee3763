// json_scan: JSON in one pass.
#include "json_scan.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEEPEST = 64,        // objects and arrays within each other
    NUMBER_BYTES = 1024, // of a number that strtod reads
    EXACT_DIGITS = 19,   // fit an unsigned 64-bit number
    EXACT_POWER = 22,    // the powers of ten up to here are exact doubles
};

rl_scan_t rl_scan_make(const char *data, size_t size)
{
    return (rl_scan_t){.at = data, .end = data + size};
}

static bool fail(rl_scan_t *self)
{
    self->bad = true;
    self->at = self->end;
    return false;
}

static void skip_space(rl_scan_t *self)
{
    while (self->at < self->end &&
           (*self->at == ' ' || *self->at == '\n' || *self->at == '\r' || *self->at == '\t'))
        self->at++;
}

char rl_scan_peek(rl_scan_t *self)
{
    skip_space(self);
    return self->at < self->end ? *self->at : '\0';
}

static bool take(rl_scan_t *self, char byte)
{
    if (rl_scan_peek(self) != byte)
        return false;
    self->at++;
    return true;
}

static bool enter(rl_scan_t *self, char byte)
{
    if (!take(self, byte) || self->deep == DEEPEST)
        return fail(self);
    self->deep++;
    self->first = true;
    return true;
}

bool rl_scan_enter_object(rl_scan_t *self)
{
    return enter(self, '{');
}

bool rl_scan_enter_array(rl_scan_t *self)
{
    return enter(self, '[');
}

// Whether something more comes in the object or array at hand.
static bool more(rl_scan_t *self, char closing)
{
    if (self->bad)
        return false;
    if (take(self, closing)) {
        self->deep--;
        self->first = false;
        return false;
    }
    if (!self->first && !take(self, ','))
        return fail(self);
    self->first = false;
    return true;
}

bool rl_scan_item(rl_scan_t *self)
{
    return more(self, ']');
}

bool rl_scan_member(rl_scan_t *self, const char **name, size_t *size)
{
    if (!more(self, '}') || !rl_scan_string(self, name, size))
        return false;
    return take(self, ':') || fail(self);
}

// ---- strings ------------------------------------------------------------------------------------

static int hex(const char *at, const char *end, unsigned *unit)
{
    *unit = 0;
    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = at[i], letter = (char)(c | 0x20);
        bool digit = c >= '0' && c <= '9';
        if (!digit && (letter < 'a' || letter > 'f'))
            return -1;
        *unit = *unit << 4 | (unsigned)(digit ? c - '0' : letter - 'a' + 10);
    }
    return 0;
}

bool rl_scan_string(rl_scan_t *self, const char **raw, size_t *size)
{
    unsigned unit;
    if (!take(self, '"'))
        return fail(self);
    *raw = self->at;
    for (const char *at = self->at; at < self->end; at++) {
        if (*at == '"') {
            *size = (size_t)(at - *raw);
            self->at = at + 1;
            return true;
        }
        if ((unsigned char)*at < ' ')
            return fail(self);
        if (*at != '\\')
            continue;
        if (++at == self->end || !*at || !strchr("\"\\/bfnrtu", *at) ||
            (*at == 'u' && hex(at + 1, self->end, &unit) != 0))
            return fail(self);
    }
    return fail(self);
}

static char *put_utf8(char *out, unsigned point)
{
    if (point < 0x80) {
        *out++ = (char)point;
    } else if (point < 0x800) {
        *out++ = (char)(0xc0 | point >> 6);
        *out++ = (char)(0x80 | (point & 0x3f));
    } else if (point < 0x10000) {
        *out++ = (char)(0xe0 | point >> 12);
        *out++ = (char)(0x80 | (point >> 6 & 0x3f));
        *out++ = (char)(0x80 | (point & 0x3f));
    } else {
        *out++ = (char)(0xf0 | point >> 18);
        *out++ = (char)(0x80 | (point >> 12 & 0x3f));
        *out++ = (char)(0x80 | (point >> 6 & 0x3f));
        *out++ = (char)(0x80 | (point & 0x3f));
    }
    return out;
}

// The character of a \u escape (`at` behind the u), two of them for one beyond U+FFFF. Returns the
// bytes used, 0 if it is none.
static size_t take_unicode(const char *at, const char *end, unsigned *point)
{
    unsigned low;
    if (hex(at, end, point) != 0 || *point == 0 || (*point >= 0xdc00 && *point < 0xe000))
        return 0;
    if (*point < 0xd800 || *point >= 0xe000)
        return 4;
    if (end - at < 10 || at[4] != '\\' || at[5] != 'u' || hex(at + 6, end, &low) != 0 ||
        low < 0xdc00 || low >= 0xe000)
        return 0;
    *point = 0x10000 + ((*point - 0xd800) << 10) + (low - 0xdc00);
    return 10;
}

long rl_scan_unescape(const char *raw, size_t size, char *out)
{
    static const char names[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
    const char *end = raw + size;
    char *to = out;
    while (raw < end) {
        const char *stop = memchr(raw, '\\', (size_t)(end - raw));
        size_t plain = (size_t)((stop ? stop : end) - raw);
        memcpy(to, raw, plain);
        to += plain;
        raw += plain;
        if (!stop)
            break;
        unsigned point;
        const char *name = end - raw > 1 && raw[1] ? strchr(names, raw[1]) : NULL;
        size_t used = name || end - raw < 3 ? 0 : take_unicode(raw + 2, end, &point);
        if (!name && used == 0)
            return -1;
        if (name)
            *to++ = bytes[name - names];
        else
            to = put_utf8(to, point);
        raw += 2 + used;
    }
    *to = '\0';
    return to - out;
}

// ---- numbers, and what is passed over -----------------------------------------------------------

static size_t take_digits(rl_scan_t *self, uint64_t *value, int *digits)
{
    const char *start = self->at;
    for (; self->at < self->end && *self->at >= '0' && *self->at <= '9'; self->at++) {
        *value = *value * 10 + (uint64_t)(*self->at - '0');
        *digits += *value > 0;
    }
    return (size_t)(self->at - start);
}

static bool by_strtod(rl_scan_t *self, const char *start, double *number)
{
    char text[NUMBER_BYTES];
    size_t size = (size_t)(self->at - start);
    if (size >= sizeof text)
        return fail(self);
    memcpy(text, start, size);
    text[size] = '\0';
    *number = strtod(text, NULL);
    return isfinite(*number) || fail(self);
}

// Up to 19 digits and small powers of ten are exact but for one rounding; the rest is strtod's.
bool rl_scan_number(rl_scan_t *self, double *number)
{
    static const double powers[EXACT_POWER + 1] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                   1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                                   1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    uint64_t value = 0, exponent = 0;
    int digits = 0, ignored = 0;
    skip_space(self);
    const char *start = self->at;
    bool minus = take(self, '-'), down = false;
    if (minus && self->at == self->end)
        return fail(self);
    const char *whole = self->at;
    size_t size = take_digits(self, &value, &digits), behind = 0;
    if (size == 0 || (size > 1 && *whole == '0'))
        return fail(self);
    if (self->at < self->end && *self->at == '.') {
        self->at++;
        behind = take_digits(self, &value, &digits);
        if (behind == 0)
            return fail(self);
    }
    if (self->at < self->end && (*self->at | 0x20) == 'e') {
        self->at++;
        down = self->at < self->end && *self->at == '-';
        self->at += down || (self->at < self->end && *self->at == '+');
        if (take_digits(self, &exponent, &ignored) == 0)
            return fail(self);
    }
    if (digits > EXACT_DIGITS || ignored > 4 || exponent > 1000 || behind > 1000)
        return by_strtod(self, start, number);
    long power = (down ? -(long)exponent : (long)exponent) - (long)behind;
    if (power < -EXACT_POWER || power > EXACT_POWER)
        return by_strtod(self, start, number);
    *number = power < 0 ? (double)value / powers[-power] : (double)value * powers[power];
    *number = minus ? -*number : *number;
    return true;
}

static bool skip_word(rl_scan_t *self, const char *word)
{
    size_t size = strlen(word);
    if ((size_t)(self->end - self->at) < size || memcmp(self->at, word, size) != 0)
        return fail(self);
    self->at += size;
    return true;
}

bool rl_scan_skip(rl_scan_t *self)
{
    const char *raw;
    size_t size;
    double number;
    switch (rl_scan_peek(self)) {
    case '"':
        return rl_scan_string(self, &raw, &size);
    case '{': // no deeper than DEEPEST
        rl_scan_enter_object(self);
        while (rl_scan_member(self, &raw, &size))
            rl_scan_skip(self);
        return !self->bad;
    case '[':
        rl_scan_enter_array(self);
        while (rl_scan_item(self))
            rl_scan_skip(self);
        return !self->bad;
    case 't':
        return skip_word(self, "true");
    case 'f':
        return skip_word(self, "false");
    case 'n':
        return skip_word(self, "null");
    default:
        return rl_scan_number(self, &number);
    }
}

bool rl_scan_ends(rl_scan_t *self)
{
    return rl_scan_peek(self) == '\0' && self->at == self->end && !self->bad && self->deep == 0;
}
