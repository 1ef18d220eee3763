// Prompts: the form, the budget, and what is left out first.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "prompt.h"

static rl_passage_t passages[] = {
    {.title = "Cheese",
     .heading = "Cheese > Holes",
     .source = "c.md",
     .text = "First. Second one.",
     .doc = "c",
     .meta = ""},
    {.title = "Bread",
     .heading = "",
     .source = "b.md",
     .text = "Bread rises.",
     .doc = "b",
     .meta = ""},
    {.title = "",
     .heading = "",
     .source = "",
     .text = "Salt \"quoted\"\n\\ done.",
     .doc = "s",
     .meta = ""},
};

static rl_turn_t turns[] = {
    {"user", "What about bread?"},
    {"assistant", "It rises."},
    {"user", "And cheese?"},
    {"assistant", "It has holes."},
};

static rl_generate_t question(void)
{
    return (rl_generate_t){.question = "Why?",
                           .passages = passages,
                           .passages_size = 3,
                           .params = "",
                           .prefix = "",
                           .traceparent = ""};
}

static prompt_template_t *template_of(const char *text)
{
    char file[] = "/tmp/ragline-template-XXXXXX", why[256] = "";
    int fd = mkstemp(file);
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    prompt_template_t *template = prompt_template_new(file, why, sizeof why);
    unlink(file);
    if (!template)
        fail_msg("%s", why);
    return template;
}

static void check_refused(const char *text, const char *words)
{
    char file[] = "/tmp/ragline-template-XXXXXX", why[256] = "";
    int fd = mkstemp(file);
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    assert_null(prompt_template_new(file, why, sizeof why));
    unlink(file);
    assert_ptr_equal(strstr(why, file), why);
    if (!strstr(why, words))
        fail_msg("\"%s\" says nothing of \"%s\"", why, words);
}

// The message at this place, "role: content", in a static buffer.
static const char *message(const prompt_t *prompt, size_t at)
{
    static char out[65536];
    json_error_t error;
    json_t *root = json_loadb(prompt->messages.data, prompt->messages.size, 0, &error);
    assert_non_null(root);
    const json_t *each = json_array_get(root, at);
    snprintf(out, sizeof out, "%s: %s", json_string_value(json_object_get(each, "role")),
             json_string_value(json_object_get(each, "content")));
    json_decref(root);
    return each ? out : NULL;
}

static void the_built_in_form_is_what_small_models_answer(void **state)
{
    (void)state;
    prompt_t prompt;
    rl_generate_t generate = question();
    prompt_template_t *template = prompt_template_new("", NULL, 0);
    assert_int_equal(prompt_build(template, &generate, 1000, 0, &prompt), 0);
    assert_string_equal(message(&prompt, 0),
                        "user: [1] Cheese > Holes\nFirst. Second one.\n\n"
                        "[2] Bread\nBread rises.\n\n"
                        "[3] \nSalt \"quoted\"\n\\ done.\n\n"
                        "Based on the text above, answer the question.\nQuestion: Why?\nAnswer:");
    assert_null(message(&prompt, 1));
    assert_int_equal(prompt.passages_used, 3);
    assert_int_equal(prompt.passages_dropped, 0);
    prompt_free(&prompt);
    prompt_template_destroy(&template);
    assert_null(template);
}

static void it_is_the_same_byte_by_byte_up_to_the_question(void **state)
{
    (void)state;
    prompt_t one, two;
    rl_generate_t generate = question();
    prompt_template_t *template = prompt_template_new("", NULL, 0);
    assert_int_equal(prompt_build(template, &generate, 1000, 0, &one), 0);
    generate.question = "Something else entirely?";
    assert_int_equal(prompt_build(template, &generate, 1000, 0, &two), 0);
    const char *end = strstr(one.messages.data, "Question:");
    assert_memory_equal(one.messages.data, two.messages.data, (size_t)(end - one.messages.data));
    prompt_free(&one);
    prompt_free(&two);
    prompt_template_destroy(&template);
}

static void the_last_passages_are_dropped_first(void **state)
{
    (void)state;
    rl_generate_t generate = question();
    prompt_template_t *template = prompt_template_new("", NULL, 0);
    size_t used = 3;
    for (size_t budget = 400; budget > 45; budget--) {
        prompt_t prompt;
        assert_int_equal(prompt_build(template, &generate, budget, 0, &prompt), 0);
        assert_true(prompt.tokens <= budget);
        assert_true(prompt.passages_used <= used);
        assert_int_equal(prompt.passages_used + prompt.passages_dropped, 3);
        used = prompt.passages_used;
        assert_true((strstr(prompt.messages.data, "[1]") != NULL) == (used > 0));
        assert_true((strstr(prompt.messages.data, "[2]") != NULL) == (used > 1));
        assert_true((strstr(prompt.messages.data, "[3]") != NULL) == (used > 2));
        prompt_free(&prompt);
    }
    assert_true(used < 2);
    prompt_template_destroy(&template);
}

