/*
 * The cache's rules over field lines (RFC 9111): inputs are "name: value" lines; an empty line
 * separates the heads that a target needs.
 */
#include "cache/cache.h"
#include "cache/structured.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#define ROOM (64 * 1024)

static char room[3][ROOM];

/* ---- Cache-Control ---- */

static void check_judged(const struct policy_exchange *exchange, enum policy_reason reason,
                         const struct cache_meta *meta)
{
    const struct policy_request *request = exchange->request;
    weir_assert(reason < POLICY_REASONS && policy_reason_text(reason) != NULL);
    weir_assert(meta->status == exchange->status);
    weir_assert(meta->born_ms <= exchange->now_ms);
    if (reason != POLICY_STORE) {
        weir_assert(meta->lifetime_s == 0);
        return;
    }
    weir_assert(!request->no_store && exchange->route->enabled);
    weir_assert(exchange->method == METHOD_GET);
    /* A cookie is given to others only for a time that the origin itself gave, or by the route's
     * word. */
    if (fields_first(exchange->fields, FIELD_SET_COOKIE) != NULL) {
        weir_assert(exchange->route->set_cookie == CONF_SET_COOKIE_STORE ||
                    (exchange->route->override == 0 && meta->lifetime_s > 0 &&
                     !(meta->flags & (CACHE_NO_CACHE | CACHE_HEURISTIC))));
    }
    weir_assert(exchange->route->override != 0 || !(meta->flags & CACHE_OVERRIDDEN));
    if (exchange->route->ttl_max_s > 0 && !(meta->flags & CACHE_NO_CACHE))
        weir_assert(meta->born_ms + meta->lifetime_s * INT64_C(1000) <=
                    exchange->now_ms + exchange->route->ttl_max_s * INT64_C(1000));
    weir_assert(!request->authorization || (meta->flags & CACHE_FOR_AUTHORIZED));
    /* §4.2.4 */
    if (meta->flags & (CACHE_NO_CACHE | CACHE_MUST_REVALIDATE))
        weir_assert(meta->stale_while_revalidate_s == 0 && meta->stale_if_error_s == 0);
    weir_assert((meta->flags & CACHE_HAS_VALIDATOR) ||
                (meta->keep_min == 0 && !policy_is_useless(meta, exchange->now_ms)));
}

/* What may be delivered stale is worse than what is fresh, in whatever way. */
static unsigned rank(enum policy_use use)
{
    return use == POLICY_FRESH ? 0 : policy_use_delivers(use) ? 1 : use == POLICY_VALIDATE ? 2 : 3;
}

/* As time goes, what is stored gets no better; and a request that asks for less gets no less. */
static void check_use(const struct cache_meta *meta, const struct policy_request *request,
                      int64_t now_ms)
{
    static const int64_t steps_ms[] = {0, 1, 999, 60000, 86400000, (int64_t)1 << 40};
    enum policy_use last = POLICY_FRESH;
    struct policy_request plain = {.max_age_s = -1, .min_fresh_s = -1, .max_stale_s = -1};
    plain.authorization = request->authorization;
    for (unsigned i = 0; i < weir_count(steps_ms); i++) {
        enum policy_use use = policy_use_stored(meta, request, now_ms + steps_ms[i]);
        weir_assert(rank(use) >= rank(last));
        weir_assert((use == POLICY_UNUSABLE) ==
                    (request->authorization && !(meta->flags & CACHE_FOR_AUTHORIZED)));
        if (use == POLICY_FRESH) {
            weir_assert(!(meta->flags & CACHE_NO_CACHE) && !request->no_cache);
            weir_assert(request->max_stale_s >= 0 ||
                        policy_use_stored(meta, &plain, now_ms + steps_ms[i]) == POLICY_FRESH);
        }
        weir_assert(!policy_may_share(meta, request, now_ms + steps_ms[i]) ||
                    policy_use_delivers(use));
        if (use == POLICY_STALE || use == POLICY_REFRESH) {
            weir_assert(!(meta->flags & (CACHE_NO_CACHE | CACHE_MUST_REVALIDATE)));
            weir_assert(!request->no_cache && request->max_age_s != 0);
            weir_assert(use == POLICY_REFRESH || request->max_stale_s > 0);
        }
        if (policy_use_on_error(meta, request, now_ms + steps_ms[i]))
            weir_assert(policy_use_delivers(use) ||
                        !(meta->flags & (CACHE_NO_CACHE | CACHE_MUST_REVALIDATE)));
        else
            weir_assert(!policy_use_delivers(use) || meta->status >= 400);
        last = use;
    }
}

