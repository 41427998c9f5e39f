/* cache/purge.c: the log of purges, what heeds it, and the walk. */
#include "cache/fill.h"
#include "cache/purge.h"
#include "tests/unit/cache/cache_fixture.h"

#include <pthread.h>

#define URL "http://a.example/x"

static struct cache *cache;

static int set_up(void **state)
{
    (void)state;
    cache = cache_new(64 * MIB, MIB, 1, 4);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_int_equal(stats_of(cache).fills, 0);
    cache_free(&cache);
    return 0;
}

static struct cache_tags *tags_of(const char *url, const char *names)
{
    struct field f = field_of("Surrogate-Key", names);
    struct cache_tags *tags;
    assert_true(cache_tags_read(cache, str_from(url), (struct fields){&f, 1}, &tags));
    return tags;
}

/* The head of a body of 3 bytes. */
static void tag_head(struct cache_fill *fill, const char *url, const char *names, uint16_t flags,
                     int64_t now_ms)
{
    struct cache_fill_head head = {
        .meta = {.born_ms = now_ms, .lifetime_s = 60, .status = 200, .flags = flags},
        .tags = names ? tags_of(url, names) : NULL,
        .content_length = 3,
        .now_ms = now_ms};
    assert_true(cache_fill_set_head(fill, &head));
}

static void end(struct cache_fill **fill, int64_t now_ms)
{
    assert_int_equal(give_body(*fill, 0, 0, 3), 3);
    cache_fill_complete(*fill, STR(""), now_ms);
    cache_fill_end_writer(fill);
}

static struct cache_fill *lead(const char *url, int64_t now_ms)
{
    struct cache_find found;
    assert_int_equal(ask(cache, (struct ask){.url = url, .now_ms = now_ms}, &found), CACHE_LEAD);
    cache_object_release(&found.object);
    return found.fill;
}

static void store(const char *url, const char *names, int64_t now_ms)
{
    struct cache_fill *fill = lead(url, now_ms);
    tag_head(fill, url, names, 0, now_ms);
    end(&fill, now_ms);
}

/* The answer 304 to the fill's request, with these names in its Surrogate-Key. */
static void answer_304(struct cache_find *found, const char *url, const struct cache_meta *meta,
                       const char *names, int64_t now_ms)
{
    struct field f = field_of("Surrogate-Key", names);
    struct cache_key key = key_of(cache, url);
    struct cache_renewal renewal = {
        .key = &key, .meta = meta, .block = STR(""), .fill = found->fill, .answer = {&f, 1}};
    struct cache_object *fresh = cache_renew(cache, found->object, &renewal);
    assert_non_null(fresh); /* for those who asked before, whatever was purged meanwhile */
    cache_fill_use_object(found->fill, fresh, POLICY_STORE, now_ms, 0);
    cache_object_release(&fresh);
    cache_fill_end_writer(&found->fill);
    let_go(found);
}

static void fill_up(unsigned count, const char *format, const char *names)
{
    for (unsigned i = 0; i < count; i++) {
        char url[64];
        snprintf(url, sizeof(url), format, i);
        store(url, names, 0);
    }
}

static void purge(const char *name, bool soft)
{
    cache_purge_tag(cache, str_from(name), soft);
}

/* ---- jobs ---- */

static unsigned jobs_done;

static void on_done(struct cache_purge_job *job)
{
    (void)job;
    jobs_done++;
}

static void walk(int64_t now_ms)
{
    while (cache_purge_go_on(cache, 10, now_ms))
        continue;
}

static uint64_t run_job(struct cache_purge_job job, int64_t now_ms)
{
    unsigned before = jobs_done;
    job.on_done = on_done;
    assert_true(cache_purge_begin(cache, &job));
    walk(now_ms);
    assert_int_equal(jobs_done, before + 1);
    return job.purged;
}

static uint64_t purge_and_count(const char *name, bool soft, int64_t now_ms)
{
    return run_job((struct cache_purge_job){.what = CACHE_PURGE_LOGGED,
                                            .soft = soft,
                                            .logged = cache_purge_tag(cache, str_from(name), soft)},
                   now_ms);
}

/* ---- the log ---- */

static void test_a_tag_works_at_once(void **state)
{
    (void)state;
    store(URL, "a b", 0);
    purge("c", false);
    assert_true(is_hit(cache, URL, 0));
    purge("b", false);
    assert_false(is_hit(cache, URL, 0));
    assert_int_equal(stats_of(cache).purged, 1);
    assert_int_equal(stats_of(cache).objects, 0);
    /* What is stored after it is not reached. */
    store(URL, "b", 0);
    assert_true(is_hit(cache, URL, 0));
    /* What is gone by its tag is not purged by its URL, too. */
    struct cache_key key = key_of(cache, URL);
    purge("b", false);
    assert_int_equal(cache_purge(cache, &key), 0);
    assert_int_equal(stats_of(cache).purged, 2);
}

