/*
 * The rules, first part: what a request says (RFC 9111 §5.2.1, §5.4), what a stored response is
 * good for (§4, §4.2), and the directives of Cache-Control, which policy_response.c reads too.
 *
 * policy_read_request() runs for each request and policy_use_stored() for each hit, under the
 * shard's lock: the one looks at ids only unless a field that matters is there, the other parses
 * nothing.
 *
 * What is malformed is read the safe way: for a request, the one that asks the origin. Pure; owns
 * nothing; any thread.
 */
#include "cache/policy.h"

const char *policy_reason_text(enum policy_reason reason)
{
    static const char *const texts[POLICY_REASONS] = {
#define X(symbol, text) [POLICY_##symbol] = text,
        POLICY_REASON_TABLE(X)
#undef X
    };
    weir_assert(reason < POLICY_REASONS);
    return texts[reason];
}

/* ---- directives ------------------------------------------------------------------------------ */

/* How many bytes of a token s begins with. */
static size_t span_token(struct str s)
{
    size_t len = 0;
    while (len < s.len && ascii_is_tchar(s.ptr[len]))
        len++;
    return len;
}

bool policy_is_token(struct str s)
{
    return s.len > 0 && span_token(s) == s.len;
}

/* The inside of the quoted-string that s is as a whole (RFC 9110 §5.6.4), its escapes left as
 * they are. */
static bool unquote(struct str s, struct str *inside)
{
    for (size_t i = 1; i < s.len; i++) {
        if (s.ptr[i] == '\\') {
            i++;
        } else if (s.ptr[i] == '"') {
            *inside = str_of(s.ptr + 1, i - 1);
            return i + 1 == s.len;
        }
    }
    return false;
}

bool policy_directive_next(struct str *rest, struct policy_directive *directive)
{
    struct str element;
    if (!str_list_next(rest, &element))
        return false;
    size_t len = span_token(element);
    struct str tail = str_of(element.ptr + len, element.len - len);
    *directive = (struct policy_directive){.name = str_of(element.ptr, len)};
    if (len > 0 && tail.len == 0)
        return true;
    bool quoted = memchr(tail.ptr, '"', tail.len) != NULL;
    if (len > 0 && tail.ptr[0] == '=') {
        directive->has_value = true;
        directive->value = str_of(tail.ptr + 1, tail.len - 1);
        bool well_formed = quoted
                               ? unquote(directive->value, &directive->value) && tail.ptr[1] == '"'
                               : policy_is_token(directive->value);
        if (well_formed)
            return true;
    }
    directive->malformed = true;
    directive->unreadable = quoted;
    return true;
}

bool policy_directive_is(const struct policy_directive *directive, struct str name)
{
    return str_equal_nocase(directive->name, name);
}

int64_t policy_delta_s(struct str value)
{
    uint64_t delta_s = 0;
    if (value.len == 0)
        return -1;
    for (size_t i = 0; i < value.len; i++) {
        unsigned digit = (unsigned char)value.ptr[i] - (unsigned)'0';
        if (digit > 9)
            return -1;
        delta_s = delta_s * 10 + digit;
        if (delta_s > (uint64_t)POLICY_DELTA_MOST)
            delta_s = (uint64_t)POLICY_DELTA_MOST;
    }
    return (int64_t)delta_s;
}

int64_t policy_directive_delta_s(const struct policy_directive *directive)
{
    if (directive->malformed || !directive->has_value)
        return -1;
    return policy_delta_s(directive->value);
}

/* ---- requests -------------------------------------------------------------------------------- */

/* A request's number that is malformed or repeated: what asks more of a stored response wins. */
static void take_least(int64_t *member, int64_t value)
{
    if (value < 0)
        value = 0;
    if (*member < 0 || value < *member)
        *member = value;
}

static void take_most(int64_t *member, int64_t value)
{
    if (value < 0)
        value = POLICY_DELTA_MOST + 1; /* more than any response has left */
    if (value > *member)
        *member = value;
}

