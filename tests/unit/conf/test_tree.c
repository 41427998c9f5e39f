/* YAML itself: syntax errors with their place, and what of YAML is not taken. */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/conf/expect.h"

#define QUOTE_ADVICE                                                                               \
    "; check the indentation, and quote a value that begins with one of * & ! [ { % @\n"

static void test_syntax(void **state)
{
    (void)state;
    expect_errors("", "1:1: the file is empty; write at least upstreams and routes\n");
    expect_errors("# nothing\n", "1:1: the file is empty; write at least upstreams and routes\n");
    expect_errors("a: 1\n\tb: 2\n",
                  "2:1: not valid YAML: a tab where blanks are expected; indent with spaces\n");
    expect_errors(
        "routes:\n  - host: *.example.com\n",
        "2:12: not valid YAML: did not find expected alphabetic or numeric character while "
        "scanning an alias that began on line 2" QUOTE_ADVICE);
    expect_errors("listen:\n  - address: [::1]:80\n",
                  "2:15: not valid YAML: did not find expected node content while parsing a flow "
                  "node that began on line 2" QUOTE_ADVICE);
    expect_errors("a: \"x\n",
                  "2:1: not valid YAML: found unexpected end of stream while scanning a "
                  "quoted scalar that began on line 1" QUOTE_ADVICE);
    expect_errors("workers: 1\n---\nworkers: 2\n",
                  "2:1: a second document; keep one, without \"---\" after it\n");
    expect_errors("# \xc3\xa4\nx: \xc3\xa4\xff\n",
                  "2:5: not valid YAML: invalid leading UTF-8 octet (0xff); save the file as UTF-8 "
                  "text\n");
    expect_errors("- a\n",
                  "1:1: the file takes settings of its own; write them below it, indented, "
                  "as \"key: value\"\n");
}

/* Nothing that was found before it is told beside a syntax error. */
static void test_syntax_alone(void **state)
{
    (void)state;
    expect_errors("workers: !!int 1\nworkers: ${WEIR_TEST_UNSET}\nx: }\n",
                  "3:4: not valid YAML: did not find expected node content while parsing a block "
                  "node that began on line 3" QUOTE_ADVICE);
}

static void test_not_taken(void **state)
{
    (void)state;
    expect_errors("workers: 1\n" SMALLEST "workers: 2\n",
                  "4:1: duplicate key \"workers\", which line 1 has already; remove one of them\n");
    expect_errors(
        "limits: {headers: 1, headers: 2, headers: 3}\n" SMALLEST,
        "1:22: duplicate key \"headers\", which line 1 has already; remove one of them\n"
        "1:34: duplicate key \"headers\", which line 1 has already; remove one of them\n");
    expect_errors("limits: {<<: {headers: 5}}\n" SMALLEST,
                  "1:10: merge keys do not work here; write the settings out, or use an alias for "
                  "the whole value\n");
    expect_errors(
        "workers: !!int 5\nlimits: !x {}\n" SMALLEST,
        "1:10: tags do not work here; remove the tag, or quote the value if it begins with "
        "!\n"
        "2:9: tags do not work here; remove the tag, or quote the value if it begins with "
        "!\n");
    expect_errors("? [a]\n: b\n" SMALLEST,
                  "1:3: a key that is a list or a mapping; write a name\n");
    expect_errors("access_log: {path: \"a\\nb\"}\nerror_log: {level: \"\\0\"}\n" SMALLEST,
                  "1:20: holds a line break or a control character; remove it\n"
                  "2:20: holds a line break or a control character; remove it\n");
}

static void test_aliases(void **state)
{
    (void)state;
    struct conf *conf =
        expect_good("upstreams:\n"
                    "  a: {servers: &s [\"http://h:1\"], timeouts: &t {connect: &c 9s}}\n"
                    "  b: {servers: *s, timeouts: *t, pool: {idle_timeout: *c}}\n"
                    "routes:\n"
                    "  - {path: /b, upstream: b}\n"
                    "  - {upstream: a}\n");
    assert_string_equal(conf->upstreams[1].servers[0].url, "http://h:1");
    assert_int_equal(conf->upstreams[1].timeouts.connect_ms, 9000);
    assert_int_equal(conf->upstreams[1].pool.idle_timeout_ms, 9000);
    conf_release(&conf);
    expect_errors(
        "workers: *w\nlimits: &l {headers: *l}\n" SMALLEST,
        "1:10: the alias \"*w\" has no anchor before it; write \"&w\" before the value that "
        "is meant, or quote it if it is no alias\n"
        "2:22: the alias \"*l\" stands inside its own anchor; remove it\n");
    /* One mistake in an anchored value is told once. */
    expect_errors("upstreams:\n"
                  "  a: {servers: &s [\"foo\"]}\n"
                  "  b: {servers: *s}\n"
                  "routes: [{path: /b, upstream: b}, {upstream: a}]\n",
                  "2:20: servers: \"foo\" is not a server's URL; write \"http://host:port\" or "
                  "\"unix:/path\"\n");
}

