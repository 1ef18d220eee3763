// corpus: opens file after file, has each read by its format, gives documents their ids.

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
#include "utf8.h"
#include "vector_file.h"

struct corpus {
    const listing_t *listing;
    roots_t *roots;
    report_t *report;
    corpus_counts_t counts;
    size_t at;        // next file
    uint64_t bytes;   // of the files before the open one
    const char *file; // the last one that was looked at
    const char *path; // its path
    input_t *input;   // the open file, if it is read line by line
    const format_t *format;
    uint64_t line;       // 0: the file is one document
    vector_file_t *rows; // vectors of the open file's lines; NULL: in the lines themselves, or none
    char why[8192];
    rl_buf_t buf;
    hash_set_t ids; // hashes of the ids seen
};

enum {
    MOST_REPAIRED = 20 // a text with more than one of so many bytes not UTF-8 is left out
};

corpus_t *corpus_new(const listing_t *listing, roots_t *roots, report_t *report)
{
    corpus_t *self = rl_new(*self);
    self->listing = listing;
    self->roots = roots_ref(roots);
    self->report = report;
    self->buf = rl_buf_make(INPUT_MAX_FILE);
    return self;
}

void corpus_destroy(corpus_t **self_p)
{
    corpus_t *self = *self_p;
    if (!self)
        return;
    input_destroy(&self->input);
    vector_file_destroy(&self->rows);
    rl_buf_free(&self->buf);
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

// Whether the text in the buffer, `repaired` bytes of which are not UTF-8, is to be read at all.
static bool is_readable(corpus_t *self, size_t repaired)
{
    char what[160];
    if (repaired == 0 || repaired <= self->buf.size / MOST_REPAIRED)
        return true;
    if (input_binary(self->buf.data, self->buf.size)) {
        corpus_problem(self, REPORT_FORMAT, "no text");
        return false;
    }
    snprintf(what, sizeof what, "%zu of %zu bytes are not UTF-8: convert it, or name its charset",
             repaired, self->buf.size);
    corpus_problem(self, REPORT_ENCODING, what);
    return false;
}

// Has what is in the buffer read as one document.
static corpus_next_t read_document(corpus_t *self, const listed_t *file, document_t *doc)
{
    char why[256] = "out of memory";
    size_t size = 0, repaired = 0;
    char *text = input_text(self->buf.data ? self->buf.data : "", self->buf.size, &size, &repaired);
    document_init(doc);
    if (text && !is_readable(self, repaired)) {
        free(text);
        document_free(doc);
        return CORPUS_NOTHING;
    }
    int rc = text ? self->format->read(text, size, doc, why, sizeof why) : -1;
    free(text);
    doc->repaired = repaired;
    if (rc != 0)
        corpus_problem(self, doc->wrong_field ? REPORT_FIELD : REPORT_DAMAGED, why);
    else if (doc->blocks_size == 0 && !doc->failed)
        report_skip(self->report, REPORT_EMPTY);
    else if (complete_document(self, doc, file))
        return CORPUS_DOCUMENT;
    document_free(doc);
    return CORPUS_NOTHING;
}

static void close_file(corpus_t *self)
{
    input_destroy(&self->input);
    vector_file_destroy(&self->rows);
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

// The document in the buffer, with its row if there are rows. A row is read for each line, usable
// or not, so that rows and lines stay in step.
static corpus_next_t read_line(corpus_t *self, const listed_t *file, bool usable, document_t *doc)
{
    const float *row = NULL;
    if (self->rows && !(row = vector_file_next(self->rows, self->why, sizeof self->why)))
        return CORPUS_BROKEN;
    corpus_next_t next = usable ? read_document(self, file, doc) : CORPUS_NOTHING;
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

static corpus_next_t next_line(corpus_t *self, document_t *doc)
{
    const listed_t *file = listing_at(self->listing, self->at);
    char why[256];
    int rc = input_line(self->input, &self->buf, why, sizeof why);
    uint64_t read = input_read(self->input);
    self->counts.bytes = self->bytes + (read < file->size ? read : file->size);
    self->line += rc != 0;
    if (rc == 0)
        return end_lines(self, file);
    if (rc < 0) {
        corpus_problem(self, input_failure(self->input), why);
        return read_line(self, file, false, doc);
    }
    if (corpus_is_blank(self->buf.data, self->buf.size))
        return CORPUS_NOTHING;
    return read_line(self, file, true, doc);
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

static corpus_next_t next_file(corpus_t *self, document_t *doc)
{
    const listed_t *file = listing_at(self->listing, self->at);
    char why[256];
    corpus_next_t next = CORPUS_NOTHING;
    if (skip_vector_file(self, file)) {
        close_file(self);
        return CORPUS_NOTHING;
    }
    self->input = input_new(file->path, why, sizeof why);
    if (!self->input) {
        corpus_problem(self, REPORT_UNREADABLE, why);
        close_file(self);
        return CORPUS_NOTHING;
    }
    size_t size;
    const char *head = input_head(self->input, &size);
    report_reason_t reason;
    const char *what;
    self->format = format_for(file->path, head, size, &reason, &what);
    if (!self->format) {
        // in a folder there may be all sorts of data of programs, but who names one means it
        if (file->given || reason != REPORT_PROGRAM)
            corpus_problem(self, reason, what);
        else
            report_skip(self->report, reason);
        close_file(self);
        return CORPUS_NOTHING;
    }
    self->counts.files++;
    if (self->format->lines)
        return open_rows(self, file); // its lines are asked for next
    if (input_all(self->input, &self->buf, why, sizeof why) != 0)
        corpus_problem(self, input_failure(self->input), why);
    else
        next = read_document(self, file, doc);
    close_file(self);
    return next;
}

const char *corpus_why(const corpus_t *self)
{
    return self->why;
}

corpus_next_t corpus_next(corpus_t *self, document_t *doc)
{
    if (self->input)
        return next_line(self, doc);
    if (self->at >= listing_size(self->listing))
        return CORPUS_END;
    self->file = listing_at(self->listing, self->at)->name;
    self->path = listing_at(self->listing, self->at)->path;
    self->line = 0;
    return next_file(self, doc);
}

const char *corpus_file(const corpus_t *self)
{
    return self->file;
}
