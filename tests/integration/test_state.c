/* Shared state through the public interface: the scenarios that programs of PCCL 1.0 rely on, its accidents turned
 * right, and members that die on the way. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/check.h"
#include "lib/peers.h"

enum { BYTES = 1024, KEYS_MAX = 16, STEPS_MAX = 5, PEERS_MAX = 6, ANY = -1, KEEP = -1 };

/* One call of one peer. Contents are a letter for each key, of which the tensor is full. */
struct step {
	int revision;	     /* KEEP: what the last call left */
	char strategy;	     /* e, r, s */
	const char *keys;    /* a letter for each */
	const char *content; /* NULL: what the last call left */
	bool ok;
	const char *after; /* NULL: any */
	long rx, tx;	   /* ANY */
	int revision_after;
};

struct script {
	unsigned group;
	unsigned size;		      /* of its group */
	unsigned delay_ms;	      /* before the first call */
	struct step steps[STEPS_MAX]; /* the first without keys is the end */
};

struct tensors {
	pcclSharedState_t state;
	pcclTensorInfo_t infos[KEYS_MAX];
	char names[KEYS_MAX][4];
	uint8_t data[KEYS_MAX][BYTES];
};

static void set_tensors(struct tensors *tensors, const struct step *step)
{
	size_t index;

	tensors->state.count = strlen(step->keys);
	tensors->state.infos = tensors->infos;
	if (step->revision != KEEP)
		tensors->state.revision = (uint64_t)step->revision;
	for (index = 0; index < tensors->state.count; index++) {
		tensors->names[index][0] = step->keys[index];
		tensors->names[index][1] = '\0';
		tensors->infos[index] = (pcclTensorInfo_t){.name = tensors->names[index],
							   .data = tensors->data[index],
							   .count = BYTES,
							   .datatype = pcclUint8,
							   .device_type = pcclDeviceCpu};
		if (step->content != NULL)
			memset(tensors->data[index], step->content[index], BYTES);
	}
}

static pcclSharedStateSyncStrategy_t strategy_of(char letter)
{
	if (letter == 'r')
		return PCCL_SHARED_STATE_SYNC_STRATEGY_RECEIVE_ONLY;
	return letter == 's' ? PCCL_SHARED_STATE_SYNC_STRATEGY_SEND_ONLY
			     : PCCL_SHARED_STATE_SYNC_STRATEGY_ENFORCE_POPULAR;
}

static void check_after(const struct tensors *tensors, const struct step *step)
{
	size_t index, byte;

	for (index = 0; index < tensors->state.count; index++) {
		for (byte = 0; byte < BYTES; byte++)
			CHECK(tensors->data[index][byte] == tensors->data[index][0]);
		CHECK(step->after == NULL || tensors->data[index][0] == (uint8_t)step->after[index]);
	}
}

static void run_step(struct world_peer *me, struct tensors *tensors, const struct step *step, unsigned number)
{
	pcclSharedStateSyncInfo_t info = {99, 99};

	set_tensors(tensors, step);
	CHECK_RESULT(step->ok ? pcclSuccess : pcclInvalidUsage,
		     pcclSynchronizeSharedState(me->comm, &tensors->state, strategy_of(step->strategy), &info));
	CHECK(step->ok || strlen(pcclGetLastError(NULL)) > 0);
	CHECK(step->rx == ANY || (uint64_t)step->rx == info.rx_bytes);
	CHECK(step->tx == ANY || (uint64_t)step->tx == info.tx_bytes);
	CHECK(info.tx_bytes % BYTES == 0);
	CHECK(!step->ok || tensors->state.revision == (uint64_t)step->revision_after);
	check_after(tensors, step);
	peer_tell(me, number, tensors->data[0][0]);
}

static void join(struct world_peer *me)
{
	CHECK_RESULT(pcclSuccess, pcclInit());
	CHECK_RESULT(pcclSuccess, pcclCreateCommunicator(&me->params, &me->comm));
	CHECK_RESULT(pcclSuccess, pcclConnect(me->comm));
}

static unsigned count_scripts(const struct script *scripts)
{
	unsigned count = 0;

	while (count < PEERS_MAX && scripts[count].size > 0)
		count++;
	return count;
}

