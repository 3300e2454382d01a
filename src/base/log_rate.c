#include "base/log_rate.h"

#include <inttypes.h>
#include <stdio.h>

const char *pccl_log_rate(struct pccl_log_rate *rate, uint64_t now_ns)
{
	if (now_ns < rate->next_ns) {
		rate->left_out++;
		return NULL;
	}
	rate->next_ns = now_ns + PCCL_LOG_RATE_NS;
	rate->more[0] = '\0';
	if (rate->left_out > 0)
		(void)snprintf(rate->more, sizeof(rate->more), " (and %" PRIu64 " more since the last)",
			       rate->left_out);
	rate->left_out = 0;
	return rate->more;
}
