/*
 * What can be judged only when the whole file has been read: settings that contradict each other,
 * names that lead nowhere, routes that nothing reaches.
 *
 * Called by load.c, once. Parts in which a problem was already found are left alone, so that one
 * mistake is told once.
 */
#include "conf/keys.h"

/* ---- routes to upstreams ---- */

static const struct conf_upstream *find_upstream(const struct conf *conf, struct str name)
{
    for (unsigned i = 0; i < conf->upstreams_count; i++) {
        if (str_equal(str_from(conf->upstreams[i].name), name))
            return &conf->upstreams[i];
    }
    return NULL;
}

static void report_missing_upstream(struct loader *loader, const struct route_note *note)
{
    const struct conf *conf = loader->conf;
    struct nearest nearest = nearest_start(note->upstream);
    for (unsigned i = 0; i < conf->upstreams_count; i++)
        nearest_offer(&nearest, conf->upstreams[i].name);
    if (nearest.found)
        problem_add(&loader->problems, note->upstream_mark,
                    "there is no upstream \"%s\"; did you mean \"%s\"?", QUOTED(note->upstream),
                    nearest.found);
    else
        problem_add(
            &loader->problems, note->upstream_mark,
            "there is no upstream \"%s\"; add it under upstreams, or name one that is there",
            QUOTED(note->upstream));
}

static void link_routes(struct loader *loader)
{
    struct conf *conf = loader->conf;
    for (unsigned i = 0; i < conf->routes_count && !loader->problems.more; i++) {
        struct route_note *note = &loader->routes[i];
        if (!note->upstream.ptr || conf->upstreams_count == 0)
            continue;
        conf->routes[i].upstream = find_upstream(conf, note->upstream);
        if (!conf->routes[i].upstream)
            report_missing_upstream(loader, note);
    }
}

static void check_reach(struct loader *loader)
{
    const struct conf *conf = loader->conf;
    for (unsigned later = 1; later < conf->routes_count && !loader->problems.more; later++) {
        for (unsigned earlier = 0; earlier < later && !loader->routes[later].bad; earlier++) {
            if (loader->routes[earlier].bad ||
                !route_covers(&conf->routes[earlier], &conf->routes[later]))
                continue;
            problem_add(&loader->problems, loader->routes[later].mark,
                        "this route can never match, because the one on line %u (%s) takes all of "
                        "its requests; move it before that one, or remove it",
                        loader->routes[earlier].mark.line,
                        QUOTED(str_from(conf->routes[earlier].name)));
            break;
        }
    }
}

/* ---- addresses ---- */

static struct mark listen_mark(const struct loader *loader, unsigned index)
{
    struct mark mark;
    if (loader_mark(loader, &loader->conf->listen[index], "listen[].address", &mark))
        return mark;
    return loader->collections[0].line > 0 ? loader->collections[0] : loader->root;
}

/* Port 0 is another port each time; an address in which a problem was found has no text. */
static bool is_same_place(const struct conf_address *a, const struct conf_address *b)
{
    return a->text && b->text && address_equal(a, b) &&
           (a->kind == CONF_ADDRESS_UNIX || a->port != 0);
}

static void check_listen(struct loader *loader)
{
    const struct conf *conf = loader->conf;
    for (unsigned i = 0; i < conf->listen_count && !loader->problems.more; i++) {
        const struct conf_address *address = &conf->listen[i].address;
        for (unsigned j = 0; j < i; j++) {
            if (!is_same_place(address, &conf->listen[j].address))
                continue;
            problem_add(&loader->problems, listen_mark(loader, i),
                        "%s is listened on already, by line %u; remove one of them", address->text,
                        listen_mark(loader, j).line);
            break;
        }
        if (is_same_place(address, &conf->admin))
            problem_add(&loader->problems, listen_mark(loader, i),
                        "%s is the admin port's address as well; give one of them another port",
                        address->text);
    }
}

static void check_admin(struct loader *loader)
{
    const struct conf *conf = loader->conf;
    struct mark mark = loader->root, token_mark;
    bool has_token = loader_mark(loader, conf, "admin.token_file", &token_mark);
    loader_mark(loader, conf, "admin.address", &mark);
    if (!has_token && !address_is_loopback(&conf->admin))
        problem_add(&loader->problems, mark,
                    "the admin port would be open to others at %s; add admin.token_file, or use a "
                    "loopback address such as 127.0.0.1:9180",
                    conf->admin.text);
}

/* ---- what requests are looked up by ---- */

static void complain_of_name(struct loader *loader, const struct conf_route *route,
                             const char *path, struct str name, const char *why)
{
    struct mark mark;
    if (loader_mark(loader, route, path, &mark))
        problem_add(&loader->problems, mark, "%s: \"%s\" %s", strrchr(path, '.') + 1, QUOTED(name),
                    why);
}

/* Also every name that a pattern in the place of `name` stands for: nothing but a star takes a star. */
static bool takes(struct str pattern, struct str name)
{
    return conf_names_match(&(struct conf_names){&pattern, 1}, name);
}

