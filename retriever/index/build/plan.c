// plan: checks options that depend on each other.

#include "plan.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "analyzer.h"
#include "fail.h"
#include "generation_writer.h"
#include "mem.h"
#include "utf8.h"

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
    if (size >= sizeof plan->collection || !generation_is_name(plan->collection) ||
        strspn(plan->collection, ".") == size)
        return rl_fail(why, why_size,
                       "the collection needs a name of 1 to 64 letters, digits, '-', '_' "
                       "and '.': --index-collection NAME");
    return 0;
}

static int set_rules(plan_t *plan, char *why, size_t why_size)
{
    const rl_conf_t *conf = plan->conf;
    plan->rules = (chunk_rules_t){
        .words = (size_t)rl_conf_int(conf, "index.chunk_words"),
        .tokens = (size_t)rl_conf_int(conf, "index.chunk_tokens"),
        .overlap = (size_t)rl_conf_int(conf, "index.overlap_words"),
        .max_tokens = (size_t)rl_conf_int(conf, "embed.max_tokens"),
        .prefix = rl_conf_in(conf, "model", plan->embedding.model, "passage_prefix"),
    };
    size_t length = plan->rules.tokens ? plan->rules.tokens : plan->rules.words;
    if (plan->rules.tokens && plan->rules.tokens < 20)
        return rl_fail(why, why_size,
                       "index.chunk_tokens must be at least 20, or 0 to count words");
    if (!rl_utf8_valid(plan->rules.prefix, strlen(plan->rules.prefix)))
        return rl_fail(why, why_size, "the model's passage_prefix is not UTF-8");
    if (plan->rules.overlap * 2 > length)
        return rl_fail(why, why_size,
                       "index.overlap_words (%zu) may be at most half of a passage's "
                       "length (%zu)",
                       plan->rules.overlap, length);
    return 0;
}

// A load without --index-out keeps what was embedded in a folder of the user's cache.
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
    if (!generation_is_name(name) || size >= (int)sizeof plan->own)
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
    };
    bulk_embed_configure(&plan->embedding, conf);
    const char *url = plan->embedding.url;
    plan->lexical_only = rl_conf_has_flag(conf, "lexical-only") || !*url;
    if (rl_conf_args(conf) == 0)
        return rl_fail(why, why_size, "nothing to index: name files or folders");
    if (rl_conf_list_size(conf, "index.to") > 0) {
        plan->engine = engine_of("weaviate");
        if (!*plan->out && make_folder(plan, why, why_size) != 0)
            return -1;
    }
    if (!*plan->out)
        return rl_fail(
            why, why_size,
            "where to? --index-out FOLDER is the collection's folder; --to URL loads it into a "
            "distributed engine");
    if (!plan->lexical_only && strncasecmp(url, "http://", 7) != 0 &&
        strncasecmp(url, "https://", 8) != 0)
        return rl_fail(why, why_size, "embed.url \"%s\" must be like http://127.0.0.1:8082/v1",
                       url);
    if (!*plan->embedding.model)
        return rl_fail(why, why_size,
                       "embed.model is empty: it names the model that vectors are of");
    if (!analyzer_knows(plan->language))
        return rl_fail(why, why_size, "index.language \"%s\" is not known; it may be one of: %s",
                       plan->language, analyzer_languages());
    if (set_collection(plan, rl_conf_str(conf, "index.collection"), why, why_size) != 0)
        return -1;
    return set_rules(plan, why, why_size);
}

char *plan_json(const plan_t *plan, const roots_t *roots)
{
    json_t *sources = json_array();
    for (size_t i = 0; i < rl_conf_args(plan->conf); i++)
        json_array_append_new(sources, json_string(rl_conf_arg(plan->conf, i)));
    json_t *root =
        json_pack("{s:i,s:i,s:i,s:i,s:s,s:s,s:o}", "chunk_words", (int)plan->rules.words,
                  "chunk_tokens", (int)plan->rules.tokens, "overlap", (int)plan->rules.overlap,
                  "max_tokens", (int)plan->rules.max_tokens, "passage_prefix", plan->rules.prefix,
                  "embedded", "prefix, title, heading path, text", "sources", sources);
    if (roots)
        json_object_set_new(rl_must(root), "roots", roots_json(roots));
    char *text = rl_must(json_dumps(rl_must(root), JSON_COMPACT));
    json_decref(root);
    return text;
}
