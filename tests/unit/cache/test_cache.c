/* cache/cache.c: lookups, freshening, purges, the sweep. */
#include "tests/unit/cache/cache_fixture.h"

#define URL "http://a.example/x"

static const struct policy_request no_cache_request = {.max_age_s = -1, .no_cache = true};
static const struct policy_request no_store_request = {.max_age_s = -1, .no_store = true};
static const struct policy_request max_age_0_request = {.max_age_s = 0};

static int set_up(void **state)
{
    *state = cache_new(8 * MIB, MIB, 1, 0);
    return 0;
}

static int tear_down(void **state)
{
    struct cache *cache = *state;
    assert_int_equal(stats_of(cache).fills, 0);
    assert_int_equal(stats_of(cache).readers, 0);
    cache_free(&cache);
    return 0;
}

static enum cache_found ask_plain(struct cache *cache, const struct policy_request *request,
                                  int64_t now_ms, struct cache_find *found)
{
    return ask(cache, (struct ask){.url = URL, .request = request, .now_ms = now_ms}, found);
}

static void test_first_leads_second_joins_third_hits(void **state)
{
    struct cache *cache = *state;
    struct cache_find lead, join, hit;
    assert_int_equal(ask_plain(cache, NULL, 0, &lead), CACHE_LEAD);
    assert_null(lead.object);
    assert_false(lead.stale || lead.vary_miss);
    assert_int_equal(ask_plain(cache, NULL, 0, &join), CACHE_JOIN);
    assert_ptr_equal(join.fill, lead.fill);
    assert_true(give_head(lead.fill, (struct answer){.lifetime_s = 1, .length = 5}));
    assert_int_equal(give_body(lead.fill, 0, 0, 5), 5);
    assert_false(is_hit(cache, URL, 0));
    cache_fill_complete(lead.fill, STR(""), 0);
    assert_int_equal(ask_plain(cache, NULL, 999, &hit), CACHE_HIT);
    assert_null(hit.fill);
    check_object(hit.object, 0, 5);
    assert_true(str_equal(cache_object_block(hit.object), STR("Content-Type: text/plain\r\n")));
    assert_int_equal(stats_of(cache).objects, 1);
    assert_int_equal(stats_of(cache).stored, 1);
    assert_int_equal(stats_of(cache).fills, 1);
    let_go(&hit);
    cache_fill_end_writer(&lead.fill);
    assert_int_equal(stats_of(cache).fills, 1);
    let_go(&join);
}

static void test_expired_one_with_validator_is_asked_about(void **state)
{
    struct cache *cache = *state;
    assert_true(store_answer(
        cache, (struct ask){.url = URL},
        (struct answer){.lifetime_s = 1, .length = 5, .flags = CACHE_HAS_VALIDATOR}, 0, 5));
    struct cache_find found;
    assert_int_equal(ask_plain(cache, NULL, 1000, &found), CACHE_LEAD);
    assert_non_null(found.object);
    assert_true(found.stale);
    cache_fill_end_writer(&found.fill);
    let_go(&found);
}

/* It is the cache's business who asks; without a validator there is no condition to ask with. */
static void test_expired_one_without_validator_is_handed_out_too(void **state)
{
    struct cache *cache = *state;
    assert_true(store_answer(cache, (struct ask){.url = URL},
                             (struct answer){.lifetime_s = 1, .length = 5}, 0, 5));
    struct cache_find found;
    assert_int_equal(ask_plain(cache, NULL, 1000, &found), CACHE_LEAD);
    assert_non_null(found.object);
    assert_true(found.stale);
    assert_false(found.unwanted || found.vary_miss || found.refresh);
    cache_fill_end_writer(&found.fill);
    let_go(&found);
}

static void test_who_may_not_join(void **state)
{
    struct cache *cache = *state;
    static const struct policy_request *const alone[] = {&no_cache_request, &no_store_request,
                                                         &max_age_0_request};
    struct cache_find lead, found;
    assert_int_equal(ask_plain(cache, &no_store_request, 0, &found), CACHE_ALONE);
    assert_null(found.fill);
    assert_int_equal(ask_plain(cache, &no_cache_request, 0, &lead), CACHE_LEAD);
    for (unsigned i = 0; i < weir_count(alone); i++) {
        assert_int_equal(ask_plain(cache, alone[i], 0, &found), CACHE_ALONE);
        assert_null(found.fill);
        assert_null(found.object);
    }
    assert_int_equal(ask_plain(cache, NULL, 0, &found), CACHE_JOIN);
    let_go(&found);
    cache_fill_end_writer(&lead.fill);
    assert_int_equal(ask_plain(cache, &max_age_0_request, 0, &lead), CACHE_LEAD);
    cache_fill_end_writer(&lead.fill);
}

