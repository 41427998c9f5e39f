/*
 * net: bytes on sockets, and HTTP/1 messages as bytes.
 *
 * The HTTP/1 half is pure: functions over (buffer, length, where it stopped), no allocation, no
 * clock, no socket. The connection half belongs to one worker's loop; nothing of it may be called
 * from another thread, apart from what says so.
 */
#ifndef WEIR_NET_H
#define WEIR_NET_H

#include "base/base.h"
#include "conf/conf.h"

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/uio.h>

/* ==== HTTP/1 messages (RFC 9112) ==== */

/* Why a message is refused: symbol, counter (`requests.rejected.<counter>` in /stats), status for a
 * client, text. */
#define HTTP1_ERROR_TABLE(X)                                                                       \
    X(BARE_CR, "bare_cr", 400, "a CR that no LF follows")                                          \
    X(BARE_LF, "bare_lf", 400, "a LF that no CR precedes")                                         \
    X(OBS_FOLD, "obs_fold", 400, "a folded field line")                                            \
    X(SPACE_BEFORE_COLON, "space_before_colon", 400, "white space before a colon")                 \
    X(BAD_METHOD, "bad_method", 400, "an illegal character in the method")                         \
    X(BAD_TARGET, "bad_target", 400, "an illegal request target")                                  \
    X(BAD_VERSION, "bad_version", 400, "a malformed HTTP version")                                 \
    X(UNSUPPORTED_VERSION, "unsupported_version", 505, "an HTTP version other than 1.0 and 1.1")   \
    X(BAD_STATUS_LINE, "bad_status_line", 400, "a malformed status line")                          \
    X(BAD_FIELD_NAME, "bad_field_name", 400, "an illegal character in a field name")               \
    X(BAD_FIELD_VALUE, "bad_field_value", 400, "an illegal character in a field value")            \
    X(HOST_MISSING, "host_missing", 400, "no Host field")                                          \
    X(HOST_REPEATED, "host_repeated", 400, "more than one Host field")                             \
    X(HOST_BAD, "host_bad", 400, "an illegal Host")                                                \
    X(LENGTH_BAD, "length_bad", 400, "a malformed Content-Length")                                 \
    X(LENGTH_REPEATED, "length_repeated", 400, "more than one Content-Length")                     \
    X(LENGTH_AND_CODING, "length_and_coding", 400, "both Content-Length and Transfer-Encoding")    \
    X(CODING_UNKNOWN, "coding_unknown", 400, "a transfer coding other than chunked")               \
    X(CODING_IN_HTTP10, "coding_in_http10", 400, "Transfer-Encoding in an HTTP/1.0 message")       \
    X(TARGET_TOO_LONG, "target_too_long", 414, "a request target longer than limits.header_size")  \
    X(HEAD_TOO_LARGE, "head_too_large", 431, "a head larger than limits.header_size")              \
    X(TOO_MANY_FIELDS, "too_many_fields", 431, "more fields than limits.headers")                  \
    X(CHUNK_BAD_SIZE, "chunk_bad_size", 400, "a malformed chunk size")                             \
    X(CHUNK_BAD_EXTENSION, "chunk_bad_extension", 400, "a malformed or overlong chunk extension")  \
    X(CHUNK_BAD_END, "chunk_bad_end", 400, "chunk data that no CRLF follows")

enum http1_error {
    HTTP1_OK,
#define X(symbol, counter, status, text) HTTP1_##symbol,
    HTTP1_ERROR_TABLE(X)
#undef X
    HTTP1_ERRORS
};

struct http1_error_row {
    const char *counter;
    unsigned status;
    const char *text;
};
const struct http1_error_row *http1_error_row(enum http1_error error);

struct http1_limits {
    size_t head_bytes;
    unsigned fields;
};

/* How the end of a body is found (RFC 9112 §6.3). */
enum http1_body {
    HTTP1_BODY_NONE,
    HTTP1_BODY_LENGTH,
    HTTP1_BODY_CHUNKED,
    HTTP1_BODY_UNTIL_CLOSE
};

