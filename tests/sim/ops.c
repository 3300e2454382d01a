/*
 * A stand-in for the executors. An op starts when START from all members of the view has come; then its segments
 * become held one by one; who holds all of them tells DONE; who has DONE from all returns success. A frozen peer
 * does nothing of this, and what was on its way to it is lost.
 */
#include <string.h>

#include "base/memory.h"
#include "sim.h"

#define ALL_SEGMENTS ((1u << SIM_SEGMENTS) - 1)

static uint64_t all_ranks(const struct sim_node *node)
{
	return (UINT64_C(1) << node->view.view.member_count) - 1;
}

static struct sim_op *find(struct sim_node *node, uint64_t tag, uint32_t sequence)
{
	uint32_t index;

	for (index = 0; index < SIM_OPS; index++) {
		if (node->ops[index].used && node->ops[index].tag == tag && node->ops[index].sequence == sequence)
			return &node->ops[index];
	}
	return NULL;
}

static struct sim_op *find_or_add(struct sim *sim, struct sim_node *node, uint64_t tag, uint32_t sequence)
{
	struct sim_op *op = find(node, tag, sequence);
	uint32_t index;

	for (index = 0; op == NULL && index < SIM_OPS; index++) {
		if (node->ops[index].used)
			continue;
		op = &node->ops[index];
		memset(op, 0, sizeof(*op));
		op->used = true;
		op->tag = tag;
		op->sequence = sequence;
	}
	if (op == NULL)
		sim_fail(sim, "node %u remembers too many ops", node->id);
	return op;
}

static void tell_all(struct sim *sim, struct sim_node *node, const struct sim_op *op, bool done)
{
	struct sim_packet packet = {.type = SIM_DATA};
	uint32_t index;

	packet.data.done = done;
	packet.data.epoch = op->epoch;
	packet.data.tag = op->tag;
	packet.data.sequence = op->sequence;
	packet.data.rank = node->rank;
	for (index = SIM_MASTERS; index < sim->node_count; index++) {
		uint32_t rank;

		if (index != node->id && pccl_view_rank(&node->view.view, &sim->nodes[index].uuid, &rank))
			sim_send(sim, node->id, index, &packet);
	}
}

static void end_op(struct sim *sim, struct sim_node *node, struct sim_op *op, bool success, bool natural)
{
	sim_trace(sim, "node %u op %u.%u ends: %s%s", node->id, (unsigned)op->tag, op->sequence,
		  success ? "success" : "failure", natural ? "" : " by verdict");
	if (!success)
		check_gentle_failure(sim, node, op->tag, op->sequence);
	check_op(sim, node, op->tag, op->sequence, success, natural);
	op->used = false;
	sim_program_wake(sim, node);
}

static void look_for_end(struct sim *sim, struct sim_node *node, struct sim_op *op)
{
	if (!op->complete && op->held == ALL_SEGMENTS && op->started == all_ranks(node)) {
		op->complete = true;
		op->done |= UINT64_C(1) << node->rank;
		tell_all(sim, node, op, true);
	}
	if (op->complete && op->done == all_ranks(node))
		end_op(sim, node, op, true, true);
}

static void look_for_start(struct sim *sim, struct sim_node *node, struct sim_op *op)
{
	struct sim_event event = {.type = SIM_SEGMENT, .node = node->id, .number = (uint32_t)(op - node->ops)};

	if (!op->open || op->epoch != node->view.view.epoch || op->started != all_ranks(node) || op->attempt != 0)
		return;
	op->attempt = ++node->attempts;
	event.attempt = op->attempt;
	for (event.segment = 0; event.segment < SIM_SEGMENTS; event.segment++) {
		if ((op->held >> event.segment & 1) == 0)
			sim_schedule(sim, sim->now_ns + sim_exponential(sim, 10 * SIM_MS), event);
	}
	look_for_end(sim, node, op);
}

