/* One peer of a run: joins, waits for the others, meets them, combines small numbers with them, leaves. */
#ifndef PCCL_BENCH_PEER_H
#define PCCL_BENCH_PEER_H

#include "options.h"

#include <pccl.h>

#include <pthread.h>
#include <stdbool.h>

/* A place in shared memory where the peers of one machine wait for each other, without the library's help. */
struct bench_meeting {
	pthread_barrier_t barrier;
};

struct bench_peer {
	const struct bench_options *options; /* borrowed */
	struct bench_meeting *meeting;	     /* borrowed; NULL: peers on other machines, meet over the network */
	pcclComm_t *comm;
	uint32_t world;
	uint32_t rank;
	bool parted; /* could not meet or combine: that has been said, and is the end */
};

/* Ways to combine one number of every peer. */
enum bench_gather { BENCH_GATHER_SUM, BENCH_GATHER_MAX, BENCH_GATHER_MIN };

/* Says on stderr what failed and the library's words for it. */
void bench_complain(const char *what, pcclResult_t result);

/* Finds the address of a host name or number; complains and returns false if there is none. */
bool bench_resolve(const char *host, uint16_t port, ccoip_socket_address_t *address_out);

/* Joins the master's group and waits until `options->peers` are in it. Peers that were started separately compare their
 * flags as they come. Complains and returns false on failure. */
bool bench_peer_join(struct bench_peer *peer, const struct bench_options *options, const ccoip_socket_address_t *master,
		     struct bench_meeting *meeting);

/* The two halves of that: a communicator that has not connected yet, which then does. */
bool bench_peer_create(struct bench_peer *peer, const struct bench_options *options,
		       const ccoip_socket_address_t *master, struct bench_meeting *meeting);
bool bench_peer_connect(const struct bench_peer *peer);

/* Admits joiners until the group has `world` members. For joint use by all members. Complains on failure. */
bool bench_peer_grow(struct bench_peer *peer, uint32_t world);

/* Reads world and rank anew, for instance after somebody left. */
bool bench_peer_refresh(struct bench_peer *peer);

/* Leaves the group and frees everything. */
void bench_peer_leave(struct bench_peer *peer);

/* Waits until all peers are here. */
bool bench_peer_meet(struct bench_peer *peer);

/* Replaces each value by the sum, maximum or minimum of all peers' values. Joint. Complains on failure. */
bool bench_peer_gather(struct bench_peer *peer, enum bench_gather how, double *values, size_t count);

#endif
