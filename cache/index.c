/*
 * The index: per shard a table of chains of objects, those of one key by their Date, most recent
 * first, and the fills that can be joined. Called under the shard's lock by cache.c and fill.c;
 * what leaves is handed back as a list, so that nothing is freed under a lock.
 *
 * Bounds: a key keeps at most CACHE_VARIANTS_MOST variants and a bucket at most CACHE_CHAIN_MOST
 * objects; the last one leaves. The table doubles when there are more objects than buckets: all of
 * one shard's objects are moved in one go under its lock. The number of shards grows with the
 * cap (cache.c), which keeps that to some thousands of objects, well under a millisecond.
 */
#include "cache/budget.h"
#include "cache/fill.h"
#include "cache/shard.h"

#define BUCKETS_FIRST 16u

void cache_shard_init(struct cache *cache, struct cache_shard *shard)
{
    cache_lock_init(&shard->lock);
    shard->mask = BUCKETS_FIRST - 1;
    shard->buckets = base_alloc_zero(BUCKETS_FIRST * sizeof(shard->buckets[0]));
    shard->ghost = base_alloc_zero(BUCKETS_FIRST * sizeof(shard->ghost[0]));
    atomic_fetch_add(&cache->bytes,
                     base_allocated_bytes(shard->buckets) + base_allocated_bytes(shard->ghost));
    for (unsigned i = 0; i < CACHE_FILL_LISTS; i++)
        list_init(&shard->fills[i]);
    list_init(&shard->small);
    list_init(&shard->main);
}

void cache_shard_destroy(struct cache *cache, struct cache_shard *shard)
{
    struct cache_object *gone = NULL;
    for (uint32_t i = 0; i <= shard->mask; i++)
        while (shard->buckets[i] != NULL)
            cache_index_remove_locked(shard, shard->buckets[i], &gone);
    cache_index_release(gone);
    for (unsigned i = 0; i < CACHE_FILL_LISTS; i++)
        weir_assert(list_empty(&shard->fills[i]));
    weir_assert(shard->findable == 0);
    weir_assert(shard->objects == 0 && atomic_load(&shard->bytes) == 0);
    cache_budget_free(cache, shard->buckets);
    cache_budget_free(cache, shard->ghost);
    pthread_mutex_destroy(&shard->lock);
}

void cache_index_remove_locked(struct cache_shard *shard, struct cache_object *object,
                               struct cache_object **gone)
{
    struct cache_object **at = &shard->buckets[object->hash & shard->mask];
    while (*at != object) {
        weir_assert(*at != NULL);
        at = &(*at)->next;
    }
    *at = object->next;
    cache_evict_forget_locked(shard, object);
    weir_assert(shard->objects > 0);
    shard->objects--;
    object->next = *gone;
    *gone = object;
}

/* Makes room in the chain that the object will join: what it replaces leaves, then the oldest of
   what is over a bound. */
static void prune_chain(struct cache_shard *shard, const struct cache_object *object,
                        struct cache_object **gone)
{
    struct cache_key key = {.text = cache_object_key(object), .hash = object->hash};
    struct cache_object *same = NULL, *oldest_variant = NULL, *oldest = NULL;
    unsigned variants = 0, length = 0;
    for (struct cache_object *o = shard->buckets[key.hash & shard->mask]; o != NULL; o = o->next) {
        length++;
        oldest = o;
        if (!cache_object_has_key(o, &key))
            continue;
        variants++;
        oldest_variant = o;
        if (str_equal(cache_object_vary(o), cache_object_vary(object)))
            same = o;
    }
    if (same != NULL) {
        cache_index_remove_locked(shard, same, gone);
    } else if (variants >= CACHE_VARIANTS_MOST) {
        shard->counts.evicted++;
        cache_index_remove_locked(shard, oldest_variant, gone);
    } else if (length >= CACHE_CHAIN_MOST) {
        shard->counts.evicted++;
        shard->counts.chain_full++;
        cache_index_remove_locked(shard, oldest, gone);
    }
}

/* What two-digit years count from: this side of 2088 all are read as meant. */
#define DATES_FROM_S ((int64_t)1 << 31)

static bool read_date(const struct cache_object *object, int64_t *date_s)
{
    struct str date = cache_block_field(cache_object_block(object), FIELD_DATE);
    return date.ptr != NULL && date_parse(date, DATES_FROM_S, date_s);
}

/* Into its chain: of several that match a request the most recent is used, as their Date tells (RFC
 * 9111 §4, §4.1), so it stands before those of its key that have no later one. What has no valid
 * Date counts by its arrival. Dates are read only where a key has several variants. */
