/*
 * Peers that are as all others, but for what they bring to a master: in place of their own last view and promises, now
 * and then, what would suit a rogue. They replay, forge and impersonate; they have seen all that members see, and can
 * sign nothing. seals.c knows what of it must never be believed.
 */
#include <string.h>

#include "base/memory.h"
#include "base/uuid.h"
#include "sim.h"

#define FORGERS_PERCENT 30
#define FORGERIES_PERCENT 60

enum forgery {
	LATER_EPOCH, /* with the seal of the true one */
	OTHER_MEMBERS,
	OTHER_DECISIONS,
	NO_SEAL,
	OWN_SEAL,      /* of a key that it has made */
	OTHER_PROMISE, /* a far epoch, under a seal that it has */
	ANOTHERS_NAME,
	ANOTHERS_VIEW,
	OLD_VIEW, /* of its own */
	FORGERIES
};

bool sim_is_forger(const struct sim *sim, uint32_t node)
{
	return sim->plan.seed >= SIM_FORGING_SEEDS && sim->plan.seed < SIM_CARDS_SEEDS &&
	       pccl_rng_hash(sim->plan.seed, 950 + node) % 100 < FORGERS_PERCENT;
}

static void promise_far(struct pccl_message_register *registration, const pcclRankUuid_t *self)
{
	struct pccl_promise promise = {.epoch = 4000, .member_count = 1};
	pcclRankUuid_t member = *self;

	promise.members = &member;
	if (registration->promise_count > 0)
		promise.seal = registration->promises[0].seal;
	else if (registration->last != NULL)
		promise.seal = registration->last->seal;
	if (registration->last != NULL) {
		promise.run = registration->last->run;
		promise.epoch = registration->last->view.epoch + 4000;
	}
	pccl_promises_destroy(registration->promises, registration->promise_count);
	registration->promises = pccl_calloc(1, sizeof(promise));
	(void)pccl_promise_copy(&promise, registration->promises);
	registration->promise_count = 1;
}

static void take_view(struct sim_node *node, struct pccl_message_register *registration,
		      const struct pccl_install *view)
{
	struct pccl_install copy;

	if (view->view.member_count == 0 || pccl_install_copy(view, &copy) != pcclSuccess)
		return;
	node->has_lied = true;
	if (registration->last == NULL)
		registration->last = pccl_zalloc(sizeof(*registration->last));
	pccl_install_fini(registration->last);
	*registration->last = copy;
}

static const struct sim_node *another_of(struct sim *sim, const struct sim_node *node)
{
	uint32_t start = (uint32_t)sim_between(sim, SIM_MASTERS, sim->node_count - 1), i;

	for (i = SIM_MASTERS; i < sim->node_count; i++) {
		const struct sim_node *other = &sim->nodes[SIM_MASTERS + (start + i) % (sim->node_count - SIM_MASTERS)];

		if (other != node && sim_peer_lives(other) && other->group == node->group)
			return other;
	}
	return NULL;
}

static void change_view(struct sim *sim, const struct sim_node *node, struct pccl_install *last, enum forgery what)
{
	struct pccl_imprint imprint;
	uint32_t rank;

	switch (what) {
	case LATER_EPOCH:
		last->view.epoch += 1 + (uint32_t)sim_between(sim, 0, 1) * 100000;
		break;
	case OTHER_MEMBERS:
		for (rank = 0; rank < last->view.member_count; rank++)
			if (!pccl_uuid_equal(&last->view.members[rank].uuid, &node->uuid))
				last->view.members[rank].uuid.data[0] ^= 1;
		break;
	case OTHER_DECISIONS:
		last->newcomers = !last->newcomers;
		last->previous_epoch = last->view.epoch - 1;
		break;
	case NO_SEAL:
		last->view.epoch++;
		memset(&last->seal, 0, sizeof(last->seal));
		break;
	default:
		last->view.epoch++;
		(void)pccl_install_imprint(last, &imprint);
		last->seal = sim_seal_alone(&imprint);
		break;
	}
}

static void forge(struct sim *sim, struct sim_node *node, struct pccl_message_register *registration, enum forgery what)
{
	const struct sim_node *other = another_of(sim, node);

	if (what == OTHER_PROMISE)
		promise_far(registration, &node->uuid);
	else if (what == OLD_VIEW)
		take_view(node, registration, &node->old_view);
	else if (what == ANOTHERS_NAME && other != NULL)
		registration->self.uuid = other->uuid;
	else if (what == ANOTHERS_VIEW && other != NULL)
		take_view(node, registration, &other->view);
	else if (what < OTHER_PROMISE && registration->last != NULL)
		change_view(sim, node, registration->last, what);
}

void sim_forge(struct sim *sim, struct sim_node *node, struct pccl_message *message)
{
	enum forgery what;

	if (message->type != PCCL_MESSAGE_REGISTER || sim->calm || !sim_is_forger(sim, node->id) ||
	    !sim_chance(sim, FORGERIES_PERCENT))
		return;
	what = (enum forgery)sim_between(sim, 0, FORGERIES - 1);
	sim_trace(sim, "node %u says what it should not: %d", node->id, (int)what);
	forge(sim, node, &message->body.registration, what);
}

void sim_forger_install(struct sim *sim, struct sim_node *node)
{
	if (!sim_is_forger(sim, node->id) || node->old_view.view.member_count > 0)
		return;
	(void)pccl_install_copy(&node->view, &node->old_view);
}

void sim_forgers_end(struct sim *sim)
{
	uint32_t index;

	for (index = SIM_MASTERS; index < sim->node_count; index++)
		if (sim->nodes[index].has_lied && sim->nodes[index].alive)
			sim_peer_stop(sim, &sim->nodes[index], false);
}
