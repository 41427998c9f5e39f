/*
 * GET /metrics: every figure and histogram as Prometheus text (exposition format 0.0.4).
 *
 * Called by admin.c on the main thread. What there is and how it is read is in figures.c. An answer
 * is written in slices, each when the one before has left: however many routes there are, other
 * requests to the admin port come between, and a slow reader holds one slice in memory.
 *
 *   admin_metrics() -> slice -> on_slice_left() -> slice … -> finish()
 *                            -> on_closed(): the client has gone
 *
 * Samples of one metric must stand together, so each section below goes through all its things once
 * for each metric. Histograms in which nothing is are left out.
 */
#include "proxy/admin/admin.h"
#include "proxy/admin/figures.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define SCRAPE_MAGIC 0x53435250u
#define SLICE_BYTES (64 * 1024)
#define CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define MICROS 1000000u

struct server_place {
    unsigned upstream;
    struct pool_server_stats stats;
    unsigned index; /* in its upstream */
    char *labels;   /* owned */
};

/* One answer under way. */
struct scrape {
    unsigned magic;
    struct weir *weir;          /* borrowed */
    struct evhttp_request *req; /* ours until it is answered or its connection has ended */
    struct evhttp_connection *connection; /* req's; set once the answer has begun */
    struct evbuffer *slice;               /* owned */
    bool failed;                          /* memory was out: what is in the slice has gaps */
    unsigned section, item;               /* what comes next */
    struct totals totals;
    struct server_place *servers; /* owned */
    unsigned servers_count;
    struct histogram merged;
};

/* ---- text ---- */

