/*
 * pool: the servers of all upstreams, from configuration to their end; which one is next; their
 * counters.
 *
 * Made and freed on the main thread, which also runs the sweep; the rest is called by every
 * worker. Owns the servers, and through them the parked connections; holds a reference on the
 * configuration that describes them.
 */
#include "pool/server.h"

#include <stdlib.h>
#include <unistd.h>

static void server_init(struct pool_server *server, struct pool *pool,
                        const struct conf_upstream *upstream, const struct conf_server *conf)
{
    server->magic = POOL_SERVER_MAGIC;
    server->pool = pool;
    server->upstream = upstream;
    server->conf = conf;
    weir_assert(pthread_mutex_init(&server->lock, NULL) == 0);
    list_init(&server->queue);
    unsigned cap = upstream->pool.max_idle;
    if (cap > upstream->pool.max_connections)
        cap = upstream->pool.max_connections;
    parked_init(&server->parked, cap);
    sweep_init(&server->sweep, cap);
}

struct pool *pool_new(struct conf *conf, struct net_resolver *resolver, int64_t (*clock_ms)(void))
{
    struct pool *pool = base_alloc_zero(sizeof(*pool));
    pool->magic = POOL_MAGIC;
    pool->conf = conf_ref(conf);
    pool->resolver = resolver;
    pool->clock_ms = clock_ms;
    pool->upstreams = base_alloc_zero(conf->upstreams_count * sizeof(*pool->upstreams));
    for (unsigned i = 0; i < conf->upstreams_count; i++) {
        const struct conf_upstream *from = &conf->upstreams[i];
        struct pool_upstream *upstream = &pool->upstreams[i];
        weir_assert(from->index == i && from->servers_count > 0);
        upstream->count = from->servers_count;
        upstream->servers = base_alloc_zero(upstream->count * sizeof(*upstream->servers));
        for (unsigned j = 0; j < upstream->count; j++) {
            server_init(&upstream->servers[j], pool, from, &from->servers[j]);
            names_start(&upstream->servers[j]);
        }
    }
    return pool;
}

static void server_destroy(struct pool_server *server)
{
    names_stop(server);
    struct parked_node *node;
    while ((node = parked_newest(&server->parked)) != NULL) {
        server_count_closed_locked(server, POOL_CLOSE_SHUTDOWN);
        close(parked_take(&server->parked, node).fd);
    }
    parked_destroy(&server->parked);
    sweep_destroy(&server->sweep);
    pthread_mutex_destroy(&server->lock);
    server->magic = 0;
}

void pool_free(struct pool **from)
{
    struct pool *pool = weir_take(from);
    weir_check_magic(pool, POOL_MAGIC);
    for (unsigned i = 0; i < pool->conf->upstreams_count; i++) {
        struct pool_upstream *upstream = &pool->upstreams[i];
        for (unsigned j = 0; j < upstream->count; j++)
            server_destroy(&upstream->servers[j]);
        free(upstream->servers);
    }
    free(pool->upstreams);
    conf_release(&pool->conf);
    pool->magic = 0;
    free(pool);
}

bool pool_ready(const struct pool *pool)
{
    weir_check_magic(pool, POOL_MAGIC);
    return atomic_load(&pool->names_pending) == 0;
}

static struct pool_upstream *find_upstream(const struct pool *pool,
                                           const struct conf_upstream *upstream)
{
    weir_check_magic(pool, POOL_MAGIC);
    weir_assert(upstream == &pool->conf->upstreams[upstream->index]);
    return &pool->upstreams[upstream->index];
}

struct pool_server *pool_pick(struct pool *pool, const struct conf_upstream *conf)
{
    struct pool_upstream *upstream = find_upstream(pool, conf);
    if (upstream->count == 1)
        return upstream->servers;
    unsigned turn = atomic_fetch_add_explicit(&upstream->turn, 1, memory_order_relaxed);
    return &upstream->servers[turn % upstream->count];
}

const struct conf_upstream *pool_server_upstream(const struct pool_server *server)
{
    weir_check_magic(server, POOL_SERVER_MAGIC);
    return server->upstream;
}

const struct conf_server *pool_server_conf(const struct pool_server *server)
{
    weir_check_magic(server, POOL_SERVER_MAGIC);
    return server->conf;
}

void pool_sweep(struct pool *pool, int64_t now_ms)
{
    weir_check_magic(pool, POOL_MAGIC);
    for (unsigned i = 0; i < pool->conf->upstreams_count; i++) {
        struct pool_upstream *upstream = &pool->upstreams[i];
        for (unsigned j = 0; j < upstream->count; j++) {
            names_refresh(&upstream->servers[j], now_ms);
            server_sweep(&upstream->servers[j], now_ms);
        }
    }
}

/* ---- counters ------------------------------------------------------------------------------- */

void pool_count_unreachable(struct pool_server *server)
{
    weir_check_magic(server, POOL_SERVER_MAGIC);
    pthread_mutex_lock(&server->lock);
    server->requests++;
    server->errors++;
    pthread_mutex_unlock(&server->lock);
}

void pool_count_retry(struct pool_server *server)
{
    weir_check_magic(server, POOL_SERVER_MAGIC);
    pthread_mutex_lock(&server->lock);
    server->retries++;
    pthread_mutex_unlock(&server->lock);
}

unsigned pool_servers(const struct pool *pool, const struct conf_upstream *upstream)
{
    return find_upstream(pool, upstream)->count;
}

static const char *state_name_locked(const struct pool_server *server)
{
    if (!server_is_name(server) || server->addresses_count > 0)
        return "up";
    return server->name_pending ? "resolving" : "unresolved";
}

void pool_read_stats(const struct pool *pool, const struct conf_upstream *conf, unsigned index,
                     struct pool_server_stats *out, struct histogram *latency_us)
{
    struct pool_upstream *upstream = find_upstream(pool, conf);
    weir_assert(index < upstream->count);
    struct pool_server *server = &upstream->servers[index];
    int64_t now_ms = pool->clock_ms();

    pthread_mutex_lock(&server->lock);
    *out = (struct pool_server_stats){
        .address = server->conf->address.text,
        .state = state_name_locked(server),
        .requests = server->requests,
        .errors = server->errors,
        .retries = server->retries,
        .queued = server->queued,
        .queued_total = server->queued_total,
        .queue_full = server->queue_full,
        .queue_timeouts = server->queue_timeouts,
        .opened = server->opened,
        .reused = atomic_load_explicit(&server->reused, memory_order_relaxed),
        .active = server->active,
        .idle = server->parked.count,
        .closed = server->closed,
        .learned_timeout_ms = learned_timeout_ms(&server->learned, now_ms),
    };
    memcpy(out->closed_by, server->closed_by, sizeof(out->closed_by));
    pthread_mutex_unlock(&server->lock);
    if (latency_us != NULL)
        histogram_merge(latency_us, &server->latency_us);
}
