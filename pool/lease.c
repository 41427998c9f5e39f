/*
 * lease: how a request gets a connection to a server and gives it back; the queue for those that
 * must wait.
 *
 * Called by the fetch machine on any worker. A lease and its queue timer belong to one thread;
 * what other threads touch (phase, grant, connection, queue link) is guarded by the server's
 * lock until the grant's mail has been delivered. Descriptors are closed and mail is posted
 * after the lock is released.
 *
 *   IDLE   --pool_lease: a connection or a slot--> HELD --park, discard, cancel--> IDLE
 *   IDLE   --pool_lease: must wait--> QUEUED --a slot, or the name's answer--> POSTED
 *   QUEUED --cancel, queue timeout--> IDLE
 *   POSTED --mail delivered--> HELD, or IDLE when it was refused
 *   POSTED --cancel: what was granted goes on--> POSTED, cancelled --mail delivered--> IDLE
 */
#include "pool/server.h"

#include <unistd.h>

/* What a critical section leaves to be done behind it. */
struct after {
    int close_fd;              /* -1: none */
    struct pool_lease *posted; /* NULL: none */
};

#define AFTER_NOTHING ((struct after){.close_fd = -1})

static void finish(struct after *after)
{
    if (after->posted != NULL)
        mailbox_post(after->posted->mailbox, &after->posted->mail);
    if (after->close_fd >= 0)
        close(after->close_fd);
}

/* ---- addresses ------------------------------------------------------------------------------ */

static bool address_known_locked(const struct pool_server *server)
{
    return !server_is_name(server) || server->addresses_count > 0;
}

static void set_address_locked(struct pool_lease *lease, unsigned index)
{
    struct pool_server *server = lease->server;
    const struct pool_address *from = &server->addresses[index];
    memcpy(lease->address_text, from->text, sizeof(lease->address_text));
    lease->address = (struct conf_address){
        .kind = CONF_ADDRESS_IP,
        .text = lease->address_text,
        .host = lease->address_text + strlen(lease->address_text) + 1,
        .port = server->conf->address.port,
        .len = from->len,
        .socket = from->socket,
    };
    lease->addresses_tried |= 1u << index;
}

/* The addresses of a name are used in turn. */
static void first_address_locked(struct pool_lease *lease)
{
    struct pool_server *server = lease->server;
    if (!server_is_name(server)) {
        lease->address = server->conf->address;
        struct appender text = appender_on(lease->address_text, sizeof(lease->address_text) - 1);
        append_str(&text, str_from(lease->address.text));
        lease->address_text[text.len] = '\0';
        return;
    }
    lease->addresses_version = server->addresses_version;
    lease->addresses_tried = 0;
    set_address_locked(lease, server->addresses_next++ % server->addresses_count);
}

/* After a new answer, only the address tried last is known to have been tried. */
static void forget_tried_locked(struct pool_lease *lease)
{
    struct pool_server *server = lease->server;
    lease->addresses_version = server->addresses_version;
    lease->addresses_tried = 0;
    for (unsigned i = 0; i < server->addresses_count; i++) {
        if (strcmp(server->addresses[i].text, lease->address_text) == 0)
            lease->addresses_tried |= 1u << i;
    }
}

bool pool_next_address(struct pool_lease *lease)
{
    weir_check_magic(lease, POOL_LEASE_MAGIC);
    struct pool_server *server = lease->server;
    weir_check_magic(server, POOL_SERVER_MAGIC);
    if (!server_is_name(server))
        return false;

    bool found = false;
    pthread_mutex_lock(&server->lock);
    weir_assert(lease->phase == POOL_LEASE_HELD && !lease->opened);
    if (lease->addresses_version != server->addresses_version)
        forget_tried_locked(lease);
    for (unsigned i = 0; i < server->addresses_count && !found; i++) {
        if ((lease->addresses_tried & 1u << i) == 0) {
            set_address_locked(lease, i);
            found = true;
        }
    }
    pthread_mutex_unlock(&server->lock);
    return found;
}

/* ---- slots: the only places that change held and active ------------------------------------- */

static bool has_room_locked(const struct pool_server *server)
{
    return server->held + server->parked.count < server->upstream->pool.max_connections;
}

/* A slot to connect with. */
static void hold_slot_locked(struct pool_lease *lease)
{
    lease->server->held++;
    lease->grant = POOL_CONNECT;
    first_address_locked(lease);
}

