/* The rules and modes against trajectories that were recorded with NumPy (tests/reference/diloco.py), bit by bit. */
#include "sync/diloco/outer.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "lib/check.h"
#include "reference/diloco.inc"

#define COUNT RECORDED_COUNT
#define PEERS RECORDED_PEERS

enum mode { SYNCHRONOUS, DELAYED, EAGER, STREAMING, CO2 };

struct trajectory {
	float outer[COUNT], momentum[COUNT], before[COUNT], next[COUNT], waiting[COUNT];
	float local[PEERS][COUNT], own[PEERS][COUNT], deviation[PEERS][COUNT], deviation_momentum[PEERS][COUNT];
	double step_mean;
	bool is_waiting;
};

static const float shares[PEERS] = {(float)(1.0 / 7), (float)(2.0 / 7), (float)(4.0 / 7)};

static void set_bits(float *to, const uint32_t *bits, size_t count)
{
	memcpy(to, bits, count * sizeof(*to));
}

/* 10 % of the recorded noise: what stands for H inner steps. */
static void train(struct trajectory *at, unsigned round)
{
	float noise[COUNT];
	unsigned peer, i;

	for (peer = 0; peer < PEERS; peer++) {
		set_bits(noise, recorded_noise + ((size_t)round * PEERS + peer) * COUNT, COUNT);
		for (i = 0; i < COUNT; i++)
			at->local[peer][i] = at->local[peer][i] - 0.1f * noise[i];
	}
}

static void apply(struct trajectory *at, enum mode mode, const float *mean)
{
	const struct pccl_outer_rule rule = {0.7f, 0.9f, 0.0625f, true};

	if (mode == CO2)
		pccl_outer_co2(&rule, at->next, at->outer, at->before, at->momentum, &at->step_mean, mean, COUNT);
	else
		pccl_outer_nesterov(&rule, at->next, at->outer, at->momentum, mean, COUNT);
	memcpy(at->before, at->outer, sizeof(at->before));
	memcpy(at->outer, at->next, sizeof(at->outer));
}

/* As an engine at the end of a phase. */
static void synchronize(struct trajectory *at, enum mode mode)
{
	const struct pccl_outer_rule rule = {0.7f, 0.9f, 0, false};
	float gradient[PEERS][COUNT], scaled[COUNT], mean[COUNT];
	unsigned peer, i;

	for (peer = 0; peer < PEERS; peer++) {
		pccl_outer_gradient(gradient[peer], at->outer, mode == EAGER ? at->deviation[peer] : NULL,
				    at->local[peer], COUNT);
		pccl_outer_scale(scaled, gradient[peer], shares[peer], COUNT);
		for (i = 0; i < COUNT; i++)
			mean[i] = peer == 0 ? scaled[i] : mean[i] + scaled[i];
	}
	if (mode != DELAYED && mode != EAGER)
		apply(at, mode, mean);
	else if (at->is_waiting)
		apply(at, mode, at->waiting);
	memcpy(at->waiting, mean, sizeof(mean));
	at->is_waiting = true;
	for (peer = 0; peer < PEERS; peer++) {
		pccl_outer_mix(at->local[peer], at->outer, mode == STREAMING ? 0.25f : 0, COUNT);
		if (mode != EAGER)
			continue;
		pccl_outer_eager(&rule, shares[peer], gradient[peer], at->own[peer], at->deviation[peer],
				 at->deviation_momentum[peer], COUNT);
		pccl_outer_deviate(at->local[peer], at->outer, at->deviation[peer], COUNT);
	}
}

