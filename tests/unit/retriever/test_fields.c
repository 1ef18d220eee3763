// fields: what filters keep, against looking at every passage's metadata by hand; indexes of
// earlier versions, damaged files, sorting beyond memory.
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "fields.h"
#include "files.h"
#include "filter.h"
#include "retriever_help.h"
#include "sorter.h"

enum {
    PASSAGES = 700,
    SHARDS = 2,
    FILTERS = 3000,
};

static uint64_t state64 = 42;

static unsigned chance(unsigned below)
{
    state64 ^= state64 << 13, state64 ^= state64 >> 7, state64 ^= state64 << 17;
    return (unsigned)(state64 >> 20) % below;
}

// ---- random metadata and filters ----------------------------------------------------------------

static const char *const names[] = {"year", "lang", "draft", "tags", "deep.er", "odd"};
static const char *const words[] = {
    "", "c", "go", "go2", "python", "\xc3\xa4", "\xf0\x9f\x98\x80", "2024-01-31", "2024-02"};

static json_t *random_scalar(void)
{
    switch (chance(4)) {
    case 0:
        return json_boolean((int)chance(2));
    case 1:
        return json_integer((int)chance(12) - 3);
    case 2:
        return json_real((int)chance(12) / 4.0 - 1);
    default:
        return json_string(words[chance(9)]);
    }
}

static json_t *random_meta(void)
{
    json_t *meta = json_object(), *list = json_array(), *inner = json_object();
    if (chance(5))
        json_object_set_new(meta, "year", json_integer(2000 + (int)chance(20)));
    if (chance(5))
        json_object_set_new(meta, "lang", json_string(words[chance(9)]));
    if (chance(2))
        json_object_set_new(meta, "draft", json_boolean((int)chance(2)));
    for (unsigned at = chance(4); at > 0; at--)
        json_array_append_new(list, random_scalar());
    json_object_set_new(meta, "tags", list);
    json_object_set_new(inner, "er", chance(3) ? random_scalar() : json_null());
    json_object_set_new(meta, "deep", inner);
    if (chance(2))
        json_object_set_new(meta, "odd", random_scalar());
    return meta;
}

static json_t *random_filter(unsigned depth)
{
    if (depth > 0 && chance(2)) {
        if (chance(4) == 0)
            return json_pack("{s:o}", "not", random_filter(depth - 1));
        json_t *list = json_array();
        for (unsigned at = 1 + chance(3); at > 0; at--)
            json_array_append_new(list, random_filter(depth - 1));
        return json_pack("{s:o}", chance(2) ? "and" : "or", list);
    }
    const char *name = chance(20) ? names[chance(6)] : chance(2) ? "id" : "no such";
    json_t *out = json_pack("{s:s}", "field", name), *list;
    switch (chance(6)) {
    case 0:
        list = json_array();
        for (unsigned at = 1 + chance(4); at > 0; at--)
            json_array_append_new(list, random_scalar());
        json_object_set_new(out, "in", list);
        break;
    case 1:
        json_object_set_new(out, chance(2) ? "gt" : "gte", json_integer(1995 + (int)chance(30)));
        if (chance(2))
            json_object_set_new(out, chance(2) ? "lt" : "lte", json_real(1995.5 + chance(30)));
        break;
    case 2:
        json_object_set_new(out, chance(2) ? "lt" : "lte", json_string(words[chance(9)]));
        if (chance(2))
            json_object_set_new(out, chance(2) ? "gt" : "gte", json_string(words[chance(9)]));
        break;
    case 3:
        json_object_set_new(out, "prefix", json_string(words[1 + chance(8)]));
        break;
    case 4:
        json_object_set_new(out, "exists", json_boolean((int)chance(2)));
        break;
    default:
        json_object_set_new(out, "eq",
                            strcmp(name, "id") == 0     ? json_sprintf("doc-%u", chance(PASSAGES))
                            : strcmp(name, "year") == 0 ? json_integer(2000 + (int)chance(20))
                                                        : random_scalar());
    }
    return out;
}

// ---- by hand ------------------------------------------------------------------------------------

