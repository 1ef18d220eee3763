// corpus: opens file after file, has each read by its format's reader, sees to ids.

#include "corpus.h"

#include "input.h"
#include "reader.h"
#include "rows.h"
#include "hash.h"
#include "utf8.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct rl_corpus {
    const rl_listing_t *listing;
    rl_corpus_problem_fn *fn;
    void *arg;
    rl_corpus_counts_t counts;
    size_t at;         // next file
    uint64_t bytes;    // of the files before the open one
    const char *file;  // the last one that was looked at
    rl_input_t *input; // the open file, if it is read line by line
    const rl_reader_t *reader;
    uint64_t line;
    rl_rows_t
        *rows; // vectors of the open file's lines, NULL if they come in the lines or not at all
    char why[8192];
    rl_buf_t buf;
    uint64_t *ids; // hashes of the ids seen, open addressing, 0 is free
    size_t ids_size, ids_room;
};

rl_corpus_t *rl_corpus_new(const rl_listing_t *listing, rl_corpus_problem_fn *fn, void *arg)
{
    rl_corpus_t *self = calloc(1, sizeof *self);
    if (self) {
        self->listing = listing;
        self->fn = fn;
        self->arg = arg;
        self->buf = rl_buf_make(RL_INPUT_MAX_FILE);
    }
    return self;
}

void rl_corpus_destroy(rl_corpus_t **self_p)
{
    rl_corpus_t *self = *self_p;
    if (!self)
        return;
    rl_input_destroy(&self->input);
    rl_rows_destroy(&self->rows);
    rl_buf_free(&self->buf);
    free(self->ids);
    free(self);
    *self_p = NULL;
}

const rl_corpus_counts_t *rl_corpus_counts(const rl_corpus_t *self)
{
    return &self->counts;
}

void rl_corpus_problem(rl_corpus_t *self, const char *where, const char *what)
{
    self->counts.problems++;
    self->fn(self->arg, where, what);
}

// ---- ids ----------------------------------------------------------------------------------------

static bool grow_ids(rl_corpus_t *self)
{
    size_t room = self->ids_room ? self->ids_room * 2 : 1024;
    uint64_t *ids = calloc(room, sizeof *ids);
    if (!ids)
        return false;
    for (size_t i = 0; i < self->ids_room; i++) {
        if (self->ids[i] == 0)
            continue;
        size_t at = self->ids[i] & (room - 1);
        while (ids[at] != 0)
            at = (at + 1) & (room - 1);
        ids[at] = self->ids[i];
    }
    free(self->ids);
    self->ids = ids;
    self->ids_room = room;
    return true;
}

// Whether this id is new; it is noted. (By its 64 bit hash: in a corpus of a million documents the
// chance that two ids are taken for one is 3 in 10^8.)
static bool is_new(rl_corpus_t *self, const char *id)
{
    if (2 * self->ids_size >= self->ids_room && !grow_ids(self))
        return false;
    uint64_t hash = rl_hash64(id, strlen(id));
    hash += hash == 0;
    size_t at = hash & (self->ids_room - 1);
    for (; self->ids[at] != 0; at = (at + 1) & (self->ids_room - 1))
        if (self->ids[at] == hash)
            return false;
    self->ids[at] = hash;
    self->ids_size++;
    return true;
}

// What kind of file it was is metadata too, so that it can be filtered by; a field of that name
// that the document has itself stays.
static int note_kind(rl_document_t *doc, const char *kind)
{
    json_t *meta = doc->meta[0] ? json_loads(doc->meta, JSON_ALLOW_NUL, NULL) : json_object();
    if (json_is_object(meta) && !json_object_get(meta, "kind"))
        json_object_set_new(meta, "kind", json_string(kind));
    char *text = meta ? json_dumps(meta, JSON_COMPACT) : NULL;
    json_decref(meta);
    if (!text)
        return -1;
    free(doc->meta);
    doc->meta = text;
    return 0;
}