static void test_softly(void **state)
{
    struct cache_find found;
    (void)state;
    struct cache_fill *fill = lead(URL, 0);
    tag_head(fill, URL, "a", CACHE_HAS_VALIDATOR, 0);
    end(&fill, 0);
    purge("a", true);
    assert_int_equal(ask(cache, (struct ask){.url = URL, .now_ms = 5000}, &found), CACHE_LEAD);
    assert_true(found.stale);
    assert_non_null(found.object);
    struct cache_meta meta = cache_object_meta(found.object);
    assert_int_equal(meta.lifetime_s, 5); /* stale since it was purged, or found to be */
    assert_int_equal(stats_of(cache).objects, 1);
    assert_int_equal(stats_of(cache).purged, 1);
    /* A 304 makes it fresh. */
    meta.lifetime_s = 60;
    meta.born_ms = 5000;
    answer_304(&found, URL, &meta, "a", 5000);
    assert_true(is_hit(cache, URL, 5000));
    /* Both bounds of what it does to a lifetime. */
    purge("a", true);
    assert_false(is_hit(cache, URL, 64999));
}

static void test_a_304_for_what_was_purged_meanwhile(void **state)
{
    (void)state;
    static const struct {
        const char *tag, *url;
        bool soft;
    } purges[] = {{"old", NULL, true},  {"old", NULL, false}, {"new", NULL, true},
                  {"new", NULL, false}, {NULL, URL, true},    {NULL, URL, false}};
    for (size_t i = 0; i < weir_count(purges); i++) {
        struct cache_find found;
        uint64_t logged;
        int64_t now_ms = 100000 * (int64_t)i;
        struct cache_fill *fill = lead(URL, now_ms);
        tag_head(fill, URL, "old", CACHE_HAS_VALIDATOR, now_ms);
        end(&fill, now_ms);
        now_ms += 60000;
        assert_int_equal(ask(cache, (struct ask){.url = URL, .now_ms = now_ms}, &found),
                         CACHE_LEAD);
        if (purges[i].tag)
            purge(purges[i].tag, purges[i].soft);
        else
            cache_purge_url(cache, STR(URL), purges[i].soft, now_ms, &logged);
        struct cache_meta meta = {.born_ms = now_ms, .lifetime_s = 60, .status = 200};
        answer_304(&found, URL, &meta, "new", now_ms);
        assert_false(is_hit(cache, URL, now_ms));
        run_job((struct cache_purge_job){.what = CACHE_PURGE_ALL}, now_ms);
    }
}

/* The answer to a HEAD, which has no fill; of what is fresh, and of what is stale already. */
static void test_an_update_after_a_soft_purge(void **state)
{
    static const int64_t times_ms[] = {1000, 70000};
    (void)state;
    for (unsigned i = 0; i < weir_count(times_ms); i++)
        for (unsigned by = 0; by < 3; by++) {
            struct cache_find found;
            struct cache_key key = key_of(cache, URL);
            uint64_t logged;
            store(URL, "a", 0);
            assert_int_equal(ask(cache, (struct ask){.url = URL}, &found), CACHE_HIT);
            struct cache_purges purges = cache_count_purges(cache, &key);
            struct cache_meta meta = cache_object_meta(found.object);
            meta.lifetime_s = 90;
            if (by == 1)
                cache_purge_url(cache, STR(URL), true, times_ms[i], &logged);
            if (by == 2) {
                purge("a", true);
                is_hit(cache, URL, times_ms[i]); /* compared with that */
            }
            struct cache_renewal renewal = {
                .key = &key, .meta = &meta, .block = STR(""), .purges = &purges};
            struct cache_object *updated = cache_renew(cache, found.object, &renewal);
            assert_non_null(updated);
            cache_object_release(&updated);
            let_go(&found);
            assert_int_equal(is_hit(cache, URL, 89999), by == 0);
            cache_purge(cache, &key);
        }
}

static void test_a_fill_that_began_before(void **state)
{
    (void)state;
    struct cache_fill *fill = lead(URL, 0);
    purge("a", false);
    tag_head(fill, URL, "a", 0, 0);
    end(&fill, 0);
    assert_int_equal(stats_of(cache).objects, 0);
    fill = lead(URL, 0);
    tag_head(fill, URL, "a", 0, 0);
    purge("b", false);
    purge("a", true); /* a soft one too: it would come back as fresh */
    end(&fill, 0);
    assert_int_equal(stats_of(cache).objects, 0);
    fill = lead(URL, 0);
    purge("b", false);
    tag_head(fill, URL, "a", 0, 0);
    end(&fill, 0);
    assert_true(is_hit(cache, URL, 0));
    assert_int_equal(stats_of(cache).purged, 0);
}

