/* The inside of a peer machine, shared by peer.c (events, actions), peer_link.c (the connection to a master),
 * peer_broken.c (members without links) and peer_flush.c (view changes). */
#ifndef PCCL_MEMBERSHIP_PEER_INTERNAL_H
#define PCCL_MEMBERSHIP_PEER_INTERNAL_H

#include "base/rng.h"
#include "membership/peer/peer.h"

#define PCCL_EXPIRED_MAX 64 /* ops of one view whose deadlines passed */

/* What the peer is to its group. */
enum pccl_peer_standing { PCCL_PEER_IDLE, PCCL_PEER_NEWCOMER, PCCL_PEER_MEMBER, PCCL_PEER_GONE };

/* How far it has come with a master. */
enum pccl_peer_link {
	PCCL_PEER_LINK_NONE,
	PCCL_PEER_LINK_BACKOFF,	    /* until redial_ns */
	PCCL_PEER_LINK_DIALLING,    /* until attempt_ns */
	PCCL_PEER_LINK_REGISTERING, /* REGISTER is sent; until attempt_ns */
	PCCL_PEER_LINK_UP	    /* WELCOME has come */
};

struct pccl_peer_queued {
	struct pccl_peer_action action;
	struct pccl_peer_queued *next;
};

struct pccl_peer {
	struct pccl_peer_config config;
	struct pccl_rng rng;
	uint64_t now_ns;      /* of the event being handled */
	uint64_t promised_ns; /* the deadline that the last step asked for */
	enum pccl_peer_standing standing;
	enum pccl_peer_link link;

	uint32_t master;      /* index of the one in use or tried next */
	uint32_t asked;	      /* masters that were asked in vain since JOIN or the last WELCOME of a known group */
	uint32_t failures;    /* attempts in a row that failed: the backoff */
	uint32_t tries;	      /* attempts that failed, from the beginning */
	uint32_t unfit_tries; /* in a row, at the end, that will fail for ever: security differs */
	uint32_t refused_by;  /* bits of the masters that have refused it since one took it last */
	uint32_t heard_tries; /* of them, until a master last said WELCOME */
	uint32_t vote_tries;  /* until the outstanding joint call had no master */
	uint64_t away_ns;     /* since when the master is lost; PCCL_NEVER: it is there, or none ever was */
	uint32_t stalls;      /* STALLED from this master */
	uint64_t quiet_ns;    /* when the last STALLED is long enough ago to be forgotten; PCCL_NEVER: there is none */
	uint64_t redial_ns;
	uint64_t attempt_ns;
	uint64_t patience_ns; /* the heartbeat time-out, both ways, over this connection or the last */
	uint64_t heard_ns;    /* when the master last said something */
	uint64_t beat_ns;     /* when to say something next */
	uint64_t up_ns;	      /* when the master said WELCOME */
	uint64_t roam_ns;     /* a lone founder: when to look in at another master */
	uint64_t connect_ns;  /* deadlines, PCCL_NEVER: none */
	uint64_t admission_ns;
	uint64_t stranded_ns;
	pcclRankUuid_t master_uuid;
	char trouble[PCCL_DETAIL_BYTES];   /* why the last attempt failed */
	char unmet[PCCL_CAUSE_TEXT_BYTES]; /* a newcomer: what it waits for */

	struct pccl_install *install;	   /* in force; NULL: none yet */
	struct pccl_message_passes passes; /* for the next one; owned */
	struct pccl_promise promises[PCCL_PROMISES_MAX];
	uint64_t promise_calls[PCCL_PROMISES_MAX]; /* by promise: the connection on which it was given, */
	uint64_t calls;				   /* of so many */
	uint32_t promise_count;
	bool freezing;		/* FREEZE is out */
	bool frozen;		/* FROZEN has come, `reports` are valid until the next install */
	uint32_t prepare_epoch; /* the PREPARE of this connection that is to be answered; 0: none */
	struct pccl_op_report *reports;
	uint32_t report_count;

	bool deferred;		     /* a newcomer that does not want in yet */
	uint8_t vote;		     /* outstanding joint call; 0: none */
	uint32_t round;		     /* of its votes on this connection */
	uint64_t vote_end_ns;	     /* there is no master: when to give it up; else PCCL_NEVER */
	uint8_t given_up;	     /* joint call that ended for lack of a master; 0: none. Made again it goes on, */
	bool given_up_done;	     /* or has its answer by the view that came meanwhile */
	struct pccl_answer answered; /* the last one that ended */
	struct pccl_world world;     /* as of the last answer or install */
	uint32_t complained[PCCL_MEMBERS_MAX]; /* by rank of the view in force: lanes that can't reach it, as bits */
	struct pccl_message_expired expired[PCCL_EXPIRED_MAX]; /* of the view in force */
	uint32_t expired_count;