/* RFC 9111 §5.2.1.5: no-store in a request is about storing; a stored response may be used. */
static void test_no_store_may_hit(void **state)
{
    struct cache *cache = *state;
    assert_true(store_simple(cache, URL, 5, 0));
    struct cache_find found;
    assert_int_equal(ask_plain(cache, &no_store_request, 1, &found), CACHE_HIT);
    let_go(&found);
    assert_int_equal(ask_plain(cache, &no_store_request, 61000, &found), CACHE_ALONE);
}

static void store_variant(struct cache *cache, const char *language, uint64_t seed)
{
    assert_true(store_answer(cache, (struct ask){.url = URL, .language = language},
                             (struct answer){.lifetime_s = 60, .length = 9, .vary = true}, seed,
                             9));
}

static void test_variants_are_told_apart(void **state)
{
    struct cache *cache = *state;
    store_variant(cache, "de", 1);
    struct cache_find found;
    assert_int_equal(ask(cache, (struct ask){.url = URL, .language = "fr"}, &found), CACHE_LEAD);
    assert_true(found.vary_miss);
    assert_false(found.stale);
    cache_fill_end_writer(&found.fill);
    store_variant(cache, "fr", 2);
    assert_int_equal(stats_of(cache).objects, 2);
    assert_int_equal(ask(cache, (struct ask){.url = URL, .language = "de"}, &found), CACHE_HIT);
    check_object(found.object, 1, 9);
    let_go(&found);
    assert_int_equal(ask(cache, (struct ask){.url = URL, .language = "fr"}, &found), CACHE_HIT);
    check_object(found.object, 2, 9);
    let_go(&found);
    assert_int_equal(cache_purge(cache, &(struct cache_key){.text = STR("http://b/")}), 0);
    struct cache_key key = key_of(cache, URL);
    assert_int_equal(cache_purge(cache, &key), 2);
    assert_int_equal(stats_of(cache).objects, 0);
}

/* Of a fill whose Vary is known, those who have other values need not wait. */
static void test_another_variant_leads_beside(void **state)
{
    struct cache *cache = *state;
    struct cache_find german, french, found;
    assert_int_equal(ask(cache, (struct ask){.url = URL, .language = "de"}, &german), CACHE_LEAD);
    assert_int_equal(ask(cache, (struct ask){.url = URL, .language = "fr"}, &found), CACHE_JOIN);
    let_go(&found);
    struct answer answer = {.lifetime_s = 60, .length = -1, .vary = true, .language = "de"};
    assert_true(give_head(german.fill, answer));
    assert_int_equal(ask(cache, (struct ask){.url = URL, .language = "fr"}, &french), CACHE_LEAD);
    assert_int_equal(ask(cache, (struct ask){.url = URL, .language = "de"}, &found), CACHE_JOIN);
    assert_ptr_equal(found.fill, german.fill);
    let_go(&found);
    cache_fill_end_writer(&german.fill);
    cache_fill_end_writer(&french.fill);
}

static void freshen(struct cache *cache, bool purge_first, uint64_t length)
{
    assert_true(store_answer(
        cache, (struct ask){.url = URL},
        (struct answer){.lifetime_s = 1, .length = (int64_t)length, .flags = CACHE_HAS_VALIDATOR},
        3, length));
    struct cache_find found;
    assert_int_equal(ask_plain(cache, NULL, 5000, &found), CACHE_LEAD);
    struct cache_key key = key_of(cache, URL);
    if (purge_first)
        assert_int_equal(cache_purge(cache, &key), 1);
    struct cache_meta meta = {
        .born_ms = 5000, .lifetime_s = 1, .status = 200, .flags = CACHE_HAS_VALIDATOR};
    struct cache_object *fresh =
        cache_freshen(cache, &key, found.object, &meta, STR("A: new\r\n"), 5000);
    assert_non_null(fresh);
    cache_fill_use_object(found.fill, fresh, POLICY_STORE, 0, 0);
    cache_fill_end_writer(&found.fill);
    cache_object_release(&found.object);
    assert_true(str_equal(cache_object_block(fresh), STR("A: new\r\n")));
    check_object(fresh, 3, length);
    assert_int_equal(is_hit(cache, URL, 5999), !purge_first);
    assert_int_equal(is_hit(cache, URL, 6000), false);
    assert_int_equal(stats_of(cache).objects, !purge_first);
    cache_object_release(&fresh);
    cache_purge(cache, &key);
}

