/* Calls of several members, each a machine: what they are told to do is done by hand, with losses and lies. */
#include "sync/state/agreement.h"

#include <string.h>

#include "base/uuid.h"
#include "lib/check.h"

enum { MEMBERS_MAX = 4, LARGE = PCCL_CHUNK_BYTES + 5, SMALL = 100, ROUNDS_MAX = 20, FAULTS_MAX = 4 };

struct member {
	uint8_t large[LARGE], small[SMALL];
	pcclTensorInfo_t infos[2];
	pcclSharedState_t state;
	struct pccl_inventory *inventory;
	struct pccl_agreement_config config;
	struct pccl_agreement *agreement;
	unsigned opened, closed, fetches;
	pcclRankUuid_t asked[ROUNDS_MAX]; /* the first source of each fetch */
};

/* What becomes of the next fetches of a space: pcclSuccess for those after the last. */
struct faults {
	enum pccl_state_space space;
	pcclResult_t results[FAULTS_MAX]; /* pcclMismatch: it comes, and is wrong */
	unsigned count, next;
};

static struct member members[MEMBERS_MAX];
static struct faults faults;
static enum pccl_digest_kind digest_kind; /* all tests run with each */
static unsigned ballots;

/* `content` by member, a letter for each: of what its tensors are full. */
static void make(const char *content, const uint64_t *commits)
{
	uint32_t index, chunk;

	memset(&faults, 0, sizeof(faults));
	ballots = 0;
	for (index = 0; index < strlen(content); index++) {
		struct member *member = &members[index];

		memset(member, 0, sizeof(*member));
		memset(member->large, content[index], LARGE);
		memset(member->small, content[index], SMALL);
		member->infos[0] = (pcclTensorInfo_t){"large", member->large, LARGE, pcclUint8, pcclDeviceCpu, false};
		member->infos[1] = (pcclTensorInfo_t){"small", member->small, SMALL, pcclUint8, pcclDeviceCpu, false};
		member->state = (pcclSharedState_t){.count = 2, .infos = member->infos};
		assert_int_equal(pccl_inventory_create(&member->state, &member->inventory), pcclSuccess);
		member->inventory->digest_kind = digest_kind;
		for (chunk = 0; chunk < member->inventory->chunk_count; chunk++)
			pccl_inventory_digest_chunk(member->inventory, chunk);
		member->config.self.data[0] = (uint8_t)(index + 1);
		member->config.nonce = index + 10;
		member->config.members_max = MEMBERS_MAX;
		member->config.inventory = member->inventory;
		member->config.lineage.commit = commits[index];
		member->config.little_bytes = PCCL_TRANSFER_LITTLE_BYTES;
	}
}

static void start(uint32_t count)
{
	uint32_t index;

	for (index = 0; index < count; index++)
		assert_int_equal(pccl_agreement_create(&members[index].config, 1, &members[index].agreement),
				 pcclSuccess);
}

static void drop(uint32_t count)
{
	uint32_t index;

	for (index = 0; index < count; index++) {
		pccl_agreement_destroy(members[index].agreement);
		pccl_inventory_destroy(members[index].inventory);
	}
}

static void bring(struct member *member, const struct pccl_fetch *fetch, const struct member *source)
{
	uint32_t index;
	size_t bytes;

	if (fetch->space == PCCL_STATE_LEAVES)
		memcpy(fetch->document, source->inventory->leaves, fetch->document_bytes);
	for (index = 0; fetch->space == PCCL_STATE_CHUNKS && index < fetch->count; index++) {
		const uint8_t *from = pccl_inventory_place(source->inventory, fetch->chunks[index], &bytes);

		memcpy(pccl_inventory_place(member->inventory, fetch->chunks[index], &bytes), from, bytes);
	}
	memset(fetch->progress, PCCL_FETCH_DONE, fetch->count);
}

static void answer_fetch(struct member *member, const struct pccl_fetch *fetch)
{
	const struct member *source = &members[fetch->sources[0].data[0] - 1];
	struct pccl_transfer_outcome outcome = {.event = PCCL_TRANSFER_FETCHED, .rx_bytes = 1};

	assert_in_range(member->fetches, 0, ROUNDS_MAX - 1);
	member->asked[member->fetches++] = fetch->sources[0];
	if (fetch->space == faults.space && faults.next < faults.count)
		outcome.result = faults.results[faults.next++];
	if (outcome.result == pcclSuccess || outcome.result == pcclMismatch)
		bring(member, fetch, source);
	else if (fetch->space == PCCL_STATE_CHUNKS) { /* half a chunk came */
		(void)memset(member->large, '?', 10);
		fetch->progress[0] = PCCL_FETCH_TOUCHED;
	}
	if (outcome.result == pcclMismatch) {
		fetch->document[0] ^= 1;
		outcome.result = pcclSuccess;
	}
	pccl_agreement_outcome(member->agreement, &outcome, 1);
}

