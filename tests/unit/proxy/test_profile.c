/* proxy/admin/profile.c: what the profilers write, as stacks, and what their frames are called. */
#include "proxy/admin/profile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 4096);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_destroy(&arena);
    return 0;
}

/* ---- the CPU's ---- */

static const uint64_t cpu_words[] = {0,
                                     3,
                                     0,
                                     10000,
                                     0, /* header */
                                     7,
                                     3,
                                     0x1010,
                                     0x2020,
                                     0x3030, /* two stacks */
                                     1,
                                     1,
                                     0x1010, /* */
                                     0,
                                     1,
                                     0, /* the end */
                                     0x2064656c62626167 /* maps */};

static const struct profile *read_words(const uint64_t *words, size_t count, const char **why)
{
    return profile_read_cpu(&arena, str_of((const char *)words, count * sizeof(*words)), why);
}

static void reads_the_stacks_of_a_cpu_profile(void **state)
{
    const char *why;
    const struct profile *profile = read_words(cpu_words, weir_count(cpu_words), &why);

    (void)state;
    assert_non_null(profile);
    assert_int_equal(profile->period, 10000);
    assert_int_equal(profile->samples_count, 2);
    assert_int_equal(profile->weight, 8);
    assert_int_equal(profile->samples[0].weight, 7);
    assert_int_equal(profile->samples[0].depth, 3);
    assert_int_equal(profile->samples[0].pcs[2], 0x3030);
    assert_int_equal(profile->samples[1].pcs[0], 0x1010);
}

static void an_empty_cpu_profile_has_no_stacks(void **state)
{
    static const uint64_t words[] = {0, 3, 0, 10000, 0, 0, 1, 0};
    const char *why;
    const struct profile *profile = read_words(words, weir_count(words), &why);

    (void)state;
    assert_non_null(profile);
    assert_int_equal(profile->samples_count, 0);
}

static void a_cut_cpu_profile_is_refused(void **state)
{
    const char *why;

    (void)state;
    for (size_t count = 0; count < 16; count++) {
        why = NULL;
        assert_null(read_words(cpu_words, count, &why));
        assert_non_null(why);
    }
    assert_non_null(read_words(cpu_words, 16, &why));
}

static void other_words_are_refused(void **state)
{
    /* Which word of the good one is replaced, and by what. */
    static const struct {
        size_t at;
        uint64_t word;
    } rows[] = {{0, 1}, {1, 2}, {1, UINT64_MAX}, {1, 1000},
                {2, 1}, {6, 0}, {6, UINT64_MAX}, {6, 1025}};
    uint64_t words[weir_count(cpu_words)];
    const char *why;

    (void)state;
    for (size_t i = 0; i < weir_count(rows); i++) {
        memcpy(words, cpu_words, sizeof(words));
        words[rows[i].at] = rows[i].word;
        assert_null(read_words(words, weir_count(words), &why));
    }
}

/* ---- the heap's ---- */

static const char heap_text[] = "heap_v2/524288\n"
                                "  t*: 3: 1048640 [0: 0]\n"
                                "  t0: 2: 128 [0: 0]\n"
                                "  t1: 1: 1048512 [0: 0]\n"
                                "@ 0x7f0000000010 0x7f0000000FF0 0x5010 0x6020\n"
                                "  t*: 2: 128 [0: 0]\n"
                                "  t0: 2: 128 [0: 0]\n"
                                "@ 0x7f0000000010 0x5011 0x6020\n"
                                "  t*: 1: 1048512 [0: 0]\n"
                                "  t1: 1: 1048512 [0: 0]\n"
                                "\n"
                                "MAPPED_LIBRARIES:\n"
                                "@ 0x1\n";
static const struct address_range allocator = {0x7f0000000000, 0x7f0000001000};

static const struct profile *read_text(const char *text)
{
    const char *why;

    return profile_read_heap(&arena, str_from(text), allocator, &why);
}

static void reads_a_heap_without_the_allocators_frames(void **state)
{
    const struct profile *profile = read_text(heap_text);

    (void)state;
    assert_non_null(profile);
    assert_int_equal(profile->period, 524288);
    assert_int_equal(profile->samples_count, 2);
    assert_int_equal(profile->samples[0].depth, 2);
    assert_int_equal(profile->samples[0].pcs[0], 0x5010);
    assert_int_equal(profile->samples[1].depth, 2);
}

