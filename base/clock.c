/*
 * The clocks: one that only goes forward, for deadlines and latencies, and the wall's, for dates.
 *
 * proxy/ and the programs of tests/ read them and hand the time down as an argument; of the rest
 * only the error log does, which stamps its lines. Where a test asks for it, base_clock_advance()
 * moves both forward, by an offset that is added to what the system says: so no test sleeps for a
 * TTL. The offset is the only state, and is shared by all threads.
 */
#include "base/base.h"

#include <time.h>

static _Atomic int64_t offset_us;

static int64_t read_us(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000 +
           atomic_load_explicit(&offset_us, memory_order_relaxed);
}

int64_t base_clock_mono_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

int64_t base_clock_wall_us(void)
{
    return read_us(CLOCK_REALTIME);
}

void base_clock_advance(int64_t ms)
{
    weir_assert(ms >= 0);
    atomic_fetch_add_explicit(&offset_us, ms * 1000, memory_order_relaxed);
}