/* START bits may have come before the launch. */
static void start_attempt(struct sim *sim, struct sim_node *node, struct sim_op *op)
{
	if (op->epoch != node->view.view.epoch) {
		op->epoch = node->view.view.epoch;
		op->started = 0;
		op->done = 0;
	}
	op->attempt = 0;
	op->complete = false;
	op->launched = true;
	op->started |= UINT64_C(1) << node->rank;
	tell_all(sim, node, op, false);
	look_for_start(sim, node, op);
}

void sim_op_launch(struct sim *sim, struct sim_node *node, uint64_t tag, uint8_t policy, bool repairable)
{
	uint32_t sequence = node->sequence[tag]++;
	struct sim_op *op = find_or_add(sim, node, tag, sequence);

	if (op == NULL)
		return;
	sim_trace(sim, "node %u launches op %u.%u", node->id, (unsigned)tag, sequence);
	op->policy = policy;
	op->repairable = repairable;
	if (op->verdict == PCCL_VERDICT_ABORT || op->verdict == PCCL_VERDICT_EXPIRE) {
		end_op(sim, node, op, false, false);
		return;
	}
	op->open = true;
	if (!node->frozen)
		start_attempt(sim, node, op);
}

void sim_op_segment(struct sim *sim, struct sim_node *node, const struct sim_event *event)
{
	struct sim_op *op = &node->ops[event->number];

	if (!sim_peer_lives(node) || !op->used || op->attempt != event->attempt || node->frozen)
		return;
	if (node->paused) {
		sim_schedule(sim, sim->now_ns + 20 * SIM_MS, *event);
		return;
	}
	op->held |= 1u << event->segment;
	look_for_end(sim, node, op);
}

/* Of a view that is not in force here yet: comes again later. */
static void put_off(struct sim *sim, struct sim_node *node, const struct sim_data *data)
{
	struct sim_packet packet = {.type = SIM_DATA};

	packet.data = *data;
	packet.time_ns = sim->now_ns + 20 * SIM_MS;
	sim_send(sim, node->id, node->id, &packet);
}

void sim_op_data(struct sim *sim, struct sim_node *node, const struct sim_data *data)
{
	struct sim_op *op;

	if (!sim_peer_lives(node) || data->epoch < node->view.view.epoch)
		return;
	if (data->epoch > node->view.view.epoch) {
		put_off(sim, node, data);
		return;
	}
	if (node->frozen)
		return;
	if (find(node, data->tag, data->sequence) == NULL && data->sequence < node->sequence[data->tag])
		return;
	op = find_or_add(sim, node, data->tag, data->sequence);
	if (op == NULL)
		return;
	if (op->epoch != data->epoch) {
		op->epoch = data->epoch;
		op->started = 0;
		op->done = 0;
	}
	op->started |= UINT64_C(1) << data->rank;
	if (data->done)
		op->done |= UINT64_C(1) << data->rank;
	if (!op->open)
		return;
	if (op->attempt == 0)
		look_for_start(sim, node, op);
	else
		look_for_end(sim, node, op);
}

uint32_t sim_op_open_count(const struct sim_node *node)
{
	uint32_t count = 0;
	uint32_t index;

	for (index = 0; index < SIM_OPS; index++)
		count += node->ops[index].used && node->ops[index].open;
	return count;
}

uint64_t sim_ops_blocked(const struct sim_node *node)
{
	uint32_t index;

	for (index = 0; index < SIM_OPS; index++)
		if (node->ops[index].used && node->ops[index].open)
			return (uint64_t)node->ops[index].sequence << 8 | (node->ops[index].tag + 1);
	return 0;
}

bool sim_op_is_open(const struct sim_node *node, uint64_t tag)
{
	uint32_t index;

	for (index = 0; index < SIM_OPS; index++) {
		if (node->ops[index].used && node->ops[index].open && node->ops[index].tag == tag)
			return true;
	}
	return false;
}

