/* cache/policy_response.c: what a route changes of the rules: times, bounds, the guess, overrides, cookies. */
#include "judge_fixture.h"

#define ROUTE(...) (&(const struct conf_route_cache){GUESSING, __VA_ARGS__})
#define GUESS(percent, most_s)                                                                     \
    (&(const struct conf_route_cache){                                                             \
        .enabled = true, .heuristic_percent = (percent), .heuristic_max_s = (most_s)})
#define OVERRIDE(word) .override = 1u << CONF_OVERRIDE_##word
#define COOKIE "Set-Cookie: a=b\n"

enum {
    GIVEN = CACHE_HEURISTIC,
    SHARED = CACHE_MUST_REVALIDATE | CACHE_FOR_AUTHORIZED
};

static void test_bounds(void **state)
{
    (void)state;
    const struct conf_route_cache *least = ROUTE(.ttl_min_s = 50), *most = ROUTE(.ttl_max_s = 70),
                                  *both = ROUTE(.ttl_min_s = 50, .ttl_max_s = 50, .ttl_s = 20);
    const struct row rows[] = {
        {"below the least", CC "max-age=49", POLICY_STORE, 50, .route = least},
        {"at the least", CC "max-age=50", POLICY_STORE, 50, .route = least},
        {"above the least", CC "max-age=51", POLICY_STORE, 51, .route = least},
        {"max-age=0", CC "max-age=0", POLICY_STORE, 50, .route = least},
        {"malformed", CC "max-age=x", POLICY_STORE, 50, .route = least},
        {"Expires", DATE "Expires: 0", POLICY_STORE, 50, .route = least},
        {"s-maxage stays never stale", CC "s-maxage=1", POLICY_STORE, 50, SHARED, .route = least},
        {"nothing given", DATE, POLICY_NO_FRESHNESS, .route = least},
        {"a status that may not be stored", "", POLICY_STATUS, .status = 500, .route = least},
        {"no-store", CC "no-store, max-age=1", POLICY_NO_STORE, .route = least},
        {"private", CC "private, max-age=1", POLICY_PRIVATE, .route = least},
        {"no-cache", TAG CC "no-cache", POLICY_STORE, 0, CACHE_NO_CACHE, .route = least},
        {"no-cache, max-age", TAG CC "no-cache, max-age=1", POLICY_STORE, 1, CACHE_NO_CACHE,
         .route = least},
        {"no-cache without validator", CC "no-cache, max-age=1", POLICY_NO_FRESHNESS,
         .route = least},
        {"a cookie with max-age=0", COOKIE CC "max-age=0", POLICY_SET_COOKIE, .route = least},
        {"counted from the arrival", "Age: 1000\n" CC "max-age=60", POLICY_STORE, 1050,
         .route = least},
        {"more is left than the least", "Age: 9\n" CC "max-age=60", POLICY_STORE, 60,
         .route = least},
        {"as old as can be: stale", "Age: 2147483648\n" CC "max-age=60", POLICY_NO_FRESHNESS,
         .route = least},
        {"below the most", CC "max-age=69", POLICY_STORE, 69, .route = most},
        {"at the most", CC "max-age=70", POLICY_STORE, 70, .route = most},
        {"above the most", CC "max-age=71", POLICY_STORE, 70, .route = most},
        {"the most, from the arrival", "Age: 1000\n" CC "max-age=2000", POLICY_STORE, 1070,
         .route = most},
        {"no more is left than the most", "Age: 1000\n" CC "max-age=1070", POLICY_STORE, 1070,
         .route = most},
        {"stale on arrival stays so", TAG "Age: 100\n" CC "max-age=60", POLICY_STORE, 60,
         .route = most},
        {"a guess", DATE BEFORE_1000_S, POLICY_STORE, 70, GIVEN, .route = most},
        {"the route's own ttl", "", POLICY_STORE, 50, GIVEN, .route = both},
        {"both", CC "max-age=60", POLICY_STORE, 50, .route = both},
        {"targeted", "CDN-Cache-Control: max-age=60", POLICY_STORE, 50, .route = both},
        {"the shortest least", CC "max-age=0", POLICY_STORE, 1, .route = ROUTE(.ttl_min_s = 1)},
        {"the shortest most", CC "max-age=60", POLICY_STORE, 1, .route = ROUTE(.ttl_max_s = 1)},
        {"the shortest ttl", "", POLICY_STORE, 1, GIVEN, .route = ROUTE(.ttl_s = 1)},
        {"no bounds", TAG "Age: 100\n" CC "max-age=60", POLICY_STORE, 60, .route = (&no_ttl)},
    };
    check_rows(rows, weir_count(rows));
}

