/* HELLO as bytes; the doorman; refusals. */
#include "unit/transport/wire.h"

#include "transport/link/hello.h"
#include "transport/tcp/tcp.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/fail.h"

struct porch {
	struct pccl_loop *loop;
	struct pccl_doorman *doorman;
	struct pccl_address address;
	uint32_t arrived_count;
	struct pccl_hello hello;
	bool destroy_doorman;
	enum pccl_welcome refuse; /* PCCL_WELCOME_YES: just close */
};

static void on_arrived(void *context, struct pccl_stream *stream, const struct pccl_hello *hello)
{
	struct porch *porch = context;

	porch->arrived_count++;
	porch->hello = *hello;
	if (porch->refuse != PCCL_WELCOME_YES)
		pccl_hello_refuse(porch->loop, stream, porch->refuse, "not today");
	else
		pccl_tcp.close(stream, false);
	if (porch->destroy_doorman) {
		pccl_doorman_destroy(porch->doorman);
		porch->doorman = NULL;
	}
}

static void open_porch_over(const struct pccl_transport *transport, struct porch *porch, uint64_t timeout_ns)
{
	struct pccl_address any;

	memset(porch, 0, sizeof(*porch));
	assert_int_equal(pccl_loop_create(&porch->loop), pcclSuccess);
	assert_int_equal(pccl_address_numeric("127.0.0.1", 0, &any), pcclSuccess);
	assert_int_equal(
		pccl_doorman_create(porch->loop, transport, &any, 0, timeout_ns, on_arrived, porch, &porch->doorman),
		pcclSuccess);
	porch->address = any;
	pccl_address_set_port(&porch->address, pccl_doorman_port(porch->doorman));
}

static void open_porch(struct porch *porch, uint64_t timeout_ns)
{
	open_porch_over(&pccl_tcp, porch, timeout_ns);
}

static void close_porch(struct porch *porch)
{
	pccl_doorman_destroy(porch->doorman);
	pccl_loop_destroy(porch->loop);
}

static int call_at(const struct porch *porch)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(connect(fd, (const struct sockaddr *)&porch->address.storage, porch->address.bytes), 0);
	return fd;
}

static void say(int fd, const void *bytes, size_t count)
{
	assert_int_equal(send(fd, bytes, count, MSG_NOSIGNAL), count);
}

static struct pccl_hello some_hello(void)
{
	struct pccl_hello hello = {.purpose = PCCL_PURPOSE_DATA, .group = 7, .lane = 3, .stream = 2};

	wire_fill(hello.from.data, sizeof(hello.from.data), 1);
	wire_fill(hello.to.data, sizeof(hello.to.data), 2);
	hello.instance = 0x1122334455667788u;
	hello.resumption = 9;
	hello.received = 0xdeadbeef;
	hello.host = 0x0123456789abcdefull;
	hello.port = 0xfedc;
	hello.pass.data[15] = 0x99;
	return hello;
}

static void say_hello(int fd)
{
	struct pccl_hello hello = some_hello();
	struct pccl_frame frame = {.type = PCCL_FRAME_HELLO};
	uint8_t payload[PCCL_HELLO_BYTES];
	uint8_t header[PCCL_FRAME_BYTES];

	frame.payload_bytes = (uint32_t)pccl_hello_encode(&hello, payload);
	frame.payload_crc = pccl_crc32c(0, payload, frame.payload_bytes);
	pccl_frame_encode(&frame, header);
	say(fd, header, sizeof(header));
	say(fd, payload, frame.payload_bytes);
}

/* Turns the loop until the other side has hung up; what it said before is thrown away. */
static void wait_for_hang_up(const struct porch *porch, int fd)
{
	uint64_t end_ns = pccl_clock_ns() + wire_patience_ns;
	bool hung_up = false;

	while (!hung_up && pccl_clock_ns() < end_ns) {
		char byte;
		ssize_t got;

		pccl_loop_turn(porch->loop, pccl_clock_ns() + 2000000);
		got = recv(fd, &byte, 1, MSG_DONTWAIT);
		hung_up = got == 0 || (got < 0 && errno == ECONNRESET);
	}
	assert_true(hung_up);
	close(fd);
}

/* ---- bytes --------------------------------------------------------------------------------------------------- */

