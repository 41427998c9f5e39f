/*
 * Reading a command's arguments, for main.c, client.c and demo.c: getopt_long() behind a table, and
 * one clear line for what is wrong, with the nearest known word. Main thread, before anything else
 * runs.
 */
#include "proxy/options.h"

#include "base/base.h"

#include <getopt.h>
#include <stdio.h>

#define MOST_ROWS 8
#define WORD_BYTES 24
#define NEAR 3

/* Levenshtein's distance; both are short. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[WORD_BYTES + 1], len = (unsigned)strlen(b);

    for (unsigned j = 0; j <= len; j++)
        row[j] = j;
    for (unsigned i = 1; a[i - 1]; i++) {
        unsigned diagonal = row[0];

        row[0] = i;
        for (unsigned j = 1; j <= len; j++) {
            unsigned best = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[len];
}

const char *options_nearest(const char *written, const char *const *words, unsigned count)
{
    const char *best = NULL;
    unsigned best_distance = NEAR + 1;

    for (unsigned i = 0; i < count; i++) {
        unsigned d;

        weir_assert(strlen(words[i]) <= WORD_BYTES);
        d = distance(written, words[i]);
        if (d < best_distance && d < strlen(words[i])) {
            best = words[i];
            best_distance = d;
        }
    }
    return best;
}

static void complain_of_unknown(const char *command, const char *written,
                                const struct option_row *rows, unsigned rows_count)
{
    const char *words[MOST_ROWS], *nearest;
    unsigned count = 0, len = (unsigned)strcspn(written, "=");
    char name[256];

    for (unsigned i = 0; i < rows_count; i++)
        if (!rows[i].hidden)
            words[count++] = rows[i].name;
    snprintf(name, sizeof(name), "%.*s", (int)len, written);
    nearest = options_nearest(name, words, count);
    if (nearest)
        fprintf(stderr, "weir %s: unknown option %s; did you mean %s?\n", command, name, nearest);
    else
        fprintf(stderr, "weir %s: unknown option %s; \"weir help\" lists the options\n", command,
                name);
}

/* The row that getopt_long() has found: a long one by its place, a letter by itself. */
static const struct option_row *find_row(int found, int place, const struct option_row *rows,
                                         unsigned rows_count)
{
    if (found == 0)
        return &rows[place];
    for (unsigned i = 0; i < rows_count; i++)
        if (rows[i].name[1] == found && rows[i].name[2] == '\0')
            return &rows[i];
    return NULL;
}

static void make_tables(const struct option_row *rows, unsigned rows_count, struct option *longs,
                        char *letters)
{
    memset(longs, 0, (MOST_ROWS + 1) * sizeof(*longs));
    *letters++ = ':'; /* a missing value is told apart */
    for (unsigned i = 0; i < rows_count; i++) {
        /* A letter's row keeps its place with a name that cannot be written. */
        longs[i].name = rows[i].name[1] == '-' ? rows[i].name + 2 : "=";
        longs[i].has_arg = rows[i].value ? required_argument : no_argument;
        if (rows[i].name[1] != '-') {
            *letters++ = rows[i].name[1];
            if (rows[i].value)
                *letters++ = ':';
        }
    }
    *letters = '\0';
}

static bool read_options(const char *command, int argc, char **argv, const struct option_row *rows,
                         unsigned rows_count)
{
    struct option longs[MOST_ROWS + 1];
    char letters[2 * MOST_ROWS + 2];
    int found, place = 0;

    make_tables(rows, rows_count, longs, letters);
    opterr = 0;
    optind = 0;
    while ((found = getopt_long(argc, argv, letters, longs, &place)) != -1) {
        const struct option_row *row;

        if (found == ':') {
            fprintf(stderr, "weir %s: %s needs a value\n", command, argv[optind - 1]);
            return false;
        }
        row = found == '?' ? NULL : find_row(found, place, rows, rows_count);
        if (!row) {
            char letter[3] = {'-', (char)optopt, '\0'};

            complain_of_unknown(command, optopt > 0 && optopt < 127 ? letter : argv[optind - 1],
                                rows, rows_count);
            return false;
        }
        if (row->value && *row->value) {
            fprintf(stderr, "weir %s: %s is given twice\n", command, row->name);
            return false;
        }
        if (row->value)
            *row->value = optarg;
        else
            *row->flag = true;
    }
    return true;
}

bool options_read(const char *command, int argc, char **argv, const struct option_row *rows,
                  unsigned rows_count, const char **plain, unsigned most, unsigned *plain_count)
{
    weir_assert(rows_count <= MOST_ROWS);
    *plain_count = 0;
    if (!read_options(command, argc, argv, rows, rows_count))
        return false;
    for (; optind < argc; optind++) {
        if (*plain_count == most) {
            fprintf(stderr,
                    "weir %s: unexpected argument \"%s\"; \"weir help\" lists what it takes\n",
                    command, argv[optind]);
            return false;
        }
        plain[(*plain_count)++] = argv[optind];
    }
    return true;
}
