/*
 * What the kernel and the allocator say of this process.
 *
 * Called by figures.c on the main thread for each answer of /stats and /metrics. What cannot be
 * read is absent, never 0.
 */
#include "proxy/admin/figures.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER_OF_FDS "/proc/self/fd"

static uint64_t read_resident_bytes(void)
{
    unsigned long long pages;
    FILE *file = fopen("/proc/self/statm", "re");
    bool done = file && fscanf(file, "%*s %llu", &pages) == 1;

    if (file)
        fclose(file);
    return done ? pages * (uint64_t)sysconf(_SC_PAGESIZE) : FIGURE_ABSENT;
}

/* Newer kernels tell their number as the folder's size; in older ones it is 0. */
static uint64_t count_fds(void)
{
    struct stat about;
    uint64_t count = 0;
    DIR *folder;

    if (stat(FOLDER_OF_FDS, &about) == 0 && about.st_size > 0)
        return (uint64_t)about.st_size;
    if (!(folder = opendir(FOLDER_OF_FDS)))
        return FIGURE_ABSENT;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count - 1; /* its own */
}

static uint64_t micros_of(struct timeval time)
{
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_usec;
}

/* jemalloc's; NULL where it is not linked. */
extern int mallctl(const char *name, void *old, size_t *old_bytes, void *new, size_t new_bytes)
    __attribute__((weak));

static uint64_t read_allocator(const char *name)
{
    size_t value, bytes = sizeof(value);

    return mallctl && mallctl(name, &value, &bytes, NULL, 0) == 0 ? value : FIGURE_ABSENT;
}

void process_read(struct process_stats *out)
{
    uint64_t epoch = 1;
    struct rlimit fds;
    struct rusage used;

    out->resident_bytes = read_resident_bytes();
    out->open_fds = count_fds();
    out->max_fds = getrlimit(RLIMIT_NOFILE, &fds) == 0 ? fds.rlim_cur : FIGURE_ABSENT;
    out->cpu_us = getrusage(RUSAGE_SELF, &used) == 0
                      ? micros_of(used.ru_utime) + micros_of(used.ru_stime)
                      : FIGURE_ABSENT;
    /* Its numbers stand still until they are asked for anew. */
    if (mallctl)
        mallctl("epoch", NULL, NULL, &epoch, sizeof(epoch));
    out->allocated_bytes = read_allocator("stats.allocated");
    out->active_bytes = read_allocator("stats.active");
    out->allocator_resident_bytes = read_allocator("stats.resident");
}
