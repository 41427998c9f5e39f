/*
 * Dates as HTTP writes them (RFC 9110 §5.6.7): read in three forms, written in one.
 *
 *   IMF-fixdate   Sun, 06 Nov 1994 08:49:37 GMT
 *   rfc850-date   Sunday, 06-Nov-94 08:49:37 GMT
 *   asctime-date  Sun Nov  6 08:49:37 1994
 *
 * Called by cache policy for Date, Expires, Last-Modified and the conditions, and by whoever writes
 * a Date. Pure arithmetic: no time zone, no locale, no lock. Owns nothing; any thread.
 */
#include "base/base.h"

#define DAY_S 86400

static const char day_names[7][10] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                      "Thursday", "Friday", "Saturday"};
static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

struct civil {
    int64_t year;
    unsigned month, day; /* from 1 */
    unsigned hour, minute, second;
};

/* Days since 1970-01-01. Years begin in March here, so that the leap day is a year's last. */
static int64_t days_from_civil(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static int64_t wall_from_civil(const struct civil *c)
{
    return days_from_civil(c->year, c->month, c->day) * DAY_S + c->hour * 3600 + c->minute * 60 +
           c->second;
}

/* The inverse; returns the day of the week, 0 for Sunday. */
static unsigned civil_from_wall(int64_t wall_s, struct civil *c)
{
    int64_t days = wall_s / DAY_S - (wall_s % DAY_S < 0);
    unsigned second_of_day = (unsigned)(wall_s - days * DAY_S);
    int64_t shifted = days + 719468;
    int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
    int64_t day_of_era = shifted - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year =
        (unsigned)(day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100));
    unsigned march_month = (5 * day_of_year + 2) / 153;
    c->day = day_of_year - (153 * march_month + 2) / 5 + 1;
    c->month = march_month < 10 ? march_month + 3 : march_month - 9;
    c->year = year_of_era + era * 400 + (c->month <= 2);
    c->hour = second_of_day / 3600;
    c->minute = second_of_day / 60 % 60;
    c->second = second_of_day % 60;
    return (unsigned)(((days + 4) % 7 + 7) % 7);
}

static bool is_leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static bool has_day(const struct civil *c)
{
    static const unsigned char days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    unsigned last = days[c->month - 1] + (c->month == 2 && is_leap(c->year));
    return c->day >= 1 && c->day <= last;
}

/* ---- the parts, each taken off the front of the text ---- */

/* Any case: RFC 9111 §4.2 asks that of a cache, though the grammar is case-sensitive. */
static bool take_text(struct str *s, const char *text, size_t len)
{
    if (s->len < len || !str_equal_nocase(str_of(s->ptr, len), str_of(text, len)))
        return false;
    s->ptr += len;
    s->len -= len;
    return true;
}

#define take_lit(s, literal) take_text((s), "" literal, sizeof(literal) - 1)

static bool take_digits(struct str *s, unsigned count, unsigned *value)
{
    *value = 0;
    if (s->len < count)
        return false;
    for (unsigned i = 0; i < count; i++) {
        unsigned digit = (unsigned char)s->ptr[i] - (unsigned)'0';
        if (digit > 9)
            return false;
        *value = *value * 10 + digit;
    }
    s->ptr += count;
    s->len -= count;
    return true;
}

static bool take_month(struct str *s, unsigned *month)
{
    for (*month = 1; *month <= 12; ++*month) {
        if (take_text(s, month_names + (*month - 1) * 3, 3))
            return true;
    }
    return false;
}

static bool take_time(struct str *s, struct civil *c)
{
    return take_digits(s, 2, &c->hour) && take_lit(s, ":") && take_digits(s, 2, &c->minute) &&
           take_lit(s, ":") && take_digits(s, 2, &c->second) && c->hour < 24 && c->minute < 60 &&
           c->second <= 60; /* a leap second */
}

static bool take_year(struct str *s, struct civil *c)
{
    unsigned year;
    bool taken = take_digits(s, 4, &year);
    c->year = year;
    return taken;
}

/* The latest year with these two digits that is not more than 50 years ahead (RFC 9110 §5.6.7). */
static int64_t year_from_two_digits(struct civil c, unsigned digits, int64_t wall_now_s)
{
    struct civil ahead;
    civil_from_wall(wall_now_s, &ahead);
    int64_t century = ahead.year - ahead.year % 100;
    ahead.year += 50;
    c.year = century + 100 + digits;
    while (wall_from_civil(&c) > wall_from_civil(&ahead))
        c.year -= 100;
    return c.year;
}

