/*
 * Fills, the readers' side: requests, each on its own thread, look at what has arrived and are
 * woken when more has.
 *
 * The readers of one fill on one thread are a crowd. A step of the writer posts one message to each
 * crowd in which somebody waits; the crowd's thread then goes through its readers by itself, some
 * at a time so that others have their turn. So the writer's work does not grow with the readers,
 * and nobody walks a list of them under a lock.
 *
 * Life of a reader (phase → what moves it → next):
 *   OFF → cache_reader_attach → ON → cache_reader_wait → WAITING → the crowd's message → WOKEN →
 *       its turn: on_news → ON
 *   any → cache_reader_leave → OFF
 * Life of a crowd's message (state): QUIET → a reader waits → WAITING → news, or the fill wants
 *   something of it (cache_fill_poke, from QUIET too) → POSTED → delivered → QUIET. The message
 *   holds a reference to the fill.
 * A reader that begins to wait sets the state and then looks whether there are news; a writer makes
 *   the news and then looks at the state: so one of them sees the other.
 *
 * A pass keeps what its slowest reader has not taken. Each crowd knows the least that its readers
 * have taken, and makes it known to the fill, which forgets what nobody needs. The writer is told
 * when that has opened the window again, and when the last reader leaves.
 */
#include "cache/budget.h"
#include "cache/fill.h"
#include "cache/object.h"
#include "cache/shard.h"

#define READERS_PER_TURN 64u
#define CHUNKS_PER_LOCK 32u

/* ---- messages to crowds ---- */

static void deliver_to_crowd(struct mail *mail);

/* True when the message is the caller's to post. */
static bool claim(struct cache_crowd *crowd, enum cache_crowd_state from)
{
    unsigned expected = from;
    return atomic_compare_exchange_strong_explicit(&crowd->state, &expected, CACHE_CROWD_POSTED,
                                                   memory_order_seq_cst, memory_order_seq_cst);
}

static void post(struct cache_crowd *crowd)
{
    cache_fill_ref(crowd->fill);
    mailbox_post(crowd->mailbox, &crowd->mail);
}

void cache_fill_wake(struct cache_fill *fill)
{
    struct cache_crowd *crowd = atomic_load_explicit(&fill->crowds, memory_order_seq_cst);
    for (struct cache_crowd *next; crowd != NULL; crowd = next) {
        next = crowd->next;
        if (atomic_load_explicit(&crowd->state, memory_order_seq_cst) == CACHE_CROWD_WAITING &&
            claim(crowd, CACHE_CROWD_WAITING))
            post(crowd);
    }
}

void cache_fill_poke(struct cache_fill *fill)
{
    struct cache_crowd *crowd = atomic_load_explicit(&fill->crowds, memory_order_seq_cst);
    for (; crowd != NULL; crowd = crowd->next)
        if (claim(crowd, CACHE_CROWD_QUIET) || claim(crowd, CACHE_CROWD_WAITING))
            post(crowd);
}

bool cache_fill_is_awaited(const struct cache_fill *fill)
{
    const struct cache_crowd *crowd = atomic_load_explicit(&fill->crowds, memory_order_seq_cst);
    for (; crowd != NULL; crowd = crowd->next)
        if (atomic_load_explicit(&crowd->state, memory_order_seq_cst) == CACHE_CROWD_WAITING)
            return true;
    return false;
}

/* ---- messages to the writer ---- */

static void deliver_to_writer(struct mail *mail)
{
    struct cache_fill *fill = weir_container(mail, struct cache_fill, writer_mail);
    pthread_mutex_lock(&fill->lock);
    fill->writer_mail_sent = false;
    void *writer = fill->writer;
    void (*on_readers)(void *) = fill->on_readers;
    pthread_mutex_unlock(&fill->lock);
    if (on_readers != NULL)
        on_readers(writer);
    cache_fill_release(&fill);
}

/* The mailbox to post the writer's mail to after unlocking; NULL: it is under way, or the writer
   has ended. */
