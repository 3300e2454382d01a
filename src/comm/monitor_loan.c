/* Tensors that newcomers may read before they are admitted, and those that this peer fills as a newcomer. All that the
 * lanes' orders need is made with the loan: to end one nothing can fail. */
#include <assert.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "comm/lane_state.h"
#include "comm/monitor_internal.h"
#include "device/state.h"

#define FETCHING_LANES 1 /* the first: others may have no more, and what comes by the way need not be fast */

enum { OPEN, FETCH, CLOSE, ORDERS };

struct pccl_loan {
	struct pccl_inventory *inventory;
	struct pccl_shadow *shadow;
	bool open; /* lanes have been told */
	uint32_t lanes, lanes_open, lanes_fetching;
	struct pccl_fetch fetch; /* of who borrows, as the next ones */
	uint32_t *chunks;	 /* that have not come in an earlier attempt */
	uint8_t *progress;
	uint64_t rx_bytes; /* in all attempts */
	void *tag;
	struct pccl_state_order orders[ORDERS];
	struct pccl_command commands[ORDERS][PCCL_LANES_MAX];
};

/* ---- life ------------------------------ */

pcclResult_t pccl_loan_create(struct pccl_inventory *inventory, struct pccl_shadow *shadow, bool borrows, void *tag,
			      struct pccl_loan **loan_out)
{
	struct pccl_loan *loan = pccl_zalloc(sizeof(*loan));

	*loan_out = NULL;
	if (loan == NULL)
		return pcclOutOfMemory;
	if (borrows) {
		loan->chunks = pccl_calloc(inventory->chunk_count, sizeof(*loan->chunks));
		loan->progress = pccl_calloc(inventory->chunk_count, sizeof(*loan->progress));
		if (loan->chunks == NULL || loan->progress == NULL) {
			pccl_free(loan->chunks);
			pccl_free(loan->progress);
			pccl_free(loan);
			return pcclOutOfMemory;
		}
		for (; loan->fetch.count < inventory->chunk_count; loan->fetch.count++)
			loan->chunks[loan->fetch.count] = loan->fetch.count;
	}
	loan->inventory = inventory;
	loan->shadow = shadow;
	loan->tag = tag;
	*loan_out = loan;
	return pcclSuccess;
}

static void destroy(struct pccl_loan *loan)
{
	if (loan == NULL)
		return;
	assert(loan->lanes_open == 0);
	pccl_shadow_destroy(loan->shadow);
	pccl_inventory_destroy(loan->inventory);
	pccl_free(loan->chunks);
	pccl_free(loan->progress);
	pccl_free(loan);
}

/* ---- orders ------------------------------ */

/* Who has other tensors has another number, and asks nobody. */
static uint64_t number_of(const struct pccl_inventory *inventory)
{
	const struct pccl_digest root = pccl_inventory_keys_root(inventory);
	uint64_t number;

	memcpy(&number, root.bytes, sizeof(number));
	return number;
}

static void post(struct pccl_monitor *monitor, struct pccl_loan *loan, int which, enum pccl_agreement_step step,
		 uint32_t lanes)
{
	struct pccl_state_order *order = &loan->orders[which];
	uint32_t lane;

	order->early = true;
	order->step = step;
	order->sync = number_of(loan->inventory);
	order->serves = loan->chunks == NULL;
	order->inventory = loan->inventory;
	order->fetch = &loan->fetch;
	for (lane = 0; lane < lanes; lane++) {
		struct pccl_command *command = &loan->commands[which][lane];

		command->type = PCCL_COMMAND_BACKGROUND;
		command->lane = lane;
		command->order = order;
		pccl_monitor_put_command(monitor, command);
	}
}

static void open_loan(struct pccl_monitor *monitor, struct pccl_loan *loan)
{
	assert(!loan->open && loan->lanes_open == 0);
	loan->open = true;
	loan->lanes = monitor->self->settings.lanes;
	loan->lanes_open = loan->lanes;
	post(monitor, loan, OPEN, PCCL_AGREEMENT_OPEN, loan->lanes);
}

