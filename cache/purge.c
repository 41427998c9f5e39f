/*
 * Purges: of a key, of a tag, and of what only a walk through everything finds.
 *
 * A purge by tag is an entry in the log, which works at once: each tagged object carries the number
 * of the last entry that it was compared with, and a lookup compares it with those behind it. A
 * fill carries the number at its start, so that what was asked of the origin before the purge is
 * neither stored nor joined after it. Any thread may write to the log (a worker whose unsafe
 * request invalidates a group), and nothing is scanned for it.
 *
 * A walk, on the main thread, in slices of a few buckets under one lock, removes what the log or a
 * job (a prefix, everything) reaches, and counts it; several jobs share one. It begins for a job,
 * and now and then for the log alone, so that no object falls behind it.
 *
 * A walk misses nothing. What is in a bucket stays in its chain, and a successor (a 304) takes the
 * place of what it succeeds in it. Tables only double: bucket i is divided into i and i + size, so
 * that what lay behind the walk's place lies behind it still, or again at the end, which the walk
 * comes to anyhow. What is stored meanwhile behind its back came from a fill: those under way are
 * looked at when it enters a shard, the others have been asked for after the purge.
 */
#include "cache/purge.h"
#include "cache/budget.h"
#include "cache/fill.h"

#include <sched.h>
#include <stdlib.h>

/* Buckets and objects that are visited under one lock. */
#define STEPS_PER_LOCK 32u
#define JOBS_MOST 64u
/* A walk ends after about so many turns, however much is stored. */
#define WALK_TURNS 176u
/* A walk for the log alone begins when it is so far ahead, or when it has waited for so long. */
#define BEHIND_MOST (CACHE_LOG_ENTRIES / 4)
#define BEHIND_MOST_MS 10000

/* Flags of an entry, where a tag of an object says where it came from. */
#define ENTRY_SOFT ((uint64_t)1)
#define ENTRY_NAME ((uint64_t)2) /* reaches those that bear every tag, too */

/* ---- the log ---- */

void cache_log_init(struct cache *cache)
{
    cache->log = base_alloc_zero(sizeof(*cache->log));
    atomic_fetch_add(&cache->bytes, base_allocated_bytes(cache->log));
    cache_lock_init(&cache->log->lock);
    list_init(&cache->walk.waiting);
    list_init(&cache->walk.on);
}

void cache_log_destroy(struct cache *cache)
{
    weir_assert(list_empty(&cache->walk.waiting) && list_empty(&cache->walk.on));
    pthread_mutex_destroy(&cache->log->lock);
    cache_budget_free(cache, cache->log);
}

static uint64_t add_entry(struct cache *cache, uint64_t tag, uint64_t flags)
{
    struct cache_log *log = cache->log;
    pthread_mutex_lock(&log->lock);
    uint64_t number = atomic_load_explicit(&log->number, memory_order_relaxed) + 1;
    unsigned at = number % CACHE_LOG_ENTRIES;
    atomic_store_explicit(&log->purged[at], 0, memory_order_relaxed);
    atomic_store_explicit(&log->entries[at], (tag & ~CACHE_TAG_BITS) | flags, memory_order_release);
    atomic_store_explicit(&log->number, number, memory_order_release);
    pthread_mutex_unlock(&log->lock);
    return number;
}

void cache_purge_expect_longer_keys(struct cache *cache)
{
    atomic_store(&cache->log->has_longer_keys, true);
}

void cache_purge_expect_any_group(struct cache *cache)
{
    atomic_store(&cache->log->has_any_group, true);
}

static bool matches(const struct cache_tags *tags, uint64_t entry)
{
    if (tags->every && (entry & ENTRY_NAME))
        return true;
    for (uint32_t i = 0; i < tags->count; i++)
        if ((tags->list[i] ^ entry) <= CACHE_TAG_BITS)
            return true;
    return false;
}

enum verdict {
    SPARED,
    SOFTENED,
    REMOVED
};

