/*
 * An origin that takes its time: the head and the first chunk of a response are sent so long after
 * the request, and each further chunk so long after the one before. It tells how many requests
 * came, how many it had at the same time, and how many of them before it had sent a byte of any
 * response.
 *
 * Started by storm.py, which asks it between two storms (COUNT_PATH; the counters begin anew).
 * WARM_PATH is answered at once, with a response for a cache to keep. One thread; a connection's
 * state lies in an array by descriptor. As all responses have the same pace, those that wait for
 * their n-th chunk do so in the order in which they came: one ring for each chunk.
 */
#include "bench.h"

#include <getopt.h>

#define WARM_PATH "/warm"
#define COUNT_PATH "/count"
#define HEAD_MOST 4096
#define CHUNKS_MOST 16
#define CHUNK_MOST 8192
#define WAITING_MOST 8192

struct conn {
    unsigned life; /* counts the uses of the descriptor: a late chunk must not reach a successor */
    unsigned len;
    int answering;
    char head[HEAD_MOST]; /* what was read of a request */
};

struct late {
    int fd;
    unsigned life;
    int64_t due_ns;
};

struct ring {
    struct late late[WAITING_MOST];
    unsigned head, tail;
};

struct counters {
    uint64_t requests, before_first, broken;
    unsigned in_flight, peak;
    int first_sent;
};

static struct conn conns[BENCH_FDS_MAX];
static struct ring rings[CHUNKS_MOST];
static struct counters counters;
static int64_t delay_ns = 500000000, interval_ns = 100000000;
static unsigned chunks = 5;
static size_t chunk_bytes = 2048;
static char fields[1024];

static void drop(int fd)
{
    if (conns[fd].answering) {
        counters.in_flight--;
        counters.broken++;
    }
    conns[fd].life++;
    close(fd);
}

/* Nothing that is sent here comes near to filling a socket. */
static int send_all(int fd, const char *bytes, size_t len)
{
    if (send(fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len)
        return 1;
    drop(fd);
    return 0;
}

static int make_head(char *out, size_t size, const char *more, size_t body_bytes)
{
    char date[64];
    time_t now = time(NULL);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime(&now));
    return snprintf(out, size,
                    "HTTP/1.1 200 OK\r\nDate: %s\r\nContent-Type: text/plain\r\n"
                    "Content-Length: %zu\r\n%s\r\n",
                    date, body_bytes, more);
}

static void answer_at_once(int fd, const char *more, const char *body)
{
    char out[1024];
    int len = make_head(out, sizeof out, more, strlen(body));
    len += snprintf(out + len, sizeof out - (size_t)len, "%s", body);
    send_all(fd, out, (size_t)len);
}

static void tell_counters(int fd)
{
    char body[256];
    snprintf(body, sizeof body,
             "{\"requests\": %llu, \"before_first\": %llu, \"peak\": %u, \"in_flight\": %u, "
             "\"broken\": %llu}\n",
             (unsigned long long)counters.requests, (unsigned long long)counters.before_first,
             counters.peak, counters.in_flight, (unsigned long long)counters.broken);
    answer_at_once(fd, "Cache-Control: no-store\r\n", body);
    counters = (struct counters){.in_flight = counters.in_flight, .peak = counters.in_flight};
}

static void send_later(unsigned chunk, int fd, int64_t due_ns)
{
    struct ring *ring = &rings[chunk];
    ring->late[ring->tail++ % WAITING_MOST] = (struct late){fd, conns[fd].life, due_ns};
    if (ring->tail - ring->head > WAITING_MOST)
        bench_die("queueing a chunk");
}

static void begin(int fd)
{
    counters.requests++;
    counters.before_first += !counters.first_sent;
    if (++counters.in_flight > counters.peak)
        counters.peak = counters.in_flight;
    conns[fd].answering = 1;
    send_later(0, fd, bench_now_ns() + delay_ns);
}

