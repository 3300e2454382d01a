/* A communicator: what src/comm/comm.c and src/comm/control.c do between the machine, the session and the lanes. */
#include "shell.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "base/uuid.h"
#include "session/session_internal.h"
#include "shell_wire.h"

#define GONE_NS (5 * SIM_SECOND) /* after the end of a communicator all its ops must have ended */
#define HELLO_TIMEOUT_NS (5 * SIM_SECOND)
#define RETRY_NS (20 * SIM_MS) /* while a node is paused */

static void *must(void *memory)
{
	if (memory == NULL)
		abort();
	return memory;
}

void shell_world_create(struct sim *sim)
{
	sim->shells = must(calloc(1, sizeof(*sim->shells)));
	shell_plan_draw(sim);
}

void shell_world_destroy(struct sim *sim)
{
	struct shell_world *world = sim->shells;
	uint32_t node;

	if (world == NULL)
		return;
	for (node = 0; node < sim->node_count; node++)
		shell_destroy(sim, &sim->nodes[node]);
	wires_destroy(sim);
	check_call_fini(world);
	state_records_destroy(world);
	drift_records_destroy(world);
	free(world);
	sim->shells = NULL;
}

void shell_schedule(struct sim *sim, uint64_t time_ns, enum shell_event type, uint32_t node, uint32_t segment,
		    void *object)
{
	struct sim_event event = {
		.type = SIM_SHELL, .number = type, .node = node, .segment = segment, .object = object};

	sim_schedule(sim, time_ns, event);
}

/* ---- life ------------------------------ */

/* As arrived() in src/comm/control.c. */
static void arrived(void *context, struct pccl_stream *stream, const struct pccl_hello *hello)
{
	struct shell *shell = context;

	if (hello->purpose != PCCL_PURPOSE_DATA || hello->group != shell->node->group ||
	    !pccl_uuid_equal(&hello->to, &shell->node->uuid) || hello->lane >= shell->lane_count)
		stream->transport->close(stream, false);
	else if (!pccl_identity_admits(&shell->node->secret, &hello->from, &hello->pass))
		pccl_hello_refuse(&shell->control, stream, PCCL_WELCOME_NEVER, "it can't show that it is who it says");
	else
		shell_lane_adopt(&shell->lanes[hello->lane], stream, hello);
}

static void open_door(struct shell *shell, struct pccl_member *self_out)
{
	struct pccl_address address;
	uint32_t card;

	shell_loop_init(shell, &shell->control, SHELL_LANES);
	card_address(shell->node->id, 0, self_out->addresses[0].host);
	if (pccl_address_numeric(self_out->addresses[0].host, 0, &address) != pcclSuccess ||
	    pccl_doorman_create(&shell->control, &sim_wire, &address, 0, HELLO_TIMEOUT_NS, arrived, shell,
				&shell->doorman) != pcclSuccess)
		abort();
	self_out->address_count = cards_of(shell->sim, shell->node->id);
	for (card = 0; card < self_out->address_count; card++) {
		card_address(shell->node->id, card, self_out->addresses[card].host);
		self_out->addresses[card].port = pccl_doorman_port(shell->doorman);
	}
}

void shell_create(struct sim *sim, struct sim_node *node, struct pccl_member *self_out)
{
	const struct shell_plan *plan = &sim->shells->plan;
	const struct pccl_session_config config = {
		.lanes = (uint32_t)(sim_chance(sim, 80) ? plan->lanes : sim_between(sim, 1, plan->lanes)),
		.plan = pcclPlanAuto,
		.policy = pcclPolicyDefault,
		.zstd = plan->zstd,
		.one_lane_bytes = plan->one_lane_bytes,
		.verifies = plan->verifies,
		.forget_every = plan->forget_every,
		.forget_room = plan->forget_room};
	struct shell *shell = must(calloc(1, sizeof(*shell)));
	uint32_t lane;

	node->shell = shell;
	shell->sim = sim;
	shell->node = node;
	shell->lane_count = config.lanes;
	(void)pccl_session_create(&config, &shell->session);
	for (lane = 0; lane < shell->lane_count; lane++)
		shell_lane_create(shell, lane);
	open_door(shell, self_out);
	caller_loan_borrow(shell);
	self_out->lanes = (uint16_t)config.lanes;
	self_out->streams = (uint16_t)plan->streams;
}

