/* Control channels: messages both ways, dialling, bounds, ends. */
#include "lib/allocations.h"
#include "unit/transport/wire.h"

#include "transport/link/channel.h"
#include "transport/link/hello.h"
#include "transport/tcp/tcp.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/fail.h"
#include "base/memory.h"

enum call { NONE, OPENED, MESSAGE, BROKEN };

struct desk {
	struct hall *hall;
	struct pccl_channel *channel; /* NULL: closed */
	uint32_t calls[BROKEN + 1];
	uint32_t next; /* number of the message that must come next */
	uint64_t bytes;
	char reason[600];
	enum call close_at;
	bool answers;	  /* sends every message back */
	uint32_t longest; /* message that it expects; 0: any */
};

/* A doorman, the channel that dials, and the one that the doorman's caller becomes. */
struct hall {
	struct pccl_loop *loop;
	struct pccl_doorman *doorman;
	struct pccl_address address;
	struct desk peer;
	struct desk master;
	bool turn_away;
	bool tolerant;		    /* adopting may fail */
	struct pccl_stream *parked; /* if `park`: HELLO read, nothing said */
	bool park;
};

static struct hall hall;

static void close_desk(struct desk *desk, bool flush)
{
	if (desk->channel != NULL)
		pccl_channel_close(desk->channel, flush);
	desk->channel = NULL;
}

static void called(struct desk *desk, enum call call)
{
	assert_non_null(desk->channel);
	desk->calls[call]++;
	if (desk->close_at == call)
		close_desk(desk, true);
}

static void on_opened(void *context, struct pccl_channel *channel)
{
	(void)channel;
	called(context, OPENED);
}

/* A message is its number and then what wire_fill() makes of that. */
static void send_number(struct desk *desk, uint32_t number, size_t bytes)
{
	uint8_t *data = pccl_alloc(bytes);

	wire_fill(data, bytes, number);
	pccl_channel_send(desk->channel, data, bytes);
}

static void on_message(void *context, struct pccl_channel *channel, const uint8_t *data, size_t bytes)
{
	struct desk *desk = context;

	assert_ptr_equal(channel, desk->channel);
	assert_true(wire_matches(data, bytes, desk->next));
	if (desk->answers)
		send_number(desk, desk->next, bytes);
	desk->next++;
	desk->bytes += bytes;
	called(desk, MESSAGE);
}

static void on_broken(void *context, struct pccl_channel *channel, const char *reason)
{
	struct desk *desk = context;

	(void)channel;
	strncpy(desk->reason, reason, sizeof(desk->reason) - 1);
	called(desk, BROKEN);
}

static pcclResult_t on_expect(void *context, struct pccl_channel *channel, uint32_t bytes)
{
	const struct desk *desk = context;

	(void)channel;
	if (desk->longest != 0 && bytes > desk->longest)
		return pccl_fail(pcclMasterConnectionFailed, "%u bytes are too many", bytes);
	return pcclSuccess;
}

static const struct pccl_channel_events events = {
	.opened = on_opened, .expect = on_expect, .message = on_message, .broken = on_broken};

static void arrived(void *context, struct pccl_stream *stream, const struct pccl_hello *hello)
{
	(void)context;
	assert_int_equal(hello->purpose, PCCL_PURPOSE_CONTROL);
	if (hall.park) {
		assert_null(hall.parked);
		hall.parked = stream;
	} else if (hall.turn_away) {
		pccl_hello_refuse(hall.loop, stream, PCCL_WELCOME_NEVER, "the master is elsewhere");
	} else {
		pcclResult_t result;

		assert_null(hall.master.channel);
		result = pccl_channel_adopt(hall.loop, stream, &events, &hall.master, &hall.master.channel);
		if (hall.tolerant && result == pcclOutOfMemory)
			return;
		assert_int_equal(result, pcclSuccess);
		assert_string_equal(pccl_channel_remote(hall.master.channel), "127.0.0.1");
	}
}

