/* What the files of a lane share: lane.c carries out commands, lane_links.c has the neighbours, lane_pace.c finds out
 * whether compressing pays. */
#ifndef PCCL_LANE_INTERNAL_H
#define PCCL_LANE_INTERNAL_H

#include <pthread.h>

#include "collectives/codec/codec_lossless.h"
#include "collectives/element/dtype.h"
#include "comm/lane.h"
#include "transport/link/link.h"
#include "transport/link/silence.h"

struct neighbour {
	struct pccl_lane *lane;
	struct pccl_link *link; /* NULL: this peer itself, or the link could not be made */
	pcclRankUuid_t uuid;
	uint32_t rank;
	bool lost; /* the link, for good */
	struct pccl_silence silence;
};

struct parked {
	struct pccl_stream *stream;
	struct pccl_hello hello;
	uint64_t until_ns;
	struct parked *next;
};

/* How fast the lane's links are, and whether compressing what goes over them pays. */
struct pace {
	uint64_t open_ns;     /* time in which attempts were open, as far as that has ended */
	uint64_t since_ns;    /* since when some are; 0: none is */
	uint64_t measured_ns; /* of that time, when the links were looked at last; and what they had moved then */
	uint64_t acked_bytes;
	uint64_t network_ns;
	uint64_t began_ns; /* a segment is being compressed since */
	struct pccl_lossless_choice choices[PCCL_DTYPE_COUNT];
};

struct pccl_lane {
	const struct pccl_self *self;
	struct pccl_monitor *monitor;
	uint32_t index;
	uint32_t lanes; /* of the view in force */
	pthread_t thread;
	struct pccl_loop *loop;
	struct pccl_exec *exec;
	uint32_t epoch; /* of the view in force, as the next two */
	uint32_t rank;
	uint32_t ranks;
	struct neighbour **neighbours; /* by rank */
	struct parked *parked;
	uint32_t parked_count;
	struct pccl_timer parked_timer;
	bool linked;		       /* told the communicator that all links of the view are up */
	uint32_t attempts_open;	       /* launched here and not ended */
	struct pccl_timer watch_timer; /* set while attempts are open */
	struct pace pace;
	struct pccl_task work; /* posted while the monitor has commands */
	bool stopped;
};

/* lane.c */

/* Whatever happened: links pull what the executor has for them now, and the session hears what has ended. */
void pccl_lane_pump(struct pccl_lane *lane);

/* lane_pace.c */

/* For the executor: the context is the lane. */
bool pccl_lane_choose(void *context, pcclDataType_t type);
void pccl_lane_learn(void *context, pcclDataType_t type, uint32_t bytes, uint32_t packed_bytes);
/* The first attempt has opened, the last one has ended. */
void pccl_lane_busy(struct pccl_lane *lane, bool busy);

/* lane_links.c */

/* Lists the neighbours of the view: known ones keep their links, new ones get theirs, the rest goes. What is being
 * received for an older view goes to the bin: the executor is about to forget where it belonged. */
pcclResult_t pccl_lane_list_neighbours(struct pccl_lane *lane, const struct pccl_view *view);
/* The executor knows the view: streams that had come before it find their link, those on hold are asked again; members
 * whose link was lost before are complained about once more. */
void pccl_lane_go_on(struct pccl_lane *lane);
/* For the executor, the context is the lane: does what goes to this rank get checksums? */
bool pccl_lane_checks(void *context, uint32_t rank);
/* Tells the communicator once all links of the view are up. */
void pccl_lane_check_linked(struct pccl_lane *lane);
/* Before or after an attempt fails: no link touches its memory any more. */
void pccl_lane_forget(struct pccl_lane *lane, const struct pccl_attempt *attempt);
/* An attempt runs: watches the links until none does. */
void pccl_lane_watch(struct pccl_lane *lane);
void pccl_lane_init_links(struct pccl_lane *lane);
void pccl_lane_close_links(struct pccl_lane *lane);

#endif
