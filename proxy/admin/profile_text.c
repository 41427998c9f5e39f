/*
 * A named profile as text: the functions by what they weigh themselves (flat), and by what they
 * weigh with all that they call (cum). Called by pprof.c; pure.
 */
#include "proxy/admin/profile.h"

#include <stdio.h>
#include <stdlib.h>

#define LINES_MOST 60u

struct function {
    const char *name;
    uint64_t flat, cum;
    size_t last_sample; /* that was counted, plus one: a recursion counts once */
};

static int compare_flat(const void *left, const void *right)
{
    const struct function *a = left, *b = right;

    if (a->flat != b->flat)
        return a->flat > b->flat ? -1 : 1;
    return a->cum != b->cum ? (a->cum > b->cum ? -1 : 1) : strcmp(a->name, b->name);
}

static int compare_cum(const void *left, const void *right)
{
    const struct function *a = left, *b = right;

    if (a->cum != b->cum)
        return a->cum > b->cum ? -1 : 1;
    return a->flat != b->flat ? (a->flat > b->flat ? -1 : 1) : strcmp(a->name, b->name);
}

static struct function *sum_up(struct arena *arena, const struct profile *profile)
{
    struct function *list = arena_alloc(arena, (profile->names_count + 1) * sizeof(*list));

    for (size_t i = 0; list && i < profile->names_count; i++)
        list[i] = (struct function){.name = profile->names[i]};
    for (size_t i = 0; list && i < profile->samples_count; i++) {
        const struct profile_sample *sample = &profile->samples[i];

        for (unsigned d = 0; d < sample->depth; d++) {
            struct function *function = &list[profile_frame(profile, sample, d)];

            if (d == 0)
                function->flat += sample->weight;
            if (function->last_sample != i + 1)
                function->cum += sample->weight;
            function->last_sample = i + 1;
        }
    }
    return list;
}

/* Seconds or KiB. */
static double in_units(const struct profile *profile, uint64_t weight)
{
    return profile->kind == PROFILE_CPU ? (double)weight * (double)profile->period / 1e6
                                        : (double)weight / 1024;
}

static double share(const struct profile *profile, uint64_t weight)
{
    return profile->weight > 0 ? 100 * (double)weight / (double)profile->weight : 0;
}

static bool write_table(const struct profile *profile, const struct function *list,
                        const char *title, struct evbuffer *out)
{
    const char *unit = profile->kind == PROFILE_CPU ? "s" : "KiB";
    size_t shown = profile->names_count < LINES_MOST ? profile->names_count : LINES_MOST;
    bool good = evbuffer_add_printf(out, "\n%s\n%12s %7s %12s %7s  function\n", title, "flat",
                                    "flat%", "cum", "cum%") > 0;

    for (size_t i = 0; i < shown && good; i++)
        good = evbuffer_add_printf(out, "%*.2f%s %6.2f%% %*.2f%s %6.2f%%  %s\n",
                                   12 - (int)strlen(unit), in_units(profile, list[i].flat), unit,
                                   share(profile, list[i].flat), 12 - (int)strlen(unit),
                                   in_units(profile, list[i].cum), unit,
                                   share(profile, list[i].cum), list[i].name) > 0;
    if (good && shown < profile->names_count)
        good = evbuffer_add_printf(out, "%44zu functions more\n", profile->names_count - shown) > 0;
    return good;
}

static bool write_title(const struct profile *profile, struct evbuffer *out)
{
    if (profile->kind == PROFILE_CPU)
        return evbuffer_add_printf(out, "CPU: %.2f s in %llu samples, one each %.1f ms\n",
                                   in_units(profile, profile->weight),
                                   (unsigned long long)profile->weight,
                                   (double)profile->period / 1000) > 0;
    return evbuffer_add_printf(out,
                               "heap: about %.0f KiB in use, of %zu stacks; one sample each "
                               "%.0f KiB on average\n",
                               in_units(profile, profile->weight), profile->samples_count,
                               (double)profile->period / 1024) > 0;
}

bool profile_write_text(struct arena *arena, const struct profile *profile, struct evbuffer *out)
{
    struct function *list = sum_up(arena, profile);

    if (!list || !write_title(profile, out))
        return false;
    qsort(list, profile->names_count, sizeof(*list), compare_flat);
    if (!write_table(profile, list, "by what a function does itself:", out))
        return false;
    qsort(list, profile->names_count, sizeof(*list), compare_cum);
    return write_table(profile, list, "by what it does with all that it calls:", out);
}