/* Small ones stand for many: 64 bytes are seen once in 8192; 1 MiB nearly always. */
static void weighs_what_was_not_sampled(void **state)
{
    const struct profile *profile = read_text(heap_text);

    (void)state;
    assert_in_range(profile->samples[0].weight, 2 * 524288, 2 * 524288 + 100);
    assert_in_range(profile->samples[0].count, 16384, 16386);
    assert_in_range(profile->samples[1].weight, 1048512 * 115 / 100, 1048512 * 116 / 100);
    assert_int_equal(profile->samples[1].count, 1);
    assert_int_equal(profile->weight, profile->samples[0].weight + profile->samples[1].weight);
}

static void other_texts_are_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "heap profile: 1: 2 [3: 4] @ heap_v2/524288\n",
        "heap_v2/\n",
        "heap_v2/524288x\n",
        "heap_v2/99999999999999999999999\n",
        "heap_v2/524288\n@ 0xzz\n",
        "heap_v2/524288\n@ 5010\n",
        "heap_v2/524288\n@ 0x5010\n t*: x: 128 [0: 0]\n",
        "heap_v2/524288\n@ 0x5010\n t*: 1 128 [0: 0]\n",
        "heap_v2/524288\n@ 0x5010\n t*: 1: 128\n",
    };

    (void)state;
    for (size_t i = 0; i < weir_count(texts); i++)
        assert_null(read_text(texts[i]));
}

/* ---- names ---- */

/* A function each 0x1000. */
static const char *name_of(void *context, uint64_t pc)
{
    static const char *const names[] = {"zero", "leaf", "middle", "root", "middle"};

    ++*(unsigned *)context;
    return names[pc >> 12];
}

static void names_each_place_once_and_in_order(void **state)
{
    static const uint64_t words[] = {0,      3, 0, 10000,  0,      7,      3, 0x1010, 0x2020,
                                     0x3030, 1, 3, 0x1010, 0x4020, 0x3030, 0, 1,      0};
    const char *why;
    unsigned asked = 0;
    const struct profile *profile =
        profile_name(&arena, read_words(words, weir_count(words), &why), name_of, &asked);

    (void)state;
    assert_non_null(profile);
    assert_int_equal(asked, 4);
    assert_int_equal(profile->names_count, 3);
    assert_string_equal(profile->names[0], "leaf");
    assert_string_equal(profile->names[1], "middle");
    assert_string_equal(profile->names[2], "root");
    assert_int_equal(profile->places_count, 4);
    assert_int_equal(profile->places[3].pc, 0x401f);
    assert_int_equal(profile->samples[1].places[1], 3);
    assert_int_equal(profile_frame(profile, &profile->samples[0], 1), 1);
    assert_int_equal(profile_frame(profile, &profile->samples[1], 1), 1);
    assert_int_equal(profile_frame(profile, &profile->samples[1], 2), 2);
}

/* Of a call that is a function's last instruction, the address behind is the next function's. */
static void a_frame_lies_before_where_it_returns(void **state)
{
    static const uint64_t words[] = {0, 3, 0, 10000, 0, 1, 2, 0x1000, 0x3000, 0, 1, 0};
    const char *why;
    unsigned asked = 0;
    const struct profile *profile =
        profile_name(&arena, read_words(words, weir_count(words), &why), name_of, &asked);

    (void)state;
    assert_string_equal(profile->names[profile_frame(profile, &profile->samples[0], 0)], "leaf");
    assert_string_equal(profile->names[profile_frame(profile, &profile->samples[0], 1)], "middle");
    profile =
        profile_name(&arena, read_text("heap_v2/1\n@ 0x3000\n t*: 1: 1 [0: 0]\n"), name_of, &asked);
    assert_string_equal(profile->names[0], "middle");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_stacks_of_a_cpu_profile),
        cmocka_unit_test(an_empty_cpu_profile_has_no_stacks),
        cmocka_unit_test(a_cut_cpu_profile_is_refused),
        cmocka_unit_test(other_words_are_refused),
        cmocka_unit_test(reads_a_heap_without_the_allocators_frames),
        cmocka_unit_test(weighs_what_was_not_sampled),
        cmocka_unit_test(other_texts_are_refused),
        cmocka_unit_test(names_each_place_once_and_in_order),
        cmocka_unit_test(a_frame_lies_before_where_it_returns),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