/* When it returns no lane reads or writes the tensors any more. */
static void close_loan(struct pccl_monitor *monitor, struct pccl_loan *loan)
{
	if (!loan->open)
		return;
	post(monitor, loan, CLOSE, PCCL_AGREEMENT_CLOSE, loan->lanes);
	while (loan->lanes_open > 0 && monitor->attached)
		pccl_monitor_wait(monitor, &monitor->changed, PCCL_NEVER);
	loan->open = false;
	loan->lanes_open = 0;
}

static void note_closed(struct pccl_monitor *monitor, struct pccl_loan *loan)
{
	assert(loan->lanes_open > 0);
	if (--loan->lanes_open == 0)
		pthread_cond_broadcast(&monitor->changed);
}

/* Whatever came of it: nothing more comes. */
static void note_fetched(struct pccl_monitor *monitor, struct pccl_loan *loan)
{
	const struct pccl_peer_event event = {.type = PCCL_PEER_READY};

	assert(loan->lanes_fetching > 0);
	if (--loan->lanes_fetching == 0)
		pccl_monitor_tell_locked(monitor, &event);
}

void pccl_monitor_visited(struct pccl_monitor *monitor, const struct pccl_transfer_outcome *outcome)
{
	pthread_mutex_lock(&monitor->lock);
	assert(monitor->loan != NULL && monitor->loan->open);
	if (outcome->event == PCCL_TRANSFER_CLOSED)
		note_closed(monitor, monitor->loan);
	else
		note_fetched(monitor, monitor->loan);
	pthread_mutex_unlock(&monitor->lock);
}

/* ---- lending ------------------------------ */

/* Not what is borrowed and still being fetched: that is the connecting thread's. */
static bool is_fetching(const struct pccl_monitor *monitor)
{
	return monitor->loan != NULL && monitor->loan->chunks != NULL && monitor->loan->open;
}

static void end_loan(struct pccl_monitor *monitor)
{
	if (monitor->loan == NULL)
		return;
	close_loan(monitor, monitor->loan);
	destroy(monitor->loan);
	monitor->loan = NULL;
}

pcclResult_t pccl_monitor_lend(struct pccl_monitor *monitor, struct pccl_loan *loan)
{
	pcclResult_t result = pccl_monitor_enter(monitor);

	if (result != pcclSuccess) {
		destroy(loan);
		return result;
	}
	pccl_monitor_wait_for_turn(monitor);
	if (is_fetching(monitor)) {
		result = pccl_fail(pcclInvalidUsage, "pcclConnect() has not returned yet");
		destroy(loan);
	} else {
		end_loan(monitor);
		monitor->loan = loan;
		open_loan(monitor, loan);
	}
	pccl_monitor_end_turn(monitor);
	pccl_monitor_leave(monitor);
	return result;
}

/* A PCCL 1.0 program joins again: the lanes that read what it has lent are on their way out. */
static bool is_being_forgotten(const struct pccl_monitor *monitor)
{
	return monitor->state == PCCL_MONITOR_JOINING && monitor->loan != NULL && monitor->loan->chunks == NULL;
}

void pccl_monitor_take_back(struct pccl_monitor *monitor)
{
	pthread_mutex_lock(&monitor->lock);
	monitor->callers++;
	while (is_being_forgotten(monitor))
		pccl_monitor_wait(monitor, &monitor->changed, PCCL_NEVER);
	pccl_monitor_wait_for_turn(monitor);
	if ((monitor->state == PCCL_MONITOR_MEMBER || monitor->state == PCCL_MONITOR_ENDED) && !is_fetching(monitor))
		end_loan(monitor);
	pccl_monitor_end_turn(monitor);
	pccl_monitor_leave(monitor);
}

