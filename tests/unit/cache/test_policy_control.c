/* cache/policy_control.c: directives, of Cache-Control and of the fields that take its place (RFC 9213). */
#include "cache/policy.h"
#include "judge_fixture.h"

#define WEIR "Weir-Cache-Control: "
#define CDN "CDN-Cache-Control: "
#define SURROGATE "Surrogate-Control: "

enum {
    SHARED = CACHE_MUST_REVALIDATE | CACHE_FOR_AUTHORIZED
};

/* ---- which field decides (§2.2) ---- */

static void test_target_list_2_2(void **state)
{
    (void)state;
    static const struct {
        const char *name, *head;
        enum field_id decides;
        unsigned flag;
        int64_t lifetime_s;
    } rows[] = {
        {"none", CC "max-age=60", FIELD_OTHER, 0, 60},
        {"Weir's", WEIR "max-age=5\n" CC "max-age=60", FIELD_WEIR_CACHE_CONTROL, CACHE_BY_WEIR, 5},
        {"Weir's before CDN's", CDN "max-age=7\n" WEIR "max-age=5", FIELD_WEIR_CACHE_CONTROL,
         CACHE_BY_WEIR, 5},
        {"Weir's before Surrogate's", SURROGATE "max-age=9\n" WEIR "max-age=5",
         FIELD_WEIR_CACHE_CONTROL, CACHE_BY_WEIR, 5},
        {"CDN's", CDN "max-age=7\n" CC "max-age=60", FIELD_CDN_CACHE_CONTROL, 0, 7},
        {"CDN's before Surrogate's", SURROGATE "max-age=9\n" CDN "max-age=7",
         FIELD_CDN_CACHE_CONTROL, 0, 7},
        {"Surrogate's", SURROGATE "max-age=9\n" CC "max-age=60", FIELD_SURROGATE_CONTROL,
         CACHE_BY_SURROGATE, 9},
        {"malformed: the next", WEIR "max-age=5, &\n" CDN "max-age=7", FIELD_CDN_CACHE_CONTROL, 0,
         7},
        {"empty: the next", WEIR "\n" CDN "max-age=7", FIELD_CDN_CACHE_CONTROL, 0, 7},
        {"both malformed: Surrogate's", WEIR "A\n" CDN "A\n" SURROGATE "max-age=9",
         FIELD_SURROGATE_CONTROL, CACHE_BY_SURROGATE, 9},
        {"all empty: Cache-Control", WEIR "\n" CDN "\n" SURROGATE "\n" CC "max-age=60", FIELD_OTHER,
         0, 60},
        {"unknown directives alone decide too", DATE CDN "foo\n" CC "max-age=60\n" BEFORE_1000_S,
         FIELD_CDN_CACHE_CONTROL, 0, 100},
        {"another target's is none", "Other-CDN-Cache-Control: max-age=7\n" CC "max-age=60",
         FIELD_OTHER, 0, 60},
    };
    for (size_t i = 0; i < weir_count(rows); i++) {
        struct head head = head_of(rows[i].head);
        struct row row = {.head = rows[i].head};
        struct policy_control control = {0};
        struct cache_meta meta;
        expect_row(rows[i].name, policy_read_targeted(fields_of(&head), &control), rows[i].decides);
        expect_row(rows[i].name, judge(&row, &meta), POLICY_STORE);
        expect_row(rows[i].name, meta.lifetime_s, rows[i].lifetime_s);
        expect_row(rows[i].name, meta.flags & (CACHE_BY_WEIR | CACHE_BY_SURROGATE), rows[i].flag);
    }
    no_row_failed();
}

/* "MUST ignore the Cache-Control and Expires header fields in that response" */
static void test_the_rest_is_ignored_2_2(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"no-store", CDN "max-age=7\n" CC "no-store", POLICY_STORE, 7},
        {"private", CC "private\n" CDN "max-age=7", POLICY_STORE, 7},
        {"no-cache", CC "no-cache\n" CDN "max-age=7", POLICY_STORE, 7},
        {"quotes that do not end", CC "x=\"\n" CDN "max-age=7", POLICY_STORE, 7},
        {"must-revalidate, public", CC "must-revalidate, public\n" CDN "max-age=7", POLICY_STORE,
         7},
        {"s-maxage", CC "s-maxage=60\n" CDN "max-age=7", POLICY_STORE, 7},
        {"Expires gone by", DATE "Expires: " BEFORE_100_S "\n" CDN "max-age=7", POLICY_STORE, 7},
        {"Expires ahead", DATE "Expires: " IN_100_S "\n" CDN "public", POLICY_NO_FRESHNESS},
        {"Expires beside Surrogate-Control", DATE "Expires: " IN_100_S "\n" SURROGATE "private=x",
         POLICY_PRIVATE},
        {"the max-age of Cache-Control", CC "max-age=60\n" CDN "public", POLICY_NO_FRESHNESS},
        {"its no-store, where it does not decide", CC "no-store\n" CDN "max-age=7, ,",
         POLICY_NO_STORE},
        {"not Set-Cookie", CDN "no-cache\n" TAG "Set-Cookie: a=b", POLICY_SET_COOKIE},
        {"not Vary", CDN "max-age=7\nVary: *", POLICY_VARY_STAR},
        {"not Age", CDN "max-age=7\nAge: 7", POLICY_NO_FRESHNESS},
    };
    check_rows(rows, weir_count(rows));
}

