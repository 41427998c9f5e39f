/*
 * names: the addresses of a server that is given by name.
 *
 * Main thread only; the addresses it finds are published under the server's lock. A name is
 * looked up when the pool is made, again when its TTL ends, and after a failure with a growing
 * pause; the last good answer is kept meanwhile. What is due is started by the sweep, once a
 * second, so that `now` comes in here as everywhere. A lookup owns itself until its answer
 * comes, because the resolver cannot take one back.
 *
 *   pending --answer--> known --failure--> known (old addresses)
 *   pending --failure--> unknown: refused at once --answer--> known
 */
#include "pool/server.h"

#include <arpa/inet.h>
#include <stdlib.h>

#define TTL_MIN_MS 1000
#define TTL_MAX_MS (3600 * 1000)
#define PAUSE_MIN_MS 1000
#define PAUSE_MAX_MS 30000

/* False when it is no IP address. */
static bool format_address(struct pool_address *out, const struct sockaddr_storage *socket)
{
    *out = (struct pool_address){.socket = *socket};
    char host[INET6_ADDRSTRLEN];
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)socket;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)socket;
    struct appender text = appender_on(out->text, sizeof(out->text) - 1);
    if (socket->ss_family == AF_INET) {
        out->len = sizeof(*v4);
        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
        append_fmt(&text, "%s:%u", host, ntohs(v4->sin_port));
    } else if (socket->ss_family == AF_INET6) {
        out->len = sizeof(*v6);
        inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
        append_fmt(&text, "[%s]:%u", host, ntohs(v6->sin6_port));
    } else {
        return false;
    }
    append_lit(&text, "\0");
    append(&text, host, strlen(host) + 1);
    return true;
}

static bool lists_address(const struct pool_address *list, unsigned count, const char *text)
{
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(list[i].text, text) == 0)
            return true;
    }
    return false;
}

/* Order apart. */
static bool same_addresses(const struct pool_address *a, unsigned a_count,
                           const struct pool_address *b, unsigned b_count)
{
    if (a_count != b_count)
        return false;
    for (unsigned i = 0; i < a_count; i++) {
        if (!lists_address(b, b_count, a[i].text))
            return false;
    }
    return true;
}

/* Returns how many different ones there are. */
static unsigned format_addresses(struct pool_address *out, const struct sockaddr_storage *sockets,
                                 unsigned count)
{
    unsigned written = 0;
    for (unsigned i = 0; i < count && written < NET_NAME_ADDRESSES; i++) {
        if (format_address(&out[written], &sockets[i]) &&
            !lists_address(out, written, out[written].text))
            written++;
    }
    return written;
}

/* An answer in another order changes nothing: leases remember which addresses they have tried. */
static void publish(struct pool_server *server, const struct pool_address *found, unsigned count)
{
    pthread_mutex_lock(&server->lock);
    server->name_pending = false;
    if (count > 0 && !same_addresses(server->addresses, server->addresses_count, found, count)) {
        memcpy(server->addresses, found, count * sizeof(*found));
        server->addresses_count = count;
        server->addresses_version++;
    }
    pthread_mutex_unlock(&server->lock);
}

static int64_t pause_ms(unsigned failures)
{
    int64_t pause = PAUSE_MIN_MS;
    while (--failures > 0 && pause < PAUSE_MAX_MS)
        pause *= 2;
    return pause < PAUSE_MAX_MS ? pause : PAUSE_MAX_MS;
}

static int64_t bounded_ttl_ms(unsigned ttl_s)
{
    int64_t ttl_ms = (int64_t)ttl_s * 1000;
    if (ttl_ms < TTL_MIN_MS)
        return TTL_MIN_MS;
    return ttl_ms < TTL_MAX_MS ? ttl_ms : TTL_MAX_MS;
}

/* A lookup has ended. */
static void conclude(struct pool_server *server, const struct sockaddr_storage *sockets,
                     unsigned count, unsigned ttl_s, const char *why)
{
    static struct log_kind failed = {.level = LOG_WARN_LEVEL, .what = "looking up names"};
    struct pool_address found[NET_NAME_ADDRESSES];
    unsigned found_count = format_addresses(found, sockets, count);
    int64_t wait_ms;
    if (found_count > 0) {
        server->lookup_failures = 0;
        wait_ms = bounded_ttl_ms(ttl_s);
    } else {
        wait_ms = pause_ms(++server->lookup_failures);
        log_write_paced(
            &failed, server->pool->clock_ms(),
            "upstream %s: looking up %s: %s; %s, trying again in %lld s", server->upstream->name,
            server->conf->address.host, why != NULL ? why : "no IP address in the answer",
            server->addresses_count > 0 ? "keeping the addresses known" : "answering 502 for it",
            (long long)(wait_ms / 1000));
    }
    server->lookup_due_ms = server->pool->clock_ms() + wait_ms;

    bool first = server->name_pending;
    publish(server, found, found_count);
    if (first)
        atomic_fetch_sub(&server->pool->names_pending, 1);
    server_wake_queue(server);
}

static void on_resolved(void *arg, const struct sockaddr_storage *sockets, unsigned count,
                        unsigned ttl_s, const char *why)
{
    struct name_lookup *lookup = arg;
    struct pool_server *server = lookup->server;
    free(lookup);
    if (server == NULL)
        return;
    weir_check_magic(server, POOL_SERVER_MAGIC);
    server->lookup = NULL;
    conclude(server, sockets, count, ttl_s, why);
}

static void look_up(struct pool_server *server)
{
    struct name_lookup *lookup = malloc(sizeof(*lookup));
    if (lookup == NULL) {
        conclude(server, NULL, 0, 0, "out of memory");
        return;
    }
    lookup->server = server;
    server->lookup = lookup;
    server->lookup_due_ms = WHEEL_NEVER;
    net_resolve(server->pool->resolver, server->conf->address.host, server->conf->address.port,
                on_resolved, lookup);
}

void names_start(struct pool_server *server)
{
    server->lookup_due_ms = WHEEL_NEVER;
    if (!server_is_name(server))
        return;
    server->addresses = base_alloc_zero(NET_NAME_ADDRESSES * sizeof(*server->addresses));
    server->name_pending = true;
    atomic_fetch_add(&server->pool->names_pending, 1);
    look_up(server);
}

void names_refresh(struct pool_server *server, int64_t now_ms)
{
    if (now_ms >= server->lookup_due_ms)
        look_up(server);
}

void names_stop(struct pool_server *server)
{
    if (server->lookup != NULL)
        server->lookup->server = NULL;
    free(server->addresses);
}