static void a_first_passage_that_is_too_long_ends_at_a_sentence(void **state)
{
    (void)state;
    char text[8192] = "";
    for (int at = 0; at < 100; at++)
        strcat(text, "This sentence is one of very many here. ");
    rl_passage_t one = {
        .title = "Long", .heading = "", .source = "", .text = text, .doc = "", .meta = ""};
    rl_generate_t generate = question();
    prompt_t prompt;
    generate.passages = &one;
    generate.passages_size = 1;
    prompt_template_t *template = prompt_template_new("", NULL, 0);
    assert_int_equal(prompt_build(template, &generate, 300, 0, &prompt), 0);
    assert_int_equal(prompt.passages_used, 1);
    assert_true(prompt.shortened);
    assert_true(prompt.tokens <= 300);
    assert_true(prompt.tokens > 200); // not thrown away more than needed
    assert_non_null(strstr(prompt.messages.data, "many here.\\n\\nBased on"));
    prompt_free(&prompt);
    prompt_template_destroy(&template);
}

static void a_question_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    rl_generate_t generate = question();
    prompt_t prompt;
    char text[4000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    generate.question = text;
    prompt_template_t *template = prompt_template_new("", NULL, 0);
    assert_int_equal(prompt_build(template, &generate, 500, 0, &prompt), -1);
    assert_true(prompt.tokens > 500);
    prompt_free(&prompt);
    prompt_template_destroy(&template);
}

static void the_newest_turns_are_kept(void **state)
{
    (void)state;
    rl_generate_t generate = question();
    prompt_t prompt;
    generate.turns = turns;
    generate.turns_size = 4;
    prompt_template_t *template = prompt_template_new("", NULL, 0);
    assert_int_equal(prompt_build(template, &generate, 1000, 0, &prompt), 0);
    assert_non_null(strstr(message(&prompt, 0),
                           "Earlier in this conversation:\nUser: What about bread?\nAssistant: It "
                           "rises.\nUser: And cheese?\nAssistant: It has holes.\n\nBased on"));
    assert_int_equal(prompt.turns_used, 4);
    prompt_free(&prompt);
    bool all_dropped = false;
    for (size_t budget = 300; budget > 40; budget--) {
        assert_int_equal(prompt_build(template, &generate, budget, 0, &prompt), 0);
        assert_int_equal(prompt.turns_used + prompt.turns_dropped, 4);
        assert_true(prompt.turns_used % 2 == 0); // the conversation starts with the user,
        if (prompt.turns_used > 0)               // and its end is there
            assert_non_null(strstr(message(&prompt, 0), "It has holes."));
        all_dropped = prompt.turns_used == 0;
        prompt_free(&prompt);
    }
    assert_true(all_dropped);
    prompt_template_destroy(&template);
}

static void turns_can_be_messages_of_their_own(void **state)
{
    (void)state;
    rl_generate_t generate = question();
    prompt_t prompt;
    rl_turn_t all[] = {{"system", "Be polite."}, turns[2], turns[3]};
    generate.turns = all;
    generate.turns_size = 3;
    generate.prefix = "So far";
    prompt_template_t *template =
        template_of("# comment\n[passage]\n({n}) {text} {source}\n[system]\nUse "
                    "this:\n{passages}\n[turns]\n[user]\n{question} {x\n");
    assert_int_equal(prompt_build(template, &generate, 1000, 0, &prompt), 0);
    assert_string_equal(message(&prompt, 0),
                        "system: Be polite.\n\nUse this:\n(1) First. Second one. c.md\n\n(2) Bread "
                        "rises. b.md\n\n(3) Salt \"quoted\"\n\\ done. ");
    assert_string_equal(message(&prompt, 1), "user: And cheese?");
    assert_string_equal(message(&prompt, 2), "assistant: It has holes.");
    assert_string_equal(message(&prompt, 3), "user: Why? {x");
    assert_string_equal(message(&prompt, 4), "assistant: So far");
    assert_null(message(&prompt, 5));
    prompt_free(&prompt);
    prompt_template_destroy(&template);
}