static bool is_reported(const struct sim_node *node, const struct sim_op *op)
{
	return op->used && op->open && op->launched && op->epoch == node->view.view.epoch;
}

void sim_ops_report(const struct sim_node *node, struct pccl_peer_event *event)
{
	uint32_t index;

	event->reports = pccl_calloc(SIM_OPS, sizeof(*event->reports));
	for (index = 0; index < SIM_OPS; index++) {
		const struct sim_op *op = &node->ops[index];
		struct pccl_op_report *report = &event->reports[event->report_count];

		if (!is_reported(node, op))
			continue;
		event->report_count++;
		report->tag = op->tag;
		report->sequence = op->sequence;
		report->policy = op->policy;
		report->repairable = op->repairable;
		report->complete = op->complete;
		report->segment_count = SIM_SEGMENTS;
		report->held = pccl_zalloc(sizeof(*report->held));
		report->held[0] = op->held;
	}
}

static uint32_t union_of(const struct pccl_op_decision *decision)
{
	uint32_t held = 0;
	uint32_t rank;

	for (rank = 0; rank < decision->holder_count; rank++)
		held |= decision->holders[rank] != NULL ? (uint32_t)decision->holders[rank][0] : 0;
	return held;
}

/* The verdict of an op that is open here. */
static void apply(struct sim *sim, struct sim_node *node, struct sim_op *op, const struct pccl_op_decision *decision)
{
	switch (decision->verdict) {
	case PCCL_VERDICT_COMMIT:
		if (!op->complete)
			sim_fail(sim, "node %u has to commit op %u.%u without having all of it", node->id,
				 (unsigned)op->tag, op->sequence);
		end_op(sim, node, op, true, false);
		break;
	case PCCL_VERDICT_RETRY:
		op->held = 0;
		start_attempt(sim, node, op);
		break;
	case PCCL_VERDICT_REPAIR:
		if ((op->held & ~union_of(decision)) != 0)
			sim_fail(sim, "node %u lost finished segments of op %u.%u", node->id, (unsigned)op->tag,
				 op->sequence);
		start_attempt(sim, node, op);
		break;
	default:
		end_op(sim, node, op, false, false);
		break;
	}
}

static void decide_unlaunched(struct sim *sim, struct sim_node *node, const struct pccl_op_decision *decision)
{
	struct sim_op *op;

	if (decision->sequence < node->sequence[decision->tag])
		return; /* it has ended here: the checkers compare how */
	if (decision->verdict == PCCL_VERDICT_COMMIT) {
		sim_fail(sim, "op %u.%u is committed, but node %u has not launched it", (unsigned)decision->tag,
			 decision->sequence, node->id);
		return;
	}
	op = find_or_add(sim, node, decision->tag, decision->sequence);
	if (op != NULL)
		op->verdict = decision->verdict;
}

static void forget_all(struct sim *sim, struct sim_node *node)
{
	if (sim_op_open_count(node) > 0)
		sim_fail(sim, "members are added while node %u has an open op", node->id);
	memset(node->ops, 0, sizeof(node->ops));
}

void sim_ops_install(struct sim *sim, struct sim_node *node, const struct pccl_install *install)
{
	uint32_t index;

	if (install->newcomers) {
		forget_all(sim, node);
		return;
	}
	for (index = 0; index < install->decision_count; index++) {
		const struct pccl_op_decision *decision = &install->decisions[index];
		struct sim_op *op = find(node, decision->tag, decision->sequence);

		if (op != NULL && op->open)
			apply(sim, node, op, decision);
		else
			decide_unlaunched(sim, node, decision);
	}
	for (index = 0; index < SIM_OPS; index++) {
		struct sim_op *op = &node->ops[index];

		if (!op->used || !op->open || op->epoch == node->view.view.epoch)
			continue;
		if (op->launched)
			sim_fail(sim, "nothing was decided about op %u.%u of node %u", (unsigned)op->tag, op->sequence,
				 node->id);
		else
			start_attempt(sim, node, op);
	}
}
