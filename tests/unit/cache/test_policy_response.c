/* cache/policy_response.c: what is stored, for how long it is fresh, how old it is. */
#include "judge_fixture.h"

/* ---- storing (§3, §3.5, §5.2.2) ---- */

static void test_methods_3(void **state)
{
    (void)state;
    struct row row = {.head = CC "max-age=60"};
    for (unsigned method = 0; method < METHODS; method++) {
        struct cache_meta meta;
        if (method == METHOD_OTHER)
            continue; /* row.method 0 stands for GET */
        row.method = (enum method)method;
        bool stored = method == METHOD_GET || method == METHOD_QUERY;
        assert_int_equal(judge(&row, &meta), stored ? POLICY_STORE : POLICY_METHOD);
        assert_int_equal(meta.lifetime_s, stored ? 60 : 0);
    }
}

static void test_statuses_3(void **state)
{
    (void)state;
    for (unsigned status = 100; status < 1000; status++) {
        struct row row = {.head = CC "max-age=60", .status = status};
        struct cache_meta meta;
        enum policy_reason wanted = POLICY_STORE;
        if (status < 200 || status == 304 || status == 412)
            wanted = POLICY_STATUS;
        if (status == 206 || status == 416)
            wanted = POLICY_PARTIAL;
        if (judge(&row, &meta) != wanted || meta.status != status)
            fail_msg("status %u", status);
    }
}

/* RFC 9110 §15.1 */
static void test_heuristic_statuses_4_2_2(void **state)
{
    (void)state;
    static const unsigned short ttl[] = {200, 203, 204, 300, 301, 308};
    static const unsigned short negative[] = {404, 405, 410, 414, 501};
    for (unsigned status = 200; status < 1000; status++) {
        struct row row = {.head = DATE, .status = status, .route = &with_ttl};
        struct cache_meta meta;
        int64_t wanted_s = 0;
        for (size_t i = 0; i < weir_count(ttl); i++)
            wanted_s = status == ttl[i] ? 30 : wanted_s;
        for (size_t i = 0; i < weir_count(negative); i++)
            wanted_s = status == negative[i] ? 7 : wanted_s;
        bool stored = judge(&row, &meta) == POLICY_STORE;
        if (stored != (wanted_s > 0) || meta.lifetime_s != wanted_s)
            fail_msg("status %u is stored for %u s", status, meta.lifetime_s);
        row.head = DATE BEFORE_1000_S;
        row.route = &no_ttl;
        stored = judge(&row, &meta) == POLICY_STORE;
        if (stored != (wanted_s > 0) || meta.lifetime_s != (wanted_s > 0 ? 100 : 0))
            fail_msg("status %u is guessed fresh for %u s", status, meta.lifetime_s);
    }
}

static void test_what_is_not_stored_3(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"route disabled", CC "max-age=60", POLICY_DISABLED, .route = &disabled},
        {"HEAD", CC "max-age=60", POLICY_METHOD, .method = METHOD_HEAD},
        {"request's no-store", CC "max-age=60", POLICY_REQUEST_NO_STORE, .request = &no_store},
        {"no-store §5.2.2.5", CC "no-store, max-age=60", POLICY_NO_STORE},
        {"no-store in the last line", CC "max-age=60\nVia: x\n" CC "x, No-Store", POLICY_NO_STORE},
        {"no-store with an argument", CC "max-age=60, no-store=\"x\"", POLICY_NO_STORE},
        {"no-store; garbage", CC "no-store; max-age=60", POLICY_NO_STORE},
        {"private §5.2.2.7", CC "private, max-age=60", POLICY_PRIVATE},
        {"private and public", CC "public, private, max-age=60", POLICY_PRIVATE},
        {"private=fields: as without", CC "private=\"x\", max-age=60", POLICY_PRIVATE},
        {"private=token", CC "private=x, max-age=60", POLICY_PRIVATE},
        {"private and s-maxage", CC "s-maxage=60, private", POLICY_PRIVATE},
        {"Vary: * §4.1", CC "max-age=60\nVary: *", POLICY_VARY_STAR},
        {"Vary: * in a list", CC "max-age=60\nVary: Accept\nVary: a, *", POLICY_VARY_STAR},
        {"Vary of no names", CC "max-age=60\nVary: a b", POLICY_MALFORMED},
        {"quotes do not end", CC "max-age=60, x=\"y, no-store", POLICY_MALFORMED},
        {"quotes in the middle", CC "max-age=60, x\"y, no-store\"", POLICY_MALFORMED},
        {"nothing said", DATE, POLICY_NO_FRESHNESS},
        {"an ETag is no freshness", DATE TAG, POLICY_NO_FRESHNESS},
        {"public is no freshness", CC "public", POLICY_NO_FRESHNESS},
        {"Pragma means nothing §5.4", "Pragma: no-cache\n" CC "max-age=60", POLICY_STORE, 60},
        {"in quotes it is not said", CC "x=\"a, no-store, private\", max-age=60", POLICY_STORE, 60},
        {"other names", CC "no-stores, privat, max-age=60", POLICY_STORE, 60},
    };
    check_rows(rows, weir_count(rows));
}