static void open_hall(void)
{
	memset(&hall, 0, sizeof(hall));
	assert_int_equal(pccl_loop_create(&hall.loop), pcclSuccess);
	assert_int_equal(pccl_address_numeric("127.0.0.1", 0, &hall.address), pcclSuccess);
	assert_int_equal(
		pccl_doorman_create(hall.loop, &pccl_tcp, &hall.address, 0, 2000000000u, arrived, NULL, &hall.doorman),
		pcclSuccess);
	pccl_address_set_port(&hall.address, pccl_doorman_port(hall.doorman));
}

static void close_hall(void)
{
	close_desk(&hall.peer, false);
	close_desk(&hall.master, false);
	if (hall.parked != NULL)
		pccl_tcp.close(hall.parked, false);
	pccl_doorman_destroy(hall.doorman);
	pccl_loop_destroy(hall.loop);
}

static void dial(const struct pccl_address *addresses, size_t count, uint64_t timeout_ns)
{
	struct pccl_place places[4] = {{.transport = NULL}};
	size_t i;

	for (i = 0; i < count; i++) {
		places[i].transport = &pccl_tcp;
		places[i].address = addresses[i];
	}
	assert_int_equal(pccl_channel_dial(hall.loop, places, (uint32_t)count, timeout_ns, &events, &hall.peer,
					   &hall.peer.channel),
			 pcclSuccess);
}

static void settle(void)
{
	int i;

	for (i = 0; i < 60; i++)
		pccl_loop_turn(hall.loop, i < 50 ? 0 : pccl_clock_ns() + 1000000);
}

/* An address where nobody listens. */
static struct pccl_address nobody(void)
{
	struct pccl_address address = {.bytes = sizeof(address.storage)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(pccl_address_numeric("127.0.0.1", 0, &address), pcclSuccess);
	assert_int_equal(bind(fd, (struct sockaddr *)&address.storage, address.bytes), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address.storage, &address.bytes), 0);
	close(fd);
	return address;
}

/* ---- messages ------------------------------------------------------------------------------------------------ */

static void messages_go_both_ways_in_order(void **state)
{
	uint32_t i;

	(void)state;
	open_hall();
	dial(&hall.address, 1, 2000000000u);
	for (i = 0; i < 100; i++) /* before it is open */
		send_number(&hall.peer, i, 1 + i * 1000);
	WIRE_UNTIL(&hall, hall.master.channel != NULL);
	hall.master.answers = true;
	WIRE_UNTIL(&hall, hall.peer.next == 100);
	assert_int_equal(hall.peer.calls[OPENED], 1);
	for (i = 100; i < 1000; i++)
		send_number(&hall.peer, i, 1 + i % 50);
	WIRE_UNTIL(&hall, hall.peer.next == 1000);
	assert_int_equal(hall.peer.calls[BROKEN] + hall.master.calls[BROKEN], 0);
	close_hall();
}

static void largest_message_arrives_and_a_larger_one_breaks_the_channel(void **state)
{
	(void)state;
	open_hall();
	dial(&hall.address, 1, 2000000000u);
	send_number(&hall.peer, 0, PCCL_FRAME_PAYLOAD_MAX);
	WIRE_UNTIL(&hall, hall.master.next == 1);
	send_number(&hall.peer, 1, PCCL_FRAME_PAYLOAD_MAX + 1);
	assert_int_equal(hall.peer.calls[BROKEN], 0);
	send_number(&hall.peer, 2, 10); /* goes nowhere, and leaks nothing */
	WIRE_UNTIL(&hall, hall.peer.calls[BROKEN] == 1);
	assert_non_null(strstr(hall.peer.reason, "16777217 bytes"));
	send_number(&hall.peer, 3, 10);
	close_hall();
}

static void message_that_is_not_expected_breaks_the_channel_before_it_is_kept(void **state)
{
	(void)state;
	open_hall();
	hall.master.longest = 1000;
	dial(&hall.address, 1, 2000000000u);
	send_number(&hall.peer, 0, 1000);
	WIRE_UNTIL(&hall, hall.master.next == 1);
	send_number(&hall.peer, 1, 1001);
	WIRE_UNTIL(&hall, hall.master.calls[BROKEN] == 1);
	assert_int_equal(hall.master.calls[MESSAGE], 1);
	assert_non_null(strstr(hall.master.reason, "1001 bytes are too many"));
	close_hall();
}

