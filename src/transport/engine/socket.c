#include "transport/engine/socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/log.h"
#include "transport/loop/fork.h"

#define BACKLOG 511
/* A host that vanished is noticed by the membership within seconds; these bound the time for what it doesn't watch.
 * What stands between may forget a connection that is idle for a few seconds: it is not. */
#define USER_TIMEOUT_MS 30000
#define KEEPALIVE_IDLE_S 2
#define KEEPALIVE_INTERVAL_S 3
#define KEEPALIVE_COUNT 9

static void set_option(int fd, int level, int name, int value, const char *text)
{
	if (setsockopt(fd, level, name, &value, sizeof(value)) != 0)
		pccl_log_debug("socket option %s: %s", text, strerror(errno));
}

void pccl_socket_set_options(int fd)
{
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
	set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1, "SO_KEEPALIVE");
	set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S, "TCP_KEEPIDLE");
	set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S, "TCP_KEEPINTVL");
	set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT, "TCP_KEEPCNT");
	set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS, "TCP_USER_TIMEOUT");
}

static bool is_any_v6(const struct pccl_address *address)
{
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address->storage;

	return address->storage.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr);
}

static int bound_socket(const struct pccl_address *address)
{
	int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int error;

	if (fd < 0)
		return -1;
	set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
	if (address->storage.ss_family == AF_INET6)
		set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, !is_any_v6(address), "IPV6_V6ONLY");
	if (bind(fd, (const struct sockaddr *)&address->storage, address->bytes) == 0 && listen(fd, BACKLOG) == 0)
		return pccl_fork_own(fd);
	error = errno;
	pccl_fork_close(fd);
	errno = error;
	return -1;
}

int pccl_socket_listening(const struct pccl_address *address, uint16_t *port_out)
{
	struct pccl_address bound = {.bytes = sizeof(bound.storage)};
	char text[PCCL_ADDRESS_PORT_BYTES];
	int fd = bound_socket(address);

	if (fd < 0 && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL) && is_any_v6(address)) {
		/* A host without IPv6: its "all addresses" are the IPv4 ones. */
		struct pccl_address any_v4;

		if (pccl_address_numeric("0.0.0.0", pccl_address_port(address), &any_v4) == pcclSuccess)
			fd = bound_socket(&any_v4);
	}
	if (fd < 0) {
		pccl_address_text_port(address, text);
		pccl_fail(pcclSystemError, "can't listen on %s: %s", text, strerror(errno));
		return -1;
	}
	if (getsockname(fd, (struct sockaddr *)&bound.storage, &bound.bytes) != 0) {
		pccl_fail(pcclSystemError, "getsockname: %s", strerror(errno));
		pccl_fork_close(fd);
		return -1;
	}
	*port_out = pccl_address_port(&bound);
	return fd;
}

/* The port is chosen when the other end is known, so that as many may be in use to each. */
static bool bind_from(int fd, const struct pccl_address *from)
{
	set_option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1, "IP_BIND_ADDRESS_NO_PORT");
	return bind(fd, (const struct sockaddr *)&from->storage, from->bytes) == 0;
}

int pccl_socket_connecting(const struct pccl_address *address, const struct pccl_address *from, int *error_out)
{
	int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0) {
		pccl_fail(pcclSystemError, "socket: %s", strerror(errno));
		return -1;
	}
	pccl_socket_set_options(fd);
	*error_out = 0;
	if (from != NULL && !bind_from(fd, from))
		*error_out = errno;
	else if (connect(fd, (const struct sockaddr *)&address->storage, address->bytes) != 0 && errno != EINPROGRESS &&
		 errno != EINTR)
		*error_out = errno;
	return pccl_fork_own(fd);
}

bool pccl_socket_get_ends(int fd, struct pccl_address *local_out, struct pccl_address *remote_out)
{
	local_out->bytes = remote_out->bytes = sizeof(local_out->storage);
	return getpeername(fd, (struct sockaddr *)&remote_out->storage, &remote_out->bytes) == 0 &&
	       getsockname(fd, (struct sockaddr *)&local_out->storage, &local_out->bytes) == 0;
}

ssize_t pccl_socket_peek(int fd, uint8_t *byte_out)
{
	ssize_t got;

	do
		got = recv(fd, byte_out, 1, MSG_DONTWAIT | MSG_PEEK);
	while (got < 0 && errno == EINTR);
	return got;
}

/* Within a host nothing can be congested, and a control that paces, as bbr does, costs timers and wake-ups: a tenth of
 * the time of a large op. Reno does not pace, and every user may choose it. */
void pccl_socket_choose_congestion_control(int fd)
{
	struct pccl_address local, remote;

	if (pccl_socket_get_ends(fd, &local, &remote) && pccl_address_same_host(&local, &remote) &&
	    setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", strlen("reno")) != 0)
		pccl_log_debug("socket option TCP_CONGESTION: %s", strerror(errno));
}

int pccl_socket_connect_error(int fd)
{
	struct pccl_address local, remote;
	socklen_t bytes = sizeof(int);
	int error = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes) != 0)
		return errno;
	if (error != 0)
		return error;
	if (!pccl_socket_get_ends(fd, &local, &remote))
		return errno;
	/* A port of this host that nobody listens on may be given to the very socket that dials it: it then reaches
	 * itself. */
	return pccl_address_equal(&local, &remote) ? ECONNREFUSED : 0;
}
