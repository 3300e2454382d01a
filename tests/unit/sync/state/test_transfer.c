/* Transfers between peers of one lane each, over wires that deliver frames in any order, with sources that die, lie, or
 * are slow. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/rng.h"
#include "lib/check.h"
#include "sync/state/transfer.h"

enum { PEERS = 5, FRAMES = 4096, TENSORS = 40, SYNC = 77 };

struct flying {
	uint32_t from, to;
	struct pccl_frame_send send;
	bool begun; /* accepted, its payload is still to come */
	void *destination;
};

struct peer {
	bool alive, lies, slow, mute;
	struct pccl_transfer *transfer;
	pcclSharedState_t state;
	pcclTensorInfo_t infos[TENSORS];
	char names[TENSORS][8];
	struct pccl_inventory *inventory;
	uint32_t rank; /* in the view of those that are alive */
	uint64_t parts_sent, packed_sent, wants_sent;
};

struct world {
	struct pccl_rng rng;
	struct peer peers[PEERS];
	uint32_t who[PEERS]; /* by rank */
	uint32_t ranks;
	struct flying flying[FRAMES];
	uint32_t flying_count;
};

static enum pccl_digest_kind digest_kind; /* of the world: each in turn */
static size_t small_bytes = 100;	  /* of all tensors but one, or a bit more */

static void make_state(struct peer *peer, uint8_t fill, uint32_t tensors, size_t largest)
{
	uint32_t index;

	for (index = 0; index < tensors; index++) {
		/* Each peer lists them in another order, at odd addresses. */
		uint32_t number = (index + fill) % tensors;
		size_t bytes = number == 0 ? largest : small_bytes + number * 7;
		uint8_t *data = malloc(bytes + 1);

		assert_non_null(data);
		memset(data + 1, fill + (int)number, bytes);
		snprintf(peer->names[index], sizeof(peer->names[index]), "t%u", number);
		peer->infos[index] = (pcclTensorInfo_t){.name = peer->names[index], .data = data + 1, .count = bytes};
	}
	peer->state = (pcclSharedState_t){.count = tensors, .infos = peer->infos};
	assert_int_equal(pccl_inventory_create(&peer->state, &peer->inventory), pcclSuccess);
	peer->inventory->digest_kind = digest_kind;
	for (index = 0; index < peer->inventory->chunk_count; index++)
		pccl_inventory_digest_chunk(peer->inventory, index);
}

static void install(struct world *world)
{
	pcclRankUuid_t uuids[PEERS] = {{{0}}};
	uint32_t index;

	world->ranks = 0;
	for (index = 0; index < PEERS; index++) {
		if (!world->peers[index].alive)
			continue;
		uuids[world->ranks].data[0] = (uint8_t)(index + 1);
		world->peers[index].rank = world->ranks;
		world->who[world->ranks++] = index;
	}
	for (index = 0; index < world->ranks; index++)
		assert_int_equal(
			pccl_transfer_install(world->peers[world->who[index]].transfer, world->ranks, index, uuids),
			pcclSuccess);
}

static void make_world(struct world *world, uint64_t seed, uint32_t peers, size_t largest)
{
	const struct pccl_transfer_config config = {.packing = seed % 3 == 0 ? PCCL_PACK_ALWAYS : PCCL_PACK_NEVER};
	uint32_t index;

	memset(world, 0, sizeof(*world));
	pccl_rng_seed(&world->rng, seed);
	digest_kind = seed % 4 == 1 ? PCCL_DIGEST_STRONG : PCCL_DIGEST_FAST;
	for (index = 0; index < peers; index++) {
		struct peer *peer = &world->peers[index];

		peer->alive = true;
		assert_int_equal(pccl_transfer_create(&config, &peer->transfer), pcclSuccess);
		/* Peer 0 has another state than the rest. */
		make_state(peer, index == 0 ? 9 : 1, TENSORS, largest);
	}
	install(world);
	for (index = 0; index < peers; index++)
		pccl_transfer_open(world->peers[index].transfer, SYNC, world->peers[index].inventory, index != 0);
}

static void end_world(struct world *world)
{
	uint32_t index, tensor;

	for (index = 0; index < PEERS; index++) {
		pccl_transfer_destroy(world->peers[index].transfer);
		pccl_inventory_destroy(world->peers[index].inventory);
		for (tensor = 0; tensor < world->peers[index].state.count; tensor++)
			free((uint8_t *)world->peers[index].infos[tensor].data - 1);
	}
}