static void channel_whose_queue_grows_without_end_breaks(void **state)
{
	uint32_t i;

	(void)state;
	open_hall();
	dial(&hall.address, 1, 2000000000u);
	for (i = 0; i < 5; i++)
		send_number(&hall.peer, i, PCCL_FRAME_PAYLOAD_MAX);
	WIRE_UNTIL(&hall, hall.peer.calls[BROKEN] == 1);
	assert_non_null(strstr(hall.peer.reason, "takes no messages"));
	close_hall();
}

/* ---- dialling ------------------------------------------------------------------------------------------------ */

static void addresses_are_tried_in_turn(void **state)
{
	struct pccl_address addresses[3];

	(void)state;
	open_hall();
	addresses[0] = nobody();
	addresses[1] = nobody();
	addresses[2] = hall.address;
	dial(addresses, 3, 2000000000u);
	WIRE_UNTIL(&hall, hall.peer.calls[OPENED] == 1);
	close_hall();
}

static void unanswered_dial_breaks_with_the_causes(void **state)
{
	struct pccl_address addresses[2];
	char text[PCCL_ADDRESS_PORT_BYTES];
	int i;

	(void)state;
	open_hall();
	addresses[0] = nobody();
	addresses[1] = nobody();
	dial(addresses, 2, 2000000000u);
	send_number(&hall.peer, 0, 10);
	assert_int_equal(hall.peer.calls[BROKEN], 0);
	WIRE_UNTIL(&hall, hall.peer.calls[BROKEN] == 1);
	for (i = 0; i < 2; i++) {
		pccl_address_text_port(&addresses[i], text);
		assert_non_null(strstr(hall.peer.reason, text));
	}
	assert_non_null(strstr(hall.peer.reason, "refused"));
	close_hall();
}

static void master_that_says_nothing_is_given_up(void **state)
{
	uint64_t start_ns = pccl_clock_ns();

	(void)state;
	open_hall();
	hall.park = true;
	dial(&hall.address, 1, 200000000);
	WIRE_UNTIL(&hall, hall.peer.calls[BROKEN] == 1);
	assert_in_range(pccl_clock_ns() - start_ns, 200000000, wire_patience_ns);
	assert_non_null(strstr(hall.peer.reason, "accepts connections, but says nothing"));
	close_hall();
}

static void place_that_says_nothing_is_left_for_another_one(void **state)
{
	struct pccl_address addresses[2];
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)state;
	open_hall();
	addresses[0] = (struct pccl_address){.bytes = sizeof(addresses[0].storage)};
	assert_int_equal(listen(fd, 5), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addresses[0].storage, &addresses[0].bytes), 0);
	addresses[1] = hall.address;
	dial(addresses, 2, 400000000u);
	WIRE_UNTIL(&hall, hall.peer.calls[OPENED] == 1);
	close_hall();
	close(fd);
}

static void who_is_no_master_is_told_from_one_that_is_away(void **state)
{
	static const char *const answers[] = {"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", ""};
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		struct pccl_address address = {.bytes = sizeof(address.storage)};
		int door = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		int fd = -1;

		open_hall();
		assert_int_equal(listen(door, 5), 0);
		assert_int_equal(getsockname(door, (struct sockaddr *)&address.storage, &address.bytes), 0);
		dial(&address, 1, 2000000000u);
		WIRE_UNTIL(&hall, fd >= 0 || (fd = accept(door, NULL, NULL)) >= 0);
		assert_int_equal(send(fd, answers[i], strlen(answers[i]), 0), strlen(answers[i]));
		close(fd);
		WIRE_UNTIL(&hall, hall.peer.calls[BROKEN] == 1);
		assert_non_null(strstr(hall.peer.reason, "no pccl master at "));
		close_hall();
		close(door);
	}
}

