/*
 * Fills, the writer's side: a fetch, on one thread, makes the head and the body known as they
 * arrive. Readers follow on their own threads (reader.c).
 *
 * Life of a fill (phase → what moves it → next):
 *   AWAITS_HEAD → cache_fill_set_head → STREAMING; → cache_fill_use_object (304) → REPLACED
 *   STREAMING → the exact end of the framing → COMPLETE; its object takes its place in the
 *       index under one lock
 *   any of the two → cache_fill_abort → ABORTED; nothing is kept
 * Beside that it is findable (lookups join it) from its making by a lookup, or from its head when
 * its key is a hit-for-miss, until it ends, is purged, or turns out not to be stored; and a pass
 * (never stored; forgets what all readers have taken; read only as fast as they take it)
 * from its making when private, from its head when that is not stored, or from where it outgrows
 * max_object or the memory. Old readers go on in every case.
 *
 * It is freed when the writer, the readers and undelivered messages to either have let go of it.
 * The writer's reference is the first; the index has none.
 */
#include "cache/fill.h"
#include "cache/budget.h"
#include "cache/purge.h"
#include "cache/shard.h"

#define FILL_MAGIC 0xf1110f11u
/* That a body which fits into an object may have come in. */
#define INLINE_CHUNKS_MOST 16u

/* ---- making, references ---- */

struct cache_fill *cache_fill_new(struct cache *cache, const struct cache_key *key)
{
    size_t text_len = key != NULL ? key->text.len : 0;
    struct cache_fill *fill = cache_budget_alloc(cache, sizeof(*fill) + text_len);
    if (fill == NULL)
        return NULL;
    memset(fill, 0, sizeof(*fill));
    fill->magic = FILL_MAGIC;
    fill->private = fill->pass = key == NULL;
    fill->cache = cache;
    if (text_len > 0) {
        memcpy(fill->key_text, key->text.ptr, text_len);
        fill->key = (struct cache_key){str_of(fill->key_text, text_len), key->hash, key->check};
        if (weir_unlikely(cache_key_url(fill->key.text).len < text_len))
            cache_purge_expect_longer_keys(cache);
    }
    list_init(&fill->link);
    weir_assert(pthread_mutex_init(&fill->lock, NULL) == 0);
    fill->phase = CACHE_FILL_AWAITS_HEAD;
    fill->head.content_length = -1;
    fill->log_number = cache_log_number(cache->log);
    atomic_init(&fill->refs, 1);
    atomic_init(&fill->news, 1);
    atomic_fetch_add_explicit(&cache->fills, 1, memory_order_relaxed);
    return fill;
}

struct cache_fill *cache_fill_private(struct cache *cache)
{
    struct cache_fill *fill = cache_fill_new(cache, NULL);
    if (fill == NULL)
        cache_budget_note_refused(cache);
    return fill;
}

struct cache_fill *cache_fill_apart(struct cache *cache, const struct cache_key *key)
{
    struct cache_fill *fill = cache_fill_new(cache, key);
    if (fill == NULL) {
        cache_budget_note_refused(cache);
        return NULL;
    }
    fill->hidden = true;
    cache_fill_forgive_purges(fill);
    return fill;
}

struct cache_purges cache_count_purges(struct cache *cache, const struct cache_key *key)
{
    struct cache_shard *shard = cache_shard_of(cache, key);
    pthread_mutex_lock(&shard->lock);
    struct cache_purges purges = {shard->purges, cache_log_number(cache->log)};
    pthread_mutex_unlock(&shard->lock);
    return purges;
}

bool cache_fill_is_undisturbed(const struct cache_fill *fill)
{
    struct cache_purges purges = cache_count_purges(fill->cache, &fill->key);
    return purges.of_shard == fill->purges_before && purges.logged == fill->log_number;
}

void cache_fill_forgive_purges(struct cache_fill *fill)
{
    struct cache_purges purges = cache_count_purges(fill->cache, &fill->key);
    fill->purges_before = purges.of_shard;
    fill->log_number = purges.logged;
}

