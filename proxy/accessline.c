/*
 * A line of the access log: JSON, or the combined format of Apache httpd and nginx; and of the slow
 * log: JSON that tells more.
 *
 * Called by accesslog.c on a worker's thread, for each request: what can be is one copy of known
 * length. Pure. What the client sent is escaped, so that it can neither end a line nor a string.
 * Times are UTC.
 */
#include "proxy/accesslog.h"

#include <stdio.h>
#include <time.h>

#define MS_AT 20 /* in JSON's text of a time */

struct str access_format_time(enum conf_log_format format, int64_t wall_s,
                              char out[ACCESS_TIME_BYTES])
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t seconds = (time_t)wall_s;
    struct tm t;
    int len;

    if (!gmtime_r(&seconds, &t))
        memset(&t, 0, sizeof(t));
    if (format == CONF_LOG_JSON)
        len = snprintf(out, ACCESS_TIME_BYTES, "%04d-%02d-%02dT%02d:%02d:%02d.000Z",
                       t.tm_year + 1900, t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec);
    else
        len = snprintf(out, ACCESS_TIME_BYTES, "%02d/%.3s/%04d:%02d:%02d:%02d +0000", t.tm_mday,
                       months + t.tm_mon * 3, t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
    return str_of(out, (size_t)len);
}

void access_set_ms(char text[ACCESS_TIME_BYTES], unsigned ms)
{
    text[MS_AT] = (char)('0' + ms / 100);
    memcpy(text + MS_AT + 1, str_digit_pairs + ms % 100 * 2, 2);
}

/* What needs no escapes. */
static char *put_word(char *at, struct str value, size_t most)
{
    if (value.len == 0)
        return put_lit(at, "-");
    return put_str(at, str_of(value.ptr, value.len < most ? value.len : most));
}

/* ---- JSON ---- */

/* Copied first, then looked at: behind the copy there is room to read. */
static char *put_filled_text(char *at, struct str value, size_t most)
{
    struct appender escaped;

    if (value.len > most)
        value.len = most;
    put_str(at, value);
    if (weir_likely(str_plain_run(at, value.len) == value.len))
        return at + value.len;
    escaped = appender_on(at, 6 * value.len);
    append_json(&escaped, value);
    return at + escaped.len;
}

static inline char *put_text(char *at, struct str value, size_t most)
{
    return value.len > 0 ? put_filled_text(at, value, most) : put_lit(at, "-");
}

#define X(symbol, name) ",\"" name "_us\":0"
static const char no_exchange[] = "-\"" PHASE_TABLE(X);
#undef X

