// read_mdoc: the macros of mdoc(7), in which BSD's manual pages are written: what a macro stands
// for as plain words, many of them callable within another's arguments.

#include "man.h"

#include <stdio.h>
#include <string.h>

// Macros that put something around or in front of their arguments. {open, close} of enclosures;
// `name` of what has a default when nothing follows.
static const struct macro {
    const char *name, *open, *close, *alone;
    bool each; // put around every argument
} macros[] = {
    {"Fl", "-", "", "-", true},         {"Ar", "", "", "file ...", false},
    {"Cm", "", "", "", false},          {"Ic", "", "", "", false},
    {"Ev", "", "", "", false},          {"Pa", "", "", "~", false},
    {"Va", "", "", "", false},          {"Vt", "", "", "", false},
    {"Fa", "", "", "", false},          {"Ft", "", "", "", false},
    {"Dv", "", "", "", false},          {"Er", "", "", "", false},
    {"Em", "", "", "", false},          {"Sy", "", "", "", false},
    {"Li", "", "", "", false},          {"Tn", "", "", "", false},
    {"Ql", "‘", "’", "", false},        {"No", "", "", "", false},
    {"Sx", "", "", "", false},          {"An", "", "", "", false},
    {"Ad", "", "", "", false},          {"Ms", "", "", "", false},
    {"Mt", "", "", "", false},          {"Cd", "", "", "", false},
    {"Op", "[", "]", "", false},        {"Oo", "[", "", "[", false},
    {"Oc", "", "]", "]", false},        {"Aq", "<", ">", "", false},
    {"Ao", "<", "", "<", false},        {"Ac", "", ">", ">", false},
    {"Bq", "[", "]", "", false},        {"Bo", "[", "", "[", false},
    {"Bc", "", "]", "]", false},        {"Pq", "(", ")", "", false},
    {"Po", "(", "", "(", false},        {"Pc", "", ")", ")", false},
    {"Dq", "“", "”", "", false},        {"Do", "“", "", "“", false},
    {"Dc", "", "”", "”", false},        {"Qq", "\"", "\"", "", false},
    {"Qo", "\"", "", "\"", false},      {"Qc", "", "\"", "\"", false},
    {"Sq", "‘", "’", "", false},        {"So", "‘", "", "‘", false},
    {"Sc", "", "’", "’", false},        {"Brq", "{", "}", "", false},
    {"Bro", "{", "", "{", false},       {"Brc", "", "}", "}", false},
    {"Ux", "", "", "UNIX", false},      {"Bx", "", "", "BSD", false},
    {"Nx", "", "", "NetBSD", false},    {"Fx", "", "", "FreeBSD", false},
    {"Ox", "", "", "OpenBSD", false},   {"Dx", "", "", "DragonFly", false},
    {"At", "", "", "AT&T UNIX", false}, {"St", "", "", "", false},
    {"Fd", "", "", "", false},          {"Ap", "", "", "'", false},
    {"Rv", "", "", "", false},          {"Ex", "", "", "", false},
};

static const struct macro *find_macro(const char *name)
{
    for (size_t i = 0; i < sizeof macros / sizeof *macros; i++)
        if (strcmp(macros[i].name, name) == 0)
            return &macros[i];
    return NULL;
}

static bool is_one_of(const char *word, const char *list)
{
    size_t size = strlen(word);
    for (; *list; list += strcspn(list, " "), list += strspn(list, " "))
        if (strcspn(list, " ") == size && memcmp(list, word, size) == 0)
            return true;
    return false;
}

static bool callable(const char *word);

static bool closing(const char *word)
{
    return word[0] && !word[1] && strchr(".,:;)]?!", word[0]);
}

static void add(man_t *self, const char *text)
{
    if (*text)
        man_text(self, text, strlen(text));
}

static void add_glued(man_t *self, const char *text)
{
    self->glue = self->paragraph.size > 0;
    add(self, text);
}

