/*
 * The access log, one line per finished request, and the slow log, one per request that took too
 * long: both off the request path.
 *
 * The request machine calls access_log_write() on its worker's thread: the line is made by the
 * worker's pen and put into a ring (one for each worker and file; one producer, one consumer), and
 * is there to be read with the store that moves `head`. One thread of the logs' own writes whole
 * lines from all rings to the files, and opens them anew when asked to. A worker makes a system
 * call only to wake that thread when it sleeps, and never waits: what does not fit is dropped and
 * counted.
 *
 *   writer: IDLE (until a line comes) -> writes -> NAPPING (NAP_MS, or until a ring is half full)
 * -> writes ... -> nothing left -> IDLE; a file that does not take more (a pipe) is tried again
 * after each nap, or as soon as it does, and holds up nobody but itself
 */
#include "proxy/accesslog.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define ACCESS_LOG_MAGIC 0x41434c47u
#define ACCESS_RING_BYTES ((size_t)1 << 20)
#define SLOW_RING_BYTES ((size_t)1 << 18)
#define NAP_MS 50
#define CLOSE_PATIENCE_S 5
_Static_assert(SLOW_RING_BYTES >= ACCESS_LINE_BYTES, "every line fits");

struct access_ring {
    /* fixed after access_log_open() */
    char *bytes; /* owned; `size` of them, a power of two */
    size_t size;
    enum conf_log_format format;
    /* owner: the worker's thread */
    int64_t second_us; /* when the second of `time` began, by the monotonic clock */
    struct str time;
    char time_text[ACCESS_TIME_BYTES];
    /* positions grow for ever; head - tail bytes are there to be written */
    _Alignas(64) atomic_size_t head; /* written by the worker */
    cell put, overrun;               /* lines put into it, and that found no room; by the worker */
    _Alignas(64) atomic_size_t tail; /* written by the writer */
    cell written, lost;              /* lines that the file has taken, has not; by the writer */
};

struct log_file {
    /* fixed after access_log_open() */
    const char *what;
    const char *path;
    struct access_ring *rings; /* owned; one per worker; NULL when there is no such log */
    /* owner: the writer */
    int fd;
    bool own_fd;
    bool line_by_line; /* shared with the error log's lines */
    unsigned turn;     /* the ring that is written or comes next */
    bool blocked;      /* it takes no more for now */
    bool failing;      /* the last write failed; told once */
    bool mid_line;     /* what was written last has no newline */
    bool torn;         /* ... and its rest never comes */
    /* owner: main thread */
    uint64_t told; /* of the lines that found no room */
};

enum writer_state {
    WRITER_AWAKE,
    WRITER_NAPPING,
    WRITER_IDLE
};

/* Where a worker's lines are made. */
struct access_pen {
    struct access_log *log; /* borrowed */
    struct access_ring *access, *slow;
    uint64_t slow_us;
    in_addr_t client_ip; /* of `client`; 0: none yet */
    struct str client;
    char client_text[NET_ADDRESS_TEXT];
    char line[ACCESS_LINE_BYTES];
};

enum {
    ACCESS_FILE,
    SLOW_FILE,
    LOG_FILES
};

struct access_log {
    unsigned magic;
    /* fixed after access_log_open() */
    struct log_file files[LOG_FILES];
    struct conf *conf;        /* reference */
    struct str *route_names;  /* owned, with their text; escaped for JSON */
    struct access_pen **pens; /* owned; one per worker */
    unsigned workers;
    int wake_fd;
    pthread_t thread;
    /* atomics */
    _Atomic enum writer_state writer;
    atomic_bool closing, reopen;
};

/* ---- writer's thread: one file ---- */

static uint64_t count_lines(const struct iovec *pieces, size_t len)
{
    uint64_t lines = 0;

    for (; len > 0; pieces++) {
        const char *at = pieces->iov_base;
        size_t left = len < pieces->iov_len ? len : pieces->iov_len;

        for (const char *end = at + left; (at = memchr(at, '\n', (size_t)(end - at))); at++)
            lines++;
        len -= left;
    }
    return lines;
}

/* What is in the ring by now, in at most two pieces. */
static size_t look_into(const struct access_ring *ring, struct iovec pieces[2])
{
    size_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    size_t len = atomic_load(&ring->head) - tail, at = tail & (ring->size - 1);
    size_t first = ring->size - at < len ? ring->size - at : len;

    pieces[0] = (struct iovec){ring->bytes + at, first};
    pieces[1] = (struct iovec){ring->bytes, len - first};
    return len;
}

