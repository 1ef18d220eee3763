// engine_weaviate: what is particular to Weaviate (1.33 or later, which has the filter "Not"): how
// it is searched, and what it answers. engine_weaviate_filter.c has its filters,
// engine_weaviate_load.c how passages get there.
//
// A collection is a class Ragline_NAME, whose description holds the catalog. A passage is an object
// with its fields as properties, and besides
//   terms   its terms by ragline's own rules (analyzer.h: stemmed, without stop words, with parts
//   of
//           names), as often as they stand there, split at white space: BM25 over them is BM25 as
//           in a local index, where Weaviate's own splitting knows no stems
//   has     names of the metadata's fields that it has
//   f…      the metadata's values, a property for each field and type
//   load    which load wrote it
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_weaviate_private.h"
#include "fail.h"
#include "hash.h"
#include "mem.h"

enum {
    ANSWER_WHY = 300, // bytes of what Weaviate says that are passed on
};

static const char class_prefix[] = "Ragline_";

typedef struct term {
    char *name;
    unsigned times;
} term_t;

// ---- the place ----------------------------------------------------------------------------------

// Letters and digits as they are, other bytes as _xx; `small`: capitals as well, since Weaviate
// does not distinguish capitals in names of properties.
static int put_name(char *out, size_t room, const char *name, bool small)
{
    size_t size = 0;
    for (const unsigned char *at = (const unsigned char *)name; *at; at++) {
        bool plain = (*at >= 'a' && *at <= 'z') || (*at >= '0' && *at <= '9') ||
                     (!small && *at >= 'A' && *at <= 'Z');
        if (size + 4 > room)
            return -1;
        size += plain ? (size_t)sprintf(out + size, "%c", *at)
                      : (size_t)sprintf(out + size, "_%02x", *at);
    }
    out[size] = '\0';
    return 0;
}

void weaviate_property(const char *field, rl_filter_type_t type, char name[WEAVIATE_PROPERTY])
{
    static const char letters[] = {
        [RL_FILTER_BOOLEAN] = 'b', [RL_FILTER_NUMBER] = 'n', [RL_FILTER_STRING] = 's'};
    snprintf(name, WEAVIATE_PROPERTY, "f%c_", letters[type]);
    if (put_name(name + 3, WEAVIATE_PROPERTY - 3, field, true) != 0)
        snprintf(name + 3, WEAVIATE_PROPERTY - 3, "_%016" PRIx64, rl_hash64(field, strlen(field)));
}

bool weaviate_has_type(const char *types, rl_filter_type_t type)
{
    static const char *const names[] = {[RL_FILTER_BOOLEAN] = "boolean",
                                        [RL_FILTER_NUMBER] = "number",
                                        [RL_FILTER_STRING] = "string"};
    return types && strstr(types, names[type]);
}

static void close_place(engine_place_t **self_p)
{
    engine_place_t *self = *self_p;
    if (!self)
        return;
    engine_catalog_clear(&self->catalog);
    analyzer_destroy(&self->rules);
    json_decref(self->schema);
    free(self->frequencies);
    free(self);
    *self_p = NULL;
}

static engine_place_t *open_place(const engine_settings_t *settings, char *why, size_t why_size)
{
    engine_place_t *self = rl_new(*self);
    self->frequencies = rl_alloc_array(WEAVIATE_SLOTS, sizeof *self->frequencies);
    self->settings = *settings;
    snprintf(self->collection, sizeof self->collection, "%s", settings->collection);
    self->settings.collection = self->collection;
    for (size_t at = 0; settings->consistency[at] && at + 1 < sizeof self->consistency; at++)
        self->consistency[at] = (char)(settings->consistency[at] & ~0x20); // capitals
    self->settings.consistency = self->consistency;
    self->parts = 1;
    strcpy(self->class, class_prefix);
    if (!*settings->collection || strlen(settings->collection) > 64 ||
        put_name(self->class + strlen(class_prefix), WEAVIATE_CLASS - sizeof class_prefix,
                 settings->collection, false) != 0) {
        rl_fail(why, why_size, "\"%s\" cannot be a collection's name", settings->collection);
        close_place(&self);
    }
    return self;
}

// ---- answers ------------------------------------------------------------------------------------

static const char *first_message(const json_t *root)
{
    const json_t *list = json_object_get(root, "error");
    if (!json_is_array(list))
        list = json_object_get(root, "errors");
    const char *message = json_string_value(json_object_get(json_array_get(list, 0), "message"));
    return message ? message : json_string_value(json_object_get(root, "message"));
}

