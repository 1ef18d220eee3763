// store: what is written comes back, and whatever is damaged, half done or somebody else's is told
// apart and named.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "files.h"
#include "retriever_help.h"

static const generation_settings_t lexical_settings = {
    .collection = "docs", .model = "", .language = "english", .factory = "", .shards = 1};

static store_t *open_well(const char *folder)
{
    char why[1024] = "";
    store_t *store = store_open(folder, true, why, sizeof why);
    assert_string_equal(why, "");
    assert_non_null(store);
    return store;
}

// Opening must fail and say all of these.
static void assert_refused(const char *folder, const char *first, const char *second)
{
    char why[1024] = "";
    store_t *store = store_open(folder, true, why, sizeof why);
    assert_null(store);
    if (!strstr(why, first) || !strstr(why, second))
        fail_msg("\"%s\" says neither \"%s\" nor \"%s\"", why, first, second);
}

static void the_checksum_is_xxh64(void **state)
{
    (void)state;
    // from the specification and the reference implementation
    const struct {
        const char *text;
        uint64_t checksum;
    } rows[] = {{"", 0xEF46DB3751D8E999u},
                {"a", 0xD24EC4F1A98C6E5Bu},
                {"abc", 0x44BC2CF5AD770999u},
                {"Nobody inspects the spammish repetition", 0xFBCEA83C8A378BF1u}};
    char path[FILE_PATH_MAX];
    assert_int_equal(path_format(path, "%s/file", help_folder()), 0);
    for (size_t at = 0; at < sizeof rows / sizeof *rows; at++) {
        uint64_t size = 99, checksum = 0;
        assert_int_equal(file_write(path, rows[at].text, strlen(rows[at].text)), 0);
        assert_int_equal(file_checksum(path, NULL, &size, &checksum), 0);
        assert_int_equal(size, strlen(rows[at].text));
        assert_true(checksum == rows[at].checksum);
    }
}

static void what_is_written_comes_back(void **state)
{
    (void)state;
    const char *folder = help_folder();
    help_build(folder, 7, 2, HELP_DIMENSION, "", NULL, 0);
    store_t *store = open_well(folder);
    const manifest_t *manifest = store_manifest(store);
    assert_string_equal(manifest->collection, "docs");
    assert_string_equal(manifest->generation, "g-000001");
    assert_string_equal(manifest->model, "test-model");
    assert_string_equal(manifest->factory, "Flat");
    assert_string_equal(manifest->build, "{\"chunk_words\":180}");
    assert_int_equal(manifest->dimension, HELP_DIMENSION);
    assert_int_equal(manifest->passages, 7);
    assert_int_equal(manifest->shards, 2);
    assert_int_equal(manifest->shard_passages[0], 4);
    assert_int_equal(manifest->shard_passages[1], 3);

    uint64_t ids[] = {3, 1};
    rl_passage_t passages[2];
    void *memory = NULL;
    char why[512];
    assert_int_equal(store_passages(store, 1, ids, 2, passages, &memory, why, sizeof why), 0);
    assert_int_equal(passages[0].id, 3);
    assert_string_equal(passages[0].doc, "doc-5");
    assert_string_equal(passages[0].text, "passage number 5");
    assert_string_equal(passages[0].title, "A title");
    assert_string_equal(passages[0].heading, "One > Two");
    assert_string_equal(passages[0].source, "file.md");
    assert_string_equal(passages[0].meta, "{\"year\":2024}");
    assert_int_equal(passages[0].start, 50);
    assert_int_equal(passages[0].end, 55);
    assert_true(passages[0].hash == store_text_hash("passage  number\n5", 17));
    assert_string_equal(passages[1].doc, "doc-1");
    free(memory);
    assert_int_equal(
        store_passages(store, 1, (uint64_t[]){4}, 1, passages, &memory, why, sizeof why), -1);
    assert_null(memory);
    assert_non_null(strstr(why, "there is no passage 4"));
    assert_int_equal(store_passages(store, 2, ids, 1, passages, &memory, why, sizeof why), -1);
    store_destroy(&store);
    help_remove(folder);
}

static void a_collection_without_vectors_or_without_passages_is_one(void **state)
{
    (void)state;
    const char *folder = help_folder();
    help_build(folder, 3, 1, 0, "", NULL, 0);
    store_t *store = open_well(folder);
    assert_int_equal(store_manifest(store)->dimension, 0);
    assert_string_equal(store_manifest(store)->model, "");
    assert_false(help_exists(folder, "g-000001/shard-0/vectors.faiss"));
    store_destroy(&store);
    help_build(folder, 0, 3, 0, "", NULL, 0);
    store = open_well(folder);
    assert_int_equal(store_manifest(store)->passages, 0);
    assert_int_equal(store_manifest(store)->shards, 3);
    store_destroy(&store);
    help_remove(folder);
}