static void free_slot_locked(struct pool_lease *lease)
{
    weir_assert(!lease->opened && lease->server->held > 0);
    lease->server->held--;
}

/* A warm connection for the slot that the lease holds. */
static void gain_conn_locked(struct pool_lease *lease, const struct pool_conn *conn,
                             int64_t alive_ms)
{
    lease->server->active++;
    lease->opened = true;
    lease->conn = *conn;
    lease->alive_ms = alive_ms;
    lease->grant = POOL_REUSED;
}

/* The connection of the lease lives on elsewhere; the slot stays held. */
static void release_conn_locked(struct pool_lease *lease)
{
    weir_assert(lease->opened && lease->server->active > 0);
    lease->server->active--;
    lease->opened = false;
}

/* The connection is, or is about to be, closed; the slot stays held. */
static void lose_conn_locked(struct pool_lease *lease, enum pool_close why,
                             const struct pool_conn *conn, int64_t now_ms)
{
    struct pool_server *server = lease->server;
    release_conn_locked(lease);
    server_count_closed_locked(server, why);
    if (why == POOL_CLOSE_IDLE_DEATH && conn != NULL && conn->parked_ms != 0)
        learned_add(&server->learned, lease->alive_ms - conn->parked_ms, now_ms);
}

/* ---- the queue ------------------------------------------------------------------------------ */

static bool is_wanted_locked(const struct pool_server *server, enum pool_want want,
                             const struct pool_conn *conn, int64_t now_ms)
{
    if (want == POOL_WANT_SURE)
        return parked_is_sure(&server->learned, conn, now_ms);
    return want == POOL_WANT_ANY;
}

static struct pool_lease *queue_take_first_locked(struct pool_server *server)
{
    struct pool_lease *lease = weir_container(server->queue.next, struct pool_lease, queue_link);
    weir_assert(lease->phase == POOL_LEASE_QUEUED && server->queued > 0);
    list_remove(&lease->queue_link);
    server->queued--;
    lease->phase = POOL_LEASE_POSTED;
    return lease;
}

/* Gives a free slot to the first in the queue. */
static struct pool_lease *grant_first_locked(struct pool_server *server)
{
    if (server->queued == 0 || !has_room_locked(server) || !address_known_locked(server))
        return NULL;
    struct pool_lease *lease = queue_take_first_locked(server);
    hold_slot_locked(lease);
    return lease;
}

static struct pool_lease *refuse_first_locked(struct pool_server *server)
{
    if (server->queued == 0 || server->name_pending || address_known_locked(server))
        return NULL;
    struct pool_lease *lease = queue_take_first_locked(server);
    lease->grant = POOL_NO_ADDRESS;
    return lease;
}

void server_wake_queue(struct pool_server *server)
{
    struct after after;
    do {
        after = AFTER_NOTHING;
        pthread_mutex_lock(&server->lock);
        after.posted = grant_first_locked(server);
        if (after.posted == NULL)
            after.posted = refuse_first_locked(server);
        pthread_mutex_unlock(&server->lock);
        finish(&after);
    } while (after.posted != NULL);
}

/* Parks a connection that is neither active nor idle at the moment; the oldest makes room. */
static void park_locked(struct pool_server *server, const struct pool_conn *conn, int64_t now_ms,
                        struct after *after)
{
    struct parked *parked = &server->parked;
    if (parked->count == parked->cap) {
        server_count_closed_locked(server, POOL_CLOSE_MAX_IDLE);
        if (parked->cap == 0) {
            after->close_fd = conn->fd;
            return;
        }
        after->close_fd = parked_take(parked, parked_oldest(parked)).fd;
    }
    parked_push(parked, conn, now_ms);
}

/* Ends what the lease holds. Its connection, when it may live on, goes with the slot to the first
 * in the queue, which looks at delivery whether it wants it; else it is parked. */
static void pass_on_locked(struct pool_lease *lease, const struct pool_conn *conn, int64_t now_ms,
                           struct after *after)
{
    struct pool_server *server = lease->server;
    enum pool_close why = parked_guard(&server->upstream->pool, &server->learned, conn, now_ms);
    release_conn_locked(lease);
    free_slot_locked(lease);
    after->posted = grant_first_locked(server);
    if (why != POOL_USABLE) {
        server_count_closed_locked(server, why);
        after->close_fd = conn->fd;
    } else if (after->posted != NULL) {
        gain_conn_locked(after->posted, conn, now_ms);
    } else {
        park_locked(server, conn, now_ms, after);
    }
}

