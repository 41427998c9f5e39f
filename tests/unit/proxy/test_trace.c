/* proxy/trace.c: which ids of the client's go on, and what is made in the place of the others. */
#include "proxy/proxy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define GOOD "00-" TRACE "-b7ad6b7169203331-01"

static struct worker worker;
static struct field list[4];
static struct http1_head head;
static struct request request;

static int set_up(void **state)
{
    (void)state;
    memset(&worker, 0, sizeof(worker));
    trace_seed(&worker);
    return 0;
}

static void ask(void)
{
    memset(&request, 0, sizeof(request));
    head = (struct http1_head){.list = list, .capacity = weir_count(list)};
    request.worker = &worker;
    request.head = &head;
}

static void add(enum field_id id, struct str value)
{
    struct str name = field_id_name(id);

    list[head.count++] = (struct field){.name = name.ptr,
                                        .name_len = (uint16_t)name.len,
                                        .value = value.ptr,
                                        .value_len = (uint32_t)value.len,
                                        .id = (uint16_t)id};
}

static void assert_made(struct str id)
{
    assert_int_equal(id.len, 32);
    for (size_t i = 0; i < id.len; i++)
        assert_non_null(strchr("0123456789abcdef", id.ptr[i]));
}

static void assert_text(struct str s, const char *expected)
{
    assert_int_equal(s.len, strlen(expected));
    assert_memory_equal(s.ptr, expected, s.len);
}

static void a_good_request_id_is_kept(void **state)
{
    static const char *const good[] = {"a", "0af7-6519:1/9+16=cd@43~dd_84.48|eb", "{\xef\xbb}"};
    static const char *const bad[] = {"", "a b", "a\"b", "a\\b", "a,b", "a;b", "a\x7f", "\x1b[0m"};
    char longest[TRACE_REQUEST_ID_MOST + 1];

    (void)state;
    memset(longest, 'x', sizeof(longest));
    for (unsigned i = 0; i < 2; i++) {
        ask();
        add(FIELD_X_REQUEST_ID, str_from(good[i]));
        assert_text(trace_ids(&request).request_id, good[i]);
    }
    ask();
    add(FIELD_X_REQUEST_ID, str_of(longest, TRACE_REQUEST_ID_MOST));
    assert_ptr_equal(trace_ids(&request).request_id.ptr, longest);
    for (unsigned i = 0; i < weir_count(bad); i++) {
        ask();
        add(FIELD_X_REQUEST_ID, str_from(bad[i]));
        assert_made(trace_ids(&request).request_id);
    }
    ask();
    add(FIELD_X_REQUEST_ID, str_from(good[2])); /* bytes that are not ASCII */
    assert_made(trace_ids(&request).request_id);
    ask();
    add(FIELD_X_REQUEST_ID, str_of(longest, sizeof(longest)));
    assert_made(trace_ids(&request).request_id);
    ask();
    add(FIELD_X_REQUEST_ID, STR("one"));
    add(FIELD_X_REQUEST_ID, STR("two"));
    assert_made(trace_ids(&request).request_id);
}

static void made_ids_are_stable_and_differ(void **state)
{
    struct worker other;
    char first[32];

    (void)state;
    ask();
    memcpy(first, trace_ids(&request).request_id.ptr, sizeof(first));
    assert_memory_equal(trace_ids(&request).request_id.ptr, first, sizeof(first));
    assert_memory_equal(trace_ids(&request).trace_id.ptr, first, sizeof(first));
    for (unsigned i = 0; i < 1000; i++) {
        ask();
        assert_made(trace_ids(&request).request_id);
        assert_memory_not_equal(trace_ids(&request).request_id.ptr, first, sizeof(first));
    }
    memset(&other, 0, sizeof(other));
    trace_seed(&other);
    ask();
    request.worker = &other;
    assert_memory_not_equal(trace_ids(&request).request_id.ptr, first, sizeof(first));
}

