/*
 * The figures of /stats and /metrics: their tables, and how they are read.
 *
 * Called by stats.c and metrics.c on the main thread. Workers write their cells without a lock and
 * nobody stops them, so what is read is not one moment; what must fit together is read in the order
 * that keeps it so. Owns nothing.
 */
#include "proxy/admin/figures.h"
#include "proxy/version.h"

/* ---- tables ---- */

#define NUMBER(path, metric, labels, offset, help)                                                 \
    {                                                                                              \
        path, metric, labels, help, offset, FIGURE_NUMBER, 1, 1                                    \
    }
#define SCALED(path, metric, offset, json_per, metric_per, help)                                   \
    {                                                                                              \
        path, metric, NULL, help, offset, FIGURE_NUMBER, json_per, metric_per                      \
    }
#define INFO(path, metric, label, offset, help)                                                    \
    {                                                                                              \
        path, metric, label, help, offset, FIGURE_INFO, 1, 1                                       \
    }
#define SUM(path, metric, offset)                                                                  \
    {                                                                                              \
        path, metric, NULL, NULL, offset, FIGURE_SUM, 1, 1                                         \
    }

#define OF(member) offsetof(struct totals, member)
#define CELL(member) (OF(cells) + offsetof(struct worker_stats, member))
#define BUFFER(member) (OF(buffer_cells) + offsetof(struct net_bufferevent_stats, member))
#define ROW(member, index) (CELL(member) + (index) * sizeof(cell))

