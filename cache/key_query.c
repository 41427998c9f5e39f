/*
 * The query of a key: parameters that the route ignores or does not allow are left out, the others
 * are put in order where it says so. Only "&" separates parameters, and they are compared as they
 * were sent: what is decoded by one reader and not by the next would make two requests of one key.
 *
 * For the same reason a parameter that others may read as another one stays: one whose name has a
 * "%", or that holds a ";", at which some servers separate, too. Only `ignore: ["*"]` leaves out
 * everything. Pure; any thread.
 */
#include "cache/key.h"

/* More parameters than these keep their order; a request of thousands is none that would be found
   again. */
#define SORTED_MOST 128

/* ---- parameters ---- */

struct parameters {
    struct str rest;
    bool more;
};

static bool next_parameter(struct parameters *parameters, struct str *parameter)
{
    struct str *rest = &parameters->rest;
    if (!parameters->more)
        return false;
    const char *end = rest->len > 0 ? memchr(rest->ptr, '&', rest->len) : NULL;
    parameters->more = end != NULL;
    *parameter = str_of(rest->ptr, end != NULL ? (size_t)(end - rest->ptr) : rest->len);
    if (end != NULL)
        *rest = str_of(end + 1, rest->len - parameter->len - 1);
    return true;
}

static bool has(struct str s, char c)
{
    return s.len > 0 && memchr(s.ptr, c, s.len) != NULL;
}

static struct str name_of(struct str parameter)
{
    const char *sign = parameter.len > 0 ? memchr(parameter.ptr, '=', parameter.len) : NULL;
    return str_of(parameter.ptr, sign != NULL ? (size_t)(sign - parameter.ptr) : parameter.len);
}

static bool lists_all(const struct conf_names *names)
{
    for (unsigned i = 0; i < names->count; i++) {
        if (str_equal(names->list[i], STR("*")))
            return true;
    }
    return false;
}

static bool next_kept(struct parameters *parameters, const struct conf_route_key *rules,
                      struct str *parameter)
{
    while (next_parameter(parameters, parameter)) {
        struct str name = name_of(*parameter);
        if (has(name, '%') || has(*parameter, ';'))
            return true;
        if ((rules->query_allow.count == 0 || conf_names_match(&rules->query_allow, name)) &&
            !conf_names_match(&rules->query_ignore, name))
            return true;
    }
    return false;
}

/* ---- order ---- */

static int compare_names(struct str a, struct str b)
{
    struct str x = name_of(a), y = name_of(b);
    size_t len = x.len < y.len ? x.len : y.len;
    int by_bytes = len > 0 ? memcmp(x.ptr, y.ptr, len) : 0;
    return by_bytes != 0 ? by_bytes : (x.len > y.len) - (x.len < y.len);
}

/* By name, those of one name as they were sent. False when there are too many. */
static bool sort_kept(struct parameters parameters, const struct conf_route_key *rules,
                      struct str sorted[SORTED_MOST], unsigned *count)
{
    struct str parameter;
    *count = 0;
    while (next_kept(&parameters, rules, &parameter)) {
        if (*count == SORTED_MOST)
            return false;
        unsigned at = (*count)++;
        for (; at > 0 && compare_names(sorted[at - 1], parameter) > 0; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = parameter;
    }
    return true;
}

/* ---- writing ---- */

static void append_parameter(struct appender *out, struct str parameter, bool first)
{
    append(out, first ? "?" : "&", 1);
    append_str(out, parameter);
}

void cache_key_append_target(struct appender *out, struct str target,
                             const struct conf_route_key *rules)
{
    const char *mark = target.len > 0 ? memchr(target.ptr, '?', target.len) : NULL;
    size_t path_len = mark != NULL ? (size_t)(mark - target.ptr) : target.len;
    struct str sorted[SORTED_MOST], parameter;
    unsigned count = 0;
    append_str(out, str_of(target.ptr, path_len));
    if (mark == NULL || lists_all(&rules->query_ignore))
        return;
    struct parameters query = {str_of(mark + 1, target.len - path_len - 1), true};
    if (rules->query_sort && sort_kept(query, rules, sorted, &count)) {
        for (unsigned i = 0; i < count; i++)
            append_parameter(out, sorted[i], i == 0);
        return;
    }
    for (bool first = true; next_kept(&query, rules, &parameter); first = false)
        append_parameter(out, parameter, first);
}
