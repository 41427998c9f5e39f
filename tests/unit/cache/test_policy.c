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
    expect_row(row->name, got.no_cache, wanted->no_cache);
    expect_row(row->name, got.no_store, wanted->no_store);
    expect_row(row->name, got.only_if_cached, wanted->only_if_cached);
    expect_row(row->name, got.authorization, wanted->authorization);
    expect_row(row->name, got.range, wanted->range);
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
        {"a list", CC "max-age=1, min-fresh=2,max-stale=3", {1, 2, 3}},
        {"several lines", CC "max-age=1\n" CC "no-store", {1, NONE, NONE, .no_store = true}},
        {"empty members", CC ",, no-cache ,", {PLAIN, .no_cache = true}},
        {"any case", CC "NO-CACHE, Max-Age=3", {3, NONE, NONE, .no_cache = true}},
        {"name in any case", "cache-CONTROL: no-store", {PLAIN, .no_store = true}},
        {"Authorization", "Authorization: Basic eDp5", {PLAIN, .authorization = true}},
        {"Range", "Range: bytes=0-1", {PLAIN, .range = true}},
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
        {"max-age and max-stale", FOR(10), {12, NONE, 60}, AT(12000), POLICY_FRESH},
    };
    check_uses(rows, weir_count(rows));
}

static void test_max_stale_4_2_4_and_5_2_1_2(void **state)
{
    (void)state;
    static const struct use_row rows[] = {
        {"within", FOR(10), {NONE, NONE, 5}, AT(12000), POLICY_FRESH},
        {"at its end", FOR(10), {NONE, NONE, 5}, AT(15000), POLICY_FRESH},
        {"passed", FOR(10), {NONE, NONE, 5}, AT(15001), POLICY_VALIDATE},
        {"any", FOR(10), {NONE, NONE, INT64_MAX}, AT(1000000000), POLICY_FRESH},
        {"0 at the end of freshness", FOR(10), {NONE, NONE, 0}, AT(10000), POLICY_VALIDATE},
        {"lifetime 0", FOR(0), {NONE, NONE, 5}, AT(0), POLICY_FRESH},
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
        cmocka_unit_test(test_authorization_3_5),
        cmocka_unit_test(test_sharing_4),
        cmocka_unit_test(test_age_4_2_3),
        cmocka_unit_test(test_every_reason_has_its_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
