/* What the files of the manifest share: manifest.c (memory, names, places), manifest_encode.c, manifest_decode.c. */
#ifndef PCCL_SYNC_STATE_MANIFEST_INTERNAL_H
#define PCCL_SYNC_STATE_MANIFEST_INTERNAL_H

#include "collectives/element/dtype.h"
#include "sync/state/manifest.h"

#define PCCL_TENSOR_BYTES_MAX ((uint64_t)INT64_MAX - PCCL_MANIFEST_BYTES_MAX - PCCL_MANIFEST_ALIGNMENT)
#define PCCL_MANIFEST_METADATA "__metadata__"
#define PCCL_MANIFEST_VERSION "1"

/* The format's names of types. */
extern const char *const pccl_manifest_types[PCCL_DTYPE_COUNT];

/* The digest over revision, lineage and all tensors with their digests. */
pcclResult_t pccl_manifest_seal(const struct pccl_manifest *manifest, struct pccl_digest *seal_out);

#endif
