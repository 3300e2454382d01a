/* Shared state between peers. */
#include <stddef.h>
#include <string.h>
#include <sys/random.h>

#include <pccl.h>
#include <pccl/state.h>

#include "api/library.h"
#include "api/shared_state.h"
#include "base/choice.h"
#include "base/fail.h"
#include "base/memory.h"
#include "base/sized.h"
#include "comm/monitor.h"
#include "device/state.h"
#include "sync/state/kept.h"
#include "transport/loop/loop.h"

static const struct pccl_sized options_kind = {.name = "options",
					       .initializer = "PCCL_STATE_SYNC_OPTIONS_INITIALIZER",
					       .least = sizeof(size_t),
					       .known = offsetof(pcclStateSyncOptions_t, reserved)};
static const struct pccl_sized info_kind = {.name = "info",
					    .initializer = "PCCL_STATE_SYNC_INFO_INITIALIZER",
					    .least = offsetof(pcclStateSyncInfo_t, tx_bytes) + sizeof(uint64_t),
					    .known = offsetof(pcclStateSyncInfo_t, reserved)};

static const struct pccl_sized drift_kind = {.name = "drift",
					     .initializer = "PCCL_STATE_DRIFT_INITIALIZER",
					     .least = offsetof(pcclStateDrift_t, tensor) + sizeof(uint64_t),
					     .known = offsetof(pcclStateDrift_t, reserved)};

/* One call, and what it has made. */
struct synchronization {
	struct pccl_monitor *monitor;
	pcclSharedState_t *state;
	pcclStateSyncOptions_t options;
	struct pccl_state_call call;
	uint64_t losses; /* when it began */
	pcclStateSyncInfo_t info;
};

static pcclResult_t check_strategy(pcclSharedStateSyncStrategy_t strategy)
{
	return pccl_choice_check("strategy", pcclEnumSyncStrategy, (int)strategy);
}

/* Numbers that no two calls have alike. */
static uint64_t draw_nonce(void)
{
	uint64_t nonce = 0;

	if (getrandom(&nonce, sizeof(nonce), GRND_NONBLOCK) != (ssize_t)sizeof(nonce))
		nonce = pccl_clock_ns();
	return nonce;
}

/* Hashes what may have changed. */
static pcclResult_t digest(struct synchronization *sync)
{
	struct pccl_inventory *inventory = sync->call.inventory;
	struct pccl_kept *kept = pccl_monitor_take_kept(sync->monitor, &sync->losses);
	bool *is_kept = pccl_calloc(inventory->tensor_count, sizeof(*is_kept));
	pcclResult_t result = pcclOutOfMemory;

	if (is_kept != NULL) {
		uint64_t bytes = pccl_kept_use(kept, inventory, sync->options.dirty, is_kept);

		sync->info.hashed_bytes = inventory->bytes - bytes;
		result = pccl_state_digest(inventory, is_kept, sync->options.threads);
	}
	pccl_kept_destroy(kept);
	pccl_free(is_kept);
	return result;
}

static pcclResult_t prepare(struct synchronization *sync, bool moves)
{
	pcclResult_t result = pccl_inventory_create(sync->state, &sync->call.inventory);

	if (result != pcclSuccess)
		return result;
	sync->call.inventory->digest_kind = pccl_monitor_digest_kind(sync->monitor);
	result = digest(sync);
	if (result == pcclSuccess && moves)
		result = pccl_shadow_create(sync->call.inventory, &sync->call.shadow);
	if (result == pcclSuccess)
		return result;
	pccl_inventory_destroy(sync->call.inventory);
	sync->call.inventory = NULL;
	return result;
}

/* What was received goes to where it belongs, and its digests may serve the next call. */
static pcclResult_t settle(struct synchronization *sync, pcclResult_t result)
{
	pcclResult_t uploaded = pccl_shadow_upload(sync->call.shadow);

	if (uploaded != pcclSuccess) {
		pccl_monitor_forget_lineage(sync->monitor);
		return uploaded;
	}
	if (result == pcclSuccess)
		pccl_monitor_keep(sync->monitor, pccl_kept_create(sync->call.inventory), sync->losses);
	return result;
}

/* Whoever can't take part with its state does so without: the others need not wait for it. */
static pcclResult_t synchronize(struct synchronization *sync)
{
	struct pccl_agreement_result outcome;
	char why[PCCL_FAIL_TEXT_BYTES] = "";
	pcclResult_t local = prepare(sync, true), result;

	if (local == pcclInvalidArgument)
		return local;
	if (local != pcclSuccess)
		memcpy(why, pccl_fail_text(), strlen(pccl_fail_text()) + 1);
	sync->call.revision = sync->state->revision;
	sync->call.strategy = sync->options.strategy;
	sync->call.nonce = draw_nonce();
	result = pccl_monitor_synchronize(sync->monitor, &sync->call, &outcome);
	if (sync->call.inventory != NULL)
		result = settle(sync, result);
	pccl_shadow_destroy(sync->call.shadow);
	pccl_inventory_destroy(sync->call.inventory);
	if (result == pcclSuccess)
		sync->state->revision = outcome.revision;
	sync->info.tx_bytes = outcome.tx_bytes;
	sync->info.rx_bytes = outcome.rx_bytes;
	sync->info.tx_wire_bytes = outcome.tx_wire_bytes;
	sync->info.rx_wire_bytes = outcome.rx_wire_bytes;
	return local != pcclSuccess ? pccl_fail(local, "the state can't be read: %s", why) : result;
}

