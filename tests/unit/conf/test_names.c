/* conf/names.c: lists of names, and which names they match. */
#include "conf/conf.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/unit/conf/expect.h"

static bool matches(const char *pattern, const char *name)
{
    struct str list[] = {str_from(pattern)};
    struct conf_names names = {list, 1};
    return conf_names_match(&names, str_from(name));
}

static void test_matching(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *name;
        bool matches;
    } rows[] = {
        {"a", "a", true},
        {"a", "A", false},
        {"a", "ab", false},
        {"a", "", false},
        {"ab", "a", false},
        {"*", "", true},
        {"*", "anything", true},
        {"a*", "a", true},
        {"a*", "ab", true},
        {"a*", "ba", false},
        {"*a", "a", true},
        {"*a", "ba", true},
        {"*a", "ab", false},
        {"*a*", "bac", true},
        {"*a*", "bbc", false},
        {"a*c", "abc", true},
        {"a*c", "ac", true},
        {"a*c", "abcb", false},
        {"a*c", "abcbc", true},
        {"a**c", "abc", true},
        {"*ab*ab", "abab", true},
        {"*ab*ab", "ab", false},
        {"a*b*c", "aXbYc", true},
        {"a*b*c", "aXcYb", false},
        {"a[0]", "a[0]", true},
        {"a?", "ab", false},
        {"*ab", "aab", true},
        {"*aab*", "aaab", true},
        {"utm_*", "utm_", true},
        {"utm_*", "xutm_a", false},
        {"\xc3\xa9*", "\xc3\xa9", true},
    };
    for (size_t i = 0; i < weir_count(rows); i++) {
        if (matches(rows[i].pattern, rows[i].name) != rows[i].matches)
            fail_msg("%s and %s", rows[i].pattern, rows[i].name);
    }
}

static void test_any_of_a_list(void **state)
{
    (void)state;
    static const struct str list[] = {{"a", 1}, {"x-*", 3}};
    struct conf_names names = {list, 2}, none = {NULL, 0};
    assert_true(conf_names_match(&names, STR("a")));
    assert_true(conf_names_match(&names, STR("x-y")));
    assert_false(conf_names_match(&names, STR("X-y")));
    assert_true(conf_names_match_nocase(&names, STR("X-Y")));
    assert_true(conf_names_match_nocase(&names, STR("A")));
    assert_false(conf_names_match_nocase(&names, STR("b")));
    assert_false(conf_names_match(&none, STR("")));
    assert_false(conf_names_match_nocase(&none, STR("a")));
}

/* As deep as its stars, this would take hours if each were taken up again. */
static void test_hostile_names_end(void **state)
{
    (void)state;
    static char name[32768];
    memset(name, 'a', sizeof(name) - 1);
    assert_false(matches("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", name));
}

#define ROUTE(cache)                                                                               \
    "upstreams: {api: {servers: [\"http://h:1\"]}}\nroutes: [{upstream: api, cache: {" cache "}}]" \
    "\n"

static void test_reading(void **state)
{
    (void)state;
    struct conf *conf =
        expect_good(ROUTE("key: {query: {ignore: [\"utm_*\", gclid], allow: [page], sort: true}, "
                          "headers: [X-Tenant, \"Accept-*\"], cookies: [Lang]}, "
                          "bypass: {cookies: [s], headers: [X-Preview]}, query_body: 16MiB"));
    const struct conf_route_cache *cache = &conf->routes[0].cache;
    assert_int_equal(cache->key.query_ignore.count, 2);
    assert_true(str_equal(cache->key.query_ignore.list[0], STR("utm_*")));
    assert_true(str_equal(cache->key.query_ignore.list[1], STR("gclid")));
    assert_int_equal(cache->key.query_allow.count, 1);
    assert_true(cache->key.query_sort && cache->key.any && cache->bypass.any);
    assert_true(str_equal(cache->key.headers.list[0], STR("x-tenant")));
    assert_true(str_equal(cache->key.headers.list[1], STR("accept-*")));
    assert_true(str_equal(cache->key.cookies.list[0], STR("Lang")));
    assert_true(str_equal(cache->bypass.headers.list[0], STR("x-preview")));
    assert_int_equal(cache->query_body, 16 << 20);
    conf_release(&conf);
}

