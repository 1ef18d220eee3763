// generation_writer: passages and vectors into a new generation, which is then finished and put in
// force.
#include "generation_writer.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "analyzer.h"
#include "change_log.h"
#include "embedding.h"
#include "fail.h"
#include "fields.h"
#include "files.h"
#include "generation_folder.h"
#include "manifest.h"
#include "mem.h"
#include "passages.h"
#include "text_build.h"
#include "utf8.h"
#include "vectors.h"

typedef struct shard_writer {
    char folder[FILE_PATH_MAX];
    uint64_t count;
    passages_writer_t *passages;
    vectors_t *vectors; // NULL if lexical only
} shard_writer_t;

struct generation_writer {
    char folder[FILE_PATH_MAX];    // of the collection
    char temporary[FILE_PATH_MAX]; // FOLDER/g-NNNNNN.tmp
    char name[STORE_NAME];
    int lock;
    bool failed;
    char *collection, *model, *language, *factory, *build, *field_types;
    uint64_t dimension;   // 0 until the first vector
    uint64_t changes;     // that it holds
    bool changes_damaged; // the log is, and goes when the generation is in force
    uint64_t shards;
    size_t threads;
    shard_writer_t *shard;
    fields_writer_t *fields; // of all shards
    float *vector;           // room for a normalised one
};