static void a_client_s_system_turn_is_kept_without_a_system_section(void **state)
{
    (void)state;
    rl_generate_t generate = question();
    prompt_t prompt;
    rl_turn_t all[] = {{"developer", "Be polite."}};
    generate.turns = all;
    generate.turns_size = 1;
    prompt_template_t *template = prompt_template_new("", NULL, 0);
    assert_int_equal(prompt_build(template, &generate, 1000, 0, &prompt), 0);
    assert_string_equal(message(&prompt, 0), "system: Be polite.");
    assert_int_equal(prompt.turns_dropped, 0);
    prompt_free(&prompt);
    prompt_template_destroy(&template);
}

static void a_wrong_template_is_named_by_line(void **state)
{
    (void)state;
    char why[256];
    check_refused("[passage]\n{text}\n[user]\n{passages}\n\n{answer}\n", ":6: ");
    check_refused("[passage]\n{text}\n[user]\n{passages}\n\n{answer}\n", "answer");
    check_refused("[passage]\n{question}\n[user]\n{passages} {question}\n", "question");
    check_refused("[user]\n{passages} {question}\n", "[passage]");
    check_refused("[passage]\n{text}\n[user]\n{question}\n", "{passages}");
    check_refused("hello\n[user]\n{question}\n", ":1: ");
    check_refused("[passage]\n{text}\n[robot]\n{question}\n", "robot");
    check_refused("[passage]\n{text}\n[turns]\nhere\n[user]\n{passages}{question}\n", "[turns]");
    check_refused("", "{passages}");
    assert_null(prompt_template_new("/nowhere/at/all", why, sizeof why));
    assert_non_null(strstr(why, "/nowhere/at/all: No such file"));
}

static void tokens_are_estimated_on_the_safe_side(void **state)
{
    (void)state;
    assert_int_equal(prompt_tokens("", 0), 0);
    // counted with SmolLM2's tokenizer: 10, 7 and 19
    const char *plain = "The quick brown fox jumps over the lazy dog.";
    assert_in_range(prompt_tokens(plain, strlen(plain)), 10, 16);
    const char *code = "CURLOPT_POSTFIELDS";
    assert_in_range(prompt_tokens(code, strlen(code)), 6, 12);
    const char *digits = "2024-11-22";
    assert_in_range(prompt_tokens(digits, strlen(digits)), 10, 12);
}

// ---- less to read -----------------------------------------------------------------------

static rl_passage_t long_passages[] = {
    {.title = "Pump",
     .heading = "",
     .source = "p.md",
     .text = "The Kestrel pump was built in a small town. It is painted blue and weighs much. "
             "Its makers are proud of it and show it at fairs. "
             "The working pressure of the Kestrel pump is 42 bar. "
             "A label on its side says so as well. Many other pumps have no label at all. "
             "Visitors often ask about the colour. Nobody knows who chose that colour.",
     .doc = "p",
     .meta = ""},
    {.title = "Copy",
     .heading = "",
     .source = "q.md",
     .text = "The working pressure of the Kestrel pump is 42 bar. "
             "A label on its side says so as well. Many other pumps have no label at all.",
     .doc = "q",
     .meta = ""},
    {.title = "Valve",
     .heading = "",
     .source = "v.md",
     .text = "The Osprey valve closes within nine seconds. Its seat is made of bronze. "
             "It stands on a shelf in the store. Spare parts are in the drawer below it. "
             "Pressure tests of the valve are made every year by the staff.",
     .doc = "v",
     .meta = ""},
};

static rl_generate_t pressure_question(void)
{
    rl_generate_t generate = question();
    generate.question = "What is the working pressure of the Kestrel pump?";
    generate.passages = long_passages;
    generate.passages_size = 3;
    return generate;
}

static void what_is_read_in_time_stays_as_it_is(void **state)
{
    (void)state;
    char why[256];
    prompt_template_t *template = prompt_template_new("", why, sizeof why);
    rl_generate_t generate = pressure_question();
    prompt_t plain, quick;
    assert_int_equal(prompt_build(template, &generate, 2000, 0, &plain), 0);
    assert_int_equal(prompt_build(template, &generate, 2000, 2000, &quick), 0);
    assert_string_equal(plain.messages.data, quick.messages.data);
    assert_int_equal(quick.tokens_trimmed, 0);
    assert_int_equal(quick.repeated + quick.cut, 0);
    prompt_free(&plain);
    prompt_free(&quick);
    prompt_template_destroy(&template);
}

