/* The executor: one lane's share of all running ops of one communicator. Pure: no socket, clock, lock or thread; owned
 * by one lane (or by the simulator) and called by it only. It allocates at create, install and launch, never in
 * between.
 *
 * Pull model. Whoever moves the bytes asks pccl_exec_next() what to send to a rank when a stream to it can take more,
 * and tells what came in with pccl_exec_accept() (header read: where do the bytes go?) and pccl_exec_received() (all
 * there and the checksum right). Frames may arrive in any order across streams; each frame handed out by next() is
 * delivered exactly once to the other side's accept(), or the rank leaves the view.
 *
 * An op of one lane ends locally when (a) it holds every result segment of its share, has START from all ranks, and has
 * DONE from all: success (where results are verified DONE waits for CHECK from all, which have to agree); or (b) it is
 * cancelled (view change, timeout, abort), or signatures or results differ: failure. On failure in place, overwritten
 * input is restored from `undo`.
 *
 * Memory: partials wait in scratch slots of one arena; an op gets a window of slots at launch from the half of the
 * arena that is reserved for ops not known to be launched everywhere, and may get more once START has come from all
 * ranks (then the slots are sure to come back). Credit tells senders. What a peer may send of an op before START has
 * come is bounded by pccl_exec_eager_bytes(), for PCCL_EXEC_EAGER_OPS ops at a time. It is kept in a bounded pool until
 * its op is launched: that has room of its own for it.
 *
 * Codecs. A contribution is encoded once, when it is first handed out, its own owner's as well; the owner adds what it
 * decodes in rank order, encodes the result once, and decodes that as everybody does. So the bits of a result depend
 * neither on the plan nor on the lanes. What is encoded waits in a bounded number of slots per op until it is
 * acknowledged. A segment that would not get smaller travels plain; so do results that a repair sends again, for they
 * have been through the codec already. An element that a codec can't carry ends the op on every peer.
 *
 * The lossless stage is a second one, over whatever a segment's payload is: each sender decides for each segment, every
 * receiver can undo it.
 */
#ifndef PCCL_COLLECTIVES_EXEC_H
#define PCCL_COLLECTIVES_EXEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fail.h"
#include "base/frame.h"
#include "collectives/plan/plan.h"

#define PCCL_EXEC_EAGER_BYTES (264u << 10) /* of an op that a rank may send to another without being asked; at most */
#define PCCL_EXEC_EAGER_POOL_BYTES (33u << 20) /* of all ops, ranks and lanes of a communicator together */
#define PCCL_EXEC_EAGER_FRAMES 16	       /* likewise, per op and rank */
#define PCCL_EXEC_EAGER_OPS 64 /* that may do so at once, per rank: others wait until it has started them */
/* Ops that a rank may be told of and has not launched: see pccl_exec_announced_max(). */
#define PCCL_EXEC_ANNOUNCED_MOST 16384
#define PCCL_EXEC_ANNOUNCED_LEAST 4096
#define PCCL_EXEC_ANNOUNCED_ALL (1u << 20) /* by all ranks on all lanes, if each is left the least */
#define PCCL_CHECK_BYTES 16		   /* of what is compared of results */
#define PCCL_CHECK_PARTS_MAX 64		   /* that are compared by themselves: one for each rank, but no more */
#define PCCL_EXEC_PACKED_LEAST (4u << 10)  /* a payload with fewer bytes is never compressed */

struct pccl_exec;

/* Does this rank compress what it sends? */
enum pccl_packing {
	PCCL_PACK_NEVER = 0,
	PCCL_PACK_CHOOSE = 1, /* where it pays */
	PCCL_PACK_ALWAYS = 2  /* whatever gets smaller */
};

/* Whether compressing pays is a question of time, which is the carrier's. With choose NULL it never does. */
struct pccl_packer {
	/* Shall a segment of elements of this type be compressed? After a yes it is compressed at once, and learn()
	 * tells how many bytes became how many; 0: no fewer. */
	bool (*choose)(void *context, pcclDataType_t type);
	void (*learn)(void *context, pcclDataType_t type, uint32_t bytes, uint32_t packed_bytes);
	void *context;
};

struct pccl_exec_config {
	uint32_t lane;
	uint32_t lanes;		/* of the communicator; segment s belongs to lane (s + tag) mod lanes */
	size_t scratch_bytes;	/* arena for partials; raised to what the number of ranks needs */
	size_t encoded_bytes;	/* of one op that wait to be acknowledged, raised to two segments; 0: 16 MiB */
	uint32_t packed_slots;	/* segments of all ops that are compressed and wait likewise; 0: 16 for each rank */
	uint32_t announced_max; /* the same for all; 0: pccl_exec_announced_max() */
	uint32_t eager_most;	/* the same for all; no more than so many eager bytes; 0: any */
	struct pccl_packer packer;
	/* Does the carrier take checksums of segments for this rank? What goes to several that get one has it from
	 * here. NULL: for all. */
	bool (*checks)(void *context, uint32_t rank);
	void *checks_context;
};

