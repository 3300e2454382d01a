/* Whose state is the truth: the scenarios that programs rely on, the accidents of PCCL 1.0 turned right, and what holds
 * for any records. */
#include <string.h>

#include "base/rng.h"
#include "lib/check.h"
#include "sync/state/election.h"

enum { E = 0, R = 1, S = 2, PEERS = 4 }; /* enforce, receive only, send only */
enum { HOLDS = 1, GETS, FAILS };	 /* 0: no such peer */

struct peer {
	char keys, content; /* 0: no such peer */
	int strategy;
	uint64_t revision;
	uint64_t commit, committed;
	int outcome;
	bool torn;
};

struct scenario {
	const char *name;
	struct peer peers[PEERS];
	uint64_t revision;
};

static const struct scenario scenarios[] = {
	{"R1: contents differ, the lowest rank's is taken",
	 {{'k', 'a', E, 0, 0, 0, HOLDS, 0}, {'k', 'b', E, 0, 0, 0, GETS, 0}},
	 0},
	{"R2: the same content", {{'k', 'a', E, 0, 0, 0, HOLDS, 0}, {'k', 'a', E, 0, 0, 0, HOLDS, 0}}, 0},
	{"R4: two agree, whatever their ranks",
	 {{'k', 'b', E, 0, 0, 0, GETS, 0}, {'k', 'a', E, 0, 0, 0, HOLDS, 0}, {'k', 'a', E, 0, 0, 0, HOLDS, 0}},
	 0},
	{"R10: one never sets a revision, content is the same",
	 {{'k', 'a', E, 2, 2, 1, HOLDS, 0}, {'k', 'a', E, 2, 2, 1, HOLDS, 0}, {'k', 'a', E, 1, 2, 1, HOLDS, 0}},
	 2},
	{"R11: one never sets a revision, content is new",
	 {{'k', 'b', E, 1, 2, 1, GETS, 0}, {'k', 'a', E, 2, 2, 1, HOLDS, 0}, {'k', 'a', E, 2, 2, 1, HOLDS, 0}},
	 2},
	{"R12: who skips a revision fails, and nobody else",
	 {{'k', 'a', E, 2, 1, 0, FAILS, 0}, {'k', 'b', E, 0, 1, 0, HOLDS, 0}},
	 0},
	{"R13: at first the highest revision wins",
	 {{'k', 'b', E, 0, 0, 0, GETS, 0}, {'k', 'a', E, 13, 0, 0, HOLDS, 0}},
	 13},
	{"R14: the odd one's keys",
	 {{'q', 'a', E, 0, 0, 0, FAILS, 0}, {'k', 'a', E, 0, 0, 0, HOLDS, 0}, {'k', 'a', E, 0, 0, 0, HOLDS, 0}},
	 0},
	{"R14: again, at revision 1",
	 {{'q', 'a', E, 0, 0, 0, FAILS, 0}, {'k', 'a', E, 1, 1, 0, HOLDS, 0}, {'k', 'a', E, 1, 1, 0, HOLDS, 0}},
	 1},
	{"R18: one that joins after three calls",
	 {{'k', 'a', E, 3, 3, 2, HOLDS, 0}, {'k', 'a', E, 3, 3, 2, HOLDS, 0}, {'k', 'b', E, 0, 0, 0, GETS, 0}},
	 3},
	{"R19: both send only", {{'k', 'a', S, 0, 0, 0, FAILS, 0}, {'k', 'b', S, 0, 0, 0, FAILS, 0}}, 0},
	{"R20: all receive only", {{'k', 'a', R, 0, 0, 0, FAILS, 0}, {'k', 'b', R, 0, 0, 0, FAILS, 0}}, 0},
	{"R21: all receive only, with the same content",
	 {{'k', 'a', R, 0, 0, 0, FAILS, 0}, {'k', 'a', R, 0, 0, 0, FAILS, 0}},
	 0},
	{"A22: one enforces, others receive only, the same content",
	 {{'k', 'a', E, 0, 0, 0, HOLDS, 0}, {'k', 'a', R, 0, 0, 0, HOLDS, 0}, {'k', 'a', R, 0, 0, 0, HOLDS, 0}},
	 0},
	{"A24: one enforces, others send only, the same content",
	 {{'k', 'a', E, 0, 0, 0, HOLDS, 0}, {'k', 'a', S, 0, 0, 0, HOLDS, 0}, {'k', 'a', S, 0, 0, 0, HOLDS, 0}},
	 0},
	{"R28: members send only, the joiner receives only",
	 {{'k', 'a', S, 5, 5, 4, HOLDS, 0}, {'k', 'a', S, 5, 5, 4, HOLDS, 0}, {'k', 'b', R, 5, 0, 0, GETS, 0}},
	 5},
	{"A: twice at one revision", {{'k', 'a', E, 7, 3, 7, HOLDS, 0}, {'k', 'b', E, 7, 3, 7, GETS, 0}}, 7},
	{"a majority of newcomers does not overrule who was there",
	 {{'k', 'b', E, 3, 0, 0, GETS, 0},
	  {'k', 'b', E, 3, 0, 0, GETS, 0},
	  {'k', 'b', E, 3, 0, 0, GETS, 0},
	  {'k', 'a', E, 2, 9, 2, HOLDS, 0}},
	 2},
	{"a newcomer that claims a far higher revision fails",
	 {{'k', 'b', E, 99, 0, 0, FAILS, 0}, {'k', 'a', E, 2, 9, 2, HOLDS, 0}},
	 2},
	{"but may receive if that is all it wants",
	 {{'k', 'b', R, 99, 0, 0, GETS, 0}, {'k', 'a', E, 2, 9, 2, HOLDS, 0}},
	 2},
	{"who missed the last commit does not overrule who was there",
	 {{'k', 'b', E, 5, 8, 4, GETS, 0}, {'k', 'b', E, 5, 8, 4, GETS, 0}, {'k', 'a', E, 4, 9, 4, HOLDS, 0}},
	 4},
	{"all are beyond what is expected: the run goes on with the lowest of theirs",
	 {{'k', 'a', E, 8, 2, 4, HOLDS, 0}, {'k', 'a', E, 8, 2, 4, HOLDS, 0}},
	 8},
	{"of two beyond, the higher one has skipped",
	 {{'k', 'a', E, 9, 2, 4, FAILS, 0}, {'k', 'a', E, 8, 2, 4, HOLDS, 0}},
	 8},
	{"a torn state does not vote",
	 {{'k', 'b', E, 1, 1, 0, GETS, 1}, {'k', 'b', E, 1, 1, 0, GETS, 1}, {'k', 'a', E, 0, 0, 0, HOLDS, 0}},
	 0},
	{"nor does it if there is no other", {{'k', 'b', E, 1, 1, 0, FAILS, 1}}, 0},
	{"of two contents with as many votes that one is taken that can't receive",
	 {{'k', 'b', E, 0, 0, 0, GETS, 0}, {'k', 'a', S, 0, 0, 0, HOLDS, 0}},
	 0},
	{"who may only send fails if most have something else",
	 {{'k', 'b', S, 0, 0, 0, FAILS, 0}, {'k', 'a', E, 0, 0, 0, HOLDS, 0}, {'k', 'a', E, 0, 0, 0, HOLDS, 0}},
	 0},
	{"one that disagrees with another sender is decided by a third",
	 {{'k', 'b', S, 0, 0, 0, FAILS, 0}, {'k', 'a', S, 0, 0, 0, HOLDS, 0}, {'k', 'a', E, 0, 0, 0, HOLDS, 0}},
	 0},
	{"keys are counted before contents",
	 {{'q', 'a', E, 0, 0, 0, FAILS, 0}, {'k', 'b', E, 0, 0, 0, HOLDS, 0}, {'k', 'c', E, 0, 0, 0, GETS, 0}},
	 0},
	{"alone", {{'k', 'a', E, 6, 0, 0, HOLDS, 0}}, 6},
};

