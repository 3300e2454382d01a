/*
 * A peer of a chaos run. Its members march in step: each round begins with a roster, an all-gather in which they learn
 * who is here and agree on what to do next, then all-reduces fresh inputs and checks the result. They stay in step only
 * because a failed operation fails on every survivor: that is what is being tested, and a break of it shows as a
 * divergence or a hang.
 */
#include "chaos_table.h"

#include "check.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define TAG_ROSTER 1
#define TAG_REDUCE 2
#define ORDERS_MAX 512

enum roster_flag {
	ROSTER_STOP = 1,  /* everybody leaves */
	ROSTER_JOINT = 2, /* ask the master who waits */
	ROSTER_ASKED = 4  /* it was asked just now: newcomers and members reduce next */
};

/* What one member tells the others at the beginning of a round. */
struct entry {
	uint64_t identity;
	uint64_t round;
	uint64_t flags;
};

#define ENTRY_WORDS (sizeof(struct entry) / sizeof(uint64_t))

struct member {
	struct chaos_table *table;
	struct chaos_slot *slot;
	pcclComm_t *comm;
	uint64_t round;
	struct entry roster[BENCH_PEERS_MAX];
	uint32_t roster_count;
	uint64_t flags; /* of all members together */
	void *pristine; /* what the input was */
	void *input;
	void *output;
	bool watching; /* the watcher thread runs */
	pthread_t watcher;
};

static void enter(struct member *member, enum chaos_call call)
{
	CHAOS_SET(member->slot->progress_ns, bench_now_ns());
	CHAOS_SET(member->slot->call, call);
}

static void leave(struct member *member)
{
	enter(member, CHAOS_CALL_NONE);
}

static void note_epoch(struct member *member)
{
	uint64_t epoch = 0;

	if (pcclGetEpoch(member->comm, &epoch) != pcclSuccess || epoch == CHAOS_GET(member->slot->epoch))
		return;
	CHAOS_SET(member->slot->epoch_ns, bench_now_ns());
	CHAOS_SET(member->slot->epoch, epoch);
}

