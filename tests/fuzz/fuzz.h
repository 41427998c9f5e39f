/*
 * What the fuzz targets share: their table, the dice, and how an input is read as fields.
 *
 * Each target is a function over the input's bytes that ends the program where a property does not
 * hold. It draws what it needs from the input itself, so that an input always does the same.
 */
#ifndef WEIR_FUZZ_H
#define WEIR_FUZZ_H

#include "net/net.h"

/* The table: name of the target and of its corpus; fuzz_<name>() is its function. */
#define FUZZ_TARGETS(X)                                                                            \
    X(http1_request)                                                                               \
    X(http1_response)                                                                              \
    X(http1_trailers)                                                                              \
    X(http1_chunked)                                                                               \
    X(forward)                                                                                     \
    X(date)                                                                                        \
    X(url)                                                                                         \
    X(route)                                                                                       \
    X(cache_control)                                                                               \
    X(structured)                                                                                  \
    X(vary)                                                                                        \
    X(tags)                                                                                        \
    X(key)                                                                                         \
    X(cookies)                                                                                     \
    X(conditions)                                                                                  \
    X(range)                                                                                       \
    X(freshen)                                                                                     \
    X(config)                                                                                      \
    X(access_log)                                                                                  \
    X(admin)                                                                                       \
    X(connection)                                                                                  \
    X(client)                                                                                      \
    X(origin)

#define X(name) void fuzz_##name(const uint8_t *bytes, size_t len);
FUZZ_TARGETS(X)
#undef X

struct fuzz_target {
    const char *name;
    void (*run)(const uint8_t *bytes, size_t len);
};
extern const struct fuzz_target fuzz_targets[];
extern const unsigned fuzz_targets_count;
/* NULL when there is none of that name. */
const struct fuzz_target *fuzz_target_find(const char *name);

/* Shuffles the dice by the input, and runs the target on it. */
void fuzz_run(const struct fuzz_target *target, const uint8_t *bytes, size_t len);
/* A number that depends on the input alone. */
uint32_t fuzz_draw(uint32_t below);

/* A copy of which the sanitizer watches both ends; freed by the caller. */
char *fuzz_exact_copy(const void *bytes, size_t len);

/* Takes the next line off *rest, without its LF. An input without any gives an empty one. */
struct str fuzz_take_line(struct str *rest);

/* Field lines as a parsed head has them. */
#define FUZZ_FIELDS 40
struct fuzz_head {
    struct field list[FUZZ_FIELDS];
    unsigned count;
};
static inline struct fields fuzz_fields(const struct fuzz_head *head)
{
    return (struct fields){head->list, head->count};
}
/* Takes "name: value" lines off *rest, up to an empty one; what the parser would refuse is left
 * out. The spans are into *rest. */
void fuzz_take_head(struct str *rest, struct fuzz_head *head);
/* Writes them as a stored field block. */
void fuzz_append_block(const struct fuzz_head *head, struct appender *out);

#endif
