/*
 * Heads as they are sent on: the request as the origin gets it, the response's fields as they are
 * stored and delivered, the field lines of 1xx responses and of trailer sections. Hop-by-hop fields
 * go (RFC 9110 §7.6.1), framing is made anew, Via and X-Forwarded-* are added. Pure but for the
 * arena; called by the fetch machine and by the HTTP/1 session.
 */
#include "proxy/proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>

/* True of a field that a Connection line of this head names. Most heads have none, or one that says
 * keep-alive. */
static bool is_named(struct fields fields, const struct field *connection, const struct field *f)
{
    return connection && fields_named_in_connection(fields, field_name(f));
}

static void append_field(struct appender *out, const struct field *f)
{
    http1_append_field(out, field_name(f), field_value(f));
}

static void append_via(struct appender *out, unsigned minor)
{
    if (minor == 0)
        append_lit(out, "Via: 1.0 weir\r\n");
    else
        append_lit(out, "Via: 1.1 weir\r\n");
}

/* ---- requests ---- */

static struct str host_sent(const struct forward *forward)
{
    const struct http1_head *head = forward->request->head;

    switch (forward->upstream->host) {
    case CONF_HOST_CLIENT:
        if (head->authority.len > 0)
            return head->authority;
        break;
    case CONF_HOST_LITERAL:
        return str_from(forward->upstream->host_literal);
    case CONF_HOST_ORIGIN:
        break;
    }
    return str_from(forward->server->authority);
}

/* Fields of the client that do not go on as they are. */
static bool is_replaced(const struct forward *forward, const struct field *f)
{
    const struct http1_head *head = forward->request->head;

    switch (f->id) {
    case FIELD_HOST:
    case FIELD_CONTENT_LENGTH:
    case FIELD_X_FORWARDED_FOR:
    case FIELD_X_FORWARDED_HOST:
    case FIELD_X_FORWARDED_PROTO:
    case FIELD_X_REQUEST_ID:
        return true;
    case FIELD_TRACEPARENT:
    case FIELD_TRACESTATE:
        return !trace_is_continued(forward->request);
    case FIELD_EXPECT:
        return head->body == HTTP1_BODY_NONE || forward->request->content;
    case FIELD_TRAILER:
        return head->body != HTTP1_BODY_CHUNKED || content_is_whole(forward->request->content);
    case FIELD_IF_NONE_MATCH:
    case FIELD_IF_MODIFIED_SINCE:
        return forward->cacheable; /* Weir answers conditions itself */
    case FIELD_IF_RANGE:
    case FIELD_RANGE: /* what may be stored is asked for whole */
        return forward->cacheable && !forward->request->range_forwarded;
    default:
        return field_is_hop_by_hop((enum field_id)f->id);
    }
}

/* Max-Forwards counts down for OPTIONS and TRACE (RFC 9110 §7.6.2). */
static bool append_max_forwards(const struct forward *forward, const struct field *f,
                                struct appender *out)
{
    enum method method = forward->request->head->method;
    uint64_t left;

    if ((method != METHOD_OPTIONS && method != METHOD_TRACE) ||
        !str_equal_nocase(field_name(f), STR("Max-Forwards")) ||
        !str_to_u64(field_value(f), UINT32_MAX, &left) || left == 0)
        return false;
    append_lit(out, "Max-Forwards: ");
    append_u64(out, left - 1);
    append_lit(out, "\r\n");
    return true;
}

static void append_forwarded(const struct forward *forward, struct appender *out)
{
    const struct request *request = forward->request;
    struct fields fields = http1_fields(request->head);
    char peer[NET_ADDRESS_TEXT];

    append_lit(out, "X-Forwarded-For: ");
    for (unsigned i = 0; i < fields.count; i++)
        if (fields.list[i].id == FIELD_X_FORWARDED_FOR && fields.list[i].value_len > 0) {
            append_str(out, field_value(&fields.list[i]));
            append_lit(out, ", ");
        }
    net_address_text(request->peer, peer);
    append_str(out, str_from(peer));
    append_lit(out, "\r\nX-Forwarded-Proto: ");
    append_str(out, request->scheme);
    append_lit(out, "\r\n");
    if (request->head->authority.len > 0)
        http1_append_field(out, STR("X-Forwarded-Host"), request->head->authority);
}

