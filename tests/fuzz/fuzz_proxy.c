/*
 * What proxy/ makes of text: which route a target takes, the key it is stored by, the heads that
 * are sent on, the access log's lines, and what the admin port reads.
 */
#include "proxy/accesslog.h"
#include "proxy/admin/admin.h"
#include "proxy/proxy.h"
#include "tests/fuzz/fuzz.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <stdlib.h>

#define ROOM (64 * 1024)

static char room[3][ROOM];
static const struct http1_limits wide = {ROOM, FUZZ_FIELDS};

static struct conf *load(const char *text)
{
    struct conf_errors errors = {0};
    struct conf *conf = conf_parse("fuzz", text, strlen(text), &errors);
    weir_assert(conf != NULL);
    conf_errors_destroy(&errors);
    return conf;
}

/* ---- URLs: normalising, keys ---- */

static void check_normalising(struct str path)
{
    char *once = fuzz_exact_copy(path.ptr, path.len), *twice = fuzz_exact_copy(path.ptr, path.len);
    struct str normal = str_of(once, conf_path_normalise(path, once));
    weir_assert(normal.len <= path.len);
    size_t len = conf_path_normalise(normal, twice);
    weir_assert(str_equal(normal, str_of(twice, len)));
    if (path.len > 0 && path.ptr[0] == '/') {
        weir_assert(normal.len > 0 && normal.ptr[0] == '/');
        /* No spelling of a dot segment is left. */
        for (size_t at = 0; at < normal.len; at++) {
            struct str rest = str_of(normal.ptr + at, normal.len - at);
            if (rest.ptr[0] != '/')
                continue;
            const char *end = memchr(rest.ptr + 1, '/', rest.len - 1);
            size_t segment = end != NULL ? (size_t)(end - rest.ptr) - 1 : rest.len - 1;
            weir_assert(!str_equal(str_of(rest.ptr + 1, segment), STR(".")));
            weir_assert(!str_equal(str_of(rest.ptr + 1, segment), STR("..")));
        }
    }
    free(once);
    free(twice);
}

/* A purge of the URL must find what a request for it has stored. */
static void check_purge_finds(const struct http1_head *head)
{
    struct appender stored = appender_on(room[0], ROOM), url = appender_on(room[1], ROOM),
                    purged = appender_on(room[2], ROOM);
    struct str scheme = head->scheme.len > 0 ? head->scheme : STR("http");
    cache_key_write(&stored, scheme, head->authority, head->path_query, NULL);
    weir_assert(!stored.overflow);
    weir_assert(stored.len <= scheme.len + 4 + head->authority.len + head->path_query.len + 1);
    if (head->authority.len == 0 || head->path_query.len == 0 || head->path_query.ptr[0] == '*')
        return;
    append_str(&url, scheme);
    append_lit(&url, "://");
    append_str(&url, head->authority);
    append_str(&url, head->path_query);
    weir_assert(cache_key_from_url(str_of(url.ptr, url.len), &purged));
    weir_assert(str_equal(str_of(stored.ptr, stored.len), str_of(purged.ptr, purged.len)));
}

/* A URL as purges have it, and a request's target in each of its forms. */
void fuzz_url(const uint8_t *bytes, size_t len)
{
    static const struct str hosts[] = {
        {"example.com", 11}, {"EXAMPLE.com.:80", 15}, {"[::1]:8080", 10}};
    char *text = fuzz_exact_copy(bytes, len);
    struct str url = str_of(text, len);
    check_normalising(url);

    /* A key is never longer than its URL but for a slash: purge.c lends no more. */
    char *exact = malloc(len + 2);
    weir_assert(exact != NULL);
    struct appender key = appender_on(exact, len + 2);
    if (cache_key_from_url(url, &key)) {
        weir_assert(!key.overflow && key.len <= len + 1);
        weir_assert(strncmp(key.ptr, "http://", 7) == 0 || strncmp(key.ptr, "https://", 8) == 0);
        weir_assert(memchr(key.ptr, '#', key.len) == NULL);
    }
    free(exact);

    struct appender request = appender_on(room[0], ROOM);
    append_lit(&request, "GET ");
    append_str(&request, url);
    append_lit(&request, " HTTP/1.1\r\nHost: ");
    append_str(&request, hosts[fuzz_draw(weir_count(hosts))]);
    append_lit(&request, "\r\n\r\n");
    if (!request.overflow) {
        char *message = fuzz_exact_copy(request.ptr, request.len);
        struct field rows[FUZZ_FIELDS];
        struct http1_head head = {.list = rows, .capacity = FUZZ_FIELDS};
        if (http1_parse_request(&head, message, request.len, &wide) > 0)
            check_purge_finds(&head);
        free(message);
    }
    free(text);
}

