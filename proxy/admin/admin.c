/*
 * The admin port: evhttp on the main thread's loop.
 *
 * Opened and closed by run.c. It owns the evhttp server with its connections; the data path knows
 * nothing of it and never waits for it. A request goes past the guard (guard.c) to its row in the
 * table of endpoints. evhttp limits heads, bodies and time, but not how many connections there are,
 * and it would spin when descriptors are out: accepting pauses here in both cases.
 */
#include "proxy/admin/admin.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ADMIN_MAGIC 0x41444d4eu
#define HEAD_BYTES (16 * 1024)
#define BODY_BYTES (256 * 1024) /* /debug/pprof/symbol: all addresses of a profile at once */
#define TIMEOUT_S 10
#define MOST_CONNECTIONS 64
#define PAUSE_US 500000
#define ERROR_BYTES 1024

enum allowed {
    GET_AND_HEAD,
    GET,
    GET_AND_POST,
    POST
};

static const struct {
    unsigned commands;
    const char *text;
} allowed_methods[] = {
    [GET_AND_HEAD] = {EVHTTP_REQ_GET | EVHTTP_REQ_HEAD, "GET, HEAD"},
    [GET] = {EVHTTP_REQ_GET, "GET"},
    [GET_AND_POST] = {EVHTTP_REQ_GET | EVHTTP_REQ_POST, "GET, POST"},
    [POST] = {EVHTTP_REQ_POST, "POST"},
};

struct endpoint {
    const char *path;
    enum allowed allowed;
    bool open; /* to everyone who reaches the port */
    void (*handle)(struct admin *admin, struct evhttp_request *req);
};

/* ---- answers ---- */

void admin_set_fields(struct evhttp_request *req, const char *type)
{
    struct evkeyvalq *fields = evhttp_request_get_output_headers(req);

    evhttp_add_header(fields, "Content-Type", type);
    evhttp_add_header(fields, "Cache-Control", "no-store");
    evhttp_add_header(fields, "X-Content-Type-Options", "nosniff");
}

void admin_reply_buffer(struct evhttp_request *req, int status, const char *type,
                        struct evbuffer *body)
{
    admin_set_fields(req, type);
    evhttp_send_reply(req, status, http1_reason((unsigned)status).ptr, body);
}

void admin_reply(struct evhttp_request *req, int status, const char *type, const char *text)
{
    struct evbuffer *body = evhttp_request_get_output_buffer(req);

    if (evbuffer_add(body, text, strlen(text)) != 0)
        status = 503; /* for want of memory: no empty answer is taken for the right one */
    admin_reply_buffer(req, status, type, NULL);
}

void admin_reply_error(struct evhttp_request *req, int status, const char *format, ...)
{
    char message[ERROR_BYTES], body[6 * ERROR_BYTES + 32];
    struct appender out = appender_on(body, sizeof(body) - 1);
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    append_lit(&out, "{\"error\": \"");
    append_json(&out, str_from(message));
    append_lit(&out, "\"}\n");
    weir_assert(!out.overflow);
    body[out.len] = '\0';
    admin_reply(req, status, ADMIN_JSON, body);
}

/* ---- endpoints ---- */

static void reply_index(struct admin *admin, struct evhttp_request *req)
{
    (void)admin;
    admin_reply(
        req, 200, ADMIN_TEXT,
        "weir admin port\n\n"
        "GET  /stats              counters, as JSON\n"
        "GET  /metrics            the same and histograms, for Prometheus\n"
        "GET  /healthz, /readyz   200, or 503 while starting or draining\n"
        "POST /purge?url=URL      forget one URL, every variant of it; ?prefix=URL, ?tag=TAG,\n"
        "                         ?all=1; with &soft=1 it stays, and is stale\n"
        "GET  /debug/pprof/       profiles of CPU and memory, for browsers and go tool pprof\n");
}

static void reply_stats(struct admin *admin, struct evhttp_request *req)
{
    char *text = admin_stats_json(admin->weir);

    if (text)
        admin_reply(req, 200, ADMIN_JSON, text);
    else
        admin_reply_error(req, 500, "the counters do not fit into memory");
    free(text);
}

static void reply_health(struct admin *admin, struct evhttp_request *req)
{
    switch (atomic_load(&admin->weir->phase)) {
    case WEIR_RUNNING:
        admin_reply(req, 200, ADMIN_TEXT, "ok\n");
        return;
    case WEIR_STARTING:
        admin_reply(req, 503, ADMIN_TEXT, "starting\n");
        return;
    case WEIR_DRAINING:
    case WEIR_STOPPED:
        admin_reply(req, 503, ADMIN_TEXT, "draining\n");
        return;
    }
}

