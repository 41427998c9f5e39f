/* base/freelist.c: reuse, the bound on idle ones, use after put. */
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

#include "base/poison.h"

static void test_reuse(void **state)
{
    (void)state;
    struct freelist list;
    freelist_init(&list, 100, 2);
    void *a = freelist_get(&list), *b = freelist_get(&list), *c = freelist_get(&list);
    assert_int_equal(list.created, 3);
    memset(a, 1, 100);
    memset(b, 2, 100);
    memset(c, 3, 100);
    freelist_put(&list, a);
    freelist_put(&list, b);
    freelist_put(&list, c); /* one too many: freed */
    assert_int_equal(list.idle, 2);
    assert_ptr_equal(freelist_get(&list), b);
    assert_ptr_equal(freelist_get(&list), a);
    assert_int_equal(list.idle, 0);
    assert_int_equal(list.reused, 2);
    memset(a, 4, 100);
    freelist_put(&list, a);
    freelist_put(&list, b);
    freelist_destroy(&list);
    assert_int_equal(list.idle, 0);
    assert_null(list.head);
}

static void test_small_and_none_kept(void **state)
{
    (void)state;
    struct freelist list;
    freelist_init(&list, 1, 0);
    char *item = freelist_get(&list);
    *item = 1;
    freelist_put(&list, item);
    assert_int_equal(list.idle, 0);
    freelist_init(&list, 1, 4);
    item = freelist_get(&list);
    freelist_put(&list, item);
    assert_ptr_equal(freelist_get(&list), item);
    freelist_put(&list, item);
    freelist_destroy(&list);
}

#if defined(WEIR_ADDRESS_SANITIZER) || defined(WEIR_DEBUG)
/* The child writes to what it has put back; the sanitizer or the next get must end it. */
static void test_use_after_put_is_detected(void **state)
{
    (void)state;
    struct freelist list;
    freelist_init(&list, 64, 4);
    volatile char *item = freelist_get(&list);
    freelist_put(&list, (void *)item);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        item[40] = 1;
        freelist_get(&list);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) != 0);
    freelist_destroy(&list);
}
#else
static void test_use_after_put_is_detected(void **state)
{
    (void)state;
    skip();
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reuse),
        cmocka_unit_test(test_small_and_none_kept),
        cmocka_unit_test(test_use_after_put_is_detected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
