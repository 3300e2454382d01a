/* The shared-memory wire: the suite through memory and declined, and what a stranger on this host may try. */
#include "unit/transport/transport_suite.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fail.h"
#include "transport/engine/socket.h"
#include "transport/loop/fork.h"
#include "transport/shm/offer.h"
#include "transport/shm/shm.h"
#include "transport/tcp/tcp.h"

static struct wire_kind ipv4 = {&pccl_shm, "127.0.0.1", NULL};
static struct wire_kind ipv6 = {&pccl_shm, "::1", NULL};
static struct wire_kind declining = {&pccl_shm_declining, "127.0.0.1", &pccl_shm};

static int use_ipv4(void **state)
{
	*state = &ipv4;
	return 0;
}

static int use_ipv6(void **state)
{
	*state = &ipv6;
	return 0;
}

static int use_declining(void **state)
{
	*state = &declining;
	return 0;
}

/* ---- who shares ---------------------------------------------------------------------------------------------- */

static void check_way(const struct pccl_transport *dials, const struct pccl_transport *listens, const char *way)
{
	char ways[2][PCCL_STREAM_DESCRIBE_BYTES];

	wire_try(dials, listens, "127.0.0.1", ways);
	wire_check_ways(ways, way);
}

static void both_have_to_want_memory(void **state)
{
	(void)state;
	check_way(&pccl_shm, &pccl_shm, "shm");
	check_way(&pccl_shm, &pccl_shm_declining, "tcp");
	check_way(&pccl_shm_declining, &pccl_shm, "tcp");
	check_way(&pccl_tcp, &pccl_shm, "tcp");
}

/* It is what callers go by who drive their lane: see struct pccl_stream. */
static void a_stream_says_whether_it_sends_by_memory(void **state)
{
	static struct wire wire;
	const struct wire_kind *kinds[] = {&ipv4, &declining};
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		wire_open(&wire, kinds[i]);
		assert_int_equal(wire.dialer.stream->in_memory, i == 0);
		assert_int_equal(wire.acceptor.stream->in_memory, i == 0);
		wire_destroy(&wire);
	}
}

enum { PAIRS = 20 }; /* of which both ends are in this process */

static void open_pairs(struct wire *wires, uint32_t *shared_out)
{
	char text[PCCL_STREAM_DESCRIBE_BYTES];
	uint32_t i;

	*shared_out = 0;
	for (i = 0; i < PAIRS; i++) {
		struct pccl_stream *stream;

		wire_listen(&wires[i], &ipv4);
		wire_dial(&wires[i]);
		WIRE_UNTIL(&wires[i], wires[i].dialer.calls[WIRE_OPENED] == 1 && wires[i].acceptor.stream != NULL);
		stream = wires[i].dialer.stream;
		stream->transport->describe(stream, text, sizeof(text));
		*shared_out += strstr(text, "shm") != NULL;
	}
	for (i = 0; i < PAIRS; i++)
		wire_destroy(&wires[i]);
}

static void several_network_cards_have_room_for_their_streams(void **state)
{
	static struct wire wires[PAIRS];
	uint32_t shared;

	(void)state;
	open_pairs(wires, &shared);
	assert_int_equal(shared, 16);
	pccl_shm_make_room(2);
	pccl_shm_make_room(1);
	open_pairs(wires, &shared);
	assert_int_equal(shared, PAIRS);
}

enum { FRAMES = 1000, BYTES = 200000 };

/* Sends all and hears all. */
static void exchange(struct wire *wire, struct wire_end *end, const uint8_t *payload)
{
	uint32_t sent = 0;

	while (sent < FRAMES) {
		uint32_t rooms = end->calls[WIRE_ROOM], next = end->next;

		while (sent < FRAMES && wire_send(end, sent, payload, BYTES))
			sent++;
		WIRE_UNTIL(wire, end->calls[WIRE_ROOM] > rooms || end->next > next || sent == FRAMES);
	}
	WIRE_UNTIL(wire, end->next == FRAMES && wire_completions(end) == FRAMES);
}

static void dial_from_another_process(const struct wire *from, const uint8_t *payload)
{
	static struct wire wire;

	wire.kind = from->kind;
	wire.address = from->address;
	wire.dialer.transport = from->kind->transport;
	wire.dialer.discard_below = FRAMES;
	assert_int_equal(pccl_loop_create(&wire.loop), pcclSuccess);
	wire_dial(&wire);
	WIRE_UNTIL(&wire, wire.dialer.calls[WIRE_OPENED] == 1);
	exchange(&wire, &wire.dialer, payload);
	WIRE_UNTIL(&wire, wire.dialer.calls[WIRE_BROKEN] == 1); /* the other side has all */
	_exit(0);
}

