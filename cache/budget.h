/*
 * cache/budget: all memory of a cache, counted as the allocator sets it aside, and held under
 * its cap. Any thread.
 */
#ifndef WEIR_CACHE_BUDGET_H
#define WEIR_CACHE_BUDGET_H

#include "cache/cache.h"

/* Evicts when the cap is reached; hence no lock of the cache may be held. NULL: nothing more can be
   evicted, or memory is out. */
void *cache_budget_alloc(struct cache *cache, size_t bytes);
/* Any lock may be held; ptr may be NULL. */
void cache_budget_free(struct cache *cache, void *ptr);

#endif
