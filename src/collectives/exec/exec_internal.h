/* What the files of the executor share: its state, and who does what.
 *
 *	exec.c		life, views, what the carrier asks about ops
 *	exec_launch.c	an op comes in: its memory, its lists, what can be done at once
 *	exec_send.c	what goes out, and in which order
 *	exec_receive.c	what comes in
 *	exec_early.c	frames that come before their op is launched, or before there is room for them
 *	exec_reduce.c	contributions become sums and results
 *	exec_codec.c	the same with codecs, and where what is encoded waits
 *	exec_pack.c	payloads that travel compressed
 *	exec_credit.c	the arena, the windows of the ops, credit
 *	exec_end.c	how ops end
 *	exec_signature.c the payload of START
 *
 * Trust. What a rank says is checked by accept(), and by received() where it can have lost its meaning meanwhile; what
 * the master decides by op_cancel() and, before a repair is launched, by pccl_plan_create_repair(). Behind those
 * everything is our own: numbers that were counted here, lists that a plan has made, tokens that come back once because
 * the carrier says so once. Only that is asserted.
 *
 * Words. A segment of this lane's share has a number among them, its *local* number. The segments to which this rank
 * adds something have an *index*: their place in the order in which contributions are awaited (and sent, by every
 * sender).
 */
#ifndef PCCL_COLLECTIVES_EXEC_INTERNAL_H
#define PCCL_COLLECTIVES_EXEC_INTERNAL_H

#include "base/rng.h"
#include "collectives/codec/codec.h"
#include "collectives/exec/exec.h"

#if UINTPTR_MAX < UINT64_MAX
#error "tokens need pointers of 64 bits"
#endif

#define NONE UINT32_MAX
#define SIGNATURE_BYTES 26
#define OP_SLOTS 128 /* open ops, and those that still have to tell others that they failed */
#define OP_MASK_WORDS (OP_SLOTS / 64)
#define LEAVING_MAX (OP_SLOTS - PCCL_MAX_OPERATIONS)
#define KEY_BUCKETS 256
#define NOTES 1024 /* payloads of START frames; many times what can be unacknowledged */
/* Segments that can be in work at once, and how far credit goes beyond the first unfinished one: the rest is for what a
 * sender may send beyond its credit. */
#define SPAN 64
#define CREDIT_SPAN (SPAN - PCCL_EXEC_EAGER_FRAMES)
#define BLOCK_BYTES (512u << 10) /* of the arena; an op cuts its blocks into slots */
#define ALIGN_BYTES 64
#define EARLY_MAX 128  /* ops per rank that are not launched here */
#define REGIONS_MAX 80 /* ops per rank that have sent something before they should: open ones and some that failed */
#define ENDED_SETS 256 /* memory of ended ops: sets of four tags */
#define ENDED_WAYS 4

enum arrival { NOT_HERE, COMING, HERE };

/* A frame that had to be kept: in front of its payload in a region. */
struct stored {
	uint8_t type;
	uint8_t arrival; /* NOT_HERE: dropped, will come again */
	bool admitted;	 /* the op knows it: it was found to fit, and is counted as on its way or here */
	uint32_t segment;
	uint32_t bytes;
};

/* Room for what one rank sends of one op without being asked. */
struct region {
	uint8_t *memory;
	uint32_t used_bytes;
	uint32_t frames;
	uint32_t coming;
	struct region *next; /* free list */
};

/* Why an op can't go on. */
struct refusal {
	uint8_t reason; /* enum pccl_frame_refusal */
	uint32_t segment;
	uint32_t element; /* in it */
};

/* An op that a rank has launched and this one has not. */
struct early {
	struct pccl_op_key key;
	bool used;
	bool adopted; /* launched meanwhile; kept only until its START is here */
	bool doomed;  /* will never be launched; kept only until what is coming is here */
	bool refused;
	struct refusal refusal;
	uint8_t start_arrival;
	uint8_t start[SIGNATURE_BYTES];
	uint32_t start_credit;
	uint32_t joint; /* joint calls that its rank had made before */
	bool missed;	/* has been told */
	uint64_t age;
	struct region *region; /* NULL: none yet */
};

/* What is known about another rank, whatever the op. */
struct neighbour {
	/* ops that have something for it, by slot */
	uint64_t control[OP_MASK_WORDS];
	uint64_t results[OP_MASK_WORDS];
	uint64_t partials[OP_MASK_WORDS];
	uint32_t results_in_a_row;
	struct pccl_op_key parting[PCCL_MAX_OPERATIONS]; /* ops that have ended but for telling it DONE: a ring */
	uint32_t parting_first;
	uint32_t parting_count;
	uint32_t early_count;
	uint32_t region_count;
	struct early *early; /* EARLY_MAX */
	char violation[120]; /* what it did against the protocol, found after the fact; empty: nothing */
};

