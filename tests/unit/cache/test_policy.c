/* cache/policy.c: what requests say, what stored responses are good for, what may be shared. */
#include "policy_fixture.h"

#define MOST ((int64_t)1 << 31)
#define NONE (-1)

/* ---- requests (RFC 9111 §5.2.1, §5.4) -------------------------------------------------------- */

struct request_row {
    const char *name, *head;
    struct policy_request wanted;
};

static void check_request(const struct request_row *row)
{
    struct head head = head_of(row->head);
    struct policy_request got;
    memset(&got, 0x55, sizeof(got));
    policy_read_request(fields_of(&head), &got);
    const struct policy_request *wanted = &row->wanted;
    expect_row(row->name, got.max_age_s, wanted->max_age_s);
    expect_row(row->name, got.min_fresh_s, wanted->min_fresh_s);
    expect_row(row->name, got.max_stale_s, wanted->max_stale_s);
    /* Rows leave out what is absent. */
    expect_row(row->name, got.stale_if_error_s, wanted->stale_if_error_s ?: NONE);
    expect_row(row->name, got.no_cache, wanted->no_cache);
    expect_row(row->name, got.no_store, wanted->no_store);
    expect_row(row->name, got.only_if_cached, wanted->only_if_cached);
    expect_row(row->name, got.authorization, wanted->authorization);
    expect_row(row->name, got.range, wanted->range);
    expect_row(row->name, got.conditions, wanted->conditions);
}

#define CC "Cache-Control: "
#define PLAIN NONE, NONE, NONE

static void test_request_directives_5_2_1(void **state)
{
    (void)state;
    static const struct request_row rows[] = {
        {"no fields", "", {PLAIN}},
        {"other fields", "Host: a\nAccept: */*", {PLAIN}},
        {"max-age §5.2.1.1", CC "max-age=5", {5, NONE, NONE}},
        {"max-age=0", CC "max-age=0", {0, NONE, NONE}},
        {"max-stale §5.2.1.2", CC "max-stale=7", {NONE, NONE, 7}},
        {"max-stale, any", CC "max-stale", {NONE, NONE, INT64_MAX}},
        {"min-fresh §5.2.1.3", CC "min-fresh=9", {NONE, 9, NONE}},
        {"no-cache §5.2.1.4", CC "no-cache", {PLAIN, .no_cache = true}},
        {"no-store §5.2.1.5", CC "no-store", {PLAIN, .no_store = true}},
        {"no-transform §5.2.1.6", CC "no-transform", {PLAIN}},
        {"only-if-cached §5.2.1.7", CC "only-if-cached", {PLAIN, .only_if_cached = true}},
        {"unknown", CC "no-cach, no-cachex, xno-cache, max-agex=1", {PLAIN}},
        {"stale-if-error RFC 5861 §4", CC "stale-if-error=9", {PLAIN, 9}},
        {"stale-if-error twice: the less", CC "stale-if-error=9, stale-if-error=4", {PLAIN, 4}},
        {"stale-while-revalidate is no request's", CC "stale-while-revalidate=9", {PLAIN}},
        {"a list", CC "max-age=1, min-fresh=2,max-stale=3", {1, 2, 3}},
        {"several lines", CC "max-age=1\n" CC "no-store", {1, NONE, NONE, .no_store = true}},
        {"empty members", CC ",, no-cache ,", {PLAIN, .no_cache = true}},
        {"any case", CC "NO-CACHE, Max-Age=3", {3, NONE, NONE, .no_cache = true}},
        {"name in any case", "cache-CONTROL: no-store", {PLAIN, .no_store = true}},
        {"Authorization", "Authorization: Basic eDp5", {PLAIN, .authorization = true}},
        {"Range", "Range: bytes=0-1", {PLAIN, .range = true}},
        {"If-None-Match", "If-None-Match: \"a\"", {PLAIN, .conditions = true}},
        {"If-Modified-Since", "If-Modified-Since: x", {PLAIN, .conditions = true}},
        {"If-Range alone", "If-Range: \"a\"", {PLAIN}},
    };
    for (size_t i = 0; i < weir_count(rows); i++)
        check_request(&rows[i]);
    no_row_failed();
}

