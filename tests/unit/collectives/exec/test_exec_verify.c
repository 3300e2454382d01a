/* Results that members compare before an op ends: what CHECK must be, and members that send others something else. */
#include <pccl.h>
#include <stdio.h>
#include <string.h>

#include "lib/check.h"
#include "lib/exec_desk.h"
#include "lib/exec_world.h"

/* ---- by hand ----------------------------------------------------------------------------------------------------- */

/* An all-reduce in which everybody adds for itself; rank 0 of three holds its result and tells the others so. */
static void open_verified(struct desk *desk, uint8_t checks[2][RANKS][PCCL_CHECK_BYTES])
{
	struct pccl_frame_send send;
	struct pccl_frame frame;
	float data[100] = {0};
	uint32_t rank, part, partials, results, dones;

	open_desk(desk, pcclPlanOneshot, 100);
	desk->launch.signature.verify = 1;
	learn_start(desk);
	desk->start[5] |= 0x80;
	launch(desk);
	for (rank = 1; rank < RANKS; rank++) {
		take_all(desk, rank, &partials, &results, &dones);
		deliver_start(desk, rank, 0);
		frame = partial(desk, 0);
		assert_int_equal(deliver(desk, rank, &frame, data), PCCL_FRAME_TAKE);
	}
	for (rank = 1; rank < RANKS; rank++) {
		for (part = 0; part < RANKS; part++) {
			assert_true(pccl_exec_next(desk->exec, rank, &send));
			assert_int_equal(send.frame.type, PCCL_FRAME_CHECK);
			assert_int_equal(send.frame.segment, part);
			assert_null(send.cookie);
			memcpy(checks[rank - 1][part], send.payload, PCCL_CHECK_BYTES);
		}
		assert_false(pccl_exec_wants(desk->exec, rank)); /* it is not done yet */
	}
}

static struct pccl_frame check_of(uint32_t part)
{
	struct pccl_frame frame = make_frame(PCCL_FRAME_CHECK, PCCL_CHECK_BYTES);

	frame.segment = part;
	return frame;
}

static void done_waits_for_equal_digests_of_all(void **state)
{
	uint8_t checks[2][RANKS][PCCL_CHECK_BYTES];
	struct pccl_frame frame, done = make_frame(PCCL_FRAME_DONE, 0);
	struct pccl_exec_outcome outcome;
	struct pccl_frame_send send;
	struct desk desk;
	uint32_t rank, part;

	(void)state;
	open_verified(&desk, checks);
	for (rank = 1; rank < RANKS; rank++) {
		for (part = 0; part < RANKS; part++) {
			assert_false(pccl_exec_wants(desk.exec, 1));
			frame = check_of(part);
			assert_int_equal(deliver(&desk, rank, &frame, checks[0][part]), PCCL_FRAME_TAKE);
			assert_rejected(&desk, rank, &frame, "a digest of a result that can't be");
		}
	}
	for (rank = 1; rank < RANKS; rank++) {
		assert_true(pccl_exec_next(desk.exec, rank, &send));
		assert_int_equal(send.frame.type, PCCL_FRAME_DONE);
		assert_int_equal(deliver(&desk, rank, &done, NULL), PCCL_FRAME_TAKE);
	}
	assert_true(pccl_exec_poll(desk.exec, &outcome));
	assert_int_equal(outcome.result, pcclSuccess);
	assert_int_equal(offer(&desk, 1, &frame), PCCL_FRAME_DISCARD);
	close_desk(&desk);
}

static void another_digest_ends_the_op_everywhere(void **state)
{
	uint8_t checks[2][RANKS][PCCL_CHECK_BYTES];
	struct pccl_frame frame = check_of(0);
	struct pccl_exec_outcome outcome;
	struct pccl_frame_send send;
	struct desk desk;
	pcclResult_t result;
	uint32_t rank;

	(void)state;
	open_verified(&desk, checks);
	checks[0][0][15] ^= 1;
	assert_int_equal(deliver(&desk, 2, &frame, checks[0][0]), PCCL_FRAME_TAKE);
	assert_ptr_equal(pccl_exec_ending(desk.exec, &result), &desk);
	assert_int_equal(result, pcclResultsDiffer);
	assert_true(pccl_exec_poll(desk.exec, &outcome));
	assert_int_equal(outcome.result, pcclResultsDiffer);
	assert_non_null(strstr(outcome.detail, "results of tag 70 differ between rank 2 and this peer"));
	for (rank = 1; rank < RANKS; rank++) {
		assert_true(pccl_exec_next(desk.exec, rank, &send));
		assert_int_equal(send.frame.type, PCCL_FRAME_REFUSE);
		assert_int_equal(send.frame.flags, PCCL_REFUSAL_DIGEST);
		assert_int_equal(send.frame.segment, 2);
		assert_int_equal(send.frame.aux, UINT32_MAX);
	}
	close_desk(&desk);
}

static void malformed_digests_are_rejected(void **state)
{
	uint8_t checks[2][RANKS][PCCL_CHECK_BYTES];
	struct pccl_frame frame = check_of(RANKS);
	struct desk desk;

	(void)state;
	open_verified(&desk, checks);
	assert_rejected(&desk, 1, &frame, "can't be");
	frame.segment = UINT32_MAX;
	assert_rejected(&desk, 1, &frame, "can't be");
	frame = check_of(0);
	frame.aux = 1;
	assert_rejected(&desk, 1, &frame, "a malformed digest");
	frame = check_of(0);
	frame.payload_bytes = 17;
	assert_rejected(&desk, 1, &frame, "a malformed digest");
	frame = check_of(0);
	frame.flags = 1;
	assert_rejected(&desk, 1, &frame, "unknown flags");
	close_desk(&desk);
	/* Nor where nobody asked for them, or before this side has started. */
	open_desk(&desk, pcclPlanOneshot, 100);
	launch(&desk);
	frame = check_of(0);
	assert_rejected(&desk, 1, &frame, "can't be");
	close_desk(&desk);
	open_desk(&desk, pcclPlanOneshot, 100);
	desk.launch.signature.verify = 1;
	launch(&desk);
	assert_rejected(&desk, 1, &frame, "can't be");
	close_desk(&desk);
}

