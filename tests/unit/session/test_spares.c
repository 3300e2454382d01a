/* Which buffers are kept, and who gets them. */
#include "session/spares.h"

#include <malloc.h>

#include "base/memory.h"
#include "lib/check.h"
#include "lib/lone_session.h"

#define MIB ((size_t)1 << 20)

static void *take(struct pccl_spares *spares, size_t bytes, size_t room)
{
	size_t got;
	void *memory = pccl_spares_take(spares, bytes, &got);

	assert_non_null(memory);
	assert_int_equal(got, room);
	return memory;
}

static void the_smallest_that_fits_is_taken(void **state)
{
	struct pccl_spares spares = {0};
	void *two = take(&spares, 2 * MIB, 2 * MIB), *four = take(&spares, 4 * MIB, 4 * MIB);

	(void)state;
	pccl_spares_give(&spares, two, 2 * MIB);
	pccl_spares_give(&spares, four, 4 * MIB);
	assert_ptr_equal(take(&spares, MIB, 2 * MIB), two);
	assert_ptr_equal(take(&spares, MIB, 4 * MIB), four);
	pccl_spares_give(&spares, two, 2 * MIB);
	pccl_spares_give(&spares, four, 4 * MIB);
	assert_ptr_equal(take(&spares, 3 * MIB, 4 * MIB), four);
	pccl_spares_give(&spares, four, 4 * MIB);
	pccl_spares_clear(&spares);
	assert_int_equal(spares.bytes, 0);
}

static void a_small_op_does_not_hold_a_large_buffer(void **state)
{
	struct pccl_spares spares = {0};
	void *large = take(&spares, 32 * MIB, 32 * MIB), *small;

	(void)state;
	pccl_spares_give(&spares, large, 32 * MIB);
	small = take(&spares, MIB, MIB);
	assert_ptr_not_equal(small, large);
	assert_ptr_equal(take(&spares, 32 * MIB, 32 * MIB), large);
	pccl_spares_give(&spares, small, MIB);
	pccl_spares_give(&spares, large, 32 * MIB); /* the small one has to go */
	assert_int_equal(spares.count, 1);
	assert_int_equal(spares.bytes, 32 * MIB);
	pccl_spares_clear(&spares);
}

static void no_more_is_kept_than_the_bounds_allow(void **state)
{
	struct pccl_spares spares = {0};
	void *buffers[2 * PCCL_SPARES_MAX];
	uint32_t i;

	(void)state;
	for (i = 0; i < 2 * PCCL_SPARES_MAX; i++)
		buffers[i] = take(&spares, PCCL_SPARE_BYTES_MIN, PCCL_SPARE_BYTES_MIN);
	for (i = 0; i < 2 * PCCL_SPARES_MAX; i++)
		pccl_spares_give(&spares, buffers[i], PCCL_SPARE_BYTES_MIN);
	assert_int_equal(spares.count, PCCL_SPARES_MAX);
	assert_int_equal(spares.bytes, PCCL_SPARES_MAX * PCCL_SPARE_BYTES_MIN);
	pccl_spares_give(&spares, take(&spares, 1, 1), 1);
	pccl_spares_give(&spares, take(&spares, 40 * MIB, 40 * MIB), 40 * MIB);
	pccl_spares_give(&spares, NULL, 0);
	assert_int_equal(spares.count, PCCL_SPARES_MAX);
	pccl_spares_clear(&spares);
	assert_int_equal(spares.count, 0);
}

/* They were given room for the largest there might be, of which the kernel clears two megabytes at the first touch. */
static void small_ops_in_place_take_little_memory(void **state)
{
	struct pccl_session *session = session_in_view(2);
	struct pccl_op_request request = sum_of(1, 0);
	struct pccl_op *op;
	size_t bytes = 0;

	(void)state;
	request.output = input;
	for (request.operation.tag = 0; request.operation.tag < 10000; request.operation.tag++) {
		assert_int_equal(pccl_session_launch(session, &request, &op), pcclSuccess);
		assert_non_null(op->undo);
		bytes += malloc_usable_size(op->undo);
	}
	assert_in_range(bytes, 40000, 1000000);
	pccl_session_destroy(session);
}

/* The memory that the op is lent; it has ended. */
static const void *undo_of(struct pccl_session *session, struct pccl_op_request request)
{
	const void *undo;
	struct pccl_op *op;
	void *cookie;

	op = launched(session, request, &cookie);
	undo = op->undo;
	end_share(session, cookie, pcclSuccess);
	expect(session, PCCL_COMMAND_ENDED);
	pccl_session_release(session, op);
	return undo;
}

static void what_one_op_in_place_has_used_the_next_one_gets(void **state)
{
	struct pccl_session *session = session_in_view(2);
	struct pccl_op_request request = sum_of((size_t)1 << 20, 1);
	float *values = pccl_zalloc((size_t)4 << 20);
	const void *undo;

	(void)state;
	assert_non_null(values);
	expect(session, PCCL_COMMAND_INSTALL);
	request.input = request.output = values;
	undo = undo_of(session, request);
	request.operation.count = (size_t)1 << 19;
	assert_ptr_equal(undo_of(session, request), undo);
	request.operation.count = 1;
	assert_ptr_not_equal(undo_of(session, request), undo);
	request.operation.count = (size_t)1 << 20;
	assert_ptr_equal(undo_of(session, request), undo);
	pccl_free(values);
	pccl_session_destroy(session);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_smallest_that_fits_is_taken),
		cmocka_unit_test(a_small_op_does_not_hold_a_large_buffer),
		cmocka_unit_test(no_more_is_kept_than_the_bounds_allow),
		cmocka_unit_test(small_ops_in_place_take_little_memory),
		cmocka_unit_test(what_one_op_in_place_has_used_the_next_one_gets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
