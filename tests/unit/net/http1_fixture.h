/*
 * What the tests of the HTTP/1 parser share: a message is parsed whole, byte by byte, and in random
 * pieces, always with its last byte right before a page that may not be read, and each time moved to another place
 * in between. All must end alike; the tests then look at one of them.
 */
#ifndef WEIR_TESTS_HTTP1_FIXTURE_H
#define WEIR_TESTS_HTTP1_FIXTURE_H

#include "net/net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define ROOM_BYTES ((size_t)1 << 17)
#define ROWS 128

enum message {
    REQUEST,
    RESPONSE,
    TRAILERS
};

/* Memory that ends where nothing may be read. */
static inline char *guarded_end(void)
{
    static char *end;
    if (end == NULL) {
        char *room = mmap(NULL, ROOM_BYTES + 65536, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_ptr_not_equal(room, MAP_FAILED);
        assert_int_equal(mprotect(room + ROOM_BYTES, 65536, PROT_NONE), 0);
        end = room + ROOM_BYTES;
    }
    return end;
}

static inline char *guarded_copy(const char *text, size_t len)
{
    assert_true(len <= ROOM_BYTES);
    return memcpy(guarded_end() - len, text, len);
}

static inline uint32_t random_u32(void)
{
    static uint64_t state = 0x9e3779b97f4a7c15u;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}

struct parse {
    struct http1_head head;
    struct field rows[ROWS];
    ssize_t result;
};

static const struct http1_limits usual_limits = {32768, 100};

static inline void parse_begin(struct parse *p)
{
    memset(p, 0, sizeof *p);
    p->head.list = p->rows;
    p->head.capacity = ROWS;
    http1_head_reset(&p->head);
}

static inline void parse_go_on(struct parse *p, enum message what, enum method method,
                               const char *buffer, size_t len, const struct http1_limits *limits)
{
    if (what == REQUEST)
        p->result = http1_parse_request(&p->head, buffer, len, limits);
    else if (what == RESPONSE)
        p->result = http1_parse_response(&p->head, buffer, len, limits, method);
    else
        p->result = http1_parse_trailers(&p->head, buffer, len, limits);
}

static inline void same_span(struct str a, struct str b)
{
    assert_int_equal(a.len, b.len);
    if (a.len > 0)
        assert_memory_equal(a.ptr, b.ptr, a.len);
}

static inline void same_parse(const struct parse *a, const struct parse *b)
{
    const struct http1_head *x = &a->head, *y = &b->head;
    assert_int_equal(a->result, b->result);
    if (a->result <= 0)
        return;
    assert_int_equal(x->count, y->count);
    for (unsigned i = 0; i < x->count; i++) {
        same_span(field_name(&x->list[i]), field_name(&y->list[i]));
        same_span(field_value(&x->list[i]), field_value(&y->list[i]));
        assert_int_equal(x->list[i].id, y->list[i].id);
    }
    same_span(x->method_name, y->method_name);
    same_span(x->target, y->target);
    same_span(x->authority, y->authority);
    same_span(x->path_query, y->path_query);
    same_span(x->scheme, y->scheme);
    same_span(x->reason, y->reason);
    assert_int_equal(x->method, y->method);
    assert_int_equal(x->target_form, y->target_form);
    assert_int_equal(x->status, y->status);
    assert_int_equal(x->minor, y->minor);
    assert_int_equal(x->close, y->close);
    assert_int_equal(x->keep_alive, y->keep_alive);
    assert_int_equal(x->upgrade, y->upgrade);
    assert_int_equal(x->expect_continue, y->expect_continue);
    assert_int_equal(x->te_trailers, y->te_trailers);
    assert_int_equal(x->body, y->body);
    assert_int_equal(x->has_content_length, y->has_content_length);
    assert_int_equal(x->content_length, y->content_length);
}

/* Steps of at most `most` bytes; what is there lies each time somewhere else, its end at the guard. */
static inline void parse_in_pieces(struct parse *p, enum message what, enum method method,
                                   const char *text, size_t len, const struct http1_limits *limits,
                                   unsigned most)
{
    const char *last = NULL;
    parse_begin(p);
    for (size_t have = 0; p->result == 0 && have < len;) {
        have += 1 + random_u32() % most;
        have = have < len ? have : len;
        const char *buffer = guarded_copy(text, have);
        if (last != NULL)
            http1_head_moved(&p->head, last, buffer);
        last = buffer;
        parse_go_on(p, what, method, buffer, have, limits);
    }
}

/* Parses in every way; the result stays valid until the next call. */
static inline const struct parse *parse_all_ways(enum message what, enum method method,
                                                 const char *text, size_t len,
                                                 const struct http1_limits *limits)
{
    static struct parse whole, pieces;
    static char kept[ROOM_BYTES];
    assert_true(len <= sizeof kept);
    memmove(kept, text, len);
    parse_begin(&whole);
    parse_go_on(&whole, what, method, kept, len, limits);
    parse_in_pieces(&pieces, what, method, kept, len, limits, 1);
    same_parse(&whole, &pieces);
    for (unsigned most = 2; most < 40; most += 3) {
        parse_in_pieces(&pieces, what, method, kept, len, limits, most);
        same_parse(&whole, &pieces);
    }
    parse_begin(&pieces);
    parse_go_on(&pieces, what, method, guarded_copy(kept, len), len, limits);
    same_parse(&whole, &pieces);
    return &whole;
}

static inline const struct http1_head *accepted(enum message what, enum method method,
                                                const char *text)
{
    const struct parse *p = parse_all_ways(what, method, text, strlen(text), &usual_limits);
    if (p->result != (ssize_t)strlen(text))
        print_error("%zd instead of %zu for: %s\n", p->result, strlen(text), text);
    assert_int_equal(p->result, strlen(text));
    return &p->head;
}

static inline void refused(enum message what, const char *text, size_t len, enum http1_error error)
{
    const struct parse *p = parse_all_ways(what, METHOD_GET, text, len, &usual_limits);
    if (p->result != -(ssize_t)error)
        print_error("%zd instead of %d for: %.*s\n", p->result, -(int)error, (int)len, text);
    assert_int_equal(p->result, -(ssize_t)error);
}

static inline void span_is(struct str s, const char *want)
{
    assert_int_equal(s.len, strlen(want));
    if (s.len > 0)
        assert_memory_equal(s.ptr, want, s.len);
}

#endif
