/*
 * proxy: the two machines, what they run on, and how the process lives.
 *
 *   session (HTTP/1 connection) -> request machine -> cache, or a fetch machine -> origin
 *
 * A worker is a thread with its own loop; everything here that is not said to be shared belongs to
 * one worker and is touched on its thread only. A request writes to a sink and does not know its
 * transport; a fetch writes to a fill and does not know who reads.
 */
#ifndef WEIR_PROXY_H
#define WEIR_PROXY_H

#include "base/base.h"
#include "cache/cache.h"
#include "conf/conf.h"
#include "net/net.h"
#include "pool/pool.h"

#include <pthread.h>

struct fetch;
struct request;
struct sink;
struct weir;
struct worker;

/* ==== How a request was answered ==== */

/* Each finished request counts in exactly one: symbol, field of /stats "cache", word in the access
 * log and in /metrics. */
#define OUTCOME_TABLE(X)                                                                           \
    X(HIT, "hits", "hit")                                                                          \
    X(MISS, "misses", "miss")                                                                      \
    X(STALE, "stale", "stale")                                                                     \
    X(REVALIDATED, "revalidated", "revalidated")                                                   \
    X(COALESCED, "coalesced", "coalesced")                                                         \
    X(PASS, "passes", "pass")                                                                      \
    X(LOCAL, "local", "local")

enum outcome {
#define X(symbol, counter, word) OUTCOME_##symbol,
    OUTCOME_TABLE(X)
#undef X
    OUTCOMES
};
struct str outcome_word(enum outcome outcome); /* zero-terminated */

/* ==== Weir's own answers ==== */

/* symbol, status, detail of Cache-Status, text */
#define LOCAL_TABLE(X)                                                                             \
    X(NO_ROUTE, 404, "no-route", "no route matches this host and path")                            \
    X(BAD_REQUEST, 400, "bad-request", "the request is malformed")                                 \
    X(CONNECT_REFUSED_METHOD, 405, "connect-method", "CONNECT is not served here")                 \
    X(REQUEST_TIMEOUT, 408, "request-timeout", "the request did not arrive in time")               \
    X(BODY_TOO_LARGE, 413, "body-too-large", "the request body is larger than limits.body_size")   \
    X(NOT_CACHED, 504, "only-if-cached", "nothing usable is stored")                               \
    X(MAX_FORWARDS, 200, "max-forwards", "Max-Forwards is 0")                                      \
    X(PURGED, 200, "purged", "")                                                                   \
    X(PURGE_FORBIDDEN, 403, "purge-forbidden",                                                     \
      "this address may not purge here; routes[].cache.purge_from names those that may")           \
    X(OVERLOADED, 503, "overloaded", "out of memory")                                              \
    X(QUEUE_FULL, 503, "queue-full", "too many requests wait for this origin")                     \
    X(QUEUE_TIMEOUT, 503, "queue-timeout", "no connection to the origin became free in time")      \
    X(NO_ADDRESS, 502, "no-address", "the origin's name could not be resolved")                    \
    X(CONNECT_FAILED, 502, "connect-failed", "the origin could not be reached")                    \
    X(CONNECT_TIMEOUT, 504, "connect-timeout", "the origin did not accept the connection in time") \
    X(ORIGIN_CLOSED, 502, "origin-closed", "the origin closed the connection without an answer")   \
    X(ORIGIN_MALFORMED, 502, "origin-malformed", "the origin's answer is not valid HTTP")          \
    X(FIRST_BYTE_TIMEOUT, 504, "first-byte-timeout", "the origin did not answer in time")          \
    X(COALESCE_TIMEOUT, 504, "coalesce-timeout",                                                   \
      "the origin did not answer another request for this in time")                                \
    X(BETWEEN_BYTES_TIMEOUT, 504, "between-bytes-timeout", "the origin stopped sending")           \
    X(ORIGIN_CUT, 502, "origin-cut", "the origin's answer ended early")                            \
    X(BODY_TIMEOUT, 408, "body-timeout", "the request body did not arrive in time")                \
    X(CLIENT_GONE, 499, "client-gone", "the client has left")

