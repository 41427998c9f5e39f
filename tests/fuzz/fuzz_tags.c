/*
 * What a response is purged by (cache/tags.c), and which other URIs it makes invalid
 * (cache_key_resolve): inputs are a URI reference in a line of its own, the fields of a response, an
 * empty line, and those of a 304 to it.
 */
#include "cache/cache.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#define ROOM (64 * 1024)
#define ORIGIN "http://a.example:81"
#define KEY ORIGIN "/b/c;d?e"

static char room[2][ROOM];
static struct cache *cache;

/* ---- references ---- */

static bool begins_with(struct str s, struct str start)
{
    return s.len >= start.len && memcmp(s.ptr, start.ptr, start.len) == 0;
}

/* It stays in the origin, and there is nothing left in it to be resolved. */
static void check_reference(struct str reference)
{
    struct appender out = appender_on(room[0], ROOM), again = appender_on(room[1], ROOM);
    if (!cache_key_resolve(STR(KEY), reference, &out))
        return;
    struct str found = str_of(out.ptr, out.len);
    weir_assert(begins_with(found, STR(ORIGIN "/")) && memchr(found.ptr, '#', found.len) == NULL);
    const char *query = memchr(found.ptr, '?', found.len);
    size_t path_len = query != NULL ? (size_t)(query - found.ptr) : found.len;
    weir_assert(memmem(found.ptr, path_len, "/../", 4) == NULL);
    weir_assert(memmem(found.ptr, path_len, "/./", 3) == NULL);
    weir_assert(cache_key_resolve(STR(KEY), found, &again));
    weir_assert(str_equal(str_of(again.ptr, again.len), found));
}

/* ---- tags ---- */

static const struct policy_request plain = {.max_age_s = -1, .min_fresh_s = -1, .max_stale_s = -1};

static enum cache_found look(struct cache_find *found)
{
    struct cache_query query = {.key = {.text = STR(KEY)}, .request = &plain};
    cache_key_hash(cache, &query.key);
    return cache_lookup(cache, &query, found);
}

/* The response is stored, as far as memory allows. Its tags are taken over. */
static bool store(struct cache_tags *tags)
{
    struct cache_fill_head head = {
        .meta = {.lifetime_s = 60, .status = 200}, .tags = tags, .bodiless = true};
    struct cache_find found;
    weir_assert(look(&found) == CACHE_LEAD);
    bool good = cache_fill_set_head(found.fill, &head);
    if (good)
        cache_fill_complete(found.fill, STR(""), 0);
    cache_fill_end_writer(&found.fill);
    return good;
}

static struct cache_object *find_stored(void)
{
    struct cache_find found;
    if (look(&found) == CACHE_HIT)
        return found.object;
    cache_fill_end_writer(&found.fill);
    return NULL;
}

static void forget(void)
{
    struct cache_key key = {.text = STR(KEY)};
    cache_key_hash(cache, &key);
    cache_purge(cache, &key);
}

/* A name in one of its lines; false when there is none. */
static bool draw_name(struct fields fields, struct str *name)
{
    unsigned count = 0;
    for (unsigned i = 0; i < fields.count; i++) {
        const struct field *f = &fields.list[i];
        struct str rest = field_value(f), element;
        while (f->id == FIELD_CACHE_TAG && str_tokens_next(&rest, &element))
            if (fuzz_draw(++count) == 0)
                *name = element;
        if (f->id != FIELD_SURROGATE_KEY)
            continue;
        for (size_t from = 0, end; from < rest.len; from = end + 1) {
            for (end = from; end < rest.len && rest.ptr[end] != ' ' && rest.ptr[end] != '\t';)
                end++;
            if (end > from && fuzz_draw(++count) == 0)
                *name = str_of(rest.ptr + from, end - from);
        }
    }
    return count > 0;
}

/* Whatever name it has, by that it is reached; and before, it is not. */
static void check_purge(struct fields fields)
{
    struct cache_tags *tags;
    struct cache_object *stored;
    struct str name;
    if (!cache_tags_read(cache, STR(KEY), fields, &tags) || !store(tags))
        return;
    if ((stored = find_stored()) == NULL)
        return;
    cache_object_release(&stored);
    if (draw_name(fields, &name)) {
        cache_purge_tag(cache, name, false);
        weir_assert(find_stored() == NULL);
    }
    forget();
}

/* The same after a 304, whose names count too. */
static void check_renewed(struct fields fields, struct fields not_modified)
{
    struct cache_tags *tags, *renewed;
    struct cache_object *stored;
    struct str name;
    if (!cache_tags_read(cache, STR(KEY), fields, &tags) || !store(tags))
        return;
    if ((stored = find_stored()) == NULL)
        return;
    bool good = cache_tags_renew(cache, stored, not_modified, &renewed);
    cache_object_release(&stored);
    forget();
    if (!good || !store(renewed))
        return;
    if (draw_name(not_modified, &name)) {
        cache_purge_tag(cache, name, false);
        weir_assert(find_stored() == NULL);
    }
    cache_purge_groups(cache, STR(KEY), not_modified);
    forget();
}

void fuzz_tags(const uint8_t *bytes, size_t len)
{
    char *text = fuzz_exact_copy(bytes, len);
    struct str rest = str_of(text, len);
    struct fuzz_head said, not_modified;
    if (cache == NULL)
        cache = cache_new(4 << 20, 1 << 16, 1, 1);
    check_reference(fuzz_take_line(&rest));
    fuzz_take_head(&rest, &said);
    fuzz_take_head(&rest, &not_modified);
    check_purge(fuzz_fields(&said));
    check_renewed(fuzz_fields(&said), fuzz_fields(&not_modified));
    free(text);
}
