/*
 * What the pure floors compute, as hashes, one line per codec, reduction and checksum: processors and kernels agree if
 * their lines do. Elements are made of integers alone, for no mathematical library to have a part in it.
 *
 * PCCL_CPU chooses the kernels; the first word on stderr says which they are.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "collectives/codec/planes.h"
#include "collectives/reduce/reduce.h"
#include "collectives/reduce/reduce_kernels.h"
#include "unit/collectives/codec/codec_fixture.h"

#define ROOM 5000 /* elements */
#define INPUTS 6

static uint8_t inputs[INPUTS][ROOM * 8], encoded[ROOM * 12], decoded[ROOM * 8], sums[ROOM * 8];

static uint64_t hash(uint64_t sum, const void *bytes, size_t count)
{
	const uint8_t *at = bytes;

	for (; count > 0; count--)
		sum = (sum ^ *at++) * 0x100000001b3u + 1;
	return sum;
}

static void print(const char *what, uint64_t sum)
{
	printf(" %s %016llx", what, (unsigned long long)sum);
}

/* ---- elements ------------------------------------------------------------------------------------------------ */

enum kind { KIND_NEAR_ONE, KIND_WIDE, KIND_TINY, KIND_HUGE, KIND_SPARSE, KIND_OFFSET, KIND_SPECIAL, KIND_COUNT };

static uint64_t exponent_of(enum kind kind, uint64_t random, uint64_t bias)
{
	switch (kind) {
	case KIND_WIDE:
		return random % (2 * bias + 1);
	case KIND_TINY:
		return random % 3;
	case KIND_HUGE:
		return 2 * bias - random % 3;
	case KIND_OFFSET:
		return bias + 4;
	case KIND_SPARSE:
		return random % 20 == 0 ? bias : 0;
	case KIND_SPECIAL:
		return random % 50 == 0 ? 2 * bias + 1 : bias - random % 4;
	case KIND_NEAR_ONE:
	case KIND_COUNT:
		break;
	}
	return bias - 5 + random % 8;
}

/* Of a floating point type that has so many bits. */
static uint64_t draw_float(enum kind kind, struct pccl_rng *rng, unsigned fraction_bits, unsigned exponent_bits)
{
	const uint64_t bias = ((uint64_t)1 << (exponent_bits - 1)) - 1;
	uint64_t fraction = pccl_rng_u64(rng) >> (64 - fraction_bits);
	uint64_t exponent = exponent_of(kind, pccl_rng_u64(rng) >> 8, bias);
	uint64_t sign = kind == KIND_OFFSET ? 0 : pccl_rng_u64(rng) >> 63;

	if (kind == KIND_OFFSET)
		fraction &= ((uint64_t)1 << (fraction_bits / 2)) - 1;
	if ((kind == KIND_SPARSE && exponent == 0) || (exponent == 2 * bias + 1 && fraction % 3 != 0))
		fraction = 0;
	return (sign << exponent_bits | exponent) << fraction_bits | fraction;
}

static void fill(enum kind kind, struct pccl_rng *rng, pcclDataType_t type, size_t count, uint8_t *out)
{
	const size_t bytes = pccl_dtype_bytes(type);
	size_t i;

	for (i = 0; i < count; i++) {
		uint64_t bits = pccl_rng_u64(rng);

		if (type == pcclDouble)
			bits = draw_float(kind, rng, 52, 11);
		else if (type == pcclFloat)
			bits = draw_float(kind, rng, 23, 8);
		else if (type == pcclBFloat16)
			bits = draw_float(kind, rng, 7, 8);
		else if (type == pcclFloat16)
			bits = draw_float(kind, rng, 10, 5);
		memcpy(out + i * bytes, &bits, bytes);
	}
}

/* Which NaN a decoder makes of bytes that no encoder wrote is left open. */
static void unify_nans(pcclDataType_t type, uint8_t *elements, size_t count)
{
	const size_t bytes = pccl_dtype_bytes(type);
	size_t i;

	for (i = 0; i < count; i++)
		if (isnan(element_at(type, elements, i)))
			memset(elements + i * bytes, 0xff, bytes);
}

