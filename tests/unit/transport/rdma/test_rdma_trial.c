/* What a trial of a pair of queues is for: ways that are closed, to all or to large packets, are found out in time, and
 * a link goes on over TCP. Over the stand-in for libibverbs. */
#include "transport/rdma/rdma.h"

#define ROPE_WIRE pccl_rdma
#include "unit/transport/rope.h"

#include "lib/device.h"
#include "transport/rdma/avoid.h"

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
	WIRE_UNTIL(&wire, pccl_clock_ns() > begin_ns + UINT64_C(700000000));
	wire_destroy(&wire);
	check_way("tcp");
	standin->rule(STANDIN_HELD, false);
	check_way("tcp");
	pccl_avoid_nobody(false); /* a minute later */
	check_way("rdma");
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
	struct pccl_link_heard heard;
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
	while (pccl_clock_ns() < end_ns) { /* as a lane does */
		pccl_loop_turn(rope.loop, pccl_clock_ns() + 20000000);
		pccl_link_heard(rope.dialer.link, &heard);
	}
	assert_int_equal(rope.dialer.acked_count, 10);
	pccl_link_renew(rope.dialer.link, pccl_clock_ns() + UINT64_C(1800000000));
	ROPE_UNTIL(&rope, rope.dialer.acked_count == 30 || rope.dialer.lost_count > 0);
	assert_int_equal(rope.dialer.lost_count, 0);
	check_link(&rope.dialer, "(tcp");
	rope_check(&rope.dialer, &rope.waiter);
	standin->rule(STANDIN_HELD, false);
	rope_close(&rope);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_way_that_lets_small_packets_through_only_is_done_without, forget_all),
		cmocka_unit_test_setup(a_trial_that_was_cut_short_is_not_repeated, forget_all),
		cmocka_unit_test_setup(a_way_that_broke_is_not_tried_again, forget_all),
		cmocka_unit_test_setup(an_end_is_no_break, forget_all),
		cmocka_unit_test_setup(a_link_whose_way_is_closed_goes_on_over_tcp, forget_all),
	};

	standin = check_standin_verbs();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
