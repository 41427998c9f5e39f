/* Shared by the tests of conf/ that go through conf_parse(). Include after cmocka.h. */
#ifndef WEIR_TEST_CONF_EXPECT_H
#define WEIR_TEST_CONF_EXPECT_H

#include "conf/conf.h"

/* Parses text, which must be wrong in just these lines: "line:column: what; what to do\n" each, or
 * without a place. */
static inline void expect_errors(const char *text, const char *lines)
{
    struct conf_errors errors;
    struct conf *conf = conf_parse("f", text, strlen(text), &errors);
    char expected[8192];
    struct appender out = appender_on(expected, sizeof(expected) - 1);
    unsigned count = 0;
    for (const char *at = lines; *at; count++) {
        size_t len = strcspn(at, "\n") + 1;
        append_lit(&out, "f:");
        if (*at < '0' || *at > '9')
            append_lit(&out, " ");
        append(&out, at, len);
        at += len;
    }
    expected[out.len] = '\0';
    if (conf)
        fail_msg("accepted:\n%s", text);
    assert_string_equal(errors.text, expected);
    assert_int_equal(errors.count, count);
    assert_int_equal(errors.text_len, out.len);
    assert_false(errors.unreadable);
    conf_errors_destroy(&errors);
}

/* Parses text, which must be right; the caller owns the result. */
static inline struct conf *expect_good(const char *text)
{
    struct conf_errors errors;
    struct conf *conf = conf_parse("f", text, strlen(text), &errors);
    if (!conf)
        fail_msg("%s", errors.text);
    assert_int_equal(errors.count, 0);
    return conf;
}

/* The smallest file, to which other sections can be added in front. */
#define SMALLEST                                                                                   \
    "upstreams: {api: {servers: [\"http://127.0.0.1:9000\"]}}\nroutes: [{upstream: api}]\n"

#endif
