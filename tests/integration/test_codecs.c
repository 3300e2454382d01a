/* All-reduce through codecs, between processes with different processors' kernels: identical bytes, errors within
 * bounds, fewer bytes on the wire, and words for what can't be done. */
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "bench/reference_data.h"
#include "lib/check.h"
#include "lib/peers.h"
#include "lib/values.h"

enum { WORLD = 4, COUNT = 70001, LARGE = 1 << 20, ROUNDS = 12 };

struct buffers {
	float *input, *output;
	double *exact; /* the average of all inputs */
};

/* A codec, and the error of the average of four contributions that it may have at most. */
struct promise {
	pcclQuantizationAlgorithm_t codec;
	pcclDataType_t target;
	double error_db;
};

static const struct promise promises[] = {
	{pcclQuantMinMax, pcclUint8, -39},	  {pcclQuantMinMax, pcclInt16, -80},
	{pcclQuantZeroPointScale, pcclInt8, -36}, {pcclQuantBF16, pcclUint8, -52},
	{pcclQuantFP16, pcclUint8, -70},	  {pcclQuantE4M3, pcclUint8, -29},
	{pcclQuantE5M2, pcclUint8, -23},	  {pcclQuantInt8, pcclUint8, -41},
	{pcclQuantInt4, pcclUint8, -18},	  {pcclQuantInt8MinMax, pcclUint8, -39},
	{pcclQuantInt4MinMax, pcclUint8, -17.5},  {pcclQuantE3M0, pcclUint8, -11.5},
	{pcclQuantNF4, pcclUint8, -17.5},
};

#define PROMISES (sizeof(promises) / sizeof(promises[0]))

static void open_buffers(const struct world_peer *me, size_t count, struct buffers *b)
{
	unsigned peer;
	size_t i;

	b->input = malloc(count * sizeof(*b->input));
	b->output = malloc(count * sizeof(*b->output));
	b->exact = calloc(count, sizeof(*b->exact));
	CHECK(b->input != NULL && b->output != NULL && b->exact != NULL);
	for (i = 0; i < count; i++) {
		for (peer = 0; peer < WORLD; peer++)
			b->exact[i] += (double)reference_element(1, peer, i) / WORLD;
		b->input[i] = reference_element(1, peer_rank(me), i);
	}
}

static void close_buffers(struct buffers *b)
{
	free(b->input);
	free(b->output);
	free(b->exact);
}

static double error_db(const float *got, const double *exact, size_t count)
{
	double error = 0, power = 0;
	size_t i;

	for (i = 0; i < count; i++) {
		error += ((double)got[i] - exact[i]) * ((double)got[i] - exact[i]);
		power += exact[i] * exact[i];
	}
	return 10 * log10(error / power);
}

/* Everybody has the same bytes. */
static void check_parity(struct world_peer *me, const void *buffer, size_t bytes)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	uint64_t hash = values_hash(buffer, bytes), all[WORLD];
	unsigned i;

	operation.count = 1;
	operation.datatype = pcclUint64;
	operation.tag = 1u << 20;
	CHECK_RESULT(pcclSuccess, pcclAllGather(&hash, all, &operation, me->comm, NULL));
	for (i = 0; i < WORLD; i++)
		CHECK(all[i] == hash);
}

/* Each peer as if it ran on another processor. */
static void join_with_other_kernels(struct world_peer *me)
{
	static const char *const levels[WORLD] = {"scalar", "avx2", "avx512", "avx512"};

	CHECK(setenv("PCCL_CPU", levels[me->index % WORLD], 1) == 0);
	peer_join(me);
	peer_grow(me, WORLD);
}

static pcclOperation_t average_of(size_t count, const struct promise *promise)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;

	operation.count = count;
	operation.op = pcclAvg;
	operation.tag = 7;
	operation.codec = promise->codec;
	operation.codec_datatype = promise->target;
	return operation;
}

/* ---- errors and parity ------------------------------------------------------------------------------------------ */

