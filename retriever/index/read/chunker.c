// chunker: sections from headings, small ones joined, and each cut into passages.

#include "chunker.h"

#include <stdlib.h>
#include <string.h>

#include "sentence.h"
#include "text_length.h"
#include "utf8.h"

enum {
    LEVELS = 6
};

// A heading (if any) and the blocks up to the next heading.
typedef struct section {
    size_t first, end; // blocks; blocks[first] is the heading if has_heading
    bool has_heading;
    size_t path[LEVELS]; // blocks of the headings above and of its own, outermost first
    size_t depth;
    size_t size;   // of what is below the heading, in the rules' measure
    size_t tokens; // of all of it, heading too
    bool body;     // there is something below the heading
} section_t;

// Sections that are cut as one.
typedef struct group {
    size_t first, end; // sections
    size_t path[LEVELS];
    size_t depth;
    size_t size, tokens;
    bool body;
} group_t;

// The smallest piece that may be moved from one passage to the next: a sentence, a line, a heading.
typedef struct unit {
    size_t start, end;
    size_t size, tokens;
    bool fresh;   // first of its paragraph: a good place for a cut
    bool line;    // of code or a table
    bool heading; // stays with what follows
} unit_t;

typedef struct chunker {
    const document_t *doc;
    const chunk_rules_t *rules;
    chunk_fn *fn;
    void *arg;
    size_t target; // in the rules' measure
    unit_t *units;
    size_t units_size, units_room;
} chunker_t;

static size_t length_of(const chunker_t *self, const char *text, size_t size)
{
    return self->rules->tokens ? text_length_tokens(text, size) : text_length_words(text, size);
}

// ---- what is embedded ---------------------------------------------------------------------------

static size_t head_size(const chunk_rules_t *rules, const char *text)
{
    return *text ? text_length_fit(text, strlen(text), rules->max_tokens / 4) : 0;
}

// Tokens left for the text of a passage under this title and heading path.
static size_t text_budget(const chunk_rules_t *rules, const char *title, const char *heading)
{
    // two at the ends, and two where a word without end was cut
    size_t used = 4 + text_length_tokens(rules->prefix, strlen(rules->prefix)) +
                  text_length_tokens(title, head_size(rules, title)) +
                  text_length_tokens(heading, head_size(rules, heading));
    size_t least = rules->max_tokens / 4;
    return used + least < rules->max_tokens ? rules->max_tokens - used : least;
}

static int add_line(rl_buf_t *out, const char *text, size_t size)
{
    return size == 0 || (rl_buf_add(out, text, size) == 0 && rl_buf_adds(out, "\n") == 0) ? 0 : -1;
}

int chunk_embedded(const chunk_rules_t *rules, const char *title, const char *heading,
                   const char *text, size_t size, rl_buf_t *out)
{
    rl_buf_clear(out);
    if (rl_buf_adds(out, rules->prefix) != 0 ||
        add_line(out, title, head_size(rules, title)) != 0 ||
        add_line(out, heading, head_size(rules, heading)) != 0)
        return -1;
    return rl_buf_add(out, text, size);
}

// ---- sections -----------------------------------------------------------------------------------

static bool is_title(const document_t *doc, const block_t *block)
{
    size_t size = block->end - block->start;
    return strlen(doc->title) == size &&
           memcmp(doc->text.data + block->start, doc->title, size) == 0;
}

// The document's sections, at least one; malloc'd.
static section_t *find_sections(const chunker_t *self, size_t *size_p)
{
    const document_t *doc = self->doc;
    size_t room = 1;
    for (size_t i = 0; i < doc->blocks_size; i++)
        room += doc->blocks[i].kind == BLOCK_HEADING;
    section_t *sections = calloc(room, sizeof *sections);
    if (!sections)
        return NULL;
    size_t above[LEVELS + 1] = {0}; // block + 1 of the heading in force at each level, 0 if none
    size_t size = 1;
    for (size_t i = 0; i < doc->blocks_size; i++) {
        const block_t *block = &doc->blocks[i];
        const char *text = doc->text.data + block->start;
        section_t *section = &sections[size - 1];
        if (block->kind == BLOCK_HEADING) {
            section = &sections[size++];
            *section = (section_t){.first = i, .has_heading = true};
            size_t level = block->level < 1 ? 1 : block->level > LEVELS ? LEVELS : block->level;
            // the title need not be repeated in the path of every passage
            above[level] = is_title(doc, block) ? 0 : i + 1;
            for (size_t l = level + 1; l <= LEVELS; l++)
                above[l] = 0;
            for (size_t l = 1; l <= LEVELS; l++)
                if (above[l])
                    section->path[section->depth++] = above[l] - 1;
        } else {
            section->size += length_of(self, text, block->end - block->start);
            section->body = true;
        }
        section->tokens += text_length_tokens(text, block->end - block->start);
        section->end = i + 1;
    }
    *size_p = size;
    return sections;
}

