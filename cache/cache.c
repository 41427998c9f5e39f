/*
 * The cache: lookups, freshening, the sweep and the stats. Any thread, apart from the
 * sweep.
 *
 * A lookup takes one shard's lock once, for find and reference; only when it is to lead a fetch,
 * a second time: the fill is allocated in between, as memory is never taken under a lock, and
 * everything is looked at again. Whatever leaves the index is freed after the lock.
 */
#include "cache/budget.h"
#include "cache/fill.h"
#include "cache/purge.h"
#include "cache/shard.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#define SHARDS_PER_WORKER 16u
#define SHARDS_LEAST 4u
#define SHARDS_MOST 1024u
/* Of the cap, for each shard: what bounds the pause of a growing table from above, and keeps queues
   long enough from below. */
#define SHARD_BYTES_MOST ((uint64_t)4 << 20)
#define SHARD_BYTES_LEAST ((uint64_t)256 << 10)
/* Of the cap, for fills and passes when nothing more can be stored. */
#define RESERVE_SHARE 64
#define RESERVE_LEAST ((uint64_t)32 << 10)
#define RESERVE_MOST ((uint64_t)8 << 20)
/* After a refresh that has failed. */
#define REST_MS 1000

/* ---- making ---- */

static uint32_t choose_shards(uint64_t memory, unsigned workers)
{
    uint32_t shards = SHARDS_LEAST;
    while (shards < SHARDS_MOST &&
           (shards < workers * SHARDS_PER_WORKER || memory / shards > SHARD_BYTES_MOST))
        shards *= 2;
    while (shards > SHARDS_LEAST && memory / shards < SHARD_BYTES_LEAST)
        shards /= 2;
    return shards;
}

static void draw_secret(struct cache *cache)
{
    size_t done = 0;
    while (done < sizeof(cache->secret)) {
        ssize_t got = getrandom(cache->secret + done, sizeof(cache->secret) - done, 0);
        weir_assert(got > 0 || errno == EINTR);
        done += got > 0 ? (size_t)got : 0;
    }
}

static void *alloc_aligned(size_t bytes)
{
    void *ptr = aligned_alloc(64, bytes);
    weir_assert(ptr != NULL);
    memset(ptr, 0, bytes);
    return ptr;
}

static uint64_t reserve_of(uint64_t memory)
{
    uint64_t reserve = memory / RESERVE_SHARE;
    if (reserve < RESERVE_LEAST)
        reserve = RESERVE_LEAST < memory / 2 ? RESERVE_LEAST : memory / 2;
    return reserve < RESERVE_MOST ? reserve : RESERVE_MOST;
}

struct cache *cache_new(uint64_t memory, uint64_t max_object, unsigned workers, unsigned shards)
{
    struct cache *cache = alloc_aligned(sizeof(*cache));
    cache->magic = CACHE_MAGIC;
    cache->limit = memory;
    cache->limit_stored = memory - reserve_of(memory);
    cache->max_object = max_object;
    cache->shard_count = shards > 0 ? shards : choose_shards(memory, workers);
    weir_assert((cache->shard_count & (cache->shard_count - 1)) == 0);
    draw_secret(cache);
    cache->shards = alloc_aligned(cache->shard_count * sizeof(cache->shards[0]));
    atomic_fetch_add(&cache->bytes,
                     base_allocated_bytes(cache) + base_allocated_bytes(cache->shards));
    for (uint32_t i = 0; i < cache->shard_count; i++)
        cache_shard_init(cache, &cache->shards[i]);
    cache_log_init(cache);
    return cache;
}

void cache_free(struct cache **from)
{
    struct cache *cache = weir_take(from);
    if (cache == NULL)
        return;
    weir_check_magic(cache, CACHE_MAGIC);
    weir_assert(atomic_load(&cache->fills) == 0 && atomic_load(&cache->readers) == 0);
    for (uint32_t i = 0; i < cache->shard_count; i++)
        cache_shard_destroy(cache, &cache->shards[i]);
    cache_log_destroy(cache);
    /* Every object was the index's alone. */
    weir_assert(atomic_load(&cache->bytes) ==
                base_allocated_bytes(cache) + base_allocated_bytes(cache->shards));
    free(cache->shards);
    cache->magic = 0;
    free(cache);
}

