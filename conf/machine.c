/*
 * What "auto" means on this machine: CPUs and memory that this process may really use.
 *
 * Called by load.c once per configuration. In a container the machine's own numbers are far too
 * large, so the cgroup's limits count as well. A limit may be set on any group from the process's
 * own up to the root, and with a cgroup namespace the listed path may not exist below
 * /sys/fs/cgroup while the root is the container's own group: every level is asked and the least
 * limit wins. What cannot be read sets no limit.
 */
#include "conf/machine.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The limit that one group's folder sets, or UINT64_MAX. */
typedef uint64_t read_limit(const char *folder);

static bool read_line(const char *folder, const char *name, char *line, size_t cap)
{
    char path[PATH_MAX];
    if ((size_t)snprintf(path, sizeof(path), "%s/%s", folder, name) >= sizeof(path))
        return false;
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    bool done = fgets(line, (int)cap, file) != NULL;
    fclose(file);
    return done;
}

static uint64_t millis_of(long long quota, long long period)
{
    if (quota <= 0 || period <= 0 || quota > LLONG_MAX / 1000)
        return UINT64_MAX;
    return ((uint64_t)quota * 1000 + (uint64_t)period - 1) / (uint64_t)period;
}

static uint64_t read_cpu_v2(const char *folder)
{
    char line[128];
    long long quota, period;
    if (!read_line(folder, "cpu.max", line, sizeof(line)) ||
        sscanf(line, "%lld %lld", &quota, &period) != 2)
        return UINT64_MAX;
    return millis_of(quota, period);
}

static uint64_t read_cpu_v1(const char *folder)
{
    char quota[64], period[64];
    if (!read_line(folder, "cpu.cfs_quota_us", quota, sizeof(quota)) ||
        !read_line(folder, "cpu.cfs_period_us", period, sizeof(period)))
        return UINT64_MAX;
    return millis_of(atoll(quota), atoll(period));
}

static uint64_t read_memory(const char *folder, const char *name)
{
    char line[64];
    long long bytes;
    /* "max" is no number, and v1 says "none" with a huge one. */
    if (!read_line(folder, name, line, sizeof(line)) || sscanf(line, "%lld", &bytes) != 1 ||
        bytes <= 0)
        return UINT64_MAX;
    return (uint64_t)bytes;
}

static uint64_t read_memory_v2(const char *folder)
{
    return read_memory(folder, "memory.max");
}

static uint64_t read_memory_v1(const char *folder)
{
    return read_memory(folder, "memory.limit_in_bytes");
}

/* The least limit of root/path and all groups above it. */
static uint64_t least_limit(const char *root, const char *path, read_limit *read)
{
    char folder[PATH_MAX];
    /* Seen from a namespace whose root is elsewhere, a path climbs out of it. */
    const char *inside = strstr(path, "/..") ? "" : path;
    int len = snprintf(folder, sizeof(folder), "%s%s", root, inside);
    if (len < 0 || (size_t)len >= sizeof(folder))
        return read(root);
    uint64_t least = UINT64_MAX;
    for (;;) {
        uint64_t limit = read(folder);
        if (limit < least)
            least = limit;
        char *slash = strrchr(folder, '/');
        if (!slash || (size_t)(slash - folder) < strlen(root))
            return least;
        *slash = '\0';
    }
}

static bool has_controller(const char *list, const char *name)
{
    size_t len = strlen(name);
    for (const char *at = list; (at = strstr(at, name)) != NULL; at += len) {
        if ((at == list || at[-1] == ',') && (at[len] == ',' || at[len] == '\0'))
            return true;
    }
    return false;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Each line of the list is "id:controllers:path"; version 2 has id 0 and names no controllers. */
static uint64_t find_limit(const char *proc, const char *sys, const char *controller,
                           read_limit *read_v2, read_limit *read_v1)
{
    FILE *file = fopen(proc, "re");
    if (!file)
        return UINT64_MAX;
    uint64_t least = UINT64_MAX;
    char line[PATH_MAX], root[PATH_MAX];
    while (fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = '\0';
        char *list = strchr(line, ':');
        char *path = list ? strchr(list + 1, ':') : NULL;
        if (!path)
            continue;
        list++;
        *path++ = '\0';
        if (*list == '\0') {
            least = min_u64(least, least_limit(sys, path, read_v2));
        } else if (has_controller(list, controller)) {
            if ((size_t)snprintf(root, sizeof(root), "%s/%s", sys, list) < sizeof(root))
                least = min_u64(least, least_limit(root, path, read_v1));
            if ((size_t)snprintf(root, sizeof(root), "%s/%s", sys, controller) < sizeof(root))
                least = min_u64(least, least_limit(root, path, read_v1));
        }
    }
    fclose(file);
    return least;
}

uint64_t machine_cgroup_cpu_millis(const char *proc, const char *sys)
{
    return find_limit(proc, sys, "cpu", read_cpu_v2, read_cpu_v1);
}

uint64_t machine_cgroup_memory_bytes(const char *proc, const char *sys)
{
    return find_limit(proc, sys, "memory", read_memory_v2, read_memory_v1);
}

static void read_cpus(struct conf_machine *out)
{
    cpu_set_t set;
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    long usable = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : -1;

    if (usable < 1)
        usable = online; /* more CPUs than the mask has room for */
    out->cpus = usable < 1 ? 1 : (unsigned)usable;
    out->cpus_limited_by = usable < online ? "affinity" : "none";
    if (out->cpu_quota_millis < (uint64_t)out->cpus * 1000) {
        out->cpus = (unsigned)((out->cpu_quota_millis + 999) / 1000);
        out->cpus_limited_by = "cgroup";
    }
}

void machine_read(const char *proc, const char *sys, struct conf_machine *out)
{
    long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    uint64_t limit = machine_cgroup_memory_bytes(proc, sys);

    out->cpu_quota_millis = machine_cgroup_cpu_millis(proc, sys);
    read_cpus(out);
    out->memory_bytes = pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes : 0;
    out->memory_limited_by = "none";
    if (limit < out->memory_bytes) {
        out->memory_bytes = limit;
        out->memory_limited_by = "cgroup";
    }
}