static int order_of(const json_t *one, const json_t *other, bool *comparable)
{
    *comparable = true;
    if (json_is_number(one) && json_is_number(other))
        return (json_number_value(one) > json_number_value(other)) -
               (json_number_value(one) < json_number_value(other));
    if (json_is_string(one) && json_is_string(other))
        return strcmp(json_string_value(one), json_string_value(other));
    *comparable = json_is_boolean(one) && json_is_boolean(other);
    return json_is_true(one) - json_is_true(other);
}

static bool value_holds(const json_t *filter, const json_t *value)
{
    const char *key;
    json_t *against;
    bool comparable;
    json_object_foreach((json_t *)filter, key, against)
    {
        int order = order_of(value, against, &comparable);
        bool holds = true;
        if (strcmp(key, "in") == 0) {
            holds = false;
            for (size_t at = 0; at < json_array_size(against); at++)
                holds |=
                    order_of(value, json_array_get(against, at), &comparable) == 0 && comparable;
        } else if (strcmp(key, "eq") == 0) {
            holds = comparable && order == 0;
        } else if (strcmp(key, "prefix") == 0) {
            holds = json_is_string(value) &&
                    strncmp(json_string_value(value), json_string_value(against),
                            json_string_length(against)) == 0;
        } else if (key[0] == 'g') {
            holds = comparable && (order > 0 || (order == 0 && key[2]));
        } else if (key[0] == 'l') {
            holds = comparable && (order < 0 || (order == 0 && key[2]));
        }
        if (!holds)
            return false;
    }
    return true;
}

static bool holds_by_hand(const json_t *filter, const json_t *meta)
{
    const json_t *list = json_object_get(filter, "and"), *part;
    if (!list)
        list = json_object_get(filter, "or");
    if (list) {
        bool all = json_object_get(filter, "and");
        for (size_t at = 0; at < json_array_size(list); at++)
            if (holds_by_hand(json_array_get(list, at), meta) != all)
                return !all;
        return all;
    }
    if ((part = json_object_get(filter, "not")))
        return !holds_by_hand(part, meta);
    const char *field = json_string_value(json_object_get(filter, "field"));
    const json_t *value = strcmp(field, "deep.er") == 0
                              ? json_object_get(json_object_get(meta, "deep"), "er")
                              : json_object_get(meta, field);
    const json_t *exists = json_object_get(filter, "exists");
    bool there =
        value && !json_is_null(value) && (!json_is_array(value) || json_array_size(value) > 0);
    if (exists)
        return there == json_is_true(exists);
    if (!there)
        return false;
    bool holds = !json_is_array(value) && value_holds(filter, value);
    for (size_t at = 0; at < json_array_size(value); at++)
        holds |= value_holds(filter, json_array_get(value, at));
    return holds;
}

// ---- a store ------------------------------------------------------------------------------------

typedef struct built {
    const char *folder;
    store_t *store;
    json_t *metas[PASSAGES]; // with "id"
} built_t;

static void build(built_t *it)
{
    char why[512] = "", doc[32];
    generation_settings_t settings = {
        .collection = "docs", .model = "", .language = "none", .shards = SHARDS};
    it->folder = help_folder();
    generation_writer_t *build = generation_writer_new(it->folder, &settings, why, sizeof why);
    assert_non_null(build);
    for (size_t at = 0; at < PASSAGES; at++) {
        it->metas[at] = random_meta();
        char *meta = json_dumps(it->metas[at], JSON_COMPACT);
        snprintf(doc, sizeof doc, "doc-%zu", at);
        rl_passage_t passage = {.doc = doc, .source = "s", .text = "text", .meta = meta};
        assert_int_equal(
            generation_writer_add(build, at % SHARDS, &passage, NULL, 0, why, sizeof why),
            at / SHARDS + 1);
        json_object_set_new(it->metas[at], "id", json_string(doc));
        free(meta);
    }
    assert_int_equal(generation_writer_finish(&build, PASSAGES, NULL, NULL, why, sizeof why), 0);
    it->store = store_open(it->folder, true, why, sizeof why);
    assert_string_equal(why, "");
    assert_non_null(it->store);
}

