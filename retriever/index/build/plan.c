// plan: checks of options that depend on each other.

#include "plan.h"

#include "store.h"

#include "files.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

static bool name_holds(const char *name)
{
    size_t size = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");
    return size > 0 && size <= 64 && name[size] == '\0';
}

// The collection's name: as given, else the last part of the folder's path.
static int set_collection(plan_t *plan, const char *given, char *why, size_t why_size)
{
    const char *from = given;
    size_t size = strlen(given);
    if (size == 0) {
        size = strlen(plan->out);
        while (size > 0 && plan->out[size - 1] == '/')
            size--;
        size_t start = size;
        while (start > 0 && plan->out[start - 1] != '/')
            start--;
        from = plan->out + start;
        size -= start;
    }
    if (size < sizeof plan->collection) {
        memcpy(plan->collection, from, size);
        plan->collection[size] = '\0';
    }
    if (size >= sizeof plan->collection || !name_holds(plan->collection) ||
        strspn(plan->collection, ".") == size) {
        snprintf(why, why_size,
                 "the collection needs a name of 1 to 64 letters, digits, '-', '_' "
                 "and '.': --index-collection NAME");
        return -1;
    }
    return 0;
}

static bool language_known(const char *language)
{
    if (strcmp(language, "none") == 0)
        return true;
    size_t size = strlen(language);
    for (const char *at = store_languages(); *at; at += strcspn(at, " "), at += strspn(at, " "))
        if (strcspn(at, " ") == size && memcmp(at, language, size) == 0)
            return true;
    return false;
}

static int set_rules(plan_t *plan, char *why, size_t why_size)
{
    const rl_conf_t *conf = plan->conf;
    plan->rules = (chunk_rules_t){
        .words = (size_t)rl_conf_int(conf, "index.chunk_words"),
        .tokens = (size_t)rl_conf_int(conf, "index.chunk_tokens"),
        .overlap = (size_t)rl_conf_int(conf, "index.overlap_words"),
        .max_tokens = (size_t)rl_conf_int(conf, "embed.max_tokens"),
        .prefix = rl_conf_in(conf, "model", plan->model, "passage_prefix"),
    };
    size_t length = plan->rules.tokens ? plan->rules.tokens : plan->rules.words;
    if (plan->rules.tokens && plan->rules.tokens < 20) {
        snprintf(why, why_size, "index.chunk_tokens must be at least 20, or 0 to count words");
        return -1;
    }
    if (plan->rules.overlap * 2 > length) {
        snprintf(why, why_size,
                 "index.overlap_words (%zu) may be at most half of a passage's "
                 "length (%zu)",
                 plan->rules.overlap, length);
        return -1;
    }
    return 0;
}

// The folder of a load that has none: what was embedded lies there for the next time.
static int make_folder(plan_t *plan, char *why, size_t why_size)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    const char *name = rl_conf_str(plan->conf, "index.collection");
    if (!*name)
        return rl_fail(why, why_size, "the collection needs a name: --index-collection NAME");
    int size = cache && *cache
                   ? snprintf(plan->own, sizeof plan->own, "%s/ragline/load/%s", cache, name)
                   : snprintf(plan->own, sizeof plan->own, "%s/.cache/ragline/load/%s",
                              home ? home : "", name);
    if (!name_holds(name) || size >= (int)sizeof plan->own)
        return rl_fail(why, why_size, "\"%s\" cannot be a collection's name", name);
    for (char *at = plan->own + 1; *at; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        int rc = mkdir(plan->own, 0755);
        *at = '/';
        if (rc != 0 && errno != EEXIST)
            return rl_fail(why, why_size, "%s: %s; give a folder for what is embedded: --index-out",
                           plan->own, strerror(errno));
    }
    plan->out = plan->own;
    return 0;
}

int plan_make(const rl_conf_t *conf, plan_t *plan, char *why, size_t why_size)
{
    *plan = (plan_t){
        .conf = conf,
        .out = rl_conf_str(conf, "index.out"),
        .language = rl_conf_str(conf, "index.language"),
        .factory = rl_conf_str(conf, "index.factory"),
        .shards = (size_t)rl_conf_int(conf, "index.shards"),
        .threads = (size_t)rl_conf_int(conf, "index.threads"),
        .url = rl_conf_str(conf, "embed.url"),
        .model = rl_conf_str(conf, "embed.model"),
        .key = rl_conf_secret(conf, "embed.key"),
        .batch = (size_t)rl_conf_int(conf, "embed.batch"),
        .requests = (size_t)rl_conf_int(conf, "index.requests"),
        .retries = (unsigned)rl_conf_int(conf, "index.retries"),
        .timeout_ms = rl_conf_int(conf, "index.timeout_ms"),
    };
    plan->lexical_only = rl_conf_has_flag(conf, "lexical-only") || !*plan->url;
    if (rl_conf_args(conf) == 0) {
        snprintf(why, why_size, "nothing to index: name files or folders");
        return -1;
    }
    if (rl_conf_list_size(conf, "index.to") > 0) {
        plan->engine = engine_of("weaviate");
        if (!*plan->out && make_folder(plan, why, why_size) != 0)
            return -1;
    }
    if (!*plan->out) {
        snprintf(
            why, why_size,
            "where to? --index-out FOLDER is the collection's folder; --to URL loads it into a "
            "distributed engine");
        return -1;
    }
    if (!plan->lexical_only && strncasecmp(plan->url, "http://", 7) != 0 &&
        strncasecmp(plan->url, "https://", 8) != 0) {
        snprintf(why, why_size, "embed.url \"%s\" must be like http://127.0.0.1:8082/v1",
                 plan->url);
        return -1;
    }
    if (!*plan->model) {
        snprintf(why, why_size, "embed.model is empty: it names the space that vectors are in");
        return -1;
    }
    if (!language_known(plan->language)) {
        snprintf(why, why_size, "index.language \"%s\" is not known; it may be one of: %s",
                 plan->language, store_languages());
        return -1;
    }
    if (set_collection(plan, rl_conf_str(conf, "index.collection"), why, why_size) != 0)
        return -1;
    return set_rules(plan, why, why_size);
}

char *plan_json(const plan_t *plan)
{
    json_t *sources = json_array();
    for (size_t i = 0; i < rl_conf_args(plan->conf); i++)
        json_array_append_new(sources, json_string(rl_conf_arg(plan->conf, i)));
    json_t *root =
        json_pack("{s:i,s:i,s:i,s:i,s:s,s:s,s:o}", "chunk_words", (int)plan->rules.words,
                  "chunk_tokens", (int)plan->rules.tokens, "overlap", (int)plan->rules.overlap,
                  "max_tokens", (int)plan->rules.max_tokens, "passage_prefix", plan->rules.prefix,
                  "embedded", "prefix, title, heading path, text", "sources", sources);
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    return text;
}
