/*
 * The fetch machine: one exchange with an origin, from a leased connection to its return.
 *
 *   LEASE -> [AWAIT_LEASE] -> [CONNECT -> AWAIT_CONNECT] -> SEND -> AWAIT_RESPONSE -> READ_HEAD
 *     -> READ_BODY <-> AWAIT_BODY, AWAIT_ROOM -> COMPLETE -> RELEASE
 *     READ_HEAD -> TUNNEL (101)
 *     any of them -> FAIL -> LEASE (once, on a fresh connection), or RELEASE
 *
 * A fetch belongs to nobody who waits for it: it writes to its fill, and tells its leader (the
 * request that started it, on the same worker) only of 1xx responses, of room for request body, and
 * of its end. It lives on the leader's worker and outlives the leader where that is worth while. A
 * failure from outside (deadline, nobody waits) is noted in `failure`; the loop takes it from
 * there.
 */
#include "proxy/fetch.h"

#include <errno.h>
#include <stdlib.h>

#define ARENA_BYTES 2048
#define ARENA_ROOM 2048 /* behind the field rows: a usual request allocates nothing */
#define INTERIMS_MAX 64

typedef enum fetch_state state_function(struct fetch *fetch);

static void run(struct fetch *fetch);
static void on_conn(struct net_conn *conn, enum net_event what);
static enum fetch_state start_over(struct fetch *fetch, enum pool_close why);

size_t fetch_bytes(const struct conf *conf)
{
    return sizeof(struct fetch) + conf->limits.headers * sizeof(struct field) + ARENA_ROOM;
}

/* ---- LEASE, CONNECT ---- */

static enum fetch_state use_grant(struct fetch *fetch, enum pool_grant grant)
{
    switch (grant) {
    case POOL_WAITING:
        return FETCH_AWAIT_LEASE;
    case POOL_REUSED:
        fetch->pool_conn = fetch->lease.conn;
        fetch->reused = fetch->holds_slot = true;
        if (!net_conn_reopen(&fetch->conn, &fetch->worker->loop, fetch->pool_conn.fd,
                             fetch->pool_conn.id, on_conn))
            return fetch_fail(fetch, LOCAL_OVERLOADED);
        return FETCH_SEND;
    case POOL_CONNECT:
        fetch->reused = false;
        fetch->holds_slot = true;
        return FETCH_CONNECT;
    case POOL_QUEUE_FULL:
        return fetch_fail(fetch, LOCAL_QUEUE_FULL);
    case POOL_QUEUE_TIMEOUT:
        return fetch_fail(fetch, LOCAL_QUEUE_TIMEOUT);
    case POOL_NO_ADDRESS:
        return fetch_fail(fetch, LOCAL_NO_ADDRESS);
    }
    weir_assert(!"a grant of the pool");
    return FETCH_FAIL;
}

static enum fetch_state lease(struct fetch *fetch)
{
    /* While it waits, another thread may be writing lease.grant. */
    enum pool_grant grant =
        pool_lease(&fetch->lease, fetch->server, fetch->want, fetch->worker->loop.now_ms);

    fetch->got_byte = false;
    fetch->lease_waits = grant == POOL_WAITING;
    fetch->entered |= 1u << PHASE_QUEUE;
    if (fetch->lease_waits)
        fetch_enter_phase(fetch, PHASE_QUEUE);
    return use_grant(fetch, grant);
}

static enum fetch_state await_lease(struct fetch *fetch)
{
    return fetch->lease_waits ? FETCH_WAIT : use_grant(fetch, fetch->lease.grant);
}

/* What a broken connection to the origin means: Weir's machine is short of something, or the origin
 * has gone. */
static enum local loss(const struct fetch *fetch)
{
    if (fetch->conn.error == ENOMEM || fetch->conn.error == ENOBUFS)
        return LOCAL_OVERLOADED;
    return fetch->got_byte ? LOCAL_ORIGIN_CUT : LOCAL_ORIGIN_CLOSED;
}

static enum fetch_state try_next_address(struct fetch *fetch, enum local failure)
{
    if (pool_next_address(&fetch->lease))
        return FETCH_CONNECT;
    fetch->close_reason = POOL_CLOSE_CONNECT_FAILED;
    return fetch_fail(fetch, failure);
}

