#include "lib/topology.h"

#include "lib/check.h"

hwloc_topology_t topology_synthetic(const char *what)
{
	hwloc_topology_t topology;

	assert_int_equal(hwloc_topology_init(&topology), 0);
	assert_int_equal(hwloc_topology_set_synthetic(topology, what), 0);
	assert_int_equal(hwloc_topology_load(topology), 0);
	return topology;
}

hwloc_bitmap_t topology_set(const char *list)
{
	hwloc_bitmap_t set = hwloc_bitmap_alloc();

	assert_non_null(set);
	assert_int_equal(hwloc_bitmap_list_sscanf(set, list), 0);
	return set;
}
