#include "transport/rdma/rails.h"

#include <pthread.h>
#include <stddef.h>
#include <sys/random.h>

#define TO_THE_SAME (1u << 16) /* outweighs all those to others */

static struct pccl_rail *taken; /* under the lock */
static uint32_t first;		/* drawn once; likewise */
static bool is_drawn;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* A child has none of the connections, and not the thread that may hold the lock. */
static void in_child(void)
{
	const pthread_mutex_t unlocked = PTHREAD_MUTEX_INITIALIZER;

	lock = unlocked;
	taken = NULL;
	is_drawn = false;
}

static __attribute__((constructor)) void watch_forks(void)
{
	(void)pthread_atfork(NULL, NULL, in_child);
}

/* Without random numbers the same for all will do. */
static void draw(void)
{
	if (!is_drawn && getrandom(&first, sizeof(first), GRND_NONBLOCK) != (ssize_t)sizeof(first))
		first = 0;
	is_drawn = true;
}

static uint32_t load_of(uint32_t index, const struct pccl_address *to)
{
	const struct pccl_rail *other;
	uint32_t load = 0;

	for (other = taken; other != NULL; other = other->next)
		if (other->index == index)
			load += pccl_address_equal(&other->to, to) ? TO_THE_SAME : 1;
	return load;
}

uint32_t pccl_rail_take(struct pccl_rail *rail, const struct pccl_address *to, uint32_t count, uint32_t except)
{
	uint32_t turn, least = UINT32_MAX;

	pthread_mutex_lock(&lock);
	draw();
	for (turn = 0; turn < count; turn++) {
		const uint32_t index = (first % count + turn) % count;
		const uint32_t load = load_of(index, to);

		if ((except >> index & 1) == 0 && load < least) {
			least = load;
			rail->index = index;
		}
	}
	rail->is_taken = true;
	rail->to = *to;
	rail->next = taken;
	taken = rail;
	pthread_mutex_unlock(&lock);
	return rail->index;
}

void pccl_rail_give_back(struct pccl_rail *rail)
{
	struct pccl_rail **at;

	if (!rail->is_taken)
		return;
	pthread_mutex_lock(&lock);
	for (at = &taken; *at != rail; at = &(*at)->next)
		;
	*at = rail->next;
	rail->is_taken = false;
	pthread_mutex_unlock(&lock);
}
