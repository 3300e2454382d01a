/*
 * What the processes of a chaos run share. The parent and the peers, which may die between any two instructions, meet
 * in this memory without locks: every field is written by one side, or by compare-and-swap.
 */
#ifndef PCCL_BENCH_CHAOS_TABLE_H
#define PCCL_BENCH_CHAOS_TABLE_H

#include "local.h"
#include "options.h"
#include "peer.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#define CHAOS_SLOTS 64
#define CHAOS_VERDICTS (1u << 16) /* rounds that are remembered; survivors are never apart by more than a few */

/* Where a peer is. Written by the peer; the parent sets EMPTY and STARTING. */
enum chaos_state {
	CHAOS_EMPTY,
	CHAOS_STARTING, /* the process is on its way into the group */
	CHAOS_MEMBER,
	CHAOS_GONE /* it left, or was told that the group went on without it */
};

/* Where a call into the library is, so that a hang can be named. */
enum chaos_call {
	CHAOS_CALL_NONE,
	CHAOS_CALL_CONNECT,
	CHAOS_CALL_ROSTER,
	CHAOS_CALL_PENDING,
	CHAOS_CALL_UPDATE,
	CHAOS_CALL_REDUCE,
	CHAOS_CALL_DESTROY
};

struct chaos_slot {
	pid_t pid;		   /* parent; 0: nobody */
	uint64_t identity;	   /* parent; never used twice in a run */
	bool leave;		   /* parent: leave when you can */
	bool hurt;		   /* parent: it was stopped or cut off, and may end with an error */
	uint32_t state;		   /* enum chaos_state */
	uint32_t call;		   /* enum chaos_call */
	uint64_t progress_ns;	   /* when the last call began or ended */
	uint64_t epoch;		   /* of the newest view seen ... */
	uint64_t epoch_ns;	   /* ... and when it came in force */
	uint64_t success_epoch;	   /* epoch after the last successful operation ... */
	uint64_t success_epoch_ns; /* ... and when the first one with this epoch ended */
	uint64_t joint_ns;	   /* when the last joint call succeeded */
	uint64_t divergences;
	bool evicted;
};

struct chaos_table {
	struct bench_options options;
	ccoip_socket_address_t master;
	bool stop;			   /* parent: everybody leaves, jointly */
	bool joint_wanted;		   /* parent: peers wait to join, or the master is to be tried */
	uint64_t operations;		   /* rounds that ended with a result; each counted by the first to know */
	uint64_t given_up;		   /* rounds that ended in an agreed failure */
	uint64_t verdicts[CHAOS_VERDICTS]; /* digest of what a round ended with; 0: nobody knows yet */
	struct chaos_slot slots[CHAOS_SLOTS];
};

#define CHAOS_GET(field) __atomic_load_n(&(field), __ATOMIC_ACQUIRE)
#define CHAOS_SET(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELEASE)

/* The life of one peer of a chaos run; returns its exit status. */
int chaos_peer(struct chaos_table *table, uint32_t slot_index);

#endif
