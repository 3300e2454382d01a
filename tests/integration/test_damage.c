/* A wire that damages elements: a tap between two peers flips bits of segments. Every result is right all the same, for
 * what fails its checksum is sent again. And there is none where that is asked for. Inside TLS the tap sees no frames,
 * and damages whatever comes. */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <pccl/security.h>

#include "base/frame.h"
#include "lib/check.h"
#include "lib/peers.h"

enum { COUNT = 300000, ROUNDS = 4, WAYS_MAX = 32, DAMAGED_MOST = 6, SEALED_BYTES = 400000 };
enum { FIRST, SECOND, TAP }; /* the second dials the first, through the tap */
enum { DONE = 1 };	     /* milestone */

/* What the tap tells: segments by who sent them, and those it has damaged. */
enum { CHECKED_BY_FIRST, UNCHECKED_BY_FIRST, CHECKED_BY_SECOND, UNCHECKED_BY_SECOND, DAMAGED };

struct setup {
	pcclChecksums_t checksums;
	bool checked;  /* expected of what both send */
	bool sealed;   /* inside TLS */
	uint16_t port; /* of the first peer */
	uint16_t tap_port;
};

/* ---- the tap ----------------------------------------------------------------------------------------------------- */

/* Bytes from one side to the other, frame by frame. */
struct way {
	int from, to;
	unsigned sender;
	size_t header_bytes; /* of this frame's header that have come */
	size_t payload_left;
	size_t passed; /* sealed bytes since the connection came up, or the last damage */
	bool damages;  /* a bit of this frame's payload */
	uint8_t header[PCCL_FRAME_BYTES];
};

struct tap {
	struct way ways[WAYS_MAX];
	unsigned count;
	bool sealed;
	uint64_t told[DAMAGED + 1];
};

static void begin_frame(struct tap *tap, struct way *way)
{
	uint64_t *segments = &tap->told[way->sender == FIRST ? CHECKED_BY_FIRST : CHECKED_BY_SECOND];
	struct pccl_frame frame;
	bool checked;

	CHECK_RESULT(pcclSuccess, pccl_frame_decode(way->header, &frame));
	checked = pccl_frame_is_checked(&frame);
	way->payload_left = frame.payload_bytes;
	way->damages = false;
	if (!pccl_frame_is_segment(&frame))
		return;
	segments[checked ? 0 : 1]++;
	way->damages = checked && segments[0] % 3 == 1 && tap->told[DAMAGED] < DAMAGED_MOST;
	tap->told[DAMAGED] += way->damages;
}

static void look_at(struct tap *tap, struct way *way, uint8_t *bytes, size_t count)
{
	size_t at = 0, step;

	while (at < count) {
		if (way->payload_left > 0) {
			step = count - at < way->payload_left ? count - at : way->payload_left;
			if (way->damages)
				bytes[at + step / 2] ^= 0x10;
			way->damages = false;
			way->payload_left -= step;
		} else {
			step = PCCL_FRAME_BYTES - way->header_bytes;
			step = count - at < step ? count - at : step;
			memcpy(way->header + way->header_bytes, bytes + at, step);
			way->header_bytes = (way->header_bytes + step) % PCCL_FRAME_BYTES;
			if (way->header_bytes == 0)
				begin_frame(tap, way);
		}
		at += step;
	}
}

static void damage_sealed(struct tap *tap, struct way *way, uint8_t *bytes, size_t count)
{
	way->passed += count;
	if (way->passed < SEALED_BYTES || tap->told[DAMAGED] == DAMAGED_MOST)
		return;
	bytes[count / 2] ^= 0x10;
	way->passed = 0;
	tap->told[DAMAGED]++;
}

/* False: the connection has ended. */
static bool pass_on(struct tap *tap, struct way *way)
{
	uint8_t bytes[16384];
	ssize_t count = recv(way->from, bytes, sizeof(bytes), 0);

	if (count <= 0)
		return false;
	if (tap->sealed)
		damage_sealed(tap, way, bytes, (size_t)count);
	else
		look_at(tap, way, bytes, (size_t)count);
	return send(way->to, bytes, (size_t)count, MSG_NOSIGNAL) == count;
}

static struct sockaddr_in place(uint16_t port)
{
	struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons(port)};

	place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return place;
}

static int open_door(const struct setup *setup)
{
	const struct sockaddr_in here = place(setup->tap_port);
	int door = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	CHECK(door >= 0 && setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0);
	CHECK(bind(door, (const struct sockaddr *)&here, sizeof(here)) == 0 && listen(door, 16) == 0);
	return door;
}

static void let_in(struct tap *tap, int door, const struct setup *setup)
{
	const struct sockaddr_in there = place(setup->port);
	int second = accept(door, NULL, NULL), first = socket(AF_INET, SOCK_STREAM, 0);

	CHECK(second >= 0 && first >= 0 && tap->count + 2 <= WAYS_MAX);
	if (connect(first, (const struct sockaddr *)&there, sizeof(there)) != 0) { /* it has left already */
		close(first);
		close(second);
		return;
	}
	tap->ways[tap->count++] = (struct way){.from = first, .to = second, .sender = FIRST};
	tap->ways[tap->count++] = (struct way){.from = second, .to = first, .sender = SECOND};
}

