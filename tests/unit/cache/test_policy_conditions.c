/* cache/policy_conditions.c: when a client's conditions make the answer a 304. */
#include "policy_fixture.h"

#define WALL_S 784111777 /* Sun, 06 Nov 1994 08:49:37 GMT */
#define AT_0 "Sun, 06 Nov 1994 08:00:00 GMT"
#define AT_1 "Sun, 06 Nov 1994 08:00:01 GMT"
#define AT_2 "Sun, 06 Nov 1994 08:00:02 GMT"
#define TAG "ETag: \"v\"\r\n"
#define MODIFIED "Last-Modified: " AT_1 "\r\n"
#define INM "If-None-Match: "
#define IMS "If-Modified-Since: "

struct row {
    const char *name, *request, *block;
    bool wanted;
};

static void check_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct head head = head_of(rows[i].request);
        bool got =
            policy_not_modified(fields_of(&head), METHOD_GET, 200, str_from(rows[i].block), WALL_S);
        expect_row(rows[i].name, got, rows[i].wanted);
    }
    no_row_failed();
}

static void test_if_none_match_rfc9110_13_1_2(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"no condition", "Host: a", TAG, false},
        {"the same", INM "\"v\"", TAG, true},
        {"another", INM "\"w\"", TAG, false},
        {"longer", INM "\"vv\"", TAG, false},
        {"shorter", INM "\"\"", TAG, false},
        {"case matters", INM "\"V\"", TAG, false},
        {"weak asks §8.8.3.2", INM "W/\"v\"", TAG, true},
        {"weak stored", INM "\"v\"", "ETag: W/\"v\"\r\n", true},
        {"both weak", INM "W/\"v\"", "ETag: W/\"v\"\r\n", true},
        {"w/ is no W/", INM "w/\"v\"", TAG, false},
        {"empty tag", INM "\"\"", "ETag: \"\"\r\n", true},
        {"list, first", INM "\"v\", \"w\"", TAG, true},
        {"list, last", INM "\"u\",W/\"w\" ,\t\"v\"", TAG, true},
        {"list, white space behind", INM "\"v\" \t , \"w\"", TAG, true},
        {"list without", INM "\"u\", \"w\"", TAG, false},
        {"empty members", INM ",, \"v\",", TAG, true},
        {"lines", INM "\"u\"\n" INM "\"v\"", TAG, true},
        {"lines without", INM "\"u\"\n" INM "\"w\"", TAG, false},
        {"comma in the tag", INM "\"a,b\"", "ETag: \"a,b\"\r\n", true},
        {"comma in another", INM "\"a, \"v\"\"", TAG, false},
        {"backslash is no escape", INM "\"a\\\", \"v\"", TAG, true},
        {"backslash in the tag", INM "\"a\\\"", "ETag: \"a\\\"\r\n", true},
        {"bytes above 127", INM "\"\xc3\xbc\"", "ETag: \"\xc3\xbc\"\r\n", true},
        {"*", INM "*", TAG, true},
        {"* without a stored tag", INM "*", "Server: x\r\n", true},
        {"a tag without a stored one", INM "\"v\"", "Server: x\r\n", false},
        {"a tag that is *", INM "\"*\"", TAG, false},
    };
    check_rows(rows, weir_count(rows));
}

static void test_if_none_match_malformed(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"empty", INM, TAG, false},
        {"without quotes", INM "v", TAG, false},
        {"without quotes, both", INM "v", "ETag: v\r\n", false},
        {"stored without quotes", INM "\"v\"", "ETag: v\r\n", false},
        {"stored with text behind", INM "\"v\"", "ETag: \"v\"x\r\n", false},
        {"does not end", INM "\"v", TAG, false},
        {"does not begin", INM "v\"", TAG, false},
        {"text behind", INM "\"v\"x", TAG, false},
        {"text before", INM "x\"v\"", TAG, false},
        {"two without a comma", INM "\"v\" \"w\"", TAG, false},
        {"W without slash", INM "W\"v\"", TAG, false},
        {"W/ alone", INM "W/", TAG, false},
        {"space behind W/", INM "W/ \"v\"", TAG, false},
        {"a malformed member is skipped", INM "v, \"v\"", TAG, true},
        {"* in a list", INM "*, \"w\"", TAG, false},
        {"* in a list with the tag", INM "*, \"v\"", TAG, true},
        {"* in a line of several", INM "*\n" INM "\"w\"", TAG, false},
    };
    check_rows(rows, weir_count(rows));
}

