/* cache/policy_range.c: which ranges a request is sent, and when it is sent the whole. */
#include "policy_fixture.h"

#include <sys/mman.h>

#define WALL_S 784111777 /* Sun, 06 Nov 1994 08:49:37 GMT */
#define MODIFIED "Sun, 06 Nov 1994 08:00:00 GMT"
#define TAG "ETag: \"v\"\r\n"
#define DATED "Last-Modified: " MODIFIED "\r\nDate: Sun, 06 Nov 1994 08:01:00 GMT\r\n"
#define RANGE "Range: bytes="
#define IF_RANGE RANGE "0-9\nIf-Range: "

#define ROOM 4096

/* A copy that ends where memory does: a byte read too many ends the program. Each place is used
 * again. */
static void *at_the_end(unsigned place, const void *from, size_t len)
{
    static char *pages;

    if (pages == NULL) {
        pages = mmap(NULL, 16 * ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_ptr_not_equal(pages, MAP_FAILED);
        for (unsigned i = 0; i < 8; i++)
            assert_int_equal(mprotect(pages + (2 * i + 1) * ROOM, ROOM, PROT_NONE), 0);
    }
    assert_true(place < 8 && len <= ROOM);
    return memcpy(pages + (2 * place + 1) * ROOM - len, len > 0 ? from : "", len);
}

/* What a request is sent, as text: "whole", "none", or its ranges. */
static const char *select_ranges(const char *request, struct policy_selected selected,
                                 enum method method)
{
    static char text[1024];
    struct head head = head_of(request);
    struct policy_ranges ranges = {.count = 99};
    struct appender out = appender_on(text, sizeof(text) - 1);
    struct fields fields = {NULL, head.count};

    for (unsigned i = 0; i < head.count; i++)
        head.list[i].value = at_the_end(i, head.list[i].value, head.list[i].value_len);
    fields.list = at_the_end(6, head.list, head.count * sizeof(head.list[0]));
    selected.block.ptr = at_the_end(7, selected.block.ptr, selected.block.len);
    switch (policy_select_ranges(fields, method, &selected, WALL_S, &ranges)) {
    case POLICY_WHOLE:
        return "whole";
    case POLICY_UNSATISFIABLE:
        return "none";
    case POLICY_PARTS:
        break;
    }
    for (unsigned i = 0; i < ranges.count; i++)
        append_fmt(&out, "%s%llu+%llu", i > 0 ? " " : "", (unsigned long long)ranges.spans[i].first,
                   (unsigned long long)ranges.spans[i].length);
    if (ranges.conditional)
        append_lit(&out, " if");
    text[out.len] = '\0';
    return text;
}

static void expect_text(const char *name, const char *got, const char *wanted)
{
    if (strcmp(got, wanted) == 0)
        return;
    print_error("%s: is %s, not %s\n", name, got, wanted);
    failed_rows++;
}

struct row {
    const char *asked; /* behind "bytes=" */
    const char *wanted;
};

static void check_rows(const struct row *rows, size_t count, struct policy_selected selected)
{
    for (size_t i = 0; i < count; i++) {
        char request[2048];

        snprintf(request, sizeof(request), RANGE "%s", rows[i].asked);
        expect_text(rows[i].asked, select_ranges(request, selected, METHOD_GET), rows[i].wanted);
    }
    no_row_failed();
}

static const struct policy_selected of_1000 = {
    .status = 200, .block = {TAG, sizeof(TAG) - 1}, .length = 1000};

static void test_one_range_rfc9110_14_1_2(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"0-0", "0+1"},        {"0-9", "0+10"},      {"0-", "0+1000"},     {"0-998", "0+999"},
        {"0-999", "0+1000"},   {"0-1000", "0+1000"}, {"0-1001", "0+1000"}, {"998-998", "998+1"},
        {"999-999", "999+1"},  {"999-", "999+1"},    {"1000-", "none"},    {"1000-1000", "none"},
        {"1001-2000", "none"}, {"-0", "none"},       {"-1", "999+1"},      {"-999", "1+999"},
        {"-1000", "0+1000"},   {"-1001", "0+1000"},  {"007-0009", "7+3"},  {"5-5", "5+1"},
    };
    check_rows(rows, weir_count(rows), of_1000);
}

