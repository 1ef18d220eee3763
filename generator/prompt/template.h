// template: a prompt template as read from its file; prompt.h has the form of the file.
#ifndef TEMPLATE_H
#define TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

enum {
    TEMPLATE_SECTIONS = 16,
    TEMPLATE_PARTS = 64
};

typedef enum template_what {
    PART_TEXT,
    PART_PASSAGES, // of a message
    PART_QUESTION,
    PART_TURNS,
    PART_N, // of a passage
    PART_TITLE,
    PART_HEADING,
    PART_WHERE,
    PART_SOURCE,
    PART_BODY,
} template_what_t;

typedef struct template_part {
    template_what_t what;
    const char *text; // PART_TEXT, in the template's own copy of the file
    size_t size;
} template_part_t;

typedef enum template_kind {
    SECTION_SYSTEM,
    SECTION_USER,
    SECTION_TURNS,
    SECTION_PASSAGE
} template_kind_t;

typedef struct template_section {
    template_kind_t kind;
    template_part_t parts[TEMPLATE_PARTS];
    size_t size;
} template_section_t;

typedef struct prompt_template {
    char *source; // the file's text
    template_section_t passage;
    template_section_t sections[TEMPLATE_SECTIONS]; // the messages
    size_t sections_size;
    bool has_system, has_turns;
} prompt_template_t;

#endif