static void who_verifies_and_who_does_not_are_told_apart(void **state)
{
	struct pccl_frame frame = make_frame(PCCL_FRAME_START, START_BYTES);
	struct pccl_exec_outcome outcome;
	struct desk desk;

	(void)state;
	open_desk(&desk, pcclPlanOneshot, 100);
	desk.launch.signature.verify = 1;
	learn_start(&desk);
	launch(&desk);
	assert_int_equal(deliver(&desk, 1, &frame, desk.start), PCCL_FRAME_TAKE);
	assert_true(pccl_exec_poll(desk.exec, &outcome));
	assert_int_equal(outcome.result, pcclMismatch);
	assert_non_null(
		strstr(outcome.detail, "this peer as all-reduce of 100 float32 (sum, oneshot, abort, verified)"));
	close_desk(&desk);
}

static void what_others_found_is_told(void **state)
{
	uint8_t checks[2][RANKS][PCCL_CHECK_BYTES];
	struct pccl_frame frame = make_frame(PCCL_FRAME_REFUSE, 0);
	struct pccl_exec_outcome outcome;
	struct desk desk;

	(void)state;
	open_verified(&desk, checks);
	frame.flags = PCCL_REFUSAL_DIGEST;
	frame.segment = 0xfffffffe;
	frame.aux = 1;
	assert_int_equal(deliver(&desk, 2, &frame, NULL), PCCL_FRAME_TAKE);
	assert_true(pccl_exec_poll(desk.exec, &outcome));
	assert_int_equal(outcome.result, pcclResultsDiffer);
	assert_non_null(
		strstr(outcome.detail, "rank 2 says: results of tag 70 differ: rank 1 has sent rank 4294967294"));
	close_desk(&desk);
}

/* ---- worlds in which one lies ------------------------------------------------------------------------------------ */

/* Everybody notices, whoever else is lied to or passes it on; `named`: and all honest ones name the liar. */
static void expect_found_out(const struct world_config *config, const struct world_spec *spec, bool named)
{
	struct world *world = world_create(config);
	uint32_t peer;
	char liar[16];

	snprintf(liar, sizeof(liar), "rank %u ", config->liar - 1);
	world_add(world, 0, spec);
	world_run(world);
	world_check_failure(world, 0, pcclResultsDiffer);
	for (peer = 0; peer < config->peers && named; peer++)
		if (peer != config->liar - 1 && strstr(world_call(world, peer, 0)->detail, liar) == NULL)
			fail_msg("peer %u of kind %d, liar %s: %s", peer, (int)spec->kind, liar,
				 world_call(world, peer, 0)->detail);
	world_destroy(world);
}

static void a_liar_is_noticed_by_all(void **state)
{
	struct world_spec spec = {.datatype = pcclFloat, .verifies = true, .in_place = true, .tag = 3};
	uint64_t seed;

	(void)state;
	for (seed = 1; seed <= 60; seed++) {
		struct world_config config = {.seed = seed, .streams = 2, .frames_max = 3};
		uint32_t peers = config.peers = 2 + (uint32_t)(seed % 5);

		config.lanes = 1 + (uint32_t)(seed % 2);
		config.liar = 1 + (uint32_t)(seed / 3 % peers);
		config.victim = config.liar % peers;
		spec.in_place = seed % 2 == 0;
		spec.count = seed % 7 == 0 ? 50000 : 3000 * peers;
		spec.kind = PCCL_ALL_REDUCE;
		spec.algorithm = pcclPlanDirect;
		expect_found_out(&config, &spec, spec.count > 20000);
		spec.algorithm = pcclPlanRing; /* the next one gets results from here, whoever made them */
		expect_found_out(&config, &spec, false);
		spec.kind = PCCL_ALL_GATHER;
		spec.algorithm = pcclPlanDirect;
		expect_found_out(&config, &spec, peers > 1);
		spec.kind = PCCL_BROADCAST;
		spec.algorithm = pcclPlanOneshot;
		spec.root = config.liar - 1;
		expect_found_out(&config, &spec, false);
	}
}

/* More ranks than digests: a part has shards of several. */
static void many_ranks_share_parts(void **state)
{
	struct world_config config = {.seed = 5, .peers = 64, .lanes = 1, .streams = 1, .frames_max = 3};
	struct world_spec spec = {.kind = PCCL_ALL_GATHER, .algorithm = pcclPlanDirect, .datatype = pcclUint8};
	struct world *world;

	(void)state;
	spec.verifies = true;
	spec.count = 10;
	world = world_create(&config);
	world_add(world, 0, &spec);
	world_run(world);
	world_check_success(world, 0);
	world_destroy(world);
	config.liar = 7;
	config.victim = 60;
	expect_found_out(&config, &spec, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(done_waits_for_equal_digests_of_all),
		cmocka_unit_test(another_digest_ends_the_op_everywhere),
		cmocka_unit_test(malformed_digests_are_rejected),
		cmocka_unit_test(who_verifies_and_who_does_not_are_told_apart),
		cmocka_unit_test(what_others_found_is_told),
		cmocka_unit_test_teardown(a_liar_is_noticed_by_all, world_teardown),
		cmocka_unit_test_teardown(many_ranks_share_parts, world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