static void put(struct scrape *scrape, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void put(struct scrape *scrape, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    scrape->failed |= evbuffer_add_vprintf(scrape->slice, format, args) < 0;
    va_end(args);
}

/* A label's value with what must be escaped in it; the caller frees it. NULL when memory is out. */
static char *escape(const char *value)
{
    char *out = malloc(2 * strlen(value) + 1), *to = out;

    for (; out && *value; value++) {
        if (*value == '\\' || *value == '"' || *value == '\n')
            *to++ = '\\';
        *to++ = *value == '\n' ? 'n' : *value;
    }
    if (out)
        *to = '\0';
    return out;
}

/* printf into memory of its own; NULL when that is out. */
static char *make_labels(struct scrape *scrape, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static char *make_labels(struct scrape *scrape, const char *format, ...)
{
    char *out;
    va_list args;

    va_start(args, format);
    if (vasprintf(&out, format, args) < 0)
        out = NULL;
    va_end(args);
    scrape->failed |= !out;
    return out;
}

static void put_head(struct scrape *scrape, const char *metric, const char *type, const char *help)
{
    put(scrape, "# HELP %s %s\n# TYPE %s %s\n", metric, help, metric, type);
}

/* `per` is a power of ten. */
static void put_number(struct scrape *scrape, uint64_t number, uint32_t per)
{
    int digits = 0;

    for (uint32_t rest = per; rest > 1; rest /= 10)
        digits++;
    if (digits > 0)
        put(scrape, "%" PRIu64 ".%0*" PRIu64, number / per, digits, number % per);
    else
        put(scrape, "%" PRIu64, number);
}

/* ---- figures ---- */

static const char *type_of(const char *metric)
{
    size_t len = strlen(metric);

    return len > 6 && strcmp(metric + len - 6, "_total") == 0 ? "counter" : "gauge";
}

static bool begins_metric(const struct figures *figures, unsigned row)
{
    while (row > 0 && figures->rows[row - 1].kind == FIGURE_SUM)
        row--;
    return row == 0 || strcmp(figures->rows[row - 1].metric, figures->rows[row].metric) != 0;
}

/* `labels` are the thing's own, or "". */
static void put_figure(struct scrape *scrape, const struct figure *figure, const void *thing,
                       const char *labels)
{
    const char *comma = *labels && figure->labels ? "," : "";

    put(scrape, "%s", figure->metric);
    if (figure->kind == FIGURE_INFO) {
        char *text = escape(figure_text(figure, thing));

        scrape->failed |= !text;
        put(scrape, "{%s%s%s=\"%s\"} 1\n", labels, comma, figure->labels, text ? text : "");
        free(text);
        return;
    }
    if (*labels || figure->labels)
        put(scrape, "{%s%s%s}", labels, comma, figure->labels ? figure->labels : "");
    put(scrape, " ");
    put_number(scrape, figure_number(figure, thing), figure->metric_per);
    put(scrape, "\n");
}

/* A row of one thing; `first` of its things puts the metric's head before it. */
static void put_row(struct scrape *scrape, const struct figures *figures, unsigned row,
                    const void *thing, const char *labels, bool first)
{
    const struct figure *figure = &figures->rows[row];

    if (figure->kind == FIGURE_SUM || !figure_is_there(figure, thing))
        return;
    if (first && begins_metric(figures, row))
        put_head(scrape, figure->metric, type_of(figure->metric), figure->help);
    put_figure(scrape, figure, thing, labels);
}

/* ---- histograms ---- */

/* Upper bounds in microseconds; each is shown as the end of the bucket that it lies in, so that
 * what is counted below it is exact. */
static const uint64_t ladder_us[] = {100,     250,     500,     1000,     2500,     5000,
                                     10000,   25000,   50000,   100000,   250000,   500000,
                                     1000000, 2500000, 5000000, 10000000, 30000000, 60000000};
#define STEPS weir_count(ladder_us)

/* Of what is in `merged`, whose count is that of its buckets. */
static void put_histogram(struct scrape *scrape, const char *metric, const char *labels)
{
    uint64_t bounds[STEPS], counts[STEPS], count = cell_read(&scrape->merged.count);

    for (unsigned i = 0; i < STEPS; i++)
        bounds[i] = histogram_bound(ladder_us[i]);
    histogram_count_below(&scrape->merged, bounds, STEPS, counts);
    for (unsigned i = 0; i < STEPS; i++) {
        put(scrape, "%s_bucket{%s,le=\"", metric, labels);
        put_number(scrape, bounds[i], MICROS);
        put(scrape, "\"} %" PRIu64 "\n", counts[i]);
    }
    put(scrape, "%s_bucket{%s,le=\"+Inf\"} %" PRIu64 "\n", metric, labels, count);
    put(scrape, "%s_sum{%s} ", metric, labels);
    put_number(scrape, cell_read(&scrape->merged.sum), MICROS);
    put(scrape, "\n%s_count{%s} %" PRIu64 "\n", metric, labels, count);
}

/* ---- sections: false when there is no such item ---- */

static bool write_totals(struct scrape *scrape, unsigned item)
{
    for (unsigned row = 0; item == 0 && row < total_figures.count; row++)
        put_row(scrape, &total_figures, row, &scrape->totals, "", true);
    return item == 0;
}

/* "GET,HEAD"; empty where a route takes all. The caller frees it. */
static char *methods_of(const struct conf_route *route)
{
    size_t bytes = 1;
    char *out;
    struct appender to;

    for (unsigned m = METHOD_OTHER + 1; m < METHODS; m++)
        bytes += method_name((enum method)m).len + 1;
    for (unsigned i = 0; i < route->other_methods_count; i++)
        bytes += route->other_methods[i].len + 1;
    out = malloc(bytes);
    to = appender_on(out, out ? bytes : 0);
    for (unsigned m = METHOD_OTHER + 1; m < METHODS; m++)
        if (route->methods & 1u << m) {
            append_str(&to, method_name((enum method)m));
            append_lit(&to, ",");
        }
    for (unsigned i = 0; i < route->other_methods_count; i++) {
        append_str(&to, route->other_methods[i]);
        append_lit(&to, ",");
    }
    if (out)
        out[to.len > 0 ? to.len - 1 : 0] = '\0';
    return out;
}

/* Routes that differ in their methods only have one name, and must not be one series. */
static char *route_labels(struct scrape *scrape, unsigned index)
{
    const struct conf_route *route = &scrape->weir->conf->routes[index];
    char *name = escape(route->name), *methods = methods_of(route), *out;

    scrape->failed |= !name || !methods;
    out = make_labels(scrape, "route=\"%s\"%s%s%s", name ? name : "",
                      methods && *methods ? ",methods=\"" : "", methods ? methods : "",
                      methods && *methods ? "\"" : "");
    free(name);
    free(methods);
    return out;
}

static bool write_routes(struct scrape *scrape, unsigned item)
{
    unsigned count = scrape->weir->conf->routes_count;
    struct route_totals totals;
    char *labels;

    if (count == 0 || item / count >= route_figures.count)
        return false;
    route_read(scrape->weir, item % count, &totals);
    labels = route_labels(scrape, item % count);
    put_row(scrape, &route_figures, item / count, &totals, labels ? labels : "", item % count == 0);
    free(labels);
    return true;
}

static bool write_route_latency(struct scrape *scrape, unsigned item)
{
    unsigned route = item / OUTCOMES, outcome = item % OUTCOMES;
    char *labels, *more;

    if (route >= scrape->weir->conf->routes_count)
        return false;
    if (item == 0)
        put_head(scrape, "weir_request_duration_seconds", "histogram",
                 "From a request's head complete to the last byte handed to the kernel, by route "
                 "and outcome.");
    if (route_count(scrape->weir, route, 1u << outcome) == 0)
        return true;
    memset(&scrape->merged, 0, sizeof(scrape->merged));
    route_add_latency(scrape->weir, route, 1u << outcome, &scrape->merged);
    labels = route_labels(scrape, route);
    more = make_labels(scrape, "%s,outcome=\"%s\"", labels ? labels : "",
                       outcome_word((enum outcome)outcome).ptr);
    put_histogram(scrape, "weir_request_duration_seconds", more ? more : "");
    free(labels);
    free(more);
    return true;
}

static bool write_servers(struct scrape *scrape, unsigned item)
{
    unsigned count = scrape->servers_count;
    const struct server_place *place;

    if (count == 0 || item / count >= server_figures.count)
        return false;
    place = &scrape->servers[item % count];
    put_row(scrape, &server_figures, item / count, &place->stats, place->labels, item % count == 0);
    return true;
}

static bool write_server_latency(struct scrape *scrape, unsigned item)
{
    const struct conf *conf = scrape->weir->conf;
    const struct server_place *place;
    struct pool_server_stats stats;

    if (item >= scrape->servers_count)
        return false;
    if (item == 0)
        put_head(scrape, "weir_origin_duration_seconds", "histogram",
                 "From a request sent to the response read whole, by server.");
    place = &scrape->servers[item];
    memset(&scrape->merged, 0, sizeof(scrape->merged));
    pool_read_stats(scrape->weir->pool, &conf->upstreams[place->upstream], place->index, &stats,
                    &scrape->merged);
    if (cell_read(&scrape->merged.count) > 0)
        put_histogram(scrape, "weir_origin_duration_seconds", place->labels);
    return true;
}

static bool write_phases(struct scrape *scrape, unsigned item)
{
    const struct conf *conf = scrape->weir->conf;
    unsigned upstream = item / PHASES, phase = item % PHASES;
    char *name, *labels;

    if (upstream >= conf->upstreams_count)
        return false;
    if (item == 0)
        put_head(scrape, "weir_origin_phase_duration_seconds", "histogram",
                 "What exchanges with origins spend their time on, by upstream.");
    memset(&scrape->merged, 0, sizeof(scrape->merged));
    phase_add_latency(scrape->weir, upstream, phase, &scrape->merged);
    if (cell_read(&scrape->merged.count) == 0)
        return true;
    name = escape(conf->upstreams[upstream].name);
    scrape->failed |= !name;
    labels = make_labels(scrape, "upstream=\"%s\",phase=\"%s\"", name ? name : "",
                         phase_name((enum fetch_phase)phase));
    put_histogram(scrape, "weir_origin_phase_duration_seconds", labels ? labels : "");
    free(name);
    free(labels);
    return true;
}

static bool (*const sections[])(struct scrape *scrape, unsigned item) = {
    write_totals,  write_routes,         write_route_latency,
    write_servers, write_server_latency, write_phases,
};

/* Empty when all has been written. */
static void write_slice(struct scrape *scrape)
{
    while (scrape->section < weir_count(sections) &&
           evbuffer_get_length(scrape->slice) < SLICE_BYTES)
        if (!sections[scrape->section](scrape, scrape->item++)) {
            scrape->section++;
            scrape->item = 0;
        }
}

/* ---- the answer's life ---- */

static void free_scrape(struct scrape *scrape)
{
    for (unsigned i = 0; i < scrape->servers_count; i++)
        free(scrape->servers[i].labels);
    free(scrape->servers);
    if (scrape->slice)
        evbuffer_free(scrape->slice);
    scrape->magic = 0;
    free(scrape);
}

/* evhttp leaves a request that is being answered to us when its connection breaks, but not when the
 * connection is freed with it. */
static void on_closed(struct evhttp_connection *connection, void *arg)
{
    struct scrape *scrape = arg;

    (void)connection;
    weir_check_magic(scrape, SCRAPE_MAGIC);
    if (!evhttp_request_get_connection(scrape->req))
        evhttp_send_reply_end(scrape->req);
    free_scrape(scrape);
}

static void finish(struct scrape *scrape)
{
    struct evhttp_request *req = scrape->req;

    evhttp_connection_set_closecb(scrape->connection, NULL, NULL);
    free_scrape(scrape);
    evhttp_send_reply_end(req);
}

static void on_slice_left(struct evhttp_connection *connection, void *arg);

static void send_slice(struct scrape *scrape)
{
    if (evbuffer_get_length(scrape->slice) == 0)
        finish(scrape);
    else
        evhttp_send_reply_chunk_with_cb(scrape->req, scrape->slice, on_slice_left, scrape);
}

static void on_slice_left(struct evhttp_connection *connection, void *arg)
{
    struct scrape *scrape = arg;

    weir_check_magic(scrape, SCRAPE_MAGIC);
    write_slice(scrape);
    /* An answer with a gap must not look whole. */
    if (scrape->failed)
        evhttp_connection_free(connection);
    else
        send_slice(scrape);
}

/* A server that an upstream has twice is told apart by its number. */
static char *server_labels(struct scrape *scrape, const struct server_place *place)
{
    const struct conf_upstream *upstream = &scrape->weir->conf->upstreams[place->upstream];
    char *name = escape(upstream->name), *address = escape(place->stats.address), *out;
    unsigned before = 0;

    for (unsigned i = 0; i < place->index; i++)
        before += strcmp(upstream->servers[i].address.text, place->stats.address) == 0;
    scrape->failed |= !name || !address;
    out = before ? make_labels(scrape, "upstream=\"%s\",server=\"%s#%u\"", name ? name : "",
                               address ? address : "", before + 1)
                 : make_labels(scrape, "upstream=\"%s\",server=\"%s\"", name ? name : "",
                               address ? address : "");
    free(name);
    free(address);
    return out;
}

static void read_servers(struct scrape *scrape)
{
    const struct weir *weir = scrape->weir;
    unsigned count = 0;

    for (unsigned u = 0; u < weir->conf->upstreams_count; u++)
        count += pool_servers(weir->pool, &weir->conf->upstreams[u]);
    scrape->servers = calloc(count ? count : 1, sizeof(*scrape->servers));
    scrape->failed |= !scrape->servers;
    for (unsigned u = 0; scrape->servers && u < weir->conf->upstreams_count; u++)
        for (unsigned s = 0; s < pool_servers(weir->pool, &weir->conf->upstreams[u]); s++) {
            struct server_place *place = &scrape->servers[scrape->servers_count++];

            place->upstream = u;
            place->index = s;
            pool_read_stats(weir->pool, &weir->conf->upstreams[u], s, &place->stats, NULL);
            place->labels = server_labels(scrape, place);
        }
}

/* NULL when memory is out; otherwise the first slice is written. */
static struct scrape *begin(struct weir *weir, struct evhttp_request *req)
{
    struct scrape *scrape = calloc(1, sizeof(*scrape));

    if (!scrape)
        return NULL;
    scrape->magic = SCRAPE_MAGIC;
    scrape->weir = weir;
    scrape->req = req;
    scrape->slice = evbuffer_new();
    scrape->failed = !scrape->slice;
    if (!scrape->failed)
        read_servers(scrape);
    if (!scrape->failed) {
        totals_read(weir, &scrape->totals);
        write_slice(scrape);
    }
    if (scrape->failed) {
        free_scrape(scrape);
        return NULL;
    }
    return scrape;
}

void admin_metrics(struct admin *admin, struct evhttp_request *req)
{
    struct scrape *scrape = begin(admin->weir, req);

    if (!scrape) {
        admin_reply_error(req, 500, "the metrics do not fit into memory");
        return;
    }
    admin_set_fields(req, CONTENT_TYPE);
    /* evhttp would promise a kept-alive HTTP/1.0 client a length of 0. */
    evhttp_remove_header(evhttp_request_get_input_headers(req), "Connection");
    scrape->connection = evhttp_request_get_connection(req);
    evhttp_connection_set_closecb(scrape->connection, on_closed, scrape);
    evhttp_send_reply_start(req, 200, http1_reason(200).ptr);
    if (evhttp_request_get_command(req) == EVHTTP_REQ_HEAD)
        finish(scrape);
    else
        send_slice(scrape);
}