static void free_crowds(struct cache_fill *fill)
{
    struct cache_crowd *crowd = atomic_load_explicit(&fill->crowds, memory_order_acquire);
    for (struct cache_crowd *next; crowd != NULL; crowd = next) {
        next = crowd->next;
        weir_assert(list_empty(&crowd->readers));
        if (crowd != &fill->first)
            cache_budget_free(fill->cache, crowd);
    }
}

static void destroy(struct cache_fill *fill)
{
    struct cache *cache = fill->cache;
    weir_assert(!fill->findable && atomic_load(&fill->reader_count) == 0);
    cache_object_release(&fill->object);
    cache_body_release(&fill->body);
    cache_budget_free(cache, fill->text);
    cache_budget_free(cache, fill->trailers);
    cache_budget_free(cache, fill->spare);
    if (fill->owns_tags)
        cache_tags_free(cache, fill->tags);
    free_crowds(fill);
    pthread_mutex_destroy(&fill->lock);
    fill->magic = 0;
    cache_budget_free(cache, fill);
    atomic_fetch_sub_explicit(&cache->fills, 1, memory_order_relaxed);
}

struct cache_fill *cache_fill_ref(struct cache_fill *fill)
{
    weir_check_magic(fill, FILL_MAGIC);
    uint32_t before = atomic_fetch_add_explicit(&fill->refs, 1, memory_order_relaxed);
    weir_assert(before > 0);
    return fill;
}

void cache_fill_release(struct cache_fill **from)
{
    struct cache_fill *fill = weir_take(from);
    if (fill == NULL)
        return;
    weir_check_magic(fill, FILL_MAGIC);
    uint32_t before = atomic_fetch_sub_explicit(&fill->refs, 1, memory_order_acq_rel);
    weir_assert(before > 0);
    if (before == 1)
        destroy(fill);
}

void cache_fill_set_writer(struct cache_fill *fill, struct mailbox *mailbox, void *writer,
                           void (*on_readers)(void *writer))
{
    pthread_mutex_lock(&fill->lock);
    fill->writer_mailbox = mailbox;
    fill->writer = writer;
    fill->on_readers = on_readers;
    pthread_mutex_unlock(&fill->lock);
}

/* Nobody tells it of readers any more. */
static void forget_writer_locked(struct cache_fill *fill)
{
    fill->writer_mailbox = NULL;
    fill->writer = NULL;
    fill->on_readers = NULL;
}

/* ---- steps ---- */

static uint64_t filled_now(const struct cache_fill *fill)
{
    return atomic_load_explicit(&fill->filled, memory_order_relaxed);
}

static void add_news(struct cache_fill *fill)
{
    uint64_t news = atomic_load_explicit(&fill->news, memory_order_relaxed);
    /* Before any look at the crowds, as cache_reader_wait has it the other way around. */
    atomic_store_explicit(&fill->news, news + 1, memory_order_seq_cst);
}

/* The lock is held; it is not afterwards. */
static void tell_and_unlock(struct cache_fill *fill)
{
    add_news(fill);
    pthread_mutex_unlock(&fill->lock);
    cache_fill_wake(fill);
}

/* No lookup finds it from here. hit_for_miss_until_ms 0: others may wait for each other as before. */
static void hide(struct cache_fill *fill, enum policy_reason reason, int64_t hit_for_miss_until_ms)
{
    if (fill->private || (fill->hidden && hit_for_miss_until_ms == 0))
        return;
    fill->hidden = true;
    struct cache_shard *shard = cache_shard_of(fill->cache, &fill->key);
    pthread_mutex_lock(&shard->lock);
    cache_index_remove_fill_locked(fill);
    if (hit_for_miss_until_ms > 0)
        cache_hit_for_miss_set_locked(shard, &fill->key, reason == POLICY_AUTHORIZATION,
                                      hit_for_miss_until_ms);
    pthread_mutex_unlock(&shard->lock);
}

/* Until when the next requests for it need not wait for each other; 0: they may. */
static int64_t hit_for_miss_until(int64_t now_ms, int64_t hit_for_miss_ms)
{
    return hit_for_miss_ms > 0 ? now_ms + hit_for_miss_ms : 0;
}

/* Whether it is good for more than who asked for it; policy_may_share() asks each. */
static bool is_shareable(const struct cache_meta *meta)
{
    return meta->lifetime_s > 0 && !(meta->flags & CACHE_NO_CACHE);
}

