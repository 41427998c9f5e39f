/* cache/key.c: what a stored response is found by. */
#include "tests/unit/cache/cache_fixture.h"

static void check_written(const char *scheme, const char *authority, const char *target,
                          const char *expected)
{
    char bytes[128];
    struct appender out = appender_on(bytes, sizeof(bytes));
    cache_key_write(&out, str_from(scheme), str_from(authority), str_from(target), NULL);
    if (out.overflow || !str_equal(str_of(out.ptr, out.len), str_from(expected)))
        fail_msg("'%.*s' is not '%s'", (int)out.len, out.ptr, expected);
}

static void test_write_normalises_the_host_only(void **state)
{
    (void)state;
    check_written("http", "Example.COM", "/A?b=C", "http://example.com/A?b=C");
    check_written("http", "example.com:80", "/", "http://example.com/");
    check_written("https", "example.com:443", "/", "https://example.com/");
    check_written("https", "example.com:80", "/", "https://example.com:80/");
    check_written("http", "example.com:443", "/", "http://example.com:443/");
    check_written("http", "example.com.", "/", "http://example.com/");
    check_written("http", "example.com.:80", "/", "http://example.com/");
    check_written("http", "example.com.:8080", "/", "http://example.com:8080/");
    check_written("http", "example.com:", "/", "http://example.com/");
    check_written("HTTP", "a", "/", "http://a/");
    check_written("http", "[::1]", "/", "http://[::1]/");
    check_written("http", "[2001:DB8::80]:80", "/", "http://[2001:db8::80]/");
    check_written("http", "[::1]:8080", "/", "http://[::1]:8080/");
    check_written("http", "127.0.0.1:9", "*", "http://127.0.0.1:9*");
    check_written("http", "a", "?q", "http://a/?q");
}

static void test_write_that_does_not_fit(void **state)
{
    (void)state;
    char bytes[16];
    for (size_t cap = 0; cap < 16; cap++) {
        struct appender out = appender_on(bytes, cap);
        cache_key_write(&out, STR("http"), STR("host.example"), STR("/"), NULL);
        assert_true(out.overflow);
        assert_true(out.len <= cap);
    }
}

static void check_url(const char *url, const char *expected)
{
    char bytes[128];
    struct appender out = appender_on(bytes, sizeof(bytes));
    bool good = cache_key_from_url(str_from(url), &out);
    if (good != (expected != NULL))
        fail_msg("'%s': %s", url, good ? "accepted" : "refused");
    if (good && !str_equal(str_of(out.ptr, out.len), str_from(expected)))
        fail_msg("'%s': '%.*s' is not '%s'", url, (int)out.len, out.ptr, expected);
}

static void test_url_as_users_write_it(void **state)
{
    (void)state;
    check_url("http://Example.com", "http://example.com/");
    check_url("HTTP://example.com/x", "http://example.com/x");
    check_url("https://example.com:443/x?y=1#frag", "https://example.com/x?y=1");
    check_url("http://example.com?q=1", "http://example.com/?q=1");
    check_url("http://example.com#frag", "http://example.com/");
    check_url("http://example.com/a?b=http://c/d?e", "http://example.com/a?b=http://c/d?e");
    check_url("", NULL);
    check_url("/x", NULL);
    check_url("example.com/x", NULL);
    check_url("ftp://example.com/", NULL);
    check_url("http:///x", NULL);
    check_url("http://:80/x", NULL);
    check_url("http://user@example.com/", NULL);
    check_url("http://example.com/a b", NULL);
    check_url("http://example.com/a\r\nb", NULL);
    char small[8];
    struct appender out = appender_on(small, sizeof(small));
    assert_false(cache_key_from_url(STR("http://example.com/"), &out));
}

static void test_hash_is_the_caches_own(void **state)
{
    (void)state;
    struct cache *one = cache_new(MIB, MIB, 1, 0), *other = cache_new(MIB, MIB, 1, 0);
    struct cache_key a = key_of(one, "http://a/"), again = key_of(one, "http://a/");
    struct cache_key b = key_of(one, "http://b/"), foreign = key_of(other, "http://a/");
    assert_true(a.hash == again.hash && a.check == again.check);
    assert_true(a.hash != b.hash && a.check != b.check);
    assert_true(a.hash != foreign.hash && a.check != foreign.check);
    cache_free(&one);
    cache_free(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_normalises_the_host_only),
        cmocka_unit_test(test_write_that_does_not_fit),
        cmocka_unit_test(test_url_as_users_write_it),
        cmocka_unit_test(test_hash_is_the_caches_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
