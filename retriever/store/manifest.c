// manifest: reads manifest.json of a generation, checking every field, and writes it.
#include "manifest.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files.h"
#include "mem.h"

enum {
    MAX_MANIFEST = 64 << 20,
    MAX_FILES = 4096, // of one shard
};

// ---------------------------------------------------------------------------------------- reading

void manifest_destroy(manifest_data_t **self_p)
{
    manifest_data_t *self = *self_p;
    if (!self)
        return;
    for (uint64_t at = 0; at < self->contents.shards; at++)
        free(self->shards[at].files);
    free(self->shards);
    free((void *)self->contents.shard_passages);
    json_decref(self->root);
    free(self->build);
    free(self->fields);
    free(self);
    *self_p = NULL;
}

// Each reads a field or writes into `wrong` which one is missing or of a wrong kind.
static const char *take_string(const json_t *object, const char *key, const char **wrong)
{
    const char *text = json_string_value(json_object_get(object, key));
    if (!text)
        *wrong = key;
    return text ? text : "";
}

static uint64_t take_number(const json_t *object, const char *key, const char **wrong)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        *wrong = key;
        return 0;
    }
    return (uint64_t)json_integer_value(value);
}

// The effort of searches, if one was chosen.
static void take_effort(manifest_t *manifest, const json_t *root, const char **wrong)
{
    const json_t *effort = json_object_get(root, "effort");
    const json_t *nprobe = json_object_get(effort, effort_names[EFFORT_NPROBE]);
    const json_t *ef_search = json_object_get(effort, effort_names[EFFORT_EF_SEARCH]);
    if (nprobe)
        manifest->nprobe = take_number(effort, effort_names[EFFORT_NPROBE], wrong);
    if (ef_search)
        manifest->ef_search = take_number(effort, effort_names[EFFORT_EF_SEARCH], wrong);
    if ((effort && !json_is_object(effort)) || manifest->nprobe > EFFORT_MOST ||
        manifest->ef_search > EFFORT_MOST)
        *wrong = "effort";
}

// A name below the shard's folder and nowhere else.
static bool is_inner_name(const char *name)
{
    return *name && *name != '/' && *name != '.' && !strstr(name, "..") && strlen(name) < 256 &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/") ==
               strlen(name);
}

static void take_files(const json_t *list, manifest_shard_t *shard, const char **wrong)
{
    size_t size = json_array_size(list);
    if (size < 1 || size > MAX_FILES) {
        *wrong = "files";
        return;
    }
    shard->files = rl_alloc_array(size, sizeof *shard->files);
    shard->files_size = size;
    for (size_t at = 0; at < size; at++) {
        const json_t *entry = json_array_get(list, at);
        manifest_file_t *file = &shard->files[at];
        file->name = take_string(entry, "name", wrong);
        file->bytes = take_number(entry, "bytes", wrong);
        char *end = NULL;
        const char *hex = take_string(entry, "xxh64", wrong);
        file->checksum = strtoull(hex, &end, 16);
        if (strlen(hex) != 16 || *end)
            *wrong = "xxh64";
        if (!is_inner_name(file->name))
            *wrong = "name";
    }
}

static void take_shards(manifest_data_t *self, const char **wrong)
{
    const json_t *list = json_object_get(self->root, "shards");
    size_t size = json_array_size(list);
    if (size < 1 || size > STORE_MAX_SHARDS) {
        *wrong = "shards";
        return;
    }
    uint64_t *passages = rl_alloc_array(size, sizeof *passages);
    self->contents.shard_passages = passages;
    self->shards = rl_alloc_array(size, sizeof *self->shards);
    self->contents.shards = size;
    uint64_t total = 0;
    for (size_t at = 0; at < size; at++) {
        const json_t *entry = json_array_get(list, at);
        passages[at] = take_number(entry, "passages", wrong);
        if (passages[at] > UINT32_MAX) // Xapian's docids are 32 bits wide
            *wrong = "passages";
        total += passages[at];
        take_files(json_object_get(entry, "files"), &self->shards[at], wrong);
    }
    if (total != self->contents.passages)
        *wrong = "passages";
}

