/*
 * cache/budget: all memory of a cache, counted as the allocator sets it aside, and held under
 * its cap. Any thread.
 */
#ifndef WEIR_CACHE_BUDGET_H
#define WEIR_CACHE_BUDGET_H

#include "cache/cache.h"

/* For what has to go on: fills, their heads, passes. Evicts when the cap is reached; hence no lock
   of the cache may be held. NULL: nothing more can be evicted, or memory is out. */
void *cache_budget_alloc(struct cache *cache, size_t bytes);
/* The same for what is to be stored: leaves a reserve to the others. */
void *cache_budget_alloc_stored(struct cache *cache, size_t bytes);
/* Whether so much more could be stored; evicts like an allocation, and takes nothing. */
bool cache_budget_has_room(struct cache *cache, uint64_t bytes);
/* Any lock may be held; ptr may be NULL. */
void cache_budget_free(struct cache *cache, void *ptr);

/* Of what is counted: out of the index, and still being read. */
void cache_budget_pin(struct cache *cache, uint64_t bytes);
void cache_budget_unpin(struct cache *cache, uint64_t bytes);

/* How far a pass may be ahead of its slowest reader, and the size of its chunks: less while nothing
   can be stored. */
uint64_t cache_budget_pass_window(const struct cache *cache);
size_t cache_budget_pass_chunk(const struct cache *cache);

/* For want of memory: a fill became a pass; a request could not be served. */
void cache_budget_note_pass(struct cache *cache);
void cache_budget_note_refused(struct cache *cache);

#endif