static void test_if_modified_since_rfc9110_13_1_3(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"at", IMS AT_1, MODIFIED, true},
        {"before", IMS AT_0, MODIFIED, false},
        {"behind", IMS AT_2, MODIFIED, true},
        {"rfc850", IMS "Sunday, 06-Nov-94 08:00:01 GMT", MODIFIED, true},
        {"asctime", IMS "Sun Nov  6 08:00:01 1994", MODIFIED, true},
        {"no date", IMS "yesterday", MODIFIED, false},
        {"empty", IMS, MODIFIED, false},
        {"two members", IMS AT_1 ", " AT_1, MODIFIED, false},
        {"two lines", IMS AT_1 "\n" IMS AT_1, MODIFIED, false},
        {"no Last-Modified: Date (RFC 9111 §4.3.2)", IMS AT_1, "Date: " AT_1 "\r\n", true},
        {"no Last-Modified: Date behind", IMS AT_1, "Date: " AT_2 "\r\n", false},
        {"Last-Modified, not Date", IMS AT_1, "Date: " AT_0 "\r\nLast-Modified: " AT_2 "\r\n",
         false},
        {"Last-Modified over a later Date", IMS AT_1, "Date: " AT_2 "\r\n" MODIFIED, true},
        {"bad Last-Modified", IMS AT_1, "Date: " AT_0 "\r\nLast-Modified: x\r\n", false},
        {"neither", IMS AT_1, TAG, false},
    };
    check_rows(rows, weir_count(rows));
}

static void test_precedence_rfc9110_13_2_2(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"both hold", INM "\"v\"\n" IMS AT_1, TAG MODIFIED, true},
        {"the tag differs", INM "\"w\"\n" IMS AT_1, TAG MODIFIED, false},
        {"the tag differs, other order", IMS AT_1 "\n" INM "\"w\"", TAG MODIFIED, false},
        {"the date is before", INM "\"v\"\n" IMS AT_0, TAG MODIFIED, true},
        {"a bad If-None-Match counts", INM "\n" IMS AT_1, TAG MODIFIED, false},
        {"no tag stored", INM "\"v\"\n" IMS AT_1, MODIFIED, false},
        {"others are not looked at",
         "If-Match: \"v\"\nIf-Unmodified-Since: " AT_1 "\nIf-Range: \"v\"", TAG MODIFIED, false},
    };
    check_rows(rows, weir_count(rows));
}

static void test_methods_and_statuses_rfc9110_13_2_1(void **state)
{
    (void)state;
    struct head head = head_of(INM "\"v\"");
    for (unsigned method = 0; method < METHODS; method++)
        assert_int_equal(
            policy_not_modified(fields_of(&head), (enum method)method, 200, str_from(TAG), WALL_S),
            method == METHOD_GET || method == METHOD_HEAD || method == METHOD_QUERY);
    for (unsigned status = 200; status < 600; status++)
        assert_int_equal(
            policy_not_modified(fields_of(&head), METHOD_GET, status, str_from(TAG), WALL_S),
            status == 200);
}

static void test_entity_tags_rfc9110_8_8_3(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        bool wanted;
    } rows[] = {
        {"\"v\"", true},         {"W/\"v\"", true},  {"\"\"", true}, {"v", false},
        {"\"v", false},          {"W/v", false},     {"", false},    {"\"v\" ", false},
        {"\"v\", \"w\"", false}, {"w/\"v\"", false}, {"\"", false},
    };
    for (size_t i = 0; i < weir_count(rows); i++)
        expect_row(rows[i].value, policy_is_entity_tag(str_from(rows[i].value)), rows[i].wanted);
    no_row_failed();
    assert_false(policy_is_entity_tag(str_of(NULL, 0)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_if_none_match_rfc9110_13_1_2),
        cmocka_unit_test(test_if_none_match_malformed),
        cmocka_unit_test(test_if_modified_since_rfc9110_13_1_3),
        cmocka_unit_test(test_precedence_rfc9110_13_2_2),
        cmocka_unit_test(test_methods_and_statuses_rfc9110_13_2_1),
        cmocka_unit_test(test_entity_tags_rfc9110_8_8_3),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
