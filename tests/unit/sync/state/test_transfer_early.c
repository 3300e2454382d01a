/* What a newcomer fetches without knowing what is right: it takes what comes, and ends when nothing comes any more. */
#include <string.h>

#include "lib/check.h"
#include "sync/state/transfer.h"

enum { BYTES = (3 << 20) + 5, CHUNKS = 4, SOURCES = 2, TAG = 7 };

struct side {
	uint8_t data[BYTES];
	pcclTensorInfo_t info;
	pcclSharedState_t state;
	struct pccl_inventory *inventory;
	struct pccl_transfer *transfer;
};

/* Sources, and last the newcomer, for whom source i is rank i; for them it is rank 0. */
static struct side sides[SOURCES + 1];
static struct pccl_fetch fetch;
static uint8_t progress[CHUNKS];

static struct pccl_transfer *newcomer(void)
{
	return sides[SOURCES].transfer;
}

static void install(uint32_t sources)
{
	const pcclRankUuid_t uuids[SOURCES] = {{{1}}, {{2}}};

	assert_int_equal(pccl_transfer_install(newcomer(), sources, UINT32_MAX, uuids), pcclSuccess);
}

static int open_world(void **state)
{
	const pcclRankUuid_t self = {{9}};
	uint32_t index;

	(void)state;
	for (index = 0; index <= SOURCES; index++) {
		const struct pccl_transfer_config config = {.states_max = 2};
		struct side *side = &sides[index];

		memset(side->data, (int)index + 1, BYTES);
		side->info = (pcclTensorInfo_t){.name = "a", .data = side->data, .count = BYTES};
		side->state = (pcclSharedState_t){.count = 1, .infos = &side->info};
		assert_int_equal(pccl_inventory_create(&side->state, &side->inventory), pcclSuccess);
		assert_int_equal(pccl_transfer_create(&config, &side->transfer), pcclSuccess);
		if (index < SOURCES)
			assert_int_equal(pccl_transfer_install(side->transfer, 1, UINT32_MAX, &self), pcclSuccess);
	}
	memset(progress, 0, sizeof(progress));
	memset(&fetch, 0, sizeof(fetch));
	fetch.patient = true;
	fetch.lanes = 1;
	fetch.count = CHUNKS;
	fetch.progress = progress;
	fetch.little_bytes = PCCL_TRANSFER_LITTLE_BYTES;
	pccl_transfer_open(newcomer(), TAG, sides[SOURCES].inventory, false);
	pccl_transfer_fetch(newcomer(), &fetch);
	return 0;
}

static int close_world(void **state)
{
	uint32_t index;

	(void)state;
	for (index = 0; index <= SOURCES; index++) {
		pccl_transfer_destroy(sides[index].transfer);
		pccl_inventory_destroy(sides[index].inventory);
	}
	return 0;
}

static void lend(uint32_t source, uint64_t tag)
{
	pccl_transfer_open(sides[source].transfer, tag, sides[source].inventory, true);
}

/* False: nothing of that kind is to be sent. */
static bool carry(struct pccl_transfer *from, uint32_t to_rank, struct pccl_transfer *to, uint32_t from_rank)
{
	struct pccl_frame_send send;
	void *destination;

	if (!pccl_transfer_next(from, to_rank, &send))
		return false;
	if (pccl_transfer_accept(to, from_rank, &send.frame, &destination) != PCCL_FRAME_TAKE)
		return true;
	if (send.frame.payload_bytes > 0)
		memcpy(destination, send.payload, send.frame.payload_bytes);
	pccl_transfer_received(to, from_rank, &send.frame);
	return true;
}

/* Between the newcomer and the sources of which it knows. */
static void carry_all(uint32_t sources)
{
	bool any = true;
	uint32_t source;

	while (any)
		for (any = false, source = 0; source < sources; source++)
			any |= carry(sides[source].transfer, 0, newcomer(), source) |
			       carry(newcomer(), source, sides[source].transfer, 0);
}

