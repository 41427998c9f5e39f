/*
 * conf: the YAML file as an immutable snapshot.
 *
 * A snapshot is made on the main thread, never changes after that, and is shared by reference
 * count. All text in it belongs to it. Times are milliseconds unless the name says otherwise, sizes
 * bytes.
 */
#ifndef WEIR_CONF_H
#define WEIR_CONF_H

#include "base/base.h"

#include <stdio.h>
#include <sys/socket.h>

#define CONF_ADDRESS_TEXT 128

/* An address to listen on or to connect to. */
struct conf_address {
    enum conf_address_kind {
        CONF_ADDRESS_IP,
        CONF_ADDRESS_UNIX,
        CONF_ADDRESS_NAME
    } kind;
    const char *text; /* as users write and read it: host:port, [::1]:port, unix:/path */
    const char *host; /* NAME: to be resolved; IP: the literal without brackets; UNIX: the path */
    uint16_t port;    /* 0 for UNIX */
    socklen_t len;    /* of `socket`; 0 for NAME */
    struct sockaddr_storage socket;
};

struct conf_listen {
    struct conf_address address;
};

/* Host sent to the origin. */
enum conf_host {
    CONF_HOST_CLIENT,
    CONF_HOST_ORIGIN,
    CONF_HOST_LITERAL
};

struct conf_server {
    const char *url;             /* as written */
    struct conf_address address; /* default port filled in: http 80 */
    /* the Host of CONF_HOST_ORIGIN: host, and port if not the default; "localhost" for unix */
    const char *authority;
};

struct conf_pool {
    unsigned max_connections, max_idle;
    int64_t idle_timeout_ms;
    uint64_t max_requests;   /* 0: no limit */
    int64_t max_lifetime_ms; /* 0: no limit */
    unsigned queue;
    int64_t queue_timeout_ms;
};

struct conf_timeouts {
    int64_t connect_ms, first_byte_ms, between_bytes_ms;
};

struct conf_upstream {
    const char *name;
    unsigned index; /* in conf->upstreams */
    struct conf_server *servers;
    unsigned servers_count;
    enum conf_host host;
    const char *host_literal; /* CONF_HOST_LITERAL only */
    /* `run --to URL/with/path`: put before the request's target; "" otherwise */
    const char *path_prefix;
    struct conf_pool pool;
    struct conf_timeouts timeouts;
};

/* A network of IP addresses, or one address. */
struct conf_network {
    const char *text; /* as written */
    sa_family_t family;
    unsigned bits; /* of the address that count */
    uint8_t address[16];
};

/* What a response says that a route may pass over: symbol, word. */
#define CONF_OVERRIDE_TABLE(X)                                                                     \
    X(NO_STORE, "no-store")                                                                        \
    X(PRIVATE, "private")                                                                          \
    X(NO_CACHE, "no-cache")                                                                        \
    X(FRESHNESS, "freshness")                                                                      \
    X(MUST_REVALIDATE, "must-revalidate")                                                          \
    X(VARY, "vary")

enum conf_override {
#define X(symbol, word) CONF_OVERRIDE_##symbol,
    CONF_OVERRIDE_TABLE(X)
#undef X
    CONF_OVERRIDES
};

/* Whether a response with Set-Cookie is stored. */
enum conf_set_cookie {
    CONF_SET_COOKIE_AUTO, /* with freshness of its own, and unless the route overrides anything */
    CONF_SET_COOKIE_STORE,
    CONF_SET_COOKIE_REFUSE
};

struct conf_status_ttl {
    unsigned status;
    uint32_t ttl_s;
};

/* Names as a file lists them; "*" in one stands for any bytes, none included. */
struct conf_names {
    const struct str *list;
    unsigned count;
};
/* Whether one of them matches; the second is for lists in lower case, and names in any. */
bool conf_names_match(const struct conf_names *names, struct str name);
bool conf_names_match_nocase(const struct conf_names *names, struct str name);

/* What of a request its key is made of, beside scheme, host and target. */
struct conf_route_key {
    bool any; /* whether anything of this is configured */
    bool query_sort;
    struct conf_names query_ignore, query_allow; /* allow without any: all are */
    struct conf_names headers;                   /* in lower case */
    struct conf_names cookies;
};

/* What keeps a request from the cache. */
struct conf_route_bypass {
    bool any;
    struct conf_names cookies, headers; /* headers in lower case */
};

struct conf_route_cache {
    bool enabled;
    uint32_t ttl_s, negative_ttl_s;
    uint32_t ttl_min_s, ttl_max_s; /* 0: no bound */
    unsigned heuristic_percent;
    uint32_t heuristic_max_s;
    struct conf_status_ttl *status_ttl;
    unsigned status_ttl_count;
    uint32_t override; /* bit 1 << enum conf_override */
    enum conf_set_cookie set_cookie;
    int64_t hit_for_miss_ms; /* 0: off */
    /* Whose PURGE requests are answered. NULL: the method means nothing here. */
    struct conf_network *purge_from;
    unsigned purge_from_count;
    struct conf_route_key key;
    struct conf_route_bypass bypass;
    uint64_t query_body; /* of QUERY requests, most that is looked up; 0: they pass */
    uint32_t stale_while_revalidate_s, stale_if_error_s, keep_s;
};