/* What the entries behind *seen say; *seen moves to the last. `counted`: in what they have
   reached. */
static enum verdict judge(struct cache_log *log, const struct cache_tags *tags, uint64_t *seen,
                          bool counted)
{
    enum verdict verdict = SPARED;
    uint64_t from = *seen, number = cache_log_number(log);
    if (number - from >= CACHE_LOG_ENTRIES)
        verdict = REMOVED;
    for (uint64_t n = from + 1; n <= number && verdict != REMOVED; n++) {
        unsigned at = n % CACHE_LOG_ENTRIES;
        uint64_t entry = atomic_load_explicit(&log->entries[at], memory_order_acquire);
        if (!matches(tags, entry))
            continue;
        verdict = entry & ENTRY_SOFT ? SOFTENED : REMOVED;
        if (counted)
            atomic_fetch_add_explicit(&log->purged[at], 1, memory_order_relaxed);
    }
    /* An entry that was written over before it was read shows in the number (read behind it). */
    if (atomic_load_explicit(&log->number, memory_order_relaxed) - from >= CACHE_LOG_ENTRIES)
        verdict = REMOVED;
    *seen = number;
    return verdict;
}

static void remove_locked(struct cache_shard *shard, struct cache_object *object,
                          struct cache_object **gone)
{
    shard->counts.purged++;
    cache_index_remove_locked(shard, object, gone);
}

static void soften_locked(struct cache_shard *shard, struct cache_object *object, int64_t now_ms)
{
    shard->counts.purged++;
    cache_object_soften(object, now_ms);
}

bool cache_purge_spares_locked(struct cache_shard *shard, struct cache_object *object,
                               int64_t now_ms, struct cache_object **gone)
{
    struct cache_log *log = object->cache->log;
    uint64_t seen = cache_object_seen(object);
    if (weir_likely(seen == cache_log_number(log)))
        return true;
    enum verdict verdict = judge(log, cache_object_tags(object), &seen, true);
    if (verdict == REMOVED) {
        remove_locked(shard, object, gone);
        return false;
    }
    if (verdict == SOFTENED)
        soften_locked(shard, object, now_ms);
    cache_object_set_seen(object, seen);
    return true;
}

bool cache_purge_reaches_fill_locked(struct cache_shard *shard, struct cache_fill *fill,
                                     const struct cache_tags *tags)
{
    /* One that no purge could find counts any in its shard. */
    if (atomic_load_explicit(&fill->purged, memory_order_relaxed) ||
        (!fill->findable && shard->purges != fill->purges_before))
        return true;
    uint64_t seen = fill->log_number;
    return tags != NULL && judge(fill->cache->log, tags, &seen, false) != SPARED;
}

bool cache_purge_hides_fill_locked(struct cache_shard *shard, struct cache_fill *fill)
{
    if (weir_likely(fill->log_number == cache_log_number(fill->cache->log)))
        return false;
    switch (atomic_load_explicit(&fill->tagged, memory_order_acquire)) {
    case CACHE_FILL_TAGS_UNKNOWN:
        return true;
    case CACHE_FILL_UNTAGGED:
        return false;
    case CACHE_FILL_TAGGED:
        break;
    }
    uint64_t number = cache_log_number(fill->cache->log);
    if (cache_purge_reaches_fill_locked(shard, fill, fill->tags))
        return true;
    fill->log_number = number;
    return false;
}

/* ---- of keys and tags ---- */

/* Those under way are left to their readers. */
static void purge_fill_locked(struct cache_fill *fill)
{
    atomic_store_explicit(&fill->purged, true, memory_order_relaxed);
    cache_index_remove_fill_locked(fill);
}

static void purge_fills_locked(struct cache_shard *shard, const struct cache_key *key)
{
    struct list_link *fills = cache_index_fills(shard, key);
    for (struct list_link *at = fills->next, *next; at != fills; at = next) {
        struct cache_fill *fill = weir_container(at, struct cache_fill, link);
        next = at->next;
        if (fill->key.hash == key->hash && str_equal(fill->key.text, key->text))
            purge_fill_locked(fill);
    }
    shard->purges++;
}

