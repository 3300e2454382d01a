/* The RDMA wire: the suite through pairs of queues and declined, and what a stranger may try. */
#include "unit/transport/rdma/rdma_suite.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fail.h"
#include "transport/rdma/avoid.h"
#include "transport/rdma/pair.h"
#include "transport/rdma/rdma.h"
#include "transport/shm/shm.h"
#include "transport/tcp/tcp.h"

static struct wire_kind paired = {&pccl_rdma, NULL, NULL};
static struct wire_kind declining = {&pccl_shm_declining, NULL, &pccl_rdma};

static int use_paired(void **state)
{
	*state = &paired;
	return 0;
}

static int use_declining(void **state)
{
	*state = &declining;
	return 0;
}

/* ---- who joins ----------------------------------------------------------------------------------------------- */

/* By which way they go; NULL: over TCP if something has failed, else not. */
static void check_way(const struct pccl_transport *dials, const struct pccl_transport *listens, const char *way)
{
	char ways[2][PCCL_STREAM_DESCRIBE_BYTES];

	wire_try(dials, listens, paired.host, ways);
	if (way == NULL)
		way = *standin->failed ? "tcp" : "rdma";
	wire_check_ways(ways, way);
}

static void both_have_to_want_it(void **state)
{
	(void)state;
	check_way(&pccl_rdma, &pccl_rdma, "rdma");
	check_way(&pccl_rdma, &pccl_shm_declining, "tcp");
	check_way(&pccl_rdma, &pccl_shm, "tcp");
	check_way(&pccl_shm, &pccl_rdma, "tcp");
	check_way(&pccl_tcp, &pccl_rdma, "tcp");
}

/* ---- both ways ----------------------------------------------------------------------------------------------- */

enum { FRAMES = 600, BYTES = 100000 };

/* Sends all and hears all; small and large frames in turn. */
static void exchange(struct wire *wire, struct wire_end *end, const uint8_t *payload)
{
	uint32_t sent = 0;

	while (sent < FRAMES) {
		uint32_t rooms = end->calls[WIRE_ROOM], next = end->next;

		while (sent < FRAMES && wire_send(end, sent, payload, sent / 50 % 2 == 0 ? BYTES : 40))
			sent++;
		WIRE_UNTIL(wire, end->calls[WIRE_ROOM] > rooms || end->next > next || sent == FRAMES);
	}
	WIRE_UNTIL(wire, end->next == FRAMES && wire_completions(end) == FRAMES);
}

struct far_side {
	struct wire wire;
	const uint8_t *payload;
	int has_all; /* atomic */
};

static void *dial_from_another_thread(void *context)
{
	struct far_side *far = context;

	assert_int_equal(pccl_loop_create(&far->wire.loop), pcclSuccess);
	wire_dial(&far->wire);
	WIRE_UNTIL(&far->wire, far->wire.dialer.calls[WIRE_OPENED] == 1);
	exchange(&far->wire, &far->wire.dialer, far->payload);
	__atomic_store_n(&far->has_all, 1, __ATOMIC_SEQ_CST);
	WIRE_UNTIL(&far->wire, far->wire.dialer.calls[WIRE_BROKEN] == 1); /* the other side has all */
	wire_close(&far->wire.dialer, false);
	pccl_loop_destroy(far->wire.loop);
	return NULL;
}

/* Much more than fits, both ways at once: what wakes for one direction may have been looked for by the other. */
static void both_ways_at_once_never_stall(void **state)
{
	static struct wire wire;
	static struct far_side far;
	uint8_t *payload = wire_payload(BYTES, 0);
	pthread_t thread;

	(void)state;
	wire_listen(&wire, &paired);
	wire.acceptor.discard_below = FRAMES;
	memset(&far, 0, sizeof(far));
	far.payload = payload;
	far.wire.kind = &paired;
	far.wire.address = wire.address;
	far.wire.dialer.transport = &pccl_rdma;
	far.wire.dialer.discard_below = FRAMES;
	assert_int_equal(pthread_create(&thread, NULL, dial_from_another_thread, &far), 0);
	WIRE_UNTIL(&wire, wire.acceptor.stream != NULL && wire_is_up(&wire.acceptor));
	exchange(&wire, &wire.acceptor, payload);
	WIRE_UNTIL(&wire, __atomic_load_n(&far.has_all, __ATOMIC_SEQ_CST) != 0);
	wire_destroy(&wire);
	pthread_join(thread, NULL);
	free(payload);
}

/* ---- what fails ---------------------------------------------------------------------------------------------- */