static void send_chunk(unsigned chunk, const struct late *late)
{
    char out[CHUNK_MOST + 2048];
    int fd = late->fd;
    size_t len = chunk == 0 ? (size_t)make_head(out, 2048, fields, chunks * chunk_bytes) : 0;
    if (conns[fd].life != late->life)
        return;
    memset(out + len, 'a' + (int)chunk, chunk_bytes);
    counters.first_sent = 1;
    if (chunk + 1 == chunks) {
        conns[fd].answering = 0;
        counters.in_flight--;
    }
    if (send_all(fd, out, len + chunk_bytes) && chunk + 1 < chunks)
        send_later(chunk + 1, fd, late->due_ns + interval_ns);
}

/* What is due is sent; returns when the next chunk is, INT64_MAX when none waits. */
static int64_t send_late(int64_t now_ns)
{
    int64_t next_ns = INT64_MAX;
    for (unsigned chunk = 0; chunk < chunks; chunk++) {
        struct ring *ring = &rings[chunk];
        while (ring->head != ring->tail && ring->late[ring->head % WAITING_MOST].due_ns <= now_ns)
            send_chunk(chunk, &ring->late[ring->head++ % WAITING_MOST]);
        if (ring->head != ring->tail && ring->late[ring->head % WAITING_MOST].due_ns < next_ns)
            next_ns = ring->late[ring->head % WAITING_MOST].due_ns;
    }
    return next_ns;
}

static int has_path(const struct conn *c, const char *path)
{
    size_t len = strlen(path);
    const char *target = memchr(c->head, ' ', c->len);
    return target != NULL && strncmp(target + 1, path, len) == 0 && target[1 + len] == ' ';
}

static void on_conn(int fd)
{
    struct conn *c = &conns[fd];
    ssize_t n = recv(fd, c->head + c->len, HEAD_MOST - 1 - c->len, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        drop(fd);
        return;
    }
    c->len += (unsigned)n;
    c->head[c->len] = 0;
    if (c->len < 4 || memcmp(c->head + c->len - 4, "\r\n\r\n", 4) != 0)
        return;
    if (has_path(c, WARM_PATH))
        answer_at_once(fd, "Cache-Control: max-age=3600\r\n", "warm\n");
    else if (has_path(c, COUNT_PATH))
        tell_counters(fd);
    else
        begin(fd);
    c->len = 0;
}

static void serve(int listener)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[256];
    int64_t next_ns = INT64_MAX;
    bench_watch(epoll, listener, EPOLLIN);
    while (!bench_stop) {
        struct timespec wait = bench_timespec(next_ns - bench_now_ns());
        int n = epoll_pwait2(epoll, events, 256, next_ns < INT64_MAX ? &wait : NULL, NULL);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd != listener) {
                on_conn(fd);
                continue;
            }
            while ((fd = bench_accept(listener)) >= 0) {
                conns[fd].len = 0;
                conns[fd].answering = 0;
                bench_watch(epoll, fd, EPOLLIN);
            }
        }
        next_ns = send_late(bench_now_ns());
    }
}

int main(int argc, char **argv)
{
    int port = 0, option;
    while ((option = getopt(argc, argv, "p:d:i:n:k:H:")) != -1) {
        switch (option) {
        case 'p':
            port = atoi(optarg);
            break;
        case 'd':
            delay_ns = atoll(optarg) * 1000000;
            break;
        case 'i':
            interval_ns = atoll(optarg) * 1000000;
            break;
        case 'n':
            chunks = (unsigned)atoi(optarg);
            break;
        case 'k':
            chunk_bytes = strtoul(optarg, NULL, 10);
            break;
        case 'H':
            if (strlen(fields) + strlen(optarg) + 3 > sizeof fields)
                bench_die("adding a field");
            strcat(strcat(fields, optarg), "\r\n");
            break;
        default:
            fprintf(stderr, "usage: pacer -p PORT [-d FIRST_BYTE_MS] [-i INTERVAL_MS] [-n CHUNKS] "
                            "[-k CHUNK_BYTES] [-H FIELD]...\n");
            return 1;
        }
    }
    if (chunks == 0 || chunks > CHUNKS_MOST || chunk_bytes == 0 || chunk_bytes > CHUNK_MOST)
        bench_die("reading the number and size of chunks");
    bench_catch_signals();
    serve(bench_listen(port));
    return 0;
}
