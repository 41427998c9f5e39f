/* cache/policy_method.c: which methods' responses are stored (RFC 9111 §3, RFC 9110 §9.3.3). */
#include "tests/unit/cache/policy_fixture.h"

#define WALL_S 1700000000

struct post_row {
    const char *name, *head;
    unsigned status;
    bool elsewhere; /* Content-Location is not the target */
    bool stored;
    uint32_t lifetime_s;
    enum method method; /* METHOD_OTHER stands for POST */
    uint32_t ttl_s;     /* of the route */
};

static void test_post(void **state)
{
    (void)state;
    static const struct post_row rows[] = {
        {"max-age", "Cache-Control: max-age=60", 200, false, true, 60},
        {"s-maxage", "Cache-Control: s-maxage=5", 200, false, true, 5},
        {"Expires", "Date: Tue, 14 Nov 2023 22:13:20 GMT\nExpires: Tue, 14 Nov 2023 22:14:20 GMT",
         200, false, true, 60},
        {"another URL", "Cache-Control: max-age=60", 200, true},
        {"no freshness", "X: y", 200, false},
        {"Last-Modified is a guess", "Last-Modified: Tue, 14 Nov 2022 22:13:20 GMT", 200, false},
        {"the route's ttl is not the origin's word", "X: y", 200, false, .ttl_s = 60},
        {"lifetime 0, with a validator", "Cache-Control: max-age=0\nETag: \"v\"", 200, false},
        {"no-cache, with a validator", "Cache-Control: max-age=60, no-cache\nETag: \"v\"", 200,
         false},
        {"no-store", "Cache-Control: max-age=60, no-store", 200, false},
        {"private", "Cache-Control: max-age=60, private", 200, false},
        {"201", "Cache-Control: max-age=60", 201, false},
        {"204", "Cache-Control: max-age=60", 204, false},
        {"206", "Cache-Control: max-age=60", 206, false},
        {"404", "Cache-Control: max-age=60", 404, false},
        {"stale on arrival", "Cache-Control: max-age=60\nAge: 60", 200, false},
        {"PUT", "Cache-Control: max-age=60", 200, false, .method = METHOD_PUT},
        {"DELETE", "Cache-Control: max-age=60", 200, false, .method = METHOD_DELETE},
        {"PATCH", "Cache-Control: max-age=60", 200, false, .method = METHOD_PATCH},
        {"HEAD", "Cache-Control: max-age=60", 200, false, .method = METHOD_HEAD},
        {"QUERY needs no Content-Location", "Cache-Control: max-age=60", 200, true, true, 60,
         METHOD_QUERY},
        {"QUERY, by a guess", "Last-Modified: Tue, 14 Nov 2023 22:11:40 GMT", 200, true, true, 10,
         METHOD_QUERY},
        {"QUERY, 404", "Cache-Control: max-age=60", 404, true, true, 60, METHOD_QUERY},
    };
    struct policy_request request = {.max_age_s = -1, .min_fresh_s = -1, .max_stale_s = -1};
    for (size_t i = 0; i < weir_count(rows); i++) {
        const struct post_row *row = &rows[i];
        struct head head = head_of(row->head);
        struct conf_route_cache route = {.enabled = true,
                                         .ttl_s = row->ttl_s,
                                         .heuristic_percent = 10,
                                         .heuristic_max_s = 86400};
        struct policy_exchange exchange = {
            .method = row->method ? row->method : METHOD_POST,
            .describes_target = !row->elsewhere,
            .request = &request,
            .route = &route,
            .status = row->status,
            .fields = fields_of(&head),
            .wall_now_s = WALL_S,
            .now_ms = 1000000,
            .requested_ms = 1000000,
        };
        struct cache_meta meta;
        enum policy_reason reason = policy_judge(&exchange, &meta);
        expect_row(row->name, reason == POLICY_STORE, row->stored);
        expect_row(row->name, meta.lifetime_s, row->lifetime_s);
    }
    no_row_failed();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_post),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