static void what_can_not_be_made_is_done_without(void **state)
{
	long nth;

	(void)state;
	if (standin == NULL)
		skip();
	for (nth = 1; nth == 1 || *standin->failed; nth++) {
		standin->fail_at(nth);
		check_way(&pccl_rdma, &pccl_rdma, NULL);
		assert_int_equal(standin->left(), 0);
	}
	assert_true(nth > 10);
	standin->fail_at(0);
}

static void no_device_is_done_without(void **state)
{
	struct pccl_address local;
	struct pccl_pair *pair;

	(void)state;
	if (standin == NULL)
		skip();
	standin->rule(STANDIN_NO_ADDRESS, true);
	check_way(&pccl_rdma, &pccl_rdma, "tcp");
	assert_int_equal(pccl_address_numeric("127.0.0.1", 0, &local), pcclSuccess);
	assert_int_equal(pccl_pair_create(&local, 0, NULL, &pair), pcclSystemError);
	assert_non_null(strstr(pccl_fail_text(), "on InfiniBand"));
	assert_non_null(strstr(pccl_fail_text(), "PCCL_RDMA_DEVICE=standin1 names it"));
	standin->rule(STANDIN_NO_ADDRESS, false);
}

static void a_way_that_lets_nothing_through_is_done_without(void **state)
{
	(void)state;
	if (standin == NULL)
		skip();
	standin->rule(STANDIN_CUT, true);
	check_way(&pccl_rdma, &pccl_rdma, "tcp");
	standin->rule(STANDIN_CUT, false);
}

static void a_way_that_is_cut_breaks_the_stream(void **state)
{
	static struct wire wire;

	(void)state;
	if (standin == NULL)
		skip();
	wire_open(&wire, &paired);
	assert_true(wire_send(&wire.dialer, 0, NULL, 0));
	WIRE_UNTIL(&wire, wire.acceptor.next == 1);
	standin->rule(STANDIN_CUT, true);
	assert_true(wire_send(&wire.dialer, 1, NULL, 0));
	WIRE_UNTIL(&wire, wire.dialer.calls[WIRE_BROKEN] == 1);
	standin->rule(STANDIN_CUT, false);
	assert_int_equal(wire_completions(&wire.dialer), 2);
	assert_non_null(strstr(wire.dialer.reason, "lost"));
	WIRE_UNTIL(&wire, wire.acceptor.calls[WIRE_BROKEN] == 1); /* by the end of the connection */
	assert_int_equal(wire.acceptor.next, 1);
	wire_destroy(&wire);
}

/* ---- strangers ----------------------------------------------------------------------------------------------- */

/* Somebody's end of a connection to the wire's listener, with a pair of its own. */
struct stranger {
	struct wire *wire;
	int fd;
	struct pccl_pair *pair;
	struct pccl_address local;
};

static struct stranger come(struct wire *wire)
{
	struct stranger stranger = {.wire = wire, .fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)};

	wire_listen(wire, &paired);
	(void)connect(stranger.fd, (struct sockaddr *)&wire->address.storage, wire->address.bytes);
	stranger.local.bytes = sizeof(stranger.local.storage);
	assert_int_equal(getsockname(stranger.fd, (struct sockaddr *)&stranger.local.storage, &stranger.local.bytes),
			 0);
	assert_int_equal(pccl_pair_create(&stranger.local, 0, NULL, &stranger.pair), pcclSuccess);
	return stranger;
}

static void leave(struct stranger *stranger)
{
	close(stranger->fd);
	pccl_pair_destroy(stranger->pair);
	wire_destroy(stranger->wire);
}

static void say(struct stranger *stranger, enum pccl_terms_word word, const struct pccl_terms_end *end)
{
	uint8_t bytes[PCCL_TERMS_WORD_BYTES + PCCL_TERMS_END_BYTES];
	size_t count = PCCL_TERMS_WORD_BYTES;

	pccl_terms_encode_word(word, bytes);
	if (end != NULL) {
		pccl_terms_encode_end(end, bytes + count);
		count = sizeof(bytes);
	}
	assert_int_equal(send(stranger->fd, bytes, count, MSG_NOSIGNAL), count);
}

static enum pccl_terms_word hear(struct stranger *stranger, struct pccl_terms_end *end_out)
{
	uint8_t bytes[PCCL_TERMS_WORD_BYTES + PCCL_TERMS_END_BYTES];
	size_t count = end_out != NULL ? sizeof(bytes) : PCCL_TERMS_WORD_BYTES;
	enum pccl_terms_word word;

