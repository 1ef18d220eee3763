// format_man: manual pages by mandoc, which makes HTML of them in a process of its own, with bounds
// on time, memory and output; format_html takes it from there.

#include "format.h"

#include <stdio.h>
#include <string.h>

#include "child.h"
#include "fail.h"
#include "format_html.h"

enum {
    MAX_MS = 5000, // the longest of 6,400 pages took 200 ms
    MAX_MEMORY = 512 << 20,
    MAX_OUTPUT = 64 << 20,  // bytes of HTML, and
    GROWTH = 32,            // for each byte of the page,
    LEAST_OUTPUT = 1 << 20, // however short it is
    MAX_MESSAGES = 64 << 10,
};

// A page begins with a comment or a request of two letters; no other text does.
static bool looks_like_man(const char *head, size_t size)
{
    while (size > 0 && *head == '\n')
        head++, size--;
    if (size < 3 || (*head != '.' && *head != '\''))
        return false;
    if (memcmp(head + 1, "\\\"", 2) == 0)
        return true;
    const char *word = head + 1;
    bool letters = (word[0] | 32) >= 'a' && (word[0] | 32) <= 'z' && (word[1] | 32) >= 'a' &&
                   (word[1] | 32) <= 'z';
    return letters && (size == 3 || strchr(" \n", word[2]));
}

// ---- what mandoc is given -----------------------------------------------------------------------

static bool begins_with(const char *line, size_t size, const char *word)
{
    size_t length = strlen(word);
    return size >= length && memcmp(line, word, length) == 0;
}

static bool is_blank(const char *line, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (line[i] != ' ' && line[i] != '\t')
            return false;
    return true;
}

static bool goes_on(const char *line, size_t size)
{
    size_t slashes = 0;
    while (slashes < size && line[size - 1 - slashes] == '\\')
        slashes++;
    return slashes % 2 == 1;
}

// Whether the line is a request or macro of one of these names (separated by blanks).
static bool is_request(const char *line, size_t size, const char *names)
{
    size_t length = 1;
    if (size < 2 || (line[0] != '.' && line[0] != '\''))
        return false;
    while (length < size && line[length] != ' ')
        length++;
    for (const char *at = names; *at; at += strspn(at, " ")) {
        size_t name = strcspn(at, " ");
        if (name == length - 1 && memcmp(at, line + 1, name) == 0)
            return true;
        at += name;
    }
    return false;
}

// The arguments of a macro of fonts as words: of .BR one behind the other, of .B with blanks.
static void add_arguments(const char *line, size_t size, rl_buf_t *out)
{
    size_t at = 0, name;
    while (at < size && line[at] != ' ')
        at++;
    name = at;
    rl_buf_adds(out, "\\&");
    for (bool first = true; at < size; first = false) {
        while (at < size && line[at] == ' ')
            at++;
        bool quoted = at < size && line[at] == '"';
        at += quoted;
        size_t from = at;
        while (at < size && line[at] != (quoted ? '"' : ' '))
            at++;
        if (!first && (name == 2 || line[1] == 'S'))
            rl_buf_adds(out, " ");
        rl_buf_add(out, line + from, at - from);
        at += quoted && at < size;
    }
}

typedef struct page {
    bool mdoc;   // it is written in mdoc(7)
    bool table;  // within .TS and .TE
    bool cell;   // within T{ and T} of a table
    bool joined; // the line before goes on
} page_t;

static void prepare_line(page_t *self, const char *line, size_t size, rl_buf_t *out)
{
    self->table = is_request(line, size, "TS") || (self->table && !is_request(line, size, "TE"));
    self->cell = self->table && self->cell && !begins_with(line, size, "T}");
    if (self->cell && is_request(line, size, "B I R SB SM BI BR IB IR RB RI"))
        add_arguments(line, size, out);
    else if (is_request(line, size, "so"))
        rl_buf_adds(out, ".\\\"");
    else if (self->cell && is_request(line, size, "sp br P PP LP PD"))
        ; // the line stays, so that messages count as the page does
    else if (is_blank(line, size) && !self->table && !self->mdoc && !self->joined)
        rl_buf_adds(out, ".sp");
    else
        rl_buf_add(out, line, size);
    rl_buf_adds(out, "\n");
    self->cell = self->cell || (self->table && size >= 2 && memcmp(line + size - 2, "T{", 2) == 0);
    self->joined = goes_on(line, size);
}

// Copies the page without what mandoc would stumble over: .so, which would include another file;
// macros in the cells of tables, which it leaves out; blank lines, which are .sp, but which its
// HTML leaves out of code in man(7).
static void prepare_page(const char *text, size_t size, rl_buf_t *out)
{
    const char *end = text + size;
    page_t self = {.mdoc = begins_with(text, size, ".Dd") || memmem(text, size, "\n.Dd ", 5)};
    for (const char *at = text; at < end;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t line = (size_t)((newline ? newline : end) - at);
        prepare_line(&self, at, line, out);
        at += line + (newline != NULL);
    }
}

// ---- what it says -------------------------------------------------------------------------------

