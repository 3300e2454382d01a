/* Many operations at once: in any order, from any thread, on one stream. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "lib/check.h"
#include "lib/peers.h"
#include "lib/values.h"

static const unsigned everybody[] = {0, 1, 2, 3, 4, 5, 6, 7};

enum { COUNT = 4099, BATCH = 64, MANY = 4096, MANY_COUNT = 512 };

struct batch {
	int64_t input[BATCH][COUNT];
	int64_t output[BATCH][COUNT];
	pcclHandle_t handles[BATCH];
};

static struct batch *make_batch(void)
{
	struct batch *batch = calloc(1, sizeof(*batch));

	CHECK(batch != NULL);
	return batch;
}

/* Tags start from where operations of different sizes and values are told apart. */
static size_t count_of(unsigned tag)
{
	return tag % 3 == 0 ? COUNT : tag % 7 + 1;
}

static void launch(struct world_peer *me, struct batch *batch, unsigned tag)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;

	operation.count = count_of(tag);
	operation.datatype = pcclInt64;
	operation.tag = tag;
	values_fill(batch->input[tag], pcclInt64, tag * 1000, operation.count, peer_rank(me));
	CHECK_RESULT(pcclSuccess, pcclAllReduceWithAsync(batch->input[tag], batch->output[tag], &operation, me->comm,
							 &batch->handles[tag]));
}

static void await(struct world_peer *me, struct batch *batch, unsigned tag)
{
	CHECK_RESULT(pcclSuccess, pcclAwait(&batch->handles[tag], NULL));
	CHECK(values_reduced(batch->output[tag], pcclInt64, pcclSum, tag * 1000, count_of(tag), everybody,
			     peer_world_size(me)));
}

/* ---- as many as there may be --------------------------------------------------------------------------------- */

/* A permutation of the tags, another one for every peer and round. */
static void shuffle(unsigned *tags, unsigned count, unsigned seed)
{
	unsigned i, state = seed * 2654435761u + 1;

	for (i = 0; i < count; i++)
		tags[i] = i;
	for (i = count - 1; i > 0; i--) {
		unsigned other, keep = tags[i];

		state = state * 1664525u + 1013904223u;
		other = (state >> 8) % (i + 1);
		tags[i] = tags[other];
		tags[other] = keep;
	}
}

static void launches_in_its_own_order(struct world_peer *me)
{
	struct batch *batch = make_batch();
	unsigned tags[BATCH], round, i;

	peer_join(me);
	peer_grow(me, 4);
	for (round = 0; round < 6; round++) {
		shuffle(tags, BATCH, round * 10 + me->index);
		for (i = 0; i < BATCH; i++)
			launch(me, batch, tags[i]);
		shuffle(tags, BATCH, round * 10 + me->index + 5);
		for (i = 0; i < BATCH; i++)
			await(me, batch, tags[i]);
	}
	free(batch);
	peer_meet(me, 4);
	peer_leave(me);
}

static void sixty_four_operations_run_at_once_in_any_order(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 4, launches_in_its_own_order, NULL);
	peers_finish(world);
}

/* Thousands are launched before the first is awaited, everywhere in another order. */
static void launches_thousands(struct world_peer *me)
{
	struct many {
		int64_t input[MANY][MANY_COUNT], output[MANY][MANY_COUNT];
		pcclHandle_t handles[MANY];
		unsigned tags[MANY];
	} *many = calloc(1, sizeof(*many));
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	unsigned i;

	CHECK(many != NULL);
	peer_join(me);
	peer_grow(me, 4);
	operation.count = MANY_COUNT;
	operation.datatype = pcclInt64;
	shuffle(many->tags, MANY, me->index);
	for (i = 0; i < MANY; i++) {
		unsigned tag = me->index == 3 ? many->tags[i] : me->index % 2 == 0 ? i : MANY - 1 - i;

		operation.tag = tag;
		values_fill(many->input[tag], pcclInt64, tag * 1000, MANY_COUNT, peer_rank(me));
		CHECK_RESULT(pcclSuccess, pcclAllReduceWithAsync(many->input[tag], many->output[tag], &operation,
								 me->comm, &many->handles[tag]));
	}
	for (i = 0; i < MANY; i++) {
		unsigned tag = many->tags[i];

		CHECK_RESULT(pcclSuccess, pcclAwait(&many->handles[tag], NULL));
		CHECK(values_reduced(many->output[tag], pcclInt64, pcclSum, tag * 1000, MANY_COUNT, everybody, 4));
	}
	free(many);
	peer_meet(me, 4);
	peer_leave(me);
}

static void thousands_launched_in_opposite_orders_finish(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 4, launches_thousands, NULL);
	peers_finish(world);
}

/* ---- orders that others hang at ------------------------------------------------------------------------------ */

static void reverses_forty_tags(struct world_peer *me)
{
	struct batch *batch = make_batch();
	unsigned i;

	peer_join(me);
	peer_grow(me, 2);
	for (i = 0; i < 40; i++)
		launch(me, batch, me->index == 0 ? i : 39 - i);
	for (i = 0; i < 40; i++)
		await(me, batch, i);
	free(batch);
	peer_meet(me, 2);
	peer_leave(me);
}

