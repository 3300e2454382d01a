/* What a trial of a pair of queues is for: ways that are closed, to all or to large packets, are found out in time, and
 * a link goes on over TCP. Over the stand-in for libibverbs. */
#include "transport/rdma/rdma.h"

#define ROPE_WIRE pccl_rdma
#include "unit/transport/rope.h"

#include <sys/socket.h>
#include <unistd.h>

#include "lib/device.h"
#include "transport/rdma/avoid.h"
#include "transport/rdma/pair.h"
#include "transport/rdma/terms.h"

static const struct standin_verbs *standin;
static const struct wire_kind rdma = {&pccl_rdma, "127.0.0.1", NULL};

static int forget_all(void **state)
{
	(void)state;
	pccl_avoid_nobody(false);
	return 0;
}

static void check_way(const char *way)
{
	char ways[2][PCCL_STREAM_DESCRIBE_BYTES];

	wire_try(&pccl_rdma, &pccl_rdma, rdma.host, ways);
	wire_check_ways(ways, way);
}

/* As some do that were set up for packets of another size. */
static void a_way_that_lets_small_packets_through_only_is_done_without(void **state)
{
	(void)state;
	standin->rule(STANDIN_NARROW, true);
	check_way("tcp");
	standin->rule(STANDIN_NARROW, false);
}

/* A device may take longer to say so than the attempt to connect may last. */
static void a_trial_that_was_cut_short_is_not_repeated(void **state)
{
	static struct wire wire;
	uint64_t begin_ns = pccl_clock_ns();

	(void)state;
	standin->rule(STANDIN_HELD, true);
	wire_listen(&wire, &rdma);
	wire_dial(&wire);
	WIRE_UNTIL(&wire, pccl_clock_ns() > begin_ns + UINT64_C(1000000000));
	wire_close(&wire.dialer, false);
	WIRE_UNTIL(&wire, wire.acceptor.calls[WIRE_BROKEN] == 1);
	wire_destroy(&wire);
	check_way("tcp");
	standin->rule(STANDIN_HELD, false);
	check_way("tcp");
	pccl_avoid_nobody(false); /* a minute later */
	check_way("rdma");
}

static void hear_all(struct wire *wire, int fd, size_t bytes)
{
	uint8_t words[PCCL_TERMS_WORD_BYTES + PCCL_TERMS_END_BYTES];

	WIRE_UNTIL(wire, recv(fd, words, sizeof(words), MSG_DONTWAIT | MSG_PEEK) >= (ssize_t)bytes);
	assert_int_equal(recv(fd, words, bytes, 0), bytes);
}

/* Accepts, and says all that comes before its trial. */
static int accept_pair(struct wire *wire, int listener, struct pccl_pair **pair_out)
{
	uint8_t words[PCCL_TERMS_WORD_BYTES + PCCL_TERMS_END_BYTES];
	struct pccl_terms_end end;
	int fd;

	memset(&wire->dialer, 0, sizeof(wire->dialer));
	wire->dialer.transport = &pccl_rdma;
	assert_int_equal(pccl_rdma.dial(&pccl_rdma, wire->loop, &wire->address, NULL, &wire_events, &wire->dialer,
					&wire->dialer.stream),
			 pcclSuccess);
	fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	hear_all(wire, fd, PCCL_TERMS_WORD_BYTES);
	assert_int_equal(pccl_pair_create(&wire->address, 0, NULL, pair_out), pcclSuccess);
	pccl_pair_tell(*pair_out, &end);
	pccl_terms_encode_word(PCCL_TERMS_TAKEN, words);
	pccl_terms_encode_end(&end, words + PCCL_TERMS_WORD_BYTES);
	assert_int_equal(send(fd, words, sizeof(words), MSG_NOSIGNAL), sizeof(words));
	hear_all(wire, fd, sizeof(words));
	return fd;
}

