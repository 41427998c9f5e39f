/*
 * What a fetch makes of a response head: judged by the cache's rules, published to the readers, or,
 * after a 304, merged into what is stored. Called by the fetch machine only.
 */
#include "proxy/fetch.h"

#define ASKED_VARIANTS 8 /* whose entity-tags go to the origin */
#define VARIANTS_MOST 64 /* that a key has */

/* The leader's head as a copy in the arena: one piece of bytes, and rows that point into it. */
bool fetch_keep_vary_fields(struct fetch *fetch, const struct request *request)
{
    struct fields fields = http1_fields(request->head);
    const struct field *last;
    struct field *rows;
    struct str bytes;

    if (fields.count == 0)
        return true;
    last = &fields.list[fields.count - 1];
    bytes =
        str_of(fields.list[0].name, (size_t)(last->value + last->value_len - fields.list[0].name));
    rows = arena_alloc(&fetch->arena, fields.count * sizeof(*rows));
    if (!rows)
        return false;
    memcpy(rows, fields.list, fields.count * sizeof(*rows));
    fetch->asked = (struct fields){rows, fields.count};
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

/* What the exchange says, and the rest, which is the same for all of a fetch. */
static enum policy_reason judge(struct fetch *fetch, struct policy_exchange exchange,
                                struct cache_meta *meta)
{
    exchange.describes_target = fetch_is_for_target(fetch) && fetch_describes_target(fetch);
    exchange.request = &fetch->directives;
    exchange.route = &fetch->route->cache;
    exchange.now_ms = fetch->worker->loop.now_ms;
    exchange.requested_ms = fetch->requested_ms;
    return policy_judge(&exchange, meta);
}

/* ---- updates of what is stored --------------------------------------------------------------- */

/* What has no Date gets one, so that the age starts anew. */
static void date_answer(struct fetch *fetch)
{
    struct http1_head *head = &fetch->head;
    char *date;

    if (fields_first(http1_fields(head), FIELD_DATE) || head->count == head->capacity)
        return;
    date = arena_alloc(&fetch->arena, DATE_BYTES);
    if (!date)
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

/* The updated block as fields again, so that the rules can look at it; what of the answer is never
 * stored counts too. */
static bool read_block(struct fetch *fetch, struct appender *block, struct http1_head *out)
{
    struct http1_limits limits = {.head_bytes = block->cap, .fields = fetch->head.capacity};

    policy_append_unkept(http1_fields(&fetch->head), block);
    append_lit(block, "\r\n");
    out->list = arena_alloc(&fetch->arena, fetch->head.capacity * sizeof(*out->list));
    out->capacity = fetch->head.capacity;
    http1_head_reset(out);
    return out->list && !block->overflow &&
           http1_parse_trailers(out, block->ptr, block->len, &limits) > 0;
}

/* Which response takes the updated head. */
enum update {
    UPDATE_STORED, /* the stored one */
    UPDATE_COPY    /* a second one, for what this request selects */
};

struct updated {
    struct cache_object *object; /* owned; NULL: nothing was updated */
    enum policy_reason reason;   /* why it is no longer stored, or POLICY_STORE */
};

/* By the fields of a 304, or of the 200 that a HEAD was given (RFC 9111 §3.2). purges: as in
 * cache_renewal. *out: when FRESHENED. */
static enum freshen update(struct fetch *fetch, struct cache_object *stored, enum update how,
                           const struct cache_purges *purges, struct updated *out)
{
    struct cache *cache = fetch->worker->cache;
    struct cache_meta old = cache_object_meta(stored), meta;
    struct appender block = fetch_scratch(fetch), vary;
    struct cache_renewal renewal = {.key = &fetch->key, .meta = &meta, .purges = purges};
    struct http1_head read = {0};
    struct str selected;

    if (policy_lacks_lifetime(&old, http1_fields(&fetch->head)) ||
        !policy_freshen_block(cache_object_block(stored), http1_fields(&fetch->head), &block))
        return FRESHEN_OTHER;
    renewal.block = str_of(block.ptr, block.len);
    if (!read_block(fetch, &block, &read))
        return FRESHEN_OTHER;
    out->reason = judge(fetch,
                        (struct policy_exchange){.method = METHOD_GET,
                                                 .status = old.status,
                                                 .fields = http1_fields(&read),
                                                 .stored = &old,
                                                 .wall_now_s = worker_wall_s()},
                        &meta);
    meta.status = old.status;
    meta.flags |= old.flags & CACHE_HAS_VARY;
    vary = appender_on(block.ptr + block.len, block.cap - block.len);
    if (how == UPDATE_COPY && !cache_vary_build(http1_fields(&read), fetch->asked, &vary))
        return FRESHEN_OTHER;
    selected = str_of(vary.ptr, vary.len);
    renewal.vary = how == UPDATE_COPY ? &selected : NULL;
    renewal.fill = fetch->findable ? fetch->fill : NULL;
    renewal.answer = http1_fields(&fetch->head);
    out->object = cache_renew(cache, stored, &renewal);
    if (!out->object)
        return FRESHEN_NO_MEMORY;
    if (out->reason != POLICY_STORE)
        /* It may be given to who asked, and no longer be kept. */
        cache_drop(cache, &fetch->key, out->object);
    return FRESHENED;
}

/* What may not be given to one with Authorization (RFC 9111 §3.5) learns nothing from its answer. */
static bool is_for_who_asked(const struct fetch *fetch, const struct cache_object *stored)
{
    return !fetch->directives.authorization ||
           (cache_object_meta(stored).flags & CACHE_FOR_AUTHORIZED) != 0;
}

/* It is delivered no more before the origin has been asked, unless that fails. */
static void make_stale(struct fetch *fetch, struct cache_object *stored)
{
    struct cache *cache = fetch->worker->cache;
    int64_t now_ms = fetch->worker->loop.now_ms;
    struct cache_meta meta = cache_object_meta(stored);
    uint32_t age_s = policy_age_s(&meta, now_ms);
    struct cache_object *updated;

    meta.lifetime_s = meta.lifetime_s < age_s ? meta.lifetime_s : age_s;
    meta.stale_while_revalidate_s = 0;
    meta.flags |= CACHE_CUT_SHORT;
    updated = cache_freshen(cache, &fetch->key, stored, &meta, cache_object_block(stored), now_ms);
    if (!updated)
        cache_drop(cache, &fetch->key, stored);
    cache_object_release(&updated);
}

/* The 200 that a HEAD was given updates the stored responses that could have been chosen for it, or
 * makes them stale (RFC 9111 §4.3.5): of those that were there when it was sent, as it may be older
 * than others. */
static void take_head_answer(struct fetch *fetch)
{
    const struct http1_head *head = &fetch->head;
    int64_t length = head->has_content_length ? (int64_t)head->content_length : -1;

    date_answer(fetch);
    for (unsigned i = 0; i < fetch->variants_count; i++) {
        struct cache_object *stored = fetch->variants[i];
        struct updated updated = {0};
        struct cache_meta meta = cache_object_meta(stored);
        enum policy_told told = policy_told_by_head(
            cache_object_block(stored), cache_object_length(stored), http1_fields(head), length);

        if (told == POLICY_TOLD_NOTHING || !is_for_who_asked(fetch, stored))
            continue;
        if (told == POLICY_TOLD_OTHER || meta.status != 200 ||
            update(fetch, stored, UPDATE_STORED, &fetch->purges, &updated) != FRESHENED)
            make_stale(fetch, stored);
        cache_object_release(&updated.object);
    }
}

/* ---- answers that are heads of their own ------------------------------------------------------- */

void fetch_refresh_failed(struct fetch *fetch)
{
    if (fetch->refresh_failed)
        return;
    fetch->refresh_failed = true;
    cell_add(&fetch->worker->stats.refreshes_failed, 1);
    cache_rest(fetch->worker->cache, &fetch->key, fetch->worker->loop.now_ms);
}

/* What the answer means for the stored response that was asked about: an error does not replace one
 * that may be given instead, to anyone or to who asked (RFC 9111 §4.3.3), nor is it a reason not to
 * wait for the next answer; and what a refresh shows to be gone is not delivered any more. */
static void respect_stored(struct fetch *fetch, struct cache_fill_head *head)
{
    struct cache_meta stored;

    if (!fetch->stored)
        return;
    stored = cache_object_meta(fetch->stored);
    if (policy_is_error(head->meta.status) &&
        (policy_outlives_error(&stored, fetch->worker->loop.now_ms) ||
         policy_use_on_error(&stored, &fetch->directives, fetch->worker->loop.now_ms))) {
        head->reason = POLICY_STALE_IF_ERROR;
        head->hit_for_miss_ms = 0;
    }
    if (!fetch->refresh || head->reason == POLICY_STORE)
        return;
    fetch_refresh_failed(fetch);
    if (policy_supersedes(head->meta.status, head->reason))
        cache_drop(fetch->worker->cache, &fetch->key, fetch->stored);
}

bool fetch_publish_head(struct fetch *fetch)
{
    const struct http1_head *head = &fetch->head;
    struct appender block = fetch_scratch(fetch), vary;
    struct cache_fill_head out = {.bodiless = head->body == HTTP1_BODY_NONE, .content_length = -1};
    int64_t wall_s = worker_wall_s();

    if (fetch->method == METHOD_HEAD && fetch->cacheable && head->status == 200)
        take_head_answer(fetch);
    out.reason = judge(fetch,
                       (struct policy_exchange){.method = fetch->method,
                                                .status = head->status,
                                                .fields = http1_fields(head),
                                                .wall_now_s = wall_s},
                       &out.meta);
    if (!fetch->cacheable && !fetch->findable)
        out.reason = POLICY_METHOD;
    out.now_ms = fetch->worker->loop.now_ms;
    /* A part does not tell whether the whole would be stored: what is known of it ends in time. */
    if (fetch->cacheable && out.reason != POLICY_PARTIAL)
        out.hit_for_miss_ms = fetch->route->cache.hit_for_miss_ms;
    respect_stored(fetch, &out);
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
        if (!cache_vary_build(http1_fields(head), fetch->asked, &vary))
            out.reason = POLICY_VARY_STAR;
        out.vary = str_of(vary.ptr, vary.len);
    }
    if (out.reason == POLICY_STORE && fetch->findable &&
        !cache_tags_read(fetch->worker->cache, fetch->key.text, http1_fields(head), &out.tags))
        out.reason = POLICY_NO_MEMORY;
    return cache_fill_set_head(fetch->fill, &out);
}

/* ---- 304 -------------------------------------------------------------------------------------- */

/* Of a request that selected none of the variants that were asked about (RFC 9111 §4.3.4). */
static struct cache_object *choose_variant(const struct fetch *fetch)
{
    for (unsigned i = 0; i < fetch->variants_count; i++)
        if (policy_names_stored(cache_object_block(fetch->variants[i]), http1_fields(&fetch->head),
                                false))
            return fetch->variants[i];
    return NULL;
}

/* All stored responses that the 304's strong entity-tag names are updated (RFC 9111 §4.3.4), but for
 * those that have come since it was asked for. */
static void freshen_others(struct fetch *fetch, const struct cache_object *chosen)
{
    struct cache_object *found[VARIANTS_MOST];
    unsigned count = cache_variants(fetch->worker->cache, &fetch->key, NULL,
                                    fetch->worker->loop.now_ms, found, VARIANTS_MOST);

    for (unsigned i = 0; i < count; i++) {
        struct updated updated = {0};

        if (found[i] != chosen && is_for_who_asked(fetch, found[i]) &&
            cache_object_meta(found[i]).born_ms <= fetch->requested_ms &&
            policy_names_stored(cache_object_block(found[i]), http1_fields(&fetch->head), true))
            update(fetch, found[i], UPDATE_STORED, NULL, &updated);
        cache_object_release(&updated.object);
        cache_object_release(&found[i]);
    }
}

enum freshen fetch_take_not_modified(struct fetch *fetch)
{
    struct cache_object *chosen = fetch->stored ? fetch->stored : choose_variant(fetch);
    struct updated given = {0}, chosen_updated = {0};
    enum freshen result = FRESHEN_OTHER;

    if (!chosen)
        return FRESHEN_OTHER;
    date_answer(fetch);
    if (cache_object_meta(chosen).flags & CACHE_HAS_VARY)
        freshen_others(fetch, chosen);
    if (!fetch->stored)
        result = update(fetch, chosen, UPDATE_COPY, NULL, &given);
    if (fetch->stored || result == FRESHENED)
        result =
            update(fetch, chosen, UPDATE_STORED, NULL, fetch->stored ? &given : &chosen_updated);
    cache_object_release(&chosen_updated.object);
    if (!given.object)
        return result;
    cache_fill_use_object(fetch->fill, given.object, given.reason, fetch->worker->loop.now_ms,
                          fetch->route->cache.hit_for_miss_ms);
    cache_object_release(&given.object);
    fetch->head.body = HTTP1_BODY_NONE;
    fetch->freshened = true;
    return FRESHENED;
}

/* ---- variants -------------------------------------------------------------------------------- */

bool fetch_find_variants(struct fetch *fetch)
{
    bool by_head = fetch->method == METHOD_HEAD;
    struct fields asked = fetch->asked;
    struct cache_object *found[ASKED_VARIANTS];

    if (by_head)
        fetch->purges = cache_count_purges(fetch->worker->cache, &fetch->key);
    unsigned count = cache_variants(fetch->worker->cache, &fetch->key, by_head ? &asked : NULL,
                                    fetch->worker->loop.now_ms, found, ASKED_VARIANTS);

    fetch->variants = arena_alloc(&fetch->arena, sizeof(found));
    for (unsigned i = 0; i < count; i++) {
        struct str etag = cache_block_field(cache_object_block(found[i]), FIELD_ETAG);
        struct cache_meta meta = cache_object_meta(found[i]);

        /* A condition is about a 200 (RFC 9110 §13.2.1). */
        if (!fetch->variants || !(by_head || (meta.status == 200 && policy_is_entity_tag(etag) &&
                                              is_for_who_asked(fetch, found[i])))) {
            cache_object_release(&found[i]);
            continue;
        }
        fetch->variants[fetch->variants_count++] = found[i];
    }
    return fetch->variants != NULL;
}

void fetch_release_variants(struct fetch *fetch)
{
    while (fetch->variants_count > 0)
        cache_object_release(&fetch->variants[--fetch->variants_count]);
}
