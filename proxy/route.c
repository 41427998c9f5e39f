/*
 * Which route a request takes: the first whose host, path prefix and methods match.
 *
 * Matching looks at a normalised copy of the path (dot segments removed, unreserved characters
 * decoded, RFC 3986 §6.2.2), so that no spelling of a path slips past a route; what is sent to the
 * origin stays as the client wrote it. A path that needs no normalising, which is nearly every one,
 * is not copied. Called by the request machine.
 */
#include "proxy/proxy.h"

/* The path part of a target, before any query. */
static struct str path_of(struct str path_query)
{
    const char *query = memchr(path_query.ptr, '?', path_query.len);

    return str_of(path_query.ptr, query ? (size_t)(query - path_query.ptr) : path_query.len);
}

static bool needs_normalising(struct str path)
{
    if (memchr(path.ptr, '%', path.len))
        return true;
    for (size_t i = 0; i + 1 < path.len; i++)
        if (path.ptr[i] == '/' && path.ptr[i + 1] == '.')
            return true;
    return false;
}

static struct str normalise(struct str path, struct arena *arena)
{
    char *copy;

    if (!needs_normalising(path))
        return path;
    copy = arena_alloc(arena, path.len + 1);
    return copy ? str_of(copy, conf_path_normalise(path, copy)) : str_of(NULL, 0);
}

/* Without port and final dot. */
static struct str host_of(struct str authority)
{
    size_t len = authority.len;

    if (len > 0 && authority.ptr[0] == '[') {
        const char *end = memchr(authority.ptr, ']', len);
        return end ? str_of(authority.ptr, (size_t)(end - authority.ptr) + 1) : authority;
    }
    for (size_t i = 0; i < len; i++)
        if (authority.ptr[i] == ':')
            len = i;
    if (len > 0 && authority.ptr[len - 1] == '.')
        len--;
    return str_of(authority.ptr, len);
}

static bool host_matches(const struct conf_route *route, struct str host)
{
    struct str want = str_from(route->host);

    if (!route->host_suffix)
        return str_equal_nocase(host, want);
    return host.len > want.len &&
           str_equal_nocase(str_of(host.ptr + host.len - want.len, want.len), want);
}

static bool path_matches(const struct conf_route *route, struct str path)
{
    if (route->path_len == 0)
        return true;
    if (path.len < route->path_len || memcmp(path.ptr, route->path, route->path_len) != 0)
        return false;
    return path.len == route->path_len || path.ptr[route->path_len] == '/';
}

static bool method_matches(const struct conf_route *route, enum method method, struct str name)
{
    if (route->methods == 0 && route->other_methods_count == 0)
        return true;
    if (method != METHOD_OTHER)
        return route->methods & (1u << method);
    for (unsigned i = 0; i < route->other_methods_count; i++)
        if (str_equal(route->other_methods[i], name))
            return true;
    return false;
}

/* What is left of the target behind the route's prefix. */
static struct str strip(const struct conf_route *route, struct str path_query, struct str path,
                        struct str normalised, struct arena *arena)
{
    struct str query = str_of(path.ptr + path.len, path_query.len - path.len), rest;
    struct appender out;
    char *copy;

    if (path.len >= route->path_len && memcmp(path.ptr, route->path, route->path_len) == 0 &&
        !needs_normalising(path)) {
        rest = str_of(path_query.ptr + route->path_len, path_query.len - route->path_len);
        if (rest.len > 0 && rest.ptr[0] == '/')
            return rest;
        path = str_of(rest.ptr, 0);
    } else {
        path = str_of(normalised.ptr + route->path_len, normalised.len - route->path_len);
    }
    copy = arena_alloc(arena, path.len + query.len + 1);
    if (!copy)
        return str_of(NULL, 0);
    out = appender_on(copy, path.len + query.len + 1);
    if (path.len == 0)
        append_lit(&out, "/");
    append_str(&out, path);
    append_str(&out, query);
    return str_of(out.ptr, out.len);
}

const struct conf_route *route_match(const struct conf *conf, enum method method,
                                     struct str method_name, struct str authority,
                                     struct str path_query, struct arena *arena,
                                     struct str *path_rest)
{
    struct str host = str_of(NULL, 0), path = path_of(path_query), normalised = str_of(NULL, 0);

    for (unsigned i = 0; i < conf->routes_count; i++) {
        const struct conf_route *route = &conf->routes[i];

        if (route->host) {
            if (!host.ptr)
                host = host_of(authority);
            if (!host_matches(route, host))
                continue;
        }
        if (route->path_len > 0 || route->strip_prefix) {
            if (!normalised.ptr && !(normalised = normalise(path, arena)).ptr)
                return NULL;
            if (!path_matches(route, normalised))
                continue;
        }
        if (!method_matches(route, method, method_name))
            continue;
        *path_rest =
            route->strip_prefix ? strip(route, path_query, path, normalised, arena) : path_query;
        return path_rest->ptr ? route : NULL;
    }
    return NULL;
}
