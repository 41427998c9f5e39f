/* Good files and arguments into snapshots, the table of keys, and that no text whatever brings the
 * loader down. */
#include "conf/keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/conf/expect.h"

static void test_defaults(void **state)
{
    (void)state;
    struct conf *conf = expect_good(SMALLEST);
    assert_string_equal(conf->path, "f");
    assert_in_range(conf->workers, 1, 256);
    assert_int_equal(conf->listen_count, 1);
    assert_string_equal(conf->listen[0].address.text, "0.0.0.0:8080");
    assert_string_equal(conf->admin.text, "127.0.0.1:9180");
    assert_null(conf->admin_token);
    assert_true(conf->cache_memory >= 64u << 20);
    assert_int_equal(conf->cache_max_object, 64 << 20);
    assert_int_equal(conf->upstreams_count, 1);
    const struct conf_upstream *api = &conf->upstreams[0];
    assert_string_equal(api->name, "api");
    assert_int_equal(api->servers_count, 1);
    assert_int_equal(api->host, CONF_HOST_CLIENT);
    assert_string_equal(api->path_prefix, "");
    assert_int_equal(api->pool.max_connections, 256);
    assert_int_equal(api->pool.max_idle, 64);
    assert_int_equal(api->pool.idle_timeout_ms, 60000);
    assert_int_equal(api->pool.max_requests, 0);
    assert_int_equal(api->pool.max_lifetime_ms, 0);
    assert_int_equal(api->pool.queue, 1024);
    assert_int_equal(api->pool.queue_timeout_ms, 5000);
    assert_int_equal(api->timeouts.connect_ms, 2000);
    assert_int_equal(api->timeouts.first_byte_ms, 30000);
    assert_int_equal(api->timeouts.between_bytes_ms, 30000);
    assert_int_equal(conf->routes_count, 1);
    const struct conf_route *route = &conf->routes[0];
    assert_string_equal(route->name, "*/");
    assert_null(route->host);
    assert_null(route->path);
    assert_int_equal(route->methods, 0);
    assert_ptr_equal(route->upstream, api);
    assert_int_equal(route->line, 2);
    assert_false(route->strip_prefix);
    assert_true(route->cache.enabled);
    assert_int_equal(route->cache.ttl_s, 0);
    assert_int_equal(route->cache.negative_ttl_s, 0);
    assert_int_equal(route->cache.stale_while_revalidate_s, 0);
    assert_int_equal(route->cache.stale_if_error_s, 0);
    assert_int_equal(route->cache.keep_s, 86400);
    assert_int_equal(route->cache.hit_for_miss_ms, 10000);
    assert_int_equal(route->cache.purge_from_count, 0);
    assert_int_equal(conf->limits.header_size, 32768);
    assert_int_equal(conf->limits.headers, 100);
    assert_int_equal(conf->limits.body_size, 1 << 30);
    assert_int_equal(conf->limits.header_timeout_ms, 10000);
    assert_int_equal(conf->limits.body_timeout_ms, 30000);
    assert_int_equal(conf->limits.send_timeout_ms, 30000);
    assert_int_equal(conf->limits.min_send_rate, 1024);
    assert_int_equal(conf->limits.idle_timeout_ms, 75000);
    assert_int_equal(conf->limits.connections, 0);
    assert_string_equal(conf->access_log_path, "stdout");
    assert_int_equal(conf->access_log_format, CONF_LOG_NONE);
    assert_string_equal(conf->slow_log_path, "stderr");
    assert_int_equal(conf->slow_log_threshold_ms, 0);
    assert_int_equal(conf->error_log_level, LOG_INFO_LEVEL);
    conf_release(&conf);
    assert_null(conf);
}