static pcclResult_t outcome(void)
{
	struct pccl_transfer_outcome outcome;

	assert_true(pccl_transfer_poll(newcomer(), &outcome));
	assert_int_equal(outcome.event, PCCL_TRANSFER_FETCHED);
	return outcome.result;
}

static bool has_ended(uint64_t now_s)
{
	struct pccl_transfer_outcome ignored;

	pccl_transfer_look(newcomer(), (1 + now_s) * PCCL_SECOND_NS);
	return pccl_transfer_poll(newcomer(), &ignored);
}

/* ---- tests ------------------------------ */

/* Sources come late, and what they have is not the same: that is found later, by others. */
static void it_takes_what_comes_from_whoever_offers(void **state)
{
	uint32_t at;

	(void)state;
	install(0);
	carry_all(0);
	install(SOURCES);
	carry_all(SOURCES);
	lend(0, TAG);
	lend(1, TAG);
	carry_all(SOURCES);
	assert_int_equal(outcome(), pcclSuccess);
	for (at = 0; at < BYTES; at++)
		assert_true(sides[SOURCES].data[at] == 1 || sides[SOURCES].data[at] == 2);
	assert_non_null(memchr(sides[SOURCES].data, 1, BYTES));
	assert_non_null(memchr(sides[SOURCES].data, 2, BYTES));
}

static void other_tensors_are_not_asked_for(void **state)
{
	(void)state;
	install(1);
	lend(0, TAG + 1);
	carry_all(1);
	assert_int_equal(sides[SOURCES].data[0], SOURCES + 1);
	assert_false(has_ended(1));
	assert_true(has_ended(4));
}

static void without_sources_it_waits_and_without_offers_not_for_long(void **state)
{
	(void)state;
	install(0);
	assert_false(has_ended(0));
	assert_false(has_ended(29)); /* nobody has come yet */
	install(1);
	assert_false(has_ended(2));
	pccl_transfer_look(newcomer(), 1 + 33 * PCCL_SECOND_NS);
	assert_int_equal(outcome(), pcclNoSharedStateAvailable);
}

static void without_anybody_it_ends_at_last(void **state)
{
	(void)state;
	install(0);
	assert_false(has_ended(0));
	assert_true(has_ended(30));
}

/* A source may have little to give for a while. It goes on where it was when another one comes. */
static void a_source_that_is_slow_is_waited_for(void **state)
{
	uint32_t part;

	(void)state;
	install(1);
	lend(0, TAG);
	assert_true(carry(sides[0].transfer, 0, newcomer(), 0));
	while (carry(newcomer(), 0, sides[0].transfer, 0))
		;
	assert_false(has_ended(0));
	assert_false(has_ended(29));
	for (part = 0; part < PCCL_CHUNK_BYTES / PCCL_TRANSFER_PART_BYTES; part++)
		assert_true(carry(sides[0].transfer, 0, newcomer(), 0));
	assert_false(has_ended(29));
	assert_true(carry(sides[0].transfer, 0, newcomer(), 0)); /* no whole chunk */
	assert_false(has_ended(31));
	assert_false(has_ended(58));
	install(SOURCES);
	lend(1, TAG);
	carry_all(SOURCES);
	assert_int_equal(outcome(), pcclSuccess);
}

static void who_lends_anew_is_asked_anew(void **state)
{
	struct pccl_transfer_outcome closed;

	(void)state;
	install(1);
	lend(0, TAG);
	assert_true(carry(sides[0].transfer, 0, newcomer(), 0));
	while (carry(newcomer(), 0, sides[0].transfer, 0))
		;
	assert_true(carry(sides[0].transfer, 0, newcomer(), 0));
	pccl_transfer_close(sides[0].transfer);
	assert_true(pccl_transfer_poll(sides[0].transfer, &closed));
	carry_all(1);
	assert_false(has_ended(0));
	lend(0, TAG);
	carry_all(1);
	assert_int_equal(outcome(), pcclSuccess);
	assert_null(memchr(sides[SOURCES].data, SOURCES + 1, BYTES));
}