static char *put_exchange(char *at, const struct request *request)
{
    const uint64_t *us = request->phases.us;

    if (weir_likely(!request->upstream_address[0])) /* no origin was asked */
        return put_str(at, str_of(no_exchange, sizeof(no_exchange) - 1));
    at = put_text(at, str_from(request->upstream_address), ACCESS_VALUE_MOST);
    at = put_lit(at, "\"");
#define X(symbol, name)                                                                            \
    at = put_lit(at, ",\"" name "_us\":");                                                         \
    at = put_u64(at, us[PHASE_##symbol]);
    PHASE_TABLE(X)
#undef X
    return at;
}

/* All but the object's end. */
static char *put_members(const struct access_entry *entry, char *at)
{
    const struct request *request = entry->request;
    const struct http1_head *head = request->head;

    at = put_lit(at, "{\"time\":\"");
    at = put_str(at, entry->time);
    at = put_lit(at, "\",\"client\":\"");
    at = put_str(at, entry->client);
    at = put_lit(at, "\",\"method\":\"");
    at = put_word(at, head->method_name, ACCESS_VALUE_MOST);
    at = put_lit(at, "\",\"host\":\"");
    at = put_text(at, head->authority, ACCESS_VALUE_MOST);
    at = put_lit(at, "\",\"target\":\"");
    at = put_text(at, head->target, ACCESS_TARGET_MOST);
    at = put_lit(at, "\",\"status\":");
    at = put_u64(at, entry->status);
    at = put_lit(at, ",\"bytes\":");
    at = put_u64(at, request->sent_bytes);
    at = put_lit(at, ",\"ended\":\"");
    at = put_str(at, entry->end);
    at = put_lit(at, "\",\"cache\":\"");
    at = put_str(at, entry->cache);
    at = put_lit(at, "\",\"reason\":\"");
    at = put_word(at, entry->reason, ACCESS_VALUE_MOST);
    at = put_lit(at, "\",\"ttl\":");
    at = put_u64(at, request->ttl_s > 0 ? (uint64_t)request->ttl_s : 0);
    at = put_lit(at, ",\"route\":\"");
    at = put_word(at, entry->route, SIZE_MAX);
    at = put_lit(at, "\",\"upstream\":\"");
    at = put_exchange(at, request);
    at = put_lit(at, ",\"total_us\":");
    at = put_u64(at, entry->total_us);
    at = put_lit(at, ",\"retries\":");
    at = put_u64(at, request->retries);
    at = put_lit(at, ",\"request_id\":\"");
    at = put_str(at, entry->ids.request_id);
    at = put_lit(at, "\",\"trace_id\":\"");
    at = put_str(at, entry->ids.trace_id);
    at = put_lit(at, "\",\"user_agent\":\"");
    at = put_text(at, entry->user_agent, ACCESS_VALUE_MOST);
    at = put_lit(at, "\",\"referer\":\"");
    at = put_text(at, entry->referer, ACCESS_VALUE_MOST);
    at = put_lit(at, "\",\"version\":\"HTTP/1.");
    *at++ = (char)('0' + head->minor);
    return put_lit(at, "\"");
}

size_t access_format_slow_line(const struct access_entry *entry, char out[ACCESS_LINE_BYTES])
{
    char *at = put_members(entry, out);

    at = put_lit(at, ",\"wait_us\":");
    at = put_u64(at, entry->request->wait_us);
    at = put_lit(at, ",\"client_us\":");
    at = put_u64(at, entry->request->client_us);
    at = put_lit(at, "}\n");
    return (size_t)(at - out);
}

/* ---- combined ---- */

/* As nginx does: \xHH for a quote, a backslash and what is not printable ASCII, so that no reader
 * takes it for a string's end. */
static char *put_escaped(char *at, struct str s, size_t most)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t plain;

    if (s.len == 0)
        return put_lit(at, "-");
    if (s.len > most)
        s.len = most;
    put_str(at, s);
    plain = str_plain_run(at, s.len);
    at += plain;
    for (size_t i = plain; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
            at = put_str(at, str_of((char[]){'\\', 'x', hex[c >> 4], hex[c & 15]}, 4));
        else
            *at++ = (char)c;
    }
    return at;
}

static size_t format_combined(const struct access_entry *entry, char *out)
{
    const struct http1_head *head = entry->request->head;
    uint64_t bytes = entry->request->sent_bytes;
    char *at = put_str(out, entry->client);

    at = put_lit(at, " - - [");
    at = put_str(at, entry->time);
    at = put_lit(at, "] \"");
    at = put_word(at, head->method_name, ACCESS_VALUE_MOST);
    at = put_lit(at, " ");
    at = put_escaped(at, head->target, ACCESS_TARGET_MOST);
    at = put_lit(at, " HTTP/1.");
    *at++ = (char)('0' + head->minor);
    at = put_lit(at, "\" ");
    at = put_u64(at, entry->status);
    at = put_lit(at, " ");
    at = bytes > 0 ? put_u64(at, bytes) : put_lit(at, "-");
    at = put_lit(at, " \"");
    at = put_escaped(at, entry->referer, ACCESS_VALUE_MOST);
    at = put_lit(at, "\" \"");
    at = put_escaped(at, entry->user_agent, ACCESS_VALUE_MOST);
    at = put_lit(at, "\"\n");
    return (size_t)(at - out);
}

size_t access_format_line(enum conf_log_format format, const struct access_entry *entry,
                          char out[ACCESS_LINE_BYTES])
{
    char *at;

    switch (format) {
    case CONF_LOG_JSON:
        at = put_members(entry, out);
        at = put_lit(at, "}\n");
        return (size_t)(at - out);
    case CONF_LOG_COMBINED:
        return format_combined(entry, out);
    case CONF_LOG_NONE:
        break;
    }
    weir_assert(!"a format of the access log");
}
