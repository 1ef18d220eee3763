// read_html: HTML by Gumbo's tree: title, headings, running text, lists, tables and preformatted
// text; what is for programs and for finding one's way (script, style, nav, …) is left out.

#include "format.h"

#include <gumbo.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

// Gumbo frees its tree by recursion, which must not use the stack up.
enum {
    MAX_DEPTH = 10000,
    MAX_PARAGRAPH = 64 << 20
};

typedef struct walk {
    document_t *doc;
    rl_buf_t text;  // of the paragraph, heading, table or <pre> at work
    int pre;        // depth of <pre> and the like
    int table;      // depth of tables that keep their lines
    int heading;    // level of the heading at work, 0 if none
    bool list_item; // the next words begin an item
    bool cell;      // words of a row have been written
} walk_t;

static bool looks_like_html(const char *head, size_t size)
{
    while (size > 0 && strchr(" \t\r\n\xef\xbb\xbf", *head) && *head)
        head++, size--;
    static const char *const marks[] = {"<!doctype html", "<html", "<head", "<body"};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (size >= strlen(marks[i]) && strncasecmp(head, marks[i], strlen(marks[i])) == 0)
            return true;
    return size > 5 && memcmp(head, "<?xml", 5) == 0 && memmem(head, size, "<html", 5);
}

// The deepest nesting that a parser could make of this: elements that never hold others and those
// that close themselves are not counted.
static bool too_deep(const char *text, size_t size)
{
    static const char *const flat[] = {"p",  "br", "li", "td",  "th",   "tr",    "dt",
                                       "dd", "hr", "a",  "img", "meta", "input", "link"};
    long depth = 0;
    const char *end = text + size;
    for (const char *at = text; (at = memchr(at, '<', (size_t)(end - at))); at++) {
        const char *name = at + 1;
        if (name < end && *name == '/') {
            depth -= depth > 0;
            continue;
        }
        size_t length = 0;
        while (name + length < end && ((name[length] | 32) >= 'a' && (name[length] | 32) <= 'z'))
            length++;
        bool counts = length > 0;
        for (size_t i = 0; i < sizeof flat / sizeof *flat && counts; i++)
            counts = strlen(flat[i]) != length || strncasecmp(flat[i], name, length) != 0;
        depth += counts;
        if (depth > MAX_DEPTH)
            return true;
    }
    return false;
}

// ---- elements -----------------------------------------------------------------------------------

static bool is_one_of(GumboTag tag, const GumboTag *tags, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (tags[i] == tag)
            return true;
    return false;
}

static bool left_out(const GumboElement *element)
{
    static const GumboTag tags[] = {
        GUMBO_TAG_SCRIPT,   GUMBO_TAG_STYLE,    GUMBO_TAG_NAV,    GUMBO_TAG_NOSCRIPT,
        GUMBO_TAG_SVG,      GUMBO_TAG_TEMPLATE, GUMBO_TAG_IFRAME, GUMBO_TAG_OBJECT,
        GUMBO_TAG_SELECT,   GUMBO_TAG_BUTTON,   GUMBO_TAG_AUDIO,  GUMBO_TAG_VIDEO,
        GUMBO_TAG_CANVAS,   GUMBO_TAG_HEAD,     GUMBO_TAG_FOOTER, GUMBO_TAG_MATH,
        GUMBO_TAG_TEXTAREA,
    };
    if (is_one_of(element->tag, tags, sizeof tags / sizeof *tags))
        return true;
    const GumboAttribute *role = gumbo_get_attribute(&element->attributes, "role");
    if (role &&
        (strcasecmp(role->value, "navigation") == 0 ||
         strcasecmp(role->value, "contentinfo") == 0 || strcasecmp(role->value, "search") == 0))
        return true;
    const GumboAttribute *hidden = gumbo_get_attribute(&element->attributes, "aria-hidden");
    return gumbo_get_attribute(&element->attributes, "hidden") ||
           (hidden && strcasecmp(hidden->value, "true") == 0);
}

static int heading_level(GumboTag tag)
{
    return tag >= GUMBO_TAG_H1 && tag <= GUMBO_TAG_H6 ? (int)(tag - GUMBO_TAG_H1) + 1 : 0;
}

