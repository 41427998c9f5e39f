/*
 * Structured fields (RFC 9651 §4.2): a strict parser of lists and dictionaries, which copies
 * nothing.
 *
 * Called for the fields whose rules are written in these terms: targeted cache control (RFC 9213).
 * Each function takes what it is named after off the front of the text, or finds it malformed; then
 * the text is left anywhere, as nothing of it may be used. Pure; owns nothing; any thread.
 */
#include "cache/structured.h"

#define INTEGER_DIGITS 15
#define DECIMAL_DIGITS 12 /* before the point */
#define FRACTION_DIGITS 3

/* ---- characters ------------------------------------------------------------------------------ */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_letter(char c)
{
    return is_lower((char)(c | 0x20));
}

static bool is_one_of(char c, const char *others)
{
    return c != '\0' && strchr(others, c) != NULL;
}

static bool is_key_char(char c)
{
    return is_lower(c) || is_digit(c) || is_one_of(c, "_-.*");
}

static bool is_token_char(char c)
{
    return ascii_is_tchar(c) || c == ':' || c == '/';
}

static bool is_base64_char(char c)
{
    return is_letter(c) || is_digit(c) || c == '+' || c == '/';
}

/* ---- parts ----------------------------------------------------------------------------------- */

static void skip(struct str *s, size_t count)
{
    s->ptr += count;
    s->len -= count;
}

static bool begins_with(struct str s, char c)
{
    return s.len > 0 && s.ptr[0] == c;
}

static bool take_char(struct str *s, char c)
{
    if (!begins_with(*s, c))
        return false;
    skip(s, 1);
    return true;
}

static struct str take_while(struct str *s, bool (*is_part)(char))
{
    struct str taken = str_of(s->ptr, 0);
    while (taken.len < s->len && is_part(s->ptr[taken.len]))
        taken.len++;
    skip(s, taken.len);
    return taken;
}

static void skip_spaces(struct str *s)
{
    while (take_char(s, ' '))
        continue;
}

/* OWS */
static void skip_white(struct str *s)
{
    while (begins_with(*s, ' ') || begins_with(*s, '\t'))
        skip(s, 1);
}

static int64_t to_number(struct str digits)
{
    uint64_t number = 0;
    str_to_u64(digits, UINT64_MAX, &number); /* at most 15 digits */
    return (int64_t)number;
}

/* ---- bare items (§4.2.3.1) ------------------------------------------------------------------- */

/* §4.2.4 */
static bool take_number(struct str *s, struct structured_value *out)
{
    bool negative = take_char(s, '-');
    struct str whole = take_while(s, is_digit);
    out->type = STRUCTURED_INTEGER;
    if (whole.len == 0 || whole.len > INTEGER_DIGITS)
        return false;
    out->number = to_number(whole);
    if (take_char(s, '.')) {
        struct str fraction = take_while(s, is_digit);
        out->type = STRUCTURED_DECIMAL;
        if (whole.len > DECIMAL_DIGITS || fraction.len == 0 || fraction.len > FRACTION_DIGITS)
            return false;
        int64_t thousandths = to_number(fraction);
        for (size_t digits = fraction.len; digits < FRACTION_DIGITS; digits++)
            thousandths *= 10;
        out->number = out->number * 1000 + thousandths;
    }
    if (negative)
        out->number = -out->number;
    return true;
}

/* §4.2.5 */
static bool take_string(struct str *s, struct structured_value *out)
{
    out->type = STRUCTURED_STRING;
    for (size_t i = 1; i < s->len; i++) {
        char c = s->ptr[i];
        if (c == '"') {
            out->text = str_of(s->ptr + 1, i - 1);
            skip(s, i + 1);
            return true;
        }
        if (c == '\\' && (++i == s->len || !is_one_of(s->ptr[i], "\"\\")))
            return false;
        if (c < 0x20 || c > 0x7e)
            return false;
    }
    return false;
}

/* §4.2.6; the first character is known to be right. */
static bool take_token(struct str *s, struct structured_value *out)
{
    out->type = STRUCTURED_TOKEN;
    out->text = take_while(s, is_token_char);
    return true;
}

/* §4.2.7. Padding may be missing, as parsers are to tolerate where they can. */
static bool take_bytes(struct str *s, struct structured_value *out)
{
    skip(s, 1);
    struct str content = take_while(s, is_base64_char);
    out->type = STRUCTURED_BYTES;
    out->text = content;
    if (content.len % 4 == 1)
        return false;
    while (begins_with(*s, '=') && out->text.len % 4 != 0) {
        skip(s, 1);
        out->text.len++;
    }
    return take_char(s, ':');
}

/* §4.2.8 */
static bool take_boolean(struct str *s, struct structured_value *out)
{
    skip(s, 1);
    out->type = STRUCTURED_BOOLEAN;
    out->number = begins_with(*s, '1');
    return take_char(s, '1') || take_char(s, '0');
}

/* §4.2.9 */
static bool take_date(struct str *s, struct structured_value *out)
{
    skip(s, 1);
    if (!take_number(s, out) || out->type != STRUCTURED_INTEGER)
        return false;
    out->type = STRUCTURED_DATE;
    return true;
}

