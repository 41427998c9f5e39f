/*
 * Churn: a few fast clients ask for one path after another, each once, until so many bytes of body
 * have come, while many slow readers hold on to what they asked for before, with small receive
 * buffers and a read of so many bytes a second. Every byte is compared with what filler.c sends for
 * that path.
 *
 * Started by churn.py. One thread. A slow reader that has read its body to the end, or was cut off,
 * asks for another path. The lengths of bodies are spread evenly over the logarithm, between two
 * bounds for each kind of client; they depend on the path's number alone.
 */
#include "filler.h"

#include <getopt.h>
#include <math.h>

#define HEAD_MOST 2048
#define READ_MOST 65536
#define SLOW_RECEIVE_BUFFER 4096
#define SLOW_SEGMENT 1448
#define SLOW_NUMBERS ((uint64_t)1 << 32) /* paths of slow readers begin here */
#define TICKS_PER_S 100
#define TICK_NS (1000000000 / TICKS_PER_S)
#define RETRY_TICKS 10 /* until a client that was cut off comes again */

enum kind {
    FAST,
    SLOW,
    KINDS
};

struct client {
    int fd;
    enum kind kind;
    int status; /* 0: no head yet */
    uint64_t number;
    size_t expected, length, got, head_len; /* of the body, of its announcement, so far */
    unsigned wait_ticks;                    /* not connected: until it comes again */
    char head[HEAD_MOST];
};

struct counts {
    uint64_t requests, whole, unavailable, other_status, cut, wrong, bytes;
};

static int port, epoll;
static size_t least[KINDS] = {100, 64 << 10}, most[KINDS] = {4 << 20, 256 << 10};
static uint64_t next_number[KINDS] = {0, SLOW_NUMBERS};
static struct counts counts[KINDS];
static unsigned slow_bytes_per_s = 1024;
static uint64_t wanted_bytes, asked_bytes;
static unsigned fast_active, slow_answered;

static size_t length_of(uint64_t number, enum kind kind)
{
    double where = (double)(filler_random(number) >> 11) * 0x1p-53;
    return (size_t)((double)least[kind] * pow((double)most[kind] / (double)least[kind], where));
}

static void ask(struct client *c)
{
    char request[256];
    c->number = next_number[c->kind]++;
    c->expected = length_of(c->number, c->kind);
    c->status = 0;
    c->got = c->head_len = 0;
    int len = snprintf(request, sizeof request, "GET /%zu/%llu HTTP/1.1\r\nHost: churn\r\n\r\n",
                       c->expected, (unsigned long long)c->number);
    counts[c->kind].requests++;
    if (c->kind == FAST)
        asked_bytes += c->expected;
    /* A connection that has just been closed is seen when it is read. */
    (void)!send(c->fd, request, (size_t)len, MSG_NOSIGNAL);
}

/* A slow reader's segments are as small as on a network: with those of the loopback the server's
   socket would take a whole body at once, and nothing would be left to wait. */
static void make_slow(int fd)
{
    int buffer = SLOW_RECEIVE_BUFFER, segment = SLOW_SEGMENT;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer) ||
        setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment))
        bench_die("making a slow reader");
}

static void open_client(struct client *c)
{
    struct sockaddr_in addr = bench_loopback(port);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd >= 0 && c->kind == SLOW)
        make_slow(c->fd);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&addr, sizeof addr))
        bench_die("connecting");
    if (c->kind == FAST) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event))
            bench_die("epoll_ctl");
    }
    ask(c);
}

static void close_client(struct client *c)
{
    close(c->fd);
    c->fd = -1;
    c->wait_ticks = RETRY_TICKS;
}

static void finish(struct client *c)
{
    struct counts *count = &counts[c->kind];
    int good = c->status == 200;
    count->whole += good && c->got == c->expected;
    count->wrong += good && c->got != c->expected;
    count->unavailable += c->status == 503;
    count->other_status += !good && c->status != 503;
    if (c->kind == SLOW || asked_bytes < wanted_bytes)
        ask(c);
    else
        fast_active--;
}

static void take_body(struct client *c, const char *bytes, size_t len)
{
    size_t left = c->length - c->got, compared = len < left ? len : left;
    if (c->status == 200 && c->got + compared <= c->expected &&
        memcmp(bytes, filler_body(c->number) + c->got, compared) != 0)
        counts[c->kind].wrong++;
    c->got += compared;
    counts[c->kind].bytes += compared;
    if (c->got == c->length)
        finish(c);
}

static void take_head(struct client *c, const char *bytes, size_t len)
{
    size_t room = HEAD_MOST - 1 - c->head_len, taken = len < room ? len : room;
    memcpy(c->head + c->head_len, bytes, taken);
    c->head[c->head_len + taken] = 0;
    const char *end = strstr(c->head, "\r\n\r\n");
    if (end == NULL && taken == room)
        bench_die("reading a head");
    if (end == NULL) {
        c->head_len += taken;
        return;
    }
    const char *length = strcasestr(c->head, "\r\nContent-Length:");
    size_t of_head = (size_t)(end + 4 - c->head) - c->head_len;
    c->status = atoi(c->head + strlen("HTTP/1.1 "));
    c->length = length != NULL && length < end ? strtoul(length + 17, NULL, 10) : 0;
    slow_answered += c->kind == SLOW;
    take_body(c, bytes + of_head, len - of_head);
}

/* False when nothing was there. */
static int read_some(struct client *c, size_t wanted)
{
    static char bytes[READ_MOST];
    ssize_t n = recv(c->fd, bytes, wanted, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0) {
        counts[c->kind].cut++;
        close_client(c);
    } else if (c->status == 0) {
        take_head(c, bytes, (size_t)n);
    } else {
        take_body(c, bytes, (size_t)n);
    }
    return 1;
}

