// store: reads a collection's index on disk; generation_writer.c writes it.
#include "store.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "analyzer.h"
#include "fields.h"
#include "files.h"
#include "hash.h"
#include "manifest.h"
#include "mem.h"
#include "passages.h"

enum {
    TRIES = 3, // at opening, when builds overtake each other meanwhile
};

struct store {
    char folder[FILE_PATH_MAX]; // of the generation
    manifest_data_t *manifest;
    passages_t **passages; // of each shard
    fields_t **fields;     // of each shard; NULL where there are none
    struct stat written;   // the manifest's file
};

uint64_t store_text_hash(const char *text, size_t size)
{
    char *folded = rl_alloc(size + 1);
    size_t used = 0;
    for (size_t at = 0; at < size; at++) {
        if (!isspace((unsigned char)text[at]))
            folded[used++] = text[at];
        else if (used > 0 && folded[used - 1] != ' ')
            folded[used++] = ' ';
    }
    if (used > 0 && folded[used - 1] == ' ')
        used--;
    uint64_t hash = rl_hash64(folded, used);
    free(folded);
    return hash ? hash : 1;
}

static bool is_generation(const char *name)
{
    size_t digits = strlen(name) - 2;
    return strncmp(name, "g-", 2) == 0 && digits >= 6 && digits <= 18 &&
           strspn(name + 2, "0123456789") == digits;
}

int store_current(const char *folder, char *name, char *why, size_t why_size)
{
    char path[FILE_PATH_MAX];
    size_t size = 0;
    char *text = NULL;
    if (path_format(path, "%s/CURRENT", folder) != 0 || access(folder, R_OK | X_OK) != 0)
        return rl_fail(why, why_size,
                       "%s: %s; build the index there with ragline-index, or name "
                       "its folder in retriever.index",
                       folder, strerror(errno));
    text = file_read(path, 256, &size);
    if (!text)
        return rl_fail(why, why_size, "%s: %s; build the index with ragline-index", path,
                       errno == ENOENT ? "there is no index in this folder" : strerror(errno));
    text[strcspn(text, "\r\n")] = '\0';
    if (strlen(text) < 8 || !is_generation(text)) {
        free(text);
        return rl_fail(why, why_size,
                       "%s: does not name a generation (g-000001 or the like); write the name of a "
                       "generation's folder into it, or build the index again (ragline-index)",
                       path);
    }
    snprintf(name, STORE_NAME, "%s", text);
    free(text);
    return 0;
}

// ---------------------------------------------------------------------------------------- opening

static const char *const repair = "the index is damaged: build it again (ragline-index)";

static int check_file(const store_t *self, uint64_t shard, const manifest_file_t *file,
                      bool checksums, const atomic_bool *stop, char *why, size_t why_size)
{
    char path[FILE_PATH_MAX];
    uint64_t size = 0, checksum = 0;
    int rc = path_format(path, "%s/shard-%" PRIu64 "/%s", self->folder, shard, file->name);
    if (rc == 0)
        rc = checksums ? file_checksum(path, stop, &size, &checksum) : file_size(path, &size);
    if (rc != 0)
        return errno == ECANCELED
                   ? 0
                   : rl_fail(why, why_size, "%s: %s; %s", path, strerror(errno), repair);
    if (size != file->bytes)
        return rl_fail(why, why_size, "%s: %s: %" PRIu64 " bytes instead of %" PRIu64 "; %s", path,
                       size < file->bytes ? "cut short" : "too long", size, file->bytes, repair);
    if (checksums && checksum != file->checksum)
        return rl_fail(why, why_size, "%s: its checksum is wrong; %s", path, repair);
    return 0;
}

static int check_shard(const store_t *self, uint64_t shard, bool checksums, const atomic_bool *stop,
                       char *why, size_t why_size)
{
    const manifest_shard_t *files = &self->manifest->shards[shard];
    for (size_t at = 0; at < files->files_size; at++)
        if (check_file(self, shard, &files->files[at], checksums, stop, why, why_size) != 0)
            return -1;
    return 0;
}

int store_verify(const store_t *self, uint64_t shard, const atomic_bool *stop, char *why,
                 size_t why_size)
{
    if (shard >= self->manifest->contents.shards)
        return rl_fail(why, why_size, "%s: has no shard %" PRIu64 ", only 0 to %" PRIu64,
                       self->folder, shard, self->manifest->contents.shards - 1);
    return check_shard(self, shard, true, stop, why, why_size);
}

uint64_t store_bytes(const store_t *self, uint64_t shard)
{
    const manifest_shard_t *files = &self->manifest->shards[shard];
    uint64_t bytes = 0;
    for (size_t at = 0; at < files->files_size; at++)
        bytes += files->files[at].bytes;
    return bytes;
}

static int stat_manifest(const store_t *self, struct stat *out)
{
    char path[FILE_PATH_MAX];
    return path_format(path, "%s/" MANIFEST_FILE, self->folder) == 0 ? stat(path, out) : -1;
}

int store_set_effort(store_t *self, effort_kind_t kind, size_t effort, const char *found, char *why,
                     size_t why_size)
{
    return manifest_set_effort(self->folder, kind, effort,
                               found ? json_loads(found, 0, NULL) : NULL, why, why_size);
}

bool store_retuned(store_t *self, manifest_t *manifest)
{
    struct stat now;
    char ignored[1024];
    if (stat_manifest(self, &now) != 0 ||
        (now.st_ino == self->written.st_ino && now.st_mtim.tv_sec == self->written.st_mtim.tv_sec &&
         now.st_mtim.tv_nsec == self->written.st_mtim.tv_nsec))
        return false;
    self->written = now;
    manifest_data_t *read = manifest_read(self->folder, ignored, sizeof ignored);
    if (!read)
        return false;
    *manifest = self->manifest->contents;
    manifest->nprobe = read->contents.nprobe;
    manifest->ef_search = read->contents.ef_search;
    manifest_destroy(&read);
    return true;
}