/* The value of a lower-case hexadecimal digit, or -1. */
static int hex_value(char c)
{
    return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One byte of a display string, as itself or as %xx; -1: neither, or its end. */
static int take_display_byte(struct str *s)
{
    char c = s->len > 0 ? s->ptr[0] : '"';
    if (c < 0x20 || c > 0x7e || c == '"')
        return -1;
    if (c != '%') {
        skip(s, 1);
        return c;
    }
    if (s->len < 3 || hex_value(s->ptr[1]) < 0 || hex_value(s->ptr[2]) < 0)
        return -1;
    int byte = hex_value(s->ptr[1]) * 16 + hex_value(s->ptr[2]);
    skip(s, 3);
    return byte;
}

/* One character in UTF-8, whose bytes may be escaped. */
static bool take_display_char(struct str *s)
{
    char bytes[4];
    struct str ahead = *s;
    for (size_t len = 0; len < sizeof(bytes); len++) {
        int byte = take_display_byte(&ahead);
        if (byte < 0)
            return false;
        bytes[len] = (char)byte;
        if (str_utf8_sequence(str_of(bytes, len + 1)) > 0) {
            *s = ahead;
            return true;
        }
    }
    return false;
}

/* §4.2.10 */
static bool take_display_string(struct str *s, struct structured_value *out)
{
    out->type = STRUCTURED_DISPLAY_STRING;
    skip(s, 1);
    if (!take_char(s, '"'))
        return false;
    out->text = *s;
    while (take_display_char(s))
        continue;
    out->text.len = (size_t)(s->ptr - out->text.ptr);
    return take_char(s, '"');
}

static bool take_bare_item(struct str *s, struct structured_value *out)
{
    char c = s->len > 0 ? s->ptr[0] : '\0';
    *out = (struct structured_value){0};
    if (c == '-' || is_digit(c))
        return take_number(s, out);
    if (c == '*' || is_letter(c))
        return take_token(s, out);
    switch (c) {
    case '"':
        return take_string(s, out);
    case ':':
        return take_bytes(s, out);
    case '?':
        return take_boolean(s, out);
    case '@':
        return take_date(s, out);
    case '%':
        return take_display_string(s, out);
    default:
        return false;
    }
}

/* ---- keys, parameters, lists ----------------------------------------------------------------- */

/* §4.2.3.3 */
static bool take_key(struct str *s, struct str *key)
{
    if (s->len == 0 || !(is_lower(s->ptr[0]) || s->ptr[0] == '*'))
        return false;
    *key = take_while(s, is_key_char);
    return true;
}

/* §4.2.3.2 */
static bool take_parameters(struct str *s)
{
    struct structured_value value;
    struct str key;
    while (take_char(s, ';')) {
        skip_spaces(s);
        if (!take_key(s, &key) || (take_char(s, '=') && !take_bare_item(s, &value)))
            return false;
    }
    return true;
}

/* §4.2.3 */
static bool take_item(struct str *s, struct structured_value *out)
{
    return take_bare_item(s, out) && take_parameters(s);
}

/* §4.2.1.2 */
static bool take_inner_list(struct str *s, struct structured_value *out)
{
    struct structured_value item;
    struct str inside;
    skip(s, 1);
    inside = *s;
    for (;;) {
        skip_spaces(s);
        if (begins_with(*s, ')'))
            break;
        if (!take_item(s, &item) || !(begins_with(*s, ' ') || begins_with(*s, ')')))
            return false;
    }
    inside.len = (size_t)(s->ptr - inside.ptr);
    skip(s, 1);
    *out = (struct structured_value){.type = STRUCTURED_INNER_LIST, .text = inside};
    return take_parameters(s);
}

/* §4.2.1.1 */
static bool take_item_or_inner_list(struct str *s, struct structured_value *out)
{
    return begins_with(*s, '(') ? take_inner_list(s, out) : take_item(s, out);
}

/* What follows a member: the end, or a comma and another member. */
static bool take_separator(struct str *s)
{
    skip_white(s);
    if (s->len == 0)
        return true;
    if (!take_char(s, ','))
        return false;
    skip_white(s);
    return s->len > 0;
}

enum structured_found structured_list_next(struct str *rest, struct structured_value *member)
{
    skip_spaces(rest); /* §4.2; behind a comma it has been skipped */
    if (rest->len == 0)
        return STRUCTURED_END;
    if (!take_item_or_inner_list(rest, member) || !take_separator(rest))
        return STRUCTURED_MALFORMED;
    return STRUCTURED_MEMBER;
}

enum structured_found structured_dictionary_next(struct str *rest, struct str *key,
                                                 struct structured_value *member)
{
    skip_spaces(rest);
    if (rest->len == 0)
        return STRUCTURED_END;
    if (!take_key(rest, key))
        return STRUCTURED_MALFORMED;
    *member = (struct structured_value){.type = STRUCTURED_BOOLEAN, .number = 1};
    bool good =
        take_char(rest, '=') ? take_item_or_inner_list(rest, member) : take_parameters(rest);
    return good && take_separator(rest) ? STRUCTURED_MEMBER : STRUCTURED_MALFORMED;
}
