/*
 * The chunked transfer coding (RFC 9112 §7.1), read.
 *
 * Called by both sides of proxy/ with whatever bytes of a body are there; data comes out as spans
 * of that buffer and is never copied. Framing is read byte by byte, with all that has to be
 * remembered in 16 bytes.
 *
 *   SIZE → [EXTENSION_SPACE →] [EXTENSION →] SIZE_LF → DATA → DATA_CR → DATA_LF → SIZE
 *                                                    → `last`, behind the last chunk's line
 *
 * Owns nothing; any thread.
 */
#include "net/net.h"

enum phase {
    SIZE,
    EXTENSION_SPACE,
    EXTENSION,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF
};

#define SIZE_DIGITS 16
#define EXTENSION_BYTES 256 /* of one chunk, with its semicolons and white space */

static int hex_digit(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum http1_error end_size(struct http1_chunked *chunked, unsigned char c)
{
    if (c == '\n')
        return HTTP1_BARE_LF;
    chunked->phase = SIZE_LF;
    return HTTP1_OK;
}

static enum http1_error read_extension(struct http1_chunked *chunked, unsigned char c)
{
    if (c == '\r' || c == '\n') {
        /* White space that no extension follows is not in the grammar. */
        if (chunked->phase == EXTENSION_SPACE && c == '\r')
            return HTTP1_CHUNK_BAD_EXTENSION;
        return end_size(chunked, c);
    }
    if ((c < 0x20 && c != '\t') || c == 0x7f || ++chunked->extension_bytes > EXTENSION_BYTES)
        return HTTP1_CHUNK_BAD_EXTENSION;
    if (chunked->phase == EXTENSION)
        return HTTP1_OK;
    if (c == ';')
        chunked->phase = EXTENSION;
    else if (c != ' ' && c != '\t')
        return HTTP1_CHUNK_BAD_EXTENSION;
    return HTTP1_OK;
}

static enum http1_error read_size(struct http1_chunked *chunked, unsigned char c)
{
    int digit = hex_digit(c);
    if (digit >= 0) {
        if (chunked->digits == SIZE_DIGITS || chunked->left > INT64_MAX >> 4)
            return HTTP1_CHUNK_BAD_SIZE;
        chunked->left = chunked->left << 4 | (unsigned)digit;
        chunked->digits++;
        return HTTP1_OK;
    }
    if (chunked->digits == 0)
        return HTTP1_CHUNK_BAD_SIZE;
    if (c == '\r' || c == '\n')
        return end_size(chunked, c);
    if (c != ';' && c != ' ' && c != '\t')
        return HTTP1_CHUNK_BAD_SIZE;
    chunked->phase = EXTENSION_SPACE;
    return read_extension(chunked, c);
}

static enum http1_error read_framing(struct http1_chunked *chunked, unsigned char c)
{
    switch ((enum phase)chunked->phase) {
    case SIZE:
        return read_size(chunked, c);
    case EXTENSION_SPACE:
    case EXTENSION:
        return read_extension(chunked, c);
    case SIZE_LF:
        if (c != '\n')
            return HTTP1_BARE_CR;
        chunked->last = chunked->left == 0;
        chunked->phase = DATA;
        chunked->digits = 0;
        chunked->extension_bytes = 0;
        return HTTP1_OK;
    case DATA:
        break;
    case DATA_CR:
        chunked->phase = DATA_LF;
        return c == '\r' ? HTTP1_OK : HTTP1_CHUNK_BAD_END;
    case DATA_LF:
        chunked->phase = SIZE;
        return c == '\n' ? HTTP1_OK : HTTP1_CHUNK_BAD_END;
    }
    weir_assert(!"data is not framing");
    return HTTP1_OK;
}

static struct str take_data(struct http1_chunked *chunked, const char *at, size_t len)
{
    size_t taken = chunked->left < len ? (size_t)chunked->left : len;
    chunked->left -= taken;
    if (chunked->left == 0)
        chunked->phase = DATA_CR;
    return str_of(at, taken);
}

ssize_t http1_chunked_read(struct http1_chunked *chunked, const char *buffer, size_t len,
                           struct str *data)
{
    *data = str_of(NULL, 0);
    for (size_t at = 0; at < len; at++) {
        if (chunked->last)
            return (ssize_t)at;
        if (chunked->phase == DATA) {
            *data = take_data(chunked, buffer + at, len - at);
            return (ssize_t)(at + data->len);
        }
        enum http1_error error = read_framing(chunked, (unsigned char)buffer[at]);
        if (error != HTTP1_OK)
            return -(ssize_t)error;
    }
    return (ssize_t)len;
}
