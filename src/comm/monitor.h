/*
 * The monitor of a communicator: what its threads share, behind one lock. The callers' threads, the control thread and
 * the lanes make the transitions below and never see the lock or a field. The data path takes it only when an op begins
 * or ends.
 *
 *	IDLE -> JOINING -> MEMBER -> ENDED      a failed connect goes back to IDLE; abort and eviction lead to ENDED
 *
 * It owns the session, the view in force and its links' count, the world's numbers, the answer of a joint call, and the
 * commands that wait for each lane. What has to be ordered (launch, freeze, install, cancel) is put into all lanes'
 * queues under the lock, so every lane sees one order.
 */
#ifndef PCCL_MONITOR_H
#define PCCL_MONITOR_H

#include <stdbool.h>
#include <stdint.h>

#include <pccl.h>

#include "comm/self.h"
#include "membership/peer/peer.h"
#include "session/session.h"
#include "sync/state/agreement.h"
#include "sync/state/drift.h"

struct pccl_monitor;

/* How the monitor reaches the threads. tell() and wake() are called under its lock: they post, and return. */
struct pccl_monitor_threads {
	void *control;
	void (*tell)(void *control, const struct pccl_peer_event *event);
	void *lanes[PCCL_LANES_MAX];
	void (*wake)(void *lane); /* its queue was empty and is not any more */

	/* A caller drives a lane, see lane_thread.h; all but drive() are called under the lock. */
	void (*invite)(void *lane);
	bool (*take)(void *lane);
	void (*drive)(void *lane, uint64_t until_ns);
	void (*ring)(void *lane);
	void (*give)(void *lane);
};

/* ---- its life: the communicator's ------------------------------------------------------------------------------- */

/* `self` stays the communicator's and outlives the monitor. Returns pcclOutOfMemory. */
pcclResult_t pccl_monitor_create(const struct pccl_self *self, struct pccl_monitor **monitor_out);
void pccl_monitor_destroy(struct pccl_monitor *monitor);

/* IDLE -> JOINING, with a session; the caller counts as inside until pccl_monitor_end_connect(). Returns
 * pcclInvalidUsage (connected, or has ended), pcclAborted, pcclOutOfMemory. */
pcclResult_t pccl_monitor_begin_connect(struct pccl_monitor *monitor);

/* ENDED -> JOINING, of a PCCL 1.0 program that was a member and is to join again; false: it has not ended, or not so.
 * When the old threads are gone a new session is needed. *result_out: pcclPendingAsyncOps, and nothing has begun. */
bool pccl_monitor_begin_rejoin(struct pccl_monitor *monitor, pcclResult_t *result_out);
pcclResult_t pccl_monitor_renew(struct pccl_monitor *monitor);

/* The threads are there: asks control to join, unless the communicator was aborted meanwhile. Blocks until there is a
 * view whose links are up, or no hope; the machine has all the deadlines. */
pcclResult_t pccl_monitor_join(struct pccl_monitor *monitor, const struct pccl_monitor_threads *threads);

/* The communicator has ended before this call has connected it: the calls of others, which all end, are gone. */
void pccl_monitor_await_callers(struct pccl_monitor *monitor);

/* The threads are about to be stopped: nobody is told or woken any more. They may still call. */
void pccl_monitor_detach(struct pccl_monitor *monitor);

/* No thread is left: frees the session and what waits in queues. */
void pccl_monitor_clear(struct pccl_monitor *monitor);

/* The connect has ended with `result`. After a failure the threads are gone, and the caller may try again unless the
 * communicator was aborted. */
void pccl_monitor_end_connect(struct pccl_monitor *monitor, pcclResult_t result);

/* Leaves; whoever is blocked returns pcclAborted. `why` in words, static; NULL: the user has asked for it. */
void pccl_monitor_abort(struct pccl_monitor *monitor, const char *why);

/* Leaves, and returns when no call is inside any more. */
void pccl_monitor_retire(struct pccl_monitor *monitor);

/* ---- the callers' ------------------------------------------------------------------------------------------------ */

/* What can be asked without asking anybody. */
struct pccl_standing {
	struct pccl_world world;
	uint32_t members;
	uint32_t rank;
	uint32_t epoch;
};

/* pcclInvalidUsage: not connected; if it has ended: why. */
pcclResult_t pccl_monitor_look(struct pccl_monitor *monitor, struct pccl_standing *standing_out);

/* The same as the program may see it: one of PCCL 1.0 as it was in its last joint call or failed await. */
pcclResult_t pccl_monitor_attributes(struct pccl_monitor *monitor, struct pccl_standing *standing_out);

/* Tells the tag that the op is known under, and which launch it was. */
pcclResult_t pccl_monitor_launch(struct pccl_monitor *monitor, const struct pccl_op_request *request, uint64_t *tag_out,
				 uint64_t *launch_out);

struct pccl_launched {
	uint64_t tag, launch; /* as of pccl_monitor_launch() */
	bool awaited;	      /* as by pccl_monitor_await(): a failure is that of it */
};

