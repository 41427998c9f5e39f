/* Request heads: net/http1_request.c and http1_fields.c. Each message is parsed whole, byte by byte
 * and in random pieces by the fixture. */
#include "tests/unit/net/http1_fixture.h"

#define LINE "GET /x HTTP/1.1\r\n"
#define HOST "Host: a.example\r\n"

static const struct http1_head *good(const char *text)
{
    return accepted(REQUEST, METHOD_GET, text);
}

#define bad(text, error) refused(REQUEST, text, sizeof(text) - 1, HTTP1_##error)
/* With a good request line and Host before, and an empty line behind. */
#define bad_field(text, error) bad(LINE HOST text "\r\n\r\n", error)
#define good_field(text) good(LINE HOST text "\r\n\r\n")

static void a_plain_request(void **state)
{
    (void)state;
    const struct http1_head *head =
        good("GET /a/b?c=d HTTP/1.1\r\nHost: a.example:81\r\nX-Y:z\r\n\r\n");
    assert_int_equal(head->method, METHOD_GET);
    span_is(head->method_name, "GET");
    assert_int_equal(head->target_form, HTTP1_ORIGIN_FORM);
    span_is(head->target, "/a/b?c=d");
    span_is(head->path_query, "/a/b?c=d");
    span_is(head->authority, "a.example:81");
    span_is(head->scheme, "");
    assert_int_equal(head->minor, 1);
    assert_int_equal(head->body, HTTP1_BODY_NONE);
    assert_false(head->has_content_length);
    assert_int_equal(head->count, 2);
    assert_int_equal(head->list[0].id, FIELD_HOST);
    assert_int_equal(head->list[1].id, FIELD_OTHER);
    span_is(field_name(&head->list[1]), "X-Y");
    span_is(field_value(&head->list[1]), "z");
}

static void what_follows_the_head_is_left(void **state)
{
    (void)state;
    const char text[] = LINE HOST "\r\nGET /2 HTTP/1.1\r\n";
    const struct parse *p =
        parse_all_ways(REQUEST, METHOD_GET, text, sizeof text - 1, &usual_limits);
    assert_int_equal(p->result, sizeof LINE HOST "\r\n" - 1);
}

static void empty_lines_before(void **state)
{
    (void)state;
    good("\r\n" LINE HOST "\r\n");
    span_is(good("\r\n\r\n\r\n\r\n" LINE HOST "\r\n")->target, "/x");
    bad("\r\n\r\n\r\n\r\n\r\n" LINE HOST "\r\n", BAD_METHOD);
    bad("\n" LINE HOST "\r\n", BARE_LF);
    bad("\r" LINE HOST "\r\n", BARE_CR);
}

