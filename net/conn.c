/*
 * A byte stream on a descriptor, on its worker's thread.
 *
 * Reading and writing are direct system calls; readiness comes edge-triggered from the connection's
 * own event, which is registered once, so that a request costs no epoll_ctl. When the socket does
 * not take all output, the rest waits in a leased bufferevent, which writes it by reference.
 * libevent does not mix edge- and level-triggered events on one descriptor; while output waits, the
 * own event is therefore a level-triggered one-shot that is armed again each time the owner has
 * read all there was.
 *
 * Nothing here calls its owner back from inside a call of the owner's: bufferevent callbacks only
 * post mail.
 */
#include "net/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONN_MAGIC 0x434f4e4eu
#define MAX_PIECES 64
#define SINGLE_WRITE_BYTES (1024 * 1024)
/* Copying so little costs less than the kernel's way through a vector: of 1.2 kB in five pieces,
 * sendmsg takes 0.3 us longer than the copy and send. */
#define TOGETHER_BYTES 4096

_Static_assert(sizeof(struct net_conn) <= 96, "an idle connection is dear: keep it small");

#define WATCHES_KEPT 512
#define WATCHES_IDLE 256

static void on_socket(evutil_socket_t fd, short what, void *arg);
static void on_watched(evutil_socket_t fd, short what, void *arg);
static void post_drained(struct net_conn *conn);

static void assign(struct net_conn *conn, short what)
{
    if (conn->watch)
        event_assign(conn->event, conn->loop->base, conn->fd, what, on_watched, conn->watch);
    else
        event_assign(conn->event, conn->loop->base, conn->fd, what, on_socket, conn);
}

/* What is not registered would wait for ever: without memory for it the connection is broken. */
static bool add_event(struct net_conn *conn)
{
    if (weir_likely(event_add(conn->event, NULL) == 0))
        return true;
    conn->error = ENOMEM;
    return false;
}

static bool watch(struct net_conn *conn, short what)
{
    assign(conn, what);
    return add_event(conn);
}

static bool watch_edges(struct net_conn *conn)
{
    return watch(conn, EV_READ | EV_CLOSED | EV_ET | EV_PERSIST);
}

/* For who cannot return it: NET_FAILED follows. */
static void fail_soon(struct net_conn *conn)
{
    conn->error = ENOMEM;
    post_drained(conn);
}

static void finish_connect(struct net_conn *conn)
{
    socklen_t len = sizeof(conn->error);

    conn->connecting = false;
    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &conn->error, &len) != 0)
        conn->error = errno;
    conn->on_event(conn, conn->error ? NET_FAILED : NET_CONNECTED);
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    struct net_conn *conn = arg;
    struct net_loop *loop;

    (void)fd;
    weir_check_magic(conn, CONN_MAGIC);
    loop = conn->loop;
    net_loop_enter(loop);
    if (weir_unlikely(conn->connecting)) {
        conn->readable = what & (EV_READ | EV_CLOSED); /* no other edge may tell of it */
        conn->peer_closed = what & EV_CLOSED;
        if (what & EV_WRITE)
            finish_connect(conn);
    } else if (what & (EV_READ | EV_CLOSED)) {
        conn->readable = true;
        if (what & EV_CLOSED)
            conn->peer_closed = true;
        conn->on_event(conn, NET_READABLE);
    }
    net_loop_leave(loop);
}

/* ---- watches: registrations that outlive a connection's use ---------------------------------- */

struct net_watch {
    struct event event;
    struct net_conn *conn; /* borrowed; NULL while it is kept */
    struct list_link link; /* in watches.oldest_first while it is kept */
    uint64_t id;
    int64_t kept_ms;
    int fd;
    bool fired; /* an edge came while it was kept */
};

void net_watches_init(struct net_watches *watches)
{
    memset(watches, 0, sizeof(*watches));
    list_init(&watches->oldest_first);
    freelist_init(&watches->list, sizeof(struct net_watch), WATCHES_IDLE);
}

