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

static void test_pace(void **state)
{
    (void)state;
    struct log_pace pace = {0}, other = {0};
    log_write_paced(&pace, 5000, LOG_INFO_LEVEL, "client %d", 1);
    assert_string_equal(message(), "client 1\n");
    log_write_paced(&pace, 5000, LOG_INFO_LEVEL, "client %d", 2);
    log_write_paced(&pace, 5999, LOG_INFO_LEVEL, "client %d", 3);
    assert_string_equal(message(), "");
    log_write_paced(&other, 5999, LOG_INFO_LEVEL, "client %d", 4);
    assert_string_equal(message(), "client 4\n");
    log_write_paced(&pace, 6000, LOG_INFO_LEVEL, "client %d", 5);
    assert_string_equal(message(), "client 5; 2 such lines were held back before\n");
    log_write_paced(&pace, 7000, LOG_INFO_LEVEL, "client %d", 6);
    assert_string_equal(message(), "client 6\n");
    log_set_level(LOG_WARN_LEVEL);
    log_write_paced(&pace, 9000, LOG_INFO_LEVEL, "no");
    log_set_level(LOG_INFO_LEVEL);
    log_write_paced(&pace, 9000, LOG_INFO_LEVEL, "yes");
    assert_string_equal(message(), "yes\n");
}

static void test_long_paced_line_tells_how_many(void **state)
{
    (void)state;
    struct log_pace pace = {0};
    char huge[3000];
    memset(huge, 'x', sizeof huge - 1);
    huge[sizeof huge - 1] = '\0';
    log_write_paced(&pace, 1, LOG_INFO_LEVEL, "%s", huge);
    log_write_paced(&pace, 2, LOG_INFO_LEVEL, "%s", huge);
    read_log();
    log_write_paced(&pace, 1001, LOG_INFO_LEVEL, "%s", huge);
    read_log();
    assert_int_equal(strlen(text), 2048);
    assert_non_null(strstr(text, "x...; 1 such lines were held back before\n"));
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
        LOG_TEST(test_pace),
        LOG_TEST(test_long_paced_line_tells_how_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
