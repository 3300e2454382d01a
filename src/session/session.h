/*
 * The session: the table of a communicator's ops, between its membership and its executors. Pure: no thread, socket or
 * clock; the communicator calls it under its lock, the simulator directly.
 *
 * What the lanes have to do comes out as commands, in an order that each lane must keep. What membership needs for a
 * flush (reports) is collected lane by lane after FREEZE; what it decided comes in with pccl_session_install().
 *
 * An op is one collective call; an attempt is one try of it in one view. Attempts outlive nothing: they are freed when
 * all lanes have let go of them.
 */
#ifndef PCCL_SESSION_H
#define PCCL_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include <pccl.h>

#include "base/fail.h"
#include "collectives/exec/exec.h"
#include "membership/message/view.h"

#define PCCL_TAG_OWN UINT64_C(0xfffffffffffffe11) /* of the library's own ops */
/* What another lane carries has to be handed to its thread and back, which takes longer than to carry so much. */
#define PCCL_ONE_LANE_BYTES (128u << 10)

struct pccl_session;
struct pccl_attempt; /* the executors' cookie */

struct pccl_session_config {
	uint32_t lanes; /* lanes that exist; a view may use fewer */
	pcclPlan_t plan;
	pcclFailurePolicy_t policy;
	pcclZstd_t zstd;
	uint64_t one_lane_bytes; /* ops of no more than so many are on one lane only; the same at all members */
	/* For tests, the same at all members: tags are forgotten after so many ops on average, and so many may be told
	 * at first. 0: as many as are good. */
	uint32_t forget_every;
	uint32_t forget_room;
	bool verifies; /* members compare results */
	bool poisons;  /* what PCCL 1.0's codecs can't carry makes NaNs of its segment, and no failure */
};

/* What the caller asked for. */
struct pccl_op_request {
	enum pccl_collective kind;
	pcclOperation_t operation;
	const void *input;
	void *output;
	/* What moves parts: elements to and from each rank of the view, read at launch; NULL: operation.count each. Of
	 * a gather or scatter the one that the root has. */
	const size_t *sends;
	const size_t *receives;
	bool is_sender;	  /* of a transfer; operation.root is the other end. Its tag, in the op, is not the caller's */
	const char *name; /* static: of the call that it is a part of, which the caller knows no tag of; NULL: none */
};

/* How an op's elements travel. */
struct pccl_op_codecs {
	struct pccl_op_codec up;   /* contributions */
	struct pccl_op_codec down; /* results */
	uint8_t rounding;
	uint32_t align_elements;     /* segments are multiples of it */
	uint64_t contribution_bytes; /* of one peer, as it travels */
};

/* See struct pccl_message_meet. */
struct pccl_meet_how {
	uint32_t number; /* PCCL_MEET_PART: they do not join, links to them end */
	bool dials;
	bool anew;
};

enum pccl_command_type {
	PCCL_COMMAND_LAUNCH,	 /* pccl_exec_launch(launch); failure is the lane's outcome */
	PCCL_COMMAND_CANCEL,	 /* forget the attempt on all links, pccl_exec_cancel() */
	PCCL_COMMAND_FREEZE,	 /* pccl_exec_freeze(), then pccl_session_collect() */
	PCCL_COMMAND_EXPIRE,	 /* find out whom the attempt waits for, tell membership, then pccl_session_unpin() */
	PCCL_COMMAND_INSTALL,	 /* pccl_exec_install(), link up with the members of the view */
	PCCL_COMMAND_UPDATE,	 /* pccl_exec_await_update(joint) */
	PCCL_COMMAND_MEET,	 /* link up with `view`, no members yet; pccl_session_met() for each */
	PCCL_COMMAND_BACKGROUND, /* the shell's own, not the session's: `order` to the lane's background */
	PCCL_COMMAND_ENDED	 /* for the shell: `op` has ended, wake who waits for it */
};

/* Only LAUNCH, INSTALL, MEET and UPDATE need memory, and LAUNCH has it before the attempt begins: what freezes, ends or
 * asks is never lost. INSTALL, MEET and UPDATE belong to the taker. The others lie in the session, the attempt or the
 * op, until the taker has said what became of them: collect, outcome, unpin; it does not touch them after that. */
