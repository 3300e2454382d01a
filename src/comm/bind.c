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
		return "fewer than two cores for each lane of this host are near it";
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

/* Peers can't agree about who has which cores: they share them. */
static enum pccl_bind choose_among(hwloc_topology_t topology, hwloc_const_cpuset_t set, uint32_t peers, uint32_t lanes,
				   uint32_t lane, hwloc_cpuset_t set_out)
{
	const uint32_t cores = pccl_cores_among(topology, set);

	if (cores / SHARED_CORES / lanes < peers)
		return PCCL_BIND_FEW;
	if (cores < APART_CORES * lanes || peers > 1) {
		(void)hwloc_bitmap_copy(set_out, set);
		return PCCL_BIND_SHARED;
	}
	cut(topology, set, cores * lane / lanes, cores * (lane + 1) / lanes, set_out);
	return PCCL_BIND_APART;
}

enum pccl_bind pccl_bind_choose(hwloc_topology_t topology, hwloc_const_cpuset_t allowed, hwloc_const_cpuset_t near,
				uint32_t peers, uint32_t lanes, uint32_t lane, hwloc_cpuset_t set_out)
{
	hwloc_bitmap_t both;
	enum pccl_bind bind;

	assert(peers > 0 && lane < lanes);
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
		bind = choose_among(topology, both, peers, lanes, lane, set_out);
	hwloc_bitmap_free(both);
	return bind;
}

/* ---- on this machine ------------------------------------------------------------------------------------------- */

static enum pccl_bind look(const char *interface, hwloc_const_cpuset_t allowed, uint32_t peers, uint32_t lanes,
			   uint32_t lane, hwloc_cpuset_t set_out)
{
	hwloc_topology_t machine = pccl_cores_machine();
	hwloc_bitmap_t near = hwloc_bitmap_alloc();
	enum pccl_bind bind = PCCL_BIND_UNKNOWN;

	hwloc_bitmap_zero(set_out);
	if (machine != NULL && near != NULL) {
		pccl_bind_near(PCCL_BIND_INTERFACES, interface, near);
		bind = pccl_bind_choose(machine, allowed, near, peers, lanes, lane, set_out);
	}
	hwloc_bitmap_free(near);
	return bind;
}

enum pccl_bind pccl_bind_look(const char *interface, uint32_t lanes, uint32_t lane, hwloc_cpuset_t set_out)
{
	hwloc_bitmap_t allowed = hwloc_bitmap_alloc();
	enum pccl_bind bind = PCCL_BIND_UNKNOWN;

	hwloc_bitmap_zero(set_out);
	if (allowed != NULL) {
		pccl_cores_allowed(allowed);
		bind = look(interface, allowed, 1, lanes, lane, set_out);
	}
	hwloc_bitmap_free(allowed);
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

static bool has_card(const char *root, const struct pccl_address *local)
{
	hwloc_bitmap_t near = hwloc_bitmap_alloc();
	char interface[IF_NAMESIZE];
	bool has = false;

	if (near != NULL && find_interface(local, interface)) {
		pccl_bind_near(root, interface, near);
		has = !hwloc_bitmap_iszero(near);
	}
	hwloc_bitmap_free(near);
	return has;
}

/* Most links have one address: it is not looked at for each of them. */
void pccl_bind_consider(struct pccl_bind_way *way, const char *root, const struct pccl_address *local)
{
	if (way->has_card || (way->leaves && pccl_address_same_host(&way->local, local)))
		return;
	way->local = *local;
	way->leaves = true;
	way->has_card = has_card(root, local);
}

static bool begin(struct pccl_bound *bound)
{
	if (bound->before == NULL) {
		bound->before = hwloc_bitmap_alloc();
		if (bound->before != NULL)
			pccl_cores_allowed(bound->before);
	}
	if (bound->now == NULL)
		bound->now = hwloc_bitmap_alloc();
	return bound->before != NULL && bound->now != NULL;
}

static bool go(hwloc_const_cpuset_t set)
{
	return hwloc_set_cpubind(pccl_cores_machine(), set, HWLOC_CPUBIND_THREAD) == 0;
}

void pccl_bind_thread(struct pccl_bound *bound, const struct pccl_address *local, uint32_t peers, uint32_t lanes,
		      uint32_t lane)
{
	hwloc_bitmap_t set = hwloc_bitmap_alloc();
	char interface[IF_NAMESIZE], list[LIST_BYTES];
	enum pccl_bind bind;

	if (set == NULL || !begin(bound) || !find_interface(local, interface)) {
		hwloc_bitmap_free(set);
		return;
	}
	bind = look(interface, bound->before, peers, lanes, lane, set);
	(void)hwloc_bitmap_list_snprintf(list, sizeof(list), set);
	if (hwloc_bitmap_isequal(set, bound->now) || !go(hwloc_bitmap_iszero(set) ? bound->before : set)) {
		pccl_log_debug("lane %u, over %s, runs where it did: %s", lane, interface, pccl_bind_words(bind));
		hwloc_bitmap_free(set);
		return;
	}
	if (hwloc_bitmap_iszero(set))
		pccl_log_info("lane %u, over %s, runs anywhere: %s", lane, interface, pccl_bind_words(bind));
	else
		pccl_log_info("lane %u, over %s, runs on processors %s: %s", lane, interface, list,
			      pccl_bind_words(bind));
	hwloc_bitmap_free(bound->now);
	bound->now = set;
}

void pccl_bind_fini(struct pccl_bound *bound)
{
	hwloc_bitmap_free(bound->now);
	hwloc_bitmap_free(bound->before);
}
