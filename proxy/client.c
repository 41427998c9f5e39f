/*
 * `weir stats` and `weir purge`: commands that ask the admin port of a running Weir, and the HTTP
 * client under them.
 *
 * Called by main.c, the client by demo.c too; one thread, one request at a time, each client with
 * an event base of its own.
 */
#include "proxy/client.h"

#include "proxy/options.h"
#include "proxy/proxy.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/keyvalq_struct.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define TIMEOUT_S 10
#define BODY_BYTES (64 * 1024 * 1024)
#define DEFAULT_ADMIN "http://127.0.0.1:9180"

/* ==== The client ==== */

struct client {
    struct event_base *base;
    struct evhttp_connection *connection;
    char host_field[300];
    struct client_answer *answer; /* of the fetch that runs */
    const char *why;
    bool done, good;
};

static void ignore_libevent(int severity, const char *text)
{
    (void)severity, (void)text; /* a failed fetch is told in words of ours */
}

struct client *client_new(const char *host, uint16_t port)
{
    struct client *client = calloc(1, sizeof(*client));

    if (!client)
        return NULL;
    event_set_log_callback(ignore_libevent);
    client->base = event_base_new();
    client->connection =
        client->base ? evhttp_connection_base_new(client->base, NULL, host, port) : NULL;
    if (!client->connection) {
        client_free(&client);
        return NULL;
    }
    evhttp_connection_set_timeout(client->connection, TIMEOUT_S);
    evhttp_connection_set_max_body_size(client->connection, BODY_BYTES);
    snprintf(client->host_field, sizeof(client->host_field),
             strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
    return client;
}

void client_free(struct client **client)
{
    struct client *gone = weir_take(client);

    if (!gone)
        return;
    if (gone->connection)
        evhttp_connection_free(gone->connection);
    if (gone->base)
        event_base_free(gone->base);
    free(gone);
}

static void on_error(enum evhttp_request_error error, void *arg)
{
    struct client *client = arg;

    switch (error) {
    case EVREQ_HTTP_TIMEOUT:
        client->why = "no answer in time";
        return;
    case EVREQ_HTTP_EOF:
        client->why = "the connection was closed without an answer";
        return;
    case EVREQ_HTTP_INVALID_HEADER:
        client->why = "the answer is not HTTP";
        return;
    case EVREQ_HTTP_BUFFER_ERROR:
        client->why = "the connection broke";
        return;
    case EVREQ_HTTP_REQUEST_CANCEL:
        client->why = "cancelled";
        return;
    case EVREQ_HTTP_DATA_TOO_LONG:
        client->why = "the answer is too long";
        return;
    }
}

static void take_answer(struct client *client, struct evhttp_request *req)
{
    struct client_answer *answer = client->answer;
    struct evbuffer *body = evhttp_request_get_input_buffer(req);
    const char *cache_status =
        evhttp_find_header(evhttp_request_get_input_headers(req), "Cache-Status");

    answer->status = (unsigned)evhttp_request_get_response_code(req);
    answer->body_bytes = evbuffer_get_length(body);
    answer->body = malloc(answer->body_bytes + 1);
    if (!answer->body) {
        client->why = "the answer does not fit into memory";
        return;
    }
    evbuffer_remove(body, answer->body, answer->body_bytes);
    answer->body[answer->body_bytes] = '\0';
    snprintf(answer->cache_status, sizeof(answer->cache_status), "%s",
             cache_status ? cache_status : "");
    client->good = true;
}

static void on_done(struct evhttp_request *req, void *arg)
{
    struct client *client = arg;

    client->done = true;
    if (req && evhttp_request_get_response_code(req) != 0)
        take_answer(client, req);
    else if (!client->why)
        client->why = "cannot connect";
}

bool client_fetch(struct client *client, enum evhttp_cmd_type method, const char *target,
                  const char *token, struct client_answer *answer, const char **why)
{
    struct evhttp_request *req = evhttp_request_new(on_done, client);
    struct evkeyvalq *fields;
    char bearer[4096];

    client->answer = answer;
    client->done = client->good = false;
    client->why = NULL;
    *answer = (struct client_answer){0};
    *why = "out of memory";
    if (!req)
        return false;
    evhttp_request_set_error_cb(req, on_error);
    fields = evhttp_request_get_output_headers(req);
    evhttp_add_header(fields, "Host", client->host_field);
    if (token) {
        snprintf(bearer, sizeof(bearer), "Bearer %s", token);
        evhttp_add_header(fields, "Authorization", bearer);
    }
    if (method == EVHTTP_REQ_POST)
        evhttp_add_header(fields, "Content-Length", "0");
    if (evhttp_make_request(client->connection, req, method, target) == 0)
        while (!client->done && event_base_loop(client->base, EVLOOP_ONCE) == 0)
            continue;
    *why = client->why ? client->why : "cannot connect";
    return client->good;
}

/* ==== The commands ==== */

/* Where the admin port is: host without brackets, and port. False after one clear line. */
static bool read_admin_url(const char *command, const char *url, char host[256], uint16_t *port)
{
    struct evhttp_uri *uri = evhttp_uri_parse(url);
    const char *scheme = uri ? evhttp_uri_get_scheme(uri) : NULL,
               *name = uri ? evhttp_uri_get_host(uri) : NULL;
    const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
    bool good = scheme && strcasecmp(scheme, "http") == 0 && name && *name && strlen(name) < 256 &&
                !evhttp_uri_get_query(uri) && (!path || !*path || strcmp(path, "/") == 0);

    if (good) {
        size_t len = strlen(name);
        bool brackets = name[0] == '[' && name[len - 1] == ']';

        snprintf(host, 256, "%.*s", (int)(brackets ? len - 2 : len), brackets ? name + 1 : name);
        *port = evhttp_uri_get_port(uri) > 0 ? (uint16_t)evhttp_uri_get_port(uri) : 80;
    } else if (strncmp(url, "unix:", 5) == 0) {
        fprintf(stderr,
                "weir %s: an admin port on a unix socket is asked with: curl --unix-socket %s "
                "http://localhost/stats\n",
                command, url + 5);
    } else {
        fprintf(stderr, "weir %s: \"%s\" is not the URL of an admin port; write it as %s\n",
                command, url, DEFAULT_ADMIN);
    }
    if (uri)
        evhttp_uri_free(uri);
    return good;
}

/* The text of {"error": "..."}; printed. */
static void print_refusal(const char *command, const char *url, const struct client_answer *answer)
{
    json_t *body = json_loads(answer->body, 0, NULL);
    const char *text = json_string_value(json_object_get(body, "error"));

    fprintf(stderr, "weir %s: %s answers %u: %s\n", command, url, answer->status,
            text ? text : "it is not the admin port of a Weir");
    if (answer->status == 401)
        fprintf(stderr,
                "weir %s: the token is taken from the environment variable WEIR_ADMIN_TOKEN\n",
                command);
    json_decref(body);
}

/* Asks the admin port; on 200 the body is in *answer and EXIT_DONE returned, else one clear line
 * has been written. */
static enum exit_status ask(const char *command, const char *url, enum evhttp_cmd_type method,
                            const char *target, struct client_answer *answer)
{
    enum exit_status status = EXIT_REFUSED;
    const char *why = "out of memory";
    struct client *client;
    char host[256];
    uint16_t port;

    *answer = (struct client_answer){0};
    if (!url)
        url = getenv("WEIR_ADMIN");
    if (!url || !*url)
        url = DEFAULT_ADMIN;
    if (!read_admin_url(command, url, host, &port))
        return EXIT_INPUT;
    client = client_new(host, port);
    if (!client ||
        !client_fetch(client, method, target, getenv("WEIR_ADMIN_TOKEN"), answer, &why)) {
        fprintf(stderr, "weir %s: asking %s: %s; is weir running there?\n", command, url, why);
    } else if (answer->status == 200) {
        status = EXIT_DONE;
    } else {
        print_refusal(command, url, answer);
        status = answer->status < 500 ? EXIT_INPUT : EXIT_REFUSED;
    }
    client_free(&client);
    return status;
}

static enum exit_status print(const char *command, const char *text)
{
    if (fputs(text, stdout) < 0 || fflush(stdout) != 0) {
        fprintf(stderr, "weir %s: writing to standard output: %s\n", command,
                strerrordesc_np(errno));
        return EXIT_REFUSED;
    }
    return EXIT_DONE;
}

int command_stats(int argc, char **argv)
{
    const char *admin = NULL;
    const struct option_row rows[] = {{"--admin", &admin, NULL, false}};
    struct client_answer answer;
    enum exit_status status;
    unsigned plain_count;

    if (!options_read("stats", argc, argv, rows, weir_count(rows), NULL, 0, &plain_count))
        return EXIT_INPUT;
    status = ask("stats", admin, EVHTTP_REQ_GET, "/stats", &answer);
    if (status == EXIT_DONE)
        status = print("stats", answer.body);
    free(answer.body);
    return status;
}

static bool is_url(const char *url)
{
    size_t room = strlen(url) + 2;
    char *text = base_alloc(room);
    struct appender out = appender_on(text, room);
    bool good = cache_key_from_url(str_from(url), &out);

    free(text);
    return good;
}

/* What to purge, as its words on the command line and in the query have it. */
struct purge_order {
    const char *word; /* "url" */
    const char *value;
    bool soft;
};

/* "/purge?url=...", with every byte encoded that means something in a query. */
static char *purge_target(const struct purge_order *order)
{
    char *encoded = evhttp_uriencode(order->value, -1, 0), *target = NULL;

    if (!encoded ||
        asprintf(&target, "/purge?%s=%s%s", order->word, encoded, order->soft ? "&soft=1" : "") < 0)
        target = NULL;
    free(encoded);
    return target;
}

static enum exit_status purge(const char *admin, const struct purge_order *order)
{
    struct client_answer answer = {0};
    enum exit_status status;
    char *target = purge_target(order), text[64];
    json_t *body;

