/*
 * admin, from inside: what the files of this folder share. Everyone else sees proxy/proxy.h. All of
 * it belongs to the main thread.
 */
#ifndef WEIR_PROXY_ADMIN_H
#define WEIR_PROXY_ADMIN_H

#include "proxy/proxy.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/listener.h>

struct admin_clock;
struct admin_pprof;
struct admin_purger;

struct admin {
    unsigned magic;
    struct weir *weir; /* borrowed */
    struct evhttp *http;
    struct evconnlistener *listener; /* http's */
    struct event *resume;            /* accepting goes on after a pause */
    struct admin_clock *clock;       /* owned; NULL without a test clock */
    struct admin_pprof *pprof;       /* owned */
    struct admin_purger *purger;     /* owned */
    char bound_text[CONF_ADDRESS_TEXT];
};

/* ---- answers (admin.c) ---- */

#define ADMIN_JSON "application/json"
#define ADMIN_TEXT "text/plain; charset=utf-8"

/* Of every answer; for one that is not sent by the functions below. */
void admin_set_fields(struct evhttp_request *req, const char *type);
void admin_reply(struct evhttp_request *req, int status, const char *type, const char *text);
/* The same with the bytes of a buffer, which is empty then. */
void admin_reply_buffer(struct evhttp_request *req, int status, const char *type,
                        struct evbuffer *body);
/* {"error": "..."}; printf. */
void admin_reply_error(struct evhttp_request *req, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- who may ask for what: pure (guard.c) ---- */

/* Whether a Host field's value names this machine itself: localhost, 127.x.x.x or [::1], with or
 * without a port. */
bool admin_host_is_loopback(const char *host);
/* Whether an Origin field's value is that of a page which the same Host has served. */
bool admin_origin_is_own(const char *origin, const char *host);
/* Whether an Authorization field's value carries the token; its time does not tell how much of it
 * was right. */
bool admin_token_matches(const char *authorization, const char *token);
/* Loopback addresses and unix sockets. */
bool admin_peer_is_local(const struct sockaddr *peer);

/* A query's only parameter, decoded; the caller frees it. NULL with *why set (static text) when it
 * is missing, repeated, empty or not alone. */
char *admin_only_parameter(const char *query, const char *name, const char **why);

/* What POST /purge asks for. */
struct admin_purge_order {
    enum admin_purge_what {
        ADMIN_PURGE_URL,
        ADMIN_PURGE_PREFIX,
        ADMIN_PURGE_TAG,
        ADMIN_PURGE_ALL
    } what;
    char *value; /* decoded; the caller frees it */
    bool soft;
};
const char *admin_purge_word(enum admin_purge_what what);
/* False with *why set (static text) when the query does not name one thing, and nothing else. */
bool admin_purge_read(const char *query, struct admin_purge_order *out, const char **why);

/* ---- endpoints ---- */

void admin_metrics(struct admin *admin, struct evhttp_request *req);
struct admin_purger *admin_purger_new(struct admin *admin);
/* Those who wait are told that it has ended. */
void admin_purger_free(struct admin_purger **purger);
void admin_purge(struct admin *admin, struct evhttp_request *req);
struct admin_clock *admin_clock_new(struct weir *weir);
void admin_clock_free(struct admin_clock **clock);
void admin_clock_advance(struct admin *admin, struct evhttp_request *req);

struct admin_pprof *admin_pprof_new(struct weir *weir);
/* Ends the profile that is being taken, with what it has. */
void admin_pprof_free(struct admin_pprof **pprof);
void admin_pprof_index(struct admin *admin, struct evhttp_request *req);
void admin_pprof_profile(struct admin *admin, struct evhttp_request *req);
void admin_pprof_heap(struct admin *admin, struct evhttp_request *req);
void admin_pprof_flamegraph(struct admin *admin, struct evhttp_request *req);
void admin_pprof_cmdline(struct admin *admin, struct evhttp_request *req);
void admin_pprof_symbol(struct admin *admin, struct evhttp_request *req);

#endif
