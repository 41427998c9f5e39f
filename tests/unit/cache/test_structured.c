/* cache/structured.c: structured fields (RFC 9651), each clause of §4.2 on both sides of its bounds. */
#include "cache/structured.h"
#include "policy_fixture.h"

/* What is read, written down again: each member as type and value; "!" where it is malformed. */
static void write_value(const struct structured_value *value, struct appender *out)
{
    static const char *const types[] = {
        [STRUCTURED_INTEGER] = "integer", [STRUCTURED_DECIMAL] = "decimal",
        [STRUCTURED_STRING] = "string",   [STRUCTURED_TOKEN] = "token",
        [STRUCTURED_BYTES] = "bytes",     [STRUCTURED_BOOLEAN] = "boolean",
        [STRUCTURED_DATE] = "date",       [STRUCTURED_DISPLAY_STRING] = "display",
        [STRUCTURED_INNER_LIST] = "list",
    };
    append_fmt(out, "%s ", types[value->type]);
    switch (value->type) {
    case STRUCTURED_INTEGER:
    case STRUCTURED_DECIMAL:
    case STRUCTURED_BOOLEAN:
    case STRUCTURED_DATE:
        append_fmt(out, "%lld", (long long)value->number);
        break;
    case STRUCTURED_STRING:
    case STRUCTURED_TOKEN:
    case STRUCTURED_BYTES:
    case STRUCTURED_DISPLAY_STRING:
    case STRUCTURED_INNER_LIST:
        append_str(out, value->text);
        break;
    }
}

/* Behind the text lies a byte that would go on with it: one read too many shows. */
static void read_all(const char *text, char behind, bool dictionary, struct appender *out)
{
    size_t len = strlen(text);
    char *exact = malloc(len + 1);
    memcpy(exact, text, len);
    exact[len] = behind;
    struct str rest = str_of(exact, len), key = STR("");
    enum structured_found found;
    for (;;) {
        struct structured_value value;
        found = dictionary ? structured_dictionary_next(&rest, &key, &value)
                           : structured_list_next(&rest, &value);
        if (found != STRUCTURED_MEMBER)
            break;
        if (out->len > 0)
            append_lit(out, " | ");
        if (dictionary) {
            append_str(out, key);
            append_lit(out, ": ");
        }
        write_value(&value, out);
    }
    if (found == STRUCTURED_MALFORMED) {
        out->len = 0;
        append_lit(out, "!");
    }
    free(exact);
}

struct row {
    const char *text, *wanted;
};

static void check_row(const struct row *row, char behind, bool dictionary)
{
    char room[512];
    struct appender out = appender_on(room, sizeof(room));
    read_all(row->text, behind, dictionary, &out);
    assert_false(out.overflow);
    if (str_equal(str_of(out.ptr, out.len), str_from(row->wanted)))
        return;
    print_error("%s (%c behind it): is \"%.*s\", not \"%s\"\n", row->text, behind, (int)out.len,
                out.ptr, row->wanted);
    failed_rows++;
}

static void check_rows(const struct row *rows, size_t count, bool dictionary)
{
    for (size_t i = 0; i < count; i++) {
        for (const char *behind = "\"1:)=;a, c"; *behind; behind++)
            check_row(&rows[i], *behind, dictionary);
    }
    no_row_failed();
}

static void test_numbers_4_2_4(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"0", "integer 0"},
        {"9", "integer 9"},
        {"-0", "integer 0"},
        {"42", "integer 42"},
        {"-42", "integer -42"},
        {"007", "integer 7"},
        {"999999999999999", "integer 999999999999999"},
        {"-999999999999999", "integer -999999999999999"},
        {"1000000000000000", "!"},
        {"-", "!"},
        {"--1", "!"},
        {"- 1", "!"},
        {"-a", "!"},
        {"+1", "!"},
        {"1.5", "decimal 1500"},
        {"1.25", "decimal 1250"},
        {"1.125", "decimal 1125"},
        {"-1.5", "decimal -1500"},
        {"0.001", "decimal 1"},
        {"1.1255", "!"},
        {"1.", "!"},
        {".5", "!"},
        {"1..5", "!"},
        {"1.5.", "!"},
        {"999999999999.9", "decimal 999999999999900"},
        {"1000000000000.9", "!"},
        {"4_2", "!"},
        {"4 2", "!"},
        {"0x1", "!"},
    };
    check_rows(rows, weir_count(rows), false);
}

