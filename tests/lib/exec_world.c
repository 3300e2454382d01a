/* The world of executors: streams, time, views. */
#include <stdio.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/crc32c.h"
#include "base/fail.h"
#include "base/names.h"
#include "bits.h"
#include "check.h"
#include "collectives/element/dtype.h"
#include "exec_world_internal.h"

static struct world *running;

struct pccl_rng *world_rng(struct world *world)
{
	return &world->rng;
}

struct pccl_exec *world_exec(struct world *world, uint32_t peer, uint32_t lane)
{
	return world->peers[peer].execs[lane];
}

struct world_call *world_call(struct world *world, uint32_t peer, uint32_t op)
{
	return world->peers[peer].calls[op];
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static bool choose_packing(void *context, pcclDataType_t type)
{
	struct world *world = context;

	(void)type;
	return pccl_rng_hash(world->config.seed, ++world->pack_choices) % 2 == 0;
}

static void learn_packing(void *context, pcclDataType_t type, uint32_t bytes, uint32_t packed_bytes)
{
	(void)context;
	assert_true(pccl_dtype_valid((int)type));
	assert_true(packed_bytes < bytes);
}

static enum pccl_packing packing_of(const struct world *world, uint32_t peer, const struct world_call *call)
{
	uint64_t number = pccl_rng_hash(world->config.seed, call->spec.tag * WORLD_PEERS_MAX + peer);

	if (world->config.packs_always)
		return PCCL_PACK_ALWAYS;
	return world->config.packs ? (enum pccl_packing)(number % 3) : PCCL_PACK_NEVER;
}

struct world *world_create(const struct world_config *config)
{
	struct world *world = must(calloc(1, sizeof(*world)));
	uint32_t members[WORLD_PEERS_MAX], peer, lane;

	running = world;
	world->config = *config;
	pccl_rng_seed(&world->rng, config->seed);
	world->stream_count = config->peers * config->peers * config->lanes * config->streams;
	world->streams = must(calloc(world->stream_count, sizeof(*world->streams)));
	world->busy = must(calloc(world->stream_count, sizeof(*world->busy)));
	for (peer = 0; peer < config->peers; peer++) {
		members[peer] = peer;
		for (lane = 0; lane < config->lanes; lane++) {
			struct pccl_exec_config exec = {.lane = lane,
							.lanes = config->lanes,
							.scratch_bytes = config->scratch_bytes,
							.eager_most = 1u << 16, /* for sanitizers */
							.encoded_bytes = config->encoded_bytes,
							.packed_slots = config->packed_slots,
							.announced_max = config->announced_max};

			exec.packer.choose = choose_packing;
			exec.packer.learn = learn_packing;
			exec.packer.context = world;
			assert_int_equal(pccl_exec_create(&exec, &world->peers[peer].execs[lane]), pcclSuccess);
		}
	}
	world_view(world, members, config->peers);
	for (peer = 0; peer < config->peers; peer++)
		world_install(world, peer);
	return world;
}

static void pop_flight(struct stream *stream)
{
	struct flight *flight = stream->first;

	stream->first = flight->next;
	if (stream->first == NULL)
		stream->last = NULL;
	stream->count--;
	free(flight->copy);
	free(flight);
}

void world_destroy(struct world *world)
{
	uint32_t peer, lane, op, index;

	for (peer = 0; peer < world->config.peers; peer++) {
		for (lane = 0; lane < world->config.lanes; lane++)
			pccl_exec_destroy(world->peers[peer].execs[lane]);
		for (op = 0; op < WORLD_OPS_MAX; op++)
			world_free_call(world->peers[peer].calls[op]);
	}
	for (index = 0; index < world->stream_count; index++)
		while (world->streams[index].first != NULL)
			pop_flight(&world->streams[index]);
	running = NULL;
	free(world->streams);
	free(world->busy);
	free(world->acks);
	free(world);
}

int world_teardown(void **state)
{
	(void)state;
	if (running == NULL)
		return 0;
	fprintf(stderr, "seed %llu\n", (unsigned long long)running->config.seed);
	world_destroy(running);
	return 0;
}

/* ---- streams ----------------------------------------------------------------------------------------------------- */

/* Who sends to whom on a stream. */
struct ends {
	uint32_t from, to, lane;
};

static struct ends ends_of(const struct world *world, uint32_t index)
{
	struct ends ends;

