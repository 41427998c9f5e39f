/*
 * The clocks: one that only goes forward, for deadlines and latencies, and the wall's, for dates.
 *
 * proxy/ and the programs of tests/ read them and hand the time down as an argument; of the rest
 * only the error log does, which stamps its lines. Where a test asks for it, base_clock_advance()
 * moves both forward, and base_clock_step_wall() the wall's, by offsets that are added to what the
 * system says: so no test sleeps for a TTL. They are the only state, and shared by all threads.
 */
#include "base/base.h"

#include <time.h>

static _Atomic int64_t offset_us, wall_offset_us;

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
    return read_us(CLOCK_REALTIME) + atomic_load_explicit(&wall_offset_us, memory_order_relaxed);
}

void base_clock_advance(int64_t ms)
{
    weir_assert(ms >= 0);
    atomic_fetch_add_explicit(&offset_us, ms * 1000, memory_order_relaxed);
}

void base_clock_step_wall(int64_t ms)
{
    atomic_fetch_add_explicit(&wall_offset_us, ms * 1000, memory_order_relaxed);
}
