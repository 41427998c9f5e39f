/*
 * What Weir adds to a stored or passed head when it delivers it: Age (RFC 9111 §5.1) and
 * Cache-Status (RFC 9211); and the id under which Weir's own answers are found in the logs. Called
 * by the request machine once per response.
 */
#include "proxy/proxy.h"

static void append_age(const struct request *request, const struct cache_meta *meta, int64_t now_ms,
                       struct appender *out)
{
    uint32_t age_s = policy_age_s(meta, now_ms);
    bool from_cache = request->outcome == OUTCOME_HIT || request->outcome == OUTCOME_STALE ||
                      (request->collapsed && age_s > 0);

    /* Age on what the origin has just generated would say that it has not (§5.1). */
    if (!from_cache && !(meta->flags & CACHE_HAD_AGE))
        return;
    append_lit(out, "Age: ");
    append_u64(out, age_s);
    append_lit(out, "\r\n");
}

/* The route's word counted, not the origin's. */
static void append_override(const struct cache_meta *meta, struct appender *out)
{
    if (weir_unlikely(meta->flags & CACHE_OVERRIDDEN))
        append_lit(out, "; detail=override");
}

/* One token (RFC 9211 §2.8), which can say two things of what is stored. */
static void append_detail(const struct request *request, const struct cache_meta *meta,
                          struct appender *out)
{
    bool from_stored = request->stored || request->outcome == OUTCOME_STALE;

    if (request->detail && *request->detail) {
        append_lit(out, "; detail=");
        append_str(out, str_from(request->detail));
        if (from_stored && (meta->flags & CACHE_OVERRIDDEN))
            append_lit(out, "+override");
    } else if (from_stored) {
        append_override(meta, out);
    }
}

/* RFC 9211 §2.4: of what is stale, less than nothing. */
static void append_stale_ttl(const struct request *request, struct appender *out)
{
    append_lit(out, "; ttl=");
    if (request->ttl_s < 0)
        append_lit(out, "-");
    append_u64(out, (uint64_t)(request->ttl_s < 0 ? -request->ttl_s : request->ttl_s));
}

/* The origin's, where this response has another (RFC 9211 §2.3): the client's condition was met by
 * what the origin has sent whole. */
static unsigned forward_status(const struct request *request, const struct cache_meta *meta)
{
    if (request->forward_status || !request->not_modified || request->outcome == OUTCOME_STALE)
        return request->forward_status;
    return meta->status;
}

void deliver_extra(struct request *request, const struct cache_meta *meta, int64_t now_ms,
                   struct appender *out)
{
    if (request->outcome != OUTCOME_LOCAL)
        append_age(request, meta, now_ms, out);
    if (request->outcome == OUTCOME_HIT) {
        append_lit(out, "Cache-Status: weir; hit; ttl=");
        append_u64(out, (uint64_t)request->ttl_s);
        append_override(meta, out);
        append_lit(out, "\r\n");
        return;
    }
    append_lit(out, "Cache-Status: weir");
    if (request->forward) {
        append_lit(out, "; fwd=");
        append_str(out, str_from(request->forward));
        if (forward_status(request, meta)) {
            append_lit(out, "; fwd-status=");
            append_u64(out, forward_status(request, meta));
        }
    } else if (request->outcome == OUTCOME_STALE) {
        append_lit(out, "; hit");
    }
    if (request->outcome == OUTCOME_STALE)
        append_stale_ttl(request, out);
    if (request->stored)
        append_lit(out, "; stored");
    if (request->collapsed)
        append_lit(out, "; collapsed");
    append_detail(request, meta, out);
    append_lit(out, "\r\n");
    if (request->outcome == OUTCOME_LOCAL)
        http1_append_field(out, STR("X-Request-ID"), trace_ids(request).request_id);
}

bool deliver_filter_block(struct arena *arena, struct str block,
                          bool (*is_kept)(struct str name, unsigned how), unsigned how, size_t room,
                          struct appender *out)
{
    char *copy = arena_alloc(arena, block.len + room);

    *out = appender_on(copy, block.len + room);
    if (!copy)
        return false;
    for (const char *at = block.ptr, *end = block.ptr + block.len, *next; at < end; at = next) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        struct str line, name = str_of(at, 0);

        next = line_end ? line_end + 1 : end;
        line = str_of(at, (size_t)(next - at));
        while (name.len < line.len && name.ptr[name.len] != ':')
            name.len++;
        if (is_kept(name, how))
            append_str(out, line);
    }
    return true;
}
