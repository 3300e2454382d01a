/* Members and masters that die in each phase of a call about states: whoever is left ends, with the state if anybody
 * is left who has it. A phase is known by what the library logs when it comes to it. */
#include <pccl/diagnostics.h>
#include <pccl/state.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/check.h"
#include "lib/peers.h"

enum { BYTES = 3 << 20, PEERS_MAX = 4, MILESTONE_READY = 1, MILESTONE_PHASE, MILESTONE_ENDED };

static const char *const phases[] = {"gathers what all have", "opens its tensors",  "fetches", "serves",
				     "gathers how it went",   "closes its tensors", "ends"};

/* The last peer lacks the state, and the others have it. */
struct death {
	unsigned peers;
	unsigned victim; /* PEERS_MAX: it is the master */
	const char *phase;
};

static struct world_peer *watched; /* it stops when it has come to the phase */

static void stop_in_phase(pcclLogLevel_t level, const char *text, void *context)
{
	const struct death *death = watched->argument;

	(void)level;
	(void)context;
	if (strstr(text, "synchronizing the state: ") == NULL || strstr(text, death->phase) == NULL)
		return;
	peer_reach(watched, MILESTONE_PHASE);
	if (death->victim < death->peers)
		for (;;)
			pause();
	peer_wait_gate(watched, 2);
}

/* Where the master dies, the peer that lacks the state shows the phase. */
static bool is_watched(const struct death *death, unsigned index)
{
	return index == (death->victim < death->peers ? death->victim : death->peers - 1);
}

static void gets_a_state(struct world_peer *me)
{
	const struct death *death = me->argument;
	bool lacks = me->index == death->peers - 1;
	uint8_t *data = malloc(BYTES);
	pcclTensorInfo_t info = {"tensor", data, BYTES, pcclUint8, pcclDeviceCpu, false};
	pcclSharedState_t state = {lacks ? 0 : 1, 1, &info};
	pcclResult_t result;
	size_t at;

	CHECK(data != NULL);
	memset(data, lacks ? 9 : 3, BYTES);
	peer_join(me);
	peer_grow(me, death->peers);
	peer_reach(me, MILESTONE_READY);
	peer_wait_gate(me, 1);
	if (is_watched(death, me->index)) {
		watched = me;
		CHECK_RESULT(pcclSuccess, pcclSetLogLevel(pcclLogDebug));
		CHECK_RESULT(pcclSuccess, pcclSetLogCallback(stop_in_phase, NULL));
	}
	result = pcclStateSync(me->comm, &state, NULL, NULL);
	CHECK_RESULT(pcclSuccess, pcclSetLogCallback(NULL, NULL));
	CHECK_RESULT(pcclSuccess, pcclSetLogLevel(pcclLogErr));
	/* Alone with a torn state it has none. */
	CHECK(result == pcclSuccess || (death->peers == 2 && lacks && strlen(pcclGetLastError(NULL)) > 0));
	for (at = 0; result == pcclSuccess && at < BYTES; at++)
		CHECK(data[at] == 3 || (death->peers == 2 && state.revision == 0 && data[at] == 9));
	peer_reach(me, MILESTONE_ENDED);
	peer_wait_gate(me, 3);
	if (death->victim < death->peers)
		peer_leave(me);
	free(data);
}

static void die(struct world *world, const struct death *death)
{
	bool is_master = death->victim >= death->peers;
	unsigned watched_peer = is_master ? death->peers - 1 : death->victim, peer;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, death->peers, gets_a_state, death);
	peers_await_all(world, 0, death->peers, MILESTONE_READY);
	peers_open_gate(world, 1);
	peers_await(world, watched_peer, MILESTONE_PHASE);
	if (is_master)
		peers_kill_master(world, 0);
	else
		peers_signal(world, death->victim, SIGKILL);
	peers_open_gate(world, 2);
	for (peer = 0; peer < death->peers; peer++)
		if (peer != death->victim)
			peers_await(world, peer, MILESTONE_ENDED);
	peers_open_gate(world, 3);
	peers_finish(world);
}

static void die_in_phase(unsigned peers, unsigned victim, const char *phase)
{
	const struct death death = {peers, victim, phase};
	void *world = NULL;
	char role[16] = "the master";

	if (victim < peers)
		(void)snprintf(role, sizeof(role), "peer %u", victim);
	print_message("of %u peers %s dies when it comes to this: %s\n", peers, role, phase);
	assert_int_equal(peers_open(&world), 0);
	die(world, &death);
	assert_int_equal(peers_close(&world), 0);
}

/* Who has the state does not fetch; who lacks it does all of this. */
static bool comes_to(const char *phase, bool lacks)
{
	return lacks || (strcmp(phase, "fetches") != 0 && strcmp(phase, "serves") != 0);
}

static void die_in_every_phase(unsigned peers, unsigned victim)
{
	size_t index;

	for (index = 0; index < sizeof(phases) / sizeof(phases[0]); index++)
		if (comes_to(phases[index], victim >= peers - 1))
			die_in_phase(peers, victim, phases[index]);
}

static void a_source_dies_in_every_phase(void **state)
{
	(void)state;
	die_in_every_phase(4, 1);
}

static void the_only_source_dies_in_every_phase(void **state)
{
	(void)state;
	die_in_every_phase(2, 0);
}

static void a_receiver_dies_in_every_phase(void **state)
{
	(void)state;
	die_in_every_phase(3, 2);
}

static void the_master_dies_in_every_phase(void **state)
{
	(void)state;
	die_in_every_phase(3, PEERS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_source_dies_in_every_phase),
		cmocka_unit_test(the_only_source_dies_in_every_phase),
		cmocka_unit_test(a_receiver_dies_in_every_phase),
		cmocka_unit_test(the_master_dies_in_every_phase),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
