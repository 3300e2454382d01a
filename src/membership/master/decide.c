/* Decides the open ops of a view change: sorts all reports by op, then looks at one op after the other. */
#include "membership/master/decide.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/memory.h"
#include "base/uuid.h"

/* One report and whose it is. */
struct mention {
	const struct pccl_op_report *report;
	uint32_t rank;
};

/* What the reports of one op come to. */
struct tally {
	uint32_t complete_count;
	uint8_t policy; /* pcclPolicyAbort if they differ */
	bool repairable;
	bool failed;	     /* at some member, by itself */
	bool spent;	     /* its input, at some member */
	bool mismatched;     /* members have launched different things */
	pcclRankUuid_t root; /* where there is one; else zeros */
	uint32_t participants_min;
	uint32_t participants_max;
	uint32_t segment_count;
};

static int compare_mentions(const void *left_memory, const void *right_memory)
{
	const struct mention *left = left_memory;
	const struct mention *right = right_memory;

	if (left->report->tag != right->report->tag)
		return left->report->tag < right->report->tag ? -1 : 1;
	if (left->report->sequence != right->report->sequence)
		return left->report->sequence < right->report->sequence ? -1 : 1;
	return left->rank < right->rank ? -1 : left->rank > right->rank;
}

/* What failed at a member by itself names no root. */
static void count_root(struct tally *tally, const pcclRankUuid_t *root)
{
	if (pccl_uuid_is_zero(root))
		return;
	if (!pccl_uuid_is_zero(&tally->root) && !pccl_uuid_equal(&tally->root, root))
		tally->mismatched = true;
	tally->root = *root;
}

static struct tally count_mentions(const struct mention *mentions, uint32_t count)
{
	const struct pccl_op_report *first = mentions[0].report;
	struct tally tally = {.policy = first->policy, .repairable = true, .segment_count = first->segment_count};
	uint32_t index;

	assert(count > 0);
	for (index = 0; index < count; index++) {
		const struct pccl_op_report *report = mentions[index].report;

		tally.complete_count += report->complete;
		tally.repairable =
			tally.repairable && report->repairable && report->segment_count == first->segment_count;
		tally.failed = tally.failed || report->policy == PCCL_POLICY_FAILED;
		tally.spent = tally.spent || report->policy == PCCL_POLICY_SPENT;
		tally.mismatched = tally.mismatched || report->policy == PCCL_POLICY_MISMATCHED ||
				   report->signature != first->signature;
		count_root(&tally, &report->root);
		if (report->policy != first->policy)
			tally.policy = (uint8_t)pcclPolicyAbort;
		if (report->participants_min > 0 &&
		    (tally.participants_min == 0 || report->participants_min < tally.participants_min))
			tally.participants_min = report->participants_min;
		if (report->participants_max > tally.participants_max)
			tally.participants_max = report->participants_max;
	}
	return tally;
}

static bool has_expired(const struct pccl_decide_input *input, const struct pccl_op_report *report)
{
	uint32_t index;

	for (index = 0; index < input->expired_count; index++) {
		if (input->expired[index].tag == report->tag && input->expired[index].sequence == report->sequence)
			return true;
	}
	return false;
}

static bool has_lost_root(const struct pccl_decide_input *input, const struct tally *tally)
{
	uint32_t rank;

	return !pccl_uuid_is_zero(&tally->root) && !pccl_view_rank(input->view, &tally->root, &rank);
}