static void test_freshened_one_takes_the_place(void **state)
{
    freshen(*state, false, 100);
    uint64_t before = stats_of(*state).bytes;
    freshen(*state, false, 100 * KIB);
    assert_int_equal(stats_of(*state).bytes, before);
}

static void test_freshened_one_that_was_purged_stays_out(void **state)
{
    freshen(*state, true, 100);
    freshen(*state, true, 100 * KIB);
}

/* A large body is shared with its successor, not copied. */
static void test_freshening_shares_a_large_body(void **state)
{
    struct cache *cache = *state;
    assert_true(store_simple(cache, URL, 500 * KIB, 0));
    struct cache_find found;
    assert_int_equal(ask_plain(cache, NULL, 0, &found), CACHE_HIT);
    struct cache_key key = key_of(cache, URL);
    struct cache_meta meta = cache_object_meta(found.object);
    uint64_t before = stats_of(cache).bytes;
    struct cache_object *fresh =
        cache_freshen(cache, &key, found.object, &meta, STR("A: b\r\n"), 0);
    assert_true(stats_of(cache).bytes - before < KIB);
    cache_object_release(&found.object);
    check_object(fresh, 0, 500 * KIB);
    cache_object_release(&fresh);
}

static void test_purge_while_filling(void **state)
{
    struct cache *cache = *state;
    struct cache_find lead, next;
    assert_int_equal(ask_plain(cache, NULL, 0, &lead), CACHE_LEAD);
    assert_true(give_head(lead.fill, (struct answer){.lifetime_s = 60, .length = 4}));
    struct cache_key key = key_of(cache, URL);
    assert_int_equal(cache_purge(cache, &key), 0);
    /* Whoever comes after the purge gets what was asked for after the purge. */
    assert_int_equal(ask_plain(cache, NULL, 0, &next), CACHE_LEAD);
    assert_int_equal(give_body(lead.fill, 0, 0, 4), 4);
    cache_fill_complete(lead.fill, STR(""), 0);
    cache_fill_end_writer(&lead.fill);
    assert_false(is_hit(cache, URL, 0));
    assert_true(give_head(next.fill, (struct answer){.lifetime_s = 60, .length = 0}));
    cache_fill_complete(next.fill, STR(""), 0);
    cache_fill_end_writer(&next.fill);
    assert_true(is_hit(cache, URL, 0));
}

static void test_peek_never_fetches(void **state)
{
    struct cache *cache = *state;
    assert_false(is_hit(cache, URL, 0));
    assert_int_equal(stats_of(cache).fills, 0);
    assert_true(store_simple(cache, URL, 5, 0));
    assert_true(is_hit(cache, URL, 0));
    assert_false(is_hit(cache, URL, 60000));
}

static void test_response_of_another_user_is_not_used(void **state)
{
    struct cache *cache = *state;
    static const struct policy_request request = {.max_age_s = -1, .authorization = true};
    assert_true(store_simple(cache, URL, 5, 0));
    struct cache_find found;
    enum cache_found result = ask_plain(cache, &request, 0, &found);
    assert_int_not_equal(result, CACHE_JOIN);
    if (result == CACHE_LEAD)
        cache_fill_end_writer(&found.fill);
    let_go(&found);
}

/* The whole of it is visited, a bounded part each time; what is to be kept stays. */
static void test_sweep_is_bounded_and_comes_around(void **state)
{
    struct cache *cache = *state;
    char url[64];
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(url, sizeof(url), "http://a/%u", i);
        assert_true(store_answer(cache, (struct ask){.url = url},
                                 (struct answer){.lifetime_s = i % 2 ? 10 : 1000,
                                                 .length = 10,
                                                 .flags = CACHE_HAS_VALIDATOR,
                                                 .keep_min = i % 4 == 1 ? 5 : 0},
                                 0, 10));
    }
    cache_sweep(cache, 100000, 9999);
    assert_int_equal(stats_of(cache).expired, 0);
    unsigned calls = 0;
    for (uint64_t before = 0; stats_of(cache).expired < 250 && calls < 1000; calls++) {
        cache_sweep(cache, 50, 10000);
        uint64_t expired = stats_of(cache).expired;
        assert_true(expired - before <= 50 + 128);
        before = expired;
    }
    assert_true(calls > 5);
    cache_sweep(cache, 100000, 10000);
    assert_int_equal(stats_of(cache).expired, 250);
    assert_int_equal(stats_of(cache).objects, 750);
}

