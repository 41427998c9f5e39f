/*
 * The program's commands: which one, with what arguments, and the exit status.
 *
 * `run` hands a configuration to weir_run() (run.c); stats and purge are in client.c, demo in
 * demo.c. Exit: 0 done; 1 the input is wrong (arguments, configuration, a URL); 2 the system
 * refused.
 */
#include "proxy/options.h"
#include "proxy/proxy.h"
#include "proxy/version.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>

static const char help_text[] =
    "weir " WEIR_VERSION ": a caching reverse proxy for slow HTTP APIs\n"
    "\n"
    "  weir run -c FILE             serve what the configuration says, in the foreground\n"
    "  weir run --to URL [--listen ADDRESS] [--admin ADDRESS]\n"
    "                               serve in front of one API, without a file: listens on\n"
    "                               127.0.0.1:8080, admin port on 127.0.0.1:9180\n"
    "  weir check -c FILE           tell everything that is wrong with a configuration\n"
    "  weir demo                    a slow sample API, and weir in front of it\n"
    "  weir stats [--admin URL]     the counters of a running weir, as JSON\n"
    "  weir purge [--admin URL] (URL | --prefix URL | --tag TAG | --all) [--soft]\n"
    "                               forget what is stored; --soft keeps it, as stale\n"
    "  weir version\n"
    "  weir help\n"
    "\n"
    "FILE may be - for standard input. ADDRESS is host:port, \"[::1]:port\" or unix:/path.\n"
    "stats and purge ask http://127.0.0.1:9180, or the environment's WEIR_ADMIN, with the\n"
    "token in WEIR_ADMIN_TOKEN where one is needed. GET / on the admin port lists its pages:\n"
    "/stats, /metrics for Prometheus, /healthz and others.\n"
    "\n"
    "run stops on TERM or INT once all requests are answered; a second one stops at once.\n"
    "Exit status: 0 done; 1 the input is wrong; 2 the system refused.\n";

/* Standard output is a file or a pipe too: what cannot be written is an error. */
static int finish_output(const char *command)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return EXIT_DONE;
    fprintf(stderr, "weir %s: writing to standard output: %s\n", command, strerrordesc_np(errno));
    return EXIT_REFUSED;
}

/* NULL after the errors have been written, with the exit status. */
static struct conf *take_conf(struct conf *conf, struct conf_errors *errors, int *status)
{
    if (!conf) {
        fputs(errors->text, stderr);
        *status = errors->unreadable ? EXIT_REFUSED : EXIT_INPUT;
    }
    conf_errors_destroy(errors);
    return conf;
}

static int command_run(int argc, char **argv)
{
    const char *file = NULL, *to = NULL, *listen = NULL, *admin = NULL;
    bool test_clock = false;
    const struct option_row rows[] = {
        {"-c", &file, NULL, false},
        {"--to", &to, NULL, false},
        {"--listen", &listen, NULL, false},
        {"--admin", &admin, NULL, false},
        {"--test-clock", NULL, &test_clock, true},
    };
    struct conf_errors errors = {0};
    struct conf *conf;
    unsigned plain_count;
    int status = EXIT_INPUT;

    if (!options_read("run", argc, argv, rows, weir_count(rows), NULL, 0, &plain_count))
        return EXIT_INPUT;
    if (!file == !to) {
        fprintf(
            stderr,
            "weir run: %s; write: weir run -c weir.yaml, or: weir run --to http://127.0.0.1:9000\n",
            file ? "-c and --to exclude each other"
                 : "neither a configuration nor an API is given");
        return EXIT_INPUT;
    }
    if (file && (listen || admin)) {
        fprintf(stderr,
                "weir run: %s goes with --to only; with -c, write the address into the file\n",
                listen ? "--listen" : "--admin");
        return EXIT_INPUT;
    }
    conf = file ? conf_load(file, &errors) : conf_for_origin(to, listen, admin, &errors);
    conf = take_conf(conf, &errors, &status);
    return conf ? weir_run(conf, test_clock, NULL, NULL) : status;
}

static int command_check(int argc, char **argv)
{
    const char *file = NULL;
    bool keys = false;
    const struct option_row rows[] = {{"-c", &file, NULL, false}, {"--keys", NULL, &keys, true}};
    struct conf_errors errors = {0};
    struct conf *conf;
    unsigned plain_count;
    int status = EXIT_INPUT;

    if (!options_read("check", argc, argv, rows, weir_count(rows), NULL, 0, &plain_count))
        return EXIT_INPUT;
    if (keys) {
        conf_print_keys(stdout);
        return finish_output("check");
    }
    if (!file) {
        fprintf(stderr, "weir check: no configuration is given; write: weir check -c weir.yaml\n");
        return EXIT_INPUT;
    }
    conf = take_conf(conf_load(file, &errors), &errors, &status);
    if (!conf)
        return status;
    conf_print(conf, stdout);
    conf_print_machine(conf, stdout);
    conf_release(&conf);
    return finish_output("check");
}

static int command_version(int argc, char **argv)
{
    unsigned plain_count;

    if (!options_read("version", argc, argv, NULL, 0, NULL, 0, &plain_count))
        return EXIT_INPUT;
    printf("weir %s\n", WEIR_VERSION);
    return finish_output("version");
}

static int command_help(int argc, char **argv)
{
    (void)argc, (void)argv;
    fputs(help_text, stdout);
    return finish_output("help");
}

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"run", command_run},     {"check", command_check}, {"demo", command_demo},
    {"stats", command_stats}, {"purge", command_purge}, {"version", command_version},
    {"help", command_help},
};

static bool asks_for_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static int complain_of_unknown(const char *written)
{
    const char *names[weir_count(commands)], *nearest;

    for (size_t i = 0; i < weir_count(commands); i++)
        names[i] = commands[i].name;
    nearest = options_nearest(written, names, weir_count(commands));
    if (nearest)
        fprintf(stderr, "weir: unknown command \"%s\"; did you mean \"weir %s\"?\n", written,
                nearest);
    else
        fprintf(stderr, "weir: unknown command \"%s\"; \"weir help\" lists the commands\n",
                written);
    return EXIT_INPUT;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2) {
        fprintf(stderr, "weir: no command; try \"weir demo\", or \"weir help\" for all of them\n");
        return EXIT_INPUT;
    }
    if (asks_for_help(argv[1]) || (argc > 2 && asks_for_help(argv[2])))
        return command_help(argc, argv);
    if (strcmp(argv[1], "--version") == 0)
        return command_version(argc - 1, argv + 1);
    for (size_t i = 0; i < weir_count(commands); i++)
        if (strcmp(commands[i].name, argv[1]) == 0)
            return commands[i].run(argc - 1, argv + 1);
    return complain_of_unknown(argv[1]);
}