/* The same, and stays as operation.stay_ms says. What has ended then is awaited, if there is a place for what that
 * tells: `info_out` may be NULL. */
pcclResult_t pccl_monitor_launch_and_stay(struct pccl_monitor *monitor, const struct pccl_op_request *request,
					  pcclOperationInfo_t *info_out, struct pccl_launched *launched_out);

/* Launches an op and waits for its end, as pccl_monitor_launch() and pccl_monitor_await() do. *launched_out: a failure
 * is that of the await. */
pcclResult_t pccl_monitor_run(struct pccl_monitor *monitor, const struct pccl_op_request *request,
			      pcclOperationInfo_t *info_out, bool *launched_out);

#define PCCL_ANY_LAUNCH 0 /* whatever is in flight under the tag, as PCCL 1.0 has it */

/* Waits for the end of the op with this tag and launch, fills *info_out (pccl_op_tell),
 * releases it. `info_out` may be NULL. */
pcclResult_t pccl_monitor_await(struct pccl_monitor *monitor, uint64_t tag, uint64_t launch,
				pcclOperationInfo_t *info_out);
/* Has it ended at `limit_ns`? Until then it waits for that; 0: it does not wait. */
pcclResult_t pccl_monitor_test(struct pccl_monitor *monitor, uint64_t tag, uint64_t launch, uint64_t limit_ns,
			       bool *done_out);

struct pccl_joint_call {
	enum pccl_vote vote;
	bool quiet;	      /* no op may be unreleased */
	pcclResult_t failure; /* what a failed vote returns */
};

/* Waits for the turn of this thread, then for the group's answer, then until the links of the view are up.
 * `value_out` may be NULL. */
pcclResult_t pccl_monitor_joint(struct pccl_monitor *monitor, const struct pccl_joint_call *call, bool *value_out);

struct pccl_state_call {
	struct pccl_inventory *inventory; /* digested; NULL: takes part only so that the others can go on */
	struct pccl_shadow *shadow;	  /* of what lies on devices; NULL: nothing does */
	pcclSharedStateSyncStrategy_t strategy;
	uint64_t revision;
	uint64_t nonce; /* random */
};

/* By what members of a group take digests: all alike, for the protected and others can't connect to each other. */
enum pccl_digest_kind pccl_monitor_digest_kind(const struct pccl_monitor *monitor);

/* Waits for the turn of this thread, as joint calls do, and makes the states of the group's members one. */
pcclResult_t pccl_monitor_synchronize(struct pccl_monitor *monitor, const struct pccl_state_call *what,
				      struct pccl_agreement_result *result_out);

/* As much, to find out whether they are. */
pcclResult_t pccl_monitor_check_drift(struct pccl_monitor *monitor, struct pccl_inventory *inventory,
				      struct pccl_drift_result *result_out);

/* Digests that are kept from one call to the next: who takes them has them alone. NULL: there are none, or nothing that
 * was kept is to be trusted, for members were lost since. */
struct pccl_kept *pccl_monitor_take_kept(struct pccl_monitor *monitor, uint64_t *losses_out);
/* Takes over what a call that succeeded has left, unless members were lost since `losses`. */
void pccl_monitor_keep(struct pccl_monitor *monitor, struct pccl_kept *kept, uint64_t losses);

/* What this peer holds is not what it should be any more: it was never there. */
void pccl_monitor_forget_lineage(struct pccl_monitor *monitor);

/* Is nothing in flight but what reservations are for? pcclPendingAsyncOps. */
pcclResult_t pccl_monitor_check_quiet(struct pccl_monitor *monitor);

/* ---- before admission -------------------------------------------------------------------------------------------- */

/* Tensors that newcomers may read, or that a newcomer fills with what members lend. */
struct pccl_loan;

/* Takes the inventory, which has no digests, and the shadow (NULL: nothing lies on devices) over, unless it fails:
 * pcclOutOfMemory. `tag` is its user's. */
pcclResult_t pccl_loan_create(struct pccl_inventory *inventory, struct pccl_shadow *shadow, bool borrows, void *tag,
			      struct pccl_loan **loan_out);

/* A member lends, in place of what it has lent before. Takes the loan over in any case. */
pcclResult_t pccl_monitor_lend(struct pccl_monitor *monitor, struct pccl_loan *loan);
/* Returns when no lane reads it any more. */
void pccl_monitor_take_back(struct pccl_monitor *monitor);

/* The next joins fill it, until one succeeds. Takes the loan over in any case. pcclInvalidUsage: it has joined. */
pcclResult_t pccl_monitor_borrow(struct pccl_monitor *monitor, struct pccl_loan *loan);

struct pccl_borrowed {
	uint64_t rx_bytes;   /* that have come, in all attempts */
	pcclResult_t result; /* of bringing them to devices */
	void *tag;
};

