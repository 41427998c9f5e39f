/* The forms that routes are compared in, and when one route leaves nothing for another. */
#include "conf/keys.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct arena arena;

static int make_arena(void **state)
{
    (void)state;
    arena_init(&arena, 4096);
    return 0;
}

static int free_arena(void **state)
{
    (void)state;
    arena_destroy(&arena);
    return 0;
}

static void test_normal_paths(void **state)
{
    (void)state;
    static const struct {
        const char *path, *normal;
    } cases[] = {
        {"/", "/"},
        {"/a/b", "/a/b"},
        {"/a/./b", "/a/b"},
        {"/a/../b", "/b"},
        {"/a/b/..", "/a/"},
        {"/a/.", "/a/"},
        {"/..", "/"},
        {"/../../a", "/a"},
        {"/a/b/c/./../../g", "/a/g"},
        {"/a//../b", "/a/b"},
        {"//a", "//a"},
        {"/...", "/..."},
        {"/%7Ea%41%2d%2E%5f", "/~aA-._"},
        {"/a/%2e%2E/b", "/b"},
        {"/%2f%3f%e4", "/%2F%3F%E4"},
        {"/%", "/%"},
        {"/%4", "/%4"},
        {"/%zz", "/%zz"},
        {"/%%41", "/%%41"},
        {"/%4%31", "/%4%31"},
        {"/%4%7e%31", "/%4~1"},
        {"*", "*"},
        {"", ""},
        {"a/../b", "a/../b"},
    };
    for (size_t i = 0; i < weir_count(cases); i++) {
        char out[64];
        size_t len = conf_path_normalise(str_from(cases[i].path), out);
        if (!str_equal(str_of(out, len), str_from(cases[i].normal)))
            fail_msg("%s became %.*s", cases[i].path, (int)len, out);
    }
}

static void test_hosts(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host; /* NULL: refused */
        bool suffix;
    } cases[] = {
        {"Api.Example.com", "api.example.com", false},
        {"a.b.:8080", "a.b", false},
        {"a.b.", "a.b", false},
        {"*.Example.com", ".example.com", true},
        {"*.com:80", ".com", true},
        {"[::1]:80", "[::1]", false},
        {"127.0.0.1", "127.0.0.1", false},
        {"*", NULL, false},
        {"*.", NULL, false},
        {"a.*.b", NULL, false},
        {"*a.b", NULL, false},
        {".a", NULL, false},
        {"a..b", NULL, false},
        {"*..b", NULL, false},
        {"a/b", NULL, false},
        {"http://a", NULL, false},
        {"b\xc3\xbc.de", NULL, false},
        {":80", NULL, false},
    };
    for (size_t i = 0; i < weir_count(cases); i++) {
        struct conf_route route = {0};
        const char *why = NULL;
        bool good = route_parse_host(&arena, str_from(cases[i].text), &route, &why);
        if (good != (cases[i].host != NULL))
            fail_msg("%s: %s", cases[i].text, good ? route.host : why);
        if (!good)
            continue;
        assert_string_equal(route.host, cases[i].host);
        assert_int_equal(route.host_suffix, cases[i].suffix);
    }
}

static void test_paths(void **state)
{
    (void)state;
    static const struct {
        const char *text, *path; /* NULL: refused */
    } cases[] = {
        {"/v1/", "/v1"}, {"/v1", "/v1"}, {"/", ""},       {"/v1/..", ""}, {"/%61/x", "/a/x"},
        {"v1", NULL},    {"/a?b", NULL}, {"/a b", NULL},  {"/a*", NULL},  {"/%4", NULL},
        {"/#", NULL},    {"*", NULL},    {"/\xc3", NULL},
    };
    for (size_t i = 0; i < weir_count(cases); i++) {
        struct conf_route route = {0};
        const char *why = NULL;
        bool good = route_parse_path(&arena, str_from(cases[i].text), &route, &why);
        if (good != (cases[i].path != NULL))
            fail_msg("%s: %s", cases[i].text, good ? route.path : why);
        if (!good)
            continue;
        assert_string_equal(route.path, cases[i].path);
        assert_int_equal(route.path_len, strlen(cases[i].path));
    }
}

