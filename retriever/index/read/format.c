// format: chooses among the formats.

#include "format.h"

#include <string.h>
#include <strings.h>

#include "file_kind.h"
#include "input.h"

// In the order in which contents are looked at.
static const format_t *const formats[] = {
    &format_html, &format_man, &format_jsonl, &format_markdown, &format_plain,
};
enum {
    FORMATS = sizeof formats / sizeof *formats
};

// Text, but not for reading: what belongs to programs and pages.
static const char not_documents[] = "css js mjs map json svg xml po pot lock sum min";

static bool in_list(const char *list, const char *word, size_t size)
{
    while (*list) {
        size_t length = strcspn(list, " ");
        if (length == size && strncasecmp(list, word, size) == 0)
            return true;
        list += length;
        list += strspn(list, " ");
    }
    return false;
}

// The last part of the name behind a dot, less ".gz"; size 0 if there is none.
static const char *extension_of(const char *path, size_t *size_p)
{
    const char *name = strrchr(path, '/');
    name = name ? name + 1 : path;
    size_t size = strlen(name);
    if (size > 3 && strcasecmp(name + size - 3, ".gz") == 0)
        size -= 3;
    size_t dot = size;
    while (dot > 0 && name[dot - 1] != '.')
        dot--;
    *size_p = dot > 1 ? size - dot : 0;
    return name + dot;
}

// Whether these bytes are no text, and what they are.
static bool is_no_text(const char *head, size_t size, report_reason_t *reason_p,
                       const char **what_p)
{
    *reason_p = REPORT_FORMAT;
    if ((*what_p = file_kind_of(head, size)))
        return true;
    if (!input_binary(head, size))
        return false;
    if (input_utf16(head, size)) {
        *reason_p = REPORT_ENCODING;
        *what_p = "UTF-16 without a byte order mark";
    } else {
        *what_p = "no text";
    }
    return true;
}

const format_t *format_for(const char *path, const char *head, size_t size,
                           report_reason_t *reason_p, const char **what_p)
{
    size_t length;
    const char *ext = extension_of(path, &length);
    if (is_no_text(head, size, reason_p, what_p))
        return NULL;
    for (size_t i = 0; i < FORMATS && length > 0; i++) {
        const format_t *format = formats[i];
        // ".1" may be a manual page's section or a log file's number: the bytes decide
        bool sure = format != &format_man || format->looks(head, size);
        if (in_list(format->extensions, ext, length) && sure)
            return format;
    }
    if (length > 0 && in_list(not_documents, ext, length)) {
        *reason_p = REPORT_PROGRAM;
        *what_p = "a style sheet, a script or data of a program";
        return NULL;
    }
    for (size_t i = 0; i < FORMATS; i++)
        if (formats[i]->looks && formats[i]->looks(head, size))
            return formats[i];
    return &format_plain;
}

size_t format_index(const format_t *format)
{
    size_t at = 0;
    while (at < FORMATS && formats[at] != format)
        at++;
    return at;
}

const format_t *format_at(size_t index)
{
    return index < FORMATS ? formats[index] : NULL;
}
