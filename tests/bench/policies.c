/*
 * The reference policies. FIFO and LRU are one queue. S3-FIFO is the algorithm of "FIFO queues are
 * all you need for cache eviction" (SOSP '23), by bytes: a small queue of a tenth, a main queue of
 * the rest, and a ghost queue of keys that left the small one. Belady's evicts what is asked for
 * again last; it knows the future, and is an optimum when all weigh the same.
 *
 * A key is a number and is in at most one queue, so that an array of entries is all the index they
 * need.
 */
#include "policies.h"

#include "base/base.h"

#include <stdlib.h>

#define NONE UINT32_MAX
#define FREQUENCY_MOST 3u

/* ---- queues ---- */

enum place {
    PLACE_NONE,
    PLACE_SMALL,
    PLACE_MAIN,
    PLACE_GHOST,
    PLACES
};

struct entry {
    uint32_t newer, older; /* in its queue, NONE at the ends */
    uint8_t place;
    uint8_t frequency;
};

struct queue {
    uint32_t newest, oldest;
    uint64_t bytes; /* of what is in it, or would be */
    uint64_t count;
};

struct policy {
    const struct reference_room *room;
    struct entry *entries;       /* owned; one per key */
    struct queue queues[PLACES]; /* FIFO and LRU have but a main queue */
};

static uint64_t weight(const struct policy *policy, uint32_t key)
{
    return policy->room->weights[key];
}

static void push(struct policy *policy, enum place place, uint32_t key)
{
    struct queue *queue = &policy->queues[place];
    struct entry *entry = &policy->entries[key];
    weir_assert(entry->place == PLACE_NONE);
    *entry = (struct entry){.newer = NONE,
                            .older = queue->newest,
                            .place = (uint8_t)place,
                            .frequency = entry->frequency};
    if (queue->newest != NONE)
        policy->entries[queue->newest].newer = key;
    else
        queue->oldest = key;
    queue->newest = key;
    queue->bytes += weight(policy, key);
    queue->count++;
}

static void take_out(struct policy *policy, uint32_t key)
{
    struct entry *entry = &policy->entries[key];
    struct queue *queue = &policy->queues[entry->place];
    weir_assert(entry->place != PLACE_NONE);
    if (entry->newer != NONE)
        policy->entries[entry->newer].older = entry->older;
    else
        queue->newest = entry->older;
    if (entry->older != NONE)
        policy->entries[entry->older].newer = entry->newer;
    else
        queue->oldest = entry->newer;
    queue->bytes -= weight(policy, key);
    queue->count--;
    entry->place = PLACE_NONE;
}

static void move(struct policy *policy, enum place place, uint32_t key)
{
    take_out(policy, key);
    push(policy, place, key);
}

static bool is_stored(const struct policy *policy, uint32_t key)
{
    enum place place = policy->entries[key].place;
    return place == PLACE_SMALL || place == PLACE_MAIN;
}

static uint64_t stored_bytes(const struct policy *policy)
{
    return policy->queues[PLACE_SMALL].bytes + policy->queues[PLACE_MAIN].bytes;
}

static bool is_full(const struct policy *policy, uint32_t key)
{
    return stored_bytes(policy) + weight(policy, key) > policy->room->bytes;
}

static void init(struct policy *policy, const struct reference_room *room, uint32_t keys)
{
    *policy =
        (struct policy){.room = room, .entries = base_alloc_zero(keys * sizeof(struct entry))};
    for (unsigned i = 0; i < PLACES; i++)
        policy->queues[i].newest = policy->queues[i].oldest = NONE;
}

/* ---- FIFO and LRU ---- */

static void admit_to_one_queue(struct policy *policy, uint32_t key)
{
    while (is_full(policy, key))
        take_out(policy, policy->queues[PLACE_MAIN].oldest);
    push(policy, PLACE_MAIN, key);
}

/* ---- S3-FIFO ---- */

static void evict_main(struct policy *policy)
{
    struct queue *queue = &policy->queues[PLACE_MAIN];
    while (queue->count > 0) {
        uint32_t key = queue->oldest;
        if (policy->entries[key].frequency == 0) {
            take_out(policy, key);
            return;
        }
        policy->entries[key].frequency--;
        move(policy, PLACE_MAIN, key);
    }
}

/* As many bytes' worth of keys as the main queue has room for: "the same number as M", for objects
   of different sizes, as the paper's authors count it. */
static void remember(struct policy *policy, uint32_t key)
{
    struct queue *ghost = &policy->queues[PLACE_GHOST];
    move(policy, PLACE_GHOST, key);
    while (ghost->bytes > policy->room->bytes / 10 * 9)
        take_out(policy, ghost->oldest);
}

static void evict_small(struct policy *policy)
{
    struct queue *queue = &policy->queues[PLACE_SMALL];
    while (queue->count > 0) {
        uint32_t key = queue->oldest;
        if (policy->entries[key].frequency <= 1) {
            remember(policy, key);
            return;
        }
        policy->entries[key].frequency = 0;
        move(policy, PLACE_MAIN, key);
        if (policy->queues[PLACE_MAIN].bytes > policy->room->bytes / 10 * 9)
            evict_main(policy);
    }
}

static void admit_to_s3fifo(struct policy *policy, uint32_t key)
{
    while (is_full(policy, key)) {
        if (policy->queues[PLACE_SMALL].bytes >= policy->room->bytes / 10 ||
            policy->queues[PLACE_MAIN].count == 0)
            evict_small(policy);
        else
            evict_main(policy);
    }
    policy->entries[key].frequency = 0;
    if (policy->entries[key].place == PLACE_GHOST)
        move(policy, PLACE_MAIN, key);
    else
        push(policy, PLACE_SMALL, key);
}

