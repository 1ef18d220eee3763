// format_markdown: CommonMark and its tables by md4c: what its callbacks tell becomes headings,
// paragraphs with the lines of lists, code and rows of tables. Raw HTML is read as HTML.

#include "format.h"

#include <gumbo.h>
#include <md4c.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "fail.h"
#include "front_matter.h"
#include "utf8.h"

enum {
    MAX_BLOCK = 64 << 20,
    MAX_LISTS = 16, // lists within lists whose numbers and indentation are kept
    // Bytes of addresses that links may name, for each byte of the text: a definition can be named
    // again and again.
    MOST_ADDRESSES = 64,
};

typedef struct list {
    bool ordered;
    unsigned next; // number of its next item
} list_t;

typedef struct markdown {
    document_t *doc;
    rl_buf_t text; // of the block at work
    size_t left;   // bytes of addresses and cells of tables that may still come
    bool verbatim; // code or HTML: taken as it is
    bool table;    // within a table
    int depth;     // of lists
    list_t lists[MAX_LISTS];
    bool item; // the next words begin an item
    char *why; // gets what is wrong with raw HTML
    size_t why_size;
    bool refused; // it was
} markdown_t;

static bool looks_like_markdown(const char *head, size_t size)
{
    // a heading at the start, or a fence: what plain text rarely has
    const char *end = head + size;
    if (size > 2 && head[0] == '#' && memchr("# ", head[1], 2))
        return true;
    for (const char *at = head; at && at < end; at = memchr(at, '\n', (size_t)(end - at))) {
        at += *at == '\n';
        if (end - at > 3 && memcmp(at, "```", 3) == 0)
            return true;
        if (at == end)
            break;
    }
    return false;
}

// ---- text ---------------------------------------------------------------------------------------

static void flush_paragraph(markdown_t *self)
{
    self->doc->failed = self->doc->failed || self->text.full;
    document_paragraph(self->doc, self->text.data, self->text.size);
    rl_buf_clear(&self->text);
}

static void end_line(markdown_t *self)
{
    if (self->text.size > 0 && self->text.data[self->text.size - 1] != '\n')
        rl_buf_adds(&self->text, "\n");
}

// Blanks for lists within lists; `more` for what goes on below a mark.
static void indent_line(markdown_t *self, int more)
{
    for (int i = 1; i < self->depth + more; i++)
        rl_buf_adds(&self->text, "  ");
}

// The mark of an item, once it has words.
static void begin_item(markdown_t *self)
{
    list_t *list = &self->lists[self->depth <= MAX_LISTS ? self->depth - 1 : MAX_LISTS - 1];
    self->item = false;
    end_line(self);
    indent_line(self, 0);
    if (list->ordered)
        rl_buf_addf(&self->text, "%u. ", list->next++);
    else
        rl_buf_adds(&self->text, "- ");
}

static void add_text(markdown_t *self, const char *text, size_t size)
{
    if (self->item && !self->verbatim)
        begin_item(self);
    rl_buf_add(&self->text, text, size);
}

static void break_line(markdown_t *self)
{
    if (self->table) {
        rl_buf_adds(&self->text, " ");
        return;
    }
    end_line(self);
    if (self->depth > 0)
        indent_line(self, 1);
}

// A character by its name or number: "&hellip;", by the table of the HTML parser.
static void add_entity(markdown_t *self, const char *text, size_t size)
{
    GumboOutput *tree = gumbo_parse_with_options(&kGumboDefaultOptions, text, size);
    const GumboVector *top = &tree->root->v.element.children;
    const GumboNode *body = top->length > 0 ? top->data[top->length - 1] : NULL;
    const GumboNode *node =
        body && body->v.element.children.length > 0 ? body->v.element.children.data[0] : NULL;
    if (node && node->type == GUMBO_NODE_TEXT)
        add_text(self, node->v.text.text, strlen(node->v.text.text));
    else
        add_text(self, " ", 1);
    gumbo_destroy_output(&kGumboDefaultOptions, tree);
}

// A tag in the line is left out.
static void add_tag(markdown_t *self, const char *text, size_t size)
{
    if (self->verbatim)
        rl_buf_add(&self->text, text, size);
    else if (size >= 4 && strncasecmp(text, "<br", 3) == 0 && strchr(" />", text[3]))
        break_line(self);
}

