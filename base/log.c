/*
 * The error log: one line an event to stderr, "2026-01-31T12:00:00.123Z warn what happened".
 *
 * Called from anywhere, any thread, but never for each request: that is the access log's. A line is
 * put together on the stack and written with one write(), so that lines of threads do not mix; one
 * that is too long is cut and ends in "...". Control characters, which a peer may have put into
 * what is being logged, are replaced, so that nobody can forge a line. errno is left as it was, and
 * %m shows it. Owns the level.
 */
#include "base/base.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 2048
#define PACE_MS 1000

static _Atomic int lowest_level = LOG_INFO_LEVEL;

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

void log_write_paced(struct log_pace *pace, int64_t now_ms, enum log_level level,
                     const char *format, ...)
{
    char held_back[64] = "";
    va_list args;

    if (!is_written(level))
        return;
    if (now_ms < pace->next_ms) {
        pace->held_back++;
        return;
    }
    if (pace->held_back > 0)
        snprintf(held_back, sizeof held_back, "; %u such lines were held back before",
                 pace->held_back);
    pace->held_back = 0;
    pace->next_ms = now_ms + PACE_MS;
    va_start(args, format);
    write_line(level, held_back, format, args);
    va_end(args);
}
