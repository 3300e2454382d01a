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
#define VERSION 2	  /* of the messages, and of what is in the memory */
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

static void unmap(void *memory)
{
	if (memory != NULL)
		(void)munmap(memory, PCCL_OFFER_MEMORY_BYTES);
}

static int open_of(uint32_t process, uint32_t descriptor)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%u/fd/%u", (unsigned)process, (unsigned)descriptor);
	return pccl_fork_own(open(path, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
}

/* ---- bells --------------------------------------------------------------------------------------------------- */

/* Behind the token, for each side: a descriptor of who offers, u32, and the pipe's number, u64, so that another process
 * that has come to have that process's number is not taken for it. */
struct bell {
	uint32_t descriptor;
	uint64_t number;
};

enum { OFFERERS, TAKERS, BELLS };

#define BELL_BYTES (sizeof(uint32_t) + sizeof(uint64_t))

static void write_bells(void *memory, const struct bell bells[BELLS])
{
	struct pccl_writer writer = pccl_writer_over(token_in(memory) + PCCL_OFFER_TOKEN_BYTES, BELLS * BELL_BYTES);
	size_t i;

	for (i = 0; i < BELLS; i++) {
		pccl_put_u32(&writer, bells[i].descriptor);
		pccl_put_u64(&writer, bells[i].number);
	}
}

static void read_bells(void *memory, struct bell bells[BELLS])
{
	uint8_t bytes[BELLS * BELL_BYTES];
	struct pccl_reader reader = pccl_reader_over(bytes, sizeof(bytes));
	size_t i;

	memcpy(bytes, token_in(memory) + PCCL_OFFER_TOKEN_BYTES, sizeof(bytes));
	for (i = 0; i < BELLS; i++) {
		bells[i].descriptor = pccl_get_u32(&reader);
		bells[i].number = pccl_get_u64(&reader);
	}
}

static bool is_same(int left, int right, uint64_t *number_out)
{
	struct stat statuses[2];

	if (fstat(left, &statuses[0]) != 0 || fstat(right, &statuses[1]) != 0)
		return false;
	*number_out = (uint64_t)statuses[0].st_ino;
	return statuses[0].st_ino == statuses[1].st_ino && statuses[0].st_dev == statuses[1].st_dev;
}

/* A pipe by one descriptor that reads and writes it; -1: none. Where /proc is that of other processes, it finds
 * something else, or nothing. */
static int make_bell(struct bell *bell_out)
{
	int ends[2], fd;

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
		return -1;
	fd = open_of((uint32_t)getpid(), (uint32_t)pccl_fork_own(ends[0]));
	if (fd >= 0 && !is_same(ends[0], fd, &bell_out->number)) {
		pccl_fork_close(fd);
		fd = -1;
	}
	pccl_fork_close(ends[0]);
	pccl_fork_close(pccl_fork_own(ends[1]));
	bell_out->descriptor = (uint32_t)fd;
	return fd;
}

static int take_bell(uint32_t process, const struct bell *bell)
{
	struct stat status;
	int fd = open_of(process, bell->descriptor);

	if (fd < 0)
		(void)pccl_fail(pcclSystemError, "an offered bell can't be opened: %s", strerror(errno));
	else if (fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode) && status.st_uid == geteuid() &&
		 (uint64_t)status.st_ino == bell->number)
		return fd;
	else
		(void)pccl_fail(pcclSystemError, "what is offered as a bell is none, or another's");
	if (fd >= 0)
		pccl_fork_close(fd);
	return -1;
}

/* ---- all of it ----------------------------------------------------------------------------------------------- */

void pccl_offer_drop(struct pccl_shared *shared)
{
	unmap(shared->memory);
	if (shared->hears >= 0)
		pccl_fork_close(shared->hears);
	if (shared->rings >= 0)
		pccl_fork_close(shared->rings);
	shared->memory = NULL;
	shared->hears = shared->rings = -1;
}

static void *make_memory(struct pccl_offer *offer)
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

bool pccl_offer_make(struct pccl_offer *offer, struct pccl_shared *shared_out)
{
	const struct pccl_shared none = {NULL, -1, -1};
	struct bell bells[BELLS] = {{0, 0}, {0, 0}};

	*shared_out = none;
	shared_out->hears = make_bell(&bells[OFFERERS]);
	shared_out->rings = make_bell(&bells[TAKERS]);
	if (shared_out->hears < 0 || shared_out->rings < 0)
		(void)pccl_fail(pcclSystemError,
				"no bells for shared memory: a pipe can't be made, or not be opened in /proc");
	else
		shared_out->memory = make_memory(offer);
	if (shared_out->memory == NULL) {
		pccl_offer_drop(shared_out);
		return false;
	}
	write_bells(shared_out->memory, bells);
	return true;
}

/* Who could make it smaller could end this process with a signal. Root may open what is another user's. */
static bool is_sound(int descriptor)
{
	struct stat status;
	int seals = fcntl(descriptor, F_GET_SEALS);

	return seals >= 0 && (seals & SEALS) == SEALS && fstat(descriptor, &status) == 0 &&
	       status.st_size == (off_t)PCCL_OFFER_MEMORY_BYTES && status.st_uid == geteuid();
}

static void *take_memory(const struct pccl_offer *offer)
{
	int descriptor = open_of(offer->process, offer->descriptor);
	void *memory = NULL;

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
		unmap(memory);
		return NULL;
	}
	return memory;
}

bool pccl_offer_take(const struct pccl_offer *offer, struct pccl_shared *shared_out)
{
	const struct pccl_shared none = {NULL, -1, -1};
	struct bell bells[BELLS];

	*shared_out = none;
	shared_out->memory = take_memory(offer);
	if (shared_out->memory == NULL)
		return false;
	read_bells(shared_out->memory, bells);
	shared_out->hears = take_bell(offer->process, &bells[TAKERS]);
	if (shared_out->hears >= 0)
		shared_out->rings = take_bell(offer->process, &bells[OFFERERS]);
	if (shared_out->rings >= 0)
		return true;
	pccl_offer_drop(shared_out);
	return false;
}
