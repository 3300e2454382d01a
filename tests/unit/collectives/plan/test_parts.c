/* Parts: both ends cut them alike, on the same lanes, whatever else either has to do with. */
#include <string.h>

#include "base/rng.h"
#include "collectives/plan/plan.h"
#include "lib/check.h"

enum { RANKS_MOST = 1024 };

static uint64_t counts[RANKS_MOST][RANKS_MOST]; /* from, to */
static struct pccl_part parts[2][2 * RANKS_MOST];

static uint32_t make(uint32_t ranks, uint32_t rank, struct pccl_part *out)
{
	uint64_t receives[RANKS_MOST];
	uint32_t other;

	for (other = 0; other < ranks; other++)
		receives[other] = counts[other][rank];
	return pccl_parts_make(counts[rank], receives, ranks, rank, out);
}

static const struct pccl_part *find(const struct pccl_part *from, uint32_t count, enum pccl_part_way way, uint32_t rank)
{
	uint32_t index;

	for (index = 0; index < count; index++)
		if (from[index].way == way && from[index].rank == rank)
			return &from[index];
	return NULL;
}

/* Every segment is of one part, or nobody's; what is sent fills the input, what is received the output. */
static void check_cover(const struct pccl_geometry *geometry, uint32_t ranks, uint32_t rank, uint32_t lanes)
{
	uint64_t sent = 0, received = 0, kept = counts[rank][rank], in = 0, out = 0;
	uint32_t segment, other;

	for (segment = 0; segment < geometry->segment_count; segment++) {
		const struct pccl_part *part = pccl_geometry_part(geometry, segment);
		uint32_t elements = pccl_geometry_elements(geometry, segment);

		assert_int_equal(part == NULL, elements == 0);
		if (part == NULL)
			continue;
		assert_int_equal(part->first_segment % lanes, 0);
		sent += part->way != PCCL_PART_RECEIVED ? elements : 0;
		received += part->way != PCCL_PART_SENT ? elements : 0;
	}
	for (other = 0; other < ranks; other++) {
		const struct pccl_part *part = find(geometry->parts, geometry->part_count, PCCL_PART_SENT, other);

		assert_true(part == NULL || part->input_first == in);
		in += counts[rank][other];
		part = find(geometry->parts, geometry->part_count, PCCL_PART_RECEIVED, other);
		assert_true(part == NULL || part->output_first == out);
		out += counts[other][rank];
	}
	assert_true(sent == in && received == out && kept <= in);
}

static void check_pair(uint32_t ranks, uint32_t sender, uint32_t receiver, size_t element_bytes, uint32_t lanes)
{
	struct pccl_geometry there, here;
	uint32_t sender_count = make(ranks, sender, parts[0]), receiver_count = make(ranks, receiver, parts[1]);
	const struct pccl_part *from = find(parts[0], sender_count, PCCL_PART_SENT, receiver);
	const struct pccl_part *to = find(parts[1], receiver_count, PCCL_PART_RECEIVED, sender);

	pccl_parts_cut(parts[0], sender_count, ranks, element_bytes, lanes, &there);
	pccl_parts_cut(parts[1], receiver_count, ranks, element_bytes, lanes, &here);
	check_cover(&there, ranks, sender, lanes);
	check_cover(&here, ranks, receiver, lanes);
	assert_int_equal(from == NULL, counts[sender][receiver] == 0);
	assert_int_equal(to == NULL, from == NULL);
	if (from == NULL || to == NULL)
		return;
	assert_true(from->count == counts[sender][receiver] && to->count == from->count);
	assert_int_equal(to->segment_elements, from->segment_elements);
	assert_int_equal(to->segment_count, from->segment_count);
	assert_true((uint64_t)from->segment_elements * element_bytes <= 16u << 20);
}

static void both_ends_cut_a_part_alike(void **state)
{
	static const size_t sizes[] = {1, 2, 4, 8};
	struct pccl_rng rng;
	uint32_t trial, i, j;

	(void)state;
	pccl_rng_seed(&rng, 7);
	for (trial = 0; trial < 300; trial++) {
		static const uint32_t worlds[] = {2, 3, 4, 5, 6, 7, 8};
		uint32_t ranks = worlds[trial % 7], lanes = 1 + (uint32_t)pccl_rng_below(&rng, 16);
		uint64_t below = UINT64_C(1) << pccl_rng_below(&rng, 24);

		for (i = 0; i < ranks; i++)
			for (j = 0; j < ranks; j++)
				counts[i][j] = pccl_rng_chance(&rng, 1, 3) ? 0 : pccl_rng_below(&rng, below);
		i = (uint32_t)pccl_rng_below(&rng, ranks);
		j = (i + 1 + (uint32_t)pccl_rng_below(&rng, ranks - 1)) % ranks;
		check_pair(ranks, i, j, sizes[trial % 4], lanes);
	}
}

/* As much as there may be, of as many as there may be, on as many lanes as there may be. */
static void the_largest_have_few_enough_segments(void **state)
{
	static const uint32_t worlds[] = {2, 3, 16, 1000, RANKS_MOST};
	uint32_t world, i;

	(void)state;
	for (world = 0; world < 5; world++) {
		uint32_t ranks = worlds[world];

		memset(counts, 0, sizeof(counts));
		for (i = 0; i < ranks; i++)
			counts[0][i] = counts[i][0] = counts[1][i] = counts[i][1] = pccl_parts_bytes_max(ranks);
		check_pair(ranks, 0, 1, 1, 16);
		check_pair(ranks, 0, 1, 1, 1);
		check_pair(ranks, 1, 0, 1, 7);
	}
}

static void a_plan_of_parts_says_who_gets_what(void **state)
{
	struct pccl_geometry geometry;
	struct pccl_plan *plan;
	char text[512];
	uint32_t count;

	(void)state;
	memset(counts, 0, sizeof(counts));
	counts[1][0] = 100000;
	counts[1][1] = 5;
	counts[2][1] = 7;
	count = make(3, 1, parts[0]);
	pccl_parts_cut(parts[0], count, 3, 4, 2, &geometry);
	assert_int_equal(pccl_plan_create(PCCL_ALL_TO_ALL, pcclPlanRing, 3, 1, 0, &geometry, &plan), pcclSuccess);
	(void)pccl_plan_print(plan, text, sizeof(text));
	assert_string_equal(text, "all-to-all, direct, rank 1 of 3\n"
				  "  segments 0-5; own input is the result; result to 0\n"
				  "  segment 6; own input is the result\n"
				  "  segment 7\n"
				  "  segment 8; result from 2\n"
				  "  segment 9\n");
	pccl_plan_destroy(plan);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_ends_cut_a_part_alike),
		cmocka_unit_test(the_largest_have_few_enough_segments),
		cmocka_unit_test(a_plan_of_parts_says_who_gets_what),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
