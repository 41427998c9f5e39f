/* cache/reader.c: readers on several threads follow fills that other threads write. */
#include "tests/unit/cache/cache_fixture.h"

#include <poll.h>
#include <pthread.h>

#define READER_THREADS 3u
#define READERS_PER_THREAD 8u
#define ROUNDS 60u
#define LONGEST_WAIT_MS 20000

struct thread;

struct follower {
    struct cache_reader reader;
    struct thread *thread;
    uint64_t at, leaves_at; /* leaves early there */
    bool done;
};

struct round {
    struct cache_fill *fill;
    uint64_t length;
    bool pass, aborts;
};

/* One round after the other; all threads meet between them. */
static struct {
    struct cache *cache;
    pthread_barrier_t barrier;
    struct round round;
    uint64_t seed;
    _Atomic unsigned whole, broken, early, cut;
} shared;

struct thread {
    pthread_t id;
    struct mailbox mailbox;
    uint64_t random;
    struct follower followers[READERS_PER_THREAD];
    unsigned open; /* followers whose memory is not free yet */
};

static void finish(struct follower *f)
{
    f->done = true;
    cache_reader_leave(&f->reader);
    f->thread->open--;
}

/* True when the reader is to wait. */
static bool look(struct follower *f)
{
    struct cache_view view;
    cache_reader_view(&f->reader, &view);
    while (f->at < view.filled) {
        struct iovec pieces[2];
        unsigned count = cache_reader_pieces(&f->reader, f->at, pieces, 2);
        weir_assert(count > 0);
        check_pieces(pieces, count, 0, f->at);
        for (unsigned i = 0; i < count; i++)
            f->at += pieces[i].iov_len;
        cache_reader_take(&f->reader, f->at);
        if (f->at >= f->leaves_at) {
            atomic_fetch_add(&shared.early, 1);
            finish(f);
            return false;
        }
    }
    if (view.phase == CACHE_FILL_COMPLETE) {
        weir_assert(f->at == shared.round.length);
        atomic_fetch_add(&shared.whole, 1);
        finish(f);
        return false;
    }
    if (view.phase == CACHE_FILL_ABORTED) {
        atomic_fetch_add(&shared.broken, 1);
        finish(f);
        return false;
    }
    return true;
}

static void follow(struct follower *f)
{
    while (look(f) && !cache_reader_wait(&f->reader))
        ;
}

static void on_news(struct cache_reader *reader)
{
    struct follower *f = weir_container(reader, struct follower, reader);
    weir_assert(mailbox_current() == &f->thread->mailbox);
    weir_assert(!f->done);
    if (reader->cut) {
        atomic_fetch_add(&shared.cut, 1);
        finish(f);
        return;
    }
    follow(f);
}

static void run_mail(struct mailbox *mailbox)
{
    struct pollfd wait = {.fd = mailbox->event_fd, .events = POLLIN};
    int ready = poll(&wait, 1, LONGEST_WAIT_MS);
    weir_assert(ready == 1); /* else a wake-up was lost */
    mailbox_run_foreign(mailbox);
    mailbox_run_local(mailbox);
}

static void drain(struct mailbox *mailbox)
{
    mailbox_run_foreign(mailbox);
    mailbox_run_local(mailbox);
}

/* Also at any moment, not only when something was read. */
static void leave_at_random(struct thread *t)
{
    struct follower *f = &t->followers[next_random(&t->random) % READERS_PER_THREAD];
    if (f->done || next_random(&t->random) % 16 != 0)
        return;
    atomic_fetch_add(&shared.early, 1);
    finish(f);
}

static void *run_readers(void *arg)
{
    struct thread *t = arg;
    mailbox_adopt(&t->mailbox);
    for (unsigned round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&shared.barrier);
        t->open = READERS_PER_THREAD;
        for (unsigned i = 0; i < READERS_PER_THREAD; i++) {
            struct follower *f = &t->followers[i];
            *f = (struct follower){.thread = t, .leaves_at = UINT64_MAX};
            if (next_random(&t->random) % 4 == 0)
                f->leaves_at = next_random(&t->random) % (shared.round.length + 1);
            f->reader.mailbox = &t->mailbox;
            f->reader.on_news = on_news;
            struct cache_fill *fill = cache_fill_ref(shared.round.fill);
            weir_assert(cache_reader_attach(&f->reader, &fill));
        }
        pthread_barrier_wait(&shared.barrier);
        for (unsigned i = 0; i < READERS_PER_THREAD; i++)
            follow(&t->followers[i]);
        while (t->open > 0) {
            run_mail(&t->mailbox);
            leave_at_random(t);
        }
        pthread_barrier_wait(&shared.barrier);
        drain(&t->mailbox); /* a message to nobody holds the fill */
        pthread_barrier_wait(&shared.barrier);
    }
    return NULL;
}

struct writer {
    struct mailbox mailbox;
    bool opened;
};

static void on_readers(void *arg)
{
    ((struct writer *)arg)->opened = true;
}

static void write_round(struct writer *writer, uint64_t *random)
{
    struct round *round = &shared.round;
    weir_assert(give_head(
        round->fill,
        (struct answer){.lifetime_s = 60,
                        .reason = round->pass ? POLICY_NO_STORE : POLICY_STORE,
                        .length = round->pass || *random % 2 ? -1 : (int64_t)round->length}));
    uint64_t written = 0, end = round->aborts ? round->length / 2 : round->length;
    while (written < end) {
        uint64_t step = 1 + next_random(random) % (next_random(random) % 4 ? 3000 : 100000);
        step = step < end - written ? step : end - written;
        writer->opened = false;
        uint64_t got = give_body(round->fill, 0, written, step);
        written += got;
        if (got == step)
            continue;
        /* The window is full: whoever holds it back takes some or leaves. */
        if (cache_fill_readers(round->fill) == 0)
            break;
        while (!writer->opened)
            run_mail(&writer->mailbox);
    }
    if (written == round->length)
        cache_fill_complete(round->fill, STR(""), 0);
    cache_fill_end_writer(&round->fill);
}