/* Its head is to be stored: lookups may look at its variant, and nobody need go alone. */
static void welcome(struct cache_fill *fill)
{
    struct cache_shard *shard = cache_shard_of(fill->cache, &fill->key);
    pthread_mutex_lock(&shard->lock);
    fill->vary_known = fill->head.vary.len > 0;
    if (fill->solo) {
        fill->solo = false;
        cache_hit_for_miss_clear_locked(shard, &fill->key,
                                        fill->head.meta.flags & CACHE_FOR_AUTHORIZED);
        /* No purge could find it so far: any in its shard counts. */
        if (shard->purges == fill->purges_before)
            cache_index_add_fill_locked(shard, fill);
        else
            atomic_store_explicit(&fill->purged, true, memory_order_relaxed);
    }
    pthread_mutex_unlock(&shard->lock);
}

static void become_pass(struct cache_fill *fill, enum policy_reason reason)
{
    hide(fill, reason, hit_for_miss_until(fill->head.now_ms, fill->head.hit_for_miss_ms));
    if (reason == POLICY_NO_MEMORY)
        cache_budget_note_pass(fill->cache);
    pthread_mutex_lock(&fill->lock);
    fill->pass = fill->outgrew = true;
    fill->head.reason = reason;
    atomic_store_explicit(&fill->forgets, true, memory_order_seq_cst);
    tell_and_unlock(fill);
    cache_fill_poke(fill);
}

/* ---- chunks ---- */

static void *alloc_for_body(struct cache_fill *fill, size_t bytes)
{
    return fill->pass ? cache_budget_alloc(fill->cache, bytes)
                      : cache_budget_alloc_stored(fill->cache, bytes);
}

/* A pass has one chunk at least, used again and again, so that it comes through once it has begun. */
static char *take_spare(struct cache_fill *fill, size_t *size)
{
    pthread_mutex_lock(&fill->lock);
    char *spare = weir_take(&fill->spare);
    *size = fill->spare_size;
    pthread_mutex_unlock(&fill->lock);
    return spare;
}

/* Place in the table of chunks for one more. False when memory is out. */
static bool make_place(struct cache_fill *fill)
{
    pthread_mutex_lock(&fill->lock);
    bool has_place = cache_body_has_place(fill->body);
    uint32_t capacity = fill->body->capacity > 0 ? fill->body->capacity * 2 : 2;
    pthread_mutex_unlock(&fill->lock);
    if (has_place)
        return true;
    struct cache_body_chunk *places = alloc_for_body(fill, capacity * sizeof(*places));
    if (places == NULL)
        return false;
    pthread_mutex_lock(&fill->lock);
    places = cache_body_set_places(fill->body, places, capacity);
    pthread_mutex_unlock(&fill->lock);
    cache_budget_free(fill->cache, places);
    return true;
}

static bool make_body(struct cache_fill *fill)
{
    struct cache_body *body = cache_body_new(fill->cache);
    if (body == NULL)
        return false;
    pthread_mutex_lock(&fill->lock);
    fill->body = body;
    pthread_mutex_unlock(&fill->lock);
    return true;
}

/* The next chunk becomes the tail. False when memory is out. */
static bool add_chunk(struct cache_fill *fill)
{
    uint64_t filled = filled_now(fill);
    if ((fill->body == NULL && !make_body(fill)) || !make_place(fill))
        return false;
    size_t size = 0;
    char *bytes = fill->pass ? take_spare(fill, &size) : NULL;
    if (bytes == NULL) {
        size_t most = fill->pass ? cache_budget_pass_chunk(fill->cache) : CACHE_CHUNK_MOST;
        size = cache_body_next_chunk(fill->head.content_length, filled, most);
        bytes = alloc_for_body(fill, size);
        if (bytes == NULL && fill->pass && size > CACHE_PASS_CHUNK_SHORT) {
            size = CACHE_PASS_CHUNK_SHORT;
            bytes = alloc_for_body(fill, size);
        }
    }
    if (bytes == NULL)
        return false;
    pthread_mutex_lock(&fill->lock);
    cache_body_add(fill->body, bytes, filled, size);
    pthread_mutex_unlock(&fill->lock);
    fill->tail = bytes;
    fill->tail_end = filled + size;
    return true;
}