static void end_watch(struct net_watches *watches, struct net_watch *watch)
{
    event_del(&watch->event);
    freelist_put(&watches->list, watch);
}

static struct net_watch *take_kept(struct net_watches *watches, int fd)
{
    struct net_watch *watch;

    if ((unsigned)fd >= watches->by_fd_count)
        return NULL;
    watch = weir_take(&watches->by_fd[fd]);
    if (watch) {
        list_remove(&watch->link);
        watches->kept--;
    }
    return watch;
}

/* A descriptor comes into use here: what was kept of an earlier one of that number ends, as
 * libevent would take the two for one. */
static void forget(struct net_watches *watches, int fd)
{
    struct net_watch *watch = take_kept(watches, fd);

    if (watch)
        end_watch(watches, watch);
}

void net_loop_forget_parked(struct net_loop *loop, int64_t before_ms)
{
    struct net_watches *watches = &loop->watches;

    while (!list_empty(&watches->oldest_first)) {
        struct net_watch *oldest =
            weir_container(watches->oldest_first.next, struct net_watch, link);

        if (oldest->kept_ms >= before_ms)
            return;
        forget(watches, oldest->fd);
    }
}

void net_watches_destroy(struct net_watches *watches)
{
    freelist_destroy(&watches->list);
    free(watches->by_fd);
}

static bool has_place(struct net_watches *watches, int fd)
{
    unsigned count = watches->by_fd_count ? watches->by_fd_count : 64;
    struct net_watch **more;

    if ((unsigned)fd < watches->by_fd_count)
        return true;
    while (count <= (unsigned)fd)
        count *= 2;
    more = realloc(watches->by_fd, count * sizeof(*more));
    if (!more)
        return false;
    memset(more + watches->by_fd_count, 0, (count - watches->by_fd_count) * sizeof(*more));
    watches->by_fd = more;
    watches->by_fd_count = count;
    return true;
}

static void keep(struct net_conn *conn, uint64_t id)
{
    struct net_watches *watches = &conn->loop->watches;
    struct net_watch *watch = weir_take(&conn->watch);

    if (watches->kept == WATCHES_KEPT || !has_place(watches, conn->fd)) {
        end_watch(watches, watch);
        return;
    }
    watch->conn = NULL;
    watch->fd = conn->fd;
    watch->id = id;
    watch->fired = conn->readable;
    watch->kept_ms = conn->loop->now_ms;
    watches->by_fd[conn->fd] = watch;
    watches->kept++;
    list_push_back(&watches->oldest_first, &watch->link);
}

static bool lease_watch(struct net_conn *conn)
{
    conn->watch = freelist_get(&conn->loop->watches.list);
    if (!conn->watch)
        return false;
    conn->watch->conn = conn;
    list_init(&conn->watch->link);
    conn->event = &conn->watch->event;
    return true;
}

static void on_watched(evutil_socket_t fd, short what, void *arg)
{
    struct net_watch *watch = arg;

    if (watch->conn)
        on_socket(fd, what, watch->conn);
    else
        watch->fired = true;
}

/* ---- life ---- */

/* Output has gone, or failed: outside of the bufferevent's callback now. */
static void on_drained(struct mail *mail)
{
    struct net_conn *conn = weir_container(mail, struct net_conn, drained);

    weir_check_magic(conn, CONN_MAGIC);
    conn->drained_posted = false;
    if (conn->error) {
        conn->on_event(conn, NET_FAILED);
        return;
    }
    if (evbuffer_get_length(bufferevent_get_output(conn->bev)) > 0)
        return; /* more was queued meanwhile */
    conn->queued = false;
    event_del(conn->event);
    if (evbuffer_get_length(bufferevent_get_input(conn->bev)) == 0) {
        net_bufferevent_give_back(&conn->loop->bufferevents, &conn->bev);
    } else {
        bufferevent_disable(conn->bev, EV_WRITE);
        bufferevent_setfd(conn->bev, -1);
    }
    conn->on_event(conn, watch_edges(conn) ? NET_DRAINED : NET_FAILED);
}