/* Two lines of a field say what one with a comma says (RFC 9110 §5.2). */
static void check_joined(const struct fuzz_head *head, const struct policy_request *read)
{
    struct appender out = appender_on(room[0], ROOM);
    struct fuzz_head joined = {.count = 0};
    struct policy_request again;
    struct field first = {.name = NULL};
    for (unsigned i = 0; i < head->count; i++) {
        const struct field *f = &head->list[i];
        if (f->id != FIELD_CACHE_CONTROL) {
            joined.list[joined.count++] = *f;
            continue;
        }
        /* A quote that does not end would swallow the next line. */
        if (memchr(f->value, '"', f->value_len) != NULL)
            return;
        if (first.name != NULL)
            append_lit(&out, ", ");
        else
            first = *f;
        append_str(&out, field_value(f));
    }
    if (first.name == NULL || out.overflow)
        return;
    first.value = out.ptr;
    first.value_len = (uint32_t)out.len;
    if (joined.count < FUZZ_FIELDS)
        joined.list[joined.count++] = first;
    else
        return;
    policy_read_request(fuzz_fields(&joined), &again);
    weir_assert(again.max_age_s == read->max_age_s && again.min_fresh_s == read->min_fresh_s);
    weir_assert(again.max_stale_s == read->max_stale_s && again.no_cache == read->no_cache);
    weir_assert(again.no_store == read->no_store && again.only_if_cached == read->only_if_cached);
    weir_assert(again.authorization == read->authorization && again.range == read->range);
}

/* A byte for the circumstances, the request's fields, the response's. */
void fuzz_cache_control(const uint8_t *bytes, size_t len)
{
    static const enum method methods[] = {METHOD_GET, METHOD_HEAD, METHOD_POST, METHOD_OTHER};
    static const unsigned statuses[] = {200, 404, 206, 500, 301, 204, 302, 599};
    static struct conf_status_ttl times[] = {{500, 3}, {200, 0}};
    static const struct conf_route_cache routes[] = {
        {.enabled = true, .heuristic_percent = 10, .heuristic_max_s = 86400},
        {.enabled = true,
         .ttl_s = 10,
         .negative_ttl_s = 5,
         .ttl_min_s = 2,
         .ttl_max_s = 60,
         .stale_while_revalidate_s = 20,
         .stale_if_error_s = 3000,
         .keep_s = 61},
        {.enabled = true,
         .ttl_s = 10,
         .override = (1u << CONF_OVERRIDES) - 1,
         .set_cookie = CONF_SET_COOKIE_STORE},
        {.enabled = true,
         .ttl_s = 10,
         .override = 1u << CONF_OVERRIDE_NO_STORE,
         .status_ttl = times,
         .status_ttl_count = weir_count(times)},
    };
    if (len == 0)
        return;
    unsigned dice = bytes[0];
    char *text = fuzz_exact_copy(bytes + 1, len - 1);
    struct str rest = str_of(text, len - 1);
    struct fuzz_head asked, said;
    fuzz_take_head(&rest, &asked);
    fuzz_take_head(&rest, &said);
    struct policy_request request;
    policy_read_request(fuzz_fields(&asked), &request);
    check_joined(&asked, &request);
    weir_assert(request.max_age_s >= -1 && request.min_fresh_s >= -1 && request.max_stale_s >= -1);
    struct policy_exchange exchange = {
        .method = methods[dice & 3],
        .request = &request,
        .route = &routes[(dice >> 2 & 1) + (dice >> 6 & 2)],
        .status = statuses[dice >> 3 & 7],
        .fields = fuzz_fields(&said),
        .wall_now_s = 1700000000,
        .now_ms = 1000000,
        .requested_ms = dice & 0x40 ? 1000000 : 900000,
    };
    struct cache_meta meta, stored;
    memset(&meta, 0x55, sizeof meta);
    check_judged(&exchange, policy_judge(&exchange, &meta), &meta);
    check_use(&meta, &request, exchange.now_ms);
    /* As the updated head of a 304, of which fields that are not kept have been left out. */
    stored = meta;
    stored.flags |= (uint16_t)(dice & 0x40 ? CACHE_BY_WEIR : CACHE_BY_SURROGATE);
    exchange.stored = &stored;
    check_judged(&exchange, policy_judge(&exchange, &meta), &meta);
    free(text);
}

/* ---- structured fields ---- */

