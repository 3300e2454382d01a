/*
 * The arithmetic of DiLoCo on one fragment: element by element in binary32, each operation rounded once, so that all
 * peers, and the recordings in tests/reference, have the same bits. pccl/diloco.h has the formulas. Buffers may not
 * overlap unless they are the same where it is said. Pure.
 */
#ifndef PCCL_SYNC_DILOCO_OUTER_H
#define PCCL_SYNC_DILOCO_OUTER_H

#include <stdbool.h>
#include <stddef.h>

struct pccl_outer_rule {
	float learning_rate;
	float momentum;
	float clip; /* CO2: 0: no limit */
	bool penalize;
};

/* gradient = (outer + deviation) - local; deviation NULL: outer - local. `gradient` may be `local`. */
void pccl_outer_gradient(float *gradient, const float *outer, const float *deviation, const float *local, size_t count);

/* to = share * from; may be the same. */
void pccl_outer_scale(float *to, const float *from, float share, size_t count);

/* next = the outer parameters after the mean `mean`, which next may be; momentum changes. */
void pccl_outer_nesterov(const struct pccl_outer_rule *rule, float *next, const float *outer, float *momentum,
			 const float *mean, size_t count);

/* As much by CO2's rule. `before`: the outer parameters one round ago. *step_mean: the running mean of steps, c in the
 * manual; 0 at first. */
void pccl_outer_co2(const struct pccl_outer_rule *rule, float *next, const float *outer, const float *before,
		    float *momentum, double *step_mean, const float *mean, size_t count);

/* The first value that is no finite number; `count`: there is none. */
size_t pccl_outer_find_wild(const float *values, size_t count);

/* A peer's own deviation from the outer parameters in eager mode: the rule for share * fresh - own; own becomes
 * share * fresh. */
void pccl_outer_eager(const struct pccl_outer_rule *rule, float share, const float *fresh, float *own, float *deviation,
		      float *deviation_momentum, size_t count);

/* local = alpha * local + (1 - alpha) * outer; alpha 0: a copy. */
void pccl_outer_mix(float *local, const float *outer, float alpha, size_t count);

/* local = local + (outer - old): what was trained since stays. */
void pccl_outer_shift(float *local, const float *outer, const float *old, size_t count);

/* local = outer + deviation. */
void pccl_outer_deviate(float *local, const float *outer, const float *deviation, size_t count);

#endif
