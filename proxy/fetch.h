/*
 * A fetch from inside: what the machine (fetch.c), its reading (fetch_body.c) and what it makes of
 * response heads (fetch_head.c) share. For those files only; everyone else sees proxy.h.
 */
#ifndef WEIR_PROXY_FETCH_H
#define WEIR_PROXY_FETCH_H

#include "proxy/proxy.h"

#define FETCH_MAGIC 0x46455443u

struct fetch {
    unsigned magic;
    /* fixed by fetch_start */
    struct worker *worker;
    const struct conf_upstream *upstream;
    const struct conf_route *route;
    struct pool_server *server;
    struct policy_request directives; /* of the leader */
    struct cache_key key;             /* of what was looked up; its text in the arena */
    struct str request_head;          /* in the arena */
    struct str plain_head;            /* the same without conditions, when it has some */
    struct str invalidates; /* key text that a successful unsafe request invalidates; or "" */
    struct fields asked;    /* the leader's, kept for Vary; empty where nothing is stored */
    enum method method;
    bool cacheable, findable, upgrade, has_body, body_chunked, replayable;
    const struct conf_route_key *key_rules; /* as the leader's */
    struct content *content;                /* reference; sent behind the head, or NULL */
    bool refresh;                           /* nobody leads it, nobody need wait for it */

    /* machine */
    enum fetch_state state;
    bool running, released;
    bool starting;                  /* inside fetch_start() */
    enum local failure;             /* set from outside or by a state: the loop goes to FAIL */
    const char *why;                /* what the system or the parser says to it, or NULL; static */
    struct request *leader;         /* borrowed; NULL once it has left */
    struct cache_fill *fill;        /* owned reference */
    struct cache_object *stored;    /* owned reference; being validated */
    struct cache_object **variants; /* owned references, in the arena: other variants, to be asked
                                       about; of a HEAD, what its answer may be about */
    unsigned variants_count;
    struct cache_purges purges; /* before they were looked up */
    struct arena arena;
    struct list_link link; /* in worker->fetches */
    struct wheel_timer deadline;
    enum local deadline_failure;
    int64_t deadline_after_ms;
    struct mail mail; /* its next turn, after BYTES_PER_WAKE_UP */
    size_t turn;
    bool mail_posted;
    bool satisfied; /* its leader has been answered and it is to be stored: goes on without readers
                     */

    /* connection */
    enum pool_want want;
    struct pool_conn pool_conn;
    struct net_conn conn;
    bool lease_waits, holds_slot, grant_under_way, reused, reusable;
    enum pool_close close_reason;
    unsigned retries;
    int64_t requested_ms;
    struct str request_id; /* the leader's, for log lines; in the arena */
    char trace_id[TRACE_ID_BYTES];

    /* how long it takes, microseconds */
    struct phases phases;
    enum fetch_phase phase; /* PHASES: in none */
    unsigned entered;       /* bits of the phases that it came to */
    int64_t since_us;       /* when the phase began that it is in */
    int64_t requested_us;   /* when the head was sent */

    /* request body */
    bool head_sent, body_started, body_sent, upload_broken;

    /* response */
    bool got_byte;       /* on this connection: no retry any more */
    bool head_begun;     /* of the present head, the final one or a 1xx */
    bool head_given;     /* the readers have the final one */
    bool resumed;        /* its next turn has come: goes on with what is held or unread */
    bool freshened;      /* a 304: the readers have the stored response */
    bool refresh_failed; /* and it has been said */
    unsigned interims;
    struct str
        input; /* read and not yet used; in the worker's buffer, valid while the machine runs */
    const char *parsed_at;
    struct http1_head head;
    uint64_t left; /* of a Content-Length body */
    struct http1_chunked chunked;
    struct str trailers; /* in the arena */
    struct tunnel *tunnel;
    bool tunnel_ended;

    /* made by their own functions; what is before is zeroed */
    struct pool_lease lease;
    struct field fields[];
};