static unsigned purge_key(struct cache *cache, const struct cache_key *key, bool soft,
                          int64_t now_ms)
{
    struct cache_shard *shard = cache_shard_of(cache, key);
    struct cache_object *gone = NULL, *next;
    unsigned count = 0;
    pthread_mutex_lock(&shard->lock);
    struct cache_object *object = cache_index_first_locked(shard, key);
    for (; object != NULL; object = cache_index_next_locked(key, next)) {
        next = object->next;
        /* What an entry of the log has reached before is gone already. */
        if (cache_object_is_tagged(object) &&
            !cache_purge_spares_locked(shard, object, now_ms, &gone))
            continue;
        count++;
        if (soft)
            soften_locked(shard, object, now_ms);
        else
            remove_locked(shard, object, &gone);
    }
    purge_fills_locked(shard, key);
    pthread_mutex_unlock(&shard->lock);
    cache_index_release(gone);
    return count;
}

unsigned cache_purge(struct cache *cache, const struct cache_key *key)
{
    return purge_key(cache, key, false, 0);
}

unsigned cache_purge_url(struct cache *cache, struct str url, bool soft, int64_t now_ms,
                         uint64_t *logged)
{
    struct cache_key key = {.text = url};
    *logged = 0;
    if (atomic_load(&cache->log->has_longer_keys))
        *logged = add_entry(cache, cache_tag_of_url(cache, url), soft ? ENTRY_SOFT : 0);
    cache_key_hash(cache, &key);
    return purge_key(cache, &key, soft, now_ms);
}

uint64_t cache_purge_tag(struct cache *cache, struct str name, bool soft)
{
    return add_entry(cache, cache_tag_of_name(cache, name), ENTRY_NAME | (soft ? ENTRY_SOFT : 0));
}

void cache_purge_group(struct cache *cache, struct str origin, struct str group)
{
    add_entry(cache, cache_tag_of_group(cache, origin, group), 0);
    if (atomic_load(&cache->log->has_any_group))
        add_entry(cache, cache_tag_of_any_group(cache, origin), 0);
}

/* ---- the walk ---- */

static bool job_matches(const struct cache_purge_job *job, struct str key)
{
    switch (job->what) {
    case CACHE_PURGE_ALL:
        return true;
    case CACHE_PURGE_PREFIX:
        return str_begins(key, job->prefix);
    case CACHE_PURGE_LOGGED:
        return false; /* the log tells */
    }
    weir_assert(!"what a job purges");
    return false;
}

static struct cache_purge_job *job_of(struct list_link *link)
{
    return weir_container(link, struct cache_purge_job, link);
}

/* Fills that are under way when the walk comes to their shard. */
static void enter_shard_locked(const struct cache_walk *walk, struct cache_shard *shard)
{
    bool purges = false;
    for (struct list_link *at = walk->on.next; at != &walk->on; at = at->next) {
        const struct cache_purge_job *job = job_of(at);
        purges |= job->what != CACHE_PURGE_LOGGED;
        for (unsigned list = 0; list < CACHE_FILL_LISTS; list++)
            for (struct list_link *f = shard->fills[list].next, *next; f != &shard->fills[list];
                 f = next) {
                struct cache_fill *fill = weir_container(f, struct cache_fill, link);
                next = f->next;
                if (job_matches(job, fill->key.text))
                    purge_fill_locked(fill);
            }
    }
    shard->purges += purges;
}

static void visit_locked(const struct cache_walk *walk, struct cache_shard *shard,
                         struct cache_object *object, int64_t now_ms, struct cache_object **gone)
{
    if (cache_object_is_tagged(object) && !cache_purge_spares_locked(shard, object, now_ms, gone))
        return;
    for (struct list_link *at = walk->on.next; at != &walk->on; at = at->next) {
        struct cache_purge_job *job = job_of(at);
        if (!job_matches(job, cache_object_key(object)))
            continue;
        job->purged++;
        if (!job->soft) {
            remove_locked(shard, object, gone);
            return;
        }
        soften_locked(shard, object, now_ms);
    }
}

