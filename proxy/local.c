/*
 * Weir's own answers: one row each, delivered from an object like every response. Called by the
 * request machine and by the HTTP/1 session.
 */
#include "proxy/proxy.h"

static const struct local_row rows[LOCALS] = {[LOCAL_NONE] = {0, NULL, NULL},
#define X(symbol, status, detail, text) [LOCAL_##symbol] = {status, detail, text},
                                              LOCAL_TABLE(X)
#undef X
};

const struct local_row *local_row(enum local local)
{
    weir_assert(local > LOCAL_NONE && local < LOCALS);
    return &rows[local];
}

struct str outcome_word(enum outcome outcome)
{
    static const struct str words[OUTCOMES] = {
#define X(symbol, counter, word) [OUTCOME_##symbol] = {word, sizeof(word) - 1},
        OUTCOME_TABLE(X)
#undef X
    };

    weir_assert((unsigned)outcome < OUTCOMES);
    return words[outcome];
}

static void begin_block(struct appender *block, bool json, int64_t wall_s)
{
    char date[DATE_BYTES];

    date_format(wall_s, date);
    append_lit(block, "Date: ");
    append(block, date, DATE_BYTES);
    append_lit(block, "\r\nContent-Type: ");
    append_str(block, json ? STR("application/json") : STR("text/plain; charset=utf-8"));
    append_lit(block, "\r\nCache-Control: no-store\r\n");
}

struct cache_object *local_json(struct str body, int64_t wall_s)
{
    char bytes[256];
    struct appender block = appender_on(bytes, sizeof(bytes));

    begin_block(&block, true, wall_s);
    return cache_object_private(200, str_of(block.ptr, block.len), body);
}

struct cache_object *local_object(unsigned status, const char *text, bool accept_json,
                                  int64_t wall_s)
{
    char body_bytes[512], block_bytes[256];
    struct appender body = appender_on(body_bytes, sizeof(body_bytes)),
                    block = appender_on(block_bytes, sizeof(block_bytes));
    struct str reason = http1_reason(status);

    if (accept_json)
        append_fmt(&body, "{\"status\": %u, \"error\": \"%.*s\", \"message\": \"", status,
                   (int)reason.len, reason.ptr);
    else
        append_fmt(&body, "%u %.*s: ", status, (int)reason.len, reason.ptr);
    if (accept_json)
        append_json(&body, str_from(text));
    else
        append_str(&body, str_from(text));
    append_str(&body, accept_json ? STR("\"}\n") : STR("\n"));
    begin_block(&block, accept_json, wall_s);
    if (status == 405)
        append_lit(&block, "Allow: GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS\r\n");
    if (status == 503)
        append_lit(&block, "Retry-After: 1\r\n");
    return cache_object_private(status, str_of(block.ptr, block.len), str_of(body.ptr, body.len));
}
