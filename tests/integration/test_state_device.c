/* States between peers whose tensors lie on CUDA devices (a stand-in for the driver), hashes that are kept, devices
 * that fail, and the alarm when states drift apart. */
#include <pccl/state.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/check.h"
#include "lib/device.h"
#include "lib/peers.h"

enum { LARGE = (3 << 20) + 77, SMALL = 500, HOST = 3000, TENSORS = 3 };

struct sample {
	pcclTensorInfo_t infos[TENSORS];
	uint8_t *seen[TENSORS]; /* the same bytes, where the program may touch them */
	pcclSharedState_t state;
};

static const size_t sizes[TENSORS] = {LARGE, SMALL, HOST};

static uint8_t byte_of(size_t tensor, size_t at, unsigned content)
{
	return (uint8_t)(at * 7 + at / 4096 + tensor * 31 + content);
}

static void fill(struct sample *sample, size_t tensor, unsigned content)
{
	size_t at;

	for (at = 0; at < sizes[tensor]; at++)
		sample->seen[tensor][at] = byte_of(tensor, at, content);
}

static bool holds(const struct sample *sample, size_t tensor, unsigned content)
{
	size_t at;

	for (at = 0; at < sizes[tensor]; at++)
		if (sample->seen[tensor][at] != byte_of(tensor, at, content))
			return false;
	return true;
}

/* Two tensors on two devices, or here. */
static void make(struct sample *sample, const struct standin *standin, unsigned content)
{
	static const char *const names[TENSORS] = {"large", "small", "host"};
	static uint8_t host[TENSORS][LARGE];
	size_t tensor;

	for (tensor = 0; tensor < TENSORS; tensor++) {
		bool on_device = standin != NULL && tensor < 2;
		void *data = on_device ? standin->alloc((int)tensor, sizes[tensor], tensor == 1) : host[tensor];

		sample->infos[tensor] = (pcclTensorInfo_t){.name = names[tensor],
							   .data = data,
							   .count = sizes[tensor],
							   .datatype = pcclUint8,
							   .device_type = on_device ? pcclDeviceCuda : pcclDeviceCpu};
		sample->seen[tensor] = on_device ? standin->peek(data) : data;
		fill(sample, tensor, content);
	}
	sample->state = (pcclSharedState_t){.revision = 0, .count = TENSORS, .infos = sample->infos};
}

static pcclResult_t synchronize(const struct world_peer *me, struct sample *sample, const bool *dirty,
				pcclStateSyncInfo_t *info)
{
	pcclStateSyncOptions_t options = PCCL_STATE_SYNC_OPTIONS_INITIALIZER;
	const pcclStateSyncInfo_t none = PCCL_STATE_SYNC_INFO_INITIALIZER;

	options.dirty = dirty;
	*info = none;
	return pcclStateSync(me->comm, &sample->state, &options, info);
}

/* ---- from device to device ------------------------------ */

/* Peers 0 and 2 have devices, 1 has none; 2 has nothing yet. */
static void shares_devices(struct world_peer *me)
{
	const struct standin *standin = me->index != 1 ? check_standin() : NULL;
	struct sample sample;
	pcclStateSyncInfo_t info;
	long copies;
	size_t tensor;

	make(&sample, standin, me->index < 2 ? 1 : 9);
	peer_join(me);
	peer_grow(me, 3);
	CHECK_RESULT(pcclSuccess, synchronize(me, &sample, NULL, &info));
	for (tensor = 0; tensor < TENSORS; tensor++)
		CHECK(holds(&sample, tensor, 1));
	CHECK(info.rx_bytes == (me->index == 2 ? LARGE + SMALL + HOST : 0));
	CHECK(info.hashed_bytes == LARGE + SMALL + HOST);
	/* One byte of one chunk. */
	sample.state.revision = 1;
	if (me->index < 2)
		sample.seen[0][(2 << 20) + 5]++;
	CHECK_RESULT(pcclSuccess, synchronize(me, &sample, NULL, &info));
	CHECK(info.rx_bytes == (me->index == 2 ? 1 << 20 : 0));
	CHECK(sample.seen[0][(2 << 20) + 5] == (uint8_t)(byte_of(0, (2 << 20) + 5, 1) + 1));
	/* Nothing: what is on a device is copied once, to be hashed. */
	sample.state.revision = 2;
	copies = standin != NULL ? standin->copies() : 0;
	CHECK_RESULT(pcclSuccess, synchronize(me, &sample, NULL, &info));
	CHECK(info.rx_bytes == 0 && info.tx_bytes == 0);
	CHECK(standin == NULL || standin->copies() - copies == 5);
	CHECK(standin == NULL || standin->left() == 0);
	peer_meet(me, 3);
	peer_leave(me);
}

