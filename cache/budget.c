/*
 * The budget of a cache: every allocation for objects, bodies, fills, index tables and ghost
 * lists comes from here and is counted in the allocator's size classes from the moment it is
 * made until it is freed, evicted objects that a reader holds included. So the count never
 * passes the cap. Any thread; a counter per cache, no lock.
 *
 * Short of memory (what is stored has been evicted as far as a bounded effort goes, and the rest
 * is held by fills and readers) it goes in steps: nothing more is stored, and new fills become
 * passes with a small window that nobody joins, out of a reserve that what is stored leaves
 * alone; when that is used up too, requests are refused. Both are counted, and an episode is
 * logged once.
 */
#include "cache/budget.h"
#include "cache/fill.h"
#include "cache/shard.h"

#include <stdlib.h>

#define EPISODE_ENDS_AFTER_MS 10000
/* What one thread has evicted for itself another may have taken meanwhile. */
#define TRIES 4u

static bool charge(struct cache *cache, uint64_t bytes, uint64_t limit)
{
    uint64_t before = atomic_load_explicit(&cache->bytes, memory_order_relaxed);
    do {
        if (bytes > limit || before > limit - bytes)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&cache->bytes, &before, before + bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

static void *alloc(struct cache *cache, size_t bytes, uint64_t limit)
{
    void *ptr = malloc(bytes);
    if (ptr == NULL)
        return NULL;
    *(char *)ptr = 0; /* gcc: what is measured must not be uninitialized */
    uint64_t real = base_allocated_bytes(ptr);
    for (unsigned tries = 0; weir_unlikely(!charge(cache, real, limit)); tries++) {
        if (tries == TRIES) {
            free(ptr);
            return NULL;
        }
        cache_evict(cache, real, limit);
    }
    return ptr;
}

void *cache_budget_alloc(struct cache *cache, size_t bytes)
{
    return alloc(cache, bytes, cache->limit);
}

void *cache_budget_alloc_stored(struct cache *cache, size_t bytes)
{
    return alloc(cache, bytes, cache->limit_stored);
}

static bool fits(struct cache *cache, uint64_t bytes)
{
    return atomic_load_explicit(&cache->bytes, memory_order_relaxed) + bytes <= cache->limit_stored;
}

static bool is_short(const struct cache *cache)
{
    return atomic_load_explicit(&cache->is_short, memory_order_relaxed);
}

void *cache_lend(struct cache *cache, size_t bytes)
{
    void *ptr = cache_budget_alloc(cache, bytes);
    if (ptr == NULL)
        cache_budget_note_refused(cache);
    return ptr;
}

void cache_take_back(struct cache *cache, void *ptr)
{
    cache_budget_free(cache, ptr);
}

bool cache_budget_has_room(struct cache *cache, uint64_t bytes)
{
    bool has = fits(cache, bytes);
    for (unsigned tries = 0; weir_unlikely(!has) && tries < TRIES; tries++) {
        cache_evict(cache, bytes, cache->limit_stored);
        has = fits(cache, bytes);
    }
    /* Not written again while it stays as it is: the line is shared between cores. */
    if (weir_unlikely(has == is_short(cache)))
        atomic_store_explicit(&cache->is_short, !has, memory_order_relaxed);
    return has;
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

void cache_budget_pin(struct cache *cache, uint64_t bytes)
{
    atomic_fetch_add_explicit(&cache->pinned, bytes, memory_order_relaxed);
}

void cache_budget_unpin(struct cache *cache, uint64_t bytes)
{
    uint64_t before = atomic_fetch_sub_explicit(&cache->pinned, bytes, memory_order_relaxed);
    weir_assert(before >= bytes);
}

uint64_t cache_budget_pass_window(const struct cache *cache)
{
    return is_short(cache) ? CACHE_PASS_WINDOW_SHORT : CACHE_PASS_WINDOW;
}

size_t cache_budget_pass_chunk(const struct cache *cache)
{
    return is_short(cache) ? CACHE_PASS_CHUNK_SHORT : CACHE_PASS_CHUNK_MOST;
}

/* ---- shortage ---- */

void cache_budget_note_pass(struct cache *cache)
{
    atomic_fetch_add_explicit(&cache->short_passes, 1, memory_order_relaxed);
}

void cache_budget_note_refused(struct cache *cache)
{
    atomic_fetch_add_explicit(&cache->short_refused, 1, memory_order_relaxed);
}

void cache_watch_memory(struct cache *cache, int64_t now_ms)
{
    uint64_t passes = atomic_load_explicit(&cache->short_passes, memory_order_relaxed);
    uint64_t refused = atomic_load_explicit(&cache->short_refused, memory_order_relaxed);
    struct cache_shortage *shortage = &cache->shortage;
    bool goes_on = passes != shortage->passes || refused != shortage->refused;
    uint64_t passes_before = shortage->passes, refused_before = shortage->refused;

    cache->watched_ms = now_ms;
    shortage->passes = passes;
    shortage->refused = refused;
    if (goes_on) {
        shortage->last_ms = now_ms;
        if (shortage->under_way)
            return;
        shortage->under_way = true;
        shortage->episodes++;
        shortage->passes_before = passes_before;
        shortage->refused_before = refused_before;
        log_warn("storing a response: cache.memory (%llu bytes) is held by responses that are on "
                 "their way; until some of it is free, responses are passed on without being "
                 "stored or shared, and when nothing is left, requests are answered 503",
                 (unsigned long long)cache->limit);
    } else if (shortage->under_way && now_ms - shortage->last_ms >= EPISODE_ENDS_AFTER_MS) {
        shortage->under_way = false;
        log_info("cache.memory suffices again: since it was short, %llu responses were passed on "
                 "and %llu requests refused",
                 (unsigned long long)(passes - shortage->passes_before),
                 (unsigned long long)(refused - shortage->refused_before));
    }
}
