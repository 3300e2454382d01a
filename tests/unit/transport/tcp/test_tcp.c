/* The TCP transport: the suite over IPv4 and IPv6, and what strangers may send to a port. */
#include "unit/transport/transport_suite.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/fail.h"
#include "transport/engine/engine.h"
#include "transport/engine/socket.h"
#include "transport/tcp/tcp.h"

#define PAYLOAD_BYTES 65536u
#define SMALL_SEGMENT_BYTES 16384u /* it, and more, goes out by one call, and is here at once */

static struct wire_kind ipv4 = {&pccl_tcp, "127.0.0.1", NULL};
static struct wire_kind ipv6 = {&pccl_tcp, "::1", NULL};

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

/* ---- system calls -------------------------------------------------------------------------------------------- */

static uint32_t vain_reads;

static ssize_t read_and_count(void *state, int fd, struct iovec *parts, size_t part_count, bool *more_out)
{
	const ssize_t got = pccl_tcp.bytes->read(state, fd, parts, part_count, more_out);

	vain_reads += got < 0;
	return got;
}

/* A read that is filled tells nothing of what is left. */
static void a_small_frame_after_a_large_one_takes_one_read(void **state)
{
	static struct wire wire;
	struct pccl_byte_calls bytes = *pccl_tcp.bytes;
	struct pccl_transport counted = pccl_tcp;
	const struct wire_kind kind = {&counted, "127.0.0.1", NULL};
	uint8_t *payload = wire_payload(PAYLOAD_BYTES, 1);

	(void)state;
	bytes.read = read_and_count;
	counted.bytes = &bytes;
	wire_open(&wire, &kind);
	assert_true(wire_send(&wire.dialer, 1, payload, PAYLOAD_BYTES));
	WIRE_UNTIL(&wire, wire.acceptor.calls[WIRE_RECEIVED] == 1);
	vain_reads = 0;
	assert_true(wire_send(&wire.dialer, 2, NULL, 0));
	WIRE_UNTIL(&wire, wire.acceptor.calls[WIRE_RECEIVED] == 2);
	assert_int_equal(vain_reads, 0);
	wire_destroy(&wire);
	free(payload);
}

/* The end of an op travels right behind its last result. */
static void a_small_frame_right_behind_a_large_one_takes_no_read_of_its_own(void **state)
{
	static struct wire wire;
	struct pccl_byte_calls bytes = *pccl_tcp.bytes;
	struct pccl_transport counted = pccl_tcp;
	const struct wire_kind kind = {&counted, "127.0.0.1", NULL};
	uint8_t *payload = wire_payload(SMALL_SEGMENT_BYTES, 1);

	(void)state;
	bytes.read = read_and_count;
	counted.bytes = &bytes;
	wire_open(&wire, &kind);
	vain_reads = 0;
	assert_true(wire_send(&wire.dialer, 1, payload, SMALL_SEGMENT_BYTES));
	assert_true(wire_send(&wire.dialer, 2, NULL, 0));
	WIRE_UNTIL(&wire, wire.acceptor.calls[WIRE_RECEIVED] == 2);
	assert_int_equal(vain_reads, 0);
	wire_destroy(&wire);
	free(payload);
}

/* ---- strangers ----------------------------------------------------------------------------------------------- */

/* A plain socket that dials the wire's listener. */
static int stranger(struct wire *wire)
{
	int fd;

	wire_listen(wire, &ipv4);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&wire->address.storage, wire->address.bytes), 0);
	WIRE_UNTIL(wire, wire->acceptor.stream != NULL);
	return fd;
}

static void check_broken(struct wire *wire, const void *bytes, size_t count, bool hang_up, const char *reason)
{
	int fd = stranger(wire);

	assert_int_equal(send(fd, bytes, count, MSG_NOSIGNAL), count);
	if (hang_up)
		shutdown(fd, SHUT_WR);
	WIRE_UNTIL(wire, wire->acceptor.calls[WIRE_BROKEN] == 1);
	assert_non_null(strstr(wire->acceptor.reason, reason));
	assert_non_null(strstr(wire->acceptor.reason, "127.0.0.1"));
	close(fd);
	wire_destroy(wire);
}

