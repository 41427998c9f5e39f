/*
 * Hit ratios: replays a sequence of requests through Weir's own cache (libweir.a, without sockets)
 * and through the reference policies of policies.c, and prints what each had, one line of JSON for
 * each capacity.
 *
 * The comparison is fair in bytes. An object weighs for all of them what the real cache charges for
 * it: each is stored once in a scratch cache, and its counter read; a share of the index is added.
 * The references have room for the memory that Weir is given less what an empty cache uses. Whether
 * this adds up is told at the end of each run: "model_error" is by how much of that room Weir's
 * counter is off the weights of what it has stored.
 */
#include "policies.h"
#include "workload.h"

#include "cache/cache.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define MIB ((uint64_t)1 << 20)
#define MAX_OBJECT (64 * MIB) /* the configuration's default */
#define LIFETIME_S 2000000000u
/* Bucket and ghost entry, 8 and 4 bytes; tables double, so there are 1 to 2 of each an object. */
#define INDEX_BYTES 18u
#define UNIT_BYTES 4096u
#define CAPACITIES_MOST 32u

struct options {
    const char *trace; /* NULL: one is made */
    struct workload_shape shape;
    const char *capacities; /* "1%,8M,65536" */
    unsigned workers, shards;
    bool unit; /* all bodies are of the same size, and Belady's optimum is shown too */
};

/* ---- Weir's cache ---- */

/* Of a usual length, and the same length for all keys. */
struct key_text {
    char bytes[64];
    size_t len;
};

static void write_key(struct key_text *text, uint32_t number)
{
    text->len = (size_t)snprintf(text->bytes, sizeof(text->bytes),
                                 "http://origin.example/objects/%010" PRIu32, number);
}

static struct cache_query make_query(const struct cache *cache, const struct key_text *text,
                                     int64_t now_ms)
{
    static const struct policy_request plain = {
        .max_age_s = -1, .min_fresh_s = -1, .max_stale_s = -1};
    struct cache_query query = {
        .key = {.text = str_of(text->bytes, text->len)}, .request = &plain, .now_ms = now_ms};
    cache_key_hash(cache, &query.key);
    return query;
}

/* What a fetch does with a response; the bytes need not be written. Memory may run out. */
static void fill(struct cache_fill *fill, uint64_t size, int64_t now_ms)
{
    struct cache_fill_head head = {
        .meta = {.born_ms = now_ms, .lifetime_s = LIFETIME_S, .status = 200},
        .reason = POLICY_STORE,
        .block = STR("Content-Type: text/plain\r\n"),
        .content_length = (int64_t)size,
    };
    if (!cache_fill_set_head(fill, &head))
        return;
    for (uint64_t done = 0; done < size;) {
        size_t room;
        if (cache_fill_room(fill, size - done, &room) == NULL || room == 0)
            return;
        cache_fill_commit(fill, room);
        done += room;
    }
    cache_fill_complete(fill, STR(""), now_ms);
}

/* True: a hit. */
static bool serve(struct cache *cache, uint32_t key, uint64_t size, int64_t now_ms)
{
    struct key_text text;
    write_key(&text, key);
    struct cache_query query = make_query(cache, &text, now_ms);
    struct cache_find found;
    switch (cache_lookup(cache, &query, &found)) {
    case CACHE_HIT:
        cache_object_release(&found.object);
        return true;
    case CACHE_LEAD:
        weir_assert(found.object == NULL);
        if (size <= MAX_OBJECT)
            fill(found.fill, size, now_ms);
        cache_fill_end_writer(&found.fill);
        return false;
    case CACHE_OUT_OF_MEMORY:
        return false;
    case CACHE_JOIN:
    case CACHE_ALONE:
        break;
    }
    weir_assert(!"one request at a time, and no request directives");
    return false;
}

/* True: it was stored, and is no more. */
static bool forget(struct cache *cache, uint32_t key)
{
    struct key_text text;
    write_key(&text, key);
    struct cache_query query = make_query(cache, &text, 0);
    return cache_purge(cache, &query.key) == 1;
}

static struct cache_stats stats_of(const struct cache *cache)
{
    struct cache_stats stats;
    cache_read_stats(cache, &stats);
    return stats;
}

/* What each object adds to the counter; 0 for what is never stored. Owned by the caller. */
static uint64_t *weigh(const struct workload *workload)
{
    uint64_t *weights = base_alloc_zero(workload->keys * sizeof(*weights));
    struct cache *cache = cache_new(4 * MAX_OBJECT, MAX_OBJECT, 1, 1);
    uint64_t empty = stats_of(cache).bytes;
    for (uint32_t key = 0; key < workload->keys; key++) {
        if (workload->size[key] > MAX_OBJECT)
            continue;
        serve(cache, key, workload->size[key], 0);
        weights[key] = stats_of(cache).bytes - empty + INDEX_BYTES;
        weir_assert(forget(cache, key));
        weir_assert(stats_of(cache).bytes == empty);
    }
    cache_free(&cache);
    return weights;
}

