/*
 * The floor of a hit, and the origin behind a miss: a bare epoll loop that reads whatever comes and
 * answers each CRLF CRLF with the same prepared bytes. One recv and one send a request, no parsing,
 * no epoll_ctl after the first (edge-triggered). A large body goes on when the socket is writable
 * again.
 *
 * Started by the bench harness. As a floor its head has the fields a cache would send, so that the
 * bytes on the wire are alike. As an origin it may answer late (-d), for tests that need requests
 * to overlap. One thread; a connection's state lies in an array by descriptor and lives until the
 * close.
 */
#include "bench.h"

#include <getopt.h>

struct conn {
    unsigned matched;  /* bytes of CRLF CRLF seen at the end of what was read */
    unsigned owed;     /* responses not sent whole */
    size_t sent_bytes; /* of the first of them */
    unsigned life; /* counts the uses of the descriptor: a late answer must not reach a successor */
};

struct late {
    int fd;
    unsigned life;
    int64_t due_ns;
};

#define LATE_MAX 8192

static struct conn conns[BENCH_FDS_MAX];
static char *response;
static size_t response_bytes;
static int64_t delay_ns;
static struct late late[LATE_MAX];
static unsigned late_head, late_tail;
static uint64_t requests_count, connections_count;
static unsigned late_peak;

static void prepare_response(size_t body_bytes, const char *fields)
{
    static const char format[] = "HTTP/1.1 200 OK\r\n"
                                 "Date: %s\r\n"
                                 "Content-Type: application/octet-stream\r\n"
                                 "Content-Length: %zu\r\n"
                                 "%s\r\n";
    /* That of the start: a bench run is far shorter than the max-age it is given. */
    char date[64];
    time_t now = time(NULL);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime(&now));
    response = malloc(strlen(fields) + sizeof format + sizeof date + 32 + body_bytes);
    if (!response)
        bench_die("preparing the response");
    int head_bytes = sprintf(response, format, date, body_bytes, fields);
    memset(response + head_bytes, 'w', body_bytes);
    response_bytes = (size_t)head_bytes + body_bytes;
}

static void drop(int fd)
{
    conns[fd].life++;
    close(fd);
}

/* False when the connection is gone. */
static int flush(int fd)
{
    struct conn *c = &conns[fd];
    while (c->owed) {
        ssize_t n =
            send(fd, response + c->sent_bytes, response_bytes - c->sent_bytes, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return 1;
        if (n < 0) {
            drop(fd);
            return 0;
        }
        c->sent_bytes += (size_t)n;
        if (c->sent_bytes == response_bytes) {
            c->sent_bytes = 0;
            c->owed--;
        }
    }
    return 1;
}

static unsigned count_ends(struct conn *c, const char *data, size_t len)
{
    static const char end[] = "\r\n\r\n";
    if (!c->matched && len >= 4 && memmem(data, len, end, 4) == data + len - 4)
        return 1;
    unsigned found = 0;
    for (size_t i = 0; i < len; i++) {
        if (data[i] == end[c->matched])
            c->matched++;
        else
            c->matched = data[i] == '\r';
        if (c->matched == 4) {
            c->matched = 0;
            found++;
        }
    }
    return found;
}

static void answer(int fd, unsigned count)
{
    requests_count += count;
    if (!delay_ns) {
        conns[fd].owed += count;
        return;
    }
    for (; count; count--) {
        struct late *l = &late[late_tail++ % LATE_MAX];
        *l = (struct late){fd, conns[fd].life, bench_now_ns() + delay_ns};
        if (late_tail - late_head > late_peak)
            late_peak = late_tail - late_head;
        if (late_tail - late_head > LATE_MAX)
            bench_die("queueing a late answer");
    }
}

static void on_conn(int fd, uint32_t events)
{
    char buffer[16384];
    ssize_t n = 0;
    int ending = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        do {
            n = recv(fd, buffer, sizeof buffer, 0);
            if (n > 0)
                answer(fd, count_ends(&conns[fd], buffer, (size_t)n));
        } while (n == sizeof buffer || (n > 0 && ending));
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            drop(fd);
            return;
        }
    }
    flush(fd);
}

static void send_late(int64_t now_ns)
{
    while (late_head != late_tail && late[late_head % LATE_MAX].due_ns <= now_ns) {
        struct late *l = &late[late_head++ % LATE_MAX];
        if (conns[l->fd].life != l->life)
            continue;
        conns[l->fd].owed++;
        flush(l->fd);
    }
}

static void serve(int listener)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[256];
    bench_watch(epoll, listener, EPOLLIN);
    while (!bench_stop) {
        struct timespec wait = {1, 0};
        if (late_head != late_tail)
            wait = bench_timespec(late[late_head % LATE_MAX].due_ns - bench_now_ns());
        int n = delay_ns ? epoll_pwait2(epoll, events, 256, &wait, NULL)
                         : epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd != listener) {
                on_conn(fd, events[i].events);
                continue;
            }
            while ((fd = bench_accept(listener)) >= 0) {
                conns[fd] = (struct conn){.life = conns[fd].life};
                connections_count++;
                bench_watch(epoll, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
            }
        }
        if (delay_ns)
            send_late(bench_now_ns());
    }
}

int main(int argc, char **argv)
{
    int port = 0, option;
    size_t body_bytes = 1024;
    char fields[2048] = "";
    while ((option = getopt(argc, argv, "p:b:H:d:")) != -1) {
        switch (option) {
        case 'p':
            port = atoi(optarg);
            break;
        case 'b':
            body_bytes = strtoul(optarg, NULL, 10);
            break;
        case 'H':
            if (strlen(fields) + strlen(optarg) + 3 > sizeof fields)
                bench_die("adding a field");
            strcat(strcat(fields, optarg), "\r\n");
            break;
        case 'd':
            delay_ns = atoll(optarg) * 1000000;
            break;
        default:
            fprintf(stderr,
                    "usage: responder -p PORT [-b BODY_BYTES] [-H FIELD]... [-d DELAY_MS]\n");
            return 1;
        }
    }
    prepare_response(body_bytes, fields);
    bench_catch_signals();
    serve(bench_listen(port));
    printf("{\"requests\": %llu, \"connections\": %llu, \"peak\": %u}\n",
           (unsigned long long)requests_count, (unsigned long long)connections_count, late_peak);
    return 0;
}
