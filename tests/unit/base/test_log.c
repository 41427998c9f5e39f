/* base/log.c: one line an event, whatever is in it. */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int saved_stderr, ends[2];

static int redirect(void **state)
{
    (void)state;
    saved_stderr = dup(STDERR_FILENO);
    if (pipe(ends) != 0 || fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0)
        return -1;
    dup2(ends[1], STDERR_FILENO);
    return 0;
}

static int restore(void **state)
{
    (void)state;
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    close(ends[0]);
    close(ends[1]);
    log_set_level(LOG_INFO_LEVEL);
    return 0;
}

static char text[8192];

static void read_log(void)
{
    ssize_t got = read(ends[0], text, sizeof text - 1);
    text[got > 0 ? got : 0] = '\0';
}

static void test_line(void **state)
{
    (void)state;
    log_warn("connecting to %s: %s; trying the next", "10.0.0.1:80", "refused");
    read_log();
    const char *form = "dddd-dd-ddTdd:dd:dd.dddZ";
    for (size_t i = 0; form[i]; i++)
        assert_true(form[i] == 'd' ? isdigit((unsigned char)text[i]) : text[i] == form[i]);
    assert_string_equal(text + strlen(form),
                        " warn connecting to 10.0.0.1:80: refused; trying the next\n");
}

static void test_levels(void **state)
{
    (void)state;
    log_set_level(LOG_WARN_LEVEL);
    log_debug("no");
    log_info("no");
    read_log();
    assert_string_equal(text, "");
    log_error("yes");
    read_log();
    assert_non_null(strstr(text, " error yes\n"));
    log_set_level(LOG_DEBUG_LEVEL);
    log_debug("yes");
    read_log();
    assert_non_null(strstr(text, " debug yes\n"));
}

static void test_nobody_forges_a_line(void **state)
{
    (void)state;
    log_error("target %s", "/a\r\n2026 error forged\x1b[2J\x7f");
    read_log();
    assert_non_null(strstr(text, "target /a??2026 error forged?[2J?\n"));
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void test_long_line_is_cut(void **state)
{
    (void)state;
    char *huge = malloc(5000);
    memset(huge, 'x', 4999);
    huge[4999] = '\0';
    log_error("%s", huge);
    read_log();
    size_t len = strlen(text);
    assert_int_equal(len, 2048);
    assert_string_equal(text + len - 5, "x...\n");
    free(huge);
}

static void test_errno_is_kept(void **state)
{
    (void)state;
    errno = ECONNREFUSED;
    log_error("it said: %m");
    assert_int_equal(errno, ECONNREFUSED);
    read_log();
    assert_non_null(strstr(text, "it said: Connection refused\n"));
}

static const char *message(void)
{
    read_log();
    return text[0] ? strstr(text, " info ") + 6 : "";
}

static void write_numbered(struct log_kind *kind, int64_t now_ms, int from, int to)
{
    for (int i = from; i <= to; i++)
        log_write_paced(kind, now_ms, "client %d", i);
}

static unsigned lines(void)
{
    unsigned count = 0;
    read_log();
    for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++)
        count++;
    return count;
}

static void test_a_burst_is_written_and_the_rest_told_with_the_next_line(void **state)
{
    static struct log_kind kind = {.what = "counting", .level = LOG_INFO_LEVEL};
    static struct log_kind other = {.what = "another", .level = LOG_INFO_LEVEL};
    struct log_counts before = log_count(LOG_INFO_LEVEL), after;
    (void)state;
    write_numbered(&kind, 5000, 1, LOG_BURST);
    assert_int_equal(lines(), LOG_BURST);
    write_numbered(&kind, 5000, 1, 2);
    write_numbered(&kind, 5999, 3, 3);
    write_numbered(&kind, 4999, 4, 4); /* a thread whose clock is a little behind */
    assert_int_equal(lines(), 0);
    write_numbered(&other, 5999, 4, 4);
    assert_string_equal(message(), "client 4\n");
    write_numbered(&kind, 6000, 5, 5);
    assert_string_equal(message(), "client 5; 4 such lines were held back before\n");
    write_numbered(&kind, 6000, 6, 6);
    assert_string_equal(message(), "client 6\n");
    after = log_count(LOG_INFO_LEVEL);
    assert_int_equal(after.written - before.written, LOG_BURST + 3);
    assert_int_equal(after.held_back - before.held_back, 4);
}

