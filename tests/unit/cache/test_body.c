/* cache/body.c: bodies in chunks. */
#include "tests/unit/cache/cache_fixture.h"

#include "cache/body.h"
#include "cache/budget.h"
#include "cache/object.h"

static void add(struct cache *cache, struct cache_body *body, uint64_t start, size_t size)
{
    if (!cache_body_has_place(body)) {
        uint32_t capacity = body->capacity + 2;
        struct cache_body_chunk *places = cache_budget_alloc(cache, capacity * sizeof(places[0]));
        cache_budget_free(cache, cache_body_set_places(body, places, capacity));
    }
    char *bytes = cache_budget_alloc(cache, size);
    for (size_t i = 0; i < size; i++)
        bytes[i] = byte_at(1, start + i);
    cache_body_add(body, bytes, start, size);
}

static void check(const struct cache_body *body, uint64_t from, uint64_t end)
{
    for (uint64_t offset = from; offset < end; offset++) {
        struct iovec pieces[16];
        unsigned count = cache_body_pieces(body, offset, end, pieces, 16);
        check_pieces(pieces, count, 1, offset);
        uint64_t sum = 0;
        for (unsigned i = 0; i < count; i++)
            sum += pieces[i].iov_len;
        assert_int_equal(sum, end - offset);
    }
    struct iovec piece;
    assert_int_equal(cache_body_pieces(body, end, end, &piece, 1), 0);
}

static void test_every_offset_is_found(void **state)
{
    (void)state;
    struct cache *cache = cache_new(4 * MIB, MIB, 1, 0);
    uint64_t before = stats_of(cache).bytes;
    struct cache_body *body = cache_body_new(cache);
    static const size_t sizes[] = {3, 1, 7, 64, 2, 5, 1};
    uint64_t end = 0;
    for (unsigned i = 0; i < weir_count(sizes); i++) {
        add(cache, body, end, sizes[i]);
        end += sizes[i];
        check(body, 0, end);
        check(body, 0, end - (sizes[i] - 1));
    }
    cache_body_seal(body, end);
    assert_int_equal(body->weight, stats_of(cache).bytes - before);
    struct cache_body *second = cache_body_ref(body);
    cache_body_release(&body);
    check(second, 0, end);
    cache_body_release(&second);
    assert_int_equal(stats_of(cache).bytes, before);
    cache_free(&cache);
}

/* A thousand chunks go through a table that stays small. */
static void test_forgotten_places_are_used_again(void **state)
{
    (void)state;
    struct cache *cache = cache_new(4 * MIB, MIB, 1, 0);
    uint64_t before = stats_of(cache).bytes;
    struct cache_body *body = cache_body_new(cache);
    for (uint64_t i = 0; i < 1000; i++) {
        add(cache, body, i * 10, 10);
        struct cache_body_chunk chunks[2];
        unsigned count = cache_body_forget(body, i * 10 > 25 ? i * 10 - 25 : 0, chunks, 2);
        assert_true(count <= 1);
        if (count > 0)
            cache_budget_free(cache, chunks[0].bytes);
        check(body, i * 10 > 25 ? i * 10 - 25 : 0, i * 10 + 10);
    }
    assert_true(body->capacity <= 10);
    cache_body_release(&body);
    assert_int_equal(stats_of(cache).bytes, before);
    cache_free(&cache);
}

static void test_chunk_sizes(void **state)
{
    (void)state;
    assert_int_equal(cache_body_next_chunk(40000, 0, 30000), 30000);
    assert_int_equal(cache_body_next_chunk(40000, 30000, 30000), 10000);
    assert_int_equal(cache_body_next_chunk(20 * KIB, 0, CACHE_CHUNK_MOST), 20 * KIB);
    assert_int_equal(cache_body_next_chunk(1 << 20, 0, CACHE_CHUNK_MOST), 256 * KIB);
    assert_int_equal(cache_body_next_chunk(-1, 0, CACHE_CHUNK_MOST), 4 * KIB);
    uint64_t filled = 0;
    while (filled < 16 * MIB) {
        size_t size = cache_body_next_chunk(-1, filled, CACHE_CHUNK_MOST);
        assert_in_range(size, CACHE_CHUNK_FIRST, CACHE_CHUNK_MOST);
        assert_true(size <= CACHE_CHUNK_FIRST || size <= filled / 20);
        filled += size;
    }
}

/* Fills a body as a fill does, with its length known or not, and gives back what is kept of it. */
static struct cache_body *grow(struct cache *cache, int64_t announced, uint64_t length)
{
    struct cache_body *body = cache_body_new(cache);
    uint64_t filled = 0;
    while (filled < length) {
        size_t size = cache_body_next_chunk(announced, filled, CACHE_CHUNK_MOST);
        add(cache, body, filled, size);
        filled += size;
    }
    cache_body_seal(body, length);
    struct cache_body *kept = cache_body_fit(body);
    cache_body_release(&body);
    struct iovec piece;
    for (uint64_t offset = 0; offset < length; offset += piece.iov_len) {
        assert_int_equal(cache_body_pieces(kept, offset, length, &piece, 1), 1);
        check_pieces(&piece, 1, 1, offset);
    }
    return kept;
}

static void test_little_is_wasted(void **state)
{
    (void)state;
    struct cache *cache = cache_new(64 * MIB, 16 * MIB, 1, 0);
    for (uint64_t length = CACHE_INLINE_MOST + 1; length < 3 * MIB; length += 777 + length / 16) {
        for (unsigned known = 0; known < 2; known++) {
            struct cache_body *body = grow(cache, known ? (int64_t)length : -1, length);
            if ((body->weight - length) * 100 > length * 6)
                fail_msg("a body of %llu bytes takes %llu", (unsigned long long)length,
                         (unsigned long long)body->weight);
            cache_body_release(&body);
        }
    }
    cache_free(&cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_offset_is_found),
        cmocka_unit_test(test_forgotten_places_are_used_again),
        cmocka_unit_test(test_chunk_sizes),
        cmocka_unit_test(test_little_is_wasted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
