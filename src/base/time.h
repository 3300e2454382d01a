/*
 * Units of time: nanoseconds everywhere.
 */
#ifndef PCCL_BASE_TIME_H
#define PCCL_BASE_TIME_H

#include <stdint.h>

#define PCCL_MS_NS UINT64_C(1000000)
#define PCCL_SECOND_NS UINT64_C(1000000000)

#define PCCL_PATIENCE_TRIPS 16u

/* How long silence may last before it means something, where a round trip takes `trip_ns` (0: not known): what is lost
 * comes again after two trips or three, and with each loss in a row that doubles. At most the time-out is added for
 * `turns` of 1; 2 where the time is for a new connection, too. */
static inline uint64_t pccl_patience_ns(uint64_t timeout_ns, uint64_t trip_ns, unsigned turns)
{
	uint64_t more_ns = trip_ns < timeout_ns / PCCL_PATIENCE_TRIPS ? trip_ns * PCCL_PATIENCE_TRIPS : timeout_ns;

	return timeout_ns + turns * more_ns;
}

#endif
