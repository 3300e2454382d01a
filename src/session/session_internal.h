/* What the files of the session share. */
#ifndef PCCL_SESSION_INTERNAL_H
#define PCCL_SESSION_INTERNAL_H

#include "session/session.h"
#include "session/session_sequence.h"
#include "session/spares.h"

/* One try of an op in one view: the executors' cookie. */
struct pccl_attempt {
	struct pccl_op *op;
	struct pccl_plan *plan;
	uint64_t *held; /* of a repair: what was final when it began; NULL: none */
	uint32_t epoch;
	struct pccl_op_key key;
	uint32_t lanes; /* of the view */
	uint32_t lanes_used;
	uint32_t lanes_open;   /* that have not let go yet */
	uint32_t pins;	       /* commands that name the attempt and were not carried out yet */
	uint64_t *lanes_ended; /* bitmap by lane */
	bool cancelled;
	bool superseded;		/* another attempt follows: its outcomes are not the op's */
	bool restore;			/* when cancelled: the input of what was overwritten comes back */
	char detail[PCCL_DETAIL_BYTES]; /* when cancelled: why */
	bool expiring;			/* EXPIRE has been commanded */
	struct pccl_command *commands;	/* LAUNCH and CANCEL of each lane, then EXPIRE */
	struct pccl_attempt *next, *before;
};

/* A decision about an op that this peer has not launched yet. */
struct pccl_verdict_note {
	struct pccl_op_decision decision;
	struct pccl_verdict_note *next;
};

/* Reads what a request says of parts. pcclInvalidArgument, pcclOutOfMemory. */
pcclResult_t pccl_session_make_parts(const struct pccl_session *session, const struct pccl_op_request *request,
				     struct pccl_op *op);
void pccl_session_cut_parts(const struct pccl_session *session, struct pccl_op *op);
/* Of an op whose view is not in force any more nothing is left, and it has lost its root. */
void pccl_session_fit_parts(const struct pccl_session *session, struct pccl_op *op);

/* session_check.c */
/* Everything about the request that is wrong by itself or in the state of the communicator. */
pcclResult_t pccl_session_check(const struct pccl_session *session, const struct pccl_op_request *request);
/* The whole buffer's; the view may have grown since the launch. */
pcclResult_t pccl_session_check_size(const struct pccl_session *session, const struct pccl_op_request *request);
/* Of two buffers that have bytes. */
bool pccl_session_overlap(const void *a, uint64_t a_bytes, const void *b, uint64_t b_bytes);
/* The policy that an operation has in the end. */
pcclFailurePolicy_t pccl_session_policy(const struct pccl_session *session, const pcclOperation_t *operation);
/* Is what has this epoch of another view than the one in force? Views with the same members count as one. */
bool pccl_session_is_late(const struct pccl_session *session, const struct pccl_op_request *request);

/* Without whom an op can't be redone: its root, or the sender. */
const pcclRankUuid_t *pccl_session_source(const struct pccl_session *session, const struct pccl_op *op);
/* Puts the marks of a transfer, or of what is none, into the hash of a call. */
uint64_t pccl_session_mark(const struct pccl_session *session, const struct pccl_op *op, uint64_t signature);
/* May this rank of a view be one that launches what has this signature? */
bool pccl_session_concerns(const struct pccl_view *view, uint32_t rank, uint64_t signature);
/* The rank of a transfer's other end. pcclRankConnectionLost: it is gone. */
pcclResult_t pccl_session_fit_transfer(const struct pccl_session *session, struct pccl_op *op);

#define PCCL_NOTES_MAX 262144 /* such ops: until newcomers join, or they are launched */
#define PCCL_NOTE_BUCKETS 16384
#define PCCL_FAILED_MAX 4096

