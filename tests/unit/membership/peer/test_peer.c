/* A peer alone, whose masters are played by the test. */
#include <string.h>

#include "base/memory.h"
#include "membership/peer/peer.h"

#include "lib/check.h"
#include "lib/small_world.h"

#define DIALS 12
#define FIRST_WAIT_NS (50 * SMALL_MS)
#define LONGEST_WAIT_NS (1000 * SMALL_MS)

static uint64_t master_timeout_ns; /* of peers to come */

static struct pccl_peer *new_peer(uint32_t masters)
{
	struct pccl_peer_config config = {.master_count = masters,
					  .heartbeat_interval_ns = 500 * SMALL_MS,
					  .heartbeat_timeout_ns = 3000 * SMALL_MS,
					  .connect_timeout_ns = 600000 * SMALL_MS,
					  .master_timeout_ns = master_timeout_ns,
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

/* Masters whose security differs are dialled twice each, in a row; true: the peer has ended for it. */
static bool ends_unfit(struct pccl_peer *peer, uint32_t dials, uint32_t fit_dial)
{
	struct pccl_peer_event event = {.type = PCCL_PEER_JOIN, .now_ns = 1000 * SMALL_MS};
	struct pccl_peer_action action = {.type = PCCL_PEER_DIAL};
	uint32_t master;
	uint32_t dial;

	pccl_peer_step(peer, &event);
	for (dial = 0; dial < dials; dial++) {
		while (!takes_dial(peer, &master)) {
			event.type = PCCL_PEER_TICK;
			event.now_ns = pccl_peer_deadline(peer);
			pccl_peer_step(peer, &event);
		}
		event.type = PCCL_PEER_CLOSED;
		event.text =
			"the master at [2001:0db8:1111:2222:3333:4444:5555:6666]:48148, which the authority of the "
			"training cluster of the department for geophysics has signed for: it asks for a join secret";
		event.unfit = dial != fit_dial;
		pccl_peer_step(peer, &event);
	}
	while (action.type != PCCL_PEER_ENDED && pccl_peer_poll(peer, &action))
		pccl_message_destroy(action.message);
	if (action.type != PCCL_PEER_ENDED)
		return false;
	assert_int_equal(action.result, pcclMasterConnectionFailed);
	assert_non_null(strstr(action.text, "it asks for a join secret"));
	return true;
}

static void newcomer_ends_when_no_master_has_its_security(void **state)
{
	const struct {
		uint32_t masters, dials, fit_dial;
		bool ends;
	} cases[] = {{1, 1, DIALS, false}, {1, 2, DIALS, true}, {2, 3, DIALS, false},
		     {2, 4, DIALS, true},  {2, 4, 1, false},	{2, 6, 1, true}};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pccl_peer *peer = new_peer(cases[i].masters);

		assert_int_equal(ends_unfit(peer, cases[i].dials, cases[i].fit_dial), cases[i].ends);
		pccl_peer_destroy(peer);
	}
}

/* ---- a member ------------------------------------------------------------------------------------------------ */

#define MEMBERS 4

static struct pccl_message *install_of(uint32_t epoch, uint16_t lanes)
{
	struct pccl_message *message = pccl_message_create(PCCL_MESSAGE_INSTALL);
	struct pccl_view *view = &message->body.install.view;
	uint32_t rank;

