/* Leases: reuse, the guards, what a request that cannot be repeated gets, the queue, cancelling
 * in every phase. */
#include "tests/unit/pool/pool_fixture.h"

#include <pthread.h>

#define CLIENTS 8

static struct fixture f;
static struct client clients[CLIENTS];
static struct client *const a = &clients[0], *const b = &clients[1], *const c = &clients[2],
                            *const d = &clients[3];

static int set_up(void **state)
{
    (void)state;
    fixture_conf(&f);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fixture_stop(&f);
    return 0;
}

static void start(void)
{
    fixture_start(&f, NULL);
    for (unsigned i = 0; i < CLIENTS; i++)
        client_init(&clients[i], &f);
}

/* Connects and parks at once; returns the descriptor. */
static int park_one(struct client *client)
{
    assert_int_equal(client_lease(client, &f, POOL_WANT_FRESH), POOL_CONNECT);
    int fd = client->conn.fd;
    client_park(client);
    return fd;
}

/* ---- reuse and guards ----------------------------------------------------------------------- */

static void test_first_connects_second_reuses(void **state)
{
    (void)state;
    start();
    assert_int_equal(pool_lease(&a->lease, f.server, POOL_WANT_ANY, fixture_now_ms), POOL_CONNECT);
    assert_int_equal(a->lease.address.kind, CONF_ADDRESS_IP);
    assert_int_equal(a->lease.address.len, sizeof(struct sockaddr_in));
    assert_string_equal(a->lease.address_text, "127.0.0.1:9000");
    assert_false(pool_next_address(&a->lease));
    assert_int_equal(fixture_stats(&f).active, 0);
    client_use_grant(a);
    int fd = a->conn.fd;
    assert_int_equal(fixture_stats(&f).active, 1);
    client_park(a);
    assert_int_equal(fixture_stats(&f).idle, 1);

    fixture_advance(10);
    assert_int_equal(client_lease(b, &f, POOL_WANT_ANY), POOL_REUSED);
    assert_int_equal(b->conn.fd, fd);
    assert_int_equal(b->conn.requests, 1);
    assert_int_equal(b->conn.opened_ms, FIXTURE_START_MS);
    assert_int_equal(b->conn.parked_ms, FIXTURE_START_MS);
    struct pool_server_stats stats = fixture_stats(&f);
    assert_int_equal(stats.opened, 1);
    assert_int_equal(stats.reused, 1);
    assert_int_equal(stats.active, 1);
    assert_int_equal(stats.idle, 0);
    client_discard(b, POOL_CLOSE_ORIGIN_CLOSE);
    assert_int_equal(fixture_stats(&f).closed_by[POOL_CLOSE_ORIGIN_CLOSE], 1);
}

static void test_newest_is_taken_first(void **state)
{
    (void)state;
    start();
    int fds[3];
    for (unsigned i = 0; i < 3; i++)
        client_lease(&clients[i], &f, POOL_WANT_ANY);
    for (unsigned i = 0; i < 3; i++) {
        fds[i] = clients[i].conn.fd;
        client_park(&clients[i]);
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(client_lease(&clients[i], &f, POOL_WANT_ANY), POOL_REUSED);
        assert_int_equal(clients[i].conn.fd, fds[2 - i]);
    }
    for (unsigned i = 0; i < 3; i++)
        client_park(&clients[i]);
}

/* The only parked connection fails a guard: it is closed for that reason, and a fresh one is
 * given. */
static void expect_closed(int peer, enum pool_close why)
{
    uint64_t before = fixture_stats(&f).closed_by[why];
    uint64_t reused = fixture_stats(&f).reused;
    assert_int_equal(pool_lease(&b->lease, f.server, POOL_WANT_ANY, fixture_now_ms), POOL_CONNECT);
    struct pool_server_stats stats = fixture_stats(&f);
    assert_int_equal(stats.closed_by[why], before + 1);
    assert_int_equal(stats.idle, 0);
    assert_int_equal(stats.active, 0);
    assert_int_equal(stats.reused, reused);
    assert_int_equal(f.server->held, 1);
    if (peer >= 0)
        assert_true(fixture_is_closed(peer));
    pool_discard(&b->lease, POOL_CLOSE_CLIENT_GONE, NULL, fixture_now_ms);
}

