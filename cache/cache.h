/*
 * cache: what is stored, what is being filled, and the rules for both (RFC 9111).
 *
 * An object is a complete response, immutable, found by its key, shared by reference count. A fill
 * is a response that is arriving: one writer (a fetch) on one thread appends to it, readers on any
 * thread follow. A stored fill turns into an object at the exact end of its framing; a pass is a
 * fill that nobody else can find and that forgets what its reader has taken.
 *
 * Any thread may call what is here unless it says otherwise. now_ms is the monotonic clock.
 */
#ifndef WEIR_CACHE_H
#define WEIR_CACHE_H

#include "base/base.h"
#include "conf/conf.h"

#include <sys/uio.h>

struct cache;
struct cache_crowd;
struct cache_fill;
struct cache_object;
struct cache_tags;

/* ==== Rules: pure functions (RFC 9111) ==== */

/* Cache-Control of a request (RFC 9111 §5.2.1), and what else of it decides. -1: absent. */
struct policy_request {
    int64_t max_age_s, min_fresh_s, max_stale_s; /* max_stale_s: INT64_MAX when without a value */
    int64_t stale_if_error_s;                    /* RFC 5861 §4 */
    bool no_cache, no_store, only_if_cached;
    bool authorization;
    bool conditions; /* there is one that policy_not_modified() is to be asked about */
    bool range;      /* there is a Range: policy_select_ranges() is to be asked */
    bool overrides;  /* a field by which some origins are asked for another method or URL */
};

void policy_read_request(struct fields fields, struct policy_request *out);

/* What of a request its route keeps from the cache, neither looked up nor stored: the `detail` of
 * Cache-Status, or NULL. */
const char *policy_bypass(struct fields request, const struct conf_route_bypass *bypass);

/* Of a request that `overrides`: whether the route's key knows all such fields of it. If not, its
 * response may be another one than its key says (web cache poisoning). */
bool policy_override_is_keyed(struct fields request, const struct conf_route_key *rules);

/* Flags of a response that were decided when it was stored, so that a hit parses nothing. */
enum {
    CACHE_NO_CACHE = 1 << 0,        /* validate before each use (§5.2.2.4) */
    CACHE_MUST_REVALIDATE = 1 << 1, /* never stale (§5.2.2.2, §5.2.2.8, s-maxage) */
    CACHE_HAS_VALIDATOR = 1 << 2,   /* ETag or Last-Modified */
    CACHE_HAS_VARY = 1 << 3,
    CACHE_FOR_AUTHORIZED = 1 << 4, /* may answer requests with Authorization (§3.5) */
    CACHE_HEURISTIC = 1 << 5,      /* its lifetime is Weir's guess or the route's ttl */
    CACHE_HAD_AGE = 1 << 6,        /* came with an Age: from a cache between Weir and the origin */
    CACHE_OVERRIDDEN = 1 << 7,     /* the route passed over something that it says */
    CACHE_BY_WEIR = 1 << 8,        /* judged by Weir-Cache-Control, */
    CACHE_BY_SURROGATE = 1 << 9,   /* or by Surrogate-Control: neither is kept with it */
    CACHE_CUT_SHORT = 1 << 10      /* stale before its time: its lifetime is not what was granted */
};

struct cache_meta {
    int64_t born_ms;     /* now_ms - born_ms is the current age (§4.2.3) */
    uint32_t lifetime_s; /* freshness lifetime (§4.2.1) */
    uint16_t status;
    uint16_t flags;
    /* How long beyond it: delivered while it is being validated; delivered when the origin fails
     * (RFC 5861; 0 where never stale); and kept for, in minutes, to be asked about. */
    uint64_t stale_while_revalidate_s : 24, stale_if_error_s : 24, keep_min : 16;
};
_Static_assert(sizeof(struct cache_meta) == 24, "a part of every object");
/* The most that these members hold. */
#define CACHE_STALE_MOST_S (((int64_t)1 << 24) - 1)
#define CACHE_KEEP_MOST_MIN UINT16_MAX

