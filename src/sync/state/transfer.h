/*
 * One lane's share of moving a state: it serves what others want of this peer's, and fetches what this peer wants of
 * others'. Pure, and pulled as the executor is: whoever moves the bytes asks it for frames when that has none.
 *
 * Who serves says so with OFFER. Who receives asks with WANT, one for each chunk, and gets the chunk in PARTs of 256
 * KiB, read straight to where they belong; those of tensors may be compressed. A chunk counts when its digest is the
 * one that was expected; if not, its source is a liar, is named, and asked for nothing more. What was asked of a source
 * that is lost, or of a slow one when another has nothing to do, or of one that has sent nothing for a while, is asked
 * of another: at any time one source only may write to a chunk.
 *
 * Besides the chunks of tensors there are documents: the list of keys, and the digests of all chunks. These are cut
 * into chunks as well; whoever fetches one checks it as a whole.
 */
#ifndef PCCL_SYNC_STATE_TRANSFER_H
#define PCCL_SYNC_STATE_TRANSFER_H

#include <stdbool.h>
#include <stdint.h>

#include <pccl.h>

#include "base/frame.h"
#include "base/time.h"
#include "collectives/exec/exec.h"
#include "sync/state/inventory.h"

#define PCCL_TRANSFER_PART_BYTES (256u << 10)
#define PCCL_TRANSFER_WANTS_MAX 64u		   /* of one peer on one lane that were not answered yet */
#define PCCL_TRANSFER_WINDOW_BYTES (4u << 20)	   /* asked of one source on one lane, unless it is a single chunk */
#define PCCL_TRANSFER_PACKED_LEAST 1024u	   /* a part with fewer bytes is never compressed */
#define PCCL_TRANSFER_LITTLE_BYTES (1u << 20)	   /* not worth asking several sources for, nor for twice */
#define PCCL_TRANSFER_MUTE_NS (3 * PCCL_SECOND_NS) /* without a part of what it was asked for: others are asked */

/* What ends a fetch that is patient: nobody offers anything for so long, or so long next to nothing has come. */
#define PCCL_TRANSFER_UNOFFERED_NS (3 * PCCL_SECOND_NS)
#define PCCL_TRANSFER_UNFED_NS (30 * PCCL_SECOND_NS)
#define PCCL_TRANSFER_LEAST_SHARE 500 /* of the chunks, and one: what less comes meanwhile is nothing */

/* What a chunk is of. Values are wire format. */
enum pccl_state_space {
	PCCL_STATE_CHUNKS = 0,
	PCCL_STATE_KEYS = 1,
	PCCL_STATE_LEAVES = 2, /* digests of what has to be equal */
	PCCL_STATE_LOOSE = 3   /* digests of what may differ */
};

/* What became of a wanted chunk, for the owner of a fetch. */
enum pccl_fetch_progress { PCCL_FETCH_UNTOUCHED = 0, PCCL_FETCH_TOUCHED = 1, PCCL_FETCH_DONE = 2 };

/* Shared by all lanes, each of which writes its own share of `progress` only. Borrowed until the outcome. */
struct pccl_fetch {
	enum pccl_state_space space;
	/* Whoever comes and offers is a source, nothing is verified, and it ends when nothing comes any more: of
	 * CHUNKS, whose leaves are NULL. */
	bool patient;
	uint32_t lanes;		/* that take part: wanted chunk i belongs to lane i mod lanes */
	uint32_t count;		/* wanted chunks */
	const uint32_t *chunks; /* of CHUNKS: which; ascending. Documents: NULL, all */
	uint8_t *progress;	/* by wanted chunk: enum pccl_fetch_progress */
	uint8_t *document;	/* of documents: where it goes */
	uint64_t document_bytes;
	const struct pccl_digest *leaves; /* of CHUNKS: what is expected, by chunk */
	const pcclRankUuid_t *sources;	  /* who will serve it */
	uint32_t source_count;
	bool exclusive;	       /* nobody else is asked */
	uint64_t little_bytes; /* what another source has to have delivered before it is asked for a slow one's */
};

