/* Lines of the access log: what each format looks like, and that no client can forge one. */
#include "proxy/accesslog.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static char line[ACCESS_LINE_BYTES];

static struct http1_head head;
static struct request request;

static struct access_entry usual(void)
{
    head = (struct http1_head){.method_name = STR("GET"),
                               .authority = STR("example.test"),
                               .target = STR("/a?b=c"),
                               .minor = 1};
    request = (struct request){
        .head = &head,
        .sent_bytes = 5,
        .ttl_s = 29,
        .upstream_address = "10.0.0.5:9000",
        .phases = {{2, 3, 4, 5, 7}},
        .retries = 1,
        .wait_us = 11,
        .client_us = 13,
    };
    return (struct access_entry){
        .request = &request,
        .client = STR("127.0.0.1"),
        .status = 200,
        .end = STR("whole"),
        .cache = STR("hit"),
        .reason = STR("uri-miss"),
        .route = STR("example.test/"),
        .total_us = 41,
        .ids = {STR("an-id"), STR("0af7651916cd43dd8448eb211c80319c")},
        .user_agent = STR("agent"),
        .referer = STR("http://x/?y"),
    };
}

static const char *write_line(enum conf_log_format format, struct access_entry *entry)
{
    char time_text[ACCESS_TIME_BYTES];
    size_t len;

    entry->time = access_format_time(format, 1700000000, time_text);
    if (format == CONF_LOG_JSON)
        access_set_ms(time_text, 907);
    len = access_format_line(format, entry, line);
    line[len] = '\0';
    assert_ptr_equal(strchr(line, '\n'), line + len - 1);
    return line;
}

static void test_combined(void **state)
{
    struct access_entry entry = usual();

    (void)state;
    assert_string_equal(write_line(CONF_LOG_COMBINED, &entry),
                        "127.0.0.1 - - [14/Nov/2023:22:13:20 +0000] \"GET /a?b=c HTTP/1.1\" 200 5 "
                        "\"http://x/?y\" \"agent\"\n");
}

#define MEMBERS                                                                                    \
    "{\"time\":\"2023-11-14T22:13:20.907Z\",\"client\":\"127.0.0.1\",\"method\":\"GET\","          \
    "\"host\":\"example.test\",\"target\":\"/"                                                     \
    "a?b=c\",\"status\":200,\"bytes\":5,\"ended\":\"whole\","                                      \
    "\"cache\":\"hit\",\"reason\":\"uri-miss\",\"ttl\":29,\"route\":\"example.test/\","            \
    "\"upstream\":\"10.0.0.5:9000\",\"queue_us\":2,\"connect_us\":3,\"upload_us\":4,\"first_byte_" \
    "us\":5,"                                                                                      \
    "\"body_us\":7,\"total_us\":41,\"retries\":1,\"request_id\":\"an-id\","                        \
    "\"trace_id\":\"0af7651916cd43dd8448eb211c80319c\",\"user_agent\":\"agent\","                  \
    "\"referer\":\"http://x/?y\",\"version\":\"HTTP/1.1\""

static void test_json(void **state)
{
    struct access_entry entry = usual();

    (void)state;
    assert_string_equal(write_line(CONF_LOG_JSON, &entry), MEMBERS "}\n");
}

static void test_no_phases(void **state)
{
    struct access_entry entry = usual();

    (void)state;
    request.phases = (struct phases){0};
    write_line(CONF_LOG_JSON, &entry);
    assert_non_null(strstr(line,
                           ",\"queue_us\":0,\"connect_us\":0,\"upload_us\":0,\"first_byte_us\":0,"
                           "\"body_us\":0,\"total_us\":41,"));
}

static void test_slow_lines_tell_more(void **state)
{
    struct access_entry entry = usual();
    char time_text[ACCESS_TIME_BYTES];

    (void)state;
    entry.time = access_format_time(CONF_LOG_JSON, 1700000000, time_text);
    access_set_ms(time_text, 907);
    line[access_format_slow_line(&entry, line)] = '\0';
    assert_string_equal(line, MEMBERS ",\"wait_us\":11,\"client_us\":13}\n");
}