static void make_header(uint8_t out[PCCL_FRAME_BYTES], uint32_t payload_bytes, uint32_t payload_crc)
{
	struct pccl_frame frame = {.type = PCCL_FRAME_PARTIAL, .payload_crc = payload_crc};
	struct pccl_writer writer = pccl_writer_over(out + 8, 4);

	pccl_frame_encode(&frame, out);
	/* By hand, for encode() asserts what a stranger doesn't keep. */
	pccl_put_u32(&writer, payload_bytes);
	writer = pccl_writer_over(out + PCCL_FRAME_BYTES - 4, 4);
	pccl_put_u32(&writer, pccl_crc32c(0, out, PCCL_FRAME_BYTES - 4));
}

static void garbage_breaks_the_stream_in_words(void **state)
{
	static struct wire wire;
	static const char http[] = "GET / HTTP/1.1\r\nHost: example.org\r\nUser-Agent: somebody\r\n\r\n";
	uint8_t noise[4096];
	uint8_t header[PCCL_FRAME_BYTES];

	(void)state;
	check_broken(&wire, http, sizeof(http), false, "not a frame");
	wire_fill(noise, sizeof(noise), 99);
	check_broken(&wire, noise, sizeof(noise), false, "not a frame");
	memset(noise, 0, sizeof(noise));
	check_broken(&wire, noise, sizeof(noise), false, "not a frame");
	check_broken(&wire, noise, 8, true, "in the middle of a frame");
	make_header(header, PCCL_FRAME_PAYLOAD_MAX + 1, 0);
	check_broken(&wire, header, sizeof(header), false, "over the limit");
	make_header(header, UINT32_MAX, 0);
	check_broken(&wire, header, sizeof(header), false, "over the limit");
}

static void half_messages_break_the_stream_in_words(void **state)
{
	static struct wire wire;
	uint8_t bytes[PCCL_FRAME_BYTES + 100] = {0};

	(void)state;
	make_header(bytes, 100, pccl_crc32c(0, bytes + PCCL_FRAME_BYTES, 100));
	check_broken(&wire, bytes, 1, true, "in the middle of a frame");
	check_broken(&wire, bytes, PCCL_FRAME_BYTES - 1, true, "in the middle of a frame");
	check_broken(&wire, bytes, PCCL_FRAME_BYTES, true, "in the middle of a frame");
	check_broken(&wire, bytes, sizeof(bytes) - 1, true, "in the middle of a frame");
	check_broken(&wire, bytes, 0, true, "closed by");
}

static void damaged_payload_breaks_the_stream_and_is_not_delivered(void **state)
{
	static struct wire wire;
	uint8_t bytes[PCCL_FRAME_BYTES + 100] = {0};

	(void)state;
	make_header(bytes, 100, pccl_crc32c(0, bytes + PCCL_FRAME_BYTES, 100) ^ 1);
	check_broken(&wire, bytes, sizeof(bytes), false, "damaged payload");
	assert_int_equal(wire.acceptor.calls[WIRE_RECEIVED], 0);
}

static void only_segments_may_be_unchecked(void **state)
{
	static struct wire wire;
	struct pccl_frame frame = {
		.type = PCCL_FRAME_RESULT, .flags = PCCL_FRAME_UNCHECKED, .payload_bytes = 100, .payload_crc = 0};
	uint8_t bytes[PCCL_FRAME_BYTES + 100];

	(void)state;
	wire_fill(bytes + PCCL_FRAME_BYTES, 100, frame.sequence);
	pccl_frame_encode(&frame, bytes);
	check_broken(&wire, bytes, sizeof(bytes), true, "closed by");
	assert_int_equal(wire.acceptor.calls[WIRE_RECEIVED], 1);
	frame.payload_crc = 1;
	pccl_frame_encode(&frame, bytes);
	check_broken(&wire, bytes, sizeof(bytes), false, "damaged payload");
	frame.payload_crc = 0;
	frame.type = PCCL_FRAME_START;
	pccl_frame_encode(&frame, bytes);
	check_broken(&wire, bytes, sizeof(bytes), false, "damaged payload");
}

static void bytes_that_come_one_by_one_make_the_same_frames(void **state)
{
	static struct wire wire;
	uint8_t bytes[2 * (PCCL_FRAME_BYTES + 100)];
	int fd = stranger(&wire);
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		uint8_t *frame = bytes + i * (PCCL_FRAME_BYTES + 100);

		wire_fill(frame + PCCL_FRAME_BYTES, 100, 0);
		make_header(frame, 100, pccl_crc32c(0, frame + PCCL_FRAME_BYTES, 100));
	}
	for (i = 0; i < sizeof(bytes); i++) {
		assert_int_equal(send(fd, bytes + i, 1, MSG_NOSIGNAL), 1);
		WIRE_UNTIL(&wire, wire.acceptor.calls[WIRE_RECEIVED] == (i + 1) / (PCCL_FRAME_BYTES + 100));
		wire.acceptor.next = 0;
		pccl_loop_turn(wire.loop, 0);
	}
	close(fd);
	wire_destroy(&wire);
}