/* What a 304 says of the stored response: its head is updated (RFC 9111 §4.3.4) and the readers get
 * it. */
enum freshen {
    FRESHENED,
    FRESHEN_OTHER,
    FRESHEN_NO_MEMORY
};
enum freshen fetch_take_not_modified(struct fetch *fetch);
/* Takes them. False when memory is out. */
bool fetch_find_variants(struct fetch *fetch);
void fetch_release_variants(struct fetch *fetch);
/* The refresh that this is has come to nothing. */
void fetch_refresh_failed(struct fetch *fetch);
/* Judges the final head and publishes it to the readers. False when memory is out. */
bool fetch_publish_head(struct fetch *fetch);
/* The leader's head may be gone when the response comes: what Vary may ask for, and what an unsafe
 * method invalidates, is kept. False when memory is out. */
bool fetch_keep_vary_fields(struct fetch *fetch, const struct request *request);
bool fetch_note_invalidation(struct fetch *fetch, const struct request *request);
/* What a response to an unsafe method makes invalid, once its head is there (invalidate.c). */
void fetch_invalidate(struct fetch *fetch);
/* Whether it is a POST whose response may answer GETs; and, of such a one, whether its response says
 * that it is the target's. */
static inline bool fetch_is_for_target(const struct fetch *fetch)
{
    return !fetch->cacheable && fetch->findable;
}
bool fetch_describes_target(const struct fetch *fetch);
void fetch_on_tunnel_end(void *owner, uint64_t to_client_bytes);

/* ---- small helpers of both ---- */

static inline const struct conf_timeouts *fetch_timeouts(const struct fetch *fetch)
{
    return &fetch->upstream->timeouts;
}

/* For logs: where it connected to; of a reused connection, the server as configured. */
static inline const char *fetch_address(const struct fetch *fetch)
{
    return *fetch->lease.address_text ? fetch->lease.address_text
                                      : pool_server_conf(fetch->server)->address.text;
}

static inline void fetch_set_deadline(struct fetch *fetch, int64_t after_ms, enum local failure)
{
    fetch->deadline_failure = failure;
    fetch->deadline_after_ms = after_ms;
    wheel_set(&fetch->worker->loop.wheel, &fetch->deadline, fetch->worker->loop.now_ms + after_ms);
}

static inline void fetch_clear_deadline(struct fetch *fetch)
{
    fetch->deadline.due_ms = WHEEL_NEVER;
}

static inline enum fetch_state fetch_fail(struct fetch *fetch, enum local why)
{
    fetch->failure = why;
    return FETCH_FAIL;
}

static inline struct appender fetch_scratch(const struct fetch *fetch)
{
    return appender_on(fetch->worker->scratch, fetch->worker->scratch_bytes);
}

/* ---- fetch_report.c ---- */

/* The phase that it is in ends now, and that one begins (PHASES: none). Returns now, in us. */
int64_t fetch_enter_phase(struct fetch *fetch, enum fetch_phase phase);
/* The exchange has ended: its phases go to the upstream's histograms, once. */
void fetch_count_phases(struct fetch *fetch);
/* The leader hears of the fetch for the last time. */
void fetch_report(struct fetch *fetch);
/* What the one who runs Weir should know of its failure goes to the error log. */
void fetch_tell_failure(const struct fetch *fetch);

/* ---- fetch_body.c ---- */

/* Reads behind what is held, into the worker's buffer: fetch->input. As net_conn_recv(). */
ssize_t fetch_read_input(struct fetch *fetch);
/* What was read and not used waits for the next wake-up. False when memory is out. */
bool fetch_hold_input(struct fetch *fetch);
/* States. */
enum fetch_state fetch_read_body(struct fetch *fetch);
enum fetch_state fetch_await_body(struct fetch *fetch);
enum fetch_state fetch_await_room(struct fetch *fetch);
/* The exact end has been reached: COMPLETE; what is left over makes the connection unusable. */
enum fetch_state fetch_end_of_body(struct fetch *fetch);

#endif