static void append_value(struct appender *out, const struct structured_value *value)
{
    switch (value->type) {
    case STRUCTURED_DECIMAL:
        append_fmt(out, "%s%lld.%03lld", value->number < 0 ? "-" : "", llabs(value->number) / 1000,
                   llabs(value->number) % 1000);
        break;
    case STRUCTURED_BOOLEAN:
        append_fmt(out, "?%lld", (long long)value->number);
        break;
    case STRUCTURED_INTEGER:
    case STRUCTURED_DATE:
        append_fmt(out, "%s%lld", value->type == STRUCTURED_DATE ? "@" : "",
                   (long long)value->number);
        break;
    case STRUCTURED_STRING:
    case STRUCTURED_TOKEN:
    case STRUCTURED_BYTES:
    case STRUCTURED_DISPLAY_STRING:
    case STRUCTURED_INNER_LIST: {
        static const char *const opening[] = {[STRUCTURED_STRING] = "\"",
                                              [STRUCTURED_TOKEN] = "",
                                              [STRUCTURED_BYTES] = ":",
                                              [STRUCTURED_DISPLAY_STRING] = "%\"",
                                              [STRUCTURED_INNER_LIST] = "("};
        static const char *const closing[] = {[STRUCTURED_STRING] = "\"",
                                              [STRUCTURED_TOKEN] = "",
                                              [STRUCTURED_BYTES] = ":",
                                              [STRUCTURED_DISPLAY_STRING] = "\"",
                                              [STRUCTURED_INNER_LIST] = ")"};
        append_str(out, str_from(opening[value->type]));
        append_str(out, value->text);
        append_str(out, str_from(closing[value->type]));
    }
    }
}

/* Writes the members that it reads; whether the text is well-formed. */
static bool copy_members(struct str text, bool dictionary, struct appender *out)
{
    struct structured_value value;
    struct str rest = text, key;
    for (;;) {
        enum structured_found found = dictionary ? structured_dictionary_next(&rest, &key, &value)
                                                 : structured_list_next(&rest, &value);
        weir_assert(rest.ptr >= text.ptr && rest.ptr + rest.len == text.ptr + text.len);
        if (found != STRUCTURED_MEMBER)
            return found == STRUCTURED_END;
        if (out->len > 0)
            append_lit(out, ", ");
        if (dictionary) {
            append_str(out, key);
            append_lit(out, "=");
        }
        append_value(out, &value);
    }
}

/* What is written again is well-formed, and reads as the same. */
void fuzz_structured(const uint8_t *bytes, size_t len)
{
    char *text = fuzz_exact_copy(bytes, len);
    for (unsigned dictionary = 0; dictionary < 2; dictionary++) {
        struct appender out = appender_on(room[0], ROOM), again = appender_on(room[1], ROOM);
        if (!copy_members(str_of(text, len), dictionary, &out))
            continue;
        weir_assert(!out.overflow);
        weir_assert(copy_members(str_of(out.ptr, out.len), dictionary, &again));
        weir_assert(str_equal(str_of(out.ptr, out.len), str_of(again.ptr, again.len)));
    }
    free(text);
}

/* ---- Vary ---- */

static void check_vary(struct str vary, struct fields request)
{
    char *exact = fuzz_exact_copy(vary.ptr, vary.len);
    weir_assert(cache_vary_matches(str_of(exact, vary.len), request));
    free(exact);
}

/* The response's fields, one request's, another one's. */
void fuzz_vary(const uint8_t *bytes, size_t len)
{
    char *text = fuzz_exact_copy(bytes, len);
    struct str rest = str_of(text, len);
    struct fuzz_head response, requests[2];
    struct appender out[2];
    bool built[2];
    fuzz_take_head(&rest, &response);
    for (unsigned i = 0; i < 2; i++) {
        fuzz_take_head(&rest, &requests[i]);
        out[i] = appender_on(room[i], fuzz_draw(16) == 0 ? fuzz_draw(200) : ROOM);
        built[i] = cache_vary_build(fuzz_fields(&response), fuzz_fields(&requests[i]), &out[i]);
        /* A request selects what was built from it. */
        if (built[i])
            check_vary(str_of(out[i].ptr, out[i].len), fuzz_fields(&requests[i]));
    }
    if (built[0] && built[1]) {
        struct str first = str_of(out[0].ptr, out[0].len), second = str_of(out[1].ptr, out[1].len);
        /* And what was built from another one exactly when both come to the same bytes. */
        weir_assert(cache_vary_matches(first, fuzz_fields(&requests[1])) ==
                    str_equal(first, second));
        weir_assert(cache_vary_matches(second, fuzz_fields(&requests[0])) ==
                    str_equal(first, second));
        weir_assert(fields_first(fuzz_fields(&response), FIELD_VARY) != NULL || first.len == 0);
    }
    free(text);
}

/* ---- conditions ---- */

