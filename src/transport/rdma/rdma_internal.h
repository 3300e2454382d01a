/* The inside of a stream over RDMA; shared by the rdma_*.c files. */
#ifndef PCCL_TRANSPORT_RDMA_INTERNAL_H
#define PCCL_TRANSPORT_RDMA_INTERNAL_H

#include "base/time.h"
#include "transport/engine/engine.h"
#include "transport/networks.h"
#include "transport/rdma/flow.h"
#include "transport/rdma/pair.h"
#include "transport/rdma/rails.h"
#include "transport/rdma/terms.h"
#include "transport/rdma/trials.h"

enum pccl_rdma_stage {
	PCCL_RDMA_IS_SECURED,	    /* the connection's own handshake is on */
	PCCL_RDMA_AWAITS_BEGINNING, /* accepted; does an offer come first, or a frame? */
	PCCL_RDMA_AWAITS_OFFER,
	PCCL_RDMA_AWAITS_TURN, /* accepted: the offer is there, and too many others' trials are on */
	PCCL_RDMA_OFFERS,      /* dialled; nothing is said yet */
	PCCL_RDMA_AWAITS_ANSWER,
	PCCL_RDMA_AWAITS_END,	  /* accepted: the dialler's end of the pair */
	PCCL_RDMA_AWAITS_PASSAGE, /* accepted: what was sent through the pair is to be acknowledged */
	PCCL_RDMA_AWAITS_READY,	  /* dialled */
	PCCL_RDMA_PLAIN,	  /* over the connection, for good */
	PCCL_RDMA_JOINED	  /* through the pair, for good */
};

struct pccl_rdma_stream {
	enum pccl_rdma_stage stage;
	bool dialled;
	const struct pccl_byte_calls *under; /* how bytes go over the connection, */
	void *under_state;		     /* which is the stream's to end */
	const char *under_name;
	const struct pccl_networks *trusted; /* one of them has to have both ends of the pair; NULL: anywhere */
	bool end_said;			     /* nothing more will be written */
	bool waits_for_sends;
	bool closes;		    /* has_arrived() was asked */
	struct pccl_pair *pair;	    /* NULL: none */
	struct pccl_address remote; /* once something is offered */
	uint64_t trial_ns;	    /* AWAITS_READY, AWAITS_TURN: since when */
	int turn_fd;		    /* AWAITS_TURN: a timer; else -1 */
	struct pccl_trial trial;    /* accepted, on the way to a pair */
	struct pccl_rail rail;	    /* dialled, with a pair or on the way to one */
	struct pccl_flow flow;
	int failure;	 /* errno that write() and read() return; 0: none */
	uint64_t probed; /* bytes that were acknowledged before the first ones of frames */
	char way[96];	 /* for people */
	size_t said_bytes;
	uint8_t said[PCCL_TERMS_WORD_BYTES + PCCL_TERMS_END_BYTES]; /* of the other side's next message */
};

/* rdma_shake.c. As the byte calls' shake(). */
enum pccl_shake pccl_rdma_shake(void *state, int fd);
/* The pair is not to be, or the stream ends, in whatever stage. */
void pccl_rdma_give_up(struct pccl_rdma_stream *stream);
/* Does nothing get through? Who hasn't come to run for so long finds out first what has got through meanwhile. */
bool pccl_rdma_is_stuck(const struct pccl_rdma_stream *stream, uint64_t now_ns);

#endif
