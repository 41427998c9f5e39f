/*
 * What follows the URL in a key: fields and cookies that the route names, and what makes a QUERY
 * request (draft-ietf-httpbis-safe-method-w-body §2.7). key.c has the form of the lines.
 *
 * No value can look like another line, as no field's value holds a LF; what is absent has no line,
 * what is empty has one. They stand in the order of the route's list, so that the order in which a
 * client sends them does not matter. Pure; any thread.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "cache/key.h"
#include "cache/shard.h"

/* Whether the first i of a list leave this name to the next. */
static bool is_left(const struct conf_names *names, unsigned i, struct str name, bool any_case)
{
    struct conf_names earlier = {names->list, i}, this = {names->list + i, 1};
    return any_case
               ? conf_names_match_nocase(&this, name) && !conf_names_match_nocase(&earlier, name)
               : conf_names_match(&this, name) && !conf_names_match(&earlier, name);
}

/* ---- fields ---- */

static bool is_first_of_its_name(struct fields fields, const struct field *f)
{
    unsigned at = 0;
    return fields_next(fields, field_name(f), &at) == f;
}

static void append_field(struct appender *out, struct fields fields, struct str name)
{
    append_lit(out, "\n");
    for (size_t i = 0; i < name.len; i++) {
        char c = ascii_lower(name.ptr[i]);
        append(out, &c, 1);
    }
    append_lit(out, ":");
    cache_vary_append_value(fields, name, out);
}

static void append_fields(struct appender *out, struct fields fields,
                          const struct conf_names *names)
{
    for (unsigned i = 0; i < names->count; i++) {
        for (const struct field *f = fields.list, *end = f + fields.count; f < end; f++) {
            if (is_left(names, i, field_name(f), true) && is_first_of_its_name(fields, f))
                append_field(out, fields, field_name(f));
        }
    }
}

/* ---- cookies ---- */

static void append_cookie(struct appender *out, const struct cookie *cookie, bool first)
{
    if (first)
        append_lit(out, "\ncookie=");
    else
        append_lit(out, ";");
    append_str(out, cookie->name);
    if (cookie->has_value)
        append_lit(out, "=");
    append_str(out, cookie->value);
}

static void append_doubtful_lines(struct appender *out, struct fields fields)
{
    for (const struct field *f = fields.list, *end = f + fields.count; f < end; f++) {
        struct str rest = field_value(f);
        struct cookie cookie = {.doubtful = false};
        while (f->id == FIELD_COOKIE && !cookie.doubtful && cookie_next(&rest, &cookie))
            ;
        if (!cookie.doubtful)
            continue;
        append_lit(out, "\ncookie-line=");
        append_str(out, field_value(f));
    }
}

static void append_cookies(struct appender *out, struct fields fields,
                           const struct conf_names *names)
{
    bool first = true;
    for (unsigned i = 0; i < names->count; i++) {
        for (const struct field *f = fields.list, *end = f + fields.count; f < end; f++) {
            struct str rest = field_value(f);
            struct cookie cookie;
            while (f->id == FIELD_COOKIE && cookie_next(&rest, &cookie)) {
                if (!is_left(names, i, cookie.name, false))
                    continue;
                append_cookie(out, &cookie, first);
                first = false;
            }
        }
    }
    append_doubtful_lines(out, fields);
}

void cache_key_add_fields(struct appender *out, struct fields request,
                          const struct conf_route_key *rules)
{
    append_fields(out, request, &rules->headers);
    if (rules->cookies.count > 0)
        append_cookies(out, request, &rules->cookies);
}

/* ---- content ---- */

/* 128 bits are enough without a comparison of the content itself: two contents of one hash cannot be
 * computed without the secret, and each guess at them is a request. */
static void append_hash(struct appender *out, const struct cache *cache, struct str content)
{
    XXH128_hash_t hash =
        XXH3_128bits_withSecret(content.ptr, content.len, cache->secret, sizeof(cache->secret));
    append_fmt(out, "%016llx%016llx", (unsigned long long)hash.high64,
               (unsigned long long)hash.low64);
}

void cache_key_add_content(struct appender *out, const struct cache *cache, struct fields request,
                           struct str content)
{
    /* How long it is says nothing that the hash does not. */
    static const struct str metadata[] = {{"content-type", 12},
                                          {"content-encoding", 16},
                                          {"content-language", 16},
                                          {"content-location", 16}};
    static const struct conf_names names = {metadata, weir_count(metadata)};
    append_lit(out, "\nmethod=QUERY");
    append_fields(out, request, &names);
    append_lit(out, "\ncontent=");
    append_hash(out, cache, content);
}
