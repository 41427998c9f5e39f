/*
 * Fills, the readers' side: requests, each on its own thread, look at what has arrived and are
 * woken when more has.
 *
 * Life of a reader (phase → what moves it → next):
 *   OFF → cache_reader_attach → ON → cache_reader_wait → WAITING → any news → POSTED → its
 *       mail is delivered → ON
 *   any → cache_reader_leave → OFF; when it was POSTED the mail is still under way, and
 *       tells once that the memory is free
 * WAITING readers are in their fill's waiting list, so that a commit nobody waits for takes no
 * lock and one that is waited for touches only those.
 *
 * A pass keeps what its slowest reader has not taken. Its writer is woken when that has opened
 * the window again, and by the last reader's leaving.
 */
#include "cache/body.h"
#include "cache/fill.h"
#include "cache/object.h"
#include "cache/shard.h"

/* Of a reader that came too late to a pass: it holds back nothing. */
#define TAKEN_MISSED UINT64_MAX

/* ---- wake-ups ---- */

struct mail *cache_fill_take_waiting_locked(struct cache_fill *fill)
{
    struct mail *first = NULL, **last = &first;
    while (!list_empty(&fill->waiting)) {
        struct cache_reader *reader = weir_container(fill->waiting.next, struct cache_reader, link);
        list_remove(&reader->link);
        list_push_back(&fill->readers, &reader->link);
        reader->phase = CACHE_READER_POSTED;
        reader->mail.next = NULL;
        *last = &reader->mail;
        last = &reader->mail.next;
    }
    atomic_store_explicit(&fill->waiting_count, 0, memory_order_relaxed);
    return first;
}

void cache_fill_post(struct mail *readers)
{
    while (readers != NULL) {
        struct mail *mail = readers;
        readers = mail->next;
        mailbox_post(weir_container(mail, struct cache_reader, mail)->mailbox, mail);
    }
}

static void deliver_to_reader(struct mail *mail)
{
    struct cache_reader *reader = weir_container(mail, struct cache_reader, mail);
    if (!reader->left) {
        pthread_mutex_lock(&reader->fill->lock);
        weir_assert(reader->phase == CACHE_READER_POSTED);
        reader->phase = CACHE_READER_ON;
        pthread_mutex_unlock(&reader->fill->lock);
    }
    reader->on_news(reader);
}

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

/* Whether the mail is to be posted to *mailbox after unlocking. */
static bool write_to_writer_locked(struct cache_fill *fill, struct mailbox **mailbox)
{
    if (fill->on_readers == NULL || fill->writer_mail_sent)
        return false;
    fill->writer_mail_sent = true;
    fill->writer_mail.deliver = deliver_to_writer;
    cache_fill_ref(fill);
    *mailbox = fill->writer_mailbox;
    return true;
}

/* ---- what readers have taken ---- */

static void measure_list(struct cache_fill *fill, const struct list_link *head)
{
    for (const struct list_link *at = head->next; at != head; at = at->next) {
        const struct cache_reader *reader = weir_container(at, struct cache_reader, link);
        if (reader->taken < fill->slowest) {
            fill->slowest = reader->taken;
            fill->at_slowest = 0;
        }
        fill->at_slowest += reader->taken == fill->slowest && reader->taken != TAKEN_MISSED;
    }
}

void cache_fill_measure_locked(struct cache_fill *fill)
{
    uint64_t before = fill->slowest;
    fill->slowest = TAKEN_MISSED;
    fill->at_slowest = 0;
    measure_list(fill, &fill->readers);
    measure_list(fill, &fill->waiting);
    /* With nobody left nothing is forgotten: a reader may be about to attach. */
    if (fill->at_slowest == 0)
        fill->slowest = before;
    if (fill->body != NULL)
        cache_body_drop(fill->body, fill->slowest);
}

/* A reader moves off `from`: what all have taken is forgotten. True when the writer waits for the
   room that this made. */
static bool move_on_locked(struct cache_fill *fill, uint64_t from)
{
    if (!fill->pass || from != fill->slowest)
        return false;
    weir_assert(fill->at_slowest > 0);
    if (--fill->at_slowest > 0)
        return false;
    cache_fill_measure_locked(fill);
    uint64_t filled = atomic_load_explicit(&fill->filled, memory_order_relaxed);
    /* Half of it at a time, so that the writer is not woken for each segment. */
    if (!fill->window_full || filled - fill->slowest > CACHE_PASS_WINDOW / 2)
        return false;
    fill->window_full = false;
    return true;
}

/* ---- a reader ---- */

