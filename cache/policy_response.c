/*
 * The rules, second part: whether a response is stored (RFC 9111 §3), for how long it is fresh
 * (§4.2.1, §4.2.2) and how old it is already (§4.2.3). Called by a fetch for each response head,
 * and again after a 304 with the updated head. What is decided here goes into struct cache_meta,
 * so that a hit parses nothing.
 *
 * docs/caching.md tells users the same rules; what is malformed or in conflict is read as what
 * stores less or keeps it fresh for a shorter time. Pure; owns nothing; any thread.
 */
#include "cache/policy.h"

#define HEURISTIC_SHARE 10
#define HEURISTIC_MOST_S 86400

/* A number that the origin gave: none, one, or several that disagree. */
struct given {
    bool there;
    int64_t value_s; /* 0 when malformed or in conflict: stale (§4.2.1) */
};

/* What a response says, from one pass over its fields. */
struct said {
    bool no_store, private, no_cache, public;
    bool must_revalidate, proxy_revalidate, must_understand;
    bool malformed;    /* quotes that do not end, a Vary that names no field */
    bool has_s_maxage; /* well-formed: only such a one allows anything (§3.5) */
    struct given s_maxage, max_age, expires;
    struct given stale_while_revalidate, stale_if_error; /* RFC 5861 */
    bool has_date, has_modified;
    int64_t date_s, modified_s;
    bool has_age;
    int64_t age_s;
    bool has_etag, set_cookie, has_vary, vary_star;
};

/* "Either the first occurrence or stale" (§4.2.1): the first where all agree, otherwise stale. */
static void take_given(struct given *given, bool valid, int64_t value_s)
{
    if (!valid || (given->there && given->value_s != value_s))
        value_s = 0;
    given->there = true;
    given->value_s = value_s;
}

static void read_directive(const struct policy_directive *d, struct said *said)
{
    int64_t delta_s = policy_directive_delta_s(d);
    said->malformed |= d->unreadable;
    /* private="x" and no-cache="x" are read as without the names, as §5.2.2.4 and §5.2.2.7
     * allow. */
    if (policy_directive_is(d, STR("no-store"))) {
        said->no_store = true;
    } else if (policy_directive_is(d, STR("private"))) {
        said->private = true;
    } else if (policy_directive_is(d, STR("no-cache"))) {
        said->no_cache = true;
    } else if (policy_directive_is(d, STR("public"))) {
        said->public |= !d->malformed;
    } else if (policy_directive_is(d, STR("must-revalidate"))) {
        said->must_revalidate = true;
    } else if (policy_directive_is(d, STR("proxy-revalidate"))) {
        said->proxy_revalidate = true;
    } else if (policy_directive_is(d, STR("must-understand"))) {
        said->must_understand = true;
    } else if (policy_directive_is(d, STR("max-age"))) {
        take_given(&said->max_age, delta_s >= 0, delta_s);
    } else if (policy_directive_is(d, STR("s-maxage"))) {
        take_given(&said->s_maxage, delta_s >= 0, delta_s);
        said->has_s_maxage |= delta_s >= 0;
    } else if (policy_directive_is(d, STR("stale-while-revalidate"))) {
        take_given(&said->stale_while_revalidate, delta_s >= 0, delta_s);
    } else if (policy_directive_is(d, STR("stale-if-error"))) {
        take_given(&said->stale_if_error, delta_s >= 0, delta_s);
    }
}

static void read_control(struct str value, struct said *said)
{
    struct policy_directive directive;
    while (policy_directive_next(&value, &directive))
        read_directive(&directive, said);
}

/* The first member counts, and is ignored when it is not a number (§5.1). */
static void read_age(struct str value, struct said *said)
{
    struct str member;
    if (said->has_age)
        return;
    said->has_age = true;
    int64_t age_s = str_list_next(&value, &member) ? policy_delta_s(member) : -1;
    said->age_s = age_s < 0 ? 0 : age_s;
}

