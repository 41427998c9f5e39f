/* cache/policy_freshen.c: which fields are stored, what a block holds, how a 304 updates it. */
#include "policy_fixture.h"

/* ---- kept fields (RFC 9111 §3.1, RFC 9110 §7.6.1) ---- */

static void test_kept_fields_3_1(void **state)
{
    (void)state;
    static const struct {
        const char *name, *head; /* the first field is asked about */
        bool wanted;
    } rows[] = {
        {"Connection", "Connection: close", false},
        {"Keep-Alive", "Keep-Alive: timeout=5", false},
        {"Proxy-Connection", "Proxy-Connection: close", false},
        {"TE", "TE: trailers", false},
        {"Transfer-Encoding", "Transfer-Encoding: chunked", false},
        {"Upgrade", "Upgrade: x", false},
        {"Proxy-Authenticate", "Proxy-Authenticate: Basic", false},
        {"Proxy-Authentication-Info", "Proxy-Authentication-Info: x", false},
        {"Proxy-Authentication-Info, any case", "proxy-authentication-INFO: x", false},
        {"Proxy-Authorization", "Proxy-Authorization: Basic x", false},
        {"Age", "Age: 5", false},
        {"Content-Length", "content-length: 5", false},
        {"Content-Type", "Content-Type: a/b", true},
        {"Set-Cookie", "Set-Cookie: a=b", true},
        {"Cache-Control", "Cache-Control: no-store", true},
        {"Date", "Date: x", true},
        {"Via", "Via: 1.1 x", true},
        {"Proxy-Status", "Proxy-Status: x", true},
        {"unknown", "X-Own: x", true},
        {"unknown, Connection: close", "X-Own: x\nConnection: close", true},
        {"unknown, Connection: keep-alive", "X-Own: x\nConnection: Keep-Alive", true},
        {"named", "X-Own: x\nConnection: x-own", false},
        {"named in a list", "X-Own: x\nConnection: close, X-OWN", false},
        {"named in a second line", "X-Own: x\nConnection: close\nConnection: x-own", false},
        {"named behind keep-alive lines",
         "X-Own: x\nConnection: keep-alive\nConnection: y\nConnection: x-own", false},
        {"another is named", "X-Own: x\nConnection: close, x-other", true},
        {"a longer one is named", "X-Own: x\nConnection: x-owner", true},
        {"a known one is named", "Server: x\nConnection: server", false},
        {"a field called close", "close: x\nConnection: close", true},
    };
    for (size_t i = 0; i < weir_count(rows); i++) {
        struct head head = head_of(rows[i].head);
        expect_row(rows[i].name, policy_field_is_kept(fields_of(&head), &head.list[0]),
                   rows[i].wanted);
    }
    no_row_failed();
}

/* ---- blocks ---- */

static void expect_field(const char *block, enum field_id id, const char *wanted)
{
    struct str got = cache_block_field(str_from(block), id);
    if (wanted == NULL) {
        assert_null(got.ptr);
    } else {
        assert_non_null(got.ptr);
        if (!str_equal(got, str_from(wanted)))
            fail_msg("\"%.*s\", not \"%s\"", (int)got.len, got.ptr, wanted);
    }
}

static void test_block_field(void **state)
{
    (void)state;
    static const char block[] = "Server: a\r\netag: \"1:2\"\r\nX-ETag: no\r\nDate:d\r\nDate: e\r\n"
                                "Via:\r\nVary: \t b \t\r\n";
    expect_field(block, FIELD_ETAG, "\"1:2\"");
    expect_field(block, FIELD_SERVER, "a");
    expect_field(block, FIELD_DATE, "d");
    expect_field(block, FIELD_VIA, "");
    expect_field(block, FIELD_VARY, "b");
    expect_field(block, FIELD_LAST_MODIFIED, NULL);
    expect_field("", FIELD_ETAG, NULL);
}

/* ---- updates (§3.2, §4.3.4) ---- */

static bool freshen(const char *stored, const char *not_modified, char *out, size_t cap)
{
    struct head head = head_of(not_modified);
    struct appender appender = appender_on(out, cap - 1);
    bool updated = policy_freshen_block(str_from(stored), fields_of(&head), &appender);
    out[appender.len] = '\0';
    return updated;
}