static void test_guard_idle_timeout(void **state)
{
    (void)state;
    start();
    int peer = fixture_peer(park_one(a));
    fixture_advance(59999);
    assert_int_equal(client_lease(b, &f, POOL_WANT_ANY), POOL_REUSED);
    client_park(b);
    fixture_advance(60000);
    expect_closed(peer, POOL_CLOSE_IDLE_TIMEOUT);
}

static void test_guard_max_lifetime(void **state)
{
    (void)state;
    f.upstream.pool.max_lifetime_ms = 10000;
    start();
    int peer = fixture_peer(park_one(a));
    fixture_advance(9999);
    assert_int_equal(client_lease(b, &f, POOL_WANT_ANY), POOL_REUSED);
    client_park(b);
    fixture_advance(1);
    expect_closed(peer, POOL_CLOSE_MAX_LIFETIME);
}

static void test_guards_at_park(void **state)
{
    (void)state;
    f.upstream.pool.max_lifetime_ms = 10000;
    f.upstream.pool.max_requests = 2;
    start();
    park_one(a);
    assert_int_equal(client_lease(a, &f, POOL_WANT_ANY), POOL_REUSED);
    int peer = fixture_peer(a->conn.fd);
    client_park(a);
    assert_true(fixture_is_closed(peer));
    assert_int_equal(fixture_stats(&f).closed_by[POOL_CLOSE_MAX_REQUESTS], 1);

    client_lease(a, &f, POOL_WANT_ANY);
    peer = fixture_peer(a->conn.fd);
    fixture_advance(10000);
    client_park(a);
    assert_true(fixture_is_closed(peer));
    assert_int_equal(fixture_stats(&f).closed_by[POOL_CLOSE_MAX_LIFETIME], 1);
    assert_int_equal(fixture_stats(&f).idle, 0);
}

static void test_guard_declared_timeout(void **state)
{
    (void)state;
    start();
    client_lease(a, &f, POOL_WANT_ANY);
    a->conn.declared_timeout_ms = 5000;
    int peer = fixture_peer(a->conn.fd);
    client_park(a);
    fixture_advance(3999);
    assert_int_equal(client_lease(a, &f, POOL_WANT_ANY), POOL_REUSED);
    client_park(a);
    fixture_advance(4000);
    expect_closed(peer, POOL_CLOSE_IDLE_TIMEOUT);

    /* Of a short one, half is used. */
    client_lease(a, &f, POOL_WANT_ANY);
    a->conn.declared_timeout_ms = 1000;
    peer = fixture_peer(a->conn.fd);
    client_park(a);
    fixture_advance(500);
    expect_closed(peer, POOL_CLOSE_IDLE_TIMEOUT);
}

static void test_guard_closed_by_server(void **state)
{
    (void)state;
    start();
    fixture_server_closes(park_one(a));
    expect_closed(-1, POOL_CLOSE_IDLE_DEATH);
}

static void test_guard_unsolicited_bytes(void **state)
{
    (void)state;
    start();
    int peer = fixture_peer(park_one(a));
    assert_int_equal(write(peer, "x", 1), 1);
    uint64_t before = fixture_stats(&f).closed_by[POOL_CLOSE_UNSOLICITED];
    assert_int_equal(client_lease(b, &f, POOL_WANT_ANY), POOL_CONNECT);
    assert_int_equal(fixture_stats(&f).closed_by[POOL_CLOSE_UNSOLICITED], before + 1);
    client_discard(b, POOL_CLOSE_CLIENT_GONE);
}

