/* The clock, the queue of events, the trace, and one run from its seed to its end. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "cards.h"
#include "rogue.h"
#include "shell.h"

#define CLOSE_NS (40 * SIM_SECOND)
#define HOME_NS (2700 * SIM_SECOND) /* as long as a stream may wait for its way back, and more */
#define ROGUE_NS (6 * SIM_SECOND)
#define PROGRESS_STEPS 6 /* of every caller, to call a run settled */

static bool is_before(const struct sim_event *left, const struct sim_event *right)
{
	return left->time_ns != right->time_ns ? left->time_ns < right->time_ns : left->serial < right->serial;
}

void sim_schedule(struct sim *sim, uint64_t time_ns, struct sim_event event)
{
	uint32_t at = sim->heap_count++;
	uint32_t parent;

	if (sim->heap_count > sim->heap_capacity) {
		sim->heap_capacity = sim->heap_capacity > 0 ? 2 * sim->heap_capacity : 256;
		sim->heap = realloc(sim->heap, sim->heap_capacity * sizeof(*sim->heap));
		if (sim->heap == NULL)
			abort();
	}
	event.time_ns = time_ns;
	event.serial = ++sim->serial;
	for (; at > 0; at = parent) {
		parent = (at - 1) / 2;
		if (!is_before(&event, &sim->heap[parent]))
			break;
		sim->heap[at] = sim->heap[parent];
	}
	sim->heap[at] = event;
}

static bool next_event(struct sim *sim, struct sim_event *event_out)
{
	struct sim_event last;
	uint32_t at = 0;
	uint32_t child;

	if (sim->heap_count == 0)
		return false;
	*event_out = sim->heap[0];
	last = sim->heap[--sim->heap_count];
	for (;; at = child) {
		child = 2 * at + 1;
		if (child >= sim->heap_count)
			break;
		if (child + 1 < sim->heap_count && is_before(&sim->heap[child + 1], &sim->heap[child]))
			child++;
		if (!is_before(&sim->heap[child], &last))
			break;
		sim->heap[at] = sim->heap[child];
	}
	sim->heap[at] = last;
	return true;
}

void sim_trace(struct sim *sim, const char *format, ...)
{
	va_list arguments;
	char *line;
	int prefix;

	if (sim->telling == SIM_SILENT)
		return;
	line = sim->trace[sim->trace_count++ % SIM_TRACE_LINES];
	prefix = snprintf(line, SIM_TRACE_BYTES, "%10.6f  ", (double)sim->now_ns / 1e9);
	va_start(arguments, format);
	(void)vsnprintf(line + prefix, (size_t)(SIM_TRACE_BYTES - prefix), format, arguments);
	va_end(arguments);
	if (sim->telling == SIM_LOUD)
		printf("%s\n", line);
}

void sim_fail(struct sim *sim, const char *format, ...)
{
	va_list arguments;

	if (sim->failed)
		return;
	sim->failed = true;
	if (sim->shells != NULL)
		shell_tell(sim);
	va_start(arguments, format);
	(void)vsnprintf(sim->failure, sizeof(sim->failure), format, arguments);
	va_end(arguments);
	sim_trace(sim, "FAILED: %s", sim->failure);
}

uint64_t sim_between(struct sim *sim, uint64_t low, uint64_t high)
{
	return low + pccl_rng_below(&sim->rng, high - low + 1);
}

pcclRankUuid_t sim_uuid(struct sim *sim)
{
	uint64_t words[2] = {pccl_rng_u64(&sim->rng), pccl_rng_u64(&sim->rng)};
	pcclRankUuid_t uuid;

	memcpy(uuid.data, words, sizeof(uuid.data));
	return uuid;
}

bool sim_chance(struct sim *sim, uint32_t percent)
{
	return pccl_rng_chance(&sim->rng, percent, 100);
}

/* Geometric in steps of an eighth of the mean: close enough to exponential, and the same on every machine. */
uint64_t sim_exponential(struct sim *sim, uint64_t mean)
{
	uint64_t step = mean / 8 + 1;
	uint64_t value = sim_between(sim, 0, step);
	uint32_t rounds = 0;

	while (!pccl_rng_chance(&sim->rng, 1, 9) && ++rounds < 80)
		value += step;
	return value;
}

