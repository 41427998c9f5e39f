/*
 * Whole connections: a worker with its cache, pool and machines, in this thread, between clients
 * and origins that do what the input says. No socket, no thread, no waiting: fake_kernel.c calls
 * on_idle() where the worker would wait, and the next step is taken.
 *
 * Three targets: `connection`, whose input is a script; `client`, whose input is what one client
 * sends while an origin answers by the book; `origin`, whose input is what the origin sends to a
 * few well-behaved clients. When all steps have been taken, the worker is told to drain and time
 * passes: it has to end by its deadlines alone. Then nothing may be left anywhere, and what was
 * sent is held against http_check.c.
 */
#include "proxy/proxy.h"
#include "tests/fuzz/fake_kernel.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/http_check.h"

#include <errno.h>
#include <stdlib.h>

#define STEPS_MOST 200
#define REQUESTS_MOST 400
#define CLIENTS 8
#define FILLER_MOST ((size_t)2 << 20)

static const char conf_text[] =
    "workers: 1\n"
    "listen: [{address: \"127.0.0.1:80\"}]\n"
    "cache: {memory: 1MiB, max_object: 256KiB}\n"
    "upstreams:\n"
    "  a: {servers: [\"http://127.0.0.1:1\"], pool: {max_connections: 2, max_idle: 1, queue: 2}}\n"
    "  b: {servers: [\"http://127.0.0.1:2\"], host: origin}\n"
    "routes:\n"
    "  - {path: /pass, upstream: a, cache: {enabled: false}}\n"
    "  - {path: /ttl, upstream: b, cache: {ttl: 10s, negative_ttl: 1s}}\n"
    "  - {path: /none, methods: [POST], upstream: b}\n"
    "  - {methods: [GET, HEAD, POST, PUT, DELETE, OPTIONS, BREW], upstream: a}\n"
    "limits: {header_size: 4KiB, headers: 32, body_size: 1MiB, connections: 7}\n"
    "error_log: {level: error}\n";

/* ---- steps ---- */

enum op {
    OP_CLIENT,        /* the client sends the bytes */
    OP_ORIGIN,        /* the origin sends them */
    OP_CHOOSE_CLIENT, /* that one; it connects where it is not connected */
    OP_CHOOSE_ORIGIN, /* so many before the newest connection */
    OP_CLOCK,
    OP_CLIENT_ENDS,
    OP_ORIGIN_ENDS,
    OP_CLIENT_TAKES,
    OP_ORIGIN_TAKES,
    OP_CONNECTS,   /* what becomes of the next connections, or of one that hangs */
    OP_CLIENT_BIG, /* filler */
    OP_ORIGIN_BIG,
    OP_SECOND, /* what the main thread does once a second, or the end of descriptors */
    OP_DRAIN,
    OP_TOGETHER, /* the next step before Weir can look */
    OP_PIECES,   /* so many bytes arrive at a time */
    OPS
};

struct step {
    enum op op;
    struct str bytes;
};

static struct {
    struct weir weir;
    struct worker worker;
    struct step steps[STEPS_MOST];
    unsigned steps_count, at, idles;
    struct fake_socket *clients[CLIENTS];
    unsigned client, origin; /* chosen */
    bool answers;            /* the origin does so by itself */
    size_t answered[FAKE_SOCKETS];
    bool draining;
} world;

static unsigned first_byte(struct str s, unsigned absent)
{
    return s.len > 0 ? (unsigned char)s.ptr[0] : absent;
}

static struct fake_socket *client(void)
{
    struct fake_socket **s = &world.clients[world.client];
    if (*s == NULL || (*s)->closed || (*s)->rst || (*s)->fin)
        *s = fake_connect();
    return *s;
}

static struct fake_socket *origin(void)
{
    unsigned skip = world.origin;
    for (unsigned i = fake_kernel.count; i-- > 0;) {
        struct fake_socket *s = &fake_kernel.sockets[i];
        if (s->outgoing && !s->closed && skip-- == 0)
            return s;
    }
    return NULL;
}

static void end(struct fake_socket *s, struct str how)
{
    if (s == NULL)
        return;
    if (first_byte(how, 0) & 1)
        fake_rst(s);
    else
        fake_fin(s);
}

