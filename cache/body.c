/*
 * Bodies in chunks. A fill owns one while it writes (fill.c); an object shares it when it is too
 * large to lie inside the object (object.c).
 *
 * Chunks are found by bisection, so that an answer that goes out in many pieces does not walk
 * the list each time. The table of chunks may be replaced while it grows, hence the fill's lock;
 * the chunks themselves never move, and what was handed out as a piece stays valid.
 *
 * Life: new (refs 1) → add … → sealed, immutable → last reference released. A pass also forgets:
 * chunks at the front that every reader has taken.
 */
#include "cache/body.h"
#include "cache/budget.h"

/* About one of so many bytes may stay unused. */
#define WASTE_SHARE 20
/* What is less than a whole chunk takes at most so many. */
#define LAST_CHUNKS_MOST 8

struct cache_body *cache_body_new(struct cache *cache)
{
    struct cache_body *body = cache_budget_alloc(cache, sizeof(*body));
    if (body == NULL)
        return NULL;
    *body = (struct cache_body){.cache = cache};
    atomic_init(&body->refs, 1);
    return body;
}

struct cache_body *cache_body_ref(struct cache_body *body)
{
    uint32_t before = atomic_fetch_add_explicit(&body->refs, 1, memory_order_relaxed);
    weir_assert(before > 0);
    return body;
}

void cache_body_release(struct cache_body **from)
{
    struct cache_body *body = weir_take(from);
    if (body == NULL)
        return;
    uint32_t before = atomic_fetch_sub_explicit(&body->refs, 1, memory_order_acq_rel);
    weir_assert(before > 0);
    if (before > 1)
        return;
    for (uint32_t i = body->first; i < body->count; i++)
        cache_budget_free(body->cache, body->chunks[i].bytes);
    cache_budget_free(body->cache, body->chunks);
    cache_budget_free(body->cache, body);
}

void cache_body_seal(struct cache_body *body, uint64_t length)
{
    weir_assert(body->first == 0);
    uint64_t weight = base_allocated_bytes(body);
    if (body->chunks != NULL)
        weight += base_allocated_bytes(body->chunks);
    for (uint32_t i = body->first; i < body->count; i++)
        weight += base_allocated_bytes(body->chunks[i].bytes);
    body->weight = weight;
    body->length = length;
}

/* The rest in one piece, unless the allocator's size for that wastes too much of the whole. */
static size_t last_chunk(uint64_t length, size_t rest)
{
    bool fits = base_size_class(rest) - rest <= length / WASTE_SHARE;
    return fits ? rest : base_size_class_below(rest);
}

size_t cache_body_next_chunk(int64_t length, uint64_t filled, size_t most)
{
    if (length >= 0 && (uint64_t)length > filled) {
        uint64_t rest = (uint64_t)length - filled;
        return rest < most ? last_chunk((uint64_t)length, (size_t)rest) : most;
    }
    /* A share of what is there, so that no more than that stays unused at the end. */
    size_t size = (size_t)(filled / WASTE_SHARE < most ? filled / WASTE_SHARE : most);
    return size > CACHE_CHUNK_FIRST ? base_size_class_below(size) : CACHE_CHUNK_FIRST;
}

bool cache_body_has_place(struct cache_body *body)
{
    if (body->count < body->capacity)
        return true;
    if (body->first * 2 <= body->count || body->count == 0)
        return false;
    memmove(body->chunks, body->chunks + body->first,
            (body->count - body->first) * sizeof(body->chunks[0]));
    body->count -= body->first;
    body->first = 0;
    return true;
}

struct cache_body_chunk *cache_body_set_places(struct cache_body *body,
                                               struct cache_body_chunk *chunks, uint32_t capacity)
{
    struct cache_body_chunk *old = body->chunks;
    weir_assert(capacity > body->count);
    if (body->count > 0)
        memcpy(chunks, old, body->count * sizeof(chunks[0]));
    body->chunks = chunks;
    body->capacity = capacity;
    return old;
}

void cache_body_add(struct cache_body *body, char *bytes, uint64_t start, size_t size)
{
    weir_assert(body->count < body->capacity);
    body->chunks[body->count++] = (struct cache_body_chunk){bytes, start, size};
}

unsigned cache_body_forget(struct cache_body *body, uint64_t offset,
                           struct cache_body_chunk *chunks, unsigned max)
{
    unsigned count = 0;
    for (; count < max && body->first < body->count; body->first++) {
        struct cache_body_chunk *chunk = &body->chunks[body->first];
        if (chunk->start + chunk->size > offset)
            break;
        chunks[count++] = *chunk;
    }
    return count;
}

/* The chunk that holds offset; count when none does. */
static uint32_t find_chunk(const struct cache_body *body, uint64_t offset)
{
    uint32_t low = body->first, high = body->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (body->chunks[middle].start + body->chunks[middle].size <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    weir_assert(low == body->count || body->chunks[low].start <= offset);
    return low;
}

unsigned cache_body_pieces(const struct cache_body *body, uint64_t offset, uint64_t end,
                           struct iovec *pieces, unsigned max)
{
    unsigned count = 0;
    for (uint32_t i = find_chunk(body, offset); offset < end && count < max; i++) {
        weir_assert(i < body->count);
        const struct cache_body_chunk *chunk = &body->chunks[i];
        uint64_t skip = offset - chunk->start;
        uint64_t len = chunk->size - skip;
        if (len > end - offset)
            len = end - offset;
        pieces[count++] = (struct iovec){chunk->bytes + skip, (size_t)len};
        offset += len;
    }
    return count;
}

/* One more chunk of a body that is made in one go. */
static bool copy_chunk(struct cache_body *out, const struct cache_body *body, uint64_t from)
{
    size_t size = cache_body_next_chunk((int64_t)body->length, from, CACHE_CHUNK_MOST);
    char *bytes = cache_budget_alloc_stored(body->cache, size);
    if (bytes == NULL)
        return false;
    struct iovec piece;
    for (size_t done = 0; done < size; done += piece.iov_len) {
        cache_body_pieces(body, from + done, from + size, &piece, 1);
        memcpy(bytes + done, piece.iov_base, piece.iov_len);
    }
    cache_body_add(out, bytes, from, size);
    return true;
}

struct cache_body *cache_body_fit(struct cache_body *body)
{
    if (body->weight - body->length <= body->length / WASTE_SHARE)
        return cache_body_ref(body);
    uint32_t capacity = (uint32_t)(body->length / CACHE_CHUNK_MOST) + LAST_CHUNKS_MOST;
    struct cache_body *out = cache_body_new(body->cache);
    struct cache_body_chunk *chunks =
        out != NULL ? cache_budget_alloc_stored(body->cache, capacity * sizeof(*chunks)) : NULL;
    if (chunks != NULL)
        cache_body_set_places(out, chunks, capacity);
    uint64_t done = 0;
    while (chunks != NULL && done < body->length && copy_chunk(out, body, done))
        done = out->chunks[out->count - 1].start + out->chunks[out->count - 1].size;
    if (done < body->length) {
        cache_body_release(&out);
        return cache_body_ref(body);
    }
    cache_body_seal(out, body->length);
    return out;
}
