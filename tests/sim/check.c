/*
 * The checkers. They know what the callers were told, and nothing of the machines:
 *	- a view has one list of members, none twice, and one world wherever it is installed; epochs of a peer grow
 *	- an op that returned success by itself somewhere fails at no member of that view
 *	- members that stay together were told the same outcome of every op, and of every joint call, and the same world
 *	- nobody waits for a newcomer for much longer than a second, and no member is thrown out because of one
 *	- once nothing goes wrong any more, everybody alive shares one view, soon, and all programs go on
 */
#include <stdlib.h>
#include <string.h>

#include "base/uuid.h"
#include "sim.h"

#define STALL_NS (1300 * SIM_MS) /* a second for a newcomer, and what messages take */
#define TELLERS 16		 /* peers that one record remembers */

struct seen_view {
	uint32_t group;
	uint32_t epoch;
	pcclRankUuid_t run;
	struct pccl_world world;
	uint32_t member_count;
	pcclRankUuid_t members[SIM_NODES];
};

/* What peers were told about one op or one joint call. */
struct record {
	bool is_vote;
	uint32_t group;
	pcclRankUuid_t run;
	uint32_t origin;
	uint64_t tag; /* op */
	uint32_t sequence;
	uint64_t winners; /* members of a view in which it returned success by itself, as bits of their nodes */
	bool conflict;	  /* not all were told the same */
	uint32_t teller_count;
	uint32_t tellers[TELLERS]; /* nodes */
	int outcomes[TELLERS];
};

struct sim_check {
	struct seen_view *views;
	size_t view_count;
	struct record *records;
	size_t record_count;
	size_t conflict_count;
	uint32_t last_epoch[SIM_NODES];
};

static void *grow(void *memory, size_t count, size_t size)
{
	void *larger = memory;

	if ((count & (count - 1)) == 0)
		larger = realloc(memory, (count > 0 ? 2 * count : 1) * size);
	if (larger == NULL)
		abort();
	return larger;
}

struct sim_check *check_create(void)
{
	struct sim_check *check = calloc(1, sizeof(*check));

	if (check == NULL)
		abort();
	return check;
}

void check_destroy(struct sim_check *check)
{
	free(check->views);
	free(check->records);
	free(check);
}

static bool share_member(const struct seen_view *left, const struct seen_view *right)
{
	uint32_t index;
	uint32_t other;

	for (index = 0; index < left->member_count; index++) {
		for (other = 0; other < right->member_count; other++) {
			if (pccl_uuid_equal(&left->members[index], &right->members[other]))
				return true;
		}
	}
	return false;
}

static bool same_members(const struct seen_view *left, const struct seen_view *right)
{
	return left->member_count == right->member_count &&
	       memcmp(left->members, right->members, left->member_count * sizeof(left->members[0])) == 0;
}

/*
 * One view per epoch of a run. With a single master there is an exception: it may evict a majority by mistake
 * and die, and its successor can't know; then two views without a common member may have the same number, and
 * one of them ends.
 */
static void check_view(struct sim *sim, const struct sim_node *node, const struct seen_view *view)
{
	struct sim_check *check = sim->check;
	size_t index;

	for (index = 0; index < check->view_count; index++) {
		const struct seen_view *other = &check->views[index];

		if (other->group != view->group || other->epoch != view->epoch ||
		    !pccl_uuid_equal(&other->run, &view->run))
			continue;
		if (same_members(other, view)) {
			if (memcmp(&other->world, &view->world, sizeof(view->world)) != 0)
				sim_fail(sim,
					 "node %u was told another world with group %u epoch %u than somebody else",
					 node->id, view->group, view->epoch);
			return;
		}
		if (sim->plan.known_masters > 1 || share_member(other, view))
			sim_fail(sim, "node %u has other members in group %u epoch %u than somebody else", node->id,
				 view->group, view->epoch);
	}
	check->views = grow(check->views, check->view_count, sizeof(*check->views));
	check->views[check->view_count++] = *view;
}

static bool is_member(const struct sim *sim, const struct pccl_view *view, uint32_t node)
{
	uint32_t rank;

	return pccl_view_rank(view, &sim->nodes[node].uuid, &rank);
}

static void blame(struct sim *sim, const struct record *record, uint32_t left, uint32_t right)
{
	sim_fail(sim, "nodes %u and %u stay together, but %s %u.%u ended with %d and %d", record->tellers[left],
		 record->tellers[right], record->is_vote ? "joint call" : "op", (unsigned)record->tag, record->sequence,
		 record->outcomes[left], record->outcomes[right]);
}

/* Members of a new view must not have been told different things. */
static void check_conflicts(struct sim *sim, const struct pccl_install *install)
{
	const struct sim_check *check = sim->check;
	size_t index;
	uint32_t left;
	uint32_t right;

	for (index = 0; check->conflict_count > 0 && index < check->record_count; index++) {
		const struct record *record = &check->records[index];

		for (left = 0; record->conflict && left < record->teller_count; left++) {
			for (right = 0; right < left; right++) {
				if (record->outcomes[left] != record->outcomes[right] &&
				    is_member(sim, &install->view, record->tellers[left]) &&
				    is_member(sim, &install->view, record->tellers[right]))
					blame(sim, record, left, right);
			}
		}
	}
}

