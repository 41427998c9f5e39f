/* The access log's rings and its writer: every line once and whole, and a worker that never waits.
 */
#include "proxy/accesslog.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define WORKERS 3
#define LINES 20000

static char folder[] = "/tmp/weir-test-XXXXXX", path[64];
static struct conf *conf;
static struct access_log *access_log;
static struct worker *workers;

static void make_conf(const char *access, const char *slow)
{
    char text[1024];
    struct conf_errors errors;
    int len = snprintf(
        text, sizeof(text),
        "upstreams: {up: {servers: [\"http://127.0.0.1:9\"]}}\nroutes: [{upstream: up}]\n"
        "access_log: {path: \"%s\", format: %s}\nslow_log: {path: \"%s\", threshold: %s}\n",
        access ? access : "stdout", access ? "json" : "none", slow ? slow : "stderr",
        slow ? "1s" : "0s");

    conf = conf_parse("test", text, (size_t)len, &errors);
    assert_non_null(conf);
}

static void open_logs(const char *access, const char *slow)
{
    make_conf(access, slow);
    assert_true(access_log_open(conf, WORKERS, &access_log));
    workers = calloc(WORKERS, sizeof(*workers));
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i].pen = access_log_pen(access_log, i);
        trace_seed(&workers[i]);
    }
}

static void open_log(const char *at)
{
    open_logs(at, NULL);
}

static void close_log(void)
{
    access_log_close(&access_log);
    assert_null(access_log);
    free(workers);
    conf_release(&conf);
}

static void write_slow_line(unsigned worker, const char *target, int64_t total_us)
{
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct http1_head head = {.method_name = STR("GET"), .target = str_from(target), .minor = 1};
    struct request request = {.worker = &workers[worker],
                              .head = &head,
                              .peer = (struct sockaddr *)&peer,
                              .started_us = 1,
                              .head_sent = true,
                              .status = 200,
                              .outcome = OUTCOME_HIT};

    access_log_write(&workers[worker], &request, 1 + total_us);
}

static void write_line(unsigned worker, const char *target)
{
    write_slow_line(worker, target, 5);
}

static struct access_log_counts counts(void)
{
    struct access_log_counts access, slow;

    access_log_count(access_log, &access, &slow);
    return access;
}

static uint64_t dropped(void)
{
    return counts().dropped;
}

static void *write_many(void *arg)
{
    unsigned worker = (unsigned)(uintptr_t)arg;
    char target[32];

    for (unsigned i = 0; i < LINES; i++) {
        snprintf(target, sizeof(target), "/%u/%u", worker, i);
        write_line(worker, target);
    }
    return NULL;
}

/* Counts the lines in the file; each worker's must be whole and in order. */
static uint64_t read_lines(FILE *file)
{
    int64_t last[WORKERS];
    uint64_t lines = 0;
    char line[4096];

    for (unsigned i = 0; i < WORKERS; i++)
        last[i] = -1;
    while (fgets(line, sizeof(line), file)) {
        const char *at = strstr(line, "\"target\":\"/");
        unsigned worker, number;

        assert_non_null(at);
        assert_int_equal(sscanf(at, "\"target\":\"/%u/%u\"", &worker, &number), 2);
        assert_memory_equal(line, "{\"time\":\"", 9);
        assert_string_equal(line + strlen(line) - 2, "}\n");
        assert_true(worker < WORKERS && (int64_t)number > last[worker]);
        last[worker] = number;
        lines++;
    }
    return lines;
}

static void test_every_line_is_written_or_counted(void **state)
{
    pthread_t threads[WORKERS];
    uint64_t lost;
    struct stat st;
    FILE *file;

    (void)state;
    snprintf(path, sizeof(path), "%s/all", folder);
    open_log(path);
    for (unsigned i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, (void *)(uintptr_t)i), 0);
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    lost = dropped();
    close_log();
    file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(read_lines(file) + lost, WORKERS * LINES);
    assert_int_equal(fstat(fileno(file), &st), 0);
    assert_int_equal(st.st_mode & 0133, 0);
    fclose(file);
}