/* ---- lease ---------------------------------------------------------------------------------- */

/* Takes the newest parked connection, good or not: *why tells. False when there is none that the
 * request could use. */
static bool take_parked_locked(struct pool_lease *lease, int64_t now_ms, enum pool_close *why)
{
    struct pool_server *server = lease->server;
    struct parked_node *node = parked_newest(&server->parked);
    if (node == NULL || lease->want == POOL_WANT_FRESH)
        return false;
    weir_assert(server->queued == 0);
    *why = parked_guard(&server->upstream->pool, &server->learned, &node->conn, now_ms);
    /* If the newest is not sure, none is. */
    if (*why == POOL_USABLE && !is_wanted_locked(server, lease->want, &node->conn, now_ms))
        return false;
    int64_t alive_ms = node->alive_ms;
    struct pool_conn conn = parked_take(&server->parked, node);
    server->held++;
    gain_conn_locked(lease, &conn, alive_ms);
    lease->phase = POOL_LEASE_HELD;
    return true;
}

/* A slot, a place in the queue, or a refusal. */
static void take_slot_locked(struct pool_lease *lease, struct after *after)
{
    struct pool_server *server = lease->server;
    if (!address_known_locked(server) && !server->name_pending) {
        lease->grant = POOL_NO_ADDRESS;
        return;
    }
    struct parked_node *oldest = parked_oldest(&server->parked);
    if (oldest != NULL && !has_room_locked(server)) {
        server_count_closed_locked(server, POOL_CLOSE_MADE_ROOM);
        after->close_fd = parked_take(&server->parked, oldest).fd;
    }
    /* Between a name's answer and the last grant that it allows (server_wake_queue()) there is room,
     * and a queue, which comes first. */
    if (server->queued == 0 && has_room_locked(server) && address_known_locked(server)) {
        hold_slot_locked(lease);
        lease->phase = POOL_LEASE_HELD;
        return;
    }
    if (server->queued >= server->upstream->pool.queue) {
        server->queue_full++;
        lease->grant = POOL_QUEUE_FULL;
        return;
    }
    list_push_back(&server->queue, &lease->queue_link);
    server->queued++;
    server->queued_total++;
    lease->grant = POOL_WAITING;
    lease->phase = POOL_LEASE_QUEUED;
}

/* The last guard, outside the lock. When it fails the connection is closed, and still to be
 * counted. The peek is the one system call that a miss makes beyond what moves its bytes, and is
 * made for requests that can be sent again too: a connection that the server has closed would only
 * cost them a retry, but bytes that lie there unasked would be taken for their response (RFC 9112
 * §9.2), and the loop hears of those in its next turn only. */
static bool is_open(struct pool_lease *lease, int64_t now_ms, enum pool_close *why)
{
    if (*why == POOL_USABLE)
        *why = parked_peek(lease->conn.fd);
    if (*why == POOL_USABLE) {
        lease->alive_ms = now_ms;
        atomic_fetch_add_explicit(&lease->server->reused, 1, memory_order_relaxed);
        return true;
    }
    close(lease->conn.fd);
    lease->conn.fd = -1;
    return false;
}

/* In place of a warm connection that turned out to be closed: the next one, or a fresh one. The
 * slot stays the lease's, however many wait. */
static bool take_another_locked(struct pool_lease *lease, bool may_be_warm, int64_t now_ms,
                                enum pool_close *why)
{
    lose_conn_locked(lease, *why, &lease->conn, now_ms);
    free_slot_locked(lease);
    if (may_be_warm && take_parked_locked(lease, now_ms, why))
        return true;
    hold_slot_locked(lease);
    return false;
}

enum pool_grant pool_lease(struct pool_lease *lease, struct pool_server *server,
                           enum pool_want want, int64_t now_ms)
{
    weir_check_magic(lease, POOL_LEASE_MAGIC);
    weir_check_magic(server, POOL_SERVER_MAGIC);
    weir_assert(lease->server == NULL && !list_linked(&lease->queue_link));
    lease->server = server;
    lease->want = want;
    lease->cancelled = false;
    lease->conn = (struct pool_conn){.fd = -1};

    struct after after = AFTER_NOTHING;
    enum pool_close why = POOL_USABLE;
    pthread_mutex_lock(&server->lock);
    weir_assert(lease->phase == POOL_LEASE_IDLE && !lease->opened);
    bool warm = take_parked_locked(lease, now_ms, &why);
    if (!warm)
        take_slot_locked(lease, &after);
    enum pool_grant grant = lease->grant; /* another thread may grant as soon as the lock is free */
    pthread_mutex_unlock(&server->lock);
    finish(&after);

