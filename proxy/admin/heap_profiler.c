/*
 * The stacks of what is allocated, by jemalloc: it notes about one allocation in each MiB, and
 * forgets it when it is freed. Called by pprof.c on the main thread.
 *
 * malloc_conf is read by jemalloc before main(); the environment's MALLOC_CONF comes after it, and
 * can say prof:false, or lg_prof_sample:17 for eight times as many.
 */
#include "config.h"
#include "proxy/admin/profile.h"

#if HAVE_JEMALLOC && HAVE_PROFILING

#include <jemalloc/jemalloc.h>
#include <stdio.h>
#include <stdlib.h>

const char *malloc_conf = "prof:true,lg_prof_sample:20";

bool heap_profiler_built(const char **why)
{
    bool on = false;
    size_t bytes = sizeof(on);

    *why = "jemalloc does not sample here: it was built without --enable-prof, or MALLOC_CONF in "
           "weir's environment says prof:false";
    return mallctl("opt.prof", &on, &bytes, NULL, 0) == 0 && on;
}

bool heap_profiler_dump(int fd, const char **why)
{
    char path[32];
    const char *name = path;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    *why = "jemalloc could not write the profile";
    return mallctl("prof.dump", NULL, NULL, &name, sizeof(name)) == 0;
}

uint64_t heap_profiler_code(void)
{
    return (uintptr_t)mallctl;
}

#else

bool heap_profiler_built(const char **why)
{
    *why = "this weir was built without heap profiles; install Debian's libjemalloc-dev, "
           "libgoogle-perftools-dev and libdw-dev (./autogen.sh --deps does) and build with "
           "--with-jemalloc=yes --with-profiling=yes";
    return false;
}

bool heap_profiler_dump(int fd, const char **why)
{
    (void)fd;
    return heap_profiler_built(why);
}

uint64_t heap_profiler_code(void)
{
    return 0;
}

#endif