static const struct endpoint endpoints[] = {
    {"/", GET_AND_HEAD, false, reply_index},
    {"/stats", GET_AND_HEAD, false, reply_stats},
    {"/metrics", GET_AND_HEAD, false, admin_metrics},
    {"/healthz", GET_AND_HEAD, true, reply_health},
    {"/readyz", GET_AND_HEAD, true, reply_health},
    {"/purge", POST, false, admin_purge},
    {"/debug/pprof", GET_AND_HEAD, false, admin_pprof_index},
    {"/debug/pprof/", GET_AND_HEAD, false, admin_pprof_index},
    {"/debug/pprof/profile", GET, false, admin_pprof_profile},
    {"/debug/pprof/heap", GET, false, admin_pprof_heap},
    {"/debug/pprof/flamegraph", GET, false, admin_pprof_flamegraph},
    {"/debug/pprof/cmdline", GET, false, admin_pprof_cmdline},
    {"/debug/pprof/symbol", GET_AND_POST, false, admin_pprof_symbol},
};
static const struct endpoint test_clock_endpoint = {"/test/clock", POST, false,
                                                    admin_clock_advance};

static const struct endpoint *find_endpoint(const struct admin *admin, const char *path)
{
    for (size_t i = 0; i < weir_count(endpoints); i++)
        if (strcmp(endpoints[i].path, path) == 0)
            return &endpoints[i];
    return admin->clock && strcmp(test_clock_endpoint.path, path) == 0 ? &test_clock_endpoint
                                                                       : NULL;
}

/* ---- one request ---- */

static bool only_reads(struct evhttp_request *req)
{
    enum evhttp_cmd_type command = evhttp_request_get_command(req);

    return command == EVHTTP_REQ_GET || command == EVHTTP_REQ_HEAD;
}

/* True when it may go on; otherwise it has been answered. */
static bool pass_guard(const struct admin *admin, struct evhttp_request *req)
{
    const char *token = admin->weir->conf->admin_token;
    struct evkeyvalq *fields = evhttp_request_get_input_headers(req);
    const char *host = evhttp_find_header(fields, "Host"),
               *origin = evhttp_find_header(fields, "Origin");
    struct evhttp_connection *connection = evhttp_request_get_connection(req);

    if (token) {
        const char *sent = evhttp_find_header(fields, "Authorization");

        if (admin_token_matches(sent, token))
            return true;
        evhttp_add_header(evhttp_request_get_output_headers(req), "WWW-Authenticate",
                          "Bearer realm=\"weir\"");
        admin_reply_error(
            req, 401,
            sent ? "this is not the token of admin.token_file"
                 : "send the token of admin.token_file as Authorization: Bearer TOKEN");
        return false;
    }
    if (!connection || !admin_peer_is_local(evhttp_connection_get_addr(connection))) {
        admin_reply_error(req, 403,
                          "without admin.token_file only clients on this machine are served");
        return false;
    }
    if (!only_reads(req) && !admin_host_is_loopback(host)) {
        admin_reply_error(req, 403,
                          "a change must be sent with a loopback Host, such as localhost");
        return false;
    }
    if (!only_reads(req) && origin && !admin_origin_is_own(origin, host)) {
        admin_reply_error(req, 403, "a web page from elsewhere may change nothing here");
        return false;
    }
    return true;
}

static void on_request(struct evhttp_request *req, void *arg)
{
    struct admin *admin = arg;
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
    const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
    const struct endpoint *endpoint;

    weir_check_magic(admin, ADMIN_MAGIC);
    endpoint = find_endpoint(admin, path && *path ? path : "/");
    if (!(endpoint && endpoint->open) && !pass_guard(admin, req))
        return;
    if (!endpoint) {
        admin_reply_error(req, 404, "there is no such page; GET / lists those there are");
    } else if (!(evhttp_request_get_command(req) & allowed_methods[endpoint->allowed].commands)) {
        const char *allowed = allowed_methods[endpoint->allowed].text;

        evhttp_add_header(evhttp_request_get_output_headers(req), "Allow", allowed);
        admin_reply_error(req, 405, "%s takes %s", endpoint->path, allowed);
    } else {
        endpoint->handle(admin, req);
    }
}

/* ---- connections ---- */

/* Twice a second: accepting may go on. */
static void on_resume(evutil_socket_t fd, short what, void *arg)
{
    struct admin *admin = arg;

    (void)fd, (void)what;
    weir_check_magic(admin, ADMIN_MAGIC);
    evconnlistener_enable(admin->listener);
}

