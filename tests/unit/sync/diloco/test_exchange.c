/*
 * Rounds of several peers in a world without clocks, threads or sockets: members die in every phase of a round, others
 * join between rounds, and operations have the outcomes that pccl.h promises: all survivors have the same one, for
 * whoever launched an operation and for whoever launches it later. Checked in each round that ends: the same outer
 * parameters, weights and participants on all survivors; a mean that is that of those who took part; a residual that is
 * what the exchange that counted has left, and nothing else.
 */
#include "sync/diloco/exchange.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "lib/check.h"
#include "sync/diloco/outer.h"

#define PEERS 5
#define FRAGMENTS 2
#define PIECES 3
#define PIECE 4
#define COUNT (PIECES * PIECE)
#define TAGS (PIECES + 1) /* of a fragment: the roll call is the last */
#define ROUNDS 12
#define OPS 4000
#define HISTORIES 600

/* Where a peer is in a round of a fragment; that members died in all of these is checked. */
enum phase { IDLE, TO_CALL, CALLED, LAUNCHING, LAUNCHED, ENDED, PHASES };

struct op {
	uint32_t fragment, tag, sequence;
	uint32_t launched, held; /* by peer */
	bool is_complete, is_aborted;
	uint32_t participants;
	uint8_t entries[PEERS][PCCL_ROLL_BYTES]; /* by peer */
	float sent[PEERS][PIECE], left[PEERS][PIECE], sum[PIECE];
};

struct round_at { /* one peer's round of one fragment */
	enum phase phase;
	struct pccl_exchange exchange;
	float gradient[COUNT], contribution[COUNT], scratch[COUNT];
	uint32_t sequences[TAGS];
	struct op *ops[TAGS];
	uint32_t next_piece;
	bool has_ended[PIECES];
};

struct peer {
	bool is_alive;
	struct round_at rounds[FRAGMENTS];
	float outer[FRAGMENTS][COUNT], momentum[FRAGMENTS][COUNT], residual[FRAGMENTS][COUNT];
	float was[FRAGMENTS][COUNT]; /* the residual before the round: the test's copy */
};

struct ended { /* what the first survivor has got of a round */
	bool is_known;
	float outer[COUNT];
	double total;
	uint32_t present;
};

struct world {
	struct pccl_rng rng;
	struct peer peers[PEERS];
	struct op *ops;
	uint32_t op_count;
	uint32_t members; /* of the view */
	uint64_t number;  /* of the round */
	struct ended ended[FRAGMENTS];
	unsigned deaths[PHASES], joins, repeated, alone;
};

static uint32_t below(struct world *world, uint32_t bound)
{
	return (uint32_t)(pccl_rng_u64(&world->rng) % bound);
}

static uint32_t count_bits(uint32_t bits)
{
	uint32_t count = 0;

	for (; bits != 0; bits &= bits - 1)
		count++;
	return count;
}

/* ---- operations ------------------------------ */

static struct op *op_of(struct world *world, uint32_t fragment, uint32_t tag, uint32_t sequence)
{
	uint32_t i;
	struct op *op;

	for (i = 0; i < world->op_count; i++) {
		op = &world->ops[i];
		if (op->fragment == fragment && op->tag == tag && op->sequence == sequence)
			return op;
	}
	assert_true(world->op_count < OPS);
	op = &world->ops[world->op_count++];
	memset(op, 0, sizeof(*op));
	op->fragment = fragment;
	op->tag = tag;
	op->sequence = sequence;
	return op;
}

/* All members, two or more, have launched it: sums in rank order. */
static void complete(struct world *world, struct op *op)
{
	uint32_t peer, i;

	if (op->is_complete || op->is_aborted || (op->launched & world->members) != world->members ||
	    count_bits(world->members) == 1)
		return;
	op->is_complete = true;
	op->participants = world->members;
	memset(op->sum, 0, sizeof(op->sum));
	for (peer = 0; peer < PEERS; peer++)
		for (i = 0; (world->members >> peer & 1) != 0 && i < PIECE; i++)
			op->sum[i] = op->sum[i] + op->sent[peer][i];
}

static struct op *launch(struct world *world, uint32_t peer, uint32_t fragment, uint32_t tag)
{
	struct round_at *at = &world->peers[peer].rounds[fragment];
	struct op *op = op_of(world, fragment, tag, at->sequences[tag]++);

	op->launched |= 1u << peer;
	at->ops[tag] = op;
	return op;
}

