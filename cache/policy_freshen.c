/*
 * The rules: which fields of a response are stored (RFC 9111 §3.1), the field block
 * that a stored head is ("Name: value\r\n"…), and how a 304 updates it (§3.2, §4.3.4).
 *
 * Called by a fetch: for each field of each response, and once for each 304. Pure; owns nothing;
 * any thread.
 */
#include "cache/policy.h"

/* ---- what is stored -------------------------------------------------------------------------- */

/* Nearly every Connection field says one of two words, and those name no field. */
static bool is_named_in_connection(struct fields fields, const struct field *f)
{
    for (const struct field *c = fields.list, *end = c + fields.count; c < end; c++) {
        if (c->id != FIELD_CONNECTION)
            continue;
        struct str value = field_value(c);
        if (!str_equal_nocase(value, STR("keep-alive")) && !str_equal_nocase(value, STR("close")))
            return fields_named_in_connection(fields, field_name(f));
    }
    return false;
}

bool policy_field_is_kept(struct fields fields, const struct field *f)
{
    switch (f->id) {
    case FIELD_CONNECTION:
    case FIELD_KEEP_ALIVE:
    case FIELD_PROXY_CONNECTION:
    case FIELD_TE:
    case FIELD_TRANSFER_ENCODING:
    case FIELD_UPGRADE:
    case FIELD_PROXY_AUTHENTICATE:
    case FIELD_PROXY_AUTHORIZATION:
    case FIELD_AGE:
    case FIELD_CONTENT_LENGTH:
    case FIELD_SURROGATE_KEY: /* for caches, kept as hashes: cache/tags.c */
    case FIELD_CACHE_TAG:
    case FIELD_SURROGATE_CONTROL:
    case FIELD_WEIR_CACHE_CONTROL:
        return false;
    case FIELD_OTHER:
        if (str_equal_nocase(field_name(f), STR("Proxy-Authentication-Info")))
            return false;
        break;
    default:
        break;
    }
    return !is_named_in_connection(fields, f);
}

/* ---- field blocks ---------------------------------------------------------------------------- */

bool policy_block_next(struct str *rest, struct field *line)
{
    if (rest->len == 0)
        return false;
    const char *end = memchr(rest->ptr, '\n', rest->len);
    const char *colon = memchr(rest->ptr, ':', rest->len);
    /* Weir wrote the block, of fields that its parser let pass. */
    weir_assert(end != NULL && colon != NULL && colon < end && end[-1] == '\r');
    struct str name = str_of(rest->ptr, (size_t)(colon - rest->ptr));
    struct str value = str_trim(str_of(colon + 1, (size_t)(end - 1 - (colon + 1))));
    *line = (struct field){
        .name = name.ptr,
        .value = value.ptr,
        .value_len = (uint32_t)value.len,
        .name_len = (uint16_t)name.len,
        .id = (uint16_t)field_identify(name.ptr, name.len),
    };
    rest->len -= (size_t)(end + 1 - rest->ptr);
    rest->ptr = end + 1;
    return true;
}

struct str cache_block_field(struct str block, enum field_id id)
{
    struct field line;
    while (policy_block_next(&block, &line)) {
        if (line.id == id)
            return field_value(&line);
    }
    return str_of(NULL, 0);
}

/* ---- the update after a 304 ------------------------------------------------------------------ */

/* Without W/: what two entity-tags must share to be of one response, weakly compared (RFC 9110
 * §8.8.3.2). Weakly, because origins that compress mark the tag weak in the 200 only. */
static struct str opaque_tag(struct str etag)
{
    if (etag.len >= 2 && etag.ptr[0] == 'W' && etag.ptr[1] == '/')
        return str_of(etag.ptr + 2, etag.len - 2);
    return etag;
}

static bool block_varies_by(struct str block, struct str name)
{
    struct field line;
    while (policy_block_next(&block, &line)) {
        struct str rest = field_value(&line), member;
        while (line.id == FIELD_VARY && str_list_next(&rest, &member)) {
            if (str_equal_nocase(member, name))
                return true;
        }
    }
    return false;
}

/* Whether the 304 is about this stored response (§4.3.4): a validator in it is the stored one's,
 * an entity-tag before a date. One that varies by more than the stored one was selected by cannot be
 * told from other variants. */