static void check_promise(struct world_peer *me, const struct promise *promise, struct buffers *b)
{
	static const pcclPlan_t plans[] = {pcclPlanAuto, pcclPlanDirect, pcclPlanOneshot};
	uint64_t first = 0;
	unsigned i;

	for (i = 0; i < 6; i++) {
		pcclOperation_t operation = average_of(COUNT, promise);

		operation.plan = plans[i % 3];
		operation.rounding = i < 3 ? pcclRoundNearest : pcclRoundStochastic;
		operation.tag = i;
		CHECK_RESULT(pcclSuccess, pcclAllReduceWith(b->input, b->output, &operation, me->comm, NULL));
		check_parity(me, b->output, COUNT * sizeof(float));
		/* Stochastic rounding errs twice as much at the utmost. */
		CHECK(error_db(b->output, b->exact, COUNT) <= promise->error_db + (i < 3 ? 0 : 6.1));
		/* Rounding to nearest, the plan makes no difference. */
		if (i == 0)
			first = values_hash(b->output, COUNT * sizeof(float));
		CHECK(i >= 3 || values_hash(b->output, COUNT * sizeof(float)) == first);
	}
}

static void keeps_all_promises(struct world_peer *me)
{
	struct buffers b;
	unsigned i;

	join_with_other_kernels(me);
	open_buffers(me, COUNT, &b);
	for (i = 0; i < PROMISES; i++)
		check_promise(me, &promises[i], &b);
	close_buffers(&b);
	peer_meet(me, WORLD);
	peer_leave(me);
}

static void every_codec_keeps_its_error_and_the_parity_of_bits(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, WORLD, keeps_all_promises, NULL);
	peers_finish(world);
}

/* ---- bytes ------------------------------------------------------------------------------------------------------- */

static uint64_t bytes_sent(struct world_peer *me, const pcclOperation_t *operation, const struct buffers *b)
{
	pcclOperationInfo_t info = PCCL_OPERATION_INFO_INITIALIZER;

	CHECK_RESULT(pcclSuccess, pcclAllReduceWith(b->input, b->output, operation, me->comm, &info));
	CHECK(info.plan == pcclPlanDirect);
	CHECK(info.rx_bytes > info.tx_bytes / 2);
	return info.tx_bytes;
}

static void counts_bytes(struct world_peer *me)
{
	const struct promise none = {pcclQuantNone, pcclUint8, 0}, int8 = {pcclQuantInt8, pcclUint8, 0};
	pcclOperation_t operation = average_of(LARGE, &none);
	struct buffers b;
	uint64_t plain;

	peer_join(me);
	peer_grow(me, WORLD);
	open_buffers(me, LARGE, &b);
	plain = bytes_sent(me, &operation, &b);
	operation = average_of(LARGE, &int8);
	CHECK(bytes_sent(me, &operation, &b) * 3.85 < (double)plain);
	operation.codec = pcclQuantInt4;
	operation.codec_block = 256;
	CHECK(bytes_sent(me, &operation, &b) * 7 < (double)plain);
	operation.codec_down = pcclQuantInt8;
	CHECK(bytes_sent(me, &operation, &b) * 4.9 < (double)plain);
	CHECK(error_db(b.output, b.exact, LARGE) < -18);
	operation.codec = pcclQuantInt8;
	operation.codec_down = pcclQuantPlain;
	CHECK(bytes_sent(me, &operation, &b) * 1.55 < (double)plain);
	close_buffers(&b);
	peer_meet(me, WORLD);
	peer_leave(me);
}

static void codecs_send_fewer_bytes(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, WORLD, counts_bytes, NULL);
	peers_finish(world);
}

/* ---- the interface of PCCL 1.0 ----------------------------------------------------------------------------------- */