struct sim_node *sim_add_node(struct sim *sim)
{
	struct sim_node *node;

	if (sim->node_count == SIM_NODES)
		return NULL;
	node = &sim->nodes[sim->node_count];
	node->id = sim->node_count++;
	return node;
}

void sim_count_step(struct sim *sim)
{
	sim->steps++;
	if (sim->now_ns / SIM_SECOND != sim->second) {
		sim->second = sim->now_ns / SIM_SECOND;
		sim->second_steps = 0;
	}
	if (++sim->second_steps > (sim->shells != NULL ? 20 : 1) * SIM_STEPS_PER_SECOND)
		sim_fail(sim, "the machines spin: %llu steps in one second", (unsigned long long)sim->second_steps);
}

void sim_want_tick(struct sim *sim, struct sim_node *node, uint64_t deadline_ns)
{
	struct sim_event event = {.type = SIM_TICK, .node = node->id};
	uint64_t time_ns;

	if (deadline_ns == UINT64_MAX)
		return;
	time_ns = deadline_ns > node->ahead_ns + sim->now_ns ? deadline_ns - node->ahead_ns : sim->now_ns;
	if (node->tick_ns != 0 && node->tick_ns <= time_ns)
		return;
	node->tick_ns = time_ns;
	sim_schedule(sim, time_ns, event);
}

static void tick(struct sim *sim, const struct sim_event *event)
{
	struct sim_node *node = &sim->nodes[event->node];

	if (node->tick_ns != event->time_ns)
		return; /* an earlier one took its place */
	node->tick_ns = 0;
	if (!node->alive || node->paused)
		return;
	if (node->is_master)
		sim_master_tick(sim, node);
	else
		sim_peer_tick(sim, node);
}

static void handle(struct sim *sim, const struct sim_event *event)
{
	struct sim_node *node = &sim->nodes[event->node];

	switch (event->type) {
	case SIM_TICK:
		tick(sim, event);
		break;
	case SIM_PIPE:
		sim_pipe_arrived(sim, event->pipe);
		break;
	case SIM_PROGRAM:
		sim_program(sim, node);
		break;
	case SIM_MET:
		sim_peer_met(sim, node, event);
		break;
	case SIM_FROZEN:
		if (node->paused)
			sim_schedule(sim, sim->now_ns + 20 * SIM_MS, *event);
		else
			sim_peer_frozen(sim, node);
		break;
	case SIM_READY:
		sim_peer_ready(sim, node);
		break;
	case SIM_FORSAKE:
		sim_forsaken(sim, event->number);
		break;
	case SIM_SEGMENT:
		sim_op_segment(sim, node, event);
		break;
	case SIM_FAULT:
		sim_fault(sim, event->number);
		break;
	case SIM_RESUME:
		sim_resume(sim, node);
		break;
	case SIM_HEAL:
		sim_heal(sim, event->node, event->number);
		break;
	case SIM_REVIVE:
		sim_master_start(sim, node);
		break;
	case SIM_LINK:
		sim_link(sim, event);
		break;
	case SIM_SHELL:
		shell_event(sim, event);
		break;
	}
}

static bool made_progress(const struct sim *sim, const uint32_t *steps_before)
{
	uint32_t index;

	for (index = SIM_MASTERS; index < sim->node_count; index++) {
		const struct sim_node *node = &sim->nodes[index];

		if (sim_peer_lives(node) && node->view.view.member_count > 0 && !check_is_kept_out(sim, node) &&
		    node->calls < steps_before[index] + PROGRESS_STEPS)
			return false;
	}
	return true;
}

