// template: reads a prompt template.
#include "template.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "mem.h"
#include "prompt.h"
#include "utf8.h"

enum {
    FILE_MAX = 1 << 18
};

// Tried with SmolLM2-135M-Instruct: asked to cite, or with a system text, it babbles; with a few
// passages and this form it answers rightly and briefly. Larger models do well with it, too;
// templates/large.txt is for them.
static const char built_in[] = "[passage]\n"
                               "[{n}] {where}\n"
                               "{text}\n"
                               "[user]\n"
                               "{passages}\n"
                               "\n"
                               "{turns}Based on the text above, answer the question.\n"
                               "Question: {question}\n"
                               "Answer:\n";

static const struct {
    const char *name;
    template_what_t what;
    bool in_passage;
} placeholders[] = {
    {"passages", PART_PASSAGES, false}, {"question", PART_QUESTION, false},
    {"turns", PART_TURNS, false},       {"n", PART_N, true},
    {"title", PART_TITLE, true},        {"heading", PART_HEADING, true},
    {"where", PART_WHERE, true},        {"source", PART_SOURCE, true},
    {"text", PART_BODY, true},
};

static const struct {
    const char *name;
    template_kind_t kind;
} kinds[] = {
    {"system", SECTION_SYSTEM},
    {"user", SECTION_USER},
    {"turns", SECTION_TURNS},
    {"passage", SECTION_PASSAGE},
};

typedef struct reader {
    prompt_template_t *template;
    template_section_t *section; // being filled
    const char *file;
    size_t line;
    bool has_passage, has_question, has_passages;
    char *why;
    size_t why_size;
} reader_t;

static int refuse_template(reader_t *reader, const char *what, const char *name, size_t size)
{
    return rl_fail(reader->why, reader->why_size, "%s:%zu: %s%.*s", reader->file, reader->line,
                   what, (int)(size < 64 ? size : 64), name);
}

static int add_part(reader_t *reader, template_what_t what, const char *text, size_t size)
{
    template_section_t *section = reader->section;
    if (what == PART_TEXT && size == 0)
        return 0;
    if (section->size == TEMPLATE_PARTS)
        return refuse_template(reader, "too many placeholders in one section", "", 0);
    section->parts[section->size++] = (template_part_t){what, text, size};
    return 0;
}

// A word of small letters in braces is a placeholder; any other brace is text.
static size_t placeholder_size(const char *text, const char *end)
{
    const char *at = text + 1;
    while (at < end && *at >= 'a' && *at <= 'z')
        at++;
    return at > text + 1 && at < end && *at == '}' ? (size_t)(at - text - 1) : 0;
}

static int add_placeholder(reader_t *reader, const char *name, size_t size)
{
    bool in_passage = reader->section->kind == SECTION_PASSAGE;
    for (size_t at = 0; at < sizeof placeholders / sizeof *placeholders; at++) {
        if (strlen(placeholders[at].name) != size || memcmp(placeholders[at].name, name, size) != 0)
            continue;
        if (placeholders[at].in_passage != in_passage)
            break;
        reader->has_question |= placeholders[at].what == PART_QUESTION;
        reader->has_passages |= placeholders[at].what == PART_PASSAGES;
        reader->template->has_turns |= placeholders[at].what == PART_TURNS;
        return add_part(reader, placeholders[at].what, NULL, 0);
    }
    return refuse_template(
        reader,
        in_passage ? "a passage has {n} {title} {heading} {where} {source} {text}, but not: "
                   : "a message has {passages} {question} {turns}, but not: ",
        name, size);
}

// The text of a section, less the line ends around it.
static int read_parts(reader_t *reader, const char *text, const char *end)
{
    while (text < end && (*text == '\n' || *text == '\r'))
        text++;
    while (end > text && (end[-1] == '\n' || end[-1] == '\r'))
        end--;
    const char *plain = text;
    for (const char *at = text; at < end; at++) {
        size_t size = *at == '{' ? placeholder_size(at, end) : 0;
        if (size == 0) {
            reader->line += *at == '\n';
            continue;
        }
        if (add_part(reader, PART_TEXT, plain, (size_t)(at - plain)) ||
            add_placeholder(reader, at + 1, size))
            return -1;
        at += size + 1;
        plain = at + 1;
    }
    return add_part(reader, PART_TEXT, plain, (size_t)(end - plain));
}

