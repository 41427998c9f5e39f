/*
 * How a fetch reads: from the socket, or from what was held, into the fill, by the framing of the
 * response (RFC 9112 §6.3). These are the states READ_BODY, AWAIT_BODY and AWAIT_ROOM of the fetch
 * machine, and what the head's states read with.
 *
 * `input` lies in the worker's buffer and is valid only while the machine runs: whoever waits holds
 * it first. A body of known length, or until close, is read directly into the fill's own chunks.
 */
#include "proxy/fetch.h"

#define BYTES_PER_WAKE_UP (1024 * 1024)
#define ROOM_WANTED (256 * 1024)
/* For so long a reader may hold up others that wait for more. */
#define HELD_UP_MS 1000

/* Reads behind what is held, into the worker's buffer: fetch->input. NET_AGAIN when nothing new
 * came. */
ssize_t fetch_read_input(struct fetch *fetch)
{
    char *buffer = fetch->worker->loop.read_buffer;
    size_t held = net_conn_take_input(&fetch->conn, buffer, NET_READ_BUFFER);
    ssize_t n = net_conn_recv(&fetch->conn, buffer + held, NET_READ_BUFFER - held);

    fetch->input = str_of(buffer, held + (n > 0 ? (size_t)n : 0));
    return n;
}

/* What was read and not used waits for the next wake-up. */
bool fetch_hold_input(struct fetch *fetch)
{
    struct str rest = fetch->input;

    fetch->input = str_of(NULL, 0);
    return net_conn_hold_input(&fetch->conn, rest.ptr, rest.len);
}

/* The exact end has been reached; anything behind it was not asked for, and the connection is not
 * used again. */
enum fetch_state fetch_end_of_body(struct fetch *fetch)
{
    if (fetch->input.len > 0) {
        fetch->reusable = false;
        fetch->close_reason = POOL_CLOSE_UNSOLICITED;
    }
    return FETCH_COMPLETE;
}

static enum fetch_state no_room(struct fetch *fetch)
{
    if (!fetch_hold_input(fetch))
        return fetch_fail(fetch, LOCAL_OVERLOADED);
    fetch_clear_deadline(fetch); /* it is the reader's turn; the client's send_timeout applies */
    return FETCH_AWAIT_ROOM;
}

/* Copies input bytes of the body into the fill. False when it did not take all of them. */
static bool append_input(struct fetch *fetch, size_t len, size_t *taken)
{
    bool failed = false;

    *taken = cache_fill_append(fetch->fill, fetch->input.ptr, len, &failed);
    if (failed)
        fetch->failure = LOCAL_OVERLOADED;
    fetch->input.ptr += *taken;
    fetch->input.len -= *taken;
    return *taken == len;
}

/* Reads body bytes from the socket directly into the fill. */
static enum fetch_state read_into_fill(struct fetch *fetch, uint64_t most)
{
    size_t room;
    char *to;
    ssize_t n;

    to = cache_fill_room(fetch->fill, most < ROOM_WANTED ? (size_t)most : ROOM_WANTED, &room);
    if (!to)
        return fetch_fail(fetch, LOCAL_OVERLOADED);
    if (room == 0)
        return no_room(fetch);
    if (room > most)
        room = (size_t)most;
    n = net_conn_recv(&fetch->conn, to, room);
    if (n > 0) {
        cache_fill_commit(fetch->fill, (size_t)n);
        fetch->turn += (size_t)n;
        if (fetch->head.body == HTTP1_BODY_LENGTH)
            fetch->left -= (uint64_t)n;
        return FETCH_READ_BODY;
    }
    if (n == NET_AGAIN)
        return FETCH_AWAIT_BODY;
    if (n == 0 && fetch->head.body == HTTP1_BODY_UNTIL_CLOSE)
        return FETCH_COMPLETE;
    return fetch_fail(fetch, LOCAL_ORIGIN_CUT);
}

static enum fetch_state read_length(struct fetch *fetch)
{
    size_t len, taken;

    if (fetch->left == 0)
        return fetch_end_of_body(fetch);
    if (fetch->input.len == 0)
        return read_into_fill(fetch, fetch->left);
    len = fetch->input.len < fetch->left ? fetch->input.len : (size_t)fetch->left;
    if (!append_input(fetch, len, &taken)) {
        fetch->left -= taken;
        return fetch->failure ? FETCH_FAIL : no_room(fetch);
    }
    fetch->left -= taken;
    return FETCH_READ_BODY;
}

static enum fetch_state read_until_close(struct fetch *fetch)
{
    size_t taken;

    if (fetch->input.len == 0)
        return read_into_fill(fetch, UINT64_MAX);
    if (!append_input(fetch, fetch->input.len, &taken))
        return fetch->failure ? FETCH_FAIL : no_room(fetch);
    return FETCH_READ_BODY;
}

/* More input for what needs it in one piece or in order. */
static enum fetch_state more_input(struct fetch *fetch)
{
    ssize_t n;

    if (!fetch_hold_input(fetch))
        return fetch_fail(fetch, LOCAL_OVERLOADED);
    n = fetch_read_input(fetch);
    if (n == 0 || n == NET_BROKEN)
        return fetch_fail(fetch, LOCAL_ORIGIN_CUT);
    if (n == NET_AGAIN) {
        if (!fetch_hold_input(fetch))
            return fetch_fail(fetch, LOCAL_OVERLOADED);
        return FETCH_AWAIT_BODY;
    }
    fetch->turn += (size_t)n;
    return FETCH_READ_BODY;
}