static enum pccl_verdict judge(const struct pccl_decide_input *input, const struct mention *mentions, uint32_t count,
			       const struct tally *tally)
{
	if (tally->mismatched)
		return PCCL_VERDICT_MISMATCH;
	if (tally->complete_count == count)
		return PCCL_VERDICT_COMMIT;
	if (tally->failed) /* callers there have that error */
		return PCCL_VERDICT_ABORT;
	if (has_expired(input, mentions[0].report))
		return PCCL_VERDICT_EXPIRE;
	/* What any result has overwritten is held somewhere. */
	if (tally->spent && tally->repairable && input->nobody_lost)
		return PCCL_VERDICT_REPAIR;
	if (tally->spent || has_lost_root(input, tally))
		return PCCL_VERDICT_ABORT;
	if (tally->policy == (uint8_t)pcclPolicyRepair)
		return tally->repairable ? PCCL_VERDICT_REPAIR : PCCL_VERDICT_RETRY;
	if (tally->policy == (uint8_t)pcclPolicyRetry || input->nobody_lost)
		return PCCL_VERDICT_RETRY;
	return PCCL_VERDICT_ABORT;
}

static pcclResult_t fill_holders(const struct mention *mentions, uint32_t count, struct pccl_op_decision *decision,
				 uint32_t member_count)
{
	size_t words = pccl_bitmap_words(decision->segment_count);
	uint32_t index;

	decision->holders = pccl_calloc(member_count, sizeof(*decision->holders));
	if (decision->holders == NULL)
		return pcclOutOfMemory;
	decision->holder_count = member_count;
	for (index = 0; index < count; index++) {
		uint64_t **holder = &decision->holders[mentions[index].rank];

		assert(mentions[index].rank < member_count);
		if (mentions[index].report->held == NULL || *holder != NULL)
			continue;
		*holder = pccl_calloc(words, sizeof(uint64_t));
		if (*holder == NULL)
			return pcclOutOfMemory;
		if (words > 0)
			memcpy(*holder, mentions[index].report->held, words * sizeof(uint64_t));
	}
	return pcclSuccess;
}

/* How many contributions are in each segment that somebody holds. All who hold one say the same. */
static pcclResult_t fill_participants(const struct mention *mentions, uint32_t count, struct pccl_op_decision *decision)
{
	uint32_t index;
	uint32_t segment;

	decision->participants = pccl_calloc(decision->segment_count, sizeof(*decision->participants));
	if (decision->participants == NULL)
		return pcclOutOfMemory;
	for (index = 0; index < count; index++) {
		const struct pccl_op_report *report = mentions[index].report;

		for (segment = 0; report->held != NULL && segment < decision->segment_count; segment++) {
			if (pccl_bitmap_test(report->held, segment))
				decision->participants[segment] = report->participants != NULL
									  ? report->participants[segment]
									  : (uint16_t)report->participants_max;
		}
	}
	return pcclSuccess;
}

static pcclResult_t decide_op(const struct pccl_decide_input *input, const struct mention *mentions, uint32_t count,
			      size_t *holders_bytes, struct pccl_op_decision *decision)
{
	struct tally tally = count_mentions(mentions, count);
	enum pccl_verdict verdict = judge(input, mentions, count, &tally);
	size_t bytes = pccl_bitmap_words(tally.segment_count) * sizeof(uint64_t) * count + input->member_count;
	bool differ = tally.participants_min != tally.participants_max;

	bytes += differ ? tally.segment_count * sizeof(uint16_t) : 0;
	if (verdict == PCCL_VERDICT_REPAIR && bytes > PCCL_HOLDERS_BYTES_MAX - *holders_bytes)
		verdict = tally.spent ? PCCL_VERDICT_ABORT : PCCL_VERDICT_RETRY;
	decision->tag = mentions[0].report->tag;
	decision->sequence = mentions[0].report->sequence;
	decision->signature = mentions[0].report->signature;
	decision->verdict = (uint8_t)verdict;
	decision->participants_min = tally.participants_min;
	decision->participants_max = tally.participants_max;
	decision->segment_count = tally.segment_count;
	if (verdict != PCCL_VERDICT_REPAIR)
		return pcclSuccess;
	assert(*holders_bytes <= PCCL_HOLDERS_BYTES_MAX);
	*holders_bytes += bytes;
	if (differ && fill_participants(mentions, count, decision) != pcclSuccess)
		return pcclOutOfMemory;
	return fill_holders(mentions, count, decision, input->member_count);
}