static void test_great_numbers(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"0-18446744073709551614", "0+1000"},
        {"0-18446744073709551615", "0+1000"},
        {"0-18446744073709551616", "0+1000"},
        {"0-18446744073709551620", "0+1000"},
        {"0-184467440737095516150", "0+1000"},
        {"0-99999999999999999999999999999999999999999", "0+1000"},
        {"18446744073709551615-", "none"},
        {"18446744073709551616-", "none"},
        {"18446744073709551617-18446744073709551617", "none"},
        {"18446744073709551615-18446744073709551614", "whole"},
        {"184467440737095516160-1", "whole"},
        {"-18446744073709551615", "0+1000"},
        {"-18446744073709551616", "0+1000"},
        {"-99999999999999999999999999999999999999999", "0+1000"},
    };
    check_rows(rows, weir_count(rows), of_1000);
}

static void test_a_sum_above_all_numbers(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"0-,-1000", "0+4611686018427387904"},
        {"0-,0-9,0-", "0+4611686018427387904"},
        {"100-,0-9,100-,0-9,100-,0-9,100-,0-9,100-", "whole"},
    };
    struct policy_selected great = of_1000;
    great.length = (uint64_t)1 << 62;
    check_rows(rows, weir_count(rows), great);
}

static void test_malformed(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"", "whole"},          {",", "whole"},
        {" , ,", "whole"},      {"-", "whole"},
        {"5", "whole"},         {"5-4", "whole"},
        {"1-0", "whole"},       {"a", "whole"},
        {"a-b", "whole"},       {"0-b", "whole"},
        {"a-5", "whole"},       {"0 -5", "whole"},
        {"0- 5", "whole"},      {"0-5 6", "whole"},
        {"0-5;", "whole"},      {"0-5-6", "whole"},
        {"--5", "whole"},       {"0--5", "whole"},
        {"+0-5", "whole"},      {"0-5,", "0+6"},
        {",0-5", "0+6"},        {" 0-5 ", "0+6"},
        {"0-5,5-4", "whole"},   {"5-4,0-5", "whole"},
        {"0-5,a", "whole"},     {"\"0-5\"", "whole"},
        {"0-5/6", "whole"},     {"0-:", "whole"},
        {"0-/", "whole"},       {":-", "whole"},
        {"-5,-", "whole"},      {"0-5,bytes=6-7", "whole"},
        {"2000-,5-4", "whole"}, {"5a6", "whole"},
    };
    check_rows(rows, weir_count(rows), of_1000);
}

static void test_the_unit(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"bytes=0-9", "0+10"},    {"Bytes=0-9", "0+10"},   {"BYTES=0-9", "0+10"},
        {"bytes = 0-9", "whole"}, {"bytes =0-9", "whole"}, {"bytes= 0-9", "0+10"},
        {"byte=0-9", "whole"},    {"bytes0-9", "whole"},   {"bytes:0-9", "whole"},
        {"items=0-9", "whole"},   {"0-9", "whole"},        {"bytes", "whole"},
        {"bytes=", "whole"},      {"", "whole"},           {"xbytes=0-9", "whole"},
    };
    for (size_t i = 0; i < weir_count(rows); i++) {
        char request[64];

        snprintf(request, sizeof(request), "Range: %s", rows[i].asked);
        expect_text(rows[i].asked, select_ranges(request, of_1000, METHOD_GET), rows[i].wanted);
    }
    no_row_failed();
}

