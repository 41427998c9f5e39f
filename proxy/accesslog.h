/*
 * The formats of the access log and the slow log, as pure functions: for accesslog.c and its test. Everyone else sees
 * proxy/proxy.h.
 */
#ifndef WEIR_PROXY_ACCESSLOG_H
#define WEIR_PROXY_ACCESSLOG_H

#include "proxy/proxy.h"

/* What a line tells: the request's own members, and these. Empty spans are written as "-". */
struct access_entry {
    const struct request *request;
    struct str time;   /* see access_format_time() */
    struct str client; /* words of Weir's own up to the ids: nothing in them to escape */
    unsigned status;   /* 499: none was sent */
    struct str cache, reason;
    struct str end;   /* how the response ended */
    struct str route; /* escaped for JSON already */
    uint64_t total_us;
    struct request_ids ids;
    struct str user_agent, referer;
};

/* Longer values of the client's are cut. */
#define ACCESS_TARGET_MOST 8192u
#define ACCESS_VALUE_MOST 2048u
/* Room for the longest line: every byte of the client's escaped. */
#define ACCESS_LINE_BYTES (128 * 1024)

/* The text of a second, which stays the same for all lines of that second but for JSON's
 * milliseconds. */
#define ACCESS_TIME_BYTES 80
struct str access_format_time(enum conf_log_format format, int64_t wall_s,
                              char out[ACCESS_TIME_BYTES]);
/* Changes the milliseconds of JSON's text. */
void access_set_ms(char text[ACCESS_TIME_BYTES], unsigned ms);

/* One line with its newline; how long it is. */
size_t access_format_line(enum conf_log_format format, const struct access_entry *entry,
                          char out[ACCESS_LINE_BYTES]);
/* The same of the slow log: JSON, with what explains the time. */
size_t access_format_slow_line(const struct access_entry *entry, char out[ACCESS_LINE_BYTES]);

#endif