/* ---- the head ---- */

static bool is_to_be_stored(const struct cache_fill *fill)
{
    return !fill->pass && fill->has_head && fill->head.reason == POLICY_STORE &&
           !atomic_load_explicit(&fill->purged, memory_order_relaxed);
}

static void init_parts(struct cache_fill *fill, const struct cache_fill_head *head,
                       struct cache_object_parts *parts)
{
    *parts = (struct cache_object_parts){
        .key = fill->key,
        .meta = head->meta,
        .vary = head->vary,
        .block = head->block,
        .tags = fill->owns_tags && head->reason == POLICY_STORE ? fill->tags : NULL};
}

static struct cache_object *make_object(struct cache_fill *fill,
                                        const struct cache_object_parts *parts)
{
    struct cache_object *object = cache_object_new(fill->cache, parts);
    if (object != NULL && parts->tags != NULL)
        fill->owns_tags = false;
    return object;
}

/* Of what it will take at once. */
static uint64_t first_bytes(const struct cache_fill_head *head)
{
    uint64_t body = head->bodiless             ? 0
                    : head->content_length < 0 ? CACHE_CHUNK_FIRST
                                               : (uint64_t)head->content_length;
    return head->block.len + head->vary.len + (body < CACHE_CHUNK_MOST ? body : CACHE_CHUNK_MOST);
}

/* The tail is what follows offset in the object. */
static void use_place_in_object(struct cache_fill *fill, const struct cache_object *object,
                                uint64_t offset)
{
    size_t len;
    fill->tail = cache_object_place(object, offset, &len);
    fill->tail_end = offset + len;
}

/* Whether there is room for it in the cache is what the rules do not know. */
static void judge_head(struct cache_fill *fill, struct cache_fill_head *head)
{
    if (fill->private || head->reason != POLICY_STORE)
        return;
    if ((!head->bodiless && head->content_length >= 0 &&
         (uint64_t)head->content_length > fill->cache->max_object) ||
        head->vary.len > UINT16_MAX || head->block.len > UINT32_MAX) {
        head->reason = POLICY_TOO_LARGE;
    } else if (!cache_budget_has_room(fill->cache, first_bytes(head))) {
        head->reason = POLICY_NO_MEMORY;
        cache_budget_note_pass(fill->cache);
    }
}

/* The object itself, for the writer to fill in place, when its size is known and small. A pass
   takes the same form, as one allocation, though nobody will find it. */
static struct cache_object *make_object_at_head(struct cache_fill *fill,
                                                const struct cache_fill_head *head)
{
    uint64_t length = head->bodiless ? 0 : (uint64_t)head->content_length;
    if ((!head->bodiless && head->content_length < 0) || length > CACHE_INLINE_MOST ||
        head->vary.len > UINT16_MAX || head->block.len > UINT32_MAX)
        return NULL;
    struct cache_object_parts parts;
    init_parts(fill, head, &parts);
    parts.stored = head->reason == POLICY_STORE;
    parts.inline_len = length;
    return make_object(fill, &parts);
}

/* Block and vary, one after the other. */
static char *copy_text(struct cache_fill *fill, const struct cache_fill_head *head)
{
    size_t len = head->block.len + head->vary.len;
    char *text = cache_budget_alloc(fill->cache, len > 0 ? len : 1);
    if (text == NULL)
        return NULL;
    struct appender out = appender_on(text, len);
    append_str(&out, head->block);
    append_str(&out, head->vary);
    return text;
}

/* Head and first chunk of a body that does not lie in an object; before anyone is told, so that what
   memory cannot begin with is answered 503. */
