/* Nobody waits for ever because one process was short of memory for a moment. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/allocations.h"
#include "lib/check.h"
#include "lib/peers.h"

enum { ALLOCATIONS = 14 }; /* the local event, the message that is made of it, the answer, the op, its commands */

/* Whatever came of it, both peers are still in step: who is out of memory leaves, and the other one is told. */
static void reduces_and_updates(struct world_peer *me, uint32_t group)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	float values[64] = {0};
	pcclResult_t result;

	operation.count = 64;
	me->params.peer_group = group;
	peer_join(me);
	peer_grow(me, 2);
	peer_meet(me, 2);
	if (me->index == 1)
		check_fail_allocation(group / 2 + 1);
	result = group % 2 == 0 ? pcclAllReduceWith(values, values, &operation, me->comm, NULL)
				: pcclUpdateTopology(me->comm);
	check_fail_allocation(0);
	CHECK(result == pcclSuccess || pcclGetLastError(NULL)[0] != '\0');
	peer_tell(me, 0, group);
	CHECK_RESULT(pcclSuccess, pcclDestroyCommunicator(me->comm));
	me->comm = NULL;
}

static void is_short_of_memory(struct world_peer *me)
{
	uint32_t group;

	for (group = 0; group < 2 * ALLOCATIONS; group++)
		reduces_and_updates(me, group);
}

static void an_allocation_that_fails_lets_nobody_wait(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 2, is_short_of_memory, NULL);
	peers_finish(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_allocation_that_fails_lets_nobody_wait, peers_open, peers_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