static void check_key(struct loader *loader, const struct conf_route *route)
{
    const struct conf_route_key *key = &route->cache.key;
    for (unsigned i = 0; i < key->query_allow.count; i++)
        if (conf_names_match(&key->query_ignore, key->query_allow.list[i]))
            complain_of_name(loader, route, "routes[].cache.key.query.allow",
                             key->query_allow.list[i],
                             "is left out by ignore, so it never counts; remove it from one of "
                             "them");
    for (unsigned i = 0; i < key->headers.count; i++) {
        struct str name = key->headers.list[i];
        bool is_host = str_equal(name, STR("host"));
        if (is_host || takes(name, STR("")))
            complain_of_name(loader, route, "routes[].cache.key.headers", name,
                             is_host ? "is part of every key already; remove it"
                                     : "is every field, so hardly two requests have the same key; "
                                       "name those that the origin's answer depends on");
    }
}

static void check_bypass(struct loader *loader, const struct conf_route *route)
{
    const struct conf_names *headers = &route->cache.bypass.headers;
    for (unsigned i = 0; i < headers->count; i++)
        if (takes(headers->list[i], STR("host")))
            complain_of_name(loader, route, "routes[].cache.bypass.headers", headers->list[i],
                             "takes Host, which every request has, so none is looked up; name "
                             "other fields, or write enabled: false");
}

static bool takes_purge(const struct conf_route *route)
{
    return route->methods == 0 || route_has_other_method(route, STR("PURGE"));
}

/* One block of settings may serve several routes, by an alias: then one of them has to take it. */
static bool is_for_purges(struct loader *loader, const char *path, struct mark mark)
{
    const struct conf *conf = loader->conf;
    struct mark other;
    for (unsigned i = 0; i < conf->routes_count; i++)
        if (takes_purge(&conf->routes[i]) && loader_mark(loader, &conf->routes[i], path, &other) &&
            other.line == mark.line && other.column == mark.column)
            return true;
    return false;
}

static void check_purge_from(struct loader *loader, const struct conf_route *route)
{
    static const char path[] = "routes[].cache.purge_from";
    struct mark mark;
    if (route->cache.purge_from_count > 0 && !takes_purge(route) &&
        loader_mark(loader, route, path, &mark) && !is_for_purges(loader, path, mark))
        problem_add(&loader->problems, mark,
                    "purge_from is for PURGE requests, which methods leaves out; add PURGE to "
                    "methods, or remove purge_from");
}

static void check_requests(struct loader *loader)
{
    const struct conf *conf = loader->conf;
    for (unsigned i = 0; i < conf->routes_count && !loader->problems.more; i++) {
        check_key(loader, &conf->routes[i]);
        check_bypass(loader, &conf->routes[i]);
        check_purge_from(loader, &conf->routes[i]);
    }
}

static void note_names(struct conf *conf)
{
    for (unsigned i = 0; i < conf->routes_count; i++) {
        struct conf_route_key *key = &conf->routes[i].cache.key;
        struct conf_route_bypass *bypass = &conf->routes[i].cache.bypass;
        key->any = key->query_sort || key->query_ignore.count > 0 || key->query_allow.count > 0 ||
                   key->headers.count > 0 || key->cookies.count > 0;
        bypass->any = bypass->cookies.count > 0 || bypass->headers.count > 0;
    }
}

/* ---- all ---- */

static void check_presence(struct loader *loader)
{
    const struct conf *conf = loader->conf;
    const char *const advice[KEY_COLLECTIONS] = {
        "write \"- address: 0.0.0.0:8080\" below it, or remove it for that default",
        "write \"upstreams: {api: {servers: [\"http://127.0.0.1:9000\"]}}\"",
        "write \"routes: [{upstream: api}]\" with the name of an upstream",
    };
    const char *const what[KEY_COLLECTIONS] = {"listen is empty", "there are no upstreams",
                                               "there are no routes"};
    for (unsigned i = 0; i < KEY_COLLECTIONS; i++) {
        struct mark mark = loader->collections[i];
        if (key_collection_count(&key_collections[i], conf) > 0 || loader->broken[i])
            continue;
        problem_add(&loader->problems, mark.line > 0 ? mark : loader->root, "%s; %s", what[i],
                    advice[i]);
    }
}

static void check_cache(struct loader *loader)
{
    const struct conf *conf = loader->conf;
    struct mark mark;
    if (conf->cache_max_object > conf->cache_memory &&
        loader_mark(loader, conf, "cache.max_object", &mark))
        problem_add(&loader->problems, mark,
                    "max_object is more than cache.memory, so such an object would never fit; make "
                    "it smaller, or memory larger");
}

static void check_clamps(struct loader *loader)
{
    const struct conf *conf = loader->conf;
    for (unsigned i = 0; i < conf->routes_count && !loader->problems.more; i++) {
        const struct conf_route_cache *cache = &conf->routes[i].cache;
        struct mark mark;
        if (cache->ttl_max_s > 0 && cache->ttl_min_s > cache->ttl_max_s &&
            loader_mark(loader, &conf->routes[i], "routes[].cache.ttl_min", &mark))
            problem_add(&loader->problems, mark,
                        "ttl_min is more than ttl_max, so no time lies between them; make it "
                        "smaller, or ttl_max larger");
    }
}

void check_arguments(struct loader *loader)
{
    check_listen(loader);
    check_admin(loader);
}

void check_conf(struct loader *loader)
{
    check_presence(loader);
    check_listen(loader);
    check_admin(loader);
    check_cache(loader);
    check_clamps(loader);
    check_requests(loader);
    link_routes(loader);
    note_names(loader->conf);
    check_reach(loader);
}