/* As pccl_comm_stop(): the threads stop where they are. */
void shell_destroy(struct sim *sim, struct sim_node *node)
{
	struct shell *shell = node->shell;
	uint32_t lane;

	if (shell == NULL)
		return;
	node->shell = NULL;
	buffer_open_graves(shell, 0);
	pccl_doorman_destroy(shell->doorman);
	for (lane = 0; lane < shell->lane_count; lane++)
		shell_lane_destroy(&shell->lanes[lane]);
	while (shell->first_post != NULL) {
		struct post *post = shell->first_post;

		shell->first_post = post->next;
		pccl_op_reports_destroy(post->event.reports, post->event.report_count);
		free(post);
	}
	pccl_session_destroy(shell->session);
	caller_state_destroy(shell);
	caller_loan_destroy(shell);
	caller_destroy(shell);
	free(shell->eras);
	free(shell);
	(void)sim;
}

/* ---- control thread ------------------------------ */

void shell_post(struct shell *shell, const struct pccl_peer_event *event)
{
	struct sim *sim = shell->sim;
	struct post *post = must(calloc(1, sizeof(*post)));

	post->event = *event;
	if (event->text != NULL)
		snprintf(post->text, sizeof(post->text), "%s", event->text);
	post->event.text = event->text != NULL || event->type != PCCL_PEER_MET ? post->text : NULL;
	post->time_ns = sim->now_ns + sim_exponential(sim, sim->shells->plan.command_ns);
	if (post->time_ns < shell->last_post_ns)
		post->time_ns = shell->last_post_ns;
	shell->last_post_ns = post->time_ns;
	if (shell->last_post != NULL)
		shell->last_post->next = post;
	else
		shell->first_post = post;
	shell->last_post = post;
	shell_schedule(sim, post->time_ns, SHELL_POST, shell->node->id, 0, NULL);
}

static void frozen(struct shell *shell, struct pccl_peer_event *event)
{
	event->epoch = shell->node->freeze_epoch;
	(void)pccl_session_reports(shell->session, &event->reports, &event->report_count);
}

static void run_post(struct shell *shell)
{
	struct post *post = shell->first_post;

	if (post == NULL)
		return;
	shell->first_post = post->next;
	if (shell->first_post == NULL)
		shell->last_post = NULL;
	if (post->event.type == PCCL_PEER_FROZEN)
		frozen(shell, &post->event);
	sim_peer_feed(shell->sim, shell->node, &post->event);
	if (post->event.type == PCCL_PEER_VOTE && post->event.vote == PCCL_VOTE_UPDATE && shell->node->voting != 0 &&
	    !shell->node->vote_again) {
		pccl_session_begin_update(shell->session);
		shell_dispatch(shell);
	}
	free(post);
}

void shell_dispatch(struct shell *shell)
{
	struct pccl_command *command;

	while ((command = pccl_session_poll(shell->session)) != NULL) {
		if (command->type != PCCL_COMMAND_ENDED) {
			shell_lane_command(&shell->lanes[command->lane], command);
			continue;
		}
		if (command->op->key.tag == PCCL_STATE_TAG)
			caller_state_ended(shell);
		else
			caller_ended(shell, command->op);
	}
}

void shell_voted(struct shell *shell, uint32_t joint)
{
	pccl_session_end_joint(shell->session, joint);
	shell_dispatch(shell);
}

uint64_t shell_blocked(const struct shell *shell, const uint64_t *missed)
{
	uint64_t blocked = pccl_session_blocked(shell->session, missed);

	return blocked == 0 && shell->state != NULL ? UINT64_C(1) << 63 | shell->node->calls : blocked;
}

void shell_freeze(struct shell *shell)
{
	pccl_session_freeze(shell->session);
	shell_dispatch(shell);
}