static void test_bad_ones_are_passed_over(void **state)
{
    (void)state;
    start();
    int fds[3];
    for (unsigned i = 0; i < 3; i++) {
        client_lease(&clients[i], &f, POOL_WANT_ANY);
        fds[i] = clients[i].conn.fd;
    }
    for (unsigned i = 0; i < 3; i++)
        client_park(&clients[i]);
    fixture_server_closes(fds[2]);
    assert_int_equal(write(fixture_peer(fds[1]), "x", 1), 1);
    assert_int_equal(client_lease(a, &f, POOL_WANT_ANY), POOL_REUSED);
    assert_int_equal(a->conn.fd, fds[0]);
    struct pool_server_stats stats = fixture_stats(&f);
    assert_int_equal(stats.closed_by[POOL_CLOSE_IDLE_DEATH], 1);
    assert_int_equal(stats.closed_by[POOL_CLOSE_UNSOLICITED], 1);
    assert_int_equal(stats.reused, 1);
    assert_int_equal(f.server->held, 1);
    client_park(a);
}

static void test_max_idle_closes_the_oldest(void **state)
{
    (void)state;
    f.upstream.pool.max_idle = 2;
    start();
    int fds[3];
    for (unsigned i = 0; i < 3; i++) {
        client_lease(&clients[i], &f, POOL_WANT_ANY);
        fds[i] = clients[i].conn.fd;
    }
    for (unsigned i = 0; i < 3; i++)
        client_park(&clients[i]);
    assert_true(fixture_is_closed(fixture_peer(fds[0])));
    assert_false(fixture_is_closed(fixture_peer(fds[1])));
    assert_int_equal(fixture_stats(&f).idle, 2);
    assert_int_equal(fixture_stats(&f).closed_by[POOL_CLOSE_MAX_IDLE], 1);
}

static void test_max_idle_of_none(void **state)
{
    (void)state;
    f.upstream.pool.max_idle = 0;
    start();
    int fd = park_one(a);
    assert_true(fixture_is_closed(fixture_peer(fd)));
    assert_int_equal(fixture_stats(&f).closed_by[POOL_CLOSE_MAX_IDLE], 1);
    pool_sweep(f.pool, fixture_now_ms);
}

/* ---- requests that cannot be repeated ------------------------------------------------------- */

static void test_sure_is_fresh_while_nothing_is_known(void **state)
{
    (void)state;
    start();
    int fd = park_one(a);
    assert_int_equal(client_lease(b, &f, POOL_WANT_SURE), POOL_CONNECT);
    assert_int_not_equal(b->conn.fd, fd);
    assert_int_equal(fixture_stats(&f).idle, 1);
    client_park(b);
}

static void test_sure_within_half_the_declared_timeout(void **state)
{
    (void)state;
    start();
    client_lease(a, &f, POOL_WANT_ANY);
    a->conn.declared_timeout_ms = 5000;
    client_park(a);
    fixture_advance(2499);
    assert_int_equal(client_lease(a, &f, POOL_WANT_SURE), POOL_REUSED);
    client_park(a);
    fixture_advance(2500);
    assert_int_equal(client_lease(a, &f, POOL_WANT_SURE), POOL_CONNECT);
    assert_int_equal(fixture_stats(&f).idle, 1);
    client_park(a);
}

/* Parks one, lets it live for alive_ms with sweeps, and has the server close it; a lease then
 * finds out. */
static void observe_close(int64_t alive_ms)
{
    int fd = park_one(a);
    fixture_advance(alive_ms);
    pool_sweep(f.pool, fixture_now_ms);
    fixture_server_closes(fd);
    fixture_advance(300);
    assert_int_equal(client_lease(a, &f, POOL_WANT_ANY), POOL_CONNECT);
    client_discard(a, POOL_CLOSE_CLIENT_GONE);
}

