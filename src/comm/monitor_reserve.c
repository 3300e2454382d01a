/* Tags of those who launch beside the program. */
#include <assert.h>

#include "base/fail.h"
#include "comm/monitor_internal.h"

static __thread const struct pccl_reservation *worked; /* by this thread */

/* NULL: nobody's. */
static const struct pccl_reservation *holder_of(const struct pccl_monitor *monitor, uint64_t first, uint64_t last)
{
	const struct pccl_reservation *at = monitor->reservations;

	while (at != NULL && (at->last < first || at->first > last))
		at = at->next;
	return at;
}

pcclResult_t pccl_reservation_take(struct pccl_reservation *reservation, struct pccl_monitor *monitor)
{
	const struct pccl_reservation *holder;
	pcclResult_t result = pcclSuccess;

	assert(reservation->first <= reservation->last && reservation->monitor == NULL);
	pthread_mutex_lock(&monitor->lock);
	holder = holder_of(monitor, reservation->first, reservation->last);
	if (holder != NULL) {
		result = pccl_fail(pcclInvalidArgument,
				   "the tags 0x%llx to 0x%llx overlap those of another engine of this communicator, "
				   "0x%llx to 0x%llx: choose another `tag`",
				   (unsigned long long)reservation->first, (unsigned long long)reservation->last,
				   (unsigned long long)holder->first, (unsigned long long)holder->last);
	} else {
		reservation->monitor = monitor;
		reservation->next = monitor->reservations;
		monitor->reservations = reservation;
	}
	pthread_mutex_unlock(&monitor->lock);
	return result;
}

void pccl_reservation_return(struct pccl_reservation *reservation)
{
	struct pccl_monitor *monitor = reservation->monitor;
	struct pccl_reservation **link;

	if (monitor == NULL)
		return;
	pthread_mutex_lock(&monitor->lock);
	for (link = &monitor->reservations; *link != reservation; link = &(*link)->next)
		;
	*link = reservation->next;
	reservation->monitor = NULL;
	pthread_mutex_unlock(&monitor->lock);
}

void pccl_reservation_set_busy(struct pccl_reservation *reservation, bool is_busy)
{
	__atomic_store_n(&reservation->is_busy, is_busy, __ATOMIC_RELEASE);
}

void pccl_reservation_work(const struct pccl_reservation *reservation)
{
	worked = reservation;
}

pcclResult_t pccl_monitor_check_reserved(const struct pccl_monitor *monitor, uint64_t tag)
{
	const struct pccl_reservation *holder = holder_of(monitor, tag, tag);

	if (holder == NULL || holder == worked)
		return pcclSuccess;
	return pccl_fail(pcclInvalidArgument, "tag 0x%llx is one of an engine's, which are 0x%llx to 0x%llx",
			 (unsigned long long)tag, (unsigned long long)holder->first, (unsigned long long)holder->last);
}

void pccl_reservation_limit(struct pccl_reservation *reservation, uint64_t deadline_ns)
{
	struct pccl_monitor *monitor = reservation->monitor;
	struct pccl_op *op = NULL;

	if (monitor == NULL)
		return;
	pthread_mutex_lock(&monitor->lock);
	while (monitor->session != NULL && (op = pccl_session_next_op(monitor->session, op)) != NULL) {
		const uint64_t tag = op->request.operation.tag;

		if (tag < reservation->first || tag > reservation->last || op->deadline_ns <= deadline_ns)
			continue;
		op->deadline_ns = deadline_ns;
		pccl_monitor_wake_waiters(monitor, op);
	}
	pthread_mutex_unlock(&monitor->lock);
}

bool pccl_monitor_is_quiet(const struct pccl_monitor *monitor)
{
	const struct pccl_op *op = NULL;

	if (pccl_monitor_is_idle(monitor))
		return true;
	if (monitor->doomed != NULL)
		return false;
	while ((op = pccl_session_next_op(monitor->session, op)) != NULL)
		if (holder_of(monitor, op->request.operation.tag, op->request.operation.tag) == NULL)
			return false;
	return true;
}

bool pccl_monitor_is_reserved_busy(const struct pccl_monitor *monitor)
{
	const struct pccl_reservation *at = monitor->reservations;

	while (at != NULL && !__atomic_load_n(&at->is_busy, __ATOMIC_ACQUIRE))
		at = at->next;
	return at != NULL;
}
