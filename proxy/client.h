/*
 * A small blocking HTTP client over libevent's, for the commands: client.c and demo.c.
 */
#ifndef WEIR_PROXY_CLIENT_H
#define WEIR_PROXY_CLIENT_H

#include "base/base.h"

#include <event2/http.h>

struct client;

struct client_answer {
    unsigned status;
    char *body; /* owned, terminated */
    size_t body_bytes;
    char cache_status[128]; /* the Cache-Status field, or "" */
};

/* Connects with the first request; keeps its connection. NULL when memory is out. One thread. */
struct client *client_new(const char *host, uint16_t port);
void client_free(struct client **client);
/* Sends one request and waits for the whole answer, whose body the caller frees. `token` may be
 * NULL. False with *why set (static text) when there was none. */
bool client_fetch(struct client *client, enum evhttp_cmd_type method, const char *target,
                  const char *token, struct client_answer *answer, const char **why);

#endif