static void add_word(man_t *self, const char *word)
{
    if (closing(word))
        add_glued(self, word);
    else
        add(self, word);
    if ((word[0] == '(' || word[0] == '[') && !word[1])
        self->glue = true;
}

static void run(man_t *self, size_t from);

// Words up to the next macro; returns where that stands.
static size_t words_to(const man_t *self, size_t from)
{
    while (from < self->count && !callable(man_arg(self, from)))
        from++;
    return from;
}

// An enclosure or a marked word: its own words, what is called within, what closes it, and then the
// punctuation behind.
static void run_marked(man_t *self, const struct macro *macro, size_t from)
{
    size_t count = self->count, end = count;
    while (end > from && closing(man_arg(self, end - 1)) && *macro->close)
        end--;
    if (from >= end && *macro->alone)
        add_word(self, macro->alone);
    if (*macro->open && from < end && !macro->each) {
        add(self, macro->open);
        self->glue = true;
    }
    if (!*macro->open && *macro->close && from <= end)
        add_glued(self, from < end || !*macro->alone ? macro->close : "");
    size_t stop = words_to(self, from);
    for (size_t i = from; i < stop && i < end; i++) {
        const char *word = man_arg(self, i);
        if (macro->each && !closing(word)) {
            add(self, macro->open);
            self->glue = true;
        }
        add_word(self, word);
    }
    if (stop == from && macro->each && from < end)
        add(self, macro->open); // ".Fl Fl help": a dash, then what follows
    if (stop < end) {
        self->glue = self->glue || (macro->each && stop == from);
        self->count = end;
        run(self, stop);
        self->count = count;
    }
    if (*macro->open && *macro->close && from < end)
        add_glued(self, macro->close);
    for (size_t i = end; i < count; i++)
        add_word(self, man_arg(self, i));
}

// "Fn name arg arg" → name(arg, arg)
static void run_function(man_t *self, size_t from)
{
    if (from >= self->count)
        return;
    add(self, man_arg(self, from));
    add_glued(self, "(");
    size_t i = from + 1;
    for (; i < self->count && !callable(man_arg(self, i)) && !closing(man_arg(self, i)); i++) {
        if (i > from + 1)
            add_glued(self, ",");
        self->glue = i == from + 1;
        add(self, man_arg(self, i));
    }
    add_glued(self, self->synopsis ? ");" : ")");
    run(self, i);
    if (self->synopsis)
        man_end_line(self);
}

// The argument at `at`, if there is one, as a word.
static void add_arg(man_t *self, size_t at)
{
    if (at < self->count)
        add(self, man_arg(self, at));
}

// Whether the argument at `at` is a plain word: there, no macro, no punctuation that closes.
static bool is_word(const man_t *self, size_t at)
{
    return at < self->count && !callable(man_arg(self, at)) && !closing(man_arg(self, at));
}

// In the SYNOPSIS what is declared or called has lines of its own.
static void synopsis_line(man_t *self)
{
    if (self->synopsis)
        man_end_line(self);
}

static void run_name(man_t *self, size_t from)
{
    bool named = is_word(self, from);
    if (named && !self->name[0])
        snprintf(self->name, sizeof self->name, "%s", man_arg(self, from));
    synopsis_line(self);
    if (!named)
        add(self, self->name);
    run(self, from);
}

static void run_reference(man_t *self, size_t from)
{
    add_arg(self, from);
    bool section = from + 1 < self->count && !closing(man_arg(self, from + 1));
    if (section) {
        add_glued(self, "(");
        add_glued(self, man_arg(self, from + 1));
        add_glued(self, ")");
    }
    run(self, from + 1 + section);
}

static void run_function_open(man_t *self, size_t from)
{
    add_arg(self, from);
    add_glued(self, "(");
    self->glue = true;
}

static void run_function_close(man_t *self, size_t from)
{
    add_glued(self, self->synopsis ? ");" : ")");
    run(self, from);
    synopsis_line(self);
}

