/* A child that a member forks has nothing of it: it can't harm the member, keep its port, or hide its death. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/check.h"
#include "lib/peers.h"

static void every_call_is_refused(struct world_peer *me, pcclMasterInstance_t *master)
{
	const pcclAsyncReduceOp_t old_handle = {me->comm, 5};
	const pcclHandle_t handle = {me->comm, 5, 1};
	pcclReduceDescriptor_t descriptor = {
		1, pcclSum, 6, {pcclFloat, pcclDistributionNone}, {pcclFloat, pcclQuantNone}};
	float value = 1;
	int size;
	bool flag;

	CHECK_RESULT(pcclInvalidUsage, pcclGetAttribute(me->comm, PCCL_ATTRIBUTE_PEER_GROUP_WORLD_SIZE, &size));
	CHECK_RESULT(pcclInvalidUsage, pcclAllReduce(&value, &value, &descriptor, me->comm, NULL));
	CHECK_RESULT(pcclInvalidUsage, pcclAwaitAsyncReduce(&old_handle, NULL));
	CHECK_RESULT(pcclInvalidUsage, pcclTest(&handle, &flag));
	CHECK_RESULT(pcclInvalidUsage, pcclUpdateTopology(me->comm));
	CHECK_RESULT(pcclInvalidUsage, pcclArePeersPending(me->comm, &flag));
	CHECK_RESULT(pcclInvalidUsage, pcclConnect(me->comm));
	CHECK_RESULT(pcclInvalidUsage, pcclCommAbort(me->comm));
	CHECK_RESULT(pcclInvalidUsage, pcclDestroyCommunicator(me->comm));
	CHECK(strstr(pcclGetLastError(NULL), "fork") != NULL);
	CHECK_RESULT(pcclInvalidUsage, pcclInterruptMaster(master));
	CHECK_RESULT(pcclInvalidUsage, pcclMasterAwaitTermination(master));
	CHECK_RESULT(pcclInvalidUsage, pcclDestroyMaster(master));
}

static void wait_for_child(pid_t child)
{
	int status;

	CHECK(waitpid(child, &status, 0) == child);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static uint16_t first_port; /* of one for each peer's own master, found before there are peers that look for theirs */

/* While an operation is in flight and threads hold locks now and then. */
static void forks_many_children(struct world_peer *me)
{
	const uint16_t port = (uint16_t)(first_port + me->index);
	pcclMasterInstance_t *master;
	int64_t sum;
	unsigned i;

	CHECK_RESULT(pcclSuccess, pcclCreateMaster(peers_address(me->world, port), &master));
	CHECK_RESULT(pcclSuccess, pcclRunMaster(master));
	peer_join(me);
	peer_grow(me, 2);
	for (i = 0; i < 20; i++) {
		pid_t child = fork();

		CHECK(child >= 0);
		if (child == 0) {
			every_call_is_refused(me, master);
			_exit(0);
		}
		CHECK_RESULT(pcclSuccess, peer_sum(me, i, 1, &sum));
		CHECK(sum == 2);
		wait_for_child(child);
	}
	CHECK_RESULT(pcclSuccess, pcclDestroyMaster(master));
	peer_meet(me, 2);
	peer_leave(me);
}

static void a_child_is_refused_what_it_inherited(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	first_port = peers_free_port(2);
	peers_start(world, 2, forks_many_children, NULL);
	peers_finish(world);
}

static void comes_back_while_its_child_lives(struct world_peer *me)
{
	const uint16_t port = peers_free_port(1);
	pid_t child;

	me->config.port_first = port;
	peer_join(me);
	child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		peer_reach(me, 1);
		for (;;)
			pause();
	}
	peer_wait_peer(me, me->index, 1); /* the child lets go of the port when it first gets a processor */
	peer_leave(me);
	peer_join(me); /* on the same port */
	peer_leave(me);
	CHECK(kill(child, SIGKILL) == 0);
	CHECK(waitpid(child, NULL, 0) == child);
}

static void a_child_that_lives_on_keeps_no_port(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 1, comes_back_while_its_child_lives, NULL);
	peers_finish(world);
}

enum { VICTIM = 2, TOLD_CHILD = 0, TOLD_END_NS = 1 };

/* Whoever is left has launched an operation of all before one dies. */
static void dies_before_its_child(struct world_peer *me)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	pcclHandle_t handle;

	peer_join(me);
	peer_grow(me, 3);
	if (me->index == VICTIM) {
		pid_t child = fork();

		CHECK(child >= 0);
		if (child == 0) {
			for (;;)
				pause();
		}
		peer_tell(me, TOLD_CHILD, (uint64_t)child);
		peer_reach(me, 1);
		peer_wait_gate(me, 1000);
	}
	CHECK_RESULT(pcclSuccess, pcclBarrierAsync(&operation, me->comm, &handle));
	peer_reach(me, 1);
	CHECK_RESULT(pcclRankConnectionLost, pcclAwait(&handle, NULL));
	peer_tell(me, TOLD_END_NS, peers_now_ns());
	peer_leave(me);
}

/* Heartbeats would take longer to show it. */
static void a_child_that_lives_on_hides_no_death(void **state)
{
	struct world *world = *state;
	uint64_t killed_ns;
	unsigned i;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 3, dies_before_its_child, NULL);
	peers_await_all(world, 0, 3, 1);
	peers_sleep_ms(50);
	killed_ns = peers_now_ns();
	peers_signal(world, VICTIM, SIGKILL);
	peers_finish(world);
	(void)kill((pid_t)peers_told(world, VICTIM, TOLD_CHILD), SIGKILL);
	for (i = 0; i < VICTIM; i++)
		assert_true(peers_is_soon(peers_told(world, i, TOLD_END_NS), killed_ns));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_child_is_refused_what_it_inherited, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_child_that_lives_on_keeps_no_port, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_child_that_lives_on_hides_no_death, peers_open, peers_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
