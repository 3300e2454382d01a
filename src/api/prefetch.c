/* State for newcomers, before they are admitted. */
#include <stddef.h>

#include <pccl.h>
#include <pccl/state.h>

#include "api/library.h"
#include "api/prefetch.h"
#include "api/shared_state.h"
#include "base/fail.h"
#include "base/sized.h"
#include "comm/monitor.h"
#include "device/state.h"

static const struct pccl_sized info_kind = {.name = "info",
					    .initializer = "PCCL_STATE_SYNC_INFO_INITIALIZER",
					    .least = offsetof(pcclStateSyncInfo_t, tx_bytes) + sizeof(uint64_t),
					    .known = offsetof(pcclStateSyncInfo_t, reserved)};

static pcclResult_t check(const pcclComm_t *communicator, const pcclSharedState_t *state,
			  struct pccl_monitor **monitor_out)
{
	pcclResult_t result = pccl_library_check_comm(communicator, monitor_out);

	if (result == pcclSuccess && state == NULL)
		result = pccl_fail(pcclInvalidArgument, "state is NULL");
	return result == pcclSuccess ? pccl_shared_state_check(state) : result;
}

/* Of what lies on devices pages of the host have the content from now on. */
static pcclResult_t make_loan(const struct pccl_monitor *monitor, const pcclSharedState_t *state, bool borrows,
			      void *tag, struct pccl_loan **loan_out)
{
	struct pccl_inventory *inventory;
	struct pccl_shadow *shadow = NULL;
	pcclResult_t result = pccl_inventory_create(state, &inventory);

	if (result != pcclSuccess)
		return result;
	inventory->digest_kind = pccl_monitor_digest_kind(monitor);
	result = pccl_shadow_create(inventory, &shadow);
	if (result == pcclSuccess) {
		pccl_shadow_download(shadow);
		result = pccl_shadow_upload(shadow); /* nothing has changed: says whether that went well */
	}
	if (result == pcclSuccess)
		result = pccl_loan_create(inventory, shadow, borrows, tag, loan_out);
	if (result == pcclSuccess)
		return pcclSuccess;
	pccl_shadow_destroy(shadow);
	pccl_inventory_destroy(inventory);
	return result;
}

pcclResult_t pcclStateLend(const pcclComm_t *communicator, const pcclSharedState_t *state)
{
	struct pccl_monitor *monitor;
	struct pccl_standing standing;
	struct pccl_loan *loan;
	pcclResult_t result = check(communicator, state, &monitor);

	if (result == pcclSuccess)
		result = pccl_monitor_look(monitor, &standing);
	if (result == pcclSuccess)
		result = make_loan(monitor, state, false, NULL, &loan);
	return result == pcclSuccess ? pccl_monitor_lend(monitor, loan) : result;
}

pcclResult_t pcclStateTakeBack(const pcclComm_t *communicator)
{
	struct pccl_monitor *monitor;
	pcclResult_t result = pccl_library_check_comm(communicator, &monitor);

	if (result == pcclSuccess)
		pccl_monitor_take_back(monitor);
	return result;
}

pcclResult_t pcclStatePrefetch(const pcclComm_t *communicator, const pcclSharedState_t *state,
			       pcclStateSyncInfo_t *info_out)
{
	struct pccl_monitor *monitor;
	struct pccl_loan *loan = NULL;
	pcclResult_t result = info_out != NULL ? pccl_sized_check(&info_kind, info_out) : pcclSuccess;

	if (result == pcclSuccess && state == NULL)
		result = pccl_library_check_comm(communicator, &monitor);
	else if (result == pcclSuccess)
		result = check(communicator, state, &monitor);
	if (result == pcclSuccess && state != NULL)
		result = make_loan(monitor, state, true, info_out, &loan);
	return result == pcclSuccess ? pccl_monitor_borrow(monitor, loan) : result;
}

pcclResult_t pccl_prefetch_settle(struct pccl_monitor *monitor)
{
	pcclStateSyncInfo_t info = PCCL_STATE_SYNC_INFO_INITIALIZER;
	struct pccl_borrowed borrowed;

	if (!pccl_monitor_settle_borrowed(monitor, &borrowed))
		return pcclSuccess;
	info.rx_bytes = borrowed.rx_bytes;
	info.rx_wire_bytes = borrowed.rx_bytes;
	if (borrowed.tag != NULL)
		pccl_sized_write(&info_kind, &info, borrowed.tag);
	return borrowed.result;
}
