/*
 * `weir demo`: a sample API that takes its time, Weir in front of it, and what that is worth.
 *
 * Called by main.c. Three threads: Weir's main thread runs weir_run() as `weir run` does; the API
 * (evhttp, a base of its own) runs on another; a third fetches one URL directly, cold and warm when
 * Weir is ready. The threads meet at eventfds only. On a terminal Weir then serves until Ctrl-C,
 * otherwise the third thread ends it.
 */
#include "proxy/client.h"
#include "proxy/options.h"
#include "proxy/proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event_struct.h>
#include <event2/keyvalq_struct.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define DELAY_MS 200
#define LISTEN_PORT 8080
#define ADMIN_PORT 9180
#define WARM_FETCHES 9
#define SHOWN_TARGET "/products/7"

struct api {
    struct event_base *base;
    struct evhttp *http;
    struct event *stop;
    int stop_fd;
    uint16_t port;
    pthread_t thread;
    struct list_link answers; /* that wait for their time */
};

/* What the showing thread has found. */
struct shown {
    double direct_ms, cold_ms, warm_ms;
    char cold_status[128], warm_status[128]; /* Cache-Status */
    char trouble[512];                       /* "", or what went wrong */
};

struct demo {
    struct api api;
    bool terminal;
    uint16_t weir_port, admin_port; /* set before the showing thread starts */
    bool showing;
    pthread_t show_thread;
    int shown_fd;             /* readable when the showing thread has ended */
    struct event shown_event; /* in Weir's main loop */
    struct weir *weir;        /* borrowed while that loop runs */
    struct shown shown;
    bool failed;
};

/* ==== The sample API ==== */

static const char *const products[] = {"anvil",    "bellows", "chisel", "drill",
                                       "engraver", "file",    "gimlet", "hammer"};

struct answer {
    struct list_link link;
    struct event *timer;
    struct evhttp_request *req;
};

static void append_product(struct evbuffer *out, size_t id)
{
    evbuffer_add_printf(out, "{\"id\": %zu, \"name\": \"%s\", \"price\": %zu.90}", id,
                        products[id - 1], 10 + id * 7);
}

/* Writes the answer into req and returns its status. */
static int make_answer(struct evhttp_request *req, const char *path)
{
    struct evbuffer *out = evhttp_request_get_output_buffer(req);
    struct evkeyvalq *fields = evhttp_request_get_output_headers(req);
    uint64_t id;

    evhttp_add_header(fields, "Content-Type", "application/json");
    if (strcmp(path, "/time") == 0) {
        evhttp_add_header(fields, "Cache-Control", "no-store");
        evbuffer_add_printf(out, "{\"unix_time\": %lld}\n", (long long)time(NULL));
        return 200;
    }
    if (strcmp(path, "/products") == 0) {
        evhttp_add_header(fields, "Cache-Control", "max-age=60");
        for (size_t i = 1; i <= weir_count(products); i++) {
            evbuffer_add_printf(out, i == 1 ? "[" : ",\n ");
            append_product(out, i);
        }
        evbuffer_add_printf(out, "]\n");
        return 200;
    }
    if (strncmp(path, "/products/", 10) == 0 &&
        str_to_u64(str_from(path + 10), weir_count(products), &id) && id > 0) {
        evhttp_add_header(fields, "Cache-Control", "max-age=60");
        append_product(out, id);
        evbuffer_add_printf(out, "\n");
        return 200;
    }
    evbuffer_add_printf(out, "{\"error\": \"no such thing\"}\n");
    return 404;
}

static void free_answer(struct answer *answer)
{
    list_remove(&answer->link);
    if (answer->timer)
        event_free(answer->timer);
    free(answer);
}

static void send_answer(struct evhttp_request *req)
{
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(req));
    int status = make_answer(req, path ? path : "/");

    evhttp_send_reply(req, status, http1_reason((unsigned)status).ptr, NULL);
}

