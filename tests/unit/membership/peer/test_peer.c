/* A peer alone, whose masters are played by the test. */
#include <string.h>

#include "membership/peer/peer.h"

#include "lib/check.h"
#include "lib/small_world.h"

#define DIALS 12
#define FIRST_WAIT_NS (50 * SMALL_MS)
#define LONGEST_WAIT_NS (1000 * SMALL_MS)

static struct pccl_peer *new_peer(uint32_t masters)
{
	struct pccl_peer_config config = {.master_count = masters,
					  .heartbeat_interval_ns = 500 * SMALL_MS,
					  .heartbeat_timeout_ns = 3000 * SMALL_MS,
					  .connect_timeout_ns = 600000 * SMALL_MS,
					  .seed = 7};
	struct pccl_peer *peer;

	config.self.uuid = small_uuid(1);
	config.secret = small_secret(1);
	assert_int_equal(pccl_peer_create(&config, &peer), pcclSuccess);
	return peer;
}

/* Takes all actions; true: one was DIAL, of this master. */
static bool takes_dial(struct pccl_peer *peer, uint32_t *master_out)
{
	struct pccl_peer_action action;
	bool dials = false;

	while (pccl_peer_poll(peer, &action)) {
		pccl_message_destroy(action.message);
		if (action.type != PCCL_PEER_DIAL)
			continue;
		*master_out = action.master;
		dials = true;
	}
	return dials;
}

/* No master can be reached: notes how long the peer waits before it dials each time. */
static void note_waits(uint32_t masters, uint64_t *waits_ns)
{
	struct pccl_peer *peer = new_peer(masters);
	struct pccl_peer_event event = {.type = PCCL_PEER_JOIN, .now_ns = 1000 * SMALL_MS};
	uint64_t closed_ns = event.now_ns;
	uint32_t master;
	uint32_t dial;

	pccl_peer_step(peer, &event);
	for (dial = 0; dial < DIALS; dial++) {
		while (!takes_dial(peer, &master)) {
			event.type = PCCL_PEER_TICK;
			event.now_ns = pccl_peer_deadline(peer);
			pccl_peer_step(peer, &event);
		}
		assert_int_equal(master, dial % masters);
		waits_ns[dial] = event.now_ns - closed_ns;
		closed_ns = event.now_ns;
		event.type = PCCL_PEER_CLOSED;
		event.text = "refused";
		pccl_peer_step(peer, &event);
	}
	pccl_peer_destroy(peer);
}

static void check_wait(uint64_t wait_ns, uint32_t doublings)
{
	uint64_t most_ns = FIRST_WAIT_NS << doublings;

	if (most_ns > LONGEST_WAIT_NS)
		most_ns = LONGEST_WAIT_NS;
	assert_in_range(wait_ns, most_ns / 2, most_ns);
}

static void waits_for_a_single_master_double(void **state)
{
	uint64_t waits_ns[DIALS];
	uint32_t dial;

	(void)state;
	note_waits(1, waits_ns);
	assert_int_equal(waits_ns[0], 0);
	for (dial = 1; dial < DIALS; dial++)
		check_wait(waits_ns[dial], dial - 1);
}

/* Once for each round of the list, of which the first goes without waiting. */
static void waits_for_several_masters_double_once_per_round(void **state)
{
	uint64_t waits_ns[DIALS];
	uint32_t dial;

	(void)state;
	note_waits(2, waits_ns);
	for (dial = 0; dial < 3; dial++)
		assert_int_equal(waits_ns[dial], 0);
	for (; dial < DIALS; dial++)
		check_wait(waits_ns[dial], (dial - 3) / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waits_for_a_single_master_double),
		cmocka_unit_test(waits_for_several_masters_double_once_per_round),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
