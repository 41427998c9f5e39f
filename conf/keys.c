/*
 * The table of keys: what a file may say. It drives reading, defaults, suggestions for unknown
 * keys, what "weir check" shows, and the check of the reference document.
 *
 * Used by load.c and values.c; constant, any thread. A key enters the table in the change that
 * makes it work.
 */
#include "conf/keys.h"

#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define TIB (1024 * GIB)

#define SECOND_MS 1000ull
#define DAY_MS (24 * 3600 * SECOND_MS)
#define YEAR_MS (365 * DAY_MS)
/* What is stored with a response has room for so much. */
#define STALE_MOST_MS (194 * DAY_MS)
#define KEEP_MOST_MS (45 * DAY_MS)

_Static_assert(sizeof(size_t) == sizeof(uint64_t), "sizes are read as 64 bits");

/* path, type, structure, member, least, most, default, meaning */
#define KEY_TABLE(X)                                                                               \
    X("workers", WORKERS, conf, workers, 1, 256, "auto",                                           \
      "threads that serve; auto is one per CPU that the process may use, the cgroup's quota "      \
      "counted")                                                                                   \
    X("listen[].address", ADDRESS, conf_listen, address, 0, 0, "0.0.0.0:8080",                     \
      "where clients connect; port 0 lets the system choose")                                      \
    X("admin.address", ADDRESS, conf, admin, 0, 0, "127.0.0.1:9180",                               \
      "where stats, health and purges are served; off loopback it needs token_file")               \
    X("admin.token_file", TOKEN_FILE, conf, admin_token, 0, 0, "(none)",                           \
      "file with the token that the admin port then asks for, read at load")                       \
    X("cache.memory", MEMORY, conf, cache_memory, MIB, 1024 * TIB, "auto",                         \
      "memory of the cache, everything counted; auto is a quarter of the machine or cgroup, at "   \
      "least 64MiB")                                                                               \
    X("cache.max_object", SIZE, conf, cache_max_object, 1, 1024 * TIB, "64MiB",                    \
      "larger responses are passed on and not stored; the default is cache.memory where that is "  \
      "less")                                                                                      \
    X("upstreams.*.servers", SERVERS, conf_upstream, servers, 0, 0, "(required)",                  \
      "the origin's servers: http://host:port, http://[::1]:port or unix:/path")                   \
    X("upstreams.*.host", UPSTREAM_HOST, conf_upstream, host, 0, 0, "client",                      \
      "Host sent to the origin: the client's, the server's own name, or this text")                \
    X("upstreams.*.pool.max_connections", COUNT, conf_upstream, pool.max_connections, 1, 1000000,  \
      "256", "connections to one server, all workers together")                                    \
    X("upstreams.*.pool.max_idle", COUNT, conf_upstream, pool.max_idle, 0, 1000000, "64",          \
      "idle connections kept to one server, all workers together")                                 \
    X("upstreams.*.pool.idle_timeout", TIME, conf_upstream, pool.idle_timeout_ms, 1, YEAR_MS,      \
      "60s", "an idle connection is closed after this")                                            \
    X("upstreams.*.pool.max_requests", COUNT64, conf_upstream, pool.max_requests, 0, 1ull << 53,   \
      "0", "requests on one connection before it is closed; 0 is no limit")                        \
    X("upstreams.*.pool.max_lifetime", TIME, conf_upstream, pool.max_lifetime_ms, 0, YEAR_MS,      \
      "0s", "age at which a connection is closed after its request; 0s is no limit")               \
    X("upstreams.*.pool.queue", COUNT, conf_upstream, pool.queue, 0, 1000000, "1024",              \
      "requests that may wait for a connection to one server; more get 503")                       \
    X("upstreams.*.pool.queue_timeout", TIME, conf_upstream, pool.queue_timeout_ms, 1, YEAR_MS,    \
      "5s", "a request that has waited this long for a connection gets 503")                       \
    X("upstreams.*.timeouts.connect", TIME, conf_upstream, timeouts.connect_ms, 1, YEAR_MS, "2s",  \
      "for a connection to be made")                                                               \
    X("upstreams.*.timeouts.first_byte", TIME, conf_upstream, timeouts.first_byte_ms, 1, YEAR_MS,  \
      "30s", "from the request sent whole to the response's first byte")                           \
    X("upstreams.*.timeouts.between_bytes", TIME, conf_upstream, timeouts.between_bytes_ms, 1,     \
      YEAR_MS, "30s", "between two reads of a response")                                           \
    X("routes[].host", ROUTE_HOST, conf_route, host, 0, 0, "(any)",                                \
      "the request's host, exact or with *. for one or more labels; port and final dot ignored")   \
    X("routes[].path", ROUTE_PATH, conf_route, path, 0, 0, "(any)",                                \
      "prefix of the request's path on segment boundaries: /v1 takes /v1 and /v1/x, not /v10")     \
    X("routes[].methods", METHODS, conf_route, methods, 0, 0, "[]",                                \
      "the request's methods, in capitals; an empty list is all")                                  \
    X("routes[].upstream", UPSTREAM, conf_route, upstream, 0, 0, "(required)",                     \
      "where requests that match go")                                                              \
    X("routes[].strip_prefix", BOOL, conf_route, strip_prefix, 0, 0, "false",                      \
      "whether path is taken off what is sent to the origin")                                      \
    X("routes[].cache.enabled", BOOL, conf_route, cache.enabled, 0, 0, "true",                     \
      "false: responses are never looked up, stored or shared")                                    \
    X("routes[].cache.ttl", SECONDS, conf_route, cache.ttl_s, 0, 10 * YEAR_MS, "0s",               \
      "freshness of a response to which the origin gives none; 0s stores none of those")           \
    X("routes[].cache.negative_ttl", SECONDS, conf_route, cache.negative_ttl_s, 0, 10 * YEAR_MS,   \
      "0s", "the same for 404, 405, 410, 414 and 501")                                             \
    X("routes[].cache.status_ttl", STATUS_TTL, conf_route, cache.status_ttl, 0, 10 * YEAR_MS,      \
      "{}", "the same for single statuses, and before both; 0s stores none of those")              \
    X("routes[].cache.ttl_min", SECONDS, conf_route, cache.ttl_min_s, 0, 10 * YEAR_MS, "0s",       \
      "what is fresh for less time from its arrival is fresh for so long; 0s is no bound")         \
    X("routes[].cache.ttl_max", SECONDS, conf_route, cache.ttl_max_s, 0, 10 * YEAR_MS, "0s",       \
      "what is fresh for more time from its arrival is fresh for so long; 0s is no bound")         \
    X("routes[].cache.heuristic_percent", COUNT, conf_route, cache.heuristic_percent, 0, 100,      \
      "10",                                                                                        \
      "share of the time since Last-Modified for which a response without freshness is "           \
      "taken to be fresh; 0 takes none to be")                                                     \
    X("routes[].cache.heuristic_max", SECONDS, conf_route, cache.heuristic_max_s, 0, 10 * YEAR_MS, \
      "1d", "and at most for so long")                                                             \
    X("routes[].cache.override", OVERRIDE, conf_route, cache.override, 0, 0, "[]",                 \
      "what the origin says that counts for nothing here: no-store, private, no-cache, "           \
      "freshness, must-revalidate, vary")                                                          \
    X("routes[].cache.set_cookie", SET_COOKIE, conf_route, cache.set_cookie, 0, 0, "auto",         \
      "whether responses with Set-Cookie are stored; auto: with freshness from the origin, and "   \
      "without override")                                                                          \
    X("routes[].cache.hit_for_miss", TIME, conf_route, cache.hit_for_miss_ms, 0, YEAR_MS, "10s",   \
      "after a response that may not be stored, requests for the same key do not wait for each "   \
      "other for so long; 0s switches it off")                                                     \
    X("routes[].cache.purge_from", NETWORKS, conf_route, cache.purge_from, 0, 0, "[]",             \
      "clients, by address or network, whose PURGE requests are answered; the others' get 403; "   \
      "an "                                                                                        \
      "empty list passes PURGE on to the origin")                                                  \
    X("routes[].cache.key.query.ignore", NAMES, conf_route, cache.key.query_ignore, 0, 0, "[]",    \
      "query parameters that are no part of the key; they are still sent")                         \
    X("routes[].cache.key.query.allow", NAMES, conf_route, cache.key.query_allow, 0, 0, "[]",      \
      "the only query parameters that are part of the key; an empty list is all")                  \
    X("routes[].cache.key.query.sort", BOOL, conf_route, cache.key.query_sort, 0, 0, "false",      \
      "whether the order of different query parameters is left out of the key")                    \
    X("routes[].cache.key.headers", FIELD_NAMES, conf_route, cache.key.headers, 0, 0, "[]",        \
      "fields of the request that are part of the key")                                            \
    X("routes[].cache.key.cookies", NAMES, conf_route, cache.key.cookies, 0, 0, "[]",              \
      "cookies of the request that are part of the key")                                           \
    X("routes[].cache.bypass.cookies", NAMES, conf_route, cache.bypass.cookies, 0, 0, "[]",        \
      "a request with one of these cookies is neither looked up nor stored")                       \
    X("routes[].cache.bypass.headers", FIELD_NAMES, conf_route, cache.bypass.headers, 0, 0, "[]",  \
      "a request with one of these fields is neither looked up nor stored")                        \
    X("routes[].cache.query_body", SIZE, conf_route, cache.query_body, 0, 16 * MIB, "64KiB",       \
      "content of a QUERY request up to this is part of the key; more is passed on without "       \
      "lookup, and 0 passes QUERY on like any other method")                                       \
    X("routes[].cache.stale_while_revalidate", SECONDS, conf_route,                                \
      cache.stale_while_revalidate_s, 0, STALE_MOST_MS, "0s",                                      \
      "how long a stale response is delivered while it is being refreshed, where the origin does " \
      "not say")                                                                                   \
    X("routes[].cache.stale_if_error", SECONDS, conf_route, cache.stale_if_error_s, 0,             \
      STALE_MOST_MS, "0s",                                                                         \
      "how long a stale response is delivered when the origin fails, where the origin does not "   \
      "say")                                                                                       \
    X("routes[].cache.keep", SECONDS, conf_route, cache.keep_s, 0, KEEP_MOST_MS, "1d",             \
      "how long a stale response with a validator is kept, to be asked about, while there is "     \
      "room")                                                                                      \
    X("limits.header_size", SIZE, conf, limits.header_size, KIB, 128 * KIB, "32KiB",               \
      "a request's first line and fields together; more gets 431, or 414 for the target alone")    \
    X("limits.headers", COUNT, conf, limits.headers, 1, 10000, "100",                              \
      "fields of a request; more get 431")                                                         \
    X("limits.body_size", SIZE, conf, limits.body_size, 1, 1024 * TIB, "1GiB",                     \
      "a request's body, which is streamed and never held whole; more gets 413")                   \
    X("limits.header_timeout", TIME, conf, limits.header_timeout_ms, 1, YEAR_MS, "10s",            \
      "for a request's head to arrive")                                                            \
    X("limits.body_timeout", TIME, conf, limits.body_timeout_ms, 1, YEAR_MS, "30s",                \
      "between two reads of a request's body")                                                     \
    X("limits.send_timeout", TIME, conf, limits.send_timeout_ms, 1, YEAR_MS, "30s",                \
      "in which a client must take something of a response that waits for it")                     \
    X("limits.min_send_rate", SIZE, conf, limits.min_send_rate, 0, GIB, "1KiB",                    \
      "bytes per second that a client must take of it, on average over limits.send_timeout; 0 is " \
      "no minimum")                                                                                \
    X("limits.idle_timeout", TIME, conf, limits.idle_timeout_ms, 1, YEAR_MS, "75s",                \
      "for a client's next request on its connection")                                             \
    X("limits.connections", COUNT, conf, limits.connections, 0, 10000000, "0",                     \
      "clients connected at a time; 0 is as many as descriptors allow")                            \
    X("access_log.path", LOG_PATH, conf, access_log_path, 0, 0, "stdout",                          \
      "where one line per request is written")                                                     \
    X("access_log.format", LOG_FORMAT, conf, access_log_format, 0, 0, "none",                      \
      "json, combined (as Apache and nginx write it), or none for no access log")                  \
    X("slow_log.path", LOG_PATH, conf, slow_log_path, 0, 0, "stderr",                              \
      "where a line is written for each request that took long, as JSON")                          \
    X("slow_log.threshold", TIME, conf, slow_log_threshold_ms, 0, YEAR_MS, "0s",                   \
      "how long is long; 0s is no slow log")                                                       \
    X("error_log.level", LOG_LEVEL, conf, error_log_level, 0, 0, "info",                           \
      "least level that is written to stderr")

