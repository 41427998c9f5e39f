/*
 * Objects: complete responses, immutable and shared by reference count. Made by a fill at its
 * head (small body of known length: the fill writes straight into it) or at its end (fill.c), by
 * freshening (cache.c), or for Weir's own answers. Read by any thread that holds a reference,
 * without a lock.
 *
 * Life of an object:
 *   new (refs 1: its maker's) → in the index (the index has one reference; in the small or
 *       the main queue)
 *     → replaced, purged, expired or evicted: out of the index, found no more; readers go
 *       on
 *     → last reference released: freed, and only then no longer counted.
 */
#include "cache/object.h"
#include "cache/budget.h"

#include <stdlib.h>

#define OBJECT_MAGIC 0x0b1ec7edu

static char *after_pointer(const struct cache_object *object)
{
    return (char *)cache_object_text(object);
}

struct cache_object *cache_object_new(struct cache *cache, const struct cache_object_parts *parts)
{
    weir_assert(parts->vary.len <= UINT16_MAX && parts->block.len <= UINT32_MAX);
    weir_assert(parts->key.text.len <= UINT32_MAX && parts->inline_len <= UINT32_MAX);
    weir_assert(parts->body == NULL || parts->inline_len == 0);
    size_t bytes = sizeof(struct cache_object) + (parts->body ? sizeof(parts->body) : 0) +
                   parts->key.text.len + parts->vary.len + parts->block.len + parts->inline_len;
    struct cache_object *object = cache ? cache_budget_alloc(cache, bytes) : malloc(bytes);
    if (object == NULL)
        return NULL;
    *object = (struct cache_object){
        .magic = OBJECT_MAGIC,
        .cache = cache,
        .hash = parts->key.hash,
        .meta = parts->meta,
        .key_len = (uint32_t)parts->key.text.len,
        .block_len = (uint32_t)parts->block.len,
        .inline_len = (uint32_t)parts->inline_len,
        .vary_len = (uint16_t)parts->vary.len,
        .large = parts->body != NULL,
        .queue = CACHE_QUEUE_NONE,
    };
    atomic_init(&object->refs, 1);
    list_init(&object->queue_link);
    if (parts->body != NULL) {
        struct cache_body *body = cache_body_ref(parts->body);
        memcpy(object->bytes, &body, sizeof(body));
    }
    struct appender out = appender_on(after_pointer(object),
                                      parts->key.text.len + parts->vary.len + parts->block.len);
    append_str(&out, parts->key.text);
    append_str(&out, parts->vary);
    append_str(&out, parts->block);
    weir_assert(!out.overflow && out.len == out.cap);
    return object;
}

struct cache_object *cache_object_private(unsigned status, struct str block, struct str body)
{
    struct cache_object *object = cache_object_new(
        NULL, &(struct cache_object_parts){
                  .meta.status = (uint16_t)status, .block = block, .inline_len = body.len});
    if (object != NULL && body.len > 0)
        memcpy(cache_object_inline_body(object), body.ptr, body.len);
    return object;
}

struct cache_object *cache_object_ref(struct cache_object *object)
{
    weir_check_magic(object, OBJECT_MAGIC);
    uint32_t before = atomic_fetch_add_explicit(&object->refs, 1, memory_order_relaxed);
    weir_assert(before > 0);
    return object;
}

void cache_object_release(struct cache_object **from)
{
    struct cache_object *object = weir_take(from);
    if (object == NULL)
        return;
    weir_check_magic(object, OBJECT_MAGIC);
    uint32_t before = atomic_fetch_sub_explicit(&object->refs, 1, memory_order_acq_rel);
    weir_assert(before > 0);
    if (before > 1)
        return;
    weir_assert(object->queue == CACHE_QUEUE_NONE);
    struct cache_body *body = cache_object_body(object);
    cache_body_release(&body);
    object->magic = 0;
    if (object->cache != NULL)
        cache_budget_free(object->cache, object);
    else
        free(object);
}

struct cache_meta cache_object_meta(const struct cache_object *object)
{
    return object->meta;
}

struct str cache_object_vary(const struct cache_object *object)
{
    return str_of(after_pointer(object) + object->key_len, object->vary_len);
}

struct str cache_object_block(const struct cache_object *object)
{
    return str_of(after_pointer(object) + object->key_len + object->vary_len, object->block_len);
}

char *cache_object_inline_body(struct cache_object *object)
{
    return after_pointer(object) + object->key_len + object->vary_len + object->block_len;
}

struct cache_body *cache_object_body(const struct cache_object *object)
{
    struct cache_body *body = NULL;
    if (object->large)
        memcpy(&body, object->bytes, sizeof(body));
    return body;
}

uint64_t cache_object_length(const struct cache_object *object)
{
    const struct cache_body *body = cache_object_body(object);
    return body != NULL ? body->length : object->inline_len;
}

unsigned cache_object_pieces(const struct cache_object *object, uint64_t offset,
                             struct iovec *pieces, unsigned max)
{
    const struct cache_body *body = cache_object_body(object);
    if (body != NULL)
        return cache_body_pieces(body, offset, body->length, pieces, max);
    if (offset >= object->inline_len || max == 0)
        return 0;
    char *inside = cache_object_inline_body((struct cache_object *)object);
    pieces[0] = (struct iovec){inside + offset, object->inline_len - (size_t)offset};
    return 1;
}

uint64_t cache_object_weight(const struct cache_object *object)
{
    const struct cache_body *body = cache_object_body(object);
    return base_allocated_bytes(object) + (body != NULL ? body->weight : 0);
}
