/* The world's numbers, told when they have changed: once for many changes that come together. */
#include "membership/master/master_internal.h"

#include <string.h>

#define COALESCE_NS UINT64_C(20000000)

void pccl_world_changed(struct pccl_master *master)
{
	if (master->world_ns == PCCL_MASTER_NEVER)
		master->world_ns = master->now_ns + COALESCE_NS;
}

/* What is the same for all groups. */
static void measure_groups(const struct pccl_master *master, struct pccl_world *world_out)
{
	const struct pccl_group *group;

	memset(world_out, 0, sizeof(*world_out));
	for (group = master->groups; group != NULL; group = group->next) {
		uint32_t count = group->base != NULL ? group->base->view.member_count : 0;

		if (count == 0)
			continue;
		world_out->peers += count;
		world_out->groups++;
		if (count > world_out->largest_group)
			world_out->largest_group = count;
	}
}

void pccl_world_measure(const struct pccl_master *master, const struct pccl_group *group, struct pccl_world *world_out)
{
	const struct pccl_client *client;

	measure_groups(master, world_out);
	for (client = master->clients; client != NULL; client = client->next)
		world_out->pending += client->group == group && pccl_client_eligible(master, client);
}

static void tell(struct pccl_master *master, struct pccl_client *client, const struct pccl_world *world)
{
	struct pccl_message *message = pccl_message_create(PCCL_MESSAGE_WORLD);

	if (message != NULL)
		message->body.world = *world;
	client->told = *world;
	client->world_stale = false;
	pccl_master_send(master, client, message);
}

void pccl_world_tick(struct pccl_master *master)
{
	struct pccl_group *group;
	struct pccl_client *client;
	struct pccl_world world;

	if (master->now_ns < master->world_ns)
		return;
	master->world_ns = PCCL_MASTER_NEVER;
	measure_groups(master, &world);
	for (group = master->groups; group != NULL; group = group->next)
		group->pending = 0;
	for (client = master->clients; client != NULL; client = client->next) {
		if (client->group != NULL && pccl_client_eligible(master, client))
			client->group->pending++;
	}
	for (client = master->clients; client != NULL; client = client->next) {
		/* Where the master can't act, silence about the world says so. */
		if (client->group == NULL || client->group->stall_ns != PCCL_MASTER_NEVER)
			continue;
		world.pending = client->group->pending;
		if (client->world_stale || memcmp(&world, &client->told, sizeof(world)) != 0)
			tell(master, client, &world);
	}
}
