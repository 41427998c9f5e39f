/*
 * Objects: complete responses, immutable (but for the lifetime, which a soft purge ends) and shared
 * by reference count. Made by a fill at its
 * head (small body of known length: the fill writes straight into it) or at its end (fill.c), by
 * freshening (cache.c), or for Weir's own answers. Read by any thread that holds a reference,
 * without a lock.
 *
 * Life of an object:
 *   new (refs 1: its maker's) → in the index (the index has one reference; in the small or
 *       the main queue)
 *     → replaced, purged, expired or evicted: out of the index, found no more; readers go
 *       on
 *     → last reference released: freed, and only then no longer counted (until then it is
 *       pinned).
 */
#include "cache/object.h"
#include "cache/budget.h"

#include <stdlib.h>

#define OBJECT_MAGIC 0x0b1ec7edu

/* A split has to save so much. */
#define SPLIT_SAVES 32u

typedef uint64_t __attribute__((may_alias)) meta_word;
_Static_assert(sizeof(struct cache_meta) % sizeof(meta_word) == 0, "read word by word");

/* ---- forms ---- */

static char *text(const struct cache_object *object)
{
    return (char *)cache_object_text(object);
}

static enum cache_object_form form_of(const struct cache_object *object)
{
    return (enum cache_object_form)(object->text_at & ~CACHE_FORM_TAGGED);
}

struct split {
    char *rest; /* owned */
    uint32_t first_len;
};

static struct split split_of(const struct cache_object *object)
{
    struct split split;
    memcpy(&split.rest, object->bytes, sizeof(split.rest));
    memcpy(&split.first_len, object->bytes + sizeof(split.rest), sizeof(split.first_len));
    return split;
}

static void set_split(struct cache_object *object, struct split split)
{
    memcpy(object->bytes, &split.rest, sizeof(split.rest));
    memcpy(object->bytes + sizeof(split.rest), &split.first_len, sizeof(split.first_len));
}

/* How many bytes at the end of the body had better lie apart; 0: none. `bytes` are all of the
   object's. */
static size_t plan_split(size_t bytes, size_t body)
{
    size_t whole = base_size_class(bytes);
    if (whole - bytes < SPLIT_SAVES)
        return 0;
    bytes += CACHE_FORM_SPLIT;
    size_t first = base_size_class_below(bytes), rest = bytes - first;
    if (rest == 0 || rest > body || first + base_size_class(rest) + SPLIT_SAVES > whole)
        return 0;
    return rest;
}

static void *alloc(struct cache *cache, const struct cache_object_parts *parts, size_t bytes)
{
    return cache == NULL   ? malloc(bytes)
           : parts->stored ? cache_budget_alloc_stored(cache, bytes)
                           : cache_budget_alloc(cache, bytes);
}

static void dispose(struct cache *cache, void *ptr)
{
    if (cache != NULL)
        cache_budget_free(cache, ptr);
    else
        free(ptr);
}

/* The two allocations; NULL when memory is out. */
static struct cache_object *alloc_split(struct cache *cache, const struct cache_object_parts *parts,
                                        size_t bytes, size_t rest)
{
    struct cache_object *object = alloc(cache, parts, bytes + CACHE_FORM_SPLIT - rest);
    char *end = object != NULL ? alloc(cache, parts, rest) : NULL;
    if (end == NULL) {
        if (object != NULL)
            dispose(cache, object);
        return NULL;
    }
    /* The members come later, and leave these bytes alone. */
    set_split(object, (struct split){end, (uint32_t)(parts->inline_len - rest)});
    return object;
}

/* ---- tags ---- */

/* Each member by itself: the tags are read without the lock, beside writers of `seen`. */
static char *member(const struct cache_object *object, size_t offset)
{
    return (char *)object->bytes + form_of(object) + offset;
}
#define TAGGING(object, name) member(object, offsetof(struct cache_object_tagging, name))

static void set_tags(struct cache_object *object, struct cache_tags *tags)
{
    memcpy(TAGGING(object, tags), &tags, sizeof(tags));
}

struct cache_tags *cache_object_tags(const struct cache_object *object)
{
    if (!cache_object_is_tagged(object))
        return NULL;
    struct cache_tags *tags;
    memcpy(&tags, TAGGING(object, tags), sizeof(tags));
    return tags;
}

uint64_t cache_object_seen(const struct cache_object *object)
{
    uint64_t seen;
    memcpy(&seen, TAGGING(object, seen), sizeof(seen));
    return seen;
}

void cache_object_set_seen(struct cache_object *object, uint64_t seen)
{
    memcpy(TAGGING(object, seen), &seen, sizeof(seen));
}

/* ---- making ---- */

