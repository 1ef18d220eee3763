// top_screen: the page on a terminal.
#include "top_screen.h"

#include <curses.h>
#include <langinfo.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "mem.h"
#include "sanitize.h"
#include "top_text.h"
#include "utf8.h"

// curses.h names a macro that ours would be
#undef timeout

enum {
    MAX_PAGE = 8 << 20,
    MAX_FILTER = 120, // bytes
    MAX_COLUMNS = 1000,
    ESCAPE = 27,
    DELETE = 127,
    BACKSPACE = 8,
};

struct top_screen {
    struct event *input, *resized;
    top_view_t view;
    void (*quit)(void *arg);
    void *arg;
    SCREEN *screen;
    json_t *sum;
    bool paused, help, unicode;
    bool typing; // the filter is being written
    char filter[MAX_FILTER + 1], before[MAX_FILTER + 1];
    int top;   // first line of the page that is shown
    int lines; // of the page
    int looks[TOP_LOOKS];
};

static const char help_text[] = TOP_HEAD
    "Keys" TOP_PLAIN "\n"
    "  q          end\n"
    "  p, space   pause, and go on\n"
    "  s, S       next order of the workers; the other way round\n"
    "  t          next order of the stages: along the path, by share, by p50, by p99\n"
    "  /          only workers whose line has this in it (Enter takes it, Esc drops it)\n"
    "  w          10 s or 60 s, for the rates, and for durations in a narrow terminal\n"
    "  a          stages that did not occur too\n"
    "  arrows, PgUp, PgDn, Home, End   scroll\n"
    "  h, ?       this help\n"
    "\n" TOP_HEAD "What is shown" TOP_PLAIN "\n"
    "  in flight  questions at work now, by what they are at\n"
    "  time to    since the question's first byte came\n"
    "  stage      durations of its pieces of work; share: of the time to the first token,\n"
    "             counting only what the first token really waited for\n"
    "  load       tasks given and not answered / slots\n";

// --------------------------------------------------------------------------------------- drawing

static void set_looks(top_screen_t *self)
{
    static const struct {
        const char *look;
        short colour;
        int otherwise;
    } colours[] = {{TOP_BAD, COLOR_RED, A_BOLD},
                   {TOP_WARN, COLOR_YELLOW, A_NORMAL},
                   {TOP_GOOD, COLOR_GREEN, A_NORMAL},
                   {TOP_ACCENT, COLOR_CYAN, A_BOLD}};
    const char *no_colour = getenv("NO_COLOR");
    bool colour = !(no_colour && *no_colour) && has_colors() && start_color() == OK;
    bool own = colour && use_default_colors() == OK;
    self->looks[(int)*TOP_HEAD] = A_BOLD;
    self->looks[(int)*TOP_DIM] = A_DIM;
    for (short at = 0; at < (short)(sizeof colours / sizeof *colours); at++) {
        int look = *colours[at].look;
        self->looks[look] = colours[at].otherwise;
        if (colour && init_pair((short)(at + 1), colours[at].colour, own ? -1 : COLOR_BLACK) == OK)
            self->looks[look] = COLOR_PAIR(at + 1);
    }
}

static void draw_point(const top_screen_t *self, const char *text, size_t size, uint32_t point)
{
    if (point < 128 || self->unicode)
        addnstr(text, (int)size);
    else
        addch(point == 0x2013 ? '-' : point == 0x2026 ? '.' : '?');
}

// One line of the page into one of the terminal; returns the columns it took.
static int draw_line(const top_screen_t *self, int row, const char *line, size_t size)
{
    int column = 0, columns = COLS < MAX_COLUMNS ? COLS : MAX_COLUMNS;
    size_t used;
    move(row, 0);
    clrtoeol();
    attrset(A_NORMAL);
    for (size_t at = 0; at < size; at += used) {
        uint32_t point = rl_utf8_next(line + at, size - at, &used);
        if (TOP_IS_LOOK(point)) {
            attrset(self->looks[point]);
            continue;
        }
        int width = rl_sanitize_width(point);
        if (column + width > columns)
            break;
        draw_point(self, line + at, used, point);
        column += width;
    }
    attrset(A_NORMAL);
    return column;
}

