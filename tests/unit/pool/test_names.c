/* Servers given by name: waiting for the first answer, addresses in turn, TTLs and pauses,
 * answers that come too late. */
#include "tests/unit/pool/pool_fixture.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <sys/eventfd.h>

static struct fixture f;
static struct client clients[6];
static struct client *const a = &clients[0], *const b = &clients[1], *const c = &clients[2];

/* In place of c-ares: the test gives the answer. */
static struct {
    unsigned calls;
    const char *host;
    net_resolved *done; /* NULL: nothing is under way */
    void *arg;
    bool at_once;
} resolver;

static const char *const ONE[] = {"10.0.0.1"};
static const char *const THREE[] = {"10.0.0.1", "2001:db8::2", "10.0.0.3"};
static const char *const THREE_TURNED[] = {"10.0.0.3", "10.0.0.1", "2001:db8::2"};

static void answer(const char *const *hosts, unsigned count, unsigned ttl_s)
{
    struct sockaddr_storage addresses[NET_NAME_ADDRESSES];
    memset(addresses, 0, sizeof(addresses));
    for (unsigned i = 0; i < count; i++) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)&addresses[i];
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&addresses[i];
        if (inet_pton(AF_INET, hosts[i], &v4->sin_addr) == 1) {
            v4->sin_family = AF_INET;
            v4->sin_port = htons(8000);
        } else {
            assert_int_equal(inet_pton(AF_INET6, hosts[i], &v6->sin6_addr), 1);
            v6->sin6_family = AF_INET6;
            v6->sin6_port = htons(8000);
        }
    }
    net_resolved *done = resolver.done;
    assert_non_null(done);
    resolver.done = NULL;
    done(resolver.arg, addresses, count, ttl_s, count > 0 ? NULL : "no such name");
}

void net_resolve(struct net_resolver *ignored, const char *host, uint16_t port, net_resolved *done,
                 void *arg)
{
    (void)ignored;
    assert_int_equal(port, 8000);
    assert_null(resolver.done);
    resolver.calls++;
    resolver.host = host;
    resolver.done = done;
    resolver.arg = arg;
    if (resolver.at_once)
        answer(ONE, 1, 60);
}

static int set_up(void **state)
{
    (void)state;
    fixture_conf(&f);
    f.servers[0].address = (struct conf_address){.kind = CONF_ADDRESS_NAME,
                                                 .text = "api.internal:8000",
                                                 .host = "api.internal",
                                                 .port = 8000};
    memset(&resolver, 0, sizeof(resolver));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fixture_stop(&f);
    if (resolver.done != NULL)
        answer(NULL, 0, 0);
    return 0;
}

static void start(void)
{
    fixture_start(&f, NULL);
    for (unsigned i = 0; i < weir_count(clients); i++)
        client_init(&clients[i], &f);
}

/* The name is known, with three addresses for a minute. */
static void start_known(void)
{
    start();
    answer(THREE, 3, 60);
}

static void lease_slot(struct client *client)
{
    assert_int_equal(pool_lease(&client->lease, f.server, POOL_WANT_FRESH, fixture_now_ms),
                     POOL_CONNECT);
}

static void drop(struct client *client)
{
    pool_discard(&client->lease, POOL_CLOSE_CONNECT_FAILED, NULL, fixture_now_ms);
}

static void test_requests_wait_for_the_first_answer(void **state)
{
    (void)state;
    f.upstream.pool.max_connections = 2;
    start();
    assert_string_equal(resolver.host, "api.internal");
    assert_false(pool_ready(f.pool));
    assert_string_equal(fixture_stats(&f).state, "resolving");
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(client_lease(&clients[i], &f, POOL_WANT_ANY), POOL_WAITING);
    answer(THREE, 3, 60);
    assert_true(pool_ready(f.pool));
    assert_string_equal(fixture_stats(&f).state, "up");
    mailbox_run_local(&f.mailbox);
    assert_int_equal(a->granted, 1);
    assert_int_equal(a->lease.grant, POOL_CONNECT);
    assert_string_equal(a->lease.address_text, "10.0.0.1:8000");
    assert_int_equal(b->granted, 1);
    assert_string_equal(b->lease.address_text, "[2001:db8::2]:8000");
    assert_string_equal(b->lease.address.host, "2001:db8::2");
    assert_ptr_equal(b->lease.address.text, b->lease.address_text);
    assert_int_equal(b->lease.address.kind, CONF_ADDRESS_IP);
    assert_int_equal(b->lease.address.len, sizeof(struct sockaddr_in6));
    assert_int_equal(b->lease.address.port, 8000);
    assert_int_equal(c->granted, 0);
    drop(a);
    mailbox_run_local(&f.mailbox);
    assert_int_equal(c->granted, 1);
    drop(b);
    drop(c);
}

