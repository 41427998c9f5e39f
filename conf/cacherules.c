/*
 * The values by which a route changes the rules of caching: times by status, words of the origin
 * that count for nothing, and whether cookies are stored.
 *
 * Called by load.c through the key's row in the table, on the thread that loads; showing is for
 * "weir check".
 */
#include "conf/keys.h"
#include "conf/units.h"

/* ---- times by status ---- */

/* What the rules may ever store (docs/caching.md). */
static bool is_storable_status(struct str text, unsigned *status)
{
    uint64_t value;
    if (text.len != 3 || !str_to_u64(text, 599, &value) || value < 200 || value == 206 ||
        value == 304 || value == 412 || value == 416)
        return false;
    *status = (unsigned)value;
    return true;
}

void value_read_status_ttl(struct loader *loader, const struct key *key, const struct node *node,
                           void *base)
{
    struct conf_route_cache *cache = &((struct conf_route *)base)->cache;
    if (node->kind == NODE_BAD)
        return;
    if (node->kind != NODE_MAPPING) {
        problem_add(&loader->problems, node->mark,
                    "%s takes a mapping; write %s: {404: 1m, 503: 2s}", key_name(key),
                    key_name(key));
        return;
    }
    cache->status_ttl =
        conf_arena_alloc(&loader->conf->arena, node->count * sizeof(*cache->status_ttl));
    for (const struct node_entry *entry = node->first; entry; entry = entry->next) {
        struct conf_status_ttl *row = &cache->status_ttl[cache->status_ttl_count];
        if (entry->skip)
            continue;
        if (!is_storable_status(entry->key->text, &row->status))
            value_complain(loader, key, entry->key,
                           "is not a status that can be stored; write one from 200 to 599, but "
                           "not 206, 304, 412 or 416");
        else if (value_seconds(loader, key, entry->value, &row->ttl_s))
            cache->status_ttl_count++;
    }
}

void value_print_status_ttl(const struct key *key, const void *base, FILE *out)
{
    const struct conf_route_cache *cache = &((const struct conf_route *)base)->cache;
    (void)key;
    fputc('{', out);
    for (unsigned i = 0; i < cache->status_ttl_count; i++) {
        const struct conf_status_ttl *row = &cache->status_ttl[i];
        char time[UNITS_BYTES];
        fprintf(out, "%s%u: %s", i > 0 ? ", " : "", row->status,
                units_format_time(time, (int64_t)row->ttl_s * 1000));
    }
    fputc('}', out);
}

/* ---- words ---- */

static const char *const overrides[] = {
#define X(symbol, word) [CONF_OVERRIDE_##symbol] = word,
    CONF_OVERRIDE_TABLE(X)
#undef X
        [CONF_OVERRIDES] = NULL};

void value_read_override(struct loader *loader, const struct key *key, const struct node *node,
                         void *base)
{
    uint32_t *set = key_field(key, base);
    if (!value_list(loader, key, node, "[no-store, private]"))
        return;
    for (const struct node_entry *entry = node->first; entry; entry = entry->next) {
        struct str text;
        unsigned index;
        if (value_scalar(loader, "an element of override", entry->value, &text) &&
            value_word(loader, key, entry->value, overrides, &index))
            *set |= 1u << index;
    }
}

void value_print_override(const struct key *key, const void *base, FILE *out)
{
    uint32_t set = *(const uint32_t *)key_const_field(key, base);
    const char *separator = "";
    fputc('[', out);
    for (unsigned i = 0; i < CONF_OVERRIDES; i++) {
        if (!(set & 1u << i))
            continue;
        fprintf(out, "%s%s", separator, overrides[i]);
        separator = ", ";
    }
    fputc(']', out);
}

/* Indexed by enum conf_set_cookie. */
static const char *const set_cookie_words[] = {"auto", "store", "refuse", NULL};

_Static_assert(CONF_SET_COOKIE_AUTO == 0 && CONF_SET_COOKIE_REFUSE == 2, "set_cookie_words");

void value_read_set_cookie(struct loader *loader, const struct key *key, const struct node *node,
                           void *base)
{
    unsigned index;
    if (value_word(loader, key, node, set_cookie_words, &index))
        *(enum conf_set_cookie *)key_field(key, base) = (enum conf_set_cookie)index;
}

void value_print_set_cookie(const struct key *key, const void *base, FILE *out)
{
    fputs(set_cookie_words[*(const enum conf_set_cookie *)key_const_field(key, base)], out);
}