static void forty_tags_in_reversed_order_finish(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 2, reverses_forty_tags, NULL);
	peers_finish(world);
}

static void runs_twelve_on_a_pool_of_one(struct world_peer *me)
{
	struct batch *batch = make_batch();
	unsigned round, i;

	me->params.p2p_connection_pool_size = 1;
	peer_join(me);
	peer_grow(me, 4);
	for (round = 0; round < 50; round++) {
		for (i = 0; i < 12; i++)
			launch(me, batch, i);
		for (i = 0; i < 12; i++)
			await(me, batch, i);
	}
	free(batch);
	peer_meet(me, 4);
	peer_leave(me);
}

static void twelve_tiny_operations_share_a_pool_of_one(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 4, runs_twelve_on_a_pool_of_one, NULL);
	peers_finish(world);
}

/* ---- threads ------------------------------------------------------------------------------------------------- */

struct thread_work {
	struct world_peer *me;
	struct batch *batch;
	unsigned first, step;
};

static void *reduce_in_a_thread(void *context)
{
	const struct thread_work *work = context;
	unsigned round, i;

	for (round = 0; round < 20; round++) {
		for (i = 0; i < 8; i++) {
			unsigned tag = work->first + i * work->step;

			launch(work->me, work->batch, tag);
			await(work->me, work->batch, tag);
		}
	}
	return NULL;
}

/* Each thread of a peer runs its own tags one by one; on the other peer, the same tags in the opposite order. Then
 * neither thread can finish without what the other one runs. */
static void *reduce_opposite(void *context)
{
	const struct thread_work *work = context;
	unsigned round;

	for (round = 0; round < 200; round++) {
		launch(work->me, work->batch, work->first);
		await(work->me, work->batch, work->first);
	}
	return NULL;
}

static void run_threads(struct world_peer *me, void *(*body)(void *), unsigned count)
{
	struct thread_work work[8];
	struct batch *batch = make_batch();
	pthread_t threads[8];
	unsigned i;

	peer_join(me);
	peer_grow(me, 2);
	for (i = 0; i < count; i++) {
		/* The second peer starts its threads the other way round. */
		unsigned place = me->index == 0 ? i : count - 1 - i;

		work[i].me = me;
		work[i].batch = batch;
		work[i].first = place;
		work[i].step = count;
		CHECK(pthread_create(&threads[i], NULL, body, &work[i]) == 0);
	}
	for (i = 0; i < count; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	free(batch);
	peer_meet(me, 2);
	peer_leave(me);
}

static void runs_two_threads(struct world_peer *me)
{
	run_threads(me, reduce_opposite, 2);
}

static void two_threads_with_tags_in_opposite_order_finish(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 2, runs_two_threads, NULL);
	peers_finish(world);
}

static void runs_eight_threads(struct world_peer *me)
{
	run_threads(me, reduce_in_a_thread, 8);
}

static void eight_threads_reduce_at_once(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 2, runs_eight_threads, NULL);
	peers_finish(world);
}

/* Some threads call and block, some launch and await, some look now and then: whoever blocks may find himself driving
 * the lane for all of them, and gives it back with operations of others in flight. */
static void *call_in_a_row(void *context)
{
	const struct thread_work *work = context;
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	unsigned round, tag = work->first;

	operation.count = count_of(tag);
	operation.datatype = pcclInt64;
	operation.tag = tag;
	for (round = 0; round < 300; round++) {
		values_fill(work->batch->input[tag], pcclInt64, round, operation.count, peer_rank(work->me));
		CHECK_RESULT(pcclSuccess, pcclAllReduceWith(work->batch->input[tag], work->batch->output[tag],
							    &operation, work->me->comm, NULL));
		CHECK(values_reduced(work->batch->output[tag], pcclInt64, pcclSum, round, operation.count, everybody,
				     2));
	}
	return NULL;
}

static void *look_now_and_then(void *context)
{
	const struct thread_work *work = context;
	unsigned round;

	for (round = 0; round < 100; round++) {
		bool done = false;

		launch(work->me, work->batch, work->first);
		while (!done)
			CHECK_RESULT(pcclSuccess, pcclTestFor(&work->batch->handles[work->first], 1, &done));
		await(work->me, work->batch, work->first);
		if (round % 10 == 0)
			peers_sleep_ms(3);
	}
	return NULL;
}

static void *call_or_look(void *context)
{
	const struct thread_work *work = context;

	switch (work->first) {
	case 0:
		return reduce_opposite(context);
	case 1:
		return look_now_and_then(context);
	default:
		return call_in_a_row(context);
	}
}

static void runs_four_unlike_threads(struct world_peer *me)
{
	run_threads(me, call_or_look, 4);
}

static void who_blocks_drives_for_all(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 2, runs_four_unlike_threads, NULL);
	peers_finish(world);
}

