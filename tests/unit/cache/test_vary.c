/* cache/vary.c: which requests a response that varies was made for (RFC 9111 §4.1). */
#include "policy_fixture.h"

struct variant {
    char bytes[1024];
    size_t len;
};

static bool build(const char *response, const char *request, struct variant *out)
{
    struct head answer = head_of(response), asked = head_of(request);
    struct appender appender = appender_on(out->bytes, sizeof(out->bytes));
    bool built = cache_vary_build(fields_of(&answer), fields_of(&asked), &appender);
    out->len = appender.len;
    return built;
}

static bool matches(const struct variant *variant, const char *request)
{
    struct head asked = head_of(request);
    return cache_vary_matches(str_of(variant->bytes, variant->len), fields_of(&asked));
}

static void test_selecting_fields_4_1(void **state)
{
    (void)state;
    static const struct {
        const char *name, *response, *stored, *asked;
        bool wanted;
    } rows[] = {
        {"no Vary", "Server: x", "A: 1", "A: 2", true},
        {"empty Vary", "Vary: ,", "A: 1", "A: 2", true},
        {"same value", "Vary: A", "A: 1", "A: 1", true},
        {"another value", "Vary: A", "A: 1", "A: 2", false},
        {"longer", "Vary: A", "A: 1", "A: 12", false},
        {"shorter", "Vary: A", "A: 12", "A: 1", false},
        {"case of values matters", "Vary: A", "A: x", "A: X", false},
        {"known name", "Vary: Accept", "Accept: x", "Accept: x", true},
        {"known name, another value", "Vary: Accept", "Accept: x", "Accept: y", false},
        {"known name, any case", "Vary: aCCEPT", "ACCEPT: x", "accept: x", true},
        {"unknown name, any case", "Vary: X-Own", "x-own: x", "X-OWN: x", true},
        {"unknown name, any case, another", "Vary: X-OWN", "x-own: x", "X-Own: y", false},
        {"other fields do not matter", "Vary: A", "A: 1\nB: 1", "B: 2\nA: 1\nC: 3", true},
        {"a longer name is another", "Vary: A", "A: 1\nAB: 1", "A: 1\nAB: 2", true},
        {"two names", "Vary: A, B", "A: 1\nB: 2", "B: 2\nA: 1", true},
        {"two names, one differs", "Vary: A, B", "A: 1\nB: 2", "A: 1\nB: 3", false},
        {"two names, the first differs", "Vary: A, B", "A: 1\nB: 2", "A: 0\nB: 2", false},
        {"two lines", "Vary: A\nVary: B", "A: 1\nB: 2", "A: 1\nB: 3", false},
        {"two lines, same", "Vary: A\nServer: x\nVary: B", "A: 1\nB: 2", "A: 1\nB: 2", true},
        {"values swapped", "Vary: A, B", "A: 1\nB: 2", "A: 2\nB: 1", false},
        {"repeated name", "Vary: A, a, A", "A: 1", "A: 1", true},
        {"both absent", "Vary: A", "B: 1", "C: 1", true},
        {"absent now", "Vary: A", "A: 1", "B: 1", false},
        {"absent then", "Vary: A", "B: 1", "A: 1", false},
        {"absent now, empty then", "Vary: A", "A:", "B: 1", false},
        {"absent then, empty now", "Vary: A", "B: 1", "A:", false},
        {"both empty", "Vary: A", "A:", "A:", true},
        {"empty and a value", "Vary: A", "A:", "A: 1", false},
        {"a value and empty", "Vary: A", "A: 1", "A:", false},
        {"the rest of a value is no name", "Vary: A, B", "A: 1", "A: 1\nB: 1", false},
    };
    for (size_t i = 0; i < weir_count(rows); i++) {
        struct variant variant;
        expect_row(rows[i].name, build(rows[i].response, rows[i].stored, &variant), true);
        expect_row(rows[i].name, matches(&variant, rows[i].asked), rows[i].wanted);
        expect_row(rows[i].name, matches(&variant, rows[i].stored), true);
    }
    no_row_failed();
}

