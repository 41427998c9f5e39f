/* Parked connections: the list, the guards as pure functions of `now`, what is learned, the
 * peek, the sweep. */
#include "tests/unit/pool/pool_fixture.h"

static struct fixture f;

/* What other threads do while the sweep polls. */
static void (*during_poll)(void);

int poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    assert_int_equal(timeout_ms, 0);
    if (during_poll != NULL)
        during_poll();
    return ppoll(fds, count, &(struct timespec){0}, NULL);
}

static int set_up(void **state)
{
    (void)state;
    fixture_conf(&f);
    f.upstream.pool.max_connections = 100;
    f.upstream.pool.max_idle = 100;
    fixture_start(&f, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fixture_stop(&f);
    return 0;
}

static void test_list_is_newest_first(void **state)
{
    (void)state;
    struct parked parked;
    parked_init(&parked, 3);
    assert_null(parked_newest(&parked));
    assert_null(parked_oldest(&parked));
    for (int fd = 10; fd < 13; fd++)
        parked_push(&parked, &(struct pool_conn){.fd = fd}, fd);
    assert_int_equal(parked.count, 3);
    assert_int_equal(parked_newest(&parked)->conn.fd, 12);
    assert_int_equal(parked_newest(&parked)->alive_ms, 12);
    assert_int_equal(parked_oldest(&parked)->conn.fd, 10);

    struct parked_node *middle =
        weir_container(parked_newest(&parked)->link.next, struct parked_node, link);
    uint64_t serial = middle->serial;
    assert_int_equal(parked_take(&parked, middle).fd, 11);
    parked_push(&parked, &(struct pool_conn){.fd = 11}, 0);
    assert_int_not_equal(parked_newest(&parked)->serial, serial);
    assert_int_equal(parked_take(&parked, parked_newest(&parked)).fd, 11);
    assert_int_equal(parked_take(&parked, parked_oldest(&parked)).fd, 10);
    assert_int_equal(parked_take(&parked, parked_oldest(&parked)).fd, 12);
    assert_int_equal(parked.count, 0);
    parked_destroy(&parked);
}

static void test_guards(void **state)
{
    (void)state;
    const struct conf_pool conf = {
        .idle_timeout_ms = 60000, .max_requests = 10, .max_lifetime_ms = 100000};
    const struct learned none = {0};
    const struct learned seen = {.since_ms = 900000, .smallest_ms = 8000, .closes = 3};
    const int64_t now = 1000000;
    static const struct {
        int64_t age_ms, idle_ms, declared_ms;
        uint64_t requests;
        bool learned;
        enum pool_close expected;
    } rows[] = {
        {99999, 59999, 0, 9, false, POOL_USABLE},
        {100000, 1, 0, 1, false, POOL_CLOSE_MAX_LIFETIME},
        {1000, 1, 0, 10, false, POOL_CLOSE_MAX_REQUESTS},
        {61000, 60000, 0, 1, false, POOL_CLOSE_IDLE_TIMEOUT},
        {61000, 8999, 10000, 1, false, POOL_USABLE},
        {61000, 9000, 10000, 1, false, POOL_CLOSE_IDLE_TIMEOUT},
        {61000, 999, 2000, 1, false, POOL_USABLE},
        {61000, 1000, 2000, 1, false, POOL_CLOSE_IDLE_TIMEOUT},
        {61000, 499, 1000, 1, false, POOL_USABLE},
        {61000, 500, 1000, 1, false, POOL_CLOSE_IDLE_TIMEOUT},
        {61000, 7999, 0, 1, true, POOL_USABLE},
        {61000, 8000, 0, 1, true, POOL_CLOSE_IDLE_TIMEOUT},
    };
    for (unsigned i = 0; i < weir_count(rows); i++) {
        struct pool_conn conn = {.fd = 5,
                                 .opened_ms = now - rows[i].age_ms,
                                 .parked_ms = now - rows[i].idle_ms,
                                 .requests = rows[i].requests,
                                 .declared_timeout_ms = rows[i].declared_ms};
        enum pool_close why = parked_guard(&conf, rows[i].learned ? &seen : &none, &conn, now);
        if (why != rows[i].expected)
            fail_msg("row %u: %d, not %d", i, (int)why, (int)rows[i].expected);
    }
}

static void test_learned_needs_three_and_a_second(void **state)
{
    (void)state;
    struct learned learned = {0};
    int64_t now = 5000;
    assert_int_equal(learned_timeout_ms(&learned, now), 0);
    learned_add(&learned, 3000, now);
    learned_add(&learned, 2000, now);
    assert_int_equal(learned_timeout_ms(&learned, now), 0);
    learned_add(&learned, 4000, now);
    assert_int_equal(learned_timeout_ms(&learned, now), 2000);
    learned_add(&learned, 1000, now);
    assert_int_equal(learned_timeout_ms(&learned, now), 1000);
    learned_add(&learned, 999, now);
    assert_int_equal(learned_timeout_ms(&learned, now), 0);
    for (unsigned i = 0; i < 100; i++)
        learned_add(&learned, 5000, now);
    assert_int_equal(learned_timeout_ms(&learned, now), 0);
}

static void test_learned_is_forgotten(void **state)
{
    (void)state;
    struct learned learned = {0};
    int64_t now = 5000;
    learned_add(&learned, 0, now); /* a restart */
    now += 10 * 60 * 1000 + 1;
    for (unsigned i = 0; i < 3; i++)
        learned_add(&learned, 5000, now);
    assert_int_equal(learned_timeout_ms(&learned, now), 5000);
    now += 10 * 60 * 1000 + 1;
    assert_int_equal(learned_timeout_ms(&learned, now), 0);
}

static void test_sure(void **state)
{
    (void)state;
    const int64_t now = 1000000;
    const struct learned none = {0};
    const struct learned once = {.since_ms = now, .smallest_ms = 50, .closes = 1};
    const struct learned trusted = {.since_ms = now, .smallest_ms = 4000, .closes = 3};
    const struct learned early = {.since_ms = now, .smallest_ms = 999, .closes = 100};
    static const struct {
        int64_t idle_ms, declared_ms;
        int learned; /* index into kinds */
        bool expected;
    } rows[] = {
        {0, 0, 0, false},       {0, 5000, 0, true},     {2499, 5000, 0, true},
        {2500, 5000, 0, false}, {0, 0, 1, false},       {24, 5000, 1, true},
        {25, 5000, 1, false},   {1999, 0, 2, true},     {2000, 0, 2, false},
        {1999, 9000, 2, true},  {2000, 9000, 2, false}, {499, 1000, 2, true},
        {500, 1000, 2, false},  {0, 0, 3, false},
    };
    const struct learned *kinds[] = {&none, &once, &trusted, &early};
    for (unsigned i = 0; i < weir_count(rows); i++) {
        struct pool_conn conn = {.fd = 5,
                                 .parked_ms = now - rows[i].idle_ms,
                                 .declared_timeout_ms = rows[i].declared_ms};
        if (parked_is_sure(kinds[rows[i].learned], &conn, now) != rows[i].expected)
            fail_msg("row %u is not as expected", i);
    }
}

static void test_peek(void **state)
{
    (void)state;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(parked_peek(pair[0]), POOL_USABLE);
    assert_int_equal(write(pair[1], "x", 1), 1);
    assert_int_equal(parked_peek(pair[0]), POOL_CLOSE_UNSOLICITED);
    assert_int_equal(parked_peek(pair[0]), POOL_CLOSE_UNSOLICITED);
    char byte;
    assert_int_equal(read(pair[0], &byte, 1), 1);
    close(pair[1]);
    assert_int_equal(parked_peek(pair[0]), POOL_CLOSE_IDLE_DEATH);
    close(pair[0]);
}

static void test_sweep(void **state)
{
    (void)state;
    struct client clients[6];
    int fds[6], peers[6];
    for (unsigned i = 0; i < 6; i++) {
        client_init(&clients[i], &f);
        assert_int_equal(client_lease(&clients[i], &f, POOL_WANT_FRESH), POOL_CONNECT);
        fds[i] = clients[i].conn.fd;
        peers[i] = fixture_peer(fds[i]);
    }
    clients[4].conn.declared_timeout_ms = 3000;
    for (unsigned i = 0; i < 6; i++)
        client_park(&clients[i]);
    pool_sweep(f.pool, fixture_now_ms);
    assert_int_equal(fixture_stats(&f).idle, 6);

    fixture_advance(1000);
    pool_sweep(f.pool, fixture_now_ms);
    fixture_server_closes(fds[0]);
    assert_int_equal(write(peers[1], "x", 1), 1);
    assert_int_equal(shutdown(peers[2], SHUT_WR), 0);
    fixture_advance(1000);
    pool_sweep(f.pool, fixture_now_ms);
    struct pool_server_stats stats = fixture_stats(&f);
    assert_int_equal(stats.closed_by[POOL_CLOSE_IDLE_DEATH], 2);
    assert_int_equal(stats.closed_by[POOL_CLOSE_UNSOLICITED], 1);
    assert_int_equal(stats.closed_by[POOL_CLOSE_IDLE_TIMEOUT], 1);
    assert_int_equal(stats.idle, 2);
    assert_true(fixture_is_closed(peers[2]));
    assert_true(fixture_is_closed(peers[4]));
    assert_false(fixture_is_closed(peers[3]));
    assert_false(fixture_is_closed(peers[5]));

    /* Both deaths came after the age at which the sweep before had seen them alive. */
    assert_int_equal(f.server->learned.closes, 2);
    assert_int_equal(f.server->learned.smallest_ms, 1000);

    fixture_advance(60000);
    pool_sweep(f.pool, fixture_now_ms);
    assert_int_equal(fixture_stats(&f).idle, 0);
    assert_int_equal(fixture_stats(&f).closed, 6);
}

static struct client taker;

static void lease_and_answer(void)
{
    assert_int_equal(client_lease(&taker, &f, POOL_WANT_ANY), POOL_REUSED);
    assert_int_equal(write(fixture_peer(taker.conn.fd), "HTTP/1.1 200 OK", 15), 15);
}

static void test_sweep_spares_what_is_leased_meanwhile(void **state)
{
    (void)state;
    client_init(&taker, &f);
    client_lease(&taker, &f, POOL_WANT_ANY);
    client_park(&taker);
    during_poll = lease_and_answer;
    pool_sweep(f.pool, fixture_now_ms);
    during_poll = NULL;
    struct pool_server_stats stats = fixture_stats(&f);
    assert_int_equal(stats.active, 1);
    assert_int_equal(stats.closed, 0);
    char bytes[16];
    assert_int_equal(read(taker.conn.fd, bytes, sizeof(bytes)), 15);
    client_park(&taker);
    assert_int_equal(fixture_stats(&f).idle, 1);
}

static void test_free_closes_what_is_parked(void **state)
{
    (void)state;
    struct client client;
    client_init(&client, &f);
    client_lease(&client, &f, POOL_WANT_ANY);
    int peer = fixture_peer(client.conn.fd);
    client_park(&client);
    pool_free(&f.pool);
    assert_true(fixture_is_closed(peer));
    f.pool = pool_new(f.conf, NULL, fixture_clock);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_list_is_newest_first),
        TEST(test_guards),
        TEST(test_learned_needs_three_and_a_second),
        TEST(test_learned_is_forgotten),
        TEST(test_sure),
        TEST(test_peek),
        TEST(test_sweep),
        TEST(test_sweep_spares_what_is_leased_meanwhile),
        TEST(test_free_closes_what_is_parked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