static void on_answer_due(evutil_socket_t fd, short what, void *arg)
{
    struct answer *answer = arg;

    (void)fd, (void)what;
    send_answer(answer->req);
    free_answer(answer);
}

static void on_api_request(struct evhttp_request *req, void *arg)
{
    const struct timeval delay = {0, DELAY_MS * 1000};
    struct api *api = arg;
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(req));
    struct answer *answer;

    /* The front page is there to open connections: what is measured is not the handshake. */
    if (!path || strcmp(path, "/") == 0) {
        evhttp_add_header(evhttp_request_get_output_headers(req), "Cache-Control", "no-store");
        evbuffer_add_printf(evhttp_request_get_output_buffer(req),
                            "/products\n/products/7\n/time\n");
        evhttp_send_reply(req, 200, "OK", NULL);
        return;
    }
    answer = base_alloc_zero(sizeof(*answer));
    answer->req = req;
    answer->timer = evtimer_new(api->base, on_answer_due, answer);
    list_push_back(&api->answers, &answer->link);
    if (!answer->timer || event_add(answer->timer, &delay) != 0) {
        free_answer(answer);
        evhttp_send_error(req, 503, NULL);
    }
}

static void on_api_stop(evutil_socket_t fd, short what, void *arg)
{
    struct api *api = arg;

    (void)fd, (void)what;
    event_base_loopbreak(api->base);
}

static void *api_main(void *arg)
{
    struct api *api = arg;

    pthread_setname_np(pthread_self(), "demo-api");
    event_base_dispatch(api->base);
    return NULL;
}

static bool api_bind(struct api *api)
{
    struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(api->http, "127.0.0.1", 0);
    struct sockaddr_in at;
    socklen_t len = sizeof(at);

    if (!bound || getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&at, &len) != 0)
        return false;
    api->port = ntohs(at.sin_port);
    return true;
}

static bool api_start(struct api *api)
{
    list_init(&api->answers);
    api->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    api->base = event_base_new();
    api->http = api->base ? evhttp_new(api->base) : NULL;
    api->stop = api->http ? event_new(api->base, api->stop_fd, EV_READ, on_api_stop, api) : NULL;
    if (api->stop_fd < 0 || !api->stop || event_add(api->stop, NULL) != 0 || !api_bind(api))
        return false;
    evhttp_set_gencb(api->http, on_api_request, api);
    return (errno = pthread_create(&api->thread, NULL, api_main, api)) == 0;
}

static void api_stop(struct api *api)
{
    uint64_t one = 1;

    weir_assert(write(api->stop_fd, &one, sizeof(one)) == sizeof(one));
    pthread_join(api->thread, NULL);
    while (!list_empty(&api->answers)) {
        struct answer *answer = weir_container(api->answers.next, struct answer, link);

        /* One whose connection has gone belongs to nobody else. */
        evhttp_send_error(answer->req, 503, NULL);
        free_answer(answer);
    }
    event_free(api->stop);
    evhttp_free(api->http);
    event_base_free(api->base);
    close(api->stop_fd);
}

/* ==== What it is worth ==== */

/* One fetch, timed from the request to the last byte. */
static bool fetch(struct shown *shown, struct client *client, const char *target,
                  struct client_answer *answer, double *ms)
{
    int64_t from_us = base_clock_mono_us();
    const char *why;

    if (!client_fetch(client, EVHTTP_REQ_GET, target, NULL, answer, &why)) {
        snprintf(shown->trouble, sizeof(shown->trouble), "fetching %s: %s", target, why);
        return false;
    }
    *ms = (double)(base_clock_mono_us() - from_us) / 1000;
    if (answer->status == 200)
        return true;
    snprintf(shown->trouble, sizeof(shown->trouble), "fetching %s: status %u", target,
             answer->status);
    free(answer->body);
    return false;
}

