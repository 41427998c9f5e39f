/*
 * The tags of a response: Surrogate-Key, Cache-Tag, and the groups of RFC 9875; and one that Weir
 * adds, the URL, where the key has more than that. Read by a fetch when a head is to be stored;
 * kept as hashes by the fill and then by its object, which frees them. Any thread.
 *
 * A response with more than CACHE_TAGS_MOST bears every tag: a purge may reach more than it names,
 * and never less. Its groups beyond that are those of its origin still.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "cache/budget.h"
#include "cache/purge.h"
#include "cache/shard.h"
#include "cache/structured.h"
#include "cache/tags.h"

/* A string with escapes in it may be so long; the others have no limit of their own. */
#define ESCAPED_MOST 1024

struct collecting {
    struct cache *cache;
    struct str origin;
    uint64_t list[CACHE_TAGS_MOST + 1]; /* the last: any group */
    uint32_t count;
    bool every, any_group;
};

static void add(struct collecting *to, uint64_t tag, enum cache_tag_source source)
{
    if (to->count == CACHE_TAGS_MOST) {
        to->every = true;
        to->any_group |= source == CACHE_TAG_OF_GROUPS;
        return;
    }
    to->list[to->count++] = (tag & ~CACHE_TAG_BITS) | source;
}

static void add_name(struct collecting *to, struct str name, enum cache_tag_source source)
{
    add(to, cache_tag_of_name(to->cache, name), source);
}

/* ---- the hashes ---- */

struct str cache_key_origin(struct str text)
{
    const char *host = memmem(text.ptr, text.len, "://", 3);
    if (host == NULL)
        return text;
    host += 3;
    const char *end = memchr(host, '/', text.len - (size_t)(host - text.ptr));
    return end != NULL ? str_of(text.ptr, (size_t)(end - text.ptr)) : text;
}

enum tag_kind {
    TAG_NAME,
    TAG_GROUP,
    TAG_ANY_GROUP,
    TAG_URL
};

static uint64_t hash_tag(const struct cache *cache, enum tag_kind kind, struct str origin,
                         struct str text)
{
    uint64_t parts[3] = {
        kind, XXH3_64bits_withSecret(origin.ptr, origin.len, cache->secret, sizeof(cache->secret)),
        XXH3_64bits_withSecret(text.ptr, text.len, cache->secret, sizeof(cache->secret))};
    return XXH3_64bits_withSecret(parts, sizeof(parts), cache->secret, sizeof(cache->secret));
}

uint64_t cache_tag_of_name(const struct cache *cache, struct str name)
{
    return hash_tag(cache, TAG_NAME, STR(""), name);
}

uint64_t cache_tag_of_group(const struct cache *cache, struct str origin, struct str group)
{
    return hash_tag(cache, TAG_GROUP, origin, group);
}

uint64_t cache_tag_of_any_group(const struct cache *cache, struct str origin)
{
    return hash_tag(cache, TAG_ANY_GROUP, origin, STR(""));
}

uint64_t cache_tag_of_url(const struct cache *cache, struct str url)
{
    return hash_tag(cache, TAG_URL, STR(""), url);
}

/* ---- Surrogate-Key and Cache-Tag ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static void read_surrogate_key(struct collecting *to, struct str value)
{
    for (size_t from = 0, end; from < value.len; from = end) {
        for (end = from; end < value.len && !is_blank(value.ptr[end]);)
            end++;
        if (end > from)
            add_name(to, str_of(value.ptr + from, end - from), CACHE_TAG_OF_SURROGATE_KEY);
        else
            end++;
    }
}

static void read_cache_tag(struct collecting *to, struct str value)
{
    struct str name;
    while (str_tokens_next(&value, &name))
        add_name(to, name, CACHE_TAG_OF_CACHE_TAG);
}

/* ---- groups (RFC 9875): lists of strings (RFC 9651 §3.1, §3.3.3) ---- */

/* Escapes are kept by structured_list_next(); names that users write have none. */
static struct str without_escapes(struct str text, struct appender *room)
{
    if (text.len == 0 || memchr(text.ptr, '\\', text.len) == NULL)
        return text;
    *room = appender_on(room->ptr, room->cap);
    for (size_t i = 0; i < text.len; i++) {
        i += text.ptr[i] == '\\';
        append(room, &text.ptr[i], 1);
    }
    return str_of(room->ptr, room->len);
}

/* All lines of that field; false where they are no list of strings: then nothing of it may be used
   (§4.2). */
static bool read_strings(struct fields response, enum field_id id,
                         void (*each)(void *to, struct str text), void *to)
{
    char bytes[ESCAPED_MOST];
    struct appender room = appender_on(bytes, sizeof(bytes));
    for (unsigned i = 0; i < response.count; i++) {
        const struct field *f = &response.list[i];
        struct str rest = field_value(f);
        struct structured_value member;
        enum structured_found found;
        if (f->id != id)
            continue;
        while ((found = structured_list_next(&rest, &member)) == STRUCTURED_MEMBER) {
            if (member.type != STRUCTURED_STRING)
                return false;
            each(to, without_escapes(member.text, &room));
            if (room.overflow)
                return false;
        }
        if (found == STRUCTURED_MALFORMED)
            return false;
    }
    return true;
}

