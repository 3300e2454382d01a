/* The state of the executor: for its own files, by way of exec_internal.h. */
#ifndef PCCL_COLLECTIVES_EXEC_STATE_H
#define PCCL_COLLECTIVES_EXEC_STATE_H

#include "base/rng.h"
#include "collectives/codec/codec.h"
#include "collectives/exec/exec.h"

#if UINTPTR_MAX < UINT64_MAX
#error "tokens need pointers of 64 bits"
#endif

#define NONE UINT32_MAX
#define SIGNATURE_BYTES 26
#define PLACES_MIN 128	 /* of the table of ops; a multiple of 64 */
#define LEAVING_MAX 4096 /* ops that have failed and still have to tell others so */
#define SPARES_MAX 64
#define SPAN 64 /* segments that can be in work at once, and how far credit goes beyond the first unfinished */
#define BLOCK_BYTES (512u << 10) /* of the arena; an op cuts its blocks into slots */
#define ALIGN_BYTES 64
#define EARLY_SPARE 64 /* entries for ops that a rank has given up, besides those that it has announced */
#define EARLY_BUCKETS 4096
#define REGIONS_MAX (PCCL_EXEC_EAGER_OPS + 16) /* per rank: some are of ops that have failed */
#define ENDED_WAYS 4			       /* memory of ended ops: tags in a set */

enum arrival { NOT_HERE, COMING, HERE, PLACED };