const struct key key_table[] = {
#define X(path, type, structure, member, min, max, default_text, meaning)                          \
    {path, SCOPE_##structure, VALUE_##type, offsetof(struct structure, member), min,               \
     max,  default_text},
    KEY_TABLE(X)
#undef X
};
const unsigned key_table_count = weir_count(key_table);
_Static_assert(weir_count(key_table) <= KEY_TABLE_MAX, "a bit for each key");

#define X(symbol, name, function) static const char type_name_##symbol[] = name;
VALUE_TYPE_TABLE(X)
#undef X

const struct conf_key *conf_keys(void)
{
    static const struct conf_key keys[] = {
#define X(path, type, structure, member, min, max, default_text, meaning)                          \
    {path, type_name_##type, default_text, meaning},
        KEY_TABLE(X)
#undef X
            {NULL, NULL, NULL, NULL}};
    return keys;
}

void conf_print_keys(FILE *out)
{
    for (const struct conf_key *key = conf_keys(); key->path; key++)
        fprintf(out, "%s\t%s\t%s\t%s\n", key->path, key->type, key->default_text, key->meaning);
}

/* ---- finding ---- */

const char *key_name(const struct key *key)
{
    const char *dot = strrchr(key->path, '.');
    return dot ? dot + 1 : key->path;
}

enum key_kind key_find(const char *path, const struct key **key)
{
    size_t len = strlen(path);
    for (unsigned i = 0; i < key_table_count; i++) {
        const char *known = key_table[i].path;
        if (strncmp(known, path, len) != 0)
            continue;
        if (known[len] == '\0') {
            *key = &key_table[i];
            return KEY_VALUE;
        }
        if (known[len] == '[')
            return KEY_LIST;
        if (known[len] == '.')
            return known[len + 1] == '*' ? KEY_NAMED : KEY_GROUP;
    }
    return KEY_UNKNOWN;
}

/* Calls offer with each name that may stand in the mapping of prefix, once. */
static void each_name(const char *prefix, void (*offer)(void *into, const char *name), void *into)
{
    char name[KEY_PATH_BYTES], last[KEY_PATH_BYTES] = "";
    size_t len = strlen(prefix);
    for (unsigned i = 0; i < key_table_count; i++) {
        if (strncmp(key_table[i].path, prefix, len) != 0)
            continue;
        const char *rest = key_table[i].path + len;
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(rest, ".["), rest);
        /* A group's keys stand together in the table. */
        if (strcmp(name, last) == 0)
            continue;
        strcpy(last, name);
        offer(into, name);
    }
}

