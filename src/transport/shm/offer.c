/* See offer.h. */
#include "transport/shm/offer.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fail.h"
#include "transport/loop/fork.h"

#define MAGIC 0x504d4853u /* "SHMP" read as little-endian */
#define VERSION 1	  /* of the messages, and of the rings in the memory */
#define LETTERS_MAX 4	  /* datagrams looked at: only who knows the name can have sent any */
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* ---- messages ------------------------------------------------------------------------------------------------ */

void pccl_offer_encode(const struct pccl_offer *offer, uint8_t out[PCCL_OFFER_BYTES])
{
	struct pccl_writer writer = pccl_writer_over(out, PCCL_OFFER_BYTES);

	memset(out, 0, PCCL_OFFER_BYTES);
	pccl_put_u32(&writer, MAGIC);
	pccl_put_u8(&writer, VERSION);
	pccl_put_u8(&writer, (uint8_t)offer->kind);
	pccl_put_u16(&writer, offer->port);
	pccl_put_bytes(&writer, offer->token, sizeof(offer->token));
}

bool pccl_offer_decode(const uint8_t in[PCCL_OFFER_BYTES], struct pccl_offer *offer_out)
{
	struct pccl_reader reader = pccl_reader_over(in, PCCL_OFFER_BYTES);
	bool known = pccl_get_u32(&reader) == MAGIC && pccl_get_u8(&reader) == VERSION;
	uint8_t kind = pccl_get_u8(&reader);

	offer_out->kind = (enum pccl_offer_kind)kind;
	offer_out->port = pccl_get_u16(&reader);
	pccl_get_bytes(&reader, offer_out->token, sizeof(offer_out->token));
	return known && kind >= PCCL_OFFER_OFFER && kind <= PCCL_OFFER_DECLINED;
}

bool pccl_offer_begins(uint8_t first)
{
	return first == (MAGIC & 0xff);
}

/* ---- the post ------------------------------------------------------------------------------------------------ */

/* In the abstract namespace, which a network namespace has of its own and no file system. */
static socklen_t name_post(const uint8_t token[PCCL_OFFER_TOKEN_BYTES], struct sockaddr_un *name_out)
{
	char *at = name_out->sun_path + 1;
	size_t i;

	memset(name_out, 0, sizeof(*name_out));
	name_out->sun_family = AF_UNIX;
	at += sprintf(at, "pccl-");
	for (i = 0; i < PCCL_OFFER_TOKEN_BYTES; i++)
		at += sprintf(at, "%02x", token[i]);
	return (socklen_t)(at - (char *)name_out);
}

int pccl_offer_open_post(uint8_t token_out[PCCL_OFFER_TOKEN_BYTES])
{
	int post = pccl_fork_own(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	struct sockaddr_un name;
	socklen_t bytes;
	int on = 1;

	if (post < 0 || getrandom(token_out, PCCL_OFFER_TOKEN_BYTES, 0) != PCCL_OFFER_TOKEN_BYTES)
		goto fail;
	bytes = name_post(token_out, &name);
	if (setsockopt(post, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) == 0 &&
	    bind(post, (const struct sockaddr *)&name, bytes) == 0)
		return post;
fail:
	(void)pccl_fail(pcclSystemError, "no socket to take shared memory from: %s", strerror(errno));
	if (post >= 0)
		pccl_fork_close(post);
	return -1;
}

/* A child of this process has no use for it. */
static void *map(int memory)
{
	void *at = mmap(NULL, PCCL_OFFER_MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, memory, 0);

	if (at == MAP_FAILED) {
		(void)pccl_fail(pcclSystemError, "shared memory can't be mapped: %s", strerror(errno));
		return NULL;
	}
	(void)madvise(at, PCCL_OFFER_MEMORY_BYTES, MADV_DONTFORK);
	return at;
}

void pccl_offer_unmap(void *memory)
{
	if (memory != NULL)
		(void)munmap(memory, PCCL_OFFER_MEMORY_BYTES);
}

/* Sends a descriptor as the one byte's company. */
static bool send_descriptor(const uint8_t token[PCCL_OFFER_TOKEN_BYTES], int descriptor)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} company = {.bytes = {0}};
	struct sockaddr_un name;
	char byte = 0;
	struct iovec part = {&byte, 1};
	struct msghdr letter = {.msg_name = &name,
				.msg_namelen = name_post(token, &name),
				.msg_iov = &part,
				.msg_iovlen = 1,
				.msg_control = company.bytes,
				.msg_controllen = sizeof(company.bytes)};
	int post = pccl_fork_own(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	struct cmsghdr *header = CMSG_FIRSTHDR(&letter);
	ssize_t sent = -1;

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &descriptor, sizeof(int));
	if (post >= 0)
		sent = sendmsg(post, &letter, MSG_NOSIGNAL);
	if (sent != 1)
		(void)pccl_fail(pcclSystemError, "shared memory can't be handed over: %s", strerror(errno));
	if (post >= 0)
		pccl_fork_close(post);
	return sent == 1;
}