static struct pccl_state_record record_of(const struct peer *peer, uint32_t rank)
{
	struct pccl_state_record record = {.revision = peer->revision,
					   .commit = peer->commit,
					   .committed = peer->committed,
					   .strategy = (uint8_t)peer->strategy,
					   .torn = peer->torn};

	record.uuid.data[0] = (uint8_t)(rank + 1);
	record.keys = pccl_digest_of(&peer->keys, 1);
	record.content = pccl_digest_of(&peer->content, 1);
	return record;
}

static int outcome_of(const struct pccl_state_part *part)
{
	return part->role == PCCL_STATE_HOLDS ? HOLDS : part->role == PCCL_STATE_RECEIVES ? GETS : FAILS;
}

static void check_scenario(const struct scenario *scenario)
{
	struct pccl_state_record records[PEERS];
	struct pccl_state_part parts[PEERS];
	struct pccl_election election;
	uint32_t count = 0, rank, fails = 0;
	char text[200];

	while (count < PEERS && scenario->peers[count].keys != 0) {
		records[count] = record_of(&scenario->peers[count], count);
		count++;
	}
	pccl_elect(records, count, &election, parts);
	for (rank = 0; rank < count; rank++) {
		if (outcome_of(&parts[rank]) != scenario->peers[rank].outcome)
			fail_msg("%s: rank %u has role %d", scenario->name, rank, (int)parts[rank].role);
		fails += parts[rank].role == PCCL_STATE_FAILS;
		assert_true((parts[rank].role == PCCL_STATE_FAILS) == (parts[rank].reason != PCCL_STATE_FINE));
		pccl_election_explain(&election, &records[rank], parts[rank].reason, text, sizeof(text));
		assert_true(strlen(text) > 0);
	}
	assert_true((fails == count) == (election.reason != PCCL_STATE_FINE));
	if (election.reason == PCCL_STATE_FINE && election.revision != scenario->revision)
		fail_msg("%s: revision %llu", scenario->name, (unsigned long long)election.revision);
}

