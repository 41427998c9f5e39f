/*
 * Samples of the CPU's time, by gperftools' libprofiler: SIGPROF comes with each hundredth of a
 * second that the process has computed, to the thread that was computing, and its handler notes the
 * stack. Called by pprof.c on the main thread.
 *
 * The library is loaded with the first profile: a process that is never profiled does not carry it,
 * and it chooses its unwinder when it is loaded, by the environment. Its own choice, libunwind, asks
 * for the dynamic linker's lock inside the signal handler. libgcc's finds the tables without a lock
 * (_dl_find_object, made to be called from signal handlers), allocates nothing, and needs no frame
 * pointers.
 */
#include "config.h"
#include "proxy/admin/profile.h"

#if HAVE_PROFILING

#include <dlfcn.h>
#include <gperftools/profiler.h>
#include <stdio.h>
#include <stdlib.h>

#define LIBRARY "libprofiler.so.0"

static struct {
    __typeof__(&ProfilerStart) start;
    __typeof__(&ProfilerStop) stop;
} library;

bool cpu_profiler_built(const char **why)
{
    (void)why;
    return true;
}

static bool load(void)
{
    void *handle;

    if (library.stop)
        return true;
    /* Threads that read the environment just now go on in the old one, which stays. */
    setenv("TCMALLOC_STACKTRACE_METHOD", "libgcc", 0);
    handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return false;
    *(void **)&library.start = dlsym(handle, "ProfilerStart");
    *(void **)&library.stop = dlsym(handle, "ProfilerStop");
    return library.start && library.stop;
}

bool cpu_profiler_start(int fd, const char **why)
{
    char path[32];

    if (!load()) {
        *why = LIBRARY " cannot be loaded; install Debian's libgoogle-perftools4";
        return false;
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    *why = "libprofiler does not start; is CPUPROFILE set in weir's environment?";
    return library.start(path) != 0;
}

void cpu_profiler_stop(void)
{
    library.stop();
}

#else

bool cpu_profiler_built(const char **why)
{
    *why = "this weir was built without profiles; install Debian's libgoogle-perftools-dev and "
           "libdw-dev (./autogen.sh --deps does) and build with --with-profiling=yes";
    return false;
}

bool cpu_profiler_start(int fd, const char **why)
{
    (void)fd;
    return cpu_profiler_built(why);
}

void cpu_profiler_stop(void)
{
}

#endif