static void test_what_is_not_known_is_a_dash(void **state)
{
    struct access_entry entry = {
        .request = &request, .client = STR("unix"), .cache = STR("local"), .status = 400};
    json_t *parsed;

    (void)state;
    head = (struct http1_head){0};
    request = (struct request){.head = &head};
    assert_string_equal(
        write_line(CONF_LOG_COMBINED, &entry),
        "unix - - [14/Nov/2023:22:13:20 +0000] \"- - HTTP/1.0\" 400 - \"-\" \"-\"\n");
    parsed = json_loads(write_line(CONF_LOG_JSON, &entry), 0, NULL);
    assert_non_null(parsed);
    for (const char *const *name = (const char *const[]){"method", "host", "target", "route",
                                                         "upstream", "user_agent", "reason", NULL};
         *name; name++)
        assert_string_equal(json_string_value(json_object_get(parsed, *name)), "-");
    json_decref(parsed);
}

static void test_nothing_forges_a_line(void **state)
{
    static const char nasty[] = "\" 999 \"\n{\"status\":1}\r\t\\\x80\xc3\xa4\x7f";
    struct access_entry entry = usual();
    json_t *parsed;

    (void)state;
    head.target = head.authority = entry.user_agent = entry.referer =
        str_of(nasty, sizeof(nasty)); /* its zero byte too */
    parsed = json_loads(write_line(CONF_LOG_JSON, &entry), JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL,
                        NULL);
    assert_non_null(parsed);
    assert_int_equal(json_integer_value(json_object_get(parsed, "status")), 200);
    json_decref(parsed);

    write_line(CONF_LOG_COMBINED, &entry);
    assert_non_null(strstr(
        line, "\\x22 999 \\x22\\x0A{\\x22status\\x22:1}\\x0D\\x09\\x5C\\x80\\xC3\\xA4\\x7F\\x00"));
    unsigned quotes = 0;
    for (const char *at = line; *at; at++)
        quotes += *at == '"';
    assert_int_equal(quotes, 6);
}

/* Every byte of the client's to be escaped, and of each more than is shown. */
static void test_the_longest_line_has_room(void **state)
{
    size_t len = 2 * ACCESS_TARGET_MOST;
    char *nasty = malloc(len), time_text[ACCESS_TIME_BYTES];
    struct access_entry entry = usual();
    size_t json, combined;

    (void)state;
    memset(nasty, 1, len);
    head.target = head.authority = entry.user_agent = entry.referer = str_of(nasty, len);
    entry.route = str_of(nasty, 6 * ACCESS_VALUE_MOST); /* as escaped */
    head.method_name = str_of(nasty, len);
    entry.reason = str_of(nasty, 256);
    memset(request.upstream_address, 1, sizeof(request.upstream_address) - 1);
    request.phases = (struct phases){{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};
    request.sent_bytes = request.wait_us = request.client_us = entry.total_us = UINT64_MAX;
    entry.time = access_format_time(CONF_LOG_JSON, 1700000000, time_text);
    json = access_format_slow_line(&entry, line);
    assert_in_range(json, 6 * (ACCESS_TARGET_MOST + 3 * ACCESS_VALUE_MOST),
                    sizeof(line) - STR_PLAIN_MARGIN);
    combined = access_format_line(CONF_LOG_COMBINED, &entry, line);
    assert_in_range(combined, 4 * (ACCESS_TARGET_MOST + 2 * ACCESS_VALUE_MOST), json);
    free(nasty);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_combined),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_no_phases),
        cmocka_unit_test(test_slow_lines_tell_more),
        cmocka_unit_test(test_what_is_not_known_is_a_dash),
        cmocka_unit_test(test_nothing_forges_a_line),
        cmocka_unit_test(test_the_longest_line_has_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
