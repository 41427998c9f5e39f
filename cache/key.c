/*
 * Keys: what a stored response is found by. Its text begins with the URL,
 * "scheme://host[:port]target", less the query parameters that the route leaves out (key_query.c).
 * Where the route or the method adds to it, lines follow (key_fields.c), each begun by a LF, which no
 * URL holds:
 *
 *   name:value      a field that the route names
 *   cookie=a=1;b=2  cookies that the route names
 *   cookie-line=…   a Cookie line as it was sent, where readers may differ on what is in it
 *   method=QUERY    and of such a request the fields that describe its content, and
 *   content=…       a hash of that
 *
 * Written by requests, and by purges from a URL as users write it; both must come to the same
 * bytes. Pure, apart from the secret of the cache that is hashed with: a seed alone leaves collisions
 * of XXH3 that can be computed in advance, 192 random bytes do not. Any thread.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "cache/key.h"
#include "cache/shard.h"

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
                     struct str target, const struct conf_route_key *rules)
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
    if (weir_unlikely(rules != NULL && rules->any))
        cache_key_append_target(out, target, rules);
    else
        append_str(out, target);
}

struct str cache_key_url(struct str text)
{
    const char *end = memchr(text.ptr, '\n', text.len);
    return str_of(text.ptr, end != NULL ? (size_t)(end - text.ptr) : text.len);
}

void cache_key_hash(const struct cache *cache, struct cache_key *key)
{
    XXH128_hash_t hash =
        XXH3_128bits_withSecret(key->text.ptr, key->text.len, cache->secret, sizeof(cache->secret));
    key->hash = hash.low64;
    key->check = hash.high64;
}

bool cache_url_split(struct str url, struct cache_url *parts)
{
    for (size_t i = 0; i < url.len; i++)
        if ((unsigned char)url.ptr[i] <= ' ' || url.ptr[i] == 0x7f)
            return false;
    if (str_begins_nocase(url, STR("http://")))
        parts->scheme = STR("http");
    else if (str_begins_nocase(url, STR("https://")))
        parts->scheme = STR("https");
    else
        return false;
    size_t start = parts->scheme.len + 3;
    struct str rest = str_of(url.ptr + start, url.len - start);
    const char *fragment = rest.len > 0 ? memchr(rest.ptr, '#', rest.len) : NULL;
    if (fragment != NULL)
        rest.len = (size_t)(fragment - rest.ptr);
    size_t end = 0;
    while (end < rest.len && rest.ptr[end] != '/' && rest.ptr[end] != '?')
        end++;
    parts->authority = str_of(rest.ptr, end);
    parts->target = str_of(rest.ptr + end, rest.len - end);
    struct str host, port;
    split_authority(parts->authority, &host, &port);
    /* What follows an @ would be taken for the host by some and not by others. */
    return host.len > 0 && memchr(rest.ptr, '@', end) == NULL;
}

bool cache_key_from_url(struct str url, struct appender *out)
{
    struct cache_url parts;
    if (!cache_url_split(url, &parts))
        return false;
    cache_key_write(out, parts.scheme, parts.authority, parts.target, NULL);
    return !out->overflow;
}
