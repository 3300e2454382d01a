/* What goes wrong. Which faults there are, and how often, is drawn per seed: runs with few kinds of faults find
 * what runs with all of them hide. */
#include "base/uuid.h"
#include "cards.h"
#include "shell.h"

enum fault {
	FAULT_SPAWN,
	FAULT_CRASH,
	FAULT_LEAVE,
	FAULT_PAUSE,
	FAULT_PARTITION,
	FAULT_COMPLAINT,
	FAULT_MASTER_CRASH,
	FAULT_CLOCK_JUMP,
	FAULT_EXPIRE,
	FAULT_STUCK,
	FAULT_RESET,
	FAULT_FLAP,
	FAULT_COUNT
};

static uint64_t maybe(struct sim *sim, uint32_t percent, uint64_t mean_ns)
{
	return sim_chance(sim, percent) ? mean_ns / 2 + sim_between(sim, 0, mean_ns) : 0;
}

/* A few members that stay, between two masters that come and go. */
static void draw_two_masters(struct sim *sim)
{
	struct sim_plan *plan = &sim->plan;

	plan->groups = 1;
	plan->sabotage = (uint32_t)sim_between(sim, 0, 40);
	plan->peers_max = (uint32_t)sim_between(sim, 3, 6);
	plan->known_masters = 2;
	plan->delay_mean_ns = sim_between(sim, SIM_MS, 80 * SIM_MS);
	plan->return_grace_ns = sim_between(sim, 200, 1000) * SIM_MS;
	plan->chaos_ns = sim_between(sim, 6, 16) * SIM_SECOND;
	plan->leave_ns = maybe(sim, 40, 2500 * SIM_MS);
	plan->expire_ns = 0;
	plan->clock_jump_ns = 0;
	plan->complaint_ns = maybe(sim, 50, 2000 * SIM_MS);
	plan->crash_ns = maybe(sim, 50, 4000 * SIM_MS);
	plan->pause_ns = maybe(sim, 60, 800 * SIM_MS);
	plan->partition_ns = maybe(sim, 80, 400 * SIM_MS);
	plan->master_crash_ns = maybe(sim, 60, 1500 * SIM_MS);
}

/* Peers come by the dozen and do not stay. */
static void draw_storm(struct sim *sim)
{
	struct sim_plan *plan = &sim->plan;

	plan->peers_max = (uint32_t)sim_between(sim, 8, 14);
	plan->spawn_ns = 40 * SIM_MS;
	plan->leave_ns = maybe(sim, 70, 150 * SIM_MS);
	plan->crash_ns = maybe(sim, 70, 150 * SIM_MS);
	plan->chaos_ns = sim_between(sim, 1, 4) * SIM_SECOND;
}

void sim_make_peace(struct sim *sim)
{
	struct sim_plan *plan = &sim->plan;

	plan->pause_ns = plan->partition_ns = plan->complaint_ns = plan->reset_ns = 0;
	plan->master_crash_ns = plan->clock_jump_ns = 0;
	plan->crash_ns = 0; /* it may have to be told from a broken connection, which takes as long */
	plan->joint_timeout_ms = 0;
	plan->sabotage = 0;
	plan->silent_crashes = false;
	plan->peaceful = true;
}

/* Between some pairs there is no way, for ever. One master that lives: else a founder may have to yield to members that
 * it can't reach. */
static void part(struct sim *sim)
{
	struct sim_plan *plan = &sim->plan;

	if (pccl_rng_hash(plan->seed, 51) % 5 != 0)
		return;
	plan->parted_percent = 5 + (uint32_t)(pccl_rng_hash(plan->seed, 52) % 50);
	plan->known_masters = 1;
	plan->master_crash_ns = 0;
	plan->sabotage = 0;
	plan->bundle_size = 0;
	if (pccl_rng_hash(plan->seed, 53) % 2 == 0)
		sim_make_peace(sim);
}

