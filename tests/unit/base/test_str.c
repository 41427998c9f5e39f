/* base/str.c: spans, lists, numbers, the appender. */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

static void assert_str(struct str s, const char *text)
{
    if (!str_equal(s, str_from(text)))
        fail_msg("'%.*s' is not '%s'", (int)s.len, s.ptr ? s.ptr : "", text);
}

static void test_compare_and_trim(void **state)
{
    (void)state;
    assert_true(str_equal_nocase(STR("Content-TYPE"), STR("content-type")));
    assert_false(str_equal_nocase(STR("abc"), STR("abcd")));
    assert_false(str_equal_nocase(STR("a[b"), STR("a{b")));
    assert_false(str_equal_nocase(STR("a@b"), STR("a`b")));
    assert_true(str_equal_nocase(str_from(NULL), STR("")));
    assert_str(str_trim(STR(" \t a b\t ")), "a b");
    assert_str(str_trim(STR(" \t ")), "");
    assert_str(str_trim(str_from(NULL)), "");
    assert_str(str_trim(STR("\ra\r")), "\ra\r");
}

static void test_to_u64(void **state)
{
    (void)state;
    uint64_t value = 77;
    assert_true(str_to_u64(STR("0"), 0, &value));
    assert_int_equal(value, 0);
    assert_true(str_to_u64(STR("18446744073709551615"), UINT64_MAX, &value));
    assert_true(value == UINT64_MAX);
    assert_true(str_to_u64(STR("0000000000000000000000000100"), 100, &value));
    assert_int_equal(value, 100);
    const char *bad[] = {
        "",   " 1", "1 ", "-1", "+1", "1a", "0x1", "18446744073709551616", "99999999999999999999",
        "1:", "1/"};
    for (size_t i = 0; i < weir_count(bad); i++)
        assert_false(str_to_u64(str_from(bad[i]), UINT64_MAX, &value));
    assert_false(str_to_u64(STR("101"), 100, &value));
    assert_false(str_to_u64(STR("7"), 6, &value));
    assert_true(str_to_u64(STR("6"), 6, &value));
    assert_int_equal(value, 6);
}

static void assert_list(const char *text, const char *joined)
{
    char out[256];
    struct appender a = appender_on(out, sizeof out - 1);
    struct str rest = str_from(text), element;
    while (str_list_next(&rest, &element)) {
        append_lit(&a, "<");
        append_str(&a, element);
        append_lit(&a, ">");
    }
    out[a.len] = '\0';
    assert_string_equal(out, joined);
}

static void test_list(void **state)
{
    (void)state;
    assert_list("a", "<a>");
    assert_list("a,b , c\t,\td", "<a><b><c><d>");
    assert_list(",, ,a,,b, ,", "<a><b>");
    assert_list("", "");
    assert_list(" , ", "");
    assert_list("a=\"x,y\", b", "<a=\"x,y\"><b>");
    assert_list("a=\"x\\\",y\", b", "<a=\"x\\\",y\"><b>");
    assert_list("a=\"x\\\\\", b", "<a=\"x\\\\\"><b>");
    assert_list("a\\,b", "<a\\><b>");
    assert_list("\"open, b", "<\"open, b>");
    assert_list("\"open\\", "<\"open\\>");
    struct str rest = str_from(NULL), element;
    assert_false(str_list_next(&rest, &element));
}

static void test_tokens(void **state)
{
    (void)state;
    struct str rest = str_from("a, \"b,c\" ,,\t\"d,\\,e ,"), element;
    static const char *const expected[] = {"a", "\"b", "c\"", "\"d", "\\", "e"};
    for (unsigned i = 0; i < weir_count(expected); i++) {
        assert_true(str_tokens_next(&rest, &element));
        assert_str(element, expected[i]);
    }
    assert_false(str_tokens_next(&rest, &element));
    rest = str_from(NULL);
    assert_false(str_tokens_next(&rest, &element));
}

static void test_append_lower(void **state)
{
    (void)state;
    char all[256], out[257];
    for (unsigned i = 0; i < sizeof all; i++)
        all[i] = (char)i;
    for (size_t len = 0; len <= sizeof all; len++) {
        struct appender a = appender_on(out, len);
        append_lower(&a, str_of(all + sizeof all - len, len));
        assert_true(a.len == len && !a.overflow);
        for (size_t i = 0; i < len; i++)
            assert_int_equal(out[i], ascii_lower(all[sizeof all - len + i]));
    }
    struct appender short_one = appender_on(out, 3);
    append_lower(&short_one, STR("ABCD"));
    assert_true(short_one.overflow);
}

static void test_tchars(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        bool is = c != 0 && (strchr("!#$%&'*+-.^_`|~", c) != NULL || (c < 128 && isalnum(c)));
        assert_int_equal(ascii_is_tchar((char)c), is);
    }
}