struct outcome {
    struct reference_outcome counted;
    uint64_t modelled_bytes; /* of what is stored at the end */
};

static struct outcome replay(struct cache *cache, const struct workload *workload,
                             const uint64_t *weights)
{
    struct outcome outcome = {0};
    uint64_t empty = stats_of(cache).bytes;
    for (size_t i = 0; i < workload->requests; i++) {
        uint32_t key = workload->key[i];
        if (!serve(cache, key, workload->size[key], workload->now_ms[i]))
            continue;
        outcome.counted.hits++;
        outcome.counted.hit_bytes += workload->size[key];
    }
    struct cache_stats stats = stats_of(cache);
    outcome.counted.objects = stats.objects;
    outcome.counted.bytes = stats.bytes - empty;
    for (uint32_t key = 0; key < workload->keys; key++)
        if (forget(cache, key))
            outcome.modelled_bytes += weights[key];
    return outcome;
}

/* ---- capacities ---- */

struct capacity {
    char text[16];
    uint64_t memory;
};

/* What the asked for keys of the catalogue weigh, each once. */
static uint64_t measure_working_set(const struct workload *workload, const uint64_t *weights)
{
    bool *seen = base_alloc_zero(workload->catalogue);
    uint64_t bytes = 0;
    for (size_t i = 0; i < workload->requests; i++) {
        uint32_t key = workload->key[i];
        if (key >= workload->catalogue || seen[key])
            continue;
        seen[key] = true;
        bytes += weights[key];
    }
    free(seen);
    return bytes;
}

/* A share of the working set ("1%"), MiB ("8M") or bytes. */
static uint64_t read_capacity(const char *text, uint64_t working_set)
{
    char *end;
    double number = strtod(text, &end);
    double unit = 1;
    if (*end == '%')
        unit = (double)working_set / 100;
    else if (*end == 'M')
        unit = (double)MIB;
    if (end == text || (*end != '\0' && end[1] != '\0') || (*end != '\0' && unit == 1) ||
        !(number * unit >= 65536 && number * unit < 1e15)) {
        fprintf(stderr,
                "capacity %s: a percentage, MiB (8M) or bytes is wanted, of 64 KiB at least\n",
                text);
        exit(1);
    }
    return (uint64_t)(number * unit);
}

static unsigned read_capacities(const char *list, uint64_t working_set, struct capacity *out)
{
    unsigned count = 0;
    while (*list != '\0' && count < CAPACITIES_MOST) {
        size_t len = strcspn(list, ",");
        struct capacity *capacity = &out[count++];
        snprintf(capacity->text, sizeof(capacity->text), "%.*s", (int)len, list);
        capacity->memory = read_capacity(capacity->text, working_set);
        list += len + (list[len] == ',');
    }
    return count;
}

/* ---- what is printed ---- */

static void print_outcome(const char *name, const struct workload *workload,
                          const struct reference_outcome *outcome, uint64_t asked_bytes)
{
    double objects = outcome->objects > 0 ? (double)outcome->objects : 1;
    printf(", \"%s\": {\"hits\": %.6f, \"byte_hits\": %.6f, \"objects\": %" PRIu64
           ", \"bytes\": %" PRIu64 ", \"bytes_each\": %.1f}",
           name, (double)outcome->hits / (double)workload->requests,
           asked_bytes > 0 ? (double)outcome->hit_bytes / (double)asked_bytes : 0, outcome->objects,
           outcome->bytes, (double)outcome->bytes / objects);
}

static uint64_t count_asked_bytes(const struct workload *workload)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < workload->requests; i++)
        bytes += workload->size[workload->key[i]];
    return bytes;
}