/* Much more than fits, both ways at once, between two processes: each is woken for room as often as for bytes, and who
 * looks for the one bell may take the other. */
static void both_ways_at_once_never_stall(void **state)
{
	static struct wire wire;
	uint8_t *payload = wire_payload(BYTES, 0);
	int status;
	pid_t child;

	(void)state;
	wire_listen(&wire, &ipv4);
	wire.acceptor.discard_below = FRAMES;
	child = fork();
	if (child == 0)
		dial_from_another_process(&wire, payload);
	WIRE_UNTIL(&wire, wire.acceptor.stream != NULL && wire_is_up(&wire.acceptor));
	exchange(&wire, &wire.acceptor, payload);
	wire_destroy(&wire);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	free(payload);
}

/* ---- strangers ----------------------------------------------------------------------------------------------- */

/* Somebody's end of a connection to the wire's listener. */
struct stranger {
	struct wire *wire;
	int fd;
	uint16_t port;
};

static struct stranger come(struct wire *wire)
{
	struct stranger stranger = {.wire = wire, .fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)};
	struct pccl_address own = {.bytes = sizeof(own.storage)};

	wire_listen(wire, &ipv4);
	(void)connect(stranger.fd, (struct sockaddr *)&wire->address.storage, wire->address.bytes);
	assert_int_equal(getsockname(stranger.fd, (struct sockaddr *)&own.storage, &own.bytes), 0);
	stranger.port = pccl_address_port(&own);
	return stranger;
}

static void leave(struct stranger *stranger)
{
	close(stranger->fd);
	wire_destroy(stranger->wire);
}

static void say(struct stranger *stranger, struct pccl_offer offer)
{
	uint8_t bytes[PCCL_OFFER_BYTES];

	offer.port = stranger->port;
	pccl_offer_encode(&offer, bytes);
	assert_int_equal(send(stranger->fd, bytes, sizeof(bytes), MSG_NOSIGNAL), sizeof(bytes));
}

static enum pccl_offer_kind hear(struct stranger *stranger)
{
	uint8_t bytes[PCCL_OFFER_BYTES];
	struct pccl_offer offer;