/* Whoever comes after a purge reads nothing that was asked for before it. */
static void test_joining_after_a_purge(void **state)
{
    struct cache_find found;
    (void)state;
    struct cache_fill *untagged = lead(URL, 0), *tagged = lead(URL "2", 0), *again;
    purge("a", false);
    again = lead(URL, 0); /* its tags are not known yet */
    cache_fill_end_writer(&again);
    tag_head(untagged, URL, NULL, 0, 0);
    assert_int_equal(ask(cache, (struct ask){.url = URL}, &found), CACHE_JOIN);
    let_go(&found);
    end(&untagged, 0);
    tag_head(tagged, URL "2", "b", 0, 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(ask(cache, (struct ask){.url = URL "2"}, &found), CACHE_JOIN);
        let_go(&found);
    }
    purge("b", false);
    again = lead(URL "2", 0);
    cache_fill_end_writer(&again);
    end(&tagged, 0);
    assert_false(is_hit(cache, URL "2", 0));
}

static void test_every_tag(void **state)
{
    char names[1024] = "";
    uint64_t logged;
    (void)state;
    for (unsigned i = 0; i <= CACHE_TAGS_MOST; i++)
        sprintf(names + strlen(names), "t%u ", i);
    store(URL, names, 0);
    cache_purge_group(cache, STR("http://a.example"), STR("t0"));
    cache_purge_expect_longer_keys(cache);
    cache_purge_url(cache, STR("http://a.example/other"), false, 0, &logged);
    assert_true(logged > 0);
    assert_true(is_hit(cache, URL, 0)); /* neither a group nor a URL is one of its tags */
    purge("anything", false);
    assert_false(is_hit(cache, URL, 0));
}

static void test_groups_of_one_origin(void **state)
{
    struct field groups = field_of("Cache-Groups", "\"g\", \"h\"");
    struct field invalidation = field_of("Cache-Group-Invalidation", "\"x\", \"h\"");
    struct field malformed = field_of("Cache-Group-Invalidation", "\"h\", h");
    static const char *const urls[] = {"http://a.example/x", "https://a.example/x",
                                       "http://a.example:81/x", "http://b.example/x"};
    (void)state;
    for (size_t i = 0; i < weir_count(urls); i++) {
        struct cache_fill *fill = lead(urls[i], 0);
        struct cache_fill_head head = {.meta = {.lifetime_s = 60, .status = 200},
                                       .content_length = 3};
        assert_true(
            cache_tags_read(cache, str_from(urls[i]), (struct fields){&groups, 1}, &head.tags));
        assert_true(cache_fill_set_head(fill, &head));
        end(&fill, 0);
    }
    cache_purge_groups(cache, STR("http://a.example/y"), (struct fields){&malformed, 1});
    assert_true(is_hit(cache, urls[0], 0));
    cache_purge_groups(cache, STR("http://a.example/y"), (struct fields){&invalidation, 1});
    assert_false(is_hit(cache, urls[0], 0));
    assert_int_equal(stats_of(cache).objects, weir_count(urls) - 1); /* removed, not made stale */
    for (size_t i = 1; i < weir_count(urls); i++)
        assert_true(is_hit(cache, urls[i], 0));
    purge("g", false); /* by name: wherever it is */
    for (size_t i = 1; i < weir_count(urls); i++)
        assert_false(is_hit(cache, urls[i], 0));
}

static void test_any_group(void **state)
{
    char value[2048] = "\"g\"";
    (void)state;
    cache_purge_group(cache, STR("http://a.example"), STR("other"));
    assert_int_equal(cache_log_number(cache->log), 1); /* nothing has too many groups: no second */
    for (unsigned i = 0; i < CACHE_TAGS_MOST / 2; i++)
        sprintf(value + strlen(value), ", \"g%u\"", i);
    struct field groups = field_of("Cache-Groups", value);
    struct cache_fill *fill = lead(URL, 0);
    struct cache_fill_head head = {.meta = {.lifetime_s = 60, .status = 200}, .content_length = 3};
    assert_true(cache_tags_read(cache, STR(URL), (struct fields){&groups, 1}, &head.tags));
    assert_true(cache_fill_set_head(fill, &head));
    end(&fill, 0);
    cache_purge_group(cache, STR("http://b.example"), STR("other"));
    assert_true(is_hit(cache, URL, 0));
    cache_purge_group(cache, STR("http://a.example"), STR("other"));
    assert_false(is_hit(cache, URL, 0));
}

/* One that has not been compared with an entry that is gone counts as purged; one step less does
   not. */
static void test_an_object_behind_the_log(void **state)
{
    (void)state;
    store(URL, "a", 0);
    for (unsigned i = 0; i < CACHE_LOG_ENTRIES - 1; i++)
        purge("b", false);
    assert_true(is_hit(cache, URL, 0));
    for (unsigned i = 0; i < CACHE_LOG_ENTRIES; i++)
        purge("b", false);
    assert_false(is_hit(cache, URL, 0));
    store(URL, "a", 0);
    purge("a", false);
    for (unsigned i = 0; i < CACHE_LOG_ENTRIES - 2; i++)
        purge("b", false);
    assert_false(is_hit(cache, URL, 0)); /* the oldest entry that is left is looked at */
}

