/*
 * GET /stats: every counter as one JSON object.
 *
 * Called by admin.c on the main thread. Workers write their cells without a lock and nobody stops
 * them, so one answer is not a snapshot of one moment; what must fit together is read in the order
 * that keeps it so.
 */
#include "proxy/admin/admin.h"
#include "proxy/version.h"

#include <jansson.h>
#include <stdlib.h>

/* The sum over all workers of the cell that lies at this offset in a worker. */
static uint64_t sum(const struct weir *weir, size_t offset)
{
    uint64_t total = 0;

    for (unsigned i = 0; i < weir->workers_count; i++)
        total += cell_read((const cell *)((const char *)&weir->workers[i] + offset));
    return total;
}

#define SUM(weir, member) sum((weir), offsetof(struct worker, stats.member))
#define SUM_ROW(weir, member, row)                                                                 \
    sum((weir), offsetof(struct worker, stats.member) + (row) * sizeof(cell))

static void set(json_t *object, const char *name, uint64_t value)
{
    json_object_set_new(object, name, json_integer((json_int_t)value));
}

static json_t *latency(const struct histogram *h)
{
    static const struct {
        const char *name;
        double share;
    } quantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}};
    uint64_t max = cell_read(&h->max);
    json_t *out = json_object();

    set(out, "count", cell_read(&h->count));
    for (size_t i = 0; i < weir_count(quantiles); i++) {
        uint64_t value = histogram_quantile(h, quantiles[i].share);

        /* A bucket ends behind the largest value in it. */
        set(out, quantiles[i].name, value < max ? value : max);
    }
    set(out, "max", max);
    return out;
}

#define OUTCOME_BIT(symbol) (1u << OUTCOME_##symbol)
#define FROM_MEMORY (OUTCOME_BIT(HIT) | OUTCOME_BIT(STALE))
#define ALL_OUTCOMES ((1u << OUTCOMES) - 1)
#define FROM_ORIGIN (ALL_OUTCOMES & ~FROM_MEMORY & ~OUTCOME_BIT(LOCAL))

/* Adds a route's requests that ended in one of these outcomes, of all workers. */
static void merge_latency(const struct weir *weir, unsigned route, unsigned outcomes,
                          struct histogram *into)
{
    for (unsigned i = 0; i < weir->workers_count; i++) {
        struct route_stats *stats = &weir->workers[i].stats.routes[route];

        for (unsigned o = 0; o < OUTCOMES; o++) {
            const struct histogram *from =
                atomic_load_explicit(&stats->latency_us[o], memory_order_acquire);

            if (from && (outcomes & 1u << o))
                histogram_merge(into, from);
        }
    }
}

static json_t *latency_of_all(const struct weir *weir, unsigned outcomes)
{
    struct histogram *h = base_alloc_zero(sizeof(*h));
    json_t *out;

    for (unsigned r = 0; r < weir->conf->routes_count; r++)
        merge_latency(weir, r, outcomes, h);
    out = latency(h);
    free(h);
    return out;
}

/* Read once, so that requests.total is the sum of the outcomes in every answer. */
struct outcome_counts {
    uint64_t of[OUTCOMES], total;
};

static struct outcome_counts read_outcomes(const struct weir *weir)
{
    struct outcome_counts out = {.total = 0};

    for (unsigned i = 0; i < OUTCOMES; i++) {
        out.of[i] = SUM_ROW(weir, outcomes, i);
        out.total += out.of[i];
    }
    return out;
}

static json_t *requests(const struct weir *weir, const struct outcome_counts *outcomes)
{
    static const char *const classes[] = {"1xx", "2xx", "3xx", "4xx", "5xx"};
    /* A request that finishes in between must not make the difference negative. */
    uint64_t finished = SUM(weir, finished), started = SUM(weir, started);
    json_t *out = json_object(), *status = json_object(), *rejected = json_object();

    for (unsigned i = 0; i < weir_count(classes); i++)
        set(status, classes[i], SUM_ROW(weir, status, i + 1));
    for (unsigned i = HTTP1_OK + 1; i < HTTP1_ERRORS; i++)
        set(rejected, http1_error_row((enum http1_error)i)->counter, SUM_ROW(weir, rejected, i));
    set(out, "total", outcomes->total);
    set(out, "in_flight", started > finished ? started - finished : 0);
    json_object_set_new(out, "status", status);
    set(out, "interim", SUM(weir, interim));
    set(out, "client_gone", SUM(weir, client_gone));
    set(out, "cut", SUM(weir, cut));
    set(out, "too_slow", SUM(weir, too_slow));
    json_object_set_new(out, "rejected", rejected);
    return out;
}

