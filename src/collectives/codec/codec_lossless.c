/* The lossless stage: byte planes and zstd. */
#include "collectives/codec/codec_lossless.h"

#include "base/bytes.h"
#include "base/fail.h"
#include "base/memory.h"
#include "collectives/codec/planes.h"
#include "collectives/element/dtype.h"

#include <assert.h>
#include <string.h>

/* For contexts in memory of our own: others allocate while they work. */
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

#define BYTES_MAX ((size_t)1 << 30)
#define PLANE_HEADER_BYTES 5
#define ALIGN_BYTES 64

/* Wire format. */
enum plane_kind { PLANE_RAW = 0, PLANE_ZSTD = 1 };

/* Bytes of a plane that are looked at to tell whether it is noise. */
#define SAMPLE_BYTES 2048

/* What is known is forgotten by an eighth with each new measurement. */
#define SMOOTHING 0.125

/* Encoding pays if it saves this much of the time; then errors of the measurements do not make it a loss. */
#define WORTH_WHILE 0.97

/* Decoding takes half as long as encoding. */
#define WITH_DECODING 1.5

/* Trials take at most one in this many parts of the time, and come after so many segments at the earliest. */
#define TRIAL_SHARE 100
#define TRIAL_PAUSE 10

struct pccl_lossless {
	ZSTD_CCtx *compressor;
	ZSTD_DCtx *decompressor;
	uint8_t *planes; /* bytes_max of them */
	size_t bytes_max;
	/* behind it: the memory of the three */
};

/* Few matches are looked for, and long ones only: exponents repeat by chance, and entropy coding alone gets more
 * out of them in a third of the time. Runs of zeros are still found. */
#define HASH_LOG 6
#define MATCH_MIN 7

static bool set_parameters(ZSTD_CCtx *compressor)
{
	return !ZSTD_isError(ZSTD_CCtx_setParameter(compressor, ZSTD_c_compressionLevel, 1)) &&
	       !ZSTD_isError(ZSTD_CCtx_setParameter(compressor, ZSTD_c_strategy, ZSTD_fast)) &&
	       !ZSTD_isError(ZSTD_CCtx_setParameter(compressor, ZSTD_c_hashLog, HASH_LOG)) &&
	       !ZSTD_isError(ZSTD_CCtx_setParameter(compressor, ZSTD_c_minMatch, MATCH_MIN)) &&
	       !ZSTD_isError(ZSTD_CCtx_setParameter(compressor, ZSTD_c_contentSizeFlag, 1));
}

static size_t compressor_bytes(size_t bytes_max)
{
	ZSTD_compressionParameters parameters = ZSTD_getCParams(1, bytes_max, 0);

	parameters.strategy = ZSTD_fast;
	parameters.hashLog = HASH_LOG;
	parameters.minMatch = MATCH_MIN;
	return ZSTD_estimateCCtxSize_usingCParams(parameters);
}