static void every_scenario_comes_out(void **state)
{
	size_t index;

	(void)state;
	for (index = 0; index < sizeof(scenarios) / sizeof(scenarios[0]); index++)
		check_scenario(&scenarios[index]);
}

/* ---- what may differ ------------------------------ */

static void newcomers_get_what_may_differ_as_well_and_members_keep_theirs(void **state)
{
	const struct peer member = {.keys = 'k', .content = 'a', .revision = 1, .commit = 2, .committed = 0};
	const struct peer newcomer = {.keys = 'k', .content = 'a', .revision = 0};
	struct pccl_state_record records[3] = {record_of(&newcomer, 0), record_of(&member, 1), record_of(&member, 2)};
	struct pccl_state_part parts[3];
	struct pccl_election election;

	(void)state;
	records[1].loose = pccl_digest_of("1", 1);
	records[2].loose = pccl_digest_of("2", 1);
	pccl_elect(records, 3, &election, parts);
	assert_int_equal(parts[0].role, PCCL_STATE_RECEIVES);
	assert_true(parts[0].inherits);
	assert_int_equal(election.donor, 1);
	assert_int_equal(parts[1].role, PCCL_STATE_HOLDS);
	assert_int_equal(parts[2].role, PCCL_STATE_HOLDS);
	/* In the first call nobody has been there: each keeps its own. */
	records[1].commit = 0;
	records[2].commit = 0;
	pccl_elect(records, 3, &election, parts);
	assert_int_equal(election.receivers, 0);
}

/* ---- any records ------------------------------ */

static void draw(struct pccl_rng *rng, struct pccl_state_record *records, uint32_t count)
{
	uint32_t rank;

	for (rank = 0; rank < count; rank++) {
		struct peer peer = {.keys = (char)('k' + (pccl_rng_below(rng, 4) == 0)),
				    .content = (char)('a' + pccl_rng_below(rng, 3)),
				    .strategy = (int)pccl_rng_below(rng, 3),
				    .revision = pccl_rng_below(rng, 4),
				    .commit = pccl_rng_below(rng, 3),
				    .torn = pccl_rng_below(rng, 6) == 0};

		if (peer.commit > 0)
			peer.committed = peer.commit; /* the same at all that have it */
		records[rank] = record_of(&peer, rank);
		records[rank].broken = pccl_rng_below(rng, 8) == 0;
	}
}

static bool votes(const struct pccl_state_record *record)
{
	return record->strategy != R && !record->torn && !record->broken;
}