/* Why a response is not stored: symbol, text (the `detail` of Cache-Status). */
#define POLICY_REASON_TABLE(X)                                                                     \
    X(STORE, "")                                                                                   \
    X(METHOD, "method")                                                                            \
    X(DISABLED, "disabled")                                                                        \
    X(REQUEST_NO_STORE, "request-no-store")                                                        \
    X(NO_STORE, "no-store")                                                                        \
    X(PRIVATE, "private")                                                                          \
    X(AUTHORIZATION, "authorization")                                                              \
    X(SET_COOKIE, "set-cookie")                                                                    \
    X(STATUS, "status")                                                                            \
    X(PARTIAL, "partial")                                                                          \
    X(VARY_STAR, "vary-star")                                                                      \
    X(NO_FRESHNESS, "no-freshness")                                                                \
    X(STALE_IF_ERROR, "stale-if-error")                                                            \
    X(MALFORMED, "malformed")                                                                      \
    X(TOO_LARGE, "too-large")                                                                      \
    X(NO_MEMORY, "no-memory")

enum policy_reason {
#define X(symbol, text) POLICY_##symbol,
    POLICY_REASON_TABLE(X)
#undef X
    POLICY_REASONS
};
const char *policy_reason_text(enum policy_reason reason);

/* What the response is judged by. */
struct policy_exchange {
    enum method method;
    bool describes_target; /* POST: by its Content-Location, the response is the target's */
    const struct policy_request *request;
    const struct conf_route_cache *route;
    unsigned status;
    struct fields fields; /* of the response */
    int64_t wall_now_s;   /* when its head was received */
    int64_t now_ms;       /* the same moment, monotonic */
    int64_t requested_ms; /* when the request was sent */
    /* Of a 304: what was decided about the stored response, of which `fields` are the updated head;
     * else NULL. */
    const struct cache_meta *stored;
};

/* Whether a shared cache may store the response (§3), for how long it is fresh (§4.2.1) and how old
 * it is already (§4.2.3). *meta is filled in either way (lifetime 0 where it is not stored). */
enum policy_reason policy_judge(const struct policy_exchange *exchange, struct cache_meta *meta);

/* What a stored response is good for, for this request, now (§4, §4.2, §5.2.1). */
enum policy_use {
    POLICY_FRESH,    /* deliver */
    POLICY_STALE,    /* deliver: the request allows it (max-stale) */
    POLICY_REFRESH,  /* deliver, and ask the origin behind the client's back (RFC 5861 §3) */
    POLICY_VALIDATE, /* ask the origin first; conditionally when it has a validator */
    POLICY_UNUSABLE  /* not for this request at all (Authorization, §3.5) */
};
enum policy_use policy_use_stored(const struct cache_meta *meta,
                                  const struct policy_request *request, int64_t now_ms);

/* Whether it is fresh, for whoever asks (§4.2). */
static inline bool policy_is_fresh(const struct cache_meta *meta, int64_t now_ms)
{
    return !(meta->flags & CACHE_NO_CACHE) &&
           now_ms - meta->born_ms < (int64_t)meta->lifetime_s * 1000;
}
/* Whether it may be delivered as it is. */
static inline bool policy_use_delivers(enum policy_use use)
{
    return use <= POLICY_REFRESH;
}
/* Whether a stored response may take the place of an error (§4.2.4, RFC 5861 §4). */
bool policy_use_on_error(const struct cache_meta *meta, const struct policy_request *request,
                         int64_t now_ms);
/* The statuses that RFC 5861 §4 calls an error. */
bool policy_is_error(unsigned status);
/* Whether it is of no use to anyone any more: stale beyond all that it may be kept for. */
bool policy_is_useless(const struct cache_meta *meta, int64_t now_ms);

/* Whether a response of this meta that was asked for by another request at the same time may be
 * given to this one too (§4). */
bool policy_may_share(const struct cache_meta *meta, const struct policy_request *request,
                      int64_t now_ms);

/* Current age in seconds (§4.2.3), never negative. */
static inline uint32_t policy_age_s(const struct cache_meta *meta, int64_t now_ms)
{
    int64_t age_s = (now_ms - meta->born_ms) / 1000;
    return age_s < 0 ? 0 : age_s > INT32_MAX ? INT32_MAX : (uint32_t)age_s;
}