static void draw_clock(const top_screen_t *self, int taken)
{
    char text[48];
    time_t now = time(NULL);
    struct tm local;
    localtime_r(&now, &local);
    int size = snprintf(text, sizeof text, "%s%02d:%02d:%02d", self->paused ? "paused  " : "",
                        local.tm_hour, local.tm_min, local.tm_sec);
    if (taken + 2 + size > COLS)
        return;
    attrset(self->looks[(int)*(self->paused ? TOP_WARN : TOP_DIM)]);
    mvaddnstr(0, COLS - size, text, size);
    attrset(A_NORMAL);
}

static void draw_foot(const top_screen_t *self)
{
    rl_buf_t foot = rl_buf_make(1024);
    if (self->typing) {
        rl_buf_addf(&foot, TOP_HEAD "filter: " TOP_PLAIN "%s", self->filter);
    } else {
        rl_buf_addf(&foot,
                    TOP_DIM "h help  q quit  p pause  s sort: %s%s  t stages: %s  w %s  / filter",
                    top_sort_names[self->view.sort], self->view.reverse ? " (reversed)" : "",
                    top_stages_names[self->view.stages], self->view.minute ? "60 s" : "10 s");
        if (*self->filter)
            rl_buf_addf(&foot, TOP_WARN ": %s", self->filter);
    }
    int column = draw_line(self, LINES - 1, foot.data, foot.size);
    curs_set(self->typing ? 1 : 0);
    if (self->typing)
        move(LINES - 1, column < COLS ? column : COLS - 1);
    rl_buf_free(&foot);
}

static const char *draw_next(const top_screen_t *self, int row, const char *line)
{
    const char *end = strchr(line, '\n');
    size_t size = end ? (size_t)(end - line) : strlen(line);
    int taken = draw_line(self, row, line, size);
    if (row == 0)
        draw_clock(self, taken);
    return end ? end + 1 : line + size;
}

static int count_lines(const char *text)
{
    int lines = 0;
    for (; (text = strchr(text, '\n')); text++)
        lines++;
    return lines;
}

// The head stays, the keys stay, what is between them scrolls.
static void draw_page(top_screen_t *self)
{
    rl_buf_t page = rl_buf_make(MAX_PAGE);
    self->view.columns = COLS;
    self->view.filter = self->filter;
    if (self->help)
        rl_buf_addf(&page, TOP_HEAD "ragline-top" TOP_PLAIN "\n%s", help_text);
    else if (self->sum)
        top_page(self->sum, &self->view, &page);
    else
        rl_buf_adds(&page, TOP_HEAD "ragline-top" TOP_PLAIN "\n");
    const char *line = page.data ? page.data : "";
    int room = LINES > 2 ? LINES - 2 : LINES > 1 ? 1 : 0;
    self->lines = count_lines(line) - 1;
    int most = self->lines > room ? self->lines - room : 0;
    self->top = self->top > most ? most : self->top < 0 ? 0 : self->top;
    erase();
    line = draw_next(self, 0, line);
    for (int skip = 0; skip < self->top && *line; skip++)
        line = strchr(line, '\n') + 1;
    for (int row = 1; row <= room && row < LINES && *line; row++)
        line = draw_next(self, row, line);
    if (LINES > 2)
        draw_foot(self);
    refresh();
    rl_buf_free(&page);
}

// ------------------------------------------------------------------------------------------ keys

static void take_back(char *text)
{
    size_t size = strlen(text);
    while (size > 0 && ((unsigned char)text[size - 1] & 0xc0) == 0x80)
        size--; // the rest of a character
    text[size > 0 ? size - 1 : 0] = '\0';
}

static void type_filter(top_screen_t *self, int key)
{
    size_t size = strlen(self->filter);
    if (key == '\n' || key == '\r' || key == KEY_ENTER) {
        self->typing = false;
    } else if (key == ESCAPE) {
        strcpy(self->filter, self->before);
        self->typing = false;
    } else if (key == KEY_BACKSPACE || key == DELETE || key == BACKSPACE) {
        take_back(self->filter);
    } else if (key == 'U' - 64) {
        *self->filter = '\0';
    } else if (key >= ' ' && key < 256 && size < MAX_FILTER) {
        self->filter[size] = (char)key;
        self->filter[size + 1] = '\0';
    }
}

