/*
 * A second, strict reader of HTTP/1.1 (RFC 9112), written apart from net/: what Weir sends is held against it, and what clients
 * have sent is counted by it.
 */
#ifndef WEIR_FUZZ_HTTP_CHECK_H
#define WEIR_FUZZ_HTTP_CHECK_H

#include "base/base.h"

struct check_message {
    struct str method, target; /* a request's */
    unsigned status;           /* a response's */
    bool http10, close, upgrade, chunked, has_length;
    uint64_t length;
    unsigned hosts, vias;
    size_t head_len;
    size_t body_len; /* with its framing, as far as it is there */
    bool whole, body_wrong;
};

enum check_result {
    CHECK_GOOD, /* the head is there, and as much of the body as body_len says */
    CHECK_INCOMPLETE,
    CHECK_WRONG
};

enum check_result check_request(struct str in, struct check_message *out);
/* `bodiless`: the answer to a HEAD. A body that ends with the connection is not whole. */
enum check_result check_response(struct str in, bool bodiless, struct check_message *out);

/* What of a target is sent on: without scheme and authority. */
struct str check_path(struct str method, struct str target, bool *needs_slash);

#endif