static enum fetch_state connect_out(struct fetch *fetch)
{
    fetch_enter_phase(fetch, PHASE_CONNECT);
    if (net_conn_connect(&fetch->conn, &fetch->worker->loop, &fetch->lease.address, on_conn) != 0) {
        fetch->why = strerrordesc_np(fetch->conn.error);
        return try_next_address(fetch, fetch->conn.error == ENOMEM ? LOCAL_OVERLOADED
                                                                   : LOCAL_CONNECT_FAILED);
    }
    fetch_set_deadline(fetch, fetch_timeouts(fetch)->connect_ms, LOCAL_CONNECT_TIMEOUT);
    return FETCH_AWAIT_CONNECT;
}

static enum fetch_state await_connect(struct fetch *fetch)
{
    if (fetch->conn.connecting)
        return FETCH_WAIT;
    fetch_clear_deadline(fetch);
    if (fetch->conn.error) {
        fetch->why = fetch->conn.error == ETIMEDOUT ? NULL : strerrordesc_np(fetch->conn.error);
        log_debug("connecting to %s for request %.*s: %s", fetch->lease.address_text,
                  (int)fetch->request_id.len, fetch->request_id.ptr, strerror(fetch->conn.error));
        net_conn_close(&fetch->conn, false);
        return try_next_address(fetch, fetch->conn.error == ETIMEDOUT ? LOCAL_CONNECT_TIMEOUT
                                                                      : LOCAL_CONNECT_FAILED);
    }
    pool_opened(&fetch->lease, &fetch->pool_conn, fetch->conn.fd, fetch->worker->loop.now_ms);
    return FETCH_SEND;
}

/* ---- SEND and the request's body ---- */

static void sent_whole(struct fetch *fetch)
{
    fetch->body_sent = true;
    if (fetch->phase == PHASE_UPLOAD)
        fetch_enter_phase(fetch, PHASE_FIRST_BYTE);
    if (fetch->state < FETCH_READ_BODY && !fetch->head_begun)
        fetch_set_deadline(fetch, fetch_timeouts(fetch)->first_byte_ms, LOCAL_FIRST_BYTE_TIMEOUT);
}

static enum fetch_state send_head(struct fetch *fetch)
{
    struct str content = fetch->content ? content_bytes(fetch->content) : str_of(NULL, 0);
    struct net_piece pieces[2] = {{fetch->request_head.ptr, fetch->request_head.len, true},
                                  {content.ptr, content.len, true}};
    unsigned count = content.len > 0 && !fetch->has_body ? 2 : 1;

    fetch->requested_ms = fetch->worker->loop.now_ms;
    fetch->requested_us =
        fetch_enter_phase(fetch, fetch->has_body ? PHASE_UPLOAD : PHASE_FIRST_BYTE);
    if (net_conn_send(&fetch->conn, pieces, count) == NET_SENT_FAILED)
        return fetch_fail(fetch, loss(fetch));
    fetch->head_sent = true;
    if (content.len > 0 && fetch->has_body) { /* the beginning; its client has the rest */
        fetch_body(fetch, content);
        content_release(&fetch->content);
    }
    if (!fetch->has_body)
        sent_whole(fetch);
    else if (fetch->leader && !fetch->conn.queued)
        request_on_want_body(fetch->leader);
    return FETCH_AWAIT_RESPONSE;
}

bool fetch_wants_body(const struct fetch *fetch)
{
    return fetch->head_sent && fetch->has_body && !fetch->body_sent && !fetch->conn.queued &&
           fetch->conn.fd >= 0 && !fetch->failure;
}

/* What the origin does not take of a request's body has to move within between_bytes. */
static enum net_sent body_went(struct fetch *fetch, enum net_sent how)
{
    if (how == NET_SENT_FAILED) {
        fetch->upload_broken = true; /* its answer may still be there to be read */
        fetch->body_sent = true;
        fetch_set_deadline(fetch, fetch_timeouts(fetch)->first_byte_ms, LOCAL_FIRST_BYTE_TIMEOUT);
        return NET_SENT_ALL;
    }
    if (how == NET_SENT_QUEUED && fetch->state < FETCH_READ_BODY && !fetch->head_begun)
        fetch_set_deadline(fetch, fetch_timeouts(fetch)->between_bytes_ms,
                           LOCAL_FIRST_BYTE_TIMEOUT);
    else if (fetch->state < FETCH_READ_BODY && !fetch->head_begun)
        fetch_clear_deadline(fetch);
    return how;
}