/* Of the entries behind it, the one that asks for most counts, whichever came first. */
static void test_hard_and_soft_at_once(void **state)
{
    (void)state;
    for (unsigned soft_first = 0; soft_first < 2; soft_first++) {
        store(URL, "a b", 0);
        purge("a", soft_first == 1);
        purge("b", soft_first == 0);
        assert_false(is_hit(cache, URL, 1000));
        assert_int_equal(stats_of(cache).objects, 0);
    }
    assert_int_equal(stats_of(cache).purged, 2);
}

static void purge_others(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        purge("other", false);
}

/* What an entry has reached is counted anew when another takes its place, and is not told to who
   has asked for something else. */
static void test_a_place_of_the_log_that_is_used_again(void **state)
{
    (void)state;
    for (unsigned stored = 5; stored > 2; stored -= 2) {
        purge_others(CACHE_LOG_ENTRIES - 1);
        fill_up(stored, "http://a.example/%u", "a");
        assert_int_equal(purge_and_count("a", false, 0), stored);
        assert_int_equal(cache_log_number(cache->log) % CACHE_LOG_ENTRIES, 0);
        store(URL, NULL, 0);
        assert_int_equal(run_job((struct cache_purge_job){.what = CACHE_PURGE_ALL}, 0), 1);
    }
}

/* Only what is stored is counted. */
static void test_fills_are_not_counted(void **state)
{
    (void)state;
    struct cache_fill *fill = lead(URL, 0);
    uint64_t logged = cache_purge_tag(cache, STR("a"), false);
    tag_head(fill, URL, "a", 0, 0);
    end(&fill, 0);
    assert_int_equal(stats_of(cache).objects, 0);
    assert_int_equal(
        run_job((struct cache_purge_job){.what = CACHE_PURGE_LOGGED, .logged = logged}, 0), 0);
}

/* Joined now and then, it is compared with all of many purges, a part at a time. */
static void test_a_long_fill_and_many_purges(void **state)
{
    struct cache_find found;
    (void)state;
    struct cache_fill *fill = lead(URL, 0);
    tag_head(fill, URL, "a", 0, 0);
    for (unsigned i = 0; i < 3; i++) {
        purge_others(CACHE_LOG_ENTRIES / 2);
        assert_int_equal(ask(cache, (struct ask){.url = URL}, &found), CACHE_JOIN);
        let_go(&found);
    }
    end(&fill, 0);
    assert_true(is_hit(cache, URL, 0));
}

/* ---- when a walk begins for the log ---- */

static void test_when_a_walk_begins(void **state)
{
    (void)state;
    walk(1000000);
    assert_int_equal(stats_of(cache).purge_walks, 0); /* nothing was purged */
    purge_others(CACHE_LOG_ENTRIES / 4 - 1);
    walk(9999);
    assert_int_equal(stats_of(cache).purge_walks, 0);
    purge_others(1);
    walk(9999);
    assert_int_equal(stats_of(cache).purge_walks, 1);
    walk(1000000);
    assert_int_equal(stats_of(cache).purge_walks, 1);
}

/* A walk begins for the log alone, so that nothing falls behind it. */
static void test_many_purges_that_reach_nothing(void **state)
{
    (void)state;
    store(URL, "a", 0);
    for (unsigned i = 0; i < 100 * CACHE_LOG_ENTRIES; i++) {
        purge("b", false);
        while (i % 64 == 0 && cache_purge_go_on(cache, 1000, 0))
            continue;
    }
    assert_true(is_hit(cache, URL, 0));
    uint64_t walks = stats_of(cache).purge_walks;
    assert_in_range(walks, 100, 1000);
    purge("b", false);
    walk(10000);
    assert_int_equal(stats_of(cache).purge_walks, walks + 1);
    purge("a", false);
    walk(19999);
    assert_int_equal(stats_of(cache).objects, 1);
    walk(20000);
    assert_int_equal(stats_of(cache).objects, 0);
}

/* ---- keys with more than a URL ---- */

static void test_a_url_with_longer_keys(void **state)
{
    uint64_t logged;
    (void)state;
    store(URL, NULL, 0);
    assert_int_equal(cache_purge_url(cache, STR(URL), false, 0, &logged), 1);
    assert_int_equal(logged, 0); /* there are none: no entry */
    struct cache_fill *flying = lead(URL "\nlong", 0);
    store(URL, NULL, 0);
    store(URL "\none", "", 0);
    store(URL "\ntwo", "t", 0);
    store(URL "y\ntwo", "t", 0);
    assert_int_equal(cache_purge_url(cache, STR(URL), true, 1000, &logged), 1);
    assert_int_equal(
        run_job((struct cache_purge_job){.what = CACHE_PURGE_LOGGED, .logged = logged}, 1000), 2);
    assert_false(is_hit(cache, URL, 1000) || is_hit(cache, URL "\none", 1000) ||
                 is_hit(cache, URL "\ntwo", 1000));
    assert_true(is_hit(cache, URL "y\ntwo", 1000));
    assert_int_equal(stats_of(cache).objects, 4);
    assert_int_equal(cache_purge_url(cache, STR(URL "y"), false, 1000, &logged), 0);
    assert_false(is_hit(cache, URL "y\ntwo", 1000));
    assert_int_equal(stats_of(cache).objects, 3);
    tag_head(flying, URL "\nlong", "", 0, 1000);
    end(&flying, 1000);
    assert_false(is_hit(cache, URL "\nlong", 1000));
}