// Completes a document that was read: id, source, title, kind. Returns whether it can be used.
static bool complete(rl_corpus_t *self, rl_document_t *doc, const rl_listed_t *file,
                     const char *where)
{
    bool named = doc->id;
    if (!named) {
        char id[RL_DOC_MAX_ID + 32];
        size_t size;
        if (self->reader->lines)
            snprintf(id, sizeof id, "%.1000s:%llu", file->name, (unsigned long long)self->line);
        else
            snprintf(id, sizeof id, "%.1000s", file->name);
        doc->id = rl_utf8_repair(id, strlen(id), &size);
    }
    if (!doc->source) {
        size_t size;
        doc->source = rl_utf8_repair(file->path, strlen(file->path), &size);
    }
    bool noted = self->reader->lines || note_kind(doc, self->reader->name) == 0;
    if (!doc->id || !doc->source || !noted || doc->failed) {
        rl_corpus_problem(self, where, "too large, or out of memory");
        return false;
    }
    if (!is_new(self, doc->id)) {
        // files of the same name below two folders: the whole path tells them apart
        char *path = named ? NULL : strdup(doc->source);
        if (!path || !is_new(self, path)) {
            char what[160];
            snprintf(what, sizeof what, "the id \"%.100s\" is taken by a document before it",
                     doc->id);
            rl_corpus_problem(self, where, what);
            free(path);
            return false;
        }
        free(doc->id);
        doc->id = path;
    }
    if (!doc->title[0] && !self->reader->lines) {
        const char *name = strrchr(doc->id, '/');
        name = name ? name + 1 : doc->id;
        rl_document_set(&doc->title, name, strlen(name), RL_DOC_MAX_TITLE);
    }
    self->counts.repaired += doc->repaired > 0;
    return true;
}

// ---- files --------------------------------------------------------------------------------------

// Has what is in the buffer read as one document.
static rl_corpus_next_t read_document(rl_corpus_t *self, const rl_listed_t *file, const char *where,
                                      rl_document_t *doc)
{
    char why[256] = "out of memory";
    size_t size = 0, repaired = 0;
    char *text =
        rl_input_text(self->buf.data ? self->buf.data : "", self->buf.size, &size, &repaired);
    rl_document_init(doc);
    int rc = text ? self->reader->read(text, size, doc, why, sizeof why) : -1;
    free(text);
    doc->repaired = repaired;
    if (rc != 0)
        rl_corpus_problem(self, where, why);
    else if (doc->blocks_size == 0 && !doc->failed)
        self->counts.empty++;
    else if (complete(self, doc, file, where))
        return RL_CORPUS_DOCUMENT;
    rl_document_free(doc);
    return RL_CORPUS_NOTHING;
}

static void close_file(rl_corpus_t *self)
{
    rl_input_destroy(&self->input);
    rl_rows_destroy(&self->rows);
    self->bytes += rl_listing_at(self->listing, self->at)->size;
    self->counts.bytes = self->bytes;
    self->at++;
}

// Gives the document its row. Returns whether it can be used.
static bool take_row(rl_corpus_t *self, rl_document_t *doc, const float *row, const char *where)
{
    size_t size = rl_rows_dimension(self->rows);
    double sum = 0;
    for (size_t at = 0; at < size; at++)
        sum += (double)row[at] * row[at];
    if (doc->vector || !isfinite(sum) || !(sum > 0)) {
        rl_corpus_problem(self, where,
                          doc->vector ? "has a \"vector\", and there is a file of vectors too"
                                      : "its row of the vectors is all zeros or not finite");
        return false;
    }
    doc->vector = malloc(size * sizeof *row);
    if (!doc->vector) {
        rl_corpus_problem(self, where, "out of memory");
        return false;
    }
    memcpy(doc->vector, row, size * sizeof *row);
    doc->vector_size = size;
    return true;
}

// The document in the buffer, with its row if there are rows; those must stay in step with the
// lines, whatever becomes of a line.
static rl_corpus_next_t read_line(rl_corpus_t *self, const rl_listed_t *file, const char *where,
                                  bool usable, rl_document_t *doc)
{
    const float *row = NULL;
    if (self->rows && !(row = rl_rows_next(self->rows, self->why, sizeof self->why)))
        return RL_CORPUS_BROKEN;
    rl_corpus_next_t next = usable ? read_document(self, file, where, doc) : RL_CORPUS_NOTHING;
    if (next == RL_CORPUS_DOCUMENT && row && !take_row(self, doc, row, where)) {
        rl_document_free(doc);
        return RL_CORPUS_NOTHING;
    }
    return next;
}

static rl_corpus_next_t end_lines(rl_corpus_t *self, const rl_listed_t *file)
{
    rl_corpus_next_t next = RL_CORPUS_NOTHING;
    if (self->rows && rl_rows_taken(self->rows) != rl_rows_count(self->rows)) {
        snprintf(self->why, sizeof self->why,
                 "%s has %llu rows, but %s has %llu documents: they do not belong together",
                 rl_rows_path(self->rows), (unsigned long long)rl_rows_count(self->rows),
                 file->path, (unsigned long long)rl_rows_taken(self->rows));
        next = RL_CORPUS_BROKEN;
    }
    close_file(self);
    return next;
}

