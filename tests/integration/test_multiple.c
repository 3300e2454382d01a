/* pcclAllReduceMultipleWithRetry: every buffer is reduced or it does not say so, whoever dies. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/check.h"
#include "lib/peers.h"
#include "lib/values.h"

enum { MANY = 12, TOLD_RANK = MANY };

static const unsigned everybody[] = {0, 1, 2, 3};

struct plan_of_attack {
	int window;
	size_t count;
	unsigned victim;
};

struct many {
	pcclReduceOpDescriptor_t descriptors[MANY];
	size_t count; /* of each */
};

static void many_init(struct many *many, size_t count)
{
	unsigned i;

	memset(many, 0, sizeof(*many));
	many->count = count;
	for (i = 0; i < MANY; i++) {
		pcclReduceOpDescriptor_t *one = &many->descriptors[i];

		one->sendbuf = calloc(count, sizeof(int64_t));
		/* Every third one in place. */
		one->recvbuf = i % 3 == 0 ? one->sendbuf : calloc(count, sizeof(int64_t));
		CHECK(one->sendbuf != NULL && one->recvbuf != NULL);
		one->descriptor.count = count;
		one->descriptor.op = pcclSum;
		one->descriptor.tag = 100 + i;
		one->descriptor.src_descriptor.datatype = pcclInt64;
	}
}

static void many_fini(struct many *many)
{
	unsigned i;

	for (i = 0; i < MANY; i++) {
		if (many->descriptors[i].recvbuf != many->descriptors[i].sendbuf)
			free(many->descriptors[i].recvbuf);
		free(many->descriptors[i].sendbuf);
	}
}

static void many_fill(struct many *many, unsigned rank)
{
	unsigned i;

	for (i = 0; i < MANY; i++)
		values_fill(many->descriptors[i].sendbuf, pcclInt64, i * 7, many->count, rank);
}

/* Each was reduced as a whole, by everybody or by the survivors. */
static void many_check(const struct many *many, const unsigned *survivors, unsigned survivor_count)
{
	unsigned i;

	for (i = 0; i < MANY; i++) {
		const void *output = many->descriptors[i].recvbuf;
		size_t by_all =
			values_matching(output, pcclInt64, pcclSum, i * 7, many->count, everybody, survivor_count + 1);

		CHECK(by_all == many->count ||
		      values_reduced(output, pcclInt64, pcclSum, i * 7, many->count, survivors, survivor_count));
	}
}

static void reduces_many_until_a_kill(struct world_peer *me)
{
	const struct plan_of_attack *attack = me->argument;
	unsigned survivors[3], count = 0, rank;
	pcclReduceInfo_t info;
	struct many many;

	peer_join(me);
	peer_grow(me, 3);
	rank = peer_rank(me);
	many_init(&many, attack->count);
	peer_tell(me, TOLD_RANK, rank);
	do {
		many_fill(&many, rank);
		peer_reach(me, 1);
		CHECK_RESULT(pcclSuccess,
			     pcclAllReduceMultipleWithRetry(many.descriptors, MANY, me->comm, &info, attack->window));
	} while (info.local_world_size == 3);
	CHECK(info.local_world_size == 2 && peer_world_size(me) == 2);
	for (rank = 0; rank < 3; rank++)
		if (rank != peers_told(me->world, attack->victim, TOLD_RANK))
			survivors[count++] = rank;
	many_check(&many, survivors, count);
	for (rank = 0; rank < MANY; rank++)
		peer_tell(me, rank, values_hash(many.descriptors[rank].recvbuf, many.count * sizeof(int64_t)));
	many_fini(&many);
	peer_meet(me, 2);
	peer_leave(me);
}

static void kill_one_of_three(void **state, const struct plan_of_attack *attack)
{
	struct world *world = *state;
	unsigned left = attack->victim == 0 ? 1 : 0, right = attack->victim == 2 ? 1 : 2, i;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 3, reduces_many_until_a_kill, attack);
	peers_await_all(world, 0, 3, 1);
	peers_sleep_ms(5 + (unsigned)(peers_now_ns() % 30));
	peers_signal(world, attack->victim, SIGKILL);
	peers_finish(world);
	for (i = 0; i < MANY; i++)
		assert_int_equal(peers_told(world, left, i), peers_told(world, right, i));
}

static void one_of_three_dies_with_one_in_flight(void **state)
{
	const struct plan_of_attack attack = {1, 200003, 1};

	kill_one_of_three(state, &attack);
}

static void one_of_three_dies_with_four_in_flight(void **state)
{
	const struct plan_of_attack attack = {4, 100003, 2};

	kill_one_of_three(state, &attack);
}

static void the_founder_dies_with_all_in_flight(void **state)
{
	const struct plan_of_attack attack = {100, 50021, 0};

	kill_one_of_three(state, &attack);
}

static void one_of_three_dies_amid_tiny_ones(void **state)
{
	const struct plan_of_attack attack = {3, 5, 1};

	kill_one_of_three(state, &attack);
}

/* ---- without a fault ----------------------------------------------------------------------------------------- */

