/* Strangers on every port: garbage, fragments, lies about lengths, silence. The world works on, and they are hung
 * up. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <pccl/diagnostics.h>

#include "base/crc32c.h"
#include "base/frame.h"
#include "base/identity.h"
#include "base/memory.h"
#include "lib/check.h"
#include "lib/peers.h"
#include "lib/values.h"
#include "membership/message/message.h"
#include "transport/link/hello.h"

enum { WORLD = 2, COUNT = 20011 };
enum { HANG_UP_SECONDS = 30 }; /* for a busy machine to hang up */

static const unsigned everybody[] = {0, 1};

/* As much as the other side takes; it may hang up while we write. */
static void write_all(int fd, const void *data, size_t bytes)
{
	const char *at = data;

	while (bytes > 0) {
		ssize_t written = send(fd, at, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (written <= 0)
			return;
		at += written;
		bytes -= (size_t)written;
	}
}

/* Reads until the other side hangs up; false: it did not within the time. */
static bool is_hung_up(int fd, unsigned seconds)
{
	uint64_t until_ns = peers_now_ns() + seconds * WORLD_SECOND_NS;
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	char bin[4096];

	for (;;) {
		uint64_t now_ns = peers_now_ns();

		if (now_ns >= until_ns || poll(&wait, 1, (int)((until_ns - now_ns) / WORLD_MS_NS) + 1) == 0)
			return false;
		if (recv(fd, bin, sizeof(bin), MSG_DONTWAIT) <= 0)
			return true;
	}
}

/* ---- the world that must not notice -------------------------------------------------------------------------- */

/* All-reduces without end until the gate opens; each is right. */
static void works_on(struct world_peer *me)
{
	int64_t *buffer = malloc(COUNT * sizeof(*buffer)), open = 0;
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	uint64_t round = 0, epoch, half;
	const uint16_t *ports = me->argument;
	pcclRankUuid_t uuid;
	unsigned i;

	CHECK(buffer != NULL);
	me->config.port_first = ports[me->index];
	peer_join(me);
	peer_grow(me, WORLD);
	epoch = peer_epoch(me);
	CHECK_RESULT(pcclSuccess, pcclGetUuid(me->comm, &uuid));
	for (i = 0; i < 2; i++) {
		memcpy(&half, uuid.data + 8 * i, sizeof(half));
		peers_set(&me->world->shared->slots[me->index].numbers[i], half);
	}
	operation.count = COUNT;
	operation.datatype = pcclInt64;
	while (open == 0) {
		values_fill(buffer, pcclInt64, round, COUNT, peer_rank(me));
		CHECK_RESULT(pcclSuccess, pcclAllReduceWith(buffer, buffer, &operation, me->comm, NULL));
		CHECK(values_reduced(buffer, pcclInt64, pcclSum, round, COUNT, everybody, WORLD));
		CHECK_RESULT(pcclSuccess, peer_sum(me, 1, peer_gate_is_open(me, 1), &open));
		peer_reach(me, ++round);
	}
	CHECK(peer_epoch(me) == epoch);
	free(buffer);
	peer_meet(me, WORLD);
	peer_leave(me);
}

struct scene {
	struct world *world;
	uint16_t ports[WORLD + 1]; /* of the peers and the master */
};

static void set_scene(struct scene *scene, void **state, enum world_master_kind kind)
{
	struct world *world = *state;
	uint16_t port = peers_free_port(WORLD);
	unsigned master = peers_start_master(world, kind), i;

	scene->world = world;
	for (i = 0; i < WORLD; i++)
		scene->ports[i] = (uint16_t)(port + i);
	scene->ports[WORLD] = world->masters[master].port;
	peers_start(world, WORLD, works_on, scene->ports);
	peers_await_all(world, 0, WORLD, 3);
}

static void await_progress(const struct scene *scene)
{
	unsigned i;

	for (i = 0; i < WORLD; i++)
		peers_await(scene->world, i, peers_get(&scene->world->shared->slots[i].milestone) + 3);
}

static void end_scene(const struct scene *scene)
{
	await_progress(scene);
	peers_open_gate(scene->world, 1);
	peers_finish(scene->world);
}

/* Sends the bytes to every port. `is_answer`: the stranger must be hung up although it keeps its side open. */
static void send_everywhere(const struct scene *scene, const void *data, size_t bytes, bool must_hang_up)
{
	unsigned i;

	for (i = 0; i < WORLD + 1; i++) {
		int fd = peers_dial(scene->ports[i]);

		write_all(fd, data, bytes);
		if (must_hang_up && !is_hung_up(fd, HANG_UP_SECONDS))
			fail_msg("a stranger on port number %u was not hung up", i);
		close(fd);
	}
	await_progress(scene);
}

/* ---- strangers ----------------------------------------------------------------------------------------------- */

static void garbage_is_hung_up(void **state)
{
	unsigned char bytes[4096];
	unsigned i, round, x = 12345;
	struct scene scene;

	set_scene(&scene, state, WORLD_EMBEDDED);
	for (round = 0; round < 8; round++) {
		for (i = 0; i < sizeof(bytes); i++) {
			x = x * 1103515245u + 12345;
			bytes[i] = (unsigned char)(x >> 16);
		}
		send_everywhere(&scene, bytes, sizeof(bytes), true);
		send_everywhere(&scene, bytes, 1 + round * 7, false);
	}
	end_scene(&scene);
}

/* So that it can say what both sides speak, as they do here. */
static void who_speaks_another_version_is_told_this_one(void **state)
{
	const struct pccl_frame frame = {.type = PCCL_FRAME_HELLO};
	uint8_t header[PCCL_FRAME_BYTES], answer[PCCL_FRAME_BYTES];
	struct pccl_frame answered;
	struct scene scene;
	unsigned i;

	set_scene(&scene, state, WORLD_PROGRAM);
	pccl_frame_encode(&frame, header);
	header[4] = PCCL_FRAME_VERSION + 1;
	for (i = 0; i < WORLD + 1; i++) {
		int fd = peers_dial(scene.ports[i]);

		write_all(fd, header, sizeof(header));
		assert_int_equal(recv(fd, answer, sizeof(answer), MSG_WAITALL), sizeof(answer));
		assert_int_equal(pccl_frame_decode(answer, &answered), pcclSuccess);
		assert_int_equal(answered.type, PCCL_FRAME_WELCOME);
		assert_true(is_hung_up(fd, HANG_UP_SECONDS));
		close(fd);
	}
	end_scene(&scene);
}

static void what_other_protocols_say_is_hung_up(void **state)
{
	static const char http[] = "GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: somebody\r\nAccept: */*\r\n\r\n";
	static const unsigned char tls[] =
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and what else a client says first ....";
	/* How a peer of PCCL 1.0 registers. */
	static const unsigned char old_peer[64] = {0, 0, 0, 0, 0, 0, 0, 12, 0, 1};
	struct scene scene;

	set_scene(&scene, state, WORLD_PROGRAM);
	send_everywhere(&scene, http, sizeof(http) - 1, true);
	send_everywhere(&scene, tls, sizeof(tls) - 1, true);
	send_everywhere(&scene, old_peer, sizeof(old_peer), true);
	end_scene(&scene);
}

/* These are too short to be anything: what is not said within the time for a greeting ends as well. */
static void fragments_and_silence_are_hung_up_in_time(void **state)
{
	static const unsigned char old_peer[] = {0, 0, 0, 0, 0, 0, 0, 12, 0, 1};
	static const unsigned char zeroes[8];
	int silent[WORLD + 1], zero[WORLD + 1], old[WORLD + 1];
	struct scene scene;
	unsigned i;

	set_scene(&scene, state, WORLD_EMBEDDED);
	for (i = 0; i < WORLD + 1; i++) {
		silent[i] = peers_dial(scene.ports[i]);
		zero[i] = peers_dial(scene.ports[i]);
		write_all(zero[i], zeroes, sizeof(zeroes));
		old[i] = peers_dial(scene.ports[i]);
		write_all(old[i], old_peer, sizeof(old_peer));
	}
	await_progress(&scene);
	for (i = 0; i < WORLD + 1; i++) {
		assert_true(is_hung_up(silent[i], HANG_UP_SECONDS));
		assert_true(is_hung_up(zero[i], HANG_UP_SECONDS));
		assert_true(is_hung_up(old[i], HANG_UP_SECONDS));
		close(silent[i]);
		close(zero[i]);
		close(old[i]);
	}
	end_scene(&scene);
}

/* ---- liars: they know the frames ----------------------------------------------------------------------------- */

/* Offsets in a header. */
enum { TYPE_AT = 5, PAYLOAD_BYTES_AT = 8, CHECKSUM_AT = PCCL_FRAME_BYTES - 4 };

static void put_u32(uint8_t *at, uint32_t value)
{
	unsigned i;

	for (i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> 8 * i);
}

/* A header with a right checksum, whatever it says, then the payload. */
static size_t make_frame(uint8_t type, uint32_t said_bytes, const void *payload, size_t payload_bytes, uint8_t *out)
{
	struct pccl_frame frame;

	memset(&frame, 0, sizeof(frame));
	frame.type = PCCL_FRAME_HELLO;
	frame.payload_crc = payload_bytes > 0 ? pccl_crc32c(0, payload, payload_bytes) : 0;
	pccl_frame_encode(&frame, out);
	/* The encoder would not write what is no frame. */
	out[TYPE_AT] = type;
	put_u32(out + PAYLOAD_BYTES_AT, said_bytes);
	put_u32(out + CHECKSUM_AT, pccl_crc32c(0, out, CHECKSUM_AT));
	if (payload_bytes > 0)
		memcpy(out + PCCL_FRAME_BYTES, payload, payload_bytes);
	return PCCL_FRAME_BYTES + payload_bytes;
}

static void frames_that_lie_are_hung_up(void **state)
{
	uint8_t bytes[PCCL_FRAME_BYTES + 256], payload[256];
	struct scene scene;
	unsigned type, i;

	set_scene(&scene, state, WORLD_EMBEDDED);
	for (i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 7 + 3);
	for (type = 0; type < 30; type++)
		send_everywhere(&scene, bytes,
				make_frame((uint8_t)type, sizeof(payload), payload, sizeof(payload), bytes), true);
	/* Lengths beyond every limit; more was said than came, and the other way round. */
	send_everywhere(&scene, bytes, make_frame(PCCL_FRAME_HELLO, UINT32_MAX, NULL, 0, bytes), true);
	send_everywhere(&scene, bytes, make_frame(PCCL_FRAME_HELLO, PCCL_FRAME_PAYLOAD_MAX, NULL, 0, bytes), true);
	send_everywhere(&scene, bytes, make_frame(PCCL_FRAME_MESSAGE, PCCL_FRAME_PAYLOAD_MAX + 1, NULL, 0, bytes),
			true);
	send_everywhere(&scene, bytes, make_frame(PCCL_FRAME_HELLO, 4, payload, sizeof(payload), bytes), true);
	send_everywhere(&scene, bytes, make_frame(PCCL_FRAME_HELLO, 250, payload, 100, bytes), false);
	/* Half a header. */
	send_everywhere(&scene, bytes, PCCL_FRAME_BYTES / 2, false);
	end_scene(&scene);
}

/* Reads WELCOME, which must refuse for good in these words. */
static bool is_refused(int fd, const char *words)
{
	uint8_t header[PCCL_FRAME_BYTES];
	char text[PCCL_WELCOME_TEXT_BYTES + 1] = {0};
	struct pccl_frame frame;

	if (recv(fd, header, sizeof(header), MSG_WAITALL) != (ssize_t)sizeof(header) ||
	    pccl_frame_decode(header, &frame) != pcclSuccess || frame.type != PCCL_FRAME_WELCOME ||
	    frame.aux != PCCL_WELCOME_NEVER || frame.payload_bytes > PCCL_WELCOME_TEXT_BYTES)
		return false;
	return recv(fd, text, frame.payload_bytes, MSG_WAITALL) == (ssize_t)frame.payload_bytes &&
	       strcmp(text, words) == 0;
}

/* A greeting that is right up to its end. */
static size_t make_hello(uint8_t purpose, uint8_t *out)
{
	struct pccl_hello hello;
	uint8_t payload[PCCL_HELLO_BYTES];
	size_t bytes;

	memset(&hello, 0, sizeof(hello));
	memset(hello.from.data, 0x77, sizeof(hello.from.data));
	hello.purpose = purpose;
	bytes = pccl_hello_encode(&hello, payload);
	return make_frame(PCCL_FRAME_HELLO, (uint32_t)bytes, payload, bytes, out);
}

static void strangers_with_manners_are_hung_up_at_the_first_lie(void **state)
{
	uint8_t bytes[4 * PCCL_FRAME_BYTES + 2048], garbage[256];
	size_t length;
	struct scene scene;
	unsigned i;

	set_scene(&scene, state, WORLD_PROGRAM);
	for (i = 0; i < sizeof(garbage); i++)
		garbage[i] = (uint8_t)(i * 13 + 1);
	/* A peer of nobody: neither master nor peers know it. */
	length = make_hello(PCCL_PURPOSE_DATA, bytes);
	send_everywhere(&scene, bytes, length, true);
	/* A peer that says nothing sensible to the master. */
	length = make_hello(PCCL_PURPOSE_CONTROL, bytes);
	length += make_frame(PCCL_FRAME_MESSAGE, sizeof(garbage), garbage, sizeof(garbage), bytes + length);
	send_everywhere(&scene, bytes, length, true);
	length = make_hello(PCCL_PURPOSE_CONTROL, bytes);
	length += make_frame(PCCL_FRAME_PARTIAL, sizeof(garbage), garbage, sizeof(garbage), bytes + length);
	send_everywhere(&scene, bytes, length, true);
	length = make_hello(PCCL_PURPOSE_CONTROL, bytes);
	length += make_frame(PCCL_FRAME_MESSAGE, 0, NULL, 0, bytes + length);
	send_everywhere(&scene, bytes, length, true);
	end_scene(&scene);
}

/* Who knows both uuids, and everything else that a member says, but not the pass: it cost the other one its link, or
 * its streams. */
static void who_calls_as_a_member_with_a_wrong_pass_is_turned_away(void **state)
{
	uint8_t bytes[PCCL_FRAME_BYTES + PCCL_HELLO_BYTES], payload[PCCL_HELLO_BYTES];
	struct pccl_hello hello = {.purpose = PCCL_PURPOSE_DATA, .instance = 4711};
	pcclRankUuid_t uuids[WORLD];
	struct scene scene;
	unsigned i;

	set_scene(&scene, state, WORLD_EMBEDDED);
	for (i = 0; i < 2 * WORLD; i++) {
		uint64_t half = peers_get(&scene.world->shared->slots[i / 2].numbers[i % 2]);

		memcpy(uuids[i / 2].data + 8 * (i % 2), &half, sizeof(half));
	}
	for (i = 0; i < 10 * WORLD; i++) {
		int fd = peers_dial(scene.ports[i % WORLD]);
		size_t length;

		hello.from = uuids[1 - i % WORLD];
		hello.to = uuids[i % WORLD];
		hello.resumption = i;
		hello.pass.data[0] = (uint8_t)i;
		length = pccl_hello_encode(&hello, payload);
		write_all(fd, bytes, make_frame(PCCL_FRAME_HELLO, (uint32_t)length, payload, length, bytes));
		assert_true(is_refused(fd, "it can't show that it is who it says"));
		close(fd);
	}
	end_scene(&scene);
}

static bool is_hung_up_when_it_registers(uint16_t master, const char *address, unsigned seconds)
{
	struct pccl_message *message = pccl_message_create(PCCL_MESSAGE_REGISTER);
	struct pccl_member *self;
	uint8_t bytes[2 * PCCL_FRAME_BYTES + 1024], *data;
	size_t length, data_bytes;
	int fd = peers_dial(master);
	bool hung_up;

	assert_non_null(message);
	self = &message->body.registration.self;
	message->body.registration.heartbeat_interval_ns = WORLD_SECOND_NS;
	message->body.registration.heartbeat_timeout_ns = 9 * WORLD_SECOND_NS;
	self->uuid = pccl_identity_uuid(&message->body.registration.secret);
	(void)snprintf(self->addresses[1].host, sizeof(self->addresses[1].host), "%s", address);
	self->addresses[0].port = self->addresses[1].port = 4242;
	self->address_count = 2;
	self->lanes = self->streams = 1;
	self->masters = 1;
	assert_int_equal(pccl_message_encode(message, &data, &data_bytes), pcclSuccess);
	length = make_hello(PCCL_PURPOSE_CONTROL, bytes);
	length += make_frame(PCCL_FRAME_MESSAGE, (uint32_t)data_bytes, data, data_bytes, bytes + length);
	write_all(fd, bytes, length);
	hung_up = is_hung_up(fd, seconds);
	close(fd);
	pccl_free(data);
	pccl_message_destroy(message);
	return hung_up;
}

/* If it were admitted, no member could dial it, and the group would end. */
static void who_registers_with_an_address_that_can_not_be_dialled_is_hung_up(void **state)
{
	struct scene scene;

	set_scene(&scene, state, WORLD_PROGRAM);
	assert_true(is_hung_up_when_it_registers(scene.ports[WORLD], "elsewhere", HANG_UP_SECONDS));
	assert_true(is_hung_up_when_it_registers(scene.ports[WORLD], "224.0.0.1", HANG_UP_SECONDS));
	assert_true(is_hung_up_when_it_registers(scene.ports[WORLD], "::", HANG_UP_SECONDS));
	assert_false(is_hung_up_when_it_registers(scene.ports[WORLD], "192.0.2.7", 2));
	end_scene(&scene);
}

/* More connections than anybody needs, each with a little garbage, closed at once. */
static void a_flood_of_strangers_passes(void **state)
{
	struct scene scene;
	unsigned round, i;

	set_scene(&scene, state, WORLD_PROGRAM);
	for (round = 0; round < 200; round++) {
		for (i = 0; i < WORLD + 1; i++) {
			int fd = peers_dial(scene.ports[i]);

			write_all(fd, "not for you", round % 12);
			close(fd);
		}
	}
	end_scene(&scene);
}

/* ---- what is told of it -------------------------------------------------------------------------------------- */

enum { FLOOD = 150, LINES_MAX = 16, TOLD_LINES = 2 };

static unsigned lines; /* written by any thread */

static void count_line(pcclLogLevel_t level, const char *text, void *context)
{
	(void)level;
	(void)context;
	fprintf(stderr, "%s\n", text); /* for who looks at a failure */
	__atomic_add_fetch(&lines, 1, __ATOMIC_RELAXED);
}

/* A master and a peer in one process, that count what they log. */
static void logs_what_it_sees(struct world_peer *me)
{
	const uint16_t *ports = me->argument;
	pcclMasterInstance_t *master;

	CHECK_RESULT(pcclSuccess, pcclSetLogLevel(pcclLogInfo));
	CHECK_RESULT(pcclSuccess, pcclSetLogCallback(count_line, NULL));
	me->params.master_address.port = ports[1];
	me->config.port_first = ports[0];
	CHECK_RESULT(pcclSuccess, pcclCreateMaster(me->params.master_address, &master));
	CHECK_RESULT(pcclSuccess, pcclRunMaster(master));
	peer_join(me);
	peer_tell(me, TOLD_LINES, __atomic_load_n(&lines, __ATOMIC_RELAXED));
	peer_reach(me, 1);
	peer_wait_gate(me, 1);
	peer_tell(me, TOLD_LINES,
		  __atomic_load_n(&lines, __ATOMIC_RELAXED) - peers_told(me->world, me->index, TOLD_LINES));
	peer_leave(me);
	CHECK_RESULT(pcclSuccess, pcclDestroyMaster(master));
	CHECK_RESULT(pcclSuccess, pcclSetLogCallback(NULL, NULL));
}

/* One of each kind: nonsense, nothing at all, a caller who wants another, one who breaks off in its first message. */
static void send_strangers(uint16_t port)
{
	uint8_t bytes[2 * PCCL_FRAME_BYTES + 1024];
	size_t length = make_hello(PCCL_PURPOSE_DATA, bytes);
	int fd = peers_dial(port);

	write_all(fd, "not for you, however long it may be: this is more than a header", 63);
	close(fd);
	close(peers_dial(port));
	fd = peers_dial(port);
	write_all(fd, bytes, length);
	close(fd);
	length = make_hello(PCCL_PURPOSE_CONTROL, bytes);
	length += make_frame(PCCL_FRAME_MESSAGE, 20, "this is no message..", 20, bytes + length);
	fd = peers_dial(port);
	write_all(fd, bytes, length);
	(void)is_hung_up(fd, HANG_UP_SECONDS);
	close(fd);
}

/* One a minute for each cause, and there are about a dozen. */
static void a_flood_makes_few_lines(void **state)
{
	struct world *world = *state;
	const uint16_t first = peers_free_port(2), ports[2] = {first, (uint16_t)(first + 1)};
	uint64_t begin_ns;
	unsigned i;

	peers_start_master(world, WORLD_EMBEDDED); /* the world wants one */
	peers_start(world, 1, logs_what_it_sees, ports);
	peers_await(world, 0, 1);
	begin_ns = peers_now_ns();
	for (i = 0; i < FLOOD; i++) {
		send_strangers(ports[0]);
		send_strangers(ports[1]);
	}
	peers_open_gate(world, 1);
	peers_finish(world);
	assert_in_range(peers_told(world, 0, TOLD_LINES), 2,
			LINES_MAX * (1 + (peers_now_ns() - begin_ns) / (60 * WORLD_SECOND_NS)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(garbage_is_hung_up, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(who_speaks_another_version_is_told_this_one, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(what_other_protocols_say_is_hung_up, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(fragments_and_silence_are_hung_up_in_time, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(frames_that_lie_are_hung_up, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(who_calls_as_a_member_with_a_wrong_pass_is_turned_away, peers_open,
						peers_close),
		cmocka_unit_test_setup_teardown(strangers_with_manners_are_hung_up_at_the_first_lie, peers_open,
						peers_close),
		cmocka_unit_test_setup_teardown(who_registers_with_an_address_that_can_not_be_dialled_is_hung_up,
						peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_flood_of_strangers_passes, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_flood_makes_few_lines, peers_open, peers_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
