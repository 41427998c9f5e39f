/*
 * Values that say where something is: addresses, files, hosts, paths, methods, servers and names of
 * upstreams.
 *
 * Called by load.c through the key's row in the table, like values.c. The parsers in address.c and
 * route.c know the forms; here their results find their place in the snapshot, and their complaints
 * their line in the file.
 */
#include "conf/keys.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIST_MAX 64 /* servers of an upstream, methods of a route */
#define TOKEN_BYTES 4096

/* ---- addresses, paths, hosts ---- */

void value_read_address(struct loader *loader, const struct key *key, const struct node *node,
                        void *base)
{
    struct str text;
    const char *why;
    if (value_scalar(loader, key_name(key), node, &text) &&
        !address_parse_local(&loader->conf->arena, text, key_field(key, base), &why))
        value_complain(loader, key, node, why);
}

void value_print_address(const struct key *key, const void *base, FILE *out)
{
    fputs(((const struct conf_address *)key_const_field(key, base))->text, out);
}

/* What no user could open. NULL: nothing is wrong with it. */
static const char *find_wrong_log_path(struct str path)
{
    const char *slash = memrchr(path.ptr, '/', path.len);
    char folder[PATH_MAX];
    struct stat found;
    if (stat(path.ptr, &found) == 0)
        return S_ISDIR(found.st_mode) ? "this is a folder; name a file in it" : NULL;
    if (!slash || slash == path.ptr || path.len >= sizeof(folder))
        return NULL;
    memcpy(folder, path.ptr, (size_t)(slash - path.ptr));
    folder[slash - path.ptr] = '\0';
    return stat(folder, &found) != 0 && (errno == ENOENT || errno == ENOTDIR)
               ? "the folder of this path does not exist; make it, or correct the path"
               : NULL;
}

void value_read_log_path(struct loader *loader, const struct key *key, const struct node *node,
                         void *base)
{
    struct str text;
    if (!value_scalar(loader, key_name(key), node, &text))
        return;
    const char *why = find_wrong_log_path(text);
    if (why)
        value_complain(loader, key, node, why);
    *(const char **)key_field(key, base) = conf_arena_text(&loader->conf->arena, text);
}

void value_print_log_path(const struct key *key, const void *base, FILE *out)
{
    fputs(*(const char *const *)key_const_field(key, base), out);
}