/* ---- the three of them ---- */

/* True: a hit. */
static bool serve(struct policy *policy, enum reference_kind kind, uint32_t key)
{
    struct entry *entry = &policy->entries[key];
    if (is_stored(policy, key)) {
        if (kind == REFERENCE_LRU)
            move(policy, PLACE_MAIN, key);
        else if (entry->frequency < FREQUENCY_MOST)
            entry->frequency++;
        return true;
    }
    if (weight(policy, key) == 0 || weight(policy, key) > policy->room->bytes)
        return false;
    if (kind == REFERENCE_S3FIFO)
        admit_to_s3fifo(policy, key);
    else
        admit_to_one_queue(policy, key);
    return false;
}

static struct reference_outcome replay_queues(enum reference_kind kind,
                                              const struct workload *workload,
                                              const struct reference_room *room)
{
    struct policy policy;
    init(&policy, room, workload->keys);
    struct reference_outcome outcome = {0};
    for (size_t i = 0; i < workload->requests; i++) {
        uint32_t key = workload->key[i];
        if (!serve(&policy, kind, key))
            continue;
        outcome.hits++;
        outcome.hit_bytes += workload->size[key];
    }
    outcome.bytes = stored_bytes(&policy);
    outcome.objects = policy.queues[PLACE_SMALL].count + policy.queues[PLACE_MAIN].count;
    free(policy.entries);
    return outcome;
}

/* ---- Belady ---- */

/* A heap of what is stored, the one asked for again last on top. */
struct future {
    uint32_t *heap, *position; /* owned; position: of each key in the heap, NONE: not stored */
    uint32_t *next;            /* owned; of each stored key, the next request for it */
    uint32_t count, room;
};

static void put(struct future *future, uint32_t at, uint32_t key)
{
    future->heap[at] = key;
    future->position[key] = at;
}

static void rise(struct future *future, uint32_t key)
{
    uint32_t at = future->position[key];
    while (at > 0) {
        uint32_t above = (at - 1) / 2;
        if (future->next[future->heap[above]] >= future->next[key])
            break;
        put(future, at, future->heap[above]);
        at = above;
    }
    put(future, at, key);
}

/* The last of the heap takes the place of the top, and sinks. */
static void drop_top(struct future *future)
{
    future->position[future->heap[0]] = NONE;
    uint32_t key = future->heap[--future->count], at = 0;
    if (future->count == 0)
        return;
    for (;;) {
        uint32_t below = 2 * at + 1;
        if (below + 1 < future->count &&
            future->next[future->heap[below + 1]] > future->next[future->heap[below]])
            below++;
        if (below >= future->count || future->next[future->heap[below]] <= future->next[key])
            break;
        put(future, at, future->heap[below]);
        at = below;
    }
    put(future, at, key);
}

/* Of each request, which one asks for the same key again; NONE: none does. */
static uint32_t *find_next_requests(const struct workload *workload)
{
    uint32_t *next = base_alloc(workload->requests * sizeof(*next));
    uint32_t *seen = base_alloc(workload->keys * sizeof(*seen));
    memset(seen, 0xff, workload->keys * sizeof(*seen));
    for (size_t i = workload->requests; i-- > 0;) {
        next[i] = seen[workload->key[i]];
        seen[workload->key[i]] = (uint32_t)i;
    }
    free(seen);
    return next;
}

/* True: a hit. What would be the first to leave is not admitted at all. */
static bool serve_with_foresight(struct future *future, uint32_t key, uint32_t next)
{
    bool hit = future->position[key] != NONE;
    future->next[key] = next;
    if (!hit) {
        if (future->count == future->room) {
            if (future->room == 0 || future->next[future->heap[0]] <= next)
                return false;
            drop_top(future);
        }
        future->position[key] = future->count++;
    }
    rise(future, key);
    return hit;
}

static struct reference_outcome replay_belady(const struct workload *workload,
                                              const struct reference_room *room)
{
    uint64_t each = room->weights[0];
    uint64_t fits = each > 0 ? room->bytes / each : 0;
    struct future future = {.heap = base_alloc(workload->keys * sizeof(uint32_t)),
                            .position = base_alloc(workload->keys * sizeof(uint32_t)),
                            .next = base_alloc(workload->keys * sizeof(uint32_t)),
                            .room = fits < workload->keys ? (uint32_t)fits : workload->keys};
    memset(future.position, 0xff, workload->keys * sizeof(*future.position));
    uint32_t *next = find_next_requests(workload);
    struct reference_outcome outcome = {0};
    for (size_t i = 0; i < workload->requests; i++) {
        uint32_t key = workload->key[i];
        if (!serve_with_foresight(&future, key, next[i]))
            continue;
        outcome.hits++;
        outcome.hit_bytes += workload->size[key];
    }
    outcome.objects = future.count;
    outcome.bytes = future.count * each;
    free(next);
    free(future.heap);
    free(future.position);
    free(future.next);
    return outcome;
}

struct reference_outcome reference_replay(enum reference_kind kind, const struct workload *workload,
                                          const struct reference_room *room)
{
    weir_assert(workload->requests < NONE && workload->keys < NONE);
    if (kind == REFERENCE_BELADY)
        return replay_belady(workload, room);
    return replay_queues(kind, workload, room);
}