/* ---- codecs -------------------------------------------------------------------------------------------------- */

static uint64_t decode_any(const struct pccl_codec_params *params, struct pccl_rng *rng, size_t count, uint64_t sum)
{
	size_t bytes = pccl_codec_encoded_bytes(params, count), i;

	for (i = 0; i < bytes; i++)
		encoded[i] = (uint8_t)pccl_rng_u64(rng);
	pccl_codec_decode(params, encoded, count, decoded);
	unify_nans(params->type, decoded, count);
	return hash(sum, decoded, count * pccl_dtype_bytes(params->type));
}

static void print_codec(struct pccl_codec_params params, uint64_t seed)
{
	static const size_t counts[] = {1, 77, 1000, ROOM};
	const pcclDataType_t partial = pccl_dtype_partial(params.type);
	uint64_t codes = 0, values = 0, added = 0, any = 0;
	struct pccl_rng rng;
	unsigned round;

	pccl_rng_seed(&rng, seed);
	for (round = 0; round < 4 * KIND_COUNT; round++) {
		const size_t count = counts[round / KIND_COUNT], element_bytes = pccl_dtype_bytes(params.type);
		const pcclRedOp_t op = (pcclRedOp_t)(round % PCCL_OP_COUNT);
		size_t accepted;

		params.first_element = round * 64;
		fill((enum kind)(round % KIND_COUNT), &rng, params.type, count, inputs[0]);
		accepted = pccl_codec_encode(&params, inputs[0], count, encoded);
		codes = hash(codes, &accepted, sizeof(accepted));
		fill(KIND_NEAR_ONE, &rng, partial, count, sums);
		if (accepted == count) {
			codes = hash(codes, encoded, pccl_codec_encoded_bytes(&params, count));
			pccl_codec_decode(&params, encoded, count, decoded);
			values = hash(values, decoded, count * element_bytes);
			pccl_codec_accumulate(&params, op, encoded, count, sums);
			added = hash(added, sums, count * pccl_dtype_bytes(partial));
		}
		any = decode_any(&params, &rng, count, any);
	}
	printf("%s %s %s %u %s:", pccl_codec_name(params.id), pccl_dtype_name(params.type),
	       pccl_dtype_name(params.target), (unsigned)params.block,
	       params.rounding == PCCL_ROUND_NEAREST ? "nearest" : "stochastic");
	print("encoded", codes);
	print("decoded", values);
	print("added", added);
	print("anything", any);
	printf("\n");
}

/* ---- reductions ---------------------------------------------------------------------------------------------- */

static void print_reduction(pcclDataType_t type, pcclRedOp_t op, uint64_t seed)
{
	const size_t bytes = pccl_dtype_bytes(type), count = 997;
	const void *from[INPUTS];
	uint64_t whole = 0, steps = 0;
	struct pccl_rng rng;
	unsigned kind, used, k;

	pccl_rng_seed(&rng, seed);
	for (kind = 0; kind < KIND_COUNT; kind++) {
		used = 1 + kind % INPUTS;
		for (k = 0; k < used; k++) {
			fill((enum kind)kind, &rng, type, count, inputs[k]);
			from[k] = inputs[k];
		}
		pccl_reduce(decoded, from, used, count, type, op, kind % 2 == 0 ? 0 : used + 1);
		whole = hash(whole, decoded, count * bytes);
		pccl_reduce_begin(sums, from[0], count, type);
		for (k = 1; k < used; k++)
			pccl_reduce_partial(sums, sums, from[k], count, type, op);
		steps = hash(steps, sums, count * pccl_dtype_bytes(pccl_dtype_partial(type)));
	}
	printf("reduce %s op %d:", pccl_dtype_name(type), (int)op);
	print("whole", whole);
	print("steps", steps);
	printf("\n");
}

