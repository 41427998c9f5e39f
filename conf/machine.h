/* What this process may use of its machine. Reads /proc and /sys; for start-up. */
#ifndef WEIR_CONF_MACHINE_H
#define WEIR_CONF_MACHINE_H

#include "base/base.h"

/* CPUs of the affinity mask, or of the cgroup's quota (rounded up) where that is less; at least 1.
 * */
unsigned machine_cpus(void);
/* Bytes of memory, or of the cgroup's limit where that is less. */
uint64_t machine_memory_bytes(void);

/* The same limits as set in the tree of files below `sys`, for the groups that the file `proc`
 * lists (/proc/self/cgroup); UINT64_MAX without one. CPUs come in thousandths. */
uint64_t machine_cgroup_cpu_millis(const char *proc, const char *sys);
uint64_t machine_cgroup_memory_bytes(const char *proc, const char *sys);

#endif
