/*
 * The access log: one line per finished request, off the request path.
 *
 * The request machine calls access_log_write() on its worker's thread: the line is made in the
 * worker's own ring (one producer, one consumer) and is there to be read with the store that moves
 * `head`. A thread of the log's own writes whole lines from all rings to the file. A worker makes a
 * system call only to wake that thread when it sleeps, and never waits: what does not fit is
 * dropped and counted.
 *
 *   writer: IDLE (until a line comes) -> writes -> NAPPING (NAP_MS, or until a ring is half full)
 * -> writes ... -> nothing left -> IDLE
 */
#include "proxy/accesslog.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define ACCESS_LOG_MAGIC 0x41434c47u
#define RING_BYTES ((size_t)1 << 20)
#define NAP_MS 50
#define CLOSE_PATIENCE_S 5
/* A longer value of the client's is cut. */
#define TARGET_BYTES 8192u
#define VALUE_BYTES 2048u

_Static_assert((RING_BYTES & (RING_BYTES - 1)) == 0, "positions wrap by a mask");

struct access_ring {
    /* fixed after access_log_open() */
    struct access_log *log; /* borrowed */
    char *bytes;            /* owned; RING_BYTES */
    enum conf_log_format format;
    /* owner: the worker's thread */
    int64_t time_s; /* of time_text */
    char time_text[ACCESS_TIME_BYTES];
    char line[ACCESS_LINE_BYTES];
    /* positions grow for ever; head - tail bytes are there to be written */
    _Alignas(64) atomic_size_t head; /* written by the worker */
    _Alignas(64) atomic_size_t tail; /* written by the writer */
    atomic_uint_fast64_t
        lost; /* lines that the file did not take, not yet in the worker's counter */
};

enum writer_state {
    WRITER_AWAKE,
    WRITER_NAPPING,
    WRITER_IDLE
};

struct access_log {
    unsigned magic;
    /* fixed after access_log_open() */
    int fd;
    bool own_fd;
    const char *path;  /* borrowed from conf */
    struct conf *conf; /* reference */
    int wake_fd;
    struct access_ring *rings; /* owned; one per worker */
    unsigned rings_count;
    pthread_t thread;
    /* owner: the writer */
    bool failing;  /* the last write failed; told once */
    bool mid_line; /* it failed inside a line */
    /* atomics */
    _Atomic enum writer_state writer;
    atomic_bool closing;
};

/* ---- writer's thread ---- */

static uint64_t count_lines(const struct iovec *pieces, unsigned count)
{
    uint64_t lines = 0;

    for (unsigned i = 0; i < count; i++) {
        const char *at = pieces[i].iov_base, *end = at + pieces[i].iov_len;

        while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
            lines++;
            at++;
        }
    }
    return lines;
}

static void skip(struct iovec *pieces, size_t bytes)
{
    for (; bytes > 0; pieces++) {
        size_t taken = bytes < pieces->iov_len ? bytes : pieces->iov_len;

        pieces->iov_base = (char *)pieces->iov_base + taken;
        pieces->iov_len -= taken;
        bytes -= taken;
    }
}