static bool begin_in_chunks(struct cache_fill *fill, struct cache_fill_head *head)
{
    fill->text = copy_text(fill, head);
    if (fill->text == NULL)
        return false;
    head->block = str_of(fill->text, head->block.len);
    head->vary = str_of(fill->text + head->block.len, head->vary.len);
    pthread_mutex_lock(&fill->lock);
    fill->head = *head;
    fill->pass = head->reason != POLICY_STORE || fill->private;
    pthread_mutex_unlock(&fill->lock);
    if (head->bodiless || add_chunk(fill))
        return true;
    if (fill->pass)
        return false;
    pthread_mutex_lock(&fill->lock);
    head->reason = fill->head.reason = POLICY_NO_MEMORY;
    fill->pass = true;
    pthread_mutex_unlock(&fill->lock);
    cache_budget_note_pass(fill->cache);
    return add_chunk(fill);
}

bool cache_fill_set_head(struct cache_fill *fill, const struct cache_fill_head *given)
{
    weir_check_magic(fill, FILL_MAGIC);
    weir_assert(fill->phase == CACHE_FILL_AWAITS_HEAD);
    struct cache_fill_head head = *given;
    fill->tags = given->tags;
    fill->owns_tags = given->tags != NULL;
    judge_head(fill, &head);
    struct cache_object *object = make_object_at_head(fill, &head);
    if (object != NULL) {
        head.block = cache_object_block(object);
        head.vary = cache_object_vary(object);
        use_place_in_object(fill, object, 0);
    } else if (!begin_in_chunks(fill, &head)) {
        cache_budget_note_refused(fill->cache);
        return false;
    }
    bool store = head.reason == POLICY_STORE && !fill->private;
    bool share = store && is_shareable(&head.meta);
    /* A refresh is found to its end, so that no second one begins; readers may have to leave it. */
    if (!share && !(store && fill->refresh))
        hide(fill, head.reason, hit_for_miss_until(head.now_ms, head.hit_for_miss_ms));

    pthread_mutex_lock(&fill->lock);
    fill->head = head;
    fill->object = object;
    fill->has_head = true;
    fill->pass = !store;
    fill->phase = CACHE_FILL_STREAMING;
    atomic_store_explicit(&fill->tagged,
                          fill->tags != NULL ? CACHE_FILL_TAGGED : CACHE_FILL_UNTAGGED,
                          memory_order_release);
    atomic_store_explicit(&fill->forgets, !store && object == NULL, memory_order_seq_cst);
    tell_and_unlock(fill);
    if (share && (head.vary.len > 0 || fill->solo))
        welcome(fill);
    return true;
}

void cache_fill_use_object(struct cache_fill *fill, struct cache_object *object,
                           enum policy_reason reason, int64_t now_ms, int64_t hit_for_miss_ms)
{
    weir_check_magic(fill, FILL_MAGIC);
    weir_assert(fill->phase == CACHE_FILL_AWAITS_HEAD);
    struct cache_meta meta = cache_object_meta(object);
    hide(fill, reason, is_shareable(&meta) ? 0 : hit_for_miss_until(now_ms, hit_for_miss_ms));
    pthread_mutex_lock(&fill->lock);
    fill->object = cache_object_ref(object);
    fill->head.reason = reason;
    fill->phase = CACHE_FILL_REPLACED;
    tell_and_unlock(fill);
}

/* ---- the body ---- */

/* How much a pass may still take; UINT64_MAX for what is stored. */
static uint64_t measure_window(struct cache_fill *fill)
{
    if (!fill->pass)
        return UINT64_MAX;
    uint64_t filled = filled_now(fill), most = cache_budget_pass_window(fill->cache);
    pthread_mutex_lock(&fill->lock);
    uint64_t ahead = filled - fill->slowest;
    fill->window_full = ahead >= most;
    pthread_mutex_unlock(&fill->lock);
    if (ahead < most)
        return most - ahead;
    fill->held_below = filled - most + 1;
    return 0;
}

bool cache_fill_is_held_up(const struct cache_fill *fill)
{
    return cache_fill_readers(fill) > 1 && cache_fill_is_awaited(fill);
}

void cache_fill_cut_slow(struct cache_fill *fill)
{
    atomic_store_explicit(&fill->cut_below, fill->held_below, memory_order_seq_cst);
    cache_fill_poke(fill);
}

