/*
 * The rules: which requests a route keeps from the cache by the cookies and fields that
 * they have. Called for each request of a route that names any. Pure; owns nothing; any thread.
 */
#include "cache/key.h"

static bool has_cookie(struct fields request, const struct conf_names *names)
{
    for (const struct field *f = request.list, *end = f + request.count; f < end; f++) {
        struct str rest = field_value(f);
        struct cookie cookie;
        while (f->id == FIELD_COOKIE && cookie_next(&rest, &cookie)) {
            if (conf_names_match(names, cookie.name))
                return true;
        }
    }
    return false;
}

static bool has_field(struct fields request, const struct conf_names *names)
{
    for (const struct field *f = request.list, *end = f + request.count; f < end; f++) {
        if (conf_names_match_nocase(names, field_name(f)))
            return true;
    }
    return false;
}

bool policy_override_is_keyed(struct fields request, const struct conf_route_key *rules)
{
    for (const struct field *f = request.list, *end = f + request.count; f < end; f++) {
        switch (f->id) {
        case FIELD_X_HTTP_METHOD:
        case FIELD_X_HTTP_METHOD_OVERRIDE:
        case FIELD_X_METHOD_OVERRIDE:
        case FIELD_X_ORIGINAL_URL:
        case FIELD_X_REWRITE_URL:
            if (!conf_names_match_nocase(&rules->headers, field_name(f)))
                return false;
            break;
        default:
            break;
        }
    }
    return true;
}

const char *policy_bypass(struct fields request, const struct conf_route_bypass *bypass)
{
    if (bypass->cookies.count > 0 && has_cookie(request, &bypass->cookies))
        return "bypass-cookie";
    if (bypass->headers.count > 0 && has_field(request, &bypass->headers))
        return "bypass-header";
    return NULL;
}