/* Writes all pieces, waiting where it must; false with errno, and pieces shows what is left. */
static bool write_all(struct access_log *log, struct iovec *pieces, unsigned count, size_t len)
{
    while (len > 0) {
        ssize_t written = writev(log->fd, pieces, (int)count);

        if (written >= 0) {
            skip(pieces, (size_t)written);
            len -= (size_t)written;
        } else if (errno == EAGAIN) {
            poll(&(struct pollfd){.fd = log->fd, .events = POLLOUT}, 1, -1);
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

static void note_failure(struct access_log *log, struct access_ring *ring, const struct iovec *left,
                         unsigned count, bool partly)
{
    if (!log->failing)
        log_error("writing the access log to %s: %s; lines are lost until it works again",
                  log->path, strerrordesc_np(errno));
    log->failing = true;
    log->mid_line |= partly;
    atomic_fetch_add(&ring->lost, count_lines(left, count));
}

/* Begins a new line behind a piece of one. */
static bool mend(struct access_log *log)
{
    if (log->mid_line && write(log->fd, "\n", 1) == 1)
        log->mid_line = false;
    return !log->mid_line;
}

/* Everything that is in the ring by now; false when there was nothing. */
static bool write_ring(struct access_log *log, struct access_ring *ring)
{
    size_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed),
           head = atomic_load(&ring->head);
    size_t len = head - tail, at = tail & (RING_BYTES - 1), first = RING_BYTES - at;
    struct iovec pieces[2];

    if (len == 0)
        return false;
    if (first > len)
        first = len;
    pieces[0] = (struct iovec){ring->bytes + at, first};
    pieces[1] = (struct iovec){ring->bytes, len - first};
    if (mend(log) && write_all(log, pieces, 2, len)) {
        if (log->failing)
            log_warn("writing the access log to %s works again", log->path);
        log->failing = false;
    } else {
        note_failure(log, ring, pieces, 2, pieces[0].iov_len + pieces[1].iov_len < len);
    }
    atomic_store_explicit(&ring->tail, head, memory_order_release);
    return true;
}

static bool write_rings(struct access_log *log)
{
    bool any = false;

    for (unsigned i = 0; i < log->rings_count; i++)
        any |= write_ring(log, &log->rings[i]);
    return any;
}

static bool has_lines(const struct access_log *log)
{
    for (unsigned i = 0; i < log->rings_count; i++)
        if (atomic_load(&log->rings[i].head) !=
            atomic_load_explicit(&log->rings[i].tail, memory_order_relaxed))
            return true;
    return false;
}

/* Until it is woken, or for so long. */
static void sleep_as(struct access_log *log, enum writer_state state, int timeout_ms)
{
    struct pollfd wake = {.fd = log->wake_fd, .events = POLLIN};
    uint64_t count;

    atomic_store(&log->writer, state);
    /* A worker that saw AWAKE woke nobody: look again now that it would. */
    if (state == WRITER_NAPPING || !has_lines(log))
        if (!atomic_load(&log->closing) && poll(&wake, 1, timeout_ms) > 0)
            (void)!read(log->wake_fd, &count, sizeof(count));
    atomic_store(&log->writer, WRITER_AWAKE);
}

static void *writer_main(void *arg)
{
    struct access_log *log = arg;

    weir_check_magic(log, ACCESS_LOG_MAGIC);
    pthread_setname_np(pthread_self(), "weir-accesslog");
    for (;;) {
        bool closing = atomic_load(&log->closing);

        if (write_rings(log))
            sleep_as(log, WRITER_NAPPING, NAP_MS);
        else if (closing)
            return NULL;
        else
            sleep_as(log, WRITER_IDLE, -1);
    }
}

/* ---- workers' threads ---- */

static void wake(struct access_log *log, enum writer_state from)
{
    uint64_t one = 1;

    /* Whoever makes it awake is the one that calls. */
    if (atomic_load(&log->writer) == from &&
        atomic_compare_exchange_strong(&log->writer, &from, WRITER_AWAKE))
        (void)!write(log->wake_fd, &one, sizeof(one));
}

static bool ring_put(struct access_ring *ring, struct str line)
{
    size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    size_t used = head - atomic_load_explicit(&ring->tail, memory_order_acquire);
    size_t at = head & (RING_BYTES - 1), first = RING_BYTES - at;

    if (line.len > RING_BYTES - used)
        return false;
    if (first > line.len)
        first = line.len;
    memcpy(ring->bytes + at, line.ptr, first);
    memcpy(ring->bytes, line.ptr + first, line.len - first);
    atomic_store(&ring->head, head + line.len);
    wake(ring->log, WRITER_IDLE);
    if (used + line.len > RING_BYTES / 2)
        wake(ring->log, WRITER_NAPPING);
    return true;
}

static struct str cut(struct str value, size_t most)
{
    return value.len > most ? str_of(value.ptr, most) : value;
}

static struct str request_field(const struct request *request, enum field_id id)
{
    const struct field *field = fields_first(http1_fields(request->head), id);

    return field ? cut(field_value(field), VALUE_BYTES) : str_of(NULL, 0);
}

static const char *cache_word(enum outcome outcome)
{
    static const char *const words[OUTCOMES] = {
        [OUTCOME_HIT] = "hit",
        [OUTCOME_MISS] = "miss",
        [OUTCOME_STALE] = "stale",
        [OUTCOME_REVALIDATED] = "revalidated",
        [OUTCOME_COALESCED] = "coalesced",
        [OUTCOME_PASS] = "pass",
        [OUTCOME_LOCAL] = "local",
    };

    weir_assert((unsigned)outcome < OUTCOMES && words[outcome]);
    return words[outcome];
}

void access_log_write(struct worker *worker, const struct request *request, int64_t now_us)
{
    struct access_ring *ring = worker->access;
    const struct http1_head *head = request->head;
    struct appender out = appender_on(ring->line, sizeof(ring->line));
    int64_t wall_ms = base_clock_wall_us() / 1000;
    char client[NET_ADDRESS_TEXT];
    struct access_entry entry = {
        .client = client,
        .method = cut(head->method_name, VALUE_BYTES),
        .host = cut(head->authority, VALUE_BYTES),
        .target = cut(head->target, TARGET_BYTES),
        .minor = head->minor,
        .status = request->status,
        .bytes = request->sent_bytes,
        .cache = cache_word(request->outcome),
        .ttl_s = request->ttl_s,
        .route = request->route ? request->route->name : NULL,
        .upstream = request->upstream_address,
        .total_us = now_us > request->started_us ? now_us - request->started_us : 0,
        .retries = request->retries,
        .user_agent = request_field(request, FIELD_USER_AGENT),
        .referer = request_field(request, FIELD_REFERER),
    };
    uint64_t lost;

    net_address_text(request->peer, client);
    if (wall_ms / 1000 != ring->time_s) {
        ring->time_s = wall_ms / 1000;
        access_format_time(ring->format, ring->time_s, ring->time_text);
    }
    access_format_line(ring->format, &entry, ring->time_text, (unsigned)(wall_ms % 1000), &out);
    weir_assert(!out.overflow);
    if (!ring_put(ring, str_of(out.ptr, out.len)))
        cell_add(&worker->stats.log_dropped, 1);
    if (weir_unlikely(atomic_load_explicit(&ring->lost, memory_order_relaxed) > 0)) {
        lost = atomic_exchange(&ring->lost, 0);
        cell_add(&worker->stats.log_dropped, lost);
    }
}

/* ---- main thread ---- */

static int open_target(const struct conf *conf, bool *own)
{
    *own = strcmp(conf->access_log_path, "stdout") != 0;
    if (!*own)
        return STDOUT_FILENO;
    return open(conf->access_log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0644);
}

static void destroy(struct access_log *log)
{
    for (unsigned i = 0; i < log->rings_count; i++)
        free(log->rings[i].bytes);
    free(log->rings);
    if (log->own_fd && log->fd >= 0)
        close(log->fd);
    if (log->wake_fd >= 0)
        close(log->wake_fd);
    conf_release(&log->conf);
    log->magic = 0;
    free(log);
}

static struct access_ring *make_rings(struct access_log *log, unsigned count)
{
    struct access_ring *rings = aligned_alloc(64, count * sizeof(*rings));

    weir_assert(rings);
    memset(rings, 0, count * sizeof(*rings));
    for (unsigned i = 0; i < count; i++) {
        rings[i].log = log;
        rings[i].bytes = base_alloc(RING_BYTES);
        rings[i].format = log->conf->access_log_format;
        rings[i].time_s = INT64_MIN;
    }
    return rings;
}

/* False with errno. */
static bool start_writer(struct access_log *log)
{
    sigset_t all, old;

    sigfillset(&all);
    sigdelset(&all, SIGPROF);               /* samples the thread that computes */
    pthread_sigmask(SIG_BLOCK, &all, &old); /* the others are the main thread's */
    errno = pthread_create(&log->thread, NULL, writer_main, log);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return errno == 0;
}

struct access_log *access_log_open(const struct conf *conf, unsigned workers, const char **why)
{
    struct access_log *log;
    bool own_fd;
    int fd, wake_fd;

    *why = NULL;
    if (conf->access_log_format == CONF_LOG_NONE)
        return NULL;
    wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    fd = wake_fd < 0 ? -1 : open_target(conf, &own_fd);
    if (fd < 0) {
        *why = strerrordesc_np(errno);
        if (wake_fd >= 0)
            close(wake_fd);
        return NULL;
    }
    log = base_alloc_zero(sizeof(*log));
    log->magic = ACCESS_LOG_MAGIC;
    log->conf = conf_ref((struct conf *)conf);
    log->path = conf->access_log_path;
    log->fd = fd;
    log->own_fd = own_fd;
    log->wake_fd = wake_fd;
    log->rings = make_rings(log, workers);
    log->rings_count = workers;
    if (!start_writer(log)) {
        *why = strerrordesc_np(errno);
        destroy(log);
        return NULL;
    }
    return log;
}

struct access_ring *access_log_ring(struct access_log *log, unsigned worker)
{
    if (!log)
        return NULL;
    weir_assert(log->magic == ACCESS_LOG_MAGIC && worker < log->rings_count);
    return &log->rings[worker];
}

void access_log_close(struct access_log **log)
{
    struct access_log *gone = weir_take(log);
    struct timespec until;
    uint64_t one = 1;

    if (!gone)
        return;
    weir_check_magic(gone, ACCESS_LOG_MAGIC);
    atomic_store(&gone->closing, true);
    (void)!write(gone->wake_fd, &one, sizeof(one));
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += CLOSE_PATIENCE_S;
    if (pthread_timedjoin_np(gone->thread, NULL, &until) != 0) {
        /* It stands in a write that nobody can end: it keeps what it uses, and ends with the
         * process. */
        log_warn("writing the last lines of the access log to %s: nobody takes them; giving up",
                 gone->path);
        pthread_detach(gone->thread);
        return;
    }
    destroy(gone);
}