static void test_learned_timeout(void **state)
{
    (void)state;
    start();
    observe_close(5000);
    observe_close(4000);
    assert_int_equal(fixture_stats(&f).learned_timeout_ms, 0);
    observe_close(6000);
    assert_int_equal(fixture_stats(&f).learned_timeout_ms, 4000);
    assert_int_equal(fixture_stats(&f).closed_by[POOL_CLOSE_IDLE_DEATH], 3);

    int fd = park_one(a);
    fixture_advance(1999);
    assert_int_equal(client_lease(a, &f, POOL_WANT_SURE), POOL_REUSED);
    assert_int_equal(a->conn.fd, fd);
    client_park(a);
    fixture_advance(2000);
    assert_int_equal(client_lease(b, &f, POOL_WANT_SURE), POOL_CONNECT);
    client_discard(b, POOL_CLOSE_CLIENT_GONE);

    /* Another request may have it for as long as it has always lived. */
    fixture_advance(1999);
    assert_int_equal(client_lease(a, &f, POOL_WANT_ANY), POOL_REUSED);
    client_park(a);
    fixture_advance(4000);
    expect_closed(fixture_peer(fd), POOL_CLOSE_IDLE_TIMEOUT);
}

static void test_random_closes_are_never_trusted(void **state)
{
    (void)state;
    start();
    for (unsigned i = 0; i < 50; i++) {
        int fd = park_one(a);
        fixture_advance(i % 11);
        fixture_server_closes(fd);
        fixture_advance(1);
        assert_int_equal(client_lease(a, &f, POOL_WANT_ANY), POOL_CONNECT);
        client_park(a);
        assert_int_equal(client_lease(b, &f, POOL_WANT_SURE), POOL_CONNECT);
        client_discard(b, POOL_CLOSE_CLIENT_GONE);
        client_lease(a, &f, POOL_WANT_ANY);
        client_discard(a, POOL_CLOSE_CLIENT_GONE);
    }
    assert_int_equal(fixture_stats(&f).learned_timeout_ms, 0);
}

static void test_death_after_lease_teaches_too(void **state)
{
    (void)state;
    start();
    for (unsigned i = 0; i < 3; i++) {
        park_one(a);
        fixture_advance(2000);
        assert_int_equal(client_lease(a, &f, POOL_WANT_ANY), POOL_REUSED);
        fixture_advance(700); /* for the request, and to notice: no part of the idle age */
        client_discard(a, POOL_CLOSE_IDLE_DEATH);
    }
    assert_int_equal(fixture_stats(&f).learned_timeout_ms, 2000);
}

static void test_early_closes_outweigh_what_is_declared(void **state)
{
    (void)state;
    start();
    observe_close(0);
    client_lease(a, &f, POOL_WANT_ANY);
    a->conn.declared_timeout_ms = 5000;
    client_park(a);
    assert_int_equal(client_lease(b, &f, POOL_WANT_SURE), POOL_CONNECT);
    client_discard(b, POOL_CLOSE_CLIENT_GONE);
}

static void test_fresh_makes_room_by_closing_the_oldest(void **state)
{
    (void)state;
    f.upstream.pool.max_connections = 2;
    start();
    client_lease(a, &f, POOL_WANT_ANY);
    client_lease(b, &f, POOL_WANT_ANY);
    int oldest = a->conn.fd, newest = b->conn.fd;
    client_park(a);
    client_park(b);
    int oldest_peer = fixture_peer(oldest), newest_peer = fixture_peer(newest);
    assert_int_equal(pool_lease(&c->lease, f.server, POOL_WANT_FRESH, fixture_now_ms),
                     POOL_CONNECT);
    assert_true(fixture_is_closed(oldest_peer));
    assert_false(fixture_is_closed(newest_peer));
    client_use_grant(c);
    assert_int_equal(client_lease(d, &f, POOL_WANT_SURE), POOL_CONNECT);
    struct pool_server_stats stats = fixture_stats(&f);
    assert_int_equal(stats.closed_by[POOL_CLOSE_MADE_ROOM], 2);
    assert_int_equal(stats.active, 2);
    assert_int_equal(client_lease(a, &f, POOL_WANT_SURE), POOL_WAITING);
    assert_true(pool_cancel(&a->lease, fixture_now_ms));
    client_park(c);
    client_park(d);
}