static void test_request_numbers_1_2_2(void **state)
{
    (void)state;
    static const struct request_row rows[] = {
        {"quoted", CC "max-age=\"12\"", {12, NONE, NONE}},
        {"leading zeros", CC "max-age=00012", {12, NONE, NONE}},
        {"2^31 - 1", CC "max-age=2147483647", {MOST - 1, NONE, NONE}},
        {"2^31", CC "max-age=2147483648", {MOST, NONE, NONE}},
        {"2^31 + 1", CC "max-age=2147483649", {MOST, NONE, NONE}},
        {"past 2^64", CC "max-age=18446744073709551617", {MOST, NONE, NONE}},
        {"very long", CC "max-age=99999999999999999999999999999999999999999", {MOST, NONE, NONE}},
        {"negative: as 0", CC "max-age=-5", {0, NONE, NONE}},
        {"fraction: as 0", CC "max-age=5.5", {0, NONE, NONE}},
        {"letters: as 0", CC "max-age=5s", {0, NONE, NONE}},
        {"empty: as 0", CC "max-age=", {0, NONE, NONE}},
        {"empty quoted: as 0", CC "max-age=\"\"", {0, NONE, NONE}},
        {"no value: as 0", CC "max-age", {0, NONE, NONE}},
        {"space before =: as 0", CC "max-age =5", {0, NONE, NONE}},
        {"space behind =: as 0", CC "max-age= 5", {0, NONE, NONE}},
        {"single quotes: as 0", CC "max-age='5'", {0, NONE, NONE}},
        {"min-fresh malformed: nothing is", CC "min-fresh=x", {NONE, MOST + 1, NONE}},
        {"max-stale malformed: not at all", CC "max-stale=x", {NONE, NONE, 0}},
        {"max-stale empty", CC "max-stale=", {NONE, NONE, 0}},
        {"max-stale with a space", CC "max-stale 5", {NONE, NONE, 0}},
        {"max-age twice: the less", CC "max-age=9, max-age=4\n" CC "max-age=6", {4, NONE, NONE}},
        {"min-fresh of 0 asks for nothing", CC "min-fresh=0", {NONE, 0, NONE}},
        {"min-fresh twice: the more", CC "min-fresh=9, min-fresh=4", {NONE, 9, NONE}},
        {"max-stale twice: the less", CC "max-stale, max-stale=4", {NONE, NONE, 4}},
        {"max-stale twice, the other way", CC "max-stale=4, max-stale", {NONE, NONE, 4}},
    };
    for (size_t i = 0; i < weir_count(rows); i++)
        check_request(&rows[i]);
    no_row_failed();
}

static void test_request_quotes_5_2(void **state)
{
    (void)state;
    static const struct request_row rows[] = {
        {"inside quotes", CC "x=\"no-store, max-age=3\"", {PLAIN}},
        {"escaped quote", CC "x=\"a\\\", no-store\", max-age=3", {3, NONE, NONE}},
        {"an argument it should not have", CC "no-store=\"x\"", {PLAIN, .no_store = true}},
        {"garbage behind", CC "no-store; foo", {PLAIN, .no_store = true}},
        {"quotes do not end", CC "x=\"a, max-stale=9", {PLAIN, .no_store = true, .no_cache = true}},
        {"quotes in a name", CC "x\"y, z\"", {PLAIN, .no_store = true, .no_cache = true}},
        {"text behind quotes", CC "x=\"y\"z", {PLAIN, .no_store = true, .no_cache = true}},
        {"all of a token", CC "AZaz09!#$%&'*+-.^_`|~=\"a, no-store\"", {PLAIN}},
        {"no token", CC "a:b=\"c\"", {PLAIN, .no_store = true, .no_cache = true}},
        {"no name", CC "=\"a\"", {PLAIN, .no_store = true, .no_cache = true}},
        {"a number and text behind quotes",
         CC "max-age=\"5\"x",
         {0, NONE, NONE, .no_store = true, .no_cache = true}},
        {"quotes late", CC "max-age=5\"", {0, NONE, NONE, .no_store = true, .no_cache = true}},
    };
    for (size_t i = 0; i < weir_count(rows); i++)
        check_request(&rows[i]);
    no_row_failed();
}

