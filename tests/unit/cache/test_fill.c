/* cache/fill.c: the writer's side, and what its readers see of it on the same thread. */
#include "tests/unit/cache/cache_fixture.h"

#include "cache/budget.h"
#include "cache/fill.h"
#include "cache/object.h"

#define URL "http://f.example/x"

struct fixture {
    struct cache *cache;
    struct mailbox mailbox;
    unsigned news, told_writer;
};

struct watcher {
    struct cache_reader reader;
    struct fixture *fixture;
    bool leaves_when_cut, waits_again;
};

static void on_news(struct cache_reader *reader)
{
    struct watcher *watcher = weir_container(reader, struct watcher, reader);
    watcher->fixture->news++;
    if (reader->cut && watcher->leaves_when_cut)
        cache_reader_leave(reader);
    if (watcher->waits_again) {
        struct cache_view view;
        cache_reader_view(reader, &view);
        cache_reader_wait(reader);
    }
}

static void on_readers(void *writer)
{
    ((struct fixture *)writer)->told_writer++;
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    fixture->cache = cache_new(8 * MIB, MIB, 1, 0);
    mailbox_init(&fixture->mailbox);
    mailbox_adopt(&fixture->mailbox);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    mailbox_run_local(&fixture->mailbox);
    assert_int_equal(stats_of(fixture->cache).fills, 0);
    assert_int_equal(stats_of(fixture->cache).readers, 0);
    mailbox_destroy(&fixture->mailbox);
    cache_free(&fixture->cache);
    free(fixture);
    return 0;
}

static struct cache_fill *lead(struct fixture *fixture)
{
    struct cache_find found;
    assert_int_equal(ask(fixture->cache, (struct ask){.url = URL}, &found), CACHE_LEAD);
    cache_fill_set_writer(found.fill, &fixture->mailbox, fixture, on_readers);
    return found.fill;
}

static void attach(struct fixture *fixture, struct watcher *watcher, struct cache_fill **fill)
{
    *watcher = (struct watcher){.reader = {.mailbox = &fixture->mailbox, .on_news = on_news},
                                .fixture = fixture};
    assert_true(cache_reader_attach(&watcher->reader, fill));
    assert_null(*fill);
}

static void watch(struct fixture *fixture, struct watcher *watcher, struct cache_fill *fill)
{
    struct cache_fill *ref = cache_fill_ref(fill);
    attach(fixture, watcher, &ref);
}

static struct cache_view view_of(struct watcher *watcher)
{
    struct cache_view view;
    cache_reader_view(&watcher->reader, &view);
    return view;
}

static void check_read(struct watcher *watcher, uint64_t from, uint64_t end)
{
    while (from < end) {
        struct iovec piece;
        assert_int_equal(cache_reader_pieces(&watcher->reader, from, &piece, 1), 1);
        if (piece.iov_len > end - from)
            piece.iov_len = end - from;
        check_pieces(&piece, 1, 0, from);
        from += piece.iov_len;
    }
    assert_int_equal(from, end);
}

static void test_reader_sees_each_step(void **state)
{
    struct fixture *f = *state;
    struct cache_fill *fill = lead(f);
    struct watcher w;
    watch(f, &w, fill);
    assert_int_equal(cache_fill_readers(fill), 1);
    struct cache_view view = view_of(&w);
    assert_int_equal(view.phase, CACHE_FILL_AWAITS_HEAD);
    assert_false(view.has_head || view.pass || view.missed);
    assert_true(cache_reader_wait(&w.reader));

    assert_true(give_head(fill, (struct answer){.lifetime_s = 60, .length = -1}));
    assert_int_equal(f->news, 0);
    mailbox_run_local(&f->mailbox);
    assert_int_equal(f->news, 1);
    assert_false(cache_reader_wait(&w.reader));
    view = view_of(&w);
    assert_int_equal(view.phase, CACHE_FILL_STREAMING);
    assert_true(view.has_head && !view.pass);
    assert_true(str_equal(view.block, STR("Content-Type: text/plain\r\n")));
    assert_int_equal(view.content_length, -1);
    assert_true(cache_reader_wait(&w.reader));
    assert_true(cache_reader_wait(&w.reader));

    assert_int_equal(give_body(fill, 0, 0, 10000), 10000);
    mailbox_run_local(&f->mailbox);
    /* One wake-up, however many chunks. */
    assert_int_equal(f->news, 2);
    assert_int_equal(view_of(&w).filled, 10000);
    check_read(&w, 0, 10000);
    cache_reader_take(&w.reader, 5000);
    assert_true(cache_reader_wait(&w.reader));

    cache_fill_complete(fill, STR("T: 1\r\n"), 0);
    mailbox_run_local(&f->mailbox);
    assert_int_equal(f->news, 3);
    view = view_of(&w);
    assert_int_equal(view.phase, CACHE_FILL_COMPLETE);
    assert_true(str_equal(view.trailers, STR("T: 1\r\n")));
    cache_fill_end_writer(&fill);
    /* It goes on reading from what was shared with the object. */
    check_read(&w, 5000, 10000);
    assert_true(is_hit(f->cache, URL, 0));
    cache_reader_leave(&w.reader);
    assert_int_equal(f->told_writer, 0);
}

