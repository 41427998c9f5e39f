/* The configuration from YAML, and the normal form of paths that routes are matched in. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

/* Every good file can be printed; every bad one gets lines that say where and what. */
void fuzz_config(const uint8_t *bytes, size_t len)
{
    char *text = fuzz_exact_copy(bytes, len);
    struct conf_errors errors = {0};
    struct conf *conf = conf_parse("fuzz.yaml", text, len, &errors);
    if (conf != NULL) {
        char *printed = NULL;
        size_t printed_len = 0;
        FILE *out = open_memstream(&printed, &printed_len);
        weir_assert(out != NULL && errors.count == 0);
        weir_assert(conf->workers > 0 && conf->listen_count > 0 && conf->routes_count > 0);
        for (unsigned i = 0; i < conf->routes_count; i++)
            weir_assert(conf->routes[i].upstream != NULL && conf->routes[i].index == i);
        for (unsigned i = 0; i < conf->upstreams_count; i++)
            weir_assert(conf->upstreams[i].servers_count > 0);
        conf_print(conf, out);
        fclose(out);
        weir_assert(printed_len > 0 && printed[printed_len - 1] == '\n');
        free(printed);
        conf_release(&conf);
    } else {
        unsigned lines = 0;
        weir_assert(errors.count > 0 && errors.text != NULL && !errors.unreadable);
        for (size_t i = 0; i < errors.text_len; i++)
            lines += errors.text[i] == '\n';
        /* One line each, and one more where there are too many. */
        weir_assert(lines == errors.count || lines == errors.count + 1);
        weir_assert(errors.text[errors.text_len - 1] == '\n');
        weir_assert(strncmp(errors.text, "fuzz.yaml", 9) == 0);
    }
    conf_errors_destroy(&errors);
    free(text);
}
