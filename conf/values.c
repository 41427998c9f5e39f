/*
 * One function that reads and one that shows, for each type of value: here numbers, times, sizes
 * and words; places.c has the others.
 *
 * Called by load.c through the key's row in the table, on the thread that loads; showing is for
 * "weir check". A reader stores into the structure that the key counts its offset in, or adds a
 * problem and leaves the default.
 */
#include "conf/keys.h"
#include "conf/units.h"

#include <inttypes.h>

bool value_scalar(struct loader *loader, const char *name, const struct node *node,
                  struct str *text)
{
    if (node->kind == NODE_BAD)
        return false;
    if (node->kind != NODE_SCALAR) {
        problem_add(&loader->problems, node->mark,
                    "%s takes a single value, not a list or a mapping; write it after the colon",
                    name);
        return false;
    }
    if (node->text.len == 0) {
        problem_add(&loader->problems, node->mark,
                    "%s is empty; give it a value, or remove it for its default", name);
        return false;
    }
    *text = node->text;
    return true;
}

void value_complain(struct loader *loader, const struct key *key, const struct node *node,
                    const char *why)
{
    problem_add(&loader->problems, node->mark, "%s: \"%s\" %s", key_name(key), QUOTED(node->text),
                why);
}

/* ---- numbers ---- */

static bool read_number(struct loader *loader, const struct key *key, const struct node *node,
                        uint64_t *out)
{
    struct str text;
    if (!value_scalar(loader, key_name(key), node, &text))
        return false;
    uint64_t value;
    if (str_to_u64(text, UINT64_MAX, &value) && value >= key->min && value <= key->max) {
        *out = value;
        return true;
    }
    problem_add(&loader->problems, node->mark,
                "%s: \"%s\" is not a number that works here; write %s%" PRIu64 " to %" PRIu64,
                key_name(key), QUOTED(text), key->type == VALUE_WORKERS ? "auto, or " : "",
                key->min, key->max);
    return false;
}

void value_read_count(struct loader *loader, const struct key *key, const struct node *node,
                      void *base)
{
    uint64_t value;
    if (read_number(loader, key, node, &value))
        *(unsigned *)key_field(key, base) = (unsigned)value;
}

void value_print_count(const struct key *key, const void *base, FILE *out)
{
    fprintf(out, "%u", *(const unsigned *)key_const_field(key, base));
}

void value_read_count64(struct loader *loader, const struct key *key, const struct node *node,
                        void *base)
{
    uint64_t value;
    if (read_number(loader, key, node, &value))
        *(uint64_t *)key_field(key, base) = value;
}

void value_print_count64(const struct key *key, const void *base, FILE *out)
{
    fprintf(out, "%" PRIu64, *(const uint64_t *)key_const_field(key, base));
}

static bool is_auto(const struct node *node)
{
    return node->kind == NODE_SCALAR && str_equal(node->text, STR("auto"));
}

/* 0 until load.c has asked the machine. */
void value_read_workers(struct loader *loader, const struct key *key, const struct node *node,
                        void *base)
{
    if (is_auto(node))
        *(unsigned *)key_field(key, base) = 0;
    else
        value_read_count(loader, key, node, base);
}

void value_print_workers(const struct key *key, const void *base, FILE *out)
{
    value_print_count(key, base, out);
}

/* ---- times and sizes ---- */

static void complain_of_unit(struct loader *loader, const struct key *key, const struct node *node,
                             enum units_result result, bool is_time)
{
    const char *name = key_name(key), *text = QUOTED(node->text);
    if (result == UNITS_NO_UNIT || result == UNITS_MALFORMED) {
        problem_add(&loader->problems, node->mark, "%s: \"%s\" %s; write %s", name, text,
                    result == UNITS_NO_UNIT ? "has no unit"
                    : is_time               ? "is not a time"
                                            : "is not a size",
                    is_time ? "a time such as 500ms, 30s, 5m, 1h or 7d"
                            : "a size such as 64KiB, 512MiB or 2GiB");
        return;
    }
    char least[UNITS_BYTES], most[UNITS_BYTES];
    if (is_time) {
        units_format_time(least, (int64_t)key->min);
        units_format_time(most, (int64_t)key->max);
    } else {
        units_format_size(least, key->min);
        units_format_size(most, key->max);
    }
    problem_add(&loader->problems, node->mark, "%s: \"%s\" is out of range; write %s to %s", name,
                text, least, most);
}

static bool read_units(struct loader *loader, const struct key *key, const struct node *node,
                       bool is_time, uint64_t *out)
{
    struct str text;
    if (!value_scalar(loader, key_name(key), node, &text))
        return false;
    int64_t ms = 0;
    uint64_t value = 0;
    enum units_result result =
        is_time ? units_parse_time(text, &ms) : units_parse_size(text, &value);
    if (is_time)
        value = (uint64_t)ms;
    if (result == UNITS_OK && (value < key->min || value > key->max))
        result = UNITS_TOO_LARGE;
    if (result == UNITS_OK)
        *out = value;
    else
        complain_of_unit(loader, key, node, result, is_time);
    return result == UNITS_OK;
}

void value_read_size(struct loader *loader, const struct key *key, const struct node *node,
                     void *base)
{
    uint64_t value;
    if (read_units(loader, key, node, false, &value))
        *(uint64_t *)key_field(key, base) = value;
}

void value_print_size(const struct key *key, const void *base, FILE *out)
{
    char text[UNITS_BYTES];
    fputs(units_format_size(text, *(const uint64_t *)key_const_field(key, base)), out);
}

