/*
 * pool: whom to connect to, and which connections are warm.
 *
 * One locked structure per server, for all workers together: counters, a first-come-first-served
 * queue, and a LIFO of parked connections that are registered in no event base. So N workers do not
 * mean N times the connections, and max_connections holds for the process.
 *
 * Any thread may call what is here unless it says otherwise; a lease belongs to one thread, its
 * mailbox's owner.
 */
#ifndef WEIR_POOL_H
#define WEIR_POOL_H

#include "base/base.h"
#include "conf/conf.h"
#include "net/net.h"

struct pool;
struct pool_server;

/* A connection as it passes between the pool and a fetch. A value: whoever holds it owns the fd. */
struct pool_conn {
    int fd;
    uint64_t id; /* of this connection, in this process; descriptors are used again */
    int64_t opened_ms;
    int64_t parked_ms;           /* since when it has been idle; 0 when it never was */
    uint64_t requests;           /* answered on it */
    int64_t declared_timeout_ms; /* of the origin's Keep-Alive: timeout; 0 when none was declared */
};

/* What the request needs of a connection. */
enum pool_want {
    POOL_WANT_ANY,  /* it can be sent again: any warm one */
    POOL_WANT_SURE, /* it cannot (RFC 9110 §9.2.2): a fresh one, or one idle for less than half the
                       declared or learned timeout */
    POOL_WANT_FRESH /* a retry */
};

/* How a lease came out: symbol, whether it failed. */
enum pool_grant {
    POOL_WAITING,    /* queued: on_grant follows */
    POOL_REUSED,     /* lease->conn is a warm connection */
    POOL_CONNECT,    /* a slot: connect to lease->address, then the connection counts as active */
    POOL_QUEUE_FULL, /* 503 */
    POOL_QUEUE_TIMEOUT, /* 503 */
    POOL_NO_ADDRESS     /* the name has never been resolved: 502 */
};

/* Embedded in a fetch. From pool_lease() to its end (pool_park, pool_discard or pool_cancel) it
 * holds at most one slot. */
struct pool_lease {
    unsigned magic;
    struct mailbox *mailbox; /* where on_grant is to run; set by the caller */
    struct wheel *wheel;     /* of the same thread, for the queue's timeout; set by the caller */
    void (*on_grant)(struct pool_lease *lease); /* set by the caller; runs once after POOL_WAITING,
                                                   with lease->grant set */
    enum pool_want want;
    enum pool_grant grant;
    struct pool_conn conn; /* POOL_REUSED */

    struct pool_server *server;  /* set while it holds or waits for a slot */
    struct list_link queue_link; /* guarded by the server's lock */
    enum {
        POOL_LEASE_IDLE,
        POOL_LEASE_QUEUED,
        POOL_LEASE_POSTED,
        POOL_LEASE_HELD
    } phase;        /* guarded by the server's lock */
    bool cancelled; /* owner thread: the mail of a grant is under way, and nothing is held any more
                     */
    struct mail mail;
    struct wheel_timer queue_timer;
    bool counts, failed; /* owner thread: an exchange to be counted when the lease ends */
    uint64_t latency_us;

    /* the pool's own; written under the server's lock */
    bool opened;              /* the slot has a connection, counted as active */
    int64_t alive_ms;         /* when a reused connection was last known to be open */
    uint32_t addresses_tried; /* of a name: bits of the server's address list of that version */
    unsigned addresses_version;

    /* POOL_CONNECT: an IP or unix address; the text is "" as long as there was none */
    char address_text[CONF_ADDRESS_TEXT];
    struct conf_address address;
};

/* Main thread. Servers for every upstream; names are resolved through `resolver` at once and, by
 * pool_sweep(), again when their TTL ends. Ends the program when memory is out. `conf` is kept by
 * reference. `resolver` may be NULL when no server is a name. */
struct pool *pool_new(struct conf *conf, struct net_resolver *resolver, int64_t (*clock_ms)(void));
/* Main thread, after all workers have ended, before the resolver is freed. Closes what is parked.
 */
void pool_free(struct pool **pool);

/* True once every name has been looked up, with or without success. */
bool pool_ready(const struct pool *pool);

/* The server for the next request of an upstream: round robin. Never NULL. */
struct pool_server *pool_pick(struct pool *pool, const struct conf_upstream *upstream);
const struct conf_upstream *pool_server_upstream(const struct pool_server *server);
const struct conf_server *pool_server_conf(const struct pool_server *server);

