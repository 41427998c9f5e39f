/*
 * What the tests of cache/ share: requests, responses and bodies with as few words as possible. Time is an
 * argument; nothing here looks at a clock.
 */
#ifndef WEIR_CACHE_FIXTURE_H
#define WEIR_CACHE_FIXTURE_H

#include "cache/cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#define MIB ((uint64_t)1 << 20)
#define KIB ((uint64_t)1 << 10)

static const struct policy_request plain_request = {
    .max_age_s = -1, .min_fresh_s = -1, .max_stale_s = -1};

struct ask {
    const char *url;
    const char *language;                 /* Accept-Language of the request; NULL: none */
    const struct policy_request *request; /* NULL: plain */
    int64_t now_ms;
};

static inline struct field field_of(const char *name, const char *value)
{
    return (struct field){name, value, (uint32_t)strlen(value), (uint16_t)strlen(name),
                          (uint16_t)field_identify(name, strlen(name))};
}

static inline struct cache_key key_of(const struct cache *cache, const char *url)
{
    struct cache_key key = {.text = str_from(url)};
    cache_key_hash(cache, &key);
    return key;
}

static inline enum cache_found ask(struct cache *cache, struct ask a, struct cache_find *found)
{
    struct field language = field_of("Accept-Language", a.language ? a.language : "");
    struct cache_query query = {
        .key = key_of(cache, a.url),
        .fields = {&language, a.language ? 1 : 0},
        .request = a.request ? a.request : &plain_request,
        .now_ms = a.now_ms,
    };
    return cache_lookup(cache, &query, found);
}

static inline void let_go(struct cache_find *found)
{
    cache_object_release(&found->object);
    cache_fill_release(&found->fill);
}

struct answer {
    const char *language; /* of the request that it answers, when the response varies by it */
    int64_t born_ms;
    uint32_t lifetime_s;
    uint16_t flags;
    enum policy_reason reason;
    int64_t length; /* announced; -1: not known */
    bool vary;
    const char *date; /* its Date line, with the line's end; NULL: none */
    uint32_t stale_while_revalidate_s, stale_if_error_s, keep_min;
};

static inline bool give_head(struct cache_fill *fill, struct answer a)
{
    char vary_bytes[256], block_bytes[256];
    snprintf(block_bytes, sizeof(block_bytes), "Content-Type: text/plain\r\n%s",
             a.date ? a.date : "");
    struct appender vary = appender_on(vary_bytes, sizeof(vary_bytes));
    if (a.vary) {
        struct field response = field_of("Vary", "Accept-Language");
        struct field request = field_of("Accept-Language", a.language ? a.language : "");
        assert_true(cache_vary_build((struct fields){&response, 1},
                                     (struct fields){&request, a.language ? 1 : 0}, &vary));
    }
    struct cache_fill_head head = {
        .meta = {.born_ms = a.born_ms,
                 .lifetime_s = a.lifetime_s,
                 .status = 200,
                 .flags = (uint16_t)(a.flags | (a.vary ? CACHE_HAS_VARY : 0)),
                 .stale_while_revalidate_s = a.stale_while_revalidate_s & 0xffffff,
                 .stale_if_error_s = a.stale_if_error_s & 0xffffff,
                 .keep_min = a.keep_min & 0xffff},
        .reason = a.reason,
        .block = str_from(block_bytes),
        .vary = str_of(vary.ptr, vary.len),
        .content_length = a.length,
    };
    return cache_fill_set_head(fill, &head);
}

/* Which byte belongs at that offset of a body. */
static inline char byte_at(uint64_t seed, uint64_t offset)
{
    return (char)(((offset + seed) * 0x9e3779b97f4a7c15u) >> 56);
}

/* Appends up to `len` bytes of the pattern; returns how many the fill took. */
static inline size_t give_body(struct cache_fill *fill, uint64_t seed, uint64_t offset, size_t len)
{
    size_t done = 0;
    while (done < len) {
        size_t room;
        char *to = cache_fill_room(fill, len - done, &room);
        if (to == NULL || room == 0)
            break;
        for (size_t i = 0; i < room; i++)
            to[i] = byte_at(seed, offset + done + i);
        cache_fill_commit(fill, room);
        done += room;
    }
    return done;
}

static inline void check_pieces(const struct iovec *pieces, unsigned count, uint64_t seed,
                                uint64_t offset)
{
    for (unsigned i = 0; i < count; i++) {
        const char *bytes = pieces[i].iov_base;
        for (size_t k = 0; k < pieces[i].iov_len; k++, offset++)
            if (bytes[k] != byte_at(seed, offset))
                fail_msg("byte %llu is wrong", (unsigned long long)offset);
    }
}

static inline void check_object(const struct cache_object *object, uint64_t seed, uint64_t length)
{
    assert_int_equal(cache_object_length(object), length);
    uint64_t offset = 0;
    while (offset < length) {
        struct iovec pieces[3];
        unsigned count = cache_object_pieces(object, offset, pieces, 3);
        assert_true(count > 0);
        check_pieces(pieces, count, seed, offset);
        for (unsigned i = 0; i < count; i++)
            offset += pieces[i].iov_len;
    }
    assert_int_equal(offset, length);
}

/* Fetches and stores; false when memory was out on the way. */
static inline bool store_answer(struct cache *cache, struct ask a, struct answer answer,
                                uint64_t seed, uint64_t length)
{
    struct cache_find found;
    enum cache_found result = ask(cache, a, &found);
    if (result == CACHE_OUT_OF_MEMORY)
        return false;
    assert_int_equal(result, CACHE_LEAD);
    cache_object_release(&found.object);
    answer.language = a.language;
    answer.born_ms = a.now_ms;
    bool done = give_head(found.fill, answer) && give_body(found.fill, seed, 0, length) == length;
    if (done)
        cache_fill_complete(found.fill, STR(""), a.now_ms);
    cache_fill_end_writer(&found.fill);
    return done;
}

static inline bool store_simple(struct cache *cache, const char *url, uint64_t length,
                                int64_t now_ms)
{
    return store_answer(cache, (struct ask){.url = url, .now_ms = now_ms},
                        (struct answer){.lifetime_s = 60, .length = (int64_t)length}, 0, length);
}

static inline bool is_hit(struct cache *cache, const char *url, int64_t now_ms)
{
    struct cache_query query = {
        .key = key_of(cache, url), .request = &plain_request, .now_ms = now_ms};
    struct cache_find found;
    bool hit = cache_peek(cache, &query, false, &found) == CACHE_HIT;
    let_go(&found);
    return hit;
}

static inline struct cache_stats stats_of(const struct cache *cache)
{
    struct cache_stats stats;
    cache_read_stats(cache, &stats);
    return stats;
}

static inline uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Printed, and taken from the environment to repeat a run. */
static inline uint64_t choose_seed(void)
{
    const char *given = getenv("WEIR_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)base_clock_wall_us();
    print_message("WEIR_SEED=%llu\n", (unsigned long long)seed);
    return seed | 1;
}

#endif
