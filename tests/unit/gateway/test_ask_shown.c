// ragline-ask: the timeline as bars, the table of workers, errors in words.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <locale.h>

#include "bars.h"
#include "table.h"
#include "trouble.h"

static const style_t unicode = {.columns = 56, .unicode = true};
static const style_t plain = {.columns = 56};

static void expect_bar(double start, double length, bool with_unicode, const char *wanted)
{
    char bar[4 * 8 + 8];
    bars_draw(bar, 8, start, length, with_unicode);
    assert_string_equal(bar, wanted);
}

static void bars_stay_in_their_columns(void **state)
{
    (void)state;
    expect_bar(0, 1, true, "████████");
    expect_bar(0.5, 0.3125, true, "    ██▌ ");
    expect_bar(0, 0, true, "▏       ");
    expect_bar(1, 1, true, "       █");
    expect_bar(-3, 9, true, "████████");
    expect_bar(0.25, 0.5, false, "  ####  ");
    expect_bar(0.999, 0, false, "       #");
}

static char *timeline(const style_t *style, const char *json)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    json_t *timings = json_loads(json, 0, NULL);
    assert_non_null(timings);
    bars_write(out, style, timings);
    fclose(out);
    json_decref(timings);
    return text;
}

static void the_timeline_has_steps_and_what_went_on_below(void **state)
{
    (void)state;
    char *text = timeline(
        &plain, "{\"total_ms\":2000,\"first_token_ms\":500,\"states\":["
                "{\"state\":\"searching\",\"start_ms\":0,\"ms\":500},"
                "{\"state\":\"streaming\",\"start_ms\":500,\"ms\":1500}],\"spans\":["
                "{\"stage\":\"search\",\"source\":\"docs/0/dense\",\"start_ms\":1,\"ms\":4.25},"
                "{\"stage\":\"prefill\\u001b[2J\",\"start_ms\":100,\"ms\":400}]}");
    assert_string_equal(text, "searching              #####                    500 ms\n"
                              "streaming                   ################    1.50 s\n"
                              "  docs/0/dense         #                        4.2 ms\n"
                              "  prefill\uFFFD[2J           ####                    400 ms\n"
                              "2.00 s in all, first word after 500 ms\n");
    free(text);
}

static void a_timeline_of_nonsense_is_left_out(void **state)
{
    (void)state;
    static const char *const cases[] = {"{}", "{\"total_ms\":\"x\"}", "{\"total_ms\":-1}", "[]"};
    for (size_t at = 0; at < sizeof cases / sizeof *cases; at++) {
        char *text = timeline(&unicode, cases[at]);
        assert_string_equal(text, "");
        free(text);
    }
    char *text = timeline(&unicode, "{\"total_ms\":1,\"states\":[1,{}],\"spans\":{\"a\":1}}");
    assert_non_null(strstr(text, "1.0 ms in all\n"));
    free(text);
}

static char *workers(const char *json)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    json_t *list = json_loads(json, 0, NULL);
    assert_non_null(list);
    table_workers(out, &plain, list);
    fclose(out);
    json_decref(list);
    return text;
}

static void workers_are_a_line_each(void **state)
{
    (void)state;
    char *text = workers(
        "[{\"worker\":\"r-1/0/dense\",\"kind\":\"dense\",\"collection\":\"docs\",\"shard\":0,"
        "\"generation\":\"g-000001\",\"state\":\"ready\",\"outstanding\":2,\"latency_ms\":1.5,"
        "\"served\":12,\"last_seen_ms\":120},"
        "{\"worker\":\"g-1\",\"kind\":\"generator\",\"model\":\"m\\u001b[1m\",\"state\":\"ready\","
        "\"outstanding\":0,\"slots\":4,\"latency_ms\":0,\"served\":0,\"last_seen_ms\":90}]");
    assert_string_equal(
        text,
        "WORKER       KIND       SERVES           STATE  LOAD  LATENCY  ANSWERED  SEEN\n"
        "r-1/0/dense  dense      docs/0 g-000001  ready  2     1.5 ms   12        120 ms ago\n"
        "g-1          generator  m\uFFFD[1m            ready  0/4   0 ms     0         90 ms ago\n");
    free(text);
    text = workers("[]");
    assert_string_equal(text, "no workers\n");
    free(text);
}

static void expect_trouble(const rl_fetch_result_t *result, const char *wanted)
{
    rl_buf_t out = rl_buf_make(4096);
    trouble_of_fetch(&out, result, "http://gateway");
    assert_string_equal(out.data, wanted);
    rl_buf_free(&out);
}

static rl_fetch_result_t refusal(long status, const char *body)
{
    return (rl_fetch_result_t){.ok = true,
                               .status = status,
                               .retry_after_s = -1,
                               .error = "",
                               .type = "application/json",
                               .body = body,
                               .body_size = strlen(body)};
}

static void errors_say_what_to_do(void **state)
{
    (void)state;
    rl_fetch_result_t result = refusal(401, "{\"error\":{\"message\":\"no key\"}}");
    expect_trouble(&result, "no key (status 401)\n"
                            "Give one with --ask-key-file FILE or RAGLINE_ASK_KEY.");
    result = refusal(429, "");
    result.retry_after_s = 7;
    expect_trouble(&result, "too many questions at the moment (status 429)\nTry again in 7 s.");
    result = refusal(418, "<html>\033[31m");
    expect_trouble(&result, "the gateway could not answer (status 418)");
    result = refusal(400, "{\"error\":{\"message\":\"k\\u001b[2J is \\nwrong\"}}");
    expect_trouble(&result, "k\uFFFD[2J is wrong (status 400)");
}

static void a_gateway_that_is_not_there_is_named(void **state)
{
    (void)state;
    rl_fetch_result_t result = refusal(0, "");
    result.ok = false;
    result.refused = true;
    result.error = "connection refused";
    expect_trouble(&result, "cannot reach the gateway at http://gateway: connection refused\n"
                            "Is ragline-gateway running there? --ask-url names another one.");
    result.status = 200;
    result.error = "closed";
    expect_trouble(&result, "the connection was lost before the answer was complete: closed");
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bars_stay_in_their_columns),
        cmocka_unit_test(the_timeline_has_steps_and_what_went_on_below),
        cmocka_unit_test(a_timeline_of_nonsense_is_left_out),
        cmocka_unit_test(workers_are_a_line_each),
        cmocka_unit_test(errors_say_what_to_do),
        cmocka_unit_test(a_gateway_that_is_not_there_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
