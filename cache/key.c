/*
 * Keys: what a stored response is found by, "scheme://host[:port]target". Written by requests,
 * by purges from a URL as users write it, and by invalidation from a reference in a response; all
 * must come to the same bytes. Pure, apart from
 * the secret of the cache that is hashed with: a seed alone leaves collisions of XXH3 that can
 * be computed in advance, 192 random bytes do not. Any thread.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "cache/cache.h"
#include "cache/shard.h"
#include "cache/tags.h"

/* Of a reference with a scheme or a host. */
#define CACHE_URL_MOST 8192

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

/* ---- parts of a key, and the hashes of what else a response is found by ---- */

struct str cache_key_url(struct str text)
{
    const char *end = text.len > 0 ? memchr(text.ptr, '\n', text.len) : NULL;
    return end != NULL ? str_of(text.ptr, (size_t)(end - text.ptr)) : text;
}

struct str cache_key_origin(struct str text)
{
    const char *host = memmem(text.ptr, text.len, "://", 3);
    if (host == NULL)
        return text;
    host += 3;
    const char *end = memchr(host, '/', text.len - (size_t)(host - text.ptr));
    return end != NULL ? str_of(text.ptr, (size_t)(end - text.ptr)) : text;
}

enum tag_kind {
    TAG_NAME,
    TAG_GROUP,
    TAG_ANY_GROUP,
    TAG_URL
};

static uint64_t hash_tag(const struct cache *cache, enum tag_kind kind, struct str origin,
                         struct str text)
{
    uint64_t parts[3] = {
        kind, XXH3_64bits_withSecret(origin.ptr, origin.len, cache->secret, sizeof(cache->secret)),
        XXH3_64bits_withSecret(text.ptr, text.len, cache->secret, sizeof(cache->secret))};
    return XXH3_64bits_withSecret(parts, sizeof(parts), cache->secret, sizeof(cache->secret));
}

uint64_t cache_tag_of_name(const struct cache *cache, struct str name)
{
    return hash_tag(cache, TAG_NAME, STR(""), name);
}

uint64_t cache_tag_of_group(const struct cache *cache, struct str origin, struct str group)
{
    return hash_tag(cache, TAG_GROUP, origin, group);
}

uint64_t cache_tag_of_any_group(const struct cache *cache, struct str origin)
{
    return hash_tag(cache, TAG_ANY_GROUP, origin, STR(""));
}

uint64_t cache_tag_of_url(const struct cache *cache, struct str url)
{
    return hash_tag(cache, TAG_URL, STR(""), url);
}

/* ---- URLs as users write them ---- */

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

/* ---- references (RFC 3986 §5.2) ---- */

/* §5.2.4, in place. Behind a "?" nothing is a segment. */
static size_t remove_dot_segments(char *path, size_t len)
{
    size_t to = 0, at = 0;
    while (at < len) {
        size_t end = at + 1;
        while (end < len && path[end] != '/')
            end++;
        struct str segment = str_of(path + at, end - at); /* with its slash before it */
        bool last = end == len;
        if (str_equal(segment, STR("/."))) {
            if (last)
                path[to++] = '/';
        } else if (str_equal(segment, STR("/.."))) {
            while (to > 0 && path[--to] != '/')
                continue;
            if (last)
                path[to++] = '/';
        } else {
            memmove(path + to, segment.ptr, segment.len);
            to += segment.len;
        }
        at = end;
    }
    return to;
}

/* How long the scheme is, the colon not counted; 0: it has none (§3.1). */
static size_t scheme_length(struct str reference)
{
    for (size_t i = 0; i < reference.len; i++) {
        char c = ascii_lower(reference.ptr[i]);
        if (c == ':')
            return i;
        if (!(c >= 'a' && c <= 'z') &&
            (i == 0 || !((c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.')))
            return 0;
    }
    return 0;
}

static size_t find_first(struct str s, char c)
{
    const char *at = s.len > 0 ? memchr(s.ptr, c, s.len) : NULL;
    return at != NULL ? (size_t)(at - s.ptr) : s.len;
}

/* One without scheme and authority, against the target of `base`. */
static void append_target(struct str base, struct str reference, struct appender *out)
{
    size_t origin = cache_key_origin(base).len;
    struct str old = str_of(base.ptr + origin, base.len - origin);
    struct str old_path = str_of(old.ptr, find_first(old, '?'));
    struct str path = str_of(reference.ptr, find_first(reference, '?'));
    struct str query = str_of(reference.ptr + path.len, reference.len - path.len);
    append_str(out, str_of(base.ptr, origin));
    if (path.len == 0) {
        append_str(out, query.len > 0 ? old_path : old);
        append_str(out, query);
        return;
    }
    size_t from = out->len;
    if (path.ptr[0] != '/') {
        while (old_path.len > 0 && old_path.ptr[old_path.len - 1] != '/')
            old_path.len--;
        append_str(out, old_path);
    }
    append_str(out, path);
    if (!out->overflow)
        out->len = from + remove_dot_segments(out->ptr + from, out->len - from);
    append_str(out, query);
}

bool cache_key_resolve(struct str base, struct str reference, struct appender *out)
{
    struct str origin = cache_key_origin(base);
    base = cache_key_url(base);
    reference.len = find_first(reference, '#');
    for (size_t i = 0; i < reference.len; i++)
        if ((unsigned char)reference.ptr[i] <= ' ' || reference.ptr[i] == 0x7f)
            return false;
    size_t scheme = scheme_length(reference);
    bool has_authority = reference.len >= 2 && memcmp(reference.ptr, "//", 2) == 0;
    if (scheme == 0 && !has_authority) {
        append_target(base, reference, out);
        return !out->overflow;
    }
    char bytes[CACHE_URL_MOST];
    struct appender url = appender_on(bytes, sizeof(bytes));
    if (scheme == 0)
        append_str(&url, str_of(base.ptr, find_first(base, '/')));
    append_str(&url, reference);
    size_t at = out->len;
    if (url.overflow || !cache_key_from_url(str_of(url.ptr, url.len), out))
        return false;
    struct str target = cache_key_origin(str_of(out->ptr + at, out->len - at));
    if (!str_equal(target, origin))
        return false;
    char *path = out->ptr + at + target.len;
    size_t left = out->len - at - target.len, path_len = find_first(str_of(path, left), '?');
    size_t kept = remove_dot_segments(path, path_len);
    memmove(path + kept, path + path_len, left - path_len);
    out->len -= path_len - kept;
    return true;
}