static void set_up(struct net_conn *conn, struct net_loop *loop, int fd,
                   void (*on_event)(struct net_conn *, enum net_event))
{
    memset(conn, 0, sizeof(*conn));
    conn->magic = CONN_MAGIC;
    conn->fd = fd;
    conn->loop = loop;
    conn->on_event = on_event;
    conn->drained.deliver = on_drained;
}

void net_conn_open(struct net_conn *conn, struct net_loop *loop, int fd, struct event *storage,
                   void (*on_event)(struct net_conn *, enum net_event))
{
    set_up(conn, loop, fd, on_event);
    forget(&loop->watches, fd);
    conn->event = storage;
    if (!watch_edges(conn))
        fail_soon(conn);
}

/* There is no memory to watch it. */
static void give_up(struct net_conn *conn)
{
    if (conn->watch)
        freelist_put(&conn->loop->watches.list, weir_take(&conn->watch));
    close(conn->fd);
    conn->fd = -1;
    conn->error = ENOMEM;
}

bool net_conn_reopen(struct net_conn *conn, struct net_loop *loop, int fd, uint64_t id,
                     void (*on_event)(struct net_conn *, enum net_event))
{
    struct net_watch *kept = take_kept(&loop->watches, fd);

    set_up(conn, loop, fd, on_event);
    if (kept && kept->id == id) {
        kept->conn = conn;
        conn->watch = kept;
        conn->event = &kept->event;
        conn->readable = kept->fired;
        return true;
    }
    if (kept)
        end_watch(&loop->watches, kept);
    if (lease_watch(conn) && watch_edges(conn))
        return true;
    give_up(conn);
    return false;
}

int net_conn_connect(struct net_conn *conn, struct net_loop *loop,
                     const struct conf_address *address,
                     void (*on_event)(struct net_conn *, enum net_event))
{
    int fd, on = 1;

    set_up(conn, loop, -1, on_event);
    fd = socket(address->socket.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        conn->error = errno;
        return -1;
    }
    if (address->kind == CONF_ADDRESS_IP)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd, (const struct sockaddr *)&address->socket, address->len) != 0 &&
        errno != EINPROGRESS) {
        conn->error = errno;
        close(fd);
        return -1;
    }
    conn->fd = fd;
    forget(&loop->watches, fd);
    if (!lease_watch(conn) || !watch(conn, EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST)) {
        give_up(conn);
        return -1;
    }
    conn->connecting = true;
    return 0;
}

void net_conn_close(struct net_conn *conn, bool reset)
{
    if (conn->fd < 0)
        return;
    weir_check_magic(conn, CONN_MAGIC);
    event_del(conn->event);
    if (conn->drained_posted)
        net_loop_withdraw(conn->loop, &conn->drained);
    conn->drained_posted = conn->queued = false;
    if (conn->bev)
        net_bufferevent_give_back(&conn->loop->bufferevents, &conn->bev);
    if (conn->watch)
        freelist_put(&conn->loop->watches.list, weir_take(&conn->watch));
    if (reset)
        setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    close(conn->fd);
    conn->fd = -1;
}

int net_conn_detach(struct net_conn *conn, uint64_t id)
{
    int fd = conn->fd;

    weir_check_magic(conn, CONN_MAGIC);
    weir_assert(fd >= 0 && conn->bev == NULL && !conn->drained_posted && conn->watch != NULL);
    keep(conn, id);
    conn->fd = -1;
    return fd;
}

void net_conn_shutdown(struct net_conn *conn)
{
    if (conn->fd >= 0)
        shutdown(conn->fd, SHUT_WR);
}

/* ---- reading ---- */

/* All that was there has been read. An end that has been announced is still to be read, and no edge
 * will tell of it again. */
static void read_to_end(struct net_conn *conn)
{
    conn->readable = conn->peer_closed;
    if (weir_unlikely(conn->queued) && !conn->readable && !add_event(conn))
        fail_soon(conn);
}