/* Names one attempt of one op. */
struct pccl_op_key {
	uint64_t tag;
	uint32_t sequence; /* of that tag; grows from one op of the tag to the next */
};

/* How elements travel one way. All 0: plain. */
struct pccl_op_codec {
	uint8_t id;	/* enum pccl_codec_id */
	uint8_t target; /* pcclDataType_t, where the codec has one */
	uint16_t block; /* elements per scale, where the codec has blocks */
};

#define PCCL_ROOT_LOST UINT32_MAX /* as root: it was lost before this rank launched the op in this view */

/* What all peers must agree on; travels in START. Compared field by field; a difference ends the op on every peer. */
struct pccl_op_signature {
	uint8_t kind; /* enum pccl_collective */
	uint8_t datatype;
	uint8_t op;
	uint8_t algorithm; /* pcclPlan_t; 0 for a repair */
	uint8_t policy;
	uint8_t rounding;	   /* enum pccl_rounding; 0 if both travel plain */
	uint8_t verify;		   /* 1: members compare their results; in START the highest bit of rounding */
	struct pccl_op_codec up;   /* how contributions travel: all-reduce only, and not round a ring */
	struct pccl_op_codec down; /* how results travel */
	uint32_t root; /* where there is one; with PCCL_ROOT_LOST the op ends everywhere with pcclRankConnectionLost */
	uint64_t count;
	uint64_t received; /* where parts are moved, instead of codecs. What goes to another rank and comes from there
			    * is in the geometry, and the executor fills in both for each rank */
};

struct pccl_exec_launch {
	struct pccl_op_key key;
	uint32_t joint; /* joint calls that the caller had made when it launched the op; travels in START */
	struct pccl_op_signature signature;
	struct pccl_geometry geometry;
	uint32_t partner;	      /* of a transfer: the other end */
	const struct pccl_plan *plan; /* borrowed until the op has left (pccl_exec_poll) */
	const void *input;	      /* borrowed likewise; layout by kind, see pcclOperation_t */
	void *output;
	void *undo;	      /* what adds, in place: as large as the op's output region, keeps
				       * overwritten input; else NULL. In a repair: what the attempt before has kept */
	const uint64_t *held; /* repair: segments whose result `output` holds already; NULL none; copied */
	/* Error feedback with codecs, in the partial type; NULL: none. What contributions that travel encoded have left
	 * over of the op before, which is added to them; and room for what they leave over now, with one byte for each
	 * segment of the op, set when its part is there. An attempt that follows overwrites what one before has
	 * left. */
	const void *residual;
	void *residual_next;
	uint8_t *residual_made;
	bool poisons; /* what a codec with a target can't carry makes NaNs of its segment, and no failure */
	enum pccl_packing packing;
	uint32_t divisor; /* of an average: participants; 0: no division */
	const char *name; /* for texts, borrowed; NULL: its tag */
	void *cookie;	  /* comes back with the outcome; not NULL, differs from that of any other op */
};

/* How an op of this lane ended. */
struct pccl_exec_outcome {
	void *cookie;
	pcclResult_t result; /* pcclSuccess, pcclMismatch, pcclResultsDiffer, pcclInvalidArgument (a codec can't carry
			      * an element) and pcclRankConnectionLost (PCCL_ROOT_LOST), on every peer; or what it was
			      * cancelled with */
	uint64_t tx_bytes;   /* payload of PARTIALs and RESULTs, as it travels, without frame headers */
	uint64_t rx_bytes;
	char detail[PCCL_DETAIL_BYTES]; /* the cause in words; empty on success */
};

/* A sent frame's payload (struct pccl_frame_send) is borrowed until pccl_exec_sent(), or until the op is cancelled:
 * then the carrier must first have copied what it still needs (a half-sent frame must be finished on the wire) or
 * forgotten it. START and CHECK have neither cookie nor token: their payloads (26 and 16 bytes) have to be copied
 * before anything else happens here, and the frame must be delivered even if its op has ended.
 *
 * Verdicts of accept(): DISCARD for an old epoch or an op that has ended; HOLD for an epoch that is not installed here
 * yet (ask again after the next install); REJECT for what is against the protocol (pccl_fail_text() says how). */

/* What a rank may send of an op to another rank, on this lane, before START has come from there: PARTIALs, if all of
 * them fit, and RESULTs. Each frame costs its payload rounded up to 64 bytes, and 64. All ranks compute the same. */
uint32_t pccl_exec_eager_bytes(uint32_t ranks, uint32_t lanes);

/* How many ops may have been announced (START) to a rank on one lane that it has not announced itself. What is beyond
 * waits here, and goes on when that rank's START of it comes: so nobody need launch in the order of others. All ranks
 * compute the same. */
uint32_t pccl_exec_announced_max(uint32_t ranks, uint32_t lanes);

pcclResult_t pccl_exec_create(const struct pccl_exec_config *config, struct pccl_exec **exec_out);
void pccl_exec_destroy(struct pccl_exec *exec);

/* From the next install on the communicator has so many lanes, this one among them. No op may be open. */
void pccl_exec_relane(struct pccl_exec *exec, uint32_t lanes);

