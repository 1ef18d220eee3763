// store_build: writing a new generation of a collection's index beside the old one.
//
// All is written into g-NNNNNN.tmp, which then gets its name, and then CURRENT. Whatever is
// interrupted before that last rename leaves the old generation in force.
#include "store.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "change_log.h"
#include "embedding.h"
#include "fields.h"
#include "files.h"
#include "manifest.h"
#include "passages.h"
#include "analyzer.h"
#include "text_build.h"
#include "utf8.h"
#include "vectors.h"

typedef struct build_shard {
    char folder[FILE_PATH_MAX];
    uint64_t count;
    passages_writer_t *passages;
    vectors_t *vectors; // NULL if lexical only
} build_shard_t;

struct store_build {
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
    build_shard_t *shard;
    fields_writer_t *fields; // of all shards
    float *vector;           // room for a normalised one
};

// ----------------------------------------------------------------------------------- lock, numbers

// The lock goes with the process that holds it, so a dead builder's is free.
static int take_lock(store_build_t *self, char *why, size_t why_size)
{
    char path[FILE_PATH_MAX], pid[32] = "";
    if (path_format(path, "%s/LOCK", self->folder) != 0)
        return rl_fail(why, why_size, "%s: the path is too long", self->folder);
    self->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (self->lock < 0)
        return rl_fail(why, why_size, "%s: %s", path, strerror(errno));
    if (flock(self->lock, LOCK_EX | LOCK_NB) != 0) {
        int error = errno;
        ssize_t got = pread(self->lock, pid, sizeof pid - 1, 0);
        close(self->lock);
        self->lock = -1;
        if (error != EWOULDBLOCK)
            return rl_fail(why, why_size, "%s: cannot lock: %s", path, strerror(error));
        return rl_fail(why, why_size,
                       "%s: another builder (process %d) is at work on this index; "
                       "wait for it, or stop it",
                       path, got > 0 ? atoi(pid) : 0);
    }
    int size = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(self->lock, 0) != 0 || pwrite(self->lock, pid, (size_t)size, 0) != size)
        return rl_fail(why, why_size, "%s: cannot write: %s", path, strerror(errno));
    return 0;
}

// The number in "g-NNNNNN" or "g-NNNNNN.tmp", 0 for any other name.
static uint64_t generation_number(const char *name, bool *temporary)
{
    if (strncmp(name, "g-", 2) != 0 || !isdigit((unsigned char)name[2]))
        return 0;
    char *end = NULL;
    uint64_t number = strtoull(name + 2, &end, 10);
    *temporary = strcmp(end, ".tmp") == 0;
    return end - name >= 8 && (*temporary || !*end) && number < UINT64_C(1) << 50 ? number : 0;
}

// Goes through the generations of the folder: removes temporary ones where `leftovers`, and
// finished ones that are not `keep`, `current` or later. Returns the highest number seen.
static uint64_t sweep(const char *folder, bool leftovers, const char *keep, const char *current)
{
    DIR *dir = opendir(folder);
    if (!dir)
        return 0;
    uint64_t highest = 0;
    bool temporary = false, ignored = false;
    uint64_t newest = current ? generation_number(current, &ignored) : 0;
    struct dirent *entry;
    char path[FILE_PATH_MAX];
    while ((entry = readdir(dir)) != NULL) {
        const char *name = entry->d_name;
        uint64_t number = generation_number(name, &temporary);
        if (number > highest)
            highest = number;
        bool old = number > 0 && !temporary && number < newest && strcmp(name, keep) != 0;
        if (((number > 0 && temporary && leftovers) || old) &&
            path_format(path, "%s/%s", folder, name) == 0)
            folder_remove(path);
    }
    closedir(dir);
    return highest;
}

// ---------------------------------------------------------------------------------------- starting

static bool is_name(const char *name)
{
    size_t size = strlen(name);
    return size >= 1 && size <= 64 &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") ==
               size;
}

