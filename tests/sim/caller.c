/*
 * The program on top of a communicator. All members compute the same calls from the view that last added members;
 * they launch them at times of their own, those of one batch in an order of their own, several in flight. An op
 * that a lost member has ended is relaunched, or given up, by all alike.
 */
#include "shell.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/uuid.h"
#include "membership/master/decide.h"

#define GRAVES_KEPT 12
#define ASK_INTERVAL_NS (100 * SIM_MS)
#define PATIENCE_NS (12 * SIM_SECOND) /* after a deadline, for the group's decision */

static uint64_t draw(const struct sim *sim, const struct sim_node *node, uint64_t what)
{
	uint64_t key = pccl_rng_hash(sim->plan.seed, node->group * 1000 + what);

	return pccl_rng_hash(key, (uint64_t)node->origin << 32 | node->step);
}

bool caller_idle(const struct shell *shell)
{
	uint32_t index;

	for (index = 0; index < SHELL_CALLS; index++)
		if (shell->calls[index].state != CALL_FREE)
			return false;
	return shell->state == NULL;
}

/* ---- what is called ------------------------------ */

static size_t draw_count(const struct sim *sim, uint64_t number)
{
	static const size_t counts[] = {0, 1, 63, 64, 65, 500, 1024, 1025, 2000, 2600};

	if (number % 100 < sim->shells->plan.large_percent)
		return 20000 + number / 100 % 30000;
	return number / 100 % 3 == 0 ? counts[number / 300 % 10] : number / 300 % 2600;
}

static void draw_reduction(pcclOperation_t *operation, uint64_t number)
{
	static const pcclDataType_t types[] = {pcclFloat, pcclInt32, pcclDouble, pcclUint8, pcclInt64, pcclFloat};
	static const pcclRedOp_t ops[] = {pcclSum, pcclAvg, pcclSum, pcclMax, pcclMin, pcclAvg, pcclProd};

	operation->datatype = types[number % 6];
	operation->op = ops[number / 6 % 7];
	if (operation->datatype == pcclUint8 && (operation->op == pcclAvg || operation->op == pcclProd))
		operation->op = pcclSum;
}

/* Codecs that keep small whole numbers, and one that does not. What feeds back gets its memory at launch. */
static void draw_codec(const struct sim *sim, struct call_spec *spec, uint64_t number)
{
	static const pcclQuantizationAlgorithm_t codecs[] = {pcclQuantBF16, pcclQuantFP16, pcclQuantInt8,
							     pcclQuantFP16};
	pcclOperation_t *operation = &spec->operation;
	static char not_null;

	if (!sim->shells->plan.codecs || spec->kind != PCCL_ALL_REDUCE || operation->plan == pcclPlanRing ||
	    (operation->op != pcclSum && operation->op != pcclMax && operation->op != pcclMin) || number % 4 == 0)
		return;
	operation->datatype = pcclFloat;
	operation->codec = codecs[number / 4 % 4];
	operation->codec_down = number / 16 % 3 == 0 ? pcclQuantPlain : pcclQuantNone;
	if (operation->codec != pcclQuantBF16 && operation->op == pcclSum)
		operation->residual = &not_null;
}

/* A member of the view that added members last: while it lives all name the same one, in whatever view. */
static uint32_t draw_root(const struct sim_node *node, uint64_t number)
{
	const struct shell *shell = node->shell;
	uint32_t index = shell->era_count;

	while (index > 0 && shell->eras[index - 1].epoch >= node->origin)
		index--;
	assert(index < shell->era_count && shell->eras[index].count > 0);
	return shell->eras[index].nodes[number % shell->eras[index].count];
}

