/*
 * The policies that Weir's eviction is held against: simple and exact, one thread, one queue each
 * for the whole cache, no memory of their own accounted.
 */
#ifndef WEIR_TESTS_BENCH_POLICIES_H
#define WEIR_TESTS_BENCH_POLICIES_H

#include "workload.h"

#define REFERENCE_KINDS(X)                                                                         \
    X(FIFO, "fifo")                                                                                \
    X(LRU, "lru")                                                                                  \
    X(S3FIFO, "s3fifo")                                                                            \
    X(BELADY, "belady")

enum reference_kind {
#define X(symbol, name) REFERENCE_##symbol,
    REFERENCE_KINDS(X)
#undef X
    REFERENCE_KIND_COUNT
};

/* What a policy has room for: `bytes`; each key weighs weights[key]. Keys that weigh nothing are
 * never stored. For Belady all weights are the same. */
struct reference_room {
    uint64_t bytes;
    const uint64_t *weights; /* borrowed */
};

struct reference_outcome {
    uint64_t hits, hit_bytes; /* bytes of bodies */
    uint64_t bytes, objects;  /* stored at the end */
};

/* Runs the whole workload through an empty cache. */
struct reference_outcome reference_replay(enum reference_kind kind, const struct workload *workload,
                                          const struct reference_room *room);

#endif
