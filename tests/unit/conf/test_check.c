/* Every complaint about a file's settings, with its exact place and words. */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/conf/expect.h"

#define TIME_ADVICE "; write a time such as 500ms, 30s, 5m, 1h or 7d\n"
#define SIZE_ADVICE "; write a size such as 64KiB, 512MiB or 2GiB\n"
#define CACHE_KEYS                                                                                 \
    "; the keys here are enabled, ttl, negative_ttl, status_ttl, ttl_min, ttl_max, "               \
    "heuristic_percent, heuristic_max, override, set_cookie, hit_for_miss, purge_from, key, "      \
    "bypass, "                                                                                     \
    "query_body, stale_while_revalidate, stale_if_error, keep\n"

static void test_unknown_keys(void **state)
{
    (void)state;
    expect_errors("worker: 1\n" SMALLEST,
                  "1:1: unknown key \"worker\"; did you mean \"workers\"?\n");
    expect_errors(
        "upstreams:\n  api:\n    server: []\n    servers: [\"http://h:1\"]\n"
        "    pool: {max_conections: 1, tls: 2}\n    balance: hash\nroutes: [{upstream: api}]\n",
        "3:5: unknown key \"server\"; did you mean \"servers\"?\n"
        "5:12: unknown key \"max_conections\"; did you mean \"max_connections\"?\n"
        "5:31: unknown key \"tls\"; the keys here are max_connections, max_idle, idle_timeout, "
        "max_requests, max_lifetime, queue, queue_timeout\n"
        "6:5: unknown key \"balance\"; the keys here are servers, host, pool, timeouts\n");
    /* A dotted name is one name, not a way in. */
    expect_errors("cache.memory: 1GiB\n'': x\n" SMALLEST "cache: {memory.x: 1}\n",
                  "1:1: unknown key \"cache.memory\"; the keys here are workers, listen, admin, "
                  "cache, upstreams, routes, limits, access_log, slow_log, error_log\n"
                  "2:1: unknown key \"\"; the keys here are workers, listen, admin, cache, "
                  "upstreams, routes, limits, access_log, slow_log, error_log\n"
                  "5:9: unknown key \"memory.x\"; did you mean \"memory\"?\n");
}

/* Keys of later versions are unknown until they work. */
static void test_later_keys(void **state)
{
    (void)state;
    expect_errors("listen: [{address: \"0.0.0.0:1\", http2: true, tls: {}}]\n" SMALLEST,
                  "1:33: unknown key \"http2\"; the keys here are address\n"
                  "1:46: unknown key \"tls\"; the keys here are address\n");
    expect_errors("upstreams: {a: {servers: [\"http://h:1\"], retries: {}, health: {}}}\n"
                  "routes: [{upstream: a, cache: {key: {host: a}, grace: 1s}}]\n",
                  "1:42: unknown key \"retries\"; the keys here are servers, host, pool, timeouts\n"
                  "1:55: unknown key \"health\"; the keys here are servers, host, pool, timeouts\n"
                  "2:38: unknown key \"host\"; the keys here are query, headers, cookies\n"
                  "2:48: unknown key \"grace\"" CACHE_KEYS);
}