/* Until everybody shares a view and all callers have gone on since, or time is up. */
static void run_calm(struct sim *sim)
{
	uint64_t end_ns = sim->now_ns + sim->plan.calm_ns;
	uint32_t calls_before[SIM_NODES];
	struct sim_event event;
	const char *why;
	uint32_t index;

	sim_calm_down(sim);
	for (index = 0; index < SIM_NODES; index++)
		calls_before[index] = sim->nodes[index].calls;
	while (!sim->failed && next_event(sim, &event) && event.time_ns < end_ns) {
		uint64_t before_ns = sim->now_ns;

		sim->now_ns = event.time_ns;
		handle(sim, &event);
		if (sim->now_ns / (SIM_SECOND / 2) != before_ns / (SIM_SECOND / 2) &&
		    check_is_settled(sim, &index, &why) && made_progress(sim, calls_before))
			return;
	}
	if (shell_is_at_odds(sim))
		return;
	check_end(sim);
	if (!sim->failed && !made_progress(sim, calls_before))
		sim_fail(sim, "long after the last fault somebody's calls do not return");
}

/* Programs start nothing new: what they have started ends soon. */
static void run_close(struct sim *sim)
{
	uint64_t end_ns = sim->now_ns + CLOSE_NS;
	struct sim_event event;
	uint32_t node;

	sim_trace(sim, "---- close ----");
	shell_close_all(sim);
	while (!sim->failed && !shell_all_done(sim, &node) && next_event(sim, &event)) {
		sim->now_ns = event.time_ns;
		handle(sim, &event);
		if (sim->now_ns <= end_ns)
			continue;
		if (shell_is_at_odds(sim))
			return;
		sim_fail(sim, "long after the last fault an op of node %u does not end", node);
	}
}

/* Everything goes its own way again, however often it had to go another. */
static void run_home(struct sim *sim)
{
	uint64_t end_ns = sim->now_ns + HOME_NS;
	struct sim_event event;

	sim_trace(sim, "---- home ----");
	while (!sim->failed && next_event(sim, &event)) {
		uint64_t before_ns = sim->now_ns;

		sim->now_ns = event.time_ns;
		handle(sim, &event);
		if (sim->now_ns / SIM_SECOND == before_ns / SIM_SECOND)
			continue;
		if (cards_are_home(sim))
			return;
		if (sim->now_ns > end_ns)
			sim_fail(sim, "long after the last fault a network card carries nothing");
	}
}

static void run_forsaken(struct sim *sim)
{
	struct sim_event event;

	sim_trace(sim, "---- forsaken ----");
	sim_forsake(sim);
	while (!sim->failed && !sim->is_over && next_event(sim, &event)) {
		sim->now_ns = event.time_ns;
		handle(sim, &event);
	}
}

static void run_chaos(struct sim *sim)
{
	struct sim_event event;

	sim_faults_start(sim);
	while (!sim->failed && next_event(sim, &event)) {
		sim->now_ns = event.time_ns;
		handle(sim, &event);
		if (sim->now_ns > sim->plan.chaos_ns)
			return;
	}
}

static void clean_up(struct sim *sim)
{
	uint32_t index;

	shell_world_destroy(sim);
	for (index = 0; index < sim->node_count; index++) {
		pccl_master_destroy(sim->nodes[index].master);
		pccl_peer_destroy(sim->nodes[index].peer);
		pccl_install_fini(&sim->nodes[index].view);
		pccl_install_fini(&sim->nodes[index].old_view);
	}
	sim_net_fini(sim);
	sim_seals_destroy(sim);
	check_destroy(sim->check);
	free(sim->heap);
	if (sim_memory_outstanding() != 0)
		sim_fail(sim, "%lld allocations did not come back", (long long)sim_memory_outstanding());
}

static void print_failure(const struct sim *sim)
{
	uint64_t first = sim->trace_count > SIM_TRACE_LINES ? sim->trace_count - SIM_TRACE_LINES : 0;
	uint64_t line;

	for (line = first; sim->telling == SIM_LAST && line < sim->trace_count; line++)
		printf("%s\n", sim->trace[line % SIM_TRACE_LINES]);
	printf("level %u seed %llu failed: %s\n", sim->level, (unsigned long long)sim->plan.seed, sim->failure);
	(void)fflush(stdout); /* who looks for faults aborts now */
}

static struct sim *create(uint64_t seed, uint32_t level, enum sim_telling telling)
{
	struct sim *sim = calloc(1, sizeof(*sim));

