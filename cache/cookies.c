/*
 * Cookies of a request (RFC 6265 §4.2): pairs with ";" between them, on one line or several. Read
 * leniently, as servers do: white space around names and values is optional, a pair may have no "="
 * and a line may begin or end with a separator. Pure; any thread.
 */
#include "cache/key.h"

/* Inside a quoted value some servers take ";" for a part of it, and some do not. */
static bool is_doubtful(struct str value)
{
    const char *quote = value.len > 0 ? memchr(value.ptr, '"', value.len) : NULL;
    if (quote == NULL)
        return false;
    const char *last = value.ptr + value.len - 1;
    return quote != value.ptr || quote == last || memchr(quote + 1, '"', value.len - 1) != last;
}

bool cookie_next(struct str *rest, struct cookie *cookie)
{
    while (rest->len > 0) {
        const char *end = memchr(rest->ptr, ';', rest->len);
        size_t len = end != NULL ? (size_t)(end - rest->ptr) : rest->len;
        size_t taken = end != NULL ? len + 1 : len;
        struct str pair = str_trim(str_of(rest->ptr, len));
        rest->ptr += taken;
        rest->len -= taken;
        if (pair.len == 0)
            continue;
        const char *sign = memchr(pair.ptr, '=', pair.len);
        size_t name_len = sign != NULL ? (size_t)(sign - pair.ptr) : pair.len;
        cookie->has_value = sign != NULL;
        cookie->name = str_trim(str_of(pair.ptr, name_len));
        cookie->value = sign != NULL ? str_trim(str_of(sign + 1, pair.len - name_len - 1))
                                     : str_of(pair.ptr + pair.len, 0);
        cookie->doubtful = memchr(pair.ptr, '"', name_len) != NULL || is_doubtful(cookie->value);
        return true;
    }
    return false;
}
