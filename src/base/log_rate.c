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

/* FNV-1a. */
static uint64_t mix(uint64_t hash, const char *text, bool digits_count)
{
	for (; *text != '\0'; text++)
		if (digits_count || *text < '0' || *text > '9')
			hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
	return hash * UINT64_C(0x100000001b3); /* an end counts */
}

/* The place of the key, or one whose minute is over, best one of which nothing was left out. NULL: none is free. */
static struct pccl_log_rate *find_rate(struct pccl_log_rates *rates, uint64_t key, uint64_t now_ns)
{
	uint32_t i, found = PCCL_LOG_RATES;

	for (i = 0; i < PCCL_LOG_RATES; i++) {
		const struct pccl_log_rate *rate = &rates->rates[i];

		if (rates->keys[i] == key && rate->next_ns != 0)
			return &rates->rates[i];
		if (now_ns >= rate->next_ns &&
		    (found == PCCL_LOG_RATES || rates->rates[found].left_out > rate->left_out))
			found = i;
	}
	if (found == PCCL_LOG_RATES)
		return NULL;
	rates->others.left_out += rates->rates[found].left_out;
	rates->rates[found] = (struct pccl_log_rate){0, 0, ""};
	rates->keys[found] = key;
	return &rates->rates[found];
}

const char *pccl_log_rate_of(struct pccl_log_rates *rates, const char *caller, const char *cause, uint64_t now_ns)
{
	uint64_t key = mix(mix(UINT64_C(0xcbf29ce484222325), caller, true), cause, false);
	struct pccl_log_rate *rate = find_rate(rates, key, now_ns);

	return pccl_log_rate(rate != NULL ? rate : &rates->others, now_ns);
}