/* The last teller against the others: who is in one view with it now must have been told the same. */
static void check_last(struct sim *sim, const struct record *record)
{
	uint32_t last = record->teller_count - 1;
	const struct sim_node *node = &sim->nodes[record->tellers[last]];
	uint32_t index;

	for (index = 0; index < last; index++) {
		const struct sim_node *other = &sim->nodes[record->tellers[index]];

		if (record->outcomes[index] != record->outcomes[last] && sim_peer_lives(other) &&
		    other->view.view.epoch == node->view.view.epoch &&
		    pccl_uuid_equal(&other->view.run, &node->view.run))
			blame(sim, record, index, last);
	}
}

void check_install(struct sim *sim, const struct sim_node *node, const struct pccl_install *install)
{
	struct sim_check *check = sim->check;
	struct seen_view view;
	uint32_t rank;

	memset(&view, 0, sizeof(view));
	view.group = install->view.group;
	view.epoch = install->view.epoch;
	view.run = install->run;
	view.world = install->world;
	view.member_count = install->view.member_count;
	if (view.member_count > SIM_NODES || !pccl_view_valid(&install->view)) {
		sim_fail(sim, "node %u was given a view that is none", node->id);
		return;
	}
	for (rank = 0; rank < view.member_count; rank++)
		view.members[rank] = install->view.members[rank].uuid;
	if (!pccl_view_rank(&install->view, &node->uuid, &rank) || view.group != node->group)
		sim_fail(sim, "node %u was given a view of others", node->id);
	if (view.epoch <= check->last_epoch[node->id])
		sim_fail(sim, "the epoch of node %u went from %u to %u", node->id, check->last_epoch[node->id],
			 view.epoch);
	check->last_epoch[node->id] = view.epoch;
	check_view(sim, node, &view);
	check_conflicts(sim, install);
}

static struct record *find_record(struct sim *sim, const struct sim_node *node, bool is_vote, uint64_t tag,
				  uint32_t sequence)
{
	struct sim_check *check = sim->check;
	struct record *record;
	size_t index;

	for (index = check->record_count; index > 0; index--) {
		record = &check->records[index - 1];
		if (record->is_vote == is_vote && record->tag == tag && record->sequence == sequence &&
		    record->group == node->group && record->origin == node->origin &&
		    pccl_uuid_equal(&record->run, &node->view.run))
			return record;
	}
	check->records = grow(check->records, check->record_count, sizeof(*check->records));
	record = &check->records[check->record_count++];
	memset(record, 0, sizeof(*record));
	record->is_vote = is_vote;
	record->group = node->group;
	record->run = node->view.run;
	record->origin = node->origin;
	record->tag = tag;
	record->sequence = sequence;
	return record;
}

static void tell(struct sim *sim, const struct sim_node *node, struct record *record, int outcome)
{
	uint32_t index;

	for (index = 0; index < record->teller_count; index++) {
		if (record->tellers[index] == node->id)
			sim_fail(sim, "node %u was told the end of %s %u.%u twice", node->id,
				 record->is_vote ? "joint call" : "op", (unsigned)record->tag, record->sequence);
		if (record->outcomes[index] != outcome && !record->conflict) {
			record->conflict = true;
			sim->check->conflict_count++;
		}
	}
	if (record->teller_count == TELLERS) {
		sim_fail(sim, "the checker has no room for another peer");
		return;
	}
	record->tellers[record->teller_count] = node->id;
	record->outcomes[record->teller_count++] = outcome;
}

void check_op(struct sim *sim, const struct sim_node *node, uint64_t tag, uint32_t sequence, bool success, bool natural)
{
	struct record *record = find_record(sim, node, false, tag, sequence);
	uint32_t index;

	tell(sim, node, record, success);
	for (index = SIM_MASTERS; success && natural && index < sim->node_count; index++) {
		if (is_member(sim, &node->view.view, index))
			record->winners |= UINT64_C(1) << index;
	}
	for (index = 0; index < record->teller_count; index++) {
		if (!record->outcomes[index] && (record->winners >> record->tellers[index] & 1) != 0)
			sim_fail(sim, "op %u.%u of group %u returned success at one peer and failed at node %u",
				 (unsigned)tag, sequence, node->group, record->tellers[index]);
	}
	check_last(sim, record);
}

/* All who made the call were told the same: yes or no, and the world's numbers. */
static int vote_outcome(const struct pccl_peer_action *voted)
{
	return (int)(voted->world.peers << 16 | voted->world.largest_group << 8 | voted->world.groups << 1) |
	       voted->value;
}

void check_vote(struct sim *sim, const struct sim_node *node, const struct pccl_peer_action *voted)
{
	struct record *record = find_record(sim, node, true, 0, node->vote_count);

	if (sim->rogue != NULL)
		return; /* it may have made another call */
	if (voted->result != pcclSuccess)
		sim_fail(sim, "joint call %u of node %u failed with %d, but all members made the same",
			 node->vote_count, node->id, (int)voted->result);
	tell(sim, node, record, vote_outcome(voted));
	check_last(sim, record);
}

