/* pcclQuantMinMax and pcclQuantZeroPointScale, and the 8-bit codes of a block's own range. */
#include "collectives/codec/codec_range.h"

#include "collectives/element/dtype.h"
#include "collectives/element/half.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* How many steps of each kind find_step() tries. */
#define GRIDS_TRIED 4

/* The type that codes travel in. */
static size_t code_bytes(const struct pccl_codec_params *params)
{
	return params->id == PCCL_CODEC_INT8_MINMAX ? 1 : pccl_dtype_bytes(params->target);
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

static size_t real_bytes(const struct pccl_codec_params *params)
{
	return params->type == pcclDouble ? sizeof(double) : sizeof(float);
}

static enum pccl_codec_real real_of(const struct pccl_codec_params *params)
{
	return params->type == pcclDouble ? PCCL_REAL_DOUBLE : PCCL_REAL_FLOAT;
}

/* The header: two reals, which are the ends of the range, or the step and what is added to codes. */
static void write_header(const struct pccl_codec_params *params, double first, double second, uint8_t *out)
{
	const double wide[2] = {first, second};
	const float narrow[2] = {(float)first, (float)second};

	if (params->type == pcclDouble)
		memcpy(out, wide, sizeof(wide));
	else
		memcpy(out, narrow, sizeof(narrow));
}

static void read_header(const struct pccl_codec_params *params, const uint8_t *in, double header_out[2])
{
	float narrow[2];

	if (params->type == pcclDouble) {
		memcpy(header_out, in, 2 * sizeof(double));
		return;
	}
	memcpy(narrow, in, sizeof(narrow));
	header_out[0] = (double)narrow[0];
	header_out[1] = (double)narrow[1];
}

size_t pccl_codec_range_bytes(const struct pccl_codec_params *params, size_t count)
{
	return 2 * real_bytes(params) + count * code_bytes(params);
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

/* The step to encode with. A run that was decoded before is on the grid of a step that its range need not lead to
 * at once, for its ends were rounded to the grid and the step to few bits: looks for such a step nearby. On other
 * runs that ends soon. */
static double find_step(const struct pccl_codec_kernels *kernels, bool is_double, const void *in, size_t count,
			double low, double high, double top)
{
	const enum pccl_codec_real real = is_double ? PCCL_REAL_DOUBLE : PCCL_REAL_FLOAT;
	const double first = divide_range(low, high, top, is_double);
	double step = first;
	unsigned tried;

	for (tried = 0; tried < GRIDS_TRIED; tried++) {
		if (kernels->on_grid[real](step, in, count))
			return step;
		step = next_step(step, is_double);
	}
	for (tried = 1; tried < GRIDS_TRIED; tried++) {
		step = divide_range(low, high, top - tried, is_double);
		if (kernels->on_grid[real](step, in, count))
			return step;
	}
	return first;
}

/* Where all elements are zero or the largest magnitude, with either sign, that is a step which keeps them: counters and
 * other constants come out as they are. 0: it is not so. */
static double whole_step(const struct pccl_codec_kernels *kernels, bool is_double, const void *in, size_t count,
			 double low, double high)
{
	double largest = high > -low ? high : -low;

	if (largest == 0 || !kernels->on_grid[is_double ? PCCL_REAL_DOUBLE : PCCL_REAL_FLOAT](largest, in, count))
		return 0;
	return largest;
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

static struct pccl_codec_steps make_steps(const struct pccl_codec_kernels *kernels,
					  const struct pccl_codec_params *params, const void *in, size_t count,
					  double low, double high)
{
	const bool is_double = params->type == pcclDouble;
	const double top = top_code(params);
	double step;

	if (params->id != PCCL_CODEC_ZERO_POINT)
		return pccl_codec_minmax_steps(low, high, top);
	low = low < 0 ? low : 0;
	high = high > 0 ? high : 0;
	step = whole_step(kernels, is_double, in, count, low, high);
	if (step == 0 && (params->rounding & PCCL_ROUND_STOCHASTIC) == 0)
		step = find_step(kernels, is_double, in, count, low, high, top);
	else if (step == 0)
		step = divide_range(low, high, top, is_double);
	return zero_point_steps(low, high, top, step, largest_of(params->type));
}

void pccl_codec_range_poison(const struct pccl_codec_params *params, size_t count, uint8_t *out)
{
	write_header(params, NAN, NAN, out);
	memset(out + 2 * real_bytes(params), 0, count * code_bytes(params));
}

/* The same NaN on every processor. */
static void fill_poison(const struct pccl_codec_params *params, size_t count, uint8_t *out)
{
	size_t bytes = real_bytes(params), i;

	for (i = 0; i < count; i++) {
		memset(out + i * bytes, 0, bytes);
		out[i * bytes + bytes - 1] = 0x7f;
		out[i * bytes + bytes - 2] = params->type == pcclDouble ? 0xf8 : 0xc0;
	}
}

bool pccl_codec_range_encode(const struct pccl_codec_kernels *kernels, const struct pccl_codec_params *params,
			     const void *in, size_t count, const struct pccl_codec_random *random, uint8_t *out)
{
	const enum pccl_codec_real real = real_of(params);
	const unsigned width = width_index(params);
	const bool has_zero = params->id == PCCL_CODEC_ZERO_POINT;
	double low = INFINITY, high = -INFINITY;
	struct pccl_codec_steps steps;

	assert(count > 0);
	if (!kernels->range[real](in, count, &low, &high))
		return false;
	/* Zeros of both signs compare equal: which of them came first must not matter. */
	low += 0.0;
	high += 0.0;
	steps = make_steps(kernels, params, in, count, low, high);
	write_header(params, has_zero ? steps.step : low, has_zero ? steps.zero : high, out);
	out += 2 * real_bytes(params);
	if (has_zero)
		kernels->zero_point_encode[real][width](&steps, in, count, random, out);
	else
		kernels->minmax_encode[real][width](&steps, in, count, random, out);
	return true;
}

void pccl_codec_range_decode(const struct pccl_codec_kernels *kernels, const struct pccl_codec_params *params,
			     const uint8_t *in, size_t count, void *out)
{
	const enum pccl_codec_real real = real_of(params);
	const unsigned width = width_index(params);
	const uint8_t *codes = in + 2 * real_bytes(params);
	struct pccl_codec_steps steps = {1, 1, 0, 0, 0, 0, 0, 0};
	double header[2];

	read_header(params, in, header);
	if (isnan(header[0])) {
		fill_poison(params, count, out);
		return;
	}
	if (params->id == PCCL_CODEC_ZERO_POINT) {
		steps.step = header[0];
		steps.zero = header[1];
		kernels->zero_point_decode[real][width](&steps, codes, count, out);
	} else {
		steps = pccl_codec_minmax_steps(header[0], header[1], top_code(params));
		kernels->minmax_decode[real][width](&steps, codes, count, out);
	}
}