static void generations_follow_and_only_the_previous_one_is_kept(void **state)
{
    (void)state;
    const char *folder = help_folder();
    char name[STORE_NAME], why[512];
    for (int each = 1; each <= 3; each++)
        help_build(folder, 2, 1, 0, "", NULL, 0);
    assert_int_equal(store_current(folder, name, why, sizeof why), 0);
    assert_string_equal(name, "g-000003");
    assert_false(help_exists(folder, "g-000001"));
    assert_true(help_exists(folder, "g-000002"));
    help_remove(folder);
}

// Adds a passage and dies, as if killed.
static void build_and_die(const char *folder)
{
    char why[512];
    pid_t pid = fork();
    if (pid == 0) {
        generation_writer_t *build =
            generation_writer_new(folder, &lexical_settings, why, sizeof why);
        rl_passage_t passage = {.doc = "d", .text = "half done"};
        if (build && generation_writer_add(build, 0, &passage, NULL, 0, why, sizeof why) == 1)
            _exit(7);
        _exit(1);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 7);
}

static void an_interrupted_build_leaves_the_old_one_in_force(void **state)
{
    (void)state;
    const char *folder = help_folder();
    help_build(folder, 2, 1, 0, "", NULL, 0);
    build_and_die(folder);
    assert_true(help_exists(folder, "g-000002.tmp"));
    store_t *store = open_well(folder);
    assert_string_equal(store_manifest(store)->generation, "g-000001");
    store_destroy(&store);
    // the next build is not kept off by the dead one's lock, and cleans up after it
    help_build(folder, 5, 1, 0, "", NULL, 0);
    store = open_well(folder);
    assert_int_equal(store_manifest(store)->passages, 5);
    assert_false(help_exists(folder, "g-000002.tmp"));
    store_destroy(&store);
    help_remove(folder);
}

static void a_build_that_is_given_up_leaves_the_old_one_in_force(void **state)
{
    (void)state;
    const char *folder = help_folder();
    char why[512] = "";
    help_build(folder, 2, 1, 0, "", NULL, 0);
    generation_writer_t *build = generation_writer_new(folder, &lexical_settings, why, sizeof why);
    assert_string_equal(generation_writer_name(build), "g-000002");
    generation_writer_abandon(&build);
    assert_null(build);
    assert_false(help_exists(folder, "g-000002.tmp"));
    store_t *store = open_well(folder);
    assert_string_equal(store_manifest(store)->generation, "g-000001");
    store_destroy(&store);
    help_remove(folder);
}

static void a_second_builder_is_refused(void **state)
{
    (void)state;
    const char *folder = help_folder();
    char why[512] = "", pid[64];
    generation_writer_t *first = generation_writer_new(folder, &lexical_settings, why, sizeof why);
    assert_non_null(first);
    assert_null(generation_writer_new(folder, &lexical_settings, why, sizeof why));
    snprintf(pid, sizeof pid, "another builder (process %ld)", (long)getpid());
    assert_non_null(strstr(why, pid));
    assert_true(help_exists(folder, "g-000001.tmp"));
    generation_writer_abandon(&first);
    first = generation_writer_new(folder, &lexical_settings, why, sizeof why);
    assert_non_null(first);
    generation_writer_abandon(&first);
    help_remove(folder);
}

static void wrong_settings_are_named(void **state)
{
    (void)state;
    const char *folder = help_folder();
    char why[2048] = "";
    generation_settings_t settings = lexical_settings;
    settings.collection = "no/slash";
    assert_null(generation_writer_new(folder, &settings, why, sizeof why));
    assert_non_null(strstr(why, "no/slash"));
    settings = lexical_settings;
    settings.language = "klingon";
    assert_null(generation_writer_new(folder, &settings, why, sizeof why));
    assert_non_null(strstr(why, "klingon"));
    assert_non_null(strstr(why, "english"));
    settings = lexical_settings;
    settings.shards = 0;
    assert_null(generation_writer_new(folder, &settings, why, sizeof why));
    settings = lexical_settings;
    settings.build = "[1]";
    assert_null(generation_writer_new(folder, &settings, why, sizeof why));
    assert_null(generation_writer_new("/nonexistent/inner", &lexical_settings, why, sizeof why));
    assert_non_null(strstr(why, "/nonexistent/inner"));
    help_remove(folder);
}

