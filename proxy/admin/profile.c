/*
 * Profiles as the profilers write them, read into stacks with their weights, and their frames'
 * names. Called by pprof.c; pure, all memory is the caller's arena's.
 *
 * The CPU's is gperftools' binary form: words of the machine. A header of at least three words
 * behind the first two (0, how many), of which the second is the period; then for each stack how
 * often it was seen, its depth and its addresses; the last one is (0, 1, 0), and text follows.
 *
 * The heap's is jemalloc's text: heap_v2/PERIOD, then for each stack a line of addresses behind @
 * and lines of counts, of which that of t* is the sum of all threads.
 */
#include "proxy/admin/profile.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define HEADER_WORDS 5
#define DEPTH_MOST 1024u

static const char no_memory[] = "out of memory";

/* ---- the CPU's ---- */

struct words {
    const uint64_t *at;
    size_t left;
};

/* NULL at the end of the profile or of the words (*cut). */
static const uint64_t *next_stack(struct words *words, bool *cut)
{
    const uint64_t *stack = words->at;

    *cut = words->left < 3 || stack[1] == 0 || stack[1] > DEPTH_MOST || words->left - 2 < stack[1];
    if (*cut || stack[0] == 0)
        return NULL;
    words->at += 2 + stack[1];
    words->left -= 2 + (size_t)stack[1];
    return stack;
}

static bool count_stacks(struct words words, size_t *count)
{
    bool cut;

    for (*count = 0; next_stack(&words, &cut);)
        ++*count;
    return !cut;
}

const struct profile *profile_read_cpu(struct arena *arena, struct str data, const char **why)
{
    struct profile *profile = arena_alloc(arena, sizeof(*profile));
    uint64_t *copy = arena_alloc(arena, data.len + sizeof(uint64_t));
    struct words words = {copy, data.len / sizeof(uint64_t)};
    bool cut;

    *why = no_memory;
    if (!profile || !copy)
        return NULL;
    memcpy(copy, data.ptr, data.len);
    *why = "not a CPU profile of gperftools";
    if (words.left < HEADER_WORDS || copy[0] != 0 || copy[1] < 3 || copy[1] > words.left - 2 ||
        copy[2] != 0)
        return NULL;
    *profile = (struct profile){.kind = PROFILE_CPU, .period = copy[3]};
    words.at += 2 + copy[1];
    words.left -= 2 + (size_t)copy[1];
    *why = "the CPU profile is cut";
    if (!count_stacks(words, &profile->samples_count))
        return NULL;
    *why = no_memory;
    profile->samples = arena_alloc(arena, profile->samples_count * sizeof(*profile->samples) + 1);
    if (!profile->samples)
        return NULL;
    for (size_t i = 0; i < profile->samples_count; i++) {
        const uint64_t *stack = next_stack(&words, &cut);

        profile->samples[i] = (struct profile_sample){
            .count = stack[0], .weight = stack[0], .pcs = stack + 2, .depth = (unsigned)stack[1]};
        profile->weight += stack[0];
    }
    return profile;
}

/* ---- the heap's ---- */

static bool next_line(struct str *rest, struct str *line)
{
    const char *end = rest->len > 0 ? memchr(rest->ptr, '\n', rest->len) : NULL;

    if (rest->len == 0)
        return false;
    line->ptr = rest->ptr;
    line->len = end ? (size_t)(end - rest->ptr) : rest->len;
    rest->len -= line->len + (end != NULL);
    rest->ptr += line->len + (end != NULL);
    return true;
}

static bool take(struct str *line, struct str prefix)
{
    if (line->len < prefix.len || memcmp(line->ptr, prefix.ptr, prefix.len) != 0)
        return false;
    *line = str_of(line->ptr + prefix.len, line->len - prefix.len);
    return true;
}

