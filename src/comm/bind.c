#include "comm/bind.h"

#include <assert.h>
#include <dirent.h>
#include <hwloc/linux.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "comm/cores.h"

#define INTERFACES "/sys/class/net"
#define PATH_BYTES 1024
#define LIST_BYTES 256
#define DEPTH_MAX 4    /* a VLAN of a bridge of a bond of cards */
#define SHARED_CORES 2 /* near, for each lane: a trainer's threads may run there, too */
#define APART_CORES 4  /* for one lane */

const char *pccl_bind_words(enum pccl_bind bind)
{
	switch (bind) {
	case PCCL_BIND_UNKNOWN:
		return "nothing tells which cores are near it";
	case PCCL_BIND_NEAR:
		return "all cores are near it, as far as is known";
	case PCCL_BIND_FAR:
		return "no core that may be used is near it";
	case PCCL_BIND_FEW:
		return "fewer than two cores for each lane are near it";
	case PCCL_BIND_SHARED:
		return "near it";
	case PCCL_BIND_APART:
		return "near it, and apart from the other lanes";
	}
	return "?";
}

/* ---- what is near ---------------------------------------------------------------------------------------------- */

/* Some devices are one of several functions of another, which knows. */
static bool add_device(const char *interface, hwloc_cpuset_t near)
{
	static const char *const files[] = {"device/local_cpus", "device/../local_cpus"};
	hwloc_bitmap_t here = hwloc_bitmap_alloc();
	char path[PATH_BYTES];
	bool found = false;
	size_t i;

	for (i = 0; i < sizeof(files) / sizeof(files[0]) && here != NULL && !found; i++)
		found = snprintf(path, sizeof(path), "%s/%s", interface, files[i]) < (int)sizeof(path) &&
			hwloc_linux_read_path_as_cpumask(path, here) == 0;
	if (found)
		(void)hwloc_bitmap_or(near, near, here);
	hwloc_bitmap_free(here);
	return found;
}

static void add_interface(const char *interface, unsigned depth, hwloc_cpuset_t near)
{
	const struct dirent *entry;
	DIR *folder;

	if (add_device(interface, near) || depth == DEPTH_MAX)
		return;
	folder = opendir(interface);
	if (folder == NULL)
		return;
	while ((entry = readdir(folder)) != NULL) {
		char path[PATH_BYTES];

		if (strncmp(entry->d_name, "lower_", 6) == 0 &&
		    snprintf(path, sizeof(path), "%s/%s", interface, entry->d_name) < (int)sizeof(path))
			add_interface(path, depth + 1, near);
	}
	(void)closedir(folder);
}

void pccl_bind_near(const char *root, const char *interface, hwloc_cpuset_t near_out)
{
	char path[PATH_BYTES];

	hwloc_bitmap_zero(near_out);
	if (snprintf(path, sizeof(path), "%s/%s", root, interface) < (int)sizeof(path))
		add_interface(path, 1, near_out);
}

/* ---- the decision ---------------------------------------------------------------------------------------------- */

/* Of the cores with a thread in `set` those from the first-th up to, not including, the last-th; no more of them than
 * is in it. */
static void cut(hwloc_topology_t topology, hwloc_const_cpuset_t set, uint32_t first, uint32_t last,
		hwloc_cpuset_t part_out)
{
	hwloc_obj_t core = NULL;
	uint32_t index = 0;

	hwloc_bitmap_zero(part_out);
	while ((core = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_CORE, core)) != NULL) {
		if (!hwloc_bitmap_intersects(core->cpuset, set))
			continue;
		if (index >= first && index < last)
			(void)hwloc_bitmap_or(part_out, part_out, core->cpuset);
		index++;
	}
	(void)hwloc_bitmap_and(part_out, part_out, set);
}

