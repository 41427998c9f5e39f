/*
 * cache/policy*.c and cache/vary.c: fields put together at random, and what has to hold of any.
 * Each value lies in memory of its own size, so that AddressSanitizer sees a byte read too many.
 * Arguments: rounds and seed, for longer runs by hand.
 */
#include "policy_fixture.h"

#define WALL_S 784111777
#define NOW_MS 1000000
#define FIELDS_MOST 8

static unsigned long rounds = 40000;
static uint64_t seed = 1;

static uint64_t next_random(uint64_t *at)
{
    *at ^= *at << 13;
    *at ^= *at >> 7;
    *at ^= *at << 17;
    return *at * 0x2545f4914f6cdd1du >> 16;
}

static const char *const names[] = {
    "Cache-Control", "cache-control",    "Cache-Control", "Age",
    "Date",          "Expires",          "ETag",          "Last-Modified",
    "Vary",          "Pragma",           "If-None-Match", "If-Modified-Since",
    "Connection",    "Set-Cookie",       "X-Own",         "x-own",
    "Accept",        "Content-Encoding", "Content-Type",  "Authorization",
};

static const char *const pieces[] = {
    "no-store",
    "no-cache",
    "private",
    "public",
    "max-age",
    "s-maxage",
    "must-revalidate",
    "proxy-revalidate",
    "must-understand",
    "max-stale",
    "min-fresh",
    "only-if-cached",
    "stale-while-revalidate",
    "stale-if-error",
    "=",
    "=",
    "=",
    ",",
    ", ",
    ",",
    " ",
    "\t",
    "\"",
    "\"",
    "\\",
    "0",
    "1",
    "60",
    "2147483647",
    "2147483648",
    "99999999999999999999",
    "-",
    "*",
    "W/",
    "\"v\"",
    "W/\"v\"",
    "v",
    "X-Own",
    "x-own",
    "Accept",
    "close",
    "keep-alive",
    "Sun, 06 Nov 1994 08:49:37 GMT",
    "Sunday, 06-Nov-94 08:49:37 GMT",
    "Sun Nov  6 08:49:37 1994",
    "Thu, 01 Jan 1970 00:00:00 GMT",
    "Fri, 31 Dec 9999 23:59:59 GMT",
    ";",
    "'",
    "\x80",
    "\xff",
    "gzip",
    "br",
    "x",
};

/* One value of up to eight pieces, trimmed as a parser would. */
static struct str make_value(uint64_t *at)
{
    char text[512];
    struct appender out = appender_on(text, sizeof(text));
    for (uint64_t count = next_random(at) % 9; count > 0; count--)
        append_str(&out, str_from(pieces[next_random(at) % weir_count(pieces)]));
    struct str value = str_trim(str_of(text, out.len));
    char *copy = malloc(value.len > 0 ? value.len : 1);
    memcpy(copy, value.ptr, value.len);
    return str_of(copy, value.len);
}

/* The list too lies in memory of its own size. */
static struct fields make_fields(uint64_t *at)
{
    unsigned count = (unsigned)(next_random(at) % (FIELDS_MOST + 1));
    struct field *list = malloc(count > 0 ? count * sizeof(*list) : 1);
    for (unsigned i = 0; i < count; i++) {
        const char *name = names[next_random(at) % weir_count(names)];
        struct str value = make_value(at);
        list[i] = (struct field){
            .name = name,
            .value = value.ptr,
            .value_len = (uint32_t)value.len,
            .name_len = (uint16_t)strlen(name),
            .id = (uint16_t)field_identify(name, strlen(name)),
        };
    }
    return (struct fields){list, count};
}

static void free_fields(struct fields fields)
{
    for (unsigned i = 0; i < fields.count; i++)
        free((char *)fields.list[i].value);
    free((struct field *)fields.list);
}

static struct head with_line(struct fields fields, const char *control)
{
    struct head more = {.count = fields.count + 1}, line = head_of(control);
    memcpy(more.list, fields.list, fields.count * sizeof(*fields.list));
    more.list[fields.count] = line.list[0];
    return more;
}

static enum policy_reason judge(struct fields response, const struct policy_request *request,
                                struct cache_meta *meta)
{
    static const struct conf_route_cache route = {.enabled = true, .ttl_s = 30};
    struct policy_exchange exchange = {
        .method = METHOD_GET,
        .request = request,
        .route = &route,
        .status = 200,
        .fields = response,
        .wall_now_s = WALL_S,
        .now_ms = NOW_MS,
        .requested_ms = NOW_MS - 5,
    };
    return policy_judge(&exchange, meta);
}