static void reduces_many(struct world_peer *me)
{
	const unsigned size = 4;
	pcclReduceInfo_t info;
	struct many many;
	int window;

	peer_join(me);
	peer_grow(me, size);
	many_init(&many, 3001);
	for (window = 1; window < 80; window = window * 3 + 1) {
		many_fill(&many, peer_rank(me));
		CHECK_RESULT(pcclSuccess,
			     pcclAllReduceMultipleWithRetry(many.descriptors, MANY, me->comm, &info, window));
		CHECK(info.local_world_size == size);
		CHECK(info.tx_bytes > 0 && info.rx_bytes > 0);
		many_check(&many, everybody, size - 1);
		many_fill(&many, peer_rank(me));
		CHECK_RESULT(pcclSuccess,
			     pcclAllReduceMultipleWithRetry(many.descriptors, MANY, me->comm, NULL, window));
	}
	many_fini(&many);
	peer_leave(me);
}

static void any_window_reduces_everything(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 4, reduces_many, NULL);
	peers_finish(world);
}

/* ---- the last one -------------------------------------------------------------------------------------------- */

/* What was not reduced keeps its input: with the other gone, there is nobody to reduce with. */
static void is_left_alone(struct world_peer *me)
{
	pcclResult_t result = pcclSuccess;
	struct many many;
	unsigned rank, i;

	peer_join(me);
	peer_grow(me, 2);
	rank = peer_rank(me);
	many_init(&many, 100003);
	while (result == pcclSuccess) {
		many_fill(&many, rank);
		peer_reach(me, 1);
		result = pcclAllReduceMultipleWithRetry(many.descriptors, MANY, me->comm, NULL, 2);
	}
	CHECK_RESULT(pcclTooFewPeers, result);
	CHECK(peer_world_size(me) == 1);
	for (i = 0; i < MANY; i += 3) {
		const int64_t *buffer = many.descriptors[i].recvbuf;

		CHECK(values_matching(buffer, pcclInt64, pcclSum, i * 7, many.count, everybody, 2) == many.count ||
		      values_filled(buffer, pcclInt64, i * 7, many.count, rank));
	}
	/* No operation is in flight. */
	CHECK_RESULT(pcclSuccess, pcclUpdateTopology(me->comm));
	many_fini(&many);
	peer_leave(me);
}

static void the_last_one_is_told_that_it_is_alone(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 2, is_left_alone, NULL);
	peers_await_all(world, 0, 2, 1);
	peers_sleep_ms(20);
	peers_signal(world, 1, SIGKILL);
	peers_finish(world);
}

/* ---- two batches at once ----------------------------------------------------------------------------------------- */

enum { THREADS = 2, BATCH = 100, BATCH_COUNT = 3000 };

struct batch {
	struct world_peer *me;
	unsigned number;
	int64_t *values;
	pcclResult_t result;
};

static void *reduce_a_batch(void *context)
{
	struct batch *batch = context;
	pcclReduceOpDescriptor_t descriptors[BATCH];
	unsigned i;

	memset(descriptors, 0, sizeof(descriptors));
	for (i = 0; i < BATCH; i++) {
		descriptors[i].sendbuf = descriptors[i].recvbuf = batch->values + (size_t)i * BATCH_COUNT;
		descriptors[i].descriptor.count = BATCH_COUNT;
		descriptors[i].descriptor.op = pcclSum;
		descriptors[i].descriptor.tag = batch->number * 1000 + i;
		descriptors[i].descriptor.src_descriptor.datatype = pcclInt64;
		values_fill(descriptors[i].recvbuf, pcclInt64, i * 7, BATCH_COUNT, peer_rank(batch->me));
	}
	batch->result = pcclAllReduceMultipleWithRetry(descriptors, BATCH, batch->me->comm, NULL, 60);
	return NULL;
}

/* Which of them launches first differs from peer to peer, from moment to moment. */
static void reduces_two_batches(struct world_peer *me)
{
	struct batch batches[THREADS];
	pthread_t threads[THREADS];
	unsigned round, i, k;

	peer_join(me);
	peer_grow(me, 2);
	for (round = 0; round < 8; round++) {
		for (i = 0; i < THREADS; i++) {
			batches[i].me = me;
			batches[i].number = (i + me->index) % THREADS;
			batches[i].values = calloc((size_t)BATCH * BATCH_COUNT, sizeof(int64_t));
			CHECK(batches[i].values != NULL);
			CHECK(pthread_create(&threads[i], NULL, reduce_a_batch, &batches[i]) == 0);
		}
		for (i = 0; i < THREADS; i++) {
			CHECK(pthread_join(threads[i], NULL) == 0);
			CHECK_RESULT(pcclSuccess, batches[i].result);
			for (k = 0; k < BATCH; k++)
				CHECK(values_reduced(batches[i].values + (size_t)k * BATCH_COUNT, pcclInt64, pcclSum,
						     k * 7, BATCH_COUNT, everybody, 2));
			free(batches[i].values);
		}
	}
	peer_meet(me, 2);
	peer_leave(me);
}

static void two_batches_in_two_threads_do_not_wait_for_each_other(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 2, reduces_two_batches, NULL);
	peers_finish(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_of_three_dies_with_one_in_flight, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(one_of_three_dies_with_four_in_flight, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(the_founder_dies_with_all_in_flight, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(one_of_three_dies_amid_tiny_ones, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(any_window_reduces_everything, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(the_last_one_is_told_that_it_is_alone, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(two_batches_in_two_threads_do_not_wait_for_each_other, peers_open,
						peers_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
