/* Calls of a world that move parts: gather, scatter, all-to-all, and transfers from a rank to the next one. */
#include <string.h>

#include "check.h"
#include "collectives/element/dtype.h"
#include "exec_world_internal.h"

bool world_takes_part(const struct world_spec *spec, uint32_t ranks, uint32_t rank)
{
	return spec->kind != PCCL_TRANSFER || rank == spec->root || rank == (spec->root + 1) % ranks;
}

uint32_t world_partner(const struct world_spec *spec, uint32_t ranks, uint32_t rank)
{
	return spec->kind == PCCL_TRANSFER && rank == spec->root ? (rank + 1) % ranks : spec->root;
}

/* Elements that go from one rank to another. */
static uint64_t count_of(const struct world_spec *spec, uint32_t ranks, uint32_t from, uint32_t to)
{
	bool goes = true;

	if (spec->kind == PCCL_GATHER)
		goes = to == spec->root;
	else if (spec->kind == PCCL_SCATTER)
		goes = from == spec->root;
	else if (spec->kind == PCCL_TRANSFER)
		goes = from == spec->root && to == (from + 1) % ranks;
	if (!goes)
		return 0;
	return spec->uneven ? pccl_rng_hash(spec->tag, (uint64_t)from << 32 | to) % (2 * spec->count + 1) : spec->count;
}

void world_cut_parts(const struct world *world, uint32_t ranks, uint32_t rank, struct world_call *call)
{
	const struct world_spec *spec = &call->spec;
	size_t size = pccl_dtype_bytes(spec->datatype);
	uint64_t sends[WORLD_PEERS_MAX], receives[WORLD_PEERS_MAX];
	uint32_t other, count;

	call->input_bytes = call->output_bytes = 0;
	for (other = 0; other < ranks; other++) {
		sends[other] = count_of(spec, ranks, rank, other);
		receives[other] = count_of(spec, ranks, other, rank);
		call->input_bytes += sends[other] * size;
		call->output_bytes += receives[other] * size;
	}
	call->parts = must(calloc(2 * (size_t)ranks + 1, sizeof(*call->parts)));
	count = pccl_parts_make(sends, receives, ranks, rank, call->parts);
	pccl_parts_cut(call->parts, count, ranks, size, world->config.lanes, &call->geometry);
}

/* Elements that `from` has for ranks before `to`. */
static uint64_t sent_before(const struct world_spec *spec, uint32_t ranks, uint32_t from, uint32_t to)
{
	uint64_t count = 0;
	uint32_t other;

	for (other = 0; other < to; other++)
		count += count_of(spec, ranks, from, other);
	return count;
}

void world_check_parts(const struct world *world, uint32_t op)
{
	uint32_t ranks = world->member_count, rank, from;

	for (rank = 0; rank < ranks; rank++) {
		const struct world_call *call = world->peers[world->members[rank]].calls[op];
		const uint8_t *got;

		if (call == NULL)
			continue;
		assert_string_equal(call->detail, "");
		assert_int_equal(call->result, pcclSuccess);
		world_assert_equal(call->input, call->original, call->input_bytes);
		got = call->output;
		for (from = 0; from < ranks; from++) {
			const struct world_call *sender = world->peers[world->members[from]].calls[op];
			size_t size = pccl_dtype_bytes(call->spec.datatype);
			size_t bytes = count_of(&call->spec, ranks, from, rank) * size;

			if (bytes > 0)
				world_assert_equal(
					got, sender->original + sent_before(&call->spec, ranks, from, rank) * size,
					bytes);
			got += bytes;
		}
	}
}
