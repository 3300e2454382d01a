/* Copies and ends of what members agree on. */
#include "membership/message/view.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/fail.h"
#include "base/memory.h"
#include "base/uuid.h"

void pccl_view_fini(struct pccl_view *view)
{
	pccl_free(view->members);
	memset(view, 0, sizeof(*view));
}

void pccl_op_decision_fini(struct pccl_op_decision *decision)
{
	uint32_t rank;

	for (rank = 0; decision->holders != NULL && rank < decision->holder_count; rank++)
		pccl_free(decision->holders[rank]);
	pccl_free(decision->holders);
	pccl_free(decision->participants);
	memset(decision, 0, sizeof(*decision));
}

void pccl_install_fini(struct pccl_install *install)
{
	uint32_t index;

	for (index = 0; install->decisions != NULL && index < install->decision_count; index++)
		pccl_op_decision_fini(&install->decisions[index]);
	pccl_free(install->decisions);
	pccl_links_fini(&install->links);
	pccl_view_fini(&install->view);
	memset(install, 0, sizeof(*install));
}

void pccl_op_reports_destroy(struct pccl_op_report *reports, uint32_t count)
{
	uint32_t index;

	for (index = 0; reports != NULL && index < count; index++) {
		pccl_free(reports[index].held);
		pccl_free(reports[index].participants);
	}
	pccl_free(reports);
}

pcclResult_t pccl_view_copy(const struct pccl_view *from, struct pccl_view *to_out)
{
	struct pccl_member *members = pccl_calloc(from->member_count, sizeof(*members));

	assert(from->member_count == 0 || from->members != NULL);
	memset(to_out, 0, sizeof(*to_out));
	if (members == NULL)
		return pcclOutOfMemory;
	if (from->member_count > 0)
		memcpy(members, from->members, from->member_count * sizeof(*members));
	*to_out = *from;
	to_out->members = members;
	return pcclSuccess;
}

pcclResult_t pccl_op_report_copy(const struct pccl_op_report *from, struct pccl_op_report *to_out)
{
	size_t held_bytes = pccl_bitmap_words(from->segment_count) * sizeof(*from->held);
	size_t participants_bytes = from->segment_count * sizeof(*from->participants);

	*to_out = *from;
	to_out->held = NULL;
	to_out->participants = NULL;
	if (from->held != NULL && (to_out->held = pccl_alloc(held_bytes + 1)) == NULL)
		return pcclOutOfMemory;
	if (from->held != NULL)
		memcpy(to_out->held, from->held, held_bytes);
	if (from->participants != NULL && (to_out->participants = pccl_alloc(participants_bytes + 1)) == NULL)
		return pcclOutOfMemory;
	if (from->participants != NULL)
		memcpy(to_out->participants, from->participants, participants_bytes);
	return pcclSuccess;
}

pcclResult_t pccl_op_decision_copy(const struct pccl_op_decision *from, struct pccl_op_decision *to_out)
{
	size_t words = pccl_bitmap_words(from->segment_count);
	uint32_t rank;

	assert((from->holder_count == 0) == (from->holders == NULL));
	memset(to_out, 0, sizeof(*to_out));
	to_out->tag = from->tag;
	to_out->sequence = from->sequence;
	to_out->signature = from->signature;
	to_out->verdict = from->verdict;
	to_out->participants_min = from->participants_min;
	to_out->participants_max = from->participants_max;
	to_out->segment_count = from->segment_count;
	if (from->participants != NULL) {
		to_out->participants = pccl_calloc(from->segment_count, sizeof(*to_out->participants));
		if (to_out->participants == NULL)
			return pcclOutOfMemory;
		memcpy(to_out->participants, from->participants, from->segment_count * sizeof(*to_out->participants));
	}
	if (from->holder_count == 0)
		return pcclSuccess;
	to_out->holders = pccl_calloc(from->holder_count, sizeof(*to_out->holders));
	if (to_out->holders == NULL)
		return pcclOutOfMemory;
	to_out->holder_count = from->holder_count;
	for (rank = 0; rank < from->holder_count; rank++) {
		if (from->holders[rank] == NULL)
			continue;
		to_out->holders[rank] = pccl_calloc(words, sizeof(uint64_t));
		if (to_out->holders[rank] == NULL)
			return pcclOutOfMemory;
		memcpy(to_out->holders[rank], from->holders[rank], words * sizeof(uint64_t));
	}
	return pcclSuccess;
}

