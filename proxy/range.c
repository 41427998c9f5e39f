/*
 * A 206 (or 416) made of what is stored or arrives: its head, and its content as a plan of texts and
 * spans of the body (RFC 9110 §14, §15.3.7). One range is one span; several are a multipart of which
 * each part's head is a text. Nothing of the body is copied.
 *
 * Called by the request machine on the worker's thread; a plan lies in its request's arena. Which
 * ranges a request is sent is decided by cache/policy_range.c.
 */
#include "proxy/proxy.h"

#include <sys/random.h>

#define BOUNDARY_BYTES 32
#define CONTENT_RANGE_BYTES 96 /* "Content-Range: bytes ", three numbers of at most 20 digits */
#define PART_HEAD_BYTES (32 + BOUNDARY_BYTES + CONTENT_RANGE_BYTES)

struct range_part {
    struct str text;
    struct policy_span span; /* follows it; empty behind the last text */
};

struct range_plan {
    uint64_t length; /* of all of it */
    unsigned count;
    struct range_part parts[POLICY_SPANS_MOST + 1];
};

/* ---- heads ---- */

enum {
    OF_ONE = 1,         /* 206 with a single range */
    OF_SEVERAL = 2,     /* 206 with a multipart */
    CLIENT_HAS_REST = 4 /* If-Range was met: it knows what describes the representation */
};

/* Of the 200's fields. A multipart has a type of its own; a digest of the whole content would be
 * wrong (RFC 9530 §2); and what the client knows already is not repeated (RFC 9110 §15.3.7). */
static bool is_kept_in_206(struct str name, unsigned how)
{
    if (!str_begins_nocase(name, STR("content-")))
        return true;
    if (str_equal_nocase(name, STR("content-type")))
        return how == OF_ONE;
    if (str_equal_nocase(name, STR("content-encoding")) ||
        str_equal_nocase(name, STR("content-language")))
        return !(how & CLIENT_HAS_REST);
    return !str_equal_nocase(name, STR("content-range")) &&
           !str_equal_nocase(name, STR("content-digest")) &&
           !str_equal_nocase(name, STR("content-md5"));
}

/* Nothing that describes the representation, or makes the 416 last. */
static bool is_kept_in_416(struct str name, unsigned how)
{
    static const struct str kept[] = {STR("date"), STR("via"), STR("server"), STR("vary"),
                                      STR("accept-ranges")};

    (void)how;
    for (unsigned i = 0; i < weir_count(kept); i++)
        if (str_equal_nocase(name, kept[i]))
            return true;
    return str_begins_nocase(name, STR("access-control-")) ||
           str_begins_nocase(name, STR("cross-origin-"));
}

static void append_content_range(struct appender *out, const struct policy_span *span,
                                 uint64_t length)
{
    append_lit(out, "Content-Range: bytes ");
    if (span) {
        append_u64(out, span->first);
        append_lit(out, "-");
        append_u64(out, span->first + span->length - 1);
    } else {
        append_lit(out, "*");
    }
    append_lit(out, "/");
    append_u64(out, length);
    append_lit(out, "\r\n");
}

static bool make_unsatisfiable(struct request *request, const struct policy_selected *selected,
                               struct appender *block)
{
    if (!deliver_filter_block(&request->arena, selected->block, is_kept_in_416, 0,
                              CONTENT_RANGE_BYTES, block))
        return false;
    append_content_range(block, NULL, selected->length);
    return true;
}

static void add_part(struct range_plan *plan, struct str text, struct policy_span span)
{
    plan->parts[plan->count++] = (struct range_part){text, span};
    plan->length += text.len + span.length;
}

static bool make_single(struct request *request, const struct policy_selected *selected,
                        const struct policy_ranges *ranges, struct appender *block)
{
    unsigned how = OF_ONE | (ranges->conditional ? CLIENT_HAS_REST : 0);

    if (!deliver_filter_block(&request->arena, selected->block, is_kept_in_206, how,
                              CONTENT_RANGE_BYTES, block))
        return false;
    append_content_range(block, &ranges->spans[0], selected->length);
    add_part(request->ranges, str_of(NULL, 0), ranges->spans[0]);
    return true;
}

/* Random, so that no body holds it, and nobody can make one that does. */
static void make_boundary(char out[BOUNDARY_BYTES + 1])
{
    struct appender hex = appender_on(out, BOUNDARY_BYTES + 1);
    uint64_t number[2];

    weir_assert(getrandom(number, sizeof(number), 0) == (ssize_t)sizeof(number));
    append_fmt(&hex, "%016llx%016llx", (unsigned long long)number[0],
               (unsigned long long)number[1]);
}

