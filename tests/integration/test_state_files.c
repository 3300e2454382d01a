/* Everybody has died, and files of several revisions are left: those who come back from them go on from the highest. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <pccl/state.h>

#include "lib/check.h"
#include "lib/peers.h"

enum { BYTES = 1024, SAVED_REVISIONS = 3 };

static pcclResult_t synchronize(const struct world_peer *me, pcclSharedState_t *state, pcclSharedStateSyncInfo_t *info)
{
	return pcclSynchronizeSharedState(me->comm, state, PCCL_SHARED_STATE_SYNC_STRATEGY_ENFORCE_POPULAR, info);
}

static const char *file_of(unsigned peer, char *path, size_t bytes)
{
	(void)snprintf(path, bytes, "/tmp/pccl-test-%ld-state-%u.safetensors", (long)getppid(), peer);
	return path;
}

/* Peer 0 saves revision 0 only, peer 2 all that there are. */
static void saves_and_dies(struct world_peer *me)
{
	uint8_t data[BYTES];
	pcclTensorInfo_t info = {"a", data, BYTES, pcclUint8, pcclDeviceCpu, false};
	pcclSharedState_t state = {0, 1, &info};
	pcclSharedStateSyncInfo_t moved;
	char path[80];

	peer_join(me);
	peer_grow(me, SAVED_REVISIONS);
	for (; state.revision < SAVED_REVISIONS; state.revision++) {
		memset(data, (int)(40 + state.revision), BYTES);
		CHECK_RESULT(pcclSuccess, synchronize(me, &state, &moved));
		if (state.revision <= me->index)
			CHECK_RESULT(pcclSuccess, pcclStateSave(&state, file_of(me->index, path, sizeof(path)), NULL));
	}
	peer_reach(me, 1);
	pause();
}

/* Their group is another one, and has no commit: revisions decide. Two have the oldest file. */
static void comes_back_from_its_file(struct world_peer *me)
{
	const unsigned saved = me->index - SAVED_REVISIONS;
	uint8_t data[BYTES];
	pcclTensorInfo_t info = {"a", data, BYTES, pcclUint8, pcclDeviceCpu, false};
	pcclSharedState_t state = {77, 1, &info};
	pcclSharedStateSyncInfo_t moved;
	char path[80];

	CHECK_RESULT(pcclSuccess,
		     pcclStateLoad(&state, file_of(saved < SAVED_REVISIONS ? saved : 0, path, sizeof(path)), NULL));
	CHECK(state.revision == saved % SAVED_REVISIONS && data[5] == 40 + state.revision);
	peer_join(me);
	peer_grow(me, SAVED_REVISIONS + 1);
	CHECK_RESULT(pcclSuccess, synchronize(me, &state, &moved));
	CHECK(state.revision == SAVED_REVISIONS - 1 && data[0] == 42 && data[BYTES - 1] == 42);
	CHECK(moved.rx_bytes == (saved == SAVED_REVISIONS - 1 ? 0 : BYTES));
	state.revision++;
	CHECK_RESULT(pcclSuccess, synchronize(me, &state, &moved)); /* and on from there */
	CHECK(state.revision == SAVED_REVISIONS);
	peer_meet(me, SAVED_REVISIONS + 1);
	peer_leave(me);
}

static void of_files_that_are_left_the_highest_revision_is_elected(void **state)
{
	struct world *world = *state;
	char path[80];
	unsigned peer;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, SAVED_REVISIONS, saves_and_dies, NULL);
	peers_await_all(world, 0, SAVED_REVISIONS, 1);
	for (peer = 0; peer < SAVED_REVISIONS; peer++)
		peers_signal(world, peer, SIGKILL);
	peers_kill_master(world, 0);
	peers_restart_master(world, 0, WORLD_PROGRAM);
	peers_start(world, SAVED_REVISIONS + 1, comes_back_from_its_file, NULL);
	peers_finish(world);
	for (peer = 0; peer < SAVED_REVISIONS; peer++) {
		(void)snprintf(path, sizeof(path), "/tmp/pccl-test-%ld-state-%u.safetensors", (long)getpid(), peer);
		assert_int_equal(unlink(path), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(of_files_that_are_left_the_highest_revision_is_elected, peers_open,
						peers_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