enum local {
    LOCAL_NONE,
#define X(symbol, status, detail, text) LOCAL_##symbol,
    LOCAL_TABLE(X)
#undef X
    LOCALS
};
struct local_row {
    unsigned status;
    const char *detail, *text;
};
const struct local_row *local_row(enum local local);

/* The object for such an answer: JSON or text by the client's Accept (`accept_json`). NULL when
 * memory is out. */
struct cache_object *local_object(unsigned status, const char *text, bool accept_json,
                                  int64_t wall_s);
/* The same for what is said in JSON, with status 200. */
struct cache_object *local_json(struct str body, int64_t wall_s);

/* The key's text of a GET for the URL, by the rules of the route that it would take. False when it is
 * not an absolute http or https URL, or does not fit: at most three bytes more than the URL. */
bool purge_write_key(const struct conf *conf, struct str url, struct appender *out);
/* PURGE for those whom the route names (purge.c). Whether Weir answers the request, and not the origin. */
bool purge_is_meant(const struct request *request);
/* Forgets what it asks for. The answer's object; NULL when memory is out, or *local is another
 * answer. */
struct cache_object *purge_answer(const struct request *request, enum local *local);

/* ==== Sinks: where a response goes ==== */

struct response_head {
    unsigned status;
    struct str block;       /* field lines, stable until the sink has sent all */
    struct str extra;       /* further field lines, valid during the call */
    int64_t content_length; /* -1: not known */
    bool bodiless;          /* no body follows, whatever content_length announces */
};

/* One step of a response. Head, body and end may come together: a small hit is one call. */
struct response_part {
    const struct response_head *head; /* or NULL */
    const struct iovec *body;         /* stable until the sink has sent all */
    unsigned body_count;
    bool end;            /* nothing follows */
    struct str trailers; /* with `end` */
};

struct sink_ops {
    /* Sends it in order. QUEUED: request_writable() follows when all has been taken; until then
     * nothing more may be sent. FAILED: the client is gone; the request ends with
     * request_abandon(). */
    enum net_sent (*send)(struct sink *sink, const struct response_part *part);
    /* Passes on a 1xx response (RFC 9110 §15.2); dropped for clients that cannot take it. */
    void (*interim)(struct sink *sink, unsigned status, struct str block);
    /* The request has ended: cleanly, or broken visibly (`cut`; not an error of Weir's when no head
     * was sent). The request's memory is the transport's again after this. */
    void (*done)(struct sink *sink, bool cut);
    /* The origin may take request body bytes (again). */
    void (*want_body)(struct sink *sink);
    /* Gives up the connection to a tunnel: its net_conn, which the tunnel may use until done() is
     * called. NULL where there is none. */
    struct net_conn *(*tunnel)(struct sink *sink);
};

struct sink {
    const struct sink_ops *ops;
};

/* ==== Requests ==== */

/* What an exchange with an origin spends its time on: symbol, name. */
#define PHASE_TABLE(X)                                                                             \
    X(QUEUE, "queue")           /* waiting for a connection of the pool */                         \
    X(CONNECT, "connect")       /* every address that is tried counted */                          \
    X(UPLOAD, "upload")         /* the request's body, as its client and the origin have it */     \
    X(FIRST_BYTE, "first_byte") /* from the request sent whole to an answer's first byte */        \
    X(BODY, "body")             /* from then to the answer's end */

enum fetch_phase {
#define X(symbol, name) PHASE_##symbol,
    PHASE_TABLE(X)
#undef X
    PHASES
};
const char *phase_name(enum fetch_phase phase);

/* Every attempt counted; 0 where it did not come to it. */
struct phases {
    uint64_t us[PHASES];
};

/* What the transport has to say of a request. */
struct request_client {
    struct str scheme; /* of the listener: "http" */
    const struct sockaddr *peer;
};

#define TRACE_ID_BYTES 32