static void test_what_no_next_line_tells_is_told_by_the_sweep(void **state)
{
    static struct log_kind kind = {.what = "counting", .level = LOG_INFO_LEVEL};
    static struct log_kind quiet = {.what = "quiet", .level = LOG_INFO_LEVEL};
    (void)state;
    log_tell_held_back(1000);
    write_numbered(&kind, 5000, 1, LOG_BURST + 3);
    write_numbered(&quiet, 5000, 1, LOG_BURST);
    lines();
    log_tell_held_back(5999);
    assert_int_equal(lines(), 0); /* its second is not over */
    log_tell_held_back(6000);
    assert_string_equal(message(), "counting: 3 such lines were held back before\n");
    log_tell_held_back(7000);
    assert_int_equal(lines(), 0); /* once */
    write_numbered(&kind, 8000, 1, LOG_BURST + 2);
    lines();
    log_tell_held_back(INT64_MAX); /* the end */
    assert_string_equal(message(), "counting: 2 such lines were held back before\n");
}

static void test_what_the_level_keeps_out_is_not_held_back(void **state)
{
    static struct log_kind kind = {.what = "counting", .level = LOG_INFO_LEVEL};
    (void)state;
    log_set_level(LOG_WARN_LEVEL);
    write_numbered(&kind, 9000, 1, 100);
    log_set_level(LOG_INFO_LEVEL);
    write_numbered(&kind, 9000, 1, 1);
    assert_string_equal(message(), "client 1\n");
}

static void test_long_paced_line_tells_how_many(void **state)
{
    static struct log_kind kind = {.what = "long", .level = LOG_INFO_LEVEL};
    char huge[3000];
    (void)state;
    memset(huge, 'x', sizeof huge - 1);
    huge[sizeof huge - 1] = '\0';
    for (unsigned i = 0; i < LOG_BURST + 1; i++) {
        log_write_paced(&kind, 1000, "%s", huge);
        read_log();
    }
    log_write_paced(&kind, 2001, "%s", huge);
    read_log();
    assert_int_equal(strlen(text), 2048);
    assert_non_null(strstr(text, "x...; 1 such lines were held back before\n"));
}

#define THREADS 4
#define EACH 2000

static void *write_from_a_thread(void *arg)
{
    for (int i = 0; i < EACH; i++)
        log_write_paced(arg, 3000 + i, "line");
    return NULL;
}

/* Every line is written, or in a count that is told. */
static void test_threads_lose_no_count(void **state)
{
    static struct log_kind kind = {.what = "threads", .level = LOG_INFO_LEVEL};
    struct log_counts before = log_count(LOG_INFO_LEVEL), after;
    pthread_t threads[THREADS];
    unsigned told = 0, count, written;
    (void)state;
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_from_a_thread, &kind), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    after = log_count(LOG_INFO_LEVEL);
    log_tell_held_back(INT64_MAX);
    read_log();
    for (const char *at = text; (at = strstr(at, " such lines were held back")) != NULL; at++) {
        const char *digits = at;
        while (isdigit((unsigned char)digits[-1]))
            digits--;
        assert_int_equal(sscanf(digits, "%u", &count), 1);
        told += count;
    }
    written = (unsigned)(after.written - before.written);
    assert_true(written >= 2 * LOG_BURST && written <= 3 * LOG_BURST);
    assert_int_equal(written + told, THREADS * EACH);
    assert_int_equal(after.held_back - before.held_back, told);
}

#define LOG_TEST(test) cmocka_unit_test_setup_teardown(test, redirect, restore)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(test_line),
        LOG_TEST(test_levels),
        LOG_TEST(test_nobody_forges_a_line),
        LOG_TEST(test_long_line_is_cut),
        LOG_TEST(test_errno_is_kept),
        LOG_TEST(test_a_burst_is_written_and_the_rest_told_with_the_next_line),
        LOG_TEST(test_what_no_next_line_tells_is_told_by_the_sweep),
        LOG_TEST(test_what_the_level_keeps_out_is_not_held_back),
        LOG_TEST(test_long_paced_line_tells_how_many),
        LOG_TEST(test_threads_lose_no_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