	index /= world->config.streams;
	ends.lane = index % world->config.lanes;
	index /= world->config.lanes;
	ends.to = index % world->config.peers;
	ends.from = index / world->config.peers;
	return ends;
}

uint32_t world_rank_of(const struct world_peer *peer, uint32_t other)
{
	uint32_t rank;

	for (rank = 0; rank < peer->ranks; rank++)
		if (peer->ranks_to_peers[rank] == other)
			return rank;
	return NOBODY;
}

static bool is_of_call(const struct flight *flight, const struct world_call *call)
{
	return flight->send.frame.tag == call->spec.tag && flight->send.frame.sequence == call->spec.sequence;
}

static bool is_lie(const struct world *world, const struct ends *ends, const struct pccl_frame *frame)
{
	return world->config.liar == ends->from + 1 && world->config.victim == ends->to &&
	       frame->type == PCCL_FRAME_RESULT;
}

/* What a carrier does before an op is cancelled; call NULL: everything that is being received. */
void world_forget(struct world *world, uint32_t peer, uint32_t lane, const struct world_call *call)
{
	uint32_t index;
	struct flight *flight;

	for (index = 0; index < world->stream_count; index++) {
		struct ends ends = ends_of(world, index);

		if (ends.lane != lane)
			continue;
		for (flight = world->streams[index].first; flight != NULL; flight = flight->next) {
			if (ends.from == peer && call != NULL && flight->send.cookie == call) {
				if (flight->send.payload != NULL && !flight->forgotten &&
				    !is_lie(world, &ends, &flight->send.frame))
					world_assert_equal(flight->send.payload, flight->copy,
							   flight->send.frame.payload_bytes);
				flight->forgotten = true;
			}
			if (ends.to == peer && flight->coming && (call == NULL || is_of_call(flight, call)))
				flight->discarded = true;
		}
	}
}

/* Nobody needs the memory of an op that has ended well any more. */
static void check_all_delivered(struct world *world, uint32_t peer, uint32_t lane, const struct world_call *call)
{
	uint32_t index;
	struct flight *flight;

	for (index = 0; index < world->stream_count; index++)
		if (ends_of(world, index).from == peer && ends_of(world, index).lane == lane)
			for (flight = world->streams[index].first; flight != NULL; flight = flight->next)
				assert_true(flight->send.cookie != call || flight->send.payload == NULL ||
					    flight->forgotten);
}

/* As the communicator does: an op that fails on one lane is cancelled on all. */
static void cancel_other_lanes(struct world *world, uint32_t peer, struct world_call *call, uint32_t failed)
{
	uint32_t lane;

	for (lane = 0; lane < world->config.lanes; lane++) {
		if (call->lane_ended[lane] && lane != failed)
			world_restore_lane(world, call, lane);
		if (call->lane_ended[lane])
			continue;
		world_forget(world, peer, lane, call);
		pccl_exec_cancel(world->peers[peer].execs[lane], call, call->result, call->detail, true);
		world_drain(world, peer, lane);
	}
}

static bool take_outcome(struct world *world, uint32_t peer, uint32_t lane, struct pccl_exec_outcome *outcome_out)
{
	pcclResult_t result;
	const struct world_call *ending = pccl_exec_ending(world->peers[peer].execs[lane], &result);

	if (ending != NULL && result != pcclSuccess) /* of a success all is delivered, which is checked */
		world_forget(world, peer, lane, ending);
	return pccl_exec_poll(world->peers[peer].execs[lane], outcome_out);
}

void world_drain(struct world *world, uint32_t peer, uint32_t lane)
{
	struct pccl_exec_outcome outcome;

	while (take_outcome(world, peer, lane, &outcome)) {
		struct world_call *call = outcome.cookie;

		if (outcome.result == pcclSuccess)
			check_all_delivered(world, peer, lane, call);
		assert_false(call->lane_ended[lane]);
		call->lane_ended[lane] = true;
		call->lanes_ended++;
		if (call->lanes_ended == world->config.lanes)
			world->peers[peer].open--;
		call->tx_bytes += outcome.tx_bytes;
		call->rx_bytes += outcome.rx_bytes;
		if (call->result != pcclSuccess || outcome.result == pcclSuccess)
			continue;
		call->result = outcome.result;
		memcpy(call->detail, outcome.detail, sizeof(call->detail));
		if (!call->cancelled)
			cancel_other_lanes(world, peer, call, lane);
	}
}

static bool pull(struct world *world, uint32_t index)
{
	struct stream *stream = &world->streams[index];
	struct ends ends = ends_of(world, index);
	struct world_peer *peer = &world->peers[ends.from];
	uint32_t rank = world_rank_of(peer, ends.to);
	struct flight *flight;

	if (ends.from == ends.to || rank == NOBODY || peer->ranks == 0 || stream->count >= world->config.frames_max)
		return false;
	flight = must(calloc(1, sizeof(*flight)));
	if (!pccl_exec_next(peer->execs[ends.lane], rank, &flight->send)) {
		assert_false(pccl_exec_wants(peer->execs[ends.lane], rank));
		free(flight);
		return false;
	}
	if (flight->send.payload != NULL) {
		/* A checksum that comes with a segment is right; without one the carrier takes it. */
		if (flight->send.frame.payload_crc != 0)
			assert_int_equal(flight->send.frame.payload_crc,
					 pccl_crc32c(0, flight->send.payload, flight->send.frame.payload_bytes));
		flight->copy = must(malloc(flight->send.frame.payload_bytes));
		memcpy(flight->copy, flight->send.payload, flight->send.frame.payload_bytes);
		flight->copy[0] ^= (uint8_t)is_lie(world, &ends, &flight->send.frame);
	}
	if (stream->last == NULL)
		stream->first = flight;
	else
		stream->last->next = flight;
	stream->last = flight;
	stream->count++;
	if (!stream->listed)
		world->busy[world->busy_count++] = index;
	stream->listed = true;
	world_drain(world, ends.from, ends.lane);
	return true;
}

static void add_ack(struct world *world, uint32_t peer, uint32_t lane, void *token)
{
	if (token == NULL)
		return;
	if (world->ack_count == world->ack_room) {
		world->ack_room = world->ack_room * 2 + 64;
		world->acks = must(realloc(world->acks, world->ack_room * sizeof(*world->acks)));
	}
	world->acks[world->ack_count].peer = peer;
	world->acks[world->ack_count].lane = lane;
	world->acks[world->ack_count++].token = token;
}

static bool acknowledge(struct world *world)
{
	struct ack ack;
	size_t index;

	if (world->ack_count == 0)
		return false;
	index = pccl_rng_below(&world->rng, world->ack_count);
	ack = world->acks[index];
	world->acks[index] = world->acks[--world->ack_count];
	pccl_exec_sent(world->peers[ack.peer].execs[ack.lane], ack.token);
	world_drain(world, ack.peer, ack.lane);
	return true;
}

static bool accept_head(struct world *world, struct stream *stream, const struct ends *ends)
{
	struct world_peer *peer = &world->peers[ends->to];
	struct flight *flight = stream->first;
	uint32_t rank = world_rank_of(peer, ends->from);
	enum pccl_frame_verdict verdict = PCCL_FRAME_DISCARD;

	if (rank != NOBODY)
		verdict = pccl_exec_accept(peer->execs[ends->lane], rank, &flight->send.frame, &flight->destination);
	if (verdict == PCCL_FRAME_REJECT)
		fprintf(stderr, "%s\n", pccl_fail_text());
	assert_int_not_equal(verdict, PCCL_FRAME_REJECT);
	if (verdict == PCCL_FRAME_HOLD)
		return false;
	if (verdict == PCCL_FRAME_TAKE) {
		assert_int_equal(flight->destination != NULL, flight->send.frame.payload_bytes > 0);
		flight->coming = true;
		/* Some of the payload is there at once. */
		if (flight->destination != NULL && flight->send.frame.payload_bytes > 8)
			memset(flight->destination, 0xa5, 8);
		return true;
	}
	pop_flight(stream);
	return true;
}

static void finish_head(struct world *world, struct stream *stream, const struct ends *ends)
{
	struct world_peer *peer = &world->peers[ends->to];
	struct flight *flight = stream->first;
	struct pccl_frame frame = flight->send.frame;

	if (flight->discarded) {
		pop_flight(stream);
		return;
	}
	if (flight->destination != NULL && pccl_rng_chance(&world->rng, world->config.drop_chance, 100)) {
		memset(flight->destination, 0x5a, frame.payload_bytes);
		flight->coming = false;
		pccl_exec_dropped(peer->execs[ends->lane], world_rank_of(peer, ends->from), &frame);
		world_drain(world, ends->to, ends->lane);
		return;
	}
	if (flight->destination != NULL) {
		if (!flight->forgotten && flight->send.cookie != NULL && !is_lie(world, ends, &frame))
			world_assert_equal(flight->send.payload, flight->copy, frame.payload_bytes);
		memcpy(flight->destination, flight->copy, frame.payload_bytes);
	}
	add_ack(world, ends->from, ends->lane, flight->send.token);
	pop_flight(stream);
	pccl_exec_received(peer->execs[ends->lane], world_rank_of(peer, ends->from), &frame);
	world_drain(world, ends->to, ends->lane);
}

static bool deliver(struct world *world, uint32_t which)
{
	uint32_t index = world->busy[which];
	struct stream *stream = &world->streams[index];
	struct ends ends = ends_of(world, index);
	bool moved = true;

	if (!stream->first->coming)
		moved = accept_head(world, stream, &ends);
	else
		finish_head(world, stream, &ends);
	if (stream->count == 0) {
		stream->listed = false;
		world->busy[which] = world->busy[--world->busy_count];
	}
	return moved;
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

static bool random_event(struct world *world)
{
	uint64_t kind = pccl_rng_below(&world->rng, 9);

	if (kind == 0)
		return acknowledge(world);
	if (kind <= 4 && world->busy_count > 0)
		return deliver(world, (uint32_t)pccl_rng_below(&world->rng, world->busy_count));
	return pull(world, (uint32_t)pccl_rng_below(&world->rng, world->stream_count));
}

/* Everything that can happen, once. */
static bool sweep(struct world *world)
{
	bool moved = false;
	uint32_t index;

	for (index = 0; index < world->stream_count; index++)
		moved = pull(world, index) || moved;
	for (index = world->busy_count; index-- > 0;)
		moved = deliver(world, index) || moved;
	while (acknowledge(world))
		moved = true;
	return moved;
}

bool world_steps(struct world *world, uint32_t events)
{
	for (; events > 0; events--) {
		if (random_event(world)) {
			world->idle = 0;
		} else if (++world->idle > world->stream_count / 2 + 16) {
			if (!sweep(world))
				return false;
			world->idle = 0;
		}
	}
	return true;
}

void world_launch_call(struct world *world, uint32_t peer, struct world_call *call, const uint64_t *held,
		       uint32_t divisor)
{
	struct pccl_exec_launch launch;
	uint32_t lane;

	memset(&launch, 0, sizeof(launch));
	launch.key.tag = call->spec.tag;
	launch.key.sequence = call->spec.sequence;
	launch.signature.kind = (uint8_t)call->spec.kind;
	launch.signature.datatype = (uint8_t)call->spec.datatype;
	launch.signature.op = (uint8_t)call->spec.op;
	launch.signature.algorithm = held != NULL ? 0 : (uint8_t)call->spec.algorithm;
	launch.signature.policy = (uint8_t)call->spec.policy;
	launch.signature.root = call->spec.root;
	launch.signature.up = call->spec.up;
	launch.signature.down = call->spec.down;
	launch.signature.rounding = call->spec.rounding;
	launch.signature.verify = call->spec.verifies;
	launch.signature.count = call->spec.count;
	launch.geometry = call->geometry;
	launch.partner = world_partner(&call->spec, world->peers[peer].ranks, world->peers[peer].rank);
	if (call->spec.kind == PCCL_TRANSFER)
		launch.signature.root = 0;
	launch.plan = call->plan;
	launch.input = call->input;
	launch.output = call->output;
	launch.undo = call->undo;
	launch.residual = call->residual;
	launch.residual_next = call->residual_next;
	launch.residual_made = call->residual_made;
	launch.held = held;
	launch.packing = packing_of(world, peer, call);
	launch.divisor = divisor;
	launch.cookie = call;
	call->launched = true;
	world->peers[peer].open++;
	for (lane = 0; lane < world->config.lanes; lane++)
		assert_int_equal(pccl_exec_launch(world->peers[peer].execs[lane], &launch), pcclSuccess);
	for (lane = 0; lane < world->config.lanes; lane++)
		world_drain(world, peer, lane);
}

void world_launch(struct world *world, uint32_t peer, uint32_t op)
{
	struct world_call *call = world->peers[peer].calls[op];

	world_launch_call(world, peer, call, NULL, call->spec.op == pcclAvg ? world->peers[peer].ranks : 0);
}

bool world_call_ended(const struct world *world, uint32_t peer, uint32_t op)
{
	return world->peers[peer].calls[op]->lanes_ended == world->config.lanes;
}

/* Launches a random call that was not yet, if the peer may have one more in flight. */
static bool launch_random(struct world *world)
{
	uint32_t peer = world->members[pccl_rng_below(&world->rng, world->member_count)];
	uint32_t start = (uint32_t)pccl_rng_below(&world->rng, world->op_count), step;

	if (world->config.in_flight != 0 && world->peers[peer].open == world->config.in_flight)
		return false;
	for (step = 0; step < world->op_count; step++) {
		uint32_t op = (start + step) % world->op_count;
		struct world_call *call = world->peers[peer].calls[op];

		if (call == NULL || call->launched)
			continue;
		world_launch(world, peer, op);
		return true;
	}
	return false;
}

static bool all_ended(const struct world *world)
{
	uint32_t rank, op;

	for (rank = 0; rank < world->member_count; rank++)
		for (op = 0; op < world->op_count; op++)
			if (world->peers[world->members[rank]].calls[op] != NULL &&
			    !world_call_ended(world, world->members[rank], op))
				return false;
	return true;
}

/* For the reader of a failure: who waits for whom. */
static void tell_stuck(const struct world *world)
{
	uint32_t rank, op, lane;

	fprintf(stderr, "seed %llu: nothing can happen any more\n", (unsigned long long)world->config.seed);
	for (rank = 0; rank < world->member_count; rank++) {
		const struct world_peer *peer = &world->peers[world->members[rank]];

		for (op = 0; op < world->op_count; op++) {
			for (lane = 0; peer->calls[op] != NULL && lane < world->config.lanes; lane++) {
				uint64_t waits_for = 0, held[1024] = {0};
				bool complete;

				pccl_exec_waits_for(peer->execs[lane], peer->calls[op], &waits_for);
				pccl_exec_report(peer->execs[lane], peer->calls[op], held, &complete);
				if (waits_for != 0)
					fprintf(stderr,
						"  rank %u lane %u op %u (%s, %s, %u segments): waits for %llx, "
						"holds %zu, complete %d\n",
						rank, lane, op, pccl_collective_name((int)peer->calls[op]->spec.kind),
						pccl_name_or_mark(pcclEnumPlan, (int)peer->calls[op]->spec.algorithm),
						peer->calls[op]->geometry.segment_count, (unsigned long long)waits_for,
						bits_set(held, peer->calls[op]->geometry.segment_count), complete);
			}
		}
	}
}

void world_run(struct world *world)
{
	while (!all_ended(world)) {
		bool launched = pccl_rng_chance(&world->rng, 1, 2) && launch_random(world);

		if (!world_steps(world, 1 + (uint32_t)pccl_rng_below(&world->rng, 100)) && !launched &&
		    !launch_random(world) && !all_ended(world)) {
			/* A random peer may have had nothing to launch. */
			uint32_t tries = 0;

			while (tries < 64 * world->member_count && !launch_random(world))
				tries++;
			if (tries == 64 * world->member_count)
				tell_stuck(world);
			assert_true(tries < 64 * world->member_count);
		}
	}
}

static bool launched_have_ended(const struct world *world)
{
	uint32_t rank, op;

	for (rank = 0; rank < world->member_count; rank++) {
		const struct world_peer *peer = &world->peers[world->members[rank]];

		for (op = 0; op < world->op_count; op++)
			if (peer->calls[op] != NULL && peer->calls[op]->launched &&
			    !world_call_ended(world, world->members[rank], op))
				return false;
	}
	return true;
}

void world_finish(struct world *world)
{
	while (!launched_have_ended(world)) {
		if (world_steps(world, 50) || launched_have_ended(world))
			continue;
		tell_stuck(world);
		assert_true(launched_have_ended(world));
	}
}