static void test_heuristic(void **state)
{
    (void)state;
    const struct conf_route_cache *off = GUESS(0, 86400), *all = GUESS(100, 86400),
                                  *capped = GUESS(10, 99), *none = GUESS(10, 0);
    const struct row rows[] = {
        {"off", DATE BEFORE_1000_S, POLICY_NO_FRESHNESS, .route = off},
        {"all of it", DATE BEFORE_1000_S, POLICY_STORE, 1000, GIVEN, .route = all},
        {"capped", DATE BEFORE_1000_S, POLICY_STORE, 99, GIVEN, .route = capped},
        {"capped to nothing", DATE BEFORE_1000_S, POLICY_NO_FRESHNESS, .route = none},
        {"off is no matter of max-age", DATE CC "max-age=60\n" BEFORE_1000_S, POLICY_STORE, 60,
         .route = off},
        {"any status that is public §4.2.2", DATE CC "public\n" BEFORE_1000_S, POLICY_STORE, 100,
         GIVEN | CACHE_FOR_AUTHORIZED, .status = 599},
        {"and no other", DATE BEFORE_1000_S, POLICY_STATUS, .status = 599},
    };
    check_rows(rows, weir_count(rows));
}

static void test_status_ttl(void **state)
{
    (void)state;
    static struct conf_status_ttl times[] = {{404, 3}, {503, 2}, {200, 0}, {302, 9}};
    const struct conf_route_cache *route =
        ROUTE(.ttl_s = 30, .negative_ttl_s = 7, .status_ttl = times, .status_ttl_count = 4);
    const struct conf_route_cache *first =
        ROUTE(.ttl_s = 30, .status_ttl = times, .status_ttl_count = 2);
    const struct row rows[] = {
        {"404 before negative_ttl", "", POLICY_STORE, 3, GIVEN, .status = 404, .route = route},
        {"503", "", POLICY_STORE, 2, GIVEN, .status = 503, .route = route},
        {"302, the last row", "", POLICY_STORE, 9, GIVEN, .status = 302, .route = route},
        {"302 without its row", "", POLICY_STATUS, .status = 302, .route = first},
        {"502 has none", "", POLICY_STATUS, .status = 502, .route = route},
        {"410: negative_ttl", "", POLICY_STORE, 7, GIVEN, .status = 410, .route = route},
        {"301: ttl", "", POLICY_STORE, 30, GIVEN, .status = 301, .route = route},
        {"200 of 0s: none", DATE BEFORE_1000_S, POLICY_NO_FRESHNESS, .route = route},
        {"its own freshness first", CC "max-age=60", POLICY_STORE, 60, .status = 503,
         .route = route},
        {"stale by its own word", CC "max-age=0", POLICY_NO_FRESHNESS, .status = 503,
         .route = route},
        {"no-store", CC "no-store", POLICY_NO_STORE, .status = 503, .route = route},
        {"no-cache is asked about", TAG CC "no-cache", POLICY_STORE, 0, CACHE_NO_CACHE,
         .status = 503, .route = route},
        {"Authorization", "", POLICY_AUTHORIZATION, .status = 503, .request = &authorized,
         .route = route},
        {"Set-Cookie", COOKIE, POLICY_SET_COOKIE, .status = 503, .route = route},
        {"counted from the arrival", "Age: 1000", POLICY_STORE, 1002, GIVEN, .status = 503,
         .route = route},
    };
    check_rows(rows, weir_count(rows));
}

