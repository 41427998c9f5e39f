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

/* The only line with that name, or NULL. */
static const struct field *only_field(const struct request *request, enum field_id id)
{
    struct fields fields = http1_fields(request->head);
    const struct field *found = NULL;

    for (unsigned i = 0; i < fields.count; i++) {
        if (fields.list[i].id != id)
            continue;
        if (found)
            return NULL;
        found = &fields.list[i];
    }
    return found;
}

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

/* ---- what Weir makes ---- */

static void write_hex(uint64_t value, char out[16])
{
    static const char digits[] = "0123456789abcdef";

    for (unsigned i = 16; i-- > 0; value >>= 4)
        out[i] = digits[value & 15];
}

static XXH128_hash_t next_number(struct worker *worker)
{
    uint64_t from[2] = {worker->id_key, worker->id_count++};

    return XXH3_128bits_withSeed(from, sizeof(from), worker->id_seed);
}

static struct str made_id(struct request *request)
{
    if (!request->made_id[0]) {
        XXH128_hash_t number = next_number(request->worker);

        write_hex(number.high64, request->made_id);
        write_hex(number.low64 | 1, request->made_id + 16); /* no trace-id is zero (§3.2.2.3) */
    }
    return str_of(request->made_id, TRACE_ID_BYTES);
}

/* ---- both ---- */

struct str trace_request_id(struct request *request)
{
    const struct field *f = only_field(request, FIELD_X_REQUEST_ID);

    return f && is_request_id(field_value(f)) ? field_value(f) : made_id(request);
}

bool trace_is_continued(const struct request *request)
{
    const struct field *f = only_field(request, FIELD_TRACEPARENT);

    return f && is_traceparent(field_value(f));
}

struct str trace_id(struct request *request)
{
    if (!trace_is_continued(request))
        return made_id(request);
    return str_of(only_field(request, FIELD_TRACEPARENT)->value + TRACE_ID_AT, TRACE_ID_BYTES);
}

struct str trace_append_fields(struct request *request, struct appender *out)
{
    struct str id = trace_request_id(request);
    char parent[PARENT_ID_BYTES];

    append_lit(out, "X-Request-ID: ");
    append_str(out, id);
    id.ptr = out->ptr + out->len - id.len;
    append_lit(out, "\r\n");
    if (trace_is_continued(request))
        return id;
    write_hex(next_number(request->worker).low64 | 1, parent);
    append_lit(out, "traceparent: 00-");
    append_str(out, made_id(request));
    append_lit(out, "-");
    append(out, parent, sizeof(parent));
    append_lit(out, "-01\r\n"); /* sampled: this request is in a log (§3.2.2.5.1) */
    return id;
}
