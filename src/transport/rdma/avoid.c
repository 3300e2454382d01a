#include "transport/rdma/avoid.h"

#include <pthread.h>
#include <string.h>

#include "base/time.h"

#define HOSTS 64u
#define HOSTS_OF_ONE (HOSTS / 2) /* of one origin: who has a network of addresses doesn't make the others forgotten */
#define WHILE_NS (60 * PCCL_SECOND_NS)
#define DOUBTS 16u

struct host {
	struct pccl_address address;
	uint64_t until_ns; /* 0: nobody */
	uint32_t doubts;   /* it is avoided from DOUBTS on */
};

/* Under the lock. */
static struct host avoided[HOSTS];
static bool is_off;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Whoever may hold the lock is not in the child, nor who may be in the middle of a change. */
static void in_child(void)
{
	const pthread_mutex_t unlocked = PTHREAD_MUTEX_INITIALIZER;

	lock = unlocked;
	memset(avoided, 0, sizeof(avoided));
}

static __attribute__((constructor)) void watch_forks(void)
{
	(void)pthread_atfork(NULL, NULL, in_child);
}

static struct host *find(const struct pccl_address *address)
{
	uint32_t i;

	for (i = 0; i < HOSTS; i++)
		if (avoided[i].until_ns != 0 && pccl_address_same_host(&avoided[i].address, address))
			return &avoided[i];
	return NULL;
}

static bool is_avoided(const struct host *host, uint64_t now_ns)
{
	return host->until_ns > now_ns && host->doubts >= DOUBTS;
}

static bool is_from(const struct host *host, uint64_t origin)
{
	return host->until_ns != 0 && pccl_address_origin(&host->address) == origin;
}

/* Who is only doubted is forgotten before who is avoided, else who would be anyway. */
static bool goes_first(const struct host *left, const struct host *right, uint64_t now_ns)
{
	if (is_avoided(left, now_ns) != is_avoided(right, now_ns))
		return is_avoided(right, now_ns);
	return left->until_ns < right->until_ns;
}

/* In place of who goes first. NULL: all are avoided, which a doubt doesn't outweigh. */
static struct host *enter(const struct pccl_address *address, uint64_t now_ns, uint32_t doubts)
{
	const uint64_t origin = pccl_address_origin(address);
	struct host *host = NULL;
	uint32_t i, of_one = 0;

	for (i = 0; i < HOSTS; i++)
		of_one += is_from(&avoided[i], origin) ? 1 : 0;
	for (i = 0; i < HOSTS; i++)
		if ((of_one < HOSTS_OF_ONE || is_from(&avoided[i], origin)) &&
		    (host == NULL || goes_first(&avoided[i], host, now_ns)))
			host = &avoided[i];
	if (is_avoided(host, now_ns) && doubts < DOUBTS)
		return NULL;
	*host = (struct host){.address = *address};
	return host;
}

static void add(const struct pccl_address *address, uint64_t now_ns, uint32_t doubts)
{
	struct host *host;

	pthread_mutex_lock(&lock);
	host = find(address);
	if (host == NULL)
		host = enter(address, now_ns, doubts);
	if (host != NULL) {
		host->doubts = (host->until_ns > now_ns ? host->doubts : 0) + doubts;
		host->until_ns = is_off ? 0 : now_ns + WHILE_NS;
	}
	pthread_mutex_unlock(&lock);
}

void pccl_avoid_add(const struct pccl_address *host, uint64_t now_ns)
{
	add(host, now_ns, DOUBTS);
}

void pccl_avoid_doubt(const struct pccl_address *host, uint64_t now_ns)
{
	add(host, now_ns, 1);
}

void pccl_avoid_trust(const struct pccl_address *address)
{
	struct host *host;

	pthread_mutex_lock(&lock);
	host = find(address);
	if (host != NULL && host->doubts < DOUBTS)
		host->until_ns = 0;
	pthread_mutex_unlock(&lock);
}

bool pccl_avoid_has(const struct pccl_address *host, uint64_t now_ns)
{
	const struct host *found;
	bool has;

	pthread_mutex_lock(&lock);
	found = find(host);
	has = found != NULL && is_avoided(found, now_ns);
	pthread_mutex_unlock(&lock);
	return has;
}

void pccl_avoid_nobody(bool ever)
{
	pthread_mutex_lock(&lock);
	is_off = ever;
	memset(avoided, 0, sizeof(avoided));
	pthread_mutex_unlock(&lock);
}