    unsigned looks = server->parked.cap;
    while (warm && !is_open(lease, now_ms, &why)) {
        pthread_mutex_lock(&server->lock);
        warm = take_another_locked(lease, --looks > 0, now_ms, &why);
        grant = lease->grant;
        pthread_mutex_unlock(&server->lock);
    }
    if (grant == POOL_WAITING)
        wheel_set(lease->wheel, &lease->queue_timer,
                  now_ms + server->upstream->pool.queue_timeout_ms);
    else if (grant != POOL_REUSED && grant != POOL_CONNECT)
        lease->server = NULL;
    return grant;
}

/* A connection handed over by the thread that parked it passes the last guards where it is used. */
static void check_handed_over(struct pool_lease *lease, int64_t now_ms, enum pool_close why)
{
    if (is_open(lease, now_ms, &why))
        return;
    struct pool_server *server = lease->server;
    pthread_mutex_lock(&server->lock);
    take_another_locked(lease, false, now_ms, &why);
    pthread_mutex_unlock(&server->lock);
}

static void on_mail(struct mail *mail)
{
    struct pool_lease *lease = weir_container(mail, struct pool_lease, mail);
    weir_check_magic(lease, POOL_LEASE_MAGIC);
    struct pool_server *server = lease->server;
    int64_t now_ms = server->pool->clock_ms();
    enum pool_close why = POOL_USABLE;
    wheel_cancel(lease->wheel, &lease->queue_timer);

    pthread_mutex_lock(&server->lock);
    weir_assert(lease->phase == POOL_LEASE_POSTED);
    bool held = !lease->cancelled && lease->grant != POOL_NO_ADDRESS;
    bool warm = held && lease->grant == POOL_REUSED;
    if (warm && !is_wanted_locked(server, lease->want, &lease->conn, now_ms))
        why = POOL_CLOSE_MADE_ROOM;
    lease->phase = held ? POOL_LEASE_HELD : POOL_LEASE_IDLE;
    pthread_mutex_unlock(&server->lock);

    if (!held)
        lease->server = NULL;
    else if (warm)
        check_handed_over(lease, now_ms, why);
    lease->on_grant(lease);
}

static void on_queue_due(struct wheel_timer *timer, int64_t now_ms)
{
    (void)now_ms;
    struct pool_lease *lease = weir_container(timer, struct pool_lease, queue_timer);
    weir_check_magic(lease, POOL_LEASE_MAGIC);
    struct pool_server *server = lease->server;

    pthread_mutex_lock(&server->lock);
    bool late = lease->phase == POOL_LEASE_QUEUED;
    if (late) {
        list_remove(&lease->queue_link);
        server->queued--;
        server->queue_timeouts++;
        lease->grant = POOL_QUEUE_TIMEOUT;
        lease->phase = POOL_LEASE_IDLE;
    }
    pthread_mutex_unlock(&server->lock);

    /* Otherwise the grant's mail is under way. */
    if (late) {
        lease->server = NULL;
        lease->on_grant(lease);
    }
}

void pool_lease_init(struct pool_lease *lease)
{
    memset(lease, 0, offsetof(struct pool_lease, address_text) + 1);
    lease->magic = POOL_LEASE_MAGIC;
    lease->conn.fd = -1;
    lease->mail.deliver = on_mail;
    list_init(&lease->queue_link);
    wheel_timer_init(&lease->queue_timer, on_queue_due);
}

/* ---- end of a lease ------------------------------------------------------------------------- */

void pool_opened(struct pool_lease *lease, struct pool_conn *conn, int fd, int64_t now_ms)
{
    weir_check_magic(lease, POOL_LEASE_MAGIC);
    struct pool_server *server = lease->server;
    weir_check_magic(server, POOL_SERVER_MAGIC);
    static atomic_uint_fast64_t last_id;

    *conn = (struct pool_conn){
        .fd = fd,
        .id = 1 + atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed),
        .opened_ms = now_ms,
    };

    pthread_mutex_lock(&server->lock);
    weir_assert(lease->phase == POOL_LEASE_HELD && !lease->opened);
    lease->opened = true;
    server->opened++;
    server->active++;
    pthread_mutex_unlock(&server->lock);
}