static bool take_number(struct str *line, uint64_t *number)
{
    size_t digits = 0;
    struct str text;

    while (digits < line->len && line->ptr[digits] >= '0' && line->ptr[digits] <= '9')
        digits++;
    text = str_of(line->ptr, digits);
    *line = str_of(line->ptr + digits, line->len - digits);
    return str_to_u64(text, UINT64_MAX, number);
}

static bool take_address(struct str *line, uint64_t *address)
{
    *address = 0;
    if (!take(line, STR(" 0x")))
        return false;
    for (; line->len > 0 && *line->ptr != ' '; line->ptr++, line->len--) {
        char c = ascii_lower(*line->ptr);

        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
        *address = *address << 4 | (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return true;
}

/* An allocation of n bytes is sampled with the probability 1 - e^(-n / period). What pprof makes of
 * a heap_v2 profile, to the byte. */
static void scale(struct profile_sample *sample, uint64_t period)
{
    double mean, factor;

    if (sample->count == 0 || sample->weight == 0) {
        sample->count = sample->weight = 0;
    } else if (period > 1) {
        mean = (double)sample->weight / (double)sample->count;
        factor = 1 / (1 - exp(-mean / (double)period));
        sample->count = (uint64_t)((double)sample->count * factor);
        sample->weight = (uint64_t)((double)sample->weight * factor);
    }
}

/* "@ 0x1 0x2": the innermost frames, the allocator's, are not kept. */
static bool read_stack(struct arena *arena, struct str line, struct address_range allocator,
                       struct profile_sample *sample)
{
    uint64_t pcs[DEPTH_MOST], *kept;
    unsigned depth = 0, own = 0;

    while (line.len > 0 && depth < DEPTH_MOST)
        if (!take_address(&line, &pcs[depth++]))
            return false;
    while (own < depth && pcs[own] >= allocator.start && pcs[own] < allocator.end)
        own++;
    kept = arena_alloc(arena, (depth - own + 1) * sizeof(*kept));
    if (!kept)
        return false;
    memcpy(kept, pcs + own, (depth - own) * sizeof(*kept));
    *sample = (struct profile_sample){.pcs = kept, .depth = depth - own};
    return true;
}

/* "t*: 657: 709751 [0: 0]" */
static bool read_counts(struct str line, struct profile_sample *sample)
{
    return take_number(&line, &sample->count) && take(&line, STR(": ")) &&
           take_number(&line, &sample->weight) && take(&line, STR(" ["));
}

static size_t count_marks(struct str text)
{
    size_t count = 0;

    for (size_t i = 0; i < text.len; i++)
        count += text.ptr[i] == '@';
    return count;
}

static bool read_samples(struct arena *arena, struct str text, struct address_range allocator,
                         struct profile *profile)
{
    struct profile_sample *sample = NULL;
    struct str line;

    while (next_line(&text, &line) && !take(&line, STR("MAPPED_LIBRARIES:"))) {
        if (take(&line, STR("@"))) {
            sample = &profile->samples[profile->samples_count++];
            if (!read_stack(arena, line, allocator, sample))
                return false;
        } else if (sample && (line = str_trim(line), take(&line, STR("t*: ")))) {
            if (!read_counts(line, sample))
                return false;
            scale(sample, profile->period);
            profile->weight += sample->weight;
        }
    }
    return true;
}

const struct profile *profile_read_heap(struct arena *arena, struct str text,
                                        struct address_range allocator, const char **why)
{
    struct profile *profile = arena_alloc(arena, sizeof(*profile));
    struct str line;

    *why = no_memory;
    if (!profile)
        return NULL;
    *profile = (struct profile){.kind = PROFILE_HEAP};
    profile->samples = arena_alloc(arena, (count_marks(text) + 1) * sizeof(*profile->samples));
    if (!profile->samples)
        return NULL;
    *why = "not a heap profile of jemalloc";
    if (!next_line(&text, &line) || !take(&line, STR("heap_v2/")) ||
        !take_number(&line, &profile->period) || line.len > 0 ||
        !read_samples(arena, text, allocator, profile))
        return NULL;
    return profile;
}

/* ---- names ---- */

struct named {
    struct profile_place place; /* first: sorted and found by it */
    const char *name;
};

/* An address behind a call may be the next function's, or the next line's. */
static uint64_t place_pc(const struct profile *profile, const struct profile_sample *sample,
                         unsigned depth)
{
    return sample->pcs[depth] - (depth > 0 || profile->kind == PROFILE_HEAP);
}

static int compare_places(const void *left, const void *right)
{
    const struct profile_place *a = left, *b = right;

    return a->pc < b->pc ? -1 : a->pc > b->pc;
}

static int compare_names(const void *left, const void *right)
{
    return strcmp(((const struct named *)left)->name, ((const struct named *)right)->name);
}

/* Each place once, sorted. */
static struct named *list_places(struct arena *arena, const struct profile *profile, size_t *count)
{
    size_t frames = 0, unique = 0;
    struct named *list;

    for (size_t i = 0; i < profile->samples_count; i++)
        frames += profile->samples[i].depth;
    list = arena_alloc(arena, (frames + 1) * sizeof(*list));
    if (!list)
        return NULL;
    *count = 0;
    for (size_t i = 0; i < profile->samples_count; i++)
        for (unsigned d = 0; d < profile->samples[i].depth; d++)
            list[(*count)++].place.pc = place_pc(profile, &profile->samples[i], d);
    qsort(list, *count, sizeof(*list), compare_places);
    for (size_t i = 0; i < *count; i++)
        if (unique == 0 || list[unique - 1].place.pc != list[i].place.pc)
            list[unique++] = list[i];
    *count = unique;
    return list;
}

/* Numbers the names in their order. */
static bool list_names(struct arena *arena, struct profile *profile, struct named *list,
                       size_t count)
{
    profile->names = arena_alloc(arena, (count + 1) * sizeof(*profile->names));
    profile->names_count = 0;
    if (!profile->names)
        return false;
    qsort(list, count, sizeof(*list), compare_names);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || strcmp(list[i - 1].name, list[i].name) != 0)
            profile->names[profile->names_count++] = list[i].name;
        list[i].place.name = (unsigned)profile->names_count - 1;
    }
    qsort(list, count, sizeof(*list), compare_places);
    return true;
}

