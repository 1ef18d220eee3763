// Measures, sentences and passages; properties of all passages of random documents.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "chunker.h"
#include "index_help.h"
#include "text_length.h"
#include "utf8.h"

typedef struct piece {
    size_t start, end;
    char heading[CHUNK_MAX_HEADING];
} piece_t;

typedef struct pieces {
    piece_t *list;
    size_t size, room;
} pieces_t;

static int take(void *arg, const chunk_t *chunk)
{
    pieces_t *self = arg;
    if (self->size == self->room) {
        self->room = self->room ? self->room * 2 : 64;
        self->list = realloc(self->list, self->room * sizeof *self->list);
        assert_non_null(self->list);
    }
    piece_t *piece = &self->list[self->size++];
    piece->start = chunk->start;
    piece->end = chunk->end;
    snprintf(piece->heading, sizeof piece->heading, "%s", chunk->heading);
    return 0;
}

static pieces_t cut(const document_t *doc, const chunk_rules_t *rules)
{
    pieces_t pieces = {0};
    assert_int_equal(chunk_document(doc, rules, take, &pieces), 0);
    return pieces;
}

static void words_of_all_scripts(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t words;
    } rows[] = {
        {"", 0},           {"  \n", 0},        {"one two", 2},  {"zmq_setsockopt(3) it's", 2},
        {"7.88.1 a-b", 2}, {"über Straße", 2}, {"黑豹队的", 2}, {"日本語 and 中", 3},
        {"ภาษาไทย", 2},    {"Привет мир", 2},  {"--- !!!", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(text_length_words(rows[i].text, strlen(rows[i].text)), rows[i].words);
}

static void tokens_are_estimated(void **state)
{
    (void)state;
    assert_int_equal(text_length_tokens("", 0), 0);
    assert_int_equal(text_length_tokens("the cat sat.", 12), 4);
    assert_int_equal(text_length_tokens("黑豹队", 9), 3);
    assert_in_range(text_length_tokens("zmq_setsockopt", 14), 3, 8);
    // the parts of a text have about as many tokens as the whole, wherever it is cut
    for (unsigned seed = 0; seed < 50; seed++) {
        char *text = help_random_text(seed, 400);
        size_t size = strlen(text), all = text_length_tokens(text, size);
        for (size_t at = 0; at <= size; at++)
            if (rl_utf8_valid(text, at))
                assert_true(text_length_tokens(text, at) +
                                text_length_tokens(text + at, size - at) + 2 >=
                            all);
        free(text);
    }
}

static void what_fits(void **state)
{
    (void)state;
    assert_int_equal(text_length_fit("one two three", 13, 2), 7);
    assert_int_equal(text_length_fit("one", 3, 100), 3);
    assert_int_equal(text_length_fit("黑豹队", 9, 0), 3); // never nothing
    for (unsigned seed = 0; seed < 50; seed++) {
        char *text = help_random_text(seed, 300);
        size_t size = strlen(text);
        for (size_t most = 1; most < 60; most += 7) {
            size_t fits = text_length_fit(text, size, most);
            assert_true(fits > 0 && fits <= size);
            assert_true(rl_utf8_valid(text, fits));
            size_t first = 0;
            rl_utf8_next(text, size, &first);
            assert_true(text_length_tokens(text, fits) <= most || fits == first);
        }
        free(text);
    }
}

static void sections_are_not_mixed_but_small_ones_join(void **state)
{
    (void)state;
    char text[20000] = "# Guide\n\nintro of the guide\n\n## Long\n\n";
    for (int i = 0; i < 80; i++)
        strcat(text, "This is one of the sentences. ");
    strcat(text, "\n\n## Options\n\n### -a\n\nalpha\n\n### -b\n\nbeta\n\n## Other\n\n");
    for (int i = 0; i < 20; i++)
        strcat(text, "These are other sentences here. ");
    document_t doc;
    help_read(&format_markdown, text, &doc);
    chunk_rules_t rules = {.words = 100, .overlap = 20, .max_tokens = 256, .prefix = ""};
    pieces_t pieces = cut(&doc, &rules);
    bool options = false;
    for (size_t i = 0; i < pieces.size; i++) {
        piece_t *piece = &pieces.list[i];
        char *words = strndup(doc.text.data + piece->start, piece->end - piece->start);
        if (strstr(words, "alpha")) {
            options = true;
            assert_string_equal(piece->heading, "Options");
            assert_string_equal(words, "-a\n\nalpha\n\n-b\n\nbeta");
        }
        if (strstr(words, "one of the sentences"))
            assert_string_equal(piece->heading, "Long");
        if (strstr(words, "other sentences"))
            assert_string_equal(piece->heading, "Other");
        free(words);
    }
    assert_true(options);
    free(pieces.list);
    document_free(&doc);
}

static void code_is_cut_at_line_ends(void **state)
{
    (void)state;
    char text[20000] = "# Code\n\n```\n";
    for (int i = 0; i < 200; i++)
        sprintf(text + strlen(text), "call_number (%d, argument. Another);\n", i);
    strcat(text, "```\n");
    document_t doc;
    help_read(&format_markdown, text, &doc);
    chunk_rules_t rules = {.words = 60, .overlap = 20, .max_tokens = 256, .prefix = ""};
    pieces_t pieces = cut(&doc, &rules);
    assert_true(pieces.size > 5);
    for (size_t i = 0; i < pieces.size; i++) {
        assert_memory_equal(doc.text.data + pieces.list[i].start, "call_number", 11);
        assert_memory_equal(doc.text.data + pieces.list[i].end - 2, ");", 2);
    }
    free(pieces.list);
    document_free(&doc);
}

static void what_is_embedded_never_exceeds_the_model(void **state)
{
    (void)state;
    chunk_rules_t rules = {.words = 200, .max_tokens = 64, .prefix = "passage: "};
    char title[600] = "";
    for (int i = 0; i < 99; i++)
        strcat(title, "title ");
    rl_buf_t out = rl_buf_make(10000);
    assert_int_equal(chunk_embedded(&rules, title, "A > B", "text", 4, &out), 0);
    assert_memory_equal(out.data, "passage: title title", 20);
    assert_non_null(strstr(out.data, "\nA > B\ntext"));
    assert_true(text_length_tokens(out.data, out.size) < 40);
    assert_int_equal(chunk_embedded(&rules, "", "", "text", 4, &out), 0);
    assert_string_equal(out.data, "passage: text");
    rl_buf_free(&out);
}

// What must hold of any passages of any document.
static void check(const document_t *doc, const chunk_rules_t *rules)
{
    pieces_t pieces = cut(doc, rules);
    const char *text = doc->text.data;
    char *covered = calloc(1, doc->text.size + 1);
    rl_buf_t embedded = rl_buf_make(1 << 20);
    size_t length = rules->tokens ? rules->tokens : rules->words;
    for (size_t i = 0; i < pieces.size; i++) {
        const piece_t *piece = &pieces.list[i];
        size_t size = piece->end - piece->start;
        assert_true(piece->start < piece->end && piece->end <= doc->text.size);
        assert_true(rl_utf8_valid(text + piece->start, size));
        assert_true(rl_utf8_valid(piece->heading, strlen(piece->heading)));
        if (i > 0) { // forward, and always something new
            assert_true(piece->start >= pieces.list[i - 1].start);
            assert_true(piece->end > pieces.list[i - 1].end);
        }
        chunk_embedded(rules, doc->title, piece->heading, text + piece->start, size, &embedded);
        assert_true(text_length_tokens(embedded.data, embedded.size) + 2 <= rules->max_tokens);
        size_t measured = rules->tokens ? text_length_tokens(text + piece->start, size)
                                        : text_length_words(text + piece->start, size);
        assert_true(measured <= 2 * length + length / 6 + 32);
        memset(covered + piece->start, 1, size);
    }
    for (size_t b = 0; b < doc->blocks_size; b++)
        for (size_t i = doc->blocks[b].start; i < doc->blocks[b].end; i++)
            if (doc->blocks[b].kind != BLOCK_HEADING && !covered[i] && !strchr(" \t\n", text[i]))
                fail_msg("byte %zu of \"%s\" is in no passage", i, text);
    rl_buf_free(&embedded);
    free(covered);
    free(pieces.list);
}

static void passages_of_random_documents(void **state)
{
    (void)state;
    static const chunk_rules_t rules[] = {
        {.words = 180, .overlap = 30, .max_tokens = 256, .prefix = ""},
        {.words = 20, .overlap = 10, .max_tokens = 64, .prefix = "passage: "},
        {.words = 50, .overlap = 0, .max_tokens = 512, .prefix = ""},
        {.words = 180, .tokens = 100, .overlap = 40, .max_tokens = 128, .prefix = ""},
        {.words = 2000, .overlap = 1000, .max_tokens = CHUNK_LEAST, .prefix = ""},
    };
    for (unsigned seed = 0; seed < 300; seed++) {
        char *text = help_random_text(seed, 200 + seed * 31);
        for (size_t r = 0; r < sizeof rules / sizeof *rules; r++) {
            const format_t *readers[] = {&format_markdown, &format_plain};
            for (size_t k = 0; k < 2; k++) {
                document_t doc;
                help_read(readers[k], text, &doc);
                check(&doc, &rules[r]);
                document_free(&doc);
            }
        }
        free(text);
    }
}

static void texts_without_an_end(void **state)
{
    (void)state;
    chunk_rules_t rules = {.words = 100, .overlap = 30, .max_tokens = 256, .prefix = ""};
    static const char *const units[] = {"x", "word ", "黑", "ก", "a.b.", "1", "- ", "🙂", "`"};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        rl_buf_t text = rl_buf_make(1 << 20);
        while (text.size < 50000)
            rl_buf_adds(&text, units[i]);
        document_t doc;
        help_read(&format_plain, text.data, &doc);
        check(&doc, &rules);
        document_free(&doc);
        rl_buf_free(&text);
    }
}

