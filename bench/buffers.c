/* Layout, filling and verification of buffers; see buffers.h. */
#include "buffers.h"

#include "check.h"
#include "codec_error.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define BLOCK_ALIGNMENT 64
#define HUGE_BYTES (2u << 20)

/* Who is to be killed has its memory in large pages, if the system has them: small ones take it a tenth of a second to
 * free, before it closes a dead process's connections. */
static void *allocate(const struct bench_peer *peer, size_t bytes)
{
	size_t alignment = peer->options->loss ? HUGE_BYTES : BLOCK_ALIGNMENT;
	void *block = NULL;

	if (posix_memalign(&block, alignment, bytes > 0 ? bytes : 1) != 0)
		return NULL;
	if (peer->options->loss)
		(void)madvise(block, bytes / HUGE_BYTES * HUGE_BYTES, MADV_HUGEPAGE);
	memset(block, 0, bytes);
	return block;
}

/* Is a peer's input its part of the whole buffer? */
static bool has_part(enum bench_collective collective)
{
	return collective == BENCH_ALLGATHER || collective == BENCH_GATHER;
}

/* Is its output? */
static bool gets_part(enum bench_collective collective)
{
	return collective == BENCH_REDUCESCATTER || collective == BENCH_SCATTER;
}

static bool divides_by_ranks(enum bench_collective collective)
{
	return has_part(collective) || gets_part(collective) || collective == BENCH_ALLTOALL;
}

/* What a peer's input starts at, seen from the input of the whole operation: every peer's input is element 0 on. */
static void set_counts(struct bench_buffers *buffers, const struct bench_peer *peer, uint64_t bytes)
{
	enum bench_collective collective = peer->options->collective;
	size_t each = divides_by_ranks(collective) ? peer->world : 1;
	size_t elements;

	buffers->element_bytes = bench_datatype_bytes(peer->options->datatype);
	elements = (size_t)bytes / buffers->element_bytes;
	elements -= elements % each;
	if (elements == 0)
		elements = each;
	buffers->count = divides_by_ranks(collective) ? elements / peer->world : elements;
	buffers->input_count = has_part(collective) ? buffers->count : elements;
	buffers->output_count = gets_part(collective) ? buffers->count : elements;
	buffers->whole_bytes = elements * buffers->element_bytes;
}

/* In place, both point into one block. */
static void place_inside(struct bench_buffer *buffer, const struct bench_buffers *buffers,
			 const struct bench_peer *peer)
{
	uint8_t *block = (uint8_t *)buffer->blocks[0];
	size_t part = (size_t)peer->rank * buffers->count * buffers->element_bytes;

	buffer->input = block + (has_part(peer->options->collective) ? part : 0);
	buffer->output = block + (gets_part(peer->options->collective) ? part : 0);
}

static bool allocate_one(struct bench_buffer *buffer, const struct bench_buffers *buffers,
			 const struct bench_peer *peer)
{
	size_t input_bytes = buffers->input_count * buffers->element_bytes;
	size_t output_bytes = buffers->output_count * buffers->element_bytes;

	if (peer->options->in_place) {
		buffer->blocks[0] = allocate(peer, buffers->whole_bytes);
		buffer->blocks[2] = allocate(peer, input_bytes);
		place_inside(buffer, buffers, peer);
		return buffer->blocks[0] != NULL && buffer->blocks[2] != NULL;
	}
	buffer->blocks[0] = allocate(peer, input_bytes);
	buffer->blocks[1] = allocate(peer, output_bytes);
	buffer->input = buffer->blocks[0];
	buffer->output = buffer->blocks[1];
	return buffer->blocks[0] != NULL && buffer->blocks[1] != NULL;
}

static void fill(const struct bench_peer *peer, uint32_t which, size_t count, void *out)
{
	if (peer->options->codec.wanted)
		bench_reference_fill(peer->options->datatype, which, peer->rank, count, out);
	else
		bench_input_fill(peer->options->datatype, which, peer->rank, 0, count, out);
}