/* Whether a client's conditions make the answer a 304 (RFC 9110 §13.2.2: If-None-Match, else
 * If-Modified-Since; GET and HEAD, stored status 200). `block` is the stored field block. */
bool policy_not_modified(struct fields request, enum method method, unsigned status,
                         struct str block, int64_t wall_now_s);

/* ---- ranges (RFC 9110 §14) ---- */

/* Bytes of a body; never none, and never beyond its end. */
struct policy_span {
    uint64_t first, length;
};

#define POLICY_SPANS_MOST 16
struct policy_ranges {
    unsigned count;   /* at least one */
    bool conditional; /* there is an If-Range, and it holds */
    struct policy_span spans[POLICY_SPANS_MOST];
};

/* What the ranges are of. */
struct policy_selected {
    unsigned status;
    struct str block; /* its field block */
    uint64_t length;  /* of its whole body */
    bool arriving;    /* what has been passed over of it cannot be had again */
};

/* What of a response a client is to be sent that asks with a Range; its other conditions come first
 * (RFC 9110 §13.2.2). */
enum policy_part {
    POLICY_WHOLE,
    POLICY_PARTS,        /* 206 with *ranges, which is set only then */
    POLICY_UNSATISFIABLE /* 416 */
};
enum policy_part policy_select_ranges(struct fields request, enum method method,
                                      const struct policy_selected *selected, int64_t wall_now_s,
                                      struct policy_ranges *ranges);

/* Fields that are never stored or passed on with a stored response: hop-by-hop ones, those
 * Connection names, Age (computed), Content-Length (framing is the sink's), Proxy-Authenticate etc.
 * (§3.1), and those that speak to Weir alone. `fields` is the whole head, `f` one of it. */
bool policy_field_is_kept(struct fields fields, const struct field *f);

/* Appends those lines of a 304 that are not kept and yet count when the updated head is judged: the
 * first Age, and what speaks to Weir alone. */
void policy_append_unkept(struct fields not_modified, struct appender *out);

/* The head of a stored response after a 304 (§3.2, §4.3.4): writes the updated field block. False
 * when it does not fit, or when the 304 is about another response (its ETag or Vary tells): then
 * nothing may be updated, and the origin is to be asked again without a condition. */
bool policy_freshen_block(struct str stored, struct fields not_modified, struct appender *out);
/* Whether a stored response's lifetime is forgotten, and the answer does not give it anew: it came in
 * a field that is not kept, and was cut short. Then the origin is to be asked for the whole. */
bool policy_lacks_lifetime(const struct cache_meta *stored, struct fields answer);

/* The value of the first line of that field in a field block ("Name: value\r\n"…); ptr NULL when
 * absent. */
struct str cache_block_field(struct str block, enum field_id id);

/* One entity-tag, and nothing else (RFC 9110 §8.8.3). */
bool policy_is_entity_tag(struct str value);
/* Whether a 304 names this stored response, of several that were asked about: by its entity-tag,
 * weakly compared; `strongly`: which is of that very response (§4.3.4). */
bool policy_names_stored(struct str stored, struct fields not_modified, bool strongly);
/* What the 200 that a HEAD was given says of a stored response (§4.3.5): whether the validators and
 * the length (-1: none) that it has are the stored one's. */
enum policy_told {
    POLICY_TOLD_NOTHING, /* it has none of them */
    POLICY_TOLD_SAME,
    POLICY_TOLD_OTHER
};
enum policy_told policy_told_by_head(struct str stored, uint64_t stored_length, struct fields head,
                                     int64_t content_length);
/* Whether what is stored is worth more than an error that came when it was asked about. */
bool policy_outlives_error(const struct cache_meta *meta, int64_t now_ms);
/* Whether a response that is not stored, for that reason, tells that what is stored is no longer the
 * origin's. */
bool policy_supersedes(unsigned status, enum policy_reason reason);

/* ==== Vary (§4.1) ==== */