/* A frame that had to be kept: in front of its payload in a region. */
struct stored {
	uint8_t type;
	uint8_t arrival; /* NOT_HERE: dropped, will come again; PLACED: copied to where it belongs */
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
	uint32_t rank;
	uint32_t next; /* of its bucket, or free: an index among all ranks' */
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

/* Half of a SHA-256. */
struct check {
	uint8_t data[PCCL_CHECK_BYTES];
};

/* Per rank, sets of ops. */
enum lot {
	LOT_CONTROL, /* have something to send, as the next two */
	LOT_RESULTS,
	LOT_PARTIALS,
	LOT_STARTS, /* wait until they may be announced */
	LOT_EAGER,  /* wait until they may send without being asked */
	LOTS
};

/* What is known about another rank, whatever the op. */
struct member {
	uint32_t announced; /* ops whose START may go there, or has, and has not come from there */
	uint32_t eager_ops; /* of them, those that may send more without being asked */
	uint32_t results_in_a_row;
	uint32_t parting_first; /* of the table's partings; counts on, modulo its room */
	uint32_t parting_count;
	struct early *early; /* exec->early_room */
	uint32_t early_count;
	uint32_t early_made; /* that were used at least once are 0 ... early_made - 1 */
	uint32_t early_free; /* of them; NONE: none */
	uint32_t region_count;
	char violation[120]; /* what it did against the protocol, found after the fact; empty: nothing */
};

/* A rank as seen by one op. */
struct peer {
	/* what came from it */
	uint8_t start[SIGNATURE_BYTES];
	uint8_t start_arrival;
	bool started; /* its START is here and agrees */
	bool done;
	uint64_t checks_coming; /* parts, as bits: on their way, or here */
	uint64_t checks_here;
	uint32_t checks_equal;
	bool refused;
	struct refusal refusal;
	bool contributes;    /* to sums that are made here */
	uint64_t sent_count; /* elements of the parts that go there and come from there; 0: there is none */
	uint64_t received_count;
	uint32_t received_first; /* segment of the latter, as the next */
	uint32_t received_segments;
	bool absent; /* it has no part in the op */
	uint32_t start_credit;
	struct early *early; /* holds its START, which is coming */
	struct region *region;
	/* what goes to it */
	bool announced; /* counted by the neighbour, as the next */
	bool eager;
	bool start_sent;
	uint32_t checks_sent;
	bool done_sent;
	bool refuse_sent;
	uint32_t credit;	/* partials that it has room for, by index */
	uint32_t credit_told;	/* that it knows to have here */
	uint32_t partials_sent; /* index of the next one */
	uint32_t eager_bytes;	/* used up */
	uint32_t eager_frames;
	const uint32_t *items; /* routes whose contributions go to it, in order */
	uint32_t item_count;
	bool goes_unasked;     /* all of them may be sent before there is credit */
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
	uint32_t place;	 /* in the table */
	uint32_t handle; /* likewise */
	struct op *next_of_key, *next_of_cookie;
	struct op *next_ended;
	uint8_t signature[SIGNATURE_BYTES]; /* payload of START */
	bool takes_place;		    /* it was started; else it had nothing to do and ended at once */
	uint32_t others;		    /* ranks that have a part in it, besides this one */
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
	uint32_t eager_window; /* all contributions come without being asked: they have room of its own; else 0 */
	bool makes_sums;       /* partial sums that are passed on */
	bool moves_sums;       /* makes them, or gets them from others: contributions may be wider than elements */
	struct hungry *hungry; /* the list it is in; NULL: none */
	struct op *hungry_next, *hungry_before;
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
	uint8_t *scratch;   /* own memory instead, when the arena can't do or need not; else NULL */
	size_t scratch_bytes;
	/* results that go out, in the order in which they were ready */
	struct logged *log;
	uint32_t log_count;
	uint32_t owed;	    /* of what moves parts: results that were not handed out yet */
	bool coded;	    /* at least one way */
	struct coder coder; /* if so */
	bool packs;	    /* some of its segments may travel compressed from here */
	bool unpacks;	    /* and to here */
	uint32_t *packed;   /* two for each local number, contribution and result: the slot it is in, or none */
	/* what is compared, if it verifies */
	bool verifies;
	struct check *digests; /* of results, by local number */
	struct check *checks;  /* over them: verify_parts() of each rank, its own ones included */
	/* how far it is */
	uint32_t started_count;
	uint32_t checked_count; /* ranks that have the same result */
	uint32_t done_count;
	uint32_t refused_count; /* ranks that told why */
	uint32_t receiving;	/* payloads that are on their way into its memory */
	bool checking;		/* all of the share is held, and is being compared with that of others */
	bool complete;		/* all of the share is held, all parts are handed out, and all have started; and have
				 * the same, if it verifies */
	bool failing;		/* an element can't be carried, or results differ: ends when all have started */
	bool refusing;		/* tells others that it has failed */
	struct refusal refusal; /* why */
	bool released;		/* its scratch and what came early are given back */
	bool restores;		/* gives its input back when it is polled */
	uint32_t farewells;	/* ranks that it has still to tell so */
	uint64_t tx_bytes;
	uint64_t rx_bytes;
	pcclResult_t result;
	char detail[PCCL_DETAIL_BYTES];
	struct peer *peers;
};

struct ended {
	uint64_t tag;
	uint32_t sequence; /* the highest one that has ended */
	bool used;
	uint64_t age;
};

/* What an acknowledgement names. */
struct handle {
	struct op *op;	     /* NULL: free */
	uint32_t generation; /* of ops that it has stood for */
	uint32_t next;	     /* free list */
};

struct table {
	uint32_t room;	/* places, handles, buckets; a power of two */
	uint32_t count; /* ops that have a place */
	uint32_t next;	/* places below are in use, or were */
	struct op **places;
	struct op **by_key;    /* open ones; buckets */
	struct op **by_cookie; /* those that were not polled; buckets */
	struct handle *handles;
	uint32_t handle_free; /* NONE: none */
	uint32_t handles_made;
	struct ended *ended; /* ENDED_WAYS for each set */
	uint64_t *lots;	     /* LOTS for each rank, see exec_table.c */
	uint32_t summary;    /* words of a lot that say which of the rest are not 0; depends on the room, as the next */
	uint32_t lot_words;
	/* Ops of which a rank is still to be told DONE though they have ended: a ring of `room` for each rank. While
	 * one has some, no START goes there, so they were open at one time, and there is room. */
	struct pccl_op_key *partings;
};

/* Ops that all have launched and that could use more room: in line. */
struct hungry {
	struct op *first, *last;
};

struct pccl_exec {
	struct pccl_exec_config config;
	uint32_t epoch; /* 0: none yet */
	uint32_t ranks;
	uint32_t rank;
	bool frozen;
	uint64_t clock; /* counts events, to tell older from younger */
	struct table table;
	uint64_t ready[PCCL_RANKS_MAX / 64]; /* ranks for which there is something that the carrier does not know of */
	struct hungry starving;		     /* without any room */
	struct hungry growing;		     /* with less than they want */
	struct spare {
		uint8_t *memory;
		size_t bytes;
	} spares[SPARES_MAX]; /* of the last ops that had memory of their own: a stack */
	uint32_t spare_count;
	uint32_t leaving_count;
	uint32_t joint;	 /* pcclUpdateTopology() that the caller waits in, or waited in last; 0: none */
	bool any_missed; /* perhaps */
	struct op *ended_first, *ended_last;
	struct op *reaped; /* polled, its memory is let go by the next poll */
	struct member *members;
	uint32_t pool_ranks;	  /* that the next ones were made for; 0: not made */
	uint32_t pool_lanes;	  /* likewise */
	struct early *early_pool; /* early_room for each rank */
	uint32_t *early_buckets;
	uint32_t early_room;
	uint32_t announced_max;
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
};

#endif
