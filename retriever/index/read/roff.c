// roff: escapes and arguments, after groff(7).

#include "roff.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAX_STRINGS = 256,
    MAX_VALUE = 1024,
    MAX_NAME = 32,
    MAX_DEPTH = 8
};

typedef struct string {
    char name[MAX_NAME];
    char *value;
    size_t size;
} string_t;

struct roff {
    string_t strings[MAX_STRINGS];
    size_t size;
};

// groff_char(7), as far as pages use them.
static const struct {
    const char *name, *is;
} characters[] = {
    {"aq", "'"},
    {"dq", "\""},
    {"lq", "“"},
    {"rq", "”"},
    {"oq", "‘"},
    {"cq", "’"},
    {"em", "—"},
    {"en", "–"},
    {"hy", "-"},
    {"bu", "•"},
    {"co", "©"},
    {"rg", "®"},
    {"tm", "™"},
    {"ha", "^"},
    {"ti", "~"},
    {"rs", "\\"},
    {"sl", "/"},
    {"ga", "`"},
    {"aa", "´"},
    {"mi", "-"},
    {"pl", "+"},
    {"eq", "="},
    {"mu", "×"},
    {"di", "÷"},
    {"+-", "±"},
    {">=", "≥"},
    {"<=", "≤"},
    {"!=", "≠"},
    {"==", "≡"},
    {"~~", "≈"},
    {"->", "→"},
    {"<-", "←"},
    {"ua", "↑"},
    {"da", "↓"},
    {"<>", "↔"},
    {"rA", "⇒"},
    {"de", "°"},
    {"sc", "§"},
    {"dg", "†"},
    {"dd", "‡"},
    {"ps", "¶"},
    {"ct", "¢"},
    {"Po", "£"},
    {"Eu", "€"},
    {"eu", "€"},
    {"Ye", "¥"},
    {"Do", "$"},
    {"12", "½"},
    {"14", "¼"},
    {"34", "¾"},
    {"S1", "¹"},
    {"S2", "²"},
    {"S3", "³"},
    {"if", "∞"},
    {"lA", "⇐"},
    {"or", "|"},
    {"ba", "|"},
    {"bv", "|"},
    {"br", "|"},
    {"ul", "_"},
    {"ru", "_"},
    {"sq", "□"},
    {"ci", "○"},
    {"OK", "✓"},
    {"at", "@"},
    {"sh", "#"},
    {"lB", "["},
    {"rB", "]"},
    {"lC", "{"},
    {"rC", "}"},
    {"la", "⟨"},
    {"ra", "⟩"},
    {"Fo", "«"},
    {"Fc", "»"},
    {"fo", "‹"},
    {"fc", "›"},
    {"Bq", "„"},
    {"bq", "‚"},
    {"r!", "¡"},
    {"r?", "¿"},
    {"ss", "ß"},
    {"o/", "ø"},
    {"O/", "Ø"},
    {"/o", "ø"},
    {"/O", "Ø"},
    {"ae", "æ"},
    {"AE", "Æ"},
    {"oa", "å"},
    {"oA", "Å"},
    {":a", "ä"},
    {":o", "ö"},
    {":u", "ü"},
    {":A", "Ä"},
    {":O", "Ö"},
    {":U", "Ü"},
    {":e", "ë"},
    {":i", "ï"},
    {"'a", "á"},
    {"'e", "é"},
    {"'i", "í"},
    {"'o", "ó"},
    {"'u", "ú"},
    {"'A", "Á"},
    {"'E", "É"},
    {"`a", "à"},
    {"`e", "è"},
    {"`u", "ù"},
    {"`o", "ò"},
    {"^a", "â"},
    {"^e", "ê"},
    {"^i", "î"},
    {"^o", "ô"},
    {"^u", "û"},
    {"~n", "ñ"},
    {"~a", "ã"},
    {"~o", "õ"},
    {",c", "ç"},
    {",C", "Ç"},
    {"vS", "Š"},
    {"vs", "š"},
    {"vZ", "Ž"},
    {"vz", "ž"},
    {"*a", "α"},
    {"*b", "β"},
    {"*g", "γ"},
    {"*d", "δ"},
    {"*l", "λ"},
    {"*m", "μ"},
    {"*p", "π"},
    {"*s", "σ"},
    {"*W", "Ω"},
    {"mc", "µ"},
    {"no", "¬"},
    {"tno", "¬"},
    {"sr", "√"},
    {"mo", "∈"},
    {"th", "þ"},
    {"-D", "Ð"},
    {"Sd", "ð"},
    {"fm", "′"},
    {"sd", "″"},
    {"CR", "↵"},
    {"lh", "☜"},
    {"rh", "☞"},
    {"*e", "ε"},
    {"nb", "⊄"},
    {"ap", "∼"},
    {"~=", "≈"},
    {"**", "*"},
    {"\\-", "-"},
    // strings that the man and mdoc macro packages predefine
    {"R", "®"},
    {"Tm", "™"},
    {"Lq", "“"},
    {"Rq", "”"},
    {"Le", "≤"},
    {"Ge", "≥"},
    {"Ne", "≠"},
    {"Pm", "±"},
    {"Am", "&"},
    {"Ba", "|"},
    {"Gt", ">"},
    {"Lt", "<"},
    {"q", "\""},
    {"Aq", "'"},
    {"L\"", "“"},
    {"R\"", "”"},
    {"--", "—"},
    {"C'", "'"},
    {"C`", "\""},
};