/* While it lent nothing it was mute, and another one was asked. */
static void who_was_mute_is_asked_when_it_lends_again(void **state)
{
	struct pccl_transfer_outcome closed;
	uint32_t second;

	(void)state;
	install(SOURCES);
	lend(0, TAG);
	lend(1, TAG);
	assert_true(carry(sides[0].transfer, 0, newcomer(), 0));
	pccl_transfer_close(sides[0].transfer);
	assert_true(pccl_transfer_poll(sides[0].transfer, &closed));
	assert_true(carry(sides[1].transfer, 0, newcomer(), 1));
	for (second = 0; second < 5; second++)
		assert_false(has_ended(second));
	lend(0, TAG);
	carry_all(SOURCES);
	assert_int_equal(outcome(), pcclSuccess);
	assert_non_null(memchr(sides[SOURCES].data, 1, BYTES));
}

static void who_is_gone_is_not_waited_for(void **state)
{
	(void)state;
	install(1);
	lend(0, TAG);
	assert_true(carry(sides[0].transfer, 0, newcomer(), 0));
	while (carry(newcomer(), 0, sides[0].transfer, 0))
		;
	assert_true(carry(sides[0].transfer, 0, newcomer(), 0));
	install(0);
	assert_false(has_ended(0));
	install(1);
	assert_false(has_ended(2));
	assert_true(has_ended(5));
}

/* All are: it does not wait for others as long as for the first. */
static void when_all_are_gone_it_ends_soon(void **state)
{
	(void)state;
	install(1);
	lend(0, TAG);
	assert_true(carry(sides[0].transfer, 0, newcomer(), 0));
	assert_false(has_ended(0));
	assert_false(has_ended(20));
	install(0);
	assert_false(has_ended(22));
	assert_true(has_ended(23));
}

/* Twice the state, and no more, whatever it asks for. */
static void nobody_gets_the_state_for_ever(void **state)
{
	struct pccl_frame want = {.type = PCCL_FRAME_WANT, .tag = TAG};
	struct pccl_frame_send send;
	uint64_t bytes = 0;
	uint32_t round;
	void *destination;

	(void)state;
	lend(0, TAG);
	assert_true(pccl_transfer_next(sides[0].transfer, 0, &send));
	for (round = 0; round < 100; round++) {
		assert_int_equal(pccl_transfer_accept(sides[0].transfer, 0, &want, &destination), PCCL_FRAME_TAKE);
		pccl_transfer_received(sides[0].transfer, 0, &want);
		while (pccl_transfer_next(sides[0].transfer, 0, &send))
			bytes += send.frame.payload_bytes;
	}
	assert_in_range(bytes, 2 * (uint64_t)BYTES, 2 * (uint64_t)BYTES + PCCL_CHUNK_BYTES);
	pccl_transfer_close(sides[0].transfer);
	assert_true(pccl_transfer_poll(sides[0].transfer, &(struct pccl_transfer_outcome){0}));
	lend(0, TAG);
	pccl_transfer_received(sides[0].transfer, 0, &want);
	while (pccl_transfer_next(sides[0].transfer, 0, &send))
		bytes += send.frame.payload_bytes;
	assert_true(bytes > 2 * (uint64_t)BYTES + PCCL_CHUNK_BYTES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
		TEST(it_takes_what_comes_from_whoever_offers),
		TEST(other_tensors_are_not_asked_for),
		TEST(without_sources_it_waits_and_without_offers_not_for_long),
		TEST(without_anybody_it_ends_at_last),
		TEST(a_source_that_is_slow_is_waited_for),
		TEST(who_lends_anew_is_asked_anew),
		TEST(who_was_mute_is_asked_when_it_lends_again),
		TEST(who_is_gone_is_not_waited_for),
		TEST(when_all_are_gone_it_ends_soon),
		TEST(nobody_gets_the_state_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
