/* The parent's side of a chaos run: what it knows, its processes, and looking after them. */
#ifndef PCCL_BENCH_CHAOS_RUN_H
#define PCCL_BENCH_CHAOS_RUN_H

#include "chaos_table.h"
#include "local.h"

#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)
#define FAULTS_MAX 100000
/* The longest that a call may last in a healthy library: detection of a silent peer, and a slow machine. */
#define HANG_NS (20 * SECOND)

enum chaos_fault {
	CHAOS_KILLED,
	CHAOS_STOPPED,
	CHAOS_CUT_OFF,
	CHAOS_DEAF,
	CHAOS_APART,
	CHAOS_MASTER_KILLED,
	CHAOS_LEFT,
	CHAOS_JOINER_KILLED,
	CHAOS_FAULTS
};

struct chaos_run {
	struct chaos_table *table;
	struct bench_master master;
	uint64_t draws; /* random numbers drawn so far */
	uint64_t identities;
	uint64_t end_ns;
	uint64_t faults[CHAOS_FAULTS];
	uint64_t hangs;
	uint64_t unexpected;  /* processes that ended by themselves with a failure */
	uint64_t evictions;   /* peers that were told so: those we stopped or cut off, as a rule */
	uint64_t divergences; /* of peers that are gone */
	double *detection_ms;
	double *recovery_ms;
	size_t detections; /* in the first, and in the second */
	size_t recoveries;
	uint64_t told_ns; /* when progress was last shown */
};

/* A random number below `below`: the same sequence for the same seed. */
uint64_t chaos_draw(struct chaos_run *run, uint64_t below);

struct chaos_slot *chaos_slot_of(struct chaos_run *run, uint32_t index);

bool chaos_is_partition(const struct chaos_run *run);

/* Starts a process in a free slot. */
bool chaos_start_peer(struct chaos_run *run, uint32_t index);

/* Ends a slot's process with SIGKILL and frees the slot. */
void chaos_end_peer(struct chaos_run *run, uint32_t index);

/* One look around: sleeps a moment, buries the dead, finds hangs, shows progress. `held` is the set of slots that are
 * stopped or cut off, and may be silent. */
void chaos_tick(struct chaos_run *run, uint64_t held);

/* Looks around for a while. */
void chaos_linger(struct chaos_run *run, uint64_t duration_ns);

/* The sets of slots with a member of the group, and with a process. */
uint64_t chaos_members(struct chaos_run *run);
uint64_t chaos_running(struct chaos_run *run);

/* One slot of a set that is not empty, at random. */
uint32_t chaos_pick(struct chaos_run *run, uint64_t set);

/* Brings the group to its size and waits until all are in. Joiners that do not get in in time count as a hang. */
void chaos_fill_up(struct chaos_run *run);

/* Faults of all kinds. */
uint64_t chaos_faults(const struct chaos_run *run);

/* The name of the library's function that a peer is in. */
const char *chaos_call_name(uint32_t call);

#endif