static void a_good_traceparent_goes_on(void **state)
{
    static const char *const good[] = {GOOD, "00-" TRACE "-b7ad6b7169203331-00",
                                       "cc-" TRACE "-b7ad6b7169203331-ff",
                                       "01-" TRACE "-b7ad6b7169203331-01-what-the-future-brings"};

    (void)state;
    for (unsigned i = 0; i < weir_count(good); i++) {
        char bytes[256], trace[TRACE_ID_BYTES];
        struct appender out = appender_on(bytes, sizeof(bytes));

        ask();
        add(FIELD_TRACEPARENT, str_from(good[i]));
        assert_true(trace_is_continued(&request));
        assert_text(trace_ids(&request).trace_id, TRACE);
        trace_append_fields(&request, &out, trace);
        assert_null(memmem(out.ptr, out.len, "traceparent", 11));
        assert_memory_equal(trace, TRACE, TRACE_ID_BYTES);
    }
}

static void a_bad_traceparent_is_replaced(void **state)
{
    static const char *const bad[] = {
        "",
        "00",
        "00-" TRACE "-b7ad6b7169203331",
        "00-" TRACE "-b7ad6b7169203331-",
        "00-" TRACE "-b7ad6b7169203331-0",
        "00-" TRACE "-b7ad6b7169203331-0g",
        "00-" TRACE "-b7ad6b7169203331-01-more", /* version 00 has no more */
        "00-" TRACE "-b7ad6b7169203331-01.",
        "01-" TRACE "-b7ad6b7169203331-01.",
        "ff-" TRACE "-b7ad6b7169203331-01",
        "0G-" TRACE "-b7ad6b7169203331-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-" TRACE "-B7AD6B7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-" TRACE "-0000000000000000-01",
        "00_" TRACE "-b7ad6b7169203331-01",
        "00-" TRACE "_b7ad6b7169203331-01",
        "00-" TRACE "-b7ad6b7169203331_01",
    };

    (void)state;
    for (unsigned i = 0; i < weir_count(bad); i++) {
        ask();
        add(FIELD_TRACEPARENT, str_from(bad[i]));
        assert_false(trace_is_continued(&request));
        assert_made(trace_ids(&request).trace_id);
    }
    ask();
    add(FIELD_TRACEPARENT, STR(GOOD));
    add(FIELD_TRACEPARENT, STR(GOOD));
    assert_false(trace_is_continued(&request));
}

static void what_is_started_is_well_formed(void **state)
{
    char bytes[TRACE_FIELDS_BYTES], longest[TRACE_REQUEST_ID_MOST], trace[TRACE_ID_BYTES];
    struct appender out = appender_on(bytes, sizeof(bytes));
    struct str id, value;
    const char *at;

    (void)state;
    memset(longest, 'x', sizeof(longest));
    ask();
    add(FIELD_X_REQUEST_ID, str_of(longest, sizeof(longest)));
    id = trace_append_fields(&request, &out, trace);
    assert_false(out.overflow);
    assert_memory_equal(out.ptr, "X-Request-ID: ", 14);
    assert_ptr_equal(id.ptr, out.ptr + 14);
    assert_int_equal(id.len, sizeof(longest));
    at = memmem(out.ptr, out.len, "\r\ntraceparent: ", 15);
    assert_non_null(at);
    value = str_of(at + 15, 55);
    assert_memory_equal(value.ptr + 55, "\r\n", 2);
    assert_ptr_equal(value.ptr + 57, out.ptr + out.len);
    assert_memory_equal(value.ptr + 3, trace_ids(&request).trace_id.ptr, 32);
    assert_memory_equal(value.ptr + 3, trace, 32);

    ask(); /* what Weir starts, another Weir goes on with */
    add(FIELD_TRACEPARENT, value);
    assert_true(trace_is_continued(&request));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_request_id_is_kept),
        cmocka_unit_test(made_ids_are_stable_and_differ),
        cmocka_unit_test(a_good_traceparent_goes_on),
        cmocka_unit_test(a_bad_traceparent_is_replaced),
        cmocka_unit_test(what_is_started_is_well_formed),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