static void greeting_survives_the_wire(void **state)
{
	struct pccl_greeting greeting = {.instance = 0x1122334455667788u, .hellos = 0xfffffffeu};
	uint8_t bytes[PCCL_GREETING_BYTES + 1] = {0};
	struct pccl_greeting again;
	size_t count, plain_bytes, proven_bytes;

	(void)state;
	greeting.proof.signature[63] = 0x77;
	plain_bytes = pccl_greeting_encode(&greeting, bytes);
	assert_int_equal(pccl_greeting_decode(bytes, plain_bytes, &again), pcclSuccess);
	assert_int_equal(again.instance, greeting.instance);
	assert_int_equal(again.hellos, greeting.hellos);
	assert_false(again.proves);
	greeting.proves = true;
	proven_bytes = pccl_greeting_encode(&greeting, bytes);
	assert_int_equal(proven_bytes, PCCL_GREETING_BYTES);
	assert_int_equal(pccl_greeting_decode(bytes, proven_bytes, &again), pcclSuccess);
	assert_true(again.proves);
	assert_memory_equal(&again.proof, &greeting.proof, sizeof(again.proof));
	for (count = 0; count <= sizeof(bytes); count++)
		if (count != plain_bytes && count != proven_bytes)
			assert_int_equal(pccl_greeting_decode(bytes, count, &again), pcclRankConnectionFailed);
	memset(bytes, 0, sizeof(greeting.instance));
	assert_int_equal(pccl_greeting_decode(bytes, proven_bytes, &again), pcclRankConnectionFailed);
}

static void hello_survives_the_wire(void **state)
{
	struct pccl_hello hello = some_hello();
	struct pccl_hello again;
	uint8_t bytes[PCCL_HELLO_BYTES];
	size_t count = pccl_hello_encode(&hello, bytes);

	(void)state;
	assert_int_equal(pccl_hello_decode(bytes, count, &again), pcclSuccess);
	assert_memory_equal(&hello.from, &again.from, sizeof(hello.from));
	assert_memory_equal(&hello.to, &again.to, sizeof(hello.to));
	assert_int_equal(hello.purpose, again.purpose);
	assert_int_equal(hello.group, again.group);
	assert_int_equal(hello.lane, again.lane);
	assert_int_equal(hello.stream, again.stream);
	assert_true(hello.instance == again.instance);
	assert_int_equal(hello.resumption, again.resumption);
	assert_int_equal(hello.received, again.received);
	assert_int_equal(hello.host, again.host);
	assert_int_equal(hello.port, again.port);
	assert_memory_equal(hello.pass.data, again.pass.data, sizeof(again.pass.data));
	assert_false(again.proves);
	hello.proves = true;
	hello.proof.key.data[0] = 0x11;
	hello.proof.salt[31] = 0x12;
	hello.proof.signature[63] = 0x13;
	count = pccl_hello_encode(&hello, bytes);
	assert_int_equal(pccl_hello_decode(bytes, count, &again), pcclSuccess);
	assert_true(again.proves);
	assert_memory_equal(&hello.proof, &again.proof, sizeof(again.proof));
}

static void hello_of_any_other_length_or_purpose_is_refused(void **state)
{
	struct pccl_hello hello = some_hello();
	uint8_t bytes[PCCL_HELLO_BYTES] = {0};
	size_t count = pccl_hello_encode(&hello, bytes);
	size_t i;

	(void)state;
	for (i = 0; i <= sizeof(bytes); i++)
		if (i != count && i != count + 128) /* a proof goes with it */
			assert_int_equal(pccl_hello_decode(bytes, i, &hello), pcclRankConnectionFailed);
	bytes[0] = 0;
	assert_int_equal(pccl_hello_decode(bytes, count, &hello), pcclRankConnectionFailed);
	bytes[0] = 3;
	assert_int_equal(pccl_hello_decode(bytes, count, &hello), pcclRankConnectionFailed);
	assert_non_null(strstr(pccl_fail_text(), "purpose 3"));
}

/* ---- the doorman --------------------------------------------------------------------------------------------- */

static void caller_who_says_hello_is_handed_over(void **state)
{
	struct porch porch;
	struct pccl_hello expected = some_hello();
	int fd;

	(void)state;
	open_porch(&porch, 1000000000);
	fd = call_at(&porch);
	say_hello(fd);
	wait_for_hang_up(&porch, fd);
	assert_int_equal(porch.arrived_count, 1);
	assert_int_equal(porch.hello.received, expected.received);
	assert_true(porch.hello.instance == expected.instance);
	close_porch(&porch);
}