void sim_plan_draw(struct sim *sim, uint64_t seed)
{
	struct sim_plan *plan = &sim->plan;

	plan->seed = seed;
	plan->groups = (uint32_t)(sim_chance(sim, 70) ? 1 : sim_between(sim, 2, SIM_GROUPS));
	plan->peers_max = (uint32_t)sim_between(sim, 2, 8);
	plan->known_masters = sim_chance(sim, 40) ? 2 : 1;
	plan->delay_min_ns = sim_between(sim, 0, SIM_MS);
	plan->delay_mean_ns = sim_chance(sim, 50) ? SIM_MS : sim_between(sim, SIM_MS / 10, 50 * SIM_MS);
	plan->chaos_ns = sim_between(sim, 2, 12) * SIM_SECOND;
	plan->calm_ns = 90 * SIM_SECOND;
	plan->heartbeat_interval_ns = 250 * SIM_MS;
	plan->heartbeat_timeout_ns = 1000 * SIM_MS;
	plan->return_grace_ns = 2000 * SIM_MS;
	plan->spawn_ns = maybe(sim, 90, 800 * SIM_MS);
	plan->crash_ns = maybe(sim, 50, 2000 * SIM_MS);
	plan->leave_ns = maybe(sim, 25, 3000 * SIM_MS);
	plan->pause_ns = maybe(sim, 30, 2000 * SIM_MS);
	plan->partition_ns = maybe(sim, 40, 1500 * SIM_MS);
	plan->complaint_ns = maybe(sim, 20, 3000 * SIM_MS);
	plan->master_crash_ns = maybe(sim, 50, 3000 * SIM_MS);
	plan->clock_jump_ns = maybe(sim, 15, 3000 * SIM_MS);
	plan->expire_ns = maybe(sim, 20, 1000 * SIM_MS);
	plan->sabotage = (uint32_t)(sim_chance(sim, 20) ? sim_between(sim, 1, 15) : 0);
	plan->silent_crashes = sim_chance(sim, 40);
	if (sim_chance(sim, 25))
		draw_two_masters(sim);
	else if (sim_chance(sim, 10))
		draw_storm(sim);
	/* With several masters a reset may split a run: docs/parts/membership.md. Drawn by itself, so that the seeds
	 * from before this fault stay as they were. */
	if (plan->known_masters == 1 && pccl_rng_hash(seed, 12) % 4 == 0)
		plan->reset_ns = (200 + pccl_rng_hash(seed, 13) % 3000) * SIM_MS;
	plan->bundle_size = (uint32_t)(sim_chance(sim, 20) ? plan->groups : 0);
	if (pccl_rng_hash(seed, 14) % 4 == 0)
		plan->joint_timeout_ms = (uint32_t)(400 + pccl_rng_hash(seed, 15) % 2000);
	plan->late = (uint8_t)(pccl_rng_hash(seed, 16) % 3);
	part(sim);
}

static uint64_t mean_of(const struct sim_plan *plan, enum fault fault)
{
	switch (fault) {
	case FAULT_SPAWN:
		return plan->spawn_ns;
	case FAULT_CRASH:
		return plan->crash_ns;
	case FAULT_LEAVE:
		return plan->leave_ns;
	case FAULT_PAUSE:
		return plan->pause_ns;
	case FAULT_PARTITION:
		return plan->partition_ns;
	case FAULT_COMPLAINT:
		return plan->complaint_ns;
	case FAULT_MASTER_CRASH:
		return plan->master_crash_ns;
	case FAULT_CLOCK_JUMP:
		return plan->clock_jump_ns;
	case FAULT_EXPIRE:
		return plan->expire_ns;
	case FAULT_STUCK:
		return plan->pause_ns * 4;
	case FAULT_RESET:
		return plan->reset_ns;
	case FAULT_FLAP:
		return plan->flap_ns;
	case FAULT_COUNT:
		break;
	}
	return 0;
}

static uint32_t count_living(const struct sim *sim)
{
	uint32_t count = 0;
	uint32_t index;

	for (index = SIM_MASTERS; index < sim->node_count; index++)
		count += sim_peer_lives(&sim->nodes[index]);
	return count;
}

static struct sim_node *any_peer(struct sim *sim)
{
	uint32_t living = count_living(sim);
	uint64_t skip;
	uint32_t index;

	if (living == 0)
		return NULL;
	skip = sim_between(sim, 0, living - 1);
	for (index = SIM_MASTERS; index < sim->node_count; index++) {
		if (sim_peer_lives(&sim->nodes[index]) && skip-- == 0)
			return &sim->nodes[index];
	}
	return NULL;
}

static void spawn(struct sim *sim)
{
	uint32_t group;
	uint64_t bundle;

	if (count_living(sim) >= sim->plan.peers_max)
		return;
	if (sim->plan.bundle_size > 0 && sim->node_count + sim->plan.bundle_size <= SIM_NODES && sim_chance(sim, 60)) {
		bundle = ++sim->bundles;
		for (group = 0; group < sim->plan.bundle_size; group++)
			(void)sim_peer_join(sim, group, bundle, sim->plan.bundle_size);
		return;
	}
	(void)sim_peer_join(sim, (uint32_t)sim_between(sim, 0, sim->plan.groups - 1), 0, 0);
}