static void test_values(void **state)
{
    (void)state;
    expect_errors("upstreams: {a: {servers: [\"http://h:1\"]}}\n"
                  "routes: [{upstream: a, cache: {stale_while_revalidate: 195d,\n"
                  " stale_if_error: 195d, keep: 46d}}]\n",
                  "2:56: stale_while_revalidate: \"195d\" is out of range; write 0s to 194d\n"
                  "3:18: stale_if_error: \"195d\" is out of range; write 0s to 194d\n"
                  "3:30: keep: \"46d\" is out of range; write 0s to 45d\n");
    expect_errors(
        "workers: 0\n" SMALLEST,
        "1:10: workers: \"0\" is not a number that works here; write auto, or 1 to 256\n");
    expect_errors(
        "workers: 257\nlimits: {headers: 1.5, connections: -1}\n" SMALLEST,
        "1:10: workers: \"257\" is not a number that works here; write auto, or 1 to 256\n"
        "2:19: headers: \"1.5\" is not a number that works here; write 1 to 10000\n"
        "2:37: connections: \"-1\" is not a number that works here; write 0 to 10000000\n");
    expect_errors("limits: {header_timeout: 10, body_timeout: abc, send_timeout: 0s, idle_timeout: "
                  "366d}\n" SMALLEST,
                  "1:26: header_timeout: \"10\" has no unit" TIME_ADVICE
                  "1:44: body_timeout: \"abc\" is not a time" TIME_ADVICE
                  "1:63: send_timeout: \"0s\" is out of range; write 1ms to 365d\n"
                  "1:81: idle_timeout: \"366d\" is out of range; write 1ms to 365d\n");
    expect_errors("limits: {header_size: 1023B, body_size: 5MB}\ncache: {memory: 1}\n" SMALLEST,
                  "1:23: header_size: \"1023B\" is out of range; write 1KiB to 128KiB\n"
                  "1:41: body_size: \"5MB\" is not a size" SIZE_ADVICE
                  "2:17: memory: \"1\" has no unit" SIZE_ADVICE);
    expect_errors("limits: {min_send_rate: 1024}\n"
                  "upstreams: {a: {servers: [\"http://h:1\"]}}\n"
                  "routes: [{path: /a, upstream: a, cache: {hit_for_miss: 10}},\n"
                  "         {upstream: a, cache: {hit_for_miss: 366d}}]\n",
                  "1:25: min_send_rate: \"1024\" has no unit" SIZE_ADVICE
                  "3:56: hit_for_miss: \"10\" has no unit" TIME_ADVICE
                  "4:46: hit_for_miss: \"366d\" is out of range; write 0s to 365d\n");
    expect_errors("upstreams: {a: {servers: [\"http://h:1\"]}}\n"
                  "routes: [{path: /a, upstream: a, cache: {purge_from: 10.0.0.0/8}},\n"
                  "         {upstream: a, cache: {purge_from: [10.0.0.0/8, 10.0.0.0/33]}}]\n",
                  "2:54: purge_from takes a list; write purge_from: [\"10.0.0.0/8\", \"::1\"]\n"
                  "3:57: purge_from: \"10.0.0.0/33\" has no length that works here; write 0 to 32 "
                  "behind the slash\n");
    expect_errors("limits: {min_send_rate: 2GiB}\n" SMALLEST,
                  "1:25: min_send_rate: \"2GiB\" is out of range; write 0B to 1GiB\n");
    expect_errors("access_log: {format: jsn, path: ''}\nerror_log: {level: loud}\n" SMALLEST,
                  "1:22: format: \"jsn\" is not none, json or combined; did you mean \"json\"?\n"
                  "1:33: path is empty; give it a value, or remove it for its default\n"
                  "2:20: level: \"loud\" does not work here; write debug, info, warn or error\n");
    expect_errors("upstreams: {a: {servers: [\"http://h:1\"]}}\n"
                  "routes: [{upstream: a, strip_prefix: yes, cache: {enabled: on, ttl: 1500ms, "
                  "negative_ttl: 5}}]\n",
                  "2:38: strip_prefix: \"yes\" is neither true nor false; write one of these two\n"
                  "2:60: enabled: \"on\" is neither true nor false; write one of these two\n"
                  "2:69: ttl: \"1500ms\" is not in whole seconds; write a time such as 1s\n"
                  "2:91: negative_ttl: \"5\" has no unit" TIME_ADVICE);
}

static void test_shapes(void **state)
{
    (void)state;
    expect_errors("listen: 0.0.0.0:80\nadmin: [a]\nworkers: {}\nlimits:\n" SMALLEST,
                  "1:9: listen takes a list; write each entry below it, after \"- \"\n"
                  "2:8: admin takes settings of its own; write them below it, indented, as \"key: "
                  "value\"\n"
                  "3:10: workers takes a single value, not a list or a mapping; write it after the "
                  "colon\n"
                  "4:8: limits takes settings of its own; write them below it, indented, as \"key: "
                  "value\"\n");
    expect_errors("upstreams: [a]\nroutes: {}\n",
                  "1:12: upstreams takes a mapping; write each name below it, indented, with its "
                  "settings\n"
                  "2:9: routes takes a list; write each entry below it, after \"- \"\n");
    expect_errors("upstreams: {a: {servers: [\"http://h\"]}}\nroutes: [[{upstream: a}], x]\n",
                  "2:10: this route takes settings of its own; write them below it, indented, as "
                  "\"key: value\"\n"
                  "2:27: this route takes settings of its own; write them below it, indented, as "
                  "\"key: value\"\n");
    expect_errors("upstreams: {a: {servers: http://h}, b: x}\nroutes: [{upstream: a}]\n",
                  "1:26: servers takes a list; write servers: [\"http://127.0.0.1:9000\"]\n"
                  "1:40: the upstream \"b\" takes settings of its own; write them below it, "
                  "indented, as \"key: value\"\n");
}

