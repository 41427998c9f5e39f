/*
 * cache/tags: what a response is purged by beside its URL. cache.h has what other folders call.
 */
#ifndef WEIR_CACHE_TAGS_H
#define WEIR_CACHE_TAGS_H

#include "cache/cache.h"

/* Of one response; a group counts twice. One with more bears every tag. */
#define CACHE_TAGS_MOST 128u

/* A tag is a hash, but for the last two bits: in an object, which field it came from, as a 304's
   fields take the place of stored ones (RFC 9111 §3.2); in the log of purges, flags. */
#define CACHE_TAG_BITS ((uint64_t)3)
enum cache_tag_source {
    CACHE_TAG_OF_URL, /* the URL, in the tags of a key that has more than that */
    CACHE_TAG_OF_SURROGATE_KEY,
    CACHE_TAG_OF_CACHE_TAG,
    CACHE_TAG_OF_GROUPS
};

struct cache_tags {
    uint32_t count;
    bool every; /* there were more: any that someone names is meant */
    uint64_t list[];
};

/* ---- the hashes: salted by what they are, so that no tag is taken for a group ---- */

uint64_t cache_tag_of_name(const struct cache *cache, struct str name);
/* A group (RFC 9875 §2): of this origin only, "scheme://host[:port]". */
uint64_t cache_tag_of_group(const struct cache *cache, struct str origin, struct str group);
/* All groups of that origin, for responses that have too many. */
uint64_t cache_tag_of_any_group(const struct cache *cache, struct str origin);
uint64_t cache_tag_of_url(const struct cache *cache, struct str url);

/* The beginning of a key's text: scheme, host and port. */
struct str cache_key_origin(struct str text);

#endif