static void follow_script(struct world_peer *me)
{
	const struct script *script = (const struct script *)me->argument + me->index;
	struct tensors *tensors = calloc(1, sizeof(*tensors));
	unsigned number;

	CHECK(tensors != NULL);
	me->params.peer_group = script->group;
	join(me);
	peer_grow(me, script->size);
	peers_sleep_ms(script->delay_ms);
	for (number = 0; number < STEPS_MAX && script->steps[number].keys != NULL; number++)
		run_step(me, tensors, &script->steps[number], number);
	CHECK(peer_world_size(me) == script->size); /* nobody was sent away */
	peer_meet(me, count_scripts(me->argument));
	peer_leave(me);
	free(tensors);
}

/* ---- scenarios ------------------------------ */

#define GETS(revision, keys, content, after, bytes, then)                 \
	{                                                                 \
		revision, 'e', keys, content, true, after, bytes, 0, then \
	}
#define HAS(revision, keys, content, then)                                \
	{                                                                 \
		revision, 'e', keys, content, true, content, 0, ANY, then \
	}
#define QUIET(revision, keys, content, then)                            \
	{                                                               \
		revision, 'e', keys, content, true, content, 0, 0, then \
	}
#define FAILS(revision, strategy, keys, content)                             \
	{                                                                    \
		revision, strategy, keys, content, false, content, 0, ANY, 0 \
	}

struct scenario {
	const char *name;
	struct script scripts[PEERS_MAX];
};

static const char sixteen[] = "abcdefghijklmnop";