static void read_vary(struct str value, struct said *said)
{
    struct str member;
    while (str_list_next(&value, &member)) {
        said->has_vary = true;
        if (str_equal(member, STR("*")))
            said->vary_star = true;
        else if (!policy_is_token(member))
            said->malformed = true;
    }
}

static void read_response(struct fields fields, int64_t wall_now_s, struct said *said)
{
    int64_t expires_s;
    *said = (struct said){0};
    for (const struct field *f = fields.list, *end = f + fields.count; f < end; f++) {
        struct str value = field_value(f);
        switch (f->id) {
        case FIELD_CACHE_CONTROL:
            read_control(value, said);
            break;
        case FIELD_AGE:
            read_age(value, said);
            break;
        case FIELD_VARY:
            read_vary(value, said);
            break;
        case FIELD_EXPIRES:
            /* What is no date, "0" above all, is a time in the past (§5.3). */
            if (!date_parse(value, wall_now_s, &expires_s))
                expires_s = INT64_MIN;
            if (said->expires.there && said->expires.value_s != expires_s)
                expires_s = INT64_MIN;
            said->expires = (struct given){true, expires_s};
            break;
        case FIELD_DATE:
            if (!said->has_date)
                said->has_date = date_parse(value, wall_now_s, &said->date_s);
            break;
        case FIELD_LAST_MODIFIED:
            if (!said->has_modified)
                said->has_modified = date_parse(value, wall_now_s, &said->modified_s);
            break;
        case FIELD_ETAG:
            said->has_etag |= value.len > 0;
            break;
        case FIELD_SET_COOKIE:
            said->set_cookie = true;
            break;
        default:
            break;
        }
    }
    if (!said->has_date)
        said->date_s = wall_now_s; /* RFC 9110 §6.6.1 */
}

/* ---- statuses -------------------------------------------------------------------------------- */

/* RFC 9110 §15.1, without 206, which is never stored. */
static bool is_heuristically_cacheable(unsigned status)
{
    switch (status) {
    case 200:
    case 203:
    case 204:
    case 300:
    case 301:
    case 308:
    case 404:
    case 405:
    case 410:
    case 414:
    case 501:
        return true;
    default:
        return false;
    }
}

static bool takes_negative_ttl(unsigned status)
{
    return status >= 400 && is_heuristically_cacheable(status);
}

/* Final statuses of RFC 9110 §15 whose caching needs nothing that Weir does not do: what
 * must-understand asks (§5.2.2.3). */
static bool is_understood(unsigned status)
{
    return (status >= 200 && status <= 205) || (status >= 300 && status <= 303) || status == 305 ||
           status == 307 || status == 308 || (status >= 400 && status <= 411) ||
           (status >= 413 && status <= 415) || status == 417 || status == 421 || status == 422 ||
           status == 426 || (status >= 500 && status <= 505);
}

/* Final, and meant for whoever asks for the target: what 206, 304, 412 and 416 say depends on
 * conditions or ranges of the request, which are no part of the key. */
static enum policy_reason judge_status(unsigned status)
{
    if (status == 206 || status == 416)
        return POLICY_PARTIAL;
    if (status < 200 || status == 304 || status == 412)
        return POLICY_STATUS;
    return POLICY_STORE;
}

/* ---- freshness and age ----------------------------------------------------------------------- */

/* Of clocks of full seconds that are read on both sides of a tick, one is ahead by 1 without any
 * time gone by. §4.2.3 allows to leave out apparent_age altogether. */
static int64_t apparent_age_s(const struct said *said, int64_t wall_now_s)
{
    int64_t age_s = wall_now_s - said->date_s;
    if (age_s <= 1)
        return 0;
    return age_s < POLICY_DELTA_MOST ? age_s : POLICY_DELTA_MOST;
}

/* corrected_initial_age (§4.2.3). */
static int64_t initial_age_ms(const struct policy_exchange *exchange, const struct said *said)
{
    int64_t response_delay_ms = exchange->now_ms - exchange->requested_ms;
    int64_t corrected_ms = said->age_s * 1000 + (response_delay_ms > 0 ? response_delay_ms : 0);
    int64_t apparent_ms = apparent_age_s(said, exchange->wall_now_s) * 1000;
    return corrected_ms > apparent_ms ? corrected_ms : apparent_ms;
}

