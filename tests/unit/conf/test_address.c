/* Addresses and servers' URLs: their canonical form, and each way of being wrong. */
#include "conf/keys.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/un.h>

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

static void test_good(void **state)
{
    (void)state;
    static const struct {
        const char *text, *canonical, *host;
        enum conf_address_kind kind;
        uint16_t port;
    } cases[] = {
        {"127.0.0.1:80", "127.0.0.1:80", "127.0.0.1", CONF_ADDRESS_IP, 80},
        {"0.0.0.0:0", "0.0.0.0:0", "0.0.0.0", CONF_ADDRESS_IP, 0},
        {"[::1]:65535", "[::1]:65535", "::1", CONF_ADDRESS_IP, 65535},
        {"[0:0::0001]:80", "[::1]:80", "::1", CONF_ADDRESS_IP, 80},
        {"unix:/run/a.sock", "unix:/run/a.sock", "/run/a.sock", CONF_ADDRESS_UNIX, 0},
        {"API.Internal:9000", "api.internal:9000", "api.internal", CONF_ADDRESS_NAME, 9000},
        {"a_b-1.x:1", "a_b-1.x:1", "a_b-1.x", CONF_ADDRESS_NAME, 1},
    };
    for (size_t i = 0; i < weir_count(cases); i++) {
        struct conf_address address;
        const char *why = NULL;
        if (!conf_address_parse(&arena, cases[i].text, &address, &why))
            fail_msg("\"%s\" %s", cases[i].text, why);
        assert_string_equal(address.text, cases[i].canonical);
        assert_string_equal(address.host, cases[i].host);
        assert_int_equal(address.kind, cases[i].kind);
        assert_int_equal(address.port, cases[i].port);
        assert_int_equal(address.len > 0, cases[i].kind != CONF_ADDRESS_NAME);
    }
}

static void test_sockets(void **state)
{
    (void)state;
    struct conf_address address;
    const char *why;
    assert_true(conf_address_parse(&arena, "10.1.2.3:513", &address, &why));
    struct sockaddr_in v4;
    memcpy(&v4, &address.socket, sizeof(v4));
    assert_int_equal(address.len, sizeof(v4));
    assert_int_equal(v4.sin_family, AF_INET);
    assert_int_equal(ntohs(v4.sin_port), 513);
    assert_int_equal(ntohl(v4.sin_addr.s_addr), 0x0a010203);
    assert_true(conf_address_parse(&arena, "[fe80::2]:513", &address, &why));
    assert_int_equal(address.socket.ss_family, AF_INET6);
    assert_int_equal(address.len, sizeof(struct sockaddr_in6));
    assert_true(conf_address_parse(&arena, "unix:/a", &address, &why));
    assert_string_equal(((struct sockaddr_un *)&address.socket)->sun_path, "/a");
}

static void test_bad(void **state)
{
    (void)state;
    char long_path[200] = "unix:/";
    memset(long_path + 6, 'x', 107);
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "has no port; write host:port, such as 127.0.0.1:8080"},
        {"8080", "has no port; write host:port, such as 127.0.0.1:8080"},
        {":8080",
         "names no address; write 0.0.0.0:8080 for every IPv4 one, \"[::]:8080\" for IPv6"},
        {"*:8080",
         "names no address; write 0.0.0.0:8080 for every IPv4 one, \"[::]:8080\" for IPv6"},
        {"a:65536", "has a port that is not a number from 0 to 65535; correct it"},
        {"a:", "has a port that is not a number from 0 to 65535; correct it"},
        {"a:-1", "has a port that is not a number from 0 to 65535; correct it"},
        {"::1:80", "is not host:port; write an IPv6 address as \"[::1]:8080\""},
        {"[::1]", "has no port; write it as \"[::1]:8080\""},
        {"[::1", "is not an IPv6 address and port; write it as \"[::1]:8080\""},
        {"[1.2.3.4]:1", "is not an IPv6 address and port; write it as \"[::1]:8080\""},
        {"[::1]:x", "has a port that is not a number from 0 to 65535; correct it"},
        {"10.0.0.300:1", "is not an IPv4 address; write four numbers from 0 to 255"},
        {"10.0.1:1", "is not an IPv4 address; write four numbers from 0 to 255"},
        {"a..b:1", "is not an address; write host:port, \"[::1]:8080\" or unix:/path"},
        {"a b:1", "is not an address; write host:port, \"[::1]:8080\" or unix:/path"},
        {"unix:", "has no absolute path; write it as unix:/run/name.sock"},
        {"unix:a", "has no absolute path; write it as unix:/run/name.sock"},
    };
    struct conf_address address;
    const char *why = NULL;
    for (size_t i = 0; i < weir_count(cases); i++) {
        assert_false(conf_address_parse(&arena, cases[i].text, &address, &why));
        assert_string_equal(why, cases[i].why);
    }
    assert_false(conf_address_parse(&arena, long_path, &address, &why));
    assert_string_equal(why, "is too long for a unix socket; use a path of at most 107 bytes");
    long_path[strlen(long_path) - 1] = '\0';
    assert_true(conf_address_parse(&arena, long_path, &address, &why));
}