/* A join has ended: what has come of it? False: nothing was borrowed. */
bool pccl_monitor_settle_borrowed(struct pccl_monitor *monitor, struct pccl_borrowed *borrowed_out);

/* ---- those who launch beside the program --------------------------------------------------------------------------
 * */

/* Tags of somebody who launches ops by threads of his own, when he sees fit, so that the program can't know whether one
 * is in flight: they do not count where the program's ops have to be awaited. But no view with newcomers may come
 * while he has begun something with the members of this one: `is_busy` says so, and pcclUpdateTopology() is refused, at
 * all members alike if they all are busy at that call. He owns it, from take to return. */
struct pccl_reservation {
	uint64_t first, last;
	bool is_busy;		      /* set by pccl_reservation_set_busy() */
	struct pccl_monitor *monitor; /* NULL: it has none, or that has gone */
	struct pccl_reservation *next;
};

/* pcclInvalidArgument: the tags overlap those of another reservation. */
pcclResult_t pccl_reservation_take(struct pccl_reservation *reservation, struct pccl_monitor *monitor);
void pccl_reservation_return(struct pccl_reservation *reservation);
void pccl_reservation_set_busy(struct pccl_reservation *reservation, bool is_busy);
/* This thread launches under its tags from now on. To all others they are refused. */
void pccl_reservation_work(const struct pccl_reservation *reservation);
/* Ops in flight under its tags have to end by then. */
void pccl_reservation_limit(struct pccl_reservation *reservation, uint64_t deadline_ns);

/* ---- the control thread's ---------------------------------------------------------------------------------------- */

void pccl_monitor_freeze(struct pccl_monitor *monitor);
/* All lanes have frozen: what do they hold? See pccl_session_reports(). Without memory the communicator ends. */
void pccl_monitor_reports(struct pccl_monitor *monitor, struct pccl_op_report **reports_out, uint32_t *count_out);
void pccl_monitor_install(struct pccl_monitor *monitor, const struct pccl_install *install);
/* Peers that may soon be members: the lanes make links to them, see pccl_session_meet(). */
void pccl_monitor_meet(struct pccl_monitor *monitor, const struct pccl_meet_how *how,
		       const struct pccl_view *strangers);
/* What waits for one of these members (pccl_peer_misses()) the longest: for an event's `blocked`. */
uint64_t pccl_monitor_blocked(struct pccl_monitor *monitor, const uint64_t *missed);
/* The joint call has been answered. */
void pccl_monitor_voted(struct pccl_monitor *monitor, const struct pccl_peer_action *answer);
/* It was not answered at once: from now on an op that waits for this peer ends an update. */
void pccl_monitor_await_update(struct pccl_monitor *monitor);

/* ---- the lanes' -------------------------------------------------------------------------------------------------- */

/* All commands that wait for the lane, in order; NULL: none. */
struct pccl_command *pccl_monitor_take(struct pccl_monitor *monitor, uint32_t lane);
/* The lane's share of an attempt has ended. */
void pccl_monitor_outcome(struct pccl_monitor *monitor, uint32_t lane, const struct pccl_exec_outcome *outcome);
/* An EXPIRE or CANCEL has been carried out. */
void pccl_monitor_unpin(struct pccl_monitor *monitor, struct pccl_attempt *attempt);
/* The lane has frozen. The last one's call tells membership. */
void pccl_monitor_frozen(struct pccl_monitor *monitor, uint32_t lane, const struct pccl_exec *exec);
/* The lane has found out whom an op waits for whose deadline has passed: text. Tells membership. */
void pccl_monitor_expired(struct pccl_monitor *monitor, const struct pccl_op_key *key, const char *text);
/* The lane has heard of an op that this peer misses: ends an update that the caller waits in. */
void pccl_monitor_missed(struct pccl_monitor *monitor, const struct pccl_op_key *key);
/* The lane has fetched its share of a state, or has closed. */
void pccl_monitor_transferred(struct pccl_monitor *monitor, uint32_t lane, const struct pccl_transfer_outcome *outcome);
/* As much, of what newcomers get. */
void pccl_monitor_visited(struct pccl_monitor *monitor, const struct pccl_transfer_outcome *outcome);
/* See the slot in session/lane.h. The last lane's call tells membership, or the first one's that has a reason. */
void pccl_monitor_met(struct pccl_monitor *monitor, const pcclRankUuid_t *uuid, uint32_t number, const char *why_not);
/* All links of the lane are up, in the view of this epoch. */
void pccl_monitor_linked(struct pccl_monitor *monitor, uint32_t epoch);

/* ---- everybody's ------------------------------------------------------------------------------------------------- */

/* An event for membership: now_ns is filled in, text is copied. */
void pccl_monitor_tell(struct pccl_monitor *monitor, const struct pccl_peer_event *event);

/* The communicator is no use any more. Wakes everybody. The first call counts. */
void pccl_monitor_end(struct pccl_monitor *monitor, pcclResult_t result, const char *detail);

#endif
