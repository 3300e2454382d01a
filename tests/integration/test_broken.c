/* Connections to the master that something in between breaks: nobody loses anything. And a process that ends is noticed
 * at once, for its links break as well. */
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/check.h"
#include "lib/peers.h"

enum { MEMBERS = 3, RESETS = 12, PAIRS_MAX = 64 };
enum { BROKEN };	      /* a number that all see: connections are to be broken for so many times */
enum { TOLD_EPOCH, TOLD_NS }; /* numbers that peers tell */

struct setup {
	uint16_t master_port;
	uint16_t port; /* of who stands between */
};

/* ---- who stands between ------------------------------------------------------------------------------------------ */

struct between {
	int ends[PAIRS_MAX][2]; /* a peer, the master; -1: they are gone */
	unsigned count;
};

static struct sockaddr_in place(uint16_t port)
{
	struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons(port)};

	place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return place;
}

static int open_door(uint16_t port)
{
	const struct sockaddr_in here = place(port);
	int door = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	CHECK(door >= 0 && setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0);
	CHECK(bind(door, (const struct sockaddr *)&here, sizeof(here)) == 0 && listen(door, 16) == 0);
	return door;
}

/* `abruptly`: by RST, and what was under way is lost. */
static void end_pair(struct between *between, unsigned pair, bool abruptly)
{
	const struct linger linger = {.l_onoff = abruptly, .l_linger = 0};
	unsigned side;

	for (side = 0; side < 2 && between->ends[pair][side] >= 0; side++) {
		(void)setsockopt(between->ends[pair][side], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
		close(between->ends[pair][side]);
		between->ends[pair][side] = -1;
	}
}

static void let_in(struct between *between, int door, uint16_t master_port)
{
	const struct sockaddr_in there = place(master_port);
	int peer = accept(door, NULL, NULL), master = socket(AF_INET, SOCK_STREAM, 0);
	unsigned pair = 0;

	while (pair < between->count && between->ends[pair][0] >= 0)
		pair++;
	CHECK(peer >= 0 && master >= 0 && pair < PAIRS_MAX);
	CHECK(connect(master, (const struct sockaddr *)&there, sizeof(there)) == 0);
	between->ends[pair][0] = peer;
	between->ends[pair][1] = master;
	if (pair == between->count)
		between->count++;
}

static void pass_on(struct between *between, unsigned pair, unsigned from)
{
	char bytes[16384];
	ssize_t count = recv(between->ends[pair][from], bytes, sizeof(bytes), 0);

	if (count <= 0 || send(between->ends[pair][1 - from], bytes, (size_t)count, MSG_NOSIGNAL) != count)
		end_pair(between, pair, count < 0);
}

static void look(struct between *between, int door, uint16_t master_port)
{
	struct pollfd polls[2 * PAIRS_MAX + 1];
	unsigned polled = 2 * between->count;
	unsigned index;

	for (index = 0; index < polled; index++)
		polls[index] = (struct pollfd){.fd = between->ends[index / 2][index % 2], .events = POLLIN};
	polls[polled] = (struct pollfd){.fd = door, .events = POLLIN};
	CHECK(poll(polls, polled + 1, 5) >= 0);
	for (index = 0; index < polled; index++)
		if (polls[index].revents != 0 && between->ends[index / 2][index % 2] >= 0)
			pass_on(between, index / 2, index % 2);
	if (polls[polled].revents != 0)
		let_in(between, door, master_port);
}

static void stands_between(struct world_peer *me)
{
	const struct setup *setup = me->argument;
	struct between between = {.count = 0};
	int door = open_door(setup->port);
	uint64_t broken = 0;
	unsigned pair;

	peer_reach(me, 1);
	while (!peer_gate_is_open(me, 2)) {
		look(&between, door, setup->master_port);
		if (peers_get(&me->world->shared->numbers[BROKEN]) == broken)
			continue;
		/* In turn: all of them, and only the first. */
		for (pair = 0; pair < between.count && (pair == 0 || broken % 2 == 0); pair++)
			end_pair(&between, pair, true);
		broken++;
	}
}

/* ---- resets ------------------------------------------------------------------------------------------------------ */

/* Operations and joint calls without a pause, until all agree that the gate is open; none may fail. */
static void works_behind_it(struct world_peer *me)
{
	const struct setup *setup = me->argument;
	uint64_t rounds = 0, epoch;
	bool pending = false;
	int64_t sum = 0;

	me->params.master_address.port = setup->port;
	peer_join(me);
	peer_grow(me, MEMBERS);
	epoch = peer_epoch(me);
	while (sum < 1000) {
		CHECK_RESULT(pcclSuccess, peer_sum(me, 1, peer_gate_is_open(me, 1) ? 1000 : 1, &sum));
		CHECK(sum % 999 == MEMBERS);
		if (rounds % 8 == 0)
			CHECK_RESULT(pcclSuccess, pcclArePeersPending(me->comm, &pending));
		CHECK(!pending && peer_epoch(me) == epoch);
		peer_reach(me, ++rounds);
	}
	CHECK_RESULT(pcclSuccess, pcclUpdateTopology(me->comm));
	CHECK(peer_world_size(me) == MEMBERS && peer_epoch(me) == epoch);
	peer_meet(me, MEMBERS);
	peer_leave(me);
}

static void resets_of_connections_to_the_master_cost_nothing(void **state)
{
	struct world *world = *state;
	struct setup setup = {.master_port = 0};
	unsigned between, round, peer;

	peers_start_master(world, WORLD_PROGRAM);
	setup.master_port = world->masters[0].port;
	do
		setup.port = peers_free_port(1);
	while (setup.port == setup.master_port);
	peers_start(world, MEMBERS, works_behind_it, &setup);
	between = peers_start(world, 1, stands_between, &setup);
	peers_await(world, between, 1);
	peers_await_all(world, 0, MEMBERS, 1);
	for (round = 0; round < RESETS; round++) {
		peers_set(&world->shared->numbers[BROKEN], round + 1);
		for (peer = 0; peer < MEMBERS; peer++)
			peers_await(world, peer, peers_get(&world->shared->slots[peer].milestone) + 10);
		peers_sleep_ms(50 + 20 * (round % 4));
	}
	peers_open_gate(world, 1);
	for (peer = 0; peer < MEMBERS; peer++)
		while (peers_get(&world->shared->slots[peer].meetings) == 0)
			peers_sleep_ms(5);
	peers_open_gate(world, 2);
	peers_finish(world);
}

/* ---- deaths ------------------------------------------------------------------------------------------------------ */

/* With no operation open, and nobody calling anything. */
static void waits_for_another_view(struct world_peer *me)
{
	uint64_t epoch;

	peer_join(me);
	peer_grow(me, MEMBERS);
	epoch = peer_epoch(me);
	peer_reach(me, 1);
	while (peer_epoch(me) == epoch)
		peers_sleep_ms(1);
	peer_tell(me, TOLD_NS, peers_now_ns());
	peer_tell(me, TOLD_EPOCH, peer_epoch(me));
	peer_reach(me, 2);
	peer_leave(me);
}

static void death_in_an_idle_group_is_noticed_at_once(void **state)
{
	struct world *world = *state;
	uint64_t killed_ns;
	unsigned peer;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, MEMBERS, waits_for_another_view, NULL);
	peers_await_all(world, 0, MEMBERS, 1);
	peers_sleep_ms(200);
	killed_ns = peers_now_ns();
	peers_signal(world, MEMBERS - 1, SIGKILL);
	peers_await_all(world, 0, MEMBERS - 1, 2);
	for (peer = 0; peer < MEMBERS - 1; peer++)
		assert_true(peers_is_soon(peers_told(world, peer, TOLD_NS), killed_ns));
	peers_finish(world);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, peers_open, peers_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(resets_of_connections_to_the_master_cost_nothing),
		CASE(death_in_an_idle_group_is_noticed_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