static void test_several_ranges_rfc9110_15_3_7_2(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"0-9,500-509", "0+10 500+10"},
        {"500-509,0-9", "500+10 0+10"},
        {"0-9 ,\t,  500-509", "0+10 500+10"},
        {"0-9,2000-,500-", "0+10 500+500"},
        {"2000-,0-9", "0+10"},
        {"0-9,-0", "0+10"},
        {"2000-,-0", "none"},
        {"-10,0-9", "990+10 0+10"},
        /* nearer than what a part costs, on both sides */
        {"0-9,88-99", "0+100"},
        {"0-9,89-99", "0+100"},
        {"0-9,90-99", "0+10 90+10"},
        {"90-99,0-9", "90+10 0+10"},
        {"89-99,0-9", "0+100"},
        {"0-9,10-19", "0+20"},
        {"0-9,5-19", "0+20"},
        {"5-19,0-9", "0+20"},
        {"0-99,10-19", "0+100"},
        {"10-19,0-99", "0+100"},
        {"0-9,0-9", "0+10"},
        {"0-0,1-1,2-2,3-3", "0+4"},
        {"100-199,300-399,290-299,90-99", "100+100 290+110 90+10"},
        {"0-9,500-509,0-9", "0+10 500+10 0+10"},
        /* no more than there is */
        {"600-999,0-199,600-999", "600+400 0+200 600+400"},
        {"600-999,0-200,600-999", "whole"},
        {"599-999,0-199,600-999", "whole"},
        {"0-999,0-999", "0+1000"},
        {"500-999,0-499", "0+1000"},
    };
    check_rows(rows, weir_count(rows), of_1000);
}

static void test_no_more_than_a_few_rfc9110_14_2(void **state)
{
    (void)state;
    char asked[512];
    for (unsigned count = 1; count <= 20; count++) {
        struct appender out = appender_on(asked, sizeof(asked) - 1);
        for (unsigned i = 0; i < count; i++)
            append_fmt(&out, "%s%u-%u", i > 0 ? "," : "", i * 100, i * 100);
        asked[out.len] = '\0';
        char request[600];
        snprintf(request, sizeof(request), RANGE "%s", asked);
        struct policy_selected selected = of_1000;
        selected.length = 10000;
        struct head head = head_of(request);
        struct policy_ranges ranges;
        enum policy_part part =
            policy_select_ranges(fields_of(&head), METHOD_GET, &selected, WALL_S, &ranges);
        assert_int_equal(part, count <= POLICY_SPANS_MOST ? POLICY_PARTS : POLICY_WHOLE);
        if (part == POLICY_PARTS)
            assert_int_equal(ranges.count, count);
        for (unsigned i = 0; part == POLICY_PARTS && i < count; i++) {
            assert_int_equal(ranges.spans[i].first, i * 100);
            assert_int_equal(ranges.spans[i].length, 1);
        }
    }
    /* Those that cannot be satisfied, or are one with others, count as well. */
    static const struct row rows[] = {
        {"0-0,1-1,2-2,3-3,4-4,5-5,6-6,7-7,8-8,9-9,10-10,11-11,12-12,13-13,14-14,15-15", "0+16"},
        {"0-0,1-1,2-2,3-3,4-4,5-5,6-6,7-7,8-8,9-9,10-10,11-11,12-12,13-13,14-14,15-15,16-16",
         "whole"},
        {"-0,-0,-0,-0,-0,-0,-0,-0,-0,-0,-0,-0,-0,-0,-0,-0", "none"},
        {"-0,-0,-0,-0,-0,-0,-0,-0,-0,-0,-0,-0,-0,-0,-0,-0,-0", "whole"},
    };
    check_rows(rows, weir_count(rows), of_1000);
}

static void test_what_arrives_goes_by_once(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"0-9", "0+10"},
        {"-10", "990+10"},
        {"0-9,500-509", "0+10 500+10"},
        {"0-9,90-99,500-", "0+10 90+10 500+500"},
        {"500-509,0-9", "whole"},
        {"-10,0-9", "whole"},
        {"0-9,300-309,100-109", "whole"},
        {"5-19,0-9", "0+20"},
        {"100-199,300-399,0-9", "whole"},
        {"0-99,300-399,50-60", "whole"},
        {"0-9,500-509,495-499,2000-", "0+10 495+15"},
        {"2000-", "none"},
        {"0-99,300-309,100-290", "0+100 100+210"},
        {"0-99,300-309,99-290", "whole"},
    };
    struct policy_selected arriving = of_1000;
    arriving.arriving = true;
    check_rows(rows, weir_count(rows), arriving);
}