static void states_move_from_device_to_device(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 3, shares_devices, NULL);
	peers_finish(world);
}

/* ---- hashes that are kept ------------------------------ */

static void tells_what_changed(struct world_peer *me)
{
	static const bool all[TENSORS] = {true, true, true}, only_small[TENSORS] = {false, true, false},
			  none[TENSORS] = {false, false, false};
	struct sample sample;
	pcclStateSyncInfo_t info;

	make(&sample, NULL, 1);
	peer_join(me);
	peer_grow(me, 3);
	CHECK_RESULT(pcclSuccess, synchronize(me, &sample, only_small, &info));
	CHECK(info.hashed_bytes == LARGE + SMALL + HOST); /* there was no call before */
	sample.state.revision = 1;
	if (me->index < 2)
		fill(&sample, 1, 2);
	CHECK_RESULT(pcclSuccess, synchronize(me, &sample, only_small, &info));
	CHECK(info.hashed_bytes == SMALL && info.rx_bytes == (me->index == 2 ? SMALL : 0));
	CHECK(holds(&sample, 1, 2));
	/* What was received has its new hash: nobody has to say that it changed. */
	sample.state.revision = 2;
	CHECK_RESULT(pcclSuccess, synchronize(me, &sample, none, &info));
	CHECK(info.hashed_bytes == 0 && info.rx_bytes == 0);
	/* Another tensor of that name. */
	sample.state.revision = 3;
	sample.infos[2].count--;
	CHECK_RESULT(pcclSuccess, synchronize(me, &sample, none, &info));
	CHECK(info.hashed_bytes == LARGE + SMALL + HOST - 1);
	sample.infos[2].count++;
	sample.state.revision = 4;
	CHECK_RESULT(pcclSuccess, synchronize(me, &sample, all, &info));
	CHECK(info.hashed_bytes == LARGE + SMALL + HOST);
	/* And after a loss nothing that was kept counts. */
	peer_reach(me, 1);
	if (me->index == 2)
		peer_wait_gate(me, 1);
	while (peer_world_size(me) > 2)
		peers_sleep_ms(10);
	sample.state.revision = 5;
	CHECK_RESULT(pcclSuccess, synchronize(me, &sample, none, &info));
	CHECK(info.hashed_bytes == LARGE + SMALL + HOST);
	peer_meet(me, 2);
	peer_leave(me);
}

static void only_what_changed_is_hashed(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 3, tells_what_changed, NULL);
	peers_await_all(world, 0, 3, 1);
	peers_signal(world, 2, SIGKILL);
	peers_finish(world);
}

/* ---- a device that fails ------------------------------ */

