/*
 * A worker: one thread, one loop, its listeners, sessions and fetches.
 *
 *   worker_init (main thread) -> worker_main (own thread) -> [worker_drain: no listeners, idle
 * sessions closed] -> last session and fetch end -> loop stops -> worker_destroy (main thread,
 * after join)
 *
 * Everything of a worker belongs to its thread between worker_main's start and end, apart from the
 * cells, which any thread reads, and the mailbox, through which other threads ask it to drain.
 */
#include "proxy/proxy.h"

#include <stdlib.h>
#include <unistd.h>

#define SESSIONS_KEPT 1024
#define EXCHANGES_KEPT 256
#define FETCHES_KEPT 256
#define SCRATCH_EXTRA (64 * 1024)

int64_t worker_mono_ms(void)
{
    return base_clock_mono_us() / 1000;
}

int64_t worker_wall_s(void)
{
    return base_clock_wall_us() / 1000000;
}

void worker_lacks_memory(struct worker *worker, const char *what)
{
    static struct log_kind kind = {.level = LOG_WARN_LEVEL, .what = "shortages of memory"};

    log_write_paced(&kind, worker->loop.now_ms, "out of memory %s", what);
}

/* ---- listeners ---- */

static bool may_accept(struct net_listener *listener)
{
    struct worker *worker = listener->owner;
    unsigned most = worker->conf->limits.connections;
    uint64_t open = 0;

    if (most == 0)
        return true;
    for (unsigned i = 0; i < worker->weir->workers_count; i++)
        open += cell_read(&worker->weir->workers[i].stats.open);
    return open < most;
}

static void on_accept(struct net_listener *listener, int fd, const struct sockaddr *peer)
{
    session_open(listener->owner, fd, peer);
}

static void open_listeners(struct worker *worker)
{
    for (unsigned i = 0; i < worker->listeners_count; i++) {
        struct net_listener *listener = &worker->listeners[i];

        listener->owner = worker;
        listener->on_accept = on_accept;
        listener->may_accept = may_accept;
        listener->paused_count = &worker->stats.accept_paused;
        net_listener_open(listener, &worker->loop, worker->listen_fds[i]);
        worker->listen_fds[i] = -1;
    }
}

/* ---- the end ---- */

void worker_session_ended(struct worker *worker)
{
    if (worker->draining) {
        if (list_empty(&worker->sessions) && list_empty(&worker->fetches))
            net_loop_stop(&worker->loop);
        return;
    }
    for (unsigned i = 0; i < worker->listeners_count; i++)
        if (weir_unlikely(worker->listeners[i].paused))
            net_listener_resume(&worker->listeners[i]);
}

static void drain(struct mail *mail)
{
    struct worker *worker = weir_container(mail, struct worker, drain_mail);
    struct list_link *link, *next;

    weir_check_magic(worker, WORKER_MAGIC);
    if (worker->draining)
        return;
    for (unsigned i = 0; i < worker->listeners_count; i++)
        net_listener_close(&worker->listeners[i]);
    worker->draining = true;
    for (link = worker->sessions.next; link != &worker->sessions; link = next) {
        next = link->next;
        session_drain(session_of_link(link));
    }
    for (link = worker->fetches.next; link != &worker->fetches; link = next) {
        next = link->next;
        fetch_drain(link);
    }
    worker_session_ended(worker);
}

void worker_drain(struct worker *worker)
{
    mailbox_post(&worker->loop.mailbox, &worker->drain_mail);
}

/* ---- life ---- */

void worker_init(struct worker *worker, struct weir *weir, unsigned index)
{
    const struct conf *conf = weir->conf;

    memset(worker, 0, sizeof(*worker));
    worker->magic = WORKER_MAGIC;
    worker->index = index;
    worker->weir = weir;
    worker->conf = conf;
    worker->cache = weir->cache;
    worker->pool = weir->pool;
    worker->listeners_count = conf->listen_count;
    worker->listeners = base_alloc_zero(conf->listen_count * sizeof(*worker->listeners));
    worker->listen_fds = base_alloc(conf->listen_count * sizeof(*worker->listen_fds));
    for (unsigned i = 0; i < conf->listen_count; i++) {
        worker->listen_fds[i] = -1;
        worker->listeners[i].fd = -1;
    }
    list_init(&worker->sessions);
    list_init(&worker->fetches);
    freelist_init(&worker->session_list, session_bytes(), SESSIONS_KEPT);
    freelist_init(&worker->exchange_list, exchange_bytes(conf), EXCHANGES_KEPT);
    freelist_init(&worker->fetch_list, fetch_bytes(conf), FETCHES_KEPT);
    worker->head_limits = (struct http1_limits){.head_bytes = conf->limits.header_size,
                                                .fields = conf->limits.headers};
    /* A head, its rewritten copy and a variant key fit in one after the other. */
    worker->scratch_bytes = 4 * conf->limits.header_size + SCRATCH_EXTRA;
    worker->scratch = base_alloc(worker->scratch_bytes);
    worker->stats.routes = base_alloc_zero((conf->routes_count ? conf->routes_count : 1) *
                                           sizeof(*worker->stats.routes));
    worker->stats.upstreams =
        base_alloc_zero(conf->upstreams_count * sizeof(*worker->stats.upstreams));
    trace_seed(worker);
    worker->drain_mail.deliver = drain;
    worker->pen = access_log_pen(weir->access_log, index);
    worker->log_from_us = access_log_from_us(weir->access_log);
    net_loop_init(&worker->loop, base_clock_mono_us);
}

void *worker_main(void *arg)
{
    struct worker *worker = arg;
    char name[16];

    weir_check_magic(worker, WORKER_MAGIC);
    snprintf(name, sizeof(name), "weir-%u", worker->index);
    pthread_setname_np(pthread_self(), name);
    /* Nobody cancels it; glibc, told so, does not mark each recv and send as a place to do it. */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    mailbox_adopt(&worker->loop.mailbox);
    open_listeners(worker);
    atomic_fetch_add(&worker->weir->workers_running, 1);
    net_loop_run(&worker->loop);
    mailbox_run_local(&worker->loop.mailbox);
    return NULL;
}

void worker_destroy(struct worker *worker)
{
    mailbox_adopt(&worker->loop.mailbox);
    net_loop_destroy(&worker->loop);
    freelist_destroy(&worker->session_list);
    freelist_destroy(&worker->exchange_list);
    freelist_destroy(&worker->fetch_list);
    for (unsigned i = 0; i < worker->listeners_count; i++)
        if (worker->listen_fds[i] >= 0)
            close(worker->listen_fds[i]);
    free(worker->listeners);
    free(worker->listen_fds);
    free(worker->scratch);
    for (unsigned i = 0; i < worker->conf->routes_count; i++)
        for (unsigned o = 0; o < OUTCOMES; o++)
            free(atomic_load(&worker->stats.routes[i].latency_us[o]));
    free(worker->stats.routes);
    free(worker->stats.upstreams);
    worker->magic = 0;
}
