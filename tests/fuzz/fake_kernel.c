/* The calls themselves: symbols of the program come before those of libc, for libevent too. */
#include "tests/fuzz/fake_kernel.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define FIRST_FD 600
#define FDS (FAKE_SOCKETS + 8)
#define WALL_START_US ((int64_t)1700000000 * 1000000)
/* Wake-ups in a row without anything having happened: more is a worker that spins. */
#define SPINS_MOST 20000

/* Above this, small pieces would only take time. */
#define PIECEMEAL_MOST 4096

struct fake_kernel fake_kernel;

struct fake_fd {
    enum {
        FREE,
        EPOLL,
        EVENT,
        TIMER,
        LISTENER,
        SOCKET
    } kind;
    struct fake_socket *socket;
    uint64_t counter;          /* EVENT */
    int64_t due_us, period_us; /* TIMER; 0: it does not run */
    /* its registration */
    bool watched, woken;
    uint32_t events;
    epoll_data_t data;
    uint64_t order; /* of its waking */
};

static struct fake_fd fds[FDS];
static int listener = -1;
static bool running;
static void (*idle)(void);
static uint64_t order;
static unsigned spins;

/* ---- descriptors ---- */

static struct fake_fd *find(int fd)
{
    if (fd < FIRST_FD || fd >= FIRST_FD + FDS || fds[fd - FIRST_FD].kind == FREE)
        return NULL;
    return &fds[fd - FIRST_FD];
}

static int open_fd(int kind)
{
    for (int i = 0; i < FDS; i++) {
        if (fds[i].kind == FREE) {
            fds[i] = (struct fake_fd){.kind = kind};
            return FIRST_FD + i;
        }
    }
    weir_assert(!"more descriptors than sockets");
    return -1;
}

static int fail(int error)
{
    errno = error;
    return -1;
}

static uint32_t socket_readiness(const struct fake_socket *s)
{
    uint32_t ready = 0;
    if (s->connecting)
        return 0;
    bool ended = s->fin && s->arrived == s->given.len;
    if (s->read < s->arrived || ended || s->rst || s->error)
        ready |= EPOLLIN;
    if (s->room > 0 || s->rst || s->error)
        ready |= EPOLLOUT;
    if (ended || s->rst)
        ready |= EPOLLRDHUP;
    if ((ended && s->shut) || s->rst || s->error)
        ready |= EPOLLHUP;
    if (s->error)
        ready |= EPOLLERR;
    return ready;
}

static struct fake_socket *first_in_backlog(void)
{
    for (unsigned i = 0; i < fake_kernel.count; i++) {
        struct fake_socket *s = &fake_kernel.sockets[i];
        if (!s->outgoing && s->fd < 0 && !s->closed)
            return s;
    }
    return NULL;
}

static uint32_t readiness(const struct fake_fd *f)
{
    switch (f->kind) {
    case EVENT:
        return f->counter > 0 ? EPOLLIN | EPOLLOUT : EPOLLOUT;
    case TIMER:
        return f->period_us > 0 && fake_kernel.now_us >= f->due_us ? EPOLLIN : 0;
    case LISTENER:
        return first_in_backlog() != NULL ? EPOLLIN : 0;
    case SOCKET:
        return socket_readiness(f->socket);
    case EPOLL:
    case FREE:
        break;
    }
    return 0;
}

/* Something has happened to it: who watches for edges is told once. */
static void wake_fd(struct fake_fd *f)
{
    if (!f->woken)
        f->order = ++order;
    f->woken = true;
}

static void wake(struct fake_socket *s)
{
    if (s->fd >= 0)
        wake_fd(find(s->fd));
    else if (!s->outgoing && listener >= 0)
        wake_fd(find(listener));
}

/* ---- the peers ---- */

static struct fake_socket *new_socket(void)
{
    struct fake_socket *s;
    if (fake_kernel.count == FAKE_SOCKETS)
        return NULL;
    s = &fake_kernel.sockets[fake_kernel.count++];
    /* The bytes' memory is used again. */
    struct fake_bytes sent = s->sent, given = s->given;
    sent.len = given.len = 0;
    *s = (struct fake_socket){
        .sent = sent, .given = given, .room = SIZE_MAX, .piece = SIZE_MAX, .fd = -1};
    return s;
}

static void add(struct fake_bytes *bytes, const void *more, size_t len)
{
    if (bytes->len + len > bytes->cap) {
        bytes->cap = (bytes->len + len) * 2 + 1024;
        bytes->ptr = realloc(bytes->ptr, bytes->cap);
        weir_assert(bytes->ptr != NULL);
    }
    if (len > 0)
        memcpy(bytes->ptr + bytes->len, more, len);
    bytes->len += len;
}

struct fake_socket *fake_connect(void)
{
    struct fake_socket *s = new_socket();
    if (s != NULL)
        wake(s);
    return s;
}

