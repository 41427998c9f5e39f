/*
 * The loops that look at every byte of a head: where does this run of legal bytes end?
 *
 * Each scanner comes twice, vectorised (SSE2, which every x86-64 has) and scalar; the plain name is
 * the vector one where there is one. Both return the first byte in [at, end) that does not belong
 * to the run, or `end`. Nothing at or behind `end` is read; `floor` is where readable bytes begin
 * (floor <= at), so that the last few bytes before `end` are taken with one load that overlaps what
 * has been seen already.
 *
 * Only net/http1_*.c and their tests include this file. Pure functions: any thread.
 */
#ifndef WEIR_NET_HTTP1_SCAN_H
#define WEIR_NET_HTTP1_SCAN_H

#include "base/base.h"

#if defined(__SSE2__) && !defined(WEIR_HTTP1_SCALAR)
#define HTTP1_VECTOR 1
#include <emmintrin.h>
#else
#define HTTP1_VECTOR 0
#endif

/* What a byte may be part of. */
enum http1_class {
    HTTP1_CLASS_TOKEN = 1,  /* tchar, RFC 9110 §5.6.2 */
    HTTP1_CLASS_VALUE = 2,  /* field-vchar, SP and HTAB, RFC 9110 §5.5 */
    HTTP1_CLASS_TARGET = 4, /* VCHAR but "#" */
    HTTP1_CLASS_HOST = 8    /* unreserved and sub-delims, RFC 3986 §3.2.2 */
};
extern const uint8_t http1_classes[256];

static inline const char *http1_scan_scalar(const char *at, const char *end, enum http1_class class)
{
    while (at < end && http1_classes[(unsigned char)*at] & class)
        at++;
    return at;
}

#if HTTP1_VECTOR

/* 0xff where low <= byte <= high, both unsigned. */
static inline __m128i http1_between(__m128i bytes, unsigned char low, unsigned char high)
{
    __m128i offset = _mm_sub_epi8(bytes, _mm_set1_epi8((char)low));
    return _mm_cmpeq_epi8(_mm_min_epu8(offset, _mm_set1_epi8((char)(high - low))), offset);
}

static inline __m128i http1_equal(__m128i bytes, char c)
{
    return _mm_cmpeq_epi8(bytes, _mm_set1_epi8(c));
}

/* One bit for each byte that ends a field value: CTL but HTAB. */
static inline unsigned http1_stops_of_value(__m128i bytes)
{
    __m128i control = _mm_andnot_si128(http1_equal(bytes, '\t'), http1_between(bytes, 0, 0x1f));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(control, http1_equal(bytes, 0x7f)));
}

/* CTL, SP, "#" and what is not ASCII. The comparison is signed: bytes from 0x80 on are below SP. */
static inline unsigned http1_stops_of_target(__m128i bytes)
{
    __m128i graphic = _mm_cmpgt_epi8(bytes, _mm_set1_epi8(' '));
    __m128i never = _mm_or_si128(http1_equal(bytes, '#'), http1_equal(bytes, 0x7f));
    return (unsigned)_mm_movemask_epi8(_mm_andnot_si128(never, graphic)) ^ 0xffff;
}

static inline __m128i http1_alphanumeric(__m128i bytes)
{
    __m128i letter = http1_between(_mm_or_si128(bytes, _mm_set1_epi8(0x20)), 'a', 'z');
    return _mm_or_si128(letter, http1_between(bytes, '0', '9'));
}

/* These two stop at rare legal bytes as well; the scanner goes on from there byte by byte. */
static inline unsigned http1_stops_of_token(__m128i bytes)
{
    __m128i usual = _mm_or_si128(http1_alphanumeric(bytes), http1_equal(bytes, '-'));
    return (unsigned)_mm_movemask_epi8(usual) ^ 0xffff;
}

static inline unsigned http1_stops_of_host(__m128i bytes)
{
    __m128i usual = _mm_or_si128(http1_alphanumeric(bytes), http1_between(bytes, '-', '.'));
    return (unsigned)_mm_movemask_epi8(usual) ^ 0xffff;
}

static inline __attribute__((always_inline)) const char *http1_scan_vector(
    const char *at, const char *end, const char *floor, unsigned (*stops)(__m128i),
    enum http1_class class)
{
    while (end - at >= 16) {
        unsigned found = stops(_mm_loadu_si128((const __m128i *)at));
        if (found)
            return at + __builtin_ctz(found);
        at += 16;
    }
    if (at == end)
        return end;
    if (end - floor < 16)
        return http1_scan_scalar(at, end, class);
    unsigned found = stops(_mm_loadu_si128((const __m128i *)(end - 16))) >> (16 - (end - at));
    return found ? at + __builtin_ctz(found) : end;
}

static inline const char *http1_scan_token(const char *at, const char *end, const char *floor)
{
    at = http1_scan_vector(at, end, floor, http1_stops_of_token, HTTP1_CLASS_TOKEN);
    return http1_scan_scalar(at, end, HTTP1_CLASS_TOKEN);
}

static inline const char *http1_scan_value(const char *at, const char *end, const char *floor)
{
    return http1_scan_vector(at, end, floor, http1_stops_of_value, HTTP1_CLASS_VALUE);
}

static inline const char *http1_scan_target(const char *at, const char *end, const char *floor)
{
    return http1_scan_vector(at, end, floor, http1_stops_of_target, HTTP1_CLASS_TARGET);
}

static inline const char *http1_scan_host(const char *at, const char *end, const char *floor)
{
    at = http1_scan_vector(at, end, floor, http1_stops_of_host, HTTP1_CLASS_HOST);
    return http1_scan_scalar(at, end, HTTP1_CLASS_HOST);
}

#else

#define http1_scan_token(at, end, floor)                                                           \
    ((void)(floor), http1_scan_scalar(at, end, HTTP1_CLASS_TOKEN))
#define http1_scan_value(at, end, floor)                                                           \
    ((void)(floor), http1_scan_scalar(at, end, HTTP1_CLASS_VALUE))
#define http1_scan_target(at, end, floor)                                                          \
    ((void)(floor), http1_scan_scalar(at, end, HTTP1_CLASS_TARGET))
#define http1_scan_host(at, end, floor)                                                            \
    ((void)(floor), http1_scan_scalar(at, end, HTTP1_CLASS_HOST))

#endif

#endif
