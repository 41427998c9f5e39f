/*
 * From a file, or from "--to", to a snapshot.
 *
 * Called on the main thread, at the start and at a reload. The tree of the file is walked along the
 * table of keys: a mapping's keys are looked up under the path that led there, groups are entered,
 * collections make an array of structures with all defaults set, values go to the reader of their
 * type. Then the whole is checked. Tree and notes live in a scratch arena that ends with the load;
 * the snapshot owns an arena of its own and goes with its last reference, on any thread.
 */
#include "conf/keys.h"
#include "conf/machine.h"
#include "conf/units.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define CONF_MAGIC 0x636f6e66u
#define CONF_CHUNK_BYTES 4096
#define FILE_BYTES_MAX (1u << 20)
#define WORKERS_MAX 256
#define MEMORY_LEAST (64ull << 20)
#define MEMORY_STEP (1ull << 20)
#define UPSTREAM_NAME_MAX 64

/* What a mapping's values go to. */
struct target {
    void *base;
    enum key_scope scope;
    uint64_t seen; /* a bit per row of the table */
};

/* ---- the snapshot ---- */

static struct conf *make_conf(void)
{
    struct conf *conf = base_alloc_zero(sizeof(*conf));
    conf->magic = CONF_MAGIC;
    atomic_init(&conf->refs, 1);
    arena_init(&conf->arena, CONF_CHUNK_BYTES);
    return conf;
}

struct conf *conf_ref(struct conf *conf)
{
    weir_check_magic(conf, CONF_MAGIC);
    atomic_fetch_add_explicit(&conf->refs, 1, memory_order_relaxed);
    return conf;
}

void conf_release(struct conf **from)
{
    struct conf *conf = weir_take(from);
    weir_check_magic(conf, CONF_MAGIC);
    unsigned before = atomic_fetch_sub_explicit(&conf->refs, 1, memory_order_acq_rel);
    weir_assert(before > 0);
    if (before > 1)
        return;
    conf->magic = 0;
    arena_destroy(&conf->arena);
    free(conf);
}

static void set_defaults(struct loader *loader, struct target *target)
{
    for (unsigned i = 0; i < key_table_count; i++) {
        if (key_table[i].scope == target->scope)
            value_read_default(loader, &key_table[i], target->base);
    }
}

/* Rounded down to a size that reads well. */
static uint64_t in_whole_steps(uint64_t bytes)
{
    return bytes & ~(MEMORY_STEP - 1);
}

/* What "auto" stands for on this machine. */
static void resolve_auto(struct loader *loader)
{
    struct conf *conf = loader->conf;
    struct conf_machine *machine = &conf->machine;
    struct mark mark;
    machine_read(MACHINE_PROC_CGROUP, MACHINE_SYS_CGROUP, machine);
    uint64_t quarter = machine->memory_bytes / 4;
    machine->auto_workers = machine->cpus < WORKERS_MAX ? machine->cpus : WORKERS_MAX;
    machine->auto_cache_memory = quarter > MEMORY_LEAST ? in_whole_steps(quarter) : MEMORY_LEAST;
    if (conf->workers == 0)
        conf->workers = machine->auto_workers;
    if (conf->cache_memory == 0)
        conf->cache_memory = machine->auto_cache_memory;
    if (conf->cache_max_object > conf->cache_memory &&
        !loader_mark(loader, conf, "cache.max_object", &mark))
        conf->cache_max_object = conf->cache_memory;
}

/* Gives the snapshot out, or nothing but the problems. */
static struct conf *finish(struct loader *loader, const char *name, struct conf_errors *errors)
{
    struct conf *conf = weir_take(&loader->conf);
    if (loader->problems.count > 0) {
        problems_finish(&loader->problems, name, errors);
        conf_release(&conf);
    }
    arena_destroy(&loader->scratch);
    return conf;
}

/* ---- notes ---- */

bool loader_mark(const struct loader *loader, const void *base, const char *path, struct mark *mark)
{
    for (const struct value_note *note = loader->values; note; note = note->next) {
        if (note->base == base && strcmp(note->key->path, path) == 0) {
            *mark = note->mark;
            return true;
        }
    }
    return false;
}

static void note_value(struct loader *loader, const struct key *key, const void *base,
                       struct mark mark)
{
    struct value_note *note = conf_arena_alloc(&loader->scratch, sizeof(*note));
    *note = (struct value_note){loader->values, base, key, mark};
    loader->values = note;
}

/* ---- walking the file ---- */

static void read_collection(struct loader *loader, const char *path, const struct node *node);

