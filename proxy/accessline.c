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
    text[MS_AT + 1] = (char)('0' + ms / 10 % 10);
    text[MS_AT + 2] = (char)('0' + ms % 10);
}

/* ---- JSON ---- */

static void append_text(struct appender *out, struct str value)
{
    if (value.len > 0)
        append_json(out, value);
    else
        append_lit(out, "-");
}

static void append_safe(struct appender *out, struct str value)
{
    if (value.len > 0)
        append(out, value.ptr, value.len);
    else
        append_lit(out, "-");
}

static void append_phases(struct appender *out, const struct phases *phases)
{
    if (!(phases->queue_us | phases->connect_us | phases->first_byte_us | phases->body_us)) {
        append_lit(out, "\",\"queue_us\":0,\"connect_us\":0,\"first_byte_us\":0,\"body_us\":0");
        return;
    }
    append_lit(out, "\",\"queue_us\":");
    append_u64(out, phases->queue_us);
    append_lit(out, ",\"connect_us\":");
    append_u64(out, phases->connect_us);
    append_lit(out, ",\"first_byte_us\":");
    append_u64(out, phases->first_byte_us);
    append_lit(out, ",\"body_us\":");
    append_u64(out, phases->body_us);
}

/* All but the object's end. */
static void append_members(const struct access_entry *entry, struct appender *out)
{
    append_lit(out, "{\"time\":\"");
    append_safe(out, entry->time);
    append_lit(out, "\",\"client\":\"");
    append_safe(out, entry->client);
    append_lit(out, "\",\"method\":\"");
    append_text(out, entry->method);
    append_lit(out, "\",\"host\":\"");
    append_text(out, entry->host);
    append_lit(out, "\",\"target\":\"");
    append_text(out, entry->target);
    append_lit(out, "\",\"status\":");
    append_u64(out, entry->status);
    append_lit(out, ",\"bytes\":");
    append_u64(out, entry->bytes);
    append_lit(out, ",\"end\":\"");
    append_safe(out, entry->end);
    append_lit(out, "\",\"cache\":\"");
    append_safe(out, entry->cache);
    append_lit(out, "\",\"reason\":\"");
    append_safe(out, entry->reason);
    append_lit(out, "\",\"ttl\":");
    append_u64(out, entry->ttl_s > 0 ? (uint64_t)entry->ttl_s : 0);
    append_lit(out, ",\"route\":\"");
    append_safe(out, entry->route);
    append_lit(out, "\",\"upstream\":\"");
    append_text(out, entry->upstream);
    append_phases(out, &entry->phases);
    append_lit(out, ",\"total_us\":");
    append_u64(out, entry->total_us);
    append_lit(out, ",\"retries\":");
    append_u64(out, entry->retries);
    append_lit(out, ",\"request_id\":\"");
    append_safe(out, entry->ids.request_id);
    append_lit(out, "\",\"trace_id\":\"");
    append_safe(out, entry->ids.trace_id);
    append_lit(out, "\",\"user_agent\":\"");
    append_text(out, entry->user_agent);
    append_lit(out, "\",\"referer\":\"");
    append_text(out, entry->referer);
    if (weir_likely(entry->minor > 0))
        append_lit(out, "\",\"version\":\"HTTP/1.1\"");
    else
        append_lit(out, "\",\"version\":\"HTTP/1.0\"");
}

void access_format_slow_line(const struct access_entry *entry, struct appender *out)
{
    append_members(entry, out);
    append_lit(out, ",\"wait_us\":");
    append_u64(out, entry->wait_us);
    append_lit(out, ",\"client_us\":");
    append_u64(out, entry->client_us);
    append_lit(out, "}\n");
}

/* ---- combined ---- */

/* As nginx does: \xHH for a quote, a backslash and what is not printable ASCII, so that no reader
 * takes it for a string's end. */
static void append_escaped(struct appender *out, struct str s)
{
    static const char hex[] = "0123456789ABCDEF";

    if (s.len == 0)
        append_lit(out, "-");
    while (s.len > 0) {
        size_t plain = append_plain(out, s);
        unsigned char c;

        if (plain == s.len)
            return;
        c = (unsigned char)s.ptr[plain];
        append(out, (char[]){'\\', 'x', hex[c >> 4], hex[c & 15]}, 4);
        s.ptr += plain + 1;
        s.len -= plain + 1;
    }
}

static void format_combined(const struct access_entry *entry, struct appender *out)
{
    append_safe(out, entry->client);
    append_lit(out, " - - [");
    append_safe(out, entry->time);
    append_lit(out, "] \"");
    append_escaped(out, entry->method);
    append_lit(out, " ");
    append_escaped(out, entry->target);
    append_str(out, entry->minor == 0 ? STR(" HTTP/1.0\" ") : STR(" HTTP/1.1\" "));
    append_u64(out, entry->status);
    append_lit(out, " ");
    if (entry->bytes > 0)
        append_u64(out, entry->bytes);
    else
        append_lit(out, "-");
    append_lit(out, " \"");
    append_escaped(out, entry->referer);
    append_lit(out, "\" \"");
    append_escaped(out, entry->user_agent);
    append_lit(out, "\"\n");
}

void access_format_line(enum conf_log_format format, const struct access_entry *entry,
                        struct appender *out)
{
    switch (format) {
    case CONF_LOG_JSON:
        append_members(entry, out);
        append_lit(out, "}\n");
        return;
    case CONF_LOG_COMBINED:
        format_combined(entry, out);
        return;
    case CONF_LOG_NONE:
        return;
    }
}
