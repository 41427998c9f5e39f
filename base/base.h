/*
 * base: what every room needs, and nothing that knows HTTP beyond the shape of a field.
 *
 * Threads: a function is callable from any thread on data it owns, unless its comment says
 * otherwise. Times: `now_ms` and `*_ms` are milliseconds of the monotonic clock; `wall_s` is
 * seconds since the epoch. Nothing below proxy/ reads a clock: time is an argument.
 */
#ifndef WEIR_BASE_H
#define WEIR_BASE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

#define weir_unlikely(x) __builtin_expect(!!(x), 0)
#define weir_likely(x) __builtin_expect(!!(x), 1)
#define weir_container(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define weir_count(array) (sizeof(array) / sizeof((array)[0]))

/* ---- asserts and object magic -------------------------------------------------------------- */

/* Always compiled in; for Weir's own mistakes only, never for what comes off the network. */
#define weir_assert(cond)                                                                          \
    do {                                                                                           \
        if (weir_unlikely(!(cond)))                                                                \
            base_assert_failed(__FILE__, __LINE__, __func__, #cond);                               \
    } while (0)

/* Prints the failed condition and aborts. */
_Noreturn void base_assert_failed(const char *file, int line, const char *func, const char *cond);

/* True of a live long-lived object; used whenever a void pointer comes back. */
#define weir_check_magic(obj, value) weir_assert((obj) != NULL && (obj)->magic == (value))

/* Takes what *from owns and leaves NULL there. */
#define weir_take(from)                                                                            \
    ({                                                                                             \
        __typeof__(*(from)) taken_ = *(from);                                                      \
        *(from) = NULL;                                                                            \
        taken_;                                                                                    \
    })

/* ---- memory -------------------------------------------------------------------------------- */

/* malloc and calloc that end the program with a clear line when memory is out: for start-up and for
 * small per-worker structures. On the request path use malloc and answer 503. */
void *base_alloc(size_t bytes);
void *base_alloc_zero(size_t bytes);
char *base_strdup(const char *text);

/* What the allocator really set aside for ptr. */
size_t base_allocated_bytes(const void *ptr);
/* What it would set aside for so many bytes; and the most bytes, no more than these, for which it
 * would set aside no more than they are. Where it does not tell (all but jemalloc) both are what
 * was asked for. */
size_t base_size_class(size_t bytes);
size_t base_size_class_below(size_t bytes);

/* ---- spans --------------------------------------------------------------------------------- */

/* Borrowed bytes, not terminated. */
struct str {
    const char *ptr;
    size_t len;
};

#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1})

static inline struct str str_of(const char *ptr, size_t len)
{
    return (struct str){ptr, len};
}

static inline struct str str_from(const char *text)
{
    return (struct str){text, text ? strlen(text) : 0};
}

static inline bool str_equal(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* ASCII case only, as field names, hosts and directives want. */
bool str_equal_nocase(struct str a, struct str b);

static inline bool str_begins(struct str s, struct str with)
{
    return s.len >= with.len && str_equal(str_of(s.ptr, with.len), with);
}

static inline bool str_begins_nocase(struct str s, struct str with)
{
    return s.len >= with.len && str_equal_nocase(str_of(s.ptr, with.len), with);
}

static inline char ascii_lower(char c)
{
    return (unsigned char)(c - 'A') < 26 ? (char)(c | 0x20) : c;
}

/* A byte of a token (tchar of RFC 9110 §5.6.2). */
static inline bool ascii_is_tchar(char c)
{
    static const uint64_t tchars[4] = {0x03ff6cfa00000000, 0x57ffffffc7fffffe};

    return tchars[(unsigned char)c >> 6] >> ((unsigned char)c & 63) & 1;
}

/* Without leading and trailing SP and HTAB (OWS of RFC 9110 §5.6.3). */
struct str str_trim(struct str s);

/* Decimal digits only, the whole of s; false on anything else or above max. */
bool str_to_u64(struct str s, uint64_t max, uint64_t *out);

/* Takes the next element of a comma-separated list (RFC 9110 §5.6.1) off *rest, trimmed, skipping
 * empty ones; commas inside quoted strings do not separate. False at the end. */
bool str_list_next(struct str *rest, struct str *element);

/* The same for a list of tokens, in which a quote is nothing but an illegal byte: every comma
 * separates. */
bool str_tokens_next(struct str *rest, struct str *element);

/* The length of the well-formed UTF-8 sequence that s, not empty, begins with; 0 when it is none. No
 * overlong forms, no surrogates, nothing above U+10FFFF (RFC 3629 §4). */
size_t str_utf8_sequence(struct str s);

/* How many bytes there are before the first that is not printable ASCII, or is a quote or a
 * backslash. Behind the last one, STR_PLAIN_MARGIN can be read. */
size_t str_plain_run(const char *at, size_t len);
#define STR_PLAIN_MARGIN 16

/* ---- bytes written where there is room for all of them: for lines of logs ---- */

extern const char str_digit_pairs[201]; /* "000102...99" */

/* At most 20 digits. Returns their end. */
char *put_u64_large(char *at, uint64_t value);
static inline char *put_u64(char *at, uint64_t value)
{
    if (value < 10) {
        *at = (char)('0' + value);
        return at + 1;
    }
    if (value < 100) {
        memcpy(at, str_digit_pairs + value * 2, 2);
        return at + 2;
    }
    if (value < 1000) {
        *at = (char)('0' + value / 100);
        memcpy(at + 1, str_digit_pairs + value % 100 * 2, 2);
        return at + 3;
    }
    if (value < 10000) {
        memcpy(at, str_digit_pairs + value / 100 * 2, 2);
        memcpy(at + 2, str_digit_pairs + value % 100 * 2, 2);
        return at + 4;
    }
    return put_u64_large(at, value);
}

/* Short ones without a call. Returns the end. */
static inline char *put_str(char *at, struct str s)
{
    const char *from = s.ptr;
    size_t len = s.len;

    if (len > 32) {
        memcpy(at, from, len);
    } else if (len >= 16) {
        memcpy(at, from, 16);
        memcpy(at + len - 16, from + len - 16, 16);
    } else if (len >= 8) {
        memcpy(at, from, 8);
        memcpy(at + len - 8, from + len - 8, 8);
    } else if (len >= 4) {
        memcpy(at, from, 4);
        memcpy(at + len - 4, from + len - 4, 4);
    } else {
        for (size_t i = 0; i < len; i++)
            at[i] = from[i];
    }
    return at + len;
}

#define put_lit(at, literal)                                                                       \
    ((char *)memcpy((at), "" literal, sizeof(literal) - 1) + sizeof(literal) - 1)

/* ---- appender: bytes written into a buffer of fixed size ------------------------------------- */

struct appender {
    char *ptr;       /* borrowed */
    size_t len, cap; /* len never passes cap; `overflow` tells that something did not fit */
    bool overflow;
};

static inline struct appender appender_on(char *buffer, size_t cap)
{
    return (struct appender){buffer, 0, cap, false};
}

static inline void append(struct appender *a, const char *ptr, size_t len)
{
    if (weir_unlikely(len > a->cap - a->len)) {
        a->overflow = true;
        return;
    }
    memcpy(a->ptr + a->len, ptr, len);
    a->len += len;
}

static inline void append_str(struct appender *a, struct str s)
{
    if (s.len > 0)
        append(a, s.ptr, s.len);
}

#define append_lit(a, literal) append((a), "" literal, sizeof(literal) - 1)

/* Each letter in lower case. */
void append_lower(struct appender *a, struct str s);
void append_u64(struct appender *a, uint64_t value);
void append_hex(struct appender *a, uint64_t value);
/* printf, for cold paths. Needs one byte of room more than it writes. */
void append_fmt(struct appender *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A JSON string's inside: quotes, backslashes, controls and bytes that are not UTF-8 are escaped.
 */
void append_json(struct appender *a, struct str s);

/* ---- intrusive list ---- */

struct list_link {
    struct list_link *next, *prev;
};

static inline void list_init(struct list_link *head)
{
    head->next = head->prev = head;
}

static inline bool list_empty(const struct list_link *head)
{
    return head->next == head;
}

static inline void list_insert(struct list_link *prev, struct list_link *link)
{
    link->prev = prev;
    link->next = prev->next;
    prev->next->prev = link;
    prev->next = link;
}

static inline void list_push_front(struct list_link *head, struct list_link *link)
{
    list_insert(head, link);
}

static inline void list_push_back(struct list_link *head, struct list_link *link)
{
    list_insert(head->prev, link);
}

/* Leaves link pointing at itself, so that list_linked() is false and a second removal is harmless.
 */
static inline void list_remove(struct list_link *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_init(link);
}

/* True when link is in some list; link must have been initialised. */
static inline bool list_linked(const struct list_link *link)
{
    return link->next != link;
}

/* ---- arena: memory of one request, freed whole ---- */

struct arena_chunk;

struct arena {
    char *ptr, *end;            /* room left in the newest chunk */
    struct arena_chunk *chunks; /* owned, newest first */
    size_t chunk_bytes;
};

/* No memory is taken before the first allocation. */
void arena_init(struct arena *arena, size_t chunk_bytes);
/* `room`, aligned to 8 and the caller's own, is used up before any memory is taken. Right after
 * arena_init(); it must stay until arena_destroy(), and arena_reset() does not give it back. */
void arena_lend(struct arena *arena, char *room, size_t bytes);
/* Aligned to 8; NULL when memory is out. */
void *arena_alloc(struct arena *arena, size_t bytes);
/* A copy of s in the arena; ptr is NULL when memory is out. */
struct str arena_copy(struct arena *arena, struct str s);
/* Frees all but one chunk of the usual size, which is kept for the next use. */
void arena_reset(struct arena *arena);
/* Frees everything. */
void arena_destroy(struct arena *arena);

/* ---- freelist: same-sized structures of one thread ---- */

struct freelist {
    size_t bytes;
    unsigned idle, keep; /* at most `keep` idle ones are held; the rest go back to malloc */
    uint64_t created, reused;
    void *head;
};

void freelist_init(struct freelist *list, size_t bytes, unsigned keep);
/* The content is undefined (a debug build poisons it); NULL when memory is out. */
void *freelist_get(struct freelist *list);
void freelist_put(struct freelist *list, void *item);
void freelist_destroy(struct freelist *list);

/* ---- clock ---- */

/* The two clocks, moved forward together by base_clock_advance() where a test asks for it. Only
 * proxy/ and the programs of tests/ call these. */
int64_t base_clock_mono_us(void);
int64_t base_clock_wall_us(void);
/* Any thread. */
void base_clock_advance(int64_t ms);
/* From here on only base_clock_advance() moves them. Both stand at whole seconds. */
void base_clock_hold(void);
/* The wall's alone, either way, as whoever sets a machine's clock does. */
void base_clock_step_wall(int64_t ms);

/* ---- deadline wheel: all deadlines of one thread ---- */

/* Embedded in what has a deadline. Moving a deadline later costs a store: the timer stays in its
 * slot and is put where it belongs when that slot comes up. */
struct wheel_timer {
    struct list_link link;
    int64_t due_ms; /* WHEEL_NEVER: none */
    int64_t slot_ms;
    void (*on_due)(struct wheel_timer *timer, int64_t now_ms);
};

#define WHEEL_NEVER INT64_MAX
#define WHEEL_SLOTS 2048u
#define WHEEL_TICK_MS 8

struct wheel {
    int64_t now_ms;  /* everything due up to here has been told */
    unsigned timers; /* in the slots; one set to WHEEL_NEVER counts until its slot comes up */
    struct list_link slots[WHEEL_SLOTS];
};

void wheel_init(struct wheel *wheel, int64_t now_ms);
void wheel_timer_init(struct wheel_timer *timer, void (*on_due)(struct wheel_timer *, int64_t));
/* Sets or moves the deadline; never fires before due_ms, and at most two ticks after the next
 * wheel_advance() that passes it. */
void wheel_set(struct wheel *wheel, struct wheel_timer *timer, int64_t due_ms);
/* Before a timer's memory is freed or used anew, always: one set to WHEEL_NEVER may still lie in
 * its slot. */
void wheel_cancel(struct wheel *wheel, struct wheel_timer *timer);
/* Calls on_due of all that is due at now_ms, each once; a callback may set or cancel any timer, its
 * own too. Time may jump by any amount (a test clock does): each slot is then visited once. Returns
 * how many were called. */
unsigned wheel_advance(struct wheel *wheel, int64_t now_ms);

/* ---- mailbox: work for a thread, from itself or from others ---- */

/* Embedded in what is to be run; may be in one mailbox at a time. */
struct mail {
    struct mail *next;
    void (*deliver)(struct mail *mail);
};

struct mailbox {
    _Atomic(struct mail *) foreign;        /* posted by other threads, newest first */
    int event_fd;                          /* readable when foreign mail waits */
    struct mail *local_head, **local_tail; /* owner thread only */
};

/* Makes the eventfd; ends the program when that fails. */
void mailbox_init(struct mailbox *mailbox);
void mailbox_destroy(struct mailbox *mailbox);
/* Declares the calling thread to be the owner. A thread owns at most one. */
void mailbox_adopt(struct mailbox *mailbox);
/* The calling thread made it for another one, which will adopt it. */
void mailbox_disown(struct mailbox *mailbox);
/* The calling thread's own, or NULL. */
struct mailbox *mailbox_current(void);
/* Any thread. From the owner: appended to the local queue, no system call, delivered when the
 * owner's event callback ends. From others: pushed, and the eventfd written if the mailbox was
 * empty. */
void mailbox_post(struct mailbox *mailbox, struct mail *mail);
/* Owner. Delivered when the owner's loop comes round again, after what else is ready: for long work
 * in turns. Cannot be withdrawn. */
void mailbox_post_later(struct mailbox *mailbox, struct mail *mail);
/* Owner. Takes back own mail that has not been delivered yet; false when it is not in the local
 * queue. */
bool mailbox_withdraw(struct mailbox *mailbox, struct mail *mail);
/* Owner. Delivers local mail until none is left (mail posted meanwhile included). */
void mailbox_run_local(struct mailbox *mailbox);
/* Owner, when event_fd is readable: takes all foreign mail, oldest first, and delivers it. */
void mailbox_run_foreign(struct mailbox *mailbox);

/* ---- metric cells: written by one thread, read by any ---- */

typedef _Atomic uint64_t cell;

static inline void cell_add(cell *c, uint64_t n)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static inline void cell_sub(cell *c, uint64_t n)
{
    cell_add(c, (uint64_t)0 - n);
}

static inline uint64_t cell_read(const cell *c)
{
    return atomic_load_explicit((cell *)c, memory_order_relaxed);
}

/* ---- histogram: log-linear, at most 1.6 % error, fixed memory, one writer ---- */

#define HISTOGRAM_SUB_BITS 5
#define HISTOGRAM_BUCKETS ((40 - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

struct histogram {
    cell count, sum, max;
    cell buckets[HISTOGRAM_BUCKETS]; /* values above 2^40 land in the last */
};

/* Owner thread. */
void histogram_add(struct histogram *h, uint64_t value);
/* Adds from's counts to into's; `from` may be written meanwhile, `into` belongs to the caller. */
void histogram_merge(struct histogram *into, const struct histogram *from);
/* The largest value that shares a bucket with this one. */
uint64_t histogram_bound(uint64_t value);
/* How many values are not above each of these bounds: exact for what histogram_bound() gives. The
 * bounds ascend. */
void histogram_count_below(const struct histogram *h, const uint64_t *bounds, unsigned count,
                           uint64_t *counts);
/* The value below or at which the share q (0 to 1) of all values lies, within 1.6 % of it; the
 * largest for q = 1; 0 when empty. */
uint64_t histogram_quantile(const struct histogram *h, double q);

/* ---- error log ---- */

enum log_level {
    LOG_DEBUG_LEVEL,
    LOG_INFO_LEVEL,
    LOG_WARN_LEVEL,
    LOG_ERROR_LEVEL
};
#define LOG_LEVELS (LOG_ERROR_LEVEL + 1)

/* Before threads start, and after a reload: below `level` nothing is written. */
void log_set_level(enum log_level level);
/* One line to stderr: time, level, message; one write(), so lines of threads do not mix. Every line
 * says what was being done, to whom, and what follows. */
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define log_debug(...) log_write(LOG_DEBUG_LEVEL, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO_LEVEL, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN_LEVEL, __VA_ARGS__)
#define log_error(...) log_write(LOG_ERROR_LEVEL, __VA_ARGS__)

/* A kind of line that peers cause, maybe thousands in a moment: LOG_BURST of them a second are
 * written, the others counted. Each count is told, with the kind's next line or by
 * log_tell_held_back(). Static, as it is never forgotten again; visible for that. */
struct log_kind {
    const char *what; /* what the lines are about, for the telling: "sending responses" */
    enum log_level level;
    /* atomics */
    _Atomic uint64_t window; /* the second of the last line, and how many have been written in it */
    atomic_uint held_back;   /* and not yet told */
    atomic_bool listed;
    struct log_kind *next; /* fixed once it is listed */
};
#define LOG_BURST 10

/* Any thread. */
void log_write_paced(struct log_kind *kind, int64_t now_ms, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Main thread, once a second, and with INT64_MAX at the end: a line for each kind of which lines
 * were held back and nothing has been written since the second before. */
void log_tell_held_back(int64_t now_ms);

/* Lines since the start. */
struct log_counts {
    uint64_t written, held_back;
};
struct log_counts log_count(enum log_level level);

/* ---- fields: the one shape of HTTP that every room shares ---- */

/* Names Weir itself looks at: symbol, name as sent. The parser marks each field with its id, so
 * that nobody compares names twice. */
#define FIELD_TABLE(X)                                                                             \
    X(ACCEPT, "Accept")                                                                            \
    X(ACCEPT_ENCODING, "Accept-Encoding")                                                          \
    X(AGE, "Age")                                                                                  \
    X(AUTHORIZATION, "Authorization")                                                              \
    X(CACHE_CONTROL, "Cache-Control")                                                              \
    X(CACHE_GROUP_INVALIDATION, "Cache-Group-Invalidation")                                        \
    X(CACHE_GROUPS, "Cache-Groups")                                                                \
    X(CACHE_STATUS, "Cache-Status")                                                                \
    X(CACHE_TAG, "Cache-Tag")                                                                      \
    X(CDN_CACHE_CONTROL, "CDN-Cache-Control")                                                      \
    X(CONNECTION, "Connection")                                                                    \
    X(CONTENT_LENGTH, "Content-Length")                                                            \
    X(CONTENT_LOCATION, "Content-Location")                                                        \
    X(CONTENT_RANGE, "Content-Range")                                                              \
    X(CONTENT_TYPE, "Content-Type")                                                                \
    X(COOKIE, "Cookie")                                                                            \
    X(DATE, "Date")                                                                                \
    X(ETAG, "ETag")                                                                                \
    X(EXPECT, "Expect")                                                                            \
    X(EXPIRES, "Expires")                                                                          \
    X(HOST, "Host")                                                                                \
    X(IDEMPOTENCY_KEY, "Idempotency-Key")                                                          \
    X(IF_MATCH, "If-Match")                                                                        \
    X(IF_MODIFIED_SINCE, "If-Modified-Since")                                                      \
    X(IF_NONE_MATCH, "If-None-Match")                                                              \
    X(IF_RANGE, "If-Range")                                                                        \
    X(IF_UNMODIFIED_SINCE, "If-Unmodified-Since")                                                  \
    X(KEEP_ALIVE, "Keep-Alive")                                                                    \
    X(LAST_MODIFIED, "Last-Modified")                                                              \
    X(LOCATION, "Location")                                                                        \
    X(PRAGMA, "Pragma")                                                                            \
    X(PROXY_AUTHENTICATE, "Proxy-Authenticate")                                                    \
    X(PROXY_AUTHORIZATION, "Proxy-Authorization")                                                  \
    X(PROXY_CONNECTION, "Proxy-Connection")                                                        \
    X(RANGE, "Range")                                                                              \
    X(REFERER, "Referer")                                                                          \
    X(SERVER, "Server")                                                                            \
    X(SET_COOKIE, "Set-Cookie")                                                                    \
    X(SURROGATE_KEY, "Surrogate-Key")                                                              \
    X(SURROGATE_CONTROL, "Surrogate-Control")                                                      \
    X(TE, "TE")                                                                                    \
    X(TRACEPARENT, "traceparent")                                                                  \
    X(TRACESTATE, "tracestate")                                                                    \
    X(TRAILER, "Trailer")                                                                          \
    X(TRANSFER_ENCODING, "Transfer-Encoding")                                                      \
    X(UPGRADE, "Upgrade")                                                                          \
    X(USER_AGENT, "User-Agent")                                                                    \
    X(VARY, "Vary")                                                                                \
    X(VIA, "Via")                                                                                  \
    X(WEIR_CACHE_CONTROL, "Weir-Cache-Control")                                                    \
    X(X_FORWARDED_FOR, "X-Forwarded-For")                                                          \
    X(X_FORWARDED_HOST, "X-Forwarded-Host")                                                        \
    X(X_FORWARDED_PROTO, "X-Forwarded-Proto")                                                      \
    X(X_HTTP_METHOD, "X-HTTP-Method")                                                              \
    X(X_HTTP_METHOD_OVERRIDE, "X-HTTP-Method-Override")                                            \
    X(X_METHOD_OVERRIDE, "X-Method-Override")                                                      \
    X(X_ORIGINAL_URL, "X-Original-URL")                                                            \
    X(X_REQUEST_ID, "X-Request-ID")                                                                \
    X(X_REWRITE_URL, "X-Rewrite-URL")

enum field_id {
    FIELD_OTHER,
#define X(symbol, name) FIELD_##symbol,
    FIELD_TABLE(X)
#undef X
    FIELD_IDS
};

/* One field line; the spans are borrowed from the buffer that was parsed. Visible because every
 * room reads it. */
struct field {
    const char *name;
    const char *value; /* without surrounding white space */
    uint32_t value_len;
    uint16_t name_len;
    uint16_t id; /* enum field_id */
};

/* A head's field lines in order; borrowed. */
struct fields {
    const struct field *list;
    unsigned count;
};

static inline struct str field_name(const struct field *f)
{
    return str_of(f->name, f->name_len);
}

static inline struct str field_value(const struct field *f)
{
    return str_of(f->value, f->value_len);
}

/* Any case; FIELD_OTHER when it is none of the table. */
enum field_id field_identify(const char *name, size_t len);
/* The name as the table has it. */
struct str field_id_name(enum field_id id);
/* The first line with that id, or NULL. */
const struct field *fields_first(struct fields fields, enum field_id id);
/* The next line with that name (any case) from *at on, or NULL; *at moves behind it. Start with *at
 * = 0. */
const struct field *fields_next(struct fields fields, struct str name, unsigned *at);
/* Hop-by-hop for every message (RFC 9110 §7.6.1 and its list), apart from those named in
 * Connection. */
bool field_is_hop_by_hop(enum field_id id);
/* Whether a Connection line of the head names this field (RFC 9110 §7.6.1). */
bool fields_named_in_connection(struct fields fields, struct str name);

/* ---- dates (RFC 9110 §5.6.7) ---- */

/* All three forms, the two obsolete ones included; false when malformed. rfc850's two-digit years
 * are read as RFC 9110 has it, against wall_now_s. */
bool date_parse(struct str text, int64_t wall_now_s, int64_t *wall_s);
/* IMF-fixdate, 29 bytes. */
#define DATE_BYTES 29
void date_format(int64_t wall_s, char out[DATE_BYTES]);

/* ---- methods ---- */

/* symbol, name, idempotent and so replayable (RFC 9110 §9.2.2) */
#define METHOD_TABLE(X)                                                                            \
    X(GET, "GET", true)                                                                            \
    X(HEAD, "HEAD", true)                                                                          \
    X(POST, "POST", false)                                                                         \
    X(PUT, "PUT", true)                                                                            \
    X(DELETE, "DELETE", true)                                                                      \
    X(CONNECT, "CONNECT", false)                                                                   \
    X(OPTIONS, "OPTIONS", true)                                                                    \
    X(TRACE, "TRACE", true)                                                                        \
    X(PATCH, "PATCH", false)                                                                       \
    X(QUERY, "QUERY", true)

enum method {
    METHOD_OTHER,
#define X(symbol, name, idempotent) METHOD_##symbol,
    METHOD_TABLE(X)
#undef X
    METHODS
};

/* Case matters (RFC 9110 §9.1). */
enum method method_identify(const char *name, size_t len);
struct str method_name(enum method method);
bool method_is_idempotent(enum method method);

#endif
