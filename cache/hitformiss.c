/*
 * Hit-for-miss: keys whose last response was good only for who asked for it: not to be stored, or
 * stored only to be validated each time. Requests for one do not wait for each other's fetch,
 * which would not help them, but go to the origin side by side, until a time set by the route or
 * until a response turns out to be shared after all. Called under the shard's
 * lock: by a lookup that found nothing, by a fill when its head is known.
 *
 * Each shard has a table of fixed size in sets of eight; in a full one the key whose time ends
 * first is forgotten, which costs it one more wait. A smaller one holds the keys whose refresh has
 * failed just now, so that an origin in trouble is not asked all the time.
 */
#include "cache/shard.h"

#define MS_PER_TENTH 100

#define AUTHORIZED 0x9e3779b9u /* tells the two of a key apart */

static uint32_t fingerprint(const struct cache_key *key, bool authorized)
{
    uint32_t print = (uint32_t)(key->hash >> 32) ^ (authorized ? AUTHORIZED : 0);
    return print != 0 ? print : 1;
}

static const struct cache_uncacheable *find(const struct cache_shard *shard, uint32_t print)
{
    const struct cache_uncacheable *set = shard->uncacheable[print % CACHE_UNCACHEABLE_SETS];
    for (unsigned i = 0; i < CACHE_UNCACHEABLE_WAYS; i++)
        if (set[i].print == print)
            return &set[i];
    return NULL;
}

/* The key's own entry, or the one whose time ends first. */
static struct cache_uncacheable *choose(struct cache_shard *shard, uint32_t print)
{
    struct cache_uncacheable *set = shard->uncacheable[print % CACHE_UNCACHEABLE_SETS];
    struct cache_uncacheable *first = &set[0];
    for (unsigned i = 0; i < CACHE_UNCACHEABLE_WAYS; i++) {
        if (set[i].print == print)
            return &set[i];
        if (set[i].until_ds < first->until_ds)
            first = &set[i];
    }
    return first;
}

static uint32_t tenths(int64_t ms)
{
    int64_t tenths = (ms + MS_PER_TENTH - 1) / MS_PER_TENTH;
    return tenths < UINT32_MAX ? (uint32_t)tenths : UINT32_MAX;
}

void cache_hit_for_miss_set_locked(struct cache_shard *shard, const struct cache_key *key,
                                   bool authorized, int64_t until_ms)
{
    uint32_t print = fingerprint(key, authorized);
    *choose(shard, print) = (struct cache_uncacheable){print, tenths(until_ms)};
    if (until_ms > shard->uncacheable_until_ms)
        shard->uncacheable_until_ms = until_ms;
}

static void clear(struct cache_shard *shard, uint32_t print)
{
    if (find(shard, print) != NULL)
        *choose(shard, print) = (struct cache_uncacheable){0, 0};
}

void cache_hit_for_miss_clear_locked(struct cache_shard *shard, const struct cache_key *key,
                                     bool authorized)
{
    clear(shard, fingerprint(key, false));
    if (authorized)
        clear(shard, fingerprint(key, true));
}

static bool is_remembered(const struct cache_shard *shard, uint32_t print, int64_t now_ms)
{
    const struct cache_uncacheable *found = find(shard, print);
    return found != NULL && found->until_ds > now_ms / MS_PER_TENTH;
}

void cache_hit_for_miss_prefetch(const struct cache_shard *shard, const struct cache_key *key)
{
    __builtin_prefetch(shard->uncacheable[fingerprint(key, false) % CACHE_UNCACHEABLE_SETS], 1);
}

bool cache_hit_for_miss_find_locked(const struct cache_shard *shard, const struct cache_key *key,
                                    bool authorized, int64_t now_ms)
{
    if (now_ms >= shard->uncacheable_until_ms)
        return false;
    return is_remembered(shard, fingerprint(key, false), now_ms) ||
           (authorized && is_remembered(shard, fingerprint(key, true), now_ms));
}

unsigned cache_hit_for_miss_count_locked(const struct cache_shard *shard, int64_t now_ms)
{
    unsigned count = 0;
    if (now_ms >= shard->uncacheable_until_ms)
        return 0;
    for (unsigned i = 0; i < CACHE_UNCACHEABLE_SETS; i++)
        for (unsigned way = 0; way < CACHE_UNCACHEABLE_WAYS; way++)
            count += shard->uncacheable[i][way].print != 0 &&
                     shard->uncacheable[i][way].until_ds > now_ms / MS_PER_TENTH;
    return count;
}

void cache_rest_set_locked(struct cache_shard *shard, const struct cache_key *key, int64_t until_ms)
{
    uint32_t print = fingerprint(key, false);
    shard->resting[print % CACHE_RESTING] = (struct cache_uncacheable){print, tenths(until_ms)};
}

bool cache_rests_locked(const struct cache_shard *shard, const struct cache_key *key,
                        int64_t now_ms)
{
    uint32_t print = fingerprint(key, false);
    const struct cache_uncacheable *rest = &shard->resting[print % CACHE_RESTING];
    return rest->print == print && rest->until_ds > now_ms / MS_PER_TENTH;
}