	view->epoch = epoch;
	view->lanes = lanes;
	view->streams = 1;
	view->member_count = MEMBERS;
	view->members = pccl_calloc(MEMBERS, sizeof(*view->members));
	for (rank = 0; rank < MEMBERS; rank++)
		view->members[rank].uuid = small_uuid(rank);
	return message;
}

/* What it says of links, all in all. */
static struct {
	uint32_t broken;
	uint32_t mended;
	uint32_t linked;
	uint32_t dials;
	uint32_t hang_ups;
	uint32_t ends;
} said;

static uint64_t said_timeout_ns; /* of the last REGISTER */

static void step(struct pccl_peer *peer, struct pccl_peer_event *event)
{
	struct pccl_peer_action action;

	pccl_peer_step(peer, event);
	while (pccl_peer_poll(peer, &action)) {
		said.dials += action.type == PCCL_PEER_DIAL;
		said.hang_ups += action.type == PCCL_PEER_HANG_UP;
		said.ends += action.type == PCCL_PEER_ENDED;
		if (action.type != PCCL_PEER_SEND)
			continue;
		said.linked += action.message->type == PCCL_MESSAGE_LINKED;
		if (action.message->type == PCCL_MESSAGE_REGISTER)
			said_timeout_ns = action.message->body.registration.heartbeat_timeout_ns;
		if (action.message->type == PCCL_MESSAGE_BROKEN && action.message->body.broken.broken)
			said.broken++;
		else if (action.message->type == PCCL_MESSAGE_BROKEN)
			said.mended++;
		pccl_message_destroy(action.message);
	}
}

static void hear(struct pccl_peer *peer, struct pccl_peer_event *event, struct pccl_message *message)
{
	event->type = PCCL_PEER_MESSAGE;
	event->message = message;
	step(peer, event);
}

static void come_up(struct pccl_peer *peer, struct pccl_peer_event *event)
{
	struct pccl_message *welcome = pccl_message_create(PCCL_MESSAGE_WELCOME);

	event->type = PCCL_PEER_DIALLED;
	step(peer, event);
	welcome->body.welcome.registered = true;
	hear(peer, event, welcome);
}

static struct pccl_peer *new_registering(struct pccl_peer_event *event)
{
	struct pccl_peer *peer = new_peer(1);

	*event = (struct pccl_peer_event){.type = PCCL_PEER_JOIN, .now_ns = 1000 * SMALL_MS};
	step(peer, event);
	event->type = PCCL_PEER_DIALLED;
	step(peer, event);
	memset(&said, 0, sizeof(said));
	return peer;
}

static struct pccl_peer *new_member(struct pccl_peer_event *event, uint16_t lanes)
{
	struct pccl_peer *peer = new_peer(1);

	*event = (struct pccl_peer_event){.type = PCCL_PEER_JOIN, .now_ns = 1000 * SMALL_MS};
	step(peer, event);
	come_up(peer, event);
	hear(peer, event, install_of(3, lanes));
	memset(&said, 0, sizeof(said));
	return peer;
}

/* A refusal is the last word; who answers with something else is no master to stay with. */
static void a_registration_is_answered_by_a_welcome_or_the_end(void **state)
{
	struct pccl_message *refusal = pccl_message_create(PCCL_MESSAGE_REFUSED);
	struct pccl_peer_event event;
	struct pccl_peer *peer = new_registering(&event);

	(void)state;
	refusal->body.notice.result = pcclMasterConnectionFailed;
	hear(peer, &event, refusal);
	assert_int_equal(said.ends, 1);
	pccl_peer_destroy(peer);
	peer = new_registering(&event);
	hear(peer, &event, pccl_message_create(PCCL_MESSAGE_BEAT));
	assert_int_equal(said.hang_ups, 0);
	hear(peer, &event, pccl_message_create(PCCL_MESSAGE_LATE));
	assert_int_equal(said.hang_ups, 1);
	assert_int_equal(said.ends, 0);
	pccl_peer_destroy(peer);
}

/* Its masters refuse it one after the other, which a list that is old may be the cause of. */
static void a_member_that_is_refused_goes_on_to_the_next_master(void **state)
{
	struct pccl_peer_event event = {.type = PCCL_PEER_JOIN, .now_ns = 1000 * SMALL_MS};
	struct pccl_peer *peer = new_peer(3);
	uint32_t master;

	(void)state;
	step(peer, &event);
	come_up(peer, &event);
	hear(peer, &event, install_of(3, 1));
	event.now_ns += 1000 * SMALL_MS;
	event.type = PCCL_PEER_CLOSED;
	step(peer, &event);
	memset(&said, 0, sizeof(said));
	for (master = 0; master < 3; master++) {
		assert_int_equal(said.ends, 0);
		while (said.dials == master) {
			event.type = PCCL_PEER_TICK;
			event.now_ns = pccl_peer_deadline(peer);
			step(peer, &event);
		}
		event.type = PCCL_PEER_DIALLED;
		step(peer, &event);
		hear(peer, &event, pccl_message_create(PCCL_MESSAGE_REFUSED));
	}
	assert_int_equal(said.dials, 3);
	assert_int_equal(said.ends, 1);
	pccl_peer_destroy(peer);
}

static struct pccl_peer *new_registered_far_away(struct pccl_peer_event *event, uint64_t trip_ns)
{
	struct pccl_message *welcome = pccl_message_create(PCCL_MESSAGE_WELCOME);
	struct pccl_peer *peer = new_peer(1);

