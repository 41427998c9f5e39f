/* cache/evict.c and cache/budget.c: who leaves, and that the cap holds. */
#include "tests/unit/cache/cache_fixture.h"

#include "cache/budget.h"

static void url_of(const char *kind, unsigned i, char url[48])
{
    snprintf(url, 48, "http://e/%s/%u", kind, i);
}

static bool store_numbered(struct cache *cache, const char *kind, unsigned i, uint64_t length)
{
    char url[48];
    url_of(kind, i, url);
    return store_simple(cache, url, length, 0);
}

static bool hit_numbered(struct cache *cache, const char *kind, unsigned i)
{
    char url[48];
    url_of(kind, i, url);
    return is_hit(cache, url, 0);
}

static unsigned count_hits(struct cache *cache, const char *kind, unsigned count)
{
    unsigned hits = 0;
    for (unsigned i = 0; i < count; i++)
        hits += hit_numbered(cache, kind, i);
    return hits;
}

static void test_the_cap_holds(void **state)
{
    (void)state;
    struct cache *cache = cache_new(2 * MIB, MIB, 1, 0);
    for (unsigned i = 0; i < 10000; i++) {
        assert_true(store_numbered(cache, "x", i, i * 7919 % 3000));
        assert_true(stats_of(cache).bytes <= 2 * MIB);
    }
    struct cache_stats stats = stats_of(cache);
    assert_int_equal(stats.objects + stats.evicted, 10000);
    /* It is used, too. */
    assert_true(stats.bytes > MIB * 19 / 10);
    cache_free(&cache);
}

/* Where everything is asked for all the time, what is new is stored all the same. */
static void test_all_are_used(void **state)
{
    (void)state;
    struct cache *cache = cache_new(64 * MIB, MIB, 1, 4);
    for (unsigned i = 0; i < 100000; i++) {
        uint64_t refused = stats_of(cache).shortage.passes;
        assert_true(store_numbered(cache, "x", i, 1000));
        assert_int_equal(stats_of(cache).shortage.passes, refused);
        for (unsigned hit = 0; hit < 3; hit++)
            assert_true(hit_numbered(cache, "x", i));
    }
    assert_true(stats_of(cache).evicted > 30000);
    cache_free(&cache);
}

/* What was asked for twice outlives a scan ten times the size of the cache. */
static void test_a_scan_does_not_wash_out_what_is_used(void **state)
{
    (void)state;
    struct cache *cache = cache_new(2 * MIB, MIB, 1, 1);
    for (unsigned i = 0; i < 500; i++) {
        assert_true(store_numbered(cache, "used", i, 1000));
        assert_true(hit_numbered(cache, "used", i) && hit_numbered(cache, "used", i));
    }
    for (unsigned i = 0; i < 20000; i++)
        assert_true(store_numbered(cache, "scan", i, 1000));
    assert_int_equal(count_hits(cache, "used", 500), 500);
    cache_free(&cache);
}

/* A one-hit wonder leaves; when it is fetched again soon it is remembered, and outlives a scan. */
static void test_what_left_lately_comes_back_to_the_main_queue(void **state)
{
    (void)state;
    struct cache *cache = cache_new(2 * MIB, MIB, 1, 1);
    for (unsigned i = 0; i < 5000; i++)
        assert_true(store_numbered(cache, "scan", i, 1000));
    unsigned last_gone = 5000;
    while (last_gone > 0 && hit_numbered(cache, "scan", last_gone - 1))
        last_gone--;
    assert_in_range(last_gone, 100, 4900);
    unsigned first = last_gone - 20;
    for (unsigned i = first; i < last_gone; i++)
        assert_true(store_numbered(cache, "scan", i, 1000));
    for (unsigned i = 0; i < 20000; i++)
        assert_true(store_numbered(cache, "another", i, 1000));
    unsigned hits = 0;
    for (unsigned i = first; i < last_gone; i++)
        hits += hit_numbered(cache, "scan", i);
    /* The ghost list keeps sets of eight: one of twenty may have been pushed out early. */
    assert_in_range(hits, 18, 20);
    cache_free(&cache);
}

/* The table has twice as many places as there are objects; the ghost list does not use them all. */
static void test_what_left_long_ago_is_forgotten(void **state)
{
    (void)state;
    struct cache *cache = cache_new(MIB * 7 / 5, MIB, 1, 1);
    for (unsigned i = 0; i < 20000; i++)
        assert_true(store_numbered(cache, "scan", i, 1000));
    unsigned stored = (unsigned)stats_of(cache).objects;
    assert_in_range(stored, 1025, 1700);
    unsigned first = 20000 - stored - stored * 13 / 10;
    for (unsigned i = first; i < first + 100; i++)
        assert_true(store_numbered(cache, "scan", i, 1000));
    for (unsigned i = 0; i < 20000; i++)
        assert_true(store_numbered(cache, "another", i, 1000));
    unsigned hits = 0;
    for (unsigned i = first; i < first + 100; i++)
        hits += hit_numbered(cache, "scan", i);
    assert_in_range(hits, 0, 50);
    cache_free(&cache);
}