static void test_requests_are_refused_when_there_is_no_answer(void **state)
{
    (void)state;
    start();
    assert_int_equal(client_lease(a, &f, POOL_WANT_ANY), POOL_WAITING);
    assert_int_equal(client_lease(b, &f, POOL_WANT_ANY), POOL_WAITING);
    answer(NULL, 0, 0);
    assert_false(pool_cancel(&b->lease, fixture_now_ms));
    assert_true(pool_ready(f.pool));
    mailbox_run_local(&f.mailbox);
    assert_int_equal(a->granted, 1);
    assert_int_equal(a->lease.grant, POOL_NO_ADDRESS);
    assert_null(a->lease.server);
    assert_int_equal(b->granted, 1);
    assert_true(b->lease.cancelled);
    assert_int_equal(client_lease(a, &f, POOL_WANT_ANY), POOL_NO_ADDRESS);
    assert_string_equal(fixture_stats(&f).state, "unresolved");
    assert_int_equal(f.server->held, 0);
}

static void test_waiting_for_a_name_times_out(void **state)
{
    (void)state;
    start();
    assert_int_equal(client_lease(a, &f, POOL_WANT_ANY), POOL_WAITING);
    fixture_advance(6000);
    wheel_advance(&f.wheel, fixture_now_ms);
    assert_int_equal(a->lease.grant, POOL_QUEUE_TIMEOUT);
    answer(ONE, 1, 60);
    mailbox_run_local(&f.mailbox);
    assert_int_equal(a->granted, 1);
}

static void test_answer_inside_the_call(void **state)
{
    (void)state;
    resolver.at_once = true;
    start();
    assert_true(pool_ready(f.pool));
    lease_slot(a);
    drop(a);
}

static void test_addresses_in_turn(void **state)
{
    (void)state;
    start_known();
    static const char *const expected[] = {"10.0.0.1:8000", "[2001:db8::2]:8000", "10.0.0.3:8000",
                                           "10.0.0.1:8000"};
    for (unsigned i = 0; i < 4; i++) {
        lease_slot(a);
        assert_string_equal(a->lease.address_text, expected[i]);
        drop(a);
    }
}

static void test_next_address(void **state)
{
    (void)state;
    start_known();
    lease_slot(a);
    drop(a);
    lease_slot(a);
    assert_string_equal(a->lease.address_text, "[2001:db8::2]:8000");
    assert_true(pool_next_address(&a->lease));
    assert_string_equal(a->lease.address_text, "10.0.0.1:8000");
    assert_int_equal(a->lease.address.len, sizeof(struct sockaddr_in));
    assert_true(pool_next_address(&a->lease));
    assert_string_equal(a->lease.address_text, "10.0.0.3:8000");
    assert_false(pool_next_address(&a->lease));
    assert_int_equal(f.server->held, 1);
    drop(a);
}

static void test_next_address_across_answers(void **state)
{
    (void)state;
    start_known();
    lease_slot(a);
    fixture_advance(60000);
    pool_sweep(f.pool, fixture_now_ms);
    answer(THREE_TURNED, 3, 60); /* the same in another order: the lease's memory holds */
    assert_true(pool_next_address(&a->lease));
    assert_string_equal(a->lease.address_text, "[2001:db8::2]:8000");
    assert_true(pool_next_address(&a->lease));
    fixture_advance(60000);
    pool_sweep(f.pool, fixture_now_ms);
    static const char *const other[] = {"10.0.0.3", "10.0.0.9"};
    answer(other, 2, 60);
    assert_true(pool_next_address(&a->lease));
    assert_string_equal(a->lease.address_text, "10.0.0.9:8000");
    assert_false(pool_next_address(&a->lease));
    drop(a);
}

/* Nothing is asked before wait_ms have passed, and something then. */
static void expect_lookup_after(int64_t wait_ms)
{
    unsigned calls = resolver.calls;
    fixture_advance(wait_ms - 1);
    pool_sweep(f.pool, fixture_now_ms);
    assert_int_equal(resolver.calls, calls);
    fixture_advance(1);
    pool_sweep(f.pool, fixture_now_ms);
    assert_int_equal(resolver.calls, calls + 1);
    fixture_advance(1000000);
    pool_sweep(f.pool, fixture_now_ms); /* one at a time */
    assert_int_equal(resolver.calls, calls + 1);
}

static void test_ttl_is_kept_within_bounds(void **state)
{
    (void)state;
    start();
    answer(ONE, 1, 30);
    expect_lookup_after(30000);
    answer(ONE, 1, 0);
    expect_lookup_after(1000);
    answer(ONE, 1, 4000000000u);
    expect_lookup_after(3600000);
}

static void test_failures_pause_and_keep_the_last_answer(void **state)
{
    (void)state;
    start();
    answer(ONE, 1, 5);
    expect_lookup_after(5000);
    static const int64_t pauses_ms[] = {1000, 2000, 4000, 8000, 16000, 30000, 30000};
    for (unsigned i = 0; i < weir_count(pauses_ms); i++) {
        answer(NULL, 0, 0);
        lease_slot(a);
        assert_string_equal(a->lease.address_text, "10.0.0.1:8000");
        drop(a);
        expect_lookup_after(pauses_ms[i]);
    }
    answer(THREE, 3, 5);
    expect_lookup_after(5000);
    answer(NULL, 0, 0);
    expect_lookup_after(1000);
}

