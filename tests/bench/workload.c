/*
 * Workloads for replay.c. Made ones are a function of their shape alone: independent requests for
 * keys of a Zipf distribution, with scans in between when wanted. Read ones are traces; a table
 * of the keys' texts turns them into numbers, which is all that the policies see.
 */
#include "workload.h"

#include "base/base.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define SIZE_MEDIAN 2048.0
#define SIZE_SIGMA 1.3 /* of its logarithm; the mean is about 4.7 KiB */
#define SIZE_LEAST 100.0
#define SIZE_MOST (256.0 * 1024)
/* A scan's run is longer than a small cache, and comes after twice as many requests. */
#define SCAN_RUN 5000u

/* ---- made ---- */

/* splitmix64 */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* 0 < x < 1 */
static double next_fraction(uint64_t *state)
{
    return ((double)(next_random(state) >> 12) + 0.5) / (double)(1ull << 52);
}

/* By Box and Muller. */
static uint64_t draw_size(uint64_t *state)
{
    double normal = sqrt(-2 * log(next_fraction(state))) * cos(2 * M_PI * next_fraction(state));
    double size = SIZE_MEDIAN * exp(SIZE_SIGMA * normal);
    return (uint64_t)fmin(fmax(size, SIZE_LEAST), SIZE_MOST);
}

/* sums[r]: the weight of ranks 0 to r. */
static double *sum_ranks(double alpha, uint32_t keys)
{
    double *sums = base_alloc(keys * sizeof(*sums));
    double sum = 0;
    for (uint32_t rank = 0; rank < keys; rank++)
        sums[rank] = sum += pow(rank + 1, -alpha);
    return sums;
}

static uint32_t draw_rank(const double *sums, uint32_t keys, uint64_t *state)
{
    double wanted = next_fraction(state) * sums[keys - 1];
    uint32_t first = 0, last = keys - 1;
    while (first < last) {
        uint32_t middle = first + (last - first) / 2;
        if (sums[middle] < wanted)
            first = middle + 1;
        else
            last = middle;
    }
    return first;
}

static struct workload make_empty(size_t requests, uint32_t keys)
{
    return (struct workload){.requests = requests,
                             .key = base_alloc(requests * sizeof(uint32_t)),
                             .now_ms = base_alloc(requests * sizeof(int64_t)),
                             .keys = keys,
                             .catalogue = keys,
                             .size = base_alloc(keys * sizeof(uint64_t))};
}

static bool is_scanned(const struct workload_shape *shape, size_t request)
{
    return shape->scan && request % (3 * (size_t)SCAN_RUN) >= 2 * (size_t)SCAN_RUN;
}

struct workload workload_make(const struct workload_shape *shape)
{
    uint32_t scanned = 0;
    for (size_t i = 0; i < shape->requests; i++)
        scanned += is_scanned(shape, i);
    struct workload workload = make_empty(shape->requests, shape->keys + scanned);
    workload.catalogue = shape->keys;
    uint64_t state = shape->seed;
    for (uint32_t key = 0; key < workload.keys; key++)
        workload.size[key] = draw_size(&state);
    double *sums = sum_ranks(shape->alpha, shape->keys);
    uint32_t next_scanned = shape->keys;
    for (size_t i = 0; i < shape->requests; i++) {
        workload.now_ms[i] = (int64_t)i;
        workload.key[i] =
            is_scanned(shape, i) ? next_scanned++ : draw_rank(sums, shape->keys, &state);
    }
    free(sums);
    return workload;
}

/* ---- read ---- */

/* Texts to numbers, open addressing; slots hold number + 1. */
struct names {
    char **texts; /* owned, and each of them */
    uint32_t count, capacity;
    uint32_t *slots;
    uint32_t mask;
};

/* FNV-1a */
static uint64_t hash_text(const char *text)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
    return hash;
}

static uint32_t *find_slot(struct names *names, const char *text)
{
    uint64_t at = hash_text(text);
    while (names->slots[at & names->mask] != 0 &&
           strcmp(names->texts[names->slots[at & names->mask] - 1], text) != 0)
        at++;
    return &names->slots[at & names->mask];
}

static void *grow(void *ptr, size_t bytes)
{
    void *grown = realloc(ptr, bytes);
    weir_assert(grown != NULL);
    return grown;
}

