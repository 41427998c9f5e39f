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

/* Whether what was built from the one answers the other; both ways, and by their bytes. */
static void expect_same(const char *name, const char *vary, const char *one, const char *other,
                        bool wanted)
{
    struct variant first, second;
    expect_row(name, build(vary, one, &first), true);
    expect_row(name, build(vary, other, &second), true);
    expect_row(name, matches(&first, other), wanted);
    expect_row(name, matches(&second, one), wanted);
    expect_row(name, matches(&first, one), true);
    expect_row(name, matches(&second, other), true);
    /* The bytes are the variant: the index tells two variants apart by them. */
    bool same = first.len == second.len && memcmp(first.bytes, second.bytes, first.len) == 0;
    expect_row(name, same, wanted);
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
    for (size_t i = 0; i < weir_count(rows); i++)
        expect_same(rows[i].name, "Vary: a", rows[i].one, rows[i].other, rows[i].wanted);
    no_row_failed();
}

static const char *encoding(const char *value, char out[512])
{
    snprintf(out, 512, "Accept-Encoding: %s", value);
    return out;
}

/* What each reduction rests on is said in vary.c. */
static void test_accept_encoding_rfc9110_12_5_3(void **state)
{
    (void)state;
    static const struct {
        const char *name, *one, *other;
        bool wanted;
    } rows[] = {
        {"another set", "gzip", "br", false},
        {"a coding more", "gzip", "gzip, br", false},
        {"names in any case", "GZip, bR", "gzip, br", true},
        {"order of usual ones", "br, gzip, zstd, deflate", "gzip, deflate, br, zstd", true},
        {"order of others", "x, dcb, compress", "compress, dcb, x", true},
        {"order of usual and others", "dcb, gzip", "gzip, dcb", true},
        {"one is the other's beginning", "dcbx, dcb", "dcb, dcbx", true},
        {"one is the other's beginning, before a comma", "a, a!", "a!, a", true},
        {"names that run together", "a, b", "ab", false},
        {"a weight that runs into its name", "a;q=0.5", "a.5", false},
        {"beginning alone", "dcbx", "dcb", false},
        {"several lines", "gzip\nAccept-Encoding: br", "br, gzip", true},
        {"empty members", "gzip,, br,", "gzip, br", true},
        {"x-gzip", "x-gzip", "gzip", true},
        {"X-GZIP", "X-GZIP, br", "br, gzip", true},
        {"x-compress", "x-compress", "compress", true},
        {"x-deflate is no alias", "x-deflate", "deflate", false},
        {"weight 1", "gzip;q=1", "gzip", true},
        {"weight 1.", "gzip;q=1.", "gzip", true},
        {"weight 1.0", "gzip;q=1.0", "gzip", true},
        {"weight 1.000", "gzip;q=1.000", "gzip", true},
        {"Q", "gzip;Q=0.5", "gzip;q=0.5", true},
        {"last zeros", "gzip;q=0.500", "gzip;q=0.5", true},
        {"zeros in between", "gzip;q=0.050", "gzip;q=0.05", true},
        {"thousandths", "gzip;q=0.005", "gzip;q=0.05", false},
        {"other weights", "gzip;q=0.5", "gzip;q=0.501", false},
        {"weight below 1", "gzip;q=0.999", "gzip", false},
        {"spaces around ;", "gzip \t; q=0.5", "gzip;q=0.5", true},
        {"order with weights", "gzip;q=0.5, br", "br, gzip;q=0.5", true},
        {"weights swapped", "gzip;q=0.5, br", "gzip, br;q=0.5", false},
        {"twice the same", "gzip, gzip", "gzip", true},
        {"twice, an alias", "gzip, x-gzip;q=1", "gzip", true},
        {"twice, others between", "gzip, br, zstd, gzip", "zstd, br, gzip", true},
        {"in conflict, as sent", "gzip, gzip;q=0.5", "gzip", false},
        {"in conflict, other order", "gzip, gzip;q=0.5", "gzip;q=0.5, gzip", false},
        {"q=0", "gzip, br;q=0", "gzip", true},
        {"q=0.000", "br;q=0.000, gzip", "gzip", true},
        {"q=0.", "br;q=0., gzip", "gzip", true},
        {"nothing but q=0", "gzip;q=0", "", true},
        {"q=0 beside *", "gzip;q=0, *", "*", false},
        {"q=0 beside *;q=0", "gzip, br;q=0, *;q=0", "gzip, *;q=0", false},
        {"order beside *", "*;q=0.1, gzip", "gzip, *;q=0.1", true},
        {"* or not", "gzip", "gzip, *", false},
        {"*;q=0 or not", "gzip", "gzip, *;q=0", false},
        {"identity, least of all", "gzip, identity;q=0.5", "gzip", true},
        {"identity, just below", "gzip;q=0.5, identity;q=0.499", "gzip;q=0.5", true},
        {"identity, below all but q=0", "gzip, br;q=0, identity;q=0.1", "gzip", true},
        {"Identity", "gzip, Identity;q=0.5", "gzip", true},
        {"identity, as much as another", "gzip, identity", "gzip", false},
        {"identity, as much as the least", "gzip, br;q=0.5, identity;q=0.5", "gzip, br;q=0.5",
         false},
        {"identity, before another", "gzip;q=0.5, identity;q=0.6", "gzip;q=0.5", false},
        {"identity, whatever the order", "identity, gzip", "gzip, identity", true},
        {"identity alone", "identity", "", true},
        {"identity alone, weighted", "identity;q=0.1", "identity", true},
        {"identity forbidden", "gzip, identity;q=0", "gzip", false},
        {"only identity forbidden", "identity;q=0", "", false},
        {"identity beside *", "gzip, identity;q=0.5, *;q=0", "gzip, *;q=0", false},
        {"identity beside *;q=0.1", "identity;q=0.05, *;q=0.1", "*;q=0.1", false},
        {"nothing and something", "", "gzip", false},
        {"malformed: weight above 1", "gzip;q=1.001", "gzip", false},
        {"malformed: weight of 2", "gzip;q=2", "gzip", false},
        {"malformed: four digits", "gzip;q=0.5000", "gzip;q=0.5", false},
        {"malformed: no weight", "gzip;q=", "gzip", false},
        {"malformed: no digit", "gzip;q=.5", "gzip;q=0.5", false},
        {"malformed: no point", "gzip;q=05", "gzip;q=0.5", false},
        {"malformed: a sign behind the digits", "gzip;q=0.:", "gzip", false},
        {"malformed: nothing behind ;", "gzip;", "gzip", false},
        {"malformed: x for q", "gzip;x=1", "gzip", false},
        {"malformed: letters", "gzip;q=0.a", "gzip;q=0", false},
        {"malformed: =", "gzip;q:1", "gzip", false},
        {"malformed: spaces in a weight", "gzip;q= 1", "gzip", false},
        {"malformed: another parameter", "gzip;level=1", "gzip", false},
        {"malformed: a parameter more", "gzip;q=1;x=1", "gzip", false},
        {"malformed: no name", ";q=1, gzip", "gzip", false},
        {"malformed: no token", "g zip", "G zip", false},
        {"malformed: case stays", "gzip;x, BR", "gzip;x, br", false},
        {"malformed: order stays", "gzip;x, br", "br, gzip;x", false},
        {"malformed: white space goes", "gzip;x ,br", "gzip;x, br", true},
        {"malformed: the same", "gzip;x, gzip", "gzip;x, gzip", true},
        {"a name of 32", "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345", "abcdefghijklmnopqrstuvwxyz012345",
         true},
        {"a name of 33", "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456", "abcdefghijklmnopqrstuvwxyz0123456",
         false},
        {"16 codings", "p,o,n,m,l,k,j,i,h,g,f,e,d,c,b,a", "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p", true},
        {"17 codings", "q,p,o,n,m,l,k,j,i,h,g,f,e,d,c,b,a", "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q",
         false},
        {"17 codings, another last", "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q",
         "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,r", false},
        {"longer than what is remembered",
         "gzip;q=0.1, deflate;q=0.2, br;q=0.3, zstd;q=0.4, compress;q=0.5, dcb;q=0.6",
         "dcb;q=0.6, compress;q=0.5, zstd;q=0.4, br;q=0.3, deflate;q=0.2, gzip;q=0.1", true},
        {"reduced it is longer than what is remembered",
         "aaa,bb,cc,dd,ee,ff,gg,hh,ii,jj,kk,ll,mm,nn,oo,pp",
         "pp,oo,nn,mm,ll,kk,jj,ii,hh,gg,ff,ee,dd,cc,bb,aaa", true},
        {"reduced it is longer, another", "aaa,bb,cc,dd,ee,ff,gg,hh,ii,jj,kk,ll,mm,nn,oo,pp",
         "pp,oo,nn,mm,ll,kk,jj,ii,hh,gg,ff,ee,dd,cc,bb,aab", false},
        {"16 codings, one twice", "p,o,n,m,l,k,j,i,h,g,f,e,d,c,b,a,p",
         "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p", true},
    };
    for (size_t i = 0; i < weir_count(rows); i++) {
        char one[512], other[512];
        expect_same(rows[i].name, "Vary: accept-encoding", encoding(rows[i].one, one),
                    encoding(rows[i].other, other), rows[i].wanted);
    }
    no_row_failed();
}

