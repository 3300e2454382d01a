/* Members that find out together whether their states are the same: all come to the same end, which names the place. */
#include "sync/state/drift.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/allocations.h"
#include "lib/check.h"

enum { PEERS_MAX = 12, TENSORS = 4, LONG = 3 * (1 << 20) / 4 + 9 };

struct member {
	float large[LONG];
	uint16_t halves[5];
	uint8_t loose[7];
	pcclTensorInfo_t infos[TENSORS];
	pcclSharedState_t state;
	struct pccl_inventory *inventory;
	struct pccl_drift *drift;
};

static struct member *members[PEERS_MAX];

static void digest(struct member *member)
{
	uint32_t chunk;

	for (chunk = 0; chunk < member->inventory->chunk_count; chunk++)
		pccl_inventory_digest_chunk(member->inventory, chunk);
}

static void make(uint32_t index)
{
	struct member *member = calloc(1, sizeof(*member));
	const pcclTensorInfo_t infos[TENSORS] = {{"loose", member->loose, 7, pcclUint8, pcclDeviceCpu, true},
						 {"large", member->large, LONG, pcclFloat, pcclDeviceCpu, false},
						 {"none", NULL, 0, pcclDouble, pcclDeviceCpu, false},
						 {"halves", member->halves, 5, pcclFloat16, pcclDeviceCpu, false}};
	size_t at;

	for (at = 0; at < LONG; at++)
		member->large[at] = (float)at;
	member->loose[0] = (uint8_t)index;
	memcpy(member->infos, infos, sizeof(infos));
	member->state = (pcclSharedState_t){0, TENSORS, member->infos};
	members[index] = member;
}

static enum pccl_digest_kind digest_kind; /* all tests run with each */

static void ready(uint32_t count)
{
	uint32_t index;

	for (index = 0; index < count; index++) {
		struct member *member = members[index];
		pcclRankUuid_t uuid = {{(uint8_t)(index + 1)}};

		assert_int_equal(pccl_inventory_create(&member->state, &member->inventory), pcclSuccess);
		member->inventory->digest_kind = digest_kind;
		digest(member);
		assert_int_equal(pccl_drift_create(member->inventory, &uuid, PEERS_MAX, &member->drift), pcclSuccess);
	}
}

static void drop(uint32_t count)
{
	uint32_t index;

	for (index = 0; index < count; index++) {
		pccl_drift_destroy(members[index]->drift);
		pccl_inventory_destroy(members[index]->inventory);
		free(members[index]);
		members[index] = NULL;
	}
}

/* All have the same step. */
static enum pccl_drift_step step_of(uint32_t count)
{
	enum pccl_drift_step step = pccl_drift_next(members[0]->drift)->step;
	uint32_t index;

	for (index = 1; index < count; index++)
		assert_int_equal(pccl_drift_next(members[index]->drift)->step, step);
	return step;
}

/* One of them finds no memory for what comes next; `count`: all do. */
static void gather_short_of_memory(uint32_t count, uint32_t short_of_it)
{
	size_t bytes = pccl_drift_next(members[0]->drift)->bytes;
	uint32_t index, rank;

	for (index = 0; index < count; index++) {
		const struct pccl_drift_action *action = pccl_drift_next(members[index]->drift);

		assert_int_equal(action->bytes, bytes);
		assert_true(action->ranks >= count);
		for (rank = 0; rank < count; rank++)
			memcpy((uint8_t *)action->output + rank * bytes, pccl_drift_next(members[rank]->drift)->input,
			       bytes);
	}
	for (index = 0; index < count; index++) {
		check_fail_allocation(index == short_of_it ? 1 : 0);
		pccl_drift_gathered(members[index]->drift, pcclSuccess, "", count);
	}
	check_fail_allocation(0);
}

static void gather(uint32_t count)
{
	gather_short_of_memory(count, count);
}

static void read_chunks(uint32_t count)
{
	uint32_t index;

	for (index = 0; index < count; index++) {
		const struct pccl_drift_action *action = pccl_drift_next(members[index]->drift);
		size_t bytes;

		memcpy(action->room, pccl_inventory_place(members[index]->inventory, action->chunk, &bytes),
		       action->bytes);
		assert_int_equal(bytes, action->bytes);
		pccl_drift_read(members[index]->drift, pcclSuccess, "");
	}
}