/* A rank as seen by one op. */
struct peer {
	/* what came from it */
	uint8_t start[SIGNATURE_BYTES];
	uint8_t start_arrival;
	bool started; /* its START is here and agrees */
	bool done;
	bool refused;
	struct refusal refusal;
	bool contributes; /* to sums that are made here */
	uint32_t start_credit;
	struct early *early; /* holds its START, which is coming */
	struct region *region;
	/* what goes to it */
	bool start_sent;
	bool done_sent;
	bool refuse_sent;
	uint32_t credit;	/* partials that it has room for, by index */
	uint32_t credit_told;	/* that it knows to have here */
	uint32_t partials_sent; /* index of the next one */
	uint32_t eager_bytes;	/* used up */
	uint32_t eager_frames;
	const uint32_t *items; /* routes whose contributions go to it, in order */
	uint32_t item_count;
	uint32_t item;	       /* the one being sent */
	uint32_t item_local;   /* next segment of it */
	uint32_t results_seen; /* of the op's log */
};

/* The codecs of an op, and its slots for what is encoded. */
struct coder {
	struct pccl_codec_params up;
	struct pccl_codec_params down;
	uint32_t slot_bytes;
	uint32_t slot_count;
	uint32_t slots_made;  /* slots that were used at least once are 0 ... slots_made - 1 */
	uint32_t *free_slots; /* a stack */
	uint32_t free_slot_count;
	uint32_t *uses;	   /* by slot: frames of it that are still to be acknowledged */
	uint32_t *slot_of; /* by local number: what is encoded of the segment now; NONE: nothing */
	uint8_t *memory;
	bool waiting; /* a segment whose contributions are all here had no slot for the result */
};

/* What an acknowledgement lets go of. */
enum token_kind {
	TOKEN_INERT = 0,
	TOKEN_SUM = 1,	   /* a partial sum */
	TOKEN_ENCODED = 2, /* a contribution or result, out of a slot of the op */
	TOKEN_PACKED = 3   /* a slot of the executor, and what that says */
};

/* A segment's payload on its way out. */
struct outgoing {
	uint32_t local;
	bool is_result; /* else a contribution: this rank's input, or a sum that it has made */
	bool is_sum;
	bool is_coded; /* a contribution's payload is there once it was encoded */
	enum token_kind kind;
	const void *payload;
	uint32_t bytes;
	uint32_t crc;  /* 0: by who carries it */
	uint32_t slot; /* it is packed in; NONE: it is not packed */
};

/* A packed payload that is still to be acknowledged, or its slot, which is free. */
struct packed {
	const struct op *op; /* NULL: free */
	uint32_t next;	     /* free list */
	uint32_t local;
	bool is_result;
	enum token_kind kind; /* of what it was made from */
	uint32_t uses;	      /* ranks that have not acknowledged it */
	uint32_t bytes;
	uint32_t crc;
};

/* A segment of this lane's share. */
struct place {
	uint32_t route;
	uint32_t index; /* NONE: nothing is added here */
};

/* A segment that is in work here. */
struct work {
	uint32_t arrived;  /* contributions of others */
	uint32_t sum_slot; /* of a partial sum that waits to be sent and acknowledged */
	bool closed;	   /* added up, and room is free again */
};

enum op_state {
	OP_OPEN,
	OP_ENDED,  /* waits to be polled */
	OP_LEAVING /* polled; still has to tell others that it has failed */
};

/* A result that goes out. */
struct logged {
	uint32_t local;
	uint32_t crc; /* of its payload, taken while that is in the cache, for all who get it; 0: by who carries it */
};