static void read_directive(const struct policy_directive *d, struct policy_request *out)
{
    int64_t delta_s = policy_directive_delta_s(d);
    if (d->unreadable)
        out->no_cache = out->no_store = true;
    if (policy_directive_is(d, STR("no-cache")))
        out->no_cache = true;
    else if (policy_directive_is(d, STR("no-store")))
        out->no_store = true;
    else if (policy_directive_is(d, STR("only-if-cached")))
        out->only_if_cached = true;
    else if (policy_directive_is(d, STR("max-age")))
        take_least(&out->max_age_s, delta_s);
    else if (policy_directive_is(d, STR("min-fresh")))
        take_most(&out->min_fresh_s, delta_s);
    else if (policy_directive_is(d, STR("max-stale")))
        take_least(&out->max_stale_s, d->has_value || d->malformed ? delta_s : INT64_MAX);
    else if (policy_directive_is(d, STR("stale-if-error")))
        take_least(&out->stale_if_error_s, delta_s);
}

static void read_control(struct str value, struct policy_request *out)
{
    struct policy_directive directive;
    while (policy_directive_next(&value, &directive))
        read_directive(&directive, out);
}

static bool pragma_says_no_cache(struct str value)
{
    struct policy_directive directive;
    while (policy_directive_next(&value, &directive)) {
        if (policy_directive_is(&directive, STR("no-cache")))
            return true;
    }
    return false;
}

void policy_read_request(struct fields fields, struct policy_request *out)
{
    bool has_control = false, pragma = false;
    *out = (struct policy_request){
        .max_age_s = -1, .min_fresh_s = -1, .max_stale_s = -1, .stale_if_error_s = -1};
    for (const struct field *f = fields.list, *end = f + fields.count; f < end; f++) {
        switch (f->id) {
        case FIELD_CACHE_CONTROL:
            has_control = true;
            read_control(field_value(f), out);
            break;
        case FIELD_PRAGMA:
            pragma |= pragma_says_no_cache(field_value(f));
            break;
        case FIELD_AUTHORIZATION:
            out->authorization = true;
            break;
        case FIELD_IF_NONE_MATCH:
        case FIELD_IF_MODIFIED_SINCE:
            out->conditions = true;
            break;
        case FIELD_RANGE:
            out->range = true;
            break;
        case FIELD_X_HTTP_METHOD:
        case FIELD_X_HTTP_METHOD_OVERRIDE:
        case FIELD_X_METHOD_OVERRIDE:
        case FIELD_X_ORIGINAL_URL:
        case FIELD_X_REWRITE_URL:
            out->overrides = true;
            break;
        default:
            break;
        }
    }
    if (pragma && !has_control)
        out->no_cache = true; /* §5.4 */
}

/* ---- use ------------------------------------------------------------------------------------- */

/* max-age=0 means "ask", not "stored within this millisecond" (§5.2.1.1). */
static bool is_too_old(const struct policy_request *request, int64_t age_ms)
{
    return request->max_age_s >= 0 &&
           (request->max_age_s == 0 || age_ms > request->max_age_s * 1000);
}

/* Without max-stale, who says how old or fresh it is to be does not wish a stale one (§5.2.1.1,
 * §5.2.1.3); who says how stale it may be, no staler one (§5.2.1.2). */
static bool leaves_it_to_the_response(const struct policy_request *request)
{
    return request->max_age_s < 0 && request->min_fresh_s < 0 && request->max_stale_s < 0;
}

static enum policy_use use_stale(const struct cache_meta *meta,
                                 const struct policy_request *request, int64_t stale_ms)
{
    bool accepted = request->max_stale_s > 0 && (999 + stale_ms) / 1000 <= request->max_stale_s;

    if (meta->flags & CACHE_MUST_REVALIDATE)
        return POLICY_VALIDATE; /* §4.2.4 */
    if ((accepted || leaves_it_to_the_response(request)) &&
        stale_ms < (int64_t)meta->stale_while_revalidate_s * 1000)
        return POLICY_REFRESH; /* RFC 5861 §3 */
    return accepted ? POLICY_STALE : POLICY_VALIDATE;
}