static void test_variables(void **state)
{
    (void)state;
    setenv("WEIR_TEST_A", "api", 1);
    setenv("WEIR_TEST_EMPTY", "", 1);
    unsetenv("WEIR_TEST_UNSET");
    struct conf *conf = expect_good("upstreams: {api: {servers: [\"http://${WEIR_TEST_A}.x:"
                                    "${WEIR_TEST_UNSET:-90}${WEIR_TEST_EMPTY:-01}\"]}}\n"
                                    "routes: [{upstream: '${WEIR_TEST_A}'}]\n"
                                    "access_log: {path: '/$a$${WEIR_TEST_EMPTY}$'}\n"
                                    "cache: {memory: '${WEIR_TEST_UNSET:-1GiB}'}\n");
    assert_string_equal(conf->upstreams[0].servers[0].url, "http://api.x:9001");
    assert_string_equal(conf->access_log_path, "/$a$$");
    assert_true(conf->cache_memory == 1ull << 30);
    conf_release(&conf);
    expect_errors(SMALLEST "workers: ${WEIR_TEST_UNSET}\n"
                           "error_log: {level: '${}'}\n"
                           "access_log: {path: '${A', format: '${A-b}'}\n",
                  "3:10: the environment variable WEIR_TEST_UNSET is not set; set it, or write "
                  "${WEIR_TEST_UNSET:-default}\n"
                  "4:20: \"${}\" is not a variable; write ${NAME} or ${NAME:-default}\n"
                  "5:20: \"${A\" is not a variable; write ${NAME} or ${NAME:-default}\n"
                  "5:35: \"${A-b}\" is not a variable; write ${NAME} or ${NAME:-default}\n");
    expect_errors(SMALLEST "workers: ${WEIR_TEST_UNSET:-}\n",
                  "3:10: workers is empty; give it a value, or remove it for its default\n");
    setenv("WEIR_TEST_A", "line\nbreak", 1);
    expect_errors(SMALLEST "access_log: {path: '${WEIR_TEST_A}'}\n",
                  "3:20: holds a line break or a control character; remove it\n");
}

/* Each line doubles the one before: 2^30 values, if they were followed. */
static void test_bomb(void **state)
{
    (void)state;
    char text[4096];
    struct appender out = appender_on(text, sizeof(text) - 1);
    append_lit(&out, "a0: &a0 [x, x]\n");
    for (int i = 1; i < 30; i++)
        append_fmt(&out, "a%d: &a%d [*a%d, *a%d]\n", i, i, i - 1, i - 1);
    text[out.len] = '\0';
    expect_errors(text, "15:18: more than 100000 values, aliases counted; make the file smaller\n");
}

static void test_depth(void **state)
{
    (void)state;
    char text[128] = "a: ";
    memset(text + 3, '[', 60);
    expect_errors(text, "1:35: nested deeper than 32 levels; nothing here needs that\n");
}

static void test_sizes(void **state)
{
    (void)state;
    size_t len = 1u << 20;
    char *text = base_alloc(len + 2);
    memset(text, ' ', len + 1);
    text[len + 1] = '\0';
    memcpy(text, SMALLEST "#", sizeof(SMALLEST));
    expect_errors(text, "larger than 1MiB; make it smaller, or give the right file\n");
    text[len] = '\0';
    struct conf *conf = expect_good(text);
    conf_release(&conf);
    int at = sprintf(text, SMALLEST "access_log: {path: ");
    memset(text + at, 'x', 4097);
    strcpy(text + at + 4097, "}\n");
    expect_errors(text, "3:20: longer than 4096 bytes; shorten it\n");
    strcpy(text + at + 4096, "}\n");
    conf = expect_good(text);
    conf_release(&conf);
    free(text);
}

static void test_anchors(void **state)
{
    (void)state;
    char *text = base_alloc(1 << 16);
    int at = sprintf(text, "a:\n");
    for (int i = 0; i <= 1000; i++)
        at += sprintf(text + at, "- &n%d x\n", i);
    expect_errors(text, "1002:3: more than 1000 anchors; make the file smaller\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_syntax),    cmocka_unit_test(test_syntax_alone),
        cmocka_unit_test(test_not_taken), cmocka_unit_test(test_aliases),
        cmocka_unit_test(test_variables), cmocka_unit_test(test_bomb),
        cmocka_unit_test(test_depth),     cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_anchors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