/* Forms of a request target (RFC 9112 §3.2). */
enum http1_target {
    HTTP1_ORIGIN_FORM,
    HTTP1_ABSOLUTE_FORM,
    HTTP1_AUTHORITY_FORM,
    HTTP1_ASTERISK_FORM
};

/* A head being parsed or parsed. All spans point into the buffer it was parsed from, or are empty;
 * path_query may be a literal "*". Visible: it is read everywhere. */
struct http1_head {
    struct field *list; /* borrowed; `capacity` rows */
    unsigned count, capacity;

    /* request line */
    enum method method;
    enum http1_target target_form;
    struct str method_name;
    struct str target;     /* as sent */
    struct str authority;  /* of an absolute-form or authority-form target, else of Host; "" when an
                             HTTP/1.0 request has none */
    struct str path_query; /* target from its path on: what an origin-form target would be; "*" for
                          asterisk-form, "/" when an    absolute-form target has an empty path and no
                          query ("*" with OPTIONS, RFC 9112 §3.2.4),
                                 "?q" (to be sent as "/?q") when only a query; "" for authority-form */
    struct str scheme;     /* of an absolute-form target; "" otherwise */

    /* status line */
    unsigned status;
    struct str reason;

    uint8_t minor;        /* HTTP/1.minor: 0 or 1 (a higher one is taken for 1, RFC 9110 §2.5) */
    bool close;           /* Connection: close */
    bool keep_alive;      /* Connection: keep-alive */
    bool upgrade;         /* an Upgrade field that names something; of a request, Connection too */
    bool expect_continue; /* Expect: 100-continue in an HTTP/1.1 request */
    bool te_trailers;     /* TE lists trailers */
    enum http1_body body;
    uint64_t content_length; /* HTTP1_BODY_LENGTH, and of a response without a body (HEAD, 304) that
                                announces one */
    bool has_content_length;

    /* where parsing stopped: owned by the parser */
    size_t resume; /* bytes up to here need not be looked at again */
    size_t mark;   /* where the element that `resume` lies in begins */
    uint8_t phase;
    uint8_t seen; /* fields of which there may be one */
};

/* Makes the head ready for a new message; `list` is kept. */
void http1_head_reset(struct http1_head *head);

/* Parses a request head at buffer[0..len). Call again with the same head and more bytes (the
 * earlier ones unchanged, at the same place, or after http1_head_moved) when it returned 0. Empty
 * lines before a request line are passed over, at most four of them (RFC 9112 §2.2). > 0: consumed
 * bytes, the head is whole. 0: incomplete. < 0: -enum http1_error. Everything that is wrong is
 * refused as soon as its bytes are there. */
ssize_t http1_parse_request(struct http1_head *head, const char *buffer, size_t len,
                            const struct http1_limits *limits);

/* The same for a response to a request of that method (HEAD and CONNECT change the framing, RFC
 * 9112 §6.3). */
ssize_t http1_parse_response(struct http1_head *head, const char *buffer, size_t len,
                             const struct http1_limits *limits, enum method method);

/* Parses a trailer section, from behind the last chunk to its empty line, into head->list (RFC 9112
 * §7.1.2). The head must have been reset before the first call; framing and routing fields are not
 * looked into, only marked by their ids. */
ssize_t http1_parse_trailers(struct http1_head *head, const char *buffer, size_t len,
                             const struct http1_limits *limits);

/* The bytes now lie at `to` instead of `from`: moves every span. */
void http1_head_moved(struct http1_head *head, const char *from, const char *to);

/* Field lines of the head. */
static inline struct fields http1_fields(const struct http1_head *head)
{
    return (struct fields){head->list, head->count};
}

/* A chunked body being read (RFC 9112 §7.1). Zero it to start. */
struct http1_chunked {
    uint64_t left; /* of the current chunk */
    uint8_t phase;
    uint8_t digits;
    uint16_t extension_bytes;
    bool last; /* the last chunk's line has been read: a trailer section follows */
};