static void a_factory_that_faiss_does_not_know_is_named(void **state)
{
    (void)state;
    const char *folder = help_folder();
    char why[2048] = "";
    generation_settings_t settings = lexical_settings;
    settings.model = "m";
    settings.factory = "Nonsense99";
    generation_writer_t *build = generation_writer_new(folder, &settings, why, sizeof why);
    rl_passage_t passage = {.doc = "d", .text = "text"};
    float vector[2] = {1, 2};
    assert_int_equal(generation_writer_add(build, 0, &passage, vector, 2, why, sizeof why), 0);
    assert_non_null(strstr(why, "Nonsense99"));
    generation_writer_abandon(&build);
    assert_false(help_exists(folder, "CURRENT"));
    assert_false(help_exists(folder, "g-000001.tmp"));
    help_remove(folder);
}

static void wrong_passages_are_refused_and_the_build_goes_on(void **state)
{
    (void)state;
    const char *folder = help_folder();
    char why[512] = "";
    generation_settings_t settings = lexical_settings;
    settings.model = "m";
    generation_writer_t *build = generation_writer_new(folder, &settings, why, sizeof why);
    rl_passage_t good = {.doc = "d", .text = "text"}, bad = good;
    float vector[3] = {1, 2, 3}, zeros[3] = {0}, nan_vector[3] = {1, 0.f / 0.f, 1};
    bad.text = "not \xff UTF-8";
    assert_int_equal(generation_writer_add(build, 0, &bad, vector, 3, why, sizeof why), 0);
    assert_non_null(strstr(why, "text is not UTF-8"));
    assert_int_equal(generation_writer_add(build, 0, &good, zeros, 3, why, sizeof why),
                     1); // found by its words alone
    assert_int_equal(generation_writer_add(build, 0, &good, nan_vector, 2, why, sizeof why), 0);
    assert_int_equal(generation_writer_add(build, 0, &good, NULL, 0, why, sizeof why), 0);
    assert_int_equal(generation_writer_add(build, 0, &good, vector, 3, why, sizeof why), 2);
    assert_int_equal(generation_writer_add(build, 0, &good, vector, 2, why, sizeof why), 0);
    assert_non_null(strstr(why, "2 components, the others' have 3"));
    assert_int_equal(generation_writer_add(build, 0, &good, vector, 3, why, sizeof why), 3);
    assert_int_equal(generation_writer_finish(&build, 3, NULL, NULL, why, sizeof why), 0);
    store_t *store = open_well(folder);
    assert_int_equal(store_manifest(store)->passages, 3);
    store_destroy(&store);
    help_remove(folder);
}

static void what_is_missing_or_damaged_is_named(void **state)
{
    (void)state;
    const char *folder = help_folder();
    assert_refused("/nonexistent", "/nonexistent", "ragline-index");
    assert_refused(folder, "CURRENT", "there is no index in this folder");
    file_write(help_path(folder, "CURRENT"), "g-000009\n", 9);
    assert_refused(folder, "CURRENT: names g-000009", "No such file");
    file_write(help_path(folder, "CURRENT"), "../../etc\n", 10);
    assert_refused(folder, "CURRENT", "does not name a generation");
    file_write(help_path(folder, "CURRENT"), "", 0);
    assert_refused(folder, "CURRENT", "does not name a generation");
    help_remove(folder);
}

static void every_file_that_is_cut_or_changed_is_named(void **state)
{
    (void)state;
    static const char *const names[] = {"vectors.faiss", "passages.bin", "passages.idx",
                                        "text/postlist.glass"};
    char name[128];
    for (size_t at = 0; at < sizeof names / sizeof *names; at++) {
        const char *folder = help_folder();
        help_build(folder, 20, 2, HELP_DIMENSION, "", NULL, 0);
        snprintf(name, sizeof name, "g-000001/shard-1/%s", names[at]);
        const char *path = help_path(folder, name);
        help_spoil(path, help_size(path) / 2, "\x01\x7f\x02");
        assert_refused(folder, names[at], "checksum");
        char why[512];
        store_t *store = store_open(folder, false, why, sizeof why);
        if (store) { // sizes are right: only who asks for shard 1's checksums sees it
            assert_int_equal(store_verify(store, 0, NULL, why, sizeof why), 0);
            assert_int_equal(store_verify(store, 1, NULL, why, sizeof why), -1);
            assert_int_equal(store_verify(store, 2, NULL, why, sizeof why), -1);
        }
        store_destroy(&store);
        help_cut(path, help_size(path) - 5);
        assert_refused(folder, names[at], "cut short");
        unlink(path);
        assert_refused(folder, names[at], "No such file");
        help_remove(folder);
    }
}

