/* Membership messages: what travels in PCCL_FRAME_MESSAGE between peer and master. Every layout and limit is
 * here and in docs/PROTOCOL.md. */
#ifndef PCCL_MEMBERSHIP_MESSAGE_H
#define PCCL_MEMBERSHIP_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pccl.h>

#include "membership/message/view.h"

#define PCCL_FORGIVEN_SHARE 8 /* own delays below this part of a time-out are part of it */
#define PCCL_PROMISES_MAX 16  /* masters that one peer may have made a promise to */

/* A joint call of the members of a group. Values are wire format. */
enum pccl_vote { PCCL_VOTE_NONE = 0, PCCL_VOTE_UPDATE = 1, PCCL_VOTE_PENDING = 2, PCCL_VOTE_OPTIMIZE = 3 };

/* What a message is. Values are wire format. */
enum pccl_message_type {
	/* peer to master */
	PCCL_MESSAGE_REGISTER = 1,  /* first on a connection */
	PCCL_MESSAGE_VOTE = 2,	    /* a joint call was made; of kind NONE: all before it have ended here.
				   From the master: make it again, in this round */
	PCCL_MESSAGE_PREPARED = 3,  /* all transfers of the old view have stopped; the open ops */
	PCCL_MESSAGE_COMPLAINT = 4, /* a member can't be reached */
	PCCL_MESSAGE_LEAVE = 5,	    /* I go for good */
	PCCL_MESSAGE_ABANDON = 6,   /* I live, but go to another master */
	PCCL_MESSAGE_EXPIRED = 8,   /* an op's deadline passed: end it everywhere */
	PCCL_MESSAGE_BROKEN = 9,    /* all links to a member have broken; or not all are any more */
	PCCL_MESSAGE_LINKED = 10,   /* links to all members are there, or have been */
	PCCL_MESSAGE_RETRACT = 11,  /* a member that could not be reached was heard again: no complaint any more */
	PCCL_MESSAGE_MET = 12,	    /* whether a link to somebody of MEET is up */
	PCCL_MESSAGE_PROOF = 13, /* on protected connections, before REGISTER: whose secret that is. For the shells */
	PCCL_MESSAGE_DEFER = 14, /* a newcomer does not want to be admitted yet; or it does after all */
	/* both ways */
	PCCL_MESSAGE_BEAT = 7, /* I live */
	/* master to peer */
	PCCL_MESSAGE_WELCOME = 16, /* the answer to REGISTER */
	PCCL_MESSAGE_REFUSED = 17, /* the other one; the connection ends */
	PCCL_MESSAGE_PREPARE = 18, /* a view change begins */
	PCCL_MESSAGE_INSTALL = 19, /* the view is in force */
	PCCL_MESSAGE_VOTED = 20,   /* a joint call has ended */
	PCCL_MESSAGE_EVICTED = 21, /* the group goes on without you; the connection ends */
	PCCL_MESSAGE_LATE = 24,	  /* a joint call is given up for now, members have not made it: it may be made again */
	PCCL_MESSAGE_PASSES = 23, /* what to show when calling members of the view that INSTALL brings next */
	PCCL_MESSAGE_MEET = 30,	  /* peers that may soon be in one view with this one: links to them, please */
	PCCL_MESSAGE_UNMET = 31,  /* a newcomer waits, and what for */
	PCCL_MESSAGE_STALLED = 22 /* this master can't act for your group: too few of its members are here */
};

/* A view that a master prepared with the peer's consent and whose INSTALL the peer has not seen: it may be in force
 * somewhere, so that no other master may decide without a majority of these members. */
struct pccl_promise {
	pcclRankUuid_t master;
	pcclRankUuid_t run;
	uint32_t epoch;
	uint32_t member_count;
	pcclRankUuid_t *members; /* in rank order; owned */
	struct pccl_seal seal;	 /* of that master, over all this and the group */
};

/* The outcome of a joint call. Joint calls are counted from the view that last added members, its `origin`: the first
 * one after it has sequence 1; 0: none has ended yet. */
struct pccl_answer {
	uint32_t origin; /* epoch */
	uint32_t sequence;
	uint8_t kind; /* enum pccl_vote */
	pcclResult_t result;
	bool value;
	struct pccl_world world; /* so that all who made the call know the same one */
	char text[PCCL_CAUSE_TEXT_BYTES];
};

struct pccl_message_register {
	uint32_t group;
	struct pccl_member self;   /* address "": as the master sees me */
	struct pccl_secret secret; /* of self.uuid's owner */
	uint64_t heartbeat_interval_ns;
	uint64_t heartbeat_timeout_ns;
	bool may_found;		     /* asked all masters it knows, and this is the first of its list */
	bool may_join;		     /* asked all, but the first has not answered for long: a founder that is alone */
	struct pccl_install *last;   /* a returning member's last install; NULL: a fresh peer; owned */
	struct pccl_answer answered; /* a returning member's last answered joint call */
	uint32_t promise_count;
	struct pccl_promise *promises; /* owned */
};

/* What becomes of members that have not made a joint call when its deadline has passed; the mildest first. Values are
 * wire format. */
enum pccl_late { PCCL_LATE_WAIT = 0, PCCL_LATE_FAIL = 1, PCCL_LATE_EVICT = 2 };

struct pccl_message_vote {
	uint8_t kind;	     /* enum pccl_vote */
	uint8_t late;	     /* enum pccl_late: what it wants to become of late members */
	uint32_t timeout_ms; /* after which a member is late; 0: never */
	uint32_t origin;
	uint32_t sequence;
	uint32_t round; /* grows with every connection of the peer's: its votes of one round are on one connection */
};