/* clang-format off */
static const struct figure total_rows[] = {
    INFO("version", "weir_build_info", "version", OF(version), "Which Weir this is."),
    SCALED("uptime_s", "weir_uptime_seconds", OF(uptime_ms), 1000, 1000, "Since the start."),
    NUMBER("workers", "weir_workers", NULL, OF(workers), "Threads that serve clients."),

    SUM("requests.total", "weir_requests_total", OF(finished)),
    NUMBER("requests.in_flight", "weir_requests_in_flight", NULL, OF(in_flight), "Requests begun and not finished."),
    NUMBER("requests.status.1xx", "weir_responses_total", "class=\"1xx\"", ROW(status, 1), "Finished requests by class of the final status; 1xx ended in a tunnel, none was sent none."),
    NUMBER("requests.status.2xx", "weir_responses_total", "class=\"2xx\"", ROW(status, 2), NULL),
    NUMBER("requests.status.3xx", "weir_responses_total", "class=\"3xx\"", ROW(status, 3), NULL),
    NUMBER("requests.status.4xx", "weir_responses_total", "class=\"4xx\"", ROW(status, 4), NULL),
    NUMBER("requests.status.5xx", "weir_responses_total", "class=\"5xx\"", ROW(status, 5), NULL),
    NUMBER("requests.status.none", "weir_responses_total", "class=\"none\"", ROW(status, 0), NULL),
    NUMBER("requests.interim", "weir_responses_interim_total", NULL, CELL(interim), "1xx responses passed on."),
    NUMBER("requests.client_gone", "weir_requests_client_gone_total", NULL, CELL(client_gone), "Requests whose client left before the end."),
    NUMBER("requests.cut", "weir_responses_cut_total", NULL, CELL(cut), "Responses broken off in the middle, because the origin's broke."),
    NUMBER("requests.too_slow", "weir_clients_too_slow_total", NULL, CELL(too_slow), "Connections reset because their client took too little."),
#define X(symbol, counter, status, text)                                                           \
    NUMBER("requests.rejected." counter, "weir_requests_rejected_total", "reason=\"" counter "\"", ROW(rejected, HTTP1_##symbol), "Requests refused for their form, by reason."),
    HTTP1_ERROR_TABLE(X)
#undef X

    NUMBER("connections.accepted", "weir_connections_accepted_total", NULL, CELL(accepted), "Connections of clients."),
    NUMBER("connections.open", "weir_connections_open", NULL, CELL(open), "Connections of clients that are open."),
    NUMBER("connections.idle", "weir_connections_idle", NULL, CELL(idle), "Open ones that wait for a request."),
    NUMBER("connections.accept_paused", "weir_accept_pauses_total", NULL, CELL(accept_paused), "Times that accepting paused because descriptors were out."),

#define X(symbol, counter, word)                                                                   \
    NUMBER("cache." counter, "weir_requests_total", "outcome=\"" word "\"", ROW(outcomes, OUTCOME_##symbol), "Finished requests, by how they were answered."),
    OUTCOME_TABLE(X)
#undef X
    NUMBER("cache.stored", "weir_cache_stored_total", NULL, OF(cache.stored), "Responses put into memory."),
    NUMBER("cache.evicted", "weir_cache_evicted_total", NULL, OF(cache.evicted), "Stored responses dropped to make room."),
    NUMBER("cache.evicted_small", "weir_cache_evicted_by_total", "reason=\"small\"", OF(cache.evicted_small), "Of these: new and not asked for again (small), no longer asked for (main), too many keys in one place of the index (chain_full)."),
    NUMBER("cache.evicted_main", "weir_cache_evicted_by_total", "reason=\"main\"", OF(cache.evicted_main), NULL),
    NUMBER("cache.chain_full", "weir_cache_evicted_by_total", "reason=\"chain_full\"", OF(cache.chain_full), NULL),
    NUMBER("cache.expired", "weir_cache_expired_total", NULL, OF(cache.expired), "Stored responses dropped because they were stale."),
    NUMBER("cache.purged", "weir_cache_purged_total", NULL, OF(cache.purged), "Stored responses dropped, or made stale, because someone asked."),
    NUMBER("cache.purges_logged", "weir_cache_purges_logged_total", NULL, OF(cache.purges_logged), "Purges by tag or group, which work at once and are walked for later."),
    NUMBER("cache.purge_walks", "weir_cache_purge_walks_total", NULL, OF(cache.purge_walks), "Walks through all that is stored."),
    NUMBER("cache.purge_jobs", "weir_cache_purge_jobs", NULL, OF(cache.purge_jobs), "Purges that wait for the end of a walk."),
    NUMBER("cache.objects", "weir_cache_objects", NULL, OF(cache.objects), "Stored responses."),
    NUMBER("cache.bytes", "weir_cache_bytes", NULL, OF(cache.bytes), "All memory that counts against the limit."),
    NUMBER("cache.memory_limit", "weir_cache_limit_bytes", NULL, OF(cache.memory_limit), "cache.memory of the configuration."),
    NUMBER("cache.fills", "weir_cache_fills", NULL, OF(cache.fills), "Responses arriving from origins."),
    NUMBER("cache.readers", "weir_cache_readers", NULL, OF(cache.readers), "Requests that read an arriving response."),
    NUMBER("cache.waiters", "weir_cache_waiters", NULL, CELL(waiters), "Of these, requests that joined another's fetch."),
    NUMBER("cache.refreshes", "weir_cache_refreshes_total", NULL, CELL(refreshes), "Fetches that nobody waited for, to refresh what was delivered stale."),
    NUMBER("cache.refreshes_failed", "weir_cache_refreshes_failed_total", NULL, CELL(refreshes_failed), "Of these, those that brought nothing to be stored."),
    NUMBER("cache.fills_aborted", "weir_cache_fills_aborted_total", NULL, OF(cache.fills_aborted), "Arriving responses that did not come to their end."),
    NUMBER("cache.readers_cut", "weir_cache_readers_cut_total", NULL, OF(cache.readers_cut), "Requests cut because they were too slow for the others that read the same response."),
    NUMBER("cache.hit_for_miss", "weir_cache_hit_for_miss_keys", NULL, OF(cache.hit_for_miss), "Keys remembered as not to be stored."),
    SUM("cache.pinned_bytes", "weir_cache_memory_bytes", OF(cache.memory.pinned)),
    NUMBER("cache.memory.heads", "weir_cache_memory_bytes", "part=\"heads\"", OF(cache.memory.heads), "What weir_cache_bytes is made of."),
    NUMBER("cache.memory.bodies", "weir_cache_memory_bytes", "part=\"bodies\"", OF(cache.memory.bodies), NULL),
    NUMBER("cache.memory.index", "weir_cache_memory_bytes", "part=\"index\"", OF(cache.memory.index), NULL),
    NUMBER("cache.memory.ghost", "weir_cache_memory_bytes", "part=\"ghost\"", OF(cache.memory.ghost), NULL),
    NUMBER("cache.memory.fills", "weir_cache_memory_bytes", "part=\"fills\"", OF(cache.memory.fills), NULL),
    NUMBER("cache.memory.pinned", "weir_cache_memory_bytes", "part=\"pinned\"", OF(cache.memory.pinned), NULL),
    NUMBER("cache.short.episodes", "weir_cache_short_episodes_total", NULL, OF(cache.shortage.episodes), "Times that memory got short."),
    NUMBER("cache.short.passes", "weir_cache_short_passes_total", NULL, OF(cache.shortage.passes), "Responses passed on instead of stored, because memory was short."),
    NUMBER("cache.short.refused", "weir_cache_short_refused_total", NULL, OF(cache.shortage.refused), "Requests that got no memory at all."),

    NUMBER("buffers.bufferevents.created", "weir_bufferevents_created_total", NULL, BUFFER(created), "Buffers made for connections on which something waits."),
    NUMBER("buffers.bufferevents.leased", "weir_bufferevents_leased", NULL, BUFFER(leased), "Buffers in use."),
    NUMBER("buffers.bufferevents.reused", "weir_bufferevents_reused_total", NULL, BUFFER(reused), "Leases of a buffer that was there already."),
    NUMBER("buffers.bufferevents.idle", "weir_bufferevents_idle", NULL, BUFFER(idle), "Buffers kept for use."),

    NUMBER("access_log.written", "weir_access_log_written_total", NULL, OF(access_log.written), "Lines of the access log that its file has taken."),
    NUMBER("access_log.dropped", "weir_access_log_dropped_total", NULL, OF(access_log.dropped), "Lines of the access log lost because it was not written fast enough, or at all."),
    NUMBER("slow_log.written", "weir_slow_log_written_total", NULL, OF(slow_log.written), "Lines of the slow log that its file has taken."),
    NUMBER("slow_log.dropped", "weir_slow_log_dropped_total", NULL, OF(slow_log.dropped), "Lines of the slow log lost because it was not written fast enough, or at all."),
#define LEVEL(symbol, member) OF(error_log[LOG_##symbol##_LEVEL].member)
    NUMBER("error_log.debug.written", "weir_error_log_written_total", "level=\"debug\"", LEVEL(DEBUG, written), "Lines of the error log."),
    NUMBER("error_log.info.written", "weir_error_log_written_total", "level=\"info\"", LEVEL(INFO, written), NULL),
    NUMBER("error_log.warn.written", "weir_error_log_written_total", "level=\"warn\"", LEVEL(WARN, written), NULL),
    NUMBER("error_log.error.written", "weir_error_log_written_total", "level=\"error\"", LEVEL(ERROR, written), NULL),
    NUMBER("error_log.debug.held_back", "weir_error_log_held_back_total", "level=\"debug\"", LEVEL(DEBUG, held_back), "Lines of the error log held back, because there were too many of their kind."),
    NUMBER("error_log.info.held_back", "weir_error_log_held_back_total", "level=\"info\"", LEVEL(INFO, held_back), NULL),
    NUMBER("error_log.warn.held_back", "weir_error_log_held_back_total", "level=\"warn\"", LEVEL(WARN, held_back), NULL),
    NUMBER("error_log.error.held_back", "weir_error_log_held_back_total", "level=\"error\"", LEVEL(ERROR, held_back), NULL),

    NUMBER("machine.cpus", "weir_machine_cpus", NULL, OF(machine_cpus), "CPUs that this process may use."),
    INFO("machine.cpus_limited_by", "weir_machine_cpus_limit_info", "limited_by", OF(machine.cpus_limited_by), "What sets their number: affinity, cgroup, or none but the machine."),
    SCALED("machine.cpu_quota", "weir_machine_cpu_quota", OF(machine.cpu_quota_millis), 1000, 1000, "The cgroup's quota in CPUs, where there is one."),
    NUMBER("machine.memory_bytes", "weir_machine_memory_bytes", NULL, OF(machine.memory_bytes), "Memory that this process may use."),
    INFO("machine.memory_limited_by", "weir_machine_memory_limit_info", "limited_by", OF(machine.memory_limited_by), "What sets it: cgroup, or none but the machine."),
    NUMBER("machine.auto_workers", "weir_machine_auto_workers", NULL, OF(machine_auto_workers), "What workers: auto makes of it."),
    NUMBER("machine.auto_cache_memory", "weir_machine_auto_cache_memory_bytes", NULL, OF(machine.auto_cache_memory), "What cache.memory: auto makes of it."),

    NUMBER("process.resident_bytes", "process_resident_memory_bytes", NULL, OF(process.resident_bytes), "Resident memory size in bytes."),
    NUMBER("process.open_fds", "process_open_fds", NULL, OF(process.open_fds), "Number of open file descriptors."),
    NUMBER("process.max_fds", "process_max_fds", NULL, OF(process.max_fds), "Maximum number of open file descriptors."),
    SCALED("process.cpu_s", "process_cpu_seconds_total", OF(process.cpu_us), 1000000, 1000000, "Total user and system CPU time spent in seconds."),
    SCALED("process.start_time_s", "process_start_time_seconds", OF(started_wall_ms), 1000, 1000, "Start time of the process since unix epoch in seconds."),
    NUMBER("allocator.allocated_bytes", "weir_jemalloc_allocated_bytes", NULL, OF(process.allocated_bytes), "Memory that the program has asked for and not freed."),
    NUMBER("allocator.active_bytes", "weir_jemalloc_active_bytes", NULL, OF(process.active_bytes), "Memory in pages that hold some of it."),
    NUMBER("allocator.resident_bytes", "weir_jemalloc_resident_bytes", NULL, OF(process.allocator_resident_bytes), "Memory that the allocator holds resident."),
};

static const struct figure route_rows[] = {
    NUMBER("requests", "weir_route_requests_total", NULL, offsetof(struct route_totals, requests), "Requests that took this route."),
    SUM("hits", "weir_request_duration_seconds", offsetof(struct route_totals, hits)),
};

#define SERVER(member) offsetof(struct pool_server_stats, member)
static const struct figure server_rows[] = {
    INFO("state", "weir_origin_state", "state", SERVER(state), "Which state the server is in: up, resolving or unresolved."),
    NUMBER("requests", "weir_origin_requests_total", NULL, SERVER(requests), "Exchanges that ended."),
    NUMBER("errors", "weir_origin_errors_total", NULL, SERVER(errors), "Of these, those that failed after a request was sent."),
    NUMBER("retries", "weir_origin_retries_total", NULL, SERVER(retries), "Requests sent once more because a reused connection had died."),
    NUMBER("queued", "weir_origin_queue_length", NULL, SERVER(queued), "Requests that wait for a connection."),
    NUMBER("queued_total", "weir_origin_queued_total", NULL, SERVER(queued_total), "Requests that have waited for a connection."),
    NUMBER("queue_full", "weir_origin_queue_full_total", NULL, SERVER(queue_full), "Requests refused because the queue was full."),
    NUMBER("queue_timeouts", "weir_origin_queue_timeouts_total", NULL, SERVER(queue_timeouts), "Requests that gave up waiting for a connection."),
    SCALED("learned_timeout_ms", "weir_origin_learned_timeout_seconds", SERVER(learned_timeout_ms), 1, 1000, "Idle age at which the server has been seen to close connections; 0: not known."),
    NUMBER("connections.opened", "weir_origin_connections_opened_total", NULL, SERVER(opened), "Connections made."),
    NUMBER("connections.reused", "weir_origin_connections_reused_total", NULL, SERVER(reused), "Exchanges on a connection that existed."),
    NUMBER("connections.active", "weir_origin_connections_active", NULL, SERVER(active), "Connections in an exchange."),
    NUMBER("connections.idle", "weir_origin_connections_idle", NULL, SERVER(idle), "Connections parked."),
    NUMBER("connections.closed", "weir_origin_connections_closed_total", NULL, SERVER(closed), "Connections ended."),
#define X(symbol, counter)                                                                         \
    NUMBER("connections.closed_by." counter, "weir_origin_connections_closed_by_total", "reason=\"" counter "\"", SERVER(closed_by) + POOL_CLOSE_##symbol * sizeof(uint64_t), "Why connections ended, or did not come about (connect_failed)."),
    POOL_CLOSE_TABLE(X)
#undef X
};
/* clang-format on */

const struct figures total_figures = {total_rows, weir_count(total_rows)};
const struct figures route_figures = {route_rows, weir_count(route_rows)};
const struct figures server_figures = {server_rows, weir_count(server_rows)};

/* ---- totals ---- */

_Static_assert(sizeof(cell) == sizeof(uint64_t), "sums are laid out as the cells are");

/* Adds cells from the last to the first: worker_stats has what happens first in front, so of what
 * goes up together the later is never seen without the earlier. */
static void add_cells(uint64_t *sums, const void *from, size_t count)
{
    const cell *cells = from;

    while (count-- > 0)
        sums[count] += cell_read(&cells[count]);
}

static uint64_t sum_of(const struct totals *totals, size_t member)
{
    return totals->cells[member / sizeof(cell)];
}

void totals_read(const struct weir *weir, struct totals *out)
{
    uint64_t started, finished;

    memset(out, 0, sizeof(*out));
    for (unsigned i = 0; i < weir->workers_count; i++) {
        const struct worker *worker = &weir->workers[i];

        add_cells(out->cells, &worker->stats, WORKER_CELLS);
        add_cells(out->buffer_cells, &worker->loop.bufferevents.stats, BUFFER_CELLS);
    }
    /* The sum of the outcomes that are shown. */
    for (unsigned i = 0; i < OUTCOMES; i++)
        out->finished += out->cells[offsetof(struct worker_stats, outcomes) / sizeof(cell) + i];
    started = sum_of(out, offsetof(struct worker_stats, started));
    finished = sum_of(out, offsetof(struct worker_stats, finished));
    out->in_flight = started > finished ? started - finished : 0;
    out->version = WEIR_VERSION;
    out->uptime_ms = (uint64_t)(base_clock_mono_us() - weir->started_us) / 1000;
    out->started_wall_ms = (uint64_t)weir->started_wall_us / 1000;
    out->workers = weir->workers_count;
    out->machine = weir->conf->machine;
    out->machine_cpus = out->machine.cpus;
    out->machine_auto_workers = out->machine.auto_workers;
    cache_read_stats(weir->cache, &out->cache);
    access_log_count(weir->access_log, &out->access_log, &out->slow_log);
    for (unsigned i = 0; i < LOG_LEVELS; i++)
        out->error_log[i] = log_count((enum log_level)i);
    process_read(&out->process);
}

/* ---- routes and upstreams ---- */

static const struct histogram *route_latency(const struct worker *worker, unsigned route,
                                             unsigned outcome)
{
    return atomic_load_explicit(&worker->stats.routes[route].latency_us[outcome],
                                memory_order_acquire);
}

uint64_t route_count(const struct weir *weir, unsigned route, unsigned outcomes)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < weir->workers_count; i++)
        for (unsigned o = 0; o < OUTCOMES; o++) {
            const struct histogram *latency =
                outcomes & 1u << o ? route_latency(&weir->workers[i], route, o) : NULL;

            count += latency ? cell_read(&latency->count) : 0;
        }
    return count;
}

void route_add_latency(const struct weir *weir, unsigned route, unsigned outcomes,
                       struct histogram *into)
{
    for (unsigned i = 0; i < weir->workers_count; i++)
        for (unsigned o = 0; o < OUTCOMES; o++) {
            const struct histogram *latency =
                outcomes & 1u << o ? route_latency(&weir->workers[i], route, o) : NULL;

            if (latency)
                histogram_merge(into, latency);
        }
}

void route_read(const struct weir *weir, unsigned route, struct route_totals *out)
{
    /* First: a hit has been asked for. */
    out->hits = route_count(weir, route, OUTCOMES_FROM_MEMORY);
    out->requests = 0;
    for (unsigned i = 0; i < weir->workers_count; i++)
        out->requests += cell_read(&weir->workers[i].stats.routes[route].requests);
}

void phase_add_latency(const struct weir *weir, unsigned upstream, enum fetch_phase phase,
                       struct histogram *into)
{
    for (unsigned i = 0; i < weir->workers_count; i++)
        histogram_merge(into, &weir->workers[i].stats.upstreams[upstream].phases_us[phase]);
}
