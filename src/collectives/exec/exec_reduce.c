/* Contributions become sums and results; input that a result overwrites is kept. */
#include <assert.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/copy.h"
#include "base/crc32c.h"
#include "collectives/element/dtype.h"
#include "collectives/exec/exec_internal.h"
#include "collectives/reduce/reduce.h"

/* ---- segments in work -------------------------------------------------------------------------------------------- */

struct work *work_at(const struct op *op, uint32_t index)
{
	return &op->works[index % op->work_count];
}

const void **work_inputs(const struct op *op, uint32_t index)
{
	return &op->inputs[(size_t)(index % op->work_count) * op->fan_in];
}

uint32_t *work_slots(const struct op *op, uint32_t index)
{
	return &op->input_slots[(size_t)(index % op->work_count) * op->fan_in];
}

void work_reset(struct op *op, uint32_t index)
{
	struct work *work = work_at(op, index);
	uint32_t position;

	work->arrived = 0;
	work->sum_slot = NONE;
	work->closed = false;
	for (position = 0; position < op->fan_in; position++) {
		work_inputs(op, index)[position] = NULL;
		work_slots(op, index)[position] = NONE;
	}
}

static void free_inputs(struct op *op, uint32_t index)
{
	uint32_t *slots = work_slots(op, index);
	uint32_t position;

	for (position = 0; position < op->fan_in; position++) {
		if (slots[position] != NONE)
			slot_give(op, slots[position]);
		slots[position] = NONE;
	}
}

/* ---- input that is overwritten ----------------------------------------------------------------------------------- */

void undo_save(struct pccl_exec *exec, struct op *op, uint32_t local)
{
	if (!op->keeps_undo || pccl_bitmap_test(op->saved, local))
		return;
	pccl_copy_aside(op_undo(exec, op, local), op_output(exec, op, local), op_segment_bytes(exec, op, local));
	pccl_bitmap_set(op->saved, local);
}

