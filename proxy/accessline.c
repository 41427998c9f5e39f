/*
 * A line of the access log: JSON, or the combined format of Apache httpd and nginx.
 *
 * Called by accesslog.c on a worker's thread. Pure. What the client sent is escaped, so that it can
 * neither end a line nor a string. Times are UTC.
 */
#include "proxy/accesslog.h"

#include <stdio.h>
#include <time.h>

void access_format_time(enum conf_log_format format, int64_t wall_s, char out[ACCESS_TIME_BYTES])
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t seconds = (time_t)wall_s;
    struct tm t;

    if (!gmtime_r(&seconds, &t))
        memset(&t, 0, sizeof(t));
    if (format == CONF_LOG_JSON)
        snprintf(out, ACCESS_TIME_BYTES, "%04d-%02d-%02dT%02d:%02d:%02d", t.tm_year + 1900,
                 t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec);
    else
        snprintf(out, ACCESS_TIME_BYTES, "%02d/%.3s/%04d:%02d:%02d:%02d +0000", t.tm_mday,
                 months + t.tm_mon * 3, t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
}

static struct str or_dash(struct str s)
{
    return s.len > 0 ? s : STR("-");
}

/* ---- JSON ---- */

static void append_text(struct appender *out, struct str name, struct str value)
{
    append_lit(out, ",\"");
    append_str(out, name);
    append_lit(out, "\":\"");
    append_json(out, or_dash(value));
    append_lit(out, "\"");
}

static void append_number(struct appender *out, struct str name, uint64_t value)
{
    append_lit(out, ",\"");
    append_str(out, name);
    append_lit(out, "\":");
    append_u64(out, value);
}

static void append_milliseconds(struct appender *out, unsigned time_ms)
{
    char digits[3] = {(char)('0' + time_ms / 100 % 10), (char)('0' + time_ms / 10 % 10),
                      (char)('0' + time_ms % 10)};

    append_lit(out, ".");
    append(out, digits, sizeof(digits));
    append_lit(out, "Z\"");
}

static void format_json(const struct access_entry *entry, const char *time_text, unsigned time_ms,
                        struct appender *out)
{
    append_lit(out, "{\"time\":\"");
    append_str(out, str_from(time_text));
    append_milliseconds(out, time_ms);
    append_text(out, STR("client"), str_from(entry->client));
    append_text(out, STR("method"), entry->method);
    append_text(out, STR("host"), entry->host);
    append_text(out, STR("target"), entry->target);
    append_number(out, STR("status"), entry->status);
    append_number(out, STR("bytes"), entry->bytes);
    append_text(out, STR("cache"), str_from(entry->cache));
    append_number(out, STR("ttl"), entry->ttl_s > 0 ? (uint64_t)entry->ttl_s : 0);
    append_text(out, STR("route"), str_from(entry->route));
    append_text(out, STR("upstream"), str_from(entry->upstream));
    append_number(out, STR("queue_us"), entry->phases.queue_us);
    append_number(out, STR("connect_us"), entry->phases.connect_us);
    append_number(out, STR("first_byte_us"), entry->phases.first_byte_us);
    append_number(out, STR("body_us"), entry->phases.body_us);
    append_number(out, STR("total_us"), (uint64_t)entry->total_us);
    append_number(out, STR("retries"), entry->retries);
    append_text(out, STR("request_id"), entry->ids.request_id);
    append_text(out, STR("trace_id"), entry->ids.trace_id);
    append_text(out, STR("user_agent"), entry->user_agent);
    append_text(out, STR("referer"), entry->referer);
    append_text(out, STR("version"), entry->minor == 0 ? STR("HTTP/1.0") : STR("HTTP/1.1"));
    append_lit(out, "}\n");
}

/* ---- combined ---- */

/* As nginx does: \xHH for a quote, a backslash and what is not printable ASCII, so that no reader
 * takes it for a string's end. */
static void append_escaped(struct appender *out, struct str s)
{
    static const char hex[] = "0123456789ABCDEF";

    s = or_dash(s);
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        char escape[4] = {'\\', 'x', hex[c >> 4], hex[c & 15]};

        if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
            append(out, escape, sizeof(escape));
        else
            append(out, s.ptr + i, 1);
    }
}

static void format_combined(const struct access_entry *entry, const char *time_text,
                            struct appender *out)
{
    append_str(out, or_dash(str_from(entry->client)));
    append_lit(out, " - - [");
    append_str(out, str_from(time_text));
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
                        const char *time_text, unsigned time_ms, struct appender *out)
{
    switch (format) {
    case CONF_LOG_JSON:
        format_json(entry, time_text, time_ms, out);
        return;
    case CONF_LOG_COMBINED:
        format_combined(entry, time_text, out);
        return;
    case CONF_LOG_NONE:
        return;
    }
}