static void test_append_numbers(void **state)
{
    (void)state;
    uint64_t values[200];
    unsigned count = 0;
    for (uint64_t power = 1; count < 60; power *= 10) {
        values[count++] = power - 1;
        values[count++] = power;
        values[count++] = power + power / 3;
    }
    values[count++] = UINT64_MAX;
    for (unsigned i = 0; i < 64; i++)
        values[count++] = (uint64_t)1 << i;
    for (unsigned i = 0; i < count; i++) {
        char out[64], expected[64];
        struct appender a = appender_on(out, sizeof out);
        append_u64(&a, values[i]);
        append_lit(&a, "/");
        append_hex(&a, values[i]);
        sprintf(expected, "%llu/%llx", (unsigned long long)values[i],
                (unsigned long long)values[i]);
        assert_str(str_of(out, a.len), expected);
    }
}

static void test_append_overflow(void **state)
{
    (void)state;
    char *out = malloc(4); /* of its own, so that a sanitizer sees the end */
    struct appender a = appender_on(out, 4);
    append_lit(&a, "abcd");
    assert_false(a.overflow);
    append_str(&a, str_from(NULL));
    assert_false(a.overflow);
    append_u64(&a, 5);
    assert_true(a.overflow);
    assert_int_equal(a.len, 4);
    a = appender_on(out, 4);
    append_fmt(&a, "%s", "abc");
    assert_false(a.overflow);
    append_fmt(&a, "%s", "def");
    assert_true(a.overflow);
    assert_str(str_of(out, a.len), "abc");
    a = appender_on(out, 4);
    append_json(&a, STR("a\x01"));
    assert_true(a.overflow);
    assert_str(str_of(out, a.len), "a");
    a = appender_on(NULL, 0);
    append_fmt(&a, "%d", 1);
    assert_true(a.overflow);
    free(out);
}

static void assert_json(struct str in, const char *expected)
{
    char out[256];
    char *exact = malloc(in.len + 1); /* the end of s is the end of the memory */
    char *copy = memcpy(realloc(exact, in.len ? in.len : 1), in.ptr, in.len);
    struct appender a = appender_on(out, sizeof out);
    append_json(&a, str_of(copy, in.len));
    assert_str(str_of(out, a.len), expected);
    free(copy);
}

static void test_append_json(void **state)
{
    (void)state;
    assert_json(STR(""), "");
    assert_json(STR("plain"), "plain");
    assert_json(STR("\"a\\b\"\n"), "\\\"a\\\\b\\\"\\n");
    assert_json(STR("\x00\x1f\x7f"), "\\u0000\\u001f\\u007f");
    assert_json(STR("z\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z"),
                "z\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z");
    assert_json(STR("\xff\x80"), "\\u00ff\\u0080");
    assert_json(STR("\xc3"), "\\u00c3");
    assert_json(STR("\xe2\x82"), "\\u00e2\\u0082");
    assert_json(STR("\xc0\xaf"), "\\u00c0\\u00af");                       /* overlong */
    assert_json(STR("\xe0\x80\xaf"), "\\u00e0\\u0080\\u00af");            /* overlong */
    assert_json(STR("\xed\xa0\x80"), "\\u00ed\\u00a0\\u0080");            /* a surrogate */
    assert_json(STR("\xf4\x90\x80\x80"), "\\u00f4\\u0090\\u0080\\u0080"); /* too large */
    assert_json(STR("\xf0\x9f\x98\"\xf4\x8f\xbf\xbf"), "\\u00f0\\u009f\\u0098\\\"\xf4\x8f\xbf\xbf");
}

static void test_put_u64(void **state)
{
    char out[32], expected[32];
    (void)state;
    for (uint64_t power = 1, i = 0; i < 20; power *= 10, i++) {
        for (int around = -1; around <= 1; around++) {
            uint64_t value = power + (uint64_t)around;
            size_t len = (size_t)(put_u64(out, value) - out);
            snprintf(expected, sizeof expected, "%llu", (unsigned long long)value);
            assert_str(str_of(out, len), expected);
        }
    }
    assert_str(str_of(out, (size_t)(put_u64(out, UINT64_MAX) - out)), "18446744073709551615");
}

static void test_put_str(void **state)
{
    char from[64], out[66];
    (void)state;
    for (size_t i = 0; i < sizeof from; i++)
        from[i] = (char)('0' + i);
    for (size_t len = 0; len <= sizeof from; len++) {
        memset(out, '!', sizeof out);
        assert_ptr_equal(put_str(out + 1, str_of(from, len)), out + 1 + len);
        assert_memory_equal(out + 1, from, len);
        assert_true(out[0] == '!' && out[1 + len] == '!');
    }
}

static void test_plain_run(void **state)
{
    char text[40 + STR_PLAIN_MARGIN];
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        bool plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
        for (size_t at = 0; at < 40; at++) {
            memset(text, 'a', sizeof text);
            text[at] = (char)c;
            assert_int_equal(str_plain_run(text, 40), plain ? 40 : at);
            assert_int_equal(str_plain_run(text, at), at); /* what lies behind does not count */
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compare_and_trim),
        cmocka_unit_test(test_to_u64),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_append_lower),
        cmocka_unit_test(test_tchars),
        cmocka_unit_test(test_append_numbers),
        cmocka_unit_test(test_append_overflow),
        cmocka_unit_test(test_append_json),
        cmocka_unit_test(test_put_u64),
        cmocka_unit_test(test_put_str),
        cmocka_unit_test(test_plain_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
