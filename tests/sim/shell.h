/*
 * Level 2 of the simulator: between the membership machines and the callers stand the very session and the very
 * lanes, links and executors, with queues in place of threads and sockets: what one thread posts to another comes
 * later, in order, and lanes lag each other. Buffers are real, and their sums are checked.
 *
 *	shell.c		a communicator: its session, and what control.c does
 *	shell_lane.c	the very lanes over the very links: how commands and streams come to them
 *	shell_loop.c	threads: the loop's functions on the virtual clock
 *	shell_wire*.c	sockets: a transport on the virtual network
 *	shell_fault.c	what goes wrong with streams
 *	caller.c	the program: ops in flight, votes, deadlines, relaunching
 *	caller_buffer.c	the buffers of a call, and what must be in them
 *	caller_state.c	calls that make states one, and what must have become of them
 *	caller_loan.c	what newcomers fetch before they are admitted
 *	caller_drift.c	calls that compare states
 *	check_call.c	what all survivors must have been told alike
 */
#ifndef PCCL_SIM_SHELL_H
#define PCCL_SIM_SHELL_H

#include "cards.h"
#include "comm/lane_links.h"
#include "comm/lane_state.h"
#include "session/lane.h"
#include "shell_loop.h"
#include "sim.h"
#include "transport/link/hello.h"

#define SHELL_LANES 3
#define SHELL_STREAMS 3
#define SHELL_CALLS 6 /* that a program has in flight */
#define SHELL_TAGS 8
#define SHELL_BATCH 3 /* ops that a program starts at a time */
#define SHELL_POISON 0xdb

/* Drawn per seed. */
struct shell_plan {
	uint32_t lanes;		  /* that peers have; some have fewer */
	uint32_t streams;	  /* of a lane to a neighbour */
	uint32_t frames;	  /* that a stream queues */
	uint32_t window;	  /* and that the kernel takes over from it */
	uint64_t command_ns;	  /* mean delay of what one thread posts to another */
	uint64_t frame_ns;	  /* mean time of a header or a payload on a stream */
	uint64_t lag_ns;	  /* at most: so long after something has come a thread runs */
	uint32_t long_percent;	  /* of the looks at how long a turn lasts */
	uint64_t pause_ns;	  /* mean pause of a program */
	uint64_t link_timeout_ns; /* to come up again, and of silence */
	uint64_t guest_ns;	  /* that a stream waits for its view */
	pcclChecksums_t checksums;
	uint64_t break_ns;     /* mean time between broken streams, 0: never */
	uint32_t slow_percent; /* of the links */
	uint32_t loss_percent; /* of the frames: they come when a time-out has passed, twice as long each time */
	bool verifies;
	uint32_t lie_percent;	 /* of the results that liars send */
	uint32_t barred_percent; /* of the pairs: one of the two can't dial the other */
	uint32_t large_percent;	 /* of the ops */
	uint32_t timeout_percent;
	uint32_t mistake_percent; /* of the calls: a member launches something else than the others */
	uint32_t forget_every;	  /* ops, on average; 0: as the library does */
	uint32_t forget_room;	  /* tags, at first */
	bool codecs;
	uint64_t one_lane_bytes;
	pcclZstd_t zstd;	/* of peers whose ops leave it open */
	uint32_t cards;		/* of hosts; 0: one, and nobody looks */
	bool cards_alike;	/* all hosts have so many, and nothing else goes wrong */
	uint64_t cards_fail_ns; /* then the first one fails; 0: whenever it wants */
	uint64_t card_ns;	/* mean time between faults of cards, */
	uint64_t card_heal_ns;	/* that each lasts, */
	uint64_t card_rest_ns;	/* and so long at least after one was well again none fails */
	uint32_t vote_percent;	/* of the steps of a program */
	uint32_t state_percent; /* likewise: calls about states */
};

enum shell_event {
	SHELL_LANE,	 /* a command for lane `segment` of `node` */
	SHELL_TURN,	 /* of the loop of lane `segment` of `node`, or of its control thread (SHELL_LANES) */
	SHELL_POST,	 /* something for the control thread of `node` */
	SHELL_BREAK,	 /* a stream breaks somewhere */
	SHELL_DEADLINE,	 /* of call `segment` of `node`, serial `attempt` */
	SHELL_CARD,	 /* a card fails somewhere */
	SHELL_CARD_HEAL, /* card `segment` of `node` (`attempt`: and of all others) is well */
	SHELL_WATCH,	 /* does everybody go on? */
	SHELL_GONE	 /* the communicator of `node` ended some time ago */
};

/* A command or a guest on its way to a lane. */
struct work {
	struct pccl_command *command; /* NULL: a guest */
	struct pccl_lane_guest *guest;
	uint64_t time_ns;
	struct work *next;
};