static void draw_spec(const struct sim *sim, const struct sim_node *node, uint32_t which, struct call_spec *spec_out)
{
	static const enum pccl_collective kinds[] = {
		PCCL_ALL_REDUCE, PCCL_ALL_REDUCE,     PCCL_ALL_REDUCE, PCCL_ALL_REDUCE, PCCL_ALL_REDUCE, PCCL_BARRIER,
		PCCL_BROADCAST,	 PCCL_REDUCE_SCATTER, PCCL_ALL_GATHER, PCCL_BROADCAST,	PCCL_REDUCE,	 PCCL_GATHER,
		PCCL_SCATTER,	 PCCL_ALL_TO_ALL,     PCCL_TRANSFER,   PCCL_TRANSFER};
	static const pcclFailurePolicy_t policies[] = {pcclPolicyAbort, pcclPolicyRetry, pcclPolicyRepair,
						       pcclPolicyRepair};
	static const pcclPlan_t plans[] = {pcclPlanAuto, pcclPlanDirect, pcclPlanOneshot, pcclPlanRing};
	const pcclOperation_t defaults = PCCL_OPERATION_INITIALIZER;
	uint64_t first = draw(sim, node, 100 + which), second = draw(sim, node, 200 + which);
	pcclOperation_t *operation = &spec_out->operation;

	spec_out->kind = kinds[pccl_rng_hash(first, 42) % (sizeof(kinds) / sizeof(kinds[0]))];
	spec_out->in_place = first / 10 % 2 == 0;
	spec_out->relaunch = first / 20 % 4 != 0;
	spec_out->key = second;
	*operation = defaults;
	operation->count = draw_count(sim, first / 100);
	draw_reduction(operation, second);
	operation->failure_policy = policies[second / 100 % 4];
	/* What a repair takes for final nobody can make sure of any more if one alone holds it, and was lied to. */
	if (sim->shells->plan.verifies && operation->failure_policy == pcclPolicyRepair)
		operation->failure_policy = pcclPolicyRetry;
	operation->plan = plans[second / 400 % 4];
	/* Nor of a result that not all have. A reduce-scatter has nobody send any. */
	if (sim->shells->plan.verifies && !pccl_collective_is_alike((int)spec_out->kind) &&
	    spec_out->kind != PCCL_REDUCE_SCATTER)
		spec_out->kind = PCCL_BARRIER;
	if (pccl_collective_has_root((int)spec_out->kind) && operation->plan == pcclPlanRing)
		operation->plan = pcclPlanDirect;
	spec_out->root = draw_root(node, second / 1600);
	spec_out->other = draw_root(node, pccl_rng_hash(second, 43));
	if (operation->failure_policy == pcclPolicyAbort && pccl_rng_hash(second, 41) % 3 == 0)
		operation->input = pcclInputGiveUp;
	draw_codec(sim, spec_out, draw(sim, node, 300 + which));
	spec_out->timeout_ns = 0;
	if (second / 102400 % 100 < sim->shells->plan.timeout_percent)
		spec_out->timeout_ns = (20 + second / 10240000 % 1500) * SIM_MS;
}

/* A batch of calls with tags of their own, if all fit in and no tag is in use. */
static bool add_batch(struct sim *sim, struct sim_node *node)
{
	struct shell *shell = node->shell;
	uint64_t number = draw(sim, node, 3);
	uint32_t count = (uint32_t)(1 + number % SHELL_BATCH), free_count = 0, index, which;

	for (index = 0; index < SHELL_CALLS; index++) {
		const struct call *call = &shell->calls[index];

		free_count += call->state == CALL_FREE;
		for (which = 0; call->state != CALL_FREE && which < count; which++)
			if (call->spec.operation.tag == (number / 8 + which) % SHELL_TAGS)
				return false;
	}
	if (free_count < count)
		return false;
	for (which = 0, index = 0; which < count; index++) {
		struct call *call = &shell->calls[index];

		if (call->state != CALL_FREE)
			continue;
		memset(call, 0, sizeof(*call));
		draw_spec(sim, node, which, &call->spec);
		call->spec.operation.tag = (number / 8 + which++) % SHELL_TAGS;
		call->state = CALL_WAITING;
	}
	node->step++;
	return true;
}