static bool is_mapping(struct loader *loader, const char *name, const struct node *node)
{
    if (node->kind == NODE_BAD)
        return false;
    if (node->kind != NODE_MAPPING)
        problem_add(
            &loader->problems, node->mark,
            "%s takes settings of its own; write them below it, indented, as \"key: value\"", name);
    return node->kind == NODE_MAPPING;
}

/* The prefix ends with a dot, or is empty. */
static void read_mapping(struct loader *loader, const struct node *node, const char *prefix,
                         struct target *target)
{
    for (const struct node_entry *entry = node->first; entry; entry = entry->next) {
        if (entry->skip)
            continue;
        const struct node *name = entry->key, *value = entry->value;
        char path[KEY_PATH_BYTES];
        const struct key *key = NULL;
        int len = snprintf(path, sizeof(path) - 1, "%s%s", prefix, name->text.ptr);
        bool plain = strcspn(name->text.ptr, ".[*") == name->text.len && name->text.len > 0 &&
                     (size_t)len < sizeof(path) - 1;
        switch (plain ? key_find(path, &key) : KEY_UNKNOWN) {
        case KEY_UNKNOWN:
            key_report_unknown(&loader->problems, name->mark, prefix, name->text);
            break;
        case KEY_VALUE:
            target->seen |= 1ull << (key - key_table);
            note_value(loader, key, target->base, value->mark);
            value_read(loader, key, value, target->base);
            break;
        case KEY_GROUP:
            if (is_mapping(loader, name->text.ptr, value))
                read_mapping(loader, value, strcat(path, "."), target);
            break;
        case KEY_LIST:
        case KEY_NAMED:
            read_collection(loader, path, value);
            break;
        }
    }
}

static void require_keys(struct loader *loader, const struct target *target, struct mark mark,
                         const char *what)
{
    for (unsigned i = 0; i < key_table_count; i++) {
        const struct key *key = &key_table[i];
        if (key->scope == target->scope && !(target->seen & 1ull << i) &&
            strcmp(key->default_text, "(required)") == 0)
            problem_add(&loader->problems, mark, "%s has no %s; add it", what, key_name(key));
    }
}

static void check_upstream_name(struct loader *loader, const struct node *key)
{
    struct str name = key->text;
    bool good = name.len > 0 && name.len <= UPSTREAM_NAME_MAX;
    for (size_t i = 0; good && i < name.len; i++) {
        char c = ascii_lower(name.ptr[i]);
        good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || strchr("_.-", c);
    }
    if (!good)
        problem_add(&loader->problems, key->mark,
                    "\"%s\" does not work as a name; use at most %d letters, digits, dots, - and _",
                    QUOTED(name), UPSTREAM_NAME_MAX);
}

static void name_route(struct loader *loader, struct conf_route *route, const struct node *node)
{
    struct str host = {NULL, 0}, path = {NULL, 0};
    for (const struct node_entry *entry = node->first; entry; entry = entry->next) {
        if (!entry->key || entry->skip || entry->value->kind != NODE_SCALAR)
            continue;
        if (str_equal(entry->key->text, STR("host")))
            host = entry->value->text;
        else if (str_equal(entry->key->text, STR("path")))
            path = entry->value->text;
    }
    route_set_name(&loader->conf->arena, route, host, path);
}

static void read_element(struct loader *loader, const struct key_collection *collection,
                         const struct node_entry *entry, struct target *target, unsigned index)
{
    const struct node *node = entry->value;
    struct conf_upstream *upstream = target->base;
    struct conf_route *route = target->base;
    unsigned problems_before = loader->problems.count;
    char what[QUOTED_BYTES + 16] = "this entry";
    if (collection->scope == SCOPE_conf_upstream) {
        check_upstream_name(loader, entry->key);
        upstream->name = conf_arena_text(&loader->conf->arena, entry->key->text);
        upstream->index = index;
        upstream->path_prefix = "";
        snprintf(what, sizeof(what), "the upstream \"%s\"", QUOTED(entry->key->text));
    } else if (collection->scope == SCOPE_conf_route) {
        route->index = index;
        route->line = node->mark.line;
        loader->routes[index].mark = node->mark;
        strcpy(what, "this route");
    }
    set_defaults(loader, target);
    if (is_mapping(loader, what, node)) {
        read_mapping(loader, node, collection->prefix, target);
        require_keys(loader, target, entry->key ? entry->key->mark : node->mark, what);
    }
    bool bad = node->kind == NODE_BAD || loader->problems.count != problems_before;
    if (collection->scope == SCOPE_conf_route) {
        name_route(loader, route, node);
        loader->routes[index].bad |= bad;
    } else if (collection->scope == SCOPE_conf_listen && bad) {
        /* Not the address that was meant, so nothing is to be compared with it. */
        ((struct conf_listen *)target->base)->address = (struct conf_address){0};
    }
}