static void test_pragma_5_4(void **state)
{
    (void)state;
    static const struct request_row rows[] = {
        {"alone", "Pragma: no-cache", {PLAIN, .no_cache = true}},
        {"in a list", "Pragma: x=y, No-Cache", {PLAIN, .no_cache = true}},
        {"another", "Pragma: x", {PLAIN}},
        {"with Cache-Control", "Pragma: no-cache\n" CC "max-age=5", {5, NONE, NONE}},
        {"behind Cache-Control", CC "max-age=5\nPragma: no-cache", {5, NONE, NONE}},
        {"with an empty Cache-Control", "Pragma: no-cache\nCache-Control:", {PLAIN}},
        {"both", "Pragma: no-cache\n" CC "no-cache", {PLAIN, .no_cache = true}},
    };
    for (size_t i = 0; i < weir_count(rows); i++)
        check_request(&rows[i]);
    no_row_failed();
}

/* ---- use (§4, §4.2, §5.2.1) ---- */

struct use_row {
    const char *name;
    struct cache_meta meta;
    struct policy_request request;
    int64_t now_ms;
    enum policy_use wanted;
};

static void check_uses(const struct use_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        expect_row(rows[i].name, policy_use_stored(&rows[i].meta, &rows[i].request, rows[i].now_ms),
                   rows[i].wanted);
    no_row_failed();
}

#define FOR(seconds)                                                                               \
    {                                                                                              \
        1000, seconds, 200, 0                                                                      \
    }
#define FLAGGED(seconds, flags)                                                                    \
    {                                                                                              \
        1000, seconds, 200, flags                                                                  \
    }
#define AT(age_ms) 1000 + (int64_t)(age_ms)

static void test_freshness_4_2(void **state)
{
    (void)state;
    static const struct use_row rows[] = {
        {"new", FOR(10), {PLAIN}, AT(0), POLICY_FRESH},
        {"before its end", FOR(10), {PLAIN}, AT(9999), POLICY_FRESH},
        {"at its end", FOR(10), {PLAIN}, AT(10000), POLICY_VALIDATE},
        {"behind its end", FOR(10), {PLAIN}, AT(10001), POLICY_VALIDATE},
        {"lifetime 0", FOR(0), {PLAIN}, AT(0), POLICY_VALIDATE},
        {"born ahead of this thread's clock", FOR(10), {PLAIN}, AT(-5), POLICY_FRESH},
        {"longest", FOR(1u << 31), {PLAIN}, AT((MOST - 1) * 1000), POLICY_FRESH},
        {"longest, at its end", FOR(1u << 31), {PLAIN}, AT(MOST * 1000), POLICY_VALIDATE},
        {"born before the clock began", {-50000, 60, 200, 0}, {PLAIN}, 9999, POLICY_FRESH},
        {"born before, at its end", {-50000, 60, 200, 0}, {PLAIN}, 10000, POLICY_VALIDATE},
        {"no-cache §5.2.2.4", FLAGGED(10, CACHE_NO_CACHE), {PLAIN}, AT(0), POLICY_VALIDATE},
        {"must-revalidate and fresh",
         FLAGGED(10, CACHE_MUST_REVALIDATE),
         {PLAIN},
         AT(1),
         POLICY_FRESH},
    };
    check_uses(rows, weir_count(rows));
}

