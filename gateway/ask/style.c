// style: what the other end of a stream can show.
#include "style.h"

#include <langinfo.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

style_t style_of(FILE *stream)
{
    const char *term = getenv("TERM"), *no_colour = getenv("NO_COLOR");
    style_t self = {
        .columns = 80, .rows = 24, .unicode = strcmp(nl_langinfo(CODESET), "UTF-8") == 0};
    struct winsize size;
    if (!isatty(fileno(stream)))
        return self;
    self.terminal = term && *term && strcmp(term, "dumb") != 0;
    self.colour = self.terminal && !(no_colour && *no_colour);
    if (ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col >= 20) {
        self.columns = size.ws_col;
        self.rows = size.ws_row > 0 ? size.ws_row : self.rows;
    }
    return self;
}

const char *style_on(const style_t *self, look_t look)
{
    static const char *const sequences[] = {
        [STYLE_OFF] = "\033[0m",     [STYLE_BOLD] = "\033[1m",   [STYLE_DIM] = "\033[2m",
        [STYLE_BAD] = "\033[31m",    [STYLE_WARN] = "\033[33m",  [STYLE_WAIT] = "\033[90m",
        [STYLE_SEARCH] = "\033[34m", [STYLE_MERGE] = "\033[35m", [STYLE_READ] = "\033[33m",
        [STYLE_WRITE] = "\033[32m",
    };
    return self->colour ? sequences[look] : "";
}

const char *style_duration(double ms, char out[32])
{
    if (ms < 0.05)
        return strcpy(out, ms > 0 ? "<0.1 ms" : "0 ms");
    if (ms < 9.95)
        snprintf(out, 32, "%.1f ms", ms);
    else if (ms < 999.5)
        snprintf(out, 32, "%.0f ms", ms);
    else if (ms < 1e9)
        snprintf(out, 32, "%.*f s", ms < 9995 ? 2 : 1, ms / 1000);
    else
        strcpy(out, "very long");
    return out;
}