engine_verdict_t weaviate_judge(const char *doing, long status, const char *body, size_t size,
                                char *why, size_t why_size)
{
    if (status >= 200 && status < 300)
        return ENGINE_OK;
    json_t *root = json_loadb(body, size, 0, NULL);
    const char *message = first_message(root);
    snprintf(why, why_size, "%s: Weaviate says %ld: %.*s", doing, status, ANSWER_WHY,
             message    ? message
             : size > 0 ? body
                        : "nothing");
    json_decref(root);
    // another node may answer where this one gives 429, or 500 and above
    return status == 429 || status >= 500 ? ENGINE_ELSEWHERE : ENGINE_REFUSED;
}

// ---- the catalog --------------------------------------------------------------------------------

static int request_catalog(engine_place_t *self, engine_request_t *out)
{
    out->method = "GET";
    out->header = "consistency: false"; // as this node knows it: no other need be there
    rl_buf_clear(&out->body);
    snprintf(out->path, sizeof out->path, "/v1/schema/%s", self->class);
    return 0;
}

engine_verdict_t weaviate_read_schema(const engine_place_t *self, const json_t *schema,
                                      engine_catalog_t *catalog, char *why, size_t why_size)
{
    char inner[200];
    const char *text = json_string_value(json_object_get(schema, "description"));
    if (!text || *text != '{') {
        rl_fail(why, why_size,
                "the class %s is there, but ragline-index has not made it: choose another name for "
                "the collection",
                self->class);
        return ENGINE_REFUSED;
    }
    if (engine_catalog_read(catalog, text, inner, sizeof inner) == 0)
        return ENGINE_OK;
    rl_fail(why, why_size, "class %s: %s", self->class, inner);
    return ENGINE_REFUSED;
}

int weaviate_keep_catalog(engine_place_t *self, const engine_catalog_t *catalog)
{
    char ignored[200], *text = engine_catalog_json(catalog);
    engine_catalog_t copy = {0};
    analyzer_t *rules = text ? analyzer_new(catalog->manifest.language) : NULL;
    int rc = rules ? engine_catalog_read(&copy, text, ignored, sizeof ignored) : -1;
    free(text);
    if (rc != 0) {
        analyzer_destroy(&rules);
        return -1;
    }
    if (!self->catalog.root || self->catalog.manifest.passages != copy.manifest.passages ||
        strcmp(self->catalog.manifest.generation, copy.manifest.generation) != 0)
        memset(self->frequencies, 0, WEAVIATE_SLOTS * sizeof *self->frequencies);
    engine_catalog_clear(&self->catalog);
    analyzer_destroy(&self->rules);
    self->catalog = copy;
    self->rules = rules;
    return 0;
}

static engine_verdict_t take_catalog(engine_place_t *self, long status, const char *body,
                                     size_t size, engine_catalog_t *catalog, char *why,
                                     size_t why_size)
{
    if (status == 404) {
        rl_fail(why, why_size, "there is no class %s: load the collection (ragline-index --to)",
                self->class);
        return ENGINE_NONE;
    }
    engine_verdict_t verdict =
        weaviate_judge("the collection's description", status, body, size, why, why_size);
    if (verdict != ENGINE_OK)
        return verdict;
    json_t *root = json_loadb(body, size, 0, NULL);
    verdict = weaviate_read_schema(self, root, catalog, why, why_size);
    weaviate_note_schema(self, root);
    json_decref(root);
    if (verdict == ENGINE_OK && weaviate_keep_catalog(self, catalog) != 0) {
        rl_fail(why, why_size, "class %s: nothing is known of the language \"%s\"", self->class,
                catalog->manifest.language);
        engine_catalog_clear(catalog);
        return ENGINE_REFUSED;
    }
    return verdict;
}

// ---- words --------------------------------------------------------------------------------------

static void put_term(void *arg, const char *name, unsigned times)
{
    rl_buf_t *out = arg;
    for (; times > 0; times--) {
        rl_buf_adds(out, out->size > 0 ? " " : "");
        rl_buf_adds(out, name);
    }
}

int weaviate_put_terms(analyzer_t *rules, const char *const *texts, size_t size, rl_buf_t *out)
{
    analyzer_each(rules, texts, size, put_term, out);
    return out->full ? -1 : 0;
}