static void a_master_of_another_version_is_told_from_none(void **state)
{
	const struct pccl_frame frame = {.type = PCCL_FRAME_WELCOME};
	struct pccl_address address = {.bytes = sizeof(address.storage)};
	int door = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), fd = -1;
	uint8_t header[PCCL_FRAME_BYTES];

	(void)state;
	open_hall();
	assert_int_equal(listen(door, 5), 0);
	assert_int_equal(getsockname(door, (struct sockaddr *)&address.storage, &address.bytes), 0);
	dial(&address, 1, 2000000000u);
	WIRE_UNTIL(&hall, fd >= 0 || (fd = accept(door, NULL, NULL)) >= 0);
	pccl_frame_encode(&frame, header);
	header[4] = 9;
	assert_int_equal(send(fd, header, sizeof(header), 0), sizeof(header));
	WIRE_UNTIL(&hall, hall.peer.calls[BROKEN] == 1);
	assert_non_null(strstr(hall.peer.reason, "one of another version"));
	assert_non_null(strstr(hall.peer.reason, "protocol version 9, this side speaks 5"));
	close(fd);
	close_hall();
	close(door);
}

static void refusal_is_told_in_the_masters_words(void **state)
{
	(void)state;
	open_hall();
	hall.turn_away = true;
	dial(&hall.address, 1, 2000000000u);
	WIRE_UNTIL(&hall, hall.peer.calls[BROKEN] == 1);
	assert_non_null(strstr(hall.peer.reason, "the master is elsewhere"));
	assert_int_equal(hall.peer.calls[OPENED], 0);
	close_hall();
}

/* ---- ends ---------------------------------------------------------------------------------------------------- */

static void last_messages_are_delivered_before_the_end_is_told(void **state)
{
	uint32_t i;

	(void)state;
	open_hall();
	dial(&hall.address, 1, 2000000000u);
	WIRE_UNTIL(&hall, hall.peer.calls[OPENED] == 1 && hall.master.channel != NULL);
	for (i = 0; i < 300; i++)
		send_number(&hall.master, i, 40000);
	close_desk(&hall.master, true);
	WIRE_UNTIL(&hall, hall.peer.calls[BROKEN] == 1);
	assert_int_equal(hall.peer.next, 300);
	assert_non_null(strstr(hall.peer.reason, "closed by"));
	close_hall();
}

static void flushing_close_does_not_wait_for_ever(void **state)
{
	uint32_t i;

	(void)state;
	open_hall();
	hall.park = true;
	dial(&hall.address, 1, 2000000000u);
	WIRE_UNTIL(&hall, hall.parked != NULL);
	assert_int_equal(pccl_channel_adopt(hall.loop, hall.parked, &events, &hall.master, &hall.master.channel),
			 pcclSuccess);
	hall.parked = NULL;
	WIRE_UNTIL(&hall, hall.peer.calls[OPENED] == 1);
	for (i = 0; i < 3; i++)
		send_number(&hall.master, i, PCCL_FRAME_PAYLOAD_MAX);
	close_desk(&hall.master, true);
	close_desk(&hall.peer, false); /* nobody reads */
	settle();
	close_hall(); /* the leak checker looks for the rest */
}

static void channel_may_be_closed_inside_any_callback(void **state)
{
	int call;

	(void)state;
	for (call = OPENED; call <= BROKEN; call++) {
		open_hall();
		hall.peer.close_at = call;
		dial(&hall.address, 1, 2000000000u);
		send_number(&hall.peer, 0, 10);
		WIRE_UNTIL(&hall, hall.master.channel != NULL);
		send_number(&hall.master, 0, 10);
		send_number(&hall.master, 1, 10);
		if (call == BROKEN)
			close_desk(&hall.master, true);
		WIRE_UNTIL(&hall, hall.peer.channel == NULL);
		settle();
		assert_int_equal(hall.peer.calls[call], 1);
		close_hall();
	}
}

