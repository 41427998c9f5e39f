/* Dates: what is read is written and read again as the same second. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static void check_round_trip(int64_t wall_s, int64_t now_s)
{
    char out[DATE_BYTES], again[DATE_BYTES];
    int64_t read_s;
    date_format(wall_s, out);
    weir_assert(date_parse(str_of(out, sizeof out), now_s, &read_s));
    date_format(read_s, again);
    weir_assert(memcmp(out, again, sizeof out) == 0);
    if (wall_s >= -62167219200 && wall_s < 253402300800)
        weir_assert(read_s == wall_s);
}

/* 8 bytes of a time to be written; then a text to be read. */
void fuzz_date(const uint8_t *bytes, size_t len)
{
    const int64_t now_s = 1700000000;
    int64_t wall_s, again_s;
    if (len >= sizeof(wall_s)) {
        memcpy(&wall_s, bytes, sizeof(wall_s));
        check_round_trip(wall_s, now_s);
        bytes += sizeof(wall_s);
        len -= sizeof(wall_s);
    }
    char *text = fuzz_exact_copy(bytes, len);
    if (date_parse(str_of(text, len), now_s, &wall_s)) {
        /* Again, which may be answered from memory. */
        weir_assert(date_parse(str_of(text, len), now_s, &again_s) && again_s == wall_s);
        weir_assert(wall_s >= -62167219200 && wall_s <= 253402300800);
        if (wall_s < 253402300800)
            check_round_trip(wall_s, now_s);
    }
    free(text);
}