static bool is_explicit(const struct said *said)
{
    return said->s_maxage.there || said->max_age.there || said->expires.there;
}

/* §4.2.1, in its order. */
static int64_t explicit_lifetime_s(const struct said *said)
{
    if (said->s_maxage.there)
        return said->s_maxage.value_s;
    if (said->max_age.there)
        return said->max_age.value_s;
    if (said->expires.value_s <= said->date_s)
        return 0;
    int64_t lifetime_s = said->expires.value_s - said->date_s;
    return lifetime_s < POLICY_DELTA_MOST ? lifetime_s : POLICY_DELTA_MOST;
}

/* What Weir grants where the origin says nothing: the route's ttl, counted from the arrival,
 * else a share of the time without modification (§4.2.2). */
static int64_t granted_lifetime_s(const struct policy_exchange *exchange, const struct said *said,
                                  int64_t age_ms)
{
    const struct conf_route_cache *route = exchange->route;
    int64_t ttl_s = takes_negative_ttl(exchange->status) ? route->negative_ttl_s : route->ttl_s;
    if (ttl_s > 0) {
        int64_t lifetime_s = ttl_s + age_ms / 1000;
        return lifetime_s < POLICY_DELTA_MOST ? lifetime_s : POLICY_DELTA_MOST;
    }
    if (!said->has_modified || said->modified_s >= said->date_s)
        return 0;
    int64_t share_s = (said->date_s - said->modified_s) / HEURISTIC_SHARE;
    return share_s < HEURISTIC_MOST_S ? share_s : HEURISTIC_MOST_S;
}

/* ---- what a stale one is good for ------------------------------------------------------------ */

static uint64_t stale_window_s(const struct given *given, uint32_t route_s)
{
    int64_t window_s = given->there ? given->value_s : route_s;
    return (uint64_t)(window_s < CACHE_STALE_MOST_S ? window_s : CACHE_STALE_MOST_S);
}

/* Beyond its freshness, from now at the earliest. A minute is begun, not left out. */
static uint64_t keep_min(const struct policy_exchange *exchange, const struct cache_meta *meta,
                         int64_t lifetime_s)
{
    int64_t stale_ms = exchange->now_ms - meta->born_ms - lifetime_s * 1000;
    int64_t keep_ms = (int64_t)exchange->route->keep_s * 1000 + (stale_ms > 0 ? stale_ms : 0);
    int64_t minutes = (keep_ms + 59999) / 60000;
    return (uint64_t)(minutes < CACHE_KEEP_MOST_MIN ? minutes : CACHE_KEEP_MOST_MIN);
}

/* RFC 5861, and how long it is kept for the sake of its validator. */
static void grant_stale(const struct policy_exchange *exchange, const struct said *said,
                        int64_t lifetime_s, struct cache_meta *meta)
{
    if (meta->flags & CACHE_HAS_VALIDATOR)
        meta->keep_min = keep_min(exchange, meta, lifetime_s);
    if (meta->flags & (CACHE_NO_CACHE | CACHE_MUST_REVALIDATE))
        return; /* §4.2.4 */
    meta->stale_while_revalidate_s =
        stale_window_s(&said->stale_while_revalidate, exchange->route->stale_while_revalidate_s);
    meta->stale_if_error_s =
        stale_window_s(&said->stale_if_error, exchange->route->stale_if_error_s);
}

/* Stale already, and nothing that a stale one is good for. */
static bool is_useless_at_once(const struct policy_exchange *exchange,
                               const struct cache_meta *meta, int64_t lifetime_s)
{
    struct cache_meta windows = *meta;
    windows.lifetime_s = (uint32_t)lifetime_s;
    windows.keep_min = 0;
    return !(meta->flags & CACHE_HAS_VALIDATOR) && policy_is_useless(&windows, exchange->now_ms);
}

/* ---- judging --------------------------------------------------------------------------------- */

