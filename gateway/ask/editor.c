// editor: a line typed on a terminal, key by key.
//
// The line is drawn anew with each change, in one write: up to its first row, clear, the rows, the
// cursor to its place. Rows are ended here and not by the terminal, so that it is known where they
// end. A line that has more rows than the screen shows those around the cursor.
#include "editor.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "line.h"
#include "mem.h"
#include "typed.h"

enum {
    PROMPT = 2,          // columns of "> "
    MAX_AHEAD = 1 << 16, // bytes typed while nobody asks for them
    MAX_SHOWN = 1 << 20, // bytes of what is written at a time
    NARROWEST = 4,       // columns that are reckoned with at least
};

struct editor {
    style_t style;
    editor_events_t events;
    line_t *line;
    typed_t typed;
    rl_buf_t ahead; // bytes not looked at yet
    bool active, taking, pasting;
    bool news;  // the text is another one, which nobody has been told yet
    size_t row; // of the cursor, below the first row that is shown
    struct termios before;
    struct event *stopped, *resized;
};

static void write_terminal(const char *text, size_t size)
{
    fwrite(text, 1, size, stderr);
    fflush(stderr);
}

// ---- the terminal
// ---------------------------------------------------------------------------------

// Bytes come one by one and are not shown; Ctrl-C and Ctrl-Z mean what they always do. What is
// pasted comes with marks around it.
static void take_terminal(editor_t *self)
{
    struct termios raw;
    tcgetattr(STDIN_FILENO, &self->before);
    raw = self->before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | IEXTEN);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
    write_terminal("\033[?2004h", 8);
}

static void give_back(editor_t *self)
{
    write_terminal("\033[?2004l", 8);
    tcsetattr(STDIN_FILENO, TCSADRAIN, &self->before);
}

static void read_size(size_t *columns, size_t *rows)
{
    struct winsize size = {0};
    ioctl(STDERR_FILENO, TIOCGWINSZ, &size);
    *columns = size.ws_col >= NARROWEST ? size.ws_col : size.ws_col ? NARROWEST : 80;
    *rows = size.ws_row > 1 ? size.ws_row : size.ws_row ? 1 : 24;
}

// ---- drawing
// --------------------------------------------------------------------------------------

// The part of `all` that is rows `from` to `from + rows`.
static void add_rows(rl_buf_t *out, const rl_buf_t *all, size_t from, size_t rows)
{
    const char *at = all->data, *end = all->data + all->size, *next;
    for (; from > 0 && (next = memmem(at, (size_t)(end - at), "\r\n", 2)); from--)
        at = next + 2;
    for (size_t row = 0; row < rows; row++) {
        next = memmem(at, (size_t)(end - at), "\r\n", 2);
        rl_buf_add(out, at, (size_t)((next ? next : end) - at));
        if (!next)
            return;
        if (row + 1 < rows)
            rl_buf_adds(out, "\r\n");
        at = next + 2;
    }
}

static void move_up(rl_buf_t *out, size_t rows)
{
    if (rows > 0)
        rl_buf_addf(out, "\033[%zuA", rows);
}

// Draws the line with the cursor behind `cursor` bytes.
static void draw_line(editor_t *self, size_t cursor)
{
    const char *text = line_text(self->line);
    size_t columns, rows;
    rl_buf_t all = rl_buf_make(MAX_SHOWN), out = rl_buf_make(2 * (size_t)MAX_SHOWN);
    read_size(&columns, &rows);
    rl_buf_addf(&all, "%s> %s", style_on(&self->style, STYLE_BOLD),
                style_on(&self->style, STYLE_OFF));
    line_place_t last = line_lay(text, strlen(text), PROMPT, columns, &all);
    line_place_t place = line_lay(text, cursor, PROMPT, columns, NULL);
    size_t first = place.row >= rows ? place.row - rows + 1 : 0;
    size_t shown = last.row - first + 1 < rows ? last.row - first + 1 : rows;
    rl_buf_adds(&out, "\r");
    move_up(&out, self->row);
    rl_buf_adds(&out, "\033[J");
    add_rows(&out, &all, first, shown);
    self->row = place.row - first;
    move_up(&out, shown - 1 - self->row);
    rl_buf_adds(&out, "\r");
    if (place.column > 0)
        rl_buf_addf(&out, "\033[%zuC", place.column);
    write_terminal(out.data, out.size);
    rl_buf_free(&all);
    rl_buf_free(&out);
}

static void draw_now(editor_t *self)
{
    draw_line(self, line_cursor(self->line));
}

// ---- signals
// --------------------------------------------------------------------------------------

