// markdown_inline: links, emphasis, tags, entities, escapes.

#include "markdown_inline.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

// Bytes looked at for the end of a link, a tag, a code span; of a comment.
enum {
    LONGEST_LINK = 1000,
    LONGEST_COMMENT = 10000
};

static bool is_word(char c)
{
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || (c & 0x80);
}

// Appends a code point as UTF-8; what is none (0, a surrogate) becomes U+FFFD.
static void add_code_point(unsigned long c, rl_buf_t *out)
{
    char bytes[4];
    size_t size;
    if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        c = 0xfffd;
    if (c < 0x80) {
        bytes[0] = (char)c;
        size = 1;
    } else if (c < 0x800) {
        bytes[0] = (char)(0xc0 | c >> 6);
        bytes[1] = (char)(0x80 | (c & 0x3f));
        size = 2;
    } else if (c < 0x10000) {
        bytes[0] = (char)(0xe0 | c >> 12);
        bytes[1] = (char)(0x80 | (c >> 6 & 0x3f));
        bytes[2] = (char)(0x80 | (c & 0x3f));
        size = 3;
    } else {
        bytes[0] = (char)(0xf0 | c >> 18);
        bytes[1] = (char)(0x80 | (c >> 12 & 0x3f));
        bytes[2] = (char)(0x80 | (c >> 6 & 0x3f));
        bytes[3] = (char)(0x80 | (c & 0x3f));
        size = 4;
    }
    rl_buf_add(out, bytes, size);
}

// An entity at `text` ("&amp;"): appends its character and returns its length, 0 if it is none.
static size_t entity(const char *text, size_t size, rl_buf_t *out)
{
    static const struct {
        const char *name, *is;
    } known[] = {
        {"amp", "&"},   {"lt", "<"},     {"gt", ">"},     {"quot", "\""},  {"apos", "'"},
        {"nbsp", " "},  {"copy", "©"},   {"reg", "®"},    {"trade", "™"},  {"hellip", "…"},
        {"mdash", "—"}, {"ndash", "–"},  {"lsquo", "‘"},  {"rsquo", "’"},  {"ldquo", "“"},
        {"rdquo", "”"}, {"laquo", "«"},  {"raquo", "»"},  {"times", "×"},  {"middot", "·"},
        {"bull", "•"},  {"deg", "°"},    {"plusmn", "±"}, {"micro", "µ"},  {"rarr", "→"},
        {"larr", "←"},  {"le", "≤"},     {"ge", "≥"},     {"ne", "≠"},     {"auml", "ä"},
        {"ouml", "ö"},  {"uuml", "ü"},   {"Auml", "Ä"},   {"Ouml", "Ö"},   {"Uuml", "Ü"},
        {"szlig", "ß"}, {"eacute", "é"}, {"egrave", "è"}, {"ccedil", "ç"}, {"ntilde", "ñ"},
    };
    const char *end = memchr(text, ';', size < 12 ? size : 12);
    if (!end || end - text < 3)
        return 0;
    size_t length = (size_t)(end - text) + 1;
    if (text[1] == '#') {
        char *stop;
        bool hex = (text[2] | 32) == 'x';
        if (!is_word(text[hex ? 3 : 2]))
            return 0;
        unsigned long c = strtoul(text + (hex ? 3 : 2), &stop, hex ? 16 : 10);
        if (stop != end)
            return 0;
        add_code_point(c, out);
        return length;
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strlen(known[i].name) == length - 2 &&
            memcmp(known[i].name, text + 1, length - 2) == 0) {
            rl_buf_adds(out, known[i].is);
            return length;
        }
    }
    return 0;
}

// The place of the bracket that closes the one at `at`, or `size` if none does.
static size_t closing(const char *text, size_t size, size_t at, char open, char close)
{
    size_t depth = 0, end = size - at > LONGEST_LINK ? at + LONGEST_LINK : size;
    for (size_t i = at; i < end; i++) {
        if (text[i] == '\\')
            i++;
        else if (text[i] == open)
            depth++;
        else if (text[i] == close && --depth == 0)
            return i;
    }
    return size;
}

// A link or image whose "[" is at `at`: where it ends, and its words in [*from_p, *to_p).
// Returns 0 if it is none.
static size_t link_end(const char *text, size_t size, size_t at, size_t *from_p, size_t *to_p)
{
    size_t close = closing(text, size, at, '[', ']');
    if (close == size)
        return 0;
    *from_p = at + 1;
    *to_p = close;
    size_t next = close + 1;
    if (next < size && text[next] == '(') {
        size_t end = closing(text, size, next, '(', ')');
        return end < size ? end + 1 : 0;
    }
    if (next < size && text[next] == '[') {
        size_t end = closing(text, size, next, '[', ']');
        return end < size ? end + 1 : 0;
    }
    return 0;
}

