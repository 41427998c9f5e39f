/* The scanners of net/http1_scan.h: the vector twins against the scalar ones, at every offset,
 * every length, every byte, and at the very end of readable memory. */
#include "net/http1_scan.h"
#include "tests/unit/net/http1_fixture.h"

#define SPAN 80

static const char *scan(enum http1_class class, const char *at, const char *end, const char *floor)
{
    switch (class) {
    case HTTP1_CLASS_TOKEN:
        return http1_scan_token(at, end, floor);
    case HTTP1_CLASS_VALUE:
        return http1_scan_value(at, end, floor);
    case HTTP1_CLASS_TARGET:
        return http1_scan_target(at, end, floor);
    case HTTP1_CLASS_HOST:
        return http1_scan_host(at, end, floor);
    }
    return NULL;
}

static const enum http1_class classes[] = {HTTP1_CLASS_TOKEN, HTTP1_CLASS_VALUE, HTTP1_CLASS_TARGET,
                                           HTTP1_CLASS_HOST};

static void compare_all(const char *floor, const char *end)
{
    for (unsigned i = 0; i < weir_count(classes); i++) {
        for (const char *at = floor; at <= end; at++)
            assert_ptr_equal(scan(classes[i], at, end, floor),
                             http1_scan_scalar(at, end, classes[i]));
    }
}

static void classes_are_those_of_the_rfcs(void **state)
{
    (void)state;
    const char *tchar = "!#$%&'*+-.^_`|~";
    const char *host = "-._~!$&'()*+,;=";
    for (int c = 0; c < 256; c++) {
        bool alphanumeric =
            (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool graphic = c > 0x20 && c < 0x7f;
        unsigned want = 0;
        if (alphanumeric || (c != 0 && strchr(tchar, c)))
            want |= HTTP1_CLASS_TOKEN;
        if (graphic || c == ' ' || c == '\t' || c >= 0x80)
            want |= HTTP1_CLASS_VALUE;
        if (graphic && c != '#')
            want |= HTTP1_CLASS_TARGET;
        if (alphanumeric || (c != 0 && strchr(host, c)))
            want |= HTTP1_CLASS_HOST;
        assert_int_equal(http1_classes[c], want);
    }
}

static void every_byte_at_every_place_in_every_length(void **state)
{
    (void)state;
    for (size_t len = 1; len <= 40; len++) {
        char *floor = guarded_end() - len;
        for (size_t place = 0; place < len; place++) {
            for (int c = 0; c < 256; c++) {
                memset(floor, 'a', len);
                floor[place] = (char)c;
                for (unsigned i = 0; i < weir_count(classes); i++)
                    assert_ptr_equal(scan(classes[i], floor, guarded_end(), floor),
                                     http1_scan_scalar(floor, guarded_end(), classes[i]));
            }
        }
    }
}

static void random_bytes_at_every_offset_and_length(void **state)
{
    (void)state;
    static const char likely[] = "abcXYZ019-._~!%&*+,;=:/?#[]@ \t\r\n\"<>\\^`{|}\x7f\x80\xff";
    for (unsigned round = 0; round < 300; round++) {
        for (size_t len = 0; len <= SPAN; len += 1 + random_u32() % 7) {
            char *floor = guarded_end() - len;
            bool rare = round & 1;
            for (size_t i = 0; i < len; i++)
                floor[i] =
                    rare && random_u32() % 24 ? 'q' : likely[random_u32() % (sizeof likely - 1)];
            compare_all(floor, guarded_end());
        }
    }
}

/* The last load reaches back before `at`: what lies there must not count. */
static void bytes_before_the_start_do_not_count(void **state)
{
    (void)state;
    char *end = guarded_end(), *floor = end - 48;
    for (size_t clean = 0; clean <= 48; clean++) {
        memset(floor, '\n', 48 - clean);
        memset(end - clean, 'a', clean);
        for (unsigned i = 0; i < weir_count(classes); i++)
            assert_ptr_equal(scan(classes[i], end - clean, end, floor), end);
    }
}

/* And before `floor` may lie no memory at all. */
static void nothing_before_the_floor_is_read(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *room = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(room, MAP_FAILED);
    assert_int_equal(mprotect(room, page, PROT_NONE), 0);
    memset(room + page, 'a', page);
    for (size_t len = 0; len <= 40; len++)
        compare_all(room + page, room + page + len);
    munmap(room, 2 * page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_are_those_of_the_rfcs),
        cmocka_unit_test(every_byte_at_every_place_in_every_length),
        cmocka_unit_test(random_bytes_at_every_offset_and_length),
        cmocka_unit_test(bytes_before_the_start_do_not_count),
        cmocka_unit_test(nothing_before_the_floor_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