/* Numbers the frames' places in their order. */
static bool list_frames(struct arena *arena, const struct profile *profile,
                        struct profile_sample *sample)
{
    unsigned *places = arena_alloc(arena, sample->depth * sizeof(*places) + 1);

    for (unsigned d = 0; places && d < sample->depth; d++) {
        const struct profile_place wanted = {.pc = place_pc(profile, sample, d)},
                                   *found = bsearch(&wanted, profile->places, profile->places_count,
                                                    sizeof(wanted), compare_places);

        places[d] = (unsigned)(found - profile->places);
    }
    sample->places = places;
    return places != NULL;
}

const struct profile *profile_name(struct arena *arena, const struct profile *profile,
                                   profile_namer *namer, void *context)
{
    struct profile *out = arena_alloc(arena, sizeof(*out));
    struct profile_place *places;
    size_t count;
    struct named *list = list_places(arena, profile, &count);

    if (!out || !list)
        return NULL;
    *out = *profile;
    for (size_t i = 0; i < count; i++)
        list[i].name = namer(context, list[i].place.pc);
    places = arena_alloc(arena, (count + 1) * sizeof(*places));
    if (!places || !list_names(arena, out, list, count))
        return NULL;
    for (size_t i = 0; i < count; i++)
        places[i] = list[i].place;
    out->places = places;
    out->places_count = count;
    for (size_t i = 0; i < out->samples_count; i++)
        if (!list_frames(arena, out, &out->samples[i]))
            return NULL;
    return out;
}
