// corpus: opens file after file, has them read by the pool of readers, some ahead of the one whose
// turn it is, and gives documents their ids.

#include "corpus.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format.h"
#include "hash.h"
#include "hash_set.h"
#include "input.h"
#include "mem.h"
#include "reader_pool.h"
#include "utf8.h"
#include "vector_file.h"

enum {
    READ_MS = 30000, // limits where nobody has set them
    READ_MB = 1024,
    READ_OUTPUT_MB = 320,
    MAX_READERS = 64,
    JOBS = 4, // files that a reader has at a time
    MAX_WINDOW = MAX_READERS * JOBS,
    SLOW_LOSS = 25,   // a reader that took too long counts so much, for it is waited for
    MAX_LOSSES = 100, // so many readers a file may cost, before its rest is left out
};

struct corpus {
    const listing_t *listing;
    roots_t *roots;
    report_t *report;
    corpus_counts_t counts;
    size_t at;              // next file
    uint64_t bytes;         // of the files before the open one
    const char *file;       // the last one that was looked at
    const char *path;       // its path
    const format_t *format; // of the file whose turn it is; NULL: nothing is known of it yet
    uint64_t line;          // 0: the file is one document
    vector_file_t *rows; // vectors of the open file's lines; NULL: in the lines themselves, or none
    char why[8192];
    reader_limits_t limits;
    reader_pool_t *pool;    // NULL: not needed yet
    size_t ahead;           // first file that no reader was asked for
    bool asked[MAX_WINDOW]; // whether a reader has the file, by its place
    unsigned losses;        // readers that this file has cost
    hash_set_t ids;         // hashes of the ids seen
};

corpus_t *corpus_new(const listing_t *listing, roots_t *roots, report_t *report)
{
    corpus_t *self = rl_new(*self);
    self->listing = listing;
    self->roots = roots_ref(roots);
    self->report = report;
    corpus_limit(self, READ_MS, READ_MB, READ_OUTPUT_MB, 0);
    return self;
}

void corpus_limit(corpus_t *self, unsigned ms, size_t mb, size_t output_mb, unsigned readers)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (readers == 0)
        readers = cores > 0 ? (unsigned)cores : 1;
    self->limits = (reader_limits_t){.read_ms = ms,
                                     .memory = mb << 20,
                                     .output = output_mb << 20,
                                     .readers = readers < MAX_READERS ? readers : MAX_READERS};
}

void corpus_configure(corpus_t *self, const rl_conf_t *conf)
{
    corpus_limit(self, (unsigned)rl_conf_int(conf, "index.read_ms"),
                 (size_t)rl_conf_int(conf, "index.read_mb"),
                 (size_t)rl_conf_int(conf, "index.read_output_mb"),
                 (unsigned)rl_conf_int(conf, "index.readers"));
}

void corpus_destroy(corpus_t **self_p)
{
    corpus_t *self = *self_p;
    if (!self)
        return;
    reader_pool_destroy(&self->pool);
    vector_file_destroy(&self->rows);
    hash_set_free(&self->ids);
    roots_unref(&self->roots);
    free(self);
    *self_p = NULL;
}

const corpus_counts_t *corpus_counts(const corpus_t *self)
{
    return &self->counts;
}

// About the file, or the line of it, that is at work.
static void report_place(corpus_t *self, report_reason_t reason, report_outcome_t outcome,
                         const char *what)
{
    report_add(self->report, reason, outcome, self->path, self->line, what);
}

void corpus_problem(corpus_t *self, report_reason_t reason, const char *what)
{
    report_place(self, reason, REPORT_LEFT_OUT, what);
}

// ---- ids ----------------------------------------------------------------------------------------

// Notes an id; returns whether it is new.
static bool add_id(corpus_t *self, const char *id)
{
    return hash_set_add(&self->ids, rl_hash128(id, strlen(id)));
}

// What kind of file it was is metadata too, so that it can be filtered by; a field of that name
// that the document has itself stays.
static void set_kind(document_t *doc, const char *kind)
{
    json_t *meta = doc->meta[0] ? json_loads(doc->meta, JSON_ALLOW_NUL, NULL) : json_object();
    if (!meta)
        return;
    if (json_is_object(meta) && !json_object_get(meta, "kind"))
        json_object_set_new(meta, "kind", json_string(kind));
    free(doc->meta);
    doc->meta = rl_must(json_dumps(meta, JSON_COMPACT));
    json_decref(meta);
}

