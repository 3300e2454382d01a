/*
 * A peer's side of membership: a pure machine. Feed events in, take actions out, ask for the deadline after each
 * step.
 *
 * Life: IDLE -> (JOIN) DIALLING -> REGISTERING -> WAITING (for admission) -> MEMBER <-> FLUSHING -> GONE. A
 * member that loses its master keeps its view and its running ops, redials the masters in turn, and registers
 * again with its last install; view changes wait until then. A member that is evicted, refused, or leaves is
 * GONE: a new machine with a new uuid may join again.
 */
#ifndef PCCL_MEMBERSHIP_PEER_H
#define PCCL_MEMBERSHIP_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include <pccl.h>

#include "base/fail.h"
#include "membership/message/message.h"
#include "membership/message/view.h"

#define PCCL_NEVER UINT64_MAX

struct pccl_peer_config {
	struct pccl_member self;   /* address "" means: as the master sees me */
	struct pccl_secret secret; /* of self.uuid's owner; told to masters only */
	uint32_t group;
	uint32_t master_count; /* masters are named by index; the shell knows their addresses */
	uint64_t heartbeat_interval_ns;
	uint64_t heartbeat_timeout_ns; /* of a master that is near, base/time.h says what of others */
	uint32_t connect_attempts;     /* at most so many for each master, until one says WELCOME; 0: no limit */
	uint64_t connect_timeout_ns;   /* from JOIN until registered, whatever number of masters is tried */
	uint64_t admission_timeout_ns; /* from registered until a view; 0: none */
	uint64_t master_timeout_ns;    /* of what waits for a missed member; 0: see pccl_peer_misses() */
	uint32_t joint_timeout_ms;     /* of joint calls that not all members make; 0: none */
	uint8_t late;		       /* enum pccl_late: what becomes of those then */
	uint64_t seed;		       /* for the jitter of redials */
};

enum pccl_peer_event_type {
	PCCL_PEER_TICK,	     /* the deadline has come, or nothing in particular */
	PCCL_PEER_JOIN,	     /* the caller wants in; defers: not before READY */
	PCCL_PEER_READY,     /* it wants in now */
	PCCL_PEER_DIALLED,   /* the connection asked for by DIAL is up */
	PCCL_PEER_CLOSED,    /* it could not be made, or it broke: text says why; unfit: that will not change */
	PCCL_PEER_MESSAGE,   /* a message from the master; ownership passes to the machine */
	PCCL_PEER_VOTE,	     /* the caller makes a joint call; one at a time; answered by VOTED */
	PCCL_PEER_GIVE_UP,   /* pcclUpdateTopology(), joint call number `sequence`, must not go on, text says why: if it
				is outstanding it ends with pcclPendingAsyncOps, and counts as not made */
	PCCL_PEER_FROZEN,    /* FREEZE is done: the reports of the open ops; ownership passes to the machine */
	PCCL_PEER_LINK_LOST, /* a member can't be reached, redialling failed, or it is silent: uuid, lane, text */
	PCCL_PEER_LINK_HEARD, /* it was silent on that lane, and is no more: uuid, lane */
	PCCL_PEER_MET, /* a link to somebody of MEET is up or, text says why, lost: uuid, sequence (its number) */
	PCCL_PEER_LINK_BROKEN, /* no stream to a member is up on one lane, the last one broke: uuid, lane. It is dialled
				  again; told once more in each view that has the member */
	PCCL_PEER_LINK_MENDED, /* one is up again */
	PCCL_PEER_LINKED,      /* all links of the view of `epoch` are up, or have been */
	PCCL_PEER_EXPIRED,     /* an op's deadline passed: tag, sequence, text (who has not arrived). The master flushes
				the group with the same members: that op is COMMIT if all reporters are complete, else
				EXPIRE; every other open op goes on whatever its policy, for nobody was lost */
	PCCL_PEER_LEAVE	       /* the caller goes */
};

struct pccl_peer_event {
	enum pccl_peer_event_type type;
	uint64_t now_ns; /* monotonic */
	enum pccl_vote vote;
	struct pccl_message *message;
	uint32_t epoch; /* FROZEN: as asked by FREEZE; LINKED */
	uint64_t tag;
	uint32_t sequence;
	struct pccl_op_report *reports;
	uint32_t report_count;
	pcclRankUuid_t uuid;
	uint32_t lane; /* LINK_LOST, LINK_HEARD, LINK_BROKEN, LINK_MENDED */
	const char *text;
	bool unfit;	  /* CLOSED: the master and this side are not secured alike */
	bool defers;	  /* JOIN */
	uint64_t trip_ns; /* DIALLED: there and back over the connection; 0: not known */
	/* Any, while members are missed: what has waited for one of them the longest here, by a number of its own; 0:
	 * nothing does. */
	uint64_t blocked;
};

enum pccl_peer_action_type {
	PCCL_PEER_DIAL,	   /* connect to master number `master`; hang up any older connection */
	PCCL_PEER_SEND,	   /* `message` to the master; the taker frees it */
	PCCL_PEER_HANG_UP, /* close the connection to the master after what was sent */
	PCCL_PEER_FREEZE,  /* stop all transfers of the view in force, then answer FROZEN with `epoch` */
	PCCL_PEER_INSTALL, /* `install` is in force: apply the decisions, link up; borrowed until the next step */
	PCCL_PEER_MEET,	   /* make links to the strangers of `message`; answer MET for each; the taker frees it */
	PCCL_PEER_VOTED, /* the joint call has ended: `result`, `value`, `text`, `world`, and how many had until now */
	PCCL_PEER_ENDED	 /* the machine is GONE: `result` and `text` say why (pcclEvicted, pcclMasterConnectionFailed,
			      pcclTimeout, pcclSuccess after LEAVE) */
};

struct pccl_peer_action {
	enum pccl_peer_action_type type;
	uint32_t master;
	struct pccl_message *message;
	uint32_t epoch;
	const struct pccl_install *install;
	struct pccl_world world; /* VOTED: the same at all who made the call */
	pcclResult_t result;
	bool value;
	uint32_t joint; /* VOTED: calls answered since newcomers last joined */
	char text[PCCL_DETAIL_BYTES];
};

struct pccl_peer;

pcclResult_t pccl_peer_create(const struct pccl_peer_config *config, struct pccl_peer **peer_out);
void pccl_peer_destroy(struct pccl_peer *peer);

/* Takes one event. Actions queue up for pccl_peer_poll(); take them all before the next step. */
void pccl_peer_step(struct pccl_peer *peer, const struct pccl_peer_event *event);

/* Takes the next action; false: none. */
bool pccl_peer_poll(struct pccl_peer *peer, struct pccl_peer_action *action_out);

/* The members that this one misses, as bits by rank of the view in force: a link to them is broken, or nobody gets any
 * further, for a view change has begun; and there is no master to say what becomes of that. False: there are none. What
 * waits for them is told with each event (`blocked`); it ends with the machine after the master time-out, by default
 * twenty heartbeat time-outs, or the connect time-out if that is longer. */
bool pccl_peer_misses(const struct pccl_peer *peer, uint64_t missed_out[PCCL_MEMBERS_MAX / 64]);

/* When to send the next TICK; PCCL_NEVER: not needed. */
uint64_t pccl_peer_deadline(const struct pccl_peer *peer);

/* The state in words, for logs and time-outs: "waiting for admission to group 3 since ...". */
const char *pccl_peer_state(const struct pccl_peer *peer);

#endif