/* ---- walks ---- */

static void test_counts(void **state)
{
    (void)state;
    fill_up(1000, "http://a.example/%u", "a");
    fill_up(500, "http://b.example/%u", "a b");
    fill_up(100, "http://c.example/%u", NULL);
    assert_int_equal(purge_and_count("none", false, 0), 0);
    assert_int_equal(purge_and_count("b", true, 1000), 500);
    assert_int_equal(stats_of(cache).objects, 1600);
    /* Some are found by lookups first, and count all the same. */
    uint64_t logged = cache_purge_tag(cache, STR("a"), false);
    for (unsigned i = 0; i < 300; i++) {
        char url[64];
        snprintf(url, sizeof(url), "http://a.example/%u", i);
        assert_false(is_hit(cache, url, 0));
    }
    assert_int_equal(
        run_job((struct cache_purge_job){.what = CACHE_PURGE_LOGGED, .logged = logged}, 0), 1500);
    assert_int_equal(stats_of(cache).objects, 100);
    assert_int_equal(stats_of(cache).purged, 2000);
}

static void test_prefix_and_all(void **state)
{
    (void)state;
    fill_up(100, "http://a.example/x/%u", NULL);
    fill_up(100, "http://a.example/y/%u", "a");
    fill_up(100, "http://b.example/x/%u", NULL);
    struct cache_purge_job prefix = {.what = CACHE_PURGE_PREFIX,
                                     .prefix = STR("http://a.example/x/")};
    prefix.soft = true;
    assert_int_equal(run_job(prefix, 1000), 100);
    assert_int_equal(stats_of(cache).objects, 300);
    assert_false(is_hit(cache, "http://a.example/x/5", 1000));
    prefix.soft = false;
    assert_int_equal(run_job(prefix, 0), 100);
    assert_int_equal(stats_of(cache).objects, 200);
    prefix.prefix = STR("http://a.example/y/99");
    assert_int_equal(run_job(prefix, 0), 1);
    assert_int_equal(run_job((struct cache_purge_job){.what = CACHE_PURGE_ALL}, 0), 199);
    assert_int_equal(stats_of(cache).objects, 0);
}

static void test_fills_under_way(void **state)
{
    (void)state;
    struct cache_fill *reached = lead("http://a.example/x", 0),
                      *other = lead("http://b.example/x", 0);
    run_job((struct cache_purge_job){.what = CACHE_PURGE_PREFIX, .prefix = STR("http://a.")}, 0);
    struct cache_fill *later = lead("http://a.example/x", 0);
    tag_head(reached, "", NULL, 0, 0);
    end(&reached, 0);
    assert_int_equal(stats_of(cache).objects, 0);
    tag_head(later, "", NULL, 0, 0);
    end(&later, 0);
    tag_head(other, "", NULL, 0, 0);
    end(&other, 0);
    assert_int_equal(stats_of(cache).objects, 2);
}

/* Between any two slices the tables grow, and responses come and are replaced. */
static void test_a_table_that_grows_meanwhile(void **state)
{
    (void)state;
    for (unsigned most = 1; most < 400; most = most * 3 + 1) {
        fill_up(300, "http://a.example/%u", "old");
        struct cache_purge_job job = {
            .what = CACHE_PURGE_PREFIX, .prefix = STR("http://a."), .on_done = on_done};
        assert_true(cache_purge_begin(cache, &job));
        unsigned more = 0;
        while (cache_purge_go_on(cache, most, 0)) {
            char format[64];
            snprintf(format, sizeof(format), "http://b.example/%u/%u/%%u", most, more++);
            fill_up(20, format, NULL);
        }
        assert_int_equal(job.purged, 300);
        for (unsigned i = 0; i < 300; i++) {
            char url[64];
            snprintf(url, sizeof(url), "http://a.example/%u", i);
            assert_false(is_hit(cache, url, 0));
        }
    }
}

