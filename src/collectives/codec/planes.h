/*
 * Byte planes: the first bytes of all elements together, then all second bytes, and so on. Signs and exponents of a
 * tensor are much alike and compress well; apart from the fractions, which do not compress at all, they can be
 * compressed alone.
 *
 * Elements of a floating point type are rotated left by one bit first: that makes the last plane of float32 and
 * bfloat16 the exponents and nothing else. Merging undoes all of it exactly. Little-endian, any alignment.
 */
#ifndef PCCL_COLLECTIVES_PLANES_H
#define PCCL_COLLECTIVES_PLANES_H

#include <pccl.h>
#include <stddef.h>

/* Takes `count` elements apart: count * pccl_dtype_bytes(type) bytes on both sides, which must not overlap. There is a
 * plane for each byte of an element; plane k begins at out + k * count. */
void pccl_planes_split(void *out, const void *in, size_t count, pcclDataType_t type);

/* Puts them together again. */
void pccl_planes_merge(void *out, const void *in, size_t count, pcclDataType_t type);

#endif