/* A large object takes more than a whole shard holds, and yet what has just come stays. */
static void test_a_large_object_takes_the_old_ones_of_all_shards(void **state)
{
    (void)state;
    struct cache *cache = cache_new(MIB, MIB, 1, 16);
    unsigned lost = 0, next = 0;
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 300; i++)
            assert_true(store_numbered(cache, "small", next++, 4000));
        assert_true(store_numbered(cache, "large", round, 100 * KIB));
        for (unsigned i = next - 30; i < next; i++)
            lost += !hit_numbered(cache, "small", i);
    }
    assert_in_range(lost, 0, 20 * 30 / 50);
    cache_free(&cache);
}

static void test_used_ones_leave_at_last(void **state)
{
    (void)state;
    struct cache *cache = cache_new(2 * MIB, MIB, 1, 1);
    for (unsigned i = 0; i < 10000; i++) {
        assert_true(store_numbered(cache, "used", i, 1000));
        for (unsigned k = 0; k < 5; k++)
            assert_true(hit_numbered(cache, "used", i));
        /* In the main queue, by then. */
        for (unsigned k = 0; k < 3 && i >= 1500; k++)
            hit_numbered(cache, "used", i - 1500);
    }
    assert_true(stats_of(cache).evicted > 8000);
    /* Whatever their use was, nobody asks for these any more. */
    assert_int_equal(count_hits(cache, "used", 2000), 0);
    assert_true(stats_of(cache).bytes <= 2 * MIB);
    cache_free(&cache);
}

/* Shards have a share of 128 KiB each. */
static void test_larger_than_a_shards_share_still_fits(void **state)
{
    (void)state;
    struct cache *cache = cache_new(8 * MIB, 6 * MIB, 1, 64);
    for (unsigned i = 0; i < 8000; i++)
        assert_true(store_numbered(cache, "small", i, 1000));
    assert_true(store_numbered(cache, "large", 0, 5 * MIB));
    assert_true(hit_numbered(cache, "large", 0));
    assert_true(count_hits(cache, "small", 8000) > 1000);
    assert_true(stats_of(cache).bytes <= 8 * MIB);
    cache_free(&cache);
}

/* What a reader holds of evicted objects stays counted, and what does not fit beside it is not
 * stored. */
static void test_held_objects_stay_counted(void **state)
{
    (void)state;
    struct cache *cache = cache_new(2 * MIB, MIB, 1, 0);
    struct cache_find held[64];
    unsigned count = 0;
    for (unsigned i = 0; i < 64; i++) {
        if (!store_numbered(cache, "held", i, 50 * KIB))
            break;
        char url[48];
        url_of("held", i, url);
        if (ask(cache, (struct ask){.url = url}, &held[count]) == CACHE_HIT) {
            count++;
        } else {
            cache_fill_end_writer(&held[count].fill);
            break;
        }
        assert_true(stats_of(cache).bytes <= 2 * MIB);
    }
    assert_in_range(count, 30, 41);
    assert_true(stats_of(cache).bytes >= count * 50 * KIB);
    for (unsigned i = 0; i < count; i++) {
        check_object(held[i].object, 0, 50 * KIB);
        let_go(&held[i]);
    }
    assert_true(store_numbered(cache, "after", 0, 50 * KIB));
    assert_true(hit_numbered(cache, "after", 0));
    cache_free(&cache);
}

static void test_budget_refuses_what_can_never_fit(void **state)
{
    (void)state;
    struct cache *cache = cache_new(MIB, MIB, 1, 1);
    assert_true(store_numbered(cache, "x", 0, 1000));
    uint64_t before = stats_of(cache).bytes;
    assert_null(cache_budget_alloc(cache, 2 * MIB));
    assert_int_equal(stats_of(cache).bytes, before);
    assert_true(hit_numbered(cache, "x", 0));
    void *ptr = cache_budget_alloc(cache, 1000);
    assert_int_equal(stats_of(cache).bytes, before + base_allocated_bytes(ptr));
    cache_budget_free(cache, ptr);
    cache_budget_free(cache, NULL);
    assert_int_equal(stats_of(cache).bytes, before);
    cache_free(&cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_cap_holds),
        cmocka_unit_test(test_all_are_used),
        cmocka_unit_test(test_a_scan_does_not_wash_out_what_is_used),
        cmocka_unit_test(test_what_left_lately_comes_back_to_the_main_queue),
        cmocka_unit_test(test_what_left_long_ago_is_forgotten),
        cmocka_unit_test(test_a_large_object_takes_the_old_ones_of_all_shards),
        cmocka_unit_test(test_used_ones_leave_at_last),
        cmocka_unit_test(test_larger_than_a_shards_share_still_fits),
        cmocka_unit_test(test_held_objects_stay_counted),
        cmocka_unit_test(test_budget_refuses_what_can_never_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