// Gives a document that brings no id one made of the file's name, and of the line.
static char *make_id(const corpus_t *self, const listed_t *file)
{
    char id[DOC_MAX_ID + 32];
    char *name = self->roots ? roots_id(self->roots, file->path) : rl_strdup(file->name);
    if (self->format->lines)
        snprintf(id, sizeof id, "%.1000s:%llu", name, (unsigned long long)self->line);
    else
        snprintf(id, sizeof id, "%.1000s", name);
    free(name);
    return rl_must(rl_utf8_repair(id, strlen(id), NULL));
}

// Sees to it that no other document has its id. Without roots, files of the same name below two
// folders are told apart by their whole path.
static bool claim_id(corpus_t *self, document_t *doc, bool named)
{
    if (add_id(self, doc->id))
        return true;
    if (!named && add_id(self, doc->source)) {
        free(doc->id);
        doc->id = rl_strdup(doc->source);
        return true;
    }
    char what[160];
    snprintf(what, sizeof what, "the id \"%.100s\" is taken by a document before it", doc->id);
    corpus_problem(self, REPORT_ID_TAKEN, what);
    return false;
}

// Says what of the document is not in it.
static void report_parts(corpus_t *self, const document_t *doc)
{
    char what[80];
    if (doc->repaired > 0) {
        snprintf(what, sizeof what, "%zu byte%s not UTF-8, shown as U+FFFD", doc->repaired,
                 doc->repaired == 1 ? " is" : "s are");
        report_place(self, REPORT_ENCODING, REPORT_IN_PART, what);
    }
    if (doc->note)
        report_place(self, REPORT_NOT_READ, REPORT_IN_PART, doc->note);
}

// Completes a document that was read: id, source, title, kind. Returns whether it can be used.
static bool complete_document(corpus_t *self, document_t *doc, const listed_t *file)
{
    bool named = doc->id;
    if (doc->failed) {
        corpus_problem(self, REPORT_TOO_LARGE, "too large, or out of memory");
        return false;
    }
    if (!named)
        doc->id = make_id(self, file);
    if (!doc->source)
        doc->source = rl_must(rl_utf8_repair(file->path, strlen(file->path), NULL));
    if (!self->format->lines)
        set_kind(doc, self->format->name);
    if (!claim_id(self, doc, named))
        return false;
    if (!doc->title[0] && !self->format->lines) {
        const char *name = strrchr(doc->id, '/');
        name = name ? name + 1 : doc->id;
        document_set(&doc->title, name, strlen(name), DOC_MAX_TITLE);
    }
    report_parts(self, doc);
    return true;
}

bool corpus_is_blank(const char *line, size_t size)
{
    size_t at = 0;
    while (at < size && (line[at] == ' ' || line[at] == '\t' || line[at] == '\r'))
        at++;
    return at == size;
}

// ---- files --------------------------------------------------------------------------------------

static void close_file(corpus_t *self)
{
    vector_file_destroy(&self->rows);
    self->format = NULL;
    self->line = 0;
    self->losses = 0;
    self->bytes += listing_at(self->listing, self->at)->size;
    self->counts.bytes = self->bytes;
    self->at++;
}

// Gives the document its row. Returns whether it can be used.
static bool take_row(corpus_t *self, document_t *doc, const float *row)
{
    size_t size = vector_file_dimension(self->rows);
    double sum = 0;
    for (size_t at = 0; at < size; at++)
        sum += (double)row[at] * row[at];
    if (doc->vector || !isfinite(sum) || !(sum > 0)) {
        corpus_problem(self, REPORT_VECTOR,
                       doc->vector ? "has a \"vector\", and there is a file of vectors too"
                                   : "its row of the vectors is all zeros or not finite");
        return false;
    }
    doc->vector = rl_alloc_array(size, sizeof *row);
    memcpy(doc->vector, row, size * sizeof *row);
    doc->vector_size = size;
    return true;
}

// The document that the frame holds.
static corpus_next_t take_document(corpus_t *self, const listed_t *file, const char *body,
                                   size_t size, document_t *doc)
{
    if (reader_frame_decode(body, size, doc) != 0) {
        corpus_problem(self, REPORT_CRASH, "its reader has answered what is no document");
        return CORPUS_NOTHING;
    }
    if (complete_document(self, doc, file))
        return CORPUS_DOCUMENT;
    document_free(doc);
    return CORPUS_NOTHING;
}

