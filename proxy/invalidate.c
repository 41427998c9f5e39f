/*
 * What a response to an unsafe request makes invalid (RFC 9111 §4.4, RFC 9875 §3): what is stored for
 * its target, for the URIs of its Location and Content-Location, and in the groups that it names.
 * Called by the fetch machine, when the request is known and when the response's head is there.
 *
 * Invalid is removed, not softened: the origin says that it has changed. What is being filled for
 * one of them was asked for before the answer came, and is not stored.
 */
#include "proxy/fetch.h"

/* Safe methods change nothing (RFC 9110 §9.2.1); of a method that Weir does not know it cannot be
 * told. */
static bool is_safe(enum method method)
{
    return method == METHOD_GET || method == METHOD_HEAD || method == METHOD_OPTIONS ||
           method == METHOD_TRACE || method == METHOD_QUERY;
}

bool fetch_note_invalidation(struct fetch *fetch, const struct request *request)
{
    struct appender key = fetch_scratch(fetch);

    if (is_safe(request->head->method))
        return true;
    request_write_key(request, &key);
    fetch->invalidates = arena_copy(&fetch->arena, cache_key_url(str_of(key.ptr, key.len)));
    return fetch->invalidates.ptr != NULL;
}

static void purge(struct fetch *fetch, struct str url)
{
    uint64_t logged;

    cache_purge_url(fetch->worker->cache, url, false, fetch->worker->loop.now_ms, &logged);
}

/* Of the same origin only: nobody may make invalid what is others' (§4.4). */
static void purge_reference(struct fetch *fetch, const struct field *f)
{
    struct appender url = fetch_scratch(fetch), key;

    if (!cache_key_resolve(fetch->invalidates, field_value(f), &url))
        return;
    key = appender_on(url.ptr + url.len, url.cap - url.len);
    if (purge_write_key(fetch->worker->conf, str_of(url.ptr, url.len), &key))
        purge(fetch, str_of(key.ptr, key.len));
}

void fetch_invalidate(struct fetch *fetch)
{
    struct fields fields = http1_fields(&fetch->head);

    if (fetch->invalidates.len == 0)
        return;
    /* Whatever became of the request, the origin itself names these. */
    cache_purge_groups(fetch->worker->cache, fetch->invalidates, fields);
    if (fetch->head.status >= 400) /* an error, for which §4.4 asks nothing */
        return;
    purge(fetch, fetch->invalidates);
    for (unsigned i = 0; i < fields.count; i++)
        if (fields.list[i].id == FIELD_LOCATION || fields.list[i].id == FIELD_CONTENT_LOCATION)
            purge_reference(fetch, &fields.list[i]);
}