struct shell_lane {
	struct shell *shell;
	uint32_t index;
	struct pccl_lane *lane;
	struct pccl_loop loop;
	struct pccl_lane_links links;
	char cards[CARD_NAMES_BYTES];
	struct pccl_lane_state state;
	struct pccl_lane_state visits;
	struct pccl_timer timer; /* the lane's deadline */
	uint64_t installs;	 /* and freezes: what was accepted before one may not be written after it */
	uint64_t choices;	 /* whether to compress */
	uint64_t looks;		 /* whether a turn lasts for long, */
	uint64_t long_ns;	 /* and the last that did */
	struct work *first, *last;
	uint64_t last_ns;
};

/* An event for the machine on its way to the control thread. */
struct post {
	struct pccl_peer_event event;
	char text[200];
	uint64_t time_ns;
	struct post *next;
};

/* A view as the caller could see it. */
struct era {
	uint32_t epoch;
	uint32_t count;
	uint32_t nodes[SIM_NODES];
};

enum call_state { CALL_FREE, CALL_WAITING, CALL_LAUNCHED };

/* What all members compute alike about a call. */
struct call_spec {
	enum pccl_collective kind;
	pcclOperation_t operation;
	bool in_place;
	bool relaunch;	     /* when a member was lost */
	uint64_t timeout_ns; /* 0: none */
	uint64_t key;	     /* of its input */
	uint32_t root;	     /* the node, while that is a member */
	uint32_t other;	     /* of a transfer: the node that receives */
};

struct call {
	enum call_state state;
	struct call_spec spec;
	struct call_spec right; /* what the others launch */
	bool mistaken;		/* once: `spec` is something else, or was */
	struct pccl_op *op;
	uint64_t serial;
	bool ended;
	bool committed;	      /* by the verdict of a view change */
	uint32_t asked_epoch; /* in which a decision was asked for: the deadline passed; 0: none */
	uint32_t root;	      /* the node that was named */
	uint32_t rank;	      /* at launch, as the next two */
	uint32_t ranks;
	uint32_t epoch;
	uint8_t *memory[3]; /* with guards around: input, output (none in place), residual */
	size_t memory_bytes[3];
	uint8_t *input;
	uint8_t *output;
	size_t input_bytes;
	size_t output_bytes;
	uint8_t *original;
	uint32_t nodes[SIM_NODES]; /* of what moves parts, by rank at launch, as the next two */
	size_t sends[SIM_NODES];
	size_t receives[SIM_NODES];
};

/* Memory that was given back to the caller. */
struct grave {
	uint8_t *memory;
	size_t bytes;
	struct grave *next;
};

struct shell {
	struct sim *sim;
	struct sim_node *node;
	struct pccl_session *session;
	struct shell_lane lanes[SHELL_LANES];
	uint32_t lane_count;
	struct pccl_loop control;
	struct pccl_doorman *doorman;
	struct pccl_listening *listening; /* NULL: nobody can call */
	struct post *first_post, *last_post;
	uint64_t last_post_ns;
	uint32_t linked_epoch; /* of the view in which so many lanes have all their links */
	uint32_t linked_lanes;
	bool ended;
	struct era *eras;
	uint32_t era_count;
	struct call calls[SHELL_CALLS];
	uint64_t serial;
	struct grave *graves;
	struct state_model *model; /* what the program has, from call to call; NULL: nothing yet */
	struct state_call *state;  /* the call that runs; NULL: none */
	struct loan *loan;	   /* what it lends, or has as a newcomer; NULL: nothing */
	bool gone_queued;
	uint32_t last_origin; /* where the program ends */
	uint32_t last_step;
};

/* How long has a node's caller stood still? */
struct shell_progress {
	uint32_t calls;
	uint64_t since_ns;
};

/* What level 2 has of its own in a run. */
struct shell_world {
	struct shell_plan plan;
	struct wire *wires;
	uint8_t cards[SIM_NODES][CARDS_MOST]; /* enum card_state */
	uint64_t card_healed_ns;	      /* the last */
	struct shell_progress progress[SIM_NODES];
	struct call_record *records;
	struct state_record *states; /* what calls about states came to */
	uint64_t states_ended;	     /* with success */
	struct drift_record *drifts; /* what looks for drift came to */
	size_t record_count;
	uint64_t ops_ended; /* with success */
	uint64_t ops_failed;
	bool closing; /* programs start nothing new */
};

/* shell.c */
void shell_world_create(struct sim *sim);
void shell_world_destroy(struct sim *sim);
void shell_event(struct sim *sim, const struct sim_event *event);
void shell_schedule(struct sim *sim, uint64_t time_ns, enum shell_event type, uint32_t node, uint32_t segment,
		    void *object);
