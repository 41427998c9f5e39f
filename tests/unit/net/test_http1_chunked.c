/* net/http1_chunked.c: every body is read whole, at every split in two, and byte by byte. */
#include "tests/unit/net/http1_fixture.h"

struct body {
    char data[4096];
    size_t len, consumed;
    ssize_t error; /* negative, or 0 */
    bool last;
};

/* Reads what is there, as callers do, until nothing more is taken. */
static void read_piece(struct body *body, struct http1_chunked *chunked, const char *at, size_t len)
{
    at = guarded_copy(at, len);
    while (!chunked->last) {
        struct str data;
        ssize_t taken = http1_chunked_read(chunked, at, len, &data);
        if (taken < 0)
            body->error = taken;
        if (taken <= 0)
            break;
        assert_true((size_t)taken <= len);
        assert_true(body->len + data.len <= sizeof body->data);
        if (data.len > 0) {
            assert_true(data.ptr >= at && data.ptr + data.len <= at + taken);
            memcpy(body->data + body->len, data.ptr, data.len);
        }
        body->len += data.len;
        body->consumed += (size_t)taken;
        at += taken;
        len -= (size_t)taken;
    }
    body->last = chunked->last;
}

static struct body read_body(const char *text, size_t len, size_t split, size_t step)
{
    struct body body = {.len = 0};
    struct http1_chunked chunked = {.left = 0};
    read_piece(&body, &chunked, text, split);
    for (size_t at = split; at < len && body.error == 0 && !body.last; at += step)
        read_piece(&body, &chunked, text + at, step < len - at ? step : len - at);
    return body;
}

static struct body read_all_ways(const char *text, size_t len)
{
    struct body whole = read_body(text, len, len, 1);
    for (size_t split = 0; split <= len; split++) {
        struct body other = read_body(text, len, split, split == 0 ? 1 : len);
        assert_int_equal(other.error, whole.error);
        assert_int_equal(other.last, whole.last);
        assert_int_equal(other.len, whole.len);
        assert_memory_equal(other.data, whole.data, whole.len);
        if (whole.error == 0)
            assert_int_equal(other.consumed, whole.consumed);
    }
    return whole;
}

static void good(const char *text, const char *data, size_t rest)
{
    struct body body = read_all_ways(text, strlen(text));
    assert_int_equal(body.error, 0);
    assert_true(body.last);
    assert_int_equal(body.len, strlen(data));
    assert_memory_equal(body.data, data, body.len);
    assert_int_equal(body.consumed, strlen(text) - rest);
}

static void bodies(void **state)
{
    (void)state;
    good("0\r\n", "", 0);
    good("0\r\n\r\nGET", "", 5);
    good("5\r\nhello\r\n0\r\n\r\n", "hello", 2);
    good("2\r\nhe\r\n3\r\nllo\r\n0\r\nT: u\r\n\r\n", "hello", 8);
    good("0000000000000005\r\nhello\r\n0000000000000000\r\n", "hello", 0);
    good("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n", "01234567890123456789", 0);
    good("4\r\n\r\n0\n\r\n0\r\n", "\r\n0\n", 0);
}

static void extensions(void **state)
{
    (void)state;
    good("5;a=b\r\nhello\r\n0\r\n", "hello", 0);
    good("5 ;a=\"b;c\\\"d\"\r\nhello\r\n0;last\r\n", "hello", 0);
    good("5 \t ; a = b ; c\r\nhello\r\n0 ;x\r\n", "hello", 0);
    good("5;a=\"\";b\t=\t\"\\\xe4\t\xe4\"\r\nhello\r\n0 ;x=y\r\n", "hello", 0);
    char text[800];
    for (int len = 255; len <= 256; len++) {
        snprintf(text, sizeof text, "1;%0*d\r\nx\r\n0;%0*d\r\n", len - 1, 0, len - 1, 0);
        good(text, "x", 0);
    }
}

