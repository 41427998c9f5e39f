/* conf/cacherules.c: what a route changes of the caching rules, read, refused and shown. */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/conf/expect.h"

#define FRONT "upstreams: {a: {servers: [\"http://h:1\"]}}\nroutes: [{upstream: a, cache: {"
#define STATUS_ADVICE                                                                              \
    " is not a status that can be stored; write one from 200 to 599, but not 206, 304, 412 or "    \
    "416\n"

/* "routes[0].cache.KEY: VALUE" is among what "weir check" prints. */
static void expect_printed(const struct conf *conf, const char *line)
{
    char *text = NULL, wanted[256];
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    conf_print(conf, out);
    fclose(out);
    snprintf(wanted, sizeof(wanted), "\nroutes[0].cache.%s\n", line);
    if (!strstr(text, wanted))
        fail_msg("no line \"%s\" in:\n%s", line, text);
    free(text);
}

static void test_defaults(void **state)
{
    (void)state;
    struct conf *conf = expect_good(SMALLEST);
    const struct conf_route_cache *cache = &conf->routes[0].cache;
    assert_int_equal(cache->ttl_min_s, 0);
    assert_int_equal(cache->ttl_max_s, 0);
    assert_int_equal(cache->heuristic_percent, 10);
    assert_int_equal(cache->heuristic_max_s, 86400);
    assert_int_equal(cache->status_ttl_count, 0);
    assert_int_equal(cache->override, 0);
    assert_int_equal(cache->set_cookie, CONF_SET_COOKIE_AUTO);
    expect_printed(conf, "status_ttl: {}");
    expect_printed(conf, "override: []");
    expect_printed(conf, "set_cookie: auto");
    expect_printed(conf, "heuristic_percent: 10");
    expect_printed(conf, "heuristic_max: 1d");
    conf_release(&conf);
}

static void test_values(void **state)
{
    (void)state;
    struct conf *conf =
        expect_good(FRONT "ttl_min: 5s, ttl_max: 1h, heuristic_percent: 100, heuristic_max: 0s, "
                          "status_ttl: {404: 1m, 503: 2s, 200: 0, 599: 1d}, "
                          "override: [vary, no-store, vary], set_cookie: store}}]\n");
    const struct conf_route_cache *cache = &conf->routes[0].cache;
    assert_int_equal(cache->ttl_min_s, 5);
    assert_int_equal(cache->ttl_max_s, 3600);
    assert_int_equal(cache->heuristic_percent, 100);
    assert_int_equal(cache->heuristic_max_s, 0);
    static const struct conf_status_ttl rows[] = {{404, 60}, {503, 2}, {200, 0}, {599, 86400}};
    assert_int_equal(cache->status_ttl_count, weir_count(rows));
    for (size_t i = 0; i < weir_count(rows); i++) {
        assert_int_equal(cache->status_ttl[i].status, rows[i].status);
        assert_int_equal(cache->status_ttl[i].ttl_s, rows[i].ttl_s);
    }
    assert_int_equal(cache->override, 1u << CONF_OVERRIDE_VARY | 1u << CONF_OVERRIDE_NO_STORE);
    assert_int_equal(cache->set_cookie, CONF_SET_COOKIE_STORE);
    expect_printed(conf, "status_ttl: {404: 1m, 503: 2s, 200: 0s, 599: 1d}");
    expect_printed(conf, "override: [no-store, vary]");
    expect_printed(conf, "set_cookie: store");
    conf_release(&conf);
    conf = expect_good(FRONT "override: [no-store, private, no-cache, freshness, must-revalidate, "
                             "vary], set_cookie: refuse, heuristic_percent: 0}}]\n");
    assert_int_equal(conf->routes[0].cache.override, (1u << CONF_OVERRIDES) - 1);
    assert_int_equal(conf->routes[0].cache.set_cookie, CONF_SET_COOKIE_REFUSE);
    assert_int_equal(conf->routes[0].cache.heuristic_percent, 0);
    conf_release(&conf);
}

static void test_wrong_status_ttl(void **state)
{
    (void)state;
    expect_errors(FRONT "status_ttl: 1m}}]\n", "2:44: status_ttl takes a mapping; write "
                                               "status_ttl: {404: 1m, 503: 2s}\n");
    expect_errors(FRONT "status_ttl: [404]}}]\n", "2:44: status_ttl takes a mapping; write "
                                                  "status_ttl: {404: 1m, 503: 2s}\n");
    static const char *const wrong[] = {"199", "206", "304",  "412", "416",
                                        "600", "40",  "0404", "4xx", "abc"};
    for (size_t i = 0; i < weir_count(wrong); i++) {
        char text[256], line[256];
        snprintf(text, sizeof(text), FRONT "status_ttl: {%s: 1s}}}]\n", wrong[i]);
        snprintf(line, sizeof(line), "2:45: status_ttl: \"%s\"" STATUS_ADVICE, wrong[i]);
        expect_errors(text, line);
    }
    expect_errors(FRONT "status_ttl: {404: 5, 500: 1500ms, 501: 3651d, 502: [1s]}}}]\n",
                  "2:50: status_ttl: \"5\" has no unit; write a time such as 500ms, 30s, 5m, 1h "
                  "or 7d\n"
                  "2:58: status_ttl: \"1500ms\" is not in whole seconds; write a time such as 1s\n"
                  "2:71: status_ttl: \"3651d\" is out of range; write 0s to 3650d\n"
                  "2:83: status_ttl takes a single value, not a list or a mapping; write it after "
                  "the colon\n");
}

static void test_wrong_words(void **state)
{
    (void)state;
    expect_errors(FRONT "override: [no-stor, vary, x, [private]]}}]\n",
                  "2:43: override: \"no-stor\" is not no-store, private, no-cache, freshness, "
                  "must-revalidate or vary; did you mean \"no-store\"?\n"
                  "2:58: override: \"x\" does not work here; write no-store, private, no-cache, "
                  "freshness, must-revalidate or vary\n"
                  "2:61: an element of override takes a single value, not a list or a mapping; "
                  "write it after the colon\n");
    expect_errors(FRONT "override: private}}]\n",
                  "2:42: override takes a list; write override: [no-store, private]\n");
    expect_errors(FRONT "set_cookie: stored}}]\n",
                  "2:44: set_cookie: \"stored\" is not auto, store or refuse; did you mean "
                  "\"store\"?\n");
    expect_errors(FRONT "set_cookie: false}}]\n",
                  "2:44: set_cookie: \"false\" does not work here; write auto, store or refuse\n");
    expect_errors(FRONT "heuristic_percent: 101, ttl_min: 1500ms}}]\n",
                  "2:51: heuristic_percent: \"101\" is not a number that works here; write 0 to "
                  "100\n"
                  "2:65: ttl_min: \"1500ms\" is not in whole seconds; write a time such as 1s\n");
}

static void test_clamps(void **state)
{
    (void)state;
    expect_errors(FRONT "ttl_max: 5s, ttl_min: 6s}}]\n",
                  "2:54: ttl_min is more than ttl_max, so no time lies between them; make it "
                  "smaller, or ttl_max larger\n");
    struct conf *conf = expect_good(FRONT "ttl_max: 5s, ttl_min: 5s}}]\n");
    conf_release(&conf);
    conf = expect_good(FRONT "ttl_max: 0s, ttl_min: 5s}}]\n");
    conf_release(&conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),         cmocka_unit_test(test_values),
        cmocka_unit_test(test_wrong_status_ttl), cmocka_unit_test(test_wrong_words),
        cmocka_unit_test(test_clamps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
