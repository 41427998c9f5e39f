/* Times and sizes: what is read, what is refused and why, and that what is shown reads back. */
#include "conf/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void test_times(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum units_result result;
        int64_t ms;
    } cases[] = {
        {"500ms", UNITS_OK, 500},
        {"30s", UNITS_OK, 30000},
        {"5m", UNITS_OK, 300000},
        {"1h", UNITS_OK, 3600000},
        {"7d", UNITS_OK, 604800000},
        {"0", UNITS_OK, 0},
        {"0s", UNITS_OK, 0},
        {"30", UNITS_NO_UNIT, 0},
        {"99999999999999999999", UNITS_NO_UNIT, 0},
        {"", UNITS_MALFORMED, 0},
        {"s", UNITS_MALFORMED, 0},
        {"-1s", UNITS_MALFORMED, 0},
        {"1.5s", UNITS_MALFORMED, 0},
        {"1 s", UNITS_MALFORMED, 0},
        {"1S", UNITS_MALFORMED, 0},
        {"1m30s", UNITS_MALFORMED, 0},
        {"1sec", UNITS_MALFORMED, 0},
        {"99999999999999999999s", UNITS_TOO_LARGE, 0},
        {"9223372036854775807d", UNITS_TOO_LARGE, 0},
    };
    for (size_t i = 0; i < weir_count(cases); i++) {
        int64_t ms = -1;
        if (units_parse_time(str_from(cases[i].text), &ms) != cases[i].result ||
            ms != (cases[i].result == UNITS_OK ? cases[i].ms : -1))
            fail_msg("\"%s\" gave %lld ms", cases[i].text, (long long)ms);
    }
}

static void test_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum units_result result;
        uint64_t bytes;
    } cases[] = {
        {"512B", UNITS_OK, 512},           {"64KiB", UNITS_OK, 65536},
        {"512MiB", UNITS_OK, 536870912},   {"2GiB", UNITS_OK, 2147483648},
        {"1TiB", UNITS_OK, 1099511627776}, {"0", UNITS_OK, 0},
        {"1024", UNITS_NO_UNIT, 0},        {"1KB", UNITS_MALFORMED, 0},
        {"1K", UNITS_MALFORMED, 0},        {"1kib", UNITS_MALFORMED, 0},
        {"KiB", UNITS_MALFORMED, 0},       {"8388608TiB", UNITS_TOO_LARGE, 0},
    };
    for (size_t i = 0; i < weir_count(cases); i++) {
        uint64_t bytes = 77;
        if (units_parse_size(str_from(cases[i].text), &bytes) != cases[i].result ||
            bytes != (cases[i].result == UNITS_OK ? cases[i].bytes : 77))
            fail_msg("\"%s\" gave %llu bytes", cases[i].text, (unsigned long long)bytes);
    }
}

static void test_shown_reads_back(void **state)
{
    (void)state;
    char text[UNITS_BYTES];
    assert_string_equal(units_format_time(text, 0), "0s");
    assert_string_equal(units_format_time(text, 1500), "1500ms");
    assert_string_equal(units_format_time(text, 60000), "1m");
    assert_string_equal(units_format_size(text, 65536), "64KiB");
    assert_string_equal(units_format_size(text, 65537), "65537B");
    for (uint64_t value = 1; value < (1ull << 50); value = value * 3 + 1) {
        int64_t ms;
        uint64_t bytes;
        assert_int_equal(units_parse_time(str_from(units_format_time(text, (int64_t)value)), &ms),
                         UNITS_OK);
        assert_true(ms == (int64_t)value);
        assert_int_equal(units_parse_size(str_from(units_format_size(text, value)), &bytes),
                         UNITS_OK);
        assert_true(bytes == value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_shown_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
