/* What the files of the monitor share: monitor.c has the life, the control thread's and the lanes' transitions;
 * monitor_ops.c what callers do with ops, monitor_run.c with a blocking one; monitor_joint.c joint calls;
 * monitor_state.c states; monitor_loan.c what newcomers get of them before; monitor_reserve.c those who launch beside
 * the program; monitor_classic.c what PCCL 1.0 programs are shown. */
#ifndef PCCL_MONITOR_INTERNAL_H
#define PCCL_MONITOR_INTERNAL_H

#include <pthread.h>

#include "comm/monitor.h"

enum pccl_monitor_state {
	PCCL_MONITOR_IDLE,    /* not connected */
	PCCL_MONITOR_JOINING, /* threads run, no view yet */
	PCCL_MONITOR_MEMBER,
	PCCL_MONITOR_ENDED /* left, evicted, aborted: only destroy is left (or, if it never was a member, connect) */
};

struct pccl_queue {
	struct pccl_command *first;
	struct pccl_command *last;
};

/* A caller who waits for the end of an op, one of those that the op has. */
struct pccl_waiter {
	pthread_cond_t woken; /* of one who drives no lane */
	void *lane;	      /* that he drives; NULL: none */
	bool ended;	      /* the op has, and may be gone */
	struct pccl_waiter *next;
};

struct pccl_monitor {
	const struct pccl_self *self;
	pthread_mutex_t lock;	/* of all that follows */
	pthread_cond_t changed; /* anything but the end of an op */
	struct pccl_monitor_threads threads;
	bool attached; /* they may be told and woken */
	struct pccl_queue queues[PCCL_LANES_MAX];
	struct pccl_session *session; /* from begin_connect to clear */

	enum pccl_monitor_state state;
	pcclResult_t end_result; /* in ENDED */
	char end_detail[PCCL_DETAIL_BYTES];
	uint32_t callers; /* inside a blocking call; retire waits for them */
	bool aborted;	  /* it never connects again */

	struct pccl_view view; /* in force; empty before the first */
	uint32_t rank;
	struct pccl_world world;
	uint32_t lanes_linked; /* lanes whose links of the view in force are all up */

	bool joint_taken;  /* a thread is inside a joint call */
	uint64_t turns;	   /* such calls so far */
	bool vote_pending; /* which waits for its answer */
	pcclResult_t vote_result;
	bool vote_value;
	char vote_detail[PCCL_DETAIL_BYTES];

	pcclRankUuid_t run; /* of the view in force */
	pcclRankUuid_t lineage_run;
	struct pccl_state_lineage lineage;	 /* of that run */
	enum pccl_transfer_event transfer_event; /* that the caller awaits of so many lanes */
	uint32_t transfers_awaited;
	struct pccl_transfer_outcome transfers[PCCL_LANES_MAX]; /* by lane */

	struct pccl_kept *kept; /* digests, for the next call */
	struct pccl_loan *loan; /* what this member lends, or this newcomer borrows; NULL: nothing */
	uint64_t losses;	/* views so far that members of the one before were not in */

	struct pccl_standing shown;    /* of a PCCL 1.0 program; no members: it never was one */
	struct pccl_standing answered; /* when the last joint call was */
	struct pccl_doomed *doomed;    /* its launches that could not be, to be awaited */
	uint64_t launches;	       /* so far, for handles */
	uint64_t ran_ns;	       /* when the last blocking call began */
	struct pccl_reservation *reservations;
	struct pccl_op_key expired_key;	     /* of the last op of which a lane has said whom it waits for, */
	char expired[PCCL_CAUSE_TEXT_BYTES]; /* and what it said; "": none */
};

/* monitor.c; all but the first under the lock */

/* Takes the lock, checks that a caller may use the communicator, and counts it; on failure the lock is not held. */
pcclResult_t pccl_monitor_enter(struct pccl_monitor *monitor);
void pccl_monitor_leave(struct pccl_monitor *monitor);
/* Hands the session's commands to the lanes and wakes who waits for ended ops. */
void pccl_monitor_dispatch(struct pccl_monitor *monitor);
void pccl_monitor_put_command(struct pccl_monitor *monitor, struct pccl_command *command);
void pccl_monitor_end_locked(struct pccl_monitor *monitor, pcclResult_t result, const char *detail);
void pccl_monitor_tell_locked(struct pccl_monitor *monitor, const struct pccl_peer_event *event);
/* Has those who wait for the op look again. Those of an op that has ended are none of its any more. */
void pccl_monitor_wake_waiters(const struct pccl_monitor *monitor, struct pccl_op *op);
/* For pccl_monitor_wait(). */
void pccl_monitor_init_condition(pthread_cond_t *condition);
/* False: `until_ns` (monotonic, PCCL_NEVER: never) has passed. */
bool pccl_monitor_wait(struct pccl_monitor *monitor, pthread_cond_t *condition, uint64_t until_ns);
bool pccl_monitor_is_linked(const struct pccl_monitor *monitor);
void pccl_monitor_stand(const struct pccl_monitor *monitor, struct pccl_standing *standing_out);