static void test_several_jobs_share_a_walk(void **state)
{
    struct cache_purge_job jobs[64], one_more = {.what = CACHE_PURGE_ALL, .on_done = on_done};
    unsigned done = jobs_done;
    (void)state;
    fill_up(100, "http://a.example/%u", "a");
    uint64_t walks = stats_of(cache).purge_walks;
    for (unsigned i = 0; i < 64; i++) {
        jobs[i] = (struct cache_purge_job){.what = CACHE_PURGE_LOGGED, .on_done = on_done};
        jobs[i].logged = cache_purge_tag(cache, i == 10 ? STR("a") : STR("b"), false);
        assert_true(cache_purge_begin(cache, &jobs[i]));
    }
    assert_false(cache_purge_begin(cache, &one_more));
    cache_purge_give_up(cache, &jobs[63]);
    assert_int_equal(stats_of(cache).purge_jobs, 63);
    walk(0);
    assert_int_equal(jobs_done, done + 63);
    assert_int_equal(stats_of(cache).purge_walks, walks + 1);
    assert_int_equal(stats_of(cache).purge_jobs, 0);
    assert_int_equal(jobs[10].purged, 100);
    assert_int_equal(jobs[11].purged, 0);
    /* One that comes during a walk waits for the next. */
    fill_up(100, "http://a.example/%u", "a");
    jobs[0] = (struct cache_purge_job){.what = CACHE_PURGE_ALL, .on_done = on_done};
    jobs[0].prefix = STR("");
    assert_true(cache_purge_begin(cache, &one_more));
    assert_true(cache_purge_go_on(cache, 1, 0));
    assert_true(cache_purge_begin(cache, &jobs[0]));
    walk(0);
    assert_int_equal(stats_of(cache).purge_walks, walks + 3);
    assert_int_equal(one_more.purged, 100);
    assert_int_equal(jobs[0].purged, 0);
}

static void test_purges_during_a_walk(void **state)
{
    (void)state;
    fill_up(1000, "http://a.example/%u", "a");
    purge_others(1);
    assert_true(cache_purge_go_on(cache, 1, 10000));
    uint64_t logged = cache_purge_tag(cache, STR("a"), false);
    walk(10000);
    /* What it had passed by then, the next one comes to. */
    assert_int_equal(stats_of(cache).purge_walks, 1);
    walk(20000);
    assert_int_equal(stats_of(cache).purge_walks, 2);
    assert_int_equal(stats_of(cache).objects, 0);
    assert_int_equal(
        run_job((struct cache_purge_job){.what = CACHE_PURGE_LOGGED, .logged = logged}, 20000),
        1000);
}

/* Each counts what it has reached; what one has removed is there for no other. */
static void test_jobs_of_one_walk_that_overlap(void **state)
{
    struct cache_purge_job jobs[] = {
        {.what = CACHE_PURGE_PREFIX, .prefix = STR("http://a."), .soft = true, .on_done = on_done},
        {.what = CACHE_PURGE_ALL, .on_done = on_done},
        {.what = CACHE_PURGE_PREFIX, .prefix = STR("http://a."), .on_done = on_done}};
    (void)state;
    fill_up(5, "http://a.example/%u", NULL);
    fill_up(5, "http://b.example/%u", NULL);
    for (size_t i = 0; i < weir_count(jobs); i++)
        assert_true(cache_purge_begin(cache, &jobs[i]));
    walk(0);
    assert_int_equal(stats_of(cache).purge_walks, 1);
    assert_int_equal(jobs[0].purged, 5);
    assert_int_equal(jobs[1].purged, 10);
    assert_int_equal(jobs[2].purged, 0);
    assert_int_equal(stats_of(cache).objects, 0);
}

/* Short steps, for the workers' sake, and not too many turns, for that of who waits for its end. */
static void test_how_many_turns(void **state)
{
    struct cache_purge_job job = {.what = CACHE_PURGE_ALL, .on_done = on_done};
    unsigned turns = 1;
    (void)state;
    fill_up(5000, "http://a.example/%u", NULL);
    assert_true(cache_purge_begin(cache, &job));
    for (; cache_purge_go_on(cache, 1, 0); turns++)
        continue;
    assert_in_range(turns, 100, 180);
    fill_up(100, "http://a.example/%u", NULL);
    job.purged = 0;
    assert_true(cache_purge_begin(cache, &job));
    assert_false(cache_purge_go_on(cache, 100000, 0)); /* as many steps as it is given */
    assert_int_equal(job.purged, 100);
}

/* What was asked for once the walk had entered its shard is none of its business. */
static void test_fills_that_begin_during_a_walk(void **state)
{
    struct cache_purge_job job = {.what = CACHE_PURGE_ALL, .on_done = on_done};
    struct cache_fill *fills[64];
    (void)state;
    fill_up(1000, "http://a.example/%u", NULL);
    assert_true(cache_purge_begin(cache, &job));
    assert_true(cache_purge_go_on(cache, 1, 0));
    for (unsigned i = 0; i < weir_count(fills); i++) {
        char url[64];
        snprintf(url, sizeof(url), "http://b.example/%u", i);
        fills[i] = lead(url, 0);
    }
    walk(0);
    for (unsigned i = 0; i < weir_count(fills); i++) {
        tag_head(fills[i], "", NULL, 0, 0);
        end(&fills[i], 0);
    }
    assert_in_range(stats_of(cache).objects, 1, weir_count(fills) - 1);
}

