/*
 * parked: the connections that are warm and idle, newest first, and the guards that decide
 * whether one may be used.
 *
 * Called by lease.c under the server's lock, and by pool.c for the sweep. Owns the nodes; a
 * parked fd belongs to its node and is registered in no event base. Nothing here locks, apart
 * from the sweep.
 *
 *   free --push--> parked --take (lease, made room, max_idle, sweep)--> free
 */
#include "pool/server.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* Below this a learned idle age says that the server closes at random rather than by a timeout. */
#define LEARNED_FLOOR_MS 1000
#define LEARNED_CLOSES 3
#define LEARNED_WINDOW_MS (10 * 60 * 1000)

/* A request needs time to arrive: a declared timeout is used up to this much before its end. */
#define DECLARED_MARGIN_MS 1000

void parked_init(struct parked *parked, unsigned cap)
{
    parked->nodes = cap > 0 ? base_alloc_zero(cap * sizeof(*parked->nodes)) : NULL;
    parked->count = 0;
    parked->cap = cap;
    parked->serial = 0;
    list_init(&parked->newest_first);
    list_init(&parked->free);
    for (unsigned i = 0; i < cap; i++)
        list_push_back(&parked->free, &parked->nodes[i].link);
}

void parked_destroy(struct parked *parked)
{
    weir_assert(parked->count == 0);
    free(parked->nodes);
    parked->nodes = NULL;
}

struct parked_node *parked_newest(const struct parked *parked)
{
    if (list_empty(&parked->newest_first))
        return NULL;
    return weir_container(parked->newest_first.next, struct parked_node, link);
}

struct parked_node *parked_oldest(const struct parked *parked)
{
    if (list_empty(&parked->newest_first))
        return NULL;
    return weir_container(parked->newest_first.prev, struct parked_node, link);
}

void parked_push(struct parked *parked, const struct pool_conn *conn, int64_t alive_ms)
{
    weir_assert(conn->fd >= 0 && parked->count < parked->cap);
    struct parked_node *node = weir_container(parked->free.next, struct parked_node, link);
    list_remove(&node->link);
    node->conn = *conn;
    node->alive_ms = alive_ms;
    node->serial = ++parked->serial;
    list_push_front(&parked->newest_first, &node->link);
    parked->count++;
}

struct pool_conn parked_take(struct parked *parked, struct parked_node *node)
{
    weir_assert(parked->count > 0 && node->conn.fd >= 0);
    struct pool_conn conn = node->conn;
    list_remove(&node->link);
    node->conn.fd = -1;
    node->serial = 0;
    list_push_front(&parked->free, &node->link);
    parked->count--;
    return conn;
}

static bool learned_is_recent(const struct learned *learned, int64_t now_ms)
{
    return learned->closes > 0 && now_ms - learned->since_ms <= LEARNED_WINDOW_MS;
}

void learned_add(struct learned *learned, int64_t idle_ms, int64_t now_ms)
{
    if (!learned_is_recent(learned, now_ms))
        *learned = (struct learned){.since_ms = now_ms, .smallest_ms = INT64_MAX};
    learned->closes++;
    if (idle_ms < learned->smallest_ms)
        learned->smallest_ms = idle_ms > 0 ? idle_ms : 0;
}

int64_t learned_timeout_ms(const struct learned *learned, int64_t now_ms)
{
    if (!learned_is_recent(learned, now_ms) || learned->closes < LEARNED_CLOSES ||
        learned->smallest_ms < LEARNED_FLOOR_MS)
        return 0;
    return learned->smallest_ms;
}

enum pool_close parked_guard(const struct conf_pool *conf, const struct learned *learned,
                             const struct pool_conn *conn, int64_t now_ms)
{
    if (conf->max_requests > 0 && conn->requests >= conf->max_requests)
        return POOL_CLOSE_MAX_REQUESTS;
    if (conf->max_lifetime_ms > 0 && now_ms - conn->opened_ms >= conf->max_lifetime_ms)
        return POOL_CLOSE_MAX_LIFETIME;

    int64_t idle_ms = now_ms - conn->parked_ms;
    if (idle_ms >= conf->idle_timeout_ms)
        return POOL_CLOSE_IDLE_TIMEOUT;
    int64_t declared_ms = conn->declared_timeout_ms;
    if (declared_ms > 0) {
        int64_t half_ms = declared_ms / 2;
        int64_t margin_ms = half_ms < DECLARED_MARGIN_MS ? half_ms : DECLARED_MARGIN_MS;
        if (idle_ms >= declared_ms - margin_ms)
            return POOL_CLOSE_IDLE_TIMEOUT;
    }
    int64_t learned_ms = learned_timeout_ms(learned, now_ms);
    if (learned_ms > 0 && idle_ms >= learned_ms)
        return POOL_CLOSE_IDLE_TIMEOUT;
    return POOL_USABLE;
}