static void test_must_understand_5_2_2_3(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"known status", CC "must-understand, no-store, max-age=60", POLICY_STORE, 60},
        {"known status, no no-store", CC "must-understand, max-age=60", POLICY_STORE, 60},
        {"unknown status", CC "must-understand, no-store, max-age=60", POLICY_STATUS,
         .status = 299},
        {"unknown status, no no-store", CC "must-understand, max-age=60", POLICY_STATUS,
         .status = 599},
        {"proxy-revalidate is another word", CC "proxy-revalidate, max-age=60", POLICY_STORE, 60,
         CACHE_MUST_REVALIDATE, .status = 599},
        {"unknown status without", CC "max-age=60", POLICY_STORE, 60, .status = 599},
        {"private stays", CC "must-understand, no-store, private, max-age=60", POLICY_PRIVATE},
        {"malformed, no-store holds", CC "must-understand=;, no-store, max-age=60",
         POLICY_NO_STORE},
        {"malformed, it holds too", CC "must-understand=;, max-age=60", POLICY_STATUS,
         .status = 299},
        {"302 is known", CC "must-understand, no-store, max-age=60", POLICY_STORE, 60,
         .status = 302},
        {"206 is not stored", CC "must-understand, max-age=60", POLICY_PARTIAL, .status = 206},
    };
    check_rows(rows, weir_count(rows));
}

static void test_understood_statuses_5_2_2_3(void **state)
{
    (void)state;
    static const unsigned short known[] = {
        200, 201, 202, 203, 204, 205, 300, 301, 302, 303, 305, 307, 308,
        400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 413,
        414, 415, 417, 421, 422, 426, 500, 501, 502, 503, 504, 505,
    };
    for (unsigned status = 200; status < 1000; status++) {
        struct row row = {.head = CC "must-understand, no-store, max-age=60", .status = status};
        struct cache_meta meta;
        bool wanted = false;
        for (size_t i = 0; i < weir_count(known); i++)
            wanted |= status == known[i];
        if ((judge(&row, &meta) == POLICY_STORE) != wanted)
            fail_msg("status %u", status);
    }
}

static void test_authorization_3_5(void **state)
{
    (void)state;
    enum {
        ALLOWED = CACHE_FOR_AUTHORIZED,
        ALLOWED_NEVER_STALE = CACHE_FOR_AUTHORIZED | CACHE_MUST_REVALIDATE
    };
    static const struct row rows[] = {
        {"max-age alone", CC "max-age=60", POLICY_AUTHORIZATION, .request = &authorized},
        {"public", CC "max-age=60, public", POLICY_STORE, 60, ALLOWED, .request = &authorized},
        {"s-maxage", CC "s-maxage=60", POLICY_STORE, 60, ALLOWED_NEVER_STALE,
         .request = &authorized},
        {"must-revalidate", CC "max-age=60, must-revalidate", POLICY_STORE, 60, ALLOWED_NEVER_STALE,
         .request = &authorized},
        {"proxy-revalidate", CC "max-age=60, proxy-revalidate", POLICY_AUTHORIZATION,
         .request = &authorized},
        {"s-maxage=0", TAG CC "s-maxage=0", POLICY_STORE, 0, ALLOWED_NEVER_STALE,
         .request = &authorized},
        {"malformed s-maxage", CC "max-age=60, s-maxage=x", POLICY_AUTHORIZATION,
         .request = &authorized},
        {"malformed public", CC "max-age=60, public;x", POLICY_AUTHORIZATION,
         .request = &authorized},
        {"Expires", DATE "Expires: " IN_100_S, POLICY_AUTHORIZATION, .request = &authorized},
        {"public without freshness: no ttl", CC "public", POLICY_AUTHORIZATION,
         .request = &authorized, .route = &with_ttl},
        {"public without freshness: no guess", DATE CC "public\n" BEFORE_1000_S,
         POLICY_AUTHORIZATION, .request = &authorized},
        {"another's request", CC "max-age=60", POLICY_STORE, 60, 0},
        {"another's request, public", CC "max-age=60, public", POLICY_STORE, 60, ALLOWED},
        {"private stays", CC "s-maxage=60, private", POLICY_PRIVATE, .request = &authorized},
    };
    check_rows(rows, weir_count(rows));
}