static void frame_that_is_no_message_breaks_the_channel(void **state)
{
	struct pccl_frame wrong[2] = {{.type = PCCL_FRAME_PARTIAL}, {.type = PCCL_FRAME_MESSAGE}};
	uint8_t header[PCCL_FRAME_BYTES];
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		struct pccl_hello hello = {.purpose = PCCL_PURPOSE_CONTROL};
		struct pccl_frame frame = {.type = PCCL_FRAME_HELLO};
		uint8_t payload[PCCL_HELLO_BYTES];
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		open_hall();
		assert_int_equal(connect(fd, (struct sockaddr *)&hall.address.storage, hall.address.bytes), 0);
		frame.payload_bytes = (uint32_t)pccl_hello_encode(&hello, payload);
		frame.payload_crc = pccl_crc32c(0, payload, frame.payload_bytes);
		pccl_frame_encode(&frame, header);
		assert_int_equal(send(fd, header, sizeof(header), 0), sizeof(header));
		assert_int_equal(send(fd, payload, frame.payload_bytes, 0), frame.payload_bytes);
		pccl_frame_encode(&wrong[i], header);
		assert_int_equal(send(fd, header, sizeof(header), 0), sizeof(header));
		WIRE_UNTIL(&hall, hall.master.calls[BROKEN] == 1);
		assert_non_null(strstr(hall.master.reason, "control connection"));
		close(fd);
		close_hall();
	}
}

/* Returns whether the allocation was reached. */
static bool talk_without_one_allocation(size_t nth)
{
	uint64_t end_ns = pccl_clock_ns() + wire_patience_ns;
	uint8_t *data = pccl_alloc(1000);
	struct pccl_place place = {.transport = &pccl_tcp};
	bool failed;

	open_hall();
	place.address = hall.address;
	wire_fill(data, 1000, 0);
	hall.tolerant = true;
	check_fail_allocation(nth);
	if (pccl_channel_dial(hall.loop, &place, 1, 2000000000u, &events, &hall.peer, &hall.peer.channel) ==
	    pcclSuccess)
		pccl_channel_send(hall.peer.channel, data, 1000);
	else
		pccl_free(data);
	while (hall.peer.channel != NULL && hall.master.next == 0 && pccl_clock_ns() < end_ns &&
	       hall.peer.calls[BROKEN] + hall.master.calls[BROKEN] == 0)
		pccl_loop_turn(hall.loop, end_ns);
	assert_true(pccl_clock_ns() < end_ns);
	failed = check_allocation_failed();
	check_fail_allocation(0);
	assert_true(failed || hall.master.next == 1);
	close_hall();
	return failed;
}

static void failed_allocation_breaks_the_channel_and_nothing_else(void **state)
{
	size_t nth = 1;

	(void)state;
	while (talk_without_one_allocation(nth))
		nth++;
	assert_true(nth > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_go_both_ways_in_order),
		cmocka_unit_test(largest_message_arrives_and_a_larger_one_breaks_the_channel),
		cmocka_unit_test(message_that_is_not_expected_breaks_the_channel_before_it_is_kept),
		cmocka_unit_test(channel_whose_queue_grows_without_end_breaks),
		cmocka_unit_test(addresses_are_tried_in_turn),
		cmocka_unit_test(place_that_says_nothing_is_left_for_another_one),
		cmocka_unit_test(who_is_no_master_is_told_from_one_that_is_away),
		cmocka_unit_test(unanswered_dial_breaks_with_the_causes),
		cmocka_unit_test(master_that_says_nothing_is_given_up),
		cmocka_unit_test(a_master_of_another_version_is_told_from_none),
		cmocka_unit_test(refusal_is_told_in_the_masters_words),
		cmocka_unit_test(last_messages_are_delivered_before_the_end_is_told),
		cmocka_unit_test(flushing_close_does_not_wait_for_ever),
		cmocka_unit_test(channel_may_be_closed_inside_any_callback),
		cmocka_unit_test(frame_that_is_no_message_breaks_the_channel),
		cmocka_unit_test(failed_allocation_breaks_the_channel_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
