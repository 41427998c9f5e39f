/* cache/key_query.c: which query parameters are in a key, and in which order. */
#include "tests/unit/cache/cache_fixture.h"

#define NAMES(...)                                                                                 \
    (struct conf_names)                                                                            \
    {                                                                                              \
        (const struct str[]){__VA_ARGS__},                                                         \
            sizeof((const struct str[]){__VA_ARGS__}) / sizeof(struct str)                         \
    }

struct query_row {
    const char *target, *expected;
};

static void check(const struct conf_route_key *rules, const struct query_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char bytes[512];
        struct appender out = appender_on(bytes, sizeof(bytes));
        cache_key_write(&out, STR("http"), STR("h"), str_from(rows[i].target), rules);
        assert_false(out.overflow);
        struct str written = str_of(out.ptr + strlen("http://h"), out.len - strlen("http://h"));
        if (!str_equal(written, str_from(rows[i].expected)))
            fail_msg("%s: '%.*s' is not '%s'", rows[i].target, (int)written.len, written.ptr,
                     rows[i].expected);
    }
}

static void test_ignore(void **state)
{
    (void)state;
    struct conf_route_key rules = {.any = true, .query_ignore = NAMES(STR("utm_*"), STR("g"))};
    static const struct query_row rows[] = {
        {"/a", "/a"},
        {"/a?", "/a?"},
        {"?", "/?"},
        {"/a?x=1", "/a?x=1"},
        {"/a?g=1", "/a"},
        {"/a?g", "/a"},
        {"?g", "/"},
        {"/a?g=1&x=1", "/a?x=1"},
        {"/a?x=1&g=1", "/a?x=1"},
        {"/a?x=1&g=1&y=2", "/a?x=1&y=2"},
        {"/a?utm_source=a&utm_=b&utm=c", "/a?utm=c"},
        {"/a?G=1", "/a?G=1"},
        {"/a?gg=1", "/a?gg=1"},
        {"/a?g=1&g=2", "/a"},
        {"/a?&&", "/a?&&"},
        {"/a?&g&", "/a?&"},
        {"/a?=1&g=1", "/a?=1"},
        {"/a?g=x=y&x=g=1", "/a?x=g=1"},
        {"/g=1/utm_x?x=/?g=1", "/g=1/utm_x?x=/?g=1"},
        {"/a?y=2&x=1", "/a?y=2&x=1"},
        /* what another reader may take for something else */
        {"/a?%67=1", "/a?%67=1"},
        {"/a?utm_%78=1", "/a?utm_%78=1"},
        {"/a?g=%78", "/a"},
        {"/a?g=1;x=1", "/a?g=1;x=1"},
    };
    check(&rules, rows, weir_count(rows));
}

static void test_allow(void **state)
{
    (void)state;
    struct conf_route_key rules = {.any = true, .query_allow = NAMES(STR("page"), STR("f_*"))};
    static const struct query_row rows[] = {
        {"/a", "/a"},
        {"/a?", "/a"},
        {"/a?page=1", "/a?page=1"},
        {"/a?x=1&page=1", "/a?page=1"},
        {"/a?page=1&x=1&f_a=2", "/a?page=1&f_a=2"},
        {"/a?Page=1", "/a"},
        {"/a?page=1&page=2", "/a?page=1&page=2"},
        {"/a?&page", "/a?page"},
        /* an allowed one, for a reader that decodes */
        {"/a?p%61ge=1", "/a?p%61ge=1"},
        {"/a?x=1;page=2", "/a?x=1;page=2"},
        {"/a?x=%70age", "/a"},
    };
    check(&rules, rows, weir_count(rows));
}

static void test_allow_then_ignore(void **state)
{
    (void)state;
    struct conf_route_key rules = {
        .any = true, .query_allow = NAMES(STR("f_*")), .query_ignore = NAMES(STR("f_debug"))};
    static const struct query_row rows[] = {
        {"/a?f_a=1&f_debug=1&x=1", "/a?f_a=1"},
        {"/a?f_debug=1", "/a"},
    };
    check(&rules, rows, weir_count(rows));
}

static void test_ignore_all(void **state)
{
    (void)state;
    struct conf_route_key rules = {.any = true, .query_ignore = NAMES(STR("a"), STR("*"))};
    static const struct query_row rows[] = {
        {"/a", "/a"}, {"/a?", "/a"}, {"/a?x=1&%79=2;z", "/a"}, {"?x", "/"}};
    check(&rules, rows, weir_count(rows));
}

static void test_sort(void **state)
{
    (void)state;
    struct conf_route_key rules = {.any = true, .query_sort = true};
    static const struct query_row rows[] = {
        {"/a", "/a"},
        {"/a?", "/a?"},
        {"/a?b=1&a=2", "/a?a=2&b=1"},
        {"/a?a=2&b=1", "/a?a=2&b=1"},
        {"/a?b=1&a=2&b=0", "/a?a=2&b=1&b=0"},
        {"/a?ab=1&a=2&abc=3", "/a?a=2&ab=1&abc=3"},
        {"/a?b&a", "/a?a&b"},
        {"/a?b&", "/a?&b"},
        {"/a?a=2&a", "/a?a=2&a"},
        {"/a?a-=1&a=2", "/a?a=2&a-=1"},
        {"/a?\xff=1&a=1", "/a?a=1&\xff=1"},
    };
    check(&rules, rows, weir_count(rows));
    rules.query_ignore = NAMES(STR("b"));
    static const struct query_row both[] = {{"/a?c=1&b=2&a=3", "/a?a=3&c=1"}, {"/a?b=1", "/a"}};
    check(&rules, both, weir_count(both));
}

/* 128 are sorted, 129 are not. */
static void test_sort_has_an_end(void **state)
{
    (void)state;
    struct conf_route_key rules = {.any = true, .query_sort = true};
    for (unsigned count = 128; count <= 129; count++) {
        char target[1024], bytes[1100];
        struct appender url = appender_on(target, sizeof(target)),
                        out = appender_on(bytes, sizeof(bytes));
        append_lit(&url, "/?");
        for (unsigned i = 1; i < count; i++)
            append_lit(&url, "b&");
        append_lit(&url, "a");
        cache_key_write(&out, STR("http"), STR("h"), str_of(url.ptr, url.len), &rules);
        assert_int_equal(out.len, url.len + strlen("http://h"));
        assert_int_equal(out.ptr[strlen("http://h/?")], count == 128 ? 'a' : 'b');
    }
}

static void test_rules_of_a_plain_route(void **state)
{
    (void)state;
    struct conf_route_key rules = {.any = false};
    static const struct query_row rows[] = {{"/a?b&a", "/a?b&a"}, {"/a?", "/a?"}, {"*", "*"}};
    check(&rules, rows, weir_count(rows));
    check(NULL, rows, weir_count(rows));
}

static void test_write_that_does_not_fit(void **state)
{
    (void)state;
    struct conf_route_key rules = {.any = true, .query_sort = true};
    char bytes[16];
    for (size_t cap = 0; cap < strlen("http://h/?a&b"); cap++) {
        struct appender out = appender_on(bytes, cap);
        cache_key_write(&out, STR("http"), STR("h"), STR("/?b&a"), &rules);
        assert_true(out.overflow);
        assert_true(out.len <= cap);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ignore),
        cmocka_unit_test(test_allow),
        cmocka_unit_test(test_allow_then_ignore),
        cmocka_unit_test(test_ignore_all),
        cmocka_unit_test(test_sort),
        cmocka_unit_test(test_sort_has_an_end),
        cmocka_unit_test(test_rules_of_a_plain_route),
        cmocka_unit_test(test_write_that_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