static void test_everything(void **state)
{
    (void)state;
    struct conf *conf = expect_good(
        "workers: 3\n"
        "listen: [{address: \"[::]:81\"}, {address: \"unix:/run/w.sock\"}, {}]\n"
        "admin: {address: \"unix:/run/a.sock\"}\n"
        "cache: {memory: 8MiB, max_object: 512KiB}\n"
        "routes:\n"
        "  - host: \"*.Example.com.:80\"\n"
        "    path: /%761/./\n"
        "    methods: [GET, HEAD, PURGE]\n"
        "    upstream: b\n"
        "    strip_prefix: true\n"
        "    cache: {enabled: false, ttl: 5m, negative_ttl: \"1s\", hit_for_miss: 250ms,\n"
        "      purge_from: [10.0.0.0/8, \"::1\"],\n"
        "      stale_while_revalidate: 30s, stale_if_error: 194d, keep: 45d}\n"
        "  - {host: A.b, upstream: a, cache: {enabled: \"true\", hit_for_miss: 0}}\n"
        "upstreams:\n"
        "  a: {servers: [\"http://[::1]\", \"unix:/run/o.sock\"], host: origin}\n"
        "  b:\n"
        "    servers: [\"http://h:1\"]\n"
        "    host: api.example.com:81\n"
        "    pool: {max_connections: 1, max_idle: 0, idle_timeout: 1s, max_requests: 5000000000,\n"
        "           max_lifetime: 1d, queue: 0, queue_timeout: 20ms}\n"
        "    timeouts: {connect: 1ms, first_byte: 2ms, between_bytes: 3ms}\n"
        "limits: {header_size: 8KiB, headers: 50, body_size: 5TiB, header_timeout: 1s,\n"
        "         body_timeout: 2s, send_timeout: 3s, min_send_rate: 64KiB, idle_timeout: 4s,\n"
        "         connections: 77}\n"
        "access_log: {path: /var/log/w, format: combined}\n"
        "slow_log: {path: /var/log/s, threshold: 1500ms}\n"
        "error_log: {level: debug}\n");
    assert_int_equal(conf->workers, 3);
    assert_int_equal(conf->listen_count, 3);
    assert_string_equal(conf->listen[0].address.text, "[::]:81");
    assert_int_equal(conf->listen[1].address.kind, CONF_ADDRESS_UNIX);
    assert_string_equal(conf->listen[2].address.text, "0.0.0.0:8080");
    assert_string_equal(conf->admin.text, "unix:/run/a.sock");
    assert_int_equal(conf->cache_memory, 8 << 20);
    assert_int_equal(conf->cache_max_object, 512 << 10);
    const struct conf_route *route = &conf->routes[0];
    assert_string_equal(route->name, "*.Example.com.:80/%761/./");
    assert_string_equal(route->host, ".example.com");
    assert_true(route->host_suffix);
    assert_string_equal(route->path, "/v1");
    assert_int_equal(route->methods, 1u << METHOD_GET | 1u << METHOD_HEAD | 1u << METHOD_OTHER);
    assert_int_equal(route->other_methods_count, 1);
    assert_true(str_equal(route->other_methods[0], STR("PURGE")));
    assert_ptr_equal(route->upstream, &conf->upstreams[1]);
    assert_int_equal(route->line, 6);
    assert_true(route->strip_prefix);
    assert_false(route->cache.enabled);
    assert_int_equal(route->cache.ttl_s, 300);
    assert_int_equal(route->cache.negative_ttl_s, 1);
    assert_int_equal(route->cache.stale_while_revalidate_s, 30);
    assert_int_equal(route->cache.stale_if_error_s, 194 * 86400);
    assert_int_equal(route->cache.keep_s, 45 * 86400);
    assert_int_equal(route->cache.hit_for_miss_ms, 250);
    assert_int_equal(route->cache.purge_from_count, 2);
    assert_string_equal(route->cache.purge_from[1].text, "::1");
    assert_int_equal(conf->routes[1].index, 1);
    assert_true(conf->routes[1].cache.enabled);
    assert_int_equal(conf->routes[1].cache.hit_for_miss_ms, 0);
    assert_string_equal(conf->routes[1].name, "A.b/");
    const struct conf_upstream *a = &conf->upstreams[0], *b = &conf->upstreams[1];
    assert_int_equal(a->host, CONF_HOST_ORIGIN);
    assert_int_equal(a->servers_count, 2);
    assert_string_equal(a->servers[0].authority, "[::1]");
    assert_string_equal(a->servers[1].authority, "localhost");
    assert_int_equal(b->index, 1);
    assert_int_equal(b->host, CONF_HOST_LITERAL);
    assert_string_equal(b->host_literal, "api.example.com:81");
    assert_int_equal(b->pool.max_connections, 1);
    assert_int_equal(b->pool.max_idle, 0);
    assert_int_equal(b->pool.idle_timeout_ms, 1000);
    assert_true(b->pool.max_requests == 5000000000);
    assert_int_equal(b->pool.max_lifetime_ms, 86400000);
    assert_int_equal(b->pool.queue, 0);
    assert_int_equal(b->pool.queue_timeout_ms, 20);
    assert_int_equal(b->timeouts.connect_ms, 1);
    assert_int_equal(b->timeouts.first_byte_ms, 2);
    assert_int_equal(b->timeouts.between_bytes_ms, 3);
    assert_int_equal(conf->limits.header_size, 8192);
    assert_int_equal(conf->limits.headers, 50);
    assert_true(conf->limits.body_size == 5ull << 40);
    assert_int_equal(conf->limits.header_timeout_ms, 1000);
    assert_int_equal(conf->limits.body_timeout_ms, 2000);
    assert_int_equal(conf->limits.send_timeout_ms, 3000);
    assert_int_equal(conf->limits.min_send_rate, 64 << 10);
    assert_int_equal(conf->limits.idle_timeout_ms, 4000);
    assert_int_equal(conf->limits.connections, 77);
    assert_string_equal(conf->access_log_path, "/var/log/w");
    assert_int_equal(conf->access_log_format, CONF_LOG_COMBINED);
    assert_string_equal(conf->slow_log_path, "/var/log/s");
    assert_int_equal(conf->slow_log_threshold_ms, 1500);
    assert_int_equal(conf->error_log_level, LOG_DEBUG_LEVEL);
    conf_release(&conf);
}

