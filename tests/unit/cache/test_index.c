/* cache/index.c: the tables; and all of the index against a simple model, at random. */
#include "tests/unit/cache/cache_fixture.h"

#include "cache/shard.h"

static void test_same_key_same_vary_replaces(void **state)
{
    (void)state;
    struct cache *cache = cache_new(4 * MIB, MIB, 1, 1);
    assert_true(store_simple(cache, "http://a/", 10, 0));
    uint64_t bytes = stats_of(cache).bytes;
    for (int64_t now = 60000; now < 60000 * 20; now += 60000)
        assert_true(store_simple(cache, "http://a/", 10, now));
    assert_int_equal(stats_of(cache).objects, 1);
    assert_int_equal(stats_of(cache).bytes, bytes);
    assert_int_equal(stats_of(cache).stored, 20);
    assert_int_equal(stats_of(cache).evicted, 0);
    cache_free(&cache);
}

static void test_a_key_keeps_64_variants(void **state)
{
    (void)state;
    struct cache *cache = cache_new(4 * MIB, MIB, 1, 1);
    char language[16];
    for (unsigned i = 0; i < 100; i++) {
        snprintf(language, sizeof(language), "l%u", i);
        assert_true(store_answer(cache, (struct ask){.url = "http://a/", .language = language},
                                 (struct answer){.lifetime_s = 60, .length = 1, .vary = true}, i,
                                 1));
    }
    assert_int_equal(stats_of(cache).objects, 64);
    assert_int_equal(stats_of(cache).evicted, 36);
    struct cache_find found;
    assert_int_equal(ask(cache, (struct ask){.url = "http://a/", .language = "l36"}, &found),
                     CACHE_HIT);
    let_go(&found);
    assert_int_equal(ask(cache, (struct ask){.url = "http://a/", .language = "l35"}, &found),
                     CACHE_LEAD);
    cache_fill_end_writer(&found.fill);
    let_go(&found);
    cache_free(&cache);
}

/* All keys in one bucket: its chain stays bounded, and that is counted. */
static void test_a_bucket_is_bounded(void **state)
{
    (void)state;
    struct cache *cache = cache_new(4 * MIB, MIB, 1, 1);
    struct cache_shard *shard = &cache->shards[0];
    struct cache_object *gone = NULL;
    char url[32];
    for (unsigned i = 0; i < 200; i++) {
        snprintf(url, sizeof(url), "http://a/%u", i);
        struct cache_object_parts parts = {
            .key = {.text = str_from(url), .hash = (uint64_t)i << 20 | 5}, .block = STR("")};
        cache_index_insert_locked(shard, cache_object_new(cache, &parts), &gone);
    }
    cache_index_release(gone);
    struct cache_stats stats = stats_of(cache);
    assert_int_equal(stats.objects, CACHE_CHAIN_MOST);
    assert_int_equal(stats.chain_full, 200 - CACHE_CHAIN_MOST);
    assert_int_equal(stats.evicted, stats.chain_full);
    cache_free(&cache);
}

static void test_growing_keeps_all(void **state)
{
    (void)state;
    struct cache *cache = cache_new(32 * MIB, MIB, 1, 2);
    char url[32];
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(url, sizeof(url), "http://a/%u", i);
        assert_true(store_simple(cache, url, 3, 0));
    }
    assert_int_equal(stats_of(cache).objects, 20000);
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(url, sizeof(url), "http://a/%u", i);
        assert_true(is_hit(cache, url, 1));
    }
    for (unsigned i = 0; i < 2; i++)
        assert_in_range(cache->shards[i].mask + 1, cache->shards[i].objects / 2,
                        cache->shards[i].objects * 2);
    cache_free(&cache);
}

/* ---- the model: what must be there if nothing was evicted, and what may be ---- */

#define MODEL_KEYS 300u

struct model {
    struct cache *cache;
    uint64_t random;
    int64_t now_ms;
    struct {
        bool stored;
        int64_t stored_ms;
        uint64_t seed, length;
    } keys[MODEL_KEYS];
    struct cache_object *held[16]; /* evicted or not, they stay as they were */
    unsigned held_key[16];
    uint64_t held_seed[16];
};

static void model_url(unsigned key, char url[32])
{
    snprintf(url, 32, "http://m/%u", key);
}

static uint64_t model_length(struct model *m)
{
    switch (next_random(&m->random) % 8) {
    case 0:
        return 0;
    case 1:
        return next_random(&m->random) % (200 * KIB);
    case 2:
        return CACHE_INLINE_MOST - 2 + next_random(&m->random) % 5;
    default:
        return next_random(&m->random) % (4 * KIB);
    }
}