bool bench_buffers_init(struct bench_buffers *buffers, const struct bench_peer *peer, uint64_t bytes)
{
	memset(buffers, 0, sizeof(*buffers));
	set_counts(buffers, peer, bytes);
	for (uint32_t i = 0; i < peer->options->inflight; i++) {
		struct bench_buffer *buffer = &buffers->each[i];

		buffers->buffer_count = i + 1;
		if (!allocate_one(buffer, buffers, peer)) {
			fprintf(stderr, "allreduce-bench: not enough memory for %u buffers of %zu bytes\n",
				peer->options->inflight, buffers->whole_bytes);
			return false;
		}
		fill(peer, i, buffers->input_count, peer->options->in_place ? buffer->blocks[2] : buffer->blocks[0]);
	}
	bench_buffers_restore(buffers, peer);
	return true;
}

void bench_buffers_fini(struct bench_buffers *buffers)
{
	for (uint32_t i = 0; i < buffers->buffer_count; i++)
		for (int block = 0; block < 3; block++)
			free(buffers->each[i].blocks[block]);
	buffers->buffer_count = 0;
}

void bench_buffers_restore(struct bench_buffers *buffers, const struct bench_peer *peer)
{
	size_t input_bytes = buffers->input_count * buffers->element_bytes;
	size_t part = (size_t)peer->rank * buffers->count * buffers->element_bytes;

	if (!peer->options->in_place)
		return;
	for (uint32_t i = 0; i < buffers->buffer_count; i++) {
		struct bench_buffer *buffer = &buffers->each[i];
		size_t offset = has_part(peer->options->collective) ? part : 0;

		memcpy((uint8_t *)buffer->blocks[0] + offset, buffer->blocks[2], input_bytes);
	}
}

void bench_buffers_poison(struct bench_buffers *buffers, const struct bench_peer *peer)
{
	for (uint32_t i = 0; i < buffers->buffer_count; i++) {
		void *block = buffers->each[i].blocks[peer->options->in_place ? 0 : 1];
		size_t bytes =
			peer->options->in_place ? buffers->whole_bytes : buffers->output_count * buffers->element_bytes;

		memset(block, 0xa5, bytes);
	}
	bench_buffers_restore(buffers, peer);
}

/* The orders of contribution that are right: the rank order, and for the ring also those that begin at another rank. */
static size_t list_orders(const struct bench_peer *peer, pcclPlan_t plan, uint64_t *ranks, struct bench_order *orders)
{
	size_t count = plan == pcclPlanRing ? peer->world : 1;

	for (uint32_t i = 0; i < 2 * peer->world; i++)
		ranks[i] = i % peer->world;
	for (size_t i = 0; i < count; i++)
		orders[i] = (struct bench_order){ranks + i, peer->world};
	return count;
}

static uint64_t verify_reduction(const struct bench_buffers *buffers, const struct bench_peer *peer, pcclPlan_t plan,
				 uint32_t which, size_t *wrong_index_out)
{
	uint64_t ranks[2 * BENCH_PEERS_MAX];
	struct bench_order orders[BENCH_PEERS_MAX];
	struct bench_expectation expectation = {peer->options->datatype, peer->options->op, which, orders, 0};
	uint64_t first = peer->options->collective == BENCH_REDUCESCATTER ? (uint64_t)peer->rank * buffers->count : 0;

	expectation.order_count = list_orders(peer, plan, ranks, orders);
	return bench_check_reduction(&expectation, first, buffers->output_count, buffers->each[which].output,
				     wrong_index_out);
}

/* The output has a part of each rank's input: the first one, or with an all-to-all this peer's. */
static uint64_t verify_parts(const struct bench_buffers *buffers, const struct bench_peer *peer, uint32_t which,
			     size_t *wrong_index_out)
{
	uint64_t first = peer->options->collective == BENCH_ALLTOALL ? (uint64_t)peer->rank * buffers->count : 0;
	const uint8_t *output = (const uint8_t *)buffers->each[which].output;
	uint64_t wrong = 0;

	for (uint32_t rank = 0; rank < peer->world; rank++) {
		size_t start = (size_t)rank * buffers->count;
		size_t index = 0;
		size_t bad = bench_check_copy(peer->options->datatype, which, rank, first, buffers->count,
					      output + start * buffers->element_bytes, &index);

		if (bad > 0 && wrong == 0)
			*wrong_index_out = start + index;
		wrong += bad;
	}
	return wrong;
}