/* ---- lookup ---- */

/* What of the stored responses is selected. */
struct selection {
    struct cache_object *object; /* borrowed, under the lock; NULL: none */
    enum policy_use use;
    bool other_variants;
};

/* The most recent of those whose Vary values this request has (RFC 9111 §4.1). */
static inline __attribute__((always_inline)) struct selection select_stored_locked(
    struct cache_shard *shard, const struct cache_query *query, struct cache_object **gone)
{
    struct selection selection = {.use = POLICY_UNUSABLE};
    struct cache_object *object = cache_index_first_locked(shard, &query->key);
    while (object != NULL) {
        if (weir_unlikely(cache_object_is_tagged(object)) &&
            !cache_purge_spares_locked(shard, object, query->now_ms, gone)) {
            object = cache_index_first_locked(shard, &query->key);
            continue;
        }
        if (object->vary_len == 0 || cache_vary_matches(cache_object_vary(object), query->fields)) {
            selection.object = object;
            selection.use = policy_use_stored(&object->meta, query->request, query->now_ms);
            break;
        }
        selection.other_variants = true;
        object = cache_index_next_locked(&query->key, object->next);
    }
    return selection;
}

/* What there is beside a fresh response; whether it may be delivered. */
static bool describe(const struct selection *stored, const struct cache_query *query,
                     struct cache_find *found)
{
    found->vary_miss = stored->object == NULL && stored->other_variants;
    if (stored->object == NULL)
        return false;
    found->stale = !policy_is_fresh(&stored->object->meta, query->now_ms);
    found->unwanted = !found->stale;
    found->refresh = stored->use == POLICY_REFRESH;
    return policy_use_delivers(stored->use);
}

/* Takes what may be delivered. */
static inline bool hit_locked(const struct selection *stored, const struct cache_query *query,
                              struct cache_find *found)
{
    struct cache_object *object = stored->object;
    if ((object == NULL || stored->use != POLICY_FRESH) && !describe(stored, query, found))
        return false;
    /* Not written again once it is full: the line stays shared between cores. */
    if (object->frequency < CACHE_FREQUENCY_MOST)
        object->frequency++;
    found->object = cache_object_ref(object);
    return true;
}

/* One that is being filled and is this request's variant, or may yet turn out to be. Of many variants
   on their way not all are looked at. */
static struct cache_fill *find_fill_locked(struct cache_shard *shard,
                                           const struct cache_query *query, bool *too_many)
{
    const struct cache_key *key = &query->key;
    *too_many = false;
    if (shard->findable == 0)
        return NULL; /* the lists lie in other lines of memory */
    const struct list_link *fills = cache_index_fills(shard, key);
    struct cache_fill *open = NULL;
    unsigned others = 0;
    for (const struct list_link *at = fills->next; at != fills; at = at->next) {
        struct cache_fill *fill = weir_container(at, struct cache_fill, link);
        if (fill->key.hash != key->hash || !str_equal(fill->key.text, key->text))
            continue;
        if (cache_purge_hides_fill_locked(shard, fill))
            continue;
        if (!fill->vary_known)
            open = fill;
        else if (cache_vary_matches(fill->head.vary, query->fields))
            return fill;
        else if (++others == CACHE_VARIANTS_MOST)
            break;
    }
    *too_many = others == CACHE_VARIANTS_MOST;
    return open;
}

/* Those who ask for a validated response (§5.2.1.1, §5.2.1.4) cannot be given one that was asked for
   before; and nothing that one with no-store is given may be kept (RFC 9111 §5.2.1.5). */
static bool may_join(const struct policy_request *request)
{
    return !request->no_store && !request->no_cache && request->max_age_s != 0;
}