/* Reads at most cap bytes; -1 with errno. */
static ssize_t read_small_file(const char *path, char *buffer, size_t cap)
{
    /* Not blocking, because a pipe without a writer would hold the start up for good. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -1;
    ssize_t len = read(fd, buffer, cap);
    int saved_errno = errno;
    close(fd);
    errno = saved_errno;
    return len;
}

void value_read_token_file(struct loader *loader, const struct key *key, const struct node *node,
                           void *base)
{
    struct str path;
    char buffer[TOKEN_BYTES];
    if (!value_scalar(loader, key_name(key), node, &path))
        return;
    ssize_t len = read_small_file(path.ptr, buffer, sizeof(buffer));
    if (len < 0) {
        problem_add(&loader->problems, node->mark,
                    "%s: \"%s\" cannot be read: %s; make it readable for this user, or correct "
                    "the path",
                    key_name(key), QUOTED(path), strerror(errno));
        return;
    }
    struct str token = str_of(buffer, (size_t)len);
    while (token.len > 0 && isspace((unsigned char)token.ptr[token.len - 1]))
        token.len--;
    while (token.len > 0 && isspace((unsigned char)token.ptr[0]))
        token = str_of(token.ptr + 1, token.len - 1);
    bool good = token.len > 0 && (size_t)len < sizeof(buffer);
    for (size_t i = 0; good && i < token.len; i++)
        good = token.ptr[i] > 0x20 && token.ptr[i] < 0x7f;
    if (good)
        *(const char **)key_field(key, base) = conf_arena_text(&loader->conf->arena, token);
    else
        value_complain(loader, key, node,
                       "holds no token; write one line of letters, digits and signs into it");
}

void value_print_token_file(const struct key *key, const void *base, FILE *out)
{
    fputs(*(const char *const *)key_const_field(key, base) ? "(set)" : "(none)", out);
}

static bool is_host_header(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!isalnum((unsigned char)text.ptr[i]) && !strchr("-._~:[]", text.ptr[i]))
            return false;
    }
    return text.len < 256;
}

void value_read_upstream_host(struct loader *loader, const struct key *key, const struct node *node,
                              void *base)
{
    struct conf_upstream *upstream = base;
    struct str text;
    if (!value_scalar(loader, key_name(key), node, &text))
        return;
    upstream->host_literal = NULL;
    if (str_equal(text, STR("client"))) {
        upstream->host = CONF_HOST_CLIENT;
    } else if (str_equal(text, STR("origin"))) {
        upstream->host = CONF_HOST_ORIGIN;
    } else if (is_host_header(text)) {
        upstream->host = CONF_HOST_LITERAL;
        upstream->host_literal = conf_arena_text(&loader->conf->arena, text);
    } else {
        value_complain(loader, key, node,
                       "is not a host; write client, origin, or a host such as api.example.com");
    }
}

void value_print_upstream_host(const struct key *key, const void *base, FILE *out)
{
    const struct conf_upstream *upstream = base;
    (void)key;
    switch (upstream->host) {
    case CONF_HOST_CLIENT:
        fputs("client", out);
        break;
    case CONF_HOST_ORIGIN:
        fputs("origin", out);
        break;
    case CONF_HOST_LITERAL:
        fputs(upstream->host_literal, out);
        break;
    }
}

/* ---- lists ---- */

bool value_list(struct loader *loader, const struct key *key, const struct node *node,
                const char *example)
{
    if (node->kind == NODE_BAD)
        return false;
    if (node->kind != NODE_SEQUENCE)
        problem_add(&loader->problems, node->mark, "%s takes a list; write %s: %s", key_name(key),
                    key_name(key), example);
    else if (node->count > LIST_MAX)
        problem_add(&loader->problems, node->mark, "%s has more than %d elements; write fewer",
                    key_name(key), LIST_MAX);
    else
        return true;
    return false;
}

void value_read_servers(struct loader *loader, const struct key *key, const struct node *node,
                        void *base)
{
    struct conf_upstream *upstream = base;
    struct arena *arena = &loader->conf->arena;
    if (!value_list(loader, key, node, "[\"http://127.0.0.1:9000\"]"))
        return;
    if (node->count == 0)
        problem_add(&loader->problems, node->mark,
                    "servers is empty; name at least one, such as \"http://127.0.0.1:9000\"");
    upstream->servers = conf_arena_alloc(arena, node->count * sizeof(*upstream->servers));
    for (const struct node_entry *entry = node->first; entry; entry = entry->next) {
        struct str text;
        const char *why;
        if (!value_scalar(loader, "a server", entry->value, &text))
            continue;
        if (address_parse_server(arena, text, &upstream->servers[upstream->servers_count], NULL,
                                 &why))
            upstream->servers_count++;
        else
            value_complain(loader, key, entry->value, why);
    }
}

void value_print_servers(const struct key *key, const void *base, FILE *out)
{
    const struct conf_upstream *upstream = base;
    (void)key;
    fputc('[', out);
    for (unsigned i = 0; i < upstream->servers_count; i++)
        fprintf(out, "%s%s", i > 0 ? ", " : "", upstream->servers[i].url);
    fputc(']', out);
}

void value_read_methods(struct loader *loader, const struct key *key, const struct node *node,
                        void *base)
{
    if (!value_list(loader, key, node, "[GET]"))
        return;
    for (const struct node_entry *entry = node->first; entry; entry = entry->next) {
        struct str text;
        const char *why;
        if (value_scalar(loader, "a method", entry->value, &text) &&
            !route_parse_method(&loader->conf->arena, text, base, &why))
            value_complain(loader, key, entry->value, why);
    }
}

void value_print_methods(const struct key *key, const void *base, FILE *out)
{
    const struct conf_route *route = base;
    const char *separator = "";
    (void)key;
    fputc('[', out);
    for (int method = METHOD_OTHER + 1; method < METHODS; method++) {
        struct str name = method_name((enum method)method);
        if (route->methods & 1u << method) {
            fprintf(out, "%s%.*s", separator, (int)name.len, name.ptr);
            separator = ", ";
        }
    }
    for (unsigned i = 0; i < route->other_methods_count; i++) {
        fprintf(out, "%s%s", separator, route->other_methods[i].ptr);
        separator = ", ";
    }
    fputc(']', out);
}

void value_read_networks(struct loader *loader, const struct key *key, const struct node *node,
                         void *base)
{
    struct conf_route_cache *cache = &((struct conf_route *)base)->cache;
    struct arena *arena = &loader->conf->arena;
    if (!value_list(loader, key, node, "[\"10.0.0.0/8\", \"::1\"]") || node->count == 0)
        return;
    cache->purge_from = conf_arena_alloc(arena, node->count * sizeof(*cache->purge_from));
    for (const struct node_entry *entry = node->first; entry; entry = entry->next) {
        struct str text;
        const char *why;
        if (!value_scalar(loader, "a network", entry->value, &text))
            continue;
        if (address_parse_network(arena, text, &cache->purge_from[cache->purge_from_count], &why))
            cache->purge_from_count++;
        else
            value_complain(loader, key, entry->value, why);
    }
}

void value_print_networks(const struct key *key, const void *base, FILE *out)
{
    const struct conf_route_cache *cache = &((const struct conf_route *)base)->cache;
    (void)key;
    fputc('[', out);
    for (unsigned i = 0; i < cache->purge_from_count; i++)
        fprintf(out, "%s\"%s\"", i > 0 ? ", " : "", cache->purge_from[i].text);
    fputc(']', out);
}

/* ---- routes ---- */

void value_read_route_host(struct loader *loader, const struct key *key, const struct node *node,
                           void *base)
{
    struct str text;
    const char *why;
    if (value_scalar(loader, key_name(key), node, &text) &&
        !route_parse_host(&loader->conf->arena, text, base, &why))
        value_complain(loader, key, node, why);
}

void value_print_route_host(const struct key *key, const void *base, FILE *out)
{
    const struct conf_route *route = base;
    if (route->host)
        fprintf(out, "%s%s", route->host_suffix ? "*" : "", route->host);
    else
        fputs(key->default_text, out);
}

void value_read_route_path(struct loader *loader, const struct key *key, const struct node *node,
                           void *base)
{
    struct str text;
    const char *why;
    if (value_scalar(loader, key_name(key), node, &text) &&
        !route_parse_path(&loader->conf->arena, text, base, &why))
        value_complain(loader, key, node, why);
}

void value_print_route_path(const struct key *key, const void *base, FILE *out)
{
    const struct conf_route *route = base;
    if (route->path)
        fputs(route->path_len > 0 ? route->path : "/", out);
    else
        fputs(key->default_text, out);
}

/* Only noted: upstreams may come later in the file than routes. */
void value_read_upstream(struct loader *loader, const struct key *key, const struct node *node,
                         void *base)
{
    struct route_note *note = &loader->routes[((const struct conf_route *)base)->index];
    note->upstream_mark = node->mark;
    if (!value_scalar(loader, key_name(key), node, &note->upstream))
        note->bad = true;
}

void value_print_upstream(const struct key *key, const void *base, FILE *out)
{
    (void)key;
    fputs(((const struct conf_route *)base)->upstream->name, out);
}
