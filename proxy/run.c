/*
 * The process: what all workers share is made here, on the main thread, in the order in which it is
 * needed, and taken down in reverse.
 *
 *   STARTING -> RUNNING (every worker accepts, every name has been looked up) -> DRAINING (TERM,
 * INT) -> STOPPED
 *
 * The main thread then serves the admin port and signals, sweeps the pool and the cache once a
 * second, and waits for the workers. The data path never waits for it.
 */
#include "proxy/proxy.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define SWEEP_OBJECTS 20000

struct main_thread {
    struct weir *weir;
    void (*on_ready)(struct weir *weir, void *arg);
    void *arg;
    struct event *term, *interrupt, *reopen, *second, *poll;
    bool threads_started;
    unsigned joined;
};

/* ---- starting ---- */

/* As many descriptors as the system lets us have: limits.connections 0 means that. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* One socket per worker and address. */
static bool listen_all(struct weir *weir)
{
    for (unsigned i = 0; i < weir->conf->listen_count; i++) {
        const struct conf_address *address = &weir->conf->listen[i].address;

        for (unsigned w = 0; w < weir->workers_count; w++) {
            int *fd = &weir->workers[w].listen_fds[i];

            if (w > 0 && address->kind == CONF_ADDRESS_UNIX)
                *fd = dup(weir->workers[0].listen_fds[i]);
            else
                *fd = net_listen(address, &weir->bound[i]);
            if (*fd < 0) {
                log_error("listening on %s: %s; choose another address or stop what listens there",
                          address->text, strerror(errno));
                return false;
            }
        }
    }
    return true;
}