/* Sees new views as they come, while the main thread is blocked in an operation. */
static void *watch(void *argument)
{
	const struct timespec pause = {0, 1000 * 1000};
	struct member *member = (struct member *)argument;

	while (CHAOS_GET(member->watching)) {
		note_epoch(member);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static void diverge(struct member *member, const char *what)
{
	fprintf(stderr, "chaos: DIVERGENCE, peer %llu, round %llu: %s\n", (unsigned long long)member->slot->identity,
		(unsigned long long)member->round, what);
	CHAOS_SET(member->slot->divergences, member->slot->divergences + 1);
}

/* The first to finish a round says how it ended; everybody after it must say the same. */
static void agree(struct member *member, pcclResult_t result, const pcclOperationInfo_t *info, uint64_t result_hash)
{
	uint64_t *slot = &member->table->verdicts[member->round % CHAOS_VERDICTS];
	uint64_t *far = &member->table->verdicts[(member->round + CHAOS_VERDICTS / 2) % CHAOS_VERDICTS];
	uint64_t digest = bench_mix(member->round, (uint64_t)result);
	uint64_t expected = 0;

	if (result == pcclSuccess)
		digest = bench_mix(bench_mix(digest, info->participants_min), info->participants_max) ^ result_hash;
	digest |= 1;
	CHAOS_SET(*far, UINT64_C(0));
	if (__atomic_compare_exchange_n(slot, &expected, digest, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		__atomic_fetch_add(result == pcclSuccess ? &member->table->operations : &member->table->given_up, 1,
				   __ATOMIC_RELAXED);
	else if (expected != digest)
		diverge(member, result == pcclSuccess ? "the result or its participants differ from another survivor's"
						      : "this operation failed here and ended otherwise elsewhere");
}

static uint64_t hash_of(const void *bytes, size_t count)
{
	const uint8_t *at = (const uint8_t *)bytes;
	uint64_t hash = count;

	for (; count >= sizeof(uint64_t); count -= sizeof(uint64_t), at += sizeof(uint64_t)) {
		uint64_t word;

		memcpy(&word, at, sizeof(word));
		hash = bench_mix(hash, word);
	}
	for (; count > 0; count--, at++)
		hash = bench_mix(hash, *at);
	return hash;
}

/* All ordered subsets of the roster of `least` to `most` members that this peer is in, largest first. A result has
 * contributions of one of them (after a repair: each element of one of them). Returns how many. */
static size_t list_subsets(const struct member *member, uint32_t least, uint32_t most, uint64_t *identities,
			   struct bench_order *orders)
{
	size_t count = 0;

	for (uint32_t size = most; size >= least && size > 0; size--)
		for (uint64_t set = 0; set < UINT64_C(1) << member->roster_count && count < ORDERS_MAX; set++) {
			uint64_t *list = identities + count * 2 * BENCH_PEERS_MAX;
			bool mine = false;
			uint32_t listed = 0;

			if ((uint32_t)__builtin_popcountll(set) != size)
				continue;
			for (uint32_t i = 0; i < member->roster_count; i++) {
				if ((set >> i & 1) == 0)
					continue;
				list[listed++] = member->roster[i].identity;
				mine = mine || member->roster[i].identity == member->slot->identity;
			}
			memcpy(list + listed, list, listed * sizeof(list[0]));
			if (mine)
				orders[count++] = (struct bench_order){list, listed};
		}
	return count;
}

/* The ring begins each shard at another rank. */
static size_t add_rotations(struct bench_order *orders, size_t count)
{
	size_t total = count;

	for (size_t i = 0; i < count; i++)
		for (uint32_t start = 1; start < orders[i].count && total < ORDERS_MAX; start++)
			orders[total++] = (struct bench_order){orders[i].identities + start, orders[i].count};
	return total;
}

static void check_result(struct member *member, const pcclOperationInfo_t *info, size_t count)
{
	static uint64_t identities[ORDERS_MAX * 2 * BENCH_PEERS_MAX];
	static struct bench_order orders[ORDERS_MAX];
	const struct bench_options *options = &member->table->options;
	struct bench_expectation expectation = {options->datatype, options->op, member->round, orders, 0};
	size_t wrong = 0, bad;

	if (info->participants_max > member->roster_count || info->participants_min > info->participants_max ||
	    (options->policy != pcclPolicyRepair && info->participants_min != info->participants_max)) {
		diverge(member, "the number of participants is impossible");
		return;
	}
	expectation.order_count =
		list_subsets(member, info->participants_min, info->participants_max, identities, orders);
	if (info->plan == pcclPlanRing)
		expectation.order_count = add_rotations(orders, expectation.order_count);
	bad = bench_check_reduction(&expectation, 0, count, member->output, &wrong);
	if (bad > 0) {
		char text[128];

		snprintf(text, sizeof(text),
			 "%zu of %zu elements are wrong, the first is number %zu; %u to %u of %u took part", bad, count,
			 wrong, info->participants_min, info->participants_max, member->roster_count);
		diverge(member, text);
	}
}

/* Learns who is here, which round it is and what all want. */
static pcclResult_t call_roll(struct member *member, uint64_t flags)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	pcclOperationInfo_t info = PCCL_OPERATION_INFO_INITIALIZER;
	struct entry mine = {member->slot->identity, member->round, flags};
	pcclResult_t result;

	if (CHAOS_GET(member->table->stop))
		mine.flags |= ROSTER_STOP;
	if (CHAOS_GET(member->table->joint_wanted))
		mine.flags |= ROSTER_JOINT;
	operation.count = ENTRY_WORDS;
	operation.datatype = pcclUint64;
	operation.tag = TAG_ROSTER;
	enter(member, CHAOS_CALL_ROSTER);
	result = pcclAllGather(&mine, member->roster, &operation, member->comm, &info);
	leave(member);
	if (result != pcclSuccess)
		return result;
	member->roster_count = info.participants_max;
	member->flags = 0;
	for (uint32_t i = 0; i < member->roster_count; i++) {
		member->flags |= member->roster[i].flags;
		if (member->roster[i].round > member->round)
			member->round = member->roster[i].round;
	}
	return pcclSuccess;
}

/* Asks jointly who waits, and lets them in. */
static void admit(struct member *member)
{
	bool pending = false;
	pcclResult_t result;

	enter(member, CHAOS_CALL_PENDING);
	result = pcclArePeersPending(member->comm, &pending);
	leave(member);
	if (result == pcclSuccess && pending) {
		enter(member, CHAOS_CALL_UPDATE);
		result = pcclUpdateTopology(member->comm);
		leave(member);
	}
	if (result == pcclSuccess)
		CHAOS_SET(member->slot->joint_ns, bench_now_ns());
}

static void note_success(struct member *member)
{
	uint64_t epoch;

	note_epoch(member);
	epoch = CHAOS_GET(member->slot->epoch);
	if (epoch != member->slot->success_epoch) {
		CHAOS_SET(member->slot->success_epoch_ns, bench_now_ns());
		CHAOS_SET(member->slot->success_epoch, epoch);
	}
}

/* One all-reduce of inputs that nobody has seen before. */
static pcclResult_t reduce(struct member *member)
{
	const struct bench_options *options = &member->table->options;
	uint64_t bytes = options->sizes[member->round % options->size_count];
	size_t element_bytes = bench_datatype_bytes(options->datatype);
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	pcclOperationInfo_t info = PCCL_OPERATION_INFO_INITIALIZER;
	pcclResult_t result;

	operation.count = (size_t)bytes / element_bytes;
	operation.datatype = options->datatype;
	operation.op = options->op;
	operation.tag = TAG_REDUCE;
	operation.plan = options->plan;
	operation.failure_policy = options->policy;
	bytes = operation.count * element_bytes;
	bench_input_fill(options->datatype, member->round, member->slot->identity, 0, operation.count,
			 member->pristine);
	memcpy(member->input, member->pristine, bytes);
	if (!options->in_place)
		memset(member->output, 0xa5, bytes);
	enter(member, CHAOS_CALL_REDUCE);
	result = pcclAllReduceWith(member->input, member->output, &operation, member->comm, &info);
	leave(member);
	if (result == pcclEvicted || result == pcclAborted)
		return result;
	if (result == pcclSuccess) {
		note_success(member);
		check_result(member, &info, operation.count);
	}
	if ((result != pcclSuccess || !options->in_place) && memcmp(member->input, member->pristine, bytes) != 0)
		diverge(member, "the input is not what it was");
	agree(member, result, &info, result == pcclSuccess ? hash_of(member->output, bytes) : 0);
	member->round++;
	return result;
}

/* Alone: there is nobody to march with until somebody comes. */
static pcclResult_t wait_for_company(struct member *member)
{
	const struct timespec pause = {0, 5 * 1000 * 1000};
	pcclResult_t result;

	enter(member, CHAOS_CALL_UPDATE);
	result = pcclUpdateTopology(member->comm);
	leave(member);
	nanosleep(&pause, NULL);
	return result;
}

/* Failures that the march survives: every member sees them alike. */
static bool goes_on(pcclResult_t result)
{
	return result == pcclSuccess || result == pcclRankConnectionLost || result == pcclTooFewPeers;
}

/* The roster of a round; when somebody waits, also the step that lets him in and the roster with him. */
static pcclResult_t begin_round(struct member *member)
{
	pcclResult_t result = call_roll(member, 0);

	if (result != pcclSuccess || (member->flags & (ROSTER_JOINT | ROSTER_ASKED | ROSTER_STOP)) != ROSTER_JOINT)
		return result;
	admit(member);
	return call_roll(member, ROSTER_ASKED);
}

/* Marches until told to stop. Returns what ended it; pcclSuccess: it was told. */
static pcclResult_t march(struct member *member)
{
	for (;;) {
		pcclResult_t result;

		if (CHAOS_GET(member->slot->leave))
			return pcclSuccess;
		result = begin_round(member);
		if (result == pcclSuccess && (member->flags & ROSTER_STOP) != 0)
			return pcclSuccess;
		if (result == pcclTooFewPeers && CHAOS_GET(member->table->stop))
			return pcclSuccess;
		if (result == pcclTooFewPeers)
			result = wait_for_company(member);
		else if (result == pcclSuccess)
			result = reduce(member);
		if (!goes_on(result))
			return result;
	}
}

static bool allocate(struct member *member)
{
	const struct bench_options *options = &member->table->options;
	size_t most = 0;

	for (size_t i = 0; i < options->size_count; i++)
		if (options->sizes[i] > most)
			most = (size_t)options->sizes[i];
	most = most > 0 ? most : 1;
	member->pristine = malloc(most);
	member->input = malloc(most);
	member->output = options->in_place ? member->input : malloc(most);
	if (member->pristine != NULL && member->input != NULL && member->output != NULL)
		return true;
	fprintf(stderr, "chaos: not enough memory for buffers of %zu bytes\n", most);
	return false;
}

static pcclResult_t join(struct member *member)
{
	pcclCommCreateParams_t params = {.master_address = member->table->master};
	pcclConfig_t config = PCCL_CONFIG_INITIALIZER;
	pcclResult_t result = pcclInit();

	config.lanes = member->table->options.lanes;
	config.streams = member->table->options.streams;
	config.failure_policy = member->table->options.policy;
	if (result == pcclSuccess)
		result = pcclCreateCommunicatorWithConfig(&params, &config, &member->comm);
	if (result != pcclSuccess)
		return result;
	enter(member, CHAOS_CALL_CONNECT);
	result = pcclConnect(member->comm);
	leave(member);
	return result;
}

static void part(struct member *member)
{
	if (member->watching) {
		CHAOS_SET(member->watching, false);
		pthread_join(member->watcher, NULL);
	}
	enter(member, CHAOS_CALL_DESTROY);
	if (member->comm != NULL)
		pcclDestroyCommunicator(member->comm);
	leave(member);
	CHAOS_SET(member->slot->state, CHAOS_GONE);
}

int chaos_peer(struct chaos_table *table, uint32_t slot_index)
{
	static struct member member;
	pcclResult_t result;

	member.table = table;
	member.slot = &table->slots[slot_index];
	if (!allocate(&member))
		return 1;
	result = join(&member);
	if (result == pcclSuccess) {
		note_epoch(&member);
		CHAOS_SET(member.slot->state, CHAOS_MEMBER);
		member.watching = true;
		if (pthread_create(&member.watcher, NULL, watch, &member) != 0)
			member.watching = false;
		result = march(&member);
	}
	if (result == pcclEvicted)
		CHAOS_SET(member.slot->evicted, true);
	if (result != pcclSuccess && result != pcclEvicted)
		bench_complain("chaos: a peer cannot go on", result);
	part(&member);
	return result == pcclSuccess || result == pcclEvicted ? 0 : 1;
}
