/*
 * What the files of the HTTP/1 parser share: how far it has come, and how it refuses.
 *
 *   request:  START → METHOD → TARGET → VERSION → NAME ⇄ VALUE → DONE
 *   response: START → VERSION → STATUS → REASON → NAME ⇄ VALUE → DONE
 *   trailers: START → NAME ⇄ VALUE → DONE
 *
 * Each step looks at a byte once, moves the cursor over it, and decides by nothing but the bytes so
 * far: that is why a head that comes in pieces ends as the same one whole. Only net/http1_*.c
 * include this file.
 */
#ifndef WEIR_NET_HTTP1_PARSE_H
#define WEIR_NET_HTTP1_PARSE_H

#include "net/net.h"

enum http1_phase {
    HTTP1_START,
    HTTP1_METHOD,
    HTTP1_TARGET,
    HTTP1_VERSION,
    HTTP1_STATUS,
    HTTP1_REASON,
    HTTP1_NAME,
    HTTP1_VALUE,
    HTTP1_DONE
};

/* Bits of head->seen. */
enum {
    HTTP1_SEEN_HOST = 1,
    HTTP1_SEEN_CODING = 2,
    HTTP1_SEEN_UPGRADE = 4,
    HTTP1_SEEN_UPGRADE_OPTION = 8,
    HTTP1_SEEN_H2C = 16
};

enum http1_kind {
    HTTP1_REQUEST,
    HTTP1_RESPONSE,
    HTTP1_TRAILERS
};

struct http1_cursor {
    const char *floor; /* the buffer */
    const char *mark;  /* where the element begins that is being read */
    const char *at;    /* the next byte to look at */
    const char *end;
};

/* The path_query that is in no buffer. */
extern const char http1_asterisk[1];

/* What a step returns: 1 to go on, 0 when bytes are missing, otherwise -enum http1_error. */

/* The byte at the cursor may not be there: a CR or LF that is not half of a CRLF has an error of
 * its own. Takes a copy, so that a caller's cursor can stay in registers. */
int http1_refuse(struct http1_cursor c, enum http1_error error);

/* Passes over a CRLF; anything else is refused. */
static inline int http1_pass_line_end(struct http1_cursor *c, enum http1_error error)
{
    if (weir_likely(c->end - c->at >= 2 && c->at[0] == '\r' && c->at[1] == '\n')) {
        c->at += 2;
        return 1;
    }
    return c->at == c->end ? 0 : http1_refuse(*c, error);
}

/* A field's length is kept in 32 bits. */
static inline size_t http1_limit_bytes(const struct http1_limits *limits)
{
    return limits->head_bytes < UINT32_MAX ? limits->head_bytes : UINT32_MAX;
}

/* Where the last call stopped. Bytes behind the limit are not looked at. */
static inline struct http1_cursor http1_cursor_open(const struct http1_head *head,
                                                    const char *buffer, size_t len,
                                                    const struct http1_limits *limits)
{
    if (len > http1_limit_bytes(limits))
        len = http1_limit_bytes(limits);
    weir_assert(head->phase != HTTP1_DONE && head->resume <= len);
    return (struct http1_cursor){buffer, buffer + head->mark, buffer + head->resume, buffer + len};
}

/* Remembers where this call stopped; gives what the parsing functions return. */
ssize_t http1_cursor_close(struct http1_head *head, const struct http1_cursor *c, int step,
                           const struct http1_limits *limits, enum http1_error too_large);

/* Whether c may stand at that place of "HTTP/d.d". */
static inline bool http1_version_byte_legal(size_t at, char c)
{
    static const char pattern[] = "HTTP/d.d";
    return pattern[at] == 'd' ? c >= '0' && c <= '9' : c == pattern[at];
}

/* "HTTP/1.1", as far as it is there; the mark stands before it. */
static inline int http1_pass_version(struct http1_cursor *c)
{
    if (weir_likely(c->end - c->mark >= 8 && memcmp(c->mark, "HTTP/1.1", 8) == 0)) {
        c->at = c->mark + 8;
        return 1;
    }
    for (; c->at - c->mark < 8; c->at++) {
        if (c->at == c->end)
            return 0;
        if (!http1_version_byte_legal((size_t)(c->at - c->mark), *c->at))
            return http1_refuse(*c, HTTP1_BAD_VERSION);
    }
    return 1;
}

/* The same version, read; the mark still stands before it. */
static inline enum http1_error http1_read_version(struct http1_head *head, const char *mark)
{
    if (mark[5] != '1')
        return HTTP1_UNSUPPORTED_VERSION;
    /* A minor version above 1 is what 1.1 is to us, RFC 9110 §2.5. */
    head->minor = mark[7] != '0';
    return HTTP1_OK;
}

/* Field lines up to the empty line, that too. */
int http1_pass_fields(struct http1_head *head, struct http1_cursor *cursor,
                      const struct http1_limits *limits, enum http1_kind kind);

/* uri-host [ ":" port ], RFC 9110 §7.2. Bytes from `floor` to the end of s are readable. */
bool http1_authority_valid(struct str s, const char *floor, bool needs_port);

#endif