static struct mailbox *write_to_writer_locked(struct cache_fill *fill)
{
    if (fill->on_readers == NULL || fill->writer_mail_sent)
        return NULL;
    fill->writer_mail_sent = true;
    fill->writer_mail.deliver = deliver_to_writer;
    cache_fill_ref(fill);
    return fill->writer_mailbox;
}

static void post_to_writer(struct cache_fill *fill, struct mailbox *mailbox)
{
    if (mailbox != NULL)
        mailbox_post(mailbox, &fill->writer_mail);
}

/* ---- what readers have taken ---- */

static void measure(struct cache_crowd *crowd)
{
    crowd->measured = true;
    crowd->least_taken = CACHE_TAKEN_ALL;
    crowd->at_least = 0;
    for (const struct list_link *at = crowd->readers.next; at != &crowd->readers; at = at->next) {
        const struct cache_reader *reader = weir_container(at, struct cache_reader, link);
        if (reader->taken < crowd->least_taken) {
            crowd->least_taken = reader->taken;
            crowd->at_least = 0;
        }
        crowd->at_least += reader->taken == crowd->least_taken;
    }
}

/* With nobody left nothing is forgotten: a reader may be about to attach. */
static void find_slowest_locked(struct cache_fill *fill)
{
    uint64_t slowest = CACHE_TAKEN_ALL;
    const struct cache_crowd *crowd = atomic_load_explicit(&fill->crowds, memory_order_relaxed);
    for (; crowd != NULL; crowd = crowd->next)
        slowest = crowd->slowest < slowest ? crowd->slowest : slowest;
    if (slowest != CACHE_TAKEN_ALL)
        fill->slowest = slowest;
}

/* Half of the window at a time, so that the writer is not woken for each segment. */
static bool has_opened_locked(struct cache_fill *fill)
{
    uint64_t filled = atomic_load_explicit(&fill->filled, memory_order_relaxed);
    if (!fill->window_full || filled - fill->slowest > cache_budget_pass_window(fill->cache) / 2)
        return false;
    fill->window_full = false;
    return true;
}

/* Chunks that nobody needs, at most CHUNKS_PER_LOCK; one is kept for what comes. Returns how many are
   to be freed. */
static unsigned forget_locked(struct cache_fill *fill, struct cache_body_chunk *chunks)
{
    unsigned count = cache_body_forget(fill->body, fill->slowest, chunks, CHUNKS_PER_LOCK);
    if (count > 0 && fill->spare == NULL) {
        count--;
        fill->spare = chunks[count].bytes;
        fill->spare_size = chunks[count].size;
    }
    return count;
}

/* What its readers have taken is known to all from here, and what nobody needs is forgotten. The
   writer is told of room in its window, and that the `last` reader has left. */
static void make_known(struct cache_crowd *crowd, bool last)
{
    struct cache_fill *fill = crowd->fill;
    struct cache_body_chunk chunks[CHUNKS_PER_LOCK];
    unsigned count;
    do {
        struct mailbox *writer = NULL;
        count = 0;
        pthread_mutex_lock(&fill->lock);
        crowd->slowest = crowd->least_taken;
        find_slowest_locked(fill);
        if (fill->body != NULL && fill->pass)
            count = forget_locked(fill, chunks);
        if (has_opened_locked(fill) || last)
            writer = write_to_writer_locked(fill);
        pthread_mutex_unlock(&fill->lock);
        for (unsigned i = 0; i < count; i++)
            cache_budget_free(fill->cache, chunks[i].bytes);
        post_to_writer(fill, writer);
        last = false;
    } while (count >= CHUNKS_PER_LOCK - 1);
}

static bool forgets(const struct cache_fill *fill)
{
    return atomic_load_explicit(&fill->forgets, memory_order_seq_cst);
}

/* A reader that had taken so much has gone on, or gone. */
static void moved_on(struct cache_crowd *crowd, uint64_t from)
{
    if (crowd->measured && (from > crowd->least_taken || --crowd->at_least > 0))
        return;
    measure(crowd);
    make_known(crowd, false);
}

/* ---- the crowd's message ---- */

