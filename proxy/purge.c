/*
 * What a URL's key is, for whoever purges it. And the PURGE method on the public port: forgets what
 * is stored for the request's URL, for clients whose address the route names
 * (routes[].cache.purge_from). Called by the request machine once the route is known.
 *
 * The address is the connection's: X-Forwarded-For is not believed. A purge is soft when the
 * request has Fastly-Soft-Purge: 1, as Fastly's clients send it.
 */
#include "proxy/proxy.h"

bool purge_write_key(const struct conf *conf, struct str url, struct appender *out)
{
    const struct conf_route *route;
    struct cache_url parts;
    struct arena arena;
    struct str rest;

    if (!cache_url_split(url, &parts))
        return false;
    arena_init(&arena, 1024);
    route = route_match(conf, METHOD_GET, STR("GET"), parts.authority, parts.target, &arena, &rest);
    arena_destroy(&arena);
    cache_key_write(out, parts.scheme, parts.authority, parts.target,
                    route ? &route->cache.key : NULL);
    return !out->overflow;
}

bool purge_is_meant(const struct request *request)
{
    return request->route->cache.purge_from_count > 0 &&
           str_equal(request->head->method_name, STR("PURGE"));
}

static bool asks_for_soft(struct fields fields)
{
    unsigned at = 0;
    const struct field *f = fields_next(fields, STR("Fastly-Soft-Purge"), &at);

    return f && str_equal(field_value(f), STR("1"));
}

struct cache_object *purge_answer(const struct request *request, enum local *local)
{
    const struct conf_route_cache *cache = &request->route->cache;
    struct worker *worker = request->worker;
    struct appender key = appender_on(worker->scratch, worker->scratch_bytes), body;
    char bytes[160];
    uint64_t logged;
    unsigned purged;

    *local = LOCAL_PURGE_FORBIDDEN;
    if (!conf_network_contains(cache->purge_from, cache->purge_from_count, request->peer))
        return NULL;
    *local = LOCAL_PURGED;
    request_write_key(request, &key);
    purged =
        cache_purge_url(worker->cache, cache_key_url(str_of(key.ptr, key.len)),
                        asks_for_soft(http1_fields(request->head)), worker->loop.now_ms, &logged);
    body = appender_on(bytes, sizeof(bytes));
    append_lit(&body, "{\"purged\": ");
    append_u64(&body, purged);
    if (logged != 0)
        append_lit(&body,
                   ", \"note\": \"what the key tells apart beyond the URL is reached too, and "
                   "not counted here\"");
    append_lit(&body, "}\n");
    weir_assert(!body.overflow);
    return local_json(str_of(body.ptr, body.len), worker_wall_s());
}
