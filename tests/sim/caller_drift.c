/* Looks for drift, as src/comm/monitor_drift.c makes them, and what must have come of them: all who end one find the
 * same, and the same states are the same. */
#include "caller_state.h"

#include <stdlib.h>
#include <string.h>

#include "base/uuid.h"

/* What a look for drift came to. */
struct drift_record {
	uint32_t group;
	pcclRankUuid_t run;
	uint32_t origin;
	uint32_t sequence;
	uint64_t found;
	uint64_t key;
	uint32_t node;
	struct drift_record *next;
};

bool caller_drift_wanted(const struct shell *shell)
{
	return pccl_rng_hash(shell->sim->plan.seed, 701) % 2 == 0 && state_draw(shell, 6) % 3 == 0;
}

static struct drift_record *find_drift(const struct shell *shell)
{
	struct shell_world *world = shell->sim->shells;
	const struct sim_node *node = shell->node;
	struct drift_record *record = world->drifts;

	while (record != NULL &&
	       (record->group != node->group || record->origin != node->origin ||
		record->sequence != shell->state->sequence || !pccl_uuid_equal(&record->run, &node->view.run)))
		record = record->next;
	if (record != NULL)
		return record;
	record = state_must(calloc(1, sizeof(*record)));
	record->group = node->group;
	record->run = node->view.run;
	record->origin = node->origin;
	record->sequence = shell->state->sequence;
	record->node = SIM_NODES;
	record->next = world->drifts;
	world->drifts = record;
	return record;
}

/* All find the same, and what is the same is so. */
static void check_drift(struct shell *shell, const struct pccl_drift_result *result)
{
	struct drift_record *record;
	uint64_t found = (uint64_t)result->result, key = 0;

	if (shell->sim->rogue != NULL || shell->ended)
		return;
	if (result->result != pcclSuccess && result->result != pcclMismatch) {
		sim_fail(shell->sim, "node %u: a look for drift ends with %d: %s", shell->node->id, (int)result->result,
			 result->text);
		return;
	}
	if (shell->state->sequence == 0)
		return; /* it was alone */
	if (result->result == pcclMismatch)
		found = pccl_rng_hash(pccl_rng_hash(result->odd_rank, result->odd_count),
				      result->located ? result->element + 1 : 0);
	else
		(void)state_find_key(shell, &key);
	record = find_drift(shell);
	if (record->node < SIM_NODES && (record->found != found || record->key != key))
		sim_fail(shell->sim, "nodes %u and %u find other drifts in one call", record->node, shell->node->id);
	record->found = found;
	record->key = key;
	record->node = shell->node->id;
}

static void finish_drift(struct shell *shell)
{
	const struct pccl_drift_result *result = pccl_drift_result(shell->state->drift);

	sim_trace(shell->sim, "node %u has looked for drift: %d %s", shell->node->id, (int)result->result,
		  result->text);
	state_bury(shell);
	check_drift(shell, result);
	state_free(shell->state);
	shell->state = NULL;
	shell->node->calls++;
}

void caller_drift_step(struct shell *shell)
{
	const struct state_call *call = shell->state;

	for (;;) {
		const struct pccl_drift_action *action = pccl_drift_next(call->drift);
		size_t bytes;

		switch (action->step) {
		case PCCL_DRIFT_GATHER:
			if (!state_gather(shell, action->input, action->output, action->bytes))
				return;
			break;
		case PCCL_DRIFT_READ:
			memcpy(action->room, pccl_inventory_place(call->inventory, action->chunk, &bytes),
			       action->bytes);
			pccl_drift_read(call->drift, pcclSuccess, "");
			break;
		case PCCL_DRIFT_END:
			finish_drift(shell);
			return;
		}
	}
}

void caller_drift_begin(struct shell *shell)
{
	const struct state_model *model = shell->model;

	if (!model->there && !model->torn)
		state_train(shell);
	shell->state = state_must(calloc(1, sizeof(*shell->state)));
	state_lend(shell);
	shell->node->step++;
	if (pccl_drift_create(shell->state->inventory, &shell->node->uuid, SIM_NODES, &shell->state->drift) !=
	    pcclSuccess)
		abort();
	sim_trace(shell->sim, "node %u looks for drift", shell->node->id);
	caller_drift_step(shell);
}

void drift_records_destroy(struct shell_world *world)
{
	while (world->drifts != NULL) {
		struct drift_record *record = world->drifts;

		world->drifts = record->next;
		free(record);
	}
}