typedef struct words {
    term_t *terms;
    size_t size, room;
} words_t;

static void take_term(void *arg, const char *name, unsigned times)
{
    words_t *words = arg;
    if (words->size == words->room) {
        words->room = words->room ? 2 * words->room : 32;
        words->terms = rl_realloc(words->terms, words->room, sizeof *words->terms);
    }
    words->terms[words->size++] = (term_t){rl_strdup(name), times};
}

static void free_words(words_t *words)
{
    for (size_t at = 0; at < words->size; at++)
        free(words->terms[at].name);
    free(words->terms);
}

static int by_length(const void *a, const void *b)
{
    size_t one = strlen(((const term_t *)a)->name), other = strlen(((const term_t *)b)->name);
    return one > other ? -1 : one < other;
}

// The terms of a question; of a very long one the longest, which are the rarest by and large.
static words_t words_of(engine_place_t *self, const char *text)
{
    words_t words = {0};
    analyzer_each(self->rules, &text, 1, take_term, &words);
    if (words.size > WEAVIATE_TERMS) {
        qsort(words.terms, words.size, sizeof *words.terms, by_length);
        for (; words.size > WEAVIATE_TERMS; words.size--)
            free(words.terms[words.size - 1].name);
    }
    return words;
}

static weaviate_frequency_t *slot_of(engine_place_t *self, const char *term, uint64_t *hash)
{
    *hash = rl_hash64(term, strlen(term)) | 1; // 0: a free slot
    return &self->frequencies[(*hash >> 1) % WEAVIATE_SLOTS];
}

// What a passage would score at most that had every term often (its weight nears the idf then), the
// terms that no passage has included; Weaviate's idf (adapters/repos/db/inverted/bm25_searcher.go),
// which is each part's own: parts are taken to be alike. 0 where a frequency is not known.
static double highest_score(engine_place_t *self, const char *text)
{
    words_t words = words_of(self, text);
    double passages = (double)self->catalog.manifest.passages, sum = 0;
    bool known = true;
    for (size_t at = 0; known && at < words.size; at++) {
        uint64_t hash;
        const weaviate_frequency_t *slot = slot_of(self, words.terms[at].name, &hash);
        double matching = (double)slot->passages;
        known = slot->hash == hash && matching <= passages;
        double rest = (passages - matching) / self->parts, here = matching / self->parts;
        sum += log(1 + (rest + 0.5) / (here + 0.5)) * words.terms[at].times;
    }
    free_words(&words);
    return known ? sum : 0;
}

// ---- asking -------------------------------------------------------------------------------------

static void put_vector(rl_buf_t *out, const query_t *query)
{
    rl_buf_adds(out, "vector:[");
    for (size_t at = 0; at < query->dimension; at++)
        rl_buf_addf(out, at > 0 ? ",%.7g" : "%.7g", (double)query->vector[at]);
    rl_buf_adds(out, "]");
}

static void put_words(rl_buf_t *out, const words_t *words)
{
    rl_buf_t text = rl_buf_make(ENGINE_BODY);
    for (size_t at = 0; at < words->size; at++)
        put_term(&text, words->terms[at].name, words->terms[at].times);
    rl_buf_adds(out, "query:");
    rl_buf_add_json(out, text.data ? text.data : "", text.size);
    rl_buf_adds(out, " properties:[\"terms\"]");
    rl_buf_free(&text);
}

// How many passages have those terms of the question that are not known yet.
static void put_counts(engine_place_t *self, const words_t *words, rl_buf_t *out)
{
    size_t asked = 0;
    for (size_t at = 0; at < words->size; at++) {
        uint64_t hash;
        const char *name = words->terms[at].name;
        if (slot_of(self, name, &hash)->hash == hash)
            continue;
        rl_buf_adds(out, asked++ == 0 ? " Aggregate{" : " ");
        rl_buf_addf(out, "t%zu:%s(where:{path:[\"terms\"] operator:Equal valueText:", at,
                    self->class);
        rl_buf_add_json(out, name, strlen(name));
        rl_buf_adds(out, "}){meta{count}}");
    }
    rl_buf_adds(out, asked > 0 ? "}" : "");
}

