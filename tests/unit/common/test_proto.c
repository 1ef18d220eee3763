// The message codec: what goes in comes out; what is wrong is refused and never crashes.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto.h"

static char why_not[256];

static rl_buf_t encode(const rl_msg_t *msg)
{
    rl_buf_t out = rl_buf_make(RL_MAX_FRAME);
    assert_int_equal(rl_msg_encode(msg, &out, why_not, sizeof why_not), 0);
    return out;
}

static rl_msg_t *decode(const rl_buf_t *bytes)
{
    rl_msg_t *msg;
    const char *why = "";
    assert_int_equal(rl_msg_decode(bytes->data, bytes->size, &msg, &why), bytes->size);
    assert_non_null(msg);
    return msg;
}

static void a_token_comes_out_as_it_went_in(void **state)
{
    (void)state;
    rl_msg_t in = {
        .type = RL_TOKEN,
        .token = {.task = UINT64_MAX, .seq = 7, .text = " wörd", .cite = 3, .cite_score = 0.25}};
    rl_buf_t bytes = encode(&in);
    rl_msg_t *out = decode(&bytes);
    assert_int_equal(out->type, RL_TOKEN);
    assert_true(out->token.task == UINT64_MAX);
    assert_int_equal(out->token.seq, 7);
    assert_string_equal(out->token.text, " wörd");
    assert_int_equal(out->token.cite, 3);
    assert_true(out->token.cite_score == 0.25);
    rl_msg_free(&out);
    rl_buf_free(&bytes);
}

static void lists_and_vectors_keep_their_order(void **state)
{
    (void)state;
    rl_passage_t hits[] = {{.id = 1, .text = "one", .score = 2.5, .doc = "a"},
                           {.id = 2, .text = "two", .score = -1, .meta = "{\"x\":1}"}};
    rl_msg_t in = {.type = RL_HITS,
                   .hits = {.worker = "w", .task = 1, .bound = 9.5, .hits = hits, .hits_size = 2}};
    rl_buf_t bytes = encode(&in);
    rl_msg_t *out = decode(&bytes);
    assert_int_equal(out->hits.hits_size, 2);
    assert_string_equal(out->hits.hits[0].text, "one");
    assert_string_equal(out->hits.hits[0].meta, "");
    assert_string_equal(out->hits.hits[1].meta, "{\"x\":1}");
    assert_true(out->hits.hits[1].score == -1);
    assert_true(out->hits.bound == 9.5);
    rl_msg_free(&out);
    rl_buf_free(&bytes);

    float vector[] = {0.5f, -0.25f, 1e-6f};
    rl_msg_t search = {.type = RL_SEARCH, .search = {.vector = vector, .vector_size = 3, .k = 10}};
    bytes = encode(&search);
    out = decode(&bytes);
    assert_int_equal(out->search.vector_size, 3);
    assert_memory_equal(out->search.vector, vector, sizeof vector);
    assert_string_equal(out->search.text, "");
    rl_msg_free(&out);
    rl_buf_free(&bytes);
}

static void messages_stand_one_after_the_other_in_a_frame(void **state)
{
    (void)state;
    rl_buf_t bytes = rl_buf_make(RL_MAX_FRAME);
    for (uint64_t seq = 1; seq <= 5; seq++) {
        rl_msg_t in = {.type = RL_TOKEN, .token = {.task = 1, .seq = seq, .text = "x"}};
        assert_int_equal(rl_msg_encode(&in, &bytes, why_not, sizeof why_not), 0);
    }
    size_t at = 0;
    for (uint64_t seq = 1; seq <= 5; seq++) {
        rl_msg_t *out;
        const char *why;
        size_t used = rl_msg_decode(bytes.data + at, bytes.size - at, &out, &why);
        assert_int_not_equal(used, 0);
        assert_int_equal(out->token.seq, seq);
        rl_msg_free(&out);
        at += used;
    }
    assert_int_equal(at, bytes.size);
    rl_buf_free(&bytes);
}

static void refused(const void *data, size_t size)
{
    rl_msg_t *msg;
    const char *why = NULL;
    assert_int_equal(rl_msg_decode(data, size, &msg, &why), 0);
    assert_null(msg);
    assert_non_null(why);
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    rl_passage_t hit = {.id = 1, .text = "text", .doc = "doc"};
    rl_msg_t in = {.type = RL_HITS,
                   .hits = {.worker = "w", .task = 1, .hits = &hit, .hits_size = 1}};
    rl_buf_t bytes = encode(&in);
    for (size_t size = 0; size < bytes.size; size++)
        refused(bytes.data, size);
    rl_buf_free(&bytes);
}