/* ---- launching ------------------------------ */

/* Now and then one member launches something else than the others. When all have failed, it does what they do. Not with
 * a deadline: where the others' passed they don't launch again, and this one, with a mismatch, would. */
static void mistake(const struct shell *shell, struct call *call)
{
	uint64_t number = pccl_rng_hash(call->spec.key, shell->node->id);
	pcclOperation_t *operation = &call->spec.operation;

	if (call->mistaken)
		call->spec = call->right;
	if (call->mistaken || call->spec.timeout_ns > 0 || number % 100 >= shell->sim->shells->plan.mistake_percent)
		return;
	call->mistaken = true;
	call->right = call->spec;
	if (number / 100 % 4 == 0 && operation->input == pcclInputKeep)
		operation->failure_policy =
			operation->failure_policy == pcclPolicyRepair ? pcclPolicyRetry : pcclPolicyRepair;
	else if (number / 100 % 4 == 1 && call->spec.kind != PCCL_TRANSFER) /* its tag is no other's */
		call->spec.kind = call->spec.kind == PCCL_BARRIER ? PCCL_ALL_REDUCE : PCCL_BARRIER;
	else
		operation->count = 1 + operation->count * (number / 400 % 3);
}

static uint32_t node_at(const struct sim *sim, const struct pccl_view *view, uint32_t rank)
{
	uint32_t index;

	for (index = SIM_MASTERS; index < sim->node_count; index++)
		if (pccl_uuid_equal(&sim->nodes[index].uuid, &view->members[rank].uuid))
			return index;
	return 0;
}

static void launch(struct shell *shell, struct call *call)
{
	struct sim *sim = shell->sim;
	struct pccl_op_request request = {.kind = PCCL_BARRIER};
	pcclResult_t result;

	mistake(shell, call);
	if (!parts_takes_part(shell, call)) {
		call->state = CALL_FREE;
		return;
	}
	request.kind = call->spec.kind;
	request.operation = call->spec.operation;
	request.operation.root = 0;
	if (call->spec.root != 0)
		(void)pccl_view_rank(&shell->node->view.view, &sim->nodes[call->spec.root].uuid,
				     &request.operation.root);
	call->root = node_at(sim, &shell->node->view.view, request.operation.root);
	buffer_create(sim, shell, call);
	request.input = call->input;
	request.output = call->output;
	request.operation.residual = call->spec.operation.residual;
	parts_request(shell, call, &request);
	result = pccl_session_launch(shell->session, &request, &call->op);
	if (result != pcclSuccess) {
		buffer_bury(shell, call);
		call->state = CALL_FREE;
		if (!shell->ended && result != pcclTooFewPeers)
			sim_fail(sim, "node %u can't launch: %s", shell->node->id, pccl_fail_text());
		return;
	}
	call->state = CALL_LAUNCHED;
	call->serial = ++shell->serial;
	call->ended = call->committed = false;
	call->asked_epoch = 0;
	call->epoch = shell->node->view.view.epoch;
	call->op->waiter = call;
	sim_trace(sim, "node %u launches %s %u.%u, %u segments, policy %u%s%s", shell->node->id,
		  pccl_collective_name((int)call->spec.kind), (unsigned)call->op->key.tag, call->op->key.sequence,
		  call->op->geometry.segment_count, (unsigned)call->spec.operation.failure_policy,
		  call->spec.in_place ? ", in place" : "", shell->node->frozen ? ", frozen" : "");
	call->op->deadline_ns = UINT64_MAX;
	if (call->spec.timeout_ns > 0) {
		call->op->deadline_ns = sim->now_ns + call->spec.timeout_ns;
		shell_schedule(sim, call->op->deadline_ns, SHELL_DEADLINE, shell->node->id, (uint32_t)call->serial,
			       call);
	}
	shell_dispatch(shell);
}