static bool has_condition(struct fields request)
{
    return fields_first(request, FIELD_IF_NONE_MATCH) != NULL ||
           fields_first(request, FIELD_IF_MODIFIED_SINCE) != NULL;
}

/* The request's fields, the stored response's. */
void fuzz_conditions(const uint8_t *bytes, size_t len)
{
    const int64_t now_s = 1700000000;
    char *text = fuzz_exact_copy(bytes, len);
    struct str rest = str_of(text, len);
    struct fuzz_head asked, stored;
    fuzz_take_head(&rest, &asked);
    fuzz_take_head(&rest, &stored);
    struct fields request = fuzz_fields(&asked);
    struct appender out = appender_on(room[0], ROOM);
    fuzz_append_block(&stored, &out);
    char *exact = fuzz_exact_copy(out.ptr, out.len);
    struct str block = str_of(exact, out.len);
    bool get = policy_not_modified(request, METHOD_GET, 200, block, now_s);
    weir_assert(get == policy_not_modified(request, METHOD_HEAD, 200, block, now_s));
    weir_assert(!policy_not_modified(request, METHOD_POST, 200, block, now_s));
    weir_assert(!policy_not_modified(request, METHOD_GET, 404, block, now_s));
    weir_assert(!get || has_condition(request));
    if (get && fields_first(request, FIELD_IF_NONE_MATCH) == NULL)
        weir_assert(fields_first(fuzz_fields(&stored), FIELD_LAST_MODIFIED) != NULL ||
                    fields_first(fuzz_fields(&stored), FIELD_DATE) != NULL);
    /* Who sends the stored tag, if it is one, has what is stored. */
    struct str etag = cache_block_field(block, FIELD_ETAG);
    if (etag.len > 2 && etag.ptr[0] == '"' &&
        memchr(etag.ptr + 1, '"', etag.len - 1) == etag.ptr + etag.len - 1) {
        struct field own = {.name = "If-None-Match",
                            .name_len = 13,
                            .value = etag.ptr,
                            .value_len = (uint32_t)etag.len,
                            .id = FIELD_IF_NONE_MATCH};
        weir_assert(policy_not_modified((struct fields){&own, 1}, METHOD_GET, 200, block, now_s));
    }
    free(exact);
    free(text);
}

/* ---- ranges ---- */

static void check_spans(const struct policy_ranges *ranges, const struct policy_selected *selected)
{
    uint64_t sum = 0;
    weir_assert(ranges->count >= 1 && ranges->count <= POLICY_SPANS_MOST);
    for (unsigned i = 0; i < ranges->count; i++) {
        const struct policy_span *span = &ranges->spans[i];
        weir_assert(span->length > 0 && span->first < selected->length);
        weir_assert(span->length <= selected->length - span->first);
        weir_assert(span->length <= selected->length - sum);
        sum += span->length;
        if (selected->arriving && i > 0)
            weir_assert(span->first >= span[-1].first + span[-1].length);
    }
}

/* Bytes first to last of a single range are what is asked for when they are asked for again. */
static void check_again(const struct policy_ranges *ranges, const struct policy_selected *selected)
{
    for (unsigned i = 0; i < ranges->count; i++) {
        const struct policy_span *span = &ranges->spans[i];
        struct appender out = appender_on(room[1], ROOM);
        struct policy_ranges again;
        append_lit(&out, "bytes=");
        append_u64(&out, span->first);
        append_lit(&out, "-");
        append_u64(&out, span->first + span->length - 1);
        struct field own = {.name = "Range",
                            .name_len = 5,
                            .value = out.ptr,
                            .value_len = (uint32_t)out.len,
                            .id = FIELD_RANGE};
        weir_assert(policy_select_ranges((struct fields){&own, 1}, METHOD_GET, selected, 1700000000,
                                         &again) == POLICY_PARTS);
        weir_assert(again.count == 1 && again.spans[0].first == span->first &&
                    again.spans[0].length == span->length && !again.conditional);
    }
}