static void test_other_responses_and_methods(void **state)
{
    (void)state;
    static const unsigned statuses[] = {199, 201, 203, 204, 206, 304, 404, 416, 500};
    struct policy_selected selected = of_1000;
    for (unsigned i = 0; i < weir_count(statuses); i++) {
        selected.status = statuses[i];
        assert_string_equal(select_ranges(RANGE "0-9", selected, METHOD_GET), "whole");
        assert_string_equal(select_ranges(RANGE "2000-", selected, METHOD_GET), "whole");
    }
    for (unsigned method = 0; method < METHODS; method++)
        assert_string_equal(select_ranges(RANGE "0-9", of_1000, (enum method)method),
                            method == METHOD_GET ? "0+10" : "whole");
}

static void test_an_empty_body(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"0-", "whole"}, {"0-0", "whole"}, {"-1", "whole"}, {"-0", "whole"}, {"5-9", "whole"}};
    struct policy_selected empty = of_1000, one = of_1000;
    empty.length = 0;
    check_rows(rows, weir_count(rows), empty);
    static const struct row of_one[] = {
        {"0-", "0+1"}, {"0-0", "0+1"}, {"-1", "0+1"}, {"-0", "none"}, {"1-", "none"}};
    one.length = 1;
    check_rows(of_one, weir_count(of_one), one);
}

static void test_repeated_lines(void **state)
{
    (void)state;
    assert_string_equal(select_ranges("Host: a", of_1000, METHOD_GET), "whole");
    assert_string_equal(select_ranges(RANGE "0-9\n" RANGE "0-9", of_1000, METHOD_GET), "whole");
    assert_string_equal(select_ranges(RANGE "0-9\nHost: a\nIf-Range: \"v\"", of_1000, METHOD_GET),
                        "0+10 if");
    assert_string_equal(select_ranges("If-Range: \"v\"\n" RANGE "0-9", of_1000, METHOD_GET),
                        "0+10 if");
    assert_string_equal(
        select_ranges(RANGE "0-9\nIf-Range: \"v\"\nIf-Range: \"v\"", of_1000, METHOD_GET), "whole");
    assert_string_equal(select_ranges("If-Range: \"v\"", of_1000, METHOD_GET), "whole");
}

static void test_encoded(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"0-9", "0+10"}, {"0-9,5-14", "0+15"}, {"0-9,500-509", "whole"}, {"2000-", "none"}};
    struct policy_selected selected = of_1000;
    selected.block = STR(TAG "content-ENCODING: gzip\r\n");
    check_rows(rows, weir_count(rows), selected);
}

struct condition_row {
    const char *name, *condition, *block;
    bool holds;
};

static void check_conditions(const struct condition_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct policy_selected selected = of_1000;
        char request[256];

        selected.block = str_from(rows[i].block);
        snprintf(request, sizeof(request), IF_RANGE "%s", rows[i].condition);
        expect_text(rows[i].name, select_ranges(request, selected, METHOD_GET),
                    rows[i].holds ? "0+10 if" : "whole");
        snprintf(request, sizeof(request), RANGE "2000-\nIf-Range: %s", rows[i].condition);
        expect_text(rows[i].name, select_ranges(request, selected, METHOD_GET),
                    rows[i].holds ? "none" : "whole");
    }
    no_row_failed();
}