/* For each length at the edges of the ways a body is kept, known and unknown. */
static void test_what_is_stored_is_what_came(void **state)
{
    struct fixture *f = *state;
    static const uint64_t lengths[] = {0,     1,         100,    16 * KIB - 1, 16 * KIB,
                                       16385, 256 * KIB, 262145, MIB - 1,      MIB};
    struct cache_key key = key_of(f->cache, URL);
    uint64_t empty = stats_of(f->cache).bytes;
    for (unsigned i = 0; i < 2 * weir_count(lengths); i++) {
        uint64_t length = lengths[i / 2];
        struct answer answer = {.lifetime_s = 60, .length = i % 2 ? (int64_t)length : -1};
        assert_true(store_answer(f->cache, (struct ask){.url = URL}, answer, 9, length));
        struct cache_find found;
        assert_int_equal(ask(f->cache, (struct ask){.url = URL}, &found), CACHE_HIT);
        check_object(found.object, 9, length);
        uint64_t cost = stats_of(f->cache).bytes - empty;
        assert_int_equal(cost, cache_object_weight(found.object));
        assert_true(cost <= length + length / 4 + 8 * KIB);
        let_go(&found);
        assert_int_equal(cache_purge(f->cache, &key), 1);
        assert_int_equal(stats_of(f->cache).bytes, empty);
    }
}

static void test_append_copies(void **state)
{
    struct fixture *f = *state;
    struct cache_fill *fill = lead(f);
    assert_true(give_head(fill, (struct answer){.lifetime_s = 60, .length = -1}));
    char bytes[9000];
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = byte_at(0, i);
    bool failed = true;
    assert_int_equal(cache_fill_append(fill, bytes, sizeof(bytes), &failed), sizeof(bytes));
    assert_false(failed);
    cache_fill_complete(fill, STR(""), 0);
    cache_fill_end_writer(&fill);
    struct cache_find found;
    assert_int_equal(ask(f->cache, (struct ask){.url = URL}, &found), CACHE_HIT);
    check_object(found.object, 0, sizeof(bytes));
    let_go(&found);
}

static void test_bodiless_head_announces_only(void **state)
{
    struct fixture *f = *state;
    struct cache_fill *fill = cache_fill_private(f->cache);
    struct cache_fill_head head = {
        .reason = POLICY_METHOD, .content_length = 5000000, .bodiless = true};
    assert_true(cache_fill_set_head(fill, &head));
    struct watcher w;
    watch(f, &w, fill);
    cache_fill_complete(fill, STR(""), 0);
    struct cache_view view = view_of(&w);
    assert_true(view.bodiless && view.pass && view.content_length == 5000000);
    assert_int_equal(view.phase, CACHE_FILL_COMPLETE);
    cache_fill_end_writer(&fill);
    cache_reader_leave(&w.reader);
}

static void test_abort_is_seen_and_nothing_is_kept(void **state)
{
    struct fixture *f = *state;
    struct watcher w[3];
    for (unsigned head = 0; head < 2; head++) {
        struct cache_fill *fill = lead(f);
        for (unsigned i = 0; i < 3; i++) {
            watch(f, &w[i], fill);
            view_of(&w[i]);
        }
        if (head) {
            assert_true(give_head(fill, (struct answer){.lifetime_s = 60, .length = 100}));
            assert_int_equal(give_body(fill, 0, 0, 50), 50);
        }
        cache_fill_abort(fill, 504, "timeout");
        cache_fill_abort(fill, 502, "again");
        cache_fill_end_writer(&fill);
        for (unsigned i = 0; i < 3; i++) {
            struct cache_view view = view_of(&w[i]);
            assert_int_equal(view.phase, CACHE_FILL_ABORTED);
            assert_int_equal(view.abort_status, 504);
            assert_string_equal(view.abort_detail, "timeout");
            assert_int_equal(view.has_head, head);
            check_read(&w[i], 0, head ? 50 : 0);
            cache_reader_leave(&w[i].reader);
        }
        assert_false(is_hit(f->cache, URL, 0));
        assert_int_equal(stats_of(f->cache).objects, 0);
    }
}

static void test_a_writer_that_ends_early_aborts(void **state)
{
    struct fixture *f = *state;
    struct cache_fill *fill = lead(f);
    struct watcher w;
    watch(f, &w, fill);
    view_of(&w);
    assert_true(cache_reader_wait(&w.reader));
    cache_fill_end_writer(&fill);
    mailbox_run_local(&f->mailbox);
    assert_int_equal(f->news, 1);
    assert_int_equal(view_of(&w).phase, CACHE_FILL_ABORTED);
    assert_int_equal(view_of(&w).abort_status, 502);
    cache_reader_leave(&w.reader);
    /* The next request starts afresh. */
    fill = lead(f);
    cache_fill_end_writer(&fill);
}