static void read_collection(struct loader *loader, const char *path, const struct node *node)
{
    const struct key_collection *collection = key_collection_find(path);
    weir_assert(collection);
    enum node_kind wanted = collection->scope == SCOPE_conf_upstream ? NODE_MAPPING : NODE_SEQUENCE;
    ptrdiff_t which = collection - key_collections;
    loader->collections[which] = node->mark;
    if (node->kind != wanted) {
        loader->broken[which] = true;
        if (node->kind != NODE_BAD)
            problem_add(&loader->problems, node->mark, "%s takes a %s; write %s", path,
                        wanted == NODE_MAPPING ? "mapping" : "list",
                        wanted == NODE_MAPPING ? "each name below it, indented, with its settings"
                                               : "each entry below it, after \"- \"");
        return;
    }
    unsigned count = 0;
    for (const struct node_entry *entry = node->first; entry; entry = entry->next)
        count += !entry->skip;
    key_collection_make(collection, loader->conf, count);
    if (collection->scope == SCOPE_conf_route)
        loader->routes = conf_arena_alloc(&loader->scratch, (count + 1) * sizeof(*loader->routes));
    char *element = key_collection_list(collection, loader->conf);
    unsigned index = 0;
    for (const struct node_entry *entry = node->first; entry; entry = entry->next) {
        struct target target = {element, collection->scope, 0};
        if (entry->skip)
            continue;
        read_element(loader, collection, entry, &target, index++);
        element += collection->element_bytes;
    }
}

/* One element with all defaults. */
static void *make_default_element(struct loader *loader, const char *path)
{
    const struct key_collection *collection = key_collection_find(path);
    key_collection_make(collection, loader->conf, 1);
    struct target target = {key_collection_list(collection, loader->conf), collection->scope, 0};
    set_defaults(loader, &target);
    return target.base;
}

static void start_loading(struct loader *loader, struct target *top)
{
    *loader = (struct loader){.conf = make_conf()};
    arena_init(&loader->scratch, CONF_CHUNK_BYTES);
    *top = (struct target){loader->conf, SCOPE_conf, 0};
    set_defaults(loader, top);
}

struct conf *conf_parse(const char *name, const char *text, size_t len, struct conf_errors *errors)
{
    struct loader loader;
    struct target top;
    *errors = (struct conf_errors){0};
    start_loading(&loader, &top);
    loader.conf->path = conf_arena_text(&loader.conf->arena, str_from(name));
    if (len > FILE_BYTES_MAX) {
        problem_add(&loader.problems, (struct mark){0, 0},
                    "larger than 1MiB; make it smaller, or give the right file");
        return finish(&loader, name, errors);
    }
    const struct node *root = tree_parse(&loader.scratch, text, len, &loader.problems);
    if (!root)
        return finish(&loader, name, errors);
    loader.root = root->mark;
    if (is_mapping(&loader, "the file", root)) {
        read_mapping(&loader, root, "", &top);
        if (loader.collections[0].line == 0)
            make_default_element(&loader, "listen");
        resolve_auto(&loader);
        check_conf(&loader);
    }
    return finish(&loader, name, errors);
}

/* ---- files ---- */

/* Reads at most one byte more than a file may have; -1 with errno. *text is owned by the caller. */
static ssize_t read_file(const char *path, char **text)
{
    int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    size_t len = 0;
    ssize_t got = 1;
    *text = base_alloc(FILE_BYTES_MAX + 1);
    while (got > 0 && len <= FILE_BYTES_MAX) {
        got = read(fd, *text + len, FILE_BYTES_MAX + 1 - len);
        if (got > 0)
            len += (size_t)got;
        else if (got < 0 && errno == EINTR)
            got = 1;
    }
    int saved_errno = errno;
    if (fd != STDIN_FILENO)
        close(fd);
    errno = saved_errno;
    return got < 0 ? -1 : (ssize_t)len;
}

struct conf *conf_load(const char *path, struct conf_errors *errors)
{
    char *text = NULL;
    struct conf *conf = NULL;
    ssize_t len = read_file(path, &text);
    const char *name = strcmp(path, "-") == 0 ? "stdin" : path;
    if (len >= 0) {
        conf = conf_parse(name, text, (size_t)len, errors);
        if (conf)
            conf->path = conf_arena_text(&conf->arena, str_from(path));
    } else {
        struct problems problems = {0};
        problem_add(&problems, (struct mark){0, 0},
                    "cannot be read: %s; give the path of a readable file", strerror(errno));
        *errors = (struct conf_errors){.unreadable = true};
        problems_finish(&problems, name, errors);
    }
    free(text);
    return conf;
}