/* Takes framing and at most one span of chunk data from buffer. Returns how many bytes it consumed
 * (data's included), or -enum http1_error; *data is empty when there was none. Call until it
 * consumes nothing or `last` is set. */
ssize_t http1_chunked_read(struct http1_chunked *chunked, const char *buffer, size_t len,
                           struct str *data);

/* "1f\r\n" for chunk data of that length; returns its bytes. */
#define HTTP1_CHUNK_LINE_BYTES 20
size_t http1_chunk_line(char out[HTTP1_CHUNK_LINE_BYTES], uint64_t len);

/* "HTTP/1.1 404 Not Found\r\n"; an unknown status gets an empty reason. */
void http1_append_status_line(struct appender *out, unsigned status);
struct str http1_reason(unsigned status);
/* "Name: value\r\n" */
void http1_append_field(struct appender *out, struct str name, struct str value);

/* ==== Connections ==== */

struct net_conn;

/* Counters of the bufferevent pool; /stats sums them over the workers. */
struct net_bufferevent_stats {
    cell created, leased, reused, idle;
};

/* Clean bufferevents of one loop, for connections where something must wait. */
struct net_bufferevents {
    struct event_base *base; /* borrowed */
    struct bufferevent **idle;
    unsigned idle_count, keep;
    struct net_bufferevent_stats stats;
};

void net_bufferevents_init(struct net_bufferevents *pool, struct event_base *base, unsigned keep);
void net_bufferevents_destroy(struct net_bufferevents *pool);
/* A clean one: no descriptor, empty, disabled, default watermarks and limits, no callbacks. NULL
 * when memory is out. */
struct bufferevent *net_bufferevent_lease(struct net_bufferevents *pool);
/* Takes it back. Never from inside one of its own callbacks. It is cleaned by the contract in
 * net/bufferevents.c and kept, or freed when it cannot be proven clean. */
void net_bufferevent_give_back(struct net_bufferevents *pool, struct bufferevent **bev);

/* Registrations of origin connections in this loop's base. One whose connection has been parked is
 * kept for a moment: the same worker mostly leases it again, and registering anew costs a
 * microsecond. It may have passed through other hands meanwhile: an event of a kept watch is only
 * noted, and it is used only for the connection it was made for. */
struct net_watch;

struct net_watches {
    struct net_watch **by_fd; /* the kept one of a descriptor, or NULL */
    unsigned by_fd_count, kept;
    struct list_link oldest_first;
    struct freelist list;
};

/* For the loop. */
void net_watches_init(struct net_watches *watches);
void net_watches_destroy(struct net_watches *watches);

/* What a worker's connections share. */
#define NET_READ_BUFFER (256 * 1024)

struct net_loop {
    struct event_base *base;
    struct mailbox mailbox;
    struct wheel wheel;
    struct net_bufferevents bufferevents;
    struct net_watches watches;
    struct event *mail_event, *wheel_event, *kick_event, *later_event;
    int tick_fd;                           /* wheel_event's timerfd, owned */
    bool ticking;                          /* it runs */
    struct mail *later_head, **later_tail; /* for the next wake-up */
    char *read_buffer; /* NET_READ_BUFFER bytes; valid until the callback that filled it returns */
    int64_t now_ms, now_us; /* of this wake-up */
    int64_t (*clock_us)(void);
};

/* One per worker, on the worker's thread. `clock_us` gives the monotonic time. Ends the program
 * when the system refuses. */
void net_loop_init(struct net_loop *loop, int64_t (*clock_us)(void));
/* Runs until net_loop_stop() (owner thread). */
void net_loop_run(struct net_loop *loop);
void net_loop_stop(struct net_loop *loop);
void net_loop_destroy(struct net_loop *loop);
/* Ends the registrations of connections that have been parked for longer. Owner thread. */
void net_loop_forget_parked(struct net_loop *loop, int64_t before_ms);
/* Runs what is due now; for tests and for a moved test clock. Owner thread. */
void net_loop_tick(struct net_loop *loop);

