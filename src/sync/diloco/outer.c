#include "sync/diloco/outer.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

void pccl_outer_gradient(float *gradient, const float *outer, const float *deviation, const float *local, size_t count)
{
	size_t i;

	if (deviation == NULL)
		for (i = 0; i < count; i++)
			gradient[i] = outer[i] - local[i];
	else
		for (i = 0; i < count; i++)
			gradient[i] = outer[i] + deviation[i] - local[i];
}

void pccl_outer_scale(float *to, const float *from, float share, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		to[i] = share * from[i];
}

void pccl_outer_nesterov(const struct pccl_outer_rule *rule, float *next, const float *outer, float *momentum,
			 const float *mean, size_t count)
{
	const float rate = rule->learning_rate, factor = rule->momentum;
	size_t i;

	for (i = 0; i < count; i++) {
		const float moved = factor * momentum[i] + mean[i];

		momentum[i] = moved;
		next[i] = outer[i] - rate * (mean[i] + factor * moved);
	}
}

/* The mean of |outer - before|; in order, so that all peers have the same one. */
static double mean_step(const float *outer, const float *before, size_t count)
{
	double sum = 0;
	size_t i;

	for (i = 0; i < count; i++)
		sum += (double)fabsf(outer[i] - before[i]);
	return count > 0 ? sum / (double)count : 0;
}

static float clip(float value, float limit)
{
	if (value > limit)
		return limit;
	return value < -limit ? -limit : value;
}

void pccl_outer_co2(const struct pccl_outer_rule *rule, float *next, const float *outer, const float *before,
		    float *momentum, double *step_mean, const float *mean, size_t count)
{
	const double step = mean_step(outer, before, count);
	float usual;
	size_t i;

	*step_mean = *step_mean > 0 ? 0.9 * *step_mean + 0.1 * step : step;
	usual = (float)*step_mean;
	for (i = 0; i < count; i++) {
		float gap = 1;

		if (rule->penalize && usual > 0)
			gap = fabsf(outer[i] - before[i]) / usual + 1;
		momentum[i] = rule->momentum * momentum[i] + mean[i] / gap;
	}
	for (i = 0; rule->clip > 0 && i < count; i++)
		momentum[i] = clip(momentum[i], rule->clip);
	for (i = 0; i < count; i++)
		next[i] = outer[i] - rule->learning_rate * momentum[i];
}

void pccl_outer_eager(const struct pccl_outer_rule *rule, float share, const float *fresh, float *own, float *deviation,
		      float *deviation_momentum, size_t count)
{
	const float rate = rule->learning_rate, factor = rule->momentum;
	size_t i;

	for (i = 0; i < count; i++) {
		const float given = share * fresh[i];
		const float change = given - own[i];
		const float moved = factor * deviation_momentum[i] + change;

		deviation_momentum[i] = moved;
		deviation[i] = deviation[i] - rate * (change + factor * moved);
		own[i] = given;
	}
}

void pccl_outer_mix(float *local, const float *outer, float alpha, size_t count)
{
	const float rest = 1 - alpha;
	size_t i;

	if (alpha == 0) {
		memcpy(local, outer, count * sizeof(*local));
		return;
	}
	for (i = 0; i < count; i++)
		local[i] = alpha * local[i] + rest * outer[i];
}

void pccl_outer_shift(float *local, const float *outer, const float *old, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		local[i] = local[i] + (outer[i] - old[i]);
}

void pccl_outer_deviate(float *local, const float *outer, const float *deviation, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		local[i] = outer[i] + deviation[i];
}

#define SCANNED 1024 /* values at a time: without a branch in between they go many at once */

static uint32_t bits_of(float value)
{
	uint32_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits & UINT32_C(0x7fffffff);
}

static bool is_wild(float value)
{
	return bits_of(value) >= UINT32_C(0x7f800000);
}

size_t pccl_outer_find_wild(const float *values, size_t count)
{
	size_t first, i;

	for (first = 0; first < count; first += SCANNED) {
		const size_t end = count - first < SCANNED ? count : first + SCANNED;
		uint32_t largest = 0;

		for (i = first; i < end; i++)
			largest = bits_of(values[i]) > largest ? bits_of(values[i]) : largest;
		if (largest < UINT32_C(0x7f800000))
			continue;
		for (i = first; !is_wild(values[i]); i++)
			;
		return i;
	}
	return count;
}