static void test_request_directives_on_stored_5_2_1(void **state)
{
    (void)state;
    static const struct use_row rows[] = {
        {"no-cache", FOR(10), {PLAIN, .no_cache = true}, AT(0), POLICY_VALIDATE},
        {"no-store may be given what is stored",
         FOR(10),
         {PLAIN, .no_store = true},
         AT(0),
         POLICY_FRESH},
        {"max-age=0", FOR(10), {0, NONE, NONE}, AT(0), POLICY_VALIDATE},
        {"max-age met", FOR(10), {5, NONE, NONE}, AT(4000), POLICY_FRESH},
        {"max-age, at its end", FOR(10), {5, NONE, NONE}, AT(5000), POLICY_FRESH},
        {"max-age passed", FOR(10), {5, NONE, NONE}, AT(5001), POLICY_VALIDATE},
        {"max-age does not make fresh", FOR(10), {50, NONE, NONE}, AT(10000), POLICY_VALIDATE},
        {"max-age, longest", FOR(10), {MOST, NONE, NONE}, AT(1), POLICY_FRESH},
        {"min-fresh met", FOR(10), {NONE, 4, NONE}, AT(6000), POLICY_FRESH},
        {"min-fresh not met", FOR(10), {NONE, 4, NONE}, AT(6001), POLICY_VALIDATE},
        {"min-fresh=0", FOR(10), {NONE, 0, NONE}, AT(9999), POLICY_FRESH},
        {"min-fresh=0 of stale", FOR(10), {NONE, 0, NONE}, AT(10000), POLICY_VALIDATE},
        {"min-fresh, longest", FOR(10), {NONE, MOST, NONE}, AT(0), POLICY_VALIDATE},
        {"min-fresh before max-stale", FOR(10), {NONE, 1, 60}, AT(11000), POLICY_VALIDATE},
        {"min-fresh=0 before max-stale", FOR(10), {NONE, 0, 60}, AT(11000), POLICY_VALIDATE},
        {"max-age before max-stale", FOR(10), {11, NONE, 60}, AT(12000), POLICY_VALIDATE},
        {"max-age and max-stale", FOR(10), {12, NONE, 60}, AT(12000), POLICY_STALE},
    };
    check_uses(rows, weir_count(rows));
}

static void test_max_stale_4_2_4_and_5_2_1_2(void **state)
{
    (void)state;
    static const struct use_row rows[] = {
        {"fresh", FOR(10), {NONE, NONE, 5}, AT(9999), POLICY_FRESH},
        {"within", FOR(10), {NONE, NONE, 5}, AT(12000), POLICY_STALE},
        {"at its end", FOR(10), {NONE, NONE, 5}, AT(15000), POLICY_STALE},
        {"passed", FOR(10), {NONE, NONE, 5}, AT(15001), POLICY_VALIDATE},
        {"any", FOR(10), {NONE, NONE, INT64_MAX}, AT(1000000000), POLICY_STALE},
        {"0 at the end of freshness", FOR(10), {NONE, NONE, 0}, AT(10000), POLICY_VALIDATE},
        {"lifetime 0", FOR(0), {NONE, NONE, 5}, AT(0), POLICY_STALE},
        {"must-revalidate",
         FLAGGED(10, CACHE_MUST_REVALIDATE),
         {NONE, NONE, INT64_MAX},
         AT(10000),
         POLICY_VALIDATE},
        {"no-cache", FLAGGED(10, CACHE_NO_CACHE), {NONE, NONE, INT64_MAX}, AT(0), POLICY_VALIDATE},
        {"the request's no-cache",
         FOR(10),
         {NONE, NONE, INT64_MAX, .no_cache = true},
         AT(0),
         POLICY_VALIDATE},
    };
    check_uses(rows, weir_count(rows));
}

#define WINDOWS(seconds, flags, while_revalidate, if_error)                                        \
    {                                                                                              \
        1000, seconds, 200, flags, while_revalidate, if_error, 0                                   \
    }