/* False: a fill is to be led, and there is no spare one yet. Takes *spare when it is used. */
static bool look_locked(struct cache_shard *shard, const struct cache_query *query,
                        struct cache_fill **spare, struct cache_find *found,
                        enum cache_found *result, struct cache_object **gone)
{
    const struct policy_request *request = query->request;
    struct selection stored = select_stored_locked(shard, query, gone);
    if (hit_locked(&stored, query, found)) {
        *result = CACHE_HIT;
        return true;
    }
    *result = CACHE_ALONE;
    if (request->no_store)
        return true;
    bool too_many = false;
    struct cache_fill *fill = find_fill_locked(shard, query, &too_many);
    if (fill != NULL && may_join(request)) {
        found->fill = cache_fill_ref(fill);
        *result = CACHE_JOIN;
    }
    if (fill != NULL || too_many)
        return true;
    if (*spare == NULL) {
        cache_hit_for_miss_prefetch(shard, &query->key);
        return false;
    }
    found->fill = weir_take(spare);
    found->hit_for_miss =
        cache_hit_for_miss_find_locked(shard, &query->key, request->authorization, query->now_ms);
    found->fill->solo = found->hit_for_miss;
    found->fill->purges_before = shard->purges;
    if (!found->hit_for_miss)
        cache_index_add_fill_locked(shard, found->fill);
    if (stored.object != NULL && stored.use == POLICY_VALIDATE)
        found->object = cache_object_ref(stored.object);
    *result = CACHE_LEAD;
    return true;
}

enum cache_found cache_lookup(struct cache *cache, const struct cache_query *query,
                              struct cache_find *found)
{
    struct cache_shard *shard = cache_shard_of(cache, &query->key);
    struct cache_fill *spare = NULL;
    struct cache_object *gone = NULL;
    enum cache_found result;
    *found = (struct cache_find){0};
    for (;;) {
        pthread_mutex_lock(&shard->lock);
        bool done = look_locked(shard, query, &spare, found, &result, &gone);
        pthread_mutex_unlock(&shard->lock);
        if (weir_likely(done))
            break;
        spare = cache_fill_new(cache, &query->key);
        if (spare == NULL) {
            cache_budget_note_refused(cache);
            cache_index_release(gone);
            return CACHE_OUT_OF_MEMORY;
        }
    }
    if (weir_unlikely(spare != NULL))
        cache_fill_release(&spare);
    if (weir_unlikely(gone != NULL))
        cache_index_release(gone);
    return result;
}

enum cache_found cache_peek(struct cache *cache, const struct cache_query *query, bool join,
                            struct cache_find *found)
{
    struct cache_shard *shard = cache_shard_of(cache, &query->key);
    enum cache_found result = CACHE_ALONE;
    struct cache_object *gone = NULL;
    *found = (struct cache_find){0};
    pthread_mutex_lock(&shard->lock);
    struct selection stored = select_stored_locked(shard, query, &gone);
    struct cache_fill *fill;
    bool too_many;
    if (hit_locked(&stored, query, found)) {
        result = CACHE_HIT;
    } else if (join && may_join(query->request) &&
               (fill = find_fill_locked(shard, query, &too_many)) != NULL) {
        found->fill = cache_fill_ref(fill);
        result = CACHE_JOIN;
    }
    pthread_mutex_unlock(&shard->lock);
    cache_index_release(gone);
    return result;
}

/* ---- refreshing, errors ---- */

/* What is stored is to be refreshed still, and nobody does it. */
static bool refresh_is_due_locked(struct cache_shard *shard, const struct cache_query *query,
                                  const struct selection *stored)
{
    bool too_many;
    return stored->object != NULL && stored->use == POLICY_REFRESH &&
           !cache_rests_locked(shard, &query->key, query->now_ms) &&
           find_fill_locked(shard, query, &too_many) == NULL && !too_many;
}

