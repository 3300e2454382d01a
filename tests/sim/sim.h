/*
 * The simulator: the very machines of membership over a virtual clock and network, one seed at a time.
 * Everything random comes from the seed; events are ordered by (time, serial); a run repeats exactly.
 *
 *	world.c		the clock, the queue of events, the trace, one run
 *	net.c		connections: in order within one direction of one connection, delayed, cut, stalled
 *	node_master.c	the shell of a master machine
 *	node_peer.c	the shell of a peer machine
 *	program.c	what the callers do
 *	ops.c		a stand-in for the executors: what members hold of an op and when
 *	faults.c	what goes wrong, drawn from the seed
 *	links.c		links between peers, as far as membership hears of them; resets; gentle runs
 *	forsaken.c	runs at whose end all masters die for good, and a member
 *	check.c		the checkers: they see what the callers see, never the machines
 *	check_gentle.c	what holds when little goes wrong
 *	seals.c		masters' signatures, and what no master may believe
 *	forger.c	peers that bring masters what no master has signed
 *	rogue.h		a member that lies
 *	memory.c	the heap, counted
 *	cards.h		level 2: several network cards
 *	shell.h		level 2: sessions, executors and buffers in place of ops.c
 *	main.c		seeds, replay
 */
#ifndef PCCL_SIM_H
#define PCCL_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"
#include "base/time.h"
#include "membership/master/master.h"
#include "membership/peer/peer.h"

#define SIM_MS PCCL_MS_NS
#define SIM_SECOND PCCL_SECOND_NS
#define SIM_MASTERS 2
#define SIM_NODES 64 /* masters first, then peers; every incarnation of a peer is a node of its own */
#define SIM_GROUPS 3
#define SIM_TAGS 4
#define SIM_OPS 16 /* that one peer remembers */
#define SIM_SEGMENTS 4
#define SIM_TRACE_LINES 300
#define SIM_TRACE_BYTES 220
#define SIM_STEPS_PER_SECOND 60000
#define SIM_LOSSY_SEEDS \
	UINT64_C(0x100000000) /* from there on: nothing goes wrong but that links are long and lose much */
/* From there on, level 2: members send others results with a changed bit, and all verify theirs. */
#define SIM_LYING_SEEDS UINT64_C(0x200000000)
/* From there on: some peers forge what they bring to masters, which change often. */
#define SIM_FORGING_SEEDS UINT64_C(0x300000000)
/* From there on, level 2: hosts have several network cards (cards.c). */
#define SIM_CARDS_SEEDS UINT64_C(0x400000000)
#define SIM_LONG_TRIP_NS (200 * SIM_MS)

/* What a run does with its trace. */
enum sim_telling {
	SIM_SILENT, /* none is made: it takes a third of the time */
	SIM_LAST,   /* prints the last lines when it fails */
	SIM_LOUD,   /* prints all as it comes */
};

/* What a seed's faults are; see links.c. */
enum sim_gentle {
	SIM_ROUGH,	   /* all kinds */
	SIM_GENTLE_RESETS, /* connections to the master break, nobody dies or leaves */
	SIM_GENTLE_MIXED,  /* they break, and peers die and leave */
	SIM_GENTLE_DEATHS, /* peers die and leave */
	SIM_GENTLE_COUNT
};

struct sim_check;
struct sim_rogue;
struct sim_seals;
struct shell;
struct shell_world;

/* What the seed makes of the run. Times between faults are means; 0: never. */
struct sim_plan {
	uint64_t seed;
	uint32_t groups;
	uint32_t peers_max;	/* alive at a time */
	uint32_t known_masters; /* by every peer */
	uint64_t delay_min_ns;
	uint64_t delay_mean_ns;
	uint64_t chaos_ns; /* how long faults happen */
	uint64_t calm_ns;  /* how long everything has to heal */
	uint64_t heartbeat_interval_ns;
	uint64_t heartbeat_timeout_ns;
	uint64_t return_grace_ns;
	uint64_t spawn_ns;
	uint64_t crash_ns;
	uint64_t leave_ns;
	uint64_t pause_ns;
	uint64_t partition_ns;
	uint64_t complaint_ns;
	uint64_t reset_ns;
	uint64_t flap_ns; /* a member believes for a while that its links to another have broken */
	uint64_t master_crash_ns;
	uint64_t clock_jump_ns;
	uint64_t expire_ns;
	uint32_t bundle_size;	   /* 0: no bundles */
	uint32_t joint_timeout_ms; /* of joint calls, 0: none */
	uint8_t late;		   /* enum pccl_late */
	uint32_t sabotage;	   /* percent: a view change goes wrong just when it is announced */
	bool silent_crashes;	   /* a host may vanish without a word */
	uint32_t parted_percent;   /* of the pairs: no link between them can be made, ever */
	bool peaceful;		   /* nothing else goes wrong: nobody complains, and nobody waits for long */
	enum sim_gentle gentle;
};

