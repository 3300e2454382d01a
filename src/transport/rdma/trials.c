#include "transport/rdma/trials.h"

#include <pthread.h>
#include <stddef.h>

static struct pccl_trial *on; /* under the lock */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* A child has none of the connections, and not the thread that may hold the lock. */
static void in_child(void)
{
	const pthread_mutex_t unlocked = PTHREAD_MUTEX_INITIALIZER;

	lock = unlocked;
	on = NULL;
}

static __attribute__((constructor)) void watch_forks(void)
{
	(void)pthread_atfork(NULL, NULL, in_child);
}

static bool has_room(uint64_t origin)
{
	const struct pccl_trial *other;
	uint32_t count = 0, of_one = 0;

	for (other = on; other != NULL; other = other->next) {
		count++;
		of_one += other->origin == origin ? 1 : 0;
	}
	return count < PCCL_TRIALS_MAX && of_one < PCCL_TRIALS_OF_ONE;
}

bool pccl_trial_begin(struct pccl_trial *trial, const struct pccl_address *with)
{
	trial->origin = pccl_address_origin(with);
	pthread_mutex_lock(&lock);
	trial->is_on = has_room(trial->origin);
	if (trial->is_on) {
		trial->next = on;
		on = trial;
	}
	pthread_mutex_unlock(&lock);
	return trial->is_on;
}

void pccl_trial_end(struct pccl_trial *trial)
{
	struct pccl_trial **at;

	if (!trial->is_on)
		return;
	pthread_mutex_lock(&lock);
	for (at = &on; *at != trial; at = &(*at)->next)
		;
	*at = trial->next;
	trial->is_on = false;
	pthread_mutex_unlock(&lock);
}
