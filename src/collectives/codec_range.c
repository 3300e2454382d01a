/* pcclQuantMinMax and pcclQuantZeroPointScale: one range per run of elements. */
#include "collectives/codec_range.h"

#include "base/rng.h"
#include "collectives/codec_chunk.h"
#include "collectives/half.h"

#include <assert.h>
#include <math.h>

/* Layout: two doubles, which are the ends of the range, or the step and what is added to codes; then the codes. */
#define HEADER_BYTES (2 * sizeof(double))

/* How many steps of each kind find_step() tries. */
#define GRIDS_TRIED 4

static size_t code_bytes(const struct pccl_codec_params *params)
{
	return pccl_dtype_bytes(params->target);
}

/* 0, 1, 2 for 1, 2 or 4 bytes: an index of the kernel tables. */
static unsigned width_index(const struct pccl_codec_params *params)
{
	return (unsigned)code_bytes(params) / 2;
}

static double top_code(const struct pccl_codec_params *params)
{
	return (double)(((uint64_t)1 << (8 * code_bytes(params))) - 1);
}

size_t pccl_codec_range_bytes(const struct pccl_codec_params *params, size_t count)
{
	return count == 0 ? 0 : HEADER_BYTES + count * code_bytes(params);
}

/* The chunk that begins at element `at`, as float or double. */
static const void *chunk_at(const struct pccl_reduce_kernels *reals, const struct pccl_codec_params *params,
			    const void *in, size_t at, size_t count, struct pccl_codec_chunk *chunk)
{
	const uint8_t *from = (const uint8_t *)in + at * pccl_dtype_bytes(params->type);

	return pccl_codec_widen(reals, params->type, from, count, chunk);
}

static size_t chunk_count(size_t at, size_t count)
{
	return count - at < PCCL_CODEC_CHUNK ? count - at : PCCL_CODEC_CHUNK;
}

/* Rounds a step up to so few bits that its products with codes are exact in the element type. */
static double short_step(double step, bool is_double)
{
	const double least = is_double ? 0x1p-1054 : 0x1p-142;
	const uint64_t lost = ((uint64_t)1 << (is_double ? 32 : 45)) - 1;

	if (step < least)
		return least;
	return pccl_bits_double((pccl_double_bits(step) + lost) & ~lost);
}

static double next_step(double step, bool is_double)
{
	return pccl_bits_double(pccl_double_bits(step) + ((uint64_t)1 << (is_double ? 32 : 45)));
}

/* The step that divides the range into `parts`. */
static double divide_range(double low, double high, double parts, bool is_double)
{
	const double before = high > 0x1p1000 || low < -0x1p1000 ? 0x1p-4 : 1;

	return short_step((high * before - low * before) / parts / before, is_double);
}

static bool is_on_grid(const struct pccl_codec_kernels *kernels, const struct pccl_reduce_kernels *reals,
		       const struct pccl_codec_params *params, const void *in, size_t count, double step)
{
	const enum pccl_codec_real real = pccl_codec_real(params->type);
	struct pccl_codec_chunk chunk;
	size_t at, n;

	for (at = 0; at < count; at += n) {
		n = chunk_count(at, count);
		if (!kernels->on_grid[real](step, chunk_at(reals, params, in, at, n, &chunk), n))
			return false;
	}
	return true;
}

/* The step to encode with. A run that was decoded before is on the grid of a step that its range need not lead to
 * at once, for its ends were rounded to the grid and the step to few bits: looks for such a step nearby. On other
 * runs that ends soon. */
static double find_step(const struct pccl_codec_kernels *kernels, const struct pccl_reduce_kernels *reals,
			const struct pccl_codec_params *params, const void *in, size_t count, double low, double high,
			double top)
{
	const bool is_double = params->type == pcclDouble;
	const double first = divide_range(low, high, top, is_double);
	double step = first;
	unsigned tried;

	for (tried = 0; tried < GRIDS_TRIED; tried++) {
		if (is_on_grid(kernels, reals, params, in, count, step))
			return step;
		step = next_step(step, is_double);
	}
	for (tried = 1; tried < GRIDS_TRIED; tried++) {
		step = divide_range(low, high, top - tried, is_double);
		if (is_on_grid(kernels, reals, params, in, count, step))
			return step;
	}
	return first;
}

static double round_integer(double value)
{
	return (value + 0x1.8p52) - 0x1.8p52;
}

static double largest_of(pcclDataType_t type)
{
	if (type == pcclDouble)
		return 0x1.fffffffffffffp1023;
	if (type == pcclFloat16)
		return 65504;
	return type == pcclBFloat16 ? 0x1.fep127 : 0x1.fffffep127;
}

/* Steps of a range that holds zero, which is one of them. Codes whose values would overflow are not used. */
static struct pccl_codec_steps zero_point_steps(double low, double high, double top, double step, double largest)
{
	struct pccl_codec_steps steps = {1, 1, low, high, step, 0, 0, top};
	double last = round_integer(high / step);

	steps.zero = round_integer(low / step);
	if (steps.zero * step < -largest)
		steps.zero += 1;
	if (last * step > largest)
		last -= 1;
	if (last - steps.zero < top)
		steps.top = last - steps.zero;
	return steps;
}

