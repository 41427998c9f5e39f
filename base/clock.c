/*
 * The clocks: one that only goes forward, for deadlines and latencies, and the wall's, for dates.
 *
 * proxy/ and the programs of tests/ read them and hand the time down as an argument; of the rest
 * only the error log does, which stamps its lines. Where a test asks for it, base_clock_advance()
 * moves both forward, and base_clock_step_wall() the wall's, by offsets that are added to what the
 * system says: so no test sleeps for a TTL. base_clock_hold() stops them, for tests that need to know
 * the time exactly. Offsets and hold are the only state, and are shared by all threads.
 */
#include "base/base.h"

#include <time.h>

static _Atomic int64_t offset_us, wall_offset_us;
static struct {
    _Atomic int64_t mono_us, wall_us; /* without the offsets; 0: not held */
} held;

static int64_t read_us(clockid_t clock, _Atomic int64_t *held_us)
{
    int64_t now_us = atomic_load_explicit(held_us, memory_order_relaxed);

    if (weir_likely(now_us == 0)) {
        struct timespec t;

        clock_gettime(clock, &t);
        now_us = (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
    }
    return now_us + atomic_load_explicit(&offset_us, memory_order_relaxed);
}

int64_t base_clock_mono_us(void)
{
    return read_us(CLOCK_MONOTONIC, &held.mono_us);
}

int64_t base_clock_wall_us(void)
{
    return read_us(CLOCK_REALTIME, &held.wall_us) +
           atomic_load_explicit(&wall_offset_us, memory_order_relaxed);
}

void base_clock_advance(int64_t ms)
{
    weir_assert(ms >= 0);
    atomic_fetch_add_explicit(&offset_us, ms * 1000, memory_order_relaxed);
}

void base_clock_hold(void)
{
    int64_t mono_us, wall_us;

    base_clock_advance(1000); /* to the next seconds: the clocks never go back */
    mono_us = base_clock_mono_us() / 1000000 * 1000000;
    wall_us = base_clock_wall_us() / 1000000 * 1000000;
    atomic_store(&held.mono_us, mono_us - atomic_load(&offset_us));
    atomic_store(&held.wall_us, wall_us - atomic_load(&offset_us) - atomic_load(&wall_offset_us));
}

void base_clock_step_wall(int64_t ms)
{
    atomic_fetch_add_explicit(&wall_offset_us, ms * 1000, memory_order_relaxed);
}
