/*
 * The inner loops of one element type; see reduce_template.h. Takes TYPE (and undefines it) and
 *	WORK	the type that sums and products are taken in, QUOTIENT that of divisions
 *	SETTLE(value), MAXIMUM(a, b), MINIMUM(a, b)
 */
#define ELEMENT JOIN(any, TYPE)

#define FOLD JOIN(fold_sum, TYPE)
#define COMBINE(a, b) ((WORK)(a) + (WORK)(b))
#include "collectives/reduce/reduce_fold.h"

#define FOLD JOIN(fold_prod, TYPE)
#define COMBINE(a, b) ((WORK)(a) * (WORK)(b))
#include "collectives/reduce/reduce_fold.h"

#define FOLD JOIN(fold_max, TYPE)
#define COMBINE MAXIMUM
#include "collectives/reduce/reduce_fold.h"

#define FOLD JOIN(fold_min, TYPE)
#define COMBINE MINIMUM
#include "collectives/reduce/reduce_fold.h"

static void JOIN(divide, TYPE)(void *out_bytes, const void *in_bytes, size_t count, unsigned divisor)
{
	ELEMENT *out = out_bytes;
	const ELEMENT *in = in_bytes;
	QUOTIENT by = (QUOTIENT)divisor;
	size_t i;

	PCCL_INDEPENDENT
	for (i = 0; i < count; i++)
		out[i] = (ELEMENT)SETTLE((QUOTIENT)in[i] / by);
}

#undef ELEMENT
#undef TYPE