enum net_sent fetch_body(struct fetch *fetch, struct str bytes)
{
    char line[HTTP1_CHUNK_LINE_BYTES];
    struct net_piece pieces[3];
    unsigned count = 0;

    if (fetch->upload_broken || fetch->conn.fd < 0)
        return NET_SENT_ALL; /* thrown away: what was under way when the origin closed */
    weir_assert(fetch->head_sent && !fetch->body_sent);
    fetch->body_started = true;
    if (fetch->body_chunked)
        pieces[count++] = (struct net_piece){line, http1_chunk_line(line, bytes.len), false};
    pieces[count++] = (struct net_piece){bytes.ptr, bytes.len, false};
    if (fetch->body_chunked)
        pieces[count++] = (struct net_piece){"\r\n", 2, true};
    return body_went(fetch, net_conn_send(&fetch->conn, pieces, count));
}

enum net_sent fetch_body_end(struct fetch *fetch, struct str trailers)
{
    struct net_piece pieces[3] = {
        {"0\r\n", 3, true}, {trailers.ptr, trailers.len, false}, {"\r\n", 2, true}};
    enum net_sent how = NET_SENT_ALL;

    if (fetch->upload_broken || fetch->conn.fd < 0)
        return how;
    if (fetch->body_chunked)
        how = body_went(fetch, net_conn_send(&fetch->conn, pieces, 3));
    sent_whole(fetch);
    return how;
}

/* ---- READ_HEAD ---- */

/* Whoever starts a fetch may have its request in the worker's buffer still: nothing is read there
 * before it has returned, however fast the origin is. */
static enum fetch_state await_response(struct fetch *fetch)
{
    if (!fetch->conn.readable)
        return FETCH_WAIT;
    if (!fetch->starting)
        return FETCH_READ_HEAD;
    fetch->mail_posted = true;
    mailbox_post(&fetch->worker->loop.mailbox, &fetch->mail);
    return FETCH_WAIT;
}

/* 1xx: passed on; 101 changes everything, and says to what (RFC 9110 §15.2.2). */
static enum fetch_state take_interim(struct fetch *fetch)
{
    struct appender block = fetch_scratch(fetch);
    bool upgraded = fetch->head.status == 101;

    if ((upgraded &&
         (!fetch->upgrade || !fetch->head.upgrade || (fetch->has_body && !fetch->body_sent))) ||
        ++fetch->interims > INTERIMS_MAX)
        return fetch_fail(fetch, LOCAL_ORIGIN_MALFORMED);
    if (!forward_interim_block(&fetch->head, upgraded, &block))
        return fetch_fail(fetch, LOCAL_ORIGIN_MALFORMED);
    if (upgraded) {
        struct net_conn *client;

        if (!fetch->leader)
            return fetch_fail(fetch, LOCAL_CLIENT_GONE);
        fetch->tunnel = tunnel_new(fetch->worker, &fetch->conn, fetch, fetch_on_tunnel_end);
        if (!fetch->tunnel || !fetch_hold_input(fetch))
            return fetch_fail(fetch, LOCAL_OVERLOADED);
        client = request_on_tunnel(fetch->leader, str_of(block.ptr, block.len));
        if (!client)
            return fetch_fail(fetch, LOCAL_OVERLOADED);
        fetch_clear_deadline(fetch);
        tunnel_start(fetch->tunnel, client);
        return FETCH_TUNNEL;
    }
    if (fetch->leader)
        request_on_interim(fetch->leader, fetch->head.status, str_of(block.ptr, block.len));
    http1_head_reset(&fetch->head);
    fetch->head_begun = false; /* the final response has not */
    fetch_enter_phase(fetch, fetch->body_sent ? PHASE_FIRST_BYTE : PHASE_UPLOAD);
    if (fetch->body_sent)
        fetch_set_deadline(fetch, fetch_timeouts(fetch)->first_byte_ms, LOCAL_FIRST_BYTE_TIMEOUT);
    else
        fetch_clear_deadline(fetch);
    return FETCH_READ_HEAD;
}

static int64_t declared_timeout_ms(const struct http1_head *head)
{
    const struct field *f = fields_first(http1_fields(head), FIELD_KEEP_ALIVE);
    struct str rest, element;
    uint64_t seconds;

    if (!f)
        return 0;
    for (rest = field_value(f); str_list_next(&rest, &element);)
        if (element.len > 8 && str_equal_nocase(str_of(element.ptr, 8), STR("timeout=")) &&
            str_to_u64(str_of(element.ptr + 8, element.len - 8), 86400, &seconds))
            return (int64_t)seconds * 1000;
    return 0;
}