static void move_tail(struct access_ring *ring, size_t len)
{
    atomic_store_explicit(&ring->tail,
                          atomic_load_explicit(&ring->tail, memory_order_relaxed) + len,
                          memory_order_release);
}

/* Up to the end of the first line. */
static size_t first_line(const struct iovec pieces[2])
{
    const char *end = memchr(pieces[0].iov_base, '\n', pieces[0].iov_len);

    if (end)
        return (size_t)(end + 1 - (const char *)pieces[0].iov_base);
    end = memchr(pieces[1].iov_base, '\n', pieces[1].iov_len);
    weir_assert(end);
    return pieces[0].iov_len + (size_t)(end + 1 - (const char *)pieces[1].iov_base);
}

static void lose(struct access_ring *ring, const struct iovec pieces[2], size_t len)
{
    cell_add(&ring->lost, count_lines(pieces, len));
    move_tail(ring, len);
}

/* The ring was empty after so many lines. Looking for their ends would cost more than making them. */
static void count_written(struct access_ring *ring, uint64_t put)
{
    uint64_t taken = put - cell_read(&ring->lost);

    /* A line may be lost before the worker has counted it. */
    if ((int64_t)(taken - cell_read(&ring->written)) > 0)
        atomic_store_explicit(&ring->written, taken, memory_order_relaxed);
}

static void note_failure(struct log_file *file)
{
    static struct log_kind kind = {.level = LOG_ERROR_LEVEL, .what = "writing logs of requests"};

    if (!file->failing)
        log_write_paced(&kind, worker_mono_ms(),
                        "writing the %s to %s: %s; lines are lost until it works again", file->what,
                        file->path, strerrordesc_np(errno));
    file->failing = true;
    file->torn = file->mid_line;
}

static void note_success(struct log_file *file)
{
    static struct log_kind kind = {.level = LOG_WARN_LEVEL,
                                   .what = "writing logs of requests again"};

    if (file->failing)
        log_write_paced(&kind, worker_mono_ms(), "writing the %s to %s works again", file->what,
                        file->path);
    file->failing = false;
}

/* Once; as write(), with all pieces. A piece of a line that was left alone gets its end first. */
static ssize_t write_some(struct log_file *file, const struct iovec pieces[2])
{
    struct iovec line[2] = {pieces[0], pieces[1]};
    size_t len;

    if (file->torn) {
        if (write(file->fd, "\n", 1) != 1)
            return -1;
        file->torn = file->mid_line = false;
    }
    if (file->line_by_line) {
        len = first_line(pieces);
        if (line[0].iov_len > len)
            line[0].iov_len = len;
        line[1].iov_len = len - line[0].iov_len;
    }
    return writev(file->fd, line, 2);
}

/* False when there was nothing, or the file takes nothing. */
static bool write_ring(struct log_file *file, struct access_ring *ring)
{
    /* Read before the ring is looked into: so many lines are in it at least. */
    uint64_t put = atomic_load_explicit(&ring->put, memory_order_acquire);
    struct iovec pieces[2];
    bool any = false;
    size_t len;

    while ((len = look_into(ring, pieces)) > 0) {
        ssize_t done = write_some(file, pieces);

        if (done > 0) {
            size_t at = (size_t)done - 1;
            const char *last = at < pieces[0].iov_len
                                   ? (const char *)pieces[0].iov_base + at
                                   : (const char *)pieces[1].iov_base + (at - pieces[0].iov_len);

            file->mid_line = *last != '\n';
            move_tail(ring, (size_t)done);
            any = true;
            if ((size_t)done < len)
                continue;
            note_success(file);
            count_written(ring, put);
            return true; /* what has come meanwhile can wait for more */
        }
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0 && errno == EAGAIN) {
            file->blocked = true;
            return any;
        }
        note_failure(file);
        lose(ring, pieces, len);
        return true;
    }
    count_written(ring, put);
    return any;
}

/* Begins with the ring that it stopped at, maybe within a line. */
static bool write_file(struct log_file *file, unsigned rings)
{
    bool any = false;

    file->blocked = false;
    for (unsigned i = 0; i < rings; i++) {
        any |= write_ring(file, &file->rings[file->turn]);
        if (file->blocked)
            break;
        file->turn = (file->turn + 1) % rings;
    }
    return any;
}

/* ---- opening: main thread at the start, then the writer ---- */

/* Whether what is there already lacks a newline: a file on disk tells, of others it is known how
 * Weir left them. */