static void take(struct fake_socket *s, struct str how)
{
    static const size_t rooms[] = {0, 1, 30, 200, 1000, 5000, 60000, SIZE_MAX};
    if (s != NULL)
        fake_take(s, rooms[first_byte(how, 7) % weir_count(rooms)]);
}

static void send_filler(struct fake_socket *s, struct str how)
{
    static char filler[256 * 1024];
    size_t len = (size_t)(first_byte(how, 1) + 1) * 2048;
    if (filler[0] == '\0')
        memset(filler, 'x', sizeof filler);
    if (s == NULL || s->given.len > FILLER_MOST)
        return;
    fake_send(s, filler, len < sizeof filler ? len : sizeof filler);
}

static void decide_connects(struct str how)
{
    unsigned what = first_byte(how, 0) % (FAKE_CONNECTS + 2);
    if (what < FAKE_CONNECTS) {
        fake_kernel.next_connect = (enum fake_connect)what;
        return;
    }
    for (unsigned i = 0; i < fake_kernel.count; i++)
        fake_connected(&fake_kernel.sockets[i], what == FAKE_CONNECTS ? 0 : ECONNREFUSED);
}

static void main_thread_works(struct str how)
{
    int64_t now_ms = worker_mono_ms();
    fake_kernel.no_descriptors = first_byte(how, 0) & 1;
    /* It owns no mailbox of a worker. */
    mailbox_disown(&world.worker.loop.mailbox);
    pool_sweep(world.weir.pool, now_ms);
    cache_sweep(world.weir.cache, 1000, now_ms);
    cache_watch_memory(world.weir.cache, now_ms);
    if (first_byte(how, 0) & 2) {
        struct cache_key key = {.text = STR("http://a/c")};
        cache_key_hash(world.weir.cache, &key);
        cache_purge(world.weir.cache, &key);
    }
    mailbox_adopt(&world.worker.loop.mailbox);
}

static void drain(void)
{
    world.draining = true;
    mailbox_disown(&world.worker.loop.mailbox);
    worker_drain(&world.worker);
    mailbox_adopt(&world.worker.loop.mailbox);
}

static void take_step(const struct step *step)
{
    static const unsigned clock_ms[] = {1, 25, 500, 1100, 2100, 5100, 10100, 31000, 76000, 3600000};
    static const size_t pieces[] = {SIZE_MAX, 1, 2, 7, 50, 1000};
    unsigned byte = first_byte(step->bytes, 0);
    struct fake_socket *s;
    switch (step->op) {
    case OP_CLIENT:
        if ((s = client()) != NULL)
            fake_send(s, step->bytes.ptr, step->bytes.len);
        return;
    case OP_ORIGIN:
        if ((s = origin()) != NULL)
            fake_send(s, step->bytes.ptr, step->bytes.len);
        return;
    case OP_CHOOSE_CLIENT:
        world.client = byte % CLIENTS;
        client();
        return;
    case OP_CHOOSE_ORIGIN:
        world.origin = byte % 4;
        return;
    case OP_CLOCK:
        base_clock_advance(clock_ms[byte % weir_count(clock_ms)]);
        return;
    case OP_CLIENT_ENDS:
        end(world.clients[world.client], step->bytes);
        return;
    case OP_ORIGIN_ENDS:
        end(origin(), step->bytes);
        return;
    case OP_CLIENT_TAKES:
        take(client(), step->bytes);
        return;
    case OP_ORIGIN_TAKES:
        take(origin(), step->bytes);
        return;
    case OP_CONNECTS:
        decide_connects(step->bytes);
        return;
    case OP_CLIENT_BIG:
        send_filler(client(), step->bytes);
        return;
    case OP_ORIGIN_BIG:
        send_filler(origin(), step->bytes);
        return;
    case OP_SECOND:
        main_thread_works(step->bytes);
        return;
    case OP_DRAIN:
        if (!world.draining)
            drain();
        return;
    case OP_PIECES:
        if ((s = byte & 8 ? origin() : client()) != NULL)
            s->piece = pieces[byte % weir_count(pieces)];
        return;
    case OP_TOGETHER:
    case OPS:
        return;
    }
}

/* ---- an origin that answers by itself ---- */

#define FIFTY "01234567890123456789012345678901234567890123456789"