static bool is_over(const struct fake_socket *s)
{
    return s->closed || s->rst || s->connecting;
}

/* The next piece of what the peer has sent. */
static void arrive(struct fake_socket *s)
{
    size_t waits = s->given.len - s->arrived;
    s->arrived += waits > PIECEMEAL_MOST || waits < s->piece ? waits : s->piece;
    wake(s);
}

static bool more_arrives(void)
{
    bool more = false;
    for (unsigned i = 0; i < fake_kernel.count; i++) {
        struct fake_socket *s = &fake_kernel.sockets[i];
        if (is_over(s) || s->fd < 0 || s->arrived == s->given.len)
            continue;
        arrive(s);
        more = true;
    }
    return more;
}

void fake_send(struct fake_socket *s, const void *bytes, size_t len)
{
    if (is_over(s) || s->fin || len == 0)
        return;
    add(&s->given, bytes, len);
    arrive(s);
}

void fake_fin(struct fake_socket *s)
{
    if (is_over(s) || s->fin)
        return;
    s->fin = true;
    wake(s);
}

void fake_rst(struct fake_socket *s)
{
    if (is_over(s))
        return;
    s->rst = true;
    s->error = ECONNRESET;
    wake(s);
}

void fake_take(struct fake_socket *s, size_t room)
{
    s->room = room;
    if (is_over(s) || room == 0 || !s->nospace)
        return;
    s->nospace = false;
    wake(s);
}

void fake_connected(struct fake_socket *s, int error)
{
    if (!s->connecting)
        return;
    s->connecting = false;
    s->error = error;
    s->rst = error != 0;
    wake(s);
}

/* ---- start and end ---- */

void fake_kernel_start(void (*on_idle)(void))
{
    fake_kernel.count = 0;
    fake_kernel.now_us = (int64_t)1000 * 1000000;
    fake_kernel.next_connect = FAKE_CONNECT_ACCEPTED;
    fake_kernel.no_descriptors = false;
    memset(fds, 0, sizeof fds);
    listener = -1;
    order = spins = 0;
    idle = on_idle;
    running = true;
}

void fake_kernel_end(void)
{
    for (unsigned i = 0; i < FDS; i++)
        weir_assert(fds[i].kind == FREE);
    running = false;
}

int fake_kernel_listener(void)
{
    listener = open_fd(LISTENER);
    return listener;
}

/* ---- time and chance ---- */

int64_t base_clock_mono_us(void)
{
    return fake_kernel.now_us;
}

int64_t base_clock_wall_us(void)
{
    return WALL_START_US + fake_kernel.now_us;
}

void base_clock_step_wall(int64_t ms)
{
    (void)ms; /* one clock stands for both */
}

void base_clock_hold(void)
{
    /* it stands still anyway */
}

void base_clock_advance(int64_t ms)
{
    fake_kernel.now_us += ms * 1000;
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
    bool fake = running && (clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE);
    if (!fake)
        return (int)syscall(SYS_clock_gettime, clock, t);
    t->tv_sec = fake_kernel.now_us / 1000000;
    t->tv_nsec = fake_kernel.now_us % 1000000 * 1000;
    return 0;
}

ssize_t getrandom(void *buffer, size_t len, unsigned flags)
{
    if (!running)
        return syscall(SYS_getrandom, buffer, len, flags);
    for (size_t i = 0; i < len; i++)
        ((uint8_t *)buffer)[i] = (uint8_t)(i * 167 + 13);
    return (ssize_t)len;
}

/* ---- epoll ---- */

int epoll_create1(int flags)
{
    return running ? open_fd(EPOLL) : (int)syscall(SYS_epoll_create1, flags);
}

int epoll_ctl(int epoll, int op, int fd, struct epoll_event *event)
{
    struct fake_fd *f = find(fd);
    if (find(epoll) == NULL)
        return (int)syscall(SYS_epoll_ctl, epoll, op, fd, event);
    if (f == NULL)
        return fail(EBADF);
    if (op == EPOLL_CTL_ADD ? f->watched : !f->watched)
        return fail(op == EPOLL_CTL_ADD ? EEXIST : ENOENT);
    f->watched = op != EPOLL_CTL_DEL;
    if (f->watched) {
        f->events = event->events | EPOLLERR | EPOLLHUP;
        f->data = event->data;
        /* What is ready already is told. */
        f->woken = false;
        wake_fd(f);
    }
    return 0;
}

static struct fake_fd *next_woken(uint64_t before)
{
    struct fake_fd *first = NULL;
    for (unsigned i = 0; i < FDS; i++) {
        struct fake_fd *f = &fds[i];
        if (!f->watched || f->order > before || !(readiness(f) & f->events) ||
            ((f->events & EPOLLET) && !f->woken))
            continue;
        if (first == NULL || f->order < first->order)
            first = f;
    }
    return first;
}

