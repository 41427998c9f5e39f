/*
 * Structured fields (RFC 9651), as far as caching needs them: members of lists and dictionaries,
 * one field line at a time. cache/ only.
 */
#ifndef WEIR_CACHE_STRUCTURED_H
#define WEIR_CACHE_STRUCTURED_H

#include "base/base.h"

enum structured_type {
    STRUCTURED_INTEGER,
    STRUCTURED_DECIMAL,
    STRUCTURED_STRING,
    STRUCTURED_TOKEN,
    STRUCTURED_BYTES,
    STRUCTURED_BOOLEAN,
    STRUCTURED_DATE,
    STRUCTURED_DISPLAY_STRING,
    STRUCTURED_INNER_LIST
};

/* An item or an inner list. Its parameters are checked and left out. */
struct structured_value {
    enum structured_type type;
    int64_t number;  /* INTEGER; DECIMAL: in thousandths; DATE: seconds since the epoch; BOOLEAN */
    struct str text; /* of the other types: what stands between the delimiters, escapes left as they
                        are; borrowed */
};

enum structured_found {
    STRUCTURED_MEMBER,
    STRUCTURED_END,
    STRUCTURED_MALFORMED /* the whole field is, and nothing of it may be used (§4.2) */
};

/* Take the next member off *rest, at first a field line's value. Members of several lines follow
 * each other, but a line that is empty while there are others makes the field malformed, as a comma
 * with nothing beside it does. */
enum structured_found structured_list_next(struct str *rest, struct structured_value *member);
/* Of members with one key the last one counts (§4.2.2): the caller overwrites. */
enum structured_found structured_dictionary_next(struct str *rest, struct str *key,
                                                 struct structured_value *member);

#endif