/* By the first letter of the path's last segment, in any case. */
static const struct {
    char letter;
    const char *head, *body;
} answers[] = {
    {'a', "200 OK\r\nContent-Length: 5\r\n", "hello"},
    {'c', "200 OK\r\nCache-Control: max-age=60\r\nETag: \"c\"\r\nContent-Length: 3\r\n", "hit"},
    {'r', "200 OK\r\nCache-Control: max-age=60\r\nETag: \"r\"\r\nContent-Length: 200\r\n",
     FIFTY FIFTY FIFTY FIFTY},
    {'d', "200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n",
     "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-T: 1\r\n\r\n"},
    {'e', "200 OK\r\nConnection: close\r\n", "until the end"},
    {'f', "404 Not Found\r\nContent-Length: 0\r\nKeep-Alive: timeout=5\r\n", ""},
    {'g',
     "200 OK\r\nCache-Control: no-cache\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
     "ETag: W/\"g\"\r\nContent-Length: 1\r\n",
     "g"},
    {'h', "200 OK\r\nCache-Control: max-age=1\r\nVary: Accept\r\nContent-Length: 4\r\n", "vary"},
    {'i', "204 No Content\r\n", ""},
    {'j',
     "103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\n"
     "Content-Length: 2\r\n",
     "ok"},
    {'k', "200 OK\r\nCache-Control: private, max-age=9\r\nContent-Length: 7\r\n", "private"},
    {'l', "200 OK\r\nContent-Length: 10\r\nConnection: close\r\n", "cut"},
    {'m', "500 Oops\r\nX-Bad Field: 1\r\n", ""},
    {'u', "101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n", "tunnel"},
};

static void answer(struct fake_socket *s, const struct check_message *request)
{
    const char *slash = memrchr(request->target.ptr, '/', request->target.len);
    char letter = slash != NULL && slash + 1 < request->target.ptr + request->target.len
                      ? ascii_lower(slash[1])
                      : 'a';
    bool head = str_equal(request->method, STR("HEAD"));
    unsigned row = 0;
    for (unsigned i = 0; i < weir_count(answers); i++) {
        if (answers[i].letter == letter)
            row = i;
    }
    /* Conditional requests are answered as by one who has what is stored. */
    if (letter == 'g' && memmem(request->method.ptr, request->head_len, "If-None-Match", 13)) {
        static const char same[] = "HTTP/1.1 304 Not Modified\r\nETag: \"g\"\r\nX-New: 1\r\n\r\n";
        fake_send(s, same, sizeof same - 1);
        return;
    }
    if (letter == 'u' && !request->upgrade)
        row = 0;
    fake_send(s, "HTTP/1.1 ", 9);
    fake_send(s, answers[row].head, strlen(answers[row].head));
    fake_send(s, "\r\n", 2);
    if (!head)
        fake_send(s, answers[row].body, strlen(answers[row].body));
    if (letter == 'e' || letter == 'l')
        fake_fin(s);
}

static bool answer_all(void)
{
    bool did = false;
    for (unsigned i = 0; i < fake_kernel.count; i++) {
        struct fake_socket *s = &fake_kernel.sockets[i];
        struct check_message request;
        size_t *done = &world.answered[i];
        if (!s->outgoing || s->closed || s->fin)
            continue;
        struct str rest = str_of(s->sent.ptr + *done, s->sent.len - *done);
        if (rest.len == 0 || check_request(rest, &request) != CHECK_GOOD || !request.whole)
            continue;
        *done += request.head_len + request.body_len;
        answer(s, &request);
        did = true;
    }
    return did;
}

/* ---- the end ---- */

#define IDLES_MOST 60

/* Some leave by themselves; the others have to be left by Weir. */
static void wind_up(void)
{
    unsigned idles = world.idles++;
    if (idles == 0 && fuzz_draw(2) == 0) {
        for (unsigned i = 0; i < fake_kernel.count; i++)
            fake_fin(&fake_kernel.sockets[i]);
        return;
    }
    fake_kernel.no_descriptors = false;
    if (!world.draining) {
        drain();
        return;
    }
    base_clock_advance(31000);
    weir_assert(idles < IDLES_MOST);
}

static void on_idle(void)
{
    if (world.answers && answer_all())
        return;
    while (world.at < world.steps_count) {
        take_step(&world.steps[world.at++]);
        if (world.at == world.steps_count || world.steps[world.at].op != OP_TOGETHER)
            return;
        world.at++;
    }
    wind_up();
}

