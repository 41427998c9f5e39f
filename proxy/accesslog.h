/*
 * The access log's two formats, as pure functions: for accesslog.c and its test. Everyone else sees
 * proxy/proxy.h.
 */
#ifndef WEIR_PROXY_ACCESSLOG_H
#define WEIR_PROXY_ACCESSLOG_H

#include "proxy/proxy.h"

/* What a line tells. Empty spans and texts are written as "-". */
struct access_entry {
    const char *client;
    struct str method, host, target, user_agent, referer;
    uint8_t minor;   /* of the HTTP version */
    unsigned status; /* 0: none was sent */
    uint64_t bytes;  /* of body */
    const char *cache;
    int64_t ttl_s;
    const char *route, *upstream;
    struct phases phases;
    int64_t total_us;
    unsigned retries;
    struct request_ids ids;
};

/* Room for the longest line that access_log_write() makes: every byte of the client's escaped. */
#define ACCESS_LINE_BYTES (128 * 1024)

/* The text of a second, which stays the same for all lines of that second. JSON: without what
 * follows the seconds. */
#define ACCESS_TIME_BYTES 80
void access_format_time(enum conf_log_format format, int64_t wall_s, char out[ACCESS_TIME_BYTES]);
/* One line with its newline; out->overflow when it does not fit. */
void access_format_line(enum conf_log_format format, const struct access_entry *entry,
                        const char *time_text, unsigned time_ms, struct appender *out);

#endif
