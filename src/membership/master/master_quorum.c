/*
 * May this master decide? With several masters, none may act for a group unless no other can: each asks a
 * majority of the members of every view that may be in force somewhere. Any two such majorities meet in a peer
 * that remembers the earlier promise and tells it to the later master.
 */
#include "membership/master/master_internal.h"

#include <assert.h>
#include <string.h>

#include "base/uuid.h"

/* Most lists are in rank order themselves: `rank` says where to look first. */
static bool is_among(const pcclRankUuid_t *uuid, uint32_t rank, struct pccl_client *const *clients,
		     uint32_t client_count)
{
	uint32_t index;

	if (rank < client_count && clients[rank] != NULL && pccl_uuid_equal(&clients[rank]->self.uuid, uuid))
		return true;
	for (index = 0; index < client_count; index++) {
		if (clients[index] != NULL && pccl_uuid_equal(&clients[index]->self.uuid, uuid))
			return true;
	}
	return false;
}

/* Goes through a list in rank order. */
struct count {
	uint32_t alive;
	uint32_t here;
	bool lowest_here; /* of those alive */
};

static void count_one(struct count *count, const struct pccl_group *group, const pcclRankUuid_t *uuid, uint32_t rank,
		      struct pccl_client *const *clients, uint32_t client_count)
{
	bool here = is_among(uuid, rank, clients, client_count);

	if (!here && pccl_group_is_dead(group, uuid))
		return;
	if (count->alive == 0)
		count->lowest_here = here;
	count->alive++;
	count->here += here;
}

static bool is_majority(const struct count *count)
{
	assert(count->here <= count->alive && (count->here > 0 || !count->lowest_here));
	if (count->here * 2 == count->alive)
		return count->alive == 0 || count->lowest_here;
	return count->here * 2 > count->alive;
}

bool pccl_quorum_of_uuids(const struct pccl_group *group, const pcclRankUuid_t *uuids, uint32_t count,
			  struct pccl_client *const *clients, uint32_t client_count)
{
	struct count counted = {0, 0, false};
	uint32_t rank;

	for (rank = 0; rank < count; rank++)
		count_one(&counted, group, &uuids[rank], rank, clients, client_count);
	return is_majority(&counted);
}

bool pccl_quorum_of_view(const struct pccl_group *group, const struct pccl_view *view,
			 struct pccl_client *const *clients, uint32_t client_count)
{
	struct count counted = {0, 0, false};
	uint32_t rank;

	for (rank = 0; rank < view->member_count; rank++)
		count_one(&counted, group, &view->members[rank].uuid, rank, clients, client_count);
	return is_majority(&counted);
}

bool pccl_promise_counts(const struct pccl_group *group, uint32_t index, const pcclRankUuid_t *run)
{
	assert(index < group->promise_count);
	return run == NULL ||
	       ((group->promise_proven[index] || !group->loyal) && pccl_uuid_equal(&group->promises[index].run, run));
}

bool pccl_promises_none(const struct pccl_group *group)
{
	uint32_t loyal = 0;
	uint32_t rank;

	if (group->base == NULL)
		return false;
	for (rank = 0; rank < group->base->view.member_count; rank++)
		loyal += group->seats[rank].client != NULL && group->seats[rank].client->promise_count == 0;
	return 2 * loyal > group->base->view.member_count;
}

bool pccl_promises_bind(const struct pccl_group *group)
{
	uint32_t index;

	for (index = 0; index < group->promise_count; index++) {
		if (pccl_promise_counts(group, index, group->base != NULL ? &group->base->run : NULL))
			return true;
	}
	return false;
}

bool pccl_group_needs_quorum(const struct pccl_group *group)
{
	return group->needs_quorum || pccl_promises_bind(group);
}

bool pccl_quorum_of_promises(const struct pccl_group *group, const pcclRankUuid_t *run, uint32_t epoch,
			     struct pccl_client *const *clients, uint32_t client_count)
{
	uint32_t index;

	for (index = 0; index < group->promise_count; index++) {
		const struct pccl_promise *promise = &group->promises[index];

		if (promise->epoch <= epoch || !pccl_promise_counts(group, index, run))
			continue;
		if (!pccl_quorum_of_uuids(group, promise->members, promise->member_count, clients, client_count))
			return false;
	}
	return true;
}

bool pccl_promises_name(const struct pccl_group *group, const pcclRankUuid_t *uuid)
{
	uint32_t index;
	uint32_t rank;

	for (index = 0; index < group->promise_count; index++) {
		if (!pccl_promise_counts(group, index, group->base != NULL ? &group->base->run : NULL))
			continue;
		for (rank = 0; rank < group->promises[index].member_count; rank++) {
			if (pccl_uuid_equal(&group->promises[index].members[rank], uuid))
				return true;
		}
	}
	return false;
}