static void passages_overlap_by_whole_sentences(void **state)
{
    (void)state;
    char text[20000] = "";
    for (int i = 0; i < 100; i++)
        sprintf(text + strlen(text), "Sentence number %d is here. ", i);
    document_t doc;
    help_read(&format_plain, text, &doc);
    chunk_rules_t rules = {.words = 50, .overlap = 12, .max_tokens = 256, .prefix = ""};
    pieces_t pieces = cut(&doc, &rules);
    assert_in_range(pieces.size, 10, 20);
    for (size_t i = 1; i < pieces.size; i++) {
        assert_true(pieces.list[i].start < pieces.list[i - 1].end);
        assert_memory_equal(doc.text.data + pieces.list[i].start, "Sentence", 8);
        size_t both = pieces.list[i - 1].end - pieces.list[i].start;
        assert_int_equal(text_length_words(doc.text.data + pieces.list[i].start, both), 10);
    }
    free(pieces.list);
    rules.overlap = 0;
    pieces = cut(&doc, &rules);
    for (size_t i = 1; i < pieces.size; i++)
        assert_true(pieces.list[i].start > pieces.list[i - 1].end);
    free(pieces.list);
    document_free(&doc);
}

static int stop_at_once(void *arg, const chunk_t *chunk)
{
    (void)chunk;
    ++*(int *)arg;
    return 42;
}

