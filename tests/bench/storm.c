/*
 * A storm: so many clients, connected and known to the server beforehand, ask for the same path at
 * the same moment. For each is noted when the first and the last byte of its response came, since
 * its own request was sent, and whether the body is the one that pacer.c sends.
 *
 * Started by storm.py. One thread. Each connection first gets an answer for WARM_PATH, so that it
 * has been accepted by whichever thread will serve it.
 */
#include "bench.h"

#include <getopt.h>

#define WARM_PATH "/warm"
#define HEAD_MOST 4096

struct client {
    int fd;
    int status; /* 0: no head yet */
    int64_t sent_ns, first_ns, last_ns;
    size_t head_len, got, length; /* of the body */
    int wrong;
    char head[HEAD_MOST];
};

static struct client *clients;
static unsigned clients_count = 1000, finished;
static unsigned chunks = 5;
static size_t chunk_bytes = 2048;
static char request[512];
static size_t request_len;

static void make_request(const char *path, int port)
{
    int len = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n",
                       path, port);
    if (len < 0 || (size_t)len >= sizeof request)
        bench_die("writing the request");
    request_len = (size_t)len;
}

static void send_request(struct client *c)
{
    c->sent_ns = bench_now_ns();
    if (send(c->fd, request, request_len, MSG_NOSIGNAL) != (ssize_t)request_len)
        bench_die("sending a request");
}

static void finish(struct client *c)
{
    c->last_ns = bench_now_ns();
    close(c->fd);
    c->fd = -1;
    finished++;
}

static void take_body(struct client *c, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        c->wrong |= bytes[i] != 'a' + (char)((c->got + i) / chunk_bytes);
    c->got += len;
    if (c->got >= c->length)
        finish(c);
}

/* What is behind its end is the body's. */
static void take_head(struct client *c, const char *bytes, size_t len)
{
    if (len > HEAD_MOST - 1 - c->head_len)
        bench_die("reading a head");
    memcpy(c->head + c->head_len, bytes, len);
    c->head_len += len;
    c->head[c->head_len] = 0;
    const char *end = strstr(c->head, "\r\n\r\n");
    if (end == NULL)
        return;
    const char *length = strcasestr(c->head, "\r\nContent-Length:");
    c->status = atoi(c->head + strlen("HTTP/1.1 "));
    c->length = length != NULL && length < end ? strtoul(length + 17, NULL, 10) : 0;
    take_body(c, end + 4, c->head_len - (size_t)(end + 4 - c->head));
}

static void on_readable(struct client *c)
{
    char bytes[HEAD_MOST - 1];
    ssize_t n = recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        finish(c);
        return;
    }
    if (c->first_ns == 0)
        c->first_ns = bench_now_ns();
    if (c->status == 0)
        take_head(c, bytes, (size_t)n);
    else
        take_body(c, bytes, (size_t)n);
}

static void warm(struct client *c)
{
    char bytes[HEAD_MOST];
    size_t len = 0;
    send_request(c);
    do {
        ssize_t n = recv(c->fd, bytes + len, sizeof bytes - 1 - len, 0);
        if (n <= 0)
            bench_die("warming a connection");
        len += (size_t)n;
        bytes[len] = 0;
    } while (strstr(bytes, "\r\n\r\nwarm\n") == NULL);
}

static void run(int64_t until_ns)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[256];
    for (unsigned i = 0; i < clients_count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &clients[i]};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, clients[i].fd, &event))
            bench_die("epoll_ctl");
    }
    for (unsigned i = 0; i < clients_count; i++)
        send_request(&clients[i]);
    while (finished < clients_count && !bench_stop && bench_now_ns() < until_ns) {
        int n = epoll_wait(epoll, events, 256, 100);
        for (int i = 0; i < n; i++)
            on_readable(events[i].data.ptr);
    }
}

static int is_whole(const struct client *c)
{
    return c->fd < 0 && c->status == 200 && !c->wrong && c->got == c->length &&
           c->length == chunks * chunk_bytes;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void tell_times(const char *name, double *ms, unsigned count)
{
    qsort(ms, count, sizeof *ms, compare);
    if (count > 0)
        printf(", \"%s_ms\": {\"p50\": %.3f, \"p99\": %.3f, \"max\": %.3f}", name, ms[count / 2],
               ms[count * 99 / 100], ms[count - 1]);
}

static void tell(void)
{
    double *first = malloc(clients_count * sizeof *first);
    double *last = malloc(clients_count * sizeof *last);
    unsigned whole = 0, answered = 0, good_status = 0;
    if (first == NULL || last == NULL)
        bench_die("telling the times");
    for (unsigned i = 0; i < clients_count; i++) {
        const struct client *c = &clients[i];
        good_status += c->status == 200;
        if (c->first_ns > 0)
            first[answered++] = (double)(c->first_ns - c->sent_ns) / 1e6;
        if (is_whole(c))
            last[whole++] = (double)(c->last_ns - c->sent_ns) / 1e6;
    }
    printf("{\"clients\": %u, \"status_200\": %u, \"whole\": %u", clients_count, good_status,
           whole);
    printf(", \"sending_ms\": %.3f",
           (double)(clients[clients_count - 1].sent_ns - clients[0].sent_ns) / 1e6);
    tell_times("first", first, answered);
    tell_times("last", last, whole);
    printf("}\n");
    free(first);
    free(last);
}

int main(int argc, char **argv)
{
    int port = 0, option;
    int64_t timeout_ns = 20 * 1000000000LL;
    const char *path = "/";
    while ((option = getopt(argc, argv, "p:u:c:n:k:t:")) != -1) {
        switch (option) {
        case 'p':
            port = atoi(optarg);
            break;
        case 'u':
            path = optarg;
            break;
        case 'c':
            clients_count = (unsigned)atoi(optarg);
            break;
        case 'n':
            chunks = (unsigned)atoi(optarg);
            break;
        case 'k':
            chunk_bytes = strtoul(optarg, NULL, 10);
            break;
        case 't':
            timeout_ns = atoll(optarg) * 1000000000;
            break;
        default:
            fprintf(stderr, "usage: storm -p PORT -u PATH [-c CLIENTS] [-n CHUNKS] "
                            "[-k CHUNK_BYTES] [-t TIMEOUT_S]\n");
            return 1;
        }
    }
    bench_catch_signals();
    clients = calloc(clients_count, sizeof *clients);
    if (clients_count == 0 || clients == NULL)
        bench_die("making the clients");
    make_request(WARM_PATH, port);
    for (unsigned i = 0; i < clients_count; i++) {
        clients[i].fd = bench_connect(port);
        warm(&clients[i]);
    }
    make_request(path, port);
    run(bench_now_ns() + timeout_ns);
    tell();
    free(clients);
    return 0;
}
