/*
 * References: which URI of the same origin a Location or Content-Location means (RFC 3986 §5.2), as
 * the text of a key. Pure; any thread.
 */
#include "cache/tags.h"

/* Of a reference with a scheme or a host. */
#define CACHE_URL_MOST 8192

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
