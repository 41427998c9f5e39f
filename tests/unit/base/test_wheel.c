/* base/wheel.c: never early, never lost, whatever time does and callbacks do. */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#define HORIZON_MS ((int64_t)WHEEL_SLOTS * WHEEL_TICK_MS)

/* A timer that knows when it may be called. */
struct probe {
    struct wheel_timer timer;
    int64_t due_ms; /* WHEEL_NEVER: must not be called */
    unsigned calls;
    void (*act)(struct probe *probe, int64_t now_ms);
};

static struct wheel *wheel;

static void on_due(struct wheel_timer *timer, int64_t now_ms)
{
    struct probe *probe = weir_container(timer, struct probe, timer);
    assert_true(probe->due_ms <= now_ms);
    probe->due_ms = WHEEL_NEVER;
    probe->calls++;
    if (probe->act)
        probe->act(probe, now_ms);
}

static void init_probe(struct probe *probe)
{
    *probe = (struct probe){.due_ms = WHEEL_NEVER};
    wheel_timer_init(&probe->timer, on_due);
}

static void set(struct probe *probe, int64_t due_ms)
{
    probe->due_ms = due_ms;
    wheel_set(wheel, &probe->timer, due_ms);
}

static void cancel(struct probe *probe)
{
    probe->due_ms = WHEEL_NEVER;
    wheel_cancel(wheel, &probe->timer);
}

static int make_wheel(void **state)
{
    (void)state;
    wheel = base_alloc(sizeof *wheel);
    wheel_init(wheel, 1000);
    return 0;
}

static int free_wheel(void **state)
{
    (void)state;
    free(wheel);
    return 0;
}

static void test_called_once_when_due(void **state)
{
    (void)state;
    static const int64_t waits_ms[] = {
        -500,          0, 1, 7, 8, 9, 100, HORIZON_MS - 8, HORIZON_MS - 1, HORIZON_MS, 3600000,
        7 * 86400000LL};
    for (size_t i = 0; i < weir_count(waits_ms); i++) {
        struct probe probe;
        init_probe(&probe);
        int64_t due_ms = wheel->now_ms + waits_ms[i];
        set(&probe, due_ms);
        assert_int_equal(wheel->timers, 1);
        /* In steps up to the last millisecond before it. */
        while (wheel->now_ms + 4001 < due_ms)
            assert_int_equal(wheel_advance(wheel, wheel->now_ms + 4001), 0);
        while (wheel->now_ms + 1 < due_ms)
            assert_int_equal(wheel_advance(wheel, wheel->now_ms + 1), 0);
        assert_int_equal(wheel_advance(wheel, wheel->now_ms + (due_ms > wheel->now_ms)), 1);
        assert_int_equal(probe.calls, 1);
        assert_int_equal(wheel->timers, 0);
        assert_false(list_linked(&probe.timer.link));
        wheel_advance(wheel, wheel->now_ms + 2 * HORIZON_MS);
        assert_int_equal(probe.calls, 1);
    }
}

static void test_later_is_only_a_store(void **state)
{
    (void)state;
    struct probe a, b;
    init_probe(&a);
    init_probe(&b);
    set(&a, 2000);
    set(&b, 2000);
    struct list_link *next = a.timer.link.next, *prev = a.timer.link.prev;
    set(&a, 90000);
    assert_ptr_equal(a.timer.link.next, next);
    assert_ptr_equal(a.timer.link.prev, prev);
    assert_int_equal(wheel_advance(wheel, 2000), 1);
    assert_int_equal(b.calls, 1);
    assert_int_equal(wheel_advance(wheel, 89999), 0);
    assert_int_equal(wheel_advance(wheel, 90000), 1);
}