#define REQUEST_STATES(X)                                                                          \
    X(ROUTE, "which route: none answers 404")                                                      \
    X(AWAIT_CONTENT, "the content of a QUERY, which is part of its key")                           \
    X(LOOKUP, "hit, join a fill, lead a fetch, or pass")                                           \
    X(FETCH, "start a fetch of its own: a pass")                                                   \
    X(AWAIT_HEAD, "the fill's response head")                                                      \
    X(DELIVER, "send what there is of head and body")                                              \
    X(AWAIT_BODY, "more of the fill's body")                                                       \
    X(AWAIT_CLIENT, "the client to take what was sent")                                            \
    X(TUNNEL, "bytes both ways, until both have ended")                                            \
    X(FINISH, "count, log, tell the transport")

enum request_state {
#define X(symbol, text) REQUEST_##symbol,
    REQUEST_STATES(X)
#undef X
    REQUEST_WAIT, /* returned by a state: something named will wake the machine */
    REQUEST_DONE
};

/* One exchange with a client. Embedded by the transport, which zeroes nothing but calls
 * request_init(). */
struct request {
    unsigned magic;
    /* fixed by request_start */
    struct worker *worker;
    struct sink *sink;
    const struct http1_head *head; /* the transport's; its spans stay until done() */
    struct str scheme;
    const struct sockaddr *peer;
    int64_t started_us;

    /* machine */
    enum request_state state;
    bool running;
    const struct conf_route *route;
    const struct conf_route_key *key_rules; /* of the route that a GET of the target takes */
    struct policy_request directives;
    struct str target_sent;  /* what the origin gets; in the arena or the head */
    struct content *content; /* reference; of a QUERY that is to be looked up, else NULL */
    struct arena arena;

    /* source of the response: an object, or a fill through the reader */
    struct cache_object *object; /* owned */
    struct cache_reader reader;
    struct fetch *fetch;              /* the one this request leads, while it needs it; else NULL */
    bool waiter;                      /* reads along what another one fetches */
    struct wheel_timer wait_deadline; /* a waiter's, until the head comes */

    /* delivery */
    enum outcome outcome;
    const char *forward;     /* Cache-Status fwd=; NULL for a hit */
    unsigned forward_status; /* 304 after a revalidation, else 0 */
    bool stored, collapsed;
    const char *detail;
    unsigned status;
    bool head_sent, bodiless, not_modified, whole_sent;
    bool range_forwarded; /* the origin was asked for what Range says: its answer is the answer */
    struct range_plan *ranges; /* of a 206 or 416 that Weir makes, in the arena; else NULL */
    uint64_t offset;           /* body bytes of the response handed to the sink and taken */
    uint64_t in_flight;        /* body bytes handed to the sink, not yet taken */
    uint64_t sent_bytes;       /* of body, for the log */
    bool alone;                /* has been sent to the origin by itself: not joined again */
    bool client_gone;
    bool blocked; /* the sink has not taken in_flight yet */
    bool tunnel_ended;
    void (*on_freed)(struct request *request); /* the transport's: the memory may go */

    /* for the log */
    int64_t ttl_s;
    char upstream_address[64];
    unsigned retries;
    struct phases phases;        /* of the fetch that it led */
    int64_t since_us;            /* when it began to wait for one of these: */
    uint64_t wait_us, client_us; /* for another one's fetch; for its client to take what was sent */
    char made_id[TRACE_ID_BYTES]; /* see trace.c; not made yet when it begins with 0 */
};

/* Prepares the parts that outlive one exchange (arena, reader). */
void request_init(struct request *request, void (*on_freed)(struct request *));
void request_destroy(struct request *request);
/* Runs a request whose head is complete; on_freed follows in the end, maybe from inside this call.
 */
void request_start(struct request *request, struct worker *worker, struct sink *sink,
                   const struct http1_head *head, const struct request_client *client,
                   int64_t now_us);
/* Answers by Weir itself, instead of routing (a malformed or too large request). */
void request_start_local(struct request *request, struct worker *worker, struct sink *sink,
                         const struct http1_head *head, const struct request_client *client,
                         unsigned status, const char *detail, const char *text, int64_t now_us);
/* The transport has moved the head's bytes. */
void request_head_moved(struct request *request, const char *from, size_t len, const char *to);
/* The sink has sent all that was queued. */
void request_writable(struct request *request);
/* The client has gone, and so many bytes that the sink had queued with it; the sink is no longer
 * called. */
