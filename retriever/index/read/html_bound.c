// html_bound: a walk over the tags, before Gumbo builds a tree. An element of formatting (<b>,
// <font …>) that is left open is made anew in every block that follows, as HTML demands: a file of
// 70 KB can become a tree of gigabytes.

#include "html_bound.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "fail.h"
#include "hash.h"

enum {
    MAX_DEPTH = 10000,     // Gumbo frees its tree by recursion, which must not use the stack up
    MAX_OPEN = 256,        // elements of formatting that may be open at once
    MAX_ALIKE = 3,         // of those with the same attributes a parser keeps so many
    MAX_ANEW = 512 << 10,  // elements made anew, of about 400 bytes each; more in a large file:
    BYTES_FOR_ANEW = 16,   // one for each so many bytes
    LONGEST_ALIKE = 1024,  // bytes of tags that are compared
    MAX_ATTRIBUTES = 4096, // of a tag: Gumbo compares each with all before it (60,000: 14 s)
};

typedef struct open_tag {
    const char *name;
    size_t size;   // of the name
    uint64_t hash; // of the whole tag; its own place if that is longer than LONGEST_ALIKE
} open_tag_t;

typedef struct bound {
    long depth;
    open_tag_t open[MAX_OPEN]; // elements of formatting, in the order in which they came
    size_t open_size;
    uint64_t anew;
} bound_t;

static bool is_one_of(const char *const *names, const char *name, size_t size)
{
    for (; *names; names++)
        if (strlen(*names) == size && strncasecmp(*names, name, size) == 0)
            return true;
    return false;
}

static bool is_formatting(const char *name, size_t size)
{
    static const char *const names[] = {"a", "b",     "big",    "code",   "em", "font", "i", "nobr",
                                        "s", "small", "strike", "strong", "tt", "u",    NULL};
    return is_one_of(names, name, size);
}

// Elements that hold no others, or that the next of their kind closes.
static bool is_flat(const char *name, size_t size)
{
    static const char *const names[] = {"p",  "br", "li",  "td",   "th",    "tr",   "dt", "dd",
                                        "hr", "a",  "img", "meta", "input", "link", NULL};
    return is_one_of(names, name, size);
}

static bool same_name(const open_tag_t *tag, const char *name, size_t size)
{
    return tag->size == size && strncasecmp(tag->name, name, size) == 0;
}

// Takes the last open element of this name away.
static void close_formatting(bound_t *self, const char *name, size_t size)
{
    for (size_t i = self->open_size; i > 0; i--) {
        if (!same_name(&self->open[i - 1], name, size))
            continue;
        memmove(&self->open[i - 1], &self->open[i], (self->open_size - i) * sizeof *self->open);
        self->open_size--;
        return;
    }
}

// False if too many are open. A link closes the one before it.
static bool open_formatting(bound_t *self, const char *name, size_t size, const char *end)
{
    size_t left = (size_t)(end - name);
    const char *close = memchr(name, '>', left < LONGEST_ALIKE ? left : LONGEST_ALIKE);
    open_tag_t tag = {.name = name,
                      .size = size,
                      .hash = close ? rl_hash64(name, (size_t)(close - name)) : (uintptr_t)name};
    size_t alike = 0;
    if (size == 1 && (*name | 32) == 'a')
        close_formatting(self, name, size);
    for (size_t i = 0; i < self->open_size; i++)
        alike += self->open[i].hash == tag.hash;
    if (alike >= MAX_ALIKE)
        return true;
    if (self->open_size == MAX_OPEN)
        return false;
    self->open[self->open_size++] = tag;
    return true;
}

static bool is_between(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '/';
}

// Passes over the tag that goes on at *at_p, to its ">". Whether it has no more attributes than are
// allowed; what stands in quotes behind "=" is a value.
static bool pass_attributes(const char **at_p, const char *end)
{
    size_t attributes = 0;
    bool apart = false; // another may begin
    const char *at = *at_p;
    for (; at < end && *at != '>' && attributes <= MAX_ATTRIBUTES; at++) {
        bool quoted = (*at == '"' || *at == '\'') && at[-1] == '=';
        const char *close = quoted ? memchr(at + 1, *at, (size_t)(end - at - 1)) : NULL;
        attributes += apart && !is_between(*at);
        apart = close || is_between(*at);
        at = close ? close : at;
    }
    *at_p = at;
    return attributes <= MAX_ATTRIBUTES;
}

int html_bound(const char *text, size_t size, char *why, size_t why_size)
{
    bound_t self = {0};
    uint64_t most = MAX_ANEW + size / BYTES_FOR_ANEW;
    const char *end = text + size, *passed = text; // up to here attributes were counted
    for (const char *at = text; (at = memchr(at, '<', (size_t)(end - at))); at++) {
        bool closes = at + 1 < end && at[1] == '/';
        const char *name = at + 1 + closes;
        size_t length = 0;
        while (name + length < end && ((name[length] | 32) >= 'a' && (name[length] | 32) <= 'z'))
            length++;
        if (length == 0)
            continue;
        bool inner = name < passed; // of a tag that was passed over
        passed = inner ? passed : name + length;
        if (!inner && !pass_attributes(&passed, end))
            return rl_fail(why, why_size, "HTML with a tag of more than %d attributes",
                           MAX_ATTRIBUTES);
        if (closes)
            self.depth -= self.depth > 0;
        else
            self.depth += !is_flat(name, length);
        if (self.depth > MAX_DEPTH)
            return rl_fail(why, why_size, "HTML nested deeper than %d elements", MAX_DEPTH);
        if (!is_formatting(name, length))
            self.anew += self.open_size;
        else if (closes)
            close_formatting(&self, name, length);
        else if (!open_formatting(&self, name, length, end))
            return rl_fail(why, why_size,
                           "HTML with more than %d elements like <font> open at once", MAX_OPEN);
        if (self.anew > most)
            return rl_fail(why, why_size,
                           "HTML whose elements like <font> are not closed and would "
                           "be made anew more than %llu times",
                           (unsigned long long)most);
    }
    return 0;
}
