/* What is drawn per seed for level 2, and what goes wrong with streams. */
#include "cards.h"
#include "shell.h"
#include "shell_wire.h"

static void draw_times(struct sim *sim, struct shell_plan *plan)
{
	plan->command_ns = sim_chance(sim, 50) ? SIM_MS / 20 : sim_between(sim, SIM_MS / 100, 5 * SIM_MS);
	plan->frame_ns = sim_between(sim, SIM_MS / 50, 2 * SIM_MS);
	plan->lag_ns = sim_chance(sim, 50) ? 0 : sim_between(sim, SIM_MS / 50, 5 * SIM_MS);
	plan->guest_ns = sim_between(sim, 50, 3000) * SIM_MS;
	plan->pause_ns = sim_between(sim, SIM_MS, 30 * SIM_MS);
	plan->link_timeout_ns = sim_between(sim, 500, 3000) * SIM_MS;
	plan->break_ns = sim_chance(sim, 40) ? sim_between(sim, 5, 200) * SIM_MS : 0;
}

/* Who can't be dialled; peers still come, leave and die. */
static void bar(struct sim *sim, struct shell_plan *plan)
{
	if (pccl_rng_hash(sim->plan.seed, 41) % 3 != 0)
		return;
	plan->barred_percent = 10 + (uint32_t)(pccl_rng_hash(sim->plan.seed, 42) % 91);
	if (pccl_rng_hash(sim->plan.seed, 43) % 2 == 0)
		sim_make_peace(sim);
}

void shell_plan_draw(struct sim *sim)
{
	struct shell_plan *plan = &sim->shells->plan;

	plan->lanes = (uint32_t)sim_between(sim, 1, SHELL_LANES);
	plan->streams = (uint32_t)sim_between(sim, 1, SHELL_STREAMS);
	plan->frames = (uint32_t)sim_between(sim, 1, 8);
	plan->window = (uint32_t)sim_between(sim, 1, 8);
	plan->checksums = sim_chance(sim, 80) ? pcclChecksumsOn : pcclChecksumsOff;
	draw_times(sim, plan);
	plan->slow_percent = (uint32_t)(sim_chance(sim, 25) ? sim_between(sim, 5, 30) : 0);
	plan->large_percent = (uint32_t)(sim_chance(sim, 10) ? 20 : 0);
	plan->timeout_percent = (uint32_t)(sim_chance(sim, 30) ? sim_between(sim, 5, 50) : 0);
	plan->codecs = pccl_rng_hash(sim->plan.seed, 11) % 3 == 0; /* seeds from before the codecs stay as they were */
	/* Only large ops can be compressed. The number leaves those in seeds.txt as they were. */
	if (pccl_rng_hash(sim->plan.seed, 27) % 4 == 0) {
		plan->zstd = pcclZstdAuto;
		plan->large_percent = 15;
	}
	if (pccl_rng_hash(sim->plan.seed, 31) % 8 == 0)
		plan->mistake_percent = 1 + (uint32_t)(pccl_rng_hash(sim->plan.seed, 32) % 10);
	if (pccl_rng_hash(sim->plan.seed, 51) % 2 == 0) {
		plan->forget_every = 1 + (uint32_t)(pccl_rng_hash(sim->plan.seed, 52) % 6);
		plan->forget_room = 1 + (uint32_t)(pccl_rng_hash(sim->plan.seed, 53) % 4);
	}
	/* This number, too, leaves those in seeds.txt as they were. */
	if (pccl_rng_hash(sim->plan.seed, 111) % 4 == 0)
		plan->one_lane_bytes = UINT64_C(1) << (9 + pccl_rng_hash(sim->plan.seed, 112) % 7);
	if (pccl_rng_hash(sim->plan.seed, 121) % 3 == 0)
		plan->long_percent = 1 + (uint32_t)(pccl_rng_hash(sim->plan.seed, 122) % 60);
	plan->vote_percent = (uint32_t)sim_between(sim, 5, 40);
	if (pccl_rng_hash(sim->plan.seed, 51) % 3 == 0)
		plan->state_percent = 10 + (uint32_t)(pccl_rng_hash(sim->plan.seed, 52) % 60);
	/* Ops are many more events than membership alone: shorter histories, denser faults. */
	sim->plan.groups = sim->plan.groups > 1 ? 2 : 1;
	sim->plan.bundle_size = sim->plan.bundle_size > 0 ? sim->plan.groups : 0;
	sim->plan.peers_max = (uint32_t)sim_between(sim, 2, 6);
	sim->plan.chaos_ns = sim_between(sim, 500, 3500) * SIM_MS;
	if (sim_chance(sim, 30))
		sim->plan.leave_ns = sim_between(sim, 200, 1200) * SIM_MS;
	sim->plan.crash_ns /= 2;
	sim->plan.pause_ns /= 2;
	sim->plan.partition_ns /= 2;
	bar(sim, plan);
	if (!sim->plan.peaceful)
		return;
	plan->break_ns = 0;
	plan->slow_percent = 0;
}

void shell_plan_gentle(struct shell_world *world)
{
	world->plan.break_ns = 0;
	world->plan.slow_percent = 0;
	world->plan.barred_percent = 0;
	world->plan.timeout_percent = 0;
	world->plan.mistake_percent = 0;
}

void shell_plan_lossy(struct shell_world *world)
{
	shell_plan_gentle(world);
	world->plan.loss_percent = 10;
	world->plan.link_timeout_ns = world->plan.guest_ns = 3 * SIM_SECOND;
}

void shell_plan_lying(struct sim *sim)
{
	sim->shells->plan.verifies = true;
	sim->shells->plan.lie_percent = (uint32_t)(pccl_rng_hash(sim->plan.seed, 61) % 5);
	/* Who gives up, or whose call about states has failed, does not do it again; who hears of a lie does. */
	sim->shells->plan.timeout_percent = sim->shells->plan.state_percent = 0;
}

void shell_faults_start(struct sim *sim)
{
	cards_start(sim);
	if (sim->shells->plan.break_ns > 0)
		shell_schedule(sim, sim->shells->plan.break_ns, SHELL_BREAK, 0, 0, NULL);
}

void shell_fault_break(struct sim *sim)
{
	if (sim->calm)
		return;
	wire_break_any(sim);
	shell_schedule(sim, sim->now_ns + sim_exponential(sim, sim->shells->plan.break_ns), SHELL_BREAK, 0, 0, NULL);
}