	if (sim == NULL)
		abort();
	pccl_rng_seed(&sim->rng, seed);
	sim->telling = telling;
	sim->level = level;
	sim->check = check_create();
	(void)sim_add_node(sim);
	(void)sim_add_node(sim);
	sim_plan_draw(sim, seed);
	if ((seed >= SIM_FORGING_SEEDS && seed < SIM_CARDS_SEEDS) || pccl_rng_hash(seed, 901) % 2 == 0)
		sim_seals_create(sim);
	if (level == 2)
		shell_world_create(sim);
	sim_plan_gentle(sim);
	return sim;
}

/* False: it failed, and that has been said if it was to be. */
static bool destroy(struct sim *sim)
{
	bool good;

	clean_up(sim);
	good = !sim->failed;
	if (!good)
		print_failure(sim);
	free(sim);
	return good;
}

static bool run_once(uint64_t seed, uint32_t level, enum sim_telling telling, uint64_t *steps_out)
{
	struct sim *sim = create(seed, level, telling);

	run_chaos(sim);
	if (!sim->failed)
		run_calm(sim);
	if (!sim->failed && sim_is_forsaken(sim))
		run_forsaken(sim);
	else if (!sim->failed && level == 2)
		run_close(sim);
	if (!sim->failed && level == 2 && sim->shells->plan.cards_fail_ns > 0)
		run_home(sim);
	*steps_out += sim->steps;
	return destroy(sim);
}

static void become(struct sim_rogue *rogue, uint32_t node)
{
	rogue->node = node;
	rogue->nodes |= UINT64_C(1) << node;
}

/* Nothing goes wrong but what the rogue says. */
static void draw_rogue(struct sim *sim, struct sim_rogue *rogue)
{
	const struct sim_plan plan = {.seed = sim->plan.seed,
				      .groups = 1,
				      .peers_max = 2 + (uint32_t)sim_between(sim, 1, 2),
				      .known_masters = 1 + (uint32_t)sim_chance(sim, 25),
				      .delay_mean_ns = SIM_MS,
				      .calm_ns = 60 * SIM_SECOND,
				      .heartbeat_interval_ns = 250 * SIM_MS,
				      .heartbeat_timeout_ns = 1000 * SIM_MS,
				      .return_grace_ns = 1000 * SIM_MS,
				      .spawn_ns = 500 * SIM_MS};

	sim->plan = plan;
	sim->rogue = rogue;
	become(rogue, SIM_MASTERS + (uint32_t)sim_between(sim, 0, plan.peers_max - 1));
}

/* One that was thrown out comes back under another name as long as it has something to say. */
static void run_rogue(struct sim *sim, struct sim_rogue *rogue)
{
	struct sim_event event;

	sim_faults_start(sim);
	while (!sim->failed && sim->now_ns < ROGUE_NS && rogue->bytes.at < rogue->bytes.end &&
	       next_event(sim, &event)) {
		sim->now_ns = event.time_ns;
		handle(sim, &event);
		if (!sim_peer_lives(&sim->nodes[rogue->node])) {
			const struct sim_node *next = sim_peer_join(sim, 0, 0, 0);

			if (next == NULL)
				return;
			become(rogue, next->id);
		}
	}
}

bool sim_run_rogue(const uint8_t *data, size_t bytes, bool loud)
{
	struct sim_rogue rogue = {.bytes = {data + (bytes > 0), data + bytes}, .first = data};
	struct sim *sim = create(bytes > 0 ? data[0] : 0, 2, loud ? SIM_LOUD : SIM_LAST);

	draw_rogue(sim, &rogue);
	run_rogue(sim, &rogue);
	if (sim->nodes[rogue.node].alive)
		sim_peer_stop(sim, &sim->nodes[rogue.node], false);
	if (!sim->failed)
		run_calm(sim);
	if (!sim->failed)
		run_close(sim);
	return destroy(sim);
}

/* What fails in silence is run again, for its last lines. */
bool sim_run(uint64_t seed, uint32_t level, bool loud, uint64_t *steps_out)
{
	if (run_once(seed, level, loud ? SIM_LOUD : SIM_SILENT, steps_out))
		return true;
	if (!loud && run_once(seed, level, SIM_LAST, steps_out))
		printf("level %u seed %llu does not fail when it is run again\n", level, (unsigned long long)seed);
	return false;
}
