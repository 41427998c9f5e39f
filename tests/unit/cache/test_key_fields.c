/* cache/key_fields.c: what follows the URL in a key. */
#include "tests/unit/cache/cache_fixture.h"
#include "tests/unit/cache/policy_fixture.h"

#define NAMES(...)                                                                                 \
    (struct conf_names)                                                                            \
    {                                                                                              \
        (const struct str[]){__VA_ARGS__},                                                         \
            sizeof((const struct str[]){__VA_ARGS__}) / sizeof(struct str)                         \
    }

struct fields_row {
    const char *head, *expected;
};

static void check(const struct conf_route_key *rules, const struct fields_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char bytes[1024];
        struct appender out = appender_on(bytes, sizeof(bytes));
        struct head head = head_of(rows[i].head);
        cache_key_add_fields(&out, fields_of(&head), rules);
        assert_false(out.overflow);
        if (!str_equal(str_of(out.ptr, out.len), str_from(rows[i].expected)))
            fail_msg("%s: '%.*s' is not '%s'", rows[i].head, (int)out.len, out.ptr,
                     rows[i].expected);
    }
}

static void test_headers(void **state)
{
    (void)state;
    struct conf_route_key rules = {.any = true, .headers = NAMES(STR("x-b"), STR("accept-*"))};
    static const struct fields_row rows[] = {
        {NULL, ""},
        {"X-C: 1", ""},
        {"X-B: 1", "\nx-b:1"},
        {"x-b: A", "\nx-b:A"},
        {"X-B:", "\nx-b:"},
        {"Accept-Language: de\nX-B: 1", "\nx-b:1\naccept-language:de"},
        {"X-B: 1\nAccept-Language: de", "\nx-b:1\naccept-language:de"},
        {"X-B: 1 ,2,, 3", "\nx-b:1, 2, 3"},
        {"X-B: 1\nX-C: 9\nx-b: 2", "\nx-b:1, 2"},
        {"X-B: 1, 2", "\nx-b:1, 2"},
        {"X-B: \"1,2\"", "\nx-b:\"1,2\""},
        {"Accept: x", ""},
        {"Accept-B: x\nAccept-A: y", "\naccept-b:x\naccept-a:y"},
    };
    check(&rules, rows, weir_count(rows));
}

/* A field that two names of the list match is written once. */
static void test_headers_matched_twice(void **state)
{
    (void)state;
    struct conf_route_key rules = {.any = true, .headers = NAMES(STR("x-*"), STR("*-a"))};
    static const struct fields_row rows[] = {{"B-A: 1\nX-A: 2\nX-B: 3", "\nx-a:2\nx-b:3\nb-a:1"}};
    check(&rules, rows, weir_count(rows));
}

static void test_cookies(void **state)
{
    (void)state;
    struct conf_route_key rules = {.any = true, .cookies = NAMES(STR("b"), STR("x_*"))};
    static const struct fields_row rows[] = {
        {NULL, ""},
        {"Cookie: a=1", ""},
        {"Cookie: B=1", ""},
        {"X-Cookie: b=1", ""},
        {"Cookie: b=1", "\ncookie=b=1"},
        {"cookie: a=0; b=1; c=2", "\ncookie=b=1"},
        {"Cookie: b=", "\ncookie=b="},
        {"Cookie: b", "\ncookie=b"},
        {"Cookie: x_1=2; b=1", "\ncookie=b=1;x_1=2"},
        {"Cookie: b=1; x_1=2", "\ncookie=b=1;x_1=2"},
        {"Cookie: b=1\nCookie: b=2", "\ncookie=b=1;b=2"},
        {"Cookie: b=2; b=1", "\ncookie=b=2;b=1"},
        {"Cookie:  b = 1 ;a", "\ncookie=b=1"},
        {"Cookie: b=x=y", "\ncookie=b=x=y"},
        {"Cookie: b=\"1\"", "\ncookie=b=\"1\""},
        /* what one server sees as a cookie is inside another one for the next */
        {"Cookie: z=\"; b=1; \"", "\ncookie=b=1\ncookie-line=z=\"; b=1; \""},
        {"Cookie: a=1\nCookie: z=\"x", "\ncookie-line=z=\"x"},
    };
    check(&rules, rows, weir_count(rows));
}

static void test_cookies_that_are_not_named_are_not_looked_at(void **state)
{
    (void)state;
    struct conf_route_key rules = {.any = true, .headers = NAMES(STR("x"))};
    static const struct fields_row rows[] = {{"Cookie: z=\"x", ""}};
    check(&rules, rows, weir_count(rows));
}

static void content_key(const struct cache *cache, const char *fields, const char *content,
                        char out[512])
{
    struct appender text = appender_on(out, 511);
    struct head head = head_of(fields);
    cache_key_add_content(&text, cache, fields_of(&head), str_from(content));
    assert_false(text.overflow);
    out[text.len] = '\0';
}

static void test_content(void **state)
{
    (void)state;
    struct cache *one = cache_new(MIB, MIB, 1, 0), *other = cache_new(MIB, MIB, 1, 0);
    char a[512], b[512];
    content_key(one, "Content-Type: a/b\nContent-Length: 1\nContent-Encoding: gzip", "x", a);
    static const char start[] = "\nmethod=QUERY\ncontent-type:a/b\ncontent-encoding:gzip\ncontent=";
    size_t len = sizeof(start) - 1;
    assert_memory_equal(a, start, len);
    assert_int_equal(strlen(a), len + 32);
    assert_int_equal(strspn(a + len, "0123456789abcdef"), 32);
    content_key(one, "Content-Encoding: gzip\nContent-Type: a/b", "x", b);
    assert_string_equal(a, b);
    static const struct {
        const char *fields, *content;
    } others[] = {
        {"Content-Type: a/b\nContent-Encoding: gzip", "y"},
        {"Content-Type: a/b\nContent-Encoding: gzip", ""},
        {"Content-Type: a/c\nContent-Encoding: gzip", "x"},
        {"Content-Type: a/b\nContent-Encoding: br", "x"},
        {"Content-Type: a/b", "x"},
        {"Content-Type: a/b\nContent-Encoding:", "x"},
        {"Content-Type: a/b\nContent-Encoding: gzip\nContent-Language: de", "x"},
        {"Content-Type: a/b\nContent-Encoding: gzip\nContent-Location: /x", "x"},
    };
    for (size_t i = 0; i < weir_count(others); i++) {
        content_key(one, others[i].fields, others[i].content, b);
        if (strcmp(a, b) == 0)
            fail_msg("%s, %s", others[i].fields, others[i].content);
    }
    content_key(other, "Content-Encoding: gzip\nContent-Type: a/b", "x", b);
    assert_string_not_equal(a, b); /* the secret is the cache's own */
    cache_free(&one);
    cache_free(&other);
}

static void test_url_of_a_key(void **state)
{
    (void)state;
    assert_true(str_equal(cache_key_url(STR("http://h/")), STR("http://h/")));
    assert_true(str_equal(cache_key_url(STR("http://h/\nx:1\ncookie=a")), STR("http://h/")));
    assert_true(str_equal(cache_key_url(STR("\n")), STR("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_headers_matched_twice),
        cmocka_unit_test(test_cookies),
        cmocka_unit_test(test_cookies_that_are_not_named_are_not_looked_at),
        cmocka_unit_test(test_content),
        cmocka_unit_test(test_url_of_a_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
