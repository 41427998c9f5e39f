/*
 * The table of keys, and what reads and shows a value of each type. conf/ only.
 *
 * A key's path says where it stands: "cache.memory", "listen[].address" (in each element of a
 * list), "upstreams.*.host" (in each element of a mapping whose keys users name).
 */
#ifndef WEIR_CONF_KEYS_H
#define WEIR_CONF_KEYS_H

#include "conf/conf.h"
#include "conf/tree.h"

/* symbol, name in the reference, what value_read_ and value_print_ are called for it */
#define VALUE_TYPE_TABLE(X)                                                                        \
    X(COUNT, "whole number", count)                                                                \
    X(COUNT64, "whole number", count64)                                                            \
    X(WORKERS, "whole number, or auto", workers)                                                   \
    X(SIZE, "size", size)                                                                          \
    X(MEMORY, "size, or auto", memory)                                                             \
    X(TIME, "time", time)                                                                          \
    X(SECONDS, "time in whole seconds", seconds)                                                   \
    X(BOOL, "true or false", bool)                                                                 \
    X(ADDRESS, "address", address)                                                                 \
    X(TOKEN_FILE, "path of a file", token_file)                                                    \
    X(LOG_PATH, "stdout, stderr, or path of a file", log_path)                                     \
    X(LOG_FORMAT, "none, json or combined", log_format)                                            \
    X(LOG_LEVEL, "debug, info, warn or error", log_level)                                          \
    X(SERVERS, "list of URLs", servers)                                                            \
    X(UPSTREAM_HOST, "client, origin, or a host", upstream_host)                                   \
    X(ROUTE_HOST, "host, or *.host", route_host)                                                   \
    X(ROUTE_PATH, "path", route_path)                                                              \
    X(METHODS, "list of methods", methods)                                                         \
    X(NETWORKS, "list of addresses and networks", networks)                                        \
    X(STATUS_TTL, "mapping of statuses to times", status_ttl)                                      \
    X(OVERRIDE, "list of words", override)                                                         \
    X(SET_COOKIE, "auto, store or refuse", set_cookie)                                             \
    X(NAMES, "list of names, with * as a glob", names)                                             \
    X(FIELD_NAMES, "list of names of fields, with * as a glob", field_names)                       \
    X(UPSTREAM, "name of an upstream", upstream)

enum value_type {
#define X(symbol, name, function) VALUE_##symbol,
    VALUE_TYPE_TABLE(X)
#undef X
};

/* The structure that a key's offset counts in. */
enum key_scope {
    SCOPE_conf,
    SCOPE_conf_listen,
    SCOPE_conf_upstream,
    SCOPE_conf_route
};

struct key {
    const char *path;
    enum key_scope scope;
    enum value_type type;
    size_t offset;
    uint64_t min, max;        /* of counts, sizes (bytes), times (ms) */
    const char *default_text; /* read like a value, unless it begins with (, [ or { */
};

extern const struct key key_table[];
extern const unsigned key_table_count;
#define KEY_TABLE_MAX 64 /* a mapping's keys are remembered in 64 bits */

#define KEY_PATH_BYTES 96

/* What a path stands for. */
enum key_kind {
    KEY_UNKNOWN,
    KEY_VALUE,
    KEY_GROUP,
    KEY_LIST,
    KEY_NAMED
};
enum key_kind key_find(const char *path, const struct key **key);
/* The path's last name. */
const char *key_name(const struct key *key);
/* Adds the problem of an unknown key in the mapping whose keys' paths begin with prefix. */
void key_report_unknown(struct problems *problems, struct mark mark, const char *prefix,
                        struct str name);

/* A list or a mapping of structures. */
struct key_collection {
    const char *path;
    const char *prefix; /* of its elements' keys */
    enum key_scope scope;
    size_t element_bytes;
    size_t list_offset, count_offset; /* in struct conf */
};
extern const struct key_collection key_collections[];
#define KEY_COLLECTIONS 3

const struct key_collection *key_collection_find(const char *path);
void *key_collection_list(const struct key_collection *collection, const struct conf *conf);
unsigned key_collection_count(const struct key_collection *collection, const struct conf *conf);
/* An array of zeroed elements in conf's arena. */
void key_collection_make(const struct key_collection *collection, struct conf *conf,
                         unsigned count);