/* Every float16 and bfloat16, and floats all over. */
static void print_conversions(void)
{
	const struct pccl_reduce_kernels *kernels = pccl_reduce_kernels(pccl_cpu_level());
	uint64_t half = 0, bfloat = 0, to_half = 0, to_bfloat = 0;
	struct pccl_rng rng;
	uint32_t block, i;

	pccl_rng_seed(&rng, 5);
	for (block = 0; block < 64; block++) {
		uint16_t short_ones[1024];
		float floats[1024];

		for (i = 0; i < 1024; i++)
			short_ones[i] = (uint16_t)(block * 1024 + i);
		kernels->half_to_float(floats, short_ones, 1024);
		half = hash(half, floats, sizeof(floats));
		kernels->bfloat_to_float(floats, short_ones, 1024);
		bfloat = hash(bfloat, floats, sizeof(floats));
		for (i = 0; i < 1024; i++)
			floats[i] = pccl_bits_float((uint32_t)pccl_rng_u64(&rng));
		kernels->float_to_half(short_ones, floats, 1024);
		to_half = hash(to_half, short_ones, sizeof(short_ones));
		kernels->float_to_bfloat(short_ones, floats, 1024);
		to_bfloat = hash(to_bfloat, short_ones, sizeof(short_ones));
	}
	printf("conversions:");
	print("float16", half);
	print("bfloat16", bfloat);
	print("to float16", to_half);
	print("to bfloat16", to_bfloat);
	printf("\n");
}

/* ---- planes and checksums ------------------------------------------------------------------------------------ */

static void print_planes(pcclDataType_t type)
{
	struct pccl_rng rng;

	pccl_rng_seed(&rng, 6);
	fill(KIND_WIDE, &rng, type, 1003, inputs[0]);
	pccl_planes_split(encoded, inputs[0], 1003, type);
	pccl_planes_merge(decoded, encoded, 1003, type);
	printf("planes %s:", pccl_dtype_name(type));
	print("split", hash(0, encoded, 1003 * pccl_dtype_bytes(type)));
	print("merged", hash(0, decoded, 1003 * pccl_dtype_bytes(type)));
	printf("\n");
}

static void print_checksums(void)
{
	uint32_t crc = 0, sums_of_all[600], sums_by_table[600];
	struct pccl_rng rng;
	size_t bytes, i;

	pccl_rng_seed(&rng, 7);
	for (i = 0; i < sizeof(inputs[0]); i++)
		inputs[0][i] = (uint8_t)pccl_rng_u64(&rng);
	for (i = 0; i < 600; i++) {
		bytes = i < 300 ? i : pccl_rng_below(&rng, sizeof(inputs[0]) - 16);
		sums_by_table[i] = pccl_crc32c_table(crc, inputs[0] + i % 16, bytes);
		crc = pccl_crc32c(crc, inputs[0] + i % 16, bytes);
		sums_of_all[i] = crc;
	}
	printf("crc32c:");
	print("here", hash(0, sums_of_all, sizeof(sums_of_all)));
	print("by table", hash(0, sums_by_table, sizeof(sums_by_table)));
	printf("\n");
}

int main(void)
{
	struct pccl_codec_params params;
	unsigned index;
	int type, op;

	fprintf(stderr, "%s kernels\n", pccl_cpu_level_name(pccl_cpu_level()));
	for (index = 0; codec_combination(index, &params); index++)
		print_codec(params, index);
	for (type = 0; type < PCCL_DTYPE_COUNT; type++)
		for (op = 0; pccl_dtype_valid(type) && op < PCCL_OP_COUNT; op++)
			print_reduction((pcclDataType_t)type, (pcclRedOp_t)op, (uint64_t)(type * 16 + op));
	print_conversions();
	for (type = 0; type < PCCL_DTYPE_COUNT; type++)
		if (pccl_dtype_valid(type))
			print_planes((pcclDataType_t)type);
	print_checksums();
	fflush(stdout);
	tcdrain(STDOUT_FILENO); /* a console is slow, and this program may be all that runs */
	return ferror(stdout) != 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
