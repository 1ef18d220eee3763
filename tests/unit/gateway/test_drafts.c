// drafts: what is found for a question that is being typed goes to the question that is sent, once,
// and to nobody else; sessions are bounded.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "drafts.h"
#include "passage_set_help.h"

typedef struct set_up {
    drafts_t *drafts;
    keys_t *keys;
    const keys_caller_t *caller;
} set_up_t;

static set_up_t it;

static int set_up(void **state)
{
    char why[256];
    (void)state;
    it.drafts = drafts_new();
    it.keys = keys_new(NULL, why, sizeof why);
    it.caller = keys_anonymous(it.keys);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    drafts_destroy(&it.drafts);
    keys_unref(&it.caller);
    keys_destroy(&it.keys);
    return it.drafts != NULL;
}

// Requests are but names here: nothing looks into them.
static struct request *request(int number)
{
    static char names[8];
    return (struct request *)&names[number];
}

static bool find(const char *session, const char *text, const char *rest, const char *passage)
{
    passage_set_t *set = help_passage_set(passage);
    bool settled = drafts_found(it.drafts, it.caller, session, text, rest, set);
    passage_set_unref(&set);
    return settled;
}

// A draft from its beginning to its end; whether it found the same as the one before.
static bool draft(const char *session, const char *text, const char *passage)
{
    assert_null(drafts_begin(it.drafts, it.caller, session, request(0)));
    assert_int_equal(drafts_running(it.drafts), 1);
    bool settled = find(session, text, "rest", passage);
    drafts_end(it.drafts, it.caller, session, request(0));
    assert_int_equal(drafts_running(it.drafts), 0);
    return settled;
}

// The passage that a question gets, "" if none.
static const char *take(const char *session, const char *text, const char *rest)
{
    static char passage[64];
    char reader[64] = "";
    passage_set_t *set =
        drafts_take(it.drafts, it.caller, session, text, rest, reader, sizeof reader);
    snprintf(passage, sizeof passage, "%s%s%s", set ? set->passages[0].passage->text : "",
             *reader ? " read by " : "", reader);
    passage_set_unref(&set);
    return passage;
}

static void a_question_takes_what_its_draft_found(void **state)
{
    (void)state;
    assert_false(draft("one", "how is the", "first"));
    assert_true(draft("one", "how is the pump", "first"));
    assert_false(draft("one", "how is the pump primed", "second"));
    drafts_prefilled_by(it.drafts, it.caller, "one", "generator-1");
    assert_string_equal(take("one", " How is the PUMP, primed?", "rest"),
                        "second read by generator-1");
    assert_string_equal(take("one", "how is the pump primed", "rest"), ""); // once
    const drafts_counts_t *counts = drafts_counts(it.drafts);
    assert_int_equal(counts->taken, 3);
    assert_int_equal(counts->used, 1);
    assert_int_equal(counts->wasted, 2);
    assert_int_equal(counts->missed, 1);
}

static void another_question_gets_nothing_of_it(void **state)
{
    (void)state;
    draft("one", "how is the pump primed", "passage");
    assert_string_equal(take("two", "how is the pump primed", "rest"), "");
    assert_string_equal(take("one", "how is the pump primed", "another rest"), "");
    assert_string_equal(take("one", "how is the pump primed", "rest"), ""); // it was over
    draft("one", "how is the pump primed", "passage");
    assert_string_equal(take("one", "how is the pump", "rest"), "");
    draft("one", "größe", "passage");
    assert_string_equal(take("one", "GRÖßE", "rest"), ""); // only ASCII letters are folded
    assert_int_equal(drafts_counts(it.drafts)->used, 0);
}

static void marks_that_are_part_of_a_term_count(void **state)
{
    (void)state;
    static const char *const others[][2] = {{"what is C", "what is C++?"},
                                            {"what does o do", "what does -o do"},
                                            {"the file a.b", "the file a b"},
                                            {"port 80:81", "port 80: 81"},
                                            {"is 1", "is .1"},
                                            {"a..b", "a.b"}};
    static const char *const same[][2] = {{"what is C++", "What is c++ ?!"},
                                          {"first, then second", "first then second..."},
                                          {"...", ""},
                                          {"a.b.", "A.B"},
                                          {"a..b", "A..B"}};
    for (size_t at = 0; at < sizeof others / sizeof *others; at++) {
        draft("one", others[at][0], "passage");
        assert_string_equal(take("one", others[at][1], "rest"), "");
    }
    for (size_t at = 0; at < sizeof same / sizeof *same; at++) {
        draft("one", same[at][0], "passage");
        assert_string_equal(take("one", same[at][1], "rest"), "passage");
    }
}

