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
 *                  nothing changes. Accept-Encoding is reduced to what matters, see below.
 *
 * Absent and empty differ. The same bytes are the same variant, and other bytes are another one.
 * Pure; owns nothing; any thread.
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

/* ---- Accept-Encoding --------------------------------------------------------------------------
 *
 * RFC 9111 §4.1 lets a cache match what means the same by the field's own specification, which is
 * RFC 9110 §12.5.3: a set of codings with weights, so that an origin has the same choice from
 *
 *   names in any case, and x-gzip and x-compress for gzip and compress (§8.4.1);
 *   a weight of 1 in any spelling or left out, and others without their last zeros (§12.4.2);
 *   any order (weights alone tell a preference), and a coding named twice with one weight.
 *
 * Without "*", which speaks of all that is not named, two more change nothing:
 *
 *   a coding of weight 0: one that is not named is not acceptable either;
 *   identity with a weight above 0 and below all others: it is acceptable without being named,
 *   where nothing that is named can be had. Of equal weight it could be chosen before another, so
 *   there it stays; and identity;q=0 stays, as it forbids what is allowed by default.
 *
 * What is malformed, in conflict, or longer than anyone sends is compared as it was sent. */

#define CODINGS_MOST 16
#define CODING_NAME_MOST 32
#define WEIGHT_ONE 1000u

struct coding {
    struct str name;
    unsigned rank;   /* where it stands in the reduced list, before the name decides */
    unsigned weight; /* in thousandths */
};

struct codings {
    struct coding list[CODINGS_MOST];
    unsigned count;
};

/* In the order of browsers, so that what they send is in its reduced form already. */
static const struct str usual_codings[] = {{"gzip", 4}, {"deflate", 7}, {"br", 2}, {"zstd", 4}};

/* qvalue (RFC 9110 §12.4.2). */
static bool read_weight(struct str s, unsigned *weight)
{
    unsigned place = WEIGHT_ONE;
    if (s.len == 0 || s.len > 5 || (s.ptr[0] != '0' && s.ptr[0] != '1') ||
        (s.len > 1 && s.ptr[1] != '.'))
        return false;
    *weight = s.ptr[0] == '1' ? WEIGHT_ONE : 0;
    for (size_t i = 2; i < s.len; i++) {
        unsigned digit = (unsigned char)s.ptr[i] - (unsigned)'0';
        if (digit > 9)
            return false;
        place /= 10;
        *weight += digit * place;
    }
    return *weight <= WEIGHT_ONE;
}

/* codings [ OWS ";" OWS "q=" qvalue ] */
static bool read_coding(struct str member, struct coding *coding)
{
    const char *semicolon = memchr(member.ptr, ';', member.len);
    coding->name = member;
    coding->weight = WEIGHT_ONE;
    if (semicolon != NULL) {
        struct str weight = str_of(semicolon + 1, member.len - 1);
        coding->name.len = (size_t)(semicolon - member.ptr);
        weight.len -= coding->name.len;
        coding->name = str_trim(coding->name);
        weight = str_trim(weight);
        if (weight.len < 2 || ascii_lower(weight.ptr[0]) != 'q' || weight.ptr[1] != '=' ||
            !read_weight(str_of(weight.ptr + 2, weight.len - 2), &coding->weight))
            return false;
    }
    if (coding->name.len > CODING_NAME_MOST || !policy_is_token(coding->name))
        return false;
    if (str_equal_nocase(coding->name, STR("x-gzip")) ||
        str_equal_nocase(coding->name, STR("x-compress")))
        coding->name = str_of(coding->name.ptr + 2, coding->name.len - 2);
    coding->rank = 0;
    while (coding->rank < weir_count(usual_codings) &&
           !str_equal_nocase(coding->name, usual_codings[coding->rank]))
        coding->rank++;
    return true;
}

static int compare_codings(const struct coding *a, const struct coding *b)
{
    if (a->rank != b->rank || a->rank < weir_count(usual_codings))
        return (int)a->rank - (int)b->rank;
    for (size_t i = 0; i < a->name.len && i < b->name.len; i++) {
        int difference = ascii_lower(a->name.ptr[i]) - ascii_lower(b->name.ptr[i]);
        if (difference != 0)
            return difference;
    }
    return (int)a->name.len - (int)b->name.len;
}

/* Into its place. False when it is there with another weight, or there is no room. */
static bool add_coding(struct codings *codings, const struct coding *coding)
{
    unsigned at = codings->count;
    int difference = 1;
    while (at > 0 && (difference = compare_codings(coding, &codings->list[at - 1])) < 0)
        at--;
    if (difference == 0)
        return coding->weight == codings->list[at - 1].weight;
    if (codings->count == CODINGS_MOST)
        return false;
    memmove(&codings->list[at + 1], &codings->list[at],
            (codings->count - at) * sizeof(codings->list[0]));
    codings->list[at] = *coding;
    codings->count++;
    return true;
}

static bool is_coding(const struct coding *coding, struct str name)
{
    return str_equal_nocase(coding->name, name);
}

