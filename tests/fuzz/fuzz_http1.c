/*
 * Fuzzes the HTTP/1 parser: requests, responses, trailers and chunked bodies.
 *
 * The input is the message. Each is parsed whole, whole by the scalar twin (run.sh links the parser a
 * second time without vector instructions, its names beginning with scalar_; replay.c is linked
 * without it), and in pieces that lie somewhere else each time, in memory of exactly their size; all
 * must end alike. What is accepted is held against rules of its own.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#ifdef FUZZ_SCALAR_TWIN
ssize_t scalar_http1_parse_request(struct http1_head *, const char *, size_t,
                                   const struct http1_limits *);
ssize_t scalar_http1_parse_response(struct http1_head *, const char *, size_t,
                                    const struct http1_limits *, enum method);
ssize_t scalar_http1_parse_trailers(struct http1_head *, const char *, size_t,
                                    const struct http1_limits *);
#else
#define scalar_http1_parse_request http1_parse_request
#define scalar_http1_parse_response http1_parse_response
#define scalar_http1_parse_trailers http1_parse_trailers
#endif

#define ROWS 32

/* ---- chunked bodies ---- */

struct body {
    uint8_t *data;
    size_t len, consumed;
    ssize_t error;
    bool last;
};

static void read_piece(struct body *body, struct http1_chunked *chunked, const uint8_t *bytes,
                       size_t len)
{
    char *buffer = fuzz_exact_copy(bytes, len);
    size_t at = 0;
    while (!chunked->last && body->error == 0) {
        struct str data;
        ssize_t taken = http1_chunked_read(chunked, buffer + at, len - at, &data);
        if (taken < 0)
            body->error = taken;
        if (taken <= 0)
            break;
        weir_assert((size_t)taken <= len - at);
        if (data.len > 0) {
            weir_assert(data.ptr >= buffer + at && data.ptr + data.len <= buffer + at + taken);
            memcpy(body->data + body->len, data.ptr, data.len);
        }
        body->len += data.len;
        body->consumed += (size_t)taken;
        at += (size_t)taken;
    }
    weir_assert(body->error < 0 || chunked->last || at == len);
    body->last = chunked->last;
    free(buffer);
}

static struct body read_body(const uint8_t *bytes, size_t len, uint32_t most)
{
    struct body body = {.data = malloc(len + 1)};
    struct http1_chunked chunked = {.left = 0};
    weir_assert(body.data != NULL);
    for (size_t at = 0; at < len && body.error == 0 && !body.last;) {
        size_t piece = most == 0 ? len : 1 + fuzz_draw(most);
        piece = piece < len - at ? piece : len - at;
        read_piece(&body, &chunked, bytes + at, piece);
        at += piece;
    }
    return body;
}

void fuzz_http1_chunked(const uint8_t *bytes, size_t len)
{
    struct body whole = read_body(bytes, len, 0);
    for (unsigned i = 0; i < 3; i++) {
        struct body pieces = read_body(bytes, len, i == 0 ? 1 : 1 + fuzz_draw(20));
        weir_assert(pieces.error == whole.error && pieces.last == whole.last);
        weir_assert(pieces.len == whole.len && memcmp(pieces.data, whole.data, whole.len) == 0);
        weir_assert(whole.error < 0 || pieces.consumed == whole.consumed);
        free(pieces.data);
    }
    free(whole.data);
}

/* ---- heads ---- */

enum kind {
    REQUEST,
    RESPONSE,
    TRAILERS
};

struct parse {
    enum kind kind;
    struct http1_head head;
    struct field rows[ROWS];
    ssize_t result;
    const char *buffer;
};

static void begin(struct parse *p, enum kind kind)
{
    memset(p, 0, sizeof *p);
    p->kind = kind;
    p->head.list = p->rows;
    p->head.capacity = ROWS;
}

static void go_on(struct parse *p, bool scalar, const char *buffer, size_t len,
                  const struct http1_limits *limits, enum method method)
{
    p->buffer = buffer;
    switch (p->kind) {
    case REQUEST:
        p->result = scalar ? scalar_http1_parse_request(&p->head, buffer, len, limits)
                           : http1_parse_request(&p->head, buffer, len, limits);
        break;
    case RESPONSE:
        p->result = scalar ? scalar_http1_parse_response(&p->head, buffer, len, limits, method)
                           : http1_parse_response(&p->head, buffer, len, limits, method);
        break;
    case TRAILERS:
        p->result = scalar ? scalar_http1_parse_trailers(&p->head, buffer, len, limits)
                           : http1_parse_trailers(&p->head, buffer, len, limits);
        break;
    }
}

static void same_span(const struct parse *a, struct str x, const struct parse *b, struct str y)
{
    weir_assert(x.len == y.len);
    if (x.len == 0 || (x.ptr == y.ptr && x.len == 1 && *x.ptr == '*'))
        return;
    weir_assert(x.ptr - a->buffer == y.ptr - b->buffer);
    weir_assert(x.ptr >= a->buffer && x.ptr + x.len <= a->buffer + a->result);
}

