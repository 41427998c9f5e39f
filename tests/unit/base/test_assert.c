/* base/assert.c: what ends the program says why. */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs act in a child; returns its wait status, and what it wrote to stderr. */
static int run_child(void (*act)(void), char *text, size_t cap)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        dup2(ends[1], STDERR_FILENO);
        act();
        _exit(0);
    }
    close(ends[1]);
    size_t len = 0;
    ssize_t got;
    while (len < cap - 1 && (got = read(ends[0], text + len, cap - 1 - len)) > 0)
        len += (size_t)got;
    text[len] = '\0';
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void fail_assert(void)
{
    int two = 2;
    weir_assert(two == 3);
}

static void use_wrong_magic(void)
{
    struct {
        unsigned magic;
    } object = {7};
    weir_check_magic(&object, 8);
}

static void ask_for_too_much(void)
{
    volatile size_t bytes = SIZE_MAX / 4;
    base_alloc(bytes);
}

static void test_failed_assert_aborts(void **state)
{
    (void)state;
    char text[4096];
    int status = run_child(fail_assert, text, sizeof text);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_non_null(strstr(text, "test_assert.c"));
    assert_non_null(strstr(text, "fail_assert: assertion failed: two == 3"));
    status = run_child(use_wrong_magic, text, sizeof text);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#endif

static void test_out_of_memory_ends_with_a_line(void **state)
{
    (void)state;
#ifndef SANITIZED
    char text[4096];
    int status = run_child(ask_for_too_much, text, sizeof text);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 2);
    assert_non_null(strstr(text, "out of memory"));
#else
    /* Sanitizers end the program themselves on a request of that size. */
    (void)ask_for_too_much;
    skip();
#endif
}

static void test_alloc(void **state)
{
    (void)state;
    unsigned char *zero = base_alloc_zero(100);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(zero[i], 0);
    assert_true(base_allocated_bytes(zero) >= 100);
    char *copy = base_strdup("weir");
    assert_string_equal(copy, "weir");
    char *nothing = base_alloc(0);
    assert_non_null(nothing);
    char *taken = weir_take(&nothing);
    assert_null(nothing);
    free(zero);
    free(copy);
    free(taken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failed_assert_aborts),
        cmocka_unit_test(test_out_of_memory_ends_with_a_line),
        cmocka_unit_test(test_alloc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