static void every_changed_byte_is_taken_or_refused(void **state)
{
    (void)state;
    rl_turn_t turn = {.role = "user", .content = "hello"};
    rl_msg_t in = {.type = RL_GENERATE,
                   .generate = {.task = 9, .question = "q", .turns = &turn, .turns_size = 1}};
    rl_buf_t bytes = encode(&in);
    for (size_t at = 0; at < bytes.size; at++) {
        char kept = bytes.data[at];
        for (int value = 0; value < 256; value++) {
            rl_msg_t *msg;
            const char *why;
            bytes.data[at] = (char)value;
            if (rl_msg_decode(bytes.data, bytes.size, &msg, &why) > 0)
                rl_msg_free(&msg);
        }
        bytes.data[at] = kept;
    }
    rl_buf_free(&bytes);
}

static void lies_about_sizes_are_refused(void **state)
{
    (void)state;
    refused("\xdd\xff\xff\xff\xff", 5);     // an array of 4 billion
    refused("\xdf\xff\xff\xff\xff\x01", 6); // a map of 4 billion
    refused("\xdb\x7f\xff\xff\xff"
            "abc",
            8);                 // a string of 2 GiB
    refused("\xc1", 1);         // not a type
    refused("\x93\x01\x02", 3); // an array with an element missing
    char deep[100000];
    memset(deep, 0x91, sizeof deep); // arrays in arrays
    deep[sizeof deep - 1] = 0x01;
    refused(deep, sizeof deep);
}

static void wrong_types_and_versions_are_refused(void **state)
{
    (void)state;
    refused("\x01", 1);                                        // no map
    refused("\x82\xa1v\x02\xa1m\x0b", 7);                      // another version
    refused("\x82\xa1v\x01\xa1m\x63", 7);                      // no such message
    refused("\x83\xa1v\x01\xa1m\x0b\xa4text\x05", 13);         // a token's text is a number
    refused("\x83\xa1v\x01\xa1m\x0b\xa4task\xff", 13);         // a negative task
    refused("\x83\xa1v\x01\xa1m\x0b\xa4text\xa2\xff\xfe", 15); // not UTF-8
    refused("\x83\xa1v\x01\xa1m\x0b\xa4text\xa1\0", 14);       // NUL
    refused("\x83\xa1v\x01\xa1m\x04\xa6vector\xc4\x03\x01\x02\x03", 19); // not float32
}

static void assert_refused(const rl_msg_t *msg, int rc, const char *reason)
{
    rl_buf_t out = rl_buf_make(RL_MAX_FRAME);
    rl_buf_adds(&out, "before");
    assert_int_equal(rl_msg_encode(msg, &out, why_not, sizeof why_not), rc);
    assert_non_null(strstr(why_not, reason));
    assert_string_equal(out.data, "before");
    assert_int_equal(out.size, 6);
    assert_false(out.full);
    rl_buf_free(&out);
}

static void vectors_that_are_not_numbers_are_refused(void **state)
{
    (void)state;
    float vector[] = {0.5f, 0.25f};
    rl_msg_t search = {.type = RL_SEARCH, .search = {.vector = vector, .vector_size = 2}};
    rl_buf_t bytes = encode(&search);
    memset(bytes.data + bytes.size - 4, 0xff, 4); // NaN
    refused(bytes.data, bytes.size);
    rl_buf_free(&bytes);
    vector[1] = NAN;
    assert_refused(&search, RL_MSG_REFUSED, "search.vector");
    search.search.vector_size = RL_MAX_DIMENSION + 1;
    assert_refused(&search, RL_MSG_REFUSED, "search.vector has more than 65536");
}

static char *repeat(const char *text, size_t times)
{
    size_t size = strlen(text);
    char *out = calloc(1, size * times + 1);
    assert_non_null(out);
    for (size_t at = 0; at < times; at++)
        memcpy(out + at * size, text, size);
    return out;
}

static void what_is_sent_is_accepted(void **state)
{
    (void)state;
    char *model = repeat("m", 300), *umlauts = repeat("é", 200), *json = repeat("x", 300 << 10);
    rl_msg_t done = {.type = RL_DONE,
                     .done = {.task = 1,
                              .finish = "\xc3\xa9\xc3", // cut in the middle of a character
                              .model = model,
                              .upstream = umlauts,
                              .timings = json}};
    rl_buf_t bytes = encode(&done);
    rl_msg_t *out = decode(&bytes);
    assert_string_equal(out->done.finish, "é\xef\xbf\xbd");
    assert_int_equal(strlen(out->done.model), 256);
    assert_string_equal(out->done.model + 252, "m…");
    assert_int_equal(strlen(out->done.upstream), 255); // 126 times 2 bytes, and the sign
    assert_string_equal(out->done.upstream + 250, "é…");
    assert_string_equal(out->done.timings, "{\"left_out\":\"too long\"}");
    rl_msg_free(&out);
    rl_buf_free(&bytes);

    rl_passage_t hit = {.doc = "caf\xe9.md", .text = "x", .score = NAN};
    rl_msg_t hits = {.type = RL_HITS, .hits = {.task = 1, .hits = &hit, .hits_size = 1}};
    bytes = encode(&hits);
    out = decode(&bytes);
    assert_string_equal(out->hits.hits[0].doc, "caf\xef\xbf\xbd.md");
    assert_true(out->hits.hits[0].score == 0);
    rl_msg_free(&out);
    rl_buf_free(&bytes);
    free(model);
    free(umlauts);
    free(json);
}

