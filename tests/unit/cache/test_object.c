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
    memcpy(cache_object_inline_body(object), "12345", 5);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_private_answer),
        cmocka_unit_test(test_private_answer_without_body),
        cmocka_unit_test(test_parts_lie_in_one_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
