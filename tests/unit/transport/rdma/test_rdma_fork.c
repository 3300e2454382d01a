/* What a child finds that is of the whole process, whatever the parent's other threads were about to do with it. */
#include <string.h>

#include "base/time.h"
#include "lib/check.h"
#include "lib/device.h"
#include "lib/forks.h"
#include "transport/rdma/avoid.h"
#include "transport/rdma/rails.h"
#include "transport/rdma/trials.h"
#include "transport/rdma/verbs.h"

static struct pccl_address neighbour; /* whoever */

static void use_trials(void)
{
	struct pccl_trial trial = {.is_on = false};

	(void)pccl_trial_begin(&trial, &neighbour);
	pccl_trial_end(&trial);
}

static void use_avoid(void)
{
	pccl_avoid_doubt(&neighbour, PCCL_SECOND_NS);
	pccl_avoid_trust(&neighbour);
}

static void use_rails(void)
{
	struct pccl_rail rail = {.is_taken = false};

	(void)pccl_rail_take(&rail, &neighbour, 2, 0);
	pccl_rail_give_back(&rail);
}

static void use_verbs(void)
{
	const struct pccl_verbs *verbs;

	(void)pccl_verbs_load(&verbs);
}

static void no_lock_is_held_by_a_thread_that_is_not_there(void **state)
{
	(void)state;
	use_verbs(); /* loads it */
	forks_while_used(use_trials);
	forks_while_used(use_avoid);
	forks_while_used(use_rails);
	forks_while_used(use_verbs);
}

static int begin_all(void)
{
	static struct pccl_trial trials[PCCL_TRIALS_OF_ONE];
	int i;

	memset(trials, 0, sizeof(trials));
	for (i = 0; i < (int)PCCL_TRIALS_OF_ONE; i++)
		if (!pccl_trial_begin(&trials[i], &neighbour))
			break;
	return i;
}

static void a_child_has_no_trials_of_its_parents(void **state)
{
	(void)state;
	assert_int_equal(begin_all(), PCCL_TRIALS_OF_ONE);
	assert_int_equal(forks_ask_child(begin_all), PCCL_TRIALS_OF_ONE);
}

/* How many of three connections to one neighbour go another way than the first. */
static int spread(void)
{
	static struct pccl_rail rails[3];
	int i, others = 0;

	memset(rails, 0, sizeof(rails));
	for (i = 0; i < 3; i++)
		others += pccl_rail_take(&rails[i], &neighbour, 2, 0) != rails[0].index;
	return others;
}

static void a_child_has_no_rails_of_its_parents(void **state)
{
	struct pccl_rail rails[5];
	int i;

	(void)state;
	memset(rails, 0, sizeof(rails));
	for (i = 0; i < 5; i++)
		(void)pccl_rail_take(&rails[i], &neighbour, 2, 0);
	pccl_rail_give_back(&rails[1]); /* three are left, one way */
	pccl_rail_give_back(&rails[3]);
	assert_int_equal(forks_ask_child(spread), 1);
	for (i = 0; i < 5; i++)
		pccl_rail_give_back(&rails[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_lock_is_held_by_a_thread_that_is_not_there),
		cmocka_unit_test(a_child_has_no_trials_of_its_parents),
		cmocka_unit_test(a_child_has_no_rails_of_its_parents),
	};

	(void)check_standin_verbs();
	if (pccl_address_numeric("10.0.0.1", 1, &neighbour) != pcclSuccess)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