static void calls_as_in_pccl_1(struct world_peer *me)
{
	const pcclQuantizationAlgorithm_t algorithms[] = {pcclQuantMinMax, pcclQuantZeroPointScale, pcclQuantInt8};
	pcclReduceDescriptor_t descriptor;
	pcclReduceInfo_t info;
	struct buffers b;
	unsigned i;

	join_with_other_kernels(me);
	open_buffers(me, COUNT, &b);
	for (i = 0; i < 3; i++) {
		memset(&descriptor, 0, sizeof(descriptor));
		descriptor.count = COUNT;
		descriptor.op = pcclAvg;
		descriptor.tag = i;
		descriptor.src_descriptor.datatype = pcclFloat;
		descriptor.quantization_options.algorithm = algorithms[i];
		descriptor.quantization_options.quantized_datatype = pcclUint8;
		CHECK_RESULT(pcclSuccess, pcclAllReduce(b.input, b.output, &descriptor, me->comm, &info));
		CHECK(info.tx_bytes < COUNT * sizeof(float) * 2 / 5);
		CHECK(error_db(b.output, b.exact, COUNT) < -36);
		check_parity(me, b.output, COUNT * sizeof(float));
	}
	descriptor.quantization_options.algorithm = pcclQuantMinMax;
	descriptor.quantization_options.quantized_datatype = pcclFloat;
	/* As wide as the data: travels plain. */
	CHECK_RESULT(pcclSuccess, pcclAllReduce(b.input, b.output, &descriptor, me->comm, &info));
	CHECK(error_db(b.output, b.exact, COUNT) < -120);
	close_buffers(&b);
	peer_meet(me, WORLD);
	peer_leave(me);
}

static void quantization_of_pccl_1_works(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, WORLD, calls_as_in_pccl_1, NULL);
	peers_finish(world);
}

/* ---- what can't be done ------------------------------------------------------------------------------------------ */

static void check_refused(struct world_peer *me, const pcclOperation_t *operation, const struct buffers *b,
			  const char *words)
{
	CHECK_RESULT(pcclInvalidArgument, pcclAllReduceWith(b->input, b->output, operation, me->comm, NULL));
	CHECK(strstr(pcclGetLastError(me->comm), words) != NULL);
}

static void check_requests(struct world_peer *me, const struct buffers *b)
{
	const struct promise int8 = {pcclQuantInt8, pcclUint8, 0};
	pcclOperation_t operation = average_of(COUNT, &int8);

	operation.plan = pcclPlanRing;
	check_refused(me, &operation, b, "ring");
	operation = average_of(COUNT, &int8);
	operation.datatype = pcclInt32;
	check_refused(me, &operation, b, "floating point");
	operation = average_of(COUNT, &int8);
	operation.codec_block = 100;
	check_refused(me, &operation, b, "block 100");
	operation = average_of(COUNT, &int8);
	operation.codec = pcclQuantPlain;
	check_refused(me, &operation, b, "codec_down");
	operation = average_of(COUNT, &int8);
	operation.codec_down = (pcclQuantizationAlgorithm_t)50;
	check_refused(me, &operation, b, "codec_down is 50");
	operation = average_of(COUNT, &int8);
	operation.rounding = (pcclRounding_t)1;
	check_refused(me, &operation, b, "rounding is 1");
	operation = average_of(COUNT, &int8);
	CHECK_RESULT(pcclInvalidArgument, pcclBroadcast(b->input, b->output, &operation, me->comm, NULL));
	CHECK(strstr(pcclGetLastError(me->comm), "not in a broadcast") != NULL);
	CHECK_RESULT(pcclSuccess, pcclBarrier(&operation, me->comm));
}

/* One peer's contribution can't be carried: everybody is told whose and which element, and keeps the input. */
static void check_nan(struct world_peer *me, struct buffers *b)
{
	const struct promise int8 = {pcclQuantInt8, pcclUint8, 0};
	pcclOperation_t operation = average_of(COUNT, &int8);
	uint64_t before;

	if (peer_rank(me) == 2)
		b->input[54321] = NAN;
	before = values_hash(b->input, COUNT * sizeof(float));
	CHECK_RESULT(pcclInvalidArgument, pcclAllReduceWith(b->input, b->input, &operation, me->comm, NULL));
	CHECK(strstr(pcclGetLastError(me->comm), "rank 2 to tag 7: element 54321 ") != NULL);
	CHECK(values_hash(b->input, COUNT * sizeof(float)) == before);
	/* The next one is well again. */
	b->input[54321] = 0;
	CHECK_RESULT(pcclSuccess, pcclAllReduceWith(b->input, b->output, &operation, me->comm, NULL));
	check_parity(me, b->output, COUNT * sizeof(float));
}