static void test_set_cookie(void **state)
{
    (void)state;
#define COOKIE "Set-Cookie: a=b\n"
    static const struct row rows[] = {
        {"max-age", COOKIE CC "max-age=60", POLICY_STORE, 60},
        {"s-maxage", COOKIE CC "s-maxage=60", POLICY_STORE, 60,
         CACHE_MUST_REVALIDATE | CACHE_FOR_AUTHORIZED},
        {"Expires", COOKIE DATE "Expires: " IN_100_S, POLICY_STORE, 100},
        {"max-age=1", COOKIE CC "max-age=1", POLICY_STORE, 1},
        {"the route's ttl", COOKIE, POLICY_SET_COOKIE, .route = &with_ttl},
        {"the route's ttl, public", COOKIE CC "public", POLICY_SET_COOKIE, .route = &with_ttl},
        {"negative_ttl", COOKIE, POLICY_SET_COOKIE, .status = 404, .route = &with_ttl},
        {"a guess", COOKIE DATE BEFORE_1000_S, POLICY_SET_COOKIE},
        {"max-age=0", COOKIE TAG CC "max-age=0", POLICY_SET_COOKIE},
        {"no-cache", COOKIE TAG CC "no-cache", POLICY_SET_COOKIE},
        {"no-cache, max-age", COOKIE TAG CC "no-cache, max-age=60", POLICY_SET_COOKIE},
    };
    check_rows(rows, weir_count(rows));
}

/* ---- freshness (§4.2.1, §4.2.2, §5.2.2, §5.3) ---- */

enum {
    NEVER_STALE = CACHE_MUST_REVALIDATE,
    SHARED = CACHE_MUST_REVALIDATE | CACHE_FOR_AUTHORIZED
};

static void test_lifetime_order_4_2_1(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"s-maxage first", DATE CC "max-age=60, s-maxage=30\nExpires: " IN_100_S, POLICY_STORE, 30,
         SHARED},
        {"then max-age", DATE CC "max-age=60\nExpires: " IN_100_S, POLICY_STORE, 60},
        {"max-age before an Expires gone by", DATE CC "max-age=60\nExpires: " BEFORE_100_S,
         POLICY_STORE, 60},
        {"then Expires", DATE "Expires: " IN_100_S, POLICY_STORE, 100},
        {"Expires without Date", "Expires: " IN_100_S, POLICY_STORE, 100},
        {"Expires and a bad Date", "Date: x\nExpires: " IN_100_S, POLICY_STORE, 100},
        {"Expires and an older Date", "Date: " BEFORE_100_S "\nExpires: " IN_100_S, POLICY_STORE,
         200},
        {"then the route's ttl", DATE BEFORE_1000_S, POLICY_STORE, 30, CACHE_HEURISTIC,
         .route = &with_ttl},
        {"then a guess", DATE BEFORE_1000_S, POLICY_STORE, 100, CACHE_HEURISTIC},
        {"explicit before the ttl", CC "max-age=60", POLICY_STORE, 60, .route = &with_ttl},
        {"s-maxage=0 before max-age", CC "max-age=60, s-maxage=0", POLICY_NO_FRESHNESS},
        {"s-maxage=0 before the ttl", CC "s-maxage=0", POLICY_NO_FRESHNESS, .route = &with_ttl},
    };
    check_rows(rows, weir_count(rows));
}

static void test_numbers_4_2_1_and_1_2_2(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"quoted", CC "max-age=\"60\"", POLICY_STORE, 60},
        {"any case", CC "MAX-age=60", POLICY_STORE, 60},
        {"leading zeros", CC "max-age=0060", POLICY_STORE, 60},
        {"2^31 - 1", CC "max-age=2147483647", POLICY_STORE, MOST - 1},
        {"2^31", CC "max-age=2147483648", POLICY_STORE, MOST},
        {"2^31 + 1", CC "max-age=2147483649", POLICY_STORE, MOST},
        {"2^32 + 1", CC "max-age=4294967297", POLICY_STORE, MOST},
        {"2^64 + 1", CC "max-age=18446744073709551617", POLICY_STORE, MOST},
        {"negative", TAG CC "max-age=-1", POLICY_STORE, 0},
        {"fraction", TAG CC "max-age=60.5", POLICY_STORE, 0},
        {"letter", TAG CC "max-age=60s", POLICY_STORE, 0},
        {"sign", TAG CC "max-age=+60", POLICY_STORE, 0},
        {"hexadecimal", TAG CC "max-age=0x60", POLICY_STORE, 0},
        {"empty", TAG CC "max-age=", POLICY_STORE, 0},
        {"no value", TAG CC "max-age", POLICY_STORE, 0},
        {"single quotes", TAG CC "max-age='60'", POLICY_STORE, 0},
        {"space before =", TAG CC "max-age =60", POLICY_STORE, 0},
        {"space behind =", TAG CC "max-age= 60", POLICY_STORE, 0},
        {"semicolon", TAG CC "max-age=60; x", POLICY_STORE, 0},
        {"malformed and the route's ttl", TAG CC "max-age=x", POLICY_STORE, 0, .route = &with_ttl},
        {"malformed without validator", CC "max-age=x", POLICY_NO_FRESHNESS},
        {"malformed s-maxage, good max-age", TAG CC "s-maxage=x, max-age=60", POLICY_STORE, 0,
         NEVER_STALE},
        {"malformed max-age, good s-maxage", CC "s-maxage=30, max-age=x", POLICY_STORE, 30, SHARED},
        {"repeated, equal", CC "max-age=60, max-age=60", POLICY_STORE, 60},
        {"repeated, equal, in lines", CC "max-age=60\n" CC "max-age=60", POLICY_STORE, 60},
        {"repeated, more first", TAG CC "max-age=60, max-age=30", POLICY_STORE, 0},
        {"repeated, less first", TAG CC "max-age=30\n" CC "max-age=60", POLICY_STORE, 0},
        {"three times", TAG CC "max-age=30, max-age=60, max-age=30", POLICY_STORE, 0},
        {"repeated, one malformed", TAG CC "max-age=60, max-age=x", POLICY_STORE, 0},
        {"repeated, malformed first", TAG CC "max-age=x, max-age=60", POLICY_STORE, 0},
        {"in an extension's quotes", CC "x=\"max-age=9\", max-age=60", POLICY_STORE, 60},
        {"in quotes, the other way", CC "max-age=60, x=\"max-age=9\"", POLICY_STORE, 60},
    };
    check_rows(rows, weir_count(rows));
}