static void test_stale_while_revalidate_rfc5861_3(void **state)
{
    (void)state;
#define SWR WINDOWS(10, 0, 5, 0)
    static const struct use_row rows[] = {
        {"fresh", SWR, {PLAIN}, AT(9999), POLICY_FRESH},
        {"at the end of freshness", SWR, {PLAIN}, AT(10000), POLICY_REFRESH},
        {"before its end", SWR, {PLAIN}, AT(14999), POLICY_REFRESH},
        {"at its end", SWR, {PLAIN}, AT(15000), POLICY_VALIDATE},
        {"lifetime 0", WINDOWS(0, 0, 5, 0), {PLAIN}, AT(0), POLICY_REFRESH},
        {"stale-if-error is something else",
         WINDOWS(10, 0, 0, 5),
         {PLAIN},
         AT(10000),
         POLICY_VALIDATE},
        {"longest",
         WINDOWS(10, 0, CACHE_STALE_MOST_S, 0),
         {PLAIN},
         AT((CACHE_STALE_MOST_S + 10) * 1000 - 1),
         POLICY_REFRESH},
        {"request's no-cache", SWR, {PLAIN, .no_cache = true}, AT(10000), POLICY_VALIDATE},
        {"request's max-age=0", SWR, {0, NONE, NONE}, AT(10000), POLICY_VALIDATE},
        {"request's max-age", SWR, {60, NONE, NONE}, AT(10000), POLICY_VALIDATE},
        {"request's min-fresh=0", SWR, {NONE, 0, NONE}, AT(10000), POLICY_VALIDATE},
        {"request's max-stale=0", SWR, {NONE, NONE, 0}, AT(10000), POLICY_VALIDATE},
        {"request's max-stale met", SWR, {NONE, NONE, 3}, AT(13000), POLICY_REFRESH},
        {"request's max-stale passed", SWR, {NONE, NONE, 3}, AT(13001), POLICY_VALIDATE},
        {"request's max-stale beyond", SWR, {NONE, NONE, 9}, AT(15000), POLICY_STALE},
        {"request's max-age and max-stale", SWR, {60, NONE, 3}, AT(13000), POLICY_REFRESH},
        {"must-revalidate",
         WINDOWS(10, CACHE_MUST_REVALIDATE, 5, 0),
         {PLAIN},
         AT(10000),
         POLICY_VALIDATE},
        {"no-cache", WINDOWS(10, CACHE_NO_CACHE, 5, 0), {PLAIN}, AT(10000), POLICY_VALIDATE},
        {"authorization", SWR, {PLAIN, .authorization = true}, AT(10000), POLICY_UNUSABLE},
    };
    check_uses(rows, weir_count(rows));
    assert_true(policy_use_delivers(POLICY_FRESH) && policy_use_delivers(POLICY_STALE) &&
                policy_use_delivers(POLICY_REFRESH));
    assert_false(policy_use_delivers(POLICY_VALIDATE) || policy_use_delivers(POLICY_UNUSABLE));
}

static void test_stale_if_error_rfc5861_4(void **state)
{
    (void)state;
#define SIE WINDOWS(10, 0, 0, 5)
    static const struct {
        const char *name;
        struct cache_meta meta;
        struct policy_request request;
        int64_t now_ms;
        bool wanted;
    } rows[] = {
        {"fresh by now", SIE, {PLAIN}, AT(9999), true},
        {"at the end of freshness", SIE, {PLAIN}, AT(10000), true},
        {"before its end", SIE, {PLAIN}, AT(14999), true},
        {"at its end", SIE, {PLAIN}, AT(15000), false},
        {"none", FOR(10), {PLAIN}, AT(10000), false},
        {"stale-while-revalidate", WINDOWS(10, 0, 5, 0), {PLAIN}, AT(10000), true},
        {"the request's", FOR(10), {PLAIN, 5}, AT(14999), true},
        {"the request's, at its end", FOR(10), {PLAIN, 5}, AT(15000), false},
        {"the request's is longer", SIE, {PLAIN, 7}, AT(16999), true},
        {"the request's is shorter", SIE, {PLAIN, 1}, AT(14999), true},
        {"request's no-cache", SIE, {PLAIN, 7, .no_cache = true}, AT(10000), false},
        {"request's max-age=0", SIE, {0, NONE, NONE, 7}, AT(10000), false},
        {"request's max-age met, but stale", SIE, {60, NONE, NONE}, AT(10000), false},
        {"request's max-age met, and its own", SIE, {11, NONE, NONE, 7}, AT(11000), true},
        {"request's max-age passed", SIE, {11, NONE, NONE, 7}, AT(11001), false},
        {"request's min-fresh", SIE, {NONE, 1, NONE}, AT(10000), false},
        {"request's min-fresh of a fresh one", SIE, {NONE, 5, NONE}, AT(6000), false},
        {"request's max-stale met", FOR(10), {NONE, NONE, 3}, AT(13000), true},
        {"request's max-stale passed", SIE, {NONE, NONE, 3}, AT(13001), false},
        {"must-revalidate", WINDOWS(10, CACHE_MUST_REVALIDATE, 0, 5), {PLAIN, 7}, AT(10000), false},
        {"no-cache", WINDOWS(10, CACHE_NO_CACHE, 0, 5), {PLAIN, 7}, AT(10000), false},
        {"an error itself", {1000, 10, 400, 0, 0, 5, 0}, {PLAIN}, AT(9999), false},
        {"no error", {1000, 10, 399, 0, 0, 5, 0}, {PLAIN}, AT(10000), true},
        {"authorization", SIE, {PLAIN, 7, .authorization = true}, AT(10000), false},
        {"authorization, allowed",
         WINDOWS(10, CACHE_FOR_AUTHORIZED, 0, 5),
         {PLAIN, .authorization = true},
         AT(10000),
         true},
    };
    for (size_t i = 0; i < weir_count(rows); i++)
        expect_row(rows[i].name,
                   policy_use_on_error(&rows[i].meta, &rows[i].request, rows[i].now_ms),
                   rows[i].wanted);
    no_row_failed();
    for (unsigned status = 100; status < 1000; status++)
        assert_int_equal(policy_is_error(status),
                         status == 500 || status == 502 || status == 503 || status == 504);
}

