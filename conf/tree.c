/*
 * YAML events into a tree of nodes with marks.
 *
 * Called by load.c. What is not YAML ends the reading at once, as nothing after it can be trusted;
 * what is YAML but not wanted here (tags, merge keys, duplicate keys, a variable that is not set)
 * is noted and left out. Aliases lead to the anchored node itself, so a file of nested aliases
 * costs no memory; how many nodes a reader would meet is counted and bounded all the same. Nodes
 * live in the caller's arena.
 */
#include "conf/tree.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

struct anchor {
    struct anchor *next;
    const char *name;
    struct node *node;
};

struct composer {
    struct arena *arena;
    struct problems *problems;
    yaml_parser_t parser;
    const char *text;
    size_t len;
    struct anchor *anchors;
    unsigned anchors_count;
    unsigned nodes;
    bool failed;
};

void *conf_arena_alloc(struct arena *arena, size_t bytes)
{
    void *ptr = arena_alloc(arena, bytes);
    if (!ptr) {
        log_error("reading the configuration: out of memory; stopping");
        exit(2);
    }
    memset(ptr, 0, bytes);
    return ptr;
}

const char *conf_arena_text(struct arena *arena, struct str text)
{
    char *copy = conf_arena_alloc(arena, text.len + 1);
    if (text.len > 0)
        memcpy(copy, text.ptr, text.len);
    return copy;
}

static struct mark mark_of(yaml_mark_t mark)
{
    return (struct mark){(unsigned)mark.line + 1, (unsigned)mark.column + 1};
}

