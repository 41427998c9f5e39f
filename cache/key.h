/*
 * cache/key: what the parts of a key's text share (key.c, key_query.c, key_fields.c), and cookies,
 * which the rule of bypasses reads too.
 */
#ifndef WEIR_CACHE_KEY_H
#define WEIR_CACHE_KEY_H

#include "cache/cache.h"

/* The target less the query parameters that the rules leave out, in the order that they ask for. */
void cache_key_append_target(struct appender *out, struct str target,
                             const struct conf_route_key *rules);

/* One pair of a Cookie line. */
struct cookie {
    struct str name, value; /* without white space around them */
    bool has_value;         /* there was a "=" */
    bool doubtful; /* others may see other pairs: a quote that does not end with the pair */
};
/* Takes the next pair off *rest, skipping empty ones (RFC 6265 §4.2.1, read leniently: every ";"
 * separates). False at the end. */
bool cookie_next(struct str *rest, struct cookie *cookie);

#endif