static json_t *connections(const struct weir *weir)
{
    json_t *out = json_object();

    set(out, "accepted", SUM(weir, accepted));
    set(out, "open", SUM(weir, open));
    set(out, "idle", SUM(weir, idle));
    set(out, "accept_paused", SUM(weir, accept_paused));
    return out;
}

static json_t *cache_memory(const struct cache_stats *stats)
{
    json_t *out = json_object();

    set(out, "heads", stats->memory.heads);
    set(out, "bodies", stats->memory.bodies);
    set(out, "index", stats->memory.index);
    set(out, "ghost", stats->memory.ghost);
    set(out, "fills", stats->memory.fills);
    set(out, "pinned", stats->memory.pinned);
    return out;
}

static json_t *cache_shortage(const struct cache_stats *stats)
{
    json_t *out = json_object();

    set(out, "episodes", stats->shortage.episodes);
    set(out, "passes", stats->shortage.passes);
    set(out, "refused", stats->shortage.refused);
    return out;
}

static json_t *cache(const struct weir *weir, const struct outcome_counts *outcomes)
{
    json_t *out = json_object();
    struct cache_stats stats;

    cache_read_stats(weir->cache, &stats);
    for (unsigned i = 0; i < OUTCOMES; i++)
        set(out, outcome_counter((enum outcome)i), outcomes->of[i]);
    set(out, "stored", stats.stored);
    set(out, "evicted", stats.evicted);
    set(out, "evicted_small", stats.evicted_small);
    set(out, "evicted_main", stats.evicted_main);
    set(out, "chain_full", stats.chain_full);
    set(out, "expired", stats.expired);
    set(out, "purged", stats.purged);
    set(out, "objects", stats.objects);
    set(out, "bytes", stats.bytes);
    set(out, "memory_limit", stats.memory_limit);
    set(out, "fills", stats.fills);
    set(out, "readers", stats.readers);
    set(out, "waiters", SUM(weir, waiters));
    set(out, "fills_aborted", stats.fills_aborted);
    set(out, "readers_cut", stats.readers_cut);
    set(out, "hit_for_miss", stats.hit_for_miss);
    set(out, "pinned_bytes", stats.memory.pinned);
    json_object_set_new(out, "memory", cache_memory(&stats));
    json_object_set_new(out, "short", cache_shortage(&stats));
    return out;
}

static json_t *routes(const struct weir *weir)
{
    struct histogram *h = base_alloc(sizeof(*h));
    json_t *out = json_array();

    for (unsigned r = 0; r < weir->conf->routes_count; r++) {
        json_t *one = json_object();
        uint64_t asked = 0;

        for (unsigned i = 0; i < weir->workers_count; i++)
            asked += cell_read(&weir->workers[i].stats.routes[r].requests);
        memset(h, 0, sizeof(*h));
        merge_latency(weir, r, FROM_MEMORY, h);
        json_object_set_new(one, "route", json_string(weir->conf->routes[r].name));
        set(one, "requests", asked);
        set(one, "hits", cell_read(&h->count));
        merge_latency(weir, r, ALL_OUTCOMES & ~FROM_MEMORY, h);
        json_object_set_new(one, "latency_us", latency(h));
        json_array_append_new(out, one);
    }
    free(h);
    return out;
}

static json_t *server_connections(const struct pool_server_stats *stats)
{
    json_t *out = json_object(), *closed_by = json_object();

    set(out, "opened", stats->opened);
    set(out, "reused", stats->reused);
    set(out, "active", stats->active);
    set(out, "idle", stats->idle);
    set(out, "closed", stats->closed);
    for (unsigned i = 0; i < POOL_CLOSES; i++)
        set(closed_by, pool_close_name((enum pool_close)i), stats->closed_by[i]);
    json_object_set_new(out, "closed_by", closed_by);
    return out;
}

static json_t *server(const struct pool_server_stats *stats, const struct histogram *latency_us)
{
    json_t *out = json_object();

    json_object_set_new(out, "address", json_string(stats->address));
    json_object_set_new(out, "state", json_string(stats->state));
    set(out, "requests", stats->requests);
    set(out, "errors", stats->errors);
    set(out, "retries", stats->retries);
    set(out, "queued", stats->queued);
    set(out, "queued_total", stats->queued_total);
    set(out, "queue_full", stats->queue_full);
    set(out, "queue_timeouts", stats->queue_timeouts);
    set(out, "learned_timeout_ms", (uint64_t)stats->learned_timeout_ms);
    json_object_set_new(out, "connections", server_connections(stats));
    json_object_set_new(out, "latency_us", latency(latency_us));
    return out;
}