/* Who has its answer may have made the next call: then this is lenient. The last survivor of several that die in one
 * moment waits for the others for a grace: nobody else can tell that they are dead. */
void check_stall(struct sim *sim, const struct sim_node *node)
{
	uint64_t last_ns = sim->gone_ns > 0 ? sim->gone_ns + sim->plan.return_grace_ns : 0; /* all had made the call */
	uint32_t index;

	for (index = SIM_MASTERS; index < sim->node_count; index++) {
		const struct sim_node *other = &sim->nodes[index];
		/* Others may not have the view yet in which this one has its answer. */
		bool same = other->view.view.member_count > 0 && other->group == node->group;

		/* Ranks of a bundle join together, and so wait for the members of all their groups, which may not have
		 * called yet. */
		if (sim_peer_lives(other) && !same && sim->plan.bundle_size > 0 && other->view.view.member_count > 0 &&
		    other->voting == 0)
			return;
		if (sim_peer_lives(other) && (same || sim->plan.bundle_size > 0) && other->vote_ns > last_ns)
			last_ns = other->vote_ns;
	}
	if (sim->plan.peaceful && sim->now_ns > last_ns + STALL_NS + 20 * sim->plan.delay_mean_ns)
		sim_fail(sim, "joint call %u of node %u took %llu ms more than the members", node->vote_count, node->id,
			 (unsigned long long)((sim->now_ns - last_ns) / SIM_MS));
}

/* A founder that was alone may have to wait among newcomers, too. */
bool check_is_kept_out(const struct sim *sim, const struct sim_node *node)
{
	uint32_t index;

	if (node->view.view.member_count > 0 && !node->view.lone)
		return false;

	for (index = SIM_MASTERS; index < sim->node_count; index++) {
		const struct sim_node *other = &sim->nodes[index];

		if (sim_peer_lives(other) && other->group == node->group && other->view.view.member_count > 0 &&
		    sim_is_parted(sim, node->id, index))
			return true;
	}
	return false;
}

/* A rank of a bundle whose others are gone, or are at another master because their group is, waits in vain, and
 * rightly. */
static bool may_wait_forever(const struct sim *sim, const struct sim_node *node)
{
	uint32_t index;

	if (node->bundle == 0 || node->view.view.member_count > 0)
		return false;
	for (index = SIM_MASTERS; index < sim->node_count; index++) {
		if (sim->nodes[index].bundle == node->bundle &&
		    (!sim_peer_lives(&sim->nodes[index]) || sim->nodes[index].connected_to != node->connected_to))
			return true;
	}
	return false;
}

static bool same_view(const struct sim_node *left, const struct sim_node *right)
{
	return left->view.view.epoch == right->view.view.epoch &&
	       left->view.view.member_count == right->view.view.member_count &&
	       pccl_uuid_equal(&left->view.run, &right->view.run);
}

/* With two masters a group may be founded twice, while the masters can't be reached from everywhere; each of the
 * two must be united. */
static bool is_of_run(const struct sim *sim, const struct sim_node *node, const pcclRankUuid_t *run)
{
	return sim->plan.known_masters == 1 || node->view.view.member_count == 0 ||
	       pccl_uuid_equal(&node->view.run, run);
}

/* Is everybody alive of the group's run in one view, and nobody else? */
static const char *disunity(const struct sim *sim, uint32_t group, const pcclRankUuid_t *run, uint32_t *node_out)
{
	const struct sim_node *first = NULL;
	uint32_t count = 0;
	uint32_t index;

	for (index = SIM_MASTERS; index < sim->node_count; index++) {
		const struct sim_node *node = &sim->nodes[index];

		if (!sim_peer_lives(node) || node->group != group || may_wait_forever(sim, node) ||
		    check_is_kept_out(sim, node) || !is_of_run(sim, node, run))
			continue;
		*node_out = index;
		count++;
		first = first != NULL ? first : node;
		if (node->view.view.member_count == 0)
			return "was not admitted";
		if (node->frozen)
			return "is frozen";
		if (!same_view(first, node))
			return "has another view than somebody else";
	}
	if (first != NULL && first->view.view.member_count != count)
		return "has members in its view that are gone";
	return NULL;
}

bool check_is_settled(const struct sim *sim, uint32_t *node_out, const char **why_out)
{
	uint32_t index;

	for (index = SIM_MASTERS; index < sim->node_count; index++) {
		const struct sim_node *node = &sim->nodes[index];

		if (!sim_peer_lives(node))
			continue;
		*why_out = disunity(sim, node->group, &node->view.run, node_out);
		if (*why_out != NULL)
			return false;
	}
	return true;
}

void check_end(struct sim *sim)
{
	const char *why;
	uint32_t node;

	if (!check_is_settled(sim, &node, &why))
		sim_fail(sim, "long after the last fault node %u %s (%s)", node, why,
			 pccl_peer_state(sim->nodes[node].peer));
}