/* ---- routes ---- */

static const char routes_text[] =
    "upstreams:\n"
    "  a: {servers: [\"http://127.0.0.1:1\"]}\n"
    "routes:\n"
    "  - {host: \"*.example.com\", path: /v1/, upstream: a}\n"
    "  - {host: api.example.org, path: /strip, upstream: a, strip_prefix: true}\n"
    "  - {path: /posts, methods: [POST, BREW], upstream: a}\n"
    "  - {path: /a%2Fb, upstream: a, strip_prefix: true}\n"
    "  - {path: /open, upstream: a}\n";

/* Lines: method, authority, target. */
void fuzz_route(const uint8_t *bytes, size_t len)
{
    static struct conf *conf;
    if (conf == NULL)
        conf = load(routes_text);
    char *text = fuzz_exact_copy(bytes, len);
    struct str rest = str_of(text, len);
    struct str name = fuzz_take_line(&rest), authority = fuzz_take_line(&rest);
    struct str target = fuzz_take_line(&rest), sent = STR(""), again = STR("");
    enum method method = method_identify(name.ptr, name.len);
    struct arena arena;
    arena_init(&arena, 1024);
    const struct conf_route *route =
        route_match(conf, method, name, authority, target, &arena, &sent);
    if (route != NULL) {
        weir_assert(sent.len <= target.len + 1);
        weir_assert(route->strip_prefix || str_equal(sent, target));
        weir_assert(!route->strip_prefix || sent.ptr[0] == '/');
        weir_assert(route->index != 0 || authority.len > strlen("example.com"));
    }
    /* Another spelling of the path takes the same route. */
    const char *query = target.len > 0 ? memchr(target.ptr, '?', target.len) : NULL;
    struct str path = str_of(target.ptr, query ? (size_t)(query - target.ptr) : target.len);
    char *normal = malloc(target.len + 1);
    weir_assert(normal != NULL);
    struct appender spelled = appender_on(normal, target.len + 1);
    spelled.len = conf_path_normalise(path, normal);
    append_str(&spelled, str_of(path.ptr + path.len, target.len - path.len));
    weir_assert(route == route_match(conf, method, name, authority,
                                     str_of(spelled.ptr, spelled.len), &arena, &again));
    arena_destroy(&arena);
    free(normal);
    free(text);
}

/* ---- heads that are sent on ---- */

static const char forward_text[] = "upstreams:\n"
                                   "  a: {servers: [\"http://127.0.0.1:1\"]}\n"
                                   "  b: {servers: [\"http://origin:81\"], host: origin}\n"
                                   "routes:\n"
                                   "  - {path: /b, upstream: b, strip_prefix: true}\n"
                                   "  - {upstream: a}\n";

static bool is_hop(const struct field *f)
{
    return field_is_hop_by_hop((enum field_id)f->id) && f->id != FIELD_CONNECTION &&
           f->id != FIELD_TRANSFER_ENCODING && f->id != FIELD_UPGRADE && f->id != FIELD_TE;
}

/* What is sent on frames as what came, and nothing of the client's connection goes along. */
static void check_request_sent(const struct http1_head *head, const struct http1_head *sent,
                               const struct request *request)
{
    weir_assert(str_equal(sent->method_name, head->method_name));
    weir_assert(sent->target_form == HTTP1_ORIGIN_FORM || sent->target_form == HTTP1_ASTERISK_FORM);
    struct str target = request->target_sent;
    if (target.ptr[0] == '?')
        weir_assert(sent->target.ptr[0] == '/' && sent->target.len == target.len + 1);
    else
        weir_assert(str_equal(sent->target, target));
    weir_assert(sent->body == head->body && sent->content_length == head->content_length);
    weir_assert(sent->has_content_length == head->has_content_length);
    weir_assert(sent->minor == 1 && !sent->close);
    weir_assert(sent->upgrade == head->upgrade && sent->te_trailers <= head->te_trailers);
    struct fields fields = http1_fields(head);
    for (unsigned i = 0; i < sent->count; i++) {
        const struct field *f = &sent->list[i];
        weir_assert(!is_hop(f));
        if (f->id == FIELD_OTHER)
            weir_assert(!fields_named_in_connection(fields, field_name(f)));
    }
}

