/*
 * What /stats and /metrics show: one table of figures for each kind of thing, and one way to read
 * them. stats.c writes them as JSON, metrics.c as Prometheus text; so what is in the one is in the
 * other. All of it belongs to the main thread.
 */
#ifndef WEIR_PROXY_ADMIN_FIGURES_H
#define WEIR_PROXY_ADMIN_FIGURES_H

#include "proxy/proxy.h"

#define FIGURE_ABSENT UINT64_MAX /* this process has no such figure: shown nowhere */

struct figure {
    const char *path;   /* in the JSON of its thing, dots between names */
    const char *metric; /* a name that ends in _total is a counter's, others are gauges; rows of one
                           metric follow each other */
    const char *labels; /* of its sample, as text, or NULL */
    const char *help;   /* of the metric; in its first row */
    size_t offset;      /* in the struct of its thing: a uint64_t */
    /* NUMBER is shown as it is; INFO is a text, and its sample is 1 with the text as the value of
     * the label that `labels` names; a SUM is in the JSON only, for the metric adds up to it. */
    enum figure_kind {
        FIGURE_NUMBER,
        FIGURE_INFO,
        FIGURE_SUM
    } kind;
    uint32_t json_per, metric_per; /* the number is so many times what is shown */
};

struct figures {
    const struct figure *rows;
    unsigned count;
};

static inline uint64_t figure_number(const struct figure *figure, const void *thing)
{
    return *(const uint64_t *)((const char *)thing + figure->offset);
}

static inline const char *figure_text(const struct figure *figure, const void *thing)
{
    return *(const char *const *)((const char *)thing + figure->offset);
}

static inline bool figure_is_there(const struct figure *figure, const void *thing)
{
    return figure->kind == FIGURE_INFO || figure_number(figure, thing) != FIGURE_ABSENT;
}

/* ---- the process and all that there is once in it ---- */

#define WORKER_CELLS (offsetof(struct worker_stats, routes) / sizeof(cell))
#define BUFFER_CELLS (sizeof(struct net_bufferevent_stats) / sizeof(cell))

/* Of this process, from the kernel and the allocator. */
struct process_stats {
    uint64_t resident_bytes, open_fds, max_fds, cpu_us;
    /* FIGURE_ABSENT: another allocator than jemalloc */
    uint64_t allocated_bytes, active_bytes, allocator_resident_bytes;
};

struct totals {
    const char *version;
    uint64_t uptime_ms, started_wall_ms, workers;
    uint64_t cells[WORKER_CELLS];        /* the sums of the workers' cells, laid out as these are */
    uint64_t buffer_cells[BUFFER_CELLS]; /* likewise */
    uint64_t finished, in_flight;
    struct cache_stats cache;
    struct access_log_counts access_log, slow_log;
    struct log_counts error_log[LOG_LEVELS];
    struct process_stats process;
    struct conf_machine machine;
    uint64_t machine_cpus, machine_auto_workers;
};

extern const struct figures total_figures;
/* In an order that makes sense of what happens meanwhile: who sees a connection closed sees its
 * requests counted. */
void totals_read(const struct weir *weir, struct totals *out);
void process_read(struct process_stats *out); /* process.c */

/* ---- a route ---- */

struct route_totals {
    uint64_t requests, hits;
};

extern const struct figures route_figures;
void route_read(const struct weir *weir, unsigned route, struct route_totals *out);
/* Outcomes as bits, 1u << enum outcome. */
#define OUTCOME_BIT(symbol) (1u << OUTCOME_##symbol)
#define OUTCOMES_FROM_MEMORY (OUTCOME_BIT(HIT) | OUTCOME_BIT(STALE))
#define OUTCOMES_ALL ((1u << OUTCOMES) - 1)
/* How many have ended in one of these outcomes. */
uint64_t route_count(const struct weir *weir, unsigned route, unsigned outcomes);
/* Adds their latencies, in microseconds, to into's. */
void route_add_latency(const struct weir *weir, unsigned route, unsigned outcomes,
                       struct histogram *into);

/* ---- a server of an upstream ---- */

extern const struct figures server_figures; /* of struct pool_server_stats */

/* ---- an upstream ---- */

/* Adds the latencies of a phase, in microseconds, to into's. */
void phase_add_latency(const struct weir *weir, unsigned upstream, enum fetch_phase phase,
                       struct histogram *into);

#endif