/* The output is the root's input, or its part for this peer. */
static uint64_t verify_copy(const struct bench_buffers *buffers, const struct bench_peer *peer, uint32_t which,
			    size_t *wrong_index_out)
{
	uint64_t first = gets_part(peer->options->collective) ? (uint64_t)peer->rank * buffers->count : 0;

	return bench_check_copy(peer->options->datatype, which, BENCH_ROOT, first, buffers->output_count,
				buffers->each[which].output, wrong_index_out);
}

static uint64_t verify_one(const struct bench_buffers *buffers, const struct bench_peer *peer, pcclPlan_t plan,
			   uint32_t which, size_t *wrong_index_out)
{
	switch (peer->options->collective) {
	case BENCH_BROADCAST:
	case BENCH_SCATTER:
		return verify_copy(buffers, peer, which, wrong_index_out);
	case BENCH_GATHER:
		return peer->rank == BENCH_ROOT ? verify_parts(buffers, peer, which, wrong_index_out) : 0;
	case BENCH_ALLGATHER:
	case BENCH_ALLTOALL:
		return verify_parts(buffers, peer, which, wrong_index_out);
	case BENCH_REDUCE:
		return peer->rank == BENCH_ROOT ? verify_reduction(buffers, peer, plan, which, wrong_index_out) : 0;
	default:
		return verify_reduction(buffers, peer, plan, which, wrong_index_out);
	}
}

bool bench_buffers_agree(enum bench_collective collective)
{
	return collective == BENCH_ALLREDUCE || collective == BENCH_BROADCAST || collective == BENCH_ALLGATHER;
}

uint64_t bench_buffers_verify(const struct bench_buffers *buffers, const struct bench_peer *peer, pcclPlan_t plan)
{
	uint64_t wrong = 0;

	for (uint32_t which = 0; which < buffers->buffer_count; which++) {
		size_t index = 0;
		uint64_t bad = verify_one(buffers, peer, plan, which, &index);

		if (bad > 0)
			fprintf(stderr,
				"allreduce-bench: rank %u: %llu of %zu elements are wrong, the first is number %zu\n",
				peer->rank, (unsigned long long)bad, buffers->output_count, index);
		wrong += bad;
	}
	return wrong;
}

struct bench_error bench_buffers_error(const struct bench_buffers *buffers, const struct bench_peer *peer)
{
	struct bench_exact exact = {peer->options->datatype, peer->options->op, 0, peer->world};
	struct bench_error worst = bench_error_measure(&exact, buffers->output_count, buffers->each[0].output);

	for (uint32_t which = 1; which < buffers->buffer_count; which++) {
		struct bench_error error;

		exact.seed = which;
		error = bench_error_measure(&exact, buffers->output_count, buffers->each[which].output);
		if (error.rel_l2_db > worst.rel_l2_db)
			worst = error;
	}
	return worst;
}

bool bench_buffers_hash(const struct bench_buffers *buffers, uint64_t hash_out[BENCH_HASH_WORDS])
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	size_t bytes = buffers->output_count * buffers->element_bytes;
	bool good = context != NULL && EVP_DigestInit_ex(context, EVP_blake2b512(), NULL) == 1;

	for (uint32_t i = 0; good && i < buffers->buffer_count; i++)
		good = EVP_DigestUpdate(context, buffers->each[i].output, bytes) == 1;
	good = good && EVP_DigestFinal_ex(context, (unsigned char *)hash_out, NULL) == 1;
	EVP_MD_CTX_free(context);
	if (!good)
		fprintf(stderr, "allreduce-bench: OpenSSL has no BLAKE2b\n");
	return good;
}
