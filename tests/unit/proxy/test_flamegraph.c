/* proxy/admin/flamegraph.c and profile_text.c: the forms of a named profile. */
#include "proxy/admin/profile.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static const char *const names[] = {"a<b>&\"c\"", "leaf", "root", "tiny"};
static const struct profile_place places[] = {{0x10, 0}, {0x20, 1}, {0x30, 2}, {0x40, 3}};
static const unsigned deep[] = {1, 0, 2}, again[] = {1, 1, 2}, narrow[] = {3, 2};
static struct profile_sample samples[] = {
    {.weight = 6000, .places = deep, .depth = 3},
    {.weight = 3999, .places = again, .depth = 3},
    {.weight = 1, .places = narrow, .depth = 2},
};
static const struct profile profile = {.kind = PROFILE_CPU,
                                       .period = 10000,
                                       .weight = 10000,
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
static char *write(bool (*form)(struct arena *, const struct profile *, struct evbuffer *),
                   const struct profile *of)
{
    struct evbuffer *out = evbuffer_new();
    struct arena arena;
    char *text;

    arena_init(&arena, 4096);
    assert_true(form(&arena, of, out));
    text = base_alloc_zero(evbuffer_get_length(out) + 1);
    evbuffer_copyout(out, text, evbuffer_get_length(out));
    evbuffer_free(out);
    arena_destroy(&arena);
    return text;
}

static unsigned count(const char *text, const char *piece)
{
    unsigned found = 0;

    for (; (text = strstr(text, piece)); text++)
        found++;
    return found;
}

static void boxes_are_as_wide_as_they_weigh(void **state)
{
    char *svg = write(profile_write_flamegraph, &profile);

    (void)state;
    assert_int_equal(count(svg, "<title>all (100.00 s, 100.00%)</title>"), 1);
    assert_int_equal(count(svg, "<title>root (100.00 s, 100.00%)</title>"), 1);
    assert_int_equal(count(svg, "width=\"1180.00\""), 2);
    assert_int_equal(count(svg, "<title>leaf (60.00 s, 60.00%)</title>"), 1);
    assert_int_equal(count(svg, "<title>leaf (39.99 s, 39.99%)</title>"), 2);
    assert_int_equal(count(svg, "x=\"708.00\" y=\"82\" width=\"471.88\""), 1);
    free(svg);
}

static void names_are_escaped_and_slivers_left_out(void **state)
{
    char *svg = write(profile_write_flamegraph, &profile);

    (void)state;
    assert_int_equal(count(svg, "<title>a&lt;b&gt;&amp;&quot;c&quot; (60.00 s"), 1);
    assert_int_equal(count(svg, "a<b"), 0);
    assert_int_equal(count(svg, "tiny"), 0);
    free(svg);
}

static void nothing_comes_from_elsewhere_and_nothing_varies(void **state)
{
    char *svg = write(profile_write_flamegraph, &profile),
         *twin = write(profile_write_flamegraph, &profile);

    (void)state;
    assert_string_equal(svg, twin);
    assert_int_equal(count(svg, "http"), 1); /* the name of SVG itself */
    assert_int_equal(count(svg, "xmlns=\"http://www.w3.org/2000/svg\""), 1);
    assert_int_equal(count(svg, "href"), 0);
    free(svg);
    free(twin);
}

static void an_empty_profile_is_drawn(void **state)
{
    const struct profile empty = {.kind = PROFILE_HEAP, .period = 524288};
    char *svg = write(profile_write_flamegraph, &empty), *text = write(profile_write_text, &empty);

    (void)state;
    assert_int_equal(count(svg, "</svg>\n"), 1);
    assert_int_equal(count(text, "about 0 KiB in use"), 1);
    free(svg);
    free(text);
}

static void text_counts_a_recursion_once(void **state)
{
    char *text = write(profile_write_text, &profile);

    (void)state;
    assert_int_equal(count(text, "CPU: 100.00 s in 10000 samples, one each 10.0 ms\n"), 1);
    /* flat, flat%, cum, cum%: in both tables */
    assert_int_equal(count(text, "  99.99s  99.99%       99.99s  99.99%  leaf\n"), 2);
    assert_int_equal(count(text, "   0.00s   0.00%      100.00s 100.00%  root\n"), 2);
    assert_int_equal(count(text, "   0.00s   0.00%       60.00s  60.00%  a<b>&\"c\"\n"), 2);
    assert_true(strstr(text, "  leaf\n") < strstr(text, "  root\n"));
    free(text);
}

/* Whichever write it is, also one that others follow which succeed. */
static unsigned write_without_memory(bool (*form)(struct arena *, const struct profile *,
                                                  struct evbuffer *))
{
    struct arena arena;

    for (unsigned at = 1;; at++) {
        struct evbuffer *out = evbuffer_new();
        bool good;

        arena_init(&arena, 4096);
        has_failed = false;
        fails_at = at;
        good = form(&arena, &profile, out);
        fails_at = 0;
        evbuffer_free(out);
        arena_destroy(&arena);
        assert_int_equal(good, !has_failed);
        if (good)
            return at - 1;
    }
}

static void a_write_that_fails_is_noticed(void **state)
{
    (void)state;
    assert_true(write_without_memory(profile_write_flamegraph) > 1);
    assert_true(write_without_memory(profile_write_text) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(boxes_are_as_wide_as_they_weigh),
        cmocka_unit_test(names_are_escaped_and_slivers_left_out),
        cmocka_unit_test(nothing_comes_from_elsewhere_and_nothing_varies),
        cmocka_unit_test(an_empty_profile_is_drawn),
        cmocka_unit_test(text_counts_a_recursion_once),
        cmocka_unit_test(a_write_that_fails_is_noticed),
    };

    event_set_mem_functions(allocate, realloc, free);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