/* Replaces all that was noted: a syntax error is told alone. */
static void fail(struct composer *c, struct mark mark, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void fail(struct composer *c, struct mark mark, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    for (unsigned i = 0; i < c->problems->count; i++)
        free(c->problems->list[i].text);
    c->problems->count = 0;
    c->problems->more = false;
    problem_add(c->problems, mark, "%s", text);
    c->problems->syntax = true;
    c->failed = true;
}

/* The place of a byte, columns in characters as libyaml counts them. */
static struct mark mark_at(const struct composer *c, size_t offset)
{
    struct mark mark = {1, 1};
    for (size_t i = 0; i < offset && i < c->len; i++) {
        unsigned char byte = (unsigned char)c->text[i];
        if (byte == '\n') {
            mark.line++;
            mark.column = 1;
        } else if ((byte & 0xc0) != 0x80) {
            mark.column++;
        }
    }
    return mark;
}

/* Whether a tab stands among the blanks that lead to this place or at it. */
static bool is_tab_at(const struct composer *c, yaml_mark_t mark)
{
    const char *at = c->text, *end = c->text + c->len;
    for (size_t line = 0; line < mark.line && at; line++) {
        at = memchr(at, '\n', (size_t)(end - at));
        if (at)
            at++;
    }
    for (size_t column = 0; at && at < end && column <= mark.column; column++, at++) {
        if (*at == '\t')
            return true;
        if (*at != ' ')
            return false;
    }
    return false;
}

static void fail_from_parser(struct composer *c)
{
    const yaml_parser_t *p = &c->parser;
    const char *problem = p->problem ? p->problem : "unknown reason";
    if (p->error == YAML_MEMORY_ERROR) {
        fail(c, (struct mark){0, 0}, "out of memory; the file was not read");
    } else if (p->error == YAML_READER_ERROR) {
        struct mark mark = mark_at(c, p->problem_offset);
        if (p->problem_value >= 0)
            fail(c, mark, "not valid YAML: %s (0x%x); save the file as UTF-8 text", problem,
                 (unsigned)p->problem_value);
        else
            fail(c, mark, "not valid YAML: %s; save the file as UTF-8 text", problem);
    } else if (is_tab_at(c, p->problem_mark)) {
        fail(c, mark_of(p->problem_mark),
             "not valid YAML: a tab where blanks are expected; "
             "indent with spaces");
    } else if (p->context) {
        fail(c, mark_of(p->problem_mark),
             "not valid YAML: %s %s that began on line %zu; check the indentation, and quote a "
             "value that begins with one of * & ! [ { %% @",
             problem, p->context, p->context_mark.line + 1);
    } else {
        fail(c, mark_of(p->problem_mark), "not valid YAML: %s; correct it there", problem);
    }
}

static bool next_event(struct composer *c, yaml_event_t *event)
{
    if (yaml_parser_parse(&c->parser, event))
        return true;
    memset(event, 0, sizeof(*event));
    fail_from_parser(c);
    return false;
}

/* ---- scalars ---- */

static bool is_name_byte(char c, bool first)
{
    return (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') || c == '_' ||
           (!first && c >= '0' && c <= '9');
}

/* Reads "${NAME}" or "${NAME:-default}" at the start of rest and appends what it stands for. */
static bool expand_one(struct composer *c, struct mark mark, struct str *rest, struct appender *out)
{
    size_t name_len = 2;
    while (name_len < rest->len && is_name_byte(rest->ptr[name_len], name_len == 2))
        name_len++;
    name_len -= 2;
    const char *end = memchr(rest->ptr, '}', rest->len);
    const char *after = rest->ptr + 2 + name_len;
    bool has_default = end && end - after >= 2 && after[0] == ':' && after[1] == '-';
    char name[256];
    if (!end || name_len == 0 || name_len >= sizeof(name) || (after != end && !has_default)) {
        problem_add(c->problems, mark,
                    "\"%s\" is not a variable; write ${NAME} or ${NAME:-default}",
                    QUOTED(str_of(rest->ptr, end ? (size_t)(end + 1 - rest->ptr) : rest->len)));
        return false;
    }
    memcpy(name, rest->ptr + 2, name_len);
    name[name_len] = '\0';
    const char *value = getenv(name);
    /* As in a shell, ":-" also stands in for an empty variable. */
    if (has_default && (!value || *value == '\0')) {
        append(out, after + 2, (size_t)(end - after - 2));
    } else if (value) {
        append_str(out, str_from(value));
    } else {
        problem_add(c->problems, mark,
                    "the environment variable %s is not set; set it, or write ${%s:-default}",
                    QUOTED(str_from(name)), QUOTED(str_from(name)));
        return false;
    }
    size_t taken = (size_t)(end + 1 - rest->ptr);
    *rest = str_of(rest->ptr + taken, rest->len - taken);
    return true;
}

static bool expand(struct composer *c, struct mark mark, struct str text, struct appender *out)
{
    while (text.len > 0) {
        const char *dollar = memchr(text.ptr, '$', text.len);
        size_t plain = dollar ? (size_t)(dollar - text.ptr) : text.len;
        append(out, text.ptr, plain);
        text = str_of(text.ptr + plain, text.len - plain);
        if (text.len == 0)
            break;
        if (text.len >= 2 && text.ptr[1] == '{') {
            if (!expand_one(c, mark, &text, out))
                return false;
        } else {
            append(out, text.ptr, 1);
            text = str_of(text.ptr + 1, text.len - 1);
        }
    }
    return true;
}

static void set_scalar(struct composer *c, struct node *node, struct str text, bool is_key)
{
    node->kind = NODE_BAD;
    char buffer[TREE_MAX_SCALAR];
    struct appender out = appender_on(buffer, sizeof(buffer));
    if (is_key)
        append_str(&out, text);
    else if (!expand(c, node->mark, text, &out))
        return;
    if (out.overflow) {
        problem_add(c->problems, node->mark, "longer than %u bytes; shorten it", TREE_MAX_SCALAR);
        return;
    }
    for (size_t i = 0; i < out.len; i++) {
        unsigned char byte = (unsigned char)buffer[i];
        if (byte < 0x20 || byte == 0x7f) {
            problem_add(c->problems, node->mark,
                        "holds a line break or a control character; remove it");
            return;
        }
    }
    node->kind = NODE_SCALAR;
    node->text = str_of(conf_arena_text(c->arena, str_of(buffer, out.len)), out.len);
}

/* ---- collections ---- */

static struct node *compose(struct composer *c, yaml_event_t *event, unsigned depth, bool is_key);

static bool count_nodes(struct composer *c, struct mark mark, unsigned more)
{
    if (more <= TREE_MAX_NODES - c->nodes) {
        c->nodes += more;
        return true;
    }
    fail(c, mark, "more than %u values, aliases counted; make the file smaller", TREE_MAX_NODES);
    return false;
}

static struct node_entry *add_entry(struct composer *c, struct node *node, struct node *key,
                                    struct node *value)
{
    struct node_entry *entry = conf_arena_alloc(c->arena, sizeof(*entry));
    *entry = (struct node_entry){.key = key, .value = value};
    *node->last = entry;
    node->last = &entry->next;
    node->count++;
    return entry;
}

static void compose_sequence(struct composer *c, struct node *node, unsigned depth)
{
    yaml_event_t event;
    while (next_event(c, &event)) {
        if (event.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&event);
            return;
        }
        struct node *value = compose(c, &event, depth + 1, false);
        if (!value)
            return;
        add_entry(c, node, NULL, value);
    }
}

static int compare_keys(const void *left, const void *right)
{
    const struct node_entry *a = *(struct node_entry *const *)left;
    const struct node_entry *b = *(struct node_entry *const *)right;
    int order = strcmp(a->key->text.ptr, b->key->text.ptr);
    if (order != 0)
        return order;
    if (a->key->mark.line != b->key->mark.line)
        return a->key->mark.line < b->key->mark.line ? -1 : 1;
    return a->key->mark.column < b->key->mark.column ? -1 : 1;
}

static void find_duplicates(struct composer *c, struct node *node)
{
    if (node->count < 2)
        return;
    struct node_entry **sorted = base_alloc(node->count * sizeof(struct node_entry *));
    unsigned count = 0;
    for (struct node_entry *entry = node->first; entry; entry = entry->next) {
        if (!entry->skip)
            sorted[count++] = entry;
    }
    if (count > 1)
        qsort(sorted, count, sizeof(struct node_entry *), compare_keys);
    for (unsigned i = 1; i < count; i++) {
        const struct node *first = sorted[i - 1]->key, *second = sorted[i]->key;
        if (!str_equal(first->text, second->text))
            continue;
        problem_add(c->problems, second->mark,
                    "duplicate key \"%s\", which line %u has already; remove one of them",
                    QUOTED(second->text), first->mark.line);
        sorted[i]->skip = true;
    }
    free(sorted);
}

static void judge_key(struct composer *c, struct node_entry *entry)
{
    const struct node *key = entry->key;
    entry->skip = true;
    if (key->kind == NODE_BAD)
        return;
    if (key->kind != NODE_SCALAR)
        problem_add(c->problems, key->mark, "a key that is a list or a mapping; write a name");
    else if (str_equal(key->text, STR("<<")))
        problem_add(c->problems, key->mark,
                    "merge keys do not work here; write the settings out, or use an alias for the "
                    "whole value");
    else
        entry->skip = false;
}

static void compose_mapping(struct composer *c, struct node *node, unsigned depth)
{
    yaml_event_t event;
    while (next_event(c, &event)) {
        if (event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            find_duplicates(c, node);
            return;
        }
        struct node *key = compose(c, &event, depth + 1, true);
        if (!key || !next_event(c, &event))
            return;
        struct node *value = compose(c, &event, depth + 1, false);
        if (!value)
            return;
        judge_key(c, add_entry(c, node, key, value));
    }
}

/* ---- nodes ---- */

static struct node *make_node(struct composer *c, enum node_kind kind, struct mark mark)
{
    if (!count_nodes(c, mark, 1))
        return NULL;
    struct node *node = conf_arena_alloc(c->arena, sizeof(*node));
    node->kind = kind;
    node->mark = mark;
    node->last = &node->first;
    node->weight = 1;
    return node;
}

static struct node *find_alias(struct composer *c, const char *name, struct mark mark)
{
    struct anchor *anchor = c->anchors;
    while (anchor && strcmp(anchor->name, name) != 0)
        anchor = anchor->next;
    if (anchor && !anchor->node->open)
        return count_nodes(c, mark, anchor->node->weight) ? anchor->node : NULL;
    struct str text = str_from(name);
    if (anchor)
        problem_add(c->problems, mark, "the alias \"*%s\" stands inside its own anchor; remove it",
                    QUOTED(text));
    else
        problem_add(
            c->problems, mark,
            "the alias \"*%s\" has no anchor before it; write \"&%s\" before the value that "
            "is meant, or quote it if it is no alias",
            QUOTED(text), QUOTED(text));
    return make_node(c, NODE_BAD, mark);
}

static bool add_anchor(struct composer *c, const yaml_char_t *name, struct node *node)
{
    if (!name)
        return true;
    if (c->anchors_count == TREE_MAX_ANCHORS) {
        fail(c, node->mark, "more than %u anchors; make the file smaller", TREE_MAX_ANCHORS);
        return false;
    }
    struct anchor *anchor = conf_arena_alloc(c->arena, sizeof(*anchor));
    anchor->name = conf_arena_text(c->arena, str_from((const char *)name));
    anchor->node = node;
    anchor->next = c->anchors;
    c->anchors = anchor;
    c->anchors_count++;
    return true;
}

/* Returns false for a node that is no use because of its tag. */
static bool judge_tag(struct composer *c, const yaml_char_t *tag, struct mark mark)
{
    if (tag)
        problem_add(
            c->problems, mark,
            "tags do not work here; remove the tag, or quote the value if it begins with !");
    return !tag;
}

/* The node that starts with this event, which is consumed; NULL when the reading has failed. */
static struct node *compose(struct composer *c, yaml_event_t *event, unsigned depth, bool is_key)
{
    struct mark mark = mark_of(event->start_mark);
    struct node *node = NULL;
    const yaml_char_t *anchor = NULL, *tag = NULL;
    if (depth > TREE_MAX_DEPTH) {
        fail(c, mark, "nested deeper than %u levels; nothing here needs that", TREE_MAX_DEPTH);
    } else if (event->type == YAML_ALIAS_EVENT) {
        node = find_alias(c, (const char *)event->data.alias.anchor, mark);
    } else if (event->type == YAML_SCALAR_EVENT) {
        node = make_node(c, NODE_SCALAR, mark);
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
        if (node)
            set_scalar(c, node,
                       str_of((const char *)event->data.scalar.value, event->data.scalar.length),
                       is_key);
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        node = make_node(c, NODE_SEQUENCE, mark);
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
    } else {
        weir_assert(event->type == YAML_MAPPING_START_EVENT);
        node = make_node(c, NODE_MAPPING, mark);
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
    }
    bool starts =
        event->type == YAML_SEQUENCE_START_EVENT || event->type == YAML_MAPPING_START_EVENT;
    bool useful = node && judge_tag(c, tag, mark);
    if (node && !add_anchor(c, anchor, node))
        node = NULL;
    yaml_event_delete(event);
    if (node && starts) {
        unsigned before = c->nodes;
        node->open = true;
        if (node->kind == NODE_SEQUENCE)
            compose_sequence(c, node, depth);
        else
            compose_mapping(c, node, depth);
        node->open = false;
        node->weight += c->nodes - before;
    }
    if (node && !useful)
        node->kind = NODE_BAD;
    return c->failed ? NULL : node;
}

static struct node *compose_document(struct composer *c)
{
    yaml_event_t event;
    struct node *root = NULL;
    if (!next_event(c, &event))
        return NULL;
    yaml_event_delete(&event); /* the stream's start */
    if (!next_event(c, &event))
        return NULL;
    bool empty = event.type == YAML_STREAM_END_EVENT;
    yaml_event_delete(&event); /* the document's start */
    if (empty) {
        fail(c, (struct mark){1, 1}, "the file is empty; write at least upstreams and routes");
        return NULL;
    }
    if (!next_event(c, &event) || !(root = compose(c, &event, 1, false)))
        return NULL;
    if (!next_event(c, &event))
        return NULL;
    yaml_event_delete(&event); /* the document's end */
    if (!next_event(c, &event))
        return NULL;
    if (event.type != YAML_STREAM_END_EVENT)
        fail(c, mark_of(event.start_mark), "a second document; keep one, without \"---\" after it");
    yaml_event_delete(&event);
    return c->failed ? NULL : root;
}

struct node *tree_parse(struct arena *arena, const char *text, size_t len,
                        struct problems *problems)
{
    struct composer c = {.arena = arena, .problems = problems, .text = text, .len = len};
    if (!yaml_parser_initialize(&c.parser)) {
        fail(&c, (struct mark){0, 0}, "out of memory; the file was not read");
        return NULL;
    }
    yaml_parser_set_input_string(&c.parser, (const unsigned char *)text, len);
    struct node *root = compose_document(&c);
    yaml_parser_delete(&c.parser);
    return root;
}
