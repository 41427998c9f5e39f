/* base/clock.c: both clocks run, and move together where a test asks for it. */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

static void test_advance_moves_both(void **state)
{
    (void)state;
    int64_t mono_us = base_clock_mono_us(), wall_us = base_clock_wall_us();
    assert_true(wall_us > INT64_C(1700000000) * 1000000);
    assert_true(base_clock_mono_us() - mono_us < 600 * 1000000LL);
    base_clock_advance(3600 * 1000);
    int64_t mono_moved_us = base_clock_mono_us() - mono_us;
    int64_t wall_moved_us = base_clock_wall_us() - wall_us;
    assert_true(mono_moved_us >= 3600 * 1000000LL && mono_moved_us < 4200 * 1000000LL);
    assert_true(wall_moved_us > 3000 * 1000000LL && wall_moved_us < 4200 * 1000000LL);
}

static void test_held_both_stand_until_moved(void **state)
{
    (void)state;
    int64_t mono_us = base_clock_mono_us(), wall_us = base_clock_wall_us();
    base_clock_hold();
    assert_true(base_clock_mono_us() >= mono_us && base_clock_wall_us() >= wall_us);
    mono_us = base_clock_mono_us(), wall_us = base_clock_wall_us();
    assert_int_equal(wall_us % 1000000, 0);
    assert_int_equal(mono_us % 1000000, 0);
    assert_int_equal(nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL), 0);
    assert_true(base_clock_mono_us() == mono_us && base_clock_wall_us() == wall_us);
    base_clock_advance(5000);
    assert_true(base_clock_mono_us() == mono_us + 5000000);
    assert_true(base_clock_wall_us() == wall_us + 5000000);
}

static void test_a_step_moves_the_wall_only(void **state)
{
    (void)state;
    int64_t mono_us = base_clock_mono_us(), wall_us = base_clock_wall_us();
    base_clock_step_wall(-7200 * 1000);
    int64_t moved_us = base_clock_wall_us() - wall_us;
    assert_true(moved_us < -6600 * 1000000LL && moved_us > -7800 * 1000000LL);
    base_clock_step_wall(7200 * 1000);
    assert_true(base_clock_wall_us() - wall_us < 600 * 1000000LL);
    moved_us = base_clock_mono_us() - mono_us;
    assert_true(moved_us >= 0 && moved_us < 600 * 1000000LL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_advance_moves_both),
                                       cmocka_unit_test(test_a_step_moves_the_wall_only),
                                       cmocka_unit_test(test_held_both_stand_until_moved)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
