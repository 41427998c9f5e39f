/*
 * Whether a POST's response may answer later GETs of its target (RFC 9110 §9.3.3): its
 * Content-Location has to be the target's URL. Called by the fetch machine for each response head of
 * a POST; pure, but for the worker's scratch.
 */
#include "proxy/fetch.h"

/* The only line with that id; NULL when there is none, or several. */
static const struct field *only_field(struct fields fields, enum field_id id)
{
    const struct field *found = NULL;

    for (unsigned i = 0; i < fields.count; i++) {
        if (fields.list[i].id != id)
            continue;
        if (found)
            return NULL;
        found = &fields.list[i];
    }
    return found;
}

bool fetch_describes_target(const struct fetch *fetch)
{
    struct appender url = fetch_scratch(fetch), key;
    struct str target = cache_key_url(fetch->key.text);
    const struct field *location;
    struct cache_url parts;

    location = only_field(http1_fields(&fetch->head), FIELD_CONTENT_LOCATION);
    if (!location || !cache_key_resolve(target, field_value(location), &url) ||
        !cache_url_split(str_of(url.ptr, url.len), &parts))
        return false;
    key = appender_on(url.ptr + url.len, url.cap - url.len);
    cache_key_write(&key, parts.scheme, parts.authority, parts.target, fetch->key_rules);
    return !key.overflow && str_equal(str_of(key.ptr, key.len), target);
}
