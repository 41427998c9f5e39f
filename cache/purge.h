/*
 * cache/purge, from inside: the log of purges by tag, and how lookups and fills heed it.
 */
#ifndef WEIR_CACHE_PURGE_H
#define WEIR_CACHE_PURGE_H

#include "cache/shard.h"
#include "cache/tags.h"

/* The last purges by tag. What has not been compared for longer counts as purged. */
#define CACHE_LOG_ENTRIES 4096u

struct cache_log {
    pthread_mutex_t lock; /* of writers; a leaf, like a shard's */
    /* atomics: an entry is written before `number` counts it */
    _Atomic uint64_t number; /* ever; entry n lies at n % CACHE_LOG_ENTRIES */
    _Atomic uint64_t entries[CACHE_LOG_ENTRIES];
    _Atomic uint32_t purged[CACHE_LOG_ENTRIES]; /* stored responses that each has reached */
    /* Whether there is anything yet for which an entry would be of use. */
    _Atomic bool has_longer_keys, has_any_group;
};

void cache_log_init(struct cache *cache);
void cache_log_destroy(struct cache *cache);

static inline uint64_t cache_log_number(const struct cache_log *log)
{
    return atomic_load_explicit((_Atomic uint64_t *)&log->number, memory_order_acquire);
}

/* A key with more than a URL, or a response with too many groups, is about to be stored. */
void cache_purge_expect_longer_keys(struct cache *cache);
void cache_purge_expect_any_group(struct cache *cache);

/* Compares a tagged object with the purges since it was last looked at. False: it has left the
   index, put before *gone. */
bool cache_purge_spares_locked(struct cache_shard *shard, struct cache_object *object,
                               int64_t now_ms, struct cache_object **gone);
/* Whether what the fill brings was asked for before a purge that reaches it. */
bool cache_purge_reaches_fill_locked(struct cache_shard *shard, struct cache_fill *fill,
                                     const struct cache_tags *tags);
/* Whether a lookup may not join it for that; or, as its tags are not known yet, may not know. */
bool cache_purge_hides_fill_locked(struct cache_shard *shard, struct cache_fill *fill);

#endif