void request_abandon(struct request *request, uint64_t untaken);
/* The request's body: bytes in order, as the fetch takes them. QUEUED: taken, but send no more
 * until request_wants_body(), or want_body(). The request may have ended after these. */
enum net_sent request_body(struct request *request, struct str bytes);
/* Its end, with trailer field lines that may be forwarded. */
enum net_sent request_body_end(struct request *request, struct str trailers);
/* The body failed (malformed, too large, timed out): answered when no head has been sent, else cut.
 */
void request_body_failed(struct request *request, unsigned status, const char *detail,
                         const char *text);
/* Whether body bytes can be taken now. */
bool request_wants_body(const struct request *request);

/* The key's text of what the request asks for; `out` has room for a head. */
void request_write_key(const struct request *request, struct appender *out);

/* Used by the fetch that a request leads. */
void request_on_interim(struct request *request, unsigned status, struct str block);
/* Sends the 101 and gives up the client's connection to the fetch's tunnel; NULL when the transport
 * has none to give. */
struct net_conn *request_on_tunnel(struct request *request, struct str block);
void request_on_tunnel_end(struct request *request, uint64_t sent_bytes);
/* What the log has to say of a fetch; the address is the server's. */
struct fetch_report {
    unsigned retries;
    const char *address;
    struct phases phases;
};
/* The fetch no longer serves this request: it has ended, or the request has left it. */
void request_on_fetch_end(struct request *request, const struct fetch_report *report);
void request_on_want_body(struct request *request);

/* ==== Contents of requests that are needed before the lookup (content.c) ==== */

struct content;
/* Of at most `most` bytes, to be looked up by; one reference. NULL when memory is out. */
struct content *content_new(struct cache *cache, uint64_t most);
struct content *content_ref(struct content *content);
/* Leaves NULL. */
void content_release(struct content **content);
/* False when memory is out. */
bool content_add(struct content *content, struct str bytes);
/* It has more than `most`: what there is of it is the beginning of a body. */
bool content_is_too_large(const struct content *content);
void content_end(struct content *content);
/* Its end has come. False for NULL. */
bool content_is_whole(const struct content *content);
/* Stable while it is whole. */
struct str content_bytes(const struct content *content);
/* What is looked up for it; valid until the worker's scratch is used again. */
void request_make_query(const struct request *request, struct cache_query *query);

/* ==== What is stored, though stale (stale.c) ==== */

/* It has been found stale, and may be delivered: the request's from here. A refresh begins where one
 * is due. */
void stale_deliver(struct request *request, const struct cache_query *query,
                   struct cache_find *found);
/* The origin has failed with that status (0: without one) and detail: what is stored is the request's
 * where it may take the answer's place. */
enum stale_given {
    STALE_NONE,
    STALE_GIVEN,
    STALE_FORBIDDEN /* there is one, and it must not (RFC 9111 §5.2.2.2) */
} stale_on_error(struct request *request, unsigned status, const char *detail);
/* What stale_on_error() would say, with nothing taken. */
enum stale_given stale_foresee(const struct request *request);
/* Whether the answer to a failure of that detail is a 504, since the origin cannot be reached. */
bool stale_makes_504(enum stale_given given, const char *detail);

/* ==== Delivery: what a response looks like (deliver.c) ==== */

/* Age, Cache-Status; in Weir's own answers X-Request-ID. */
void deliver_extra(struct request *request, const struct cache_meta *meta, int64_t now_ms,
                   struct appender *out);

/* A copy in the arena of the lines of a field block whose names are kept, with `room` bytes behind
 * them. False when memory is out. */
bool deliver_filter_block(struct arena *arena, struct str block,
                          bool (*is_kept)(struct str name, unsigned how), unsigned how, size_t room,
                          struct appender *out);

/* ==== Ranges: 206 and 416 (range.c) ==== */

/* Makes of a 200's head that of a 206 or 416, and request->ranges, where the request's Range asks
 * for it. False when memory is out. */
