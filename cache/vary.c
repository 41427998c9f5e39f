/*
 * Vary: which requests a stored response answers (RFC 9111 §4.1). cache_vary_build() runs once for
 * each response that is stored and has the field, cache_vary_matches() for each candidate of a
 * lookup under the shard's lock: it allocates nothing and stops at the first difference.
 *
 * The bytes are entries without alignment, one for each name, in the order of first mention:
 *
 *   struct entry   id and length of the name, length of the value (ABSENT: no such field was sent)
 *   name           in lower case
 *   value          normalised: the members of all lines of that name with ", " between them,
 *                  without other white space around them and without empty ones. Inside quotes
 *                  nothing changes.
 *
 * Absent and empty differ. Pure; owns nothing; any thread.
 */
#include "cache/policy.h"

#define NAMES_MOST 32
#define ABSENT UINT32_MAX

struct entry {
    uint16_t id; /* enum field_id */
    uint16_t name_len;
    uint32_t value_len;
};

/* The lines of one name in a request. */
struct selecting {
    struct fields request;
    struct str name;
    enum field_id id;
    unsigned at;
};

static const struct field *next_line(struct selecting *s)
{
    while (s->at < s->request.count) {
        const struct field *f = &s->request.list[s->at++];
        if (f->id == s->id && (f->id != FIELD_OTHER || str_equal_nocase(field_name(f), s->name)))
            return f;
    }
    return NULL;
}

/* ---- building -------------------------------------------------------------------------------- */

/* Takes the next entry off *rest. False at the end. */
static bool next_entry(struct str *rest, struct entry *entry, struct str *name, struct str *value)
{
    if (rest->len == 0)
        return false;
    weir_assert(rest->len >= sizeof(*entry));
    memcpy(entry, rest->ptr, sizeof(*entry));
    size_t value_len = entry->value_len == ABSENT ? 0 : entry->value_len;
    size_t taken = sizeof(*entry) + entry->name_len + value_len;
    weir_assert(taken <= rest->len);
    *name = str_of(rest->ptr + sizeof(*entry), entry->name_len);
    *value = str_of(name->ptr + name->len, value_len);
    rest->ptr += taken;
    rest->len -= taken;
    return true;
}

static bool has_name(struct str vary, struct str wanted)
{
    struct entry entry;
    struct str name, value;
    while (next_entry(&vary, &entry, &name, &value)) {
        if (str_equal_nocase(name, wanted))
            return true;
    }
    return false;
}

static void append_lower(struct appender *out, struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = ascii_lower(s.ptr[i]);
        append(out, &c, 1);
    }
}

static void append_value(struct appender *out, struct selecting *s, struct entry *entry)
{
    const struct field *line;
    size_t start = out->len;
    while ((line = next_line(s)) != NULL) {
        struct str rest = field_value(line), member;
        entry->value_len = 0;
        while (str_list_next(&rest, &member)) {
            if (out->len > start)
                append_lit(out, ", ");
            append_str(out, member);
        }
    }
    if (entry->value_len != ABSENT)
        entry->value_len = (uint32_t)(out->len - start);
}

static void append_entry(struct appender *out, struct fields request, struct str name)
{
    struct entry entry = {
        .id = (uint16_t)field_identify(name.ptr, name.len),
        .name_len = (uint16_t)name.len,
        .value_len = ABSENT,
    };
    struct selecting s = {.request = request, .name = name, .id = entry.id};
    size_t start = out->len;
    append(out, (const char *)&entry, sizeof(entry));
    append_lower(out, name);
    append_value(out, &s, &entry);
    if (!out->overflow)
        memcpy(out->ptr + start, &entry, sizeof(entry)); /* now that the length is known */
}

bool cache_vary_build(struct fields response, struct fields request, struct appender *out)
{
    size_t start = out->len;
    unsigned names = 0;
    for (const struct field *f = response.list, *end = f + response.count; f < end; f++) {
        struct str rest = field_value(f), name;
        while (f->id == FIELD_VARY && str_list_next(&rest, &name)) {
            if (str_equal(name, STR("*")) || !policy_is_token(name) || name.len > UINT16_MAX)
                return false;
            if (has_name(str_of(out->ptr + start, out->len - start), name))
                continue;
            if (++names > NAMES_MOST)
                return false;
            append_entry(out, request, name);
            if (out->overflow)
                return false;
        }
    }
    return true;
}

bool cache_vary_append_value(struct fields request, struct str name, struct appender *out)
{
    struct entry entry = {.value_len = ABSENT};
    struct selecting s = {
        .request = request, .name = name, .id = field_identify(name.ptr, name.len)};
    append_value(out, &s, &entry);
    return entry.value_len != ABSENT;
}

/* ---- matching -------------------------------------------------------------------------------- */

/* Takes `start` off the front of *rest; false when it does not begin so. */
static bool take(struct str *rest, struct str start)
{
    if (rest->len < start.len || memcmp(rest->ptr, start.ptr, start.len) != 0)
        return false;
    rest->ptr += start.len;
    rest->len -= start.len;
    return true;
}

/* Takes the members of one line off what is left of a stored value. */
static bool take_members(struct str line, struct str *wanted, bool *first)
{
    struct str member;
    while (str_list_next(&line, &member)) {
        if (!*first && !take(wanted, STR(", ")))
            return false;
        if (!take(wanted, member))
            return false;
        *first = false;
    }
    return true;
}

static bool entry_matches(const struct entry *entry, struct selecting *s, struct str wanted)
{
    const struct field *line = next_line(s);
    if (line == NULL)
        return entry->value_len == ABSENT;
    if (entry->value_len == ABSENT)
        return false;
    const struct field *next = next_line(s);
    /* As most clients send it, it is normalised already. */
    if (next == NULL && str_equal(field_value(line), wanted))
        return true;
    bool first = true;
    for (; line != NULL; line = next, next = next ? next_line(s) : NULL) {
        if (!take_members(field_value(line), &wanted, &first))
            return false;
    }
    return wanted.len == 0;
}

bool cache_vary_matches(struct str vary, struct fields request)
{
    struct entry entry;
    struct str name, value;
    while (next_entry(&vary, &entry, &name, &value)) {
        struct selecting s = {.request = request, .name = name, .id = entry.id};
        if (!entry_matches(&entry, &s, value))
            return false;
    }
    return true;
}
