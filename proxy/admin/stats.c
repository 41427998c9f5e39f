/*
 * GET /stats: every figure as one JSON object.
 *
 * Called by admin.c on the main thread. What there is and how it is read is in figures.c; here it
 * takes its place in the object, and histograms become quantiles.
 */
#include "proxy/admin/figures.h"

#include <jansson.h>
#include <stdlib.h>

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
            json_object_setn_new(object, path, (size_t)(dot - path), inner);
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
            json_object_set_new(inner, name, json_string(figure_text(figure, thing)));
        else if (figure->json_per > 1)
            json_object_set_new(inner, name,
                                json_real((double)figure_number(figure, thing) / figure->json_per));
        else
            set(inner, name, figure_number(figure, thing));
    }
}

/* ---- what there are several of ---- */

static json_t *latency_of_all(const struct weir *weir, unsigned outcomes, struct histogram *h)
{
    memset(h, 0, sizeof(*h));
    for (unsigned r = 0; r < weir->conf->routes_count; r++)
        route_add_latency(weir, r, outcomes, h);
    return latency(h);
}

static json_t *routes(const struct weir *weir, struct histogram *h)
{
    json_t *out = json_array();

    for (unsigned r = 0; r < weir->conf->routes_count; r++) {
        json_t *one = json_object();
        struct route_totals totals;

        route_read(weir, r, &totals);
        memset(h, 0, sizeof(*h));
        route_add_latency(weir, r, OUTCOMES_ALL, h);
        json_object_set_new(one, "route", json_string(weir->conf->routes[r].name));
        set_figures(one, &route_figures, &totals);
        json_object_set_new(one, "latency_us", latency(h));
        json_array_append_new(out, one);
    }
    return out;
}

static json_t *phases_of(const struct weir *weir, unsigned upstream, struct histogram *h)
{
    json_t *out = json_object();

    for (unsigned p = 0; p < PHASES; p++) {
        memset(h, 0, sizeof(*h));
        phase_add_latency(weir, upstream, p, h);
        json_object_set_new(out, phases[p].name, latency(h));
    }
    return out;
}

static json_t *upstreams(const struct weir *weir, struct histogram *h)
{
    json_t *out = json_object();

    for (unsigned u = 0; u < weir->conf->upstreams_count; u++) {
        const struct conf_upstream *upstream = &weir->conf->upstreams[u];
        json_t *one = json_object(), *servers = json_array();
        uint64_t queued = 0;

        for (unsigned s = 0; s < pool_servers(weir->pool, upstream); s++) {
            json_t *server = json_object();
            struct pool_server_stats stats;

            memset(h, 0, sizeof(*h));
            pool_read_stats(weir->pool, upstream, s, &stats, h);
            queued += stats.queued;
            json_object_set_new(server, "address", json_string(stats.address));
            set_figures(server, &server_figures, &stats);
            json_object_set_new(server, "latency_us", latency(h));
            json_array_append_new(servers, server);
        }
        set(one, "queued", queued);
        json_object_set_new(one, "servers", servers);
        json_object_set_new(one, "phases_us", phases_of(weir, u, h));
        json_object_set_new(out, upstream->name, one);
    }
    return out;
}

char *admin_stats_json(struct weir *weir)
{
    struct histogram *h = base_alloc(sizeof(*h));
    json_t *out = json_object();
    struct totals totals;
    char *text;

    totals_read(weir, &totals);
    set_figures(out, &total_figures, &totals);
    json_object_set_new(
        out, "latency_us",
        json_pack(
            "{s:o, s:o}", "hit", latency_of_all(weir, OUTCOMES_FROM_MEMORY, h), "miss",
            latency_of_all(weir, OUTCOMES_ALL & ~OUTCOMES_FROM_MEMORY & ~OUTCOME_BIT(LOCAL), h)));
    json_object_set_new(out, "routes", routes(weir, h));
    json_object_set_new(out, "upstreams", upstreams(weir, h));
    text = json_dumps(out, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    json_decref(out);
    free(h);
    return text;
}