ssize_t net_conn_recv(struct net_conn *conn, char *buffer, size_t cap)
{
    ssize_t n;

    do
        n = recv(conn->fd, buffer, cap, 0);
    while (n < 0 && errno == EINTR);
    if (weir_likely(n > 0)) {
        if ((size_t)n < cap)
            read_to_end(conn);
        return n;
    }
    if (n == 0) {
        conn->peer_closed = true;
        conn->readable = false;
        return 0;
    }
    if (errno == EAGAIN) {
        read_to_end(conn);
        return NET_AGAIN;
    }
    conn->error = errno;
    conn->readable = false;
    return NET_BROKEN;
}

int net_conn_peek(struct net_conn *conn)
{
    char byte;
    ssize_t n = recv(conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    if (n > 0)
        return 1;
    if (n == 0)
        return 0;
    return errno == EAGAIN || errno == EINTR ? NET_AGAIN : NET_BROKEN;
}

bool net_conn_hold_input(struct net_conn *conn, const char *bytes, size_t len)
{
    if (len == 0)
        return true;
    if (!conn->bev && !(conn->bev = net_bufferevent_lease(&conn->loop->bufferevents)))
        return false;
    return evbuffer_add(bufferevent_get_input(conn->bev), bytes, len) == 0;
}

size_t net_conn_held_bytes(const struct net_conn *conn)
{
    return conn->bev ? evbuffer_get_length(bufferevent_get_input(conn->bev)) : 0;
}

size_t net_conn_take_input(struct net_conn *conn, char *buffer, size_t cap)
{
    int n = conn->bev ? evbuffer_remove(bufferevent_get_input(conn->bev), buffer, cap) : 0;

    weir_assert(n >= 0);
    if (conn->bev && !conn->queued && net_conn_held_bytes(conn) == 0)
        net_bufferevent_give_back(&conn->loop->bufferevents, &conn->bev);
    return (size_t)n;
}

/* ---- writing ---- */

static void post_drained(struct net_conn *conn)
{
    if (conn->drained_posted)
        return;
    conn->drained_posted = true;
    mailbox_post(&conn->loop->mailbox, &conn->drained);
    event_active(conn->loop->kick_event, EV_TIMEOUT, 0);
}

static void on_bufferevent_written(struct bufferevent *bev, void *arg)
{
    (void)bev;
    post_drained(arg);
}

static void on_bufferevent_event(struct bufferevent *bev, short what, void *arg)
{
    struct net_conn *conn = arg;

    (void)bev;
    if (!(what & BEV_EVENT_ERROR))
        return;
    conn->error = errno ? errno : EPIPE;
    post_drained(conn);
}

/* Hands the descriptor's output to a leased bufferevent. */
static bool start_queue(struct net_conn *conn)
{
    if (!conn->bev && !(conn->bev = net_bufferevent_lease(&conn->loop->bufferevents)))
        return false;
    event_del(conn->event);
    bufferevent_setfd(conn->bev, conn->fd);
    bufferevent_setcb(conn->bev, NULL, on_bufferevent_written, on_bufferevent_event, conn);
    bufferevent_set_max_single_write(conn->bev, SINGLE_WRITE_BYTES);
    conn->queued = true;
    assign(conn, EV_READ);
    return conn->readable || add_event(conn);
}

/* False when memory is out, and then something may be missing from the output. */
static bool queue_all(struct net_conn *conn, const struct net_piece *pieces, unsigned count,
                      size_t skip)
{
    struct evbuffer *output;

    if (!conn->queued && !start_queue(conn))
        return false;
    output = bufferevent_get_output(conn->bev);
    for (unsigned i = 0; i < count; i++) {
        const char *ptr = pieces[i].ptr;
        size_t len = pieces[i].len, passed = skip < len ? skip : len;
        int failed;

        skip -= passed;
        if (passed == len)
            continue;
        failed = pieces[i].stable
                     ? evbuffer_add_reference(output, ptr + passed, len - passed, NULL, NULL)
                     : evbuffer_add(output, ptr + passed, len - passed);
        if (failed)
            return false;
    }
    /* Each time: that adding output has begun to write is nowhere to be seen. */
    return bufferevent_enable(conn->bev, EV_WRITE) == 0;
}

static enum net_sent queue(struct net_conn *conn, const struct net_piece *pieces, unsigned count,
                           size_t skip)
{
    if (queue_all(conn, pieces, count, skip))
        return NET_SENT_QUEUED;
    fail_soon(conn);
    return NET_SENT_FAILED;
}

static ssize_t send_together(int fd, const struct net_piece *pieces, unsigned count, size_t total)
{
    char bytes[TOGETHER_BYTES], *to = bytes;

    if (count == 1)
        return send(fd, pieces[0].ptr, total, MSG_NOSIGNAL);
    for (unsigned i = 0; i < count; i++)
        if (pieces[i].len > 0)
            to = mempcpy(to, pieces[i].ptr, pieces[i].len);
    return send(fd, bytes, total, MSG_NOSIGNAL);
}

static ssize_t send_in_place(int fd, const struct net_piece *pieces, unsigned count)
{
    struct iovec vectors[MAX_PIECES];
    struct msghdr message = {.msg_iov = vectors};

    for (unsigned i = 0; i < count; i++)
        if (pieces[i].len > 0)
            vectors[message.msg_iovlen++] = (struct iovec){(void *)pieces[i].ptr, pieces[i].len};
    return sendmsg(fd, &message, MSG_NOSIGNAL);
}

enum net_sent net_conn_send(struct net_conn *conn, const struct net_piece *pieces, unsigned count)
{
    size_t total = 0;
    ssize_t n;

    weir_assert(count <= MAX_PIECES && conn->fd >= 0);
    if (weir_unlikely(conn->error))
        return NET_SENT_FAILED; /* behind a gap nothing may follow */
    if (weir_unlikely(conn->queued))
        return queue(conn, pieces, count, 0);
    for (unsigned i = 0; i < count; i++)
        total += pieces[i].len;
    if (total == 0)
        return NET_SENT_ALL;
    do
        n = total <= TOGETHER_BYTES ? send_together(conn->fd, pieces, count, total)
                                    : send_in_place(conn->fd, pieces, count);
    while (n < 0 && errno == EINTR);
    if (weir_likely((size_t)n == total))
        return NET_SENT_ALL;
    if (n < 0 && errno != EAGAIN) {
        conn->error = errno;
        if (errno == ENOBUFS || errno == ENOMEM)
            fail_soon(conn); /* the other side knows nothing of it: no event would tell */
        return NET_SENT_FAILED;
    }
    return queue(conn, pieces, count, n < 0 ? 0 : (size_t)n);
}

size_t net_conn_queued_bytes(const struct net_conn *conn)
{
    return conn->queued ? evbuffer_get_length(bufferevent_get_output(conn->bev)) : 0;
}

size_t net_conn_untaken_bytes(const struct net_conn *conn)
{
    int in_kernel;

    if (ioctl(conn->fd, SIOCOUTQ, &in_kernel) != 0)
        in_kernel = 0;
    return net_conn_queued_bytes(conn) + (size_t)in_kernel;
}

/* ---- addresses ---- */

/* inet_ntop goes through sprintf, which every forwarded or logged request would pay for. */
static void ip4_text(const struct in_addr *ip, char out[NET_ADDRESS_TEXT])
{
    const uint8_t *bytes = (const uint8_t *)ip;

    for (int i = 0; i < 4; i++) {
        out = put_u64(out, bytes[i]);
        *out++ = i < 3 ? '.' : '\0';
    }
}

void net_address_text(const struct sockaddr *address, char out[NET_ADDRESS_TEXT])
{
    if (address->sa_family == AF_INET)
        ip4_text(&((const struct sockaddr_in *)address)->sin_addr, out);
    else if (address->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)address)->sin6_addr, out,
                  NET_ADDRESS_TEXT);
    else
        memcpy(out, "unix", 5);
}
