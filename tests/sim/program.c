/* What the callers do. Every member computes the same program from the view that last added members: so all of
 * them make the same calls in the same order, at times of their own. */
#include "shell.h"

#define PAUSE_NS (60 * SIM_MS)

enum program_call { CALL_OP, CALL_PENDING, CALL_UPDATE, CALL_OPTIMIZE };

static uint64_t draw(const struct sim *sim, const struct sim_node *node, uint64_t what)
{
	uint64_t key = pccl_rng_hash(sim->plan.seed, node->group * 7 + what);

	return pccl_rng_hash(key, (uint64_t)node->origin << 32 | node->step);
}

static enum program_call next_call(const struct sim *sim, const struct sim_node *node)
{
	uint64_t number = draw(sim, node, 0) % 100;

	if (number < 55)
		return CALL_OP;
	if (number < 67)
		return CALL_PENDING;
	return number < 92 ? CALL_UPDATE : CALL_OPTIMIZE;
}

static void vote(struct sim *sim, struct sim_node *node, enum pccl_vote kind)
{
	struct pccl_peer_event event = {.type = PCCL_PEER_VOTE, .vote = kind};

	node->calls++;
	node->voting = (uint8_t)kind;
	node->vote_count++;
	node->step++;
	sim_trace(sim, "node %u calls %s (number %u since epoch %u)", node->id, pccl_vote_name((uint8_t)kind),
		  node->vote_count, node->origin);
	sim_peer_feed(sim, node, &event);
}

static void launch(struct sim *sim, struct sim_node *node, uint64_t tag)
{
	static const pcclFailurePolicy_t policies[] = {pcclPolicyAbort, pcclPolicyRetry, pcclPolicyRepair};
	uint64_t number = draw(sim, node, 2);

	node->step++;
	node->calls++;
	sim_op_launch(sim, node, tag, (uint8_t)policies[number % 3], number / 3 % 4 != 0);
}

static void skip(struct sim_node *node)
{
	node->step++;
	node->calls++;
}

/* Programs call in a loop until they have an answer. */
static void repeat_vote(struct sim *sim, struct sim_node *node)
{
	struct pccl_peer_event event = {.type = PCCL_PEER_VOTE, .vote = node->voting};

	node->vote_again = false;
	sim_trace(sim, "node %u calls %s again", node->id, pccl_vote_name(node->voting));
	if (node->shell != NULL)
		shell_post(node->shell, &event);
	else
		sim_peer_feed(sim, node, &event);
	sim_program_wake(sim, node);
}

void sim_program(struct sim *sim, struct sim_node *node)
{
	uint64_t tag = draw(sim, node, 1) % SIM_TAGS;

	node->queued = false;
	if (node->vote_again && !node->paused && sim_peer_lives(node)) {
		repeat_vote(sim, node);
		return;
	}
	if (node->shell != NULL && !node->paused) {
		caller_step(sim, node);
		return;
	}
	if (!sim_peer_lives(node) || node->view.view.member_count == 0)
		return;
	if (node->paused) {
		sim_program_wake(sim, node);
		return;
	}
	if (node->voting != 0)
		return;
	switch (next_call(sim, node)) {
	case CALL_OP:
		if (sim_op_is_open(node, tag))
			return; /* its end wakes */
		if (node->view.view.member_count > 1)
			launch(sim, node, tag);
		else
			skip(node); /* too few peers */
		break;
	case CALL_PENDING:
		vote(sim, node, PCCL_VOTE_PENDING);
		break;
	case CALL_UPDATE:
		if (sim_op_open_count(node) > 0)
			return;
		vote(sim, node, PCCL_VOTE_UPDATE);
		break;
	case CALL_OPTIMIZE:
		vote(sim, node, PCCL_VOTE_OPTIMIZE);
		break;
	}
	sim_program_wake(sim, node);
}

void sim_program_wake(struct sim *sim, struct sim_node *node)
{
	struct sim_event event = {.type = SIM_PROGRAM, .node = node->id};

	if (node->queued || (node->voting != 0 && node->shell == NULL && !node->vote_again))
		return;
	node->queued = true;
	sim_schedule(sim,
		     sim->now_ns + sim_exponential(sim, node->shell != NULL ? sim->shells->plan.pause_ns : PAUSE_NS),
		     event);
}
