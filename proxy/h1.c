/*
 * An HTTP/1 client connection: reads heads and request bodies, runs requests one after the other,
 * and is their sink.
 *
 *   IDLE --first byte--> HEAD --whole--> BUSY --response whole--> IDLE ...
 *                          \--malformed--> BUSY (Weir's answer) --> LINGER --end or time--> closed
 *                 BUSY --response broken, and more had come--> LINGER
 *
 * An exchange (request, parser state, field rows) is leased only while a head is partial or a
 * request runs, so that an idle connection is a `struct session` and nothing else. Heads are parsed
 * where they were read, in the worker's buffer; a request that cannot be answered at once gets a
 * copy of its head. Input behind the current request waits in the connection's leased bufferevent.
 * At most REQUESTS_PER_WAKE_UP pipelined requests are served before others have their turn. Owner
 * thread only.
 */
#include "proxy/proxy.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

#define SESSION_MAGIC 0x53455353u
#define REQUESTS_PER_WAKE_UP 32
#define EXCHANGE_ROOM 1024
#define LINGER_MS 2000
#define LINGER_BYTES (512 * 1024)
#define BODY_BYTES_PER_WAKE_UP (1024 * 1024)
#define LOGGED_BYTES 256 /* at most of a method, a host, a target */
#define SUBJECT_BYTES (3 * LOGGED_BYTES + TRACE_REQUEST_ID_MOST + TRACE_ID_BYTES + 24)

enum phase {
    IDLE,
    HEAD,
    BUSY,
    LINGER,
    CLOSED
};
enum body_phase {
    BODY_DONE,
    BODY_LENGTH,
    BODY_CHUNKED,
    BODY_TRAILERS
};

struct exchange {
    struct request request;
    struct http1_head head;
    const char *base; /* where the head's spans point to */
    enum body_phase body;
    uint64_t body_left;  /* BODY_LENGTH */
    uint64_t body_bytes; /* received */
    bool body_blocked;   /* the origin has not taken what it was given */
    struct http1_chunked chunked;
    struct http1_head trailers;
    _Alignas(8) char room[EXCHANGE_ROOM]; /* of the request's arena: the copy of a usual head */
    struct field fields[];
};

struct session {
    unsigned magic;
    /* fixed */
    struct worker *worker;
    union {
        struct sockaddr any;
        struct sockaddr_in ip4;
        struct sockaddr_in6 ip6;
    } peer;
    /* machine */
    struct sink sink;
    struct net_conn conn;
    struct event event; /* conn's registration */
    struct list_link link;
    struct wheel_timer deadline;
    struct mail mail; /* go on: input is held, or the origin wants body */
    struct exchange *exchange;
    size_t untaken; /* at the start of the send period */
    uint32_t linger_left;
    uint8_t phase;
    bool mail_posted : 1;
    bool sending : 1;     /* a send period runs */
    bool serving : 1;     /* inside serve() */
    bool close_after : 1; /* this response is the last */
    bool chunked_out : 1;
    bool until_close_out : 1; /* only the connection's end tells the body's */
};

_Static_assert(sizeof(struct session) <= 448, "an idle keep-alive client costs at most 512 bytes");

static void on_event(struct net_conn *conn, enum net_event what);
static void on_mail(struct mail *mail);
static void on_due(struct wheel_timer *timer, int64_t now_ms);
static void serve(struct session *session);
static void read_body(struct session *session);

size_t session_bytes(void)
{
    return sizeof(struct session);
}

size_t exchange_bytes(const struct conf *conf)
{
    return sizeof(struct exchange) + conf->limits.headers * sizeof(struct field);
}

struct session *session_of_link(struct list_link *link)
{
    return weir_container(link, struct session, link);
}

static const struct conf_limits *limits(const struct session *session)
{
    return &session->worker->conf->limits;
}

static void set_deadline(struct session *session, int64_t after_ms)
{
    wheel_set(&session->worker->loop.wheel, &session->deadline,
              session->worker->loop.now_ms + after_ms);
}

static void clear_deadline(struct session *session)
{
    session->deadline.due_ms = WHEEL_NEVER;
}

/* Output waits: when limits.send_timeout has passed, on_send_due() looks at what the client has
 * taken since now. */
static void begin_send_period(struct session *session)
{
    session->sending = true;
    session->untaken = net_conn_untaken_bytes(&session->conn);
    set_deadline(session, limits(session)->send_timeout_ms);
}

