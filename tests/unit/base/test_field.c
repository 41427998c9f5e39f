/* base/field.c: every row of the tables, and what only looks like one. */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>
#include <stdlib.h>

static const struct {
    const char *name;
    enum field_id id;
} rows[] = {
#define X(symbol, name) {name, FIELD_##symbol},
    FIELD_TABLE(X)
#undef X
};

/* In memory of exactly that size, so that a sanitizer sees a read past the end. */
static enum field_id identify(const char *name, size_t len)
{
    char *exact = malloc(len ? len : 1);
    memcpy(exact, name, len);
    enum field_id id = field_identify(exact, len);
    free(exact);
    return id;
}

static void test_every_row_in_any_case(void **state)
{
    (void)state;
    for (size_t i = 0; i < weir_count(rows); i++) {
        size_t len = strlen(rows[i].name);
        char name[64];
        for (unsigned way = 0; way < 4; way++) {
            for (size_t k = 0; k < len; k++) {
                int c = (unsigned char)rows[i].name[k];
                bool upper = way == 1 || (way > 1 && (k + way) % 2 == 0);
                name[k] = (char)(upper ? toupper(c) : tolower(c));
            }
            assert_int_equal(identify(name, len), rows[i].id);
        }
        assert_int_equal(identify(rows[i].name, len), rows[i].id);
        assert_true(str_equal(field_id_name(rows[i].id), str_from(rows[i].name)));
    }
    assert_int_equal(field_id_name(FIELD_OTHER).len, 0);
}

static enum field_id find_slowly(const char *name, size_t len)
{
    for (size_t i = 0; i < weir_count(rows); i++) {
        if (str_equal_nocase(str_of(name, len), str_from(rows[i].name)))
            return rows[i].id;
    }
    return FIELD_OTHER;
}

/* Each byte of each name in turn becomes every other byte; each name is cut and made longer. */
static void test_near_misses(void **state)
{
    (void)state;
    for (size_t i = 0; i < weir_count(rows); i++) {
        size_t len = strlen(rows[i].name);
        char name[64];
        memcpy(name, rows[i].name, len + 1);
        for (size_t k = 0; k < len; k++) {
            for (unsigned c = 0; c < 256; c++) {
                name[k] = (char)c;
                assert_int_equal(field_identify(name, len), find_slowly(name, len));
            }
            name[k] = rows[i].name[k];
        }
        for (size_t cut = 0; cut < len; cut++) {
            assert_int_equal(identify(name, cut), find_slowly(name, cut));
            assert_int_equal(identify(name + len - cut, cut), find_slowly(name + len - cut, cut));
        }
        name[len] = 's';
        assert_int_equal(identify(name, len + 1), find_slowly(name, len + 1));
        name[len] = '\0';
        assert_int_equal(identify(name, len + 1), FIELD_OTHER);
    }
    const char *others[] = {"",
                            "x",
                            "Accept-Charset",
                            "X-Correlation-ID",
                            "Sec-Fetch-Mode",
                            "Hosts",
                            "a-name-that-is-longer-than-any-of-the-table-by-far"};
    for (size_t i = 0; i < weir_count(others); i++)
        assert_int_equal(identify(others[i], strlen(others[i])), FIELD_OTHER);
}

static struct field make_field(const char *name, const char *value)
{
    return (struct field){name, value, (uint32_t)strlen(value), (uint16_t)strlen(name),
                          (uint16_t)field_identify(name, strlen(name))};
}

static void test_fields(void **state)
{
    (void)state;
    const struct field list[] = {
        make_field("Host", "a"),
        make_field("X-One", "1"),
        make_field("connection", "close, X-One"),
        make_field("x-one", "2"),
        make_field("Connection", " ,\tFoo,"),
    };
    struct fields fields = {list, weir_count(list)};
    assert_ptr_equal(fields_first(fields, FIELD_HOST), &list[0]);
    assert_ptr_equal(fields_first(fields, FIELD_CONNECTION), &list[2]);
    assert_null(fields_first(fields, FIELD_AGE));
    unsigned at = 0;
    assert_ptr_equal(fields_next(fields, STR("X-ONE"), &at), &list[1]);
    assert_ptr_equal(fields_next(fields, STR("X-ONE"), &at), &list[3]);
    assert_null(fields_next(fields, STR("X-ONE"), &at));
    assert_null(fields_next(fields, STR("X-ONE"), &at));
    assert_true(fields_named_in_connection(fields, STR("x-ONE")));
    assert_true(fields_named_in_connection(fields, STR("foo")));
    assert_true(fields_named_in_connection(fields, STR("Close")));
    assert_false(fields_named_in_connection(fields, STR("fo")));
    assert_false(fields_named_in_connection(fields, STR("X-Two")));
    assert_false(fields_named_in_connection((struct fields){NULL, 0}, STR("close")));
}

static void test_hop_by_hop(void **state)
{
    (void)state;
    const enum field_id hops[] = {FIELD_CONNECTION, FIELD_PROXY_CONNECTION,  FIELD_KEEP_ALIVE,
                                  FIELD_TE,         FIELD_TRANSFER_ENCODING, FIELD_UPGRADE};
    unsigned count = 0;
    for (size_t i = 0; i < weir_count(hops); i++)
        assert_true(field_is_hop_by_hop(hops[i]));
    for (unsigned id = 0; id < FIELD_IDS; id++)
        count += field_is_hop_by_hop((enum field_id)id);
    assert_int_equal(count, weir_count(hops));
}

static void test_methods(void **state)
{
    (void)state;
#define X(symbol, text, idempotent)                                                                \
    assert_int_equal(method_identify(text, sizeof(text) - 1), METHOD_##symbol);                    \
    assert_int_equal(method_identify(text, sizeof(text) - 2), METHOD_OTHER);                       \
    assert_true(str_equal(method_name(METHOD_##symbol), STR(text)));                               \
    assert_int_equal(method_is_idempotent(METHOD_##symbol), idempotent);
    METHOD_TABLE(X)
#undef X
    assert_int_equal(method_identify("get", 3), METHOD_OTHER);
    assert_int_equal(method_identify("GETS", 4), METHOD_OTHER);
    assert_int_equal(method_identify("", 0), METHOD_OTHER);
    assert_int_equal(method_identify("PURGE", 5), METHOD_OTHER);
    assert_false(method_is_idempotent(METHOD_OTHER));
    assert_int_equal(method_name(METHOD_OTHER).len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row_in_any_case),
        cmocka_unit_test(test_near_misses),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_hop_by_hop),
        cmocka_unit_test(test_methods),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
