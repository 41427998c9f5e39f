/*
 * cache/object: a complete response in one allocation.
 */
#ifndef WEIR_CACHE_OBJECT_H
#define WEIR_CACHE_OBJECT_H

#include "cache/body.h"
#include "cache/cache.h"

/* Bodies up to here lie inside the object. */
#define CACHE_INLINE_MOST ((uint64_t)16 << 10)

enum cache_queue {
    CACHE_QUEUE_NONE, /* not in the index */
    CACHE_QUEUE_SMALL,
    CACHE_QUEUE_MAIN
};

/* One per stored response: every byte of it is paid a million times. */
struct cache_object {
    uint32_t magic;
    _Atomic uint32_t refs;
    struct cache *cache; /* borrowed: whose budget it is; NULL: Weir's own answer, in nobody's */
    uint64_t hash;
    struct cache_meta meta;
    uint32_t key_len, block_len, inline_len;
    uint16_t vary_len;
    bool large; /* bytes begins with a struct cache_body *, owned reference */
    /* guarded by the shard's lock */
    uint8_t queue : 2; /* enum cache_queue */
    uint8_t frequency : 2;
    struct cache_object *next; /* in its bucket, newer first; or among what is about to be freed */
    struct list_link queue_link;
    /* fixed: [body pointer] key, vary, block, body */
    char bytes[];
};
_Static_assert(sizeof(struct cache_object) == 80, "an object's overhead");

struct cache_object_parts {
    struct cache_key key;
    struct cache_meta meta;
    struct str vary, block;
    uint64_t inline_len;     /* room for a body inside it */
    struct cache_body *body; /* or a large one: reference taken */
};
/* NULL when memory is out. An inline body is not written yet. */
struct cache_object *cache_object_new(struct cache *cache, const struct cache_object_parts *parts);

/* Inline, as every hit needs them. */
static inline const char *cache_object_text(const struct cache_object *object)
{
    return object->bytes + (object->large ? sizeof(struct cache_body *) : 0);
}

static inline struct str cache_object_key(const struct cache_object *object)
{
    return str_of(cache_object_text(object), object->key_len);
}

static inline bool cache_object_has_key(const struct cache_object *object,
                                        const struct cache_key *key)
{
    return object->hash == key->hash && object->key_len == key->text.len &&
           memcmp(cache_object_text(object), key->text.ptr, key->text.len) == 0;
}

struct str cache_object_vary(const struct cache_object *object);
char *cache_object_inline_body(struct cache_object *object);
/* NULL when the body lies inside. */
struct cache_body *cache_object_body(const struct cache_object *object);
/* What the allocator set aside for it and its body. */
uint64_t cache_object_weight(const struct cache_object *object);

#endif