/* What a busy session waits for now: its client to take output, whatever it sends meanwhile, or to
 * send more of the body; otherwise for nothing of the client's. */
static void set_busy_deadline(struct session *session)
{
    const struct exchange *exchange = session->exchange;

    if (net_conn_queued_bytes(&session->conn) > 0) {
        if (!session->sending)
            begin_send_period(session);
        return;
    }
    session->sending = false;
    if (exchange && exchange->body != BODY_DONE && !exchange->body_blocked &&
        request_wants_body(&exchange->request))
        set_deadline(session, limits(session)->body_timeout_ms);
    else
        clear_deadline(session);
}

/* ---- life ---- */

static void on_request_freed(struct request *request)
{
    struct exchange *exchange = weir_container(request, struct exchange, request);

    freelist_put(&request->worker->exchange_list, exchange);
}

static void post_mail(struct session *session)
{
    if (session->mail_posted)
        return;
    session->mail_posted = true;
    mailbox_post(&session->worker->loop.mailbox, &session->mail);
}

/* Others first: goes on in the next wake-up. */
static void take_next_turn(struct session *session)
{
    if (session->phase == CLOSED || session->mail_posted)
        return;
    session->mail_posted = true;
    net_loop_later(&session->worker->loop, &session->mail);
}

static void on_destroyed(struct mail *mail)
{
    struct session *session = weir_container(mail, struct session, mail);
    struct worker *worker = session->worker;

    weir_check_magic(session, SESSION_MAGIC);
    weir_assert(session->phase == CLOSED);
    session->magic = 0;
    freelist_put(&worker->session_list, session);
}

/* Ends the session at once; its memory goes when the present event has been dealt with, so that
 * callers can still see `phase`. */
static void destroy(struct session *session, bool reset)
{
    struct worker *worker = session->worker;
    struct exchange *exchange = weir_take(&session->exchange);
    bool busy = session->phase == BUSY;

    weir_assert(session->phase != CLOSED);
    session->phase = CLOSED;
    if (busy && exchange) {
        request_abandon(&exchange->request, net_conn_queued_bytes(&session->conn));
    } else if (exchange) {
        freelist_put(&worker->exchange_list, exchange); /* a partial head: no request has started */
    }
    if (session->mail_posted)
        net_loop_withdraw(&worker->loop, &session->mail);
    wheel_cancel(&worker->loop.wheel, &session->deadline);
    net_conn_close(&session->conn, reset);
    list_remove(&session->link);
    if (!busy)
        cell_sub(&worker->stats.idle, 1);
    cell_sub(&worker->stats.open, 1);
    session->mail.deliver = on_destroyed;
    mailbox_post(&worker->loop.mailbox, &session->mail);
    worker_session_ended(worker);
}

/* No more is sent, but the client may still be sending: closing now would answer its bytes with a
 * RST, which can take from it what was sent, also whole responses before a broken one (RFC 9112
 * §9.6). */
static void linger(struct session *session)
{
    net_conn_shutdown(&session->conn);
    session->phase = LINGER;
    session->linger_left = LINGER_BYTES;
    set_deadline(session, LINGER_MS);
    post_mail(session); /* what has come already brings no other edge */
}

static void read_away(struct session *session)
{
    struct net_loop *loop = &session->worker->loop;

    net_conn_take_input(&session->conn, loop->read_buffer, NET_READ_BUFFER);
    while (session->conn.readable) {
        ssize_t n = net_conn_recv(&session->conn, loop->read_buffer, NET_READ_BUFFER);

        if (n == NET_AGAIN)
            return;
        if (n <= 0 || (size_t)n >= session->linger_left) {
            destroy(session, false);
            return;
        }
        session->linger_left -= (uint32_t)n;
    }
}

static const struct sink_ops sink_ops;