static bool ends_mid_line(int fd, const char *path, bool left_mid_line)
{
    struct stat st;
    char last = '\n';
    int reader;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return left_mid_line;
    if (st.st_size == 0)
        return false;
    reader = open(path, O_RDONLY | O_CLOEXEC);
    if (reader < 0)
        return false;
    if (pread(reader, &last, 1, st.st_size - 1) != 1)
        last = '\n';
    close(reader);
    return last != '\n';
}

/* False with errno. */
static bool open_file(struct log_file *file, int more_flags)
{
    int fd =
        open(file->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | more_flags, 0644);

    if (fd < 0)
        return false;
    fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK); /* a pipe that is full holds up only itself */
    file->torn = ends_mid_line(fd, file->path, file->mid_line);
    if (file->own_fd)
        close(file->fd);
    file->fd = fd;
    file->own_fd = true;
    return true;
}

/* The rest of a line that the file before did not take is not for the next one. */
static void lose_rest_of_line(struct log_file *file)
{
    struct access_ring *ring = &file->rings[file->turn];
    struct iovec pieces[2];

    if (look_into(ring, pieces) > 0)
        lose(ring, pieces, first_line(pieces));
}

static void reopen(struct log_file *file)
{
    struct stat before, after;
    bool known = fstat(file->fd, &before) == 0, within_line = file->mid_line && !file->torn;

    if (!file->own_fd)
        return;
    if (!open_file(file, O_NONBLOCK)) {
        log_error("reopening the %s %s: %s; the file that was open stays in use", file->what,
                  file->path, strerrordesc_np(errno));
        return;
    }
    if (within_line)
        lose_rest_of_line(file);
    file->mid_line = file->torn;
    file->blocked = file->failing = false;
    if (known && fstat(file->fd, &after) == 0 && before.st_dev == after.st_dev &&
        before.st_ino == after.st_ino)
        log_info("reopened the %s %s: still the same file", file->what, file->path);
    else
        log_info("reopened the %s %s", file->what, file->path);
}

/* ---- writer's thread: all files ---- */

static bool write_files(struct access_log *log)
{
    bool any = false;

    for (unsigned i = 0; i < LOG_FILES; i++)
        if (log->files[i].rings)
            any |= write_file(&log->files[i], log->workers);
    return any;
}

static void reopen_files(struct access_log *log)
{
    for (unsigned i = 0; i < LOG_FILES; i++)
        if (log->files[i].rings)
            reopen(&log->files[i]);
}

static bool is_blocked(const struct access_log *log)
{
    return log->files[ACCESS_FILE].blocked || log->files[SLOW_FILE].blocked;
}

static bool has_lines(const struct access_log *log)
{
    for (unsigned i = 0; i < LOG_FILES; i++)
        for (unsigned w = 0; log->files[i].rings && w < log->workers; w++)
            if (atomic_load(&log->files[i].rings[w].head) !=
                atomic_load_explicit(&log->files[i].rings[w].tail, memory_order_relaxed))
                return true;
    return false;
}

/* Until it is woken, a file that was full takes more, or for so long. */
static void sleep_as(struct access_log *log, enum writer_state state, int timeout_ms)
{
    struct pollfd watched[LOG_FILES + 1] = {{.fd = log->wake_fd, .events = POLLIN}};
    uint64_t count;

    for (unsigned i = 0; i < LOG_FILES; i++)
        watched[i + 1] =
            (struct pollfd){.fd = log->files[i].blocked ? log->files[i].fd : -1, .events = POLLOUT};
    atomic_store(&log->writer, state);
    /* A worker that saw AWAKE woke nobody: look again now that it would. */
    if (state == WRITER_NAPPING || !has_lines(log))
        if (poll(watched, weir_count(watched), timeout_ms) > 0 && watched[0].revents)
            (void)!read(log->wake_fd, &count, sizeof(count));
    atomic_store(&log->writer, WRITER_AWAKE);
}

static void give_up(struct access_log *log)
{
    for (unsigned i = 0; i < LOG_FILES; i++) {
        struct log_file *file = &log->files[i];
        uint64_t lines = 0;

        for (unsigned w = 0; file->rings && w < log->workers; w++) {
            struct iovec pieces[2];

            lines += count_lines(pieces, look_into(&file->rings[w], pieces));
        }
        if (lines > 0)
            log_warn("writing the last lines of the %s to %s: nobody takes them; giving up, %llu "
                     "lines are lost",
                     file->what, file->path, (unsigned long long)lines);
    }
}

