/* Limits of cgroups, read from folders made for the test. */
#include "conf/machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char root[64];

static void write_file(const char *path, const char *text)
{
    char full[256];
    snprintf(full, sizeof(full), "%s/%s", root, path);
    for (char *slash = strchr(full + strlen(root) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(full, 0700);
        *slash = '/';
    }
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int make_root(void **state)
{
    (void)state;
    strcpy(root, "/tmp/weir-machine-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", root);
    return system(command);
}

static uint64_t cpu_millis(void)
{
    char proc[128];
    snprintf(proc, sizeof(proc), "%s/proc", root);
    return machine_cgroup_cpu_millis(proc, root);
}

static uint64_t memory_bytes(void)
{
    char proc[128];
    snprintf(proc, sizeof(proc), "%s/proc", root);
    return machine_cgroup_memory_bytes(proc, root);
}

static void test_none(void **state)
{
    (void)state;
    assert_true(cpu_millis() == UINT64_MAX);
    assert_true(memory_bytes() == UINT64_MAX);
    write_file("proc", "rubbish\n0:\n::\n");
    assert_true(cpu_millis() == UINT64_MAX);
}

static void test_version_2(void **state)
{
    (void)state;
    write_file("proc", "0::/a/b\n");
    write_file("a/b/cpu.max", "max 100000\n");
    write_file("a/b/memory.max", "max\n");
    assert_true(cpu_millis() == UINT64_MAX);
    assert_true(memory_bytes() == UINT64_MAX);
    write_file("a/b/cpu.max", "250000 100000\n");
    write_file("a/b/memory.max", "536870912\n");
    assert_true(cpu_millis() == 2500);
    assert_true(memory_bytes() == 536870912);
    /* A group above may allow less. */
    write_file("a/cpu.max", "150000 100000\n");
    write_file("a/memory.max", "268435456\n");
    assert_true(cpu_millis() == 1500);
    assert_true(memory_bytes() == 268435456);
}

static void test_namespace(void **state)
{
    (void)state;
    /* The listed path is not there; the root is the container's own group. */
    write_file("proc", "0::/docker/0123\n");
    write_file("cpu.max", "50000 100000\n");
    assert_true(cpu_millis() == 500);
    write_file("proc", "0::/../outside\n");
    assert_true(cpu_millis() == 500);
    write_file("proc", "0::/\n");
    assert_true(cpu_millis() == 500);
}

static void test_version_1(void **state)
{
    (void)state;
    write_file("proc", "5:memory:/x\n3:cpu,cpuacct:/x\n2:cpuset:/x\n");
    write_file("cpu,cpuacct/x/cpu.cfs_quota_us", "-1\n");
    write_file("cpu,cpuacct/x/cpu.cfs_period_us", "100000\n");
    write_file("memory/x/memory.limit_in_bytes", "1048576\n");
    assert_true(cpu_millis() == UINT64_MAX);
    assert_true(memory_bytes() == 1048576);
    write_file("cpu,cpuacct/x/cpu.cfs_quota_us", "300000\n");
    assert_true(cpu_millis() == 3000);
    write_file("cpuset/x/cpu.cfs_quota_us", "1000\n");
    write_file("cpuset/x/cpu.cfs_period_us", "100000\n");
    assert_true(cpu_millis() == 3000);
}

static void test_this_machine(void **state)
{
    (void)state;
    assert_in_range(machine_cpus(), 1, (unsigned long)sysconf(_SC_NPROCESSORS_CONF));
    assert_true(machine_memory_bytes() > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_none, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_version_2, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_namespace, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_version_1, make_root, remove_root),
        cmocka_unit_test(test_this_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
