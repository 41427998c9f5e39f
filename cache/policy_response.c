/*
 * The rules: whether a response is stored (RFC 9111 §3), for how long it is fresh
 * (§4.2.1, §4.2.2) and how old it is already (§4.2.3). Called by a fetch for each response head,
 * and again after a 304 with the updated head. What is decided here goes into struct cache_meta,
 * so that a hit parses nothing. What the directives are is policy_control.c's.
 *
 * docs/caching.md tells users the same rules; what is malformed or in conflict is read as what
 * stores less or keeps it fresh for a shorter time. Pure; owns nothing; any thread.
 */
#include "cache/policy.h"

/* What a response says, from one pass over its fields. */
struct said {
    struct policy_control control;
    struct policy_given expires;
    bool targeted;     /* a field is there that may take the place of Cache-Control */
    bool may_be_stale; /* whatever it says (the route's override) */
    bool has_date;
    int64_t date_s;      /* of several the earliest, which makes it older; */
    int64_t last_date_s; /* and the latest, which makes it expire sooner */
    bool has_modified, bad_modified;
    int64_t modified_s;
    bool has_age;
    int64_t age_s;
    bool has_etag, set_cookie, has_vary, vary_star, bad_vary;
};

/* ---- fields ---------------------------------------------------------------------------------- */

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
            said->bad_vary = true;
    }
}

/* What is no date, "0" above all, is a time in the past (§5.3). */
static void read_expires(struct str value, int64_t wall_now_s, struct policy_given *expires)
{
    int64_t expires_s;
    if (!date_parse(value, wall_now_s, &expires_s) ||
        (expires->there && expires->value_s != expires_s))
        expires_s = INT64_MIN;
    *expires = (struct policy_given){true, expires_s};
}

static void read_date(struct str value, int64_t wall_now_s, struct said *said)
{
    int64_t date_s;
    if (!date_parse(value, wall_now_s, &date_s))
        return;
    if (!said->has_date || date_s < said->date_s)
        said->date_s = date_s;
    if (!said->has_date || date_s > said->last_date_s)
        said->last_date_s = date_s;
    said->has_date = true;
}

/* One that is malformed, or not the same in all lines, tells nothing. */
static void read_modified(struct str value, int64_t wall_now_s, struct said *said)
{
    int64_t modified_s = 0;
    said->bad_modified |= !date_parse(value, wall_now_s, &modified_s) ||
                          (said->has_modified && modified_s != said->modified_s);
    said->modified_s = modified_s;
    said->has_modified = !said->bad_modified;
}