static void test_what_an_error_does_not_replace(void **state)
{
    (void)state;
    static const struct cache_meta if_error = WINDOWS(10, 0, 0, 5),
                                   meanwhile = WINDOWS(10, 0, 5, 0);
    assert_true(policy_outlives_error(&if_error, AT(14999)));
    assert_false(policy_outlives_error(&if_error, AT(15000)));
    assert_true(policy_outlives_error(&meanwhile, AT(14999)));
    assert_false(policy_outlives_error(&meanwhile, AT(15000)));
}

static void test_what_supersedes(void **state)
{
    (void)state;
    static const enum policy_reason by_origin[] = {
        POLICY_NO_STORE,  POLICY_PRIVATE,      POLICY_SET_COOKIE, POLICY_STATUS,
        POLICY_VARY_STAR, POLICY_NO_FRESHNESS, POLICY_MALFORMED};
    for (unsigned reason = 0; reason < POLICY_REASONS; reason++) {
        bool wanted = false;
        for (size_t i = 0; i < weir_count(by_origin); i++)
            wanted |= by_origin[i] == reason;
        assert_int_equal(policy_supersedes(200, (enum policy_reason)reason), wanted);
    }
    for (unsigned status = 100; status < 600; status++)
        assert_int_equal(policy_supersedes(status, POLICY_NO_FRESHNESS),
                         (status >= 200 && status < 400) || status == 404 || status == 410);
}

static void test_freshness_for_whoever_asks(void **state)
{
    (void)state;
    static const struct cache_meta meta = FOR(10), no_cache = FLAGGED(10, CACHE_NO_CACHE);
    assert_true(policy_is_fresh(&meta, AT(9999)));
    assert_false(policy_is_fresh(&meta, AT(10000)));
    assert_false(policy_is_fresh(&no_cache, AT(0)));
}

/* Each of the three times keeps it, to the millisecond. */
static void test_what_is_useless(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct cache_meta meta;
        int64_t until_ms;
    } rows[] = {
        {"fresh", FOR(10), 10000},
        {"lifetime 0", FOR(0), 0},
        {"a validator alone", FLAGGED(10, CACHE_HAS_VALIDATOR), 10000},
        {"kept", {1000, 10, 200, CACHE_HAS_VALIDATOR, 0, 0, 2}, 130000},
        {"kept longest", {1000, 10, 200, 0, 0, 0, CACHE_KEEP_MOST_MIN}, 10000 + 65535LL * 60000},
        {"stale-while-revalidate", WINDOWS(10, 0, 5, 0), 15000},
        {"stale-if-error", WINDOWS(10, 0, 0, 5), 15000},
        {"the longest of three", {1000, 10, 200, 0, 61, 59, 1}, 71000},
        {"the longest of three, another", {1000, 10, 200, 0, 59, 61, 1}, 71000},
        {"the longest of three, the third", {1000, 10, 200, 0, 59, 59, 1}, 70000},
    };
    for (size_t i = 0; i < weir_count(rows); i++) {
        expect_row(rows[i].name, policy_is_useless(&rows[i].meta, AT(rows[i].until_ms - 1)), 0);
        expect_row(rows[i].name, policy_is_useless(&rows[i].meta, AT(rows[i].until_ms)), 1);
    }
    no_row_failed();
}