	WIRE_UNTIL(stranger->wire, recv(stranger->fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_PEEK) >= (ssize_t)count);
	assert_int_equal(recv(stranger->fd, bytes, count, 0), count);
	assert_true(pccl_terms_decode_word(bytes, &word));
	if (end_out != NULL)
		assert_true(pccl_terms_decode_end(bytes + PCCL_TERMS_WORD_BYTES, end_out));
	return word;
}

/* Up to where its own end is said. */
static struct pccl_terms_end offer(struct stranger *stranger)
{
	struct pccl_terms_end end;

	say(stranger, PCCL_TERMS_OFFER, NULL);
	assert_int_equal(hear(stranger, &end), PCCL_TERMS_TAKEN);
	return end;
}

static void join(struct stranger *stranger)
{
	struct pccl_terms_end end = offer(stranger);

	assert_int_equal(pccl_pair_join(stranger->pair, &end, &stranger->wire->address), pcclSuccess);
	pccl_pair_tell(stranger->pair, &end);
	say(stranger, PCCL_TERMS_JOINED, &end);
	assert_int_equal(hear(stranger, NULL), PCCL_TERMS_READY);
}

/* Else anybody could have packets sent to anybody. */
static void another_address_than_the_connections_is_declined(void **state)
{
	static struct wire wire;
	struct stranger stranger = come(&wire);
	struct pccl_terms_end end;

	(void)state;
	(void)offer(&stranger);
	pccl_pair_tell(stranger.pair, &end);
	end.gid[15] ^= 3;
	say(&stranger, PCCL_TERMS_JOINED, &end);
	assert_int_equal(hear(&stranger, NULL), PCCL_TERMS_DECLINED);
	leave(&stranger);
}

static void ends_that_make_no_sense_are_declined(void **state)
{
	static struct wire wire;
	struct stranger stranger = come(&wire);
	struct pccl_terms_end end;

	(void)state;
	(void)offer(&stranger);
	pccl_pair_tell(stranger.pair, &end);
	end.number = UINT32_MAX;
	say(&stranger, PCCL_TERMS_JOINED, &end);
	assert_int_equal(hear(&stranger, NULL), PCCL_TERMS_DECLINED);
	leave(&stranger);
	stranger = come(&wire);
	(void)offer(&stranger);
	pccl_pair_tell(stranger.pair, &end);
	end.ring_bytes--;
	say(&stranger, PCCL_TERMS_JOINED, &end);
	assert_int_equal(hear(&stranger, NULL), PCCL_TERMS_DECLINED);
	leave(&stranger);
}

static void words_at_the_wrong_time_break_the_stream(void **state)
{
	static const enum pccl_terms_word words[] = {PCCL_TERMS_DECLINED, PCCL_TERMS_READY};
	static struct wire wire;
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		struct stranger stranger = come(&wire);

		say(&stranger, words[i], NULL);
		WIRE_UNTIL(&wire, wire.acceptor.calls[WIRE_BROKEN] == 1);
		assert_non_null(strstr(wire.acceptor.reason, "no peer of this version"));
		leave(&stranger);
	}
}

/* What it says of bytes is as little to be trusted as the bytes. */
static void messages_that_make_no_sense_break_the_stream(void **state)
{
	static const uint32_t nonsense[] = {0, 0x7fffffff, 0x80000001, 0xc0000009};
	static struct wire wire;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(nonsense) / sizeof(*nonsense); i++) {
		struct stranger stranger = come(&wire);

		join(&stranger);
		assert_true(pccl_pair_send(stranger.pair, 0, 0, nonsense[i]));
		WIRE_UNTIL(&wire, wire.acceptor.calls[WIRE_BROKEN] == 1);
		assert_int_equal(wire.acceptor.calls[WIRE_HEADER], 0);
		leave(&stranger);
	}
}

/* A frame lies in the ring, and bytes are told that were not written: none, or fewer. */
static void bytes_that_were_not_written_break_the_stream(void **state)
{
	const struct pccl_frame frame = {.type = PCCL_FRAME_PARTIAL};
	static struct wire wire;
	size_t written;

	(void)state;
	for (written = 0; written < 2; written++) {
		struct stranger stranger = come(&wire);

		wire.acceptor.verdict = PCCL_FRAME_DISCARD;
		join(&stranger);
		pccl_frame_encode(&frame, pccl_pair_out(stranger.pair));
		assert_true(pccl_pair_send(stranger.pair, 0, PCCL_FRAME_BYTES, PCCL_FLOW_PROBE));
		assert_true(pccl_pair_send(stranger.pair, 0, written, PCCL_FRAME_BYTES));
		WIRE_UNTIL(&wire, wire.acceptor.calls[WIRE_BROKEN] == 1 || wire.acceptor.calls[WIRE_HEADER] == 1);
		assert_int_equal(wire.acceptor.calls[WIRE_HEADER], 0);
		leave(&stranger);
	}
}