bool range_prepare(struct request *request, const struct policy_selected *selected,
                   struct response_head *head);
/* What comes next of the response, as far as it is there; at most `max` pieces, stable until the
 * request ends. */
unsigned range_pieces(struct request *request, struct iovec *pieces, unsigned max);
/* Of the response's content. */
uint64_t range_length(const struct range_plan *plan);
/* Of the selected response's body: what lies before is no longer needed. */
uint64_t range_next_byte(const struct request *request);

/* ==== Names of a request in logs and at the origin (trace.c) ==== */

/* Start-up: what the worker's ids are made from. */
void trace_seed(struct worker *worker);
/* Borrowed from the request or its head. */
struct request_ids {
    struct str request_id; /* the client's X-Request-ID where it is one well-formed line */
    struct str trace_id;   /* of its traceparent (W3C Trace Context §3.2) likewise */
};
#define TRACE_REQUEST_ID_MOST 128
/* Where the client sent none, one of Weir's own stands for both. */
struct request_ids trace_ids(struct request *request);
/* Whether traceparent and tracestate of the client go on as they are. */
bool trace_is_continued(const struct request *request);
/* Field lines for the origin: X-Request-ID, and traceparent where Weir starts it. Returns the
 * request's id as it stands in `out`. */
struct str trace_append_fields(struct request *request, struct appender *out,
                               char id_of_trace[TRACE_ID_BYTES]);
#define TRACE_FIELDS_BYTES (TRACE_REQUEST_ID_MOST + 96)

/* ==== Fetches ==== */

#define FETCH_STATES(X)                                                                            \
    X(LEASE, "ask the pool for a connection")                                                      \
    X(AWAIT_LEASE, "the pool's queue")                                                             \
    X(CONNECT, "start connecting")                                                                 \
    X(AWAIT_CONNECT, "the connection")                                                             \
    X(SEND, "send the request's head")                                                             \
    X(AWAIT_RESPONSE, "the response's head, and its request's body")                               \
    X(READ_HEAD, "parse the response's head, pass on 1xx")                                         \
    X(READ_BODY, "move body bytes into the fill")                                                  \
    X(AWAIT_BODY, "more body from the origin")                                                     \
    X(AWAIT_ROOM, "the reader of a pass to take some")                                             \
    X(TUNNEL, "bytes both ways after a 101")                                                       \
    X(COMPLETE, "the exact end: store, and park the connection")                                   \
    X(FAIL, "retry once on a fresh connection, or break every reader")                             \
    X(RELEASE, "free what is held")

enum fetch_state {
#define X(symbol, text) FETCH_##symbol,
    FETCH_STATES(X)
#undef X
    FETCH_WAIT,
    FETCH_DONE
};

/* Why and how a fetch starts. */
struct fetch_order {
    struct request *request;     /* the leader, on this worker */
    struct cache_fill *fill;     /* consumed */
    struct cache_object *stored; /* to be validated: consumed; or NULL */
    /* Of what it asks for, where it was looked up, or of what its response may be stored as; copied. */
    const struct cache_key *key;
    bool
        findable; /* the response may be stored as that, and others may find the fill, unless it is a POST's */
    bool cacheable; /* looked up: conditions and ranges of the client are not forwarded */
    bool vary_miss; /* only other variants are stored: they are asked about */
    bool refresh; /* nobody leads it: the request is only what it is made like, and GET for HEAD */
};

/* Starts a fetch; it tells its leader through request_on_*, and everyone through the fill. False
 * when memory is out (the fill has been aborted). */
bool fetch_start(struct worker *worker, struct fetch_order *order);
/* The leader leaves: no request_on_* any more. The fetch goes on when that is worth while. Leaves
 * NULL. */
void fetch_leave(struct fetch **fetch);
/* The same for a leader that has been answered and needs no more (HEAD, 304): what is to be stored
 * is fetched to its end. */
void fetch_leave_satisfied(struct fetch **fetch);
enum net_sent fetch_body(struct fetch *fetch, struct str bytes);
enum net_sent fetch_body_end(struct fetch *fetch, struct str trailers);
bool fetch_wants_body(const struct fetch *fetch);

