/* base/date.c: three forms read, one written, held against the C library's calendar. */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define NOW_S INT64_C(1767225600) /* 2026-01-01 */

/* In memory of exactly that size, so that a sanitizer sees a read past the end. */
static bool parse_at(const char *text, int64_t now_s, int64_t *wall_s)
{
    size_t len = strlen(text);
    char *exact = malloc(len ? len : 1);
    memcpy(exact, text, len);
    bool good = date_parse(str_of(exact, len), now_s, wall_s);
    free(exact);
    return good;
}

static void assert_date_at(const char *text, int64_t now_s, int64_t expected_s)
{
    int64_t wall_s;
    if (!parse_at(text, now_s, &wall_s))
        fail_msg("'%s' is refused", text);
    if (wall_s != expected_s)
        fail_msg("'%s' is %lld", text, (long long)wall_s);
}

static void assert_date(const char *text, int64_t expected_s)
{
    assert_date_at(text, NOW_S, expected_s);
}

static void test_three_forms(void **state)
{
    (void)state;
    assert_date("Sun, 06 Nov 1994 08:49:37 GMT", 784111777);
    assert_date("Sunday, 06-Nov-94 08:49:37 GMT", 784111777);
    assert_date("Sun Nov  6 08:49:37 1994", 784111777);
    assert_date("Sun Nov 06 08:49:37 1994", 784111777);
    assert_date("sUN, 06 nOV 1994 08:49:37 gmt", 784111777);
    assert_date("Thu, 01 Jan 1970 00:00:00 GMT", 0);
    assert_date("Wed, 31 Dec 1969 23:59:59 GMT", -1);
    assert_date("Thu, 29 Feb 2024 00:00:00 GMT", 1709164800);
    assert_date("Tue, 29 Feb 2000 00:00:00 GMT", 951782400);
    assert_date("Tue, 19 Jan 2038 03:14:08 GMT", INT64_C(2147483648));
    assert_date("Fri, 31 Dec 9999 23:59:59 GMT", INT64_C(253402300799));
    assert_date("Sat, 31 Dec 2016 23:59:60 GMT", 1483228800); /* a leap second */
}

static void test_malformed(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "0",
        "-1",
        "Sun",
        "Sun,",
        "784111777",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 ",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun, 06 Nov 1994 08:49:37 GMTX",
        " Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun 06 Nov 1994 08:49:37 GMT",
        "Sun, 06-Nov-1994 08:49:37 GMT",
        "Son, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Now 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 29 Feb 2023 08:49:37 GMT",
        "Sun, 29 Feb 1900 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 06 Nov 1994 08-49-37 GMT",
        "Sun, 06 Nov 19x4 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sunday, 29-Feb-23 08:49:37 GMT",
        "Sunday 06-Nov-94 08:49:37 GMT",
        "Sun, 06-Nov-94 08:49:37 GMT",
        "Sunday, 06 Nov 1994 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sun Nov  6 08:49:37 94",
        "Sun Nov  6 08:49:37 1994 GMT",
        "Sun Nov  0 08:49:37 1994",
        "Sunday Nov  6 08:49:37 1994",
        "Sun Nov   6 08:49:37 1994",
    };
    int64_t wall_s;
    for (size_t i = 0; i < weir_count(bad); i++) {
        if (parse_at(bad[i], NOW_S, &wall_s))
            fail_msg("'%s' is taken", bad[i]);
    }
    const char *good = "Sun, 06 Nov 1994 08:49:37 GMT";
    for (size_t len = 0; len < strlen(good); len++)
        assert_false(date_parse(str_of(good, len), NOW_S, &wall_s));
}

/* Two digits: not more than 50 years ahead of now. */
static void test_rfc850_century(void **state)
{
    (void)state;
    assert_date("Thursday, 01-Jan-76 00:00:00 GMT", INT64_C(3345062400)); /* 2076: just 50 years */
    assert_date("Thursday, 01-Jan-76 00:00:01 GMT", 189302401);           /* 1976 */
    assert_date("Friday, 01-Jan-27 00:00:00 GMT", 1798761600);
    assert_date("Friday, 01-Jan-99 00:00:00 GMT", 915148800);
    assert_date("Tuesday, 29-Feb-00 00:00:00 GMT", 951782400);
    /* From 2080-01-01 on, 05 is 2105 and not 2005, but 31 is 2031. */
    assert_date_at("Thursday, 01-Jan-05 00:00:00 GMT", INT64_C(3471292800), INT64_C(4260211200));
    assert_date_at("Wednesday, 01-Jan-31 00:00:00 GMT", INT64_C(3471292800), 1924992000);
    /* From 2096-02-29 on: 50 years later there is no such day. */
    assert_date_at("Tuesday, 01-Mar-46 00:00:00 GMT", INT64_C(3981312000), INT64_C(5559148800));
}

static void assert_formatted(int64_t wall_s, const char *expected)
{
    char *out = malloc(DATE_BYTES);
    date_format(wall_s, out);
    if (memcmp(out, expected, DATE_BYTES) != 0)
        fail_msg("%lld is '%.29s'", (long long)wall_s, out);
    free(out);
}

static void test_format(void **state)
{
    (void)state;
    assert_formatted(784111777, "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_formatted(0, "Thu, 01 Jan 1970 00:00:00 GMT");
    assert_formatted(-1, "Wed, 31 Dec 1969 23:59:59 GMT");
    assert_formatted(INT64_C(2147483648), "Tue, 19 Jan 2038 03:14:08 GMT");
    assert_formatted(INT64_MAX, "Fri, 31 Dec 9999 23:59:59 GMT");
    assert_formatted(INT64_MIN, "Sat, 01 Jan 0000 00:00:00 GMT");
}

/* Steps of a day and a bit through 600 years: the C library agrees, and what is written is read
 * again. */
static void test_against_the_c_library(void **state)
{
    (void)state;
    for (int64_t wall_s = INT64_C(-11676096000); wall_s < INT64_C(7258118400);
         wall_s += 86400 + 7) {
        struct tm utc;
        time_t t = (time_t)wall_s;
        gmtime_r(&t, &utc);
        char expected[64], asctime_form[64];
        strftime(expected, sizeof expected, "%a, %d %b %Y %H:%M:%S GMT", &utc);
        strftime(asctime_form, sizeof asctime_form, "%a %b %e %H:%M:%S %Y", &utc);
        assert_formatted(wall_s, expected);
        assert_date(expected, wall_s);
        assert_date(asctime_form, wall_s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_three_forms),           cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_rfc850_century),        cmocka_unit_test(test_format),
        cmocka_unit_test(test_against_the_c_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