/* What the caller of the operation gets, if it has ended for this peer. */
static bool outcome(struct world *world, uint32_t peer, struct op *op, pcclResult_t *result_out)
{
	complete(world, op);
	if (op->is_aborted)
		*result_out = pcclRankConnectionLost;
	else if (op->is_complete)
		*result_out = pcclSuccess;
	else if (world->members == 1u << peer)
		*result_out = pcclTooFewPeers;
	else
		return false;
	if (op->is_complete)
		op->held |= 1u << peer;
	return true;
}

/* What only the dead have known is not so. */
static void forget_endings(struct world *world)
{
	uint32_t peer, fragment;

	for (fragment = 0; fragment < FRAGMENTS; fragment++) {
		world->ended[fragment].is_known = false;
		for (peer = 0; peer < PEERS; peer++)
			if (world->peers[peer].is_alive && world->peers[peer].rounds[fragment].phase == ENDED)
				world->ended[fragment].is_known = true;
	}
}

/* A member is lost. What a survivor holds is committed, everything else that one has launched is aborted. */
static void kill_peer(struct world *world, uint32_t peer)
{
	uint32_t i, fragment;

	for (fragment = 0; fragment < FRAGMENTS; fragment++)
		world->deaths[world->peers[peer].rounds[fragment].phase]++;
	world->peers[peer].is_alive = false;
	world->members &= ~(1u << peer);
	for (i = 0; i < world->op_count; i++) {
		struct op *op = &world->ops[i];

		if ((op->launched & world->members) == 0 || (op->held & world->members) != 0)
			continue;
		op->is_aborted = true;
		op->is_complete = false;
	}
	forget_endings(world);
}

/* ---- a peer ------------------------------ */

static void begin(struct world *world, uint32_t index, uint32_t fragment)
{
	struct peer *peer = &world->peers[index];
	struct round_at *at = &peer->rounds[fragment];
	struct pccl_exchange *exchange = &at->exchange;
	uint32_t i;

	memset(exchange, 0, sizeof(*exchange));
	for (i = 0; i < COUNT; i++)
		at->gradient[i] = (float)(int)below(world, 2001) * 1e-3f - 1;
	memset(&exchange->entry.uuid, (int)index + 1, sizeof(exchange->entry.uuid));
	exchange->entry.fragment = fragment;
	exchange->entry.round = world->number;
	exchange->entry.step = world->number * 10;
	exchange->entry.weight = below(world, 4);
	exchange->entry.outer = pccl_digest_of(peer->outer[fragment], sizeof(peer->outer[fragment]));
	exchange->gradient = at->gradient;
	exchange->contribution = at->contribution;
	exchange->residual = peer->residual[fragment];
	exchange->scratch = at->scratch;
	exchange->count = COUNT;
	pccl_exchange_begin(exchange);
	memcpy(peer->was[fragment], peer->residual[fragment], sizeof(peer->was[fragment]));
	at->phase = TO_CALL;
}

/* The contribution that the operation had of each peer is checked to be the sum that it gave. */
static void check_mean(struct world *world, uint32_t index, uint32_t fragment)
{
	struct round_at *at = &world->peers[index].rounds[fragment];
	const struct pccl_exchange *exchange = &at->exchange;
	uint32_t piece, i, peer;

	for (piece = 0; piece < PIECES; piece++) {
		const struct op *op = at->ops[piece];

		assert_true(op->is_complete);
		assert_int_equal(count_bits(op->participants), exchange->present);
		for (i = 0; i < PIECE; i++) {
			const uint32_t element = piece * PIECE + i;
			const float gave = exchange->roll.share * at->gradient[element];
			double weighted = 0;

			/* What error feedback leaves is what this exchange did not send, of this one's input. */
			assert_true(world->peers[index].residual[fragment][element] ==
				    (world->peers[index].was[fragment][element] + gave) - op->sent[index][i]);
			for (peer = 0; peer < PEERS; peer++)
				if ((op->participants >> peer & 1) != 0)
					weighted += (double)op->sent[peer][i];
			assert_true(fabs(weighted - (double)at->contribution[element]) < 1e-5);
		}
	}
}