static void check_any(const struct pccl_state_record *records, uint32_t count)
{
	struct pccl_state_part parts[8];
	struct pccl_election election;
	uint32_t rank, voters = 0, serving = 0;
	uint64_t last = 0;
	bool lineage_votes = false;

	pccl_elect(records, count, &election, parts);
	for (rank = 0; rank < count; rank++)
		last = records[rank].commit > last ? records[rank].commit : last;
	for (rank = 0; rank < count; rank++) {
		voters += votes(&records[rank]);
		lineage_votes |= votes(&records[rank]) && records[rank].commit == last;
		serving += parts[rank].serves;
	}
	if (voters == 0)
		assert_int_equal(election.reason, PCCL_STATE_NO_VOTER);
	if (election.reason != PCCL_STATE_FINE)
		return;
	assert_true(serving > 0 && parts[election.truth].serves && parts[election.donor].serves);
	assert_true(votes(&records[election.truth]));
	assert_int_equal(records[election.truth].revision, election.revision);
	assert_true(!lineage_votes || records[election.truth].commit == last);
	assert_int_equal(election.commit, last + 1);
	for (rank = 0; rank < count; rank++) {
		bool same = pccl_digest_equal(&records[rank].content, &election.content);

		if (parts[rank].role == PCCL_STATE_RECEIVES)
			assert_true(records[rank].strategy != S && (!same || parts[rank].inherits));
		if (parts[rank].role == PCCL_STATE_HOLDS)
			assert_true(same);
		assert_true(!parts[rank].serves || (same && records[rank].strategy != R));
	}
}

/* Who holds what decides, and not who is asked first, unless there is a tie: so a rank that votes the truth may take
 * any other place as long as nobody else's moves past a tie. What is checked: one more vote for the truth keeps it. */
static void check_one_more_vote(struct pccl_state_record *records, uint32_t count)
{
	struct pccl_state_part parts[8];
	struct pccl_election before, after;

	pccl_elect(records, count, &before, parts);
	if (before.reason != PCCL_STATE_FINE)
		return;
	records[count] = records[before.truth];
	pccl_elect(records, count + 1, &after, parts);
	assert_int_equal(after.reason, PCCL_STATE_FINE);
	assert_int_equal(after.revision, before.revision);
	assert_true(pccl_digest_equal(&after.content, &before.content) && pccl_digest_equal(&after.keys, &before.keys));
}

static void any_records_have_one_truth_that_a_voter_of_the_lineage_holds(void **state)
{
	struct pccl_state_record records[8];
	struct pccl_rng rng;
	int round;

	(void)state;
	pccl_rng_seed(&rng, 12);
	for (round = 0; round < 20000; round++) {
		uint32_t count = 1 + (uint32_t)pccl_rng_below(&rng, 7);

		draw(&rng, records, count);
		check_any(records, count);
		check_one_more_vote(records, count);
	}
}

/* ---- records ------------------------------ */

static void records_are_read_back_and_others_refused(void **state)
{
	const struct peer peer = {'k', 'a', S, 77, 5, 76, 0, true};
	struct pccl_state_record record = record_of(&peer, 3), back;
	uint8_t bytes[PCCL_STATE_RECORD_BYTES], again[PCCL_STATE_RECORD_BYTES];
	size_t flag;

	(void)state;
	record.nonce = 99;
	pccl_state_record_encode(&record, bytes);
	assert_int_equal(pccl_state_record_decode(bytes, &back), pcclSuccess);
	pccl_state_record_encode(&back, again);
	assert_memory_equal(bytes, again, sizeof(bytes));
	for (flag = 48; flag < 52; flag++) {
		memcpy(again, bytes, sizeof(again));
		again[flag] = 3;
		assert_int_equal(pccl_state_record_decode(again, &back), pcclInvalidArgument);
	}
	memset(bytes + 32, 0xff, 8);
	assert_int_equal(pccl_state_record_decode(bytes, &back), pcclInvalidArgument);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_scenario_comes_out),
		cmocka_unit_test(newcomers_get_what_may_differ_as_well_and_members_keep_theirs),
		cmocka_unit_test(any_records_have_one_truth_that_a_voter_of_the_lineage_holds),
		cmocka_unit_test(records_are_read_back_and_others_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