static int put_search(engine_place_t *self, engine_mode_t mode, const query_t *query,
                      const words_t *words, rl_buf_t *out, result_t *result)
{
    rl_buf_addf(out, "{Get{%s(limit:%zu", self->class, query->k);
    if (self->settings.replicas != 1)
        rl_buf_addf(out, " consistencyLevel:%s", self->settings.consistency);
    if (mode == ENGINE_VECTOR) {
        rl_buf_adds(out, " nearVector:{");
        put_vector(out, query);
    } else if (mode == ENGINE_LEXICAL) {
        rl_buf_adds(out, " bm25:{");
        put_words(out, words);
    } else {
        rl_buf_addf(out, " hybrid:{alpha:%g ", self->settings.alpha);
        put_vector(out, query);
        rl_buf_adds(out, " ");
        put_words(out, words);
    }
    rl_buf_adds(out, "}");
    if (weaviate_put_where(self, query->filter, out, result) != 0)
        return -1;
    rl_buf_addf(out, "){doc title heading source text start end meta _additional{id %s}}}",
                mode == ENGINE_VECTOR ? "distance" : "score");
    if (mode == ENGINE_LEXICAL)
        put_counts(self, words, out);
    rl_buf_adds(out, "}");
    return 0;
}

// What a search must bring along.
static bool is_searchable(const engine_place_t *self, engine_mode_t mode, const query_t *query,
                          result_t *result)
{
    uint64_t dimension = self->catalog.manifest.dimension;
    if (mode != ENGINE_LEXICAL && !query->vector)
        result_fail(result, "bad_request", false,
                    "a dense search needs the question's vector, and there is none");
    else if (mode != ENGINE_LEXICAL && query->dimension != dimension)
        result_fail(result, "wrong_dimension", false,
                    "the question's vector has %zu components, this collection's %" PRIu64
                    ": it was loaded with another embedding model (set embed.model, or load it "
                    "again)",
                    query->dimension, dimension);
    else if (mode != ENGINE_VECTOR && (!query->text || !*query->text))
        result_fail(result, "bad_request", false,
                    "a lexical search needs the question's text, and there is none");
    else
        return true;
    return false;
}

static int request_search(engine_place_t *self, engine_mode_t mode, const query_t *query,
                          engine_request_t *out, result_t *result)
{
    if (!is_searchable(self, mode, query, result))
        return -1;
    words_t words = {0};
    if (mode != ENGINE_VECTOR)
        words = words_of(self, query->text);
    if (mode == ENGINE_LEXICAL && words.size == 0)
        return 0; // nothing but stop words
    rl_buf_t text = rl_buf_make(ENGINE_BODY);
    int rc = put_search(self, mode, query, &words, &text, result) == 0 ? 1 : -1;
    out->method = "POST";
    out->header = NULL;
    snprintf(out->path, sizeof out->path, "/v1/graphql");
    rl_buf_clear(&out->body);
    rl_buf_adds(&out->body, "{\"query\":");
    rl_buf_add_json(&out->body, text.data ? text.data : "", text.size);
    rl_buf_adds(&out->body, "}");
    if (rc > 0 && (text.full || out->body.full)) {
        result_fail(result, "bad_request", false, "the question and its filter are too long");
        rc = -1;
    }
    free_words(&words);
    rl_buf_free(&text);
    return rc;
}

// ---- hits ---------------------------------------------------------------------------------------

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

static const char *const strings[] = {"doc", "title", "heading", "source", "text", "meta"};
enum {
    STRINGS = sizeof strings / sizeof *strings
};

static size_t size_of(const json_t *object)
{
    size_t size = 0;
    for (size_t at = 0; at < STRINGS; at++)
        size += strlen(text_of(object, strings[at])) + 1;
    return size;
}

static double score_of(const json_t *additional, engine_mode_t mode)
{
    const json_t *value = json_object_get(additional, mode == ENGINE_VECTOR ? "distance" : "score");
    double number =
        json_is_string(value) ? strtod(json_string_value(value), NULL) : json_number_value(value);
    number = mode == ENGINE_VECTOR ? 1 - number : number; // the distance is 1 - cosine
    return isfinite(number) ? number : 0;
}

// The next string into the memory at *to.
static const char *copy_string(char **to, const json_t *object, size_t which)
{
    const char *text = text_of(object, strings[which]), *start = *to;
    size_t size = strlen(text) + 1;
    memcpy(*to, text, size);
    *to += size;
    return start;
}