static int open_shards(store_t *self, bool verify, char *why, size_t why_size)
{
    const manifest_t *manifest = &self->manifest->contents;
    self->passages = rl_alloc_array(manifest->shards, sizeof(passages_t *));
    self->fields = rl_alloc_array(manifest->shards, sizeof(fields_t *));
    for (uint64_t shard = 0; shard < manifest->shards; shard++) {
        if (check_shard(self, shard, verify, NULL, why, why_size) != 0)
            return -1;
        char *folder = store_path(self, shard, ""), inner[FILE_PATH_MAX];
        self->passages[shard] =
            passages_open(folder, manifest->shard_passages[shard], inner, sizeof inner);
        if (*manifest->fields)
            self->fields[shard] =
                fields_open(folder, manifest->shard_passages[shard], why, why_size);
        free(folder);
        if (!self->passages[shard])
            return rl_fail(why, why_size, "%s; %s", inner, repair);
        if (*manifest->fields && !self->fields[shard])
            return -1;
    }
    return 0;
}

static store_t *open_generation(const char *folder, const char *name, bool verify, char *why,
                                size_t why_size)
{
    store_t *self = rl_new(*self);
    int rc = 0;
    if (path_format(self->folder, "%s/%s", folder, name) != 0 ||
        access(self->folder, R_OK | X_OK) != 0)
        rc = rl_fail(why, why_size,
                     "%s/CURRENT: names %s, which cannot be opened (%s); build the index again "
                     "(ragline-index), or write the name of a generation that is there into it",
                     folder, name, strerror(errno));
    else if (stat_manifest(self, &self->written) != 0) // before it is read, so that none is missed
        rc = rl_fail(why, why_size, "%s/" MANIFEST_FILE ": %s; %s", self->folder, strerror(errno),
                     repair);
    else if (!(self->manifest = manifest_read(self->folder, why, why_size)))
        rc = -1;
    else if (strcmp(self->manifest->contents.generation, name) != 0)
        rc = rl_fail(why, why_size, "%s/" MANIFEST_FILE ": is of generation %s; %s", self->folder,
                     self->manifest->contents.generation, repair);
    else if (!analyzer_knows(self->manifest->contents.language))
        rc = rl_fail(why, why_size,
                     "%s/" MANIFEST_FILE ": there are no rules for the language \"%s\" here; "
                     "build the index again with one of: %s",
                     self->folder, self->manifest->contents.language, analyzer_languages());
    else
        rc = open_shards(self, verify, why, why_size);
    if (rc != 0)
        store_destroy(&self);
    return self;
}

store_t *store_open(const char *folder, bool verify, char *why, size_t why_size)
{
    char name[STORE_NAME], again[STORE_NAME];
    store_t *self = NULL;
    for (int tries = 0; !self && tries < TRIES; tries++) {
        if (store_current(folder, name, why, why_size) != 0)
            return NULL;
        self = open_generation(folder, name, verify, why, why_size);
        char ignored[256];
        if (!self && store_current(folder, again, ignored, sizeof ignored) == 0 &&
            strcmp(again, name) == 0)
            return NULL; // it was not a build that took this generation away meanwhile
    }
    return self;
}

void store_destroy(store_t **self_p)
{
    store_t *self = *self_p;
    if (!self)
        return;
    for (uint64_t shard = 0; self->passages && shard < self->manifest->contents.shards; shard++)
        passages_close(&self->passages[shard]);
    for (uint64_t shard = 0; self->fields && shard < self->manifest->contents.shards; shard++)
        fields_close(&self->fields[shard]);
    free(self->passages);
    free(self->fields);
    manifest_destroy(&self->manifest);
    free(self);
    *self_p = NULL;
}

const manifest_t *store_manifest(const store_t *self)
{
    return &self->manifest->contents;
}

char *store_path(const store_t *self, uint64_t shard, const char *name)
{
    return rl_format("%s/shard-%" PRIu64 "%s%s", self->folder, shard, *name ? "/" : "", name);
}

int store_passages(const store_t *self, uint64_t shard, const uint64_t *ids, size_t size,
                   rl_passage_t *passages, void **memory_p, char *why, size_t why_size)
{
    if (shard >= self->manifest->contents.shards) {
        *memory_p = NULL;
        return rl_fail(why, why_size, "%s: there is no shard %" PRIu64, self->folder, shard);
    }
    return passages_get(self->passages[shard], ids, size, passages, memory_p, why, why_size);
}

selection_t *store_select(const store_t *self, uint64_t shard, const char *filter,
                          const char **code, char *why, size_t why_size)
{
    bool wrong = false;
    if (!self->fields[shard]) {
        *code = "no_metadata";
        rl_fail(why, why_size,
                "the index has no metadata to filter on: it was built by an earlier version; build "
                "it again (ragline-index)");
        return NULL;
    }
    selection_t *selection = fields_select(self->fields[shard], filter, &wrong, why, why_size);
    *code = wrong ? "bad_filter" : "index_gone";
    return selection;
}

int store_find(const store_t *self, uint64_t shard, const char *field, const char *value,
               bool (*fn)(void *arg, uint64_t id), void *arg, char *why, size_t why_size)
{
    if (!self->fields[shard])
        return rl_fail(why, why_size,
                       "%s: was built by an earlier version and cannot be changed; build it again "
                       "(ragline-index)",
                       self->folder);
    return fields_find(self->fields[shard], field, value, fn, arg, why, why_size);
}
