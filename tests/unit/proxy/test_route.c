/* proxy/route.c: hosts, prefixes on segment boundaries, normalised matching, stripping. */
#include "proxy/proxy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct conf *conf_of(const char *text)
{
    struct conf_errors errors = {0};
    struct conf *conf = conf_parse("test", text, strlen(text), &errors);

    if (!conf)
        fail_msg("%s", errors.text);
    conf_errors_destroy(&errors);
    return conf;
}

static const char routes_text[] =
    "upstreams:\n"
    "  a: {servers: [\"http://127.0.0.1:1\"]}\n"
    "routes:\n"
    "  - {host: \"*.example.com\", path: /v1/, upstream: a}\n"
    "  - {host: api.example.org, path: /strip, upstream: a, strip_prefix: true}\n"
    "  - {path: /posts, methods: [POST], upstream: a}\n"
    "  - {path: /open, upstream: a}\n";

struct expectation {
    const char *method, *authority, *target;
    int route; /* -1: none */
    const char *sent;
};

static void first_match_wins(void **state)
{
    static const struct expectation rows[] = {
        {"GET", "x.example.com", "/v1", 0, "/v1"},
        {"GET", "x.y.EXAMPLE.com:8080", "/v1/a?b=c", 0, "/v1/a?b=c"},
        {"GET", "x.example.com.", "/v1/", 0, "/v1/"},
        {"GET", "example.com", "/v1/", -1, NULL},
        {"GET", "x.example.com", "/v10", -1, NULL},
        {"GET", "xexample.com", "/v1", -1, NULL},
        {"GET", "x.example.com", "/a/../v1/b", 0, "/a/../v1/b"},
        {"GET", "x.example.com", "/%76%31/b", 0, "/%76%31/b"},
        {"GET", "x.example.com", "/v1/../b", -1, NULL},
        {"GET", "x.example.com", "/v1/%2e%2e/open", 3, "/v1/%2e%2e/open"},
        {"GET", "api.example.org", "/strip/x?q=/..", 1, "/x?q=/.."},
        {"GET", "api.example.org", "/strip", 1, "/"},
        {"GET", "api.example.org", "/strip?q", 1, "/?q"},
        {"GET", "api.example.org", "/a/../strip/b", 1, "/b"},
        {"GET", "", "/open", 3, "/open"},
        {"POST", "h", "/posts/1", 2, "/posts/1"},
        {"GET", "h", "/posts/1", -1, NULL},
        {"BREW", "h", "/posts/1", -1, NULL},
        {"GET", "[::1]:80", "/open/", 3, "/open/"},
    };
    struct conf *conf = conf_of(routes_text);
    struct arena arena;

    (void)state;
    arena_init(&arena, 1024);
    for (size_t i = 0; i < weir_count(rows); i++) {
        struct str rest = STR(""), method = str_from(rows[i].method);
        const struct conf_route *route =
            route_match(conf, method_identify(method.ptr, method.len), method,
                        str_from(rows[i].authority), str_from(rows[i].target), &arena, &rest);

        if ((route ? (int)route->index : -1) != rows[i].route)
            fail_msg("%s %s %s: route %d, not %d", rows[i].method, rows[i].authority,
                     rows[i].target, route ? (int)route->index : -1, rows[i].route);
        if (rows[i].sent && !str_equal(rest, str_from(rows[i].sent)))
            fail_msg("%s: sent %.*s, not %s", rows[i].target, (int)rest.len, rest.ptr,
                     rows[i].sent);
    }
    arena_destroy(&arena);
    conf_release(&conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(first_match_wins)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