/* The driver of peer 2 fails at one call after the other, and every time the others go on. */
static void has_a_bad_device(struct world_peer *me)
{
	const struct standin *standin = check_standin();
	struct sample sample;
	pcclStateSyncInfo_t info;
	unsigned round, failures = 0;

	make(&sample, standin, 0);
	peer_join(me);
	peer_grow(me, 3);
	CHECK_RESULT(pcclSuccess, synchronize(me, &sample, NULL, &info)); /* the driver is loaded */
	for (round = 1; round <= 60; round++) {
		pcclResult_t result;

		sample.state.revision = round;
		if (me->index < 2)
			fill(&sample, 1, round);
		else
			standin->fail_at(round);
		result = synchronize(me, &sample, NULL, &info);
		standin->fail_at(0);
		CHECK(standin->left() == 0);
		CHECK(result == pcclSuccess || (me->index == 2 && result == pcclSystemError));
		CHECK(result == pcclSuccess || strstr(pcclGetLastError(NULL), "CUDA") != NULL);
		failures += result != pcclSuccess;
		CHECK(result != pcclSuccess || holds(&sample, 1, round));
	}
	CHECK((failures > 10) == (me->index == 2));
	sample.state.revision = round;
	CHECK_RESULT(pcclSuccess, synchronize(me, &sample, NULL, &info));
	CHECK(holds(&sample, 1, 60) && holds(&sample, 0, 0));
	peer_meet(me, 3);
	peer_leave(me);
}

static void a_device_that_fails_holds_up_nobody(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 3, has_a_bad_device, NULL);
	peers_finish(world);
}

/* ---- drift ------------------------------ */

/* One element of one peer goes astray, on a device; then that peer dies while the others ask. */
static void goes_astray(struct world_peer *me)
{
	static const bool none[TENSORS] = {false, false, false};
	struct sample sample;
	pcclStateSyncInfo_t info;
	pcclStateSyncOptions_t options = PCCL_STATE_SYNC_OPTIONS_INITIALIZER;
	pcclStateDrift_t drift = PCCL_STATE_DRIFT_INITIALIZER;
	uint32_t odd;

	make(&sample, me->index != 1 ? check_standin() : NULL, 1);
	peer_join(me);
	peer_grow(me, 3);
	CHECK_RESULT(pcclSuccess, pcclStateCheck(me->comm, &sample.state, NULL, &drift));
	CHECK(drift.tensor == PCCL_STATE_NOWHERE && drift.hashed_bytes == LARGE + SMALL + HOST);
	options.dirty = none;
	CHECK_RESULT(pcclSuccess, pcclStateCheck(me->comm, &sample.state, &options, &drift));
	CHECK(drift.hashed_bytes == 0);
	peer_tell(me, 0, peer_rank(me) + 1);
	peer_meet(me, 3);
	odd = (uint32_t)peers_told(me->world, 2, 0) - 1;
	if (me->index == 2)
		sample.seen[0][(1 << 20) + 9] ^= 64;
	CHECK_RESULT(pcclMismatch, pcclStateCheck(me->comm, &sample.state, NULL, &drift));
	CHECK(drift.tensor == 0 && drift.chunk == 1 && drift.element == (1 << 20) + 9);
	CHECK(drift.peers == 1 && drift.first_rank == odd);
	CHECK(strstr(pcclGetLastError(NULL), "tensor 'large' has drifted at rank") != NULL);
	/* A call that has found a drift keeps nothing. */
	if (me->index == 2)
		sample.seen[0][(1 << 20) + 9] ^= 64;
	CHECK_RESULT(pcclSuccess, pcclStateCheck(me->comm, &sample.state, &options, &drift));
	CHECK(drift.hashed_bytes == LARGE + SMALL + HOST);
	CHECK_RESULT(pcclSuccess, synchronize(me, &sample, none, &info));
	CHECK(info.hashed_bytes == 0);
	peer_reach(me, 1);
	if (me->index == 2)
		peer_wait_gate(me, 1);
	CHECK_RESULT(pcclSuccess, pcclStateCheck(me->comm, &sample.state, NULL, NULL));
	peer_meet(me, 2);
	peer_leave(me);
}

static void what_drifts_is_named(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 3, goes_astray, NULL);
	peers_await_all(world, 0, 3, 1);
	peers_signal(world, 2, SIGKILL);
	peers_finish(world);
}