static void test_defaults_are_none(void **state)
{
    (void)state;
    struct conf *conf = expect_good(ROUTE("key: {query: {ignore: [], sort: false}}"));
    const struct conf_route_cache *cache = &conf->routes[0].cache;
    assert_false(cache->key.any || cache->bypass.any);
    assert_int_equal(cache->query_body, 64 << 10);
    conf_release(&conf);
}

/* Each of the lists alone makes the route's requests be looked at. */
static void test_any_is_set_by_each(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool key, bypass;
    } rows[] = {
        {ROUTE("key: {query: {ignore: [a]}}"), true, false},
        {ROUTE("key: {query: {allow: [a]}}"), true, false},
        {ROUTE("key: {query: {sort: true}}"), true, false},
        {ROUTE("key: {headers: [a]}"), true, false},
        {ROUTE("key: {cookies: [a]}"), true, false},
        {ROUTE("bypass: {headers: [a]}"), false, true},
        {ROUTE("bypass: {cookies: [a]}"), false, true},
    };
    for (size_t i = 0; i < weir_count(rows); i++) {
        struct conf *conf = expect_good(rows[i].text);
        assert_int_equal(conf->routes[0].cache.key.any, rows[i].key);
        assert_int_equal(conf->routes[0].cache.bypass.any, rows[i].bypass);
        conf_release(&conf);
    }
}

static void test_complaints(void **state)
{
    (void)state;
    expect_errors(ROUTE("key: {query: {ignore: \"a b\", allow: [\"a b\", \"a&b\", {c: d}]}}"),
                  "2:56: ignore takes a list of names; write ignore: [one, \"two_*\"]\n"
                  "2:71: allow: \"a b\" is not a name; write it without spaces and & = ; # , \"\n"
                  "2:78: allow: \"a&b\" is not a name; write it without spaces and & = ; # , \"\n"
                  "2:85: a name takes a single value, not a list or a mapping; write it after "
                  "the colon\n");
    expect_errors(ROUTE("bypass: {headers: [\"X:\"], cookies: [\"a=b\"]}"),
                  "2:53: headers: \"X:\" is not the name of a field; write one such as "
                  "Accept-Language\n"
                  "2:70: cookies: \"a=b\" is not a name; write it without spaces and & = ; # , "
                  "\"\n");
    expect_errors(ROUTE("query_body: 17MiB"),
                  "2:46: query_body: \"17MiB\" is out of range; write 0B to 16MiB\n");
}

/* What can never matter, or leaves nothing to be found, is a mistake. */
static void test_names_that_do_nothing(void **state)
{
    (void)state;
    expect_errors(
        ROUTE("key: {query: {ignore: [\"utm_*\", x], allow: [utm_id, x, y, \"utm_a*\"]}}"),
        "2:77: allow: \"utm_id\" is left out by ignore, so it never counts; remove it from "
        "one of them\n"
        "2:77: allow: \"x\" is left out by ignore, so it never counts; remove it from one "
        "of them\n"
        "2:77: allow: \"utm_a*\" is left out by ignore, so it never counts; remove it from "
        "one of them\n");
    expect_errors(ROUTE("key: {query: {allow: [page], ignore: [\"*\"]}}"),
                  "2:55: allow: \"page\" is left out by ignore, so it never counts; remove it from "
                  "one of them\n");
    expect_errors(ROUTE("key: {headers: [X-A, Host, \"**\"]}"),
                  "2:49: headers: \"host\" is part of every key already; remove it\n"
                  "2:49: headers: \"**\" is every field, so hardly two requests have the same key; "
                  "name those that the origin's answer depends on\n");
    expect_errors(
        ROUTE("bypass: {headers: [X-A, \"H*\"]}"),
        "2:52: headers: \"h*\" takes Host, which every request has, so none is looked up; "
        "name other fields, or write enabled: false\n");
    struct conf *conf = expect_good(
        ROUTE("key: {query: {ignore: [\"utm_*\"], allow: [\"*\", \"u*\"]}, headers: [\"*host*\"], "
              "cookies: [\"*\"]}, bypass: {headers: [\"x-*\"], cookies: [\"*\"]}"));
    conf_release(&conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matching),          cmocka_unit_test(test_any_of_a_list),
        cmocka_unit_test(test_hostile_names_end), cmocka_unit_test(test_reading),
        cmocka_unit_test(test_defaults_are_none), cmocka_unit_test(test_any_is_set_by_each),
        cmocka_unit_test(test_complaints),        cmocka_unit_test(test_names_that_do_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
