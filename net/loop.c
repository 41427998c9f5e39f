/*
 * A worker's event loop: libevent base, mailbox, deadline wheel, bufferevent pool and read buffer.
 *
 * Every event callback of a worker begins with net_loop_enter() (the time of this wake-up) and ends
 * with net_loop_leave() (mail that the callback posted to its own thread: machines to be stepped,
 * bufferevents to be given back). Bufferevent callbacks cannot end so, because what they are inside
 * of must return first: they activate the kick event instead.
 *
 * The wheel is turned by a timerfd, which runs only while there are deadlines. A timer of libevent's
 * would be computed and cost two looks at the clock each time the loop waits.
 */
#include "net/net.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define TICK_MS 20
#define BUFFEREVENTS_KEPT 256
#define PARKED_KEPT_MS 1000

static void on_mail(evutil_socket_t fd, short what, void *arg)
{
    struct net_loop *loop = arg;

    (void)fd, (void)what;
    net_loop_enter(loop);
    mailbox_run_foreign(&loop->mailbox);
    net_loop_leave(loop);
}

void net_loop_tick(struct net_loop *loop)
{
    net_loop_enter(loop);
    wheel_advance(&loop->wheel, loop->now_ms);
    net_loop_leave(loop);
}

static void set_ticking(struct net_loop *loop, bool ticking)
{
    struct timespec every = {.tv_nsec = ticking ? TICK_MS * 1000000 : 0};
    struct itimerspec timer = {.it_interval = every, .it_value = every};

    loop->ticking = ticking;
    weir_assert(timerfd_settime(loop->tick_fd, 0, &timer, NULL) == 0);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct net_loop *loop = arg;
    uint64_t ticks;

    (void)what;
    if (read(fd, &ticks, sizeof(ticks)) < 0)
        return; /* stopped meanwhile */
    net_loop_tick(loop);
    net_loop_forget_parked(loop, loop->now_ms - PARKED_KEPT_MS);
    if (loop->wheel.timers == 0)
        set_ticking(loop, false);
}

static void on_kick(evutil_socket_t fd, short what, void *arg)
{
    struct net_loop *loop = arg;

    (void)fd, (void)what;
    net_loop_enter(loop);
    net_loop_leave(loop);
}

static void on_later(evutil_socket_t fd, short what, void *arg)
{
    struct net_loop *loop = arg;
    struct mail *mail = weir_take(&loop->later_head), *next;

    (void)fd, (void)what;
    net_loop_enter(loop);
    loop->later_tail = &loop->later_head;
    for (; mail; mail = next) {
        next = mail->next;
        mailbox_post(&loop->mailbox, mail);
    }
    net_loop_leave(loop);
}

void net_loop_later(struct net_loop *loop, struct mail *mail)
{
    mail->next = NULL;
    *loop->later_tail = mail;
    loop->later_tail = &mail->next;
    if (!event_pending(loop->later_event, EV_TIMEOUT, NULL))
        event_add(loop->later_event, &(struct timeval){0, 0});
}

void net_loop_withdraw(struct net_loop *loop, struct mail *mail)
{
    struct mail **at = &loop->later_head;

    if (mailbox_withdraw(&loop->mailbox, mail))
        return;
    while (*at && *at != mail)
        at = &(*at)->next;
    if (!*at)
        return;
    *at = mail->next;
    if (!*at)
        loop->later_tail = at;
}

void net_loop_leave(struct net_loop *loop)
{
    mailbox_run_local(&loop->mailbox);
    if (weir_unlikely(!loop->ticking) && loop->wheel.timers > 0)
        set_ticking(loop, true);
}

void net_loop_init(struct net_loop *loop, int64_t (*clock_us)(void))
{
    struct event_config *config = event_config_new();

    memset(loop, 0, sizeof(*loop));
    weir_assert(config != NULL);
    /* Not EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST: it merges a connection's edge-triggered event
     * leaving and a level-triggered one joining into one change that stays edge-triggered. */
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    event_config_set_flag(config, EVENT_BASE_FLAG_NO_CACHE_TIME); /* nobody asks libevent for it */
    event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_EARLY_CLOSE);
    loop->base = event_base_new_with_config(config);
    event_config_free(config);
    if (!loop->base) {
        log_error(
            "starting a worker: libevent offers no edge-triggered backend here; Weir needs epoll");
        exit(2);
    }
    loop->clock_us = clock_us;
    net_loop_enter(loop);
    loop->read_buffer = base_alloc(NET_READ_BUFFER);
    mailbox_init(&loop->mailbox);
    mailbox_adopt(&loop->mailbox);
    wheel_init(&loop->wheel, loop->now_ms);
    net_watches_init(&loop->watches);
    net_bufferevents_init(&loop->bufferevents, loop->base, BUFFEREVENTS_KEPT);
    loop->mail_event =
        event_new(loop->base, loop->mailbox.event_fd, EV_READ | EV_PERSIST, on_mail, loop);
    loop->tick_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    loop->wheel_event = event_new(loop->base, loop->tick_fd, EV_READ | EV_PERSIST, on_tick, loop);
    loop->kick_event = event_new(loop->base, -1, 0, on_kick, loop);
    loop->later_event = event_new(loop->base, -1, 0, on_later, loop);
    loop->later_tail = &loop->later_head;
    weir_assert(loop->mail_event && loop->wheel_event && loop->kick_event && loop->later_event);
    /* libevent makes room for its timers with the first one: from here on, adding later's cannot
     * fail. */
    if (loop->tick_fd < 0 || event_add(loop->mail_event, NULL) != 0 ||
        event_add(loop->wheel_event, NULL) != 0 ||
        event_add(loop->later_event, &(struct timeval){0, 0}) != 0) {
        log_error("starting a worker: its events cannot be registered: %s; ending",
                  strerror(errno));
        exit(2);
    }
    event_del(loop->later_event);
    set_ticking(loop, true);
}

void net_loop_run(struct net_loop *loop)
{
    event_base_loop(loop->base, EVLOOP_NO_EXIT_ON_EMPTY);
}

void net_loop_stop(struct net_loop *loop)
{
    event_base_loopbreak(loop->base);
}

void net_loop_destroy(struct net_loop *loop)
{
    mailbox_run_local(&loop->mailbox);
    event_free(loop->mail_event);
    event_free(loop->wheel_event);
    event_free(loop->kick_event);
    event_free(loop->later_event);
    net_loop_forget_parked(loop, INT64_MAX);
    net_watches_destroy(&loop->watches);
    net_bufferevents_destroy(&loop->bufferevents);
    mailbox_destroy(&loop->mailbox);
    event_base_free(loop->base);
    close(loop->tick_fd);
    free(loop->read_buffer);
    memset(loop, 0, sizeof(*loop));
}