static void test_normalised_values_4_1(void **state)
{
    (void)state;
    static const struct {
        const char *name, *one, *other;
        bool wanted;
    } rows[] = {
        {"spaces at the ends", "A: \t x ", "A:x", true},
        {"spaces around commas", "A: x,y", "A: x \t,  y", true},
        {"a usual list", "A: gzip, deflate, br", "A: gzip,deflate,br", true},
        {"combined lines", "A: x\nA: y", "A: x, y", true},
        {"combined lines, others between", "A: x\nB: 1\nA: y\nC: 2\nA: z", "A: x,y,z", true},
        {"combined lines of lists", "A: x, y\nA: z", "A: x\nA: y,z", true},
        {"empty members", "A: x,,y,", "A: x, y", true},
        {"an empty line", "A: x\nA:", "A: x", true},
        {"only commas", "A: , ,", "A:", true},
        {"order matters", "A: x, y", "A: y, x", false},
        {"order of lines matters", "A: x\nA: y", "A: y\nA: x", false},
        {"a member more", "A: x, y", "A: x, y, z", false},
        {"a member less", "A: x, y", "A: x", false},
        {"a line more", "A: x", "A: x\nA: y", false},
        {"a line less", "A: x\nA: y", "A: x", false},
        {"spaces inside members", "A: x  y", "A: x y", false},
        {"spaces inside quotes", "A: \"x, y\"", "A: \"x,y\"", false},
        {"escapes inside quotes", "A: \"x\\\", y\"", "A: \"x\\\",y\"", false},
        {"members that run together", "A: xy", "A: x, y", false},
        {"a comma inside quotes is none", "A: \"x, y\"", "A: \"x\", \"y\"", false},
        {"quotes that do not end", "A: \"x, y", "A: \"x,  y", false},
        {"quotes that do not end, same", "A: \"x, y", "A: \"x, y", true},
    };
    for (size_t i = 0; i < weir_count(rows); i++) {
        struct variant one, other;
        expect_row(rows[i].name, build("Vary: a", rows[i].one, &one), true);
        expect_row(rows[i].name, build("Vary: a", rows[i].other, &other), true);
        expect_row(rows[i].name, matches(&one, rows[i].other), rows[i].wanted);
        expect_row(rows[i].name, matches(&other, rows[i].one), rows[i].wanted);
        expect_row(rows[i].name, matches(&one, rows[i].one), true);
        expect_row(rows[i].name, matches(&other, rows[i].other), true);
        /* The bytes are the variant: the index tells two variants apart by them. */
        bool same = one.len == other.len && memcmp(one.bytes, other.bytes, one.len) == 0;
        expect_row(rows[i].name, same, rows[i].wanted);
    }
    no_row_failed();
}

static void test_what_no_request_selects_4_1(void **state)
{
    (void)state;
    struct variant variant;
    assert_false(build("Vary: *", "A: 1", &variant));
    assert_false(build("Vary: A, *", "A: 1", &variant));
    assert_false(build("Vary: A\nVary: *", "A: 1", &variant));
    assert_false(build("Vary: A B", "A: 1", &variant));
    assert_false(build("Vary: \"A\"", "A: 1", &variant));
    assert_true(build("Vary: A", "A: 1", &variant));
    assert_true(build("Server: *", "A: 1", &variant));
    assert_int_equal(variant.len, 0);
}

static void test_at_most_32_names(void **state)
{
    (void)state;
    char response[512] = "Vary: ";
    struct variant variant;
    for (unsigned i = 0; i < 32; i++)
        snprintf(response + strlen(response), sizeof(response) - strlen(response), "a%u, ", i);
    assert_true(build(response, "a31: 1", &variant));
    assert_true(matches(&variant, "a31: 1"));
    assert_false(matches(&variant, "a31: 2"));
    strcat(response, "A7, A31"); /* repeated ones do not count */
    assert_true(build(response, "a31: 1", &variant));
    strcat(response, ", b");
    assert_false(build(response, "a31: 1", &variant));
}

static void test_build_behind_other_bytes(void **state)
{
    (void)state;
    struct head answer = head_of("Vary: A, A"), asked = head_of("A: 1");
    char bytes[64] = "xyz";
    struct appender appender = appender_on(bytes, sizeof(bytes));
    appender.len = 3;
    assert_true(cache_vary_build(fields_of(&answer), fields_of(&asked), &appender));
    assert_memory_equal(bytes, "xyz", 3);
    assert_true(cache_vary_matches(str_of(bytes + 3, appender.len - 3), fields_of(&asked)));
}

static void test_what_does_not_fit(void **state)
{
    (void)state;
    struct head answer = head_of("Vary: A, X-Other"), asked = head_of("A: 1, 2\nX-Other: 345");
    struct variant whole;
    assert_true(build("Vary: A, X-Other", "A: 1, 2\nX-Other: 345", &whole));
    for (size_t cap = 0; cap <= whole.len; cap++) {
        char *exact = malloc(cap + 1); /* of that size, so that a write past its end is seen */
        struct appender appender = appender_on(exact, cap);
        assert_int_equal(cache_vary_build(fields_of(&answer), fields_of(&asked), &appender),
                         cap == whole.len);
        free(exact);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_selecting_fields_4_1),
        cmocka_unit_test(test_normalised_values_4_1),
        cmocka_unit_test(test_what_no_request_selects_4_1),
        cmocka_unit_test(test_at_most_32_names),
        cmocka_unit_test(test_build_behind_other_bytes),
        cmocka_unit_test(test_what_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