/* What of the head decides whether the connection can be used again. */
static void note_connection(struct fetch *fetch)
{
    const struct http1_head *head = &fetch->head;
    int64_t declared = declared_timeout_ms(head);

    fetch->reusable = !head->close && (head->minor == 1 || head->keep_alive) &&
                      head->body != HTTP1_BODY_UNTIL_CLOSE;
    if (declared)
        fetch->pool_conn.declared_timeout_ms = declared;
}

/* What a POST invalidates goes before its own response is stored, and does not count against that. */
static void invalidate_before_storing(struct fetch *fetch)
{
    bool for_target = fetch_is_for_target(fetch);
    bool undisturbed = for_target && cache_fill_is_undisturbed(fetch->fill);

    fetch_invalidate(fetch);
    if (undisturbed)
        cache_fill_forgive_purges(fetch->fill);
}

/* The 304 is about another response than the stored one (RFC 9111 §4.3.4): asked again without
 * conditions, on the same connection where that can be used again. */
static enum fetch_state ask_without_conditions(struct fetch *fetch)
{
    fetch->request_head = fetch->plain_head;
    fetch->plain_head = str_of(NULL, 0);
    if (fetch->input.len > 0)
        return start_over(fetch, POOL_CLOSE_ERROR);
    if (!fetch->reusable)
        return start_over(fetch, POOL_CLOSE_ORIGIN_CLOSE);
    fetch->got_byte = fetch->head_begun = false;
    http1_head_reset(&fetch->head);
    return FETCH_SEND;
}

/* An origin to which QUERY is not yet like GET answers Weir's own If-None-Match by 412 (RFC 9110
 * §13.1.2), which says that the stored response is still good, and is nothing that its client could
 * understand. As some of them mean it of every condition, it is asked again without. */
static enum fetch_state ask_query_anew(struct fetch *fetch)
{
    cache_object_release(&fetch->stored);
    fetch->request_head = fetch->plain_head;
    fetch->plain_head = str_of(NULL, 0);
    return start_over(fetch, POOL_CLOSE_ERROR);
}

/* Reads the final head into the fill, or lets what is stored live on. */
static enum fetch_state take_head(struct fetch *fetch)
{
    note_connection(fetch);
    invalidate_before_storing(fetch);
    fetch_set_deadline(fetch, fetch_timeouts(fetch)->between_bytes_ms, LOCAL_BETWEEN_BYTES_TIMEOUT);
    if (fetch->plain_head.ptr && fetch->head.status == 304) {
        switch (fetch_take_not_modified(fetch)) {
        case FRESHENED:
            return fetch_end_of_body(fetch);
        case FRESHEN_OTHER:
            return ask_without_conditions(fetch);
        case FRESHEN_NO_MEMORY:
            return fetch_fail(fetch, LOCAL_OVERLOADED);
        }
    }
    if (fetch->plain_head.ptr && fetch->head.status == 412 && fetch->method == METHOD_QUERY)
        return ask_query_anew(fetch);
    if (!fetch_publish_head(fetch))
        return fetch_fail(fetch, LOCAL_OVERLOADED);
    fetch->head_given = true;
    fetch->left = fetch->head.body == HTTP1_BODY_LENGTH ? fetch->head.content_length : 0;
    memset(&fetch->chunked, 0, sizeof(fetch->chunked));
    return FETCH_READ_BODY;
}

static enum fetch_state parse_head(struct fetch *fetch)
{
    ssize_t used = http1_parse_response(&fetch->head, fetch->input.ptr, fetch->input.len,
                                        &fetch->worker->head_limits, fetch->method);

    if (used < 0) {
        fetch->why = http1_error_row((enum http1_error) - used)->text;
        return fetch_fail(fetch, LOCAL_ORIGIN_MALFORMED);
    }
    if (used == 0) {
        fetch->parsed_at = fetch->input.ptr;
        if (!fetch_hold_input(fetch))
            return fetch_fail(fetch, LOCAL_OVERLOADED);
        return FETCH_READ_HEAD; /* until there is nothing more: a reset may hide behind what was
                                   read */
    }
    fetch->input.ptr += used;
    fetch->input.len -= (size_t)used;
    return fetch->head.status < 200 ? take_interim(fetch) : take_head(fetch);
}

static enum fetch_state read_head(struct fetch *fetch)
{
    ssize_t n;

