/*
 * The rules, sixth part: which bytes of a stored or arriving 200 a request with Range is sent
 * (RFC 9110 §14.2), and whether it is sent them at all (If-Range, §13.1.5).
 *
 * Called once for each response to a request that has a Range. To ignore the field is always
 * allowed (§14.2), and then the client gets the whole: so it is with what is malformed or repeated,
 * and with what would cost more than the whole or than a client can mean well. Pure; owns nothing;
 * any thread.
 */
#include "cache/policy.h"

/* What a part of a multipart response costs beside its bytes: ranges with less between them are
 * sent as one (§15.3.7.2). */
#define PART_BYTES 80

/* ---- If-Range -------------------------------------------------------------------------------- */

/* For how long after its Last-Modified a response has to have been made, so that one of another
 * content with the same date cannot be meant (§8.8.2.2). A second would do for one clock; but the
 * two dates may come from two. */
#define STRONG_AFTER_S 60

/* Strong comparison of the one entity-tag that If-Range has (§8.8.3.2): neither may be weak. */
static bool is_same_strong_tag(struct str tag, struct str block)
{
    return str_equal(tag, cache_block_field(block, FIELD_ETAG)) && tag.len > 0 &&
           tag.ptr[0] == '"' && memchr(tag.ptr + 1, '"', tag.len - 1) == tag.ptr + tag.len - 1;
}

static bool is_same_strong_date(struct str text, struct str block, int64_t wall_now_s)
{
    int64_t asked_s, modified_s, made_s;

    return date_parse(text, wall_now_s, &asked_s) &&
           date_parse(cache_block_field(block, FIELD_LAST_MODIFIED), wall_now_s, &modified_s) &&
           date_parse(cache_block_field(block, FIELD_DATE), wall_now_s, &made_s) &&
           asked_s == modified_s && made_s - modified_s >= STRONG_AFTER_S;
}

static bool if_range_holds(struct str value, struct str block, int64_t wall_now_s)
{
    return is_same_strong_tag(value, block) || is_same_strong_date(value, block, wall_now_s);
}

/* ---- Range ----------------------------------------------------------------------------------- */

/* Digits off the front of *rest; UINT64_MAX for what is greater. False when there is none. */
static bool take_number(struct str *rest, uint64_t *number)
{
    size_t digits = 0;
    bool fits = true;

    *number = 0;
    for (; digits < rest->len; digits++) {
        unsigned digit = (unsigned char)rest->ptr[digits] - (unsigned)'0';

        if (digit > 9)
            break;
        fits = fits && !__builtin_mul_overflow(*number, (uint64_t)10, number) &&
               !__builtin_add_overflow(*number, (uint64_t)digit, number);
    }
    if (!fits)
        *number = UINT64_MAX;
    *rest = str_of(rest->ptr + digits, rest->len - digits);
    return digits > 0;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* What one range-spec of bytes (§14.1.2) means for a body of `length`: *span is empty when it is not
 * satisfiable. False when it is malformed. */
static bool read_spec(struct str spec, uint64_t length, struct policy_span *span)
{
    uint64_t first, last;
    bool has_first = take_number(&spec, &first), has_last;

    if (spec.len == 0 || spec.ptr[0] != '-')
        return false;
    spec = str_of(spec.ptr + 1, spec.len - 1);
    has_last = take_number(&spec, &last);
    if (spec.len > 0 || (!has_first && !has_last) || (has_first && has_last && last < first))
        return false;
    if (!has_first) { /* suffix-range: the last so many bytes */
        *span = (struct policy_span){length - least(last, length), least(last, length)};
    } else {
        uint64_t end = has_last && last < length ? last + 1 : length;

        first = least(first, length);
        *span = (struct policy_span){first, end - first};
    }
    return true;
}

static uint64_t end_of(const struct policy_span *span)
{
    return span->first + span->length;
}

/* Makes *into both, unless it takes less to send them in two parts (§15.3.7.2). */
static bool join_near(struct policy_span *into, const struct policy_span *span)
{
    uint64_t first = least(into->first, span->first);
    uint64_t end = end_of(into) > end_of(span) ? end_of(into) : end_of(span);

    if (end - first >= into->length + span->length + PART_BYTES)
        return false;
    *into = (struct policy_span){first, end - first};
    return true;
}

/* Reads a ranges-specifier (§14.1.1); they stay in the order asked for, but for those that are
 * joined. False when it is malformed, of another unit, or has more than
 * POLICY_SPANS_MOST ranges (§14.2, §17.15). */
static bool read_ranges(struct str value, uint64_t length, struct policy_ranges *ranges)
{
    const struct str unit = STR("bytes=");
    struct policy_span span;
    struct str rest, spec;
    unsigned specs = 0;

    ranges->count = 0;
    if (value.len < unit.len || !str_equal_nocase(str_of(value.ptr, unit.len), unit))
        return false;
    for (rest = str_of(value.ptr + unit.len, value.len - unit.len);
         str_tokens_next(&rest, &spec);) {
        if (++specs > POLICY_SPANS_MOST || !read_spec(spec, length, &span))
            return false;
        if (span.length == 0 ||
            (ranges->count > 0 && join_near(&ranges->spans[ranges->count - 1], &span)))
            continue;
        ranges->spans[ranges->count++] = span;
    }
    return specs > 0;
}

static bool has_coding(struct str block)
{
    struct field line;

    while (policy_block_next(&block, &line))
        if (str_equal_nocase(field_name(&line), STR("Content-Encoding")))
            return true;
    return false;
}

/* Whether the parts can be made, and are worth it. */
static bool may_be_sent(const struct policy_ranges *ranges, const struct policy_selected *selected)
{
    const struct policy_span *spans = ranges->spans;
    uint64_t left = selected->length;

    for (unsigned i = 0; i < ranges->count; i++) {
        if (spans[i].length > left)
            return false;
        left -= spans[i].length;
        if (selected->arriving && i > 0 && spans[i].first < end_of(&spans[i - 1]))
            return false;
    }
    /* A coding is said of the whole content (§8.4), and the container of several parts has none. */
    return ranges->count == 1 || !has_coding(selected->block);
}

enum policy_part policy_select_ranges(struct fields request, enum method method,
                                      const struct policy_selected *selected, int64_t wall_now_s,
                                      struct policy_ranges *ranges)
{
    const struct field *range = NULL, *if_range = NULL;
    unsigned range_lines = 0, if_range_lines = 0;

    for (const struct field *f = request.list, *end = f + request.count; f < end; f++) {
        if (f->id == FIELD_RANGE) {
            range = f;
            range_lines++;
        } else if (f->id == FIELD_IF_RANGE) {
            if_range = f;
            if_range_lines++;
        }
    }
    if (method != METHOD_GET || selected->status != 200 || selected->length == 0 ||
        range_lines != 1 || if_range_lines > 1)
        return POLICY_WHOLE;
    if (if_range != NULL && !if_range_holds(field_value(if_range), selected->block, wall_now_s))
        return POLICY_WHOLE;
    if (!read_ranges(field_value(range), selected->length, ranges))
        return POLICY_WHOLE;
    if (ranges->count == 0)
        return POLICY_UNSATISFIABLE;
    ranges->conditional = if_range != NULL;
    return may_be_sent(ranges, selected) ? POLICY_PARTS : POLICY_WHOLE;
}
