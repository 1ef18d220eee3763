// What an embedding server answers, and what servers say in errors.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "embedding.h"
#include "server_error.h"

static void replies_are_read_and_checked(void **state)
{
    (void)state;
    static const char *const wrong[][2] = {
        {"", "JSON"},
        {"{\"data\":[", "JSON"},
        {"{\"data\":{}}", "data"},
        {"{\"data\":[{\"embedding\":[1]}]}", "1 vectors for 2"},
        {"{\"data\":[{\"embedding\":[1]},{\"embedding\":[1,2]}]}", "of 1 and of 2"},
        {"{\"data\":[{\"embedding\":[1]},{\"embedding\":[]}]}", "missing"},
        {"{\"data\":[{\"embedding\":[1]},{}]}", "missing"},
        {"{\"data\":[{\"embedding\":[1]},7]}", "missing"},
        {"{\"data\":[{\"embedding\":[1]},{\"embedding\":[0]}]}", "no length"},
        {"{\"data\":[{\"embedding\":[1]},{\"embedding\":[\"1\"]}]}", "finite"},
        {"{\"data\":[{\"embedding\":[1]},{\"embedding\":[1e300]}]}", "finite"},
        {"{\"data\":[{\"embedding\":[1]},{\"embedding\":[NaN]}]}", "JSON"},
        {"{\"data\":[{\"index\":1,\"embedding\":[1]},{\"index\":1,\"embedding\":[1]}]}", "index"},
        {"{\"data\":[{\"index\":-1,\"embedding\":[1]},{\"index\":1,\"embedding\":[1]}]}", "index"},
    };
    rl_embedding_reply_t reply;
    char why[256];
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        why[0] = '\0';
        const char *body = wrong[i][0];
        assert_int_equal(rl_embedding_read_reply(body, strlen(body), 2, &reply, why, sizeof why),
                         -1);
        if (!strstr(why, wrong[i][1]))
            fail_msg("%s: \"%s\" does not speak of %s", body, why, wrong[i][1]);
    }
    const char *right = "{\"data\":[{\"embedding\":[3,4]},{\"embedding\":[0,-2]}]}";
    assert_int_equal(rl_embedding_read_reply(right, strlen(right), 2, &reply, why, sizeof why), 0);
    assert_int_equal(reply.dimension, 2);
    assert_true(fabsf(reply.vectors[0] - 0.6f) < 1e-6f && fabsf(reply.vectors[3] + 1) < 1e-6f);
    free(reply.vectors);
}

static void errors_are_read_in_their_forms(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"{\"error\":{\"message\":\"bad\\nkey\"}}", "bad key"},
        {"{\"error\":\"text\"}", "text"},
        {"{\"message\":\"m\"}", "m"},
        {"{\"detail\":\"d\"}", "d"},
        {"[{\"error\":{\"message\":\"m\"}}]", "m"},
        {"plain\nmore", "plain more"},
        {"", ""},
        {"tab\there", "tab here"},
        {"{\"error\":{\"message\":\"two\\nlines\"}}", "two lines"},
        {"<html>\xff", "<html>\xef\xbf\xbd"},
    };
    char out[16];
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        rl_server_error_text(pairs[i][0], strlen(pairs[i][0]), out, sizeof out);
        assert_string_equal(out, pairs[i][1]);
    }
    rl_server_error_text("ääääääääääää", 24, out, sizeof out);
    assert_string_equal(out, "äääääää"); // 15 bytes hold seven
    assert_true(rl_server_error_is_too_long("This model's maximum context length is 512 tokens"));
    assert_false(rl_server_error_is_too_long("invalid request"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_are_read_and_checked),
        cmocka_unit_test(errors_are_read_in_their_forms),
    };
    return cmocka_run_group_tests_name("embedding", tests, NULL, NULL);
}