/* Eight bytes of a length, the request's fields, the stored response's. */
void fuzz_range(const uint8_t *bytes, size_t len)
{
    const int64_t now_s = 1700000000;
    struct policy_selected selected = {.status = 200};
    if (len < sizeof(selected.length))
        return;
    memcpy(&selected.length, bytes, sizeof(selected.length));
    /* A body is no longer than Content-Length can say; short ones have more to them. */
    selected.length >>= 1 + (selected.length & 1) * 48;
    char *text = fuzz_exact_copy(bytes + 8, len - 8);
    struct str rest = str_of(text, len - 8);
    struct fuzz_head asked, stored;
    fuzz_take_head(&rest, &asked);
    fuzz_take_head(&rest, &stored);
    struct fields request = fuzz_fields(&asked);
    struct appender out = appender_on(room[0], ROOM);
    fuzz_append_block(&stored, &out);
    char *exact = fuzz_exact_copy(out.ptr, out.len);
    selected.block = str_of(exact, out.len);
    struct policy_ranges ranges, once;
    enum policy_part part = policy_select_ranges(request, METHOD_GET, &selected, now_s, &ranges);
    if (part != POLICY_WHOLE)
        weir_assert(fields_first(request, FIELD_RANGE) != NULL && selected.length > 0);
    if (part == POLICY_PARTS) {
        const struct field *condition = fields_first(request, FIELD_IF_RANGE);
        check_spans(&ranges, &selected);
        check_again(&ranges, &selected);
        weir_assert(ranges.conditional == (condition != NULL));
        /* No condition holds that is weak. */
        weir_assert(condition == NULL || condition->value_len < 2 ||
                    memcmp(condition->value, "W/", 2) != 0);
    }
    /* What arrives is sent the same, or whole. */
    selected.arriving = true;
    enum policy_part arriving = policy_select_ranges(request, METHOD_GET, &selected, now_s, &once);
    weir_assert(arriving == part || (part == POLICY_PARTS && arriving == POLICY_WHOLE));
    if (arriving == POLICY_PARTS) {
        check_spans(&once, &selected);
        weir_assert(once.count == ranges.count &&
                    memcmp(once.spans, ranges.spans, once.count * sizeof(once.spans[0])) == 0);
    }
    selected.status = 206;
    weir_assert(policy_select_ranges(request, METHOD_GET, &selected, now_s, &once) == POLICY_WHOLE);
    selected.status = 200;
    weir_assert(policy_select_ranges(request, METHOD_HEAD, &selected, now_s, &once) ==
                POLICY_WHOLE);
    free(exact);
    free(text);
}

/* ---- freshening ---- */

static unsigned count_lines(struct str block)
{
    unsigned lines = 0;
    for (size_t i = 0; i < block.len; i++) {
        unsigned char c = (unsigned char)block.ptr[i];
        weir_assert(c >= 0x20 || c == '\t' || c == '\r' || c == '\n');
        weir_assert(c != '\n' || block.ptr[i - 1] == '\r');
        lines += c == '\n';
    }
    weir_assert(block.len == 0 || block.ptr[block.len - 1] == '\n');
    return lines;
}

/* The stored response's fields, the 304's. */
void fuzz_freshen(const uint8_t *bytes, size_t len)
{
    char *text = fuzz_exact_copy(bytes, len);
    struct str rest = str_of(text, len);
    struct fuzz_head stored, news;
    fuzz_take_head(&rest, &stored);
    fuzz_take_head(&rest, &news);
    struct appender old = appender_on(room[0], ROOM), fresh = appender_on(room[1], ROOM),
                    again = appender_on(room[2], ROOM);
    fuzz_append_block(&stored, &old);
    struct str block = str_of(old.ptr, old.len);
    struct fields fields = fuzz_fields(&news);
    /* A response has what it has itself. */
    weir_assert(policy_told_by_head(block, 5, fuzz_fields(&stored), -1) != POLICY_TOLD_OTHER);
    weir_assert(policy_told_by_head(block, 5, fields, 4) == POLICY_TOLD_OTHER);
    if (policy_freshen_block(block, fields, &fresh)) {
        struct str updated = str_of(fresh.ptr, fresh.len);
        weir_assert(count_lines(updated) <= stored.count + news.count);
        for (unsigned i = 0; i < news.count; i++) {
            const struct field *f = &news.list[i];
            /* What is of the connection or of the body is not taken over. */
            if (f->id == FIELD_CONNECTION || f->id == FIELD_CONTENT_LENGTH ||
                f->id == FIELD_TRANSFER_ENCODING || f->id == FIELD_VARY)
                weir_assert(
                    str_equal(cache_block_field(updated, f->id), cache_block_field(block, f->id)));
        }
        if (policy_names_stored(block, fields, true))
            weir_assert(policy_names_stored(block, fields, false));
        /* The same 304 once more changes nothing. */
        weir_assert(policy_freshen_block(updated, fields, &again));
        weir_assert(str_equal(updated, str_of(again.ptr, again.len)));
        /* No 304 without fields changes anything. */
        again.len = 0;
        weir_assert(policy_freshen_block(block, (struct fields){NULL, 0}, &again));
        weir_assert(str_equal(block, str_of(again.ptr, again.len)));
    }
    free(text);
}