struct pccl_message_prepared {
	uint32_t epoch; /* of the PREPARE that is answered */
	uint32_t report_count;
	struct pccl_op_report *reports; /* owned */
};

struct pccl_message_complaint {
	uint32_t epoch; /* of the view in force at the sender */
	pcclRankUuid_t uuid;
	char text[PCCL_CAUSE_TEXT_BYTES];
};

struct pccl_message_retract {
	uint32_t epoch; /* of the view in force at the sender */
	pcclRankUuid_t uuid;
};

/* Says nothing by itself: a link that breaks is made again. But who has lost its connection to the master as well as
 * its links is dead. */
struct pccl_message_broken {
	uint32_t epoch; /* of the view in force at the sender */
	pcclRankUuid_t uuid;
	bool broken; /* else what was said before is taken back */
};

struct pccl_message_linked {
	uint32_t epoch; /* of the view in force at the sender */
};

struct pccl_message_expired {
	uint32_t epoch; /* of the view in force at the sender */
	uint64_t tag;
	uint32_t sequence;
	char text[PCCL_CAUSE_TEXT_BYTES]; /* who had not arrived */
};

struct pccl_message_welcome {
	pcclRankUuid_t master;		       /* new at every start */
	char address[PCCL_ADDRESS_TEXT_BYTES]; /* of the peer, as the master sees it */
	bool registered; /* false: no established group is known here, and the peer may not found one: try another */
};

struct pccl_message_prepare {
	pcclRankUuid_t run;
	uint32_t epoch;
	uint32_t member_count;
	pcclRankUuid_t *members; /* in rank order; owned */
	struct pccl_seal seal;	 /* over the promise that an answer to this is */
};

/* For the receiver alone; who is of the view before has those of its members. */
struct pccl_message_passes {
	uint32_t epoch;
	uint32_t first_rank;
	uint32_t count;
	struct pccl_pass *passes; /* by rank, from first_rank on; owned */
};

#define PCCL_MEET_PART 0u /* number of a MEET: these do not join, links to them end; nothing is answered */

/* What has come of an earlier one about the same peers counts no more. */
struct pccl_message_meet {
	uint32_t number;	    /* comes back in MET */
	bool dials;		    /* the receiver begins to dial, not the others */
	bool anew;		    /* links that there are go: with some of these it has failed before */
	struct pccl_view strangers; /* members only, with the receiver's passes */
};

struct pccl_message_met {
	uint32_t number;
	pcclRankUuid_t uuid;
	bool reached;
	char text[PCCL_CAUSE_TEXT_BYTES]; /* why not */
};

/* REFUSED, EVICTED, STALLED, UNMET. */
struct pccl_message_notice {
	pcclResult_t result;
	char text[PCCL_CAUSE_TEXT_BYTES];
};

union pccl_message_body {
	struct pccl_message_register registration;
	struct pccl_message_vote vote;
	struct pccl_message_prepared prepared;
	struct pccl_message_complaint complaint;
	struct pccl_message_retract retract;
	struct pccl_message_expired expired;
	struct pccl_message_broken broken;
	struct pccl_message_linked linked;
	struct pccl_message_welcome welcome;
	struct pccl_message_prepare prepare;
	struct pccl_message_passes passes;
	struct pccl_install install;
	struct pccl_answer voted;
	struct pccl_message_notice notice;
	struct pccl_message_meet meet;
	struct pccl_message_met met;
	bool deferred;
	struct pccl_proof proof;
};

/* Owned by whoever holds it; shared ones are read only. */
struct pccl_message {
	enum pccl_message_type type;
	uint32_t references; /* holders; the last one's destroy() frees it */
	union pccl_message_body body;
};

/* An empty message with one reference; NULL: out of memory. */
struct pccl_message *pccl_message_create(enum pccl_message_type type);

/* One more holder of the same message. */
struct pccl_message *pccl_message_share(struct pccl_message *message);

/* Gives one reference back. Takes NULL. */
void pccl_message_destroy(struct pccl_message *message);

/* Encodes into a fresh buffer of *bytes_out bytes (pccl_free). Returns pcclOutOfMemory; pcclInvalidArgument
 * beyond the limit of a frame. */
pcclResult_t pccl_message_encode(const struct pccl_message *message, uint8_t **data_out, size_t *bytes_out);

/* Decodes; everything comes from outside and is checked: pcclInvalidArgument, or pcclOutOfMemory. The caller owns
 * *message_out (pccl_message_destroy), which is NULL on failure. */
pcclResult_t pccl_message_decode(const uint8_t *data, size_t bytes, struct pccl_message **message_out);

/* What a master's seal is about, of a view and of a promise to be in one of the group. Only pcclOutOfMemory. */
pcclResult_t pccl_install_imprint(const struct pccl_install *install, struct pccl_imprint *imprint_out);
pcclResult_t pccl_promise_imprint(uint32_t group, const struct pccl_promise *promise, struct pccl_imprint *imprint_out);

/* The type in words, for logs. Static. */
const char *pccl_message_name(enum pccl_message_type type);

/* The public call's name of a vote. Static. */
const char *pccl_vote_name(uint8_t kind);

/* Frees what the promises own and their array. Takes NULL. */
void pccl_promises_destroy(struct pccl_promise *promises, uint32_t count);

/* A deep copy of one promise; on failure *to_out is zeroed. Returns pcclOutOfMemory. */
pcclResult_t pccl_promise_copy(const struct pccl_promise *from, struct pccl_promise *to_out);

#endif