roff_t *roff_new(void)
{
    return calloc(1, sizeof(roff_t));
}

void roff_destroy(roff_t **self_p)
{
    if (!*self_p)
        return;
    for (size_t i = 0; i < (*self_p)->size; i++)
        free((*self_p)->strings[i].value);
    free(*self_p);
    *self_p = NULL;
}

void roff_define(roff_t *self, const char *name, size_t name_size, const char *value,
                 size_t value_size)
{
    if (name_size == 0 || name_size >= MAX_NAME || value_size > MAX_VALUE)
        return;
    size_t at = 0;
    while (at < self->size && (strlen(self->strings[at].name) != name_size ||
                               memcmp(self->strings[at].name, name, name_size) != 0))
        at++;
    char *copy = at < MAX_STRINGS ? malloc(value_size + 1) : NULL;
    if (!copy)
        return;
    memcpy(copy, value, value_size);
    copy[value_size] = '\0';
    string_t *string = &self->strings[at];
    if (at == self->size)
        self->size++;
    free(string->value);
    memcpy(string->name, name, name_size);
    string->name[name_size] = '\0';
    string->value = copy;
    string->size = value_size;
}

static void add_character(const char *name, size_t size, rl_buf_t *out)
{
    // \[u00E9]
    if (size >= 5 && name[0] == 'u') {
        char digits[8] = {0};
        memcpy(digits, name + 1, size - 1 < 7 ? size - 1 : 7);
        char *end;
        unsigned long c = strtoul(digits, &end, 16);
        if (*end == '\0' && c >= 0x20 && c < 0x110000 && !(c >= 0xd800 && c < 0xe000)) {
            char utf8[5] = {0};
            if (c < 0x80) {
                utf8[0] = (char)c;
            } else if (c < 0x800) {
                utf8[0] = (char)(0xc0 | c >> 6);
                utf8[1] = (char)(0x80 | (c & 0x3f));
            } else if (c < 0x10000) {
                utf8[0] = (char)(0xe0 | c >> 12);
                utf8[1] = (char)(0x80 | (c >> 6 & 0x3f));
                utf8[2] = (char)(0x80 | (c & 0x3f));
            } else {
                utf8[0] = (char)(0xf0 | c >> 18);
                utf8[1] = (char)(0x80 | (c >> 12 & 0x3f));
                utf8[2] = (char)(0x80 | (c >> 6 & 0x3f));
                utf8[3] = (char)(0x80 | (c & 0x3f));
            }
            rl_buf_adds(out, utf8);
            return;
        }
    }
    for (size_t i = 0; i < sizeof characters / sizeof *characters; i++) {
        if (strlen(characters[i].name) == size && memcmp(characters[i].name, name, size) == 0) {
            rl_buf_adds(out, characters[i].is);
            return;
        }
    }
}

// A name behind an escape: "x", "(xx" or "[xxx]". Returns where it ends.
static size_t name_of(const char *text, size_t size, size_t at, const char **name_p,
                      size_t *name_size_p)
{
    *name_p = text + at;
    *name_size_p = 0;
    if (at >= size)
        return size;
    if (text[at] == '(') {
        *name_p = text + at + 1;
        *name_size_p = size - at - 1 < 2 ? size - at - 1 : 2;
        return at + 1 + *name_size_p;
    }
    if (text[at] == '[') {
        const char *end = memchr(text + at, ']', size - at);
        if (!end)
            return size;
        *name_p = text + at + 1;
        *name_size_p = (size_t)(end - *name_p);
        return (size_t)(end - text) + 1;
    }
    *name_size_p = 1;
    return at + 1;
}

// Behind a quoted argument: \h'…'
static size_t skip_quoted(const char *text, size_t size, size_t at)
{
    if (at >= size)
        return size;
    const char *end = memchr(text + at + 1, text[at], size - at - 1);
    return end ? (size_t)(end - text) + 1 : size;
}

