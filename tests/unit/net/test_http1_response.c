/* Response heads: net/http1_response.c. Field lines are tested with requests; here what differs. */
#include "tests/unit/net/http1_fixture.h"

static const struct http1_head *good(const char *text)
{
    return accepted(RESPONSE, METHOD_GET, text);
}

#define bad(text, error) refused(RESPONSE, text, sizeof(text) - 1, HTTP1_##error)

static void status_lines(void **state)
{
    (void)state;
    const struct http1_head *head = good("HTTP/1.1 404 Not Found\r\nServer: x\r\n\r\n");
    assert_int_equal(head->status, 404);
    span_is(head->reason, "Not Found");
    assert_int_equal(head->minor, 1);
    assert_int_equal(head->list[0].id, FIELD_SERVER);
    span_is(good("HTTP/1.1 200\r\n\r\n")->reason, "");
    span_is(good("HTTP/1.1 200 \r\n\r\n")->reason, "");
    span_is(good("HTTP/1.1 200 \t\xe4 x\r\n\r\n")->reason, "\t\xe4 x");
    assert_int_equal(good("HTTP/1.0 599 X\r\n\r\n")->minor, 0);
    assert_int_equal(good("HTTP/1.2 100 X\r\n\r\n")->minor, 1);
    bad("HTTP/1.1 099 X\r\n\r\n", BAD_STATUS_LINE);
    bad("HTTP/1.1 600 X\r\n\r\n", BAD_STATUS_LINE);
    bad("HTTP/1.1 20 X\r\n\r\n", BAD_STATUS_LINE);
    bad("HTTP/1.1 2000 X\r\n\r\n", BAD_STATUS_LINE);
    bad("HTTP/1.1 2x0 X\r\n\r\n", BAD_STATUS_LINE);
    bad("HTTP/1.1  200 X\r\n\r\n", BAD_STATUS_LINE);
    bad("HTTP/1.1 200\tX\r\n\r\n", BAD_STATUS_LINE);
    bad("HTTP/1.1 200 X\x01\r\n\r\n", BAD_STATUS_LINE);
    bad("HTTP/1.1 200 X\x7f\r\n\r\n", BAD_STATUS_LINE);
    bad("HTTP/1.1 \r\n\r\n", BAD_STATUS_LINE);
    bad("HTTP/1.1 200 X\n", BARE_LF);
    bad("HTTP/1.1 200\n", BARE_LF);
    bad("HTTP/1.1 200 X\rY", BARE_CR);
    bad("HTTP/1.1 200\rY", BARE_CR);
}

static void versions(void **state)
{
    (void)state;
    bad("HTTP/2.0 200 OK\r\n\r\n", UNSUPPORTED_VERSION);
    bad("HTTP/0.9 200 OK\r\n\r\n", UNSUPPORTED_VERSION);
    bad("HTTP/2 200 OK\r\n\r\n", BAD_VERSION);
    bad("HTTP/1.10 200 OK\r\n\r\n", BAD_VERSION);
    bad("HTTP/1.1\r\n\r\n", BAD_VERSION);
    bad("ICY 200 OK\r\n\r\n", BAD_VERSION);
    bad("\r\nHTTP/1.1 200 OK\r\n\r\n", BAD_VERSION);
    bad("<html>", BAD_VERSION);
    bad("\nHTTP/1.1 200 OK\r\n\r\n", BARE_LF);
}

static enum http1_body body(enum method method, const char *status, const char *fields)
{
    char text[200];
    snprintf(text, sizeof text, "HTTP/1.1 %s X\r\n%s\r\n", status, fields);
    return accepted(RESPONSE, method, text)->body;
}

#define LENGTH "Content-Length: 7\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n"

static void framing(void **state)
{
    (void)state;
    static const char *const without[] = {"100", "101", "103", "199", "204", "304"};
    static const char *const fields[] = {"", LENGTH, CHUNKED};
    for (unsigned i = 0; i < weir_count(fields); i++) {
        for (unsigned j = 0; j < weir_count(without); j++)
            assert_int_equal(body(METHOD_GET, without[j], fields[i]), HTTP1_BODY_NONE);
        assert_int_equal(body(METHOD_HEAD, "200", fields[i]), HTTP1_BODY_NONE);
        assert_int_equal(body(METHOD_CONNECT, "200", fields[i]), HTTP1_BODY_NONE);
        assert_int_equal(body(METHOD_CONNECT, "299", fields[i]), HTTP1_BODY_NONE);
    }
    assert_int_equal(body(METHOD_GET, "200", LENGTH), HTTP1_BODY_LENGTH);
    assert_int_equal(body(METHOD_GET, "200", CHUNKED), HTTP1_BODY_CHUNKED);
    assert_int_equal(body(METHOD_GET, "200", ""), HTTP1_BODY_UNTIL_CLOSE);
    assert_int_equal(body(METHOD_CONNECT, "302", ""), HTTP1_BODY_UNTIL_CLOSE);
    assert_int_equal(body(METHOD_CONNECT, "407", LENGTH), HTTP1_BODY_LENGTH);
    assert_int_equal(body(METHOD_POST, "205", LENGTH), HTTP1_BODY_LENGTH);
    const struct http1_head *head =
        accepted(RESPONSE, METHOD_HEAD, "HTTP/1.1 200 OK\r\n" LENGTH "\r\n");
    assert_true(head->has_content_length);
    assert_int_equal(head->content_length, 7);
}

static void the_rules_of_requests_hold(void **state)
{
    (void)state;
    bad("HTTP/1.1 200 OK\r\n" LENGTH CHUNKED "\r\n", LENGTH_AND_CODING);
    bad("HTTP/1.1 200 OK\r\n" LENGTH LENGTH "\r\n", LENGTH_REPEATED);
    bad("HTTP/1.1 200 OK\r\nContent-Length: 7, 7\r\n\r\n", LENGTH_REPEATED);
    bad("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", LENGTH_BAD);
    bad("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", CODING_UNKNOWN);
    bad("HTTP/1.0 200 OK\r\n" CHUNKED "\r\n", CODING_IN_HTTP10);
    bad("HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", OBS_FOLD);
    bad("HTTP/1.1 200 OK\r\nX : a\r\n\r\n", SPACE_BEFORE_COLON);
    /* A Host, an Expect and a TE mean nothing here. */
    const struct http1_head *head = good(
        "HTTP/1.1 200 OK\r\nHost: /\r\nHost: /\r\nExpect: 100-continue\r\nTE: trailers\r\n\r\n");
    assert_false(head->expect_continue || head->te_trailers);
    head = good("HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_true(head->upgrade);
    assert_true(good("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n")->keep_alive);
}

static void limits(void **state)
{
    (void)state;
    const char *text = "HTTP/1.1 200 OK\r\nA: b\r\n\r\n";
    size_t len = strlen(text);
    for (size_t bytes = 0; bytes < len + 2; bytes++) {
        const struct http1_limits few = {bytes, 1};
        assert_int_equal(parse_all_ways(RESPONSE, METHOD_GET, text, len, &few)->result,
                         bytes < len ? -HTTP1_HEAD_TOO_LARGE : (ssize_t)len);
    }
    const struct http1_limits none = {999, 0};
    assert_int_equal(parse_all_ways(RESPONSE, METHOD_GET, text, len, &none)->result,
                     -HTTP1_TOO_MANY_FIELDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(status_lines), cmocka_unit_test(versions),
        cmocka_unit_test(framing),      cmocka_unit_test(the_rules_of_requests_hold),
        cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