/* Its turn comes, whatever it was doing. */
static void queue_for_turn(struct cache_reader *reader)
{
    if (reader->phase == CACHE_READER_WAITING)
        list_remove(&reader->wait_link);
    else if (reader->phase == CACHE_READER_WOKEN)
        return;
    reader->phase = CACHE_READER_WOKEN;
    list_push_back(&reader->crowd->woken, &reader->wait_link);
}

/* Those for whom there are news: each has seen all there was when it began to wait, the first of them
   the least. The state is set before the look at the news, as in cache_reader_wait. */
static void wake_waiting(struct cache_crowd *crowd)
{
    bool waits = !list_empty(&crowd->waiting);
    atomic_store_explicit(&crowd->state, waits ? CACHE_CROWD_WAITING : CACHE_CROWD_QUIET,
                          memory_order_seq_cst);
    uint64_t news = atomic_load_explicit(&crowd->fill->news, memory_order_seq_cst);
    while (!list_empty(&crowd->waiting)) {
        struct cache_reader *reader =
            weir_container(crowd->waiting.next, struct cache_reader, wait_link);
        if (reader->seen == news)
            return;
        queue_for_turn(reader);
    }
    unsigned expected = CACHE_CROWD_WAITING;
    atomic_compare_exchange_strong_explicit(&crowd->state, &expected, CACHE_CROWD_QUIET,
                                            memory_order_seq_cst, memory_order_relaxed);
}

/* Those who hold back the others have to leave. They count until they have. */
static void cut_slow(struct cache_crowd *crowd, uint64_t below)
{
    for (struct list_link *at = crowd->readers.next; at != &crowd->readers; at = at->next) {
        struct cache_reader *reader = weir_container(at, struct cache_reader, link);
        if (reader->taken >= below || reader->cut)
            continue;
        reader->cut = true;
        atomic_fetch_add_explicit(&crowd->fill->cache->readers_cut, 1, memory_order_relaxed);
        queue_for_turn(reader);
    }
}

static void do_what_the_fill_wants(struct cache_crowd *crowd)
{
    uint64_t below = atomic_load_explicit(&crowd->fill->cut_below, memory_order_seq_cst);
    if (!crowd->measured) {
        measure(crowd);
        make_known(crowd, false);
    }
    if (crowd->least_taken < below)
        cut_slow(crowd, below);
}

static void take_turns(struct cache_crowd *crowd)
{
    for (unsigned i = 0; i < READERS_PER_TURN && !list_empty(&crowd->woken); i++) {
        struct cache_reader *reader =
            weir_container(crowd->woken.next, struct cache_reader, wait_link);
        list_remove(&reader->wait_link);
        reader->phase = CACHE_READER_ON;
        reader->on_news(reader);
    }
}

static void deliver_to_crowd(struct mail *mail)
{
    struct cache_crowd *crowd = weir_container(mail, struct cache_crowd, mail);
    struct cache_fill *fill = crowd->fill;
    wake_waiting(crowd);
    if (forgets(fill))
        do_what_the_fill_wants(crowd);
    take_turns(crowd);
    if (!list_empty(&crowd->woken) &&
        (claim(crowd, CACHE_CROWD_QUIET) || claim(crowd, CACHE_CROWD_WAITING)))
        mailbox_post_later(crowd->mailbox, mail); /* with the message's reference */
    else
        cache_fill_release(&fill);
}

/* ---- a reader ---- */

static struct cache_crowd *find_crowd(struct cache_fill *fill, const struct mailbox *mailbox)
{
    struct cache_crowd *crowd = atomic_load_explicit(&fill->crowds, memory_order_acquire);
    while (crowd != NULL && crowd->mailbox != mailbox)
        crowd = crowd->next;
    return crowd;
}

/* It is zeroed. */
static void init_crowd(struct cache_crowd *crowd, struct cache_fill *fill, struct mailbox *mailbox)
{
    crowd->fill = fill;
    crowd->mailbox = mailbox;
    crowd->mail.deliver = deliver_to_crowd;
    crowd->slowest = CACHE_TAKEN_ALL;
    list_init(&crowd->readers);
    list_init(&crowd->waiting);
    list_init(&crowd->woken);
    atomic_init(&crowd->state, CACHE_CROWD_QUIET);
}