/* More than it may, as fast as it can: it gets no more than a ring of memory. */
static void who_writes_more_than_it_may_is_cut_off(void **state)
{
	static struct wire wire;
	struct stranger stranger = come(&wire);
	uint32_t i;

	(void)state;
	wire.acceptor.verdict = PCCL_FRAME_HOLD;
	join(&stranger);
	for (i = 0; i < PCCL_FLOW_RING_BYTES / PCCL_FLOW_PIECE_BYTES + 1; i++)
		assert_true(pccl_pair_send(stranger.pair, 0, PCCL_FLOW_PIECE_BYTES, PCCL_FLOW_PIECE_BYTES));
	WIRE_UNTIL(&wire, wire.acceptor.calls[WIRE_BROKEN] == 1);
	leave(&stranger);
}

/* As a kernel does; a device would not. */
static void what_was_written_before_a_close_arrives(void **state)
{
	static struct wire wire;
	uint8_t *payload = wire_payload(PCCL_FLOW_RING_BYTES / 2, 0);

	(void)state;
	wire_open(&wire, &paired);
	assert_true(wire_send(&wire.dialer, 0, payload, PCCL_FLOW_RING_BYTES / 2));
	while (wire_completions(&wire.dialer) == 0)
		pccl_loop_turn(wire.loop, 0);
	wire_close(&wire.dialer, false);
	WIRE_UNTIL(&wire, wire.acceptor.calls[WIRE_BROKEN] == 1);
	assert_int_equal(wire.acceptor.next, 1);
	wire_destroy(&wire);
	free(payload);
}

/* A process that is killed takes nothing back of what its device has sent. */
static void what_was_written_before_the_end_is_read(void **state)
{
	static struct wire wire;
	struct stranger stranger = come(&wire);
	const struct pccl_frame frame = {.type = PCCL_FRAME_PARTIAL};
	size_t i;

	(void)state;
	wire.acceptor.verdict = PCCL_FRAME_DISCARD;
	join(&stranger);
	for (i = 0; i < 10; i++) {
		pccl_frame_encode(&frame, pccl_pair_out(stranger.pair) + i * PCCL_FRAME_BYTES);
		assert_true(pccl_pair_send(stranger.pair, i * PCCL_FRAME_BYTES, PCCL_FRAME_BYTES, PCCL_FRAME_BYTES));
	}
	while (!pccl_pair_all_acked(stranger.pair))
		assert_true(pccl_pair_note_sent(stranger.pair));
	close(stranger.fd);
	stranger.fd = -1;
	WIRE_UNTIL(&wire, wire.acceptor.calls[WIRE_BROKEN] == 1);
	assert_int_equal(wire.acceptor.calls[WIRE_HEADER], 10);
	leave(&stranger);
}

/* Last words and the end, in the moment of one look that finds nothing. */
struct last_words {
	struct stranger stranger;
	uint32_t looks; /* until then */
};

static void say_last_words(void *context)
{
	struct last_words *last = context;
	const struct pccl_frame frame = {.type = PCCL_FRAME_PARTIAL};

	if (last->looks == 0 || --last->looks > 0)
		return;
	standin->watch(NULL, NULL);
	pccl_frame_encode(&frame, pccl_pair_out(last->stranger.pair));
	assert_true(pccl_pair_send(last->stranger.pair, 0, PCCL_FRAME_BYTES, PCCL_FRAME_BYTES));
	while (!pccl_pair_all_acked(last->stranger.pair))
		assert_true(pccl_pair_note_sent(last->stranger.pair));
	close(last->stranger.fd);
	last->stranger.fd = -1;
}

#define ONE_HEARD 0x80100000u

/* Whoever has filled the other side's ring looks for room, and for the end: whichever look finds nothing. */
static void last_words_are_heard_whenever_they_come(void **state)
{
	static uint8_t payload[PCCL_FLOW_RING_BYTES];
	static struct wire wire;
	bool is_early = true;
	uint32_t looks;
	long carried;

	(void)state;
	if (standin == NULL)
		skip();
	for (looks = 1; is_early; looks++) {
		struct last_words last = {come(&wire), looks};

		wire.acceptor.verdict = PCCL_FRAME_DISCARD;
		join(&last.stranger);
		WIRE_UNTIL(&wire, wire_is_up(&wire.acceptor));
		assert_true(wire_send(&wire.acceptor, 0, payload, sizeof(payload)));
		wire_settle(&wire);
		carried = standin->carried();
		assert_true(pccl_pair_send(last.stranger.pair, 0, 0, ONE_HEARD)); /* a slot, and no room for bytes */
		while (standin->carried() == carried)
			sched_yield();
		standin->watch(say_last_words, &last);
		wire_settle(&wire);
		is_early = last.looks == 0;
		if (is_early)
			WIRE_UNTIL(&wire, wire.acceptor.calls[WIRE_BROKEN] == 1);
		standin->watch(NULL, NULL);
		assert_int_equal(wire.acceptor.calls[WIRE_HEADER], is_early);
		leave(&last.stranger);
	}
	assert_true(looks > 4);
}

