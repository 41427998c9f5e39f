/* The pool as a whole: servers in turn, counters, and its invariants after long random runs on
 * one thread and on four. */
#include "tests/unit/pool/pool_fixture.h"

#include <pthread.h>

static struct fixture f;

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

static void test_servers_in_turn(void **state)
{
    (void)state;
    f.upstream.servers_count = 2;
    fixture_start(&f, NULL);
    assert_int_equal(pool_servers(f.pool, &f.upstream), 2);
    assert_true(pool_ready(f.pool));
    unsigned seen[2] = {0};
    for (unsigned i = 0; i < 10; i++) {
        struct pool_server *server = pool_pick(f.pool, &f.upstream);
        assert_ptr_equal(pool_server_upstream(server), &f.upstream);
        seen[pool_server_conf(server) == &f.servers[1]]++;
    }
    assert_int_equal(seen[0], 5);
    assert_int_equal(seen[1], 5);
}

static void test_counters(void **state)
{
    (void)state;
    fixture_start(&f, NULL);
    struct client client;
    client_init(&client, &f);
    assert_int_equal(client_lease(&client, &f, POOL_WANT_ANY), POOL_CONNECT);
    pool_count_request(&client.lease, false, 100);
    client_park(&client);
    assert_int_equal(client_lease(&client, &f, POOL_WANT_ANY), POOL_REUSED);
    pool_count_request(&client.lease, true, 300);
    client_discard(&client, POOL_CLOSE_ERROR);
    /* What nothing was said of is no request. */
    client_lease(&client, &f, POOL_WANT_ANY);
    client_discard(&client, POOL_CLOSE_CLIENT_GONE);
    pool_count_retry(f.server);
    static struct histogram latency;
    memset(&latency, 0, sizeof(latency));
    struct pool_server_stats stats;
    pool_read_stats(f.pool, &f.upstream, 0, &stats, &latency);
    assert_int_equal(stats.requests, 2);
    assert_int_equal(stats.errors, 1);
    assert_int_equal(stats.retries, 1);
    assert_string_equal(stats.address, "127.0.0.1:9000");
    assert_string_equal(stats.state, "up");
    assert_int_equal(cell_read(&latency.count), 2);
    assert_int_equal(cell_read(&latency.max), 300);
}

/* ---- random runs ---------------------------------------------------------------------------- */

#define CLIENTS 12

/* One thread's clients, doing what its random numbers say. */
struct actor {
    uint64_t random;
    struct mailbox mailbox;
    struct wheel wheel;
    struct client clients[CLIENTS];
    bool waiting[CLIENTS];
    unsigned answered[CLIENTS]; /* grants seen */
    uint64_t granted_late;
};

static uint64_t draw(struct actor *actor, uint64_t below)
{
    actor->random ^= actor->random << 13;
    actor->random ^= actor->random >> 7;
    actor->random ^= actor->random << 17;
    return (actor->random >> 11) % below;
}

static void actor_init(struct actor *actor, uint64_t seed)
{
    memset(actor, 0, sizeof(*actor));
    actor->random = seed;
    mailbox_init(&actor->mailbox);
    wheel_init(&actor->wheel, fixture_now_ms);
    for (unsigned i = 0; i < CLIENTS; i++)
        client_init_for(&actor->clients[i], &actor->mailbox, &actor->wheel);
}

/* Whatever was granted meanwhile is taken up. */
static void take_up_grants(struct actor *actor)
{
    struct pollfd wake = {.fd = actor->mailbox.event_fd, .events = POLLIN};
    if (poll(&wake, 1, 0) == 1)
        mailbox_run_foreign(&actor->mailbox);
    mailbox_run_local(&actor->mailbox);
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client *client = &actor->clients[i];
        if (!actor->waiting[i] || client->granted == actor->answered[i])
            continue;
        weir_assert(client->granted == actor->answered[i] + 1);
        actor->answered[i]++;
        actor->waiting[i] = false;
        actor->granted_late++;
        if (!client->lease.cancelled)
            client_use_grant(client);
    }
}