static bool same_path(const size_t *a, const size_t *b, size_t depth)
{
    return memcmp(a, b, depth * sizeof *a) == 0;
}

// Adds the section to the group if one of them is tiny, they are under the same parent (or the
// section is right below the group's) and both fit.
static bool join_section(const chunker_t *self, group_t *group, const section_t *section)
{
    size_t tiny = self->target / 6;
    if (group->size >= tiny && section->size >= tiny)
        return false;
    if (!group->body && section->depth > group->depth)
        return false; // a heading without text of its own: it is in the path of what is below
    size_t heading = section->has_heading ? 8 : 0; // what a heading may take, roughly
    if (group->size + section->size + heading > self->target ||
        group->tokens + section->tokens > self->rules->max_tokens / 2)
        return false;
    bool below =
        section->depth == group->depth + 1 && same_path(section->path, group->path, group->depth);
    bool beside = section->depth == group->depth && group->depth > 0 &&
                  same_path(section->path, group->path, group->depth - 1);
    if (!below && !beside)
        return false;
    if (beside)
        group->depth--;
    group->body = group->body || section->body;
    group->end++;
    group->size += section->size;
    group->tokens += section->tokens;
    return true;
}

// ---- units --------------------------------------------------------------------------------------

static int add_unit(chunker_t *self, unit_t unit)
{
    if (self->units_size == self->units_room) {
        size_t room = self->units_room ? self->units_room * 2 : 256;
        unit_t *units = realloc(self->units, room * sizeof *units);
        if (!units)
            return -1;
        self->units = units;
        self->units_room = room;
    }
    self->units[self->units_size++] = unit;
    return 0;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n';
}

// Adds [start, end) as one unit, or as several if it has more than `most` tokens.
static int add_units(chunker_t *self, size_t start, size_t end, unit_t unit, size_t most)
{
    const char *text = self->doc->text.data;
    while (start < end) {
        size_t size = text_length_fit(text + start, end - start, most);
        unit.start = start;
        unit.end = start + size;
        unit.size = length_of(self, text + start, size);
        unit.tokens = text_length_tokens(text + start, size);
        if (add_unit(self, unit) != 0)
            return -1;
        unit.fresh = false;
        start += size;
        while (!unit.line && start < end && is_space(text[start]))
            start++;
    }
    return 0;
}

static int add_block(chunker_t *self, const block_t *block, size_t most)
{
    const char *text = self->doc->text.data;
    unit_t unit = {.fresh = true, .line = block->kind == BLOCK_LINES};
    if (block->kind == BLOCK_HEADING) {
        unit.heading = true;
        return add_units(self, block->start, block->end, unit, most);
    }
    for (size_t at = block->start; at < block->end;) {
        size_t end;
        if (unit.line) {
            const char *newline = memchr(text + at, '\n', block->end - at);
            end = newline ? (size_t)(newline - text) : block->end;
        } else {
            end = rl_sentence_end(text, block->end, at);
        }
        if (add_units(self, at, end, unit, most) != 0)
            return -1;
        unit.fresh = false;
        at = end;
        while (at < block->end && (unit.line ? text[at] == '\n' : is_space(text[at])))
            at++;
    }
    return 0;
}

static int find_units(chunker_t *self, const section_t *sections, const group_t *group,
                      size_t budget)
{
    // a sentence without end must not become a passage many times the length aimed at
    size_t most = 2 * self->target + 16 < budget ? 2 * self->target + 16 : budget;
    self->units_size = 0;
    for (size_t s = group->first; s < group->end; s++) {
        const section_t *section = &sections[s];
        for (size_t i = section->first; i < section->end; i++) {
            const block_t *block = &self->doc->blocks[i];
            bool in_path = false;
            for (size_t d = 0; d < group->depth; d++)
                in_path = in_path || group->path[d] == i;
            bool heading = block->kind == BLOCK_HEADING;
            if (heading && (in_path || is_title(self->doc, block)))
                continue;
            if (add_block(self, block, most) != 0)
                return -1;
        }
    }
    return 0;
}