static void end_round(struct world *world, uint32_t index, uint32_t fragment)
{
	const struct pccl_outer_rule rule = {0.7f, 0.9f, 0, false};
	struct peer *peer = &world->peers[index];
	struct round_at *at = &peer->rounds[fragment];
	struct ended *ended = &world->ended[fragment];
	double total = 0;
	uint32_t other;

	if (at->exchange.is_alone)
		assert_memory_equal(peer->residual[fragment], peer->was[fragment], sizeof(peer->was[fragment]));
	else
		check_mean(world, index, fragment);
	for (other = 0; !at->exchange.is_alone && other < PEERS; other++)
		if ((at->ops[0]->participants >> other & 1) != 0)
			total += world->peers[other].rounds[fragment].exchange.entry.weight;
	assert_true(at->exchange.is_alone || total == at->exchange.roll.total);
	pccl_outer_nesterov(&rule, peer->outer[fragment], peer->outer[fragment], peer->momentum[fragment],
			    at->contribution, COUNT);
	world->repeated += at->exchange.repeated;
	world->alone += at->exchange.is_alone;
	at->phase = ENDED;
	if (ended->is_known) {
		assert_memory_equal(ended->outer, peer->outer[fragment], sizeof(ended->outer));
		assert_true(ended->total == at->exchange.roll.total);
		assert_int_equal(ended->present, at->exchange.present);
	}
	ended->is_known = true;
	memcpy(ended->outer, peer->outer[fragment], sizeof(ended->outer));
	ended->total = at->exchange.roll.total;
	ended->present = at->exchange.present;
}

static void follow(struct world *world, uint32_t index, uint32_t fragment, enum pccl_exchange_next next)
{
	struct round_at *at = &world->peers[index].rounds[fragment];

	assert_int_not_equal(next, PCCL_EXCHANGE_FAILED);
	if (next == PCCL_EXCHANGE_ENDED) {
		end_round(world, index, fragment);
		return;
	}
	at->phase = next == PCCL_EXCHANGE_PIECES ? LAUNCHING : TO_CALL;
	at->next_piece = 0;
	memset(at->has_ended, 0, sizeof(at->has_ended));
}

static void call(struct world *world, uint32_t index, uint32_t fragment)
{
	struct round_at *at = &world->peers[index].rounds[fragment];
	struct op *op = launch(world, index, fragment, PIECES);

	pccl_roll_encode(&at->exchange.entry, op->entries[index]);
	at->phase = CALLED;
}

static void await_call(struct world *world, uint32_t index, uint32_t fragment)
{
	struct round_at *at = &world->peers[index].rounds[fragment];
	struct op *op = at->ops[PIECES];
	uint8_t entries[PEERS * PCCL_ROLL_BYTES];
	uint32_t peer, present = 0;
	pcclResult_t result;

	if (!outcome(world, index, op, &result))
		return;
	for (peer = 0; result == pcclSuccess && peer < PEERS; peer++)
		if ((op->participants >> peer & 1) != 0)
			memcpy(entries + (size_t)present++ * PCCL_ROLL_BYTES, op->entries[peer], PCCL_ROLL_BYTES);
	follow(world, index, fragment, pccl_exchange_rolled(&at->exchange, result, entries, present));
}

/* A codec that rounds to 64ths, with error feedback. */
static void launch_piece(struct world *world, uint32_t index, uint32_t fragment)
{
	struct round_at *at = &world->peers[index].rounds[fragment];
	const uint32_t piece = at->next_piece++;
	struct op *op = launch(world, index, fragment, piece);
	uint32_t i;

	for (i = 0; i < PIECE; i++) {
		const float whole = at->scratch[piece * PIECE + i] + at->contribution[piece * PIECE + i];

		op->sent[index][i] = roundf(whole * 64) / 64;
		op->left[index][i] = whole - op->sent[index][i];
	}
	if (at->next_piece == PIECES)
		at->phase = LAUNCHED;
}

static void await_pieces(struct world *world, uint32_t index, uint32_t fragment)
{
	struct round_at *at = &world->peers[index].rounds[fragment];
	uint32_t piece;

	for (piece = 0; piece < PIECES; piece++) {
		const struct op *op = at->ops[piece];
		uint32_t participants;
		pcclResult_t result;

		if (at->has_ended[piece])
			continue;
		if (!outcome(world, index, at->ops[piece], &result))
			return;
		at->has_ended[piece] = true;
		participants = result == pcclSuccess ? count_bits(op->participants) : 0;
		if (result == pcclSuccess) {
			memcpy(at->contribution + (size_t)piece * PIECE, op->sum, sizeof(op->sum));
			memcpy(at->scratch + (size_t)piece * PIECE, op->left[index], sizeof(op->sum));
		}
		pccl_exchange_piece(&at->exchange, result, participants, participants);
	}
	follow(world, index, fragment, pccl_exchange_settle(&at->exchange));
}

static void act(struct world *world, uint32_t index, uint32_t fragment)
{
	switch (world->peers[index].rounds[fragment].phase) {
	case IDLE:
		begin(world, index, fragment);
		break;
	case TO_CALL:
		call(world, index, fragment);
		break;
	case CALLED:
		await_call(world, index, fragment);
		break;
	case LAUNCHING:
		launch_piece(world, index, fragment);
		break;
	case LAUNCHED:
		await_pieces(world, index, fragment);
		break;
	default:
		break;
	}
}

/* ---- histories ------------------------------ */