/* What selects a variant, as bytes: the field names that the response's Vary lines name, with this
 * request's normalised values. False when it does not fit, `*` is named, or there are more than 32
 * names. Empty without Vary. */
bool cache_vary_build(struct fields response, struct fields request, struct appender *out);
/* Whether a request selects it. */
bool cache_vary_matches(struct str vary, struct fields request);

/* The value that a Vary on that name would compare; false when there is no such field. */
bool cache_vary_append_value(struct fields request, struct str name, struct appender *out);

/* ==== Keys ==== */

struct cache_key {
    struct str text;      /* scheme "://" authority target, and lines behind it; borrowed */
    uint64_t hash, check; /* of XXH3_128bits_withSecret */
};

/* Writes the URL of the key's text: scheme, host in lower case without default port and final dot,
 * target as sent less what the rules leave out, and a "/" where it has no path. `rules`: of the
 * route, or NULL. At most three bytes more than scheme, authority and target. */
void cache_key_write(struct appender *out, struct str scheme, struct str authority,
                     struct str target, const struct conf_route_key *rules);
/* Adds the fields and cookies that the rules name, each on a line behind a LF, which no URL holds.
 * At most 3.5 times the bytes of the fields. */
void cache_key_add_fields(struct appender *out, struct fields request,
                          const struct conf_route_key *rules);
/* Adds a QUERY request's method, content, and what it says of it. At most 1.5 times the bytes of the
 * fields, and 64. */
void cache_key_add_content(struct appender *out, const struct cache *cache, struct fields request,
                           struct str content);
/* The URL of a key's text. */
struct str cache_key_url(struct str text);
/* Fills in the hashes; the secret is the cache's own, drawn at start. */
void cache_key_hash(const struct cache *cache, struct cache_key *key);
/* A URL such as users write it, without fragment; false when it is not an absolute http or https
 * URL. */
struct cache_url {
    struct str scheme; /* in lower case, static */
    struct str authority, target;
};
bool cache_url_split(struct str url, struct cache_url *parts);
/* The key's text for it on a route without rules. */
bool cache_key_from_url(struct str url, struct appender *out);
/* The same for a URI reference in a response to what has the key `base` (RFC 3986 §5.2); false when
 * that is of another origin than it, or no reference. `out` has room for both. */
bool cache_key_resolve(struct str base, struct str reference, struct appender *out);

/* ==== The cache ==== */

/* `memory` bytes in all; nothing larger than `max_object` is stored. Ends the program when memory
 * is out. `shards` 0: chosen by `workers`. */
struct cache *cache_new(uint64_t memory, uint64_t max_object, unsigned workers, unsigned shards);
/* After all users have ended; asserts that no fill is left. */
void cache_free(struct cache **cache);

/* ---- objects: immutable, refcounted ---- */

struct cache_meta cache_object_meta(const struct cache_object *object);
struct str cache_object_block(
    const struct cache_object
        *object); /* field lines "Name: value\r\n"…, no status line, no empty line */
uint64_t cache_object_length(const struct cache_object *object); /* of the body */
/* The body from `offset` on, as at most `max` pieces; returns how many. */
unsigned cache_object_pieces(const struct cache_object *object, uint64_t offset,
                             struct iovec *pieces, unsigned max);
struct cache_object *cache_object_ref(struct cache_object *object);
/* Leaves NULL; frees at the last reference. */
void cache_object_release(struct cache_object **object);
/* An object that is in no index: Weir's own answers. NULL when memory is out. */
struct cache_object *cache_object_private(unsigned status, struct str block, struct str body);

/* ---- lookup ---- */

struct cache_query {
    struct cache_key key;
    struct fields fields; /* of the request, for Vary and conditions */
    const struct policy_request *request;
    int64_t now_ms;
};

enum cache_found {
    CACHE_HIT,   /* found->object: fresh, or stale and good enough; deliver it */
    CACHE_LEAD,  /* found->fill: nothing usable; the caller is its writer, fetches into it, and must
                    cache_fill_end_writer(). found->object: a stored one, to be asked about or
                    replaced (or NULL) */
    CACHE_JOIN,  /* found->fill: another request fetches this key; read along */
    CACHE_ALONE, /* go to the origin by yourself with a private fill: this request may not share
                    what is being fetched */
    CACHE_OUT_OF_MEMORY
};