void session_open(struct worker *worker, int fd, const struct sockaddr *peer)
{
    struct session *session = freelist_get(&worker->session_list);

    if (!session) {
        worker_lacks_memory(worker, "for a client's connection; it is closed");
        close(fd);
        return;
    }
    memset(session, 0, sizeof(*session));
    session->magic = SESSION_MAGIC;
    session->worker = worker;
    session->sink.ops = &sink_ops;
    if (peer->sa_family == AF_INET)
        session->peer.ip4 = *(const struct sockaddr_in *)peer;
    else if (peer->sa_family == AF_INET6)
        session->peer.ip6 = *(const struct sockaddr_in6 *)peer;
    else
        session->peer.any.sa_family = AF_UNIX;
    session->mail.deliver = on_mail;
    session->phase = IDLE;
    wheel_timer_init(&session->deadline, on_due);
    list_push_back(&worker->sessions, &session->link);
    cell_add(&worker->stats.accepted, 1);
    cell_add(&worker->stats.open, 1);
    cell_add(&worker->stats.idle, 1);
    net_conn_open(&session->conn, &worker->loop, fd, &session->event, on_event);
    set_deadline(session, limits(session)->idle_timeout_ms);
}

void session_drain(struct session *session)
{
    weir_check_magic(session, SESSION_MAGIC);
    session->close_after = true;
    if (session->phase == BUSY && session->exchange &&
        session->exchange->request.state == REQUEST_TUNNEL)
        destroy(session, false); /* it would never end by itself */
    else if (session->phase == IDLE && net_conn_held_bytes(&session->conn) == 0 &&
             net_conn_peek(&session->conn) != 1)
        destroy(session, false);
}

/* ---- heads ---- */

static struct exchange *lease_exchange(struct session *session)
{
    struct worker *worker = session->worker;
    struct exchange *exchange = freelist_get(&worker->exchange_list);

    if (!exchange) {
        worker_lacks_memory(worker, "for a request; its connection is reset");
        return NULL;
    }
    request_init(&exchange->request, on_request_freed);
    arena_lend(&exchange->request.arena, exchange->room, sizeof(exchange->room));
    exchange->head.list = exchange->fields;
    exchange->head.capacity = worker->conf->limits.headers;
    http1_head_reset(&exchange->head);
    exchange->body = BODY_DONE;
    exchange->body_blocked = false;
    session->exchange = exchange;
    return exchange;
}

static void become_busy(struct session *session)
{
    session->phase = BUSY;
    cell_sub(&session->worker->stats.idle, 1);
    clear_deadline(session);
}

static struct request_client client_of(const struct session *session)
{
    return (struct request_client){.scheme = STR("http"), .peer = &session->peer.any};
}

/* 400 and its like: answered, counted, and the end of the connection; nothing of it reaches an
 * origin. */
static void refuse(struct session *session, unsigned status, const char *detail, const char *text)
{
    struct request_client client = client_of(session);
    struct exchange *exchange = session->exchange;

    become_busy(session);
    session->close_after = true;
    request_start_local(&session->exchange->request, session->worker, &session->sink,
                        &session->exchange->head, &client, status, detail, text,
                        session->worker->loop.now_us);
    if (session->exchange == exchange)
        http1_head_reset(&exchange->head); /* the answer waits, the buffer does not */
}

static void reject(struct session *session, enum http1_error error)
{
    const struct http1_error_row *row = http1_error_row(error);

    cell_add(&session->worker->stats.rejected[error], 1);
    refuse(session, row->status, row->counter, row->text);
}

/* What of the head decides how this connection goes on. False when the request was refused. */
static bool prepare_body(struct session *session)
{
    struct exchange *exchange = session->exchange;
    const struct http1_head *head = &exchange->head;
    uint64_t most = limits(session)->body_size;

    if (head->close || (head->minor == 0 && !head->keep_alive))
        session->close_after = true;
    if (weir_likely(head->body == HTTP1_BODY_NONE))
        return true;
    if (head->body == HTTP1_BODY_LENGTH && head->content_length > most) {
        const struct local_row *row = local_row(LOCAL_BODY_TOO_LARGE);

        refuse(session, row->status, row->detail, row->text);
        return false;
    }
    exchange->body = head->body == HTTP1_BODY_CHUNKED ? BODY_CHUNKED : BODY_LENGTH;
    exchange->body_left = head->content_length;
    exchange->body_bytes = 0;
    memset(&exchange->chunked, 0, sizeof(exchange->chunked));
    if (exchange->body == BODY_LENGTH && exchange->body_left == 0)
        exchange->body = BODY_DONE;
    return true;
}

/* The request outlives this callback: its head moves out of the worker's buffer. False when memory
 * is out. */
static bool keep_head(struct exchange *exchange, const char *from, size_t len)
{
    char *copy = arena_alloc(&exchange->request.arena, len);

    if (!copy)
        return false;
    memcpy(copy, from, len);
    http1_head_moved(&exchange->head, from, copy);
    request_head_moved(&exchange->request, from, len, copy);
    return true;
}