static void test_304_gives_readers_the_object(void **state)
{
    struct fixture *f = *state;
    struct cache_fill *fill = lead(f);
    struct watcher w;
    watch(f, &w, fill);
    struct cache_object *object = cache_object_private(200, STR("A: b\r\n"), STR("body"));
    cache_fill_use_object(fill, object, POLICY_STORE, 0, 0);
    cache_fill_end_writer(&fill);
    struct cache_view view = view_of(&w);
    assert_int_equal(view.phase, CACHE_FILL_REPLACED);
    assert_ptr_equal(view.object, object);
    cache_object_release(&object);
    assert_int_equal(cache_object_length(view.object), 4);
    cache_reader_leave(&w.reader);
}

static void test_not_stored_is_joined_by_nobody(void **state)
{
    struct fixture *f = *state;
    struct cache_fill *fill = lead(f);
    struct watcher w;
    watch(f, &w, fill);
    assert_true(give_head(fill, (struct answer){.reason = POLICY_NO_STORE, .length = 10}));
    struct cache_view view = view_of(&w);
    assert_true(view.pass);
    assert_int_equal(view.reason, POLICY_NO_STORE);
    struct cache_fill *second = lead(f);
    cache_fill_end_writer(&second);
    assert_int_equal(give_body(fill, 0, 0, 10), 10);
    cache_fill_complete(fill, STR(""), 0);
    cache_fill_end_writer(&fill);
    check_read(&w, 0, 10);
    cache_reader_leave(&w.reader);
    assert_int_equal(stats_of(f->cache).stored, 0);
}

/* A pass is written as fast as it is read, keeps no more than its window, and wakes its writer each
 * time. */
static void test_window_of_a_pass(void **state)
{
    struct fixture *f = *state;
    struct cache_fill *fill = cache_fill_private(f->cache);
    cache_fill_set_writer(fill, &f->mailbox, f, on_readers);
    struct watcher w;
    watch(f, &w, fill);
    assert_true(give_head(fill, (struct answer){.reason = POLICY_TOO_LARGE, .length = 16 * MIB}));
    uint64_t empty = stats_of(f->cache).bytes, written = 0, taken = 0;
    while (written < 16 * MIB) {
        size_t got = give_body(fill, 0, written, 16 * MIB - written);
        assert_true(got > 0);
        written += got;
        assert_int_equal(written - taken, written < 16 * MIB ? 256 * KIB : written - taken);
        assert_true(stats_of(f->cache).bytes - empty <= 400 * KIB);
        unsigned told = f->told_writer;
        while (f->told_writer == told && taken < written) {
            check_read(&w, taken, taken + 1000 < written ? taken + 1000 : written);
            taken = taken + 1000 < written ? taken + 1000 : written;
            cache_reader_take(&w.reader, taken);
            mailbox_run_local(&f->mailbox);
        }
        assert_true(f->told_writer == told + 1 || written == 16 * MIB);
    }
    cache_fill_complete(fill, STR(""), 0);
    cache_fill_end_writer(&fill);
    check_read(&w, taken, 16 * MIB);
    cache_reader_leave(&w.reader);
}

static void test_the_last_reader_tells_the_writer(void **state)
{
    struct fixture *f = *state;
    struct cache_fill *fill = lead(f);
    struct watcher w[2];
    watch(f, &w[0], fill);
    watch(f, &w[1], fill);
    assert_true(cache_fill_worth_going_on(fill));
    cache_reader_leave(&w[0].reader);
    mailbox_run_local(&f->mailbox);
    assert_int_equal(f->told_writer, 0);
    cache_reader_leave(&w[1].reader);
    mailbox_run_local(&f->mailbox);
    assert_int_equal(f->told_writer, 1);
    assert_false(cache_fill_worth_going_on(fill));
    assert_true(give_head(fill, (struct answer){.lifetime_s = 60, .length = 100}));
    assert_int_equal(give_body(fill, 0, 0, 49), 49);
    assert_false(cache_fill_worth_going_on(fill));
    assert_int_equal(give_body(fill, 0, 49, 1), 1);
    assert_true(cache_fill_worth_going_on(fill));
    /* A message that is under way when the writer ends is not delivered. */
    watch(f, &w[0], fill);
    cache_reader_leave(&w[0].reader);
    cache_fill_end_writer(&fill);
    assert_int_equal(stats_of(f->cache).fills, 1);
    mailbox_run_local(&f->mailbox);
    assert_int_equal(f->told_writer, 1);
}

/* Without a length it turns out late; who reads goes on, who comes late is told. */
static void test_outgrowing_max_object(void **state)
{
    struct fixture *f = *state;
    struct cache_fill *fill = lead(f);
    struct cache_fill *late = cache_fill_ref(fill);
    struct watcher w[2], missed;
    watch(f, &w[0], fill);
    watch(f, &w[1], fill);
    assert_true(give_head(fill, (struct answer){.lifetime_s = 60, .length = -1}));
    uint64_t written = give_body(fill, 0, 0, 3 * MIB);
    /* Full speed up to there, and then the slowest reader holds it back. */
    assert_in_range(written, MIB + 1, MIB + 512 * KIB);
    assert_true(view_of(&w[0]).pass);
    assert_int_equal(view_of(&w[0]).reason, POLICY_TOO_LARGE);
    cache_reader_take(&w[0].reader, written);
    assert_int_equal(give_body(fill, 0, written, 1), 0);
    check_read(&w[1], 0, written);
    cache_reader_take(&w[1].reader, written);
    mailbox_run_local(&f->mailbox);
    assert_int_equal(f->told_writer, 1);
    attach(f, &missed, &late);
    assert_true(view_of(&missed).missed);
    struct iovec piece;
    assert_int_equal(cache_reader_pieces(&missed.reader, 0, &piece, 1), 0);
    uint64_t more = give_body(fill, 0, written, 100 * KIB);
    assert_int_equal(more, 100 * KIB);
    check_read(&w[0], written, written + more);
    cache_reader_leave(&missed.reader);
    cache_fill_complete(fill, STR(""), 0);
    cache_fill_end_writer(&fill);
    check_read(&w[1], written, written + more);
    cache_reader_leave(&w[0].reader);
    cache_reader_leave(&w[1].reader);
    assert_false(is_hit(f->cache, URL, 0));
}