static void who_does_not_come_to_run_closes_no_way(void **state)
{
	static struct wire wires[2];
	const int listener = socket(AF_INET, SOCK_STREAM, 0);
	uint8_t word[PCCL_TERMS_WORD_BYTES];
	struct pccl_pair *pairs[2];
	uint64_t end_ns;
	int fds[2], i;

	(void)state;
	memset(wires, 0, sizeof(wires));
	assert_int_equal(pccl_address_numeric(rdma.host, 0, &wires[0].address), pcclSuccess);
	assert_int_equal(bind(listener, (struct sockaddr *)&wires[0].address.storage, wires[0].address.bytes), 0);
	assert_int_equal(listen(listener, 2), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&wires[0].address.storage, &wires[0].address.bytes),
			 0);
	assert_int_equal(pccl_loop_create(&wires[0].loop), pcclSuccess);
	wires[1] = wires[0];
	for (i = 0; i < 2; i++)
		fds[i] = accept_pair(&wires[i], listener, &pairs[i]);
	end_ns = pccl_clock_ns() + UINT64_C(600000000);
	WIRE_UNTIL(&wires[0], pccl_clock_ns() > end_ns);
	wire_close(&wires[0].dialer, false);
	assert_false(pccl_avoid_has(&wires[0].address, pccl_clock_ns()));
	pccl_terms_encode_word(PCCL_TERMS_DECLINED, word);
	assert_int_equal(send(fds[1], word, sizeof(word), MSG_NOSIGNAL), sizeof(word));
	WIRE_UNTIL(&wires[1], wires[1].dialer.calls[WIRE_OPENED] == 1);
	assert_true(pccl_avoid_has(&wires[1].address, pccl_clock_ns()));
	wire_close(&wires[1].dialer, false);
	for (i = 0; i < 2; i++) {
		close(fds[i]);
		pccl_pair_destroy(pairs[i]);
	}
	close(listener);
	pccl_loop_destroy(wires[0].loop);
}

/* It may let trials through. */
static void a_way_that_broke_is_not_tried_again(void **state)
{
	static struct wire wire;

	(void)state;
	wire_open(&wire, &rdma);
	assert_true(wire_send(&wire.dialer, 0, NULL, 0));
	WIRE_UNTIL(&wire, wire.acceptor.next == 1);
	standin->rule(STANDIN_CUT, true);
	assert_true(wire_send(&wire.dialer, 1, NULL, 0));
	WIRE_UNTIL(&wire, wire.dialer.calls[WIRE_BROKEN] == 1);
	standin->rule(STANDIN_CUT, false);
	wire_destroy(&wire);
	check_way("tcp");
}

/* Whoever is killed breaks no way. */
static void an_end_is_no_break(void **state)
{
	static struct wire wire;

	(void)state;
	wire_open(&wire, &rdma);
	assert_true(wire_send(&wire.dialer, 0, NULL, 0));
	WIRE_UNTIL(&wire, wire.acceptor.next == 1);
	wire_close(&wire.acceptor, false);
	WIRE_UNTIL(&wire, wire.dialer.calls[WIRE_BROKEN] == 1);
	wire_destroy(&wire);
	check_way("rdma");
}

static void check_link(const struct rope_end *end, const char *way)
{
	char text[1000];

	pccl_link_describe(end->link, text, sizeof(text));
	if (strstr(text, way) == NULL)
		fail_msg("not over %s: %s", way, text);
}

/* A link that is silent is dialled again, and has no time for a trial in vain. */
static void a_link_whose_way_is_closed_goes_on_over_tcp(void **state)
{
	static struct rope rope;
	uint64_t end_ns;

	(void)state;
	rope_open(&rope, 1);
	rope.dialer.config.connect_timeout_ns = UINT64_C(30000000000);
	rope_load(&rope.dialer, 10, 1000, 1);
	rope_tie_both(&rope);
	ROPE_UNTIL(&rope, rope.dialer.acked_count == 10);
	check_link(&rope.dialer, "(rdma");
	standin->rule(STANDIN_HELD, true);
	rope_load(&rope.dialer, 20, 1000, 2);
	pccl_link_kick(rope.dialer.link);
	end_ns = pccl_clock_ns() + UINT64_C(700000000);
	while (pccl_clock_ns() < end_ns) /* nobody looks at what has been acknowledged */
		pccl_loop_turn(rope.loop, pccl_clock_ns() + 20000000);
	assert_int_equal(rope.dialer.acked_count, 10);
	pccl_link_renew(rope.dialer.link, pccl_clock_ns() + UINT64_C(1800000000));
	ROPE_UNTIL(&rope, rope.dialer.acked_count == 30 || rope.dialer.lost_count > 0);
	assert_int_equal(rope.dialer.lost_count, 0);
	check_link(&rope.dialer, "(tcp");
	rope_check(&rope.dialer, &rope.waiter);
	standin->rule(STANDIN_HELD, false);
	rope_close(&rope);
}

