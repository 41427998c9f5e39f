/* proxy/admin/profile_proto.c: pprof's own form, byte by byte; tests/story/test_profiles.py lets
 * pprof read it. */
#include "proxy/admin/profile.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static const char maps[] = "5000-7000 r--p 00000000 08:01 17   /weir\n"
                           "7000-9000 r-xp 00001000 08:01 17   /weir\n"
                           "9000-a000 rw-p 00000000 00:00 0 \n";
static const char *const names[] = {"[unknown]", "leaf", "root"};
static const struct profile_place places[] = {{0x10, 0}, {0x7010, 1}, {0x8000, 2}};
static const unsigned deep[] = {1, 2}, lost[] = {0};
static struct profile_sample samples[] = {
    {.count = 300, .weight = 300, .places = deep, .depth = 2},
    {.count = 1, .weight = 1, .places = lost, .depth = 1},
    {.count = 9, .weight = 9},
};
static const struct profile profile = {.kind = PROFILE_CPU,
                                       .period = 10000,
                                       .weight = 310,
                                       .samples = samples,
                                       .samples_count = weir_count(samples),
                                       .places = places,
                                       .places_count = weir_count(places),
                                       .names = (const char **)names,
                                       .names_count = weir_count(names)};

static unsigned fails_at; /* which of libevent's next allocations; 0: none */
static bool has_failed;

static void *allocate(size_t bytes)
{
    has_failed |= fails_at == 1;
    return fails_at > 0 && --fails_at == 0 ? NULL : malloc(bytes);
}

/* The caller frees it. */
static char *write(const struct profile *of, const char *mapped, size_t *len)
{
    const struct profile_time time = {.began_ns = 5, .lasted_ns = 128};
    struct evbuffer *out = evbuffer_new();
    struct arena arena;
    char *bytes;

    arena_init(&arena, 4096);
    assert_true(profile_write_proto(&arena, of, str_from(mapped), time, out));
    arena_destroy(&arena);
    *len = evbuffer_get_length(out);
    bytes = base_alloc_zero(*len + 1);
    evbuffer_copyout(out, bytes, *len);
    evbuffer_free(out);
    return bytes;
}

/* A literal's last zero is no part of it, but for `bytes` with a length of their own. */
static void assert_bytes(const struct profile *of, const char *mapped, const char *wanted,
                         size_t wanted_len)
{
    size_t len;
    char *bytes = write(of, mapped, &len);

    assert_int_equal(len, wanted_len);
    assert_memory_equal(bytes, wanted, len);
    free(bytes);
}

#define WORDS                                                                                      \
    "\x32\x00"                                                                                     \
    "\x32\x07samples"                                                                              \
    "\x32\x05"                                                                                     \
    "count"                                                                                        \
    "\x32\x03"                                                                                     \
    "cpu"                                                                                          \
    "\x32\x0bnanoseconds"                                                                          \
    "\x32\x0dinuse_objects"                                                                        \
    "\x32\x0binuse_space"                                                                          \
    "\x32\x05space"                                                                                \
    "\x32\x05"                                                                                     \
    "bytes"

