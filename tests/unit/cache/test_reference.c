/* cache/reference.c: which URI of the same origin a reference means. */
#include "tests/unit/cache/cache_fixture.h"

static void check_reference(const char *base, const char *reference, const char *expected)
{
    char bytes[128];
    struct appender out = appender_on(bytes, sizeof(bytes));
    bool good = cache_key_resolve(str_from(base), str_from(reference), &out);
    if (good != (expected != NULL))
        fail_msg("'%s': %s", reference, good ? "accepted" : "refused");
    if (good && !str_equal(str_of(out.ptr, out.len), str_from(expected)))
        fail_msg("'%s': '%.*s' is not '%s'", reference, (int)out.len, out.ptr, expected);
}

/* RFC 3986 §5.4, as far as they stay in the origin. */
static void test_references(void **state)
{
    static const struct {
        const char *reference, *expected;
    } rows[] = {
        {"g", "/b/c/g"},
        {"./g", "/b/c/g"},
        {"g/", "/b/c/g/"},
        {"/g", "/g"},
        {"?y", "/b/c/d;p?y"},
        {"g?y", "/b/c/g?y"},
        {"#s", "/b/c/d;p?q"},
        {"g#s", "/b/c/g"},
        {"g?y#s", "/b/c/g?y"},
        {";x", "/b/c/;x"},
        {"g;x", "/b/c/g;x"},
        {"", "/b/c/d;p?q"},
        {".", "/b/c/"},
        {"./", "/b/c/"},
        {"..", "/b/"},
        {"../", "/b/"},
        {"../g", "/b/g"},
        {"../..", "/"},
        {"../../g", "/g"},
        {"../../../g", "/g"},
        {"../../../../g", "/g"},
        {"/./g", "/g"},
        {"/../g", "/g"},
        {"g.", "/b/c/g."},
        {".g", "/b/c/.g"},
        {"g..", "/b/c/g.."},
        {"..g", "/b/c/..g"},
        {"./../g", "/b/g"},
        {"./g/.", "/b/c/g/"},
        {"g/./h", "/b/c/g/h"},
        {"g/../h", "/b/c/h"},
        {"g;x=1/../y", "/b/c/y"},
        {"g?y/./x", "/b/c/g?y/./x"},
        {"g?y/../x", "/b/c/g?y/../x"},
        {"g#s/../x", "/b/c/g"},
        {"http://a/x/../g?y/../z", "/g?y/../z"},
        {"HTTP://A:80/g", "/g"},
        {"http://a", "/"},
        {"//a/g", "/g"},
        {"//a:80?x", "/?x"},
        {"/g:h", "/g:h"},
        {"g/a:b", "/b/c/g/a:b"},
    };
    static const char *const others[] = {
        "https://a/g", "http://b/g", "http://a:81/g", "//b/g",   "//a:81/g",   "g:h",  "http:g",
        "//",          "//u@a/g",    "a b",           "http://", "mailto:a@b", "h0:g", "a9+-.b:g",
        "z:"};
    (void)state;
    for (size_t i = 0; i < weir_count(rows); i++) {
        char expected[64];
        snprintf(expected, sizeof(expected), "http://a%s", rows[i].expected);
        check_reference("http://a/b/c/d;p?q", rows[i].reference, expected);
    }
    for (size_t i = 0; i < weir_count(others); i++)
        check_reference("http://a/b/c/d;p?q", others[i], NULL);
    check_reference("http://a/b\nmore", "", "http://a/b");
    char small[16];
    struct appender out = appender_on(small, sizeof(small));
    assert_false(cache_key_resolve(STR("http://a/b"), STR("/0123456789"), &out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_references),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
