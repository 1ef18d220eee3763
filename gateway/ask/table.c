// table: the workers that a gateway knows, a line each, columns as wide as their widest cell.
#include "table.h"

#include <string.h>

#include "buf.h"
#include "sanitize.h"

enum {
    COLUMNS = 8,
    CELL = 512, // bytes
    WIDEST = 60,
};

static const char *const heads[COLUMNS] = {"WORKER", "KIND",    "SERVES",   "STATE",
                                           "LOAD",   "LATENCY", "ANSWERED", "SEEN"};

static const char *string_of(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

static long long integer_of(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

// What it serves: a shard of a collection, or a model.
static void add_serves(rl_buf_t *cell, const json_t *worker)
{
    if (*string_of(worker, "collection")) {
        rl_sanitize_line(cell, string_of(worker, "collection"), WIDEST);
        rl_buf_addf(cell, "/%lld", integer_of(worker, "shard"));
        if (*string_of(worker, "generation")) {
            rl_buf_adds(cell, " ");
            rl_sanitize_line(cell, string_of(worker, "generation"), WIDEST);
        }
    } else {
        rl_sanitize_line(cell, string_of(worker, "model"), WIDEST);
    }
}

static void add_cell(rl_buf_t *cell, const json_t *worker, int column)
{
    char time[32];
    switch (column) {
    case 0:
        rl_sanitize_line(cell, string_of(worker, "worker"), WIDEST);
        break;
    case 1:
        rl_sanitize_line(cell, string_of(worker, "kind"), WIDEST);
        break;
    case 2:
        add_serves(cell, worker);
        break;
    case 3:
        rl_sanitize_line(cell, string_of(worker, "state"), WIDEST);
        break;
    case 4:
        rl_buf_addf(cell, "%lld", integer_of(worker, "outstanding"));
        if (integer_of(worker, "slots") > 0)
            rl_buf_addf(cell, "/%lld", integer_of(worker, "slots"));
        break;
    case 5:
        rl_buf_adds(cell,
                    style_duration(json_number_value(json_object_get(worker, "latency_ms")), time));
        break;
    case 6:
        rl_buf_addf(cell, "%lld", integer_of(worker, "served"));
        break;
    default:
        rl_buf_addf(cell, "%s ago",
                    style_duration((double)integer_of(worker, "last_seen_ms"), time));
    }
}

void table_workers(FILE *out, const style_t *style, const json_t *workers)
{
    size_t widths[COLUMNS], at;
    const json_t *worker;
    rl_buf_t cell = rl_buf_make(CELL);
    if (json_array_size(workers) == 0) {
        fputs("no workers\n", out);
        return;
    }
    for (int column = 0; column < COLUMNS; column++)
        widths[column] = strlen(heads[column]);
    json_array_foreach(workers, at, worker)
    {
        for (int column = 0; column < COLUMNS; column++) {
            rl_buf_clear(&cell);
            add_cell(&cell, worker, column);
            size_t width = cell.data ? rl_sanitize_columns(cell.data) : 0;
            widths[column] = width > widths[column] ? width : widths[column];
        }
    }
    fputs(style_on(style, STYLE_BOLD), out);
    for (int column = 0; column < COLUMNS; column++)
        fprintf(out, "%-*s%s", column + 1 < COLUMNS ? (int)widths[column] : 0, heads[column],
                column + 1 < COLUMNS ? "  " : "");
    fprintf(out, "%s\n", style_on(style, STYLE_OFF));
    json_array_foreach(workers, at, worker)
    {
        for (int column = 0; column < COLUMNS; column++) {
            rl_buf_clear(&cell);
            add_cell(&cell, worker, column);
            const char *text = cell.data ? cell.data : "";
            int pad =
                column + 1 < COLUMNS ? (int)(widths[column] - rl_sanitize_columns(text)) + 2 : 0;
            fprintf(out, "%s%*s", text, pad, "");
        }
        fputc('\n', out);
    }
    fflush(out);
    rl_buf_free(&cell);
}