static void silent_caller_is_hung_up(void **state)
{
	struct porch porch;
	int silent;
	int slow;

	(void)state;
	open_porch(&porch, 30000000);
	silent = call_at(&porch);
	slow = call_at(&porch);
	say(slow, "PC", 2);
	wait_for_hang_up(&porch, silent);
	wait_for_hang_up(&porch, slow);
	assert_int_equal(porch.arrived_count, 0);
	close_porch(&porch);
}

static void babbling_caller_is_hung_up(void **state)
{
	static const uint8_t zeroes[4096];
	struct pccl_frame message = {.type = PCCL_FRAME_MESSAGE};
	struct pccl_frame endless = {.type = PCCL_FRAME_HELLO, .payload_bytes = PCCL_HELLO_BYTES + 1};
	struct pccl_frame empty = {.type = PCCL_FRAME_HELLO};
	uint8_t headers[3][PCCL_FRAME_BYTES];
	struct porch porch;
	int fd;
	int i;

	(void)state;
	open_porch(&porch, 5000000000u);
	fd = call_at(&porch);
	say(fd, zeroes, 8);
	shutdown(fd, SHUT_WR);
	wait_for_hang_up(&porch, fd);
	fd = call_at(&porch);
	say(fd, zeroes, sizeof(zeroes));
	wait_for_hang_up(&porch, fd);
	pccl_frame_encode(&message, headers[0]);
	pccl_frame_encode(&endless, headers[1]);
	pccl_frame_encode(&empty, headers[2]);
	for (i = 0; i < 3; i++) {
		fd = call_at(&porch);
		say(fd, headers[i], PCCL_FRAME_BYTES);
		wait_for_hang_up(&porch, fd);
	}
	assert_int_equal(porch.arrived_count, 0);
	close_porch(&porch);
}

static void when_too_many_wait_the_oldest_goes(void **state)
{
	struct porch porch;
	int fds[258];
	int i;

	(void)state;
	open_porch(&porch, 60000000000u);
	for (i = 0; i < 258; i++) {
		fds[i] = call_at(&porch);
		pccl_loop_turn(porch.loop, 0);
	}
	wait_for_hang_up(&porch, fds[0]);
	wait_for_hang_up(&porch, fds[1]);
	say_hello(fds[2]);
	wait_for_hang_up(&porch, fds[2]);
	assert_int_equal(porch.arrived_count, 1);
	close_porch(&porch);
	for (i = 3; i < 258; i++)
		close(fds[i]);
}

static void a_flood_from_one_address_keeps_nobody_else_out(void **state)
{
	struct porch porch;
	struct pccl_address other;
	int fds[600];
	int honest = socket(AF_INET, SOCK_STREAM, 0);
	int i;

	(void)state;
	open_porch(&porch, 60000000000u);
	assert_int_equal(pccl_address_numeric("127.0.0.2", 0, &other), pcclSuccess);
	assert_int_equal(bind(honest, (const struct sockaddr *)&other.storage, other.bytes), 0);
	for (i = 0; i < 600; i++) {
		if (i == 10)
			assert_int_equal(
				connect(honest, (const struct sockaddr *)&porch.address.storage, porch.address.bytes),
				0);
		fds[i] = call_at(&porch);
		pccl_loop_turn(porch.loop, 0);
	}
	assert_int_equal(porch.arrived_count, 0);
	say_hello(honest);
	while (porch.arrived_count == 0)
		pccl_loop_turn(porch.loop, 0);
	close_porch(&porch);
	for (i = 0; i < 600; i++)
		close(fds[i]);
	close(honest);
}

/* The first caller is from one network, each of the others from another address of a second one. */
static void tell_another_address(const struct pccl_stream *stream, char out[PCCL_ADDRESS_BYTES])
{
	static unsigned calls;

	(void)stream;
	snprintf(out, PCCL_ADDRESS_BYTES, calls == 0 ? "2001:db8:1::%x" : "2001:db8:2::%x", calls);
	calls++;
}

/* Every host with IPv6 may have as many as it likes. */
static void a_flood_from_one_network_keeps_nobody_else_out(void **state)
{
	struct pccl_transport wire = pccl_tcp;
	struct porch porch;
	int fds[300];
	int i;

	(void)state;
	wire.remote = tell_another_address;
	open_porch_over(&wire, &porch, 60000000000u);
	for (i = 0; i < 300; i++) {
		fds[i] = call_at(&porch);
		pccl_loop_turn(porch.loop, 0);
	}
	say_hello(fds[0]);
	WIRE_UNTIL(&porch, porch.arrived_count == 1);
	close_porch(&porch);
	for (i = 0; i < 300; i++)
		close(fds[i]);
}

