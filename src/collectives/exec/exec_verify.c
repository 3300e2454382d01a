/* Results that members compare before they say DONE, so that an op ends well everywhere or nowhere. Of each segment
 * there is a digest as soon as its result is here, while that is in the cache; a CHECK carries one over those of
 * a part of the share. Parts are such that, where ranks own shards, one rank owns one part: who differs is named by the
 * part that differs, as far as two sides that say different things can be told apart by a third. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <openssl/sha.h>

#include "base/bitmap.h"
#include "collectives/exec/exec_internal.h"

bool verify_applies(const struct pccl_exec *exec, const struct op *op)
{
	return op->launch.signature.verify != 0 && exec->ranks > 1 &&
	       pccl_collective_is_alike(op->launch.signature.kind);
}

uint32_t verify_parts(const struct pccl_exec *exec)
{
	return exec->ranks < PCCL_CHECK_PARTS_MAX ? exec->ranks : PCCL_CHECK_PARTS_MAX;
}

static struct check digest(const void *data, size_t bytes)
{
	uint8_t hash[SHA256_DIGEST_LENGTH];
	struct check check;

	(void)SHA256(data, bytes, hash);
	memcpy(check.data, hash, sizeof(check.data));
	return check;
}

void verify_hold(const struct pccl_exec *exec, struct op *op, uint32_t local)
{
	if (op->verifies)
		op->digests[local] = digest(op_output(exec, op, local), op_segment_bytes(exec, op, local));
}

struct check *checks_of(const struct pccl_exec *exec, const struct op *op, uint32_t rank)
{
	return op->checks + (size_t)rank * verify_parts(exec);
}

/* The first local number of a part; that of the next one ends it. */
static uint32_t part_begin(const struct pccl_exec *exec, const struct op *op, uint32_t part)
{
	uint64_t segments = op->launch.geometry.segment_count;
	uint32_t parts = verify_parts(exec);

	return op_local_before(exec, op, (uint32_t)((segments * part + parts - 1) / parts));
}

static void make_own(struct pccl_exec *exec, struct op *op)
{
	struct check *own = checks_of(exec, op, exec->rank);
	uint32_t part;

	for (part = 0; part < verify_parts(exec); part++) {
		uint32_t begin = part_begin(exec, op, part), end = part_begin(exec, op, part + 1);

		own[part] = digest(op->digests + begin, (size_t)(end - begin) * sizeof(*op->digests));
	}
}

/* Who else can be behind a part that `rank` has another way: who sent it to this rank, if all of it came from one, and
 * straight from who made it. NONE: that can't be told. `rank`: nobody else. */
static uint32_t suspect(const struct pccl_exec *exec, const struct op *op, uint32_t rank, uint32_t part)
{
	uint32_t local, begin = part_begin(exec, op, part), end = part_begin(exec, op, part + 1), from = NONE;
	bool straight = op->launch.signature.algorithm == pcclPlanDirect;
	bool several = begin == end, made_here = false;

	for (local = begin; local < end; local++) {
		uint32_t sender = op_route(op, local)->result_from;

		made_here = made_here || sender == PCCL_RANK_NONE;
		several = several || (local > begin && sender != from);
		from = sender;
	}
	if (several)
		return NONE;
	if (!made_here && from == rank) /* it holds another result than it has sent */
		return rank;
	if (!straight)
		return NONE;
	return made_here ? rank : from;
}

static void compare(struct pccl_exec *exec, struct op *op, uint32_t rank, uint32_t part)
{
	const struct check *own = checks_of(exec, op, exec->rank), *theirs = checks_of(exec, op, rank);

	if (op->failing)
		return;
	if (memcmp(&own[part], &theirs[part], sizeof(*own)) == 0) {
		op->peers[rank].checks_equal++;
		op->checked_count += op->peers[rank].checks_equal == verify_parts(exec);
		return;
	}
	op->failing = true;
	op->refusal.reason = PCCL_REFUSAL_DIGEST;
	op->refusal.segment = rank;
	op->refusal.element = suspect(exec, op, rank, part);
	refresh_all(exec, op);
}

void verify_begin(struct pccl_exec *exec, struct op *op)
{
	uint32_t rank, part;

	assert(!op->checking);
	op->checking = true;
	make_own(exec, op);
	for (rank = 0; rank < exec->ranks; rank++) {
		if (rank == exec->rank)
			continue;
		refresh_control(exec, op, rank);
		for (part = 0; part < verify_parts(exec); part++)
			if (pccl_bitmap_test(&op->peers[rank].checks_here, part))
				compare(exec, op, rank, part);
	}
}

bool check_may_come(const struct pccl_exec *exec, const struct op *op, uint32_t rank, uint32_t part)
{
	const struct peer *peer = &op->peers[rank];

	return op->verifies && peer->start_sent && part < verify_parts(exec) &&
	       !pccl_bitmap_test(&peer->checks_coming, part);
}

void check_arrived(struct pccl_exec *exec, struct op *op, uint32_t rank, uint32_t part)
{
	pccl_bitmap_set(&op->peers[rank].checks_here, part);
	if (op->checking)
		compare(exec, op, rank, part);
}

void verify_describe(const struct pccl_exec *exec, struct op *op, uint32_t rank, const struct refusal *refusal)
{
	unsigned long long tag = op->launch.key.tag;
	uint32_t differs = refusal->segment, suspected = refusal->element;
	char says[32] = "", whose[32] = "this peer";

	if (rank != exec->rank) {
		snprintf(says, sizeof(says), "rank %u says: ", rank);
		snprintf(whose, sizeof(whose), "rank %u", rank);
	}
	if (suspected == differs)
		snprintf(op->detail, sizeof(op->detail),
			 "%srank %u lies or errs: the result of tag %llu that it shows is not the one that it has sent "
			 "to "
			 "%s, or had from it",
			 says, differs, tag, whose);
	else if (suspected < exec->ranks)
		snprintf(op->detail, sizeof(op->detail),
			 "%sresults of tag %llu differ: rank %u has sent rank %u another one than %s, or rank %u lies",
			 says, tag, suspected, differs, whose, differs);
	else
		snprintf(op->detail, sizeof(op->detail), "%sresults of tag %llu differ between rank %u and %s", says,
			 tag, differs, whose);
}