struct pccl_command {
	enum pccl_command_type type;
	uint32_t lane;
	struct pccl_exec_launch launch; /* cookie: the attempt */
	struct pccl_attempt *attempt;	/* CANCEL, EXPIRE */
	struct pccl_op_key key;		/* EXPIRE */
	pcclResult_t result;
	bool restore;
	const char *detail; /* CANCEL: why; EXPIRE: what the op is called */
	uint32_t epoch;	    /* INSTALL, as the next four */
	uint32_t ranks;
	uint32_t rank;
	uint32_t lanes; /* that the view uses; a lane beyond has nothing to do */
	struct pccl_view view;
	struct pccl_meet_how how; /* MEET */
	uint32_t joint;		  /* UPDATE */
	struct pccl_op *op;	  /* ENDED */
	const void *order;	  /* BACKGROUND */
	struct pccl_command *next;
};

/* One collective call, from launch to release. Read by the shell under its lock; written by the session only. */
struct pccl_op {
	struct pccl_op_request request;
	struct pccl_op_key key;
	bool numbered; /* the key has its sequence: taken when the op's first attempt begins */
	uint32_t era;  /* in which it was: see the session */
	bool own;      /* the library's, not a caller's */
	bool verifies; /* results are compared before it ends */
	bool decided;  /* it failed everywhere, also where it is still to be launched */
	struct pccl_op_codecs codecs;
	uint64_t signature; /* a hash of what all members must have called alike, in whatever view */
	struct pccl_geometry geometry;
	struct pccl_part *parts; /* of what moves them; NULL: none */
	uint32_t part_count;
	uint32_t members_since;	      /* at launch: see the session */
	bool late;		      /* launched for a view that was not in force: has a number, and fails */
	struct pccl_attempt *attempt; /* the running one; NULL while it waits for a view, and after it has ended */
	uint32_t attempts_open;	      /* that some lane still holds, superseded ones among them */
	void *undo;		      /* keeps overwritten input of an op in place; NULL if it is not needed */
	size_t undo_bytes;	      /* that results overwrite; 0: not in place */
	size_t undo_room;	      /* bytes that `undo` has */
	bool gives_up;		      /* in place, and the input need not come back */
	void *sums;		      /* that a reduce passes on to the root: as large as its output; NULL: none */
	void *staged;		      /* copy of an input that is in place for another rank than now; NULL */
	void *staged_home;	      /* where that belongs if the op fails: results may have come there; NULL */
	size_t staged_bytes;
	void *residual_next;	/* what contributions leave over, in the partial type; NULL: no error feedback */
	uint8_t *residual_made; /* by segment: its part is there */
	uint32_t rank_at_launch;
	pcclRankUuid_t root_at_launch; /* where there is one: who that rank was */
	bool settled;		       /* `result` stands; it has ended when all attempts are gone too */
	bool ended;
	pcclResult_t result;
	char detail[PCCL_DETAIL_BYTES];
	pcclOperationInfo_t info;
	uint64_t *held; /* union of what the lanes report in a flush; segment_count bits */
	bool complete;
	void *waiter;		/* those who wait for its end; the shell's, as the next five */
	uint64_t launch;	/* its number among the communicator's launches, from 1 */
	uint64_t deadline_ns;	/* monotonic, when to ask what becomes of it; UINT64_MAX: never */
	uint64_t give_up_ns;	/* when an answer has not come; 0: nobody has asked */
	uint32_t asked_epoch;	/* of the view whose lanes were asked */
	bool awaited;		/* a caller waits for its end */
	uint32_t attempt_ranks; /* members of the view of the last attempt: whose contributions its sums have */
	uint16_t *participants; /* by segment, of those that an attempt before it has finished: how many contributions
				 * they have, else 0; NULL: there are none */
	uint64_t number;	/* in the order of launches, from 1 */
	char name[64];		/* as the caller knows it, for texts; does not change */
	struct pccl_command end_command;
	struct pccl_op *next, *before;
	struct pccl_op *next_of_tag; /* in its bucket */
};

pcclResult_t pccl_session_create(const struct pccl_session_config *config, struct pccl_session **session_out);

/* All lanes must have stopped. Open ops are freed without a word. */
void pccl_session_destroy(struct pccl_session *session);

/* Reads and checks the codecs of an op whose type is known, as a launch does. */
pcclResult_t pccl_session_read_codecs(enum pccl_collective kind, const pcclOperation_t *operation,
				      struct pccl_op_codecs *out);

/* Starts an op. pcclInvalidArgument: tag in use, bad request; pcclTooFewPeers, pcclTooManyOperations, pcclOutOfMemory.
 * The op is the session's until pccl_session_release(). If the flush of an earlier view has already decided it, it has
 * ended. */
pcclResult_t pccl_session_launch(struct pccl_session *session, const struct pccl_op_request *request,
				 struct pccl_op **op_out);

