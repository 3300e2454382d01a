/* The calls of a world: their buffers, and what must come out. */
#include <string.h>

#include "check.h"
#include "collectives/element/dtype.h"
#include "collectives/reduce/reduce.h"
#include "exec_world_internal.h"

/* Much faster than what tells the difference. */
void world_assert_equal(const void *a, const void *b, size_t bytes)
{
	if (memcmp(a, b, bytes) != 0)
		assert_memory_equal(a, b, bytes);
}

/* ---- calls and their buffers ------------------------------------------------------------------------------------- */

static size_t element_bytes(const struct world_spec *spec)
{
	return pccl_dtype_bytes(spec->datatype);
}

/* A prime, so that repetition meets no boundary of a segment. */
#define PATTERN_ELEMENTS 1021

/* A number whose sums with others depend on the order, without ending in infinities. */
static void random_element(struct pccl_rng *rng, pcclDataType_t type, uint8_t *to)
{
	uint64_t bits = pccl_rng_u64(rng);
	double value = (pccl_rng_double(rng) - 0.5) * (double)(1 << (bits % 12));
	float narrow = (float)value;
	uint32_t narrow_bits;
	uint16_t half;

	memcpy(&narrow_bits, &narrow, 4);
	switch (type) {
	case pcclDouble:
		memcpy(to, &value, 8);
		break;
	case pcclFloat:
		memcpy(to, &narrow, 4);
		break;
	case pcclBFloat16:
		half = (uint16_t)(narrow_bits >> 16);
		memcpy(to, &half, 2);
		break;
	case pcclFloat16: /* sign, an exponent in the middle of the range, any mantissa */
		half = (uint16_t)((bits & 0x83ff) | (12 + bits / 65536 % 6) << 10);
		memcpy(to, &half, 2);
		break;
	default:
		memcpy(to, &bits, pccl_dtype_bytes(type));
		break;
	}
}

static void fill_random(struct pccl_rng *rng, pcclDataType_t type, uint8_t *to, size_t bytes)
{
	size_t pattern = PATTERN_ELEMENTS * pccl_dtype_bytes(type), at;

	for (at = 0; at < bytes && at < pattern; at += pccl_dtype_bytes(type))
		random_element(rng, type, to + at);
	for (; at < bytes; at++)
		to[at] = to[at - pattern];
}

static void make_buffers(struct world *world, uint32_t rank, uint32_t ranks, struct world_call *call)
{
	const struct world_spec *spec = &call->spec;
	size_t part = (size_t)spec->count * element_bytes(spec), skew = pccl_rng_below(&world->rng, 3);
	bool moves_parts = pccl_collective_moves_parts((int)spec->kind);
	size_t input_bytes = spec->kind == PCCL_REDUCE_SCATTER ? part * ranks : part;
	size_t output_bytes = spec->kind == PCCL_ALL_GATHER ? part * ranks : part;

	if (moves_parts) {
		input_bytes = call->input_bytes;
		output_bytes = call->output_bytes;
	}
	call->input_bytes = input_bytes;
	call->output_bytes = output_bytes;
	call->memory[0] = must(calloc(1, (input_bytes > output_bytes ? input_bytes : output_bytes) + skew + 1));
	call->input = call->memory[0] + skew;
	/* What a reduce adds elsewhere than at the root is not for the caller's memory. */
	if (spec->in_place && !moves_parts && (spec->kind != PCCL_REDUCE || spec->root == rank)) {
		call->output = call->input;
		if (spec->kind == PCCL_REDUCE_SCATTER)
			call->output = call->input + rank * part;
		else if (spec->kind == PCCL_ALL_GATHER)
			call->input = call->output + rank * part;
		if (pccl_collective_adds((int)spec->kind))
			call->undo = must(malloc(output_bytes + 1));
	} else {
		call->memory[1] = must(malloc(output_bytes + skew));
		call->output = call->memory[1] + skew;
	}
	fill_random(&world->rng, spec->datatype, call->input, input_bytes);
	call->original = must(malloc(input_bytes + 1));
	memcpy(call->original, call->input, input_bytes);
}

static void make_residual(struct world *world, struct world_call *call)
{
	pcclDataType_t partial = pccl_dtype_partial(call->spec.datatype);
	size_t bytes = call->spec.count * pccl_dtype_bytes(partial);

	call->residual = must(calloc(1, bytes + 1));
	call->residual_next = must(malloc(bytes + 1));
	call->residual_made = must(calloc(call->geometry.segment_count + 1, 1));
	fill_random(&world->rng, partial, call->residual, bytes);
}

void world_free_call(struct world_call *call)
{
	if (call == NULL)
		return;
	pccl_plan_destroy(call->plan);
	free(call->memory[0]);
	free(call->memory[1]);
	free(call->undo);
	free(call->original);
	free(call->parts);
	free(call->residual);
	free(call->residual_next);
	free(call->residual_made);
	free(call);
}

