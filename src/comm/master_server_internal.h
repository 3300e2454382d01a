/* What the files of a master in this process share: master_server.c (its life, settings that change),
 * master_server_clients.c (connections, and what goes to the machine and comes from it), master_server_command.c (what
 * its operator asks for). */
#ifndef PCCL_MASTER_SERVER_INTERNAL_H
#define PCCL_MASTER_SERVER_INTERNAL_H

#include <pthread.h>

#include "base/log_rate.h"
#include "comm/master_command.h"
#include "comm/master_server.h"
#include "comm/sealing.h"
#include "comm/visitor.h"
#include "membership/master/master.h"
#include "transport/link/channel.h"
#include "transport/link/hello.h"
#include "transport/wires/wires.h"

struct pccl_master_client {
	struct pcclMasterInstanceState_t *instance;
	struct pccl_channel *channel;
	uint64_t id; /* never reused */
	struct pccl_visitor visitor;
	bool has_registered; /* in that group */
	uint32_t group;
	struct pccl_master_client *next;
};

struct pcclMasterInstanceState_t {
	pthread_mutex_t joining; /* of the next one */
	bool joined;		 /* the thread has ended */
	pthread_mutex_t lock;	 /* of the next six, and of orders */
	bool ran;
	bool interrupted;
	bool rereads;		     /* the task is on its way to the thread, with */
	bool changes_list;	     /* a new list, */
	struct pccl_allowed *coming; /* this one, */
	struct pccl_wires *fresh;    /* and new credentials; NULL: not with those */
	struct pccl_task reread;
	pthread_cond_t answered;      /* an order was carried out */
	struct pccl_allowed *allowed; /* who may join; NULL: everybody. The thread's, once it runs */
	struct pccl_subject *banned;  /* who may not for all that; the thread's */
	uint32_t banned_count;

	unsigned generation; /* see pccl_fork_generation() */
	struct pccl_address address;
	struct pccl_wires *wires;  /* NULL: the environment says, when it begins to run */
	struct pccl_key_pair keys; /* once it runs; drawn, if it was given none */
	struct pccl_sealing sealing;
	pthread_t thread;
	struct pccl_loop *loop;
	struct pccl_doorman *doorman;
	struct pccl_master *master;
	struct pccl_timer timer;
	struct pccl_master_client *clients;
	struct pccl_master_client *next_examined; /* while all are */
	uint64_t next_id;
	struct pccl_log_rate garbage;  /* lines about it, */
	struct pccl_log_rate lost;     /* about callers that want somebody else, */
	struct pccl_log_rates refused; /* and about callers from where nobody may call */
};

/* All on the thread that serves. */

/* master_server_clients.c: who calls; who has that connection, or NULL; the machine's next step; who may not stay, and
 * is told pccl_fail_text(); those that the list lets in no more; everybody, without a word. */
void pccl_master_server_arrived(void *context, struct pccl_stream *stream, const struct pccl_hello *hello);
struct pccl_master_client *pccl_master_server_find(const pcclMasterInstance_t *instance, uint64_t id);
void pccl_master_server_step(pcclMasterInstance_t *instance, struct pccl_master_event *event);
void pccl_master_server_turn_away(struct pccl_master_client *client);
void pccl_master_server_examine(pcclMasterInstance_t *instance);
void pccl_master_server_hang_up(pcclMasterInstance_t *instance);

/* master_server_command.c. pcclMasterConnectionFailed, in words: who registers is banned. */
pcclResult_t pccl_master_server_check_ban(const struct pccl_master_client *client, const pcclRankUuid_t *uuid);

#endif