/* Returns the gatherings that it took. */
static unsigned run(uint32_t count)
{
	enum pccl_drift_step step;
	unsigned rounds = 0;

	while ((step = step_of(count)) != PCCL_DRIFT_END) {
		if (step == PCCL_DRIFT_GATHER)
			gather(count);
		else
			read_chunks(count);
		rounds += step == PCCL_DRIFT_GATHER;
		assert_true(rounds < 10);
	}
	return rounds;
}

/* The same at all. */
static const struct pccl_drift_result *result_of(uint32_t count)
{
	const struct pccl_drift_result *first = pccl_drift_result(members[0]->drift);
	uint32_t index;

	for (index = 1; index < count; index++) {
		const struct pccl_drift_result *other = pccl_drift_result(members[index]->drift);

		assert_int_equal(other->result, first->result);
		assert_string_equal(other->text, first->text);
		assert_int_equal(other->odd_rank, first->odd_rank);
	}
	return first;
}

static void make_all(uint32_t count)
{
	uint32_t index;

	for (index = 0; index < count; index++)
		make(index);
}

static void the_same_states_are_told_in_one_round(void **state)
{
	(void)state;
	make_all(5);
	ready(5);
	assert_int_equal(run(5), 1);
	assert_int_equal(result_of(5)->result, pcclSuccess);
	drop(5);
}

static void one_element_is_found(void **state)
{
	const struct pccl_drift_result *found;

	(void)state;
	make_all(4);
	members[2]->large[600000] = -1;
	members[2]->large[700000] = -1;
	ready(4);
	assert_int_equal(run(4), 4);
	found = result_of(4);
	assert_int_equal(found->result, pcclMismatch);
	assert_true(found->located);
	assert_int_equal(found->tensor, 1);
	assert_int_equal(found->chunk, 2);
	assert_int_equal(found->element, 600000);
	assert_int_equal(found->odd_count, 1);
	assert_int_equal(found->odd_rank, 2);
	assert_int_equal(found->odd_uuid.data[0], 3);
	assert_string_equal(found->text, "tensor 'large' has drifted at rank 2: the first difference is in chunk 2, "
					 "element 600000: 0xbf800000 at rank 2, 0x49127c00 at rank 0");
	drop(4);
}

static void the_first_tensor_by_name_is_named_and_all_who_are_odd(void **state)
{
	const struct pccl_drift_result *found;
	uint32_t index;

	(void)state;
	make_all(12);
	members[1]->large[0] = 9;
	for (index = 0; index < 5; index++)
		members[index]->halves[4] = (uint16_t)(7 + index);
	ready(12);
	assert_int_equal(run(12), 4);
	found = result_of(12);
	assert_int_equal(found->tensor, 3); /* where the caller has it */
	assert_int_equal(found->element, 4);
	assert_int_equal(found->odd_count, 5);
	assert_non_null(strstr(found->text, "'halves' has drifted at ranks 0, 1, 2, 3, 4:"));
	assert_non_null(strstr(found->text, "0x0007 at rank 0, 0x0000 at rank 5"));
	drop(12);
}

static void of_two_the_lower_rank_is_taken_for_right(void **state)
{
	(void)state;
	make_all(2);
	members[0]->halves[0] = 1;
	ready(2);
	(void)run(2);
	assert_int_equal(result_of(2)->odd_rank, 1);
	drop(2);
}

static void other_lists_of_tensors_are_told(void **state)
{
	const struct pccl_drift_result *found;

	(void)state;
	make_all(3);
	members[1]->infos[3].count = 4;
	ready(3);
	assert_int_equal(run(3), 1);
	found = result_of(3);
	assert_int_equal(found->result, pcclMismatch);
	assert_false(found->located);
	assert_int_equal(found->odd_rank, 1);
	assert_non_null(strstr(found->text, "rank 1: other tensors than rank 0"));
	drop(3);
}

/* Every round may be the one in which members are lost: the others begin again, or are fewer in the next. */
static void a_loss_in_any_round_begins_it_again(void **state)
{
	unsigned lost_in, silent;
	uint32_t index;

	(void)state;
	for (lost_in = 0; lost_in < 4; lost_in++) {
		for (silent = 0; silent < 2; silent++) {
			unsigned rounds = 0;

			make_all(5);
			members[1]->large[5] = 0;
			ready(5);
			while (rounds < lost_in) {
				if (step_of(5) == PCCL_DRIFT_READ) {
					read_chunks(5);
					continue;
				}
				gather(5);
				rounds++;
			}
			if (step_of(5) == PCCL_DRIFT_READ)
				read_chunks(5);
			for (index = 0; silent == 0 && index < 5; index++)
				pccl_drift_gathered(members[index]->drift, pcclRankConnectionLost, "lost", 0);
			assert_true(run(3) >= 4);
			assert_int_equal(result_of(3)->element, 5);
			drop(5);
		}
	}
}