static void pull(struct world *world)
{
	uint32_t index, rank;

	for (index = 0; index < PEERS; index++) {
		struct peer *peer = &world->peers[index];

		for (rank = 0; peer->alive && rank < world->ranks; rank++) {
			struct flying *flying = &world->flying[world->flying_count];

			while (world->flying_count < FRAMES &&
			       pccl_transfer_next(peer->transfer, rank, &flying->send)) {
				flying->from = index;
				flying->to = world->who[rank];
				flying->begun = false;
				peer->parts_sent += flying->send.frame.type == PCCL_FRAME_PART;
				peer->packed_sent += (flying->send.frame.flags & PCCL_FRAME_PACKED) != 0;
				peer->wants_sent += flying->send.frame.type == PCCL_FRAME_WANT;
				flying = &world->flying[++world->flying_count];
			}
		}
	}
}

static void forget(struct world *world, uint32_t at)
{
	world->flying[at] = world->flying[--world->flying_count];
}

/* The sender hears that it is there, or was not wanted. */
static void acknowledge(struct world *world, uint32_t at)
{
	const struct flying *flying = &world->flying[at];

	if (flying->send.token != NULL)
		pccl_transfer_sent(world->peers[flying->from].transfer, flying->send.token);
	forget(world, at);
}

static void finish(struct world *world, uint32_t at)
{
	struct flying *flying = &world->flying[at];
	const struct peer *from = &world->peers[flying->from], *to = &world->peers[flying->to];

	if (flying->destination != NULL) {
		memcpy(flying->destination, flying->send.payload, flying->send.frame.payload_bytes);
		if (from->lies)
			*(uint8_t *)flying->destination ^= 1;
	}
	pccl_transfer_received(to->transfer, from->rank, &flying->send.frame);
	acknowledge(world, at);
}

/* Accepts a frame, or delivers the payload of one that was accepted, or drops it, to be sent again. */
static void deliver_one(struct world *world)
{
	uint32_t at = (uint32_t)pccl_rng_below(&world->rng, world->flying_count);
	struct flying *flying = &world->flying[at];
	const struct peer *from = &world->peers[flying->from], *to = &world->peers[flying->to];

	if (from->mute && flying->send.frame.type == PCCL_FRAME_PART)
		return;
	if (from->slow && pccl_rng_below(&world->rng, 200) != 0)
		return;
	if (flying->begun && pccl_rng_below(&world->rng, 10) == 0) {
		pccl_transfer_dropped(to->transfer, from->rank, &flying->send.frame);
		flying->begun = false;
	} else if (flying->begun) {
		finish(world, at);
	} else {
		enum pccl_frame_verdict verdict =
			pccl_transfer_accept(to->transfer, from->rank, &flying->send.frame, &flying->destination);

		if (verdict == PCCL_FRAME_TAKE && flying->send.frame.payload_bytes > 0)
			flying->begun = true;
		else if (verdict == PCCL_FRAME_TAKE)
			finish(world, at);
		else if (verdict == PCCL_FRAME_DISCARD)
			acknowledge(world, at);
		else
			fail_msg("refused: %d", (int)verdict);
	}
}

static void kill_peer(struct world *world, uint32_t index)
{
	uint32_t at;

	world->peers[index].alive = false;
	for (at = world->flying_count; at-- > 0;)
		if (world->flying[at].from == index || world->flying[at].to == index)
			forget(world, at);
	install(world);
}

struct order {
	uint32_t chunks[256];
	uint8_t progress[256];
	struct pccl_fetch fetch;
	pcclRankUuid_t sources[PEERS];
};

/* Peer 0 wants all that differs from peer 1's. */
static void begin(struct world *world, struct order *order)
{
	const struct pccl_inventory *own = world->peers[0].inventory, *truth = world->peers[1].inventory;
	uint32_t index;

	memset(order, 0, sizeof(*order));
	for (index = 0; index < own->chunk_count; index++)
		if (!pccl_digest_equal(&own->leaves[index], &truth->leaves[index]))
			order->chunks[order->fetch.count++] = index;
	for (index = 1; index < PEERS; index++)
		if (world->peers[index].alive)
			order->sources[order->fetch.source_count++].data[0] = (uint8_t)(index + 1);
	order->fetch.lanes = 1;
	order->fetch.little_bytes = PCCL_TRANSFER_LITTLE_BYTES;
	order->fetch.chunks = order->chunks;
	order->fetch.progress = order->progress;
	order->fetch.leaves = truth->leaves;
	order->fetch.sources = order->sources;
	pccl_transfer_fetch(world->peers[0].transfer, &order->fetch);
}

static struct pccl_transfer_outcome run(struct world *world)
{
	struct pccl_transfer_outcome outcome;
	uint32_t steps = 0;

