/*
 * The floor of a miss: a bare epoll relay. Each client connection is paired with one warm
 * connection to the origin when it is accepted; from then on a request costs four system calls
 * beside the wait: recv from the client, send to the origin, recv from the origin, send to the
 * client. No parsing: with one request at a time on a connection, and responses that fit one read,
 * each chunk is passed on as it comes.
 *
 * Started by the bench harness. One thread; the pair of a descriptor lies in an array.
 */
#include "bench.h"

#include <fcntl.h>
#include <getopt.h>
#include <poll.h>

static int pair_of[BENCH_FDS_MAX];
static uint64_t connections_count;

static void close_pair(int fd)
{
    int other = pair_of[fd];
    if (other < 0)
        return;
    pair_of[fd] = pair_of[other] = -1;
    close(fd);
    close(other);
}

/* Waits where the socket is full: it never is with the bench's sizes, and no byte may be lost. */
static int send_all(int fd, const char *data, size_t len)
{
    while (len) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            return 0;
        if (n < 0) {
            struct pollfd wait = {.fd = fd, .events = POLLOUT};
            poll(&wait, 1, 1000);
            continue;
        }
        data += n;
        len -= (size_t)n;
    }
    return 1;
}

static void pass_on(int fd)
{
    char buffer[65536];
    if (pair_of[fd] < 0)
        return;
    ssize_t n = recv(fd, buffer, sizeof buffer, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || !send_all(pair_of[fd], buffer, (size_t)n))
        close_pair(fd);
}

static void accept_pairs(int epoll, int listener, int origin_port)
{
    int client;
    while ((client = bench_accept(listener)) >= 0) {
        int origin = bench_connect(origin_port);
        if (fcntl(origin, F_SETFL, O_NONBLOCK) || origin >= BENCH_FDS_MAX)
            bench_die("pairing");
        pair_of[client] = origin;
        pair_of[origin] = client;
        connections_count++;
        bench_watch(epoll, client, EPOLLIN);
        bench_watch(epoll, origin, EPOLLIN);
    }
}

int main(int argc, char **argv)
{
    int port = 0, origin_port = 0, option;
    while ((option = getopt(argc, argv, "p:o:")) != -1) {
        switch (option) {
        case 'p':
            port = atoi(optarg);
            break;
        case 'o':
            origin_port = atoi(optarg);
            break;
        default:
            fprintf(stderr, "usage: relay -p PORT -o ORIGIN_PORT\n");
            return 1;
        }
    }
    bench_catch_signals();
    memset(pair_of, -1, sizeof pair_of);
    int listener = bench_listen(port);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[256];
    bench_watch(epoll, listener, EPOLLIN);
    while (!bench_stop) {
        int n = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener)
                accept_pairs(epoll, listener, origin_port);
            else
                pass_on(events[i].data.fd);
        }
    }
    printf("{\"connections\": %llu}\n", (unsigned long long)connections_count);
    return 0;
}
