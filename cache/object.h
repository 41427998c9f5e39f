/*
 * cache/object: a complete response in one allocation.
 */
#ifndef WEIR_CACHE_OBJECT_H
#define WEIR_CACHE_OBJECT_H

#include "cache/body.h"
#include "cache/cache.h"
#include "cache/tags.h"

/* Bodies up to here lie inside the object. */
#define CACHE_INLINE_MOST ((uint64_t)16 << 10)

enum cache_queue {
    CACHE_QUEUE_NONE, /* not in the index */
    CACHE_QUEUE_SMALL,
    CACHE_QUEUE_MAIN
};

/* What an object begins with tells where its body is; the values are the sizes of that. */
enum cache_object_form {
    CACHE_FORM_WHOLE = 0,                            /* nothing: the body lies behind the head */
    CACHE_FORM_CHUNKS = sizeof(struct cache_body *), /* owned reference: a large body */
    /* its end lies apart, as the allocator has no good size for the whole */
    CACHE_FORM_SPLIT = sizeof(char *) + sizeof(uint32_t)
};
/* Behind what the form needs, where a response has tags; a bit of text_at that no form has. */
struct cache_object_tagging {
    struct cache_tags *tags; /* owned */
    /* guarded by the shard's lock: the last purge in the log that it was compared with */
    uint64_t seen;
};
#define CACHE_FORM_TAGGED sizeof(struct cache_object_tagging)
_Static_assert((CACHE_FORM_TAGGED & (CACHE_FORM_CHUNKS | CACHE_FORM_SPLIT)) == 0,
               "a bit of its own");

/* One per stored response: every byte of it is paid a million times. */
struct cache_object {
    uint32_t magic;
    _Atomic uint32_t refs;
    struct cache *cache; /* borrowed: whose budget it is; NULL: Weir's own answer, in nobody's */
    uint64_t hash;
    struct cache_meta meta;
    uint32_t key_len, block_len, inline_len;
    uint16_t vary_len;
    /* where in `bytes` the key begins: enum cache_object_form, and CACHE_FORM_TAGGED */
    uint8_t text_at;
    /* guarded by the shard's lock */
    uint8_t queue : 2; /* enum cache_queue */
    uint8_t frequency : 2;
    union {
        struct cache_object *next; /* in its bucket; or among what leaves the index */
        uint64_t pinned_bytes;     /* out of the index and still read: what it counts for there */
    };
    struct list_link queue_link;
    /* fixed: [what the form needs], [tagging], key, vary, block, [body or its beginning] */
    char bytes[];
};
_Static_assert(sizeof(struct cache_object) == 88, "an object's overhead");

struct cache_object_parts {
    struct cache_key key;
    struct cache_meta meta;
    struct str vary, block;
    struct cache_tags *tags; /* taken over by the object, if there is one; or NULL */
    bool stored;             /* to be stored: leaves the reserve of the budget alone */
    uint64_t inline_len;     /* room for a body inside it */
    struct cache_body *body; /* or a large one: reference taken */
};
/* NULL when memory is out. An inline body is not written yet. */
struct cache_object *cache_object_new(struct cache *cache, const struct cache_object_parts *parts);

/* Inline, as every hit needs them. */
static inline const char *cache_object_text(const struct cache_object *object)
{
    return object->bytes + object->text_at;
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

static inline bool cache_object_is_tagged(const struct cache_object *object)
{
    return (object->text_at & CACHE_FORM_TAGGED) != 0;
}

/* NULL when it has none. */
struct cache_tags *cache_object_tags(const struct cache_object *object);
/* Of a tagged one; under the shard's lock, or while nobody else knows it. */
uint64_t cache_object_seen(const struct cache_object *object);
void cache_object_set_seen(struct cache_object *object, uint64_t seen);
/* It is stale from now on. Under the shard's lock; those who read it may or may not see that. */
void cache_object_soften(struct cache_object *object, int64_t now_ms);

struct str cache_object_vary(const struct cache_object *object);
/* Where byte `offset` of a body that is not in chunks lies, and how many lie there in one piece. */
char *cache_object_place(const struct cache_object *object, uint64_t offset, size_t *len);
/* Pieces of it from offset up to end, at most `max`; returns how many. */
unsigned cache_object_pieces_upto(const struct cache_object *object, uint64_t offset, uint64_t end,
                                  struct iovec *pieces, unsigned max);
/* Fills in the body of an object that nobody else knows yet. */
void cache_object_write_body(struct cache_object *object, const struct iovec *pieces,
                             unsigned count);
/* NULL when the body is not in chunks. */
struct cache_body *cache_object_body(const struct cache_object *object);
/* What the allocator set aside for it and its body. */
uint64_t cache_object_weight(const struct cache_object *object);
/* The body's share of it. */
uint64_t cache_object_body_weight(const struct cache_object *object);
/* Drops the index's reference; what is still being read is counted as pinned until it is freed. */
void cache_object_leave_index(struct cache_object *object);

#endif