/* Runs the request whose head lies at `from`. True when it has been answered and the next may be
 * read. */
static bool start_request(struct session *session, const char *from, size_t len)
{
    struct exchange *exchange = session->exchange;
    struct request_client client = client_of(session);

    if (!prepare_body(session))
        return false;
    become_busy(session);
    request_start(&exchange->request, session->worker, &session->sink, &exchange->head, &client,
                  session->worker->loop.now_us);
    if (weir_likely(session->exchange != exchange))
        return session->phase == IDLE;
    if (!keep_head(exchange, from, len)) {
        destroy(session, true);
        return false;
    }
    return false;
}

/* Bytes of a head that is not whole yet wait. False when the session has ended. */
static bool hold_partial(struct session *session, const char *from, size_t len)
{
    session->exchange->base = from;
    if (!net_conn_hold_input(&session->conn, from, len) ||
        net_conn_peek(&session->conn) == NET_BROKEN) {
        destroy(session, true); /* the edge that told of the bytes may have told of a reset too */
        return false;
    }
    return true;
}

/* Input that was read but is not for now. */
static void hold_rest(struct session *session, const char *from, size_t len)
{
    if (session->phase != CLOSED && session->phase != LINGER &&
        !net_conn_hold_input(&session->conn, from, len))
        destroy(session, true);
}

/* Parses at `from`. Returns what it consumed, 0 when more is needed or the session is busy or gone.
 */
static size_t parse(struct session *session, const char *from, size_t len)
{
    struct exchange *exchange = session->exchange;
    ssize_t used;

    if (!exchange) {
        exchange = lease_exchange(session);
        if (!exchange) {
            destroy(session, true);
            return 0;
        }
    } else {
        http1_head_moved(&exchange->head, exchange->base, from);
    }
    used = http1_parse_request(&exchange->head, from, len, &session->worker->head_limits);
    if (weir_unlikely(used < 0)) {
        reject(session, (enum http1_error) - used);
        return 0;
    }
    if (weir_unlikely(used == 0)) {
        if (session->phase == IDLE)
            set_deadline(session, limits(session)->header_timeout_ms);
        session->phase = HEAD;
        hold_partial(session, from, len);
    }
    return (size_t)used;
}

/* Serves what lies in the worker's buffer, as far as this session's turn goes. False when there is
 * nothing more to read for it now. */
static bool serve_buffer(struct session *session, const char *at, size_t len, unsigned *budget)
{
    while (len > 0) {
        size_t used;

        if (*budget == 0) {
            hold_rest(session, at, len);
            take_next_turn(session);
            return false;
        }
        (*budget)--;
        used = parse(session, at, len);
        if (used == 0)
            return session->phase == HEAD;
        at += used;
        len -= used;
        if (!start_request(session, at - used, used)) {
            if (session->phase == BUSY) {
                hold_rest(session, at, len);
                if (session->phase == BUSY && session->exchange->body != BODY_DONE)
                    post_mail(session);
            }
            return false;
        }
    }
    return true;
}

/* Reads behind `len` held bytes. Returns what the buffer holds then, or -1 when the session has
 * ended. */
static ssize_t read_more(struct session *session, size_t len)
{
    ssize_t n;

    if (!session->conn.readable || len == NET_READ_BUFFER)
        return (ssize_t)len;
    n = net_conn_recv(&session->conn, session->worker->loop.read_buffer + len,
                      NET_READ_BUFFER - len);
    if (n > 0)
        return (ssize_t)len + n;
    if (n == NET_AGAIN || (n == 0 && len > 0 && session->phase == IDLE))
        return (ssize_t)len; /* what was pipelined before the end is still answered */
    destroy(session, false);
    return -1;
}

/* The client's end has been read, and all that came before it has been answered. */
static void end_if_nothing_follows(struct session *session)
{
    if (session->phase == IDLE && session->conn.peer_closed && !session->conn.readable &&
        net_conn_held_bytes(&session->conn) == 0)
        destroy(session, false);
}

/* Reads and serves requests until there is nothing to read, one has to wait, or this session's turn
 * is over. */