struct op {
	struct pccl_exec_launch launch;
	enum op_state state;
	uint64_t serial; /* order of launching */
	uint32_t slot;
	struct op *next_of_bucket;
	struct op *next_ended;
	uint8_t *note;	 /* payload of START */
	bool takes_slot; /* it was started; else it had nothing to do and ended at once */
	/* this lane's share */
	uint32_t first_segment;
	uint32_t local_count;
	uint32_t element_bytes;
	uint32_t partial_bytes; /* of an element in a partial sum */
	bool keeps_undo;
	struct place *places; /* by local number */
	uint64_t *held;	      /* by local number, as the next two */
	uint64_t *saved;      /* input is in undo */
	uint64_t *incoming;   /* a result is being received into output */
	uint32_t held_count;  /* of those that are needed */
	uint32_t needed_count;
	/* contributions */
	uint32_t fan_in; /* inputs of a sum, at most; 0: nothing is added here */
	uint32_t awaited_count;
	uint32_t *awaited; /* local number by index */
	uint32_t work_count;
	struct work *works;    /* of index i: i mod work_count */
	const void **inputs;   /* fan_in for each work */
	uint32_t *input_slots; /* likewise: the slot an input is in, NONE */
	uint32_t closed_first; /* all before this index are closed */
	uint32_t closed_count;
	/* room */
	bool all_eager;	       /* all contributions come without being asked: no room is needed */
	bool makes_sums;       /* partial sums that are passed on */
	uint64_t sure_age;     /* when all had started */
	uint32_t contributors; /* slots per segment */
	uint32_t window;       /* segments there is room for */
	uint32_t window_min;
	uint32_t window_wanted;
	uint32_t credit;     /* senders may send what has an index below */
	uint32_t open_below; /* indexes below credit that are not closed */
	uint32_t slot_bytes;
	uint32_t slots_per_block;
	uint32_t slots_made;  /* slots that were handed out at least once are 0 ... slots_made - 1 */
	uint32_t *free_slots; /* a stack */
	uint32_t free_slot_count;
	uint32_t *blocks; /* of the arena */
	uint32_t block_count;
	bool blocks_unsure; /* they were taken before all had started */
	uint8_t *scratch;   /* own memory instead, when the arena can't do; else NULL */
	/* results that go out, in the order in which they were ready */
	struct logged *log;
	uint32_t log_count;
	bool coded;	    /* at least one way */
	struct coder coder; /* if so */
	bool packs;	    /* some of its segments may travel compressed from here */
	bool unpacks;	    /* and to here */
	uint32_t *packed;   /* two for each local number, contribution and result: the slot it is in, or none */
	/* how far it is */
	uint32_t started_count;
	uint32_t done_count;
	uint32_t refused_count; /* ranks that told why */
	uint32_t receiving;	/* payloads that are on their way into its memory */
	bool complete;		/* all of the share is held, and all have started */
	bool failing;		/* an element can't be carried: ends when all have started */
	bool refusing;		/* tells others that it has failed */
	struct refusal refusal; /* why */
	bool released;		/* its scratch and what came early are given back */
	bool restores;		/* gives its input back when it is polled */
	uint32_t farewells;	/* ranks that it has still to tell so */
	uint64_t tx_bytes;
	uint64_t rx_bytes;
	pcclResult_t result;
	char detail[200];
	struct peer *peers;
};

struct ended {
	uint64_t tag;
	uint32_t sequence; /* the highest one that has ended */
	bool used;
	uint64_t age;
};

struct pccl_exec {
	struct pccl_exec_config config;
	uint32_t epoch; /* 0: none yet */
	uint32_t ranks;
	uint32_t rank;
	bool frozen;
	uint64_t clock; /* counts events, to tell older from younger */
	struct op *ops[OP_SLOTS];
	struct op *buckets[KEY_BUCKETS];
	uint32_t leaving_count;
	uint32_t joint;	 /* pcclUpdateTopology() that the caller waits in, or waited in last; 0: none */
	bool any_missed; /* perhaps */
	struct op *ended_first, *ended_last;
	struct op *reaped; /* polled, its memory is let go by the next poll */
	struct neighbour *neighbours;
	uint32_t pool_ranks; /* that the next four were made for; 0: not made */
	struct early *early_pool;
	uint32_t eager_bytes;
	struct region *regions;
	struct region *free_regions;
	uint8_t *region_memory;
	uint32_t block_count;
	uint8_t *arena;
	uint32_t *free_blocks; /* a stack */
	uint32_t free_block_count;
	uint32_t unsure_blocks; /* in use by ops that are not known to be launched everywhere */
	uint8_t *bounce;
	size_t bounce_bytes;
	struct pccl_lossless *lossless; /* NULL: nothing was launched that could need it */
	struct packed *pack_slots;	/* likewise */
	uint8_t *pack_memory;
	uint32_t pack_slot_count;
	uint32_t pack_free; /* the first free one; NONE */
	bool packed_last;   /* the last segment that was looked at got smaller */
	struct ended ended[ENDED_SETS][ENDED_WAYS];
	uint8_t notes[NOTES][SIGNATURE_BYTES];
	uint32_t next_note;
};