static int on_text(MD_TEXTTYPE type, const MD_CHAR *text, MD_SIZE size, void *arg)
{
    markdown_t *self = arg;
    switch (type) {
    case MD_TEXT_BR:
    case MD_TEXT_SOFTBR:
        break_line(self);
        break;
    case MD_TEXT_HTML:
        add_tag(self, text, size);
        break;
    case MD_TEXT_ENTITY:
        add_entity(self, text, size);
        break;
    case MD_TEXT_NULLCHAR: // there is none in the text
        break;
    default:
        add_text(self, text, size);
    }
    return self->doc->failed || self->text.full;
}

// ---- spans --------------------------------------------------------------------------------------

static int on_span(MD_SPANTYPE type, void *detail, void *arg)
{
    markdown_t *self = arg;
    size_t address = 0;
    if (type == MD_SPAN_CODE)
        add_text(self, "`", 1);
    else if (type == MD_SPAN_A)
        address =
            ((MD_SPAN_A_DETAIL *)detail)->href.size + ((MD_SPAN_A_DETAIL *)detail)->title.size;
    else if (type == MD_SPAN_IMG)
        address =
            ((MD_SPAN_IMG_DETAIL *)detail)->src.size + ((MD_SPAN_IMG_DETAIL *)detail)->title.size;
    if (address > self->left)
        return -1;
    self->left -= address;
    return 0;
}

static int on_span_end(MD_SPANTYPE type, void *detail, void *arg)
{
    (void)detail;
    if (type == MD_SPAN_CODE)
        add_text(arg, "`", 1);
    return 0;
}

// ---- blocks -------------------------------------------------------------------------------------

static void enter_list(markdown_t *self, bool ordered, unsigned start)
{
    if (self->depth == 0)
        flush_paragraph(self);
    if (self->depth++ < MAX_LISTS)
        self->lists[self->depth - 1] = (list_t){.ordered = ordered, .next = start};
}

static void leave_list(markdown_t *self)
{
    self->item = false;
    if (--self->depth == 0)
        flush_paragraph(self);
}

// A cell; a row is filled up to the number of columns, so that few bytes can make many cells.
static int enter_cell(markdown_t *self)
{
    if (self->left == 0)
        return -1;
    self->left--;
    rl_buf_adds(&self->text, "| ");
    return 0;
}

static int on_block(MD_BLOCKTYPE type, void *detail, void *arg)
{
    markdown_t *self = arg;
    switch (type) {
    case MD_BLOCK_UL:
        enter_list(self, false, 0);
        break;
    case MD_BLOCK_OL:
        enter_list(self, true, ((MD_BLOCK_OL_DETAIL *)detail)->start);
        break;
    case MD_BLOCK_LI:
        self->item = true;
        break;
    case MD_BLOCK_TH:
    case MD_BLOCK_TD:
        return enter_cell(self);
    case MD_BLOCK_DOC:
    case MD_BLOCK_THEAD:
    case MD_BLOCK_TBODY:
    case MD_BLOCK_TR:
        break;
    case MD_BLOCK_H:
    case MD_BLOCK_CODE:
    case MD_BLOCK_HTML:
    case MD_BLOCK_TABLE:
        self->item = false;
        self->verbatim = type == MD_BLOCK_CODE || type == MD_BLOCK_HTML;
        self->table = type == MD_BLOCK_TABLE;
        flush_paragraph(self);
        break;
    default:
        flush_paragraph(self);
    }
    return 0;
}

static int leave_html(markdown_t *self)
{
    self->verbatim = false;
    self->refused = format_html.read(self->text.data, self->text.size, self->doc, self->why,
                                     self->why_size) != 0;
    rl_buf_clear(&self->text);
    return self->refused ? -1 : 0;
}

static void leave_lines(markdown_t *self)
{
    self->verbatim = self->table = false;
    self->doc->failed = self->doc->failed || self->text.full;
    document_lines(self->doc, self->text.data, self->text.size);
    rl_buf_clear(&self->text);
}