static void refusals(void **state)
{
    (void)state;
    static const struct {
        struct str text;
        enum http1_error error;
    } rows[] = {
        {STR(""), HTTP1_OK},
        {STR("5"), HTTP1_OK},
        {STR("\r\n"), HTTP1_CHUNK_BAD_SIZE},
        {STR("\n"), HTTP1_CHUNK_BAD_SIZE},
        {STR(" 5\r\n"), HTTP1_CHUNK_BAD_SIZE},
        {STR(";a\r\n"), HTTP1_CHUNK_BAD_SIZE},
        {STR("g\r\n"), HTTP1_CHUNK_BAD_SIZE},
        {STR("-1\r\n"), HTTP1_CHUNK_BAD_SIZE},
        {STR("+1\r\n"), HTTP1_CHUNK_BAD_SIZE},
        {STR("0x1\r\n"), HTTP1_CHUNK_BAD_SIZE},
        {STR("1_0\r\n"), HTTP1_CHUNK_BAD_SIZE},
        {STR("5,\r\n"), HTTP1_CHUNK_BAD_SIZE},
        {STR("5\0\r\n"), HTTP1_CHUNK_BAD_SIZE},
        {STR("8000000000000000\r\n"), HTTP1_CHUNK_BAD_SIZE},
        {STR("ffffffffffffffff\r\n"), HTTP1_CHUNK_BAD_SIZE},
        {STR("10000000000000005\r\n"), HTTP1_CHUNK_BAD_SIZE},
        {STR("00000000000000005\r\n"), HTTP1_CHUNK_BAD_SIZE},
        {STR("7fffffffffffffff\r\n"), HTTP1_OK},
        {STR("5\n"), HTTP1_BARE_LF},
        {STR("5;a\n"), HTTP1_BARE_LF},
        {STR("5 \n"), HTTP1_BARE_LF},
        {STR("5\rx"), HTTP1_BARE_CR},
        {STR("5\r\r\n"), HTTP1_BARE_CR},
        {STR("5;a\rb\r\n"), HTTP1_BARE_CR},
        {STR("5 \r\n"), HTTP1_CHUNK_BAD_EXTENSION},
        {STR("5 a\r\n"), HTTP1_CHUNK_BAD_EXTENSION},
        {STR("5;a\0\r\n"), HTTP1_CHUNK_BAD_EXTENSION},
        {STR("5;\x7f\r\n"), HTTP1_CHUNK_BAD_EXTENSION},
        {STR("5;\r\n"), HTTP1_CHUNK_BAD_EXTENSION},
        {STR("5;;a\r\n"), HTTP1_CHUNK_BAD_EXTENSION},
        {STR("5;=a\r\n"), HTTP1_CHUNK_BAD_EXTENSION},
        {STR("5;a=\r\n"), HTTP1_CHUNK_BAD_EXTENSION},
        {STR("5;a b\r\n"), HTTP1_CHUNK_BAD_EXTENSION},
        {STR("5;a \r\n"), HTTP1_CHUNK_BAD_EXTENSION},
        {STR("5;a=b c\r\n"), HTTP1_CHUNK_BAD_EXTENSION},
        {STR("5;a=\"b\r\n"), HTTP1_CHUNK_BAD_EXTENSION},
        {STR("5;a=\"b\\\"\r\n"), HTTP1_CHUNK_BAD_EXTENSION},
        {STR("5;a=\"\\\1\"\r\n"), HTTP1_CHUNK_BAD_EXTENSION},
        {STR("5;a=\"b\"c\r\n"), HTTP1_CHUNK_BAD_EXTENSION},
        {STR("5;\xe4\r\n"), HTTP1_CHUNK_BAD_EXTENSION},
        {STR("5;a=\"b\n"), HTTP1_BARE_LF},
        {STR("5\r\nhello\n"), HTTP1_CHUNK_BAD_END},
        {STR("5\r\nhellox"), HTTP1_CHUNK_BAD_END},
        {STR("5\r\nhello\rx"), HTTP1_CHUNK_BAD_END},
        {STR("5\r\nhello0\r\n"), HTTP1_CHUNK_BAD_END},
        {STR("5\r\nhello\r\n\r\n"), HTTP1_CHUNK_BAD_SIZE},
    };
    for (unsigned i = 0; i < weir_count(rows); i++) {
        struct body body = read_all_ways(rows[i].text.ptr, rows[i].text.len);
        if (body.error != -(ssize_t)rows[i].error)
            print_error("row %u: %zd\n", i, body.error);
        assert_int_equal(body.error, -(ssize_t)rows[i].error);
        assert_false(body.last);
    }
}

static void too_long_extensions(void **state)
{
    (void)state;
    char text[400];
    snprintf(text, sizeof text, "1;%0256d\r\nx\r\n", 0);
    assert_int_equal(read_all_ways(text, strlen(text)).error, -HTTP1_CHUNK_BAD_EXTENSION);
    snprintf(text, sizeof text, "1%*s", 257, ";");
    assert_int_equal(read_all_ways(text, strlen(text)).error, -HTTP1_CHUNK_BAD_EXTENSION);
}

static void data_comes_in_one_span(void **state)
{
    (void)state;
    struct http1_chunked chunked = {.left = 0};
    struct str data;
    const char *text = "a\r\n0123456789\r\n";
    assert_int_equal(http1_chunked_read(&chunked, text, strlen(text), &data), 13);
    span_is(data, "0123456789");
    assert_int_equal(chunked.left, 0);
    assert_int_equal(http1_chunked_read(&chunked, text + 13, 2, &data), 2);
    assert_int_equal(data.len, 0);
    assert_int_equal(http1_chunked_read(&chunked, text, 0, &data), 0);
    /* A span that ends with the buffer leaves the rest of its chunk for later. */
    assert_int_equal(http1_chunked_read(&chunked, text, 7, &data), 7);
    span_is(data, "0123");
    assert_int_equal(chunked.left, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies),
        cmocka_unit_test(extensions),
        cmocka_unit_test(refusals),
        cmocka_unit_test(too_long_extensions),
        cmocka_unit_test(data_comes_in_one_span),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
