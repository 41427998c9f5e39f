/*
 * The thread that writes the access log and the slow log: whole lines from the workers' rings, as
 * many with one call as there are.
 *
 *   IDLE (until a line comes) -> writes -> NAPPING (NAP_MS, or until a ring is half full) -> writes
 * ... -> nothing left -> IDLE; a file that does not take more (a pipe) is tried again after each
 * nap, or as soon as it does, and holds up nobody but itself
 *
 * Started and ended by accesslog.c. A file that refuses lines loses them, counted, and none is ever
 * glued to a piece of another. Files are opened anew when asked to, between two lines.
 */
#include "proxy/accesslog.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define NAP_MS 50

/* ---- one file ---- */

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

/* ---- opening ---- */

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

const char *access_open_error(int error)
{
    return error == ENXIO ? "nobody reads from this pipe" : strerrordesc_np(error);
}

/* Not blocking: a pipe without a reader is refused, and a full one holds up only itself. */
bool access_open_file(struct log_file *file)
{
    int fd =
        open(file->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644);

    if (fd < 0)
        return false;
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
    if (!access_open_file(file)) {
        log_error("reopening the %s %s: %s; the file that was open stays in use", file->what,
                  file->path, access_open_error(errno));
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

/* ---- all files ---- */

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

void *access_writer_main(void *arg)
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
