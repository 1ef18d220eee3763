// retriever_help: temporary folders and small collections for the retriever's tests.
#include "retriever_help.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "files.h"

const char *help_folder(void)
{
    static char rooms[64][256];
    static size_t next;
    char *room = rooms[next++ % 64];
    const char *tmp = getenv("TMPDIR");
    snprintf(room, sizeof rooms[0], "%s/ragline-test-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(room));
    return room;
}

void help_remove(const char *folder)
{
    assert_int_equal(folder_remove(folder), 0);
}

void help_vector(uint64_t number, size_t dimension, float *out)
{
    uint64_t state = (number + 1) * 0x9E3779B97F4A7C15u;
    for (size_t at = 0; at < dimension; at++) {
        state ^= state >> 12, state ^= state << 25, state ^= state >> 27; // xorshift64*
        out[at] = (float)((double)(state * 0x2545F4914F6CDD1Du >> 40) / (1 << 23) - 1);
    }
}

void help_build(const char *folder, size_t passages, uint64_t shards, size_t dimension,
                const char *factory, const char *const *texts, size_t texts_size)
{
    char why[1024] = "", text[64], doc[32];
    generation_settings_t settings = {.collection = "docs",
                                      .model = dimension ? "test-model" : "",
                                      .language = "english",
                                      .factory = factory,
                                      .shards = shards,
                                      .build = "{\"chunk_words\":180}"};
    float *vector = calloc(dimension + 1, sizeof *vector);
    generation_writer_t *build = generation_writer_new(folder, &settings, why, sizeof why);
    assert_string_equal(why, "");
    assert_non_null(build);
    for (size_t at = 0; at < passages; at++) {
        snprintf(text, sizeof text, "passage number %zu", at);
        snprintf(doc, sizeof doc, "doc-%zu", at);
        rl_passage_t passage = {.doc = doc,
                                .title = "A title",
                                .heading = "One > Two",
                                .source = "file.md",
                                .text = texts ? texts[at % texts_size] : text,
                                .start = at * 10,
                                .end = at * 10 + 5,
                                .meta = "{\"year\":2024}"};
        help_vector(at, dimension, vector);
        uint64_t id = generation_writer_add(build, at % shards, &passage, dimension ? vector : NULL,
                                            dimension, why, sizeof why);
        assert_string_equal(why, "");
        assert_int_equal(id, at / shards + 1);
    }
    free(vector);
    if (generation_writer_finish(&build, passages, NULL, NULL, why, sizeof why) != 0)
        fail_msg("%s", why);
    assert_null(build);
}

void help_spoil(const char *path, long offset, const char *bytes)
{
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, strlen(bytes), offset), strlen(bytes));
    close(fd);
}

void help_cut(const char *path, long size)
{
    assert_int_equal(truncate(path, size), 0);
}

long help_size(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return (long)st.st_size;
}

const char *help_path(const char *folder, const char *name)
{
    static char rooms[8][512];
    static size_t next;
    char *room = rooms[next++ % 8];
    snprintf(room, sizeof rooms[0], "%s/%s", folder, name);
    return room;
}

bool help_exists(const char *folder, const char *name)
{
    return access(help_path(folder, name), F_OK) == 0;
}
