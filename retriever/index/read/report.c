// report: one table of reasons; entries are written as they come.
#include "report.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "fail.h"
#include "hash.h"
#include "hash_set.h"
#include "log.h"
#include "mem.h"
#include "utf8.h"

typedef struct reason {
    const char *code, *words;
} reason_t;

static const reason_t reasons[REPORT_REASONS] = {
    [REPORT_UNREADABLE] = {"unreadable", "cannot be read"},
    [REPORT_FORMAT] = {"format", "of a format that is not read"},
    [REPORT_ENCODING] = {"encoding", "not UTF-8"},
    [REPORT_DAMAGED] = {"damaged", "damaged"},
    [REPORT_FIELD] = {"field", "a field that cannot be used"},
    [REPORT_NOT_READ] = {"not_understood", "parts that were not understood"},
    [REPORT_TOO_LARGE] = {"too_large", "too large"},
    [REPORT_ID_TAKEN] = {"id_taken", "an id that another document has"},
    [REPORT_VECTOR] = {"vector", "a vector that cannot be used"},
    [REPORT_EMBEDDING] = {"embedding", "not embedded, found by words only"},
    [REPORT_LINK] = {"link", "links that are not followed"},
    [REPORT_CRASH] = {"crash", "the reader crashed"},
    [REPORT_TIME_LIMIT] = {"time_limit", "reading takes too long"},
    [REPORT_MEMORY] = {"memory_limit", "reading takes too much memory"},
    [REPORT_ENCRYPTED] = {"encrypted", "encrypted"},
    [REPORT_SCANNED] = {"scanned", "images of text"},
    [REPORT_PROBLEM] = {"problem", "other problems"},
    [REPORT_LIST_FAILED] = {"folder", "folders that could not be listed"},
    [REPORT_SKIPPED] = {"skipped", "by index.skip"},
    [REPORT_HIDDEN] = {"hidden", "hidden"},
    [REPORT_JUNK] = {"junk", "backups and folders of version control"},
    [REPORT_PROGRAM] = {"program", "data of programs"},
    [REPORT_EMPTY] = {"empty", "without text"},
};

static const char *const outcomes[] = {
    [REPORT_LEFT_OUT] = "left out",
    [REPORT_IN_PART] = "in part",
    [REPORT_KEPT] = "left as it was",
};

struct report {
    char *path;
    FILE *file; // NULL: none
    bool keeps;
    int error; // errno of the first write that failed
    report_before_fn *before;
    void *arg;
    uint64_t counts[REPORT_REASONS], faults;
    unsigned said;    // in this pass
    uint64_t known;   // of this pass that an earlier one has said
    hash_set_t names; // what was said
};

report_t *report_new(const char *path, char *why, size_t why_size)
{
    report_t *self = rl_new(*self);
    self->path = rl_strdup(path);
    if (*path && !(self->file = fopen(path, "we"))) {
        rl_fail(why, why_size, "the report cannot be written: %s: %s", path, strerror(errno));
        report_destroy(&self);
    }
    return self;
}

void report_destroy(report_t **self_p)
{
    report_t *self = *self_p;
    if (!self)
        return;
    if (self->file)
        fclose(self->file);
    hash_set_free(&self->names);
    free(self->path);
    free(self);
    *self_p = NULL;
}

void report_on_terminal(report_t *self, report_before_fn *before, void *arg)
{
    self->before = before;
    self->arg = arg;
}

void report_keep(report_t *self)
{
    self->keeps = true;
}

static void write_entry(report_t *self, report_reason_t reason, report_outcome_t outcome,
                        const char *document, uint64_t line, const char *detail)
{
    json_t *entry = json_object();
    json_object_set_new(entry, "document", json_string(document));
    if (line > 0)
        json_object_set_new(entry, "line", json_integer((json_int_t)line));
    json_object_set_new(entry, "reason", json_string(reasons[reason].code));
    json_object_set_new(entry, "detail", json_string(detail));
    json_object_set_new(entry, "outcome", json_string(outcomes[outcome]));
    char *text = rl_must(json_dumps(rl_must(entry), JSON_COMPACT));
    if (fprintf(self->file, "%s\n", text) < 0 && !self->error)
        self->error = errno;
    free(text);
    json_decref(entry);
}