/* Each word alone: what it takes out, and that it leaves the others. */
static void test_overrides(void **state)
{
    (void)state;
    const struct conf_route_cache *no_store_word = ROUTE(OVERRIDE(NO_STORE)),
                                  *private_word = ROUTE(OVERRIDE(PRIVATE)),
                                  *no_cache_word = ROUTE(OVERRIDE(NO_CACHE)),
                                  *freshness = ROUTE(OVERRIDE(FRESHNESS), .ttl_s = 30),
                                  *revalidate = ROUTE(OVERRIDE(MUST_REVALIDATE)),
                                  *vary = ROUTE(OVERRIDE(VARY));
    enum {
        OVER = CACHE_OVERRIDDEN,
        HAS_VARY = CACHE_HAS_VARY,
        TAGGED = CACHE_HAS_VALIDATOR
    };
    const struct row rows[] = {
        {"no-store", CC "no-store, max-age=60", POLICY_STORE, 60, OVER, .route = no_store_word},
        {"no-store not said", CC "max-age=60", POLICY_STORE, 60, .route = no_store_word},
        {"the request's no-store", CC "max-age=60", POLICY_REQUEST_NO_STORE, .request = &no_store,
         .route = no_store_word},
        {"no-store, private", CC "no-store, private, max-age=60", POLICY_PRIVATE,
         .route = no_store_word},
        {"private", CC "private, max-age=60", POLICY_STORE, 60, OVER, .route = private_word},
        {"private not said", CC "max-age=60", POLICY_STORE, 60, .route = private_word},
        {"private, no-store", CC "private, no-store, max-age=60", POLICY_NO_STORE,
         .route = private_word},
        {"private, Authorization", CC "private, max-age=60", POLICY_AUTHORIZATION,
         .request = &authorized, .route = private_word},
        {"no-cache", CC "no-cache, max-age=60", POLICY_STORE, 60, OVER, .route = no_cache_word},
        {"no-cache not said", CC "max-age=60", POLICY_STORE, 60, .route = no_cache_word},
        {"no-cache alone: no freshness", TAG CC "no-cache", POLICY_NO_FRESHNESS,
         .route = no_cache_word},
        {"no-cache, private", CC "no-cache, private", POLICY_PRIVATE, .route = no_cache_word},
        {"max-age", CC "max-age=60", POLICY_STORE, 30, OVER | GIVEN, .route = freshness},
        {"max-age=0", CC "max-age=0", POLICY_STORE, 30, OVER | GIVEN, .route = freshness},
        {"s-maxage, all that it means", CC "s-maxage=60", POLICY_STORE, 30, OVER | GIVEN,
         .route = freshness},
        {"s-maxage permits nothing", CC "s-maxage=60", POLICY_AUTHORIZATION, .request = &authorized,
         .route = freshness},
        {"Expires", DATE "Expires: " IN_100_S, POLICY_STORE, 30, OVER | GIVEN, .route = freshness},
        {"targeted", "CDN-Cache-Control: max-age=60", POLICY_STORE, 30, OVER | GIVEN,
         .route = freshness},
        {"freshness not said", "", POLICY_STORE, 30, GIVEN, .route = freshness},
        {"must-revalidate stays", CC "max-age=60, must-revalidate", POLICY_STORE, 30,
         OVER | GIVEN | SHARED, .route = freshness},
        {"then the status counts", CC "max-age=60", POLICY_STATUS, .status = 500,
         .route = freshness},
        {"must-revalidate", CC "max-age=60, must-revalidate", POLICY_STORE, 60, OVER,
         .route = revalidate},
        {"it permits nothing", CC "max-age=60, must-revalidate", POLICY_AUTHORIZATION,
         .request = &authorized, .route = revalidate},
        {"proxy-revalidate", CC "max-age=60, proxy-revalidate", POLICY_STORE, 60, OVER,
         .route = revalidate},
        {"s-maxage may be stale", CC "s-maxage=60", POLICY_STORE, 60, OVER | CACHE_FOR_AUTHORIZED,
         .route = revalidate},
        {"must-revalidate not said", CC "max-age=60", POLICY_STORE, 60, .route = revalidate},
        {"Vary", CC "max-age=60\nVary: Accept", POLICY_STORE, 60, OVER, .route = vary},
        {"Vary: *", CC "max-age=60\nVary: *", POLICY_STORE, 60, OVER, .route = vary},
        {"Vary of no names", CC "max-age=60\nVary: a b", POLICY_STORE, 60, OVER, .route = vary},
        {"Vary not said", CC "max-age=60", POLICY_STORE, 60, .route = vary},
        {"Vary, no-store", CC "no-store, max-age=60\nVary: *", POLICY_NO_STORE, .route = vary},
        {"no word, Vary", CC "max-age=60\nVary: Accept", POLICY_STORE, 60, HAS_VARY,
         .route = (&no_ttl)},
        {"no word for it", TAG CC "max-age=60\nVary: Accept", POLICY_STORE, 60, HAS_VARY | TAGGED,
         .route = private_word},
    };
    for (size_t i = 0; i < weir_count(rows); i++) {
        struct cache_meta meta;
        expect_row(rows[i].name, judge(&rows[i], &meta), rows[i].reason);
        expect_row(rows[i].name, meta.lifetime_s, rows[i].lifetime_s);
        if (rows[i].reason == POLICY_STORE)
            expect_row(rows[i].name, meta.flags, rows[i].flags);
    }
    no_row_failed();
}