enum pccl_transfer_event { PCCL_TRANSFER_FETCHED, PCCL_TRANSFER_CLOSED };

struct pccl_transfer_outcome {
	enum pccl_transfer_event event;
	pcclResult_t result; /* FETCHED: pcclSuccess; pcclRankConnectionLost: no source is left in the view;
			      * pcclNoSharedStateAvailable: all that are left are liars, or nothing comes */
	uint64_t rx_bytes;   /* FETCHED: of chunks that count */
	uint64_t tx_bytes;   /* CLOSED: of chunks of tensors that were served since it was opened */
	uint64_t wire_bytes; /* FETCHED, CLOSED: what travelled of tensors, into it and out of it: less if compressed */
	bool lied;	     /* a source did, the next */
	pcclRankUuid_t liar;
};

struct pccl_transfer;

struct pccl_transfer_config {
	uint32_t lane;
	uint64_t states_max; /* so many times its state's bytes go to each rank while a call is open; 0: any number */
	enum pccl_packing packing; /* of what it serves */
	struct pccl_packer packer; /* for PCCL_PACK_CHOOSE */
};

pcclResult_t pccl_transfer_create(const struct pccl_transfer_config *config, struct pccl_transfer **transfer_out);
void pccl_transfer_destroy(struct pccl_transfer *transfer); /* takes NULL */

/* The members of the view in force, by rank. Links to those that are gone are closed. `rank` may be none of them.
 * pcclOutOfMemory. */
pcclResult_t pccl_transfer_install(struct pccl_transfer *transfer, uint32_t ranks, uint32_t rank,
				   const pcclRankUuid_t *uuids);
/* The link to a rank is lost for good. */
void pccl_transfer_lost(struct pccl_transfer *transfer, uint32_t rank);

/* A call named `sync` has begun: if it serves, tells everybody, and serves the inventory, which is borrowed until it is
 * closed. None may be open. */
void pccl_transfer_open(struct pccl_transfer *transfer, uint64_t sync, const struct pccl_inventory *inventory,
			bool serves);
/* From now on. */
void pccl_transfer_serve(struct pccl_transfer *transfer);
/* Begins to fetch for the open call; none may run. Its outcome comes with poll(). */
void pccl_transfer_fetch(struct pccl_transfer *transfer, const struct pccl_fetch *fetch);
/* Ends what runs, and serves no more. The carrier has forgotten all frames of the transfer, which is their cookie. */
void pccl_transfer_close(struct pccl_transfer *transfer);

/* Now and then while it is open. Sources that are mute are noticed here. */
void pccl_transfer_look(struct pccl_transfer *transfer, uint64_t now_ns);

bool pccl_transfer_poll(struct pccl_transfer *transfer, struct pccl_transfer_outcome *outcome_out);

/* As for the executor, see exec.h. */
bool pccl_transfer_next(struct pccl_transfer *transfer, uint32_t rank, struct pccl_frame_send *send_out);
bool pccl_transfer_ready(struct pccl_transfer *transfer, uint32_t *rank_out);
enum pccl_frame_verdict pccl_transfer_accept(struct pccl_transfer *transfer, uint32_t rank,
					     const struct pccl_frame *frame, void **destination_out);
void pccl_transfer_received(struct pccl_transfer *transfer, uint32_t rank, const struct pccl_frame *frame);
void pccl_transfer_dropped(struct pccl_transfer *transfer, uint32_t rank, const struct pccl_frame *frame);

/* The other side has the frame with this token. */
void pccl_transfer_sent(struct pccl_transfer *transfer, void *token);

/* For the carrier's forget: all frames of any transfer. */
bool pccl_transfer_owns(const void *transfer, const struct pccl_frame *frame);

/* Of the space of an inventory. */
uint64_t pccl_state_document_bytes(const struct pccl_inventory *inventory, enum pccl_state_space space);

#endif
