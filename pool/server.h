/*
 * pool/server: what the files of pool/ share; nobody else includes it.
 *
 * Lock order: a server's lock is the last one taken. Nothing is called under it that takes
 * another, and no system call is made under it.
 */
#ifndef WEIR_POOL_SERVER_H
#define WEIR_POOL_SERVER_H

#include "pool/pool.h"

#include <poll.h>
#include <pthread.h>

#define POOL_MAGIC 0x706f6f6cu
#define POOL_SERVER_MAGIC 0x73727672u
#define POOL_LEASE_MAGIC 0x6c656173u

/* No reason to close: the connection may be used. */
#define POOL_USABLE POOL_CLOSES

/* ---- parked connections --------------------------------------------------------------------- */

struct parked_node {
    struct list_link link;
    struct pool_conn conn;
    int64_t alive_ms; /* when it was last known to be open */
    uint64_t serial;  /* of this stay: tells the sweep that the node was not taken meanwhile */
};

/* All nodes are in one of two lists: newest first, or free. */
struct parked {
    struct parked_node *nodes; /* owned */
    unsigned count, cap;
    uint64_t serial;
    struct list_link newest_first, free;
};

void parked_init(struct parked *parked, unsigned cap);
void parked_destroy(struct parked *parked);
struct parked_node *parked_newest(const struct parked *parked);
struct parked_node *parked_oldest(const struct parked *parked);
/* There must be a free node. */
void parked_push(struct parked *parked, const struct pool_conn *conn, int64_t alive_ms);
/* The node is free afterwards; what it held is the caller's. */
struct pool_conn parked_take(struct parked *parked, struct parked_node *node);

/* ---- at which idle age a server closes ------------------------------------------------------ */

/* Ages are lower bounds: the last moment the connection was known to be open. What was seen is
 * forgotten after a while, so that a server's restart, which ends young connections too, does
 * not count for ever. */
struct learned {
    int64_t since_ms, smallest_ms;
    unsigned closes;
};

void learned_add(struct learned *learned, int64_t idle_ms, int64_t now_ms);
/* The smallest of them when that can be relied on, else 0. */
int64_t learned_timeout_ms(const struct learned *learned, int64_t now_ms);

/* ---- guards --------------------------------------------------------------------------------- */

/* Whether age, count and idle time let the connection be used; not whether it is still open. */
enum pool_close parked_guard(const struct conf_pool *conf, const struct learned *learned,
                             const struct pool_conn *conn, int64_t now_ms);
/* Whether a request that cannot be sent again may go on it. */
bool parked_is_sure(const struct learned *learned, const struct pool_conn *conn, int64_t now_ms);
/* Looks without taking: IDLE_DEATH when the server has closed, UNSOLICITED when there are bytes. */
enum pool_close parked_peek(int fd);

/* Room for one sweep: parked.cap rows each, owned. */
struct sweep {
    struct pollfd *fds;
    struct swept {
        struct parked_node *node;
        uint64_t serial;
    } * nodes;
    int *closing;
    unsigned closing_count;
};

/* ---- servers -------------------------------------------------------------------------------- */

/* IP or unix, ready to be connected to. */
struct pool_address {
    struct sockaddr_storage socket;
    socklen_t len;
    char text[CONF_ADDRESS_TEXT]; /* "[::1]:80" and, behind its NUL, the host "::1" */
};

/* A lookup under way; outlives a pool that is freed meanwhile. */
struct name_lookup {
    struct pool_server *server; /* borrowed; NULL: nobody waits any more */
};

struct pool_server {
    /* fixed after pool_new() */
    unsigned magic;
    struct pool *pool;                    /* borrowed */
    const struct conf_upstream *upstream; /* borrowed from pool->conf, as is conf */
    const struct conf_server *conf;

    /* main thread only */
    struct name_lookup *lookup; /* under way, or NULL */
    int64_t lookup_due_ms;      /* WHEEL_NEVER when the address is no name */
    unsigned lookup_failures;   /* in a row */
    struct sweep sweep;

    pthread_mutex_t lock;

    /* guarded by lock: slots. held + parked.count <= max_connections, and while anybody is
     * queued nothing is parked. */
    unsigned held;   /* leases that hold a slot: connecting or in use */
    unsigned active; /* of these, with a connection */
    struct parked parked;
    struct learned learned;

    /* guarded by lock: the queue, oldest first */
    struct list_link queue;
    unsigned queued;

    /* guarded by lock: addresses of a name */
    struct pool_address
        *addresses; /* owned, NET_NAME_ADDRESSES rows; NULL when the address is no name */
    unsigned addresses_count, addresses_next;
    unsigned addresses_version;
    bool name_pending; /* no answer yet, good or bad */

    /* guarded by lock: counters */
    uint64_t requests, errors, retries, queued_total, queue_full, queue_timeouts;
    uint64_t opened, closed;
    uint64_t closed_by[POOL_CLOSES];
    struct histogram latency_us;

    _Atomic uint64_t reused; /* known after the peek, which is made without the lock */
};

struct pool_upstream {
    struct pool_server *servers; /* owned */
    unsigned count;
    atomic_uint turn;
};

struct pool {
    /* fixed after pool_new() */
    unsigned magic;
    struct conf *conf; /* ref */
    struct net_resolver *resolver;
    int64_t (*clock_ms)(void);
    struct pool_upstream *upstreams; /* owned, in conf's order */

    atomic_uint names_pending; /* servers whose first lookup has not ended */
};

static inline bool server_is_name(const struct pool_server *server)
{
    return server->conf->address.kind == CONF_ADDRESS_NAME;
}

/* Counts a connection that has been, or is about to be, closed. */
static inline void server_count_closed_locked(struct pool_server *server, enum pool_close why)
{
    server->closed++;
    server->closed_by[why]++;
}

void sweep_init(struct sweep *sweep, unsigned cap);
void sweep_destroy(struct sweep *sweep);
/* Main thread: closes what has ended or expired among the parked. */
void server_sweep(struct pool_server *server, int64_t now_ms);
/* Grants or refuses those who wait for a name, now that its answer is known. */
void server_wake_queue(struct pool_server *server);

/* Main thread: starts the first lookup. */
void names_start(struct pool_server *server);
/* Main thread: starts a lookup when one is due. */
void names_refresh(struct pool_server *server, int64_t now_ms);
/* Main thread: an answer that is still to come will be ignored. */
void names_stop(struct pool_server *server);

#endif
