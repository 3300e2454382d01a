/* A small network of its own for a chaos run: a bridge in a network namespace of the run, and a namespace with one
 * cable for every peer. Needs root, ip(8) and tc(8). Nothing of the host's network is touched. */
#ifndef PCCL_BENCH_CHAOS_NET_H
#define PCCL_BENCH_CHAOS_NET_H

#include <ccoip_inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Moves the calling process into a new namespace with a bridge. Complains and returns false if that is not allowed. */
bool chaos_net_create(void);

/* The bridge's address, for the master. */
ccoip_inet_address_t chaos_net_address(void);

/* In the parent: gives the process `pid`, which has called chaos_net_detach(), a cable with the number `cable`. */
bool chaos_net_plug(uint32_t cable, pid_t pid);

/* In a peer's process: leaves the run's namespace for an empty one. */
bool chaos_net_detach(void);

/* In a peer's process, once plugged: brings the cable up with the address of `cable`. */
bool chaos_net_configure(uint32_t cable);

/* Before it carries anything: the cable moves so much at most each way. In the parent, and in the peer's process. */
bool chaos_net_limit_in(uint32_t cable, uint32_t mbit);
bool chaos_net_limit_out(uint32_t mbit);

enum chaos_net_harm {
	CHAOS_NET_CUT,	/* nothing passes */
	CHAOS_NET_DEAF, /* nothing passes towards the peer */
	CHAOS_NET_APART /* nothing passes between this peer and others that are set apart; the rest does */
};

/* In the parent: does harm to a cable, or mends it. */
bool chaos_net_harm(uint32_t cable, enum chaos_net_harm harm, bool on);

/* In the parent: takes the cable away; its process is gone. */
void chaos_net_unplug(uint32_t cable);

#endif
