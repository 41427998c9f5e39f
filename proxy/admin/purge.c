/*
 * POST /purge?url=|prefix=|tag=|all=1, with &soft=1: forgets what is stored, or makes it stale.
 *
 * Called by admin.c on the main thread, for clients that may. A URL is made into a key by the rule
 * that makes a request's, so that what a client asked for is what is found. What needs a walk
 * through all that is stored is a job: a timer walks on in slices, so that the other pages are
 * served in between, and the reply is sent when the walk ends, whether its client is still there or
 * not (evhttp drops what has no connection any more). The same timer sees to the log of purges once
 * a second.
 */
#include "proxy/admin/admin.h"

#include <stdio.h>
#include <stdlib.h>

/* Objects visited in a turn, a fraction of a millisecond; and the pause behind it, in which other
 * pages are served, and a worker that shares the processor goes on. */
#define VISITS_PER_TURN 512
#define PAUSE_US 1000

struct admin_purger {
    struct admin *admin; /* borrowed */
    struct event *turn;
    struct list_link replies; /* of reply.link */
};

/* A request that waits for its job. */
struct reply {
    struct cache_purge_job job;
    struct admin_purger *purger;
    struct evhttp_request *req;
    struct admin_purge_order order;
    char *prefix; /* owned: as a key has it */
    struct list_link link;
};

static struct cache *cache_of(const struct admin_purger *purger)
{
    return purger->admin->weir->cache;
}

/* ---- replies ---- */

static void reply_purged(struct evhttp_request *req, const struct admin_purge_order *order,
                         uint64_t purged)
{
    char body[64];

    snprintf(body, sizeof(body), "{\"purged\": %llu}\n", (unsigned long long)purged);
    admin_reply(req, 200, ADMIN_JSON, body);
    log_info("admin: purged %llu stored responses%s: %s %s", (unsigned long long)purged,
             order->soft ? " (soft)" : "", admin_purge_word(order->what), order->value);
}

static void free_reply(struct reply *reply)
{
    list_remove(&reply->link);
    free(reply->order.value);
    free(reply->prefix);
    free(reply);
}

static void on_done(struct cache_purge_job *job)
{
    struct reply *reply = weir_container(job, struct reply, job);

    reply_purged(reply->req, &reply->order, job->purged);
    free_reply(reply);
}

/* ---- what is asked for ---- */

/* As a key has it; NULL when it is no URL, or memory is out. What is left out of the key of a URL
 * stays in a prefix, which may end anywhere. */
static char *key_of(const struct weir *weir, const struct admin_purge_order *order)
{
    struct str url = str_from(order->value);
    size_t room = url.len + 4;
    char *text = malloc(room);
    struct appender out = appender_on(text, text ? room - 1 : 0);
    bool good = text && (order->what == ADMIN_PURGE_URL ? purge_write_key(weir->conf, url, &out)
                                                        : cache_key_from_url(url, &out));

    if (!good) {
        free(text);
        return NULL;
    }
    text[out.len] = '\0';
    return text;
}

/* What works at once is done here. True: the rest needs a walk. */
static bool begin(struct reply *reply, int64_t now_ms)
{
    struct cache *cache = cache_of(reply->purger);
    struct cache_purge_job *job = &reply->job;

    job->what = CACHE_PURGE_LOGGED;
    job->soft = reply->order.soft;
    job->on_done = on_done;
    switch (reply->order.what) {
    case ADMIN_PURGE_URL:
        job->purged =
            cache_purge_url(cache, str_from(reply->prefix), job->soft, now_ms, &job->logged);
        return job->logged != 0;
    case ADMIN_PURGE_PREFIX:
        job->what = CACHE_PURGE_PREFIX;
        job->prefix = str_from(reply->prefix);
        return true;
    case ADMIN_PURGE_TAG:
        job->logged = cache_purge_tag(cache, str_from(reply->order.value), job->soft);
        return true;
    case ADMIN_PURGE_ALL:
        job->what = CACHE_PURGE_ALL;
        return true;
    }
    weir_assert(!"what is to be purged");
    return false;
}

static void start(struct admin_purger *purger, struct reply *reply)
{
    if (!begin(reply, worker_mono_ms())) {
        on_done(&reply->job);
        return;
    }
    if (!cache_purge_begin(cache_of(purger), &reply->job)) {
        admin_reply_error(reply->req, 503, "too many purges wait for their turn; send it again");
        free_reply(reply);
        return;
    }
    event_add(purger->turn, &(struct timeval){0, 0});
}

void admin_purge(struct admin *admin, struct evhttp_request *req)
{
    const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(req)), *why;
    struct reply *reply = calloc(1, sizeof(*reply));
    bool is_url;

    if (!reply) {
        admin_reply_error(req, 503, "the purge does not fit into memory");
        return;
    }
    reply->purger = admin->purger;
    reply->req = req;
    list_push_back(&admin->purger->replies, &reply->link);
    if (!admin_purge_read(query, &reply->order, &why)) {
        admin_reply_error(req, 400,
                          "%s; send POST /purge?url=URL, ?prefix=URL, ?tag=TAG or ?all=1, with "
                          "&soft=1 to make it stale instead, percent-encoded (curl: -G -X POST "
                          "--data-urlencode url=URL)",
                          why);
        free_reply(reply);
        return;
    }
    is_url = reply->order.what == ADMIN_PURGE_URL || reply->order.what == ADMIN_PURGE_PREFIX;
    if (is_url && !(reply->prefix = key_of(admin->weir, &reply->order))) {
        admin_reply_error(
            req, 400,
            "not a URL: %s; write it as clients ask for it, with scheme and host, such as "
            "http://api.example.com/v1/items?page=2",
            reply->order.value);
        free_reply(reply);
        return;
    }
    start(admin->purger, reply);
}

/* ---- the walks ---- */

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    struct admin_purger *purger = arg;
    const struct timeval pause = {0, PAUSE_US}, second = {1, 0};
    bool more = cache_purge_go_on(cache_of(purger), VISITS_PER_TURN, worker_mono_ms());

    (void)fd, (void)what;
    event_add(purger->turn, more ? &pause : &second);
}

struct admin_purger *admin_purger_new(struct admin *admin)
{
    struct admin_purger *purger = base_alloc_zero(sizeof(*purger));

    purger->admin = admin;
    list_init(&purger->replies);
    purger->turn = event_new(admin->weir->base, -1, 0, on_turn, purger);
    weir_assert(purger->turn && event_add(purger->turn, &(struct timeval){1, 0}) == 0);
    return purger;
}

void admin_purger_free(struct admin_purger **from)
{
    struct admin_purger *purger = weir_take(from);

    if (!purger)
        return;
    while (!list_empty(&purger->replies)) {
        struct reply *reply = weir_container(purger->replies.next, struct reply, link);

        cache_purge_give_up(cache_of(purger), &reply->job);
        admin_reply_error(reply->req, 503, "weir is stopping, and what it has stored goes with it");
        free_reply(reply);
    }
    event_free(purger->turn);
    free(purger);
}