/* Delivers mail in the next wake-up, behind whatever is ready by then: how long work gives way to
 * others. Owner thread. */
void net_loop_later(struct net_loop *loop, struct mail *mail);
/* Takes back mail that was posted to this loop by its own thread, or given to net_loop_later(), and
 * has not been delivered. */
void net_loop_withdraw(struct net_loop *loop, struct mail *mail);

/* What happened on a connection. */
enum net_event {
    NET_READABLE,  /* bytes, an end or an error can be read */
    NET_DRAINED,   /* everything queued by net_conn_send() has been taken */
    NET_CONNECTED, /* net_conn_connect() succeeded */
    NET_FAILED     /* conn->error says why; nothing more will come */
};

/* A byte stream on a descriptor. It is embedded in what uses it; reads and writes go directly to
 * the socket, edge-triggered, and a bufferevent is leased only while output or partial input waits.
 *
 *   closed --open/connect--> open --send that the socket does not take--> queued --taken--> open
 * --close/detach--> closed
 */
struct net_conn {
    unsigned magic;
    int fd; /* -1: closed */
    struct net_loop *loop;
    void (*on_event)(struct net_conn *conn, enum net_event what);
    void *owner;             /* borrowed; for an on_event that serves two connections (tunnels) */
    struct bufferevent *bev; /* leased, or NULL */
    struct mail drained;     /* a bufferevent is not given back inside its own callback */
    struct event *event;     /* the registration: the owner's storage, or the watch's */
    struct net_watch *watch; /* owned; NULL with the owner's storage */
    int error;               /* errno of the first failure, 0 */
    bool readable : 1;       /* an edge has been seen and not yet read to its end */
    bool connecting : 1;
    bool queued : 1;      /* output waits in bev */
    bool peer_closed : 1; /* the peer's end has been, or will be, read */
    bool drained_posted : 1;
};

/* Adopts a connected, non-blocking fd, registered through the caller's `storage`; NET_FAILED follows
 * when memory is out. on_event is never called from inside this or any other net_conn function. */
void net_conn_open(struct net_conn *conn, struct net_loop *loop, int fd, struct event *storage,
                   void (*on_event)(struct net_conn *, enum net_event));
/* Adopts a connection that net_conn_detach() let go of, here or in another loop; `id` tells it from
 * all others that had or will have its descriptor. False when memory is out: fd is closed then. */
bool net_conn_reopen(struct net_conn *conn, struct net_loop *loop, int fd, uint64_t id,
                     void (*on_event)(struct net_conn *, enum net_event));
/* Starts a non-blocking connect; NET_CONNECTED or NET_FAILED follows. -1 with conn->error set when
 * it failed at once (conn stays closed). */
int net_conn_connect(struct net_conn *conn, struct net_loop *loop,
                     const struct conf_address *address,
                     void (*on_event)(struct net_conn *, enum net_event));
/* Closes the socket and gives back what was leased; harmless on a closed one. With `reset`, the
 * peer gets a RST: a response cut visibly. */
void net_conn_close(struct net_conn *conn, bool reset);
/* Lets go of the fd of a connected or reopened one, which stays open; only with nothing queued and
 * no input held. Whoever has it next may do with it, and close it, as he likes. */
int net_conn_detach(struct net_conn *conn, uint64_t id);
/* No more will be written. */
void net_conn_shutdown(struct net_conn *conn);

/* Reads once. > 0: bytes; 0: the peer's end; -1: nothing now, NET_READABLE will follow; -2: broken,
 * conn->error says why. */
#define NET_AGAIN (-1)
#define NET_BROKEN (-2)
ssize_t net_conn_recv(struct net_conn *conn, char *buffer, size_t cap);
/* Looks without taking: NET_BROKEN when the peer has reset, 0 when it has shut down its writing
 * side, else NET_AGAIN or 1. */
int net_conn_peek(struct net_conn *conn);