/* The slowest leaves: the others go on at once. */
static void test_leaving_opens_the_window(void **state)
{
    struct fixture *f = *state;
    struct cache_fill *fill = cache_fill_private(f->cache);
    cache_fill_set_writer(fill, &f->mailbox, f, on_readers);
    struct watcher w[2];
    watch(f, &w[0], fill);
    watch(f, &w[1], fill);
    assert_true(give_head(fill, (struct answer){.reason = POLICY_NO_STORE, .length = -1}));
    assert_int_equal(give_body(fill, 0, 0, MIB), 256 * KIB);
    cache_reader_take(&w[0].reader, 256 * KIB);
    mailbox_run_local(&f->mailbox);
    assert_int_equal(f->told_writer, 0);
    cache_reader_leave(&w[1].reader);
    mailbox_run_local(&f->mailbox);
    assert_int_equal(f->told_writer, 1);
    assert_int_equal(give_body(fill, 0, 256 * KIB, MIB), 256 * KIB);
    cache_reader_leave(&w[0].reader);
    cache_fill_end_writer(&fill);
}

static void wait_for_more(struct watcher *watcher)
{
    view_of(watcher);
    assert_true(cache_reader_wait(&watcher->reader));
}

/* Of two readers of what cannot be stored the one that waits for more goes on, and the one that
   holds the window full is cut. A single one is never cut. */
static void test_the_slow_one_is_cut(void **state)
{
    struct fixture *f = *state;
    struct cache_fill *fill = lead(f);
    struct watcher fast, slow;
    watch(f, &fast, fill);
    watch(f, &slow, fill);
    slow.leaves_when_cut = true;
    assert_true(give_head(fill, (struct answer){.lifetime_s = 60, .length = -1}));
    uint64_t written = give_body(fill, 0, 0, 2 * MIB);
    mailbox_run_local(&f->mailbox);
    cache_reader_take(&fast.reader, written);
    assert_int_equal(give_body(fill, 0, written, 1), 0);
    assert_false(cache_fill_is_held_up(fill)); /* nobody waits yet */
    f->told_writer = 0;
    wait_for_more(&fast);
    mailbox_run_local(&f->mailbox);
    assert_int_equal(f->told_writer, 1); /* who looks once more */
    assert_int_equal(give_body(fill, 0, written, 1), 0);
    assert_true(cache_fill_is_held_up(fill));
    cache_fill_cut_slow(fill);
    mailbox_run_local(&f->mailbox);
    assert_int_equal(stats_of(f->cache).readers_cut, 1);
    assert_true(slow.reader.cut && slow.reader.fill == NULL);
    assert_false(fast.reader.cut);
    assert_true(f->told_writer >= 2);
    uint64_t more = give_body(fill, 0, written, 2 * MIB);
    assert_int_equal(more, 256 * KIB);
    /* Alone it is held back, and holds up nobody. */
    wait_for_more(&fast);
    assert_int_equal(give_body(fill, 0, written + more, 1), 0);
    assert_false(cache_fill_is_held_up(fill));
    cache_fill_end_writer(&fill);
    cache_reader_leave(&fast.reader);
}

/* 200 readers are woken by one message, some at a time, and once. */
static void test_one_message_wakes_all(void **state)
{
    struct fixture *f = *state;
    struct cache_fill *fill = lead(f);
    static struct watcher w[200];
    for (unsigned i = 0; i < weir_count(w); i++) {
        watch(f, &w[i], fill);
        w[i].waits_again = true;
        wait_for_more(&w[i]);
    }
    assert_true(give_head(fill, (struct answer){.lifetime_s = 60, .length = 10}));
    mailbox_run_local(&f->mailbox);
    assert_in_range(f->news, 1, weir_count(w) / 2);
    for (unsigned turn = 0; turn < 20; turn++)
        mailbox_run_foreign(&f->mailbox);
    assert_int_equal(f->news, weir_count(w));
    for (unsigned i = 0; i < weir_count(w); i++)
        cache_reader_leave(&w[i].reader);
    cache_fill_end_writer(&fill);
}

static struct cache_fill *lead_again(struct fixture *f, bool hit_for_miss, int64_t now_ms)
{
    struct cache_find found;
    assert_int_equal(ask(f->cache, (struct ask){.url = URL, .now_ms = now_ms}, &found), CACHE_LEAD);
    assert_int_equal(found.hit_for_miss, hit_for_miss);
    return found.fill;
}

