/*
 * The inner loops of one operation on one element type; see reduce_type.h. Takes FOLD, the name of the function, and
 * COMBINE(a, b) (and undefines both); ELEMENT, SETTLE.
 */
static void FOLD(void *out_bytes, const void *const *in, unsigned input_count, size_t count)
{
	ELEMENT *out = out_bytes;
	const ELEMENT *a = in[0], *b = in[1];
	const ELEMENT *c = input_count > 2 ? in[2] : NULL, *d = input_count > 3 ? in[3] : NULL;
	size_t i;

	assert(input_count >= 2 && input_count <= PCCL_FOLD_INPUTS);
	if (input_count == 2) {
		PCCL_INDEPENDENT
		for (i = 0; i < count; i++)
			out[i] = (ELEMENT)SETTLE(COMBINE(a[i], b[i]));
	} else if (input_count == 3) {
		PCCL_INDEPENDENT
		for (i = 0; i < count; i++)
			out[i] = (ELEMENT)SETTLE(COMBINE(COMBINE(a[i], b[i]), c[i]));
	} else {
		PCCL_INDEPENDENT
		for (i = 0; i < count; i++)
			out[i] = (ELEMENT)SETTLE(COMBINE(COMBINE(COMBINE(a[i], b[i]), c[i]), d[i]));
	}
}

#undef FOLD
#undef COMBINE