void pccl_decisions_destroy(struct pccl_op_decision *decisions, uint32_t count)
{
	uint32_t index;

	for (index = 0; decisions != NULL && index < count; index++)
		pccl_op_decision_fini(&decisions[index]);
	pccl_free(decisions);
}

/* All reports in the order of their ops; NULL: out of memory. */
static struct mention *sort_mentions(const struct pccl_decide_input *input, uint32_t *count_out)
{
	struct mention *mentions;
	uint32_t count = 0;
	uint32_t rank;
	uint32_t index;

	for (rank = 0; rank < input->member_count; rank++)
		count += input->voices[rank].report_count;
	*count_out = count;
	mentions = pccl_calloc(count, sizeof(*mentions));
	if (mentions == NULL)
		return NULL;
	count = 0;
	for (rank = 0; rank < input->member_count; rank++) {
		for (index = 0; index < input->voices[rank].report_count; index++) {
			mentions[count].report = &input->voices[rank].reports[index];
			mentions[count++].rank = rank;
		}
	}
	if (count > 1)
		qsort(mentions, count, sizeof(*mentions), compare_mentions);
	return mentions;
}

static bool same_op(const struct mention *left, const struct mention *right)
{
	return left->report->tag == right->report->tag && left->report->sequence == right->report->sequence;
}

static bool is_failed(const struct pccl_op_report *report)
{
	return report->policy == PCCL_POLICY_FAILED || report->policy == PCCL_POLICY_MISMATCHED;
}

pcclResult_t pccl_decide_strays(const struct pccl_decide_input *input, struct pccl_strays *strays_out,
				uint32_t *op_count_out)
{
	struct mention *mentions;
	uint32_t mention_count;
	uint32_t first;
	uint32_t end;

	memset(strays_out, 0, input->member_count * sizeof(*strays_out));
	*op_count_out = 0;
	mentions = sort_mentions(input, &mention_count);
	if (mentions == NULL)
		return pcclOutOfMemory;
	for (first = 0; first < mention_count; first = end) {
		uint32_t rank = mentions[first].rank;

		for (end = first + 1; end < mention_count && same_op(&mentions[first], &mentions[end]);)
			end++;
		(*op_count_out)++;
		if (mentions[end - 1].rank != rank) /* they are in the order of ranks */
			continue;
		strays_out[rank].count++;
		strays_out[rank].failed += is_failed(mentions[first].report);
	}
	pccl_free(mentions);
	return pcclSuccess;
}

pcclResult_t pccl_decide(const struct pccl_decide_input *input, struct pccl_op_decision **decisions_out,
			 uint32_t *count_out)
{
	struct pccl_op_decision *decisions;
	struct mention *mentions;
	size_t holders_bytes = 0;
	uint32_t mention_count;
	uint32_t count = 0;
	uint32_t first;
	uint32_t end;

	*decisions_out = NULL;
	*count_out = 0;
	mentions = sort_mentions(input, &mention_count);
	if (mentions == NULL)
		return pcclOutOfMemory;
	decisions = pccl_calloc(mention_count, sizeof(*decisions));
	if (decisions == NULL)
		goto fail_decisions;
	assert(mention_count <= PCCL_DECISIONS_MAX);
	for (first = 0; first < mention_count; first = end) {
		for (end = first + 1; end < mention_count && same_op(&mentions[first], &mentions[end]);)
			end++;
		if (decide_op(input, &mentions[first], end - first, &holders_bytes, &decisions[count++]) != pcclSuccess)
			goto fail_op;
	}
	assert(count <= mention_count);
	pccl_free(mentions);
	*decisions_out = decisions;
	*count_out = count;
	return pcclSuccess;
fail_op:
	pccl_decisions_destroy(decisions, count);
fail_decisions:
	pccl_free(mentions);
	return pcclOutOfMemory;
}