/* ---- what must be true then ---- */

struct sent_request {
    struct str method, path;
    bool needs_slash;
    unsigned seen; /* at origins */
};

static struct sent_request sent_requests[REQUESTS_MOST];
static unsigned sent_requests_count;

/* Weir has closed, in good order and without a word, on a client that was there and took all.
 * Behind a first response it may: draining, it reads no further request. */
static bool left_silently(const struct fake_socket *s)
{
    return s->closed && s->sent.len == 0 && !s->reset && !s->fin && !s->rst && s->room == SIZE_MAX;
}

/* What a client is to be answered, and whether it was. */
static void check_client(const struct fake_socket *s)
{
    struct str asked = str_of(s->given.ptr, s->given.len), got = str_of(s->sent.ptr, s->sent.len);
    bool over = false;
    for (;;) {
        struct check_message request, response;
        bool has_request = check_request(asked, &request) == CHECK_GOOD;
        bool head = has_request && str_equal(request.method, STR("HEAD"));
        if (has_request && sent_requests_count < REQUESTS_MOST) {
            struct sent_request *noted = &sent_requests[sent_requests_count++];
            *noted = (struct sent_request){.method = request.method};
            noted->path = check_path(request.method, request.target, &noted->needs_slash);
        }
        /* Responses, interim ones first. */
        do {
            if (got.len == 0) {
                weir_assert(over || !has_request || !request.whole || !left_silently(s));
                break;
            }
            weir_assert(!over);
            enum check_result result = check_response(got, head, &response);
            /* A 408 was not an answer to the HEAD that came too late. */
            if (head && result == CHECK_GOOD && response.close && got.len > response.head_len)
                result = check_response(got, false, &response);
            weir_assert(result != CHECK_WRONG && !response.body_wrong);
            if (result == CHECK_INCOMPLETE)
                return;
            got.ptr += response.head_len + response.body_len;
            got.len -= response.head_len + response.body_len;
            if (response.status == 101)
                return; /* a tunnel follows */
            weir_assert(!has_request || !request.http10 ||
                        (!response.chunked && response.status >= 200));
            if (response.status >= 200)
                over = response.close || !response.whole;
        } while (response.status < 200);
        if (!has_request || !request.whole) {
            weir_assert(got.len == 0);
            return;
        }
        asked.ptr += request.head_len + request.body_len;
        asked.len -= request.head_len + request.body_len;
    }
}

static void find_sent(const struct check_message *request)
{
    for (unsigned i = 0; i < sent_requests_count; i++) {
        struct sent_request *sent = &sent_requests[i];
        struct str target = request->target;
        if (sent->needs_slash && target.len > 0)
            target = str_of(target.ptr + 1, target.len - 1);
        /* Once more after a connection that died, and once without the condition. */
        if (sent->seen < 3 && str_equal(sent->method, request->method) &&
            str_equal(sent->path, target)) {
            sent->seen++;
            return;
        }
    }
    weir_assert(sent_requests_count == REQUESTS_MOST);
}

/* Nothing reaches an origin that no client has asked for. */
static void check_origin(const struct fake_socket *s)
{
    struct str got = str_of(s->sent.ptr, s->sent.len);
    while (got.len > 0) {
        struct check_message request;
        enum check_result result = check_request(got, &request);
        weir_assert(result != CHECK_WRONG && !request.body_wrong);
        if (result == CHECK_INCOMPLETE)
            return;
        weir_assert(!request.http10 && request.hosts == 1 && request.vias >= 1 && !request.close);
        find_sent(&request);
        if (request.upgrade && s->given.len > 0 && memmem(s->given.ptr, s->given.len, " 101", 4))
            return; /* a tunnel follows */
        if (!request.whole)
            return;
        got.ptr += request.head_len + request.body_len;
        got.len -= request.head_len + request.body_len;
    }
}

static void check_messages(void)
{
    sent_requests_count = 0;
    for (unsigned i = 0; i < fake_kernel.count; i++) {
        if (!fake_kernel.sockets[i].outgoing)
            check_client(&fake_kernel.sockets[i]);
    }
    for (unsigned i = 0; i < fake_kernel.count; i++) {
        if (fake_kernel.sockets[i].outgoing)
            check_origin(&fake_kernel.sockets[i]);
    }
}