/* Some buckets of the shard under one lock; returns how many steps that were. */
static unsigned walk_slice(struct cache *cache, int64_t now_ms)
{
    struct cache_walk *walk = &cache->walk;
    struct cache_shard *shard = &cache->shards[walk->shard];
    struct cache_object *gone = NULL;
    unsigned steps = 0;
    pthread_mutex_lock(&shard->lock);
    if (walk->bucket == 0) {
        uint64_t size = (uint64_t)shard->mask + 1 + shard->objects;
        walk->turn_steps = size * cache->shard_count / WALK_TURNS;
        enter_shard_locked(walk, shard);
    }
    while (walk->bucket <= shard->mask && steps < STEPS_PER_LOCK) {
        struct cache_object *next;
        for (struct cache_object *o = shard->buckets[walk->bucket]; o != NULL; o = next, steps++) {
            next = o->next;
            visit_locked(walk, shard, o, now_ms, &gone);
        }
        walk->bucket++;
        steps++;
    }
    bool ended = walk->bucket > shard->mask;
    pthread_mutex_unlock(&shard->lock);
    cache_index_release(gone);
    if (ended) {
        walk->bucket = 0;
        walk->shard++;
    }
    return steps;
}

static bool is_due(const struct cache *cache, int64_t now_ms)
{
    const struct cache_walk *walk = &cache->walk;
    uint64_t behind = cache_log_number(cache->log) - walk->walked_number;
    return !list_empty(&walk->waiting) || behind >= BEHIND_MOST ||
           (behind > 0 && now_ms - walk->ended_ms >= BEHIND_MOST_MS);
}

static void begin_walk(struct cache *cache)
{
    struct cache_walk *walk = &cache->walk;
    walk->under_way = true;
    walk->shard = walk->bucket = 0;
    walk->number = cache_log_number(cache->log);
    while (!list_empty(&walk->waiting)) {
        struct list_link *link = walk->waiting.next;
        list_remove(link);
        list_push_back(&walk->on, link);
    }
}

static void end_walk(struct cache *cache, int64_t now_ms)
{
    struct cache_walk *walk = &cache->walk;
    struct cache_log *log = cache->log;
    walk->under_way = false;
    walk->walked_number = walk->number;
    walk->ended_ms = now_ms;
    walk->walks++;
    while (!list_empty(&walk->on)) {
        struct cache_purge_job *job = job_of(walk->on.next);
        list_remove(&job->link);
        walk->jobs--;
        if (job->what == CACHE_PURGE_LOGGED)
            job->purged += atomic_load_explicit(&log->purged[job->logged % CACHE_LOG_ENTRIES],
                                                memory_order_relaxed);
        job->on_done(job);
    }
}

bool cache_purge_begin(struct cache *cache, struct cache_purge_job *job)
{
    if (cache->walk.jobs == JOBS_MOST)
        return false;
    cache->walk.jobs++;
    list_push_back(&cache->walk.waiting, &job->link);
    return true;
}

void cache_purge_give_up(struct cache *cache, struct cache_purge_job *job)
{
    list_remove(&job->link);
    cache->walk.jobs--;
}

bool cache_purge_go_on(struct cache *cache, unsigned least, int64_t now_ms)
{
    struct cache_walk *walk = &cache->walk;
    if (!walk->under_way && !is_due(cache, now_ms))
        return false;
    if (!walk->under_way)
        begin_walk(cache);
    uint64_t steps = 0;
    do {
        steps += walk_slice(cache, now_ms);
        sched_yield(); /* to a worker that has been woken on this core meanwhile */
    } while (walk->shard < cache->shard_count && (steps < least || steps < walk->turn_steps));
    if (walk->shard == cache->shard_count)
        end_walk(cache, now_ms);
    return walk->under_way || is_due(cache, now_ms);
}
