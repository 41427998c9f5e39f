/*
 * The chunked transfer coding (RFC 9112 §7.1), read.
 *
 * Called by both sides of proxy/ with whatever bytes of a body are there; data comes out as spans
 * of that buffer and is never copied. Framing is read byte by byte, with all that has to be
 * remembered in 16 bytes.
 *
 *   SIZE → [extensions →] SIZE_LF → DATA → DATA_CR → DATA_LF → SIZE
 *                                 → `last`, behind the last chunk's line
 *
 * Extensions mean nothing to Weir, but their grammar is held to: who ends a quoted one elsewhere
 * would see another body.
 *
 * Owns nothing; any thread.
 */
#include "net/http1_scan.h"
#include "net/net.h"

enum phase {
    SIZE,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    /* extensions: each is named after what has been read */
    SPACE,
    SEMICOLON,
    NAME,
    NAME_SPACE,
    EQUALS,
    TOKEN_VALUE,
    QUOTED,
    BACKSLASH,
    QUOTED_VALUE,
    PHASES
};

/* What a byte of an extension may be; each control but HTAB is a NOTHING. */
enum kind {
    IS_NOTHING,
    IS_TOKEN,
    IS_SPACE,
    IS_SEMICOLON,
    IS_EQUALS,
    IS_QUOTE,
    IS_BACKSLASH,
    IS_CR,
    IS_OTHER,
    KINDS
};

/* *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] ), RFC 9112 §7.1.1; where nothing
 * stands it is refused. */
static const uint8_t after[PHASES][KINDS] = {
    [SIZE] = {[IS_SPACE] = SPACE, [IS_SEMICOLON] = SEMICOLON},
    [SPACE] = {[IS_SPACE] = SPACE, [IS_SEMICOLON] = SEMICOLON},
    [SEMICOLON] = {[IS_SPACE] = SEMICOLON, [IS_TOKEN] = NAME},
    [NAME] = {[IS_TOKEN] = NAME,
              [IS_SPACE] = NAME_SPACE,
              [IS_EQUALS] = EQUALS,
              [IS_SEMICOLON] = SEMICOLON,
              [IS_CR] = SIZE_LF},
    [NAME_SPACE] = {[IS_SPACE] = NAME_SPACE, [IS_EQUALS] = EQUALS, [IS_SEMICOLON] = SEMICOLON},
    [EQUALS] = {[IS_SPACE] = EQUALS, [IS_TOKEN] = TOKEN_VALUE, [IS_QUOTE] = QUOTED},
    [TOKEN_VALUE] = {[IS_TOKEN] = TOKEN_VALUE,
                     [IS_SPACE] = SPACE,
                     [IS_SEMICOLON] = SEMICOLON,
                     [IS_CR] = SIZE_LF},
    [QUOTED] = {[IS_TOKEN] = QUOTED,
                [IS_SPACE] = QUOTED,
                [IS_SEMICOLON] = QUOTED,
                [IS_EQUALS] = QUOTED,
                [IS_OTHER] = QUOTED,
                [IS_BACKSLASH] = BACKSLASH,
                [IS_QUOTE] = QUOTED_VALUE},
    [BACKSLASH] = {[IS_TOKEN] = QUOTED,
                   [IS_SPACE] = QUOTED,
                   [IS_SEMICOLON] = QUOTED,
                   [IS_EQUALS] = QUOTED,
                   [IS_OTHER] = QUOTED,
                   [IS_BACKSLASH] = QUOTED,
                   [IS_QUOTE] = QUOTED},
    [QUOTED_VALUE] = {[IS_SPACE] = SPACE, [IS_SEMICOLON] = SEMICOLON, [IS_CR] = SIZE_LF},
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

static enum kind identify(unsigned char c)
{
    switch (c) {
    case ' ':
    case '\t':
        return IS_SPACE;
    case ';':
        return IS_SEMICOLON;
    case '=':
        return IS_EQUALS;
    case '"':
        return IS_QUOTE;
    case '\\':
        return IS_BACKSLASH;
    case '\r':
        return IS_CR;
    default:
        if (http1_classes[c] & HTTP1_CLASS_TOKEN)
            return IS_TOKEN;
        return http1_classes[c] & HTTP1_CLASS_VALUE ? IS_OTHER : IS_NOTHING;
    }
}

static enum http1_error read_extension(struct http1_chunked *chunked, unsigned char c)
{
    if (c == '\n')
        return HTTP1_BARE_LF;
    uint8_t phase = after[chunked->phase][identify(c)];
    if (phase == 0 || (phase != SIZE_LF && ++chunked->extension_bytes > EXTENSION_BYTES))
        return HTTP1_CHUNK_BAD_EXTENSION;
    chunked->phase = phase;
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
    if (c == '\n')
        return HTTP1_BARE_LF;
    if (c == '\r') {
        chunked->phase = SIZE_LF;
        return HTTP1_OK;
    }
    if (c != ';' && c != ' ' && c != '\t')
        return HTTP1_CHUNK_BAD_SIZE;
    return read_extension(chunked, c);
}

static enum http1_error read_framing(struct http1_chunked *chunked, unsigned char c)
{
    switch ((enum phase)chunked->phase) {
    case SIZE:
        return read_size(chunked, c);
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
    case SPACE:
    case SEMICOLON:
    case NAME:
    case NAME_SPACE:
    case EQUALS:
    case TOKEN_VALUE:
    case QUOTED:
    case BACKSLASH:
    case QUOTED_VALUE:
        return read_extension(chunked, c);
    case PHASES:
        break;
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
