/*
 * What a fetch makes of a response head: judged by the cache's rules, published to the readers, or,
 * after a 304, merged into what is stored. Called by the fetch machine only.
 */
#include "proxy/fetch.h"

/* The leader's head as a copy in the arena: one piece of bytes, and rows that point into it. */
bool fetch_keep_vary_fields(struct fetch *fetch, const struct request *request)
{
    struct fields fields = http1_fields(request->head);
    const struct field *last;
    struct field *rows;
    struct str bytes;

    fetch->asked.count = 0;
    if (!fetch->findable || fields.count == 0)
        return true;
    last = &fields.list[fields.count - 1];
    bytes =
        str_of(fields.list[0].name, (size_t)(last->value + last->value_len - fields.list[0].name));
    rows = arena_alloc(&fetch->arena, fields.count * sizeof(*rows));
    if (!rows)
        return false;
    memcpy(rows, fields.list, fields.count * sizeof(*rows));
    fetch->asked.list = rows;
    fetch->asked.count = fields.count;
    const char *from = bytes.ptr;
    bytes = arena_copy(&fetch->arena, bytes);
    if (!bytes.ptr)
        return false;
    for (unsigned i = 0; i < fields.count; i++) {
        rows[i].name = bytes.ptr + (rows[i].name - from);
        rows[i].value = bytes.ptr + (rows[i].value - from);
    }
    return true;
}

/* Safe methods change nothing (RFC 9110 §9.2.1). */
static bool is_safe(enum method method)
{
    return method == METHOD_GET || method == METHOD_HEAD || method == METHOD_OPTIONS ||
           method == METHOD_TRACE || method == METHOD_QUERY;
}

bool fetch_note_invalidation(struct fetch *fetch, const struct request *request)
{
    const struct http1_head *head = request->head;
    struct appender key = fetch_scratch(fetch);

    if (is_safe(head->method))
        return true;
    request_write_key(request, &key);
    fetch->invalidates = arena_copy(&fetch->arena, str_of(key.ptr, key.len));
    return fetch->invalidates.ptr != NULL;
}

/* `stored` as in policy_exchange. */
static enum policy_reason judge(struct fetch *fetch, unsigned status, struct fields fields,
                                const struct cache_meta *stored, int64_t wall_s,
                                struct cache_meta *meta)
{
    struct policy_exchange exchange = {
        .method = fetch->method,
        .describes_target = fetch_describes_target(fetch),
        .request = &fetch->directives,
        .route = &fetch->route->cache,
        .status = status,
        .fields = fields,
        .wall_now_s = wall_s,
        .now_ms = fetch->worker->loop.now_ms,
        .requested_ms = fetch->requested_ms,
        .stored = stored,
    };

    return policy_judge(&exchange, meta);
}

bool fetch_publish_head(struct fetch *fetch)
{
    const struct http1_head *head = &fetch->head;
    struct appender block = fetch_scratch(fetch), vary;
    struct cache_fill_head out = {.bodiless = head->body == HTTP1_BODY_NONE, .content_length = -1};
    int64_t wall_s = worker_wall_s();

    out.reason = judge(fetch, head->status, http1_fields(head), NULL, wall_s, &out.meta);
    if (!fetch->cacheable && !fetch->findable)
        out.reason = POLICY_METHOD;
    out.now_ms = fetch->worker->loop.now_ms;
    /* A part does not tell whether the whole would be stored: what is known of it ends in time. */
    if (fetch->cacheable && out.reason != POLICY_PARTIAL)
        out.hit_for_miss_ms = fetch->route->cache.hit_for_miss_ms;
    if (!forward_response_block(head, wall_s, &block))
        return false;
    out.block = str_of(block.ptr, block.len);
    if (head->has_content_length)
        out.content_length = (int64_t)head->content_length;
    else if (head->body == HTTP1_BODY_NONE && fetch->method != METHOD_HEAD && head->status != 304 &&
             head->status != 204)
        out.content_length = 0;
    vary = appender_on(block.ptr + block.len, block.cap - block.len);
    if (out.reason == POLICY_STORE && (out.meta.flags & CACHE_HAS_VARY)) {
        if (!cache_vary_build(http1_fields(head), http1_fields(&fetch->asked), &vary))
            out.reason = POLICY_VARY_STAR;
        out.vary = str_of(vary.ptr, vary.len);
    }
    return cache_fill_set_head(fetch->fill, &out);
}

/* The updated block as fields again, so that the rules can look at it; what of the 304 is never
 * stored counts too. */
static bool read_block(struct fetch *fetch, struct appender *block)
{
    struct http1_limits limits = {.head_bytes = block->cap, .fields = fetch->head.capacity};

    policy_append_unkept(http1_fields(&fetch->head), block);
    append_lit(block, "\r\n");
    http1_head_reset(&fetch->head);
    return !block->overflow &&
           http1_parse_trailers(&fetch->head, block->ptr, block->len, &limits) > 0;
}

/* A 304 without Date gets one, so that the age starts anew. */
static void date_not_modified(struct fetch *fetch, char date[DATE_BYTES])
{
    struct http1_head *head = &fetch->head;

    if (fields_first(http1_fields(head), FIELD_DATE) || head->count == head->capacity)
        return;
    date_format(worker_wall_s(), date);
    head->list[head->count++] = (struct field){
        .name = "Date",
        .name_len = 4,
        .value = date,
        .value_len = DATE_BYTES,
        .id = FIELD_DATE,
    };
}

enum freshen fetch_take_not_modified(struct fetch *fetch)
{
    struct cache *cache = fetch->worker->cache;
    struct cache_meta old = cache_object_meta(fetch->stored), meta;
    struct appender block = fetch_scratch(fetch);
    struct cache_object *object;
    enum policy_reason reason;
    char date[DATE_BYTES];
    struct str updated;

    date_not_modified(fetch, date);
    if (!policy_freshen_block(cache_object_block(fetch->stored), http1_fields(&fetch->head),
                              &block))
        return FRESHEN_OTHER;
    updated = str_of(block.ptr, block.len);
    if (!read_block(fetch, &block))
        return FRESHEN_OTHER;
    reason =
        judge(fetch, old.status, http1_fields(&fetch->head), &old, worker_wall_s(), &meta);
    meta.status = old.status;
    meta.flags |= old.flags & CACHE_HAS_VARY;
    object = cache_freshen(cache, &fetch->key, fetch->stored, &meta, updated,
                           fetch->worker->loop.now_ms);
    if (!object)
        return FRESHEN_NO_MEMORY;
    if (reason != POLICY_STORE)
        cache_purge(cache, &fetch->key); /* it may be given to who asked, and no longer be kept */
    cache_fill_use_object(fetch->fill, object, fetch->worker->loop.now_ms,
                          fetch->route->cache.hit_for_miss_ms);
    cache_object_release(&object);
    fetch->head.body = HTTP1_BODY_NONE;
    fetch->freshened = true;
    return FRESHENED;
}
