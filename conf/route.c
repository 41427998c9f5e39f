/*
 * What a route matches: its host, path and methods as written, in the form they are compared in;
 * and whether one route takes everything that another one would.
 *
 * Called by values.c, load.c and check.c, and by the router through conf_path_normalise(); any
 * thread.
 */
#include "conf/keys.h"

#include <ctype.h>
#include <stdio.h>

/* ---- host ---- */

static bool is_host_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

/* Takes the port and the final dot off. */
static struct str bare_host(struct str text)
{
    if (text.len > 0 && text.ptr[0] == '[') {
        const char *close = memchr(text.ptr, ']', text.len);
        return close ? str_of(text.ptr, (size_t)(close - text.ptr) + 1) : text;
    }
    const char *colon = memrchr(text.ptr, ':', text.len);
    if (colon && (size_t)(colon - text.ptr) + 1 + strspn(colon + 1, "0123456789") == text.len)
        text.len = (size_t)(colon - text.ptr);
    if (text.len > 1 && text.ptr[text.len - 1] == '.')
        text.len--;
    return text;
}

bool route_parse_host(struct arena *arena, struct str text, struct conf_route *route,
                      const char **why)
{
    struct str host = bare_host(text);
    bool suffix = host.len >= 2 && host.ptr[0] == '*' && host.ptr[1] == '.';
    if (suffix)
        host = str_of(host.ptr + 1, host.len - 1);
    bool literal = host.len > 2 && host.ptr[0] == '[';
    char lower[256];
    bool good = host.len > (suffix ? 1 : 0) && host.len < sizeof(lower);
    for (size_t i = 0; good && i < host.len; i++) {
        lower[i] = ascii_lower(host.ptr[i]);
        /* An empty label matches nothing, apart from the one before the suffix's first dot. */
        bool after_dot = i == 0 ? !suffix : lower[i - 1] == '.';
        good = literal ? is_host_byte(lower[i]) || strchr(":[]", lower[i])
                       : is_host_byte(lower[i]) && !(lower[i] == '.' && after_dot);
    }
    if (!good) {
        *why = str_equal(text, STR("*")) ? "is every host; leave host out for that"
                                         : "is not a host; write api.example.com or "
                                           "\"*.example.com\", and other letters as xn--";
        return false;
    }
    route->host = conf_arena_text(arena, str_of(lower, host.len));
    route->host_suffix = suffix;
    return true;
}

/* ---- path ---- */

static bool is_unreserved(int c)
{
    return isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_escape(struct str path, size_t at)
{
    return at + 2 < path.len && path.ptr[at] == '%' && hex_value(path.ptr[at + 1]) >= 0 &&
           hex_value(path.ptr[at + 2]) >= 0;
}

/* A percent sign that begins no escape: what is decoded behind it must not make one of it, or the
 * normal form would have another one. */
static bool would_make_escape(const char *out, size_t len, int c)
{
    if (len >= 1 && out[len - 1] == '%')
        return true;
    return len >= 2 && out[len - 2] == '%' && hex_value(out[len - 1]) >= 0 &&
           hex_value((char)c) >= 0;
}

static size_t decode_unreserved(struct str path, char *out)
{
    size_t len = 0;
    for (size_t i = 0; i < path.len; i++) {
        if (!is_escape(path, i)) {
            out[len++] = path.ptr[i];
            continue;
        }
        int c = hex_value(path.ptr[i + 1]) * 16 + hex_value(path.ptr[i + 2]);
        if (c < 0x80 && is_unreserved(c) && !would_make_escape(out, len, c)) {
            out[len++] = (char)c;
        } else {
            out[len++] = '%';
            out[len++] = "0123456789ABCDEF"[c >> 4];
            out[len++] = "0123456789ABCDEF"[c & 15];
        }
        i += 2;
    }
    return len;
}

/* RFC 3986 §5.2.4, in place; the path begins with a slash. */
static size_t remove_dot_segments(char *path, size_t len)
{
    size_t out = 0;
    for (size_t at = 0; at < len;) {
        size_t end = at + 1;
        while (end < len && path[end] != '/')
            end++;
        struct str segment = str_of(path + at + 1, end - at - 1);
        bool up = str_equal(segment, STR(".."));
        if (up || str_equal(segment, STR("."))) {
            while (up && out > 0 && path[--out] != '/')
                ;
            if (end == len)
                path[out++] = '/';
        } else {
            memmove(path + out, path + at, end - at);
            out += end - at;
        }
        at = end;
    }
    return out;
}

size_t conf_path_normalise(struct str path, char *out)
{
    if (path.len == 0 || path.ptr[0] != '/') {
        if (path.len > 0)
            memcpy(out, path.ptr, path.len);
        return path.len;
    }
    return remove_dot_segments(out, decode_unreserved(path, out));
}

bool route_parse_path(struct arena *arena, struct str text, struct conf_route *route,
                      const char **why)
{
    if (text.ptr[0] != '/') {
        *why = "does not begin with a slash; write it as /v1/";
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c == '?' || c == '#' || c == '*') {
            *why = "holds ?, # or *; a path is a plain prefix, write only that";
            return false;
        }
        if (c <= 0x20 || c >= 0x7f || (c == '%' && !is_escape(text, i))) {
            *why = "has a character that must be percent-encoded; write it as %20";
            return false;
        }
    }
    char path[TREE_MAX_SCALAR];
    weir_assert(text.len <= sizeof(path));
    size_t len = conf_path_normalise(text, path);
    if (len > 0 && path[len - 1] == '/')
        len--;
    route->path = conf_arena_text(arena, str_of(path, len));
    route->path_len = len;
    return true;
}