static void test_lines_come_without_a_close(void **state)
{
    char seen = 0;
    int fd;

    (void)state;
    snprintf(path, sizeof(path), "%s/fifo", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    fd = open(path, O_RDWR);
    open_log(path);
    for (unsigned i = 0; i < 3; i++) {
        write_line(i, "/x"); /* whether the writer naps or sleeps */
        do
            assert_int_equal(read(fd, &seen, 1), 1);
        while (seen != '\n');
    }
    close_log();
    close(fd);
}

static void test_a_reader_that_stands_still_stops_nobody(void **state)
{
    int fd = open(path, O_RDWR);
    uint64_t written = 0, lost;
    char buffer[65536], target[32];
    FILE *file;

    (void)state;
    open_log(path);
    while (dropped() == 0) { /* nobody reads: pipe and ring are full */
        snprintf(target, sizeof(target), "/0/%u", (unsigned)written++);
        write_line(0, target);
        assert_true(written < 1000000);
    }
    lost = dropped();
    file = tmpfile();
    for (uint64_t lines = 0; lines < written - lost;) {
        ssize_t len = read(fd, buffer, sizeof(buffer));

        assert_true(len > 0);
        for (ssize_t i = 0; i < len; i++)
            lines += buffer[i] == '\n';
        assert_int_equal(fwrite(buffer, 1, (size_t)len, file), len);
    }
    rewind(file);
    assert_int_equal(read_lines(file), written - lost);
    fclose(file);
    close_log();
    close(fd);
    unlink(path);
}

static void wait_for_writer(bool (*done)(void))
{
    for (unsigned i = 0; !done(); i++) {
        assert_true(i < 20000);
        poll(NULL, 0, 1); /* for the writer's thread */
    }
}

static uint64_t lines_wanted;

static bool all_lines_are_counted(void)
{
    struct access_log_counts now = counts();

    return now.written + now.dropped == lines_wanted;
}

static void test_what_the_file_does_not_take_is_counted(void **state)
{
    (void)state;
    log_set_level(LOG_ERROR_LEVEL + 1);
    open_log("/dev/full");
    for (lines_wanted = 1; lines_wanted <= 3; lines_wanted++) {
        write_line(0, "/x");
        wait_for_writer(all_lines_are_counted); /* without another line that would tell */
    }
    assert_int_equal(counts().written, 0);
    close_log();
    log_set_level(LOG_INFO_LEVEL);
}

static FILE *open_for_reading(const char *name)
{
    FILE *file = fopen(name, "r");

    assert_non_null(file);
    return file;
}

/* A file that ends in the middle of a line and takes no more, then has room again. */
static void test_a_line_is_never_glued_to_a_piece_of_one(void **state)
{
    struct rlimit before, small;
    char line[4096];
    FILE *file;
    uint64_t lost;

    (void)state;
    log_set_level(LOG_ERROR_LEVEL + 1);
    snprintf(path, sizeof(path), "%s/all", folder);
    unlink(path);
    open_log(path);
    getrlimit(RLIMIT_FSIZE, &before);
    small = before;
    small.rlim_cur = 1000; /* two lines and a piece */
    setrlimit(RLIMIT_FSIZE, &small);
    for (unsigned i = 0; i < 10; i++)
        write_line(0, "/0/1");
    lines_wanted = 10;
    wait_for_writer(all_lines_are_counted);
    lost = dropped();
    assert_in_range(lost, 1, 9);
    setrlimit(RLIMIT_FSIZE, &before);
    write_line(0, "/0/2");
    lines_wanted = 11;
    wait_for_writer(all_lines_are_counted);
    assert_int_equal(dropped(), lost);
    close_log();
    log_set_level(LOG_INFO_LEVEL);

    file = open_for_reading(path);
    for (uint64_t i = 0; i < 10 - lost; i++) {
        assert_non_null(fgets(line, sizeof(line), file));
        assert_string_equal(line + strlen(line) - 2, "}\n");
    }
    assert_non_null(fgets(line, sizeof(line), file)); /* the piece, with a line's end */
    assert_memory_equal(line, "{\"time\":\"", 9);
    assert_string_not_equal(line + strlen(line) - 2, "}\n");
    assert_non_null(fgets(line, sizeof(line), file));
    assert_non_null(strstr(line, "/0/2"));
    assert_memory_equal(line, "{\"time\":\"", 9);
    fclose(file);
}

static void test_a_file_that_was_left_within_a_line(void **state)
{
    char line[4096];
    FILE *file = fopen(path, "w");

    (void)state;
    fputs("{\"time\":\"2026", file);
    fclose(file);
    open_log(path);
    write_line(0, "/0/1");
    close_log();
    file = open_for_reading(path);
    assert_non_null(fgets(line, sizeof(line), file));
    assert_string_equal(line, "{\"time\":\"2026\n");
    assert_int_equal(read_lines(file), 1);
    fclose(file);
}

static char moved[64];

static bool a_new_file_is_there(void)
{
    return access(path, F_OK) == 0;
}

static void rename_and_reopen(void)
{
    assert_int_equal(rename(path, moved), 0);
    access_log_reopen(access_log);
    wait_for_writer(a_new_file_is_there);
}

static uint64_t lines_in(const char *name)
{
    FILE *file = open_for_reading(name);
    uint64_t lines = read_lines(file);

    fclose(file);
    return lines;
}

static void test_reopening_loses_and_doubles_no_line(void **state)
{
    pthread_t threads[WORKERS];
    uint64_t lost, first, second;

    (void)state;
    log_set_level(LOG_WARN_LEVEL);
    snprintf(moved, sizeof(moved), "%s/moved", folder);
    unlink(path);
    open_log(path);
    write_line(0, "/0/0");
    write_line(1, "/1/0");
    rename_and_reopen();
    write_line(0, "/0/1");
    close_log();
    assert_int_equal(lines_in(moved), 2);
    assert_int_equal(lines_in(path), 1);

    unlink(path);
    open_log(path);
    for (unsigned i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, (void *)(uintptr_t)i), 0);
    rename_and_reopen();
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    lost = dropped();
    close_log();
    first = lines_in(moved);
    second = lines_in(path);
    assert_int_equal(first + second + lost, WORKERS * LINES);
    log_set_level(LOG_INFO_LEVEL);
}

