/* Checkpoints of state: files written beside the old one and verified when they are read. pccl/state.h is the manual;
 * sync/state/manifest.h says what is in them. */
#ifndef PCCL_STORE_CHECKPOINT_H
#define PCCL_STORE_CHECKPOINT_H

#include "device/chunks.h"
#include "store/disk.h"
#include "sync/state/manifest.h"

/* Writes the tensors, of which `places` says where they lie, in the order of the manifest, whose digests this fills in.
 * The file on its way lies beside the one that it replaces, with ".tmp" behind its name: two writers of one file
 * fail. */
pcclResult_t pccl_checkpoint_write(const struct pccl_disk *disk, const char *path, struct pccl_manifest *manifest,
				   const struct pccl_chunk_tensor *places, uint32_t threads);

/* Opens a checkpoint and reads its manifest; *file_out is the caller's, who closes it and ends the manifest, also after
 * a failure (-1: none). */
pcclResult_t pccl_checkpoint_open(const struct pccl_disk *disk, const char *path, int *file_out,
				  struct pccl_manifest *manifest_out, uint64_t *data_offset_out);

/* Reads `count` tensors of an open checkpoint to their places. `digests`: and verifies them. */
pcclResult_t pccl_checkpoint_read(const struct pccl_disk *disk, int file, const char *path, uint64_t data_offset,
				  const struct pccl_manifest_tensor *const *tensors,
				  const struct pccl_chunk_tensor *places, size_t count, bool digests, uint32_t threads);

#endif
