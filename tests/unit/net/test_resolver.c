/* The resolver: /etc/hosts, literals, a name server of the test's own (answers, TTLs, "no such
 * name", silence), and its end with lookups under way. It includes its source to point the
 * channel at that name server. */
#include "net/resolver.c"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

/* Two tries, the second twice as long, and some for a slow machine. */
#define LONGEST_MS 12000

static struct event_base *base;
static struct net_resolver *resolver;

static struct {
    unsigned calls, count, ttl_s;
    struct sockaddr_storage addresses[NET_NAME_ADDRESSES];
    const char *why;
} answer;

static void on_done(void *arg, const struct sockaddr_storage *addresses, unsigned count,
                    unsigned ttl_s, const char *why)
{
    assert_ptr_equal(arg, &answer);
    assert_true(count <= NET_NAME_ADDRESSES);
    answer.calls++;
    answer.count = count;
    answer.ttl_s = ttl_s;
    answer.why = why;
    memcpy(answer.addresses, addresses, count * sizeof(*addresses));
}

/* ---- a name server -------------------------------------------------------------------------- */

static struct {
    int fd;
    struct event *event;
    bool silent;
    unsigned v4_records; /* 0: no such name */
    uint32_t ttl_s;
    unsigned queries;
} name_server;

/* Copies the question and adds A records 10.0.0.0, 10.0.0.1, …, or one AAAA record. */
static void on_query(evutil_socket_t fd, short what, void *arg)
{
    (void)what, (void)arg;
    unsigned char message[2048];
    struct sockaddr_in from;
    socklen_t from_len = sizeof(from);
    ssize_t got = recvfrom(fd, message, 512, 0, (struct sockaddr *)&from, &from_len);
    assert_true(got > 16);
    name_server.queries++;
    if (name_server.silent)
        return;

    size_t at = 12;
    while (message[at] != 0)
        at += message[at] + 1u;
    unsigned type = message[at + 1] << 8 | message[at + 2];
    at += 5;
    unsigned records = type == 1 ? name_server.v4_records : 0;
    if (type == 28 && name_server.v4_records > 0)
        records = 1;
    message[2] |= 0x80;
    message[3] = name_server.v4_records > 0 ? 0x80 : 0x83;
    memset(message + 6, 0, 6);
    message[7] = (unsigned char)records;
    for (unsigned i = 0; i < records; i++) {
        unsigned bytes = type == 1 ? 4 : 16;
        uint32_t ttl = htonl(name_server.ttl_s);
        unsigned char record[12] = {0xc0, 12, 0, (unsigned char)type, 0, 1};
        memcpy(record + 6, &ttl, 4);
        record[11] = (unsigned char)bytes;
        memcpy(message + at, record, sizeof(record));
        at += sizeof(record);
        memset(message + at, 0, bytes);
        message[at] = type == 1 ? 10 : 0xfd;
        message[at + bytes - 1] = (unsigned char)i;
        at += bytes;
    }
    assert_int_equal(sendto(fd, message, at, 0, (struct sockaddr *)&from, from_len), (ssize_t)at);
}

static void use_name_server(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    name_server.fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(name_server.fd, (struct sockaddr *)&at, len), 0);
    assert_int_equal(getsockname(name_server.fd, (struct sockaddr *)&at, &len), 0);
    name_server.event = event_new(base, name_server.fd, EV_READ | EV_PERSIST, on_query, NULL);
    assert_int_equal(event_add(name_server.event, NULL), 0);
    char servers[64];
    snprintf(servers, sizeof(servers), "127.0.0.1:%u", ntohs(at.sin_port));
    assert_int_equal(ares_set_servers_ports_csv(resolver->channel, servers), ARES_SUCCESS);
}

static void on_too_late(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
    event_base_loopbreak(base);
}

/* Runs until the lookup has ended. */
static void resolve(const char *host)
{
    struct timeval longest = {LONGEST_MS / 1000, 0};
    struct event *too_late = evtimer_new(base, on_too_late, NULL);
    evtimer_add(too_late, &longest);
    memset(&answer, 0, sizeof(answer));
    net_resolve(resolver, host, 8080, on_done, &answer);
    while (answer.calls == 0 && evtimer_pending(too_late, NULL))
        event_base_loop(base, EVLOOP_ONCE);
    event_free(too_late);
    assert_int_equal(answer.calls, 1);
    assert_int_equal(answer.count == 0, answer.why != NULL);
}

static int set_up(void **state)
{
    (void)state;
    memset(&name_server, 0, sizeof(name_server));
    memset(&answer, 0, sizeof(answer));
    base = event_base_new();
    const char *why = NULL;
    resolver = net_resolver_new(base, &why);
    return base != NULL && resolver != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    if (resolver != NULL)
        net_resolver_free(&resolver);
    assert_null(resolver);
    if (name_server.event != NULL) {
        event_free(name_server.event);
        close(name_server.fd);
    }
    event_base_free(base);
    return 0;
}

static void assert_loopback(const struct sockaddr_storage *address)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
    if (address->ss_family == AF_INET) {
        assert_int_equal(ntohl(v4->sin_addr.s_addr) >> 24, 127);
        assert_int_equal(ntohs(v4->sin_port), 8080);
    } else {
        assert_int_equal(address->ss_family, AF_INET6);
        assert_true(IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr));
        assert_int_equal(ntohs(v6->sin6_port), 8080);
    }
}

