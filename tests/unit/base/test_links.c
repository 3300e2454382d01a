/* The table of links: what is valid, and copies. */
#include "base/links.h"

#include "base/memory.h"
#include "lib/allocations.h"
#include "lib/check.h"

static bool is_valid(struct pccl_link_measure first, struct pccl_link_measure second)
{
	struct pccl_link_measure measures[2] = {first, second};
	const struct pccl_links links = {2, measures};

	return pccl_links_valid(&links, 3);
}

#define WAY(from, to)                            \
	(struct pccl_link_measure)               \
	{                                        \
		from, to, 100 * (from) + (to), 1 \
	}

static void links_are_in_order_and_between_two_ranks_of_the_view(void **state)
{
	const struct pccl_links none = {0, NULL};

	(void)state;
	assert_true(pccl_links_valid(&none, 1));
	assert_true(is_valid(WAY(0, 1), WAY(0, 2)));
	assert_true(is_valid(WAY(0, 2), WAY(1, 0)));
	assert_false(is_valid(WAY(0, 1), WAY(0, 1)));
	assert_false(is_valid(WAY(1, 0), WAY(0, 1)));
	assert_false(is_valid(WAY(0, 1), WAY(1, 1)));
	assert_false(is_valid(WAY(0, 1), WAY(1, 3)));
	assert_false(is_valid(WAY(0, 1), WAY(3, 1)));
}

static void a_copy_is_one_of_its_own(void **state)
{
	struct pccl_link_measure measures[2] = {WAY(0, 1), WAY(1, 0)};
	const struct pccl_links links = {2, measures};
	struct pccl_links copy;

	(void)state;
	assert_int_equal(pccl_links_copy(&links, &copy), pcclSuccess);
	measures[1].kib_per_s = 7;
	assert_int_equal(copy.count, 2);
	assert_int_equal(copy.measures[1].kib_per_s, 100);
	pccl_links_fini(&copy);
	assert_int_equal(copy.count, 0);
	check_fail_allocation(1);
	assert_int_equal(pccl_links_copy(&links, &copy), pcclOutOfMemory);
	check_fail_allocation(0);
	assert_int_equal(copy.count, 0);
	pccl_links_fini(&copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(links_are_in_order_and_between_two_ranks_of_the_view),
		cmocka_unit_test(a_copy_is_one_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
