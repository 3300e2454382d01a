#include "transport/loop/fork.h"

#include <limits.h>
#include <pthread.h>
#include <stddef.h>
#include <unistd.h>

#define OWNED_MAX 65536
#define WORD_BITS (CHAR_BIT * sizeof(unsigned long))

static unsigned long owned[OWNED_MAX / WORD_BITS]; /* bitmap; a bit is set after the descriptor is made, and cleared
						    * before it is closed: what is set is always ours */
static unsigned generation;
static pthread_once_t registered = PTHREAD_ONCE_INIT;

static void in_child(void)
{
	size_t word, bit;

	generation++;
	for (word = 0; word < OWNED_MAX / WORD_BITS; word++) {
		for (bit = 0; owned[word] != 0 && bit < WORD_BITS; bit++)
			if (owned[word] & 1ul << bit)
				(void)close((int)(word * WORD_BITS + bit));
		owned[word] = 0;
	}
}

/* Without memory for it children keep what they inherit, as they would without us. */
static void register_handler(void)
{
	(void)pthread_atfork(NULL, NULL, in_child);
}

int pccl_fork_own(int fd)
{
	(void)pthread_once(&registered, register_handler);
	if (fd >= 0 && fd < OWNED_MAX)
		__atomic_fetch_or(&owned[(size_t)fd / WORD_BITS], 1ul << (size_t)fd % WORD_BITS, __ATOMIC_SEQ_CST);
	return fd;
}

void pccl_fork_disown(int fd)
{
	if (fd >= 0 && fd < OWNED_MAX)
		__atomic_fetch_and(&owned[(size_t)fd / WORD_BITS], ~(1ul << (size_t)fd % WORD_BITS), __ATOMIC_SEQ_CST);
}

void pccl_fork_close(int fd)
{
	pccl_fork_disown(fd);
	(void)close(fd);
}

unsigned pccl_fork_generation(void)
{
	(void)pthread_once(&registered, register_handler);
	return generation;
}
