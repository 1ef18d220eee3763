// roots: paths compared by their text, then with symbolic links resolved.
#include "roots.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "mem.h"

typedef struct root {
    char *given, *path; // as given, absolute
    char *real;         // without symbolic links; NULL: it is not there now
    char *name;
    size_t parts; // last parts of the path that the name has
} root_t;

struct roots {
    root_t *list;
    size_t size, refs;
};

roots_t *roots_new(void)
{
    roots_t *self = rl_new(*self);
    self->refs = 1;
    return self;
}

roots_t *roots_ref(roots_t *self)
{
    if (self)
        self->refs++;
    return self;
}

void roots_unref(roots_t **self_p)
{
    roots_t *self = *self_p;
    *self_p = NULL;
    if (!self || --self->refs > 0)
        return;
    for (size_t at = 0; at < self->size; at++) {
        free(self->list[at].given);
        free(self->list[at].path);
        free(self->list[at].real);
        free(self->list[at].name);
    }
    free(self->list);
    free(self);
}

// ---- paths --------------------------------------------------------------------------------------

// Without ".", ".." (where a part is before it) and double slashes.
static char *normalise(const char *path)
{
    bool absolute = path[0] == '/';
    size_t floor = absolute, used = floor; // what ".." does not go behind
    char *out = rl_alloc(strlen(path) + 3);
    out[0] = '/';
    while (*path) {
        size_t size = strcspn(path, "/");
        bool up = size == 2 && memcmp(path, "..", 2) == 0;
        if (size == 0 || (size == 1 && path[0] == '.')) {
            // nothing
        } else if (up && used > floor) {
            while (used > floor && out[used - 1] != '/')
                used--;
            used -= used > floor; // the slash
        } else if (!up || !absolute) {
            if (used > absolute)
                out[used++] = '/';
            memcpy(out + used, path, size);
            used += size;
            if (up)
                floor = used;
        }
        path += size;
        path += *path == '/';
    }
    if (used == 0)
        out[used++] = '.';
    out[used] = '\0';
    return out;
}

char *roots_absolute(const char *path)
{
    char *here = path[0] == '/' ? NULL : getcwd(NULL, 0);
    char *whole = here ? rl_format("%s/%s", here, path) : rl_strdup(path);
    char *out = normalise(whole);
    free(here);
    free(whole);
    return out;
}

const char *roots_below(const char *path, const char *folder)
{
    size_t size = strlen(folder);
    size -= size > 0 && folder[size - 1] == '/';
    return strncmp(path, folder, size) == 0 && path[size] == '/' ? path + size + 1 : NULL;
}

// With the symbolic links of its folder resolved, its own not. NULL: there is no such folder.
static char *resolve_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash > path ? rl_strndup(path, (size_t)(slash - path)) : rl_strdup("/");
    char *real = realpath(folder, NULL);
    char *out = real ? rl_format("%s/%s", strcmp(real, "/") == 0 ? "" : real, slash + 1) : NULL;
    free(folder);
    free(real);
    return out;
}

// ---- names --------------------------------------------------------------------------------------

// The last parts of the path, as many as the root's name has. Returns whether that is longer now.
static bool set_name(root_t *root)
{
    const char *at = root->path + strlen(root->path);
    for (size_t part = 0; part < root->parts && at > root->path; part++)
        do
            at--;
        while (at > root->path && *at != '/');
    size_t before = root->name ? strlen(root->name) : 0;
    free(root->name);
    root->name = rl_strdup(at + (*at == '/'));
    return strlen(root->name) > before;
}

// Whether ids below one may be those below the other.
static bool names_meet(const root_t *one, const root_t *other)
{
    return strcmp(one->name, other->name) == 0 || roots_below(one->name, other->name) ||
           roots_below(other->name, one->name);
}

// Lengthens names until no two meet.
static void tell_apart(roots_t *self)
{
    bool meet = true;
    while (meet) {
        meet = false;
        for (size_t at = 0; at < self->size; at++)
            for (size_t other = 0; other < at; other++) {
                root_t *one = &self->list[other], *two = &self->list[at];
                if (!names_meet(one, two))
                    continue;
                one->parts++;
                two->parts++;
                bool longer = set_name(one);
                longer |= set_name(two);
                meet |= longer;
                if (longer)
                    rl_info("%s and %s have the same name: ids begin with %s/ and %s/", one->path,
                            two->path, one->name, two->name);
            }
    }
}

static root_t *append_root(roots_t *self, const char *given, char *path)
{
    self->list = rl_realloc(self->list, self->size + 1, sizeof *self->list);
    root_t *root = &self->list[self->size++];
    *root =
        (root_t){.given = rl_strdup(given), .path = path, .real = realpath(path, NULL), .parts = 1};
    size_t size = strlen(root->given);
    while (size > 1 && root->given[size - 1] == '/')
        root->given[--size] = '\0';
    return root;
}

void roots_add(roots_t *self, const char *given)
{
    struct stat st;
    char *path = roots_absolute(given);
    bool there = stat(path, &st) != 0 || !S_ISDIR(st.st_mode);
    for (size_t at = 0; !there && at < self->size; at++)
        there = strcmp(self->list[at].path, path) == 0;
    if (there) {
        free(path);
        return;
    }
    set_name(append_root(self, given, path));
    tell_apart(self);
}

// ---- in the manifest ----------------------------------------------------------------------------

roots_t *roots_read(const json_t *list)
{
    size_t at;
    json_t *item;
    if (!json_is_array(list))
        return NULL;
    roots_t *self = roots_new();
    json_array_foreach(list, at, item)
    {
        const char *given, *path, *name;
        if (json_unpack(item, "{s:s,s:s,s:s}", "given", &given, "path", &path, "name", &name) == 0)
            append_root(self, given, rl_strdup(path))->name = rl_strdup(name);
    }
    return self;
}

json_t *roots_json(const roots_t *self)
{
    json_t *list = rl_must(json_array());
    for (size_t at = 0; at < self->size; at++) {
        const root_t *root = &self->list[at];
        json_t *item = json_pack("{s:s,s:s,s:s}", "path", root->path, "given", root->given, "name",
                                 root->name);
        if (item) // else a path that is not UTF-8
            json_array_append_new(list, item);
    }
    return list;
}

// ---- ids ----------------------------------------------------------------------------------------

// The innermost root that the path is below, and in *rest what is behind it.
static const root_t *find_root(const roots_t *self, const char *path, const char **rest)
{
    const root_t *found = NULL;
    for (size_t at = 0; path && at < self->size; at++) {
        const root_t *root = &self->list[at];
        const char *below = roots_below(path, root->path);
        if (!below && root->real)
            below = roots_below(path, root->real);
        if (below && *below && (!found || strlen(below) < strlen(*rest))) {
            found = root;
            *rest = below;
        }
    }
    return found;
}

char *roots_id(const roots_t *self, const char *path)
{
    const char *rest;
    char *absolute = roots_absolute(path), *real = NULL;
    const root_t *root = find_root(self, absolute, &rest);
    if (!root)
        root = find_root(self, real = resolve_folder(absolute), &rest);
    char *id = !root            ? normalise(path)
               : self->size > 1 ? rl_format("%s/%s", root->name, rest)
                                : rl_strdup(rest);
    free(absolute);
    free(real);
    return id;
}

char *roots_locate(const roots_t *self, const char *source)
{
    for (size_t at = 0; at < self->size; at++) {
        const char *below = roots_below(source, self->list[at].given);
        if (below)
            return rl_format("%s/%s", self->list[at].path, below);
    }
    return source[0] == '/' ? normalise(source) : NULL;
}