static const struct scenario scenarios[] = {
	{"R1, contents differ",
	 {{1, 2, 0, {{0, 'e', "a", "x", true, NULL, ANY, ANY, 0}}},
	  {1, 2, 0, {{0, 'e', "a", "y", true, NULL, ANY, ANY, 0}}}}},
	{"R2, the same content", {{1, 2, 0, {QUIET(0, "a", "x", 0)}}, {1, 2, 0, {QUIET(0, "a", "x", 0)}}}},
	{"R3, one of two keys differs",
	 {{1, 2, 0, {{0, 'e', "ab", "xy", true, NULL, ANY, ANY, 0}}},
	  {1, 2, 0, {{0, 'e', "ab", "xz", true, NULL, ANY, ANY, 0}}}}},
	{"R4, the odd one calls first",
	 {{1, 3, 0, {GETS(0, "a", "y", "x", 1024, 0)}},
	  {1, 3, 100, {HAS(0, "a", "x", 0)}},
	  {1, 3, 100, {HAS(0, "a", "x", 0)}}}},
	{"R5, 4 of 16 keys differ, in another order",
	 {{1, 3, 0, {{0, 'e', "ponmlkjihgfedcba", "xxxxxxyyyyxxxxxx", true, "xxxxxxxxxxxxxxxx", 4096, 0, 0}}},
	  {1, 3, 0, {HAS(0, sixteen, "xxxxxxxxxxxxxxxx", 0)}},
	  {1, 3, 0, {HAS(0, sixteen, "xxxxxxxxxxxxxxxx", 0)}}}},
	{"R6, R7, two groups with the same key",
	 {{1, 2, 0, {QUIET(0, "a", "x", 0)}},
	  {1, 2, 0, {QUIET(0, "a", "x", 0)}},
	  {2, 2, 0, {QUIET(0, "a", "y", 0)}},
	  {2, 2, 0, {QUIET(0, "a", "y", 0)}}}},
	{"R9, five calls",
	 {{1,
	   2,
	   0,
	   {QUIET(0, "a", "1", 0), QUIET(1, "a", "2", 1), QUIET(2, "a", "3", 2), QUIET(3, "a", "4", 3),
	    QUIET(4, "a", "5", 4)}},
	  {1,
	   2,
	   0,
	   {QUIET(0, "a", "1", 0), QUIET(1, "a", "2", 1), QUIET(2, "a", "3", 2), QUIET(3, "a", "4", 3),
	    QUIET(4, "a", "5", 4)}}}},
	{"R10, R15, one follows, the content is constant",
	 {{1, 3, 0, {HAS(0, "a", "1", 0), QUIET(1, "a", "1", 1), QUIET(2, "a", "1", 2), QUIET(3, "a", "1", 3)}},
	  {1, 3, 0, {HAS(0, "a", "1", 0), QUIET(1, "a", "1", 1), QUIET(2, "a", "1", 2), QUIET(3, "a", "1", 3)}},
	  {1,
	   3,
	   0,
	   {GETS(KEEP, "a", "0", "1", 1024, 0), QUIET(KEEP, "a", NULL, 1), QUIET(KEEP, "a", NULL, 2),
	    QUIET(KEEP, "a", NULL, 3)}}}},
	{"R11, R16, R17, two groups in which one follows, the content is new",
	 {{1, 3, 0, {HAS(0, "a", "1", 0), HAS(1, "a", "2", 1), HAS(2, "a", "3", 2)}},
	  {1, 3, 0, {HAS(0, "a", "1", 0), HAS(1, "a", "2", 1), HAS(2, "a", "3", 2)}},
	  {1,
	   3,
	   0,
	   {GETS(KEEP, "a", "0", "1", 1024, 0), GETS(KEEP, "a", NULL, "2", 1024, 1),
	    GETS(KEEP, "a", NULL, "3", 1024, 2)}},
	  {2, 3, 0, {HAS(0, "a", "6", 0), HAS(1, "a", "7", 1), HAS(2, "a", "8", 2)}},
	  {2, 3, 0, {HAS(0, "a", "6", 0), HAS(1, "a", "7", 1), HAS(2, "a", "8", 2)}},
	  {2,
	   3,
	   0,
	   {GETS(KEEP, "a", "0", "6", 1024, 0), GETS(KEEP, "a", NULL, "7", 1024, 1),
	    GETS(KEEP, "a", NULL, "8", 1024, 2)}}}},
	{"R12, one skips a revision",
	 {{1, 2, 0, {QUIET(0, "a", "1", 0), FAILS(2, 'e', "a", "2")}},
	  {1, 2, 0, {QUIET(0, "a", "1", 0), QUIET(KEEP, "a", NULL, 0)}}}},
	{"R13, one resumes, whoever calls first",
	 {{1, 2, 0, {GETS(0, "a", "0", "1", 1024, 13)}}, {1, 2, 100, {HAS(13, "a", "1", 13)}}}},
	{"R14, one has another key",
	 {{1, 3, 0, {QUIET(0, "a", "1", 0), QUIET(0, "a", "1", 0), QUIET(1, "a", "1", 1)}},
	  {1, 3, 0, {QUIET(0, "a", "1", 0), QUIET(0, "a", "1", 0), QUIET(1, "a", "1", 1)}},
	  {1, 3, 0, {FAILS(0, 'e', "c", "1"), FAILS(0, 'e', "c", "1"), FAILS(1, 'e', "c", "1")}}}},
	{"R19, both send only", {{1, 2, 0, {FAILS(0, 's', "a", "1")}}, {1, 2, 0, {FAILS(0, 's', "a", "2")}}}},
	{"R20, all receive only", {{1, 2, 0, {FAILS(0, 'r', "a", "1")}}, {1, 2, 0, {FAILS(0, 'r', "a", "2")}}}},
	{"R21, all receive only, the same",
	 {{1, 2, 0, {FAILS(0, 'r', "a", "1")}}, {1, 2, 0, {FAILS(0, 'r', "a", "1")}}}},
	{"A22 to A25, strategies mixed",
	 {{1, 3, 0, {QUIET(0, "a", "1", 0)}},
	  {1, 3, 0, {{0, 'r', "a", "1", true, "1", 0, 0, 0}}},
	  {1, 3, 0, {{0, 's', "a", "1", true, "1", 0, 0, 0}}}}},
	{"R26, an error in one group",
	 {{1, 2, 0, {FAILS(0, 's', "a", "1"), QUIET(0, "a", "1", 0)}},
	  {1, 2, 0, {FAILS(0, 's', "a", "2"), QUIET(0, "a", "1", 0)}},
	  {2, 2, 0, {QUIET(0, "a", "y", 0), QUIET(1, "a", "z", 1)}},
	  {2, 2, 0, {QUIET(0, "a", "y", 0), QUIET(1, "a", "z", 1)}}}},
	{"R28, members send only, the joiner receives only",
	 {{1, 3, 0, {{7, 's', "ab", "12", true, "12", 0, ANY, 7}}},
	  {1, 3, 0, {{7, 's', "ab", "12", true, "12", 0, ANY, 7}}},
	  {1, 3, 0, {{7, 'r', "ba", "00", true, "21", 2048, 0, 7}}}}},
	{"A, twice at one revision",
	 {{1, 2, 0, {QUIET(5, "a", "1", 5), QUIET(5, "a", "1", 5), QUIET(6, "a", "2", 6)}},
	  {1, 2, 0, {QUIET(5, "a", "1", 5), QUIET(5, "a", "1", 5), QUIET(6, "a", "2", 6)}}}},
};

