/*
 * What the bench tools share: clocks, sockets, the stop flag. Each tool is one thread and one file;
 * it ends on SIGTERM or SIGINT, and says on its standard output, as one line of JSON, what it has
 * counted. Nothing here is part of Weir: the floors must not gain or lose with Weir's own code.
 */
#ifndef WEIR_TESTS_BENCH_H
#define WEIR_TESTS_BENCH_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BENCH_FDS_MAX 32768

static volatile sig_atomic_t bench_stop;

__attribute__((noreturn)) static inline void bench_die(const char *doing)
{
    fprintf(stderr, "%s: %s\n", doing, errno ? strerror(errno) : "wrong argument");
    exit(2);
}

static inline void bench_on_signal(int signo)
{
    (void)signo;
    bench_stop = 1;
}

/* No SA_RESTART: the signal has to end the wait. */
static inline void bench_catch_signals(void)
{
    struct sigaction action = {.sa_handler = bench_on_signal};
    if (sigaction(SIGTERM, &action, NULL) || sigaction(SIGINT, &action, NULL))
        bench_die("catching signals");
    struct rlimit limit = {BENCH_FDS_MAX, BENCH_FDS_MAX};
    setrlimit(RLIMIT_NOFILE, &limit);
}

static inline int64_t bench_now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static inline struct sockaddr_in bench_loopback(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static inline void bench_nodelay(int fd)
{
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

/* A non-blocking listening socket on 127.0.0.1. */
static inline int bench_listen(int port)
{
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in addr = bench_loopback(port);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) ||
        bind(fd, (struct sockaddr *)&addr, sizeof addr) || listen(fd, 4096))
        bench_die("listening");
    return fd;
}

/* A connected, still blocking socket. */
static inline int bench_connect(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in addr = bench_loopback(port);
    if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof addr))
        bench_die("connecting");
    bench_nodelay(fd);
    return fd;
}

/* -1 when nobody waits. */
static inline int bench_accept(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= BENCH_FDS_MAX) {
        close(fd);
        return -1;
    }
    if (fd >= 0)
        bench_nodelay(fd);
    return fd;
}

static inline void bench_watch(int epoll, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
        bench_die("epoll_ctl");
}

static inline struct timespec bench_timespec(int64_t ns)
{
    if (ns < 0)
        ns = 0;
    return (struct timespec){ns / 1000000000, ns % 1000000000};
}

#endif