// Its messages ("mandoc: <stdin>:37:2: UNSUPP: …") as a note: the first, and how many there are.
static void note_unsupported(const rl_buf_t *messages, document_t *doc)
{
    static const char mark[] = "UNSUPP: ", where[] = "<stdin>:";
    size_t count = 0, size = 0;
    const char *first = NULL, *line = messages->data ? messages->data : "";
    for (const char *at = line; (at = strstr(at, mark)); at++)
        count++;
    first = strstr(line, mark);
    if (!first)
        return;
    const char *number = strstr(line, where);
    int digits = number && number < first ? (int)strspn(number + strlen(where), "0123456789") : 0;
    first += strlen(mark);
    size = strcspn(first, "\n");
    document_note(doc, "line %.*s: mandoc does not support it: %.*s%s", digits,
                  digits ? number + strlen(where) : "", (int)(size < 120 ? size : 120), first,
                  count > 1 ? " (and others)" : "");
}

static int read_messages(int status, const rl_buf_t *messages, document_t *doc, char *why,
                         size_t why_size)
{
    enum {
        UNSUPPORTED = 4, // exit status of mandoc -W unsupp
    };
    if (status <= UNSUPPORTED) {
        note_unsupported(messages, doc);
        return 0;
    }
    const char *text = messages->data ? messages->data : "";
    return rl_fail(why, why_size, "mandoc ended with status %d: %.*s", status,
                   (int)strcspn(text, "\n"), text);
}

// Blanks that do not break are blanks.
static void fold_blanks(rl_buf_t *html)
{
    static const char mark[] = "&#x00A0;";
    const size_t length = sizeof mark - 1;
    char *to = html->data, *at = html->data, *end = html->data + html->size;
    for (char *next; at && (next = memmem(at, (size_t)(end - at), mark, length));) {
        memmove(to, at, (size_t)(next - at));
        to += next - at;
        *to++ = ' ';
        at = next + length;
    }
    if (!at)
        return;
    memmove(to, at, (size_t)(end - at));
    html->size = (size_t)(to + (end - at) - html->data);
    html->data[html->size] = '\0';
}

// ---- the document -------------------------------------------------------------------------------

// Whether the block is the heading of the section with the page's name.
static bool is_name_heading(const document_t *doc, size_t at)
{
    const block_t *block = &doc->blocks[at];
    return block->kind == BLOCK_HEADING && block->end - block->start == 4 &&
           memcmp(doc->text.data + block->start, "NAME", 4) == 0;
}

// The title: what the section NAME says, else what .TH says. In other languages it has another
// name, but is the first, and has a dash.
static void set_title(document_t *doc)
{
    if (strcmp(doc->title, "()") == 0)
        document_set(&doc->title, "", 0, 0);
    for (size_t i = 0; i + 1 < doc->blocks_size; i++) {
        const block_t *words = &doc->blocks[i + 1];
        const char *text = doc->text.data + words->start;
        size_t size = words->end - words->start;
        bool first = i == 0 && doc->blocks[i].kind == BLOCK_HEADING &&
                     (memmem(text, size, " - ", 3) || memmem(text, size, " — ", strlen(" — ")));
        if (words->kind != BLOCK_HEADING && (first || is_name_heading(doc, i))) {
            document_set(&doc->title, text, size, DOC_MAX_TITLE);
            return;
        }
    }
}

static int read_man(const char *text, size_t size, document_t *doc, char *why, size_t why_size)
{
    static const char *const command[] = {"mandoc", "-T",    "html", "-O",     "fragment",
                                          "-K",     "utf-8", "-W",   "unsupp", NULL};
    size_t most = size < (MAX_OUTPUT - LEAST_OUTPUT) / GROWTH ? GROWTH * size + LEAST_OUTPUT
                                                              : (size_t)MAX_OUTPUT;
    rl_buf_t page = rl_buf_make(4 * size + 16), html = rl_buf_make(most),
             messages = rl_buf_make(MAX_MESSAGES);
    prepare_page(text, size, &page);
    child_job_t job = {.command = command,
                       .input = page.data,
                       .input_size = page.size,
                       .output = &html,
                       .messages = &messages,
                       .wall_ms = MAX_MS,
                       .memory = MAX_MEMORY};
    bool missing = false;
    int rc = page.full ? rl_fail(why, why_size, "out of memory")
                       : child_run(&job, &missing, why, why_size);
    if (missing)
        rl_fail(why, why_size,
                "manual pages are read by mandoc, which is not installed (Debian's "
                "package mandoc)");
    if (rc >= 0)
        rc = read_messages(rc, &messages, doc, why, why_size);
    if (rc == 0) {
        fold_blanks(&html);
        rc = format_html_manual(html.data ? html.data : "", html.size, doc, why, why_size);
    }
    if (rc == 0)
        set_title(doc);
    rl_buf_free(&page);
    rl_buf_free(&html);
    rl_buf_free(&messages);
    return rc;
}

const format_t format_man = {
    .name = "man",
    .extensions = "1 2 3 4 5 6 7 8 9 n l man mdoc 1p 3p 3pm 3perl 1ssl 3ssl 5ssl 7ssl 8ssl 1posix "
                  "3posix 3type 2type 3const 3head 3x 3ncurses 3curses 3form 1m 1x 3avr 3qt 3tcl",
    .looks = looks_like_man,
    .read = read_man,
};
