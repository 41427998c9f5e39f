/* net/http1_write.c: what is written, and that a buffer which is too small stays untouched behind
 * its end. */
#include "tests/unit/net/http1_fixture.h"

static void status_lines(void **state)
{
    (void)state;
    char buffer[64];
    struct appender out = appender_on(buffer, sizeof buffer);
    http1_append_status_line(&out, 404);
    http1_append_status_line(&out, 299);
    assert_false(out.overflow);
    span_is(str_of(buffer, out.len), "HTTP/1.1 404 Not Found\r\nHTTP/1.1 299 \r\n");
    span_is(http1_reason(103), "Early Hints");
    span_is(http1_reason(504), "Gateway Timeout");
    span_is(http1_reason(999), "");
}

static void field_lines(void **state)
{
    (void)state;
    char buffer[16];
    struct appender out = appender_on(buffer, sizeof buffer);
    http1_append_field(&out, STR("Age"), STR("12"));
    span_is(str_of(buffer, out.len), "Age: 12\r\n");
    http1_append_field(&out, STR("X"), STR(""));
    span_is(str_of(buffer, out.len), "Age: 12\r\nX: \r\n");
    http1_append_field(&out, STR("Much"), STR("too long"));
    assert_true(out.overflow && out.len <= sizeof buffer);
}

static void chunk_lines(void **state)
{
    (void)state;
    char out[HTTP1_CHUNK_LINE_BYTES];
    span_is(str_of(out, http1_chunk_line(out, 0)), "0\r\n");
    span_is(str_of(out, http1_chunk_line(out, 31)), "1f\r\n");
    span_is(str_of(out, http1_chunk_line(out, UINT64_MAX)), "ffffffffffffffff\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(status_lines),
        cmocka_unit_test(field_lines),
        cmocka_unit_test(chunk_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