static void destroy(built_t *it)
{
    for (size_t at = 0; at < PASSAGES; at++)
        json_decref(it->metas[at]);
    store_destroy(&it->store);
    help_remove(it->folder);
}

static void what_filters_keep_is_what_looking_at_each_keeps(void **state)
{
    (void)state;
    static built_t it;
    build(&it);
    size_t kept = 0;
    for (int each = 0; each < FILTERS; each++) {
        json_t *filter = random_filter(3);
        char *text = json_dumps(filter, JSON_COMPACT), why[512] = "";
        const char *code = NULL;
        for (uint64_t shard = 0; shard < SHARDS; shard++) {
            selection_t *selection = store_select(it.store, shard, text, &code, why, sizeof why);
            if (!selection)
                fail_msg("%s: %s", text, why);
            size_t size = 0;
            for (size_t at = 0; at < selection->count; at++) {
                bool expected = holds_by_hand(filter, it.metas[at * SHARDS + shard]);
                if (selection_has(selection, at) != expected)
                    fail_msg("%s: passage %zu of shard %d, expected %d", text, at, (int)shard,
                             expected);
                if (expected && selection->rows)
                    assert_int_equal(selection->rows[size], at);
                size += expected;
            }
            assert_int_equal(selection->size, size);
            kept += size;
            selection_unref(&selection);
        }
        free(text);
        json_decref(filter);
    }
    assert_true(kept > PASSAGES);
    const manifest_t *manifest = store_manifest(it.store);
    json_t *fields = json_loads(manifest->fields, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(fields, "year")), "number");
    assert_string_equal(json_string_value(json_object_get(fields, "draft")), "boolean");
    assert_string_equal(json_string_value(json_object_get(fields, "source")), "string");
    assert_string_equal(json_string_value(json_object_get(fields, "tags")),
                        "boolean|number|string");
    assert_null(json_object_get(fields, "title")); // empty everywhere
    json_decref(fields);
    destroy(&it);
}

// More filters than are remembered, from several threads at a time.
typedef struct asking {
    store_t *store;
    unsigned seed;
    size_t kept;
} asking_t;

static void *ask_and_ask(void *arg)
{
    asking_t *asking = arg;
    for (unsigned at = 0; at < 4000; at++) {
        char filter[64], why[256];
        const char *code = NULL;
        asking->seed = asking->seed * 1664525 + 1013904223;
        snprintf(filter, sizeof filter, "{\"field\":\"id\",\"eq\":\"doc-%u\"}",
                 (asking->seed >> 8) % PASSAGES);
        selection_t *selection = store_select(asking->store, 0, filter, &code, why, sizeof why);
        asking->kept += selection ? selection->size : 1000000;
        selection_unref(&selection);
    }
    return NULL;
}

static void several_threads_ask_at_a_time(void **state)
{
    (void)state;
    static built_t it;
    pthread_t threads[4];
    asking_t asking[4];
    build(&it);
    for (unsigned at = 0; at < 4; at++) {
        asking[at] = (asking_t){it.store, at, 0};
        assert_int_equal(pthread_create(&threads[at], NULL, ask_and_ask, &asking[at]), 0);
    }
    for (unsigned at = 0; at < 4; at++) {
        pthread_join(threads[at], NULL);
        assert_in_range(asking[at].kept, 1700, 2300); // half are in the other shard
    }
    destroy(&it);
}

static void an_index_without_metadata_is_served_and_says_so(void **state)
{
    (void)state;
    char why[512] = "", path[512];
    const char *folder = help_folder(), *code = NULL;
    help_build(folder, 20, 1, 0, "", NULL, 0);
    snprintf(path, sizeof path, "%s/g-000001/manifest.json", folder);
    json_t *manifest = json_load_file(path, 0, NULL);
    json_object_del(manifest, "fields");
    json_object_del(manifest, "fields_more");
    json_t *files =
        json_object_get(json_array_get(json_object_get(manifest, "shards"), 0), "files");
    for (size_t at = json_array_size(files); at-- > 0;)
        if (strcmp(json_string_value(json_object_get(json_array_get(files, at), "name")),
                   FIELDS_FILE) == 0)
            json_array_remove(files, at);
    assert_int_equal(json_dump_file(manifest, path, 0), 0);
    json_decref(manifest);
    snprintf(path, sizeof path, "%s/g-000001/shard-0/" FIELDS_FILE, folder);
    assert_int_equal(unlink(path), 0);
    store_t *store = store_open(folder, true, why, sizeof why);
    assert_non_null(store);
    assert_string_equal(store_manifest(store)->fields, "");
    assert_null(store_select(store, 0, "{\"field\":\"year\",\"eq\":2024}", &code, why, sizeof why));
    assert_string_equal(code, "no_metadata");
    assert_non_null(strstr(why, "ragline-index"));
    store_destroy(&store);
    help_remove(folder);
}