static void test_loopback(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool loopback;
    } cases[] = {
        {"127.0.0.1:1", true}, {"127.9.9.9:1", true},          {"[::1]:1", true},
        {"unix:/a", true},     {"[::ffff:127.0.0.1]:1", true}, {"0.0.0.0:1", false},
        {"[::]:1", false},     {"128.0.0.1:1", false},         {"[::ffff:10.0.0.1]:1", false},
    };
    for (size_t i = 0; i < weir_count(cases); i++) {
        struct conf_address address;
        const char *why;
        assert_true(address_parse_local(&arena, str_from(cases[i].text), &address, &why));
        assert_int_equal(address_is_loopback(&address), cases[i].loopback);
    }
}

static void test_servers(void **state)
{
    (void)state;
    static const struct {
        const char *url, *address, *authority, *prefix;
    } cases[] = {
        {"http://127.0.0.1:9000", "127.0.0.1:9000", "127.0.0.1:9000", ""},
        {"http://127.0.0.1:9000/", "127.0.0.1:9000", "127.0.0.1:9000", ""},
        {"http://api.Internal", "api.internal:80", "api.internal", ""},
        {"HTTP://[::1]", "[::1]:80", "[::1]", ""},
        {"http://[::1]:9000", "[::1]:9000", "[::1]:9000", ""},
        {"unix:/run/a.sock", "unix:/run/a.sock", "localhost", ""},
        {"http://a:8080/with/path/", "a:8080", "a:8080", "/with/path"},
    };
    for (size_t i = 0; i < weir_count(cases); i++) {
        struct conf_server server;
        const char *prefix = NULL, *why = NULL;
        if (!address_parse_server(&arena, str_from(cases[i].url), &server, &prefix, &why))
            fail_msg("\"%s\" %s", cases[i].url, why);
        assert_string_equal(server.url, cases[i].url);
        assert_string_equal(server.address.text, cases[i].address);
        assert_string_equal(server.authority, cases[i].authority);
        assert_string_equal(prefix, cases[i].prefix);
    }
}

static void test_bad_servers(void **state)
{
    (void)state;
    static const struct {
        const char *url, *why;
    } cases[] = {
        {"https://a", "is https; only http:// and unix: work, write \"http://host:port\" or "
                      "\"unix:/path\""},
        {"a:80", "is not a server's URL; write \"http://host:port\" or \"unix:/path\""},
        {"http+unix:/a", "is not a server's URL; write \"http://host:port\" or \"unix:/path\""},
        {"http://", "names no host; write \"http://host:port\""},
        {"http:///x", "names no host; write \"http://host:port\""},
        {"http://me@a", "holds a user name; remove it"},
        {"http://a:0", "has port 0; write the port that the server listens on"},
        {"http://a/?q", "has a query or a fragment; remove it"},
        {"http://a#f", "has a query or a fragment; remove it"},
        {"http://a/x y", "has a path with a character that must be percent-encoded; encode it"},
    };
    for (size_t i = 0; i < weir_count(cases); i++) {
        struct conf_server server;
        const char *prefix, *why = NULL;
        assert_false(address_parse_server(&arena, str_from(cases[i].url), &server, &prefix, &why));
        assert_string_equal(why, cases[i].why);
    }
    struct conf_server server;
    const char *why;
    assert_false(address_parse_server(&arena, STR("http://a/x"), &server, NULL, &why));
    assert_string_equal(why, "has a path, and paths are sent as the client wrote them; remove it");
}