static void test_update_3_2(void **state)
{
    (void)state;
    static const struct {
        const char *name, *stored, *not_modified, *wanted;
    } rows[] = {
        {"nothing", "A: 1\r\nB: 2\r\n", "", "A: 1\r\nB: 2\r\n"},
        {"replaced", "A: 1\r\nB: 2\r\n", "A: 3", "B: 2\r\nA: 3\r\n"},
        {"replaced in any case", "A-Name: 1\r\n", "a-name: 3", "a-name: 3\r\n"},
        {"added", "A: 1\r\n", "B: 2", "A: 1\r\nB: 2\r\n"},
        {"to an empty value", "A: 1\r\n", "A:", "A: \r\n"},
        {"several lines by one", "A: 1\r\nB: 2\r\nA: 3\r\n", "A: 4", "B: 2\r\nA: 4\r\n"},
        {"one line by several", "A: 1\r\n", "A: 2\nA: 3", "A: 2\r\nA: 3\r\n"},
        {"a longer name stays", "A: 1\r\nAB: 1\r\n", "A: 2", "AB: 1\r\nA: 2\r\n"},
        {"Date", "Date: x\r\n", "Date: y", "Date: y\r\n"},
        {"Cache-Control", "Cache-Control: max-age=1\r\n", "Cache-Control: max-age=2",
         "Cache-Control: max-age=2\r\n"},
        {"Expires is dropped for a new one", "Expires: x\r\n", "Expires: y", "Expires: y\r\n"},
        {"Set-Cookie", "Set-Cookie: a\r\nSet-Cookie: b\r\n", "Set-Cookie: c", "Set-Cookie: c\r\n"},
        {"Content-Type", "Content-Type: a/b\r\n", "Content-Type: c/d", "Content-Type: c/d\r\n"},
        {"Content-Location", "Content-Location: /a\r\n", "Content-Location: /b",
         "Content-Location: /b\r\n"},
        {"not Content-Length", "A: 1\r\n", "Content-Length: 0", "A: 1\r\n"},
        {"not Content-Encoding", "Content-Encoding: gzip\r\n", "content-encoding: br",
         "Content-Encoding: gzip\r\n"},
        {"not a new Content-Encoding", "A: 1\r\n", "Content-Encoding: br", "A: 1\r\n"},
        {"not Content-Range", "A: 1\r\n", "Content-Range: bytes 0-1/2", "A: 1\r\n"},
        {"not Age §3.1", "A: 1\r\n", "Age: 5", "A: 1\r\n"},
        {"not Connection §3.1", "A: 1\r\n",
         "Connection: close\nKeep-Alive: timeout=5\nTransfer-Encoding: x", "A: 1\r\n"},
        {"not what Connection names §3.1", "A: 1\r\n", "Connection: a\nA: 2", "A: 1\r\n"},
        {"not Vary", "Vary: A, B\r\n", "Vary: b", "Vary: A, B\r\n"},
        {"the same ETag", "ETag: \"v\"\r\n", "ETag: \"v\"", "ETag: \"v\"\r\n"},
    };
    char out[512];
    for (size_t i = 0; i < weir_count(rows); i++) {
        expect_row(rows[i].name, freshen(rows[i].stored, rows[i].not_modified, out, sizeof(out)),
                   1);
        if (strcmp(out, rows[i].wanted) != 0) {
            print_error("%s: \"%s\", not \"%s\"\n", rows[i].name, out, rows[i].wanted);
            failed_rows++;
        }
    }
    no_row_failed();
}

