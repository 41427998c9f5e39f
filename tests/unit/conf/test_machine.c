/* Limits of cgroups, read from folders made for the test. */
#include "conf/machine.h"

#include <sched.h>
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
    struct conf_machine machine;
    machine_read(MACHINE_PROC_CGROUP, MACHINE_SYS_CGROUP, &machine);
    assert_in_range(machine.cpus, 1, (unsigned long)sysconf(_SC_NPROCESSORS_CONF));
    assert_true(machine.memory_bytes > 0);
    assert_non_null(machine.cpus_limited_by);
    assert_non_null(machine.memory_limited_by);
}

static struct conf_machine read_machine(void)
{
    struct conf_machine machine;
    char proc[128];
    snprintf(proc, sizeof(proc), "%s/proc", root);
    machine_read(proc, root, &machine);
    return machine;
}

static void test_cgroup_limits_the_machine(void **state)
{
    (void)state;
    write_file("proc", "0::/a\n");
    write_file("a/cpu.max", "20000 100000\n");
    write_file("a/memory.max", "1048576\n");
    struct conf_machine machine = read_machine();
    assert_int_equal(machine.cpus, 1);
    assert_string_equal(machine.cpus_limited_by, "cgroup");
    assert_true(machine.cpu_quota_millis == 200);
    assert_true(machine.memory_bytes == 1048576);
    assert_string_equal(machine.memory_limited_by, "cgroup");
}

/* A limit above what the machine has limits nothing. */
static void test_cgroup_allows_more(void **state)
{
    (void)state;
    write_file("proc", "0::/a\n");
    write_file("a/cpu.max", "100000000 100000\n");
    write_file("a/memory.max", "4611686018427387904\n");
    struct conf_machine machine = read_machine();
    assert_string_not_equal(machine.cpus_limited_by, "cgroup");
    assert_true(machine.cpu_quota_millis == 1000000);
    assert_string_equal(machine.memory_limited_by, "none");
    assert_true(machine.memory_bytes > 1048576);
}

static void test_affinity_limits_the_machine(void **state)
{
    (void)state;
    cpu_set_t all, one;
    write_file("proc", "0::/a\n");
    assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
    CPU_ZERO(&one);
    for (int cpu = 0; CPU_COUNT(&one) == 0; cpu++)
        if (CPU_ISSET(cpu, &all))
            CPU_SET(cpu, &one);
    assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
    struct conf_machine machine = read_machine();
    assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
    assert_int_equal(machine.cpus, 1);
    assert_true(machine.cpu_quota_millis == UINT64_MAX);
    assert_string_equal(machine.cpus_limited_by,
                        sysconf(_SC_NPROCESSORS_ONLN) > 1 ? "affinity" : "none");
}

/* Version 1 with a group in a group, version 2 mounted beside it, and controllers on their own. */
static void test_versions_together(void **state)
{
    (void)state;
    write_file("proc", "4:memory:/pods/x\n2:cpuacct:/\n1:cpu:/pods/x\n0::/slice\n");
    write_file("cpu/pods/x/cpu.cfs_quota_us", "400000\n");
    write_file("cpu/pods/x/cpu.cfs_period_us", "100000\n");
    write_file("memory/pods/x/memory.limit_in_bytes", "9223372036854771712\n");
    write_file("memory/memory.limit_in_bytes", "9223372036854771712\n");
    assert_true(cpu_millis() == 4000);
    assert_true(memory_bytes() == 9223372036854771712u);
    write_file("cpu/pods/cpu.cfs_quota_us", "150000\n");
    write_file("cpu/pods/cpu.cfs_period_us", "100000\n");
    write_file("memory/pods/memory.limit_in_bytes", "2097152\n");
    assert_true(cpu_millis() == 1500);
    assert_true(memory_bytes() == 2097152);
    write_file("slice/cpu.max", "50000 100000\n");
    assert_true(cpu_millis() == 500);
}

/* In a cgroup namespace the container's own group is the mount's root, for version 1 too. */
static void test_namespace_of_version_1(void **state)
{
    (void)state;
    write_file("proc", "4:memory:/docker/0123\n1:cpu,cpuacct:/docker/0123\n");
    write_file("cpu,cpuacct/cpu.cfs_quota_us", "250000\n");
    write_file("cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    write_file("memory/memory.limit_in_bytes", "1048576\n");
    assert_true(cpu_millis() == 2500);
    assert_true(memory_bytes() == 1048576);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_none, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_version_2, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_namespace, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_version_1, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_cgroup_limits_the_machine, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_cgroup_allows_more, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_affinity_limits_the_machine, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_versions_together, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_namespace_of_version_1, make_root, remove_root),
        cmocka_unit_test(test_this_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
