/*
 * POST /purge?url=: forgets one URL, every variant of it.
 *
 * Called by admin.c on the main thread, for clients that may. The key is made from the URL by the
 * rule that makes a request's, so that what a client asked for is what is found.
 */
#include "proxy/admin/admin.h"

#include <stdio.h>
#include <stdlib.h>

/* The key of a GET for the URL: by the rules of the route that it would take. */
static bool write_key(const struct conf *conf, const char *url, struct appender *out)
{
    const struct conf_route *route;
    struct cache_url parts;
    struct arena arena;
    struct str rest;

    if (!cache_url_split(str_from(url), &parts))
        return false;
    arena_init(&arena, 1024);
    route = route_match(conf, METHOD_GET, STR("GET"), parts.authority, parts.target, &arena, &rest);
    arena_destroy(&arena);
    cache_key_write(out, parts.scheme, parts.authority, parts.target,
                    route ? &route->cache.key : NULL);
    return !out->overflow;
}

/* A key is never longer than its URL but for a slash. */
static bool purge_url(const struct weir *weir, const char *url, unsigned *purged)
{
    struct cache *cache = weir->cache;
    size_t room = strlen(url) + 2;
    char *text = malloc(room);
    struct appender out = appender_on(text, text ? room : 0);
    bool good = text && write_key(weir->conf, url, &out);

    if (good) {
        struct cache_key key = {.text = str_of(out.ptr, out.len)};

        cache_key_hash(cache, &key);
        *purged = cache_purge(cache, &key);
    }
    free(text);
    return good;
}

void admin_purge(struct admin *admin, struct evhttp_request *req)
{
    const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(req)), *why;
    char *url = admin_only_parameter(query, "url", &why);
    char body[64];
    unsigned purged;

    if (!url) {
        admin_reply_error(
            req, 400,
            "the parameter url %s; send POST /purge?url=URL with the URL percent-encoded (curl: "
            "-G -X POST --data-urlencode url=URL)",
            why);
        return;
    }
    if (purge_url(admin->weir, url, &purged)) {
        snprintf(body, sizeof(body), "{\"purged\": %u}\n", purged);
        admin_reply(req, 200, ADMIN_JSON, body);
        log_info("admin: purged %u stored responses of %s", purged, url);
    } else {
        admin_reply_error(
            req, 400,
            "not a URL: %s; write it as clients ask for it, with scheme and host, such as "
            "http://api.example.com/v1/items?page=2",
            url);
    }
    free(url);
}
