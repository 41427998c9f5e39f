/*
 * cache/body: the bytes of a large or growing body, in chunks that never move. Shared by
 * reference count between the fill that writes it, the object it becomes, and that object's
 * freshened successors.
 */
#ifndef WEIR_CACHE_BODY_H
#define WEIR_CACHE_BODY_H

#include "cache/cache.h"

#define CACHE_CHUNK_MOST ((size_t)256 << 10)
#define CACHE_CHUNK_FIRST ((size_t)4 << 10)

struct cache_body_chunk {
    char *bytes;    /* owned */
    uint64_t start; /* of the body */
    size_t size;
};

/* While it grows, all but refs is guarded by the lock of its fill; after that it does not change.
   */
struct cache_body {
    _Atomic uint32_t refs;
    uint32_t first, count, capacity; /* chunks before `first` were forgotten */
    uint32_t indexed;        /* objects of the index that have it; guarded by their shard's lock */
    struct cache *cache;     /* borrowed: whose budget it is */
    uint64_t length, weight; /* set at its end; weight: what the allocator set aside for it */
    struct cache_body_chunk *chunks; /* owned */
};

/* NULL when memory is out. */
struct cache_body *cache_body_new(struct cache *cache);
struct cache_body *cache_body_ref(struct cache_body *body);
/* Leaves NULL; frees at the last reference. */
void cache_body_release(struct cache_body **body);

/* The end: nothing is added or dropped after this. */
void cache_body_seal(struct cache_body *body, uint64_t length);
/* How large the next chunk should be, for a body of `length` (-1: not known) of which `filled` are
   there. */
size_t cache_body_next_chunk(int64_t length, uint64_t filled, size_t most);
/* Makes place for one more chunk by forgetting places of dropped ones; false: a larger array is
   needed. */
bool cache_body_has_place(struct cache_body *body);
/* Takes the larger array, returns the old one to be freed. */
struct cache_body_chunk *cache_body_set_places(struct cache_body *body,
                                               struct cache_body_chunk *chunks, uint32_t capacity);
/* There is place. Takes bytes, which lie behind all others. */
void cache_body_add(struct cache_body *body, char *bytes, uint64_t start, size_t size);
/* Forgets chunks that end at or before offset, at most `max`, which are handed out. Returns how many. */
unsigned cache_body_forget(struct cache_body *body, uint64_t offset,
                           struct cache_body_chunk *chunks, unsigned max);
/* Bytes from offset up to end, as at most `max` pieces. */
unsigned cache_body_pieces(const struct cache_body *body, uint64_t offset, uint64_t end,
                           struct iovec *pieces, unsigned max);
/* A sealed body, or, when that wastes too much (it grew without a known length, and is not large),
   a copy that does not. A reference of the caller's. */
struct cache_body *cache_body_fit(struct cache_body *body);

#endif
