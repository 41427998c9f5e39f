/*
 * resolver: names to addresses through c-ares, on the main thread's event base.
 *
 * Called by pool/. Owns the c-ares channel, one event for each socket that c-ares has open, and
 * one timer for its timeouts. Main thread only, and so are the callbacks. /etc/hosts is asked
 * first; the name servers are those of /etc/resolv.conf when the resolver was made. A lookup
 * whose name servers do not answer ends after two tries, the second twice as long as the first.
 */
#include "net/net.h"

#include <ares.h>
#include <netdb.h>
#include <stdlib.h>

#define RESOLVER_MAGIC 0x72736c76u

#define TRY_TIMEOUT_MS 2000
#define TRIES 2
/* /etc/hosts has no TTL; nor is an answer with a TTL of 0 worth a lookup a second. */
#define TTL_OF_NONE_S 60

struct net_resolver {
    unsigned magic;
    struct event_base *base; /* borrowed */
    ares_channel channel;    /* owned, as is all below */
    struct event *timer;
    struct list_link watches;
};

/* A socket of c-ares. */
struct watch {
    struct list_link link;
    struct net_resolver *resolver;
    evutil_socket_t fd;
    struct event *event;
};

/* Owned by c-ares's callback. */
struct lookup {
    net_resolved *done;
    void *arg;
    uint16_t port;
};

static void set_timer(struct net_resolver *resolver)
{
    struct timeval wait;
    if (ares_timeout(resolver->channel, NULL, &wait) != NULL)
        evtimer_add(resolver->timer, &wait);
    else
        evtimer_del(resolver->timer);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    struct net_resolver *resolver = arg;
    weir_check_magic(resolver, RESOLVER_MAGIC);
    ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    set_timer(resolver);
}

/* The watch may be gone after ares_process_fd(). */
static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    struct net_resolver *resolver = ((struct watch *)arg)->resolver;
    weir_check_magic(resolver, RESOLVER_MAGIC);
    ares_process_fd(resolver->channel, what & EV_READ ? fd : ARES_SOCKET_BAD,
                    what & EV_WRITE ? fd : ARES_SOCKET_BAD);
    set_timer(resolver);
}

static struct watch *find_watch(struct net_resolver *resolver, evutil_socket_t fd)
{
    struct list_link *head = &resolver->watches;
    for (struct list_link *link = head->next; link != head; link = link->next) {
        struct watch *watch = weir_container(link, struct watch, link);
        if (watch->fd == fd)
            return watch;
    }
    return NULL;
}

static void free_watch(struct watch *watch)
{
    list_remove(&watch->link);
    if (watch->event != NULL)
        event_free(watch->event);
    free(watch);
}

static bool start_watch(struct watch *watch, struct net_resolver *resolver, ares_socket_t fd,
                        int readable, int writable)
{
    short what = EV_PERSIST | (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0);
    watch->resolver = resolver;
    watch->fd = fd;
    list_push_back(&resolver->watches, &watch->link);
    watch->event = event_new(resolver->base, fd, what, on_socket, watch);
    return watch->event != NULL && event_add(watch->event, NULL) == 0;
}

/* c-ares wants to know when a socket is readable or writable; neither: it is about to close it. */
static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct net_resolver *resolver = arg;
    weir_check_magic(resolver, RESOLVER_MAGIC);
    struct watch *watch = find_watch(resolver, fd);
    if (watch != NULL)
        free_watch(watch);
    if (!readable && !writable)
        return;

    /* Without the event the lookup ends with c-ares's timeout. */
    watch = calloc(1, sizeof(*watch));
    if (watch == NULL || !start_watch(watch, resolver, fd, readable, writable))
        log_error("watching a socket to a name server failed; its answers will be missed");
}

struct net_resolver *net_resolver_new(struct event_base *base, const char **why)
{
    int status = ares_library_init(ARES_LIB_INIT_ALL);
    if (status != ARES_SUCCESS) {
        *why = ares_strerror(status);
        return NULL;
    }
    struct net_resolver *resolver = base_alloc_zero(sizeof(*resolver));
    resolver->magic = RESOLVER_MAGIC;
    resolver->base = base;
    list_init(&resolver->watches);
    resolver->timer = evtimer_new(base, on_timer, resolver);

