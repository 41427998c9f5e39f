/*
 * Faults from below: makes system calls and allocations fail on cue or at random. Linked with Weir
 * into tests/faults/weir-faulty, never into weir.
 *
 * System calls are defined here and thereby taken over for the shared libraries too; what is not to
 * fail goes on to the C library's (or a sanitizer's). Weir's own allocations come by the linker's
 * --wrap; libevent, c-ares and jansson are given the functions below. Nothing fails before the first
 * order, so never while starting. Orders are lines sent to the unix datagram socket that
 * WEIR_FAULTS names; each is answered by one datagram, JSON:
 *
 *   cue RULE...         the next calls fail: CALL[@SIDE]=ERROR*COUNT[+CALLS TO LET PASS FIRST]
 *   random SEED RULE... each call fails by chance: CALL[@SIDE]=ERROR%PROBABILITY
 *   off                 nothing fails any more
 *   counts              what has failed, and how often, since the start
 *   calls               how often each was called since the last order; with a @SIDE as in rules
 *
 * SIDE is client or origin, for descriptors that were accepted or connected; or main. A rule is about
 * the workers' threads unless it says main. ERROR is an errno's name, or "short" for part of the
 * bytes. A failure is one that the kernel could have brought about: epoll_ctl fails to add only;
 * after a read of less than there was, or of nothing, the edge comes again as if the rest had just
 * arrived; after ECONNRESET and EPIPE the connection is reset.
 */
#include <ares.h>
#include <dlfcn.h>
#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define CALL_TABLE(X)                                                                              \
    X(recv)                                                                                        \
    X(sendmsg)                                                                                     \
    X(readv)                                                                                       \
    X(writev)                                                                                      \
    X(accept4)                                                                                     \
    X(socket)                                                                                      \
    X(connect)                                                                                     \
    X(getsockopt)                                                                                  \
    X(epoll_ctl)                                                                                   \
    X(epoll_wait)                                                                                  \
    X(malloc)                                                                                      \
    X(libevent)                                                                                    \
    X(ares)                                                                                        \
    X(jansson)

enum call {
#define X(name) CALL_##name,
    CALL_TABLE(X)
#undef X
    CALLS
};

static const char *const call_names[CALLS] = {
#define X(name) #name,
    CALL_TABLE(X)
#undef X
};

#define SHORT (-1)

static const struct {
    const char *name;
    int error;
} errors[] = {
    {"short", SHORT},
#define X(name)                                                                                    \
    {                                                                                              \
#name, name                                                                                \
    }
    X(EAGAIN),        X(EINTR),         X(ECONNRESET),  X(ECONNABORTED), X(ECONNREFUSED),
    X(EPIPE),         X(ENOBUFS),       X(ENOMEM),      X(EMFILE),       X(ENFILE),
    X(ETIMEDOUT),     X(EADDRNOTAVAIL), X(ENETUNREACH), X(EHOSTUNREACH), X(ENOSPC),
#undef X
};

#define ERRORS (sizeof(errors) / sizeof(errors[0]))
#define RULES 64
#define DESCRIPTORS 8192
#define THREADS 16
#define ONE_IN (1u << 30)

enum side {
    ANY_SIDE,
    CLIENT_SIDE,
    ORIGIN_SIDE,
    MAIN_THREAD,
    SIDES
};

static const char *const side_names[SIDES] = {"", "client", "origin", "main"};

/* Written by the control thread, read by all. */
struct rule {
    _Atomic int call, error, side;
    _Atomic unsigned chance;   /* of ONE_IN; 0: on cue */
    _Atomic int to_pass, left; /* on cue */
};

static struct rule rules[RULES];
static _Atomic unsigned rules_count, orders, seed;
static _Atomic uint64_t failed[CALLS][ERRORS], called[CALLS][SIDES];
static _Atomic unsigned char side_of[DESCRIPTORS];
static struct epoll_registration {
    int epoll_fd;
    struct epoll_event event; /* 0: none */
} registered[THREADS][DESCRIPTORS];

/* ---- who calls ---- */