static void test_readers_of_many_threads(void **state)
{
    (void)state;
    shared.seed = choose_seed();
    uint64_t random = shared.seed;
    shared.cache = cache_new(16 * MIB, 4 * MIB, 2, 0);
    pthread_barrier_init(&shared.barrier, NULL, READER_THREADS + 1);
    struct writer writer = {.opened = false};
    mailbox_init(&writer.mailbox);
    mailbox_adopt(&writer.mailbox);
    struct thread threads[READER_THREADS];
    for (unsigned i = 0; i < READER_THREADS; i++) {
        threads[i] = (struct thread){.random = next_random(&random)};
        mailbox_init(&threads[i].mailbox);
        pthread_create(&threads[i].id, NULL, run_readers, &threads[i]);
    }
    unsigned stored = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        char url[32];
        snprintf(url, sizeof(url), "http://t/%u", i);
        struct cache_find found;
        assert_int_equal(ask(shared.cache, (struct ask){.url = url}, &found), CACHE_LEAD);
        shared.round = (struct round){.fill = found.fill,
                                      .length = next_random(&random) % (i % 3 ? 20000 : 900000),
                                      .pass = i % 4 == 0,
                                      .aborts = i % 7 == 0};
        bool keeps = !shared.round.pass && !shared.round.aborts;
        cache_fill_set_writer(found.fill, &writer.mailbox, &writer, on_readers);
        pthread_barrier_wait(&shared.barrier);
        pthread_barrier_wait(&shared.barrier);
        write_round(&writer, &random);
        pthread_barrier_wait(&shared.barrier);
        pthread_barrier_wait(&shared.barrier);
        drain(&writer.mailbox);
        assert_int_equal(stats_of(shared.cache).fills, 0);
        assert_int_equal(stats_of(shared.cache).readers, 0);
        assert_int_equal(is_hit(shared.cache, url, 0), keeps);
        stored += keeps;
    }
    for (unsigned i = 0; i < READER_THREADS; i++) {
        pthread_join(threads[i].id, NULL);
        mailbox_destroy(&threads[i].mailbox);
    }
    print_message("whole %u, broken %u, left early %u, cut %u\n", shared.whole, shared.broken,
                  shared.early, shared.cut);
    assert_int_equal(shared.whole + shared.broken + shared.early + shared.cut,
                     ROUNDS * READER_THREADS * READERS_PER_THREAD);
    assert_true(shared.whole > 0 && shared.broken > 0 && shared.early > 0);
    assert_int_equal(stats_of(shared.cache).stored, stored);
    pthread_barrier_destroy(&shared.barrier);
    mailbox_destroy(&writer.mailbox);
    cache_free(&shared.cache);
}

/* ---- all of the cache from several threads at once ---- */

#define STORM_THREADS 4u
#define STORM_STEPS 4000u

static void storm_step(struct cache *cache, uint64_t *random)
{
    char url[32];
    snprintf(url, sizeof(url), "http://s/%u", (unsigned)(next_random(random) % 2000));
    struct cache_key key = key_of(cache, url);
    struct cache_find found;
    switch (next_random(random) % 50) {
    case 0:
        cache_purge(cache, &key);
        return;
    case 1:
        weir_assert(stats_of(cache).bytes <= MIB);
        return;
    default:
        break;
    }
    enum cache_found result = ask(cache, (struct ask){.url = url}, &found);
    if (result == CACHE_HIT)
        check_object(found.object, 0, cache_object_length(found.object));
    if (result == CACHE_LEAD) {
        uint64_t length = next_random(random) % (next_random(random) % 10 ? 3000 : 60000);
        struct answer answer = {.lifetime_s = 60,
                                .length = length % 2 ? -1 : (int64_t)length,
                                .flags = CACHE_HAS_VALIDATOR};
        if (give_head(found.fill, answer) && give_body(found.fill, 0, 0, length) == length)
            cache_fill_complete(found.fill, STR(""), 0);
        cache_fill_end_writer(&found.fill);
    }
    if (result == CACHE_HIT && next_random(random) % 8 == 0) {
        struct cache_meta meta = cache_object_meta(found.object);
        struct cache_object *fresh =
            cache_freshen(cache, &key, found.object, &meta, STR("B: c\r\n"), 0);
        cache_object_release(&fresh);
    }
    let_go(&found);
}

static void *run_storm(void *arg)
{
    uint64_t random = *(uint64_t *)arg;
    for (unsigned i = 0; i < STORM_STEPS; i++)
        storm_step(shared.cache, &random);
    return NULL;
}

static void test_storm(void **state)
{
    (void)state;
    uint64_t random = choose_seed(), seeds[STORM_THREADS];
    shared.cache = cache_new(MIB, 100 * KIB, 2, 4);
    pthread_t threads[STORM_THREADS];
    for (unsigned i = 0; i < STORM_THREADS; i++) {
        seeds[i] = next_random(&random);
        pthread_create(&threads[i], NULL, run_storm, &seeds[i]);
    }
    for (unsigned i = 0; i < STORM_THREADS; i++)
        pthread_join(threads[i], NULL);
    struct cache_stats stats = stats_of(shared.cache);
    assert_true(stats.stored > 100 && stats.evicted > 100);
    assert_int_equal(stats.fills, 0);
    /* This asserts that every byte beside the tables has been given back. */
    cache_free(&shared.cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_readers_of_many_threads),
        cmocka_unit_test(test_storm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