static void serve(struct session *session)
{
    struct net_loop *loop = &session->worker->loop;
    unsigned budget = REQUESTS_PER_WAKE_UP;

    session->serving = true;
    while (session->phase == IDLE || session->phase == HEAD) {
        ssize_t len = read_more(
            session, net_conn_take_input(&session->conn, loop->read_buffer, NET_READ_BUFFER));

        if (len < 0)
            return;
        if (len == 0)
            break;
        if (!serve_buffer(session, loop->read_buffer, (size_t)len, &budget)) {
            if (session->phase == CLOSED)
                return;
            break;
        }
        if (!session->conn.readable)
            break;
    }
    session->serving = false;
    end_if_nothing_follows(session);
}

/* ---- request bodies ---- */

static void fail_body(struct session *session, enum local local)
{
    const struct local_row *row = local_row(local);

    session->close_after = true;
    session->exchange->body = BODY_DONE;
    set_busy_deadline(session);
    request_body_failed(&session->exchange->request, row->status, row->detail, row->text);
}

static void malformed_body(struct session *session, enum http1_error error)
{
    const struct http1_error_row *row = http1_error_row(error);

    cell_add(&session->worker->stats.rejected[error], 1);
    session->close_after = true;
    session->exchange->body = BODY_DONE;
    set_busy_deadline(session);
    request_body_failed(&session->exchange->request, row->status, row->counter, row->text);
}

static void end_body(struct session *session, struct str trailers)
{
    session->exchange->body = BODY_DONE;
    set_busy_deadline(session);
    request_body_end(&session->exchange->request, trailers);
}

/* True when the session may go on reading the body: it is the same exchange, and the origin takes
 * more. */
static bool still_reading(struct session *session, struct exchange *exchange)
{
    return session->phase == BUSY && session->exchange == exchange && exchange->body != BODY_DONE &&
           !exchange->body_blocked;
}

static void pass_on(struct session *session, struct str bytes)
{
    struct exchange *exchange = session->exchange;

    if (request_body(&exchange->request, bytes) == NET_SENT_QUEUED &&
        session->exchange == exchange && !request_wants_body(&exchange->request))
        exchange->body_blocked = true;
}

/* Field lines of a trailer section into the worker's scratch. */
static struct str trailer_block(struct session *session)
{
    struct appender out = appender_on(session->worker->scratch, session->worker->scratch_bytes);

    if (!forward_trailers(http1_fields(&session->exchange->trailers), &out))
        return str_of(NULL, 0);
    return str_of(out.ptr, out.len);
}

/* The trailer section has to lie in one piece. Returns what was consumed; 0: more is needed; -1:
 * refused. */
static ssize_t take_trailers(struct session *session, const char *at, size_t len)
{
    struct exchange *exchange = session->exchange;
    ssize_t used;

    exchange->trailers.list = exchange->head.list + exchange->head.count;
    exchange->trailers.capacity = exchange->head.capacity - exchange->head.count;
    http1_head_reset(&exchange->trailers);
    used = http1_parse_trailers(&exchange->trailers, at, len, &session->worker->head_limits);
    if (used < 0) {
        malformed_body(session, (enum http1_error) - used);
        return -1;
    }
    if (used > 0)
        end_body(session, trailer_block(session));
    return used;
}

/* One step of a chunked body. Returns what was consumed; 0: more is needed, or nothing may go on.
 */
static size_t take_chunked(struct session *session, const char *at, size_t len)
{
    struct exchange *exchange = session->exchange;
    struct str data;
    ssize_t used;

    if (exchange->body == BODY_TRAILERS) {
        used = take_trailers(session, at, len);
        return used > 0 ? (size_t)used : 0;
    }
    used = http1_chunked_read(&exchange->chunked, at, len, &data);
    if (used < 0) {
        malformed_body(session, (enum http1_error) - used);
        return 0;
    }
    exchange->body_bytes += data.len;
    if (exchange->body_bytes > limits(session)->body_size) {
        fail_body(session, LOCAL_BODY_TOO_LARGE);
        return 0;
    }
    if (exchange->chunked.last)
        exchange->body = BODY_TRAILERS;
    if (data.len > 0)
        pass_on(session, data);
    return (size_t)used;
}

static size_t take_length(struct session *session, const char *at, size_t len)
{
    struct exchange *exchange = session->exchange;
    size_t used = len < exchange->body_left ? len : (size_t)exchange->body_left;

    exchange->body_left -= used;
    pass_on(session, str_of(at, used));
    if (session->exchange == exchange && exchange->body_left == 0)
        end_body(session, str_of(NULL, 0));
    return used;
}

