/*
 * Where a lane's thread runs: on the cores near the network card that carries its links, and apart from the other
 * lanes, where there are so many of those that nothing is lost by it; else wherever the kernel wants. A set of cores,
 * never one: whoever else is bound there could hold the lane up. Memory needs nothing of its own: what a lane allocates
 * from then on it touches first, so that it comes from the node it runs on. The rings of shared memory and of RDMA are
 * made with their links, those of the first ones before.
 */
#ifndef PCCL_BIND_H
#define PCCL_BIND_H

#include <hwloc.h>

#include "transport/address.h"

enum pccl_bind {
	PCCL_BIND_UNKNOWN, /* nothing tells what is near, or there is no card: loopback, a tunnel, a container's */
	PCCL_BIND_NEAR,	   /* all cores that the thread may run on are near: nothing to choose */
	PCCL_BIND_FAR,	   /* none of them is */
	PCCL_BIND_FEW,	   /* those that are near are fewer than two for each lane */
	PCCL_BIND_SHARED,  /* all lanes run on those that are near */
	PCCL_BIND_APART	   /* each lane has its own of those: four at least */
};

/* For people: why. */
const char *pccl_bind_words(enum pccl_bind bind);

/* For this thread, as lane `lane` of `lanes`, whose links leave by that interface ("eth0"). For SHARED and APART
 * *set_out is what it may be bound to: whole cores, as far as the thread may use them already; else it is empty. */
enum pccl_bind pccl_bind_look(const char *interface, uint32_t lanes, uint32_t lane, hwloc_cpuset_t set_out);

/* Binds this thread, if that is wise; `local` is the address that its links have here. */
void pccl_bind_thread(const struct pccl_address *local, uint32_t lanes, uint32_t lane);

/* ---- parts of it, for tests ---------------------------------------------------------------------------------- */

/* The processors near an interface, as `root` ("/sys/class/net") knows its device, or those of the interfaces that it
 * is made of (bond, VLAN, bridge). Empty: not known. */
void pccl_bind_near(const char *root, const char *interface, hwloc_cpuset_t near_out);

/* The decision. */
enum pccl_bind pccl_bind_choose(hwloc_topology_t topology, hwloc_const_cpuset_t allowed, hwloc_const_cpuset_t near,
				uint32_t lanes, uint32_t lane, hwloc_cpuset_t set_out);

#endif
