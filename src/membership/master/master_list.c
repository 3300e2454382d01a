/* Who is here, for the master's operator. */
#include "membership/master/master_internal.h"

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