static void test_which_is_updated_4_3_4(void **state)
{
    (void)state;
    static const struct {
        const char *name, *stored, *not_modified;
        bool wanted;
    } rows[] = {
        {"no validator", "A: 1\r\n", "A: 2", true},
        {"the 304 has no validator", "ETag: \"v\"\r\n", "A: 2", true},
        {"the same", "ETag: \"v\"\r\n", "ETag: \"v\"", true},
        {"another", "ETag: \"v\"\r\n", "ETag: \"w\"", false},
        {"none stored", "A: 1\r\n", "ETag: \"v\"", false},
        {"weak both", "ETag: W/\"v\"\r\n", "ETag: W/\"v\"", true},
        {"weak stored", "ETag: W/\"v\"\r\n", "ETag: \"v\"", true},
        {"weak in the 304", "ETag: \"v\"\r\n", "ETag: W/\"v\"", true},
        {"weak and another", "ETag: W/\"v\"\r\n", "ETag: W/\"w\"", false},
        {"a slash is no W/", "ETag: \"/v\"\r\n", "ETag: x/v\"", false},
        {"malformed, the same", "ETag: v\r\n", "ETag: v", true},
        {"the same Last-Modified", "Last-Modified: x\r\n", "Last-Modified: x", true},
        {"another Last-Modified", "Last-Modified: x\r\n", "Last-Modified: y", false},
        {"another Last-Modified of the same ETag", "ETag: \"v\"\r\nLast-Modified: x\r\n",
         "ETag: \"v\"\nLast-Modified: y", true},
        {"a Last-Modified only now", "A: 1\r\n", "Last-Modified: y", true},
        {"an ETag and another Last-Modified", "ETag: \"v\"\r\nLast-Modified: x\r\n",
         "Last-Modified: y", false},
        {"varies by the same", "Vary: A, B\r\n", "Vary: b, a", true},
        {"varies by less", "Vary: A, B\r\n", "Vary: B", true},
        {"varies by more", "Vary: A\r\n", "Vary: A, B", false},
        {"varies by more in another line", "Vary: A\r\n", "Vary: A\nVary: B", false},
        {"stored in lines", "Vary: A\r\nVary: B\r\n", "Vary: A, B", true},
        {"varies only now", "A: 1\r\n", "Vary: A", false},
        {"varies by all", "Vary: A\r\n", "Vary: *", false},
        {"does not say what it varies by", "Vary: A\r\n", "A: 2", true},
    };
    char out[512];
    for (size_t i = 0; i < weir_count(rows); i++)
        expect_row(rows[i].name, freshen(rows[i].stored, rows[i].not_modified, out, sizeof(out)),
                   rows[i].wanted);
    no_row_failed();
}

static void test_which_is_named_4_3_4(void **state)
{
    (void)state;
    static const struct {
        const char *name, *stored, *not_modified;
        bool weakly, strongly;
    } rows[] = {
        {"the same", "ETag: \"v\"\r\n", "A: 1\nETag: \"v\"", true, true},
        {"another", "ETag: \"v\"\r\n", "ETag: \"w\"", false, false},
        {"weak both", "ETag: W/\"v\"\r\n", "ETag: W/\"v\"", true, false},
        {"weak stored", "ETag: W/\"v\"\r\n", "ETag: \"v\"", true, false},
        {"weak in the 304", "ETag: \"v\"\r\n", "ETag: W/\"v\"", true, false},
        {"none in the 304", "ETag: \"v\"\r\n", "A: 1", false, false},
        {"none stored", "A: 1\r\n", "ETag: \"v\"", false, false},
        {"none at all", "A: 1\r\n", "A: 1", false, false},
        {"empty", "ETag: \r\n", "ETag:", true, false},
    };
    for (size_t i = 0; i < weir_count(rows); i++) {
        struct head head = head_of(rows[i].not_modified);
        struct str stored = str_from(rows[i].stored);
        expect_row(rows[i].name, policy_names_stored(stored, fields_of(&head), false),
                   rows[i].weakly);
        expect_row(rows[i].name, policy_names_stored(stored, fields_of(&head), true),
                   rows[i].strongly);
    }
    no_row_failed();
}

