/* What a peer's process does over and over. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "peers.h"

void peer_fail(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: pid %d: %s\n", file, line, (int)getpid(), what);
	fflush(NULL);
	_exit(EXIT_FAILURE);
}

void peer_check(const char *file, int line, const char *what, pcclResult_t expected, pcclResult_t result)
{
	char cause[300];

	if (result == expected)
		return;
	(void)snprintf(cause, sizeof(cause), "%s", result == pcclSuccess ? "" : pcclGetLastError(NULL));
	fprintf(stderr, "%s:%d: pid %d: %s is %d (%s), not %d (%s): %s\n", file, line, (int)getpid(), what, (int)result,
		pcclGetErrorString(result), (int)expected, pcclGetErrorString(expected), cause);
	fflush(NULL);
	_exit(EXIT_FAILURE);
}

void peer_create(struct world_peer *me)
{
	CHECK_RESULT(pcclSuccess, pcclInit());
	CHECK_RESULT(pcclSuccess, pcclCreateCommunicatorWithConfig(&me->params, &me->config, &me->comm));
}

void peer_join(struct world_peer *me)
{
	peer_create(me);
	CHECK_RESULT(pcclSuccess, pcclConnect(me->comm));
}

void peer_grow(struct world_peer *me, unsigned size)
{
	while (peer_world_size(me) < size) {
		CHECK_RESULT(pcclSuccess, pcclUpdateTopology(me->comm));
		if (peer_world_size(me) < size)
			peers_sleep_ms(2);
	}
	CHECK(peer_world_size(me) == size);
}

void peer_leave(struct world_peer *me)
{
	CHECK_RESULT(pcclSuccess, pcclDestroyCommunicator(me->comm));
	me->comm = NULL;
}

static unsigned count_arrivals(const struct world_peer *me, uint64_t meeting)
{
	unsigned count = 0, i;

	for (i = 0; i < WORLD_PEERS_MAX; i++)
		count += peers_get(&me->world->shared->slots[i].meetings) >= meeting;
	return count;
}

void peer_meet(struct world_peer *me, unsigned count)
{
	uint64_t meeting = peers_increase(&me->world->shared->slots[me->index].meetings, 1);

	while (count_arrivals(me, meeting) < count)
		peers_sleep_ms(1);
}

unsigned peer_world_size(const struct world_peer *me)
{
	int size;

	CHECK_RESULT(pcclSuccess, pcclGetAttribute(me->comm, PCCL_ATTRIBUTE_PEER_GROUP_WORLD_SIZE, &size));
	return (unsigned)size;
}

unsigned peer_rank(const struct world_peer *me)
{
	uint32_t rank;

	CHECK_RESULT(pcclSuccess, pcclGetRank(me->comm, &rank));
	return rank;
}

uint64_t peer_epoch(const struct world_peer *me)
{
	uint64_t epoch;

	CHECK_RESULT(pcclSuccess, pcclGetEpoch(me->comm, &epoch));
	return epoch;
}

void peer_reach(struct world_peer *me, uint64_t milestone)
{
	peers_set(&me->world->shared->slots[me->index].milestone, milestone);
}

bool peer_gate_is_open(const struct world_peer *me, uint64_t gate)
{
	return peers_get(&me->world->shared->gate) >= gate;
}

/* No deadline: the parent has one, and ends this process with itself. */
void peer_wait_gate(struct world_peer *me, uint64_t gate)
{
	while (!peer_gate_is_open(me, gate))
		peers_sleep_ms(1);
}

void peer_wait_peer(struct world_peer *me, unsigned peer, uint64_t milestone)
{
	while (peers_get(&me->world->shared->slots[peer].milestone) < milestone)
		peers_sleep_ms(1);
}

void peer_tell(struct world_peer *me, unsigned number, uint64_t value)
{
	peers_set(&me->world->shared->slots[me->index].numbers[number], value);
}

pcclResult_t peer_sum(struct world_peer *me, uint64_t tag, int64_t value, int64_t *sum_out)
{
	const pcclReduceDescriptor_t descriptor = {
		.count = 1, .op = pcclSum, .tag = tag, .src_descriptor = {pcclInt64, pcclDistributionNone}};

	return pcclAllReduce(&value, sum_out, &descriptor, me->comm, NULL);
}

pcclResult_t peer_sum_often(struct world_peer *me)
{
	pcclResult_t result = pcclSuccess;
	int64_t sum;
	int i;

	for (i = 0; i < 50 && result == pcclSuccess; i++)
		result = peer_sum(me, 7, 1, &sum);
	return result;
}
