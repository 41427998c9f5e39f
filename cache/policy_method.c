/*
 * The rules: the responses to which methods are stored (RFC 9111 §3). GET's and QUERY's; and a
 * POST's 200 that gives its own freshness and says by Content-Location that it is the target's
 * representation (RFC 9110 §9.3.3, §8.7): it answers later GETs. Another 2xx would be a strange
 * answer to a GET. Pure; any thread.
 */
#include "cache/policy.h"

bool policy_method_is_stored(const struct policy_exchange *exchange)
{
    if (weir_likely(exchange->method == METHOD_GET) || exchange->method == METHOD_QUERY)
        return true;
    return exchange->method == METHOD_POST && exchange->describes_target && exchange->status == 200;
}

enum policy_reason policy_confirm_method(const struct policy_exchange *exchange,
                                         enum policy_reason reason, struct cache_meta *meta)
{
    if (weir_likely(exchange->method != METHOD_POST) || reason != POLICY_STORE)
        return reason;
    if (meta->lifetime_s > 0 && !(meta->flags & (CACHE_HEURISTIC | CACHE_NO_CACHE)))
        return POLICY_STORE;
    meta->lifetime_s = 0;
    return POLICY_METHOD;
}