static void test_a_name_that_is_found_late(void **state)
{
    (void)state;
    start();
    answer(NULL, 0, 0);
    assert_int_equal(client_lease(a, &f, POOL_WANT_ANY), POOL_NO_ADDRESS);
    expect_lookup_after(1000);
    /* Nobody waits for a second answer. */
    assert_int_equal(client_lease(a, &f, POOL_WANT_ANY), POOL_NO_ADDRESS);
    answer(ONE, 1, 60);
    lease_slot(a);
    drop(a);
}

static void test_more_addresses_than_there_is_room_for(void **state)
{
    (void)state;
    start();
    const char *many[NET_NAME_ADDRESSES];
    char text[NET_NAME_ADDRESSES][32];
    for (unsigned i = 0; i < NET_NAME_ADDRESSES; i++) {
        snprintf(text[i], sizeof(text[i]), "10.0.0.%u", i / 2);
        many[i] = text[i];
    }
    answer(many, NET_NAME_ADDRESSES, 60);
    assert_int_equal(f.server->addresses_count, NET_NAME_ADDRESSES / 2); /* each was there twice */
}

/* ---- while a request comes in on another thread ---- */

static struct {
    struct mailbox mailbox;
    struct wheel wheel;
    struct client early, late;
    atomic_uint waiting; /* requests, before the answer comes */
} other;

static unsigned count_queued(void)
{
    pthread_mutex_lock(&f.server->lock);
    unsigned queued = f.server->queued;
    pthread_mutex_unlock(&f.server->lock);
    return queued;
}

/* Whoever posts to it is held up until it has been read. */
static void fill_event_fd(struct mailbox *mailbox)
{
    uint64_t most = UINT64_MAX - 1;
    close(mailbox->event_fd);
    mailbox->event_fd = eventfd(0, EFD_CLOEXEC);
    assert_int_equal(write(mailbox->event_fd, &most, sizeof(most)), sizeof(most));
}

static void await_grant(const struct client *client)
{
    while (client->granted == 0) {
        struct pollfd wake = {.fd = other.mailbox.event_fd, .events = POLLIN};
        weir_assert(poll(&wake, 1, 60000) == 1);
        mailbox_run_foreign(&other.mailbox);
    }
}

/* Waits for the answer, and asks once more when it is the only one that has been granted a slot. */
static void *ask_twice(void *arg)
{
    (void)arg;
    mailbox_adopt(&other.mailbox);
    weir_assert(client_lease(&other.early, &f, POOL_WANT_ANY) == POOL_WAITING);
    atomic_store(&other.waiting, 1);
    while (atomic_load(&other.waiting) < 2)
        sched_yield();
    while (count_queued() > 1)
        sched_yield();
    weir_assert(client_lease(&other.late, &f, POOL_WANT_ANY) == POOL_WAITING);
    await_grant(&other.early);
    await_grant(&other.late);
    return NULL;
}

/* Who comes when the answer is there, and others who waited for it have no slot yet, waits behind
 * them. */
static void test_a_request_between_answer_and_grants(void **state)
{
    pthread_t thread;
    (void)state;
    start();
    memset(&other, 0, sizeof(other));
    mailbox_init(&other.mailbox);
    fill_event_fd(&other.mailbox);
    wheel_init(&other.wheel, fixture_now_ms);
    client_init_for(&other.early, &other.mailbox, &other.wheel);
    client_init_for(&other.late, &other.mailbox, &other.wheel);
    assert_int_equal(pthread_create(&thread, NULL, ask_twice, NULL), 0);
    while (atomic_load(&other.waiting) < 1)
        sched_yield();
    assert_int_equal(client_lease(a, &f, POOL_WANT_ANY), POOL_WAITING);
    atomic_store(&other.waiting, 2);
    answer(THREE, 3, 60);
    assert_int_equal(pthread_join(thread, NULL), 0);
    mailbox_run_local(&f.mailbox);
    assert_int_equal(other.wheel.timers, 0);
    assert_string_equal(other.early.lease.address_text, "10.0.0.1:8000");
    assert_string_equal(a->lease.address_text, "[2001:db8::2]:8000");
    assert_string_equal(other.late.lease.address_text, "10.0.0.3:8000");
    drop(&other.early);
    drop(a);
    drop(&other.late);
    assert_int_equal(f.server->held, 0);
    mailbox_destroy(&other.mailbox);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    log_set_level(LOG_ERROR_LEVEL);
    const struct CMUnitTest tests[] = {
        TEST(test_requests_wait_for_the_first_answer),
        TEST(test_requests_are_refused_when_there_is_no_answer),
        TEST(test_waiting_for_a_name_times_out),
        TEST(test_answer_inside_the_call),
        TEST(test_addresses_in_turn),
        TEST(test_next_address),
        TEST(test_next_address_across_answers),
        TEST(test_ttl_is_kept_within_bounds),
        TEST(test_failures_pause_and_keep_the_last_answer),
        TEST(test_a_name_that_is_found_late),
        TEST(test_more_addresses_than_there_is_room_for),
        TEST(test_a_request_between_answer_and_grants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
