/* What the files of a transfer share: transfer.c has its life, the ranks, and which frame is whose; transfer_serve.c
 * answers, transfer_fetch.c asks, transfer_pack.c compresses what goes out, and undoes that. */
#ifndef PCCL_SYNC_STATE_TRANSFER_INTERNAL_H
#define PCCL_SYNC_STATE_TRANSFER_INTERNAL_H

#include "sync/state/transfer.h"

#define PCCL_NO_RANK UINT32_MAX

/* What another peer wants of this one. */
struct pccl_wanted {
	uint32_t chunk;
	uint8_t space;
};

struct pccl_transfer_rank {
	pcclRankUuid_t uuid;
	bool lost;     /* its link, or it is this peer itself */
	bool ready;    /* is in the list of those that are told */
	bool expected; /* the fetch that runs names it as a source */
	bool offers;
	uint64_t offer; /* the call that it serves in */
	bool offer_due; /* it is to be told that this peer serves */
	/* What it wants: a ring. */
	struct pccl_wanted wanted[PCCL_TRANSFER_WANTS_MAX];
	uint32_t wanted_first, wanted_count;
	uint32_t part;	 /* of the first one: the next that goes out */
	uint64_t served; /* bytes of chunks in this call */
	/* What it was asked for: indices of this lane's wants, in the order in which they were asked. */
	uint32_t asked[PCCL_TRANSFER_WANTS_MAX];
	uint32_t asked_count;
	uint32_t untold; /* of those, the last ones, for which WANT is to be sent */
	uint64_t asked_bytes;
	uint64_t delivered; /* the transfer's count when it delivered last */
	bool liar;
	bool mute;	   /* has sent nothing for long: is asked when nobody else can be */
	uint64_t waits_ns; /* since when something that it was asked for is waited for; 0: nobody has looked since */
};

/* One chunk that this lane fetches. */
struct pccl_want {
	uint32_t source;   /* PCCL_NO_RANK: nobody was asked */
	uint8_t parts;	   /* that are there, a bit for each */
	uint8_t receiving; /* parts that are being received */
	uint64_t asked;	   /* the transfer's count when it was asked for */
};

struct pccl_packed;
struct pccl_lossless;

struct pccl_transfer {
	struct pccl_transfer_config config;
	uint32_t rank_count;
	struct pccl_transfer_rank *ranks;
	uint32_t *ready; /* a stack of those for which there is something new */
	uint32_t ready_count;
	uint32_t turn; /* the rank that is asked first next time */

	bool open;
	uint64_t sync;
	const struct pccl_inventory *inventory;
	bool serves;
	uint64_t tx_bytes;
	uint64_t tx_wire_bytes;

	/* Parts that are compressed and not acknowledged yet. All is made when it is first needed in a call. */
	struct pccl_lossless *lossless;
	struct pccl_packed *packed;
	struct pccl_packed *packed_free;
	uint8_t *packed_memory;
	uint32_t packed_count;

	const struct pccl_fetch *fetch; /* NULL: none runs */
	struct pccl_want *wants;	/* this lane's share */
	uint32_t want_count;
	uint32_t *unasked; /* a stack */
	uint32_t unasked_count;
	uint32_t done_count;
	uint64_t delivered; /* bytes of chunks that came, of all */
	uint64_t rx_bytes;
	uint64_t rx_wire_bytes;
	uint64_t patience_ns;	/* since when a patient fetch has got next to nothing; 0: nobody has looked since */
	uint32_t patience_done; /* chunks that it had then */
	uint64_t met_ns;	/* when a look last found somebody; 0: none has */
	bool lied;
	pcclRankUuid_t liar;

	struct pccl_transfer_outcome outcomes[2]; /* at most one of each kind waits */
	uint32_t outcome_count;
};

/* transfer.c */
void pccl_transfer_wake(struct pccl_transfer *transfer, uint32_t rank);
void pccl_transfer_tell(struct pccl_transfer *transfer, const struct pccl_transfer_outcome *outcome);

/* transfer_serve.c */
bool pccl_transfer_next_part(struct pccl_transfer *transfer, uint32_t rank, struct pccl_frame_send *send_out);
enum pccl_frame_verdict pccl_transfer_accept_want(struct pccl_transfer *transfer, uint32_t rank,
						  const struct pccl_frame *frame);
void pccl_transfer_received_want(struct pccl_transfer *transfer, uint32_t rank, const struct pccl_frame *frame);

/* transfer_pack.c */
/* False: out of memory. */
bool pccl_transfer_make_lossless(struct pccl_transfer *transfer);
/* The call has ended: no frame is read any more. */
void pccl_transfer_forget_packed(struct pccl_transfer *transfer);
/* Compresses a part of that chunk that is about to be sent, if that pays. */
void pccl_transfer_pack(struct pccl_transfer *transfer, uint32_t chunk, struct pccl_frame_send *send);
/* Makes a part whole that has come compressed. False: it is not what the stage makes of so many bytes. */
bool pccl_transfer_unpack(struct pccl_transfer *transfer, uint32_t chunk, uint8_t *at, size_t packed_bytes,
			  size_t bytes);

/* transfer_fetch.c */
bool pccl_transfer_next_want(struct pccl_transfer *transfer, uint32_t rank, struct pccl_frame_send *send_out);
enum pccl_frame_verdict pccl_transfer_accept_part(struct pccl_transfer *transfer, uint32_t rank,
						  const struct pccl_frame *frame, void **destination_out);
void pccl_transfer_received_part(struct pccl_transfer *transfer, uint32_t rank, const struct pccl_frame *frame);
void pccl_transfer_dropped_part(struct pccl_transfer *transfer, uint32_t rank, const struct pccl_frame *frame);
/* Its chunks are asked of others. */
void pccl_transfer_take_back(struct pccl_transfer *transfer, uint32_t rank);
/* Somebody offers, is gone, or lost: asks, or ends. */
void pccl_transfer_go_on(struct pccl_transfer *transfer);
/* A rank has come, or has delivered what it was asked for. */
void pccl_transfer_keep_busy(struct pccl_transfer *transfer, uint32_t rank);
/* The ranks, or the fetch, are others. */
void pccl_transfer_mark_expected(struct pccl_transfer *transfer);
void pccl_transfer_end_fetch(struct pccl_transfer *transfer);

#endif