	*event = (struct pccl_peer_event){.type = PCCL_PEER_JOIN, .now_ns = 1000 * SMALL_MS};
	step(peer, event);
	event->type = PCCL_PEER_DIALLED;
	event->trip_ns = trip_ns;
	step(peer, event);
	welcome->body.welcome.registered = true;
	hear(peer, event, welcome);
	memset(&said, 0, sizeof(said));
	return peer;
}

/* It asks for as long a time-out as it grants; at most twice what is set. */
static void a_master_that_is_far_away_may_be_silent_for_longer(void **state)
{
	static const struct {
		uint64_t trip_ms, patience_ms;
	} cases[] = {{0, 3000}, {1, 3016}, {100, 4600}, {187, 5992}, {188, 6000}, {5000, 6000}};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pccl_peer_event event;
		struct pccl_peer *peer = new_registered_far_away(&event, cases[i].trip_ms * SMALL_MS);
		uint64_t end_ns = event.now_ns + cases[i].patience_ms * SMALL_MS;

		assert_true(said_timeout_ns == cases[i].patience_ms * SMALL_MS);
		event.type = PCCL_PEER_TICK;
		while ((event.now_ns = pccl_peer_deadline(peer)) < end_ns)
			step(peer, &event);
		assert_int_equal(said.hang_ups, 0);
		event.now_ns = end_ns;
		step(peer, &event);
		assert_int_equal(said.hang_ups, 1);
		pccl_peer_destroy(peer);
	}
}

/* It has a master that took it, waits to be admitted, and hears nothing more, of nobody. */
static void newcomer_whose_master_falls_silent_gives_up(void **state)
{
	struct pccl_peer_event event;
	struct pccl_peer *peer = new_registered_far_away(&event, 0);
	uint64_t silent_ns = event.now_ns + 3000 * SMALL_MS, end_ns = silent_ns + 600000 * SMALL_MS;

	(void)state;
	while (said.ends == 0 && event.now_ns < 2 * end_ns) {
		event.type = PCCL_PEER_TICK;
		event.now_ns = pccl_peer_deadline(peer);
		step(peer, &event);
	}
	assert_int_equal(said.ends, 1);
	assert_true(event.now_ns == end_ns);
	assert_true(said.dials > 1);
	pccl_peer_destroy(peer);
}

static void link_is(struct pccl_peer *peer, struct pccl_peer_event *event, uint32_t rank, uint32_t lane, bool broken)
{
	event->type = broken ? PCCL_PEER_LINK_BROKEN : PCCL_PEER_LINK_MENDED;
	event->uuid = small_uuid(rank);
	event->lane = lane;
	step(peer, event);
}

static void tick(struct pccl_peer *peer, struct pccl_peer_event *event, uint64_t ms)
{
	event->type = PCCL_PEER_TICK;
	event->now_ns += ms * SMALL_MS;
	step(peer, event);
}

static void member_is_broken_when_all_lanes_of_the_view_are(void **state)
{
	struct pccl_peer_event event;
	struct pccl_peer *peer = new_member(&event, 2);

	(void)state;
	link_is(peer, &event, 2, 0, true);
	link_is(peer, &event, 2, 2, true); /* of a former view */
	assert_int_equal(said.broken, 0);
	link_is(peer, &event, 2, 1, true);
	assert_int_equal(said.broken, 1);
	link_is(peer, &event, 2, 0, false);
	tick(peer, &event, 10);
	assert_int_equal(said.mended, 1);
	pccl_peer_destroy(peer);
}