void shell_create(struct sim *sim, struct sim_node *node, struct pccl_member *self_out);
void shell_destroy(struct sim *sim, struct sim_node *node);
void shell_freeze(struct shell *shell);
void shell_install(struct shell *shell, const struct pccl_install *install);
void shell_meet(struct shell *shell, const struct pccl_message_meet *meet);
void shell_end(struct shell *shell, pcclResult_t result, const char *text);
void shell_leave(struct shell *shell);
/* Hands the session's commands out. After every call of the session. */
void shell_dispatch(struct shell *shell);
/* As pccl_monitor_blocked(). */
uint64_t shell_blocked(const struct shell *shell, const uint64_t *missed);
/* Something for the machine, from another thread. */
void shell_post(struct shell *shell, const struct pccl_peer_event *event);
/* A joint call has ended, the `joint`th. */
void shell_voted(struct shell *shell, uint32_t joint);
/* Into the trace: who waits for whom. */
void shell_tell(struct sim *sim);
/* Programs come to their end. */
void shell_close_all(struct sim *sim);
/* Has a rogue told members different things, so that one waits for an op that another's program will never launch? */
bool shell_is_at_odds(const struct sim *sim);
/* Have all living ones come there? */
bool shell_all_done(const struct sim *sim, uint32_t *node_out);

/* shell_lane.c */
void shell_lane_create(struct shell *shell, uint32_t index);
void shell_lane_destroy(struct shell_lane *lane);
void shell_lane_command(struct shell_lane *lane, struct pccl_command *command);
void shell_lane_run(struct shell_lane *lane);
/* A stream that came to the listening port. */
void shell_lane_adopt(struct shell_lane *lane, struct pccl_stream *stream, const struct pccl_hello *hello);

/* shell_fault.c */
void shell_plan_draw(struct sim *sim);
/* Nothing goes wrong with links. */
void shell_plan_gentle(struct shell_world *world);
/* But that they are long and lose much. */
void shell_plan_lossy(struct shell_world *world);
/* Some members lie about results. */
void shell_plan_lying(struct sim *sim);
void shell_faults_start(struct sim *sim);
void shell_fault_break(struct sim *sim);

/* caller.c */
void caller_step(struct sim *sim, struct sim_node *node);
void caller_ended(struct shell *shell, const struct pccl_op *op);
/* caller_parts.c: of calls that move parts */
/* Has this node a part in it? In others' transfers it has none. */
bool parts_takes_part(const struct shell *shell, const struct call *call);
/* Counts, and the sizes of the buffers. */
void parts_measure(const struct shell *shell, struct call *call);
void parts_request(const struct shell *shell, const struct call *call, struct pccl_op_request *request);
/* Is in the output what must be there? */
bool parts_match(const struct shell *shell, const struct call *call);

void caller_deadline(struct sim *sim, struct shell *shell, struct call *call);
void caller_decided(struct shell *shell, const struct pccl_install *install);
/* Takes the results of ended ops. */
bool caller_collect(struct shell *shell, uint32_t percent);
bool caller_idle(const struct shell *shell);
/* No more calls than all others make, too. */
void caller_close(struct shell *shell);
/* They are made, and their results taken. */
bool caller_done(const struct shell *shell);
void caller_destroy(struct shell *shell);

/* caller_buffer.c */
/* Are these elements of the node's input, from `first` on? */
bool buffer_matches(const struct call_spec *spec, uint32_t node, uint64_t first, uint64_t elements,
		    const uint8_t *bytes);
void buffer_create(struct sim *sim, const struct shell *shell, struct call *call);
void buffer_check_success(struct shell *shell, const struct call *call);
void buffer_check_failure(struct shell *shell, const struct call *call);
uint64_t buffer_hash(const struct call *call);
/* The caller has its memory back: nobody may touch it any more. */
void buffer_bury(struct shell *shell, struct call *call);
/* Did anybody? The newest graves are kept for a later look. */
void buffer_open_graves(struct shell *shell, uint32_t keep);

/* caller_state.c */
void caller_state_begin(struct shell *shell);
/* Goes on as far as it can. */
void caller_state_step(struct shell *shell);
void caller_state_ended(struct shell *shell);
void caller_state_transferred(void *context, uint32_t lane, const struct pccl_transfer_outcome *outcome);
void caller_state_destroy(struct shell *shell);
void state_records_destroy(struct shell_world *world);

/* caller_loan.c */
void caller_loan_borrow(struct shell *shell);
void caller_loan_step(struct shell *shell);
void caller_loan_transferred(void *context, uint32_t lane, const struct pccl_transfer_outcome *outcome);
void caller_loan_destroy(struct shell *shell);

/* caller_drift.c */
void drift_records_destroy(struct shell_world *world);

/* check_call.c */
void check_call(struct shell *shell, const struct call *call);
void check_call_fini(struct shell_world *world);

#endif