/* Looks, and looks again when there is a fill to be found: the lock is not held while it is made. */
enum cache_found cache_lead_refresh(struct cache *cache, const struct cache_query *query,
                                    struct cache_find *found)
{
    struct cache_shard *shard = cache_shard_of(cache, &query->key);
    struct cache_object *gone = NULL;
    struct cache_fill *fill = NULL;
    bool due;
    *found = (struct cache_find){0};
    for (;;) {
        pthread_mutex_lock(&shard->lock);
        struct selection stored = select_stored_locked(shard, query, &gone);
        due = refresh_is_due_locked(shard, query, &stored);
        if (due && fill != NULL) {
            fill->refresh = true;
            found->fill = weir_take(&fill);
            found->object = cache_object_ref(stored.object);
            found->stale = true;
            found->fill->purges_before = shard->purges;
            cache_index_add_fill_locked(shard, found->fill);
        }
        pthread_mutex_unlock(&shard->lock);
        if (!due || found->fill != NULL)
            break;
        fill = cache_fill_new(cache, &query->key);
        if (fill == NULL) {
            due = false;
            break;
        }
    }
    cache_index_release(gone);
    cache_fill_release(&fill);
    return due ? CACHE_LEAD : CACHE_ALONE;
}

void cache_rest(struct cache *cache, const struct cache_key *key, int64_t now_ms)
{
    struct cache_shard *shard = cache_shard_of(cache, key);
    pthread_mutex_lock(&shard->lock);
    cache_rest_set_locked(shard, key, now_ms + REST_MS);
    pthread_mutex_unlock(&shard->lock);
}

enum cache_found cache_peek_on_error(struct cache *cache, const struct cache_query *query,
                                     struct cache_find *found)
{
    struct cache_shard *shard = cache_shard_of(cache, &query->key);
    struct cache_object *gone = NULL;
    *found = (struct cache_find){0};
    pthread_mutex_lock(&shard->lock);
    struct selection stored = select_stored_locked(shard, query, &gone);
    if (stored.object != NULL)
        found->object = cache_object_ref(stored.object);
    pthread_mutex_unlock(&shard->lock);
    cache_index_release(gone);
    if (found->object == NULL)
        return CACHE_ALONE;
    struct cache_meta meta = cache_object_meta(found->object);
    found->stale = !policy_is_fresh(&meta, query->now_ms);
    return policy_use_on_error(&meta, query->request, query->now_ms) ? CACHE_HIT : CACHE_ALONE;
}

unsigned cache_variants(struct cache *cache, const struct cache_key *key,
                        const struct fields *fields, int64_t now_ms, struct cache_object **out,
                        unsigned most)
{
    struct cache_shard *shard = cache_shard_of(cache, key);
    struct cache_object *gone = NULL, *next;
    unsigned count = 0;
    pthread_mutex_lock(&shard->lock);
    struct cache_object *object = cache_index_first_locked(shard, key);
    for (; object != NULL && count < most; object = cache_index_next_locked(key, next)) {
        next = object->next;
        if (cache_object_is_tagged(object) &&
            !cache_purge_spares_locked(shard, object, now_ms, &gone))
            continue;
        if (fields == NULL || object->vary_len == 0 ||
            cache_vary_matches(cache_object_vary(object), *fields))
            out[count++] = cache_object_ref(object);
    }
    pthread_mutex_unlock(&shard->lock);
    cache_index_release(gone);
    return count;
}

/* ---- freshening ---- */

/* The stored response with another head. Takes over the tags. NULL when memory is out. */
static struct cache_object *renew(struct cache *cache, struct cache_object *stored,
                                  const struct cache_renewal *renewal, struct cache_tags *tags)
{
    const struct cache_key *key = renewal->key;
    weir_assert(stored->hash == key->hash && str_equal(cache_object_key(stored), key->text));
    struct cache_object_parts parts = {
        .key = *key,
        .meta = *renewal->meta,
        .vary = renewal->vary != NULL ? *renewal->vary : cache_object_vary(stored),
        .block = renewal->block,
        .tags = tags,
        .inline_len = stored->inline_len,
        .body = cache_object_body(stored),
        .stored = true,
    };
    struct cache_object *object = cache_object_new(cache, &parts);
    if (object == NULL) {
        parts.stored = false;
        object = cache_object_new(cache, &parts);
    }
    if (object == NULL) {
        cache_tags_free(cache, tags);
        return NULL;
    }
    struct iovec pieces[2];
    unsigned count = cache_object_pieces_upto(stored, 0, stored->inline_len, pieces, 2);
    cache_object_write_body(object, pieces, count);
    return object;
}