static void say_entry(report_t *self, report_reason_t reason, report_outcome_t outcome,
                      const char *document, uint64_t line, const char *detail)
{
    char place[32] = "";
    if (line > 0)
        snprintf(place, sizeof place, ":%" PRIu64, line);
    if (self->before)
        self->before(self->arg);
    rl_warn("%s%s: %s (%s, %s)", document, place, detail, reasons[reason].code, outcomes[outcome]);
    self->said++;
}

// Whether it is new to the terminal. What is not said is not remembered, so that memory has a bound
// in each pass.
static bool is_news(report_t *self, report_reason_t reason, const char *document, uint64_t line)
{
    char *name = rl_format("%d %" PRIu64 " %s", (int)reason, line, document);
    bool news = hash_set_add(&self->names, rl_hash128(name, strlen(name)));
    free(name);
    self->known += !news;
    return news;
}

void report_add(report_t *self, report_reason_t reason, report_outcome_t outcome,
                const char *document, uint64_t line, const char *detail)
{
    char *name = rl_must(rl_utf8_repair(document, strlen(document), NULL));
    char *words = rl_must(rl_utf8_repair(detail, strlen(detail), NULL));
    if (self->keeps && outcome == REPORT_LEFT_OUT)
        outcome = REPORT_KEPT;
    self->counts[reason]++;
    self->faults++;
    if (self->file)
        write_entry(self, reason, outcome, name, line, words);
    if (self->said < REPORT_SAID && is_news(self, reason, name, line))
        say_entry(self, reason, outcome, name, line, words);
    free(name);
    free(words);
}

void report_skip(report_t *self, report_reason_t reason)
{
    self->counts[reason]++;
}

uint64_t report_faults(const report_t *self)
{
    return self->faults;
}

uint64_t report_count(const report_t *self, report_reason_t reason)
{
    return self->counts[reason];
}

// "3 damaged, 1 encoding" of the reasons from `first` to before `end`.
static char *list_counts(const report_t *self, report_reason_t first, report_reason_t end)
{
    rl_buf_t out = rl_buf_make(64 << 10);
    rl_buf_adds(&out, "");
    for (report_reason_t at = first; at < end; at++)
        if (self->counts[at] > 0)
            rl_buf_addf(&out, "%s%" PRIu64 " %s (%s)", out.size > 0 ? ", " : "", self->counts[at],
                        reasons[at].code, reasons[at].words);
    return rl_buf_take(&out);
}

static void say_counts(report_t *self)
{
    char *faults = list_counts(self, 0, REPORT_SKIPPED);
    char *skipped = list_counts(self, REPORT_SKIPPED, REPORT_REASONS);
    uint64_t unsaid = self->faults - self->said - self->known;
    if (self->before)
        self->before(self->arg);
    if (self->faults > self->known)
        rl_warn("not wholly in the index: %s", faults);
    if (unsaid > 0)
        rl_warn("%" PRIu64 " of these are not named here; %s%s", unsaid,
                self->file ? "they are in " : "--index-report FILE names all",
                self->file ? self->path : "");
    if (*skipped && self->known == 0)
        rl_info("left out on purpose: %s", skipped);
    free(faults);
    free(skipped);
}

int report_finish(report_t *self, char *why, size_t why_size)
{
    say_counts(self);
    if (self->file && fflush(self->file) != 0 && !self->error)
        self->error = errno;
    return self->error ? rl_fail(why, why_size, "the report is not whole: %s: %s", self->path,
                                 strerror(self->error))
                       : 0;
}

void report_restart(report_t *self)
{
    memset(self->counts, 0, sizeof self->counts);
    self->faults = self->known = 0;
    self->said = 0;
    self->error = 0;
    if (!self->file)
        return;
    self->file = freopen(self->path, "we", self->file);
    if (!self->file)
        rl_warn("the report cannot be written: %s: %s", self->path, strerror(errno));
}
