/* Calls that move parts: how many elements go from one node to another, where they lie, and what must have come. */
#include "shell.h"

#include <assert.h>
#include <string.h>

#include "base/uuid.h"
#include "collectives/element/dtype.h"

/* All members find the same; now and then it is nothing. */
static size_t count_of(const struct call *call, uint32_t from, uint32_t to)
{
	const struct call_spec *spec = &call->spec;

	if ((spec->kind == PCCL_GATHER && to != call->root) || (spec->kind == PCCL_SCATTER && from != call->root))
		return 0;
	if (spec->kind == PCCL_TRANSFER && (from != spec->root || to != spec->other))
		return 0;
	if (spec->key % 3 == 0 || spec->kind == PCCL_TRANSFER)
		return spec->operation.count;
	/* Of another count all that is something is something else: a mistake is seen, or makes no difference. */
	return spec->operation.count * (pccl_rng_hash(spec->key, (uint64_t)from << 32 | to) % 3);
}

static uint32_t node_of(const struct shell *shell, const pcclRankUuid_t *uuid)
{
	uint32_t index;

	for (index = SIM_MASTERS; index < shell->sim->node_count; index++)
		if (pccl_uuid_equal(&shell->sim->nodes[index].uuid, uuid))
			return index;
	return 0;
}

bool parts_takes_part(const struct shell *shell, const struct call *call)
{
	const struct pccl_view *view = &shell->node->view.view;
	const struct sim_node *nodes = shell->sim->nodes;
	uint32_t id = shell->node->id, rank;

	if (call->spec.kind != PCCL_TRANSFER)
		return true;
	return call->spec.root != call->spec.other && (id == call->spec.root || id == call->spec.other) &&
	       pccl_view_rank(view, &nodes[call->spec.root].uuid, &rank) &&
	       pccl_view_rank(view, &nodes[call->spec.other].uuid, &rank);
}

void parts_measure(const struct shell *shell, struct call *call)
{
	const struct pccl_view *view = &shell->node->view.view;
	size_t size = pccl_dtype_bytes(call->spec.operation.datatype);
	uint32_t rank, own = shell->node->id;

	call->input_bytes = call->output_bytes = 0;
	for (rank = 0; rank < view->member_count; rank++) {
		uint32_t node = node_of(shell, &view->members[rank].uuid);

		call->nodes[rank] = node;
		call->sends[rank] = count_of(call, own, node);
		call->receives[rank] = count_of(call, node, own);
		call->input_bytes += call->sends[rank] * size;
		call->output_bytes += call->receives[rank] * size;
	}
}

void parts_request(const struct shell *shell, const struct call *call, struct pccl_op_request *request)
{
	uint32_t own = shell->node->id;
	bool at_root = call->root == own;

	request->sends = call->sends;
	request->receives = call->receives;
	request->is_sender = call->spec.kind == PCCL_TRANSFER && call->spec.root == own;
	if (call->spec.kind == PCCL_GATHER && !at_root)
		request->operation.count = count_of(call, own, call->root);
	else if (call->spec.kind == PCCL_SCATTER && !at_root)
		request->operation.count = count_of(call, call->root, own);
	if (request->is_sender)
		(void)pccl_view_rank(&shell->node->view.view, &shell->sim->nodes[call->spec.other].uuid,
				     &request->operation.root);
}

bool parts_match(const struct shell *shell, const struct call *call)
{
	size_t size = pccl_dtype_bytes(call->spec.operation.datatype);
	const uint8_t *got = call->output;
	uint32_t rank, other;

	for (rank = 0; rank < call->ranks; rank++) {
		uint64_t first = 0;

		for (other = 0; call->nodes[other] != shell->node->id; other++)
			first += count_of(call, call->nodes[rank], call->nodes[other]);
		if (call->receives[rank] > 0 &&
		    !buffer_matches(&call->spec, call->nodes[rank], first, call->receives[rank], got))
			return false;
		got += call->receives[rank] * size;
	}
	return true;
}