static pcclResult_t check(const pcclComm_t *communicator, const pcclSharedState_t *state,
			  pcclSharedStateSyncStrategy_t strategy, struct pccl_monitor **monitor_out)
{
	pcclResult_t result = pccl_library_check_comm(communicator, monitor_out);

	if (result == pcclSuccess && state == NULL)
		result = pccl_fail(pcclInvalidArgument, "shared_state is NULL");
	if (result == pcclSuccess)
		result = pccl_shared_state_check(state);
	if (result == pcclSuccess)
		result = check_strategy(strategy);
	return result == pcclSuccess ? pccl_monitor_check_quiet(*monitor_out) : result;
}

pcclResult_t pcclSynchronizeSharedState(const pcclComm_t *communicator, pcclSharedState_t *shared_state,
					pcclSharedStateSyncStrategy_t strategy,
					pcclSharedStateSyncInfo_t *sync_info_out)
{
	const pcclStateSyncOptions_t defaults = PCCL_STATE_SYNC_OPTIONS_INITIALIZER;
	struct synchronization sync = {.state = shared_state, .options = defaults};
	pcclResult_t result = check(communicator, shared_state, strategy, &sync.monitor);

	if (result != pcclSuccess)
		return pccl_library_result(communicator, result, pcclRankConnectionLost);
	sync.options.strategy = strategy;
	result = synchronize(&sync);
	if (sync_info_out != NULL) {
		sync_info_out->tx_bytes = sync.info.tx_bytes;
		sync_info_out->rx_bytes = sync.info.rx_bytes;
	}
	return pccl_library_result(communicator, result, pcclRankConnectionLost);
}

/* What the two new calls share: their arguments. */
static pcclResult_t begin(const pcclComm_t *communicator, struct synchronization *sync,
			  const pcclStateSyncOptions_t *options)
{
	const pcclStateSyncOptions_t defaults = PCCL_STATE_SYNC_OPTIONS_INITIALIZER;
	pcclResult_t result = pcclSuccess;

	sync->options = defaults;
	if (options != NULL)
		result = pccl_sized_read(&options_kind, options, &sync->options);
	return result == pcclSuccess ? check(communicator, sync->state, sync->options.strategy, &sync->monitor)
				     : result;
}

pcclResult_t pcclStateSync(const pcclComm_t *communicator, pcclSharedState_t *state,
			   const pcclStateSyncOptions_t *options, pcclStateSyncInfo_t *info_out)
{
	struct synchronization sync = {.state = state};
	pcclResult_t result = info_out != NULL ? pccl_sized_check(&info_kind, info_out) : pcclSuccess;

	if (result == pcclSuccess)
		result = begin(communicator, &sync, options);
	if (result != pcclSuccess)
		return result;
	result = synchronize(&sync);
	if (info_out != NULL)
		pccl_sized_write(&info_kind, &sync.info, info_out);
	return result;
}

/* ---- drift ------------------------------ */

static void tell_drift(const struct pccl_drift_result *found, const struct synchronization *sync, pcclStateDrift_t *out)
{
	const pcclStateDrift_t none = PCCL_STATE_DRIFT_INITIALIZER;
	pcclStateDrift_t drift = none;

	drift.hashed_bytes = sync->info.hashed_bytes;
	drift.peers = found->odd_count;
	drift.first_rank = found->odd_rank;
	drift.first_peer = found->odd_uuid;
	if (found->located) {
		drift.tensor = found->tensor;
		drift.chunk = found->chunk;
		drift.element = found->element;
	}
	pccl_sized_write(&drift_kind, &drift, out);
}

pcclResult_t pcclStateCheck(const pcclComm_t *communicator, const pcclSharedState_t *state,
			    const pcclStateSyncOptions_t *options, pcclStateDrift_t *drift_out)
{
	pcclSharedState_t copy = {0};
	struct synchronization sync = {.state = &copy};
	struct pccl_drift_result found;
	pcclResult_t result = drift_out != NULL ? pccl_sized_check(&drift_kind, drift_out) : pcclSuccess;

	if (result == pcclSuccess && state == NULL)
		result = pccl_fail(pcclInvalidArgument, "state is NULL");
	if (result != pcclSuccess)
		return result;
	copy = *state;
	result = begin(communicator, &sync, options);
	if (result == pcclSuccess)
		result = prepare(&sync, false);
	if (result != pcclSuccess)
		return result;
	result = pccl_monitor_check_drift(sync.monitor, sync.call.inventory, &found);
	if (drift_out != NULL)
		tell_drift(&found, &sync, drift_out);
	if (result == pcclSuccess)
		pccl_monitor_keep(sync.monitor, pccl_kept_create(sync.call.inventory), sync.losses);
	pccl_inventory_destroy(sync.call.inventory);
	return result;
}
