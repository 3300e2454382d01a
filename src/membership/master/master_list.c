/* Who is here, and who can be done without, for the master's operator. */
#include "membership/master/master_internal.h"

#include "base/memory.h"

static enum pccl_master_place place_of(const struct pccl_client *client)
{
	if (client->state == PCCL_CLIENT_SEATED)
		return PCCL_PLACE_MEMBER;
	return client->state == PCCL_CLIENT_RETURNED ? PCCL_PLACE_RETURNED : PCCL_PLACE_WAITING;
}

void pccl_master_list(const struct pccl_master *master, pccl_master_lister take, void *context)
{
	const struct pccl_client *client;

	for (client = master->clients; client != NULL; client = client->next) {
		struct pccl_master_entry entry = {
			.connection = client->connection, .uuid = client->self.uuid, .remote = client->remote};

		if (client->group == NULL)
			continue;
		entry.group = client->group->id;
		entry.place = place_of(client);
		if (entry.place == PCCL_PLACE_MEMBER) {
			entry.rank = client->seat;
			entry.epoch = client->group->base->view.epoch;
		}
		take(context, &entry);
	}
}

static bool is_quorum_without(const struct pccl_group *group, uint32_t seat)
{
	const struct pccl_view *view = &group->base->view;
	struct pccl_client **others = pccl_calloc(view->member_count, sizeof(struct pccl_client *));
	uint32_t rank;
	bool is_quorum;

	if (others == NULL)
		return false;
	for (rank = 0; rank < view->member_count; rank++)
		others[rank] = rank != seat ? group->seats[rank].client : NULL;
	is_quorum = pccl_quorum_of_view(group, view, others, view->member_count);
	pccl_free(others);
	return is_quorum;
}

bool pccl_master_needs(const struct pccl_master *master, uint64_t connection)
{
	const struct pccl_client *client = pccl_client_find(master, connection);

	if (client == NULL)
		return false;
	if (client->state == PCCL_CLIENT_RETURNED)
		return true;
	return client->state == PCCL_CLIENT_SEATED && pccl_group_needs_quorum(client->group) &&
	       !is_quorum_without(client->group, client->seat);
}