/* What exchanges with an upstream's origins spent their time on. */
static json_t *phases(const struct weir *weir, unsigned upstream)
{
    static const struct {
        const char *name;
        size_t offset;
    } rows[] = {{"queue", offsetof(struct upstream_stats, queue_us)},
                {"connect", offsetof(struct upstream_stats, connect_us)},
                {"first_byte", offsetof(struct upstream_stats, first_byte_us)},
                {"body", offsetof(struct upstream_stats, body_us)}};
    struct histogram *h = base_alloc(sizeof(*h));
    json_t *out = json_object();

    for (size_t i = 0; i < weir_count(rows); i++) {
        memset(h, 0, sizeof(*h));
        for (unsigned w = 0; w < weir->workers_count; w++) {
            const char *stats = (const char *)&weir->workers[w].stats.upstreams[upstream];

            histogram_merge(h, (const struct histogram *)(stats + rows[i].offset));
        }
        json_object_set_new(out, rows[i].name, latency(h));
    }
    free(h);
    return out;
}

static json_t *upstreams(const struct weir *weir)
{
    struct histogram *h = base_alloc(sizeof(*h));
    json_t *out = json_object();

    for (unsigned u = 0; u < weir->conf->upstreams_count; u++) {
        const struct conf_upstream *upstream = &weir->conf->upstreams[u];
        json_t *one = json_object(), *servers = json_array();
        struct pool_server_stats stats;
        uint64_t queued = 0;

        for (unsigned s = 0; s < pool_servers(weir->pool, upstream); s++) {
            memset(h, 0, sizeof(*h));
            pool_read_stats(weir->pool, upstream, s, &stats, h);
            queued += stats.queued;
            json_array_append_new(servers, server(&stats, h));
        }
        set(one, "queued", queued);
        json_object_set_new(one, "servers", servers);
        json_object_set_new(one, "phases_us", phases(weir, u));
        json_object_set_new(out, upstream->name, one);
    }
    free(h);
    return out;
}

static json_t *buffers(const struct weir *weir)
{
    const size_t at = offsetof(struct worker, loop.bufferevents.stats);
    json_t *out = json_object();

    set(out, "created", sum(weir, at + offsetof(struct net_bufferevent_stats, created)));
    set(out, "leased", sum(weir, at + offsetof(struct net_bufferevent_stats, leased)));
    set(out, "reused", sum(weir, at + offsetof(struct net_bufferevent_stats, reused)));
    set(out, "idle", sum(weir, at + offsetof(struct net_bufferevent_stats, idle)));
    return json_pack("{s:o}", "bufferevents", out);
}

static json_t *log_lines(const struct access_log_counts *counts)
{
    return json_pack("{s:I, s:I}", "written", (json_int_t)counts->written, "dropped",
                     (json_int_t)counts->dropped);
}

static json_t *error_log(void)
{
    json_t *out = json_object();

    for (unsigned i = 0; i < LOG_LEVELS; i++) {
        struct log_counts counts = log_count((enum log_level)i);

        json_object_set_new(out, log_level_name((enum log_level)i),
                            json_pack("{s:I, s:I}", "written", (json_int_t)counts.written,
                                      "held_back", (json_int_t)counts.held_back));
    }
    return out;
}

char *admin_stats_json(struct weir *weir)
{
    json_t *out = json_object();
    /* First: a connection that is seen to be closed has had its requests counted. */
    json_t *connected = connections(weir);
    struct outcome_counts outcomes = read_outcomes(weir);
    struct access_log_counts access, slow;
    int64_t uptime_ms = (base_clock_mono_us() - weir->started_us) / 1000;
    char *text;

    json_object_set_new(out, "version", json_string(WEIR_VERSION));
    json_object_set_new(out, "uptime_s", json_real((double)uptime_ms / 1000));
    set(out, "workers", weir->workers_count);
    json_object_set_new(out, "requests", requests(weir, &outcomes));
    json_object_set_new(out, "connections", connected);
    json_object_set_new(out, "cache", cache(weir, &outcomes));
    json_object_set_new(out, "latency_us",
                        json_pack("{s:o, s:o}", "hit", latency_of_all(weir, FROM_MEMORY), "miss",
                                  latency_of_all(weir, FROM_ORIGIN)));
    json_object_set_new(out, "routes", routes(weir));
    json_object_set_new(out, "upstreams", upstreams(weir));
    json_object_set_new(out, "buffers", buffers(weir));
    access_log_count(weir->access_log, &access, &slow);
    json_object_set_new(out, "access_log", log_lines(&access));
    json_object_set_new(out, "slow_log", log_lines(&slow));
    json_object_set_new(out, "error_log", error_log());
    text = json_dumps(out, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
    json_decref(out);
    return text;
}
