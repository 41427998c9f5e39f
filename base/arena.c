/*
 * The arena: memory of one request, given out by moving a pointer and freed whole.
 *
 * A chunk of the usual size is `chunk_bytes` of the allocator, its header included, so that a power
 * of two fills a size class. What does not fit into one gets a chunk of its own, put behind the
 * newest, whose room stays in use. arena_reset() keeps one usual chunk: a request that needs no
 * more of them allocates nothing. The arena owns its chunks. One thread at a time; the owner of the
 * request calls.
 */
#include "base/base.h"

#include <stdlib.h>

#include "base/poison.h"

#define ALIGN_BYTES 8

struct arena_chunk {
    struct arena_chunk *next; /* owned, older */
    size_t room_bytes;
    char room[];
};

_Static_assert(sizeof(struct arena_chunk) % ALIGN_BYTES == 0, "the room must be aligned");

static size_t usual_room(const struct arena *arena)
{
    return arena->chunk_bytes - sizeof(struct arena_chunk);
}

void arena_init(struct arena *arena, size_t chunk_bytes)
{
    weir_assert(chunk_bytes >= sizeof(struct arena_chunk) + ALIGN_BYTES);
    *arena = (struct arena){.chunk_bytes = chunk_bytes / ALIGN_BYTES * ALIGN_BYTES};
}

void arena_lend(struct arena *arena, char *room, size_t bytes)
{
    weir_assert(arena->ptr == NULL && arena->chunks == NULL);
    weir_assert((uintptr_t)room % ALIGN_BYTES == 0);
    arena->ptr = room;
    arena->end = room + bytes;
}

static struct arena_chunk *make_chunk(size_t room_bytes)
{
    struct arena_chunk *chunk = malloc(sizeof *chunk + room_bytes);
    if (!chunk)
        return NULL;
    chunk->next = NULL;
    chunk->room_bytes = room_bytes;
    poison_region(chunk->room, room_bytes);
    return chunk;
}

static void use_room(struct arena *arena, struct arena_chunk *chunk)
{
    arena->ptr = chunk->room;
    arena->end = chunk->room + chunk->room_bytes;
}

static void *alloc_large(struct arena *arena, size_t bytes)
{
    struct arena_chunk *chunk = make_chunk(bytes);
    if (!chunk)
        return NULL;
    struct arena_chunk **at = arena->chunks ? &arena->chunks->next : &arena->chunks;
    chunk->next = *at;
    *at = chunk;
    unpoison_region(chunk->room, bytes);
    return chunk->room;
}

void *arena_alloc(struct arena *arena, size_t bytes)
{
    if (weir_unlikely(bytes > SIZE_MAX / 2))
        return NULL;
    size_t taken = bytes ? (bytes + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES : ALIGN_BYTES;
    if (weir_unlikely(taken > (size_t)(arena->end - arena->ptr))) {
        if (taken > usual_room(arena))
            return alloc_large(arena, taken);
        struct arena_chunk *chunk = make_chunk(usual_room(arena));
        if (!chunk)
            return NULL;
        chunk->next = arena->chunks;
        arena->chunks = chunk;
        use_room(arena, chunk);
    }
    char *ptr = arena->ptr;
    arena->ptr += taken;
    unpoison_region(ptr, bytes);
    return ptr;
}

struct str arena_copy(struct arena *arena, struct str s)
{
    char *ptr = arena_alloc(arena, s.len);
    if (!ptr)
        return str_of(NULL, 0);
    if (s.len > 0)
        memcpy(ptr, s.ptr, s.len);
    return str_of(ptr, s.len);
}

static void free_chunks(struct arena_chunk *chunk, const struct arena_chunk *kept)
{
    while (chunk) {
        struct arena_chunk *next = chunk->next;
        if (chunk != kept)
            free(chunk);
        chunk = next;
    }
}

void arena_reset(struct arena *arena)
{
    struct arena_chunk *kept = arena->chunks;
    while (kept && kept->room_bytes != usual_room(arena))
        kept = kept->next;
    free_chunks(arena->chunks, kept);
    arena->chunks = kept;
    arena->ptr = arena->end = NULL;
    if (kept) {
        kept->next = NULL;
        poison_region(kept->room, kept->room_bytes);
        use_room(arena, kept);
    }
}

void arena_destroy(struct arena *arena)
{
    free_chunks(arena->chunks, NULL);
    arena->chunks = NULL;
    arena->ptr = arena->end = NULL;
}