/* Any purge counts, of this key or of others: one of what is stale already leaves no other trace. */
static bool is_undisturbed_locked(const struct cache_shard *shard,
                                  const struct cache_renewal *renewal,
                                  const struct cache_object *stored,
                                  const struct cache_object *object)
{
    const struct cache_purges *before = renewal->purges;
    bool tagged = cache_object_is_tagged(stored) || cache_object_is_tagged(object);
    return before == NULL || (shard->purges == before->of_shard &&
                              !(tagged && cache_log_number(object->cache->log) != before->logged));
}

/* What was purged or replaced meanwhile does not come back; nor is what was asked for before a purge
   fresh after it. */
static bool may_replace_locked(struct cache_shard *shard, const struct cache_renewal *renewal,
                               struct cache_object *stored, struct cache_object *object)
{
    struct cache_fill *fill = renewal->fill;
    if (stored->queue == CACHE_QUEUE_NONE)
        return false;
    if (!is_undisturbed_locked(shard, renewal, stored, object))
        return false;
    return fill == NULL ||
           !(cache_purge_reaches_fill_locked(shard, fill, cache_object_tags(stored)) ||
             cache_purge_reaches_fill_locked(shard, fill, cache_object_tags(object)));
}

/* `number`: of the log, before a fill was compared with it. */
static void set_seen(struct cache_object *object, struct cache_object *stored,
                     const struct cache_fill *fill, uint64_t number)
{
    if (!cache_object_is_tagged(object))
        return;
    cache_object_set_seen(object, fill != NULL || !cache_object_is_tagged(stored)
                                      ? number
                                      : cache_object_seen(stored));
}

struct cache_object *cache_renew(struct cache *cache, struct cache_object *stored,
                                 const struct cache_renewal *renewal)
{
    struct cache_tags *tags;
    if (!cache_tags_renew(cache, stored, renewal->answer, &tags))
        return NULL;
    struct cache_object *object = renew(cache, stored, renewal, tags);
    if (object == NULL)
        return NULL;
    struct cache_shard *shard = cache_shard_of(cache, renewal->key);
    struct cache_object *gone = NULL;
    bool grow = false;
    pthread_mutex_lock(&shard->lock);
    uint64_t number = cache_log_number(cache->log);
    if (may_replace_locked(shard, renewal, stored, object)) {
        set_seen(object, stored, renewal->fill, number);
        if (renewal->vary == NULL)
            cache_index_replace_locked(shard, stored, cache_object_ref(object), &gone);
        else
            grow = cache_index_insert_locked(shard, cache_object_ref(object), &gone);
    }
    pthread_mutex_unlock(&shard->lock);
    cache_index_release(gone);
    if (grow)
        cache_index_grow(cache, shard);
    return object;
}

struct cache_object *cache_freshen(struct cache *cache, const struct cache_key *key,
                                   struct cache_object *stored, const struct cache_meta *meta,
                                   struct str block, int64_t now_ms)
{
    weir_assert(meta->born_ms <= now_ms);
    return cache_renew(cache, stored,
                       &(struct cache_renewal){.key = key, .meta = meta, .block = block});
}

struct cache_object *cache_freshen_as(struct cache *cache, const struct cache_key *key,
                                      struct cache_object *stored, const struct cache_meta *meta,
                                      struct str block, struct str vary)
{
    return cache_renew(
        cache, stored,
        &(struct cache_renewal){.key = key, .meta = meta, .block = block, .vary = &vary});
}

void cache_drop(struct cache *cache, const struct cache_key *key, struct cache_object *object)
{
    struct cache_shard *shard = cache_shard_of(cache, key);
    struct cache_object *gone = NULL;
    pthread_mutex_lock(&shard->lock);
    if (object->queue != CACHE_QUEUE_NONE)
        cache_index_remove_locked(shard, object, &gone);
    pthread_mutex_unlock(&shard->lock);
    cache_index_release(gone);
}

