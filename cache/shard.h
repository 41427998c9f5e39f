/*
 * cache/shard: the index, its parts and what evicts from it.
 *
 * Locks: a shard's lock and a fill's lock are leaves. No thread holds two of them, and no memory
 * is taken under one (taking memory may evict, which locks shards).
 */
#ifndef WEIR_CACHE_SHARD_H
#define WEIR_CACHE_SHARD_H

#include "cache/cache.h"
#include "cache/object.h"

#include <pthread.h>
#include <stdalign.h>

#define CACHE_FREQUENCY_MOST 3u
#define CACHE_VARIANTS_MOST 64u
#define CACHE_CHAIN_MOST 128u
#define CACHE_FILL_LISTS 32u
#define CACHE_GHOST_WAYS 8u
#define CACHE_SECRET_BYTES 192u

/* Counts of one shard; guarded by its lock. */
struct cache_shard_counts {
    uint64_t stored, evicted, expired, purged;
    uint64_t chain_full; /* objects that left because their bucket was full */
    uint64_t evicted_small, evicted_main;
};

/* A key whose responses are not to be stored: a fingerprint. A false one costs a key that nobody
   waits for a fetch of it. */
struct cache_uncacheable {
    uint32_t print;    /* 0: none */
    uint32_t until_ds; /* tenths of a second of the monotonic clock */
};
#define CACHE_UNCACHEABLE_SETS 32u
#define CACHE_UNCACHEABLE_WAYS 8u

#define CACHE_RESTING 16u

struct cache_shard {
    alignas(64) pthread_mutex_t lock;
    /* guarded by lock */
    uint32_t mask; /* buckets - 1 */
    uint32_t objects;
    struct cache_object **buckets; /* owned; the index has one reference to each object */
    /* owned; as many fingerprints as buckets, in sets of CACHE_GHOST_WAYS, newest first; 0: none */
    uint32_t *ghost;
    struct list_link small, main; /* of cache_object.queue_link, newest first */
    uint64_t body_bytes;          /* of what is in both queues: their bodies' share, */
    uint64_t shared_bytes;        /* and what of that is counted twice: bodies of several objects */
    int64_t uncacheable_until_ms; /* of none longer than that */
    uint32_t findable;            /* fills in the lists below: mostly none */
    /* a set is one line of the processor's cache */
    alignas(64) struct cache_uncacheable
        uncacheable[CACHE_UNCACHEABLE_SETS][CACHE_UNCACHEABLE_WAYS];
    struct cache_uncacheable resting[CACHE_RESTING]; /* keys whose refresh has failed just now */
    /* findable ones, borrowed: each leaves before its writer's reference does */
    struct list_link fills[CACHE_FILL_LISTS]; /* of cache_fill.link */
    uint64_t purges; /* ever: what was asked for alone before one is not stored after it */
    struct cache_shard_counts counts;
    /* written under lock, read by anyone */
    _Atomic uint64_t bytes; /* weight of what is in both queues */
};

/* When memory was short, and whether it is. */
struct cache_shortage {
    bool under_way;
    int64_t last_ms;
    uint64_t episodes;
    uint64_t passes, refused;               /* when last looked at */
    uint64_t passes_before, refused_before; /* it began */
};

/* The walk through all that is stored. Main thread only. */
struct cache_walk {
    bool under_way;
    uint32_t shard, bucket;         /* where it goes on */
    uint64_t turn_steps;            /* of a turn, at least, so that it ends some time */
    uint64_t number, walked_number; /* the log's when it began; when the last complete one did */
    int64_t ended_ms;
    uint64_t walks;               /* ever */
    unsigned jobs;                /* in both lists */
    struct list_link waiting, on; /* of cache_purge_job.link: for the next walk, in this one */
};

#define CACHE_MAGIC 0xcac4e001u

struct cache {
    uint32_t magic;
    /* fixed */
    uint32_t shard_count; /* a power of two */
    uint64_t limit, max_object;
    uint64_t limit_stored; /* the rest is left to fills and passes */
    struct cache_shard *shards;
    struct cache_log *log; /* owned: purge.h */
    alignas(64) unsigned char secret[CACHE_SECRET_BYTES];
    /* main thread only */
    uint32_t sweep_shard, sweep_bucket;
    int64_t watched_ms;
    struct cache_shortage shortage;
    struct cache_walk walk;
    /* atomics */
    alignas(64) _Atomic uint64_t bytes; /* all that is counted */
    _Atomic uint64_t small_bytes;       /* weight of what is in small queues */
    _Atomic uint64_t fills, readers;
    _Atomic uint32_t evict_turn;
    _Atomic bool is_short; /* what was to be stored last found no room */
    _Atomic uint64_t pinned, short_passes, short_refused, fills_aborted, readers_cut;
};

