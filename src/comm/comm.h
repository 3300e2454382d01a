/*
 * A communicator from inside. Threads: the callers'; one control thread (control.c: membership, the listening port);
 * the lanes (lane.c: the data). What they share is here, under `lock`; the data path takes it only when an op begins or
 * ends.
 */
#ifndef PCCL_COMM_H
#define PCCL_COMM_H

#include <pthread.h>

#include <pccl.h>

#include "comm/settings.h"
#include "membership/peer/peer.h"
#include "session/session.h"

struct pccl_control;
struct pccl_lane;

enum pccl_comm_state {
	PCCL_COMM_IDLE,	   /* not connected */
	PCCL_COMM_JOINING, /* threads run, no view yet */
	PCCL_COMM_MEMBER,
	PCCL_COMM_ENDED /* left, evicted, aborted: only destroy is left (or, if it never was a member, connect) */
};

struct pcclComm_t {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* state, view, vote, callers: everything but the end of an op */
	pthread_mutex_t joint;	/* held through a joint call: one at a time */
	pcclCommCreateParams_t params;
	struct pccl_settings settings;
	pcclRankUuid_t uuid;
	uint64_t host; /* see pccl_locality_host() */
	struct pccl_control *control;
	struct pccl_lane *lanes[PCCL_LANES_MAX];
	struct pccl_session *session;

	enum pccl_comm_state state;
	pcclResult_t end_result; /* in ENDED */
	char end_detail[200];
	uint32_t callers; /* inside a blocking call; destroy waits for them */
	bool aborted;	  /* it never connects again */
	bool stopping;	  /* after a failed connect: control and session are going, leave them alone */

	struct pccl_view view; /* in force; empty before the first */
	uint32_t rank;
	struct pccl_world world;
	uint32_t lanes_linked; /* lanes whose links of the view in force are all up */

	bool vote_pending; /* a joint call waits for its answer */
	pcclResult_t vote_result;
	bool vote_value;
	char vote_detail[200];

	pthread_cond_t op_ended[PCCL_MAX_OPERATIONS];
	struct pccl_op *waiters[PCCL_MAX_OPERATIONS]; /* which op uses which condition */
};

/* Takes the lock and checks that the communicator may be used by this call; on failure the lock is not held. */
pcclResult_t pccl_comm_enter(const pcclComm_t *communicator, pcclComm_t **comm_out);
void pccl_comm_leave(pcclComm_t *comm);

/* Under the lock: hands the session's commands to the lanes and wakes who waits for ended ops. */
void pccl_comm_dispatch(pcclComm_t *comm);

/* Under the lock: the communicator is no use any more. Wakes everybody. */
void pccl_comm_end(pcclComm_t *comm, pcclResult_t result, const char *detail);

/* Waits for `changed` or `op_ended`; false: `until_ns` (monotonic, UINT64_MAX: never) has passed. */
bool pccl_comm_wait(pcclComm_t *comm, pthread_cond_t *condition, uint64_t until_ns);

/* Stops and frees all threads of the communicator; not under the lock. */
void pccl_comm_stop(pcclComm_t *comm);

#endif