static enum pccl_bind choose_among(hwloc_topology_t topology, hwloc_const_cpuset_t set, uint32_t lanes, uint32_t lane,
				   hwloc_cpuset_t set_out)
{
	const uint32_t cores = pccl_cores_among(topology, set);

	if (cores < SHARED_CORES * lanes)
		return PCCL_BIND_FEW;
	if (cores < APART_CORES * lanes) {
		(void)hwloc_bitmap_copy(set_out, set);
		return PCCL_BIND_SHARED;
	}
	cut(topology, set, cores * lane / lanes, cores * (lane + 1) / lanes, set_out);
	return PCCL_BIND_APART;
}

enum pccl_bind pccl_bind_choose(hwloc_topology_t topology, hwloc_const_cpuset_t allowed, hwloc_const_cpuset_t near,
				uint32_t lanes, uint32_t lane, hwloc_cpuset_t set_out)
{
	hwloc_bitmap_t both;
	enum pccl_bind bind;

	assert(lane < lanes);
	hwloc_bitmap_zero(set_out);
	if (hwloc_bitmap_iszero(near))
		return PCCL_BIND_UNKNOWN;
	if (hwloc_bitmap_isincluded(allowed, near))
		return PCCL_BIND_NEAR;
	if (!hwloc_bitmap_intersects(allowed, near))
		return PCCL_BIND_FAR;
	both = hwloc_bitmap_alloc();
	if (both == NULL || hwloc_bitmap_and(both, allowed, near) != 0)
		bind = PCCL_BIND_UNKNOWN;
	else
		bind = choose_among(topology, both, lanes, lane, set_out);
	hwloc_bitmap_free(both);
	return bind;
}

/* ---- on this machine ------------------------------------------------------------------------------------------- */

enum pccl_bind pccl_bind_look(const char *interface, uint32_t lanes, uint32_t lane, hwloc_cpuset_t set_out)
{
	hwloc_topology_t machine = pccl_cores_machine();
	hwloc_bitmap_t near = hwloc_bitmap_alloc(), allowed = hwloc_bitmap_alloc();
	enum pccl_bind bind = PCCL_BIND_UNKNOWN;

	hwloc_bitmap_zero(set_out);
	if (machine != NULL && near != NULL && allowed != NULL) {
		pccl_bind_near(INTERFACES, interface, near);
		pccl_cores_allowed(allowed);
		bind = pccl_bind_choose(machine, allowed, near, lanes, lane, set_out);
	}
	hwloc_bitmap_free(allowed);
	hwloc_bitmap_free(near);
	return bind;
}

static bool find_interface(const struct pccl_address *local, char name_out[IF_NAMESIZE])
{
	struct ifaddrs *list = NULL;
	const struct ifaddrs *at;
	struct pccl_address address;

	if (getifaddrs(&list) != 0)
		return false;
	for (at = list; at != NULL; at = at->ifa_next)
		if (pccl_address_from_system(at->ifa_addr, &address) && pccl_address_same_host(&address, local))
			break;
	if (at != NULL)
		(void)snprintf(name_out, IF_NAMESIZE, "%s", at->ifa_name);
	freeifaddrs(list);
	return at != NULL;
}

void pccl_bind_thread(const struct pccl_address *local, uint32_t lanes, uint32_t lane)
{
	hwloc_bitmap_t set = hwloc_bitmap_alloc();
	char interface[IF_NAMESIZE], list[LIST_BYTES];
	enum pccl_bind bind;

	if (set == NULL || !find_interface(local, interface)) {
		hwloc_bitmap_free(set);
		return;
	}
	bind = pccl_bind_look(interface, lanes, lane, set);
	(void)hwloc_bitmap_list_snprintf(list, sizeof(list), set);
	if (hwloc_bitmap_iszero(set) || hwloc_set_cpubind(pccl_cores_machine(), set, HWLOC_CPUBIND_THREAD) != 0)
		pccl_log_debug("lane %u, over %s, runs anywhere: %s", lane, interface, pccl_bind_words(bind));
	else
		pccl_log_info("lane %u, over %s, runs on processors %s: %s", lane, interface, list,
			      pccl_bind_words(bind));
	hwloc_bitmap_free(set);
}
