/*
 * HTTP/1 messages: what all of the parser's files need, and what is written rather than parsed.
 *
 * Called by the client's and the origin's side of proxy/ for every message. The parser proper is in
 * http1_request.c, http1_response.c, http1_fields.c and http1_chunked.c; docs/http1.md has its
 * rules and their sections. Owns nothing: heads borrow the rows of fields and the buffer. Pure
 * functions, any thread.
 */
#include "net/http1_parse.h"
#include "net/http1_scan.h"

#define T HTTP1_CLASS_TOKEN
#define V HTTP1_CLASS_VALUE
#define R HTTP1_CLASS_TARGET
#define H HTTP1_CLASS_HOST

const uint8_t http1_classes[256] = {
    ['\t'] = V,
    [' '] = V,
    ['!'] = T | V | R | H,
    ['"'] = V | R,
    ['#'] = T | V,
    ['$'] = T | V | R | H,
    ['%'] = T | V | R,
    ['&' ... '\''] = T | V | R | H,
    ['(' ... ')'] = V | R | H,
    ['*' ... '+'] = T | V | R | H,
    [','] = V | R | H,
    ['-' ... '.'] = T | V | R | H,
    ['/'] = V | R,
    ['0' ... '9'] = T | V | R | H,
    [':'] = V | R,
    [';'] = V | R | H,
    ['<'] = V | R,
    ['='] = V | R | H,
    ['>' ... '@'] = V | R,
    ['A' ... 'Z'] = T | V | R | H,
    ['[' ... ']'] = V | R,
    ['^'] = T | V | R,
    ['_'] = T | V | R | H,
    ['`'] = T | V | R,
    ['a' ... 'z'] = T | V | R | H,
    ['{'] = V | R,
    ['|'] = T | V | R,
    ['}'] = V | R,
    ['~'] = T | V | R | H,
    [0x80 ... 0xff] = V,
};

#undef T
#undef V
#undef R
#undef H

const struct http1_error_row *http1_error_row(enum http1_error error)
{
    static const struct http1_error_row rows[HTTP1_ERRORS] = {[HTTP1_OK] = {"ok", 200, "nothing"},
#define X(symbol, counter, status, text) [HTTP1_##symbol] = {counter, status, text},
                                                              HTTP1_ERROR_TABLE(X)
#undef X
    };
    weir_assert(error < HTTP1_ERRORS);
    return &rows[error];
}

void http1_head_reset(struct http1_head *head)
{
    struct field *list = head->list;
    unsigned capacity = head->capacity;
    *head = (struct http1_head){.list = list, .capacity = capacity};
}

const char http1_asterisk[1] = {'*'};

static void move_span(struct str *span, uintptr_t by)
{
    if (span->ptr != NULL)
        span->ptr = (const char *)((uintptr_t)span->ptr + by);
}

void http1_head_moved(struct http1_head *head, const char *from, const char *to)
{
    /* Whole numbers, because `from` may have been freed. */
    uintptr_t by = (uintptr_t)to - (uintptr_t)from;
    move_span(&head->method_name, by);
    move_span(&head->target, by);
    move_span(&head->authority, by);
    if (head->path_query.ptr != http1_asterisk)
        move_span(&head->path_query, by);
    move_span(&head->scheme, by);
    move_span(&head->reason, by);
    for (unsigned i = 0; i < head->count; i++) {
        head->list[i].name = (const char *)((uintptr_t)head->list[i].name + by);
        head->list[i].value = (const char *)((uintptr_t)head->list[i].value + by);
    }
    /* The field whose value is not yet whole. */
    if (head->phase == HTTP1_VALUE)
        head->list[head->count].name = (const char *)((uintptr_t)head->list[head->count].name + by);
}

int http1_refuse(struct http1_cursor c, enum http1_error error)
{
    if (*c.at == '\n')
        return -HTTP1_BARE_LF;
    if (*c.at != '\r')
        return -(int)error;
    if (c.end - c.at == 1)
        return 0;
    return c.at[1] == '\n' ? -(int)error : -HTTP1_BARE_CR;
}

ssize_t http1_cursor_close(struct http1_head *head, const struct http1_cursor *c, int step,
                           const struct http1_limits *limits, enum http1_error too_large)
{
    if (step < 0)
        return step;
    head->resume = (size_t)(c->at - c->floor);
    head->mark = (size_t)(c->mark - c->floor);
    if (step > 0) {
        head->phase = HTTP1_DONE;
        return (ssize_t)head->resume;
    }
    return (size_t)(c->end - c->floor) == http1_limit_bytes(limits) ? -(ssize_t)too_large : 0;
}

ssize_t http1_parse_trailers(struct http1_head *head, const char *buffer, size_t len,
                             const struct http1_limits *limits)
{
    struct http1_cursor c = http1_cursor_open(head, buffer, len, limits);
    if (head->phase == HTTP1_START)
        head->phase = HTTP1_NAME;
    int step = http1_pass_fields(head, &c, limits, HTTP1_TRAILERS);
    return http1_cursor_close(head, &c, step, limits, HTTP1_HEAD_TOO_LARGE);
}
