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

/* A response of `length` bytes for requests of that language, or, without one, for all. */
static void store_variant(struct cache *cache, const char *language, const char *date,
                          uint64_t length)
{
    struct cache_find found;
    /* Whatever is stored is no answer. */
    const struct policy_request validated = {.max_age_s = 0, .min_fresh_s = -1, .max_stale_s = -1};
    assert_int_equal(ask(cache, (struct ask){"http://a/", language, &validated, 0}, &found),
                     CACHE_LEAD);
    cache_object_release(&found.object);
    assert_true(give_head(found.fill, (struct answer){.language = language,
                                                      .lifetime_s = 60,
                                                      .length = (int64_t)length,
                                                      .vary = language != NULL,
                                                      .date = date}));
    assert_int_equal(give_body(found.fill, 1, 0, length), length);
    cache_fill_complete(found.fill, STR(""), 0);
    cache_fill_end_writer(&found.fill);
}

/* The length of what a request of that language is answered with; 0: nothing. */
static uint64_t selected(struct cache *cache, const char *language)
{
    struct cache_find found;
    struct field field = field_of("Accept-Language", language);
    struct cache_query query = {
        .key = key_of(cache, "http://a/"), .fields = {&field, 1}, .request = &plain_request};
    uint64_t length = 0;
    if (cache_peek(cache, &query, false, &found) == CACHE_HIT)
        length = cache_object_length(found.object);
    let_go(&found);
    return length;
}

static void test_a_key_keeps_64_variants(void **state)
{
    (void)state;
    struct cache *cache = cache_new(4 * MIB, MIB, 1, 1);
    char language[16];
    for (unsigned i = 0; i < 100; i++) {
        snprintf(language, sizeof(language), "l%u", i);
        store_variant(cache, language, NULL, 1);
        unsigned over = i + 1 > 64 ? i + 1 - 64 : 0;
        assert_int_equal(stats_of(cache).objects, i + 1 - over);
        assert_int_equal(stats_of(cache).evicted, over);
    }
    assert_int_equal(selected(cache, "l99"), 1);
    assert_int_equal(selected(cache, "l36"), 1);
    assert_int_equal(selected(cache, "l35"), 0);
    /* One that is there is replaced, and nothing has to leave for it. */
    store_variant(cache, "l50", NULL, 2);
    assert_int_equal(selected(cache, "l50"), 2);
    assert_int_equal(selected(cache, "l36"), 1);
    assert_int_equal(stats_of(cache).evicted, 36);
    struct cache_key key = key_of(cache, "http://a/");
    assert_int_equal(cache_purge(cache, &key), 64);
    assert_int_equal(stats_of(cache).objects, 0);
    cache_free(&cache);
}

#define MONDAY "Date: Mon, 05 Jan 2026 00:00:00 GMT\r\n"
#define TUESDAY "Date: Tue, 06 Jan 2026 00:00:00 GMT\r\n"
#define TUESDAY_850 "Date: Tuesday, 06-Jan-26 00:00:00 GMT\r\n"
#define WEDNESDAY "Date: Wed, 07 Jan 2026 00:00:00 GMT\r\n"
#define NO_DAY "Date: yesterday\r\n"

/* RFC 9111 §4, §4.1: of several that match, the most recent by Date, not by arrival. */
static void test_the_most_recent_by_date_is_selected(void **state)
{
    (void)state;
    static const struct {
        const char *name, *dates[3];
        uint64_t wanted; /* which of the three, from 1 */
    } rows[] = {
        {"as they came", {MONDAY, TUESDAY, WEDNESDAY}, 3},
        {"the other way round", {WEDNESDAY, TUESDAY, MONDAY}, 1},
        {"the one between", {MONDAY, WEDNESDAY, TUESDAY}, 2},
        {"in another form", {MONDAY, TUESDAY_850, MONDAY}, 2},
        {"forms compared by time", {WEDNESDAY, TUESDAY_850, MONDAY}, 1},
        {"of the same second, the last that came", {TUESDAY, TUESDAY, MONDAY}, 2},
        {"of the same second, all", {TUESDAY, TUESDAY, TUESDAY}, 3},
        {"without a Date, by arrival", {WEDNESDAY, TUESDAY, NULL}, 3},
        {"with a malformed Date, by arrival", {WEDNESDAY, TUESDAY, NO_DAY}, 3},
        {"after one without a Date", {NULL, TUESDAY, MONDAY}, 2},
    };
    for (size_t i = 0; i < weir_count(rows); i++) {
        struct cache *cache = cache_new(4 * MIB, MIB, 1, 1);
        print_message("%s\n", rows[i].name);
        /* Three that a request for "de" selects: of its variant, for all, and of another list. */
        store_variant(cache, "de", rows[i].dates[0], 1);
        store_variant(cache, NULL, rows[i].dates[1], 2);
        struct cache_object_parts parts = {
            .key = key_of(cache, "http://a/"),
            .meta = {.lifetime_s = 60, .status = 200},
            .vary = STR("\0\0\1\0\xff\xff\xff\xffx"), /* x is not to be there */
            .block = str_from(rows[i].dates[2] ? rows[i].dates[2] : ""),
            .inline_len = 3,
        };
        struct cache_object *object = cache_object_new(cache, &parts), *gone = NULL;
        cache_object_write_body(object, &(struct iovec){"abc", 3}, 1);
        cache_index_insert_locked(&cache->shards[0], object, &gone);
        assert_null(gone);
        assert_int_equal(stats_of(cache).objects, 3);
        assert_int_equal(selected(cache, "de"), rows[i].wanted);
        cache_free(&cache);
    }
}

/* A 304 makes its response as recent as the Date that came with it. */
static void test_a_freshened_one_is_as_recent_as_its_new_date(void **state)
{
    (void)state;
    struct cache *cache = cache_new(4 * MIB, MIB, 1, 1);
    struct cache_key key = key_of(cache, "http://a/");
    struct cache_find found;
    store_variant(cache, "de", TUESDAY, 1);
    store_variant(cache, NULL, WEDNESDAY, 2);
    assert_int_equal(selected(cache, "de"), 2);
    const char *const dates[] = {MONDAY, WEDNESDAY};
    for (uint64_t i = 0; i < 2; i++) {
        struct cache_object *old = cache_index_first_locked(&cache->shards[0], &key);
        old = cache_object_ref(cache_object_length(old) == 1 ? old : old->next);
        struct cache_meta meta = cache_object_meta(old);
        found.object = cache_freshen(cache, &key, old, &meta, str_from(dates[i]), 0);
        cache_object_release(&found.object);
        cache_object_release(&old);
        assert_int_equal(selected(cache, "de"), 2 - i);
    }
    assert_int_equal(stats_of(cache).objects, 2);
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
        cmocka_unit_test(test_the_most_recent_by_date_is_selected),
        cmocka_unit_test(test_a_freshened_one_is_as_recent_as_its_new_date),
        cmocka_unit_test(test_a_bucket_is_bounded),
        cmocka_unit_test(test_growing_keeps_all),
        cmocka_unit_test(test_against_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