/* Clears a lease before its first use; mailbox, wheel and on_grant are set by the caller. */
void pool_lease_init(struct pool_lease *lease);

/* Asks for a connection. Every grant but POOL_WAITING is final at return. A parked connection is
 * taken newest first, past the guards: not idle too long, not too old, not used up, nothing unread
 * and not closed (a peek). When max_connections are in use, an idle one is closed in favour of a
 * fresh one that is needed, otherwise the lease is queued. The reuse is counted here, a retry by
 * pool_count_retry(). */
enum pool_grant pool_lease(struct pool_lease *lease, struct pool_server *server,
                           enum pool_want want, int64_t now_ms);

/* The connect to lease->address failed or timed out: the slot stays held, and lease->address is
 * another address of the server that has not been tried in this lease; false when there is none
 * left. */
bool pool_next_address(struct pool_lease *lease);

/* Ends a lease whose response has been read to its exact end: the connection is parked, handed to
 * the first in the queue, or closed when a guard says so. The caller has detached the fd; consumes
 * conn->fd and leaves -1. */
void pool_park(struct pool_lease *lease, struct pool_conn *conn, int64_t now_ms);

/* Why a connection is not parked: symbol, counter. */
#define POOL_CLOSE_TABLE(X)                                                                        \
    X(ORIGIN_CLOSE, "origin_close") /* Connection: close, HTTP/1.0, body until close */            \
    X(ERROR, "error")               /* broken, malformed, timed out, cut short */                  \
    X(CLIENT_GONE, "client_gone")   /* nobody wants the rest */                                    \
    X(IDLE_DEATH, "idle_death")     /* died between park and its next first byte */                \
    X(IDLE_TIMEOUT, "idle_timeout")                                                                \
    X(MAX_IDLE, "max_idle")                                                                        \
    X(MAX_REQUESTS, "max_requests")                                                                \
    X(MAX_LIFETIME, "max_lifetime")                                                                \
    X(UNSOLICITED, "unsolicited") /* bytes nobody asked for */                                     \
    X(MADE_ROOM, "made_room")     /* closed for a fresh one that was needed */                     \
    X(CONNECT_FAILED, "connect_failed")                                                            \
    X(TUNNEL_END, "tunnel_end")                                                                    \
    X(SHUTDOWN, "shutdown")

enum pool_close {
#define X(symbol, counter) POOL_CLOSE_##symbol,
    POOL_CLOSE_TABLE(X)
#undef X
    POOL_CLOSES
};

/* Ends a lease whose connection the caller has closed, or never opened: frees the slot and wakes
 * the first in the queue. With IDLE_DEATH, conn tells the idle age at which the server closed. */
void pool_discard(struct pool_lease *lease, enum pool_close why, const struct pool_conn *conn,
                  int64_t now_ms);

/* Counts a connect that succeeded; conn is then the caller's. */
void pool_opened(struct pool_lease *lease, struct pool_conn *conn, int fd, int64_t now_ms);

/* Gives up a lease in any phase; harmless on an idle one. True: done, the lease's memory may go.
 * False: its grant is under way; on_grant will still be called once, with lease->cancelled set and
 * nothing held, and until then the memory must stay. On a lease that holds a slot it is
 * pool_discard() with CLIENT_GONE: a connection that the caller has got must have been closed by
 * it. */
bool pool_cancel(struct pool_lease *lease, int64_t now_ms);

/* What a finished exchange adds to the server's counters when its lease ends, which holds a slot. */
void pool_count_request(struct pool_lease *lease, bool error, uint64_t latency_us);
/* One that could not be sent: no connection came about. */
void pool_count_unreachable(struct pool_server *server);
void pool_count_retry(struct pool_server *server);

/* Main thread, once a second: closes parked connections that have ended or expired, one poll() per
 * server; looks up names whose TTL has ended. */
void pool_sweep(struct pool *pool, int64_t now_ms);

/* For /stats. */
struct pool_server_stats {
    const char *address, *state;
    uint64_t requests, errors, retries, queued, queued_total, queue_full, queue_timeouts;
    uint64_t opened, reused, active, idle, closed;
    uint64_t closed_by[POOL_CLOSES];
    int64_t learned_timeout_ms; /* 0: not known */
};
unsigned pool_servers(const struct pool *pool, const struct conf_upstream *upstream);
void pool_read_stats(const struct pool *pool, const struct conf_upstream *upstream, unsigned server,
                     struct pool_server_stats *out, struct histogram *latency_us);

#endif