	while (!pccl_transfer_poll(world->peers[0].transfer, &outcome)) {
		pull(world);
		if (world->flying_count > 0)
			deliver_one(world);
		assert_true(++steps < 4000000);
	}
	return outcome;
}

static void check_equal(const struct world *world)
{
	const struct pccl_inventory *own = world->peers[0].inventory, *truth = world->peers[1].inventory;
	size_t index;

	for (index = 0; index < own->tensor_count; index++) {
		assert_string_equal(own->tensors[index].name, truth->tensors[index].name);
		assert_memory_equal(own->tensors[index].data, truth->tensors[index].data, own->tensors[index].bytes);
	}
}

/* ---- tests ------------------------------ */

static void a_peer_gets_all_that_differs_from_all_that_have_it(void **state)
{
	struct world world;
	struct order order;
	struct pccl_transfer_outcome outcome;
	uint64_t seed;

	(void)state;
	for (seed = 1; seed <= 20; seed++) {
		make_world(&world, seed, 4, (25u << 19) + 3);
		begin(&world, &order);
		outcome = run(&world);
		assert_int_equal(outcome.event, PCCL_TRANSFER_FETCHED);
		assert_int_equal(outcome.result, pcclSuccess);
		assert_int_equal(outcome.rx_bytes, world.peers[0].inventory->bytes);
		assert_true(seed % 3 == 0 ? outcome.wire_bytes < outcome.rx_bytes / 10
					  : outcome.wire_bytes >= outcome.rx_bytes);
		assert_int_equal(world.peers[1].packed_sent > 0, seed % 3 == 0);
		assert_false(outcome.lied);
		check_equal(&world);
		assert_true(world.peers[1].parts_sent > 0 && world.peers[2].parts_sent > 0 &&
			    world.peers[3].parts_sent > 0);
		end_world(&world);
	}
}

static void deliver_all_but_parts(struct world *world)
{
	uint32_t at;

	pull(world);
	for (at = world->flying_count; at-- > 0;) {
		struct flying *flying = &world->flying[at];

		if (flying->send.frame.type == PCCL_FRAME_PART)
			continue;
		assert_int_equal(pccl_transfer_accept(world->peers[flying->to].transfer,
						      world->peers[flying->from].rank, &flying->send.frame,
						      &flying->destination),
				 PCCL_FRAME_TAKE);
		finish(world, at);
	}
}

/* Of two peers one has 32 slots, and this one wants 40 small chunks at once. */
static void what_finds_no_slot_travels_as_it_is(void **state)
{
	struct world world;
	struct order order;
	struct pccl_transfer_outcome outcome;

	(void)state;
	small_bytes = 2000;
	make_world(&world, 9, 2, 2000);
	begin(&world, &order);
	while (world.peers[1].parts_sent < TENSORS)
		deliver_all_but_parts(&world);
	outcome = run(&world);
	assert_int_equal(outcome.result, pcclSuccess);
	check_equal(&world);
	assert_in_range(world.peers[1].packed_sent, 1, TENSORS - 1);
	end_world(&world);
	small_bytes = 100;
}

/* The bytes say how much of it there is: never more than there is room for. */
static void what_can_not_be_packed_so_is_refused_or_a_lie(void **state)
{
	struct pccl_frame frame = {.type = PCCL_FRAME_PART, .tag = SYNC, .flags = PCCL_FRAME_PACKED};
	struct pccl_transfer_outcome outcome;
	struct world world;
	struct order order;
	void *destination;

	(void)state;
	make_world(&world, 1, 2, 5000);
	begin(&world, &order);
	while (world.peers[1].parts_sent < TENSORS)
		deliver_all_but_parts(&world);
	frame.payload_bytes = 5000;
	assert_int_equal(pccl_transfer_accept(world.peers[0].transfer, 1, &frame, &destination), PCCL_FRAME_REJECT);
	frame.payload_bytes = 0;
	assert_int_equal(pccl_transfer_accept(world.peers[0].transfer, 1, &frame, &destination), PCCL_FRAME_REJECT);
	frame.segment = 1;
	frame.payload_bytes = 50; /* of 107: too few to be worth it */
	assert_int_equal(pccl_transfer_accept(world.peers[0].transfer, 1, &frame, &destination), PCCL_FRAME_REJECT);
	frame.segment = 0;
	frame.payload_bytes = 4999;
	assert_int_equal(pccl_transfer_accept(world.peers[0].transfer, 1, &frame, &destination), PCCL_FRAME_TAKE);
	memset(destination, 0x5a, 4999);
	pccl_transfer_received(world.peers[0].transfer, 1, &frame);
	assert_true(pccl_transfer_poll(world.peers[0].transfer, &outcome));
	assert_int_equal(outcome.result, pcclNoSharedStateAvailable);
	assert_true(outcome.lied);
	end_world(&world);
}

