/*
 * What the files of the rules share: the directives of Cache-Control, tokens, and the lines of a
 * stored field block. Only policy*.c and vary.c include this.
 */
#ifndef WEIR_CACHE_POLICY_H
#define WEIR_CACHE_POLICY_H

#include "cache/cache.h"

/* What a delta-seconds value means that is greater (RFC 9111 §1.2.2). */
#define POLICY_DELTA_MOST ((int64_t)1 << 31)

/* One directive of a Cache-Control or Pragma line (RFC 9111 §5.2). */
struct policy_directive {
    struct str name;  /* may be empty when malformed */
    struct str value; /* without its quotes */
    bool has_value;
    bool malformed; /* not token [ "=" ( token / quoted-string ) ] */
    bool
        unreadable; /* malformed around quotes: where the next directive begins is anyone's guess */
};

/* Takes the next directive off *rest. False at the end. */
bool policy_directive_next(struct str *rest, struct policy_directive *directive);
bool policy_directive_is(const struct policy_directive *directive, struct str name);
/* delta-seconds (RFC 9111 §1.2.2), at most POLICY_DELTA_MOST; -1 when it is not a number. */
int64_t policy_delta_s(struct str value);
/* The same of a directive's value; -1 as well when the directive is malformed or has none. */
int64_t policy_directive_delta_s(const struct policy_directive *directive);

/* A number that the origin gave: none, one, or several that disagree. */
struct policy_given {
    bool there;
    int64_t value_s; /* 0 when malformed or in conflict: stale (§4.2.1) */
};

/* What a response's directives say (§5.2.2): those of Cache-Control, or those of the field that
 * takes its place. */
struct policy_control {
    bool no_store, private, no_cache, public;
    bool must_revalidate, proxy_revalidate, must_understand;
    bool no_store_holds; /* beside must-understand too, which is malformed */
    bool malformed;      /* quotes that do not end */
    bool has_s_maxage;   /* well-formed: only such a one allows anything (§3.5) */
    struct policy_given s_maxage, max_age;
    struct policy_given stale_while_revalidate, stale_if_error; /* RFC 5861 */
};

/* Adds what a line of Cache-Control says. */
void policy_read_control(struct str value, struct policy_control *control);

/* The field that is to be heeded in the place of Cache-Control and Expires, and what it says;
 * FIELD_OTHER when there is none. */
enum field_id policy_read_targeted(struct fields fields, struct policy_control *control);

/* Whether responses to the method may be stored; and whether a POST's may with that lifetime: the
 * reason again, or another one. */
bool policy_method_is_stored(const struct policy_exchange *exchange);
enum policy_reason policy_confirm_method(const struct policy_exchange *exchange,
                                         enum policy_reason reason, struct cache_meta *meta);

/* A token (RFC 9110 §5.6.2), which a field name has to be. */
bool policy_is_token(struct str s);

/* Takes the next line off a field block ("Name: value\r\n"…). False at the end. */
bool policy_block_next(struct str *rest, struct field *line);

#endif