/* ---- launched here, awaited there ---------------------------------------------------------------------------- */

static void *await_in_a_thread(void *context)
{
	const struct thread_work *work = context;
	unsigned i;

	for (i = 0; i < BATCH; i++)
		await(work->me, work->batch, i);
	return NULL;
}

static void awaits_elsewhere(struct world_peer *me)
{
	struct batch *batch = make_batch();
	struct thread_work work = {me, batch, 0, 0};
	pthread_t thread;
	unsigned i;

	peer_join(me);
	peer_grow(me, 3);
	for (i = 0; i < BATCH; i++)
		launch(me, batch, i);
	CHECK(pthread_create(&thread, NULL, await_in_a_thread, &work) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
	free(batch);
	peer_meet(me, 3);
	peer_leave(me);
}

static void a_handle_may_be_awaited_by_another_thread(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 3, awaits_elsewhere, NULL);
	peers_finish(world);
}

/* ---- a late peer --------------------------------------------------------------------------------------------- */

/* In slices, as who has signals to hear does. */
static void test_until_done(const pcclHandle_t *handle)
{
	bool done = false;

	while (!done)
		CHECK_RESULT(pcclSuccess, pcclTestFor(handle, 20, &done));
	CHECK_RESULT(pcclSuccess, pcclTestFor(handle, 10000, &done));
	CHECK(done);
}

/* One large operation that a peer comes late to does not hold up the small ones, nor fill its memory. */
static void comes_late_to_one(struct world_peer *me)
{
	enum { LARGE = 1 << 20 };
	struct batch *batch = make_batch();
	int32_t *large = malloc(LARGE * sizeof(*large));
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	pcclHandle_t handle;
	unsigned i;

	CHECK(large != NULL);
	peer_join(me);
	peer_grow(me, 3);
	operation.count = LARGE;
	operation.datatype = pcclInt32;
	operation.tag = 1000;
	values_fill(large, pcclInt32, 0, LARGE, peer_rank(me));
	if (me->index != 0) {
		bool done = true;

		CHECK_RESULT(pcclSuccess, pcclAllReduceWithAsync(large, large, &operation, me->comm, &handle));
		CHECK_RESULT(pcclSuccess, pcclTestFor(&handle, 10, &done));
		CHECK(!done);
	}
	for (i = 0; i < 100; i++) {
		launch(me, batch, 1);
		await(me, batch, 1);
	}
	if (me->index == 0)
		CHECK_RESULT(pcclSuccess, pcclAllReduceWithAsync(large, large, &operation, me->comm, &handle));
	test_until_done(&handle);
	CHECK_RESULT(pcclSuccess, pcclAwait(&handle, NULL));
	CHECK_RESULT(pcclInvalidArgument, pcclTestFor(&handle, 10, &(bool){false}));
	CHECK_RESULT(pcclInvalidArgument, pcclTestFor(&handle, 10, NULL));
	CHECK(values_reduced(large, pcclInt32, pcclSum, 0, LARGE, everybody, 3));
	free(large);
	free(batch);
	peer_meet(me, 3);
	peer_leave(me);
}

static void a_late_peer_holds_up_only_what_it_is_late_for(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 3, comes_late_to_one, NULL);
	peers_finish(world);
}

/* ---- several who wait ---------------------------------------------------------------------------------------- */

static void *test_once(void *context)
{
	bool done = false;

	CHECK_RESULT(pcclSuccess, pcclTestFor(context, 30000, &done));
	CHECK(done);
	return NULL;
}

/* Each of them is woken at the end, once. */
static void waits_in_three_threads(struct world_peer *me)
{
	struct batch *batch = make_batch();
	pthread_t threads[3];
	unsigned i;

	peer_join(me);
	peer_grow(me, 2);
	if (me->index == 1)
		peer_wait_peer(me, 0, 1);
	launch(me, batch, 0);
	for (i = 0; i < 3; i++)
		CHECK(pthread_create(&threads[i], NULL, test_once, &batch->handles[0]) == 0);
	peers_sleep_ms(20);
	peer_reach(me, 1);
	for (i = 0; i < 3; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	await(me, batch, 0);
	free(batch);
	peer_meet(me, 2);
	peer_leave(me);
}

static void several_threads_may_wait_for_one_operation(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 2, waits_in_three_threads, NULL);
	peers_finish(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(sixty_four_operations_run_at_once_in_any_order, peers_open,
						peers_close),
		cmocka_unit_test_setup_teardown(thousands_launched_in_opposite_orders_finish, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(forty_tags_in_reversed_order_finish, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(twelve_tiny_operations_share_a_pool_of_one, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(two_threads_with_tags_in_opposite_order_finish, peers_open,
						peers_close),
		cmocka_unit_test_setup_teardown(who_blocks_drives_for_all, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(eight_threads_reduce_at_once, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(several_threads_may_wait_for_one_operation, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_handle_may_be_awaited_by_another_thread, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_late_peer_holds_up_only_what_it_is_late_for, peers_open, peers_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