static void test_strings_4_2_5(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"\"\"", "string "},
        {"\"a b\"", "string a b"},
        {"\" ~\"", "string  ~"},
        {"\"a, b\"", "string a, b"},
        {"\"\\\"\\\\\"", "string \\\"\\\\"},
        {"\"a\\b\"", "!"},
        {"\"a\\", "!"},
        {"\"a\\\"", "!"},
        {"\"a", "!"},
        {"\"", "!"},
        {"\"\x1f\"", "!"},
        {"\"\x7f\"", "!"},
        {"\"\xc3\xa9\"", "!"},
        {"\"a\"b", "!"},
        {"'a'", "!"},
    };
    check_rows(rows, weir_count(rows), false);
}

static void test_tokens_4_2_6(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"a", "token a"},
        {"z", "token z"},
        {"A", "token A"},
        {"Z", "token Z"},
        {"*", "token *"},
        {"a:b/c", "token a:b/c"},
        {"a!#$%&'*+-.^_`|~09AZ", "token a!#$%&'*+-.^_`|~09AZ"},
        {"a@", "!"},
        {"a[", "!"},
        {"a{", "!"},
        {"a\"", "!"},
        {"a(", "!"},
        {"[", "!"},
        {"`", "!"},
        {"{", "!"},
        {"!a", "!"},
        {":a", "!"},
        {"/a", "!"},
    };
    check_rows(rows, weir_count(rows), false);
}

static void test_bytes_4_2_7(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"::", "bytes "},
        {":aGVsbG8=:", "bytes aGVsbG8="},
        {":aGVsbA==:", "bytes aGVsbA=="},
        {":aGVs:", "bytes aGVs"},
        {":AZaz09+/:", "bytes AZaz09+/"},
        {":aGVsbG8:", "bytes aGVsbG8"},
        {":aGVsbA:", "bytes aGVsbA"},
        {":aGVsbA=:", "bytes aGVsbA="},
        {":aGVsb:", "!"},
        {":aGVsb===:", "!"},
        {":aGVs=:", "!"},
        {":aGVsbG8==:", "!"},
        {":aGVsbA===:", "!"},
        {":=:", "!"},
        {":aG=Vs:", "!"},
        {":aG Vs:", "!"},
        {":aG-V:", "!"},
        {":aG_V:", "!"},
        {":aGVs", "!"},
        {":", "!"},
    };
    check_rows(rows, weir_count(rows), false);
}

static void test_booleans_4_2_8(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"?1", "boolean 1"}, {"?0", "boolean 0"}, {"?2", "!"},  {"?", "!"},
        {"?T", "!"},         {"?11", "!"},        {"? 1", "!"}, {"?-1", "!"},
    };
    check_rows(rows, weir_count(rows), false);
}

static void test_dates_4_2_9(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"@0", "date 0"},
        {"@1659578233", "date 1659578233"},
        {"@-1", "date -1"},
        {"@1659578233.1", "!"},
        {"@1000000000000000", "!"},
        {"@", "!"},
        {"@a", "!"},
        {"@ 1", "!"},
    };
    check_rows(rows, weir_count(rows), false);
}

static void test_display_strings_4_2_10(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"%\"\"", "display "},
        {"%\"a ~ b\"", "display a ~ b"},
        {"%\"f%c3%bc\"", "display f%c3%bc"},
        {"%\"%e2%82%ac%f0%9f%98%80\"", "display %e2%82%ac%f0%9f%98%80"},
        {"%\"%00%22%25%7f\"", "display %00%22%25%7f"},
        {"%\"%0a%9\"", "!"},
        {"%\"%C3%BC\"", "!"},
        {"%\"%c3%bC\"", "!"},
        {"%\"%cg\"", "!"},
        {"%\"%g0\"", "!"},
        {"%\"%g0%9f%98%80\"", "!"},
        {"%\"%c3\"", "!"},
        {"%\"%c3a\"", "!"},
        {"%\"%bc\"", "!"},
        {"%\"%ff\"", "!"},
        {"%\"%ed%a0%80\"", "!"},
        {"%\"\xc3\xbc\"", "!"},
        {"%\"\x1f\"", "!"},
        {"%\"\x7f\"", "!"},
        {"%\"%\"", "!"},
        {"%\"%a", "!"},
        {"%\"%61", "!"},
        {"%\"a", "!"},
        {"%", "!"},
        {"%a\"", "!"},
        {"%'a'", "!"},
    };
    check_rows(rows, weir_count(rows), false);
}