static _Atomic int slots;
static _Thread_local struct {
    bool worker, main;
    int slot;
    unsigned order; /* the one that `state` was seeded for */
    uint64_t state;
} self;

static pid_t main_thread;

/* Threads with an event loop: the workers', and the main thread. */
static void note_loop(void)
{
    if (self.worker || self.main)
        return;
    self.main = gettid() == main_thread;
    self.worker = !self.main;
    self.slot = atomic_fetch_add(&slots, 1) % THREADS;
}

static uint64_t draw(void)
{
    unsigned order = atomic_load(&orders);

    if (self.order != order) {
        self.order = order;
        self.state = (atomic_load(&seed) + 1) * UINT64_C(0x9e3779b97f4a7c15) + (uint64_t)self.slot;
    }
    self.state += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
    uint64_t z = self.state;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* ---- whether it fails ---- */

static bool applies(const struct rule *rule, enum call call, int side)
{
    return (enum call)rule->call == call &&
           (self.main ? rule->side == MAIN_THREAD : rule->side == ANY_SIDE || rule->side == side);
}

static bool is_due(struct rule *rule)
{
    if (rule->chance > 0)
        return draw() % ONE_IN < rule->chance;
    if (rule->left <= 0 || atomic_fetch_sub(&rule->to_pass, 1) > 0)
        return false;
    return atomic_fetch_sub(&rule->left, 1) > 0;
}

/* 0, or how this call is to fail, which is counted; `fd` or -1. */
static int choose(enum call call, int fd)
{
    unsigned count = atomic_load_explicit(&rules_count, memory_order_acquire);
    int side = fd >= 0 && fd < DESCRIPTORS ? side_of[fd] : ANY_SIDE;

    if (!self.worker && !self.main)
        return 0;
    atomic_fetch_add_explicit(&called[call][self.main ? MAIN_THREAD : ANY_SIDE], 1,
                              memory_order_relaxed);
    if (self.worker && side != ANY_SIDE)
        atomic_fetch_add_explicit(&called[call][side], 1, memory_order_relaxed);
    for (unsigned i = 0; i < count; i++)
        if (applies(&rules[i], call, side) && is_due(&rules[i])) {
            for (size_t row = 0; row < ERRORS; row++)
                if (errors[row].error == rules[i].error)
                    atomic_fetch_add(&failed[call][row], 1);
            return rules[i].error;
        }
    return 0;
}

/* Less than all, and at least one byte. */
static size_t part_of(size_t bytes)
{
    return bytes > 1 ? 1 + (size_t)(draw() % (bytes - 1)) : bytes;
}

/* ---- system calls ---- */

/* The next definition after this program's. */
#define REAL(name)                                                                                 \
    ({                                                                                             \
        static _Atomic(void *) found_;                                                             \
        if (!atomic_load_explicit(&found_, memory_order_acquire))                                  \
            atomic_store_explicit(&found_, dlsym(RTLD_NEXT, #name), memory_order_release);         \
        (__typeof__(&name))atomic_load_explicit(&found_, memory_order_acquire);                    \
    })

static struct epoll_registration *registration(int fd)
{
    return (self.worker || self.main) && fd >= 0 && fd < DESCRIPTORS ? &registered[self.slot][fd]
                                                                     : NULL;
}

/* The edge that told of what was not read comes again. */
static void bring_edge_again(int fd)
{
    struct epoll_registration *at = registration(fd);

    if (at && at->event.events)
        REAL(epoll_ctl)(at->epoll_fd, EPOLL_CTL_MOD, fd, &at->event);
}

/* After these the connection is dead, and its other end sees it so. */
static void die(int fd, int error)
{
    if (error == ECONNRESET || error == EPIPE)
        REAL(connect)(fd, &(struct sockaddr){.sa_family = AF_UNSPEC}, sizeof(struct sockaddr));
}

/* A call on a connection that fails. */
static ssize_t fail(int fd, int error)
{
    die(fd, error);
    errno = error;
    return -1;
}

/* Of `len`, less than there is to be read. */
static size_t part_of_unread(int fd, size_t len)
{
    int unread = 0;

    ioctl(fd, FIONREAD, &unread);
    return part_of(unread > 0 && (size_t)unread < len ? (size_t)unread : len);
}

ssize_t recv(int fd, void *buffer, size_t len, int flags)
{
    int error = choose(CALL_recv, fd);

    if (error == SHORT)
        len = part_of_unread(fd, len);
    if (error == SHORT || error == EAGAIN)
        bring_edge_again(fd);
    return error && error != SHORT ? fail(fd, error) : REAL(recv)(fd, buffer, len, flags);
}

static size_t total(const struct iovec *pieces, size_t count)
{
    size_t bytes = 0;

    for (size_t i = 0; i < count; i++)
        bytes += pieces[i].iov_len;
    return bytes;
}

/* The first `bytes` of the pieces. Returns how many pieces these are. */
static size_t cut(struct iovec *out, const struct iovec *pieces, size_t count, size_t bytes)
{
    size_t used = 0;

    for (; used < count && used < 1024 && bytes > 0; used++) {
        out[used] = pieces[used];
        if (out[used].iov_len > bytes)
            out[used].iov_len = bytes;
        bytes -= out[used].iov_len;
    }
    return used;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    int error = choose(CALL_sendmsg, fd);
    struct iovec pieces[1024];
    struct msghdr less = *message;

    if (!error)
        return REAL(sendmsg)(fd, message, flags);
    if (error == SHORT) {
        less.msg_iov = pieces;
        less.msg_iovlen = cut(pieces, message->msg_iov, message->msg_iovlen,
                              part_of(total(message->msg_iov, message->msg_iovlen)));
        return REAL(sendmsg)(fd, &less, flags);
    }
    return fail(fd, error);
}

/* An order for sendmsg is one for what is sent, whatever the call. */
ssize_t send(int fd, const void *bytes, size_t len, int flags)
{
    struct iovec piece = {(void *)bytes, len};

    return sendmsg(fd, &(struct msghdr){.msg_iov = &piece, .msg_iovlen = 1}, flags);
}

/* Of a socket's; the access log's thread has no loop. */
ssize_t writev(int fd, const struct iovec *pieces, int count)
{
    int error = choose(CALL_writev, fd);
    struct iovec less[1024];

    if (!error)
        return REAL(writev)(fd, pieces, count);
    if (error == SHORT)
        return REAL(writev)(
            fd, less, (int)cut(less, pieces, (size_t)count, part_of(total(pieces, (size_t)count))));
    return fail(fd, error);
}

ssize_t readv(int fd, const struct iovec *pieces, int count)
{
    int error = choose(CALL_readv, fd);
    struct iovec less[1024];

    if (!error)
        return REAL(readv)(fd, pieces, count);
    if (error == SHORT)
        return REAL(readv)(
            fd, less, (int)cut(less, pieces, (size_t)count, part_of(total(pieces, (size_t)count))));
    return fail(fd, error);
}

static void set_side(int fd, enum side side)
{
    if (fd >= 0 && fd < DESCRIPTORS)
        side_of[fd] = side;
}

int accept4(int fd, __SOCKADDR_ARG address, socklen_t *len, int flags)
{
    int accepted;

    if ((errno = choose(CALL_accept4, fd)) != 0)
        return -1;
    accepted = REAL(accept4)(fd, address, len, flags);
    set_side(accepted, CLIENT_SIDE);
    return accepted;
}

int socket(int domain, int type, int protocol)
{
    int fd;

    if ((errno = choose(CALL_socket, -1)) != 0)
        return -1;
    fd = REAL(socket)(domain, type, protocol);
    set_side(fd, ORIGIN_SIDE);
    return fd;
}

int connect(int fd, __CONST_SOCKADDR_ARG address, socklen_t len)
{
    if ((errno = choose(CALL_connect, fd)) != 0)
        return -1;
    return REAL(connect)(fd, address, len);
}

/* How a connection under way tells that it has failed. */
int getsockopt(int fd, int level, int option, void *restrict value, socklen_t *restrict len)
{
    int error = level == SOL_SOCKET && option == SO_ERROR ? choose(CALL_getsockopt, fd) : 0;

    if (!error)
        return REAL(getsockopt)(fd, level, option, value, len);
    memcpy(value, &error, sizeof(error));
    return 0;
}

int epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event)
{
    struct epoll_registration *at = registration(fd);
    int result;

    if (operation == EPOLL_CTL_ADD && (errno = choose(CALL_epoll_ctl, fd)) != 0)
        return -1;
    result = REAL(epoll_ctl)(epoll_fd, operation, fd, event);
    if (at && result == 0)
        *at = operation == EPOLL_CTL_DEL ? (struct epoll_registration){0}
                                         : (struct epoll_registration){epoll_fd, *event};
    return result;
}

int epoll_wait(int epoll_fd, struct epoll_event *events, int most, int timeout_ms)
{
    note_loop();
    if ((errno = choose(CALL_epoll_wait, -1)) != 0)
        return -1;
    return REAL(epoll_wait)(epoll_fd, events, most, timeout_ms);
}

/* ---- memory ---- */

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *ptr, size_t bytes);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *ptr, size_t bytes);
char *__wrap_strdup(const char *text);