static void doorman_may_be_destroyed_when_somebody_arrives(void **state)
{
	struct porch porch;
	int fd;
	int other;

	(void)state;
	open_porch(&porch, 1000000000);
	porch.destroy_doorman = true;
	fd = call_at(&porch);
	other = call_at(&porch);
	say_hello(fd);
	wait_for_hang_up(&porch, fd);
	wait_for_hang_up(&porch, other);
	assert_int_equal(porch.arrived_count, 1);
	close_porch(&porch);
}

static void refused_caller_is_told_why(void **state)
{
	struct porch porch;
	uint8_t bytes[PCCL_FRAME_BYTES + 9];
	struct pccl_frame frame;
	size_t got = 0;
	int fd;

	(void)state;
	open_porch(&porch, 1000000000);
	porch.refuse = PCCL_WELCOME_NEVER;
	fd = call_at(&porch);
	say_hello(fd);
	while (got < sizeof(bytes)) {
		ssize_t count;

		pccl_loop_turn(porch.loop, pccl_clock_ns() + 2000000);
		count = recv(fd, bytes + got, sizeof(bytes) - got, MSG_DONTWAIT);
		assert_true(count > 0 || (count < 0 && errno == EAGAIN));
		got += count > 0 ? (size_t)count : 0;
	}
	assert_int_equal(pccl_frame_decode(bytes, &frame), pcclSuccess);
	assert_int_equal(frame.type, PCCL_FRAME_WELCOME);
	assert_int_equal(frame.aux, PCCL_WELCOME_NEVER);
	assert_memory_equal(bytes + PCCL_FRAME_BYTES, "not today", 9);
	wait_for_hang_up(&porch, fd);
	close_porch(&porch);
}

/* ---- ports --------------------------------------------------------------------------------------------------- */

static void range_of_ports_is_tried_in_turn(void **state)
{
	struct pccl_doorman *second;
	struct pccl_doorman *third;
	struct porch porch;
	char text[PCCL_ADDRESS_PORT_BYTES];
	uint16_t port;

	(void)state;
	do { /* a port with a free one after it, but for bad luck */
		open_porch(&porch, 1000000000);
		port = pccl_doorman_port(porch.doorman);
		if (port < UINT16_MAX &&
		    pccl_doorman_create(porch.loop, &pccl_tcp, &porch.address, (uint16_t)(port + 1), 1, on_arrived,
					&porch, &second) == pcclSuccess)
			break;
		close_porch(&porch);
	} while (true);
	assert_int_equal(pccl_doorman_port(second), port + 1);
	pccl_address_text_port(&porch.address, text);
	assert_int_equal(pccl_doorman_create(porch.loop, &pccl_tcp, &porch.address, (uint16_t)(port + 1), 1, on_arrived,
					     &porch, &third),
			 pcclSystemError);
	assert_null(third);
	assert_non_null(strstr(pccl_fail_text(), text));
	assert_int_equal(pccl_doorman_create(porch.loop, &pccl_tcp, &porch.address, 0, 1, on_arrived, &porch, &third),
			 pcclSystemError);
	assert_non_null(strstr(pccl_fail_text(), text));
	assert_non_null(strstr(pccl_fail_text(), "in use"));
	pccl_doorman_destroy(second);
	close_porch(&porch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(greeting_survives_the_wire),
		cmocka_unit_test(hello_survives_the_wire),
		cmocka_unit_test(hello_of_any_other_length_or_purpose_is_refused),
		cmocka_unit_test(caller_who_says_hello_is_handed_over),
		cmocka_unit_test(silent_caller_is_hung_up),
		cmocka_unit_test(babbling_caller_is_hung_up),
		cmocka_unit_test(when_too_many_wait_the_oldest_goes),
		cmocka_unit_test(a_flood_from_one_address_keeps_nobody_else_out),
		cmocka_unit_test(a_flood_from_one_network_keeps_nobody_else_out),
		cmocka_unit_test(doorman_may_be_destroyed_when_somebody_arrives),
		cmocka_unit_test(refused_caller_is_told_why),
		cmocka_unit_test(range_of_ports_is_tried_in_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
