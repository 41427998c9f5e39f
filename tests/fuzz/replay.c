/*
 * Runs every file of tests/fuzz/corpus and tests/fuzz/regressions through its target, without libFuzzer: so "make
 * check" holds what was found once, with any compiler. Prints TAP, one line a target. With arguments,
 * TARGET FILE or FOLDER..., only these; with --list, the names of the targets.
 */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static unsigned files;

static void run_path(const struct fuzz_target *target, const char *path);

static void run_file(const struct fuzz_target *target, const char *path)
{
    FILE *file = fopen(path, "rb");
    char *bytes = NULL;
    size_t len = 0, got;
    weir_assert(file != NULL);
    do {
        bytes = realloc(bytes, len + 65536);
        weir_assert(bytes != NULL);
        got = fread(bytes + len, 1, 65536, file);
        len += got;
    } while (got > 0);
    fclose(file);
    fuzz_run(target, (const uint8_t *)bytes, len);
    free(bytes);
    files++;
}

static void run_folder(const struct fuzz_target *target, const char *path)
{
    struct dirent **names;
    char inner[4096];
    int count = scandir(path, &names, NULL, alphasort);
    weir_assert(count >= 0);
    for (int i = 0; i < count; i++) {
        snprintf(inner, sizeof inner, "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.')
            run_path(target, inner);
        free(names[i]);
    }
    free(names);
}

/* What is not there is passed over: most targets have no regressions. */
static void run_path(const struct fuzz_target *target, const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return;
    if (S_ISDIR(st.st_mode))
        run_folder(target, path);
    else
        run_file(target, path);
}

static void run_target(const struct fuzz_target *target, const char *top, unsigned number)
{
    static const char *const folders[] = {"corpus", "regressions"};
    char path[4096];
    files = 0;
    /* Should it abort, the last line names it. */
    printf("# %s\n", target->name);
    fflush(stdout);
    for (unsigned i = 0; i < weir_count(folders); i++) {
        snprintf(path, sizeof path, "%s/tests/fuzz/%s/%s", top, folders[i], target->name);
        run_path(target, path);
    }
    printf("%s %u %s: %u files\n", files > 0 ? "ok" : "not ok", number, target->name, files);
}

int main(int argc, char **argv)
{
    const char *top = getenv("TOP_SRCDIR");
    const struct fuzz_target *target = argc > 1 ? fuzz_target_find(argv[1]) : NULL;
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (unsigned i = 0; i < fuzz_targets_count; i++)
            puts(fuzz_targets[i].name);
        return 0;
    }
    if (argc > 1 && (target == NULL || argc == 2)) {
        fprintf(stderr, "usage: replay [--list | TARGET FILE...], where TARGET is a name of "
                        "tests/fuzz/fuzz.h\n");
        return 2;
    }
    for (int i = 2; i < argc; i++)
        run_path(target, argv[i]);
    if (argc > 1)
        return 0;
    printf("1..%u\n", fuzz_targets_count);
    for (unsigned i = 0; i < fuzz_targets_count; i++)
        run_target(&fuzz_targets[i], top != NULL ? top : ".", i + 1);
    return 0;
}