struct cache_object *cache_object_new(struct cache *cache, const struct cache_object_parts *parts)
{
    weir_assert(parts->vary.len <= UINT16_MAX && parts->block.len <= UINT32_MAX);
    weir_assert(parts->key.text.len <= UINT32_MAX && parts->inline_len <= UINT32_MAX);
    weir_assert(parts->body == NULL || parts->inline_len == 0);
    enum cache_object_form form = parts->body ? CACHE_FORM_CHUNKS : CACHE_FORM_WHOLE;
    size_t tagging = parts->tags != NULL ? CACHE_FORM_TAGGED : 0;
    size_t bytes = sizeof(struct cache_object) + form + tagging + parts->key.text.len +
                   parts->vary.len + parts->block.len + parts->inline_len;
    size_t rest = parts->stored ? plan_split(bytes, parts->inline_len) : 0;
    struct cache_object *object;
    if (rest > 0) {
        form = CACHE_FORM_SPLIT;
        object = alloc_split(cache, parts, bytes, rest);
    } else {
        object = alloc(cache, parts, bytes);
    }
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
        .text_at = (uint8_t)(form + tagging),
        .queue = CACHE_QUEUE_NONE,
    };
    atomic_init(&object->refs, 1);
    list_init(&object->queue_link);
    if (parts->body != NULL) {
        struct cache_body *body = cache_body_ref(parts->body);
        memcpy(object->bytes, &body, sizeof(body));
    }
    if (parts->tags != NULL) {
        set_tags(object, parts->tags);
        cache_object_set_seen(object, 0);
    }
    struct appender out =
        appender_on(text(object), parts->key.text.len + parts->vary.len + parts->block.len);
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
    struct iovec piece = {(char *)body.ptr, body.len};
    if (object != NULL)
        cache_object_write_body(object, &piece, 1);
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
    if (object->pinned_bytes > 0)
        cache_budget_unpin(object->cache, object->pinned_bytes);
    struct cache_body *body = cache_object_body(object);
    cache_body_release(&body);
    if (form_of(object) == CACHE_FORM_SPLIT)
        dispose(object->cache, split_of(object).rest);
    if (cache_object_is_tagged(object))
        cache_tags_free(object->cache, cache_object_tags(object));
    object->magic = 0;
    dispose(object->cache, object);
}

/* As whole words, each at once: a soft purge may be changing the lifetime. */
struct cache_meta cache_object_meta(const struct cache_object *object)
{
    struct cache_meta meta;
    const meta_word *from = (const meta_word *)&object->meta;
    meta_word *to = (meta_word *)&meta;
#pragma GCC unroll 8
    for (size_t i = 0; i < sizeof(meta) / sizeof(*to); i++)
        to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
    return meta;
}

void cache_object_soften(struct cache_object *object, int64_t now_ms)
{
    uint32_t age_s = policy_age_s(&object->meta, now_ms);
    uint16_t flags = object->meta.flags | CACHE_CUT_SHORT;
    if (age_s >= object->meta.lifetime_s)
        return;
    __atomic_store_n(&object->meta.flags, flags, __ATOMIC_RELAXED);
    __atomic_store_n(&object->meta.lifetime_s, age_s, __ATOMIC_RELAXED);
}

struct str cache_object_vary(const struct cache_object *object)
{
    return str_of(text(object) + object->key_len, object->vary_len);
}

struct str cache_object_block(const struct cache_object *object)
{
    return str_of(text(object) + object->key_len + object->vary_len, object->block_len);
}

static char *behind_head(const struct cache_object *object)
{
    return text(object) + object->key_len + object->vary_len + object->block_len;
}

char *cache_object_place(const struct cache_object *object, uint64_t offset, size_t *len)
{
    uint64_t first = object->inline_len;
    if (form_of(object) == CACHE_FORM_SPLIT) {
        struct split split = split_of(object);
        if (offset >= split.first_len) {
            *len = (size_t)(object->inline_len - offset);
            return split.rest + (offset - split.first_len);
        }
        first = split.first_len;
    }
    *len = (size_t)(first - offset);
    return behind_head(object) + offset;
}

unsigned cache_object_pieces_upto(const struct cache_object *object, uint64_t offset, uint64_t end,
                                  struct iovec *pieces, unsigned max)
{
    unsigned count = 0;
    for (size_t len; offset < end && count < max; offset += len) {
        char *at = cache_object_place(object, offset, &len);
        if (len > end - offset)
            len = (size_t)(end - offset);
        pieces[count++] = (struct iovec){at, len};
    }
    return count;
}

void cache_object_write_body(struct cache_object *object, const struct iovec *pieces,
                             unsigned count)
{
    uint64_t offset = 0;
    for (unsigned i = 0; i < count; i++) {
        const char *from = pieces[i].iov_base;
        size_t room;
        for (size_t left = pieces[i].iov_len; left > 0; left -= room, from += room) {
            char *to = cache_object_place(object, offset, &room);
            room = room < left ? room : left;
            memcpy(to, from, room);
            offset += room;
        }
    }
}

struct cache_body *cache_object_body(const struct cache_object *object)
{
    struct cache_body *body = NULL;
    if (form_of(object) == CACHE_FORM_CHUNKS)
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
    return cache_object_pieces_upto(object, offset, object->inline_len, pieces, max);
}

static uint64_t in_itself(const struct cache_object *object)
{
    uint64_t bytes = base_allocated_bytes(object);
    if (form_of(object) == CACHE_FORM_SPLIT)
        bytes += base_allocated_bytes(split_of(object).rest);
    if (cache_object_is_tagged(object))
        bytes += base_allocated_bytes(cache_object_tags(object));
    return bytes;
}

uint64_t cache_object_weight(const struct cache_object *object)
{
    const struct cache_body *body = cache_object_body(object);
    return in_itself(object) + (body != NULL ? body->weight : 0);
}

uint64_t cache_object_body_weight(const struct cache_object *object)
{
    const struct cache_body *body = cache_object_body(object);
    return body != NULL ? body->weight : object->inline_len;
}

/* A body that a freshened successor has too, or a fill that is still being read, counts there. */
static uint64_t own_bytes(const struct cache_object *object)
{
    const struct cache_body *body = cache_object_body(object);
    bool shared = body != NULL && atomic_load_explicit(&body->refs, memory_order_relaxed) > 1;
    return in_itself(object) + (body != NULL && !shared ? body->weight : 0);
}

void cache_object_leave_index(struct cache_object *object)
{
    object->pinned_bytes = 0;
    /* Nobody can find it any more, so that one reference is ours. */
    if (atomic_load_explicit(&object->refs, memory_order_relaxed) > 1) {
        object->pinned_bytes = own_bytes(object);
        cache_budget_pin(object->cache, object->pinned_bytes);
    }
    cache_object_release(&object);
}