static void test_origin(void **state)
{
    (void)state;
    struct conf_errors errors;
    struct conf *conf = conf_for_origin("http://api.x/base/", NULL, NULL, &errors);
    assert_non_null(conf);
    assert_null(conf->path);
    assert_string_equal(conf->listen[0].address.text, "127.0.0.1:8080");
    assert_string_equal(conf->admin.text, "127.0.0.1:9180");
    assert_string_equal(conf->upstreams[0].name, "origin");
    assert_int_equal(conf->upstreams[0].host, CONF_HOST_ORIGIN);
    assert_string_equal(conf->upstreams[0].path_prefix, "/base");
    assert_string_equal(conf->upstreams[0].servers[0].address.text, "api.x:80");
    assert_int_equal(conf->upstreams[0].pool.max_connections, 256);
    assert_ptr_equal(conf->routes[0].upstream, &conf->upstreams[0]);
    assert_true(conf->routes[0].cache.enabled);
    conf_release(&conf);
    conf = conf_for_origin("unix:/o", "127.0.0.1:0", "127.0.0.1:0", &errors);
    assert_non_null(conf);
    assert_int_equal(conf->admin.port, 0);
    conf_release(&conf);
    assert_null(conf_for_origin("localhost:9000", ":80", "x", &errors));
    assert_int_equal(errors.count, 3);
    assert_string_equal(
        errors.text,
        "weir run: --listen \":80\" names no address; write 0.0.0.0:8080 for every IPv4 one, "
        "\"[::]:8080\" for IPv6\n"
        "weir run: --admin \"x\" has no port; write host:port, such as 127.0.0.1:8080\n"
        "weir run: --to \"localhost:9000\" is not a server's URL; write \"http://host:port\" or "
        "\"unix:/path\"\n");
    conf_errors_destroy(&errors);
    assert_null(conf_for_origin("http://h", NULL, "0.0.0.0:1", &errors));
    assert_string_equal(errors.text,
                        "weir run: the admin port would be open to others at 0.0.0.0:1; add "
                        "admin.token_file, or use a loopback address such as 127.0.0.1:9180\n");
    conf_errors_destroy(&errors);
}

static void test_references(void **state)
{
    (void)state;
    struct conf *conf = expect_good(SMALLEST), *other = conf_ref(conf);
    conf_release(&conf);
    assert_null(conf);
    assert_string_equal(other->upstreams[0].name, "api");
    conf_release(&other);
}

static void test_files(void **state)
{
    (void)state;
    struct conf_errors errors;
    assert_null(conf_load("/nonexistent/weir.yaml", &errors));
    assert_true(errors.unreadable);
    assert_string_equal(errors.text, "/nonexistent/weir.yaml: cannot be read: No such file or "
                                     "directory; give the path of a readable file\n");
    conf_errors_destroy(&errors);
    char path[] = "/tmp/weir-load-XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, SMALLEST, strlen(SMALLEST)), strlen(SMALLEST));
    struct conf *conf = conf_load(path, &errors);
    assert_non_null(conf);
    assert_string_equal(conf->path, path);
    conf_release(&conf);
    /* The file as standard input. */
    int saved = dup(STDIN_FILENO);
    lseek(fd, 0, SEEK_SET);
    dup2(fd, STDIN_FILENO);
    conf = conf_load("-", &errors);
    assert_non_null(conf);
    assert_string_equal(conf->path, "-");
    conf_release(&conf);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_null(conf_load("-", &errors));
    assert_false(errors.unreadable);
    assert_string_equal(errors.text,
                        "stdin:1:1: the file is empty; write at least upstreams and routes\n");
    conf_errors_destroy(&errors);
    if (saved >= 0) {
        dup2(saved, STDIN_FILENO);
        close(saved);
    }
    close(fd);
    unlink(path);
}

