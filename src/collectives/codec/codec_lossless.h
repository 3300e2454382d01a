/*
 * The lossless stage: byte planes, each compressed with zstd or, when that is of no use, left as it is. For
 * elements as they are, and for what is copied from peer to peer. Pure memory, no time: whoever measures tells what
 * was measured.
 *
 * Layout: for each plane a byte that says how it travels and its size as 32 bits, little-endian; then the planes.
 */
#ifndef PCCL_COLLECTIVES_CODEC_LOSSLESS_H
#define PCCL_COLLECTIVES_CODEC_LOSSLESS_H

#include <pccl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Working memory of one thread. */
struct pccl_lossless;

/* For runs of up to `bytes_max` bytes of elements, at most 1 GiB. All memory is taken here. The caller owns it and
 * ends it with pccl_lossless_destroy(). Returns pcclOutOfMemory; *lossless_out is NULL then. */
pcclResult_t pccl_lossless_create(size_t bytes_max, struct pccl_lossless **lossless_out);

/* NULL is fine. */
void pccl_lossless_destroy(struct pccl_lossless *lossless);

/* Encodes `count` elements into at most `capacity` bytes. Returns the bytes used; 0 if that is not fewer than the
 * elements have, or does not fit: then they should travel as they are. Not every run of zstd gives the same bytes,
 * but every one the same elements. */
size_t pccl_lossless_encode(struct pccl_lossless *lossless, const void *in, size_t count, pcclDataType_t type,
			    void *out, size_t capacity);

/* Decodes to exactly `count` elements. The bytes may come from anywhere: pcclInvalidArgument says why they are not
 * what encode() makes of so many elements, with `out` undefined. `out` may be `encoded`, or overlap it. */
pcclResult_t pccl_lossless_decode(struct pccl_lossless *lossless, const void *encoded, size_t encoded_bytes,
				  size_t count, pcclDataType_t type, void *out);

/*
 * Is it worth while? One per direction of a link, or per op. Segment by segment: ask choose(); if it says yes
 * encode and tell learn_encoding() how that went; tell learn_link() how fast bytes leave. While encoding is off a
 * segment is encoded now and then to see whether that has changed, so rarely that it costs one percent of the time
 * at most.
 */
struct pccl_lossless_choice {
	double ratio;	    /* encoded bytes per byte, smoothed; 0: not known */
	double encode_rate; /* bytes of elements per ns; 0: not known */
	double link_rate;   /* bytes per ns; 0: not known */
	uint32_t waited;    /* segments since the last one that was encoded */
};

/* Shall the next segment be encoded? Zeroed memory is a fresh choice: the first answer is yes. */
bool pccl_lossless_choose(struct pccl_lossless_choice *choice);

/* `bytes` of elements became `encoded_bytes` (0: they travel as they are) in `elapsed_ns` of one thread that also
 * has to send. */
void pccl_lossless_learn_encoding(struct pccl_lossless_choice *choice, size_t bytes, size_t encoded_bytes,
				  uint64_t elapsed_ns);

/* `bytes` left in `elapsed_ns` while there was always something to send. */
void pccl_lossless_learn_link(struct pccl_lossless_choice *choice, size_t bytes, uint64_t elapsed_ns);

#endif