static void link_by_date(struct cache_shard *shard, struct cache_object *object)
{
    struct cache_key key = {.text = cache_object_key(object), .hash = object->hash};
    struct cache_object **at = &shard->buckets[object->hash & shard->mask];
    struct cache_object *other = cache_index_next_locked(&key, *at);
    int64_t date_s, other_s;
    if (other != NULL && read_date(object, &date_s)) {
        while (other != NULL && read_date(other, &other_s) && other_s > date_s) {
            at = &other->next;
            other = cache_index_next_locked(&key, *at);
        }
    }
    object->next = *at;
    *at = object;
}

bool cache_index_insert_locked(struct cache_shard *shard, struct cache_object *object,
                               struct cache_object **gone)
{
    prune_chain(shard, object, gone);
    link_by_date(shard, object);
    shard->objects++;
    shard->counts.stored++;
    cache_evict_admit_locked(shard, object);
    return shard->objects > shard->mask + 1;
}

void cache_index_replace_locked(struct cache_shard *shard, struct cache_object *old,
                                struct cache_object *object, struct cache_object **gone)
{
    weir_assert(old->hash == object->hash);
    cache_evict_replace_locked(shard, old, object);
    struct cache_object **at = &shard->buckets[object->hash & shard->mask];
    while (*at != old) {
        weir_assert(*at != NULL);
        at = &(*at)->next;
    }
    *at = old->next;
    link_by_date(shard, object);
    old->next = *gone;
    *gone = old;
}

void cache_index_release(struct cache_object *gone)
{
    while (gone != NULL) {
        struct cache_object *next = gone->next;
        cache_object_leave_index(gone);
        gone = next;
    }
}

/* In each chain's order, as it was. The ghost's sets are told apart by one bit more. */
static void move_to(struct cache_shard *shard, struct cache_object **buckets, uint32_t *ghost,
                    uint32_t size)
{
    memset(buckets, 0, size * sizeof(buckets[0]));
    memset(ghost, 0, size * sizeof(ghost[0]));
    uint32_t old_size = shard->mask + 1;
    for (uint32_t i = 0; i < old_size; i++) {
        struct cache_object **ends[2] = {&buckets[i], &buckets[i + old_size]};
        for (struct cache_object *o = shard->buckets[i], *next; o != NULL; o = next) {
            next = o->next;
            o->next = NULL;
            unsigned half = (o->hash & old_size) != 0;
            *ends[half] = o;
            ends[half] = &o->next;
        }
    }
    uint32_t sets = old_size / CACHE_GHOST_WAYS;
    for (uint32_t i = 0; i < old_size; i += CACHE_GHOST_WAYS) {
        uint32_t *sets_out[2] = {&ghost[i], &ghost[i + old_size]};
        for (uint32_t way = 0; way < CACHE_GHOST_WAYS; way++)
            if (shard->ghost[i + way] != 0)
                *sets_out[(shard->ghost[i + way] & sets) != 0]++ = shard->ghost[i + way];
    }
}

void cache_index_grow(struct cache *cache, struct cache_shard *shard)
{
    pthread_mutex_lock(&shard->lock);
    uint32_t size = 2 * (shard->mask + 1);
    pthread_mutex_unlock(&shard->lock);
    struct cache_object **buckets = cache_budget_alloc_stored(cache, size * sizeof(buckets[0]));
    uint32_t *ghost = cache_budget_alloc_stored(cache, size * sizeof(ghost[0]));
    if (buckets != NULL && ghost != NULL) {
        pthread_mutex_lock(&shard->lock);
        /* Another thread may have been faster, or eviction may have made it needless. */
        if (2 * (shard->mask + 1) == size && shard->objects > shard->mask + 1) {
            struct cache_object **old_buckets = shard->buckets;
            uint32_t *old_ghost = shard->ghost;
            move_to(shard, buckets, ghost, size);
            shard->buckets = buckets;
            shard->ghost = ghost;
            shard->mask = size - 1;
            buckets = old_buckets;
            ghost = old_ghost;
        }
        pthread_mutex_unlock(&shard->lock);
    }
    cache_budget_free(cache, buckets);
    cache_budget_free(cache, ghost);
}

struct list_link *cache_index_fills(struct cache_shard *shard, const struct cache_key *key)
{
    return &shard->fills[key->hash % CACHE_FILL_LISTS];
}

void cache_index_add_fill_locked(struct cache_shard *shard, struct cache_fill *fill)
{
    weir_assert(!fill->findable);
    fill->findable = true;
    shard->findable++;
    list_push_front(cache_index_fills(shard, &fill->key), &fill->link);
}

void cache_index_remove_fill_locked(struct cache_fill *fill)
{
    if (!fill->findable)
        return;
    list_remove(&fill->link);
    fill->findable = false;
    struct cache_shard *shard = cache_shard_of(fill->cache, &fill->key);
    weir_assert(shard->findable > 0);
    shard->findable--;
}