/* ---- exec.c: shares and places ----------------------------------------------------------------------------------- */

/* Open ops only. */
struct op *op_find(const struct pccl_exec *exec, uint64_t tag, uint32_t sequence);
uint32_t op_segment(const struct pccl_exec *exec, const struct op *op, uint32_t local);
/* False: the segment is none of this lane's share. */
bool op_local(const struct pccl_exec *exec, const struct op *op, uint32_t segment, uint32_t *local_out);
/* The share's segments before a segment: the local number that a run of segments begins or ends with. */
uint32_t op_local_before(const struct pccl_exec *exec, const struct op *op, uint32_t segment);
const struct pccl_route *op_route(const struct op *op, uint32_t local);
uint32_t op_elements(const struct pccl_exec *exec, const struct op *op, uint32_t local);
/* Where this rank's own input of a segment is now. */
const void *op_own(const struct pccl_exec *exec, const struct op *op, uint32_t local);
void *op_output(const struct pccl_exec *exec, const struct op *op, uint32_t local);
void *op_undo(const struct pccl_exec *exec, const struct op *op, uint32_t local);
/* Bytes of a segment in memory; of its result as it travels; and of a contribution or partial sum as it travels. */
uint32_t op_segment_bytes(const struct pccl_exec *exec, const struct op *op, uint32_t local);
uint32_t op_result_bytes(const struct pccl_exec *exec, const struct op *op, uint32_t local);
uint32_t op_partial_bytes(const struct pccl_exec *exec, const struct op *op, uint32_t local, bool is_sum);

/* ---- exec_signature.c -------------------------------------------------------------------------------------------- */

void signature_encode(const struct pccl_op_signature *signature, uint8_t out[SIGNATURE_BYTES]);
/* "all-reduce of 20 float32 (sum, direct)". */
void signature_describe(const uint8_t encoded[SIGNATURE_BYTES], char *text, size_t text_bytes);

/* ---- exec_send.c ------------------------------------------------------------------------------------------------- */

/* To be called for an op and a rank after anything that may give it something to send, or take it away. */
void refresh_control(struct pccl_exec *exec, struct op *op, uint32_t rank);
void refresh_results(struct pccl_exec *exec, struct op *op, uint32_t rank);
void refresh_partials(struct pccl_exec *exec, struct op *op, uint32_t rank);
/* The op has nothing for anybody any more. */
void refresh_nothing(struct pccl_exec *exec, const struct op *op);
void refresh_all(struct pccl_exec *exec, struct op *op);
/* What travels of a segment's result. */
const void *result_payload(const struct pccl_exec *exec, const struct op *op, uint32_t local);
/* DONE for an op that is about to go. False: no room; it has to stay. */
bool parting_add(struct neighbour *neighbour, const struct pccl_op_key *key);

/* ---- exec_early.c ------------------------------------------------------------------------------------------------ */

pcclResult_t early_install(struct pccl_exec *exec, uint32_t ranks);
void early_destroy(struct pccl_exec *exec);
void early_release(struct neighbour *neighbour, struct early *early);
/* NULL: none. */
struct early *early_find(const struct pccl_exec *exec, uint32_t rank, const struct pccl_op_key *key);
enum pccl_frame_verdict early_accept(struct pccl_exec *exec, uint32_t rank, const struct pccl_frame *frame,
				     void **destination_out);
void early_received(struct pccl_exec *exec, uint32_t rank, const struct pccl_frame *frame);
void early_dropped(struct pccl_exec *exec, uint32_t rank, const struct pccl_frame *frame);
/* Ops of this tag before the sequence will never be launched here. */
void early_purge(struct pccl_exec *exec, uint64_t tag, uint32_t sequence);

/* What is kept of the op, or on its way, becomes the op's. */
void early_adopt(struct pccl_exec *exec, struct op *op, uint32_t rank);

/* What a frame uses up of what may be sent without being asked. */
uint32_t eager_cost(uint32_t payload_bytes);
/* Takes room for a frame's payload; NULL: there is none, the sender has sent more than it may. */
void *region_store(struct pccl_exec *exec, uint32_t rank, struct region **region, const struct pccl_frame *frame,
		   struct stored **stored_out);