static void run_scenario(struct world *world, const struct scenario *scenario)
{
	unsigned count = count_scripts(scenario->scripts);

	print_message("%s\n", scenario->name);
	peers_start_master(world, WORLD_EMBEDDED);
	world->peer_count = 0;
	peers_start(world, count, follow_script, scenario->scripts);
	peers_finish(world);
}

static void every_scenario_comes_out(void **state)
{
	size_t index;

	(void)state;
	for (index = 0; index < sizeof(scenarios) / sizeof(scenarios[0]); index++) {
		void *world = NULL;

		assert_int_equal(peers_open(&world), 0);
		run_scenario(world, &scenarios[index]);
		assert_int_equal(peers_close(&world), 0);
	}
}

/* ---- what else is promised ------------------------------ */

static pcclResult_t synchronize(const struct world_peer *me, pcclSharedState_t *state, pcclSharedStateSyncInfo_t *info)
{
	return pcclSynchronizeSharedState(me->comm, state, PCCL_SHARED_STATE_SYNC_STRATEGY_ENFORCE_POPULAR, info);
}

/* R27. */
static void awaits_first(struct world_peer *me)
{
	const pcclReduceDescriptor_t descriptor = {
		1, pcclSum, 3, {pcclFloat, pcclDistributionNone}, {pcclUint8, pcclQuantNone}};
	pcclSharedState_t state = {0, 0, NULL};
	pcclAsyncReduceOp_t handle;
	float value = 1, sum;

	join(me);
	peer_grow(me, 2);
	CHECK_RESULT(pcclSuccess, pcclAllReduceAsync(&value, &sum, &descriptor, me->comm, &handle));
	CHECK_RESULT(pcclPendingAsyncOps, synchronize(me, &state, NULL));
	CHECK_RESULT(pcclSuccess, pcclAwaitAsyncReduce(&handle, NULL));
	CHECK_RESULT(pcclSuccess, synchronize(me, &state, NULL));
	peer_meet(me, 2);
	peer_leave(me);
}

static void an_operation_has_to_be_awaited_first(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 2, awaits_first, NULL);
	peers_finish(world);
}

/* R18: the last one comes after three calls. */
static void grows_and_synchronizes(struct world_peer *me)
{
	struct tensors *tensors = calloc(1, sizeof(*tensors));
	const struct step first = {0, 'e', "ab", "12", true, NULL, 0, 0, 0};
	unsigned call;

	CHECK(tensors != NULL);
	set_tensors(tensors, &first);
	if (me->index == 2) {
		memset(tensors->data, '0', sizeof(tensors->data));
		peer_wait_gate(me, 1);
	}
	join(me);
	if (me->index < 2) {
		peer_grow(me, 2);
		for (call = 0; call < 3; call++) {
			tensors->state.revision = call;
			tensors->data[0][7] = (uint8_t)call;
			CHECK_RESULT(pcclSuccess, synchronize(me, &tensors->state, NULL));
		}
		tensors->state.revision = 3;
		peer_reach(me, 1);
	}
	peer_grow(me, 3);
	CHECK_RESULT(pcclSuccess, synchronize(me, &tensors->state, NULL));
	CHECK(tensors->state.revision == 3 && tensors->data[0][7] == 2 && tensors->data[1][9] == '2');
	peer_meet(me, 3);
	peer_leave(me);
	free(tensors);
}

