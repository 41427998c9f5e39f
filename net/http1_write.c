/*
 * HTTP/1 messages, written: status lines, field lines, the lines before chunks.
 *
 * Called by the client's and the origin's side of proxy/ to build a head in a buffer of fixed size;
 * the appender tells whether it fitted. What is appended has been checked where it came from:
 * nothing is checked here. Owns nothing; any thread.
 */
#include "net/net.h"

/* RFC 9110 §15, and RFC 2518, 6585, 7725, 8297 and 8470 for those it does not have. */
#define REASON_TABLE(X)                                                                            \
    X(100, "Continue")                                                                             \
    X(101, "Switching Protocols")                                                                  \
    X(102, "Processing")                                                                           \
    X(103, "Early Hints")                                                                          \
    X(200, "OK")                                                                                   \
    X(201, "Created")                                                                              \
    X(202, "Accepted")                                                                             \
    X(203, "Non-Authoritative Information")                                                        \
    X(204, "No Content")                                                                           \
    X(205, "Reset Content")                                                                        \
    X(206, "Partial Content")                                                                      \
    X(207, "Multi-Status")                                                                         \
    X(300, "Multiple Choices")                                                                     \
    X(301, "Moved Permanently")                                                                    \
    X(302, "Found")                                                                                \
    X(303, "See Other")                                                                            \
    X(304, "Not Modified")                                                                         \
    X(305, "Use Proxy")                                                                            \
    X(307, "Temporary Redirect")                                                                   \
    X(308, "Permanent Redirect")                                                                   \
    X(400, "Bad Request")                                                                          \
    X(401, "Unauthorized")                                                                         \
    X(402, "Payment Required")                                                                     \
    X(403, "Forbidden")                                                                            \
    X(404, "Not Found")                                                                            \
    X(405, "Method Not Allowed")                                                                   \
    X(406, "Not Acceptable")                                                                       \
    X(407, "Proxy Authentication Required")                                                        \
    X(408, "Request Timeout")                                                                      \
    X(409, "Conflict")                                                                             \
    X(410, "Gone")                                                                                 \
    X(411, "Length Required")                                                                      \
    X(412, "Precondition Failed")                                                                  \
    X(413, "Content Too Large")                                                                    \
    X(414, "URI Too Long")                                                                         \
    X(415, "Unsupported Media Type")                                                               \
    X(416, "Range Not Satisfiable")                                                                \
    X(417, "Expectation Failed")                                                                   \
    X(421, "Misdirected Request")                                                                  \
    X(422, "Unprocessable Content")                                                                \
    X(423, "Locked")                                                                               \
    X(424, "Failed Dependency")                                                                    \
    X(425, "Too Early")                                                                            \
    X(426, "Upgrade Required")                                                                     \
    X(428, "Precondition Required")                                                                \
    X(429, "Too Many Requests")                                                                    \
    X(431, "Request Header Fields Too Large")                                                      \
    X(451, "Unavailable For Legal Reasons")                                                        \
    X(500, "Internal Server Error")                                                                \
    X(501, "Not Implemented")                                                                      \
    X(502, "Bad Gateway")                                                                          \
    X(503, "Service Unavailable")                                                                  \
    X(504, "Gateway Timeout")                                                                      \
    X(505, "HTTP Version Not Supported")                                                           \
    X(507, "Insufficient Storage")                                                                 \
    X(511, "Network Authentication Required")

struct str http1_reason(unsigned status)
{
    switch (status) {
#define X(number, text)                                                                            \
    case number:                                                                                   \
        return STR(text);
        REASON_TABLE(X)
#undef X
    }
    return STR("");
}

void http1_append_status_line(struct appender *out, unsigned status)
{
    weir_assert(status >= 100 && status <= 999);
    char start[] = "HTTP/1.1 000 ";
    start[9] = (char)('0' + status / 100);
    start[10] = (char)('0' + status / 10 % 10);
    start[11] = (char)('0' + status % 10);
    append(out, start, sizeof start - 1);
    append_str(out, http1_reason(status));
    append_lit(out, "\r\n");
}

void http1_append_field(struct appender *out, struct str name, struct str value)
{
    size_t len = name.len + 2 + value.len + 2;
    char *to = out->ptr + out->len;
    if (weir_unlikely(len > out->cap - out->len)) {
        out->overflow = true;
        return;
    }
    memcpy(to, name.ptr, name.len);
    memcpy(to + name.len, ": ", 2);
    if (value.len > 0)
        memcpy(to + name.len + 2, value.ptr, value.len);
    memcpy(to + len - 2, "\r\n", 2);
    out->len += len;
}

size_t http1_chunk_line(char out[HTTP1_CHUNK_LINE_BYTES], uint64_t len)
{
    struct appender line = appender_on(out, HTTP1_CHUNK_LINE_BYTES);
    append_hex(&line, len);
    append_lit(&line, "\r\n");
    return line.len;
}
