/*
 * Spans of bytes, and bytes put together in a buffer of fixed size.
 *
 * Spans are borrowed and never terminated; every function takes an empty one, its pointer NULL or
 * not. An appender never writes past its buffer: what does not fit is left out whole and `overflow`
 * set, so that a caller checks once, at the end. Called by every room, the number and string
 * functions of the appender for each request and each line of the access log. Owns nothing; any
 * thread.
 */
#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

bool str_equal_nocase(struct str a, struct str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (a.ptr[i] != b.ptr[i] && ascii_lower(a.ptr[i]) != ascii_lower(b.ptr[i]))
            return false;
    }
    return true;
}

static bool is_white(char c)
{
    return c == ' ' || c == '\t';
}

struct str str_trim(struct str s)
{
    while (s.len > 0 && is_white(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && is_white(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

bool str_to_u64(struct str s, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;
    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned char)s.ptr[i] - (unsigned)'0';
        if (digit > 9 || digit > max || value > (max - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *out = value;
    return true;
}

/* How far the first element of a list goes: up to a comma that is in no quoted string. */
static size_t find_separator(struct str s)
{
    bool quoted = false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '"')
            quoted = !quoted;
        else if (c == '\\' && quoted)
            i++; /* quoted-pair, RFC 9110 §5.6.4 */
        else if (c == ',' && !quoted)
            return i;
    }
    return s.len;
}

static size_t find_comma(struct str s)
{
    const char *comma = s.len > 0 ? memchr(s.ptr, ',', s.len) : NULL;
    return comma ? (size_t)(comma - s.ptr) : s.len;
}

static inline bool next_element(struct str *rest, struct str *element,
                                size_t (*find_end)(struct str))
{
    while (rest->len > 0) {
        size_t len = find_end(*rest);
        size_t taken = len < rest->len ? len + 1 : len;
        *element = str_trim(str_of(rest->ptr, len));
        rest->ptr += taken;
        rest->len -= taken;
        if (element->len > 0)
            return true;
    }
    return false;
}

bool str_list_next(struct str *rest, struct str *element)
{
    return next_element(rest, element, find_separator);
}

bool str_tokens_next(struct str *rest, struct str *element)
{
    return next_element(rest, element, find_comma);
}

const char str_digit_pairs[201] = "00010203040506070809101112131415161718192021222324"
                                  "25262728293031323334353637383940414243444546474849"
                                  "50515253545556575859606162636465666768697071727374"
                                  "75767778798081828384858687888990919293949596979899";

char *put_u64_large(char *at, uint64_t value)
{
    char digits[20];
    char *p = digits + sizeof digits;
    while (value >= 100) {
        p -= 2;
        memcpy(p, str_digit_pairs + value % 100 * 2, 2);
        value /= 100;
    }
    if (value >= 10) {
        p -= 2;
        memcpy(p, str_digit_pairs + value * 2, 2);
    } else {
        *--p = (char)('0' + value);
    }
    return put_str(at, str_of(p, (size_t)(digits + sizeof digits - p)));
}

/* Of eight bytes at once. */
static uint64_t lower_8(uint64_t bytes)
{
    const uint64_t ones = 0x0101010101010101;
    uint64_t low = bytes & 0x7f * ones;
    uint64_t from_a = low + (0x80 - 'A') * ones, behind_z = low + (0x7f - 'Z') * ones;
    uint64_t capital = (from_a ^ behind_z) & ~bytes & 0x80 * ones;

    return bytes | capital >> 2;
}

void append_lower(struct appender *a, struct str s)
{
    size_t at = a->len;

    append_str(a, s);
    for (; a->len - at >= 8; at += 8) {
        uint64_t bytes;

        memcpy(&bytes, a->ptr + at, 8);
        bytes = lower_8(bytes);
        memcpy(a->ptr + at, &bytes, 8);
    }
    for (; at < a->len; at++)
        a->ptr[at] = ascii_lower(a->ptr[at]);
}

void append_u64(struct appender *a, uint64_t value)
{
    char digits[20];
    append(a, digits, (size_t)(put_u64(digits, value) - digits));
}

static const char hex_digits[] = "0123456789abcdef";

void append_hex(struct appender *a, uint64_t value)
{
    char digits[16];
    char *p = digits + sizeof digits;
    do {
        *--p = hex_digits[value & 15];
        value >>= 4;
    } while (value > 0);
    append(a, p, (size_t)(digits + sizeof digits - p));
}

void append_fmt(struct appender *a, const char *format, ...)
{
    size_t room = a->cap - a->len;
    va_list args;
    va_start(args, format);
    int len = vsnprintf(room > 0 ? a->ptr + a->len : NULL, room, format, args);
    va_end(args);
    if (len < 0 || (size_t)len >= room)
        a->overflow = true;
    else
        a->len += (size_t)len;
}

size_t str_utf8_sequence(struct str s)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    unsigned char low = 0x80, high = 0xbf; /* of the second byte */
    size_t len;
    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf)
        len = 2;
    else if (p[0] >= 0xe0 && p[0] <= 0xef)
        len = 3;
    else if (p[0] >= 0xf0 && p[0] <= 0xf4)
        len = 4;
    else
        return 0;
    if (p[0] == 0xe0)
        low = 0xa0;
    else if (p[0] == 0xed)
        high = 0x9f;
    else if (p[0] == 0xf0)
        low = 0x90;
    else if (p[0] == 0xf4)
        high = 0x8f;
    if (s.len < len || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    return len;
}

size_t str_plain_run(const char *at, size_t len)
{
#ifdef __SSE2__
    for (size_t i = 0; i < len; i += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(at + i));
        /* The comparison is signed: bytes from 0x80 on are below SP. */
        __m128i outside = _mm_or_si128(_mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20)),
                                       _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f)));
        __m128i special = _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')),
                                       _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
        unsigned found = (unsigned)_mm_movemask_epi8(_mm_or_si128(outside, special));
        if (len - i < 16)
            found &= (1u << (len - i)) - 1;
        if (found)
            return i + (size_t)__builtin_ctz(found);
    }
    return len;
#else
    size_t i = 0;
    while (i < len && at[i] >= 0x20 && at[i] < 0x7f && at[i] != '"' && at[i] != '\\')
        i++;
    return i;
#endif
}

static void append_json_escape(struct appender *a, unsigned char c)
{
    char text[6] = {'\\', 'u', '0', '0', hex_digits[c >> 4], hex_digits[c & 15]};
    if (c == '"')
        append_lit(a, "\\\"");
    else if (c == '\\')
        append_lit(a, "\\\\");
    else if (c == '\n')
        append_lit(a, "\\n");
    else
        append(a, text, sizeof text);
}

void append_json(struct appender *a, struct str s)
{
    size_t plain = 0; /* bytes of s that are yet to be copied as they are */
    while (plain < s.len) {
        unsigned char c = (unsigned char)s.ptr[plain];
        bool escaped = c < 0x20 || c == '"' || c == '\\' || c == 0x7f;
        size_t len = escaped ? 0 : str_utf8_sequence(str_of(s.ptr + plain, s.len - plain));
        if (len > 0) {
            plain += len;
            continue;
        }
        append_str(a, str_of(s.ptr, plain));
        append_json_escape(a, c);
        s.ptr += plain + 1;
        s.len -= plain + 1;
        plain = 0;
    }
    append_str(a, s);
}
