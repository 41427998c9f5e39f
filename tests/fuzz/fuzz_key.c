/*
 * What requests are looked up by: lines of a route's rules, a target, and the fields of requests.
 */
#include "cache/cache.h"
#include "cache/key.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#define ROOM (64 * 1024)
#define NAMES 8

static char room[4][ROOM];

/* ---- cookies ---- */

static bool is_trimmed(struct str s)
{
    struct str trimmed = str_trim(s);
    return trimmed.len == s.len;
}

static unsigned count_cookies(struct str line)
{
    struct str rest = line;
    struct cookie cookie;
    const char *last = line.ptr;
    unsigned count = 0;
    while (cookie_next(&rest, &cookie)) {
        weir_assert(cookie.name.ptr >= last &&
                    cookie.value.ptr >= cookie.name.ptr + cookie.name.len);
        last = cookie.value.ptr + cookie.value.len;
        weir_assert(last <= line.ptr + line.len);
        weir_assert(is_trimmed(cookie.name) && is_trimmed(cookie.value));
        weir_assert(cookie.name.len + cookie.value.len > 0 || cookie.has_value);
        weir_assert(cookie.has_value || cookie.value.len == 0);
        for (size_t i = 0; i < cookie.name.len; i++)
            weir_assert(cookie.name.ptr[i] != ';' && cookie.name.ptr[i] != '=');
        for (size_t i = 0; i < cookie.value.len; i++)
            weir_assert(cookie.value.ptr[i] != ';');
        count++;
    }
    weir_assert(rest.len == 0);
    return count;
}

/* Two lines. What they have together is what each has, and what one with both has. */
void fuzz_cookies(const uint8_t *bytes, size_t len)
{
    char *text = fuzz_exact_copy(bytes, len);
    struct str rest = str_of(text, len);
    struct str first = fuzz_take_line(&rest), second = fuzz_take_line(&rest);
    unsigned apart = count_cookies(first) + count_cookies(second);
    struct appender both = appender_on(room[0], ROOM);
    append_str(&both, first);
    append_lit(&both, ";");
    append_str(&both, second);
    if (!both.overflow) {
        char *exact = fuzz_exact_copy(both.ptr, both.len);
        weir_assert(count_cookies(str_of(exact, both.len)) == apart);
        free(exact);
    }
    free(text);
}

/* ---- keys ---- */

struct rules {
    struct str names[4][NAMES];
    struct conf_route_key key;
};

/* Names with spaces between them. */
static struct conf_names take_names(struct str *rest, struct str list[NAMES])
{
    struct str line = fuzz_take_line(rest);
    struct conf_names names = {list, 0};
    size_t at = 0;
    while (at < line.len && names.count < NAMES) {
        size_t end = at;
        while (end < line.len && line.ptr[end] != ' ')
            end++;
        if (end > at)
            list[names.count++] = str_of(line.ptr + at, end - at);
        at = end + 1;
    }
    return names;
}

static void take_rules(struct str *rest, struct rules *rules)
{
    rules->key = (struct conf_route_key){.any = true, .query_sort = fuzz_draw(2) == 0};
    rules->key.query_ignore = take_names(rest, rules->names[0]);
    rules->key.query_allow = take_names(rest, rules->names[1]);
    rules->key.headers = take_names(rest, rules->names[2]);
    rules->key.cookies = take_names(rest, rules->names[3]);
}

static struct str write_url(struct str target, const struct conf_route_key *rules, char *out)
{
    struct appender key = appender_on(out, ROOM);
    cache_key_write(&key, STR("http"), STR("h"), target, rules);
    weir_assert(!key.overflow && key.len <= strlen("http://h/") + target.len);
    char tight[64];
    struct appender small = appender_on(tight, fuzz_draw(sizeof(tight)));
    cache_key_write(&small, STR("http"), STR("h"), target, rules);
    weir_assert(small.overflow == (key.len > small.cap));
    return str_of(key.ptr, key.len);
}

static unsigned count_parameters(struct str target)
{
    const char *mark = memchr(target.ptr, '?', target.len);
    unsigned count = mark != NULL;
    for (size_t i = mark ? (size_t)(mark - target.ptr) : target.len; i < target.len; i++)
        count += target.ptr[i] == '&';
    return count;
}

/* The target of a key has the same key: nothing is left to leave out or to move. */
static void check_target(struct str target, const struct conf_route_key *rules)
{
    struct str once = write_url(target, rules, room[0]);
    struct str rest = str_of(once.ptr + strlen("http://h"), once.len - strlen("http://h"));
    struct str twice = write_url(rest, rules, room[1]);
    weir_assert(str_equal(once, twice));
    weir_assert(count_parameters(rest) <= count_parameters(target));
    struct conf_route_key plain = {.any = true};
    struct str as_sent = write_url(target, &plain, room[1]);
    weir_assert(str_equal(as_sent, write_url(target, NULL, room[2])));
}

