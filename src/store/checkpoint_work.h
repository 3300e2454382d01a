/* Many chunks, several threads: each takes the next few until all are done or one has failed. */
#ifndef PCCL_STORE_CHECKPOINT_WORK_H
#define PCCL_STORE_CHECKPOINT_WORK_H

#include "store/disk.h"
#include "sync/state/manifest.h"

struct pccl_chunk_work {
	const struct pccl_disk *disk;
	int file;
	uint64_t data_offset; /* of the first tensor in the file */
	bool writes;
	size_t count; /* tensors */
	const struct pccl_manifest_tensor *const *tensors;
	void *const *data;
	/* set by pccl_chunk_work_run(): */
	uint64_t *first;	     /* by tensor: its first chunk among all; one more at the end */
	struct pccl_digest *digests; /* by chunk */
	uint64_t next;		     /* atomic: chunks that nobody has taken yet */
	int failure;		     /* atomic: errno of a thread that failed, or ENDED */
};

#define PCCL_CHUNK_WORK_ENDED (-1) /* the file ends too early */

/* Moves and hashes all chunks. False: *failure says why, 0: out of memory. The digests stay until fini. */
bool pccl_chunk_work_run(struct pccl_chunk_work *work, uint32_t threads);
void pccl_chunk_work_fini(struct pccl_chunk_work *work);

/* The digest of a tensor, when all have run. */
struct pccl_digest pccl_chunk_work_root(const struct pccl_chunk_work *work, size_t tensor);

#endif