static void give_not_stored(struct cache_fill *fill, int64_t until_ms)
{
    struct cache_fill_head head = {.meta.status = 200,
                                   .reason = POLICY_NO_STORE,
                                   .content_length = 0,
                                   .hit_for_miss_ms = until_ms};
    assert_true(cache_fill_set_head(fill, &head));
    cache_fill_complete(fill, STR(""), 0);
    cache_fill_end_writer(&fill);
}

static void test_hit_for_miss(void **state)
{
    struct fixture *f = *state;
    struct cache_find found;
    give_not_stored(lead_again(f, false, 1000), 5000);
    assert_int_equal(stats_of(f->cache).hit_for_miss, 1);
    /* Side by side, for so long. */
    struct cache_fill *one = lead_again(f, true, 4900), *two = lead_again(f, true, 4900);
    struct cache_fill *late = lead_again(f, false, 5000);
    assert_int_equal(ask(f->cache, (struct ask){.url = URL, .now_ms = 5000}, &found), CACHE_JOIN);
    let_go(&found);
    cache_fill_end_writer(&late);
    /* One that is to be stored after all is joined, and ends it. */
    assert_true(give_head(one, (struct answer){.lifetime_s = 60, .length = 1}));
    assert_int_equal(ask(f->cache, (struct ask){.url = URL, .now_ms = 4900}, &found), CACHE_JOIN);
    let_go(&found);
    assert_int_equal(stats_of(f->cache).hit_for_miss, 0);
    assert_int_equal(give_body(one, 0, 0, 1), 1);
    cache_fill_complete(one, STR(""), 0);
    cache_fill_end_writer(&one);
    assert_true(is_hit(f->cache, URL, 5000));
    /* A purge reaches those that nobody could join. */
    struct cache_key key = key_of(f->cache, URL);
    assert_int_equal(cache_purge(f->cache, &key), 1);
    assert_true(give_head(two, (struct answer){.lifetime_s = 60, .length = 0}));
    cache_fill_complete(two, STR(""), 0);
    cache_fill_end_writer(&two);
    assert_false(is_hit(f->cache, URL, 5000));
    cache_watch_memory(f->cache, 6000);
    assert_int_equal(stats_of(f->cache).hit_for_miss, 0);
}

/* What is stored only to be validated each time is of no use to those who wait either; and what a
   request with Authorization is given tells nothing of the others. */
static void test_hit_for_miss_of_what_nobody_shares(void **state)
{
    struct fixture *f = *state;
    struct cache_fill *fill = lead_again(f, false, 1000);
    struct cache_fill_head head = {.meta = {.status = 200, .flags = CACHE_HAS_VALIDATOR},
                                   .reason = POLICY_STORE,
                                   .content_length = 0,
                                   .now_ms = 1000,
                                   .hit_for_miss_ms = 1000};
    assert_true(cache_fill_set_head(fill, &head));
    struct cache_fill *beside = lead_again(f, true, 1000);
    cache_fill_complete(fill, STR(""), 1000);
    cache_fill_end_writer(&fill);
    cache_fill_end_writer(&beside);
    assert_int_equal(stats_of(f->cache).objects, 1);

    struct cache_find found;
    struct policy_request authorized = plain_request;
    authorized.authorization = true;
    struct ask plain = {.url = "http://f.example/auth"}, other = plain;
    other.request = &authorized;
    assert_int_equal(ask(f->cache, other, &found), CACHE_LEAD);
    head.reason = POLICY_AUTHORIZATION;
    assert_true(cache_fill_set_head(found.fill, &head));
    cache_fill_end_writer(&found.fill);
    assert_int_equal(ask(f->cache, other, &found), CACHE_LEAD);
    assert_true(found.hit_for_miss);
    cache_fill_end_writer(&found.fill);
    assert_int_equal(ask(f->cache, plain, &found), CACHE_LEAD);
    assert_false(found.hit_for_miss);
    cache_fill_end_writer(&found.fill);
}

/* Requests for ever new variants do not make lookups longer and longer. */
static void test_variants_on_their_way_are_bounded(void **state)
{
    struct fixture *f = *state;
    struct cache_fill *fills[100];
    struct cache_find found;
    unsigned count = 0;
    enum cache_found result = CACHE_LEAD;
    for (; count < weir_count(fills); count++) {
        char language[8];
        snprintf(language, sizeof(language), "l%u", count);
        result = ask(f->cache, (struct ask){.url = URL, .language = language}, &found);
        if (result != CACHE_LEAD)
            break;
        fills[count] = found.fill;
        assert_true(give_head(
            found.fill,
            (struct answer){.lifetime_s = 60, .length = 1, .language = language, .vary = true}));
    }
    assert_int_equal(result, CACHE_ALONE);
    assert_int_equal(count, 64);
    while (count > 0)
        cache_fill_end_writer(&fills[--count]);
}