static void begin_typing(top_screen_t *self)
{
    self->typing = true;
    self->help = false;
    strcpy(self->before, self->filter);
}

static void scroll_to(top_screen_t *self, int key)
{
    int page = LINES > 4 ? LINES - 3 : 1;
    switch (key) {
    case KEY_UP:
        self->top--;
        break;
    case KEY_DOWN:
        self->top++;
        break;
    case KEY_PPAGE:
        self->top -= page;
        break;
    case KEY_NPAGE:
        self->top += page;
        break;
    case KEY_HOME:
        self->top = 0;
        break;
    case KEY_END:
        self->top = self->lines;
        break;
    }
}

// Returns false to end.
static bool press_key(top_screen_t *self, int key)
{
    switch (key) {
    case 'q':
    case 'Q':
        return false;
    case 'p':
    case ' ':
        self->paused = !self->paused;
        break;
    case 's':
        self->view.sort = (self->view.sort + 1) % TOP_SORTS;
        break;
    case 'S':
        self->view.reverse = !self->view.reverse;
        break;
    case 't':
        self->view.stages = (self->view.stages + 1) % TOP_STAGE_ORDERS;
        break;
    case 'w':
        self->view.minute = !self->view.minute;
        break;
    case 'a':
        self->view.all = !self->view.all;
        break;
    case '/':
        begin_typing(self);
        break;
    case 'h':
    case '?':
        self->help = !self->help;
        self->top = 0;
        break;
    case ESCAPE:
        self->help = false;
        break;
    default:
        scroll_to(self, key);
    }
    return true;
}

static void on_input(evutil_socket_t fd, short what, void *arg)
{
    top_screen_t *self = arg;
    int key, waiting = 0;
    (void)what;
    // readable and nothing to read: the terminal is gone
    if (ioctl(fd, FIONREAD, &waiting) != 0 || waiting == 0) {
        self->quit(self->arg);
        return;
    }
    while ((key = getch()) != ERR) {
        if (self->typing)
            type_filter(self, key);
        else if (!press_key(self, key)) {
            self->quit(self->arg);
            return;
        }
    }
    draw_page(self);
}

static void on_resized(evutil_socket_t fd, short what, void *arg)
{
    struct winsize size;
    (void)fd;
    (void)what;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0)
        resizeterm(size.ws_row, size.ws_col);
    clear();
    draw_page(arg);
}

// ---------------------------------------------------------------------------------- begin and end

top_screen_t *top_screen_new(struct event_base *base, const top_view_t *view,
                             void (*quit)(void *arg), void *arg)
{
    top_screen_t *self = rl_new(*self);
    self->view = *view;
    snprintf(self->filter, sizeof self->filter, "%s", view->filter);
    self->quit = quit;
    self->arg = arg;
    self->unicode = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    self->screen = newterm(NULL, stdout, stdin);
    if (!self->screen) {
        free(self);
        return NULL;
    }
    set_escdelay(25);
    cbreak();
    noecho();
    nonl();
    nodelay(stdscr, TRUE);
    keypad(stdscr, TRUE);
    set_looks(self);
    self->resized = evsignal_new(base, SIGWINCH, on_resized, self);
    self->input = event_new(base, STDIN_FILENO, EV_READ | EV_PERSIST, on_input, self);
    if (!self->resized || !self->input || event_add(self->resized, NULL) != 0 ||
        event_add(self->input, NULL) != 0)
        rl_out_of_memory();
    draw_page(self);
    return self;
}

void top_screen_destroy(top_screen_t **self_p)
{
    top_screen_t *self = *self_p;
    if (!self)
        return;
    event_free(self->input);
    event_free(self->resized);
    endwin();
    delscreen(self->screen);
    json_decref(self->sum);
    free(self);
    *self_p = NULL;
}

void top_screen_show(top_screen_t *self, json_t *sum)
{
    if (self->paused) {
        json_decref(sum);
    } else {
        json_decref(self->sum);
        self->sum = sum;
    }
    draw_page(self);
}