static void reset_is_told_in_words(void **state)
{
	static struct wire wire;
	struct linger hard = {1, 0};
	int fd = stranger(&wire);

	(void)state;
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
	close(fd);
	WIRE_UNTIL(&wire, wire.acceptor.calls[WIRE_BROKEN] == 1);
	assert_non_null(strstr(wire.acceptor.reason, "reset by 127.0.0.1:"));
	wire_destroy(&wire);
}

/* ---- ports --------------------------------------------------------------------------------------------------- */

static void port_in_use_is_named(void **state)
{
	static struct wire wire;
	struct pccl_listener *second;
	char text[PCCL_ADDRESS_PORT_BYTES];
	uint16_t port;

	(void)state;
	wire_listen(&wire, &ipv4);
	assert_int_equal(pccl_tcp.listen(&pccl_tcp, wire.loop, &wire.address, wire_accepted, &wire, &second, &port),
			 pcclSystemError);
	assert_null(second);
	pccl_address_text_port(&wire.address, text);
	assert_non_null(strstr(pccl_fail_text(), text));
	assert_non_null(strstr(pccl_fail_text(), "in use"));
	wire_destroy(&wire);
}

/* A port of this host that nobody listens on may be given to the very socket that dials it. */
static void socket_that_reached_itself_is_not_connected(void **state)
{
	struct pccl_address address;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)state;
	assert_int_equal(pccl_address_numeric("127.0.0.1", 0, &address), pcclSuccess);
	assert_int_equal(bind(fd, (struct sockaddr *)&address.storage, address.bytes), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address.storage, &address.bytes), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address.storage, address.bytes), 0);
	assert_int_equal(pccl_socket_connect_error(fd), ECONNREFUSED);
	close(fd);
}

static void one_listener_serves_ipv4_and_ipv6(void **state)
{
	static struct wire_kind any = {&pccl_tcp, "::", NULL};
	static const char *const hosts[] = {"127.0.0.1", "::1"};
	static struct wire wire;
	size_t i;

	(void)state;
	wire_listen(&wire, &any);
	for (i = 0; i < 2; i++) {
		uint16_t port = pccl_address_port(&wire.address);
		char seen[PCCL_ADDRESS_BYTES];

		assert_int_equal(pccl_address_numeric(hosts[i], port, &wire.address), pcclSuccess);
		wire_dial(&wire);
		WIRE_UNTIL(&wire, wire.dialer.calls[WIRE_OPENED] == i + 1 && wire.acceptor.stream != NULL);
		pccl_tcp.remote(wire.acceptor.stream, seen);
		assert_string_equal(seen, hosts[i]);
		wire_close(&wire.dialer, false);
		wire_close(&wire.acceptor, false);
	}
	wire_destroy(&wire);
}

int main(void)
{
	const struct CMUnitTest suite[] = {SUITE_TESTS};
	const struct CMUnitTest own[] = {
		cmocka_unit_test(a_small_frame_after_a_large_one_takes_one_read),
		cmocka_unit_test(a_small_frame_right_behind_a_large_one_takes_no_read_of_its_own),
		cmocka_unit_test(garbage_breaks_the_stream_in_words),
		cmocka_unit_test(half_messages_break_the_stream_in_words),
		cmocka_unit_test(damaged_payload_breaks_the_stream_and_is_not_delivered),
		cmocka_unit_test(only_segments_may_be_unchecked),
		cmocka_unit_test(bytes_that_come_one_by_one_make_the_same_frames),
		cmocka_unit_test(reset_is_told_in_words),
		cmocka_unit_test(port_in_use_is_named),
		cmocka_unit_test(socket_that_reached_itself_is_not_connected),
		cmocka_unit_test(one_listener_serves_ipv4_and_ipv6),
	};
	int failed = cmocka_run_group_tests_name("tcp over IPv4", suite, use_ipv4, NULL);

	failed += cmocka_run_group_tests_name("tcp over IPv6", suite, use_ipv6, NULL);
	failed += cmocka_run_group_tests_name("tcp and strangers", own, NULL, NULL);
	return failed;
}
