/* What this process may use of the machine's processors. The machine is looked at once per process; what the caller's
 * thread is bound to, and what its control group grants, anew at each call. Any thread. */
#ifndef PCCL_CORES_H
#define PCCL_CORES_H

#include <hwloc.h>
#include <stdint.h>

struct pccl_cores {
	uint32_t machine; /* cores of the machine; 0: not known */
	uint32_t bound;	  /* those that this thread, and the container it is in, may run on; at least 1 */
	uint32_t quota;	  /* as many as the time that the control group grants keeps busy, rounded up; 0: no limit */
};

void pccl_cores_find(struct pccl_cores *cores_out);

/* I/O threads for so many cores: one for two, four at most, for the other cores train. */
uint32_t pccl_cores_lanes(const struct pccl_cores *cores);

/* The machine, for all threads to look at; NULL: it can't be looked at. Those of its processors that this thread, and
 * the container it is in, may run on. */
hwloc_topology_t pccl_cores_machine(void);
void pccl_cores_allowed(hwloc_cpuset_t allowed_out);

/* ---- parts of it, for tests ---------------------------------------------------------------------------------- */

/* Cores with at least one thread in `allowed`. */
uint32_t pccl_cores_among(hwloc_topology_t topology, hwloc_const_cpuset_t allowed);

/* What the control group `group` ("/a/b") and those above it grant, by the files cpu.max (cgroup v2), or
 * cpu.cfs_quota_us and cpu.cfs_period_us (v1), under `root`: processors, rounded up; 0: no limit. */
uint32_t pccl_cores_quota(const char *root, const char *group);

#endif