static uint32_t align_elements(const struct world_spec *spec)
{
	uint32_t block = spec->up.block > spec->down.block ? spec->up.block : spec->down.block;

	return block > 64 ? block : 64;
}

void world_add_call(struct world *world, uint32_t peer, uint32_t op, const struct world_spec *spec)
{
	struct world_peer *p = &world->peers[peer];
	struct world_call *call;

	assert_true(op < WORLD_OPS_MAX);
	if (op >= world->op_count)
		world->op_count = op + 1;
	world_free_call(p->calls[op]);
	p->calls[op] = NULL;
	if (!world_takes_part(spec, p->ranks, p->rank))
		return;
	call = must(calloc(1, sizeof(*call)));
	call->spec = *spec;
	if (pccl_collective_moves_parts((int)spec->kind))
		world_cut_parts(world, p->ranks, p->rank, call);
	else
		pccl_geometry_cut(spec->kind, p->ranks, spec->count, element_bytes(spec), align_elements(spec),
				  &call->geometry);
	call->geometry.on_one_lane = !pccl_collective_moves_parts((int)spec->kind) && spec->tag % 3 == 0;
	assert_int_equal(pccl_plan_create(spec->kind, spec->algorithm, p->ranks, p->rank,
					  world_partner(spec, p->ranks, p->rank), &call->geometry, &call->plan),
			 pcclSuccess);
	make_buffers(world, p->rank, p->ranks, call);
	if (spec->feeds_back)
		make_residual(world, call);
	p->calls[op] = call;
}

void world_add(struct world *world, uint32_t op, const struct world_spec *spec)
{
	uint32_t rank;

	for (rank = 0; rank < world->member_count; rank++)
		world_add_call(world, world->members[rank], op, spec);
}

/* ---- what must come out ------------------------------------------------------------------------------------------ */

void world_random_codec(struct pccl_rng *rng, pcclDataType_t type, struct pccl_op_codec *out)
{
	static const pcclDataType_t targets[] = {pcclUint8, pcclInt8, pcclUint16, pcclInt16, pcclInt32};
	const struct pccl_codec *codec;

	memset(out, 0, sizeof(*out));
	out->id = (uint8_t)pccl_rng_below(rng, PCCL_CODEC_COUNT);
	codec = pccl_codec_find(out->id);
	if (codec->block_default != 0)
		out->block = (uint16_t)codec->block_default;
	if (!codec->has_target)
		return;
	out->target = (uint8_t)targets[pccl_rng_below(rng, sizeof(targets) / sizeof(targets[0]))];
	if (pccl_dtype_bytes((pcclDataType_t)out->target) >= pccl_dtype_bytes(type))
		out->target = pcclUint8;
}

void world_codec(const struct world_spec *spec, const struct pccl_geometry *geometry, uint32_t segment, uint32_t rank,
		 struct pccl_codec_params *out)
{
	const struct pccl_op_codec *codec = rank == PCCL_RANK_NONE ? &spec->down : &spec->up;
	uint32_t elements = pccl_geometry_elements(geometry, segment);

	memset(out, 0, sizeof(*out));
	out->id = codec->id;
	out->target = (pcclDataType_t)codec->target;
	out->block = codec->block;
	out->type = spec->datatype;
	out->rounding = spec->rounding;
	out->key = pccl_rng_hash(pccl_rng_hash(spec->tag, spec->sequence), rank == PCCL_RANK_NONE ? 0 : rank + 1);
	out->first_element = pccl_geometry_first(geometry, segment);
	/* What would not get smaller travels plain. */
	if (pccl_codec_encoded_bytes(out, elements) >= elements * element_bytes(spec))
		out->id = PCCL_CODEC_NONE;
}

/* Through the codec and back; without one, a copy. */
static void through(const struct pccl_codec_params *params, const void *in, uint32_t elements, void *out)
{
	uint8_t *encoded = must(malloc(pccl_codec_encoded_bytes(params, elements) + 1));

	assert_int_equal(pccl_codec_encode(params, in, elements, encoded), elements);
	pccl_codec_decode(params, encoded, elements, out);
	free(encoded);
}

/* What is left over of a contribution is what encoding took. */
static void check_residual(const struct world_call *call, uint64_t first, uint32_t elements, pcclDataType_t type,
			   const uint8_t *wanted, const uint8_t *decoded)
{
	size_t size = pccl_dtype_bytes(type);
	const uint8_t *left = call->residual_next + first * size;
	uint32_t index;

	for (index = 0; index < elements; index++) {
		double doubles[3];
		float floats[3];

		memcpy(type == pcclDouble ? (void *)&doubles[0] : (void *)&floats[0], left + index * size, size);
		memcpy(type == pcclDouble ? (void *)&doubles[1] : (void *)&floats[1], wanted + index * size, size);
		memcpy(type == pcclDouble ? (void *)&doubles[2] : (void *)&floats[2], decoded + index * size, size);
		if (type == pcclDouble)
			assert_true(doubles[0] == doubles[1] - doubles[2]);
		else
			assert_true(floats[0] == floats[1] - floats[2]);
	}
}

