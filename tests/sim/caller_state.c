/*
 * Calls that make states one, as src/comm/monitor_state.c makes them, with events in place of a thread. A program's
 * state is a few tensors, all made from one key, so that what came out can be told: all of one key, and the same for
 * all that succeed in one call. Members train: all make the next key from the last one, now and then one of them errs;
 * newcomers have a stale one, many of them the same.
 */
#include "caller_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/uuid.h"

/* What a call came to, at those where it succeeded. */
struct state_record {
	uint64_t sync;
	uint64_t key;
	uint64_t revision;
	uint32_t node;
	struct state_record *next;
};

void *state_must(void *memory)
{
	if (memory == NULL)
		abort();
	return memory;
}

uint64_t state_draw(const struct shell *shell, uint64_t what)
{
	const struct sim_node *node = shell->node;
	uint64_t key = pccl_rng_hash(shell->sim->plan.seed, node->group * 1000 + 500 + what);

	return pccl_rng_hash(key, (uint64_t)node->origin << 32 | node->step);
}

/* ---- states ------------------------------ */

static size_t bytes_of(const struct shell *shell, uint32_t tensor)
{
	uint64_t number = pccl_rng_hash(shell->sim->plan.seed, 600 + tensor);

	return tensor == 0 ? 0 : 8 + number % (LARGEST - 8);
}

/* Half of them get smaller when they are compressed. */
static void fill(uint8_t *bytes, size_t count, uint32_t tensor, uint64_t key)
{
	const uint64_t kept = tensor % 2 == 0 ? 0xff : 0x13;
	size_t at;

	for (at = 0; at < count; at++)
		bytes[at] = at < 8 ? (uint8_t)(key >> 8 * at) : (uint8_t)(pccl_rng_hash(key + tensor, at / 8) & kept);
}

static void fill_all(const struct shell *shell, uint64_t key)
{
	uint32_t tensor;

	shell->model->key = key;
	for (tensor = 0; tensor < TENSORS; tensor++)
		fill(shell->model->bytes[tensor], bytes_of(shell, tensor), tensor, key);
}

bool state_find_key(const struct shell *shell, uint64_t *key_out)
{
	uint8_t expected[LARGEST];
	uint32_t tensor, byte;

	*key_out = 0;
	for (byte = 0; byte < 8; byte++)
		*key_out |= (uint64_t)shell->model->bytes[1][byte] << 8 * byte;
	for (tensor = 0; tensor < TENSORS; tensor++) {
		fill(expected, bytes_of(shell, tensor), tensor, *key_out);
		if (memcmp(expected, shell->model->bytes[tensor], bytes_of(shell, tensor)) != 0)
			return false;
	}
	return true;
}

void state_train(const struct shell *shell)
{
	struct state_model *model = shell->model;
	struct sim *sim = shell->sim;

	if (model->torn && sim_chance(sim, 70))
		return;
	if (model->torn || !model->there) {
		/* From a checkpoint that is stale, or its own beginning. */
		fill_all(shell, sim_chance(sim, 70) ? state_draw(shell, 1) : pccl_rng_u64(&sim->rng));
		model->revision = sim_chance(sim, 80) ? 0 : sim_between(sim, 0, 3);
		model->torn = false;
		return;
	}
	if (state_draw(shell, 2) % 3 == 0)
		return;
	model->revision++;
	fill_all(shell, pccl_rng_hash(model->key, sim_chance(sim, 5) ? shell->node->id : 0));
}

static pcclSharedStateSyncStrategy_t strategy_for(const struct shell *shell)
{
	if (!shell->model->there && sim_chance(shell->sim, 30))
		return PCCL_SHARED_STATE_SYNC_STRATEGY_RECEIVE_ONLY;
	if (shell->model->there && sim_chance(shell->sim, 10))
		return PCCL_SHARED_STATE_SYNC_STRATEGY_SEND_ONLY;
	return PCCL_SHARED_STATE_SYNC_STRATEGY_ENFORCE_POPULAR;
}

/* ---- memory: the caller's for as long as the call does not run ------------------------------ */

