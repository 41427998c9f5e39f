/* What this process may use of its machine. Reads /proc and /sys; for start-up. */
#ifndef WEIR_CONF_MACHINE_H
#define WEIR_CONF_MACHINE_H

#include "conf/conf.h"

#define MACHINE_PROC_CGROUP "/proc/self/cgroup"
#define MACHINE_SYS_CGROUP "/sys/fs/cgroup"

/* All of *out but what "auto" makes of it. CPUs: of the affinity mask, or of the cgroup's quota
 * (rounded up) where that is less; at least 1. Memory: the machine's, or the cgroup's limit where
 * that is less. Which groups are the process's is in the file `proc`, their limits in the tree
 * below `sys`. */
void machine_read(const char *proc, const char *sys, struct conf_machine *out);

/* The cgroup's limits alone; UINT64_MAX without one. CPUs come in thousandths. */
uint64_t machine_cgroup_cpu_millis(const char *proc, const char *sys);
uint64_t machine_cgroup_memory_bytes(const char *proc, const char *sys);

#endif