static bool start_workers(struct weir *weir)
{
    sigset_t all, old;
    bool started = true;

    sigfillset(&all);
    sigdelset(&all, SIGPROF);               /* samples the thread that computes */
    pthread_sigmask(SIG_BLOCK, &all, &old); /* the others are the main thread's */
    for (unsigned i = 0; i < weir->workers_count && started; i++) {
        int error = pthread_create(&weir->workers[i].thread, NULL, worker_main, &weir->workers[i]);

        if (error) {
            log_error("starting worker %u: %s; ending", i, strerror(error));
            started = false;
        }
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return started;
}

static bool make_shared(struct weir *weir)
{
    const struct conf *conf = weir->conf;
    const char *why = NULL;

    weir->base = event_base_new();
    weir_assert(weir->base != NULL);
    weir->cache = cache_new(conf->cache_memory, conf->cache_max_object, conf->workers, 0);
    weir->resolver = net_resolver_new(weir->base, &why);
    if (!weir->resolver) {
        log_error("starting the resolver: %s; ending", why);
        return false;
    }
    weir->pool = pool_new(weir->conf, weir->resolver, worker_mono_ms);
    if (!access_log_open(conf, conf->workers, &weir->access_log))
        return false;
    weir->workers_count = conf->workers;
    weir->workers = base_alloc_zero(conf->workers * sizeof(*weir->workers));
    weir->bound = base_alloc_zero(conf->listen_count * sizeof(*weir->bound));
    for (unsigned i = 0; i < conf->workers; i++) {
        worker_init(&weir->workers[i], weir, i);
        mailbox_disown(&weir->workers[i].loop.mailbox);
    }
    return true;
}

/* ---- running ---- */

void weir_drain(struct weir *weir)
{
    enum weir_phase running = WEIR_RUNNING, starting = WEIR_STARTING;

    if (!atomic_compare_exchange_strong(&weir->phase, &running, WEIR_DRAINING) &&
        !atomic_compare_exchange_strong(&weir->phase, &starting, WEIR_DRAINING))
        return;
    for (unsigned i = 0; i < weir->workers_count; i++)
        worker_drain(&weir->workers[i]);
}

/* Threads that have ended; in any order. */
static void join_ended(struct main_thread *main_thread)
{
    struct weir *weir = main_thread->weir;

    for (unsigned i = 0; i < weir->workers_count; i++) {
        struct worker *worker = &weir->workers[i];

        if (!worker->joined && pthread_tryjoin_np(worker->thread, NULL) == 0) {
            worker->joined = true;
            main_thread->joined++;
        }
    }
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
    struct main_thread *main_thread = arg;

    (void)what;
    if (main_thread->weir->phase == WEIR_DRAINING) {
        log_tell_held_back(INT64_MAX);
        log_warn("stopping at once: a second signal %d", (int)number);
        join_ended(main_thread);
        _exit(0);
    }
    log_info("draining: signal %d; requests under way are finished, a second signal stops at once",
             (int)number);
    weir_drain(main_thread->weir);
}

/* Whoever rotates logs has renamed the files. */
static void on_reopen(evutil_socket_t number, short what, void *arg)
{
    struct main_thread *main_thread = arg;

    (void)number, (void)what;
    if (main_thread->weir->access_log)
        access_log_reopen(main_thread->weir->access_log);
    else
        log_info("reopening logs: neither access_log nor slow_log is on; nothing to do");
}

static void on_second(evutil_socket_t fd, short what, void *arg)
{
    struct main_thread *main_thread = arg;
    int64_t now_ms = worker_mono_ms();

    (void)fd, (void)what;
    pool_sweep(main_thread->weir->pool, now_ms);
    cache_sweep(main_thread->weir->cache, SWEEP_OBJECTS, now_ms);
    cache_watch_memory(main_thread->weir->cache, now_ms);
    if (main_thread->weir->access_log)
        access_log_sweep(main_thread->weir->access_log);
    log_tell_held_back(now_ms);
}

static void say_where(const struct weir *weir)
{
    for (unsigned i = 0; i < weir->conf->listen_count; i++)
        log_info("listening on %s, port %u, with %u worker%s", weir->conf->listen[i].address.text,
                 weir->bound[i].port, weir->workers_count, weir->workers_count == 1 ? "" : "s");
    log_info("admin on %s, port %u", weir->conf->admin.text, weir->admin_bound.port);
}

/* Watches for the two things that no event tells: all workers run and all names are looked up; all
 * workers have ended. */
static void on_poll(evutil_socket_t fd, short what, void *arg)
{
    struct main_thread *main_thread = arg;
    struct weir *weir = main_thread->weir;
    enum weir_phase starting = WEIR_STARTING;

    (void)fd, (void)what;
    if (weir->phase == WEIR_STARTING &&
        atomic_load(&weir->workers_running) == weir->workers_count && pool_ready(weir->pool) &&
        atomic_compare_exchange_strong(&weir->phase, &starting, WEIR_RUNNING)) {
        say_where(weir);
        event_add(main_thread->poll,
                  &(struct timeval){0, 100000}); /* from now on only for the end */
        if (main_thread->on_ready)
            main_thread->on_ready(weir, main_thread->arg);
    }
    if (weir->phase != WEIR_DRAINING)
        return;
    join_ended(main_thread);
    if (main_thread->joined == weir->workers_count)
        event_base_loopbreak(weir->base);
}

static void serve(struct main_thread *main_thread)
{
    struct weir *weir = main_thread->weir;
    struct timeval second = {1, 0}, often = {0, 20000};

    main_thread->term = evsignal_new(weir->base, SIGTERM, on_signal, main_thread);
    main_thread->interrupt = evsignal_new(weir->base, SIGINT, on_signal, main_thread);
    main_thread->reopen = evsignal_new(weir->base, SIGUSR1, on_reopen, main_thread);
    main_thread->second = event_new(weir->base, -1, EV_PERSIST, on_second, main_thread);
    main_thread->poll = event_new(weir->base, -1, EV_PERSIST, on_poll, main_thread);
    event_add(main_thread->term, NULL);
    event_add(main_thread->interrupt, NULL);
    event_add(main_thread->reopen, NULL);
    event_add(main_thread->second, &second);
    event_add(main_thread->poll, &often);
    event_base_dispatch(weir->base);
    event_free(main_thread->term);
    event_free(main_thread->interrupt);
    event_free(main_thread->reopen);
    event_free(main_thread->second);
    event_free(main_thread->poll);
}

/* ---- stopping ---- */

/* What workers posted to each other in their last moments. */
static void deliver_last_mail(struct weir *weir)
{
    for (unsigned pass = 0; pass < 2; pass++)
        for (unsigned i = 0; i < weir->workers_count; i++) {
            struct mailbox *mailbox = &weir->workers[i].loop.mailbox;

            mailbox_adopt(mailbox);
            mailbox_run_foreign(mailbox);
            mailbox_run_local(mailbox);
            mailbox_disown(mailbox);
        }
}

static void take_down(struct weir *weir)
{
    deliver_last_mail(weir);
    if (weir->admin)
        admin_close(&weir->admin);
    for (unsigned i = 0; i < weir->workers_count; i++) {
        if (weir->conf->listen_count > 0 && i == 0)
            for (unsigned l = 0; l < weir->conf->listen_count; l++)
                if (weir->conf->listen[l].address.kind == CONF_ADDRESS_UNIX &&
                    weir->bound[l].len > 0)
                    unlink(weir->conf->listen[l].address.host);
        worker_destroy(&weir->workers[i]);
    }
    free(weir->workers);
    free(weir->bound);
    if (weir->access_log)
        access_log_close(&weir->access_log);
    if (weir->pool)
        pool_free(&weir->pool);
    if (weir->resolver)
        net_resolver_free(&weir->resolver);
    if (weir->cache)
        cache_free(&weir->cache);
    event_base_free(weir->base);
    conf_release(&weir->conf);
}

int weir_run(struct conf *conf, bool test_clock, void (*on_ready)(struct weir *weir, void *arg),
             void *arg)
{
    struct weir weir = {.conf = conf,
                        .started_us = base_clock_mono_us(),
                        .started_wall_us = base_clock_wall_us(),
                        .test_clock = test_clock};
    struct main_thread main_thread = {.weir = &weir, .on_ready = on_ready, .arg = arg};
    const char *why;
    int status = 2;

    log_set_level(conf->error_log_level);
    raise_descriptor_limit();
    if (make_shared(&weir) && listen_all(&weir)) {
        weir.admin = admin_open(&weir, &why);
        if (!weir.admin)
            log_error(
                "opening the admin port %s: %s; choose another address or stop what listens there",
                conf->admin.text, why);
        else if (start_workers(&weir)) {
            serve(&main_thread);
            log_tell_held_back(INT64_MAX);
            log_info("stopped");
            status = 0;
        } else {
            _exit(2); /* some threads run already and cannot be taken down in order */
        }
    }
    atomic_store(&weir.phase, WEIR_STOPPED);
    take_down(&weir);
    return status;
}