static void take_fields(manifest_data_t *self, const char **wrong)
{
    manifest_t *manifest = &self->contents;
    const json_t *root = self->root;
    manifest->collection = take_string(root, "collection", wrong);
    manifest->generation = take_string(root, "generation", wrong);
    manifest->model = take_string(root, "model", wrong);
    manifest->metric = take_string(root, "metric", wrong);
    manifest->language = take_string(root, "language", wrong);
    manifest->factory = take_string(root, "factory", wrong);
    manifest->created = take_string(root, "created", wrong);
    manifest->dimension = take_number(root, "dimension", wrong);
    manifest->documents = take_number(root, "documents", wrong);
    manifest->passages = take_number(root, "passages", wrong);
    if (json_object_get(root, "changes")) // generations of earlier versions have none
        manifest->changes = take_number(root, "changes", wrong);
    manifest->normalised = json_is_true(json_object_get(root, "normalised"));
    if (manifest->dimension > RL_MAX_DIMENSION)
        *wrong = "dimension";
    if (strcmp(manifest->metric, "ip") != 0)
        *wrong = "metric";
    if (!manifest->normalised)
        *wrong = "normalised";
    size_t size = strlen(manifest->collection);
    if (size == 0 || size > 64 ||
        strspn(manifest->collection, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                     "0123456789-_.") != size)
        *wrong = "collection";
    take_shards(self, wrong);
    take_effort(manifest, root, wrong);
    const json_t *build = json_object_get(root, "build");
    self->build = json_is_object(build) ? json_dumps(build, JSON_COMPACT) : NULL;
    if (!self->build)
        *wrong = "build";
    manifest->build = self->build;
    // generations of earlier versions have none
    const json_t *fields = json_object_get(root, "fields");
    self->fields = json_is_object(fields) ? json_dumps(fields, JSON_COMPACT) : NULL;
    if (fields && !self->fields)
        *wrong = "fields";
    manifest->fields = self->fields ? self->fields : "";
    manifest->fields_more = json_is_true(json_object_get(root, "fields_more"));
}

manifest_data_t *manifest_read(const char *folder, char *why, size_t why_size)
{
    char path[FILE_PATH_MAX];
    size_t size = 0;
    char *text = NULL;
    if (path_format(path, "%s/" MANIFEST_FILE, folder) != 0 ||
        !(text = file_read(path, MAX_MANIFEST, &size))) {
        rl_fail(why, why_size,
                "%s: %s; build the index again (ragline-index), or put the folder back", path,
                strerror(errno));
        return NULL;
    }
    manifest_data_t *self = rl_new(*self);
    json_error_t error;
    const char *wrong = NULL;
    self->root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    free(text);
    if (!self->root) {
        rl_fail(why, why_size,
                "%s: cut short or damaged (line %d: %s); build the index again (ragline-index)",
                path, error.line, error.text);
        manifest_destroy(&self);
        return NULL;
    }
    uint64_t format = take_number(self->root, "format", &wrong);
    if (!wrong && format != STORE_FORMAT) {
        rl_fail(why, why_size,
                "%s: format version %" PRIu64 ", but this program reads version %d; build the "
                "index again with this version's ragline-index",
                path, format, STORE_FORMAT);
        manifest_destroy(&self);
        return NULL;
    }
    if (!wrong)
        take_fields(self, &wrong);
    if (wrong) {
        rl_fail(why, why_size,
                "%s: \"%s\" is missing or wrong; build the index again (ragline-index)", path,
                wrong);
        manifest_destroy(&self);
    }
    return self;
}

// ---------------------------------------------------------------------------------------- writing

typedef struct gather {
    json_t *files;
    char root[FILE_PATH_MAX];
    char path[FILE_PATH_MAX];
    uint64_t shard, done, total;
    store_progress_fn *progress;
    void *arg;
} gather_t;

static int add_size(void *arg, const char *name, uint64_t size)
{
    gather_t *gather = arg;
    (void)name;
    gather->total += size;
    return 0;
}

static int add_file(void *arg, const char *name, uint64_t size)
{
    gather_t *gather = arg;
    uint64_t checksum = 0;
    if (path_format(gather->path, "%s/%s", gather->root, name) != 0 ||
        file_checksum(gather->path, NULL, &size, &checksum) != 0 || file_sync(gather->path) != 0)
        return -1;
    char hex[17];
    snprintf(hex, sizeof hex, "%016" PRIx64, checksum);
    gather->done += size;
    if (gather->progress)
        gather->progress(gather->arg, "checksums", gather->shard, gather->done, gather->total);
    return json_array_append_new(gather->files, json_pack("{s:s, s:I, s:s}", "name", name, "bytes",
                                                          (json_int_t)size, "xxh64", hex));
}

