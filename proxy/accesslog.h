/*
 * The access log and the slow log: their formats, as pure functions, for accesslog.c and its test;
 * and what the workers' side and the writer's thread share. Everyone else sees proxy/proxy.h.
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
/* Target; host, user agent, referer and route; method and reason, which need no escape; the rest. */
_Static_assert(6 * (ACCESS_TARGET_MOST + 4 * ACCESS_VALUE_MOST) + 2 * ACCESS_VALUE_MOST + 4096 <=
                   ACCESS_LINE_BYTES,
               "nothing looks at the end while a line is written");

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

/* ---- shared by accesslog.c and accesswriter.c ---- */

#define ACCESS_LOG_MAGIC 0x41434c47u
#define CLOSE_PATIENCE_S 5

struct access_ring {
    /* fixed after access_log_open() */
    char *bytes; /* owned; `size` of them, a power of two */
    size_t size;
    enum conf_log_format format;
    /* owner: the worker's thread */
    int64_t second_us; /* when the second of `time` began, by the monotonic clock */
    struct str time;
    char time_text[ACCESS_TIME_BYTES];
    /* positions grow for ever; head - tail bytes are there to be written */
    _Alignas(64) atomic_size_t head; /* written by the worker */
    cell put, overrun;               /* lines put into it, and that found no room; by the worker */
    _Alignas(64) atomic_size_t tail; /* written by the writer */
    cell written, lost;              /* lines that the file has taken, has not; by the writer */
};

struct log_file {
    /* fixed after access_log_open() */
    const char *what;
    const char *path;
    struct access_ring *rings; /* owned; one per worker; NULL when there is no such log */
    /* owner: the writer */
    int fd;
    bool own_fd;
    bool line_by_line; /* shared with the error log's lines */
    unsigned turn;     /* the ring that is written or comes next */
    bool blocked;      /* it takes no more for now */
    bool failing;      /* the last write failed; told once */
    bool mid_line;     /* what was written last has no newline */
    bool torn;         /* ... and its rest never comes */
    /* owner: main thread */
    uint64_t told;  /* of the lines that found no room */
    unsigned quiet; /* for so many sweeps nothing is told of them */
};

enum writer_state {
    WRITER_AWAKE,
    WRITER_NAPPING,
    WRITER_IDLE
};

enum {
    ACCESS_FILE,
    SLOW_FILE,
    LOG_FILES
};

struct access_log {
    unsigned magic;
    /* fixed after access_log_open() */
    struct log_file files[LOG_FILES];
    struct conf *conf;        /* reference */
    struct str *route_names;  /* owned, with their text; escaped for JSON */
    struct access_pen **pens; /* owned; one per worker */
    unsigned workers;
    int wake_fd;
    pthread_t thread;
    /* atomics */
    _Atomic enum writer_state writer;
    atomic_bool closing, reopen;
};

/* Opens file->path, for the first time or anew. False with errno: what was open stays. */
bool access_open_file(struct log_file *file);
/* For people. */
const char *access_open_error(int error);
/* Thread's main function. */
void *access_writer_main(void *log);

#endif
