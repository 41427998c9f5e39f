/*
 * profiles, from inside the admin port: where they come from (the CPU's samples, the sampled heap),
 * what an address is called, and the forms they are shown in. pprof.c puts them together. All of it
 * belongs to the main thread.
 */
#ifndef WEIR_PROXY_ADMIN_PROFILE_H
#define WEIR_PROXY_ADMIN_PROFILE_H

#include "base/base.h"

#include <event2/buffer.h>

struct address_range {
    uint64_t start, end;
};

/* ---- stacks, and what each of them weighs: pure (profile.c) ---- */

enum profile_kind {
    PROFILE_CPU, /* weight: samples; period: microseconds of CPU time between two */
    PROFILE_HEAP /* weight: bytes in use; period: mean bytes between two samples */
};

/* One stack; visible because each form walks it. */
struct profile_sample {
    uint64_t count;         /* samples, or objects in use */
    uint64_t weight;        /* samples, or bytes in use; a heap's are estimates of all there is */
    const uint64_t *pcs;    /* innermost first: a CPU's is where it was, all others return there */
    const unsigned *places; /* after profile_name(): indices of profile.places, one per address */
    unsigned depth;
};

/* Where a frame was. */
struct profile_place {
    uint64_t pc;
    unsigned name; /* index of profile.names */
};

struct profile {
    enum profile_kind kind;
    uint64_t period, weight; /* all samples' */
    struct profile_sample *samples;
    size_t samples_count;
    const struct profile_place *places; /* sorted, each once */
    size_t places_count;
    const char **names; /* sorted, each once */
    size_t names_count;
};

/* The index of a frame's name. */
static inline unsigned profile_frame(const struct profile *profile,
                                     const struct profile_sample *sample, unsigned depth)
{
    return profile->places[sample->places[depth]].name;
}

/* Both read into memory of the arena, and return NULL with *why (static text) when the text is not
 * such a profile or memory is out. */
const struct profile *profile_read_cpu(struct arena *arena, struct str data, const char **why);
/* jemalloc's dump. Frames in `allocator`, its own code, are taken off. */
const struct profile *profile_read_heap(struct arena *arena, struct str text,
                                        struct address_range allocator, const char **why);

/* What an address is called; stable as long as the names are in use, never NULL. */
typedef const char *profile_namer(void *context, uint64_t pc);
/* Names all frames; NULL when memory is out. */
const struct profile *profile_name(struct arena *arena, const struct profile *profile,
                                   profile_namer *namer, void *context);

/* ---- forms of a named profile: pure; false when memory is out ---- */

struct profile_time {
    uint64_t began_ns;  /* since 1970 */
    uint64_t lasted_ns; /* a CPU's */
};

/* What `go tool pprof` reads, names and all; `maps` is /proc/self/maps (profile_proto.c). */
bool profile_write_proto(struct arena *arena, const struct profile *profile, struct str maps,
                         struct profile_time time, struct evbuffer *out);
/* The functions that weigh most, by themselves and with all they call (profile_text.c). */
bool profile_write_text(struct arena *arena, const struct profile *profile, struct evbuffer *out);
/* One self-contained SVG (flamegraph.c). */
bool profile_write_flamegraph(struct arena *arena, const struct profile *profile,
                              struct evbuffer *out);

/* ---- what an address is called (symbols.c) ---- */

struct symbols;

/* Reads the symbol tables of this process's program and libraries. NULL with *why. */
struct symbols *symbols_open(const char **why);
void symbols_close(struct symbols **symbols);
/* The function's name, static ones too; "[library]" where its table does not tell; NULL when it is
 * nobody's address. Valid until symbols_close(). */
const char *symbols_find(const struct symbols *symbols, uint64_t pc);
/* The whole program or library in which an address lies; empty when it is nobody's. */
struct address_range symbols_module(const struct symbols *symbols, uint64_t pc);

/* ---- profilers: each one false with *why where it does not work ---- */

/* Whether this build has them; if not, *why says how to get them. */
bool cpu_profiler_built(const char **why);
bool heap_profiler_built(const char **why);

/* From now on samples of all threads' stacks are written to the file (cpu_profiler.c). */
bool cpu_profiler_start(int fd, const char **why);
/* The file is complete after this. */
void cpu_profiler_stop(void);

/* Writes the stacks of what is allocated now to the file (heap_profiler.c). */
bool heap_profiler_dump(int fd, const char **why);
/* An address in the allocator's code; 0 where there is no such profiler. */
uint64_t heap_profiler_code(void);

#endif