/* The delimiter lines and heads of the parts (RFC 9110 §14.6). */
static bool make_parts(struct request *request, const struct policy_selected *selected,
                       const struct policy_ranges *ranges, struct str boundary)
{
    struct str type = cache_block_field(selected->block, FIELD_CONTENT_TYPE);
    size_t cap = (ranges->count + 1) * (PART_HEAD_BYTES + type.len);
    char *bytes = arena_alloc(&request->arena, cap);
    struct appender out = appender_on(bytes, cap);

    if (!bytes)
        return false;
    for (unsigned i = 0; i <= ranges->count; i++) {
        size_t from = out.len;
        bool last = i == ranges->count;

        append_str(&out, i > 0 ? STR("\r\n--") : STR("--"));
        append_str(&out, boundary);
        append_str(&out, last ? STR("--\r\n") : STR("\r\n"));
        if (!last) {
            if (type.ptr)
                http1_append_field(&out, STR("Content-Type"), type);
            append_content_range(&out, &ranges->spans[i], selected->length);
            append_lit(&out, "\r\n");
        }
        /* Behind the last text nothing of the body is needed that has not been there. */
        add_part(request->ranges, str_of(out.ptr + from, out.len - from),
                 last ? (struct policy_span){ranges->spans[i - 1].first, 0} : ranges->spans[i]);
    }
    weir_assert(!out.overflow);
    return true;
}

static bool make_several(struct request *request, const struct policy_selected *selected,
                         const struct policy_ranges *ranges, struct appender *block)
{
    unsigned how = OF_SEVERAL | (ranges->conditional ? CLIENT_HAS_REST : 0);
    char boundary[BOUNDARY_BYTES + 1];

    make_boundary(boundary);
    if (!deliver_filter_block(&request->arena, selected->block, is_kept_in_206, how,
                              64 + BOUNDARY_BYTES, block))
        return false;
    append_lit(block, "Content-Type: multipart/byteranges; boundary=");
    append(block, boundary, BOUNDARY_BYTES);
    append_lit(block, "\r\n");
    return make_parts(request, selected, ranges, str_of(boundary, BOUNDARY_BYTES));
}

bool range_prepare(struct request *request, const struct policy_selected *selected,
                   struct response_head *head)
{
    struct policy_ranges ranges;
    struct appender block;
    enum policy_part part = policy_select_ranges(http1_fields(request->head), request->head->method,
                                                 selected, worker_wall_s(), &ranges);
    bool made;

    if (part == POLICY_WHOLE)
        return true;
    request->ranges = arena_alloc(&request->arena, sizeof(*request->ranges));
    if (!request->ranges)
        return false;
    request->ranges->length = request->ranges->count = 0;
    if (part == POLICY_UNSATISFIABLE)
        made = make_unsatisfiable(request, selected, &block);
    else if (ranges.count == 1)
        made = make_single(request, selected, &ranges, &block);
    else
        made = make_several(request, selected, &ranges, &block);
    if (!made)
        return false;
    weir_assert(!block.overflow);
    request->status = head->status = part == POLICY_UNSATISFIABLE ? 416 : 206;
    head->block = str_of(block.ptr, block.len);
    head->content_length = (int64_t)request->ranges->length;
    return true;
}

/* ---- content ---- */

uint64_t range_length(const struct range_plan *plan)
{
    return plan->length;
}

static unsigned body_pieces(struct request *request, uint64_t offset, struct iovec *pieces,
                            unsigned max)
{
    return request->object ? cache_object_pieces(request->object, offset, pieces, max)
                           : cache_reader_pieces(&request->reader, offset, pieces, max);
}

/* The first so many of them that have `left` bytes; *left is what is missing then. */
static unsigned cut_pieces(struct iovec *pieces, unsigned count, uint64_t *left)
{
    for (unsigned i = 0; i < count; i++) {
        if (pieces[i].iov_len >= *left) {
            pieces[i].iov_len = (size_t)*left;
            *left = 0;
            return i + 1;
        }
        *left -= pieces[i].iov_len;
    }
    return count;
}

unsigned range_pieces(struct request *request, struct iovec *pieces, unsigned max)
{
    const struct range_plan *plan = request->ranges;
    uint64_t at = request->offset;
    unsigned count = 0;

    for (unsigned i = 0; i < plan->count && count < max; i++) {
        const struct range_part *part = &plan->parts[i];
        uint64_t left = part->text.len + part->span.length;

        if (at >= left) {
            at -= left;
            continue;
        }
        if (at < part->text.len) {
            pieces[count++] = (struct iovec){(char *)part->text.ptr + at, part->text.len - at};
            at = part->text.len;
        }
        left -= at;
        if (left > 0) {
            uint64_t from = part->span.first + part->span.length - left;

            count += cut_pieces(&pieces[count],
                                body_pieces(request, from, &pieces[count], max - count), &left);
        }
        if (left > 0)
            break;
        at = 0;
    }
    return count;
}

uint64_t range_next_byte(const struct request *request)
{
    const struct range_plan *plan = request->ranges;
    const struct range_part *part = plan->parts;
    uint64_t at = request->offset;

    for (; at >= part->text.len + part->span.length; part++) {
        at -= part->text.len + part->span.length;
        weir_assert(part + 1 < plan->parts + plan->count);
    }
    return part->span.first + (at > part->text.len ? at - part->text.len : 0);
}
