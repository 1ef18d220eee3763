// format_html: HTML by Gumbo's tree: title, headings, running text, lists, tables and preformatted
// text; what is for programs and for finding one's way (script, style, nav, …) is left out.

#include "format_html.h"

#include <gumbo.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "format.h"
#include "html_bound.h"
#include "utf8.h"

enum {
    MAX_PARAGRAPH = 64 << 20,
    LONGEST_TERM = 100 // bytes of a paragraph that an indented one may explain
};

typedef struct walk {
    document_t *doc;
    bool manual;    // mandoc made it of a manual page
    rl_buf_t text;  // of the paragraph, heading, table or <pre> at work
    bool pre;       // within <pre> and the like
    bool table;     // within a table that keeps its lines
    bool synopsis;  // within the table into which mandoc puts how a command is called
    int heading;    // level of the heading at work, 0 if none
    bool list_item; // the next words begin an item
    bool cell;      // words of a row have been written
    bool skip_end;  // the line end that comes next is no text
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

static bool has_class(const GumboElement *element, const char *name)
{
    const GumboAttribute *class = gumbo_get_attribute(&element->attributes, "class");
    size_t size = strlen(name);
    for (const char *at = class ? class->value : ""; *at; at += strspn(at, " ")) {
        size_t length = strcspn(at, " ");
        if (length == size && memcmp(at, name, size) == 0)
            return true;
        at += length;
    }
    return false;
}

// The element beside this node: the next (`step` 1) or the one before (-1), over white space; NULL
// if there is none or text comes first.
static const GumboNode *neighbour_of(const GumboNode *node, int step)
{
    const GumboVector *siblings = node->parent ? &node->parent->v.element.children : NULL;
    size_t at = node->index_within_parent + (size_t)step;
    for (; siblings && at < siblings->length; at += (size_t)step) {
        const GumboNode *other = siblings->data[at];
        if (other->type != GUMBO_NODE_WHITESPACE)
            return other->type == GUMBO_NODE_ELEMENT ? other : NULL;
    }
    return NULL;
}

// Whether nothing but white space comes before this node in its parent.
static bool is_first(const GumboNode *node)
{
    for (size_t at = node->index_within_parent; at > 0; at--) {
        const GumboNode *before = node->parent->v.element.children.data[at - 1];
        if (before->type != GUMBO_NODE_WHITESPACE)
            return false;
    }
    return true;
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

// Makes the text at work valid UTF-8: Gumbo reads a number like &#xDDDDDDDDDDDD; wrongly.
static void repair_text(walk_t *self)
{
    size_t size = self->text.size;
    if (size == 0 || rl_utf8_valid(self->text.data, size))
        return;
    char *valid = rl_utf8_repair(self->text.data, size, &size);
    rl_buf_clear(&self->text);
    if (!valid || rl_buf_add(&self->text, valid, size) != 0)
        self->doc->failed = true;
    free(valid);
}

static void flush_text(walk_t *self)
{
    repair_text(self);
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
        rl_buf_adds(&self->text, text + (self->skip_end && *text == '\n'));
        self->skip_end = false;
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

// The node behind this one in document order, within `root`; NULL at the end.
static const GumboNode *next_node(const GumboNode *node, const GumboNode *root)
{
    if (node->type == GUMBO_NODE_ELEMENT && node->v.element.children.length > 0)
        return node->v.element.children.data[0];
    while (node != root && node->index_within_parent + 1 >= node->parent->v.element.children.length)
        node = node->parent;
    return node == root ? NULL
                        : node->parent->v.element.children.data[node->index_within_parent + 1];
}

// A table whose cells hold paragraphs or other tables is one that lays a page out.
static bool keeps_lines(const GumboNode *table)
{
    size_t cells = 0;
    for (const GumboNode *node = table; (node = next_node(node, table));) {
        if (node->type != GUMBO_NODE_ELEMENT)
            continue;
        GumboTag tag = node->v.element.tag;
        if (tag == GUMBO_TAG_TABLE || tag == GUMBO_TAG_PRE || heading_level(tag))
            return false;
        cells += tag == GUMBO_TAG_TD || tag == GUMBO_TAG_TH;
    }
    return cells > 1;
}

// ---- lists --------------------------------------------------------------------------------------

static bool is_indented(const walk_t *self, const GumboNode *node)
{
    return self->manual && node && node->v.element.tag == GUMBO_TAG_DIV &&
           has_class(&node->v.element, "Bd-indent");
}

// Whether the text at work may be what an indented paragraph below it explains, as pages made from
// DocBook write their options.
static bool is_term(const walk_t *self)
{
    const rl_buf_t *text = &self->text;
    return text->size > 0 && text->size <= LONGEST_TERM &&
           !strchr(".:;", text->data[text->size - 1]) && !memchr(text->data, '\n', text->size);
}

// Whether the element goes on with the paragraph at work: an item's first paragraph, what a term
// means, another term of the same meaning.
static bool joins_paragraph(const walk_t *self, const GumboNode *node)
{
    GumboTag tag = node->v.element.tag;
    const GumboNode *parent = node->parent;
    if (tag == GUMBO_TAG_DT)
        return self->text.size > 0 && last_of(self) == '\n';
    if (is_indented(self, node))
        return self->text.size > 0 && (last_of(self) == '\n' || is_term(self));
    if (tag != GUMBO_TAG_P || !parent || parent->type != GUMBO_NODE_ELEMENT || !is_first(node))
        return false;
    GumboTag within = parent->v.element.tag;
    return within == GUMBO_TAG_LI || within == GUMBO_TAG_DD || is_indented(self, parent);
}

// The address of a manual page's link, if its words are others.
static void add_address(walk_t *self, const GumboElement *element)
{
    const GumboAttribute *href = gumbo_get_attribute(&element->attributes, "href");
    size_t size = href ? strlen(href->value) : 0;
    if (!self->manual || element->tag != GUMBO_TAG_A || !has_class(element, "Lk") || size == 0 ||
        (self->text.size >= size &&
         memcmp(self->text.data + self->text.size - size, href->value, size) == 0))
        return;
    rl_buf_addf(&self->text, " <%s>", href->value);
}

// ---- the tree -----------------------------------------------------------------------------------

// Within a table: a row is a line, cells are set apart.
static void enter_in_table(walk_t *self, GumboTag tag)
{
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
}

static void break_line(walk_t *self)
{
    if (self->table || self->heading)
        add_text(self, " ");
    else if (!self->pre)
        end_line(self);
    else if (self->manual) // mandoc puts one, and a line end, in front of lines that are indented
        self->skip_end = true;
    else
        rl_buf_adds(&self->text, "\n");
}

static void enter_block(walk_t *self, const GumboNode *node)
{
    GumboTag tag = node->v.element.tag;
    if (joins_paragraph(self, node)) {
        if (tag != GUMBO_TAG_P)
            end_line(self);
        return;
    }
    flush_text(self);
    if (heading_level(tag))
        self->heading = heading_level(tag);
    else if (tag == GUMBO_TAG_PRE || tag == GUMBO_TAG_LISTING || tag == GUMBO_TAG_XMP)
        self->pre = true;
    else if (tag == GUMBO_TAG_TABLE && self->manual && has_class(&node->v.element, "Nm"))
        self->synopsis = true;
    else if (tag == GUMBO_TAG_TABLE && keeps_lines(node))
        self->table = true;
}

// An element begins; returns whether its children are to be looked at.
static bool enter_element(walk_t *self, const GumboNode *node)
{
    const GumboElement *element = &node->v.element;
    GumboTag tag = element->tag;
    if (left_out(element) || (self->manual && tag == GUMBO_TAG_TABLE &&
                              (has_class(element, "head") || has_class(element, "foot"))))
        return false;
    if (tag == GUMBO_TAG_IMG) {
        const GumboAttribute *alt = gumbo_get_attribute(&element->attributes, "alt");
        if (alt)
            add_text(self, alt->value);
    }
    if (tag == GUMBO_TAG_BR && (self->text.size > 0 || self->pre))
        break_line(self);
    if (tag == GUMBO_TAG_BR || in_line(tag))
        return true;
    if (self->table) {
        enter_in_table(self, tag);
    } else if (self->synopsis) {
        add_text(self, " ");
    } else if (!self->pre && !self->heading) {
        if (tag == GUMBO_TAG_LI || tag == GUMBO_TAG_DD) {
            // items of a list stay one paragraph, an item a line; so do a term and what it means
            end_line(self);
            self->list_item = tag == GUMBO_TAG_LI;
        } else {
            enter_block(self, node);
        }
    }
    return true;
}

// An element ends. `outer` is the element that set the state which ends here, if it is this one.
static void leave_element(walk_t *self, const GumboNode *node, const GumboNode **outer_p)
{
    const GumboElement *element = &node->v.element;
    GumboTag tag = element->tag;
    add_address(self, element);
    if (*outer_p) {
        if (*outer_p == node) {
            flush_text(self);
            self->pre = self->table = self->synopsis = false;
            self->heading = 0;
            *outer_p = NULL;
        }
        return;
    }
    if (tag == GUMBO_TAG_BR || in_line(tag) || tag == GUMBO_TAG_LI || left_out(element))
        return;
    bool term = tag == GUMBO_TAG_P && is_term(self) && is_indented(self, neighbour_of(node, 1));
    if (tag == GUMBO_TAG_DT || term)
        end_line(self);
    else if (tag != GUMBO_TAG_DD || element->children.length > 0)
        flush_text(self);
}

static void walk_tree(walk_t *self, const GumboNode *root)
{
    const GumboNode *node = root, *outer = NULL;
    for (;;) {
        bool into = false;
        if (node->type == GUMBO_NODE_ELEMENT || node->type == GUMBO_NODE_TEMPLATE) {
            into = enter_element(self, node) && node->v.element.children.length > 0;
            if (!outer && (self->pre || self->table || self->synopsis || self->heading))
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
                leave_element(self, node, &outer);
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
static const GumboNode *find_element(const GumboNode *root, bool (*wanted)(const GumboElement *))
{
    const GumboNode *node = root;
    while (node && !(node->type == GUMBO_NODE_ELEMENT && wanted(&node->v.element)))
        node = next_node(node, root);
    return node;
}

// The text that an element begins with as the document's title.
static void take_title(document_t *doc, const GumboNode *element)
{
    const GumboVector *children = element ? &element->v.element.children : NULL;
    const GumboNode *words = children && children->length > 0 ? children->data[0] : NULL;
    if (words && words->type == GUMBO_NODE_TEXT &&
        rl_utf8_valid(words->v.text.text, strlen(words->v.text.text)))
        document_set(&doc->title, words->v.text.text, strlen(words->v.text.text), DOC_MAX_TITLE);
}

static bool is_title(const GumboElement *element)
{
    return element->tag == GUMBO_TAG_TITLE;
}

static bool is_manual_title(const GumboElement *element)
{
    return has_class(element, "head-ltitle");
}

static bool is_main(const GumboElement *element)
{
    const GumboAttribute *role = gumbo_get_attribute(&element->attributes, "role");
    return element->tag == GUMBO_TAG_MAIN || (role && strcasecmp(role->value, "main") == 0);
}

static int read_tree(const char *text, size_t size, bool manual, document_t *doc, char *why,
                     size_t why_size)
{
    if (html_bound(text, size, why, why_size) != 0)
        return -1;
    GumboOutput *tree = gumbo_parse_with_options(&kGumboDefaultOptions, text, size);
    take_title(doc, find_element(tree->root, manual ? is_manual_title : is_title));
    const GumboNode *main = manual ? NULL : find_element(tree->root, is_main);
    walk_t self = {.doc = doc, .manual = manual, .text = rl_buf_make(MAX_PARAGRAPH)};
    walk_tree(&self, main ? main : tree->root);
    flush_text(&self);
    rl_buf_free(&self.text);
    gumbo_destroy_output(&kGumboDefaultOptions, tree);
    return 0;
}

int format_html_manual(const char *text, size_t size, document_t *doc, char *why, size_t why_size)
{
    return read_tree(text, size, true, doc, why, why_size);
}

static int read_html(const char *text, size_t size, document_t *doc, char *why, size_t why_size)
{
    int rc = read_tree(text, size, false, doc, why, why_size);
    document_title_from_heading(doc);
    return rc;
}

const format_t format_html = {
    .name = "html",
    .extensions = "html htm xhtml",
    .looks = looks_like_html,
    .read = read_html,
};