/* The stored frame of this type and segment that is in this state; NULL: none, or no region. */
struct stored *region_find(const struct region *region, const struct pccl_frame *frame, enum arrival arrival);
/* Is the frame here or on its way already? */
bool region_has(const struct region *region, const struct pccl_frame *frame);
/* All frames of a region: starts with NULL, ends with NULL. */
struct stored *region_next(const struct region *region, const struct stored *after);
void *stored_payload(struct stored *stored);
void region_free(struct pccl_exec *exec, uint32_t rank, struct region **region);

bool ended_before(const struct pccl_exec *exec, uint64_t tag, uint32_t sequence);
void ended_note(struct pccl_exec *exec, uint64_t tag, uint32_t sequence);

enum pccl_frame_verdict reject(uint32_t rank, const struct pccl_frame *frame, const char *what);

/* Is it a segment whose payload is packed? (A refusal's flags are something else.) */
static inline bool is_packed(const struct pccl_frame *frame)
{
	return pccl_frame_is_segment(frame) && (frame->flags & PCCL_FRAME_PACKED) != 0;
}

/* ---- exec_receive.c ---------------------------------------------------------------------------------------------- */

/* START of a rank is here: compares, and takes in what was kept because of its lack. */
void start_arrived(struct pccl_exec *exec, struct op *op, uint32_t rank);

/* ---- exec_reduce.c ----------------------------------------------------------------------------------------------- */

struct work *work_at(const struct op *op, uint32_t index);
const void **work_inputs(const struct op *op, uint32_t index);
uint32_t *work_slots(const struct op *op, uint32_t index);
void work_reset(struct op *op, uint32_t index);
/* The place of this rank's own input among the inputs of a sum. */
uint32_t own_position(const struct pccl_exec *exec, const struct pccl_route *route);
/* All contributions of this index are here, and there was no slot for its result so far. */
void result_retry(struct pccl_exec *exec, struct op *op, uint32_t index);
/* Another contribution of this index is here: adds up if it was the last one. */
void contribution_arrived(struct pccl_exec *exec, struct op *op, uint32_t index);
/* All contributions of this index are here, and there was no room for their sum so far. */
void sum_retry(struct pccl_exec *exec, struct op *op, uint32_t index);
/* Nobody else contributes. */
void sum_alone(struct pccl_exec *exec, struct op *op, uint32_t index);
/* The sum of this segment has been sent and is not needed any more. */
void sum_sent(struct pccl_exec *exec, struct op *op, uint32_t local);
/* Keeps the input that is about to be overwritten. */
void undo_save(struct pccl_exec *exec, struct op *op, uint32_t local);
/* Gives input back: all that was saved, or that of segments which are not held. */
void undo_restore(struct pccl_exec *exec, struct op *op, bool all);
/* The result of a segment is complete in `output`. */
void result_hold(struct op *op, uint32_t local);
/* Do several of the ranks get segments with a checksum? Then it is taken once. */
bool several_check(const struct pccl_exec *exec, const uint32_t *ranks, uint32_t count);
/* It is ready to be passed on. */
void result_log(struct pccl_exec *exec, struct op *op, uint32_t local, bool in_cache);
/* This rank's own input is the result: copies it to the output. */
void result_copy_own(struct pccl_exec *exec, struct op *op, uint32_t local);

/* ---- exec_codec.c ------------------------------------------------------------------------------------------------ */

/* Reads the codecs of the launch: pcclInvalidArgument, with a text, if there are no such codecs. */
pcclResult_t coder_init(const struct pccl_exec *exec, struct op *op);
/* How many slots the op needs; their memory; pcclOutOfMemory. */
void coder_plan(const struct pccl_exec *exec, struct op *op);
pcclResult_t coder_open(struct op *op);
void coder_close(struct op *op);
/* Room that encoding and adding need besides. */
size_t coder_bounce_bytes(const struct op *op);
/* Does this rank's contribution, or the result, of a segment travel encoded? What would not get smaller doesn't. */
bool contribution_is_coded(const struct pccl_exec *exec, const struct op *op, uint32_t local);
bool result_is_coded(const struct pccl_exec *exec, const struct op *op, uint32_t local);
uint32_t coded_contribution_bytes(const struct op *op, uint32_t elements);
uint32_t coded_result_bytes(const struct op *op, uint32_t elements);
/* What is encoded of a segment now; NULL: nothing. */
const void *encoded_memory(const struct op *op, uint32_t local);
/* Is there a slot to encode a segment into? */
bool coder_has_room(const struct op *op);
/* Encodes this rank's contribution for those it goes to. False: the codec can't carry it, and the op is failing. */
bool contribution_encode(struct pccl_exec *exec, struct op *op, uint32_t local);
/* A frame of what is encoded of a segment was acknowledged. */
void encoded_sent(struct pccl_exec *exec, struct op *op, uint32_t local);
/* All contributions of this index are here: the result of it, into `output`. False: there is no slot for it now, or the
 * op is failing. */