static void forward_one(struct conf *conf, const struct http1_head *head)
{
    static const struct sockaddr_in peer = {.sin_family = AF_INET};
    static struct worker worker; /* whose ids are made */
    struct request request = {.worker = &worker,
                              .head = head,
                              .scheme = STR("http"),
                              .peer = (const struct sockaddr *)&peer};
    struct arena arena;
    arena_init(&arena, 1024);
    const struct conf_route *route =
        route_match(conf, head->method, head->method_name, head->authority, head->path_query,
                    &arena, &request.target_sent);
    /* h1.c answers CONNECT itself, request.c a Max-Forwards of 0. */
    if (route != NULL && head->method != METHOD_CONNECT) {
        struct forward forward = {
            .request = &request,
            .upstream = route->upstream,
            .server = route->upstream->servers,
            .cacheable = head->method == METHOD_GET,
        };
        struct str sent = forward_request(&forward, &arena);
        struct field rows[FUZZ_FIELDS + 10];
        struct http1_head parsed = {.list = rows, .capacity = FUZZ_FIELDS + 10};
        const struct http1_limits limits = {2 * ROOM, FUZZ_FIELDS + 10};
        char *exact = fuzz_exact_copy(sent.ptr, sent.len);
        weir_assert(http1_parse_request(&parsed, exact, sent.len, &limits) == (ssize_t)sent.len);
        check_request_sent(head, &parsed, &request);
        free(exact);
    }
    arena_destroy(&arena);
}

/* Field lines that are sent on, of a head whose Connection lines are among `connection`. */
static void check_block(struct fields connection, const char *lines, size_t len)
{
    struct appender out = appender_on(room[1], ROOM);
    struct field rows[FUZZ_FIELDS + 10];
    struct http1_head parsed = {.list = rows, .capacity = FUZZ_FIELDS + 10};
    const struct http1_limits limits = {2 * ROOM, FUZZ_FIELDS + 10};
    append_lit(&out, "HTTP/1.1 200 OK\r\n");
    append(&out, lines, len);
    append_lit(&out, "\r\n");
    char *exact = fuzz_exact_copy(out.ptr, out.len);
    weir_assert(http1_parse_response(&parsed, exact, out.len, &limits, METHOD_GET) ==
                (ssize_t)out.len);
    /* The framing is made anew by who sends it. */
    weir_assert(!parsed.has_content_length && parsed.body == HTTP1_BODY_UNTIL_CLOSE);
    weir_assert(!parsed.close && !parsed.keep_alive);
    for (unsigned i = 0; i < parsed.count; i++)
        weir_assert(rows[i].id != FIELD_OTHER ||
                    !fields_named_in_connection(connection, field_name(&rows[i])));
    free(exact);
}

/* A request's or a response's head, or a trailer section, sent on and parsed again. */
void fuzz_forward(const uint8_t *bytes, size_t len)
{
    static struct conf *conf;
    if (conf == NULL)
        conf = load(forward_text);
    char *text = fuzz_exact_copy(bytes, len);
    struct field rows[FUZZ_FIELDS];
    struct http1_head head = {.list = rows, .capacity = FUZZ_FIELDS};
    struct appender out = appender_on(room[0], ROOM);
    if (http1_parse_request(&head, text, len, &wide) > 0)
        forward_one(conf, &head);
    http1_head_reset(&head);
    if (http1_parse_response(&head, text, len, &wide, METHOD_GET) > 0) {
        if (forward_response_block(&head, 1700000000, &out)) {
            weir_assert(cache_block_field(str_of(out.ptr, out.len), FIELD_DATE).ptr != NULL);
            check_block(http1_fields(&head), out.ptr, out.len);
        }
        out = appender_on(room[0], ROOM);
        if (forward_interim_block(&head, false, &out))
            check_block(http1_fields(&head), out.ptr, out.len);
    }
    http1_head_reset(&head);
    out = appender_on(room[0], ROOM);
    if (http1_parse_trailers(&head, text, len, &wide) > 0 &&
        forward_trailers(http1_fields(&head), &out))
        check_block((struct fields){NULL, 0}, out.ptr, out.len);
    free(text);
}

/* ---- access log ---- */

static bool same_if_utf8(const char *got, struct str wanted)
{
    json_t *is_utf8 = json_stringn(wanted.ptr, wanted.len);
    bool same = is_utf8 == NULL || memchr(wanted.ptr, 0, wanted.len) != NULL ||
                str_equal(str_from(got), wanted);
    json_decref(is_utf8);
    return same;
}

