/*
 * What is replayed: a sequence of requests, made from a seed or read from a trace.
 */
#ifndef WEIR_TESTS_BENCH_WORKLOAD_H
#define WEIR_TESTS_BENCH_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All arrays are owned. */
struct workload {
    size_t requests;
    uint32_t *key;      /* of each request, below `keys` */
    int64_t *now_ms;    /* of each request */
    uint32_t keys;      /* of which not all need be asked for */
    uint32_t catalogue; /* keys from here on are a scan's: asked for once */
    uint64_t *size;     /* of each key's body */
};

struct workload_shape {
    double alpha; /* of the Zipf distribution: rank r has a share of 1 / r^alpha */
    uint32_t keys;
    size_t requests;
    bool scan; /* a third of the requests are for new keys, in long runs */
    uint64_t seed;
};

/* One request a millisecond; sizes are log-normal between 100 B and 256 KiB. Ends the program when
 * memory is out. */
struct workload workload_make(const struct workload_shape *shape);
/* Of lines "time,key,size"; a key keeps the size that it came with first. What cannot be read ends
 * the program with a line that says where. */
struct workload workload_read(const char *path);
void workload_free(struct workload *workload);

#endif
