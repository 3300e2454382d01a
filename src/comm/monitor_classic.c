/*
 * What a PCCL 1.0 program is shown. Its attributes change only in its own joint calls and failed awaits; an operation
 * that it launches in the world that it was shown, when that has shrunk or gone on without it, fails at the await. A
 * peer that was evicted is alone, and joins again with pcclUpdateTopology().
 */
#include "base/fail.h"
#include "base/memory.h"
#include "base/text.h"
#include "comm/monitor_internal.h"

/* A launch that could not be, from launch to await. */
struct pccl_doomed {
	uint64_t tag;
	char why[PCCL_DETAIL_BYTES];
	struct pccl_doomed *next;
};

void pccl_monitor_show(struct pccl_monitor *monitor)
{
	const struct pccl_standing alone = {.world = {.peers = 1, .groups = 1, .largest_group = 1}, .members = 1};

	if (monitor->state == PCCL_MONITOR_MEMBER)
		pccl_monitor_stand(monitor, &monitor->shown);
	else
		monitor->shown = alone;
}

pcclResult_t pccl_monitor_attributes(struct pccl_monitor *monitor, struct pccl_standing *standing_out)
{
	pcclResult_t result = pcclSuccess;

	if (!monitor->self->classic)
		return pccl_monitor_look(monitor, standing_out);
	pthread_mutex_lock(&monitor->lock);
	if (monitor->shown.members == 0)
		result = pccl_fail(pcclInvalidUsage, "the communicator is not connected: call pcclConnect() first");
	else
		*standing_out = monitor->shown;
	pthread_mutex_unlock(&monitor->lock);
	return result;
}

/* ---- launches that can't be ------------------------------------------------------------------------------------- */

static struct pccl_doomed **find_doomed(struct pccl_monitor *monitor, uint64_t tag)
{
	struct pccl_doomed **link = &monitor->doomed;

	while (*link != NULL && (*link)->tag != tag)
		link = &(*link)->next;
	return link;
}

bool pccl_monitor_is_doomed(const struct pccl_monitor *monitor, uint64_t tag)
{
	const struct pccl_doomed *doomed = monitor->doomed;

	while (doomed != NULL && doomed->tag != tag)
		doomed = doomed->next;
	return doomed != NULL;
}

static bool is_in_use(const struct pccl_monitor *monitor, uint64_t tag)
{
	return pccl_monitor_is_doomed(monitor, tag) ||
	       (monitor->session != NULL && pccl_session_find(monitor->session, tag) != NULL);
}

static pcclResult_t doom(struct pccl_monitor *monitor, uint64_t tag)
{
	struct pccl_doomed *doomed;

	if (is_in_use(monitor, tag))
		return pccl_fail(pcclInvalidArgument, "tag %llu is in use by an operation that was not awaited yet",
				 (unsigned long long)tag);
	doomed = pccl_zalloc(sizeof(*doomed));
	if (doomed == NULL)
		return pcclOutOfMemory;
	doomed->tag = tag;
	pccl_text_copy(doomed->why, sizeof(doomed->why), pccl_fail_text());
	doomed->next = monitor->doomed;
	monitor->doomed = doomed;
	return pcclSuccess;
}

pcclResult_t pccl_monitor_doom(struct pccl_monitor *monitor, uint64_t tag, pcclResult_t result)
{
	bool lost;

	if (!monitor->self->classic || monitor->shown.members == 0)
		return result;
	lost = monitor->state == PCCL_MONITOR_ENDED && !monitor->aborted;
	if (lost && monitor->shown.members < 2)
		return pccl_fail(pcclTooFewPeers, "this peer is alone: %s", monitor->end_detail);
	if (lost || (result == pcclTooFewPeers && monitor->shown.members > 1))
		return doom(monitor, tag);
	return result;
}

bool pccl_monitor_take_doomed(struct pccl_monitor *monitor, uint64_t tag)
{
	struct pccl_doomed **link = find_doomed(monitor, tag), *doomed = *link;

	if (doomed == NULL)
		return false;
	pccl_fail(pcclRankConnectionLost, "%s", doomed->why);
	*link = doomed->next;
	pccl_free(doomed);
	pccl_monitor_show(monitor);
	return true;
}

bool pccl_monitor_is_idle(const struct pccl_monitor *monitor)
{
	return monitor->doomed == NULL && (monitor->session == NULL || pccl_session_idle(monitor->session));
}

void pccl_monitor_forget_doomed(struct pccl_monitor *monitor)
{
	while (monitor->doomed != NULL) {
		struct pccl_doomed *doomed = monitor->doomed;

		monitor->doomed = doomed->next;
		pccl_free(doomed);
	}
}

/* ---- to join again ---------------------------------------------------------------------------------------------- */

bool pccl_monitor_begin_rejoin(struct pccl_monitor *monitor, pcclResult_t *result_out)
{
	bool begun = false;

	*result_out = pcclSuccess;
	if (!monitor->self->classic)
		return false;
	pthread_mutex_lock(&monitor->lock);
	/* Who is inside is on the way out. */
	while (monitor->state == PCCL_MONITOR_ENDED && !monitor->aborted && monitor->callers > 0)
		pccl_monitor_wait(monitor, &monitor->changed, PCCL_NEVER);
	if (monitor->state == PCCL_MONITOR_ENDED && !monitor->aborted && monitor->shown.members > 0) {
		begun = true;
		if (pccl_monitor_is_idle(monitor)) {
			monitor->state = PCCL_MONITOR_JOINING;
			monitor->callers++;
			monitor->vote_pending = false;
		} else {
			*result_out = pccl_fail(pcclPendingAsyncOps,
						"operations are in flight: await them before pcclUpdateTopology()");
		}
	}
	pthread_mutex_unlock(&monitor->lock);
	return begun;
}