void state_lend(struct shell *shell)
{
	struct state_call *call = shell->state;
	uint32_t tensor, chunk;

	for (tensor = 0; tensor < TENSORS; tensor++) {
		size_t bytes = bytes_of(shell, tensor);

		snprintf(call->names[tensor], sizeof(call->names[tensor]), "%u", tensor);
		call->memory[tensor] = state_must(malloc(bytes + 1));
		memcpy(call->memory[tensor], shell->model->bytes[tensor], bytes);
		call->infos[tensor] =
			(pcclTensorInfo_t){.name = call->names[tensor], .data = call->memory[tensor], .count = bytes};
	}
	call->state.count = TENSORS;
	call->state.infos = call->infos;
	/* One that has another tensor than the rest. Under another name what is torn is another content. */
	if (sim_chance(shell->sim, 2) && !shell->model->torn)
		call->infos[TENSORS - 1].name = "other";
	if (pccl_inventory_create(&call->state, &call->inventory) != pcclSuccess)
		abort();
	if (pccl_rng_hash(shell->sim->plan.seed, 700) % 4 == 0)
		call->inventory->digest_kind = PCCL_DIGEST_STRONG;
	for (chunk = 0; chunk < call->inventory->chunk_count; chunk++)
		pccl_inventory_digest_chunk(call->inventory, chunk);
}

void state_bury(struct shell *shell)
{
	struct state_call *call = shell->state;
	uint32_t tensor;

	for (tensor = 0; tensor < TENSORS; tensor++) {
		struct grave *grave = state_must(calloc(1, sizeof(*grave)));

		grave->memory = call->memory[tensor];
		grave->bytes = bytes_of(shell, tensor) + 1;
		memcpy(shell->model->bytes[tensor], grave->memory, grave->bytes - 1);
		memset(grave->memory, SHELL_POISON, grave->bytes);
		grave->next = shell->graves;
		shell->graves = grave;
	}
}

void state_free(struct state_call *call)
{
	while (call->orders != NULL) {
		struct orders *orders = call->orders;

		call->orders = orders->next;
		free(orders);
	}
	pccl_agreement_destroy(call->agreement);
	pccl_drift_destroy(call->drift);
	pccl_inventory_destroy(call->inventory);
	free(call);
}

/* ---- what must have come of it ------------------------------ */

static void compare(const struct shell *shell, const struct pccl_agreement_result *result, uint64_t key)
{
	struct shell_world *world = shell->sim->shells;
	struct state_record *record = world->states;

	while (record != NULL && record->sync != result->sync)
		record = record->next;
	if (record == NULL) {
		record = state_must(calloc(1, sizeof(*record)));
		*record = (struct state_record){result->sync, key, result->revision, shell->node->id, world->states};
		world->states = record;
	} else if (record->key != key || record->revision != result->revision) {
		sim_fail(shell->sim, "nodes %u and %u have other states, or revisions, after one call", record->node,
			 shell->node->id);
	}
}

static void check_success(const struct shell *shell, const struct pccl_agreement_result *result)
{
	const struct pccl_election *election = pccl_agreement_election(shell->state->agreement);
	uint64_t key;

	shell->sim->shells->states_ended++;
	if (shell->sim->rogue != NULL)
		return;
	if (!state_find_key(shell, &key)) {
		sim_fail(shell->sim, "node %u has a mixture of states after a call that succeeded", shell->node->id);
		return;
	}
	compare(shell, result, key);
	/* Those who hold it may all have gone back to an earlier one. Nobody else takes a node back that
	 * was there. */
	if (election->has_expected &&
	    (result->revision > election->expected || (result->revision < election->committed && shell->model->there &&
						       result->revision < shell->model->revision)))
		sim_fail(shell->sim, "revision %llu at node %u after %llu", (unsigned long long)result->revision,
			 shell->node->id, (unsigned long long)election->committed);
}

static void check_failure(const struct shell *shell, const struct pccl_agreement_result *result)
{
	uint64_t key;

	if (shell->ended || shell->sim->rogue != NULL)
		return;
	if (result->result != pcclInvalidUsage && result->result != pcclNoSharedStateAvailable)
		sim_fail(shell->sim, "node %u: a call about states ends with %d: %s", shell->node->id,
			 (int)result->result, result->text);
	if (result->result == pcclInvalidUsage && !shell->model->torn && !state_find_key(shell, &key))
		sim_fail(shell->sim, "node %u has a mixture of states after a call that did nothing", shell->node->id);
}