/* One calls pcclStateSync() meanwhile: all are told that they do different things. */
static void does_something_else(struct world_peer *me)
{
	struct sample sample;
	pcclStateSyncInfo_t info;

	make(&sample, NULL, 1);
	peer_join(me);
	peer_grow(me, 2);
	if (me->index == 0)
		CHECK_RESULT(pcclInvalidUsage, synchronize(me, &sample, NULL, &info));
	else
		CHECK_RESULT(pcclInvalidUsage, pcclStateCheck(me->comm, &sample.state, NULL, NULL));
	CHECK(strstr(pcclGetLastError(NULL), "members made different calls; this one pcclS") != NULL);
	CHECK_RESULT(pcclSuccess, pcclStateCheck(me->comm, &sample.state, NULL, NULL));
	peer_meet(me, 2);
	peer_leave(me);
}

static void other_calls_are_no_drift(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 2, does_something_else, NULL);
	peers_finish(world);
}

static void nobody_else(struct world_peer *me)
{
	struct sample sample;
	pcclStateDrift_t drift = PCCL_STATE_DRIFT_INITIALIZER;
	pcclStateSyncOptions_t options = PCCL_STATE_SYNC_OPTIONS_INITIALIZER;

	make(&sample, NULL, 1);
	peer_join(me);
	CHECK_RESULT(pcclSuccess, pcclStateCheck(me->comm, &sample.state, NULL, &drift));
	drift.reserved = 1;
	CHECK_RESULT(pcclInvalidArgument, pcclStateCheck(me->comm, &sample.state, NULL, &drift));
	CHECK_RESULT(pcclInvalidArgument, pcclStateCheck(me->comm, NULL, NULL, NULL));
	options.reserved = 1;
	CHECK_RESULT(pcclInvalidArgument, pcclStateCheck(me->comm, &sample.state, &options, NULL));
	sample.infos[1].datatype = (pcclDataType_t)99;
	CHECK_RESULT(pcclInvalidArgument, pcclStateCheck(me->comm, &sample.state, NULL, NULL));
	peer_leave(me);
}

static void alone_nothing_drifts(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 1, nobody_else, NULL);
	peers_finish(world);
}

/* ---- before admission ------------------------------ */

/* Peer 0 lends from its devices, and changes what it has lent: a copy is. Peer 1 comes later, and has devices too. */
static void lends_or_prefetches_devices(struct world_peer *me)
{
	const struct standin *standin = check_standin();
	pcclStateSyncInfo_t info = PCCL_STATE_SYNC_INFO_INITIALIZER;
	struct sample sample;
	size_t tensor;

	make(&sample, standin, me->index == 0 ? 1 : 9);
	peer_create(me);
	if (me->index == 1) {
		peer_wait_peer(me, 0, 1);
		CHECK_RESULT(pcclSuccess, pcclStatePrefetch(me->comm, &sample.state, &info));
	}
	CHECK_RESULT(pcclSuccess, pcclConnect(me->comm));
	if (me->index == 0) {
		CHECK_RESULT(pcclSuccess, pcclStateLend(me->comm, &sample.state));
		fill(&sample, 0, 2);
		peer_reach(me, 1);
	}
	peer_grow(me, 2);
	CHECK_RESULT(pcclSuccess, pcclStateTakeBack(me->comm));
	for (tensor = 0; me->index == 1 && tensor < TENSORS; tensor++)
		CHECK(holds(&sample, tensor, 1));
	CHECK(info.rx_bytes == (me->index == 1 ? LARGE + SMALL + HOST : 0));
	sample.state.revision = me->index == 0 ? 1 : 0;
	CHECK_RESULT(pcclSuccess, synchronize(me, &sample, NULL, &info));
	CHECK(info.rx_bytes == (me->index == 1 ? LARGE : 0));
	for (tensor = 0; tensor < TENSORS; tensor++)
		CHECK(holds(&sample, tensor, tensor == 0 ? 2 : 1));
	peer_meet(me, 2);
	peer_leave(me);
}

static void devices_lend_and_prefetch(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 2, lends_or_prefetches_devices, NULL);
	peers_finish(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(states_move_from_device_to_device, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(devices_lend_and_prefetch, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(only_what_changed_is_hashed, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_device_that_fails_holds_up_nobody, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(what_drifts_is_named, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(other_calls_are_no_drift, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(alone_nothing_drifts, peers_open, peers_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
