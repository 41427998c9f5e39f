/*
 * Eviction: S3-FIFO by bytes. Called by the index for what comes and goes, and by the budget
 * when the cap is reached.
 *
 * Each shard has a small and a main queue and a ghost list; the cap is the cache's. A new object
 * enters the small queue, or the main one when the ghost list remembers that it left lately. A
 * hit only counts, up to three (cache.c). The small queue gives way while all of them together
 * hold more than a tenth of the cap (a tenth of a shard would be too small for a large object):
 * what was asked for twice moves on to the main queue, the rest leaves, remembered as a
 * fingerprint. Otherwise the main queue gives way: what was asked for goes round once more for
 * each time, the rest leaves.
 *
 * Shards give way by turns, of two the fuller one, so that they stay alike and an object larger
 * than a shard's share still fits. Only one object leaves at each turn: several would be young
 * ones of a small shard, while others keep what is old. The work is bounded twice: steps under
 * one lock, and evictions per allocation (in proportion to its bytes).
 */
#include "cache/budget.h"
#include "cache/shard.h"

#define STEPS_PER_LOCK 256u
/* Evictions allowed for one allocation: these, and one more for each so many bytes. */
#define EVICTIONS_LEAST 64u
/* After so many locks in a row under which everything was asked for again, what is oldest leaves. */
#define IN_VAIN_MOST 8u
#define BYTES_PER_EVICTION 128u

static uint32_t fingerprint(uint64_t hash)
{
    uint32_t print = (uint32_t)(hash >> 32);
    return print != 0 ? print : 1;
}

static uint32_t *ghost_set(struct cache_shard *shard, uint32_t print)
{
    uint32_t sets = (shard->mask + 1) / CACHE_GHOST_WAYS;
    return &shard->ghost[(print & (sets - 1)) * CACHE_GHOST_WAYS];
}

/* How much of each set is used: about as many are remembered as are stored, whatever the table has
   room for. What is remembered for longer fills the main queue with what is seldom used. */
static uint32_t ghost_ways(const struct cache_shard *shard)
{
    uint64_t ways = (uint64_t)shard->objects * CACHE_GHOST_WAYS / (shard->mask + 1);
    return ways < 1 ? 1 : ways < CACHE_GHOST_WAYS ? (uint32_t)ways : CACHE_GHOST_WAYS;
}

static void remember(struct cache_shard *shard, uint64_t hash)
{
    uint32_t print = fingerprint(hash);
    uint32_t *set = ghost_set(shard, print);
    uint32_t ways = ghost_ways(shard);
    memmove(set + 1, set, (ways - 1) * sizeof(*set));
    memset(set + ways, 0, (CACHE_GHOST_WAYS - ways) * sizeof(*set));
    set[0] = print;
}

/* True, once, when it left lately. */
static bool recall(struct cache_shard *shard, uint64_t hash)
{
    uint32_t print = fingerprint(hash);
    uint32_t *set = ghost_set(shard, print);
    for (unsigned i = 0; i < CACHE_GHOST_WAYS; i++) {
        if (set[i] != print)
            continue;
        memmove(set + i, set + i + 1, (CACHE_GHOST_WAYS - 1 - i) * sizeof(*set));
        set[CACHE_GHOST_WAYS - 1] = 0;
        return true;
    }
    return false;
}

static void count_out_of_small(const struct cache_object *object)
{
    uint64_t weight = cache_object_weight(object);
    uint64_t before =
        atomic_fetch_sub_explicit(&object->cache->small_bytes, weight, memory_order_relaxed);
    weir_assert(before >= weight);
}

/* Variants of a key may have one body (RFC 9111 §4.3.4). */
static void count_shared(struct cache_shard *shard, const struct cache_object *object, bool in)
{
    struct cache_body *body = cache_object_body(object);
    if (weir_likely(body == NULL))
        return;
    if (in && body->indexed++ > 0)
        shard->shared_bytes += body->weight;
    else if (!in && --body->indexed > 0)
        shard->shared_bytes -= body->weight;
}

static void count_in(struct cache_shard *shard, const struct cache_object *object)
{
    uint64_t weight = cache_object_weight(object);
    uint64_t bytes = atomic_load_explicit(&shard->bytes, memory_order_relaxed);
    atomic_store_explicit(&shard->bytes, bytes + weight, memory_order_relaxed);
    shard->body_bytes += cache_object_body_weight(object);
    count_shared(shard, object, true);
    if (object->queue == CACHE_QUEUE_SMALL)
        atomic_fetch_add_explicit(&object->cache->small_bytes, weight, memory_order_relaxed);
}

static void count_out(struct cache_shard *shard, const struct cache_object *object)
{
    uint64_t weight = cache_object_weight(object);
    uint64_t bytes = atomic_load_explicit(&shard->bytes, memory_order_relaxed);
    weir_assert(bytes >= weight);
    atomic_store_explicit(&shard->bytes, bytes - weight, memory_order_relaxed);
    shard->body_bytes -= cache_object_body_weight(object);
    count_shared(shard, object, false);
    if (object->queue == CACHE_QUEUE_SMALL)
        count_out_of_small(object);
}