static void crash(struct sim *sim)
{
	struct sim_node *node = any_peer(sim);

	if (node != NULL)
		sim_peer_stop(sim, node, sim->plan.silent_crashes && sim_chance(sim, 40));
}

static void leave(struct sim *sim)
{
	struct pccl_peer_event event = {.type = PCCL_PEER_LEAVE};
	struct sim_node *node = any_peer(sim);

	if (node == NULL)
		return;
	if (node->shell != NULL) {
		shell_leave(node->shell);
		return;
	}
	sim_trace(sim, "node %u leaves", node->id);
	sim_peer_feed(sim, node, &event);
}

void sim_resume(struct sim *sim, struct sim_node *node)
{
	if (!node->paused)
		return;
	node->paused = false;
	sim_trace(sim, "node %u goes on", node->id);
	if (node->alive && node->is_master)
		sim_master_tick(sim, node);
	else if (sim_peer_lives(node))
		sim_peer_tick(sim, node);
}

static void pause_one(struct sim *sim)
{
	struct sim_event event = {.type = SIM_RESUME};
	struct sim_node *node = sim_chance(sim, 30) ? &sim->nodes[sim_between(sim, 0, SIM_MASTERS - 1)] : any_peer(sim);

	if (node == NULL || node->paused || !node->alive)
		return;
	sim_trace(sim, "node %u is paused", node->id);
	node->paused = true;
	event.node = node->id;
	sim_schedule(sim, sim->now_ns + sim_exponential(sim, sim->plan.heartbeat_timeout_ns), event);
}

static void cut_pair(struct sim *sim, uint32_t left, uint32_t right, uint64_t until_ns, uint32_t way)
{
	struct sim_event event = {.type = SIM_HEAL, .node = left, .number = right};

	if (way != 1) {
		sim->cut[left][right]++;
		sim_schedule(sim, until_ns, event);
	}
	if (way != 2) {
		event.node = right;
		event.number = left;
		sim->cut[right][left]++;
		sim_schedule(sim, until_ns, event);
	}
}

void sim_heal(struct sim *sim, uint32_t left, uint32_t right)
{
	if (sim->cut[left][right] > 0)
		sim->cut[left][right]--;
}

/* One pair, one way or both; or a peer from everybody; or a master from a few. */
static void partition(struct sim *sim)
{
	uint64_t until_ns = sim->now_ns + sim_exponential(sim, 2 * sim->plan.heartbeat_timeout_ns);
	struct sim_node *node = any_peer(sim);
	uint32_t other = (uint32_t)sim_between(sim, 0, sim->node_count - 1);
	uint32_t way = (uint32_t)sim_between(sim, 0, 2);
	uint32_t index;

	if (node == NULL)
		return;
	if (sim_chance(sim, 60)) {
		other = sim_chance(sim, 60) ? other % SIM_MASTERS : other;
		sim_trace(sim, "nodes %u and %u are cut apart (way %u)", node->id, other, way);
		if (other != node->id)
			cut_pair(sim, node->id, other, until_ns, way);
		return;
	}
	other = sim_chance(sim, 50) ? node->id : other % SIM_MASTERS;
	sim_trace(sim, "node %u is cut off%s", other, other == node->id ? "" : " from some");
	for (index = 0; index < sim->node_count; index++) {
		if (index != other && sim->nodes[index].alive && (other == node->id || sim_chance(sim, 50)))
			cut_pair(sim, other, index, until_ns, 0);
	}
}

bool sim_sabotage(struct sim *sim, const struct sim_node *master, const struct sim_node *peer)
{
	uint64_t until_ns = sim->now_ns + sim_exponential(sim, 4 * sim->plan.heartbeat_timeout_ns);

	if (sim->calm || !sim_chance(sim, sim->plan.sabotage))
		return false;
	if (sim_chance(sim, 30))
		return true;
	sim_trace(sim, "master %u is cut from node %u as it announces a view", master->id, peer->id);
	cut_pair(sim, master->id, peer->id, until_ns, sim_chance(sim, 50) ? 0 : 2);
	return false;
}

static void complain(struct sim *sim)
{
	struct pccl_peer_event event = {.type = PCCL_PEER_LINK_LOST, .text = "the link broke"};
	struct sim_node *node = any_peer(sim);
	uint32_t count = node != NULL ? node->view.view.member_count : 0;

	if (count < 2)
		return;
	event.uuid = node->view.view.members[sim_between(sim, 0, count - 1)].uuid;
	if (pccl_uuid_equal(&event.uuid, &node->uuid))
		return;
	sim_trace(sim, "node %u complains", node->id);
	sim_peer_feed(sim, node, &event);
}