static void what_repeats_is_left_out_first(void **state)
{
    (void)state;
    char why[256];
    prompt_template_t *template = prompt_template_new("", why, sizeof why);
    rl_generate_t generate = pressure_question();
    prompt_t plain, prompt;
    assert_int_equal(prompt_build(template, &generate, 2000, 0, &plain), 0);
    assert_int_equal(prompt_build(template, &generate, 2000, plain.tokens - 20, &prompt), 0);
    assert_int_equal(prompt.repeated, 1);
    assert_int_equal(prompt.cut, 0);
    assert_int_equal(prompt.passages_used, 3);
    assert_int_equal(prompt.left_out, 1);
    assert_int_equal(prompt.passages_dropped, 0);
    assert_null(strstr(prompt.messages.data, "Copy"));
    assert_non_null(strstr(prompt.messages.data, "[1] Pump"));
    assert_non_null(strstr(prompt.messages.data, "[3] Valve")); // numbers are those of the hits
    assert_non_null(strstr(prompt.messages.data, "who chose that colour."));
    assert_true(prompt.tokens_trimmed >= 20);
    prompt_free(&plain);
    prompt_free(&prompt);
    prompt_template_destroy(&template);
}

static void then_passages_are_cut_to_what_matches(void **state)
{
    (void)state;
    char why[256];
    prompt_template_t *template = prompt_template_new("", why, sizeof why);
    rl_generate_t generate = pressure_question();
    prompt_t plain, prompt, again;
    assert_int_equal(prompt_build(template, &generate, 2000, 0, &plain), 0);
    for (size_t quick = 1; quick < plain.tokens; quick++) {
        assert_int_equal(prompt_build(template, &generate, 2000, quick, &prompt), 0);
        // what answers is never cut off
        assert_non_null(
            strstr(prompt.messages.data, "The working pressure of the Kestrel pump is 42 bar."));
        assert_true(prompt.tokens_trimmed > 0);
        assert_true(prompt.tokens <= quick || prompt.passages_used == 1);
        assert_int_equal(prompt_build(template, &generate, 2000, quick, &again), 0);
        assert_string_equal(prompt.messages.data, again.messages.data);
        prompt_free(&prompt);
        prompt_free(&again);
    }
    assert_int_equal(prompt_build(template, &generate, 2000, 150, &prompt), 0);
    assert_non_null(strstr(prompt.messages.data, "… "));
    assert_null(strstr(prompt.messages.data, "small town"));
    assert_true(prompt.cut >= 1);
    prompt_free(&prompt);
    prompt_free(&plain);
    prompt_template_destroy(&template);
}

static void the_client_s_system_text_stands_before_the_passages(void **state)
{
    (void)state;
    static rl_turn_t system_turn[] = {{"system", "Speak like a sailor."}};
    prompt_template_t *template =
        template_of("[passage]\n{text}\n[system]\nBe brief.\n\n{passages}\n"
                    "[user]\n{question}\n");
    rl_generate_t generate = question();
    generate.turns = system_turn;
    generate.turns_size = 1;
    prompt_t prompt;
    assert_int_equal(prompt_build(template, &generate, 1000, 0, &prompt), 0);
    assert_string_equal(message(&prompt, 0),
                        "system: Speak like a sailor.\n\nBe brief.\n\nFirst. Second one.\n\n"
                        "Bread rises.\n\nSalt \"quoted\"\n\\ done.");
    assert_string_equal(message(&prompt, 1), "user: Why?");
    prompt_free(&prompt);
    prompt_template_destroy(&template);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_built_in_form_is_what_small_models_answer),
        cmocka_unit_test(it_is_the_same_byte_by_byte_up_to_the_question),
        cmocka_unit_test(the_last_passages_are_dropped_first),
        cmocka_unit_test(a_first_passage_that_is_too_long_ends_at_a_sentence),
        cmocka_unit_test(a_question_that_does_not_fit_is_refused),
        cmocka_unit_test(the_newest_turns_are_kept),
        cmocka_unit_test(turns_can_be_messages_of_their_own),
        cmocka_unit_test(a_client_s_system_turn_is_kept_without_a_system_section),
        cmocka_unit_test(a_wrong_template_is_named_by_line),
        cmocka_unit_test(tokens_are_estimated_on_the_safe_side),
        cmocka_unit_test(what_is_read_in_time_stays_as_it_is),
        cmocka_unit_test(what_repeats_is_left_out_first),
        cmocka_unit_test(then_passages_are_cut_to_what_matches),
        cmocka_unit_test(the_client_s_system_text_stands_before_the_passages),
    };
    return cmocka_run_group_tests_name("prompt", tests, NULL, NULL);
}