bool coded_reduce(struct pccl_exec *exec, struct op *op, uint32_t index);
/* Decodes a result that came into `output`, or was kept elsewhere, into `output`. */
void result_decode(struct pccl_exec *exec, struct op *op, uint32_t local, const void *encoded);

/* ---- exec_pack.c ------------------------------------------------------------------------------------------------- */

/* What may be packed of an op, here and elsewhere, and memory for that: pcclOutOfMemory. */
pcclResult_t pack_prepare(struct pccl_exec *exec, struct op *op);
void pack_open(struct op *op);
/* Gives the op's slots back. */
void pack_close(struct pccl_exec *exec, const struct op *op);
/* Ends the memory of all slots: no op has one. */
void pack_forget(struct pccl_exec *exec);
/* Puts the packed payload in place of the whole one, if that is worth while; `may`: the rank that it goes to has room
 * to unpack it. To be called once for each rank that the payload goes to. */
void pack_outgoing(struct pccl_exec *exec, struct op *op, bool may, struct outgoing *out);
/* A frame out of a slot was acknowledged: tells what it was made from. False: the slot is not the op's. */
bool pack_sent(struct pccl_exec *exec, struct op *op, uint32_t slot, uint32_t *local_out, enum token_kind *kind_out);
/* Will the next segment be packed? A guess. */
bool pack_is_likely(const struct pccl_exec *exec, const struct op *op);
/* May a payload of `whole_bytes` come as so few? */
bool packed_fits(const struct op *op, uint32_t bytes, uint32_t whole_bytes);
/* A packed payload is here: makes it whole. False: it can't be, and the rank has violated the protocol. */
bool unpack_contribution(struct pccl_exec *exec, struct op *op, uint32_t rank, uint32_t local, uint32_t position,
			 uint32_t bytes);
bool unpack_result(struct pccl_exec *exec, struct op *op, uint32_t rank, uint32_t local, uint32_t bytes);

/* ---- exec_credit.c ----------------------------------------------------------------------------------------------- */

pcclResult_t arena_install(struct pccl_exec *exec, uint32_t ranks);
void arena_destroy(struct pccl_exec *exec);
/* How much room an op can use. */
void window_plan(const struct pccl_exec *exec, struct op *op);
/* The first window; memory of its own if the op can't go without and the arena has none: pcclOutOfMemory. */
pcclResult_t window_open(struct pccl_exec *exec, struct op *op);
uint32_t window_blocks(const struct op *op, uint32_t window);
/* All ranks have started. */
void window_sure(struct pccl_exec *exec, struct op *op);
void window_close(struct pccl_exec *exec, struct op *op);
/* Gives as much credit as the window has room for. */
void credit_grow(struct pccl_exec *exec, struct op *op);
/* An index has been added up and is free. */
void credit_close(struct pccl_exec *exec, struct op *op, uint32_t index);
uint32_t slot_take(struct op *op);
void slot_give(struct op *op, uint32_t slot);
uint8_t *slot_memory(const struct pccl_exec *exec, const struct op *op, uint32_t slot);

/* ---- exec_end.c -------------------------------------------------------------------------------------------------- */

/* Ends the op if nothing is missing any more. To be called after every event that may have been the last. */
void op_settle(struct pccl_exec *exec, struct op *op);
/* Signatures differ: the op ends here, and tells the others. */
void op_mismatch(struct pccl_exec *exec, struct op *op, uint32_t rank);
/* Others refuse the op, or this rank does. */
void op_refused(struct pccl_exec *exec, struct op *op);
/* An element can't be carried: nothing is added or sent any more, and the op ends when all have started. */
void op_fail_element(struct pccl_exec *exec, struct op *op, enum pccl_frame_refusal reason, uint32_t local,
		     size_t element);
void op_cancel(struct pccl_exec *exec, struct op *op, pcclResult_t result, const char *detail, bool restore);
/* Puts an op that had nothing to do among the ended ones. */
void op_end_at_once(struct pccl_exec *exec, struct op *op);
/* Lets go of scratch and of what came early. The carrier has forgotten the op. */
void op_release(struct pccl_exec *exec, struct op *op);
/* Ends the memory of an op that nobody needs any more. */
void op_destroy(struct pccl_exec *exec, struct op *op);

#endif