void undo_restore(struct pccl_exec *exec, struct op *op, bool all)
{
	uint32_t local;

	if (!op->keeps_undo)
		return;
	for (local = 0; local < op->local_count; local++)
		if (pccl_bitmap_test(op->saved, local) && (all || !pccl_bitmap_test(op->held, local)))
			memcpy(op_output(exec, op, local), op_undo(exec, op, local), op_segment_bytes(exec, op, local));
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

void result_hold(const struct pccl_exec *exec, struct op *op, uint32_t local)
{
	assert(!pccl_bitmap_test(op->held, local));
	pccl_bitmap_set(op->held, local);
	op->held_count += op_route(op, local)->result_needed;
	verify_hold(exec, op, local);
}

bool several_check(const struct pccl_exec *exec, const uint32_t *ranks, uint32_t count)
{
	uint32_t index;
	uint32_t checking = 0;

	for (index = 0; index < count && checking < 2; index++)
		checking +=
			exec->config.checks == NULL || exec->config.checks(exec->config.checks_context, ranks[index]);
	return checking > 1;
}

void result_log(struct pccl_exec *exec, struct op *op, uint32_t local, bool in_cache)
{
	const struct pccl_route *route = op_route(op, local);
	struct logged *logged;
	uint32_t index;

	if (route->result_to_count == 0)
		return;
	logged = &op->log[op->log_count++];
	logged->local = local;
	logged->crc = 0;
	if (in_cache && several_check(exec, route->result_to, route->result_to_count) && !pack_is_likely(exec, op))
		logged->crc = pccl_crc32c(0, result_payload(exec, op, local), op_result_bytes(exec, op, local));
	for (index = 0; index < route->result_to_count; index++)
		refresh_results(exec, op, route->result_to[index]);
}

void result_copy_own(struct pccl_exec *exec, struct op *op, uint32_t local)
{
	void *output = op_output(exec, op, local);
	const void *own = op_own(exec, op, local);

	if (output != own)
		memcpy(output, own, op_segment_bytes(exec, op, local));
	result_hold(exec, op, local);
}

uint32_t own_position(const struct pccl_exec *exec, const struct pccl_route *route)
{
	uint32_t position = 0;

	if (exec->rank < route->input_count && route->inputs[exec->rank] == exec->rank)
		return exec->rank;
	while (route->inputs[position] != exec->rank)
		position++;
	return position;
}

static void plain_reduce(struct pccl_exec *exec, struct op *op, uint32_t index)
{
	uint32_t local = op->awaited[index];
	const struct pccl_route *route = op_route(op, local);
	const void **inputs = work_inputs(op, index);
	pcclDataType_t type = (pcclDataType_t)op->launch.signature.datatype;
	pcclRedOp_t operation = (pcclRedOp_t)op->launch.signature.op;
	size_t count = op_elements(exec, op, local);
	void *output = op_output(exec, op, local);

	undo_save(exec, op, local);
	inputs[own_position(exec, route)] = op_own(exec, op, local);
	if (route->input_is_sum)
		pccl_reduce_finish(output, inputs[0], inputs[1], count, type, operation, op->launch.divisor);
	else
		pccl_reduce(output, inputs, route->input_count, count, type, operation, op->launch.divisor);
}

static void make_result(struct pccl_exec *exec, struct op *op, uint32_t index)
{
	uint32_t local = op->awaited[index];

	if (op->coded) {
		if (!coded_reduce(exec, op, index))
			return;
	} else {
		plain_reduce(exec, op, index);
	}
	free_inputs(op, index);
	result_hold(exec, op, local);
	result_log(exec, op, local, true);
	credit_close(exec, op, index);
}

void result_retry(struct pccl_exec *exec, struct op *op, uint32_t index)
{
	const struct pccl_route *route = op_route(op, op->awaited[index]);
	const struct work *work = work_at(op, index);

	if (!work->closed && work->arrived == route->input_count - 1)
		make_result(exec, op, index);
}

/* ---- partial sums that travel on --------------------------------------------------------------------------------- */

static void make_sum(struct pccl_exec *exec, struct op *op, uint32_t index)
{
	uint32_t local = op->awaited[index];
	const struct pccl_route *route = op_route(op, local);
	const void *input = work_inputs(op, index)[0];
	pcclDataType_t type = (pcclDataType_t)op->launch.signature.datatype;
	size_t count = op_elements(exec, op, local);
	uint32_t *input_slot = &work_slots(op, index)[0];
	struct work *work = work_at(op, index);
	void *sum;

	assert(route->input_count == 2 && route->inputs[1] == exec->rank);
	/* The sum takes the place of what came in. */
	work->sum_slot = *input_slot;
	*input_slot = NONE;
	sum = slot_memory(exec, op, work->sum_slot);
	if (!route->input_is_sum && pccl_dtype_partial(type) != type) {
		pccl_reduce_begin(exec->bounce, input, count, type);
		input = exec->bounce;
	}
	pccl_reduce_partial(sum, input, op_own(exec, op, local), count, type, (pcclRedOp_t)op->launch.signature.op);
	refresh_partials(exec, op, route->sum_to);
}

void sum_sent(struct pccl_exec *exec, struct op *op, uint32_t local)
{
	uint32_t index = op->places[local].index;
	struct work *work = work_at(op, index);

	if (index < op->closed_first || work->sum_slot == NONE)
		return;
	slot_give(op, work->sum_slot);
	work->sum_slot = NONE;
	credit_close(exec, op, index);
	op_settle(exec, op);
}

void sum_alone(struct pccl_exec *exec, struct op *op, uint32_t index)
{
	assert(op_route(op, op->awaited[index])->input_count == 1);
	make_result(exec, op, index);
}

void contribution_arrived(struct pccl_exec *exec, struct op *op, uint32_t index)
{
	const struct pccl_route *route = op_route(op, op->awaited[index]);
	struct work *work = work_at(op, index);

	work->arrived++;
	assert(work->arrived < route->input_count); /* accept() takes each rank's once */
	if (work->arrived < route->input_count - 1 || op->failing)
		return;
	if (route->sum_to == PCCL_RANK_NONE)
		make_result(exec, op, index);
	else
		make_sum(exec, op, index);
}
