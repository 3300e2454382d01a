/* Bytes go over the socket as they are. Less than asked for: the kernel has no more, or its buffer is full. */
#include "transport/tcp/tcp.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "transport/engine/engine.h"
#include "transport/engine/socket.h"

static ssize_t read_bytes(void *state, int fd, struct iovec *parts, size_t part_count, bool *more_out)
{
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = part_count};
	ssize_t got;

	(void)state;
	do
		got = part_count == 1 ? recv(fd, parts->iov_base, parts->iov_len, MSG_DONTWAIT)
				      : recvmsg(fd, &message, MSG_DONTWAIT);
	while (got < 0 && errno == EINTR);
	*more_out = got == (ssize_t)pccl_engine_parts_bytes(parts, part_count);
	return got;
}

static ssize_t write_bytes(void *state, int fd, struct iovec *parts, size_t part_count, bool *more_out)
{
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = part_count};
	ssize_t written;

	(void)state;
	do
		written = part_count == 1 ? send(fd, parts->iov_base, parts->iov_len, MSG_NOSIGNAL | MSG_DONTWAIT)
					  : sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (written < 0 && errno == EINTR);
	*more_out = written == (ssize_t)pccl_engine_parts_bytes(parts, part_count);
	return written;
}

static ssize_t peek_byte(void *state, int fd, uint8_t *byte_out)
{
	(void)state;
	return pccl_socket_peek(fd, byte_out);
}

/* The kernel throws them away, without a copy. */
static ssize_t discard_bytes(void *state, int fd, size_t bytes, bool *more_out)
{
	ssize_t got;

	(void)state;
	do
#if defined(__SANITIZE_THREAD__)
		/* The sanitizer's recv() believes that the bytes were written to where NULL points. */
		got = syscall(SYS_recvfrom, fd, NULL, bytes, MSG_TRUNC | MSG_DONTWAIT, NULL, NULL);
#else
		got = recv(fd, NULL, bytes, MSG_TRUNC | MSG_DONTWAIT);
#endif
	while (got < 0 && errno == EINTR);
	*more_out = got == (ssize_t)bytes;
	return got;
}

static bool shut_down(void *state, int fd)
{
	(void)state;
	shutdown(fd, SHUT_WR);
	return true;
}

static const struct pccl_byte_calls plain = {
	.read = read_bytes,
	.write = write_bytes,
	.peek = peek_byte,
	.discard = discard_bytes,
	.shut_down = shut_down,
};

const struct pccl_transport pccl_tcp = {.name = "tcp", .bytes = &plain, PCCL_ENGINE_SLOTS};