/* Of what cannot be found, a job that may concern it makes an end, and one by a tag sees its tags. */
static void test_a_fill_that_no_walk_finds(void **state)
{
    static const enum cache_purge_what jobs[] = {CACHE_PURGE_LOGGED, CACHE_PURGE_PREFIX,
                                                 CACHE_PURGE_ALL};
    struct cache_key key = key_of(cache, URL);
    (void)state;
    for (size_t i = 0; i < weir_count(jobs); i++) {
        struct cache_fill *fill = cache_fill_apart(cache, &key);
        tag_head(fill, URL, NULL, 0, 0);
        run_job((struct cache_purge_job){.what = jobs[i],
                                         .prefix = STR("http://"),
                                         .logged = cache_purge_tag(cache, STR("other"), false)},
                0);
        end(&fill, 0);
        assert_int_equal(is_hit(cache, URL, 0), jobs[i] == CACHE_PURGE_LOGGED);
        cache_purge(cache, &key);
    }
}

/* What nobody reads is read on to be stored, and no further. */
static void test_a_purged_fill_is_not_worth_going_on(void **state)
{
    struct cache_key key = key_of(cache, URL);
    (void)state;
    struct cache_fill *fill = lead(URL, 0);
    tag_head(fill, URL, NULL, 0, 0);
    assert_int_equal(give_body(fill, 0, 0, 2), 2);
    assert_true(cache_fill_worth_going_on(fill));
    cache_purge(cache, &key);
    assert_false(cache_fill_worth_going_on(fill));
    cache_fill_end_writer(&fill);
}

/* A purge of a URL is for the fills of that URL, and one of all for all. */
static void test_many_fills_under_way(void **state)
{
    static struct cache_fill *fills[1000];
    (void)state;
    for (unsigned all = 0; all < 2; all++) {
        for (unsigned i = 0; i < weir_count(fills); i++) {
            char url[64];
            snprintf(url, sizeof(url), "http://a.example/%u", i);
            fills[i] = lead(url, 0);
        }
        struct cache_key key = key_of(cache, "http://a.example/7");
        if (all)
            run_job((struct cache_purge_job){.what = CACHE_PURGE_ALL}, 0);
        else
            assert_int_equal(cache_purge(cache, &key), 0);
        for (unsigned i = 0; i < weir_count(fills); i++) {
            tag_head(fills[i], "", NULL, 0, 0);
            end(&fills[i], 0);
        }
        assert_int_equal(stats_of(cache).objects, all ? 0 : weir_count(fills) - 1);
        assert_false(is_hit(cache, "http://a.example/7", 0));
        run_job((struct cache_purge_job){.what = CACHE_PURGE_ALL}, 0);
    }
}

/* ---- memory ---- */

static void test_bodies_of_every_form(void **state)
{
    static const uint64_t lengths[] = {0, 3, 700, 16 * KIB, 16 * KIB + 1, 300 * KIB};
    (void)state;
    uint64_t before = stats_of(cache).bytes;
    for (size_t i = 0; i < weir_count(lengths); i++)
        for (unsigned announced = 0; announced < 2; announced++) {
            struct cache_fill *fill = lead(URL, 0);
            struct cache_fill_head head = {.meta = {.lifetime_s = 60, .status = 200},
                                           .block = STR("A: b\r\n"),
                                           .tags = tags_of(URL, "a b c"),
                                           .content_length = announced ? (int64_t)lengths[i] : -1};
            assert_true(cache_fill_set_head(fill, &head));
            assert_int_equal(give_body(fill, 7, 0, lengths[i]), lengths[i]);
            cache_fill_complete(fill, STR(""), 0);
            cache_fill_end_writer(&fill);
            struct cache_find found;
            assert_int_equal(ask(cache, (struct ask){.url = URL}, &found), CACHE_HIT);
            check_object(found.object, 7, lengths[i]);
            assert_true(str_equal(cache_object_block(found.object), STR("A: b\r\n")));
            assert_int_equal(cache_object_tags(found.object)->count, 3);
            let_go(&found);
            assert_int_equal(purge_and_count("b", false, 0), 1);
        }
    assert_int_equal(stats_of(cache).bytes, before);
}

/* ---- threads ---- */

#define HAMMER_URLS 64u
static _Atomic bool hammering;

static void *hammer(void *arg)
{
    uint64_t random = (uintptr_t)arg * 977 + 1;
    while (atomic_load(&hammering)) {
        char url[64], names[32];
        unsigned n = (unsigned)(next_random(&random) % HAMMER_URLS);
        struct cache_find found;
        snprintf(url, sizeof(url), "http://a.example/%u", n);
        snprintf(names, sizeof(names), "t%u all", n);
        if (n % 16 == 0)
            cache_purge_tag(cache, str_from(names), false);
        enum cache_found result = ask(cache, (struct ask){.url = url}, &found);
        if (result == CACHE_LEAD) {
            cache_object_release(&found.object);
            tag_head(found.fill, url, names, 0, 0);
            end(&found.fill, 0);
        } else if (result == CACHE_HIT) {
            struct cache_key key = key_of(cache, url);
            struct cache_meta meta = cache_object_meta(found.object);
            struct cache_object *fresh =
                cache_freshen(cache, &key, found.object, &meta, STR(""), 0);
            assert_int_equal(meta.status, 200);
            cache_object_release(&fresh);
        }
        let_go(&found);
    }
    return NULL;
}