struct cache_find {
    struct cache_object *object; /* owned reference, or NULL */
    struct cache_fill *fill;     /* owned reference, or NULL */
    bool stale;     /* what was found is stale; delivered so, or not before the origin is asked */
    bool refresh;   /* HIT: cache_lead_refresh() is due */
    bool unwanted;  /* not a HIT: what was found is fresh, but not what this request asks for */
    bool vary_miss; /* not a HIT: only other variants were found */
    bool hit_for_miss; /* LEAD: not stored the last time, so nobody waits for this fetch until its
                          head shows that it is to be stored */
};

/* One lock of one shard, held for find and reference. A HIT counts in the eviction order. */
enum cache_found cache_lookup(struct cache *cache, const struct cache_query *query,
                              struct cache_find *found);
/* The same for those who never lead a fetch: only-if-cached, and HEAD, which may `join` one that is
   under way. HIT, JOIN or ALONE. */
enum cache_found cache_peek(struct cache *cache, const struct cache_query *query, bool join,
                            struct cache_find *found);

/* LEAD where the object that was found stale is to be refreshed (RFC 5861 §3): others find the fill,
   and no second one begins before it has ended. ALONE where there is nothing to do: somebody does
   it, somebody has done it, the last one failed less than cache_rest() ago, or memory is out. */
enum cache_found cache_lead_refresh(struct cache *cache, const struct cache_query *query,
                                    struct cache_find *found);
/* After a refresh that has failed: none of that key for a moment. */
void cache_rest(struct cache *cache, const struct cache_key *key, int64_t now_ms);
/* What is selected, whatever its age, when the origin has failed: HIT when it may be delivered
   (policy_use_on_error()). Otherwise ALONE; found->object: what may not, or NULL. */
enum cache_found cache_peek_on_error(struct cache *cache, const struct cache_query *query,
                                     struct cache_find *found);
/* References to the newest stored responses of a key, at most `most` of them: those that a request
   with these fields selects, or, NULL, all. Returns how many. */
unsigned cache_variants(struct cache *cache, const struct cache_key *key,
                        const struct fields *fields, int64_t now_ms, struct cache_object **out,
                        unsigned most);

/* ---- fills: the writer's side, one thread ---- */

/* Not findable: for what is not looked up, stored or shared. NULL when memory is out. */
struct cache_fill *cache_fill_private(struct cache *cache);

/* Nobody joins it; when its head is to be stored, it is at its end, under that key. For what was not
 * asked for by a GET and may answer one. A purge in its shard that comes before its end keeps it
 * from that. NULL when memory is out. */
struct cache_fill *cache_fill_apart(struct cache *cache, const struct cache_key *key);
/* Of such a one: whether there was no purge so far; and that those so far were its own. */
bool cache_fill_is_undisturbed(const struct cache_fill *fill);
void cache_fill_forgive_purges(struct cache_fill *fill);

/* The writer is told (on its thread, through its mailbox) when its window has opened or its last
 * reader has left. */
void cache_fill_set_writer(struct cache_fill *fill, struct mailbox *mailbox, void *writer,
                           void (*on_readers)(void *writer));

struct cache_fill_head {
    struct cache_meta meta;
    enum policy_reason reason; /* POLICY_STORE: to be stored at its end; otherwise it becomes a pass
                                  here: no longer findable */
    struct str block;          /* copied */
    struct str vary;           /* copied */
    struct cache_tags *tags;   /* of what is to be stored, or NULL; taken over */
    int64_t content_length;    /* of the body that follows, -1: not known */
    bool
        bodiless; /* no body follows (HEAD, 204, 304): content_length, if >= 0, is only announced */
    /* When it came, and for how long nobody waits for a fetch of this key if it is good only for
       who asked for it; 0: they do. */
    int64_t now_ms, hit_for_miss_ms;
};

