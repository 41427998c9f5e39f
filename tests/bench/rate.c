/*
 * A load client with a constant rate (wrk has none): request k is due at start + k / rate, whatever
 * became of those before it, and its latency runs from that moment. So a server that stalls pays
 * for every request that was due meanwhile (no coordinated omission). A request whose connection is
 * still busy waits its turn.
 *
 * Started by the bench harness, on the core the server does not have; it spins there, because a
 * sleeping client would add its own wake-up to each latency. One thread. How late it takes up each
 * request is measured too: that is its own doing, no server's, and it is part of the latencies.
 * Prints both distributions in microseconds as JSON.
 */
#include "base/base.h"
#include "bench.h"

#include <fcntl.h>
#include <getopt.h>

struct conn {
    int fd;
    unsigned head,
        tail; /* of the due times waiting in the ring; the first is in flight when busy */
    int busy;
    size_t have_bytes; /* of the response */
    size_t want_bytes; /* 0: head not complete */
    char buffer[65536];
};

#define CONNS_MAX 512
#define RING 65536

static struct conn *conns[CONNS_MAX];
static int64_t *rings[CONNS_MAX];
static char request[1024];
static size_t request_bytes;
static struct histogram latencies_ns, late_ns;
static uint64_t done_count, wanted_count, bad_count;

static void send_next(unsigned i)
{
    struct conn *c = conns[i];
    if (c->busy || c->head == c->tail)
        return;
    if (send(c->fd, request, request_bytes, MSG_NOSIGNAL) != (ssize_t)request_bytes)
        bench_die("sending a request");
    c->busy = 1;
    c->have_bytes = c->want_bytes = 0;
}

static void read_head(struct conn *c)
{
    char *end = memmem(c->buffer, c->have_bytes, "\r\n\r\n", 4);
    if (!end)
        return;
    end[2] = '\0';
    char *length = strcasestr(c->buffer, "\r\ncontent-length:");
    if (!length)
        bench_die("looking for Content-Length");
    if (strncmp(c->buffer, "HTTP/1.1 200", 12))
        bad_count++;
    c->want_bytes = (size_t)(end - c->buffer) + 4 + strtoul(length + 17, NULL, 10);
}

static void on_readable(unsigned i)
{
    struct conn *c = conns[i];
    ssize_t n = recv(c->fd, c->buffer + c->have_bytes, sizeof c->buffer - c->have_bytes - 1, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0)
        bench_die("reading a response");
    c->have_bytes += (size_t)n;
    c->buffer[c->have_bytes] = '\0';
    if (!c->want_bytes)
        read_head(c);
    if (!c->want_bytes || c->have_bytes < c->want_bytes)
        return;
    int64_t latency_ns = bench_now_ns() - rings[i][c->head++ % RING];
    histogram_add(&latencies_ns, (uint64_t)latency_ns);
    done_count++;
    c->busy = 0;
    send_next(i);
}

static void print_quantiles(const struct histogram *ns)
{
    printf("\"p50\": %.1f, \"p99\": %.1f, \"p999\": %.1f, \"max\": %.1f",
           (double)histogram_quantile(ns, 0.5) / 1000, (double)histogram_quantile(ns, 0.99) / 1000,
           (double)histogram_quantile(ns, 0.999) / 1000, (double)cell_read(&ns->max) / 1000);
}

static void open_conns(int epoll, int port, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        conns[i] = calloc(1, sizeof **conns);
        rings[i] = malloc(RING * sizeof **rings);
        if (!conns[i] || !rings[i])
            bench_die("preparing connections");
        conns[i]->fd = bench_connect(port);
        if (fcntl(conns[i]->fd, F_SETFL, O_NONBLOCK))
            bench_die("fcntl");
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, conns[i]->fd, &event))
            bench_die("epoll_ctl");
    }
}

static void drive(int epoll, unsigned conns_count, double rate, int64_t give_up_ns)
{
    struct epoll_event events[CONNS_MAX];
    int64_t start_ns = bench_now_ns();
    uint64_t due_count = 0;
    while (done_count < wanted_count && !bench_stop) {
        if (bench_now_ns() - start_ns > give_up_ns)
            break;
        while (due_count < wanted_count) {
            int64_t due_ns = start_ns + (int64_t)((double)due_count * 1e9 / rate);
            int64_t now_ns = bench_now_ns(); /* those before have taken their time */
            if (due_ns > now_ns)
                break;
            histogram_add(&late_ns, (uint64_t)(now_ns - due_ns));
            unsigned i = due_count % conns_count;
            if (conns[i]->tail - conns[i]->head == RING)
                bench_die("queueing: far too slow a server");
            rings[i][conns[i]->tail++ % RING] = due_ns;
            due_count++;
            send_next(i);
        }
        int n = epoll_wait(epoll, events, CONNS_MAX, 0);
        for (int i = 0; i < n; i++)
            on_readable(events[i].data.u32);
    }
}

int main(int argc, char **argv)
{
    int port = 0, option;
    unsigned conns_count = 64;
    double rate = 10000, seconds = 3;
    const char *path = "/";
    while ((option = getopt(argc, argv, "p:u:c:r:s:")) != -1) {
        switch (option) {
        case 'p':
            port = atoi(optarg);
            break;
        case 'u':
            path = optarg;
            break;
        case 'c':
            conns_count = (unsigned)atoi(optarg);
            break;
        case 'r':
            rate = atof(optarg);
            break;
        case 's':
            seconds = atof(optarg);
            break;
        default:
            fprintf(
                stderr,
                "usage: rate -p PORT [-u PATH] [-c CONNECTIONS] [-r PER_SECOND] [-s SECONDS]\n");
            return 1;
        }
    }
    if (!conns_count || conns_count > CONNS_MAX || rate <= 0 || seconds <= 0)
        bench_die("reading arguments");
    bench_catch_signals();
    request_bytes = (size_t)snprintf(request, sizeof request,
                                     "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n", path, port);
    if (request_bytes >= sizeof request)
        bench_die("preparing the request");
    wanted_count = (uint64_t)(rate * seconds);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    open_conns(epoll, port, conns_count);
    drive(epoll, conns_count, rate, (int64_t)((seconds + 10) * 1e9));
    if (!done_count)
        bench_die("waiting for a response");
    printf("{\"requests\": %llu, \"wanted\": %llu, \"bad\": %llu, ", (unsigned long long)done_count,
           (unsigned long long)wanted_count, (unsigned long long)bad_count);
    print_quantiles(&latencies_ns);
    printf(", \"late\": {");
    print_quantiles(&late_ns);
    printf("}}\n");
    return 0;
}