// An HTML tag, a comment or an autolink at `at` ("<"): its end, 0 if it is none. A tag is left out;
// of an autolink the address stays.
static size_t tag_end(const char *text, size_t size, size_t at, rl_buf_t *out)
{
    if (size - at > 4 && memcmp(text + at, "<!--", 4) == 0) {
        size_t most = size - at - 4 < LONGEST_COMMENT ? size - at - 4 : LONGEST_COMMENT;
        const char *end = memmem(text + at + 4, most, "-->", 3);
        return end ? (size_t)(end - text) + 3 : 0;
    }
    size_t limit = size - at > LONGEST_LINK ? LONGEST_LINK : size - at;
    const char *end = memchr(text + at, '>', limit);
    if (!end || at + 1 >= size)
        return 0;
    size_t close = (size_t)(end - text), name = at + 1 + (text[at + 1] == '/');
    if ((text[name] | 32) < 'a' || (text[name] | 32) > 'z')
        return 0;
    size_t i = name;
    while (i < close && (is_word(text[i]) || text[i] == '-'))
        i++;
    if (text[i] == ':' || memchr(text + name, '@', close - name)) {
        if (memchr(text + at, ' ', close - at) && text[i] == ':')
            return 0;
        if (!memchr(text + at, ' ', close - at)) {
            rl_buf_add(out, text + at + 1, close - at - 1);
            return close + 1;
        }
    }
    if (i < close && text[i] != ' ' && text[i] != '/' && text[i] != '\n' && text[i] != '\t')
        return 0;
    if (close - name >= 2 && strncasecmp(text + name, "br", 2) == 0 && i == name + 2)
        rl_buf_adds(out, "\n");
    return close + 1;
}

// A code span at `at`: its end (with the backticks), 0 if nothing closes it.
static size_t code_end(const char *text, size_t size, size_t at)
{
    size_t ticks = 0;
    while (at + ticks < size && text[at + ticks] == '`')
        ticks++;
    size_t limit = size - at > LONGEST_LINK ? at + LONGEST_LINK : size;
    for (size_t i = at + ticks; i < limit;) {
        size_t run = 0;
        while (i + run < limit && text[i + run] == '`')
            run++;
        if (run == ticks)
            return i + run;
        i += run ? run : 1;
    }
    return 0;
}

// Whether the run of * or _ (or ~~) at [at, end) marks emphasis rather than standing for itself: it
// touches a word on one side only; "_" within a word ("zmq_send") never does.
static bool is_emphasis(const char *text, size_t size, size_t at, size_t end)
{
    bool left = at > 0 && text[at - 1] != ' ' && text[at - 1] != '\n';
    bool right = end < size && text[end] != ' ' && text[end] != '\n';
    if (text[at] == '_')
        return !(at > 0 && is_word(text[at - 1]) && end < size && is_word(text[end])) &&
               (left || right);
    if (text[at] == '~')
        return end - at == 2 && (left || right);
    return end - at <= 3 && (left || right);
}

void markdown_inline(const char *text, size_t size, rl_buf_t *out)
{
    for (size_t at = 0; at < size && !out->full;) {
        char c = text[at];
        size_t end = 0, from = 0, to = 0;
        if (c == '\\' && at + 1 < size &&
            strchr("\\`*_{}[]()#+-.!|<>~\"'$&:;,/=?@^%", text[at + 1])) {
            rl_buf_add(out, text + at + 1, 1);
            end = at + 2;
        } else if (c == '`') {
            end = code_end(text, size, at);
            if (end)
                rl_buf_add(out, text + at, end - at);
        } else if (c == '!' && at + 1 < size && text[at + 1] == '[') {
            end = link_end(text, size, at + 1, &from, &to);
        } else if (c == '[') {
            end = link_end(text, size, at, &from, &to);
        } else if (c == '<') {
            end = tag_end(text, size, at, out);
        } else if (c == '&') {
            size_t length = entity(text + at, size - at, out);
            end = length ? at + length : 0;
        } else if (c == '*' || c == '_' || c == '~') {
            size_t run = at;
            while (run < size && text[run] == c)
                run++;
            if (!is_emphasis(text, size, at, run))
                rl_buf_add(out, text + at, run - at);
            end = run;
        }
        if (end && to > from) // the words of a link may hold marks; no deeper than LONGEST_LINK / 4
            markdown_inline(text + from, to - from, out);
        if (!end) {
            rl_buf_add(out, text + at, 1);
            end = at + 1;
        }
        at = end;
    }
}