static void follow(enum mode mode, const uint32_t *outer, const uint32_t *local)
{
	struct trajectory at;
	unsigned round, peer;

	memset(&at, 0, sizeof(at));
	set_bits(at.outer, recorded_start, COUNT);
	set_bits(at.before, recorded_start, COUNT);
	for (peer = 0; peer < PEERS; peer++)
		set_bits(at.local[peer], recorded_start, COUNT);
	for (round = 0; round < RECORDED_ROUNDS; round++) {
		train(&at, round);
		synchronize(&at, mode);
		assert_memory_equal(at.outer, outer + (size_t)round * COUNT, sizeof(at.outer));
		assert_memory_equal(at.local[0], local + (size_t)round * COUNT, sizeof(at.outer));
	}
}

static void synchronous_rounds_are_the_recorded_ones(void **state)
{
	(void)state;
	follow(SYNCHRONOUS, recorded_outer_synchronous, recorded_local_synchronous);
}

static void delayed_rounds_are_the_recorded_ones(void **state)
{
	(void)state;
	follow(DELAYED, recorded_outer_delayed, recorded_local_delayed);
}

static void eager_rounds_are_the_recorded_ones(void **state)
{
	(void)state;
	follow(EAGER, recorded_outer_eager, recorded_local_eager);
}

static void mixed_rounds_are_the_recorded_ones(void **state)
{
	(void)state;
	follow(STREAMING, recorded_outer_streaming, recorded_local_streaming);
}

static void rounds_by_co2_are_the_recorded_ones(void **state)
{
	(void)state;
	follow(CO2, recorded_outer_co2, recorded_local_co2);
}

static void clipping_clips(void **state)
{
	const struct pccl_outer_rule rule = {1, 0, 1, false};
	float outer[2] = {0, 0}, before[2] = {0, 0}, momentum[2] = {0, 0}, next[2];
	const float mean[2] = {-40, 0.5f};
	double step_mean = 0;

	(void)state;
	pccl_outer_co2(&rule, next, outer, before, momentum, &step_mean, mean, 2);
	assert_true(momentum[0] == -1 && momentum[1] == 0.5f);
	assert_true(next[0] == 1 && next[1] == -0.5f);
}

/* What moved far since the gradient was taken counts less. */
static void the_gap_makes_steps_smaller(void **state)
{
	const struct pccl_outer_rule rule = {1, 0, 0, true};
	float outer[2] = {0, 2}, before[2] = {0, 0}, momentum[2] = {0, 0}, next[2];
	const float mean[2] = {1, 1};
	double step_mean = 0;

	(void)state;
	pccl_outer_co2(&rule, next, outer, before, momentum, &step_mean, mean, 2);
	assert_true(step_mean == 1);
	assert_true(momentum[0] == 1 && momentum[1] == 1.0f / 3);
}

static void what_is_no_number_is_found(void **state)
{
	enum { MANY = 5000 };
	static const float wild[] = {INFINITY, -INFINITY, NAN, -NAN};
	static float values[MANY];
	size_t i;

	(void)state;
	assert_int_equal(pccl_outer_find_wild(values, 0), 0);
	for (i = 0; i < MANY; i++)
		values[i] = i % 2 == 0 ? FLT_MAX : -FLT_MIN / 2;
	assert_int_equal(pccl_outer_find_wild(values, MANY), MANY);
	for (i = 0; i < MANY; i++) {
		values[i] = wild[i % 4];
		assert_int_equal(pccl_outer_find_wild(values, MANY), i);
		values[MANY - 1] = NAN;
		assert_int_equal(pccl_outer_find_wild(values, MANY), i);
		values[MANY - 1] = values[i] = 1;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(synchronous_rounds_are_the_recorded_ones),
		cmocka_unit_test(delayed_rounds_are_the_recorded_ones),
		cmocka_unit_test(eager_rounds_are_the_recorded_ones),
		cmocka_unit_test(mixed_rounds_are_the_recorded_ones),
		cmocka_unit_test(rounds_by_co2_are_the_recorded_ones),
		cmocka_unit_test(what_is_no_number_is_found),
		cmocka_unit_test(clipping_clips),
		cmocka_unit_test(the_gap_makes_steps_smaller),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