/* Ops that failed here by themselves, between view changes: others may not have heard, and must not redo them alone. */
struct pccl_failed_ops {
	struct pccl_failed_op {
		struct pccl_op_key key;
		uint64_t signature;
		uint8_t policy; /* PCCL_POLICY_FAILED or _MISMATCHED */
		uint32_t segment_count;
	} ops[PCCL_FAILED_MAX];
	uint32_t count; /* of all that were noted; the latest are kept */
};

/* Rounds in which members forget tags together: session_forget.c. */
struct pccl_forgetting {
	uint32_t due;	    /* rounds to be made, the running one among them */
	uint32_t round;	    /* that runs or comes next, since newcomers last joined */
	uint32_t room;	    /* tags that a member may tell in it; 0: not set yet */
	struct pccl_op *op; /* of the running one, in `ops` as well; NULL */
};

struct pccl_session_meeting {
	pcclRankUuid_t uuid;
	uint32_t number; /* of the last MEET about it */
	uint32_t lanes_up;
};

struct pccl_session {
	struct pccl_session_config config;
	uint32_t epoch; /* 0: no view yet */
	uint32_t ranks;
	uint32_t rank;
	pcclRankUuid_t *members; /* by rank */
	uint32_t members_since;	 /* epoch of the first view with just these members, in this order */
	struct pccl_links links; /* of the view, as the members */
	uint32_t lanes;		 /* of the view */
	uint32_t cut_for_ranks;	 /* members when newcomers last joined: all agree, so all cut ops alike until then */
	bool frozen;
	uint32_t lanes_to_collect;
	struct pccl_op *ops; /* unreleased, newest first */
	uint32_t op_count;
	uint64_t listed;	       /* ops, so far */
	struct pccl_op **by_tag;       /* buckets of them */
	size_t by_tag_room;	       /* a power of two, or 0 */
	struct pccl_attempt *attempts; /* that some lane still holds */
	struct pccl_verdict_note *notes[PCCL_NOTE_BUCKETS];
	uint32_t note_count;
	struct pccl_sequences sequences;
	uint32_t unnumbered; /* ops that wait */
	uint32_t era;	     /* how often newcomers have joined */
	struct pccl_forgetting forgetting;
	struct pccl_failed_ops failed;
	uint32_t joint;		   /* calls made since newcomers last joined */
	bool updating;		   /* the caller waits in pcclUpdateTopology() */
	struct pccl_spares spares; /* for `undo` of ops */
	pcclResult_t end_result;   /* after pccl_session_end() */
	char end_detail[PCCL_DETAIL_BYTES];
	struct pccl_session_meeting *meetings; /* peers that lanes have links to, or try to, and that are no members */
	uint32_t meeting_count;
	struct pccl_command *freezes; /* by lane */
	struct pccl_command *first, *last;
};

/* session_attempt.c */

/* Starts an attempt of the op in the view in force: a plain one, or the repair that `decision` describes (else
 * NULL). */
pcclResult_t pccl_attempt_start(struct pccl_session *session, struct pccl_op *op,
				const struct pccl_op_decision *decision);
/* Tells all lanes that still hold the attempt to let go of it. Its outcomes go to the op, unless `supersede`. */
void pccl_attempt_cancel(struct pccl_session *session, struct pccl_attempt *attempt, pcclResult_t result,
			 const char *detail, bool restore, bool supersede);
bool pccl_attempt_on_lane(const struct pccl_attempt *attempt, uint32_t lane);
void pccl_attempt_free(struct pccl_attempt *attempt);

/* session.c */
/* Does the whole buffer grow with the number of members? Such an op ends when one is lost. */
bool pccl_session_is_by_rank(enum pccl_collective kind);
/* Before an attempt: fits the op to the view, which may be smaller than the one it was launched in. The root of a
 * broadcast may have another rank; PCCL_ROOT_LOST: it is gone. pcclOutOfMemory. */
pcclResult_t pccl_session_fit(const struct pccl_session *session, struct pccl_op *op);
/* Memory for what results overwrite; nothing if the op has it, or is not in place. pcclOutOfMemory. */
pcclResult_t pccl_session_take_undo(struct pccl_session *session, struct pccl_op *op);
void pccl_session_command(struct pccl_session *session, struct pccl_command *command, enum pccl_command_type type,
			  uint32_t lane);