static void take_hit(const json_t *object, engine_mode_t mode, char **to, rl_passage_t *hit)
{
    const json_t *additional = json_object_get(object, "_additional");
    json_int_t start = json_integer_value(json_object_get(object, "start"));
    json_int_t end = json_integer_value(json_object_get(object, "end"));
    *hit = (rl_passage_t){.id = engine_number(text_of(additional, "id")),
                          .doc = copy_string(to, object, 0),
                          .title = copy_string(to, object, 1),
                          .heading = copy_string(to, object, 2),
                          .source = copy_string(to, object, 3),
                          .text = copy_string(to, object, 4),
                          .meta = copy_string(to, object, 5),
                          .start = start > 0 ? (uint64_t)start : 0,
                          .end = end > 0 ? (uint64_t)end : 0,
                          .score = score_of(additional, mode)};
    hit->hash = store_text_hash(hit->text, strlen(hit->text));
}

static void fill_result(const json_t *list, engine_mode_t mode, size_t k, result_t *result)
{
    size_t size = json_array_size(list), bytes = 1;
    size = size < k ? size : k;
    for (size_t at = 0; at < size; at++)
        bytes += size_of(json_array_get(list, at));
    result->hits = rl_alloc_array(size + 1, sizeof *result->hits);
    result->memory = rl_alloc(bytes); // no more than ENGINE_REPLY
    char *to = result->memory;
    for (size_t at = 0; at < size; at++) {
        rl_passage_t *hit = &result->hits[result->size];
        take_hit(json_array_get(list, at), mode, &to, hit);
        if (hit->id == 0 || (mode == ENGINE_LEXICAL && hit->score <= 0))
            continue; // no passage of ragline's, or without a word of the question
        result->size++;
        result->bytes += strlen(hit->text) + strlen(hit->meta);
    }
}

// Remembers the frequencies that were asked for along with the hits.
static void take_counts(engine_place_t *self, const char *text, const json_t *counts)
{
    words_t words = {0};
    if (json_is_object(counts))
        words = words_of(self, text);
    for (size_t at = 0; at < words.size; at++) {
        char name[24];
        uint64_t hash;
        snprintf(name, sizeof name, "t%zu", at);
        const json_t *count = json_object_get(
            json_object_get(json_array_get(json_object_get(counts, name), 0), "meta"), "count");
        if (!json_is_integer(count) || json_integer_value(count) < 0)
            continue;
        weaviate_frequency_t *slot = slot_of(self, words.terms[at].name, &hash);
        *slot = (weaviate_frequency_t){hash, (uint64_t)json_integer_value(count)};
    }
    free_words(&words);
}

static engine_verdict_t take_hits(engine_place_t *self, engine_mode_t mode, const query_t *query,
                                  long status, const char *body, size_t size, result_t *result)
{
    char why[sizeof result->message];
    engine_verdict_t verdict = weaviate_judge("search", status, body, size, why, sizeof why);
    if (verdict != ENGINE_OK) {
        result_fail(result, "engine_failed", verdict == ENGINE_ELSEWHERE, "%s", why);
        return verdict;
    }
    json_t *root = json_loadb(body, size, JSON_ALLOW_NUL, NULL);
    const json_t *data = json_object_get(root, "data");
    const json_t *list = json_object_get(json_object_get(data, "Get"), self->class);
    if (json_is_array(list)) {
        fill_result(list, mode, query->k, result);
        if (mode == ENGINE_LEXICAL) {
            take_counts(self, query->text, json_object_get(data, "Aggregate"));
            result->bound = highest_score(self, query->text);
        }
    } else {
        // a shard that could not be reached, or an object that a filter names and is not there
        const char *message = first_message(root);
        verdict = ENGINE_ELSEWHERE;
        result_fail(result, "engine_failed", true, "search: Weaviate says: %.*s", ANSWER_WHY,
                    message ? message : "something that is no answer");
    }
    json_decref(root);
    return verdict;
}

const engine_t engine_weaviate = {
    .name = "weaviate",
    .ready_path = "/v1/.well-known/ready",
    .open = open_place,
    .close = close_place,
    .describe = request_catalog,
    .take_catalog = take_catalog,
    .search = request_search,
    .take_hits = take_hits,
    .check = weaviate_check,
    .take_check = weaviate_take_check,
    .prepare = weaviate_prepare,
    .take_prepare = weaviate_take_prepare,
    .batch = weaviate_batch,
    .batch_add = weaviate_batch_add,
    .batch_end = weaviate_batch_end,
    .take_batch = weaviate_take_batch,
    .relax = weaviate_relax,
    .sweep = weaviate_sweep,
    .take_sweep = weaviate_take_sweep,
};
