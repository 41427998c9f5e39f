/* proxy/admin/symbols.c: names of this very program's functions, and of its libraries'. */
#include "config.h"
#include "proxy/admin/profile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#if HAVE_PROFILING

static struct symbols *symbols;

static int set_up(void **state)
{
    const char *why;

    (void)state;
    symbols = symbols_open(&why);
    return symbols ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    symbols_close(&symbols);
    return 0;
}

static __attribute__((noinline)) int a_static_function(int n)
{
    return n * 3 + 1;
}

static void finds_static_functions(void **state)
{
    uint64_t pc = (uintptr_t)a_static_function;

    (void)state;
    assert_int_equal(a_static_function(1), 4);
    assert_string_equal(symbols_find(symbols, pc), "a_static_function");
    assert_string_equal(symbols_find(symbols, pc + 2), "a_static_function");
}

static void finds_functions_of_libraries(void **state)
{
    (void)state;
    assert_string_equal(symbols_find(symbols, (uintptr_t)qsort), "qsort");
}

/* Where no function is, the library that it lies in. */
static void names_the_library_at_least(void **state)
{
    struct address_range libc = symbols_module(symbols, (uintptr_t)qsort);

    (void)state;
    assert_true(libc.start < (uintptr_t)qsort && libc.end > (uintptr_t)qsort);
    assert_string_equal(symbols_find(symbols, libc.start), "[libc.so.6]");
}

static void knows_what_is_nobodys(void **state)
{
    (void)state;
    assert_null(symbols_find(symbols, 0));
    assert_null(symbols_find(symbols, UINT64_MAX));
    assert_int_equal(symbols_module(symbols, 0).end, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_static_functions),
        cmocka_unit_test(finds_functions_of_libraries),
        cmocka_unit_test(names_the_library_at_least),
        cmocka_unit_test(knows_what_is_nobodys),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}

#else

static void tells_how_to_get_them(void **state)
{
    const char *why = NULL;

    (void)state;
    assert_null(symbols_open(&why));
    assert_non_null(strstr(why, "--with-profiling=yes"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tells_how_to_get_them)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
