/* Error feedback: two arrays, what is left over for certain and what will be if the op succeeds. */
#include "collectives/codec_feedback.h"

#include "base/fail.h"
#include "base/memory.h"
#include "collectives/dtype.h"
#include "collectives/reduce.h"

#include <assert.h>
#include <string.h>

/* Elements that are encoded and decoded at a time: a multiple of every power of two among the blocks. */
#define CHUNK PCCL_CODEC_BLOCK_MAX

struct pccl_feedback {
	pcclDataType_t type;
	pcclDataType_t partial; /* what both arrays hold */
	size_t count;
	uint8_t *certain;
	uint8_t *pending;
};

static size_t array_bytes(const struct pccl_feedback *feedback)
{
	return feedback->count * pccl_dtype_bytes(feedback->partial);
}

pcclResult_t pccl_feedback_create(size_t count, pcclDataType_t type, struct pccl_feedback **feedback_out)
{
	struct pccl_feedback *feedback;

	assert(pccl_dtype_is_float(type));
	*feedback_out = NULL;
	feedback = pccl_zalloc(sizeof(*feedback));
	if (feedback == NULL)
		return pcclOutOfMemory;
	feedback->type = type;
	feedback->partial = pccl_dtype_partial(type);
	feedback->count = count;
	/* One element more, for an allocation of nothing may be NULL. */
	feedback->certain = pccl_calloc(count + 1, pccl_dtype_bytes(feedback->partial));
	feedback->pending = pccl_calloc(count + 1, pccl_dtype_bytes(feedback->partial));
	if (feedback->certain == NULL || feedback->pending == NULL) {
		pccl_feedback_destroy(feedback);
		return pccl_fail(pcclOutOfMemory, "no memory for the error feedback of %zu elements", count);
	}
	*feedback_out = feedback;
	return pcclSuccess;
}

void pccl_feedback_destroy(struct pccl_feedback *feedback)
{
	if (feedback == NULL)
		return;
	pccl_free(feedback->certain);
	pccl_free(feedback->pending);
	pccl_free(feedback);
}

void pccl_feedback_begin(struct pccl_feedback *feedback)
{
	memcpy(feedback->pending, feedback->certain, array_bytes(feedback));
}

void pccl_feedback_take(struct pccl_feedback *feedback, size_t first, const void *in, size_t count, void *sums_out)
{
	const size_t element_bytes = pccl_dtype_bytes(feedback->partial);

	assert(first <= feedback->count && count <= feedback->count - first);
	pccl_reduce_partial(sums_out, feedback->certain + first * element_bytes, in, count, feedback->type, pcclSum);
	memset(feedback->pending + first * element_bytes, 0, count * element_bytes);
}

/* left[i] = wanted[i] - got[i]; `left` may be `wanted`. */
static void subtract(pcclDataType_t type, void *left, const void *wanted, const void *got, size_t count)
{
	size_t i;

	if (type == pcclDouble) {
		double *to = left;
		const double *from = wanted, *less = got;

		for (i = 0; i < count; i++)
			to[i] = from[i] - less[i];
	} else {
		float *to = left;
		const float *from = wanted, *less = got;

		for (i = 0; i < count; i++)
			to[i] = from[i] - less[i];
	}
}

size_t pccl_feedback_encode(struct pccl_feedback *feedback, const struct pccl_codec_params *params, size_t first,
			    const void *in, size_t count, void *out)
{
	const size_t partial_bytes = pccl_dtype_bytes(feedback->partial), in_bytes = pccl_dtype_bytes(params->type);
	const size_t align = pccl_codec_align_elements(params), chunk = CHUNK / align * align;
	struct pccl_codec_params wide = *params;
	double decoded[CHUNK]; /* or as many floats */
	uint8_t *to = out;
	size_t at, n;

	assert(params->type == feedback->type);
	assert(first % align == 0 && first <= feedback->count && count <= feedback->count - first);
	if (params->id == PCCL_CODEC_NONE) {
		/* Nothing is taken, and nothing ever left over. */
		return pccl_codec_encode(params, in, count, out);
	}
	wide.type = feedback->partial;
	for (at = 0; at < count; at += n) {
		const size_t offset_bytes = (first + at) * partial_bytes;
		uint8_t *pending = feedback->pending + offset_bytes;
		size_t encoded;

		n = count - at < chunk ? count - at : chunk;
		pccl_reduce_partial(pending, feedback->certain + offset_bytes, (const uint8_t *)in + at * in_bytes, n,
				    params->type, pcclSum);
		wide.first_element = params->first_element + at;
		encoded = pccl_codec_encode(&wide, pending, n, to);
		if (encoded < n)
			return at + encoded;
		pccl_codec_decode(&wide, to, n, decoded);
		subtract(feedback->partial, pending, pending, decoded, n);
		to += pccl_codec_encoded_bytes(&wide, n);
	}
	return count;
}

void pccl_feedback_commit(struct pccl_feedback *feedback)
{
	uint8_t *committed = feedback->pending;

	feedback->pending = feedback->certain;
	feedback->certain = committed;
}
