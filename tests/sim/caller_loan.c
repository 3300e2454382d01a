/*
 * What newcomers fetch before they are admitted, as src/comm/monitor_loan.c has it. In one of four worlds every
 * newcomer fetches until it is a member; members lend now and then. A lender's tensors are full of its number, so what
 * a newcomer got can be told: what has not come is its own still, the rest is some lender's. When a loan has ended the
 * memory is poisoned: nobody reads it, for payloads that change on their way are noticed, and nobody writes it. Nothing
 * here draws, so that what was found in other worlds before there was this is found there still.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/uuid.h"
#include "caller_state.h"

enum { LOAN_TENSORS = 7, OPEN = 0, FETCH, CLOSE, ORDERS };

#define OWN 0xff /* what a newcomer has; no node has this number */

struct loan {
	bool borrows;
	bool closing;
	uint32_t lanes_open;
	uint32_t lanes_fetching;
	uint8_t *memory[LOAN_TENSORS];
	pcclTensorInfo_t infos[LOAN_TENSORS];
	char names[LOAN_TENSORS][12];
	pcclSharedState_t state;
	struct pccl_inventory *inventory;
	struct pccl_fetch fetch;
	uint8_t progress[LOAN_TENSORS];
	struct pccl_state_order orders[ORDERS];
	struct pccl_command commands[ORDERS][SHELL_LANES];
};

static size_t bytes_of(uint32_t tensor)
{
	return 1 + (size_t)tensor * tensor * 97;
}

static struct loan *make(const struct shell *shell, bool borrows)
{
	struct loan *loan = state_must(calloc(1, sizeof(*loan)));
	uint32_t tensor;

	loan->borrows = borrows;
	loan->lanes_open = shell->lane_count;
	for (tensor = 0; tensor < LOAN_TENSORS; tensor++) {
		snprintf(loan->names[tensor], sizeof(loan->names[tensor]), "%u", tensor);
		loan->memory[tensor] = state_must(malloc(bytes_of(tensor)));
		memset(loan->memory[tensor], borrows ? OWN : (int)shell->node->id, bytes_of(tensor));
		loan->infos[tensor] = (pcclTensorInfo_t){
			.name = loan->names[tensor], .data = loan->memory[tensor], .count = bytes_of(tensor)};
	}
	loan->state = (pcclSharedState_t){.count = LOAN_TENSORS, .infos = loan->infos};
	if (pccl_inventory_create(&loan->state, &loan->inventory) != pcclSuccess)
		abort();
	return loan;
}

static void post(struct shell *shell, int which, enum pccl_agreement_step step)
{
	struct loan *loan = shell->loan;
	uint32_t lane;

	loan->orders[which] = (struct pccl_state_order){.step = step,
							.early = true,
							.sync = 1 + shell->node->group,
							.serves = !loan->borrows,
							.inventory = loan->inventory,
							.fetch = &loan->fetch};
	for (lane = 0; lane < shell->lane_count; lane++) {
		struct pccl_command *command = &loan->commands[which][lane];

		command->type = PCCL_COMMAND_BACKGROUND;
		command->lane = lane;
		command->order = &loan->orders[which];
		shell_lane_command(&shell->lanes[lane], command);
	}
}

/* ---- what must have come of it ------------------------------ */

static bool may_be(uint8_t byte, uint8_t progress)
{
	if (byte == OWN)
		return progress != PCCL_FETCH_DONE;
	if (progress == PCCL_FETCH_UNTOUCHED)
		return false;
	return (byte >= SIM_MASTERS && byte < SIM_NODES) || byte == SHELL_POISON;
}

/* A source that lends anew, or is lost, while a part of it comes, leaves a mixture: what had come before stays, which
 * the wires make poison, and what is under way may still come. */
static void check_tensor(const struct shell *shell, uint32_t tensor)
{
	const uint8_t *bytes = shell->loan->memory[tensor];
	const uint8_t progress = shell->loan->progress[tensor];
	size_t at;

	for (at = 0; at < bytes_of(tensor); at++) {
		if (may_be(bytes[at], progress))
			continue;
		sim_fail(shell->sim, "node %u has fetched %u for byte %zu of tensor %u, with progress %u",
			 shell->node->id, bytes[at], at, tensor, progress);
		return;
	}
}