void cache_evict_admit_locked(struct cache_shard *shard, struct cache_object *object)
{
    weir_assert(object->queue == CACHE_QUEUE_NONE);
    bool known = recall(shard, object->hash);
    object->queue = known ? CACHE_QUEUE_MAIN : CACHE_QUEUE_SMALL;
    object->frequency = 0;
    list_push_front(known ? &shard->main : &shard->small, &object->queue_link);
    count_in(shard, object);
}

void cache_evict_forget_locked(struct cache_shard *shard, struct cache_object *object)
{
    weir_assert(object->queue != CACHE_QUEUE_NONE);
    count_out(shard, object);
    list_remove(&object->queue_link);
    object->queue = CACHE_QUEUE_NONE;
}

void cache_evict_replace_locked(struct cache_shard *shard, struct cache_object *old,
                                struct cache_object *object)
{
    weir_assert(old->queue != CACHE_QUEUE_NONE && object->queue == CACHE_QUEUE_NONE);
    object->queue = old->queue;
    object->frequency = old->frequency;
    list_insert(&old->queue_link, &object->queue_link);
    count_in(shard, object);
    cache_evict_forget_locked(shard, old);
}

static void leave(struct cache_shard *shard, struct cache_object *object,
                  struct cache_object **gone)
{
    shard->counts.evicted++;
    cache_index_remove_locked(shard, object, gone);
}

/* One step at the old end of the small queue; true when an object left. */
static bool step_small(struct cache_shard *shard, bool force, struct cache_object **gone)
{
    struct cache_object *object =
        weir_container(shard->small.prev, struct cache_object, queue_link);
    if (object->frequency < 2 || force) {
        remember(shard, object->hash);
        shard->counts.evicted_small++;
        leave(shard, object, gone);
        return true;
    }
    count_out_of_small(object);
    list_remove(&object->queue_link);
    object->queue = CACHE_QUEUE_MAIN;
    object->frequency = 0;
    list_push_front(&shard->main, &object->queue_link);
    return false;
}

/* The same of the main queue. */
static bool step_main(struct cache_shard *shard, bool force, struct cache_object **gone)
{
    struct cache_object *object = weir_container(shard->main.prev, struct cache_object, queue_link);
    if (object->frequency == 0 || force) {
        shard->counts.evicted_main++;
        leave(shard, object, gone);
        return true;
    }
    object->frequency--;
    list_remove(&object->queue_link);
    list_push_front(&shard->main, &object->queue_link);
    return false;
}

static bool is_small_over(struct cache *cache)
{
    uint64_t bytes = atomic_load_explicit(&cache->small_bytes, memory_order_relaxed);
    return bytes >= cache->limit_stored / 10;
}

/* Until one object has left, as far as the bound under a lock allows; true: one has. `force`: however
   often it was asked for. */
static bool evict_locked(struct cache *cache, struct cache_shard *shard, bool force,
                         struct cache_object **gone)
{
    for (unsigned step = 0; step < STEPS_PER_LOCK; step++) {
        if (list_empty(&shard->small) && list_empty(&shard->main))
            break;
        bool small =
            list_empty(&shard->main) || (!list_empty(&shard->small) && is_small_over(cache));
        if (small ? step_small(shard, force, gone) : step_main(shard, force, gone))
            return true;
    }
    return false;
}

static uint64_t shard_bytes(struct cache_shard *shard)
{
    return atomic_load_explicit(&shard->bytes, memory_order_relaxed);
}

/* The fuller of the one whose turn it is and another; the next that has anything when both are
   empty. NULL: all are empty. */
static struct cache_shard *choose_shard(struct cache *cache)
{
    uint32_t mask = cache->shard_count - 1;
    uint32_t turn = atomic_fetch_add_explicit(&cache->evict_turn, 1, memory_order_relaxed);
    struct cache_shard *one = &cache->shards[turn & mask];
    struct cache_shard *other = &cache->shards[(turn * 0x9e3779b1u >> 7) & mask];
    if (shard_bytes(other) > shard_bytes(one))
        one = other;
    for (uint32_t i = 1; shard_bytes(one) == 0 && i <= mask; i++)
        one = &cache->shards[(turn + i) & mask];
    return shard_bytes(one) > 0 ? one : NULL;
}

static bool is_missing(struct cache *cache, uint64_t bytes, uint64_t limit)
{
    return atomic_load_explicit(&cache->bytes, memory_order_relaxed) + bytes > limit;
}

void cache_evict(struct cache *cache, uint64_t bytes, uint64_t limit)
{
    if (bytes > limit)
        return;
    uint64_t budget = EVICTIONS_LEAST + bytes / BYTES_PER_EVICTION;
    unsigned in_vain = 0;
    /* A lock whose steps moved objects without evicting any is paid for too, and where everything is
       asked for often, that has to end. */
    for (; budget > 0 && is_missing(cache, bytes, limit); budget--) {
        struct cache_shard *shard = choose_shard(cache);
        if (shard == NULL)
            return;
        struct cache_object *gone = NULL;
        pthread_mutex_lock(&shard->lock);
        bool left = evict_locked(cache, shard, in_vain >= IN_VAIN_MOST, &gone);
        pthread_mutex_unlock(&shard->lock);
        cache_index_release(gone);
        in_vain = left ? 0 : in_vain + 1;
    }
}