/* Goes on until it gathers, or has ended. */
static enum pccl_agreement_step advance(struct member *member)
{
	const struct pccl_transfer_outcome closed = {.event = PCCL_TRANSFER_CLOSED};

	for (;;) {
		const struct pccl_agreement_action *action = pccl_agreement_next(member->agreement);

		switch (action->step) {
		case PCCL_AGREEMENT_OPEN:
			member->opened++;
			pccl_agreement_done(member->agreement);
			break;
		case PCCL_AGREEMENT_SERVE:
			pccl_agreement_done(member->agreement);
			break;
		case PCCL_AGREEMENT_FETCH:
			answer_fetch(member, action->fetch);
			break;
		case PCCL_AGREEMENT_CLOSE:
			member->closed++;
			pccl_agreement_outcome(member->agreement, &closed, 1);
			break;
		default:
			return action->step;
		}
	}
}

/* All are at the same gathering, or all have ended. */
static bool gather(uint32_t first, uint32_t count)
{
	const struct pccl_agreement_action *of_first = NULL;
	uint32_t index, rank;

	for (index = first; index < count; index++) {
		enum pccl_agreement_step step = advance(&members[index]);

		if (of_first == NULL)
			of_first = pccl_agreement_next(members[index].agreement);
		assert_int_equal(step, of_first->step);
	}
	if (of_first->step == PCCL_AGREEMENT_END)
		return false;
	for (index = first; index < count; index++) {
		const struct pccl_agreement_action *action = pccl_agreement_next(members[index].agreement);

		assert_int_equal(action->bytes, of_first->bytes);
		assert_int_equal(action->waits_for_callers, action->bytes == PCCL_STATE_RECORD_BYTES);
		for (rank = first; rank < count; rank++)
			memcpy((uint8_t *)action->output + (rank - first) * action->bytes,
			       pccl_agreement_next(members[rank].agreement)->input, action->bytes);
	}
	ballots += of_first->waits_for_callers;
	for (index = first; index < count; index++)
		pccl_agreement_gathered(members[index].agreement, pcclSuccess, "", count - first);
	return true;
}

static void run(uint32_t first, uint32_t count)
{
	unsigned rounds = 0;

	while (gather(first, count))
		assert_true(++rounds < ROUNDS_MAX);
}

static const struct pccl_agreement_result *result_of(uint32_t index)
{
	return pccl_agreement_result(members[index].agreement);
}

static void check_has(uint32_t index, char content)
{
	assert_int_equal(result_of(index)->result, pcclSuccess);
	assert_int_equal(members[index].large[0], content);
	assert_int_equal(members[index].large[LARGE - 1], content);
	assert_int_equal(members[index].small[SMALL - 1], content);
	assert_false(result_of(index)->lineage.torn);
}

static const uint64_t none[MEMBERS_MAX] = {0};

static void the_same_states_need_one_gathering(void **state)
{
	uint32_t index;

	(void)state;
	make("aaa", none);
	start(3);
	run(0, 3);
	assert_int_equal(ballots, 1);
	for (index = 0; index < 3; index++) {
		check_has(index, 'a');
		assert_int_equal(members[index].opened + members[index].closed + members[index].fetches, 0);
		assert_int_equal(result_of(index)->lineage.commit, 1);
	}
	drop(3);
}

static void who_lacks_it_gets_digests_then_chunks(void **state)
{
	(void)state;
	make("aab", none);
	start(3);
	run(0, 3);
	assert_int_equal(ballots, 1);
	check_has(0, 'a');
	check_has(2, 'a');
	assert_int_equal(members[2].fetches, 2);
	assert_int_equal(members[0].fetches, 0);
	assert_int_equal(result_of(2)->rx_bytes, 1); /* digests are none of the state's */
	assert_int_equal(members[0].opened, 1);
	assert_int_equal(members[2].closed, 1);
	drop(3);
}

static void lost_gatherings_are_gathered_again(void **state)
{
	uint32_t index;

	(void)state;
	make("abb", none);
	start(3);
	for (index = 0; index < 3; index++)
		pccl_agreement_gathered(members[index].agreement, pcclRankConnectionLost, "lost", 0);
	assert_true(gather(0, 3));
	for (index = 0; index < 3; index++) { /* the finish */
		assert_int_equal(advance(&members[index]), PCCL_AGREEMENT_GATHER);
		pccl_agreement_gathered(members[index].agreement, pcclRankConnectionLost, "lost", 0);
	}
	run(0, 3);
	check_has(0, 'b');
	check_has(1, 'b');
	drop(3);
}