static bool network_has(const char *network, int family, const char *address)
{
    struct conf_network parsed;
    const char *why;
    if (!address_parse_network(&arena, str_from(network), &parsed, &why))
        fail_msg("\"%s\" %s", network, why);
    assert_string_equal(parsed.text, network);
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    assert_int_equal(inet_pton(family, address,
                               family == AF_INET ? (void *)&v4.sin_addr : (void *)&v6.sin6_addr),
                     1);
    return conf_network_contains(
        &parsed, 1, family == AF_INET ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6);
}

static void test_networks(void **state)
{
    static const struct {
        const char *network, *in, *out;
        int family;
    } rows[] = {
        {"10.0.0.0/8", "10.255.255.255", "11.0.0.0", AF_INET},
        {"10.0.0.0/8", "10.0.0.0", "9.255.255.255", AF_INET},
        {"192.0.2.128/25", "192.0.2.128", "192.0.2.127", AF_INET},
        {"192.0.2.4/30", "192.0.2.7", "192.0.2.8", AF_INET},
        {"192.0.2.7", "192.0.2.7", "192.0.2.6", AF_INET},
        {"192.0.2.7/32", "192.0.2.7", "192.0.2.8", AF_INET},
        {"10.0.0.0/8", "::ffff:10.1.2.3", "::10.1.2.3", AF_INET6},
        {"::1", "::1", "::2", AF_INET6},
        {"2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::", AF_INET6},
        {"2001:db8::/32", "2001:db8:ffff::", "2001:db9::", AF_INET6},
    };
    (void)state;
    for (size_t i = 0; i < weir_count(rows); i++) {
        assert_true(network_has(rows[i].network, rows[i].family, rows[i].in));
        assert_false(network_has(rows[i].network, rows[i].family, rows[i].out));
    }
    assert_true(network_has("0.0.0.0/0", AF_INET, "255.1.2.3"));
    assert_false(network_has("0.0.0.0/0", AF_INET6, "::1"));
    assert_true(network_has("::/0", AF_INET6, "ffff::"));
    assert_false(network_has("::/0", AF_INET, "1.2.3.4"));
    struct sockaddr local = {.sa_family = AF_UNIX};
    assert_false(conf_network_contains(NULL, 0, &local));
}

static void test_bad_networks(void **state)
{
#define NO_NETWORK                                                                                 \
    "is neither an address nor a network; write 10.0.0.0/8, 192.0.2.7, \"::1\" or "                \
    "\"2001:db8::/32\""
#define NOT_FIRST                                                                                  \
    "names one address in the network, and not the network; write its first address, such as "     \
    "10.0.0.0/8, or leave the length out"
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"localhost", NO_NETWORK},
        {"/8", NO_NETWORK},
        {"10.0.0/8", NO_NETWORK},
        {"10.0.0.256", NO_NETWORK},
        {"[::1]", NO_NETWORK},
        {"10.0.0.1:80", NO_NETWORK},
        {"10.0.0.0/33", "has no length that works here; write 0 to 32 behind the slash"},
        {"10.0.0.0/", "has no length that works here; write 0 to 32 behind the slash"},
        {"10.0.0.0/-1", "has no length that works here; write 0 to 32 behind the slash"},
        {"::/129", "has no length that works here; write 0 to 128 behind the slash"},
        {"10.0.0.1/8", NOT_FIRST},
        {"192.0.2.1/31", NOT_FIRST},
        {"2001:db8::1/127", NOT_FIRST},
    };
    (void)state;
    for (size_t i = 0; i < weir_count(rows); i++) {
        struct conf_network network;
        const char *why = NULL;
        assert_false(address_parse_network(&arena, str_from(rows[i].text), &network, &why));
        assert_string_equal(why, rows[i].why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),     cmocka_unit_test(test_sockets),
        cmocka_unit_test(test_bad),      cmocka_unit_test(test_loopback),
        cmocka_unit_test(test_servers),  cmocka_unit_test(test_bad_servers),
        cmocka_unit_test(test_networks), cmocka_unit_test(test_bad_networks),
    };
    return cmocka_run_group_tests(tests, make_arena, free_arena);
}