    if (fetch->input.len > 0)
        return parse_head(fetch); /* behind a 1xx */
    n = fetch_read_input(fetch);
    if (n == NET_AGAIN) {
        if (!fetch_hold_input(fetch))
            return fetch_fail(fetch, LOCAL_OVERLOADED);
        return FETCH_AWAIT_RESPONSE;
    }
    if (n == 0 || n == NET_BROKEN)
        return fetch_fail(fetch, loss(fetch));
    fetch->got_byte = true;
    if (!fetch->head_begun) {
        fetch_enter_phase(fetch, PHASE_BODY);
        fetch->head_begun = true;
        fetch_set_deadline(fetch, fetch_timeouts(fetch)->between_bytes_ms,
                           LOCAL_FIRST_BYTE_TIMEOUT);
    }
    if (fetch->parsed_at)
        http1_head_moved(&fetch->head, fetch->parsed_at, fetch->input.ptr);
    fetch->parsed_at = NULL;
    return parse_head(fetch);
}

static enum fetch_state in_tunnel(struct fetch *fetch)
{
    (void)fetch;
    return FETCH_WAIT;
}

/* ---- ends ---- */

/* The connection goes back to the pool, or is closed, and the lease ends. */
static void give_back(struct fetch *fetch, bool reusable)
{
    int64_t now_ms = fetch->worker->loop.now_ms;

    fetch->holds_slot = false;
    if (reusable) {
        fetch->pool_conn.fd = net_conn_detach(&fetch->conn, fetch->pool_conn.id);
        fetch->pool_conn.requests++;
        pool_park(&fetch->lease, &fetch->pool_conn, now_ms);
        return;
    }
    net_conn_close(&fetch->conn, fetch->close_reason != POOL_CLOSE_ORIGIN_CLOSE &&
                                     fetch->close_reason != POOL_CLOSE_TUNNEL_END);
    pool_discard(&fetch->lease, fetch->close_reason, &fetch->pool_conn, now_ms);
}

static enum fetch_state complete(struct fetch *fetch)
{
    bool reusable = fetch->reusable && fetch->body_sent && !fetch->upload_broken &&
                    fetch->conn.bev == NULL && !fetch->conn.peer_closed && !fetch->conn.error;
    int64_t now_ms = fetch->worker->loop.now_ms, now_us = fetch_enter_phase(fetch, PHASES);

    fetch_clear_deadline(fetch);
    fetch_count_phases(fetch);
    if (!fetch->freshened) {
        cache_fill_complete(fetch->fill, fetch->trailers, now_ms);
        if (fetch->refresh && cache_fill_is_pass(fetch->fill))
            fetch_refresh_failed(fetch);
    }
    pool_count_request(&fetch->lease, false, (uint64_t)(now_us - fetch->requested_us));
    if (fetch->close_reason == POOL_CLOSE_ERROR)
        fetch->close_reason = POOL_CLOSE_ORIGIN_CLOSE;
    give_back(fetch, reusable);
    return FETCH_RELEASE;
}

/* A reused connection that died before the first byte, under a request that can be sent again (RFC
 * 9110 §9.2.2, RFC 9112 §9.5). */
static bool may_retry(const struct fetch *fetch)
{
    return fetch->failure == LOCAL_ORIGIN_CLOSED && fetch->reused && !fetch->got_byte &&
           !fetch->body_started && (fetch->replayable || !fetch->head_sent);
}

/* Frees what is leased, in whatever phase. */
static void end_lease(struct fetch *fetch, enum pool_close why)
{
    if (fetch->holds_slot) {
        fetch->close_reason = why;
        give_back(fetch, false);
    } else if (!pool_cancel(&fetch->lease, fetch->worker->loop.now_ms)) {
        fetch->grant_under_way = true;
    }
}

/* The request is sent anew, on a fresh connection. */
static enum fetch_state start_over(struct fetch *fetch, enum pool_close why)
{
    fetch_clear_deadline(fetch);
    end_lease(fetch, why);
    fetch->want = POOL_WANT_FRESH;
    fetch->failure = LOCAL_NONE;
    fetch->why = NULL;
    fetch->close_reason = POOL_CLOSE_ERROR;
    fetch->head_sent = fetch->head_begun = false;
    fetch->parsed_at = NULL;
    fetch->input = str_of(NULL, 0);
    http1_head_reset(&fetch->head);
    return FETCH_LEASE;
}

