/*
 * What is wrong with a configuration: collected while it is read, told at once in reading order.
 *
 * Called by all of conf/ while a file or arguments are read, on the thread that reads them. A list
 * is bounded, so that a file of rubbish does not fill the screen. The same complaint at the same
 * place (an anchored value used twice) is told once.
 */
#include "conf/conf.h"
#include "conf/tree.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define PROBLEM_BYTES 1024

void problem_add(struct problems *problems, struct mark mark, const char *format, ...)
{
    if (problems->syntax)
        return;
    if (problems->count == PROBLEMS_MAX) {
        problems->more = true;
        return;
    }
    if (!problems->list)
        problems->list = base_alloc(PROBLEMS_MAX * sizeof(*problems->list));
    char text[PROBLEM_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    struct problem *problem = &problems->list[problems->count];
    *problem = (struct problem){mark, problems->count, base_strdup(text)};
    problems->count++;
}

static int compare_places(const void *left, const void *right)
{
    const struct problem *a = left, *b = right;
    if (a->mark.line != b->mark.line)
        return a->mark.line < b->mark.line ? -1 : 1;
    if (a->mark.column != b->mark.column)
        return a->mark.column < b->mark.column ? -1 : 1;
    return a->order < b->order ? -1 : 1;
}

static bool is_repeated(const struct problem *problem, const struct problem *first)
{
    for (const struct problem *other = problem; other-- > first;) {
        if (other->mark.line != problem->mark.line || other->mark.column != problem->mark.column)
            return false;
        if (strcmp(other->text, problem->text) == 0)
            return true;
    }
    return false;
}

void problems_finish(struct problems *problems, const char *name, struct conf_errors *errors)
{
    FILE *out = open_memstream(&errors->text, &errors->text_len);
    if (!out) {
        log_error("reading %s: out of memory; stopping", name);
        exit(2);
    }
    if (problems->count > 1)
        qsort(problems->list, problems->count, sizeof(*problems->list), compare_places);
    for (unsigned i = 0; i < problems->count; i++) {
        const struct problem *problem = &problems->list[i];
        if (is_repeated(problem, problems->list))
            continue;
        if (problem->mark.line > 0)
            fprintf(out, "%s:%u:%u: %s\n", name, problem->mark.line, problem->mark.column,
                    problem->text);
        else
            fprintf(out, "%s: %s\n", name, problem->text);
        errors->count++;
    }
    if (problems->more)
        fprintf(out, "%s: there are more errors; correct these %u first\n", name, errors->count);
    fclose(out);
    for (unsigned i = 0; i < problems->count; i++)
        free(problems->list[i].text);
    free(problems->list);
    *problems = (struct problems){0};
}

void conf_errors_destroy(struct conf_errors *errors)
{
    free(errors->text);
    *errors = (struct conf_errors){0};
}

const char *quoted(char buffer[QUOTED_BYTES], struct str text)
{
    size_t len = text.len;
    bool cut = len > QUOTED_BYTES - 4;
    if (cut) {
        len = QUOTED_BYTES - 4;
        while (len > 0 && ((unsigned char)text.ptr[len] & 0xc0) == 0x80)
            len--;
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        buffer[i] = c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    strcpy(buffer + len, cut ? "..." : "");
    return buffer;
}

#define NEAREST_BYTES 64

/* Edits between two names: insertions, deletions, replacements and swapped neighbours. */
static unsigned edit_distance(struct str a, struct str b)
{
    unsigned rows[3][NEAREST_BYTES + 1];
    for (unsigned j = 0; j <= b.len; j++)
        rows[0][j] = j;
    for (unsigned i = 1; i <= a.len; i++) {
        unsigned *row = rows[i % 3], *above = rows[(i - 1) % 3], *higher = rows[(i + 1) % 3];
        row[0] = i;
        for (unsigned j = 1; j <= b.len; j++) {
            unsigned best = above[j - 1] + (a.ptr[i - 1] != b.ptr[j - 1]);
            if (above[j] + 1 < best)
                best = above[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a.ptr[i - 1] == b.ptr[j - 2] && a.ptr[i - 2] == b.ptr[j - 1] &&
                higher[j - 2] + 1 < best)
                best = higher[j - 2] + 1;
            row[j] = best;
        }
    }
    return rows[a.len % 3][b.len];
}

struct nearest nearest_start(struct str wanted)
{
    /* A third of a name may be wrong; of a short one, a letter. */
    unsigned allowed = wanted.len < 6 ? 1 : (unsigned)wanted.len / 3;
    return (struct nearest){.wanted = wanted, .distance = allowed + 1};
}

void nearest_offer(struct nearest *nearest, const char *candidate)
{
    struct str name = str_from(candidate), wanted = nearest->wanted;
    size_t gap = name.len > wanted.len ? name.len - wanted.len : wanted.len - name.len;
    if (name.len > NEAREST_BYTES || wanted.len > NEAREST_BYTES || gap >= nearest->distance)
        return;
    unsigned distance = edit_distance(wanted, name);
    if (distance < nearest->distance) {
        nearest->distance = distance;
        nearest->found = candidate;
    }
}