static void same_parse(const struct parse *a, const struct parse *b)
{
    const struct http1_head *x = &a->head, *y = &b->head;
    weir_assert(a->result == b->result);
    if (a->result <= 0)
        return;
    weir_assert(x->count == y->count);
    for (unsigned i = 0; i < x->count; i++) {
        same_span(a, field_name(&x->list[i]), b, field_name(&y->list[i]));
        same_span(a, field_value(&x->list[i]), b, field_value(&y->list[i]));
        weir_assert(x->list[i].id == y->list[i].id);
    }
    same_span(a, x->method_name, b, y->method_name);
    same_span(a, x->target, b, y->target);
    same_span(a, x->authority, b, y->authority);
    /* The literal "*" of either twin is its own. */
    if (x->target_form != HTTP1_ABSOLUTE_FORM || x->method != METHOD_OPTIONS)
        same_span(a, x->path_query, b, y->path_query);
    weir_assert(str_equal(x->path_query, y->path_query));
    same_span(a, x->scheme, b, y->scheme);
    same_span(a, x->reason, b, y->reason);
    weir_assert(x->method == y->method && x->target_form == y->target_form);
    weir_assert(x->status == y->status && x->minor == y->minor && x->body == y->body);
    weir_assert(x->close == y->close && x->keep_alive == y->keep_alive);
    weir_assert(x->upgrade == y->upgrade && x->expect_continue == y->expect_continue);
    weir_assert(x->te_trailers == y->te_trailers);
    weir_assert(x->has_content_length == y->has_content_length);
    weir_assert(x->content_length == y->content_length);
}

static void in_pieces(const struct parse *whole, const uint8_t *bytes, size_t len,
                      const struct http1_limits *limits, enum method method, uint32_t most)
{
    struct parse p;
    char *last = NULL;
    begin(&p, whole->kind);
    for (size_t have = 0; p.result == 0 && have < len;) {
        have += 1 + fuzz_draw(most);
        have = have < len ? have : len;
        char *buffer = fuzz_exact_copy(bytes, have);
        if (last != NULL)
            http1_head_moved(&p.head, last, buffer);
        free(last);
        last = buffer;
        go_on(&p, false, buffer, have, limits, method);
    }
    if (len > 0)
        same_parse(whole, &p);
    free(last);
}

/* Nothing that is accepted may hold what could split or hide a line for the next one to read it. */
static void check_accepted(const struct parse *p)
{
    const struct http1_head *head = &p->head;
    unsigned lines = 0, counts[FIELD_IDS] = {0};
    for (ssize_t i = 0; i < p->result; i++) {
        unsigned char c = (unsigned char)p->buffer[i];
        weir_assert(c >= 0x20 || c == '\t' || c == '\r' || c == '\n');
        weir_assert(c != 0x7f);
        weir_assert(c != '\n' || (i > 0 && p->buffer[i - 1] == '\r'));
        weir_assert(c != '\r' || p->buffer[i + 1] == '\n');
        lines += c == '\n';
    }
    weir_assert(lines >= head->count + 1 && lines <= head->count + 6);
    for (unsigned i = 0; i < head->count; i++) {
        const struct field *field = &head->list[i];
        weir_assert(field->name_len > 0 && field->name[field->name_len] == ':');
        weir_assert(memchr(field->name, ' ', field->name_len) == NULL);
        weir_assert(field->id == field_identify(field->name, field->name_len));
        counts[field->id]++;
    }
    unsigned lengths = counts[FIELD_CONTENT_LENGTH], codings = counts[FIELD_TRANSFER_ENCODING];
    if (p->kind != TRAILERS) {
        weir_assert(lengths + codings <= 1);
        weir_assert(head->body != HTTP1_BODY_CHUNKED || (codings == 1 && head->minor == 1));
        weir_assert(head->body != HTTP1_BODY_LENGTH || lengths == 1);
    }
    if (p->kind == REQUEST) {
        weir_assert(counts[FIELD_HOST] == 1 || (counts[FIELD_HOST] == 0 && head->minor == 0));
        weir_assert(head->target.len > 0);
        weir_assert(memchr(head->target.ptr, ' ', head->target.len) == NULL);
        weir_assert(codings == 0 || head->body == HTTP1_BODY_CHUNKED);
    }
    if (p->kind == RESPONSE)
        weir_assert(head->status >= 100 && head->status <= 599);
}

static void fuzz_head(enum kind kind, const uint8_t *bytes, size_t len)
{
    static const enum method methods[] = {METHOD_GET, METHOD_GET, METHOD_HEAD, METHOD_CONNECT};
    struct http1_limits limits = {32768, ROWS};
    if (fuzz_draw(4) == 0)
        limits = (struct http1_limits){fuzz_draw((uint32_t)len + 2), fuzz_draw(8)};
    enum method method = methods[fuzz_draw(weir_count(methods))];
    struct parse whole, scalar;
    char *buffer = fuzz_exact_copy(bytes, len);
    begin(&whole, kind);
    go_on(&whole, false, buffer, len, &limits, method);
    begin(&scalar, kind);
    go_on(&scalar, true, buffer, len, &limits, method);
    same_parse(&whole, &scalar);
    in_pieces(&whole, bytes, len, &limits, method, 1);
    in_pieces(&whole, bytes, len, &limits, method, 1 + fuzz_draw(20));
    in_pieces(&whole, bytes, len, &limits, method, 1 + fuzz_draw(200));
    if (whole.result > 0)
        check_accepted(&whole);
    free(buffer);
}

void fuzz_http1_request(const uint8_t *bytes, size_t len)
{
    fuzz_head(REQUEST, bytes, len);
}

void fuzz_http1_response(const uint8_t *bytes, size_t len)
{
    fuzz_head(RESPONSE, bytes, len);
}

void fuzz_http1_trailers(const uint8_t *bytes, size_t len)
{
    fuzz_head(TRAILERS, bytes, len);
}