static void what_is_equal_does_not_move(void **state)
{
	struct world world;
	struct order order;
	struct pccl_transfer_outcome outcome;

	(void)state;
	make_world(&world, 1, 3, 1000);
	begin(&world, &order);
	(void)run(&world);
	for (uint32_t index = 0; index < world.peers[0].inventory->chunk_count; index++)
		pccl_inventory_digest_chunk(world.peers[0].inventory, index);
	world.peers[1].parts_sent = world.peers[2].parts_sent = 0;
	begin(&world, &order);
	assert_int_equal(order.fetch.count, 0);
	outcome = run(&world);
	assert_int_equal(outcome.rx_bytes, 0);
	assert_int_equal(world.peers[1].parts_sent + world.peers[2].parts_sent, 0);
	end_world(&world);
}

static void sources_die_until_one_is_left(void **state)
{
	struct world world;
	struct order order;
	struct pccl_transfer_outcome outcome;
	uint64_t seed;

	(void)state;
	for (seed = 1; seed <= 40; seed++) {
		uint32_t steps = 0;

		make_world(&world, seed, 5, (3u << 19) + 1);
		begin(&world, &order);
		while (!pccl_transfer_poll(world.peers[0].transfer, &outcome)) {
			pull(&world);
			if (world.flying_count > 0)
				deliver_one(&world);
			if (++steps % 60 == 0 && world.ranks > 2)
				kill_peer(&world, world.who[1 + pccl_rng_below(&world.rng, world.ranks - 1)]);
		}
		assert_int_equal(outcome.result, pcclSuccess);
		check_equal(&world);
		end_world(&world);
	}
}

static void without_a_source_it_ends(void **state)
{
	struct world world;
	struct order order;
	struct pccl_transfer_outcome outcome;
	uint32_t step;

	(void)state;
	make_world(&world, 3, 2, 5u << 20);
	begin(&world, &order);
	for (step = 0; step < 12; step++) {
		pull(&world);
		deliver_one(&world);
	}
	kill_peer(&world, 1);
	outcome = run(&world);
	assert_int_equal(outcome.result, pcclRankConnectionLost);
	end_world(&world);
}

static void a_liar_is_named_and_what_it_sent_does_not_count(void **state)
{
	struct world world;
	struct order order;
	struct pccl_transfer_outcome outcome;
	uint64_t seed;

	(void)state;
	for (seed = 1; seed <= 20; seed++) {
		make_world(&world, seed, 4, (25u << 19) + 3);
		world.peers[2].lies = true;
		begin(&world, &order);
		outcome = run(&world);
		assert_int_equal(outcome.result, pcclSuccess);
		assert_true(outcome.lied);
		assert_int_equal(outcome.liar.data[0], 3);
		check_equal(&world);
		end_world(&world);
	}
}

static void of_liars_only_nothing_counts(void **state)
{
	struct world world;
	struct order order;
	struct pccl_transfer_outcome outcome;
	uint32_t index;

	(void)state;
	make_world(&world, 5, 3, 3u << 20);
	world.peers[1].lies = world.peers[2].lies = true;
	begin(&world, &order);
	outcome = run(&world);
	assert_int_equal(outcome.result, pcclNoSharedStateAvailable);
	for (index = 0; index < order.fetch.count; index++)
		assert_int_not_equal(order.progress[index], PCCL_FETCH_DONE);
	end_world(&world);
}

static void a_slow_source_holds_nobody_up(void **state)
{
	struct world world;
	struct order order;
	struct pccl_transfer_outcome outcome;

	(void)state;
	make_world(&world, 6, 3, 20u << 20);
	world.peers[2].slow = true;
	begin(&world, &order);
	outcome = run(&world);
	assert_int_equal(outcome.result, pcclSuccess);
	check_equal(&world);
	/* It was asked for its share at first, and that was asked of the other one in the end. */
	assert_true(world.peers[0].wants_sent > order.fetch.count);
	end_world(&world);
}

