/*
 * What the tests of judging share: a response head written as text, and what is to be decided about it.
 */
#ifndef WEIR_JUDGE_FIXTURE_H
#define WEIR_JUDGE_FIXTURE_H

#include "policy_fixture.h"

#define MOST ((int64_t)1 << 31)

/* Sun, 06 Nov 1994 08:49:37 GMT; monotonic time is 1,000 s at that moment. */
#define WALL_S 784111777
#define NOW_MS 1000000
#define DATE "Date: Sun, 06 Nov 1994 08:49:37 GMT\n"
#define IN_100_S "Sun, 06 Nov 1994 08:51:17 GMT"
#define BEFORE_100_S "Sun, 06 Nov 1994 08:47:57 GMT"
#define BEFORE_1000_S "Last-Modified: Sun, 06 Nov 1994 08:32:57 GMT"
#define CC "Cache-Control: "
#define TAG "ETag: \"v\"\n"

static const struct policy_request plain = {.max_age_s = -1, .min_fresh_s = -1, .max_stale_s = -1};
static const struct policy_request authorized = {
    .max_age_s = -1, .min_fresh_s = -1, .max_stale_s = -1, .authorization = true};
static const struct policy_request no_store = {
    .max_age_s = -1, .min_fresh_s = -1, .max_stale_s = -1, .no_store = true};
/* The heuristic as a route has it by default. */
#define GUESSING .enabled = true, .heuristic_percent = 10, .heuristic_max_s = 86400
static const struct conf_route_cache no_ttl = {GUESSING};
static const struct conf_route_cache with_ttl = {GUESSING, .ttl_s = 30, .negative_ttl_s = 7};
static const struct conf_route_cache disabled = {.enabled = false, .ttl_s = 30};

struct row {
    const char *name, *head;
    enum policy_reason reason;
    int64_t lifetime_s;
    unsigned flags;     /* that must be set, and no others of those below */
    unsigned status;    /* 0: 200 */
    enum method method; /* 0: GET */
    const struct policy_request *request;
    const struct conf_route_cache *route;
    const struct cache_meta *stored; /* of a 304 */
};

static inline enum policy_reason judge(const struct row *row, struct cache_meta *meta)
{
    static const char *const behind[] = {"Cache-Control: no-store", "Weir-Cache-Control: no-store",
                                         "Surrogate-Control: no-store"};
    struct head head = head_of(row->head), other = head_of(behind[head.count % weir_count(behind)]);
    assert_true(head.count < HEAD_FIELDS);
    head.list[head.count] = other.list[0]; /* is not to be looked at */
    struct policy_exchange exchange = {
        .method = row->method ? row->method : METHOD_GET,
        .request = row->request ? row->request : &plain,
        .route = row->route ? row->route : &no_ttl,
        .status = row->status ? row->status : 200,
        .fields = fields_of(&head),
        .wall_now_s = WALL_S,
        .now_ms = NOW_MS,
        .requested_ms = NOW_MS,
        .stored = row->stored,
    };
    memset(meta, 0x55, sizeof(*meta));
    return policy_judge(&exchange, meta);
}

/* These are looked at in rows; what a validator, a Vary or an Age sets, in tests of their own. */
#define DECIDING (CACHE_NO_CACHE | CACHE_MUST_REVALIDATE | CACHE_FOR_AUTHORIZED | CACHE_HEURISTIC)

static inline void check_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct row *row = &rows[i];
        struct cache_meta meta;
        enum policy_reason reason = judge(row, &meta);
        if (reason != row->reason) {
            print_error("%s: %s, not %s\n", row->name, policy_reason_text(reason),
                        policy_reason_text(row->reason));
            failed_rows++;
        }
        expect_row(row->name, meta.lifetime_s, row->lifetime_s);
        expect_row(row->name, meta.status, row->status ? row->status : 200);
        if (reason == POLICY_STORE)
            expect_row(row->name, meta.flags & DECIDING, row->flags);
    }
    no_row_failed();
}

#endif