/* Weir is to stop: a refresh that nobody waits for ends. */
void fetch_drain(struct list_link *link);

size_t fetch_bytes(const struct conf *conf);

/* The request as the origin gets it (forward.c): head bytes in the arena. ptr NULL when memory is
 * out. */
struct forward {
    struct request *request;
    const struct conf_upstream *upstream;
    const struct conf_server *server;
    bool cacheable;
    bool refresh;                         /* GET, where the request is a HEAD */
    struct cache_object *stored;          /* adds If-None-Match, If-Modified-Since; or NULL */
    struct cache_object *const *variants; /* add If-None-Match */
    unsigned variants_count;
    struct str request_id;         /* out: lies in the head */
    char trace_id[TRACE_ID_BYTES]; /* out */
};
struct str forward_request(struct forward *forward, struct arena *arena);
/* The response's field lines as they are stored and passed on, with Via and Date. False when they
 * do not fit. */
bool forward_response_block(const struct http1_head *head, int64_t wall_s, struct appender *out);
/* The part of a response's fields that a 101 or other 1xx carries on; `upgrade` keeps Upgrade. */
bool forward_interim_block(const struct http1_head *head, bool upgrade, struct appender *out);
/* Trailer fields that may be passed on (RFC 9110 §6.5.1). */
bool forward_trailers(struct fields fields, struct appender *out);

/* ==== Tunnels (RFC 9110 §7.8) ==== */

struct tunnel;
/* NULL when memory is out. */
struct tunnel *tunnel_new(struct worker *worker, struct net_conn *origin, void *owner,
                          void (*on_end)(void *owner, uint64_t to_client_bytes));
/* Takes over both connections' events; on_end is called once, after which the owners close them. */
void tunnel_start(struct tunnel *tunnel, struct net_conn *client);
void tunnel_free(struct tunnel **tunnel);

/* ==== Routes ==== */

/* The first route that matches, or NULL. `path_query` is as the client sent it; *path_rest, when
 * the route strips its prefix, is what remains (in the arena where it had to be normalised). */
const struct conf_route *route_match(const struct conf *conf, enum method method,
                                     struct str method_name, struct str authority,
                                     struct str path_query, struct arena *arena,
                                     struct str *path_rest);

/* ==== Workers ==== */

struct route_stats {
    cell requests;
    /* owned; made when the first request ends so */
    _Atomic(struct histogram *) latency_us[OUTCOMES];
};

/* Of origins: one value of an exchange for each phase that it came to, unless its client broke that
 * off. */
struct upstream_stats {
    struct histogram phases_us[PHASES];
};

/* Cells first, and of those that go up together, what happens first in front (figures.c reads them
 * from the last to the first). */
struct worker_stats {
    cell started, finished;
    cell status[6]; /* by class; 0: none was sent */
    cell outcomes[OUTCOMES];
    cell accepted, open, idle, accept_paused;
    cell rejected[HTTP1_ERRORS];
    cell client_gone, cut, interim, too_slow, waiters;
    cell refreshes, refreshes_failed;
    struct route_stats *routes;       /* owned; one per route */
    struct upstream_stats *upstreams; /* owned; one per upstream */
};

struct access_pen;

struct worker {
    unsigned magic;
    unsigned index;
    struct weir *weir; /* shared */
    const struct conf *conf;
    struct cache *cache; /* shared */
    struct pool *pool;   /* shared */
    pthread_t thread;
    struct net_loop loop;
    struct net_listener *listeners;
    int *listen_fds; /* owned until the listeners open */
    unsigned listeners_count;
    struct list_link sessions, fetches;
    struct freelist session_list, exchange_list, fetch_list;
    struct http1_limits head_limits;
    bool draining;
    bool joined;   /* main thread's */
    char *scratch; /* SCRATCH_BYTES; valid inside one step of a machine */
    size_t scratch_bytes;
    int64_t date_s; /* of date_text */
    char date_text[DATE_BYTES];
    struct access_pen *pen; /* NULL: neither access log nor slow log */
    int64_t log_from_us;    /* requests that took so long are told to access_log_write() */
    struct mail drain_mail;
    uint64_t id_seed, id_key, id_count; /* of the ids that trace.c makes */
    struct worker_stats stats;
};