static void finish(struct shell *shell)
{
	const struct pccl_agreement_result *result = pccl_agreement_result(shell->state->agreement);
	struct state_model *model = shell->model;

	sim_trace(shell->sim, "node %u: states are one, with %d, revision %llu, %llu bytes received, %llu sent %s",
		  shell->node->id, (int)result->result, (unsigned long long)result->revision,
		  (unsigned long long)result->rx_bytes, (unsigned long long)result->tx_bytes, result->text);
	state_bury(shell);
	if (result->result == pcclSuccess) {
		check_success(shell, result);
		(void)state_find_key(shell, &model->key);
		model->revision = result->revision;
		model->there = true;
		model->torn = false;
	} else {
		check_failure(shell, result);
		model->torn |= result->lineage.torn || result->result == pcclNoSharedStateAvailable || shell->ended;
	}
	model->lineage = result->lineage;
	model->run = shell->node->view.run;
	state_free(shell->state);
	shell->state = NULL;
	shell->node->calls++;
}

/* ---- what is to be done ------------------------------ */

void caller_state_begin(struct shell *shell)
{
	struct pccl_agreement_config config = {.self = shell->node->uuid, .members_max = SIM_NODES};

	if (shell->model == NULL)
		shell->model = state_must(calloc(1, sizeof(*shell->model)));
	if (caller_drift_wanted(shell)) {
		caller_drift_begin(shell);
		return;
	}
	state_train(shell);
	shell->state = state_must(calloc(1, sizeof(*shell->state)));
	state_lend(shell);
	config.nonce = pccl_rng_u64(&shell->sim->rng);
	config.inventory = shell->state->inventory;
	config.revision = shell->model->revision;
	config.strategy = strategy_for(shell);
	if (state_draw(shell, 3) % 4 != 0)
		config.little_bytes = state_draw(shell, 3) % 2000;
	else
		config.little_bytes = PCCL_TRANSFER_LITTLE_BYTES;
	if (pccl_uuid_equal(&shell->model->run, &shell->node->view.run))
		config.lineage = shell->model->lineage;
	shell->node->step++;
	if (sim_chance(shell->sim, 2))
		config.inventory = NULL;
	if (pccl_agreement_create(&config, pccl_session_lanes(shell->session), &shell->state->agreement) != pcclSuccess)
		abort();
	sim_trace(shell->sim, "node %u makes states one, revision %llu, strategy %d%s", shell->node->id,
		  (unsigned long long)config.revision, (int)config.strategy, config.lineage.torn ? ", torn" : "");
	caller_state_step(shell);
}

static pcclResult_t launch(struct shell *shell, const void *input, void *output, size_t bytes)
{
	const pcclOperation_t defaults = PCCL_OPERATION_INITIALIZER;
	struct pccl_op_request request = {
		.kind = PCCL_ALL_GATHER, .operation = defaults, .input = input, .output = output};
	pcclResult_t result;

	request.operation.count = bytes;
	request.operation.datatype = pcclUint8;
	request.operation.tag = PCCL_STATE_TAG;
	request.operation.plan = pcclPlanDirect;
	request.operation.failure_policy = pcclPolicyAbort;
	request.operation.zstd = pcclZstdOff;
	result = pccl_session_launch(shell->session, &request, &shell->state->op);
	if (result == pcclSuccess)
		shell->state->op->deadline_ns = UINT64_MAX;
	shell_dispatch(shell);
	return result;
}

static void gathered(const struct state_call *call, pcclResult_t result, const char *text, uint32_t ranks)
{
	if (call->drift != NULL)
		pccl_drift_gathered(call->drift, result, text, ranks);
	else
		pccl_agreement_gathered(call->agreement, result, text, ranks);
}

bool state_gather(struct shell *shell, const void *input, void *output, size_t bytes)
{
	struct state_call *call = shell->state;
	struct pccl_op *op = call->op;

	if (op == NULL) {
		pcclResult_t result = launch(shell, input, output, bytes);

		if (result != pcclSuccess)
			gathered(call, result, pccl_fail_text(), 0);
		return result != pcclSuccess;
	}
	if (!op->ended)
		return false;
	call->sequence = op->key.sequence;
	gathered(call, op->result, op->detail, op->attempt_ranks);
	call->op = NULL;
	pccl_session_release(shell->session, op);
	return true;
}