static void crash_master(struct sim *sim)
{
	struct sim_event event = {.type = SIM_REVIVE, .node = (uint32_t)sim_between(sim, 0, SIM_MASTERS - 1)};

	if (!sim->nodes[event.node].alive)
		return;
	sim_master_stop(sim, &sim->nodes[event.node], sim->plan.silent_crashes && sim_chance(sim, 30));
	sim_schedule(sim, sim->now_ns + sim_exponential(sim, sim->plan.heartbeat_timeout_ns), event);
}

static void jump_clock(struct sim *sim)
{
	struct sim_node *node = sim_chance(sim, 50) ? &sim->nodes[sim_between(sim, 0, SIM_MASTERS - 1)] : any_peer(sim);

	if (node == NULL || !node->alive || node->paused)
		return;
	sim_trace(sim, "the clock of node %u jumps", node->id);
	node->ahead_ns += sim_between(sim, SIM_SECOND, 30 * SIM_SECOND);
	if (node->is_master)
		sim_master_tick(sim, node);
	else
		sim_peer_tick(sim, node);
}

static void expire(struct sim *sim)
{
	struct pccl_peer_event event = {.type = PCCL_PEER_EXPIRED, .text = "somebody has not arrived"};
	struct sim_node *node = any_peer(sim);
	uint32_t index;

	for (index = 0; node != NULL && index < SIM_OPS; index++) {
		if (!node->ops[index].used || !node->ops[index].open || !node->ops[index].launched)
			continue;
		event.tag = node->ops[index].tag;
		event.sequence = node->ops[index].sequence;
		sim_trace(sim, "node %u: op %u.%u expires", node->id, (unsigned)event.tag, event.sequence);
		sim_peer_feed(sim, node, &event);
		return;
	}
}

void sim_fault(struct sim *sim, uint32_t kind)
{
	struct sim_event event = {.type = SIM_FAULT, .number = kind};
	struct sim_node *node;

	if (sim->calm)
		return;
	switch ((enum fault)kind) {
	case FAULT_SPAWN:
		spawn(sim);
		break;
	case FAULT_CRASH:
		crash(sim);
		break;
	case FAULT_LEAVE:
		leave(sim);
		break;
	case FAULT_PAUSE:
		pause_one(sim);
		break;
	case FAULT_PARTITION:
		partition(sim);
		break;
	case FAULT_COMPLAINT:
		complain(sim);
		break;
	case FAULT_MASTER_CRASH:
		crash_master(sim);
		break;
	case FAULT_CLOCK_JUMP:
		jump_clock(sim);
		break;
	case FAULT_EXPIRE:
		expire(sim);
		break;
	case FAULT_STUCK:
		node = any_peer(sim);
		if (node != NULL)
			node->stuck = true;
		break;
	case FAULT_RESET:
		sim_fault_reset(sim, any_peer(sim));
		break;
	case FAULT_FLAP:
		sim_fault_flap(sim, any_peer(sim));
		break;
	case FAULT_COUNT:
		break;
	}
	sim_schedule(sim, sim->now_ns + sim_exponential(sim, mean_of(&sim->plan, (enum fault)kind)), event);
}

void sim_faults_start(struct sim *sim)
{
	struct sim_event event = {.type = SIM_FAULT};
	uint32_t index;

	for (index = 0; index < SIM_MASTERS; index++)
		sim_master_start(sim, &sim->nodes[index]);
	for (index = 0; index < sim->plan.peers_max; index++)
		spawn(sim);
	if (sim->shells != NULL)
		shell_faults_start(sim);
	for (event.number = 0; event.number < FAULT_COUNT; event.number++) {
		if (mean_of(&sim->plan, (enum fault)event.number) > 0)
			sim_schedule(sim, sim_exponential(sim, mean_of(&sim->plan, (enum fault)event.number)), event);
	}
}

/* No new faults, and the old ones end. Who was stuck for good is killed: it is the one fault that does not heal. */
void sim_calm_down(struct sim *sim)
{
	uint32_t left;
	uint32_t right;

	sim_trace(sim, "---- calm ----");
	sim->calm = true;
	for (left = 0; left < sim->node_count; left++) {
		for (right = 0; right < sim->node_count; right++)
			sim->cut[left][right] = 0;
	}
	cards_calm(sim);
	for (left = 0; left < SIM_MASTERS; left++)
		sim_master_start(sim, &sim->nodes[left]);
	for (left = 0; left < sim->node_count; left++) {
		sim_resume(sim, &sim->nodes[left]);
		if (sim_peer_lives(&sim->nodes[left]) && sim->nodes[left].stuck)
			sim_peer_stop(sim, &sim->nodes[left], false);
	}
	sim_forgers_end(sim);
}