static int check_settings(const store_settings_t *settings, char *why, size_t why_size)
{
    if (!is_name(settings->collection))
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

static int make_shard(store_build_t *self, uint64_t number, char *why, size_t why_size)
{
    build_shard_t *shard = &self->shard[number];
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

static int start(store_build_t *self, char *why, size_t why_size)
{
    if (mkdir(self->folder, 0755) != 0 && errno != EEXIST)
        return rl_fail(why, why_size, "%s: cannot make the folder: %s", self->folder,
                       strerror(errno));
    if (take_lock(self, why, why_size) != 0)
        return -1;
    // who builds from files needs no log of changes: a damaged one is in nobody's way
    self->changes_damaged = change_log_last(self->folder, &self->changes, why, why_size) != 0;
    if (self->changes_damaged)
        self->changes = change_log_bound(self->folder);
    char current[STORE_NAME] = "", ignored[FILE_PATH_MAX];
    bool temporary = false;
    store_current(self->folder, current, ignored, sizeof ignored);
    uint64_t number = generation_number(current, &temporary);
    uint64_t highest = sweep(self->folder, true, current, NULL);
    if (highest > number)
        number = highest;
    snprintf(self->name, sizeof self->name, "g-%06" PRIu64, number + 1);
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

static size_t count_cpus(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? (size_t)CPU_COUNT(&set) : 1;
}

store_build_t *store_build_new(const char *folder, const store_settings_t *settings, char *why,
                               size_t why_size)
{
    if (check_settings(settings, why, why_size) != 0)
        return NULL;
    store_build_t *self = calloc(1, sizeof *self);
    if (!self) {
        rl_fail(why, why_size, "%s: out of memory", folder);
        return NULL;
    }
    bool given = settings->build && *settings->build;
    self->lock = -1;
    self->shards = settings->shards;
    self->threads = settings->threads ? settings->threads : count_cpus();
    self->collection = strdup(settings->collection);
    self->model = strdup(settings->model);
    self->language = strdup(settings->language);
    self->factory = strdup(settings->factory ? settings->factory : "");
    self->build = strdup(given ? settings->build : "{}");
    self->shard = calloc(self->shards, sizeof *self->shard);
    int rc = 0;
    if (!self->collection || !self->model || !self->language || !self->factory || !self->build ||
        !self->shard || path_format(self->folder, "%s", folder) != 0)
        rc = rl_fail(why, why_size, "%s: out of memory, or its path is too long", folder);
    if (rc != 0 || start(self, why, why_size) != 0)
        store_abandon(&self);
    return self;
}

const char *store_languages(void)
{
    return analyzer_languages();
}

void store_build_changes(store_build_t *self, uint64_t number)
{
    self->changes = number;
}

const char *store_build_name(const store_build_t *self)
{
    return self->name;
}

// ---------------------------------------------------------------------------------------- adding

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

static int check_vector(store_build_t *self, const float *vector, size_t dimension, char *why,
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
        float *room = realloc(self->vector, dimension * sizeof *room);
        if (!room)
            return rl_fail(why, why_size, "out of memory");
        self->vector = room;
    }
    if (rl_embedding_normalise(vector, dimension, self->vector) != 0)
        return rl_fail(why, why_size,
                       "its vector is all zeros or has a component that is no number");
    return 0;
}

uint64_t store_add(store_build_t *self, uint64_t shard, const rl_passage_t *passage,
                   const float *vector, size_t dimension, char *why, size_t why_size)
{
    if (self->failed || shard >= self->shards) {
        rl_fail(why, why_size, self->failed ? "%s: writing failed before" : "%s: no such shard",
                self->temporary);
        return 0;
    }
    if (check_passage(passage, why, why_size) != 0 ||
        check_vector(self, vector, dimension, why, why_size) != 0)
        return 0;
    build_shard_t *into = &self->shard[shard];
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

// ----------------------------------------------------------------------------------------
// finishing

typedef struct step {
    store_progress_fn *fn;
    void *arg;
    uint64_t shard;
} step_t;

static void tell(void *arg, const char *stage, uint64_t done, uint64_t total)
{
    step_t *step = arg;
    if (step->fn)
        step->fn(step->arg, stage, step->shard, done, total);
}

static int finish_shard(store_build_t *self, build_shard_t *shard, const char *factory,
                        step_t *step, char *why, size_t why_size)
{
    tell(step, "text", 0, shard->count);
    if (passages_writer_close(&shard->passages, why, why_size) != 0 ||
        text_build(shard->folder, self->language, shard->count, self->threads, tell, step, why,
                   why_size) != 0)
        return -1;
    if (self->dimension && vectors_build(shard->vectors, self->dimension, factory, self->threads,
                                         tell, step, why, why_size) != 0)
        return -1;
    vectors_destroy(&shard->vectors);
    return 0;
}

static const char *folder_of(void *arg, uint64_t shard)
{
    const store_build_t *self = arg;
    return self->shard[shard].folder;
}

// The files that filters look at, and in the manifest what they can name.
static int finish_fields(store_build_t *self, manifest_t *manifest, char *why, size_t why_size)
{
    json_t *types = NULL;
    int rc = fields_writer_finish(self->fields, self->shards, manifest->shard_passages, folder_of,
                                  self, &types, why, why_size);
    manifest->fields_more = fields_writer_left_out(self->fields) > 0;
    char *text = types ? json_dumps(types, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(types);
    fields_writer_destroy(&self->fields);
    if (rc == 0 && !text)
        rc = rl_fail(why, why_size, "%s: out of memory", self->folder);
    free(self->field_types);
    self->field_types = text;
    manifest->fields = text ? text : "";
    return rc;
}

static int finish_shards(store_build_t *self, manifest_t *manifest, uint64_t *counts, step_t *step,
                         char *why, size_t why_size)
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
    for (step->shard = 0; step->shard < self->shards; step->shard++)
        if (finish_shard(self, &self->shard[step->shard], manifest->factory, step, why, why_size) !=
            0)
            return -1;
    return 0;
}

// The generation gets its name, and CURRENT names it: each step is either in force or not there.
static int put_in_force(store_build_t *self, char *why, size_t why_size)
{
    char path[FILE_PATH_MAX], fresh[FILE_PATH_MAX], line[STORE_NAME + 2];
    if (path_format(path, "%s/%s", self->folder, self->name) != 0 ||
        file_sync(self->temporary) != 0 || rename(self->temporary, path) != 0)
        return rl_fail(why, why_size, "%s: %s", self->temporary, strerror(errno));
    path_format(self->temporary, "%s", path); // what is to be removed if the next step fails
    int size = snprintf(line, sizeof line, "%s\n", self->name);
    if (path_format(fresh, "%s/CURRENT.tmp", self->folder) != 0 ||
        path_format(path, "%s/CURRENT", self->folder) != 0 ||
        file_write(fresh, line, (size_t)size) != 0 || file_sync(self->folder) != 0 ||
        rename(fresh, path) != 0)
        return rl_fail(why, why_size, "%s: cannot write: %s", path, strerror(errno));
    self->temporary[0] = '\0';
    file_sync(self->folder);
    return 0;
}

// Changes that the generation before holds too are needed by neither: who still serves that one
// goes on with it until it has taken up the new one.
// The effort that was chosen for the generation in force until now is right for this one too, if it
// is of about the same size and kind.
static void keep_effort(const store_build_t *self, const char *previous, manifest_t *manifest)
{
    char path[FILE_PATH_MAX], ignored[FILE_PATH_MAX];
    manifest_data_t *before = NULL;
    if (*previous && path_format(path, "%s/%s", self->folder, previous) == 0)
        before = manifest_read(path, ignored, sizeof ignored);
    if (before && strcmp(before->contents.factory, manifest->factory) == 0 &&
        before->contents.shards == manifest->shards &&
        manifest->passages / 2 <= before->contents.passages &&
        before->contents.passages / 2 <= manifest->passages) {
        manifest->nprobe = before->contents.nprobe;
        manifest->ef_search = before->contents.ef_search;
    }
    manifest_destroy(&before);
}

static void forget_changes(const store_build_t *self, const char *previous)
{
    char path[FILE_PATH_MAX], ignored[FILE_PATH_MAX];
    manifest_data_t *before = NULL;
    if (*previous && path_format(path, "%s/%s", self->folder, previous) == 0)
        before = manifest_read(path, ignored, sizeof ignored);
    uint64_t upto = before && before->contents.changes < self->changes ? before->contents.changes
                                                                       : self->changes;
    manifest_destroy(&before);
    change_log_forget(self->folder, self->changes_damaged ? UINT64_MAX : upto);
}

int store_finish(store_build_t **self_p, uint64_t documents, store_progress_fn *progress, void *arg,
                 char *why, size_t why_size)
{
    store_build_t *self = *self_p;
    char previous[STORE_NAME] = "", created[32], ignored[FILE_PATH_MAX];
    time_t now = time(NULL);
    struct tm utc;
    strftime(created, sizeof created, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    uint64_t *counts = calloc(self->shards, sizeof *counts);
    manifest_t manifest = {
        .collection = self->collection,
        .generation = self->name,
        .model = self->model,
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
    if (!self->dimension)
        manifest.model = "";
    step_t step = {progress, arg, 0};
    int rc = counts ? 0 : rl_fail(why, why_size, "%s: out of memory", self->folder);
    if (rc == 0 && self->failed)
        rc = rl_fail(why, why_size, "%s: writing failed before", self->temporary);
    if (rc == 0)
        rc = finish_shards(self, &manifest, counts, &step, why, why_size);
    if (rc == 0)
        rc = finish_fields(self, &manifest, why, why_size);
    store_current(self->folder, previous, ignored, sizeof ignored);
    keep_effort(self, previous, &manifest);
    if (rc == 0)
        rc = manifest_write(self->temporary, &manifest, progress, arg, why, why_size);
    if (rc == 0) {
        step.shard = 0;
        tell(&step, "sync", 0, manifest.passages);
        rc = put_in_force(self, why, why_size);
    }
    if (rc == 0) {
        sweep(self->folder, true, previous, self->name);
        forget_changes(self, previous);
        tell(&step, "sync", manifest.passages, manifest.passages);
    }
    free(counts);
    store_abandon(self_p);
    return rc;
}

void store_abandon(store_build_t **self_p)
{
    store_build_t *self = *self_p;
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
