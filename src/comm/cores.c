#include "comm/cores.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CGROUP_ROOT "/sys/fs/cgroup"
#define PATH_BYTES 1024

static pthread_once_t once = PTHREAD_ONCE_INIT;
static hwloc_topology_t machine; /* NULL: it can't be looked at; kept until the process ends */

/* What the container hides is counted, too: it tells why there are few. */
static void load_machine(void)
{
	hwloc_topology_t topology;

	if (hwloc_topology_init(&topology) != 0)
		return;
	if (hwloc_topology_set_flags(topology, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED) == 0 &&
	    hwloc_topology_load(topology) == 0)
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

/* A processor of which hwloc knows no cores has threads at least. */
static uint32_t bound_cores(void)
{
	hwloc_bitmap_t allowed = hwloc_bitmap_alloc();
	uint32_t count = 0;

	if (allowed == NULL)
		return 1;
	if (hwloc_get_cpubind(machine, allowed, HWLOC_CPUBIND_THREAD) != 0)
		(void)hwloc_bitmap_copy(allowed, hwloc_topology_get_allowed_cpuset(machine));
	(void)hwloc_bitmap_and(allowed, allowed, hwloc_topology_get_allowed_cpuset(machine));
	count = pccl_cores_among(machine, allowed);
	if (count == 0)
		count = (uint32_t)hwloc_bitmap_weight(allowed);
	hwloc_bitmap_free(allowed);
	return count > 0 ? count : 1;
}

/* ---- control groups -------------------------------------------------------------------------------------------- */

static uint32_t quota_at(const char *root, const char *group)
{
	char path[PATH_BYTES];
	unsigned long long granted, period;
	FILE *file;
	int words;

	if (snprintf(path, sizeof(path), "%s%s/cpu.max", root, group) >= (int)sizeof(path))
		return 0;
	file = fopen(path, "re");
	if (file == NULL)
		return 0;
	words = fscanf(file, "%9llu %9llu", &granted, &period); /* "max 100000" is no limit */
	(void)fclose(file);
	if (words != 2 || granted == 0 || period == 0)
		return 0;
	return (uint32_t)((granted + period - 1) / period);
}

uint32_t pccl_cores_quota(const char *root, const char *group)
{
	char above[PATH_BYTES];
	uint32_t least = 0;

	if (snprintf(above, sizeof(above), "%s", group) >= (int)sizeof(above))
		return 0;
	for (;;) {
		const uint32_t quota = quota_at(root, above);
		char *end = strrchr(above, '/');

		if (quota != 0 && (least == 0 || quota < least))
			least = quota;
		if (end == NULL)
			return least;
		*end = '\0';
	}
}

static uint32_t own_quota(void)
{
	FILE *file = fopen("/proc/self/cgroup", "re");
	char line[PATH_BYTES];
	uint32_t quota = 0;

	if (file == NULL)
		return 0;
	while (fgets(line, sizeof(line), file) != NULL) {
		if (strncmp(line, "0::", 3) != 0)
			continue;
		line[strcspn(line, "\n")] = '\0';
		quota = pccl_cores_quota(CGROUP_ROOT, line + 3);
	}
	(void)fclose(file);
	return quota;
}

/* ---- both ------------------------------------------------------------------------------------------------------ */

void pccl_cores_find(struct pccl_cores *cores_out)
{
	struct pccl_cores found = {.machine = 0, .bound = 1, .quota = own_quota()};

	(void)pthread_once(&once, load_machine);
	if (machine != NULL) {
		const int cores = hwloc_get_nbobjs_by_type(machine, HWLOC_OBJ_CORE);

		found.machine = cores > 0 ? (uint32_t)cores : 0;
		found.bound = bound_cores();
	}
	*cores_out = found;
}

uint32_t pccl_cores_lanes(const struct pccl_cores *cores)
{
	const uint32_t count = cores->quota != 0 && cores->quota < cores->bound ? cores->quota : cores->bound;

	return count >= 8 ? 4 : count >= 4 ? 2 : 1;
}