/* Finds the range. Returns count, or the index of the chunk's first element that has none. */
static size_t find_range(const struct pccl_codec_kernels *kernels, const struct pccl_reduce_kernels *reals,
			 const struct pccl_codec_params *params, const void *in, size_t count, double *low,
			 double *high)
{
	const enum pccl_codec_real real = pccl_codec_real(params->type);
	const size_t real_bytes = real == PCCL_REAL_DOUBLE ? sizeof(double) : sizeof(float);
	struct pccl_codec_chunk chunk;
	double ignored_low = 0, ignored_high = 0;
	size_t at, n, i;

	for (at = 0; at < count; at += n) {
		const uint8_t *values;

		n = chunk_count(at, count);
		values = chunk_at(reals, params, in, at, n, &chunk);
		if (kernels->range[real](values, n, low, high))
			continue;
		for (i = 0; kernels->range[real](values + i * real_bytes, 1, &ignored_low, &ignored_high); i++)
			assert(i + 1 < n);
		return at + i;
	}
	return count;
}

static struct pccl_codec_steps make_steps(const struct pccl_codec_kernels *kernels,
					  const struct pccl_reduce_kernels *reals,
					  const struct pccl_codec_params *params, const void *in, size_t count,
					  double low, double high)
{
	const double top = top_code(params);
	double step;

	if (params->id == PCCL_CODEC_MINMAX)
		return pccl_codec_minmax_steps(low, high, top);
	low = low < 0 ? low : 0;
	high = high > 0 ? high : 0;
	if (params->rounding == PCCL_ROUND_NEAREST)
		step = find_step(kernels, reals, params, in, count, low, high, top);
	else
		step = divide_range(low, high, top, params->type == pcclDouble);
	return zero_point_steps(low, high, top, step, largest_of(params->type));
}

size_t pccl_codec_range_encode(enum pccl_cpu_level level, const struct pccl_codec_params *params, const void *in,
			       size_t count, uint8_t *out)
{
	const struct pccl_codec_kernels *kernels = pccl_codec_kernels(level);
	const struct pccl_reduce_kernels *reals = pccl_reduce_kernels(level);
	const enum pccl_codec_real real = pccl_codec_real(params->type);
	const unsigned width = width_index(params);
	const bool is_minmax = params->id == PCCL_CODEC_MINMAX;
	const pccl_steps_encode_fn encode =
		is_minmax ? kernels->minmax_encode[real][width] : kernels->zero_point_encode[real][width];
	const uint64_t key = pccl_rng_hash(params->key, 0);
	struct pccl_codec_chunk chunk;
	struct pccl_codec_steps steps;
	double low = INFINITY, high = -INFINITY, header[2];
	size_t at, n;

	if (count == 0)
		return 0;
	at = find_range(kernels, reals, params, in, count, &low, &high);
	if (at < count)
		return at;
	/* Zeros of both signs compare equal: which of them came first must not matter. */
	low += 0.0;
	high += 0.0;
	steps = make_steps(kernels, reals, params, in, count, low, high);
	header[0] = is_minmax ? low : steps.step;
	header[1] = is_minmax ? high : steps.zero;
	memcpy(out, header, HEADER_BYTES);
	for (at = 0; at < count; at += n) {
		const struct pccl_codec_random random = pccl_codec_random(key, params->first_element + at);

		n = chunk_count(at, count);
		encode(&steps, chunk_at(reals, params, in, at, n, &chunk), n,
		       params->rounding == PCCL_ROUND_STOCHASTIC ? &random : NULL,
		       out + HEADER_BYTES + at * code_bytes(params));
	}
	return count;
}

void pccl_codec_range_decode(enum pccl_cpu_level level, const struct pccl_codec_params *params, const uint8_t *encoded,
			     size_t first, size_t count, void *out)
{
	const struct pccl_codec_kernels *kernels = pccl_codec_kernels(level);
	const struct pccl_reduce_kernels *reals = pccl_reduce_kernels(level);
	const enum pccl_codec_real real = pccl_codec_real(params->type);
	const unsigned width = width_index(params);
	const bool is_minmax = params->id == PCCL_CODEC_MINMAX;
	const pccl_steps_decode_fn decode =
		is_minmax ? kernels->minmax_decode[real][width] : kernels->zero_point_decode[real][width];
	struct pccl_codec_steps steps = {1, 1, 0, 0, 0, 0, 0, 0};
	struct pccl_codec_chunk chunk;
	double header[2];
	size_t at, n;

	if (count == 0)
		return;
	memcpy(header, encoded, HEADER_BYTES);
	if (is_minmax) {
		steps = pccl_codec_minmax_steps(header[0], header[1], top_code(params));
	} else {
		steps.step = header[0];
		steps.zero = header[1];
	}
	for (at = 0; at < count; at += n) {
		uint8_t *to = (uint8_t *)out + at * pccl_dtype_bytes(params->type);

		n = chunk_count(at, count);
		decode(&steps, encoded + HEADER_BYTES + (first + at) * code_bytes(params), n,
		       pccl_codec_target(params->type, to, &chunk));
		pccl_codec_narrow(reals, params->type, &chunk, n, to);
	}
}
