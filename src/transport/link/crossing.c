#include "transport/link/crossing.h"

enum pccl_crossing_verdict pccl_crossing_judge(const struct pccl_crossing *side, uint32_t number)
{
	if ((int32_t)(number - side->known) < 0)
		return PCCL_CROSSING_OLD;
	/* What it has reached may be somebody who never answers. */
	if (side->leads && side->calls && side->called_ns < PCCL_CROSSING_PATIENCE_NS)
		return PCCL_CROSSING_WAIT;
	return PCCL_CROSSING_TAKE;
}