/* ---- the queue ------------------------------------------------------------------------------ */

/* a holds the only connection; the others of `wants` wait in order. */
static void queue_up(const enum pool_want *wants, unsigned count)
{
    f.upstream.pool.max_connections = 1;
    start();
    assert_int_equal(client_lease(a, &f, POOL_WANT_ANY), POOL_CONNECT);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(client_lease(&clients[i + 1], &f, wants[i]), POOL_WAITING);
        assert_int_equal(fixture_stats(&f).queued, i + 1);
    }
}

static void deliver(void)
{
    mailbox_run_local(&f.mailbox);
}

static void test_queue_is_first_come_first_served(void **state)
{
    (void)state;
    queue_up((enum pool_want[]){POOL_WANT_ANY, POOL_WANT_ANY, POOL_WANT_ANY}, 3);
    int fd = a->conn.fd;
    client_park(a);
    assert_int_equal(b->granted, 0); /* never from inside another's call */
    for (unsigned i = 1; i <= 3; i++) {
        deliver();
        assert_int_equal(clients[i].granted, 1);
        assert_int_equal(clients[i].lease.grant, POOL_REUSED);
        if (i < 3)
            assert_int_equal(clients[i + 1].granted, 0);
        client_use_grant(&clients[i]);
        assert_int_equal(clients[i].conn.fd, fd);
        client_park(&clients[i]);
    }
    struct pool_server_stats stats = fixture_stats(&f);
    assert_int_equal(stats.queued, 0);
    assert_int_equal(stats.queued_total, 3);
    assert_int_equal(stats.reused, 3);
    assert_int_equal(stats.opened, 1);
    wheel_advance(&f.wheel, fixture_now_ms + 100000);
    for (unsigned i = 1; i <= 3; i++)
        assert_int_equal(clients[i].granted, 1);
}

static void test_discard_wakes_the_first(void **state)
{
    (void)state;
    queue_up((enum pool_want[]){POOL_WANT_ANY, POOL_WANT_ANY}, 2);
    client_discard(a, POOL_CLOSE_ERROR);
    deliver();
    assert_int_equal(b->lease.grant, POOL_CONNECT);
    assert_int_equal(b->granted, 1);
    assert_int_equal(c->granted, 0);
    /* A failed connect, too. */
    pool_discard(&b->lease, POOL_CLOSE_CONNECT_FAILED, NULL, fixture_now_ms);
    assert_int_equal(fixture_stats(&f).closed_by[POOL_CLOSE_CONNECT_FAILED], 1);
    assert_int_equal(fixture_stats(&f).closed, 1);
    deliver();
    assert_int_equal(c->granted, 1);
    client_use_grant(c);
    client_park(c);
}

/* What a waiter gets when a connection is parked. */
static void expect_hand_over(enum pool_want want, int64_t declared_ms, enum pool_grant grant)
{
    queue_up(&want, 1);
    a->conn.declared_timeout_ms = declared_ms;
    int peer = fixture_peer(a->conn.fd);
    client_park(a);
    deliver();
    assert_int_equal(b->lease.grant, grant);
    assert_int_equal(fixture_is_closed(peer), grant == POOL_CONNECT);
    assert_int_equal(fixture_stats(&f).closed_by[POOL_CLOSE_MADE_ROOM], grant == POOL_CONNECT);
    client_use_grant(b);
    client_park(b);
}

static void test_hand_over_to_sure(void **state)
{
    (void)state;
    expect_hand_over(POOL_WANT_SURE, 0, POOL_CONNECT);
}

static void test_hand_over_to_sure_declared(void **state)
{
    (void)state;
    expect_hand_over(POOL_WANT_SURE, 5000, POOL_REUSED);
}

