/* What a communicator keeps of its state between calls. */
#include "comm/monitor_internal.h"
#include "sync/state/kept.h"

struct pccl_kept *pccl_monitor_take_kept(struct pccl_monitor *monitor, uint64_t *losses_out)
{
	struct pccl_kept *kept;

	pthread_mutex_lock(&monitor->lock);
	kept = monitor->kept;
	monitor->kept = NULL;
	*losses_out = monitor->losses;
	pthread_mutex_unlock(&monitor->lock);
	return kept;
}

void pccl_monitor_keep(struct pccl_monitor *monitor, struct pccl_kept *kept, uint64_t losses)
{
	struct pccl_kept *replaced = kept;

	pthread_mutex_lock(&monitor->lock);
	if (losses == monitor->losses) {
		replaced = monitor->kept;
		monitor->kept = kept;
	}
	pthread_mutex_unlock(&monitor->lock);
	pccl_kept_destroy(replaced);
}

void pccl_monitor_note_losses(struct pccl_monitor *monitor, const struct pccl_view *next)
{
	uint32_t rank, where;

	for (rank = 0; rank < monitor->view.member_count; rank++)
		if (!pccl_view_rank(next, &monitor->view.members[rank].uuid, &where))
			break;
	if (rank == monitor->view.member_count)
		return;
	monitor->losses++;
	pccl_kept_destroy(monitor->kept);
	monitor->kept = NULL;
}

enum pccl_digest_kind pccl_monitor_digest_kind(const struct pccl_monitor *monitor)
{
	return pccl_wires_are_protected(monitor->self->wires) ? PCCL_DIGEST_STRONG : PCCL_DIGEST_FAST;
}

void pccl_monitor_forget_lineage(struct pccl_monitor *monitor)
{
	const struct pccl_state_lineage none = {0};

	pthread_mutex_lock(&monitor->lock);
	monitor->lineage = none;
	pthread_mutex_unlock(&monitor->lock);
}
