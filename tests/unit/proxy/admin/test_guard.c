/* Who may ask the admin port for what. */
#include "proxy/admin/admin.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_loopback_hosts(void **state)
{
    static const char *const good[] = {"localhost",      "LocalHost:9180", "127.0.0.1",
                                       "127.0.0.1:9180", "127.1.2.3:1",    "[::1]",
                                       "[::1]:9180"};
    static const char *const bad[] = {"",
                                      "example.test",
                                      "localhost.evil.test",
                                      "127.0.0.1.evil.test",
                                      "127.evil.test",
                                      "128.0.0.1",
                                      "[::1].evil",
                                      "[::2]",
                                      "::1",
                                      "127.0.0.1:",
                                      "localhost:x",
                                      "localhost:1@evil",
                                      "127.0.0.1 ",
                                      "0.0.0.0",
                                      "127.1"};

    (void)state;
    for (size_t i = 0; i < weir_count(good); i++)
        assert_true(admin_host_is_loopback(good[i]));
    for (size_t i = 0; i < weir_count(bad); i++)
        assert_false(admin_host_is_loopback(bad[i]));
    assert_false(admin_host_is_loopback(NULL));
}

static void test_origins(void **state)
{
    (void)state;
    assert_true(admin_origin_is_own("http://127.0.0.1:9180", "127.0.0.1:9180"));
    assert_true(admin_origin_is_own("http://localhost:9180", "LOCALHOST:9180"));
    assert_false(admin_origin_is_own("http://127.0.0.1:3000", "127.0.0.1:9180"));
    assert_false(admin_origin_is_own("https://127.0.0.1:9180", "127.0.0.1:9180"));
    assert_false(admin_origin_is_own("http://127.0.0.1:9180.evil.test", "127.0.0.1:9180"));
    assert_false(admin_origin_is_own("null", "127.0.0.1:9180"));
    assert_false(admin_origin_is_own("", ""));
    assert_false(admin_origin_is_own("http://x", NULL));
}

static void test_tokens(void **state)
{
    static const char *const bad[] = {"",
                                      "Bearer",
                                      "Bearer ",
                                      "s3cret",
                                      "Bearer s3cre",
                                      "Bearer s3crets",
                                      "Bearer s3cretx",
                                      "Basic s3cret",
                                      "Bearer s3crets3cret",
                                      "Bearer S3cret",
                                      "Bearer s3cret "};

    (void)state;
    assert_true(admin_token_matches("Bearer s3cret", "s3cret"));
    assert_true(admin_token_matches("bearer  s3cret", "s3cret"));
    for (size_t i = 0; i < weir_count(bad); i++)
        assert_false(admin_token_matches(bad[i], "s3cret"));
    assert_false(admin_token_matches(NULL, "s3cret"));
    assert_false(admin_token_matches("Bearer ", ""));
}

static bool is_local(int family, const char *text)
{
    struct sockaddr_in ip4 = {.sin_family = AF_INET};
    struct sockaddr_in6 ip6 = {.sin6_family = AF_INET6};

    assert_int_equal(
        inet_pton(family, text, family == AF_INET ? (void *)&ip4.sin_addr : (void *)&ip6.sin6_addr),
        1);
    return admin_peer_is_local(family == AF_INET ? (struct sockaddr *)&ip4
                                                 : (struct sockaddr *)&ip6);
}

static void test_peers(void **state)
{
    struct sockaddr unix_peer = {.sa_family = AF_UNIX}, unknown = {.sa_family = AF_UNSPEC};

    (void)state;
    assert_true(is_local(AF_INET, "127.0.0.1") && is_local(AF_INET, "127.9.9.9"));
    assert_true(is_local(AF_INET6, "::1") && is_local(AF_INET6, "::ffff:127.0.0.1"));
    assert_true(admin_peer_is_local(&unix_peer));
    assert_false(is_local(AF_INET, "10.0.0.1") || is_local(AF_INET, "0.0.0.0"));
    assert_false(is_local(AF_INET6, "::2") || is_local(AF_INET6, "::ffff:10.0.0.1"));
    assert_false(admin_peer_is_local(&unknown) || admin_peer_is_local(NULL));
}

static void test_the_only_parameter(void **state)
{
    static const struct {
        const char *query, *why;
    } bad[] = {{NULL, "is missing"},
               {"", "is missing"},
               {"x=1", "is missing"},
               {"url=", "is empty"},
               {"url=a&url=b", "is not the only parameter"},
               {"url=http://x/?a=1&b=2", "is not the only parameter"},
               {"soft=1&url=a", "is not the only parameter"},
               {"url", "cannot be read"},
               {"url=http://x/%00y", "holds an encoded zero byte"}};
    const char *why;
    char *value = admin_only_parameter("url=http%3A%2F%2Fx%2F%3Fa%3D1%26b%3D%2B", "url", &why);

    (void)state;
    assert_non_null(value);
    assert_string_equal(value, "http://x/?a=1&b=+");
    free(value);
    for (size_t i = 0; i < weir_count(bad); i++) {
        assert_null(admin_only_parameter(bad[i].query, "url", &why));
        assert_string_equal(why, bad[i].why);
    }
}

static void test_what_a_purge_names(void **state)
{
    static const struct {
        const char *query, *value;
        enum admin_purge_what what;
        bool soft;
    } good[] = {
        {"url=http%3A%2F%2Fx%2F%3Fa%3D1%26b%3D%2B", "http://x/?a=1&b=+", ADMIN_PURGE_URL, false},
        {"soft=1&prefix=http://x/", "http://x/", ADMIN_PURGE_PREFIX, true},
        {"tag=a+b&soft=0", "a b", ADMIN_PURGE_TAG, false},
        {"all=1&soft=1", "1", ADMIN_PURGE_ALL, true},
    };
    static const struct {
        const char *query, *why;
    } bad[] = {{NULL, "nothing to purge is named"},
               {"", "nothing to purge is named"},
               {"soft=1", "nothing to purge is named"},
               {"x=1", "there is no such parameter"},
               {"url=http://x/?a=1&b=2", "there is no such parameter"},
               {"URL=http://x/", "there is no such parameter"},
               {"url=", "a parameter is empty"},
               {"url=a&url=b", "more than one thing to purge is named"},
               {"url=a&all=1", "more than one thing to purge is named"},
               {"all=2", "all takes nothing but 1"},
               {"all=true", "all takes nothing but 1"},
               {"tag=a&soft=2", "soft is neither 1 nor 0"},
               {"tag=a&soft=1&soft=0", "soft is given twice"},
               {"url", "the query cannot be read"},
               {"url=http://x/%00y", "the query holds an encoded zero byte"}};
    struct admin_purge_order order;
    const char *why;

    (void)state;
    for (size_t i = 0; i < weir_count(good); i++) {
        assert_true(admin_purge_read(good[i].query, &order, &why));
        assert_string_equal(order.value, good[i].value);
        assert_int_equal(order.what, good[i].what);
        assert_int_equal(order.soft, good[i].soft);
        free(order.value);
    }
    for (size_t i = 0; i < weir_count(bad); i++) {
        assert_false(admin_purge_read(bad[i].query, &order, &why));
        assert_string_equal(why, bad[i].why);
        assert_null(order.value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loopback_hosts),
        cmocka_unit_test(test_origins),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_peers),
        cmocka_unit_test(test_the_only_parameter),
        cmocka_unit_test(test_what_a_purge_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