static void model_fill(struct model *m, unsigned key, struct cache_find *found)
{
    uint64_t length = model_length(m), seed = next_random(&m->random);
    bool announced = next_random(&m->random) % 2;
    struct answer answer = {
        .lifetime_s = 5, .born_ms = m->now_ms, .length = announced ? (int64_t)length : -1};
    bool whole =
        give_head(found->fill, answer) && give_body(found->fill, seed, 0, length) == length;
    if (whole && next_random(&m->random) % 8 != 0) {
        uint64_t stored = stats_of(m->cache).stored;
        cache_fill_complete(found->fill, STR(""), m->now_ms);
        if (stats_of(m->cache).stored > stored) {
            m->keys[key].stored = true;
            m->keys[key].stored_ms = m->now_ms;
            m->keys[key].seed = seed;
            m->keys[key].length = length;
        }
    }
    cache_fill_end_writer(&found->fill);
    cache_object_release(&found->object);
}

static void model_hold(struct model *m, unsigned key, struct cache_object *object)
{
    unsigned at = next_random(&m->random) % weir_count(m->held);
    if (m->held[at] != NULL)
        check_object(m->held[at], m->held_seed[at], cache_object_length(m->held[at]));
    cache_object_release(&m->held[at]);
    m->held[at] = object;
    m->held_key[at] = key;
    m->held_seed[at] = m->keys[key].seed;
}

static void model_step(struct model *m)
{
    unsigned key = next_random(&m->random) % MODEL_KEYS;
    key = next_random(&m->random) % 2 ? key % 20 : key;
    char url[32];
    model_url(key, url);
    uint64_t what = next_random(&m->random) % 100;
    if (what < 2) {
        struct cache_key hashed = key_of(m->cache, url);
        unsigned count = cache_purge(m->cache, &hashed);
        assert_true(count <= m->keys[key].stored);
        m->keys[key].stored = false;
        return;
    }
    if (what < 4) {
        m->now_ms += (int64_t)(next_random(&m->random) % 2000);
        cache_sweep(m->cache, 40, m->now_ms);
        return;
    }
    struct cache_find found;
    enum cache_found result = ask(m->cache, (struct ask){.url = url, .now_ms = m->now_ms}, &found);
    if (result == CACHE_HIT) {
        assert_true(m->keys[key].stored && m->now_ms - m->keys[key].stored_ms < 5000);
        check_object(found.object, m->keys[key].seed, m->keys[key].length);
        model_hold(m, key, found.object);
    } else if (result == CACHE_LEAD) {
        model_fill(m, key, &found);
    } else {
        assert_int_equal(result, CACHE_OUT_OF_MEMORY);
    }
}

static void run_model(uint64_t memory, unsigned shards, uint64_t seed, unsigned steps)
{
    struct model *m = calloc(1, sizeof(*m));
    m->random = seed;
    m->cache = cache_new(memory, 150 * KIB, 1, shards);
    uint64_t empty = stats_of(m->cache).bytes;
    for (unsigned i = 0; i < steps; i++) {
        model_step(m);
        assert_true(stats_of(m->cache).bytes <= memory);
    }
    struct cache_stats stats = stats_of(m->cache);
    assert_int_equal(stats.fills, 0);
    assert_true(stats.stored > steps / 20);
    if (memory < 8 * MIB)
        assert_true(stats.evicted > 0);
    for (unsigned i = 0; i < weir_count(m->held); i++) {
        if (m->held[i] != NULL)
            check_object(m->held[i], m->held_seed[i], cache_object_length(m->held[i]));
        cache_object_release(&m->held[i]);
    }
    for (unsigned key = 0; key < MODEL_KEYS; key++) {
        char url[32];
        model_url(key, url);
        struct cache_key hashed = key_of(m->cache, url);
        cache_purge(m->cache, &hashed);
    }
    stats = stats_of(m->cache);
    assert_int_equal(stats.objects, 0);
    /* Only tables may have grown: 12 bytes a bucket. */
    uint64_t tables = 0;
    for (unsigned i = 0; i < m->cache->shard_count; i++)
        tables += base_allocated_bytes(m->cache->shards[i].buckets) +
                  base_allocated_bytes(m->cache->shards[i].ghost);
    assert_in_range(stats.bytes, empty, empty + tables);
    cache_free(&m->cache);
    free(m);
}

static void test_against_a_model(void **state)
{
    (void)state;
    uint64_t seed = choose_seed();
    run_model(64 * MIB, 4, seed, 20000);
    run_model(MIB, 4, seed ^ 0x55555555, 20000);
    run_model(300 * KIB, 1, seed ^ 0x33333333, 20000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_key_same_vary_replaces),
        cmocka_unit_test(test_a_key_keeps_64_variants),
        cmocka_unit_test(test_a_bucket_is_bounded),
        cmocka_unit_test(test_growing_keeps_all),
        cmocka_unit_test(test_against_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