/* ---- dictionaries (§2.1) ---- */

static void test_directives_2_2(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"max-age", CDN "max-age=7", POLICY_STORE, 7},
        {"max-age=0", TAG CDN "max-age=0", POLICY_STORE, 0},
        {"s-maxage first", CDN "max-age=7, s-maxage=8", POLICY_STORE, 8, SHARED},
        {"no-store", CDN "no-store, max-age=7", POLICY_NO_STORE},
        {"private", CDN "private, max-age=7", POLICY_PRIVATE},
        {"private with names", CDN "private=\"a, b\", max-age=7", POLICY_PRIVATE},
        {"no-cache", TAG CDN "no-cache, max-age=7", POLICY_STORE, 7, CACHE_NO_CACHE},
        {"no-cache with names", TAG CDN "no-cache=\"a\", max-age=7", POLICY_STORE, 7,
         CACHE_NO_CACHE},
        {"must-revalidate", CDN "must-revalidate, max-age=7", POLICY_STORE, 7, SHARED},
        {"proxy-revalidate", CDN "proxy-revalidate, max-age=7", POLICY_STORE, 7,
         CACHE_MUST_REVALIDATE},
        {"public", CDN "public, max-age=7", POLICY_STORE, 7, CACHE_FOR_AUTHORIZED},
        {"must-understand", CDN "must-understand, no-store, max-age=7", POLICY_STORE, 7},
        {"must-understand, unknown", CDN "must-understand, max-age=7", POLICY_STATUS,
         .status = 299},
        {"authorization", CDN "max-age=7", POLICY_AUTHORIZATION, .request = &authorized},
        {"authorization allowed", CDN "public, max-age=7", POLICY_STORE, 7, CACHE_FOR_AUTHORIZED,
         .request = &authorized},
        {"unknown ones", CDN "foo=1.5, max-age=7, bar=(a b);c", POLICY_STORE, 7},
        {"other names", CDN "no-stor, max-agee=1, max-age=7, xprivate", POLICY_STORE, 7},
        {"parameters are nothing", CDN "max-age=7;no-store, public;x=?0", POLICY_STORE, 7,
         CACHE_FOR_AUTHORIZED},
    };
    check_rows(rows, weir_count(rows));
}

static void test_types_2_1(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"no value", TAG CDN "max-age", POLICY_STORE, 0},
        {"String", TAG CDN "max-age=\"60\"", POLICY_STORE, 0},
        {"Token", TAG CDN "max-age=a60", POLICY_STORE, 0},
        {"Decimal", TAG CDN "max-age=60.0", POLICY_STORE, 0},
        {"Date", TAG CDN "max-age=@60", POLICY_STORE, 0},
        {"inner list", TAG CDN "max-age=(60)", POLICY_STORE, 0},
        {"negative", TAG CDN "max-age=-1", POLICY_STORE, 0},
        {"s-maxage=0 permits", TAG CDN "s-maxage=0", POLICY_STORE, 0, SHARED,
         .request = &authorized},
        {"2^31 - 1", CDN "max-age=2147483647", POLICY_STORE, MOST - 1},
        {"2^31", CDN "max-age=2147483648", POLICY_STORE, MOST},
        {"2^31 + 1", CDN "max-age=2147483649", POLICY_STORE, MOST},
        {"15 digits", CDN "max-age=999999999999999", POLICY_STORE, MOST},
        {"16 digits: malformed, so Cache-Control", CDN "max-age=1000000000000000\n" CC "max-age=60",
         POLICY_STORE, 60},
        {"a bad s-maxage permits nothing", TAG CDN "s-maxage=x", POLICY_AUTHORIZATION,
         .request = &authorized},
        {"false is not said: no-store", CDN "no-store=?0, max-age=7", POLICY_STORE, 7},
        {"false is not said: max-age", CDN "max-age=?0", POLICY_NO_FRESHNESS},
        {"true", CDN "no-store=?1, max-age=7", POLICY_NO_STORE},
        {"a restriction of another type holds", CDN "no-store=0, max-age=7", POLICY_NO_STORE},
        {"a permission of another type does not", CDN "public=1, max-age=7", POLICY_STORE, 7},
        {"must-understand of another type saves nothing",
         CDN "must-understand=1, no-store, max-age=7", POLICY_NO_STORE},
    };
    check_rows(rows, weir_count(rows));
}