/* Publishes the head; once. False when memory is out: abort then. */
bool cache_fill_set_head(struct cache_fill *fill, const struct cache_fill_head *head);
/* The origin answered 304: readers are given this object instead (reference taken), and the fill
 * has ended. `reason`: why it is no longer stored, or POLICY_STORE; the last two as in
 * cache_fill_head. */
void cache_fill_use_object(struct cache_fill *fill, struct cache_object *object,
                           enum policy_reason reason, int64_t now_ms, int64_t hit_for_miss_ms);

/* Room for at most `want` more bytes of body, in place; *room 0 when the window of a pass is full
 * (on_readers follows). NULL when memory is out: abort then. Of a stored fill that outgrows
 * max_object, the fill becomes a pass here. */
char *cache_fill_room(struct cache_fill *fill, size_t want, size_t *room);
/* There was no room: whether a reader waits for more while others hold the room. It may begin later,
   and on_readers tells of it. */
bool cache_fill_is_held_up(const struct cache_fill *fill);
/* Those who hold it up have to leave (cache_reader.cut); on_readers follows. */
void cache_fill_cut_slow(struct cache_fill *fill);
/* Publishes `len` bytes written into that room, and wakes readers. */
void cache_fill_commit(struct cache_fill *fill, size_t len);
/* room, copy, commit; returns how much was taken (less than len: the window is full, or memory is
 * out and *failed set). */
size_t cache_fill_append(struct cache_fill *fill, const char *bytes, size_t len, bool *failed);
/* Behind its head: whether it is not stored, or no longer to be. For its writer. */
bool cache_fill_is_pass(const struct cache_fill *fill);
/* The exact end of the framing. Stores it when it is to be stored. `trailers`: field lines, copied;
 * kept for the readers of now, not stored. */
void cache_fill_complete(struct cache_fill *fill, struct str trailers, int64_t now_ms);
/* Anything else: every reader's response breaks visibly. `status` (502, 503, 504) and `detail`
 * (static text) are for readers that have no head yet. Harmless after the end. */
void cache_fill_abort(struct cache_fill *fill, unsigned status, const char *detail);
/* How many readers there are, and whether the fetch is worth going on with: someone reads, or it is
 * to be stored and at least half done. */
unsigned cache_fill_readers(const struct cache_fill *fill);
bool cache_fill_worth_going_on(const struct cache_fill *fill);
/* The writer's end: no on_readers after this. Aborts what has not ended. Leaves NULL. */
void cache_fill_end_writer(struct cache_fill **fill);
struct cache_fill *cache_fill_ref(struct cache_fill *fill);
void cache_fill_release(struct cache_fill **fill);

/* ---- fills: a reader's side, each on its own thread ---- */

/* Embedded in a request; everything in it is its own thread's. */
struct cache_reader {
    struct cache_fill *fill;                      /* owned reference; NULL: not attached */
    struct cache_crowd *crowd;                    /* borrowed: the readers of this thread */
    struct mailbox *mailbox;                      /* set by the caller: its thread's */
    void (*on_news)(struct cache_reader *reader); /* set by the caller */
    struct list_link link;                        /* in crowd->readers */
    struct list_link wait_link;                   /* in crowd->waiting or crowd->woken */
    uint64_t taken;                               /* bytes of body no longer needed */
    uint64_t seen;                                /* news up to here has been looked at */
    enum {
        CACHE_READER_OFF,
        CACHE_READER_ON,
        CACHE_READER_WAITING,
        CACHE_READER_WOKEN
    } phase;
    bool over; /* the last view showed the fill's end */
    bool cut;  /* too slow for a fill that outgrew its bounds: on_news, and it has to leave */
};

/* Attaches; consumes *fill. A fill counts its readers from here. False when memory is out: not
   attached. The first to attach always can. */
bool cache_reader_attach(struct cache_reader *reader, struct cache_fill **fill);

enum cache_fill_phase {
    CACHE_FILL_AWAITS_HEAD,
    CACHE_FILL_STREAMING,
    CACHE_FILL_COMPLETE,
    CACHE_FILL_ABORTED,
    CACHE_FILL_REPLACED /* by an object: 304 */
};