static int compare_times(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Fetches it through Weir; the body must be the API's own. */
static bool fetch_same(struct shown *shown, struct client *client,
                       const struct client_answer *direct, char status[128], double *ms)
{
    struct client_answer answer;
    bool same;

    if (!fetch(shown, client, SHOWN_TARGET, &answer, ms))
        return false;
    snprintf(status, 128, "%s", answer.cache_status);
    same = answer.body_bytes == direct->body_bytes &&
           memcmp(answer.body, direct->body, answer.body_bytes) == 0;
    free(answer.body);
    if (!same)
        snprintf(shown->trouble, sizeof(shown->trouble),
                 "fetching %s: weir answers something else than the API", SHOWN_TARGET);
    return same;
}

static bool fetch_warm(struct shown *shown, struct client *client,
                       const struct client_answer *direct)
{
    double times[WARM_FETCHES];

    for (unsigned i = 0; i < WARM_FETCHES; i++)
        if (!fetch_same(shown, client, direct, shown->warm_status, &times[i]))
            return false;
    qsort(times, WARM_FETCHES, sizeof(*times), compare_times);
    shown->warm_ms = times[WARM_FETCHES / 2];
    if (strstr(shown->warm_status, "hit"))
        return true;
    snprintf(shown->trouble, sizeof(shown->trouble), "fetching %s again: not from memory: %s",
             SHOWN_TARGET, shown->warm_status);
    return false;
}

static bool open_connection(struct shown *shown, struct client *client)
{
    struct client_answer answer;
    double ms;

    if (!fetch(shown, client, "/", &answer, &ms))
        return false;
    free(answer.body);
    return true;
}

/* All three over connections that are open already. */
static bool measure(struct shown *shown, struct client *api, struct client *weir)
{
    struct client_answer direct;
    bool good;

    if (!open_connection(shown, api) || !open_connection(shown, weir) ||
        !fetch(shown, api, SHOWN_TARGET, &direct, &shown->direct_ms))
        return false;
    good = fetch_same(shown, weir, &direct, shown->cold_status, &shown->cold_ms) &&
           fetch_warm(shown, weir, &direct);
    free(direct.body);
    return good;
}

static void print_times(const struct demo *demo)
{
    const struct shown *shown = &demo->shown;

    printf("A sample API on http://127.0.0.1:%u takes its time for each answer; weir is in front\n"
           "of it on http://127.0.0.1:%u. One URL, " SHOWN_TARGET
           ", over connections already open:\n\n",
           demo->api.port, demo->weir_port);
    printf("  direct  %8.3f ms   from the API itself\n", shown->direct_ms);
    printf("  cold    %8.3f ms   through weir, the first time     Cache-Status: %s\n",
           shown->cold_ms, shown->cold_status);
    printf("  warm    %8.3f ms   through weir, median of %u more   Cache-Status: %s\n\n",
           shown->warm_ms, WARM_FETCHES, shown->warm_status);
}

static void print_addresses(const struct demo *demo)
{
    if (!demo->terminal) {
        printf("On a terminal, weir demo goes on serving until Ctrl-C. In front of your own API:\n"
               "  weir run --to http://127.0.0.1:9000\n");
        return;
    }
    printf("Try it, twice:\n"
           "  curl -i http://127.0.0.1:%u/products       max-age=60: from memory for a minute\n"
           "  curl -i http://127.0.0.1:%u/time           no-store: asked for each time\n"
           "  curl -s http://127.0.0.1:%u/stats          weir's counters\n"
           "  weir purge --admin http://127.0.0.1:%u http://127.0.0.1:%u/products\n"
           "In front of your own API:\n"
           "  weir run --to http://127.0.0.1:9000\n\n"
           "Stop with Ctrl-C.\n",
           demo->weir_port, demo->weir_port, demo->admin_port, demo->admin_port, demo->weir_port);
}

static void *show_main(void *arg)
{
    struct demo *demo = arg;
    struct client *api = client_new("127.0.0.1", demo->api.port);
    struct client *weir = client_new("127.0.0.1", demo->weir_port);
    uint64_t one = 1;

    pthread_setname_np(pthread_self(), "demo-show");
    if (!api || !weir) {
        snprintf(demo->shown.trouble, sizeof(demo->shown.trouble), "out of memory");
    } else if (measure(&demo->shown, api, weir)) {
        print_times(demo);
        print_addresses(demo);
        fflush(stdout);
    }
    client_free(&api);
    client_free(&weir);
    weir_assert(write(demo->shown_fd, &one, sizeof(one)) == sizeof(one));
    return NULL;
}

/* ==== Weir in front of it ==== */

/* On Weir's main thread. */
static void fail(struct demo *demo, const char *trouble)
{
    fprintf(stderr, "weir demo: %s\n", trouble);
    demo->failed = true;
    weir_drain(demo->weir);
}

/* On Weir's main thread. A fetch that a signal has cut short is no failure. */
static void on_shown(evutil_socket_t fd, short what, void *arg)
{
    struct demo *demo = arg;

    (void)fd, (void)what;
    if (atomic_load(&demo->weir->phase) != WEIR_RUNNING)
        return;
    if (demo->shown.trouble[0] != '\0')
        fail(demo, demo->shown.trouble);
    else if (!demo->terminal)
        weir_drain(demo->weir);
}

/* On Weir's main thread. */
static void on_ready(struct weir *weir, void *arg)
{
    struct demo *demo = arg;

    demo->weir = weir;
    demo->weir_port = weir->bound[0].port;
    demo->admin_port = weir->admin_bound.port;
    event_assign(&demo->shown_event, weir->base, demo->shown_fd, EV_READ, on_shown, demo);
    if (event_add(&demo->shown_event, NULL) == 0)
        demo->showing = pthread_create(&demo->show_thread, NULL, show_main, demo) == 0;
    if (!demo->showing)
        fail(demo, "a thread cannot be started");
}

static bool is_free(uint16_t port)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    bool unused = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
                  bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0;

    if (fd >= 0)
        close(fd);
    return unused;
}

