/*
 * Listening sockets: bound on the main thread before workers start, one per worker and address
 * (SO_REUSEPORT), accepted from on the worker's thread.
 *
 * Out of descriptors is a state, not an error: accepting pauses, and is tried again after a moment
 * or when a connection has closed, so that a full process neither spins nor drops what is in the
 * backlog.
 */
#include "net/net.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define LISTENER_MAGIC 0x4c49534eu
#define BACKLOG 4096
#define ACCEPTS_PER_WAKE_UP 64
#define PAUSE_MS 100

/* With SO_REUSEPORT alone, a second Weir would silently share the port of the first. */
static bool someone_listens(const struct conf_address *address)
{
    int fd = socket(address->socket.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    bool taken;

    if (fd < 0)
        return false;
    if (address->kind == CONF_ADDRESS_UNIX) {
        taken = connect(fd, (const struct sockaddr *)&address->socket, address->len) == 0;
    } else {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        taken = bind(fd, (const struct sockaddr *)&address->socket, address->len) != 0 &&
                errno == EADDRINUSE;
    }
    close(fd);
    return taken;
}

static void remove_stale_socket(const char *path)
{
    struct stat st;

    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
        unlink(path);
}

int net_listen(const struct conf_address *address, struct conf_address *bound)
{
    bool first = bound->len == 0;
    const struct conf_address *at = first ? address : bound;
    bool ip = address->kind == CONF_ADDRESS_IP;
    int fd, on = 1, error;

    if (first && (!ip || address->port != 0) && someone_listens(address)) {
        errno = EADDRINUSE;
        return -1;
    }
    fd = socket(at->socket.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (ip) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* accepted sockets inherit it */
        if (address->socket.ss_family == AF_INET6)
            setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    } else {
        remove_stale_socket(address->host);
    }
    if (bind(fd, (const struct sockaddr *)&at->socket, at->len) != 0 || listen(fd, BACKLOG) != 0) {
        error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    if (first) {
        *bound = *address;
        bound->len = sizeof(bound->socket);
        getsockname(fd, (struct sockaddr *)&bound->socket, &bound->len);
        if (ip && address->socket.ss_family == AF_INET6)
            bound->port = ntohs(((struct sockaddr_in6 *)&bound->socket)->sin6_port);
        else if (ip)
            bound->port = ntohs(((struct sockaddr_in *)&bound->socket)->sin_port);
        else
            bound->len = address->len;
    }
    return fd;
}

static void pause_accepting(struct net_listener *listener)
{
    if (!listener->paused) {
        listener->paused = true;
        event_del(&listener->event);
    }
    wheel_set(&listener->loop->wheel, &listener->resume, listener->loop->now_ms + PAUSE_MS);
}

/* False when accepting should end for now. */
static bool accept_one(struct net_listener *listener)
{
    static struct log_kind paused = {.level = LOG_WARN_LEVEL, .what = "accepting connections"};
    struct sockaddr_storage peer;
    socklen_t len = sizeof(peer);
    int fd;

    peer.ss_family = AF_UNSPEC;
    fd = accept4(listener->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        listener->on_accept(listener, fd, (const struct sockaddr *)&peer);
        return true;
    }
    if (errno == EAGAIN)
        return false;
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        if (!listener->paused)
            log_write_paced(&paused, listener->loop->now_ms,
                            "accepting connections: %s; pausing until some have closed",
                            strerror(errno));
        cell_add(listener->paused_count, 1);
        pause_accepting(listener);
        return false;
    }
    return true; /* that connection is gone already: the next one */
}

static void on_connection(evutil_socket_t fd, short what, void *arg)
{
    struct net_listener *listener = arg;
    struct net_loop *loop = listener->loop;

    (void)fd, (void)what;
    weir_check_magic(listener, LISTENER_MAGIC);
    net_loop_enter(loop);
    for (unsigned i = 0; i < ACCEPTS_PER_WAKE_UP; i++) {
        if (!listener->may_accept(listener)) {
            pause_accepting(listener);
            break;
        }
        if (!accept_one(listener))
            break;
    }
    net_loop_leave(loop);
}

static void on_resume(struct wheel_timer *timer, int64_t now_ms)
{
    (void)now_ms;
    net_listener_resume(weir_container(timer, struct net_listener, resume));
}

void net_listener_open(struct net_listener *listener, struct net_loop *loop, int fd)
{
    listener->magic = LISTENER_MAGIC;
    listener->loop = loop;
    listener->fd = fd;
    listener->paused = false;
    wheel_timer_init(&listener->resume, on_resume);
    event_assign(&listener->event, loop->base, fd, EV_READ | EV_PERSIST, on_connection, listener);
    event_add(&listener->event, NULL);
}

void net_listener_resume(struct net_listener *listener)
{
    if (!listener->paused || listener->fd < 0)
        return;
    listener->paused = false;
    wheel_cancel(&listener->loop->wheel, &listener->resume);
    if (event_add(&listener->event, NULL) != 0)
        pause_accepting(listener); /* no memory to watch it now */
}

void net_listener_close(struct net_listener *listener)
{
    if (listener->fd < 0)
        return;
    wheel_cancel(&listener->loop->wheel, &listener->resume);
    event_del(&listener->event);
    listener->paused = true; /* out of descriptors now means the end, not a pause */
    /* Those who wait now, and not for as long as others come. */
    for (unsigned i = 0; i <= BACKLOG && listener->may_accept(listener); i++)
        if (!accept_one(listener))
            break;
    wheel_cancel(&listener->loop->wheel, &listener->resume);
    close(listener->fd);
    listener->fd = -1;
}