static void *writer_main(void *arg)
{
    struct access_log *log = arg;
    int64_t closing_us = 0;

    weir_check_magic(log, ACCESS_LOG_MAGIC);
    pthread_setname_np(pthread_self(), "weir-accesslog");
    for (;;) {
        bool closing = atomic_load(&log->closing), asked = atomic_exchange(&log->reopen, false);
        bool any = write_files(log); /* lines of before go to the file of before */

        if (asked)
            reopen_files(log);
        if (closing && closing_us == 0)
            closing_us = base_clock_mono_us();
        if (closing && !any && !is_blocked(log))
            return NULL;
        if (closing && base_clock_mono_us() - closing_us > CLOSE_PATIENCE_S * 1000000) {
            give_up(log);
            return NULL;
        }
        if (closing && !is_blocked(log))
            continue;
        if (any || asked || is_blocked(log))
            sleep_as(log, WRITER_NAPPING, NAP_MS);
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

/* Where a line is to be made: in the ring, if there the longest one has room in one piece. */
static char *place_for_line(struct access_pen *pen, const struct access_ring *ring)
{
    size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    size_t used = head - atomic_load_explicit(&ring->tail, memory_order_acquire);
    size_t at = head & (ring->size - 1);

    if (weir_likely(ring->size - at >= ACCESS_LINE_BYTES && ring->size - used >= ACCESS_LINE_BYTES))
        return ring->bytes + at;
    return pen->line;
}

static void ring_put(struct access_log *log, struct access_ring *ring, const char *line, size_t len)
{
    size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    size_t used = head - atomic_load_explicit(&ring->tail, memory_order_acquire);
    size_t at = head & (ring->size - 1), first = ring->size - at;

    if (weir_unlikely(len > ring->size - used)) {
        cell_add(&ring->overrun, 1);
        return;
    }
    if (weir_likely(line == ring->bytes + at)) {
        /* made there */
    } else if (first >= len) {
        memcpy(ring->bytes + at, line, len);
    } else {
        memcpy(ring->bytes + at, line, first);
        memcpy(ring->bytes, line + first, len - first);
    }
    atomic_store(&ring->head, head + len);
    atomic_store_explicit(&ring->put, cell_read(&ring->put) + 1, memory_order_release);
    wake(log, WRITER_IDLE);
    if (weir_unlikely(used + len > ring->size / 2))
        wake(log, WRITER_NAPPING);
}

/* As Cache-Status tells it. */
static struct str reason(const struct request *request)
{
    return str_from(request->detail ? request->detail : request->forward);
}

static struct str end_word(const struct request *request)
{
    if (weir_unlikely(request->client_gone))
        return STR("client-gone");
    return request->whole_sent || request->tunnel_ended ? STR("whole") : STR("cut");
}

static void find_fields(const struct request *request, struct access_entry *entry)
{
    struct fields fields = http1_fields(request->head);

    for (unsigned i = fields.count; i-- > 0;) { /* the first of each counts */
        if (fields.list[i].id == FIELD_USER_AGENT)
            entry->user_agent = field_value(&fields.list[i]);
        else if (fields.list[i].id == FIELD_REFERER)
            entry->referer = field_value(&fields.list[i]);
    }
}

/* Mostly the one of the request before. */
static struct str client_text(struct access_pen *pen, const struct sockaddr *peer)
{
    in_addr_t ip =
        peer->sa_family == AF_INET ? ((const struct sockaddr_in *)peer)->sin_addr.s_addr : 0;

    if (weir_unlikely(ip == 0 || ip != pen->client_ip)) {
        net_address_text(peer, pen->client_text);
        pen->client = str_from(pen->client_text);
        pen->client_ip = ip;
    }
    return pen->client;
}

/* The clock of the day is asked once a second; the monotonic one goes on from there. */
static struct str time_text(struct access_ring *ring, int64_t now_us)
{
    if (weir_unlikely((uint64_t)(now_us - ring->second_us) >= 1000000)) {
        int64_t wall_us = base_clock_wall_us() - (base_clock_mono_us() - now_us);

        ring->second_us = now_us - wall_us % 1000000;
        ring->time = access_format_time(ring->format, wall_us / 1000000, ring->time_text);
    }
    if (ring->format == CONF_LOG_JSON)
        access_set_ms(ring->time_text, (unsigned)((now_us - ring->second_us) / 1000));
    return ring->time;
}

/* A tunnel is not slow: it lasts as long as its ends like. */
static bool is_slow(const struct access_pen *pen, const struct request *request, uint64_t total_us)
{
    return weir_unlikely(total_us >= pen->slow_us) && request->status != 101;
}

void access_log_write(struct worker *worker, struct request *request, int64_t now_us)
{
    struct access_pen *pen = worker->pen;
    uint64_t total_us = now_us > request->started_us ? (uint64_t)(now_us - request->started_us) : 0;
    bool slow = is_slow(pen, request, total_us);
    struct access_entry entry;
    char *line;

    if (!pen->access && !slow)
        return;
    entry = (struct access_entry){
        .request = request,
        .client = client_text(pen, request->peer),
        .status = request->head_sent ? request->status : local_row(LOCAL_CLIENT_GONE)->status,
        .cache = outcome_word(request->outcome),
        .reason = reason(request),
        .end = end_word(request),
        .route = request->route ? pen->log->route_names[request->route->index] : str_of(NULL, 0),
        .total_us = total_us,
        .ids = trace_ids(request),
    };
    find_fields(request, &entry);
    if (pen->access) {
        entry.time = time_text(pen->access, now_us);
        line = place_for_line(pen, pen->access);
        ring_put(pen->log, pen->access, line,
                 access_format_line(pen->access->format, &entry, line));
    }
    if (slow) {
        entry.time = time_text(pen->slow, now_us);
        line = place_for_line(pen, pen->slow);
        ring_put(pen->log, pen->slow, line, access_format_slow_line(&entry, line));
    }
}

/* ---- main thread ---- */

static void destroy(struct access_log *log)
{
    for (unsigned i = 0; i < LOG_FILES; i++) {
        struct log_file *file = &log->files[i];

        for (unsigned w = 0; file->rings && w < log->workers; w++)
            free(file->rings[w].bytes);
        free(file->rings);
        if (file->own_fd)
            close(file->fd);
    }
    for (unsigned w = 0; log->pens && w < log->workers; w++)
        free(log->pens[w]);
    free(log->pens);
    for (unsigned r = 0; r < log->conf->routes_count; r++)
        free((char *)log->route_names[r].ptr);
    free(log->route_names);
    if (log->wake_fd >= 0)
        close(log->wake_fd);
    conf_release(&log->conf);
    log->magic = 0;
    free(log);
}

/* False with errno. */
static bool open_first(struct access_log *log, struct log_file *file, const char *what,
                       const char *path, enum conf_log_format format, size_t ring_bytes)
{
    size_t bytes = log->workers * sizeof(*file->rings);

    file->what = what;
    file->path = path;
    file->line_by_line = strcmp(path, "stderr") == 0;
    file->fd = file->line_by_line ? STDERR_FILENO : STDOUT_FILENO;
    if (!file->line_by_line && strcmp(path, "stdout") != 0 && !open_file(file, 0))
        return false;
    file->rings = aligned_alloc(64, bytes);
    weir_assert(file->rings);
    memset(file->rings, 0, bytes);
    for (unsigned i = 0; i < log->workers; i++) {
        file->rings[i].bytes = base_alloc(ring_bytes);
        file->rings[i].size = ring_bytes;
        file->rings[i].format = format;
        file->rings[i].second_us = -1000000;
    }
    return true;
}

static bool open_files(struct access_log *log)
{
    const struct conf *conf = log->conf;

    if (conf->access_log_format != CONF_LOG_NONE &&
        !open_first(log, &log->files[ACCESS_FILE], "access log", conf->access_log_path,
                    conf->access_log_format, ACCESS_RING_BYTES)) {
        log_error("opening the access log %s: %s; ending", conf->access_log_path,
                  strerrordesc_np(errno));
        return false;
    }
    if (conf->slow_log_threshold_ms > 0 &&
        !open_first(log, &log->files[SLOW_FILE], "slow log", conf->slow_log_path, CONF_LOG_JSON,
                    SLOW_RING_BYTES)) {
        log_error("opening the slow log %s: %s; ending", conf->slow_log_path,
                  strerrordesc_np(errno));
        return false;
    }
    return true;
}

static void make_pens(struct access_log *log)
{
    struct access_ring *access = log->files[ACCESS_FILE].rings, *slow = log->files[SLOW_FILE].rings;

    log->pens = base_alloc_zero(log->workers * sizeof(struct access_pen *));
    for (unsigned i = 0; i < log->workers; i++) {
        struct access_pen *pen = log->pens[i] = base_alloc(sizeof(*pen));

        pen->client_ip = 0;
        pen->log = log;
        pen->access = access ? &access[i] : NULL;
        pen->slow = slow ? &slow[i] : NULL;
        pen->slow_us = slow ? (uint64_t)log->conf->slow_log_threshold_ms * 1000 : UINT64_MAX;
    }
}

static void escape_route_names(struct access_log *log)
{
    unsigned count = log->conf->routes_count;

    log->route_names = base_alloc_zero((count ? count : 1) * sizeof(*log->route_names));
    for (unsigned i = 0; i < count; i++) {
        struct str name = str_from(log->conf->routes[i].name);
        struct appender out = appender_on(base_alloc(6 * name.len + 1), 6 * name.len + 1);

        if (name.len > ACCESS_VALUE_MOST)
            name.len = ACCESS_VALUE_MOST;
        append_json(&out, name);
        log->route_names[i] = str_of(out.ptr, out.len);
    }
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

bool access_log_open(const struct conf *conf, unsigned workers, struct access_log **out)
{
    struct access_log *log;

    *out = NULL;
    if (conf->access_log_format == CONF_LOG_NONE && conf->slow_log_threshold_ms == 0)
        return true;
    log = base_alloc_zero(sizeof(*log));
    log->magic = ACCESS_LOG_MAGIC;
    log->conf = conf_ref((struct conf *)conf);
    log->workers = workers;
    log->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    escape_route_names(log);
    if (log->wake_fd >= 0 && open_files(log)) {
        make_pens(log);
        if (start_writer(log)) {
            *out = log;
            return true;
        }
    }
    if (log->wake_fd < 0 || log->pens)
        log_error("starting the writer of logs: %s; ending", strerrordesc_np(errno));
    destroy(log);
    return false;
}

struct access_pen *access_log_pen(struct access_log *log, unsigned worker)
{
    if (!log)
        return NULL;
    weir_assert(log->magic == ACCESS_LOG_MAGIC && worker < log->workers);
    return log->pens[worker];
}

uint64_t access_log_from_us(const struct access_log *log)
{
    if (!log)
        return UINT64_MAX;
    return log->files[ACCESS_FILE].rings ? 0 : log->pens[0]->slow_us;
}

static void call_writer(struct access_log *log)
{
    uint64_t one = 1;

    (void)!write(log->wake_fd, &one, sizeof(one));
}

void access_log_reopen(struct access_log *log)
{
    atomic_store(&log->reopen, true);
    call_writer(log);
}

static struct access_log_counts count_file(const struct access_log *log,
                                           const struct log_file *file, uint64_t *overrun)
{
    struct access_log_counts counts = {0};

    *overrun = 0;
    for (unsigned i = 0; file->rings && i < log->workers; i++) {
        *overrun += cell_read(&file->rings[i].overrun);
        counts.dropped += cell_read(&file->rings[i].lost);
        counts.written += cell_read(&file->rings[i].written);
    }
    counts.dropped += *overrun;
    return counts;
}

void access_log_count(const struct access_log *log, struct access_log_counts *access,
                      struct access_log_counts *slow)
{
    uint64_t overrun;

    *access = *slow = (struct access_log_counts){0};
    if (!log)
        return;
    *access = count_file(log, &log->files[ACCESS_FILE], &overrun);
    *slow = count_file(log, &log->files[SLOW_FILE], &overrun);
}

void access_log_sweep(struct access_log *log)
{
    for (unsigned i = 0; i < LOG_FILES; i++) {
        struct log_file *file = &log->files[i];
        uint64_t overrun;

        count_file(log, file, &overrun);
        if (overrun > file->told)
            log_warn("writing the %s to %s: it takes lines too slowly; %llu were dropped since "
                     "this was told last",
                     file->what, file->path, (unsigned long long)(overrun - file->told));
        file->told = overrun;
    }
}

void access_log_close(struct access_log **log)
{
    struct access_log *gone = weir_take(log);
    struct timespec until;

    if (!gone)
        return;
    weir_check_magic(gone, ACCESS_LOG_MAGIC);
    access_log_sweep(gone);
    atomic_store(&gone->closing, true);
    call_writer(gone);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += CLOSE_PATIENCE_S + 1;
    if (pthread_timedjoin_np(gone->thread, NULL, &until) != 0) {
        /* It stands in a write to a standard stream that nobody can end: it keeps what it uses, and
         * ends with the process. */
        log_warn("writing the last lines of the logs: nobody takes them; giving up");
        pthread_detach(gone->thread);
        return;
    }
    destroy(gone);
}