static void read_fields(struct fields fields, int64_t wall_now_s, struct said *said)
{
    *said = (struct said){0};
    for (const struct field *f = fields.list, *end = f + fields.count; f < end; f++) {
        struct str value = field_value(f);
        switch (f->id) {
        case FIELD_CACHE_CONTROL:
            policy_read_control(value, &said->control);
            break;
        case FIELD_CDN_CACHE_CONTROL:
        case FIELD_SURROGATE_CONTROL:
        case FIELD_WEIR_CACHE_CONTROL:
            said->targeted = true;
            break;
        case FIELD_AGE:
            read_age(value, said);
            break;
        case FIELD_VARY:
            read_vary(value, said);
            break;
        case FIELD_EXPIRES:
            read_expires(value, wall_now_s, &said->expires);
            break;
        case FIELD_DATE:
            read_date(value, wall_now_s, said);
            break;
        case FIELD_LAST_MODIFIED:
            read_modified(value, wall_now_s, said);
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
        said->date_s = said->last_date_s = wall_now_s; /* RFC 9110 §6.6.1 */
}

/* ---- whose word counts ----------------------------------------------------------------------- */

static bool is_explicit(const struct said *said)
{
    return said->control.s_maxage.there || said->control.max_age.there || said->expires.there;
}

/* §4.2.4; s-maxage means proxy-revalidate as well (§5.2.2.10). */
static bool is_never_stale(const struct said *said)
{
    const struct policy_control *control = &said->control;
    return !said->may_be_stale &&
           (control->must_revalidate || control->proxy_revalidate || control->s_maxage.there);
}

/* What was decided by a field that is not kept with the response stays decided when a 304 does not
 * bring that field anew (§3.2). */
static void recall(const struct cache_meta *stored, struct said *said)
{
    said->expires.there = false;
    said->control = (struct policy_control){
        .no_cache = stored->flags & CACHE_NO_CACHE,
        .proxy_revalidate = stored->flags & CACHE_MUST_REVALIDATE,
        .public = stored->flags & CACHE_FOR_AUTHORIZED,
        .max_age = {!(stored->flags & CACHE_HEURISTIC), stored->lifetime_s},
        .stale_while_revalidate = {true, stored->stale_while_revalidate_s},
        .stale_if_error = {true, stored->stale_if_error_s},
    };
}

static unsigned targeted_flag(enum field_id decides)
{
    return decides == FIELD_WEIR_CACHE_CONTROL  ? CACHE_BY_WEIR
           : decides == FIELD_SURROGATE_CONTROL ? CACHE_BY_SURROGATE
                                                : 0;
}

/* A field for Weir, or for caches like it, takes the place of Cache-Control and Expires (RFC 9213
 * §2.2). Returns the flags that tell whose word it was. */
static unsigned heed_targeted(const struct policy_exchange *exchange, struct said *said)
{
    enum field_id decides = FIELD_OTHER;
    unsigned before = 0;
    if (exchange->stored != NULL)
        before = exchange->stored->flags & (CACHE_BY_WEIR | CACHE_BY_SURROGATE);
    if (said->targeted)
        decides = policy_read_targeted(exchange->fields, &said->control);
    if ((before == CACHE_BY_WEIR && decides != FIELD_WEIR_CACHE_CONTROL) ||
        (before == CACHE_BY_SURROGATE && decides == FIELD_OTHER)) {
        recall(exchange->stored, said);
        return before | (exchange->stored->flags & CACHE_OVERRIDDEN);
    }
    if (decides != FIELD_OTHER)
        said->expires.there = false;
    return targeted_flag(decides);
}

/* Takes out of what is said what counts for nothing on this route. Whether there was any of it. */
static bool override(uint32_t words_set, struct said *said)
{
    struct policy_control *control = &said->control;
    bool any = false;
    if (words_set & 1u << CONF_OVERRIDE_NO_STORE) {
        any |= control->no_store;
        control->no_store = false;
    }
    if (words_set & 1u << CONF_OVERRIDE_PRIVATE) {
        any |= control->private;
        control->private = false;
    }
    if (words_set & 1u << CONF_OVERRIDE_NO_CACHE) {
        any |= control->no_cache;
        control->no_cache = false;
    }
    if (words_set & 1u << CONF_OVERRIDE_MUST_REVALIDATE) {
        any |= is_never_stale(said);
        said->may_be_stale = true;
        control->must_revalidate = false; /* nor does it permit anything (§3.5) */
    }
    if (words_set & 1u << CONF_OVERRIDE_FRESHNESS) {
        any |= is_explicit(said);
        control->s_maxage.there = control->max_age.there = said->expires.there = false;
        control->has_s_maxage = false;
    }
    if (words_set & 1u << CONF_OVERRIDE_VARY) {
        any |= said->has_vary;
        said->has_vary = said->vary_star = said->bad_vary = false;
    }
    return any;
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

static int64_t at_most(int64_t value, int64_t most)
{
    return value < most ? value : most;
}

/* Of clocks of full seconds that are read on both sides of a tick, one is ahead by 1 without any
 * time gone by. §4.2.3 allows to leave out apparent_age altogether. */
static int64_t apparent_age_s(const struct said *said, int64_t wall_now_s)
{
    int64_t age_s = wall_now_s - said->date_s;
    if (age_s <= 1)
        return 0;
    return at_most(age_s, POLICY_DELTA_MOST);
}

/* corrected_initial_age (§4.2.3). */
static int64_t initial_age_ms(const struct policy_exchange *exchange, const struct said *said)
{
    int64_t response_delay_ms = exchange->now_ms - exchange->requested_ms;
    int64_t corrected_ms = said->age_s * 1000 + (response_delay_ms > 0 ? response_delay_ms : 0);
    int64_t apparent_ms = apparent_age_s(said, exchange->wall_now_s) * 1000;
    return corrected_ms > apparent_ms ? corrected_ms : apparent_ms;
}

/* §4.2.1, in its order. */
static int64_t explicit_lifetime_s(const struct said *said)
{
    if (said->control.s_maxage.there)
        return said->control.s_maxage.value_s;
    if (said->control.max_age.there)
        return said->control.max_age.value_s;
    if (said->expires.value_s <= said->last_date_s)
        return 0;
    return at_most(said->expires.value_s - said->last_date_s, POLICY_DELTA_MOST);
}

/* The route's row for this status, or NULL. */
static const struct conf_status_ttl *status_row(const struct policy_exchange *exchange)
{
    const struct conf_route_cache *route = exchange->route;
    for (unsigned i = 0; i < route->status_ttl_count; i++) {
        if (route->status_ttl[i].status == exchange->status)
            return &route->status_ttl[i];
    }
    return NULL;
}

/* Where the origin gives no freshness: whether Weir may grant it some (§3, §4.2.2: "public" marks
 * any status as cacheable). */
static bool may_be_granted(const struct policy_exchange *exchange, const struct said *said)
{
    return is_heuristically_cacheable(exchange->status) || said->control.public ||
           status_row(exchange) != NULL;
}

/* A share of the time without modification (§4.2.2). */
static int64_t guessed_lifetime_s(const struct conf_route_cache *route, const struct said *said)
{
    if (!said->has_modified || said->modified_s >= said->date_s)
        return 0;
    int64_t share_s = (said->date_s - said->modified_s) * route->heuristic_percent / 100;
    return at_most(share_s, route->heuristic_max_s);
}

/* What Weir grants where the origin says nothing: the route's time, counted from the arrival, else
 * a guess. */
static int64_t granted_lifetime_s(const struct policy_exchange *exchange, const struct said *said,
                                  int64_t age_s)
{
    const struct conf_route_cache *route = exchange->route;
    const struct conf_status_ttl *row = status_row(exchange);
    int64_t ttl_s = exchange->status >= 400 ? route->negative_ttl_s : route->ttl_s;
    if (row != NULL && row->ttl_s == 0)
        return 0;
    if (row != NULL)
        ttl_s = row->ttl_s;
    return ttl_s > 0 ? at_most(ttl_s + age_s, POLICY_DELTA_MOST) : guessed_lifetime_s(route, said);
}

/* The route's bounds, which count from the arrival as its ttl does. */
static int64_t clamp_lifetime_s(const struct conf_route_cache *route, int64_t lifetime_s,
                                int64_t age_s)
{
    int64_t left_s = lifetime_s - age_s;
    if (route->ttl_max_s > 0)
        left_s = at_most(left_s, route->ttl_max_s);
    if (route->ttl_min_s > 0 && left_s < route->ttl_min_s)
        left_s = route->ttl_min_s;
    return at_most(left_s + age_s, POLICY_DELTA_MOST);
}

/* ---- what a stale one is good for ------------------------------------------------------------ */

static uint64_t stale_window_s(const struct policy_given *given, uint32_t route_s)
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
    meta->stale_while_revalidate_s = stale_window_s(&said->control.stale_while_revalidate,
                                                    exchange->route->stale_while_revalidate_s);
    meta->stale_if_error_s =
        stale_window_s(&said->control.stale_if_error, exchange->route->stale_if_error_s);
}

/* Stale already, and nothing that a stale one is good for. */
static bool is_useless_at_once(const struct policy_exchange *exchange,
                               const struct cache_meta *meta, int64_t lifetime_s)
{
    struct cache_meta windows = *meta;
    windows.lifetime_s = (uint32_t)lifetime_s;
    return !(meta->flags & CACHE_HAS_VALIDATOR) && policy_is_useless(&windows, exchange->now_ms);
}

/* ---- judging --------------------------------------------------------------------------------- */

/* §3.5 */
static bool allows_authorized(const struct policy_control *control)
{
    return control->public || control->has_s_maxage || control->must_revalidate;
}

/* Whether it may be stored at all (§3), whatever its freshness. */
static enum policy_reason judge_storing(const struct policy_exchange *exchange,
                                        const struct said *said)
{
    const struct policy_control *control = &said->control;
    enum policy_reason by_status = judge_status(exchange->status);
    if (!exchange->route->enabled)
        return POLICY_DISABLED;
    if (!policy_method_is_stored(exchange))
        return POLICY_METHOD;
    if (exchange->request->no_store)
        return POLICY_REQUEST_NO_STORE;
    if (by_status != POLICY_STORE)
        return by_status;
    if (control->must_understand && !is_understood(exchange->status))
        return POLICY_STATUS;
    /* Beside must-understand, no-store is for caches that do not know it (§5.2.2.3). */
    if (control->no_store && (!control->must_understand || control->no_store_holds))
        return POLICY_NO_STORE;
    if (control->private)
        return POLICY_PRIVATE;
    if (control->malformed || said->bad_vary)
        return POLICY_MALFORMED;
    if (said->vary_star)
        return POLICY_VARY_STAR;
    if (exchange->request->authorization && !allows_authorized(control))
        return POLICY_AUTHORIZATION;
    return POLICY_STORE;
}

/* Whether a cookie keeps it from being stored. Without the route's word, only a lifetime that the
 * origin itself gave allows it: to be asked about each time is no permission to give one client's
 * cookie to others. */
static bool refuses_cookie(const struct conf_route_cache *route, bool shared_by_origin)
{
    switch (route->set_cookie) {
    case CONF_SET_COOKIE_STORE:
        return false;
    case CONF_SET_COOKIE_REFUSE:
        return true;
    case CONF_SET_COOKIE_AUTO:
        break;
    }
    return route->override != 0 || !shared_by_origin;
}

/* Sets the lifetime of what may be stored; another reason than STORE where there is none. */
static enum policy_reason judge_freshness(const struct policy_exchange *exchange,
                                          const struct said *said, struct cache_meta *meta)
{
    bool explicit = is_explicit(said), no_cache = said->control.no_cache;
    int64_t age_ms = exchange->now_ms - meta->born_ms, age_s = age_ms / 1000;
    int64_t lifetime_s = explicit ? explicit_lifetime_s(said) : 0;
    if (!explicit && !may_be_granted(exchange, said))
        return POLICY_STATUS;
    if (said->set_cookie && refuses_cookie(exchange->route, lifetime_s > 0 && !no_cache))
        return POLICY_SET_COOKIE;
    if (!explicit && exchange->request->authorization)
        return POLICY_AUTHORIZATION;
    if (!explicit && !no_cache) {
        lifetime_s = granted_lifetime_s(exchange, said, age_s);
        if (lifetime_s == 0)
            return POLICY_NO_FRESHNESS;
        meta->flags |= CACHE_HEURISTIC;
    }
    if (!no_cache)
        lifetime_s = clamp_lifetime_s(exchange->route, lifetime_s, age_s);
    grant_stale(exchange, said, lifetime_s, meta);
    /* What can only be asked about is worth its room only if it can be asked about. */
    if (is_useless_at_once(exchange, meta, no_cache ? 0 : lifetime_s))
        return POLICY_NO_FRESHNESS;
    meta->lifetime_s = (uint32_t)lifetime_s;
    return POLICY_STORE;
}

static unsigned response_flags(const struct said *said)
{
    unsigned flags = 0;
    if (said->control.no_cache)
        flags |= CACHE_NO_CACHE;
    if (is_never_stale(said))
        flags |= CACHE_MUST_REVALIDATE;
    if (said->has_etag || said->has_modified)
        flags |= CACHE_HAS_VALIDATOR;
    if (said->has_vary)
        flags |= CACHE_HAS_VARY;
    if (allows_authorized(&said->control))
        flags |= CACHE_FOR_AUTHORIZED;
    if (said->has_age)
        flags |= CACHE_HAD_AGE;
    return flags;
}

/* All that the response says, and that is to count; and flags of whose word it was. */
static unsigned read_response(const struct policy_exchange *exchange, struct said *said)
{
    unsigned flags = 0;
    read_fields(exchange->fields, exchange->wall_now_s, said);
    if (weir_unlikely(said->targeted || exchange->stored != NULL))
        flags |= heed_targeted(exchange, said);
    if (weir_unlikely(exchange->route->override != 0) && override(exchange->route->override, said))
        flags |= CACHE_OVERRIDDEN;
    return flags;
}

enum policy_reason policy_judge(const struct policy_exchange *exchange, struct cache_meta *meta)
{
    struct said said;
    unsigned flags = read_response(exchange, &said);
    *meta = (struct cache_meta){
        .born_ms = exchange->now_ms - initial_age_ms(exchange, &said),
        .status = (uint16_t)exchange->status,
        .flags = (uint16_t)(flags | response_flags(&said)),
    };
    enum policy_reason reason = judge_storing(exchange, &said);
    if (reason == POLICY_STORE)
        reason = judge_freshness(exchange, &said, meta);
    return policy_confirm_method(exchange, reason, meta);
}
