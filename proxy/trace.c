/*
 * What a request is called, in logs and at the origin: its X-Request-ID, and the trace that it
 * belongs to (W3C Trace Context, Level 1).
 *
 * Called by the request's and the fetch's machines on the worker's thread. What the client sends
 * goes on where it is well-formed: Weir reports no spans of its own, so a traceparent stays as it
 * is, and the trace's tree whole. Otherwise both are made, from one number, and only when somebody
 * asks: a hit that nobody logs makes none.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "proxy/proxy.h"

#include <sys/random.h>

#define PARENT_ID_BYTES 16
#define TRACEPARENT_BYTES 55 /* of version 00; later ones may go on behind a "-" */
#define TRACE_ID_AT 3
#define PARENT_ID_AT 36

void trace_seed(struct worker *worker)
{
    uint64_t seeds[2];

    weir_assert(getrandom(seeds, sizeof(seeds), 0) == (ssize_t)sizeof(seeds));
    worker->id_seed = seeds[0];
    worker->id_key = seeds[1];
    worker->id_count = 0;
}

/* ---- what the client sent ---- */

/* Lines of the two names; one that is repeated, or malformed, does not count. */
struct sent {
    const struct field *request_id, *traceparent; /* NULL: none to go on */
};

/* Visible, and neither ends a string of a log line nor looks like a list. */
static bool is_request_id(struct str id)
{
    if (id.len == 0 || id.len > TRACE_REQUEST_ID_MOST)
        return false;
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i];

        if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == ',' || c == ';')
            return false;
    }
    return true;
}

/* Lower case hexadecimal digits (§3.2.2). */
static bool is_hex(const char *ptr, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)(ptr[i] - '0') > 9 && (unsigned char)(ptr[i] - 'a') > 5)
            return false;
    return true;
}

static bool is_hex_and_not_zero(const char *ptr, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (ptr[i] != '0')
            return is_hex(ptr, len);
    return false;
}

/* version "-" trace-id "-" parent-id "-" trace-flags (§3.2.2, §3.2.3). */
static bool is_traceparent(struct str value)
{
    const char *at = value.ptr;

    if (value.len < TRACEPARENT_BYTES || at[2] != '-' || at[35] != '-' || at[52] != '-')
        return false;
    if (!is_hex(at, 2) || memcmp(at, "ff", 2) == 0 || !is_hex(at + 53, 2))
        return false;
    if (value.len > TRACEPARENT_BYTES && (memcmp(at, "00", 2) == 0 || at[TRACEPARENT_BYTES] != '-'))
        return false;
    return is_hex_and_not_zero(at + TRACE_ID_AT, TRACE_ID_BYTES) &&
           is_hex_and_not_zero(at + PARENT_ID_AT, PARENT_ID_BYTES);
}

static void note(const struct field **found, bool *repeated, const struct field *f)
{
    *repeated |= *found != NULL;
    *found = f;
}

static struct sent look(const struct request *request)
{
    struct fields fields = http1_fields(request->head);
    struct sent sent = {NULL, NULL};
    bool ids = false, parents = false;

    for (unsigned i = 0; i < fields.count; i++) {
        if (weir_unlikely(fields.list[i].id == FIELD_X_REQUEST_ID))
            note(&sent.request_id, &ids, &fields.list[i]);
        else if (weir_unlikely(fields.list[i].id == FIELD_TRACEPARENT))
            note(&sent.traceparent, &parents, &fields.list[i]);
    }
    if (sent.request_id && (ids || !is_request_id(field_value(sent.request_id))))
        sent.request_id = NULL;
    if (sent.traceparent && (parents || !is_traceparent(field_value(sent.traceparent))))
        sent.traceparent = NULL;
    return sent;
}

/* ---- what Weir makes ---- */

typedef int8_t sixteen __attribute__((vector_size(16)));

/* Sixteen digits from half bytes. */
static sixteen letters(sixteen halves)
{
    return halves + '0' + ((halves > 9) & ('a' - '0' - 10));
}

static void write_hex(const uint64_t number[2], char out[TRACE_ID_BYTES])
{
    sixteen bytes, high, low, digits[2];

    memcpy(&bytes, number, sizeof(bytes));
    high = bytes >> 4 & 15;
    low = bytes & 15;
    digits[0] = letters(
        __builtin_shufflevector(high, low, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23));
    digits[1] = letters(__builtin_shufflevector(high, low, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13,
                                                29, 14, 30, 15, 31));
    memcpy(out, digits, sizeof(digits));
}

static struct str made_id(struct request *request)
{
    struct worker *worker = request->worker;

    if (!request->made_id[0]) {
        uint64_t from[2] = {worker->id_key, worker->id_count++};
        XXH128_hash_t number = XXH3_128bits_withSeed(from, sizeof(from), worker->id_seed);

        /* Neither a trace-id nor a parent-id is zero (§3.2.2.3, §3.2.2.4). */
        write_hex((uint64_t[2]){number.high64, number.low64 | 1}, request->made_id);
    }
    return str_of(request->made_id, TRACE_ID_BYTES);
}

/* ---- both ---- */

struct request_ids trace_ids(struct request *request)
{
    struct sent sent = look(request);

    return (struct request_ids){
        .request_id = sent.request_id ? field_value(sent.request_id) : made_id(request),
        .trace_id = sent.traceparent ? str_of(sent.traceparent->value + TRACE_ID_AT, TRACE_ID_BYTES)
                                     : made_id(request),
    };
}

bool trace_is_continued(const struct request *request)
{
    return look(request).traceparent != NULL;
}

struct str trace_append_fields(struct request *request, struct appender *out,
                               char id_of_trace[TRACE_ID_BYTES])
{
    struct sent sent = look(request);
    struct str id = sent.request_id ? field_value(sent.request_id) : made_id(request);

    append_lit(out, "X-Request-ID: ");
    append_str(out, id);
    id.ptr = out->ptr + out->len - id.len;
    append_lit(out, "\r\n");
    if (sent.traceparent) {
        memcpy(id_of_trace, sent.traceparent->value + TRACE_ID_AT, TRACE_ID_BYTES);
        return id;
    }
    memcpy(id_of_trace, made_id(request).ptr, TRACE_ID_BYTES);
    append_lit(out, "traceparent: 00-");
    append(out, id_of_trace, TRACE_ID_BYTES);
    append_lit(out, "-");
    append(out, request->made_id + PARENT_ID_BYTES, PARENT_ID_BYTES);
    append_lit(out, "-01\r\n"); /* sampled: this request is in a log (§3.2.2.5.1) */
    return id;
}
