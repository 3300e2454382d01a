/* State for newcomers before they are admitted: what they get while they wait does not move when they come in, and
 * nobody waits in vain for who dies on the way. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <pccl/state.h>

#include "lib/check.h"
#include "lib/peers.h"

enum { BIG = (37 << 20) + 77, SMALL = 1000, MEMBERS = 2, READY = 1 };

struct tensors {
	pcclTensorInfo_t infos[2];
	pcclSharedState_t state;
	uint8_t *big;
	uint8_t small[SMALL];
};

static void make_tensors(struct tensors *tensors, uint64_t revision, int fill)
{
	tensors->big = malloc(BIG);
	CHECK(tensors->big != NULL);
	memset(tensors->big, fill, BIG);
	memset(tensors->small, fill, SMALL);
	tensors->infos[0] = (pcclTensorInfo_t){"big", tensors->big, BIG, pcclUint8, pcclDeviceCpu, false};
	tensors->infos[1] = (pcclTensorInfo_t){"small", tensors->small, SMALL, pcclUint8, pcclDeviceCpu, false};
	tensors->state = (pcclSharedState_t){revision, 2, tensors->infos};
}

static void check_tensors(const struct tensors *tensors, uint64_t revision, int fill)
{
	size_t at;

	CHECK(tensors->state.revision == revision);
	for (at = 0; at < BIG; at++)
		CHECK(tensors->big[at] == fill);
	for (at = 0; at < SMALL; at++)
		CHECK(tensors->small[at] == fill);
}

static void synchronize(struct world_peer *me, struct tensors *tensors, pcclStateSyncInfo_t *info)
{
	const pcclStateSyncInfo_t zero = PCCL_STATE_SYNC_INFO_INITIALIZER;

	*info = zero;
	CHECK_RESULT(pcclSuccess, pcclStateSync(me->comm, &tensors->state, NULL, info));
}

/* ---- what has come does not move again ------------------------------ */

/* Members make updates all the time: nobody is admitted before it has what they lend. */
static void lends(struct world_peer *me)
{
	struct tensors tensors;
	pcclStateSyncInfo_t info;
	int64_t sum;

	make_tensors(&tensors, 5, 3);
	me->config.heartbeat_interval_ms =
		50; /* after so long without operations newcomers get all that the links take */
	peer_join(me);
	peer_grow(me, MEMBERS);
	synchronize(me, &tensors, &info);
	CHECK_RESULT(pcclSuccess, pcclStateLend(me->comm, &tensors.state));
	peer_reach(me, READY);
	CHECK_RESULT(pcclSuccess, peer_sum(me, 1, 1, &sum));
	peer_grow(me, MEMBERS + 1);
	CHECK_RESULT(pcclSuccess, pcclStateTakeBack(me->comm));
	tensors.big[2 << 20] = 4; /* what changes now is all that is left to move */
	tensors.state.revision++;
	synchronize(me, &tensors, &info);
	CHECK(info.rx_bytes == 0 && info.tx_bytes <= 1 << 20);
	peer_meet(me, MEMBERS + 1);
	CHECK_RESULT(pcclSuccess, pcclStateTakeBack(me->comm));
	peer_leave(me);
	free(tensors.big);
}

static void prefetches(struct world_peer *me)
{
	struct tensors tensors;
	pcclStateSyncInfo_t info = PCCL_STATE_SYNC_INFO_INITIALIZER;

	make_tensors(&tensors, 0, 9);
	peer_wait_peer(me, 0, READY);
	peer_wait_peer(me, 1, READY);
	peer_create(me);
	CHECK_RESULT(pcclInvalidUsage, pcclStateLend(me->comm, &tensors.state));
	CHECK_RESULT(pcclInvalidArgument, pcclStateLend(me->comm, NULL));
	CHECK_RESULT(pcclSuccess, pcclStateTakeBack(me->comm));
	CHECK_RESULT(pcclSuccess, pcclStatePrefetch(me->comm, &tensors.state, NULL));
	CHECK_RESULT(pcclSuccess, pcclStatePrefetch(me->comm, NULL, NULL)); /* nothing after all */
	CHECK_RESULT(pcclSuccess, pcclStatePrefetch(me->comm, &tensors.state, &info));
	CHECK_RESULT(pcclSuccess, pcclConnect(me->comm));
	CHECK(info.rx_bytes == BIG + SMALL);
	check_tensors(&tensors, 0, 3);
	CHECK_RESULT(pcclInvalidUsage, pcclStatePrefetch(me->comm, &tensors.state, &info));
	synchronize(me, &tensors, &info);
	CHECK(info.rx_bytes == 1 << 20);
	CHECK(tensors.big[2 << 20] == 4);
	tensors.big[2 << 20] = 3;
	check_tensors(&tensors, 6, 3);
	peer_meet(me, MEMBERS + 1);
	peer_leave(me);
	free(tensors.big);
}

static void lends_or_prefetches(struct world_peer *me)
{
	if (me->index < MEMBERS)
		lends(me);
	else
		prefetches(me);
}

static void a_newcomer_has_the_state_before_it_is_admitted(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, MEMBERS + 1, lends_or_prefetches, NULL);
	peers_finish(world);
}

/* ---- who dies on the way ------------------------------ */

/* Each member has an operation that the other one has not launched: newcomers get a few parts, and then no more. */
struct death {
	uint8_t *fetched; /* the newcomer's tensor, which the test sees */
	unsigned victim;
};