static void test_if_range_with_a_tag_rfc9110_13_1_5(void **state)
{
    (void)state;
    static const struct condition_row rows[] = {
        {"the same", "\"v\"", TAG, true},
        {"another", "\"w\"", TAG, false},
        {"longer", "\"vv\"", TAG, false},
        {"shorter", "\"\"", TAG, false},
        {"case matters", "\"V\"", TAG, false},
        {"weak asks", "W/\"v\"", TAG, false},
        {"weak stored", "\"v\"", "ETag: W/\"v\"\r\n", false},
        {"both weak", "W/\"v\"", "ETag: W/\"v\"\r\n", false},
        {"empty tag", "\"\"", "ETag: \"\"\r\n", true},
        {"a list", "\"v\", \"w\"", TAG, false},
        {"a stored list", "\"v\", \"w\"", "ETag: \"v\", \"w\"\r\n", false},
        {"no quotes", "v", "ETag: v\r\n", false},
        {"no end", "\"v", "ETag: \"v\r\n", false},
        {"a quote alone", "\"", "ETag: \"\r\n", false},
        {"something behind", "\"v\"x", "ETag: \"v\"x\r\n", false},
        {"*", "*", TAG, false},
        {"nothing", "", TAG, false},
        {"both nothing", "", "ETag: \r\n", false},
        {"nothing stored", "\"v\"", "Server: x\r\n", false},
        {"no tag and a date", "\"v\"", DATED, false},
        {"comma in the tag", "\"a,b\"", "ETag: \"a,b\"\r\n", true},
        {"bytes above 127", "\"\xc3\xbc\"", "ETag: \"\xc3\xbc\"\r\n", true},
    };
    check_conditions(rows, weir_count(rows));
}

static void test_if_range_with_a_date_rfc9110_8_8_2_2(void **state)
{
    (void)state;
#define LM "Last-Modified: " MODIFIED "\r\n"
    static const struct condition_row rows[] = {
        {"the same", MODIFIED, DATED, true},
        {"rfc850", "Sunday, 06-Nov-94 08:00:00 GMT", DATED, true},
        {"asctime", "Sun Nov  6 08:00:00 1994", DATED, true},
        {"later", "Sun, 06 Nov 1994 08:00:01 GMT", DATED, false},
        {"earlier", "Sun, 06 Nov 1994 07:59:59 GMT", DATED, false},
        {"no date", "yesterday", DATED, false},
        {"one minute", MODIFIED, LM "Date: Sun, 06 Nov 1994 08:01:00 GMT\r\n", true},
        {"more", MODIFIED, LM "Date: Sun, 06 Nov 1994 08:01:01 GMT\r\n", true},
        {"less", MODIFIED, LM "Date: Sun, 06 Nov 1994 08:00:59 GMT\r\n", false},
        {"at once", MODIFIED, LM "Date: " MODIFIED "\r\n", false},
        {"before", MODIFIED, LM "Date: Sun, 06 Nov 1994 07:00:00 GMT\r\n", false},
        {"without Date", MODIFIED, LM, false},
        {"with a malformed one", MODIFIED, LM "Date: today\r\n", false},
        {"without Last-Modified", MODIFIED, "Date: Sun, 06 Nov 1994 08:01:00 GMT\r\n", false},
        {"with a malformed one", MODIFIED,
         "Last-Modified: 0\r\nDate: Sun, 06 Nov 1994 08:01:00 GMT\r\n", false},
        {"both malformed", "x", "Last-Modified: x\r\nDate: Sun, 06 Nov 1994 08:01:00 GMT\r\n",
         false},
        {"Date is not Last-Modified", "Sun, 06 Nov 1994 08:01:00 GMT", DATED, false},
        {"beside a tag", MODIFIED, TAG DATED, true},
    };
    check_conditions(rows, weir_count(rows));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_range_rfc9110_14_1_2),
        cmocka_unit_test(test_great_numbers),
        cmocka_unit_test(test_a_sum_above_all_numbers),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_the_unit),
        cmocka_unit_test(test_several_ranges_rfc9110_15_3_7_2),
        cmocka_unit_test(test_no_more_than_a_few_rfc9110_14_2),
        cmocka_unit_test(test_what_arrives_goes_by_once),
        cmocka_unit_test(test_other_responses_and_methods),
        cmocka_unit_test(test_an_empty_body),
        cmocka_unit_test(test_repeated_lines),
        cmocka_unit_test(test_encoded),
        cmocka_unit_test(test_if_range_with_a_tag_rfc9110_13_1_5),
        cmocka_unit_test(test_if_range_with_a_date_rfc9110_8_8_2_2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
