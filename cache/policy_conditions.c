/*
 * The rules: a client's conditions on a stored response (RFC 9110 §13, RFC 9111
 * §4.3.2). Called for each response delivered from an object; without a condition in the request
 * it is one pass over the ids. A condition that is malformed is not met, so that the client is
 * sent the whole response. Pure; owns nothing; any thread.
 */
#include "cache/policy.h"

/* The opaque-tag of an entity-tag, quotes included, taken off the front of *rest; false when
 * *rest does not begin with one. str_list_next() would not do: an entity-tag knows no escapes. */
static bool take_opaque_tag(struct str *rest, struct str *tag)
{
    size_t start = rest->len >= 2 && rest->ptr[0] == 'W' && rest->ptr[1] == '/' ? 2 : 0;
    if (start >= rest->len || rest->ptr[start] != '"')
        return false;
    const char *opening = rest->ptr + start;
    const char *closing = memchr(opening + 1, '"', rest->len - start - 1);
    if (closing == NULL)
        return false;
    size_t taken = (size_t)(closing + 1 - rest->ptr);
    *tag = str_of(opening, (size_t)(closing + 1 - opening));
    rest->ptr += taken;
    rest->len -= taken;
    return true;
}

bool policy_is_entity_tag(struct str value)
{
    struct str tag;
    return take_opaque_tag(&value, &tag) && value.len == 0;
}

static bool is_separator(char c)
{
    return c == ' ' || c == '\t' || c == ',';
}

static void skip(struct str *rest, size_t count)
{
    rest->ptr += count;
    rest->len -= count;
}

/* Weak comparison of one line's members (RFC 9110 §8.8.3.2); what is malformed is skipped up to
 * the next comma. */
static bool list_has_tag(struct str list, struct str stored)
{
    while (list.len > 0) {
        struct str tag;
        if (is_separator(list.ptr[0])) {
            skip(&list, 1);
            continue;
        }
        bool matches = take_opaque_tag(&list, &tag) && str_equal(tag, stored);
        while (list.len > 0 && list.ptr[0] != ',') {
            matches &= list.ptr[0] == ' ' || list.ptr[0] == '\t';
            skip(&list, 1);
        }
        if (matches)
            return true;
    }
    return false;
}

/* Whether some If-None-Match line names the stored response (RFC 9110 §13.1.2). */
static bool none_match_fails(struct fields request, unsigned lines, struct str block)
{
    struct str stored, etag = cache_block_field(block, FIELD_ETAG);
    bool has_tag = etag.ptr != NULL && take_opaque_tag(&etag, &stored) && etag.len == 0;
    for (unsigned i = 0; i < request.count; i++) {
        const struct field *f = &request.list[i];
        if (f->id != FIELD_IF_NONE_MATCH)
            continue;
        if (lines == 1 && str_equal(str_trim(field_value(f)), STR("*")))
            return true;
        if (has_tag && list_has_tag(field_value(f), stored))
            return true;
    }
    return false;
}

/* RFC 9110 §13.1.3; without a Last-Modified, Date stands in for it (RFC 9111 §4.3.2). */
static bool modified_since_fails(struct str since, struct str block, int64_t wall_now_s)
{
    int64_t since_s, modified_s;
    struct str modified = cache_block_field(block, FIELD_LAST_MODIFIED);
    if (modified.ptr == NULL)
        modified = cache_block_field(block, FIELD_DATE);
    return modified.ptr != NULL && date_parse(str_trim(since), wall_now_s, &since_s) &&
           date_parse(modified, wall_now_s, &modified_s) && modified_s <= since_s;
}

bool policy_not_modified(struct fields request, enum method method, unsigned status,
                         struct str block, int64_t wall_now_s)
{
    const struct field *since = NULL;
    unsigned none_match_lines = 0, since_lines = 0;
    for (const struct field *f = request.list, *end = f + request.count; f < end; f++) {
        if (f->id == FIELD_IF_NONE_MATCH) {
            none_match_lines++;
        } else if (f->id == FIELD_IF_MODIFIED_SINCE) {
            since = f;
            since_lines++;
        }
    }
    if (none_match_lines + since_lines == 0)
        return false;
    if (status != 200 || (method != METHOD_GET && method != METHOD_HEAD && method != METHOD_QUERY))
        return false;
    if (none_match_lines > 0)
        return none_match_fails(request, none_match_lines, block);
    return since_lines == 1 && modified_since_fails(field_value(since), block, wall_now_s);
}