/* A 304 that does not bring Weir-Cache-Control anew leaves what was made of it. */
static void test_overrides_after_a_304(void **state)
{
    (void)state;
    const struct conf_route_cache *route = ROUTE(OVERRIDE(PRIVATE), .ttl_s = 30);
    static const char *const heads[] = {"Weir-Cache-Control: private, max-age=5",
                                        "Weir-Cache-Control: private"};
    for (size_t i = 0; i < weir_count(heads); i++) {
        struct row row = {.head = heads[i], .route = route};
        struct cache_meta stored, meta;
        assert_int_equal(judge(&row, &stored), POLICY_STORE);
        row = (struct row){.head = CC "no-store", .route = route, .stored = &stored};
        assert_int_equal(judge(&row, &meta), POLICY_STORE);
        assert_int_equal(meta.lifetime_s, i == 0 ? 5 : 30);
        assert_int_equal(meta.flags, CACHE_BY_WEIR | CACHE_OVERRIDDEN | (i == 0 ? 0 : GIVEN));
        assert_int_equal(meta.flags, stored.flags);
    }
}

static void test_all_overrides(void **state)
{
    (void)state;
    const struct conf_route_cache *all =
        ROUTE(.override = (1u << CONF_OVERRIDES) - 1, .ttl_s = 30, .ttl_max_s = 20);
    const struct row rows[] = {
        {"all at once",
         CC "no-store, private, no-cache, must-revalidate, max-age=0\nVary: *\nExpires: 0",
         POLICY_STORE, 20, GIVEN, .route = all},
        {"but not a quote", CC "no-store, x=\"", POLICY_MALFORMED, .route = all},
        {"nor a status", "", POLICY_STATUS, .status = 500, .route = all},
        {"nor a range", "", POLICY_PARTIAL, .status = 206, .route = all},
        {"nor a cookie", COOKIE CC "max-age=60", POLICY_SET_COOKIE, .route = all},
    };
    check_rows(rows, weir_count(rows));
}

static void test_set_cookie(void **state)
{
    (void)state;
    const struct conf_route_cache *store = ROUTE(.ttl_s = 30, .set_cookie = CONF_SET_COOKIE_STORE),
                                  *refuse = ROUTE(.set_cookie = CONF_SET_COOKIE_REFUSE),
                                  *over = ROUTE(OVERRIDE(VARY)),
                                  *over_store =
                                      ROUTE(OVERRIDE(PRIVATE), .set_cookie = CONF_SET_COOKIE_STORE);
    const struct row rows[] = {
        {"auto", COOKIE CC "max-age=60", POLICY_STORE, 60, .route = (&no_ttl)},
        {"auto, the route's ttl", COOKIE, POLICY_SET_COOKIE, .route = ROUTE(.ttl_s = 30)},
        {"auto, no-cache", COOKIE TAG CC "no-cache, max-age=60", POLICY_SET_COOKIE,
         .route = (&no_ttl)},
        {"auto, with an override", COOKIE CC "max-age=60", POLICY_SET_COOKIE, .route = over},
        {"an override without a cookie", CC "max-age=60", POLICY_STORE, 60, .route = over},
        {"store", COOKIE, POLICY_STORE, 30, GIVEN, .route = store},
        {"store, no-cache", COOKIE TAG CC "no-cache", POLICY_STORE, 0, CACHE_NO_CACHE,
         .route = store},
        {"store, max-age=0", COOKIE TAG CC "max-age=0", POLICY_STORE, 0, .route = store},
        {"store, private", COOKIE CC "private, max-age=60", POLICY_PRIVATE, .route = store},
        {"store, with an override", COOKIE CC "private, max-age=60", POLICY_STORE, 60,
         .route = over_store},
        {"refuse", COOKIE CC "max-age=60", POLICY_SET_COOKIE, .route = refuse},
        {"refuse, public", COOKIE CC "public, s-maxage=60", POLICY_SET_COOKIE, .route = refuse},
        {"refuse, without a cookie", CC "max-age=60", POLICY_STORE, 60, .route = refuse},
    };
    check_rows(rows, weir_count(rows));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_heuristic),
        cmocka_unit_test(test_status_ttl),
        cmocka_unit_test(test_overrides),
        cmocka_unit_test(test_overrides_after_a_304),
        cmocka_unit_test(test_all_overrides),
        cmocka_unit_test(test_set_cookie),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
