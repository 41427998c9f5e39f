/*
 * What the programs share that drive the cache alone, through cache/cache.h as the proxy does:
 * keys, heads and the way of a miss from lookup to stored. Unlike the other bench tools they are
 * linked with Weir's own library (linked.py).
 */
#ifndef WEIR_TESTS_BENCH_CACHE_LOAD_H
#define WEIR_TESTS_BENCH_CACHE_LOAD_H

#include "bench.h"
#include "cache/cache.h"

#define LOAD_NOW_MS 1000
#define LOAD_LIFETIME_S 3600

static const struct policy_request load_request = {
    .max_age_s = -1, .min_fresh_s = -1, .max_stale_s = -1};

static inline enum cache_found load_lookup(struct cache *cache, struct str url,
                                           struct cache_find *found)
{
    struct cache_query query = {.key.text = url, .request = &load_request, .now_ms = LOAD_NOW_MS};
    cache_key_hash(cache, &query.key);
    return cache_lookup(cache, &query, found);
}

static inline bool load_fill(struct cache_fill *fill, struct str block, size_t body_bytes)
{
    struct cache_fill_head head = {
        .meta = {.born_ms = LOAD_NOW_MS, .lifetime_s = LOAD_LIFETIME_S, .status = 200},
        .reason = POLICY_STORE,
        .block = block,
        .content_length = (int64_t)body_bytes,
    };
    if (!cache_fill_set_head(fill, &head))
        return false;
    for (size_t done = 0, room; done < body_bytes; done += room) {
        char *to = cache_fill_room(fill, body_bytes - done, &room);
        if (to == NULL || room == 0)
            return false;
        memset(to, 'w', room);
        cache_fill_commit(fill, room);
    }
    cache_fill_complete(fill, str_of(NULL, 0), LOAD_NOW_MS);
    return true;
}

/* The way of a miss: found->fill is led to its end, and let go. False: memory was out. */
static inline bool load_store(struct cache_find *found, struct str block, size_t body_bytes)
{
    bool done = load_fill(found->fill, block, body_bytes);
    cache_fill_end_writer(&found->fill);
    return done;
}

/* "<base><number>" without a terminating zero. */
static inline struct str load_url(char *out, const char *base, uint64_t number)
{
    char digits[20];
    size_t len = strlen(base), count = 0;
    memcpy(out, base, len);
    do
        digits[count++] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    while (count > 0)
        out[len++] = digits[--count];
    return str_of(out, len);
}

#endif
