/*
 * What an address is called, by the symbol tables of the running program and its libraries, read
 * with elfutils' libdwfl. Made by pprof.c with the first question and kept, with copies of the
 * names: no file stays open. On the main thread.
 *
 * All functions go into one sorted list, because libdwfl itself looks at a whole table for each
 * address. Only the files that are mapped are read: nothing is searched for or downloaded.
 */
#include "config.h"
#include "proxy/admin/profile.h"

#include <stdlib.h>

#if HAVE_PROFILING

#include <elfutils/libdwfl.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define FUNCTIONS_MOST (1u << 20)
#define MODULES_MOST 256u
#define NAME_BYTES 64
#define NAMES_CHUNK_BYTES (256 * 1024)

struct function {
    uint64_t start, end; /* the same: not known */
    const char *name;
};

struct module {
    uint64_t start, end;
    char name[NAME_BYTES];
};

struct symbols {
    struct arena names;
    struct function *functions; /* sorted */
    size_t count, room;
    struct module modules[MODULES_MOST];
    unsigned modules_count;
};

/* The program's own file by the descriptor that the kernel has of it: its path may lead to a newer
 * one by now. */
static int find_elf(Dwfl_Module *module, void **userdata, const char *name, Dwarf_Addr base,
                    char **file, Elf **elf)
{
    char program[4096];
    ssize_t len = readlink("/proc/self/exe", program, sizeof(program) - 1);

    if (len > 0) {
        program[len] = '\0';
        if (strcmp(program, name) == 0)
            return open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    }
    return dwfl_linux_proc_find_elf(module, userdata, name, base, file, elf);
}

static int find_no_debuginfo(Dwfl_Module *module, void **userdata, const char *name,
                             Dwarf_Addr base, const char *file, const char *link, GElf_Word crc,
                             char **found)
{
    (void)module, (void)userdata, (void)name, (void)base, (void)file, (void)link, (void)crc;
    (void)found;
    return -1;
}

static bool add(struct symbols *symbols, const struct function *function)
{
    if (symbols->count == symbols->room) {
        size_t room = symbols->room ? 2 * symbols->room : 16384;
        struct function *more =
            room <= FUNCTIONS_MOST ? realloc(symbols->functions, room * sizeof(*more)) : NULL;

        if (!more)
            return false;
        symbols->functions = more;
        symbols->room = room;
    }
    symbols->functions[symbols->count++] = *function;
    return true;
}

static int on_module(Dwfl_Module *dwfl_module, void **userdata, const char *path, Dwarf_Addr base,
                     void *arg)
{
    struct symbols *symbols = arg;
    struct module *module = &symbols->modules[symbols->modules_count];
    const char *slash = strrchr(path, '/');
    int count = dwfl_module_getsymtab(dwfl_module);

    (void)userdata, (void)base;
    if (symbols->modules_count == MODULES_MOST)
        return DWARF_CB_ABORT;
    dwfl_module_info(dwfl_module, NULL, &module->start, &module->end, NULL, NULL, NULL, NULL);
    path = slash ? slash + 1 : path;
    snprintf(module->name, sizeof(module->name), *path == '[' ? "%s" : "[%s]", path);
    symbols->modules_count++;
    for (int i = 0; i < count; i++) {
        GElf_Sym symbol;
        GElf_Addr start;
        Elf *elf;
        const char *name =
            dwfl_module_getsym_info(dwfl_module, i, &symbol, &start, NULL, &elf, NULL);
        unsigned type = GELF_ST_TYPE(symbol.st_info);

        if (!name || !*name || symbol.st_shndx == SHN_UNDEF || start < module->start ||
            start >= module->end || (type != STT_FUNC && type != STT_GNU_IFUNC))
            continue;
        /* With the byte that ends it. */
        name = arena_copy(&symbols->names, str_of(name, strlen(name) + 1)).ptr;
        if (!name || !add(symbols, &(struct function){start, start + symbol.st_size, name}))
            return DWARF_CB_ABORT;
    }
    return DWARF_CB_OK;
}

/* Of several names for one address the shortest comes last, and is found. */
static int compare(const void *left, const void *right)
{
    const struct function *a = left, *b = right;
    size_t a_len, b_len;

    if (a->start != b->start)
        return a->start < b->start ? -1 : 1;
    if (a->end != b->end)
        return a->end < b->end ? -1 : 1;
    a_len = strlen(a->name), b_len = strlen(b->name);
    return a_len != b_len ? (a_len > b_len ? -1 : 1) : strcmp(a->name, b->name);
}

struct symbols *symbols_open(const char **why)
{
    static const Dwfl_Callbacks callbacks = {.find_elf = find_elf,
                                             .find_debuginfo = find_no_debuginfo};
    struct symbols *symbols = calloc(1, sizeof(*symbols));
    Dwfl *dwfl = dwfl_begin(&callbacks);
    bool good = symbols && dwfl;

    *why = "the symbol tables cannot be read";
    if (good)
        arena_init(&symbols->names, NAMES_CHUNK_BYTES);
    good = good && dwfl_linux_proc_report(dwfl, getpid()) == 0 &&
           dwfl_report_end(dwfl, NULL, NULL) == 0 &&
           dwfl_getmodules(dwfl, on_module, symbols, 0) == 0;
    if (dwfl)
        dwfl_end(dwfl);
    if (!good) {
        symbols_close(&symbols);
        return NULL;
    }
    if (symbols->count > 0)
        qsort(symbols->functions, symbols->count, sizeof(*symbols->functions), compare);
    return symbols;
}

void symbols_close(struct symbols **symbols)
{
    struct symbols *gone = weir_take(symbols);

    if (!gone)
        return;
    arena_destroy(&gone->names);
    free(gone->functions);
    free(gone);
}

static const struct module *find_module(const struct symbols *symbols, uint64_t pc)
{
    for (unsigned i = 0; i < symbols->modules_count; i++)
        if (pc >= symbols->modules[i].start && pc < symbols->modules[i].end)
            return &symbols->modules[i];
    return NULL;
}

const char *symbols_find(const struct symbols *symbols, uint64_t pc)
{
    const struct module *module = find_module(symbols, pc);
    size_t low = 0, high = symbols->count;

    if (!module)
        return NULL;
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (symbols->functions[middle].start <= pc)
            low = middle + 1;
        else
            high = middle;
    }
    if (low > 0) {
        const struct function *function = &symbols->functions[low - 1];

        if (function->start >= module->start &&
            (pc < function->end || function->start == function->end))
            return function->name;
    }
    return module->name;
}

struct address_range symbols_module(const struct symbols *symbols, uint64_t pc)
{
    const struct module *module = find_module(symbols, pc);

    return module ? (struct address_range){module->start, module->end}
                  : (struct address_range){0, 0};
}

#else

struct symbols *symbols_open(const char **why)
{
    cpu_profiler_built(why);
    return NULL;
}

void symbols_close(struct symbols **symbols)
{
    *symbols = NULL;
}

const char *symbols_find(const struct symbols *symbols, uint64_t pc)
{
    (void)symbols, (void)pc;
    return NULL;
}

struct address_range symbols_module(const struct symbols *symbols, uint64_t pc)
{
    (void)symbols, (void)pc;
    return (struct address_range){0, 0};
}

#endif
