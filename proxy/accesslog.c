/*
 * The access log, one line per finished request, and the slow log, one per request that took too
 * long: both off the request path.
 *
 * The request machine calls access_log_write() on its worker's thread: the line is made by the
 * worker's pen and put into a ring (one for each worker and file; one producer, one consumer), and
 * is there to be read with the store that moves `head`. A thread of the logs' own (accesswriter.c)
 * takes it from there. A worker makes a system call only to wake that thread when it sleeps, and
 * never waits: what does not fit is dropped and counted. The main thread opens and closes.
 */
#include "proxy/accesslog.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define ACCESS_RING_BYTES ((size_t)1 << 20)
#define SLOW_RING_BYTES ((size_t)1 << 18)
#define QUIET_SWEEPS 59

_Static_assert(SLOW_RING_BYTES >= ACCESS_LINE_BYTES, "every line fits");

/* Where a worker's lines are made. */
struct access_pen {
    struct access_log *log; /* borrowed */
    struct access_ring *access, *slow;
    int64_t slow_us;     /* INT64_MAX: none is slow */
    in_addr_t client_ip; /* of `client`; 0: none yet */
    struct str client;
    char client_text[NET_ADDRESS_TEXT];
    char line[ACCESS_LINE_BYTES];
};

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
    return weir_unlikely(total_us >= (uint64_t)pen->slow_us) && request->status != 101;
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
    if (!file->line_by_line && strcmp(path, "stdout") != 0 && !access_open_file(file))
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
                  access_open_error(errno));
        return false;
    }
    if (conf->slow_log_threshold_ms > 0 &&
        !open_first(log, &log->files[SLOW_FILE], "slow log", conf->slow_log_path, CONF_LOG_JSON,
                    SLOW_RING_BYTES)) {
        log_error("opening the slow log %s: %s; ending", conf->slow_log_path,
                  access_open_error(errno));
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
        pen->slow_us = slow ? log->conf->slow_log_threshold_ms * 1000 : INT64_MAX;
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
    errno = pthread_create(&log->thread, NULL, access_writer_main, log);
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

int64_t access_log_from_us(const struct access_log *log)
{
    if (!log)
        return INT64_MAX;
    return log->files[ACCESS_FILE].rings ? INT64_MIN : log->pens[0]->slow_us;
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

        if (file->quiet > 0) {
            file->quiet--;
            continue;
        }
        count_file(log, file, &overrun);
        if (overrun == file->told)
            continue;
        log_warn("writing the %s to %s: it takes lines too slowly; %llu were dropped since "
                 "this was told last",
                 file->what, file->path, (unsigned long long)(overrun - file->told));
        file->told = overrun;
        file->quiet = QUIET_SWEEPS;
    }
}

void access_log_close(struct access_log **log)
{
    struct access_log *gone = weir_take(log);
    struct timespec until;

    if (!gone)
        return;
    weir_check_magic(gone, ACCESS_LOG_MAGIC);
    for (unsigned i = 0; i < LOG_FILES; i++)
        gone->files[i].quiet = 0;
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