static void test_methods(void **state)
{
    (void)state;
    struct conf_route route = {0};
    const char *why = NULL;
    assert_true(route_parse_method(&arena, STR("GET"), &route, &why));
    assert_true(route_parse_method(&arena, STR("GET"), &route, &why));
    assert_int_equal(route.methods, 1u << METHOD_GET);
    /* A set of other methods alone is not the empty set, which is all. */
    route.methods = 0;
    assert_true(route_parse_method(&arena, STR("PROPFIND"), &route, &why));
    assert_true(route_parse_method(&arena, STR("PROPFIND"), &route, &why));
    assert_true(route_parse_method(&arena, STR("MKCOL"), &route, &why));
    assert_int_equal(route.methods, 1u << METHOD_OTHER);
    assert_int_equal(route.other_methods_count, 2);
    assert_false(route_parse_method(&arena, STR("get"), &route, &why));
    assert_string_equal(
        why, "is not in capitals, and the case of a method matters; write it in capitals");
    assert_false(route_parse_method(&arena, STR("A B"), &route, &why));
    assert_false(route_parse_method(&arena, STR(""), &route, &why));
}

/* "host path METHOD,METHOD", "-" for none. */
static struct conf_route make_route(const char *text)
{
    struct conf_route route = {0};
    const char *why;
    char host[64], path[64], methods[64];
    assert_int_equal(sscanf(text, "%63s %63s %63s", host, path, methods), 3);
    if (strcmp(host, "-") != 0)
        assert_true(route_parse_host(&arena, str_from(host), &route, &why));
    if (strcmp(path, "-") != 0)
        assert_true(route_parse_path(&arena, str_from(path), &route, &why));
    struct str rest = strcmp(methods, "-") == 0 ? STR("") : str_from(methods), method;
    while (str_list_next(&rest, &method))
        assert_true(route_parse_method(&arena, method, &route, &why));
    return route;
}

static void test_cover(void **state)
{
    (void)state;
    static const struct {
        const char *earlier, *later;
        bool covers;
    } cases[] = {
        {"- - -", "- - -", true},           {"- - -", "a.x /v1 GET", true},
        {"a.x - -", "- - -", false},        {"a.x - -", "A.x. - -", true},
        {"a.x - -", "b.x - -", false},      {"*.x - -", "a.x - -", true},
        {"*.x - -", "a.b.x - -", true},     {"*.x - -", "x - -", false},
        {"*.x - -", "a.xx - -", false},     {"*.x - -", "*.x - -", true},
        {"*.x - -", "*.a.x - -", true},     {"*.a.x - -", "*.x - -", false},
        {"*.x - -", "*.ax - -", false},     {"a.x - -", "*.x - -", false},
        {"- / -", "- - -", true},           {"- /v1 -", "- - -", false},
        {"- /v1 -", "- / -", false},        {"- /v1 -", "- /v1/ -", true},
        {"- /v1 -", "- /v1/a -", true},     {"- /v1 -", "- /v10 -", false},
        {"- /v1/a -", "- /v1 -", false},    {"- - GET", "- - -", false},
        {"- - GET", "- - GET", true},       {"- - GET,POST", "- - POST", true},
        {"- - GET", "- - GET,POST", false}, {"- - FOO", "- - FOO", true},
        {"- - FOO", "- - BAR", false},      {"- - FOO,BAR", "- - BAR", true},
        {"- - FOO,GET", "- - GET", true},   {"- - GET", "- - FOO", false},
        {"- - FOO", "- - -", false},
    };
    for (size_t i = 0; i < weir_count(cases); i++) {
        struct conf_route earlier = make_route(cases[i].earlier),
                          later = make_route(cases[i].later);
        if (route_covers(&earlier, &later) != cases[i].covers)
            fail_msg("%s before %s", cases[i].earlier, cases[i].later);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_normal_paths), cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_paths),        cmocka_unit_test(test_methods),
        cmocka_unit_test(test_cover),
    };
    return cmocka_run_group_tests(tests, make_arena, free_arena);
}
