/*
 * The budget of a cache: every allocation for objects, bodies, fills, index tables and ghost
 * lists comes from here and is counted in the allocator's size classes from the moment it is
 * made until it is freed, evicted objects that a reader holds included. So the count never
 * passes the cap. Any thread; a counter per cache, no lock.
 */
#include "cache/budget.h"
#include "cache/shard.h"

#include <stdlib.h>

static bool charge(struct cache *cache, uint64_t bytes)
{
    uint64_t before = atomic_load_explicit(&cache->bytes, memory_order_relaxed);
    do {
        if (bytes > cache->limit || before > cache->limit - bytes)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&cache->bytes, &before, before + bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

void *cache_budget_alloc(struct cache *cache, size_t bytes)
{
    void *ptr = malloc(bytes);
    if (ptr == NULL)
        return NULL;
    *(char *)ptr = 0; /* gcc: what is measured must not be uninitialized */
    uint64_t real = base_allocated_bytes(ptr);
    if (weir_likely(charge(cache, real)))
        return ptr;
    cache_evict(cache, real);
    if (charge(cache, real))
        return ptr;
    free(ptr);
    return NULL;
}

void cache_budget_free(struct cache *cache, void *ptr)
{
    if (ptr == NULL)
        return;
    uint64_t real = base_allocated_bytes(ptr);
    uint64_t before = atomic_fetch_sub_explicit(&cache->bytes, real, memory_order_relaxed);
    weir_assert(before >= real);
    free(ptr);
}