static void check_judging(struct fields request, struct fields response)
{
    struct policy_request asked, stricter;
    struct cache_meta meta, other;
    policy_read_request(request, &asked);
    assert_true(asked.max_age_s >= -1 && asked.min_fresh_s >= -1 && asked.max_stale_s >= -1);
    enum policy_reason reason = judge(response, &asked, &meta);
    assert_true(meta.lifetime_s <= (uint32_t)1 << 31 && meta.born_ms <= NOW_MS - 5);
    assert_true(reason == POLICY_STORE || meta.lifetime_s == 0);
    assert_true(!(meta.flags & CACHE_NO_CACHE) || reason != POLICY_STORE ||
                (meta.flags & CACHE_HAS_VALIDATOR));
    bool fresh = policy_use_stored(&meta, &asked, NOW_MS) == POLICY_FRESH;
    assert_true(!policy_may_share(&meta, &asked, NOW_MS) ||
                policy_use_delivers(policy_use_stored(&meta, &asked, NOW_MS)));
    /* What was fresh later was fresh before. */
    if (policy_use_stored(&meta, &asked, NOW_MS + 20000) == POLICY_FRESH)
        assert_true(fresh);

    /* A restriction more never gives more. */
    struct head restricted = with_line(response, "Cache-Control: private");
    assert_int_not_equal(judge(fields_of(&restricted), &asked, &other), POLICY_STORE);
    restricted = with_line(response, "Cache-Control: no-cache");
    judge(fields_of(&restricted), &asked, &other);
    assert_false(policy_use_delivers(policy_use_stored(&other, &asked, NOW_MS)));
    assert_false(policy_use_on_error(&other, &asked, NOW_MS));
    restricted = with_line(response, "Cache-Control: must-revalidate");
    judge(fields_of(&restricted), &asked, &other);
    enum policy_use use = policy_use_stored(&other, &asked, NOW_MS);
    assert_true(use == POLICY_FRESH || !policy_use_delivers(use));
    restricted = with_line(request, "Cache-Control: no-store, no-cache");
    policy_read_request(fields_of(&restricted), &stricter);
    assert_int_not_equal(judge(response, &stricter, &other), POLICY_STORE);
    assert_false(policy_use_delivers(policy_use_stored(&meta, &stricter, NOW_MS)));
    assert_false(policy_use_on_error(&meta, &stricter, NOW_MS));
}

static void check_vary(struct fields request, struct fields response, struct fields another)
{
    char bytes[8192], others[8192];
    struct appender vary = appender_on(bytes, sizeof(bytes));
    struct appender other = appender_on(others, sizeof(others));
    if (!cache_vary_build(response, request, &vary))
        return;
    assert_true(cache_vary_matches(str_of(vary.ptr, vary.len), request));
    assert_true(cache_vary_build(response, another, &other));
    /* The same bytes are the same variant. */
    if (str_equal(str_of(vary.ptr, vary.len), str_of(other.ptr, other.len)))
        assert_true(cache_vary_matches(str_of(vary.ptr, vary.len), another));
}

static struct str block_of(struct fields head, struct appender *out)
{
    for (unsigned i = 0; i < head.count; i++) {
        if (!policy_field_is_kept(head, &head.list[i]))
            continue;
        append_str(out, field_name(&head.list[i]));
        append_lit(out, ": ");
        append_str(out, field_value(&head.list[i]));
        append_lit(out, "\r\n");
    }
    assert_false(out->overflow);
    return str_of(out->ptr, out->len);
}

static void check_blocks(struct fields request, struct fields response, struct fields another)
{
    char bytes[8192], updates[16384], again[16384];
    struct appender block = appender_on(bytes, sizeof(bytes));
    struct appender updated = appender_on(updates, sizeof(updates));
    struct appender twice = appender_on(again, sizeof(again));
    struct str stored = block_of(response, &block);
    policy_not_modified(request, METHOD_GET, 200, stored, WALL_S);
    if (!policy_freshen_block(stored, another, &updated))
        return;
    assert_true(policy_freshen_block(str_of(updated.ptr, updated.len), another, &twice));
    assert_true(str_equal(str_of(updated.ptr, updated.len), str_of(twice.ptr, twice.len)));
}

static void test_random_fields(void **state)
{
    (void)state;
    uint64_t at = seed * 0x9e3779b97f4a7c15u + 1;
    print_message("seed %llu, %lu rounds\n", (unsigned long long)seed, rounds);
    for (unsigned long i = 0; i < rounds; i++) {
        struct fields request = make_fields(&at), response = make_fields(&at);
        struct fields another = make_fields(&at);
        check_judging(request, response);
        check_vary(request, response, another);
        check_blocks(request, response, another);
        free_fields(request);
        free_fields(response);
        free_fields(another);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_fields)};
    if (argc > 1)
        rounds = strtoul(argv[1], NULL, 10);
    if (argc > 2)
        seed = strtoull(argv[2], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