enum policy_use policy_use_stored(const struct cache_meta *meta,
                                  const struct policy_request *request, int64_t now_ms)
{
    int64_t age_ms = now_ms - meta->born_ms;
    int64_t left_ms = (int64_t)meta->lifetime_s * 1000 - age_ms;

    if (weir_unlikely(request->authorization) && !(meta->flags & CACHE_FOR_AUTHORIZED))
        return POLICY_UNUSABLE; /* §3.5 */
    if ((meta->flags & CACHE_NO_CACHE) || request->no_cache)
        return POLICY_VALIDATE;
    if (is_too_old(request, age_ms))
        return POLICY_VALIDATE;
    if (request->min_fresh_s >= 0 && left_ms < request->min_fresh_s * 1000)
        return POLICY_VALIDATE;
    if (left_ms > 0)
        return POLICY_FRESH;
    return use_stale(meta, request, -left_ms);
}

bool policy_use_on_error(const struct cache_meta *meta, const struct policy_request *request,
                         int64_t now_ms)
{
    int64_t age_ms = now_ms - meta->born_ms;
    int64_t stale_ms = age_ms - (int64_t)meta->lifetime_s * 1000;
    int64_t allowed_s = leaves_it_to_the_response(request) ? (int64_t)meta->stale_if_error_s : 0;
    enum policy_use use = policy_use_stored(meta, request, now_ms);

    if (meta->status >= 400)
        return false; /* no better than the error that came */
    if (use != POLICY_VALIDATE)
        return use != POLICY_UNUSABLE; /* it has become usable meanwhile */
    if ((meta->flags & (CACHE_NO_CACHE | CACHE_MUST_REVALIDATE)) || request->no_cache ||
        is_too_old(request, age_ms))
        return false;
    if (request->stale_if_error_s > allowed_s)
        allowed_s = request->stale_if_error_s;
    return allowed_s > 0 && stale_ms < allowed_s * 1000;
}

bool policy_is_error(unsigned status)
{
    return status == 500 || status == 502 || status == 503 || status == 504;
}

bool policy_outlives_error(const struct cache_meta *meta, int64_t now_ms)
{
    int64_t stale_ms = now_ms - meta->born_ms - (int64_t)meta->lifetime_s * 1000;

    return stale_ms < (int64_t)meta->stale_if_error_s * 1000 ||
           stale_ms < (int64_t)meta->stale_while_revalidate_s * 1000;
}

bool policy_supersedes(unsigned status, enum policy_reason reason)
{
    switch (reason) {
    case POLICY_NO_STORE:
    case POLICY_PRIVATE:
    case POLICY_SET_COOKIE:
    case POLICY_STATUS:
    case POLICY_VARY_STAR:
    case POLICY_NO_FRESHNESS:
    case POLICY_MALFORMED:
        return (status >= 200 && status < 400) || status == 404 || status == 410;
    default: /* of this request, or of Weir's memory */
        return false;
    }
}

bool policy_is_useless(const struct cache_meta *meta, int64_t now_ms)
{
    int64_t stale_ms = now_ms - meta->born_ms - (int64_t)meta->lifetime_s * 1000;

    return stale_ms >= (int64_t)meta->keep_min * 60000 &&
           stale_ms >= (int64_t)meta->stale_while_revalidate_s * 1000 &&
           stale_ms >= (int64_t)meta->stale_if_error_s * 1000;
}

bool policy_may_share(const struct cache_meta *meta, const struct policy_request *request,
                      int64_t now_ms)
{
    if (meta->lifetime_s == 0 || request->no_store)
        return false;
    return policy_use_delivers(policy_use_stored(meta, request, now_ms));
}
