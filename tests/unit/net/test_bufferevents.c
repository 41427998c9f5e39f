/*
 * The give-back contract of net/bufferevents.c: a returned bufferevent, poisoned in every way that
 * the contract names, leaks nothing into its next user.
 */
#include "net/net.h"

#include <event2/buffer.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    struct event_base *base;
    struct net_bufferevents pool;
    unsigned calls;
};

static int set_up(void **state)
{
    static struct fixture fixture;

    memset(&fixture, 0, sizeof(fixture));
    fixture.base = event_base_new();
    net_bufferevents_init(&fixture.pool, fixture.base, 2);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    net_bufferevents_destroy(&fixture->pool);
    event_base_free(fixture->base);
    return 0;
}

static void on_data(struct bufferevent *bev, void *arg)
{
    (void)bev;
    ((struct fixture *)arg)->calls++;
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    (void)bev, (void)what;
    ((struct fixture *)arg)->calls++;
}

static void assert_clean(struct bufferevent *bev)
{
    size_t low, high;
    bufferevent_data_cb read_cb, write_cb;
    bufferevent_event_cb event_cb;
    void *arg;

    assert_int_equal(bufferevent_getfd(bev), -1);
    assert_int_equal(bufferevent_get_enabled(bev) & (EV_READ | EV_WRITE), 0);
    assert_int_equal(evbuffer_get_length(bufferevent_get_input(bev)), 0);
    assert_int_equal(evbuffer_get_length(bufferevent_get_output(bev)), 0);
    bufferevent_getwatermark(bev, EV_READ, &low, &high);
    assert_true(low == 0 && high == 0);
    bufferevent_getwatermark(bev, EV_WRITE, &low, &high);
    assert_true(low == 0 && high == 0);
    bufferevent_getcb(bev, &read_cb, &write_cb, &event_cb, &arg);
    assert_true(!read_cb && !write_cb && !event_cb && !arg);
    assert_int_equal(bufferevent_get_max_single_write(bev), 16384);
    assert_int_equal(bufferevent_get_max_single_read(bev), 16384);
}

static void a_leased_one_is_clean_and_counted(void **state)
{
    struct fixture *fixture = *state;
    struct bufferevent *bev = net_bufferevent_lease(&fixture->pool), *again;

    assert_clean(bev);
    assert_int_equal(cell_read(&fixture->pool.stats.created), 1);
    assert_int_equal(cell_read(&fixture->pool.stats.leased), 1);
    again = bev;
    net_bufferevent_give_back(&fixture->pool, &bev);
    assert_null(bev);
    assert_int_equal(cell_read(&fixture->pool.stats.leased), 0);
    assert_int_equal(cell_read(&fixture->pool.stats.idle), 1);
    bev = net_bufferevent_lease(&fixture->pool);
    assert_ptr_equal(bev, again);
    assert_int_equal(cell_read(&fixture->pool.stats.reused), 1);
    assert_int_equal(cell_read(&fixture->pool.stats.idle), 0);
    net_bufferevent_give_back(&fixture->pool, &bev);
}

/* Everything the contract names, at once, half way through an exchange over a real socket pair. */
static void a_poisoned_one_leaks_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct bufferevent *bev = net_bufferevent_lease(&fixture->pool), *poisoned = bev;
    static char large[512 * 1024];
    struct timeval soon = {0, 1};
    int pair[2], other[2];
    char byte;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    bufferevent_setfd(bev, pair[0]);
    bufferevent_setcb(bev, on_data, on_data, on_event, fixture);
    bufferevent_setwatermark(bev, EV_READ | EV_WRITE, 7, 0);
    bufferevent_setwatermark(bev, EV_READ, 5, 4096);
    bufferevent_set_timeouts(bev, &soon, &soon);
    bufferevent_set_max_single_read(bev, 3);
    bufferevent_set_max_single_write(bev, 9);
    bufferevent_enable(bev, EV_READ | EV_WRITE);
    evbuffer_add_reference(bufferevent_get_output(bev), large, sizeof(large), NULL, NULL);
    assert_int_equal(write(pair[1], large, 8192), 8192);
    event_base_loop(fixture->base, EVLOOP_ONCE | EVLOOP_NONBLOCK); /* some went out, some came in */
    event_base_loop(fixture->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    assert_true(evbuffer_get_length(bufferevent_get_output(bev)) > 0);
    fixture->calls = 0;

    net_bufferevent_give_back(&fixture->pool, &bev);
    assert_int_equal(cell_read(&fixture->pool.stats.idle), 1);
    bev = net_bufferevent_lease(&fixture->pool);
    assert_ptr_equal(bev, poisoned);
    assert_clean(bev);

    /* The next user's bytes, and only those, reach the next user's peer; the old descriptor has no
     * part in it. */
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, other), 0);
    bufferevent_setfd(bev, other[0]);
    bufferevent_enable(bev, EV_WRITE);
    evbuffer_add(bufferevent_get_output(bev), "x", 1);
    assert_int_equal(write(pair[1], large, 1024), 1024);
    for (int i = 0; i < 8; i++)
        event_base_loop(fixture->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    assert_int_equal(read(other[1], &byte, 1), 1);
    assert_int_equal(byte, 'x');
    assert_int_equal(read(other[1], &byte, 1), -1);
    assert_int_equal(evbuffer_get_length(bufferevent_get_input(bev)), 0);
    assert_int_equal(fixture->calls, 0);
    net_bufferevent_give_back(&fixture->pool, &bev);
    for (int i = 0; i < 2; i++) {
        close(pair[i]);
        close(other[i]);
    }
}

static void one_whose_peer_has_gone_is_clean_again(void **state)
{
    struct fixture *fixture = *state;
    struct bufferevent *bev = net_bufferevent_lease(&fixture->pool);
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    bufferevent_setfd(bev, pair[0]);
    bufferevent_setcb(bev, NULL, on_data, on_event, fixture);
    bufferevent_enable(bev, EV_WRITE);
    close(pair[1]);
    evbuffer_add(bufferevent_get_output(bev), "lost", 4);
    event_base_loop(fixture->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    assert_int_equal(fixture->calls, 1); /* the error */
    net_bufferevent_give_back(&fixture->pool, &bev);
    bev = net_bufferevent_lease(&fixture->pool);
    assert_clean(bev);
    net_bufferevent_give_back(&fixture->pool, &bev);
    close(pair[0]);
}

static void no_more_are_kept_than_asked_for(void **state)
{
    struct fixture *fixture = *state;
    struct bufferevent *bevs[3];

    for (int i = 0; i < 3; i++)
        bevs[i] = net_bufferevent_lease(&fixture->pool);
    for (int i = 0; i < 3; i++)
        net_bufferevent_give_back(&fixture->pool, &bevs[i]);
    assert_int_equal(cell_read(&fixture->pool.stats.idle), 2);
    assert_int_equal(cell_read(&fixture->pool.stats.leased), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_leased_one_is_clean_and_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_poisoned_one_leaks_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_whose_peer_has_gone_is_clean_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_more_are_kept_than_asked_for, set_up, tear_down),
    };

    signal(SIGPIPE, SIG_IGN); /* as the program does */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
