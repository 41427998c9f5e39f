/*
 * Response heads (RFC 9112 §4): the status line, and the framing of the body by §6.3.
 *
 * Called by the origin's side of proxy/ with what a connection has read so far, again with more
 * until the head is whole; for interim responses (1xx) as for final ones. The same rules as for
 * requests hold for field lines: what a client may not send, an origin may not either. Owns
 * nothing; any thread.
 */
#include "net/http1_parse.h"
#include "net/http1_scan.h"

#define STATUS_DIGITS 3

/* Statuses are 100 to 599, RFC 9110 §15; nothing is known of how to frame others. */
static int pass_status(struct http1_cursor *c)
{
    for (; c->at - c->mark < STATUS_DIGITS; c->at++) {
        if (c->at == c->end)
            return 0;
        bool first = c->at == c->mark;
        if (*c->at < (first ? '1' : '0') || *c->at > (first ? '5' : '9'))
            return http1_refuse(*c, HTTP1_BAD_STATUS_LINE);
    }
    return 1;
}

static unsigned read_status(const char *mark)
{
    return (unsigned)(mark[0] - '0') * 100 + (unsigned)(mark[1] - '0') * 10 +
           (unsigned)(mark[2] - '0');
}

/* From behind the status: a SP and a reason, or, as many origins have it, nothing. */
static int pass_reason(struct http1_head *head, struct http1_cursor *c)
{
    const char *first = c->mark + STATUS_DIGITS;
    if (c->at == c->end)
        return 0;
    if (*first != ' ') {
        head->reason = str_of(first, 0);
        return http1_pass_line_end(c, HTTP1_BAD_STATUS_LINE);
    }
    c->at = http1_scan_value(c->at, c->end, c->floor);
    head->reason = str_of(first + 1, (size_t)(c->at - (first + 1)));
    return http1_pass_line_end(c, HTTP1_BAD_STATUS_LINE);
}

static int pass_version(struct http1_head *head, struct http1_cursor *c)
{
    int step = http1_pass_version(c);
    if (step <= 0 || c->at == c->end)
        return step < 0 ? step : 0;
    if (*c->at != ' ')
        return http1_refuse(*c, HTTP1_BAD_VERSION);
    if (http1_read_version(head, c->mark) != HTTP1_OK)
        return -HTTP1_UNSUPPORTED_VERSION;
    c->at++;
    return 1;
}

static inline int pass_status_line(struct http1_head *head, struct http1_cursor *c)
{
    int step = 1;
    switch (head->phase) {
    case HTTP1_START:
    case HTTP1_VERSION:
        head->phase = HTTP1_VERSION;
        if ((step = pass_version(head, c)) <= 0)
            return step;
        c->mark = c->at;
        head->phase = HTTP1_STATUS;
        __attribute__((fallthrough));
    case HTTP1_STATUS:
        if ((step = pass_status(c)) <= 0)
            return step;
        head->status = read_status(c->mark);
        head->phase = HTTP1_REASON;
        __attribute__((fallthrough));
    case HTTP1_REASON:
        if ((step = pass_reason(head, c)) <= 0)
            return step;
        c->mark = c->at;
        head->phase = HTTP1_NAME;
    }
    return step;
}

/* RFC 9112 §6.3 in its order. Length and coding together have been refused before. */
static enum http1_body framing(const struct http1_head *head, enum method method)
{
    if (method == METHOD_HEAD || head->status < 200 || head->status == 204 || head->status == 304)
        return HTTP1_BODY_NONE;
    if (method == METHOD_CONNECT && head->status < 300)
        return HTTP1_BODY_NONE;
    if (head->seen & HTTP1_SEEN_CODING)
        return HTTP1_BODY_CHUNKED;
    return head->has_content_length ? HTTP1_BODY_LENGTH : HTTP1_BODY_UNTIL_CLOSE;
}

ssize_t http1_parse_response(struct http1_head *head, const char *buffer, size_t len,
                             const struct http1_limits *limits, enum method method)
{
    struct http1_cursor c = http1_cursor_open(head, buffer, len, limits);
    int step = head->phase < HTTP1_NAME ? pass_status_line(head, &c) : 1;
    if (step > 0)
        step = http1_pass_fields(head, &c, limits, HTTP1_RESPONSE);
    if (step > 0) {
        head->upgrade = head->minor > 0 && (head->seen & HTTP1_SEEN_UPGRADE);
        head->body = framing(head, method);
    }
    return http1_cursor_close(head, &c, step, limits, HTTP1_HEAD_TOO_LARGE);
}