static void check_borrowed(const struct shell *shell)
{
	const struct loan *loan = shell->loan;
	uint32_t tensor, fetched = 0;

	for (tensor = 0; tensor < LOAN_TENSORS; tensor++) {
		fetched += loan->progress[tensor] == PCCL_FETCH_DONE;
		if (shell->sim->rogue == NULL)
			check_tensor(shell, tensor);
	}
	sim_trace(shell->sim, "node %u has fetched %u tensors", shell->node->id, fetched);
}

static void bury(struct shell *shell)
{
	struct loan *loan = shell->loan;
	uint32_t tensor;

	for (tensor = 0; tensor < LOAN_TENSORS; tensor++) {
		struct grave *grave = state_must(calloc(1, sizeof(*grave)));

		grave->memory = loan->memory[tensor];
		grave->bytes = bytes_of(tensor);
		memset(grave->memory, SHELL_POISON, grave->bytes);
		grave->next = shell->graves;
		shell->graves = grave;
	}
	pccl_inventory_destroy(loan->inventory);
	free(loan);
	shell->loan = NULL;
}

void caller_loan_transferred(void *context, uint32_t lane, const struct pccl_transfer_outcome *outcome)
{
	const struct pccl_peer_event ready = {.type = PCCL_PEER_READY};
	struct shell *shell = context;
	struct loan *loan = shell->loan;

	(void)lane;
	if (outcome->event == PCCL_TRANSFER_FETCHED) {
		if (--loan->lanes_fetching == 0)
			shell_post(shell, &ready);
		return;
	}
	if (--loan->lanes_open > 0)
		return;
	if (loan->borrows)
		check_borrowed(shell);
	bury(shell);
}

/* ---- what is to be done ------------------------------ */

static bool is_wanted(const struct shell *shell)
{
	return pccl_rng_hash(shell->sim->plan.seed, 901) % 4 == 0;
}

void caller_loan_borrow(struct shell *shell)
{
	struct loan *loan;

	if (!is_wanted(shell))
		return;
	loan = shell->loan = make(shell, true);
	post(shell, OPEN, PCCL_AGREEMENT_OPEN);
	loan->lanes_fetching = shell->lane_count;
	loan->fetch = (struct pccl_fetch){.space = PCCL_STATE_CHUNKS,
					  .patient = true,
					  .lanes = shell->lane_count,
					  .count = LOAN_TENSORS,
					  .progress = loan->progress,
					  .little_bytes = pccl_rng_hash(shell->sim->plan.seed, 902) % 2000};
	post(shell, FETCH, PCCL_AGREEMENT_FETCH);
}

static void end(struct shell *shell)
{
	if (shell->loan->closing)
		return;
	shell->loan->closing = true;
	post(shell, CLOSE, PCCL_AGREEMENT_CLOSE);
}

/* A member does something. */
void caller_loan_step(struct shell *shell)
{
	const uint64_t chosen = pccl_rng_hash(shell->sim->plan.seed ^ shell->node->id, 903 + shell->node->step);

	if (!is_wanted(shell))
		return;
	if (shell->loan == NULL && chosen % 3 == 0) {
		shell->loan = make(shell, false);
		post(shell, OPEN, PCCL_AGREEMENT_OPEN);
	} else if (shell->loan != NULL && (shell->loan->borrows || chosen % 11 == 1)) {
		end(shell);
	}
}

/* The lanes are gone. */
void caller_loan_destroy(struct shell *shell)
{
	uint32_t tensor;

	if (shell->loan == NULL)
		return;
	for (tensor = 0; tensor < LOAN_TENSORS; tensor++)
		free(shell->loan->memory[tensor]);
	pccl_inventory_destroy(shell->loan->inventory);
	free(shell->loan);
	shell->loan = NULL;
}