/* The op with this tag that has not been released; NULL: none. */
struct pccl_op *pccl_session_find(const struct pccl_session *session, uint64_t tag);
bool pccl_session_idle(const struct pccl_session *session); /* no op of a caller's is unreleased */

/* An unreleased op of a caller's after this one, in no order; `op` NULL: the first one. NULL: there is none. */
struct pccl_op *pccl_session_next_op(const struct pccl_session *session, const struct pccl_op *op);

/* The caller has taken the result of an ended op. */
void pccl_session_release(struct pccl_session *session, struct pccl_op *op);

/* How many peers' contributions a segment of an op has that has succeeded. */
uint32_t pccl_op_participants(const struct pccl_op *op, uint32_t segment);

/* What the caller is told of an op that has ended: all but `size`, and the room that it lends for ranges. */
void pccl_op_tell(const struct pccl_op *op, pcclOperationInfo_t *info);

/* Error feedback of an op that has succeeded becomes the caller's. Touches the op and the caller's buffer only, so that
 * it needs no lock between the op's end and its release. */
void pccl_op_commit_residual(const struct pccl_op *op);

/* Ends every op with `result`, gives every later launch the same: the communicator leaves or is evicted. */
void pccl_session_end(struct pccl_session *session, pcclResult_t result, const char *detail);

/* A lane's share of an attempt has ended. */
void pccl_session_outcome(struct pccl_session *session, uint32_t lane, const struct pccl_exec_outcome *outcome);

/* The deadline of an op has passed: asks its first lane whom it waits for. False: no lane has it at the moment. */
bool pccl_session_expire(struct pccl_session *session, struct pccl_op *op);

/* The tag that a request is known under. */
uint64_t pccl_session_tag(const struct pccl_session *session, const struct pccl_op_request *request);

/* Lanes that the view in force uses. */
uint32_t pccl_session_lanes(const struct pccl_session *session);

/* An EXPIRE or CANCEL command has been carried out, and its outcome, if the lane still held the attempt, handed in. */
void pccl_session_unpin(struct pccl_session *session, struct pccl_attempt *attempt);

/* Stops transfers of the view in force; ops launched from now on wait. */
void pccl_session_freeze(struct pccl_session *session);

/* On a lane's thread, after it has frozen: takes its reports. True when this was the last lane. */
bool pccl_session_collect(struct pccl_session *session, uint32_t lane, const struct pccl_exec *exec);

/* The reports for the flush, after all lanes have frozen; the caller owns them (pccl_op_reports_destroy). */
pcclResult_t pccl_session_reports(const struct pccl_session *session, struct pccl_op_report **reports_out,
				  uint32_t *count_out);

/* A new view and the decisions that came with it are in force. */
pcclResult_t pccl_session_install(struct pccl_session *session, const struct pccl_install *install, uint32_t rank);

/* These may soon be members: the lanes make links to them; `how` as in MEET. pcclOutOfMemory. */
pcclResult_t pccl_session_meet(struct pccl_session *session, const struct pccl_meet_how *how,
			       const struct pccl_view *strangers);

/* A lane's link to one of them is up, or lost. True: membership is to be told: all lanes' links are, or this one is. */
bool pccl_session_met(struct pccl_session *session, const pcclRankUuid_t *uuid, uint32_t number, bool reached);

/* The caller waits in pcclUpdateTopology(), and nobody has answered yet. */
void pccl_session_begin_update(struct pccl_session *session);

/* A joint call has ended, this or another: the caller has made so many since newcomers last joined. An install with
 * newcomers ends an update, too, and begins to count anew. */
void pccl_session_end_joint(struct pccl_session *session, uint32_t joint);

/* A lane has heard of an op that this peer misses (pccl_exec_missed()). Returns the number of the pcclUpdateTopology()
 * that the caller waits in, which can't end well then; 0: it waits in none. */
uint32_t pccl_session_missed(const struct pccl_session *session, const struct pccl_op_key *key);

/* The oldest op that waits for one of these members, bits by rank of the view in force, by its number; 0: none does. */
uint64_t pccl_session_blocked(const struct pccl_session *session, const uint64_t *missed);

/* The next command; NULL: none. */
struct pccl_command *pccl_session_poll(struct pccl_session *session);

/* Ends an INSTALL or UPDATE command; does nothing with others. */
void pccl_command_free(struct pccl_command *command);

/* Does a received frame belong to the attempt? For pccl_link_forget(). */
bool pccl_attempt_owns(const void *attempt, const struct pccl_frame *frame);

#endif