static bool launch_any(struct sim *sim, struct shell *shell)
{
	uint32_t first = (uint32_t)sim_between(sim, 0, SHELL_CALLS - 1), step;

	for (step = 0; step < SHELL_CALLS; step++) {
		struct call *call = &shell->calls[(first + step) % SHELL_CALLS];

		if (call->state != CALL_WAITING)
			continue;
		launch(shell, call);
		return true;
	}
	return false;
}

/* ---- deadlines: as wait_for_end() in src/api/ops.c ------------------------------ */

void caller_deadline(struct sim *sim, struct shell *shell, struct call *call)
{
	uint32_t index = (uint32_t)(call - shell->calls);

	if (call->state != CALL_LAUNCHED || call->ended || shell->ended || call->op->deadline_ns > sim->now_ns)
		return;
	if (sim->now_ns >= call->op->deadline_ns + PATIENCE_NS) {
		sim_trace(sim, "node %u gives up waiting for a decision", shell->node->id);
		shell_end(shell, pcclTimeout, "no decision of the group came");
		shell_leave(shell);
		return;
	}
	if (call->asked_epoch != shell->node->view.view.epoch && pccl_session_expire(shell->session, call->op)) {
		sim_trace(sim, "node %u: the deadline of op %u.%u passed", shell->node->id, (unsigned)call->op->key.tag,
			  call->op->key.sequence);
		call->asked_epoch = shell->node->view.view.epoch;
		shell_dispatch(shell);
	}
	shell_schedule(sim, sim->now_ns + ASK_INTERVAL_NS, SHELL_DEADLINE, shell->node->id, index, call);
}

/* ---- results ------------------------------ */

void caller_ended(struct shell *shell, const struct pccl_op *op)
{
	struct call *call = op->waiter;

	if (call == NULL) /* ended inside of its launch: found there */
		return;
	if (call->ended)
		sim_fail(shell->sim, "node %u: op %u.%u ends twice", shell->node->id, (unsigned)op->key.tag,
			 op->key.sequence);
	call->ended = true;
	sim_program_wake(shell->sim, shell->node);
}

void caller_decided(struct shell *shell, const struct pccl_install *install)
{
	uint32_t index;
	uint32_t decision;

	for (index = 0; index < SHELL_CALLS; index++) {
		struct call *call = &shell->calls[index];

		for (decision = 0; call->state == CALL_LAUNCHED && decision < install->decision_count; decision++)
			if (install->decisions[decision].verdict == PCCL_VERDICT_COMMIT &&
			    install->decisions[decision].tag == call->op->key.tag &&
			    install->decisions[decision].sequence == call->op->key.sequence)
				call->committed = true;
	}
}

static void take_result(struct shell *shell, struct call *call)
{
	const struct pccl_op *op = call->op;
	/* Members that launched different things, or were told so, may have failed in other ways. */
	bool again = (op->result == pcclRankConnectionLost || op->result == pcclMismatch ||
		      op->result == pcclResultsDiffer) &&
		     call->spec.relaunch && !shell->ended;

	sim_trace(shell->sim, "node %u: op %u.%u ends with %d, participants %u to %u %s", shell->node->id,
		  (unsigned)op->key.tag, op->key.sequence, (int)op->result, op->info.participants_min,
		  op->info.participants_max, op->detail);
	pccl_op_commit_residual(op);
	if (op->result == pcclSuccess)
		buffer_check_success(shell, call);
	else
		buffer_check_failure(shell, call);
	check_call(shell, call);
	pccl_session_release(shell->session, call->op);
	call->op = NULL;
	buffer_bury(shell, call);
	call->state = again ? CALL_WAITING : CALL_FREE;
	shell->node->calls++;
}