/* What fp16 would make infinite is refused, unless the caller wants it to be the largest number. */
static void check_overflow(struct world_peer *me, struct buffers *b)
{
	const struct promise fp16 = {pcclQuantFP16, pcclUint8, 0};
	pcclOperation_t operation = average_of(COUNT, &fp16);

	b->input[1234] = 70000;
	CHECK_RESULT(pcclInvalidArgument, pcclAllReduceWith(b->input, b->output, &operation, me->comm, NULL));
	CHECK(strstr(pcclGetLastError(me->comm), "element 1234 is too large") != NULL);
	operation.codec_overflow = pcclOverflowSaturate;
	CHECK_RESULT(pcclSuccess, pcclAllReduceWith(b->input, b->output, &operation, me->comm, NULL));
	CHECK(b->output[1234] == 65504);
	operation.codec_overflow = (pcclOverflow_t)1;
	CHECK_RESULT(pcclInvalidArgument, pcclAllReduceWith(b->input, b->output, &operation, me->comm, NULL));
	b->input[1234] = 0;
	/* Plain means have no such limit. */
	operation = average_of(COUNT, &(const struct promise){pcclQuantNone, pcclUint8, 0});
	b->input[1234] = 3e38f;
	CHECK_RESULT(pcclSuccess, pcclAllReduceWith(b->input, b->output, &operation, me->comm, NULL));
	CHECK(b->output[1234] == 3e38f);
	b->input[1234] = 0;
}

static void check_mismatch(struct world_peer *me, const struct buffers *b)
{
	const struct promise int8 = {pcclQuantInt8, pcclUint8, 0};
	pcclOperation_t operation = average_of(COUNT, &int8);

	if (peer_rank(me) == 1)
		operation.codec_block = 128;
	CHECK_RESULT(pcclMismatch, pcclAllReduceWith(b->input, b->output, &operation, me->comm, NULL));
	CHECK(strstr(pcclGetLastError(me->comm), "int8:128") != NULL);
	CHECK(strstr(pcclGetLastError(me->comm), "int8:256") != NULL);
}

static void asks_too_much(struct world_peer *me)
{
	struct buffers b;

	join_with_other_kernels(me);
	open_buffers(me, COUNT, &b);
	check_requests(me, &b);
	check_nan(me, &b);
	check_overflow(me, &b);
	check_mismatch(me, &b);
	CHECK(peer_world_size(me) == WORLD);
	close_buffers(&b);
	peer_meet(me, WORLD);
	peer_leave(me);
}

static void what_codecs_cannot_do_is_told_in_words(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, WORLD, asks_too_much, NULL);
	peers_finish(world);
}

/* ---- error feedback ---------------------------------------------------------------------------------------------- */

/* What one operation loses the next ones make up for: the mean of all results comes ever nearer. */
static void check_feedback(struct world_peer *me, const struct buffers *b, float *residual, float *mean)
{
	const struct promise int4 = {pcclQuantInt4, pcclUint8, 0};
	pcclOperation_t operation = average_of(COUNT, &int4);
	unsigned round;
	size_t i;

	operation.residual = residual;
	operation.codec_down = pcclQuantPlain;
	for (round = 0; round < ROUNDS; round++) {
		CHECK_RESULT(pcclSuccess, pcclAllReduceWith(b->input, b->output, &operation, me->comm, NULL));
		for (i = 0; i < COUNT; i++)
			mean[i] += b->output[i] / ROUNDS;
	}
	CHECK(error_db(b->output, b->exact, COUNT) > -25);
	CHECK(error_db(mean, b->exact, COUNT) < -35);
}

