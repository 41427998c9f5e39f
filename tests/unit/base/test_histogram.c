/* base/histogram.c: quantiles against exact ones, merging. */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static const double shares[] = {0, 0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 0.9999, 1};

static void assert_near(uint64_t value, uint64_t exact)
{
    if (value < exact || (double)(value - exact) > 0.032 * (double)exact)
        fail_msg("%llu for %llu", (unsigned long long)value, (unsigned long long)exact);
}

/* The smallest value that at least the share q is not above. */
static uint64_t exact_quantile(const uint64_t *sorted, size_t count, double q)
{
    size_t rank = 1;
    while (rank < count && (double)rank < q * (double)count)
        rank++;
    return sorted[rank - 1];
}

static void test_quantiles(void **state)
{
    (void)state;
    enum {
        VALUES = 20000
    };
    uint64_t *values = malloc(VALUES * sizeof *values), seed = 88172645463325252u;
    struct histogram *h = malloc(sizeof *h);
    for (unsigned bits = 3; bits <= 40; bits++) {
        memset(h, 0, sizeof *h);
        uint64_t sum = 0;
        for (unsigned i = 0; i < VALUES; i++) {
            /* All magnitudes below 2^bits alike. */
            unsigned magnitude = (unsigned)(next_random(&seed) % bits) + 1;
            values[i] = next_random(&seed) & (((uint64_t)1 << magnitude) - 1);
            sum += values[i];
            histogram_add(h, values[i]);
        }
        qsort(values, VALUES, sizeof *values, compare);
        for (size_t i = 0; i < weir_count(shares); i++)
            assert_near(histogram_quantile(h, shares[i]),
                        exact_quantile(values, VALUES, shares[i]));
        assert_int_equal(cell_read(&h->count), VALUES);
        assert_true(cell_read(&h->sum) == sum);
        assert_true(cell_read(&h->max) == values[VALUES - 1]);
        assert_true(histogram_quantile(h, 1) == values[VALUES - 1]);
    }
    free(values);
    free(h);
}

/* Around every power of two, where buckets change width. */
static void test_single_values(void **state)
{
    (void)state;
    struct histogram *h = malloc(sizeof *h);
    for (unsigned bit = 0; bit < 40; bit++) {
        for (int64_t offset = -2; offset <= 2; offset++) {
            uint64_t value = ((uint64_t)1 << bit) + (uint64_t)offset;
            if (value >> 40)
                continue;
            memset(h, 0, sizeof *h);
            histogram_add(h, value);
            histogram_add(h, ((uint64_t)1 << 40) - 1);
            assert_near(histogram_quantile(h, 0.5), value);
            if (value < 64)
                assert_int_equal(histogram_quantile(h, 0.5), value);
        }
    }
    free(h);
}

static void test_empty_and_huge(void **state)
{
    (void)state;
    struct histogram *h = calloc(1, sizeof *h);
    assert_int_equal(histogram_quantile(h, 0.5), 0);
    histogram_add(h, UINT64_MAX);
    histogram_add(h, (uint64_t)1 << 40);
    assert_int_equal(cell_read(&h->buckets[HISTOGRAM_BUCKETS - 1]), 2);
    assert_true(histogram_quantile(h, 0.99) == UINT64_MAX);
    free(h);
}

static void test_merge(void **state)
{
    (void)state;
    struct histogram *h = calloc(3, sizeof *h);
    for (uint64_t value = 0; value < 10000; value++)
        histogram_add(&h[value % 2], value);
    histogram_merge(&h[2], &h[0]);
    histogram_merge(&h[2], &h[1]);
    assert_int_equal(cell_read(&h[2].count), 10000);
    assert_int_equal(cell_read(&h[2].sum), 9999 * 10000 / 2);
    assert_int_equal(cell_read(&h[2].max), 9999);
    for (size_t i = 1; i < weir_count(shares); i++)
        assert_near(histogram_quantile(&h[2], shares[i]), (uint64_t)(shares[i] * 10000 - 0.5));
    free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quantiles),
        cmocka_unit_test(test_single_values),
        cmocka_unit_test(test_empty_and_huge),
        cmocka_unit_test(test_merge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