static bool has_ended(const struct world *world)
{
	uint32_t peer, fragment;

	for (peer = 0; peer < PEERS; peer++)
		for (fragment = 0; fragment < FRAGMENTS; fragment++)
			if (world->peers[peer].is_alive && world->peers[peer].rounds[fragment].phase != ENDED)
				return false;
	return true;
}

/* Between rounds: somebody new in the place of who died, with what the others have; its residual is its own. */
static void join(struct world *world, uint32_t index)
{
	struct peer *peer = &world->peers[index];
	uint32_t other = 0;

	while (!world->peers[other].is_alive)
		other++;
	*peer = world->peers[other];
	memset(peer->residual, 0, sizeof(peer->residual));
	world->members |= 1u << index;
	world->joins++;
}

static void prepare_round(struct world *world)
{
	uint32_t peer, fragment;

	for (peer = 0; peer < PEERS; peer++)
		if (!world->peers[peer].is_alive && below(world, 2) == 0)
			join(world, peer);
	world->number++;
	world->op_count = 0;
	memset(world->ended, 0, sizeof(world->ended));
	for (peer = 0; peer < PEERS; peer++)
		for (fragment = 0; fragment < FRAGMENTS; fragment++) {
			struct round_at *at = &world->peers[peer].rounds[fragment];

			at->phase = IDLE;
			memset(at->sequences, 0, sizeof(at->sequences));
		}
}

static void run_round(struct world *world)
{
	unsigned steps = 0;

	prepare_round(world);
	while (!has_ended(world)) {
		const uint32_t peer = below(world, PEERS);

		assert_true(++steps < 20000); /* nobody waits for ever */
		if (!world->peers[peer].is_alive)
			continue;
		if (count_bits(world->members) > 1 && below(world, 70) == 0)
			kill_peer(world, peer);
		else
			act(world, peer, below(world, FRAGMENTS));
	}
}

static void run_history(struct world *world, uint64_t seed, struct op *ops)
{
	uint32_t peer, i;
	unsigned round;

	pccl_rng_seed(&world->rng, seed);
	memset(world->peers, 0, sizeof(world->peers));
	world->ops = ops;
	world->members = (1u << PEERS) - 1;
	world->number = 0;
	for (peer = 0; peer < PEERS; peer++) {
		world->peers[peer].is_alive = true;
		for (i = 0; i < COUNT; i++)
			world->peers[peer].outer[0][i] = world->peers[peer].outer[1][i] = (float)i;
	}
	for (round = 0; round < ROUNDS; round++)
		run_round(world);
}

static void rounds_under_churn_are_alike_on_all_survivors(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	struct op *ops = calloc(OPS, sizeof(*ops));
	uint64_t seed;
	unsigned phase;

	(void)state;
	assert_non_null(world);
	assert_non_null(ops);
	for (seed = 1; seed <= HISTORIES; seed++)
		run_history(world, seed, ops);
	print_message("%u rounds: repeated %u times, %u alone, %u joins\n", HISTORIES * ROUNDS, world->repeated,
		      world->alone, world->joins);
	for (phase = IDLE; phase < PHASES; phase++)
		assert_true(world->deaths[phase] > 50);
	assert_true(world->repeated > 1000 && world->alone > 10 && world->joins > 1000);
	free(ops);
	free(world);
}

/* ---- what ends an exchange ------------------------------ */

static void other_failures_end_it_before_losses_repeat_it(void **state)
{
	static const pcclResult_t results[] = {pcclRankConnectionLost, pcclInvalidArgument, pcclTooFewPeers};
	struct pccl_exchange exchange;
	unsigned first;

	(void)state;
	memset(&exchange, 0, sizeof(exchange));
	for (first = 0; first < 3; first++) {
		unsigned i;

		pccl_exchange_begin(&exchange);
		exchange.present = 2;
		for (i = 0; i < 3; i++)
			pccl_exchange_piece(&exchange, results[(first + i) % 3], 0, 0);
		pccl_exchange_piece(&exchange, pcclSuccess, 2, 2);
		assert_int_equal(pccl_exchange_settle(&exchange), PCCL_EXCHANGE_FAILED);
		assert_int_equal(exchange.result, pcclInvalidArgument);
	}
	pccl_exchange_begin(&exchange);
	exchange.present = 2;
	pccl_exchange_piece(&exchange, pcclSuccess, 1, 2);
	assert_int_equal(pccl_exchange_settle(&exchange), PCCL_EXCHANGE_AGAIN);
	assert_int_equal(exchange.repeated, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rounds_under_churn_are_alike_on_all_survivors),
		cmocka_unit_test(other_failures_end_it_before_losses_repeat_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