/* ---- reading ---- */

struct route_note {
    struct mark mark, upstream_mark;
    struct str upstream; /* as written; ptr NULL: none was */
    bool bad;            /* a problem was found in it */
};

struct value_note {
    struct value_note *next;
    const void *base;
    const struct key *key;
    struct mark mark;
};

/* While a configuration is made. */
struct loader {
    struct conf *conf; /* owned until it is given out */
    struct problems problems;
    struct arena scratch;
    struct value_note *values; /* where each key was given, last first */
    struct route_note *routes; /* by index */
    struct mark root;
    struct mark collections[KEY_COLLECTIONS]; /* line 0: not in the file */
    bool broken[KEY_COLLECTIONS];             /* in the file, but not as a list or a mapping */
};

/* Where the key was given in the structure at base; false when it was not. */
bool loader_mark(const struct loader *loader, const void *base, const char *path,
                 struct mark *mark);

static inline void *key_field(const struct key *key, void *base)
{
    return (char *)base + key->offset;
}

static inline const void *key_const_field(const struct key *key, const void *base)
{
    return (const char *)base + key->offset;
}

#define X(symbol, name, function)                                                                  \
    void value_read_##function(struct loader *loader, const struct key *key,                       \
                               const struct node *node, void *base);                               \
    void value_print_##function(const struct key *key, const void *base, FILE *out);
VALUE_TYPE_TABLE(X)
#undef X

/* Reads node into the structure at base, or adds problems and leaves what is there. */
void value_read(struct loader *loader, const struct key *key, const struct node *node, void *base);
void value_read_default(struct loader *loader, const struct key *key, void *base);
void value_print(const struct key *key, const void *base, FILE *out);
/* False, with a problem added unless one was, when node is not a single, non-empty value. */
bool value_scalar(struct loader *loader, const char *name, const struct node *node,
                  struct str *text);

/* A list of not too many elements; else false, with a problem added that gives the example. */
bool value_list(struct loader *loader, const struct key *key, const struct node *node,
                const char *example);
/* One of the words, which end with NULL; the problem names the nearest. */
bool value_word(struct loader *loader, const struct key *key, const struct node *node,
                const char *const *words, unsigned *index);
/* A time in whole seconds, within the key's bounds. */
bool value_seconds(struct loader *loader, const struct key *key, const struct node *node,
                   uint32_t *seconds);

/* Adds the problem 'key: "value" why', for values whose parser says what is wrong. */
void value_complain(struct loader *loader, const struct key *key, const struct node *node,
                    const char *why);

/* "why" of these continues a sentence: '"x" ' why. Texts are static. */
bool address_parse_server(struct arena *arena, struct str text, struct conf_server *out,
                          const char **path_prefix, const char **why);
/* An address that a socket can be bound to at once. */
bool address_parse_local(struct arena *arena, struct str text, struct conf_address *out,
                         const char **why);
bool address_is_loopback(const struct conf_address *address);
bool address_parse_network(struct arena *arena, struct str text, struct conf_network *out,
                           const char **why);
bool address_equal(const struct conf_address *a, const struct conf_address *b);

bool route_parse_host(struct arena *arena, struct str text, struct conf_route *route,
                      const char **why);
bool route_parse_path(struct arena *arena, struct str text, struct conf_route *route,
                      const char **why);
/* Adds the method to the route's set. */
bool route_parse_method(struct arena *arena, struct str text, struct conf_route *route,
                        const char **why);
/* Whether it lists that method, one that has no enum. */
bool route_has_other_method(const struct conf_route *route, struct str name);
/* Host and path as written; NULL where there is none. */
void route_set_name(struct arena *arena, struct conf_route *route, struct str host,
                    struct str path);
/* Whether every request that `later` matches is matched by `earlier`. */
bool route_covers(const struct conf_route *earlier, const struct conf_route *later);

/* ---- checks over several keys, after all are read ---- */

void check_conf(struct loader *loader);
/* What of it can be wrong without a file. */
void check_arguments(struct loader *loader);

#endif