/* The thread that waits was busy for longer than the connection can be relied on. */
static void test_hand_over_that_comes_late(void **state)
{
    (void)state;
    queue_up((enum pool_want[]){POOL_WANT_SURE}, 1);
    a->conn.declared_timeout_ms = 5000;
    int peer = fixture_peer(a->conn.fd);
    client_park(a);
    fixture_advance(2500);
    deliver();
    assert_int_equal(b->lease.grant, POOL_CONNECT);
    assert_true(fixture_is_closed(peer));
    assert_int_equal(fixture_stats(&f).closed_by[POOL_CLOSE_MADE_ROOM], 1);
    client_use_grant(b);
    client_park(b);
}

static void test_hand_over_to_fresh(void **state)
{
    (void)state;
    expect_hand_over(POOL_WANT_FRESH, 5000, POOL_CONNECT);
}

static void test_hand_over_of_a_used_up_connection(void **state)
{
    (void)state;
    f.upstream.pool.max_requests = 1;
    queue_up((enum pool_want[]){POOL_WANT_ANY}, 1);
    client_park(a);
    deliver();
    assert_int_equal(b->lease.grant, POOL_CONNECT);
    assert_int_equal(fixture_stats(&f).closed_by[POOL_CLOSE_MAX_REQUESTS], 1);
    client_use_grant(b);
    client_park(b);
}

/* Bytes behind a response must not become the answer to the next request. */
static void test_hand_over_is_peeked_at(void **state)
{
    (void)state;
    queue_up((enum pool_want[]){POOL_WANT_ANY, POOL_WANT_ANY}, 2);
    assert_int_equal(write(fixture_peer(a->conn.fd), "x", 1), 1);
    client_park(a);
    deliver();
    assert_int_equal(b->lease.grant, POOL_CONNECT);
    assert_int_equal(b->granted, 1);
    struct pool_server_stats stats = fixture_stats(&f);
    assert_int_equal(stats.closed_by[POOL_CLOSE_UNSOLICITED], 1);
    assert_int_equal(stats.reused, 0);
    assert_int_equal(f.server->held, 1);
    client_use_grant(b);
    fixture_server_closes(b->conn.fd);
    client_park(b);
    deliver();
    assert_int_equal(c->lease.grant, POOL_CONNECT);
    assert_int_equal(fixture_stats(&f).closed_by[POOL_CLOSE_IDLE_DEATH], 1);
    client_use_grant(c);
    client_park(c);
}

static void test_queue_full(void **state)
{
    (void)state;
    f.upstream.pool.queue = 2;
    queue_up((enum pool_want[]){POOL_WANT_ANY, POOL_WANT_ANY}, 2);
    assert_int_equal(client_lease(d, &f, POOL_WANT_ANY), POOL_QUEUE_FULL);
    assert_int_equal(fixture_stats(&f).queue_full, 1);
    assert_null(d->lease.server);
    assert_true(pool_cancel(&d->lease, fixture_now_ms));
    assert_true(pool_cancel(&b->lease, fixture_now_ms));
    assert_int_equal(client_lease(d, &f, POOL_WANT_ANY), POOL_WAITING);
    assert_true(pool_cancel(&c->lease, fixture_now_ms));
    assert_true(pool_cancel(&d->lease, fixture_now_ms));
    client_park(a);
}

static void test_queue_timeout(void **state)
{
    (void)state;
    queue_up((enum pool_want[]){POOL_WANT_ANY}, 1);
    fixture_advance(3000);
    assert_int_equal(client_lease(c, &f, POOL_WANT_ANY), POOL_WAITING);
    fixture_advance(1999);
    wheel_advance(&f.wheel, fixture_now_ms);
    assert_int_equal(b->granted, 0);
    fixture_advance(1 + 2 * WHEEL_TICK_MS);
    wheel_advance(&f.wheel, fixture_now_ms);
    assert_int_equal(b->granted, 1);
    assert_int_equal(b->lease.grant, POOL_QUEUE_TIMEOUT);
    assert_null(b->lease.server);
    assert_int_equal(c->granted, 0);
    struct pool_server_stats stats = fixture_stats(&f);
    assert_int_equal(stats.queue_timeouts, 1);
    assert_int_equal(stats.queued, 1);
    client_park(a);
    deliver();
    assert_int_equal(b->granted, 1);
    assert_int_equal(c->granted, 1);
    client_use_grant(c);
    client_park(c);
}