void cache_reader_attach(struct cache_reader *reader, struct cache_fill **from)
{
    struct cache_fill *fill = weir_take(from);
    weir_assert(reader->fill == NULL && !reader->left);
    weir_assert(reader->mailbox != NULL && reader->on_news != NULL);
    reader->fill = fill;
    reader->mail.deliver = deliver_to_reader;
    reader->seen = 0;
    list_init(&reader->link);
    pthread_mutex_lock(&fill->lock);
    reader->taken = fill->pass && fill->slowest > 0 ? TAKEN_MISSED : 0;
    if (fill->pass && fill->slowest == 0)
        fill->at_slowest++;
    reader->phase = CACHE_READER_ON;
    list_push_back(&fill->readers, &reader->link);
    atomic_fetch_add_explicit(&fill->reader_count, 1, memory_order_relaxed);
    pthread_mutex_unlock(&fill->lock);
    atomic_fetch_add_explicit(&fill->cache->readers, 1, memory_order_relaxed);
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
        .missed = reader->taken == TAKEN_MISSED,
        .trailers = str_of(fill->trailers, fill->trailers_len),
        .filled = atomic_load_explicit(&fill->filled, memory_order_acquire),
        .abort_status = fill->abort_status,
        .abort_detail = fill->abort_detail,
        .object = fill->phase == CACHE_FILL_REPLACED ? fill->object : NULL,
    };
    view_head_locked(fill, view);
    pthread_mutex_unlock(&fill->lock);
}

unsigned cache_reader_pieces(struct cache_reader *reader, uint64_t offset, struct iovec *pieces,
                             unsigned max)
{
    struct cache_fill *fill = reader->fill;
    unsigned count = 0;
    pthread_mutex_lock(&fill->lock);
    uint64_t filled = atomic_load_explicit(&fill->filled, memory_order_acquire);
    if (offset < filled && max > 0 && reader->taken != TAKEN_MISSED) {
        weir_assert(offset >= reader->taken);
        if (fill->object != NULL) {
            char *inside = cache_object_inline_body(fill->object);
            pieces[count++] = (struct iovec){inside + offset, (size_t)(filled - offset)};
        } else {
            count = cache_body_pieces(fill->body, offset, filled, pieces, max);
        }
    }
    pthread_mutex_unlock(&fill->lock);
    return count;
}

void cache_reader_take(struct cache_reader *reader, uint64_t offset)
{
    struct cache_fill *fill = reader->fill;
    struct mailbox *mailbox = NULL;
    bool tell = false;
    pthread_mutex_lock(&fill->lock);
    if (offset > reader->taken) {
        weir_assert(offset <= atomic_load_explicit(&fill->filled, memory_order_relaxed));
        uint64_t before = reader->taken;
        reader->taken = offset;
        tell = move_on_locked(fill, before) && write_to_writer_locked(fill, &mailbox);
    }
    pthread_mutex_unlock(&fill->lock);
    if (tell)
        mailbox_post(mailbox, &fill->writer_mail);
}

bool cache_reader_wait(struct cache_reader *reader)
{
    struct cache_fill *fill = reader->fill;
    bool waits = true;
    pthread_mutex_lock(&fill->lock);
    if (reader->phase == CACHE_READER_ON) {
        /* A commit looks the other way around, and takes no lock when nobody waits: one of the two
           sees the other. */
        atomic_fetch_add_explicit(&fill->waiting_count, 1, memory_order_seq_cst);
        waits = atomic_load_explicit(&fill->news, memory_order_seq_cst) == reader->seen;
        if (waits) {
            list_remove(&reader->link);
            list_push_back(&fill->waiting, &reader->link);
            reader->phase = CACHE_READER_WAITING;
        } else {
            atomic_fetch_sub_explicit(&fill->waiting_count, 1, memory_order_relaxed);
        }
    }
    pthread_mutex_unlock(&fill->lock);
    return waits;
}

bool cache_reader_leave(struct cache_reader *reader)
{
    struct cache_fill *fill = weir_take(&reader->fill);
    if (fill == NULL)
        return !reader->left;
    struct mailbox *mailbox = NULL;
    pthread_mutex_lock(&fill->lock);
    if (reader->phase == CACHE_READER_WAITING)
        atomic_fetch_sub_explicit(&fill->waiting_count, 1, memory_order_relaxed);
    reader->left = reader->phase == CACHE_READER_POSTED;
    reader->phase = CACHE_READER_OFF;
    list_remove(&reader->link);
    unsigned before = atomic_fetch_sub_explicit(&fill->reader_count, 1, memory_order_relaxed);
    weir_assert(before > 0);
    bool tell = move_on_locked(fill, reader->taken) || before == 1;
    tell = tell && write_to_writer_locked(fill, &mailbox);
    pthread_mutex_unlock(&fill->lock);
    if (tell)
        mailbox_post(mailbox, &fill->writer_mail);
    atomic_fetch_sub_explicit(&fill->cache->readers, 1, memory_order_relaxed);
    cache_fill_release(&fill);
    return !reader->left;
}
