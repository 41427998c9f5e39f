/* net/http1.c: trailer sections, moved heads, the table of errors. */
#include "tests/unit/net/http1_fixture.h"

static void trailers(void **state)
{
    (void)state;
    assert_int_equal(accepted(TRAILERS, METHOD_GET, "\r\n")->count, 0);
    const struct http1_head *head =
        accepted(TRAILERS, METHOD_GET, "X-Sum: 9\r\nX-Other:\t b \r\n\r\n");
    assert_int_equal(head->count, 2);
    span_is(field_name(&head->list[0]), "X-Sum");
    span_is(field_value(&head->list[1]), "b");
}

/* They are for the caller to drop, RFC 9110 §6.5.1; whatever is in them is no error. */
static void framing_fields_in_trailers_are_marked(void **state)
{
    (void)state;
    const struct http1_head *head =
        accepted(TRAILERS, METHOD_GET,
                 "Content-Length: x\r\nContent-Length: 1\r\nTransfer-Encoding: y\r\nHost: a b\r\n"
                 "Connection: close\r\n\r\n");
    static const enum field_id ids[] = {FIELD_CONTENT_LENGTH, FIELD_CONTENT_LENGTH,
                                        FIELD_TRANSFER_ENCODING, FIELD_HOST, FIELD_CONNECTION};
    assert_int_equal(head->count, weir_count(ids));
    for (unsigned i = 0; i < weir_count(ids); i++)
        assert_int_equal(head->list[i].id, ids[i]);
    assert_false(head->has_content_length || head->close);
}

static void trailers_are_as_strict_as_heads(void **state)
{
    (void)state;
#define bad(text, error) refused(TRAILERS, text, sizeof(text) - 1, HTTP1_##error)
    bad("\n", BARE_LF);
    bad("\rx", BARE_CR);
    bad("X\r\n", BAD_FIELD_NAME);
    bad("X : y\r\n", SPACE_BEFORE_COLON);
    bad(" X: y\r\n", OBS_FOLD);
    bad("X: y\r\n z\r\n", OBS_FOLD);
    bad("X: y\0\r\n", BAD_FIELD_VALUE);
    bad("X: y\n", BARE_LF);
#undef bad
    const char *text = "A: b\r\n\r\n";
    for (size_t bytes = 0; bytes <= strlen(text); bytes++) {
        const struct http1_limits limits = {bytes, 1};
        ssize_t want = bytes < strlen(text) ? -HTTP1_HEAD_TOO_LARGE : (ssize_t)strlen(text);
        assert_int_equal(parse_all_ways(TRAILERS, METHOD_GET, text, strlen(text), &limits)->result,
                         want);
    }
    const struct http1_limits none = {99, 0};
    assert_int_equal(parse_all_ways(TRAILERS, METHOD_GET, text, strlen(text), &none)->result,
                     -HTTP1_TOO_MANY_FIELDS);
}

static bool lies_in(struct str s, const char *buffer, size_t len)
{
    return s.len == 0 || (s.ptr >= buffer && s.ptr + s.len <= buffer + len);
}

static void a_moved_head_points_nowhere_else(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "GET http://b:1 HTTP/1.1\r\nHost: a\r\nX: y\r\nEmpty:\r\n\r\n",
        "GET http://b?q HTTP/1.1\r\nHost: a\r\n\r\n",
        "OPTIONS http://b HTTP/1.1\r\nHost: a\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT b:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /x?y HTTP/1.0\r\n\r\n",
    };
    for (unsigned i = 0; i < weir_count(texts); i++) {
        size_t len = strlen(texts[i]);
        for (size_t first = 0; first <= len; first++) {
            struct parse moved, still;
            char *from = malloc(len), *to = malloc(len);
            parse_begin(&moved);
            parse_begin(&still);
            parse_go_on(&still, REQUEST, METHOD_GET, texts[i], len, &usual_limits);
            memcpy(from, texts[i], len);
            memcpy(to, texts[i], len);
            parse_go_on(&moved, REQUEST, METHOD_GET, from, first, &usual_limits);
            memset(from, '*', len);
            http1_head_moved(&moved.head, from, to);
            free(from);
            if (moved.result == 0)
                parse_go_on(&moved, REQUEST, METHOD_GET, to, len, &usual_limits);
            same_parse(&still, &moved);
            const struct http1_head *head = &moved.head;
            assert_true(lies_in(head->target, to, len) && lies_in(head->authority, to, len));
            assert_true(lies_in(head->method_name, to, len) && lies_in(head->scheme, to, len));
            assert_true(lies_in(head->path_query, to, len) ||
                        str_equal(head->path_query, STR("*")));
            for (unsigned j = 0; j < head->count; j++)
                assert_true(lies_in(field_name(&head->list[j]), to, len) &&
                            lies_in(field_value(&head->list[j]), to, len));
            free(to);
        }
    }
}

static void errors_have_rows(void **state)
{
    (void)state;
    for (int error = 1; error < HTTP1_ERRORS; error++) {
        const struct http1_error_row *row = http1_error_row((enum http1_error)error);
        assert_true(row->counter[0] != '\0' && row->text[0] != '\0');
        assert_true(row->status >= 400 && row->status <= 599);
    }
    assert_string_equal(http1_error_row(HTTP1_HEAD_TOO_LARGE)->counter, "head_too_large");
    assert_int_equal(http1_error_row(HTTP1_HEAD_TOO_LARGE)->status, 431);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trailers),
        cmocka_unit_test(framing_fields_in_trailers_are_marked),
        cmocka_unit_test(trailers_are_as_strict_as_heads),
        cmocka_unit_test(a_moved_head_points_nowhere_else),
        cmocka_unit_test(errors_have_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
