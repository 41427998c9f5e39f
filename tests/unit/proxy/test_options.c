/* Arguments of commands, and the one line that tells what is wrong with them. */
#include "proxy/options.h"

#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

static const char *file, *admin, *plain[2];
static bool quick;
static unsigned plain_count;

static char complaint[1024]; /* what the last read_all() wrote to stderr */

static bool read_all(const char *const *words)
{
    const struct option_row rows[] = {{"-c", &file, NULL, false},
                                      {"--admin", &admin, NULL, false},
                                      {"--quick", NULL, &quick, true}};
    char *argv[8] = {"command"};
    FILE *caught = tmpfile();
    int argc = 1, real = dup(STDERR_FILENO);
    size_t len;
    bool good;

    file = admin = NULL;
    quick = false;
    for (; words[argc - 1]; argc++)
        argv[argc] = (char *)words[argc - 1];
    dup2(fileno(caught), STDERR_FILENO);
    good = options_read("test", argc, argv, rows, weir_count(rows), plain, weir_count(plain),
                        &plain_count);
    dup2(real, STDERR_FILENO);
    close(real);
    rewind(caught);
    len = fread(complaint, 1, sizeof(complaint) - 1, caught);
    fclose(caught);
    complaint[len] = '\0';
    return good;
}

/* Wrong, with one line. */
static bool complains(const char *const *words, const char *line)
{
    return !read_all(words) && strcmp(complaint, line) == 0;
}

#define READ(...) read_all((const char *const[]){__VA_ARGS__, NULL})

static void test_values_and_flags(void **state)
{
    (void)state;
    assert_true(READ("-c", "a", "--admin", "b", "--quick"));
    assert_string_equal(file, "a");
    assert_string_equal(admin, "b");
    assert_true(quick);
    assert_int_equal(plain_count, 0);
    assert_true(READ("--admin=b", "-ca"));
    assert_string_equal(file, "a");
    assert_string_equal(admin, "b");
    assert_false(quick);
    assert_true(READ("--admin", ""));
    assert_string_equal(admin, "");
}

static void test_what_is_no_option(void **state)
{
    (void)state;
    assert_true(READ("x", "-c", "-"));
    assert_string_equal(file, "-");
    assert_int_equal(plain_count, 1);
    assert_string_equal(plain[0], "x");
    assert_true(READ("--", "-c"));
    assert_null(file);
    assert_string_equal(plain[0], "-c");
    assert_true(READ("x", "y"));
    assert_false(READ("x", "y", "z"));
}

#define COMPLAINS(line, ...)                                                                       \
    complains((const char *const[]){__VA_ARGS__, NULL}, "weir test: " line "\n")

static void test_what_is_wrong(void **state)
{
    (void)state;
    assert_true(COMPLAINS("-c needs a value", "-c"));
    assert_true(COMPLAINS("--admin needs a value", "--admin"));
    assert_true(COMPLAINS("-c is given twice", "-c", "a", "-c", "b"));
    assert_true(COMPLAINS("unknown option --admni; did you mean --admin?", "--admni=x"));
    assert_true(COMPLAINS("unknown option --quik; \"weir help\" lists the options",
                          "--quik")); /* the hidden one is not told */
    assert_true(COMPLAINS("unknown option -x; did you mean -c?", "-x"));
    assert_true(
        COMPLAINS("unexpected argument \"z\"; \"weir help\" lists what it takes", "x", "y", "z"));
    assert_false(READ("--="));
    assert_false(READ("--quick=yes"));
}

static void test_nearest(void **state)
{
    static const char *const words[] = {"run", "check", "demo", "stats", "purge"};

    (void)state;
    assert_string_equal(options_nearest("rnu", words, 5), "run");
    assert_string_equal(options_nearest("chek", words, 5), "check");
    assert_string_equal(options_nearest("stat", words, 5), "stats");
    assert_string_equal(options_nearest("purgee", words, 5), "purge");
    assert_null(options_nearest("something", words, 5));
    assert_null(options_nearest("", words, 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_and_flags),
        cmocka_unit_test(test_what_is_no_option),
        cmocka_unit_test(test_what_is_wrong),
        cmocka_unit_test(test_nearest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