/* One op at one peer. */
struct sim_op {
	bool used;
	bool launched;	 /* by the caller here */
	bool open;	 /* launched and without outcome */
	uint8_t verdict; /* one that came before the launch, 0: none */
	uint8_t policy;
	bool repairable;
	bool complete; /* DONE was sent */
	uint64_t tag;
	uint32_t sequence;
	uint32_t epoch;	  /* of the running attempt; START was sent for it */
	uint32_t attempt; /* tells events of older attempts apart */
	uint64_t started; /* ranks whose START for `epoch` has come, as bits */
	uint64_t done;	  /* ranks whose DONE for `epoch` has come */
	uint32_t held;	  /* segments, as bits */
	uint32_t final;	  /* segments that a repair has made final */
};

struct sim_node {
	bool alive;
	bool paused;
	bool is_master;
	uint32_t id;
	uint64_t ahead_ns; /* its clock against the world's */
	uint64_t tick_ns;  /* of the tick in the queue, in world time; 0: none */
	struct pccl_master *master;
	/* a peer's shell */
	struct pccl_peer *peer;
	uint32_t group;
	struct pccl_secret secret;
	pcclRankUuid_t uuid;
	uint64_t bundle;
	uint64_t connection;   /* 0: none */
	uint32_t connected_to; /* node */
	bool ended;
	pcclResult_t end_result;
	bool frozen; /* from FREEZE to INSTALL */
	uint32_t freeze_epoch;
	bool stuck;		      /* does not answer FREEZE any more */
	bool vanished;		      /* died with its host: nobody is told */
	struct pccl_install view;     /* a copy of the last install; no members: none yet */
	struct pccl_install old_view; /* a forger's first */
	bool has_lied;		      /* with a view that has been in force, about which it has */
	uint32_t rank;
	uint64_t linked;       /* level 1: nodes to which a link has been up, as bits */
	uint64_t installed_ns; /* its view */
	uint32_t resets;       /* of its connection, since resets_ns */
	uint64_t resets_ns;
	/* its caller's program */
	uint32_t origin; /* epoch from which steps are counted */
	uint32_t step;
	uint32_t calls;	     /* ever made */
	bool queued;	     /* a program event is in the queue */
	uint8_t voting;	     /* outstanding joint call */
	uint64_t vote_ns;    /* when the last one was made */
	bool vote_again;     /* it ended for lack of a master: it is to be made again */
	uint32_t vote_count; /* joint calls since origin */
	struct sim_op ops[SIM_OPS];
	uint32_t sequence[SIM_TAGS];
	uint32_t attempts;
	uint64_t waited;     /* forsaken: what had waited the longest, and has to end; 0: nothing */
	struct shell *shell; /* level 2; else NULL */
};

enum sim_event_type {
	SIM_TICK,    /* node's deadline */
	SIM_PIPE,    /* the head of a pipe arrives */
	SIM_PROGRAM, /* the caller of a peer does something */
	SIM_FROZEN,  /* FREEZE is done at a peer */
	SIM_SEGMENT, /* an op (number: its place) holds one more segment */
	SIM_MET,     /* a peer knows about its link to another (segment: node): `number` of MEET */
	SIM_FAULT,   /* number: which */
	SIM_RESUME,  /* a paused node goes on */
	SIM_HEAL,    /* everything between two nodes (node, number) passes again */
	SIM_REVIVE,  /* a master starts again */
	SIM_LINK,    /* node sees what has become of its links to node `number` */
	SIM_FORSAKE, /* number: what happens, of forsaken.c */
	SIM_READY,   /* a peer that has deferred its admission wants in */
	SIM_SHELL    /* level 2; number: enum shell_event */
};

struct sim_event {
	uint64_t time_ns;
	uint64_t serial;
	enum sim_event_type type;
	uint32_t node;
	uint32_t number;
	uint32_t attempt;
	uint32_t segment;
	struct sim_pipe *pipe;
	void *object;
};

enum sim_packet_type { SIM_OPEN, SIM_OPENED, SIM_MESSAGE, SIM_CLOSE, SIM_DATA };

/* What peers tell each other about ops. */
struct sim_data {
	bool done; /* else start */
	uint32_t epoch;
	uint64_t tag;
	uint32_t sequence;
	uint32_t rank;
};

struct sim_packet {
	enum sim_packet_type type;
	uint64_t connection;
	uint64_t time_ns; /* not before */
	uint8_t *bytes;
	size_t byte_count;
	struct sim_data data;
	struct sim_packet *next;
};