/* True when memory is to be out for this call. */
static bool refused(enum call call)
{
    int error = choose(call, -1);

    if (error)
        errno = error;
    return error != 0;
}

void *__wrap_malloc(size_t bytes)
{
    return refused(CALL_malloc) ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return refused(CALL_malloc) ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *ptr, size_t bytes)
{
    return refused(CALL_malloc) ? NULL : __real_realloc(ptr, bytes);
}

char *__wrap_strdup(const char *text)
{
    return refused(CALL_malloc) ? NULL : __real_strdup(text);
}

#define FUNCTIONS_OF(library)                                                                      \
    static void *library##_malloc(size_t bytes)                                                    \
    {                                                                                              \
        return refused(CALL_##library) ? NULL : __real_malloc(bytes);                              \
    }

#define REALLOC_OF(library)                                                                        \
    static void *library##_realloc(void *ptr, size_t bytes)                                        \
    {                                                                                              \
        return refused(CALL_##library) ? NULL : __real_realloc(ptr, bytes);                        \
    }

FUNCTIONS_OF(libevent)
REALLOC_OF(libevent)
FUNCTIONS_OF(ares)
REALLOC_OF(ares)
FUNCTIONS_OF(jansson)

/* ---- orders ---- */

static int find_error(const char *name, size_t len)
{
    for (size_t i = 0; i < ERRORS; i++)
        if (strlen(errors[i].name) == len && memcmp(errors[i].name, name, len) == 0)
            return errors[i].error;
    return 0;
}

static int find(const char *const *names, int count, const char *name, size_t len)
{
    for (int i = 0; i < count; i++)
        if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0)
            return i;
    return -1;
}

/* CALL[@SIDE]=ERROR*COUNT[+PASSED] or CALL[@SIDE]=ERROR%PROBABILITY */
static bool read_rule(const char *text, struct rule *rule)
{
    size_t call_len = strcspn(text, "@="), side_len = 0, error_len;
    const char *at = text + call_len, *error;
    int count = 0, passed = 0;
    double probability = 0;

    rule->call = find(call_names, CALLS, text, call_len);
    if (*at == '@') {
        side_len = strcspn(++at, "=");
        rule->side = find(side_names, SIDES, at, side_len);
        at += side_len;
    } else {
        rule->side = ANY_SIDE;
    }
    if (*at != '=')
        return false;
    error = at + 1;
    error_len = strcspn(error, "*%");
    at = error + error_len;
    rule->error = find_error(error, error_len);
    if (*at == '*' && sscanf(at, "*%d+%d", &count, &passed) < 1)
        return false;
    if (*at == '%' && sscanf(at, "%%%lf", &probability) < 1)
        return false;
    rule->chance = (unsigned)(probability * ONE_IN);
    rule->to_pass = passed;
    rule->left = count;
    return rule->call >= 0 && rule->side >= 0 && rule->error != 0 &&
           (count > 0 || rule->chance > 0);
}

/* The rule that cannot be read, or NULL. */
static const char *take_rules(char *text)
{
    unsigned count = 0;
    char *rest;

    for (char *one = strtok_r(text, " ", &rest); one; one = strtok_r(NULL, " ", &rest))
        if (count == RULES || !read_rule(one, &rules[count++]))
            return one;
    atomic_fetch_add(&orders, 1);
    atomic_store_explicit(&rules_count, count, memory_order_release);
    return NULL;
}

static size_t write_counts(char *out, size_t room)
{
    size_t len = (size_t)snprintf(out, room, "{");

    for (int call = 0; call < CALLS; call++)
        for (size_t row = 0; row < ERRORS; row++)
            if (failed[call][row] > 0)
                len += (size_t)snprintf(out + len, room - len, "%s\"%s %s\": %" PRIu64,
                                        len > 1 ? ", " : "", call_names[call], errors[row].name,
                                        failed[call][row]);
    return len + (size_t)snprintf(out + len, room - len, "}");
}

static size_t write_calls(char *out, size_t room)
{
    size_t len = (size_t)snprintf(out, room, "{");

    for (int call = 0; call < CALLS; call++)
        for (int side = 0; side < SIDES; side++)
            if (called[call][side] > 0)
                len += (size_t)snprintf(out + len, room - len, "%s\"%s%s%s\": %" PRIu64,
                                        len > 1 ? ", " : "", call_names[call],
                                        side == ANY_SIDE ? "" : "@", side_names[side],
                                        called[call][side]);
    return len + (size_t)snprintf(out + len, room - len, "}");
}

static size_t obey(char *order, char *out, size_t room)
{
    const char *wrong = NULL;
    int used = 0;
    unsigned number;

    if (strcmp(order, "counts") == 0)
        return write_counts(out, room);
    if (strcmp(order, "calls") == 0)
        return write_calls(out, room);
    atomic_store(&rules_count, 0);
    for (int call = 0; call < CALLS; call++)
        for (int side = 0; side < SIDES; side++)
            called[call][side] = 0;
    if (strncmp(order, "cue ", 4) == 0) {
        wrong = take_rules(order + 4);
    } else if (sscanf(order, "random %u %n", &number, &used) == 1 && used > 0) {
        atomic_store(&seed, number);
        wrong = take_rules(order + used);
    } else if (strcmp(order, "off") != 0) {
        wrong = "not an order";
    }
    return (size_t)snprintf(out, room, wrong ? "{\"wrong\": \"%s\"}" : "{}", wrong);
}

static void *serve_orders(void *arg)
{
    int fd = (int)(intptr_t)arg;
    static char order[4096], answer[16384];
    struct sockaddr_un from;

    for (;;) {
        socklen_t from_len = sizeof(from);
        ssize_t len =
            recvfrom(fd, order, sizeof(order) - 1, 0, (struct sockaddr *)&from, &from_len);

        if (len < 0)
            continue;
        order[len] = '\0';
        sendto(fd, answer, obey(order, answer, sizeof(answer)), 0, (struct sockaddr *)&from,
               from_len);
    }
    return NULL;
}

static void tell_counts(void)
{
    char text[16384];
    size_t len = write_counts(text, sizeof(text));

    fprintf(stderr, "faults injected: %.*s\n", (int)len, text);
}

static void refuse(const char *what)
{
    fprintf(stderr, "weir-faulty: %s: %s\n", what, strerror(errno));
    exit(2);
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("WEIR_FAULTS");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    sigset_t all, before;
    pthread_t thread;
    int fd;

    main_thread = gettid();
    if (!path)
        return;
    event_set_mem_functions(libevent_malloc, libevent_realloc, free);
    ares_library_init_mem(ARES_LIB_INIT_ALL, ares_malloc, free, ares_realloc);
    json_set_alloc_funcs(jansson_malloc, free);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    fd = REAL(socket)(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    unlink(path); /* of one that has been started with it before */
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        refuse(path);
    atexit(tell_counts);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    if ((errno = pthread_create(&thread, NULL, serve_orders, (void *)(intptr_t)fd)) != 0)
        refuse("starting the thread that takes orders");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_detach(thread);
}
