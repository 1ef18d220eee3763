// change_target: the collection that changes go to.
#include "change_target.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "files.h"
#include "mem.h"

static long build_setting(const json_t *build, const char *name, const rl_conf_t *conf,
                          const char *option)
{
    const json_t *value = json_object_get(build, name);
    return json_is_integer(value) ? (long)json_integer_value(value) : rl_conf_int(conf, option);
}

// Passages are cut and embedded by the rules of the build, not by the options of this run.
static void read_rules(change_target_t *self)
{
    json_t *build = json_loads(self->manifest->contents.build, 0, NULL);
    const char *prefix = json_string_value(json_object_get(build, "passage_prefix"));
    if (!prefix)
        prefix = rl_conf_in(self->conf, "model", self->manifest->contents.model, "passage_prefix");
    free(self->prefix);
    self->prefix = rl_strdup(prefix);
    self->rules = (chunk_rules_t){
        .words = (size_t)build_setting(build, "chunk_words", self->conf, "index.chunk_words"),
        .tokens = (size_t)build_setting(build, "chunk_tokens", self->conf, "index.chunk_tokens"),
        .overlap = (size_t)build_setting(build, "overlap", self->conf, "index.overlap_words"),
        .max_tokens = (size_t)build_setting(build, "max_tokens", self->conf, "embed.max_tokens"),
        .prefix = self->prefix,
    };
    roots_unref(&self->roots);
    self->roots = roots_read(json_object_get(build, "roots"));
    json_decref(build);
}

int change_target_refresh(change_target_t *self, char *why, size_t why_size)
{
    char name[STORE_NAME], path[FILE_PATH_MAX];
    if (store_current(self->folder, name, why, why_size) != 0)
        return -1;
    if (self->manifest && strcmp(self->manifest->contents.generation, name) == 0)
        return 0;
    if (path_format(path, "%s/%s", self->folder, name) != 0)
        return rl_fail(why, why_size, "%s: the path is too long", self->folder);
    manifest_data_t *manifest = manifest_read(path, why, why_size);
    if (!manifest)
        return -1;
    manifest_destroy(&self->manifest);
    self->manifest = manifest;
    if (!*manifest->contents.fields)
        return rl_fail(why, why_size,
                       "%s: was built by an earlier version and cannot be changed; build it again "
                       "(ragline-index)",
                       path);
    read_rules(self);
    return 0;
}

// The option is not needed; where it is given it must name the model that the collection was built
// with.
static int check_model(const change_target_t *self, char *why, size_t why_size)
{
    const char *model = self->manifest->contents.model;
    const char *named = rl_conf_str(self->conf, "embed.model");
    if (!*model || !rl_conf_given(self->conf, "embed.model") || strcmp(model, named) == 0)
        return 0;
    return rl_fail(why, why_size,
                   "embed.model is \"%s\", the collection was built with \"%s\": set that, or "
                   "build it again",
                   named, model);
}

change_target_t *change_target_new(const rl_conf_t *conf, char *why, size_t why_size)
{
    change_target_t *self = rl_new(*self);
    self->conf = conf;
    self->folder = rl_conf_str(conf, "index.out");
    self->url = rl_conf_str(conf, "embed.url");
    int rc = *self->folder
                 ? 0
                 : rl_fail(why, why_size, "which collection? --index-out FOLDER is its folder");
    if (rc == 0)
        rc = change_target_refresh(self, why, why_size);
    if (rc == 0)
        rc = check_model(self, why, why_size);
    if (rc == 0 && !(self->writer = change_log_writer_new(
                         self->folder, self->manifest->contents.changes, why, why_size)))
        rc = -1;
    if (rc != 0)
        change_target_destroy(&self);
    return self;
}

void change_target_destroy(change_target_t **self_p)
{
    change_target_t *self = *self_p;
    if (!self)
        return;
    change_log_writer_destroy(&self->writer);
    manifest_destroy(&self->manifest);
    roots_unref(&self->roots);
    free(self->prefix);
    free(self);
    *self_p = NULL;
}