/* 0 until load.c has asked the machine. */
void value_read_memory(struct loader *loader, const struct key *key, const struct node *node,
                       void *base)
{
    if (is_auto(node))
        *(uint64_t *)key_field(key, base) = 0;
    else
        value_read_size(loader, key, node, base);
}

void value_print_memory(const struct key *key, const void *base, FILE *out)
{
    value_print_size(key, base, out);
}

void value_read_time(struct loader *loader, const struct key *key, const struct node *node,
                     void *base)
{
    uint64_t value;
    if (read_units(loader, key, node, true, &value))
        *(int64_t *)key_field(key, base) = (int64_t)value;
}

void value_print_time(const struct key *key, const void *base, FILE *out)
{
    char text[UNITS_BYTES];
    fputs(units_format_time(text, *(const int64_t *)key_const_field(key, base)), out);
}

bool value_seconds(struct loader *loader, const struct key *key, const struct node *node,
                   uint32_t *seconds)
{
    uint64_t value;
    if (!read_units(loader, key, node, true, &value))
        return false;
    if (value % 1000 == 0)
        *seconds = (uint32_t)(value / 1000);
    else
        value_complain(loader, key, node, "is not in whole seconds; write a time such as 1s");
    return value % 1000 == 0;
}

void value_read_seconds(struct loader *loader, const struct key *key, const struct node *node,
                        void *base)
{
    value_seconds(loader, key, node, key_field(key, base));
}

void value_print_seconds(const struct key *key, const void *base, FILE *out)
{
    char text[UNITS_BYTES];
    fputs(units_format_time(text, (int64_t) * (const uint32_t *)key_const_field(key, base) * 1000),
          out);
}

/* ---- words ---- */

void value_read_bool(struct loader *loader, const struct key *key, const struct node *node,
                     void *base)
{
    struct str text;
    if (!value_scalar(loader, key_name(key), node, &text))
        return;
    bool is_true = str_equal(text, STR("true"));
    if (is_true || str_equal(text, STR("false")))
        *(bool *)key_field(key, base) = is_true;
    else
        value_complain(loader, key, node, "is neither true nor false; write one of these two");
}

void value_print_bool(const struct key *key, const void *base, FILE *out)
{
    fputs(*(const bool *)key_const_field(key, base) ? "true" : "false", out);
}

/* Indexed by the enum that the words stand for. */
static const char *const log_formats[] = {"none", "json", "combined", NULL};
static const char *const log_levels[] = {"debug", "info", "warn", "error", NULL};

_Static_assert(CONF_LOG_NONE == 0 && CONF_LOG_JSON == 1 && CONF_LOG_COMBINED == 2, "log_formats");
_Static_assert(LOG_DEBUG_LEVEL == 0 && LOG_ERROR_LEVEL == 3, "log_levels");

bool value_word(struct loader *loader, const struct key *key, const struct node *node,
                const char *const *words, unsigned *index)
{
    struct str text;
    if (!value_scalar(loader, key_name(key), node, &text))
        return false;
    struct nearest nearest = nearest_start(text);
    for (unsigned i = 0; words[i]; i++) {
        if (str_equal(text, str_from(words[i]))) {
            *index = i;
            return true;
        }
        nearest_offer(&nearest, words[i]);
    }
    char list[128];
    struct appender out = appender_on(list, sizeof(list) - 1);
    for (unsigned i = 0; words[i]; i++)
        append_fmt(&out, "%s%s", i == 0 ? "" : words[i + 1] ? ", " : " or ", words[i]);
    list[out.len] = '\0';
    if (nearest.found)
        problem_add(&loader->problems, node->mark, "%s: \"%s\" is not %s; did you mean \"%s\"?",
                    key_name(key), QUOTED(text), list, nearest.found);
    else
        problem_add(&loader->problems, node->mark, "%s: \"%s\" does not work here; write %s",
                    key_name(key), QUOTED(text), list);
    return false;
}

void value_read_log_format(struct loader *loader, const struct key *key, const struct node *node,
                           void *base)
{
    unsigned index;
    if (value_word(loader, key, node, log_formats, &index))
        *(enum conf_log_format *)key_field(key, base) = (enum conf_log_format)index;
}

void value_print_log_format(const struct key *key, const void *base, FILE *out)
{
    fputs(log_formats[*(const enum conf_log_format *)key_const_field(key, base)], out);
}

void value_read_log_level(struct loader *loader, const struct key *key, const struct node *node,
                          void *base)
{
    unsigned index;
    if (value_word(loader, key, node, log_levels, &index))
        *(enum log_level *)key_field(key, base) = (enum log_level)index;
}

void value_print_log_level(const struct key *key, const void *base, FILE *out)
{
    fputs(log_levels[*(const enum log_level *)key_const_field(key, base)], out);
}

/* ---- by type ---- */

static const struct {
    void (*read)(struct loader *loader, const struct key *key, const struct node *node, void *base);
    void (*print)(const struct key *key, const void *base, FILE *out);
} types[] = {
#define X(symbol, name, function) {value_read_##function, value_print_##function},
    VALUE_TYPE_TABLE(X)
#undef X
};

void value_read(struct loader *loader, const struct key *key, const struct node *node, void *base)
{
    types[key->type].read(loader, key, node, base);
}

void value_read_default(struct loader *loader, const struct key *key, void *base)
{
    if (strchr("([{", key->default_text[0]))
        return;
    struct node node = {.kind = NODE_SCALAR, .text = str_from(key->default_text)};
    types[key->type].read(loader, key, &node, base);
}

void value_print(const struct key *key, const void *base, FILE *out)
{
    types[key->type].print(key, base, out);
}