/* The lock is held afterwards. Only its own thread adds a thread's crowd. NULL when memory is out. */
static struct cache_crowd *lock_with_crowd(struct cache_fill *fill, struct mailbox *mailbox)
{
    struct cache_crowd *crowd = find_crowd(fill, mailbox), *added = NULL;
    if (crowd == NULL && atomic_load_explicit(&fill->crowds, memory_order_acquire) != NULL) {
        added = cache_budget_alloc(fill->cache, sizeof(*added));
        if (added == NULL)
            return NULL;
        memset(added, 0, sizeof(*added));
    }
    pthread_mutex_lock(&fill->lock);
    if (crowd != NULL)
        return crowd;
    struct cache_crowd *newest = atomic_load_explicit(&fill->crowds, memory_order_relaxed);
    if (newest == NULL)
        added = &fill->first;
    if (added == NULL) { /* another thread was faster and has the first one */
        pthread_mutex_unlock(&fill->lock);
        return lock_with_crowd(fill, mailbox);
    }
    init_crowd(added, fill, mailbox);
    added->next = newest;
    atomic_store_explicit(&fill->crowds, added, memory_order_seq_cst);
    return added;
}

bool cache_reader_attach(struct cache_reader *reader, struct cache_fill **from)
{
    struct cache_fill *fill = weir_take(from);
    weir_assert(reader->fill == NULL);
    weir_assert(reader->mailbox != NULL && reader->on_news != NULL);
    struct cache_crowd *crowd = lock_with_crowd(fill, reader->mailbox);
    if (crowd == NULL) {
        cache_budget_note_refused(fill->cache);
        cache_fill_release(&fill);
        return false;
    }
    bool missed = fill->pass && fill->slowest > 0;
    if (!missed)
        crowd->slowest = 0;
    bool awaits_head = fill->phase == CACHE_FILL_AWAITS_HEAD;
    reader->seen = awaits_head ? atomic_load_explicit(&fill->news, memory_order_relaxed) : 0;
    pthread_mutex_unlock(&fill->lock);
    reader->fill = fill;
    reader->crowd = crowd;
    reader->taken = missed ? CACHE_TAKEN_ALL : 0;
    reader->over = reader->cut = false;
    reader->phase = CACHE_READER_ON;
    list_init(&reader->wait_link);
    crowd->measured = false;
    list_push_back(&crowd->readers, &reader->link);
    atomic_fetch_add_explicit(&fill->reader_count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&fill->cache->readers, 1, memory_order_relaxed);
    return true;
}

bool cache_reader_has_news(const struct cache_reader *reader)
{
    return atomic_load_explicit(&reader->fill->news, memory_order_relaxed) != reader->seen;
}

static void view_head_locked(const struct cache_fill *fill, struct cache_view *view)
{
    view->has_head = fill->has_head;
    view->reason = fill->head.reason;
    view->meta = fill->head.meta;
    view->block = fill->head.block;
    view->vary = fill->head.vary;
    view->content_length = fill->head.content_length;
    view->bodiless = fill->head.bodiless;
}

void cache_reader_view(struct cache_reader *reader, struct cache_view *view)
{
    struct cache_fill *fill = reader->fill;
    pthread_mutex_lock(&fill->lock);
    /* Before what it counts: what comes in between is then news once more. */
    reader->seen = atomic_load_explicit(&fill->news, memory_order_acquire);
    *view = (struct cache_view){
        .phase = fill->phase,
        .pass = fill->pass,
        .outgrew = fill->outgrew,
        .missed = reader->taken == CACHE_TAKEN_ALL,
        .trailers = str_of(fill->trailers, fill->trailers_len),
        .filled = atomic_load_explicit(&fill->filled, memory_order_acquire),
        .abort_status = fill->abort_status,
        .abort_detail = fill->abort_detail,
        .object = fill->phase == CACHE_FILL_REPLACED ? fill->object : NULL,
    };
    view_head_locked(fill, view);
    if (view->object != NULL)
        view->vary = cache_object_vary(view->object);
    pthread_mutex_unlock(&fill->lock);
    reader->over = cache_fill_is_over(view->phase);
}

