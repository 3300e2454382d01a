/* The world's numbers. They travel with the answers of joint calls and with views, so that members that have made the
 * same calls know the same world. */
#include "membership/master/master_internal.h"

#include <string.h>

void pccl_world_measure(const struct pccl_master *master, struct pccl_world *world_out)
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