/* More keys than a set holds: the oldest is forgotten, the others are not. */
static void test_hit_for_miss_is_bounded(void **state)
{
    struct fixture *f = *state;
    char url[64];
    for (unsigned i = 0; i < 20000; i++) {
        struct cache_find found;
        snprintf(url, sizeof(url), "http://f.example/%u", i);
        assert_int_equal(ask(f->cache, (struct ask){.url = url}, &found), CACHE_LEAD);
        give_not_stored(found.fill, 60000);
    }
    assert_in_range(stats_of(f->cache).hit_for_miss, 2000, 20000);
}

static uint64_t sum_of_kinds(const struct cache_stats *stats)
{
    return stats->memory.heads + stats->memory.bodies + stats->memory.index + stats->memory.ghost +
           stats->memory.fills + stats->memory.pinned;
}

/* As a 304 does that selects another variant (RFC 9111 §4.3.4). */
static void test_a_body_that_variants_share_counts_once(void **state)
{
    struct fixture *f = *state;
    assert_true(store_answer(f->cache, (struct ask){.url = URL},
                             (struct answer){.lifetime_s = 60, .length = 100000}, 0, 100000));
    struct cache_key key = key_of(f->cache, URL);
    struct cache_object *first, *copy;
    assert_int_equal(cache_variants(f->cache, &key, NULL, 0, &first, 1), 1);
    struct cache_meta meta = cache_object_meta(first);
    char bytes[256];
    struct field language = {"Accept-Language", "en", 2, 15, FIELD_OTHER};
    struct field vary = {"Vary", "Accept-Language", 15, 4, FIELD_VARY};
    struct appender selects = appender_on(bytes, sizeof(bytes));
    assert_true(
        cache_vary_build((struct fields){&vary, 1}, (struct fields){&language, 1}, &selects));
    copy = cache_freshen_as(f->cache, &key, first, &meta, cache_object_block(first),
                            str_of(selects.ptr, selects.len));
    assert_ptr_not_equal(copy, first);
    cache_object_release(&copy);
    struct cache_stats stats = stats_of(f->cache);
    assert_int_equal(stats.objects, 2);
    assert_int_equal(sum_of_kinds(&stats), stats.bytes);
    assert_int_equal(stats.memory.fills, 0);
    assert_in_range(stats.memory.bodies, 100000, 106000);
    cache_drop(f->cache, &key, first);
    cache_object_release(&first);
    stats = stats_of(f->cache);
    assert_int_equal(stats.objects, 1);
    assert_int_equal(sum_of_kinds(&stats), stats.bytes);
    assert_in_range(stats.memory.bodies, 100000, 106000);
}

static void test_what_the_memory_is_used_for(void **state)
{
    struct fixture *f = *state;
    assert_true(store_answer(f->cache, (struct ask){.url = URL},
                             (struct answer){.lifetime_s = 60, .length = 100000}, 0, 100000));
    struct cache_stats stats = stats_of(f->cache);
    assert_int_equal(sum_of_kinds(&stats), stats.bytes);
    assert_in_range(stats.memory.bodies, 100000, 106000);
    assert_in_range(stats.memory.heads, 80, 400);
    assert_int_equal(stats.memory.pinned, 0);
    assert_int_equal(stats.memory.fills, 0);
    /* Read by somebody, and purged. */
    struct cache_find found;
    assert_int_equal(ask(f->cache, (struct ask){.url = URL}, &found), CACHE_HIT);
    struct cache_key key = key_of(f->cache, URL);
    cache_purge(f->cache, &key);
    uint64_t held = stats_of(f->cache).bytes;
    assert_int_equal(held, stats.bytes);
    assert_int_equal(stats_of(f->cache).memory.pinned, stats.memory.heads + stats.memory.bodies);
    let_go(&found);
    assert_int_equal(stats_of(f->cache).memory.pinned, 0);
    assert_true(stats_of(f->cache).bytes < held);
    struct cache_fill *fill = lead(f);
    assert_true(stats_of(f->cache).memory.fills > 0);
    cache_fill_end_writer(&fill);
}

/* All is held by fills: what is new is passed on, and in the end refused. One episode. */
static void test_short_of_memory(void **state)
{
    struct fixture *f = *state;
    struct cache *big = f->cache;
    f->cache = cache_new(MIB, 64 * MIB, 1, 1);
    struct cache_fill *fills[200];
    struct watcher w[200];
    unsigned count = 0, stored = 0;
    uint64_t refused = 0;
    for (; count < weir_count(fills) && refused == 0; count++) {
        char url[32];
        struct cache_find found;
        snprintf(url, sizeof(url), "http://f.example/%u", count);
        if (ask(f->cache, (struct ask){.url = url}, &found) == CACHE_OUT_OF_MEMORY)
            break;
        fills[count] = found.fill;
        cache_fill_set_writer(found.fill, &f->mailbox, f, on_readers);
        watch(f, &w[count], found.fill);
        if (give_head(found.fill, (struct answer){.lifetime_s = 60, .length = 100 * KIB}))
            give_body(found.fill, 0, 0, 90 * KIB);
        stored += !view_of(&w[count]).pass;
        refused = stats_of(f->cache).shortage.refused;
        assert_true(stats_of(f->cache).bytes <= MIB);
    }
    struct cache_stats stats = stats_of(f->cache);
    assert_in_range(stored, 5, 10);
    assert_true(stats.shortage.passes >= 1);
    assert_in_range(count, stored + 1, weir_count(fills) - 1);
    cache_watch_memory(f->cache, 1000);
    cache_watch_memory(f->cache, 2000);
    assert_int_equal(stats_of(f->cache).shortage.episodes, 1);
    while (count > 0) {
        count--;
        cache_reader_leave(&w[count].reader);
        cache_fill_end_writer(&fills[count]);
    }
    mailbox_run_local(&f->mailbox);
    assert_true(store_answer(f->cache, (struct ask){.url = URL},
                             (struct answer){.lifetime_s = 60, .length = 100000}, 0, 100000));
    assert_true(is_hit(f->cache, URL, 0));
    cache_watch_memory(f->cache, 12000);
    assert_int_equal(stats_of(f->cache).shortage.episodes, 1);
    cache_free(&f->cache);
    f->cache = big;
}

