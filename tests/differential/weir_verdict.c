/*
 * Weir's parser as a filter, for tests/differential/run.py: messages in, one line of verdict out for each.
 *
 *   in:  length (4 bytes, little endian), kind (1 byte), the message; again and again until the end
 *   out: accepted START TARGET MINOR FIELDS FRAMING BODY TRAILERS END LIFE
 *        refused ERROR
 *        incomplete
 *
 * Kinds: q a request; r, h, c the response to a GET, a HEAD, a CONNECT. What follows `accepted` is between tabs and in
 * hex where it is the peer's: START the method or the status, TARGET the target or the reason, FIELDS and TRAILERS
 * "name:value," each, END the bytes of the message, LIFE keep, close, or upgrade where HTTP ends with the head. The
 * message is all that the peer will ever send: a body until the end of the connection ends with it.
 *
 * Each message lies in memory of its own size, so that a sanitizer sees what is read behind it.
 */
#include "net/net.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ROWS 128
#define MESSAGE_BYTES_MAX (1 << 20)

static const struct http1_limits limits = {1 << 20, ROWS};

struct verdict {
    struct http1_head head, trailers;
    struct field rows[ROWS], trailer_rows[ROWS];
    char *body; /* owned; as long as the message */
    size_t body_len, end;
};

static void reset_head(struct http1_head *head, struct field *rows)
{
    *head = (struct http1_head){.list = rows, .capacity = ROWS};
    http1_head_reset(head);
}

/* What the parser returns: bytes, 0 or -error. */
static ssize_t read_chunked(struct verdict *v, const char *message, size_t len)
{
    struct http1_chunked chunked = {.left = 0};
    while (!chunked.last) {
        struct str data;
        ssize_t taken = http1_chunked_read(&chunked, message + v->end, len - v->end, &data);
        if (taken <= 0)
            return taken;
        if (data.len > 0)
            memcpy(v->body + v->body_len, data.ptr, data.len);
        v->body_len += data.len;
        v->end += (size_t)taken;
    }
    ssize_t taken = http1_parse_trailers(&v->trailers, message + v->end, len - v->end, &limits);
    if (taken > 0)
        v->end += (size_t)taken;
    return taken;
}

static ssize_t read_body(struct verdict *v, const char *message, size_t len)
{
    size_t left = len - v->end;
    switch (v->head.body) {
    case HTTP1_BODY_NONE:
        return 1;
    case HTTP1_BODY_CHUNKED:
        return read_chunked(v, message, len);
    case HTTP1_BODY_LENGTH:
        if (left < v->head.content_length)
            return 0;
        left = (size_t)v->head.content_length;
        break;
    case HTTP1_BODY_UNTIL_CLOSE:
        break;
    }
    if (left > 0)
        memcpy(v->body, message + v->end, left);
    v->body_len = left;
    v->end += left;
    return 1;
}

static ssize_t judge(struct verdict *v, char kind, const char *message, size_t len)
{
    enum method method = kind == 'h' ? METHOD_HEAD : kind == 'c' ? METHOD_CONNECT : METHOD_GET;
    ssize_t taken = kind == 'q' ? http1_parse_request(&v->head, message, len, &limits)
                                : http1_parse_response(&v->head, message, len, &limits, method);
    if (taken <= 0)
        return taken;
    v->end = (size_t)taken;
    return read_body(v, message, len);
}

static void put_hex(const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        putchar_unlocked("0123456789abcdef"[(unsigned char)bytes[i] >> 4]);
        putchar_unlocked("0123456789abcdef"[bytes[i] & 15]);
    }
}

static void put_fields(const struct http1_head *head)
{
    putchar_unlocked('\t');
    for (unsigned i = 0; i < head->count; i++) {
        put_hex(head->list[i].name, head->list[i].name_len);
        putchar_unlocked(':');
        put_hex(head->list[i].value, head->list[i].value_len);
        putchar_unlocked(',');
    }
}

/* As the two sides of proxy/ decide it. */
static const char *life(const struct http1_head *head, char kind)
{
    if ((kind == 'q' && head->method == METHOD_CONNECT) ||
        (kind == 'c' && head->status >= 200 && head->status < 300) || head->status == 101)
        return "upgrade";
    if (head->close || (head->minor == 0 && !head->keep_alive) ||
        head->body == HTTP1_BODY_UNTIL_CLOSE)
        return "close";
    return "keep";
}

static void put_accepted(const struct verdict *v, char kind)
{
    static const char *const framings[] = {"none", "length", "chunked", "close"};
    const struct http1_head *head = &v->head;
    fputs("accepted\t", stdout);
    if (kind == 'q') {
        put_hex(head->method_name.ptr, head->method_name.len);
        putchar_unlocked('\t');
        put_hex(head->target.ptr, head->target.len);
    } else {
        printf("%u\t", head->status);
        put_hex(head->reason.ptr, head->reason.len);
    }
    printf("\t%u", head->minor);
    put_fields(head);
    printf("\t%s\t", framings[head->body]);
    put_hex(v->body, v->body_len);
    put_fields(&v->trailers);
    printf("\t%zu\t%s\n", v->end, life(head, kind));
}

static void read_exactly(void *to, size_t len)
{
    if (len > 0 && fread(to, 1, len, stdin) != len) {
        fputs("weir_verdict: the input ends inside a message\n", stderr);
        exit(2);
    }
}

static void answer(uint32_t len)
{
    struct verdict v = {.end = 0};
    char kind, *message = malloc(len > 0 ? len : 1);
    v.body = malloc(len > 0 ? len : 1);
    weir_assert(message != NULL && v.body != NULL);
    read_exactly(&kind, 1);
    read_exactly(message, len);
    reset_head(&v.head, v.rows);
    reset_head(&v.trailers, v.trailer_rows);
    ssize_t result = judge(&v, kind, message, len);
    if (result > 0)
        put_accepted(&v, kind);
    else if (result == 0)
        puts("incomplete");
    else
        printf("refused\t%s\n", http1_error_row((enum http1_error) - result)->counter);
    free(v.body);
    free(message);
}

int main(void)
{
    unsigned char size[4];
    while (fread(size, 1, 1, stdin) == 1) {
        read_exactly(size + 1, 3);
        uint32_t len = (uint32_t)size[0] | (uint32_t)size[1] << 8 | (uint32_t)size[2] << 16 |
                       (uint32_t)size[3] << 24;
        if (len > MESSAGE_BYTES_MAX) {
            fprintf(stderr, "weir_verdict: a message of %u bytes; at most %d\n", len,
                    MESSAGE_BYTES_MAX);
            return 2;
        }
        answer(len);
    }
    return fflush(stdout) == 0 ? 0 : 2;
}