void *pccl_offer_give(const uint8_t token[PCCL_OFFER_TOKEN_BYTES])
{
	int descriptor = pccl_fork_own(memfd_create("pccl", MFD_CLOEXEC | MFD_ALLOW_SEALING));
	void *memory = NULL;

	/* Pages that were found missing later would end both processes with a signal. */
	if (descriptor < 0 || fallocate(descriptor, 0, 0, (off_t)PCCL_OFFER_MEMORY_BYTES) != 0 ||
	    fcntl(descriptor, F_ADD_SEALS, SEALS) != 0)
		(void)pccl_fail(pcclSystemError, "no shared memory: %s", strerror(errno));
	else
		memory = map(descriptor);
	if (memory != NULL && !send_descriptor(token, descriptor)) {
		pccl_offer_unmap(memory);
		memory = NULL;
	}
	if (descriptor >= 0)
		pccl_fork_close(descriptor);
	return memory;
}

/* ---- taking -------------------------------------------------------------------------------------------------- */

/* Who could make it smaller could end this process with a signal. */
static bool is_sound(int descriptor)
{
	struct stat status;

	return (fcntl(descriptor, F_GET_SEALS) & SEALS) == SEALS && fstat(descriptor, &status) == 0 &&
	       status.st_size == (off_t)PCCL_OFFER_MEMORY_BYTES;
}

/* Keeps one of the descriptors that came. */
static void keep_one(const struct cmsghdr *header, int *descriptor)
{
	size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	const unsigned char *at = CMSG_DATA(header);
	size_t i;

	for (i = 0; i < count; i++) {
		if (*descriptor >= 0)
			pccl_fork_close(*descriptor);
		memcpy(descriptor, at + i * sizeof(int), sizeof(int));
		(void)pccl_fork_own(*descriptor);
	}
}

/* The descriptor that came with a letter of this process's user. -1: none. */
static int sort_company(struct msghdr *letter)
{
	struct cmsghdr *header;
	struct ucred sender = {.uid = (uid_t)-1};
	int descriptor = -1;

	for (header = CMSG_FIRSTHDR(letter); header != NULL; header = CMSG_NXTHDR(letter, header)) {
		if (header->cmsg_level != SOL_SOCKET)
			continue;
		if (header->cmsg_type == SCM_CREDENTIALS)
			memcpy(&sender, CMSG_DATA(header), sizeof(sender));
		else if (header->cmsg_type == SCM_RIGHTS)
			keep_one(header, &descriptor);
	}
	if (descriptor < 0 || sender.uid == geteuid())
		return descriptor;
	pccl_fork_close(descriptor);
	return -1;
}

static int receive_descriptor(int post)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int))];
	} company;
	uint32_t i;

	for (i = 0; i < LETTERS_MAX; i++) {
		char byte;
		struct iovec part = {&byte, 1};
		struct msghdr letter = {.msg_iov = &part,
					.msg_iovlen = 1,
					.msg_control = company.bytes,
					.msg_controllen = sizeof(company.bytes)};
		int descriptor;

		if (recvmsg(post, &letter, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0)
			return -1;
		descriptor = sort_company(&letter);
		if (descriptor >= 0)
			return descriptor;
	}
	return -1;
}

void *pccl_offer_take(int post)
{
	int descriptor = receive_descriptor(post);
	void *memory = NULL;

	if (descriptor < 0)
		(void)pccl_fail(pcclSystemError, "no shared memory came from this user");
	else if (!is_sound(descriptor))
		(void)pccl_fail(pcclSystemError, "the shared memory that came could be resized, or is of another size");
	else
		memory = map(descriptor);
	if (descriptor >= 0)
		pccl_fork_close(descriptor);
	return memory;
}
