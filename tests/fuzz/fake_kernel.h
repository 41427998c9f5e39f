/*
 * Sockets, readiness and time without a kernel, for one worker in one thread.
 *
 * Inside of the program that links this, the calls by which Weir and libevent reach sockets and epoll work on descriptors of
 * its own, edge-triggered where epoll is asked for it; other descriptors go to the kernel as ever. The test is the peer of
 * every socket. When a worker would wait in epoll, on_idle() is called instead: it lets the next thing happen. The monotonic
 * clock stands still but for base_clock_advance().
 */
#ifndef WEIR_FUZZ_FAKE_KERNEL_H
#define WEIR_FUZZ_FAKE_KERNEL_H

#include "base/base.h"

struct fake_bytes {
    char *ptr;
    size_t len, cap;
};

/* One connection, from Weir's end. It stays for the test after Weir has closed it. */
struct fake_socket {
    bool used;
    bool outgoing; /* Weir connected it */
    /* what Weir did */
    struct fake_bytes sent;
    bool closed, reset, shut;
    /* what the peer did */
    struct fake_bytes given; /* in all */
    size_t arrived, read;    /* of those; by Weir */
    bool fin, rst;
    size_t room;  /* what the socket still takes; SIZE_MAX: anything */
    size_t piece; /* so much arrives at a time */
    /* state */
    bool connecting, nospace;
    int error; /* to be told once */
    int fd;    /* -1: not accepted yet, or closed */
};

#define FAKE_SOCKETS 64
struct fake_kernel {
    struct fake_socket sockets[FAKE_SOCKETS];
    unsigned count;
    int64_t now_us;
    enum fake_connect {
        FAKE_CONNECT_ACCEPTED,
        FAKE_CONNECT_AT_ONCE, /* as on a unix socket */
        FAKE_CONNECT_REFUSED,
        FAKE_CONNECT_HANGS,
        FAKE_CONNECT_UNREACHABLE,
        FAKE_CONNECTS
    } next_connect;
    bool no_descriptors; /* EMFILE */
};
extern struct fake_kernel fake_kernel;

/* From here on, with everything empty. on_idle() is called when nothing is ready. */
void fake_kernel_start(void (*on_idle)(void));
/* All descriptors must have been closed. */
void fake_kernel_end(void);
int fake_kernel_listener(void);

/* The peers. A client comes into the listener's backlog; NULL when there are FAKE_SOCKETS. */
struct fake_socket *fake_connect(void);
void fake_send(struct fake_socket *socket, const void *bytes, size_t len);
void fake_fin(struct fake_socket *socket);
void fake_rst(struct fake_socket *socket);
void fake_take(struct fake_socket *socket, size_t room);
/* Of one that Weir is connecting: 0, or why it failed. */
void fake_connected(struct fake_socket *socket, int error);

#endif