static void callers_have_sessions_of_their_own(void **state)
{
    char path[] = "/tmp/ragline-drafts-XXXXXX", why[256];
    (void)state;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *out = fdopen(fd, "w");
    // SHA-256 of "alpha"
    fputs("ann sha256:8ed3f6ad685b959ead7022518e1af76cd816f8e8ec7ccdda1ed4018e8f2223f8\n", out);
    fclose(out);
    keys_t *keys = keys_new(path, why, sizeof why);
    unlink(path);
    assert_non_null(keys);
    const keys_caller_t *ann = keys_find(keys, "alpha");
    char reader[64] = "";
    draft("one", "pump", "passage");
    assert_null(drafts_take(it.drafts, ann, "one", "pump", "rest", reader, sizeof reader));
    assert_string_equal(take("one", "pump", "rest"), "passage");
    keys_unref(&ann);
    keys_destroy(&keys);
}

static void a_later_draft_takes_the_place_of_one_at_work(void **state)
{
    (void)state;
    assert_null(drafts_begin(it.drafts, it.caller, "one", request(1)));
    assert_ptr_equal(drafts_begin(it.drafts, it.caller, "one", request(2)), request(1));
    assert_int_equal(drafts_running(it.drafts), 2);
    drafts_end(it.drafts, it.caller, "one", request(1)); // which is not the session's any more
    assert_ptr_equal(drafts_begin(it.drafts, it.caller, "one", request(3)), request(2));
    drafts_end(it.drafts, it.caller, "one", request(2));
    // the question comes while the draft is at work: what that one finds has come too late
    assert_string_equal(take("one", "pump", "rest"), "");
    assert_false(find("one", "pump", "rest", "passage"));
    drafts_end(it.drafts, it.caller, "one", request(3));
    assert_int_equal(drafts_running(it.drafts), 0);
    assert_null(drafts_begin(it.drafts, it.caller, "one", request(4)));
    drafts_end(it.drafts, it.caller, "one", request(4));
}

static void sessions_are_bounded_by_their_number(void **state)
{
    (void)state;
    drafts_begin(it.drafts, it.caller, "first", request(1));
    for (int at = 0; at < 20000; at++) {
        char session[16];
        snprintf(session, sizeof session, "%d", at);
        drafts_begin(it.drafts, it.caller, session, request(0));
        drafts_end(it.drafts, it.caller, session, request(0));
    }
    // forgotten while it was at work
    assert_false(find("first", "pump", "rest", "passage"));
    drafts_end(it.drafts, it.caller, "first", request(1));
    assert_string_equal(take("first", "pump", "rest"), "");
    assert_int_equal(drafts_running(it.drafts), 0);
}

static void sessions_are_bounded_by_what_they_hold(void **state)
{
    (void)state;
    enum {
        LARGE = 4 << 20
    };
    char *text = malloc(LARGE + 1);
    assert_non_null(text);
    memset(text, 'x', LARGE);
    text[LARGE] = '\0';
    for (int at = 0; at < 20; at++) {
        char session[16];
        snprintf(session, sizeof session, "%d", at);
        draft(session, "pump", text);
    }
    free(text);
    assert_string_equal(take("0", "pump", "rest"), "");
    assert_int_equal(strlen(take("19", "pump", "rest")), 63);
    uint64_t gone = drafts_counts(it.drafts)->wasted;
    assert_in_range(gone, 5, 10); // 64 MiB hold fewer than 16
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_question_takes_what_its_draft_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_question_gets_nothing_of_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(marks_that_are_part_of_a_term_count, set_up, tear_down),
        cmocka_unit_test_setup_teardown(callers_have_sessions_of_their_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_later_draft_takes_the_place_of_one_at_work, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(sessions_are_bounded_by_their_number, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sessions_are_bounded_by_what_they_hold, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("drafts", tests, NULL, NULL);
}