static void test_localhost(void **state)
{
    (void)state;
    use_name_server();
    resolve("localhost");
    assert_true(answer.count >= 1);
    for (unsigned i = 0; i < answer.count; i++)
        assert_loopback(&answer.addresses[i]);
    assert_int_equal(answer.ttl_s, 60);
    assert_int_equal(name_server.queries, 0);
}

/* The last name in /etc/hosts, whatever it is, with its address as text. */
static bool last_of_hosts_file(char name[256], char address[64])
{
    FILE *file = fopen("/etc/hosts", "r");
    char line[1024];
    bool found = false;
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        char first[64], second[256];
        unsigned char bytes[16];
        if (sscanf(line, "%63s %255s", first, second) == 2 && second[0] != '#' &&
            inet_pton(strchr(first, ':') ? AF_INET6 : AF_INET, first, bytes) == 1) {
            strcpy(name, second);
            strcpy(address, first);
            found = true;
        }
    }
    if (file != NULL)
        fclose(file);
    return found;
}

static void test_name_of_hosts_file(void **state)
{
    (void)state;
    char name[256], address[64];
    if (!last_of_hosts_file(name, address))
        skip();
    use_name_server();
    resolve(name);
    bool found = false;
    for (unsigned i = 0; i < answer.count; i++) {
        char text[INET6_ADDRSTRLEN];
        const struct sockaddr_storage *at = &answer.addresses[i];
        const void *bytes = at->ss_family == AF_INET
                                ? (const void *)&((const struct sockaddr_in *)at)->sin_addr
                                : (const void *)&((const struct sockaddr_in6 *)at)->sin6_addr;
        inet_ntop(at->ss_family, bytes, text, sizeof(text));
        found |= strcmp(text, address) == 0;
    }
    assert_true(found);
    assert_int_equal(name_server.queries, 0);
}

static void test_literal(void **state)
{
    (void)state;
    resolve("127.0.0.1");
    assert_int_equal(answer.count, 1);
    assert_loopback(&answer.addresses[0]);
    resolve("::1");
    assert_int_equal(answer.count, 1);
    assert_loopback(&answer.addresses[0]);
}

static void test_answer_of_name_server(void **state)
{
    (void)state;
    use_name_server();
    name_server.v4_records = 2;
    name_server.ttl_s = 7;
    resolve("api.example.");
    assert_int_equal(answer.count, 3);
    assert_int_equal(answer.ttl_s, 7);
    unsigned v4 = 0, v6 = 0;
    for (unsigned i = 0; i < 3; i++) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&answer.addresses[i];
        v4 += in->sin_family == AF_INET;
        v6 += in->sin_family == AF_INET6;
        assert_int_equal(ntohs(in->sin_port), 8080);
    }
    assert_int_equal(v4, 2);
    assert_int_equal(v6, 1);
    assert_int_equal(name_server.queries, 2);
}

static void test_more_addresses_than_are_kept(void **state)
{
    (void)state;
    use_name_server();
    name_server.v4_records = 25;
    name_server.ttl_s = 0;
    resolve("api.example.");
    assert_int_equal(answer.count, NET_NAME_ADDRESSES);
    assert_int_equal(answer.ttl_s, 60);
}

static void test_no_such_name(void **state)
{
    (void)state;
    use_name_server();
    resolve("nowhere.example.");
    assert_int_equal(answer.count, 0);
    assert_non_null(answer.why);
    assert_true(name_server.queries >= 2);
    /* The resolver goes on working. */
    name_server.v4_records = 1;
    resolve("api.example.");
    assert_int_equal(answer.count, 2);
}

static void test_name_server_that_is_silent(void **state)
{
    (void)state;
    use_name_server();
    name_server.silent = true;
    resolve("api.example.");
    assert_int_equal(answer.count, 0);
    assert_non_null(answer.why);
    assert_int_equal(name_server.queries, 2 * TRIES);
}

static void test_no_name_server(void **state)
{
    (void)state;
    use_name_server();
    event_free(name_server.event);
    name_server.event = NULL;
    close(name_server.fd);
    resolve("api.example.");
    assert_int_equal(answer.count, 0);
    assert_non_null(answer.why);
}

static void test_free_ends_lookups(void **state)
{
    (void)state;
    use_name_server();
    name_server.silent = true;
    memset(&answer, 0, sizeof(answer));
    net_resolve(resolver, "api.example.", 8080, on_done, &answer);
    assert_int_equal(answer.calls, 0);
    net_resolver_free(&resolver);
    assert_int_equal(answer.calls, 1);
    assert_int_equal(answer.count, 0);
    assert_non_null(answer.why);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_localhost),
        TEST(test_name_of_hosts_file),
        TEST(test_literal),
        TEST(test_answer_of_name_server),
        TEST(test_more_addresses_than_are_kept),
        TEST(test_no_such_name),
        TEST(test_name_server_that_is_silent),
        TEST(test_no_name_server),
        TEST(test_free_ends_lookups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