/* Memory is out: a pass whose readers still hold some of it can wait for them. */
static bool can_wait_for_readers(struct cache_fill *fill)
{
    pthread_mutex_lock(&fill->lock);
    uint64_t slowest = fill->slowest;
    bool can = filled_now(fill) > slowest && cache_fill_readers(fill) > 0;
    fill->window_full = can;
    pthread_mutex_unlock(&fill->lock);
    fill->held_below = slowest + 1;
    return can;
}

enum room {
    ROOM_MADE,
    ROOM_LATER, /* on_readers follows */
    ROOM_NEVER  /* memory is out */
};

/* For chunks: up to *want bytes behind what is filled. */
static enum room make_room(struct cache_fill *fill, size_t *want)
{
    uint64_t filled = filled_now(fill);
    if (!fill->pass && filled > fill->cache->max_object)
        become_pass(fill, POLICY_TOO_LARGE);
    if (!fill->pass && filled == fill->tail_end && !add_chunk(fill))
        become_pass(fill, POLICY_NO_MEMORY);
    uint64_t window = measure_window(fill);
    if (window == 0)
        return ROOM_LATER;
    if (window < *want)
        *want = (size_t)window;
    if (filled < fill->tail_end || add_chunk(fill))
        return ROOM_MADE;
    return can_wait_for_readers(fill) ? ROOM_LATER : ROOM_NEVER;
}

char *cache_fill_room(struct cache_fill *fill, size_t want, size_t *room)
{
    weir_check_magic(fill, FILL_MAGIC);
    weir_assert(fill->phase == CACHE_FILL_STREAMING);
    uint64_t filled = filled_now(fill);
    *room = 0;
    /* What a small object of known length has room for is all that may come. */
    if (fill->object != NULL && filled == fill->tail_end &&
        filled < cache_object_length(fill->object))
        use_place_in_object(fill, fill->object, filled);
    enum room made = fill->object != NULL ? ROOM_MADE : make_room(fill, &want);
    if (made == ROOM_NEVER)
        cache_budget_note_refused(fill->cache);
    if (made != ROOM_MADE)
        return made == ROOM_NEVER ? NULL : fill->key_text;
    uint64_t left = fill->tail_end - filled;
    *room = left < want ? (size_t)left : want;
    return fill->tail;
}

void cache_fill_commit(struct cache_fill *fill, size_t len)
{
    weir_check_magic(fill, FILL_MAGIC);
    if (len == 0)
        return;
    uint64_t filled = filled_now(fill);
    weir_assert(fill->phase == CACHE_FILL_STREAMING && len <= fill->tail_end - filled);
    fill->tail += len;
    atomic_store_explicit(&fill->filled, filled + len, memory_order_release);
    add_news(fill);
    cache_fill_wake(fill);
}

size_t cache_fill_append(struct cache_fill *fill, const char *bytes, size_t len, bool *failed)
{
    size_t done = 0;
    *failed = false;
    while (done < len) {
        size_t room;
        char *to = cache_fill_room(fill, len - done, &room);
        *failed = to == NULL;
        if (room == 0)
            break;
        memcpy(to, bytes + done, room);
        cache_fill_commit(fill, room);
        done += room;
    }
    return done;
}

/* ---- the end ---- */

/* The object that is stored; NULL when memory is out: it is not stored then. Takes over nothing. */
static struct cache_object *make_object_at_end(struct cache_fill *fill)
{
    if (fill->object != NULL)
        return cache_object_ref(fill->object);
    uint64_t length = filled_now(fill);
    struct cache_object_parts parts;
    init_parts(fill, &fill->head, &parts);
    parts.stored = true;
    if (length <= CACHE_INLINE_MOST) {
        parts.inline_len = length;
    } else {
        cache_body_seal(fill->body, length);
        parts.body = cache_body_fit(fill->body);
    }
    struct cache_object *object = make_object(fill, &parts);
    if (object != NULL && parts.inline_len > 0) {
        struct iovec pieces[INLINE_CHUNKS_MOST];
        unsigned count = cache_body_pieces(fill->body, 0, length, pieces, INLINE_CHUNKS_MOST);
        cache_object_write_body(object, pieces, count);
    }
    cache_body_release(&parts.body);
    return object;
}

/* What has become stale on its way, and cannot be validated, would never be used. */
static bool is_worth_storing(const struct cache_meta *meta, int64_t now_ms)
{
    return (meta->flags & CACHE_HAS_VALIDATOR) || !policy_is_useless(meta, now_ms);
}