/* Moves body bytes from the buffer to the origin as far as it takes them. */
static size_t take_body(struct session *session, const char *at, size_t len)
{
    struct exchange *exchange = session->exchange;
    size_t total = 0;

    while (total < len && still_reading(session, exchange)) {
        size_t used = exchange->body == BODY_LENGTH
                          ? take_length(session, at + total, len - total)
                          : take_chunked(session, at + total, len - total);

        if (used == 0)
            break;
        total += used;
    }
    return total;
}

static void read_body(struct session *session)
{
    struct net_loop *loop = &session->worker->loop;
    struct exchange *exchange = session->exchange;
    size_t turn = 0;

    while (still_reading(session, exchange) && request_wants_body(&exchange->request)) {
        size_t len = net_conn_take_input(&session->conn, loop->read_buffer, NET_READ_BUFFER), used;
        ssize_t n = NET_AGAIN;

        set_busy_deadline(session);
        if (len < NET_READ_BUFFER)
            n = net_conn_recv(&session->conn, loop->read_buffer + len, NET_READ_BUFFER - len);
        len += n > 0 ? (size_t)n : 0;
        session->serving = true;
        used = take_body(session, loop->read_buffer, len);
        session->serving = false;
        hold_rest(session, loop->read_buffer + used, len - used);
        if (session->phase == IDLE) { /* its content was all that the request waited for */
            post_mail(session);
            return;
        }
        if ((n == 0 || n == NET_BROKEN) && still_reading(session, exchange)) {
            destroy(session, true); /* it stopped sending inside of the body */
            return;
        }
        if (n == NET_AGAIN && used == 0)
            return;
        turn += used;
        if (turn > BODY_BYTES_PER_WAKE_UP) {
            take_next_turn(session);
            return;
        }
    }
    if (session->phase == BUSY && session->exchange == exchange)
        set_busy_deadline(session);
}

/* ---- events ---- */

/* A response is being prepared or sent, and something came from the client: more of its body, a
 * pipelined request, or its end. */
static void on_readable_busy(struct session *session)
{
    if (session->exchange && session->exchange->body != BODY_DONE &&
        request_wants_body(&session->exchange->request)) {
        read_body(session);
        return;
    }
    if (net_conn_peek(&session->conn) == NET_BROKEN)
        destroy(session, true);
}

static void on_event(struct net_conn *conn, enum net_event what)
{
    struct session *session = weir_container(conn, struct session, conn);

    weir_check_magic(session, SESSION_MAGIC);
    switch (what) {
    case NET_READABLE:
        if (session->phase == LINGER)
            read_away(session);
        else if (session->phase == BUSY)
            on_readable_busy(session);
        else
            serve(session);
        break;
    case NET_DRAINED:
        if (session->phase != BUSY)
            break;
        set_busy_deadline(session);
        if (session->exchange->request.blocked)
            request_writable(&session->exchange->request);
        break;
    case NET_FAILED:
        destroy(session, true);
        break;
    case NET_CONNECTED:
        weir_assert(!"a session does not connect");
    }
}

static void on_mail(struct mail *mail)
{
    struct session *session = weir_container(mail, struct session, mail);

    weir_check_magic(session, SESSION_MAGIC);
    session->mail_posted = false;
    if (session->phase == LINGER)
        read_away(session);
    else if (session->phase == BUSY && session->exchange->body != BODY_DONE)
        read_body(session);
    else if (session->phase == IDLE || session->phase == HEAD)
        serve(session);
}

/* A partial head's spans point into the worker's buffer, which has served others since. */
static void forget_partial(struct session *session)
{
    struct net_loop *loop = &session->worker->loop;

    net_conn_take_input(&session->conn, loop->read_buffer, NET_READ_BUFFER);
    http1_head_reset(&session->exchange->head);
}

static void append_start(struct appender *out, struct str s)
{
    append_str(out, str_of(s.ptr, s.len < LOGGED_BYTES ? s.len : LOGGED_BYTES));
}

/* For the log: what was being answered. The head of a refused request is not kept. */
static struct str subject_of(struct request *request, char out[SUBJECT_BYTES])
{
    const struct http1_head *head = request->head;
    struct request_ids ids = trace_ids(request);
    struct appender text = appender_on(out, SUBJECT_BYTES);