// ---- passages -----------------------------------------------------------------------------------

// Where the passage that begins at unit `from` ends (one behind its last unit); at least `least`.
static size_t find_cut(const chunker_t *self, size_t from, size_t least, size_t budget)
{
    const unit_t *units = self->units;
    size_t to = from, size = 0, tokens = 0;
    while (to < self->units_size && size + units[to].size <= self->target &&
           tokens + units[to].tokens <= budget) {
        size += units[to].size;
        tokens += units[to].tokens;
        to++;
    }
    if (to < least)
        return least;
    // a short rest comes along rather than standing alone
    size_t rest = 0, rest_tokens = 0;
    for (size_t i = to; i < self->units_size && rest <= self->target / 6; i++) {
        rest += units[i].size;
        rest_tokens += units[i].tokens;
    }
    if (rest <= self->target / 6 && tokens + rest_tokens <= budget)
        return self->units_size;
    // back to the end of a paragraph, if what is left is no less than three fifths
    size_t left = size;
    for (size_t cut = to; cut > least && left * 5 >= self->target * 3; cut--) {
        if (units[cut].fresh && !units[cut - 1].heading)
            return cut;
        left -= units[cut - 1].size;
    }
    while (to > least && units[to - 1].heading)
        to--;
    return to;
}

// Where the next passage begins: so many whole sentences before `cut` as the overlap takes.
static size_t step_back(const chunker_t *self, size_t from, size_t cut, size_t budget)
{
    const unit_t *units = self->units;
    size_t size = 0, tokens = 0, next = cut;
    if (units[cut].heading)
        return cut;
    while (next > from + 1) {
        const unit_t *unit = &units[next - 1];
        if (unit->line || unit->heading || size + unit->size > self->rules->overlap ||
            size + unit->size + units[cut].size > self->target ||
            tokens + unit->tokens + units[cut].tokens > budget)
            break;
        size += unit->size;
        tokens += unit->tokens;
        next--;
    }
    return next;
}

static void write_path(const document_t *doc, const group_t *group, char *out, size_t room)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t d = 0; d < group->depth; d++) {
        const block_t *block = &doc->blocks[group->path[d]];
        size_t size = block->end - block->start;
        if (used > 0 && used + 4 < room) {
            memcpy(out + used, " > ", 3);
            used += 3;
        }
        if (used + size >= room)
            size = room - 1 - used;
        memcpy(out + used, doc->text.data + block->start, size);
        used += size;
        used = rl_utf8_whole(out, used);
        out[used] = '\0';
    }
}

static int cut_group(chunker_t *self, const section_t *sections, const group_t *group)
{
    if (!group->body)
        return 0;
    char heading[CHUNK_MAX_HEADING];
    write_path(self->doc, group, heading, sizeof heading);
    size_t budget = text_budget(self->rules, self->doc->title, heading);
    if (find_units(self, sections, group, budget) != 0)
        return -1;
    for (size_t from = 0, least = 1; from < self->units_size;) {
        size_t cut = find_cut(self, from, least, budget);
        chunk_t chunk = {
            .start = self->units[from].start, .end = self->units[cut - 1].end, .heading = heading};
        int rc = self->fn(self->arg, &chunk);
        if (rc != 0)
            return rc;
        if (cut == self->units_size)
            break;
        from = step_back(self, from, cut, budget);
        least = cut + 1;
    }
    return 0;
}

int chunk_document(const document_t *doc, const chunk_rules_t *rules, chunk_fn *fn, void *arg)
{
    chunker_t self = {.doc = doc, .rules = rules, .fn = fn, .arg = arg};
    self.target = rules->tokens ? rules->tokens : rules->words;
    size_t size = 0;
    section_t *sections = find_sections(&self, &size);
    if (!sections)
        return -1;
    int rc = 0;
    for (size_t i = 0; i < size && rc == 0;) {
        group_t group = {.first = i,
                         .end = i + 1,
                         .depth = sections[i].depth,
                         .size = sections[i].size,
                         .tokens = sections[i].tokens,
                         .body = sections[i].body};
        memcpy(group.path, sections[i].path, sizeof group.path);
        while (group.end < size && join_section(&self, &group, &sections[group.end]))
            continue;
        rc = cut_group(&self, sections, &group);
        i = group.end;
    }
    free(sections);
    free(self.units);
    return rc;
}