/* A new view is in force. No op may be open: cancel or finish them first. Forgets early frames of older epochs: no
 * payload may still be on its way into memory that accept() named. Returns pcclOutOfMemory. */
pcclResult_t pccl_exec_install(struct pccl_exec *exec, uint32_t epoch, uint32_t ranks, uint32_t rank);

/* Starts this lane's share of an op, in the view installed. The caller makes sure that the key is not in use. However
 * many are open, this one begins at once, as far as it goes without the others. On failure (pcclOutOfMemory,
 * pcclInvalidArgument for a codec that is unknown) nothing was started. An op without a segment for this lane ends at
 * once unless this is its home lane (tag mod lanes), which carries START and DONE of empty ops, or moves parts. */
pcclResult_t pccl_exec_launch(struct pccl_exec *exec, const struct pccl_exec_launch *launch);

/* From now on nothing of the view in force is sent or accepted any more. What is launched now has to be cancelled
 * before the install like all other ops. */
void pccl_exec_freeze(struct pccl_exec *exec);

/* What this lane holds of an op, for the flush: sets the bits of its own segments whose result is complete in `output`;
 * *complete_out: it has sent (or was entitled to send) DONE, that is holds all of its share, has handed out all parts,
 * and has START from all.
 * For ops whose outcome was not polled yet; for others it sets no bit and says false. */
void pccl_exec_report(const struct pccl_exec *exec, const void *cookie, uint64_t *held_bits, bool *complete_out);

/* Ends an open op now with `result` (pcclSuccess: the flush decided to commit; pcclMismatch comes of it if this lane
 * does not hold everything, and input comes back). The carrier has forgotten it: no payload is on its way into or out
 * of its memory. If it fails and undo was given, the input of everything that was overwritten is restored if `restore`,
 * else that of the segments that are not complete: a repair goes on from there. Its outcome is ready in
 * pccl_exec_poll() afterwards. Nothing happens if there is no such op. */
void pccl_exec_cancel(struct pccl_exec *exec, const void *cookie, pcclResult_t result, const char *detail,
		      bool restore);

/* The ranks that an open op still waits for: those without START, or when all have started those without DONE. Sets
 * bits. False: they have not started it. */
bool pccl_exec_waits_for(const struct pccl_exec *exec, const void *cookie, uint64_t *rank_bits);

/* The caller waits in pcclUpdateTopology(), its joint call number `joint`. An op that another rank has launched after
 * fewer joint calls, and this one has not, is missed: that rank waits for this one, and this one for it. */
void pccl_exec_await_update(struct pccl_exec *exec, uint32_t joint);

/* Takes the next op that is missed; false: none. Each is told once per call of pccl_exec_await_update(). */
bool pccl_exec_missed(struct pccl_exec *exec, struct pccl_op_key *key_out);

/* Next frame for a rank; false: nothing now. Small frames come first. Never hands out what the receiver has no room
 * for. */
bool pccl_exec_next(struct pccl_exec *exec, uint32_t rank, struct pccl_frame_send *send_out);

/* Takes a rank for which there is something new since it was taken last; false: none. For who carries it, after each
 * event: whoever pulls until there is nothing, or no room, and pulls again when there is room, need not look at the
 * others. */
bool pccl_exec_ready(struct pccl_exec *exec, uint32_t *rank_out);

/* Is there something for the rank? Cheap. */
bool pccl_exec_wants(const struct pccl_exec *exec, uint32_t rank);

/* The other side has the frame (acknowledged): its payload is not needed any more. Tokens of ops that have ended are
 * ignored. */
void pccl_exec_sent(struct pccl_exec *exec, void *token);

/* A header came from `rank`. TAKE: *destination_out is where payload_bytes go (NULL when there are none). Everything in
 * the frame is checked here: it comes from outside. */
enum pccl_frame_verdict pccl_exec_accept(struct pccl_exec *exec, uint32_t rank, const struct pccl_frame *frame,
					 void **destination_out);

/* The payload of an accepted frame is there and its checksum right: act on it (reduce, forward, finish). Also called
 * for accepted frames without payload. */
void pccl_exec_received(struct pccl_exec *exec, uint32_t rank, const struct pccl_frame *frame);

/* The payload of an accepted frame will not come on this stream (it broke): take back what accept() reserved; the frame
 * will come again. */
void pccl_exec_dropped(struct pccl_exec *exec, uint32_t rank, const struct pccl_frame *frame);

/* Whose outcome poll() tells next, and which: its cookie; NULL: none. The carrier forgets that op now, as before a
 * cancel: after a failure poll() gives back the input of what was overwritten, which may be half sent; after a success
 * nothing of it is under way but to who has lied that it has all. */
void *pccl_exec_ending(struct pccl_exec *exec, pcclResult_t *result_out);

/* Takes the next outcome; false: none. After it the op's buffers are not touched any more. The next call of this or of
 * pccl_exec_ending() lets the op's scratch go. */
bool pccl_exec_poll(struct pccl_exec *exec, struct pccl_exec_outcome *outcome_out);

#endif
