/* cache/policy_bypass.c: which requests a route keeps from the cache. */
#include "tests/unit/cache/policy_fixture.h"

static const struct str cookies[] = {{"session*", 8}}, headers[] = {{"x-preview", 9}, {"x-d*", 4}};
static const struct conf_route_bypass both = {true, {cookies, 1}, {headers, 2}};

static void check(const char *text, const struct conf_route_bypass *bypass, const char *expected)
{
    struct head head = head_of(text);
    const char *detail = policy_bypass(fields_of(&head), bypass);
    if ((detail == NULL) != (expected == NULL) || (detail && strcmp(detail, expected) != 0))
        fail_msg("%s: %s", text, detail ? detail : "none");
}

static void test_cookies(void **state)
{
    (void)state;
    check("Cookie: session=1", &both, "bypass-cookie");
    check("Cookie: a=1; session_id", &both, "bypass-cookie");
    check("Cookie: a=1\nCookie: session=", &both, "bypass-cookie");
    check("Cookie: Session=1", &both, NULL);
    check("Cookie: a=session", &both, NULL);
    check("Cookie: asession=1", &both, NULL);
    check("X-Cookie: session=1", &both, NULL);
    check(NULL, &both, NULL);
}

static void test_headers(void **state)
{
    (void)state;
    check("X-PREVIEW: 1", &both, "bypass-header");
    check("a: 1\nx-preview:", &both, "bypass-header");
    check("X-Debug: 0", &both, "bypass-header");
    check("X-Previews: 1", &both, NULL);
    check("Cookie: x-preview=1", &both, NULL);
}

static void test_one_of_the_lists(void **state)
{
    (void)state;
    struct conf_route_bypass only_cookies = {.any = true, .cookies = both.cookies};
    struct conf_route_bypass only_headers = {.any = true, .headers = both.headers};
    check("Cookie: session=1\nX-Preview: 1", &both, "bypass-cookie");
    check("X-Preview: 1", &only_cookies, NULL);
    check("Cookie: session=1", &only_headers, NULL);
    check("Cookie: session=1", &only_cookies, "bypass-cookie");
    check("X-Preview: 1", &only_headers, "bypass-header");
}

static void test_overrides(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        bool overrides, keyed;
    } rows[] = {
        {"X-Original-URL: /b", true, true},
        {"x-original-url:", true, true},
        {"X-Rewrite-URL: /b", true, false},
        {"X-HTTP-Method-Override: HEAD", true, false},
        {"X-HTTP-Method: HEAD", true, false},
        {"X-Method-Override: HEAD", true, false},
        {"X-Original-URL: /b\nX-Rewrite-URL: /c", true, false},
        {"X-Original-URLs: /b", false, true},
        {"X-Forwarded-Host: b", false, true},
        {NULL, false, true},
    };
    static const struct str listed[] = {{"x-original-*", 12}};
    struct conf_route_key rules = {.any = true, .headers = {listed, 1}};
    for (size_t i = 0; i < weir_count(rows); i++) {
        struct head head = head_of(rows[i].head);
        struct policy_request request;
        policy_read_request(fields_of(&head), &request);
        expect_row(rows[i].head, request.overrides, rows[i].overrides);
        expect_row(rows[i].head, policy_override_is_keyed(fields_of(&head), &rules), rows[i].keyed);
    }
    no_row_failed();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cookies),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_one_of_the_lists),
        cmocka_unit_test(test_overrides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