static void test_missing(void **state)
{
    (void)state;
    expect_errors("workers: 1\n",
                  "1:1: there are no upstreams; write \"upstreams: {api: {servers: "
                  "[\"http://127.0.0.1:9000\"]}}\"\n"
                  "1:1: there are no routes; write \"routes: [{upstream: api}]\" with "
                  "the name of an upstream\n");
    expect_errors(
        "listen: []\nupstreams: {}\nroutes: []\n",
        "1:9: listen is empty; write \"- address: 0.0.0.0:8080\" below it, or remove it "
        "for that default\n"
        "2:12: there are no upstreams; write \"upstreams: {api: {servers: "
        "[\"http://127.0.0.1:9000\"]}}\"\n"
        "3:9: there are no routes; write \"routes: [{upstream: api}]\" with the name of an "
        "upstream\n");
    expect_errors("upstreams: {a: {}, b: {servers: []}}\nroutes: [{path: /}]\n",
                  "1:13: the upstream \"a\" has no servers; add it\n"
                  "1:33: servers is empty; name at least one, such as \"http://127.0.0.1:9000\"\n"
                  "2:10: this route has no upstream; add it\n");
    expect_errors(
        "upstreams: {billing: {servers: [\"http://h\"]}}\n"
        "routes: [{path: /a, upstream: biling}, {upstream: other}]\n",
        "2:31: there is no upstream \"biling\"; did you mean \"billing\"?\n"
        "2:51: there is no upstream \"other\"; add it under upstreams, or name one that is "
        "there\n");
    expect_errors(
        "upstreams: {\"a b\": {servers: [\"http://h\"]}}\nroutes: [{upstream: a b}]\n",
        "1:13: \"a b\" does not work as a name; use at most 64 letters, digits, dots, - and "
        "_\n");
}

static void test_addresses(void **state)
{
    (void)state;
    expect_errors("listen:\n- address: 127.0.0.1:70000\n- address: localhost:80\n"
                  "- address: 127.0.0.1:80\n- address: 127.0.0.1:80\n- address: \"[::1]:9180\"\n"
                  "- address: \"[0::1]:9180\"\nadmin: {address: \"[::1]:9180\"}\n" SMALLEST,
                  "2:12: address: \"127.0.0.1:70000\" has a port that is not a number from 0 to "
                  "65535; correct it\n"
                  "3:12: address: \"localhost:80\" is a name; write the IP address, such as "
                  "127.0.0.1:8080 for this machine alone\n"
                  "5:12: 127.0.0.1:80 is listened on already, by line 4; remove one of them\n"
                  "6:12: [::1]:9180 is the admin port's address as well; give one of them another "
                  "port\n"
                  "7:12: [::1]:9180 is listened on already, by line 6; remove one of them\n"
                  "7:12: [::1]:9180 is the admin port's address as well; give one of them another "
                  "port\n");
    /* The system gives each port 0 a number of its own. */
    struct conf *conf =
        expect_good("listen: [{address: \"127.0.0.1:0\"}, {address: \"127.0.0.1:0\"}]\n"
                    "admin: {address: 127.0.0.1:0}\n" SMALLEST);
    assert_int_equal(conf->listen_count, 2);
    conf_release(&conf);
}

static void test_admin(void **state)
{
    (void)state;
    char path[] = "/tmp/weir-token-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, " s3cret\n", 8), 8);
    close(fd);
    expect_errors("admin: {address: 0.0.0.0:9180}\n" SMALLEST,
                  "1:18: the admin port would be open to others at 0.0.0.0:9180; add "
                  "admin.token_file, or use a loopback address such as 127.0.0.1:9180\n");
    char text[512];
    sprintf(text, "admin: {address: 0.0.0.0:9180, token_file: %s}\n" SMALLEST, path);
    struct conf *conf = expect_good(text);
    assert_string_equal(conf->admin_token, "s3cret");
    conf_release(&conf);
    assert_int_equal(truncate(path, 1), 0);
    char expected[512];
    sprintf(expected,
            "1:44: token_file: \"%s\" holds no token; write one line of letters, digits and signs "
            "into it\n",
            path);
    expect_errors(text, expected);
    unlink(path);
    sprintf(expected,
            "1:44: token_file: \"%s\" cannot be read: No such file or directory; make it readable "
            "for this user, or correct the path\n",
            path);
    expect_errors(text, expected);
}