/* Whether it may be stored at all (§3), whatever its freshness. */
static enum policy_reason judge_storing(const struct policy_exchange *exchange,
                                        const struct said *said)
{
    enum policy_reason by_status = judge_status(exchange->status);
    if (!exchange->route->enabled)
        return POLICY_DISABLED;
    if (exchange->method != METHOD_GET)
        return POLICY_METHOD;
    if (exchange->request->no_store)
        return POLICY_REQUEST_NO_STORE;
    if (by_status != POLICY_STORE)
        return by_status;
    if (said->must_understand && !is_understood(exchange->status))
        return POLICY_STATUS;
    /* Beside must-understand, no-store is for caches that do not know it (§5.2.2.3). */
    if (said->no_store && !said->must_understand)
        return POLICY_NO_STORE;
    if (said->private)
        return POLICY_PRIVATE;
    if (said->malformed)
        return POLICY_MALFORMED;
    if (said->vary_star)
        return POLICY_VARY_STAR;
    if (exchange->request->authorization && !said->public && !said->has_s_maxage &&
        !said->must_revalidate)
        return POLICY_AUTHORIZATION; /* §3.5 */
    return POLICY_STORE;
}

/* Sets the lifetime of what may be stored; another reason than STORE where there is none. */
static enum policy_reason judge_freshness(const struct policy_exchange *exchange,
                                          const struct said *said, struct cache_meta *meta)
{
    int64_t age_ms = exchange->now_ms - meta->born_ms, lifetime_s = 0;
    if (is_explicit(said)) {
        lifetime_s = explicit_lifetime_s(said);
        /* To be asked about each time is no permission to give one client's cookie to others. */
        if (said->set_cookie && (lifetime_s == 0 || said->no_cache))
            return POLICY_SET_COOKIE;
    } else {
        if (!is_heuristically_cacheable(exchange->status))
            return POLICY_STATUS;
        if (said->set_cookie)
            return POLICY_SET_COOKIE;
        if (exchange->request->authorization)
            return POLICY_AUTHORIZATION;
        if (!said->no_cache) {
            lifetime_s = granted_lifetime_s(exchange, said, age_ms);
            if (lifetime_s == 0)
                return POLICY_NO_FRESHNESS;
            meta->flags |= CACHE_HEURISTIC;
        }
    }
    grant_stale(exchange, said, lifetime_s, meta);
    /* What can only be asked about is worth its room only if it can be asked about. */
    if (is_useless_at_once(exchange, meta, said->no_cache ? 0 : lifetime_s))
        return POLICY_NO_FRESHNESS;
    meta->lifetime_s = (uint32_t)lifetime_s;
    return POLICY_STORE;
}

static unsigned response_flags(const struct said *said)
{
    unsigned flags = 0;
    if (said->no_cache)
        flags |= CACHE_NO_CACHE;
    if (said->must_revalidate || said->proxy_revalidate || said->s_maxage.there)
        flags |= CACHE_MUST_REVALIDATE; /* s-maxage means proxy-revalidate as well (§5.2.2.10) */
    if (said->has_etag || said->has_modified)
        flags |= CACHE_HAS_VALIDATOR;
    if (said->has_vary)
        flags |= CACHE_HAS_VARY;
    if (said->public || said->has_s_maxage || said->must_revalidate)
        flags |= CACHE_FOR_AUTHORIZED;
    if (said->has_age)
        flags |= CACHE_HAD_AGE;
    return flags;
}

enum policy_reason policy_judge(const struct policy_exchange *exchange, struct cache_meta *meta)
{
    struct said said;
    read_response(exchange->fields, exchange->wall_now_s, &said);
    *meta = (struct cache_meta){
        .born_ms = exchange->now_ms - initial_age_ms(exchange, &said),
        .status = (uint16_t)exchange->status,
        .flags = (uint16_t)response_flags(&said),
    };
    enum policy_reason reason = judge_storing(exchange, &said);
    return reason == POLICY_STORE ? judge_freshness(exchange, &said, meta) : reason;
}