/* A contribution as it is decoded: in what sums are made in. */
static void expect_contribution(const struct world_call *call, uint32_t segment, uint32_t rank, uint8_t *decoded)
{
	const struct world_spec *spec = &call->spec;
	uint32_t elements = pccl_geometry_elements(&call->geometry, segment);
	uint64_t first = pccl_geometry_first(&call->geometry, segment);
	struct pccl_codec_params codec;
	bool feeds_back;
	uint8_t *values;
	size_t size;

	world_codec(spec, &call->geometry, segment, rank, &codec);
	feeds_back = call->residual != NULL && codec.id != PCCL_CODEC_NONE;
	codec.type = pccl_dtype_partial(spec->datatype);
	size = pccl_dtype_bytes(codec.type);
	values = must(malloc(elements * size + 1));
	pccl_reduce_begin(values, call->original + first * element_bytes(spec), elements, spec->datatype);
	if (feeds_back)
		pccl_reduce_partial(values, values, call->residual + first * size, elements, codec.type, pcclSum);
	through(&codec, values, elements, decoded);
	if (call->residual != NULL)
		assert_int_equal(call->residual_made[segment], feeds_back);
	if (feeds_back)
		check_residual(call, first, elements, codec.type, values, decoded);
	free(values);
}

static void expect_coded_segment(const struct world *world, uint32_t op, uint32_t segment, const uint32_t *peers,
				 uint32_t count, uint32_t divisor, uint8_t *out)
{
	const struct world_call *call = world->peers[peers[0]].calls[op];
	const struct world_spec *spec = &call->spec;
	uint32_t elements = pccl_geometry_elements(&call->geometry, segment), index;
	pcclDataType_t partial = pccl_dtype_partial(spec->datatype);
	size_t bytes = elements * pccl_dtype_bytes(partial);
	uint8_t *sums = must(malloc(bytes + 1)), *decoded = must(malloc(bytes + 1));
	struct pccl_codec_params codec;

	for (index = 0; index < count; index++) {
		expect_contribution(world->peers[peers[index]].calls[op], segment, index, decoded);
		if (index == 0)
			memcpy(sums, decoded, bytes);
		else
			pccl_reduce_partial(sums, sums, decoded, elements, partial, spec->op);
	}
	pccl_reduce_finish(out, sums, NULL, elements, spec->datatype, spec->op, divisor);
	world_codec(spec, &call->geometry, segment, PCCL_RANK_NONE, &codec);
	through(&codec, out, elements, out);
	free(sums);
	free(decoded);
}

void world_expect_segment(struct world *world, uint32_t op, uint32_t segment, const uint32_t *peers, uint32_t count,
			  uint32_t divisor, uint8_t *out)
{
	const struct world_call *call = world->peers[peers[0]].calls[op];
	size_t offset = (size_t)pccl_geometry_first(&call->geometry, segment) * element_bytes(&call->spec);
	const void *inputs[WORLD_PEERS_MAX];
	uint32_t index;

	if (call->spec.up.id != PCCL_CODEC_NONE || call->spec.down.id != PCCL_CODEC_NONE) {
		expect_coded_segment(world, op, segment, peers, count, divisor, out);
		return;
	}
	for (index = 0; index < count; index++)
		inputs[index] = world->peers[peers[index]].calls[op]->original + offset;
	pccl_reduce(out, inputs, count, pccl_geometry_elements(&call->geometry, segment), call->spec.datatype,
		    call->spec.op, divisor);
}

void world_order(const struct world *world, uint32_t op, uint32_t segment, uint32_t *peers)
{
	const struct world_call *call = world->peers[world->members[0]].calls[op];
	uint32_t ranks = world->member_count, first = 0, index;

	if (call->spec.algorithm == pcclPlanRing && ranks > 1 && call->spec.kind != PCCL_REDUCE) {
		first = call->spec.kind == PCCL_ALL_REDUCE ? segment % ranks : segment / call->geometry.chunk_segments;
		first++;
	}
	for (index = 0; index < ranks; index++)
		peers[index] = world->members[(first + index) % ranks];
}