/* One direction of one connection, or of the link between two peers (connection 0). */
struct sim_pipe {
	uint32_t from;
	uint32_t to;
	uint64_t connection;
	bool queued; /* SIM_PIPE is in the queue */
	bool broken; /* nothing more gets in */
	uint64_t last_ns;
	struct sim_packet *first;
	struct sim_packet *last;
	struct sim_pipe *next;
};

struct sim {
	struct sim_plan plan;
	struct pccl_rng rng;
	uint64_t now_ns;
	uint64_t serial;
	uint64_t connections;
	uint64_t bundles;
	uint32_t level;
	bool calm;	     /* no new faults */
	bool forsaken;	     /* no master lives any more, nor ever will */
	bool is_over;	     /* that has been looked at */
	uint64_t flap_ns;    /* the last flap is over by then */
	uint64_t gone_ns;    /* when the last peer died or left, */
	uint32_t gone_alone; /* and which, if it was long after the one before; 0: not so, or it has been noticed */
	struct sim_event *heap;
	uint32_t heap_count;
	uint32_t heap_capacity;
	struct sim_node nodes[SIM_NODES];
	uint32_t node_count;
	uint32_t cut[SIM_NODES][SIM_NODES]; /* from, to: cuts in force */
	struct sim_pipe *pipes;
	struct sim_check *check;
	struct sim_rogue *rogue;    /* NULL: all are honest, but for forgers */
	struct sim_seals *seals;    /* NULL: masters sign nothing */
	struct shell_world *shells; /* level 2; else NULL */
	uint64_t steps;
	uint64_t second;
	uint64_t second_steps;
	bool failed;
	enum sim_telling telling;
	char failure[400];
	char trace[SIM_TRACE_LINES][SIM_TRACE_BYTES];
	uint64_t trace_count;
};