void pccl_session_op_fail(struct pccl_session *session, struct pccl_op *op, pcclResult_t result, const char *detail);
void pccl_session_op_end(struct pccl_session *session, struct pccl_op *op, pcclResult_t result, const char *detail);

pcclResult_t pccl_session_op_create(struct pccl_session *session, const struct pccl_op_request *request,
				    struct pccl_op **op_out);
void pccl_session_op_free(struct pccl_op *op);
/* Puts the op into the table. False: out of memory. */
bool pccl_session_list(struct pccl_session *session, struct pccl_op *op);
/* The number that the tag's next op will have. */
uint32_t pccl_session_next(const struct pccl_session *session, uint64_t tag);

/* session_forget.c */
/* A caller's op has ended. */
void pccl_session_forget_after(struct pccl_session *session, const struct pccl_op *op);
/* An op of the library's begins an attempt: writes what this peer tells. pcclOutOfMemory. */
pcclResult_t pccl_session_forget_tell(const struct pccl_session *session, struct pccl_op *op);
/* Frees its buffers. */
void pccl_session_forget_free(const struct pccl_op *op);
/* One has ended; frees it. */
void pccl_session_forget_ended(struct pccl_session *session, struct pccl_op *op);
/* Newcomers have joined. */
void pccl_session_forget_anew(struct pccl_session *session);
/* Tries again what lacked memory. */
void pccl_session_forget_if_due(struct pccl_session *session);

/* session_verdict.c */
uint64_t pccl_session_signature(const struct pccl_op *op);
/* What a decision means for the op in a view of so many ranks: PCCL_VERDICT_MISMATCH if it is about another one. */
uint8_t pccl_session_verdict(const struct pccl_op *op, const struct pccl_op_decision *decision, uint32_t ranks);
/* In words; returns `text`. */
const char *pccl_session_mismatch_text(const struct pccl_op *op, char *text, size_t text_bytes);

/* session_participants.c */
/* Whose contributions the op's next attempt will have: those of the members of the view, and in what `repair` (else
 * NULL) says is held already, those that it has. pcclOutOfMemory. */
pcclResult_t pccl_session_count_participants(const struct pccl_session *session, struct pccl_op *op,
					     const struct pccl_op_decision *repair);
/* What a report says of the segments that are held here. pcclOutOfMemory. */
pcclResult_t pccl_session_report_participants(const struct pccl_op *op, struct pccl_op_report *report);

/* session_update.c */

/* What an op that is launched now has before it: a call that is under way counts as well. */
uint32_t pccl_session_joint_calls(const struct pccl_session *session);
/* Tells the lanes, in every view, which update the caller waits in. */
void pccl_session_tell_update(struct pccl_session *session);

/* session_meet.c */

/* Who is a member now needs no meeting. */
void pccl_session_meetings_end(struct pccl_session *session, const struct pccl_view *view);

/* session_codec.c */

/* Room for what the op's contributions leave over, if the caller wants to keep that. pcclInvalidArgument: in one of the
 * op's own buffers; pcclOutOfMemory. */
pcclResult_t pccl_session_take_residual(struct pccl_op *op);

/* session_flush.c */
struct pccl_verdict_note *pccl_session_note_take(struct pccl_session *session, const struct pccl_op_key *key);
void pccl_session_notes_clear(struct pccl_session *session, bool keep_aborts);
void pccl_verdict_note_free(struct pccl_verdict_note *note);
/* Acts on a decision: the op has no running attempt. The second acts on what is noted, if anything is. Both give the op
 * its number, if it has none. */
void pccl_session_resolve(struct pccl_session *session, struct pccl_op *op, const struct pccl_op_decision *decision);
void pccl_session_resolve_noted(struct pccl_session *session, struct pccl_op *op);

#endif
