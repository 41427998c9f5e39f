/*
 * What the tests of the rules share: heads written as text, and rows that say which one failed. Time is
 * an argument; nothing here looks at a clock.
 */
#ifndef WEIR_POLICY_FIXTURE_H
#define WEIR_POLICY_FIXTURE_H

#include "cache/cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

/* Rows of tables leave out what is zero at their end. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define HEAD_FIELDS 48

/* The fields of a head; spans into the text that it was made from. */
struct head {
    struct field list[HEAD_FIELDS];
    unsigned count;
};

static inline struct fields fields_of(const struct head *head)
{
    return (struct fields){head->list, head->count};
}

/* "Name: value" lines with '\n' between them. NULL: none. */
static inline struct head head_of(const char *text)
{
    struct head head = {.count = 0};
    while (text != NULL && *text != '\0') {
        const char *end = strchrnul(text, '\n'), *colon = memchr(text, ':', (size_t)(end - text));
        assert_non_null(colon);
        assert_true(head.count < HEAD_FIELDS);
        struct str value = str_trim(str_of(colon + 1, (size_t)(end - colon - 1)));
        head.list[head.count++] = (struct field){
            .name = text,
            .value = value.ptr,
            .value_len = (uint32_t)value.len,
            .name_len = (uint16_t)(colon - text),
            .id = (uint16_t)field_identify(text, (size_t)(colon - text)),
        };
        text = *end == '\n' ? end + 1 : end;
    }
    return head;
}

/* All rows are tried; the test fails when one has. */
#define expect_row(name, got, wanted)                                                              \
    do {                                                                                           \
        long long got_ = (long long)(got), wanted_ = (long long)(wanted);                          \
        if (got_ != wanted_) {                                                                     \
            print_error("%s: %s is %lld, not %lld\n", (name), #got, got_, wanted_);                \
            failed_rows++;                                                                         \
        }                                                                                          \
    } while (0)

static unsigned failed_rows;

static inline void no_row_failed(void)
{
    unsigned count = failed_rows;
    failed_rows = 0;
    assert_int_equal(count, 0);
}

#endif