static enum pool_close close_reason(const struct fetch *fetch)
{
    if (fetch->failure == LOCAL_CLIENT_GONE && !fetch->tunnel_ended)
        return POOL_CLOSE_CLIENT_GONE;
    return fetch->close_reason;
}

/* A server that could not be reached has failed too. */
static void count_failure(struct fetch *fetch, int64_t now_us)
{
    if (fetch->head_sent)
        pool_count_request(&fetch->lease, true, (uint64_t)(now_us - fetch->requested_us));
    else if (fetch->failure == LOCAL_CONNECT_FAILED || fetch->failure == LOCAL_CONNECT_TIMEOUT ||
             fetch->failure == LOCAL_NO_ADDRESS)
        pool_count_unreachable(fetch->server);
}

static enum fetch_state fail_or_retry(struct fetch *fetch)
{
    const struct local_row *row;
    int64_t now_us;

    fetch_clear_deadline(fetch);
    if (may_retry(fetch)) {
        pool_count_retry(fetch->server);
        fetch->retries++;
        return start_over(fetch, POOL_CLOSE_IDLE_DEATH);
    }
    row = local_row(fetch->failure);
    if (fetch->failure == LOCAL_CLIENT_GONE)
        fetch->entered &= ~(1u << fetch->phase); /* it was not seen to its end */
    now_us = fetch_enter_phase(fetch, PHASES);
    fetch_count_phases(fetch);
    if (fetch->failure != LOCAL_CLIENT_GONE) {
        fetch_tell_failure(fetch);
        count_failure(fetch, now_us);
    }
    if (fetch->refresh)
        fetch_refresh_failed(fetch); /* before the next one could begin */
    cache_fill_abort(fetch->fill, row->status, row->detail);
    end_lease(fetch, close_reason(fetch));
    return FETCH_RELEASE;
}

static void free_fetch(struct fetch *fetch)
{
    struct worker *worker = fetch->worker;

    arena_destroy(&fetch->arena);
    fetch->magic = 0;
    list_remove(&fetch->link);
    freelist_put(&worker->fetch_list, fetch);
    worker_session_ended(worker);
}

static enum fetch_state release(struct fetch *fetch)
{
    fetch_report(fetch);
    tunnel_free(&fetch->tunnel);
    wheel_cancel(&fetch->worker->loop.wheel, &fetch->deadline);
    if (fetch->mail_posted)
        net_loop_withdraw(&fetch->worker->loop, &fetch->mail);
    cache_fill_end_writer(&fetch->fill);
    cache_object_release(&fetch->stored);
    content_release(&fetch->content);
    fetch_release_variants(fetch);
    fetch->released = true;
    if (!fetch->grant_under_way)
        free_fetch(fetch);
    return FETCH_DONE;
}

/* ---- the machine ---- */

static state_function *const states[] = {
    [FETCH_LEASE] = lease,
    [FETCH_AWAIT_LEASE] = await_lease,
    [FETCH_CONNECT] = connect_out,
    [FETCH_AWAIT_CONNECT] = await_connect,
    [FETCH_SEND] = send_head,
    [FETCH_AWAIT_RESPONSE] = await_response,
    [FETCH_READ_HEAD] = read_head,
    [FETCH_READ_BODY] = fetch_read_body,
    [FETCH_AWAIT_BODY] = fetch_await_body,
    [FETCH_AWAIT_ROOM] = fetch_await_room,
    [FETCH_TUNNEL] = in_tunnel,
    [FETCH_COMPLETE] = complete,
    [FETCH_FAIL] = fail_or_retry,
    [FETCH_RELEASE] = release,
};

static void run(struct fetch *fetch)
{
    weir_check_magic(fetch, FETCH_MAGIC);
    weir_assert(!fetch->running && !fetch->released);
    fetch->running = true;
    fetch->turn = 0;
    for (;;) {
        enum fetch_state next;

        if (fetch->failure && fetch->state < FETCH_COMPLETE)
            fetch->state = FETCH_FAIL;
        next = states[fetch->state](fetch);
        if (next == FETCH_DONE)
            return; /* the memory may be gone */
        if (next == FETCH_WAIT)
            break;
        fetch->state = next;
    }
    fetch->running = fetch->starting = false;
}

/* ---- what wakes it ---- */