/* A source of digests that is lost, or whose digests are not what was agreed on, is followed by another one. */
static void digests_are_asked_of_the_next_source(void **state)
{
	static const pcclResult_t ways[] = {pcclRankConnectionLost, pcclNoSharedStateAvailable, pcclMismatch};
	size_t way;

	(void)state;
	for (way = 0; way < 3; way++) {
		make("aab", none);
		faults = (struct faults){PCCL_STATE_LEAVES, {ways[way]}, 1, 0};
		start(3);
		run(0, 3);
		check_has(2, 'a');
		assert_int_equal(members[2].fetches, 3);
		assert_false(pccl_uuid_equal(&members[2].asked[0], &members[2].asked[1]));
		drop(3);
	}
}

static void of_liars_only_the_call_fails_for_who_asked(void **state)
{
	(void)state;
	make("aab", none);
	faults = (struct faults){PCCL_STATE_LEAVES, {pcclMismatch, pcclMismatch}, 2, 0};
	start(3);
	run(0, 3);
	check_has(0, 'a');
	assert_int_equal(result_of(2)->result, pcclNoSharedStateAvailable);
	assert_int_equal(members[2].large[0], 'b'); /* nothing was touched */
	assert_false(result_of(2)->lineage.torn);
	assert_int_equal(result_of(2)->lineage.commit, 0);
	drop(3);
}

/* The only one that was there dies when half of it has moved: the torn state has no vote among those who are left. */
static void without_a_source_all_begin_again_and_what_is_torn_has_no_vote(void **state)
{
	static const uint64_t commits[MEMBERS_MAX] = {5, 0, 0};

	(void)state;
	make("abc", commits);
	members[1].config.strategy = PCCL_SHARED_STATE_SYNC_STRATEGY_RECEIVE_ONLY;
	faults = (struct faults){PCCL_STATE_CHUNKS, {pcclRankConnectionLost, pcclRankConnectionLost}, 2, 0};
	start(3);
	assert_true(gather(0, 3));
	run(1, 3);
	assert_int_equal(ballots, 2);
	assert_int_not_equal(result_of(1)->result, pcclSuccess);
	assert_int_not_equal(result_of(2)->result, pcclSuccess);
	assert_true(result_of(1)->lineage.torn);
	assert_true(result_of(2)->lineage.torn);
	assert_int_equal(members[2].opened, members[2].closed);
	drop(3);
}

static void alone_or_late_it_ends(void **state)
{
	(void)state;
	make("a", none);
	start(1);
	pccl_agreement_gathered(members[0].agreement, pcclTooFewPeers, "", 0);
	check_has(0, 'a');
	drop(1);
	make("a", none);
	start(1);
	pccl_agreement_gathered(members[0].agreement, pcclTimeout, "late", 0);
	assert_int_equal(result_of(0)->result, pcclTimeout);
	assert_string_equal(result_of(0)->text, "late");
	assert_int_equal(result_of(0)->lineage.commit, 0);
	drop(1);
}

static void who_has_no_tensors_fails_and_the_others_go_on(void **state)
{
	(void)state;
	make("aba", none);
	members[0].config.inventory = NULL;
	start(3);
	run(0, 3);
	assert_int_not_equal(result_of(0)->result, pcclSuccess);
	assert_int_equal(members[0].opened, 0);
	check_has(1, 'b'); /* of two the lower rank */
	check_has(2, 'b');
	drop(3);
}

/* The communicator ends while it fetches. */
static void an_abort_closes_what_was_opened(void **state)
{
	(void)state;
	make("aab", none);
	start(3);
	assert_true(gather(0, 3));
	assert_int_equal(pccl_agreement_next(members[2].agreement)->step, PCCL_AGREEMENT_OPEN);
	pccl_agreement_done(members[2].agreement);
	assert_int_equal(pccl_agreement_next(members[2].agreement)->step, PCCL_AGREEMENT_FETCH);
	pccl_agreement_abort(members[2].agreement, pcclMasterConnectionFailed, "ended");
	assert_int_equal(advance(&members[2]), PCCL_AGREEMENT_END);
	assert_int_equal(members[2].closed, 1);
	assert_int_equal(result_of(2)->result, pcclMasterConnectionFailed);
	assert_string_equal(result_of(2)->text, "ended");
	drop(3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_states_need_one_gathering),
		cmocka_unit_test(who_lacks_it_gets_digests_then_chunks),
		cmocka_unit_test(lost_gatherings_are_gathered_again),
		cmocka_unit_test(digests_are_asked_of_the_next_source),
		cmocka_unit_test(of_liars_only_the_call_fails_for_who_asked),
		cmocka_unit_test(without_a_source_all_begin_again_and_what_is_torn_has_no_vote),
		cmocka_unit_test(alone_or_late_it_ends),
		cmocka_unit_test(who_has_no_tensors_fails_and_the_others_go_on),
		cmocka_unit_test(an_abort_closes_what_was_opened),
	};

	if (cmocka_run_group_tests(tests, NULL, NULL) != 0)
		return 1;
	digest_kind = PCCL_DIGEST_STRONG;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