// What the frame says of a document.
static corpus_next_t take_outcome(corpus_t *self, const listed_t *file, const reader_frame_t *frame,
                                  const char *body, document_t *doc)
{
    char what[512];
    bool fault = frame->reason < REPORT_SKIPPED;
    switch (frame->outcome) {
    case READER_DOCUMENT:
        return take_document(self, file, body, frame->size, doc);
    case READER_EMPTY:
        report_skip(self->report, REPORT_EMPTY);
        return CORPUS_NOTHING;
    default:
        break;
    }
    snprintf(what, sizeof what, "%.*s", (int)(frame->size < 500 ? frame->size : 500), body);
    // in a folder there may be all sorts of data of programs, but who names one means it
    if (fault || file->given)
        corpus_problem(self, fault ? (report_reason_t)frame->reason : REPORT_PROGRAM, what);
    else
        report_skip(self->report, REPORT_PROGRAM);
    return CORPUS_NOTHING;
}

// A line's document, with its row if there are rows. A row is read for each line, usable or not
// (no frame), so that rows and lines stay in step.
static corpus_next_t take_line(corpus_t *self, const listed_t *file, const reader_frame_t *frame,
                               const char *body, document_t *doc)
{
    const float *row = NULL;
    if (self->rows && !(row = vector_file_next(self->rows, self->why, sizeof self->why)))
        return CORPUS_BROKEN;
    corpus_next_t next = frame ? take_outcome(self, file, frame, body, doc) : CORPUS_NOTHING;
    if (next == CORPUS_DOCUMENT && row && !take_row(self, doc, row)) {
        document_free(doc);
        return CORPUS_NOTHING;
    }
    return next;
}

static corpus_next_t end_lines(corpus_t *self, const listed_t *file)
{
    corpus_next_t next = CORPUS_NOTHING;
    if (self->rows && vector_file_taken(self->rows) != vector_file_count(self->rows)) {
        snprintf(self->why, sizeof self->why,
                 "%s has %llu rows, but %s has %llu documents: they do not belong together",
                 vector_file_path(self->rows), (unsigned long long)vector_file_count(self->rows),
                 file->path, (unsigned long long)vector_file_taken(self->rows));
        next = CORPUS_BROKEN;
    }
    close_file(self);
    return next;
}

// Opens the vectors beside a file of lines, if there are some.
static corpus_next_t open_rows(corpus_t *self, const listed_t *file)
{
    char *path = vector_file_beside(file->path);
    if (path)
        self->rows = vector_file_new(path, self->why, sizeof self->why);
    bool broken = path && !self->rows;
    free(path);
    return broken ? CORPUS_BROKEN : CORPUS_NOTHING;
}

// Whether this is a file of vectors, which is read together with its documents.
static bool skip_vector_file(corpus_t *self, const listed_t *file)
{
    static const char *const documents[] = {".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz"};
    if (!vector_file_is(file->path))
        return false;
    const char *dot = strrchr(file->path, '.');
    bool there = false;
    for (size_t at = 0; !there && at < sizeof documents / sizeof *documents; at++) {
        char path[4200];
        snprintf(path, sizeof path, "%.*s%s", (int)(dot - file->path), file->path, documents[at]);
        there = access(path, F_OK) == 0;
    }
    if (!there && file->given)
        corpus_problem(self, REPORT_VECTOR, "vectors whose documents (.jsonl) are not beside it");
    else if (!there)
        report_skip(self->report, REPORT_PROGRAM);
    return true;
}

// ---- readers ------------------------------------------------------------------------------------

static unsigned reader_of(const corpus_t *self, size_t at)
{
    return (unsigned)(at % self->limits.readers);
}

// Has a reader begin with a file, behind so many lines.
static void ask_reader(corpus_t *self, size_t at, uint64_t after)
{
    const listed_t *file = listing_at(self->listing, at);
    char why[256];
    int fd = vector_file_is(file->path) ? -1 : input_open(file->path, why, sizeof why);
    self->asked[at % MAX_WINDOW] = fd >= 0;
    if (fd < 0)
        return; // is told when its turn comes
    if (!self->pool)
        self->pool = reader_pool_new(&self->limits);
    reader_pool_send(self->pool, reader_of(self, at), fd, file->path, after);
}

static void ask_ahead(corpus_t *self)
{
    size_t window = (size_t)self->limits.readers * JOBS;
    while (self->ahead < listing_size(self->listing) && self->ahead < self->at + window)
        ask_reader(self, self->ahead++, 0);
}