/* One that offers and sends nothing. What is little is asked of one source only, and stealing is not worth it. */
static void a_mute_source_is_not_waited_for(void **state)
{
	struct world world;
	struct order order;
	struct pccl_transfer_outcome outcome;
	uint32_t steps, mute;

	(void)state;
	for (mute = 1; mute < 3; mute++) {
		make_world(&world, 6, 3, 1000);
		world.peers[mute].mute = true;
		begin(&world, &order);
		for (steps = 0; steps < 100000; steps++) {
			pull(&world);
			if (world.flying_count > 0)
				deliver_one(&world);
			pccl_transfer_look(world.peers[0].transfer, 1 + steps * (PCCL_TRANSFER_MUTE_NS / 50000));
			if (pccl_transfer_poll(world.peers[0].transfer, &outcome))
				break;
		}
		assert_in_range(steps, 1, 99999);
		assert_int_equal(outcome.result, pcclSuccess);
		check_equal(&world);
		end_world(&world);
	}
}

static void documents_are_fetched_as_well(void **state)
{
	struct world world;
	struct order order;
	struct pccl_transfer_outcome outcome;
	const struct pccl_inventory *truth;
	uint8_t keys[TENSORS * 20];
	char text[200];

	(void)state;
	make_world(&world, 7, 2, 1000);
	truth = world.peers[1].inventory;
	begin(&world, &order);
	(void)run(&world);
	order.fetch.space = PCCL_STATE_KEYS;
	order.fetch.document = keys;
	order.fetch.document_bytes = pccl_state_document_bytes(truth, PCCL_STATE_KEYS);
	order.fetch.count = 1;
	order.fetch.chunks = NULL;
	memset(order.progress, 0, sizeof(order.progress));
	pccl_transfer_fetch(world.peers[0].transfer, &order.fetch);
	outcome = run(&world);
	assert_int_equal(outcome.result, pcclSuccess);
	assert_memory_equal(keys, truth->keys, truth->keys_bytes);
	pccl_inventory_compare(world.peers[0].inventory, keys, truth->keys_bytes, text, sizeof(text));
	assert_non_null(strstr(text, "the same"));
	end_world(&world);
}

static void what_can_not_be_wanted_is_refused(void **state)
{
	struct pccl_frame frame = {.type = PCCL_FRAME_WANT, .tag = SYNC};
	struct world world;
	void *destination;
	uint32_t index;

	(void)state;
	make_world(&world, 8, 2, 1000);
	frame.segment = world.peers[1].inventory->chunk_count;
	assert_int_equal(pccl_transfer_accept(world.peers[1].transfer, 0, &frame, &destination), PCCL_FRAME_REJECT);
	frame.segment = 0;
	frame.sequence = PCCL_STATE_LOOSE; /* there is nothing that may differ */
	assert_int_equal(pccl_transfer_accept(world.peers[1].transfer, 0, &frame, &destination), PCCL_FRAME_REJECT);
	frame.sequence = PCCL_STATE_CHUNKS;
	for (index = 0; index < PCCL_TRANSFER_WANTS_MAX; index++) {
		assert_int_equal(pccl_transfer_accept(world.peers[1].transfer, 0, &frame, &destination),
				 PCCL_FRAME_TAKE);
		pccl_transfer_received(world.peers[1].transfer, 0, &frame);
	}
	assert_int_equal(pccl_transfer_accept(world.peers[1].transfer, 0, &frame, &destination), PCCL_FRAME_REJECT);
	/* Of another call, or from one that does not serve: nothing comes of it. */
	frame.tag = SYNC + 1;
	assert_int_equal(pccl_transfer_accept(world.peers[1].transfer, 0, &frame, &destination), PCCL_FRAME_DISCARD);
	frame.tag = SYNC;
	assert_int_equal(pccl_transfer_accept(world.peers[0].transfer, 1, &frame, &destination), PCCL_FRAME_DISCARD);
	/* Parts that nobody asked for. */
	frame.type = PCCL_FRAME_PART;
	frame.payload_bytes = 100;
	assert_int_equal(pccl_transfer_accept(world.peers[0].transfer, 1, &frame, &destination), PCCL_FRAME_DISCARD);
	end_world(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_peer_gets_all_that_differs_from_all_that_have_it),
		cmocka_unit_test(what_finds_no_slot_travels_as_it_is),
		cmocka_unit_test(what_can_not_be_packed_so_is_refused_or_a_lie),
		cmocka_unit_test(what_is_equal_does_not_move),
		cmocka_unit_test(sources_die_until_one_is_left),
		cmocka_unit_test(without_a_source_it_ends),
		cmocka_unit_test(a_liar_is_named_and_what_it_sent_does_not_count),
		cmocka_unit_test(of_liars_only_nothing_counts),
		cmocka_unit_test(a_slow_source_holds_nobody_up),
		cmocka_unit_test(a_mute_source_is_not_waited_for),
		cmocka_unit_test(documents_are_fetched_as_well),
		cmocka_unit_test(what_can_not_be_wanted_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