	uint32_t broken_lanes
		[PCCL_MEMBERS_MAX];	    /* by rank of the view in force: lanes without a stream to it, as bits, */
	bool broken_told[PCCL_MEMBERS_MAX]; /* and whether the master believes that all are, */
	bool broken_untold;		    /* for some it may not be so */
	bool linked;			    /* all links have been up */
	uint32_t lanes;			    /* that have links: as in the view that last added members, or fewer */
	uint64_t broken_ns;		    /* when it may be told next */
	uint64_t blocked;		    /* what waits for a missed member, without a master; 0: nothing */
	uint64_t blocked_ns;		    /* when that has lasted for too long; else PCCL_NEVER */

	struct pccl_peer_queued *first;
	struct pccl_peer_queued *last;
	bool ending;   /* ENDED is still to be handed out */
	bool hang_up;  /* with a HANG_UP before it, */
	bool farewell; /* and LEAVE before that: nobody needs to wait for this one */
	pcclResult_t end_result;
	char end_text[PCCL_DETAIL_BYTES];
	char state_text[PCCL_DETAIL_BYTES];
};

/* peer.c */

/* Queues an action; out of memory ends the machine. */
void pccl_peer_push(struct pccl_peer *peer, const struct pccl_peer_action *action);

/* Queues a message; takes it. NULL: it could not be made, the machine ends. */
void pccl_peer_send(struct pccl_peer *peer, struct pccl_message *message);

/* The machine is GONE; the first cause stands. */
void pccl_peer_end(struct pccl_peer *peer, pcclResult_t result, const char *text);

/* The joint call ended. */
void pccl_peer_answer(struct pccl_peer *peer, const struct pccl_answer *answer);

/* Sends the outstanding joint call, if there is one. */
void pccl_peer_send_vote(struct pccl_peer *peer);
/* Whether it wants in. */
void pccl_peer_send_deferred(struct pccl_peer *peer);

/* A newcomer that had something to fetch wants in now. */
void pccl_peer_ready(struct pccl_peer *peer);

uint32_t pccl_peer_epoch(const struct pccl_peer *peer); /* in force; 0: none yet */

/* peer_link.c */
void pccl_peer_dial(struct pccl_peer *peer);
void pccl_peer_on_refused(struct pccl_peer *peer, const struct pccl_message_notice *notice);
void pccl_peer_on_dialled(struct pccl_peer *peer, uint64_t trip_ns);
void pccl_peer_on_closed(struct pccl_peer *peer, const char *text, bool unfit);
void pccl_peer_on_welcome(struct pccl_peer *peer, const struct pccl_message_welcome *welcome);
void pccl_peer_on_stalled(struct pccl_peer *peer, const struct pccl_message_notice *notice);

/* Gives this master up, says so if it may hear, and tries the next. */
void pccl_peer_abandon(struct pccl_peer *peer, const char *text);

/* The master has shown that it works for the group. */
void pccl_peer_link_good(struct pccl_peer *peer);
void pccl_peer_link_tick(struct pccl_peer *peer);
uint64_t pccl_peer_link_deadline(const struct pccl_peer *peer);

/* peer_broken.c */
void pccl_peer_on_broken(struct pccl_peer *peer, const pcclRankUuid_t *uuid, uint32_t lane, bool broken);

void pccl_peer_on_linked(struct pccl_peer *peer, uint32_t epoch);

/* Tells the master what has changed, if it may be told yet; or all, on a new connection. */
void pccl_peer_tell_broken(struct pccl_peer *peer);
void pccl_peer_tell_broken_anew(struct pccl_peer *peer);

/* There is another view. */
void pccl_peer_forget_broken(struct pccl_peer *peer);
uint64_t pccl_peer_broken_deadline(const struct pccl_peer *peer);

/* How long a member goes on without a master that can act, when something waits for one. */
uint64_t pccl_peer_stranded_for(const struct pccl_peer *peer);

/* After every event, with what it says is blocked. */
void pccl_peer_watch_blocked(struct pccl_peer *peer, uint64_t blocked);

/* peer_flush.c */
void pccl_peer_on_prepare(struct pccl_peer *peer, const struct pccl_message_prepare *prepare);
void pccl_peer_on_frozen(struct pccl_peer *peer, struct pccl_op_report *reports, uint32_t count);
void pccl_peer_on_passes(struct pccl_peer *peer, struct pccl_message_passes *passes);
void pccl_peer_on_install(struct pccl_peer *peer, struct pccl_message *message);
void pccl_peer_drop_install(struct pccl_peer *peer);

#endif