static void a_wrong_filter_is_not_the_file_s_fault(void **state)
{
    (void)state;
    char why[512] = "";
    const char *folder = help_folder(), *code = NULL;
    help_build(folder, 20, 1, 0, "", NULL, 0);
    store_t *store = store_open(folder, true, why, sizeof why);
    assert_null(store_select(store, 0, "{\"year\":2024}", &code, why, sizeof why));
    assert_string_equal(code, "bad_filter");
    assert_non_null(strstr(why, "year"));
    store_destroy(&store);
    help_remove(folder);
}

// Any byte may be wrong: the file is refused, or gives some passages, and nothing else happens.
static void a_damaged_file_breaks_nothing(void **state)
{
    (void)state;
    static const char *const filters[] = {
        "{\"field\":\"year\",\"gte\":2000}", "{\"field\":\"id\",\"prefix\":\"doc-1\"}",
        "{\"field\":\"title\",\"eq\":\"A title\"}", "{\"field\":\"source\",\"exists\":true}"};
    char why[512] = "", path[512];
    const char *folder = help_folder();
    help_build(folder, 20, 1, 0, "", NULL, 0);
    snprintf(path, sizeof path, "%s/g-000001/shard-0/" FIELDS_FILE, folder);
    long size = help_size(path);
    size_t refused = 0;
    for (long at = 0; at < size; at++) {
        char was, now;
        int fd = open(path, O_RDWR);
        assert_int_equal(pread(fd, &was, 1, at), 1);
        now = (char)(was ^ (1 << chance(8)));
        assert_int_equal(pwrite(fd, &now, 1, at), 1);
        char inner[512], shard[512];
        snprintf(shard, sizeof shard, "%s/g-000001/shard-0", folder);
        fields_t *fields = fields_open(shard, 20, inner, sizeof inner);
        for (size_t each = 0; fields && each < 4; each++) {
            bool wrong;
            selection_t *selection = fields_select(fields, filters[each], &wrong, why, sizeof why);
            refused += !selection;
            selection_unref(&selection);
        }
        refused += !fields;
        fields_close(&fields);
        assert_int_equal(pwrite(fd, &was, 1, at), 1);
        close(fd);
    }
    assert_true(refused > 50);
    help_cut(path, size - 1);
    assert_null(store_open(folder, false, why, sizeof why));
    assert_non_null(strstr(why, FIELDS_FILE));
    help_remove(folder);
}

static void fields_beyond_the_bound_are_told(void **state)
{
    (void)state;
    char why[512] = "", name[32];
    generation_settings_t settings = {
        .collection = "docs", .model = "", .language = "none", .shards = 1};
    const char *folder = help_folder(), *code = NULL;
    generation_writer_t *build = generation_writer_new(folder, &settings, why, sizeof why);
    for (int at = 0; at < FIELDS_MAX + 5; at++) {
        snprintf(name, sizeof name, "{\"f%d\":%d}", at, at);
        rl_passage_t passage = {.doc = "d", .text = "text", .meta = name};
        assert_true(generation_writer_add(build, 0, &passage, NULL, 0, why, sizeof why) > 0);
    }
    assert_int_equal(generation_writer_finish(&build, 1, NULL, NULL, why, sizeof why), 0);
    store_t *store = store_open(folder, true, why, sizeof why);
    assert_true(store_manifest(store)->fields_more);
    selection_t *selection =
        store_select(store, 0, "{\"field\":\"f7\",\"eq\":7}", &code, why, sizeof why);
    assert_int_equal(selection->size, 1);
    assert_int_equal(selection->rows[0], 7);
    selection_unref(&selection);
    snprintf(name, sizeof name, "{\"field\":\"f%d\",\"eq\":1}", FIELDS_MAX + 3);
    assert_null(store_select(store, 0, name, &code, why, sizeof why));
    assert_string_equal(code, "bad_filter");
    store_destroy(&store);
    help_remove(folder);
}