static int collect(struct epoll_event *events, int most)
{
    struct fake_fd *f;
    uint64_t before = order;
    int count = 0;
    while (count < most && (f = next_woken(before)) != NULL) {
        events[count++] = (struct epoll_event){.events = readiness(f) & f->events, .data = f->data};
        f->woken = false;
        f->order = ++order;
    }
    return count;
}

int epoll_wait(int epoll, struct epoll_event *events, int most, int timeout)
{
    int count;
    if (find(epoll) == NULL)
        return (int)syscall(SYS_epoll_wait, epoll, events, most, timeout);
    count = collect(events, most);
    if (count > 0 || timeout == 0) {
        weir_assert(++spins < SPINS_MOST);
        return count;
    }
    spins = 0;
    if (!more_arrives())
        idle();
    return collect(events, most);
}

int eventfd(unsigned counter, int flags)
{
    return running ? open_fd(EVENT) : (int)syscall(SYS_eventfd2, counter, flags);
}

int timerfd_create(clockid_t clock, int flags)
{
    return running ? open_fd(TIMER) : (int)syscall(SYS_timerfd_create, clock, flags);
}

int timerfd_settime(int fd, int flags, const struct itimerspec *to, struct itimerspec *old)
{
    struct fake_fd *f = find(fd);
    if (f == NULL)
        return (int)syscall(SYS_timerfd_settime, fd, flags, to, old);
    weir_assert(f->kind == TIMER && to->it_value.tv_nsec == to->it_interval.tv_nsec);
    f->period_us = to->it_value.tv_nsec / 1000;
    f->due_us = fake_kernel.now_us + f->period_us;
    return 0;
}

int poll(struct pollfd *list, nfds_t count, int timeout)
{
    int ready = 0;
    if (!running)
        return (int)syscall(SYS_poll, list, count, timeout);
    for (nfds_t i = 0; i < count; i++) {
        struct fake_fd *f = find(list[i].fd);
        list[i].revents = 0;
        if (f != NULL)
            list[i].revents = (short)(readiness(f) & ((uint32_t)(unsigned short)list[i].events |
                                                      POLLERR | POLLHUP));
        ready += list[i].revents != 0;
    }
    return ready;
}

/* ---- sockets ---- */

int socket(int domain, int type, int protocol)
{
    struct fake_socket *s;
    if (!running)
        return (int)syscall(SYS_socket, domain, type, protocol);
    if (fake_kernel.no_descriptors || (s = new_socket()) == NULL)
        return fail(EMFILE);
    s->outgoing = true;
    s->fd = open_fd(SOCKET);
    find(s->fd)->socket = s;
    return s->fd;
}

int connect(int fd, const struct sockaddr *address, socklen_t len)
{
    struct fake_fd *f = find(fd);
    if (f == NULL)
        return (int)syscall(SYS_connect, fd, address, len);
    switch (fake_kernel.next_connect) {
    case FAKE_CONNECT_AT_ONCE:
        return 0;
    case FAKE_CONNECT_UNREACHABLE:
        return fail(ENETUNREACH);
    case FAKE_CONNECT_ACCEPTED:
        wake(f->socket);
        return fail(EINPROGRESS);
    case FAKE_CONNECT_REFUSED:
        f->socket->connecting = true;
        fake_connected(f->socket, ECONNREFUSED);
        return fail(EINPROGRESS);
    case FAKE_CONNECT_HANGS:
    case FAKE_CONNECTS:
        break;
    }
    f->socket->connecting = true;
    return fail(EINPROGRESS);
}

int accept4(int fd, struct sockaddr *peer, socklen_t *len, int flags)
{
    struct fake_socket *s;
    if (find(fd) == NULL)
        return (int)syscall(SYS_accept4, fd, peer, len, flags);
    s = first_in_backlog();
    if (s == NULL)
        return fail(EAGAIN);
    if (fake_kernel.no_descriptors)
        return fail(EMFILE);
    s->fd = open_fd(SOCKET);
    find(s->fd)->socket = s;
    *(struct sockaddr_in *)peer = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(1000), .sin_addr = {htonl(0x7f000001)}};
    *len = sizeof(struct sockaddr_in);
    return s->fd;
}

static ssize_t take_error(struct fake_socket *s, int after)
{
    int error = s->error ? s->error : after;
    s->error = 0;
    return error ? fail(error) : 0;
}