static void check_misplaced_feedback(struct world_peer *me, struct buffers *b)
{
	const struct promise int4 = {pcclQuantInt4, pcclUint8, 0};
	pcclOperation_t operation = average_of(COUNT / 2, &int4);

	operation.residual = b->input + COUNT / 2 - 1;
	CHECK_RESULT(pcclInvalidArgument, pcclAllReduceWith(b->input, b->output, &operation, me->comm, NULL));
	operation.residual = b->output;
	CHECK_RESULT(pcclInvalidArgument, pcclAllReduceWith(b->input, b->output + 1, &operation, me->comm, NULL));
}

/* An operation that fails leaves what is left over as it was, even that of those who found nothing wrong. */
static void check_failed_feedback(struct world_peer *me, struct buffers *b, float *residual)
{
	const struct promise int4 = {pcclQuantInt4, pcclUint8, 0};
	pcclOperation_t operation = average_of(COUNT, &int4);
	uint64_t before = values_hash(residual, COUNT * sizeof(float));

	operation.residual = residual;
	if (peer_rank(me) == 1)
		b->input[COUNT - 1] = INFINITY;
	CHECK_RESULT(pcclInvalidArgument, pcclAllReduceWith(b->input, b->output, &operation, me->comm, NULL));
	CHECK(values_hash(residual, COUNT * sizeof(float)) == before);
	b->input[COUNT - 1] = 0;
	CHECK_RESULT(pcclSuccess, pcclAllReduceWith(b->input, b->output, &operation, me->comm, NULL));
	CHECK(values_hash(residual, COUNT * sizeof(float)) != before);
	check_parity(me, b->output, COUNT * sizeof(float));
}

static void feeds_back(struct world_peer *me)
{
	float *residual = calloc(COUNT, sizeof(*residual)), *mean = calloc(COUNT, sizeof(*mean));
	struct buffers b;

	CHECK(residual != NULL && mean != NULL);
	join_with_other_kernels(me);
	open_buffers(me, COUNT, &b);
	check_feedback(me, &b, residual, mean);
	check_failed_feedback(me, &b, residual);
	check_misplaced_feedback(me, &b);
	free(residual);
	free(mean);
	close_buffers(&b);
	peer_meet(me, WORLD);
	peer_leave(me);
}

static void a_residual_makes_up_for_what_was_lost(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, WORLD, feeds_back, NULL);
	peers_finish(world);
}

/* ---- losses ------------------------------------------------------------------------------------------------------ */

static void repairs(struct world_peer *me)
{
	const struct promise int8 = {pcclQuantInt8, pcclUint8, 0};
	const size_t count = LARGE / peers_patience();
	struct buffers b;
	unsigned round;

	join_with_other_kernels(me);
	open_buffers(me, count, &b);
	for (round = 0; round < ROUNDS; round++) {
		pcclOperation_t operation = average_of(count, &int8);

		operation.failure_policy = pcclPolicyRepair;
		CHECK_RESULT(pcclSuccess, pcclAllReduceWith(b.input, b.output, &operation, me->comm, NULL));
		peer_tell(me, round, values_hash(b.output, count * sizeof(float)));
		peer_reach(me, round + 1);
	}
	close_buffers(&b);
	peer_meet(me, WORLD - 1);
	peer_leave(me);
}

static void survivors_repair_to_the_same_bytes(void **state)
{
	peers_start_master(*state, WORLD_PROGRAM);
	peers_lose_one_alike(*state, WORLD, repairs, 4, ROUNDS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, peers_open, peers_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_codec_keeps_its_error_and_the_parity_of_bits),
		TEST(codecs_send_fewer_bytes),
		TEST(quantization_of_pccl_1_works),
		TEST(what_codecs_cannot_do_is_told_in_words),
		TEST(a_residual_makes_up_for_what_was_lost),
		TEST(survivors_repair_to_the_same_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
