/*
 * The content of a request that is needed before its lookup: a QUERY's, which is part of its key. It
 * is held by the request, and by the fetch that sends it, on one thread; its memory is counted as the
 * cache's, so that all of them together are bounded by that.
 *
 * What outgrows the route's query_body is no longer looked up: then what is held here is the beginning
 * of a body that the fetch sends first, and the rest is streamed behind it.
 */
#include "proxy/proxy.h"

#define FIRST_BYTES 4096

struct content {
    unsigned refs;
    struct cache *cache;
    uint64_t most;
    bool whole;
    char *bytes; /* lent by the cache */
    size_t len, cap;
};

struct content *content_new(struct cache *cache, uint64_t most)
{
    struct content *content = cache_lend(cache, sizeof(*content));

    if (content)
        *content = (struct content){.refs = 1, .cache = cache, .most = most};
    return content;
}

struct content *content_ref(struct content *content)
{
    if (content)
        content->refs++;
    return content;
}

void content_release(struct content **from)
{
    struct content *content = weir_take(from);

    if (!content || --content->refs > 0)
        return;
    cache_take_back(content->cache, content->bytes);
    cache_take_back(content->cache, content);
}

static bool make_room(struct content *content, size_t more)
{
    size_t cap = content->cap > 0 ? content->cap : FIRST_BYTES;
    char *bytes;

    if (more <= content->cap - content->len)
        return true;
    while (cap - content->len < more)
        cap *= 2;
    bytes = cache_lend(content->cache, cap);
    if (!bytes)
        return false;
    if (content->len > 0)
        memcpy(bytes, content->bytes, content->len);
    cache_take_back(content->cache, content->bytes);
    content->bytes = bytes;
    content->cap = cap;
    return true;
}

bool content_add(struct content *content, struct str bytes)
{
    weir_assert(!content->whole);
    if (!make_room(content, bytes.len))
        return false;
    memcpy(content->bytes + content->len, bytes.ptr, bytes.len);
    content->len += bytes.len;
    return true;
}

bool content_is_too_large(const struct content *content)
{
    return content->len > content->most;
}

void content_end(struct content *content)
{
    content->whole = true;
}

bool content_is_whole(const struct content *content)
{
    return content && content->whole;
}

struct str content_bytes(const struct content *content)
{
    return str_of(content->bytes, content->len);
}