void pccl_monitor_forget_loan(struct pccl_monitor *monitor, bool for_good)
{
	if (monitor->loan == NULL)
		return;
	monitor->loan->open = false; /* no lane is left */
	monitor->loan->lanes_open = 0;
	if (monitor->loan->chunks != NULL && !for_good)
		return; /* the next attempt to connect goes on */
	destroy(monitor->loan);
	monitor->loan = NULL;
	pthread_cond_broadcast(&monitor->changed);
}

/* ---- borrowing ------------------------------ */

pcclResult_t pccl_monitor_borrow(struct pccl_monitor *monitor, struct pccl_loan *loan)
{
	pcclResult_t result = pcclSuccess;

	pthread_mutex_lock(&monitor->lock);
	if (monitor->state != PCCL_MONITOR_IDLE) {
		result = pccl_fail(pcclInvalidUsage, "only before pcclConnect() something can be prefetched");
	} else {
		destroy(monitor->loan);
		monitor->loan = loan;
	}
	pthread_mutex_unlock(&monitor->lock);
	if (result != pcclSuccess)
		destroy(loan);
	return result;
}

bool pccl_monitor_begin_borrowing(struct pccl_monitor *monitor)
{
	struct pccl_loan *loan = monitor->loan;

	if (loan == NULL)
		return false;
	open_loan(monitor, loan);
	loan->lanes_fetching = FETCHING_LANES;
	memset(loan->progress, 0, loan->inventory->chunk_count);
	loan->fetch.space = PCCL_STATE_CHUNKS;
	loan->fetch.patient = true;
	loan->fetch.lanes = FETCHING_LANES;
	loan->fetch.chunks = loan->chunks;
	loan->fetch.progress = loan->progress;
	loan->fetch.little_bytes = PCCL_TRANSFER_LITTLE_BYTES;
	post(monitor, loan, FETCH, PCCL_AGREEMENT_FETCH, FETCHING_LANES);
	return true;
}

/* What has come is not asked for again. A digest that is not what it was tells the shadow that the chunk is another. */
static void drop_done(struct pccl_loan *loan)
{
	uint32_t index, left = 0;
	size_t bytes;

	for (index = 0; index < loan->fetch.count; index++) {
		const uint32_t chunk = loan->chunks[index];

		if (loan->progress[index] == PCCL_FETCH_UNTOUCHED) {
			loan->chunks[left++] = chunk;
			continue;
		}
		memset(&loan->inventory->leaves[chunk], 0xff, sizeof(loan->inventory->leaves[chunk]));
		if (loan->progress[index] != PCCL_FETCH_DONE) {
			loan->chunks[left++] = chunk;
			continue;
		}
		(void)pccl_inventory_place(loan->inventory, chunk, &bytes);
		loan->rx_bytes += bytes;
	}
	loan->fetch.count = left;
}

void pccl_monitor_end_borrowing(struct pccl_monitor *monitor)
{
	if (monitor->loan == NULL || !monitor->loan->open)
		return;
	close_loan(monitor, monitor->loan);
	drop_done(monitor->loan);
}

/* Under the lock. */
static struct pccl_loan *take_borrowed(struct pccl_monitor *monitor)
{
	struct pccl_loan *loan = monitor->loan;

	if (loan == NULL || loan->chunks == NULL || loan->open)
		return NULL;
	monitor->loan = NULL;
	return loan;
}

bool pccl_monitor_settle_borrowed(struct pccl_monitor *monitor, struct pccl_borrowed *borrowed_out)
{
	struct pccl_loan *loan;

	pthread_mutex_lock(&monitor->lock);
	loan = take_borrowed(monitor);
	pthread_mutex_unlock(&monitor->lock);
	if (loan == NULL)
		return false;
	borrowed_out->rx_bytes = loan->rx_bytes;
	borrowed_out->tag = loan->tag;
	borrowed_out->result = pccl_shadow_upload(loan->shadow);
	pthread_mutex_lock(&monitor->lock);
	if (monitor->state == PCCL_MONITOR_IDLE && monitor->loan == NULL) {
		monitor->loan = loan;
		loan = NULL;
	}
	pthread_mutex_unlock(&monitor->lock);
	destroy(loan);
	return true;
}