ssize_t recv(int fd, void *buffer, size_t cap, int flags)
{
    struct fake_fd *f = find(fd);
    struct fake_socket *s;
    size_t n;
    if (f == NULL)
        return syscall(SYS_recvfrom, fd, buffer, cap, flags, NULL, NULL);
    s = f->socket;
    n = s->arrived - s->read;
    if (n == 0) {
        if (s->rst)
            return take_error(s, 0);
        return s->fin && s->arrived == s->given.len ? 0 : fail(EAGAIN);
    }
    n = n < cap ? n : cap;
    memcpy(buffer, s->given.ptr + s->read, n);
    if (!(flags & MSG_PEEK))
        s->read += n;
    return (ssize_t)n;
}

static ssize_t send_vectors(struct fake_socket *s, const struct iovec *list, size_t count)
{
    size_t sent = 0;
    weir_assert(!s->connecting);
    if (s->rst || s->shut)
        return take_error(s, EPIPE);
    for (size_t i = 0; i < count; i++) {
        size_t n = list[i].iov_len < s->room ? list[i].iov_len : s->room;
        add(&s->sent, list[i].iov_base, n);
        sent += n;
        if (s->room != SIZE_MAX)
            s->room -= n;
        if (n < list[i].iov_len) {
            s->nospace = true;
            break;
        }
    }
    return sent > 0 || !s->nospace ? (ssize_t)sent : fail(EAGAIN);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct fake_fd *f = find(fd);
    if (f == NULL)
        return syscall(SYS_sendmsg, fd, message, flags);
    return send_vectors(f->socket, message->msg_iov, message->msg_iovlen);
}

ssize_t send(int fd, const void *bytes, size_t len, int flags)
{
    struct iovec piece = {(void *)bytes, len};
    return sendmsg(fd, &(struct msghdr){.msg_iov = &piece, .msg_iovlen = 1}, flags);
}

ssize_t writev(int fd, const struct iovec *list, int count)
{
    struct fake_fd *f = find(fd);
    if (f == NULL)
        return syscall(SYS_writev, fd, list, count);
    return send_vectors(f->socket, list, (size_t)count);
}

ssize_t read(int fd, void *buffer, size_t cap)
{
    struct fake_fd *f = find(fd);
    if (f == NULL)
        return syscall(SYS_read, fd, buffer, cap);
    weir_assert((f->kind == EVENT || f->kind == TIMER) && cap == sizeof(f->counter));
    if (f->kind == TIMER && readiness(f)) {
        f->counter = 1 + (uint64_t)((fake_kernel.now_us - f->due_us) / f->period_us);
        f->due_us += (int64_t)f->counter * f->period_us;
    }
    if (f->counter == 0)
        return fail(EAGAIN);
    memcpy(buffer, &f->counter, sizeof(f->counter));
    f->counter = 0;
    return sizeof(f->counter);
}

ssize_t write(int fd, const void *bytes, size_t len)
{
    struct fake_fd *f = find(fd);
    uint64_t more;
    if (f == NULL)
        return syscall(SYS_write, fd, bytes, len);
    weir_assert(f->kind == EVENT && len == sizeof(more));
    memcpy(&more, bytes, sizeof(more));
    f->counter += more;
    wake_fd(f);
    return (ssize_t)len;
}

int shutdown(int fd, int how)
{
    struct fake_fd *f = find(fd);
    if (f == NULL)
        return (int)syscall(SYS_shutdown, fd, how);
    weir_assert(how == SHUT_WR);
    f->socket->shut = true;
    wake(f->socket);
    return 0;
}

int close(int fd)
{
    struct fake_fd *f = find(fd);
    if (f == NULL) {
        /* Closed twice. */
        weir_assert(!running || fd < FIRST_FD || fd >= FIRST_FD + FDS);
        return (int)syscall(SYS_close, fd);
    }
    if (f->kind == SOCKET) {
        struct fake_socket *s = f->socket;
        s->closed = true;
        s->reset |= s->read < s->arrived;
        s->fd = -1;
    }
    if (f->kind == LISTENER)
        listener = -1;
    f->kind = FREE;
    f->watched = false;
    return 0;
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
    struct fake_fd *f = find(fd);
    if (f == NULL)
        return (int)syscall(SYS_setsockopt, fd, level, name, value, len);
    if (level == SOL_SOCKET && name == SO_LINGER)
        f->socket->reset = ((const struct linger *)value)->l_onoff;
    return 0;
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
    struct fake_fd *f = find(fd);
    if (f == NULL)
        return (int)syscall(SYS_getsockopt, fd, level, name, value, len);
    weir_assert(level == SOL_SOCKET && name == SO_ERROR && *len == sizeof(int));
    *(int *)value = f->socket->error;
    f->socket->error = 0;
    return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list args;
    va_start(args, request);
    void *argument = va_arg(args, void *);
    va_end(args);
    if (find(fd) == NULL)
        return (int)syscall(SYS_ioctl, fd, request, argument);
    /* The peer has acknowledged what the socket took. */
    weir_assert(request == SIOCOUTQ);
    *(int *)argument = 0;
    return 0;
}
