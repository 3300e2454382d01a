/*
 * Where a lane's thread runs: on the cores near the network card that carries its links, where there are enough of
 * those for the lanes of all peers of this host; apart from the other lanes, where there are so many that nothing is
 * lost by it and no other peer is on this host; else wherever the kernel wants. A set of cores,
 * never one: whoever else is bound there could hold the lane up. Memory needs nothing of its own: what a lane allocates
 * from then on it touches first, so that it comes from the node it runs on. The rings of shared memory and of RDMA are
 * made with their links, those of the first ones before.
 */
#ifndef PCCL_BIND_H
#define PCCL_BIND_H

#include <hwloc.h>
#include <stdbool.h>

#include "transport/address.h"

enum pccl_bind {
	PCCL_BIND_UNKNOWN, /* nothing tells what is near, or there is no card: loopback, a tunnel, a container's */
	PCCL_BIND_NEAR,	   /* all cores that the thread may run on are near: nothing to choose */
	PCCL_BIND_FAR,	   /* none of them is */
	PCCL_BIND_FEW,	   /* those that are near are fewer than two for each lane of each peer */
	PCCL_BIND_SHARED,  /* all lanes run on those that are near */
	PCCL_BIND_APART	   /* each has its own, four at least: no other peer is here */
};

/* For people: why. */
const char *pccl_bind_words(enum pccl_bind bind);

/* For this thread, as lane `lane` of `lanes` of a peer alone on its host, whose links leave by that interface ("eth0").
 * For SHARED and APART *set_out is what it may be bound to: whole cores, as far as the thread may use them already;
 * else it is empty. */
enum pccl_bind pccl_bind_look(const char *interface, uint32_t lanes, uint32_t lane, hwloc_cpuset_t set_out);

/* Where a thread is bound. Zeroed at first. */
struct pccl_bound {
	hwloc_bitmap_t before; /* what it might use before */
	hwloc_bitmap_t now;    /* empty: that */
};

#define PCCL_BIND_INTERFACES "/sys/class/net"

/* By which address here links leave the host. Zeroed at first. */
struct pccl_bind_way {
	struct pccl_address local; /* of the first link that leaves by a card, or of one that leaves */
	bool leaves;
	bool has_card;
};

/* A link that leaves the host has that address here. `root` is what the kernel tells of interfaces,
 * PCCL_BIND_INTERFACES. */
void pccl_bind_consider(struct pccl_bind_way *way, const char *root, const struct pccl_address *local);

/* Binds this thread, if that is wise, or lets it go again, if it no longer is; `local` is the address that its links
 * have here, `peers` are on this host, this one included. Repeatable: peers come and go. */
void pccl_bind_thread(struct pccl_bound *bound, const struct pccl_address *local, uint32_t peers, uint32_t lanes,
		      uint32_t lane);

void pccl_bind_fini(struct pccl_bound *bound);

/* ---- parts of it, for tests ---------------------------------------------------------------------------------- */

/* The processors near an interface, as `root` knows its device, or those of the interfaces that it
 * is made of (bond, VLAN, bridge). Empty: not known. */
void pccl_bind_near(const char *root, const char *interface, hwloc_cpuset_t near_out);

/* The decision. */
enum pccl_bind pccl_bind_choose(hwloc_topology_t topology, hwloc_const_cpuset_t allowed, hwloc_const_cpuset_t near,
				uint32_t peers, uint32_t lanes, uint32_t lane, hwloc_cpuset_t set_out);

#endif