bool caller_collect(struct shell *shell, uint32_t percent)
{
	bool any = false;
	uint32_t index;

	for (index = 0; index < SHELL_CALLS; index++) {
		struct call *call = &shell->calls[index];

		if (call->state == CALL_WAITING && shell->ended) {
			call->state = CALL_FREE;
		} else if (call->state == CALL_LAUNCHED && call->op->ended && sim_chance(shell->sim, percent)) {
			take_result(shell, call);
			any = true;
		}
	}
	return any;
}

/* ---- the program ------------------------------ */

static void vote(struct sim *sim, struct sim_node *node, enum pccl_vote kind)
{
	struct pccl_peer_event event = {.type = PCCL_PEER_VOTE, .vote = kind};

	node->calls++;
	node->voting = (uint8_t)kind;
	node->vote_count++;
	node->step++;
	sim_trace(sim, "node %u calls %s (number %u since epoch %u)", node->id, pccl_vote_name((uint8_t)kind),
		  node->vote_count, node->origin);
	shell_post(node->shell, &event);
}

static bool all_launched(const struct shell *shell)
{
	uint32_t index;

	for (index = 0; index < SHELL_CALLS; index++)
		if (shell->calls[index].state == CALL_WAITING)
			return false;
	return true;
}

static void next_step(struct sim *sim, struct sim_node *node)
{
	uint64_t number = draw(sim, node, 0);

	if (sim->shells->plan.state_percent > 0 && draw(sim, node, 4) % 100 < sim->shells->plan.state_percent) {
		if (caller_idle(node->shell))
			caller_state_begin(node->shell);
	} else if (number % 100 >= sim->shells->plan.vote_percent) {
		if (node->view.view.member_count > 1) {
			(void)add_batch(sim, node);
		} else {
			node->step++; /* too few peers */
			node->calls++;
		}
	} else if (number / 100 % 3 != 0 && caller_idle(node->shell)) {
		vote(sim, node, PCCL_VOTE_UPDATE);
	} else if (number / 100 % 3 == 0 && all_launched(node->shell)) {
		vote(sim, node, number / 300 % 2 == 0 ? PCCL_VOTE_PENDING : PCCL_VOTE_OPTIMIZE);
	}
}

static bool is_at_end(const struct shell *shell)
{
	const struct sim_node *node = shell->node;

	return shell->sim->shells->closing && (node->origin != shell->last_origin || node->step >= shell->last_step);
}

/* As far as the first of those who make the same calls. */
void caller_close(struct shell *shell)
{
	const struct sim *sim = shell->sim;
	const struct sim_node *node = shell->node;
	uint32_t index;

	shell->last_origin = node->origin;
	for (index = SIM_MASTERS; index < sim->node_count; index++) {
		const struct sim_node *other = &sim->nodes[index];

		if (sim_peer_lives(other) && other->group == node->group && other->origin == node->origin &&
		    pccl_uuid_equal(&other->view.run, &node->view.run) && other->step > shell->last_step)
			shell->last_step = other->step;
	}
}

bool caller_done(const struct shell *shell)
{
	return caller_idle(shell) && (shell->ended || shell->node->voting != 0 ||
				      shell->node->view.view.member_count == 0 || is_at_end(shell));
}

void caller_step(struct sim *sim, struct sim_node *node)
{
	struct shell *shell = node->shell;

	if (shell->state != NULL)
		caller_state_step(shell);
	(void)caller_collect(shell, 70);
	buffer_open_graves(shell, GRAVES_KEPT);
	if (shell->ended || node->view.view.member_count == 0)
		return;
	caller_loan_step(shell);
	if (!launch_any(sim, shell) && node->voting == 0 && shell->state == NULL && !is_at_end(shell))
		next_step(sim, node);
	if (node->voting == 0 || !caller_idle(shell))
		sim_program_wake(sim, node);
}

void caller_destroy(struct shell *shell)
{
	uint32_t index;

	for (index = 0; index < SHELL_CALLS; index++)
		if (shell->calls[index].state == CALL_LAUNCHED)
			buffer_bury(shell, &shell->calls[index]);
	buffer_open_graves(shell, 0);
}
