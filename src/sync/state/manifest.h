/*
 * What a checkpoint holds, apart from the bytes of its tensors, to and from the header of a safetensors file:
 *
 *	u64	length of the JSON that follows, little-endian; it ends in spaces so that the tensors begin at a page
 *	JSON	{"__metadata__": {...}, "NAME": {"dtype": "F32", "shape": [2, 3], "data_offsets": [from, to]}, ...}
 *
 * The metadata, all strings: pccl.version "1"; pccl.revision, decimal; pccl.lineage, 32 hexadecimal digits;
 * pccl.digests, the tensors' digests in the order of their names, 32 digits each, nothing between them; pccl.digest,
 * over everything else that this module knows of the file, so that a changed header is seen. Other metadata are left
 * alone. Pure.
 */
#ifndef PCCL_SYNC_STATE_MANIFEST_H
#define PCCL_SYNC_STATE_MANIFEST_H

#include <pccl.h>
#include <stdint.h>

#include "sync/state/digest.h"

#define PCCL_MANIFEST_BYTES_MAX (100u << 20) /* of the JSON; other readers take no more either */
#define PCCL_MANIFEST_ALIGNMENT 4096	     /* of the first tensor in the file */
#define PCCL_SHAPE_MAX 8

struct pccl_manifest_tensor {
	char *name;
	pcclDataType_t type;
	uint32_t dimension_count;
	uint64_t dimensions[PCCL_SHAPE_MAX];
	uint64_t offset; /* from the first byte behind the header */
	uint64_t bytes;
	struct pccl_digest digest;
};

struct pccl_manifest {
	uint64_t revision;
	pcclRankUuid_t lineage;
	uint64_t tensor_bytes; /* of all */
	bool foreign;	       /* another program's file: no revision, no lineage, no digests */
	size_t tensor_count;
	struct pccl_manifest_tensor *tensors; /* in the order of their offsets, without gaps */
	uint32_t *by_name; /* indices of tensors in the order of their names; NULL: not indexed yet */
};

/* Both may be called on a zeroed manifest. */
pcclResult_t pccl_manifest_reserve(struct pccl_manifest *manifest, size_t tensor_count);
void pccl_manifest_fini(struct pccl_manifest *manifest);

/* Orders the names. pcclInvalidArgument: a name stands twice. */
pcclResult_t pccl_manifest_index(struct pccl_manifest *manifest);

/* The tensor of this name; NULL: none. After pccl_manifest_index(), which a decode ends with. */
const struct pccl_manifest_tensor *pccl_manifest_find(const struct pccl_manifest *manifest, const char *name);

/* Gives each tensor its offset, in the order in which they stand. pcclInvalidArgument: no place for so many bytes. */
pcclResult_t pccl_manifest_place(struct pccl_manifest *manifest);

/* The whole header of an indexed and placed manifest, length included; its size depends on no digest. The caller owns
 * *header_out. pcclInvalidArgument: too large, or a name that is not UTF-8. */
pcclResult_t pccl_manifest_encode(const struct pccl_manifest *manifest, uint8_t **header_out, size_t *bytes_out);

/* How long is the JSON, by the first 8 bytes of a file of `file_bytes`? pcclNoSharedStateAvailable: that can't be. */
pcclResult_t pccl_manifest_length(const uint8_t first[8], uint64_t file_bytes, size_t *json_bytes_out);

/* Reads the JSON of a file in which `data_bytes` follow it; one that another program has written is marked as such. The
 * caller ends the manifest, also after a failure.
 * pcclNoSharedStateAvailable: it is no whole checkpoint of this library, and the words say why. */
pcclResult_t pccl_manifest_decode(const char *json, size_t json_bytes, uint64_t data_bytes,
				  struct pccl_manifest *manifest_out);

#endif
