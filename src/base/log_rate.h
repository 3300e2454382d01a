/* At most one line a minute of what others can cause as often as they like; the rest is counted. One for each cause, or
 * for each caller and cause, while there are few of them.
 * Pure: time is an argument. Zeroed memory is ready for use. */
#ifndef PCCL_BASE_LOG_RATE_H
#define PCCL_BASE_LOG_RATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/time.h"

#define PCCL_LOG_RATE_NS (60 * PCCL_SECOND_NS)
#define PCCL_LOG_RATE_BYTES 48

struct pccl_log_rate {
	uint64_t next_ns; /* when another line may be written */
	uint64_t left_out;
	char more[PCCL_LOG_RATE_BYTES];
};

/* May the line be written now? Then the text, valid until the next call, is its end: "", or how many were left out
 * since the one before. NULL: no. */
const char *pccl_log_rate(struct pccl_log_rate *rate, uint64_t now_ns);

#define PCCL_LOG_RATES 16

struct pccl_log_rates {
	uint64_t keys[PCCL_LOG_RATES];
	struct pccl_log_rate rates[PCCL_LOG_RATES];
	struct pccl_log_rate others; /* those for whom there is no place */
};

/* The same, apart for each caller (its address, say) and cause, of which so many have a line in one minute. Digits make
 * no other cause: they may be of ports. */
const char *pccl_log_rate_of(struct pccl_log_rates *rates, const char *caller, const char *cause, uint64_t now_ns);

#endif
