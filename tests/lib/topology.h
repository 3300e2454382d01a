/* Machines that are not there, for tests of what is chosen by hwloc's view of one. */
#ifndef PCCL_TESTS_TOPOLOGY_H
#define PCCL_TESTS_TOPOLOGY_H

#include <hwloc.h>

/* As hwloc describes machines: "pack:2 core:4 pu:2". The caller destroys it. */
hwloc_topology_t topology_synthetic(const char *what);

/* Of processors: "0-3,8". The caller frees it. */
hwloc_bitmap_t topology_set(const char *list);

#endif