unsigned cache_reader_pieces(struct cache_reader *reader, uint64_t offset, struct iovec *pieces,
                             unsigned max)
{
    struct cache_fill *fill = reader->fill;
    unsigned count = 0;
    pthread_mutex_lock(&fill->lock);
    uint64_t filled = atomic_load_explicit(&fill->filled, memory_order_acquire);
    if (offset < filled && max > 0 && reader->taken != CACHE_TAKEN_ALL) {
        weir_assert(offset >= reader->taken);
        count = fill->object != NULL
                    ? cache_object_pieces_upto(fill->object, offset, filled, pieces, max)
                    : cache_body_pieces(fill->body, offset, filled, pieces, max);
    }
    pthread_mutex_unlock(&fill->lock);
    return count;
}

void cache_reader_take(struct cache_reader *reader, uint64_t offset)
{
    struct cache_fill *fill = reader->fill;
    if (offset <= reader->taken)
        return;
    weir_assert(offset <= atomic_load_explicit(&fill->filled, memory_order_relaxed));
    uint64_t before = reader->taken;
    reader->taken = offset;
    if (forgets(fill))
        moved_on(reader->crowd, before);
}

/* The state goes with the list: a crowd that says WAITING has a reader that has seen everything. */
static void stop_waiting(struct cache_reader *reader)
{
    struct cache_crowd *crowd = reader->crowd;
    unsigned expected = CACHE_CROWD_WAITING;
    bool waited = reader->phase == CACHE_READER_WAITING;
    if (!waited && reader->phase != CACHE_READER_WOKEN)
        return;
    list_remove(&reader->wait_link);
    if (waited && list_empty(&crowd->waiting))
        atomic_compare_exchange_strong_explicit(&crowd->state, &expected, CACHE_CROWD_QUIET,
                                                memory_order_seq_cst, memory_order_relaxed);
}

/* A writer whose window is full looks again, now that one waits for it. */
static void tell_that_one_waits(struct cache_fill *fill)
{
    struct mailbox *writer = NULL;
    if (atomic_load_explicit(&fill->reader_count, memory_order_relaxed) < 2)
        return;
    pthread_mutex_lock(&fill->lock);
    if (fill->window_full)
        writer = write_to_writer_locked(fill);
    pthread_mutex_unlock(&fill->lock);
    post_to_writer(fill, writer);
}

bool cache_reader_wait(struct cache_reader *reader)
{
    struct cache_fill *fill = reader->fill;
    struct cache_crowd *crowd = reader->crowd;
    if (reader->phase != CACHE_READER_ON)
        return true;
    reader->phase = CACHE_READER_WAITING;
    list_push_back(&crowd->waiting, &reader->wait_link);
    unsigned expected = CACHE_CROWD_QUIET;
    atomic_compare_exchange_strong_explicit(&crowd->state, &expected, CACHE_CROWD_WAITING,
                                            memory_order_seq_cst, memory_order_seq_cst);
    if (atomic_load_explicit(&fill->news, memory_order_seq_cst) != reader->seen) {
        stop_waiting(reader);
        reader->phase = CACHE_READER_ON;
        return false;
    }
    if (weir_unlikely(forgets(fill)))
        tell_that_one_waits(fill);
    return true;
}

void cache_reader_leave(struct cache_reader *reader)
{
    struct cache_fill *fill = weir_take(&reader->fill);
    if (fill == NULL)
        return;
    stop_waiting(reader);
    struct cache_crowd *crowd = weir_take(&reader->crowd);
    reader->phase = CACHE_READER_OFF;
    list_remove(&reader->link);
    unsigned before = atomic_fetch_sub_explicit(&fill->reader_count, 1, memory_order_acq_rel);
    weir_assert(before > 0);
    if (forgets(fill) && !list_empty(&crowd->readers)) {
        moved_on(crowd, reader->taken);
    } else if (list_empty(&crowd->readers) && (forgets(fill) || !reader->over)) {
        /* What has ended has no window, and no writer that would be told. */
        measure(crowd);
        make_known(crowd, before == 1);
    }
    atomic_fetch_sub_explicit(&fill->cache->readers, 1, memory_order_relaxed);
    cache_fill_release(&fill);
}
