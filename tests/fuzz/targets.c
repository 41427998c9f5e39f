/*
 * The table of targets, what they share, and what libFuzzer calls: one program for all of them,
 * which takes the target's name from FUZZ_TARGET. Without one it tells the names and ends.
 */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

const struct fuzz_target fuzz_targets[] = {
#define X(name) {#name, fuzz_##name},
    FUZZ_TARGETS(X)
#undef X
};
const unsigned fuzz_targets_count = weir_count(fuzz_targets);

static const struct fuzz_target *chosen;

const struct fuzz_target *fuzz_target_find(const char *name)
{
    for (unsigned i = 0; i < fuzz_targets_count; i++) {
        if (strcmp(fuzz_targets[i].name, name) == 0)
            return &fuzz_targets[i];
    }
    return NULL;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *name = getenv("FUZZ_TARGET");
    (void)argc;
    (void)argv;
    chosen = name != NULL ? fuzz_target_find(name) : NULL;
    if (chosen != NULL)
        return 0;
    for (unsigned i = 0; i < fuzz_targets_count; i++)
        puts(fuzz_targets[i].name);
    exit(name == NULL ? 0 : 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    fuzz_run(chosen, bytes, len);
    return 0;
}

/* ---- dice ---- */

static uint32_t dice;

uint32_t fuzz_draw(uint32_t below)
{
    dice = dice * 1664525u + 1013904223u;
    return (dice >> 8) % below;
}

void fuzz_run(const struct fuzz_target *target, const uint8_t *bytes, size_t len)
{
    dice = (uint32_t)len;
    for (size_t i = 0; i < len; i++)
        dice = (dice ^ bytes[i]) * 16777619u;
    target->run(bytes, len);
}

/* ---- bytes ---- */

char *fuzz_exact_copy(const void *bytes, size_t len)
{
    char *copy = malloc(len > 0 ? len : 1);
    weir_assert(copy != NULL);
    if (len > 0)
        memcpy(copy, bytes, len);
    return copy;
}

struct str fuzz_take_line(struct str *rest)
{
    const char *end = rest->len > 0 ? memchr(rest->ptr, '\n', rest->len) : NULL;
    size_t len = end != NULL ? (size_t)(end - rest->ptr) : rest->len;
    struct str line = str_of(rest->ptr, len);
    size_t taken = len + (end != NULL);
    *rest = str_of(rest->ptr + taken, rest->len - taken);
    return line;
}

/* ---- fields ---- */

static bool is_token(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool letter = ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z';
        if (!letter && !(c >= '0' && c <= '9') && (c == '\0' || !strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return s.len > 0;
}

static bool is_value(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

void fuzz_take_head(struct str *rest, struct fuzz_head *head)
{
    head->count = 0;
    while (rest->len > 0) {
        struct str line = fuzz_take_line(rest);
        if (line.len == 0)
            return;
        const char *colon = memchr(line.ptr, ':', line.len);
        if (colon == NULL || head->count == FUZZ_FIELDS)
            continue;
        struct str name = str_of(line.ptr, (size_t)(colon - line.ptr));
        struct str value = str_trim(str_of(colon + 1, line.len - name.len - 1));
        if (!is_token(name) || !is_value(value))
            continue;
        head->list[head->count++] = (struct field){
            .name = name.ptr,
            .value = value.ptr,
            .value_len = (uint32_t)value.len,
            .name_len = (uint16_t)name.len,
            .id = (uint16_t)field_identify(name.ptr, name.len),
        };
    }
}

void fuzz_append_block(const struct fuzz_head *head, struct appender *out)
{
    for (unsigned i = 0; i < head->count; i++)
        http1_append_field(out, field_name(&head->list[i]), field_value(&head->list[i]));
}
