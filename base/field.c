/*
 * Field names and methods: which of the known ones a name is, and what is known about it.
 *
 * The parser calls field_identify() for each field line, so that nobody compares names later. It is
 * a perfect hash over length and three letters, then one comparison, eight bytes at a time. The
 * table is made before main() from FIELD_TABLE, with the first multiplier that brings no two names
 * together: a new row needs no other change. From then on it is only read, by any thread. Owns
 * nothing else.
 */
#include "base/base.h"

#define NAME_MAX_BYTES 24 /* no name of the table is longer */
#define HASH_BITS 9

struct known_name {
    char lower[NAME_MAX_BYTES];
    char exact[NAME_MAX_BYTES]; /* bits that must be equal: all, but for the one of a letter's case
                                 */
    size_t len;
};

static const struct str names[FIELD_IDS] = {
#define X(symbol, name) [FIELD_##symbol] = {name, sizeof(name) - 1},
    FIELD_TABLE(X)
#undef X
};

static struct known_name known[FIELD_IDS];
static uint8_t ids_by_hash[1 << HASH_BITS];
static uint32_t multiplier;

_Static_assert(FIELD_IDS <= UINT8_MAX, "ids_by_hash holds bytes");

/* Letters of both cases give the same; other characters that do are told apart by the comparison.
 */
static uint32_t hash_name(const char *name, size_t len)
{
    uint32_t key = (uint32_t)len << 24 | (uint32_t)(name[0] & 0x1f) << 16 |
                   (uint32_t)(name[len / 2] & 0x1f) << 8 | (uint32_t)(name[len - 1] & 0x1f);
    return key * multiplier >> (32 - HASH_BITS);
}

static bool fill_hash_table(void)
{
    memset(ids_by_hash, FIELD_OTHER, sizeof ids_by_hash);
    for (unsigned id = FIELD_OTHER + 1; id < FIELD_IDS; id++) {
        uint8_t *place = &ids_by_hash[hash_name(names[id].ptr, names[id].len)];
        if (*place != FIELD_OTHER)
            return false;
        *place = (uint8_t)id;
    }
    return true;
}

__attribute__((constructor)) static void make_tables(void)
{
    for (unsigned id = FIELD_OTHER + 1; id < FIELD_IDS; id++) {
        struct known_name *row = &known[id];
        weir_assert(names[id].len <= NAME_MAX_BYTES);
        row->len = names[id].len;
        for (size_t i = 0; i < row->len; i++) {
            char c = ascii_lower(names[id].ptr[i]);
            row->lower[i] = c;
            row->exact[i] = c >= 'a' && c <= 'z' ? (char)~0x20 : (char)~0;
        }
    }
    multiplier = 0x9e3779b1u;
    for (unsigned tries = 0; !fill_hash_table(); tries++) {
        weir_assert(tries < 100000); /* two names of one length share all three letters */
        multiplier += 0x61c88646u;
    }
}

static bool same_8(const struct known_name *row, const char *name, size_t at)
{
    uint64_t want, exact, have;
    memcpy(&want, row->lower + at, 8);
    memcpy(&exact, row->exact + at, 8);
    memcpy(&have, name + at, 8);
    return ((have ^ want) & exact) == 0;
}

static bool same_4(const struct known_name *row, const char *name, size_t at)
{
    uint32_t want, exact, have;
    memcpy(&want, row->lower + at, 4);
    memcpy(&exact, row->exact + at, 4);
    memcpy(&have, name + at, 4);
    return ((have ^ want) & exact) == 0;
}

/* Both of row->len bytes; the last step overlaps the one before, so that nothing is read past the
 * end. */
static bool same_name(const struct known_name *row, const char *name)
{
    size_t len = row->len;
    if (len >= 8) {
        for (size_t at = 0; at + 8 < len; at += 8) {
            if (!same_8(row, name, at))
                return false;
        }
        return same_8(row, name, len - 8);
    }
    if (len >= 4)
        return same_4(row, name, 0) && same_4(row, name, len - 4);
    for (size_t i = 0; i < len; i++) {
        if ((name[i] ^ row->lower[i]) & row->exact[i])
            return false;
    }
    return true;
}

enum field_id field_identify(const char *name, size_t len)
{
    if (weir_unlikely(len - 1 >= NAME_MAX_BYTES))
        return FIELD_OTHER;
    unsigned id = ids_by_hash[hash_name(name, len)];
    return known[id].len == len && same_name(&known[id], name) ? (enum field_id)id : FIELD_OTHER;
}

struct str field_id_name(enum field_id id)
{
    weir_assert(id < FIELD_IDS);
    return names[id];
}

const struct field *fields_first(struct fields fields, enum field_id id)
{
    for (unsigned i = 0; i < fields.count; i++) {
        if (fields.list[i].id == id)
            return &fields.list[i];
    }
    return NULL;
}

const struct field *fields_next(struct fields fields, struct str name, unsigned *at)
{
    while (*at < fields.count) {
        const struct field *field = &fields.list[(*at)++];
        if (str_equal_nocase(field_name(field), name))
            return field;
    }
    return NULL;
}

bool field_is_hop_by_hop(enum field_id id)
{
    return id == FIELD_CONNECTION || id == FIELD_PROXY_CONNECTION || id == FIELD_KEEP_ALIVE ||
           id == FIELD_TE || id == FIELD_TRANSFER_ENCODING || id == FIELD_UPGRADE;
}

bool fields_named_in_connection(struct fields fields, struct str name)
{
    for (unsigned i = 0; i < fields.count; i++) {
        if (fields.list[i].id != FIELD_CONNECTION)
            continue;
        struct str rest = field_value(&fields.list[i]), option;
        while (str_tokens_next(&rest, &option)) {
            if (str_equal_nocase(option, name))
                return true;
        }
    }
    return false;
}

enum method method_identify(const char *name, size_t len)
{
#define X(symbol, text, idempotent)                                                                \
    if (len == sizeof(text) - 1 && memcmp(name, text, sizeof(text) - 1) == 0)                      \
        return METHOD_##symbol;
    METHOD_TABLE(X)
#undef X
    return METHOD_OTHER;
}

static const struct {
    struct str name;
    bool idempotent;
} methods[METHODS] = {
#define X(symbol, text, idempotent) [METHOD_##symbol] = {{text, sizeof(text) - 1}, idempotent},
    METHOD_TABLE(X)
#undef X
};

struct str method_name(enum method method)
{
    weir_assert(method < METHODS);
    return methods[method].name;
}

bool method_is_idempotent(enum method method)
{
    weir_assert(method < METHODS);
    return methods[method].idempotent;
}