/* ---- refreshing (RFC 5861 §3) ---- */

static struct cache_query query_of(const struct cache *cache, int64_t now_ms)
{
    return (struct cache_query){
        .key = key_of(cache, URL), .request = &plain_request, .now_ms = now_ms};
}

static enum cache_found lead_refresh(struct cache *cache, int64_t now_ms, struct cache_find *found)
{
    struct cache_query query = query_of(cache, now_ms);
    return cache_lead_refresh(cache, &query, found);
}

static void store_with_window(struct cache *cache)
{
    assert_true(store_answer(
        cache, (struct ask){.url = URL},
        (struct answer){.lifetime_s = 1, .length = 5, .stale_while_revalidate_s = 10}, 0, 5));
}

static void test_one_refresh_at_a_time(void **state)
{
    struct cache *cache = *state;
    struct cache_find found, refresh, other;
    store_with_window(cache);
    assert_int_equal(lead_refresh(cache, 999, &refresh), CACHE_ALONE); /* fresh */
    assert_int_equal(ask_plain(cache, NULL, 1000, &found), CACHE_HIT);
    assert_true(found.stale && found.refresh);
    let_go(&found);
    assert_int_equal(lead_refresh(cache, 1000, &refresh), CACHE_LEAD);
    assert_non_null(refresh.object);
    assert_int_equal(lead_refresh(cache, 1000, &other), CACHE_ALONE);
    assert_null(other.fill);
    /* Who may have the stale one has it; who may not reads along. */
    assert_int_equal(ask_plain(cache, NULL, 1000, &found), CACHE_HIT);
    let_go(&found);
    static const struct policy_request fresh = {
        .max_age_s = -1, .min_fresh_s = 0, .max_stale_s = -1};
    assert_int_equal(ask_plain(cache, &fresh, 1000, &found), CACHE_JOIN);
    let_go(&found);
    /* Even one that will be stale at once is found until it is stored. */
    assert_true(
        give_head(refresh.fill,
                  (struct answer){.born_ms = 1000, .length = 5, .stale_while_revalidate_s = 10}));
    assert_false(cache_fill_is_pass(refresh.fill));
    assert_int_equal(lead_refresh(cache, 1000, &other), CACHE_ALONE);
    give_body(refresh.fill, 1, 0, 5);
    cache_fill_complete(refresh.fill, STR(""), 1000);
    cache_fill_end_writer(&refresh.fill);
    let_go(&refresh);
    assert_int_equal(ask_plain(cache, NULL, 1000, &found), CACHE_HIT);
    check_object(found.object, 1, 5);
    let_go(&found);
    assert_int_equal(lead_refresh(cache, 11000, &refresh), CACHE_ALONE); /* behind the window */
    assert_int_equal(ask_plain(cache, NULL, 11000, &found), CACHE_LEAD);
    cache_fill_end_writer(&found.fill);
    let_go(&found);
}

static void test_a_refresh_that_failed_rests(void **state)
{
    struct cache *cache = *state;
    struct cache_find found;
    store_with_window(cache);
    assert_int_equal(lead_refresh(cache, 1000, &found), CACHE_LEAD);
    struct cache_key key = key_of(cache, URL), another = key_of(cache, "http://a/other");
    cache_rest(cache, &key, 1000);
    cache_fill_abort(found.fill, 502, "x");
    cache_fill_end_writer(&found.fill);
    let_go(&found);
    assert_int_equal(lead_refresh(cache, 1999, &found), CACHE_ALONE);
    cache_rest(cache, &another, 2000);
    assert_int_equal(lead_refresh(cache, 2000, &found), CACHE_LEAD);
    cache_fill_end_writer(&found.fill);
    let_go(&found);
    assert_int_equal(stats_of(cache).hit_for_miss, 0);
}

/* ---- errors, variants ---- */

static void test_peek_on_error(void **state)
{
    struct cache *cache = *state;
    struct cache_find found;
    struct cache_query query = query_of(cache, 1500);
    assert_int_equal(cache_peek_on_error(cache, &query, &found), CACHE_ALONE);
    assert_null(found.object);
    assert_true(store_answer(cache, (struct ask){.url = URL},
                             (struct answer){.lifetime_s = 1, .length = 5, .stale_if_error_s = 1},
                             0, 5));
    assert_int_equal(cache_peek_on_error(cache, &query, &found), CACHE_HIT);
    assert_true(found.stale);
    let_go(&found);
    query.now_ms = 2000;
    assert_int_equal(cache_peek_on_error(cache, &query, &found), CACHE_ALONE);
    assert_non_null(found.object);
    let_go(&found);
}