static void long_values_can_be_asked_for_only(void **state)
{
    (void)state;
    static char meta[RL_FILTER_MAX_STRING + 64];
    char why[512] = "";
    generation_settings_t settings = {
        .collection = "docs", .model = "", .language = "none", .shards = 1};
    const char *folder = help_folder(), *code = NULL;
    generation_writer_t *build = generation_writer_new(folder, &settings, why, sizeof why);
    for (int more = 0; more < 2; more++) {
        snprintf(meta, sizeof meta, "{\"abstract\":\"%0*d\"}", RL_FILTER_MAX_STRING + more, 0);
        rl_passage_t passage = {.doc = "d", .text = "text", .meta = meta};
        assert_true(generation_writer_add(build, 0, &passage, NULL, 0, why, sizeof why) > 0);
    }
    assert_int_equal(generation_writer_finish(&build, 1, NULL, NULL, why, sizeof why), 0);
    store_t *store = store_open(folder, true, why, sizeof why);
    assert_non_null(strstr(store_manifest(store)->fields, "\"abstract\":\"string|text\""));
    selection_t *selection =
        store_select(store, 0, "{\"field\":\"abstract\",\"exists\":true}", &code, why, sizeof why);
    assert_int_equal(selection->size, 2);
    selection_unref(&selection);
    selection = store_select(store, 0, "{\"field\":\"abstract\",\"prefix\":\"00\"}", &code, why,
                             sizeof why);
    assert_int_equal(selection->size, 1);
    selection_unref(&selection);
    store_destroy(&store);
    help_remove(folder);
}

static void records_are_sorted_beyond_memory(void **state)
{
    (void)state;
    enum {
        RECORDS = 40000
    };
    char why[256] = "";
    const char *folder = help_folder();
    sorter_t *sorter = sorter_new(folder, 2 * SORTER_MAX_RECORD);
    uint64_t sum = 0, sorted_sum = 0;
    for (size_t at = 0; at < RECORDS; at++) {
        uint8_t record[64];
        size_t size = 1 + chance(40);
        for (size_t byte = 0; byte < size; byte++)
            sum += record[byte] = (uint8_t)chance(256);
        assert_int_equal(sorter_add(sorter, record, size, why, sizeof why), 0);
    }
    assert_int_equal(sorter_sort(sorter, why, sizeof why), 0);
    uint8_t before[64] = {0};
    size_t before_size = 0, seen = 0, size;
    const uint8_t *record;
    while (sorter_next(sorter, &record, &size, why, sizeof why) == 1) {
        size_t least = size < before_size ? size : before_size;
        int order = memcmp(before, record, least);
        assert_true(order < 0 || (order == 0 && before_size <= size));
        memcpy(before, record, size);
        before_size = size;
        for (size_t byte = 0; byte < size; byte++)
            sorted_sum += record[byte];
        seen++;
    }
    assert_int_equal(seen, RECORDS);
    assert_true(sum == sorted_sum);
    sorter_destroy(&sorter);
    help_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_filters_keep_is_what_looking_at_each_keeps),
        cmocka_unit_test(several_threads_ask_at_a_time),
        cmocka_unit_test(an_index_without_metadata_is_served_and_says_so),
        cmocka_unit_test(a_wrong_filter_is_not_the_file_s_fault),
        cmocka_unit_test(a_damaged_file_breaks_nothing),
        cmocka_unit_test(fields_beyond_the_bound_are_told),
        cmocka_unit_test(long_values_can_be_asked_for_only),
        cmocka_unit_test(records_are_sorted_beyond_memory),
    };
    return cmocka_run_group_tests_name("fields", tests, NULL, NULL);
}