/* world.c */
void sim_schedule(struct sim *sim, uint64_t time_ns, struct sim_event event);
void sim_trace(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_fail(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
uint64_t sim_between(struct sim *sim, uint64_t low, uint64_t high);
uint64_t sim_exponential(struct sim *sim, uint64_t mean);
pcclRankUuid_t sim_uuid(struct sim *sim);
bool sim_chance(struct sim *sim, uint32_t percent);
struct sim_node *sim_add_node(struct sim *sim); /* NULL: no more room */
void sim_count_step(struct sim *sim);

/* Asks for a tick at the node's own time `deadline_ns`. */
void sim_want_tick(struct sim *sim, struct sim_node *node, uint64_t deadline_ns);

/* Runs one seed on level 1 (membership) or 2 (and the ops). False: something is wrong, and has been said. */
bool sim_run(uint64_t seed, uint32_t level, bool loud, uint64_t *steps_out);

/* net.c */

/* Takes packet->bytes. It arrives after packet->time_ns. */
void sim_send(struct sim *sim, uint32_t from, uint32_t to, const struct sim_packet *packet);
void sim_pipe_arrived(struct sim *sim, struct sim_pipe *pipe);

/* The network breaks a connection: part of what is under way is lost, and both sides are told, each in its time. */
void sim_net_reset(struct sim *sim, uint32_t peer, uint32_t master, uint64_t connection);
void sim_net_fini(struct sim *sim);

/* node_master.c */
void sim_master_start(struct sim *sim, struct sim_node *node);
void sim_master_stop(struct sim *sim, struct sim_node *node, bool silently);
void sim_master_packet(struct sim *sim, struct sim_node *node, uint32_t from, const struct sim_packet *packet);
void sim_master_tick(struct sim *sim, struct sim_node *node);

/* node_peer.c */
struct sim_node *sim_peer_join(struct sim *sim, uint32_t group, uint64_t bundle, uint32_t bundle_size);
void sim_peer_ready(struct sim *sim, struct sim_node *node);
void sim_peer_stop(struct sim *sim, struct sim_node *node, bool silently);
void sim_peer_packet(struct sim *sim, struct sim_node *node, const struct sim_packet *packet);
void sim_peer_tick(struct sim *sim, struct sim_node *node);
void sim_peer_frozen(struct sim *sim, struct sim_node *node);
void sim_peer_met(struct sim *sim, struct sim_node *node, const struct sim_event *event);
/* Can no link be made between the two? */
bool sim_is_parted(const struct sim *sim, uint32_t left, uint32_t right);
void sim_peer_feed(struct sim *sim, struct sim_node *node, struct pccl_peer_event *event);
bool sim_peer_lives(const struct sim_node *node); /* alive and not ended */

/* seals.c */

/* Masters have keys, and know each other's. */
void sim_seals_create(struct sim *sim);
void sim_seals_destroy(struct sim *sim);
/* The master's; NULL: it signs nothing. */
const struct pccl_sealer *sim_sealer(const struct sim *sim, uint32_t master);
/* By a key that is nobody's but the forger's. */
struct pccl_seal sim_seal_alone(const struct pccl_imprint *imprint);
/* Does a message to a master bring what no master has ever signed? */
bool check_is_forged(const struct sim *sim, const struct pccl_message *message);
/* What a master says to somebody, who has come with such a message or not. */
void check_told(struct sim *sim, const struct sim_node *master, const struct pccl_message *message, bool hears_forged);

/* forger.c */
bool sim_is_forger(const struct sim *sim, uint32_t node);
/* Changes what the node sends, if it is one. */
void sim_forge(struct sim *sim, struct sim_node *node, struct pccl_message *message);
/* Keeps a view for later. */
void sim_forger_install(struct sim *sim, struct sim_node *node);
/* Those go whom a master may have believed: it can't know which of a member's views is the last. */
void sim_forgers_end(struct sim *sim);

/* program.c */
void sim_program(struct sim *sim, struct sim_node *node);
void sim_program_wake(struct sim *sim, struct sim_node *node);

/* ops.c */
void sim_op_launch(struct sim *sim, struct sim_node *node, uint64_t tag, uint8_t policy, bool repairable);
void sim_op_segment(struct sim *sim, struct sim_node *node, const struct sim_event *event);
void sim_op_data(struct sim *sim, struct sim_node *node, const struct sim_data *data);
uint32_t sim_op_open_count(const struct sim_node *node);
/* One that is open, by a number; 0: none is. */
uint64_t sim_ops_blocked(const struct sim_node *node);
bool sim_op_is_open(const struct sim_node *node, uint64_t tag);
void sim_ops_report(const struct sim_node *node, struct pccl_peer_event *event);
void sim_ops_install(struct sim *sim, struct sim_node *node, const struct pccl_install *install);

/* faults.c */
void sim_plan_draw(struct sim *sim, uint64_t seed);
/* Peers come and leave; and that is all. */
void sim_make_peace(struct sim *sim);
void sim_faults_start(struct sim *sim);
void sim_fault(struct sim *sim, uint32_t kind);

/* The master announces a view to a peer: may cut them apart. True: the master dies right after this peer's. */
bool sim_sabotage(struct sim *sim, const struct sim_node *master, const struct sim_node *peer);
void sim_resume(struct sim *sim, struct sim_node *node);
void sim_heal(struct sim *sim, uint32_t left, uint32_t right);
void sim_calm_down(struct sim *sim);

/* links.c */
void sim_links_install(struct sim *sim, struct sim_node *node);
/* The process of the node has ended, or the communicator. */
void sim_links_end(struct sim *sim, const struct sim_node *node);
void sim_link(struct sim *sim, const struct sim_event *event);
void sim_fault_reset(struct sim *sim, struct sim_node *node);
void sim_fault_flap(struct sim *sim, struct sim_node *node);
void sim_plan_gentle(struct sim *sim);

/* forsaken.c */
bool sim_is_forsaken(const struct sim *sim);
void sim_forsake(struct sim *sim);
void sim_forsaken(struct sim *sim, uint32_t number);

/* check_gentle.c */
void check_gone(struct sim *sim, const struct sim_node *node);
void check_gentle_install(struct sim *sim, const struct sim_node *node, const struct pccl_install *install);
/* An op has failed that need not fail unless a member is lost. */
void check_gentle_failure(struct sim *sim, const struct sim_node *node, uint64_t tag, uint32_t sequence);
void check_gentle_end(struct sim *sim, const struct sim_node *node, const struct pccl_peer_action *ended);

/* check.c */
struct sim_check *check_create(void);
void check_destroy(struct sim_check *check);
void check_install(struct sim *sim, const struct sim_node *node, const struct pccl_install *install);

/* An op ended at a peer: by itself with success (natural), or by a verdict. */
void check_op(struct sim *sim, const struct sim_node *node, uint64_t tag, uint32_t sequence, bool success,
	      bool natural);
/* A joint call has ended: has it waited for more than the members? */
void check_stall(struct sim *sim, const struct sim_node *node);
void check_vote(struct sim *sim, const struct sim_node *node, const struct pccl_peer_action *voted);

/* Is everybody alive in one view per group? If not: who, why. */
bool check_is_settled(const struct sim *sim, uint32_t *node_out, const char **why_out);
/* Is it a newcomer, and can't reach somebody of its group? */
bool check_is_kept_out(const struct sim *sim, const struct sim_node *node);
void check_end(struct sim *sim);

/* memory.c */
int64_t sim_memory_outstanding(void);

#endif