static void a_manifest_that_is_cut_changed_or_newer_is_named(void **state)
{
    (void)state;
    const char *folder = help_folder();
    help_build(folder, 4, 1, HELP_DIMENSION, "", NULL, 0);
    char path[512];
    snprintf(path, sizeof path, "%s", help_path(folder, "g-000001/manifest.json"));
    size_t size = 0;
    char *text = file_read(path, 1 << 20, &size);
    assert_non_null(text);
    for (size_t cut = 0; cut < size - 2; cut += 7) {
        file_write(path, text, cut);
        assert_refused(folder, "manifest.json", "ragline-index");
    }
    static const char *const changes[][3] = {
        {"\"format\": 1", "\"format\": 2", "format version 2, but this program reads version 1"},
        {"\"dimension\": 16", "\"dimension\": -1", "dimension"},
        {"\"passages\": 4,", "\"passages\": 5,", "passages"},
        {"\"metric\": \"ip\"", "\"metric\": \"l2\"", "metric"},
        {"passages.bin", "../assages.b", "name"},
        {"g-000001", "g-000002", "generation g-000002"},
        {"\"english\"", "\"klingon\"", "klingon"},
    };
    for (size_t each = 0; each < sizeof changes / sizeof *changes; each++) {
        char *at = strstr(text, changes[each][0]);
        assert_non_null(at);
        char *changed = calloc(size + 16, 1);
        sprintf(changed, "%.*s%s%s", (int)(at - text), text, changes[each][1],
                at + strlen(changes[each][0]));
        file_write(path, changed, strlen(changed));
        assert_refused(folder, "manifest.json", changes[each][2]);
        free(changed);
    }
    free(text);
    help_remove(folder);
}

typedef struct seen {
    bool text, vectors, checksums, sync;
} seen_t;

static void see(void *arg, const char *stage, uint64_t shard, uint64_t done, uint64_t total)
{
    seen_t *seen = arg;
    assert_true(done <= total);
    assert_true(shard < 2);
    seen->text |= strcmp(stage, "text") == 0;
    seen->vectors |= strcmp(stage, "vectors") == 0;
    seen->checksums |= strcmp(stage, "checksums") == 0;
    seen->sync |= strcmp(stage, "sync") == 0;
}

static void a_build_says_how_far_it_is(void **state)
{
    (void)state;
    const char *folder = help_folder();
    char why[512];
    generation_settings_t settings = lexical_settings;
    settings.model = "m";
    settings.shards = 2;
    generation_writer_t *build = generation_writer_new(folder, &settings, why, sizeof why);
    rl_passage_t passage = {.doc = "d", .text = "text"};
    float vector[2] = {1, 2};
    assert_int_equal(generation_writer_add(build, 1, &passage, vector, 2, why, sizeof why), 1);
    seen_t seen = {0};
    assert_int_equal(generation_writer_finish(&build, 1, see, &seen, why, sizeof why), 0);
    assert_true(seen.text && seen.vectors && seen.checksums && seen.sync);
    help_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_checksum_is_xxh64),
        cmocka_unit_test(what_is_written_comes_back),
        cmocka_unit_test(a_collection_without_vectors_or_without_passages_is_one),
        cmocka_unit_test(generations_follow_and_only_the_previous_one_is_kept),
        cmocka_unit_test(an_interrupted_build_leaves_the_old_one_in_force),
        cmocka_unit_test(a_build_that_is_given_up_leaves_the_old_one_in_force),
        cmocka_unit_test(a_second_builder_is_refused),
        cmocka_unit_test(wrong_settings_are_named),
        cmocka_unit_test(a_factory_that_faiss_does_not_know_is_named),
        cmocka_unit_test(wrong_passages_are_refused_and_the_build_goes_on),
        cmocka_unit_test(what_is_missing_or_damaged_is_named),
        cmocka_unit_test(every_file_that_is_cut_or_changed_is_named),
        cmocka_unit_test(a_manifest_that_is_cut_changed_or_newer_is_named),
        cmocka_unit_test(a_build_says_how_far_it_is),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