static void test_grant_under_way_beats_the_timeout(void **state)
{
    (void)state;
    queue_up((enum pool_want[]){POOL_WANT_ANY}, 1);
    client_park(a);
    fixture_advance(10000);
    wheel_advance(&f.wheel, fixture_now_ms);
    assert_int_equal(b->granted, 0);
    assert_int_equal(fixture_stats(&f).queue_timeouts, 0);
    deliver();
    assert_int_equal(b->granted, 1);
    assert_int_equal(b->lease.grant, POOL_REUSED);
    client_use_grant(b);
    client_park(b);
}

/* ---- cancel --------------------------------------------------------------------------------- */

static void test_cancel_idle(void **state)
{
    (void)state;
    start();
    assert_true(pool_cancel(&a->lease, fixture_now_ms));
    park_one(a);
    assert_true(pool_cancel(&a->lease, fixture_now_ms));
    assert_int_equal(fixture_stats(&f).idle, 1);
}

static void test_cancel_queued(void **state)
{
    (void)state;
    queue_up((enum pool_want[]){POOL_WANT_ANY, POOL_WANT_ANY}, 2);
    assert_true(pool_cancel(&b->lease, fixture_now_ms));
    assert_int_equal(fixture_stats(&f).queued, 1);
    client_park(a);
    deliver();
    assert_int_equal(b->granted, 0);
    assert_int_equal(c->granted, 1);
    client_use_grant(c);
    client_park(c);
}

static void test_cancel_held(void **state)
{
    (void)state;
    queue_up((enum pool_want[]){POOL_WANT_ANY, POOL_WANT_ANY}, 2);
    close(a->conn.fd);
    assert_true(pool_cancel(&a->lease, fixture_now_ms));
    assert_int_equal(fixture_stats(&f).closed_by[POOL_CLOSE_CLIENT_GONE], 1);
    deliver();
    /* b has a slot, and has opened nothing. */
    assert_int_equal(b->lease.grant, POOL_CONNECT);
    assert_true(pool_cancel(&b->lease, fixture_now_ms));
    assert_int_equal(fixture_stats(&f).closed, 1);
    deliver();
    assert_int_equal(c->lease.grant, POOL_CONNECT);
    client_use_grant(c);
    client_park(c);
    assert_int_equal(f.server->held, 0);
}

static void test_cancel_posted_slot(void **state)
{
    (void)state;
    queue_up((enum pool_want[]){POOL_WANT_ANY, POOL_WANT_ANY}, 2);
    client_discard(a, POOL_CLOSE_ERROR);
    assert_false(pool_cancel(&b->lease, fixture_now_ms));
    assert_false(pool_cancel(&b->lease, fixture_now_ms));
    assert_int_equal(f.server->held, 1); /* c's already */
    deliver();
    assert_int_equal(b->granted, 1);
    assert_true(b->lease.cancelled);
    assert_null(b->lease.server);
    assert_int_equal(c->granted, 1);
    assert_false(c->lease.cancelled);
    client_use_grant(c);
    client_park(c);
    assert_int_equal(client_lease(b, &f, POOL_WANT_ANY), POOL_REUSED);
    assert_false(b->lease.cancelled);
    client_park(b);
}