/* What most clients send is its own reduced form, so that their hits compare bytes and no more. */
static void test_usual_accept_encodings_are_reduced_already(void **state)
{
    (void)state;
    static const char *const values[] = {
        "gzip",
        "gzip, deflate",
        "gzip, deflate, br",
        "gzip, deflate, br, zstd",
        "gzip, *;q=0",
        "gzip, br;q=0.5, *;q=0.1, compress;q=0.255",
        "br;q=0.05, identity",
    };
    for (size_t i = 0; i < weir_count(values); i++) {
        char line[512];
        size_t len = strlen(values[i]);
        struct variant variant;
        assert_true(build("Vary: Accept-Encoding", encoding(values[i], line), &variant));
        assert_int_equal(variant.len, 8 + strlen("accept-encoding") + len);
        assert_memory_equal(variant.bytes + variant.len - len, values[i], len);
    }
}

/* Many values on one thread, in turn: what is remembered of one is never taken for another's. */
static void test_values_in_turn(void **state)
{
    (void)state;
    static const char *const values[][2] = {
        {"br,gzip", "gzip, br"},
        {"GZIP", "gzip"},
        {"", ""},
        {"identity", ""},
        {"zstd;q=1", "zstd"},
        {"br;q=0.50", "br;q=0.5"},
        {"deflate,br", "br,deflate"},
        {"br,zstd", "zstd,br"},
        {"gzip;q=0", ""},
        {"x-gzip", "gzip"},
        {"dcb,dcz", "dcz,dcb"},
        {"br;q=0.70", "br;q=0.7"},
    };
    for (size_t i = 0; i < weir_count(values); i++) {
        for (size_t k = 0; k < weir_count(values); k++) {
            char one[512], other[512], name[64];
            struct variant first, second;
            assert_true(build("Vary: Accept-Encoding", encoding(values[i][1], one), &first));
            assert_true(build("Vary: Accept-Encoding", encoding(values[k][0], other), &second));
            bool same =
                first.len == second.len && memcmp(first.bytes, second.bytes, first.len) == 0;
            snprintf(name, sizeof(name), "%s and %s", values[i][1], values[k][0]);
            expect_row(name, matches(&first, encoding(values[k][0], other)), same);
            if (i == k)
                expect_row(name, same, true);
        }
    }
    no_row_failed();
}