static void test_expires_5_3(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"0", TAG "Expires: 0", POLICY_STORE, 0},
        {"0 without validator", "Expires: 0", POLICY_NO_FRESHNESS},
        {"-1", TAG "Expires: -1", POLICY_STORE, 0},
        {"empty", TAG "Expires:", POLICY_STORE, 0},
        {"0 is explicit: no ttl", "Expires: 0", POLICY_NO_FRESHNESS, .route = &with_ttl},
        {"0 is explicit: no guess", DATE BEFORE_1000_S "\nExpires: 0", POLICY_STORE, 0},
        {"is Date", TAG DATE "Expires: Sun, 06 Nov 1994 08:49:37 GMT", POLICY_STORE, 0},
        {"one second ahead", DATE "Expires: Sun, 06 Nov 1994 08:49:38 GMT", POLICY_STORE, 1},
        {"before Date", TAG DATE "Expires: " BEFORE_100_S, POLICY_STORE, 0},
        {"rfc850", DATE "Expires: Sunday, 06-Nov-94 08:51:17 GMT", POLICY_STORE, 100},
        {"Date twice: from the newer", TAG "Date: " BEFORE_100_S "\n" DATE "Expires: " IN_100_S,
         POLICY_STORE, 100},
        {"Date twice, the newer first", TAG DATE "Date: " BEFORE_100_S "\nExpires: " IN_100_S,
         POLICY_STORE, 100},
        {"case of its words", DATE "Expires: sUN, 06 nOV 1994 08:51:17 gmt", POLICY_STORE, 100},
        {"two spaces", TAG DATE "Expires: Sun, 06  Nov 1994 08:51:17 GMT", POLICY_STORE, 0},
        {"no comma", TAG DATE "Expires: Sun 06 Nov 1994 08:51:17 GMT", POLICY_STORE, 0},
        {"one digit of an hour", TAG DATE "Expires: Sun, 06 Nov 1994 8:51:17 GMT", POLICY_STORE, 0},
        {"dashes", TAG DATE "Expires: Sun, 06-Nov-1994 08:51:17 GMT", POLICY_STORE, 0},
        {"a list", TAG DATE "Expires: " IN_100_S ", " IN_100_S, POLICY_STORE, 0},
        {"asctime", DATE "Expires: Sun Nov  6 08:51:17 1994", POLICY_STORE, 100},
        {"another zone", TAG DATE "Expires: Sun, 06 Nov 1994 08:51:17 CET", POLICY_STORE, 0},
        {"year 9999", DATE "Expires: Fri, 31 Dec 9999 23:59:59 GMT", POLICY_STORE, MOST},
        {"twice, equal", DATE "Expires: " IN_100_S "\nExpires: " IN_100_S, POLICY_STORE, 100},
        {"twice, in conflict",
         TAG DATE "Expires: " IN_100_S "\nExpires: Sun, 06 Nov 1994 08:51:18 GMT", POLICY_STORE, 0},
        {"twice, one bad", TAG DATE "Expires: " IN_100_S "\nExpires: 0", POLICY_STORE, 0},
        {"twice, the first bad", TAG DATE "Expires: 0\nExpires: " IN_100_S, POLICY_STORE, 0},
    };
    check_rows(rows, weir_count(rows));
}