/* Of each stored variant, so that the origin can say which of them is this request's (RFC 9111
 * §4.3.1). */
static void append_variants(const struct forward *forward, struct appender *out)
{
    append_lit(out, "If-None-Match: ");
    for (unsigned i = 0; i < forward->variants_count; i++) {
        if (i > 0)
            append_lit(out, ", ");
        append_str(out, cache_block_field(cache_object_block(forward->variants[i]), FIELD_ETAG));
    }
    append_lit(out, "\r\n");
}

static void append_conditions(const struct forward *forward, struct appender *out)
{
    struct str block = cache_object_block(forward->stored);
    struct str etag = cache_block_field(block, FIELD_ETAG),
               modified = cache_block_field(block, FIELD_LAST_MODIFIED);

    if (etag.ptr)
        http1_append_field(out, STR("If-None-Match"), etag);
    if (modified.ptr)
        http1_append_field(out, STR("If-Modified-Since"), modified);
}

static void append_connection(const struct http1_head *head, struct appender *out)
{
    if (head->upgrade) {
        append_lit(out, "Connection: upgrade\r\n");
        for (unsigned i = 0; i < head->count; i++)
            if (head->list[i].id == FIELD_UPGRADE)
                append_field(out, &head->list[i]);
    } else if (head->te_trailers) {
        append_lit(out, "TE: trailers\r\nConnection: TE\r\n");
    }
}

static void append_framing(const struct request *request, struct appender *out)
{
    const struct http1_head *head = request->head;

    if (content_is_whole(request->content) && head->body != HTTP1_BODY_NONE) {
        append_lit(out, "Content-Length: ");
        append_u64(out, content_bytes(request->content).len);
        append_lit(out, "\r\n");
    } else if (head->body == HTTP1_BODY_CHUNKED) {
        append_lit(out, "Transfer-Encoding: chunked\r\n");
    } else if (head->has_content_length) {
        append_lit(out, "Content-Length: ");
        append_u64(out, head->content_length);
        append_lit(out, "\r\n");
    }
}

static size_t bytes_needed(const struct forward *forward)
{
    struct fields fields = http1_fields(forward->request->head);
    size_t bytes = 512 + TRACE_FIELDS_BYTES + forward->request->target_sent.len +
                   strlen(forward->upstream->path_prefix) +
                   forward->request->head->method_name.len + host_sent(forward).len +
                   forward->request->head->authority.len;

    for (unsigned i = 0; i < fields.count; i++)
        bytes += fields.list[i].name_len + fields.list[i].value_len + 4u;
    if (forward->stored)
        bytes += cache_object_block(forward->stored).len;
    for (unsigned i = 0; i < forward->variants_count; i++)
        bytes += cache_object_block(forward->variants[i]).len;
    return bytes;
}

struct str forward_request(struct forward *forward, struct arena *arena)
{
    const struct http1_head *head = forward->request->head;
    struct fields fields = http1_fields(head);
    const struct field *connection = fields_first(fields, FIELD_CONNECTION);
    size_t cap = bytes_needed(forward);
    char *bytes = arena_alloc(arena, cap);
    struct appender out = appender_on(bytes, cap);