static void act_on_held(struct actor *actor, struct client *client)
{
    if (client->conn.fd < 0) { /* a connect under way, which fails */
        pool_discard(&client->lease, POOL_CLOSE_CONNECT_FAILED, NULL, fixture_now_ms);
        return;
    }
    client->conn.declared_timeout_ms = draw(actor, 2) ? 5000 : 0;
    switch (draw(actor, 10)) {
    case 0:
        client_discard(client, POOL_CLOSE_ERROR);
        break;
    case 1:
        client_discard(client, POOL_CLOSE_IDLE_DEATH);
        break;
    case 2:
        close(client->conn.fd);
        client->conn.fd = -1;
        assert_true(pool_cancel(&client->lease, fixture_now_ms));
        break;
    case 3:
        fixture_server_closes(client->conn.fd);
        client_park(client);
        break;
    default:
        client_park(client);
    }
}

static void act(struct actor *actor)
{
    unsigned i = (unsigned)draw(actor, CLIENTS);
    struct client *client = &actor->clients[i];
    fixture_advance((int64_t)draw(actor, 40));
    if (draw(actor, 50) == 0)
        wheel_advance(&actor->wheel, fixture_now_ms);
    if (draw(actor, 3) == 0)
        take_up_grants(actor);

    if (actor->waiting[i]) {
        if (draw(actor, 4) == 0 && pool_cancel(&client->lease, fixture_now_ms))
            actor->waiting[i] = false;
        /* An on_grant that came before the cancel is not to be taken up any more. */
        if (!actor->waiting[i] && client->granted != actor->answered[i])
            actor->answered[i] = client->granted;
    } else if (client->lease.server == NULL) {
        enum pool_want want = (enum pool_want)draw(actor, 3);
        enum pool_grant grant = pool_lease(&client->lease, f.server, want, fixture_now_ms);
        actor->waiting[i] = grant == POOL_WAITING;
        if (!actor->waiting[i] && draw(actor, 10) != 0)
            client_use_grant(client);
        else if (grant == POOL_REUSED)
            client_use_grant(client);
    } else {
        act_on_held(actor, client);
    }
}

static bool has_lease(const struct actor *actor)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        if (actor->waiting[i] || actor->clients[i].lease.server != NULL)
            return true;
    }
    return false;
}

/* Ends all leases; bounded. */
static void wind_up(struct actor *actor)
{
    for (unsigned round = 0; round < 100000 && has_lease(actor); round++) {
        take_up_grants(actor);
        for (unsigned i = 0; i < CLIENTS; i++) {
            struct client *client = &actor->clients[i];
            if (actor->waiting[i]) {
                if (pool_cancel(&client->lease, fixture_now_ms))
                    actor->waiting[i] = false;
            } else if (client->lease.server != NULL) {
                act_on_held(actor, client);
            }
        }
    }
    assert_false(has_lease(actor));
    assert_int_equal(actor->wheel.timers, 0);
}

static void check_server(void)
{
    struct pool_server *server = f.server;
    pthread_mutex_lock(&server->lock);
    bool consistent = server->opened == server->active + server->parked.count + server->closed;
    bool bounded = server->held + server->parked.count <= f.upstream.pool.max_connections &&
                   server->active <= server->held &&
                   server->parked.count <= f.upstream.pool.max_idle &&
                   server->queued <= f.upstream.pool.queue;
    bool queue_is_needed = server->queued == 0 || (server->parked.count == 0 &&
                                                   server->held == f.upstream.pool.max_connections);
    pthread_mutex_unlock(&server->lock);
    assert_true(consistent);
    assert_true(bounded);
    assert_true(queue_is_needed);
}