void generation_timestamp(char *out)
{
    time_t now = time(NULL);
    struct tm utc;
    strftime(out, GENERATION_TIMESTAMP, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
}

// ---- starting -----------------------------------------------------------------------------------

bool generation_is_name(const char *collection)
{
    size_t size = strlen(collection);
    return size >= 1 && size <= 64 &&
           strspn(collection,
                  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == size;
}

static int check_settings(const generation_settings_t *settings, char *why, size_t why_size)
{
    if (!generation_is_name(settings->collection))
        return rl_fail(why, why_size,
                       "collection \"%.80s\": a name is 1 to 64 letters, digits, "
                       "'-', '_' or '.'",
                       settings->collection);
    if (!analyzer_knows(settings->language))
        return rl_fail(why, why_size, "language \"%.40s\": must be one of: %s", settings->language,
                       analyzer_languages());
    if (settings->shards < 1 || settings->shards > STORE_MAX_SHARDS)
        return rl_fail(why, why_size, "%" PRIu64 " shards: must be 1 to %d", settings->shards,
                       STORE_MAX_SHARDS);
    if (strlen(settings->model) > 200 || !rl_utf8_valid(settings->model, strlen(settings->model)))
        return rl_fail(why, why_size, "the embedding model's name is too long or not UTF-8");
    if (settings->build && *settings->build) {
        json_t *build = json_loads(settings->build, JSON_REJECT_DUPLICATES, NULL);
        bool ok = json_is_object(build);
        json_decref(build);
        if (!ok)
            return rl_fail(why, why_size, "the build settings are no JSON object");
    }
    return 0;
}

static int make_shard(generation_writer_t *self, uint64_t number, char *why, size_t why_size)
{
    shard_writer_t *shard = &self->shard[number];
    if (path_format(shard->folder, "%s/shard-%" PRIu64, self->temporary, number) != 0)
        return rl_fail(why, why_size, "%s: the path is too long", self->temporary);
    if (mkdir(shard->folder, 0755) != 0)
        return rl_fail(why, why_size, "%s: %s", shard->folder, strerror(errno));
    if (!(shard->passages = passages_writer_new(shard->folder, why, why_size)))
        return -1;
    if (*self->model && !(shard->vectors = vectors_new(shard->folder, why, why_size)))
        return -1;
    return 0;
}

static int make_temporary(generation_writer_t *self, char *why, size_t why_size)
{
    if (path_format(self->temporary, "%s/%s.tmp", self->folder, self->name) != 0)
        return rl_fail(why, why_size, "%s: the path is too long", self->folder);
    if (mkdir(self->temporary, 0755) != 0) {
        self->temporary[0] = '\0';
        return rl_fail(why, why_size, "%s/%s.tmp: %s", self->folder, self->name, strerror(errno));
    }
    for (uint64_t shard = 0; shard < self->shards; shard++)
        if (make_shard(self, shard, why, why_size) != 0)
            return -1;
    self->fields = fields_writer_new(self->temporary);
    return self->fields ? 0 : rl_fail(why, why_size, "%s: out of memory", self->folder);
}

static int start_generation(generation_writer_t *self, char *why, size_t why_size)
{
    if (mkdir(self->folder, 0755) != 0 && errno != EEXIST)
        return rl_fail(why, why_size, "%s: cannot make the folder: %s", self->folder,
                       strerror(errno));
    if ((self->lock = generation_folder_lock(self->folder, why, why_size)) < 0)
        return -1;
    // a build from files needs no log of changes: it goes on although that is damaged
    self->changes_damaged = change_log_last(self->folder, &self->changes, why, why_size) != 0;
    if (self->changes_damaged)
        self->changes = change_log_bound(self->folder);
    generation_folder_next(self->folder, self->name);
    return make_temporary(self, why, why_size);
}

static size_t count_cpus(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? (size_t)CPU_COUNT(&set) : 1;
}

generation_writer_t *generation_writer_new(const char *folder,
                                           const generation_settings_t *settings, char *why,
                                           size_t why_size)
{
    if (check_settings(settings, why, why_size) != 0)
        return NULL;
    generation_writer_t *self = rl_new(*self);
    bool given = settings->build && *settings->build;
    self->lock = -1;
    self->shards = settings->shards;
    self->threads = settings->threads ? settings->threads : count_cpus();
    self->collection = rl_strdup(settings->collection);
    self->model = rl_strdup(settings->model);
    self->language = rl_strdup(settings->language);
    self->factory = rl_strdup(settings->factory ? settings->factory : "");
    self->build = rl_strdup(given ? settings->build : "{}");
    self->shard = rl_alloc_array(self->shards, sizeof *self->shard);
    int rc = path_format(self->folder, "%s", folder) == 0
                 ? start_generation(self, why, why_size)
                 : rl_fail(why, why_size, "%s: the path is too long", folder);
    if (rc != 0)
        generation_writer_abandon(&self);
    return self;
}

void generation_writer_set_changes(generation_writer_t *self, uint64_t number)
{
    self->changes = number;
}

const char *generation_writer_name(const generation_writer_t *self)
{
    return self->name;
}

// ---- adding -------------------------------------------------------------------------------------

// Bounds of a passage's strings, as messages between processes have them (proto.c).
enum {
    MAX_DOC = 1024,
    MAX_LINE = 4096,
    MAX_TEXT = 256 << 10
};

static int check_string(const char *text, const char *what, size_t max, char *why, size_t why_size)
{
    size_t size = text ? strlen(text) : 0;
    if (size > max)
        return rl_fail(why, why_size, "its %s is longer than %zu bytes", what, max);
    if (size > 0 && !rl_utf8_valid(text, size))
        return rl_fail(why, why_size, "its %s is not UTF-8", what);
    return 0;
}

static int check_passage(const rl_passage_t *passage, char *why, size_t why_size)
{
    if (check_string(passage->doc, "id", MAX_DOC, why, why_size) != 0 ||
        check_string(passage->title, "title", MAX_LINE, why, why_size) != 0 ||
        check_string(passage->heading, "heading", MAX_LINE, why, why_size) != 0 ||
        check_string(passage->source, "source", MAX_LINE, why, why_size) != 0 ||
        check_string(passage->text, "text", MAX_TEXT, why, why_size) != 0 ||
        check_string(passage->meta, "metadata", MAX_TEXT, why, why_size) != 0)
        return -1;
    if (!passage->doc || !*passage->doc)
        return rl_fail(why, why_size, "it has no document id");
    return 0;
}

static int check_vector(generation_writer_t *self, const float *vector, size_t dimension, char *why,
                        size_t why_size)
{
    if (!*self->model)
        return vector
                   ? rl_fail(why, why_size, "a vector in a collection without an embedding model")
                   : 0;
    if (!vector || dimension < 1 || dimension > RL_MAX_DIMENSION)
        return rl_fail(why, why_size, "it has no vector, or one of %zu components", dimension);
    if (self->dimension && dimension != self->dimension)
        return rl_fail(why, why_size, "its vector has %zu components, the others' have %" PRIu64,
                       dimension, self->dimension);
    if (!self->dimension) { // not fixed yet: an earlier vector may have been refused
        // soon, and not when all has been read
        if (*self->factory && vectors_check(self->factory, dimension, why, why_size) != 0)
            return -1;
        self->vector = rl_realloc(self->vector, dimension, sizeof *self->vector);
    }
    if (rl_embedding_normalise(vector, dimension, self->vector) == 0)
        return 0;
    if (!vectors_is_zero(vector, dimension))
        return rl_fail(why, why_size, "its vector has a component that is no number");
    memset(self->vector, 0, dimension * sizeof *self->vector); // the passage has none
    return 0;
}

uint64_t generation_writer_add(generation_writer_t *self, uint64_t shard,
                               const rl_passage_t *passage, const float *vector, size_t dimension,
                               char *why, size_t why_size)
{
    if (self->failed || shard >= self->shards) {
        rl_fail(why, why_size, self->failed ? "%s: writing failed before" : "%s: no such shard",
                self->temporary);
        return 0;
    }
    if (check_passage(passage, why, why_size) != 0 ||
        check_vector(self, vector, dimension, why, why_size) != 0)
        return 0;
    shard_writer_t *into = &self->shard[shard];
    if (into->count >= UINT32_MAX - 1) {
        rl_fail(why, why_size, "shard %" PRIu64 " is full: use more shards", shard);
        return 0;
    }
    rl_passage_t written = *passage;
    const char *text = passage->text ? passage->text : "";
    if (!written.hash)
        written.hash = store_text_hash(text, strlen(text));
    self->failed = true; // until all have it
    if (vector && vectors_add(into->vectors, self->vector, dimension, why, why_size) != 0)
        return 0;
    if (passages_writer_add(into->passages, &written, why, why_size) != 0)
        return 0;
    if (fields_writer_add(self->fields, shard, into->count + 1, passage, why, why_size) != 0)
        return 0;
    self->failed = false;
    self->dimension = vector ? dimension : 0;
    return ++into->count;
}

// ---- finishing ----------------------------------------------------------------------------------

typedef struct stage_progress {
    store_progress_fn *fn;
    void *arg;
    uint64_t shard;
} stage_progress_t;

static void report_progress(void *arg, const char *stage, uint64_t done, uint64_t total)
{
    stage_progress_t *progress = arg;
    if (progress->fn)
        progress->fn(progress->arg, stage, progress->shard, done, total);
}

static int finish_shard(generation_writer_t *self, shard_writer_t *shard, const char *factory,
                        stage_progress_t *progress, char *why, size_t why_size)
{
    report_progress(progress, "text", 0, shard->count);
    if (passages_writer_close(&shard->passages, why, why_size) != 0 ||
        text_build(shard->folder, self->language, shard->count, self->threads, report_progress,
                   progress, why, why_size) != 0)
        return -1;
    if (self->dimension && vectors_build(shard->vectors, self->dimension, factory, self->threads,
                                         report_progress, progress, why, why_size) != 0)
        return -1;
    vectors_destroy(&shard->vectors);
    return 0;
}

static const char *shard_folder(void *arg, uint64_t shard)
{
    const generation_writer_t *self = arg;
    return self->shard[shard].folder;
}

// The files that filters look at, and in the manifest what they can name.
static int finish_fields(generation_writer_t *self, manifest_t *manifest, char *why,
                         size_t why_size)
{
    json_t *types = NULL;
    int rc = fields_writer_finish(self->fields, self->shards, manifest->shard_passages,
                                  shard_folder, self, &types, why, why_size);
    manifest->fields_more = fields_writer_left_out(self->fields) > 0;
    fields_writer_destroy(&self->fields);
    if (rc == 0)
        manifest->fields = self->field_types =
            rl_must(json_dumps(types, JSON_COMPACT | JSON_SORT_KEYS));
    json_decref(types);
    return rc;
}

static int finish_shards(generation_writer_t *self, manifest_t *manifest, uint64_t *counts,
                         stage_progress_t *progress, char *why, size_t why_size)
{
    uint64_t largest = 0;
    for (uint64_t each = 0; each < self->shards; each++) {
        counts[each] = self->shard[each].count;
        manifest->passages += counts[each];
        if (counts[each] > largest)
            largest = counts[each];
    }
    if (self->dimension)
        manifest->factory = *self->factory ? self->factory : store_factory(largest, NULL);
    for (progress->shard = 0; progress->shard < self->shards; progress->shard++)
        if (finish_shard(self, &self->shard[progress->shard], manifest->factory, progress, why,
                         why_size) != 0)
            return -1;
    return 0;
}

// The effort that was chosen for the generation in force until now is right for this one too, if it
// is of about the same size and kind.
static void keep_effort(const manifest_t *before, manifest_t *manifest)
{
    if (strcmp(before->factory, manifest->factory) == 0 && before->shards == manifest->shards &&
        manifest->passages / 2 <= before->passages && before->passages / 2 <= manifest->passages) {
        manifest->nprobe = before->nprobe;
        manifest->ef_search = before->ef_search;
    }
}

// Removes from the log what both generations hold. A retriever that still serves the one before
// needs the changes behind it until it has opened the new one.
static void forget_changes(const generation_writer_t *self, const manifest_data_t *before)
{
    uint64_t upto = before && before->contents.changes < self->changes ? before->contents.changes
                                                                       : self->changes;
    change_log_forget(self->folder, self->changes_damaged ? UINT64_MAX : upto);
}

// Writes the manifest and puts the generation in force in the place of `previous`.
static int activate_generation(generation_writer_t *self, const char *previous,
                               manifest_t *manifest, stage_progress_t *progress, char *why,
                               size_t why_size)
{
    manifest_data_t *before = generation_folder_manifest(self->folder, previous);
    if (before)
        keep_effort(&before->contents, manifest);
    int rc = manifest_write(self->temporary, manifest, progress->fn, progress->arg, why, why_size);
    if (rc == 0) {
        progress->shard = 0;
        report_progress(progress, "sync", 0, manifest->passages);
        rc = generation_folder_activate(self->folder, self->name, self->temporary, why, why_size);
    }
    if (rc == 0) {
        generation_folder_clean(self->folder, previous, self->name);
        forget_changes(self, before);
        report_progress(progress, "sync", manifest->passages, manifest->passages);
    }
    manifest_destroy(&before);
    return rc;
}

int generation_writer_finish(generation_writer_t **self_p, uint64_t documents,
                             store_progress_fn *progress_fn, void *arg, char *why, size_t why_size)
{
    generation_writer_t *self = *self_p;
    char previous[STORE_NAME] = "", created[GENERATION_TIMESTAMP], ignored[FILE_PATH_MAX];
    generation_timestamp(created);
    uint64_t *counts = rl_alloc_array(self->shards, sizeof *counts);
    manifest_t manifest = {
        .collection = self->collection,
        .generation = self->name,
        .model = self->dimension ? self->model : "",
        .dimension = self->dimension,
        .metric = "ip",
        .normalised = true,
        .language = self->language,
        .factory = "",
        .fields = "",
        .build = self->build,
        .created = created,
        .changes = self->changes,
        .documents = documents,
        .shards = self->shards,
        .shard_passages = counts,
    };
    stage_progress_t progress = {progress_fn, arg, 0};
    int rc = self->failed ? rl_fail(why, why_size, "%s: writing failed before", self->temporary)
                          : finish_shards(self, &manifest, counts, &progress, why, why_size);
    if (rc == 0)
        rc = finish_fields(self, &manifest, why, why_size);
    store_current(self->folder, previous, ignored, sizeof ignored);
    if (rc == 0)
        rc = activate_generation(self, previous, &manifest, &progress, why, why_size);
    free(counts);
    generation_writer_abandon(self_p);
    return rc;
}

void generation_writer_abandon(generation_writer_t **self_p)
{
    generation_writer_t *self = *self_p;
    if (!self)
        return;
    char ignored[FILE_PATH_MAX];
    for (uint64_t each = 0; self->shard && each < self->shards; each++) {
        passages_writer_close(&self->shard[each].passages, ignored, sizeof ignored);
        vectors_destroy(&self->shard[each].vectors);
    }
    if (self->temporary[0])
        folder_remove(self->temporary);
    if (self->lock >= 0)
        close(self->lock);
    free(self->collection);
    free(self->model);
    free(self->language);
    free(self->factory);
    free(self->build);
    free(self->field_types);
    fields_writer_destroy(&self->fields);
    free(self->shard);
    free(self->vector);
    free(self);
    *self_p = NULL;
}