void route_set_name(struct arena *arena, struct conf_route *route, struct str host, struct str path)
{
    if (!host.ptr)
        host = STR("*");
    if (!path.ptr)
        path = STR("/");
    char *name = conf_arena_alloc(arena, host.len + path.len + 1);
    memcpy(name, host.ptr, host.len);
    memcpy(name + host.len, path.ptr, path.len);
    route->name = name;
}

/* ---- methods ---- */

/* A token (RFC 9110 §5.6.2). */
static bool is_token(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!isalnum((unsigned char)text.ptr[i]) && !strchr("!#$%&'*+-.^_`|~", text.ptr[i]))
            return false;
    }
    return text.len > 0;
}

bool route_has_other_method(const struct conf_route *route, struct str name)
{
    for (unsigned i = 0; i < route->other_methods_count; i++) {
        if (str_equal(route->other_methods[i], name))
            return true;
    }
    return false;
}

bool route_parse_method(struct arena *arena, struct str text, struct conf_route *route,
                        const char **why)
{
    enum method method = method_identify(text.ptr, text.len);
    if (method != METHOD_OTHER) {
        route->methods |= 1u << method;
        return true;
    }
    if (!is_token(text)) {
        *why = "is not a method; write one such as GET";
        return false;
    }
    for (int known = METHOD_OTHER + 1; known < METHODS; known++) {
        if (str_equal_nocase(method_name((enum method)known), text)) {
            *why = "is not in capitals, and the case of a method matters; write it in capitals";
            return false;
        }
    }
    route->methods |= 1u << METHOD_OTHER;
    if (route_has_other_method(route, text))
        return true;
    struct str *list =
        conf_arena_alloc(arena, (route->other_methods_count + 1) * sizeof(*route->other_methods));
    if (route->other_methods_count > 0)
        memcpy(list, route->other_methods, route->other_methods_count * sizeof(*list));
    list[route->other_methods_count++] = str_of(conf_arena_text(arena, text), text.len);
    route->other_methods = list;
    return true;
}

/* ---- one route before another ---- */

static bool host_covers(const struct conf_route *earlier, const struct conf_route *later)
{
    if (!earlier->host)
        return true;
    if (!later->host)
        return false;
    if (!earlier->host_suffix)
        return !later->host_suffix && strcmp(earlier->host, later->host) == 0;
    size_t suffix = strlen(earlier->host), len = strlen(later->host);
    /* At least one label stands before the suffix; in a later suffix, the part that "*" stands for.
     * */
    return (later->host_suffix ? len >= suffix : len > suffix) &&
           strcmp(later->host + len - suffix, earlier->host) == 0;
}

static bool path_covers(const struct conf_route *earlier, const struct conf_route *later)
{
    if (!earlier->path || earlier->path_len == 0)
        return true;
    if (!later->path || later->path_len < earlier->path_len ||
        memcmp(later->path, earlier->path, earlier->path_len) != 0)
        return false;
    return later->path_len == earlier->path_len || later->path[earlier->path_len] == '/';
}

static bool methods_cover(const struct conf_route *earlier, const struct conf_route *later)
{
    if (earlier->methods == 0)
        return true;
    if (later->methods == 0 || (later->methods & ~earlier->methods) != 0)
        return false;
    for (unsigned i = 0; i < later->other_methods_count; i++) {
        if (!route_has_other_method(earlier, later->other_methods[i]))
            return false;
    }
    return true;
}

bool route_covers(const struct conf_route *earlier, const struct conf_route *later)
{
    return host_covers(earlier, later) && path_covers(earlier, later) &&
           methods_cover(earlier, later);
}