static void methods(void **state)
{
    (void)state;
    assert_int_equal(good("PATCH /x HTTP/1.1\r\n" HOST "\r\n")->method, METHOD_PATCH);
    const struct http1_head *head = good("p!#$%&'*+-.^_`|~9 /x HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(head->method, METHOD_OTHER);
    span_is(head->method_name, "p!#$%&'*+-.^_`|~9");
    assert_int_equal(good("get /x HTTP/1.1\r\n" HOST "\r\n")->method, METHOD_OTHER);
    bad(" GET /x HTTP/1.1\r\n", BAD_METHOD);
    bad("GE(T /x HTTP/1.1\r\n", BAD_METHOD);
    bad("GET\t/x HTTP/1.1\r\n", BAD_METHOD);
    bad("GET\r\n\r\n", BAD_METHOD);
    bad("GET\n", BARE_LF);
    bad("GET\rx", BARE_CR);
    bad("G\0T /x HTTP/1.1\r\n", BAD_METHOD);
    bad("G\xc3T /x HTTP/1.1\r\n", BAD_METHOD);
    bad("\x16\x03\x01\x02", BAD_METHOD);
}

static void origin_form(void **state)
{
    (void)state;
    /* Not of the URI syntax, but sent by clients and passed on by others; see docs/http1.md. */
    span_is(good("GET /\"<>\\^`{|}[] HTTP/1.1\r\n" HOST "\r\n")->target, "/\"<>\\^`{|}[]");
    span_is(good("GET //x?/:@%zz HTTP/1.1\r\n" HOST "\r\n")->path_query, "//x?/:@%zz");
    bad("GET  /x HTTP/1.1\r\n", BAD_TARGET);
    bad("GET \t/x HTTP/1.1\r\n", BAD_TARGET);
    bad("GET /x\ty HTTP/1.1\r\n", BAD_TARGET);
    bad("GET /x#y HTTP/1.1\r\n", BAD_TARGET);
    bad("GET /x\x7f HTTP/1.1\r\n", BAD_TARGET);
    bad("GET /\xc3\xa4 HTTP/1.1\r\n", BAD_TARGET);
    bad("GET /\0 HTTP/1.1\r\n", BAD_TARGET);
    bad("GET /\x1f HTTP/1.1\r\n", BAD_TARGET);
    bad("GET x HTTP/1.1\r\n", BAD_TARGET);
    bad("GET ?x HTTP/1.1\r\n", BAD_TARGET);
    bad("GET \r\n", BAD_TARGET);
    bad("GET /x\n", BARE_LF);
    bad("GET /x\ry HTTP/1.1\r\n", BARE_CR);
}

static void absolute_form(void **state)
{
    (void)state;
    const struct http1_head *head =
        good("GET http://b.example:81/p?q HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_int_equal(head->target_form, HTTP1_ABSOLUTE_FORM);
    span_is(head->scheme, "http");
    span_is(head->authority, "b.example:81");
    span_is(head->path_query, "/p?q");
    span_is(head->target, "http://b.example:81/p?q");
    span_is(good("GET HTTPS://b HTTP/1.1\r\n" HOST "\r\n")->scheme, "HTTPS");
    span_is(good("GET http://b HTTP/1.1\r\n" HOST "\r\n")->path_query, "/");
    span_is(good("GET http://b?q HTTP/1.1\r\n" HOST "\r\n")->path_query, "?q");
    span_is(good("OPTIONS http://b HTTP/1.1\r\n" HOST "\r\n")->path_query, "*");
    span_is(good("OPTIONS http://b/ HTTP/1.1\r\n" HOST "\r\n")->path_query, "/");
    span_is(good("GET http://[::1]:80/ HTTP/1.1\r\n" HOST "\r\n")->authority, "[::1]:80");
    span_is(good("GET http://b/ HTTP/1.0\r\n\r\n")->authority, "b");
    bad("GET ftp://b/ HTTP/1.1\r\n", BAD_TARGET);
    bad("GET http:/b HTTP/1.1\r\n", BAD_TARGET);
    bad("GET http:// HTTP/1.1\r\n", BAD_TARGET);
    bad("GET http:///x HTTP/1.1\r\n", BAD_TARGET);
    bad("GET https:// HTTP/1.1\r\n", BAD_TARGET);
    bad("GET http://?x HTTP/1.1\r\n", BAD_TARGET);
    bad("GET http://u@b/ HTTP/1.1\r\n", BAD_TARGET);
    bad("GET http://u:p@b/ HTTP/1.1\r\n", BAD_TARGET);
    bad("GET http://b:x/ HTTP/1.1\r\n", BAD_TARGET);
    bad("GET http://b/ HTTP/1.1\r\n\r\n", HOST_MISSING);
    bad("GET http://b/ HTTP/1.1\r\nHost: a b\r\n\r\n", HOST_BAD);
}

static void authority_and_asterisk_form(void **state)
{
    (void)state;
    const struct http1_head *head =
        good("CONNECT b.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_int_equal(head->target_form, HTTP1_AUTHORITY_FORM);
    span_is(head->authority, "b.example:443");
    span_is(head->path_query, "");
    head = good("OPTIONS * HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(head->target_form, HTTP1_ASTERISK_FORM);
    span_is(head->path_query, "*");
    span_is(head->authority, "a.example");
    bad("CONNECT b.example HTTP/1.1\r\n", BAD_TARGET);
    bad("CONNECT b.example: HTTP/1.1\r\n", BAD_TARGET);
    bad("CONNECT /x HTTP/1.1\r\n", BAD_TARGET);
    bad("CONNECT http://b:1 HTTP/1.1\r\n", BAD_TARGET);
    bad("GET * HTTP/1.1\r\n", BAD_TARGET);
    bad("OPTIONS *x HTTP/1.1\r\n", BAD_TARGET);
    bad("PRI * HTTP/2.0\r\n", BAD_TARGET);
}

static void versions(void **state)
{
    (void)state;
    assert_int_equal(good("GET /x HTTP/1.0\r\n\r\n")->minor, 0);
    assert_int_equal(good("GET /x HTTP/1.9\r\n" HOST "\r\n")->minor, 1);
    bad("GET /x HTTP/2.0\r\n", UNSUPPORTED_VERSION);
    bad("GET /x HTTP/0.9\r\n", UNSUPPORTED_VERSION);
    bad("GET /x\r\n", BAD_VERSION);
    bad("GET /x \r\n", BAD_VERSION);
    bad("GET /x  HTTP/1.1\r\n", BAD_VERSION);
    bad("GET /x y HTTP/1.1\r\n", BAD_VERSION);
    bad("GET /x HTTP/1.1 \r\n", BAD_VERSION);
    bad("GET /x HTTP/1.10\r\n", BAD_VERSION);
    bad("GET /x HTTP/1\r\n", BAD_VERSION);
    bad("GET /x HTTP/2\r\n", BAD_VERSION);
    bad("GET /x HTTP/1,1\r\n", BAD_VERSION);
    bad("GET /x http/1.1\r\n", BAD_VERSION);
    bad("GET /x HTTP/1.1\n", BARE_LF);
    bad("GET /x HTTP/1.\n", BARE_LF);
    bad("GET /x HTTP/1.1\rx", BARE_CR);
}

static void field_names(void **state)
{
    (void)state;
    span_is(field_name(&good_field("!#$%&'*+-.^_`|~09AZaz: 1")->list[1]), "!#$%&'*+-.^_`|~09AZaz");
    bad_field("X Y: 1", SPACE_BEFORE_COLON);
    bad_field("X : 1", SPACE_BEFORE_COLON);
    bad_field("X\t: 1", SPACE_BEFORE_COLON);
    bad_field(": 1", BAD_FIELD_NAME);
    bad_field("X", BAD_FIELD_NAME);
    bad_field("X(Y): 1", BAD_FIELD_NAME);
    bad_field("X\0Y: 1", BAD_FIELD_NAME);
    bad_field("X\x7f: 1", BAD_FIELD_NAME);
    bad_field("X\xe4: 1", BAD_FIELD_NAME);
    bad_field("\"X\": 1", BAD_FIELD_NAME);
    bad_field("X/Y: 1", BAD_FIELD_NAME);
    bad_field("X\rY: 1", BARE_CR);
    bad_field("X\nY: 1", BARE_LF);
    bad_field(" X: 1", OBS_FOLD);
    bad_field("X: 1\r\n 2", OBS_FOLD);
    bad_field("X: 1\r\n\t2", OBS_FOLD);
    bad(LINE " " HOST "\r\n", OBS_FOLD);
}

static void field_values(void **state)
{
    (void)state;
    span_is(field_value(&good_field("X:")->list[1]), "");
    span_is(field_value(&good_field("X: \t ")->list[1]), "");
    span_is(field_value(&good_field("X:\t a\tb  c \t")->list[1]), "a\tb  c");
    span_is(field_value(&good_field("X: \x80\xff:\"#")->list[1]), "\x80\xff:\"#");
    bad_field("X: a\0b", BAD_FIELD_VALUE);
    bad_field("X: a\x01", BAD_FIELD_VALUE);
    bad_field("X: a\x1f", BAD_FIELD_VALUE);
    bad_field("X: a\x7f", BAD_FIELD_VALUE);
    bad_field("X: a\x0b", BAD_FIELD_VALUE);
    bad_field("X: a\rb", BARE_CR);
    bad_field("X: a\r\rb", BARE_CR);
    bad_field("X: a\nb: c", BARE_LF);
    bad(LINE HOST "\n", BARE_LF);
    bad(LINE HOST "\rx", BARE_CR);
}

static void hosts(void **state)
{
    (void)state;
    static const char *const legal[] = {
        "a",    "a.b:80",        "a:",      "127.0.0.1:8080", "[::1]", "[2001:db8::1]:443", "a_b~c",
        "%41b", "a!$&'()*+,;=b", "a:65535", "xn--a."};
    for (unsigned i = 0; i < weir_count(legal); i++) {
        char text[200];
        snprintf(text, sizeof text, LINE "Host: %s\r\n\r\n", legal[i]);
        span_is(good(text)->authority, legal[i]);
    }
    static const char *const illegal[] = {"",
                                          " ",
                                          "a b",
                                          "u@a",
                                          "a/b",
                                          "a:b",
                                          "a:65536",
                                          "a:4294967376",
                                          "a:000080",
                                          ":80",
                                          "[::1",
                                          "[::1]x",
                                          "[]",
                                          "[g]",
                                          "[::1%25eth0]",
                                          "[v1.a]",
                                          "a%4",
                                          "a%zz",
                                          "a?",
                                          "a#",
                                          "::1",
                                          "a\\b",
                                          "<a>",
                                          "\xc3\xa4",
                                          "http://a",
                                          "a:80:80",
                                          "[::1]:x",
                                          "[1111:1111:1111:1111:1111:1111:1111:1111:1111:1111]"};
    for (unsigned i = 0; i < weir_count(illegal); i++) {
        char text[200];
        snprintf(text, sizeof text, LINE "Host: %s\r\n\r\n", illegal[i]);
        refused(REQUEST, text, strlen(text), HTTP1_HOST_BAD);
    }
    bad(LINE "\r\n", HOST_MISSING);
    bad_field("Host: a.example", HOST_REPEATED);
    bad("GET /x HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", HOST_REPEATED);
    bad("GET /x HTTP/1.0\r\nHost: a b\r\n\r\n", HOST_BAD);
    span_is(good("GET /x HTTP/1.0\r\n\r\n")->authority, "");
    span_is(good("GET /x HTTP/1.0\r\nhOST: a\r\n\r\n")->authority, "a");
}

static void lengths(void **state)
{
    (void)state;
    const struct http1_head *head = good_field("content-LENGTH: 0042");
    assert_int_equal(head->body, HTTP1_BODY_LENGTH);
    assert_true(head->has_content_length);
    assert_int_equal(head->content_length, 42);
    assert_int_equal(good_field("Content-Length: 0")->body, HTTP1_BODY_LENGTH);
    assert_true(good_field("Content-Length: 9223372036854775807")->content_length == INT64_MAX);
    bad_field("Content-Length: 9223372036854775808", LENGTH_BAD);
    bad_field("Content-Length: 18446744073709551621", LENGTH_BAD);
    bad_field("Content-Length: 99999999999999999999999999", LENGTH_BAD);
    bad_field("Content-Length:", LENGTH_BAD);
    bad_field("Content-Length: +5", LENGTH_BAD);
    bad_field("Content-Length: -5", LENGTH_BAD);
    bad_field("Content-Length: 5 5", LENGTH_BAD);
    bad_field("Content-Length: 0x5", LENGTH_BAD);
    bad_field("Content-Length: 5.", LENGTH_BAD);
    bad_field("Content-Length: \"5\"", LENGTH_BAD);
    bad_field("Content-Length: 5\r\nContent-Length: 5", LENGTH_REPEATED);
    bad_field("Content-Length: 5\r\nContent-Length: 6", LENGTH_REPEATED);
    bad_field("Content-Length: 5, 5", LENGTH_REPEATED);
    bad_field("Content-Length: 5,6", LENGTH_REPEATED);
}

static void codings(void **state)
{
    (void)state;
    assert_int_equal(good_field("Transfer-Encoding: chunked")->body, HTTP1_BODY_CHUNKED);
    assert_int_equal(good_field("transfer-encoding:  ChunKed ")->body, HTTP1_BODY_CHUNKED);
    bad_field("Transfer-Encoding: chunked\r\nContent-Length: 5", LENGTH_AND_CODING);
    bad_field("Content-Length: 5\r\nTransfer-Encoding: chunked", LENGTH_AND_CODING);
    bad_field("Content-Length: 5\r\nTransfer-Encoding: x", LENGTH_AND_CODING);
    bad_field("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", CODING_UNKNOWN);
    static const char *const unknown[] = {
        "",          "gzip",      "gzip, chunked", "chunked, chunked", "chunked,",
        ", chunked", "identity",  "\"chunked\"",   "chunked;a=b",      "xchunked",
        "chunked x", "chun\tked", "chunked\x80"};
    for (unsigned i = 0; i < weir_count(unknown); i++) {
        char text[200];
        snprintf(text, sizeof text, LINE HOST "Transfer-Encoding: %s\r\n\r\n", unknown[i]);
        refused(REQUEST, text, strlen(text), HTTP1_CODING_UNKNOWN);
    }
    bad("GET /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", CODING_IN_HTTP10);
    /* Spelt otherwise, it is another field. */
    assert_int_equal(good_field("Transfer_Encoding: x")->body, HTTP1_BODY_NONE);
}

static void connection_options(void **state)
{
    (void)state;
    const struct http1_head *head = good_field("Connection: keep-alive");
    assert_true(head->keep_alive && !head->close && !head->upgrade);
    head = good_field("Connection: x, CLOSE ,y");
    assert_true(head->close && !head->keep_alive);
    head = good_field("Connection: Keep-Alive\r\nConnection: close");
    assert_true(head->close && head->keep_alive);
    head = good_field("Connection: closed, xclose");
    assert_false(head->close);
    assert_true(good_field("Connection: Upgrade\r\nUpgrade: websocket")->upgrade);
    assert_true(good_field("Upgrade: x\r\nConnection: a,upgrade")->upgrade);
    assert_false(good_field("Connection: upgrade")->upgrade);
    assert_true(good_field("Connection: upgrade\r\nUpgrade: h2cx")->upgrade);
    assert_false(good_field("Connection: upgrade\r\nUpgrade: H2c")->upgrade);
    assert_false(good_field("Upgrade: x\r\nConnection: upgrade\r\nUpgrade: \"y, h2c")->upgrade);
    assert_true(good_field("Connection: \"x, close")->close);
    assert_false(good_field("Upgrade: x")->upgrade);
    assert_false(good("GET /x HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")->upgrade);
}

static void expectations_and_te(void **state)
{
    (void)state;
    assert_true(good_field("Expect: 100-Continue")->expect_continue);
    assert_true(good_field("Expect: a, 100-continue")->expect_continue);
    assert_false(good_field("Expect: 100-continued")->expect_continue);
    assert_false(good("GET /x HTTP/1.0\r\nExpect: 100-continue\r\n\r\n")->expect_continue);
    assert_true(good_field("TE: trailers")->te_trailers);
    assert_true(good_field("TE: gzip;q=0.5, Trailers")->te_trailers);
    assert_false(good_field("TE: gzip")->te_trailers);
}

static ssize_t with_limits(const char *text, size_t bytes, unsigned fields)
{
    const struct http1_limits limits = {bytes, fields};
    return parse_all_ways(REQUEST, METHOD_GET, text, strlen(text), &limits)->result;
}

static void limits_of_bytes(void **state)
{
    (void)state;
    const char *text = LINE HOST "\r\n";
    size_t line = strlen(LINE), len = strlen(text);
    for (size_t bytes = 0; bytes < len + 3; bytes++) {
        ssize_t want = bytes < line ? -HTTP1_TARGET_TOO_LONG : -HTTP1_HEAD_TOO_LARGE;
        assert_int_equal(with_limits(text, bytes, 9), bytes >= len ? (ssize_t)len : want);
    }
    /* What is wrong before the limit is told as what it is. */
    assert_int_equal(with_limits("GET /x\x01 HTTP/1.1\r\n", 8, 9), -HTTP1_BAD_TARGET);
    assert_int_equal(with_limits("GET /x\x01 HTTP/1.1\r\n", 6, 9), -HTTP1_TARGET_TOO_LONG);
}

static void limits_of_fields(void **state)
{
    (void)state;
    const char *two = LINE HOST "A: 1\r\n\r\n";
    assert_int_equal(with_limits(two, 999, 2), strlen(two));
    assert_int_equal(with_limits(two, 999, 1), -HTTP1_TOO_MANY_FIELDS);
    assert_int_equal(with_limits(two, 999, 0), -HTTP1_TOO_MANY_FIELDS);
    assert_int_equal(with_limits(LINE HOST " A", 999, 1), -HTTP1_OBS_FOLD);
    struct parse p;
    parse_begin(&p);
    p.head.capacity = 1;
    parse_go_on(&p, REQUEST, METHOD_GET, two, strlen(two), &usual_limits);
    assert_int_equal(p.result, -HTTP1_TOO_MANY_FIELDS);
}

static void a_name_that_no_row_can_hold(void **state)
{
    (void)state;
    static char text[70000];
    const struct http1_limits limits = {sizeof text, 9};
    memset(text, 'a', sizeof text);
    memcpy(text, LINE, strlen(LINE));
    text[sizeof text - 2] = ':';
    struct parse p;
    parse_begin(&p);
    parse_go_on(&p, REQUEST, METHOD_GET, text, sizeof text - 1, &limits);
    assert_int_equal(p.result, -HTTP1_HEAD_TOO_LARGE);
}

/* Every call begins where the last one stopped, or the work would grow with the square of the
 * length. */
static void a_long_line_byte_by_byte(void **state)
{
    (void)state;
    static char text[100000];
    const struct http1_limits limits = {sizeof text + 1, 9};
    memset(text, 'a', sizeof text);
    memcpy(text, LINE "Host: ", strlen(LINE "Host: "));
    struct parse p;
    parse_begin(&p);
    for (size_t have = 1; have <= sizeof text; have++) {
        parse_go_on(&p, REQUEST, METHOD_GET, text, have, &limits);
        assert_int_equal(p.result, 0);
        if (have > strlen(LINE))
            assert_int_equal(p.head.resume, have);
    }
}

static void a_head_is_used_again(void **state)
{
    (void)state;
    struct parse p;
    const char *first =
        "POST http://b/ HTTP/1.0\r\nConnection: close\r\nContent-Length: 5\r\nTE: trailers\r\n\r\n";
    const char *second = LINE HOST "\r\n";
    parse_begin(&p);
    parse_go_on(&p, REQUEST, METHOD_GET, first, strlen(first), &usual_limits);
    assert_int_equal(p.result, strlen(first));
    http1_head_reset(&p.head);
    parse_go_on(&p, REQUEST, METHOD_GET, second, strlen(second), &usual_limits);
    struct parse fresh;
    parse_begin(&fresh);
    parse_go_on(&fresh, REQUEST, METHOD_GET, second, strlen(second), &usual_limits);
    same_parse(&fresh, &p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_request),
        cmocka_unit_test(what_follows_the_head_is_left),
        cmocka_unit_test(empty_lines_before),
        cmocka_unit_test(methods),
        cmocka_unit_test(origin_form),
        cmocka_unit_test(absolute_form),
        cmocka_unit_test(authority_and_asterisk_form),
        cmocka_unit_test(versions),
        cmocka_unit_test(field_names),
        cmocka_unit_test(field_values),
        cmocka_unit_test(hosts),
        cmocka_unit_test(lengths),
        cmocka_unit_test(codings),
        cmocka_unit_test(connection_options),
        cmocka_unit_test(expectations_and_te),
        cmocka_unit_test(limits_of_bytes),
        cmocka_unit_test(limits_of_fields),
        cmocka_unit_test(a_name_that_no_row_can_hold),
        cmocka_unit_test(a_long_line_byte_by_byte),
        cmocka_unit_test(a_head_is_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