static void one_joins_after_three_calls(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 3, grows_and_synchronizes, NULL);
	peers_await_all(world, 0, 2, 1);
	peers_open_gate(world, 1);
	peers_finish(world);
}

/* Every type, no alignment, nothing in a tensor, 3,000 tensors, in another order at every peer. */
enum { MANY = 3000, TYPES = 12 };

static void has_tensors_of_all_kinds(struct world_peer *me)
{
	pcclTensorInfo_t *infos = calloc(MANY, sizeof(*infos));
	char(*names)[16] = calloc(MANY, sizeof(*names));
	uint8_t *data = malloc(MANY * 400);
	pcclSharedState_t state = {0, MANY, infos};
	pcclSharedStateSyncInfo_t info;
	size_t index, byte;

	CHECK(infos != NULL && names != NULL && data != NULL);
	memset(data, me->index == 2 ? 0 : 77, MANY * 400);
	for (index = 0; index < MANY; index++) {
		size_t number = me->index == 0 ? index : MANY - 1 - index;

		snprintf(names[index], sizeof(names[index]), "tensor %zu", number);
		infos[index] = (pcclTensorInfo_t){.name = names[index],
						  .data = data + index * 400 + number % 3,
						  .count = number % 40,
						  .datatype = (pcclDataType_t)(number % TYPES),
						  .device_type = pcclDeviceCpu};
	}
	join(me);
	peer_grow(me, 3);
	CHECK_RESULT(pcclSuccess, synchronize(me, &state, &info));
	CHECK((info.rx_bytes > 0) == (me->index == 2));
	for (index = 0; index < MANY; index++)
		for (byte = 0; byte < infos[index].count; byte++)
			CHECK(((uint8_t *)infos[index].data)[byte] == 77);
	peer_meet(me, 3);
	peer_leave(me);
	free(infos);
	free(names);
	free(data);
}

static void tensors_of_all_types_and_alignments_move(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 3, has_tensors_of_all_kinds, NULL);
	peers_finish(world);
}

/* One has another count, another type, one tensor too few or too many: it is told which. */
static void is_told_which_tensor(struct world_peer *me)
{
	float data[8] = {0};
	pcclTensorInfo_t infos[3] = {{"weights", data, 4, pcclFloat, pcclDeviceCpu, false},
				     {"bias", data + 4, 2, pcclFloat, pcclDeviceCpu, false},
				     {"more", data + 6, 2, pcclFloat, pcclDeviceCpu, false}};
	pcclSharedState_t state = {0, 2, infos};
	unsigned way;

	join(me);
	peer_grow(me, 3);
	for (way = 0; way < 4; way++) {
		if (me->index < 2) {
			CHECK_RESULT(pcclSuccess, synchronize(me, &state, NULL));
			continue;
		}
		infos[1].count = way == 0 ? 1 : 2;
		infos[1].datatype = way == 1 ? pcclInt32 : pcclFloat;
		state.count = way == 2 ? 1 : way == 3 ? 3 : 2;
		CHECK_RESULT(pcclInvalidUsage, synchronize(me, &state, NULL));
		CHECK(strstr(pcclGetLastError(NULL), way < 3 ? "'bias'" : "'more'") != NULL ||
		      (way == 2 && strstr(pcclGetLastError(NULL), "'bias'") != NULL));
	}
	infos[1].count = 2;
	state.count = 2;
	CHECK_RESULT(pcclSuccess, synchronize(me, &state, NULL));
	peer_meet(me, 3);
	peer_leave(me);
}

static void who_has_other_tensors_is_told_which(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 3, is_told_which_tensor, NULL);
	peers_finish(world);
}