/* A hash that was kept although the tensor had changed: the bytes are compared as they are. */
static void digests_that_lie_are_told_from_a_drift(void **state)
{
	(void)state;
	make_all(3);
	members[1]->large[5] = -5;
	ready(3);
	members[1]->large[5] = 5;
	assert_int_equal(run(3), 4);
	assert_int_equal(result_of(3)->result, pcclMismatch);
	assert_non_null(strstr(result_of(3)->text, "not told"));
	drop(3);
}

static void other_ends_are_handed_on(void **state)
{
	(void)state;
	make_all(1);
	ready(1);
	pccl_drift_gathered(members[0]->drift, pcclTooFewPeers, "", 0);
	assert_int_equal(result_of(1)->result, pcclSuccess);
	drop(1);
	make_all(1);
	ready(1);
	pccl_drift_gathered(members[0]->drift, pcclTimeout, "late", 0);
	assert_int_equal(result_of(1)->result, pcclTimeout);
	assert_string_equal(result_of(1)->text, "late");
	drop(1);
}

/* Who can't read its chunk does not leave the others waiting. */
static void a_chunk_that_cannot_be_read_ends_its_own_call(void **state)
{
	uint32_t index;

	(void)state;
	make_all(3);
	members[2]->halves[1] = 1;
	ready(3);
	while (step_of(3) == PCCL_DRIFT_GATHER)
		gather(3);
	for (index = 0; index < 2; index++) {
		const struct pccl_drift_action *action = pccl_drift_next(members[index]->drift);
		size_t bytes;

		memcpy(action->room, pccl_inventory_place(members[index]->inventory, action->chunk, &bytes),
		       action->bytes);
		pccl_drift_read(members[index]->drift, pcclSuccess, "");
	}
	pccl_drift_read(members[2]->drift, pcclSystemError, "the device is gone");
	gather(3);
	assert_int_equal(pccl_drift_result(members[2]->drift)->result, pcclSystemError);
	assert_string_equal(pccl_drift_result(members[2]->drift)->text, "the device is gone");
	assert_int_equal(pccl_drift_result(members[0]->drift)->result, pcclMismatch);
	drop(3);
}

/* In whichever round: the others go on gathering, which the joint time-out ends. */
static void who_runs_out_of_memory_in_a_later_round_ends_and_the_others_can(void **state)
{
	unsigned round, rounds;
	uint32_t index;

	(void)state;
	for (round = 0; round < 3; round++) {
		make_all(3);
		members[1]->large[5] = 0;
		ready(3);
		for (rounds = 0; rounds < round; rounds++) {
			assert_int_equal(step_of(3), PCCL_DRIFT_GATHER);
			gather(3);
		}
		if (step_of(3) == PCCL_DRIFT_READ)
			read_chunks(3);
		gather_short_of_memory(3, 2);
		assert_int_equal(pccl_drift_result(members[2]->drift)->result, pcclOutOfMemory);
		for (index = 0; index < 2; index++) {
			struct pccl_drift *drift = members[index]->drift;

			if (pccl_drift_next(drift)->step == PCCL_DRIFT_READ)
				pccl_drift_read(drift, pcclSuccess, "");
			assert_int_equal(pccl_drift_next(drift)->step, PCCL_DRIFT_GATHER);
			pccl_drift_gathered(drift, pcclTimeout, "late", 0);
			assert_int_equal(pccl_drift_result(drift)->result, pcclTimeout);
			assert_string_equal(pccl_drift_result(drift)->text, "late");
		}
		drop(3);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_states_are_told_in_one_round),
		cmocka_unit_test(one_element_is_found),
		cmocka_unit_test(the_first_tensor_by_name_is_named_and_all_who_are_odd),
		cmocka_unit_test(of_two_the_lower_rank_is_taken_for_right),
		cmocka_unit_test(other_lists_of_tensors_are_told),
		cmocka_unit_test(a_loss_in_any_round_begins_it_again),
		cmocka_unit_test(digests_that_lie_are_told_from_a_drift),
		cmocka_unit_test(other_ends_are_handed_on),
		cmocka_unit_test(a_chunk_that_cannot_be_read_ends_its_own_call),
		cmocka_unit_test(who_runs_out_of_memory_in_a_later_round_ends_and_the_others_can),
	};

	if (cmocka_run_group_tests(tests, NULL, NULL) != 0)
		return 1;
	digest_kind = PCCL_DIGEST_STRONG;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
