/*
 * Evenly divided ranges, one per block: how their steps are made, and the codecs whose codes are whole bytes.
 */
#ifndef PCCL_COLLECTIVES_CODEC_RANGE_H
#define PCCL_COLLECTIVES_CODEC_RANGE_H

#include "collectives/codec/codec_kernels.h"

/*
 * Steps 0 ... top from `low` to `high`, both of which are coded exactly: so a decoded range is found again when it is
 * encoded once more. Any two numbers will do, for they may come from outside; an encoder gives low <= high, finite.
 *
 * The arithmetic is double. For the elements of float32 that leaves so many bits to spare that each code's value
 * rounds to one float and that float back to a code of the same value, even if the steps are finer than the floats.
 */
static inline struct pccl_codec_steps pccl_codec_minmax_steps(double low, double high, double top)
{
	double magnitude = (high < 0 ? -high : high) > (low < 0 ? -low : low) ? high : low;
	struct pccl_codec_steps steps = {1, 1, 0, 0, 0, 0, 0, 0};

	magnitude = magnitude < 0 ? -magnitude : magnitude;
	if (magnitude > 0x1p1000) {
		steps.before = 0x1p-8;
		steps.after = 0x1p8;
	} else if (magnitude < 0x1p-700) {
		steps.before = 0x1p300;
		steps.after = 0x1p-300;
	}
	steps.low = low * steps.before;
	steps.high = high * steps.before;
	steps.step = (steps.high - steps.low) / top;
	steps.inverse = steps.high > steps.low ? top / (steps.high - steps.low) : 0;
	steps.top = top;
	return steps;
}

/* One block with a range of its own: a header of two reals, then codes of 1, 2 or 4 bytes. Called by codec.c, for
 * the codecs int8-minmax, minmax and zero-point, with checked parameters; `in` and `out` are float, of doubles
 * double. */

size_t pccl_codec_range_bytes(const struct pccl_codec_params *params, size_t count);

/* A block whose range is none: it decodes to NaNs. */
void pccl_codec_range_poison(const struct pccl_codec_params *params, size_t count, uint8_t *out);

/* `random` is NULL for rounding to nearest; count is at least 1. False: there is a NaN or infinity. */
bool pccl_codec_range_encode(const struct pccl_codec_kernels *kernels, const struct pccl_codec_params *params,
			     const void *in, size_t count, const struct pccl_codec_random *random, uint8_t *out);

void pccl_codec_range_decode(const struct pccl_codec_kernels *kernels, const struct pccl_codec_params *params,
			     const uint8_t *in, size_t count, void *out);

#endif
