/* What members agree on: the view, and what is said about ops at a view change. Plain data with deep copies. */
#ifndef PCCL_MEMBERSHIP_VIEW_H
#define PCCL_MEMBERSHIP_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pccl.h>

#include "base/identity.h"
#include "base/links.h"

#define PCCL_MEMBERS_MAX 1024
#define PCCL_LANES_MAX 16					 /* per member */
#define PCCL_STREAMS_MAX 16					 /* per link */
#define PCCL_REPORTS_MAX PCCL_MAX_OPERATIONS			 /* open ops that one member may report */
#define PCCL_DECISIONS_MAX (PCCL_MEMBERS_MAX * PCCL_REPORTS_MAX) /* ops that one view change may decide */
#define PCCL_REPORT_SEGMENTS_MAX 65536				 /* of one op */
#define PCCL_CAUSE_TEXT_BYTES 200
#define PCCL_ADDRESS_TEXT_BYTES 64 /* "203.0.113.7" or "2001:db8::1": numeric, terminated */

#define PCCL_MEMBER_ADDRESSES_MAX 8

/* One of the addresses at which a member may be reached: "" as host means "as the master sees me", and is replaced
 * there. */
struct pccl_member_address {
	char host[PCCL_ADDRESS_TEXT_BYTES];
	uint16_t port;
};

/* One member as the others see it. */
struct pccl_member {
	pcclRankUuid_t uuid;
	struct pccl_member_address addresses[PCCL_MEMBER_ADDRESSES_MAX]; /* where it listens, the likeliest first */
	uint8_t address_count;
	uint16_t lanes; /* what it asked for */
	uint16_t streams;
	uint64_t bundle_id;
	uint32_t bundle_size;
	uint32_t masters;      /* how many masters it knows: with several, silence alone needs a quorum to evict */
	struct pccl_pass pass; /* to be shown when it is called; comes by PASSES, and never travels with the member */
};

/* The agreed members of a group in rank order. Survivors keep their relative order; newcomers come last. */
struct pccl_view {
	uint32_t group;
	uint32_t epoch;	  /* grows with every view of the group, may skip */
	uint16_t lanes;	  /* smallest of the members' */
	uint16_t streams; /* smallest of the members' */
	uint32_t member_count;
	struct pccl_member *members;
};

/* The world as the master saw it when it gave an answer or put a view in force. */
struct pccl_world {
	uint32_t peers;	 /* members of all groups */
	uint32_t groups; /* with at least one member */
	uint32_t largest_group;
};

/* Instead of a policy: nobody may redo the op. */
#define PCCL_POLICY_FAILED 0	 /* it has failed at this member by itself: a value can't be sent */
#define PCCL_POLICY_MISMATCHED 1 /* so it has, for members launched different things */
#define PCCL_POLICY_SPENT 2	 /* its input is given up here, and may be overwritten */

/* What one member says in the flush of one op that has not ended at it. */
struct pccl_op_report {
	uint64_t tag;
	uint32_t sequence;
	uint64_t signature;	   /* a hash of what all members must have called alike */
	uint8_t policy;		   /* pcclFailurePolicy_t, or PCCL_POLICY_FAILED, _MISMATCHED or _SPENT */
	bool repairable;	   /* an all-reduce: single segments can be redone */
	bool complete;		   /* holds every result and knows that every member launched it */
	pcclRankUuid_t root;	   /* of a broadcast or reduce, which can't be redone without it; else zeros */
	uint32_t participants_min; /* fewest and most contributions in any segment that it holds; 0: it holds none */
	uint32_t participants_max;
	uint16_t *participants; /* of each held segment, if these differ, else NULL; owned */
	uint32_t segment_count;
	uint64_t *held; /* bitmap of segment_count bits: segments whose result it holds; owned */
};

enum pccl_verdict {
	PCCL_VERDICT_COMMIT = 1,  /* all survivors hold everything: success */
	PCCL_VERDICT_ABORT = 2,	  /* all return pcclRankConnectionLost, input intact */
	PCCL_VERDICT_RETRY = 3,	  /* redo from the inputs in the new view */
	PCCL_VERDICT_REPAIR = 4,  /* held segments are final, the others are redone in the new view */
	PCCL_VERDICT_EXPIRE = 5,  /* its deadline passed (EXPIRE): all return pcclTimeout, input intact */
	PCCL_VERDICT_MISMATCH = 6 /* members launched different things: all return pcclMismatch, input intact */
};

/* What becomes of one op that was open at one member or more; the same for all. */
struct pccl_op_decision {
	uint64_t tag;
	uint32_t sequence;
	uint64_t signature;	   /* of the op that it is about, and of no other */
	uint8_t verdict;	   /* enum pccl_verdict */
	uint32_t participants_min; /* over all segments that somebody holds, as in the reports */
	uint32_t participants_max;
	uint16_t *participants; /* repair: of each of them, if these differ, else NULL; owned */
	uint32_t segment_count;
	uint32_t holder_count; /* repair: members of the new view, else 0 */
	uint64_t **holders;    /* repair: by rank of the new view, bitmap of held segments, NULL: none; owned */
};

/* One view change as it is told to a member, and kept by it until the next. */
struct pccl_install {
	struct pccl_view view;
	pcclRankUuid_t run;	 /* names the run: all views since the group was founded */
	uint32_t previous_epoch; /* of the view that the survivors come from; the decisions are about its ops */
	bool lone;		 /* the founder has been alone since: it has agreed on nothing with anybody */
	bool newcomers;		 /* members were added: no op was open, op sequences start again from 0 */
	uint32_t decision_count;
	struct pccl_op_decision *decisions; /* in order, none twice: see pccl_op_decision_compare() */
	struct pccl_world world;
	struct pccl_links links; /* between the members, for plans: the view's, so its epoch is their version */
	char cause[PCCL_CAUSE_TEXT_BYTES]; /* why the view changed, in words */
	struct pccl_seal seal;		   /* of the master that has made it, over all this but `world` */
};

/* Frees what the struct owns and zeroes it; takes zeroed memory. */
void pccl_view_fini(struct pccl_view *view);
void pccl_install_fini(struct pccl_install *install);
void pccl_op_decision_fini(struct pccl_op_decision *decision);
void pccl_op_reports_destroy(struct pccl_op_report *reports, uint32_t count);

/* Deep copies; on failure *to_out can be ended. Return pcclOutOfMemory. */
pcclResult_t pccl_view_copy(const struct pccl_view *from, struct pccl_view *to_out);
pcclResult_t pccl_install_copy(const struct pccl_install *from, struct pccl_install *to_out);

pcclResult_t pccl_op_report_copy(const struct pccl_op_report *from, struct pccl_op_report *to_out);
pcclResult_t pccl_op_decision_copy(const struct pccl_op_decision *from, struct pccl_op_decision *to_out);

/* Orders them by tag and sequence; 0: they are about the same op. */
int pccl_op_decision_compare(const struct pccl_op_decision *left, const struct pccl_op_decision *right);

/* 1 to PCCL_MEMBERS_MAX members, none without uuid, none twice? */
bool pccl_view_valid(const struct pccl_view *view);

/* Does the list have this one? */
bool pccl_member_has_address(const struct pccl_member *member, const char *host, uint16_t port);

/* Puts an address before the others, unless it is in the list; of too many the last one goes. */
void pccl_member_prepend_address(struct pccl_member *member, const char *host, uint16_t port);

/* Rank of a uuid in the view; false if it is no member. */
bool pccl_view_rank(const struct pccl_view *view, const pcclRankUuid_t *uuid, uint32_t *rank_out);

#endif