/* Critical sections are shorter than going to sleep: a thread looks a few times more first. */
static inline void cache_lock_init(pthread_mutex_t *lock)
{
    pthread_mutexattr_t attributes;
    weir_assert(pthread_mutexattr_init(&attributes) == 0);
    weir_assert(pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ADAPTIVE_NP) == 0);
    weir_assert(pthread_mutex_init(lock, &attributes) == 0);
    pthread_mutexattr_destroy(&attributes);
}

static inline struct cache_shard *cache_shard_of(struct cache *cache, const struct cache_key *key)
{
    return &cache->shards[key->check & (cache->shard_count - 1)];
}

/* ---- index.c ---- */

void cache_shard_init(struct cache *cache, struct cache_shard *shard);
/* Releases what is stored; no fill is left. */
void cache_shard_destroy(struct cache *cache, struct cache_shard *shard);

/* The most recent object of that key in the rest of a chain, by its Date. */
static inline struct cache_object *cache_index_next_locked(const struct cache_key *key,
                                                           struct cache_object *rest)
{
    while (rest != NULL && !cache_object_has_key(rest, key))
        rest = rest->next;
    return rest;
}

static inline struct cache_object *cache_index_first_locked(const struct cache_shard *shard,
                                                            const struct cache_key *key)
{
    return cache_index_next_locked(key, shard->buckets[key->hash & shard->mask]);
}

/* Takes the caller's reference. What it replaces (same key, same vary) and what the bounds push out
   is put before *gone. True: the table should grow. */
bool cache_index_insert_locked(struct cache_shard *shard, struct cache_object *object,
                               struct cache_object **gone);
/* Puts a successor into the place of `old`, in the eviction order too. Takes the caller's
   reference. */
void cache_index_replace_locked(struct cache_shard *shard, struct cache_object *old,
                                struct cache_object *object, struct cache_object **gone);
/* Out of table and queue; put before *gone, with the index's reference. */
void cache_index_remove_locked(struct cache_shard *shard, struct cache_object *object,
                               struct cache_object **gone);
/* Doubles the table when there are more objects than buckets; no lock may be held. */
void cache_index_grow(struct cache *cache, struct cache_shard *shard);
/* Drops the index's references; no lock may be held. */
void cache_index_release(struct cache_object *gone);

struct list_link *cache_index_fills(struct cache_shard *shard, const struct cache_key *key);
void cache_index_add_fill_locked(struct cache_shard *shard, struct cache_fill *fill);
void cache_index_remove_fill_locked(struct cache_fill *fill);

/* ---- evict.c ---- */

/* Into a queue, as S3-FIFO has it. */
void cache_evict_admit_locked(struct cache_shard *shard, struct cache_object *object);
void cache_evict_forget_locked(struct cache_shard *shard, struct cache_object *object);
/* `object` takes the place of `old` in its queue. */
void cache_evict_replace_locked(struct cache_shard *shard, struct cache_object *old,
                                struct cache_object *object);
/* Objects leave until `bytes` more fit under `limit` or the bound is reached; no lock may be held.
 */
void cache_evict(struct cache *cache, uint64_t bytes, uint64_t limit);

/* ---- hitformiss.c ---- */

/* Remembers that what this key gives is not to be shared; or, `authorized`, that what it gives to
   requests with Authorization is not. */
void cache_hit_for_miss_set_locked(struct cache_shard *shard, const struct cache_key *key,
                                   bool authorized, int64_t until_ms);
/* It is shared after all; `authorized`: among those as well. */
void cache_hit_for_miss_clear_locked(struct cache_shard *shard, const struct cache_key *key,
                                     bool authorized);
/* For a request with Authorization, or for one without. */
bool cache_hit_for_miss_find_locked(const struct cache_shard *shard, const struct cache_key *key,
                                    bool authorized, int64_t now_ms);
/* It will be looked for soon, and is mostly no longer in the processor's cache. */
void cache_hit_for_miss_prefetch(const struct cache_shard *shard, const struct cache_key *key);
unsigned cache_hit_for_miss_count_locked(const struct cache_shard *shard, int64_t now_ms);

/* A key whose refresh has failed: no other before that time. What the table forgets costs one more
   attempt. */
void cache_rest_set_locked(struct cache_shard *shard, const struct cache_key *key,
                           int64_t until_ms);
bool cache_rests_locked(const struct cache_shard *shard, const struct cache_key *key,
                        int64_t now_ms);

#endif