static void test_table(void **state)
{
    (void)state;
    unsigned count = 0;
    for (const struct conf_key *key = conf_keys(); key->path; key++, count++) {
        const struct key *found = NULL;
        assert_true(key->type[0] && key->default_text[0] && key->meaning[0]);
        assert_int_equal(key_find(key->path, &found), KEY_VALUE);
        assert_string_equal(found->path, key->path);
    }
    assert_int_equal(count, key_table_count);
}

static void test_print(void **state)
{
    (void)state;
    struct conf *conf = expect_good("workers: 2\n" SMALLEST);
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    conf_print(conf, out);
    fclose(out);
    assert_ptr_equal(strstr(text, "workers: 2\nlisten[0].address: 0.0.0.0:8080\n"), text);
    assert_non_null(strstr(text, "\nupstreams.api.servers: [http://127.0.0.1:9000]\n"));
    assert_non_null(strstr(text, "\nroutes[0].cache.ttl: 0s\n"));
    unsigned lines = 0;
    for (size_t i = 0; i < len; i++)
        lines += text[i] == '\n';
    assert_int_equal(lines, key_table_count);
    free(text);
    conf_release(&conf);
}

static void parse_anything(const char *text, size_t len)
{
    struct conf_errors errors;
    struct conf *conf = conf_parse("f", text, len, &errors);
    assert_int_equal(conf == NULL, errors.count > 0);
    if (conf)
        conf_release(&conf);
    conf_errors_destroy(&errors);
}

/* Cuts, changed bytes and moved pieces of a file that has everything; the seed is fixed, so that a
 * failure repeats. */
static void test_mutations(void **state)
{
    (void)state;
    static const char whole[] =
        "workers: ${W:-2}\nlisten:\n  - address: \"[::]:80\"\nadmin: {address: 127.0.0.1:1}\n"
        "cache: {memory: 8MiB, max_object: 1KiB}\nupstreams:\n"
        "  a: &a\n    servers: [\"http://h:1/\", 'unix:/x']\n    host: origin\n"
        "    pool: {max_idle: 0, idle_timeout: 1s}\n    timeouts: &t {connect: 1s}\n"
        "  b: *a\nroutes:\n  - host: \"*.x\"\n    path: /a/%41/../b\n    methods: [GET, FOO]\n"
        "    upstream: b\n    cache: {enabled: false, ttl: 1s}\n  - upstream: a\n"
        "limits: {headers: 5}\naccess_log: {format: json}\nerror_log: {level: warn}\n";
    static const char spice[] = "{}[]:,-*&!|>'\"%@`#?<~ \n\t\\0${}\xff\xc3\x80";
    uint64_t seed = 88172645463325252ull;
    char text[2 * sizeof(whole)];
    for (size_t len = 0; len < sizeof(whole); len++)
        parse_anything(whole, len);
    for (int round = 0; round < 5000; round++) {
        size_t len = sizeof(whole) - 1;
        memcpy(text, whole, len);
        for (int change = 0; change <= round % 5; change++) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            size_t at = (seed >> 8) % len, from = (seed >> 24) % len, take = (seed >> 40) % 24;
            if (take > len - from || take > len - at)
                take = 1;
            if (seed & 1)
                text[at] = spice[(seed >> 48) % sizeof(spice)];
            else if (seed & 2)
                memmove(text + at, text + from, take);
            else
                len -= (memmove(text + at, text + at + take, len - at - take), take);
        }
        parse_anything(text, len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults), cmocka_unit_test(test_everything),
        cmocka_unit_test(test_origin),   cmocka_unit_test(test_references),
        cmocka_unit_test(test_files),    cmocka_unit_test(test_table),
        cmocka_unit_test(test_print),    cmocka_unit_test(test_mutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