static void test_what_a_head_tells_4_3_5(void **state)
{
    (void)state;
    static const struct {
        const char *name, *stored, *head;
        int64_t length;
        enum policy_told wanted;
    } rows[] = {
        {"nothing to compare", "A: 1\r\n", "A: 2", -1, POLICY_TOLD_NOTHING},
        {"the length", "A: 1\r\n", "", 5, POLICY_TOLD_SAME},
        {"a longer one", "A: 1\r\n", "", 6, POLICY_TOLD_OTHER},
        {"a shorter one", "A: 1\r\n", "", 4, POLICY_TOLD_OTHER},
        {"length 0", "A: 1\r\n", "", 0, POLICY_TOLD_OTHER},
        {"the ETag", "ETag: \"v\"\r\n", "ETag: \"v\"", -1, POLICY_TOLD_SAME},
        {"another ETag", "ETag: \"v\"\r\n", "ETag: \"w\"", 5, POLICY_TOLD_OTHER},
        {"the ETag, and another length", "ETag: \"v\"\r\n", "ETag: \"v\"", 6, POLICY_TOLD_OTHER},
        {"an ETag only now", "A: 1\r\n", "ETag: \"v\"", 5, POLICY_TOLD_OTHER},
        {"no ETag any more", "ETag: \"v\"\r\n", "A: 1", 5, POLICY_TOLD_SAME},
        {"the date", "Last-Modified: x\r\n", "Last-Modified: x", 5, POLICY_TOLD_SAME},
        {"another date", "Last-Modified: x\r\n", "Last-Modified: y", 5, POLICY_TOLD_OTHER},
        {"nothing that is stored", "ETag: \"v\"\r\n", "A: 1", -1, POLICY_TOLD_NOTHING},
        {"a date only now", "ETag: \"v\"\r\n", "ETag: \"v\"\nLast-Modified: y", 5,
         POLICY_TOLD_OTHER},
    };
    for (size_t i = 0; i < weir_count(rows); i++) {
        struct head head = head_of(rows[i].head);
        expect_row(
            rows[i].name,
            policy_told_by_head(str_from(rows[i].stored), 5, fields_of(&head), rows[i].length),
            rows[i].wanted);
    }
    no_row_failed();
}

static void test_update_that_does_not_fit(void **state)
{
    (void)state;
    static const char stored[] = "A: 1\r\nB: 2\r\n", wanted[] = "A: 1\r\nB: 345\r\n";
    for (size_t cap = 0; cap < 40; cap++) {
        struct head head = head_of("B: 345");
        char *exact = malloc(cap + 1); /* of that size, so that a write past its end is seen */
        struct appender appender = appender_on(exact, cap);
        bool fits = policy_freshen_block(str_from(stored), fields_of(&head), &appender);
        assert_int_equal(fits, cap >= strlen(wanted));
        assert_true(appender.len <= cap);
        if (fits)
            assert_memory_equal(exact, wanted, strlen(wanted));
        free(exact);
    }
}

static void test_lifetimes_cut_short(void **state)
{
    (void)state;
    enum {
        CUT = CACHE_CUT_SHORT,
        WEIR = CACHE_BY_WEIR,
        SURROGATE = CACHE_BY_SURROGATE
    };
    static const struct {
        const char *head;
        unsigned flags;
        bool wanted;
    } rows[] = {
        {"ETag: x", 0, false},
        {"ETag: x", WEIR, false},
        {"ETag: x", CUT, false},
        {"ETag: x", CUT | WEIR, true},
        {"ETag: x", CUT | SURROGATE, true},
        {"Weir-Cache-Control: max-age=1", CUT | WEIR, false},
        {"Weir-Cache-Control: max-age=1", CUT | SURROGATE, false},
        {"CDN-Cache-Control: max-age=1", CUT | WEIR, true},
        {"CDN-Cache-Control: max-age=1", CUT | SURROGATE, false},
        {"Surrogate-Control: max-age=1", CUT | WEIR, true},
        {"Surrogate-Control: max-age=1", CUT | SURROGATE, false},
        {"Cache-Control: max-age=1", CUT | SURROGATE, true},
    };
    for (size_t i = 0; i < weir_count(rows); i++) {
        struct head head = head_of(rows[i].head);
        struct cache_meta meta = {.flags = (uint16_t)rows[i].flags};
        expect_row(rows[i].head, policy_lacks_lifetime(&meta, fields_of(&head)), rows[i].wanted);
    }
    no_row_failed();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kept_fields_3_1),
        cmocka_unit_test(test_block_field),
        cmocka_unit_test(test_update_3_2),
        cmocka_unit_test(test_which_is_updated_4_3_4),
        cmocka_unit_test(test_which_is_named_4_3_4),
        cmocka_unit_test(test_what_a_head_tells_4_3_5),
        cmocka_unit_test(test_update_that_does_not_fit),
        cmocka_unit_test(test_lifetimes_cut_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
