/*
 * Counts allocations of a running program: LD_PRELOAD=alloccount.so WEIR_ALLOC_COUNTER=FILE
 * program. FILE is mapped shared and holds one 64-bit counter, which the bench harness reads at any
 * moment without disturbing the program. Each malloc, calloc, realloc, posix_memalign,
 * aligned_alloc and memalign of any thread counts one, and goes on to whatever allocator the
 * program has (libc's or a shared jemalloc).
 *
 * dlsym may allocate before the real functions are known: a small static area serves that, never
 * freed.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void *(*real_malloc)(size_t);
static void *(*real_calloc)(size_t, size_t);
static void *(*real_realloc)(void *, size_t);
static int (*real_posix_memalign)(void **, size_t, size_t);
static void *(*real_aligned_alloc)(size_t, size_t);
static void *(*real_memalign)(size_t, size_t);
static void (*real_free)(void *);

static _Atomic uint64_t unread_counter;
static _Atomic uint64_t *counter = &unread_counter;
static _Alignas(16) char early[65536];
static size_t early_bytes;

static void find(void)
{
    static int finding;
    if (finding)
        return;
    finding = 1;
    *(void **)&real_free = dlsym(RTLD_NEXT, "free");
    *(void **)&real_calloc = dlsym(RTLD_NEXT, "calloc");
    *(void **)&real_realloc = dlsym(RTLD_NEXT, "realloc");
    *(void **)&real_posix_memalign = dlsym(RTLD_NEXT, "posix_memalign");
    *(void **)&real_aligned_alloc = dlsym(RTLD_NEXT, "aligned_alloc");
    *(void **)&real_memalign = dlsym(RTLD_NEXT, "memalign");
    *(void **)&real_malloc = dlsym(RTLD_NEXT, "malloc");
    finding = 0;
}

__attribute__((constructor)) static void map_counter(void)
{
    const char *path = getenv("WEIR_ALLOC_COUNTER");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *map = mmap(NULL, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map != MAP_FAILED)
        counter = map;
    close(fd);
}

static void *take_early(size_t bytes)
{
    bytes = (bytes + 15) & ~(size_t)15;
    if (bytes > sizeof early - early_bytes)
        abort();
    void *p = early + early_bytes;
    early_bytes += bytes;
    return p;
}

static int is_early(const void *p)
{
    return (uintptr_t)p - (uintptr_t)early < sizeof early;
}

static void count(void)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
    if (!real_malloc)
        find();
}

void *malloc(size_t bytes)
{
    count();
    return real_malloc ? real_malloc(bytes) : take_early(bytes);
}

void *calloc(size_t n, size_t bytes)
{
    count();
    return real_malloc ? real_calloc(n, bytes) : take_early(n * bytes);
}

void *realloc(void *p, size_t bytes)
{
    count();
    if (!is_early(p))
        return real_realloc(p, bytes);
    void *moved = real_malloc ? real_malloc(bytes) : take_early(bytes);
    size_t rest = (size_t)(early + sizeof early - (char *)p);
    return moved ? memcpy(moved, p, bytes < rest ? bytes : rest) : NULL;
}

int posix_memalign(void **p, size_t alignment, size_t bytes)
{
    count();
    return real_posix_memalign(p, alignment, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    count();
    return real_aligned_alloc(alignment, bytes);
}

void *memalign(size_t alignment, size_t bytes)
{
    count();
    return real_memalign(alignment, bytes);
}

void free(void *p)
{
    if (!p || is_early(p))
        return;
    if (!real_free)
        find();
    real_free(p);
}