static void test_authorization_3_5(void **state)
{
    (void)state;
    static const struct use_row rows[] = {
        {"not allowed", FOR(10), {PLAIN, .authorization = true}, AT(0), POLICY_UNUSABLE},
        {"not allowed, stale", FOR(10), {PLAIN, .authorization = true}, AT(20000), POLICY_UNUSABLE},
        {"allowed",
         FLAGGED(10, CACHE_FOR_AUTHORIZED),
         {PLAIN, .authorization = true},
         AT(0),
         POLICY_FRESH},
        {"allowed, stale",
         FLAGGED(10, CACHE_FOR_AUTHORIZED),
         {PLAIN, .authorization = true},
         AT(10000),
         POLICY_VALIDATE},
        {"allowed, not needed", FLAGGED(10, CACHE_FOR_AUTHORIZED), {PLAIN}, AT(0), POLICY_FRESH},
    };
    check_uses(rows, weir_count(rows));
}

static void test_sharing_4(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct cache_meta meta;
        struct policy_request request;
        int64_t now_ms;
        bool wanted;
    } rows[] = {
        {"fresh", FOR(10), {PLAIN}, AT(0), true},
        {"lifetime 0", FOR(0), {PLAIN}, AT(0), false},
        {"lifetime 0, whatever the request takes", FOR(0), {NONE, NONE, INT64_MAX}, AT(0), false},
        {"stale by now", FOR(10), {PLAIN}, AT(10000), false},
        {"stale by now, taken", FOR(10), {NONE, NONE, 5}, AT(10000), true},
        {"stale by now, to be refreshed", WINDOWS(10, 0, 5, 0), {PLAIN}, AT(10000), true},
        {"no-cache", FLAGGED(10, CACHE_NO_CACHE), {PLAIN}, AT(0), false},
        {"request's no-cache", FOR(10), {PLAIN, .no_cache = true}, AT(0), false},
        {"request's no-store", FOR(10), {PLAIN, .no_store = true}, AT(0), false},
        {"request's max-age=0", FOR(10), {0, NONE, NONE}, AT(0), false},
        {"request's max-age", FOR(10), {5, NONE, NONE}, AT(0), true},
        {"request's min-fresh", FOR(10), {NONE, 11, NONE}, AT(0), false},
        {"authorized, not allowed", FOR(10), {PLAIN, .authorization = true}, AT(0), false},
        {"authorized, allowed",
         FLAGGED(10, CACHE_FOR_AUTHORIZED),
         {PLAIN, .authorization = true},
         AT(0),
         true},
    };
    for (size_t i = 0; i < weir_count(rows); i++)
        expect_row(rows[i].name, policy_may_share(&rows[i].meta, &rows[i].request, rows[i].now_ms),
                   rows[i].wanted);
    no_row_failed();
}

static void test_age_4_2_3(void **state)
{
    (void)state;
    struct cache_meta meta = {.born_ms = 1000};
    assert_int_equal(policy_age_s(&meta, 0), 0);
    assert_int_equal(policy_age_s(&meta, 1999), 0);
    assert_int_equal(policy_age_s(&meta, 2000), 1);
    assert_int_equal(policy_age_s(&meta, INT64_MAX), INT32_MAX);
}

static void test_every_reason_has_its_text(void **state)
{
    (void)state;
    assert_string_equal(policy_reason_text(POLICY_STORE), "");
    for (unsigned i = 1; i < POLICY_REASONS; i++) {
        assert_true(strlen(policy_reason_text((enum policy_reason)i)) > 0);
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(policy_reason_text((enum policy_reason)i),
                                    policy_reason_text((enum policy_reason)k));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_directives_5_2_1),
        cmocka_unit_test(test_request_numbers_1_2_2),
        cmocka_unit_test(test_request_quotes_5_2),
        cmocka_unit_test(test_pragma_5_4),
        cmocka_unit_test(test_freshness_4_2),
        cmocka_unit_test(test_request_directives_on_stored_5_2_1),
        cmocka_unit_test(test_max_stale_4_2_4_and_5_2_1_2),
        cmocka_unit_test(test_stale_while_revalidate_rfc5861_3),
        cmocka_unit_test(test_stale_if_error_rfc5861_4),
        cmocka_unit_test(test_what_an_error_does_not_replace),
        cmocka_unit_test(test_what_supersedes),
        cmocka_unit_test(test_freshness_for_whoever_asks),
        cmocka_unit_test(test_what_is_useless),
        cmocka_unit_test(test_authorization_3_5),
        cmocka_unit_test(test_sharing_4),
        cmocka_unit_test(test_age_4_2_3),
        cmocka_unit_test(test_every_reason_has_its_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