/* Object in, fill out, under one lock: no lookup finds both or neither. */
static void store(struct cache_fill *fill, struct cache_object *object)
{
    struct cache_shard *shard = cache_shard_of(fill->cache, &fill->key);
    struct cache_object *gone = NULL;
    bool grow = false;
    pthread_mutex_lock(&shard->lock);
    /* Read before the look at the log: what is added to it meanwhile is for lookups to find. */
    uint64_t number = cache_log_number(fill->cache->log);
    bool purged = cache_purge_reaches_fill_locked(shard, fill, fill->tags);
    cache_index_remove_fill_locked(fill);
    if (!purged && cache_object_is_tagged(object))
        cache_object_set_seen(object, number);
    if (!purged)
        grow = cache_index_insert_locked(shard, weir_take(&object), &gone);
    pthread_mutex_unlock(&shard->lock);
    cache_object_release(&object);
    cache_index_release(gone);
    if (grow)
        cache_index_grow(fill->cache, shard);
}

void cache_fill_complete(struct cache_fill *fill, struct str trailers, int64_t now_ms)
{
    weir_check_magic(fill, FILL_MAGIC);
    weir_assert(fill->phase == CACHE_FILL_STREAMING);
    weir_assert(fill->head.bodiless || fill->head.content_length < 0 ||
                (uint64_t)fill->head.content_length == filled_now(fill));
    struct cache_object *object = NULL;
    if (is_to_be_stored(fill) && filled_now(fill) <= fill->cache->max_object &&
        is_worth_storing(&fill->head.meta, now_ms))
        object = make_object_at_end(fill);
    if (object != NULL)
        store(fill, object);
    else
        hide(fill, fill->head.reason,
             fill->outgrew ? hit_for_miss_until(now_ms, fill->head.hit_for_miss_ms) : 0);

    /* Trailers may be dropped (RFC 9110 §6.5.1): they are, when memory is out. */
    char *copy = trailers.len > 0 ? cache_budget_alloc(fill->cache, trailers.len) : NULL;
    if (copy != NULL)
        memcpy(copy, trailers.ptr, trailers.len);
    pthread_mutex_lock(&fill->lock);
    fill->trailers = copy;
    fill->trailers_len = copy != NULL ? trailers.len : 0;
    fill->phase = CACHE_FILL_COMPLETE;
    forget_writer_locked(fill);
    tell_and_unlock(fill);
}

bool cache_fill_is_pass(const struct cache_fill *fill)
{
    return fill->pass;
}

void cache_fill_abort(struct cache_fill *fill, unsigned status, const char *detail)
{
    weir_check_magic(fill, FILL_MAGIC);
    if (cache_fill_is_over(fill->phase))
        return;
    hide(fill, POLICY_STORE, 0);
    atomic_fetch_add_explicit(&fill->cache->fills_aborted, 1, memory_order_relaxed);
    pthread_mutex_lock(&fill->lock);
    fill->abort_status = status;
    fill->abort_detail = detail;
    fill->phase = CACHE_FILL_ABORTED;
    forget_writer_locked(fill);
    tell_and_unlock(fill);
}

unsigned cache_fill_readers(const struct cache_fill *fill)
{
    return atomic_load_explicit(&fill->reader_count, memory_order_relaxed);
}

bool cache_fill_worth_going_on(const struct cache_fill *fill)
{
    if (cache_fill_readers(fill) > 0)
        return true;
    int64_t length = fill->head.bodiless ? 0 : fill->head.content_length;
    return is_to_be_stored(fill) && length >= 0 && filled_now(fill) >= (uint64_t)length / 2;
}

void cache_fill_end_writer(struct cache_fill **from)
{
    struct cache_fill *fill = weir_take(from);
    if (fill == NULL)
        return;
    cache_fill_abort(fill, 502, "aborted");
    if (fill->on_readers != NULL) {
        pthread_mutex_lock(&fill->lock);
        forget_writer_locked(fill);
        pthread_mutex_unlock(&fill->lock);
    }
    cache_fill_release(&fill);
}