static void test_route_ttl(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"200", "", POLICY_STORE, 30, CACHE_HEURISTIC, .route = &with_ttl},
        {"with Vary", "Vary: Accept", POLICY_STORE, 30, CACHE_HEURISTIC, .route = &with_ttl},
        {"404", "", POLICY_STORE, 7, CACHE_HEURISTIC, .status = 404, .route = &with_ttl},
        {"404 with its own freshness", CC "max-age=60", POLICY_STORE, 60, .status = 404,
         .route = &with_ttl},
        {"500", "", POLICY_STATUS, .status = 500, .route = &with_ttl},
        {"302", "", POLICY_STATUS, .status = 302, .route = &with_ttl},
        {"302, public §4.2.2", CC "public", POLICY_STORE, 30,
         CACHE_HEURISTIC | CACHE_FOR_AUTHORIZED, .status = 302, .route = &with_ttl},
        {"399, public", CC "public", POLICY_STORE, 30, CACHE_HEURISTIC | CACHE_FOR_AUTHORIZED,
         .status = 399, .route = &with_ttl},
        {"400, public", CC "public", POLICY_STORE, 7, CACHE_HEURISTIC | CACHE_FOR_AUTHORIZED,
         .status = 400, .route = &with_ttl},
        {"malformed public", CC "public=;", POLICY_STATUS, .status = 302, .route = &with_ttl},
        {"no-cache: validated, no ttl", TAG CC "no-cache", POLICY_STORE, 0, CACHE_NO_CACHE,
         .route = &with_ttl},
        {"must-revalidate", CC "must-revalidate", POLICY_STORE, 30,
         CACHE_HEURISTIC | CACHE_MUST_REVALIDATE | CACHE_FOR_AUTHORIZED, .route = &with_ttl},
        {"counted from the arrival", "Age: 1000", POLICY_STORE, 1030, CACHE_HEURISTIC,
         .route = &with_ttl},
        {"counted from the arrival, by Date", "Date: " BEFORE_100_S, POLICY_STORE, 130,
         CACHE_HEURISTIC, .route = &with_ttl},
        {"as old as can be: stale", "Age: 2147483648", POLICY_NO_FRESHNESS, .route = &with_ttl},
    };
    check_rows(rows, weir_count(rows));
}

static void test_guess_4_2_2(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"a tenth", DATE BEFORE_1000_S, POLICY_STORE, 100, CACHE_HEURISTIC},
        {"a tenth, rounded down", DATE "Last-Modified: Sun, 06 Nov 1994 08:49:18 GMT", POLICY_STORE,
         1, CACHE_HEURISTIC},
        {"of less than 10 s", DATE "Last-Modified: Sun, 06 Nov 1994 08:49:28 GMT",
         POLICY_NO_FRESHNESS},
        {"ten days: a day", DATE "Last-Modified: Thu, 27 Oct 1994 08:49:37 GMT", POLICY_STORE,
         86400, CACHE_HEURISTIC},
        {"ten days less 10 s", DATE "Last-Modified: Thu, 27 Oct 1994 08:49:47 GMT", POLICY_STORE,
         86399, CACHE_HEURISTIC},
        {"years: a day", DATE "Last-Modified: Thu, 01 Jan 1970 00:00:00 GMT", POLICY_STORE, 86400,
         CACHE_HEURISTIC},
        {"from the arrival without Date", BEFORE_1000_S, POLICY_STORE, 100, CACHE_HEURISTIC},
        {"modified ahead of Date", DATE "Last-Modified: " IN_100_S, POLICY_NO_FRESHNESS},
        {"modified at Date", DATE "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT",
         POLICY_NO_FRESHNESS},
        {"twice, equal", DATE BEFORE_1000_S "\n" BEFORE_1000_S, POLICY_STORE, 100, CACHE_HEURISTIC},
        {"twice, in conflict", DATE BEFORE_1000_S "\nLast-Modified: " BEFORE_100_S,
         POLICY_NO_FRESHNESS},
        {"three times, in conflict",
         DATE BEFORE_1000_S "\nLast-Modified: " BEFORE_100_S "\nLast-Modified: " BEFORE_100_S,
         POLICY_NO_FRESHNESS},
        {"twice, the first bad", DATE "Last-Modified: x\n" BEFORE_1000_S, POLICY_NO_FRESHNESS},
        {"twice, the second bad", DATE BEFORE_1000_S "\nLast-Modified: x", POLICY_NO_FRESHNESS},
        {"from the older of two Dates", DATE "Date: " BEFORE_100_S "\n" BEFORE_1000_S, POLICY_STORE,
         90, CACHE_HEURISTIC},
        {"rfc850", DATE "Last-Modified: Sunday, 06-Nov-94 08:32:57 GMT", POLICY_STORE, 100,
         CACHE_HEURISTIC},
        {"asctime", DATE "Last-Modified: Sun Nov  6 08:32:57 1994", POLICY_STORE, 100,
         CACHE_HEURISTIC},
        {"no date", DATE "Last-Modified: yesterday", POLICY_NO_FRESHNESS},
        {"must-revalidate", DATE CC "must-revalidate\n" BEFORE_1000_S, POLICY_STORE, 100,
         CACHE_HEURISTIC | SHARED},
    };
    check_rows(rows, weir_count(rows));
}