// The shard's entry of the manifest, or NULL with `why`.
static json_t *describe_shard(const char *folder, const manifest_t *manifest, uint64_t shard,
                              gather_t *gather, char *why, size_t why_size)
{
    gather->files = json_array();
    gather->shard = shard;
    gather->done = gather->total = 0;
    if (path_format(gather->root, "%s/shard-%" PRIu64, folder, shard) != 0 ||
        folder_files(gather->root, add_size, gather) != 0 ||
        folder_files(gather->root, add_file, gather) != 0 || file_sync(gather->root) != 0) {
        rl_fail(why, why_size, "%s: %s", gather->path[0] ? gather->path : gather->root,
                strerror(errno));
        json_decref(gather->files);
        return NULL;
    }
    char inner[FILE_PATH_MAX];
    if (path_format(inner, "%s/text", gather->root) == 0)
        file_sync(inner);
    return json_pack("{s:I, s:o}", "passages", (json_int_t)manifest->shard_passages[shard], "files",
                     gather->files);
}

// NULL: none was chosen.
static json_t *describe_effort(const manifest_t *manifest)
{
    if (!manifest->nprobe && !manifest->ef_search)
        return NULL;
    json_t *effort = json_object();
    if (manifest->nprobe)
        json_object_set_new(effort, effort_names[EFFORT_NPROBE],
                            json_integer((json_int_t)manifest->nprobe));
    if (manifest->ef_search)
        json_object_set_new(effort, effort_names[EFFORT_EF_SEARCH],
                            json_integer((json_int_t)manifest->ef_search));
    return effort;
}

static json_t *describe_manifest(const manifest_t *manifest)
{
    json_t *build = json_loads(manifest->build, JSON_REJECT_DUPLICATES, NULL);
    json_t *fields = *manifest->fields ? json_loads(manifest->fields, 0, NULL) : NULL;
    return json_pack("{s:i, s:s, s:s, s:s, s:s, s:I, s:s, s:b, s:s, s:s, s:o*, s:I, s:I, s:o, "
                     "s:o*, s:b, s:I, s:[]}",
                     "format", STORE_FORMAT, "collection", manifest->collection, "generation",
                     manifest->generation, "created", manifest->created, "model", manifest->model,
                     "dimension", (json_int_t)manifest->dimension, "metric", manifest->metric,
                     "normalised", (int)manifest->normalised, "language", manifest->language,
                     "factory", manifest->factory, "effort", describe_effort(manifest), "documents",
                     (json_int_t)manifest->documents, "passages", (json_int_t)manifest->passages,
                     "build", build ? build : json_object(), "fields", fields, "fields_more",
                     (int)manifest->fields_more, "changes", (json_int_t)manifest->changes,
                     "shards");
}

int manifest_write(const char *folder, const manifest_t *manifest, store_progress_fn *progress,
                   void *arg, char *why, size_t why_size)
{
    gather_t gather = {.progress = progress, .arg = arg};
    json_t *root = describe_manifest(manifest);
    int rc = root ? 0 : rl_fail(why, why_size, "%s: a name in its manifest is no UTF-8", folder);
    for (uint64_t shard = 0; rc == 0 && shard < manifest->shards; shard++) {
        json_t *entry = describe_shard(folder, manifest, shard, &gather, why, why_size);
        if (!entry || json_array_append_new(json_object_get(root, "shards"), entry) != 0)
            rc = -1;
    }
    char *text = rc == 0 ? rl_must(json_dumps(root, JSON_INDENT(1))) : NULL;
    json_decref(root);
    char path[FILE_PATH_MAX];
    if (text && (path_format(path, "%s/" MANIFEST_FILE, folder) != 0 ||
                 file_write(path, text, strlen(text)) != 0))
        rc = rl_fail(why, why_size, "%s: cannot write: %s", path, strerror(errno));
    free(text);
    return rc;
}

int manifest_set_effort(const char *folder, effort_kind_t kind, size_t effort, json_t *found,
                        char *why, size_t why_size)
{
    char path[FILE_PATH_MAX], fresh[FILE_PATH_MAX];
    json_error_t error;
    if (path_format(path, "%s/" MANIFEST_FILE, folder) != 0 ||
        path_format(fresh, "%s.%ld.tmp", path, (long)getpid()) != 0) {
        json_decref(found);
        return rl_fail(why, why_size, "%s: the path is too long", folder);
    }
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    json_t *chosen = found ? found : json_object();
    json_object_set_new(chosen, effort_names[kind], json_integer((json_int_t)effort));
    char *text = json_object_set_new(root, "effort", chosen) == 0
                     ? rl_must(json_dumps(root, JSON_INDENT(1)))
                     : NULL;
    int rc = 0;
    if (!text)
        rc = rl_fail(why, why_size, "%s: %s", path, root ? "is no JSON object" : error.text);
    else if (file_write(fresh, text, strlen(text)) != 0 || rename(fresh, path) != 0)
        rc = rl_fail(why, why_size, "%s: cannot write: %s", path, strerror(errno));
    else
        file_sync(folder);
    if (rc != 0)
        unlink(fresh);
    json_decref(root);
    free(text);
    return rc;
}