static void add_group(void *arg, struct str group)
{
    struct collecting *to = arg;
    add(to, cache_tag_of_group(to->cache, to->origin, group), CACHE_TAG_OF_GROUPS);
    add_name(to, group, CACHE_TAG_OF_GROUPS);
}

static void read_groups(struct collecting *to, struct fields response)
{
    struct collecting before = *to;
    if (!read_strings(response, FIELD_CACHE_GROUPS, add_group, to))
        *to = before;
}

static void purge_one_group(void *arg, struct str group)
{
    struct collecting *to = arg;
    cache_purge_group(to->cache, to->origin, group);
}

static void ignore(void *arg, struct str text)
{
    (void)arg, (void)text;
}

void cache_purge_groups(struct cache *cache, struct str key_text, struct fields response)
{
    struct collecting to = {.cache = cache, .origin = cache_key_origin(key_text)};
    if (fields_first(response, FIELD_CACHE_GROUP_INVALIDATION) != NULL &&
        read_strings(response, FIELD_CACHE_GROUP_INVALIDATION, ignore, &to))
        read_strings(response, FIELD_CACHE_GROUP_INVALIDATION, purge_one_group, &to);
}

/* ---- making ---- */

/* Which of the sources the head has, as bits. */
static unsigned find_sources(struct fields response)
{
    unsigned sources = 0;
    for (const struct field *f = response.list, *end = f + response.count; f < end; f++) {
        if (f->id == FIELD_SURROGATE_KEY)
            sources |= 1u << CACHE_TAG_OF_SURROGATE_KEY;
        else if (f->id == FIELD_CACHE_TAG)
            sources |= 1u << CACHE_TAG_OF_CACHE_TAG;
        else if (f->id == FIELD_CACHE_GROUPS)
            sources |= 1u << CACHE_TAG_OF_GROUPS;
    }
    return sources;
}

/* Groups first: what there is no room for is reached by any name, but by no group of others. */
static void read_fields(struct collecting *to, struct fields response)
{
    read_groups(to, response);
    for (unsigned i = 0; i < response.count; i++) {
        const struct field *f = &response.list[i];
        if (f->id == FIELD_SURROGATE_KEY)
            read_surrogate_key(to, field_value(f));
        else if (f->id == FIELD_CACHE_TAG)
            read_cache_tag(to, field_value(f));
    }
}

/* False when memory is out. */
static bool make(struct collecting *from, struct cache_tags **out)
{
    *out = NULL;
    if (from->any_group) {
        cache_purge_expect_any_group(from->cache);
        from->list[from->count++] =
            (cache_tag_of_any_group(from->cache, from->origin) & ~CACHE_TAG_BITS) |
            CACHE_TAG_OF_GROUPS;
    }
    if (from->count == 0)
        return true;
    struct cache_tags *tags =
        cache_budget_alloc_stored(from->cache, sizeof(*tags) + from->count * sizeof(tags->list[0]));
    if (tags == NULL)
        return false;
    tags->count = from->count;
    tags->every = from->every;
    memcpy(tags->list, from->list, from->count * sizeof(tags->list[0]));
    *out = tags;
    return true;
}

bool cache_tags_read(struct cache *cache, struct str key_text, struct fields response,
                     struct cache_tags **out)
{
    struct str url = cache_key_url(key_text);
    *out = NULL;
    if (weir_likely(find_sources(response) == 0 && url.len == key_text.len))
        return true;
    struct collecting to = {.cache = cache, .origin = cache_key_origin(key_text)};
    if (url.len < key_text.len)
        add(&to, cache_tag_of_url(cache, url), CACHE_TAG_OF_URL);
    read_fields(&to, response);
    return make(&to, out);
}

bool cache_tags_renew(struct cache *cache, const struct cache_object *stored,
                      struct fields not_modified, struct cache_tags **out)
{
    const struct cache_tags *old = cache_object_tags(stored);
    unsigned renewed = find_sources(not_modified);
    *out = NULL;
    if (weir_likely(old == NULL && renewed == 0))
        return true;
    struct collecting to = {.cache = cache, .origin = cache_key_origin(cache_object_key(stored))};
    if (old != NULL) {
        to.every = old->every;
        for (uint32_t i = 0; i < old->count; i++)
            if (!(renewed & 1u << (old->list[i] & CACHE_TAG_BITS)))
                add(&to, old->list[i], (enum cache_tag_source)(old->list[i] & CACHE_TAG_BITS));
    }
    read_fields(&to, not_modified);
    return make(&to, out);
}

void cache_tags_free(struct cache *cache, struct cache_tags *tags)
{
    cache_budget_free(cache, tags);
}