static void test_what_cannot_be_reopened_stays(void **state)
{
    (void)state;
    unlink(path);
    open_log(path);
    assert_int_equal(rename(path, moved), 0);
    assert_int_equal(mkdir(path, 0700), 0); /* cannot be opened for writing, by root neither */
    access_log_reopen(access_log);
    write_line(0, "/0/1");
    lines_wanted = 1;
    wait_for_writer(all_lines_are_counted);
    assert_int_equal(dropped(), 0);
    close_log();
    assert_int_equal(lines_in(moved), 1);
    rmdir(path);
}

static bool one_slow_line(void)
{
    struct access_log_counts access, slow;

    access_log_count(access_log, &access, &slow);
    return slow.written == 1;
}

/* A pipe that nobody reads holds up its own lines only, and can be left behind. */
static void test_files_do_not_hold_up_each_other(void **state)
{
    char slow_path[64], buffer[65536], target[32];
    uint64_t written = 0, from_fifo = 0, seen;
    bool in_line = false;
    int fd;

    (void)state;
    log_set_level(LOG_ERROR_LEVEL);
    unlink(path);
    snprintf(slow_path, sizeof(slow_path), "%s/slow", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    fd = open(path, O_RDWR | O_NONBLOCK);
    open_logs(path, slow_path);
    while (dropped() == 0) {
        snprintf(target, sizeof(target), "/0/%u", (unsigned)written++);
        write_line(0, target);
    }
    write_slow_line(1, "/slow", 2000000); /* also the access log's */
    wait_for_writer(one_slow_line);
    assert_int_equal(rename(path, moved), 0);
    access_log_reopen(access_log);
    wait_for_writer(a_new_file_is_there);
    lines_wanted = written + 1;
    wait_for_writer(all_lines_are_counted);
    seen = dropped();
    for (ssize_t len; (len = read(fd, buffer, sizeof(buffer))) > 0;)
        for (ssize_t i = 0; i < len; i++) {
            from_fifo += buffer[i] == '\n';
            in_line = buffer[i] != '\n';
        }
    close_log();
    assert_true(seen >= 1 && seen <= 2); /* what found no room, and the line that was cut */
    assert_int_equal(in_line, seen == 2);
    {
        FILE *file = open_for_reading(path);
        uint64_t lines = 0;

        while (fgets(buffer, sizeof(buffer), file)) {
            assert_memory_equal(buffer, "{\"time\":\"", 9);
            lines++;
        }
        fclose(file);
        assert_int_equal(from_fifo + lines + seen, written + 1);
    }
    close(fd);
    unlink(slow_path);
    unlink(moved);
    log_set_level(LOG_INFO_LEVEL);
}

static void test_closing_waits_for_nobody_for_long(void **state)
{
    unsigned written = 0;
    char target[32];
    int fd;

    (void)state;
    log_set_level(LOG_ERROR_LEVEL);
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    fd = open(path, O_RDWR);
    open_log(path);
    while (dropped() == 0) {
        snprintf(target, sizeof(target), "/0/%u", written++);
        write_line(0, target);
    }
    close_log(); /* nobody reads: the test's own time limit is what would tell */
    close(fd);
    unlink(path);
    log_set_level(LOG_INFO_LEVEL);
}

static void test_the_slow_log_alone(void **state)
{
    char line[4096];
    FILE *file;

    (void)state;
    open_logs(NULL, path);
    assert_int_equal(access_log_from_us(access_log), 1000000);
    write_slow_line(0, "/fast", 999999);
    write_slow_line(0, "/slow", 1000000);
    close_log();
    file = open_for_reading(path);
    assert_non_null(fgets(line, sizeof(line), file));
    assert_non_null(strstr(line, "\"target\":\"/slow\""));
    assert_non_null(strstr(line, "\"total_us\":1000000,"));
    assert_non_null(strstr(line, ",\"wait_us\":0,\"client_us\":0}\n"));
    assert_null(fgets(line, sizeof(line), file));
    fclose(file);
}

static void test_a_file_that_cannot_be_opened(void **state)
{
    static const char nowhere[] = "/proc/no-such-log";

    (void)state;
    log_set_level(LOG_ERROR_LEVEL + 1);
    for (unsigned slow = 0; slow < 2; slow++) {
        make_conf(slow ? "/dev/null" : nowhere, slow ? nowhere : NULL);
        assert_false(access_log_open(conf, 1, &access_log));
        assert_null(access_log);
        conf_release(&conf);
    }
    log_set_level(LOG_INFO_LEVEL);
    make_conf(NULL, NULL);
    assert_true(access_log_open(conf, 1, &access_log));
    assert_null(access_log);
    assert_null(access_log_pen(NULL, 0));
    assert_true(access_log_from_us(NULL) == INT64_MAX);
    conf_release(&conf);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    snprintf(path, sizeof(path), "%s/all", folder);
    unlink(path);
    snprintf(path, sizeof(path), "%s/fifo", folder);
    unlink(path);
    unlink(moved);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_line_is_written_or_counted),
        cmocka_unit_test(test_lines_come_without_a_close),
        cmocka_unit_test(test_a_reader_that_stands_still_stops_nobody),
        cmocka_unit_test(test_what_the_file_does_not_take_is_counted),
        cmocka_unit_test(test_a_line_is_never_glued_to_a_piece_of_one),
        cmocka_unit_test(test_a_file_that_was_left_within_a_line),
        cmocka_unit_test(test_reopening_loses_and_doubles_no_line),
        cmocka_unit_test(test_what_cannot_be_reopened_stays),
        cmocka_unit_test(test_files_do_not_hold_up_each_other),
        cmocka_unit_test(test_closing_waits_for_nobody_for_long),
        cmocka_unit_test(test_the_slow_log_alone),
        cmocka_unit_test(test_a_file_that_cannot_be_opened),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