bool parked_is_sure(const struct learned *learned, const struct pool_conn *conn, int64_t now_ms)
{
    int64_t known_ms = conn->declared_timeout_ms;
    if (known_ms <= 0)
        known_ms = learned_timeout_ms(learned, now_ms);
    if (known_ms <= 0)
        return false;
    /* What the server does outweighs what it declares, even before it can be relied on. */
    if (learned_is_recent(learned, now_ms) && learned->smallest_ms < known_ms)
        known_ms = learned->smallest_ms;
    return now_ms - conn->parked_ms < known_ms / 2;
}

enum pool_close parked_peek(int fd)
{
    char byte;
    ssize_t got;
    do {
        got = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    if (got > 0)
        return POOL_CLOSE_UNSOLICITED;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return POOL_USABLE;
    return POOL_CLOSE_IDLE_DEATH;
}

void sweep_init(struct sweep *sweep, unsigned cap)
{
    *sweep = (struct sweep){0};
    if (cap == 0)
        return;
    sweep->fds = base_alloc_zero(cap * sizeof(*sweep->fds));
    sweep->nodes = base_alloc_zero(cap * sizeof(*sweep->nodes));
    sweep->closing = base_alloc_zero(cap * sizeof(*sweep->closing));
}

void sweep_destroy(struct sweep *sweep)
{
    free(sweep->fds);
    free(sweep->nodes);
    free(sweep->closing);
}

static void sweep_take_locked(struct pool_server *server, struct parked_node *node,
                              enum pool_close why)
{
    server_count_closed_locked(server, why);
    server->sweep.closing[server->sweep.closing_count++] = parked_take(&server->parked, node).fd;
}

/* Takes the expired out and notes the others for the poll. */
static unsigned sweep_collect_locked(struct pool_server *server, int64_t now_ms)
{
    struct list_link *head = &server->parked.newest_first;
    unsigned count = 0;
    for (struct list_link *link = head->next, *next; link != head; link = next) {
        next = link->next;
        struct parked_node *node = weir_container(link, struct parked_node, link);
        enum pool_close why =
            parked_guard(&server->upstream->pool, &server->learned, &node->conn, now_ms);
        if (why != POOL_USABLE) {
            sweep_take_locked(server, node, why);
            continue;
        }
        server->sweep.nodes[count] = (struct swept){node, node->serial};
        server->sweep.fds[count] =
            (struct pollfd){.fd = node->conn.fd, .events = POLLIN | POLLRDHUP};
        count++;
    }
    return count;
}

/* Takes out those that are readable, unless they were leased during the poll: then the
 * descriptor polled may have been anybody's, and the serial differs. */
static void sweep_judge_locked(struct pool_server *server, unsigned count, int64_t now_ms)
{
    for (unsigned i = 0; i < count; i++) {
        struct parked_node *node = server->sweep.nodes[i].node;
        short seen = server->sweep.fds[i].revents;
        if (node->serial != server->sweep.nodes[i].serial)
            continue;
        if (seen == 0) {
            node->alive_ms = now_ms;
        } else if (seen & (POLLRDHUP | POLLHUP | POLLERR)) {
            learned_add(&server->learned, node->alive_ms - node->conn.parked_ms, now_ms);
            sweep_take_locked(server, node, POOL_CLOSE_IDLE_DEATH);
        } else {
            sweep_take_locked(server, node, POOL_CLOSE_UNSOLICITED);
        }
    }
}

/* No system call under the lock: the poll works on a copy of what was parked. */
void server_sweep(struct pool_server *server, int64_t now_ms)
{
    struct sweep *sweep = &server->sweep;
    sweep->closing_count = 0;

    pthread_mutex_lock(&server->lock);
    unsigned count = sweep_collect_locked(server, now_ms);
    pthread_mutex_unlock(&server->lock);

    if (count > 0 && poll(sweep->fds, count, 0) >= 0) {
        pthread_mutex_lock(&server->lock);
        sweep_judge_locked(server, count, now_ms);
        pthread_mutex_unlock(&server->lock);
    }
    for (unsigned i = 0; i < sweep->closing_count; i++)
        close(sweep->closing[i]);
}