static pcclResult_t finish_operations(struct world_peer *me, int64_t *values, int64_t *sums)
{
	pcclReduceDescriptor_t descriptor = {
		.count = 1, .op = pcclSum, .src_descriptor = {pcclInt64, pcclDistributionNone}};
	pcclAsyncReduceOp_t handle;
	pcclResult_t own, other;

	descriptor.tag = 10 + me->index;
	CHECK_RESULT(pcclSuccess, pcclAllReduceAsync(&values[0], &sums[0], &descriptor, me->comm, &handle));
	peer_reach(me, READY);
	peer_wait_gate(me, 1);
	descriptor.tag = 10 + (1 - me->index);
	other = peer_world_size(me) == MEMBERS ? peer_sum(me, descriptor.tag, values[0], &sums[1]) : pcclSuccess;
	own = pcclAwaitAsyncReduce(&handle, NULL);
	return own != pcclSuccess ? own : other;
}

static void lends_in_vain(struct world_peer *me)
{
	const struct death *death = me->argument;
	const unsigned left = MEMBERS + 1 - (death->victim < MEMBERS) - (death->victim == MEMBERS);
	int64_t values[2] = {1, 1}, sums[2];
	struct tensors tensors;
	pcclStateSyncInfo_t info;

	make_tensors(&tensors, 5, 3);
	me->config.heartbeat_interval_ms =
		50; /* after so long without operations newcomers get all that the links take */
	peer_join(me);
	peer_grow(me, MEMBERS);
	synchronize(me, &tensors, &info);
	CHECK_RESULT(pcclSuccess, pcclStateLend(me->comm, &tensors.state));
	CHECK((finish_operations(me, values, sums) == pcclSuccess) == (death->victim == MEMBERS));
	if (death->victim == MEMBERS) {
		CHECK_RESULT(pcclSuccess, pcclUpdateTopology(me->comm));
		CHECK(peer_world_size(me) == left);
	} else {
		peer_grow(me, left);
	}
	synchronize(me, &tensors, &info);
	CHECK(info.tx_bytes == 0 && info.rx_bytes == 0);
	peer_meet(me, left);
	peer_leave(me); /* still lent */
	free(tensors.big);
}

static void prefetches_in_vain(struct world_peer *me)
{
	const struct death *death = me->argument;
	pcclStateSyncInfo_t info = PCCL_STATE_SYNC_INFO_INITIALIZER;
	struct tensors tensors;

	make_tensors(&tensors, 0, 9);
	memset(death->fetched, 9, BIG);
	tensors.infos[0].data = death->fetched;
	peer_wait_peer(me, 0, READY);
	peer_wait_peer(me, 1, READY);
	peer_create(me);
	CHECK_RESULT(pcclSuccess, pcclStatePrefetch(me->comm, &tensors.state, &info));
	peer_reach(me, READY);
	CHECK_RESULT(pcclSuccess, pcclConnect(me->comm));
	CHECK(info.rx_bytes == BIG + SMALL);
	synchronize(me, &tensors, &info);
	CHECK(info.rx_bytes == 0 && tensors.state.revision == 5);
	CHECK(memchr(death->fetched, 9, BIG) == NULL);
	peer_meet(me, MEMBERS);
	peer_leave(me);
	free(tensors.big);
}

static void lends_or_prefetches_in_vain(struct world_peer *me)
{
	if (me->index < MEMBERS)
		lends_in_vain(me);
	else
		prefetches_in_vain(me);
}

static void die(struct world *world, unsigned victim)
{
	struct death death = {.victim = victim};

	death.fetched = mmap(NULL, BIG, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(death.fetched != MAP_FAILED);
	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, MEMBERS + 1, lends_or_prefetches_in_vain, &death);
	peers_await(world, MEMBERS, READY);
	while (memchr(death.fetched, 3, BIG) == NULL)
		peers_sleep_ms(1);
	peers_signal(world, victim, SIGKILL);
	peers_open_gate(world, 1);
	peers_finish(world);
	assert_int_equal(munmap(death.fetched, BIG), 0);
}

static void members_go_on_without_a_newcomer_that_dies_while_it_prefetches(void **state)
{
	die(*state, MEMBERS);
}

static void a_newcomer_goes_on_without_a_source_that_dies(void **state)
{
	die(*state, 1);
}

/* ---- nobody is left ------------------------------ */

/* Members go before they have lent anything. Whenever that is, the newcomer has a group in the end. */
static void goes_or_prefetches(struct world_peer *me)
{
	pcclStateSyncInfo_t info = PCCL_STATE_SYNC_INFO_INITIALIZER;
	struct tensors tensors;

	if (me->index < MEMBERS) {
		peer_join(me);
		peer_grow(me, MEMBERS);
		peer_reach(me, READY);
		peer_wait_peer(me, MEMBERS, READY);
		peers_sleep_ms(200);
		peer_leave(me);
		return;
	}
	make_tensors(&tensors, 1, 9);
	peer_wait_peer(me, 0, READY);
	peer_wait_peer(me, 1, READY);
	me->config.connect_timeout_ms = 5000;
	peer_create(me);
	CHECK_RESULT(pcclSuccess, pcclStatePrefetch(me->comm, &tensors.state, &info));
	peer_reach(me, READY);
	CHECK_RESULT(pcclSuccess, pcclConnect(me->comm));
	CHECK(peer_world_size(me) == 1 && info.rx_bytes == 0);
	check_tensors(&tensors, 1, 9);
	peer_leave(me);
	free(tensors.big);
}

static void a_newcomer_founds_the_group_when_all_are_gone_from_whom_it_prefetches(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, MEMBERS + 1, goes_or_prefetches, NULL);
	peers_finish(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_newcomer_has_the_state_before_it_is_admitted, peers_open,
						peers_close),
		cmocka_unit_test_setup_teardown(members_go_on_without_a_newcomer_that_dies_while_it_prefetches,
						peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_newcomer_goes_on_without_a_source_that_dies, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_newcomer_founds_the_group_when_all_are_gone_from_whom_it_prefetches,
						peers_open, peers_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