static void offer_to_list(void *into, const char *name)
{
    struct appender *list = into;
    if (list->len > 0)
        append_lit(list, ", ");
    append_str(list, str_from(name));
}

struct best_name {
    struct nearest nearest;
    char name[KEY_PATH_BYTES];
};

static void offer_to_nearest(void *into, const char *name)
{
    struct best_name *best = into;
    best->nearest.found = NULL;
    nearest_offer(&best->nearest, name);
    if (best->nearest.found)
        strcpy(best->name, name);
}

void key_report_unknown(struct problems *problems, struct mark mark, const char *prefix,
                        struct str name)
{
    struct best_name best = {.nearest = nearest_start(name)};
    each_name(prefix, offer_to_nearest, &best);
    if (best.name[0]) {
        problem_add(problems, mark, "unknown key \"%s\"; did you mean \"%s\"?", QUOTED(name),
                    best.name);
        return;
    }
    char text[512];
    struct appender list = appender_on(text, sizeof(text) - 1);
    each_name(prefix, offer_to_list, &list);
    text[list.len] = '\0';
    problem_add(problems, mark, "unknown key \"%s\"; the keys here are %s", QUOTED(name), text);
}

/* ---- collections ---- */

const struct key_collection key_collections[KEY_COLLECTIONS] = {
    {"listen", "listen[].", SCOPE_conf_listen, sizeof(struct conf_listen),
     offsetof(struct conf, listen), offsetof(struct conf, listen_count)},
    {"upstreams", "upstreams.*.", SCOPE_conf_upstream, sizeof(struct conf_upstream),
     offsetof(struct conf, upstreams), offsetof(struct conf, upstreams_count)},
    {"routes", "routes[].", SCOPE_conf_route, sizeof(struct conf_route),
     offsetof(struct conf, routes), offsetof(struct conf, routes_count)},
};

const struct key_collection *key_collection_find(const char *path)
{
    for (unsigned i = 0; i < KEY_COLLECTIONS; i++) {
        if (strcmp(key_collections[i].path, path) == 0)
            return &key_collections[i];
    }
    return NULL;
}

void *key_collection_list(const struct key_collection *collection, const struct conf *conf)
{
    void *list;
    memcpy(&list, (const char *)conf + collection->list_offset, sizeof(list));
    return list;
}

unsigned key_collection_count(const struct key_collection *collection, const struct conf *conf)
{
    unsigned count;
    memcpy(&count, (const char *)conf + collection->count_offset, sizeof(count));
    return count;
}

void key_collection_make(const struct key_collection *collection, struct conf *conf, unsigned count)
{
    void *list = conf_arena_alloc(&conf->arena, count * collection->element_bytes);
    memcpy((char *)conf + collection->list_offset, &list, sizeof(list));
    memcpy((char *)conf + collection->count_offset, &count, sizeof(count));
}