#define WORKER_MAGIC 0x574f524bu

void worker_init(struct worker *worker, struct weir *weir, unsigned index);
/* Thread's main function. */
void *worker_main(void *worker);
/* Any thread: close listeners, finish what runs, close what idles, then stop. */
void worker_drain(struct worker *worker);
void worker_destroy(struct worker *worker);
/* Owner thread: a session has ended; when draining, the last one stops the loop. */
void worker_session_ended(struct worker *worker);
/* Owner thread: logs, at a pace, what memory was missing for, and what follows. */
void worker_lacks_memory(struct worker *worker, const char *what);
int64_t worker_wall_s(void);
int64_t worker_mono_ms(void);

/* HTTP/1 sessions (h1.c). */
struct session;
size_t session_bytes(void);
size_t exchange_bytes(const struct conf *conf);
void session_open(struct worker *worker, int fd, const struct sockaddr *peer);
void session_drain(struct session *session);
struct session *session_of_link(struct list_link *link);

/* ==== Access log and slow log (accesslog.c) ==== */

/* One line per finished request, and one more per slow request, formatted on the worker, written by
 * a thread of their own. A full ring drops the line and counts it. */
struct access_log;
/* NULL in *out when neither is asked for. False, and told, when a file is not to be had. */
bool access_log_open(const struct conf *conf, unsigned workers, struct access_log **out);
/* What a worker writes with; NULL without a log. */
struct access_pen *access_log_pen(struct access_log *log, unsigned worker);
/* Least time of a request that any of the logs tells of; INT64_MAX: none does. */
int64_t access_log_from_us(const struct access_log *log);
/* With the worker's pen, for a request that took at least that long. */
void access_log_write(struct worker *worker, struct request *request, int64_t now_us);
/* Main thread: the files are opened anew, by the writer's thread: what is written from then on is
 * in the new ones. One that cannot be opened stays as it is, and that is told. */
void access_log_reopen(struct access_log *log);
/* Main thread, once a second: tells of lines that found no room. */
void access_log_sweep(struct access_log *log);
/* Lines since the start: taken by the file, and not. Any thread. */
struct access_log_counts {
    uint64_t written, dropped;
};
void access_log_count(const struct access_log *log, struct access_log_counts *access,
                      struct access_log_counts *slow);
/* After the workers have ended: writes what is left. */
void access_log_close(struct access_log **log);

/* ==== The process (run.c) ==== */

enum weir_phase {
    WEIR_STARTING,
    WEIR_RUNNING,
    WEIR_DRAINING,
    WEIR_STOPPED
};

struct weir {
    struct conf *conf;       /* reference */
    struct event_base *base; /* main thread's */
    struct cache *cache;
    struct pool *pool;
    struct net_resolver *resolver;
    struct access_log *access_log;
    struct worker *workers;
    unsigned workers_count;
    atomic_uint workers_running;
    _Atomic enum weir_phase phase;
    int64_t started_us, started_wall_us;
    bool test_clock;
    struct conf_address *bound; /* where each listener really listens; one per conf->listen */
    struct conf_address admin_bound;
    struct admin *admin;
};

/* Runs until TERM or INT; takes the reference. Returns the exit status. `on_ready` (or NULL) is
 * called once on the main thread when requests are answered. */
int weir_run(struct conf *conf, bool test_clock, void (*on_ready)(struct weir *weir, void *arg),
             void *arg);
/* Any thread: begin to drain. */
void weir_drain(struct weir *weir);

/* ==== Admin (admin/) ==== */

struct admin;
/* Main thread. NULL with *why when the port is not to be had. */
struct admin *admin_open(struct weir *weir, const char **why);
void admin_close(struct admin **admin);
/* The text of /stats; freed by the caller. */
char *admin_stats_json(struct weir *weir);

/* ==== Commands (main.c, client.c, demo.c) ==== */

int command_stats(int argc, char **argv);
int command_purge(int argc, char **argv);
int command_demo(int argc, char **argv);

#endif