	WIRE_UNTIL(stranger->wire, recv(stranger->fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_PEEK) > 0);
	assert_int_equal(recv(stranger->fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	assert_true(pccl_offer_decode(bytes, &offer));
	return offer.kind;
}

static struct pccl_shared share(struct stranger *stranger)
{
	struct pccl_offer offer = {.kind = PCCL_OFFER_OFFER};
	struct pccl_shared shared;

	assert_true(pccl_offer_make(&offer, &shared));
	say(stranger, offer);
	assert_int_equal(hear(stranger), PCCL_OFFER_TAKEN);
	pccl_fork_close((int)offer.descriptor);
	return shared;
}

static void ring_bell(const struct pccl_shared *shared)
{
	assert_int_equal(write(shared->rings, "", 1), 1);
}

/* Somebody in between has a port of its own. */
static void an_offer_through_a_relay_is_declined(void **state)
{
	static struct wire wire;
	struct stranger stranger = come(&wire);
	struct pccl_offer offer = {.kind = PCCL_OFFER_OFFER};
	struct pccl_shared shared;

	(void)state;
	assert_true(pccl_offer_make(&offer, &shared));
	stranger.port++;
	say(&stranger, offer);
	assert_int_equal(hear(&stranger), PCCL_OFFER_DECLINED);
	pccl_offer_drop(&shared);
	pccl_fork_close((int)offer.descriptor);
	leave(&stranger);
}

static void what_is_no_offer_is_declined(void **state)
{
	static struct wire wire;
	struct stranger stranger = come(&wire);

	(void)state;
	say(&stranger, (struct pccl_offer){.kind = PCCL_OFFER_TAKEN});
	assert_int_equal(hear(&stranger), PCCL_OFFER_DECLINED);
	leave(&stranger);
	stranger = come(&wire);
	say(&stranger, (struct pccl_offer){.kind = PCCL_OFFER_OFFER, .process = UINT32_MAX, .descriptor = UINT32_MAX});
	assert_int_equal(hear(&stranger), PCCL_OFFER_DECLINED);
	leave(&stranger);
}

static void a_newer_build_may_decline(void **state)
{
	const struct pccl_offer offer = {.kind = PCCL_OFFER_DECLINED};
	uint8_t bytes[PCCL_OFFER_BYTES];
	struct pccl_offer read;

	(void)state;
	pccl_offer_encode(&offer, bytes);
	bytes[4] = 77; /* the version */
	assert_true(pccl_offer_decode(bytes, &read));
	assert_int_equal(read.kind, PCCL_OFFER_DECLINED);
	bytes[5] = PCCL_OFFER_TAKEN;
	assert_false(pccl_offer_decode(bytes, &read));
}

static void check_not_taken(int descriptor, size_t bytes)
{
	struct pccl_offer offer = {.process = (uint32_t)getpid(), .descriptor = (uint32_t)descriptor};
	struct pccl_shared taken;

	assert_true(descriptor >= 0);
	assert_int_equal(ftruncate(descriptor, (off_t)bytes), 0);
	assert_false(pccl_offer_take(&offer, &taken));
	assert_null(taken.memory);
	close(descriptor);
}

/* What could be made smaller would end who maps it. */
static void only_sealed_memory_with_the_token_is_taken(void **state)
{
	struct pccl_offer offer = {.kind = PCCL_OFFER_OFFER};
	struct pccl_shared given, taken;
	char path[] = "/tmp/pccl-offer-XXXXXX";

	(void)state;
	assert_true(pccl_offer_make(&offer, &given));
	assert_true(pccl_offer_take(&offer, &taken));
	assert_ptr_not_equal(given.memory, taken.memory);
	strcpy(given.memory, "the same");
	assert_string_equal(taken.memory, "the same");
	pccl_offer_drop(&taken);
	offer.token[3] ^= 1;
	assert_false(pccl_offer_take(&offer, &taken));
	assert_non_null(strstr(pccl_fail_text(), "another peer's"));
	offer.token[3] ^= 1;
	pccl_fork_close((int)offer.descriptor);
	assert_false(pccl_offer_take(&offer, &taken));
	pccl_offer_drop(&given);
	check_not_taken(memfd_create("unsealed", MFD_ALLOW_SEALING), PCCL_OFFER_MEMORY_BYTES);
	check_not_taken(memfd_create("small", 0), 100);
	check_not_taken(mkstemp(path), PCCL_OFFER_MEMORY_BYTES);
	unlink(path);
}

static void hears(const struct pccl_shared *from, const struct pccl_shared *to)
{
	char bell = 0;

	assert_int_equal(read(to->hears, &bell, 1), -1);
	assert_int_equal(write(from->rings, &bell, 1), 1);
	assert_int_equal(read(to->hears, &bell, 1), 1);
}

/* What another process has under that number may be anything, and must not be rung. */
static void only_the_very_pipes_are_taken_as_bells(void **state)
{
	struct pccl_offer offer = {.kind = PCCL_OFFER_OFFER};
	struct pccl_shared given, taken;
	uint8_t *bells;
	size_t i;

	(void)state;
	assert_true(pccl_offer_make(&offer, &given));
	assert_true(pccl_offer_take(&offer, &taken));
	hears(&given, &taken);
	hears(&taken, &given);
	pccl_offer_drop(&taken);
	bells = (uint8_t *)given.memory + PCCL_OFFER_MEMORY_BYTES - PCCL_OFFER_TAIL_BYTES + PCCL_OFFER_TOKEN_BYTES;
	for (i = 0; i < 24; i++) {
		bells[i] ^= 1;
		assert_false(pccl_offer_take(&offer, &taken));
		assert_non_null(strstr(pccl_fail_text(), "bell"));
		assert_true(taken.memory == NULL && taken.hears == -1 && taken.rings == -1);
		bells[i] ^= 1;
	}
	pccl_offer_drop(&given);
	pccl_fork_close((int)offer.descriptor);
}

/* What stands in the memory is as little to be trusted as what comes over a network. */
static void positions_that_make_no_sense_break_the_stream(void **state)
{
	static struct wire wire;
	struct stranger stranger = come(&wire);
	struct pccl_shared shared = share(&stranger);

	(void)state;
	*(uint64_t *)shared.memory = UINT64_MAX - 5;
	ring_bell(&shared);
	WIRE_UNTIL(&wire, wire.acceptor.calls[WIRE_BROKEN] == 1);
	assert_non_null(strstr(wire.acceptor.reason, "makes no sense"));
	pccl_offer_drop(&shared);
	leave(&stranger);
}

/* A process that is killed takes nothing back; and its end is seen though bells came right before it. */
static void what_was_written_before_the_end_is_read(void **state)
{
	static struct wire wire;
	struct stranger stranger = come(&wire);
	const struct pccl_frame frame = {.type = PCCL_FRAME_PARTIAL};
	uint8_t header[PCCL_FRAME_BYTES];
	struct pccl_ring ring;
	struct pccl_shared shared = share(&stranger);
	bool wake;
	int i;

	(void)state;
	wire.acceptor.verdict = PCCL_FRAME_DISCARD;
	wire_settle(&wire);
	pccl_ring_open(&ring, shared.memory);
	pccl_frame_encode(&frame, header);
	for (i = 0; i < 100; i++) {
		assert_int_equal(pccl_ring_put(&ring, header, sizeof(header), &wake), sizeof(header));
		ring_bell(&shared);
	}
	pccl_offer_drop(&shared);
	close(stranger.fd);
	WIRE_UNTIL(&wire, wire.acceptor.calls[WIRE_BROKEN] == 1);
	assert_int_equal(wire.acceptor.calls[WIRE_HEADER], 100);
	stranger.fd = -1;
	leave(&stranger);
}

/* Nothing is in the memory; and nothing is to be said over the connection. */
static void an_end_behind_a_bell_and_stray_bytes_is_seen(void **state)
{
	static struct wire wire;
	struct stranger stranger = come(&wire);
	struct pccl_shared shared = share(&stranger);

	(void)state;
	wire_settle(&wire);
	ring_bell(&shared);
	assert_int_equal(send(stranger.fd, "bells", 5, MSG_NOSIGNAL), 5);
	close(stranger.fd);
	WIRE_UNTIL(&wire, wire.acceptor.calls[WIRE_BROKEN] == 1);
	pccl_offer_drop(&shared);
	stranger.fd = -1;
	leave(&stranger);
}

/* An alert, and the end: who dialled is told, and that another try is of no use. */
static void who_speaks_tls_is_known(void **state)
{
	static const uint8_t alert[7] = {0x15, 3, 3, 0, 2, 2, 80};
	static struct wire wire;
	int listener, fd;
	uint16_t port;

	(void)state;
	wire_listen(&wire, &ipv4);
	assert_int_equal(pccl_address_numeric("127.0.0.1", 0, &wire.address), pcclSuccess);
	listener = pccl_socket_listening(&wire.address, &port);
	assert_true(listener >= 0);
	pccl_address_set_port(&wire.address, port);
	wire_dial(&wire);
	wire_settle(&wire);
	fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	assert_int_equal(send(fd, alert, sizeof(alert), MSG_NOSIGNAL), sizeof(alert));
	shutdown(fd, SHUT_WR);
	WIRE_UNTIL(&wire, wire.dialer.calls[WIRE_BROKEN] == 1);
	assert_non_null(strstr(wire.dialer.reason, "TLS"));
	close(fd);
	pccl_fork_close(listener);
	wire_destroy(&wire);
}

int main(void)
{
	const struct CMUnitTest suite[] = {SUITE_TESTS};
	const struct CMUnitTest own[] = {
		cmocka_unit_test(both_have_to_want_memory),
		cmocka_unit_test(a_stream_says_whether_it_sends_by_memory),
		cmocka_unit_test(several_network_cards_have_room_for_their_streams),
		cmocka_unit_test(both_ways_at_once_never_stall),
		cmocka_unit_test(an_offer_through_a_relay_is_declined),
		cmocka_unit_test(what_is_no_offer_is_declined),
		cmocka_unit_test(a_newer_build_may_decline),
		cmocka_unit_test(only_sealed_memory_with_the_token_is_taken),
		cmocka_unit_test(only_the_very_pipes_are_taken_as_bells),
		cmocka_unit_test(positions_that_make_no_sense_break_the_stream),
		cmocka_unit_test(what_was_written_before_the_end_is_read),
		cmocka_unit_test(an_end_behind_a_bell_and_stray_bytes_is_seen),
		cmocka_unit_test(who_speaks_tls_is_known),
	};
	int failed;

	failed = cmocka_run_group_tests_name("shared memory beside IPv4", suite, use_ipv4, NULL);
	failed += cmocka_run_group_tests_name("shared memory beside IPv6", suite, use_ipv6, NULL);
	failed += cmocka_run_group_tests_name("shared memory declined", suite, use_declining, NULL);
	failed += cmocka_run_group_tests_name("shared memory and strangers", own, NULL, NULL);
	return failed;
}