/* ---- without a file ---- */

static void read_option(struct loader *loader, const char *option, const char *text,
                        struct conf_address *out)
{
    const char *why;
    if (text && !address_parse_local(&loader->conf->arena, str_from(text), out, &why))
        problem_add(&loader->problems, (struct mark){0, 0}, "%s \"%s\" %s", option,
                    QUOTED(str_from(text)), why);
}

struct conf *conf_for_origin(const char *to, const char *listen, const char *admin,
                             struct conf_errors *errors)
{
    struct loader loader;
    struct target top;
    const char *why;
    *errors = (struct conf_errors){0};
    start_loading(&loader, &top);
    struct conf *conf = loader.conf;
    struct conf_listen *front = make_default_element(&loader, "listen");
    struct conf_upstream *upstream = make_default_element(&loader, "upstreams");
    struct conf_route *route = make_default_element(&loader, "routes");
    read_option(&loader, "--listen", listen ? listen : "127.0.0.1:8080", &front->address);
    read_option(&loader, "--admin", admin, &conf->admin);
    upstream->name = "origin";
    upstream->host = CONF_HOST_ORIGIN;
    upstream->servers = conf_arena_alloc(&conf->arena, sizeof(*upstream->servers));
    upstream->servers_count = 1;
    if (!address_parse_server(&conf->arena, str_from(to), upstream->servers, &upstream->path_prefix,
                              &why))
        problem_add(&loader.problems, (struct mark){0, 0}, "--to \"%s\" %s", QUOTED(str_from(to)),
                    why);
    route->upstream = upstream;
    route_set_name(&conf->arena, route, (struct str){NULL, 0}, (struct str){NULL, 0});
    resolve_auto(&loader);
    if (loader.problems.count == 0)
        check_arguments(&loader);
    return finish(&loader, "weir run", errors);
}

/* ---- showing ---- */

static void print_element(const struct key_collection *collection, const char *element,
                          unsigned index, FILE *out)
{
    size_t prefix_len = strlen(collection->prefix);
    for (unsigned i = 0; i < key_table_count; i++) {
        const struct key *key = &key_table[i];
        if (key->scope != collection->scope)
            continue;
        if (collection->scope == SCOPE_conf_upstream)
            fprintf(out, "%s.%s.", collection->path, ((const struct conf_upstream *)element)->name);
        else
            fprintf(out, "%s[%u].", collection->path, index);
        fprintf(out, "%s: ", key->path + prefix_len);
        value_print(key, element, out);
        fputc('\n', out);
    }
}

/* In the order of the table, a collection where its first key stands. */
void conf_print(const struct conf *conf, FILE *out)
{
    unsigned printed = 0;
    for (unsigned i = 0; i < key_table_count; i++) {
        const struct key *key = &key_table[i];
        if (key->scope == SCOPE_conf) {
            fprintf(out, "%s: ", key->path);
            value_print(key, conf, out);
            fputc('\n', out);
            continue;
        }
        for (unsigned c = 0; c < KEY_COLLECTIONS; c++) {
            const struct key_collection *collection = &key_collections[c];
            if (collection->scope != key->scope || (printed & 1u << c))
                continue;
            printed |= 1u << c;
            const char *element = key_collection_list(collection, conf);
            for (unsigned n = 0; n < key_collection_count(collection, conf); n++)
                print_element(collection, element + n * collection->element_bytes, n, out);
        }
    }
}

void conf_print_machine(const struct conf *conf, FILE *out)
{
    const struct conf_machine *machine = &conf->machine;
    char size[UNITS_BYTES];
    fprintf(out, "# this machine: cpus %u (limited by: %s", machine->cpus,
            machine->cpus_limited_by);
    if (machine->cpu_quota_millis != UINT64_MAX)
        fprintf(out, "; quota of the cgroup: %.3f", (double)machine->cpu_quota_millis / 1000);
    fprintf(out, "), memory %s (limited by: %s)\n",
            units_format_size(size, in_whole_steps(machine->memory_bytes)),
            machine->memory_limited_by);
    fprintf(out, "# auto is here: workers %u, cache.memory %s\n", machine->auto_workers,
            units_format_size(size, machine->auto_cache_memory));
}