static void add_era(struct shell *shell, const struct pccl_view *view)
{
	struct era *era;
	uint32_t rank;
	uint32_t node;

	shell->eras = must(realloc(shell->eras, (shell->era_count + 1) * sizeof(*shell->eras)));
	era = &shell->eras[shell->era_count++];
	memset(era, 0, sizeof(*era));
	era->epoch = view->epoch;
	era->count = view->member_count;
	for (rank = 0; rank < view->member_count; rank++)
		for (node = SIM_MASTERS; node < shell->sim->node_count; node++)
			if (pccl_uuid_equal(&shell->sim->nodes[node].uuid, &view->members[rank].uuid))
				era->nodes[rank] = node;
}

void shell_install(struct shell *shell, const struct pccl_install *install)
{
	add_era(shell, &install->view);
	caller_decided(shell, install);
	if (pccl_session_install(shell->session, install, shell->node->rank) != pcclSuccess)
		sim_fail(shell->sim, "node %u can't install its view", shell->node->id);
	shell_dispatch(shell);
}

void shell_meet(struct shell *shell, const struct pccl_message_meet *meet)
{
	const struct pccl_meet_how how = {.number = meet->number, .dials = meet->dials, .anew = meet->anew};

	if (pccl_session_meet(shell->session, &how, &meet->strangers) != pcclSuccess)
		sim_fail(shell->sim, "node %u can't meet newcomers", shell->node->id);
	shell_dispatch(shell);
}

/* As pccl_comm_end(). Its caller sees that, takes the results and destroys it. */
void shell_end(struct shell *shell, pcclResult_t result, const char *text)
{
	struct sim *sim = shell->sim;

	if (!shell->ended) {
		shell->ended = true;
		pccl_session_end(shell->session, result, text);
		shell_dispatch(shell);
		if (shell->state != NULL)
			sim_program_wake(sim, shell->node);
	}
	if (!shell->gone_queued)
		shell_schedule(sim, sim->now_ns + GONE_NS, SHELL_GONE, shell->node->id, 0, NULL);
	shell->gone_queued = true;
}

void shell_leave(struct shell *shell)
{
	const struct pccl_peer_event event = {.type = PCCL_PEER_LEAVE};

	sim_trace(shell->sim, "node %u leaves", shell->node->id);
	shell_post(shell, &event);
	shell_end(shell, pcclAborted, "the communicator was aborted");
}

static void gone(struct sim *sim, struct sim_node *node)
{
	(void)caller_collect(node->shell, 100);
	if (!node->stuck && !caller_idle(node->shell))
		sim_fail(sim, "the communicator of node %u ended, but an op did not", node->id);
	if (node->ended)
		shell_destroy(sim, node);
	else
		shell_schedule(sim, sim->now_ns + GONE_NS, SHELL_GONE, node->id, 0, NULL);
}

static void tell_call(const struct shell *shell, const struct call *call)
{
	uint32_t lane;

	sim_trace(shell->sim, "  node %u: op %u.%u, attempt %d, settled %d, ended %d", shell->node->id,
		  (unsigned)call->op->key.tag, call->op->key.sequence, call->op->attempt != NULL, call->op->settled,
		  call->op->ended);
	for (lane = 0; lane < shell->lane_count && call->op->attempt != NULL; lane++) {
		uint64_t waits_for[PCCL_RANKS_MAX / 64] = {0};
		bool complete;
		uint64_t held[64] = {0};

		pccl_exec_waits_for(pccl_lane_exec(shell->lanes[lane].lane), call->op->attempt, waits_for);
		pccl_exec_report(pccl_lane_exec(shell->lanes[lane].lane), call->op->attempt, held, &complete);
		sim_trace(shell->sim, "    lane %u: waits for %llx, holds %llx, complete %d", lane,
			  (unsigned long long)waits_for[0], (unsigned long long)held[0], complete);
	}
}