static int open_section(reader_t *reader, const char *name, size_t size)
{
    prompt_template_t *template = reader->template;
    size_t at = 0, all = sizeof kinds / sizeof *kinds;
    while (at < all && (strlen(kinds[at].name) != size || memcmp(kinds[at].name, name, size) != 0))
        at++;
    if (at == all)
        return refuse_template(
            reader, "sections are [passage] [system] [turns] [user], but not: ", name, size);
    if (kinds[at].kind == SECTION_PASSAGE) {
        if (reader->has_passage)
            return refuse_template(reader, "there is a [passage] already", "", 0);
        reader->has_passage = true;
        reader->section = &template->passage;
    } else if (template->sections_size == TEMPLATE_SECTIONS) {
        return refuse_template(reader, "too many sections", "", 0);
    } else {
        reader->section = &template->sections[template->sections_size++];
    }
    reader->section->kind = kinds[at].kind;
    template->has_system |= kinds[at].kind == SECTION_SYSTEM;
    template->has_turns |= kinds[at].kind == SECTION_TURNS;
    return 0;
}

// "[name]" alone on its line; returns the name's size, or 0.
static size_t header_size(const char *line, const char *end)
{
    const char *at = line + 1;
    if (line == end || *line != '[')
        return 0;
    while (at < end && *at >= 'a' && *at <= 'z')
        at++;
    size_t size = (size_t)(at - line - 1);
    if (size == 0 || at == end || *at++ != ']')
        return 0;
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\r'))
        at++;
    return at == end || *at == '\n' ? size : 0;
}

static const char *next_line(const char *at, const char *end)
{
    const char *line_end = memchr(at, '\n', (size_t)(end - at));
    return line_end ? line_end + 1 : end;
}

static int read_sections(reader_t *reader, const char *text, const char *end)
{
    const char *at = text;
    for (; at < end && !header_size(at, end); at = next_line(at, end), reader->line++)
        if (*at != '#' && *at != '\n' && *at != '\r')
            return refuse_template(reader, "text before the first section, such as [user]", "", 0);
    while (at < end) {
        size_t line = reader->line;
        if (open_section(reader, at + 1, header_size(at, end)) != 0)
            return -1;
        const char *body = next_line(at, end), *next = body;
        reader->line++;
        for (; next < end && !header_size(next, end); next = next_line(next, end))
            line++;
        if (read_parts(reader, body, next) != 0)
            return -1;
        if (reader->section->kind == SECTION_TURNS && reader->section->size > 0)
            return refuse_template(reader, "[turns] takes no text", "", 0);
        reader->line = line + 1;
        at = next;
    }
    if (!reader->has_question || !reader->has_passages)
        return refuse_template(reader, "a template needs {passages} and {question}", "", 0);
    if (!reader->has_passage)
        return refuse_template(reader, "a template needs a section [passage]", "", 0);
    return 0;
}

static char *read_file(const char *file, char *why, size_t why_size)
{
    FILE *in = fopen(file, "rb");
    if (!in) {
        rl_fail(why, why_size, "%s: %s", file, strerror(errno));
        return NULL;
    }
    char *text = rl_alloc(FILE_MAX + 1);
    size_t size = fread(text, 1, FILE_MAX + 1, in);
    fclose(in);
    if (size <= FILE_MAX && rl_utf8_valid(text, size))
        return text;
    rl_fail(why, why_size, "%s: %s", file,
            size > FILE_MAX ? "larger than 256 KiB" : "not UTF-8 text");
    free(text);
    return NULL;
}

prompt_template_t *prompt_template_new(const char *file, char *why, size_t why_size)
{
    bool own = file && *file;
    prompt_template_t *self = rl_new(*self);
    self->source = own ? read_file(file, why, why_size) : rl_strdup(built_in);
    reader_t reader = {.template = self,
                       .file = own ? file : "built-in template",
                       .line = 1,
                       .why = why,
                       .why_size = why_size};
    if (!self->source ||
        read_sections(&reader, self->source, self->source + strlen(self->source)) != 0)
        prompt_template_destroy(&self);
    return self;
}

void prompt_template_destroy(prompt_template_t **self_p)
{
    prompt_template_t *self = *self_p;
    if (!self)
        return;
    free(self->source);
    free(self);
    *self_p = NULL;
}
