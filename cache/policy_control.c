/*
 * The rules: what a response's directives say (RFC 9111 §5.2.2), those of Cache-Control
 * and those of the fields that take its place. Weir-Cache-Control and CDN-Cache-Control are
 * dictionaries of structured fields (RFC 9213, RFC 9651); Surrogate-Control (W3C's Edge
 * Architecture) is written like Cache-Control. The first of the three, in this order, that is there,
 * is well-formed and says something decides alone.
 *
 * Called by policy_response.c for each response head; for the three fields only where one is there.
 * Pure; owns nothing; any thread.
 */
#include "cache/policy.h"
#include "cache/structured.h"

/* ---- directives, whatever they are written as ------------------------------------------------ */

/* The directives of a response that mean something to Weir, frequent ones first. */
#define WORD_TABLE(X)                                                                              \
    X(MAX_AGE, "max-age")                                                                          \
    X(NO_STORE, "no-store")                                                                        \
    X(PUBLIC, "public")                                                                            \
    X(PRIVATE, "private")                                                                          \
    X(S_MAXAGE, "s-maxage")                                                                        \
    X(NO_CACHE, "no-cache")                                                                        \
    X(MUST_REVALIDATE, "must-revalidate")                                                          \
    X(PROXY_REVALIDATE, "proxy-revalidate")                                                        \
    X(MUST_UNDERSTAND, "must-understand")                                                          \
    X(STALE_WHILE_REVALIDATE, "stale-while-revalidate")                                            \
    X(STALE_IF_ERROR, "stale-if-error")

enum word {
#define X(symbol, name) WORD_##symbol,
    WORD_TABLE(X)
#undef X
    WORDS /* none of them */
};

static const struct str names[WORDS] = {
#define X(symbol, name) [WORD_##symbol] = {name, sizeof(name) - 1},
    WORD_TABLE(X)
#undef X
};

/* Any case; nearly all are in lower case. */
static enum word find_word(struct str name)
{
    for (unsigned word = 0; word < WORDS; word++) {
        if (names[word].len == name.len &&
            (str_equal(names[word], name) || str_equal_nocase(names[word], name)))
            return (enum word)word;
    }
    return WORDS;
}

/* "Either the first occurrence or stale" (RFC 9111 §4.2.1): the first where all agree, otherwise
 * stale. */
static void take_given(struct policy_given *given, int64_t value_s)
{
    if (value_s < 0 || (given->there && given->value_s != value_s))
        value_s = 0;
    given->there = true;
    given->value_s = value_s;
}

/* Whatever the syntax that it was said in. A permission that is not well-formed gives nothing, a
 * restriction holds; no-cache and private with field names are read as without, as §5.2.2.4 and
 * §5.2.2.7 allow. delta_s: its value, -1 when that is no number of seconds. */
static void take_word(enum word word, bool well_formed, int64_t delta_s,
                      struct policy_control *control)
{
    switch (word) {
    case WORD_MAX_AGE:
        take_given(&control->max_age, delta_s);
        break;
    case WORD_PUBLIC:
        control->public |= well_formed;
        break;
    case WORD_S_MAXAGE:
        take_given(&control->s_maxage, delta_s);
        control->has_s_maxage |= delta_s >= 0;
        break;
    case WORD_NO_CACHE:
        control->no_cache = true;
        break;
    case WORD_NO_STORE:
        control->no_store = true;
        break;
    case WORD_PRIVATE:
        control->private = true;
        break;
    case WORD_MUST_REVALIDATE:
        control->must_revalidate = true;
        break;
    case WORD_PROXY_REVALIDATE:
        control->proxy_revalidate = true;
        break;
    case WORD_MUST_UNDERSTAND:
        control->must_understand = true;
        control->no_store_holds |= !well_formed;
        break;
    case WORD_STALE_WHILE_REVALIDATE:
        take_given(&control->stale_while_revalidate, delta_s);
        break;
    case WORD_STALE_IF_ERROR:
        take_given(&control->stale_if_error, delta_s);
        break;
    case WORDS:
        break;
    }
}

/* ---- Cache-Control --------------------------------------------------------------------------- */

void policy_read_control(struct str value, struct policy_control *control)
{
    struct policy_directive directive;
    while (policy_directive_next(&value, &directive)) {
        control->malformed |= directive.unreadable;
        take_word(find_word(directive.name), !directive.malformed,
                  policy_directive_delta_s(&directive), control);
    }
}

/* ---- dictionaries (RFC 9213) ----------------------------------------------------------------- */

/* The last value of a directive, as take_word() wants it. */
struct said_last {
    bool said, well_formed;
    int64_t delta_s;
};

/* §2.1: a directive without a value is Boolean true, a number of seconds an Integer. ?0 says that
 * it is not said; other types are read as malformed values of Cache-Control are. */
