/*
 * Lists of names with globs: query parameters, cookies and fields of requests, as keys and bypasses
 * list them. "*" stands for any bytes, none included.
 *
 * Read by load.c through the key's row in the table; matched by the cache for each request of a
 * route that lists any. Names of fields are kept in lower case.
 */
#include "conf/keys.h"

#include <ctype.h>

#define NAMES_MAX 64

/* ---- matching ---- */

/* One star is taken up again at a time, the last: so a hostile name costs no more than its length
 * times the pattern's. */
static bool matches(struct str pattern, struct str name, bool any_case)
{
    size_t p = 0, n = 0, star = SIZE_MAX, resume = 0;
    while (n < name.len) {
        if (p < pattern.len && pattern.ptr[p] == '*') {
            star = p++;
            resume = n;
        } else if (p < pattern.len &&
                   pattern.ptr[p] == (any_case ? ascii_lower(name.ptr[n]) : name.ptr[n])) {
            p++;
            n++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            n = ++resume;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.ptr[p] == '*')
        p++;
    return p == pattern.len;
}

bool conf_names_match(const struct conf_names *names, struct str name)
{
    for (unsigned i = 0; i < names->count; i++) {
        if (matches(names->list[i], name, false))
            return true;
    }
    return false;
}

bool conf_names_match_nocase(const struct conf_names *names, struct str name)
{
    for (unsigned i = 0; i < names->count; i++) {
        if (matches(names->list[i], name, true))
            return true;
    }
    return false;
}

/* ---- reading ---- */

static bool lacks(struct str text, const char *forbidden)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c <= ' ' || c == 0x7f || strchr(forbidden, c))
            return false;
    }
    return true;
}

static bool is_token_glob(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!isalnum((unsigned char)text.ptr[i]) && !strchr("!#$%&'*+-.^_`|~", text.ptr[i]))
            return false;
    }
    return true;
}

static struct str lower_text(struct arena *arena, struct str text)
{
    char *copy = conf_arena_alloc(arena, text.len + 1);
    for (size_t i = 0; i < text.len; i++)
        copy[i] = ascii_lower(text.ptr[i]);
    return str_of(copy, text.len);
}

static void read_list(struct loader *loader, const struct key *key, const struct node *node,
                      struct conf_names *names, bool of_fields)
{
    if (node->kind == NODE_BAD)
        return;
    if (node->kind != NODE_SEQUENCE) {
        problem_add(&loader->problems, node->mark,
                    "%s takes a list of names; write %s: [one, \"two_*\"]", key_name(key),
                    key_name(key));
        return;
    }
    if (node->count > NAMES_MAX) {
        problem_add(&loader->problems, node->mark, "%s has more than %d names; use * in some",
                    key_name(key), NAMES_MAX);
        return;
    }
    struct arena *arena = &loader->conf->arena;
    struct str *list = conf_arena_alloc(arena, (node->count + 1) * sizeof(*list));
    *names = (struct conf_names){.list = list};
    for (const struct node_entry *entry = node->first; entry; entry = entry->next) {
        struct str text;
        if (!value_scalar(loader, "a name", entry->value, &text))
            continue;
        if (of_fields ? !is_token_glob(text) : !lacks(text, "&=;#,\""))
            value_complain(loader, key, entry->value,
                           of_fields
                               ? "is not the name of a field; write one such as Accept-Language"
                               : "is not a name; write it without spaces and & = ; # , \"");
        else
            list[names->count++] = of_fields ? lower_text(arena, text)
                                             : str_of(conf_arena_text(arena, text), text.len);
    }
}

void value_read_names(struct loader *loader, const struct key *key, const struct node *node,
                      void *base)
{
    read_list(loader, key, node, key_field(key, base), false);
}

void value_read_field_names(struct loader *loader, const struct key *key, const struct node *node,
                            void *base)
{
    read_list(loader, key, node, key_field(key, base), true);
}

void value_print_names(const struct key *key, const void *base, FILE *out)
{
    const struct conf_names *names = key_const_field(key, base);
    fputc('[', out);
    for (unsigned i = 0; i < names->count; i++)
        fprintf(out, "%s\"%.*s\"", i > 0 ? ", " : "", (int)names->list[i].len, names->list[i].ptr);
    fputc(']', out);
}

void value_print_field_names(const struct key *key, const void *base, FILE *out)
{
    value_print_names(key, base, out);
}
