/*
 * What the commands share: their exit status, and how arguments are read: options that take a value
 * or are a flag, and what is no option.
 */
#ifndef WEIR_PROXY_OPTIONS_H
#define WEIR_PROXY_OPTIONS_H

#include <stdbool.h>

/* Of every command: done; the input is wrong (arguments, configuration, a URL); the system refused.
 */
enum exit_status {
    EXIT_DONE = 0,
    EXIT_INPUT = 1,
    EXIT_REFUSED = 2
};

struct option_row {
    const char *name;   /* "--admin", or a letter: "-c" */
    const char **value; /* where its value goes; NULL for a flag */
    bool *flag;         /* set; NULL for one with a value */
    bool hidden;        /* never suggested */
};

/* Reads argv[1..) of `weir <command>`: at most `most` arguments that are no options go to `plain`,
 * *plain_count tells how many. False after one clear line on stderr. */
bool options_read(const char *command, int argc, char **argv, const struct option_row *rows,
                  unsigned rows_count, const char **plain, unsigned most, unsigned *plain_count);

/* The nearest of the words to what was written, or NULL when none is near. */
const char *options_nearest(const char *written, const char *const *words, unsigned count);

#endif