/* Sends all pieces in order: what the socket takes at once with one call, the rest queued in a
 * leased bufferevent. Pieces before `stable` are copied when they have to wait; those from `stable`
 * on are referred to and must stay until NET_DRAINED or net_conn_close(). When something is queued
 * already, all is queued behind it. Once it has failed it fails for good. */
enum net_sent {
    NET_SENT_ALL,
    NET_SENT_QUEUED,
    NET_SENT_FAILED
};
struct net_piece {
    const void *ptr;
    size_t len;
    bool stable; /* stays where it is until NET_DRAINED */
};
enum net_sent net_conn_send(struct net_conn *conn, const struct net_piece *pieces, unsigned count);
/* Bytes that wait. */
size_t net_conn_queued_bytes(const struct net_conn *conn);
/* Those, and the bytes in the kernel that the peer's has not acknowledged. The difference of two
 * calls, with nothing sent in between, is what the peer has taken: a queue may shrink because the
 * kernel's buffer grew, and stay for long although it empties. On a unix socket the kernel counts
 * memory: whole writes, and some overhead. A system call. */
size_t net_conn_untaken_bytes(const struct net_conn *conn);

/* Holds partial input in the leased bufferevent until more comes; appended. False when memory is
 * out. */
bool net_conn_hold_input(struct net_conn *conn, const char *bytes, size_t len);
size_t net_conn_held_bytes(const struct net_conn *conn);
/* Moves held input to buffer (up to cap) and gives the bufferevent back when it is empty. */
size_t net_conn_take_input(struct net_conn *conn, char *buffer, size_t cap);

/* The peer's address as text "127.0.0.1", "::1", "unix"; and its own. */
#define NET_ADDRESS_TEXT 64
void net_address_text(const struct sockaddr *address, char out[NET_ADDRESS_TEXT]);

/* Names what ran and drains the local mail; every event callback of a worker ends with it. */
void net_loop_leave(struct net_loop *loop);
static inline void net_loop_enter(struct net_loop *loop)
{
    loop->now_us = loop->clock_us();
    loop->now_ms = loop->now_us / 1000;
}

/* ==== Listening ==== */

/* A bound, listening, non-blocking socket with SO_REUSEPORT (unix: a fresh socket file), or -1 with
 * errno. Main thread, before workers start: one per worker and address. With port 0, `bound` tells
 * the port that the first one got, so that the others can share it. */
int net_listen(const struct conf_address *address, struct conf_address *bound);

struct net_listener {
    unsigned magic;
    int fd;
    struct net_loop *loop;
    struct event event;
    struct wheel_timer resume; /* accepting pauses when descriptors are out */
    bool paused;
    void (*on_accept)(struct net_listener *listener, int fd, const struct sockaddr *peer);
    bool (*may_accept)(struct net_listener *listener); /* false: leave the rest in the backlog until
                                                          net_listener_resume() */
    void *owner;
    cell *paused_count;
};

void net_listener_open(struct net_listener *listener, struct net_loop *loop, int fd);
void net_listener_resume(struct net_listener *listener);
/* Accepts what is already in the backlog, then closes: a connection that the kernel has promised is
 * served. */
void net_listener_close(struct net_listener *listener);

/* ==== Names (c-ares) ==== */

#define NET_NAME_ADDRESSES 16

struct net_resolver;

/* One per process, driven by the main thread's base. NULL with *why when c-ares cannot start. */
struct net_resolver *net_resolver_new(struct event_base *base, const char **why);
void net_resolver_free(struct net_resolver **resolver);

/* Looks up A and AAAA records. `done` is called once, on the main thread, maybe from inside this
 * call: count 0 with *why on failure, otherwise the addresses (port filled in) and the seconds they
 * may be kept. */
typedef void net_resolved(void *arg, const struct sockaddr_storage *addresses, unsigned count,
                          unsigned ttl_s, const char *why);
void net_resolve(struct net_resolver *resolver, const char *host, uint16_t port, net_resolved *done,
                 void *arg);

#endif