static void test_revalidation_flags_5_2_2(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"must-revalidate §5.2.2.2", CC "max-age=60, must-revalidate", POLICY_STORE, 60, SHARED},
        {"proxy-revalidate §5.2.2.8", CC "max-age=60, proxy-revalidate", POLICY_STORE, 60,
         NEVER_STALE},
        {"s-maxage §5.2.2.10", CC "s-maxage=60", POLICY_STORE, 60, SHARED},
        {"malformed must-revalidate holds", CC "max-age=60, must-revalidate;x", POLICY_STORE, 60,
         SHARED},
        {"no-cache §5.2.2.4", TAG CC "no-cache", POLICY_STORE, 0, CACHE_NO_CACHE},
        {"no-cache, max-age", TAG CC "no-cache, max-age=60", POLICY_STORE, 60, CACHE_NO_CACHE},
        {"no-cache, Last-Modified", DATE BEFORE_1000_S "\n" CC "no-cache", POLICY_STORE, 0,
         CACHE_NO_CACHE},
        {"no-cache=fields: as without", TAG CC "no-cache=\"Set-Cookie\", max-age=60", POLICY_STORE,
         60, CACHE_NO_CACHE},
        {"no-cache without validator", CC "no-cache, max-age=60", POLICY_NO_FRESHNESS},
        {"no-cache, bad Last-Modified", CC "no-cache\nLast-Modified: x", POLICY_NO_FRESHNESS},
        {"no-cache, empty ETag", CC "no-cache\nETag:", POLICY_NO_FRESHNESS},
        {"no-cache of a 500", TAG CC "no-cache", POLICY_STATUS, .status = 500},
        {"max-age=0", TAG CC "max-age=0", POLICY_STORE, 0},
        {"max-age=0 without validator", CC "max-age=0", POLICY_NO_FRESHNESS},
        {"stale on arrival", TAG "Age: 60\n" CC "max-age=60", POLICY_STORE, 60},
        {"stale on arrival without validator", "Age: 60\n" CC "max-age=60", POLICY_NO_FRESHNESS},
        {"nearly stale on arrival", "Age: 59\n" CC "max-age=60", POLICY_STORE, 60},
    };
    check_rows(rows, weir_count(rows));
}

static void test_flags_of_fields(void **state)
{
    (void)state;
    static const struct {
        const char *name, *head;
        unsigned flags;
    } rows[] = {
        {"none", CC "max-age=60", 0},
        {"ETag", CC "max-age=60\n" TAG, CACHE_HAS_VALIDATOR},
        {"shortest ETag", CC "max-age=60\nETag: v", CACHE_HAS_VALIDATOR},
        {"weak ETag", CC "max-age=60\nETag: W/\"v\"", CACHE_HAS_VALIDATOR},
        {"empty ETag", CC "max-age=60\nETag:", 0},
        {"Last-Modified", CC "max-age=60\n" BEFORE_1000_S, CACHE_HAS_VALIDATOR},
        {"bad Last-Modified", CC "max-age=60\nLast-Modified: never", 0},
        {"two Last-Modified", CC "max-age=60\n" BEFORE_1000_S "\nLast-Modified: " BEFORE_100_S, 0},
        {"Vary", CC "max-age=60\nVary: Accept", CACHE_HAS_VARY},
        {"empty Vary", CC "max-age=60\nVary: , ,", 0},
        {"Age", CC "max-age=60\nAge: 5", CACHE_HAD_AGE},
        {"malformed Age", CC "max-age=60\nAge: x", CACHE_HAD_AGE},
    };
    for (size_t i = 0; i < weir_count(rows); i++) {
        struct row row = {.head = rows[i].head};
        struct cache_meta meta;
        expect_row(rows[i].name, judge(&row, &meta), POLICY_STORE);
        expect_row(rows[i].name, meta.flags, rows[i].flags);
    }
    no_row_failed();
}

/* ---- age (§4.2.3, §5.1) ---- */