static int on_block_end(MD_BLOCKTYPE type, void *detail, void *arg)
{
    markdown_t *self = arg;
    switch (type) {
    case MD_BLOCK_UL:
    case MD_BLOCK_OL:
        leave_list(self);
        break;
    case MD_BLOCK_H:
        document_heading(self->doc, (int)((MD_BLOCK_H_DETAIL *)detail)->level, self->text.data,
                         self->text.size);
        rl_buf_clear(&self->text);
        break;
    case MD_BLOCK_CODE:
    case MD_BLOCK_TABLE:
        leave_lines(self);
        break;
    case MD_BLOCK_HTML:
        return leave_html(self);
    case MD_BLOCK_TR:
        rl_buf_adds(&self->text, "|\n");
        break;
    case MD_BLOCK_TH:
    case MD_BLOCK_TD:
        rl_buf_adds(&self->text, " ");
        break;
    case MD_BLOCK_P:
    case MD_BLOCK_QUOTE:
        flush_paragraph(self);
        break;
    default:
        break;
    }
    return 0;
}

// ---- tables -------------------------------------------------------------------------------------

// The size of a line without its end.
static size_t line_size(const char *text, const char *end)
{
    const char *newline = memchr(text, '\n', (size_t)(end - text));
    return newline ? (size_t)(newline - text) : (size_t)(end - text);
}

static bool is_table_rule(const char *line, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!strchr("-|: \t", line[i]))
            return false;
    return memchr(line, '-', size) && memchr(line, '|', size);
}

// Copies a table's rule with at least three dashes a column.
static void widen_rule(const char *line, size_t size, rl_buf_t *out)
{
    for (size_t i = 0; i < size; i++) {
        bool first = line[i] == '-' && (i == 0 || line[i - 1] != '-');
        rl_buf_adds(out, first ? "--" : "");
        rl_buf_add(out, line + i, 1);
    }
}

// Copies a text with the rules of its tables widened: md4c 0.4 takes "|-|-|", which GitHub's
// Markdown allows, for no rule.
static int widen_rules(const char *text, size_t size, rl_buf_t *out)
{
    const char *end = text + size;
    bool header = false; // the line before may be a table's first row
    for (const char *at = text; at < end;) {
        size_t line = line_size(at, end), whole = line + (at + line < end);
        if (header && is_table_rule(at, line))
            widen_rule(at, line, out);
        else
            rl_buf_add(out, at, line);
        rl_buf_add(out, "\n", 1);
        header = memchr(at, '|', line);
        at += whole;
    }
    return out->full ? -1 : 0;
}

// ---- the file -----------------------------------------------------------------------------------

// Takes the front matter, and returns its size. One that is no YAML stays as text.
static size_t take_front_matter(const char *text, size_t size, document_t *doc)
{
    const char *yaml = NULL;
    size_t yaml_size = 0, whole = front_matter_find(text, size, &yaml, &yaml_size);
    char why[256];
    if (whole > 0 && front_matter_read(yaml, yaml_size, doc, why, sizeof why) != 0) {
        document_note(doc, "%s; it is read as text", why);
        document_lines(doc, text, whole);
    }
    return whole;
}

static int read_markdown(const char *text, size_t size, document_t *doc, char *why, size_t why_size)
{
    static const MD_PARSER parser = {.flags = MD_FLAG_TABLES | MD_FLAG_STRIKETHROUGH,
                                     .enter_block = on_block,
                                     .leave_block = on_block_end,
                                     .enter_span = on_span,
                                     .leave_span = on_span_end,
                                     .text = on_text};
    size_t front = take_front_matter(text, size, doc);
    markdown_t self = {.doc = doc,
                       .text = rl_buf_make(MAX_BLOCK),
                       .left = MOST_ADDRESSES * (size + 1024),
                       .why = why,
                       .why_size = why_size};
    rl_buf_t source = rl_buf_make(3 * size + 16);
    int rc = widen_rules(text + front, size - front, &source);
    if (rc == 0)
        rc = md_parse(source.data ? source.data : "", (MD_SIZE)source.size, &parser, &self);
    rl_buf_free(&source);
    rl_buf_free(&self.text);
    document_title_from_heading(doc);
    if (self.refused)
        return -1;
    if (rc != 0 && !doc->failed)
        return rl_fail(why, why_size,
                       "Markdown that grows too large: links or cells of tables that "
                       "stand for far more than what is written");
    return 0;
}

const format_t format_markdown = {
    .name = "markdown",
    .extensions = "md markdown mkd mdown mdx",
    .looks = looks_like_markdown,
    .read = read_markdown,
};