static void it_stops_when_told_and_makes_nothing_of_nothing(void **state)
{
    (void)state;
    document_t doc;
    int calls = 0;
    chunk_rules_t rules = {.words = 20, .max_tokens = 64, .prefix = ""};
    help_read(&format_plain, "a b c\n\nd e f", &doc);
    assert_int_equal(chunk_document(&doc, &rules, stop_at_once, &calls), 42);
    assert_int_equal(calls, 1);
    document_free(&doc);
    help_read(&format_markdown, "# only\n\n## headings\n", &doc);
    assert_int_equal(chunk_document(&doc, &rules, stop_at_once, &calls), 0);
    assert_int_equal(calls, 1);
    document_free(&doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_of_all_scripts),
        cmocka_unit_test(tokens_are_estimated),
        cmocka_unit_test(what_fits),
        cmocka_unit_test(sections_are_not_mixed_but_small_ones_join),
        cmocka_unit_test(code_is_cut_at_line_ends),
        cmocka_unit_test(what_is_embedded_never_exceeds_the_model),
        cmocka_unit_test(passages_of_random_documents),
        cmocka_unit_test(texts_without_an_end),
        cmocka_unit_test(passages_overlap_by_whole_sentences),
        cmocka_unit_test(it_stops_when_told_and_makes_nothing_of_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