/* Once in TICKS_PER_S: clients that come again, and those slow readers whose turn it is. */
static void tick(struct client *clients, unsigned count, unsigned turn)
{
    for (unsigned i = 0; i < count; i++) {
        struct client *c = &clients[i];
        if (c->fd >= 0 && c->kind == SLOW && i % TICKS_PER_S == turn % TICKS_PER_S)
            read_some(c, slow_bytes_per_s);
        else if (c->fd < 0 && c->wait_ticks > 0 && --c->wait_ticks == 0)
            open_client(c);
    }
}

/* The fast clients begin when all slow readers have begun to read. Returns how long they took. */
static int64_t run(struct client *slow, unsigned slow_count, struct client *fast,
                   unsigned fast_count, int64_t until_ns)
{
    struct epoll_event events[64];
    int64_t next_ns = bench_now_ns(), begun_ns = 0;
    for (unsigned i = 0; i < slow_count; i++)
        open_client(&slow[i]);
    for (unsigned turn = 0; begun_ns == 0 || fast_active > 0; turn++) {
        if (bench_stop || next_ns > until_ns)
            bench_die("reading so much in this time");
        tick(slow, slow_count, turn);
        tick(fast, fast_count, turn);
        if (begun_ns == 0 && slow_answered >= slow_count) {
            begun_ns = bench_now_ns();
            fast_active = fast_count;
            for (unsigned i = 0; i < fast_count; i++)
                open_client(&fast[i]);
        }
        next_ns += TICK_NS;
        for (int64_t left_ns;
             fast_active + !begun_ns > 0 && (left_ns = next_ns - bench_now_ns()) > 0;) {
            struct timespec wait = bench_timespec(left_ns);
            int n = epoll_pwait2(epoll, events, 64, &wait, NULL);
            for (int i = 0; i < n; i++)
                read_some(events[i].data.ptr, READ_MOST);
        }
    }
    return bench_now_ns() - begun_ns;
}

static void tell_counts(const char *name, const struct counts *c)
{
    printf("\"%s\": {\"requests\": %llu, \"whole\": %llu, \"unavailable\": %llu, "
           "\"other_status\": %llu, \"cut\": %llu, \"wrong\": %llu, \"bytes\": %llu}, ",
           name, (unsigned long long)c->requests, (unsigned long long)c->whole,
           (unsigned long long)c->unavailable, (unsigned long long)c->other_status,
           (unsigned long long)c->cut, (unsigned long long)c->wrong, (unsigned long long)c->bytes);
}

/* Slow readers that are in the midst of a body, and what of those bodies they have not read. */
static void tell_held(const struct client *slow, unsigned count)
{
    unsigned readers = 0;
    uint64_t bytes = 0;
    for (unsigned i = 0; i < count; i++) {
        if (slow[i].fd < 0 || slow[i].status != 200)
            continue;
        readers++;
        bytes += slow[i].length;
    }
    printf("\"held\": {\"readers\": %u, \"bytes\": %llu}, ", readers, (unsigned long long)bytes);
}

static struct client *make_clients(enum kind kind, unsigned count)
{
    struct client *clients = calloc(count + 1, sizeof *clients);
    if (clients == NULL)
        bench_die("making the clients");
    for (unsigned i = 0; i < count; i++)
        clients[i] = (struct client){.fd = -1, .kind = kind};
    return clients;
}

int main(int argc, char **argv)
{
    int option;
    unsigned fast_count = 16, slow_count = 200;
    int64_t timeout_ns = 60 * 1000000000LL;
    while ((option = getopt(argc, argv, "p:f:s:b:l:m:r:t:")) != -1) {
        switch (option) {
        case 'p':
            port = atoi(optarg);
            break;
        case 'f':
            fast_count = (unsigned)atoi(optarg);
            break;
        case 's':
            slow_count = (unsigned)atoi(optarg);
            break;
        case 'b':
            wanted_bytes = strtoull(optarg, NULL, 10);
            break;
        case 'l':
            least[SLOW] = strtoul(optarg, NULL, 10);
            break;
        case 'm':
            most[SLOW] = strtoul(optarg, NULL, 10);
            break;
        case 'r':
            slow_bytes_per_s = (unsigned)atoi(optarg);
            break;
        case 't':
            timeout_ns = atoll(optarg) * 1000000000;
            break;
        default:
            fprintf(stderr,
                    "usage: churn -p PORT -b BYTES [-f FAST] [-s SLOW] [-l SLOW_BODY_LEAST] "
                    "[-m SLOW_BODY_MOST] [-r SLOW_BYTES_PER_S] [-t TIMEOUT_S]\n");
            return 1;
        }
    }
    if (most[SLOW] > FILLER_BODY_MOST || slow_bytes_per_s > READ_MOST)
        bench_die("reading the slow readers' sizes");
    filler_make_noise();
    bench_catch_signals();
    epoll = epoll_create1(EPOLL_CLOEXEC);
    struct client *slow = make_clients(SLOW, slow_count), *fast = make_clients(FAST, fast_count);
    int64_t took_ns = run(slow, slow_count, fast, fast_count, bench_now_ns() + timeout_ns);
    printf("{");
    tell_counts("fast", &counts[FAST]);
    tell_counts("slow", &counts[SLOW]);
    tell_held(slow, slow_count);
    printf("\"seconds\": %.3f}\n", (double)took_ns / 1e9);
    free(slow);
    free(fast);
    return 0;
}
