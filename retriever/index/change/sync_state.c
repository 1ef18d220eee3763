// sync_state: two trees of JSON, of the run before and of this one.
#include "sync_state.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "files.h"
#include "hash.h"
#include "utf8.h"

enum {
    MAX_BYTES = 1 << 30, // of the file
};

struct sync_state {
    char path[FILE_PATH_MAX], folder[FILE_PATH_MAX];
    char *from;
    bool known;
    json_t *before, *now; // by file: {"size", "mtime_ns", "documents"}
    json_t *ids;          // documents that there are now: true each
    json_t *prints;       // documents that there were: fingerprint
};

static json_t *member(json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    if (!value) {
        value = json_object();
        if (json_object_set_new_nocheck(object, key, value) != 0)
            return NULL;
    }
    return value;
}

// Names of files are bytes; in JSON they are UTF-8.
static char *name_of(const char *file)
{
    size_t size;
    return rl_utf8_repair(file, strlen(file), &size);
}

static void note_prints(sync_state_t *self)
{
    const char *file, *id;
    json_t *entry, *print;
    json_object_foreach(self->before, file, entry)
    {
        json_object_foreach(json_object_get(entry, "documents"), id, print)
        {
            if (json_is_string(print))
                json_object_set_nocheck(self->prints, id, print);
        }
    }
}

static void read_before(sync_state_t *self)
{
    size_t size = 0;
    char *text = file_read(self->path, MAX_BYTES, &size);
    json_t *root = text ? json_loadb(text, size, 0, NULL) : NULL;
    const char *from = json_string_value(json_object_get(root, "folder"));
    json_t *files = json_object_get(root, "files");
    free(text);
    self->known = from && strcmp(from, self->from) == 0 && json_is_object(files);
    self->before = self->known ? json_incref(files) : json_object();
    json_decref(root);
    note_prints(self);
}

sync_state_t *sync_state_new(const char *folder, const char *from)
{
    sync_state_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->from = name_of(from);
    self->now = json_object();
    self->ids = json_object();
    self->prints = json_object();
    if (!self->from || !self->now || !self->ids || !self->prints ||
        path_format(self->folder, "%s/sync", folder) != 0 ||
        path_format(self->path, "%s/sync/%016" PRIx64 ".json", folder,
                    rl_hash64(from, strlen(from))) != 0) {
        sync_state_destroy(&self);
        return NULL;
    }
    read_before(self);
    if (!self->before)
        sync_state_destroy(&self);
    return self;
}

void sync_state_destroy(sync_state_t **self_p)
{
    sync_state_t *self = *self_p;
    if (!self)
        return;
    json_decref(self->before);
    json_decref(self->now);
    json_decref(self->ids);
    json_decref(self->prints);
    free(self->from);
    free(self);
    *self_p = NULL;
}

bool sync_state_is_known(const sync_state_t *self)
{
    return self->known;
}

static json_t *print_of(uint64_t fingerprint)
{
    char hex[17];
    snprintf(hex, sizeof hex, "%016" PRIx64, fingerprint);
    return json_string(hex);
}

int sync_state_adopt(sync_state_t *self, const char *file, const char *id, uint64_t fingerprint)
{
    char *name = name_of(file);
    json_t *documents = name ? member(member(self->before, name), "documents") : NULL;
    int rc = json_object_set_new_nocheck(documents, id, print_of(fingerprint));
    if (rc == 0)
        rc = json_object_set_nocheck(self->prints, id, json_object_get(documents, id));
    free(name);
    return rc;
}

static void keep(sync_state_t *self, const char *name, json_t *entry)
{
    const char *id;
    json_t *print;
    json_object_set_nocheck(self->now, name, entry);
    json_object_foreach(json_object_get(entry, "documents"), id, print)
    {
        json_object_set_new_nocheck(self->ids, id, json_true());
    }
}

bool sync_state_see(sync_state_t *self, const char *file, uint64_t size, int64_t mtime_ns)
{
    char *name = name_of(file);
    json_t *entry = name ? json_object_get(self->before, name) : NULL;
    bool same = entry && json_integer_value(json_object_get(entry, "size")) == (json_int_t)size &&
                json_integer_value(json_object_get(entry, "mtime_ns")) == mtime_ns;
    if (same)
        keep(self, name, entry);
    else if (name)
        json_object_set_new_nocheck(self->now, name,
                                    json_pack("{s:I, s:I, s:{}}", "size", (json_int_t)size,
                                              "mtime_ns", (json_int_t)mtime_ns, "documents"));
    free(name);
    return same;
}

void sync_state_keep(sync_state_t *self, const char *file)
{
    char *name = name_of(file);
    json_t *entry = name ? json_object_get(self->before, name) : NULL;
    if (entry) {
        json_object_set_new_nocheck(entry, "mtime_ns", json_integer(-1)); // to be read again
        keep(self, name, entry);
    } else if (name && json_object_get(self->now, name)) {
        json_object_set_new_nocheck(json_object_get(self->now, name), "mtime_ns", json_integer(-1));
    }
    free(name);
}

bool sync_state_document(sync_state_t *self, const char *file, const char *id, uint64_t fingerprint)
{
    char *name = name_of(file);
    json_t *print = print_of(fingerprint);
    const char *before = json_string_value(json_object_get(self->prints, id));
    bool other = !before || !print || strcmp(before, json_string_value(print)) != 0;
    json_object_set_new_nocheck(self->ids, id, json_true());
    json_t *documents = name ? member(member(self->now, name), "documents") : NULL;
    json_object_set_new_nocheck(documents, id, print);
    free(name);
    return other;
}

void sync_state_gone(sync_state_t *self, bool (*fn)(void *arg, const char *id), void *arg)
{
    const char *id;
    json_t *print;
    json_object_foreach(self->prints, id, print)
    {
        if (json_object_get(self->ids, id))
            continue;
        if (!fn(arg, id))
            return;
        json_object_set_new_nocheck(self->ids, id, json_true()); // said
    }
}

size_t sync_state_files(const sync_state_t *self)
{
    return json_object_size(self->now);
}

size_t sync_state_files_before(const sync_state_t *self)
{
    return json_object_size(self->before);
}

int sync_state_write(const sync_state_t *self, char *why, size_t why_size)
{
    char fresh[FILE_PATH_MAX];
    json_t *root = json_pack("{s:s, s:O}", "folder", self->from, "files", self->now);
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    int rc = 0;
    if (!text)
        rc = rl_fail(why, why_size, "out of memory");
    else if ((mkdir(self->folder, 0755) != 0 && errno != EEXIST) ||
             path_format(fresh, "%s.tmp", self->path) != 0 ||
             file_write(fresh, text, strlen(text)) != 0 || rename(fresh, self->path) != 0)
        rc = rl_fail(why, why_size, "%s: cannot write: %s", self->path, strerror(errno));
    free(text);
    return rc;
}