static void test_cache(void **state)
{
    (void)state;
    expect_errors("cache: {memory: 1MiB, max_object: 2MiB}\n" SMALLEST,
                  "1:35: max_object is more than cache.memory, so such an object would never fit; "
                  "make it smaller, or memory larger\n");
    expect_errors("cache: {memory: 1023KiB, max_object: 0}\n" SMALLEST,
                  "1:17: memory: \"1023KiB\" is out of range; write 1MiB to 1024TiB\n"
                  "1:38: max_object: \"0\" is out of range; write 1B to 1024TiB\n");
    struct conf *conf = expect_good("cache: {memory: 1MiB}\n" SMALLEST);
    assert_int_equal(conf->cache_max_object, 1 << 20);
    conf_release(&conf);
}

/* A PURGE that the route does not take cannot be answered by it. */
static void test_purge_from(void **state)
{
    (void)state;
    expect_errors("upstreams: {a: {servers: [\"http://h:1\"]}}\n"
                  "routes: [{upstream: a, methods: [GET, BAN], cache: {purge_from: [10.0.0.1]}}]\n",
                  "2:65: purge_from is for PURGE requests, which methods leaves out; add PURGE to "
                  "methods, or remove purge_from\n");
    struct conf *conf =
        expect_good("upstreams: {a: {servers: [\"http://h:1\"]}}\n"
                    "routes: [{path: /a, upstream: a, methods: [GET, PURGE], cache: {purge_from: "
                    "[10.0.0.1]}},\n"
                    "         {path: /b, upstream: a, methods: [GET], cache: {purge_from: []}},\n"
                    "         {upstream: a, cache: {purge_from: [10.0.0.1]}}]\n");
    conf_release(&conf);
    /* One block for a path's routes, one of which takes PURGE. */
    conf = expect_good("upstreams: {a: {servers: [\"http://h:1\"]}}\n"
                       "routes:\n"
                       "- {upstream: a, methods: [PURGE], cache: &c {purge_from: [10.0.0.1]}}\n"
                       "- {upstream: a, methods: [GET], cache: *c}\n");
    conf_release(&conf);
    expect_errors("upstreams: {a: {servers: [\"http://h:1\"]}}\n"
                  "routes:\n"
                  "- {upstream: a, methods: [PURGE], cache: {purge_from: [10.0.0.1]}}\n"
                  "- {upstream: a, methods: [GET], cache: {purge_from: [10.0.0.1]}}\n",
                  "4:53: purge_from is for PURGE requests, which methods leaves out; add PURGE to "
                  "methods, or remove purge_from\n");
}

static void test_reach(void **state)
{
    (void)state;
    expect_errors(
        "upstreams: {a: {servers: [\"http://h\"]}}\nroutes:\n"
        "- {host: \"*.x\", path: /v1/, upstream: a}\n"
        "- {host: a.x, path: /v2, upstream: a}\n"
        "- {host: b.x, path: /v1/c, methods: [GET], upstream: a}\n"
        "- {upstream: a}\n"
        "- {path: /z, upstream: a}\n",
        "5:3: this route can never match, because the one on line 3 (*.x/v1/) takes all of "
        "its requests; move it before that one, or remove it\n"
        "7:3: this route can never match, because the one on line 6 (*/) takes all of its "
        "requests; move it before that one, or remove it\n");
    /* A route in which something else is wrong is not judged, and judges none. */
    expect_errors("upstreams: {a: {servers: [\"http://h\"]}}\nroutes:\n"
                  "- {path: v1, upstream: a}\n- {upstream: a}\n",
                  "3:10: path: \"v1\" does not begin with a slash; write it as /v1/\n");
}

static void test_many(void **state)
{
    (void)state;
    char *text = base_alloc(16384);
    int at = sprintf(text, "limits:\n");
    for (int i = 0; i < 300; i++)
        at += sprintf(text + at, "  zzzzzzzzzz%d: 1\n", i);
    struct conf_errors errors;
    assert_null(conf_parse("f", text, strlen(text), &errors));
    assert_int_equal(errors.count, 200);
    assert_non_null(strstr(errors.text, "\nf: there are more errors; correct these 200 first\n"));
    conf_errors_destroy(&errors);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unknown_keys), cmocka_unit_test(test_later_keys),
        cmocka_unit_test(test_values),       cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_missing),      cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_admin),        cmocka_unit_test(test_cache),
        cmocka_unit_test(test_purge_from),   cmocka_unit_test(test_reach),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