static void test_lists_4_2_1(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"", ""},
        {"   ", ""},
        {"  1", "integer 1"},
        {"\t1", "!"},
        {"1  ", "integer 1"},
        {"1,2", "integer 1 | integer 2"},
        {"1 \t, \t2 \t", "integer 1 | integer 2"},
        {"1, 1", "integer 1 | integer 1"},
        {"1,", "!"},
        {"1, ", "!"},
        {",1", "!"},
        {"1,,2", "!"},
        {"1 2", "!"},
        {"1;2", "!"},
        {"a;b", "token a"},
        {"a;b=1;c=\"x\";  *d=?0", "token a"},
        {"a;b ;c", "!"},
        {"a; b= 1", "!"},
        {"a;b =1", "!"},
        {"a;B", "!"},
        {"a;\tb", "!"},
        {"a;", "!"},
        {"a;b=", "!"},
        {"a;b=(1)", "!"},
        {"a;1", "!"},
        {"()", "list "},
        {"( )", "list  "},
        {"(1 2)", "list 1 2"},
        {"(  1   b;c=1  )", "list   1   b;c=1  "},
        {"(a);b=1, ()", "list a | list "},
        {"(1,2)", "!"},
        {"(1\t2)", "!"},
        {"(1\"a\")", "!"},
        {"(1", "!"},
        {"(1 ", "!"},
        {"(", "!"},
        {"((1))", "!"},
        {"(1))", "!"},
        {"(a);B", "!"},
        {"&", "!"},
    };
    check_rows(rows, weir_count(rows), false);
}

static void test_dictionaries_4_2_2(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"", ""},
        {"  ", ""},
        {"a=1", "a: integer 1"},
        {"  a=1  ", "a: integer 1"},
        {"a", "a: boolean 1"},
        {"a;b=2, c", "a: boolean 1 | c: boolean 1"},
        {"a=?0", "a: boolean 0"},
        {"a=1;b, c=(1 2);d", "a: integer 1 | c: list 1 2"},
        {"a=1,a=2", "a: integer 1 | a: integer 2"},
        {"*a-b_c.d*9z=1", "*a-b_c.d*9z: integer 1"},
        {"a=1 \t,\t b=x", "a: integer 1 | b: token x"},
        {"A=1", "!"},
        {"aB=1", "!"},
        {"1=1", "!"},
        {"-a=1", "!"},
        {"_a", "!"},
        {".a", "!"},
        {"=1", "!"},
        {"a=", "!"},
        {"a= 1", "!"},
        {"a =1", "!"},
        {"a=1 b", "!"},
        {"a=1,", "!"},
        {"a=1, ", "!"},
        {"a,,b", "!"},
        {",a", "!"},
        {"a;", "!"},
        {"a;B", "!"},
        {"a=(1", "!"},
        {"a==1", "!"},
        {"max-age=10000, &&&&&", "!"},
    };
    check_rows(rows, weir_count(rows), true);
}

static void test_nul_is_no_character(void **state)
{
    (void)state;
    static const struct str texts[] = {{"a\0b", 3}, {"\0a", 2}, {"\"\0\"", 3}, {"a;\0", 3}};
    for (size_t i = 0; i < weir_count(texts); i++) {
        struct structured_value value;
        struct str rest = texts[i], key;
        assert_int_equal(structured_list_next(&rest, &value), STRUCTURED_MALFORMED);
        rest = texts[i];
        assert_int_equal(structured_dictionary_next(&rest, &key, &value), STRUCTURED_MALFORMED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_4_2_4),          cmocka_unit_test(test_strings_4_2_5),
        cmocka_unit_test(test_tokens_4_2_6),           cmocka_unit_test(test_bytes_4_2_7),
        cmocka_unit_test(test_booleans_4_2_8),         cmocka_unit_test(test_dates_4_2_9),
        cmocka_unit_test(test_display_strings_4_2_10), cmocka_unit_test(test_lists_4_2_1),
        cmocka_unit_test(test_dictionaries_4_2_2),     cmocka_unit_test(test_nul_is_no_character),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
