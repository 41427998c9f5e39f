/*
 * Keys: what a stored response is found by, "scheme://host[:port]target". Written by requests,
 * and by purges from a URL as users write it; both must come to the same bytes. Pure, apart from
 * the secret of the cache that is hashed with: a seed alone leaves collisions of XXH3 that can
 * be computed in advance, 192 random bytes do not. Any thread.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "cache/cache.h"
#include "cache/shard.h"

static void append_lower(struct appender *out, struct str s)
{
    if (s.len > out->cap - out->len) {
        out->overflow = true;
        return;
    }
    for (size_t i = 0; i < s.len; i++)
        out->ptr[out->len + i] = ascii_lower(s.ptr[i]);
    out->len += s.len;
}

/* Splits "host:port" and "[v6]:port"; the port is empty when there is none. */
static void split_authority(struct str authority, struct str *host, struct str *port)
{
    size_t colon = authority.len;
    while (colon > 0 && authority.ptr[colon - 1] >= '0' && authority.ptr[colon - 1] <= '9')
        colon--;
    *host = authority;
    *port = str_of(NULL, 0);
    if (colon == 0 || authority.ptr[colon - 1] != ':')
        return;
    *host = str_of(authority.ptr, colon - 1);
    *port = str_of(authority.ptr + colon, authority.len - colon);
}

void cache_key_write(struct appender *out, struct str scheme, struct str authority,
                     struct str target)
{
    struct str host, port;
    split_authority(authority, &host, &port);
    if (host.len > 1 && host.ptr[host.len - 1] == '.')
        host.len--;
    bool https = str_equal_nocase(scheme, STR("https"));
    append_lower(out, scheme);
    append_lit(out, "://");
    append_lower(out, host);
    if (port.len > 0 && !str_equal(port, https ? STR("443") : STR("80"))) {
        append_lit(out, ":");
        append_str(out, port);
    }
    if (target.len == 0 || target.ptr[0] == '?')
        append_lit(out, "/");
    append_str(out, target);
}

void cache_key_hash(const struct cache *cache, struct cache_key *key)
{
    XXH128_hash_t hash =
        XXH3_128bits_withSecret(key->text.ptr, key->text.len, cache->secret, sizeof(cache->secret));
    key->hash = hash.low64;
    key->check = hash.high64;
}

static bool starts_with_nocase(struct str s, struct str start)
{
    return s.len >= start.len && str_equal_nocase(str_of(s.ptr, start.len), start);
}

bool cache_key_from_url(struct str url, struct appender *out)
{
    for (size_t i = 0; i < url.len; i++)
        if ((unsigned char)url.ptr[i] <= ' ' || url.ptr[i] == 0x7f)
            return false;
    struct str scheme;
    if (starts_with_nocase(url, STR("http://")))
        scheme = STR("http");
    else if (starts_with_nocase(url, STR("https://")))
        scheme = STR("https");
    else
        return false;
    struct str rest = str_of(url.ptr + scheme.len + 3, url.len - scheme.len - 3);
    const char *fragment = rest.len > 0 ? memchr(rest.ptr, '#', rest.len) : NULL;
    if (fragment != NULL)
        rest.len = (size_t)(fragment - rest.ptr);
    size_t end = 0;
    while (end < rest.len && rest.ptr[end] != '/' && rest.ptr[end] != '?')
        end++;
    struct str authority = str_of(rest.ptr, end);
    struct str target = str_of(rest.ptr + end, rest.len - end);
    struct str host, port;
    split_authority(authority, &host, &port);
    /* What follows an @ would be taken for the host by some and not by others. */
    if (host.len == 0 || memchr(authority.ptr, '@', authority.len) != NULL)
        return false;
    cache_key_write(out, scheme, authority, target);
    return !out->overflow;
}
