#include "comm/cores.h"

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CGROUP_ROOT "/sys/fs/cgroup"
#define PATH_BYTES 1024

static pthread_once_t once = PTHREAD_ONCE_INIT;
static hwloc_topology_t machine; /* NULL: it can't be looked at; kept until the process ends */

/* What the container hides is counted, too: it tells why there are few. Variables may give hwloc another machine to
 * look at, for other programs. */
static void load_machine(void)
{
	hwloc_topology_t topology;

	if (hwloc_topology_init(&topology) != 0)
		return;
	if (hwloc_topology_set_flags(topology, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED) == 0 &&
	    hwloc_topology_load(topology) == 0 && hwloc_topology_is_thissystem(topology) != 0)
		machine = topology;
	else
		hwloc_topology_destroy(topology);
}

uint32_t pccl_cores_among(hwloc_topology_t topology, hwloc_const_cpuset_t allowed)
{
	hwloc_obj_t core = NULL;
	uint32_t count = 0;

	while ((core = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_CORE, core)) != NULL)
		count += hwloc_bitmap_intersects(core->cpuset, allowed) != 0;
	return count;
}

hwloc_topology_t pccl_cores_machine(void)
{
	(void)pthread_once(&once, load_machine);
	return machine;
}

void pccl_cores_allowed(hwloc_cpuset_t allowed_out)
{
	hwloc_topology_t topology = pccl_cores_machine();

	if (topology == NULL) {
		hwloc_bitmap_zero(allowed_out);
		return;
	}
	if (hwloc_get_cpubind(topology, allowed_out, HWLOC_CPUBIND_THREAD) != 0)
		(void)hwloc_bitmap_copy(allowed_out, hwloc_topology_get_allowed_cpuset(topology));
	(void)hwloc_bitmap_and(allowed_out, allowed_out, hwloc_topology_get_allowed_cpuset(topology));
}

/* A processor of which hwloc knows no cores has threads at least. */
static uint32_t bound_cores(void)
{
	hwloc_bitmap_t allowed = hwloc_bitmap_alloc();
	uint32_t count;

	if (allowed == NULL)
		return 1;
	pccl_cores_allowed(allowed);
	count = pccl_cores_among(machine, allowed);
	if (count == 0)
		count = (uint32_t)hwloc_bitmap_weight(allowed);
	hwloc_bitmap_free(allowed);
	return count > 0 ? count : 1;
}

/* ---- control groups -------------------------------------------------------------------------------------------- */

/* How many numbers a file begins with, two at most: those are in *numbers_out. */
static int read_numbers(const char *root, const char *group, const char *name, long long numbers_out[2])
{
	char path[PATH_BYTES];
	FILE *file;
	int count;

	if (snprintf(path, sizeof(path), "%s%s/%s", root, group, name) >= (int)sizeof(path))
		return 0;
	file = fopen(path, "re");
	if (file == NULL)
		return 0;
	count = fscanf(file, "%15lld %15lld", &numbers_out[0], &numbers_out[1]);
	(void)fclose(file);
	return count;
}

/* "max 100000" is no limit, and the first version's is -1. */
static uint32_t quota_at(const char *root, const char *group)
{
	long long granted[2], period[2];

	if (read_numbers(root, group, "cpu.max", granted) == 2)
		period[0] = granted[1];
	else if (read_numbers(root, group, "cpu.cfs_quota_us", granted) != 1 ||
		 read_numbers(root, group, "cpu.cfs_period_us", period) != 1)
		return 0;
	if (granted[0] <= 0 || period[0] <= 0)
		return 0;
	return (uint32_t)((granted[0] + period[0] - 1) / period[0]);
}

static uint32_t lower(uint32_t one, uint32_t other)
{
	return one != 0 && (other == 0 || one < other) ? one : other;
}

uint32_t pccl_cores_quota(const char *root, const char *group)
{
	char above[PATH_BYTES];
	uint32_t least = 0;

	if (snprintf(above, sizeof(above), "%s", group) >= (int)sizeof(above))
		return 0;
	for (;;) {
		char *end = strrchr(above, '/');

		least = lower(quota_at(root, above), least);
		if (end == NULL)
			return least;
		*end = '\0';
	}
}

/* Is it one of them, "cpu,cpuacct"? */
static bool has_cpu(char *controllers)
{
	const char *controller;

	while ((controller = strsep(&controllers, ",")) != NULL)
		if (strcmp(controller, "cpu") == 0)
			return true;
	return false;
}

/* Lines are "number:controllers:group"; the second version names none of those. */
static uint32_t own_quota(void)
{
	FILE *file = fopen("/proc/self/cgroup", "re");
	char line[PATH_BYTES];
	uint32_t quota = 0;

	if (file == NULL)
		return 0;
	while (fgets(line, sizeof(line), file) != NULL) {
		char *group = line, *controllers;

		line[strcspn(line, "\n")] = '\0';
		(void)strsep(&group, ":");
		controllers = strsep(&group, ":");
		if (group != NULL && *controllers == '\0')
			quota = lower(pccl_cores_quota(CGROUP_ROOT, group), quota);
		else if (group != NULL && has_cpu(controllers))
			quota = lower(pccl_cores_quota(CGROUP_ROOT "/cpu", group), quota);
	}
	(void)fclose(file);
	return quota;
}

/* ---- both ------------------------------------------------------------------------------------------------------ */

/* Threads of processors, for want of a machine that tells of cores. */
static uint32_t bound_threads(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 ? (uint32_t)CPU_COUNT(&set) : 1;
}

void pccl_cores_find(struct pccl_cores *cores_out)
{
	struct pccl_cores found = {.machine = 0, .quota = own_quota()};

	if (pccl_cores_machine() != NULL) {
		const int cores = hwloc_get_nbobjs_by_type(machine, HWLOC_OBJ_CORE);

		found.machine = cores > 0 ? (uint32_t)cores : 0;
		found.bound = bound_cores();
	} else {
		found.bound = bound_threads();
	}
	*cores_out = found;
}

uint32_t pccl_cores_lanes(const struct pccl_cores *cores)
{
	const uint32_t count = cores->quota != 0 && cores->quota < cores->bound ? cores->quota : cores->bound;

	return count >= 8 ? 4 : count >= 4 ? 2 : 1;
}