static void test_moved_earlier(void **state)
{
    (void)state;
    struct probe probe;
    init_probe(&probe);
    set(&probe, 3600000);
    set(&probe, 1500);
    assert_int_equal(wheel_advance(wheel, 1500), 1);
    /* Left in its slot for another round, then earlier than that. */
    set(&probe, 2000);
    set(&probe, 2000 + HORIZON_MS);
    assert_int_equal(wheel_advance(wheel, 2001), 0);
    set(&probe, 2500);
    assert_int_equal(wheel_advance(wheel, 2500), 1);
    assert_int_equal(probe.calls, 2);
}

static void test_never_and_cancel(void **state)
{
    (void)state;
    struct probe probe;
    init_probe(&probe);
    wheel_cancel(wheel, &probe.timer);
    set(&probe, WHEEL_NEVER);
    assert_false(list_linked(&probe.timer.link));
    set(&probe, 2000);
    set(&probe, WHEEL_NEVER);
    assert_int_equal(wheel_advance(wheel, 100000), 0);
    assert_int_equal(wheel->timers, 0);
    set(&probe, 200000);
    cancel(&probe);
    cancel(&probe);
    assert_int_equal(wheel->timers, 0);
    assert_int_equal(wheel_advance(wheel, 300000), 0);
    assert_int_equal(probe.calls, 0);
}

/* A walk by ticks over this would not end. */
static void test_huge_jump(void **state)
{
    (void)state;
    enum {
        PROBES = 5000
    };
    struct probe *probes = base_alloc(PROBES * sizeof *probes);
    for (unsigned i = 0; i < PROBES; i++) {
        init_probe(&probes[i]);
        set(&probes[i], 1000 + (int64_t)i * 37);
    }
    struct probe late;
    init_probe(&late);
    int64_t far_ms = INT64_C(1) << 60;
    set(&late, far_ms + 1);
    assert_int_equal(wheel_advance(wheel, far_ms), PROBES);
    for (unsigned i = 0; i < PROBES; i++)
        assert_int_equal(probes[i].calls, 1);
    assert_int_equal(wheel->timers, 1);
    assert_int_equal(wheel_advance(wheel, far_ms + 1), 1);
    free(probes);
}

static void test_time_going_back_is_no_time(void **state)
{
    (void)state;
    struct probe probe;
    init_probe(&probe);
    set(&probe, 1001);
    assert_int_equal(wheel_advance(wheel, 1), 0);
    assert_int_equal(wheel->now_ms, 1000);
    assert_int_equal(wheel_advance(wheel, 1001), 1);
}

static struct probe *other;

static void set_again_at_once(struct probe *probe, int64_t now_ms)
{
    set(probe, now_ms);
}

static void cancel_other(struct probe *probe, int64_t now_ms)
{
    (void)probe, (void)now_ms;
    cancel(other);
}

static void put_other_off(struct probe *probe, int64_t now_ms)
{
    (void)probe;
    set(other, now_ms + 50);
}

static void hurry_other(struct probe *probe, int64_t now_ms)
{
    (void)probe;
    set(other, now_ms - 500);
}

static void free_self(struct probe *probe, int64_t now_ms)
{
    (void)now_ms;
    free(probe);
}

static void test_callbacks_that_set(void **state)
{
    (void)state;
    struct probe a;
    init_probe(&a);
    a.act = set_again_at_once;
    set(&a, 1500);
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(wheel_advance(wheel, 1500), 1); /* each once, though it is due again */
        assert_int_equal(a.calls, i);
    }
    cancel(&a);

    struct probe *gone = base_alloc(sizeof *gone);
    init_probe(gone);
    gone->act = free_self;
    set(gone, 1600);
    assert_int_equal(wheel_advance(wheel, 1600), 1);
    assert_int_equal(wheel->timers, 0);
}