/* The usual port, or any that is free. */
static void choose_address(uint16_t port, char out[32])
{
    snprintf(out, 32, "127.0.0.1:%u", is_free(port) ? port : 0);
}

static int run(struct demo *demo)
{
    char to[64], listen[32], admin[32];
    struct conf_errors errors = {0};
    struct conf *conf;

    snprintf(to, sizeof(to), "http://127.0.0.1:%u", demo->api.port);
    choose_address(LISTEN_PORT, listen);
    choose_address(ADMIN_PORT, admin);
    conf = conf_for_origin(to, listen, admin, &errors);
    if (!conf) {
        fputs(errors.text, stderr);
        conf_errors_destroy(&errors);
        return EXIT_REFUSED;
    }
    conf_errors_destroy(&errors);
    conf->error_log_level = LOG_WARN_LEVEL; /* its own lines tell where it listens */
    return weir_run(conf, false, on_ready, demo);
}

int command_demo(int argc, char **argv)
{
    struct demo demo = {0};
    unsigned plain_count;
    int status;

    if (!options_read("demo", argc, argv, NULL, 0, NULL, 0, &plain_count))
        return EXIT_INPUT;
    demo.terminal = isatty(STDOUT_FILENO);
    demo.shown_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (demo.shown_fd < 0 || !api_start(&demo.api)) {
        fprintf(stderr, "weir demo: starting the sample API: %s\n", strerrordesc_np(errno));
        return EXIT_REFUSED;
    }
    status = run(&demo);
    if (demo.showing)
        pthread_join(demo.show_thread, NULL);
    api_stop(&demo.api);
    close(demo.shown_fd);
    return status == EXIT_DONE && demo.failed ? EXIT_REFUSED : status;
}