    if (!bytes)
        return str_of(NULL, 0);
    append_str(&out,
               forward->refresh && head->method == METHOD_HEAD ? STR("GET") : head->method_name);
    append_lit(&out, " ");
    if (!str_equal(forward->request->target_sent, STR("*")))
        append_str(&out, str_from(forward->upstream->path_prefix));
    if (forward->request->target_sent.len > 0 && forward->request->target_sent.ptr[0] == '?')
        append_lit(&out, "/");
    append_str(&out, forward->request->target_sent);
    append_lit(&out, " HTTP/1.1\r\n");
    http1_append_field(&out, STR("Host"), host_sent(forward));
    for (unsigned i = 0; i < fields.count; i++) {
        const struct field *f = &fields.list[i];

        if (!is_replaced(forward, f) && !is_named(fields, connection, f) &&
            !append_max_forwards(forward, f, &out))
            append_field(&out, f);
    }
    append_via(&out, head->minor);
    append_forwarded(forward, &out);
    forward->request_id = trace_append_fields(forward->request, &out, forward->trace_id);
    if (forward->stored)
        append_conditions(forward, &out);
    else if (forward->variants_count > 0)
        append_variants(forward, &out);
    append_connection(head, &out);
    append_framing(forward->request, &out);
    append_lit(&out, "\r\n");
    weir_assert(!out.overflow);
    return str_of(out.ptr, out.len);
}

/* ---- responses ---- */

bool forward_response_block(const struct http1_head *head, int64_t wall_s, struct appender *out)
{
    struct fields fields = http1_fields(head);
    bool dated = false;

    for (unsigned i = 0; i < fields.count; i++) {
        const struct field *f = &fields.list[i];

        if (!policy_field_is_kept(fields, f))
            continue;
        if (f->id == FIELD_DATE)
            dated = true;
        append_field(out, f);
    }
    if (!dated) { /* a recipient with a clock adds it (RFC 9110 §6.6.1) */
        char date[DATE_BYTES];

        date_format(wall_s, date);
        append_lit(out, "Date: ");
        append(out, date, DATE_BYTES);
        append_lit(out, "\r\n");
    }
    append_via(out, head->minor);
    return !out->overflow;
}

bool forward_interim_block(const struct http1_head *head, bool upgrade, struct appender *out)
{
    struct fields fields = http1_fields(head);
    const struct field *connection = fields_first(fields, FIELD_CONNECTION);

    for (unsigned i = 0; i < fields.count; i++) {
        const struct field *f = &fields.list[i];

        if (upgrade && f->id == FIELD_UPGRADE)
            append_field(out, f);
        else if (!field_is_hop_by_hop((enum field_id)f->id) && f->id != FIELD_CONTENT_LENGTH &&
                 !is_named(fields, connection, f))
            append_field(out, f);
    }
    if (upgrade)
        append_lit(out, "Connection: upgrade\r\n");
    return !out->overflow;
}

/* Fields that frame, route or authenticate are not taken from a trailer section (RFC 9110 §6.5.1).
 */
static bool may_be_trailer(const struct field *f)
{
    switch (f->id) {
    case FIELD_HOST:
    case FIELD_CONTENT_LENGTH:
    case FIELD_CONTENT_TYPE:
    case FIELD_CONTENT_RANGE:
    case FIELD_CACHE_CONTROL:
    case FIELD_CDN_CACHE_CONTROL:
    case FIELD_SURROGATE_CONTROL:
    case FIELD_WEIR_CACHE_CONTROL:
    case FIELD_EXPECT:
    case FIELD_RANGE:
    case FIELD_TRAILER:
    case FIELD_AUTHORIZATION:
    case FIELD_PROXY_AUTHENTICATE:
    case FIELD_PROXY_AUTHORIZATION:
    case FIELD_SET_COOKIE:
    case FIELD_COOKIE:
    case FIELD_LOCATION:
    case FIELD_VARY:
    case FIELD_AGE:
    case FIELD_EXPIRES:
    case FIELD_DATE:
    case FIELD_X_FORWARDED_FOR:
    case FIELD_X_FORWARDED_HOST:
    case FIELD_X_FORWARDED_PROTO:
        return false;
    default:
        return !field_is_hop_by_hop((enum field_id)f->id);
    }
}

bool forward_trailers(struct fields fields, struct appender *out)
{
    for (unsigned i = 0; i < fields.count; i++)
        if (may_be_trailer(&fields.list[i]))
            append_field(out, &fields.list[i]);
    return !out->overflow;
}