/* monitor_state.c, under the lock, for a thread whose turn it is: an all-gather with all members. The view has at most
 * `ranks_max`, for which there is room. */
struct pccl_gathering {
	const void *input;
	void *output;
	size_t bytes; /* of each */
	uint32_t ranks_max;
	const char *name;	/* of the call, static */
	bool waits_for_callers; /* members may be late, as for any joint call; else they are busy */
};
pcclResult_t pccl_monitor_gather(struct pccl_monitor *monitor, const struct pccl_gathering *what, uint32_t *ranks_out,
				 char *text, size_t text_bytes);

/* monitor_kept.c, under the lock: before a view comes into force. Digests that were kept before a loss are not to be
 * trusted. */
void pccl_monitor_note_losses(struct pccl_monitor *monitor, const struct pccl_view *next);

/* monitor_loan.c, under the lock, for who connects. The threads are there: is anything to be borrowed, before it wants
 * to be admitted? They still are, and the tensors are to be the caller's again. */
bool pccl_monitor_begin_borrowing(struct pccl_monitor *monitor);
void pccl_monitor_end_borrowing(struct pccl_monitor *monitor);
/* No thread is left. Unless it is for good, a newcomer's stays: it may connect again. */
void pccl_monitor_forget_loan(struct pccl_monitor *monitor, bool for_good);

/* monitor_ops.c, under the lock. Launches; *op_out is NULL when that failed, now or at the await. */
pcclResult_t pccl_monitor_start(struct pccl_monitor *monitor, const struct pccl_op_request *request,
				struct pccl_op **op_out);
void pccl_monitor_add_waiter(struct pccl_op *op, struct pccl_waiter *waiter);
void pccl_monitor_remove_waiter(struct pccl_op *op, const struct pccl_waiter *waiter); /* it has not ended */
/* How callers name the op. NULL: what became of its launch will be asked for by the tag alone. */
void pccl_monitor_name(const struct pccl_op_request *request, const struct pccl_op *op, uint64_t *tag_out,
		       uint64_t *launch_out);
/* Has the op ended by then? PCCL_NEVER: it has. Once it has it may be gone, unless it is this caller's to release. */
bool pccl_monitor_wait_for_end(struct pccl_monitor *monitor, struct pccl_op *op, uint64_t limit_ns);
/* That has passed. */
void pccl_monitor_act_on_deadline(struct pccl_monitor *monitor, struct pccl_op *op);
/* It has ended: its result, and all that is told of it. Releases it. */
pcclResult_t pccl_monitor_finish(struct pccl_monitor *monitor, struct pccl_op *op, pcclOperationInfo_t *info_out);

/* monitor_joint.c, under the lock: one thread at a time makes joint calls */
void pccl_monitor_wait_for_turn(struct pccl_monitor *monitor);
void pccl_monitor_end_turn(struct pccl_monitor *monitor);
/* monitor_state.c: waits for the turn of a call about states, with which nothing may be in flight. `when` those are to
 * be awaited is for the text. After a failure the turn is to be ended as well. */
pcclResult_t pccl_monitor_begin_state_call(struct pccl_monitor *monitor, const char *when);
/* What PCCL 1.0 programs expect when such a call fails; `failure` is its own. */
pcclResult_t pccl_monitor_as_known(const struct pccl_monitor *monitor, pcclResult_t result, pcclResult_t failure);

/* monitor_reserve.c, under the lock. Nothing is to be awaited but ops of reservations; is one of these busy? May this
 * thread launch under the tag: pcclInvalidArgument. */
bool pccl_monitor_is_quiet(const struct pccl_monitor *monitor);
bool pccl_monitor_is_reserved_busy(const struct pccl_monitor *monitor);
pcclResult_t pccl_monitor_check_reserved(const struct pccl_monitor *monitor, uint64_t tag);

/* monitor_classic.c, under the lock */

/* The program hears what the world is like. */
void pccl_monitor_show(struct pccl_monitor *monitor);
/* A launch has failed with `result`: returns pcclSuccess if it has to fail at the await, else what it returns. */
pcclResult_t pccl_monitor_doom(struct pccl_monitor *monitor, uint64_t tag, pcclResult_t result);
/* Is this such a launch? It has failed now, and that is recorded. */
bool pccl_monitor_take_doomed(struct pccl_monitor *monitor, uint64_t tag);
bool pccl_monitor_is_doomed(const struct pccl_monitor *monitor, uint64_t tag);
/* Nothing is to be awaited. */
bool pccl_monitor_is_idle(const struct pccl_monitor *monitor);
void pccl_monitor_forget_doomed(struct pccl_monitor *monitor);

#endif