// A file that no reader was asked for.
static corpus_next_t pass_over(corpus_t *self, const listed_t *file)
{
    char why[256] = "cannot be opened";
    if (!skip_vector_file(self, file)) {
        int fd = input_open(file->path, why, sizeof why);
        if (fd >= 0)
            close(fd);
        corpus_problem(self, REPORT_UNREADABLE, why);
    }
    close_file(self);
    return CORPUS_NOTHING;
}

// The reader was lost with this file or line: it is told, and what the reader had besides is given
// to the next.
static corpus_next_t take_loss(corpus_t *self, const listed_t *file, report_reason_t reason,
                               const char *why)
{
    corpus_next_t next = CORPUS_NOTHING;
    size_t lost = self->at;
    bool lines = self->format && self->format->lines;
    self->line += lines;
    corpus_problem(self, reason, why);
    if (lines)
        next = take_line(self, file, NULL, NULL, NULL);
    self->losses += reason == REPORT_TIME_LIMIT ? SLOW_LOSS : 1;
    bool rest = lines && self->losses < MAX_LOSSES;
    if (lines && !rest)
        corpus_problem(self, reason, "the rest of the file: too many of its lines cannot be read");
    if (rest)
        ask_reader(self, lost, self->line);
    else
        close_file(self);
    for (size_t at = lost + 1; at < self->ahead; at++)
        if (self->asked[at % MAX_WINDOW] && reader_of(self, at) == reader_of(self, lost))
            ask_reader(self, at, 0);
    return next;
}

// Whether the frame is one that can come now.
static bool is_expected(const corpus_t *self, const reader_frame_t *frame)
{
    const format_t *format = format_at(frame->format);
    bool lines = format && format->lines;
    if (frame->outcome > READER_END || frame->reason >= REPORT_REASONS ||
        (self->format && self->format != format) ||
        (frame->outcome <= READER_EMPTY && !format && frame->outcome != READER_FAILURE))
        return false;
    if (!lines)
        return frame->outcome <= READER_EMPTY && frame->line == 0;
    if (frame->outcome == READER_BEGIN)
        return !self->format || self->losses > 0;
    if (frame->outcome == READER_BLANK)
        return self->format && frame->line > self->line;
    return self->format && (frame->outcome == READER_END || frame->line == self->line + 1);
}

static corpus_next_t take_frame(corpus_t *self, const listed_t *file, const reader_frame_t *frame,
                                const char *body, document_t *doc)
{
    bool begins = !self->format;
    self->format = format_at(frame->format);
    self->counts.files += begins && self->format;
    self->counts.bytes = self->bytes + (frame->read < file->size ? frame->read : file->size);
    if (!self->format || !self->format->lines) {
        corpus_next_t next = take_outcome(self, file, frame, body, doc);
        close_file(self);
        return next;
    }
    if (frame->outcome == READER_BEGIN)
        return begins ? open_rows(self, file) : CORPUS_NOTHING;
    if (frame->outcome == READER_END)
        return end_lines(self, file);
    self->line = frame->line;
    if (frame->outcome == READER_BLANK)
        return CORPUS_NOTHING;
    return take_line(self, file, frame, body, doc);
}

const char *corpus_why(const corpus_t *self)
{
    return self->why;
}

corpus_next_t corpus_next(corpus_t *self, document_t *doc)
{
    reader_frame_t frame;
    report_reason_t reason;
    const char *body;
    char why[256];
    if (self->at >= listing_size(self->listing))
        return CORPUS_END;
    const listed_t *file = listing_at(self->listing, self->at);
    self->file = file->name;
    self->path = file->path;
    ask_ahead(self);
    if (!self->asked[self->at % MAX_WINDOW])
        return pass_over(self, file);
    unsigned reader = reader_of(self, self->at);
    int rc = reader_pool_receive(self->pool, reader, &frame, &body, &reason, why, sizeof why);
    if (rc == 0)
        return CORPUS_NOTHING;
    if (rc < 0)
        return take_loss(self, file, reason, why);
    if (is_expected(self, &frame))
        return take_frame(self, file, &frame, body, doc);
    reader_pool_drop(self->pool, reader);
    return take_loss(self, file, REPORT_CRASH, "its reader has answered what cannot be");
}

const char *corpus_file(const corpus_t *self)
{
    return self->file;
}