/* What may differ stays, and a newcomer gets it. */
static void keeps_what_may_differ(struct world_peer *me)
{
	uint8_t equal[100] = {1}, own[100] = {(uint8_t)(me->index + 1)};
	pcclTensorInfo_t infos[2] = {{"own", own, 100, pcclUint8, pcclDeviceCpu, true},
				     {"equal", equal, 100, pcclUint8, pcclDeviceCpu, false}};
	pcclSharedState_t state = {0, 2, infos};

	if (me->index == 2)
		peer_wait_gate(me, 1);
	join(me);
	if (me->index < 2) {
		peer_grow(me, 2);
		CHECK_RESULT(pcclSuccess, synchronize(me, &state, NULL));
		CHECK(own[0] == me->index + 1);
		peer_reach(me, 1);
	}
	peer_grow(me, 3);
	CHECK_RESULT(pcclSuccess, synchronize(me, &state, NULL));
	CHECK(me->index < 2 ? own[0] == me->index + 1 : own[0] == 1 || own[0] == 2);
	peer_meet(me, 3);
	peer_leave(me);
}

static void what_may_differ_stays_and_newcomers_get_it(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 3, keeps_what_may_differ, NULL);
	peers_await_all(world, 0, 2, 1);
	peers_open_gate(world, 1);
	peers_finish(world);
}

/* ---- members that die on the way ------------------------------ */

enum { LARGE = 96 << 20, PART = 4096 };

struct death {
	unsigned peers;
	unsigned victim;
	unsigned after_ms; /* of the call */
};

static void fill(uint8_t *data, uint8_t with)
{
	size_t at;

	for (at = 0; at < LARGE; at += PART)
		memset(data + at, (int)(with + at / PART), PART);
}

/* The last one has nothing, the others the state. */
static void moves_a_large_state(struct world_peer *me)
{
	const struct death *death = me->argument;
	bool lacks = me->index == death->peers - 1;
	uint8_t *data = malloc(LARGE);
	pcclTensorInfo_t info = {"large", data, LARGE, pcclUint8, pcclDeviceCpu, false};
	pcclSharedState_t state = {lacks ? 0 : 1, 1, &info};
	pcclResult_t result;
	size_t at;

	CHECK(data != NULL);
	fill(data, lacks ? 9 : 3);
	join(me);
	peer_grow(me, death->peers);
	peer_reach(me, 1);
	peer_wait_gate(me, 1);
	result = synchronize(me, &state, NULL);
	CHECK(result == pcclSuccess || (lacks && death->peers == 2 && strlen(pcclGetLastError(NULL)) > 0));
	if (result == pcclSuccess) {
		CHECK(state.revision == 1 || death->peers == 2);
		for (at = 0; at < LARGE; at += PART)
			CHECK(data[at] == (uint8_t)(3 + at / PART) || (death->peers == 2 && state.revision == 0));
	}
	peer_reach(me, 2);
	peer_leave(me);
	free(data);
}

static void lose_one(struct world *world, const struct death *death)
{
	unsigned peer;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, death->peers, moves_a_large_state, death);
	peers_await_all(world, 0, death->peers, 1);
	peers_open_gate(world, 1);
	peers_sleep_ms(death->after_ms);
	peers_signal(world, death->victim, SIGKILL);
	for (peer = 0; peer < death->peers; peer++)
		if (peer != death->victim)
			peers_await(world, peer, 2);
	peers_finish(world);
}

static const unsigned delays_ms[] = {10, 30, 60};

static void lose_at_all_times(unsigned peers, unsigned victim)
{
	size_t index;

	for (index = 0; index < sizeof(delays_ms) / sizeof(delays_ms[0]); index++) {
		const struct death death = {peers, victim, delays_ms[index]};
		void *world = NULL;

		assert_int_equal(peers_open(&world), 0);
		lose_one(world, &death);
		assert_int_equal(peers_close(&world), 0);
	}
}

static void a_source_dies(void **state)
{
	(void)state;
	lose_at_all_times(4, 1);
}

static void a_receiver_dies(void **state)
{
	(void)state;
	lose_at_all_times(3, 2);
}

static void the_only_source_dies(void **state)
{
	(void)state;
	lose_at_all_times(2, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_scenario_comes_out),
		cmocka_unit_test_setup_teardown(an_operation_has_to_be_awaited_first, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(one_joins_after_three_calls, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(tensors_of_all_types_and_alignments_move, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(who_has_other_tensors_is_told_which, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(what_may_differ_stays_and_newcomers_get_it, peers_open, peers_close),
		cmocka_unit_test(a_source_dies),
		cmocka_unit_test(a_receiver_dies),
		cmocka_unit_test(the_only_source_dies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