    if (head->method_name.len == 0)
        return STR("a refused request");
    append_start(&text, head->method_name);
    append_lit(&text, " ");
    append_start(&text, head->authority);
    append_start(&text, head->path_query);
    append_lit(&text, ", request ");
    append_str(&text, ids.request_id);
    append_lit(&text, ", trace ");
    append_str(&text, ids.trace_id);
    return str_of(text.ptr, text.len);
}

/* The client takes too little of what waits for it, by that limit. */
static void cut_slow(struct session *session, size_t taken, const char *limit)
{
    static struct log_kind too_slow = {.level = LOG_INFO_LEVEL,
                                       .what = "cutting clients that are too slow"};
    struct worker *worker = session->worker;
    char peer[NET_ADDRESS_TEXT], subject_bytes[SUBJECT_BYTES];
    struct str subject = subject_of(&session->exchange->request, subject_bytes);

    net_address_text(&session->peer.any, peer);
    cell_add(&worker->stats.too_slow, 1);
    log_write_paced(&too_slow, worker->loop.now_ms,
                    "sending %s the response to %.*s: %zu bytes taken in %" PRId64
                    " ms, too few for %s; the connection is reset",
                    peer, (int)subject.len, subject.ptr, taken, limits(session)->send_timeout_ms,
                    limit);
    destroy(session, true);
}

/* A send period has ended, and something has waited all the time. */
static void on_send_due(struct session *session)
{
    size_t untaken, taken;

    if (net_conn_queued_bytes(&session->conn) == 0)
        return; /* NET_DRAINED is in the mail */
    untaken = net_conn_untaken_bytes(&session->conn);
    /* Overhead on a unix socket may make it more than before. */
    taken = untaken < session->untaken ? session->untaken - untaken : 0;
    if (taken == 0)
        cut_slow(session, taken, "limits.send_timeout");
    else if (taken * 1000 / (uint64_t)limits(session)->send_timeout_ms <
             limits(session)->min_send_rate)
        cut_slow(session, taken, "limits.min_send_rate");
    else
        begin_send_period(session);
}

static void on_due(struct wheel_timer *timer, int64_t now_ms)
{
    struct session *session = weir_container(timer, struct session, deadline);
    const struct local_row *row = local_row(LOCAL_REQUEST_TIMEOUT);

    (void)now_ms;
    weir_check_magic(session, SESSION_MAGIC);
    switch ((enum phase)session->phase) {
    case HEAD:
        forget_partial(session);
        refuse(session, row->status, row->detail, row->text);
        return;
    case BUSY:
        if (session->sending)
            on_send_due(session);
        else if (session->exchange->body != BODY_DONE)
            fail_body(session, LOCAL_BODY_TIMEOUT);
        return;
    case IDLE:
    case LINGER:
        destroy(session, false);
        return;
    case CLOSED:
        weir_assert(!"a closed session has no deadline");
    }
}

/* ---- the sink ---- */

static struct session *of_sink(struct sink *sink)
{
    struct session *session = weir_container(sink, struct session, sink);

    weir_check_magic(session, SESSION_MAGIC);
    return session;
}

/* Framing and connection fields, and the head's end (RFC 9112 §6, §9.3). */
static void append_framing(struct session *session, const struct response_head *head,
                           struct appender *out)
{
    const struct http1_head *request = &session->exchange->head;

    session->chunked_out = session->until_close_out = false;
    if (head->content_length >= 0 && head->status != 204) {
        append_lit(out, "Content-Length: ");
        append_u64(out, (uint64_t)head->content_length);
        append_lit(out, "\r\n");
    } else if (!head->bodiless && request->minor == 0) {
        session->until_close_out = session->close_after = true;
    } else if (!head->bodiless) {
        session->chunked_out = true;
        append_lit(out, "Transfer-Encoding: chunked\r\n");
    }
    if (session->exchange->body != BODY_DONE || session->worker->draining)
        session->close_after = true; /* what is left of the request would have to be read first */
    if (session->close_after)
        append_lit(out, "Connection: close\r\n");
    else if (request->minor == 0)
        append_lit(out, "Connection: keep-alive\r\n");
    append_lit(out, "\r\n");
}

static enum net_sent send_part(struct sink *sink, const struct response_part *part)
{
    struct session *session = of_sink(sink);
    char status_bytes[64], framing_bytes[160], chunk_bytes[HTTP1_CHUNK_LINE_BYTES];
    struct appender status = appender_on(status_bytes, sizeof(status_bytes)),
                    framing = appender_on(framing_bytes, sizeof(framing_bytes));
    struct net_piece pieces[64];
    unsigned count = 0;
    uint64_t bytes = 0;
    enum net_sent result;