static bool is_about(struct str stored, struct fields not_modified)
{
    const struct field *modified = fields_first(not_modified, FIELD_LAST_MODIFIED);
    struct str stored_modified = cache_block_field(stored, FIELD_LAST_MODIFIED);
    if (modified != NULL && stored_modified.ptr != NULL &&
        fields_first(not_modified, FIELD_ETAG) == NULL &&
        !str_equal(stored_modified, field_value(modified)))
        return false;
    for (unsigned i = 0; i < not_modified.count; i++) {
        const struct field *f = &not_modified.list[i];
        struct str rest = field_value(f), member;
        if (f->id == FIELD_ETAG) {
            struct str etag = cache_block_field(stored, FIELD_ETAG);
            if (etag.ptr == NULL || !str_equal(opaque_tag(etag), opaque_tag(rest)))
                return false;
        }
        while (f->id == FIELD_VARY && str_list_next(&rest, &member)) {
            if (!block_varies_by(stored, member))
                return false;
        }
    }
    return true;
}

bool policy_names_stored(struct str stored, struct fields not_modified, bool strongly)
{
    const struct field *f = fields_first(not_modified, FIELD_ETAG);
    struct str etag = cache_block_field(stored, FIELD_ETAG);
    if (f == NULL || etag.ptr == NULL)
        return false;
    if (strongly) /* RFC 9110 §8.8.3.2 */
        return etag.len > 0 && etag.ptr[0] != 'W' && str_equal(etag, field_value(f));
    return str_equal(opaque_tag(etag), opaque_tag(field_value(f)));
}

static void compare(struct str stored, struct fields head, enum field_id id, bool *same,
                    bool *other)
{
    const struct field *f = fields_first(head, id);
    struct str value = cache_block_field(stored, id);
    if (f == NULL)
        return;
    if (value.ptr != NULL && str_equal(value, field_value(f)))
        *same = true;
    else
        *other = true;
}

enum policy_told policy_told_by_head(struct str stored, uint64_t stored_length, struct fields head,
                                     int64_t content_length)
{
    bool same = content_length >= 0, other = same && (uint64_t)content_length != stored_length;
    compare(stored, head, FIELD_ETAG, &same, &other);
    compare(stored, head, FIELD_LAST_MODIFIED, &same, &other);
    return other ? POLICY_TOLD_OTHER : same ? POLICY_TOLD_SAME : POLICY_TOLD_NOTHING;
}

/* §3.2: all that may be stored, but for what tells how the stored body is to be read: that is of
 * the body, which the 304 did not bring. Content-Type is updated, as Weir keeps nothing that was
 * made by reading it. Vary is what the stored one was selected by. */
static bool is_updated(struct fields not_modified, const struct field *f)
{
    if (f->id == FIELD_CONTENT_RANGE || f->id == FIELD_VARY)
        return false;
    if (f->id == FIELD_OTHER && str_equal_nocase(field_name(f), STR("Content-Encoding")))
        return false;
    return policy_field_is_kept(not_modified, f);
}

static bool is_replaced(struct fields not_modified, const struct field *line)
{
    for (unsigned i = 0; i < not_modified.count; i++) {
        const struct field *f = &not_modified.list[i];
        if (f->id == line->id && f->name_len == line->name_len &&
            str_equal_nocase(field_name(f), field_name(line)) && is_updated(not_modified, f))
            return true;
    }
    return false;
}

static void append_line(struct appender *out, const struct field *f)
{
    append_str(out, field_name(f));
    append_lit(out, ": ");
    append_str(out, field_value(f));
    append_lit(out, "\r\n");
}

void policy_append_unkept(struct fields not_modified, struct appender *out)
{
    const struct field *age = fields_first(not_modified, FIELD_AGE);
    if (age != NULL)
        append_line(out, age);
    for (unsigned i = 0; i < not_modified.count; i++) {
        const struct field *f = &not_modified.list[i];
        if (f->id == FIELD_WEIR_CACHE_CONTROL || f->id == FIELD_SURROGATE_CONTROL)
            append_line(out, f);
    }
}

bool policy_freshen_block(struct str stored, struct fields not_modified, struct appender *out)
{
    struct str rest = stored;
    struct field line;
    if (!is_about(stored, not_modified))
        return false;
    while (policy_block_next(&rest, &line)) {
        if (!is_replaced(not_modified, &line))
            append_line(out, &line);
    }
    for (unsigned i = 0; i < not_modified.count; i++) {
        if (is_updated(not_modified, &not_modified.list[i]))
            append_line(out, &not_modified.list[i]);
    }
    return !out->overflow;
}

bool policy_lacks_lifetime(const struct cache_meta *stored, struct fields answer)
{
    if (weir_likely(!(stored->flags & CACHE_CUT_SHORT)))
        return false;
    if (stored->flags & CACHE_BY_WEIR)
        return fields_first(answer, FIELD_WEIR_CACHE_CONTROL) == NULL;
    return (stored->flags & CACHE_BY_SURROGATE) &&
           fields_first(answer, FIELD_WEIR_CACHE_CONTROL) == NULL &&
           fields_first(answer, FIELD_CDN_CACHE_CONTROL) == NULL &&
           fields_first(answer, FIELD_SURROGATE_CONTROL) == NULL;
}
