/*
 * pool_fixture: one upstream in memory, socket pairs in place of connections to it, and a client
 * for each lease.
 *
 * Included by the tests of pool/ alone. Time is what fixture_now_ms says.
 */
#ifndef WEIR_TEST_POOL_FIXTURE_H
#define WEIR_TEST_POOL_FIXTURE_H

#include "pool/server.h"

#include <dirent.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define FIXTURE_START_MS 1000000
#define FIXTURE_FDS 4096

static _Atomic int64_t fixture_now_ms;

static inline int64_t fixture_clock(void)
{
    return fixture_now_ms;
}

static inline void fixture_advance(int64_t ms)
{
    fixture_now_ms += ms;
}

static inline unsigned fixture_open_fds(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

struct fixture {
    unsigned open_fds; /* before */
    struct conf *conf; /* of a minimal file, apart from its one upstream, which is this: */
    struct conf_upstream upstream;
    struct conf_server servers[2];
    struct pool *pool;
    struct pool_server *server; /* the first */
    struct mailbox mailbox;
    struct wheel wheel;
};

/* A request: its lease, and its connection while it has one. */
struct client {
    struct pool_lease lease;
    struct pool_conn conn;
    unsigned granted; /* calls of on_grant */
};

/* The server's end of each connection, by the pool's descriptor. */
static _Atomic int fixture_peers[FIXTURE_FDS]; /* 0: none */

static inline int fixture_connect(void)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    assert_true(pair[0] < FIXTURE_FDS);
    int old = atomic_exchange(&fixture_peers[pair[0]], pair[1]);
    if (old != 0)
        close(old);
    return pair[0];
}

static inline int fixture_peer(int fd)
{
    return fixture_peers[fd];
}

/* The server closes its end. */
static inline void fixture_server_closes(int fd)
{
    int peer = atomic_exchange(&fixture_peers[fd], 0);
    assert_int_not_equal(peer, 0);
    close(peer);
}

static inline bool fixture_is_closed(int peer)
{
    char byte;
    return recv(peer, &byte, 1, MSG_DONTWAIT) == 0;
}

static inline void fixture_conf(struct fixture *f)
{
    struct conf_errors errors = {0};
    *f = (struct fixture){.open_fds = fixture_open_fds(),
                          .conf = conf_for_origin("http://127.0.0.1:9000", NULL, NULL, &errors)};
    assert_non_null(f->conf);
    f->upstream = f->conf->upstreams[0];
    f->servers[0] = f->upstream.servers[0];
    f->servers[1] = f->upstream.servers[0];
    f->upstream.servers = f->servers;
    f->upstream.pool = (struct conf_pool){.max_connections = 4,
                                          .max_idle = 3,
                                          .idle_timeout_ms = 60000,
                                          .queue = 8,
                                          .queue_timeout_ms = 5000};
    f->conf->upstreams = &f->upstream;
    fixture_now_ms = FIXTURE_START_MS;
}

static inline void fixture_start(struct fixture *f, struct net_resolver *resolver)
{
    f->pool = pool_new(f->conf, resolver, fixture_clock);
    f->server = pool_pick(f->pool, &f->upstream);
    mailbox_init(&f->mailbox);
    mailbox_adopt(&f->mailbox);
    wheel_init(&f->wheel, fixture_now_ms);
}

static inline void fixture_stop(struct fixture *f)
{
    pool_free(&f->pool);
    assert_null(f->pool);
    conf_release(&f->conf);
    assert_int_equal(f->wheel.timers, 0);
    mailbox_destroy(&f->mailbox);
    for (unsigned i = 0; i < FIXTURE_FDS; i++) {
        int peer = atomic_exchange(&fixture_peers[i], 0);
        if (peer != 0)
            close(peer);
    }
    assert_int_equal(fixture_open_fds(), f->open_fds);
}

static inline struct pool_server_stats fixture_stats(struct fixture *f)
{
    struct pool_server_stats stats;
    pool_read_stats(f->pool, &f->upstream, 0, &stats, NULL);
    assert_int_equal(stats.opened, stats.active + stats.idle + stats.closed);
    return stats;
}

static inline void client_on_grant(struct pool_lease *lease)
{
    weir_container(lease, struct client, lease)->granted++;
}

static inline void client_init_for(struct client *client, struct mailbox *mailbox,
                                   struct wheel *wheel)
{
    *client = (struct client){.conn = {.fd = -1}};
    pool_lease_init(&client->lease);
    client->lease.mailbox = mailbox;
    client->lease.wheel = wheel;
    client->lease.on_grant = client_on_grant;
}

static inline void client_init(struct client *client, struct fixture *f)
{
    client_init_for(client, &f->mailbox, &f->wheel);
}

/* Does what a grant allows: connects, or takes the warm connection. */
static inline void client_use_grant(struct client *client)
{
    if (client->lease.grant == POOL_CONNECT) {
        pool_opened(&client->lease, &client->conn, fixture_connect(), fixture_now_ms);
    } else if (client->lease.grant == POOL_REUSED) {
        client->conn = client->lease.conn;
        client->lease.conn.fd = -1;
    }
}

static inline enum pool_grant client_lease(struct client *client, struct fixture *f,
                                           enum pool_want want)
{
    enum pool_grant grant = pool_lease(&client->lease, f->server, want, fixture_now_ms);
    if (grant != POOL_WAITING)
        client_use_grant(client);
    return grant;
}

static inline void client_park(struct client *client)
{
    client->conn.requests++;
    pool_park(&client->lease, &client->conn, fixture_now_ms);
    assert_int_equal(client->conn.fd, -1);
}

static inline void client_discard(struct client *client, enum pool_close why)
{
    if (client->conn.fd >= 0)
        close(client->conn.fd);
    pool_discard(&client->lease, why, &client->conn, fixture_now_ms);
    client->conn.fd = -1;
}

#endif