static void compare(const struct workload *workload, const uint64_t *weights,
                    const struct capacity *capacity, const struct options *options)
{
    struct cache *cache =
        cache_new(capacity->memory, MAX_OBJECT, options->workers, options->shards);
    uint64_t empty = stats_of(cache).bytes;
    if (empty >= capacity->memory) {
        fprintf(stderr, "capacity %s: an empty cache of these shards takes all of it\n",
                capacity->text);
        exit(1);
    }
    struct outcome weir = replay(cache, workload, weights);
    cache_free(&cache);
    struct reference_room room = {.bytes = capacity->memory - empty, .weights = weights};
    double error = (double)weir.modelled_bytes - (double)weir.counted.bytes;
    uint64_t asked_bytes = count_asked_bytes(workload);
    printf("{\"capacity\": \"%s\", \"memory\": %" PRIu64 ", \"empty\": %" PRIu64
           ", \"requests\": %zu, \"keys\": %" PRIu32 ", \"model_error\": %.5f",
           capacity->text, capacity->memory, empty, workload->requests, workload->catalogue,
           error / (double)room.bytes);
    print_outcome("weir", workload, &weir.counted, asked_bytes);
    static const char *names[] = {
#define X(symbol, name) name,
        REFERENCE_KINDS(X)
#undef X
    };
    for (enum reference_kind kind = 0; kind < REFERENCE_KIND_COUNT; kind++) {
        if (kind == REFERENCE_BELADY && !options->unit)
            continue;
        struct reference_outcome outcome = reference_replay(kind, workload, &room);
        print_outcome(names[kind], workload, &outcome, asked_bytes);
    }
    printf("}\n");
    fflush(stdout);
}

/* ---- the command line ---- */

static const char usage[] =
    "usage: replay [--trace FILE | --zipf ALPHA [--scan] [--keys N] [--requests N] [--seed N]]\n"
    "              [--capacity LIST] [--unit] [--workers N] [--shards N]\n"
    "FILE has lines time,key,size. LIST is separated by commas: 1% of the working set, 8M (MiB) "
    "or\n"
    "bytes. --unit gives all bodies the same size, and shows Belady's optimum. --shards 0 lets "
    "Weir\n"
    "choose.\n";

_Noreturn static void refuse(const char *what)
{
    fprintf(stderr, "replay: %s\n%s", what, usage);
    exit(1);
}

static uint64_t read_number(const char *text, uint64_t least, uint64_t most)
{
    uint64_t number;
    if (!str_to_u64(str_from(text), most, &number) || number < least)
        refuse("a number is out of range");
    return number;
}

static double read_alpha(const char *text)
{
    char *end;
    double alpha = strtod(text, &end);
    if (end == text || *end != '\0' || !(alpha >= 0 && alpha <= 4))
        refuse("ALPHA is a number from 0 to 4");
    return alpha;
}

static struct options read_options(int argc, char **argv)
{
    static const struct option known[] = {{"trace", required_argument, NULL, 't'},
                                          {"zipf", required_argument, NULL, 'z'},
                                          {"scan", no_argument, NULL, 'c'},
                                          {"keys", required_argument, NULL, 'k'},
                                          {"requests", required_argument, NULL, 'n'},
                                          {"seed", required_argument, NULL, 's'},
                                          {"capacity", required_argument, NULL, 'm'},
                                          {"unit", no_argument, NULL, 'u'},
                                          {"workers", required_argument, NULL, 'w'},
                                          {"shards", required_argument, NULL, 'S'},
                                          {0}};
    struct options options = {
        .shape = {.alpha = 0.8, .keys = 200000, .requests = 2000000, .seed = 1},
        .capacities = "1%,10%",
        .workers = 2,
    };
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (option) {
        case 't':
            options.trace = optarg;
            break;
        case 'z':
            options.shape.alpha = read_alpha(optarg);
            break;
        case 'c':
            options.shape.scan = true;
            break;
        case 'k':
            options.shape.keys = (uint32_t)read_number(optarg, 1, 100000000);
            break;
        case 'n':
            options.shape.requests = read_number(optarg, 1, 1000000000);
            break;
        case 's':
            options.shape.seed = read_number(optarg, 0, INT64_MAX);
            break;
        case 'm':
            options.capacities = optarg;
            break;
        case 'u':
            options.unit = true;
            break;
        case 'w':
            options.workers = (unsigned)read_number(optarg, 1, 256);
            break;
        case 'S':
            options.shards = (unsigned)read_number(optarg, 0, 1024);
            if ((options.shards & (options.shards - 1)) != 0)
                refuse("the number of shards is a power of two");
            break;
        default:
            refuse("unknown option");
        }
    }
    if (optind < argc)
        refuse("options only");
    return options;
}

int main(int argc, char **argv)
{
    struct options options = read_options(argc, argv);
    struct workload workload =
        options.trace != NULL ? workload_read(options.trace) : workload_make(&options.shape);
    if (options.unit)
        for (uint32_t key = 0; key < workload.keys; key++)
            workload.size[key] = UNIT_BYTES;
    uint64_t *weights = weigh(&workload);
    struct capacity capacities[CAPACITIES_MOST];
    unsigned count =
        read_capacities(options.capacities, measure_working_set(&workload, weights), capacities);
    for (unsigned i = 0; i < count; i++)
        compare(&workload, weights, &capacities[i], &options);
    free(weights);
    workload_free(&workload);
    return 0;
}
