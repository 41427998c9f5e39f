/*
 * Request heads (RFC 9112 §3): the request line, the forms of a target, and the framing of the
 * body.
 *
 * Called by the client's side of proxy/ with what a connection has read so far, again with more
 * until the head is whole. Each step of the request line is a function that leaves the cursor where
 * it stopped. Owns nothing; any thread. docs/http1.md has the rules and their sections.
 */
#include "net/http1_parse.h"
#include "net/http1_scan.h"

#include <arpa/inet.h>

#define EMPTY_LINES_BYTES (4 * 2)
#define PORT_DIGITS 5

static int pass_empty_lines(struct http1_cursor *c)
{
    while (c->at < c->end) {
        if (*c->at != '\r' && *c->at != '\n')
            return 1;
        if (c->at - c->floor >= EMPTY_LINES_BYTES)
            return http1_refuse(*c, HTTP1_BAD_METHOD);
        int step = http1_pass_line_end(c, HTTP1_BAD_METHOD);
        if (step <= 0)
            return step;
    }
    return 0;
}

static int pass_method(struct http1_head *head, struct http1_cursor *c)
{
    c->at = http1_scan_token(c->at, c->end, c->floor);
    if (c->at == c->end)
        return 0;
    if (*c->at != ' ' || c->at == c->mark)
        return http1_refuse(*c, HTTP1_BAD_METHOD);
    head->method_name = str_of(c->mark, (size_t)(c->at - c->mark));
    head->method = method_identify(head->method_name.ptr, head->method_name.len);
    return 1;
}

static const char *pass_ip_literal(const char *at, const char *end)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    const char *close = memchr(at, ']', (size_t)(end - at));
    if (close == NULL || (size_t)(close - at) > sizeof text)
        return NULL;
    size_t len = (size_t)(close - at) - 1;
    memcpy(text, at + 1, len);
    text[len] = '\0';
    /* A NUL cannot hide the rest: neither a field value nor a target has one. */
    return inet_pton(AF_INET6, text, &address) == 1 ? close + 1 : NULL;
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'f');
}

/* Empty ones are refused: an http URI has a host, RFC 9110 §4.2.1. */
static const char *pass_reg_name(const char *at, const char *end, const char *floor)
{
    const char *first = at;
    for (;;) {
        at = http1_scan_host(at, end, floor);
        if (at == end || *at != '%')
            return at == first ? NULL : at;
        if (end - at < 3 || !is_hex(at[1]) || !is_hex(at[2]))
            return NULL;
        at += 3;
    }
}

static bool port_valid(const char *at, const char *end)
{
    unsigned port = 0;
    if (end - at > PORT_DIGITS)
        return false;
    for (; at < end; at++) {
        unsigned digit = (unsigned char)*at - (unsigned)'0';
        if (digit > 9)
            return false;
        port = port * 10 + digit;
    }
    return port <= UINT16_MAX;
}

bool http1_authority_valid(struct str s, const char *floor, bool needs_port)
{
    const char *at = s.ptr, *end = s.ptr + s.len;
    if (s.len == 0)
        return false;
    at = *at == '[' ? pass_ip_literal(at, end) : pass_reg_name(at, end, floor);
    if (at == NULL)
        return false;
    if (at == end)
        return !needs_port;
    if (*at++ != ':')
        return false;
    if (at == end)
        return !needs_port;
    return port_valid(at, end);
}

static size_t scheme_bytes(struct str target)
{
    if (target.len > 7 && str_equal_nocase(str_of(target.ptr, 7), STR("http://")))
        return 4;
    if (target.len > 8 && str_equal_nocase(str_of(target.ptr, 8), STR("https://")))
        return 5;
    return 0;
}

/* RFC 9112 §3.2.2. User information is refused with all else that is no host, RFC 9110 §4.2.4. */
static enum http1_error read_absolute_form(struct http1_head *head, const char *floor)
{
    struct str target = head->target;
    size_t scheme_len = scheme_bytes(target);
    if (scheme_len == 0)
        return HTTP1_BAD_TARGET;
    const char *end = target.ptr + target.len, *host = target.ptr + scheme_len + 3, *path = host;
    while (path < end && *path != '/' && *path != '?')
        path++;
    head->target_form = HTTP1_ABSOLUTE_FORM;
    head->scheme = str_of(target.ptr, scheme_len);
    head->authority = str_of(host, (size_t)(path - host));
    if (path < end)
        head->path_query = str_of(path, (size_t)(end - path));
    else if (head->method == METHOD_OPTIONS)
        head->path_query = str_of(http1_asterisk, 1);
    else
        head->path_query = str_of(host - 1, 1); /* a "/" that is there already */
    return http1_authority_valid(head->authority, floor, false) ? HTTP1_OK : HTTP1_BAD_TARGET;
}