static void check_json(const char *line, size_t len, const struct access_entry *entry)
{
    json_error_t error;
    json_t *json = json_loadb(line, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    struct str target = entry->request->head->target, agent = entry->user_agent;
    weir_assert(json != NULL && json_is_object(json));
    target = target.len > 0 ? target : STR("-");
    agent = agent.len > 0 ? agent : STR("-");
    weir_assert(same_if_utf8(json_string_value(json_object_get(json, "target")), target));
    weir_assert(same_if_utf8(json_string_value(json_object_get(json, "user_agent")), agent));
    json_decref(json);
}

/* client - - [time] "line" status bytes "referer" "agent": six quotes, none of them the
 * client's. */
static void check_combined(const char *line, size_t len)
{
    unsigned quotes = 0;
    for (size_t i = 0; i + 1 < len; i++) {
        unsigned char c = (unsigned char)line[i];
        weir_assert(c >= 0x20 && c < 0x7f);
        quotes += c == '"';
    }
    weir_assert(quotes == 6);
}

/* Lines: host, target, user agent; the rest, of any bytes, is the referer. */
void fuzz_access_log(const uint8_t *bytes, size_t len)
{
    static const enum conf_log_format formats[] = {CONF_LOG_JSON, CONF_LOG_COMBINED};
    char *text = fuzz_exact_copy(bytes, len), time_text[ACCESS_TIME_BYTES];
    char *line = malloc(ACCESS_LINE_BYTES); /* so that ASan sees its end */
    struct str rest = str_of(text, len);
    struct http1_head head = {
        .method_name = STR("GET"),
        .authority = fuzz_take_line(&rest),
        .target = fuzz_take_line(&rest),
        .minor = 1,
    };
    struct request request = {.head = &head, .sent_bytes = len};
    struct access_entry entry = {
        .request = &request,
        .client = STR("127.0.0.1"),
        .status = 200,
        .cache = STR("hit"),
        .end = STR("whole"),
        .route = STR("*/"),
        .ids = {STR("an-id"), STR("0af7651916cd43dd8448eb211c80319c")},
        .user_agent = fuzz_take_line(&rest),
        .referer = rest,
    };
    weir_assert(line != NULL);
    for (unsigned i = 0; i < weir_count(formats); i++) {
        size_t used;
        entry.time = access_format_time(formats[i], 1700000000 + (int64_t)len, time_text);
        used = access_format_line(formats[i], &entry, line);
        /* One line. */
        weir_assert(used <= ACCESS_LINE_BYTES && memchr(line, '\n', used) == line + used - 1);
        if (formats[i] == CONF_LOG_JSON)
            check_json(line, used, &entry);
        else
            check_combined(line, used);
    }
    entry.time = access_format_time(CONF_LOG_JSON, 1700000000, time_text);
    check_json(line, access_format_slow_line(&entry, line), &entry);
    free(line);
    free(text);
}

/* ---- admin ---- */

static char *text_of(struct str s)
{
    char *text = malloc(s.len + 1);
    weir_assert(text != NULL);
    if (s.len > 0)
        memcpy(text, s.ptr, s.len);
    text[s.len] = '\0';
    return text;
}

static void check_purge(const char *query)
{
    static struct cache *cache;
    struct admin_purge_order order;
    const char *why = NULL;
    bool good = admin_purge_read(query, &order, &why);
    char *url = order.value;
    weir_assert(good == (why == NULL) && good == (url != NULL));
    if (!good)
        return;
    weir_assert(*url != '\0' && strlen(url) <= strlen(query));
    if (cache == NULL)
        cache = cache_new(1 << 20, 1 << 16, 1, 1);
    struct appender out = appender_on(room[0], strlen(url) + 2);
    if (strlen(url) + 2 <= ROOM && cache_key_from_url(str_from(url), &out)) {
        struct cache_key key = {.text = str_of(out.ptr, out.len)};
        weir_assert(!out.overflow);
        cache_key_hash(cache, &key);
        weir_assert(cache_purge(cache, &key) == 0);
    }
    free(url);
}

/* Lines: the query, Host, Origin, Authorization. */
void fuzz_admin(const uint8_t *bytes, size_t len)
{
    char *copy = fuzz_exact_copy(bytes, len);
    struct str rest = str_of(copy, len);
    char *query = text_of(fuzz_take_line(&rest)), *host = text_of(fuzz_take_line(&rest));
    char *origin = text_of(fuzz_take_line(&rest)), *given = text_of(fuzz_take_line(&rest));
    check_purge(query);
    if (admin_host_is_loopback(host)) {
        struct str name = str_of(host, strcspn(host, ":"));
        struct in_addr ip;
        char *bare = text_of(name);
        weir_assert(host[0] == '[' || str_equal_nocase(name, STR("localhost")) ||
                    (inet_pton(AF_INET, bare, &ip) == 1 && ntohl(ip.s_addr) >> 24 == 127));
        free(bare);
    }
    if (admin_origin_is_own(origin, host))
        weir_assert(strlen(origin) == strlen(host) + 7);
    weir_assert(!admin_token_matches(given, ""));
    if (admin_token_matches(given, "secret"))
        weir_assert(strlen(given) >= 13 && strcmp(given + strlen(given) - 6, "secret") == 0);
    free(query);
    free(host);
    free(origin);
    free(given);
    free(copy);
}