static rl_corpus_next_t next_line(rl_corpus_t *self, rl_document_t *doc)
{
    const rl_listed_t *file = rl_listing_at(self->listing, self->at);
    char why[256], where[4200];
    int rc = rl_input_line(self->input, &self->buf, why, sizeof why);
    uint64_t read = rl_input_read(self->input);
    self->counts.bytes = self->bytes + (read < file->size ? read : file->size);
    self->line += rc != 0;
    snprintf(where, sizeof where, "%s:%llu", file->path, (unsigned long long)self->line);
    if (rc == 0)
        return end_lines(self, file);
    if (rc < 0) {
        rl_corpus_problem(self, where, why);
        return read_line(self, file, where, false, doc);
    }
    size_t blank = 0;
    while (blank < self->buf.size && strchr(" \t\r", self->buf.data[blank]) &&
           self->buf.data[blank])
        blank++;
    if (blank == self->buf.size)
        return RL_CORPUS_NOTHING;
    return read_line(self, file, where, true, doc);
}

// Opens the vectors beside a file of lines, if there are some.
static rl_corpus_next_t open_rows(rl_corpus_t *self, const rl_listed_t *file)
{
    char *path = rl_rows_beside(file->path);
    if (path)
        self->rows = rl_rows_new(path, self->why, sizeof self->why);
    bool broken = path && !self->rows;
    free(path);
    return broken ? RL_CORPUS_BROKEN : RL_CORPUS_NOTHING;
}

// Whether this is a file of vectors, which is read together with its documents.
static bool pass_rows(rl_corpus_t *self, const rl_listed_t *file)
{
    static const char *const documents[] = {".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz"};
    if (!rl_rows_is(file->path))
        return false;
    const char *dot = strrchr(file->path, '.');
    bool there = false;
    for (size_t at = 0; !there && at < sizeof documents / sizeof *documents; at++) {
        char path[4200];
        snprintf(path, sizeof path, "%.*s%s", (int)(dot - file->path), file->path, documents[at]);
        there = access(path, F_OK) == 0;
    }
    if (!there && file->given)
        rl_corpus_problem(self, file->path, "vectors whose documents (.jsonl) are not beside it");
    self->counts.left_out += !there && !file->given;
    return true;
}

static rl_corpus_next_t next_file(rl_corpus_t *self, rl_document_t *doc)
{
    const rl_listed_t *file = rl_listing_at(self->listing, self->at);
    char why[256];
    rl_corpus_next_t next = RL_CORPUS_NOTHING;
    if (pass_rows(self, file)) {
        close_file(self);
        return RL_CORPUS_NOTHING;
    }
    self->input = rl_input_new(file->path, why, sizeof why);
    if (!self->input) {
        rl_corpus_problem(self, file->path, why);
        close_file(self);
        return RL_CORPUS_NOTHING;
    }
    size_t size;
    const char *head = rl_input_head(self->input, &size);
    self->reader = rl_reader_for(file->path, head, size);
    if (!self->reader) {
        // in a folder there may be all sorts of files, but who names one means it
        if (file->given)
            rl_corpus_problem(self, file->path, "is no text of a kind that is read here");
        else
            self->counts.left_out++;
        close_file(self);
        return RL_CORPUS_NOTHING;
    }
    self->counts.files++;
    self->line = 0;
    if (self->reader->lines)
        return open_rows(self, file); // its lines are asked for next
    if (rl_input_all(self->input, &self->buf, why, sizeof why) != 0)
        rl_corpus_problem(self, file->path, why);
    else
        next = read_document(self, file, file->path, doc);
    close_file(self);
    return next;
}

const char *rl_corpus_why(const rl_corpus_t *self)
{
    return self->why;
}

rl_corpus_next_t rl_corpus_next(rl_corpus_t *self, rl_document_t *doc)
{
    if (self->input)
        return next_line(self, doc);
    if (self->at >= rl_listing_size(self->listing))
        return RL_CORPUS_END;
    self->file = rl_listing_at(self->listing, self->at)->name;
    return next_file(self, doc);
}

const char *rl_corpus_file(const rl_corpus_t *self)
{
    return self->file;
}