static void on_conn(struct net_conn *conn, enum net_event what)
{
    struct fetch *fetch = weir_container(conn, struct fetch, conn);

    weir_check_magic(fetch, FETCH_MAGIC);
    if (what == NET_DRAINED) {
        if (fetch->has_body && !fetch->body_sent) {
            if (!fetch->head_begun && fetch->state < FETCH_READ_BODY)
                fetch_clear_deadline(fetch); /* it is the client's turn */
            if (fetch->leader)
                request_on_want_body(fetch->leader);
            return;
        }
    } else if (what == NET_FAILED && !conn->connecting && fetch->state != FETCH_AWAIT_CONNECT) {
        if (fetch->has_body && fetch->body_started)
            fetch->upload_broken = true;
        fetch->failure = loss(fetch);
    }
    run(fetch);
}

static void on_grant(struct pool_lease *granted)
{
    struct fetch *fetch = weir_container(granted, struct fetch, lease);

    weir_check_magic(fetch, FETCH_MAGIC);
    if (fetch->released) {
        free_fetch(fetch);
        return;
    }
    fetch->lease_waits = false;
    run(fetch);
}

static void on_deadline(struct wheel_timer *timer, int64_t now_ms)
{
    struct fetch *fetch = weir_container(timer, struct fetch, deadline);

    (void)now_ms;
    weir_check_magic(fetch, FETCH_MAGIC);
    if (fetch->state == FETCH_AWAIT_CONNECT) {
        fetch->conn.connecting = false; /* the next address may answer */
        fetch->conn.error = ETIMEDOUT;
        run(fetch);
        return;
    }
    if (fetch->state == FETCH_AWAIT_ROOM && cache_fill_is_held_up(fetch->fill))
        cache_fill_cut_slow(fetch->fill);
    fetch->failure = fetch->deadline_failure;
    run(fetch);
}

static void on_mail(struct mail *mail)
{
    struct fetch *fetch = weir_container(mail, struct fetch, mail);

    weir_check_magic(fetch, FETCH_MAGIC);
    fetch->mail_posted = false;
    fetch->resumed = true;
    run(fetch);
}

/* The window of a pass has opened, or the last reader has left. */
static void on_readers(void *writer)
{
    struct fetch *fetch = writer;

    weir_check_magic(fetch, FETCH_MAGIC);
    if (fetch->state == FETCH_TUNNEL)
        return;
    if (!fetch->satisfied && !cache_fill_worth_going_on(fetch->fill))
        fetch->failure = LOCAL_CLIENT_GONE;
    else if (fetch->state != FETCH_AWAIT_ROOM)
        return;
    run(fetch);
}

void fetch_on_tunnel_end(void *owner, uint64_t to_client_bytes)
{
    struct fetch *fetch = owner;
    struct request *leader = fetch->leader;

    weir_check_magic(fetch, FETCH_MAGIC);
    fetch_report(fetch);
    if (leader)
        request_on_tunnel_end(leader, to_client_bytes);
    fetch->close_reason = POOL_CLOSE_TUNNEL_END;
    fetch->failure = LOCAL_CLIENT_GONE;
    fetch->tunnel_ended = true;
    run(fetch);
}

/* ---- called by the request ---- */

static bool prepare_request(struct fetch *fetch, const struct fetch_order *order)
{
    struct forward forward = {
        .request = order->request,
        .upstream = fetch->upstream,
        .server = pool_server_conf(fetch->server),
        .cacheable = order->cacheable,
        .refresh = order->refresh,
    };

    if (order->key) {
        fetch->key = *order->key;
        fetch->key.text = arena_copy(&fetch->arena, order->key->text);
        if (!fetch->key.text.ptr || !fetch_keep_vary_fields(fetch, order->request))
            return false;
        if ((order->vary_miss || fetch->method == METHOD_HEAD) && !fetch_find_variants(fetch))
            return false;
    }
    if (fetch->stored && (cache_object_meta(fetch->stored).flags & CACHE_HAS_VALIDATOR))
        forward.stored = fetch->stored;
    if (order->vary_miss) {
        forward.variants = fetch->variants;
        forward.variants_count = fetch->variants_count;
    }
    fetch->request_head = forward_request(&forward, &fetch->arena);
    fetch->request_id = forward.request_id;
    memcpy(fetch->trace_id, forward.trace_id, sizeof(fetch->trace_id));
    if (forward.stored || forward.variants_count > 0) {
        forward.stored = NULL;
        forward.variants_count = 0;
        fetch->plain_head = forward_request(&forward, &fetch->arena);
        if (!fetch->plain_head.ptr)
            return false;
    }
    return fetch->request_head.ptr != NULL && fetch_note_invalidation(fetch, order->request);
}