/* Where two requests have one key, a Vary on a field that the rules name would not tell them apart. */
static void check_headers(struct fields a, struct fields b, const struct conf_names *names)
{
    for (unsigned i = 0; i < a.count; i++) {
        if (!conf_names_match_nocase(names, field_name(&a.list[i])))
            continue;
        struct field vary = {.name = "Vary",
                             .name_len = 4,
                             .value = a.list[i].name,
                             .value_len = a.list[i].name_len,
                             .id = FIELD_VARY};
        struct appender out = appender_on(room[2], ROOM);
        if (cache_vary_build((struct fields){&vary, 1}, a, &out))
            weir_assert(cache_vary_matches(str_of(out.ptr, out.len), b));
    }
}

/* The n-th cookie of that name. */
static bool find_cookie(struct fields fields, struct str name, unsigned n, struct cookie *cookie)
{
    for (unsigned i = 0; i < fields.count; i++) {
        struct str rest = field_value(&fields.list[i]);
        while (fields.list[i].id == FIELD_COOKIE && cookie_next(&rest, cookie))
            if (str_equal(cookie->name, name) && n-- == 0)
                return true;
    }
    return false;
}

static void check_cookies(struct fields a, struct fields b, const struct conf_names *names)
{
    for (unsigned i = 0; i < a.count; i++) {
        struct str rest = field_value(&a.list[i]);
        struct cookie cookie, mine, theirs;
        while (a.list[i].id == FIELD_COOKIE && cookie_next(&rest, &cookie)) {
            if (!conf_names_match(names, cookie.name))
                continue;
            for (unsigned n = 0; find_cookie(a, cookie.name, n, &mine); n++) {
                weir_assert(find_cookie(b, cookie.name, n, &theirs));
                weir_assert(mine.has_value == theirs.has_value);
                weir_assert(str_equal(mine.value, theirs.value));
            }
        }
    }
}

static struct str write_fields(struct fields fields, const struct conf_route_key *rules, char *out)
{
    struct appender key = appender_on(out, ROOM);
    size_t most = 0;
    for (unsigned i = 0; i < fields.count; i++)
        most += fields.list[i].name_len + fields.list[i].value_len + 4;
    append_lit(&key, "http://h/");
    cache_key_add_fields(&key, fields, rules);
    weir_assert(!key.overflow && (key.len - strlen("http://h/")) * 2 <= most * 7);
    weir_assert(str_equal(cache_key_url(str_of(key.ptr, key.len)), STR("http://h/")));
    weir_assert(key.len == strlen("http://h/") || key.ptr[key.len - 1] != '\n');
    return str_of(key.ptr, key.len);
}

/* Lines: parameters that are ignored, parameters that are allowed, fields, cookies; the target, a
 * reference; one request's fields, another one's. */
void fuzz_key(const uint8_t *bytes, size_t len)
{
    static struct cache *cache;
    char *text = fuzz_exact_copy(bytes, len);
    struct str rest = str_of(text, len);
    struct fuzz_head heads[2];
    struct rules rules;
    if (cache == NULL)
        cache = cache_new(1 << 20, 1 << 16, 1, 1);
    take_rules(&rest, &rules);
    struct str target = fuzz_take_line(&rest);
    if (target.len < ROOM / 2)
        check_target(target, &rules.key);
    fuzz_take_line(&rest); /* a reference, in seeds: tags looks at them */
    fuzz_take_head(&rest, &heads[0]);
    fuzz_take_head(&rest, &heads[1]);
    struct fields one = fuzz_fields(&heads[0]), other = fuzz_fields(&heads[1]);
    if (str_equal(write_fields(one, &rules.key, room[0]),
                  write_fields(other, &rules.key, room[1]))) {
        check_headers(one, other, &rules.key.headers);
        check_headers(other, one, &rules.key.headers);
        check_cookies(one, other, &rules.key.cookies);
        check_cookies(other, one, &rules.key.cookies);
    }
    struct appender content = appender_on(room[3], ROOM);
    cache_key_add_content(&content, cache, one, target);
    weir_assert(!content.overflow);
    struct conf_route_bypass bypass = {true, rules.key.cookies, rules.key.headers};
    /* What keeps a request away would be in its key. */
    weir_assert(policy_bypass(one, &bypass) == NULL ||
                write_fields(one, &rules.key, room[0]).len > strlen("http://h/"));
    free(text);
}
