/* What elements look like on their way, and whether they came right: codecs, compression, checksums, digests of
 * results. pccl.h includes this. */
#ifndef PCCL_CODECS_H
#define PCCL_CODECS_H

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Codecs: how the elements of an all-reduce travel. Every contribution is encoded once, the owner of a shard adds the
 * decoded contributions in rank order (floats in binary32, doubles in binary64) and encodes the result once;
 * everybody, the owner too, uses the decoded bytes, so results are the same bits on all peers and for all plans, and
 * the error does not grow with the number of peers. float16, bfloat16, float and double can be coded. A ring adds at
 * every hop and would encode at every hop: with a codec it is an error, and pcclPlanAuto never becomes one. What
 * would not get smaller (a short rest, bfloat16 as bfloat16) travels plain. A NaN or infinity that the codec can't
 * carry, or a number that is too large for pcclQuantBF16 or pcclQuantFP16 (see pcclOverflow_t), fails the operation on
 * every peer with pcclInvalidArgument; the last error names the rank and the element.
 * All peers must choose alike.
 */
typedef enum pcclQuantizationAlgorithm_t {
	pcclQuantNone = 0,
	pcclQuantMinMax = 1,	     /* even steps over one range per block, into `quantized_datatype` */
	pcclQuantZeroPointScale = 2, /* likewise, and zero is exact */
	pcclQuantBF16 = 100,
	pcclQuantFP16 = 101,
	pcclQuantE4M3 = 102, /* 8-bit floats with a scale per block */
	pcclQuantE5M2 = 103,
	pcclQuantInt8 = 104, /* symmetric steps with a scale per block */
	pcclQuantInt4 = 105,
	pcclQuantInt8MinMax = 106, /* even steps between the extremes of a block */
	pcclQuantInt4MinMax = 107,
	pcclQuantE3M0 = 108, /* 4-bit floats: sign and exponent (Streaming DiLoCo, arXiv 2501.18512) */
	pcclQuantNF4 = 109,  /* 16 quantiles of a normal distribution (QLoRA, arXiv 2305.14314) */
	pcclQuantPlain = 199 /* for `codec_down` only: results travel as they are */
} pcclQuantizationAlgorithm_t;

typedef enum pcclRounding_t {
	pcclRoundNearest = 0,
	pcclRoundStochastic = 100 /* without bias; the random numbers follow from tag and element, so runs repeat */
} pcclRounding_t;

/* Finite numbers that pcclQuantBF16 or pcclQuantFP16 (beyond 65504) would make infinite; infinities stay. */
typedef enum pcclOverflow_t {
	pcclOverflowRefuse = 0,	   /* the operation fails with pcclInvalidArgument; the last error names the element */
	pcclOverflowSaturate = 100 /* they become the largest number, with their sign; so does a result */
} pcclOverflow_t;

/*
 * The lossless stage: whatever travels of a segment, elements or what a codec has made of them, is split into byte
 * planes and compressed with zstd. Results keep every bit. Each peer chooses for what it sends, members need not choose
 * alike, and a segment that would not get smaller travels as it is. Gradients in bfloat16 shrink by a quarter to a
 * third, in float32 by a seventh. What is small enough to be sent without asking the receiver (64 KiB for each
 * neighbour at most) is left alone.
 */
typedef enum pcclZstd_t {
	pcclZstdDefault = 0, /* the communicator's; there `pcclZstdOff`, and `pcclZstdAuto` for states that are moved */
	pcclZstdOff = 100,
	pcclZstdAuto = 101, /* where it was measured to pay: the network is slow and the data gets smaller */
	pcclZstdOn = 102    /* everywhere */
} pcclZstd_t;

/*
 * Checksums (CRC32C) of the elements that this peer sends; members need not choose alike. Without them, what the
 * network damages and its own checksums let pass goes into the results unnoticed. By default all have them that leave
 * the host, except inside TLS, which finds all damage by itself. Those sent from an address of the host to the same
 * address, straight to a process on the same kernel, do not: they only pass through its memory, as they do within the
 * processes. Without checksums a large plain operation takes up to a quarter less processor time. Frame headers and
 * what goes to the master are checked always.
 */
typedef enum pcclChecksums_t {
	pcclChecksumsDefault = 0, /* pcclChecksumsAuto */
	pcclChecksumsOn = 100,
	pcclChecksumsOff = 101, /* nowhere: for networks that are trusted as memory is */
	pcclChecksumsAuto = 102 /* where they leave the host, and TLS does not seal them anyway */
} pcclChecksums_t;

/*
 * Members compare digests (SHA-256, cut to 16 bytes) of what they take for the result of each all-reduce, all-gather
 * and broadcast before it ends: so one that sends different results to different members, or whose memory errs, is
 * noticed by all, and the operation is pcclResultsDiffer everywhere, with input back. The last error names who differs,
 * and who else may be behind it. What a member contributes is its own matter. Costs a trip more, and about 0.9 s of
 * processor time for each GiB of result at each member. All members choose alike.
 */
typedef enum pcclVerify_t {
	pcclVerifyDefault = 0, /* pcclVerifyOff */
	pcclVerifyOff = 100,
	pcclVerifyDigest = 101
} pcclVerify_t;

#ifdef __cplusplus
}
#endif

#endif
