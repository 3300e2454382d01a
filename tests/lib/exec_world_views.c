/* Views of the world: peers stop, report, cancel, go over to the next view, and repair. */
#include <string.h>

#include "base/bitmap.h"
#include "check.h"
#include "exec_world_internal.h"

void world_view(struct world *world, const uint32_t *members, uint32_t count)
{
	memcpy(world->members, members, count * sizeof(*members));
	world->member_count = count;
	world->epoch++;
}

void world_install(struct world *world, uint32_t peer)
{
	struct world_peer *p = &world->peers[peer];
	uint32_t lane;

	memcpy(p->ranks_to_peers, world->members, world->member_count * sizeof(*world->members));
	p->ranks = world->member_count;
	p->rank = world_rank_of(p, peer);
	for (lane = 0; lane < world->config.lanes; lane++)
		assert_int_equal(pccl_exec_install(p->execs[lane], world->epoch, p->ranks, p->rank), pcclSuccess);
}

void world_freeze(struct world *world, uint32_t peer)
{
	uint32_t lane;

	for (lane = 0; lane < world->config.lanes; lane++) {
		pccl_exec_freeze(world->peers[peer].execs[lane]);
		world_forget(world, peer, lane, NULL);
	}
}

void world_cancel(struct world *world, uint32_t peer, uint32_t op, pcclResult_t result, bool restore)
{
	struct world_call *call = world->peers[peer].calls[op];
	uint32_t lane;

	call->cancelled = true;
	for (lane = 0; lane < world->config.lanes; lane++) {
		world_forget(world, peer, lane, call);
		pccl_exec_cancel(world->peers[peer].execs[lane], call, result, "cancelled by the test", restore);
		world_drain(world, peer, lane);
	}
}

static void hold_lane(const struct world *world, const struct world_call *call, uint32_t lane, uint64_t *held)
{
	uint32_t segment;

	for (segment = 0; segment < call->geometry.segment_count; segment++)
		if (pccl_geometry_lane(&call->geometry, segment, call->spec.tag, world->config.lanes) == lane)
			pccl_bitmap_set(held, segment);
}

bool world_report(struct world *world, uint32_t peer, uint32_t op, uint64_t *held)
{
	const struct world_call *call = world->peers[peer].calls[op];
	bool all = true, complete;
	uint32_t lane;

	for (lane = 0; lane < world->config.lanes; lane++) {
		pccl_exec_report(world->peers[peer].execs[lane], call, held, &complete);
		/* What the communicator knows of lanes that have ended. */
		if (call->lane_ended[lane] && call->result == pcclSuccess)
			hold_lane(world, call, lane, held);
		all = all && (complete || (call->lane_ended[lane] && call->result == pcclSuccess));
	}
	return all;
}

void world_reset_call(struct world *world, uint32_t peer, uint32_t op)
{
	struct world_call *call = world->peers[peer].calls[op];

	assert_true(world_call_ended(world, peer, op));
	memset(call->lane_ended, 0, sizeof(call->lane_ended));
	call->lanes_ended = 0;
	call->cancelled = false;
	call->result = pcclSuccess;
	call->detail[0] = '\0';
}

void world_launch_repair(struct world *world, uint32_t peer, uint32_t op, const uint64_t *const *holders,
			 uint32_t divisor)
{
	struct world_peer *p = &world->peers[peer];
	struct world_call *call = p->calls[op];
	uint64_t *none = must(calloc(pccl_bitmap_words(call->geometry.segment_count) + 1, sizeof(*none)));
	const uint64_t *own = holders[p->rank] != NULL ? holders[p->rank] : none;
	const struct pccl_plan_holders found = {call->geometry.segment_count, p->ranks, holders};

	pccl_plan_destroy(call->plan);
	assert_int_equal(
		pccl_plan_create_repair(call->spec.kind, p->ranks, p->rank, &call->geometry, &found, &call->plan),
		pcclSuccess);
	world_launch_call(world, peer, call, own, divisor);
	free(none);
}