static void a_cpu_profile_byte_by_byte(void **state)
{
    static const char wanted[] =
        "\x0a\x04\x08\x01\x10\x02" /* sample types: samples in count, cpu in nanoseconds */
        "\x0a\x04\x08\x03\x10\x04"
        "\x5a\x04\x08\x03\x10\x04" /* the period's type, 10 ms, lasted 128 ns, began at 5 */
        "\x60\x80\xad\xe2\x04"
        "\x50\x80\x01"
        "\x48\x05"
        /* samples: locations, 300 times, 3 s; the one without a stack is left out */
        "\x12\x0d\x08\x02\x08\x03\x10\xac\x02\x10\x80\xbc\xc1\x96\x0b"
        "\x12\x09\x08\x01\x10\x01\x10\x80\xad\xe2\x04"
        /* the executable mapping: id, from, to, offset, file, has_functions */
        "\x1a\x11\x08\x01\x10\x80\xe0\x01\x18\x80\xa0\x02\x20\x80\x20\x28\x0c\x38\x01"
        /* locations: id, mapping, address, line (function) */
        "\x22\x0a\x08\x01\x10\x00\x18\x10\x22\x02\x08\x01"
        "\x22\x0c\x08\x02\x10\x01\x18\x90\xe0\x01\x22\x02\x08\x02"
        "\x22\x0c\x08\x03\x10\x01\x18\x80\x80\x02\x22\x02\x08\x03"
        /* functions: id, name, system name */
        "\x2a\x06\x08\x01\x10\x09\x18\x09"
        "\x2a\x06\x08\x02\x10\x0a\x18\x0a"
        "\x2a\x06\x08\x03\x10\x0b\x18\x0b" WORDS "\x32\x09[unknown]"
        "\x32\x04leaf"
        "\x32\x04root"
        "\x32\x05/weir";

    (void)state;
    assert_bytes(&profile, maps, wanted, sizeof(wanted) - 1);
}

static void a_heap_without_samples_byte_by_byte(void **state)
{
    static const struct profile empty = {.kind = PROFILE_HEAP, .period = 127};
    static const char wanted[] = "\x0a\x04\x08\x05\x10\x02" /* inuse_objects, inuse_space */
                                 "\x0a\x04\x08\x06\x10\x08"
                                 "\x5a\x04\x08\x07\x10\x08" /* period: space in bytes */
                                 "\x60\x7f"
                                 "\x70\x06" /* shown if nobody asks for objects */
                                 "\x48\x05" WORDS;

    (void)state;
    assert_bytes(&empty, "", wanted, sizeof(wanted) - 1);
}

/* As deep as the readers of profiles let it be, with the largest numbers. */
static void the_deepest_stack_fits(void **state)
{
    static unsigned indices[1024];
    struct profile_sample sample = {
        .count = UINT64_MAX, .weight = UINT64_MAX, .places = indices, .depth = 1024};
    struct profile of = {
        .kind = PROFILE_HEAP, .period = UINT64_MAX, .samples = &sample, .samples_count = 1};
    size_t len;

    (void)state;
    for (size_t i = 0; i < weir_count(indices); i++)
        indices[i] = UINT32_MAX;
    free(write(&of, "", &len));
    assert_in_range(len, sizeof(indices) / sizeof(*indices) * 6, 7000);
}

static void odd_lines_of_maps_are_left_out(void **state)
{
    const struct profile empty = {.kind = PROFILE_HEAP};
    size_t plain, len;

    (void)state;
    free(write(&empty, "", &plain));
    free(write(&empty, "\n\nx\n5000 r-xp 0 0:0 1 /weir\n5000-6000 r-xp 0 0:0 1 /cut", &len));
    assert_int_equal(len, plain);
    free(write(&empty, "5000-6000 r-xp 00000000 00:00 0 \n", &len));
    assert_true(len > plain);
    free(write(&empty, "5000-6000 r-xp 00000000 08:01 17   /weir\n", &plain));
    free(write(&empty, "5000-6000 r-xp 00000000 08:01 17   /weir (deleted)\n", &len));
    assert_int_equal(len, plain);
}

/* The first write fails here; those that follow succeed. */
static void a_write_that_fails_is_noticed(void **state)
{
    struct evbuffer *out = evbuffer_new();
    struct arena arena;

    (void)state;
    arena_init(&arena, 4096);
    fails_at = 1;
    assert_false(profile_write_proto(&arena, &profile, STR(""), (struct profile_time){0, 0}, out));
    assert_true(has_failed);
    evbuffer_free(out);
    arena_destroy(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cpu_profile_byte_by_byte),
        cmocka_unit_test(a_heap_without_samples_byte_by_byte),
        cmocka_unit_test(the_deepest_stack_fits),
        cmocka_unit_test(odd_lines_of_maps_are_left_out),
        cmocka_unit_test(a_write_that_fails_is_noticed),
    };

    event_set_mem_functions(allocate, realloc, free);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