/* Two threads store, look up and freshen while this one purges and walks. What was stored before a
   purge that has returned is not found after it. */
static void test_under_load(void **state)
{
    pthread_t threads[2];
    (void)state;
    atomic_store(&hammering, true);
    for (uintptr_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, (void *)(i + 1)), 0);
    for (unsigned i = 0; i < 300; i++) {
        char name[16];
        snprintf(name, sizeof(name), "t%u", i % HAMMER_URLS);
        if (i % 3 == 0)
            purge_and_count(name, i % 2 == 0, 0);
        else if (i % 3 == 1)
            run_job((struct cache_purge_job){.what = CACHE_PURGE_PREFIX,
                                             .prefix = STR("http://a.example/1"),
                                             .soft = i % 2 == 0},
                    0);
        else
            purge("all", i % 2 == 0);
    }
    atomic_store(&hammering, false);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    purge("all", false);
    for (unsigned i = 0; i < HAMMER_URLS; i++) {
        char url[64];
        snprintf(url, sizeof(url), "http://a.example/%u", i);
        assert_false(is_hit(cache, url, 0));
    }
}

/* ---- a purge beside the end of what was asked for before it ---- */

#define ROUNDS 30u
#define OTHER_TAGS 120u
#define OTHER_PURGES 3000u /* that the end has to look through */

static pthread_barrier_t meet;
static struct cache_find asked; /* of this round */
static char many_names[2048];

static void *end_each(void *arg)
{
    const bool *by_304 = arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        pthread_barrier_wait(&meet);
        if (*by_304)
            answer_304(&asked, URL, &(struct cache_meta){.lifetime_s = 60, .status = 200},
                       many_names, 0);
        else
            end(&asked.fill, 0);
        pthread_barrier_wait(&meet);
    }
    return NULL;
}

/* A purge that comes while another thread stores what was asked for before reaches it, at whatever
   moment of that it comes. */
static void purge_beside(bool by_304)
{
    pthread_t thread;
    uint64_t random = 1;
    for (unsigned i = 0; i < OTHER_TAGS; i++)
        sprintf(many_names + strlen(many_names), "t%u ", i);
    strcat(many_names, "victim");
    assert_int_equal(pthread_barrier_init(&meet, NULL, 2), 0);
    assert_int_equal(pthread_create(&thread, NULL, end_each, &by_304), 0);
    for (unsigned i = 0; i < ROUNDS; i++) {
        asked = (struct cache_find){.fill = lead(URL, 0)};
        tag_head(asked.fill, URL, many_names, by_304 ? CACHE_NO_CACHE : 0, 0);
        if (by_304) {
            end(&asked.fill, 0);
            assert_int_equal(ask(cache, (struct ask){.url = URL}, &asked), CACHE_LEAD);
        }
        for (unsigned other = 0; other < OTHER_PURGES; other++)
            purge("other", false);
        pthread_barrier_wait(&meet);
        uint64_t longest = i % 2 == 0 ? 20000 : 1000000;
        for (uint64_t spin = next_random(&random) % longest; spin > 0; spin--)
            __asm__ volatile("");
        purge("victim", false);
        pthread_barrier_wait(&meet);
        assert_false(is_hit(cache, URL, 0));
    }
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&meet);
    many_names[0] = '\0';
}

static void test_a_purge_beside_the_end(void **state)
{
    (void)state;
    purge_beside(false);
}

static void test_a_purge_beside_a_304(void **state)
{
    (void)state;
    purge_beside(true);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_tag_works_at_once),
        TEST(test_softly),
        TEST(test_a_304_for_what_was_purged_meanwhile),
        TEST(test_an_update_after_a_soft_purge),
        TEST(test_a_fill_that_began_before),
        TEST(test_joining_after_a_purge),
        TEST(test_every_tag),
        TEST(test_groups_of_one_origin),
        TEST(test_any_group),
        TEST(test_an_object_behind_the_log),
        TEST(test_hard_and_soft_at_once),
        TEST(test_a_place_of_the_log_that_is_used_again),
        TEST(test_fills_are_not_counted),
        TEST(test_a_long_fill_and_many_purges),
        TEST(test_when_a_walk_begins),
        TEST(test_many_purges_that_reach_nothing),
        TEST(test_a_url_with_longer_keys),
        TEST(test_counts),
        TEST(test_prefix_and_all),
        TEST(test_fills_under_way),
        TEST(test_a_table_that_grows_meanwhile),
        TEST(test_several_jobs_share_a_walk),
        TEST(test_purges_during_a_walk),
        TEST(test_jobs_of_one_walk_that_overlap),
        TEST(test_how_many_turns),
        TEST(test_fills_that_begin_during_a_walk),
        TEST(test_a_fill_that_no_walk_finds),
        TEST(test_a_purged_fill_is_not_worth_going_on),
        TEST(test_many_fills_under_way),
        TEST(test_bodies_of_every_form),
        TEST(test_under_load),
        TEST(test_a_purge_beside_the_end),
        TEST(test_a_purge_beside_a_304),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