static bool parse_fixdate(struct str s, struct civil *c)
{
    return take_lit(&s, ", ") && take_digits(&s, 2, &c->day) && take_lit(&s, " ") &&
           take_month(&s, &c->month) && take_lit(&s, " ") && take_year(&s, c) &&
           take_lit(&s, " ") && take_time(&s, c) && take_lit(&s, " GMT") && s.len == 0;
}

static bool parse_rfc850(struct str s, int64_t wall_now_s, struct civil *c)
{
    unsigned year;
    if (!take_lit(&s, ", ") || !take_digits(&s, 2, &c->day) || !take_lit(&s, "-") ||
        !take_month(&s, &c->month) || !take_lit(&s, "-") || !take_digits(&s, 2, &year) ||
        !take_lit(&s, " ") || !take_time(&s, c) || !take_lit(&s, " GMT") || s.len > 0)
        return false;
    c->year = year_from_two_digits(*c, year, wall_now_s);
    return true;
}

static bool parse_asctime(struct str s, struct civil *c)
{
    return take_lit(&s, " ") && take_month(&s, &c->month) && take_lit(&s, " ") &&
           (take_digits(&s, 2, &c->day) || (take_lit(&s, " ") && take_digits(&s, 1, &c->day))) &&
           take_lit(&s, " ") && take_time(&s, c) && take_lit(&s, " ") && take_year(&s, c) &&
           s.len == 0;
}

/* The day of the week must be one, but need not be the right one: it says nothing that the date
 * does not. */
/* A proxy reads the same Date over and over: every response of a second bears it. Only the fixed
 * form, which does not depend on now, is remembered. */
static _Thread_local struct {
    char text[DATE_BYTES];
    int64_t wall_s;
} last_read;

static bool is_last_read(struct str text, int64_t *wall_s)
{
    if (text.len != DATE_BYTES || memcmp(text.ptr, last_read.text, DATE_BYTES) != 0)
        return false;
    *wall_s = last_read.wall_s;
    return true;
}

bool date_parse(struct str text, int64_t wall_now_s, int64_t *wall_s)
{
    struct civil c = {0};
    bool parsed = false, fixed = false;

    if (is_last_read(text, wall_s))
        return true;
    for (unsigned i = 0; i < weir_count(day_names) && !parsed; i++) {
        struct str rest = text;
        if (take_text(&rest, day_names[i], strlen(day_names[i])))
            parsed = parse_rfc850(rest, wall_now_s, &c);
        else if (take_text(&rest, day_names[i], 3))
            parsed = (fixed = parse_fixdate(rest, &c)) || parse_asctime(rest, &c);
    }
    if (!parsed || !has_day(&c))
        return false;
    *wall_s = wall_from_civil(&c);
    if (fixed && text.len == DATE_BYTES) {
        memcpy(last_read.text, text.ptr, DATE_BYTES);
        last_read.wall_s = *wall_s;
    }
    return true;
}

/* ---- writing ---- */

static char *put_two(char *p, unsigned value)
{
    *p++ = (char)('0' + value / 10);
    *p++ = (char)('0' + value % 10);
    return p;
}

static char *put_text(char *p, const char *text, size_t len)
{
    memcpy(p, text, len);
    return p + len;
}

void date_format(int64_t wall_s, char out[DATE_BYTES])
{
    /* The form has four digits for the year. */
    static const int64_t year_0_s = -62167219200, year_10000_s = 253402300800;
    if (wall_s < year_0_s)
        wall_s = year_0_s;
    if (wall_s >= year_10000_s)
        wall_s = year_10000_s - 1;

    struct civil c;
    unsigned day_of_week = civil_from_wall(wall_s, &c);
    char *p = put_text(out, day_names[day_of_week], 3);
    p = put_text(p, ", ", 2);
    p = put_two(p, c.day);
    *p++ = ' ';
    p = put_text(p, month_names + (c.month - 1) * 3, 3);
    *p++ = ' ';
    p = put_two(p, (unsigned)(c.year / 100));
    p = put_two(p, (unsigned)(c.year % 100));
    *p++ = ' ';
    p = put_two(p, c.hour);
    *p++ = ':';
    p = put_two(p, c.minute);
    *p++ = ':';
    p = put_two(p, c.second);
    put_text(p, " GMT", 4);
}
