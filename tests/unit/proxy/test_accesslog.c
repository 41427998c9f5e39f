/* The access log's rings and its writer: every line once and whole, and a worker that never waits.
 */
#include "proxy/accesslog.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define WORKERS 3
#define LINES 20000

static char folder[] = "/tmp/weir-test-XXXXXX", path[64];
static struct conf *conf;
static struct access_log *access_log;
static struct worker *workers;

static void open_log(const char *at)
{
    char text[512];
    struct conf_errors errors;
    const char *why;
    int len =
        snprintf(text, sizeof(text),
                 "upstreams: {up: {servers: [\"http://127.0.0.1:9\"]}}\nroutes: [{upstream: up}]\n"
                 "access_log: {path: \"%s\", format: json}\n",
                 at);

    conf = conf_parse("test", text, (size_t)len, &errors);
    assert_non_null(conf);
    access_log = access_log_open(conf, WORKERS, &why);
    assert_non_null(access_log);
    workers = calloc(WORKERS, sizeof(*workers));
    for (unsigned i = 0; i < WORKERS; i++)
        workers[i].access = access_log_ring(access_log, i);
}

static void close_log(void)
{
    access_log_close(&access_log);
    assert_null(access_log);
    free(workers);
    conf_release(&conf);
}

static void write_line(unsigned worker, const char *target)
{
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct http1_head head = {.method_name = STR("GET"), .target = str_from(target), .minor = 1};
    struct request request = {.worker = &workers[worker],
                              .head = &head,
                              .peer = (struct sockaddr *)&peer,
                              .status = 200,
                              .outcome = OUTCOME_HIT};

    access_log_write(&workers[worker], &request, 1);
}

static uint64_t dropped(void)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < WORKERS; i++)
        sum += cell_read(&workers[i].stats.log_dropped);
    return sum;
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

static void test_what_the_file_does_not_take_is_counted(void **state)
{
    uint64_t written = 0;

    (void)state;
    log_set_level(LOG_ERROR_LEVEL);
    open_log("/dev/full");
    while (dropped() == 0) {
        write_line(0, "/x");
        assert_true(written++ < 10000000);
    }
    close_log();
}

static void test_a_file_that_cannot_be_opened(void **state)
{
    struct conf refused = {.access_log_format = CONF_LOG_JSON,
                           .access_log_path = "/no/such/folder/log"};
    const char *why = NULL;

    (void)state;
    assert_null(access_log_open(&refused, 1, &why));
    assert_string_equal(why, "No such file or directory");
    refused.access_log_format = CONF_LOG_NONE;
    assert_null(access_log_open(&refused, 1, &why));
    assert_null(why);
    assert_null(access_log_ring(NULL, 0));
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
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_line_is_written_or_counted),
        cmocka_unit_test(test_lines_come_without_a_close),
        cmocka_unit_test(test_a_reader_that_stands_still_stops_nobody),
        cmocka_unit_test(test_what_the_file_does_not_take_is_counted),
        cmocka_unit_test(test_a_file_that_cannot_be_opened),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