static void test_cancel_posted_connection(void **state)
{
    (void)state;
    queue_up((enum pool_want[]){POOL_WANT_ANY, POOL_WANT_ANY}, 2);
    int fd = a->conn.fd;
    client_park(a);
    assert_false(pool_cancel(&b->lease, fixture_now_ms));
    assert_false(pool_cancel(&c->lease, fixture_now_ms));
    assert_int_equal(fixture_stats(&f).idle, 1);
    deliver();
    assert_int_equal(b->granted, 1);
    assert_int_equal(c->granted, 1);
    assert_int_equal(f.server->held, 0);
    assert_int_equal(client_lease(d, &f, POOL_WANT_ANY), POOL_REUSED);
    assert_int_equal(d->conn.fd, fd);
    client_park(d);
}

/* ---- two threads ---------------------------------------------------------------------------- */

struct other_thread {
    struct mailbox mailbox;
    struct wheel wheel;
    struct client client;
    int fd;
    atomic_bool waiting;
};

static void *wait_in_queue(void *arg)
{
    struct other_thread *other = arg;
    mailbox_adopt(&other->mailbox);
    assert_int_equal(client_lease(&other->client, &f, POOL_WANT_ANY), POOL_WAITING);
    other->waiting = true;
    struct pollfd wake = {.fd = other->mailbox.event_fd, .events = POLLIN};
    assert_int_equal(poll(&wake, 1, 10000), 1);
    mailbox_run_foreign(&other->mailbox);
    assert_int_equal(other->client.granted, 1);
    assert_int_equal(other->client.lease.grant, POOL_REUSED);
    client_use_grant(&other->client);
    other->fd = other->client.conn.fd;
    client_park(&other->client);
    return NULL;
}

static void test_hand_over_to_another_thread(void **state)
{
    (void)state;
    static struct other_thread other;
    queue_up(NULL, 0);
    mailbox_init(&other.mailbox);
    wheel_init(&other.wheel, fixture_now_ms);
    client_init_for(&other.client, &other.mailbox, &other.wheel);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, wait_in_queue, &other), 0);
    while (!other.waiting)
        sched_yield();
    int fd = a->conn.fd;
    client_park(a);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(other.fd, fd);
    assert_int_equal(other.wheel.timers, 0);
    assert_int_equal(fixture_stats(&f).idle, 1);
    mailbox_destroy(&other.mailbox);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_first_connects_second_reuses),
        TEST(test_newest_is_taken_first),
        TEST(test_guard_idle_timeout),
        TEST(test_guard_max_lifetime),
        TEST(test_guards_at_park),
        TEST(test_guard_declared_timeout),
        TEST(test_guard_closed_by_server),
        TEST(test_guard_unsolicited_bytes),
        TEST(test_bad_ones_are_passed_over),
        TEST(test_max_idle_closes_the_oldest),
        TEST(test_max_idle_of_none),
        TEST(test_sure_is_fresh_while_nothing_is_known),
        TEST(test_sure_within_half_the_declared_timeout),
        TEST(test_learned_timeout),
        TEST(test_random_closes_are_never_trusted),
        TEST(test_death_after_lease_teaches_too),
        TEST(test_early_closes_outweigh_what_is_declared),
        TEST(test_fresh_makes_room_by_closing_the_oldest),
        TEST(test_queue_is_first_come_first_served),
        TEST(test_discard_wakes_the_first),
        TEST(test_hand_over_to_sure),
        TEST(test_hand_over_to_sure_declared),
        TEST(test_hand_over_that_comes_late),
        TEST(test_hand_over_to_fresh),
        TEST(test_hand_over_of_a_used_up_connection),
        TEST(test_hand_over_is_peeked_at),
        TEST(test_queue_full),
        TEST(test_queue_timeout),
        TEST(test_grant_under_way_beats_the_timeout),
        TEST(test_cancel_idle),
        TEST(test_cancel_queued),
        TEST(test_cancel_held),
        TEST(test_cancel_posted_slot),
        TEST(test_cancel_posted_connection),
        TEST(test_hand_over_to_another_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