static void test_initial_age_4_2_3(void **state)
{
    (void)state;
    static const struct {
        const char *name, *head;
        int64_t delay_ms, age_ms;
    } rows[] = {
        {"none", DATE, 0, 0},
        {"response_delay", DATE, 250, 250},
        {"the shortest response_delay", DATE, 1, 1},
        {"a clock that ran backwards", DATE, -250, 0},
        {"Age", DATE "Age: 7", 0, 7000},
        {"Age and response_delay", DATE "Age: 7", 250, 7250},
        {"apparent_age", "Date: " BEFORE_100_S, 0, 100000},
        {"apparent_age over Age", "Date: " BEFORE_100_S "\nAge: 7", 0, 100000},
        {"Age over apparent_age", "Date: " BEFORE_100_S "\nAge: 107", 0, 107000},
        {"response_delay is no part of apparent_age", "Date: " BEFORE_100_S, 250, 100000},
        {"Date one second ago: two clocks", "Date: Sun, 06 Nov 1994 08:49:36 GMT", 3, 3},
        {"Date two seconds ago", "Date: Sun, 06 Nov 1994 08:49:35 GMT", 3, 2000},
        {"Date ahead", "Date: " IN_100_S, 3, 3},
        {"no Date", "Age: 7", 3, 7003},
        {"bad Date", "Date: x\nAge: 7", 0, 7000},
        {"Date twice: the older", "Date: " BEFORE_100_S "\n" DATE, 0, 100000},
        {"Date twice, the older last", DATE "Date: " BEFORE_100_S, 0, 100000},
        {"Date twice, one bad", "Date: x\nDate: " BEFORE_100_S "\nDate: y", 0, 100000},
        {"rfc850 Date", "Date: Sunday, 06-Nov-94 08:47:57 GMT", 0, 100000},
        {"Date of 1970", "Date: Thu, 01 Jan 1970 00:00:00 GMT", 0, (int64_t)WALL_S * 1000},
        {"Age §5.1: of a list the first", DATE "Age: 7, 90", 0, 7000},
        {"Age §5.1: of lines the first", DATE "Age: 7\nAge: 90", 0, 7000},
        {"Age malformed", DATE "Age: x", 0, 0},
        {"Age negative", DATE "Age: -7", 0, 0},
        {"Age a fraction", DATE "Age: 7.5", 0, 0},
        {"Age quoted", DATE "Age: \"7\"", 0, 0},
        {"Age empty", DATE "Age:", 0, 0},
        {"Age malformed, then another", DATE "Age: x, 7", 0, 0},
        {"Age at most 2^31", DATE "Age: 99999999999999999999", 0, MOST * 1000},
    };
    for (size_t i = 0; i < weir_count(rows); i++) {
        struct head head = head_of(rows[i].head);
        struct policy_exchange exchange = {
            .method = METHOD_GET,
            .request = &plain,
            .route = &no_ttl,
            .status = 200,
            .fields = fields_of(&head),
            .wall_now_s = WALL_S,
            .now_ms = NOW_MS,
            .requested_ms = NOW_MS - rows[i].delay_ms,
        };
        struct cache_meta meta;
        policy_judge(&exchange, &meta);
        expect_row(rows[i].name, NOW_MS - meta.born_ms, rows[i].age_ms);
    }
    no_row_failed();
}

/* ---- what a stale one is good for (RFC 5861), and how long it is kept ---- */

static const struct conf_route_cache with_windows = {
    .enabled = true, .stale_while_revalidate_s = 20, .stale_if_error_s = 30, .keep_s = 61};
static const struct conf_route_cache kept_long = {.enabled = true, .keep_s = 65535 * 60 + 1};

static void test_stale_windows_rfc5861(void **state)
{
    (void)state;
    static const struct {
        const char *name, *head;
        int64_t while_revalidate_s, if_error_s;
        const struct conf_route_cache *route;
    } rows[] = {
        {"none", CC "max-age=60"},
        {"both", CC "max-age=60, stale-while-revalidate=5, stale-if-error=7", 5, 7},
        {"any case", CC "max-age=60, Stale-While-Revalidate=5, STALE-IF-ERROR=7", 5, 7},
        {"quoted", CC "max-age=60, stale-while-revalidate=\"5\"", 5, 0},
        {"twice the same", CC "max-age=60, stale-if-error=5, stale-if-error=5", 0, 5},
        {"twice another", CC "max-age=60, stale-if-error=5, stale-if-error=6", 20, 0,
         &with_windows},
        {"malformed", CC "max-age=60, stale-while-revalidate=x, stale-if-error=-1", 0, 0,
         &with_windows},
        {"without a value", CC "max-age=60, stale-while-revalidate, stale-if-error", 0, 0,
         &with_windows},
        {"longest", CC "max-age=60, stale-while-revalidate=16777215, stale-if-error=16777215",
         CACHE_STALE_MOST_S, CACHE_STALE_MOST_S},
        {"longer", CC "max-age=60, stale-while-revalidate=16777216, stale-if-error=99999999999",
         CACHE_STALE_MOST_S, CACHE_STALE_MOST_S},
        {"the route's", CC "max-age=60", 20, 30, &with_windows},
        {"0 is an answer", CC "max-age=60, stale-while-revalidate=0, stale-if-error=0", 0, 0,
         &with_windows},
        {"the origin's of one", CC "max-age=60, stale-if-error=1", 20, 1, &with_windows},
        {"must-revalidate §5.2.2.2",
         CC "max-age=60, must-revalidate, stale-while-revalidate=5, stale-if-error=7", 0, 0,
         &with_windows},
        {"proxy-revalidate §5.2.2.8",
         CC "max-age=60, proxy-revalidate, stale-while-revalidate=5, stale-if-error=7", 0, 0,
         &with_windows},
        {"s-maxage §5.2.2.10", CC "s-maxage=60, stale-while-revalidate=5, stale-if-error=7", 0, 0,
         &with_windows},
        {"malformed s-maxage", TAG CC "s-maxage=x, max-age=60, stale-if-error=7", 0, 0,
         &with_windows},
        {"no-cache §5.2.2.4", TAG CC "max-age=60, no-cache, stale-while-revalidate=5", 0, 0,
         &with_windows},
    };
    for (size_t i = 0; i < weir_count(rows); i++) {
        struct row row = {.head = rows[i].head, .route = rows[i].route};
        struct cache_meta meta;
        expect_row(rows[i].name, judge(&row, &meta), POLICY_STORE);
        expect_row(rows[i].name, meta.stale_while_revalidate_s, rows[i].while_revalidate_s);
        expect_row(rows[i].name, meta.stale_if_error_s, rows[i].if_error_s);
    }
    no_row_failed();
}