/* What has come is heard, and nothing else. */
static void a_receive_that_can_not_be_posted_breaks_the_pair(void **state)
{
	struct pccl_terms_end ends[2];
	struct pccl_address local;
	struct pccl_pair *pairs[2];
	uint32_t said[4] = {77, 77, 77, 77};
	int i;

	(void)state;
	if (standin == NULL)
		skip();
	assert_int_equal(pccl_address_numeric("127.0.0.1", 0, &local), pcclSuccess);
	for (i = 0; i < 2; i++) {
		assert_int_equal(pccl_pair_create(&local, 0, NULL, &pairs[i]), pcclSuccess);
		pccl_pair_tell(pairs[i], &ends[i]);
	}
	for (i = 0; i < 2; i++)
		assert_int_equal(pccl_pair_join(pairs[i], &ends[!i], &local), pcclSuccess);
	for (i = 0; i < 3; i++)
		assert_true(pccl_pair_send(pairs[0], 0, 0, 0x80000001 + (uint32_t)i));
	while (!pccl_pair_all_acked(pairs[0]))
		assert_true(pccl_pair_note_sent(pairs[0]));
	standin->rule(STANDIN_NO_RECEIVES, true);
	assert_int_equal(pccl_pair_hear(pairs[1], said, 4), 3);
	standin->rule(STANDIN_NO_RECEIVES, false);
	for (i = 0; i < 3; i++)
		assert_int_equal(said[i], 0x80000001 + (uint32_t)i);
	assert_non_null(strstr(pccl_pair_failure(pairs[1]), "receives"));
	for (i = 0; i < 2; i++)
		pccl_pair_destroy(pairs[i]);
}

static void bytes_on_the_connection_break_the_stream(void **state)
{
	static struct wire wire;
	struct stranger stranger = come(&wire);

	(void)state;
	join(&stranger);
	wire_settle(&wire);
	assert_int_equal(send(stranger.fd, "bytes", 5, MSG_NOSIGNAL), 5);
	WIRE_UNTIL(&wire, wire.acceptor.calls[WIRE_BROKEN] == 1);
	leave(&stranger);
}

int main(void)
{
	const char *is_short = getenv("PCCL_TEST_SHORT");
	const struct CMUnitTest suite[] = {SUITE_TESTS};
	const struct CMUnitTest own[] = {
		cmocka_unit_test(both_have_to_want_it),
		cmocka_unit_test(both_ways_at_once_never_stall),
		cmocka_unit_test(what_can_not_be_made_is_done_without),
		cmocka_unit_test(no_device_is_done_without),
		cmocka_unit_test(a_way_that_lets_nothing_through_is_done_without),
		cmocka_unit_test(a_way_that_is_cut_breaks_the_stream),
		cmocka_unit_test(another_address_than_the_connections_is_declined),
		cmocka_unit_test(ends_that_make_no_sense_are_declined),
		cmocka_unit_test(words_at_the_wrong_time_break_the_stream),
		cmocka_unit_test(messages_that_make_no_sense_break_the_stream),
		cmocka_unit_test(bytes_that_were_not_written_break_the_stream),
		cmocka_unit_test(who_writes_more_than_it_may_is_cut_off),
		cmocka_unit_test(what_was_written_before_a_close_arrives),
		cmocka_unit_test(what_was_written_before_the_end_is_read),
		cmocka_unit_test(last_words_are_heard_whenever_they_come),
		cmocka_unit_test(a_receive_that_can_not_be_posted_breaks_the_pair),
		cmocka_unit_test(bytes_on_the_connection_break_the_stream),
	};
	int failed;

	pccl_avoid_nobody(true);
	paired.host = declining.host = rdma_suite_begin();
	failed = cmocka_run_group_tests_name("RDMA", suite, use_paired, nothing_is_left);
	if (is_short != NULL && is_short[0] != '\0')
		return failed;
	failed += cmocka_run_group_tests_name("RDMA declined", suite, use_declining, nothing_is_left);
	failed += cmocka_run_group_tests_name("RDMA and strangers", own, NULL, nothing_is_left);
	return failed;
}
