// names: an open hash table over a list of strings.
#include "names.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"

enum {
    SLOTS = 1 << 18, // four times NAMES_MAX: probes stay short
};

struct names {
    char **texts;
    uint32_t size;
    uint32_t slots[SLOTS]; // number + 1, 0: free
};

names_t *names_new(void)
{
    names_t *self = rl_new(*self);
    self->texts = rl_alloc_array(NAMES_MAX + 1, sizeof *self->texts);
    return self;
}

void names_destroy(names_t **self_p)
{
    names_t *self = *self_p;
    if (!self)
        return;
    for (uint32_t at = 0; at < self->size; at++)
        free(self->texts[at]);
    free(self->texts);
    free(self);
    *self_p = NULL;
}

// FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/
static uint32_t hash_of(const char *text, size_t size)
{
    uint32_t hash = 2166136261u;
    for (size_t at = 0; at < size; at++)
        hash = (hash ^ (unsigned char)text[at]) * 16777619u;
    return hash;
}

// The string's number plus one, or 0 and the slot where it belongs.
static uint32_t find_slot(const names_t *self, const char *text, size_t size, uint32_t *slot)
{
    uint32_t at = hash_of(text, size) % SLOTS;
    for (; self->slots[at]; at = (at + 1) % SLOTS) {
        const char *known = self->texts[self->slots[at] - 1];
        if (strlen(known) == size && memcmp(known, text, size) == 0)
            return self->slots[at];
    }
    *slot = at;
    return 0;
}

uint32_t names_number(names_t *self, const char *text, size_t size)
{
    static const char others[] = "others";
    uint32_t slot, found = find_slot(self, text, size, &slot);
    if (!found && self->size >= NAMES_MAX) {
        text = others;
        size = sizeof others - 1;
        found = find_slot(self, text, size, &slot);
    }
    if (found)
        return found - 1;
    self->texts[self->size] = rl_strndup(text, size);
    self->slots[slot] = ++self->size;
    return self->size - 1;
}

const char *names_text(const names_t *self, uint32_t number)
{
    return number < self->size ? self->texts[number] : "";
}

uint32_t names_size(const names_t *self)
{
    return self->size;
}
