/*
 * The origin of the POST race: it keeps connections alive, and closes each one that has answered at
 * least once when it has then been idle for a random time between 0 and -c milliseconds. As every
 * server does, it closes without knowing whether the next request is already on its way; such a
 * request is lost, and was never seen here. A request to /p/N is counted under N once it has been
 * read whole.
 *
 * Started by the bench harness. One thread; a connection's state lies in an array by descriptor. At
 * the end it says how many ids it saw, and how many more than once.
 */
#include "bench.h"

#include <getopt.h>

struct conn {
    int64_t close_at_ns; /* 0: not idle, or never answered */
    size_t have_bytes;
    char buffer[16384];
};

static struct conn *conns[BENCH_FDS_MAX];
static int fds_end; /* beyond the highest descriptor ever used */
static int64_t idle_max_ns = 10000000;
static uint32_t *seen;
static unsigned ids_count = 20000;
static uint64_t requests_count, connections_count, closed_idle_count;

static void drop(int fd)
{
    free(conns[fd]);
    conns[fd] = NULL;
    close(fd);
}

static void count(const char *head)
{
    const char *id = strstr(head, "/p/");
    const char *line_end = strstr(head, "\r\n");
    requests_count++;
    if (!id || id > line_end || strncmp(head, "POST ", 5))
        return;
    unsigned long n = strtoul(id + 3, NULL, 10);
    if (n < ids_count)
        seen[n]++;
}

/* The bytes of the first request in the buffer; 0 when it is not there whole. */
static size_t request_bytes(struct conn *c)
{
    c->buffer[c->have_bytes] = '\0';
    const char *end = strstr(c->buffer, "\r\n\r\n");
    if (!end)
        return 0;
    size_t bytes = (size_t)(end - c->buffer) + 4;
    const char *length = strcasestr(c->buffer, "\r\ncontent-length:");
    if (length && length < end)
        bytes += strtoul(length + 17, NULL, 10);
    if (bytes >= sizeof c->buffer)
        bench_die("reading a request that is too large");
    return bytes <= c->have_bytes ? bytes : 0;
}

static void on_readable(int fd)
{
    static const char response[] = "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\n"
                                   "Content-Length: 2\r\n\r\nok";
    struct conn *c = conns[fd];
    ssize_t n = recv(fd, c->buffer + c->have_bytes, sizeof c->buffer - c->have_bytes - 1, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        drop(fd);
        return;
    }
    c->close_at_ns = 0;
    c->have_bytes += (size_t)n;
    size_t bytes;
    while ((bytes = request_bytes(c))) {
        count(c->buffer);
        memmove(c->buffer, c->buffer + bytes, c->have_bytes - bytes);
        c->have_bytes -= bytes;
        if (send(fd, response, sizeof response - 1, MSG_NOSIGNAL) < 0) {
            drop(fd);
            return;
        }
        c->close_at_ns = bench_now_ns() + (int64_t)(drand48() * (double)idle_max_ns) + 1;
    }
    if (c->have_bytes)
        c->close_at_ns = 0;
}

/* Returns how long until the next one is due. */
static int64_t close_idle(void)
{
    int64_t now_ns = bench_now_ns(), next_ns = now_ns + 1000000000;
    for (int fd = 0; fd < fds_end; fd++) {
        if (!conns[fd] || !conns[fd]->close_at_ns)
            continue;
        if (conns[fd]->close_at_ns <= now_ns) {
            closed_idle_count++;
            drop(fd);
        } else if (conns[fd]->close_at_ns < next_ns) {
            next_ns = conns[fd]->close_at_ns;
        }
    }
    return next_ns - now_ns;
}

static void serve(int listener)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[256];
    bench_watch(epoll, listener, EPOLLIN);
    while (!bench_stop) {
        struct timespec wait = bench_timespec(close_idle());
        int n = epoll_pwait2(epoll, events, 256, &wait, NULL);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd != listener) {
                on_readable(fd);
                continue;
            }
            while ((fd = bench_accept(listener)) >= 0) {
                conns[fd] = calloc(1, sizeof **conns);
                if (!conns[fd])
                    bench_die("accepting");
                if (fd >= fds_end)
                    fds_end = fd + 1;
                connections_count++;
                bench_watch(epoll, fd, EPOLLIN);
            }
        }
    }
}

int main(int argc, char **argv)
{
    int port = 0, option;
    long seed = 1;
    while ((option = getopt(argc, argv, "p:c:n:s:")) != -1) {
        switch (option) {
        case 'p':
            port = atoi(optarg);
            break;
        case 'c':
            idle_max_ns = atoll(optarg) * 1000000;
            break;
        case 'n':
            ids_count = (unsigned)atoi(optarg);
            break;
        case 's':
            seed = atol(optarg);
            break;
        default:
            fprintf(stderr, "usage: closer -p PORT [-c IDLE_MAX_MS] [-n IDS] [-s SEED]\n");
            return 1;
        }
    }
    srand48(seed);
    seen = calloc(ids_count + 1, sizeof *seen);
    bench_catch_signals();
    serve(bench_listen(port));
    unsigned once_count = 0, doubled_count = 0;
    for (unsigned i = 0; i < ids_count; i++) {
        once_count += seen[i] > 0;
        doubled_count += seen[i] > 1;
    }
    printf("{\"requests\": %llu, \"connections\": %llu, \"closed_idle\": %llu, \"seen\": %u, "
           "\"doubled\": %u}\n",
           (unsigned long long)requests_count, (unsigned long long)connections_count,
           (unsigned long long)closed_idle_count, once_count, doubled_count);
    return 0;
}