static void check_pool(const struct conf *conf)
{
    static struct histogram latency;
    for (unsigned u = 0; u < conf->upstreams_count; u++) {
        struct pool_server_stats stats;
        uint64_t closed = 0;
        pool_read_stats(world.weir.pool, &conf->upstreams[u], 0, &stats, &latency);
        for (unsigned i = 0; i < POOL_CLOSES; i++)
            closed += i == POOL_CLOSE_CONNECT_FAILED ? 0 : stats.closed_by[i];
        weir_assert(stats.active == 0 && stats.queued == 0);
        weir_assert(stats.opened == stats.idle + closed);
        weir_assert(stats.idle <= conf->upstreams[u].pool.max_idle);
    }
}

/* FUZZ_SHOW=1: what was said, for who looks into an input. */
static void show(void)
{
    for (unsigned i = 0; i < fake_kernel.count; i++) {
        const struct fake_socket *s = &fake_kernel.sockets[i];
        fprintf(stderr, "---- %s %u%s%s%s%s%s, %zu of %zu bytes read:\n",
                s->outgoing ? "origin" : "client", i, s->fin ? ", ended" : "",
                s->rst ? ", reset" : "", s->shut ? ", shut by Weir" : "",
                s->closed ? ", closed by Weir" : "", s->reset ? " with a reset" : "", s->read,
                s->given.len);
        fwrite(s->given.ptr, 1, s->given.len, stderr);
        fprintf(stderr, "\n---- and Weir sent:\n");
        fwrite(s->sent.ptr, 1, s->sent.len, stderr);
        fputc('\n', stderr);
    }
}

static void check_nothing_left(void)
{
    struct worker *worker = &world.worker;
    struct worker_stats *stats = &worker->stats;
    struct cache_stats cache;
    uint64_t outcomes = 0;
    weir_assert(list_empty(&worker->sessions) && list_empty(&worker->fetches));
    weir_assert(cell_read(&stats->open) == 0 && cell_read(&stats->idle) == 0);
    weir_assert(cell_read(&stats->waiters) == 0);
    weir_assert(cell_read(&stats->started) == cell_read(&stats->finished));
    for (unsigned i = 0; i < OUTCOMES; i++)
        outcomes += cell_read(&stats->outcomes[i]);
    weir_assert(outcomes == cell_read(&stats->finished));
    weir_assert(cell_read(&worker->loop.bufferevents.stats.leased) == 0);
    cache_read_stats(world.weir.cache, &cache);
    weir_assert(cache.fills == 0 && cache.readers == 0);
    weir_assert(cache.memory.fills == 0 && cache.memory.pinned == 0);
    weir_assert(cache.bytes <= cache.memory_limit);
    check_pool(world.weir.conf);
    if (getenv("FUZZ_SHOW") != NULL)
        show();
    check_messages();
}

/* ---- one world per input ---- */

static struct conf *load_conf(void)
{
    struct conf_errors errors = {0};
    struct conf *conf = conf_parse("fuzz", conf_text, sizeof conf_text - 1, &errors);
    if (conf == NULL)
        fputs(errors.text, stderr);
    weir_assert(conf != NULL);
    conf_errors_destroy(&errors);
    return conf;
}

static void add_step(enum op op, struct str bytes)
{
    if (world.steps_count < STEPS_MOST)
        world.steps[world.steps_count++] = (struct step){op, bytes};
}

static void begin(void)
{
    memset(&world, 0, sizeof world);
}

static void run_world(void)
{
    static struct conf *conf;
    struct weir *weir = &world.weir;
    if (conf == NULL)
        conf = load_conf();
    log_set_level(LOG_ERROR_LEVEL);
    fake_kernel_start(on_idle);
    weir->conf = conf;
    weir->cache = cache_new(conf->cache_memory, conf->cache_max_object, 1, 1);
    weir->pool = pool_new(conf_ref(conf), NULL, worker_mono_ms);
    weir->workers = &world.worker;
    weir->workers_count = 1;
    worker_init(&world.worker, weir, 0);
    world.worker.listen_fds[0] = fake_kernel_listener();
    worker_main(&world.worker);
    check_nothing_left();
    worker_destroy(&world.worker);
    pool_free(&weir->pool);
    cache_free(&weir->cache);
    fake_kernel_end();
}