/* Lines of a head that are none of this request's. */
static void test_fields_behind_the_last_do_not_count(void **state)
{
    (void)state;
    struct head answer = head_of("Vary: A, B"), asked = head_of("A: 1\nA: 2\nB: 3");
    struct fields two = {asked.list, 1};
    struct variant variant;
    assert_true(build("Vary: A, B", "A: 1", &variant));
    assert_true(cache_vary_matches(str_of(variant.bytes, variant.len), two));
    assert_false(matches(&variant, "A: 1\nA: 2"));
    struct appender out = appender_on(variant.bytes, sizeof(variant.bytes));
    assert_true(cache_vary_build(fields_of(&answer), two, &out));
    variant.len = out.len;
    assert_true(matches(&variant, "A: 1"));
}

/* What is reduced is only what Accept-Encoding says. */
static void test_other_fields_stay_as_sent(void **state)
{
    (void)state;
    static const char *const names[] = {"Accept-Language", "Accept", "Accept-Charset", "TE"};
    for (size_t i = 0; i < weir_count(names); i++) {
        char vary[64], one[64], other[64];
        snprintf(vary, sizeof(vary), "Vary: %s", names[i]);
        snprintf(one, sizeof(one), "%s: de, en;q=0.5", names[i]);
        snprintf(other, sizeof(other), "%s: en;q=0.5, de", names[i]);
        expect_same(names[i], vary, one, other, false);
        snprintf(other, sizeof(other), "%s: de, en;q=0.50", names[i]);
        expect_same(names[i], vary, one, other, false);
        snprintf(other, sizeof(other), "%s: DE, en;q=0.5", names[i]);
        expect_same(names[i], vary, one, other, false);
        snprintf(other, sizeof(other), "%s: de;q=1, en;q=0.5", names[i]);
        expect_same(names[i], vary, one, other, false);
    }
    no_row_failed();
}

/* Accept-Encoding, absent or empty, among other names. */
static void test_accept_encoding_beside_others(void **state)
{
    (void)state;
    const char *vary = "Vary: A, Accept-Encoding, B";
    expect_same("absent and empty", vary, "A: 1", "A: 1\nAccept-Encoding:", false);
    expect_same("absent and identity", vary, "A: 1", "A: 1\nAccept-Encoding: identity", false);
    expect_same("both absent", vary, "A: 1", "A: 1", true);
    expect_same("reduced, the rest too", vary, "A: 1\nAccept-Encoding: br, gzip\nB: 2",
                "B: 2\nAccept-Encoding: gzip, br\nA: 1", true);
    expect_same("reduced, the name before differs", vary, "A: 1\nAccept-Encoding: br, gzip\nB: 2",
                "B: 2\nAccept-Encoding: gzip, br\nA: 2", false);
    expect_same("reduced, the name behind differs", vary, "A: 1\nAccept-Encoding: br, gzip\nB: 2",
                "B: 1\nAccept-Encoding: gzip, br\nA: 1", false);
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
        cmocka_unit_test(test_accept_encoding_rfc9110_12_5_3),
        cmocka_unit_test(test_usual_accept_encodings_are_reduced_already),
        cmocka_unit_test(test_values_in_turn),
        cmocka_unit_test(test_fields_behind_the_last_do_not_count),
        cmocka_unit_test(test_other_fields_stay_as_sent),
        cmocka_unit_test(test_accept_encoding_beside_others),
        cmocka_unit_test(test_what_no_request_selects_4_1),
        cmocka_unit_test(test_at_most_32_names),
        cmocka_unit_test(test_build_behind_other_bytes),
        cmocka_unit_test(test_what_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
