/* cache/tags.c: what a response is purged by, from its fields to hashes. */
#include "cache/purge.h"
#include "tests/unit/cache/cache_fixture.h"

#define KEY "https://a.example:8443/x?y"
#define ORIGIN "https://a.example:8443"

static struct cache *cache;

static int set_up(void **state)
{
    (void)state;
    cache = cache_new(4 * MIB, MIB, 1, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    cache_free(&cache);
    return 0;
}

static struct cache_tags *read_tags(const char *key, const struct field *fields, unsigned count)
{
    struct cache_tags *tags;
    assert_true(cache_tags_read(cache, str_from(key), (struct fields){fields, count}, &tags));
    return tags;
}

static bool has(const struct cache_tags *tags, uint64_t tag)
{
    for (uint32_t i = 0; tags != NULL && i < tags->count; i++)
        if ((tags->list[i] & ~CACHE_TAG_BITS) == (tag & ~CACHE_TAG_BITS))
            return true;
    return false;
}

static bool has_name(const struct cache_tags *tags, const char *name)
{
    return has(tags, cache_tag_of_name(cache, str_from(name)));
}

static bool has_group(const struct cache_tags *tags, const char *name)
{
    return has(tags, cache_tag_of_group(cache, STR(ORIGIN), str_from(name)));
}

/* Of one field, the names with "|" between them. */
static void check(const char *field, const char *value, const char *names)
{
    struct field f = field_of(field, value);
    struct cache_tags *tags = read_tags(KEY, &f, 1);
    bool groups = f.id == FIELD_CACHE_GROUPS;
    unsigned count = 0;
    char copy[256], *rest = NULL;
    snprintf(copy, sizeof(copy), "%s", names);
    for (char *name = strtok_r(copy, "|", &rest); name; name = strtok_r(NULL, "|", &rest)) {
        count += groups ? 2 : 1;
        if (!has_name(tags, name) || has_group(tags, name) != groups)
            fail_msg("%s: %s: '%s' is not there", field, value, name);
    }
    if ((tags ? tags->count : 0) != count)
        fail_msg("%s: %s: %u tags, not %u", field, value, tags ? tags->count : 0, count);
    cache_tags_free(cache, tags);
}

static void test_fields(void **state)
{
    (void)state;
    check("Surrogate-Key", "a b/c  d\te ", "a|b/c|d|e");
    check("surrogate-key", "one,two", "one,two");
    check("Surrogate-Key", "", "");
    check("Cache-Tag", "a, b c ,,d", "a|b c|d");
    check("Cache-Tag", "\"a, b\"", "\"a|b\"");
    check("Cache-Tag", " , ", "");
    check("Cache-Groups", "\"a\", \"b c\" ,\t\"d\"", "a|b c|d");
    check("Cache-Groups", "\"a\";x;y=1.5;*z=\"q\\\"\";t=a/b, \"b\"; k=?1", "a|b");
    check("Cache-Groups", "\"q\\\"\\\\\"", "q\"\\");
    check("Cache-Groups", "", "");
}

/* RFC 9651 §4.2: what cannot be parsed is ignored, all of it. */
static void test_malformed_groups(void **state)
{
    static const char *const values[] = {
        "a",        "\"a\", b",      "\"a\",",      "\"a\"  \"b\"", ", \"a\"",   "\"a",
        "\"a\\\"",  "\"a\\x\"",      "(\"a\")",     "\"a\";",       "\"a\";X=1", "\"a\";x=",
        "\"\x7f\"", "\"a\";x=\"b\\", "\"a\";x=(1)", "\"a\tb\"",     "1",         "\"a\", \"b"};
    (void)state;
    for (size_t i = 0; i < weir_count(values); i++)
        check("Cache-Groups", values[i], "");
    struct field lines[] = {field_of("Cache-Groups", "\"a\""), field_of("Cache-Groups", "b"),
                            field_of("Cache-Tag", "c")};
    struct cache_tags *tags = read_tags(KEY, lines, 3);
    assert_int_equal(tags->count, 1);
    assert_true(has_name(tags, "c"));
    cache_tags_free(cache, tags);
    char value[2 * 1024 + 4] = "\"\\\""; /* with an escape in it, up to 1024 bytes */
    memset(value + 3, 'x', 1023);
    strcpy(value + 3 + 1023, "\"");
    struct field f = field_of("Cache-Groups", value);
    tags = read_tags(KEY, &f, 1);
    assert_int_equal(tags->count, 2);
    cache_tags_free(cache, tags);
    strcpy(value + 3 + 1023, "x\"");
    f = field_of("Cache-Groups", value);
    assert_null(read_tags(KEY, &f, 1));
    /* without one, it may be as long as it likes */
    memcpy(value + 1, "xx", 2);
    f = field_of("Cache-Groups", value);
    tags = read_tags(KEY, &f, 1);
    assert_int_equal(tags->count, 2);
    cache_tags_free(cache, tags);
    check("Cache-Groups", "\"a\\\"b\", \"c\\\\d\"", "a\"b|c\\d");
}

static void test_several_lines_and_kinds(void **state)
{
    struct field lines[] = {field_of("Surrogate-Key", "a"), field_of("Cache-Tag", "b"),
                            field_of("Cache-Groups", "\"g\""), field_of("Surrogate-Key", "c"),
                            field_of("Cache-Groups", "\"h\"")};
    (void)state;
    struct cache_tags *tags = read_tags(KEY, lines, 5);
    assert_int_equal(tags->count, 7);
    assert_true(has_name(tags, "a") && has_name(tags, "b") && has_name(tags, "c"));
    assert_true(has_group(tags, "g") && has_group(tags, "h") && !has_group(tags, "a"));
    assert_false(tags->every);
    assert_false(has(tags, cache_tag_of_group(cache, STR("https://a.example"), STR("g"))));
    cache_tags_free(cache, tags);
}

static void test_a_longer_key_has_its_url(void **state)
{
    (void)state;
    assert_null(read_tags(KEY, NULL, 0));
    struct cache_tags *tags = read_tags(KEY "\nAccept: x", NULL, 0);
    assert_int_equal(tags->count, 1);
    assert_true(has(tags, cache_tag_of_url(cache, STR(KEY))));
    assert_int_equal(tags->list[0] & CACHE_TAG_BITS, CACHE_TAG_OF_URL);
    cache_tags_free(cache, tags);
}

static char *numbered(unsigned count, const char *format)
{
    static char text[16 * 1024];
    size_t len = 0;
    text[0] = '\0';
    for (unsigned i = 0; i < count; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, format, i);
    if (len > 0 && text[len - 1] == ',')
        text[len - 1] = '\0';
    return text;
}

static void test_too_many(void **state)
{
    struct cache_tags *tags;
    (void)state;
    struct field f = field_of("Surrogate-Key", numbered(CACHE_TAGS_MOST, "t%u "));
    tags = read_tags(KEY, &f, 1);
    assert_int_equal(tags->count, CACHE_TAGS_MOST);
    assert_false(tags->every);
    cache_tags_free(cache, tags);
    f = field_of("Surrogate-Key", numbered(CACHE_TAGS_MOST + 1, "t%u "));
    tags = read_tags(KEY, &f, 1);
    assert_int_equal(tags->count, CACHE_TAGS_MOST);
    assert_true(tags->every);
    assert_false(has(tags, cache_tag_of_any_group(cache, STR(ORIGIN))));
    cache_tags_free(cache, tags);
    f = field_of("Cache-Groups", numbered(CACHE_TAGS_MOST / 2, "\"g%u\","));
    tags = read_tags(KEY, &f, 1);
    assert_false(tags->every);
    cache_tags_free(cache, tags);
    f = field_of("Cache-Groups", numbered(CACHE_TAGS_MOST / 2 + 1, "\"g%u\","));
    tags = read_tags(KEY, &f, 1);
    assert_true(tags->every);
    assert_true(has(tags, cache_tag_of_any_group(cache, STR(ORIGIN))));
    cache_tags_free(cache, tags);
    struct field lines[] = {f, field_of("Surrogate-Key", "a")}; /* and others after the groups */
    tags = read_tags(KEY, lines, 2);
    assert_true(tags->every);
    assert_true(has(tags, cache_tag_of_any_group(cache, STR(ORIGIN))));
    cache_tags_free(cache, tags);
}

/* Stores KEY with these fields, and renews its tags by those of a 304. */
static struct cache_tags *renew(const struct field *old, unsigned old_count,
                                const struct field *fields, unsigned count)
{
    struct cache_object_parts parts = {.key = key_of(cache, KEY),
                                       .tags = read_tags(KEY, old, old_count)};
    struct cache_object *object = cache_object_new(cache, &parts);
    struct cache_tags *tags;
    assert_true(cache_tags_renew(cache, object, (struct fields){fields, count}, &tags));
    cache_object_release(&object);
    return tags;
}

static void test_a_304(void **state)
{
    struct field old[] = {field_of("Surrogate-Key", "a"), field_of("Cache-Tag", "b"),
                          field_of("Cache-Groups", "\"g\"")};
    struct field new_key = field_of("Surrogate-Key", "z"), other = field_of("Date", "x");
    struct field new_groups = field_of("Cache-Groups", "\"h\"");
    (void)state;
    struct cache_tags *tags = renew(old, 3, &other, 1);
    assert_int_equal(tags->count, 4);
    assert_true(has_name(tags, "a") && has_name(tags, "b") && has_group(tags, "g"));
    cache_tags_free(cache, tags);
    tags = renew(old, 3, &new_key, 1);
    assert_int_equal(tags->count, 4);
    assert_true(!has_name(tags, "a") && has_name(tags, "z") && has_name(tags, "b"));
    cache_tags_free(cache, tags);
    tags = renew(old, 3, &new_groups, 1);
    assert_true(!has_group(tags, "g") && !has_name(tags, "g") && has_group(tags, "h"));
    assert_true(has_name(tags, "a") && has_name(tags, "b"));
    cache_tags_free(cache, tags);
    assert_null(renew(NULL, 0, &other, 1));
    tags = renew(NULL, 0, &new_key, 1);
    assert_int_equal(tags->count, 1);
    cache_tags_free(cache, tags);
    struct field many = field_of("Cache-Groups", numbered(CACHE_TAGS_MOST / 2 + 1, "\"g%u\","));
    tags = renew(&many, 1, &other, 1);
    assert_true(tags->every && has(tags, cache_tag_of_any_group(cache, STR(ORIGIN))));
    cache_tags_free(cache, tags);
    /* What it bore beyond them is not known: it bears all still. */
    many = field_of("Surrogate-Key", numbered(CACHE_TAGS_MOST + 1, "t%u "));
    tags = renew(&many, 1, &new_key, 1);
    assert_true(tags->every && has_name(tags, "z"));
    cache_tags_free(cache, tags);
}

static void test_parts_of_a_key(void **state)
{
    (void)state;
    assert_true(str_equal(cache_key_origin(STR("http://h/")), STR("http://h")));
    assert_true(str_equal(cache_key_origin(STR("http://[::1]:80/a//b")), STR("http://[::1]:80")));
    assert_true(str_equal(cache_key_origin(STR("http://h*")), STR("http://h*")));
    assert_true(str_equal(cache_key_url(STR("http://h/a")), STR("http://h/a")));
    assert_true(str_equal(cache_key_url(STR("http://h/a\nb\nc")), STR("http://h/a")));
    assert_true(cache_tag_of_name(cache, STR("a")) != cache_tag_of_url(cache, STR("a")));
    assert_true(cache_tag_of_group(cache, STR("a"), STR("")) !=
                cache_tag_of_any_group(cache, STR("a")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_malformed_groups),
        cmocka_unit_test(test_several_lines_and_kinds),
        cmocka_unit_test(test_a_longer_key_has_its_url),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_a_304),
        cmocka_unit_test(test_parts_of_a_key),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
