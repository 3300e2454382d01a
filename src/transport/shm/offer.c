/* See offer.h. */
#include "transport/shm/offer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fail.h"
#include "transport/loop/fork.h"

#define MAGIC 0x504d4853u /* "SHMP" read as little-endian */
#define VERSION 1	  /* of the messages, and of what is in the memory */
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* ---- messages ------------------------------------------------------------------------------------------------ */

void pccl_offer_encode(const struct pccl_offer *offer, uint8_t out[PCCL_OFFER_BYTES])
{
	struct pccl_writer writer = pccl_writer_over(out, PCCL_OFFER_BYTES);

	pccl_put_u32(&writer, MAGIC);
	pccl_put_u8(&writer, VERSION);
	pccl_put_u8(&writer, (uint8_t)offer->kind);
	pccl_put_u16(&writer, offer->port);
	pccl_put_u32(&writer, offer->process);
	pccl_put_u32(&writer, offer->descriptor);
	pccl_put_bytes(&writer, offer->token, sizeof(offer->token));
}

bool pccl_offer_decode(const uint8_t in[PCCL_OFFER_BYTES], struct pccl_offer *offer_out)
{
	struct pccl_reader reader = pccl_reader_over(in, PCCL_OFFER_BYTES);
	bool is_ours = pccl_get_u32(&reader) == MAGIC;
	bool is_known = pccl_get_u8(&reader) == VERSION;
	uint8_t kind = pccl_get_u8(&reader);

	offer_out->kind = (enum pccl_offer_kind)kind;
	offer_out->port = pccl_get_u16(&reader);
	offer_out->process = pccl_get_u32(&reader);
	offer_out->descriptor = pccl_get_u32(&reader);
	pccl_get_bytes(&reader, offer_out->token, sizeof(offer_out->token));
	return is_ours &&
	       (kind == PCCL_OFFER_DECLINED || (is_known && (kind == PCCL_OFFER_OFFER || kind == PCCL_OFFER_TAKEN)));
}

bool pccl_offer_begins(uint8_t first)
{
	return first == (MAGIC & 0xff);
}

/* ---- memory -------------------------------------------------------------------------------------------------- */

static uint8_t *token_in(void *memory)
{
	return (uint8_t *)memory + PCCL_OFFER_MEMORY_BYTES - PCCL_OFFER_TAIL_BYTES;
}

/* A child of this process has no use for it. */
static void *map(int descriptor)
{
	void *memory =
		mmap(NULL, PCCL_OFFER_MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, descriptor, 0);

	if (memory == MAP_FAILED) {
		(void)pccl_fail(pcclSystemError, "shared memory can't be mapped: %s", strerror(errno));
		return NULL;
	}
	(void)madvise(memory, PCCL_OFFER_MEMORY_BYTES, MADV_DONTFORK);
	return memory;
}

void pccl_offer_unmap(void *memory)
{
	if (memory != NULL)
		(void)munmap(memory, PCCL_OFFER_MEMORY_BYTES);
}

void *pccl_offer_make(struct pccl_offer *offer)
{
	int descriptor = pccl_fork_own(memfd_create("pccl", MFD_CLOEXEC | MFD_ALLOW_SEALING));
	void *memory = NULL;

	/* Pages that were found missing later would end both processes with a signal. */
	if (descriptor < 0 || fallocate(descriptor, 0, 0, (off_t)PCCL_OFFER_MEMORY_BYTES) != 0 ||
	    fcntl(descriptor, F_ADD_SEALS, SEALS) != 0 ||
	    getrandom(offer->token, sizeof(offer->token), 0) != (ssize_t)sizeof(offer->token))
		(void)pccl_fail(pcclSystemError, "no shared memory: %s", strerror(errno));
	else
		memory = map(descriptor);
	if (memory == NULL) {
		if (descriptor >= 0)
			pccl_fork_close(descriptor);
		return NULL;
	}
	memcpy(token_in(memory), offer->token, sizeof(offer->token));
	offer->process = (uint32_t)getpid();
	offer->descriptor = (uint32_t)descriptor;
	return memory;
}

/* Who could make it smaller could end this process with a signal. Root may open what is another user's. */
static bool is_sound(int descriptor)
{
	struct stat status;
	int seals = fcntl(descriptor, F_GET_SEALS);

	return seals >= 0 && (seals & SEALS) == SEALS && fstat(descriptor, &status) == 0 &&
	       status.st_size == (off_t)PCCL_OFFER_MEMORY_BYTES && status.st_uid == geteuid();
}

void *pccl_offer_take(const struct pccl_offer *offer)
{
	char path[64];
	void *memory = NULL;
	int descriptor;

	(void)snprintf(path, sizeof(path), "/proc/%u/fd/%u", (unsigned)offer->process, (unsigned)offer->descriptor);
	descriptor = pccl_fork_own(open(path, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
	if (descriptor < 0)
		(void)pccl_fail(pcclSystemError, "the offered memory can't be opened: %s", strerror(errno));
	else if (!is_sound(descriptor))
		(void)pccl_fail(pcclSystemError, "what is offered is another user's, or could be resized");
	else
		memory = map(descriptor);
	if (descriptor >= 0)
		pccl_fork_close(descriptor);
	/* Another process has that number here than where the offer comes from. */
	if (memory != NULL && memcmp(token_in(memory), offer->token, sizeof(offer->token)) != 0) {
		(void)pccl_fail(pcclSystemError, "what is offered is another peer's memory");
		pccl_offer_unmap(memory);
		return NULL;
	}
	return memory;
}