/* A pass that has begun comes through, whatever others hold: it uses its chunk again. */
static void test_a_pass_comes_through(void **state)
{
    struct fixture *f = *state;
    struct cache *big = f->cache;
    f->cache = cache_new(MIB, MIB, 1, 1);
    struct cache_fill *fill = lead(f);
    struct watcher w;
    watch(f, &w, fill);
    assert_true(give_head(fill, (struct answer){.reason = POLICY_NO_STORE, .length = -1}));
    char *hogs[4096];
    unsigned count = 0;
    while (count < weir_count(hogs) &&
           (hogs[count] = cache_budget_alloc(f->cache, count < 100 ? 32768 : 256)) != NULL)
        count++;
    assert_true(count < weir_count(hogs));
    uint64_t written = 0;
    while (written < MIB) {
        uint64_t got = give_body(fill, 0, written, MIB - written);
        assert_true(got > 0);
        check_read(&w, written, written + got);
        written += got;
        cache_reader_take(&w.reader, written);
        mailbox_run_local(&f->mailbox);
    }
    cache_fill_complete(fill, STR(""), 0);
    cache_fill_end_writer(&fill);
    cache_reader_leave(&w.reader);
    while (count > 0)
        cache_budget_free(f->cache, hogs[--count]);
    cache_free(&f->cache);
    f->cache = big;
}

/* A body that the memory cannot hold becomes a pass, and comes through whole. */
static void test_outgrowing_the_memory(void **state)
{
    struct fixture *f = *state;
    struct cache *big = f->cache;
    f->cache = cache_new(MIB, 64 * MIB, 1, 1);
    struct cache_fill *fill = lead(f);
    struct watcher w;
    watch(f, &w, fill);
    assert_true(give_head(fill, (struct answer){.lifetime_s = 60, .length = 4 * MIB}));
    uint64_t written = 0;
    for (unsigned turn = 0; written < 4 * MIB; turn++) {
        size_t room;
        assert_true(turn < 200);
        uint64_t got = give_body(fill, 0, written, 4 * MIB - written);
        assert_non_null(cache_fill_room(fill, 1, &room));
        check_read(&w, written, written + got);
        written += got;
        cache_reader_take(&w.reader, written);
        assert_true(stats_of(f->cache).bytes <= MIB);
    }
    assert_int_equal(view_of(&w).reason, POLICY_NO_MEMORY);
    cache_fill_complete(fill, STR(""), 0);
    cache_fill_end_writer(&fill);
    cache_reader_leave(&w.reader);
    mailbox_run_local(&f->mailbox);
    cache_free(&f->cache);
    f->cache = big;
}

static void test_stale_at_its_end_is_not_kept(void **state)
{
    struct fixture *f = *state;
    struct cache_fill *fill = lead(f);
    assert_true(give_head(fill, (struct answer){.lifetime_s = 2, .length = 0}));
    cache_fill_complete(fill, STR(""), 2000);
    cache_fill_end_writer(&fill);
    assert_int_equal(stats_of(f->cache).objects, 0);
}

static void test_leaving_while_the_wake_up_is_under_way(void **state)
{
    struct fixture *f = *state;
    struct cache_fill *fill = lead(f);
    struct watcher w[2];
    for (unsigned i = 0; i < 2; i++) {
        watch(f, &w[i], fill);
        view_of(&w[i]);
        assert_true(cache_reader_wait(&w[i].reader));
    }
    cache_reader_leave(&w[1].reader);
    assert_true(give_head(fill, (struct answer){.length = 0}));
    cache_reader_leave(&w[0].reader);
    assert_null(w[0].reader.fill);
    cache_fill_end_writer(&fill);
    /* The message holds the fill, and calls nobody. */
    assert_int_equal(stats_of(f->cache).fills, 1);
    mailbox_run_local(&f->mailbox);
    assert_int_equal(f->news, 0);
}

/* ---- fills apart: what was not asked for by a GET ---- */

static enum cache_found look(struct cache *cache)
{
    struct cache_find found;
    enum cache_found result = ask(cache, (struct ask){.url = URL}, &found);
    if (result == CACHE_LEAD)
        cache_fill_end_writer(&found.fill);
    let_go(&found);
    return result;
}