static enum http1_error read_target(struct http1_head *head, const char *floor)
{
    struct str target = head->target;
    if (head->method == METHOD_CONNECT) {
        head->target_form = HTTP1_AUTHORITY_FORM;
        head->authority = target;
        return http1_authority_valid(target, floor, true) ? HTTP1_OK : HTTP1_BAD_TARGET;
    }
    if (target.ptr[0] == '/') {
        head->target_form = HTTP1_ORIGIN_FORM;
        head->path_query = target;
        return HTTP1_OK;
    }
    if (target.ptr[0] == '*') {
        head->target_form = HTTP1_ASTERISK_FORM;
        head->path_query = target;
        return target.len == 1 && head->method == METHOD_OPTIONS ? HTTP1_OK : HTTP1_BAD_TARGET;
    }
    return read_absolute_form(head, floor);
}

static int pass_target(struct http1_head *head, struct http1_cursor *c)
{
    c->at = http1_scan_target(c->at, c->end, c->floor);
    if (c->at == c->end)
        return 0;
    /* A line that ends here is a simple request of HTTP/0.9. */
    if (*c->at == '\r' && c->at > c->mark)
        return http1_refuse(*c, HTTP1_BAD_VERSION);
    if (*c->at != ' ' || c->at == c->mark)
        return http1_refuse(*c, HTTP1_BAD_TARGET);
    head->target = str_of(c->mark, (size_t)(c->at - c->mark));
    enum http1_error error = read_target(head, c->floor);
    return error == HTTP1_OK ? 1 : -(int)error;
}

static void next(struct http1_head *head, struct http1_cursor *c, enum http1_phase phase)
{
    c->mark = c->at;
    head->phase = (uint8_t)phase;
}

static inline int pass_request_line(struct http1_head *head, struct http1_cursor *c)
{
    int step = 1;
    switch (head->phase) {
    case HTTP1_START:
        if ((step = pass_empty_lines(c)) <= 0)
            return step;
        next(head, c, HTTP1_METHOD);
        __attribute__((fallthrough));
    case HTTP1_METHOD:
        if ((step = pass_method(head, c)) <= 0)
            return step;
        c->at++;
        next(head, c, HTTP1_TARGET);
        __attribute__((fallthrough));
    case HTTP1_TARGET:
        if ((step = pass_target(head, c)) <= 0)
            return step;
        c->at++;
        next(head, c, HTTP1_VERSION);
        __attribute__((fallthrough));
    case HTTP1_VERSION:
        if ((step = http1_pass_version(c)) <= 0 ||
            (step = http1_pass_line_end(c, HTTP1_BAD_VERSION)) <= 0)
            return step;
        step = http1_read_version(head, c->mark) == HTTP1_OK ? 1 : -HTTP1_UNSUPPORTED_VERSION;
        next(head, c, HTTP1_NAME);
    }
    return step;
}

/* RFC 9112 §3.2 and §6.3; a request without framing has no body. */
static enum http1_error finish(struct http1_head *head)
{
    if (head->minor > 0 && !(head->seen & HTTP1_SEEN_HOST))
        return HTTP1_HOST_MISSING;
    if (head->seen & HTTP1_SEEN_CODING)
        head->body = HTTP1_BODY_CHUNKED;
    else if (head->has_content_length)
        head->body = HTTP1_BODY_LENGTH;
    /* An HTTP/1.0 client's Upgrade is ignored, RFC 9110 §7.8, and so is one to h2c, which RFC 9113
     * has done away with: requests in such a tunnel would reach the origin unseen. */
    const uint8_t upgrade = HTTP1_SEEN_UPGRADE | HTTP1_SEEN_UPGRADE_OPTION;
    head->upgrade = head->minor > 0 && (head->seen & (upgrade | HTTP1_SEEN_H2C)) == upgrade;
    return HTTP1_OK;
}

ssize_t http1_parse_request(struct http1_head *head, const char *buffer, size_t len,
                            const struct http1_limits *limits)
{
    struct http1_cursor c = http1_cursor_open(head, buffer, len, limits);
    int step = head->phase < HTTP1_NAME ? pass_request_line(head, &c) : 1;
    if (step > 0)
        step = http1_pass_fields(head, &c, limits, HTTP1_REQUEST);
    if (step > 0) {
        enum http1_error error = finish(head);
        step = error == HTTP1_OK ? 1 : -(int)error;
    }
    return http1_cursor_close(head, &c, step, limits,
                              head->phase < HTTP1_NAME ? HTTP1_TARGET_TOO_LONG
                                                       : HTTP1_HEAD_TOO_LARGE);
}