static void test_callbacks_that_touch_another_due_one(void **state)
{
    (void)state;
    struct probe a, b;
    other = &b;
    init_probe(&a);
    init_probe(&b);
    for (unsigned same_slot = 0; same_slot < 2; same_slot++) {
        int64_t now_ms = wheel->now_ms;
        unsigned calls = b.calls;
        int64_t gap_ms = same_slot ? 0 : 700;

        a.act = cancel_other;
        set(&a, now_ms + 100);
        set(&b, now_ms + 100 + gap_ms);
        assert_int_equal(wheel_advance(wheel, now_ms + 1000), 1);
        assert_int_equal(b.calls, calls);

        a.act = put_other_off;
        set(&a, now_ms + 1100);
        set(&b, now_ms + 1100 + gap_ms);
        assert_int_equal(wheel_advance(wheel, now_ms + 2000), 1);
        assert_int_equal(wheel_advance(wheel, now_ms + 2049), 0);
        assert_int_equal(wheel_advance(wheel, now_ms + 2050), 1);
        assert_int_equal(b.calls, calls + 1);

        a.act = hurry_other;
        set(&a, now_ms + 2100);
        set(&b, now_ms + 2100 + gap_ms);
        assert_int_equal(wheel_advance(wheel, now_ms + 3000), 2);
        assert_int_equal(b.calls, calls + 2);
        assert_int_equal(wheel->timers, 0);
    }
}

static uint64_t seed = 88172645463325252u;

static uint64_t next_random(uint64_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % below;
}

/* Spread over all magnitudes up to a few horizons, sometimes hours. */
static int64_t random_wait_ms(void)
{
    int64_t wait_ms = (int64_t)next_random((uint64_t)1 << (1 + next_random(17)));
    return next_random(50) == 0 ? wait_ms * 1000 : wait_ms;
}

static void act_at_random(struct probe *probe, int64_t now_ms)
{
    (void)probe;
    if (next_random(2))
        set(other + next_random(200), now_ms + 1 + random_wait_ms());
    if (next_random(4) == 0)
        cancel(other + next_random(200));
}

/* After each advance all that was due has been called, and on_due checks that nothing else was. */
static void test_against_a_plain_list(void **state)
{
    (void)state;
    enum {
        PROBES = 200
    };
    struct probe *probes = base_alloc(PROBES * sizeof *probes);
    other = probes;
    for (unsigned i = 0; i < PROBES; i++) {
        init_probe(&probes[i]);
        probes[i].act = i % 3 == 0 ? act_at_random : NULL;
    }
    uint64_t calls = 0;
    for (unsigned step = 0; step < 50000; step++) {
        for (uint64_t i = next_random(8); i > 0; i--)
            set(&probes[next_random(PROBES)], wheel->now_ms - 5 + random_wait_ms());
        if (next_random(3) == 0)
            cancel(&probes[next_random(PROBES)]);
        if (next_random(20) == 0)
            set(&probes[next_random(PROBES)], WHEEL_NEVER);
        int64_t now_ms = wheel->now_ms + (next_random(3) ? (int64_t)next_random(30) : 0);
        if (next_random(100) == 0)
            now_ms += random_wait_ms();
        calls += wheel_advance(wheel, now_ms);
        unsigned waiting = 0;
        for (unsigned i = 0; i < PROBES; i++) {
            assert_true(probes[i].due_ms > now_ms);
            if (probes[i].due_ms != WHEEL_NEVER) {
                assert_true(list_linked(&probes[i].timer.link));
                waiting++;
            }
        }
        assert_true(wheel->timers >= waiting);
    }
    assert_true(calls > 10000);
    free(probes);
}

#define WHEEL_TEST(test) cmocka_unit_test_setup_teardown(test, make_wheel, free_wheel)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WHEEL_TEST(test_called_once_when_due),
        WHEEL_TEST(test_later_is_only_a_store),
        WHEEL_TEST(test_moved_earlier),
        WHEEL_TEST(test_never_and_cancel),
        WHEEL_TEST(test_huge_jump),
        WHEEL_TEST(test_time_going_back_is_no_time),
        WHEEL_TEST(test_callbacks_that_set),
        WHEEL_TEST(test_callbacks_that_touch_another_due_one),
        WHEEL_TEST(test_against_a_plain_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
