/* cache/object.c: complete responses. */
#include "tests/unit/cache/cache_fixture.h"

#include "cache/object.h"

static void test_private_answer(void **state)
{
    (void)state;
    struct cache_object *object =
        cache_object_private(503, STR("Retry-After: 1\r\n"), STR("no memory\n"));
    assert_int_equal(cache_object_meta(object).status, 503);
    assert_true(str_equal(cache_object_block(object), STR("Retry-After: 1\r\n")));
    struct iovec piece;
    assert_int_equal(cache_object_pieces(object, 3, &piece, 1), 1);
    assert_true(str_equal(str_of(piece.iov_base, piece.iov_len), STR("memory\n")));
    assert_int_equal(cache_object_pieces(object, 10, &piece, 1), 0);
    assert_int_equal(cache_object_pieces(object, 0, &piece, 0), 0);
    struct cache_object *second = cache_object_ref(object);
    cache_object_release(&object);
    assert_null(object);
    assert_int_equal(cache_object_length(second), 10);
    cache_object_release(&second);
    cache_object_release(&second);
}

static void test_private_answer_without_body(void **state)
{
    (void)state;
    struct cache_object *object = cache_object_private(304, STR(""), STR(""));
    struct iovec piece;
    assert_int_equal(cache_object_length(object), 0);
    assert_int_equal(cache_object_pieces(object, 0, &piece, 1), 0);
    cache_object_release(&object);
}

/* All four parts, next to each other, inside and with a body of chunks. */
static void test_parts_lie_in_one_allocation(void **state)
{
    (void)state;
    struct cache *cache = cache_new(4 * MIB, MIB, 1, 0);
    uint64_t before = stats_of(cache).bytes;
    struct cache_object_parts parts = {.key = key_of(cache, "http://a/x"),
                                       .meta = {.born_ms = 7, .lifetime_s = 8, .status = 200},
                                       .vary = STR("vary"),
                                       .block = STR("A: b\r\n"),
                                       .inline_len = 5};
    struct cache_object *object = cache_object_new(cache, &parts);
    cache_object_write_body(object, &(struct iovec){(char *)"12345", 5}, 1);
    assert_true(str_equal(cache_object_key(object), STR("http://a/x")));
    assert_true(str_equal(cache_object_vary(object), STR("vary")));
    assert_true(str_equal(cache_object_block(object), STR("A: b\r\n")));
    assert_int_equal(cache_object_meta(object).born_ms, 7);
    assert_int_equal(stats_of(cache).bytes - before, base_allocated_bytes(object));
    assert_int_equal(cache_object_weight(object), base_allocated_bytes(object));
    cache_object_release(&object);
    assert_int_equal(stats_of(cache).bytes, before);
    cache_free(&cache);
}

/* Sizes that the allocator has no class for lie in two pieces, and what a fill wrote is what is read,
   from every offset. */
static void test_sizes_between_the_classes(void **state)
{
    (void)state;
    struct cache *cache = cache_new(4 * MIB, MIB, 1, 0);
    bool has_classes = base_size_class(600) != 600;
    unsigned split = 0, kept = 0;
    for (uint64_t length = 0; length <= CACHE_INLINE_MOST; length += 1 + length / 40) {
        uint64_t empty = stats_of(cache).bytes;
        struct cache_find found;
        assert_true(store_answer(
            cache, (struct ask){.url = "http://a/x"},
            (struct answer){.lifetime_s = 60, .length = length % 2 ? -1 : (int64_t)length}, 0,
            length));
        assert_int_equal(ask(cache, (struct ask){.url = "http://a/x"}, &found), CACHE_HIT);
        check_object(found.object, 0, length);
        struct iovec pieces[2];
        for (uint64_t offset = 0; offset < length; offset += 1 + length / 16) {
            unsigned count = cache_object_pieces(found.object, offset, pieces, 2);
            check_pieces(pieces, count, 0, offset);
            assert_int_equal(pieces[0].iov_len + (count > 1 ? pieces[1].iov_len : 0),
                             length - offset);
        }
        uint64_t weight = stats_of(cache).bytes - empty, own = sizeof(struct cache_object) + 64;
        if (has_classes && length > 500)
            assert_true(weight <= length + own + 48 + length / 20);
        split += cache_object_pieces(found.object, 0, pieces, 2) == 2;
        kept++;
        struct cache_key key = key_of(cache, "http://a/x");
        struct cache_meta meta = cache_object_meta(found.object);
        struct cache_object *fresh =
            cache_freshen(cache, &key, found.object, &meta, STR("New: longer than it was\r\n"), 0);
        check_object(fresh, 0, length);
        cache_object_release(&fresh);
        let_go(&found);
        assert_int_equal(cache_purge(cache, &key), 1);
        assert_int_equal(stats_of(cache).bytes, empty);
    }
    if (has_classes)
        assert_in_range(split, kept / 10, kept - 10);
    cache_free(&cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_between_the_classes),
        cmocka_unit_test(test_private_answer),
        cmocka_unit_test(test_private_answer_without_body),
        cmocka_unit_test(test_parts_lie_in_one_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