struct conf_route {
    /* host and path as written: "api.example.com/v1/", "*" where no host, "/" where no path */
    const char *name;
    const char *host; /* lower case, without final dot or port; NULL: any */
    bool host_suffix; /* host was "*.x": host is ".x", one or more labels before it */
    const char *path; /* normalised, without final slash ("" matches all); NULL: any */
    size_t path_len;
    uint32_t methods; /* bit 1 << enum method, METHOD_OTHER's if other_methods has any; 0: all */
    /* names that are not in the table; METHOD_OTHER matches only these */
    struct str *other_methods;
    unsigned other_methods_count;
    unsigned index; /* in conf->routes */
    unsigned line;  /* in the file, 0 without one */
    const struct conf_upstream *upstream;
    bool strip_prefix;
    struct conf_route_cache cache;
};

struct conf_limits {
    size_t header_size;
    unsigned headers;
    uint64_t body_size;
    int64_t header_timeout_ms, body_timeout_ms, send_timeout_ms, idle_timeout_ms;
    uint64_t min_send_rate; /* bytes per second; 0: no minimum */
    unsigned connections;   /* 0: as many as descriptors allow */
};

enum conf_log_format {
    CONF_LOG_NONE,
    CONF_LOG_JSON,
    CONF_LOG_COMBINED
};

/* What this process may use of its machine, and what "auto" makes of it. */
struct conf_machine {
    unsigned cpus;
    const char *cpus_limited_by;   /* "affinity", "cgroup" or "none"; static */
    uint64_t cpu_quota_millis;     /* the cgroup's, in thousandths of a CPU; UINT64_MAX: none */
    uint64_t memory_bytes;         /* 0: not known */
    const char *memory_limited_by; /* "cgroup" or "none"; static */
    unsigned auto_workers;
    uint64_t auto_cache_memory;
};

struct conf {
    unsigned magic;
    const char *path; /* the file, or NULL */
    struct conf_machine machine;
    unsigned workers; /* resolved: never 0 */
    struct conf_listen *listen;
    unsigned listen_count;
    struct conf_address admin;
    const char *admin_token; /* content of token_file, trimmed; NULL without one */
    uint64_t cache_memory, cache_max_object;
    struct conf_upstream *upstreams;
    unsigned upstreams_count;
    struct conf_route *routes;
    unsigned routes_count;
    struct conf_limits limits;
    const char *access_log_path; /* "stdout", "stderr" or a path */
    enum conf_log_format access_log_format;
    const char *slow_log_path;     /* likewise */
    int64_t slow_log_threshold_ms; /* 0: no slow log */
    enum log_level error_log_level;

    atomic_uint refs;
    struct arena arena; /* owns all text and arrays above */
};

/* What is wrong with a file or with arguments, in reading order. */
struct conf_errors {
    bool unreadable; /* the system refused the file (exit 2), its content is not wrong (exit 1) */
    unsigned count;
    char *text; /* owned; one line each: "file:line:column: what; what to do\n" */
    size_t text_len;
};

void conf_errors_destroy(struct conf_errors *errors);

/* Reads and checks a YAML file ("-": standard input). NULL and *errors filled when anything is
 * wrong: a syntax error alone, or all others at once. The caller owns one reference. */
struct conf *conf_load(const char *path, struct conf_errors *errors);

/* The same from memory; `name` stands for the file in messages. */
struct conf *conf_parse(const char *name, const char *text, size_t len, struct conf_errors *errors);

/* What `weir run --to URL` means: all defaults, one upstream "origin" (host: origin), one route.
 * `listen` and `admin` are addresses as in the file, or NULL for 127.0.0.1:8080 and 127.0.0.1:9180.
 * */
struct conf *conf_for_origin(const char *to, const char *listen, const char *admin,
                             struct conf_errors *errors);

struct conf *conf_ref(struct conf *conf);
/* Frees at the last reference; leaves NULL. Any thread. */
void conf_release(struct conf **conf);

/* "127.0.0.1:80", "[::1]:80", "unix:/path", "name:80". False with *why set to a static text. Text
 * is copied into the arena. */
bool conf_address_parse(struct arena *arena, const char *text, struct conf_address *out,
                        const char **why);

/* Whether an address is in one of them; an IPv4 one also when it comes in IPv6's clothes. */
bool conf_network_contains(const struct conf_network *networks, unsigned count,
                           const struct sockaddr *address);

/* Every key a file may have, for the reference documentation and its check: dotted path
 * ("upstreams.*.pool.max_idle", "routes[].cache.ttl"), type, default as text, one line of meaning.
 * Ends with a NULL path. */
struct conf_key {
    const char *path, *type, *default_text, *meaning;
};
const struct conf_key *conf_keys(void);
/* The same, one key a line: path, type, default and meaning with tabs between. */
void conf_print_keys(FILE *out);

/* The form of a path (without query) that routes are matched in: escapes of unreserved characters
 * decoded, the other escapes in capitals, dot segments removed (RFC 3986 §6.2.2). Writes at most
 * path.len bytes to out, which must not overlap, and returns how many. What does not begin with "/"
 * is copied as it is. */
size_t conf_path_normalise(struct str path, char *out);

/* What `weir check` prints for a good file: the effective settings, one per line. */
void conf_print(const struct conf *conf, FILE *out);
/* What it prints besides: what was found on this machine, as comments. */
void conf_print_machine(const struct conf *conf, FILE *out);

#endif