/* Nothing is left. */
static void check_end(uint64_t granted_late)
{
    check_server();
    struct pool_server_stats stats = fixture_stats(&f);
    assert_int_equal(f.server->held, 0);
    assert_int_equal(stats.active, 0);
    assert_int_equal(stats.queued, 0);
    uint64_t closed = 0;
    for (unsigned i = 0; i < POOL_CLOSES; i++)
        closed += i == POOL_CLOSE_CONNECT_FAILED ? 0 : stats.closed_by[i];
    assert_int_equal(closed, stats.closed);
    assert_true(granted_late > 0 && stats.reused > 0);
}

static void check_all_paths_were_taken(void)
{
    struct pool_server_stats stats = fixture_stats(&f);
    assert_true(stats.queued_total > 0 && stats.queue_full > 0 && stats.queue_timeouts > 0);
    assert_true(stats.closed_by[POOL_CLOSE_ERROR] > 0);
    assert_true(stats.closed_by[POOL_CLOSE_CLIENT_GONE] > 0);
    assert_true(stats.closed_by[POOL_CLOSE_IDLE_DEATH] > 0);
    assert_true(stats.closed_by[POOL_CLOSE_IDLE_TIMEOUT] > 0);
    assert_true(stats.closed_by[POOL_CLOSE_MAX_IDLE] > 0);
    assert_true(stats.closed_by[POOL_CLOSE_MAX_REQUESTS] > 0);
    assert_true(stats.closed_by[POOL_CLOSE_MAX_LIFETIME] > 0);
    assert_true(stats.closed_by[POOL_CLOSE_MADE_ROOM] > 0);
    assert_true(stats.closed_by[POOL_CLOSE_CONNECT_FAILED] > 0);
}

static void configure_random(unsigned threads)
{
    f.upstream.pool = (struct conf_pool){.max_connections = 3 * threads,
                                         .max_idle = 2 * threads,
                                         .idle_timeout_ms = 150,
                                         .max_requests = 4,
                                         .max_lifetime_ms = 2000,
                                         .queue = 3 * threads,
                                         .queue_timeout_ms = 500};
}

static void test_random_steps(void **state)
{
    (void)state;
    configure_random(1);
    fixture_start(&f, NULL);
    mailbox_destroy(&f.mailbox);
    static struct actor actor;
    actor_init(&actor, 0x9e3779b97f4a7c15u);
    mailbox_adopt(&actor.mailbox);
    for (unsigned step = 0; step < 100000; step++) {
        act(&actor);
        check_server();
        if (step % 100 == 0)
            pool_sweep(f.pool, fixture_now_ms);
    }
    wind_up(&actor);
    check_end(actor.granted_late);
    check_all_paths_were_taken();
    mailbox_destroy(&actor.mailbox);
    mailbox_init(&f.mailbox);
}

#define THREADS 4
#define THREAD_STEPS 25000

static atomic_uint threads_done, threads_ended;

static void *run_actor(void *arg)
{
    struct actor *actor = arg;
    mailbox_adopt(&actor->mailbox);
    for (unsigned step = 0; step < THREAD_STEPS; step++)
        act(actor);
    wind_up(actor);
    threads_ended++;
    /* A mailbox must stay until nobody posts to it. */
    while (threads_ended < THREADS)
        sched_yield();
    threads_done++;
    return NULL;
}

static void test_random_steps_on_four_threads(void **state)
{
    (void)state;
    configure_random(THREADS);
    fixture_start(&f, NULL);
    static struct actor actors[THREADS];
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        actor_init(&actors[i], 0x9e3779b97f4a7c15u * (i + 1));
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_actor, &actors[i]), 0);
    while (threads_done < THREADS) {
        pool_sweep(f.pool, fixture_now_ms);
        check_server();
        fixture_stats(&f);
        sched_yield();
    }
    uint64_t granted_late = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        granted_late += actors[i].granted_late;
        mailbox_destroy(&actors[i].mailbox);
    }
    check_end(granted_late);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_servers_in_turn),
        TEST(test_counters),
        TEST(test_random_steps),
        TEST(test_random_steps_on_four_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