/* ---- a flood of offers --------------------------------------------------------------------------------------- */

#define TRIALS 32 /* at a time, of one host */
#define TRIALS_IN_VAIN 16

struct flood {
	struct wire wire; /* who is flooded: its loop and address */
	struct wire_end ends[TRIALS + 2];
	uint32_t count;
};

static void add_end(void *context, struct pccl_stream *stream)
{
	struct flood *flood = context;
	struct wire_end *end = &flood->ends[flood->count++ % (TRIALS + 2)];

	memset(end, 0, sizeof(*end));
	end->transport = &pccl_rdma;
	end->stream = stream;
	end->close_at = WIRE_BROKEN;
	assert_int_equal(pccl_rdma.attach(stream, flood->wire.loop, &wire_events, end), pcclSuccess);
}

static void begin_flood(struct flood *flood)
{
	uint16_t port;

	memset(flood, 0, sizeof(*flood));
	assert_int_equal(pccl_loop_create(&flood->wire.loop), pcclSuccess);
	assert_int_equal(pccl_address_numeric(rdma.host, 0, &flood->wire.address), pcclSuccess);
	assert_int_equal(pccl_rdma.listen(&pccl_rdma, flood->wire.loop, &flood->wire.address, add_end, flood,
					  &flood->wire.listener, &port),
			 pcclSuccess);
	pccl_address_set_port(&flood->wire.address, port);
}

static void end_flood(struct flood *flood)
{
	uint32_t i;

	for (i = 0; i < TRIALS + 2; i++)
		wire_close(&flood->ends[i], false);
	pccl_rdma.close_listener(flood->wire.listener);
	pccl_loop_destroy(flood->wire.loop);
}

/* Connects, offers, and says nothing more. */
static int come(struct flood *flood)
{
	const int fd = socket(AF_INET, SOCK_STREAM, 0);
	uint8_t word[PCCL_TERMS_WORD_BYTES];

	assert_int_equal(connect(fd, (struct sockaddr *)&flood->wire.address.storage, flood->wire.address.bytes), 0);
	pccl_terms_encode_word(PCCL_TERMS_OFFER, word);
	assert_int_equal(send(fd, word, sizeof(word), MSG_NOSIGNAL), sizeof(word));
	return fd;
}

static bool is_answered(int fd)
{
	uint8_t word[PCCL_TERMS_WORD_BYTES];

	return recv(fd, word, sizeof(word), MSG_DONTWAIT | MSG_PEEK) == sizeof(word);
}

static enum pccl_terms_word hear(struct flood *flood, int fd)
{
	uint8_t word[PCCL_TERMS_WORD_BYTES];
	enum pccl_terms_word answer;

	WIRE_UNTIL(&flood->wire, is_answered(fd));
	assert_int_equal(recv(fd, word, sizeof(word), MSG_DONTWAIT | MSG_PEEK), sizeof(word));
	assert_true(pccl_terms_decode_word(word, &answer));
	return answer;
}

static int offer(struct flood *flood, enum pccl_terms_word *answer_out)
{
	const int fd = come(flood);

	*answer_out = hear(flood, fd);
	return fd;
}

/* Whoever is too many waits for a turn, but not for long. */
static void strangers_who_offer_open_so_many_devices(void **state)
{
	static struct flood flood;
	enum pccl_terms_word answer;
	int fds[TRIALS + 2], i;

	(void)state;
	begin_flood(&flood);
	for (i = 0; i < TRIALS; i++) {
		fds[i] = offer(&flood, &answer);
		assert_int_equal(answer, PCCL_TERMS_TAKEN);
	}
	fds[i] = come(&flood);
	WIRE_UNTIL(&flood.wire, flood.count == TRIALS + 1);
	wire_settle(&flood.wire);
	close(fds[0]);
	if (hear(&flood, fds[i]) == PCCL_TERMS_DECLINED) { /* the machine stood still for so long */
		close(fds[i]);
		fds[i] = offer(&flood, &answer);
		assert_int_equal(answer, PCCL_TERMS_TAKEN);
	}
	fds[i + 1] = offer(&flood, &answer);
	assert_int_equal(answer, PCCL_TERMS_DECLINED);
	for (i = 1; i < TRIALS + 2; i++)
		close(fds[i]);
	end_flood(&flood);
	assert_int_equal(standin->left(), 0);
}