    if (part->head) {
        http1_append_status_line(&status, part->head->status);
        append_framing(session, part->head, &framing);
        weir_assert(!status.overflow && !framing.overflow);
        pieces[count++] = (struct net_piece){status.ptr, status.len, false};
        pieces[count++] = (struct net_piece){part->head->block.ptr, part->head->block.len, true};
        pieces[count++] = (struct net_piece){part->head->extra.ptr, part->head->extra.len, false};
        pieces[count++] = (struct net_piece){framing.ptr, framing.len, false};
    }
    for (unsigned i = 0; i < part->body_count; i++)
        bytes += part->body[i].iov_len;
    if (session->chunked_out && bytes > 0)
        pieces[count++] =
            (struct net_piece){chunk_bytes, http1_chunk_line(chunk_bytes, bytes), false};
    for (unsigned i = 0; i < part->body_count; i++)
        pieces[count++] = (struct net_piece){part->body[i].iov_base, part->body[i].iov_len, true};
    if (session->chunked_out && bytes > 0)
        pieces[count++] = (struct net_piece){"\r\n", 2, true};
    if (session->chunked_out && part->end) {
        pieces[count++] = (struct net_piece){"0\r\n", 3, true};
        pieces[count++] = (struct net_piece){part->trailers.ptr, part->trailers.len, true};
        pieces[count++] = (struct net_piece){"\r\n", 2, true};
    }
    weir_assert(count <= weir_count(pieces));
    result = net_conn_send(&session->conn, pieces, count);
    if (weir_unlikely(result == NET_SENT_QUEUED))
        begin_send_period(session);
    return result;
}

static void send_interim(struct sink *sink, unsigned status, struct str block)
{
    struct session *session = of_sink(sink);
    char line[64];
    struct appender out = appender_on(line, sizeof(line));
    struct net_piece pieces[3];

    if (session->exchange->head.minor == 0)
        return;
    cell_add(&session->worker->stats.interim, 1);
    http1_append_status_line(&out, status);
    pieces[0] = (struct net_piece){out.ptr, out.len, false};
    pieces[1] = (struct net_piece){block.ptr, block.len, false};
    pieces[2] = (struct net_piece){"\r\n", 2, true};
    net_conn_send(&session->conn, pieces, 3); /* a failure shows at the final response */
}

/* The request has ended. The next one is served by whoever is calling: serve() itself, or the mail
 * posted here. */
static void request_done(struct sink *sink, bool cut)
{
    struct session *session = of_sink(sink);
    struct exchange *exchange = weir_take(&session->exchange);
    bool unread = exchange->body != BODY_DONE || net_conn_held_bytes(&session->conn) > 0 ||
                  session->conn.readable;

    session->phase = IDLE;
    cell_add(&session->worker->stats.idle, 1);
    if (cut) {
        bool reset = session->until_close_out || !exchange->request.head_sent;

        /* Behind a tunnel no whole answer can be lost, and the connection's events are its own. */
        if (!reset && unread && !exchange->request.tunnel_ended &&
            net_conn_queued_bytes(&session->conn) == 0)
            linger(session);
        else
            destroy(session, reset);
        return;
    }
    if (session->close_after) {
        if (unread || exchange->request.outcome == OUTCOME_LOCAL)
            linger(session);
        else
            destroy(session, false);
        return;
    }
    set_deadline(session, limits(session)->idle_timeout_ms);
    if (session->serving)
        return;
    if (unread)
        post_mail(session);
    else
        end_if_nothing_follows(session);
}

static void want_body(struct sink *sink)
{
    struct session *session = of_sink(sink);

    session->exchange->body_blocked = false;
    if (session->exchange->body != BODY_DONE)
        post_mail(session);
}

static struct net_conn *give_tunnel(struct sink *sink)
{
    struct session *session = of_sink(sink);

    if (session->worker->draining)
        return NULL;
    session->close_after = true;
    clear_deadline(session);
    return &session->conn;
}

static const struct sink_ops sink_ops = {
    .send = send_part,
    .interim = send_interim,
    .done = request_done,
    .want_body = want_body,
    .tunnel = give_tunnel,
};