/* At most half of the slots are taken. */
static void make_place(struct names *names)
{
    if (names->count < names->capacity)
        return;
    names->capacity = names->capacity > 0 ? 2 * names->capacity : 1024;
    names->texts = grow(names->texts, names->capacity * sizeof(*names->texts));
    free(names->slots);
    names->mask = 2 * names->capacity - 1;
    names->slots = base_alloc_zero((names->mask + 1) * sizeof(*names->slots));
    for (uint32_t i = 0; i < names->count; i++)
        *find_slot(names, names->texts[i]) = i + 1;
}

/* *is_new: it was not known before. */
static uint32_t number_of(struct names *names, const char *text, bool *is_new)
{
    make_place(names);
    uint32_t *slot = find_slot(names, text);
    *is_new = *slot == 0;
    if (*is_new) {
        names->texts[names->count] = base_strdup(text);
        *slot = ++names->count;
    }
    return *slot - 1;
}

static void free_names(struct names *names)
{
    for (uint32_t i = 0; i < names->count; i++)
        free(names->texts[i]);
    free(names->texts);
    free(names->slots);
}

struct line {
    double time_s;
    char *key;
    uint64_t size;
};

/* NULL: read; otherwise what is wrong. */
static const char *read_line(char *text, struct line *line)
{
    char *key = strchr(text, ',');
    char *size = key != NULL ? strchr(key + 1, ',') : NULL;
    if (size == NULL)
        return "three fields are wanted: time,key,size";
    *key++ = *size++ = '\0';
    char *end;
    line->time_s = strtod(text, &end);
    if (end == text || *end != '\0' || !(line->time_s >= 0 && line->time_s < 1e12))
        return "the time is not a number of seconds";
    if (*key == '\0')
        return "the key is empty";
    line->key = key;
    if (!str_to_u64(str_from(size), INT64_MAX, &line->size))
        return "the size is not a number of bytes";
    return NULL;
}

_Noreturn static void stop(const char *path, size_t number, const char *why)
{
    fprintf(stderr, "%s:%zu: %s\n", path, number, why);
    exit(1);
}

static void append_request(struct workload *workload, struct names *names, const struct line *line)
{
    size_t at = workload->requests++;
    if ((at & (at - 1)) == 0) { /* the arrays are full */
        size_t room = at > 0 ? 2 * at : 1;
        workload->key = grow(workload->key, room * sizeof(*workload->key));
        workload->now_ms = grow(workload->now_ms, room * sizeof(*workload->now_ms));
    }
    bool is_new;
    uint32_t key = number_of(names, line->key, &is_new);
    if (is_new && (key & (key - 1)) == 0)
        workload->size = grow(workload->size, (key > 0 ? 2 * key : 1) * sizeof(*workload->size));
    if (is_new)
        workload->size[key] = line->size;
    workload->key[at] = key;
    workload->now_ms[at] = (int64_t)(line->time_s * 1000);
}

/* Without the end of the line. */
static void cut_end(char *text, ssize_t len)
{
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
        text[--len] = '\0';
}

static bool is_ignored(const char *text)
{
    return text[0] == '#' || text[strspn(text, " \t")] == '\0';
}

struct workload workload_read(const char *path)
{
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        exit(1);
    }
    struct workload workload = {0};
    struct names names = {0};
    char *text = NULL;
    size_t room = 0, number = 0;
    for (ssize_t len; (len = getline(&text, &room, file)) >= 0;) {
        number++;
        if (strlen(text) != (size_t)len)
            stop(path, number, "a zero byte");
        cut_end(text, len);
        if (is_ignored(text))
            continue;
        struct line line;
        const char *wrong = read_line(text, &line);
        if (wrong != NULL)
            stop(path, number, wrong);
        append_request(&workload, &names, &line);
    }
    if (ferror(file))
        stop(path, number + 1, strerror(errno));
    if (workload.requests == 0) {
        fprintf(stderr, "%s: no request in it\n", path);
        exit(1);
    }
    workload.keys = workload.catalogue = names.count;
    free(text);
    fclose(file);
    free_names(&names);
    return workload;
}

void workload_free(struct workload *workload)
{
    free(workload->key);
    free(workload->now_ms);
    free(workload->size);
    *workload = (struct workload){0};
}
