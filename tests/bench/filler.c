/*
 * An origin whose path says what comes back: the length of the body, and which (filler.h). Bodies
 * are sent from one stretch of memory, as fast as the socket takes them.
 *
 * Started by churn.py. One thread; a connection's state lies in an array by descriptor.
 */
#include "filler.h"

#include <sys/uio.h>

#define HEAD_MOST 4096

struct conn {
    unsigned len, head_len, head_sent;
    const char *body; /* borrowed: in the noise */
    size_t body_left;
    char in[HEAD_MOST], head[256];
};

static struct conn *conns[BENCH_FDS_MAX]; /* owned */
static uint64_t requests_count, bytes_count;

static void drop(int fd)
{
    free(conns[fd]);
    conns[fd] = NULL;
    close(fd);
}

static void begin(struct conn *c)
{
    unsigned long long length = 0, number = 0;
    char date[64];
    time_t now = time(NULL);
    if (sscanf(c->in, "GET /%llu/%llu ", &length, &number) != 2 || length > FILLER_BODY_MOST)
        bench_die("reading a path");
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime(&now));
    c->head_len = (unsigned)snprintf(c->head, sizeof c->head,
                                     "HTTP/1.1 200 OK\r\nDate: %s\r\n"
                                     "Content-Type: application/octet-stream\r\n"
                                     "Content-Length: %llu\r\nCache-Control: max-age=3600\r\n\r\n",
                                     date, length);
    c->head_sent = 0;
    c->body = filler_body(number);
    c->body_left = length;
    c->len = 0;
    requests_count++;
}

/* False when the connection is gone. */
static int flush(int fd)
{
    struct conn *c = conns[fd];
    while (c->head_sent < c->head_len || c->body_left > 0) {
        struct iovec pieces[2] = {{c->head + c->head_sent, c->head_len - c->head_sent},
                                  {(char *)c->body, c->body_left}};
        struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};
        ssize_t n = sendmsg(fd, &message, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return 1;
        if (n < 0) {
            drop(fd);
            return 0;
        }
        size_t of_head = (size_t)n < pieces[0].iov_len ? (size_t)n : pieces[0].iov_len;
        c->head_sent += (unsigned)of_head;
        c->body += (size_t)n - of_head;
        c->body_left -= (size_t)n - of_head;
        bytes_count += (size_t)n - of_head;
    }
    return 1;
}

static void on_conn(int fd, uint32_t events)
{
    struct conn *c = conns[fd];
    while (events & ~(uint32_t)EPOLLOUT) {
        ssize_t n = recv(fd, c->in + c->len, HEAD_MOST - 1 - c->len, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        if (n <= 0) {
            drop(fd);
            return;
        }
        c->len += (unsigned)n;
        c->in[c->len] = 0;
        if (c->len >= 4 && memcmp(c->in + c->len - 4, "\r\n\r\n", 4) == 0)
            begin(c);
    }
    flush(fd);
}

static void serve(int listener)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[256];
    bench_watch(epoll, listener, EPOLLIN);
    while (!bench_stop) {
        int n = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd != listener) {
                on_conn(fd, events[i].events);
                continue;
            }
            while ((fd = bench_accept(listener)) >= 0) {
                conns[fd] = calloc(1, sizeof *conns[fd]);
                if (conns[fd] == NULL)
                    bench_die("accepting");
                bench_watch(epoll, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
            }
        }
    }
}

int main(int argc, char **argv)
{
    if (argc != 3 || strcmp(argv[1], "-p") != 0) {
        fprintf(stderr, "usage: filler -p PORT\n");
        return 1;
    }
    filler_make_noise();
    bench_catch_signals();
    serve(bench_listen(atoi(argv[2])));
    printf("{\"requests\": %llu, \"bytes\": %llu}\n", (unsigned long long)requests_count,
           (unsigned long long)bytes_count);
    return 0;
}