/* What can be neither delivered nor asked about is not stored. */
static void test_stale_on_arrival_with_a_window(void **state)
{
    (void)state;
    static const struct {
        const char *name, *head;
        enum policy_reason wanted;
    } rows[] = {
        {"none", CC "max-age=0", POLICY_NO_FRESHNESS},
        {"a window", CC "max-age=0, stale-while-revalidate=1", POLICY_STORE},
        {"the other", CC "max-age=0, stale-if-error=1", POLICY_STORE},
        {"open", DATE "Age: 64\n" CC "max-age=60, stale-if-error=5", POLICY_STORE},
        {"closed", DATE "Age: 65\n" CC "max-age=60, stale-if-error=5", POLICY_NO_FRESHNESS},
        {"forbidden", CC "max-age=0, must-revalidate, stale-if-error=1", POLICY_NO_FRESHNESS},
        {"no-cache", CC "max-age=60, no-cache, stale-if-error=1", POLICY_NO_FRESHNESS},
        {"a cookie of one client", "Set-Cookie: a\n" CC "max-age=0, stale-if-error=1",
         POLICY_SET_COOKIE},
    };
    for (size_t i = 0; i < weir_count(rows); i++) {
        struct row row = {.head = rows[i].head};
        struct cache_meta meta;
        expect_row(rows[i].name, judge(&row, &meta), rows[i].wanted);
    }
    no_row_failed();
}

static void test_keeping(void **state)
{
    (void)state;
    static const struct {
        const char *name, *head;
        const struct conf_route_cache *route;
        int64_t keep_min;
    } rows[] = {
        {"no validator", CC "max-age=60", &with_windows, 0},
        {"begun minutes count", TAG CC "max-age=60", &with_windows, 2},
        {"never", TAG CC "max-age=60", &no_ttl, 0},
        {"most", TAG CC "max-age=60", &kept_long, CACHE_KEEP_MOST_MIN},
        {"must-revalidate too", TAG CC "max-age=60, must-revalidate", &with_windows, 2},
        {"from now, when it came stale", TAG "Age: 119\n" CC "max-age=60", &with_windows, 2},
        {"from now, a second later", TAG "Age: 120\n" CC "max-age=60", &with_windows, 3},
    };
    for (size_t i = 0; i < weir_count(rows); i++) {
        struct row row = {.head = rows[i].head, .route = rows[i].route};
        struct cache_meta meta;
        expect_row(rows[i].name, judge(&row, &meta), POLICY_STORE);
        expect_row(rows[i].name, meta.keep_min, rows[i].keep_min);
    }
    no_row_failed();
}

/* Without a validator, what is stale on arrival is of no use; the last millisecond is. */
static void test_stale_on_arrival_to_the_millisecond(void **state)
{
    (void)state;
    struct head head = head_of(DATE "Age: 59\n" CC "max-age=60");
    for (int64_t delay_ms = 998; delay_ms <= 1001; delay_ms++) {
        struct policy_exchange exchange = {
            .method = METHOD_GET,
            .request = &plain,
            .route = &no_ttl,
            .status = 200,
            .fields = fields_of(&head),
            .wall_now_s = WALL_S,
            .now_ms = NOW_MS,
            .requested_ms = NOW_MS - delay_ms,
        };
        struct cache_meta meta;
        assert_int_equal(policy_judge(&exchange, &meta),
                         delay_ms < 1000 ? POLICY_STORE : POLICY_NO_FRESHNESS);
        assert_int_equal(policy_use_stored(&meta, &plain, NOW_MS),
                         delay_ms < 1000 ? POLICY_FRESH : POLICY_VALIDATE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_methods_3),
        cmocka_unit_test(test_statuses_3),
        cmocka_unit_test(test_heuristic_statuses_4_2_2),
        cmocka_unit_test(test_what_is_not_stored_3),
        cmocka_unit_test(test_must_understand_5_2_2_3),
        cmocka_unit_test(test_understood_statuses_5_2_2_3),
        cmocka_unit_test(test_authorization_3_5),
        cmocka_unit_test(test_set_cookie),
        cmocka_unit_test(test_lifetime_order_4_2_1),
        cmocka_unit_test(test_numbers_4_2_1_and_1_2_2),
        cmocka_unit_test(test_expires_5_3),
        cmocka_unit_test(test_route_ttl),
        cmocka_unit_test(test_guess_4_2_2),
        cmocka_unit_test(test_revalidation_flags_5_2_2),
        cmocka_unit_test(test_flags_of_fields),
        cmocka_unit_test(test_initial_age_4_2_3),
        cmocka_unit_test(test_stale_on_arrival_to_the_millisecond),
        cmocka_unit_test(test_stale_windows_rfc5861),
        cmocka_unit_test(test_stale_on_arrival_with_a_window),
        cmocka_unit_test(test_keeping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