    struct ares_options options = {
        .timeout = TRY_TIMEOUT_MS,
        .tries = TRIES,
        .lookups = (char[]){"fb"},
        .sock_state_cb = on_socket_state,
        .sock_state_cb_data = resolver,
    };
    int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB;
    status = resolver->timer != NULL ? ares_init_options(&resolver->channel, &options, mask)
                                     : ARES_ENOMEM;
    if (status == ARES_SUCCESS)
        return resolver;

    *why = ares_strerror(status);
    if (resolver->timer != NULL)
        event_free(resolver->timer);
    free(resolver);
    ares_library_cleanup();
    return NULL;
}

void net_resolver_free(struct net_resolver **from)
{
    struct net_resolver *resolver = weir_take(from);
    weir_check_magic(resolver, RESOLVER_MAGIC);
    /* Ends every lookup under way with a failure, and closes the sockets. */
    ares_destroy(resolver->channel);
    weir_assert(list_empty(&resolver->watches));
    event_free(resolver->timer);
    resolver->magic = 0;
    free(resolver);
    ares_library_cleanup();
}

/* Returns how many addresses there are; *ttl_s is the shortest TTL. */
static unsigned collect(const struct ares_addrinfo *result, uint16_t port,
                        struct sockaddr_storage *addresses, unsigned *ttl_s)
{
    unsigned count = 0;
    *ttl_s = 0;
    const struct ares_addrinfo_node *node = result->nodes;
    for (; node != NULL && count < NET_NAME_ADDRESSES; node = node->ai_next) {
        struct sockaddr_storage *address = &addresses[count];
        memset(address, 0, sizeof(*address));
        if (node->ai_family == AF_INET) {
            memcpy(address, node->ai_addr, sizeof(struct sockaddr_in));
            ((struct sockaddr_in *)address)->sin_port = htons(port);
        } else if (node->ai_family == AF_INET6) {
            memcpy(address, node->ai_addr, sizeof(struct sockaddr_in6));
            ((struct sockaddr_in6 *)address)->sin6_port = htons(port);
        } else {
            continue;
        }
        unsigned node_ttl_s = node->ai_ttl > 0 ? (unsigned)node->ai_ttl : TTL_OF_NONE_S;
        if (count == 0 || node_ttl_s < *ttl_s)
            *ttl_s = node_ttl_s;
        count++;
    }
    return count;
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *result)
{
    (void)timeouts;
    struct lookup lookup = *(struct lookup *)arg;
    free(arg);

    struct sockaddr_storage addresses[NET_NAME_ADDRESSES];
    unsigned count = 0, ttl_s = 0;
    if (status == ARES_SUCCESS && result != NULL)
        count = collect(result, lookup.port, addresses, &ttl_s);
    if (result != NULL)
        ares_freeaddrinfo(result);
    const char *why = NULL;
    if (count == 0)
        why = ares_strerror(status != ARES_SUCCESS ? status : ARES_ENODATA);
    lookup.done(lookup.arg, addresses, count, ttl_s, why);
}

void net_resolve(struct net_resolver *resolver, const char *host, uint16_t port, net_resolved *done,
                 void *arg)
{
    weir_check_magic(resolver, RESOLVER_MAGIC);
    struct lookup *lookup = malloc(sizeof(*lookup));
    if (lookup == NULL) {
        done(arg, NULL, 0, 0, "out of memory");
        return;
    }
    *lookup = (struct lookup){done, arg, port};
    /* Addresses are used in turn, so that sorting them (RFC 6724 §6) would only cost sockets. */
    struct ares_addrinfo_hints hints = {
        .ai_flags = ARES_AI_NOSORT,
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
    };
    ares_getaddrinfo(resolver->channel, host, NULL, &hints, on_answer, lookup);
    set_timer(resolver);
}