/* Of one directive the last counts (RFC 9651 §4.2.2), over all lines together (§4.2). */
static void test_repetition(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"the last", CDN "max-age=7, max-age=8", POLICY_STORE, 8},
        {"the last, less", CDN "max-age=8, max-age=7", POLICY_STORE, 7},
        {"the last, in lines", CDN "max-age=7\nVia: x\n" CDN "max-age=8", POLICY_STORE, 8},
        {"taken back", CDN "no-store, max-age=7, no-store=?0", POLICY_STORE, 7},
        {"said in the end", CDN "no-store=?0, max-age=7\n" CDN "no-store", POLICY_NO_STORE},
        {"a malformed line spoils all", CDN "max-age=7\n" CDN "Z\n" CC "max-age=60", POLICY_STORE,
         60},
        {"an empty line among them too", CDN "max-age=7\n" CDN "\n" CC "max-age=60", POLICY_STORE,
         60},
        {"an empty first line too", CDN "\n" CDN "max-age=7\n" CC "max-age=60", POLICY_STORE, 60},
        {"keys in capitals are malformed", CDN "Max-Age=7\n" CC "max-age=60", POLICY_STORE, 60},
        {"a comma at the end too", CDN "max-age=7,\n" CC "max-age=60", POLICY_STORE, 60},
    };
    check_rows(rows, weir_count(rows));
}

/* ---- Surrogate-Control ---- */

static void test_surrogate_control(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"max-age", SURROGATE "max-age=9", POLICY_STORE, 9},
        {"any case", SURROGATE "Max-Age=9", POLICY_STORE, 9},
        {"no-store", SURROGATE "no-store\n" CC "max-age=60", POLICY_NO_STORE},
        {"no-store-remote", SURROGATE "max-age=9, No-Store-Remote", POLICY_NO_STORE},
        {"content alone does not decide", SURROGATE "content=\"ESI/1.0\"\n" CC "max-age=60",
         POLICY_STORE, 60},
        {"content beside max-age", SURROGATE "content=\"ESI/1.0 x;y\", max-age=9", POLICY_STORE, 9},
        {"max-age with more", SURROGATE "max-age=9+60", POLICY_STORE, 9},
        {"max-age with 0 more", SURROGATE "max-age=9+0", POLICY_STORE, 9},
        {"max-age with bad more", TAG SURROGATE "max-age=9+x", POLICY_STORE, 0},
        {"max-age with no more", TAG SURROGATE "max-age=9+", POLICY_STORE, 0},
        {"bad max-age with more", TAG SURROGATE "max-age=x+9", POLICY_STORE, 0},
        {"nothing but more", TAG SURROGATE "max-age=+9", POLICY_STORE, 0},
        {"no value", TAG SURROGATE "max-age", POLICY_STORE, 0},
        {"malformed", TAG SURROGATE "max-age= 9", POLICY_STORE, 0},
        {"malformed with more", TAG SURROGATE "max-age=9+9 x", POLICY_STORE, 0},
        {"twice, in conflict", TAG SURROGATE "max-age=9\n" SURROGATE "max-age=10", POLICY_STORE, 0},
        {"for another", SURROGATE "max-age=9, max-age=60;other, no-store;abc", POLICY_STORE, 9},
        {"for Weir", SURROGATE "max-age=9 ; Weir", POLICY_STORE, 9},
        {"for Weir not to be stored", SURROGATE "max-age=9, no-store;weir", POLICY_NO_STORE},
        {"all for another: Cache-Control", SURROGATE "no-store;abc\n" CC "max-age=60", POLICY_STORE,
         60},
        {"for nobody", TAG SURROGATE "max-age=9;", POLICY_STORE, 0},
        {"quotes that do not end", SURROGATE "max-age=9, content=\"x", POLICY_MALFORMED},
        {"quotes that do not end, alone", SURROGATE "content=\"x\n" CC "max-age=60",
         POLICY_MALFORMED},
        {"others as in Cache-Control", SURROGATE "private, max-age=9", POLICY_PRIVATE},
        {"public", SURROGATE "public, max-age=9", POLICY_STORE, 9, CACHE_FOR_AUTHORIZED},
        {"malformed public", SURROGATE "public=, max-age=9", POLICY_STORE, 9},
        {"s-maxage", SURROGATE "s-maxage=9", POLICY_STORE, 9, SHARED},
        {"unknown alone", SURROGATE "x\n" CC "max-age=60", POLICY_STORE, 60},
    };
    check_rows(rows, weir_count(rows));
}