/* Whether there is more to see than the last view showed, or than there was at attaching to a fill
   without a head. */
bool cache_reader_has_news(const struct cache_reader *reader);

/* What a reader can know of its fill; one consistent snapshot. Spans live as long as the reader is
 * attached. */
struct cache_view {
    enum cache_fill_phase phase;
    bool has_head; /* meta, block, content_length and bodiless are valid (also after an abort behind
                      the head) */
    bool pass;     /* not to be stored */
    bool outgrew;  /* a pass that was to be stored, and had no room: still good for who joined */
    bool missed; /* attached when a pass had forgotten its beginning: no pieces; go to the origin by
                    yourself */
    enum policy_reason reason;
    struct cache_meta meta;
    struct str block, vary, trailers; /* REPLACED: vary is the object's */
    int64_t content_length;
    bool bodiless;
    uint64_t filled;
    unsigned abort_status;
    const char *abort_detail;
    struct cache_object *object; /* REPLACED; borrowed */
};
void cache_reader_view(struct cache_reader *reader, struct cache_view *view);
/* Body bytes from offset up to what is filled, as at most `max` pieces. They stay in place until
 * cache_reader_take() passes them. */
unsigned cache_reader_pieces(struct cache_reader *reader, uint64_t offset, struct iovec *pieces,
                             unsigned max);
/* Bytes before offset are no longer needed: a pass forgets them, and its window opens. */
void cache_reader_take(struct cache_reader *reader, uint64_t offset);
/* Asks for one on_news when there is more than the last view showed. False: there is already; look
 * again. */
bool cache_reader_wait(struct cache_reader *reader);
/* Detaches, where it is attached; on_news is not called any more. */
void cache_reader_leave(struct cache_reader *reader);

/* ---- memory for what is needed by a lookup ---- */

/* Counted as what is under way; NULL when there is none left. */
void *cache_lend(struct cache *cache, size_t bytes);
/* ptr may be NULL. */
void cache_take_back(struct cache *cache, void *ptr);

/* ---- freshening, purge, expiry, stats ---- */

/* After a 304: the stored response with its head updated and its age anew takes the old one's
 * place. NULL when memory is out. */
struct cache_object *cache_freshen(struct cache *cache, const struct cache_key *key,
                                   struct cache_object *stored, const struct cache_meta *meta,
                                   struct str block, int64_t now_ms);

/* The same for a request that selected none: the response stays where it is, and a second one, with
   its body, answers what `vary` selects. */
struct cache_object *cache_freshen_as(struct cache *cache, const struct cache_key *key,
                                      struct cache_object *stored, const struct cache_meta *meta,
                                      struct str block, struct str vary);
/* How many purges there have been of a key's shard, and in the log. */
struct cache_purges {
    uint64_t of_shard, logged;
};
struct cache_purges cache_count_purges(struct cache *cache, const struct cache_key *key);
/* Both, of a response to a request. NULL when memory is out. */
struct cache_renewal {
    const struct cache_key *key;
    const struct cache_meta *meta;
    struct str block;
    const struct str *vary; /* NULL: it takes the stored one's place; else a second one is stored */
    struct cache_fill *fill; /* the request's, or NULL: what a purge has reached since it began is
                                not made fresh */
    /* Without a fill: what had been purged when the origin was asked, or NULL. A soft purge since then
       is not undone. */
    const struct cache_purges *purges;
    struct fields answer; /* its tags take the place of stored ones */
};
struct cache_object *cache_renew(struct cache *cache, struct cache_object *stored,
                                 const struct cache_renewal *renewal);
/* Removes that one, where it is still stored. */
void cache_drop(struct cache *cache, const struct cache_key *key, struct cache_object *object);

/* Removes every stored response with that key, all variants; a fill under way becomes one that is
 * not stored. Returns how many stored ones were removed. */
unsigned cache_purge(struct cache *cache, const struct cache_key *key);

/* The tags of a response that is to be stored: Surrogate-Key, Cache-Tag, Cache-Groups (RFC 9875),
 * and the URL of a key that has more than that. *out NULL: it has none. False: memory is out. */