/* A view without newcomers may have more lanes than the session goes on with: who had the fewest has left. */
static void lanes_that_nobody_has_links_on_are_not_awaited(void **state)
{
	struct pccl_message *prepare = pccl_message_create(PCCL_MESSAGE_PREPARE);
	struct pccl_message *install = install_of(4, 2);
	struct pccl_peer_event event;
	struct pccl_peer *peer = new_member(&event, 1);

	(void)state;
	prepare->body.prepare.epoch = 4;
	hear(peer, &event, prepare);
	event.type = PCCL_PEER_FROZEN;
	step(peer, &event);
	install->body.install.previous_epoch = 3;
	hear(peer, &event, install);
	link_is(peer, &event, 2, 0, true);
	assert_int_equal(said.ends, 0);
	assert_int_equal(said.broken, 1);
	pccl_peer_destroy(peer);
}

static void links_that_flap_are_told_of_now_and_then(void **state)
{
	struct pccl_peer_event event;
	struct pccl_peer *peer = new_member(&event, 1);
	uint32_t round;

	(void)state;
	for (round = 0; round < 1000; round++) {
		link_is(peer, &event, 2, 0, round % 7 < 3);
		event.now_ns += SMALL_MS / 3;
	}
	assert_in_range(said.broken + said.mended, 2, 70);
	link_is(peer, &event, 0, 0, true);
	tick(peer, &event, 10); /* what holds now is told in the end */
	assert_true(said.broken > said.mended);
	pccl_peer_destroy(peer);
}

static void who_has_lost_its_master_dials_at_once_and_says_all_again(void **state)
{
	struct pccl_peer_event event;
	struct pccl_peer *peer = new_member(&event, 1);

	(void)state;
	event.type = PCCL_PEER_LINKED;
	event.epoch = 3;
	step(peer, &event);
	link_is(peer, &event, 2, 0, true);
	tick(peer, &event, 100);
	memset(&said, 0, sizeof(said));
	event.type = PCCL_PEER_CLOSED;
	step(peer, &event);
	assert_int_equal(said.dials, 1);
	come_up(peer, &event);
	assert_int_equal(said.broken, 1);
	assert_int_equal(said.linked, 1);
	/* One that breaks as soon as it is up is no better than one that can't be made. */
	event.type = PCCL_PEER_CLOSED;
	step(peer, &event);
	assert_int_equal(said.dials, 1);
	tick(peer, &event, 60);
	assert_int_equal(said.dials, 2);
	pccl_peer_destroy(peer);
}

/* A member whose link is broken and whose master has gone, with what waits; ticks for so long. */
static void wait_blocked(struct pccl_peer *peer, struct pccl_peer_event *event, uint64_t blocked, uint64_t ms)
{
	uint64_t end_ns = event->now_ns + ms * SMALL_MS;

	while (event->now_ns < end_ns && said.ends == 0) {
		event->type = said.dials > 0 ? PCCL_PEER_CLOSED : PCCL_PEER_TICK;
		event->blocked = blocked;
		said.dials = 0;
		step(peer, event);
		event->now_ns = pccl_peer_deadline(peer) < end_ns ? pccl_peer_deadline(peer) : end_ns;
	}
}

static struct pccl_peer *new_forsaken(struct pccl_peer_event *event)
{
	struct pccl_peer *peer = new_member(event, 1);

	link_is(peer, event, 2, 0, true);
	event->type = PCCL_PEER_CLOSED;
	step(peer, event);
	return peer;
}

#define CONNECT_MS 600000 /* as of new_peer() */

static void who_waits_for_a_lost_member_without_a_master_ends(void **state)
{
	struct pccl_peer_event event;
	struct pccl_peer *peer = new_forsaken(&event);

	(void)state;
	wait_blocked(peer, &event, 7, CONNECT_MS - 10);
	assert_int_equal(said.ends, 0);
	wait_blocked(peer, &event, 7, 3000);
	assert_int_equal(said.ends, 1);
	pccl_peer_destroy(peer);
}

