/* base/histogram.c: quantiles against exact ones, cumulative counts, merging. */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <pthread.h>
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
    if (fabs((double)value - (double)exact) > 0.016 * (double)exact)
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

/* ---- a million samples of what latencies look like ---- */

#define SAMPLES 1000000
#define PROMISED 0.03

/* Above 0 and below 1. */
static double next_share(uint64_t *seed)
{
    return ((double)(next_random(seed) >> 11) + 0.5) / 9007199254740992.0;
}

static double next_normal(uint64_t *seed)
{
    double radius = sqrt(-2 * log(next_share(seed)));
    return radius * cos(6.283185307179586 * next_share(seed));
}

static double uniform(uint64_t *seed)
{
    return 1e6 * next_share(seed);
}

static double exponential(uint64_t *seed)
{
    return -20e3 * log(next_share(seed));
}

static double log_normal(uint64_t *seed)
{
    return 3e3 * exp(1.5 * next_normal(seed));
}

/* Hits from memory, and misses of a slow origin. */
static double bimodal(uint64_t *seed)
{
    double mean = next_share(seed) < 0.9 ? 40 : 350e3, value = mean * (1 + 0.1 * next_normal(seed));
    return value > 0 ? value : 0;
}

static double constant(uint64_t *seed)
{
    (void)seed;
    return 123457;
}

static double tiny(uint64_t *seed)
{
    return 4 * next_share(seed);
}

static const struct {
    const char *name;
    double (*next)(uint64_t *seed);
} distributions[] = {
    {"uniform", uniform}, {"exponential", exponential}, {"log-normal", log_normal},
    {"bimodal", bimodal}, {"constant", constant},       {"tiny", tiny},
};

static double error_of(uint64_t value, uint64_t exact)
{
    return fabs((double)value - (double)exact) / (exact > 0 ? (double)exact : 1);
}

static void test_a_million_samples(void **state)
{
    (void)state;
    static const double asked[] = {0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999};
    uint64_t *values = malloc(SAMPLES * sizeof(*values)), seed = 88172645463325252u;
    struct histogram *h = malloc(sizeof(*h));
    for (size_t d = 0; d < weir_count(distributions); d++) {
        double worst = 0;
        memset(h, 0, sizeof(*h));
        for (unsigned i = 0; i < SAMPLES; i++) {
            values[i] = (uint64_t)distributions[d].next(&seed);
            histogram_add(h, values[i]);
        }
        qsort(values, SAMPLES, sizeof(*values), compare);
        assert_int_equal(cell_read(&h->count), SAMPLES);
        for (size_t q = 0; q < weir_count(asked); q++) {
            double error = error_of(histogram_quantile(h, asked[q]),
                                    exact_quantile(values, SAMPLES, asked[q]));
            worst = error > worst ? error : worst;
        }
        print_message("%s: at most %.2f %% off\n", distributions[d].name, 100 * worst);
        if (worst > PROMISED)
            fail_msg("%s: a quantile is %.2f %% off", distributions[d].name, 100 * worst);
    }
    free(values);
    free(h);
}

/* ---- cumulative counts ---- */

static void test_bounds(void **state)
{
    (void)state;
    for (uint64_t value = 0; value < 5000; value++) {
        uint64_t bound = histogram_bound(value);
        assert_true(bound >= value);
        assert_true(histogram_bound(bound) == bound);
        if (bound > value)
            assert_true(histogram_bound(value + 1) == bound);
    }
    for (unsigned bit = 0; bit < 40; bit++)
        assert_true(histogram_bound((uint64_t)1 << bit) - ((uint64_t)1 << bit) <=
                    ((uint64_t)1 << bit) / 32);
}

/* A value on a bound is counted, the next one is not. */
static void test_counts_below(void **state)
{
    (void)state;
    struct histogram *h = calloc(1, sizeof(*h));
    uint64_t bounds[] = {0, histogram_bound(100), histogram_bound(100000),
                         histogram_bound(1u << 30)};
    uint64_t counts[weir_count(bounds)];
    for (size_t i = 0; i < weir_count(bounds); i++) {
        histogram_add(h, bounds[i]);
        histogram_add(h, bounds[i] + 1);
    }
    histogram_add(h, UINT64_MAX);
    histogram_count_below(h, bounds, weir_count(bounds), counts);
    for (size_t i = 0; i < weir_count(bounds); i++)
        assert_int_equal(counts[i], 2 * i + 1);
    free(h);
}

/* ---- merging while others write ---- */

#define WRITERS 4
#define WRITTEN 200000

struct writer {
    struct histogram h;
    uint64_t seed;
    pthread_t thread;
};

static void *write_values(void *arg)
{
    struct writer *writer = arg;
    for (unsigned i = 0; i < WRITTEN; i++)
        histogram_add(&writer->h, next_random(&writer->seed) & 0xffff);
    return NULL;
}

static uint64_t sum_of_buckets(const struct histogram *h)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        sum += cell_read(&h->buckets[i]);
    return sum;
}

static void merge_all(struct histogram *into, const struct writer *writers)
{
    memset(into, 0, sizeof(*into));
    for (unsigned i = 0; i < WRITERS; i++)
        histogram_merge(into, &writers[i].h);
}

static void test_merge_while_written(void **state)
{
    (void)state;
    struct writer *writers = calloc(WRITERS, sizeof(*writers));
    struct histogram *h = malloc(sizeof(*h));
    uint64_t count = 0, sum = 0, expected = 0;
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i].seed = 88172645463325252u + i;
        for (uint64_t seed = writers[i].seed, n = 0; n < WRITTEN; n++)
            expected += next_random(&seed) & 0xffff;
    }
    for (unsigned i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_values, &writers[i]), 0);
    while (count < (uint64_t)WRITERS * WRITTEN) {
        merge_all(h, writers);
        assert_true(cell_read(&h->count) == sum_of_buckets(h));
        assert_true(cell_read(&h->count) >= count && cell_read(&h->sum) >= sum);
        assert_true(cell_read(&h->max) <= 0xffff);
        assert_true(histogram_quantile(h, 0.99) <= 0xffff);
        count = cell_read(&h->count);
        sum = cell_read(&h->sum);
    }
    for (unsigned i = 0; i < WRITERS; i++)
        pthread_join(writers[i].thread, NULL);
    merge_all(h, writers);
    assert_true(cell_read(&h->sum) == expected);
    assert_true(cell_read(&h->count) == (uint64_t)WRITERS * WRITTEN);
    free(writers);
    free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quantiles),         cmocka_unit_test(test_single_values),
        cmocka_unit_test(test_empty_and_huge),    cmocka_unit_test(test_merge),
        cmocka_unit_test(test_a_million_samples), cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_counts_below),      cmocka_unit_test(test_merge_while_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
