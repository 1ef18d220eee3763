// Hexadecimal digits, and random ones.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hex.h"

static void bytes_become_digits(void **state)
{
    char out[9];
    (void)state;
    rl_hex(out, "\x00\x0f\xa5\xff", 4);
    assert_string_equal(out, "000fa5ff");
    rl_hex(out, "", 0);
    assert_string_equal(out, "");
}

static void random_ones_differ(void **state)
{
    char before[33] = "", now[33];
    (void)state;
    for (unsigned at = 0; at < 100; at++) { // more than are drawn at once
        rl_random_hex(now, 16);
        assert_int_equal(strspn(now, "0123456789abcdef"), 32);
        assert_string_not_equal(now, before);
        memcpy(before, now, sizeof now);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_become_digits),
        cmocka_unit_test(random_ones_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
