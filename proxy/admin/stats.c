/*
 * GET /stats: every figure as one JSON object.
 *
 * Called by admin.c on the main thread. What there is and how it is read is in figures.c; here it
 * takes its place in the object, and histograms become quantiles.
 */
#include "proxy/admin/figures.h"

#include <jansson.h>
#include <stdlib.h>

/* The main thread's: a part of the answer under way did not fit into memory. */
static bool incomplete;

static void put(json_t *object, const char *name, json_t *value)
{
    incomplete |= json_object_set_new(object, name, value) != 0;
}

static void append_to(json_t *array, json_t *value)
{
    incomplete |= json_array_append_new(array, value) != 0;
}

static void set(json_t *object, const char *name, uint64_t value)
{
    put(object, name, json_integer((json_int_t)value));
}

static json_t *latency(const struct histogram *h)
{
    static const struct {
        const char *name;
        double share;
    } quantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}};
    json_t *out = json_object();

    set(out, "count", cell_read(&h->count));
    for (size_t i = 0; i < weir_count(quantiles); i++)
        set(out, quantiles[i].name, histogram_quantile(h, quantiles[i].share));
    set(out, "max", cell_read(&h->max));
    return out;
}

/* ---- figures ---- */

/* The object in which the last name of a path is; *name is that. */
static json_t *descend(json_t *object, const char *path, const char **name)
{
    for (const char *dot; (dot = strchr(path, '.')) != NULL; path = dot + 1) {
        json_t *inner = json_object_getn(object, path, (size_t)(dot - path));

        if (!inner) {
            inner = json_object();
            if (json_object_setn_new(object, path, (size_t)(dot - path), inner) != 0) {
                incomplete = true;
                inner = NULL; /* freed; nothing can be put into none */
            }
        }
        object = inner;
    }
    *name = path;
    return object;
}

static void set_figures(json_t *object, const struct figures *figures, const void *thing)
{
    for (unsigned i = 0; i < figures->count; i++) {
        const struct figure *figure = &figures->rows[i];
        const char *name;
        json_t *inner;

        if (!figure_is_there(figure, thing))
            continue;
        inner = descend(object, figure->path, &name);
        if (figure->kind == FIGURE_INFO)
            put(inner, name, json_string(figure_text(figure, thing)));
        else if (figure->json_per > 1)
            put(inner, name, json_real((double)figure_number(figure, thing) / figure->json_per));
        else
            set(inner, name, figure_number(figure, thing));
    }
}

/* ---- what there are several of ---- */

static json_t *latency_of_all(const struct weir *weir, unsigned outcomes)
{
    struct histogram h = {0};

    for (unsigned r = 0; r < weir->conf->routes_count; r++)
        route_add_latency(weir, r, outcomes, &h);
    return latency(&h);
}

static json_t *routes(const struct weir *weir)
{
    json_t *out = json_array();

    for (unsigned r = 0; r < weir->conf->routes_count; r++) {
        json_t *one = json_object();
        struct route_totals totals;
        struct histogram h = {0};

        route_read(weir, r, &totals);
        route_add_latency(weir, r, OUTCOMES_ALL, &h);
        put(one, "route", json_string(weir->conf->routes[r].name));
        set_figures(one, &route_figures, &totals);
        put(one, "latency_us", latency(&h));
        append_to(out, one);
    }
    return out;
}

static json_t *phases_of(const struct weir *weir, unsigned upstream)
{
    json_t *out = json_object();

    for (unsigned p = 0; p < PHASES; p++) {
        struct histogram h = {0};

        phase_add_latency(weir, upstream, (enum fetch_phase)p, &h);
        put(out, phase_name((enum fetch_phase)p), latency(&h));
    }
    return out;
}

static json_t *upstreams(const struct weir *weir)
{
    json_t *out = json_object();

    for (unsigned u = 0; u < weir->conf->upstreams_count; u++) {
        const struct conf_upstream *upstream = &weir->conf->upstreams[u];
        json_t *one = json_object(), *servers = json_array();
        uint64_t queued = 0;

        for (unsigned s = 0; s < pool_servers(weir->pool, upstream); s++) {
            json_t *server = json_object();
            struct pool_server_stats stats;
            struct histogram h = {0};

            pool_read_stats(weir->pool, upstream, s, &stats, &h);
            queued += stats.queued;
            put(server, "address", json_string(stats.address));
            set_figures(server, &server_figures, &stats);
            put(server, "latency_us", latency(&h));
            append_to(servers, server);
        }
        set(one, "queued", queued);
        put(one, "servers", servers);
        put(one, "phases_us", phases_of(weir, u));
        put(out, upstream->name, one);
    }
    return out;
}

/* Into memory that is enough beforehand: jansson 2.14's json_dumps() takes no notice of a key that
 * did not fit. NULL when memory is out. */
static char *write_text(const json_t *json)
{
    const size_t flags = JSON_INDENT(2) | JSON_REAL_PRECISION(15);
    size_t bytes = json_dumpb(json, NULL, 0, flags);
    char *text = bytes > 0 ? malloc(bytes + 1) : NULL;

    if (text && json_dumpb(json, text, bytes, flags) == bytes) {
        text[bytes] = '\0';
        return text;
    }
    free(text);
    return NULL;
}

char *admin_stats_json(struct weir *weir)
{
    json_t *out = json_object();
    struct totals totals;
    char *text = NULL;

    totals_read(weir, &totals);
    set_figures(out, &total_figures, &totals);
    put(out, "latency_us",
        json_pack(
            "{s:o, s:o}", "hit", latency_of_all(weir, OUTCOMES_FROM_MEMORY), "miss",
            latency_of_all(weir, OUTCOMES_ALL & ~OUTCOMES_FROM_MEMORY & ~OUTCOME_BIT(LOCAL))));
    put(out, "routes", routes(weir));
    put(out, "upstreams", upstreams(weir));
    if (!incomplete)
        text = write_text(out);
    incomplete = false;
    json_decref(out);
    return text;
}