/* Expected bytes of a segment, whichever the kind. */
static void expect(struct world *world, uint32_t op, uint32_t segment, uint8_t *out)
{
	const struct world_call *call = world->peers[world->members[0]].calls[op];
	const struct world_spec *spec = &call->spec;
	size_t offset = (size_t)pccl_geometry_first(&call->geometry, segment) * element_bytes(spec);
	size_t bytes = pccl_geometry_elements(&call->geometry, segment) * element_bytes(spec);
	uint32_t peers[WORLD_PEERS_MAX] = {0}, source = spec->root;

	if (pccl_collective_adds((int)spec->kind)) {
		world_order(world, op, segment, peers);
		world_expect_segment(world, op, segment, peers, world->member_count,
				     spec->op == pcclAvg ? world->member_count : 0, out);
		return;
	}
	if (spec->kind == PCCL_ALL_GATHER) {
		source = segment / call->geometry.chunk_segments;
		offset -= (size_t)source * call->geometry.chunk_elements * element_bytes(spec);
	}
	memcpy(out, world->peers[world->members[source]].calls[op]->original + offset, bytes);
}

static void check_segment(struct world *world, uint32_t op, uint32_t segment, const uint8_t *expected)
{
	uint32_t rank;

	for (rank = 0; rank < world->member_count; rank++) {
		const struct world_call *call = world->peers[world->members[rank]].calls[op];
		size_t size = element_bytes(&call->spec);
		size_t offset = (size_t)pccl_geometry_first(&call->geometry, segment) * size;

		if (call->spec.kind == PCCL_REDUCE && rank != call->spec.root)
			continue;
		if (call->spec.kind == PCCL_REDUCE_SCATTER) {
			if (segment / call->geometry.chunk_segments != rank)
				continue;
			offset -= rank * (size_t)call->spec.count * size;
		}
		world_assert_equal(call->output + offset, expected,
				   pccl_geometry_elements(&call->geometry, segment) * size);
	}
}

static void check_input_intact(const struct world_call *call, uint32_t rank)
{
	size_t part = (size_t)call->spec.count * element_bytes(&call->spec);

	if (!call->spec.in_place || (call->spec.kind == PCCL_REDUCE && rank != call->spec.root)) {
		world_assert_equal(call->input, call->original, call->input_bytes);
	} else if (call->spec.kind == PCCL_REDUCE_SCATTER) {
		/* All but this rank's part. */
		world_assert_equal(call->input, call->original, rank * part);
		world_assert_equal(call->input + (rank + 1) * part, call->original + (rank + 1) * part,
				   call->input_bytes - (rank + 1) * part);
	}
}

void world_check_success(struct world *world, uint32_t op)
{
	const struct world_call *call = world->peers[world->members[0]].calls[op];
	uint8_t *expected;
	uint32_t rank, segment;

	if (call == NULL || pccl_collective_moves_parts((int)call->spec.kind)) {
		world_check_parts(world, op);
		return;
	}
	expected = must(malloc((size_t)call->geometry.segment_elements * 8 + 8));
	for (rank = 0; rank < world->member_count; rank++) {
		call = world->peers[world->members[rank]].calls[op];
		assert_string_equal(call->detail, "");
		assert_int_equal(call->result, pcclSuccess);
		check_input_intact(call, rank);
	}
	for (segment = 0; segment < call->geometry.segment_count; segment++) {
		expect(world, op, segment, expected);
		check_segment(world, op, segment, expected);
	}
	free(expected);
}

void world_check_input_back(const struct world *world, uint32_t peer, uint32_t op)
{
	const struct world_call *call = world->peers[peer].calls[op];

	/* Whoever is not the root of a broadcast has no input. */
	if (call->spec.kind != PCCL_BROADCAST || call->spec.root == world->peers[peer].rank)
		world_assert_equal(call->input, call->original, call->input_bytes);
}

void world_check_failure(struct world *world, uint32_t op, pcclResult_t result)
{
	uint32_t rank;

	for (rank = 0; rank < world->member_count; rank++) {
		const struct world_call *call = world->peers[world->members[rank]].calls[op];

		assert_int_equal(call->result, result);
		assert_string_not_equal(call->detail, "");
		world_check_input_back(world, world->members[rank], op);
	}
}

void world_restore_lane(const struct world *world, struct world_call *call, uint32_t lane)
{
	const struct pccl_geometry *geometry = &call->geometry;
	size_t element_bytes = pccl_dtype_bytes(call->spec.datatype);
	uint32_t segment;

	if (call->undo == NULL || call->spec.kind == PCCL_REDUCE_SCATTER)
		return;
	for (segment = 0; segment < geometry->segment_count; segment++) {
		size_t offset = (size_t)pccl_geometry_first(geometry, segment) * element_bytes;

		if (pccl_geometry_lane(&call->geometry, segment, call->spec.tag, world->config.lanes) == lane)
			memcpy(call->output + offset, call->undo + offset,
			       pccl_geometry_elements(geometry, segment) * element_bytes);
	}
}