static void what_cannot_be_cut_is_refused_by_name(void **state)
{
    (void)state;
    char *name = repeat("n", 300), *long_text = repeat("t", 300 << 10);
    rl_msg_t leave = {.type = RL_LEAVE, .leave = {.worker = name}};
    assert_refused(&leave, RL_MSG_REFUSED, "leave.worker is longer than 256 bytes");
    rl_msg_t token = {.type = RL_TOKEN, .token = {.task = 1, .text = long_text}};
    assert_refused(&token, RL_MSG_REFUSED, "token.text is longer than 262144 bytes");
    rl_passage_t passages[100] = {{0}};
    for (size_t at = 0; at < 100; at++)
        passages[at] = (rl_passage_t){.id = at + 1, .text = long_text + (200 << 10)};
    rl_msg_t generate = {.type = RL_GENERATE,
                         .generate = {.passages = passages, .passages_size = 100}};
    assert_refused(&generate, RL_MSG_TOO_LARGE, "generate is larger");
    free(name);
    free(long_text);
}

static void a_message_with_a_field_that_cannot_be_read_names_its_task(void **state)
{
    (void)state;
    static const char bytes[] = "\x84\xa1v\x01\xa1m\x0b\xa4text\xa1\xff\xa4task\x05";
    rl_msg_t *msg;
    const char *why;
    assert_int_equal(rl_msg_decode_readable(bytes, sizeof bytes - 1, &msg, &why), sizeof bytes - 1);
    assert_int_equal(msg->type, RL_TOKEN);
    assert_non_null(msg->unreadable);
    assert_int_equal(msg->token.task, 5);
    assert_string_equal(msg->token.text, "");
    rl_msg_free(&msg);
    refused(bytes, sizeof bytes - 1);
}

static void unknown_keys_are_passed_over(void **state)
{
    (void)state;
    static const char bytes[] = "\x84\xa1v\x01\xa1m\x09\xa3new\x93\x01\x02\x03\xa4task\x05";
    rl_msg_t *msg;
    const char *why;
    assert_int_equal(rl_msg_decode(bytes, sizeof bytes - 1, &msg, &why), sizeof bytes - 1);
    assert_int_equal(msg->type, RL_CANCEL);
    assert_int_equal(msg->cancel.task, 5);
    rl_msg_free(&msg);
}

static void a_message_too_large_is_not_encoded(void **state)
{
    (void)state;
    rl_buf_t small = rl_buf_make(16);
    rl_msg_t in = {.type = RL_TOKEN, .token = {.text = "longer than sixteen bytes"}};
    assert_int_equal(rl_msg_encode(&in, &small, why_not, sizeof why_not), RL_MSG_TOO_LARGE);
    rl_buf_free(&small);
}

static void a_kept_message_outlives_the_one_it_came_in(void **state)
{
    (void)state;
    rl_msg_t in = {.type = RL_LEAVE, .leave = {.worker = "somebody"}};
    rl_buf_t bytes = encode(&in);
    rl_msg_t *out = decode(&bytes), *kept = rl_msg_move(out);
    rl_msg_free(&out);
    assert_string_equal(kept->leave.worker, "somebody");
    rl_msg_free(&kept);
    rl_buf_free(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_comes_out_as_it_went_in),
        cmocka_unit_test(lists_and_vectors_keep_their_order),
        cmocka_unit_test(messages_stand_one_after_the_other_in_a_frame),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(every_changed_byte_is_taken_or_refused),
        cmocka_unit_test(lies_about_sizes_are_refused),
        cmocka_unit_test(wrong_types_and_versions_are_refused),
        cmocka_unit_test(vectors_that_are_not_numbers_are_refused),
        cmocka_unit_test(what_is_sent_is_accepted),
        cmocka_unit_test(what_cannot_be_cut_is_refused_by_name),
        cmocka_unit_test(a_message_with_a_field_that_cannot_be_read_names_its_task),
        cmocka_unit_test(unknown_keys_are_passed_over),
        cmocka_unit_test(a_message_too_large_is_not_encoded),
        cmocka_unit_test(a_kept_message_outlives_the_one_it_came_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