static size_t aligned(size_t bytes)
{
	return (bytes + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
}

pcclResult_t pccl_lossless_create(size_t bytes_max, struct pccl_lossless **lossless_out)
{
	size_t head = aligned(sizeof(struct pccl_lossless)), compressor = aligned(compressor_bytes(bytes_max));
	size_t decompressor = aligned(ZSTD_estimateDCtxSize());
	struct pccl_lossless *lossless;
	uint8_t *memory;

	assert(bytes_max <= BYTES_MAX);
	*lossless_out = NULL;
	memory = pccl_alloc_aligned(ALIGN_BYTES, head + compressor + decompressor + bytes_max);
	if (memory == NULL)
		return pccl_fail(pcclOutOfMemory, "no memory for compression");
	lossless = (struct pccl_lossless *)(void *)memory;
	lossless->bytes_max = bytes_max;
	lossless->compressor = ZSTD_initStaticCCtx(memory + head, compressor);
	lossless->decompressor = ZSTD_initStaticDCtx(memory + head + compressor, decompressor);
	lossless->planes = memory + head + compressor + decompressor;
	if (lossless->compressor == NULL || lossless->decompressor == NULL || !set_parameters(lossless->compressor)) {
		pccl_free(memory);
		return pccl_fail(pcclOutOfMemory, "this libzstd needs more memory than it says");
	}
	*lossless_out = lossless;
	return pcclSuccess;
}

void pccl_lossless_destroy(struct pccl_lossless *lossless)
{
	pccl_free(lossless);
}

/* Does a sample hold so many different bytes, so evenly, that nothing can be gained? The chance that two are equal
 * is 1/256 for noise; what is left out here would gain two percent at best. */
static bool is_noise(const uint8_t *plane, size_t count)
{
	const size_t sampled = count < SAMPLE_BYTES ? count : SAMPLE_BYTES,
		     stride = count / (sampled > 0 ? sampled : 1);
	uint32_t counts[256] = {0};
	uint64_t pairs = 0;
	size_t i;

	for (i = 0; i < sampled; i++)
		counts[plane[i * stride]]++;
	for (i = 0; i < 256; i++)
		pairs += (uint64_t)counts[i] * (counts[i] > 0 ? counts[i] - 1 : 0);
	return sampled == SAMPLE_BYTES && pairs * 256 < (uint64_t)sampled * sampled * 5 / 4;
}

/* One plane into at most `capacity` bytes. Returns those used, 0 if it does not fit. */
static size_t encode_plane(struct pccl_lossless *lossless, const uint8_t *plane, size_t count, uint8_t *out,
			   size_t capacity, enum plane_kind *kind_out)
{
	*kind_out = PLANE_ZSTD;
	if (!is_noise(plane, count)) {
		/* What does not get smaller than raw is an error to it. */
		size_t room = capacity < count ? capacity : count;
		size_t bytes = ZSTD_compress2(lossless->compressor, out, room, plane, count);

		if (!ZSTD_isError(bytes))
			return bytes;
	}
	*kind_out = PLANE_RAW;
	if (capacity < count)
		return 0;
	memcpy(out, plane, count);
	return count;
}

size_t pccl_lossless_encode(struct pccl_lossless *lossless, const void *in, size_t count, pcclDataType_t type,
			    void *out, size_t capacity)
{
	const size_t planes = pccl_dtype_bytes(type), header_bytes = planes * PLANE_HEADER_BYTES;
	const size_t limit = capacity < count * planes ? capacity : count * planes;
	struct pccl_writer header;
	size_t used = header_bytes, plane;

	assert(count <= lossless->bytes_max / planes);
	if (limit <= header_bytes)
		return 0;
	pccl_planes_split(lossless->planes, in, count, type);
	header.at = out;
	header.end = (uint8_t *)out + header_bytes;
	header.overflow = false;
	for (plane = 0; plane < planes; plane++) {
		enum plane_kind kind;
		size_t bytes = encode_plane(lossless, lossless->planes + plane * count, count, (uint8_t *)out + used,
					    limit - used, &kind);

		if (bytes == 0)
			return 0;
		pccl_put_u8(&header, (uint8_t)kind);
		pccl_put_u32(&header, (uint32_t)bytes);
		used += bytes;
	}
	assert(!header.overflow);
	return used < count * planes ? used : 0;
}

static pcclResult_t decode_plane(struct pccl_lossless *lossless, uint8_t kind, const uint8_t *encoded, size_t bytes,
				 uint8_t *plane, size_t count)
{
	size_t decoded;

	if (kind == PLANE_RAW) {
		if (bytes != count)
			return pccl_fail(pcclInvalidArgument, "a plane of %zu bytes for %zu elements", bytes, count);
		memcpy(plane, encoded, count);
		return pcclSuccess;
	}
	if (kind != PLANE_ZSTD)
		return pccl_fail(pcclInvalidArgument, "a plane of the unknown kind %d", (int)kind);
	decoded = ZSTD_decompressDCtx(lossless->decompressor, plane, count, encoded, bytes);
	if (ZSTD_isError(decoded))
		return pccl_fail(pcclInvalidArgument, "a plane that cannot be decompressed: %s",
				 ZSTD_getErrorName(decoded));
	if (decoded != count)
		return pccl_fail(pcclInvalidArgument, "a plane of %zu bytes for %zu elements", decoded, count);
	return pcclSuccess;
}

pcclResult_t pccl_lossless_decode(struct pccl_lossless *lossless, const void *encoded, size_t encoded_bytes,
				  size_t count, pcclDataType_t type, void *out)
{
	const size_t planes = pccl_dtype_bytes(type), header_bytes = planes * PLANE_HEADER_BYTES;
	struct pccl_reader header;
	size_t used = header_bytes, plane;

	assert(count <= lossless->bytes_max / planes);
	if (encoded_bytes < header_bytes)
		return pccl_fail(pcclInvalidArgument, "%zu compressed bytes are not even a header", encoded_bytes);
	header.at = encoded;
	header.end = (const uint8_t *)encoded + header_bytes;
	header.bad = false;
	for (plane = 0; plane < planes; plane++) {
		const uint8_t kind = pccl_get_u8(&header);
		const size_t bytes = pccl_get_u32(&header);
		pcclResult_t result;

		if (bytes > encoded_bytes - used)
			return pccl_fail(pcclInvalidArgument, "a compressed plane goes beyond the end");
		result = decode_plane(lossless, kind, (const uint8_t *)encoded + used, bytes,
				      lossless->planes + plane * count, count);
		if (result != pcclSuccess)
			return result;
		used += bytes;
	}
	if (used != encoded_bytes)
		return pccl_fail(pcclInvalidArgument, "%zu bytes behind the last compressed plane",
				 encoded_bytes - used);
	pccl_planes_merge(out, lossless->planes, count, type);
	return pcclSuccess;
}

/* ---- is it worth while? ---- */

static void learn(double *known, double measured)
{
	*known = *known > 0 ? *known + (measured - *known) * SMOOTHING : measured;
}

/* Encoding and sending take turns on one thread at worst, receiving and decoding too: then a byte costs the sum. */
static bool pays(const struct pccl_lossless_choice *choice)
{
	const double now = 1 / choice->link_rate;

	return WITH_DECODING / choice->encode_rate + choice->ratio * now < WORTH_WHILE * now;
}

bool pccl_lossless_choose(struct pccl_lossless_choice *choice)
{
	bool chosen;

	if (choice->ratio <= 0 || choice->encode_rate <= 0)
		chosen = true;
	else if (choice->link_rate <= 0)
		chosen = false;
	else
		chosen = pays(choice) ||
			 choice->waited >= TRIAL_SHARE * choice->link_rate / choice->encode_rate + TRIAL_PAUSE;
	choice->waited = chosen ? 0 : choice->waited + 1;
	return chosen;
}

void pccl_lossless_learn_encoding(struct pccl_lossless_choice *choice, size_t bytes, size_t encoded_bytes,
				  uint64_t elapsed_ns)
{
	if (bytes == 0)
		return;
	learn(&choice->ratio, encoded_bytes == 0 ? 1.0 : (double)encoded_bytes / (double)bytes);
	learn(&choice->encode_rate, (double)bytes / (double)(elapsed_ns > 0 ? elapsed_ns : 1));
}

void pccl_lossless_learn_link(struct pccl_lossless_choice *choice, size_t bytes, uint64_t elapsed_ns)
{
	double cost = choice->link_rate > 0 ? 1 / choice->link_rate : 0;

	if (bytes == 0 || elapsed_ns == 0)
		return;
	/* Times are what adds up: a moment in which the link seemed endlessly fast says little. */
	learn(&cost, (double)elapsed_ns / (double)bytes);
	choice->link_rate = 1 / cost;
}