static void add_text(const roff_t *self, const char *text, size_t size, rl_buf_t *out, int depth);

static void add_string(const roff_t *self, const char *name, size_t size, rl_buf_t *out, int depth)
{
    for (size_t i = 0; self && i < self->size; i++) {
        const string_t *string = &self->strings[i];
        if (strlen(string->name) == size && memcmp(string->name, name, size) == 0) {
            if (depth < MAX_DEPTH) // a string may stand in another, or in itself
                add_text(self, string->value, string->size, out, depth + 1);
            return;
        }
    }
    add_character(name, size, out);
}

// Behind \s (size of letters): \s+2, \s'3', \s(12, \s[+1].
static size_t skip_size(const char *text, size_t size, size_t at)
{
    const char *name;
    size_t name_size;
    if (at < size && (text[at] == '+' || text[at] == '-'))
        at++;
    if (at < size && text[at] == '\'')
        return skip_quoted(text, size, at);
    if (at < size && (text[at] == '(' || text[at] == '['))
        return name_of(text, size, at, &name, &name_size);
    while (at < size && text[at] >= '0' && text[at] <= '9')
        at++;
    return at;
}

static bool one_of(char c, const char *list)
{
    return c && strchr(list, c);
}

// The escape whose letter is at `at`; returns where it ends.
static size_t add_escape(const roff_t *self, const char *text, size_t size, size_t at,
                         rl_buf_t *out, int depth)
{
    const char *name;
    size_t name_size;
    char c = text[at];
    if (one_of(c, "\"#"))
        return size; // a comment
    if (one_of(c, "-.'`_\\eE ~0t")) {
        char shown = one_of(c, "eE") ? '\\' : one_of(c, "~0") ? ' ' : c == 't' ? '\t' : c;
        rl_buf_add(out, &shown, 1);
        return at + 1;
    }
    if (one_of(c, "([")) {
        at = name_of(text, size, at, &name, &name_size);
        add_character(name, name_size, out);
        return at;
    }
    if (c == 'C') {
        name_size = skip_quoted(text, size, at + 1);
        if (name_size >= at + 3)
            add_character(text + at + 2, name_size - at - 3, out);
        return name_size;
    }
    if (c == '*') {
        at = name_of(text, size, at + 1, &name, &name_size);
        add_string(self, name, name_size, out, depth);
        return at;
    }
    if (one_of(c, "fFmMngkYV")) { // fonts, colours, registers
        at++;
        if (c == 'n' && at < size && (text[at] == '+' || text[at] == '-'))
            at++;
        return name_of(text, size, at, &name, &name_size);
    }
    if (c == 's')
        return skip_size(text, size, at + 1);
    if (one_of(c, "hvwlLobDXABNRSHxZ")) // movements, lines, measures
        return skip_quoted(text, size, at + 1);
    // \& \% \: \/ \, \) \| \^ \c \d \u \r \p and what is unknown: nothing to be seen
    return at + ((unsigned char)c < 0x80);
}

static void add_text(const roff_t *self, const char *text, size_t size, rl_buf_t *out, int depth)
{
    for (size_t at = 0; at < size && !out->full;) {
        const char *escape = memchr(text + at, '\\', size - at);
        size_t plain = (escape ? (size_t)(escape - text) : size) - at;
        rl_buf_add(out, text + at, plain);
        at += plain + 1;
        if (at < size)
            at = add_escape(self, text, size, at, out, depth);
        // an escape's name or delimiter counts in bytes: the rest of a character goes with it
        while (at < size && ((unsigned char)text[at] & 0xc0) == 0x80)
            at++;
    }
}

void roff_text(const roff_t *self, const char *text, size_t size, rl_buf_t *out)
{
    add_text(self, text, size, out, 0);
}

size_t roff_args(const char *text, size_t size, rl_buf_t *memory, size_t *list, size_t room)
{
    size_t count = 0, at = 0;
    while (count < room) {
        while (at < size && (text[at] == ' ' || text[at] == '\t'))
            at++;
        if (at >= size || (text[at] == '\\' && at + 1 < size && strchr("\"#", text[at + 1])))
            break;
        list[count++] = memory->size;
        bool quoted = text[at] == '"';
        at += quoted;
        while (at < size) {
            if (quoted && text[at] == '"') {
                if (at + 1 >= size || text[at + 1] != '"')
                    break;
                at++;
            } else if (!quoted && (text[at] == ' ' || text[at] == '\t')) {
                break;
            } else if (text[at] == '\\' && at + 1 < size) {
                rl_buf_add(memory, text + at++, 1);
            }
            rl_buf_add(memory, text + at++, 1);
        }
        at += quoted && at < size;
        rl_buf_add(memory, "", 1);
    }
    return count;
}
