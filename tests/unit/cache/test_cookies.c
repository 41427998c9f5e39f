/* cache/cookies.c: the pairs of a Cookie line. */
#include "cache/key.h"
#include "tests/unit/cache/cache_fixture.h"

/* "name|value", or "name" without a "=", one a line; "!" behind what is doubtful. */
static void check(const char *line, const char *expected)
{
    char bytes[256];
    struct appender out = appender_on(bytes, sizeof(bytes));
    struct str rest = str_from(line);
    struct cookie cookie;
    while (cookie_next(&rest, &cookie)) {
        if (out.len > 0)
            append_lit(&out, "\n");
        append_str(&out, cookie.name);
        if (cookie.has_value)
            append_lit(&out, "|");
        append_str(&out, cookie.value);
        if (cookie.doubtful)
            append_lit(&out, "!");
    }
    assert_int_equal(rest.len, 0);
    if (!str_equal(str_of(out.ptr, out.len), str_from(expected)))
        fail_msg("'%s': '%.*s' is not '%s'", line, (int)out.len, out.ptr, expected);
}

static void test_pairs(void **state)
{
    (void)state;
    check("", "");
    check(";", "");
    check(" ; \t;", "");
    check("a=1", "a|1");
    check("a=1; b=2", "a|1\nb|2");
    check("a=1;b=2", "a|1\nb|2");
    check("a=1;\tb=2 ;", "a|1\nb|2");
    check(";a=1", "a|1");
    check(" a = 1 ", "a|1");
    check("a", "a");
    check("a;b=", "a\nb|");
    check("=1", "|1");
    check("=", "|");
    check("a==1", "a|=1");
    check("a=1,b=2", "a|1,b=2");
    check("a b=1", "a b|1");
}

static void test_quotes(void **state)
{
    (void)state;
    check("a=\"1\"", "a|\"1\"");
    check("a=\"\"", "a|\"\"");
    check("a=\"", "a|\"!");
    check("a=\"1; b=2\"", "a|\"1!\nb|2\"!");
    check("a=1\"2\"", "a|1\"2\"!");
    check("a=\"1\"2\"", "a|\"1\"2\"!");
    check("a=\"1\"2", "a|\"1\"2!");
    check("\"a=1", "\"a|1!");
    check("\"a\"", "\"a\"!");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_quotes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