/* Either end of a connection has gone: the other one hears of it. Its ways stay in the list, deaf. */
static void hang_up(struct tap *tap, unsigned index)
{
	unsigned pair = index & ~1u;

	close(tap->ways[pair].from);
	close(tap->ways[pair].to);
	tap->ways[pair].from = tap->ways[pair + 1].from = -1;
}

static void tap_body(struct world_peer *me)
{
	const struct setup *setup = me->argument;
	int door = open_door(setup);
	struct pollfd polls[WAYS_MAX + 1];
	struct tap tap = {.sealed = setup->sealed};
	unsigned index, polled;

	peer_reach(me, DONE);
	while (!peer_gate_is_open(me, 1)) {
		polled = tap.count;
		for (index = 0; index < polled; index++)
			polls[index] = (struct pollfd){.fd = tap.ways[index].from, .events = POLLIN};
		polls[polled] = (struct pollfd){.fd = door, .events = POLLIN};
		CHECK(poll(polls, polled + 1, 10) >= 0);
		for (index = 0; index < polled; index++)
			if (polls[index].revents != 0 && tap.ways[index].from >= 0 && !pass_on(&tap, &tap.ways[index]))
				hang_up(&tap, index);
		if (polls[polled].revents != 0)
			let_in(&tap, door, setup);
	}
	for (index = 0; index <= DAMAGED; index++)
		peer_tell(me, index, tap.told[index]);
}

/* ---- the peers --------------------------------------------------------------------------------------------------- */

static void reduce(struct world_peer *me, float *input, float *output, uint64_t round)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	size_t index;

	operation.count = COUNT;
	operation.tag = round;
	operation.plan = pcclPlanDirect;
	for (index = 0; index < COUNT; index++)
		input[index] = (float)(index % 1000 + peer_rank(me));
	CHECK_RESULT(pcclSuccess, pcclAllReduceWith(input, output, &operation, me->comm, NULL));
	for (index = 0; index < COUNT; index++)
		CHECK(output[index] == (float)(index % 1000 * 2 + 1));
}

static void peer_body(struct world_peer *me)
{
	const struct setup *setup = me->argument;
	float *input = malloc(COUNT * sizeof(*input)), *output = malloc(COUNT * sizeof(*output));
	char advertised[64];
	uint64_t round;

	CHECK(input != NULL && output != NULL);
	snprintf(advertised, sizeof(advertised), "127.0.0.1:%u", setup->tap_port);
	if (me->index == FIRST) {
		me->config.listen_address = "127.0.0.1";
		me->config.port_first = setup->port;
		me->config.advertised_address = advertised;
	} else {
		peer_wait_peer(me, FIRST, DONE);
	}
	me->config.checksums = setup->checksums;
	me->config.transport = pcclTransportTcp; /* which goes through the tap */
	me->config.lanes = me->config.streams = 1;
	peer_join(me);
	if (me->index == FIRST) {
		peer_grow(me, 1);
		peer_reach(me, DONE);
	}
	peer_grow(me, 2);
	CHECK(peer_rank(me) == me->index);
	for (round = 0; round < ROUNDS; round++)
		reduce(me, input, output, round);
	peer_meet(me, 2);
	peer_leave(me);
	peer_reach(me, DONE + 1);
	free(input);
	free(output);
}

static void expect_checks(struct world *world, struct setup setup)
{
	unsigned who;

	setup.port = peers_free_port(1);
	do
		setup.tap_port = peers_free_port(1);
	while (setup.tap_port == setup.port);
	peers_start_master(world, WORLD_PROGRAM);
	assert_int_equal(peers_start(world, 2, peer_body, &setup), FIRST);
	assert_int_equal(peers_start(world, 1, tap_body, &setup), TAP);
	peers_await_all(world, FIRST, 2, DONE + 1);
	peers_open_gate(world, 1);
	peers_finish(world);
	for (who = FIRST; who <= SECOND; who++) {
		uint64_t checked = peers_told(world, TAP, who == FIRST ? CHECKED_BY_FIRST : CHECKED_BY_SECOND);
		uint64_t unchecked = peers_told(world, TAP, who == FIRST ? UNCHECKED_BY_FIRST : UNCHECKED_BY_SECOND);

		assert_true(setup.sealed    ? checked + unchecked == 0
			    : setup.checked ? checked >= ROUNDS && unchecked == 0
					    : unchecked >= ROUNDS && checked == 0);
	}
	assert_int_equal(peers_told(world, TAP, DAMAGED), setup.checked || setup.sealed ? DAMAGED_MOST : 0);
}

/* ---- cases ------------------------------------------------------------------------------------------------------- */

/* Both peers are on one host, and see that somebody is in between. */
static void damage_is_mended(void **state)
{
	expect_checks(*state, (struct setup){.checked = true});
}

static void nothing_is_checked_where_that_is_asked_for(void **state)
{
	expect_checks(*state, (struct setup){.checksums = pcclChecksumsOff});
}

static void damage_inside_tls_is_mended(void **state)
{
	char secret[PCCL_SECRET_TEXT_BYTES];

	assert_int_equal(pcclGenerateSecret(secret), pcclSuccess);
	setenv("PCCL_SECRET", secret, 1);
	expect_checks(*state, (struct setup){.sealed = true});
	unsetenv("PCCL_SECRET");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, peers_open, peers_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(damage_is_mended),
		CASE(nothing_is_checked_where_that_is_asked_for),
		CASE(damage_inside_tls_is_mended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
