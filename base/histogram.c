/*
 * Histograms of latencies and sizes: log-linear, of fixed memory, written by one thread, read by
 * any.
 *
 * Each power of two is cut into 32 buckets of equal width, and values below 32 have a bucket each:
 * so a value and the middle of its bucket differ by at most 1/64 of it. Adding is some shifts and a
 * few plain stores, on the request path. Who reads merges the threads' histograms into one of its
 * own; what is being added meanwhile is seen or not, and the merged count is that of the buckets
 * that were seen.
 */
#include "base/base.h"

#define SUB_BUCKETS (1u << HISTOGRAM_SUB_BITS)

/* Below SUB_BUCKETS the value itself; above, the power of two and the next bits after the highest.
 */
static unsigned bucket_of(uint64_t value)
{
    if (value < SUB_BUCKETS)
        return (unsigned)value;
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - HISTOGRAM_SUB_BITS;
    uint64_t bucket = ((uint64_t)shift << HISTOGRAM_SUB_BITS) + (value >> shift);
    return bucket < HISTOGRAM_BUCKETS ? (unsigned)bucket : HISTOGRAM_BUCKETS - 1;
}

/* The largest value of a bucket. */
static uint64_t bucket_end(unsigned bucket)
{
    if (bucket < SUB_BUCKETS)
        return bucket;
    unsigned shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
    uint64_t first = bucket - ((uint64_t)shift << HISTOGRAM_SUB_BITS);
    return ((first + 1) << shift) - 1;
}

/* What stands for all values of a bucket: none is further from it than half the bucket's width. */
static uint64_t bucket_middle(unsigned bucket)
{
    unsigned shift = bucket < SUB_BUCKETS ? 0 : (bucket >> HISTOGRAM_SUB_BITS) - 1;
    return bucket_end(bucket) - (((uint64_t)1 << shift) - 1) / 2;
}

void histogram_add(struct histogram *h, uint64_t value)
{
    cell_add(&h->buckets[bucket_of(value)], 1);
    cell_add(&h->count, 1);
    cell_add(&h->sum, value);
    if (value > cell_read(&h->max))
        atomic_store_explicit(&h->max, value, memory_order_relaxed);
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    uint64_t count = 0;
    if (cell_read(&from->count) == 0)
        return;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t n = cell_read(&from->buckets[i]);
        if (n > 0)
            cell_add(&into->buckets[i], n);
        count += n;
    }
    cell_add(&into->count, count);
    cell_add(&into->sum, cell_read(&from->sum));
    uint64_t max = cell_read(&from->max);
    if (max > cell_read(&into->max))
        atomic_store_explicit(&into->max, max, memory_order_relaxed);
}

uint64_t histogram_bound(uint64_t value)
{
    return bucket_end(bucket_of(value));
}

void histogram_count_below(const struct histogram *h, const uint64_t *bounds, unsigned count,
                           uint64_t *counts)
{
    uint64_t seen = 0;
    unsigned bucket = 0;
    for (unsigned i = 0; i < count; i++) {
        for (; bucket < HISTOGRAM_BUCKETS && bucket_end(bucket) <= bounds[i]; bucket++)
            seen += cell_read(&h->buckets[bucket]);
        counts[i] = seen;
    }
}

uint64_t histogram_quantile(const struct histogram *h, double q)
{
    uint64_t count = cell_read(&h->count), max = cell_read(&h->max);
    if (count == 0)
        return 0;
    double share = q * (double)count;
    uint64_t rank = share >= (double)count ? count : share <= 0 ? 0 : (uint64_t)share;
    if ((double)rank < share || rank == 0)
        rank++;
    if (rank == count)
        return max;

    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
        seen += cell_read(&h->buckets[i]);
        if (seen >= rank)
            return bucket_middle(i) < max ? bucket_middle(i) : max;
    }
    return max;
}
