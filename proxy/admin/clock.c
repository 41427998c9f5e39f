/*
 * POST /test/clock?advance_ms=N moves the process's clocks, for tests; ?hold_ms=N does the same and
 * stops them there, at a whole second: from then on only such requests move them; ?wall_ms=N or -N
 * moves the wall's alone, as if someone had set it. Only there with `--test-clock`. The answer has
 * the wall's time.
 *
 * Called by admin.c on the main thread. One message goes to each worker, which looks at its clock
 * and counts down; the last one wakes the main thread through an eventfd. Then the sweeps of the
 * main thread run, and only then is the request answered: who has the answer knows that everything
 * that was due has happened. One move at a time.
 */
#include "proxy/admin/admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MOST_MS (int64_t)(400 * 86400) * 1000
#define SWEEP_WHOLE UINT32_MAX

struct notice {
    struct mail mail;
    struct worker *worker;
    struct admin_clock *clock;
};

struct admin_clock {
    struct weir *weir;   /* borrowed */
    struct event *event; /* all workers have seen it */
    int event_fd;
    struct evhttp_request *pending; /* to be answered then; NULL: none */
    atomic_uint left;               /* workers that have not */
    struct notice *notices;         /* owned; one per worker */
};

/* On the worker's thread. */
static void on_notice(struct mail *mail)
{
    struct notice *notice = weir_container(mail, struct notice, mail);
    struct admin_clock *clock = notice->clock;
    uint64_t one = 1;

    net_loop_tick(&notice->worker->loop);
    if (atomic_fetch_sub(&clock->left, 1) == 1)
        weir_assert(write(clock->event_fd, &one, sizeof(one)) == sizeof(one));
}

static void on_all_seen(evutil_socket_t fd, short what, void *arg)
{
    struct admin_clock *clock = arg;
    int64_t now_ms = base_clock_mono_us() / 1000;
    uint64_t count;
    char text[64];

    (void)what;
    if (read(fd, &count, sizeof(count)) != sizeof(count))
        return;
    pool_sweep(clock->weir->pool, now_ms);
    cache_sweep(clock->weir->cache, SWEEP_WHOLE, now_ms);
    if (!clock->pending)
        return;
    snprintf(text, sizeof(text), "{\"wall_ms\": %lld}\n", (long long)base_clock_wall_us() / 1000);
    admin_reply(weir_take(&clock->pending), 200, ADMIN_JSON, text);
}

struct admin_clock *admin_clock_new(struct weir *weir)
{
    struct admin_clock *clock = base_alloc_zero(sizeof(*clock));

    clock->weir = weir;
    clock->notices = base_alloc_zero(weir->workers_count * sizeof(*clock->notices));
    clock->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    clock->event = event_new(weir->base, clock->event_fd, EV_READ | EV_PERSIST, on_all_seen, clock);
    if (clock->event_fd < 0 || !clock->event || event_add(clock->event, NULL) != 0)
        admin_clock_free(&clock);
    return clock;
}

void admin_clock_free(struct admin_clock **clock)
{
    struct admin_clock *gone = weir_take(clock);

    if (!gone)
        return;
    if (gone->pending)
        admin_reply_error(gone->pending, 503, "weir is stopping");
    if (gone->event)
        event_free(gone->event);
    if (gone->event_fd >= 0)
        close(gone->event_fd);
    free(gone->notices);
    free(gone);
}

void admin_clock_advance(struct admin *admin, struct evhttp_request *req)
{
    struct admin_clock *clock = admin->clock;
    struct weir *weir = admin->weir;
    const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(req)), *why;
    char *advance = admin_only_parameter(query, "advance_ms", &why);
    char *hold = admin_only_parameter(query, "hold_ms", &why);
    char *wall = admin_only_parameter(query, "wall_ms", &why);
    bool back = wall && *wall == '-', holds = hold != NULL, steps = wall != NULL;
    const char *text = advance ? advance : hold ? hold : wall ? wall + back : NULL;
    uint64_t ms = 0;
    bool good = text && str_to_u64(str_from(text), MOST_MS, &ms);

    free(advance);
    free(hold);
    free(wall);
    if (!good) {
        admin_reply_error(req, 400,
                          "send POST /test/clock?advance_ms=N, or ?hold_ms=N, or ?wall_ms=N or -N");
        return;
    }
    if (clock->pending || atomic_load(&clock->left) > 0 ||
        atomic_load(&weir->phase) != WEIR_RUNNING) {
        admin_reply_error(req, 503,
                          "the clock is being moved already, or weir is not running; try again");
        return;
    }
    if (steps)
        base_clock_step_wall(back ? -(int64_t)ms : (int64_t)ms);
    else
        base_clock_advance((int64_t)ms);
    if (holds)
        base_clock_hold();
    clock->pending = req;
    atomic_store(&clock->left, weir->workers_count);
    for (unsigned i = 0; i < weir->workers_count; i++) {
        clock->notices[i] = (struct notice){{NULL, on_notice}, &weir->workers[i], clock};
        mailbox_post(&weir->workers[i].loop.mailbox, &clock->notices[i].mail);
    }
}
