/*
 * Times and sizes as users write them.
 *
 * Called by values.c to read and to show settings, on any thread. A number without its unit is
 * refused (0 apart), because readers of a file would take it for different things; so are KB and
 * MB, which some take for 1000 and some for 1024.
 */
#include "conf/units.h"

#include <inttypes.h>
#include <stdio.h>

struct unit {
    struct str name;
    uint64_t factor;
};

/* Smallest first; the last exact one is shown. */
static const struct unit time_units[] = {
    {{"ms", 2}, 1}, {{"s", 1}, 1000}, {{"m", 1}, 60000}, {{"h", 1}, 3600000}, {{"d", 1}, 86400000},
};

static const struct unit size_units[] = {
    {{"B", 1}, 1},
    {{"KiB", 3}, 1ull << 10},
    {{"MiB", 3}, 1ull << 20},
    {{"GiB", 3}, 1ull << 30},
    {{"TiB", 3}, 1ull << 40},
};

static enum units_result parse(struct str text, const struct unit *units, size_t count,
                               uint64_t *value)
{
    size_t digits = 0;
    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
        digits++;
    if (digits == 0)
        return UNITS_MALFORMED;
    uint64_t number;
    bool fits = str_to_u64(str_of(text.ptr, digits), INT64_MAX, &number);
    struct str unit = str_of(text.ptr + digits, text.len - digits);
    if (unit.len == 0) {
        *value = 0;
        return fits && number == 0 ? UNITS_OK : UNITS_NO_UNIT;
    }
    for (size_t i = 0; i < count; i++) {
        if (!str_equal(unit, units[i].name))
            continue;
        if (!fits || number > INT64_MAX / units[i].factor)
            return UNITS_TOO_LARGE;
        *value = number * units[i].factor;
        return UNITS_OK;
    }
    return UNITS_MALFORMED;
}

static const char *format(char buffer[UNITS_BYTES], const struct unit *units, size_t count,
                          uint64_t value)
{
    size_t best = 0;
    for (size_t i = 1; i < count && value > 0; i++) {
        if (value % units[i].factor == 0)
            best = i;
    }
    snprintf(buffer, UNITS_BYTES, "%" PRIu64 "%s", value / units[best].factor,
             units[best].name.ptr);
    return buffer;
}

enum units_result units_parse_time(struct str text, int64_t *ms)
{
    uint64_t value = 0;
    enum units_result result = parse(text, time_units, weir_count(time_units), &value);
    if (result == UNITS_OK)
        *ms = (int64_t)value;
    return result;
}

enum units_result units_parse_size(struct str text, uint64_t *bytes)
{
    uint64_t value = 0;
    enum units_result result = parse(text, size_units, weir_count(size_units), &value);
    if (result == UNITS_OK)
        *bytes = value;
    return result;
}

const char *units_format_time(char buffer[UNITS_BYTES], int64_t ms)
{
    if (ms == 0)
        return strcpy(buffer, "0s");
    return format(buffer, time_units, weir_count(time_units), (uint64_t)ms);
}

const char *units_format_size(char buffer[UNITS_BYTES], uint64_t bytes)
{
    return format(buffer, size_units, weir_count(size_units), bytes);
}