static void set_up(struct fetch *fetch, struct worker *worker, const struct fetch_order *order)
{
    const struct http1_head *head = order->request->head;

    memset(fetch, 0, offsetof(struct fetch, lease));
    fetch->magic = FETCH_MAGIC;
    fetch->worker = worker;
    fetch->leader = order->refresh ? NULL : order->request;
    fetch->fill = order->fill;
    fetch->stored = order->stored;
    fetch->upstream = order->request->route->upstream;
    fetch->server = pool_pick(worker->pool, fetch->upstream);
    fetch->route = order->request->route;
    fetch->directives = order->request->directives;
    fetch->key_rules = order->request->key_rules;
    fetch->cacheable = order->cacheable;
    fetch->findable = order->findable;
    fetch->refresh = fetch->satisfied = order->refresh;
    fetch->method = order->refresh && head->method == METHOD_HEAD ? METHOD_GET : head->method;
    fetch->upgrade = head->upgrade;
    fetch->content = content_ref(order->request->content);
    fetch->has_body = head->body != HTTP1_BODY_NONE && !content_is_whole(fetch->content) &&
                      !(head->body == HTTP1_BODY_LENGTH && head->content_length == 0);
    fetch->body_chunked = head->body == HTTP1_BODY_CHUNKED;
    fetch->replayable = !fetch->has_body && !head->upgrade &&
                        (method_is_idempotent(head->method) ||
                         fields_first(http1_fields(head), FIELD_IDEMPOTENCY_KEY));
    fetch->want = fetch->replayable ? POOL_WANT_ANY : POOL_WANT_SURE;
    fetch->close_reason = POOL_CLOSE_ERROR;
    fetch->phase = PHASES;
    fetch->conn.fd = -1;
    fetch->head.list = fetch->fields;
    fetch->head.capacity = worker->conf->limits.headers;
    http1_head_reset(&fetch->head);
    arena_init(&fetch->arena, ARENA_BYTES);
    arena_lend(&fetch->arena, (char *)&fetch->fields[fetch->head.capacity], ARENA_ROOM);
    wheel_timer_init(&fetch->deadline, on_deadline);
    fetch->mail.deliver = on_mail;
    pool_lease_init(&fetch->lease);
    fetch->lease.mailbox = &worker->loop.mailbox;
    fetch->lease.wheel = &worker->loop.wheel;
    fetch->lease.on_grant = on_grant;
    list_push_back(&worker->fetches, &fetch->link);
}

bool fetch_start(struct worker *worker, struct fetch_order *order)
{
    struct fetch *fetch = freelist_get(&worker->fetch_list);

    if (!fetch) {
        cache_fill_abort(order->fill, 503, local_row(LOCAL_OVERLOADED)->detail);
        cache_fill_end_writer(&order->fill);
        cache_object_release(&order->stored);
        return false;
    }
    set_up(fetch, worker, order);
    cache_fill_set_writer(fetch->fill, &worker->loop.mailbox, fetch, on_readers);
    if (fetch->leader)
        fetch->leader->fetch = fetch;
    fetch->failure = prepare_request(fetch, order) ? LOCAL_NONE : LOCAL_OVERLOADED;
    fetch->state = FETCH_LEASE;
    fetch->starting = true;
    run(fetch);
    return true;
}

void fetch_leave(struct fetch **taken)
{
    struct fetch *fetch = weir_take(taken);

    weir_check_magic(fetch, FETCH_MAGIC);
    fetch_report(fetch);
    if (fetch->tunnel || (fetch->has_body && !fetch->body_sent)) {
        fetch->failure = LOCAL_CLIENT_GONE;
        run(fetch);
    }
}

void fetch_leave_satisfied(struct fetch **taken)
{
    (*taken)->satisfied = (*taken)->findable;
    if (!(*taken)->has_body || (*taken)->body_sent)
        fetch_report(weir_take(taken));
}

void fetch_drain(struct list_link *link)
{
    struct fetch *fetch = weir_container(link, struct fetch, link);

    weir_check_magic(fetch, FETCH_MAGIC);
    if (!fetch->refresh || fetch->released || cache_fill_readers(fetch->fill) > 0)
        return;
    fetch->failure = LOCAL_CLIENT_GONE;
    run(fetch);
}