// Elements that stand in the line; all others end a paragraph.
static bool in_line(GumboTag tag)
{
    static const GumboTag tags[] = {
        GUMBO_TAG_A,   GUMBO_TAG_ABBR, GUMBO_TAG_B,       GUMBO_TAG_BDI,   GUMBO_TAG_BDO,
        GUMBO_TAG_BIG, GUMBO_TAG_CITE, GUMBO_TAG_CODE,    GUMBO_TAG_DATA,  GUMBO_TAG_DEL,
        GUMBO_TAG_DFN, GUMBO_TAG_EM,   GUMBO_TAG_FONT,    GUMBO_TAG_I,     GUMBO_TAG_IMG,
        GUMBO_TAG_INS, GUMBO_TAG_KBD,  GUMBO_TAG_LABEL,   GUMBO_TAG_MARK,  GUMBO_TAG_Q,
        GUMBO_TAG_S,   GUMBO_TAG_SAMP, GUMBO_TAG_SMALL,   GUMBO_TAG_SPAN,  GUMBO_TAG_STRIKE,
        GUMBO_TAG_SUB, GUMBO_TAG_SUP,  GUMBO_TAG_STRONG,  GUMBO_TAG_TIME,  GUMBO_TAG_TT,
        GUMBO_TAG_U,   GUMBO_TAG_VAR,  GUMBO_TAG_WBR,     GUMBO_TAG_RUBY,  GUMBO_TAG_RT,
        GUMBO_TAG_RP,  GUMBO_TAG_NOBR, GUMBO_TAG_ACRONYM, GUMBO_TAG_INPUT,
    };
    return is_one_of(tag, tags, sizeof tags / sizeof *tags);
}

// ---- text ---------------------------------------------------------------------------------------