// Ctrl-Z: the shell gets its terminal as it was; when it lets us go on, the line is there again.
static void on_stopped(evutil_socket_t fd, short what, void *arg)
{
    editor_t *self = arg;
    bool active = self->active;
    (void)fd;
    (void)what;
    editor_pause(self);
    kill(getpid(), SIGSTOP);
    if (active)
        editor_begin(self);
}

static void on_resized(evutil_socket_t fd, short what, void *arg)
{
    editor_t *self = arg;
    (void)fd;
    (void)what;
    if (self->active)
        draw_now(self);
}

static struct event *on_signal(struct event_base *base, int number, event_callback_fn fn, void *arg)
{
    struct event *event = evsignal_new(base, number, fn, arg);
    if (!event || event_add(event, NULL) != 0)
        rl_out_of_memory();
    return event;
}

// ---- birth and death
// ------------------------------------------------------------------------------

editor_t *editor_new(struct event_base *base, const style_t *style, size_t max,
                     const editor_events_t *events)
{
    if (!style->terminal || !isatty(STDIN_FILENO))
        return NULL;
    editor_t *self = rl_new(*self);
    *self = (editor_t){
        .style = *style, .events = *events, .line = line_new(max), .ahead = rl_buf_make(MAX_AHEAD)};
    self->stopped = on_signal(base, SIGTSTP, on_stopped, self);
    self->resized = on_signal(base, SIGWINCH, on_resized, self);
    return self;
}

void editor_destroy(editor_t **self_p)
{
    editor_t *self = *self_p;
    if (!self)
        return;
    editor_pause(self);
    event_free(self->stopped);
    event_free(self->resized);
    line_destroy(&self->line);
    rl_buf_free(&self->ahead);
    free(self);
    *self_p = NULL;
}

bool editor_active(const editor_t *self)
{
    return self->active;
}

void editor_pause(editor_t *self)
{
    if (!self->active)
        return;
    draw_line(self, strlen(line_text(self->line)));
    write_terminal("\r\n", 2);
    self->row = 0;
    self->active = false;
    give_back(self);
}

// ---- keys
// -----------------------------------------------------------------------------------------

static void insert_text(editor_t *self, const char *bytes, size_t size)
{
    if (line_insert(self->line, bytes, size))
        self->news = true;
    else
        write_terminal("\a", 1);
}

// An empty line is no question: the next one begins below it.
static void enter_line(editor_t *self)
{
    const char *text = line_text(self->line);
    char *line = strspn(text, " ") < strlen(text) ? rl_strdup(text) : NULL;
    editor_pause(self);
    line_done(self->line);
    self->news = false;
    if (!line) {
        editor_begin(self);
        return;
    }
    self->events.line(self->events.arg, line);
    free(line);
}

static void end_of_input(editor_t *self)
{
    if (*line_text(self->line)) {
        self->news |= line_key(self->line, TYPED_DELETE);
        return;
    }
    editor_pause(self);
    self->events.end(self->events.arg);
}

static void take_key(editor_t *self, typed_key_t key)
{
    switch (key) {
    case TYPED_NOTHING:
        break;
    case TYPED_TEXT:
        insert_text(self, self->typed.bytes, self->typed.size);
        break;
    case TYPED_ENTER:
        if (self->pasting)
            insert_text(self, " ", 1); // a question is one line
        else
            enter_line(self);
        break;
    case TYPED_END_OF_INPUT:
        end_of_input(self);
        break;
    case TYPED_PASTE:
    case TYPED_PASTE_ENDED:
        self->pasting = key == TYPED_PASTE;
        break;
    case TYPED_REDRAW:
        write_terminal("\033[H\033[2J", 7);
        self->row = 0;
        break;
    default:
        self->news |= line_key(self->line, key);
    }
}

// All that is there is taken before the line is drawn; a line's end leaves the rest for later.
static void take_ahead(editor_t *self)
{
    if (self->taking)
        return; // from within an event: the loop below goes on
    self->taking = true;
    size_t at = 0;
    while (self->active && at < self->ahead.size)
        take_key(self, typed_take(&self->typed, self->ahead.data[at++]));
    rl_buf_drop(&self->ahead, at);
    self->taking = false;
    if (self->active)
        draw_now(self);
    if (self->active && self->news) {
        self->news = false;
        self->events.changed(self->events.arg, line_text(self->line));
    }
}

void editor_begin(editor_t *self)
{
    if (self->active)
        return;
    self->active = true;
    self->row = 0;
    take_terminal(self);
    if (self->taking)
        draw_now(self);
    else
        take_ahead(self);
}

void editor_take(editor_t *self, const char *bytes, size_t size)
{
    if (rl_buf_add(&self->ahead, bytes, size) != 0) {
        write_terminal("\a", 1);
        rl_buf_clear(&self->ahead);
        self->ahead.full = false;
    }
    take_ahead(self);
}
