/* Cutting an op into segments: what every size must fulfil, and what well-known sizes become. */
#include <pccl.h>

#include "collectives/plan/plan.h"
#include "lib/check.h"

static void check_cut(enum pccl_collective kind, uint32_t ranks, uint64_t count, size_t element_bytes, uint32_t align)
{
	struct pccl_geometry g;
	uint64_t expected = 0;
	uint32_t segment;

	pccl_geometry_cut(kind, ranks, count, element_bytes, align, &g);
	assert_true(g.segment_count <= PCCL_SEGMENTS_MAX);
	assert_int_equal(g.segment_count, g.chunk_count * g.chunk_segments);
	assert_int_equal(g.segment_elements % align, 0);
	assert_true((uint64_t)g.segment_elements * element_bytes <= 16u << 20);
	assert_int_equal(g.chunk_elements, count);
	/* The segments follow each other without a gap, and none is empty. */
	for (segment = 0; segment < g.segment_count; segment++) {
		uint32_t elements = pccl_geometry_elements(&g, segment);

		assert_true(pccl_geometry_first(&g, segment) == expected);
		assert_in_range(elements, 1, g.segment_elements);
		expected += elements;
	}
	assert_true(expected == count * g.chunk_count);
}

static void segments_cover_the_buffer_without_gaps(void **state)
{
	static const uint64_t counts[] = {0,	1,    63,    64,    65,	    1000,    1023,     1024,
					  1025, 4097, 16384, 65537, 262144, 1000003, 16777216, 100000007};
	static const uint32_t ranks[] = {1, 2, 3, 4, 5, 7, 8, 13, 16, 17, 64, 100, 1024};
	static const enum pccl_collective kinds[] = {PCCL_ALL_REDUCE, PCCL_REDUCE_SCATTER, PCCL_ALL_GATHER,
						     PCCL_BROADCAST};
	size_t c, r, k, bytes;

	(void)state;
	for (c = 0; c < sizeof(counts) / sizeof(counts[0]); c++)
		for (r = 0; r < sizeof(ranks) / sizeof(ranks[0]); r++)
			for (k = 0; k < 4; k++)
				for (bytes = 1; bytes <= 4; bytes *= 2)
					check_cut(kinds[k], ranks[r], counts[c], bytes, bytes == 4 ? 4096 : 64);
}

static void the_largest_op_fits_the_limits(void **state)
{
	static const uint32_t ranks[] = {1, 2, 3, 64, 1000, 1024};
	size_t r;

	(void)state;
	for (r = 0; r < sizeof(ranks) / sizeof(ranks[0]); r++) {
		check_cut(PCCL_ALL_REDUCE, ranks[r], PCCL_OP_BYTES_MAX, 1, 64);
		check_cut(PCCL_ALL_REDUCE, ranks[r], PCCL_OP_BYTES_MAX / 8, 8, 64);
		check_cut(PCCL_REDUCE_SCATTER, ranks[r], PCCL_OP_BYTES_MAX / ranks[r] / 4, 4, 64);
		check_cut(PCCL_ALL_GATHER, ranks[r], PCCL_OP_BYTES_MAX / ranks[r], 1, 4096);
	}
}

static void large_ops_have_segments_of_the_largest_size(void **state)
{
	struct pccl_geometry g;

	(void)state;
	pccl_geometry_cut(PCCL_ALL_REDUCE, 4, (256u << 20) / 4, 4, 64, &g);
	assert_int_equal(g.segment_elements * 4, PCCL_SEGMENT_BYTES_MAX);
	assert_int_equal(g.segment_count, 1024);
}

static void small_ops_give_every_rank_the_same_number(void **state)
{
	struct pccl_geometry g;
	uint32_t ranks;

	(void)state;
	for (ranks = 1; ranks <= 16; ranks++) {
		pccl_geometry_cut(PCCL_ALL_REDUCE, ranks, 64 * 1024 * ranks, 4, 64, &g);
		assert_int_equal(g.segment_count % ranks, 0);
		assert_int_equal(g.segment_count / ranks, 4);
		pccl_geometry_cut(PCCL_ALL_REDUCE, ranks, 1024 * ranks, 4, 64, &g);
		assert_int_equal(g.segment_count, ranks);
	}
}

static void a_tiny_op_is_one_segment(void **state)
{
	struct pccl_geometry g;

	(void)state;
	pccl_geometry_cut(PCCL_ALL_REDUCE, 8, 1024, 4, 64, &g);
	assert_int_equal(g.segment_count, 1);
	assert_int_equal(pccl_geometry_elements(&g, 0), 1024);
}

/* But for rounding up to whole blocks. */
static void what_an_owner_holds_of_all_ranks_is_bounded(void **state)
{
	struct pccl_geometry g;
	uint32_t ranks;

	(void)state;
	for (ranks = 2; ranks <= 1024; ranks += 37) {
		pccl_geometry_cut(PCCL_ALL_REDUCE, ranks, 64u << 20, 4, 64, &g);
		assert_true((uint64_t)(ranks - 1) * (g.segment_elements - 64) * 4 <= 4096u << 10);
	}
}

static void barriers_and_empty_ops_have_no_segment(void **state)
{
	struct pccl_geometry g;

	(void)state;
	pccl_geometry_cut(PCCL_BARRIER, 4, 17, 4, 64, &g);
	assert_int_equal(g.segment_count, 0);
	pccl_geometry_cut(PCCL_ALL_GATHER, 4, 0, 4, 64, &g);
	assert_int_equal(g.segment_count, 0);
}

static void cutting_is_repeatable(void **state)
{
	struct pccl_geometry a, b;

	(void)state;
	pccl_geometry_cut(PCCL_REDUCE_SCATTER, 7, 1234567, 2, 128, &a);
	pccl_geometry_cut(PCCL_REDUCE_SCATTER, 7, 1234567, 2, 128, &b);
	assert_int_equal(a.segment_elements, b.segment_elements);
	assert_int_equal(a.segment_count, b.segment_count);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(segments_cover_the_buffer_without_gaps),
		cmocka_unit_test(the_largest_op_fits_the_limits),
		cmocka_unit_test(large_ops_have_segments_of_the_largest_size),
		cmocka_unit_test(small_ops_give_every_rank_the_same_number),
		cmocka_unit_test(a_tiny_op_is_one_segment),
		cmocka_unit_test(what_an_owner_holds_of_all_ranks_is_bounded),
		cmocka_unit_test(barriers_and_empty_ops_have_no_segment),
		cmocka_unit_test(cutting_is_repeatable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