static int count_event(const struct event_base *base, const struct event *event, void *arg)
{
    (void)base;
    *(unsigned *)arg +=
        event_get_fd(event) >= 0 && (event_get_events(event) & (EV_READ | EV_WRITE)) != 0;
    return 0;
}

/* evhttp tells of a connection only when it asks for something; the loop knows of all. What else
 * the main thread waits for is a handful, and counts as well. */
static struct bufferevent *on_connection(struct event_base *base, void *arg)
{
    struct admin *admin = arg;
    unsigned waiting = 0;

    weir_check_magic(admin, ADMIN_MAGIC);
    event_base_foreach_event(base, count_event, &waiting);
    if (waiting >= MOST_CONNECTIONS)
        evconnlistener_disable(admin->listener);
    return bufferevent_socket_new(base, -1, 0);
}

static void on_accept_error(struct evconnlistener *listener, void *http)
{
    static struct log_kind paused = {.level = LOG_WARN_LEVEL,
                                     .what = "admin: accepting connections"};

    (void)http;
    log_write_paced(&paused, worker_mono_ms(),
                    "admin: accepting a connection: %s; pausing for a moment", strerror(errno));
    evconnlistener_disable(listener);
}

/* ---- opening ---- */

static void tell_bound(struct admin *admin, struct conf_address *bound)
{
    const char *host = bound->host;

    if (bound->kind == CONF_ADDRESS_UNIX)
        snprintf(admin->bound_text, sizeof(admin->bound_text), "%s", bound->text);
    else
        snprintf(admin->bound_text, sizeof(admin->bound_text),
                 strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, bound->port);
    bound->text = admin->bound_text;
}

/* Consumes fd. */
static bool listen_on(struct admin *admin, int fd)
{
    const struct timeval pause = {0, PAUSE_US};
    struct evconnlistener *listener = evconnlistener_new(
        admin->weir->base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);

    if (!listener) {
        close(fd);
        return false;
    }
    if (!evhttp_bind_listener(admin->http, listener)) {
        evconnlistener_free(listener);
        return false;
    }
    admin->listener = listener;
    evconnlistener_set_error_cb(listener, on_accept_error);
    return event_add(admin->resume, &pause) == 0;
}

static void set_limits(struct admin *admin)
{
    struct evhttp *http = admin->http;

    evhttp_set_max_headers_size(http, HEAD_BYTES);
    evhttp_set_max_body_size(http, BODY_BYTES);
    evhttp_set_timeout(http, TIMEOUT_S);
    evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST |
                                         EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS |
                                         EVHTTP_REQ_PATCH);
    evhttp_set_bevcb(http, on_connection, admin);
    evhttp_set_gencb(http, on_request, admin);
}

struct admin *admin_open(struct weir *weir, const char **why)
{
    struct admin *admin = base_alloc_zero(sizeof(*admin));
    int fd;

    admin->magic = ADMIN_MAGIC;
    admin->weir = weir;
    memset(&weir->admin_bound, 0, sizeof(weir->admin_bound));
    *why = "out of memory";
    admin->http = evhttp_new(weir->base);
    admin->resume = event_new(weir->base, -1, EV_PERSIST, on_resume, admin);
    fd = net_listen(&weir->conf->admin, &weir->admin_bound);
    if (fd < 0)
        *why = strerrordesc_np(errno);
    if (fd < 0 || !admin->http || !admin->resume || !listen_on(admin, fd)) {
        admin_close(&admin);
        return NULL;
    }
    set_limits(admin);
    admin->pprof = admin_pprof_new(weir);
    admin->purger = admin_purger_new(admin);
    tell_bound(admin, &weir->admin_bound);
    if (weir->test_clock && !(admin->clock = admin_clock_new(weir))) {
        *why = "the test clock has no descriptor";
        admin_close(&admin);
    }
    return admin;
}

void admin_close(struct admin **admin)
{
    struct admin *gone = weir_take(admin);

    if (!gone)
        return;
    weir_check_magic(gone, ADMIN_MAGIC);
    if (gone->http) /* the last turn of the loop in admin_pprof_free() serves no other requests */
        evhttp_set_gencb(gone->http, NULL, NULL);
    admin_clock_free(&gone->clock);
    admin_purger_free(&gone->purger);
    admin_pprof_free(&gone->pprof);
    if (gone->resume)
        event_free(gone->resume);
    if (gone->http)
        evhttp_free(gone->http);
    if (gone->weir->conf->admin.kind == CONF_ADDRESS_UNIX && gone->listener)
        unlink(gone->weir->conf->admin.host);
    gone->magic = 0;
    free(gone);
}
