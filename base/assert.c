/*
 * Failed asserts, and the memory of start-up.
 *
 * weir_assert() ends here when Weir itself has made a mistake: one line to stderr, then abort(), so
 * that a core is left. base_alloc() and its siblings serve what must exist for the program to run
 * at all: start-up and small per-worker structures; without memory they end the program with one
 * line and status 2. Nothing here is for the request path. Owns nothing; any thread.
 */
#include "base/base.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define EXIT_SYSTEM_REFUSED 2
#define SIZE_CLASS_LEAST 16u

/* One write(), because other threads may be writing too. */
static void write_line(const char *line, int len_bytes, size_t cap)
{
    size_t len = len_bytes < 0 ? 0 : (size_t)len_bytes;
    if (len > cap - 1)
        len = cap - 1;
    /* There is nobody left to tell when stderr does not take it. */
    ssize_t written = write(STDERR_FILENO, line, len);
    (void)written;
}

void base_assert_failed(const char *file, int line, const char *func, const char *cond)
{
    char text[1024];
    int len = snprintf(text, sizeof text, "weir: %s:%d: %s: assertion failed: %s; aborting\n", file,
                       line, func, cond);
    write_line(text, len, sizeof text);
    abort();
}

static void *check_memory(void *ptr, size_t bytes)
{
    if (weir_likely(ptr != NULL))
        return ptr;
    char text[128];
    int len = snprintf(text, sizeof text,
                       "weir: out of memory: the system refused %zu bytes; ending\n", bytes);
    write_line(text, len, sizeof text);
    _exit(EXIT_SYSTEM_REFUSED);
}

void *base_alloc(size_t bytes)
{
    return check_memory(malloc(bytes ? bytes : 1), bytes);
}

void *base_alloc_zero(size_t bytes)
{
    return check_memory(calloc(1, bytes ? bytes : 1), bytes);
}

char *base_strdup(const char *text)
{
    size_t bytes = strlen(text) + 1;
    return memcpy(base_alloc(bytes), text, bytes);
}

size_t base_allocated_bytes(const void *ptr)
{
    return malloc_usable_size((void *)ptr);
}

/* jemalloc's; NULL where it is not linked. */
extern size_t nallocx(size_t bytes, int flags) __attribute__((weak));

size_t base_size_class(size_t bytes)
{
    return nallocx != NULL && bytes > 0 ? nallocx(bytes, 0) : bytes;
}

size_t base_size_class_below(size_t bytes)
{
    if (nallocx == NULL || bytes < SIZE_CLASS_LEAST)
        return bytes;
    /* Four classes for each doubling; sixteen bytes apart at the least. */
    unsigned doubling = 63 - (unsigned)__builtin_clzll(bytes);
    size_t apart = (size_t)1 << (doubling > 6 ? doubling - 2 : 4);
    return bytes & ~(apart - 1);
}