static void who_waits_for_a_lost_member_waits_for_a_master_as_long_as_asked(void **state)
{
	struct pccl_peer_event event;
	struct pccl_peer *peer;

	(void)state;
	master_timeout_ns = 2500 * SMALL_MS;
	peer = new_forsaken(&event);
	master_timeout_ns = 0;
	wait_blocked(peer, &event, 0, 10000);
	wait_blocked(peer, &event, 7, 2400);
	assert_int_equal(said.ends, 0);
	wait_blocked(peer, &event, 7, 200);
	assert_int_equal(said.ends, 1);
	pccl_peer_destroy(peer);
}

static void who_waits_for_nothing_waits_for_a_master(void **state)
{
	struct pccl_peer_event event;
	struct pccl_peer *peer = new_forsaken(&event);

	(void)state;
	wait_blocked(peer, &event, 0, 3 * CONNECT_MS);
	assert_int_equal(said.ends, 0);
	/* Each new thing has its own time. */
	wait_blocked(peer, &event, 1, CONNECT_MS - 10);
	wait_blocked(peer, &event, 2, CONNECT_MS - 10);
	assert_int_equal(said.ends, 0);
	/* The member is there again. */
	link_is(peer, &event, 2, 0, false);
	wait_blocked(peer, &event, 2, 3 * CONNECT_MS);
	assert_int_equal(said.ends, 0);
	pccl_peer_destroy(peer);
}

static void a_master_that_comes_back_has_time_to_decide(void **state)
{
	struct pccl_peer_event event;
	struct pccl_peer *peer = new_forsaken(&event);

	(void)state;
	wait_blocked(peer, &event, 7, CONNECT_MS - 10);
	while (said.dials == 0)
		tick(peer, &event, 100);
	come_up(peer, &event);
	event.now_ns += 1000 * SMALL_MS;
	event.type = PCCL_PEER_CLOSED;
	step(peer, &event);
	wait_blocked(peer, &event, 7, CONNECT_MS - 10);
	assert_int_equal(said.ends, 0);
	pccl_peer_destroy(peer);
}

/* It has promised not to go on in its view: nobody but a master lets it. */
static void who_is_frozen_without_a_master_misses_everybody(void **state)
{
	struct pccl_message *prepare = pccl_message_create(PCCL_MESSAGE_PREPARE);
	uint64_t missed[PCCL_MEMBERS_MAX / 64];
	struct pccl_peer_event event;
	struct pccl_peer *peer = new_member(&event, 1);

	(void)state;
	prepare->body.prepare.epoch = 4;
	hear(peer, &event, prepare);
	assert_false(pccl_peer_misses(peer, missed));
	event.type = PCCL_PEER_CLOSED;
	step(peer, &event);
	assert_true(pccl_peer_misses(peer, missed));
	assert_int_equal(missed[0], (1 << MEMBERS) - 1);
	wait_blocked(peer, &event, 7, CONNECT_MS + 3000);
	assert_int_equal(said.ends, 1);
	pccl_peer_destroy(peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waits_for_a_single_master_double),
		cmocka_unit_test(waits_for_several_masters_double_once_per_round),
		cmocka_unit_test(newcomer_ends_when_no_master_has_its_security),
		cmocka_unit_test(a_registration_is_answered_by_a_welcome_or_the_end),
		cmocka_unit_test(a_member_that_is_refused_goes_on_to_the_next_master),
		cmocka_unit_test(a_master_that_is_far_away_may_be_silent_for_longer),
		cmocka_unit_test(newcomer_whose_master_falls_silent_gives_up),
		cmocka_unit_test(member_is_broken_when_all_lanes_of_the_view_are),
		cmocka_unit_test(lanes_that_nobody_has_links_on_are_not_awaited),
		cmocka_unit_test(links_that_flap_are_told_of_now_and_then),
		cmocka_unit_test(who_has_lost_its_master_dials_at_once_and_says_all_again),
		cmocka_unit_test(who_waits_for_a_lost_member_without_a_master_ends),
		cmocka_unit_test(who_waits_for_a_lost_member_waits_for_a_master_as_long_as_asked),
		cmocka_unit_test(who_waits_for_nothing_waits_for_a_master),
		cmocka_unit_test(a_master_that_comes_back_has_time_to_decide),
		cmocka_unit_test(who_is_frozen_without_a_master_misses_everybody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
