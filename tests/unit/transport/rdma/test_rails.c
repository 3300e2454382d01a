/* Which of several devices connections go over. */
#include "transport/rdma/rails.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/check.h"

static struct pccl_address neighbour(uint16_t port)
{
	struct pccl_address address;

	assert_int_equal(pccl_address_numeric("10.0.0.1", port, &address), pcclSuccess);
	return address;
}

/* In whatever order they are dialled, those of one host too. */
static void the_connections_to_each_neighbour_are_spread(void **state)
{
	struct pccl_rail rails[2][2][6];
	struct pccl_address address;
	int order, lane, to;

	(void)state;
	memset(rails, 0, sizeof(rails));
	for (order = 0; order < 2; order++) {
		for (lane = 0; lane < 6; lane++)
			for (to = 0; to < 2; to++) {
				address = neighbour((uint16_t)(10 * order + to));
				assert_int_equal(pccl_rail_take(&rails[order][to][lane], &address, 3, 0) < 3, true);
			}
		for (to = 0; to < 2; to++)
			for (lane = 0; lane + 2 < 6; lane += 3)
				assert_int_equal(1 << rails[order][to][lane].index |
							 1 << rails[order][to][lane + 1].index |
							 1 << rails[order][to][lane + 2].index,
						 7);
	}
	for (order = 0; order < 2; order++)
		for (to = 0; to < 2; to++)
			for (lane = 0; lane < 6; lane++)
				pccl_rail_give_back(&rails[order][to][lane]);
}

static void single_connections_are_spread_over_neighbours(void **state)
{
	struct pccl_rail rails[4];
	struct pccl_address address;
	uint32_t i, first = 0;

	(void)state;
	memset(rails, 0, sizeof(rails));
	for (i = 0; i < 4; i++) {
		address = neighbour((uint16_t)i);
		(void)pccl_rail_take(&rails[i], &address, 4, 0);
		first = i == 0 ? rails[i].index : first;
		assert_int_equal(rails[i].index, (first + i) % 4);
	}
	for (i = 0; i < 4; i++) {
		pccl_rail_give_back(&rails[i]);
		pccl_rail_give_back(&rails[i]);
	}
}

static void what_was_given_back_is_taken_next(void **state)
{
	struct pccl_address address = neighbour(1);
	struct pccl_rail rails[3];
	uint32_t i, index;

	(void)state;
	memset(rails, 0, sizeof(rails));
	for (i = 0; i < 3; i++)
		(void)pccl_rail_take(&rails[i], &address, 3, 0);
	index = rails[1].index;
	pccl_rail_give_back(&rails[1]);
	assert_int_equal(pccl_rail_take(&rails[1], &address, 3, 0), index);
	for (i = 0; i < 3; i++)
		pccl_rail_give_back(&rails[i]);
}

static void what_is_excepted_is_not_taken(void **state)
{
	struct pccl_address address = neighbour(1);
	struct pccl_rail rails[4];
	uint32_t i;

	(void)state;
	memset(rails, 0, sizeof(rails));
	for (i = 0; i < 4; i++)
		assert_int_equal(pccl_rail_take(&rails[i], &address, 3, 7 ^ 1u << i % 3), i % 3);
	for (i = 0; i < 4; i++)
		pccl_rail_give_back(&rails[i]);
}

/* Forked, for a process draws once. */
static void processes_begin_anywhere(void **state)
{
	struct pccl_address address = neighbour(1);
	uint32_t seen = 0;
	int i, status;

	(void)state;
	for (i = 0; i < 1000 && seen != 3; i++) {
		const pid_t child = fork();

		assert_true(child >= 0);
		if (child == 0) {
			struct pccl_rail rail = {.next = NULL};

			_exit((int)pccl_rail_take(&rail, &address, 2, 0));
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
		seen |= 1u << WEXITSTATUS(status);
	}
	assert_int_equal(seen, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(processes_begin_anywhere), /* before this one has drawn */
		cmocka_unit_test(the_connections_to_each_neighbour_are_spread),
		cmocka_unit_test(single_connections_are_spread_over_neighbours),
		cmocka_unit_test(what_was_given_back_is_taken_next),
		cmocka_unit_test(what_is_excepted_is_not_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