/* ---- how long stale ---- */

static void test_stale_times(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        uint32_t while_s, error_s;
    } rows[] = {
        {CC "max-age=60", 0, 0},
        {CC "stale-while-revalidate=5, max-age=60, stale-if-error=6", 5, 6},
        {CC "max-age=60, Stale-While-Revalidate=\"5\"", 5, 0},
        {CC "max-age=60, stale-if-error=5, stale-if-error=6", 0, 0},
        {CC "max-age=60, stale-while-revalidate=x, stale-if-error", 0, 0},
        {CC "max-age=60, stale-while-revalidate=99999999999", CACHE_STALE_MOST_S, 0},
        {CDN "max-age=60, stale-while-revalidate=5, stale-if-error=6", 5, 6},
        {CDN "max-age=60, stale-while-revalidate=5.0, stale-if-error=\"6\"", 0, 0},
        {CDN "max-age=60\n" CC "stale-while-revalidate=5", 0, 0},
        {SURROGATE "max-age=60+7", 7, 7},
        {SURROGATE "max-age=60, stale-while-revalidate=5, stale-if-error=6", 5, 6},
        {SURROGATE "max-age=x+7, public", 7, 7},
        {SURROGATE "max-age=60+x, public", 0, 0},
    };
    for (size_t i = 0; i < weir_count(rows); i++) {
        struct row row = {.head = rows[i].head};
        struct cache_meta meta;
        judge(&row, &meta);
        expect_row(rows[i].head, meta.stale_while_revalidate_s, rows[i].while_s);
        expect_row(rows[i].head, meta.stale_if_error_s, rows[i].error_s);
    }
    no_row_failed();
}

/* What is said to be 0, or is no number, is said all the same: the route's own time does not apply. */
static void test_stale_times_before_the_routes(void **state)
{
    (void)state;
    static const struct conf_route_cache route = {GUESSING, .stale_while_revalidate_s = 20,
                                                  .stale_if_error_s = 30};
    static const struct {
        const char *head;
        uint32_t while_s, error_s;
    } rows[] = {
        {CC "max-age=60", 20, 30},
        {CC "max-age=60, must-understand", 20, 30},
        {CC "max-age=60, stale-while-revalidate=0", 0, 30},
        {CC "max-age=60, stale-if-error=0", 20, 0},
        {CC "max-age=60, stale-if-error=x", 20, 0},
        {CDN "max-age=60", 20, 30},
        {CDN "max-age=60, stale-while-revalidate=0", 0, 30},
        {CDN "max-age=60\n" CC "stale-while-revalidate=0", 20, 30},
        {SURROGATE "max-age=60", 20, 30},
        {SURROGATE "max-age=60+0", 0, 0},
    };
    for (size_t i = 0; i < weir_count(rows); i++) {
        struct row row = {.head = rows[i].head, .route = &route};
        struct cache_meta meta;
        judge(&row, &meta);
        expect_row(rows[i].head, meta.stale_while_revalidate_s, rows[i].while_s);
        expect_row(rows[i].head, meta.stale_if_error_s, rows[i].error_s);
    }
    no_row_failed();
}

/* Nor after a 304 that leaves standing what was said. */
static void test_stale_times_stay_3_2(void **state)
{
    (void)state;
    static const struct conf_route_cache route = {GUESSING, .stale_while_revalidate_s = 20,
                                                  .stale_if_error_s = 30};
    struct row row = {.head = WEIR "max-age=60, stale-while-revalidate=0, stale-if-error=0",
                      .route = &route};
    struct cache_meta stored, meta;
    assert_int_equal(judge(&row, &stored), POLICY_STORE);
    row.head = CC "stale-while-revalidate=7";
    row.stored = &stored;
    assert_int_equal(judge(&row, &meta), POLICY_STORE);
    assert_int_equal(meta.stale_while_revalidate_s, 0);
    assert_int_equal(meta.stale_if_error_s, 0);
}

/* ---- 304s ---- */