bool cache_tags_read(struct cache *cache, struct str key_text, struct fields response,
                     struct cache_tags **out);
/* Those of a stored one after a 304, whose fields take the place of stored ones (§3.2). */
bool cache_tags_renew(struct cache *cache, const struct cache_object *stored,
                      struct fields not_modified, struct cache_tags **out);
/* Of tags that nobody has taken over; may be NULL. */
void cache_tags_free(struct cache *cache, struct cache_tags *tags);

/* A purge is hard, or soft: what it reaches is stale from now on, and stays. Both reach what is
 * being filled: it is not stored. */

/* What has this URL ("scheme://host[:port]target", as in a key), all variants. Returns how many
 * were reached at once; *logged, if not 0: those whose keys have more than the URL are found as they
 * are looked up, or by a walk (CACHE_PURGE_LOGGED). */
unsigned cache_purge_url(struct cache *cache, struct str url, bool soft, int64_t now_ms,
                         uint64_t *logged);
/* What bears this tag, from now on; returns its number in the log, for a job that removes and counts
 * it. */
uint64_t cache_purge_tag(struct cache *cache, struct str name, bool soft);
/* The group of that origin (RFC 9875 §3), hard. */
void cache_purge_group(struct cache *cache, struct str origin, struct str group);
/* All that the Cache-Group-Invalidation lines of a response name, in the origin of that key. */
void cache_purge_groups(struct cache *cache, struct str key_text, struct fields response);

/* What needs a walk through all that is stored. Main thread only; the caller's memory. */
struct cache_purge_job {
    enum cache_purge_what {
        CACHE_PURGE_ALL,
        CACHE_PURGE_PREFIX, /* of the key's text */
        CACHE_PURGE_LOGGED  /* what `logged` is about */
    } what;
    bool soft;
    struct str prefix; /* borrowed */
    uint64_t logged;
    uint64_t purged; /* how many it has reached */
    void (*on_done)(struct cache_purge_job *job);
    struct list_link link;
};
/* Queues it; the next walk does all that are queued. False: too many. */
bool cache_purge_begin(struct cache *cache, struct cache_purge_job *job);
/* Before on_done: it will not be called. What was reached is gone. */
void cache_purge_give_up(struct cache *cache, struct cache_purge_job *job);
/* Walks on: a turn, of about `least` objects, and more where a walk of a hundred turns has to come
 * to an end; calls on_done of what has ended. Begins a walk where one is due, for a job or because
 * the log has grown. True: there is more to do soon. */
bool cache_purge_go_on(struct cache *cache, unsigned least, int64_t now_ms);

/* Removes what policy_is_useless(), visiting at most `most` objects; keeps its place from call to
 * call. Main thread, once a second. */
void cache_sweep(struct cache *cache, unsigned most, int64_t now_ms);

/* Once a second, on the main thread: logs once when memory gets short, and once when that has
 * been over for ten seconds. */
void cache_watch_memory(struct cache *cache, int64_t now_ms);

struct cache_stats {
    uint64_t stored, evicted, expired, purged, objects, bytes, memory_limit;
    uint64_t chain_full; /* of the evicted: because too many keys fell into one bucket */
    uint64_t evicted_small, evicted_main; /* of the evicted: from which queue, for want of memory */
    uint64_t fills, readers, hit_for_miss; /* now; the last: keys that are remembered */
    uint64_t fills_aborted, readers_cut;
    uint64_t purges_logged, purge_walks, purge_jobs; /* by tag or group, ever; ever; now */
    /* What `bytes` is made of. Pinned: of objects that have left the index and are still being
       read. Fills: all that is under way. */
    struct {
        uint64_t heads, bodies, index, ghost, fills, pinned;
    } memory;
    /* Times that memory got short; fills that became passes, and requests that were refused. */
    struct {
        uint64_t episodes, passes, refused;
    } shortage;
};
/* As of the last cache_watch_memory(), where time matters. */
void cache_read_stats(const struct cache *cache, struct cache_stats *out);

#endif