    if (!target) {
        fprintf(stderr, "weir purge: out of memory\n");
        return EXIT_REFUSED;
    }
    status = ask("purge", admin, EVHTTP_REQ_POST, target, &answer);
    if (status == EXIT_DONE) {
        body = json_loads(answer.body, 0, NULL);
        snprintf(text, sizeof(text), "purged %lld\n",
                 (long long)json_integer_value(json_object_get(body, "purged")));
        json_decref(body);
        status = print("purge", text);
    }
    free(target);
    free(answer.body);
    return status;
}

/* The one of four ways to say it. False after one clear line. */
static bool read_purge(const char *url, const char *prefix, const char *tag, bool all,
                       struct purge_order *order)
{
    const struct purge_order ways[] = {
        {"url", url, false},
        {"prefix", prefix, false},
        {"tag", tag, false},
        {"all", all ? "1" : NULL, false},
    };
    unsigned count = 0;

    for (size_t i = 0; i < weir_count(ways); i++)
        if (ways[i].value) {
            order->word = ways[i].word;
            order->value = ways[i].value;
            count++;
        }
    if (count == 1)
        return true;
    fprintf(stderr,
            "weir purge: %s; write one of: weir purge http://api.example.com/v1/items, weir purge "
            "--prefix http://api.example.com/v1/, weir purge --tag TAG, weir purge --all\n",
            count == 0 ? "purge what?" : "more than one thing to purge is named");
    return false;
}

int command_purge(int argc, char **argv)
{
    const char *admin = NULL, *url = NULL, *prefix = NULL, *tag = NULL;
    bool all = false;
    struct purge_order order = {.soft = false};
    const struct option_row rows[] = {
        {"--admin", &admin, NULL, false},     {"--prefix", &prefix, NULL, false},
        {"--tag", &tag, NULL, false},         {"--all", NULL, &all, false},
        {"--soft", NULL, &order.soft, false},
    };
    unsigned plain_count;

    if (!options_read("purge", argc, argv, rows, weir_count(rows), &url, 1, &plain_count) ||
        !read_purge(url, prefix, tag, all, &order))
        return EXIT_INPUT;
    if ((url && !is_url(url)) || (prefix && !is_url(prefix))) {
        fprintf(stderr,
                "weir purge: \"%s\" is not a URL; write it as clients ask for it, with scheme and "
                "host, such as "
                "http://api.example.com/v1/items\n",
                order.value);
        return EXIT_INPUT;
    }
    if (*order.value == '\0') {
        fprintf(stderr, "weir purge: the tag is empty; write: weir purge --tag TAG\n");
        return EXIT_INPUT;
    }
    return purge(admin, &order);
}