static void vanish(struct flood *flood, int fd)
{
	close(fd);
	WIRE_UNTIL(&flood->wire, standin->left() == 0);
}

static void who_only_offers_again_and_again_is_declined(void **state)
{
	static struct flood flood;
	enum pccl_terms_word answer;
	int i;

	(void)state;
	begin_flood(&flood);
	for (i = 0; i < 2 * TRIALS_IN_VAIN - 1; i++) {
		vanish(&flood, offer(&flood, &answer));
		assert_int_equal(answer, PCCL_TERMS_TAKEN);
		if (i == TRIALS_IN_VAIN - 2)
			check_way("rdma"); /* so there is somebody honest */
	}
	vanish(&flood, offer(&flood, &answer));
	assert_int_equal(answer, PCCL_TERMS_DECLINED);
	end_flood(&flood);
}

/* ---- several devices ----------------------------------------------------------------------------------------- */

static void check_device(const struct wire_end *end, const char *way)
{
	char text[PCCL_STREAM_DESCRIBE_BYTES];

	pccl_rdma.describe(end->stream, text, sizeof(text));
	assert_memory_equal(text, way, strlen(way));
}

/* Both sides of a connection have the same one: the other one is in another network. Which comes first is drawn. */
static void connections_are_spread_over_the_devices_that_are_listed(void **state)
{
	static struct flood flood;
	static struct wire_end dialers[3];
	static const char *const devices[] = {"rdma over standin0", "rdma over standin1"};
	char way[PCCL_STREAM_DESCRIBE_BYTES];
	int i, index, first = 0;

	(void)state;
	setenv("PCCL_RDMA_DEVICE", "standin0,standin1", 1);
	begin_flood(&flood);
	for (i = 0; i < 3; i++) {
		struct wire_end *end = &dialers[i];

		memset(end, 0, sizeof(*end));
		end->transport = &pccl_rdma;
		assert_int_equal(pccl_rdma.dial(&pccl_rdma, flood.wire.loop, &flood.wire.address, NULL, &wire_events,
						end, &end->stream),
				 pcclSuccess);
		WIRE_UNTIL(&flood.wire, end->calls[WIRE_OPENED] == 1 && wire_is_up(&flood.ends[i]));
		pccl_rdma.describe(end->stream, way, sizeof(way));
		index = way[strlen("rdma over standin")] == '1';
		first = i == 0 ? index : first;
		assert_int_equal(index, (first + i) % 2);
		check_device(end, devices[index]);
		check_device(&flood.ends[i], devices[index]);
		if (i == 1) /* its place is the next one's */
			wire_close(&dialers[0], false);
	}
	for (i = 0; i < 3; i++)
		wire_close(&dialers[i], false);
	end_flood(&flood);
	setenv("PCCL_RDMA_DEVICE", "standin2", 1);
	check_way("tcp");
	unsetenv("PCCL_RDMA_DEVICE");
}

/* Whichever comes first. */
static void devices_that_are_missing_are_passed_over(void **state)
{
	static const char *const lists[] = {"standin2,standin1", "standin1,standin2",
					    "standin1,:", "standin2,:,standin1"};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		setenv("PCCL_RDMA_DEVICE", lists[i], 1);
		check_way("rdma over standin1");
		check_way("rdma over standin1");
	}
	unsetenv("PCCL_RDMA_DEVICE");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_way_that_lets_small_packets_through_only_is_done_without, forget_all),
		cmocka_unit_test_setup(a_trial_that_was_cut_short_is_not_repeated, forget_all),
		cmocka_unit_test_setup(who_does_not_come_to_run_closes_no_way, forget_all),
		cmocka_unit_test_setup(a_way_that_broke_is_not_tried_again, forget_all),
		cmocka_unit_test_setup(an_end_is_no_break, forget_all),
		cmocka_unit_test_setup(a_link_whose_way_is_closed_goes_on_over_tcp, forget_all),
		cmocka_unit_test_setup(strangers_who_offer_open_so_many_devices, forget_all),
		cmocka_unit_test_setup(who_only_offers_again_and_again_is_declined, forget_all),
		cmocka_unit_test_setup(connections_are_spread_over_the_devices_that_are_listed, forget_all),
		cmocka_unit_test_setup(devices_that_are_missing_are_passed_over, forget_all),
	};

	standin = check_standin_verbs();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
