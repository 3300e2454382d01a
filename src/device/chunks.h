/*
 * All chunks of many tensors, hashed by several threads, wherever they lie: each thread takes the next few until all
 * are done or one has failed. On the way a chunk may be given to somebody (who writes it to a file), or be filled in by
 * somebody (who reads it from one).
 */
#ifndef PCCL_DEVICE_CHUNKS_H
#define PCCL_DEVICE_CHUNKS_H

#include <pccl.h>
#include <stdbool.h>

#include "base/fail.h"
#include "sync/state/digest.h"

struct pccl_chunk_tensor {
	const char *name; /* borrowed, for words */
	uint8_t *data;	  /* where `device` says */
	uint64_t bytes;
	pcclDeviceType_t device;
	bool kept;		     /* its digests are there already: it is passed over */
	struct pccl_digest *digests; /* where they belong; NULL: with the work, until that is ended */
};

struct pccl_chunk {
	size_t tensor;
	uint64_t offset; /* in the tensor */
	size_t bytes;
};

/* Called by several threads at once. A failure, in words, ends the work. */
typedef pcclResult_t pccl_chunk_take(void *context, const struct pccl_chunk *chunk, const void *bytes);
typedef pcclResult_t pccl_chunk_fill(void *context, const struct pccl_chunk *chunk, void *bytes);

struct pccl_chunk_work {
	const struct pccl_chunk_tensor *tensors;
	size_t count;
	pccl_chunk_take *take; /* at most one of these; neither: chunks are hashed only */
	pccl_chunk_fill *fill;
	void *context;
	enum pccl_digest_kind digest_kind;
	/* set by run(): */
	uint64_t *first;	     /* by tensor: its first chunk among all; one more at the end */
	struct pccl_digest *digests; /* of tensors that say no place, by chunk among all; NULL: there is none */
	uint32_t threads;
	uint64_t piece_bytes; /* about so many has a chunk, on average */
	uint64_t next;	      /* atomic: chunks that nobody has taken yet */
	int failed;	      /* atomic: a thread has; the first one says why: */
	pcclResult_t result;
	char text[PCCL_FAIL_TEXT_BYTES];
};

/* Cores that this process may use. */
uint32_t pccl_chunk_threads(void);

/* In the order of the tensors. */
uint64_t pccl_chunk_total(const struct pccl_chunk_tensor *tensors, size_t count);

/* Moves and hashes all chunks with so many threads; 0: as many as there are cores. What is set stays until fini(). */
pcclResult_t pccl_chunk_work_run(struct pccl_chunk_work *work, uint32_t threads);
void pccl_chunk_work_fini(struct pccl_chunk_work *work);

/* The digests of a tensor's chunks, and the one of all of it, when all have run. */
struct pccl_digest *pccl_chunk_work_digests(const struct pccl_chunk_work *work, size_t tensor);
struct pccl_digest pccl_chunk_work_root(const struct pccl_chunk_work *work, size_t tensor);

#endif