pcclResult_t pccl_install_copy(const struct pccl_install *from, struct pccl_install *to_out)
{
	uint32_t index;

	assert(from->decision_count == 0 || from->decisions != NULL);
	memset(to_out, 0, sizeof(*to_out));
	if (pccl_view_copy(&from->view, &to_out->view) != pcclSuccess)
		return pcclOutOfMemory;
	to_out->run = from->run;
	to_out->previous_epoch = from->previous_epoch;
	to_out->lone = from->lone;
	to_out->newcomers = from->newcomers;
	to_out->world = from->world;
	memcpy(to_out->cause, from->cause, sizeof(to_out->cause));
	to_out->seal = from->seal;
	if (pccl_links_copy(&from->links, &to_out->links) != pcclSuccess)
		goto fail_decisions;
	to_out->decisions = pccl_calloc(from->decision_count, sizeof(*to_out->decisions));
	if (to_out->decisions == NULL)
		goto fail_decisions;
	for (index = 0; index < from->decision_count; index++) {
		to_out->decision_count = index + 1;
		if (pccl_op_decision_copy(&from->decisions[index], &to_out->decisions[index]) != pcclSuccess)
			goto fail_decisions;
	}
	return pcclSuccess;
fail_decisions:
	pccl_install_fini(to_out);
	return pcclOutOfMemory;
}

int pccl_op_decision_compare(const struct pccl_op_decision *left, const struct pccl_op_decision *right)
{
	if (left->tag != right->tag)
		return left->tag < right->tag ? -1 : 1;
	if (left->sequence != right->sequence)
		return left->sequence < right->sequence ? -1 : 1;
	return 0;
}

bool pccl_view_valid(const struct pccl_view *view)
{
	uint32_t index;
	uint32_t other;

	if (view->member_count == 0 || view->member_count > PCCL_MEMBERS_MAX)
		return false;
	for (index = 0; index < view->member_count; index++) {
		if (pccl_uuid_is_zero(&view->members[index].uuid))
			return false;
		for (other = 0; other < index; other++) {
			if (pccl_uuid_equal(&view->members[index].uuid, &view->members[other].uuid))
				return false;
		}
	}
	return true;
}

bool pccl_view_rank(const struct pccl_view *view, const pcclRankUuid_t *uuid, uint32_t *rank_out)
{
	uint32_t rank;

	for (rank = 0; rank < view->member_count; rank++) {
		if (!pccl_uuid_equal(&view->members[rank].uuid, uuid))
			continue;
		*rank_out = rank;
		return true;
	}
	return false;
}

bool pccl_member_has_address(const struct pccl_member *member, const char *host, uint16_t port)
{
	uint8_t i;

	for (i = 0; i < member->address_count; i++)
		if (member->addresses[i].port == port && strcmp(member->addresses[i].host, host) == 0)
			return true;
	return false;
}

void pccl_member_prepend_address(struct pccl_member *member, const char *host, uint16_t port)
{
	assert(member->address_count <= PCCL_MEMBER_ADDRESSES_MAX);
	if (pccl_member_has_address(member, host, port))
		return;
	if (member->address_count < PCCL_MEMBER_ADDRESSES_MAX)
		member->address_count++;
	memmove(&member->addresses[1], &member->addresses[0],
		(member->address_count - 1u) * sizeof(member->addresses[0]));
	memset(&member->addresses[0], 0, sizeof(member->addresses[0]));
	strncpy(member->addresses[0].host, host, sizeof(member->addresses[0].host) - 1);
	member->addresses[0].port = port;
}