static void post(struct shell *shell, const struct pccl_agreement_action *action)
{
	struct state_call *call = shell->state;
	struct orders *orders = state_must(calloc(1, sizeof(*orders)));
	uint32_t lane;

	orders->order.step = action->step;
	orders->order.sync = action->sync;
	orders->order.serves = action->serves;
	orders->order.inventory = call->inventory;
	orders->order.fetch = action->fetch;
	orders->next = call->orders;
	call->orders = orders;
	for (lane = 0; lane < shell->lane_count; lane++) {
		if (action->step == PCCL_AGREEMENT_FETCH && lane >= action->fetch->lanes)
			break;
		orders->commands[lane].type = PCCL_COMMAND_BACKGROUND;
		orders->commands[lane].lane = lane;
		orders->commands[lane].order = &orders->order;
		shell_lane_command(&shell->lanes[lane], &orders->commands[lane]);
	}
	call->awaited = lane;
	call->posted = true;
}

void caller_state_transferred(void *context, uint32_t lane, const struct pccl_transfer_outcome *outcome)
{
	struct shell *shell = context;
	struct state_call *call = shell->state;

	if (outcome->lied && shell->sim->rogue == NULL)
		sim_fail(shell->sim, "node %u takes an honest member for a liar", shell->node->id);
	if (call == NULL || outcome->event != call->event || call->awaited == 0)
		return;
	call->outcomes[lane] = *outcome;
	if (--call->awaited == 0)
		sim_program_wake(shell->sim, shell->node);
}

/* False: it runs. */
static bool have_lanes(struct shell *shell, const struct pccl_agreement_action *action)
{
	struct state_call *call = shell->state;
	bool fetches = action->step == PCCL_AGREEMENT_FETCH;
	uint32_t lanes = fetches ? action->fetch->lanes : shell->lane_count, lane;

	if (!call->posted) {
		call->event = fetches ? PCCL_TRANSFER_FETCHED : PCCL_TRANSFER_CLOSED;
		post(shell, action);
	}
	if (call->awaited > 0 && !(fetches && shell->ended))
		return false;
	call->posted = false;
	if (call->awaited > 0)
		pccl_agreement_abort(call->agreement, pcclAborted, "the communicator has ended");
	else
		for (lane = 0; lane < lanes; lane++)
			pccl_agreement_outcome(call->agreement, &call->outcomes[lane], lanes);
	return true;
}

/* ---- steps ------------------------------ */

void caller_state_step(struct shell *shell)
{
	bool goes_on = true;

	if (shell->state->drift != NULL) {
		caller_drift_step(shell);
		return;
	}

	while (goes_on) {
		const struct pccl_agreement_action *action = pccl_agreement_next(shell->state->agreement);

		switch (action->step) {
		case PCCL_AGREEMENT_GATHER:
			goes_on = state_gather(shell, action->input, action->output, action->bytes);
			break;
		case PCCL_AGREEMENT_OPEN:
		case PCCL_AGREEMENT_SERVE:
			post(shell, action);
			shell->state->posted = false;
			pccl_agreement_done(shell->state->agreement);
			break;
		case PCCL_AGREEMENT_FETCH:
		case PCCL_AGREEMENT_CLOSE:
			goes_on = have_lanes(shell, action);
			break;
		case PCCL_AGREEMENT_END:
			finish(shell);
			return;
		}
	}
}

void caller_state_ended(struct shell *shell)
{
	if (shell->state != NULL && shell->state->op != NULL)
		sim_program_wake(shell->sim, shell->node);
}

/* ---- the end ------------------------------ */

void caller_state_destroy(struct shell *shell)
{
	uint32_t tensor;

	if (shell->state != NULL) {
		for (tensor = 0; tensor < TENSORS; tensor++)
			free(shell->state->memory[tensor]);
		state_free(shell->state);
	}
	free(shell->model);
	shell->state = NULL;
	shell->model = NULL;
}

void state_records_destroy(struct shell_world *world)
{
	while (world->states != NULL) {
		struct state_record *record = world->states;

		world->states = record->next;
		free(record);
	}
}