static struct cache_fill *fill_apart(struct fixture *f)
{
    struct cache_key key = key_of(f->cache, URL);
    struct cache_fill *fill = cache_fill_apart(f->cache, &key);
    assert_non_null(fill);
    return fill;
}

static void end_apart(struct cache_fill *fill)
{
    assert_true(give_head(fill, (struct answer){.lifetime_s = 60, .length = 4}));
    assert_int_equal(give_body(fill, 1, 0, 4), 4);
    cache_fill_complete(fill, STR(""), 0);
    cache_fill_end_writer(&fill);
}

static void test_apart_is_found_at_its_end(void **state)
{
    struct fixture *f = *state;
    struct cache_fill *fill = fill_apart(f);
    assert_int_equal(look(f->cache), CACHE_LEAD);
    assert_true(give_head(fill, (struct answer){.lifetime_s = 60, .length = 4}));
    assert_int_equal(look(f->cache), CACHE_LEAD);
    assert_int_equal(give_body(fill, 1, 0, 4), 4);
    assert_int_equal(look(f->cache), CACHE_LEAD);
    cache_fill_complete(fill, STR(""), 0);
    assert_int_equal(look(f->cache), CACHE_HIT);
    cache_fill_end_writer(&fill);
}

static void test_apart_that_is_not_to_be_stored(void **state)
{
    struct fixture *f = *state;
    struct cache_fill *fill = fill_apart(f);
    assert_true(give_head(fill, (struct answer){.reason = POLICY_METHOD, .length = 4}));
    assert_int_equal(give_body(fill, 1, 0, 4), 4);
    cache_fill_complete(fill, STR(""), 0);
    cache_fill_end_writer(&fill);
    assert_int_equal(look(f->cache), CACHE_LEAD);
    assert_int_equal(stats_of(f->cache).hit_for_miss, 0);
}

static void test_apart_is_aborted(void **state)
{
    struct fixture *f = *state;
    struct cache_fill *fill = fill_apart(f);
    assert_true(give_head(fill, (struct answer){.lifetime_s = 60, .length = 4}));
    cache_fill_abort(fill, 502, "origin-cut");
    cache_fill_end_writer(&fill);
    assert_int_equal(look(f->cache), CACHE_LEAD);
}

static void test_apart_is_purged(void **state)
{
    struct fixture *f = *state;
    struct cache_key key = key_of(f->cache, URL);
    struct cache_fill *fill = fill_apart(f);
    assert_true(cache_fill_is_undisturbed(fill));
    cache_purge(f->cache, &key);
    assert_false(cache_fill_is_undisturbed(fill));
    end_apart(fill);
    assert_int_equal(look(f->cache), CACHE_LEAD);
}

static void test_apart_survives_its_own_purge(void **state)
{
    struct fixture *f = *state;
    struct cache_key key = key_of(f->cache, URL);
    struct cache_fill *fill = fill_apart(f);
    cache_purge(f->cache, &key);
    cache_fill_forgive_purges(fill);
    assert_true(cache_fill_is_undisturbed(fill));
    end_apart(fill);
    assert_int_equal(look(f->cache), CACHE_HIT);
    fill = fill_apart(f);
    cache_fill_forgive_purges(fill);
    assert_true(give_head(fill, (struct answer){.lifetime_s = 60, .length = 4}));
    cache_purge(f->cache, &key); /* another one, while it arrives */
    assert_int_equal(give_body(fill, 1, 0, 4), 4);
    cache_fill_complete(fill, STR(""), 0);
    cache_fill_end_writer(&fill);
    assert_int_equal(look(f->cache), CACHE_LEAD);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_reader_sees_each_step),
        TEST(test_the_slow_one_is_cut),
        TEST(test_one_message_wakes_all),
        TEST(test_hit_for_miss),
        TEST(test_hit_for_miss_of_what_nobody_shares),
        TEST(test_variants_on_their_way_are_bounded),
        TEST(test_hit_for_miss_is_bounded),
        TEST(test_a_body_that_variants_share_counts_once),
        TEST(test_what_the_memory_is_used_for),
        TEST(test_short_of_memory),
        TEST(test_a_pass_comes_through),
        TEST(test_what_is_stored_is_what_came),
        TEST(test_append_copies),
        TEST(test_bodiless_head_announces_only),
        TEST(test_abort_is_seen_and_nothing_is_kept),
        TEST(test_a_writer_that_ends_early_aborts),
        TEST(test_304_gives_readers_the_object),
        TEST(test_not_stored_is_joined_by_nobody),
        TEST(test_window_of_a_pass),
        TEST(test_the_last_reader_tells_the_writer),
        TEST(test_outgrowing_max_object),
        TEST(test_leaving_opens_the_window),
        TEST(test_outgrowing_the_memory),
        TEST(test_stale_at_its_end_is_not_kept),
        TEST(test_leaving_while_the_wake_up_is_under_way),
        TEST(test_apart_is_found_at_its_end),
        TEST(test_apart_that_is_not_to_be_stored),
        TEST(test_apart_is_aborted),
        TEST(test_apart_is_purged),
        TEST(test_apart_survives_its_own_purge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
