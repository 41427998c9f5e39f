/*
 * The bodies that filler.c sends and churn.c expects. A path is "/<length>/<number>": the length of
 * the body, and where in one stretch of noise it begins, so that a mixed-up body is seen.
 */
#ifndef WEIR_TESTS_BENCH_FILLER_H
#define WEIR_TESTS_BENCH_FILLER_H

#include "bench.h"

#define FILLER_BODY_MOST ((size_t)4 << 20)
#define FILLER_STARTS 4096
#define FILLER_STEP 61

static char filler_noise[FILLER_BODY_MOST + FILLER_STARTS * FILLER_STEP];

static inline uint64_t filler_random(uint64_t number)
{
    uint64_t x = number + 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static inline void filler_make_noise(void)
{
    for (size_t i = 0; i < sizeof filler_noise; i++)
        filler_noise[i] = (char)filler_random(i);
}

static inline const char *filler_body(uint64_t number)
{
    return filler_noise + number % FILLER_STARTS * FILLER_STEP;
}

#endif
