/* base/arena.c: alignment, large pieces, what a reset keeps. */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

static void test_nothing_is_taken_before_use(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 4096);
    assert_null(arena.chunks);
    arena_reset(&arena);
    assert_null(arena.chunks);
    arena_destroy(&arena);
}

static void test_pieces_are_aligned_and_apart(void **state)
{
    (void)state;
    enum {
        PIECES = 2000
    };
    struct arena arena;
    arena_init(&arena, 1024);
    for (unsigned round = 0; round < 3; round++) {
        unsigned char *piece[PIECES];
        size_t bytes[PIECES];
        for (unsigned i = 0; i < PIECES; i++) {
            bytes[i] = i % 101 == 100 ? 5000 : i * 7 % 90;
            piece[i] = arena_alloc(&arena, bytes[i]);
            assert_non_null(piece[i]);
            assert_int_equal((uintptr_t)piece[i] % 8, 0);
            memset(piece[i], (int)(i & 0xff), bytes[i]);
        }
        for (unsigned i = 0; i < PIECES; i++) {
            for (size_t k = 0; k < bytes[i]; k++)
                assert_int_equal(piece[i][k], i & 0xff);
        }
        arena_reset(&arena);
    }
    arena_destroy(&arena);
}

static void test_reset_keeps_one_usual_chunk(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1024);
    arena_alloc(&arena, 100000); /* a large one first: it is not kept */
    arena_reset(&arena);
    assert_null(arena.chunks);
    assert_ptr_equal(arena.ptr, arena.end);
    arena_alloc(&arena, 10);
    struct arena_chunk *chunk = arena.chunks;
    arena_reset(&arena);
    assert_ptr_equal(arena.chunks, chunk);
    for (unsigned i = 0; i < 100; i++)
        arena_alloc(&arena, 500);
    arena_reset(&arena);
    assert_non_null(arena.chunks);
    char *first = arena_alloc(&arena, 8);
    arena_alloc(&arena, 100000); /* leaves the room of the usual chunk in use */
    assert_ptr_equal(arena_alloc(&arena, 8), first + 8);
    arena_reset(&arena);
    assert_ptr_equal(arena_alloc(&arena, 8), first);
    arena_destroy(&arena);
    assert_null(arena.chunks);
}

static void test_copy(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 256);
    assert_true(str_equal(arena_copy(&arena, STR("copied")), STR("copied")));
    struct str empty = arena_copy(&arena, str_from(NULL));
    assert_non_null(empty.ptr);
    assert_int_equal(empty.len, 0);
    assert_null(arena_alloc(&arena, SIZE_MAX));
    assert_null(arena_alloc(&arena, SIZE_MAX - 6));
    arena_destroy(&arena);
}

static void lent_room_is_used_before_any_memory_is_taken(void **state)
{
    (void)state;
    _Alignas(8) char room[64];
    struct arena arena;
    arena_init(&arena, 1024);
    arena_lend(&arena, room, sizeof room);
    char *first = arena_alloc(&arena, 40), *second = arena_alloc(&arena, 24);
    assert_ptr_equal(first, room);
    assert_ptr_equal(second, room + 40);
    assert_null(arena.chunks);
    char *third = arena_alloc(&arena, 1);
    assert_true(third < room || third >= room + sizeof room);
    assert_non_null(arena.chunks);
    arena_destroy(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lent_room_is_used_before_any_memory_is_taken),
        cmocka_unit_test(test_nothing_is_taken_before_use),
        cmocka_unit_test(test_pieces_are_aligned_and_apart),
        cmocka_unit_test(test_reset_keeps_one_usual_chunk),
        cmocka_unit_test(test_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
