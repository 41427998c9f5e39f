/*
 * The error log: one line an event to stderr, "2026-01-31T12:00:00.123Z warn what happened".
 *
 * Called from anywhere, any thread, but never for each request: that is the access log's. A line is
 * put together on the stack and written with one write(), so that lines of threads do not mix; one
 * that is too long is cut and ends in "...". Control characters, which a peer may have put into
 * what is being logged, are replaced, so that nobody can forge a line. errno is left as it was, and
 * %m shows it. Lines that peers can cause are of a kind, and paced: see struct log_kind. Owns the
 * level, the counts, and the list of kinds of which lines were ever held back.
 */
#include "base/base.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 2048
#define COUNT_BITS 16 /* of a kind's window; its second lies above */

_Static_assert(LOG_BURST < 1 << COUNT_BITS, "a window counts its lines");

static _Atomic int lowest_level = LOG_INFO_LEVEL;
static atomic_uint_fast64_t written_lines[LOG_LEVELS], held_back_lines[LOG_LEVELS];
static struct log_kind *_Atomic kinds;

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&lowest_level, (int)level, memory_order_relaxed);
}

static const char *level_name(enum log_level level)
{
    switch (level) {
    case LOG_DEBUG_LEVEL:
        return "debug";
    case LOG_INFO_LEVEL:
        return "info";
    case LOG_WARN_LEVEL:
        return "warn";
    case LOG_ERROR_LEVEL:
        return "error";
    }
    weir_assert(!"a log level");
}

static size_t write_prefix(char *line, size_t cap, enum log_level level)
{
    int64_t wall_us = base_clock_wall_us();
    time_t wall_s = (time_t)(wall_us / 1000000);
    struct tm utc;
    gmtime_r(&wall_s, &utc);
    size_t len = strftime(line, cap, "%Y-%m-%dT%H:%M:%S", &utc);
    return len + (size_t)snprintf(line + len, cap - len, ".%03dZ %s ", (int)(wall_us / 1000 % 1000),
                                  level_name(level));
}

static void replace_controls(char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            text[i] = '?';
    }
}

static bool is_written(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&lowest_level, memory_order_relaxed);
}

static void write_line(enum log_level level, const char *end, const char *format, va_list args)
{
    int saved_errno = errno;
    char line[LINE_BYTES];
    size_t start = write_prefix(line, sizeof line, level);
    /* The byte that ends a C string becomes the line's end. */
    size_t end_len = strlen(end), room = sizeof line - start - end_len;
    errno = saved_errno;
    int wanted = vsnprintf(line + start, room, format, args);
    size_t len = wanted < 0 ? 0 : (size_t)wanted;
    if (len > room - 1) {
        len = room - 1;
        memcpy(line + start + len - 3, "...", 3);
    }
    replace_controls(line + start, len);
    memcpy(line + start + len, end, end_len);
    len += start + end_len;
    line[len] = '\n';
    /* There is nobody left to tell when stderr does not take it. */
    ssize_t written = write(STDERR_FILENO, line, len + 1);
    (void)written;
    atomic_fetch_add_explicit(&written_lines[level], 1, memory_order_relaxed);
    errno = saved_errno;
}

void log_write(enum log_level level, const char *format, ...)
{
    va_list args;

    if (!is_written(level))
        return;
    va_start(args, format);
    write_line(level, "", format, args);
    va_end(args);
}

/* ---- kinds ---- */

static int64_t window_second(uint64_t window)
{
    return (int64_t)(window >> COUNT_BITS);
}

/* Takes one of the second's lines; false when they are used up. Threads' clocks differ a little: an
 * earlier second counts as the present one. */
static bool take_turn(struct log_kind *kind, int64_t now_ms)
{
    int64_t second = now_ms / 1000;
    uint64_t window = atomic_load(&kind->window), next;

    do {
        if (second > window_second(window))
            next = ((uint64_t)second << COUNT_BITS) + 1;
        else if ((window & ((1u << COUNT_BITS) - 1)) < LOG_BURST)
            next = window + 1;
        else
            return false;
    } while (!atomic_compare_exchange_weak(&kind->window, &window, next));
    return true;
}

static void hold_back(struct log_kind *kind)
{
    atomic_fetch_add(&kind->held_back, 1);
    atomic_fetch_add_explicit(&held_back_lines[kind->level], 1, memory_order_relaxed);
    if (atomic_exchange(&kind->listed, true))
        return;
    kind->next = atomic_load(&kinds);
    while (!atomic_compare_exchange_weak(&kinds, &kind->next, kind))
        ;
}

void log_write_paced(struct log_kind *kind, int64_t now_ms, const char *format, ...)
{
    char told[64] = "";
    unsigned held_back;
    va_list args;

    if (!is_written(kind->level))
        return;
    if (!take_turn(kind, now_ms)) {
        hold_back(kind);
        return;
    }
    held_back = atomic_exchange(&kind->held_back, 0);
    if (held_back > 0)
        snprintf(told, sizeof told, "; %u such lines were held back before", held_back);
    va_start(args, format);
    write_line(kind->level, told, format, args);
    va_end(args);
}

void log_tell_held_back(int64_t now_ms)
{
    for (struct log_kind *kind = atomic_load(&kinds); kind; kind = kind->next) {
        unsigned held_back = 0;

        if (now_ms / 1000 > window_second(atomic_load(&kind->window)))
            held_back = atomic_exchange(&kind->held_back, 0);
        if (held_back > 0)
            log_write(kind->level, "%s: %u such lines were held back before", kind->what,
                      held_back);
    }
}

struct log_counts log_count(enum log_level level)
{
    return (struct log_counts){
        .written = atomic_load_explicit(&written_lines[level], memory_order_relaxed),
        .held_back = atomic_load_explicit(&held_back_lines[level], memory_order_relaxed)};
}