/* ---- the sweep ---- */

/* One bucket; returns how many objects were visited. */
static unsigned sweep_bucket_locked(struct cache_shard *shard, uint32_t bucket, int64_t now_ms,
                                    struct cache_object **gone)
{
    unsigned visited = 0;
    for (struct cache_object *o = shard->buckets[bucket], *next; o != NULL; o = next) {
        next = o->next;
        visited++;
        if (!policy_is_useless(&o->meta, now_ms))
            continue;
        shard->counts.expired++;
        cache_index_remove_locked(shard, o, gone);
    }
    return visited;
}

/* A bucket costs as much as an object, so that empty ones are bounded too. Once around at most. */
void cache_sweep(struct cache *cache, unsigned most, int64_t now_ms)
{
    uint64_t steps = 0;
    for (uint32_t turn = 0; turn < cache->shard_count && steps < most; turn++) {
        struct cache_shard *shard = &cache->shards[cache->sweep_shard];
        struct cache_object *gone = NULL;
        pthread_mutex_lock(&shard->lock);
        while (cache->sweep_bucket <= shard->mask && steps < most)
            steps += 1 + sweep_bucket_locked(shard, cache->sweep_bucket++, now_ms, &gone);
        bool ended = cache->sweep_bucket > shard->mask;
        pthread_mutex_unlock(&shard->lock);
        cache_index_release(gone);
        if (ended) {
            cache->sweep_bucket = 0;
            cache->sweep_shard = (cache->sweep_shard + 1) & (cache->shard_count - 1);
        }
    }
}

/* ---- stats ---- */

static void add_shard(const struct cache *cache, struct cache_shard *shard, struct cache_stats *out)
{
    pthread_mutex_lock(&shard->lock);
    out->stored += shard->counts.stored;
    out->evicted += shard->counts.evicted;
    out->evicted_small += shard->counts.evicted_small;
    out->evicted_main += shard->counts.evicted_main;
    out->expired += shard->counts.expired;
    out->purged += shard->counts.purged;
    out->chain_full += shard->counts.chain_full;
    out->objects += shard->objects;
    out->hit_for_miss += cache_hit_for_miss_count_locked(shard, cache->watched_ms);
    out->memory.bodies += shard->body_bytes - shard->shared_bytes;
    out->memory.heads +=
        atomic_load_explicit(&shard->bytes, memory_order_relaxed) - shard->body_bytes;
    out->memory.index += base_allocated_bytes(shard->buckets);
    out->memory.ghost += base_allocated_bytes(shard->ghost);
    pthread_mutex_unlock(&shard->lock);
}

static uint64_t load(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* What is stored, the tables and what is pinned are counted; the rest is under way. */
static void read_memory(const struct cache *cache, struct cache_stats *out)
{
    out->memory.pinned = load(&cache->pinned);
    out->memory.index += base_allocated_bytes(cache) + base_allocated_bytes(cache->shards) +
                         base_allocated_bytes(cache->log);
    uint64_t rest = out->memory.heads + out->memory.bodies + out->memory.index + out->memory.ghost +
                    out->memory.pinned;
    out->memory.fills = out->bytes > rest ? out->bytes - rest : 0;
}

void cache_read_stats(const struct cache *cache, struct cache_stats *out)
{
    *out = (struct cache_stats){
        .bytes = load(&cache->bytes),
        .memory_limit = cache->limit,
        .fills = load(&cache->fills),
        .readers = load(&cache->readers),
        .fills_aborted = load(&cache->fills_aborted),
        .readers_cut = load(&cache->readers_cut),
        .purges_logged = cache_log_number(cache->log),
        .purge_walks = cache->walk.walks,
        .purge_jobs = cache->walk.jobs,
        .shortage = {.episodes = cache->shortage.episodes,
                     .passes = load(&cache->short_passes),
                     .refused = load(&cache->short_refused)},
    };
    for (uint32_t i = 0; i < cache->shard_count; i++)
        add_shard(cache, &cache->shards[i], out);
    read_memory(cache, out);
}