static void flush(walk_t *self)
{
    if (self->text.full)
        self->doc->failed = true;
    if (self->heading)
        document_heading(self->doc, self->heading, self->text.data, self->text.size);
    else if (self->pre || self->table)
        document_lines(self->doc, self->text.data, self->text.size);
    else
        document_paragraph(self->doc, self->text.data, self->text.size);
    rl_buf_clear(&self->text);
    self->list_item = false;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

static char last_of(const walk_t *self)
{
    return self->text.size > 0 ? self->text.data[self->text.size - 1] : '\n';
}

// Adds text with its white space folded (but in <pre>).
static void add_text(walk_t *self, const char *text)
{
    if (self->pre) {
        rl_buf_adds(&self->text, text);
        return;
    }
    for (const char *at = text; *at;) {
        size_t size = strcspn(at, " \t\n\r\f");
        if (size > 0) {
            if (self->list_item)
                rl_buf_adds(&self->text, "- ");
            self->list_item = false;
            rl_buf_add(&self->text, at, size);
        }
        at += size;
        if (is_space(*at)) {
            at += strspn(at, " \t\n\r\f");
            if (!is_space(last_of(self)))
                rl_buf_adds(&self->text, " ");
        }
    }
}

static void end_line(walk_t *self)
{
    while (self->text.size > 0 && last_of(self) == ' ')
        self->text.data[--self->text.size] = '\0';
    if (self->text.size > 0 && last_of(self) != '\n')
        rl_buf_adds(&self->text, "\n");
}

// A table whose cells hold paragraphs or other tables is one that lays a page out.
static bool keeps_lines(const GumboNode *table)
{
    const GumboNode *node = table;
    size_t cells = 0;
    for (;;) {
        if (node != table && node->type == GUMBO_NODE_ELEMENT) {
            GumboTag tag = node->v.element.tag;
            if (tag == GUMBO_TAG_TABLE || tag == GUMBO_TAG_PRE || heading_level(tag))
                return false;
            cells += tag == GUMBO_TAG_TD || tag == GUMBO_TAG_TH;
        }
        if (node->type == GUMBO_NODE_ELEMENT && node->v.element.children.length > 0) {
            node = node->v.element.children.data[0];
            continue;
        }
        while (node != table &&
               node->index_within_parent + 1 >= node->parent->v.element.children.length)
            node = node->parent;
        if (node == table)
            return cells > 1;
        node = node->parent->v.element.children.data[node->index_within_parent + 1];
    }
}

// An element begins; returns whether its children are to be looked at.
static bool enter(walk_t *self, const GumboNode *node)
{
    const GumboElement *element = &node->v.element;
    GumboTag tag = element->tag;
    if (left_out(element))
        return false;
    if (tag == GUMBO_TAG_IMG) {
        const GumboAttribute *alt = gumbo_get_attribute(&element->attributes, "alt");
        if (alt)
            add_text(self, alt->value);
    }
    if (tag == GUMBO_TAG_BR && self->text.size > 0)
        self->pre ? (void)rl_buf_adds(&self->text, "\n") : end_line(self);
    if (tag == GUMBO_TAG_BR || in_line(tag))
        return true;
    if (self->table) {
        // within a table: a row is a line, cells are set apart
        if (tag == GUMBO_TAG_TR || tag == GUMBO_TAG_CAPTION) {
            end_line(self);
            self->cell = false;
        } else if (tag == GUMBO_TAG_TD || tag == GUMBO_TAG_TH) {
            if (self->cell)
                rl_buf_adds(&self->text, last_of(self) == ' ' ? "| " : " | ");
            self->cell = true;
        } else if (tag == GUMBO_TAG_P || tag == GUMBO_TAG_LI || tag == GUMBO_TAG_DIV) {
            add_text(self, " ");
        }
        return true;
    }
    if (self->pre || self->heading)
        return true;
    if (tag == GUMBO_TAG_LI || tag == GUMBO_TAG_DD) {
        // items of a list stay one paragraph, an item a line; so do a term and what it means
        end_line(self);
        self->list_item = tag == GUMBO_TAG_LI;
        return true;
    }
    flush(self);
    if (heading_level(tag))
        self->heading = heading_level(tag);
    else if (tag == GUMBO_TAG_PRE || tag == GUMBO_TAG_LISTING || tag == GUMBO_TAG_XMP)
        self->pre = 1;
    else if (tag == GUMBO_TAG_TABLE && keeps_lines(node))
        self->table = 1;
    return true;
}

// An element ends. `outer` is the element that set the state which ends here, if it is this one.
static void leave(walk_t *self, const GumboNode *node, const GumboNode **outer_p)
{
    GumboTag tag = node->v.element.tag;
    if (*outer_p) {
        if (*outer_p == node) {
            flush(self);
            self->pre = self->table = self->heading = 0;
            *outer_p = NULL;
        }
        return;
    }
    if (tag == GUMBO_TAG_BR || in_line(tag) || tag == GUMBO_TAG_LI || left_out(&node->v.element))
        return;
    if (tag == GUMBO_TAG_DT)
        end_line(self);
    else
        flush(self);
}

static void walk(walk_t *self, const GumboNode *root)
{
    const GumboNode *node = root, *outer = NULL;
    for (;;) {
        bool into = false;
        if (node->type == GUMBO_NODE_ELEMENT || node->type == GUMBO_NODE_TEMPLATE) {
            into = enter(self, node) && node->v.element.children.length > 0;
            if (!outer && (self->pre || self->table || self->heading))
                outer = node;
        } else if (node->type == GUMBO_NODE_TEXT || node->type == GUMBO_NODE_WHITESPACE ||
                   node->type == GUMBO_NODE_CDATA) {
            add_text(self, node->v.text.text);
        }
        if (into) {
            node = node->v.element.children.data[0];
            continue;
        }
        for (;;) {
            if (node->type == GUMBO_NODE_ELEMENT || node->type == GUMBO_NODE_TEMPLATE)
                leave(self, node, &outer);
            if (node == root)
                return;
            const GumboVector *siblings = &node->parent->v.element.children;
            if (node->index_within_parent + 1 < siblings->length) {
                node = siblings->data[node->index_within_parent + 1];
                break;
            }
            node = node->parent;
        }
    }
}

// The first element that `wanted` accepts, in document order.
static const GumboNode *find(const GumboNode *root, bool (*wanted)(const GumboElement *))
{
    const GumboNode *node = root;
    for (;;) {
        bool element = node->type == GUMBO_NODE_ELEMENT;
        if (element && wanted(&node->v.element))
            return node;
        if (element && node->v.element.children.length > 0) {
            node = node->v.element.children.data[0];
            continue;
        }
        while (node != root &&
               node->index_within_parent + 1 >= node->parent->v.element.children.length)
            node = node->parent;
        if (node == root)
            return NULL;
        node = node->parent->v.element.children.data[node->index_within_parent + 1];
    }
}

static bool is_title(const GumboElement *element)
{
    return element->tag == GUMBO_TAG_TITLE;
}

static bool is_main(const GumboElement *element)
{
    const GumboAttribute *role = gumbo_get_attribute(&element->attributes, "role");
    return element->tag == GUMBO_TAG_MAIN || (role && strcasecmp(role->value, "main") == 0);
}

static int read_html(const char *text, size_t size, document_t *doc, char *why, size_t why_size)
{
    if (too_deep(text, size)) {
        snprintf(why, why_size, "HTML nested deeper than %d elements", MAX_DEPTH);
        return -1;
    }
    GumboOutput *tree = gumbo_parse_with_options(&kGumboDefaultOptions, text, size);
    const GumboNode *title = find(tree->root, is_title);
    if (title && title->v.element.children.length > 0) {
        const GumboNode *words = title->v.element.children.data[0];
        if (words->type == GUMBO_NODE_TEXT)
            document_set(&doc->title, words->v.text.text, strlen(words->v.text.text),
                         DOC_MAX_TITLE);
    }
    const GumboNode *main = find(tree->root, is_main);
    walk_t self = {.doc = doc, .text = rl_buf_make(MAX_PARAGRAPH)};
    walk(&self, main ? main : tree->root);
    flush(&self);
    rl_buf_free(&self.text);
    gumbo_destroy_output(&kGumboDefaultOptions, tree);
    document_title_from_heading(doc);
    return 0;
}

const format_t format_html = {
    .name = "html",
    .extensions = "html htm xhtml",
    .looks = looks_like_html,
    .read = read_html,
};
