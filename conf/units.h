/* Times and sizes as they are written: "500ms", "64KiB". Pure. */
#ifndef WEIR_CONF_UNITS_H
#define WEIR_CONF_UNITS_H

#include "base/base.h"

enum units_result {
    UNITS_OK,
    UNITS_NO_UNIT,
    UNITS_MALFORMED,
    UNITS_TOO_LARGE
};

#define UNITS_BYTES 32 /* of text, the end included */

/* ms s m h d, or a bare 0. */
enum units_result units_parse_time(struct str text, int64_t *ms);
/* B KiB MiB GiB TiB, or a bare 0. */
enum units_result units_parse_size(struct str text, uint64_t *bytes);
/* In the largest unit that is exact; what the functions above read back. */
const char *units_format_time(char buffer[UNITS_BYTES], int64_t ms);
const char *units_format_size(char buffer[UNITS_BYTES], uint64_t bytes);

#endif