/* Bytes from 0xf0 on begin a step, of the op that their low half names; what follows up to the
 * next one is its bytes. */
void fuzz_connection(const uint8_t *bytes, size_t len)
{
    begin();
    for (size_t at = 0; at < len;) {
        enum op op = bytes[at] >= 0xf0 ? (enum op)(bytes[at++] & 15) : OP_CLIENT;
        size_t start = at;
        while (at < len && bytes[at] < 0xf0)
            at++;
        add_step(op, str_of((const char *)bytes + start, at - start));
    }
    run_world();
}

/* The bytes of one client, in one to four parts, while the origin answers. */
void fuzz_client(const uint8_t *bytes, size_t len)
{
    struct str rest = str_of((const char *)bytes, len);
    begin();
    world.answers = true;
    for (unsigned parts = fuzz_draw(4); parts > 0 && rest.len > 0; parts--) {
        size_t part = fuzz_draw((uint32_t)rest.len);
        add_step(OP_CLIENT, str_of(rest.ptr, part));
        rest = str_of(rest.ptr + part, rest.len - part);
    }
    add_step(OP_CLIENT, rest);
    add_step(OP_CLOCK, STR("\x03"));
    run_world();
}

static const struct {
    struct str first, second;
} askers[] = {
#define ASKER(a, b)                                                                                \
    {                                                                                              \
        {a, sizeof(a) - 1},                                                                        \
        {                                                                                          \
            b, sizeof(b) - 1                                                                       \
        }                                                                                          \
    }
    ASKER("GET /c HTTP/1.1\r\nHost: a\r\n\r\n", "GET /c HTTP/1.1\r\nHost: a\r\n\r\n"),
    ASKER("HEAD /c HTTP/1.1\r\nHost: a\r\n\r\n", "GET /c HTTP/1.1\r\nHost: a\r\n\r\n"),
    ASKER("POST /c HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
          "GET /c HTTP/1.0\r\nHost: a\r\n\r\n"),
    ASKER("GET /ttl HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
          "GET /ttl HTTP/1.1\r\nHost: a\r\nAccept: b\r\n\r\n"),
    ASKER("GET /ttl HTTP/1.1\r\nHost: a\r\n\r\n",
          "GET /ttl HTTP/1.1\r\nHost: a\r\nCache-Control: no-cache\r\n\r\n"),
    ASKER("PUT /pass HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: "
          "chunked\r\n\r\n"
          "3\r\nabc\r\n0\r\n\r\n",
          "GET /pass HTTP/1.1\r\nHost: a\r\n\r\n"),
    ASKER("GET /c HTTP/1.1\r\nHost: a\r\nRange: bytes=1-2,100-\r\n\r\n",
          "GET /c HTTP/1.1\r\nHost: a\r\nRange: bytes=-1\r\nIf-Range: \"c\"\r\n\r\n"),
};

/* A byte chooses who asks, another one how; the rest is what the origin sends each time it is
 * asked. */
void fuzz_origin(const uint8_t *bytes, size_t len)
{
    if (len < 2)
        return;
    unsigned who = bytes[0] % weir_count(askers), how = bytes[1];
    struct str answered = str_of((const char *)bytes + 2, len - 2);
    struct str first =
        str_of(answered.ptr, how & 1 && len > 2 ? fuzz_draw((uint32_t)answered.len) : answered.len);
    begin();
    add_step(OP_CLIENT, askers[who].first);
    if (how & 2) { /* someone waits along */
        add_step(OP_CHOOSE_CLIENT, STR("\x01"));
        add_step(OP_CLIENT, askers[who].second);
    }
    add_step(OP_ORIGIN, first);
    add_step(OP_ORIGIN, str_of(first.ptr + first.len, answered.len - first.len));
    if (how & 4)
        add_step(OP_ORIGIN_ENDS, how & 8 ? STR("\x01") : STR("\x00"));
    add_step(OP_CLOCK, how & 16 ? STR("\x03") : STR("\x00"));
    add_step(OP_CHOOSE_CLIENT, STR("\x02"));
    add_step(OP_CLIENT, askers[who].second);
    add_step(OP_ORIGIN, answered);
    add_step(OP_ORIGIN_ENDS, how & 32 ? STR("\x00") : STR("\x01"));
    run_world();
}
