#include "transport/rdma/avoid.h"

#include <pthread.h>
#include <string.h>

#include "base/time.h"

#define HOSTS 64u
#define WHILE_NS (60 * PCCL_SECOND_NS)

/* Under the lock: the newest ones, in a ring. */
static struct {
	struct pccl_address host;
	uint64_t until_ns;
} avoided[HOSTS];
static uint32_t next;
static bool is_off;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void pccl_avoid_add(const struct pccl_address *host, uint64_t now_ns)
{
	pthread_mutex_lock(&lock);
	avoided[next].host = *host;
	avoided[next].until_ns = is_off ? 0 : now_ns + WHILE_NS;
	next = (next + 1) % HOSTS;
	pthread_mutex_unlock(&lock);
}

bool pccl_avoid_has(const struct pccl_address *host, uint64_t now_ns)
{
	bool found = false;
	uint32_t i;

	pthread_mutex_lock(&lock);
	for (i = 0; i < HOSTS && !found; i++)
		found = avoided[i].until_ns > now_ns && pccl_address_same_host(&avoided[i].host, host);
	pthread_mutex_unlock(&lock);
	return found;
}

void pccl_avoid_nobody(bool ever)
{
	pthread_mutex_lock(&lock);
	is_off = ever;
	memset(avoided, 0, sizeof(avoided));
	pthread_mutex_unlock(&lock);
}