static void run_include(man_t *self, size_t from)
{
    synopsis_line(self);
    add(self, self->synopsis ? "#include <" : "<");
    self->glue = true;
    add_arg(self, from);
    add_glued(self, ">");
    run(self, from + 1);
    synopsis_line(self);
}

static void run_description(man_t *self, size_t from)
{
    add(self, "-");
    run(self, from);
}

static void run_glued(man_t *self, size_t from)
{
    self->glue = true;
    run(self, from);
}

static void run_prefix(man_t *self, size_t from)
{
    add_arg(self, from);
    self->glue = true;
    run(self, from + 1);
}

// A link: its words rather than its address.
static void run_link(man_t *self, size_t from)
{
    run(self, from + (from + 1 < self->count && !closing(man_arg(self, from + 1))));
}

// Macros with a way of their own.
static const struct own {
    const char *name;
    void (*run)(man_t *self, size_t from);
} owns[] = {
    {"Nm", run_name},
    {"Xr", run_reference},
    {"Fn", run_function},
    {"Fo", run_function_open},
    {"Fc", run_function_close},
    {"In", run_include},
    {"Nd", run_description},
    {"Ns", run_glued},
    {"Pf", run_prefix},
    {"Lk", run_link},
    {"Xo", run},
    {"Xc", run},
};

static bool callable(const char *word)
{
    for (size_t i = 0; i < sizeof owns / sizeof *owns; i++)
        if (strcmp(owns[i].name, word) == 0)
            return true;
    return find_macro(word) != NULL;
}

// One macro with its arguments from `from` on.
static void call(man_t *self, const char *name, size_t from)
{
    const struct macro *macro = find_macro(name);
    if (macro)
        run_marked(self, macro, from);
    for (size_t i = 0; !macro && i < sizeof owns / sizeof *owns; i++)
        if (strcmp(owns[i].name, name) == 0)
            owns[i].run(self, from);
}

// Words and the macros called among them.
static void run(man_t *self, size_t from)
{
    size_t stop = words_to(self, from);
    for (size_t i = from; i < stop; i++)
        add_word(self, man_arg(self, i));
    if (stop < self->count)
        call(self, man_arg(self, stop), stop + 1);
}

// .It: a tag of words above the item's text, or a dash where the list has none.
static void begin_item(man_t *self)
{
    man_flush(self);
    if (self->count == 0) {
        rl_buf_adds(&self->paragraph, "- ");
        return;
    }
    run(self, 0);
    man_end_line(self);
}

static void set_verbatim(man_t *self, bool on)
{
    man_flush(self);
    self->verbatim = on;
}

// The macros that stand at the beginning of a line only.
bool mdoc_macro(man_t *self, const char *name)
{
    if (is_one_of(name, "Dd Os Bk Ek Rs Re")) {
        return true;
    } else if (strcmp(name, "Dt") == 0) {
        if (self->count > 0)
            snprintf(self->titled, sizeof self->titled, "%.120s(%.20s)", man_arg(self, 0),
                     self->count > 1 ? man_arg(self, 1) : "");
    } else if (is_one_of(name, "Sh Ss")) {
        man_heading(self, name[1] == 'h' ? 1 : 2);
    } else if (is_one_of(name, "Pp Lp")) {
        man_flush(self);
    } else if (strcmp(name, "It") == 0) {
        begin_item(self);
    } else if (is_one_of(name, "Bl El")) {
        man_flush(self);
    } else if (strcmp(name, "Bd") == 0) {
        bool lines = false;
        for (size_t i = 0; i < self->count; i++)
            lines = lines || is_one_of(man_arg(self, i), "-literal -unfilled");
        set_verbatim(self, lines);
    } else if (strcmp(name, "Ed") == 0) {
        set_verbatim(self, false);
    } else if (is_one_of(name, "Dl D1")) {
        man_flush(self);
        run(self, 0);
        man_flush(self);
    } else if (name[0] == '%') { // a bibliographic reference's fields: %A %T …
        run(self, 0);
    } else if (!callable(name)) {
        return false;
    } else {
        call(self, name, 0);
    }
    return true;
}