static void test_variants_and_a_copy_for_another(void **state)
{
    struct cache *cache = *state;
    struct cache_key key = key_of(cache, URL);
    struct cache_object *objects[3] = {NULL};
    struct cache_find found;
    store_variant(cache, "en", 0);
    store_variant(cache, "de", 0);
    assert_int_equal(cache_variants(cache, &key, NULL, 0, objects, 3), 2);
    cache_object_release(&objects[1]);
    assert_int_equal(cache_variants(cache, &key, NULL, 0, &objects[1], 1), 1);
    assert_ptr_equal(objects[0], objects[1]); /* the newest first */
    cache_object_release(&objects[1]);
    struct field language = field_of("Accept-Language", "en"),
                 vary = field_of("Vary", language.name);
    struct fields fields = {&language, 1};
    assert_int_equal(cache_variants(cache, &key, &fields, 0, &objects[1], 2), 1);
    assert_ptr_not_equal(objects[0], objects[1]);
    cache_object_release(&objects[1]);

    language = field_of("Accept-Language", "fr");
    char bytes[256];
    struct appender selects = appender_on(bytes, sizeof(bytes));
    assert_true(cache_vary_build((struct fields){&vary, 1}, fields, &selects));
    struct cache_meta meta = cache_object_meta(objects[0]);
    struct cache_object *copy =
        cache_freshen_as(cache, &key, objects[0], &meta, cache_object_block(objects[0]),
                         str_of(selects.ptr, selects.len));
    check_object(copy, 0, 9);
    cache_object_release(&copy);
    assert_int_equal(stats_of(cache).objects, 3);
    assert_int_equal(ask(cache, (struct ask){.url = URL, .language = "fr"}, &found), CACHE_HIT);
    let_go(&found);

    cache_drop(cache, &key, objects[0]);
    assert_int_equal(stats_of(cache).objects, 2);
    cache_drop(cache, &key, objects[0]);
    assert_int_equal(stats_of(cache).objects, 2);
    /* Of what is no longer stored no copy is. */
    copy =
        cache_freshen_as(cache, &key, objects[0], &meta, cache_object_block(objects[0]), STR(""));
    cache_object_release(&copy);
    assert_int_equal(stats_of(cache).objects, 2);
    cache_object_release(&objects[0]);
}

static void test_what_was_found_but_not_wanted(void **state)
{
    struct cache *cache = *state;
    struct cache_find found;
    assert_true(store_simple(cache, URL, 5, 0));
    assert_int_equal(ask_plain(cache, &no_cache_request, 0, &found), CACHE_LEAD);
    assert_true(found.unwanted && !found.stale);
    cache_fill_end_writer(&found.fill);
    let_go(&found);
    struct cache_key key = key_of(cache, URL);
    cache_purge(cache, &key);
    store_variant(cache, "en", 0);
    assert_int_equal(ask(cache, (struct ask){.url = URL, .language = "de"}, &found), CACHE_LEAD);
    assert_true(found.vary_miss && !found.unwanted && !found.stale);
    cache_fill_end_writer(&found.fill);
    let_go(&found);
}

/* Too small for a fill. */
static void test_out_of_memory(void **state)
{
    (void)state;
    struct cache *cache = cache_new(KIB, KIB, 1, 1);
    struct cache_find found;
    assert_int_equal(ask_plain(cache, NULL, 0, &found), CACHE_OUT_OF_MEMORY);
    assert_null(found.fill);
    assert_null(found.object);
    assert_null(cache_fill_private(cache));
    cache_free(&cache);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_first_leads_second_joins_third_hits),
        TEST(test_expired_one_with_validator_is_asked_about),
        TEST(test_expired_one_without_validator_is_handed_out_too),
        TEST(test_who_may_not_join),
        TEST(test_no_store_may_hit),
        TEST(test_variants_are_told_apart),
        TEST(test_another_variant_leads_beside),
        TEST(test_freshened_one_takes_the_place),
        TEST(test_freshened_one_that_was_purged_stays_out),
        TEST(test_freshening_shares_a_large_body),
        TEST(test_purge_while_filling),
        TEST(test_peek_never_fetches),
        TEST(test_response_of_another_user_is_not_used),
        TEST(test_sweep_is_bounded_and_comes_around),
        TEST(test_one_refresh_at_a_time),
        TEST(test_a_refresh_that_failed_rests),
        TEST(test_peek_on_error),
        TEST(test_variants_and_a_copy_for_another),
        TEST(test_what_was_found_but_not_wanted),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
