/* The error of codecs; see codec_error.h. */
#include "codec_error.h"

#include "check.h"
#include "reference_data.h"

#include <math.h>
#include <stdbool.h>

#define SAMPLE_ELEMENTS 1024
#define SAMPLES_MAX 256

/* Sums over elements. */
struct sums {
	double errors;
	double error_squares;
	double exact_squares;
	size_t count;
};

static void store(pcclDataType_t datatype, void *out, size_t index, float value)
{
	if (datatype == pcclFloat16)
		((uint16_t *)out)[index] = bench_half_of_float(value);
	else if (datatype == pcclBFloat16)
		((uint16_t *)out)[index] = bench_bfloat_of_float(value);
	else if (datatype == pcclDouble)
		((double *)out)[index] = value;
	else
		((float *)out)[index] = value;
}

static double load(pcclDataType_t datatype, const void *from, size_t index)
{
	if (datatype == pcclFloat16)
		return bench_float_of_half(((const uint16_t *)from)[index]);
	if (datatype == pcclBFloat16)
		return bench_float_of_bfloat(((const uint16_t *)from)[index]);
	if (datatype == pcclDouble)
		return ((const double *)from)[index];
	return ((const float *)from)[index];
}

void bench_reference_fill(pcclDataType_t datatype, uint64_t seed, uint32_t peer, size_t count, void *out)
{
	for (size_t i = 0; i < count; i++)
		store(datatype, out, i, reference_element(seed, peer, i));
}

static double exact_element(const struct bench_exact *exact, size_t index)
{
	union {
		uint16_t half;
		float single;
		double wide;
	} rounded;
	double sum = 0;

	for (uint32_t peer = 0; peer < exact->peers; peer++) {
		store(exact->datatype, &rounded, 0, reference_element(exact->seed, peer, index));
		sum += load(exact->datatype, &rounded, 0);
	}
	return exact->op == pcclAvg ? sum / exact->peers : sum;
}

static void add_sample(const struct bench_exact *exact, size_t first, size_t end, const void *result, struct sums *sums)
{
	for (size_t i = first; i < end; i++) {
		double value = exact_element(exact, i);
		double error = load(exact->datatype, result, i) - value;

		sums->errors += error;
		sums->error_squares += error * error;
		sums->exact_squares += value * value;
	}
	sums->count += end - first;
}

static struct bench_error conclude(const struct sums *sums)
{
	struct bench_error none = {BENCH_ERROR_NONE_DB, 0}, unbounded = {BENCH_ERROR_UNBOUNDED_DB, 0}, error;
	double count = (double)sums->count;
	double variance;

	if (sums->error_squares == 0)
		return none;
	error.rel_l2_db = 10 * log10(sums->error_squares / sums->exact_squares);
	variance = sums->count > 1 ? (sums->error_squares - sums->errors * sums->errors / count) / (count - 1) : 0;
	error.bias = variance > 0 ? sums->errors / sqrt(count * variance) : 0;
	return isfinite(error.rel_l2_db) ? error : unbounded;
}

struct bench_error bench_error_measure(const struct bench_exact *exact, size_t count, const void *result)
{
	size_t blocks = (count + SAMPLE_ELEMENTS - 1) / SAMPLE_ELEMENTS;
	size_t samples = blocks < SAMPLES_MAX ? blocks : SAMPLES_MAX;
	struct sums sums = {0, 0, 0, 0};

	for (size_t i = 0; i < samples; i++) {
		size_t first = i * blocks / samples * SAMPLE_ELEMENTS;
		size_t end = count - first < SAMPLE_ELEMENTS ? count : first + SAMPLE_ELEMENTS;

		add_sample(exact, first, end, result, &sums);
	}
	return conclude(&sums);
}