/* What a field decided that is not kept stays decided until a 304 brings that field anew. */
static void test_not_modified_3_2(void **state)
{
    (void)state;
    static const struct {
        const char *name, *stored, *updated;
        enum policy_reason reason;
        int64_t lifetime_s;
        unsigned flags; /* all */
        uint32_t while_s;
    } rows[] = {
        {"Weir's stays", WEIR "max-age=5, stale-while-revalidate=3\n" CC "no-store", CC "no-store",
         POLICY_STORE, 5, CACHE_BY_WEIR, 3},
        {"before CDN's", WEIR "max-age=5", CDN "max-age=7", POLICY_STORE, 5, CACHE_BY_WEIR},
        {"before Expires", WEIR "max-age=5", DATE "Expires: " BEFORE_100_S, POLICY_STORE, 5,
         CACHE_BY_WEIR},
        {"until it comes anew", WEIR "max-age=5", WEIR "max-age=6", POLICY_STORE, 6, CACHE_BY_WEIR},
        {"or forbids it", WEIR "max-age=5", WEIR "no-store", POLICY_NO_STORE, 0, CACHE_BY_WEIR},
        {"Surrogate's stays", SURROGATE "max-age=5", CC "max-age=60", POLICY_STORE, 5,
         CACHE_BY_SURROGATE},
        {"until CDN's comes", SURROGATE "max-age=5", CDN "max-age=7", POLICY_STORE, 7, 0},
        {"or Weir's", SURROGATE "max-age=5", WEIR "max-age=7", POLICY_STORE, 7, CACHE_BY_WEIR},
        {"or it comes anew", SURROGATE "max-age=5", SURROGATE "max-age=6", POLICY_STORE, 6,
         CACHE_BY_SURROGATE},
        {"Surrogate's is not Weir's", WEIR "max-age=5", SURROGATE "max-age=6", POLICY_STORE, 5,
         CACHE_BY_WEIR},
        {"what is kept is read anew", CDN "max-age=7", CC "max-age=60", POLICY_STORE, 60, 0},
        {"no-cache stays", TAG WEIR "no-cache", TAG CC "max-age=60", POLICY_STORE, 0,
         CACHE_BY_WEIR | CACHE_NO_CACHE | CACHE_HAS_VALIDATOR},
        {"must-revalidate stays", WEIR "must-revalidate, max-age=5", CC "max-age=60", POLICY_STORE,
         5, CACHE_BY_WEIR | SHARED},
        {"proxy-revalidate stays", WEIR "proxy-revalidate, max-age=5", CC "max-age=60",
         POLICY_STORE, 5, CACHE_BY_WEIR | CACHE_MUST_REVALIDATE},
        {"public stays", WEIR "public, max-age=5", CC "max-age=60", POLICY_STORE, 5,
         CACHE_BY_WEIR | CACHE_FOR_AUTHORIZED},
        {"a guess is no Expires", WEIR "x\n" DATE BEFORE_1000_S,
         DATE BEFORE_1000_S "\nExpires: " BEFORE_100_S, POLICY_STORE, 100,
         CACHE_BY_WEIR | CACHE_HEURISTIC | CACHE_HAS_VALIDATOR},
        {"a guess is made anew", WEIR "x\n" DATE BEFORE_1000_S, DATE BEFORE_1000_S, POLICY_STORE,
         100, CACHE_BY_WEIR | CACHE_HEURISTIC | CACHE_HAS_VALIDATOR},
    };
    for (size_t i = 0; i < weir_count(rows); i++) {
        struct row row = {.head = rows[i].stored};
        struct cache_meta stored, meta;
        expect_row(rows[i].name, judge(&row, &stored), POLICY_STORE);
        row = (struct row){.head = rows[i].updated, .stored = &stored};
        expect_row(rows[i].name, judge(&row, &meta), rows[i].reason);
        expect_row(rows[i].name, meta.lifetime_s, rows[i].lifetime_s);
        expect_row(rows[i].name, meta.flags, rows[i].flags);
        expect_row(rows[i].name, meta.stale_while_revalidate_s, rows[i].while_s);
    }
    no_row_failed();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_target_list_2_2),
        cmocka_unit_test(test_the_rest_is_ignored_2_2),
        cmocka_unit_test(test_directives_2_2),
        cmocka_unit_test(test_types_2_1),
        cmocka_unit_test(test_repetition),
        cmocka_unit_test(test_surrogate_control),
        cmocka_unit_test(test_stale_times),
        cmocka_unit_test(test_stale_times_before_the_routes),
        cmocka_unit_test(test_stale_times_stay_3_2),
        cmocka_unit_test(test_not_modified_3_2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
