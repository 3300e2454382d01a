/* The table of element types and operations. */
#include "lib/check.h"

#include "collectives/element/dtype.h"

static void sizes_are_those_of_the_c_types(void **state)
{
	(void)state;
	assert_int_equal(pccl_dtype_bytes(pcclUint8), 1);
	assert_int_equal(pccl_dtype_bytes(pcclInt8), 1);
	assert_int_equal(pccl_dtype_bytes(pcclInt16), 2);
	assert_int_equal(pccl_dtype_bytes(pcclUint16), 2);
	assert_int_equal(pccl_dtype_bytes(pcclUint32), 4);
	assert_int_equal(pccl_dtype_bytes(pcclInt32), 4);
	assert_int_equal(pccl_dtype_bytes(pcclUint64), 8);
	assert_int_equal(pccl_dtype_bytes(pcclInt64), 8);
	assert_int_equal(pccl_dtype_bytes(pcclFloat16), 2);
	assert_int_equal(pccl_dtype_bytes(pcclBFloat16), 2);
	assert_int_equal(pccl_dtype_bytes(pcclFloat), 4);
	assert_int_equal(pccl_dtype_bytes(pcclDouble), 8);
}

static void only_the_enumerated_values_are_valid(void **state)
{
	(void)state;
	assert_false(pccl_dtype_valid(-1));
	assert_true(pccl_dtype_valid(0));
	assert_true(pccl_dtype_valid(pcclDouble));
	assert_false(pccl_dtype_valid(12));
	assert_false(pccl_op_valid(-1));
	assert_true(pccl_op_valid(pcclSum));
	assert_true(pccl_op_valid(pcclMin));
	assert_false(pccl_op_valid(5));
}

static void types_and_operations_have_names(void **state)
{
	(void)state;
	assert_string_equal(pccl_dtype_name(pcclFloat), "float32");
	assert_string_equal(pccl_dtype_name(pcclBFloat16), "bfloat16");
	assert_string_equal(pccl_dtype_name((pcclDataType_t)77), "?");
	assert_string_equal(pccl_op_name((pcclRedOp_t)77), "?");
	assert_string_equal(pccl_op_name(pcclAvg), "avg");
}

static void only_short_floats_accumulate_in_another_type(void **state)
{
	int type;

	(void)state;
	for (type = 0; type < PCCL_DTYPE_COUNT; type++) {
		int is_short = type == pcclFloat16 || type == pcclBFloat16;

		assert_int_equal(pccl_dtype_partial((pcclDataType_t)type), is_short ? (int)pcclFloat : type);
		assert_int_equal(pccl_dtype_is_float((pcclDataType_t)type), is_short || type >= pcclFloat);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_are_those_of_the_c_types),
		cmocka_unit_test(only_the_enumerated_values_are_valid),
		cmocka_unit_test(types_and_operations_have_names),
		cmocka_unit_test(only_short_floats_accumulate_in_another_type),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
