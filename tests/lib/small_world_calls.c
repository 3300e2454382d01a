/* What happens to the peers of a small world: calls of their programs, links, connections. */
#include "lib/small_world.h"

#include "lib/check.h"

void small_link(struct small_world *world, uint32_t index, uint32_t about, bool broken)
{
	struct pccl_peer_event event = {.type = broken ? PCCL_PEER_LINK_BROKEN : PCCL_PEER_LINK_MENDED};

	event.uuid = small_uuid(about);
	for (; event.lane < world->peers[index].install.view.lanes; event.lane++) {
		if (world->peers[index].machine != NULL && !world->peers[index].paused)
			small_event(world, index, &event);
	}
}

void small_linked(struct small_world *world, uint32_t index)
{
	struct pccl_peer_event event = {.type = PCCL_PEER_LINKED, .epoch = world->peers[index].install.view.epoch};

	small_event(world, index, &event);
}

void small_vote(struct small_world *world, uint32_t index, enum pccl_vote vote)
{
	struct pccl_peer_event event = {.type = PCCL_PEER_VOTE, .vote = vote};

	world->peers[index].voted = false;
	world->peers[index].voting = true;
	small_event(world, index, &event);
}

void small_give_up(struct small_world *world, uint32_t index, uint32_t sequence)
{
	struct pccl_peer_event event = {.type = PCCL_PEER_GIVE_UP, .sequence = sequence, .text = "for the test"};

	small_event(world, index, &event);
}

void small_vote_if_member(struct small_world *world, uint32_t index, enum pccl_vote vote)
{
	const struct small_peer *peer = &world->peers[index];

	if (peer->machine != NULL && !peer->ended && peer->install.view.member_count > 0 && !peer->voting)
		small_vote(world, index, vote);
}

void small_leave(struct small_world *world, uint32_t index)
{
	struct pccl_peer_event event = {.type = PCCL_PEER_LEAVE};

	small_event(world, index, &event);
}

void small_complain(struct small_world *world, uint32_t index, uint32_t about)
{
	struct pccl_peer_event event = {.type = PCCL_PEER_LINK_LOST, .text = "no route to host"};

	event.uuid = small_uuid(about);
	small_event(world, index, &event);
}

void small_hear_again(struct small_world *world, uint32_t index, uint32_t about)
{
	struct pccl_peer_event event = {.type = PCCL_PEER_LINK_HEARD};

	event.uuid = small_uuid(about);
	small_event(world, index, &event);
}

void small_lose_connection(struct small_world *world, uint32_t index)
{
	struct pccl_peer_event event = {.type = PCCL_PEER_CLOSED, .text = "connection reset"};

	world->peers[index].connection = 0;
	small_event(world, index, &event);
}

void small_move(struct small_world *world, uint32_t index, uint32_t master)
{
	uint32_t tries;

	for (tries = 0; tries < 50 && world->peers[index].master != master; tries++) {
		small_lose_connection(world, index);
		small_pass(world, 60);
	}
}

/* ---- for tests ------------------------------------------------------------------------------------------------ */

void small_update(struct small_world *world, uint32_t count)
{
	uint32_t index;

	for (index = 0; index < count; index++)
		small_vote_if_member(world, index, PCCL_VOTE_UPDATE);
	small_settle(world);
}

void small_gather(struct small_world *world, uint32_t count)
{
	uint32_t index;

	for (index = 0; index < count; index++) {
		small_join(world, index, 0, 1);
		small_settle(world);
		small_update(world, count);
	}
	assert_int_equal(small_size(world, 0), count);
}

int small_open(void **state)
{
	static struct small_world world;

	small_world_init(&world);
	small_master_start(&world, 0);
	*state = &world;
	return 0;
}

int small_close(void **state)
{
	small_world_fini(*state);
	return 0;
}