void pool_count_request(struct pool_lease *lease, bool error, uint64_t latency_us)
{
    weir_check_magic(lease, POOL_LEASE_MAGIC);
    weir_assert(lease->server != NULL && !lease->counts);
    lease->counts = true;
    lease->failed = error;
    lease->latency_us = latency_us;
}

static void count_locked(struct pool_lease *lease)
{
    struct pool_server *server = lease->server;
    if (!lease->counts)
        return;
    lease->counts = false;
    server->requests++;
    server->errors += lease->failed;
    histogram_add(&server->latency_us, lease->latency_us);
}

void pool_park(struct pool_lease *lease, struct pool_conn *conn, int64_t now_ms)
{
    weir_check_magic(lease, POOL_LEASE_MAGIC);
    struct pool_server *server = lease->server;
    weir_check_magic(server, POOL_SERVER_MAGIC);
    weir_assert(conn->fd >= 0);
    struct pool_conn parked = *conn;
    parked.parked_ms = now_ms;
    conn->fd = -1;

    struct after after = AFTER_NOTHING;
    pthread_mutex_lock(&server->lock);
    weir_assert(lease->phase == POOL_LEASE_HELD);
    count_locked(lease);
    pass_on_locked(lease, &parked, now_ms, &after);
    lease->phase = POOL_LEASE_IDLE;
    pthread_mutex_unlock(&server->lock);
    lease->server = NULL;
    lease->conn.fd = -1;
    finish(&after);
}

/* The caller has closed the connection, or never had one. */
static void end_locked(struct pool_lease *lease, enum pool_close why, const struct pool_conn *conn,
                       int64_t now_ms, struct after *after)
{
    count_locked(lease);
    if (lease->opened)
        lose_conn_locked(lease, why, conn, now_ms);
    else if (why == POOL_CLOSE_CONNECT_FAILED)
        lease->server->closed_by[why]++;
    free_slot_locked(lease);
    after->posted = grant_first_locked(lease->server);
}

void pool_discard(struct pool_lease *lease, enum pool_close why, const struct pool_conn *conn,
                  int64_t now_ms)
{
    weir_check_magic(lease, POOL_LEASE_MAGIC);
    struct pool_server *server = lease->server;
    weir_check_magic(server, POOL_SERVER_MAGIC);

    struct after after = AFTER_NOTHING;
    pthread_mutex_lock(&server->lock);
    weir_assert(lease->phase == POOL_LEASE_HELD);
    end_locked(lease, why, conn, now_ms, &after);
    lease->phase = POOL_LEASE_IDLE;
    pthread_mutex_unlock(&server->lock);
    lease->server = NULL;
    lease->conn.fd = -1;
    finish(&after);
}

/* Gives back what has been granted but not delivered. */
static void cancel_posted_locked(struct pool_lease *lease, int64_t now_ms, struct after *after)
{
    lease->cancelled = true;
    if (lease->grant == POOL_REUSED)
        pass_on_locked(lease, &lease->conn, now_ms, after);
    else if (lease->grant == POOL_CONNECT)
        end_locked(lease, POOL_CLOSE_CLIENT_GONE, NULL, now_ms, after);
    lease->conn.fd = -1;
}

bool pool_cancel(struct pool_lease *lease, int64_t now_ms)
{
    weir_check_magic(lease, POOL_LEASE_MAGIC);
    struct pool_server *server = lease->server;
    if (server == NULL)
        return true;
    weir_check_magic(server, POOL_SERVER_MAGIC);
    if (lease->cancelled)
        return false;
    wheel_cancel(lease->wheel, &lease->queue_timer);

    struct after after = AFTER_NOTHING;
    pthread_mutex_lock(&server->lock);
    bool under_way = lease->phase == POOL_LEASE_POSTED;
    switch (lease->phase) {
    case POOL_LEASE_IDLE:
        weir_assert(!"a lease that is idle has no server");
        break;
    case POOL_LEASE_QUEUED:
        list_remove(&lease->queue_link);
        server->queued--;
        break;
    case POOL_LEASE_POSTED:
        cancel_posted_locked(lease, now_ms, &after);
        break;
    case POOL_LEASE_HELD:
        end_locked(lease, POOL_CLOSE_CLIENT_GONE, NULL, now_ms, &after);
        break;
    }
    if (!under_way) {
        lease->phase = POOL_LEASE_IDLE;
        lease->server = NULL;
    }
    pthread_mutex_unlock(&server->lock);
    finish(&after);
    return !under_way;
}