void shell_tell(struct sim *sim)
{
	uint32_t node;
	uint32_t index;

	for (node = SIM_MASTERS; node < sim->node_count; node++) {
		const struct shell *shell = sim->nodes[node].shell;

		if (shell == NULL)
			continue;
		sim_trace(sim, "  node %u: step %u of %u, voting %u, ended %d, frozen %d, queued %d", node,
			  sim->nodes[node].step, shell->last_step, sim->nodes[node].voting, shell->ended,
			  sim->nodes[node].frozen, sim->nodes[node].queued);
		if (shell->state != NULL)
			sim_trace(sim, "  node %u: is in a call about states", node);
		for (index = 0; index < SHELL_CALLS; index++) {
			if (shell->calls[index].state == CALL_WAITING)
				sim_trace(sim, "  node %u: tag %u is to be launched", node,
					  (unsigned)shell->calls[index].spec.operation.tag);
			else if (shell->calls[index].state == CALL_LAUNCHED)
				tell_call(shell, &shell->calls[index]);
		}
	}
}

void shell_close_all(struct sim *sim)
{
	uint32_t node;

	sim->shells->closing = true;
	for (node = SIM_MASTERS; node < sim->node_count; node++)
		if (sim_peer_lives(&sim->nodes[node]))
			caller_close(sim->nodes[node].shell);
}

/* Does a member of the view live who is still to launch the op? */
static bool is_owed(const struct sim *sim, const struct sim_node *node, const struct pccl_op *op)
{
	const struct pccl_view *view = &node->view.view;
	uint32_t other, rank;

	for (other = SIM_MASTERS; other < sim->node_count; other++) {
		const struct sim_node *member = &sim->nodes[other];

		if (sim_peer_lives(member) && pccl_view_rank(view, &member->uuid, &rank) &&
		    pccl_session_next(member->shell->session, op->key.tag) <= op->key.sequence)
			return true;
	}
	return false;
}

bool shell_is_at_odds(const struct sim *sim)
{
	uint32_t node, index;

	for (node = SIM_MASTERS; sim->rogue != NULL && node < sim->node_count; node++) {
		const struct shell *shell = sim->nodes[node].shell;

		for (index = 0; index < SHELL_CALLS && sim_peer_lives(&sim->nodes[node]); index++)
			if (shell->calls[index].state == CALL_LAUNCHED && shell->calls[index].op->numbered &&
			    is_owed(sim, &sim->nodes[node], shell->calls[index].op))
				return true;
	}
	return false;
}

bool shell_all_done(const struct sim *sim, uint32_t *node_out)
{
	uint32_t node;

	for (node = SIM_MASTERS; node < sim->node_count; node++) {
		*node_out = node;
		if (sim_peer_lives(&sim->nodes[node]) && !caller_done(sim->nodes[node].shell))
			return false;
	}
	return true;
}

/* ---- events ------------------------------ */

static void node_event(struct sim *sim, struct sim_node *node, const struct sim_event *event)
{
	struct shell *shell = node->shell;

	if (shell == NULL)
		return;
	if (node->paused) {
		sim_schedule(sim, sim->now_ns + RETRY_NS, *event);
		return;
	}
	switch ((enum shell_event)event->number) {
	case SHELL_LANE:
		if (!node->stuck)
			shell_lane_run(&shell->lanes[event->segment]);
		break;
	case SHELL_TURN:
		loop_event(event->segment == SHELL_LANES ? &shell->control : &shell->lanes[event->segment].loop);
		break;
	case SHELL_POST:
		run_post(shell);
		break;
	case SHELL_DEADLINE:
		caller_deadline(sim, shell, event->object);
		break;
	case SHELL_GONE:
		gone(sim, node);
		break;
	default:
		abort();
	}
}

void shell_event(struct sim *sim, const struct sim_event *event)
{
	sim_count_step(sim);
	if (event->number == SHELL_BREAK)
		shell_fault_break(sim);
	else if (event->number == SHELL_CARD)
		cards_fault(sim);
	else if (event->number == SHELL_CARD_HEAL)
		cards_heal(sim, event->node, event->segment, event->attempt != 0);
	else if (event->number == SHELL_WATCH)
		cards_watch(sim);
	else
		node_event(sim, &sim->nodes[event->node], event);
}
