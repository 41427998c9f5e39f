/*
 * The pool of clean bufferevents of one loop.
 *
 * A connection leases one while output or partial input must wait, and gives it back as soon as it
 * is empty, so that an idle connection holds none. bufferevent_setfd() does not clean a
 * bufferevent, hence the contract of give_back, in this order:
 *
 *   not inside one of its own callbacks; EV_READ and EV_WRITE disabled; setfd(-1), which unfreezes
 * the buffers; both buffers drained and looked at; callbacks, watermarks, timeouts and single-read
 * and single-write limits reset.
 *
 * Nobody sets a high watermark or uses bufferevent_socket_connect(): what those leave behind cannot
 * be seen from outside. One that cannot be proven clean is freed. Owner thread only.
 */
#include "net/net.h"

#include <event2/buffer.h>
#include <stdlib.h>

void net_bufferevents_init(struct net_bufferevents *pool, struct event_base *base, unsigned keep)
{
    memset(pool, 0, sizeof(*pool));
    pool->base = base;
    pool->keep = keep;
    pool->idle = base_alloc(keep * sizeof(struct bufferevent *));
}

void net_bufferevents_destroy(struct net_bufferevents *pool)
{
    while (pool->idle_count > 0)
        bufferevent_free(pool->idle[--pool->idle_count]);
    free(pool->idle);
    memset(pool, 0, sizeof(*pool));
}

static void clean(struct bufferevent *bev)
{
    struct evbuffer *input = bufferevent_get_input(bev), *output = bufferevent_get_output(bev);

    bufferevent_disable(bev, EV_READ | EV_WRITE);
    bufferevent_setfd(bev, -1);
    evbuffer_drain(input, evbuffer_get_length(input));
    evbuffer_drain(output, evbuffer_get_length(output));
    bufferevent_setcb(bev, NULL, NULL, NULL, NULL);
    bufferevent_setwatermark(bev, EV_READ | EV_WRITE, 0, 0);
    bufferevent_set_timeouts(bev, NULL, NULL);
    bufferevent_set_max_single_read(bev, 0);
    bufferevent_set_max_single_write(bev, 0);
}

static bool is_clean(struct bufferevent *bev)
{
    size_t low = 1, high = 1, low_write = 1, high_write = 1;

    bufferevent_getwatermark(bev, EV_READ, &low, &high);
    bufferevent_getwatermark(bev, EV_WRITE, &low_write, &high_write);
    return evbuffer_get_length(bufferevent_get_input(bev)) == 0 &&
           evbuffer_get_length(bufferevent_get_output(bev)) == 0 && bufferevent_getfd(bev) == -1 &&
           (bufferevent_get_enabled(bev) & (EV_READ | EV_WRITE)) == 0 && low == 0 && high == 0 &&
           low_write == 0 && high_write == 0;
}

struct bufferevent *net_bufferevent_lease(struct net_bufferevents *pool)
{
    struct bufferevent *bev;

    if (pool->idle_count > 0) {
        bev = pool->idle[--pool->idle_count];
        cell_sub(&pool->stats.idle, 1);
        cell_add(&pool->stats.reused, 1);
    } else {
        bev = bufferevent_socket_new(pool->base, -1, 0);
        if (!bev)
            return NULL;
        clean(bev);
        cell_add(&pool->stats.created, 1);
    }
    cell_add(&pool->stats.leased, 1);
    return bev;
}

void net_bufferevent_give_back(struct net_bufferevents *pool, struct bufferevent **taken)
{
    struct bufferevent *bev = weir_take(taken);

    weir_assert(bev != NULL);
    cell_sub(&pool->stats.leased, 1);
    clean(bev);
    if (pool->idle_count == pool->keep || !is_clean(bev)) {
        bufferevent_free(bev);
        return;
    }
    pool->idle[pool->idle_count++] = bev;
    cell_add(&pool->stats.idle, 1);
}