static struct said_last read_value(const struct structured_value *value)
{
    bool boolean = value->type == STRUCTURED_BOOLEAN;
    int64_t delta_s = -1;
    if (value->type == STRUCTURED_INTEGER && value->number >= 0)
        delta_s = value->number < POLICY_DELTA_MOST ? value->number : POLICY_DELTA_MOST;
    return (struct said_last){!boolean || value->number != 0, boolean, delta_s};
}

/* Of each directive the last one counts (RFC 9651 §4.2.2), so that nothing can be taken before all
 * is read. False when the field is absent, empty or malformed: then it is ignored (§2.1). */
static bool read_dictionary(struct fields fields, enum field_id id, struct policy_control *control)
{
    struct said_last last[WORDS + 1] = {{0}};
    bool any = false, empty_line = false;
    for (unsigned i = 0; i < fields.count; i++) {
        struct str rest = field_value(&fields.list[i]), key;
        struct structured_value value;
        enum structured_found found;
        if (fields.list[i].id != id)
            continue;
        empty_line |= rest.len == 0;
        while ((found = structured_dictionary_next(&rest, &key, &value)) == STRUCTURED_MEMBER) {
            last[find_word(key)] = read_value(&value);
            any = true;
        }
        if (found == STRUCTURED_MALFORMED)
            return false;
    }
    if (!any || empty_line)
        return false;
    *control = (struct policy_control){0};
    for (unsigned word = 0; word < WORDS; word++) {
        if (last[word].said)
            take_word((enum word)word, last[word].well_formed, last[word].delta_s, control);
    }
    return true;
}

/* ---- Surrogate-Control ----------------------------------------------------------------------- */

/* Takes the name of the surrogate off that a directive is for: "no-store;name". */
static bool is_for_another(struct str *element)
{
    const char *semicolon = memrchr(element->ptr, ';', element->len);
    if (semicolon == NULL)
        return false;
    struct str before = str_of(element->ptr, (size_t)(semicolon - element->ptr));
    struct str name = str_trim(str_of(semicolon + 1, element->len - before.len - 1));
    if (!policy_is_token(name))
        return false;
    *element = str_trim(before);
    return !str_equal_nocase(name, STR("weir"));
}

/* "N+M": fresh for N, then stale for M (the specification's "freshness extension"). */
static void take_max_age(const struct policy_directive *d, struct policy_control *control)
{
    const char *plus = d->has_value ? memchr(d->value.ptr, '+', d->value.len) : NULL;
    int64_t delta_s = policy_directive_delta_s(d), more_s = -1;
    if (plus != NULL && !d->malformed) {
        size_t len = (size_t)(plus - d->value.ptr);
        more_s = policy_delta_s(str_of(plus + 1, d->value.len - len - 1));
        delta_s = more_s < 0 ? -1 : policy_delta_s(str_of(d->value.ptr, len));
    }
    take_word(WORD_MAX_AGE, true, delta_s, control);
    if (more_s < 0)
        return;
    take_word(WORD_STALE_WHILE_REVALIDATE, true, more_s, control);
    take_word(WORD_STALE_IF_ERROR, true, more_s, control);
}

/* Whether the directive says anything of storing. no-store-remote is for surrogates that are far
 * from the origin; Weir cannot know that it is not. */
static bool read_surrogate_directive(const struct policy_directive *d,
                                     struct policy_control *control)
{
    enum word word = find_word(d->name);
    if (policy_directive_is(d, STR("no-store-remote")))
        word = WORD_NO_STORE;
    control->malformed |= d->unreadable;
    if (word == WORD_MAX_AGE)
        take_max_age(d, control);
    else
        take_word(word, !d->malformed, policy_directive_delta_s(d), control);
    return word != WORDS || d->unreadable;
}

static bool read_surrogate(struct fields fields, struct policy_control *control)
{
    struct policy_control said = {0};
    bool any = false;
    for (unsigned i = 0; i < fields.count; i++) {
        struct str rest = field_value(&fields.list[i]), element;
        while (fields.list[i].id == FIELD_SURROGATE_CONTROL && str_list_next(&rest, &element)) {
            struct policy_directive directive;
            if (!is_for_another(&element) && policy_directive_next(&element, &directive))
                any |= read_surrogate_directive(&directive, &said);
        }
    }
    if (any)
        *control = said;
    return any;
}

/* ---- all ------------------------------------------------------------------------------------- */

enum field_id policy_read_targeted(struct fields fields, struct policy_control *control)
{
    static const enum field_id dictionaries[] = {FIELD_WEIR_CACHE_CONTROL, FIELD_CDN_CACHE_CONTROL};
    for (unsigned i = 0; i < weir_count(dictionaries); i++) {
        if (read_dictionary(fields, dictionaries[i], control))
            return dictionaries[i];
    }
    return read_surrogate(fields, control) ? FIELD_SURROGATE_CONTROL : FIELD_OTHER;
}