/* Leaves out what means the same when it is not there. */
static void drop_needless(struct codings *codings)
{
    unsigned least = WEIGHT_ONE + 1, kept = 0;
    for (unsigned i = 0; i < codings->count; i++) {
        const struct coding *coding = &codings->list[i];
        if (is_coding(coding, STR("*")))
            return;
        if (coding->weight > 0 && coding->weight < least && !is_coding(coding, STR("identity")))
            least = coding->weight;
    }
    for (unsigned i = 0; i < codings->count; i++) {
        struct coding coding = codings->list[i];
        bool identity = is_coding(&coding, STR("identity"));
        if (identity ? coding.weight == 0 || coding.weight >= least : coding.weight > 0)
            codings->list[kept++] = coding;
    }
    codings->count = kept;
}

/* All lines of Accept-Encoding from s on. False when it is to be compared as sent. */
static bool read_codings(struct selecting s, struct codings *codings)
{
    const struct field *line;
    codings->count = 0;
    while ((line = next_line(&s)) != NULL) {
        struct str rest = field_value(line), member;
        while (str_list_next(&rest, &member)) {
            struct coding coding;
            if (!read_coding(member, &coding) || !add_coding(codings, &coding))
                return false;
        }
    }
    drop_needless(codings);
    return true;
}

static void append_codings(struct appender *out, const struct codings *codings)
{
    for (unsigned i = 0; i < codings->count; i++) {
        unsigned weight = codings->list[i].weight;
        if (i > 0)
            append_lit(out, ", ");
        append_lower(out, codings->list[i].name);
        if (weight == WEIGHT_ONE)
            continue;
        append_lit(out, ";q=0");
        for (unsigned place = WEIGHT_ONE; weight > 0; weight %= place) {
            char digit;
            if (place == WEIGHT_ONE)
                append_lit(out, ".");
            place /= 10;
            digit = (char)('0' + weight / place);
            append(out, &digit, 1);
        }
    }
}

/* Clients send the same few values over and over: each thread remembers some and what they come
 * to, so that a hit need not read them. */
#define REMEMBERED_BYTES 62
#define REMEMBERED 16

struct remembered {
    uint8_t sent_len, reduced_len;
    char sent[REMEMBERED_BYTES], reduced[REMEMBERED_BYTES];
};

static _Thread_local struct remembered remembered[REMEMBERED];

/* The reduced form of all that a request has of the field, where that is one line. False: it is
 * long, or compared as it was sent. */
static bool recall(const struct field *line, struct str *reduced)
{
    struct str sent = field_value(line);
    if (sent.len > REMEMBERED_BYTES)
        return false;
    char last = sent.len > 0 ? sent.ptr[sent.len - 1] : '\0';
    struct remembered *row = &remembered[(sent.len ^ (unsigned char)last) % REMEMBERED];
    if (!str_equal(str_of(row->sent, row->sent_len), sent)) {
        struct selecting alone = {.request = {line, 1}, .id = FIELD_ACCEPT_ENCODING};
        struct appender out = appender_on(row->reduced, REMEMBERED_BYTES);
        struct codings codings;
        if (!read_codings(alone, &codings))
            return false;
        append_codings(&out, &codings);
        row->sent_len = out.overflow ? 0 : (uint8_t)sent.len;
        row->reduced_len = out.overflow ? 0 : (uint8_t)out.len;
        if (out.overflow)
            return false;
        memcpy(row->sent, sent.ptr, sent.len);
    }
    *reduced = str_of(row->reduced, row->reduced_len);
    return true;
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

static void append_value(struct appender *out, struct selecting *s, struct entry *entry)
{
    const struct field *line;
    struct codings codings;
    size_t start = out->len;
    bool reduced = s->id == FIELD_ACCEPT_ENCODING && read_codings(*s, &codings);
    if (reduced)
        append_codings(out, &codings);
    while ((line = next_line(s)) != NULL) {
        struct str rest = field_value(line), member;
        entry->value_len = 0;
        while (!reduced && str_list_next(&rest, &member)) {
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

static bool codings_match(const struct codings *codings, struct str wanted)
{
    char bytes[CODINGS_MOST * (CODING_NAME_MOST + sizeof(", ;q=0.999"))];
    struct appender reduced = appender_on(bytes, sizeof(bytes));
    append_codings(&reduced, codings);
    return str_equal(str_of(bytes, reduced.len), wanted);
}

static bool entry_matches(const struct entry *entry, struct selecting *s, struct str wanted)
{
    const struct selecting all = *s;
    struct codings codings;
    struct str reduced;
    const struct field *line = next_line(s);
    if (line == NULL)
        return entry->value_len == ABSENT;
    if (entry->value_len == ABSENT)
        return false;
    const struct field *next = next_line(s);
    /* As most clients send it, it is normalised already. */
    if (next == NULL && str_equal(field_value(line), wanted))
        return true;
    if (s->id == FIELD_ACCEPT_ENCODING) {
        if (next == NULL && recall(line, &reduced))
            return str_equal(reduced, wanted);
        if (read_codings(all, &codings))
            return codings_match(&codings, wanted);
    }
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