static enum fetch_state read_trailers(struct fetch *fetch)
{
    struct appender out = fetch_scratch(fetch);
    ssize_t used;

    http1_head_reset(&fetch->head);
    used = http1_parse_trailers(&fetch->head, fetch->input.ptr, fetch->input.len,
                                &fetch->worker->head_limits);
    fetch->head.body = HTTP1_BODY_CHUNKED;
    if (used < 0)
        return fetch_fail(fetch, LOCAL_ORIGIN_CUT);
    if (used == 0)
        return more_input(fetch);
    fetch->input.ptr += used;
    fetch->input.len -= (size_t)used;
    fetch->trailers = str_of(NULL, 0);
    if (forward_trailers(http1_fields(&fetch->head), &out))
        fetch->trailers = arena_copy(&fetch->arena, str_of(out.ptr, out.len));
    return fetch_end_of_body(fetch);
}

static enum fetch_state read_chunked(struct fetch *fetch)
{
    struct http1_chunked before = fetch->chunked;
    struct str data;
    size_t taken;
    ssize_t used;

    if (fetch->chunked.last)
        return fetch->input.len > 0 ? read_trailers(fetch) : more_input(fetch);
    if (fetch->input.len == 0)
        return more_input(fetch);
    used = http1_chunked_read(&fetch->chunked, fetch->input.ptr, fetch->input.len, &data);
    if (used < 0)
        return fetch_fail(fetch, LOCAL_ORIGIN_CUT);
    if (data.len > 0) {
        bool failed = false;

        taken = cache_fill_append(fetch->fill, data.ptr, data.len, &failed);
        if (failed)
            return fetch_fail(fetch, LOCAL_OVERLOADED);
        if (taken < data.len) {
            /* The decoder goes back to where the fill stopped. */
            size_t upto = (size_t)(data.ptr + taken - fetch->input.ptr);

            fetch->chunked = before;
            if (upto > 0) {
                ssize_t again = http1_chunked_read(&fetch->chunked, fetch->input.ptr, upto, &data);

                weir_assert(again == (ssize_t)upto);
            }
            fetch->input.ptr += upto;
            fetch->input.len -= upto;
            return no_room(fetch);
        }
    }
    if (used == 0)
        return more_input(fetch);
    fetch->input.ptr += used;
    fetch->input.len -= (size_t)used;
    return FETCH_READ_BODY;
}

enum fetch_state fetch_read_body(struct fetch *fetch)
{
    if (fetch->turn > BYTES_PER_WAKE_UP) {
        if (!fetch_hold_input(fetch))
            return fetch_fail(fetch, LOCAL_OVERLOADED);
        return FETCH_AWAIT_BODY;
    }
    switch (fetch->head.body) {
    case HTTP1_BODY_NONE:
        return fetch_end_of_body(fetch);
    case HTTP1_BODY_LENGTH:
        return read_length(fetch);
    case HTTP1_BODY_CHUNKED:
        return read_chunked(fetch);
    case HTTP1_BODY_UNTIL_CLOSE:
        return read_until_close(fetch);
    }
    weir_assert(!"a body framing");
    return FETCH_FAIL;
}

enum fetch_state fetch_await_body(struct fetch *fetch)
{
    if (fetch->turn > BYTES_PER_WAKE_UP) {
        if (!fetch->mail_posted) {
            fetch->mail_posted = true;
            net_loop_later(&fetch->worker->loop, &fetch->mail);
        }
        return FETCH_WAIT;
    }
    if (!fetch->conn.readable && !fetch->resumed)
        return FETCH_WAIT;
    fetch->resumed = false;
    fetch->input = str_of(NULL, 0);
    if (net_conn_held_bytes(&fetch->conn) > 0) {
        size_t held =
            net_conn_take_input(&fetch->conn, fetch->worker->loop.read_buffer, NET_READ_BUFFER);

        fetch->input = str_of(fetch->worker->loop.read_buffer, held);
    }
    fetch_set_deadline(fetch, fetch_timeouts(fetch)->between_bytes_ms, LOCAL_BETWEEN_BYTES_TIMEOUT);
    return FETCH_READ_BODY;
}

enum fetch_state fetch_await_room(struct fetch *fetch)
{
    size_t held, room;
    const char *to = cache_fill_room(fetch->fill, 1, &room);

    if (to && room == 0 && cache_fill_readers(fetch->fill) == 0)
        return fetch_fail(fetch, LOCAL_CLIENT_GONE); /* nobody will ever make room */
    if (to && room == 0) {
        if (fetch->deadline.due_ms == WHEEL_NEVER && cache_fill_is_held_up(fetch->fill))
            fetch_set_deadline(fetch, HELD_UP_MS, LOCAL_NONE);
        return FETCH_WAIT;
    }
    held = net_conn_take_input(&fetch->conn, fetch->worker->loop.read_buffer, NET_READ_BUFFER);
    fetch->input = str_of(fetch->worker->loop.read_buffer, held);
    fetch_set_deadline(fetch, fetch_timeouts(fetch)->between_bytes_ms, LOCAL_BETWEEN_BYTES_TIMEOUT);
    return FETCH_READ_BODY;
}
